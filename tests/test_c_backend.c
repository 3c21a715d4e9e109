/* The C backend: every instruction against the interpreter, compiled by gcc and clang in both dialects; and what it prints:
 * clean under warnings, the same every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/c.h"
#include "kop_cases.h"
#include "runtime/session.h"
#include "tiny.h"

typedef struct setup {
	ftl_cc cc;
	ftl_c_dialect dialect;
} setup;

static ftl_status exec_c(void *user, const ftl_kmodule *m, ftl_arena *arena, const ftl_karg_tensor *in,
			 ftl_karg_tensor *out, ftl_diag *d)
{
	const setup *s = user;
	const void **blobs = FTL_NEW_N(arena, const void *, m->blobs.n + 1);
	ftl_io *ins = FTL_NEW_N(arena, ftl_io, m->inputs.n + 1), *outs = FTL_NEW_N(arena, ftl_io, m->outputs.n + 1);
	ftl_session_desc desc = {
		.blobs = blobs, .nin = m->inputs.n, .nout = m->outputs.n, .msgs = m->msgs.v, .nmsgs = m->msgs.n};
	ftl_session *session;
	ftl_status_code code;
	ftl_c_lib *l;

	FTL_TRY(ftl_c_build_shared(arena, m, s->dialect, &s->cc, d, &l));
	desc.main = ftl_c_lib_main(l);
	desc.size = ftl_c_lib_size(l);
	for (uint32_t k = 0; k < m->blobs.n; k++)
		blobs[k] = m->blobs.v[k]->data;
	for (uint32_t k = 0; k < m->inputs.n; k++) {
		ins[k] = (ftl_io){.data = in[k].data, .bytes = in[k].bytes};
		memcpy(ins[k].dims, in[k].dims, sizeof ins[k].dims);
	}
	for (uint32_t k = 0; k < m->outputs.n; k++)
		outs[k] = (ftl_io){.data = out[k].data, .bytes = out[k].bytes};
	FTL_TRY(ftl_session_create(&desc, d, &session));
	code = ftl_session_run(session, ins, outs, d);
	for (uint32_t k = 0; k < m->outputs.n; k++)
		memcpy(out[k].dims, outs[k].dims, sizeof out[k].dims);
	ftl_session_free(session);
	return code;
}

static bool have(const char *program)
{
	const char *path = getenv("PATH");
	char name[512];

	for (; path && *path; path += strcspn(path, ":"), path += *path == ':') {
		int n = (int)strcspn(path, ":");

		if (n < 400 && snprintf(name, sizeof name, "%.*s/%s", n, path, program) > 0 && access(name, X_OK) == 0)
			return true;
	}
	return false;
}

static const char *clang(void)
{
	return have("clang-19") ? "clang-19" : have("clang") ? "clang" : NULL;
}

/* Modules first, first + step, ... */
static void all_cases(const char *cc, ftl_c_dialect dialect, const char *const *flags, size_t nflags, bool fma,
		      size_t first, size_t step)
{
	setup s = {.cc = {.cc = cc, .flags = flags, .nflags = nflags}, .dialect = dialect};
	kop_backend b = {
		.exec = exec_c, .user = &s, .no_fma = !fma, .math_close = true, .scalar = dialect == FTL_C_ISO};
	char why[2048];
	int bad = 0;

	for (size_t i = first; i < kop_modules(); i += step) {
		if (!kop_check(i, &b, why, sizeof why)) {
			print_message("%s\n", why);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

#define WARN "-Wall", "-Wextra", "-Werror"

static void gcc_code_equals_the_interpreter(void **state)
{
	static const char *const flags[] = {"-O1", "-march=native", WARN};

	FTL_UNUSED(state);
	if (!have("gcc"))
		skip();
	all_cases("gcc", FTL_C_GNU, flags, FTL_COUNT(flags), false, 0, 1);
}

/* O2 is what makes fma of a * b + c. */
static void gcc_code_for_the_oldest_cpu_and_optimized(void **state)
{
	static const char *const old[] = {"-O2", "-march=x86-64", WARN}, *const native[] = {"-O2", "-march=native",
											    WARN};

	FTL_UNUSED(state);
	if (!have("gcc"))
		skip();
#ifdef __x86_64__
	all_cases("gcc", FTL_C_GNU, old, FTL_COUNT(old), false, 0, 4);
#else
	FTL_UNUSED(old);
#endif
	all_cases("gcc", FTL_C_GNU, native, FTL_COUNT(native), true, 2, 5); /* 7 is fma */
}

static void clang_code_equals_the_interpreter(void **state)
{
	static const char *const flags[] = {"-O1", "-march=native", WARN};

	FTL_UNUSED(state);
	if (!clang())
		skip();
	all_cases(clang(), FTL_C_GNU, flags, FTL_COUNT(flags), true, 1, 2);
}

static void plain_c99_equals_the_interpreter(void **state)
{
	static const char *const flags[] = {"-O1", "-pedantic", WARN};

	FTL_UNUSED(state);
	if (have("gcc"))
		all_cases("gcc", FTL_C_ISO, flags, FTL_COUNT(flags), false, 0, 1);
	if (clang())
		all_cases(clang(), FTL_C_ISO, flags, FTL_COUNT(flags), false, 1, 4);
}

static void code_has_no_undefined_behaviour(void **state)
{
	static const char *const flags[] = {"-O1", "-march=native", "-fsanitize=undefined",
					    "-fno-sanitize-recover=all"};

	FTL_UNUSED(state);
	if (!have("gcc"))
		skip();
	all_cases("gcc", FTL_C_GNU, flags, FTL_COUNT(flags), false, 3, 5);
	all_cases("gcc", FTL_C_ISO, flags, FTL_COUNT(flags), false, 0, 3);
}

/* ---- printing and compiling ---- */

struct fix {
	ftl_arena arena;
	ftl_landing landing;
	ftl_diag d;
};

static int start(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	*state = f;
	ftl_arena_init(&f->arena, NULL, &f->landing, 0);
	return 0;
}

static int stop(void **state)
{
	struct fix *f = *state;

	ftl_arena_free(&f->arena);
	free(f);
	return 0;
}

static ftl_text printed(struct fix *f, ftl_kmodule *m, ftl_c_dialect dialect)
{
	ftl_artifact a;
	ftl_text t;

	assert_int_equal(ftl_artifact_make(&f->arena, m, NULL, FTL_WEIGHTS_AUTO, &f->d, &a), FTL_OK);
	ftl_text_init(&t, &f->arena);
	if (ftl_c_print(&a, dialect, &t, &f->d) != FTL_OK)
		fail_msg("%s", f->d.text);
	ftl_header_print(&a, &t);
	ftl_c_print_exe(&a, &t);
	return t;
}

static void the_same_module_prints_the_same(void **state)
{
	struct fix *f = *state;

	for (int lanes = 1; lanes <= 4; lanes += 3) {
		ftl_text x = printed(f, tiny_module(&f->arena, lanes, 1000, NULL, &f->d), FTL_C_GNU);
		ftl_text y = printed(f, tiny_module(&f->arena, lanes, 1000, NULL, &f->d), FTL_C_GNU);

		assert_int_equal(x.n, y.n);
		assert_memory_equal(x.v, y.v, x.n);
	}
}

static void iso_refuses_vectors(void **state)
{
	struct fix *f = *state;
	ftl_artifact a;
	ftl_text t;

	assert_int_equal(ftl_artifact_make(&f->arena, tiny_module(&f->arena, 4, 0, NULL, &f->d), NULL, FTL_WEIGHTS_AUTO,
					   &f->d, &a),
			 FTL_OK);
	ftl_text_init(&t, &f->arena);
	assert_int_equal(ftl_c_print(&a, FTL_C_ISO, &t, &f->d), FTL_ERR_UNSUPPORTED);
	assert_non_null(strstr(f->d.text, "vectors"));
}

/* The folder in which `f` compiles must be empty again afterwards. */
static void compiler_errors_are_reported_and_leave_nothing(void **state)
{
	static const char *const flags[] = {"-fno-such-flag-anywhere"};
	struct fix *f = *state;
	char dir[] = "c_backend_XXXXXX";
	ftl_cc cc = {.cc = "no-such-compiler-anywhere", .workdir = mkdtemp(dir)};
	ftl_kmodule *m = tiny_module(&f->arena, 1, 0, NULL, &f->d);
	ftl_c_lib *l;

	assert_int_equal(ftl_c_build_shared(&f->arena, m, FTL_C_GNU, &cc, &f->d, &l), FTL_ERR_IO);
	assert_non_null(strstr(f->d.text, "no-such-compiler-anywhere"));
	ftl_diag_clear(&f->d);
	cc = (ftl_cc){.workdir = dir, .flags = flags, .nflags = 1};
	assert_int_equal(ftl_c_build_shared(&f->arena, m, FTL_C_GNU, &cc, &f->d, &l), FTL_ERR_IO);
	assert_non_null(strstr(f->d.text, "no-such-flag"));
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_same_module_prints_the_same, start, stop),
		cmocka_unit_test_setup_teardown(iso_refuses_vectors, start, stop),
		cmocka_unit_test_setup_teardown(compiler_errors_are_reported_and_leave_nothing, start, stop),
		cmocka_unit_test(plain_c99_equals_the_interpreter),
		cmocka_unit_test(gcc_code_equals_the_interpreter),
		cmocka_unit_test(gcc_code_for_the_oldest_cpu_and_optimized),
		cmocka_unit_test(clang_code_equals_the_interpreter),
		cmocka_unit_test(code_has_no_undefined_behaviour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
