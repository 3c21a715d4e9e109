/* Passes on text: tests/passes/PASS/NAME.fir holds a graph, a line `# ---- want`, and the graph that the pipeline in its
 * head must make of it.
 *
 *   # pass: PIPELINE    check: exact seed=7
 *   # why-not: part of a reason that must be reported
 *
 * check also runs both sides on random data: exact (bit for bit) or near=TOLERANCE, tame for numbers of moderate size.
 * FTL_BLESS=1 rewrites what is wanted. Below: any order of passes keeps results, limits, errors, time. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "exec.h"
#include "passes/passes.h"

#define WANT "# ---- want\n"

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

static const char *print(const ftl_graph *g)
{
	ftl_text t;

	ftl_text_init(&t, &arena);
	ftl_print(g, &t);
	return t.v;
}

static ftl_graph *parse(const char *text, size_t n, const char *name)
{
	ftl_diag d = {0};
	ftl_graph *g = NULL;

	if (ftl_parse(&arena, text, n, name, &d, &g) != FTL_OK)
		fail_msg("%s", d.text);
	return g;
}

static const char *read_text(const char *path)
{
	ftl_diag d = {0};
	ftl_file f;

	if (ftl_file_map(&arena, path, &d, &f) != FTL_OK)
		fail_msg("%s", d.text);
	return ftl_arena_strn(&arena, (const char *)f.data, f.size);
}

static ftl_pass_report *run(ftl_graph *g, const char *pipeline, const ftl_pass_options *o)
{
	ftl_pass_report *report = NULL;
	ftl_diag d = {0};

	if (ftl_passes_run(g, pipeline, o, &d, &report) != FTL_OK)
		fail_msg("%s\n%s", d.text, print(g));
	return report;
}

/* Do both graphs compute the same? NULL, or what differs. */
static const char *differ(const ftl_graph *before, const ftl_graph *after, uint64_t seed, double tolerance, bool tame)
{
	ftl_karg_tensor *in = exec_inputs(&arena, before, seed, tame || tolerance > 0 ? EXEC_TAME : EXEC_WILD);
	exec_result x, y;
	ftl_diag d = {0};

	if (exec_run(&arena, before, in, false, &d, &x) != FTL_OK ||
	    exec_run(&arena, after, in, false, &d, &y) != FTL_OK)
		return ftl_arena_str(&arena, d.text);
	return exec_compare(&arena, &x, &y, tolerance, tame);
}

/* ---- golden files ---- */
/* What stands behind `key` in a comment line of the head, up to four blanks or the line's end; NULL if it is not there. */
static const char *head(const char *text, const char *key)
{
	const char *end = strstr(text, "func @"), *at = strstr(text, key), *stop;

	if (!at || at > end)
		return NULL;
	at += strlen(key);
	stop = strstr(at, "    ");
	if (!stop || stop > at + strcspn(at, "\n"))
		stop = at + strcspn(at, "\n");
	return ftl_arena_strn(&arena, at, (size_t)(stop - at));
}

static void check_results(const char *name, const char *how, const ftl_graph *before, const ftl_graph *after)
{
	const char *near = strstr(how, "near="), *seed = strstr(how, "seed="), *wrong;

	for (uint64_t k = 0; k < 3; k++) {
		wrong = differ(before, after, (seed ? strtoull(seed + 5, NULL, 10) : 0) + k * 1000,
			       near ? strtod(near + 5, NULL) : 0, strstr(how, "tame") != NULL);
		if (wrong)
			fail_msg("%s: %s\n%s", name, wrong, print(after));
	}
}

static void check_reasons(const char *name, const char *text, const ftl_pass_report *r)
{
	const char *end = strstr(text, "func @");

	for (const char *at = text; (at = strstr(at, "# why-not: ")) && at < end;) {
		const char *want = ftl_arena_strn(&arena, at + 11, strcspn(at + 11, "\n"));
		bool found = false;

		for (uint32_t i = 0; i < r->missed.n; i++)
			found |= strstr(r->missed.v[i].why, want) != NULL;
		for (uint32_t i = 0; i < r->missed.n && !found; i++)
			print_error("%s: %s: %s\n", r->missed.v[i].what, r->missed.v[i].loc, r->missed.v[i].why);
		if (!found)
			fail_msg("%s: nothing says \"%s\"", name, want);
		at += 11;
	}
}

static void check_golden(const char *path, const char *name)
{
	const char *text = read_text(path), *want = strstr(text, WANT), *check = head(text, "check: "),
		   *pass = head(text, "# pass: "), *got;
	ftl_pass_options o = {.no_default = true};
	size_t n = want ? (size_t)(want - text) : strlen(text);
	ftl_graph *before = parse(text, n, name), *after = parse(text, n, name);
	ftl_pass_report *r;
	FILE *f;

	if (!pass)
		fail_msg("%s: no line \"# pass: ...\"", name);
	r = run(after, pass, &o);
	check_reasons(name, text, r);
	got = print(after);
	if (check)
		check_results(name, check, before, after);
	run(after, pass, &o); /* nothing is left to do */
	assert_string_equal(print(after), got);
	if (want && strcmp(want + strlen(WANT), got) == 0)
		return;
	if (!getenv("FTL_BLESS"))
		fail_msg("%s: %s makes\n%s", name, pass, got);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "%.*s%s%s", (int)n, text, WANT, got);
	fclose(f);
}

/* fn for every .fir file of tests/passes/<folder>, in the order of their names; returns how many. */
static int each_file(const char *folder, void (*fn)(const char *path, const char *name))
{
	const char *root = getenv("SOURCE");
	struct dirent **list;
	char dir[1024], path[2048];
	int n, files = 0;

	snprintf(dir, sizeof dir, "%s/tests/passes/%s", root ? root : ".", folder);
	n = scandir(dir, &list, NULL, alphasort);
	if (n < 0)
		fail_msg("no folder %s", dir);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;

		if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".fir") == 0) {
			snprintf(path, sizeof path, "%s/%s", dir, name);
			fn(path, ftl_arena_printf(&arena, "%s/%s", folder, name));
			files++;
		}
		free(list[i]);
	}
	free(list);
	return files;
}

static void every_pass_has_golden_files(void **state)
{
	const ftl_pass_row *row;

	(void)state;
	for (size_t k = 0; (row = ftl_pass_row_at(k)); k++)
		if (each_file(row->name, check_golden) < 3)
			fail_msg("%s has less than three golden files", row->name);
}

/* ---- whole models ---- */
static void check_alone(const char *path, const char *name)
{
	const char *text = read_text(path), *wrong;
	ftl_pass_options o = {.no_default = true};
	const ftl_pass_row *row;

	for (size_t k = 0; (row = ftl_pass_row_at(k)); k++) {
		ftl_graph *before = parse(text, strlen(text), name), *after = parse(text, strlen(text), name);

		run(after, row->name, &o);
		wrong = differ(before, after, k, 1e-5, true);
		if (wrong)
			fail_msg("%s, %s alone: %s\n%s", name, row->name, wrong, print(after));
	}
}

static void each_pass_alone_keeps_results(void **state)
{
	(void)state;
	assert_true(each_file("models", check_alone) >= 3);
}

static void check_orders(const char *path, const char *name)
{
	const char *text = read_text(path), *wrong;
	ftl_pass_options o = {.no_default = true};
	size_t npass = 0;

	while (ftl_pass_row_at(npass))
		npass++;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		ftl_graph *before = parse(text, strlen(text), name), *after = parse(text, strlen(text), name);
		exec_rng r = {seed};
		ftl_text pipeline;

		ftl_text_init(&pipeline, &arena);
		for (int i = 0; i < 14; i++)
			ftl_text_add(&pipeline, "%s%s", i ? ", " : "",
				     ftl_pass_row_at(exec_below(&r, (uint32_t)npass))->name);
		run(after, pipeline.v, &o);
		wrong = differ(before, after, seed, 1e-5, true);
		if (wrong)
			fail_msg("%s, %s: %s\n%s", name, pipeline.v, wrong, print(after));
	}
}

static void any_order_of_passes_keeps_results(void **state)
{
	(void)state;
	assert_true(each_file("models", check_orders) >= 3);
}

static void check_limits(const char *path, const char *name)
{
	const char *text = read_text(path), *wrong;
	int64_t all = run(parse(text, strlen(text), name), NULL, NULL)->edits;

	assert_true(all > 0);
	for (int64_t k = -1; k <= all; k++) {
		ftl_graph *before = parse(text, strlen(text), name), *after = parse(text, strlen(text), name);
		ftl_pass_options o = {.rewrite_limit = k};
		ftl_pass_report *r = run(after, NULL, &o);

		assert_int_equal(r->edits, k < 0 ? 0 : k == 0 ? all : k);
		assert_int_equal(r->out_of_edits, k != 0 && k != all);
		wrong = differ(before, after, 5, 1e-5, true);
		if (wrong)
			fail_msg("%s, limit %lld: %s\n%s", name, (long long)k, wrong, print(after));
	}
}

static void every_rewrite_limit_keeps_results(void **state)
{
	(void)state;
	assert_true(each_file("models", check_limits) >= 3);
}

static void check_default(const char *path, const char *name)
{
	const char *text = read_text(path), *once;
	ftl_graph *g = parse(text, strlen(text), name);

	run(g, NULL, NULL);
	once = print(g);
	run(g, NULL, NULL);
	assert_string_equal(print(g), once);
	assert_string_equal(print(parse(once, strlen(once), name)), once);
	/* nothing of the shape arithmetic is left but its outcome */
	assert_null(strstr(once, "= shape"));
	assert_null(strstr(once, "= gather"));
}

static void the_default_pipeline_comes_to_rest(void **state)
{
	(void)state;
	assert_true(each_file("models", check_default) >= 3);
}

/* ---- the manager ---- */
static const char tiny[] = "func @tiny(%x: f32[4]) -> (f32[4]) {\n"
			   "  %z = const dense<0> : f32[]\n"
			   "  %a = add %x, %z : f32[4]  @\"a\"\n"
			   "  %b = relu %a : f32[4]  @\"b\"\n"
			   "  %c = relu %b : f32[4]  @\"c\"\n"
			   "  return %c\n"
			   "}\n";

static void wrong_pipelines_are_refused(void **state)
{
	static const char *const bad[][2] = {
		{"simplfy", "did you mean \"simplify\""},       {"cse, fusenorm", "did you mean \"fuse-norm\""},
		{"zzzzzzzz", "unknown pass \"zzzzzzzz\""},      {"fold{max_byte=3}", "did you mean \"max_bytes\""},
		{"fold{max_bytes=lots}", "\"lots\" is no i64"}, {"fold{max_bytes}", "needs a value"},
		{"fold{max_bytes=3", "expected an option"},     {"cse{a=1}", "has no option \"a\""},
		{"simplify{only=\"x}", "a quote is missing"},   {"simplify{only=nothing}", "no row \"nothing\""},
		{"cse; dce", "expected a pass at \"; dce\""},
	};

	(void)state;
	for (size_t i = 0; i < FTL_COUNT(bad); i++) {
		ftl_graph *g = parse(tiny, strlen(tiny), "tiny.fir");
		ftl_pass_options o = {.no_default = true};
		ftl_diag d = {0};

		assert_int_equal(ftl_passes_run(g, bad[i][0], &o, &d, NULL), FTL_ERR_USAGE);
		if (!strstr(d.text, bad[i][1]))
			fail_msg("%s: %s", bad[i][0], d.text);
		assert_string_equal(print(g), print(parse(tiny, strlen(tiny), "tiny.fir")));
	}
}

static void pipelines_have_comments_and_options(void **state)
{
	static const char text[] =
		"# constants first\nfold{max_bytes=4096, max_growth=0}, # few\n\tcse\n\nsimplify{only=\"add_zero\"}";
	ftl_graph *g = parse(tiny, strlen(tiny), "tiny.fir");
	ftl_pass_options o = {.no_default = true};
	ftl_pass_report *r;

	(void)state;
	r = run(g, text, &o);
	assert_int_equal(r->passes.n, 3);
	assert_string_equal(r->passes.v[0].pass, "fold");
	assert_string_equal(r->passes.v[2].pass, "simplify");
	assert_int_equal(r->done.n, 1); /* not relu of relu */
	assert_string_equal(r->done.v[0].what, "add_zero");
	assert_string_equal(r->done.v[0].loc, "a");
}

struct seen {
	char text[512];
	const char *stop;
};

static void note(void *user, const char *pass, const ftl_graph *g, const ftl_pass_stat *stat)
{
	struct seen *s = user;

	assert_string_equal(stat->pass, pass);
	assert_true(stat->seconds >= 0 && stat->nodes_before >= stat->nodes_after && g->nodes.n > stat->nodes_after);
	strcat(strcat(s->text, pass), " ");
}

static void the_hook_sees_every_pass_up_to_the_stop(void **state)
{
	ftl_graph *g = parse(tiny, strlen(tiny), "tiny.fir");
	struct seen s = {0};
	ftl_pass_options o = {.after = note, .user = &s, .stop_after = "dce", .no_default = true};

	(void)state;
	run(g, "cse, dce, simplify", &o);
	assert_string_equal(s.text, "cse dce ");
	o.stop_after = "dcc";
	assert_int_equal(ftl_passes_run(g, NULL, &o, NULL, NULL), FTL_ERR_USAGE);
}

static void facts_a_pass_needs_are_made_first(void **state)
{
	ftl_graph *g = parse(tiny, strlen(tiny), "tiny.fir");
	struct seen s = {0};
	ftl_pass_options o = {.after = note, .user = &s};

	(void)state;
	run(g, "fuse-norm", &o);
	/* behind the default pipeline everything holds; the clean-up follows */
	assert_non_null(strstr(s.text, "cse dce fuse-norm fold simplify cse dce "));
	run(g, NULL, NULL);
	assert_string_equal(print(g), "func @tiny(%0: f32[4]) -> (f32[4]) {\n"
				      "  %1 = relu %0 : f32[4]  @\"c+b\"\n"
				      "  return %1\n"
				      "}\n");
}

static void the_documentation_is_generated(void **state)
{
	const char *root = getenv("SOURCE"), *path = ftl_arena_printf(&arena, "%s/docs/PASSES.md", root ? root : ".");
	ftl_text t;
	FILE *f;

	(void)state;
	ftl_text_init(&t, &arena);
	ftl_passes_markdown(&t);
	if (getenv("FTL_BLESS")) {
		f = fopen(path, "w");
		assert_non_null(f);
		fputs(t.v, f);
		fclose(f);
	}
	assert_string_equal(read_text(path), t.v);
}

/* ---- time and memory ---- */
/* n elementwise nodes in a row, with something for every pass to do. */
static ftl_graph *long_chain(uint32_t n)
{
	ftl_graph *g = ftl_graph_new(&arena, "long");
	ftl_builder b = {.g = g, .region = g->body, .loc = "node"};
	ftl_dim dims[2] = {ftl_dim_sym(g->st, "n"), ftl_dim_const(g->st, 8)};
	ftl_val x = ftl_param_new(g, g->body, ftl_type_make(g, FTL_F32, 2, dims), "x"), zero, hub = x, in[2];
	static const ftl_op ops[] = {FTL_OP_relu,    FTL_OP_neg, FTL_OP_add,      FTL_OP_mul,
				     FTL_OP_sigmoid, FTL_OP_sub, FTL_OP_transpose};

	for (uint32_t i = 0; i < n; i++) {
		ftl_op op = ops[i % FTL_COUNT(ops)];

		zero = ftl_build_scalar(&b, FTL_F32, i % 3);
		in[0] = x;
		in[1] = i % 2 ? zero : hub; /* one value that everybody reads */
		if (op == FTL_OP_transpose && i % 14 < 7)
			continue;
		if (ftl_build1(&b, op, in, (uint32_t)ftl_op_get(op)->max_in, NULL, &x) != FTL_OK)
			return NULL;
		if (op == FTL_OP_transpose && ftl_build1(&b, op, &x, 1, NULL, &x) != FTL_OK)
			return NULL;
	}
	ftl_build_yield(&b, &x, 1);
	return g;
}

static void time_grows_with_the_graph(void **state)
{
	ftl_graph *g = long_chain(100000);
	ftl_pass_report *r;

	(void)state;
	assert_non_null(g);
	r = run(g, NULL, NULL);
	for (uint32_t i = 0; i < r->passes.n; i++)
		if (r->passes.v[i].seconds > 2)
			fail_msg("%s took %.1f s for %u nodes", r->passes.v[i].pass, r->passes.v[i].seconds,
				 r->passes.v[i].nodes_before);
}

struct failing {
	int left, live;
};

static void *fail_alloc(void *user, size_t n)
{
	struct failing *f = user;
	void *p;

	if (f->left-- <= 0)
		return NULL;
	p = calloc(1, n);
	f->live += p != NULL;
	return p;
}

static void fail_free(void *user, void *p)
{
	((struct failing *)user)->live -= p != NULL;
	free(p);
}

/* One run that may make k allocations: true if they were enough. */
static bool run_with(const char *text, int k)
{
	struct failing f = {k, 0};
	ftl_allocator mem = {fail_alloc, fail_free, &f};
	ftl_landing here;
	ftl_arena a;
	ftl_graph *g;
	ftl_diag d = {0};

	ftl_arena_init(&a, &mem, &here, 0);
	if (setjmp(here.jump)) {
		ftl_arena_free(&a);
		assert_int_equal(f.live, 0);
		return false;
	}
	if (ftl_parse(&a, text, strlen(text), "f", &d, &g) != FTL_OK ||
	    ftl_passes_run(g, NULL, NULL, &d, NULL) != FTL_OK)
		assert_true(f.left <= 0); /* the verifier lands by itself */
	ftl_arena_free(&a);
	assert_int_equal(f.live, 0);
	return f.left >= 0;
}

static void check_allocations(const char *path, const char *name)
{
	const char *text = read_text(path);

	(void)name;
	for (int k = 0; !run_with(text, k); k++)
		assert_true(k < 2000);
}

static void every_failing_allocation_is_survived(void **state)
{
	(void)state;
	each_file("models", check_allocations);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_pass_has_golden_files),         TEST(each_pass_alone_keeps_results),
		TEST(any_order_of_passes_keeps_results),   TEST(every_rewrite_limit_keeps_results),
		TEST(the_default_pipeline_comes_to_rest),  TEST(wrong_pipelines_are_refused),
		TEST(pipelines_have_comments_and_options), TEST(the_hook_sees_every_pass_up_to_the_stop),
		TEST(facts_a_pass_needs_are_made_first),   TEST(the_documentation_is_generated),
		TEST(time_grows_with_the_graph),           TEST(every_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
