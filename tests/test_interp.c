/* The interpreter: every instruction against plain C (or against the builder's folding, which is written apart from it),
 * control flow, memory, and the faults it must catch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "kernels/kir.h"

#define ELEMS 64 /* of each operand: a multiple of all lane counts used */

static ftl_landing landing;
static ftl_arena arena;

static int set_up(void **state)
{
	(void)state;
	ftl_arena_init(&arena, NULL, &landing, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ftl_arena_free(&arena);
	return 0;
}

#define LAND()                                                                                                         \
	do {                                                                                                           \
		if (setjmp(landing.jump))                                                                              \
			fail_msg("out of memory");                                                                     \
	} while (0)

/* ---- one instruction over arrays ---- */

static const double reals[] = {0.0,      -0.0,      1.0,     -1.0,         0.5,           1.5,    2.5,     -2.5,
			       3.7,      -3.2,      100.25,  1e-3,         1e30,          -1e30,  127.5,   128.0,
			       -129.0,   255.5,     65535.0, 2147483648.0, -2147483649.0, 9.3e18, -9.3e18, 1.9e19,
			       INFINITY, -INFINITY, NAN,     1e-42,        0.9999999,     7.0,    -0.75,   4e9};
static const int64_t wholes[] = {0,
				 1,
				 -1,
				 2,
				 3,
				 7,
				 -7,
				 31,
				 32,
				 63,
				 64,
				 100,
				 127,
				 128,
				 -128,
				 255,
				 256,
				 32767,
				 -32768,
				 65535,
				 2147483647,
				 -2147483648ll,
				 4294967295ll,
				 INT64_MAX,
				 INT64_MIN,
				 -2,
				 5,
				 1000003};

/* Element k of operand `which`: constants of the builder, so that they are also what folding is given. */
static ftl_kv element(ftl_kb *b, ftl_dtype t, int which, int k)
{
	unsigned at = (unsigned)(k * (2 * which + 1) + which * 11 + k / 17);

	if (ftl_dtype_is_float(t))
		return ftl_k_float(b, FTL_KT(t, 1), reals[at % FTL_COUNT(reals)]);
	return ftl_k_int(b, FTL_KT(t, 1), wholes[at % FTL_COUNT(wholes)]);
}

/* The bytes in memory of constant v. */
static void to_memory(const ftl_kb *b, ftl_kv v, uint8_t *p)
{
	const ftl_kinst *i = ftl_kinst_get(b->f, v);
	double d;

	assert_int_equal(i->op, FTL_K_const);
	memcpy(&d, &i->imm, sizeof d);
	if (ftl_dtype_is_float(i->type.elem))
		ftl_elem_set(i->type.elem, p, 0, d);
	else
		memcpy(p, &i->imm, ftl_dtype_bytes(i->type.elem));
}

static void add_tensor(ftl_kmodule *m, bool output, ftl_dtype t, int64_t n)
{
	ftl_dim *d = FTL_NEW(&arena, ftl_dim);
	ftl_kio io = {.name = "t", .type = {.dtype = t, .rank = 1, .dims = d}};

	*d = ftl_dim_const(m->st, n);
	if (output)
		ftl_vec_push(&arena, &m->outputs, io);
	else
		ftl_vec_push(&arena, &m->inputs, io);
}

typedef ftl_kv (*make_fn)(ftl_kb *b, ftl_kop op, ftl_dtype to, const ftl_kv *x);

/* Run out[i] = make(in0[i], in1[i], in2[i]) for all elements, `lanes` at a time. */
static uint8_t *run_map(make_fn make, ftl_kop op, const ftl_dtype *t, int nin, ftl_dtype to, int lanes, uint8_t *in[3])
{
	ftl_kmodule *m = ftl_kmodule_new(&arena, ftl_symtab_new(&arena), "m");
	ftl_kfunc *k = ftl_kfunc_new(&arena, "k", false);
	ftl_karg_tensor args[3] = {{0}}, out = {0};
	ftl_kv p[4], x[3], main_p[4];
	ftl_diag d = {0};
	ftl_kb b, mb;

	m->main = ftl_kfunc_new(&arena, "main", true);
	ftl_vec_push(&arena, &m->kernels, k);
	ftl_kb_init(&b, &arena, k);
	ftl_kb_init(&mb, &arena, m->main);
	for (int j = 0; j < nin; j++) {
		add_tensor(m, false, t[j], ELEMS);
		args[j] = (ftl_karg_tensor){.data = in[j], .dims = {ELEMS}, .bytes = ELEMS * ftl_dtype_bytes(t[j])};
		p[j] = ftl_kb_param(&b, FTL_KT_PTR);
		main_p[j] = ftl_k_in_ptr(&mb, (uint32_t)j);
	}
	add_tensor(m, true, to, ELEMS);
	p[nin] = ftl_kb_param(&b, FTL_KT_PTR);
	main_p[nin] = ftl_k_out_ptr(&mb, 0, ftl_k_i64(&mb, (int64_t)(ELEMS * ftl_dtype_bytes(to))));
	{
		ftl_kv at = ftl_k2(&b, FTL_K_mul, ftl_k_grid(&b), ftl_k_i64(&b, lanes));

		for (int j = 0; j < nin; j++)
			x[j] = ftl_k_load(&b, t[j], p[j], at, lanes);
		ftl_k_store(&b, p[nin], at, make(&b, op, to, x));
	}
	ftl_k_launch(&mb, 0, ftl_k_i64(&mb, ELEMS / lanes), main_p, (uint32_t)nin + 1, 1);
	if (ftl_kmodule_verify(m, &d) != FTL_OK || ftl_kmodule_interpret(m, &arena, args, &out, &d) != FTL_OK)
		fail_msg("%s", d.text);
	assert_int_equal(out.bytes, ELEMS * ftl_dtype_bytes(to));
	return out.data;
}

static ftl_kv make_op(ftl_kb *b, ftl_kop op, ftl_dtype to, const ftl_kv *x)
{
	(void)to;
	switch (ftl_kop_get(op)->nargs) {
	case 1: return ftl_k1(b, op, x[0]);
	case 2: return ftl_k2(b, op, x[0], x[1]);
	default: /* past the builder, which makes integer fma a mul and an add */
		if (ftl_dtype_is_float(ftl_ktype_of(b->f, x[0]).elem) || ftl_k_is_const(b, x[0], NULL))
			return ftl_k_fma(b, x[0], x[1], x[2]);
		ftl_vec_push(&arena, &b->f->inst,
			     ((ftl_kinst){.op = FTL_K_fma, .type = ftl_ktype_of(b->f, x[0]), .a = {x[0], x[1], x[2]}}));
		ftl_vec_push(&arena, &b->block->insts, b->f->inst.n - 1);
		return b->f->inst.n - 1;
	}
}

static ftl_kv make_cast(ftl_kb *b, ftl_kop op, ftl_dtype to, const ftl_kv *x)
{
	(void)op;
	return ftl_k_cast(b, x[0], to);
}

static bool same_bytes(ftl_dtype t, const uint8_t *a, const uint8_t *b)
{
	double x, y;

	if (memcmp(a, b, ftl_dtype_bytes(t)) == 0)
		return true;
	if (!ftl_dtype_is_float(t))
		return false;
	x = ftl_elem_get(t, a, 0);
	y = ftl_elem_get(t, b, 0);
	return (x != x && y != y) || (x == 0 && y == 0); /* fmin and fmax may give either zero */
}

static void check_op(ftl_kop op, ftl_dtype t, make_fn make, ftl_dtype to)
{
	static const int lane_counts[] = {1, 4, 8, 16, 64};
	int nin = make == make_cast ? 1 : ftl_kop_get(op)->nargs;
	ftl_dtype types[3] = {t, t, t};
	uint8_t *in[3], *want = ftl_arena_alloc(&arena, ELEMS * 8), *got;
	ftl_kb b;

	ftl_kb_init(&b, &arena, ftl_kfunc_new(&arena, "fold", false));
	for (int j = 0; j < nin; j++)
		in[j] = ftl_arena_alloc(&arena, ELEMS * 8);
	for (int k = 0; k < ELEMS; k++) {
		ftl_kv x[3] = {0};

		for (int j = 0; j < nin; j++) {
			x[j] = element(&b, t, j, k);
			to_memory(&b, x[j], in[j] + (size_t)k * ftl_dtype_bytes(t));
		}
		to_memory(&b, make(&b, op, to, x), want + (size_t)k * ftl_dtype_bytes(to));
	}
	for (size_t l = 0; l < FTL_COUNT(lane_counts); l++) {
		got = run_map(make, op, types, nin, to, lane_counts[l], in);
		for (int k = 0; k < ELEMS; k++) {
			size_t at = (size_t)k * ftl_dtype_bytes(to);

			if (!same_bytes(to, got + at, want + at))
				fail_msg("%s on %s to %s, %d lanes: element %d", ftl_kop_get(op)->name,
					 ftl_dtype_name(t), ftl_dtype_name(to), lane_counts[l], k);
		}
	}
	ftl_arena_reset(&arena);
}

static void arithmetic_is_what_folding_says(void **state)
{
	static const ftl_kop both[] = {FTL_K_add, FTL_K_sub, FTL_K_mul, FTL_K_div, FTL_K_rem, FTL_K_min, FTL_K_max,
				       FTL_K_neg, FTL_K_abs, FTL_K_eq,  FTL_K_ne,  FTL_K_lt,  FTL_K_le,  FTL_K_fma};
	static const ftl_kop ints[] = {FTL_K_and, FTL_K_or, FTL_K_xor, FTL_K_not, FTL_K_shl, FTL_K_shr, FTL_K_popcount};
	static const ftl_kop floats[] = {FTL_K_sqrt, FTL_K_floor, FTL_K_ceil, FTL_K_trunc, FTL_K_rint};
	static const ftl_kop bools[] = {FTL_K_and, FTL_K_or, FTL_K_xor, FTL_K_not, FTL_K_eq, FTL_K_ne};

	(void)state;
	LAND();
	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		if (t == FTL_F16 || t == FTL_BF16 || t == FTL_BOOL)
			continue;
		for (size_t k = 0; k < FTL_COUNT(both); k++)
			check_op(both[k], t, make_op,
				 ftl_kop_get(both[k])->rule == K_RULE_CMP ? FTL_BOOL : (ftl_dtype)t);
		for (size_t k = 0; k < FTL_COUNT(ints) && ftl_dtype_is_int(t); k++)
			check_op(ints[k], t, make_op, t);
		for (size_t k = 0; k < FTL_COUNT(floats) && ftl_dtype_is_float(t); k++)
			check_op(floats[k], t, make_op, t);
	}
	for (size_t k = 0; k < FTL_COUNT(bools); k++)
		check_op(bools[k], FTL_BOOL, make_op, FTL_BOOL);
}

static void casts_are_what_folding_says(void **state)
{
	(void)state;
	LAND();
	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		for (int to = 1; to < FTL_DTYPE_LOW; to++)
			check_op(FTL_K_cast, t, make_cast, to);
	}
}

/* Folding and interpreter could share a mistake: values written down by hand. */
static void folding_is_what_the_table_says(void **state)
{
	static const struct {
		ftl_kop op;
		ftl_dtype t;
		int64_t x, y, want;
	} cases[] = {
		{FTL_K_add, FTL_I8, 127, 1, -128},
		{FTL_K_add, FTL_U8, 255, 1, 0},
		{FTL_K_sub, FTL_U32, 0, 1, 4294967295},
		{FTL_K_mul, FTL_U16, 65535, 65535, 1},
		{FTL_K_mul, FTL_I64, INT64_MAX, 2, -2},
		{FTL_K_div, FTL_I32, -7, 2, -3},
		{FTL_K_div, FTL_I32, INT32_MIN, -1, INT32_MIN},
		{FTL_K_div, FTL_I64, INT64_MIN, -1, INT64_MIN},
		{FTL_K_div, FTL_U64, -1, 2, INT64_MAX},
		{FTL_K_div, FTL_I8, 5, 0, 0},
		{FTL_K_rem, FTL_I32, -7, 2, -1},
		{FTL_K_rem, FTL_I64, INT64_MIN, -1, 0},
		{FTL_K_rem, FTL_U8, 7, 0, 0},
		{FTL_K_min, FTL_U64, -1, 1, 1},
		{FTL_K_max, FTL_I8, -128, 127, 127},
		{FTL_K_shl, FTL_I32, 1, 31, INT32_MIN},
		{FTL_K_shl, FTL_I32, 1, 32, 0},
		{FTL_K_shl, FTL_U8, 1, -1, 0},
		{FTL_K_shr, FTL_I32, -8, 1, -4},
		{FTL_K_shr, FTL_I32, -8, 40, -1},
		{FTL_K_shr, FTL_U32, 0x80000000, 31, 1},
		{FTL_K_shr, FTL_U64, -1, 64, 0},
		{FTL_K_xor, FTL_U16, 0xff00, 0x0ff0, 0xf0f0},
	};
	ftl_kb b;
	int64_t got = 0;

	(void)state;
	LAND();
	ftl_kb_init(&b, &arena, ftl_kfunc_new(&arena, "fold", false));
	for (size_t k = 0; k < FTL_COUNT(cases); k++) {
		ftl_kv x = ftl_k_int(&b, FTL_KT(cases[k].t, 1), cases[k].x);
		ftl_kv y = ftl_k_int(&b, FTL_KT(cases[k].t, 1), cases[k].y);
		ftl_kv r = ftl_k2(&b, cases[k].op, x, y);

		assert_true(ftl_k_is_const(&b, r, &got));
		if (got != cases[k].want)
			fail_msg("case %zu: %lld", k, (long long)got);
	}
	assert_true(ftl_k_is_const(&b, ftl_k1(&b, FTL_K_popcount, ftl_k_int(&b, FTL_KT(FTL_I16, 1), -1)), &got));
	assert_int_equal(got, 16);
	assert_true(ftl_k_is_const(&b, ftl_k_cast(&b, ftl_k_float(&b, FTL_KT(FTL_F32, 1), NAN), FTL_I32), &got));
	assert_int_equal(got, 0);
	assert_true(ftl_k_is_const(&b, ftl_k_cast(&b, ftl_k_float(&b, FTL_KT(FTL_F64, 1), 1e300), FTL_I64), &got));
	assert_int_equal(got, INT64_MAX);
	assert_int_equal(ftl_k1(&b, FTL_K_rint, ftl_k_float(&b, FTL_KT(FTL_F32, 1), 2.5)),
			 ftl_k_float(&b, FTL_KT(FTL_F32, 1), 2));
	assert_int_equal(
		ftl_k2(&b, FTL_K_min, ftl_k_float(&b, FTL_KT(FTL_F32, 1), NAN), ftl_k_float(&b, FTL_KT(FTL_F32, 1), 2)),
		ftl_k_float(&b, FTL_KT(FTL_F32, 1), 2));
}

static float reference(ftl_kop op, float x, float y)
{
	switch (op) {
#define MATH(name)                                                                                                     \
	case FTL_K_##name: return name##f(x);
		MATH(exp)
		MATH(log)
		MATH(sin) MATH(cos) MATH(tan) MATH(asin) MATH(acos) MATH(atan) MATH(sinh) MATH(cosh) MATH(tanh)
			MATH(asinh) MATH(acosh) MATH(atanh) MATH(erf) default : return powf(x, y);
	}
}

static void math_is_libm(void **state)
{
	(void)state;
	LAND();
	for (ftl_kop op = FTL_K_exp; op <= FTL_K_pow; op++) {
		ftl_dtype t[2] = {FTL_F32, FTL_F32};
		float x[ELEMS], y[ELEMS], *got;
		uint8_t *in[3] = {(uint8_t *)x, (uint8_t *)y, NULL};

		for (int k = 0; k < ELEMS; k++) {
			x[k] = (float)reals[(size_t)k % FTL_COUNT(reals)];
			y[k] = (float)k / 7 - 3;
		}
		got = (float *)(void *)run_map(make_op, op, t, ftl_kop_get(op)->nargs, FTL_F32, 16, in);
		for (int k = 0; k < ELEMS; k++) {
			float want = reference(op, x[k], y[k]);

			if (!(got[k] == want || (got[k] != got[k] && want != want)))
				fail_msg("%s(%g)", ftl_kop_get(op)->name, (double)x[k]);
		}
	}
}

/* ---- modules as text ---- */

#define HEAD "kmodule \"m\" vector_bytes=0 { msg 2 \"bad index\" input 0 \"x\" i64[?n] output 0 \"y\" i64[8]\n"

/* Inputs 1..n as i64; y gets 8 elements. The status, with the text in *d. */
static ftl_status_code run_text(const char *text, int64_t n, int64_t y[8], ftl_diag *d)
{
	ftl_kmodule *m;
	int64_t *x = FTL_NEW_N(&arena, int64_t, 64);
	ftl_karg_tensor in = {.data = x, .dims = {n}, .bytes = (size_t)n * 8}, out = {.data = y, .bytes = 64};

	for (int64_t k = 0; k < n; k++)
		x[k] = k + 1;
	*d = (ftl_diag){0};
	if (ftl_kmodule_parse(&arena, text, strlen(text), "t.kir", d, &m) != FTL_OK)
		fail_msg("%s", d->text);
	return ftl_kmodule_interpret(m, &arena, &in, &out, d);
}

static void expect(const char *text, const int64_t want[8])
{
	int64_t y[8];
	ftl_diag d;

	memset(y, 0, sizeof y);
	if (run_text(text, 8, y, &d) != FTL_OK)
		fail_msg("%s", d.text);
	for (int k = 0; k < 8; k++) {
		if (y[k] != want[k])
			fail_msg("%s\nelement %d is %lld", text, k, (long long)y[k]);
	}
}

/* A kernel over x (%x) and y (%y), eight elements each. */
#define KERNEL(body)                                                                                                   \
	HEAD "kernel @k \"\" (%x: ptr, %y: ptr) {" body "}\n"                                                          \
	     "main { %x = in_ptr 0 %y = out_ptr 0, 64 launch @k[1] (%x, %y) cost 1 } }"

static void lanes_move(void **state)
{
	(void)state;
	LAND();
	expect(KERNEL("%a = load %x[0] : i64x4 %b = load %x[4] : i64x4 %c = join %a, %b store %y[0], %c"),
	       (int64_t[]){1, 2, 3, 4, 5, 6, 7, 8});
	expect(KERNEL("%a = load %x[0] : i64x8 %b = slice %a from 2 : i64x4 store %y[0], %b "
		      "%c = extract %a lane 7 store %y[4], %c %d = insert %b, 100 lane 3 store %y[4], %d"),
	       (int64_t[]){3, 4, 5, 6, 3, 4, 5, 100});
	expect(KERNEL("%a = load %x[0] : i64x8 %s = reduce_add %a store %y[0], %s %p = reduce_mul %a store %y[1], %p "
		      "%i = reduce_min %a store %y[2], %i %j = reduce_max %a store %y[3], %j"),
	       (int64_t[]){36, 40320, 1, 8, 0, 0, 0, 0});
	expect(KERNEL("%r = ramp 7, -1 : i64x8 %g = load %x[%r] : i64x8 store %y[0], %g"),
	       (int64_t[]){8, 7, 6, 5, 4, 3, 2, 1});
	expect(KERNEL("%a = load %x[0] : i64x4 %r = ramp 6, -2 : i64x4 store %y[%r], %a"),
	       (int64_t[]){4, 0, 3, 0, 2, 0, 1, 0});
	expect(KERNEL("%a = loadn %x[6], 2 : i64x4 store %y[0], %a %b = load %x[0] : i64x4 storen %y[5], %b, 3"),
	       (int64_t[]){7, 8, 0, 0, 0, 1, 2, 3});
	expect(KERNEL("%a = load %x[0] : i64x4 %c = lt %a, 3:i64x4 %s = select %c, %a, -1:i64x4 store %y[0], %s "
		      "%f = bitcast 1.5:f64 : i64 store %y[4], %f %p = splat 9 : i64x2 store %y[6], %p"),
	       (int64_t[]){1, 2, -1, -1, 0x3ff8000000000000, 0, 9, 9});
	expect(KERNEL("%d = dot4 7:i32x2, 200:u8x8, -100:i8x8 %e = cast %d : i64x2 store %y[0], %e"),
	       (int64_t[]){7 - 80000, 7 - 80000, 0, 0, 0, 0, 0, 0});
	expect(KERNEL("store %y[0], 1:bool %b = load %y[0] : bool %c = cast %b : i64 store %y[1], %c "
		      "%h = load %y[4] : f16 store %y[16], %h"),
	       (int64_t[]){1, 1, 0, 0, 1, 0, 0, 0});
}

static void memory_moves(void **state)
{
	(void)state;
	LAND();
	expect(KERNEL("copy %y, %x, 64 %p = offset %y, 16 zero %p, 8 prefetch %x[100000]"),
	       (int64_t[]){1, 2, 0, 4, 5, 6, 7, 8});
	expect(KERNEL("%c = lt 1, 2 %p = select %c, %y, %x store %p[2], 5"), (int64_t[]){0, 0, 5, 0, 0, 0, 0, 0});
}

static void control_flows(void **state)
{
	(void)state;
	LAND();
	/* sums of odd numbers below 8, stopping past 20 */
	expect(KERNEL("%v = var 0 for %i = 0 to 8 step 2 { %e = load %x[%i] : i64 %g = get %v %s = add %g, %e "
		      "store %y[%i], %s set %v, %s %b = lt 8, %s break %b }"),
	       (int64_t[]){1, 0, 4, 0, 9, 0, 0, 0});
	expect(KERNEL("%v = var 0 loop { %g = get %v %done = le 5, %g break %done if %done { } else { store %y[%g], %g "
		      "} "
		      "%n = add %g, 1 set %v, %n }"),
	       (int64_t[]){0, 1, 2, 3, 4, 0, 0, 0});
	/* a break inside an if leaves the inner loop only */
	expect(KERNEL("for %i = 0 to 3 step 1 { for %j = 0 to 8 step 1 { %e = eq %i, %j if %e { break 1:bool } "
		      "%o = load %y[%i] : i64 %p = add %o, 1 store %y[%i], %p } }"),
	       (int64_t[]){0, 1, 2, 0, 0, 0, 0, 0});
	expect(KERNEL("for %i = 5 to 5 step 1 { store %y[0], 1 } for %i2 = 9223372036854775800 to 9223372036854775807 "
		      "step 5 { %o = load %y[1] : i64 %p = add %o, 1 store %y[1], %p }"),
	       (int64_t[]){0, 2, 0, 0, 0, 0, 0, 0});
	/* pieces of a launch, arguments, and program state */
	expect(HEAD "kernel @k \"\" (%y: ptr, %s: i64) { %g = grid %v = mul %g, %s store %y[%g], %v }\n"
		    "main { %n = in_dim 0.0 %y = out_ptr 0, 64 out_dim 0.0, 8 launch @k[%n] (%y, 3) cost 1 "
		    "launch @k[2] (%y, 50) cost 1 launch @k[-4] (%y, 7) cost 1 } }",
	       (int64_t[]){0, 50, 6, 9, 12, 15, 18, 21});
}

static void workspace_buffers_and_heap(void **state)
{
	(void)state;
	LAND();
	expect(HEAD "main { %y = out_ptr 0, 64 %w = offset workspace, 64 store %w[7], 11 %v = load %w[7] : i64 "
		    "store %y[0], %v } size { %n = in_dim 0.0 %b = mul %n, 16 return %b } }",
	       (int64_t[]){11, 0, 0, 0, 0, 0, 0, 0});
	expect("kmodule \"m\" vector_bytes=0 { input 0 \"x\" i64[?n] output 0 \"y\" i64[8] buf 0 bytes=8*?n live=0..9 "
	       "main { %n = in_dim 0.0 %s = var 0 set %s, %n %b = buf 0 %y = out_ptr 0, 64 store %b[7], 5 %c = buf 0 "
	       "%v = load %c[7] : i64 store %y[1], %v sym ?n %s } }",
	       (int64_t[]){0, 5, 0, 0, 0, 0, 0, 0});
	expect(HEAD "main { %y = out_ptr 0, 64 for %i = 0 to 1000 step 1 { %p = alloc 800 store %p[99], %i "
		    "%v = load %p[99] : i64 store %y[0], %v free %p } %q = alloc 8 } }",
	       (int64_t[]){999, 0, 0, 0, 0, 0, 0, 0});
}

static void fault(const char *text, ftl_status_code want, const char *why)
{
	int64_t y[8];
	ftl_diag d;
	ftl_status_code got = run_text(text, 8, y, &d);

	if (got != want || !strstr(d.text, why))
		fail_msg("wanted '%s', got %d: %s\n%s", why, got, d.text, text);
}

static void faults_are_caught(void **state)
{
	static const char *const outside = "address outside its buffer";

	(void)state;
	LAND();
	fault(KERNEL("%a = load %x[8] : i64"), FTL_ERR_MODEL,
	      "internal: kernel k, instruction %3 (load): address outside its buffer");
	fault(KERNEL("%a = load %x[-1] : i64"), FTL_ERR_MODEL, outside);
	fault(KERNEL("%a = load %x[5] : i64x4"), FTL_ERR_MODEL, outside);
	fault(KERNEL("%a = load %x[2305843009213693952] : i64"), FTL_ERR_MODEL, outside); /* times 8 wraps to 0 */
	fault(KERNEL("%p = offset %x, 9223372036854775807 %q = offset %p, 9223372036854775807 %a = load %q[0] : i64"),
	      FTL_ERR_MODEL, outside); /* wraps to -2 */
	fault(KERNEL("%p = offset %x, 60 %a = load %p[0] : i64"), FTL_ERR_MODEL, outside);
	fault(KERNEL("%r = ramp 0, 3 : i64x4 %a = load %x[%r] : i64x4"), FTL_ERR_MODEL, outside);
	fault(KERNEL("store %y[8], 1:u8 store %y[64], 1:u8"), FTL_ERR_MODEL, outside);
	fault(KERNEL("%r = ramp 5, 1 : i64x4 store %y[%r], 1:i64x4"), FTL_ERR_MODEL, outside);
	fault(KERNEL("storen %y[6], 1:i64x4, 3"), FTL_ERR_MODEL, outside);
	fault(KERNEL("storen %y[0], 1:i64x4, 5"), FTL_ERR_MODEL, "count 5");
	fault(KERNEL("%a = loadn %x[0], -1 : i64x4"), FTL_ERR_MODEL, "count -1");
	fault(KERNEL("copy %y, %x, 65"), FTL_ERR_MODEL, outside);
	fault(KERNEL("copy %y, %x, -1"), FTL_ERR_MODEL, outside);
	fault(KERNEL("%z = offset %y, 8 copy %z, %y, 16"), FTL_ERR_MODEL, "overlap");
	fault(KERNEL("zero %y, 72"), FTL_ERR_MODEL, outside);
	fault(KERNEL("store %x[0], 1"), FTL_ERR_MODEL, "writes to an input");
	fault(HEAD "main { %p = alloc 8 free %p %v = load %p[0] : i64 } }", FTL_ERR_MODEL, outside);
	fault(HEAD "main { %p = alloc 8 free %p free %p } }", FTL_ERR_MODEL, "frees what was not allocated");
	fault(HEAD "main { %p = in_ptr 0 free %p } }", FTL_ERR_MODEL, "frees what was not allocated");
	fault(HEAD "main { %p = alloc -8 } }", FTL_ERR_MEMORY, "out of memory");
	fault(HEAD "main { %p = out_ptr 0, 65 } }", FTL_ERR_USAGE, "output \"y\" needs 65 bytes");
	fault(HEAD "main { store workspace[0], 1 } }", FTL_ERR_MODEL, outside);
	fault("kmodule \"m\" vector_bytes=0 { input 0 \"x\" i64[8] output 0 \"y\" i64[8] blob 0 \"w\" 0x1 8 main { %b "
	      "= blob 0 } }",
	      FTL_ERR_MODEL, "not there");
}

static void checks_give_their_message(void **state)
{
	int64_t y[8];
	ftl_diag d;

	(void)state;
	LAND();
	fault(HEAD "main { %n = in_dim 0.0 %c = eq %n, 7 check %c, msg 2 } }", FTL_ERR_MODEL, "t.kir: bad index");
	fault(HEAD "main { } size { %n = in_dim 0.0 %c = eq %n, 7 check %c, msg 2 return 8 } }", FTL_ERR_MODEL,
	      "t.kir: bad index");
	fault(HEAD "main { return 2 } }", FTL_ERR_MODEL, "t.kir: bad index");
	fault(HEAD "main { } size { return -1 } }", FTL_ERR_MEMORY, "out of memory");
	/* in a kernel the piece goes on */
	memset(y, 0, sizeof y);
	assert_int_equal(run_text(KERNEL("check 0:bool, msg 2 store %y[0], 5"), 8, y, &d), FTL_ERR_MODEL);
	assert_string_equal(d.text, "t.kir: bad index");
	assert_int_equal(y[0], 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(folding_is_what_the_table_says),
		TEST(arithmetic_is_what_folding_says),
		TEST(casts_are_what_folding_says),
		TEST(math_is_libm),
		TEST(lanes_move),
		TEST(memory_moves),
		TEST(control_flows),
		TEST(workspace_buffers_and_heap),
		TEST(faults_are_caught),
		TEST(checks_give_their_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
