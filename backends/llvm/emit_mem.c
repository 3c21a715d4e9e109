/* Loads, stores and block moves. Any alignment is allowed for vectors; bools are bytes in memory. */
#include <llvm-c/Core.h>

#include "internal.h"

static unsigned align_of(ftl_dtype t)
{
	return (unsigned)ftl_dtype_bytes(t);
}

static LLVMValueRef address(ftl_le *l, ftl_dtype t, LLVMValueRef base, LLVMValueRef index)
{
	return LLVMBuildGEP2(l->b, ftl_le_mem_elem(l, t), base, &index, 1, "");
}

static LLVMValueRef from_memory(ftl_le *l, ftl_dtype t, LLVMValueRef x)
{
	if (t != FTL_BOOL)
		return x;
	return LLVMBuildICmp(l->b, LLVMIntNE, x, LLVMConstNull(LLVMTypeOf(x)), "");
}

static LLVMValueRef to_memory(ftl_le *l, ftl_dtype t, LLVMValueRef x, int lanes)
{
	return t != FTL_BOOL ? x : LLVMBuildZExt(l->b, x, ftl_le_vec(l->i8, lanes), "");
}

static LLVMValueRef load_plain(ftl_le *l, ftl_dtype t, LLVMValueRef at, int lanes)
{
	LLVMValueRef x = LLVMBuildLoad2(l->b, ftl_le_vec(ftl_le_mem_elem(l, t), lanes), at, "");

	LLVMSetAlignment(x, align_of(t));
	return x;
}

static LLVMValueRef store_plain(ftl_le *l, ftl_dtype t, LLVMValueRef at, LLVMValueRef x)
{
	LLVMValueRef s = LLVMBuildStore(l->b, x, at);

	LLVMSetAlignment(s, align_of(t));
	return s;
}

/* Every second element from `at` on, n of them: two vectors, the second of which ends where the last element lies, and a
 * shuffle. */
static LLVMValueRef load_alternate(ftl_le *l, ftl_dtype t, LLVMValueRef base, LLVMValueRef at, int n)
{
	LLVMValueRef low = load_plain(l, t, address(l, t, base, at), n), high, pick[FTL_MAX_LANES];

	at = LLVMBuildAdd(l->b, at, ftl_le_i64(l, n - 1), "");
	high = load_plain(l, t, address(l, t, base, at), n);
	for (int i = 0; i < n; i++)
		pick[i] = LLVMConstInt(l->i32, (unsigned)(2 * i < n ? 2 * i : 2 * i + 1), false);
	return LLVMBuildShuffleVector(l->b, low, high, LLVMConstVector(pick, (unsigned)n), "");
}

static bool const_count(const ftl_kfunc *f, ftl_kv v, int64_t *out)
{
	if (f->inst.v[v].op != FTL_K_const)
		return false;
	*out = f->inst.v[v].imm;
	return true;
}

/* Gathers and scatters go lane by lane: on the machines at hand the instructions for it are no faster. */
static LLVMValueRef emit_load(ftl_le *l, const ftl_kinst *in)
{
	ftl_dtype t = (ftl_dtype)in->type.elem;
	LLVMValueRef base = ftl_le_val(l, in->a[0]), index = ftl_le_val(l, in->a[1]), x, lane, one;
	const ftl_kinst *ramp = &l->f->inst.v[in->a[1]];
	int n = ftl_ktype_of(l->f, in->a[1]).lanes;
	int64_t stride;

	if (n == 1)
		return from_memory(l, t, load_plain(l, t, address(l, t, base, index), in->type.lanes));
	if (ramp->op == FTL_K_ramp && const_count(l->f, ramp->a[1], &stride) && stride == 2)
		return from_memory(l, t, load_alternate(l, t, base, ftl_le_val(l, ramp->a[0]), n));
	x = LLVMGetPoison(ftl_le_vec(ftl_le_mem_elem(l, t), n));
	for (int i = 0; i < n; i++) {
		lane = ftl_le_i64(l, i);
		one = load_plain(l, t, address(l, t, base, LLVMBuildExtractElement(l->b, index, lane, "")), 1);
		x = LLVMBuildInsertElement(l->b, x, one, lane, "");
	}
	return from_memory(l, t, x);
}

static LLVMValueRef emit_store(ftl_le *l, const ftl_kinst *in)
{
	ftl_ktype vt = ftl_ktype_of(l->f, in->a[2]);
	ftl_dtype t = (ftl_dtype)vt.elem;
	LLVMValueRef base = ftl_le_val(l, in->a[0]), index = ftl_le_val(l, in->a[1]), lane, at;
	LLVMValueRef x = to_memory(l, t, ftl_le_val(l, in->a[2]), vt.lanes), one;
	int n = ftl_ktype_of(l->f, in->a[1]).lanes;

	if (n == 1)
		return store_plain(l, t, address(l, t, base, index), x);
	for (int i = 0; i < n; i++) {
		lane = ftl_le_i64(l, i);
		at = address(l, t, base, LLVMBuildExtractElement(l->b, index, lane, ""));
		one = vt.lanes == 1 ? x : LLVMBuildExtractElement(l->b, x, lane, "");
		store_plain(l, t, at, one);
	}
	return l->run;
}

/* The first `count` of n lanes. */
static LLVMValueRef prefix_mask(ftl_le *l, LLVMValueRef count, int n)
{
	LLVMValueRef c = ftl_le_splat(l, LLVMBuildTrunc(l->b, count, l->i32, ""), n);

	return LLVMBuildICmp(l->b, LLVMIntULT, ftl_le_iota(l->i32, n), c, "");
}

/* Whether the target can mask elements of this size in one instruction; what it cannot, LLVM would turn into a branch
 * per lane. */
static bool has_masked(const ftl_le *l, ftl_dtype t)
{
	if (l->spec->have & FTL_CPU_AVX512)
		return true;
	return (l->spec->have & FTL_CPU_AVX2) && ftl_dtype_bytes(t) >= 4;
}

/* The bytes go through a stack slot with memcpy-like halving: count is at most n, so at most log2(n) + 1 plain moves of
 * n/2, n/4, ... 1 elements, chosen by the bits of count. load: memory to slot, else slot to memory. */
static void move_prefix(ftl_le *l, ftl_dtype t, LLVMValueRef mem, LLVMValueRef slot, LLVMValueRef count, int n,
			bool load)
{
	LLVMValueRef done = ftl_le_i64(l, 0), bit, next, from, to, x, phi;
	LLVMBasicBlockRef yes, on, here;
	int half = 1;

	while (half * 2 <= n)
		half *= 2;
	for (; half >= 1; half /= 2) {
		yes = ftl_le_block(l, "some");
		on = ftl_le_block(l, "on");
		bit = LLVMBuildAnd(l->b, count, ftl_le_i64(l, half), "");
		here = LLVMGetInsertBlock(l->b);
		LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntNE, bit, ftl_le_i64(l, 0), ""), yes, on);
		LLVMPositionBuilderAtEnd(l->b, yes);
		from = address(l, t, load ? mem : slot, done);
		to = address(l, t, load ? slot : mem, done);
		x = load_plain(l, t, from, half);
		store_plain(l, t, to, x);
		next = LLVMBuildAdd(l->b, done, ftl_le_i64(l, half), "");
		LLVMBuildBr(l->b, on);
		LLVMPositionBuilderAtEnd(l->b, on);
		phi = LLVMBuildPhi(l->b, l->i64, "");
		LLVMAddIncoming(phi, &done, &here, 1);
		LLVMAddIncoming(phi, &next, &yes, 1);
		done = phi;
	}
}

static LLVMValueRef emit_loadn(ftl_le *l, const ftl_kinst *in)
{
	ftl_dtype t = (ftl_dtype)in->type.elem;
	int n = in->type.lanes, v = n;
	LLVMTypeRef type = ftl_le_vec(ftl_le_mem_elem(l, t), v),
		    over[2] = {LLVMVectorType(ftl_le_mem_elem(l, t), (unsigned)n), l->ptr};
	LLVMValueRef at = address(l, t, ftl_le_val(l, in->a[0]), ftl_le_val(l, in->a[1]));
	LLVMValueRef count = ftl_le_val(l, in->a[2]), a[4], slot, x;
	int64_t c;

	if (const_count(l->f, in->a[2], &c) && c >= n)
		return from_memory(l, t, load_plain(l, t, at, n));
	if (n > 1 && has_masked(l, t)) {
		a[0] = at;
		a[1] = LLVMConstInt(l->i32, align_of(t), false);
		a[2] = prefix_mask(l, count, n);
		a[3] = LLVMConstNull(type);
		return from_memory(l, t, ftl_le_intrinsic(l, "llvm.masked.load", over, 2, a, 4));
	}
	slot = LLVMBuildAlloca(l->allocas, type, "");
	x = LLVMBuildStore(l->b, LLVMConstNull(type), slot);
	move_prefix(l, t, at, slot, count, n, true);
	x = LLVMBuildLoad2(l->b, type, slot, "");
	return from_memory(l, t, x);
}

static LLVMValueRef emit_storen(ftl_le *l, const ftl_kinst *in)
{
	ftl_ktype vt = ftl_ktype_of(l->f, in->a[2]);
	ftl_dtype t = (ftl_dtype)vt.elem;
	int n = vt.lanes;
	LLVMTypeRef type = ftl_le_vec(ftl_le_mem_elem(l, t), n), over[2] = {type, l->ptr};
	LLVMValueRef at = address(l, t, ftl_le_val(l, in->a[0]), ftl_le_val(l, in->a[1]));
	LLVMValueRef x = to_memory(l, t, ftl_le_val(l, in->a[2]), n), count = ftl_le_val(l, in->a[3]), a[4], slot;
	int64_t c;

	if (const_count(l->f, in->a[3], &c) && c >= n)
		return store_plain(l, t, at, x);
	if (n > 1 && has_masked(l, t)) {
		a[0] = x;
		a[1] = at;
		a[2] = LLVMConstInt(l->i32, align_of(t), false);
		a[3] = prefix_mask(l, count, n);
		return ftl_le_intrinsic(l, "llvm.masked.store", over, 2, a, 4);
	}
	slot = LLVMBuildAlloca(l->allocas, type, "");
	LLVMBuildStore(l->b, x, slot);
	move_prefix(l, t, at, slot, count, n, false);
	return l->run;
}

static LLVMValueRef emit_prefetch(ftl_le *l, const ftl_kinst *in)
{
	LLVMTypeRef over = l->ptr;
	LLVMValueRef byte = ftl_le_val(l, in->a[1]), a[4];

	a[0] = LLVMBuildGEP2(l->b, l->i8, ftl_le_val(l, in->a[0]), &byte, 1, "");
	a[1] = LLVMConstInt(l->i32, 0, false); /* read */
	a[2] = LLVMConstInt(l->i32, 3, false); /* keep in all levels */
	a[3] = LLVMConstInt(l->i32, 1, false); /* data */
	return ftl_le_intrinsic(l, "llvm.prefetch", &over, 1, a, 4);
}

/* A function of base/string_fns.h, by its number in the run's table. */
static LLVMValueRef emit_call(ftl_le *l, const ftl_kinst *in)
{
	LLVMTypeRef types[4] = {l->ptr, l->i64, l->i64, l->i64};
	LLVMValueRef strings = LLVMBuildLoad2(l->b, l->ptr, LLVMBuildStructGEP2(l->b, l->run_type, l->run, 9, ""), "");
	LLVMValueRef table = LLVMBuildLoad2(l->b, l->ptr, strings, ""), index = ftl_le_i64(l, in->imm),
		     a[4] = {strings};
	LLVMValueRef fn = LLVMBuildLoad2(l->b, l->ptr, LLVMBuildGEP2(l->b, l->ptr, table, &index, 1, ""), "");

	for (int k = 0; k < 3; k++)
		a[k + 1] = ftl_le_val(l, in->a[k]);
	return LLVMBuildCall2(l->b, LLVMFunctionType(l->i64, types, 4, false), fn, a, 4, "");
}

LLVMValueRef ftl_le_memory(ftl_le *l, const ftl_kinst *in)
{
	LLVMValueRef x;

	switch ((ftl_kop)in->op) {
	case FTL_K_load: return emit_load(l, in);
	case FTL_K_store: return emit_store(l, in);
	case FTL_K_loadn: return emit_loadn(l, in);
	case FTL_K_storen: return emit_storen(l, in);
	case FTL_K_prefetch: return emit_prefetch(l, in);
	case FTL_K_copy:
		return LLVMBuildMemCpy(l->b, ftl_le_val(l, in->a[0]), 1, ftl_le_val(l, in->a[1]), 1,
				       ftl_le_val(l, in->a[2]));
	case FTL_K_zero:
		return LLVMBuildMemSet(l->b, ftl_le_val(l, in->a[0]), LLVMConstInt(l->i8, 0, false),
				       ftl_le_val(l, in->a[1]), 1);
	case FTL_K_addr: return LLVMBuildPtrToInt(l->b, ftl_le_val(l, in->a[0]), l->i64, "");
	case FTL_K_call: return emit_call(l, in);
	case FTL_K_offset:
		x = ftl_le_val(l, in->a[1]);
		return LLVMBuildGEP2(l->b, l->i8, ftl_le_val(l, in->a[0]), &x, 1, "");
	default: return NULL;
	}
}
