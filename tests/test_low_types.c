/* Low element types: floats of 4 to 8 bits and integers of 2 and 4. Conversions of single numbers against the formats'
 * definitions, the kernels' conversions against those, ops that move and quantize, and text. */
#include "lower_cases.h"

#include <math.h>
#include <stdio.h>

static const ftl_dtype floats[] = {FTL_F8E4M3FN, FTL_F8E4M3FNUZ, FTL_F8E5M2, FTL_F8E5M2FNUZ,
				   FTL_F8E8M0,   FTL_F6E2M3,     FTL_F6E3M2, FTL_F4E2M1};
static const ftl_dtype integers[] = {FTL_I4, FTL_U4, FTL_I2, FTL_U2};

/* ---- single numbers ---- */

static void every_code_is_the_number_its_format_says(void **state)
{
	static const struct {
		ftl_dtype t;
		uint8_t code;
		float v;
	} known[] = {
		{FTL_F8E4M3FN, 0x01, 0x1p-9f}, {FTL_F8E4M3FN, 0x7e, 448},
		{FTL_F8E4M3FN, 0xff, NAN},     {FTL_F8E4M3FNUZ, 0x01, 0x1p-10f},
		{FTL_F8E4M3FNUZ, 0x7f, 240},   {FTL_F8E4M3FNUZ, 0x80, NAN},
		{FTL_F8E5M2, 0x01, 0x1p-16f},  {FTL_F8E5M2, 0x7b, 57344},
		{FTL_F8E5M2, 0x7c, INFINITY},  {FTL_F8E5M2, 0xfc, -INFINITY},
		{FTL_F8E5M2, 0x7d, NAN},       {FTL_F8E5M2FNUZ, 0x01, 0x1p-17f},
		{FTL_F8E5M2FNUZ, 0x7f, 57344}, {FTL_F8E5M2FNUZ, 0x80, NAN},
		{FTL_F8E8M0, 0, 0x1p-127f},    {FTL_F8E8M0, 127, 1},
		{FTL_F8E8M0, 254, 0x1p127f},   {FTL_F8E8M0, 255, NAN},
		{FTL_F6E2M3, 0x1f, 7.5f},      {FTL_F6E2M3, 0x01, 0.125f},
		{FTL_F6E3M2, 0x1f, 28},        {FTL_F6E3M2, 0x3f, -28},
		{FTL_F4E2M1, 0x7, 6},          {FTL_F4E2M1, 0x9, -0.5f},
	};

	(void)state;
	for (size_t i = 0; i < FTL_COUNT(known); i++) {
		float v = ftl_low_to_f32(known[i].t, known[i].code);

		if (!(isnan(known[i].v) ? isnan(v) : v == known[i].v))
			fail_msg("%s 0x%02x is %g, should be %g", ftl_dtype_name(known[i].t), known[i].code, (double)v,
				 (double)known[i].v);
	}
}

/* Numbers come back as their code; halfway to the next the even code wins, beside it the nearer one. */
static void floats_round_to_nearest_even(void **state)
{
	(void)state;
	for (size_t k = 0; k < FTL_COUNT(floats); k++) {
		ftl_dtype t = floats[k];
		const ftl_low_format *f = ftl_dtype_low_format(t);
		unsigned top = f ? f->top : 254;

		for (unsigned c = 0; c <= top; c++) {
			float v = ftl_low_to_f32(t, (uint8_t)c), next = ftl_low_to_f32(t, (uint8_t)(c + 1)), mid;

			assert_int_equal(ftl_f32_to_low(t, v, true), c);
			assert_int_equal(ftl_f32_to_low(t, v, false), c);
			if (f && (c || f->specials != FTL_LOW_FNUZ))
				assert_int_equal(ftl_f32_to_low(t, -v, true), c | 1u << (f->bits - 1));
			if (c == top)
				break;
			mid = v + (next - v) / 2;
			assert_int_equal(ftl_f32_to_low(t, mid, true), f && !(c & 1) ? c : c + 1);
			assert_int_equal(ftl_f32_to_low(t, nextafterf(mid, v), true), c);
			assert_int_equal(ftl_f32_to_low(t, nextafterf(mid, next), true), c + 1);
		}
	}
}

static void out_of_range_saturates_or_is_special(void **state)
{
	(void)state;
	assert_int_equal(ftl_f32_to_low(FTL_F8E4M3FN, 464, false), 0x7e); /* halfway, and 0x7e is even */
	assert_int_equal(ftl_f32_to_low(FTL_F8E4M3FN, 465, false), 0x7f);
	assert_int_equal(ftl_f32_to_low(FTL_F8E4M3FN, -INFINITY, false), 0xff);
	assert_int_equal(ftl_f32_to_low(FTL_F8E4M3FN, INFINITY, true), 0x7e);
	assert_int_equal(ftl_f32_to_low(FTL_F8E4M3FNUZ, 1e6f, false), 0x80);
	assert_int_equal(ftl_f32_to_low(FTL_F8E4M3FNUZ, -0.0f, true), 0);
	assert_int_equal(ftl_f32_to_low(FTL_F8E5M2, 1e6f, false), 0x7c);
	assert_int_equal(ftl_f32_to_low(FTL_F8E5M2, 1e6f, true), 0x7b);
	assert_int_equal(ftl_f32_to_low(FTL_F4E2M1, 1e6f, false), 7);
	assert_int_equal(ftl_f32_to_low(FTL_F8E8M0, 0, true), 0);
	assert_int_equal(ftl_f32_to_low(FTL_F8E8M0, 0, false), 0xff);
	assert_int_equal(ftl_f32_to_low(FTL_F8E8M0, INFINITY, true), 0xfe);
	assert_true(isnan(ftl_low_to_f32(FTL_F8E5M2, ftl_f32_to_low(FTL_F8E5M2, NAN, true))));
	assert_int_equal(ftl_low_int(FTL_I4, 0x0c), 0xfc);
	assert_int_equal(ftl_low_int(FTL_U2, 0xff), 3);
}

static void numbers_are_cut_to_the_range_of_integers(void **state)
{
	(void)state;
	for (size_t k = 0; k < FTL_COUNT(integers); k++) {
		ftl_dtype t = integers[k];
		int bits = (int)ftl_dtype_bits(t), low = ftl_dtype_is_signed(t) ? -(1 << (bits - 1)) : 0;
		uint8_t b;

		for (int v = -20; v < 20; v++) {
			int top = low + (1 << bits) - 1, want = v < low ? low : v > top ? top : v;

			ftl_elem_set(t, &b, 0, v);
			assert_int_equal(ftl_elem_get_i64(t, &b, 0), want);
		}
		b = 0xff; /* of what is in memory only the low bits count */
		assert_int_equal(ftl_elem_get_i64(t, &b, 0), low ? -1 : (1 << bits) - 1);
	}
}

/* ---- kernels ---- */

enum { HARD = 4096 };

/* Numbers around every code of t and every tie, special ones, and some from all over f32. */
static size_t hard_numbers(ftl_dtype t, float *x)
{
	static const float special[] = {0.0f,       -0.0f,     INFINITY,  -INFINITY, NAN,    0x1p-149f,
					-0x1p-140f, 0x1p-127f, 0x1p-126f, 3e38f,     -3e38f, 1e-20f};
	uint32_t seed = 7;
	size_t n = FTL_COUNT(special);

	memcpy(x, special, sizeof special);
	for (unsigned c = 0; c < 256 && n + 8 < HARD; c++) {
		float v = ftl_low_to_f32(t, (uint8_t)c), mid = v + (ftl_low_to_f32(t, (uint8_t)(c + 1)) - v) / 2;

		x[n++] = v;
		x[n++] = -v;
		x[n++] = mid;
		x[n++] = nextafterf(mid, 0);
		x[n++] = nextafterf(mid, INFINITY);
		x[n++] = v * 1.1f;
	}
	while (n < HARD) {
		seed = seed * 1664525 + 1013904223;
		memcpy(&x[n++], &seed, sizeof seed);
	}
	return n;
}

static void run_cast(struct fix *f, const char *from, const char *to, const char *attrs, const char *target, size_t n,
		     void *in, size_t in_bytes, ftl_karg_tensor *out)
{
	ftl_karg_tensor arg = {.data = in, .dims = {(int64_t)n}, .bytes = in_bytes};
	ftl_lower_options o = {.target = ftl_target_find(target)};
	ftl_kmodule *m = NULL;
	ftl_graph *g = NULL;
	char text[256];
	int len = snprintf(
		text, sizeof text,
		"func @f(%%x: %s[%zu]) -> (%s[%zu]) {\n %%y = cast %%x {to=%s%s} : %s[%zu]\n return %%y\n}\n", from, n,
		to, n, to, attrs, to, n);

	memset(out, 0, sizeof *out);
	if (ftl_parse(&f->arena, text, (size_t)len, NULL, &f->diag, &g) != FTL_OK ||
	    ftl_lower(&f->arena, g, &o, &f->diag, &m) != FTL_OK ||
	    ftl_kmodule_interpret(m, &f->arena, &arg, out, &f->diag) != FTL_OK)
		fail_msg("%s to %s: %s", from, to, f->diag.text);
}

static void kernels_convert_as_single_numbers_do(void **state)
{
	static const char *const targets[] = {"scalar", "avx2"};
	static float x[HARD], back[256];
	static uint8_t codes[256];
	struct fix *f = *state;

	if (setjmp(f->landing.jump))
		fail_msg("out of memory");
	for (size_t k = 0; k < FTL_COUNT(floats) * FTL_COUNT(targets); k++) {
		ftl_dtype t = floats[k / 2];
		const char *name = ftl_dtype_name(t), *target = targets[k % 2];
		size_t n = hard_numbers(t, x);
		ftl_karg_tensor y;

		for (int saturate = 0; saturate < 2; saturate++) {
			run_cast(f, "f32", name,
				 saturate ? ", round_mode=\"nearest\"" : ", saturate=false, round_mode=\"nearest\"",
				 target, n, x, sizeof x, &y);
			for (size_t i = 0; i < n; i++)
				if (((uint8_t *)y.data)[i] != ftl_f32_to_low(t, x[i], saturate))
					fail_msg("%g (%a) to %s on %s: 0x%02x, should be 0x%02x", (double)x[i],
						 (double)x[i], name, target, ((uint8_t *)y.data)[i],
						 ftl_f32_to_low(t, x[i], saturate));
		}
		for (unsigned c = 0; c < 256; c++)
			codes[c] = (uint8_t)c;
		run_cast(f, name, "f32", "", target, 256, codes, sizeof codes, &y);
		memcpy(back, y.data, sizeof back);
		for (unsigned c = 0; c < 256; c++) {
			float want = ftl_low_to_f32(t, (uint8_t)c);

			if (isnan(want) ? !isnan(back[c]) : memcmp(&want, &back[c], sizeof want) != 0)
				fail_msg("%s 0x%02x on %s is %g, should be %g", name, c, target, (double)back[c],
					 (double)want);
		}
	}
}

/* Of f64 near a tie f32 would be the tie itself. */
static void doubles_are_rounded_once(void **state)
{
	struct fix *f = *state;
	double x[4] = {1.0625 + 0x1p-40, 1.0625 - 0x1p-40, -1.0625 - 0x1p-40, 1.0625};
	ftl_karg_tensor y;

	if (setjmp(f->landing.jump))
		fail_msg("out of memory");
	run_cast(f, "f64", "f8e4m3fn", "", "avx2", 4, x, sizeof x, &y);
	assert_memory_equal(y.data, "\x39\x38\xb9\x38", 4);
}

#define CONST(name, values, type) " %" name " = const dense<" values "> : " type "\n"

static const sample ops[] = {
	{"integers wrap", "", "i4[6]", CONST("x", "[-9,-8,7,8,100,-100]", "i32[6]") " %y = cast %x {to=i4} : i4[6]",
	 NULL, NULL, "7,-8,7,-8,4,-4", NULL},
	{"floats are cut off, then wrap", "", "u2[5]",
	 CONST("x", "[-1.5,0.9,3.5,4,5.5]", "f32[5]") " %y = cast %x {to=u2} : u2[5]", NULL, NULL, "3,0,3,0,1", NULL},
	{"low to low", "", "f8e5m2[4]", CONST("x", "[-8,7,0,3]", "i4[4]") " %y = cast %x {to=f8e5m2} : f8e5m2[4]", NULL,
	 NULL, "-8,7,0,3", NULL},
	{"to bool", "", "bool[3]", CONST("x", "[0,-0.5,6]", "f4e2m1[3]") " %y = cast %x {to=bool} : bool[3]", NULL,
	 NULL, "0,1,1", NULL},
	{"e8m0 up", "", "f8e8m0[6]",
	 CONST("x", "[0,1,1.1,3,5e-39,inf]", "f32[6]") " %y = cast %x {to=f8e8m0} : f8e8m0[6]", NULL, NULL,
	 "5.877471754111438e-39,1,2,4,5.877471754111438e-39,1.7014118346046923e38", NULL},
	{"e8m0 down", "", "f8e8m0[3]",
	 CONST("x", "[1,1.9,3]", "f16[3]") " %y = cast %x {to=f8e8m0, round_mode=\"down\"} : f8e8m0[3]", NULL, NULL,
	 "1,1,2", NULL},
	{"transpose", "%x: i4[?a,?d]", "i4[?d,?a]", " %y = transpose %x {perm=[1,0]} : i4[?d,?a]", NULL, NULL, NULL,
	 NULL},
	{"pad", "%x: f8e4m3fn[?a,?d]", "f8e4m3fn[?a,?d+3]",
	 " %v = const dense<2.5> : f8e4m3fn[]\n %y = pad %x, %v {pads=[0,1,0,2]} : f8e4m3fn[?a,?d+3]", NULL, NULL, NULL,
	 NULL},
	{"concat", "%x: u2[?a,?d], %z: u2[?b,?d]", "u2[?a+?b,?d]", " %y = concat %x, %z {axis=0} : u2[?a+?b,?d]", NULL,
	 NULL, NULL, NULL},
	{"slice", "%x: f6e3m2[?d]", "f6e3m2[?d-1]",
	 " %y = slice %x {axes=[0], steps=[1], starts=[1], sizes=[?d-1]} : f6e3m2[?d-1]", NULL, NULL, NULL, NULL},
	{"gather", "%x: f4e2m1[?a,?d], %i: i64[2]", "f4e2m1[2,?d]", " %y = gather %x, %i {axis=0} : f4e2m1[2,?d]", NULL,
	 "1,-1", NULL, NULL},
	{"where", "%c: bool[?a,?d], %x: f8e8m0[?a,?d], %z: f8e8m0[?d]", "f8e8m0[?a,?d]",
	 " %y = where %c, %x, %z : f8e8m0[?a,?d]", NULL, NULL, NULL, NULL},
	{"scatter", "%x: i4[?d], %i: i64[2], %u: i4[2]", "i4[?d]", " %y = scatter_elements %x, %i, %u : i4[?d]", NULL,
	 "1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-8,1,2,3,4,5,0,7,3,-3", NULL, NULL},
	{"fill", "%n: f32[?d]", "i2[?d]", " %s = shape %n : i64[1]\n %y = fill %s {dtype=i2, ivalue=-2} : i2[?d]", NULL,
	 NULL, NULL, NULL},
	{"fill of floats", "", "f8e5m2fnuz[2]", " %y = fill {dims=[2], dtype=f8e5m2fnuz, value=1.5} : f8e5m2fnuz[2]",
	 NULL, NULL, "1.5,1.5", NULL},
	{"quantize saturates", "", "i4[4]",
	 CONST("x", "[-30,3,5,30]", "f32[4]") CONST("s", "2", "f32[]")
		 CONST("z", "1", "i4[]") " %y = quantize %x, %s, %z {axis=-1, to=i4} : i4[4]",
	 NULL, NULL, "-8,3,3,7", NULL},
	{"quantize rounds to the format", "", "f4e2m1[4]",
	 CONST("x", "[-30,3,5,-0.4]", "f32[4]")
		 CONST("s", "2", "f32[]") " %y = quantize %x, %s {axis=-1, to=f4e2m1} : f4e2m1[4]",
	 NULL, NULL, "-6,1.5,2,-0", NULL},
	{"quantize without saturation", "", "f8e4m3fn[2]",
	 CONST("x", "[900,4]", "f32[2]")
		 CONST("s", "1", "f32[]") " %y = quantize %x, %s {axis=-1, to=f8e4m3fn, saturate=false} : f8e4m3fn[2]",
	 NULL, NULL, "nan,4", NULL},
	{"dequantize with zero points per axis", "", "f32[2,2]",
	 CONST("x", "[0,7,-8,3]", "i4[2,2]") CONST("s", "[2,0.5]", "f32[2]")
		 CONST("z", "[1,-1]", "i4[2]") " %y = dequantize %x, %s, %z {axis=0} : f32[2,2]",
	 NULL, NULL, "-2,12,-3.5,2", NULL},
	{"one scale, as only run time knows", "%x: i4[?a,?d], %s: f32[?one], %z: i4[?one]", "f32[?a,?d]",
	 " %y = dequantize %x, %s, %z {axis=1} : f32[?a,?d]", NULL, NULL, NULL, NULL},
	{"dequantize blocks", "%x: u4[?a,8], %s: f32[?a,2]", "f32[?a,8]",
	 " %y = dequantize %x, %s {axis=1, block=4} : f32[?a,8]", NULL, NULL, NULL, NULL},
	{"dequantize floats", "%x: f8e5m2[?a,?d], %s: f16[?d]", "f16[?a,?d]",
	 " %y = dequantize %x, %s {axis=1} : f16[?a,?d]", NULL, NULL, NULL, NULL},
	{"the product of dequantized integers", "%x: f32[?a,8]", "f32[?a,2]",
	 CONST("w", "[0,1,2,3,4,5,6,7,-8,-7,-6,-5,-4,-3,-2,-1]", "i4[2,8]")
		 CONST("s", "0.5", "f32[]") " %d = dequantize %w, %s {axis=-1} : f32[2,8]\n"
					    " %y = matmul %x, %d {trans_b=true} : f32[?a,2]",
	 NULL, NULL, NULL, NULL},
	{"bitcast", "", "i32[3]", CONST("x", "[1,-2,nan]", "f32[3]") " %y = bitcast %x {to=i32} : i32[3]", NULL, NULL,
	 "1065353216,-1073741824,2143289344", NULL},
	{"bitcast of a computed value", "%x: f16[?a,?d]", "u16[?a,?d]",
	 " %n = neg %x : f16[?a,?d]\n %y = bitcast %n {to=u16} : u16[?a,?d]", NULL, NULL, NULL, NULL},
	{"bitcast of few bits", "", "i4[4]", CONST("x", "[0,7,8,15]", "u4[4]") " %y = bitcast %x {to=i4} : i4[4]", NULL,
	 NULL, "0,7,-8,-1", NULL},
	{"bitcast to bool", "", "bool[3]", CONST("x", "[0,1,-1]", "i8[3]") " %y = bitcast %x {to=bool} : bool[3]", NULL,
	 NULL, "0,1,1", NULL},
};

static void ops_that_move_and_quantize(void **state)
{
	run(*state, ops, FTL_COUNT(ops));
}

static void other_ops_refuse_low_types(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"func @f(%x: i4[3]) -> (i4[3]) {\n %y = neg %x : i4[3]\n return %y\n}\n",
		 "can only be moved and converted"},
		{"func @f(%x: f8e5m2[3]) -> (f8e5m2[3]) {\n %y = add %x, %x : f8e5m2[3]\n return %y\n}\n",
		 "can only be moved and converted"},
		{"func @f(%x: f32[3,3]) -> (i4[3,3]) {\n %y = eye_like %x {dtype=i4} : i4[3,3]\n return %y\n}\n",
		 "cannot make element type i4"},
		{"func @f(%x: f32[3], %s: f8e8m0[]) -> (u8[3]) {\n %y = quantize %x, %s {axis=-1} : u8[3]\n return "
		 "%y\n}\n",
		 "a float type"},
		{"func @f(%x: f32[3]) -> (i8[3]) {\n %y = bitcast %x {to=i8} : i8[3]\n return %y\n}\n",
		 "the bits of f32"},
		{"func @f(%x: f32[3]) -> (f8e8m0[3]) {\n %y = cast %x {to=f8e8m0, round_mode=\"odd\"} : f8e8m0[3]\n "
		 "return "
		 "%y\n}\n",
		 "unknown round_mode"},
	};
	struct fix *f = *state;

	if (setjmp(f->landing.jump))
		fail_msg("out of memory");
	for (size_t i = 0; i < FTL_COUNT(cases); i++) {
		ftl_graph *g = NULL;

		ftl_diag_clear(&f->diag);
		if (ftl_parse(&f->arena, cases[i].text, strlen(cases[i].text), NULL, &f->diag, &g) == FTL_OK ||
		    !strstr(f->diag.text, cases[i].error))
			fail_msg("\"%s\" does not say \"%s\"", f->diag.text, cases[i].error);
	}
}

static void constants_print_and_parse(void **state)
{
	struct fix *f = *state;

	if (setjmp(f->landing.jump))
		fail_msg("out of memory");
	for (int t = FTL_DTYPE_LOW; t <= FTL_U2; t++) {
		ftl_graph *g = ftl_graph_new(&f->arena, "f"), *again = NULL;
		ftl_builder b = {.g = g, .region = g->body};
		uint8_t all[256], n = (uint8_t)((1u << ftl_dtype_bits((ftl_dtype)t)) - 1);
		int64_t dims[1] = {n};
		ftl_text one, two;
		ftl_val c;

		for (unsigned i = 0; i < n; i++)
			all[i] = ftl_dtype_bits((ftl_dtype)t) < 8 ? ftl_low_int((ftl_dtype)t, (uint8_t)i) : (uint8_t)i;
		c = ftl_build_const_bytes(&b, (ftl_dtype)t, 1, dims, all);
		ftl_build_yield(&b, &c, 1);
		ftl_text_init(&one, &f->arena);
		ftl_text_init(&two, &f->arena);
		ftl_print(g, &one);
		if (ftl_parse(&f->arena, one.v, one.n, NULL, &f->diag, &again) != FTL_OK)
			fail_msg("%s\n%s", f->diag.text, one.v);
		ftl_print(again, &two);
		assert_string_equal(one.v, two.v);
	}
}

int main(void)
{
#define L(name) cmocka_unit_test_setup_teardown(name, lower_setup, lower_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_is_the_number_its_format_says),
		cmocka_unit_test(floats_round_to_nearest_even),
		cmocka_unit_test(out_of_range_saturates_or_is_special),
		cmocka_unit_test(numbers_are_cut_to_the_range_of_integers),
		L(kernels_convert_as_single_numbers_do),
		L(doubles_are_rounded_once),
		L(ops_that_move_and_quantize),
		L(other_ops_refuse_low_types),
		L(constants_print_and_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
