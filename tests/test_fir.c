/* The text form: what is printed parses back and prints the same; errors say where; hostile text does no harm.
 * tests/fir/X.fir is exact text below its comment lines (FTL_BLESS=1 rewrites it); tests/fir/bad/X.fir says in its
 * first line what the error must contain. */
#include "ir/fir.h"
#include "ir/infer.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

struct fix {
	ftl_arena arena;
	ftl_landing landing;
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

static const char *print(ftl_arena *a, const ftl_graph *g)
{
	ftl_text t;

	ftl_text_init(&t, a);
	ftl_print(g, &t);
	return t.v;
}

static ftl_graph *parse(ftl_arena *a, const char *text)
{
	ftl_diag d = {0};
	ftl_graph *g = NULL;

	if (ftl_parse(a, text, strlen(text), "test.fir", &d, &g) != FTL_OK)
		fail_msg("%s\n%s", d.text, text);
	return g;
}

/* fn for every .fir file of tests/<folder>, in the order of their names. */
static void each_file(const char *folder, void (*fn)(ftl_arena *a, const char *path, const char *name))
{
	const char *root = getenv("SOURCE");
	struct dirent **list;
	char dir[1024];
	int n, files = 0;

	snprintf(dir, sizeof dir, "%s/tests/%s", root ? root : ".", folder);
	n = scandir(dir, &list, NULL, alphasort);
	if (n < 0)
		fail_msg("no folder %s", dir);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		ftl_landing landing;
		ftl_arena a;
		char path[2048];

		if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".fir") == 0) {
			ftl_arena_init(&a, NULL, &landing, 0);
			snprintf(path, sizeof path, "%s/%s", dir, name);
			fn(&a, path, name);
			ftl_arena_free(&a);
			files++;
		}
		free(list[i]);
	}
	free(list);
	assert_true(files > 0);
}

static const char *read_text(ftl_arena *a, const char *path)
{
	ftl_diag d = {0};
	ftl_file f;

	if (ftl_file_map(a, path, &d, &f) != FTL_OK)
		fail_msg("%s", d.text);
	return ftl_arena_strn(a, (const char *)f.data, f.size);
}

static void check_exact(ftl_arena *a, const char *path, const char *name)
{
	const char *text = read_text(a, path), *body = text, *p1, *p2;
	ftl_diag d = {0};
	ftl_graph *g;

	while (*body == '#')
		body += strcspn(body, "\n") + 1;
	if (ftl_parse(a, text, strlen(text), name, &d, &g) != FTL_OK)
		fail_msg("%s", d.text);
	p1 = print(a, g);
	p2 = print(a, parse(a, p1));
	assert_string_equal(p1, p2);
	assert_string_equal(p1, print(a, ftl_graph_clone(a, g)));
	if (strcmp(p1, body) == 0)
		return;
	if (!getenv("FTL_BLESS"))
		fail_msg("%s prints as\n%s", name, p1);
	p1 = ftl_arena_printf(a, "%.*s%s", (int)(body - text), text, p1);
	assert_int_equal(ftl_file_write(path, p1, strlen(p1), &d), FTL_OK);
}

static void text_prints_as_it_was_parsed(void **state)
{
	(void)state;
	each_file("fir", check_exact);
}

static void check_error(ftl_arena *a, const char *path, const char *name)
{
	const char *text = read_text(a, path);
	const char *want = ftl_arena_strn(a, text + 9, strcspn(text + 9, "\n"));
	ftl_diag d = {0};
	ftl_graph *g;

	assert_memory_equal(text, "# error: ", 9);
	if (ftl_parse(a, text, strlen(text), name, &d, &g) == FTL_OK)
		fail_msg("%s parses", name);
	if (!strstr(d.text, want))
		fail_msg("%s: wanted \"%s\", got \"%s\"", name, want, d.text);
	if (!strstr(d.text, name))
		fail_msg("%s: the message does not name the file: \"%s\"", name, d.text);
}

static void errors_say_where_and_what(void **state)
{
	(void)state;
	each_file("fir/bad", check_error);
}

/* Every 16-bit float, and many others, through text. */
static void floats_survive_to_the_bit(void **state)
{
	struct fix *f = *state;
	uint64_t rng = 1;

	for (int round = 0; round < 1200; round++) {
		ftl_dtype t = (ftl_dtype[]){FTL_F32, FTL_F64, FTL_F16, FTL_BF16}[round % 4];
		uint8_t data[16 * 8];
		int64_t n = 16;
		ftl_landing landing;
		ftl_arena a;

		ftl_arena_init(&a, NULL, &landing, 0);
		for (size_t i = 0; i < sizeof data; i++) {
			rng = rng * 6364136223846793005u + 1442695040888963407u;
			data[i] = (uint8_t)(rng >> 56);
			if (rng >> 40 & 1) /* exponents of all ones or all zeros are the interesting ones */
				data[i] = rng >> 41 & 1 ? 0xff : 0;
		}
		ftl_graph *g = ftl_graph_new(&a, "f"), *h;
		ftl_builder b = {.g = g, .region = g->body};
		ftl_val v = ftl_build_const_bytes(&b, t, 1, &n, data);

		ftl_build_yield(&b, &v, 1);
		h = parse(&a, print(&a, g));
		v = ftl_node_get(h, ftl_region_get(h, h->body)->last)->in[0];
		assert_memory_equal(ftl_const_blob(h, v)->data, data, 16 * ftl_dtype_bytes(t));
		ftl_arena_free(&a);
	}
	(void)f;
}

static void doubles_in_attributes_survive(void **state)
{
	struct fix *f = *state;
	static const uint64_t bits[] = {0x7ff8000000000000, 0xfff8000000000001, 0x8000000000000000, 1,
					0x3fb999999999999a, 0x7fefffffffffffff, 0xfff0000000000000};

	for (size_t i = 0; i < FTL_COUNT(bits); i++) {
		ftl_graph *g = ftl_graph_new(&f->arena, "f"), *h;
		ftl_builder b = {.g = g, .region = g->body};
		ftl_val x = ftl_param_new(g, g->body, ftl_type_make(g, FTL_F32, 0, NULL), "x");
		struct ftl_attrs_elu *a = ftl_attrs_default(g, FTL_OP_elu);

		memcpy(&a->alpha, &bits[i], 8);
		assert_int_equal(ftl_build1(&b, FTL_OP_elu, &x, 1, a, &x), FTL_OK);
		ftl_build_yield(&b, &x, 1);
		h = parse(&f->arena, print(&f->arena, g));
		assert_true(ftl_attrs_eq(h, FTL_OP_elu, a, ftl_node_get(h, ftl_region_get(h, h->body)->first)->attrs));
	}
}

static void contents_come_back_through_inference(void **state)
{
	struct fix *f = *state;
	ftl_graph *g = parse(&f->arena,
			     "func @f(%x: f32[?b,8]) -> (f32[8,?b]) {\n"
			     "  %s = shape %x : i64[2]\n  %p = const dense<[1,0]> : i64[2]\n"
			     "  %t = gather %s, %p : i64[2]\n  %y = reshape %x, %t : f32[8,?b]\n  return %y\n}\n");
	ftl_region *body = ftl_region_get(g, g->body);
	ftl_node *reshape = ftl_node_get(g, ftl_node_get(g, body->last)->prev);
	const ftl_value *t = ftl_value_get(g, reshape->in[1]);

	assert_int_equal(t->nsym, 2);
	assert_int_equal(t->sym[1], ftl_type_of(g, body->params.v[0])->dims[0]);
}

static void fresh_symbols_stay_with_their_node(void **state)
{
	struct fix *f = *state;
	static const char text[] = "func @f(%0: f32[?b] \"x\") -> (f32[?n], f32[?m]) {\n"
				   "  %1 = is_nan %0 : bool[?b]\n"
				   "  %2 = compress %0, %1 {axis=0} : f32[?n]\n"
				   "  %3 = compress %0, %1 {axis=0} : f32[?m]\n"
				   "  return %2, %3\n}\n";
	ftl_graph *g = parse(&f->arena, text);
	ftl_diag d = {0};

	assert_string_equal(print(&f->arena, g), text);
	assert_int_equal(ftl_infer_graph(g, &d), FTL_OK);
	assert_int_equal(ftl_infer_graph(g, &d), FTL_OK);
	assert_string_equal(print(&f->arena, g), text);
}

static void files_keep_big_constants(void **state)
{
	struct fix *f = *state;
	ftl_graph *g = ftl_graph_new(&f->arena, "f"), *h;
	ftl_builder b = {.g = g, .region = g->body};
	const char *path = "test_fir.fir", *p1;
	ftl_diag d = {0};
	ftl_val v[4];

	for (int k = 0; k < 4; k++) {
		float w[700];
		int64_t n = 500 + 50 * (k % 3); /* the last is the first once more */

		for (int i = 0; i < 700; i++)
			w[i] = (float)(i * (k % 3 + 1));
		v[k] = ftl_build_const_bytes(&b, FTL_F32, 1, &n, w);
	}
	ftl_build_yield(&b, v, 4);
	p1 = print(&f->arena, g);
	assert_int_equal(ftl_fir_write(g, path, &d), FTL_OK);
	if (ftl_fir_read(&f->arena, path, &d, &h) != FTL_OK)
		fail_msg("%s", d.text);
	assert_string_equal(print(&f->arena, h), p1);
	for (int k = 0; k < 4; k++) {
		const ftl_blob *was = ftl_const_blob(g, v[k]);
		const ftl_blob *is = ftl_const_blob(h, ftl_node_get(h, ftl_region_get(h, h->body)->last)->in[k]);

		assert_non_null(is);
		assert_true(is->mapped && (uintptr_t)is->data % 64 == 0);
		assert_int_equal(is->bytes, was->bytes);
		assert_memory_equal(is->data, was->data, was->bytes);
	}
	/* without its bytes it still parses, and prints the same */
	h = parse(&f->arena, p1);
	assert_null(ftl_const_blob(h, ftl_node_get(h, ftl_region_get(h, h->body)->last)->in[0]));
	assert_string_equal(print(&f->arena, h), p1);
	/* a damaged file of blobs is an error or gives no bytes, never a crash */
	for (size_t cut = 0; cut < 200; cut += 7) {
		ftl_file blobs;

		assert_int_equal(ftl_fir_write(g, path, &d), FTL_OK);
		assert_int_equal(ftl_file_map(&f->arena, "test_fir.fir.blobs", &d, &blobs), FTL_OK);
		assert_int_equal(ftl_file_write("test_fir.fir.blobs", blobs.data, cut, &d), FTL_OK);
		if (ftl_fir_read(&f->arena, path, &d, &h) == FTL_OK)
			print(&f->arena, h);
		ftl_diag_clear(&d);
	}
	unlink(path);
	unlink("test_fir.fir.blobs");
}

/* ---- mutations ---- */
static uint64_t fuzz_rng = 7;

static uint32_t draw(uint32_t n)
{
	fuzz_rng ^= fuzz_rng << 13;
	fuzz_rng ^= fuzz_rng >> 7;
	fuzz_rng ^= fuzz_rng << 17;
	return (uint32_t)(fuzz_rng >> 32) % n;
}

static void mutate(ftl_arena *a, const char *text)
{
	static const char *const bits[] = {
		"{",    "}", "(",         ")",     "[",      "]",     "%0",         "%1",
		"_",    ",", "=",         ":",     "?n",     "-1",    "0x",         "9223372036854775807",
		"\"",   "@", "f32[]",     "yield", "return", "const", "dense<",     ">",
		"blob", "*", "div(?b,0)", "\\x",   "#",      "\n",    "if %1 { ()", "quant(",
		"axis="};
	size_t n = strlen(text);
	char *s = ftl_arena_alloc(a, 2 * n + 256);
	ftl_diag d = {0};
	ftl_graph *g;

	memcpy(s, text, n + 1);
	for (uint32_t k = 1 + draw(3); k > 0; k--) {
		size_t at = draw((uint32_t)n + 1), len = draw(12);
		const char *bit = bits[draw(FTL_COUNT(bits))];

		switch (draw(4)) {
		case 0: /* a byte */
			if (at < n)
				s[at] = (char)(1 + draw(255));
			break;
		case 1: /* cut some out */
			len = at + len > n ? n - at : len;
			memmove(s + at, s + at + len, n - at - len + 1);
			n -= len;
			break;
		case 2: /* put something in */
			memmove(s + at + strlen(bit), s + at, n - at + 1);
			memcpy(s + at, bit, strlen(bit));
			n += strlen(bit);
			break;
		default: /* cut the end off */
			if (draw(8) == 0)
				s[n = at] = 0;
		}
	}
	if (ftl_parse(a, s, n, "fuzz", &d, &g) == FTL_OK) {
		const char *p1 = print(a, g), *p2;

		if (ftl_parse(a, p1, strlen(p1), "fuzz2", &d, &g) != FTL_OK)
			fail_msg("%s\nparsed, but what it printed does not:\n%s\n%s", s, p1, d.text);
		p2 = print(a, g);
		if (strcmp(p1, p2) != 0)
			fail_msg("%s\nprints as\n%s\nand then as\n%s", s, p1, p2);
	} else {
		assert_true(d.text[0] != 0);
	}
}

static void fuzz_file(ftl_arena *a, const char *path, const char *name)
{
	const char *text = read_text(a, path);

	(void)name;
	for (int i = 0; i < 500; i++) {
		ftl_landing landing;
		ftl_arena scratch;

		ftl_arena_init(&scratch, NULL, &landing, (size_t)256 << 20);
		if (setjmp(landing.jump) == 0)
			mutate(&scratch, text);
		ftl_arena_free(&scratch);
	}
}

static void mutated_text_does_no_harm(void **state)
{
	(void)state;
	each_file("fir", fuzz_file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_prints_as_it_was_parsed),
		cmocka_unit_test(errors_say_where_and_what),
		cmocka_unit_test_setup_teardown(floats_survive_to_the_bit, setup, teardown),
		cmocka_unit_test_setup_teardown(doubles_in_attributes_survive, setup, teardown),
		cmocka_unit_test_setup_teardown(contents_come_back_through_inference, setup, teardown),
		cmocka_unit_test_setup_teardown(fresh_symbols_stay_with_their_node, setup, teardown),
		cmocka_unit_test_setup_teardown(files_keep_big_constants, setup, teardown),
		cmocka_unit_test(mutated_text_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
