/* Elementwise ops of one input: one output element from one input element.
 *
 * Operands come in their compute type (f16 and bf16 as f32) as scalars or vectors, results leave in the compute type of
 * the output. Nothing here looks at shapes. Formulas stand beside the hooks; where a shorter formula would overflow or
 * cancel, the comment says what is avoided. NaN in gives NaN out everywhere but in comparisons. */
#include "kernels/lower.h"

#include <math.h>

#include "util.h"

/* number v in x's type, same lanes */
static ftl_kv num(ftl_kb *b, ftl_kv x, double v)
{
	return ftl_k_num(b, ftl_ktype_of(b->f, x), v);
}

static ftl_dtype elem(ftl_kb *b, ftl_kv x)
{
	return (ftl_dtype)ftl_ktype_of(b->f, x).elem;
}

#define MAP_1(name, kop)                                                                                               \
	ftl_kv ftl_map_##name(ftl_kern *k, const ftl_node *n, const ftl_kv *x)                                         \
	{                                                                                                              \
		FTL_UNUSED(n);                                                                                         \
		return ftl_k1(ftl_kern_b(k), kop, x[0]);                                                               \
	}
MAP_1(neg, FTL_K_neg) /* integers wrap: -INT_MIN = INT_MIN */
MAP_1(floor, FTL_K_floor)
MAP_1(ceil, FTL_K_ceil)
MAP_1(round, FTL_K_rint) /* halves to even */
MAP_1(sqrt, FTL_K_sqrt)
MAP_1(exp, FTL_K_exp)
MAP_1(log, FTL_K_log)
MAP_1(sin, FTL_K_sin)
MAP_1(cos, FTL_K_cos)
MAP_1(tan, FTL_K_tan)
MAP_1(asin, FTL_K_asin)
MAP_1(acos, FTL_K_acos)
MAP_1(atan, FTL_K_atan)
MAP_1(sinh, FTL_K_sinh)
MAP_1(cosh, FTL_K_cosh)
MAP_1(tanh, FTL_K_tanh)
MAP_1(asinh, FTL_K_asinh)
MAP_1(acosh, FTL_K_acosh)
MAP_1(atanh, FTL_K_atanh)
MAP_1(not, FTL_K_not)
MAP_1(bit_not, FTL_K_not)

ftl_kv ftl_map_abs(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);

	FTL_UNUSED(n);
	return ftl_dtype_is_signed(elem(b, x[0])) ? ftl_k1(b, FTL_K_abs, x[0]) : x[0];
}

/* 1, -1, or x itself where x is 0 or NaN */
ftl_kv ftl_map_sign(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv zero = num(b, x[0], 0), y = x[0];

	FTL_UNUSED(n);
	if (ftl_dtype_is_signed(elem(b, x[0])))
		y = ftl_k_select(b, ftl_k2(b, FTL_K_lt, x[0], zero), num(b, x[0], -1), y);
	return ftl_k_select(b, ftl_k2(b, FTL_K_lt, zero, x[0]), num(b, x[0], 1), y);
}

ftl_kv ftl_map_reciprocal(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);

	FTL_UNUSED(n);
	return ftl_k2(b, FTL_K_div, num(b, x[0], 1), x[0]);
}

/* Integers go through the float type that holds them (f64 from 32 bits on) and come back truncated. */
static ftl_kv to_float(ftl_kb *b, ftl_kv x)
{
	if (ftl_dtype_is_float(elem(b, x)))
		return x;
	return ftl_k_cast(b, x, ftl_dtype_bits(elem(b, x)) >= 32 ? FTL_F64 : FTL_F32);
}

ftl_kv ftl_map_erf(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);

	FTL_UNUSED(n);
	return ftl_k_cast(b, ftl_k1(b, FTL_K_erf, to_float(b, x[0])), elem(b, x[0]));
}

/* 1 / (1 + exp(-x)): exp may overflow to infinity, which gives the right 0 */
static ftl_kv sigmoid(ftl_kb *b, ftl_kv x)
{
	ftl_kv one = num(b, x, 1);

	return ftl_k2(b, FTL_K_div, one, ftl_k2(b, FTL_K_add, one, ftl_k1(b, FTL_K_exp, ftl_k1(b, FTL_K_neg, x))));
}

ftl_kv ftl_map_sigmoid(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	FTL_UNUSED(n);
	return sigmoid(ftl_kern_b(k), x[0]);
}

/* x < 0 ? 0 : x, which keeps NaN */
ftl_kv ftl_map_relu(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv zero = num(b, x[0], 0);

	FTL_UNUSED(n);
	if (!ftl_dtype_is_signed(elem(b, x[0])))
		return x[0];
	return ftl_k_select(b, ftl_k2(b, FTL_K_lt, x[0], zero), zero, x[0]);
}

/* log(1 + exp x) = max(x, 0) + log1p(exp(-|x|)), where log1p(e) = log(u) * e / (u - 1) with u = 1 + e (Higham), and
 * e itself where u rounds to 1: no overflow for big x, no loss of small results for very negative x. */
ftl_kv ftl_map_softplus(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv one = num(b, x[0], 1);
	ftl_kv e = ftl_k1(b, FTL_K_exp, ftl_k1(b, FTL_K_neg, ftl_k1(b, FTL_K_abs, x[0])));
	ftl_kv u = ftl_k2(b, FTL_K_add, one, e), d = ftl_k2(b, FTL_K_sub, u, one);
	ftl_kv flat = ftl_k2(b, FTL_K_eq, d, num(b, x[0], 0));
	ftl_kv l = ftl_k2(b, FTL_K_div, ftl_k2(b, FTL_K_mul, ftl_k1(b, FTL_K_log, u), e),
			  ftl_k_select(b, flat, one, d));

	FTL_UNUSED(n);
	return ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_max, x[0], num(b, x[0], 0)), ftl_k_select(b, flat, e, l));
}

/* x / (1 + |x|) */
ftl_kv ftl_map_softsign(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);

	FTL_UNUSED(n);
	return ftl_k2(b, FTL_K_div, x[0], ftl_k2(b, FTL_K_add, num(b, x[0], 1), ftl_k1(b, FTL_K_abs, x[0])));
}

/* x * sigmoid(a x) = x / (1 + exp(-a x)) */
static ftl_kv swish(ftl_kb *b, ftl_kv x, double a)
{
	ftl_kv e = ftl_k1(b, FTL_K_exp, ftl_k2(b, FTL_K_mul, x, num(b, x, -a)));

	return ftl_k2(b, FTL_K_div, x, ftl_k2(b, FTL_K_add, num(b, x, 1), e));
}

/* none:  x/2 (1 + erf(x / sqrt 2))
 * tanh:  x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
 * quick: x sigmoid(1.702 x) */
ftl_kv ftl_map_gelu(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	const char *form = FTL_ATTRS(n, gelu)->approximate;
	ftl_kv half = ftl_k2(b, FTL_K_mul, x[0], num(b, x[0], 0.5)), t;

	if (strcmp(form, "quick") == 0)
		return swish(b, x[0], 1.702);
	if (strcmp(form, "tanh") == 0) {
		ftl_kv x2 = ftl_k2(b, FTL_K_mul, x[0], x[0]);
		ftl_kv p = ftl_k_fma(b, x2, num(b, x[0], 0.044715), num(b, x[0], 1));

		t = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_mul, x[0], num(b, x[0], 0.79788456080286535588)), p);
		t = ftl_k1(b, FTL_K_tanh, t);
	} else {
		t = ftl_k1(b, FTL_K_erf, ftl_k2(b, FTL_K_mul, x[0], num(b, x[0], 0.70710678118654752440)));
	}
	return ftl_k2(b, FTL_K_mul, half, ftl_k2(b, FTL_K_add, num(b, x[0], 1), t));
}

ftl_kv ftl_map_silu(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	return swish(ftl_kern_b(k), x[0], FTL_ATTRS(n, silu)->alpha);
}

/* x tanh(softplus x) = x n / (n + 2), n = e (e + 2), e = exp x; from x = 20 on the quotient is 1 in f32 and f64's error
 * there is below 1e-16, so that e cannot overflow. */
ftl_kv ftl_map_mish(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv two = num(b, x[0], 2);
	ftl_kv e = ftl_k1(b, FTL_K_exp, ftl_k2(b, FTL_K_min, x[0], num(b, x[0], 20)));
	ftl_kv m = ftl_k2(b, FTL_K_mul, e, ftl_k2(b, FTL_K_add, e, two));

	FTL_UNUSED(n);
	return ftl_k2(b, FTL_K_mul, x[0], ftl_k2(b, FTL_K_div, m, ftl_k2(b, FTL_K_add, m, two)));
}

/* x > 0 ? p x : a (exp(x / s) - 1); the exponent's argument is cut at 0 so that the unused side cannot overflow */
static ftl_kv elu(ftl_kb *b, ftl_kv x, double p, double a, double s)
{
	ftl_kv zero = num(b, x, 0);
	ftl_kv pos = ftl_k2(b, FTL_K_lt, zero, x);
	ftl_kv arg = ftl_k_select(b, pos, zero, x);
	ftl_kv e;

	if (s != 1)
		arg = ftl_k2(b, FTL_K_div, arg, num(b, x, s));
	e = ftl_k2(b, FTL_K_sub, ftl_k1(b, FTL_K_exp, arg), num(b, x, 1));
	return ftl_k_select(b, pos, ftl_k2(b, FTL_K_mul, x, num(b, x, p)), ftl_k2(b, FTL_K_mul, e, num(b, x, a)));
}

ftl_kv ftl_map_elu(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	return elu(ftl_kern_b(k), x[0], 1, FTL_ATTRS(n, elu)->alpha, 1);
}

/* max(0, x) + min(0, a (exp(x / a) - 1)) */
ftl_kv ftl_map_celu(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	double a = FTL_ATTRS(n, celu)->alpha;

	return elu(ftl_kern_b(k), x[0], 1, a, a);
}

ftl_kv ftl_map_selu(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	double g = FTL_ATTRS(n, selu)->gamma;

	return elu(ftl_kern_b(k), x[0], g, g * FTL_ATTRS(n, selu)->alpha, 1);
}

ftl_kv ftl_map_leaky_relu(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv y = ftl_k2(b, FTL_K_mul, x[0], num(b, x[0], FTL_ATTRS(n, leaky_relu)->alpha));

	return ftl_k_select(b, ftl_k2(b, FTL_K_lt, x[0], num(b, x[0], 0)), y, x[0]);
}

/* x > alpha ? x : 0 */
ftl_kv ftl_map_thresholded_relu(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv a = num(b, x[0], FTL_ATTRS(n, thresholded_relu)->alpha);

	return ftl_k_select(b, ftl_k2(b, FTL_K_lt, a, x[0]), x[0], num(b, x[0], 0));
}

/* x < -lambd ? x + bias : x > lambd ? x - bias : 0 */
ftl_kv ftl_map_shrink(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	const struct ftl_attrs_shrink *a = FTL_ATTRS(n, shrink);
	ftl_kv v = to_float(b, x[0]), bias = num(b, v, a->bias), lambd = num(b, v, a->lambd);
	ftl_kv y = ftl_k_select(b, ftl_k2(b, FTL_K_lt, lambd, v), ftl_k2(b, FTL_K_sub, v, bias), num(b, v, 0));

	y = ftl_k_select(b, ftl_k2(b, FTL_K_lt, v, num(b, v, -a->lambd)), ftl_k2(b, FTL_K_add, v, bias), y);
	return ftl_k_cast(b, y, elem(b, x[0]));
}

/* y cut to [0, 1] */
static ftl_kv hard_sigmoid(ftl_kb *b, ftl_kv x, double alpha, double beta)
{
	ftl_kv zero = num(b, x, 0), one = num(b, x, 1);
	ftl_kv y = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, x, num(b, x, alpha)), num(b, x, beta));

	y = ftl_k_select(b, ftl_k2(b, FTL_K_lt, y, zero), zero, y);
	return ftl_k_select(b, ftl_k2(b, FTL_K_lt, one, y), one, y);
}

ftl_kv ftl_map_hard_sigmoid(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	return hard_sigmoid(ftl_kern_b(k), x[0], FTL_ATTRS(n, hard_sigmoid)->alpha, FTL_ATTRS(n, hard_sigmoid)->beta);
}

ftl_kv ftl_map_hard_swish(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);

	FTL_UNUSED(n);
	return ftl_k2(b, FTL_K_mul, x[0], hard_sigmoid(b, x[0], 1.0 / 6.0, 0.5));
}

ftl_kv ftl_map_is_nan(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	FTL_UNUSED(n);
	return ftl_k2(ftl_kern_b(k), FTL_K_ne, x[0], x[0]);
}

ftl_kv ftl_map_is_inf(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	bool up = FTL_ATTRS(n, is_inf)->positive, down = FTL_ATTRS(n, is_inf)->negative;
	ftl_ktype t = FTL_KT(FTL_BOOL, ftl_ktype_of(b->f, x[0]).lanes);

	if (up && down)
		return ftl_k2(b, FTL_K_eq, ftl_k1(b, FTL_K_abs, x[0]), num(b, x[0], INFINITY));
	if (!up && !down)
		return ftl_k_int(b, t, 0);
	return ftl_k2(b, FTL_K_eq, x[0], num(b, x[0], up ? INFINITY : -INFINITY));
}

/* The value as the target type holds it: f16 and bf16 are rounded to, then read back as f32; low types are encoded. */
ftl_kv ftl_map_cast(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	const struct ftl_attrs_cast *a = FTL_ATTRS(n, cast);
	const ftl_graph *g = ftl_lo_graph(ftl_kern_lo(k));
	ftl_dtype to = ftl_type_of(g, n->out[0])->dtype, comp = ftl_dtype_compute(to);
	ftl_kv y = ftl_u_encode(b, ftl_u_decode(b, x[0], ftl_type_of(g, n->in[0])->dtype), to, a->saturate,
				a->round_mode);

	return ftl_k_cast(b, y, comp);
}
