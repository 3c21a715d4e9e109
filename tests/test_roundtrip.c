/* Text is truth: the graph of every model and the kernels it becomes print, parse back and print the same.
 *
 * usage: test_roundtrip [MODEL.onnx ...]
 * Without arguments the models are those of tests/fixtures and examples (folder SOURCE). Each model is one test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "frontend/onnx.h"
#include "kernels/lower.h"

/* Both would compare equal if printing printed nothing. */
#define LEAST_TEXT 40

static const char *graph_text(ftl_arena *a, const ftl_graph *g)
{
	ftl_text t;

	ftl_text_init(&t, a);
	ftl_print(g, &t);
	return t.v;
}

static const char *kernel_text(ftl_arena *a, const ftl_kmodule *m)
{
	ftl_text t;

	ftl_text_init(&t, a);
	ftl_kmodule_print(m, &t);
	return t.v;
}

/* The first line in which two texts differ. */
static void same_text(const char *what, const char *a, const char *b)
{
	int line = 1;
	size_t from = 0, i = 0;

	if (strlen(a) < LEAST_TEXT)
		fail_msg("%s: only \"%s\" was printed", what, a);
	for (; a[i] && a[i] == b[i]; i++) {
		if (a[i] == '\n') {
			line++;
			from = i + 1;
		}
	}
	if (a[i] != b[i])
		fail_msg("%s: line %d: first\n  %.200s\nthen\n  %.200s", what, line, a + from, b + from);
}

static ftl_status graph_round(ftl_arena *a, const ftl_graph *g, ftl_diag *d)
{
	const char *text = graph_text(a, g);
	ftl_graph *again = NULL;

	FTL_TRY(ftl_parse(a, text, strlen(text), "printed.fir", d, &again));
	FTL_TRY(ftl_verify(again, d));
	same_text("graph", text, graph_text(a, again));
	return FTL_OK;
}

static ftl_status kernel_round(ftl_arena *a, const ftl_graph *g, const char *level, ftl_diag *d)
{
	ftl_lower_options o = {.target = ftl_target_find(level)};
	ftl_kmodule *m = NULL, *again = NULL;
	const char *text;

	FTL_TRY(ftl_lower(a, g, &o, d, &m));
	text = kernel_text(a, m);
	FTL_TRY(ftl_kmodule_parse(a, text, strlen(text), "printed.kir", d, &again));
	FTL_TRY(ftl_kmodule_verify(again, d));
	same_text(level, text, kernel_text(a, again));
	return FTL_OK;
}

static ftl_status rounds(ftl_arena *a, const char *path, ftl_diag *d)
{
	ftl_graph *g = NULL;

	FTL_TRY(ftl_onnx_import(a, path, NULL, d, &g));
	FTL_TRY(graph_round(a, g, d));
	FTL_TRY(kernel_round(a, g, "scalar", d));
	FTL_TRY(kernel_round(a, g, "avx512", d));
	return FTL_OK;
}

static void test_model(void **state)
{
	const char *path = *state;
	ftl_landing landing;
	ftl_diag d = {0};
	ftl_arena arena;
	ftl_status_code code;

	ftl_arena_init(&arena, NULL, &landing, 0);
	code = rounds(&arena, path, &d);
	ftl_arena_free(&arena);
	if (code != FTL_OK)
		fail_msg("%s", d.text);
}

int main(int argc, char **argv)
{
	const char *source = getenv("SOURCE");
	glob_t found = {0};
	char **models = argv + 1;
	size_t n = (size_t)(argc - 1);
	struct CMUnitTest *tests;

	if (!n) {
		char pattern[4096];

		snprintf(pattern, sizeof pattern, "%s/tests/fixtures/*/model.onnx", source ? source : ".");
		if (glob(pattern, 0, NULL, &found) != 0) {
			fprintf(stderr, "no models: %s\n", pattern);
			return 1;
		}
		snprintf(pattern, sizeof pattern, "%s/examples/*/model.onnx", source ? source : ".");
		if (glob(pattern, GLOB_APPEND, NULL, &found) != 0) {
			fprintf(stderr, "no models: %s\n", pattern);
			return 1;
		}
		models = found.gl_pathv;
		n = found.gl_pathc;
	}
	tests = calloc(n, sizeof *tests);
	if (!tests)
		return 1;
	for (size_t i = 0; i < n; i++)
		tests[i] = (struct CMUnitTest){.name = models[i], .test_func = test_model, .initial_state = models[i]};
	argc = _cmocka_run_group_tests("roundtrip", tests, n, NULL, NULL);
	free(tests);
	globfree(&found);
	return argc != 0;
}
