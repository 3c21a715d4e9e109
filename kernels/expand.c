/* Math on f32 without an instruction of its own, as polynomials: the driver, and exp log tanh erf, which are the ones
 * that run in inner loops and stay in f32. The others (expand_f64.c) work in f64 lanes.
 *
 * Largest error found against the correctly rounded result, in units of the last place, over all bit patterns in
 * strides (tests/test_math.c repeats it and holds them to the bound in brackets), with fma and without:
 *   exp log 1 [2]   tanh erf 1.2 [4]   sin cos 1.5 [2]   sinh 0.7 [2]   pow 0.51 [1]
 *   tan cosh asin acos atan asinh acosh atanh 0.51 [2]
 * Zeros keep their signs, NaN, infinity and the ends of the domain are what C's functions give. Subnormal results are
 * gradual. sin, cos and tan of |x| beyond 2^20 go lane by lane through the f64 instruction.
 *
 * Nothing here relies on fma being exact: where a product must be exact, its constant has the spare bits. Coefficients
 * are minimax fits, made by expand_coeffs.py. f64 math stays as it is, and so does math in the program function, whose
 * positions are taken (and where nothing is hot). */
#include "expand.h"

#include <math.h>

#include "kbuild.h"

ftl_kv ftl_expand_f32(ftl_kb *b, double v)
{
	return ftl_k_float(b, FTL_KT(FTL_F32, 1), v);
}

ftl_kv ftl_expand_f64(ftl_kb *b, double v)
{
	return ftl_k_float(b, FTL_KT(FTL_F64, 1), v);
}

static ftl_kv i32(ftl_kb *b, int64_t v)
{
	return ftl_k_int(b, FTL_KT(FTL_I32, 1), v);
}

ftl_kv ftl_expand_poly(ftl_kb *b, ftl_kv u, const double *c, int n)
{
	ftl_ktype t = FTL_KT(ftl_ktype_of(b->f, u).elem, 1);
	ftl_kv r = ftl_k_float(b, t, c[n - 1]);

	for (int k = n - 2; k >= 0; k--)
		r = ftl_k_fma(b, r, u, ftl_k_float(b, t, c[k]));
	return r;
}

ftl_kv ftl_expand_sign(ftl_kb *b, ftl_kv r, ftl_kv x)
{
	ftl_kv s = ftl_k2(b, FTL_K_and, ftl_k_bitcast(b, x, FTL_I32), i32(b, INT32_MIN));

	return ftl_k_bitcast(b, ftl_k2(b, FTL_K_or, ftl_k_bitcast(b, r, FTL_I32), s), FTL_F32);
}

/* e^x = 2^n * y with y in [0.7, 1.5]. *out_bits: an i32 whose low 9 bits are n.
 *
 * Adding 1.5 * 2^23 leaves the nearest integer of x log2(e) in the low bits. ln 2 is cut into 9 bits, so that n times it
 * is exact, and a rest. Needs |x| < 2^20; NaN gives y = NaN. */
static ftl_kv exp_core(ftl_kb *b, ftl_kv x, ftl_kv *out_bits)
{
	static const double q[] = {0.49999994, 0.166665167, 0.0416681021, 0.0083691664, 0.00138383429};
	ftl_kv magic = ftl_expand_f32(b, 0x1.8p23);
	ftl_kv t = ftl_k_fma(b, x, ftl_expand_f32(b, 1.4426950408889634), magic);
	ftl_kv n = ftl_k2(b, FTL_K_sub, t, magic);
	ftl_kv r = ftl_k_fma(b, n, ftl_expand_f32(b, -0.693359375), x);

	r = ftl_k_fma(b, n, ftl_expand_f32(b, 0.000212194442), r);
	*out_bits = ftl_k_bitcast(b, t, FTL_I32);
	r = ftl_k_fma(b, ftl_expand_poly(b, r, q, FTL_COUNT(q)), ftl_k2(b, FTL_K_mul, r, r), r);
	return ftl_k2(b, FTL_K_add, r, ftl_expand_f32(b, 1));
}

/* 2^k where `bits` is k << 23. */
static ftl_kv power_of_two(ftl_kb *b, ftl_kv bits)
{
	return ftl_k_bitcast(b, ftl_k2(b, FTL_K_add, bits, i32(b, 127 << 23)), FTL_F32);
}

/* e^x for results that are normal: |x| < 80. */
static ftl_kv exp_normal(ftl_kb *b, ftl_kv x)
{
	ftl_kv bits, y = exp_core(b, x, &bits);

	return ftl_k2(b, FTL_K_mul, y, power_of_two(b, ftl_k2(b, FTL_K_shl, bits, i32(b, 23))));
}

/* A clamp written as a select keeps NaN. */
static ftl_kv at_most(ftl_kb *b, ftl_kv x, double hi)
{
	ftl_kv h = ftl_expand_f32(b, hi);

	return ftl_k_select(b, ftl_k2(b, FTL_K_lt, h, x), h, x);
}

/* Scaled in two halves, so that the ends overflow to infinity and underflow gradually with no special case:
 * e^89 > FLT_MAX, e^-104 < 2^-150. */
static ftl_kv expand_exp(ftl_kb *b, ftl_kv x)
{
	ftl_kv lo = ftl_expand_f32(b, -104), k23 = i32(b, 23), bits, y, half, all;

	x = at_most(b, x, 89);
	x = ftl_k_select(b, ftl_k2(b, FTL_K_lt, x, lo), lo, x);
	y = exp_core(b, x, &bits);
	half = ftl_k2(b, FTL_K_shl, ftl_k2(b, FTL_K_shr, bits, i32(b, 1)), k23);
	all = ftl_k2(b, FTL_K_shl, bits, k23);
	y = ftl_k2(b, FTL_K_mul, y, power_of_two(b, half));
	return ftl_k2(b, FTL_K_mul, y, power_of_two(b, ftl_k2(b, FTL_K_sub, all, half)));
}

/* log(2^e (1 + f)) = e ln 2 + f - f^2/2 + f^3 P(f), 1 + f in [sqrt 1/2, sqrt 2). */
static ftl_kv expand_log(ftl_kb *b, ftl_kv x)
{
	static const double p[] = {0.333333135,  -0.250001669, 0.200022221,  -0.16659373, 0.14209637,
				   -0.125495628, 0.121091895,  -0.109107621, 0.0531903543};
	ftl_kv zero = ftl_expand_f32(b, 0), inf = ftl_expand_f32(b, INFINITY);
	ftl_kv tiny = ftl_k2(b, FTL_K_lt, x, ftl_expand_f32(b, 0x1p-126));
	ftl_kv bits, e, ef, f, s, y;

	/* subnormals are brought up by 2^23 */
	y = ftl_k_select(b, tiny, ftl_k2(b, FTL_K_mul, x, ftl_expand_f32(b, 0x1p23)), x);
	bits = ftl_k_bitcast(b, y, FTL_I32);
	e = ftl_k2(b, FTL_K_shr, ftl_k2(b, FTL_K_sub, bits, i32(b, 0x3f3504f3)), i32(b, 23));
	ef = ftl_k_cast(b, e, FTL_F32);
	ef = ftl_k2(b, FTL_K_add, ef, ftl_k_select(b, tiny, ftl_expand_f32(b, -23), zero));
	f = ftl_k_bitcast(b, ftl_k2(b, FTL_K_sub, bits, ftl_k2(b, FTL_K_shl, e, i32(b, 23))), FTL_F32);
	f = ftl_k2(b, FTL_K_sub, f, ftl_expand_f32(b, 1));

	s = ftl_k2(b, FTL_K_mul, f, f);
	y = ftl_k2(b, FTL_K_mul, ftl_expand_poly(b, f, p, FTL_COUNT(p)), ftl_k2(b, FTL_K_mul, f, s));
	y = ftl_k_fma(b, ef, ftl_expand_f32(b, -0.000212194442), y);
	y = ftl_k_fma(b, s, ftl_expand_f32(b, -0.5), y);
	y = ftl_k_fma(b, ef, ftl_expand_f32(b, 0.693359375), ftl_k2(b, FTL_K_add, f, y));

	y = ftl_k_select(b, ftl_k2(b, FTL_K_lt, x, inf), y, x); /* infinity and NaN are their own logarithms */
	e = ftl_k_select(b, ftl_k2(b, FTL_K_eq, x, zero), ftl_expand_f32(b, -INFINITY), ftl_expand_f32(b, NAN));
	/* not `0 < x`: NaN keeps its own */
	return ftl_k_select(b, ftl_k2(b, FTL_K_le, x, zero), e, y);
}

/* 1 - 2 / (e^2|x| + 1), and an odd polynomial where that would cancel. */
static ftl_kv expand_tanh(ftl_kb *b, ftl_kv x)
{
	static const double q[] = {-0.333332807, 0.133314058, -0.0537365153, 0.0206281673, -0.00569229666};
	ftl_kv a = ftl_k1(b, FTL_K_abs, x), u = ftl_k2(b, FTL_K_mul, a, a), one = ftl_expand_f32(b, 1);
	ftl_kv c = at_most(b, a, 9.1); /* tanh(9.1) rounds to 1 */
	ftl_kv e = exp_normal(b, ftl_k2(b, FTL_K_add, c, c));
	ftl_kv big = ftl_k2(b, FTL_K_div, ftl_expand_f32(b, 2), ftl_k2(b, FTL_K_add, e, one));
	ftl_kv small = ftl_k2(b, FTL_K_mul, ftl_expand_poly(b, u, q, FTL_COUNT(q)), u);

	big = ftl_k2(b, FTL_K_sub, one, big);
	small = ftl_k_fma(b, small, a, a);
	a = ftl_k_select(b, ftl_k2(b, FTL_K_lt, a, ftl_expand_f32(b, 0.625)), small, big);
	return ftl_expand_sign(b, a, x);
}

/* x + x P(x^2) for |x| < 1; beyond, 1 - e^-p(|x|) with p fitted to -log erfc so that erf is what is accurate. */
static ftl_kv expand_erf(ftl_kb *b, ftl_kv x)
{
	static const double p[] = {0.128379166,  -0.37612626,    0.112835787,   -0.0268533472,
				   0.0051871622, -0.00079978531, 7.80690389e-05};
	static const double q[] = {0.000341524486, 1.12708914,    0.63814497,     0.103106596,
				   -0.021837974,   0.00294763339, -0.000186376477};
	ftl_kv a = ftl_k1(b, FTL_K_abs, x), one = ftl_expand_f32(b, 1);
	ftl_kv c = at_most(b, a, 4); /* erf(4) rounds to 1 */
	ftl_kv small = ftl_expand_poly(b, ftl_k2(b, FTL_K_mul, a, a), p, FTL_COUNT(p));
	ftl_kv big = exp_normal(b, ftl_k1(b, FTL_K_neg, ftl_expand_poly(b, c, q, FTL_COUNT(q))));

	small = ftl_k_fma(b, small, a, a);
	big = ftl_k2(b, FTL_K_sub, one, big);
	a = ftl_k_select(b, ftl_k2(b, FTL_K_lt, a, one), small, big);
	return ftl_expand_sign(b, a, x);
}

/* ---- the driver ---- */

static ftl_kv expand(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv y)
{
	switch (op) {
	case FTL_K_exp: return expand_exp(b, x);
	case FTL_K_log: return expand_log(b, x);
	case FTL_K_tanh: return expand_tanh(b, x);
	case FTL_K_erf: return expand_erf(b, x);
	case FTL_K_sin:
	case FTL_K_cos:
	case FTL_K_tan: return ftl_expand_trig(b, op, x);
	case FTL_K_pow: return ftl_expand_pow(b, x, y);
	case FTL_K_sinh: return ftl_expand_sinh(b, x);
	case FTL_K_cosh: return ftl_expand_cosh(b, x);
	case FTL_K_asin: return ftl_expand_asin(b, x);
	case FTL_K_acos: return ftl_expand_acos(b, x);
	case FTL_K_atan: return ftl_expand_atan(b, x);
	case FTL_K_asinh: return ftl_expand_asinh(b, x);
	case FTL_K_acosh: return ftl_expand_acosh(b, x);
	case FTL_K_atanh: return ftl_expand_atanh(b, x);
	default: return 0;
	}
}

struct rewrite {
	ftl_kb b;
	ftl_kv *with; /* by id of the old instructions: what stands in its place, 0 = itself */
	uint32_t n;
};

static ftl_kv renamed(const struct rewrite *w, ftl_kv v)
{
	return v < w->n && w->with[v] ? w->with[v] : v;
}

/* Append the instructions of `from` to `to`, which is the builder's current block. */
static void rewrite_block(struct rewrite *w, const ftl_kblock *from, ftl_kblock *to)
{
	ftl_kfunc *f = w->b.f;

	for (uint32_t k = 0; k < from->insts.n; k++) {
		ftl_kv v = from->insts.v[k], r;
		ftl_kinst *i = ftl_kinst_get(f, v);

		for (int j = 0; j < 4; j++)
			i->a[j] = renamed(w, i->a[j]);
		for (uint32_t j = 0; j < i->nextra; j++)
			i->extra[j] = renamed(w, i->extra[j]);
		r = i->type.elem == FTL_F32 ? expand(&w->b, (ftl_kop)i->op, i->a[0], i->a[1]) : 0;
		if (r) {
			w->with[v] = r;
			continue;
		}
		for (int side = 0; side < 2; side++) {
			ftl_kblock **place = side == 0 ? &ftl_kinst_get(f, v)->body : &ftl_kinst_get(f, v)->els;
			ftl_kblock *old = *place, *fresh;

			if (!old)
				continue;
			fresh = FTL_NEW(w->b.arena, ftl_kblock);
			*place = fresh;
			ftl_kb_enter(&w->b, to, fresh);
			rewrite_block(w, old, fresh);
			ftl_kb_leave(&w->b, to);
		}
		ftl_kb_place(&w->b, v);
	}
}

static bool has_math(const ftl_kfunc *f)
{
	for (ftl_kv v = 1; v < f->inst.n; v++) {
		const ftl_kinst *i = ftl_kinst_get(f, v);

		if (i->type.elem == FTL_F32 && i->op >= FTL_K_exp && i->op <= FTL_K_pow)
			return true;
	}
	return false;
}

void ftl_kmodule_expand_math(ftl_kmodule *m)
{
	for (uint32_t k = 0; k < m->kernels.n; k++) {
		ftl_kfunc *f = m->kernels.v[k];
		struct rewrite w = {.n = f->inst.n};
		ftl_kblock old = f->body;

		if (!has_math(f))
			continue;
		w.with = FTL_NEW_N(f->arena, ftl_kv, w.n);
		f->body = (ftl_kblock){0};
		ftl_kb_init(&w.b, f->arena, f);
		rewrite_block(&w, &old, &f->body);
		f->result = renamed(&w, f->result);
		ftl_kfunc_dce(f);
		if (f->hash)
			f->hash = ftl_kfunc_hash(f);
	}
}
