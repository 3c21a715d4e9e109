/* Expanded math: every function over bit patterns in strides through the interpreter, against libm in f64 with the
 * bounds that expand.c states; and the special values exactly. */
#include "kernels/kir.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LANES = 16, POINTS = 1 << 16, ROUNDS = 16 };

struct fix {
	ftl_arena arena;
	ftl_landing landing;
	ftl_diag diag;
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	*state = f;
	ftl_arena_init(&f->arena, NULL, &f->landing, 0);
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	ftl_arena_free(&f->arena);
	free(f);
	return 0;
}

/* out[i] = op(in0[i], in1[i]); a NaN exponent means that in1 is read. */
static ftl_kmodule *make(struct fix *f, ftl_kop op, int lanes, double exponent)
{
	ftl_symtab *st = ftl_symtab_new(&f->arena);
	ftl_kmodule *m = ftl_kmodule_new(&f->arena, st, "math");
	ftl_dim *dims = FTL_NEW(&f->arena, ftl_dim);
	ftl_kfunc *k = ftl_kfunc_new(&f->arena, "k0", false);
	ftl_kv p[3], args[4], n, x, y = 0;
	ftl_kscope s;
	ftl_kb b;

	dims[0] = ftl_dim_sym(st, "n");
	for (int i = 0; i < 3; i++) {
		ftl_kio io = {.name = i == 0   ? "x"
				      : i == 1 ? "y"
					       : "z",
			      .type = {.dtype = FTL_F32, .rank = 1, .dims = dims}};

		if (i < 2)
			ftl_vec_push(&f->arena, &m->inputs, io);
		else
			ftl_vec_push(&f->arena, &m->outputs, io);
	}
	ftl_kb_init(&b, &f->arena, k);
	for (int i = 0; i < 3; i++)
		p[i] = ftl_kb_param(&b, FTL_KT_PTR);
	n = ftl_kb_param(&b, FTL_KT_I64);
	s = ftl_k_for(&b, ftl_k_i64(&b, 0), n, lanes);
	x = ftl_k_load(&b, FTL_F32, p[0], s.index, lanes);
	if (op == FTL_K_pow)
		y = isnan(exponent) ? ftl_k_load(&b, FTL_F32, p[1], s.index, lanes)
				    : ftl_k_splat(&b, ftl_k_float(&b, FTL_KT(FTL_F32, 1), exponent), lanes);
	ftl_k_store(&b, p[2], s.index, op == FTL_K_pow ? ftl_k2(&b, op, x, y) : ftl_k1(&b, op, x));
	ftl_k_end(&b, &s);
	ftl_vec_push(&f->arena, &m->kernels, k);

	m->main = ftl_kfunc_new(&f->arena, "main", true);
	ftl_kb_init(&b, &f->arena, m->main);
	n = ftl_k_in_dim(&b, 0, 0);
	args[0] = ftl_k_in_ptr(&b, 0);
	args[1] = ftl_k_in_ptr(&b, 1);
	args[2] = ftl_k_out_ptr(&b, 0, ftl_k2(&b, FTL_K_mul, n, ftl_k_i64(&b, 4)));
	args[3] = n;
	ftl_k_out_dim(&b, 0, 0, n);
	ftl_k_launch(&b, 0, ftl_k_i64(&b, 1), args, 4, 1);

	ftl_kmodule_expand_math(m);
	if (ftl_kmodule_verify(m, &f->diag) != FTL_OK)
		fail_msg("%s", f->diag.text);
	return m;
}

static void run(struct fix *f, const ftl_kmodule *m, const float *x, const float *y, float *z, int n)
{
	ftl_karg_tensor in[2] = {{.data = (void *)x, .dims = {n}, .bytes = (size_t)n * 4},
				 {.data = (void *)y, .dims = {n}, .bytes = (size_t)n * 4}};
	ftl_karg_tensor out = {.data = z, .bytes = (size_t)n * 4};
	ftl_arena scratch;

	ftl_arena_init(&scratch, NULL, &f->landing, 0);
	if (ftl_kmodule_interpret(m, &scratch, in, &out, &f->diag) != FTL_OK)
		fail_msg("%s", f->diag.text);
	ftl_arena_free(&scratch);
}

static uint32_t bits(float v)
{
	uint32_t u;

	memcpy(&u, &v, sizeof u);
	return u;
}

static float from_bits(uint32_t u)
{
	float v;

	memcpy(&v, &u, sizeof v);
	return v;
}

/* Distance of got from the exact value, in units of the last place of a float there. */
static double ulps(float got, double want)
{
	float w = (float)want;
	int e;

	if (isnan(want) || isnan(got))
		return isnan(want) && isnan(got) ? 0 : INFINITY;
	if (isinf(got) || isinf(w))
		return bits(got) == bits(w)                                               ? 0
		       : !isinf(want) && isinf(got) != isinf(w) && fabs(want) > 3.4028e38 ? 1
											  : INFINITY;
	frexp(want, &e);
	if (want == 0 || e < -125)
		e = -125;
	return fabs((double)got - want) / ldexp(1, e - 24);
}

static double ref_pow(double x, double y)
{
	return pow(x, y);
}

static const struct function {
	ftl_kop op;
	double (*ref)(double);
	double bound;
} functions[] = {
	{FTL_K_exp, exp, 2},     {FTL_K_log, log, 2},     {FTL_K_tanh, tanh, 4},   {FTL_K_erf, erf, 4},
	{FTL_K_sin, sin, 2},     {FTL_K_cos, cos, 2},     {FTL_K_tan, tan, 2},     {FTL_K_sinh, sinh, 2},
	{FTL_K_cosh, cosh, 2},   {FTL_K_asin, asin, 2},   {FTL_K_acos, acos, 2},   {FTL_K_atan, atan, 2},
	{FTL_K_asinh, asinh, 2}, {FTL_K_acosh, acosh, 2}, {FTL_K_atanh, atanh, 2},
};

static float *x, *y, *z;

/* Round r looks at every ROUNDS * 4096 / 16-th bit pattern, with an odd offset, so all exponents and many mantissas. */
static void sweep(struct fix *f, const struct function *fn)
{
	const ftl_kmodule *m = make(f, fn->op, LANES, 0);
	double worst = 0;
	float at = 0;

	for (uint32_t r = 0; r < ROUNDS; r++) {
		for (uint32_t i = 0; i < POINTS; i++)
			x[i] = from_bits((uint32_t)(((uint64_t)r * POINTS + i) * 4099 % UINT32_MAX));
		run(f, m, x, x, z, POINTS);
		for (uint32_t i = 0; i < POINTS; i++) {
			double u = ulps(z[i], fn->ref((double)x[i]));

			if (u > worst) {
				worst = u;
				at = x[i];
			}
		}
	}
	if (getenv("FTL_SHOW"))
		printf("%s: %.3f ulp at %a\n", ftl_kop_get(fn->op)->name, worst, (double)at);
	if (!(worst <= fn->bound))
		fail_msg("%s is off by %g ulp at %a", ftl_kop_get(fn->op)->name, worst, (double)at);
}

static void functions_keep_their_bounds(void **state)
{
	for (size_t k = 0; k < FTL_COUNT(functions); k++)
		sweep(*state, &functions[k]);
}

/* Around the places where the formulas change, and where most arguments are. */
static void bounds_hold_where_formulas_meet(void **state)
{
	static const float centers[] = {0.3466f, 0.41421f, 0.5f,       0.625f,     0.7071f,    1,   1.4142f,
					2.4142f, 4,        9.1f,       20,         88.7f,      100, 8191,
					1e6f,    0x1p-12f, 1.5707964f, 3.1415927f, 102.10176f, 355};

	for (size_t k = 0; k < FTL_COUNT(functions); k++) {
		const ftl_kmodule *m = make(*state, functions[k].op, LANES, 0);
		uint32_t n = 0;

		for (size_t c = 0; c < FTL_COUNT(centers); c++) {
			for (int32_t d = -1000; d < 1000; d++, n++)
				x[n] = from_bits(bits(centers[c]) + (uint32_t)(d < 0 && c % 2 ? d * 37 : d)) *
				       (d % 2 ? -1 : 1);
		}
		n = n / LANES * LANES;
		run(*state, m, x, x, z, (int)n);
		for (uint32_t i = 0; i < n; i++) {
			double u = ulps(z[i], functions[k].ref((double)x[i]));

			if (!(u <= functions[k].bound))
				fail_msg("%s is off by %g ulp at %a", ftl_kop_get(functions[k].op)->name, u,
					 (double)x[i]);
		}
	}
}

static void pow_keeps_its_bound(void **state)
{
	const ftl_kmodule *m = make(*state, FTL_K_pow, LANES, NAN);
	uint64_t seed = 88172645463325252u;
	double worst = 0;

	for (int r = 0; r < ROUNDS; r++) {
		for (int i = 0; i < POINTS; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			x[i] = from_bits((uint32_t)seed);
			y[i] = from_bits((uint32_t)(seed >> 32));
			if (r % 4 == 1) /* results in range */
				y[i] = (float)((double)(int32_t)(seed >> 32) * 0x1p-31 * 130 /
					       log2(fabs((double)x[i]) + 1e-30));
			else if (r % 4 == 2) /* near 1: the largest exponents */
				x[i] = from_bits(0x3f800000 + (uint32_t)(seed & 0xffff) - 0x8000);
			else if (r % 4 == 3) /* integers */
				y[i] = rintf((float)(int32_t)(seed >> 32) * 0x1p-27f);
		}
		run(*state, m, x, y, z, POINTS);
		for (int i = 0; i < POINTS; i++) {
			double u = ulps(z[i], ref_pow((double)x[i], (double)y[i]));

			worst = u > worst ? u : worst;
			if (!(u <= 1))
				fail_msg("pow(%a, %a) = %a is off by %g ulp", (double)x[i], (double)y[i], (double)z[i],
					 u);
		}
	}
	if (getenv("FTL_SHOW"))
		printf("pow: %.3f ulp\n", worst);
}

static const float special[] = {0.0f,
				-0.0f,
				1,
				-1,
				INFINITY,
				-INFINITY,
				NAN,
				0x1p-149f,
				-0x1p-149f,
				0x1p-126f,
				-0x1p-126f,
				0x1.fffffep127f,
				-0x1.fffffep127f,
				0.5f,
				-0.5f,
				2,
				-2,
				3,
				-3,
				1e10f,
				-1e10f,
				1.5f,
				-1.5f,
				0x1p24f,
				0x1.000002p23f,
				-0x1.000002p23f,
				88.72284f,
				-103.97208f,
				-104.5f,
				89.5f,
				1e-3f,
				-7};

/* Equal bits, but for the result's last place where it is a number; NaN is one value. */
static bool alike(float got, double want)
{
	float w = (float)want;

	if (isnan(w) || isnan(got))
		return isnan(w) && isnan(got);
	if (w == 0 || isinf(w) || got == 0 || isinf(got))
		return bits(w) == bits(got);
	return ulps(got, want) <= 2 && signbit(w) == signbit(got);
}

static void special_values_are_those_of_c(void **state)
{
	enum { N = FTL_COUNT(special) };

	for (size_t k = 0; k < FTL_COUNT(functions); k++) {
		for (int lanes = 1; lanes <= LANES; lanes *= LANES) {
			run(*state, make(*state, functions[k].op, lanes, 0), special, special, z, N);
			for (int i = 0; i < N; i++) {
				double want = functions[k].ref((double)special[i]);

				if (!alike(z[i], want))
					fail_msg("%s(%a) = %a, not %a (%d lanes)", ftl_kop_get(functions[k].op)->name,
						 (double)special[i], (double)z[i], want, lanes);
			}
		}
	}
	for (int i = 0; i < N; i++) {
		for (int j = 0; j < N; j++) {
			x[i * N + j] = special[i];
			y[i * N + j] = special[j];
		}
	}
	run(*state, make(*state, FTL_K_pow, LANES, NAN), x, y, z, N * N);
	for (int i = 0; i < N * N; i++) {
		if (!alike(z[i], pow((double)x[i], (double)y[i])))
			fail_msg("pow(%a, %a) = %a", (double)x[i], (double)y[i], (double)z[i]);
	}
}

static void constant_exponents_are_short_and_right(void **state)
{
	static const double e[] = {0, 1, 2, 3, -1, 0.5, 4, -2, -0.5, 1.5, 2.5, 1.0 / 3};
	enum { N = FTL_COUNT(special) };

	for (size_t k = 0; k < FTL_COUNT(e); k++) {
		for (int i = 0; i < N; i++)
			x[i] = special[i];
		for (int i = N; i < POINTS; i++)
			x[i] = from_bits(0x30000000 + (uint32_t)i * 5003) * (i % 2 ? 1 : -1);
		run(*state, make(*state, FTL_K_pow, LANES, e[k]), x, x, z, POINTS);
		for (int i = 0; i < POINTS; i++) {
			double want = pow((double)x[i], (double)(float)e[k]);

			if (!alike(z[i], want))
				fail_msg("pow(%a, %g) = %a, not %a", (double)x[i], e[k], (double)z[i], want);
			if ((e[k] == 2 && z[i] != (float)want && !isnan(want)) ||
			    (e[k] == 0.5 && z[i] != (float)want && !isnan(want)))
				fail_msg("pow(%a, %g) is not exact", (double)x[i], e[k]);
		}
	}
}

/* Twice gives what once gives, and nothing is left that a second pass would change. */
static void expanding_twice_changes_nothing(void **state)
{
	for (size_t k = 0; k < FTL_COUNT(functions); k++) {
		ftl_kmodule *m = make(*state, functions[k].op, LANES, 0);
		uint64_t h = ftl_kfunc_hash(m->kernels.v[0]);

		ftl_kmodule_expand_math(m);
		assert_true(ftl_kfunc_hash(m->kernels.v[0]) == h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(functions_keep_their_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds_hold_where_formulas_meet, setup, teardown),
		cmocka_unit_test_setup_teardown(pow_keeps_its_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(special_values_are_those_of_c, setup, teardown),
		cmocka_unit_test_setup_teardown(constant_exponents_are_short_and_right, setup, teardown),
		cmocka_unit_test_setup_teardown(expanding_twice_changes_nothing, setup, teardown),
	};
	int rc;

	x = calloc(POINTS, sizeof *x);
	y = calloc(POINTS, sizeof *y);
	z = calloc(POINTS, sizeof *z);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(x);
	free(y);
	free(z);
	return rc;
}
