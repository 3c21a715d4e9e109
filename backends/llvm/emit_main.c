/* Instructions of the program function: inputs and outputs, memory from the hooks, launches.
 *
 * A program is long and runs once, so everything with control flow is a call of a small helper that is emitted with
 * it: launch, out, alloc, release. */
#include <llvm-c/Core.h>

#include "internal.h"

/* Fields of ftl_run and ftl_io, in the order of runtime/abi.h. */
enum { RUN_IN, RUN_OUT, RUN_WORKSPACE, RUN_BLOBS, RUN_USER, RUN_ALLOC, RUN_FREE, RUN_PARALLEL, RUN_ERROR };
enum { IO_DATA, IO_BYTES, IO_DIMS };

static LLVMValueRef field(ftl_le *l, LLVMValueRef run, unsigned k)
{
	return LLVMBuildStructGEP2(l->b, l->run_type, run, k, "");
}

static LLVMValueRef load_field(ftl_le *l, LLVMValueRef run, unsigned k)
{
	return LLVMBuildLoad2(l->b, k == RUN_ERROR ? l->i64 : l->ptr, field(l, run, k), "");
}

/* Address of a field of run->in[n] or run->out[n]. */
static LLVMValueRef io_field(ftl_le *l, LLVMValueRef run, unsigned which, LLVMValueRef n, unsigned k, int64_t axis)
{
	LLVMValueRef io = load_field(l, run, which), index[3];

	index[0] = n;
	index[1] = LLVMConstInt(l->i32, k, false);
	index[2] = ftl_le_i64(l, axis);
	return LLVMBuildGEP2(l->b, l->io_type, io, index, k == IO_DIMS ? 3 : 2, "");
}

/* Emission of a helper: saves where the current function is, positions at the helper's first block. */
typedef struct helper {
	LLVMValueRef fn, outer_fn;
	LLVMBasicBlockRef outer;
} helper;

static helper helper_begin(ftl_le *l, const char *name, LLVMTypeRef ret, LLVMTypeRef *params, unsigned n)
{
	helper h = {.outer_fn = l->fn, .outer = LLVMGetInsertBlock(l->b)};

	h.fn = ftl_le_function(l, name, LLVMFunctionType(ret, params, n, false), LLVMInternalLinkage);
	ftl_le_attr(l, h.fn, "noinline");
	l->fn = h.fn;
	LLVMPositionBuilderAtEnd(l->b, ftl_le_block(l, "entry"));
	return h;
}

static LLVMValueRef helper_end(ftl_le *l, helper *h)
{
	l->fn = h->outer_fn;
	LLVMPositionBuilderAtEnd(l->b, h->outer);
	return h->fn;
}

static LLVMValueRef call(ftl_le *l, LLVMValueRef fn, LLVMValueRef *args, unsigned n)
{
	return LLVMBuildCall2(l->b, LLVMGlobalGetValueType(fn), fn, args, n, "");
}

/* void launch(run, fn, args, count, cost) */
static LLVMValueRef launch_helper(ftl_le *l)
{
	LLVMTypeRef p[6] = {l->ptr, l->ptr, l->ptr, l->i64, l->i64, l->i64}, pp[6];
	LLVMBasicBlockRef some, many, all, here, exit;
	LLVMValueRef a[6], par, count, many_ok;
	helper h;

	if (l->launch)
		return l->launch;
	h = helper_begin(l, "launch", l->void_, p, 5);
	some = ftl_le_block(l, "some");
	many = ftl_le_block(l, "many");
	all = ftl_le_block(l, "parallel");
	here = ftl_le_block(l, "here");
	exit = ftl_le_block(l, "exit");
	count = LLVMGetParam(h.fn, 3);
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntSGT, count, ftl_le_i64(l, 0), ""), some, exit);
	LLVMPositionBuilderAtEnd(l->b, some);
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntSGT, count, ftl_le_i64(l, 1), ""), many, here);
	LLVMPositionBuilderAtEnd(l->b, many);
	par = load_field(l, LLVMGetParam(h.fn, 0), RUN_PARALLEL);
	many_ok = LLVMBuildICmp(l->b, LLVMIntNE, par, LLVMConstNull(l->ptr), "");
	LLVMBuildCondBr(l->b, many_ok, all, here);
	LLVMPositionBuilderAtEnd(l->b, all);
	a[0] = load_field(l, LLVMGetParam(h.fn, 0), RUN_USER);
	a[1] = LLVMGetParam(h.fn, 1);
	a[2] = LLVMGetParam(h.fn, 2);
	a[3] = LLVMGetParam(h.fn, 0);
	a[4] = count;
	a[5] = LLVMGetParam(h.fn, 4);
	for (int i = 0; i < 6; i++)
		pp[i] = LLVMTypeOf(a[i]);
	LLVMBuildCall2(l->b, LLVMFunctionType(l->void_, pp, 6, false), par, a, 6, "");
	LLVMBuildBr(l->b, exit);
	LLVMPositionBuilderAtEnd(l->b, here);
	a[0] = LLVMGetParam(h.fn, 2);
	a[1] = LLVMGetParam(h.fn, 0);
	a[2] = ftl_le_i64(l, 0);
	a[3] = count;
	LLVMBuildCall2(l->b, l->kernel_type, LLVMGetParam(h.fn, 1), a, 4, "");
	LLVMBuildBr(l->b, exit);
	LLVMPositionBuilderAtEnd(l->b, exit);
	LLVMBuildRetVoid(l->b);
	return l->launch = helper_end(l, &h);
}

/* ptr alloc(run, bytes): NULL if there is no hook or it fails. Never asks for 0 bytes. */
static LLVMValueRef alloc_helper(ftl_le *l)
{
	LLVMTypeRef p[2] = {l->ptr, l->i64}, pp[2] = {l->ptr, l->size_t_};
	LLVMValueRef hook, bytes, a[2], none = LLVMConstNull(l->ptr), max;
	LLVMBasicBlockRef ask, sized, no;
	helper h;

	if (l->alloc)
		return l->alloc;
	h = helper_begin(l, "alloc", l->ptr, p, 2);
	ask = ftl_le_block(l, "ask");
	sized = ftl_le_block(l, "sized");
	no = ftl_le_block(l, "no");
	bytes = LLVMGetParam(h.fn, 1);
	hook = load_field(l, LLVMGetParam(h.fn, 0), RUN_ALLOC);
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntEQ, hook, none, ""), no, ask);
	LLVMPositionBuilderAtEnd(l->b, ask);
	/* also keeps negative sizes out, and those that do not fit a 32-bit size_t */
	max = l->size_t_ == l->i64 ? ftl_le_i64(l, INT64_MAX) : ftl_le_i64(l, INT32_MAX);
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntUGT, bytes, max, ""), no, sized);
	LLVMPositionBuilderAtEnd(l->b, sized);
	a[1] = LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntEQ, bytes, ftl_le_i64(l, 0), ""), ftl_le_i64(l, 1),
			       bytes, "");
	a[1] = LLVMBuildIntCast2(l->b, a[1], l->size_t_, false, "");
	a[0] = load_field(l, LLVMGetParam(h.fn, 0), RUN_USER);
	LLVMBuildRet(l->b, LLVMBuildCall2(l->b, LLVMFunctionType(l->ptr, pp, 2, false), hook, a, 2, ""));
	LLVMPositionBuilderAtEnd(l->b, no);
	LLVMBuildRet(l->b, none);
	return l->alloc = helper_end(l, &h);
}

/* void release(run, p) */
static LLVMValueRef release_helper(ftl_le *l)
{
	LLVMTypeRef p[2] = {l->ptr, l->ptr};
	LLVMValueRef hook, a[2];
	LLVMBasicBlockRef yes, no;
	helper h;

	if (l->release)
		return l->release;
	h = helper_begin(l, "release", l->void_, p, 2);
	yes = ftl_le_block(l, "yes");
	no = ftl_le_block(l, "no");
	hook = load_field(l, LLVMGetParam(h.fn, 0), RUN_FREE);
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntEQ, hook, LLVMConstNull(l->ptr), ""), no, yes);
	LLVMPositionBuilderAtEnd(l->b, yes);
	a[0] = load_field(l, LLVMGetParam(h.fn, 0), RUN_USER);
	a[1] = LLVMGetParam(h.fn, 1);
	LLVMBuildCall2(l->b, LLVMFunctionType(l->void_, p, 2, false), hook, a, 2, "");
	LLVMBuildBr(l->b, no);
	LLVMPositionBuilderAtEnd(l->b, no);
	LLVMBuildRetVoid(l->b);
	return l->release = helper_end(l, &h);
}

/* i64 out(run, number, bytes): makes sure that out[number].data has room for bytes; 0 or the error to return. */
static LLVMValueRef out_helper(ftl_le *l)
{
	LLVMTypeRef p[3] = {l->ptr, l->i64, l->i64};
	LLVMValueRef run, number, bytes, data, have, got, a[2], alloc = alloc_helper(l), none = LLVMConstNull(l->ptr);
	LLVMBasicBlockRef given, fresh, small, nomem, keep, good;
	helper h;

	if (l->out)
		return l->out;
	h = helper_begin(l, "out", l->i64, p, 3);
	given = ftl_le_block(l, "given");
	fresh = ftl_le_block(l, "fresh");
	small = ftl_le_block(l, "small");
	nomem = ftl_le_block(l, "nomem");
	keep = ftl_le_block(l, "keep");
	good = ftl_le_block(l, "good");
	run = LLVMGetParam(h.fn, 0);
	number = LLVMGetParam(h.fn, 1);
	bytes = LLVMGetParam(h.fn, 2);
	data = LLVMBuildLoad2(l->b, l->ptr, io_field(l, run, RUN_OUT, number, IO_DATA, 0), "");
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntEQ, data, none, ""), fresh, given);
	LLVMPositionBuilderAtEnd(l->b, given);
	have = LLVMBuildLoad2(l->b, l->size_t_, io_field(l, run, RUN_OUT, number, IO_BYTES, 0), "");
	have = LLVMBuildIntCast2(l->b, have, l->i64, false, "");
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntULT, have, bytes, ""), small, good);
	LLVMPositionBuilderAtEnd(l->b, small);
	LLVMBuildRet(l->b, ftl_le_i64(l, FTL_RUN_SMALL_OUTPUT));
	LLVMPositionBuilderAtEnd(l->b, fresh);
	a[0] = run;
	a[1] = bytes;
	got = call(l, alloc, a, 2);
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntEQ, got, none, ""), nomem, keep);
	LLVMPositionBuilderAtEnd(l->b, nomem);
	LLVMBuildRet(l->b, ftl_le_i64(l, FTL_RUN_NO_MEMORY));
	LLVMPositionBuilderAtEnd(l->b, keep);
	LLVMBuildStore(l->b, got, io_field(l, run, RUN_OUT, number, IO_DATA, 0));
	LLVMBuildStore(l->b, LLVMBuildIntCast2(l->b, bytes, l->size_t_, false, ""),
		       io_field(l, run, RUN_OUT, number, IO_BYTES, 0));
	LLVMBuildBr(l->b, good);
	LLVMPositionBuilderAtEnd(l->b, good);
	LLVMBuildRet(l->b, ftl_le_i64(l, 0));
	return l->out = helper_end(l, &h);
}

/* Leave the program with `code` unless ok. */
static void leave_unless(ftl_le *l, LLVMValueRef ok, LLVMValueRef code)
{
	LLVMBasicBlockRef bad = ftl_le_block(l, "bad"), on = ftl_le_block(l, "on");

	LLVMBuildCondBr(l->b, ok, on, bad);
	LLVMPositionBuilderAtEnd(l->b, bad);
	LLVMBuildRet(l->b, code);
	LLVMPositionBuilderAtEnd(l->b, on);
}

static LLVMValueRef emit_launch(ftl_le *l, const ftl_kinst *in)
{
	const ftl_kfunc *k;
	LLVMValueRef a[5], index, at, code;

	if (in->imm < 0 || in->imm >= (int64_t)l->km->kernels.n || in->nextra < 1 ||
	    in->nextra - 1 != l->km->kernels.v[in->imm]->params.n) {
		ftl_le_fail(l, "program %s: bad launch of kernel %lld", l->f->name, (long long)in->imm);
		return l->run;
	}
	k = l->km->kernels.v[in->imm];
	for (uint32_t i = 1; i < in->nextra; i++) {
		index = ftl_le_i64(l, i - 1);
		at = LLVMBuildGEP2(l->b, l->i64, l->args, &index, 1, "");
		at = LLVMBuildStore(l->b, ftl_le_val(l, in->extra[i]), at);
		LLVMSetAlignment(at, 8);
	}
	a[0] = l->run;
	a[1] = ftl_le_declare_kernel(l, k);
	a[2] = l->args;
	a[3] = ftl_le_val(l, in->extra[0]);
	a[4] = ftl_le_i64(l, in->imm2);
	call(l, launch_helper(l), a, 5);
	if (!l->can_fail || l->can_fail[in->imm]) {
		code = load_field(l, l->run, RUN_ERROR);
		leave_unless(l, LLVMBuildICmp(l->b, LLVMIntEQ, code, ftl_le_i64(l, 0), ""), code);
	}
	return l->run;
}

LLVMValueRef ftl_le_main_inst(ftl_le *l, const ftl_kinst *in)
{
	LLVMValueRef a[3], v, index;
	LLVMValueRef number = ftl_le_i64(l, in->imm / 64);
	int64_t k;

	switch ((ftl_kop)in->op) {
	case FTL_K_in_ptr:
		return LLVMBuildLoad2(l->b, l->ptr, io_field(l, l->run, RUN_IN, ftl_le_i64(l, in->imm), IO_DATA, 0),
				      "");
	case FTL_K_in_dim:
		return LLVMBuildLoad2(l->b, l->i64, io_field(l, l->run, RUN_IN, number, IO_DIMS, in->imm % 64), "");
	case FTL_K_out_dim:
		return LLVMBuildStore(l->b, ftl_le_val(l, in->a[0]),
				      io_field(l, l->run, RUN_OUT, number, IO_DIMS, in->imm % 64));
	case FTL_K_out_ptr:
		a[0] = l->run;
		a[1] = ftl_le_i64(l, in->imm);
		a[2] = ftl_le_val(l, in->a[0]);
		v = call(l, out_helper(l), a, 3);
		leave_unless(l, LLVMBuildICmp(l->b, LLVMIntEQ, v, ftl_le_i64(l, 0), ""), v);
		return LLVMBuildLoad2(l->b, l->ptr, io_field(l, l->run, RUN_OUT, a[1], IO_DATA, 0), "");
	case FTL_K_blob:
		k = l->blob_map && in->imm >= 0 && in->imm < (int64_t)l->km->blobs.n ? l->blob_map[in->imm] : in->imm;
		index = ftl_le_i64(l, k);
		v = LLVMBuildGEP2(l->b, l->ptr, load_field(l, l->run, RUN_BLOBS), &index, 1, "");
		return LLVMBuildLoad2(l->b, l->ptr, v, "");
	case FTL_K_alloc:
		a[0] = l->run;
		a[1] = ftl_le_val(l, in->a[0]);
		v = call(l, alloc_helper(l), a, 2);
		leave_unless(l, LLVMBuildICmp(l->b, LLVMIntNE, v, LLVMConstNull(l->ptr), ""),
			     ftl_le_i64(l, FTL_RUN_NO_MEMORY));
		return v;
	case FTL_K_free:
		a[0] = l->run;
		a[1] = ftl_le_val(l, in->a[0]);
		call(l, release_helper(l), a, 2);
		return l->run;
	case FTL_K_launch: return emit_launch(l, in);
	default: return NULL;
	}
}
