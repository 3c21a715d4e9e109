/* Kernel IR: what the builder folds, what the verifier refuses, text round trips, dead code, equality. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/kir.h"

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

/* The arena's landing pad; a test that runs out of memory fails. */
#define LAND()                                                                                                         \
	do {                                                                                                           \
		if (setjmp(landing.jump))                                                                              \
			fail_msg("out of memory");                                                                     \
	} while (0)

static ftl_kb fresh(bool is_main)
{
	ftl_kb b;

	ftl_kb_init(&b, &arena, ftl_kfunc_new(&arena, is_main ? "main" : "k", is_main));
	return b;
}

static ftl_kop op_of(const ftl_kb *b, ftl_kv v)
{
	return (ftl_kop)ftl_kinst_get(b->f, v)->op;
}

static int64_t int_of(const ftl_kb *b, ftl_kv v)
{
	int64_t c = 0;

	assert_true(ftl_k_is_const(b, v, &c));
	return c;
}

/* ---- the builder ---- */

static void constants_are_shared_and_fold(void **state)
{
	ftl_kb b = fresh(false);

	(void)state;
	LAND();
	assert_int_equal(ftl_k_i64(&b, 7), ftl_k_i64(&b, 7));
	assert_int_equal(int_of(&b, ftl_k2(&b, FTL_K_add, ftl_k_i64(&b, 7), ftl_k_i64(&b, INT64_MAX))), INT64_MIN + 6);
	assert_int_equal(int_of(&b, ftl_k2(&b, FTL_K_div, ftl_k_i64(&b, 7), ftl_k_i64(&b, 0))), 0);
	assert_int_equal(int_of(&b, ftl_k_int(&b, FTL_KT(FTL_I8, 1), 200)), -56);
	assert_int_equal(int_of(&b, ftl_k_cast(&b, ftl_k_float(&b, FTL_KT(FTL_F32, 1), 300.7), FTL_U8)), 255);
	assert_int_equal(int_of(&b, ftl_k_cast(&b, ftl_k_float(&b, FTL_KT(FTL_F32, 1), -3.9), FTL_I32)), -3);
	assert_int_equal(int_of(&b, ftl_k2(&b, FTL_K_lt, ftl_k_i64(&b, 1), ftl_k_i64(&b, 2))), 1);
	assert_int_equal(ftl_k2(&b, FTL_K_add, ftl_k_float(&b, FTL_KT(FTL_F32, 1), 0.1),
				ftl_k_float(&b, FTL_KT(FTL_F32, 1), 0.2)),
			 ftl_k_float(&b, FTL_KT(FTL_F32, 1), (double)(0.1f + 0.2f)));
}

static void identities_vanish(void **state)
{
	ftl_kb b = fresh(false);
	ftl_kv x, i, f;

	(void)state;
	LAND();
	x = ftl_kb_param(&b, FTL_KT_PTR);
	i = ftl_kb_param(&b, FTL_KT_I64);
	f = ftl_k_load(&b, FTL_F32, x, i, 1);
	assert_int_equal(ftl_k2(&b, FTL_K_add, i, ftl_k_i64(&b, 0)), i);
	assert_int_equal(ftl_k2(&b, FTL_K_mul, ftl_k_i64(&b, 1), i), i);
	assert_int_equal(int_of(&b, ftl_k2(&b, FTL_K_mul, i, ftl_k_i64(&b, 0))), 0);
	assert_int_equal(int_of(&b, ftl_k2(&b, FTL_K_sub, i, i)), 0);
	assert_int_equal(ftl_k2(&b, FTL_K_sub, ftl_k2(&b, FTL_K_add, i, ftl_k_i64(&b, 5)), ftl_k_i64(&b, 5)), i);
	assert_int_equal(ftl_k2(&b, FTL_K_mul, f, ftl_k_float(&b, FTL_KT(FTL_F32, 1), 1)), f);
	/* x + 0 is not x for x = -0, x * 0 not 0 for NaN */
	assert_int_not_equal(ftl_k2(&b, FTL_K_add, f, ftl_k_float(&b, FTL_KT(FTL_F32, 1), 0)), f);
	assert_int_equal(op_of(&b, ftl_k2(&b, FTL_K_mul, f, ftl_k_float(&b, FTL_KT(FTL_F32, 1), 0))), FTL_K_mul);
	assert_int_equal(ftl_k_select(&b, ftl_k_int(&b, FTL_KT_BOOL, 0), i, ftl_k_i64(&b, 9)), ftl_k_i64(&b, 9));
	assert_int_equal(ftl_k_offset(&b, x, ftl_k_i64(&b, 0)), x);
}

static void ramps_stay_ramps(void **state)
{
	ftl_kb b = fresh(false);
	ftl_kv p, i, n, r, s, v;

	(void)state;
	LAND();
	p = ftl_kb_param(&b, FTL_KT_PTR);
	i = ftl_kb_param(&b, FTL_KT_I64);
	n = ftl_kb_param(&b, FTL_KT_I64);
	r = ftl_k_ramp(&b, i, ftl_k_i64(&b, 1), 8);
	s = ftl_k2(&b, FTL_K_add, ftl_k2(&b, FTL_K_mul, n, ftl_k_i64(&b, 4)), r);
	assert_int_equal(op_of(&b, s), FTL_K_ramp);
	v = ftl_k_load(&b, FTL_F32, p, s, 1);
	assert_int_equal(ftl_ktype_of(b.f, v).lanes, 8);
	assert_int_equal(ftl_ktype_of(b.f, ftl_kinst_get(b.f, v)->a[1]).lanes, 1); /* contiguous */
	s = ftl_k2(&b, FTL_K_mul, r, n);
	assert_int_equal(op_of(&b, s), FTL_K_ramp);
	assert_int_equal(ftl_kinst_get(b.f, s)->a[1], n);
	v = ftl_k_load(&b, FTL_F32, p, s, 1);
	assert_int_equal(ftl_ktype_of(b.f, ftl_kinst_get(b.f, v)->a[1]).lanes, 8); /* gather */
	s = ftl_k2(&b, FTL_K_sub, r, ftl_k_ramp(&b, n, ftl_k_i64(&b, 1), 8));
	assert_int_equal(op_of(&b, s), FTL_K_splat);
	v = ftl_k_load(&b, FTL_F32, p, s, 1);
	assert_int_equal(op_of(&b, v), FTL_K_splat); /* one scalar load */
	s = ftl_k2(&b, FTL_K_shl, r, ftl_k_i64(&b, 3));
	assert_int_equal(int_of(&b, ftl_kinst_get(b.f, s)->a[1]), 8);
	assert_int_equal(ftl_k_extract(&b, r, 3), ftl_k2(&b, FTL_K_add, i, ftl_k_i64(&b, 3)));
}

static void equal_instructions_are_reused_in_sight_only(void **state)
{
	ftl_kb b = fresh(false);
	ftl_kscope s, t;
	ftl_kv i, n, x, y, z;

	(void)state;
	LAND();
	i = ftl_kb_param(&b, FTL_KT_I64);
	n = ftl_kb_param(&b, FTL_KT_I64);
	x = ftl_k2(&b, FTL_K_mul, i, n);
	s = ftl_k_for(&b, ftl_k_i64(&b, 0), n, 1);
	assert_int_equal(ftl_k2(&b, FTL_K_mul, i, n), x);
	y = ftl_k2(&b, FTL_K_add, i, n);
	t = ftl_k_for(&b, ftl_k_i64(&b, 0), n, 1);
	assert_int_equal(ftl_k2(&b, FTL_K_add, i, n), y);
	b.block = s.outer; /* hoist: comes before the loops */
	z = ftl_k2(&b, FTL_K_sub, i, n);
	b.block = ftl_kinst_get(b.f, t.inst)->body;
	assert_int_equal(ftl_k2(&b, FTL_K_sub, i, n), z);
	ftl_k_end(&b, &t);
	ftl_k_end(&b, &s);
	assert_int_not_equal(ftl_k2(&b, FTL_K_add, i, n), y); /* y's block is closed */
	assert_int_equal(b.f->body.insts.v[0], x);
	assert_int_equal(b.f->body.insts.v[1], z);
	assert_int_equal(b.f->body.insts.v[2], s.inst);
}

static void constant_conditions_leave_no_if(void **state)
{
	ftl_kb b = fresh(false);
	ftl_kscope s;
	ftl_kv p;

	(void)state;
	LAND();
	p = ftl_kb_param(&b, FTL_KT_PTR);
	s = ftl_k_if(&b, ftl_k_int(&b, FTL_KT_BOOL, 0));
	ftl_k_store(&b, p, ftl_k_i64(&b, 0), ftl_k_i64(&b, 1));
	ftl_k_else(&b, &s);
	ftl_k_store(&b, p, ftl_k_i64(&b, 0), ftl_k_i64(&b, 2));
	ftl_k_end(&b, &s);
	s = ftl_k_if(&b, ftl_k_int(&b, FTL_KT_BOOL, 1));
	ftl_k_store(&b, p, ftl_k_i64(&b, 0), ftl_k_i64(&b, 3));
	ftl_k_else(&b, &s);
	ftl_k_store(&b, p, ftl_k_i64(&b, 0), ftl_k_i64(&b, 4));
	ftl_k_end(&b, &s);
	assert_ptr_equal(b.block, &b.f->body);
	assert_int_equal(b.f->body.insts.n, 2);
	assert_int_equal(int_of(&b, ftl_kinst_get(b.f, b.f->body.insts.v[0])->a[2]), 2);
	assert_int_equal(int_of(&b, ftl_kinst_get(b.f, b.f->body.insts.v[1])->a[2]), 3);
}

static void dead_code_goes(void **state)
{
	ftl_kb b = fresh(false);
	ftl_kscope s;
	ftl_kv p, i, live, dead;

	(void)state;
	LAND();
	p = ftl_kb_param(&b, FTL_KT_PTR);
	i = ftl_kb_param(&b, FTL_KT_I64);
	live = ftl_k_var(&b, ftl_k_i64(&b, 0));
	dead = ftl_k_var(&b, ftl_k_i64(&b, 0));
	s = ftl_k_for(&b, ftl_k_i64(&b, 0), i, 1);
	ftl_k_set(&b, live, ftl_k2(&b, FTL_K_add, ftl_k_get(&b, live), s.index));
	ftl_k_set(&b, dead, ftl_k_load(&b, FTL_I64, p, s.index, 1));
	ftl_k_end(&b, &s);
	s = ftl_k_for(&b, ftl_k_i64(&b, 0), i, 1); /* nothing but a break */
	ftl_k_break(&b, ftl_k2(&b, FTL_K_eq, s.index, ftl_k_i64(&b, 3)));
	ftl_k_end(&b, &s);
	ftl_k_store(&b, p, i, ftl_k_get(&b, live));
	ftl_kfunc_dce(b.f);
	assert_int_equal(b.f->body.insts.n, 4);                                       /* var, for, get, store */
	assert_int_equal(ftl_kinst_get(b.f, b.f->body.insts.v[1])->body->insts.n, 3); /* get, add, set */
}

static ftl_kfunc *sum_kernel(int64_t scale, bool spare)
{
	ftl_kb b = fresh(false);
	ftl_kscope s;
	ftl_kv p = ftl_kb_param(&b, FTL_KT_PTR), n = ftl_kb_param(&b, FTL_KT_I64), v;

	if (spare)
		ftl_k_i64(&b, 12345); /* shifts ids, changes nothing */
	v = ftl_k_var(&b, ftl_k_i64(&b, 0));
	s = ftl_k_for(&b, ftl_k_i64(&b, 0), n, 1);
	ftl_k_set(&b, v, ftl_k2(&b, FTL_K_add, ftl_k_get(&b, v), ftl_k_load(&b, FTL_I64, p, s.index, 1)));
	ftl_k_end(&b, &s);
	ftl_k_store(&b, p, n, ftl_k2(&b, FTL_K_mul, ftl_k_get(&b, v), ftl_k_i64(&b, scale)));
	return b.f;
}

static void equality_looks_at_code_not_ids(void **state)
{
	ftl_kfunc *a, *b, *c;

	(void)state;
	LAND();
	a = sum_kernel(3, false);
	b = sum_kernel(3, true);
	c = sum_kernel(5, false);
	assert_true(ftl_kfunc_same(a, b));
	assert_int_equal(ftl_kfunc_hash(a), ftl_kfunc_hash(b));
	assert_false(ftl_kfunc_same(a, c));
	assert_int_not_equal(ftl_kfunc_hash(a), ftl_kfunc_hash(c));
}

static void blobs_and_messages_are_shared(void **state)
{
	ftl_kmodule *m;
	ftl_blob a = {.data = "abcd", .bytes = 4}, b = {.data = (char[]){'a', 'b', 'c', 'd'}, .bytes = 4};
	ftl_blob c = {.data = "abce", .bytes = 4};

	(void)state;
	LAND();
	m = ftl_kmodule_new(&arena, ftl_symtab_new(&arena), "m");
	assert_int_equal(ftl_kmodule_msg(m, "x %d", 1), 2);
	assert_int_equal(ftl_kmodule_msg(m, "x %d", 2), 3);
	assert_int_equal(ftl_kmodule_msg(m, "x %d", 1), 2);
	assert_int_equal(ftl_kmodule_blob(m, &a), 0);
	assert_int_equal(ftl_kmodule_blob(m, &b), 0);
	assert_int_equal(ftl_kmodule_blob(m, &c), 1);
	assert_int_equal(ftl_kmodule_blob(m, &a), 0);
	assert_int_equal(ftl_kmodule_blob(m, &b), 0);
}

/* ---- text ---- */

static const char *const sample = "kmodule \"a \\\"b\\\"\" vector_bytes=64 {\n"
				  "  blob 0 \"w\" 0x0123456789abcdef 64\n"
				  "  msg 2 \"bad \\\"x\\\"\"\n"
				  "  input 0 \"x\" f32[?b,8]\n"
				  "  output 0 \"y\" f32[?b,8]\n"
				  "  buf 0 bytes=32*?b live=3..9\n"
				  "  kernel @k0 \"adds; x -> y\" (%1: ptr, %2: ptr, %3: i64) {\n"
				  "    %4 = grid\n"
				  "    %5 = var 0 : i64\n"
				  "    %6 = var -0.5:f32x4 : f32x4\n"
				  "    for unroll %7 = 0 to %3 step 4 {\n"
				  "      %8 = load %1[%7] : f32x4\n"
				  "      %9 = fma %8, 1.0000001:f32x4, inf:f32x4 : f32x4\n"
				  "      %10 = ramp %7, %4 : i64x4\n"
				  "      %11 = load %1[%10] : f32x4\n"
				  "      %12 = lt %9, %11 : boolx4\n"
				  "      %13 = select %12, %9, nan:f32x4 : f32x4\n"
				  "      %14 = get %6 : f32x4\n"
				  "      %15 = max %13, %14 : f32x4\n"
				  "      set %6, %15\n"
				  "      %16 = loadn %1[%7], 3 : f32x4\n"
				  "      storen %2[%7], %16, 2\n"
				  "      %17 = slice %16 from 2 : f32x2\n"
				  "      %18 = extract %17 lane 1 : f32\n"
				  "      %19 = insert %17, %18 lane 0 : f32x2\n"
				  "      %20 = join %19, %17 : f32x4\n"
				  "      %21 = reduce_add %20 : f32\n"
				  "      %22 = cast %21 : f16\n"
				  "      store %2[%7], %22\n"
				  "      store %2[%10], %20\n"
				  "    }\n"
				  "    loop {\n"
				  "      %23 = get %5 : i64\n"
				  "      %24 = add %23, 1 : i64\n"
				  "      set %5, %24\n"
				  "      %25 = le 10, %24 : bool\n"
				  "      break %25\n"
				  "      if %25 {\n"
				  "        prefetch %1[%24]\n"
				  "      } else {\n"
				  "        check %25, msg 2\n"
				  "      }\n"
				  "    }\n"
				  "    %26 = splat %4 : i64x2\n"
				  "    %27 = bitcast 1:u64x2 : f64x2\n"
				  "    %28 = shr 18446744073709551615:u64, 3:u64 : u64\n"
				  "    %29 = offset %2, 64\n"
				  "    copy %29, %1, 32\n"
				  "    zero %2, 8\n"
				  "    %30 = dot4 7:i32, 200:u8x4, -100:i8x4 : i32\n"
				  "  }\n"
				  "  main prologue=2 {\n"
				  "    %1 = in_ptr 0\n"
				  "    %2 = in_dim 0.0\n"
				  "    %3 = var %2 : i64\n"
				  "    %4 = blob 0\n"
				  "    %5 = buf 0\n"
				  "    %6 = out_ptr 0, 32\n"
				  "    out_dim 0.1, 8\n"
				  "    %7 = alloc %2\n"
				  "    free %7\n"
				  "    %8 = offset workspace, 64\n"
				  "    launch @k0[%2] (%8, %6, 8) cost 12\n"
				  "    sym ?b %3\n"
				  "    return 0\n"
				  "  }\n"
				  "  size {\n"
				  "    %1 = in_dim 0.0\n"
				  "    %2 = mul %1, 4 : i64\n"
				  "    return %2\n"
				  "  }\n"
				  "}\n";

static ftl_status_code parse(const char *text, size_t n, ftl_diag *d, ftl_kmodule **out)
{
	*d = (ftl_diag){0};
	return ftl_kmodule_parse(&arena, text, n, "t.kir", d, out);
}

static void text_prints_as_it_was_read(void **state)
{
	ftl_diag d;
	ftl_kmodule *m;
	ftl_text t;

	(void)state;
	LAND();
	if (parse(sample, strlen(sample), &d, &m) != FTL_OK)
		fail_msg("%s", d.text);
	ftl_text_init(&t, &arena);
	ftl_kmodule_print(m, &t);
	assert_string_equal(t.v, sample);
}

static uint64_t next_random(uint64_t *s)
{
	*s = *s * 6364136223846793005u + 1442695040888963407u;
	return *s >> 33;
}

/* A copy of the sample with one to three small edits. */
static size_t damage(char *text, size_t len, uint64_t *seed)
{
	for (uint64_t edits = 1 + next_random(seed) % 3; edits > 0; edits--) {
		size_t at = next_random(seed) % len, from = next_random(seed) % len;
		size_t k = 1 + next_random(seed) % 8;

		if (at + k > len || from + k > len)
			continue;
		switch (next_random(seed) % 4) {
		case 0: text[at] = (char)next_random(seed); break;
		case 1: memmove(text + at, text + from, k); break;
		case 2:
			memmove(text + at, text + at + k, len - at - k);
			len -= k;
			break;
		default: text[at] = "0123456789%@{}[]():x.,-\" \n"[next_random(seed) % 26]; break;
		}
	}
	return len;
}

/* Whether the text was accepted; then what it says must print and read again. */
static bool accepted(const char *text, size_t len)
{
	ftl_diag d;
	ftl_kmodule *m, *again;
	ftl_text t, u;

	LAND();
	if (parse(text, len, &d, &m) != FTL_OK) {
		assert_true(d.text[0] != 0);
		return false;
	}
	ftl_text_init(&t, &arena);
	ftl_kmodule_print(m, &t);
	if (parse(t.v, t.n, &d, &again) != FTL_OK)
		fail_msg("%s\n%s", d.text, t.v);
	ftl_text_init(&u, &arena);
	ftl_kmodule_print(again, &u);
	assert_string_equal(t.v, u.v);
	return true;
}

static void damaged_text_does_no_harm(void **state)
{
	size_t n = strlen(sample);
	uint64_t seed = 42;
	int good = 0;

	(void)state;
	for (int round = 0; round < 10000; round++) {
		char *text = malloc(n); /* its own block, without a NUL: reading past the end shows */
		size_t len;

		memcpy(text, sample, n);
		len = damage(text, n, &seed);
		good += accepted(text, len);
		free(text);
		ftl_arena_reset(&arena);
	}
	assert_true(good > 100);
}

static void deep_text_is_refused(void **state)
{
	ftl_text t;
	ftl_diag d;
	ftl_kmodule *m;

	(void)state;
	LAND();
	ftl_text_init(&t, &arena);
	ftl_text_add(&t, "kmodule \"m\" vector_bytes=0 { main prologue=0 {");
	for (int k = 0; k < 100000; k++)
		ftl_text_add(&t, "loop {");
	assert_int_equal(parse(t.v, t.n, &d, &m), FTL_ERR_MODEL);
	assert_non_null(strstr(d.text, "nested too deeply"));
}

/* ---- the verifier ---- */

static void refuse(const char *params, const char *body, const char *main_body, const char *want)
{
	ftl_text t;
	ftl_diag d;
	ftl_kmodule *m;

	ftl_text_init(&t, &arena);
	ftl_text_add(&t,
		     "kmodule \"m\" vector_bytes=0 {\n input 0 \"x\" f32[4]\n kernel @k \"\" (%s) {\n%s\n}\n main "
		     "{\n%s\n}\n}\n",
		     params, body, main_body);
	if (parse(t.v, t.n, &d, &m) == FTL_OK)
		fail_msg("accepted:\n%s", t.v);
	if (!strstr(d.text, want))
		fail_msg("wanted '%s', got: %s", want, d.text);
}

static void verifier_refuses_what_is_wrong(void **state)
{
	(void)state;
	LAND();
	refuse("%p: ptr", "%x = add 1, 2:i32", "", "@k, instruction %2 (add): operand 2 has the wrong type");
	refuse("%p: ptr", "%x = add 1:bool, 1:bool", "", "element type");
	refuse("%p: ptr", "%x = add 1:f16, 1:f16", "", "element type");
	refuse("%p: ptr", "%x = sqrt 4", "", "element type");
	refuse("%p: ptr", "%x = and 1:f32, 1:f32", "", "element type");
	refuse("%p: ptr", "%x = splat 1 : i64x3", "", "type");
	refuse("%p: ptr", "%x = cast %p : i64", "", "convert");
	refuse("%p: ptr", "%x = bitcast 1 : f32", "", "convert");
	refuse("%p: ptr", "%x = extract 1:i64x2 lane 2", "", "no lane 2");
	refuse("%p: ptr", "%x = slice 1:i64x4 from 3 : i64x2", "", "lanes");
	refuse("%p: ptr", "%x = load %p[0:i32] : f32", "", "index");
	refuse("%p: ptr", "%x = load %p[0:i64x4] : f32x2", "", "index");
	refuse("%p: ptr", "store %p[0], %p", "", "memory");
	refuse("%p: ptr", "for %i = 0 to 4 step 0 {\n}", "", "step");
	refuse("%p: ptr", "for %i = 0 to 4 step 1 {\n}\n store %p[0], %i", "", "not defined before");
	refuse("%p: ptr", "if 1:bool {\n%x = grid\n}\n store %p[0], %x", "", "not defined before");
	refuse("%p: ptr", "break 1:bool", "", "in no loop");
	refuse("%p: ptr", "check 1:bool, msg 7", "", "no message 7");
	refuse("%p: ptr", "%v = var 0\n%x = add %v, 1", "", "get and set");
	refuse("%p: ptr", "%x = get 1", "", "not a variable");
	refuse("%p: ptr", "%v = var 0\nset %v, 1:i32", "", "operand 2");
	refuse("%p: ptr", "%x = in_ptr 0", "", "only be in the program");
	refuse("%p: f32", "", "", "neither ptr nor i64");
	refuse("%p: ptr", "", "%x = grid", "only be in a kernel");
	refuse("%p: ptr", "", "launch @k[1] () cost 1", "1 parameters");
	refuse("%p: ptr", "", "launch @k[1] (5) cost 1", "argument 1");
	refuse("%p: ptr", "", "%x = in_dim 0.1", "no axis 1");
	refuse("%p: ptr", "", "%x = in_ptr 1", "no input 1");
	refuse("%p: ptr", "", "%x = blob 0", "no blob 0");
	refuse("%p: ptr", "", "return 1:i32", "result");
	refuse("%p: ptr", "%x = offset workspace, 3", "", "workspace");
	refuse("%p: ptr", "%x = frob 1", "", "4:6: there is no instruction 'frob'");
	refuse("%p: ptr", "%x = add %y, 1", "", "%y is not defined");
	refuse("%p: ptr", "%p = grid", "", "defined twice");
	refuse("%p: ptr", "%x = add 300:i8, 1:i8", "", "operand");
}

static void verifier_sees_what_text_cannot_say(void **state)
{
	ftl_kmodule *m;
	ftl_kb b;
	ftl_diag d = {0};
	ftl_kv p;

	(void)state;
	LAND();
	m = ftl_kmodule_new(&arena, ftl_symtab_new(&arena), "m");
	m->main = ftl_kfunc_new(&arena, "main", true);
	b = fresh(false);
	ftl_vec_push(&arena, &m->kernels, b.f);
	p = ftl_kb_param(&b, FTL_KT_PTR);
	ftl_k_zero(&b, p, ftl_k_i64(&b, 8));
	assert_int_equal(ftl_kmodule_verify(m, &d), FTL_OK);
	ftl_vec_push(&arena, &b.f->body.insts, b.f->body.insts.v[0]);
	assert_int_equal(ftl_kmodule_verify(m, &d), FTL_ERR_MODEL);
	assert_non_null(strstr(d.text, "twice"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(constants_are_shared_and_fold),
		TEST(identities_vanish),
		TEST(ramps_stay_ramps),
		TEST(equal_instructions_are_reused_in_sight_only),
		TEST(constant_conditions_leave_no_if),
		TEST(dead_code_goes),
		TEST(equality_looks_at_code_not_ids),
		TEST(blobs_and_messages_are_shared),
		TEST(text_prints_as_it_was_read),
		TEST(damaged_text_does_no_harm),
		TEST(deep_text_is_refused),
		TEST(verifier_refuses_what_is_wrong),
		TEST(verifier_sees_what_text_cannot_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
