/* Kernel IR to LLVM IR: functions and structured control.
 *
 * A kernel becomes one function with its grid loop inside, so that everything that does not depend on the grid index
 * can be hoisted out. `var`s are stack slots in the entry block, which LLVM turns into registers; no phi is made here
 * but the loop counters. Pointers get no aliasing promises: programs run kernels in place.
 * Expects a verified module; what it meets anyway and does not know is an error, never an abort. */
#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

void ftl_le_fail(ftl_le *l, const char *fmt, ...)
{
	va_list ap;

	if (l->err != FTL_OK)
		return;
	va_start(ap, fmt);
	l->err = ftl_vfail(l->d, FTL_ERR_UNSUPPORTED, fmt, ap);
	va_end(ap);
}

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *user)
{
	ftl_le *l = user;
	char *text;

	if (LLVMGetDiagInfoSeverity(info) != LLVMDSError)
		return;
	text = LLVMGetDiagInfoDescription(info);
	ftl_le_fail(l, "LLVM: %s", text);
	LLVMDisposeMessage(text);
}

static void make_types(ftl_le *l)
{
	LLVMTypeRef fields[10], params[4];
	LLVMTargetMachineRef tm = ftl_spec_machine(l->spec, LLVMCodeGenLevelNone);
	LLVMTargetDataRef td;

	l->void_ = LLVMVoidTypeInContext(l->c);
	l->i1 = LLVMInt1TypeInContext(l->c);
	l->i8 = LLVMInt8TypeInContext(l->c);
	l->i16 = LLVMInt16TypeInContext(l->c);
	l->i32 = LLVMInt32TypeInContext(l->c);
	l->i64 = LLVMInt64TypeInContext(l->c);
	l->f32 = LLVMFloatTypeInContext(l->c);
	l->f64 = LLVMDoubleTypeInContext(l->c);
	l->ptr = LLVMPointerTypeInContext(l->c, 0);
	l->size_t_ = l->i64;
	if (tm) {
		td = LLVMCreateTargetDataLayout(tm);
		LLVMSetModuleDataLayout(l->m, td);
		l->size_t_ = LLVMIntPtrTypeInContext(l->c, td);
		LLVMDisposeTargetData(td);
		LLVMDisposeTargetMachine(tm);
	} else {
		ftl_le_fail(l, "no target machine for %s", l->spec->triple);
	}
	fields[0] = l->ptr;
	fields[1] = l->size_t_;
	fields[2] = LLVMArrayType2(l->i64, FTL_ABI_MAX_RANK);
	l->io_type = LLVMStructTypeInContext(l->c, fields, 3, false);
	for (int i = 0; i < 8; i++)
		fields[i] = l->ptr;
	fields[8] = l->i64;
	fields[9] = l->ptr;
	l->run_type = LLVMStructTypeInContext(l->c, fields, 10, false);
	params[0] = params[1] = l->ptr;
	params[2] = params[3] = l->i64;
	l->kernel_type = LLVMFunctionType(l->void_, params, 4, false);
	l->main_type = LLVMFunctionType(l->i64, params, 1, false);
}

void ftl_le_init(ftl_le *l, const ftl_kmodule *km, const ftl_spec *spec, const char *prefix, ftl_diag *d)
{
	memset(l, 0, sizeof *l);
	l->km = km;
	l->spec = spec;
	l->prefix = prefix;
	l->d = d;
	l->c = LLVMContextCreate();
	LLVMContextSetDiscardValueNames(l->c, true);
	LLVMContextSetDiagnosticHandler(l->c, on_diagnostic, l);
	l->m = LLVMModuleCreateWithNameInContext("fettle", l->c);
	LLVMSetTarget(l->m, spec->triple);
	l->b = LLVMCreateBuilderInContext(l->c);
	l->allocas = LLVMCreateBuilderInContext(l->c);
	make_types(l);
}

void ftl_le_free(ftl_le *l)
{
	LLVMDisposeBuilder(l->b);
	LLVMDisposeBuilder(l->allocas);
	LLVMDisposeModule(l->m);
	LLVMContextDispose(l->c);
}

LLVMBasicBlockRef ftl_le_block(ftl_le *l, const char *name)
{
	return LLVMAppendBasicBlockInContext(l->c, l->fn, name);
}

LLVMValueRef ftl_le_function(ftl_le *l, const char *name, LLVMTypeRef type, LLVMLinkage linkage)
{
	LLVMValueRef fn = LLVMAddFunction(l->m, name, type);
	char bits[16];

	LLVMSetLinkage(fn, linkage);
	ftl_le_attr(l, fn, "nounwind");
	ftl_le_attr_str(l, fn, "target-cpu", l->spec->cpu);
	ftl_le_attr_str(l, fn, "target-features", l->spec->features);
	if (l->km->vector_bytes >= 64 && l->spec->x86) {
		/* cpus that LLVM tunes for 256 bits would otherwise split every 512-bit value */
		snprintf(bits, sizeof bits, "%d", l->km->vector_bytes * 8);
		ftl_le_attr_str(l, fn, "prefer-vector-width", bits);
		ftl_le_attr_str(l, fn, "min-legal-vector-width", bits);
	}
	return fn;
}

static void kernel_symbol(const ftl_le *l, const ftl_kfunc *f, char *out, size_t n)
{
	snprintf(out, n, "%s_k_%s", l->prefix, f->name);
}

LLVMValueRef ftl_le_declare_kernel(ftl_le *l, const ftl_kfunc *f)
{
	char name[512];
	LLVMValueRef fn;

	kernel_symbol(l, f, name, sizeof name);
	fn = LLVMGetNamedFunction(l->m, name);
	if (fn)
		return fn;
	return ftl_le_function(l, name, l->kernel_type, l->internal ? LLVMInternalLinkage : LLVMExternalLinkage);
}

static LLVMValueRef constant(ftl_le *l, const ftl_kinst *in)
{
	LLVMTypeRef t = ftl_le_type(l, in->type);
	double x;

	memcpy(&x, &in->imm, sizeof x);
	switch ((ftl_dtype)in->type.elem) {
	case FTL_F32:
	case FTL_F64: return ftl_le_real(t, x);
	case FTL_F16: return ftl_le_int(t, ftl_f32_to_f16((float)x));
	case FTL_BF16: return ftl_le_int(t, ftl_f32_to_bf16((float)x));
	case FTL_BOOL: return ftl_le_int(t, in->imm != 0);
	default:
		if (in->type.elem == FTL_PTR)
			return LLVMConstNull(t);
		return ftl_le_int(t, in->imm);
	}
}

LLVMValueRef ftl_le_val(ftl_le *l, ftl_kv v)
{
	const ftl_kinst *in;

	if (v == 0 || v >= l->f->inst.n) {
		ftl_le_fail(l, "kernel %s: operand %u does not exist", l->f->name, v);
		return LLVMGetPoison(l->i64);
	}
	if (l->val[v])
		return l->val[v];
	in = &l->f->inst.v[v];
	switch ((ftl_kop)in->op) {
	case FTL_K_const: return l->val[v] = constant(l, in);
	case FTL_K_param:
		if (in->imm >= 0 && in->imm < (int64_t)l->f->params.n && l->param)
			return l->val[v] = l->param[in->imm];
		break;
	case FTL_K_grid:
		if (l->grid)
			return l->grid;
		break;
	default: break;
	}
	ftl_le_fail(l, "kernel %s: value %u (%s) is used before it is made", l->f->name, v,
		    in->op < FTL_K_COUNT ? ftl_kop_get((ftl_kop)in->op)->name : "?");
	return LLVMGetPoison(ftl_le_type(l, in->type));
}

static void emit_block(ftl_le *l, const ftl_kblock *blk);

/* llvm.loop metadata that asks for full unrolling. The node must refer to itself to be distinct. */
static void mark_unroll(ftl_le *l, LLVMValueRef branch)
{
	static const char key[] = "llvm.loop.unroll.full";
	LLVMMetadataRef text = LLVMMDStringInContext2(l->c, key, sizeof key - 1);
	LLVMMetadataRef hint = LLVMMDNodeInContext2(l->c, &text, 1);
	LLVMMetadataRef self = LLVMTemporaryMDNode(l->c, NULL, 0);
	LLVMMetadataRef parts[2] = {self, hint};
	LLVMMetadataRef loop = LLVMMDNodeInContext2(l->c, parts, 2);

	LLVMMetadataReplaceAllUsesWith(self, loop);
	LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(l->c, "llvm.loop", 9), LLVMMetadataAsValue(l->c, loop));
}

/* Emitted with the test at the bottom, as LLVM's loop passes want it. */
static void emit_for(ftl_le *l, ftl_kv id, const ftl_kinst *in)
{
	LLVMValueRef lo = ftl_le_val(l, in->a[0]), hi = ftl_le_val(l, in->a[1]), step = ftl_le_val(l, in->a[2]);
	LLVMBasicBlockRef body = ftl_le_block(l, "for"), exit = ftl_le_block(l, "done"), outer = l->leave, from;
	LLVMValueRef i, next, branch;

	from = LLVMGetInsertBlock(l->b);
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntSLT, lo, hi, ""), body, exit);
	LLVMPositionBuilderAtEnd(l->b, body);
	i = LLVMBuildPhi(l->b, l->i64, "");
	LLVMAddIncoming(i, &lo, &from, 1);
	l->val[id] = i;
	l->leave = exit;
	emit_block(l, in->body);
	l->leave = outer;
	next = LLVMBuildNSWAdd(l->b, i, step, "");
	from = LLVMGetInsertBlock(l->b);
	LLVMAddIncoming(i, &next, &from, 1);
	branch = LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntSLT, next, hi, ""), body, exit);
	if (in->imm == FTL_LOOP_UNROLL) {
		mark_unroll(l, branch);
		l->unrolls = true;
	}
	LLVMMoveBasicBlockAfter(exit, from);
	LLVMPositionBuilderAtEnd(l->b, exit);
}

static void emit_if(ftl_le *l, const ftl_kinst *in)
{
	LLVMBasicBlockRef yes = ftl_le_block(l, "then"), no, exit;

	no = in->els ? ftl_le_block(l, "else") : NULL;
	exit = ftl_le_block(l, "endif");
	LLVMBuildCondBr(l->b, ftl_le_val(l, in->a[0]), yes, no ? no : exit);
	LLVMPositionBuilderAtEnd(l->b, yes);
	emit_block(l, in->body);
	LLVMBuildBr(l->b, exit);
	if (no) {
		LLVMPositionBuilderAtEnd(l->b, no);
		emit_block(l, in->els);
		LLVMBuildBr(l->b, exit);
	}
	LLVMMoveBasicBlockAfter(exit, LLVMGetInsertBlock(l->b));
	LLVMPositionBuilderAtEnd(l->b, exit);
}

static void emit_loop(ftl_le *l, const ftl_kinst *in)
{
	LLVMBasicBlockRef body = ftl_le_block(l, "loop"), exit = ftl_le_block(l, "done"), outer = l->leave;

	LLVMBuildBr(l->b, body);
	LLVMPositionBuilderAtEnd(l->b, body);
	l->leave = exit;
	emit_block(l, in->body);
	l->leave = outer;
	LLVMBuildBr(l->b, body);
	LLVMMoveBasicBlockAfter(exit, LLVMGetInsertBlock(l->b));
	LLVMPositionBuilderAtEnd(l->b, exit);
}

static void emit_break(ftl_le *l, const ftl_kinst *in)
{
	LLVMBasicBlockRef on = ftl_le_block(l, "on");

	if (!l->leave) {
		ftl_le_fail(l, "kernel %s: break outside of a loop", l->f->name);
		LLVMBuildBr(l->b, on);
	} else {
		LLVMBuildCondBr(l->b, ftl_le_val(l, in->a[0]), l->leave, on);
	}
	LLVMPositionBuilderAtEnd(l->b, on);
}

/* In a kernel the error is noted and the piece goes on; the store is atomic because pieces race for it. */
static void emit_check(ftl_le *l, const ftl_kinst *in)
{
	LLVMBasicBlockRef bad = ftl_le_block(l, "bad"), on = ftl_le_block(l, "on");
	LLVMValueRef cond = ftl_le_val(l, in->a[0]), at, store;
	int64_t msg = l->msg_map && in->imm >= 0 && in->imm < (int64_t)l->km->msgs.n ? l->msg_map[in->imm] : in->imm;

	if (LLVMGetTypeKind(LLVMTypeOf(cond)) == LLVMVectorTypeKind) {
		LLVMTypeRef t = LLVMTypeOf(cond);

		cond = ftl_le_intrinsic(l, "llvm.vector.reduce.and", &t, 1, &cond, 1);
	}
	LLVMBuildCondBr(l->b, cond, on, bad);
	LLVMPositionBuilderAtEnd(l->b, bad);
	if (l->f->is_main) {
		LLVMBuildRet(l->b, ftl_le_i64(l, l->is_size ? -msg : msg));
	} else {
		at = LLVMBuildStructGEP2(l->b, l->run_type, l->run, 8, "");
		store = LLVMBuildStore(l->b, ftl_le_i64(l, msg), at);
		LLVMSetOrdering(store, LLVMAtomicOrderingMonotonic);
		LLVMSetAlignment(store, 8);
		LLVMBuildBr(l->b, on);
	}
	LLVMMoveBasicBlockAfter(on, bad);
	LLVMPositionBuilderAtEnd(l->b, on);
}

static void emit_inst(ftl_le *l, ftl_kv id)
{
	const ftl_kinst *in = &l->f->inst.v[id];
	LLVMValueRef v = NULL;

	switch ((ftl_kop)in->op) {
	case FTL_K_const:
	case FTL_K_param:
	case FTL_K_grid:
	case FTL_K_workspace: return; /* made where they are used */
	case FTL_K_var:
		v = LLVMBuildAlloca(l->allocas, ftl_le_type(l, in->type), "");
		LLVMBuildStore(l->b, ftl_le_val(l, in->a[0]), v);
		break;
	case FTL_K_local:
		v = LLVMBuildAlloca(l->allocas, LLVMArrayType2(l->i8, (uint64_t)in->imm), "");
		LLVMSetAlignment(v, 64);
		break;
	case FTL_K_get: v = LLVMBuildLoad2(l->b, ftl_le_type(l, in->type), ftl_le_val(l, in->a[0]), ""); break;
	case FTL_K_set: LLVMBuildStore(l->b, ftl_le_val(l, in->a[1]), ftl_le_val(l, in->a[0])); return;
	case FTL_K_for: emit_for(l, id, in); return;
	case FTL_K_if: emit_if(l, in); return;
	case FTL_K_loop: emit_loop(l, in); return;
	case FTL_K_break: emit_break(l, in); return;
	case FTL_K_check: emit_check(l, in); return;
	default: break;
	}
	v = v ? v : ftl_le_math(l, in);
	v = v ? v : ftl_le_vector(l, in);
	v = v ? v : ftl_le_memory(l, in);
	v = v ? v : ftl_le_main_inst(l, in);
	if (!v) {
		ftl_le_fail(l, "kernel %s: no LLVM code for instruction %u (%s)", l->f->name, id,
			    in->op && in->op < FTL_K_COUNT ? ftl_kop_get((ftl_kop)in->op)->name : "?");
		return;
	}
	l->val[id] = v;
}

static void emit_block(ftl_le *l, const ftl_kblock *blk)
{
	if (!blk)
		return;
	if (++l->depth > FTL_LLVM_MAX_DEPTH)
		ftl_le_fail(l, "kernel %s: nested deeper than %d", l->f->name, FTL_LLVM_MAX_DEPTH);
	for (uint32_t i = 0; i < blk->insts.n && l->err == FTL_OK; i++)
		emit_inst(l, blk->insts.v[i]);
	l->depth--;
}

/* Start a function: entry block for stack slots, then the first real block. */
static bool begin(ftl_le *l, const ftl_kfunc *f, LLVMValueRef fn, LLVMBasicBlockRef *entry, LLVMBasicBlockRef *first)
{
	l->f = f;
	l->fn = fn;
	l->grid = l->args = NULL;
	l->leave = NULL;
	l->depth = 0;
	l->val = calloc((size_t)f->inst.n + 1, sizeof *l->val);
	l->param = calloc((size_t)f->params.n + 1, sizeof *l->param);
	if (!l->val || !l->param) {
		if (l->err == FTL_OK)
			l->err = ftl_fail(l->d, FTL_ERR_MEMORY, "out of memory while compiling kernel %s", f->name);
		free(l->val);
		free(l->param);
		return false;
	}
	*entry = ftl_le_block(l, "entry");
	*first = ftl_le_block(l, "start");
	LLVMPositionBuilderAtEnd(l->allocas, *entry);
	LLVMPositionBuilderAtEnd(l->b, *first);
	return true;
}

static void end(ftl_le *l, LLVMBasicBlockRef first)
{
	LLVMBuildBr(l->allocas, first);
	free(l->val);
	free(l->param);
	l->val = l->param = NULL;
}

void ftl_le_kernel(ftl_le *l, const ftl_kfunc *f)
{
	LLVMValueRef fn = ftl_le_declare_kernel(l, f), args, i, lo, hi, next, at, index;
	LLVMBasicBlockRef entry, first, body, exit, from;

	if (!begin(l, f, fn, &entry, &first))
		return;
	args = LLVMGetParam(fn, 0);
	l->run = LLVMGetParam(fn, 1);
	lo = LLVMGetParam(fn, 2);
	hi = LLVMGetParam(fn, 3);
	for (uint32_t k = 0; k < f->params.n; k++) {
		index = ftl_le_i64(l, k);
		at = LLVMBuildGEP2(l->b, l->i64, args, &index, 1, "");
		l->param[k] = LLVMBuildLoad2(l->b, ftl_le_type(l, f->params.v[k].type), at, "");
		LLVMSetAlignment(l->param[k], 8);
	}
	body = ftl_le_block(l, "grid");
	exit = ftl_le_block(l, "exit");
	from = LLVMGetInsertBlock(l->b);
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntSLT, lo, hi, ""), body, exit);
	LLVMPositionBuilderAtEnd(l->b, body);
	i = l->grid = LLVMBuildPhi(l->b, l->i64, "");
	LLVMAddIncoming(i, &lo, &from, 1);
	emit_block(l, &f->body);
	next = LLVMBuildNSWAdd(l->b, i, ftl_le_i64(l, 1), "");
	from = LLVMGetInsertBlock(l->b);
	LLVMAddIncoming(i, &next, &from, 1);
	LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntSLT, next, hi, ""), body, exit);
	LLVMMoveBasicBlockAfter(exit, from);
	LLVMPositionBuilderAtEnd(l->b, exit);
	LLVMBuildRetVoid(l->b);
	end(l, first);
}

/* Largest number of arguments of any launch: they all share one array on the stack. */
static uint32_t max_args(const ftl_kfunc *f)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < f->inst.n; i++) {
		if (f->inst.v[i].op == FTL_K_launch && f->inst.v[i].nextra > n)
			n = f->inst.v[i].nextra;
	}
	return n;
}

/* Which kernels may leave an error in the run. NULL when out of memory: then every launch is checked. */
static bool *find_checks(const ftl_kmodule *m)
{
	bool *can_fail = calloc((size_t)m->kernels.n + 1, sizeof *can_fail);

	for (uint32_t k = 0; can_fail && k < m->kernels.n; k++) {
		const ftl_kfunc *f = m->kernels.v[k];

		for (uint32_t i = 1; i < f->inst.n && !can_fail[k]; i++)
			can_fail[k] = f->inst.v[i].op == FTL_K_check;
	}
	return can_fail;
}

void ftl_le_program(ftl_le *l, const ftl_kfunc *f, const char *name)
{
	LLVMValueRef fn = ftl_le_function(l, name, l->main_type, LLVMExternalLinkage), at;
	LLVMBasicBlockRef entry, first;
	uint32_t nargs = max_args(f);

	/* Runs once per inference and may have tens of thousands of instructions: not worth optimizing. */
	ftl_le_attr(l, fn, "noinline");
	ftl_le_attr(l, fn, "optnone");
	if (!begin(l, f, fn, &entry, &first))
		return;
	l->run = LLVMGetParam(fn, 0);
	l->is_size = f == l->km->size;
	if (nargs)
		l->args = LLVMBuildAlloca(l->allocas, LLVMArrayType2(l->i64, nargs), "");
	for (uint32_t v = 1; v < f->inst.n; v++) {
		if (f->inst.v[v].op != FTL_K_workspace)
			continue;
		at = LLVMBuildStructGEP2(l->b, l->run_type, l->run, 2, "");
		l->val[v] = LLVMBuildLoad2(l->b, l->ptr, at, "");
	}
	l->can_fail = find_checks(l->km);
	emit_block(l, &f->body);
	free(l->can_fail);
	l->can_fail = NULL;
	LLVMBuildRet(l->b, f->result ? ftl_le_val(l, f->result) : ftl_le_i64(l, 0));
	end(l, first);
}
