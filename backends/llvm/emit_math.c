/* Arithmetic, comparisons, conversions and math, to the letter of kops.def: shifts by too much give 0, division by
 * zero gives 0, float to integer saturates. Nothing is emitted that a target could turn into a call outside libm. */
#include <llvm-c/Core.h>

#include <stdio.h>
#include <string.h>

#include "internal.h"

static bool is_float(ftl_dtype t)
{
	return t == FTL_F32 || t == FTL_F64;
}

/* The value of an integer constant (all lanes), looking through splat. */
static bool const_int(const ftl_kfunc *f, ftl_kv v, int64_t *out)
{
	const ftl_kinst *in = &f->inst.v[v];

	if (in->op == FTL_K_splat)
		in = &f->inst.v[in->a[0]];
	if (in->op != FTL_K_const || ftl_dtype_is_float((ftl_dtype)in->type.elem))
		return false;
	*out = in->imm;
	return true;
}

static LLVMValueRef unary_intrinsic(ftl_le *l, const char *name, LLVMValueRef x)
{
	LLVMTypeRef t = LLVMTypeOf(x);

	return ftl_le_intrinsic(l, name, &t, 1, &x, 1);
}

static LLVMValueRef binary_intrinsic(ftl_le *l, const char *name, LLVMValueRef x, LLVMValueRef y)
{
	LLVMTypeRef t = LLVMTypeOf(x);
	LLVMValueRef a[2] = {x, y};

	return ftl_le_intrinsic(l, name, &t, 1, a, 2);
}

/* x / 0 = 0, x % 0 = 0; INT_MIN / -1 = INT_MIN, INT_MIN % -1 = 0. No guard where the divisor is known to be harmless. */
static LLVMValueRef divide(ftl_le *l, const ftl_kinst *in, LLVMValueRef x, LLVMValueRef y)
{
	bool rem = in->op == FTL_K_rem, is_signed = ftl_dtype_is_signed((ftl_dtype)in->type.elem);
	LLVMTypeRef t = LLVMTypeOf(x);
	LLVMValueRef zero = ftl_le_int(t, 0), is_zero, is_neg, odd, q;
	int64_t c;

	if (const_int(l->f, in->a[1], &c) && c != 0 && !(is_signed && c == -1)) {
		if (is_signed)
			return rem ? LLVMBuildSRem(l->b, x, y, "") : LLVMBuildSDiv(l->b, x, y, "");
		return rem ? LLVMBuildURem(l->b, x, y, "") : LLVMBuildUDiv(l->b, x, y, "");
	}
	is_zero = LLVMBuildICmp(l->b, LLVMIntEQ, y, zero, "");
	if (!is_signed) {
		y = LLVMBuildSelect(l->b, is_zero, ftl_le_int(t, 1), y, "");
		if (rem)
			return LLVMBuildURem(l->b, x, y, "");
		return LLVMBuildSelect(l->b, is_zero, zero, LLVMBuildUDiv(l->b, x, y, ""), "");
	}
	is_neg = LLVMBuildICmp(l->b, LLVMIntEQ, y, ftl_le_int(t, -1), "");
	odd = LLVMBuildOr(l->b, is_zero, is_neg, "");
	y = LLVMBuildSelect(l->b, odd, ftl_le_int(t, 1), y, "");
	if (rem)
		return LLVMBuildSRem(l->b, x, y, ""); /* both odd cases: x % 1 = 0 */
	q = LLVMBuildSDiv(l->b, x, y, "");
	q = LLVMBuildSelect(l->b, is_neg, LLVMBuildNeg(l->b, x, ""), q, "");
	return LLVMBuildSelect(l->b, is_zero, zero, q, "");
}

static LLVMValueRef shift(ftl_le *l, const ftl_kinst *in, LLVMValueRef x, LLVMValueRef y)
{
	ftl_dtype e = (ftl_dtype)in->type.elem;
	int64_t bits = ftl_dtype_bits(e), c;
	bool arithmetic = in->op == FTL_K_shr && ftl_dtype_is_signed(e);
	LLVMTypeRef t = LLVMTypeOf(x);
	LLVMValueRef fits, r;
	bool known = const_int(l->f, in->a[1], &c) && c >= 0 && c < bits;

	if (arithmetic) {
		if (!known)
			y = binary_intrinsic(l, "llvm.umin", y, ftl_le_int(t, bits - 1));
		return LLVMBuildAShr(l->b, x, y, "");
	}
	if (known)
		return in->op == FTL_K_shl ? LLVMBuildShl(l->b, x, y, "") : LLVMBuildLShr(l->b, x, y, "");
	fits = LLVMBuildICmp(l->b, LLVMIntULT, y, ftl_le_int(t, bits), "");
	y = LLVMBuildSelect(l->b, fits, y, ftl_le_int(t, 0), "");
	r = in->op == FTL_K_shl ? LLVMBuildShl(l->b, x, y, "") : LLVMBuildLShr(l->b, x, y, "");
	return LLVMBuildSelect(l->b, fits, r, ftl_le_int(t, 0), "");
}

static LLVMValueRef compare(ftl_le *l, ftl_kop op, ftl_dtype t, LLVMValueRef x, LLVMValueRef y)
{
	bool s = ftl_dtype_is_signed(t);

	if (is_float(t)) {
		LLVMRealPredicate p = op == FTL_K_eq   ? LLVMRealOEQ
				      : op == FTL_K_ne ? LLVMRealUNE
				      : op == FTL_K_lt ? LLVMRealOLT
						       : LLVMRealOLE;

		return LLVMBuildFCmp(l->b, p, x, y, "");
	}
	if (op == FTL_K_eq || op == FTL_K_ne)
		return LLVMBuildICmp(l->b, op == FTL_K_eq ? LLVMIntEQ : LLVMIntNE, x, y, "");
	if (op == FTL_K_lt)
		return LLVMBuildICmp(l->b, s ? LLVMIntSLT : LLVMIntULT, x, y, "");
	return LLVMBuildICmp(l->b, s ? LLVMIntSLE : LLVMIntULE, x, y, "");
}

/* ---- conversions ---- */

static LLVMValueRef bits_of(ftl_le *l, LLVMValueRef x, LLVMTypeRef elem, int lanes)
{
	return LLVMBuildBitCast(l->b, x, ftl_le_vec(elem, lanes), "");
}

static LLVMValueRef f16_to_f32(ftl_le *l, LLVMValueRef h, int lanes)
{
	LLVMTypeRef i32 = ftl_le_vec(l->i32, lanes), f32 = ftl_le_vec(l->f32, lanes);
	LLVMValueRef sign, mag, r, special;

	if (l->spec->have & FTL_CPU_F16C) {
		h = bits_of(l, h, LLVMHalfTypeInContext(l->c), lanes);
		return LLVMBuildFPExt(l->b, h, f32, "");
	}
	/* The f16 exponent and mantissa put at f32's place read as value * 2^-112, subnormals included. */
	h = LLVMBuildZExt(l->b, h, i32, "");
	sign = LLVMBuildShl(l->b, LLVMBuildAnd(l->b, h, ftl_le_int(i32, 0x8000), ""), ftl_le_int(i32, 16), "");
	mag = LLVMBuildAnd(l->b, h, ftl_le_int(i32, 0x7fff), "");
	special = LLVMBuildICmp(l->b, LLVMIntUGT, mag, ftl_le_int(i32, 0x7bff), "");
	r = bits_of(l, LLVMBuildShl(l->b, mag, ftl_le_int(i32, 13), ""), l->f32, lanes);
	r = LLVMBuildFMul(l->b, r, ftl_le_real(f32, 0x1p112), "");
	r = bits_of(l, r, l->i32, lanes);
	r = LLVMBuildSelect(l->b, special, LLVMBuildOr(l->b, r, ftl_le_int(i32, 0x7f800000), ""), r, "");
	return bits_of(l, LLVMBuildOr(l->b, r, sign, ""), l->f32, lanes);
}

static LLVMValueRef f32_to_f16(ftl_le *l, LLVMValueRef x, int lanes)
{
	LLVMTypeRef i32 = ftl_le_vec(l->i32, lanes), i16 = ftl_le_vec(l->i16, lanes), f32 = ftl_le_vec(l->f32, lanes);
	LLVMValueRef u, sign, a, odd, normal, tiny, nan, r;

	if (l->spec->have & FTL_CPU_F16C) {
		x = LLVMBuildFPTrunc(l->b, x, ftl_le_vec(LLVMHalfTypeInContext(l->c), lanes), "");
		return bits_of(l, x, l->i16, lanes);
	}
	u = bits_of(l, x, l->i32, lanes);
	sign = LLVMBuildAnd(l->b, LLVMBuildLShr(l->b, u, ftl_le_int(i32, 16), ""), ftl_le_int(i32, 0x8000), "");
	a = LLVMBuildAnd(l->b, u, ftl_le_int(i32, 0x7fffffff), "");
	/* normal: rebias the exponent, add just under half an ulp plus the odd bit, cut */
	odd = LLVMBuildAnd(l->b, LLVMBuildLShr(l->b, a, ftl_le_int(i32, 13), ""), ftl_le_int(i32, 1), "");
	normal = LLVMBuildSub(l->b, a, ftl_le_int(i32, 0x38000000 - 0xfff), "");
	normal = LLVMBuildLShr(l->b, LLVMBuildAdd(l->b, normal, odd, ""), ftl_le_int(i32, 13), "");
	/* subnormal: adding 0.5 leaves the value in units of 2^-24, rounded by the addition */
	tiny = LLVMBuildFAdd(l->b, bits_of(l, a, l->f32, lanes), ftl_le_real(f32, 0.5), "");
	tiny = LLVMBuildSub(l->b, bits_of(l, tiny, l->i32, lanes), ftl_le_int(i32, 0x3f000000), "");
	nan = LLVMBuildAnd(l->b, LLVMBuildLShr(l->b, a, ftl_le_int(i32, 13), ""), ftl_le_int(i32, 0x1ff), "");
	nan = LLVMBuildOr(l->b, nan, ftl_le_int(i32, 0x7e00), "");
	r = LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntULT, a, ftl_le_int(i32, 0x38800000), ""), tiny, normal,
			    "");
	r = LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntUGE, a, ftl_le_int(i32, 0x47800000), ""),
			    ftl_le_int(i32, 0x7c00), r, "");
	r = LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntUGT, a, ftl_le_int(i32, 0x7f800000), ""), nan, r, "");
	return LLVMBuildTrunc(l->b, LLVMBuildOr(l->b, r, sign, ""), i16, "");
}

static LLVMValueRef bf16_to_f32(ftl_le *l, LLVMValueRef h, int lanes)
{
	LLVMTypeRef i32 = ftl_le_vec(l->i32, lanes);

	h = LLVMBuildShl(l->b, LLVMBuildZExt(l->b, h, i32, ""), ftl_le_int(i32, 16), "");
	return bits_of(l, h, l->f32, lanes);
}

static LLVMValueRef f32_to_bf16(ftl_le *l, LLVMValueRef x, int lanes)
{
	LLVMTypeRef i32 = ftl_le_vec(l->i32, lanes);
	LLVMValueRef u = bits_of(l, x, l->i32, lanes), top, r, nan;

	top = LLVMBuildLShr(l->b, u, ftl_le_int(i32, 16), "");
	r = LLVMBuildAdd(l->b, u, LLVMBuildAnd(l->b, top, ftl_le_int(i32, 1), ""), "");
	r = LLVMBuildLShr(l->b, LLVMBuildAdd(l->b, r, ftl_le_int(i32, 0x7fff), ""), ftl_le_int(i32, 16), "");
	nan = LLVMBuildFCmp(l->b, LLVMRealUNO, x, x, "");
	r = LLVMBuildSelect(l->b, nan, LLVMBuildOr(l->b, top, ftl_le_int(i32, 0x40), ""), r, "");
	return LLVMBuildTrunc(l->b, r, ftl_le_vec(l->i16, lanes), "");
}

static LLVMValueRef to_int_sat(ftl_le *l, LLVMValueRef x, LLVMTypeRef t, bool is_signed)
{
	LLVMTypeRef over[2] = {t, LLVMTypeOf(x)};

	return ftl_le_intrinsic(l, is_signed ? "llvm.fptosi.sat" : "llvm.fptoui.sat", over, 2, &x, 1);
}

LLVMValueRef ftl_le_cast(ftl_le *l, LLVMValueRef x, ftl_dtype from, ftl_dtype to, int lanes)
{
	LLVMTypeRef t = ftl_le_vec(ftl_le_elem(l, to), lanes);

	if (from == to)
		return x;
	/* 16-bit floats go through f32 on both sides */
	if (from == FTL_F16 || from == FTL_BF16)
		return ftl_le_cast(l, from == FTL_F16 ? f16_to_f32(l, x, lanes) : bf16_to_f32(l, x, lanes), FTL_F32, to,
				   lanes);
	if (to == FTL_F16 || to == FTL_BF16) {
		x = ftl_le_cast(l, x, from, FTL_F32, lanes);
		return to == FTL_F16 ? f32_to_f16(l, x, lanes) : f32_to_bf16(l, x, lanes);
	}
	if (is_float(from)) {
		if (to == FTL_BOOL)
			return LLVMBuildFCmp(l->b, LLVMRealUNE, x, LLVMConstNull(LLVMTypeOf(x)), "");
		if (is_float(to))
			return to == FTL_F64 ? LLVMBuildFPExt(l->b, x, t, "") : LLVMBuildFPTrunc(l->b, x, t, "");
		return to_int_sat(l, x, t, ftl_dtype_is_signed(to));
	}
	if (is_float(to))
		return ftl_dtype_is_signed(from) ? LLVMBuildSIToFP(l->b, x, t, "") : LLVMBuildUIToFP(l->b, x, t, "");
	if (to == FTL_BOOL)
		return LLVMBuildICmp(l->b, LLVMIntNE, x, LLVMConstNull(LLVMTypeOf(x)), "");
	if (from == FTL_BOOL || ftl_dtype_bits(to) > ftl_dtype_bits(from))
		return ftl_dtype_is_signed(from) ? LLVMBuildSExt(l->b, x, t, "") : LLVMBuildZExt(l->b, x, t, "");
	return ftl_dtype_bits(to) == ftl_dtype_bits(from) ? x : LLVMBuildTrunc(l->b, x, t, "");
}

static LLVMValueRef bitcast(ftl_le *l, LLVMValueRef x, ftl_dtype from, ftl_dtype to, int lanes)
{
	LLVMTypeRef t = ftl_le_vec(ftl_le_elem(l, to), lanes);

	if (from == FTL_BOOL && to != FTL_BOOL)
		return LLVMBuildZExt(l->b, x, t, "");
	if (to == FTL_BOOL && from != FTL_BOOL)
		return LLVMBuildICmp(l->b, LLVMIntNE, x, LLVMConstNull(LLVMTypeOf(x)), "");
	return LLVMTypeOf(x) == t ? x : LLVMBuildBitCast(l->b, x, t, "");
}

/* ---- libm ---- */

static const char *libm_name(ftl_kop op)
{
	switch (op) {
	case FTL_K_exp:
	case FTL_K_log:
	case FTL_K_sin:
	case FTL_K_cos:
	case FTL_K_tan:
	case FTL_K_asin:
	case FTL_K_acos:
	case FTL_K_atan:
	case FTL_K_sinh:
	case FTL_K_cosh:
	case FTL_K_tanh:
	case FTL_K_asinh:
	case FTL_K_acosh:
	case FTL_K_atanh:
	case FTL_K_erf:
	case FTL_K_pow: return ftl_kop_get(op)->name; /* C has the same names */
	default: return NULL;
	}
}

/* One call per lane: what is left here after ftl_kmodule_expand_math is rare (f64, or not expanded on purpose). */
static LLVMValueRef libm_call(ftl_le *l, const ftl_kinst *in, const char *op, LLVMValueRef x, LLVMValueRef y)
{
	bool single = in->type.elem == FTL_F32;
	LLVMTypeRef t = single ? l->f32 : l->f64, p[2] = {t, t}, type = LLVMFunctionType(t, p, y ? 2 : 1, false);
	LLVMValueRef fn, r, a[2], lane;
	char name[16];

	snprintf(name, sizeof name, "%s%s", op, single ? "f" : "");
	fn = LLVMGetNamedFunction(l->m, name);
	if (!fn) {
		unsigned memory = LLVMGetEnumAttributeKindForName("memory", 6);

		fn = LLVMAddFunction(l->m, name, type);
		ftl_le_attr(l, fn, "nounwind");
		ftl_le_attr(l, fn, "willreturn");
		/* no memory: errno is nobody's business here, and calls may be hoisted */
		LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
					LLVMCreateEnumAttribute(l->c, memory, 0));
	}
	if (in->type.lanes == 1) {
		a[0] = x;
		a[1] = y;
		return LLVMBuildCall2(l->b, type, fn, a, y ? 2 : 1, "");
	}
	r = LLVMGetPoison(LLVMTypeOf(x));
	for (int i = 0; i < in->type.lanes; i++) {
		lane = ftl_le_i64(l, i);
		a[0] = LLVMBuildExtractElement(l->b, x, lane, "");
		a[1] = y ? LLVMBuildExtractElement(l->b, y, lane, "") : NULL;
		r = LLVMBuildInsertElement(l->b, r, LLVMBuildCall2(l->b, type, fn, a, y ? 2 : 1, ""), lane, "");
	}
	return r;
}

static LLVMValueRef arithmetic(ftl_le *l, const ftl_kinst *in, LLVMValueRef x, LLVMValueRef y)
{
	ftl_dtype t = (ftl_dtype)in->type.elem;
	bool f = is_float(t), s = ftl_dtype_is_signed(t);

	switch ((ftl_kop)in->op) {
	case FTL_K_add: return f ? LLVMBuildFAdd(l->b, x, y, "") : LLVMBuildAdd(l->b, x, y, "");
	case FTL_K_sub: return f ? LLVMBuildFSub(l->b, x, y, "") : LLVMBuildSub(l->b, x, y, "");
	case FTL_K_mul: return f ? LLVMBuildFMul(l->b, x, y, "") : LLVMBuildMul(l->b, x, y, "");
	case FTL_K_div: return f ? LLVMBuildFDiv(l->b, x, y, "") : divide(l, in, x, y);
	case FTL_K_rem: return f ? LLVMBuildFRem(l->b, x, y, "") : divide(l, in, x, y);
	case FTL_K_min: return binary_intrinsic(l, f ? "llvm.minnum" : s ? "llvm.smin" : "llvm.umin", x, y);
	case FTL_K_max: return binary_intrinsic(l, f ? "llvm.maxnum" : s ? "llvm.smax" : "llvm.umax", x, y);
	case FTL_K_and: return LLVMBuildAnd(l->b, x, y, "");
	case FTL_K_or: return LLVMBuildOr(l->b, x, y, "");
	case FTL_K_xor: return LLVMBuildXor(l->b, x, y, "");
	case FTL_K_shl:
	case FTL_K_shr: return shift(l, in, x, y);
	default: return NULL;
	}
}

static LLVMValueRef unary(ftl_le *l, const ftl_kinst *in, LLVMValueRef x)
{
	ftl_dtype t = (ftl_dtype)in->type.elem;
	LLVMTypeRef type = LLVMTypeOf(x);
	LLVMValueRef a[2];

	switch ((ftl_kop)in->op) {
	case FTL_K_neg: return is_float(t) ? LLVMBuildFNeg(l->b, x, "") : LLVMBuildNeg(l->b, x, "");
	case FTL_K_abs:
		if (is_float(t))
			return unary_intrinsic(l, "llvm.fabs", x);
		if (!ftl_dtype_is_signed(t))
			return x;
		a[0] = x;
		a[1] = LLVMConstInt(l->i1, 0, false); /* INT_MIN is not poison */
		return ftl_le_intrinsic(l, "llvm.abs", &type, 1, a, 2);
	case FTL_K_not: return LLVMBuildNot(l->b, x, "");
	case FTL_K_popcount: return unary_intrinsic(l, "llvm.ctpop", x);
	case FTL_K_sqrt: return unary_intrinsic(l, "llvm.sqrt", x);
	case FTL_K_floor: return unary_intrinsic(l, "llvm.floor", x);
	case FTL_K_ceil: return unary_intrinsic(l, "llvm.ceil", x);
	case FTL_K_trunc: return unary_intrinsic(l, "llvm.trunc", x);
	case FTL_K_rint: return unary_intrinsic(l, "llvm.rint", x);
	default: return NULL;
	}
}

static LLVMValueRef fma_(ftl_le *l, const ftl_kinst *in)
{
	LLVMValueRef a[3];
	LLVMTypeRef t;

	for (int i = 0; i < 3; i++)
		a[i] = ftl_le_val(l, in->a[i]);
	t = LLVMTypeOf(a[0]);
	if (!is_float((ftl_dtype)in->type.elem))
		return LLVMBuildAdd(l->b, LLVMBuildMul(l->b, a[0], a[1], ""), a[2], "");
	if (!(l->spec->have & FTL_CPU_FMA))
		return LLVMBuildFAdd(l->b, LLVMBuildFMul(l->b, a[0], a[1], ""), a[2], "");
	return ftl_le_intrinsic(l, "llvm.fma", &t, 1, a, 3);
}

LLVMValueRef ftl_le_math(ftl_le *l, const ftl_kinst *in)
{
	const ftl_kop op = (ftl_kop)in->op;
	const ftl_kop_info *info = op < FTL_K_COUNT ? ftl_kop_get(op) : NULL;
	ftl_ktype t0;
	const char *libm;

	switch (op) {
	case FTL_K_fma: return fma_(l, in);
	case FTL_K_eq:
	case FTL_K_ne:
	case FTL_K_lt:
	case FTL_K_le:
		t0 = ftl_ktype_of(l->f, in->a[0]);
		return compare(l, op, (ftl_dtype)t0.elem, ftl_le_val(l, in->a[0]), ftl_le_val(l, in->a[1]));
	case FTL_K_select:
		return LLVMBuildSelect(l->b, ftl_le_val(l, in->a[0]), ftl_le_val(l, in->a[1]), ftl_le_val(l, in->a[2]),
				       "");
	case FTL_K_cast:
		t0 = ftl_ktype_of(l->f, in->a[0]);
		return ftl_le_cast(l, ftl_le_val(l, in->a[0]), (ftl_dtype)t0.elem, (ftl_dtype)in->type.elem,
				   in->type.lanes);
	case FTL_K_bitcast:
		t0 = ftl_ktype_of(l->f, in->a[0]);
		return bitcast(l, ftl_le_val(l, in->a[0]), (ftl_dtype)t0.elem, (ftl_dtype)in->type.elem,
			       in->type.lanes);
	default: break;
	}
	if (!info || info->rule != K_RULE_SAME)
		return NULL;
	libm = libm_name(op);
	if (libm)
		return libm_call(l, in, libm, ftl_le_val(l, in->a[0]),
				 info->nargs == 2 ? ftl_le_val(l, in->a[1]) : NULL);
	if (info->nargs == 1)
		return unary(l, in, ftl_le_val(l, in->a[0]));
	return arithmetic(l, in, ftl_le_val(l, in->a[0]), ftl_le_val(l, in->a[1]));
}
