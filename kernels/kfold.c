/* Arithmetic on constants: see kfold.h.
 *
 * f32 is computed in float, so that a folded value is the one that would have been computed. */
#include "kfold.h"

#include <math.h>

int64_t ftl_kfold_wrap(ftl_dtype t, uint64_t v)
{
	switch (t) {
	case FTL_I8: return (int8_t)v;
	case FTL_I16: return (int16_t)v;
	case FTL_I32: return (int32_t)v;
	case FTL_U8: return (uint8_t)v;
	case FTL_U16: return (uint16_t)v;
	case FTL_U32: return (uint32_t)v;
	case FTL_BOOL: return v != 0;
	default: return (int64_t)v;
	}
}

double ftl_kfold_f64(int64_t imm)
{
	double d;

	memcpy(&d, &imm, sizeof d);
	return d;
}

int64_t ftl_kfold_float(ftl_dtype t, double v)
{
	int64_t imm;

	if (t == FTL_F32)
		v = (double)(float)v;
	else if (t == FTL_F16)
		v = (double)ftl_f16_to_f32(ftl_f32_to_f16((float)v));
	else if (t == FTL_BF16)
		v = (double)ftl_bf16_to_f32(ftl_f32_to_bf16((float)v));
	if (v != v)
		v = (double)NAN; /* one NaN: payloads do not survive conversions alike everywhere */
	memcpy(&imm, &v, sizeof imm);
	return imm;
}

/* Truncate and saturate; NaN gives 0. The bounds are powers of two, so the comparisons are exact. */
static int64_t to_int(ftl_dtype t, double v)
{
	unsigned bits = ftl_dtype_bits(t);

	if (v != v)
		return 0;
	if (ftl_dtype_is_signed(t)) {
		double lim = ldexp(1.0, (int)bits - 1);

		if (v >= lim)
			return (int64_t)((UINT64_C(1) << (bits - 1)) - 1);
		if (v < -lim)
			return -(int64_t)((UINT64_C(1) << (bits - 1)) - 1) - 1;
		return (int64_t)v;
	}
	if (v >= ldexp(1.0, (int)bits))
		return (int64_t)(UINT64_MAX >> (64 - bits));
	return v <= 0 ? 0 : (int64_t)(uint64_t)v;
}

int64_t ftl_kfold_cast(ftl_dtype from, ftl_dtype to, int64_t imm)
{
	if (from == to)
		return imm;
	if (ftl_dtype_is_float(from)) {
		double v = ftl_kfold_f64(imm);

		if (ftl_dtype_is_float(to))
			return ftl_kfold_float(to, v);
		return to == FTL_BOOL ? v != 0 : to_int(to, v);
	}
	if (ftl_dtype_is_float(to)) {
		/* straight to f32, without a rounding in between */
		if (to == FTL_F64)
			return ftl_kfold_float(to, from == FTL_U64 ? (double)(uint64_t)imm : (double)imm);
		return ftl_kfold_float(to, (double)(from == FTL_U64 ? (float)(uint64_t)imm : (float)imm));
	}
	return ftl_kfold_wrap(to, (uint64_t)imm);
}

static bool fold_f32(ftl_kop op, float x, float y, float z, float *r)
{
	switch (op) {
	case FTL_K_add: *r = x + y; return true;
	case FTL_K_sub: *r = x - y; return true;
	case FTL_K_mul: *r = x * y; return true;
	case FTL_K_div: *r = x / y; return true;
	case FTL_K_fma: *r = fmaf(x, y, z); return true;
	case FTL_K_sqrt: *r = sqrtf(x); return true;
	default: return false;
	}
}

static bool fold_f64(ftl_kop op, double x, double y, double z, double *r)
{
	switch (op) {
	case FTL_K_add: *r = x + y; return true;
	case FTL_K_sub: *r = x - y; return true;
	case FTL_K_mul: *r = x * y; return true;
	case FTL_K_div: *r = x / y; return true;
	case FTL_K_fma: *r = fma(x, y, z); return true;
	case FTL_K_sqrt: *r = sqrt(x); return true;
	/* exact in either width, so f32 takes them here too */
	case FTL_K_rem: *r = fmod(x, y); return true;
	case FTL_K_min: *r = fmin(x, y); return true;
	case FTL_K_max: *r = fmax(x, y); return true;
	case FTL_K_neg: *r = -x; return true;
	case FTL_K_abs: *r = fabs(x); return true;
	case FTL_K_floor: *r = floor(x); return true;
	case FTL_K_ceil: *r = ceil(x); return true;
	case FTL_K_trunc: *r = trunc(x); return true;
	case FTL_K_rint: *r = rint(x); return true;
	default: return false;
	}
}

static bool fold_float(ftl_kop op, ftl_dtype t, const int64_t *a, int nargs, int64_t *out)
{
	double v[3] = {0}, r;
	float rf;

	for (int i = 0; i < nargs; i++)
		v[i] = ftl_kfold_f64(a[i]);
	switch (op) {
	case FTL_K_eq: *out = v[0] == v[1]; return true;
	case FTL_K_ne: *out = v[0] != v[1]; return true;
	case FTL_K_lt: *out = v[0] < v[1]; return true;
	case FTL_K_le: *out = v[0] <= v[1]; return true;
	default: break;
	}
	if (t == FTL_F32 && fold_f32(op, (float)v[0], (float)v[1], (float)v[2], &rf)) {
		*out = ftl_kfold_float(t, (double)rf);
		return true;
	}
	if ((t != FTL_F32 && t != FTL_F64) || !fold_f64(op, v[0], v[1], v[2], &r))
		return false;
	*out = ftl_kfold_float(t, r);
	return true;
}

static int64_t divide(bool sign, bool rem, int64_t x, int64_t y)
{
	if (y == 0)
		return 0;
	if (!sign)
		return (int64_t)(rem ? (uint64_t)x % (uint64_t)y : (uint64_t)x / (uint64_t)y);
	if (y == -1)
		return rem ? 0 : (int64_t)(0 - (uint64_t)x);
	return rem ? x % y : x / y;
}

bool ftl_kfold(ftl_kop op, ftl_dtype t, const int64_t *a, int64_t *out)
{
	int nargs = ftl_kop_get(op)->nargs;
	bool sign = ftl_dtype_is_signed(t);
	unsigned bits = ftl_dtype_bits(t);
	int64_t x, y, z, r;
	bool less;

	if (nargs < 1 || nargs > 3)
		return false;
	if (ftl_dtype_is_float(t))
		return fold_float(op, t, a, nargs, out);
	x = a[0];
	y = nargs > 1 ? a[1] : 0;
	z = nargs > 2 ? a[2] : 0;
	less = sign ? x < y : (uint64_t)x < (uint64_t)y;
	switch (op) {
	case FTL_K_add: r = (int64_t)((uint64_t)x + (uint64_t)y); break;
	case FTL_K_sub: r = (int64_t)((uint64_t)x - (uint64_t)y); break;
	case FTL_K_mul: r = (int64_t)((uint64_t)x * (uint64_t)y); break;
	case FTL_K_fma: r = (int64_t)((uint64_t)x * (uint64_t)y + (uint64_t)z); break;
	case FTL_K_div:
	case FTL_K_rem: r = divide(sign, op == FTL_K_rem, x, y); break;
	case FTL_K_min: r = less ? x : y; break;
	case FTL_K_max: r = less ? y : x; break;
	case FTL_K_neg: r = (int64_t)(0 - (uint64_t)x); break;
	case FTL_K_abs: r = sign && x < 0 ? (int64_t)(0 - (uint64_t)x) : x; break;
	case FTL_K_and: r = x & y; break;
	case FTL_K_or: r = x | y; break;
	case FTL_K_xor: r = x ^ y; break;
	case FTL_K_not: r = t == FTL_BOOL ? !x : ~x; break;
	case FTL_K_shl: r = (uint64_t)y >= bits ? 0 : (int64_t)((uint64_t)x << y); break;
	case FTL_K_shr:
		if ((uint64_t)y >= bits)
			r = sign && x < 0 ? -1 : 0;
		else
			r = sign ? x >> y : (int64_t)((uint64_t)x >> y);
		break;
	case FTL_K_popcount: r = __builtin_popcountll((uint64_t)x & (UINT64_MAX >> (64 - bits))); break;
	case FTL_K_eq: *out = x == y; return true;
	case FTL_K_ne: *out = x != y; return true;
	case FTL_K_lt: *out = less; return true;
	case FTL_K_le: *out = less || x == y; return true;
	default: return false;
	}
	*out = ftl_kfold_wrap(t, (uint64_t)r);
	return true;
}
