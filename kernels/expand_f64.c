/* Math on f32 that is worked out in f64 lanes: slower than f32 polynomials by two or three, but right to the last place
 * but one with short formulas, because f64 forgives cancellation and its range holds every intermediate result.
 * The bounds are stated in expand.c; the polynomials here are good to 2^-39. */
#include <math.h>

#include "expand.h"

#define LN2 0.69314718055994529
#define LOG2E 1.4426950408889634
#define PI_2 1.5707963267948966

static ftl_kv k1(ftl_kb *b, ftl_kop op, ftl_kv x)
{
	return ftl_k1(b, op, x);
}

static ftl_kv k2(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv y)
{
	return ftl_k2(b, op, x, y);
}

static ftl_kv wide(ftl_kb *b, ftl_kv x)
{
	return ftl_k_cast(b, x, FTL_F64);
}

static ftl_kv narrow(ftl_kb *b, ftl_kv x)
{
	return ftl_k_cast(b, x, FTL_F32);
}

static ftl_kv i64(ftl_kb *b, int64_t v)
{
	return ftl_k_i64(b, v);
}

/* x + x u P(u) */
static ftl_kv odd(ftl_kb *b, ftl_kv x, ftl_kv u, const double *c, int n)
{
	return ftl_k_fma(b, k2(b, FTL_K_mul, ftl_expand_poly(b, u, c, n), u), x, x);
}

/* 2^t in f64, |t| < 1000. */
static ftl_kv exp2_wide(ftl_kb *b, ftl_kv t)
{
	static const double q[] = {0.5000000000428465,    0.16666666784791911,  0.041666664398638288,
				   0.0083332817057235938, 0.001388919769047893, 0.00019909006289790433,
				   2.4708221588812245e-05};
	ftl_kv magic = ftl_expand_f64(b, 0x1.8p52);
	ftl_kv m = k2(b, FTL_K_add, t, magic);
	ftl_kv r = k2(b, FTL_K_sub, t, k2(b, FTL_K_sub, m, magic));
	ftl_kv bits = k2(b, FTL_K_shl, ftl_k_bitcast(b, m, FTL_I64), i64(b, 52));
	ftl_kv scale = ftl_k_bitcast(b, k2(b, FTL_K_add, bits, i64(b, INT64_C(1023) << 52)), FTL_F64);

	r = k2(b, FTL_K_mul, r, ftl_expand_f64(b, LN2));
	r = ftl_k_fma(b, ftl_expand_poly(b, r, q, FTL_COUNT(q)), k2(b, FTL_K_mul, r, r), r);
	return k2(b, FTL_K_mul, k2(b, FTL_K_add, r, ftl_expand_f64(b, 1)), scale);
}

/* v = 2^e m, m in [sqrt 1/2, sqrt 2): returns ln m, e as f64. v is a positive normal f64; others give nonsense. With
 * s = (m - 1) / (m + 1), ln m = 2 atanh s. */
static ftl_kv log_wide(ftl_kb *b, ftl_kv v, ftl_kv *out_e)
{
	static const double p[] = {2.0000000000000004, 0.66666666666524454, 0.4000000007433091, 0.28571414013907004,
				   0.2222357755307984, 0.18117281868609036, 0.16893987727424456};
	ftl_kv bits = ftl_k_bitcast(b, v, FTL_I64), one = ftl_expand_f64(b, 1);
	ftl_kv e = k2(b, FTL_K_shr, k2(b, FTL_K_sub, bits, i64(b, INT64_C(0x3fe6a09e667f3bcd))), i64(b, 52));
	ftl_kv m = ftl_k_bitcast(b, k2(b, FTL_K_sub, bits, k2(b, FTL_K_shl, e, i64(b, 52))), FTL_F64);
	ftl_kv s = k2(b, FTL_K_div, k2(b, FTL_K_sub, m, one), k2(b, FTL_K_add, m, one));

	/* through i32: that conversion is one instruction everywhere */
	*out_e = wide(b, ftl_k_cast(b, e, FTL_I32));
	return k2(b, FTL_K_mul, s, ftl_expand_poly(b, k2(b, FTL_K_mul, s, s), p, FTL_COUNT(p)));
}

static ftl_kv ln_wide(ftl_kb *b, ftl_kv v)
{
	ftl_kv e, m = log_wide(b, v, &e);

	return ftl_k_fma(b, e, ftl_expand_f64(b, LN2), m);
}

/* ---- sin cos tan ---- */

/* Lane by lane through the f64 instruction if any lane is beyond `limit`; `r` is the result for the others. */
static ftl_kv unless_big(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv r, double limit)
{
	int lanes = ftl_ktype_of(b->f, x).lanes;
	ftl_kv var = ftl_k_var(b, r);
	ftl_kv big = k2(b, FTL_K_lt, ftl_expand_f32(b, limit), k1(b, FTL_K_abs, x));
	ftl_kscope s;

	/* counted as integers: a maximum of floats would have to deal with NaN */
	if (lanes > 1)
		big = ftl_k_cast(b, ftl_k_reduce(b, FTL_K_max, ftl_k_cast(b, big, FTL_I32)), FTL_BOOL);
	s = ftl_k_if(b, big);
	for (int l = 0; l < lanes; l++)
		r = ftl_k_insert(b, r, narrow(b, k1(b, op, wide(b, ftl_k_extract(b, x, l)))), l);
	ftl_k_set(b, var, r);
	ftl_k_end(b, &s);
	return ftl_k_get(b, var);
}

/* x - n pi/2 with the nearest n, in f64; the low bits of *out_n are n. pi/2 is cut into 33 bits, so that n up to 2^20
 * times it is exact, and a rest: the remainder has all its bits even where x is next to a multiple. */
static ftl_kv reduce_half_pi(ftl_kb *b, ftl_kv x, ftl_kv *out_n)
{
	ftl_kv magic = ftl_expand_f64(b, 0x1.8p52), w = wide(b, x);
	ftl_kv m = ftl_k_fma(b, w, ftl_expand_f64(b, 0.63661977236758138), magic);
	ftl_kv n = k2(b, FTL_K_sub, m, magic);

	*out_n = ftl_k_cast(b, ftl_k_bitcast(b, m, FTL_I64), FTL_I32);
	w = ftl_k_fma(b, n, ftl_expand_f64(b, -1.5707963267341256), w);
	return ftl_k_fma(b, n, ftl_expand_f64(b, -6.0771005065061922e-11), w);
}

ftl_kv ftl_expand_trig(ftl_kb *b, ftl_kop op, ftl_kv x)
{
	static const double sf[] = {-0.166666552, 0.00833218824, -0.000195180954};
	static const double cf[] = {0.0416666456, -0.00138873095, 2.44323273e-05};
	static const double sd[] = {-0.16666666666630167, 0.0083333333250444445, -0.00019841263710159983,
				    2.755533567593203e-06, -2.4760162161332781e-08};
	static const double cd[] = {0.041666666666596179, -0.0013888888877565718, 2.4801580687181715e-05,
				    -2.7555519464493491e-07, 2.0644884669496629e-09};
	ftl_ktype i = FTL_KT(FTL_I32, 1);
	ftl_kv n, odd_n, tiny, y, r = reduce_half_pi(b, x, &n), u, s, c;
	bool tan = op == FTL_K_tan;

	/* sin and cos have no more cancellation ahead and go on in f32 */
	if (!tan)
		r = narrow(b, r);
	u = k2(b, FTL_K_mul, r, r);
	s = odd(b, r, u, tan ? sd : sf, tan ? FTL_COUNT(sd) : FTL_COUNT(sf));
	c = ftl_expand_poly(b, u, tan ? cd : cf, tan ? FTL_COUNT(cd) : FTL_COUNT(cf));
	c = k2(b, FTL_K_mul, c, u);
	c = k2(b, FTL_K_sub, c, ftl_k_float(b, FTL_KT(tan ? FTL_F64 : FTL_F32, 1), 0.5));
	c = ftl_k_fma(b, c, u, ftl_k_float(b, FTL_KT(tan ? FTL_F64 : FTL_F32, 1), 1));

	if (op == FTL_K_cos) /* cos x = sin(x + pi/2) */
		n = k2(b, FTL_K_add, n, ftl_k_int(b, i, 1));
	odd_n = k2(b, FTL_K_ne, k2(b, FTL_K_and, n, ftl_k_int(b, i, 1)), ftl_k_int(b, i, 0));
	if (tan) {
		ftl_kv num = ftl_k_select(b, odd_n, k1(b, FTL_K_neg, c), s);

		y = narrow(b, k2(b, FTL_K_div, num, ftl_k_select(b, odd_n, s, c)));
	} else {
		ftl_kv flip = k2(b, FTL_K_shl, k2(b, FTL_K_and, n, ftl_k_int(b, i, 2)), ftl_k_int(b, i, 30));

		y = ftl_k_bitcast(b, ftl_k_select(b, odd_n, c, s), FTL_I32);
		y = ftl_k_bitcast(b, k2(b, FTL_K_xor, y, flip), FTL_F32);
	}
	if (op != FTL_K_cos) { /* also keeps the sign of zero */
		tiny = k2(b, FTL_K_lt, k1(b, FTL_K_abs, x), ftl_expand_f32(b, 0x1p-12));
		y = ftl_k_select(b, tiny, x, y);
	}
	return unless_big(b, op, x, y, 0x1p20);
}

/* ---- pow ---- */

/* Exponents that have a shorter and at least as good form; 0 if y is none of them. */
static ftl_kv pow_const(ftl_kb *b, ftl_kv x, ftl_kv y)
{
	const ftl_kinst *i = ftl_kinst_get(b->f, y);
	ftl_kv one = ftl_expand_f32(b, 1), zero = ftl_expand_f32(b, 0), sq, r;
	double e;

	if (i->op != FTL_K_const)
		return 0;
	memcpy(&e, &i->imm, sizeof e);
	if (e == 0)
		return ftl_k_splat(b, one, i->type.lanes);
	if (e == 1)
		return x;
	if (e == -1)
		return k2(b, FTL_K_div, one, x);
	if (e == 0.5) {
		/* C: pow(-0, 0.5) = +0 and pow(-inf, 0.5) = +inf */
		r = ftl_k_select(b, k2(b, FTL_K_eq, x, zero), zero, k1(b, FTL_K_sqrt, x));
		return ftl_k_select(b, k2(b, FTL_K_eq, x, ftl_expand_f32(b, -INFINITY)), ftl_expand_f32(b, INFINITY),
				    r);
	}
	sq = k2(b, FTL_K_mul, x, x);
	return e == 2 ? sq : e == 3 ? k2(b, FTL_K_mul, sq, x) : 0;
}

ftl_kv ftl_expand_pow(ftl_kb *b, ftl_kv x, ftl_kv y)
{
	ftl_kv zero = ftl_expand_f32(b, 0), one = ftl_expand_f32(b, 1), inf = ftl_expand_f32(b, INFINITY);
	ftl_kv nan = ftl_expand_f32(b, NAN), half, whole, is_odd, a, e, l, t, r, bad, lim;
	ftl_ktype i = FTL_KT(FTL_I32, 1);

	r = pow_const(b, x, y);
	if (r)
		return r;
	/* 2^(y log2 |x|); a subnormal f32 is a normal f64 */
	a = k1(b, FTL_K_abs, x);
	l = log_wide(b, wide(b, a), &e);
	l = ftl_k_fma(b, l, ftl_expand_f64(b, LOG2E), e);
	l = ftl_k_select(b, k2(b, FTL_K_eq, a, zero), ftl_expand_f64(b, -INFINITY), l);
	l = ftl_k_select(b, k2(b, FTL_K_eq, a, inf), ftl_expand_f64(b, INFINITY), l);
	t = k2(b, FTL_K_mul, wide(b, y), l);
	t = ftl_k_select(b, k2(b, FTL_K_eq, a, one), ftl_expand_f64(b, 0), t); /* (-1)^inf = 1 */
	lim = ftl_expand_f64(b, 160);
	t = ftl_k_select(b, k2(b, FTL_K_lt, lim, t), lim, t);
	lim = ftl_expand_f64(b, -160);
	t = ftl_k_select(b, k2(b, FTL_K_lt, t, lim), lim, t);
	r = narrow(b, exp2_wide(b, t)); /* the cast rounds, overflows and underflows */

	/* signs: y is an odd integer, some integer, or neither */
	half = k2(b, FTL_K_mul, y, ftl_expand_f32(b, 0.5));
	whole = k2(b, FTL_K_eq, k1(b, FTL_K_rint, y), y);
	is_odd = k2(b, FTL_K_and, whole, k2(b, FTL_K_ne, k1(b, FTL_K_rint, half), half));
	e = k2(b, FTL_K_lt, ftl_k_bitcast(b, x, FTL_I32), ftl_k_int(b, i, 0)); /* -0 counts */
	r = ftl_k_select(b, k2(b, FTL_K_and, is_odd, e), k1(b, FTL_K_neg, r), r);
	bad = k2(b, FTL_K_and, k2(b, FTL_K_lt, x, zero), k1(b, FTL_K_not, whole));
	bad = k2(b, FTL_K_and, bad, k2(b, FTL_K_ne, a, inf));
	bad = k2(b, FTL_K_or, bad, k2(b, FTL_K_or, k2(b, FTL_K_ne, x, x), k2(b, FTL_K_ne, y, y)));
	r = ftl_k_select(b, bad, nan, r);
	return ftl_k_select(b, k2(b, FTL_K_or, k2(b, FTL_K_eq, x, one), k2(b, FTL_K_eq, y, zero)), one, r);
}

/* ---- hyperbolic ---- */

/* e^|x| in f64; FLT_MAX < e^100 / 2, so nothing is lost at the top. */
static ftl_kv exp_abs(ftl_kb *b, ftl_kv a)
{
	ftl_kv lim = ftl_expand_f32(b, 100);

	a = ftl_k_select(b, k2(b, FTL_K_lt, lim, a), lim, a);
	return exp2_wide(b, k2(b, FTL_K_mul, wide(b, a), ftl_expand_f64(b, LOG2E)));
}

ftl_kv ftl_expand_sinh(ftl_kb *b, ftl_kv x)
{
	static const double q[] = {0.166666672, 0.00833331048, 0.000198428956, 2.78221319e-06};
	ftl_kv a = k1(b, FTL_K_abs, x), one = ftl_expand_f32(b, 1), e = exp_abs(b, a);
	ftl_kv small = odd(b, a, k2(b, FTL_K_mul, a, a), q, FTL_COUNT(q));
	ftl_kv big = k2(b, FTL_K_sub, e, k2(b, FTL_K_div, ftl_expand_f64(b, 1), e));

	big = narrow(b, k2(b, FTL_K_mul, big, ftl_expand_f64(b, 0.5)));
	return ftl_expand_sign(b, ftl_k_select(b, k2(b, FTL_K_lt, a, one), small, big), x);
}

ftl_kv ftl_expand_cosh(ftl_kb *b, ftl_kv x)
{
	ftl_kv e = exp_abs(b, k1(b, FTL_K_abs, x));
	ftl_kv sum = k2(b, FTL_K_add, e, k2(b, FTL_K_div, ftl_expand_f64(b, 1), e));

	return narrow(b, k2(b, FTL_K_mul, sum, ftl_expand_f64(b, 0.5)));
}

/* log(|x| + sqrt(x^2 + 1)); below 2^-12 x itself is closest, and f64 would lose it */
ftl_kv ftl_expand_asinh(ftl_kb *b, ftl_kv x)
{
	ftl_kv a = k1(b, FTL_K_abs, x), w = wide(b, a);
	ftl_kv s = k1(b, FTL_K_sqrt, ftl_k_fma(b, w, w, ftl_expand_f64(b, 1)));
	ftl_kv r = narrow(b, ln_wide(b, k2(b, FTL_K_add, w, s)));

	r = ftl_k_select(b, k2(b, FTL_K_lt, a, ftl_expand_f32(b, 0x1p-12)), a, r);
	r = ftl_k_select(b, k2(b, FTL_K_lt, a, ftl_expand_f32(b, INFINITY)), r, a);
	return ftl_expand_sign(b, r, x);
}

ftl_kv ftl_expand_acosh(ftl_kb *b, ftl_kv x)
{
	ftl_kv w = wide(b, x), one = ftl_expand_f32(b, 1);
	ftl_kv s = k1(b, FTL_K_sqrt, ftl_k_fma(b, w, w, ftl_expand_f64(b, -1)));
	ftl_kv r = narrow(b, ln_wide(b, k2(b, FTL_K_add, w, s)));

	r = ftl_k_select(b, k2(b, FTL_K_lt, x, ftl_expand_f32(b, INFINITY)), r, x);
	return ftl_k_select(b, k2(b, FTL_K_lt, x, one), ftl_expand_f32(b, NAN), r);
}

/* log((1 + |x|) / (1 - |x|)) / 2 */
ftl_kv ftl_expand_atanh(ftl_kb *b, ftl_kv x)
{
	ftl_kv a = k1(b, FTL_K_abs, x), w = wide(b, a), one = ftl_expand_f64(b, 1), edge;
	ftl_kv q = k2(b, FTL_K_div, k2(b, FTL_K_add, one, w), k2(b, FTL_K_sub, one, w));
	ftl_kv r = narrow(b, k2(b, FTL_K_mul, ln_wide(b, q), ftl_expand_f64(b, 0.5)));
	ftl_kv one32 = ftl_expand_f32(b, 1);

	r = ftl_k_select(b, k2(b, FTL_K_lt, a, ftl_expand_f32(b, 0x1p-12)), a, r);
	edge = ftl_k_select(b, k2(b, FTL_K_eq, a, one32), ftl_expand_f32(b, INFINITY), ftl_expand_f32(b, NAN));
	r = ftl_k_select(b, k2(b, FTL_K_lt, a, one32), r, edge);
	return ftl_expand_sign(b, r, x);
}

/* ---- inverse circular ---- */

/* asin of |x| <= 1/2; beyond, asin s with s = sqrt((1 - |x|) / 2), of which asin |x| = pi/2 - 2 asin s. *out_far: which. */
static ftl_kv asin_core(ftl_kb *b, ftl_kv x, ftl_kv *out_far)
{
	static const double p[] = {0.16666666627332608,   0.075000049819235262, 0.044640707853597736,
				   0.030426522772949837,  0.021865717828474039, 0.02064640258185961,
				   0.0019789763186360857, 0.032911916250697254};
	ftl_kv a = wide(b, k1(b, FTL_K_abs, x)), half = ftl_expand_f64(b, 0.5);
	ftl_kv far = k2(b, FTL_K_lt, half, a);
	ftl_kv z = k2(b, FTL_K_mul, k2(b, FTL_K_sub, ftl_expand_f64(b, 1), a), half);

	z = ftl_k_select(b, far, z, k2(b, FTL_K_mul, a, a));
	*out_far = far;
	return odd(b, ftl_k_select(b, far, k1(b, FTL_K_sqrt, z), a), z, p,
		   FTL_COUNT(p)); /* |x| > 1: sqrt makes it NaN */
}

ftl_kv ftl_expand_asin(ftl_kb *b, ftl_kv x)
{
	ftl_kv far, r = asin_core(b, x, &far);

	r = ftl_k_select(b, far, k2(b, FTL_K_sub, ftl_expand_f64(b, PI_2), k2(b, FTL_K_add, r, r)), r);
	return ftl_expand_sign(b, narrow(b, r), x);
}

ftl_kv ftl_expand_acos(ftl_kb *b, ftl_kv x)
{
	ftl_kv far, r = asin_core(b, x, &far);

	r = ftl_k_select(b, far, k2(b, FTL_K_add, r, r), k2(b, FTL_K_sub, ftl_expand_f64(b, PI_2), r));
	far = k2(b, FTL_K_lt, x, ftl_expand_f32(b, 0));
	return narrow(b, ftl_k_select(b, far, k2(b, FTL_K_sub, ftl_expand_f64(b, 2 * PI_2), r), r));
}

/* |x| is brought below tan(pi/8) by atan a = pi/2 - atan(1/a) = pi/4 + atan((a - 1) / (a + 1)). */
ftl_kv ftl_expand_atan(ftl_kb *b, ftl_kv x)
{
	static const double p[] = {-0.33333333295549911, 0.1999999430387506,   -0.14285422681676926,
				   0.11103985962891758,  -0.08996669079099176, 0.069904191166235363,
				   -0.03790982961850857};
	ftl_kv a = wide(b, k1(b, FTL_K_abs, x)), one = ftl_expand_f64(b, 1);
	ftl_kv far = k2(b, FTL_K_lt, ftl_expand_f64(b, 2.4142135623730951), a);
	ftl_kv near = k2(b, FTL_K_le, a, ftl_expand_f64(b, 0.41421356237309503));
	ftl_kv num = ftl_k_select(b, far, ftl_expand_f64(b, -1), k2(b, FTL_K_sub, a, one));
	ftl_kv den = ftl_k_select(b, far, a, k2(b, FTL_K_add, a, one));
	ftl_kv z = ftl_k_select(b, near, a, k2(b, FTL_K_div, num, den));
	ftl_kv base = ftl_k_select(b, far, ftl_expand_f64(b, PI_2), ftl_expand_f64(b, PI_2 / 2));
	ftl_kv r = odd(b, z, k2(b, FTL_K_mul, z, z), p, FTL_COUNT(p));

	r = ftl_k_select(b, near, r, k2(b, FTL_K_add, base, r));
	return ftl_expand_sign(b, narrow(b, r), x);
}
