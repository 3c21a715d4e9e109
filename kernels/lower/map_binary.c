/* Elementwise ops of two or three inputs. The driver has broadcast the operands; here they are elements in their compute
 * type, scalar or vector. Rules for NaN and for integers stand beside each hook. */
#include "kernels/lower.h"

#include "util.h"

static ftl_kv num(ftl_kb *b, ftl_kv x, double v)
{
	return ftl_k_num(b, ftl_ktype_of(b->f, x), v);
}

static ftl_dtype elem(ftl_kb *b, ftl_kv x)
{
	return (ftl_dtype)ftl_ktype_of(b->f, x).elem;
}

#define MAP_2(name, kop, first, second)                                                                                \
	ftl_kv ftl_map_##name(ftl_kern *k, const ftl_node *n, const ftl_kv *x)                                         \
	{                                                                                                              \
		FTL_UNUSED(n);                                                                                         \
		return ftl_k2(ftl_kern_b(k), kop, x[first], x[second]);                                                \
	}
MAP_2(add, FTL_K_add, 0, 1)
MAP_2(sub, FTL_K_sub, 0, 1)
MAP_2(mul, FTL_K_mul, 0, 1)
MAP_2(div, FTL_K_div, 0, 1) /* integers truncate, x/0 = 0 */
MAP_2(lt, FTL_K_lt, 0, 1)
MAP_2(le, FTL_K_le, 0, 1)
MAP_2(gt, FTL_K_lt, 1, 0)
MAP_2(ge, FTL_K_le, 1, 0)
MAP_2(and, FTL_K_and, 0, 1) /* logical and bitwise: bools are single bits */
MAP_2(or, FTL_K_or, 0, 1)
MAP_2(xor, FTL_K_xor, 0, 1)

/* Strings are equal when their bytes are. */
ftl_kv ftl_map_eq(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);

	if (ftl_type_of(ftl_lo_graph(ftl_kern_lo(k)), n->in[0])->dtype == FTL_STRING)
		return ftl_k2(b, FTL_K_ne, ftl_u_call(b, FTL_STRING_eq, x[0], x[1], 0), ftl_k_i64(b, 0));
	return ftl_k2(b, FTL_K_eq, x[0], x[1]);
}

/* fmod: sign of the dividend. Otherwise Python's: r = rem(x, y), moved by y where r and y differ in sign. */
ftl_kv ftl_map_mod(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv r = ftl_k2(b, FTL_K_rem, x[0], x[1]), zero = num(b, x[1], 0), differ;

	if (FTL_ATTRS(n, mod)->fmod || !ftl_dtype_is_signed(elem(b, r)))
		return r;
	differ = ftl_k2(b, FTL_K_xor, ftl_k2(b, FTL_K_lt, r, zero), ftl_k2(b, FTL_K_lt, x[1], zero));
	differ = ftl_k2(b, FTL_K_and, differ, ftl_k2(b, FTL_K_ne, r, zero));
	return ftl_k_select(b, differ, ftl_k2(b, FTL_K_add, r, x[1]), r);
}

/* Integer power by squaring, wrapping. Exponents from 64 on only matter for bases 0, 1 and -1, whose powers depend on
 * nothing but parity: they become 62 or 63. Negative exponents: 1 / x^|e| truncated, so 0 unless x is 1 or -1. */
static ftl_kv int_pow(ftl_kb *b, ftl_kv x, ftl_kv e)
{
	ftl_kv one = num(b, x, 1), y = one, zeroed = 0, big, odd;

	if (ftl_dtype_is_signed(elem(b, e))) {
		ftl_kv unit = ftl_k2(b, FTL_K_eq, x, one);

		if (ftl_dtype_is_signed(elem(b, x)))
			unit = ftl_k2(b, FTL_K_or, unit, ftl_k2(b, FTL_K_eq, x, num(b, x, -1)));
		zeroed = ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_lt, e, num(b, e, 0)), ftl_k1(b, FTL_K_not, unit));
		e = ftl_k1(b, FTL_K_abs, e);
	}
	odd = ftl_k2(b, FTL_K_and, e, num(b, e, 1));
	big = ftl_k2(b, FTL_K_lt, num(b, e, 63), e);
	e = ftl_k_select(b, big, ftl_k2(b, FTL_K_add, odd, num(b, e, 62)), e);
	for (int bit = 0; bit < 6; bit++) {
		ftl_kv on = ftl_k2(b, FTL_K_ne, ftl_k2(b, FTL_K_and, e, num(b, e, 1 << bit)), num(b, e, 0));

		y = ftl_k2(b, FTL_K_mul, y, ftl_k_select(b, on, x, one));
		x = ftl_k2(b, FTL_K_mul, x, x);
	}
	return zeroed ? ftl_k_select(b, zeroed, num(b, y, 0), y) : y;
}

/* The result has the base's type. Common constant exponents need no pow: squares and cubes are exact products. */
ftl_kv ftl_map_pow(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_dtype t = elem(b, x[0]);
	bool int_exp = !ftl_dtype_is_float(elem(b, x[1]));
	double e;

	if (!ftl_dtype_is_float(t)) {
		if (int_exp)
			return int_pow(b, x[0], x[1]);
		return ftl_k_cast(b, ftl_k2(b, FTL_K_pow, ftl_k_cast(b, x[0], FTL_F64), ftl_k_cast(b, x[1], FTL_F64)),
				  t);
	}
	if (ftl_const_scalar(ftl_lo_graph(ftl_kern_lo(k)), n->in[1], &e)) {
		if (e == 1)
			return x[0];
		if (e == 2)
			return ftl_k2(b, FTL_K_mul, x[0], x[0]);
		if (e == 3)
			return ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_mul, x[0], x[0]), x[0]);
		if (e == 0.5)
			return ftl_k1(b, FTL_K_sqrt, x[0]);
		if (e == -1)
			return ftl_k2(b, FTL_K_div, num(b, x[0], 1), x[0]);
		if (e == -0.5)
			return ftl_k2(b, FTL_K_div, num(b, x[0], 1), ftl_k1(b, FTL_K_sqrt, x[0]));
	}
	return ftl_k2(b, FTL_K_pow, x[0], ftl_k_cast(b, x[1], t));
}

ftl_kv ftl_map_min(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	FTL_UNUSED(n);
	return ftl_u_minmax(ftl_kern_b(k), FTL_K_min, x[0], x[1]);
}

ftl_kv ftl_map_max(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	FTL_UNUSED(n);
	return ftl_u_minmax(ftl_kern_b(k), FTL_K_max, x[0], x[1]);
}

/* by the width or more: 0 (right shifts of unsigned types are logical) */
ftl_kv ftl_map_shift(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);

	return ftl_k2(b, FTL_ATTRS(n, shift)->left ? FTL_K_shl : FTL_K_shr, x[0], ftl_k_cast(b, x[1], elem(b, x[0])));
}

/* x < 0 ? slope x : x */
ftl_kv ftl_map_prelu(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);

	FTL_UNUSED(n);
	return ftl_k_select(b, ftl_k2(b, FTL_K_lt, x[0], num(b, x[0], 0)), ftl_k2(b, FTL_K_mul, x[0], x[1]), x[0]);
}

ftl_kv ftl_map_where(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	FTL_UNUSED(n);
	return ftl_k_select(ftl_kern_b(k), x[0], x[1], x[2]);
}

/* min(high, max(low, x)): high wins where low > high; NaN stays */
ftl_kv ftl_map_clip(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv y = x[0];

	if (n->nin > 1 && n->in[1])
		y = ftl_k_select(b, ftl_k2(b, FTL_K_lt, y, x[1]), x[1], y);
	if (n->nin > 2 && n->in[2])
		y = ftl_k_select(b, ftl_k2(b, FTL_K_lt, x[2], y), x[2], y);
	return y;
}
