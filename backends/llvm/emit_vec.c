/* Vector instructions: lanes in and out, reductions, dot products. */
#include <llvm-c/Core.h>

#include "internal.h"

static LLVMValueRef shuffle(ftl_le *l, LLVMValueRef x, LLVMValueRef y, const int *lane, int n)
{
	LLVMValueRef mask[4 * FTL_MAX_LANES];

	for (int i = 0; i < n; i++)
		mask[i] = lane[i] < 0 ? LLVMGetPoison(l->i32) : LLVMConstInt(l->i32, (unsigned)lane[i], false);
	return LLVMBuildShuffleVector(l->b, x, y ? y : LLVMGetPoison(LLVMTypeOf(x)), LLVMConstVector(mask, (unsigned)n),
				      "");
}

/* Lanes from, from + step, ... (n of them) of x; a scalar if n == 1. */
static LLVMValueRef take(ftl_le *l, LLVMValueRef x, int from, int step, int n)
{
	int lane[4 * FTL_MAX_LANES];

	if (n == 1)
		return LLVMBuildExtractElement(l->b, x, ftl_le_i64(l, from), "");
	for (int i = 0; i < n; i++)
		lane[i] = from + i * step;
	return shuffle(l, x, NULL, lane, n);
}

static LLVMValueRef join(ftl_le *l, LLVMValueRef x, int nx, LLVMValueRef y, int ny)
{
	int lane[4 * FTL_MAX_LANES], n = nx > ny ? nx : ny;

	/* both sides as vectors of equal length, then pick */
	if (nx == 1)
		x = LLVMBuildInsertElement(l->b, LLVMGetPoison(LLVMVectorType(LLVMTypeOf(x), 1)), x, ftl_le_i64(l, 0),
					   "");
	if (ny == 1)
		y = LLVMBuildInsertElement(l->b, LLVMGetPoison(LLVMVectorType(LLVMTypeOf(y), 1)), y, ftl_le_i64(l, 0),
					   "");
	for (int i = 0; i < n; i++)
		lane[i] = i < (nx < ny ? nx : ny) ? i : -1;
	if (nx < n)
		x = shuffle(l, x, NULL, lane, n);
	if (ny < n)
		y = shuffle(l, y, NULL, lane, n);
	for (int i = 0; i < nx + ny; i++)
		lane[i] = i < nx ? i : n + i - nx;
	return shuffle(l, x, y, lane, nx + ny);
}

static LLVMValueRef combine(ftl_le *l, ftl_kop op, ftl_dtype t, LLVMValueRef x, LLVMValueRef y)
{
	bool f = ftl_dtype_is_float(t), s = ftl_dtype_is_signed(t);
	LLVMTypeRef type = LLVMTypeOf(x);
	LLVMValueRef a[2] = {x, y};

	switch (op) {
	case FTL_K_reduce_add: return f ? LLVMBuildFAdd(l->b, x, y, "") : LLVMBuildAdd(l->b, x, y, "");
	case FTL_K_reduce_mul: return f ? LLVMBuildFMul(l->b, x, y, "") : LLVMBuildMul(l->b, x, y, "");
	case FTL_K_reduce_min:
		return ftl_le_intrinsic(l, f ? "llvm.minnum" : s ? "llvm.smin" : "llvm.umin", &type, 1, a, 2);
	default: return ftl_le_intrinsic(l, f ? "llvm.maxnum" : s ? "llvm.smax" : "llvm.umax", &type, 1, a, 2);
	}
}

/* Halves combined until one lane is left: the same order everywhere, so the same bits. */
static LLVMValueRef reduce(ftl_le *l, const ftl_kinst *in)
{
	ftl_ktype t = ftl_ktype_of(l->f, in->a[0]);
	LLVMValueRef x = ftl_le_val(l, in->a[0]);
	int n = t.lanes;

	if (n & (n - 1)) {
		ftl_le_fail(l, "kernel %s: reduction of %d lanes, not a power of two", l->f->name, n);
		return x;
	}
	for (; n > 1; n /= 2)
		x = combine(l, (ftl_kop)in->op, (ftl_dtype)t.elem, take(l, x, 0, 1, n / 2),
			    take(l, x, n / 2, 1, n / 2));
	return x;
}

/* ---- dot4 ---- */

/* acc (n i32) + u8 x i8 by groups of four, one instruction; name of the intrinsic for n lanes or NULL. */
static const char *dot4_intrinsic(const ftl_spec *s, int n)
{
	bool any = s->have & (FTL_CPU_VNNI512 | FTL_CPU_AVXVNNI);

	if (n == 16 && (s->have & FTL_CPU_VNNI512))
		return "llvm.x86.avx512.vpdpbusd.512";
	if (n == 8 && any)
		return "llvm.x86.avx512.vpdpbusd.256";
	if (n == 4 && any)
		return "llvm.x86.avx512.vpdpbusd.128";
	if (n == 4 && (s->have & FTL_CPU_I8MM))
		return "llvm.aarch64.neon.usdot";
	return NULL;
}

static const char *madd_intrinsic(const ftl_spec *s, int n)
{
	if (n == 16 && (s->have & FTL_CPU_AVX512))
		return "llvm.x86.avx512.pmaddw.d.512";
	if (n == 8 && (s->have & FTL_CPU_AVX2))
		return "llvm.x86.avx2.pmadd.wd";
	if (n == 4 && s->x86)
		return "llvm.x86.sse2.pmadd.wd";
	return NULL;
}

/* Even and odd bytes as 16-bit lanes, multiplied and added in pairs: exact, unlike maddubs, whose sums saturate. */
static LLVMValueRef dot4_madd(ftl_le *l, const char *name, LLVMValueRef acc, LLVMValueRef u, LLVMValueRef s, int n)
{
	LLVMTypeRef w = ftl_le_vec(l->i16, 2 * n);
	LLVMValueRef eight = ftl_le_int(w, 8), a[2], even;

	u = LLVMBuildBitCast(l->b, u, w, "");
	s = LLVMBuildBitCast(l->b, s, w, "");
	a[0] = LLVMBuildAnd(l->b, u, ftl_le_int(w, 0xff), "");
	a[1] = LLVMBuildAShr(l->b, LLVMBuildShl(l->b, s, eight, ""), eight, "");
	even = ftl_le_intrinsic(l, name, NULL, 0, a, 2);
	a[0] = LLVMBuildLShr(l->b, u, eight, "");
	a[1] = LLVMBuildAShr(l->b, s, eight, "");
	acc = LLVMBuildAdd(l->b, acc, even, "");
	return LLVMBuildAdd(l->b, acc, ftl_le_intrinsic(l, name, NULL, 0, a, 2), "");
}

static LLVMValueRef dot4_plain(ftl_le *l, LLVMValueRef acc, LLVMValueRef u, LLVMValueRef s, int n)
{
	LLVMTypeRef w = ftl_le_vec(l->i32, 4 * n);
	LLVMValueRef p = LLVMBuildMul(l->b, LLVMBuildZExt(l->b, u, w, ""), LLVMBuildSExt(l->b, s, w, ""), "");

	for (int k = 0; k < 4; k++)
		acc = LLVMBuildAdd(l->b, acc, take(l, p, k, 4, n), "");
	return acc;
}

/* n a power of two; splits down to what the target has. */
static LLVMValueRef dot4(ftl_le *l, LLVMValueRef acc, LLVMValueRef u, LLVMValueRef s, int n)
{
	LLVMValueRef a[3] = {acc, u, s}, lo, hi;
	const char *name = dot4_intrinsic(l->spec, n);

	if (name && l->spec->x86) {
		/* the x86 intrinsic is typed as dwords */
		a[1] = LLVMBuildBitCast(l->b, u, ftl_le_vec(l->i32, n), "");
		a[2] = LLVMBuildBitCast(l->b, s, ftl_le_vec(l->i32, n), "");
		return ftl_le_intrinsic(l, name, NULL, 0, a, 3);
	}
	if (name) {
		LLVMTypeRef over[2] = {LLVMTypeOf(acc), LLVMTypeOf(u)};

		return ftl_le_intrinsic(l, name, over, 2, a, 3);
	}
	name = madd_intrinsic(l->spec, n);
	if (name)
		return dot4_madd(l, name, acc, u, s, n);
	if (n <= 4)
		return dot4_plain(l, acc, u, s, n);
	lo = dot4(l, take(l, acc, 0, 1, n / 2), take(l, u, 0, 1, 2 * n), take(l, s, 0, 1, 2 * n), n / 2);
	hi = dot4(l, take(l, acc, n / 2, 1, n / 2), take(l, u, 2 * n, 1, 2 * n), take(l, s, 2 * n, 1, 2 * n), n / 2);
	return join(l, lo, n / 2, hi, n / 2);
}

static LLVMValueRef emit_dot4(ftl_le *l, const ftl_kinst *in)
{
	LLVMValueRef acc = ftl_le_val(l, in->a[0]), u = ftl_le_val(l, in->a[1]), s = ftl_le_val(l, in->a[2]);
	int n = in->type.lanes;

	if (n & (n - 1))
		return dot4_plain(l, acc, u, s, n);
	return dot4(l, acc, u, s, n);
}

LLVMValueRef ftl_le_vector(ftl_le *l, const ftl_kinst *in)
{
	int n = in->type.lanes;
	LLVMValueRef x, y;
	ftl_ktype t;

	switch ((ftl_kop)in->op) {
	case FTL_K_splat: return ftl_le_splat(l, ftl_le_val(l, in->a[0]), n);
	case FTL_K_ramp:
		x = ftl_le_splat(l, ftl_le_val(l, in->a[0]), n);
		y = ftl_le_splat(l, ftl_le_val(l, in->a[1]), n);
		return LLVMBuildAdd(l->b, x, LLVMBuildMul(l->b, ftl_le_iota(l->i64, n), y, ""), "");
	case FTL_K_extract:
		x = ftl_le_val(l, in->a[0]);
		if (ftl_ktype_of(l->f, in->a[0]).lanes == 1)
			return x;
		return LLVMBuildExtractElement(l->b, x, ftl_le_i64(l, in->imm), "");
	case FTL_K_insert:
		return LLVMBuildInsertElement(l->b, ftl_le_val(l, in->a[0]), ftl_le_val(l, in->a[1]),
					      ftl_le_i64(l, in->imm), "");
	case FTL_K_slice:
		x = ftl_le_val(l, in->a[0]);
		return ftl_ktype_of(l->f, in->a[0]).lanes == 1 ? x : take(l, x, (int)in->imm, 1, n);
	case FTL_K_join:
		t = ftl_ktype_of(l->f, in->a[0]);
		return join(l, ftl_le_val(l, in->a[0]), t.lanes, ftl_le_val(l, in->a[1]),
			    ftl_ktype_of(l->f, in->a[1]).lanes);
	case FTL_K_reduce_add:
	case FTL_K_reduce_mul:
	case FTL_K_reduce_min:
	case FTL_K_reduce_max: return reduce(l, in);
	case FTL_K_dot4: return emit_dot4(l, in);
	default: return NULL;
	}
}
