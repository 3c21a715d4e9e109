/* What a compiled model looks like from outside: header, weights, threads, errors and the program around .npy files, used
 * from C and C++ by compilers of either kind, with sanitizers; and names from models that try to break out. */
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
#include "base/file.h"
#include "base/npy.h"
#include "tiny.h"

struct fix {
	ftl_arena arena;
	ftl_landing landing;
	ftl_diag d;
	char dir[32];
};

static int start(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	*state = f;
	ftl_arena_init(&f->arena, NULL, &f->landing, 0);
	strcpy(f->dir, "artifact_XXXXXX");
	return mkdtemp(f->dir) ? 0 : -1;
}

/* Run a shell command made of names of our own; its exit status. */
static int shell(struct fix *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int shell(struct fix *f, const char *fmt, ...)
{
	char command[4096];
	va_list ap;
	int status, n = snprintf(command, sizeof command, "cd %s && ", f->dir);

	va_start(ap, fmt);
	vsnprintf(command + n, sizeof command - (size_t)n, fmt, ap);
	va_end(ap);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int stop(void **state)
{
	struct fix *f = *state;
	char command[64];
	int rc;

	ftl_arena_free(&f->arena);
	snprintf(command, sizeof command, "rm -r %s", f->dir);
	rc = system(command);
	free(f);
	return rc;
}

static void ok(struct fix *f, ftl_status_code code)
{
	if (code != FTL_OK)
		fail_msg("%s", f->d.text);
}

static bool have(struct fix *f, const char *program)
{
	return shell(f, "command -v %s >/dev/null", program) == 0;
}

static const char *const compilers[] = {"gcc", "clang-19"};

static ftl_kmodule *tiny(struct fix *f, int lanes, size_t padding, const char *name)
{
	const char *const names[6] = {"x", "m", "y", "count", "n", name};
	ftl_kmodule *m = tiny_module(&f->arena, lanes, padding, names, &f->d);

	if (!m)
		fail_msg("%s", f->d.text);
	return m;
}

static void save(struct fix *f, const char *name, const char *text)
{
	ok(f, ftl_file_write(ftl_path_join(&f->arena, f->dir, name), text, strlen(text), &f->d));
}

/* A program for the model tiny, valid C99 and C++. LOAD: reads weights from a file. */
static const char user[] =
	"#define tiny_THREADS\n"
	"#include \"tiny.h\"\n"
	"#include <stdio.h>\n#include <stdlib.h>\n"
	"#define WANT(c) do { if (!(c)) { printf(\"line %d: %s\\n\", __LINE__, #c); return 1; } } while (0)\n"
	"static int balance;\n"
	"static void *get(void *user, size_t n) { void *p = NULL; (void)user; balance++; return posix_memalign(&p, 64, "
	"n) ? NULL : p; }\n"
	"static void give(void *user, void *p) { (void)user; balance--; free(p); }\n"
	"int main(void)\n{\n"
	"\tstatic tiny_context c;\n\tstatic tiny_threads pool;\n\ttiny_io io;\n\tstatic float x[400], m[101], "
	"y[400];\n\tint64_t rows[100];\n"
	"\tvoid *work, *weights = NULL;\n\tsize_t n = 0;\n\tint k, round;\n"
	"#ifdef LOAD\n"
	"\tFILE *file = fopen(\"tiny.weights\", \"rb\");\n"
	"\tWANT(file);\n\tweights = get(NULL, 1 << 20);\n\tbalance = 0;\n\tn = fread(weights, 1, 1 << 20, "
	"file);\n\tfclose(file);\n"
	"\tWANT(tiny_init(&c, weights, n - 64) == tiny_BAD_WEIGHTS);\n"
	"\t((char *)weights)[8] ^= 1;\n\tWANT(tiny_init(&c, weights, n) == tiny_BAD_WEIGHTS);\n\t((char *)weights)[8] "
	"^= 1;\n"
	"\tWANT(tiny_init(&c, NULL, 0) == tiny_BAD_WEIGHTS);\n"
	"#endif\n"
	"\tWANT(tiny_init(&c, weights, n) == 0);\n"
	"\tfor (k = 0; k < 400; k++)\n\t\tx[k] = (float)(k - 20);\n"
	"\tfor (k = 0; k < 101; k++)\n\t\tm[k] = (float)k * 0.5f;\n"
	"\tmemset(&io, 0, sizeof io);\n"
	"\tio.dims.n = 100;\n\tio.x = x;\n\tio.m = m;\n\tio.y = y;\n\tio.y_bytes = sizeof y;\n\tio.count = "
	"rows;\n\tio.count_bytes = sizeof rows;\n"
	"\tWANT(tiny_workspace_size(&io.dims) >= 1600 && tiny_workspace_size(&io.dims) < 1 << 20);\n"
	"\tWANT(tiny_output_bytes(&io.dims, 0) == 1600 && tiny_output_bytes(&io.dims, 1) == (size_t)-1 && "
	"tiny_output_bytes(&io.dims, 2) == (size_t)-1);\n"
	"\twork = get(NULL, tiny_workspace_size(&io.dims));\n\tbalance = 0;\n"
	"\tfor (round = 0; round < 20; round++) {\n"
	"\t\tif (round == 10)\n\t\t\tWANT(tiny_threads_start(&pool, &c, 4) >= 1);\n"
	"\t\tmemset(y, 0, sizeof y);\n\t\tio.y_bytes = sizeof y;\n\t\tio.count_bytes = sizeof rows;\n"
	"\t\tWANT(tiny_run(&c, &io, work) == 0);\n"
	"\t\tfor (k = 0; k < 400; k++) {\n"
	"\t\t\tstatic const float w[4] = {1, -2, 0.5f, 3};\n"
	"\t\t\tWANT(y[k] == x[k] * w[k % 4] + m[k / 4]);\n\t\t}\n"
	"\t\tWANT(io.y == y && io.y_bytes == 1600 && io.y_dims[0] == 100 && io.y_dims[1] == 4);\n"
	"\t\tWANT(io.count_dims[0] > 50 && io.count_bytes == 8 * (size_t)io.count_dims[0] && rows[0] == 5);\n"
	"\t}\n"
	"\ttiny_threads_stop(&pool);\n\tc.parallel = NULL;\n"
	/* memory */
	"\tio.y_bytes = 1599;\n\tWANT(tiny_run(&c, &io, work) == tiny_SMALL_OUTPUT);\n"
	"\tio.y_bytes = sizeof y;\n\tio.count = NULL;\n\tWANT(tiny_run(&c, &io, work) == tiny_NO_MEMORY);\n"
	"\tc.alloc = get;\n\tc.free = give;\n"
	"\tWANT(tiny_run(&c, &io, work) == 0 && io.count && io.count[0] == 5 && balance == 1);\n"
	"\ttiny_free(&c, io.count);\n\tWANT(balance == 0);\n\tio.count = NULL;\n"
	/* errors: of the program and of a kernel, the latter behind an allocation that must be given back */
	"\tio.dims.n = 101;\n\tk = tiny_run(&c, &io, work);\n\tWANT(k > 1 && strstr(tiny_error(k), \"at most 100 ?\\?/ "
	"\\\\ %s\"));\n"
	"\tio.dims.n = 100;\n\tx[8] = 666;\n\tio.y = NULL;\n\tk = tiny_run(&c, &io, work);\n"
	"\tWANT(k > 1 && strcmp(tiny_error(k), \"a row is 666\") == 0 && !io.y && balance == 0);\n\tx[8] = 0;\n\tio.y "
	"= y;\n"
	"\tio.dims.n = -1;\n\tWANT(tiny_run(&c, &io, work) == tiny_BAD_DIMS && tiny_workspace_size(&io.dims) == "
	"(size_t)-1);\n"
	"\tio.dims.n = INT64_MAX;\n\tWANT(tiny_run(&c, &io, work) == tiny_BAD_DIMS);\n"
	"\tio.dims.n = 0;\n\tWANT(tiny_run(&c, &io, work) == 0 && io.count_dims[0] == 0);\n\ttiny_free(&c, "
	"io.count);\n\tio.count = NULL;\n"
	"\tio.dims.n = 1;\n\tWANT(tiny_run(&c, &io, (char *)work + 8) == tiny_BAD_ARGUMENT);\n"
	"\tio.x = NULL;\n\tWANT(tiny_run(&c, &io, work) == tiny_BAD_ARGUMENT && tiny_run(NULL, &io, work) == "
	"tiny_BAD_ARGUMENT);\n"
	"\tWANT(strcmp(tiny_error(12345), \"unknown error\") == 0 && balance == 0);\n"
	"\tfree(work);\n\tfree(weights);\n\treturn 0;\n}\n";

static void emit(struct fix *f, ftl_kmodule *m, ftl_c_dialect dialect, ftl_weights_mode weights)
{
	ftl_c_options o = {.dialect = dialect, .weights = weights};

	ok(f, ftl_c_emit(m, &o, f->dir, &f->d));
}

static void the_header_is_used_from_c(void **state)
{
	struct fix *f = *state;

	save(f, "user.c", user);
	for (int iso = 0; iso < 2; iso++) {
		for (int file = 0; file < 2; file++) {
			emit(f, tiny(f, iso ? 1 : 4, 5000, "tiny"), iso ? FTL_C_ISO : FTL_C_GNU,
			     file ? FTL_WEIGHTS_FILE : FTL_WEIGHTS_EMBED);
			for (size_t c = 0; c < FTL_COUNT(compilers); c++) {
				if (!have(f, compilers[c]))
					continue;
				assert_int_equal(shell(f,
						       "%s %s -O2 -Wall -Wextra -Werror -D_POSIX_C_SOURCE=200809L %s "
						       "user.c tiny.c -o user -lm -pthread",
						       compilers[c], iso ? "-std=c99 -pedantic" : "-std=gnu11",
						       file ? "-DLOAD" : ""),
						 0);
				assert_int_equal(shell(f, "./user"), 0);
			}
		}
	}
}

static void the_header_is_used_from_cxx(void **state)
{
	struct fix *f = *state;

	if (!have(f, "g++"))
		skip();
	save(f, "user.cc", user);
	emit(f, tiny(f, 4, 5000, "tiny"), FTL_C_GNU, FTL_WEIGHTS_EMBED);
	assert_int_equal(shell(f, "cc -O1 -c tiny.c && g++ -O1 -Wall -Wextra -Werror -pedantic user.cc tiny.o -o user "
				  "-lm -pthread && ./user"),
			 0);
}

static void sanitizers_find_nothing(void **state)
{
	struct fix *f = *state;

	save(f, "user.c", user);
	for (size_t c = 0; c < FTL_COUNT(compilers); c++) {
		if (!have(f, compilers[c]))
			continue;
		for (int iso = 0; iso < 2; iso++) {
			emit(f, tiny(f, iso ? 1 : 4, 5000, "tiny"), iso ? FTL_C_ISO : FTL_C_GNU, FTL_WEIGHTS_EMBED);
			assert_int_equal(shell(f,
					       "%s -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all "
					       "user.c tiny.c -o user -lm -pthread",
					       compilers[c]),
					 0);
			assert_int_equal(shell(f, "./user"), 0);
			if (iso)
				continue;
			assert_int_equal(shell(f, "%s -g -O1 -fsanitize=thread user.c tiny.c -o user -lm -pthread",
					       compilers[c]),
					 0);
			/* some kernels' address layouts are not for this sanitizer */
			if (shell(f, "./user >out 2>&1") != 0 &&
			    shell(f, "grep -q 'unexpected memory mapping' out") != 0)
				fail_msg("thread sanitizer: see %s/out", f->dir);
		}
	}
}

static void two_models_live_in_one_program(void **state)
{
	struct fix *f = *state;

	emit(f, tiny(f, 4, 0, "one"), FTL_C_GNU, FTL_WEIGHTS_EMBED);
	emit(f, tiny(f, 1, 9, "two"), FTL_C_GNU, FTL_WEIGHTS_EMBED);
	save(f, "user.c",
	     "#define one_THREADS\n#define two_THREADS\n#include \"one.h\"\n#include \"two.h\"\n"
	     "int main(void)\n{\n\tone_context a;\n\ttwo_context b;\n\n\treturn one_init(&a, NULL, 0) || two_init(&b, "
	     "NULL, 0) ||\n"
	     "\t\ttwo_init(&b, one_weights, 1 << 20) != two_BAD_WEIGHTS;\n}\n");
	assert_int_equal(shell(f, "cc -Wall -Wextra -Werror -pthread user.c one.c two.c -o user -lm && ./user"), 0);
}

/* A library exports what the header declares and nothing else, and has no writable data. */
static void only_the_documented_symbols_are_exported(void **state)
{
	struct fix *f = *state;

	emit(f, tiny(f, 4, 5000, "tiny"), FTL_C_GNU, FTL_WEIGHTS_EMBED);
	assert_int_equal(
		shell(f,
		      "cc -O1 -c tiny.c && nm -g --defined-only tiny.o | cut -d' ' -f3 | sort | tr '\\n' ' ' >symbols"),
		0);
	assert_int_equal(shell(f, "test \"$(cat symbols)\" = 'tiny_main tiny_size tiny_weights '"), 0);
	assert_int_equal(shell(f, "nm tiny.o | grep -E ' [BbDdCc] '"), 1);
}

static void weights_are_embedded_up_to_a_limit(void **state)
{
	struct fix *f = *state;
	ftl_artifact a;

	ok(f,
	   ftl_artifact_make(&f->arena, tiny(f, 1, FTL_EMBED_LIMIT - 1000, "tiny"), NULL, FTL_WEIGHTS_AUTO, &f->d, &a));
	assert_true(a.embed);
	ok(f, ftl_artifact_make(&f->arena, tiny(f, 1, FTL_EMBED_LIMIT, "tiny"), NULL, FTL_WEIGHTS_AUTO, &f->d, &a));
	assert_false(a.embed);
}

/* ---- names ---- */

static void hostile_names_stay_names(void **state)
{
	static const char *const hostile[][6] = {
		{"*/ int main(void){return 1;} /*", "\\", "\"\n#error x\n", "%s%n", "n;}//", "a/../../etc\n*/\nint x"},
		{"int", "int", "INT", "dims", "while", "main"},
		{"x", "x", "x", "x_bytes", "x", "x"},
		{"", "", "", "", "none", ""},
		{"\xff\xfe", "?\?/", "?\?=", "a?\?/\n", "\xc3\xa9", "??"},
		{"0", "1", "2", "3", "4", "5"},
		{"input.1", "input_1", "input-1", "input 1", "input 1", "NULL"},
		{"in", "out", "run", "code", "bad", "ftl_run"},
		{"__x__", "_X", "_", "call", "_n", "__model"},
	};
	struct fix *f = *state;

	for (size_t k = 0; k < FTL_COUNT(hostile); k++) {
		ftl_kmodule *m = tiny_module(&f->arena, 4, 16, hostile[k], &f->d);
		ftl_artifact a;
		ftl_text t;

		assert_non_null(m);
		m->kernels.v[1]->note = hostile[k][1];
		m->main->note = hostile[k][0];
		emit(f, m, FTL_C_GNU, k % 2 ? FTL_WEIGHTS_FILE : FTL_WEIGHTS_EMBED);
		ok(f, ftl_artifact_make(&f->arena, m, NULL, k % 2 ? FTL_WEIGHTS_FILE : FTL_WEIGHTS_EMBED, &f->d, &a));
		ftl_text_init(&t, &f->arena);
		ftl_c_print_exe(&a, &t);
		save(f, "exe.c", t.v);
		for (size_t c = 0; c < FTL_COUNT(compilers); c++) {
			if (have(f, compilers[c]))
				assert_int_equal(shell(f,
						       "%s -std=c11 -trigraphs -Wall -Wextra -Werror -Wno-trigraphs "
						       "-pthread exe.c %s.c -o exe -lm",
						       compilers[c], a.name),
						 0);
		}
		/* it says how it is used, and is not something else */
		assert_int_equal(shell(f, "./exe >out 2>&1"), 2);
		assert_int_equal(shell(f, "grep -q '^inputs:' out"), 0);
	}
}

static void identifiers_are_c(void **state)
{
	struct fix *f = *state;

	assert_string_equal(ftl_c_identifier(&f->arena, "a.b-c"), "a_b_c");
	assert_string_equal(ftl_c_identifier(&f->arena, "9x"), "m9x");
	assert_string_equal(ftl_c_identifier(&f->arena, "for"), "for_");
	assert_string_equal(ftl_c_identifier(&f->arena, "//"), "model");
	assert_string_equal(ftl_c_identifier(&f->arena, NULL), "model");
	assert_string_equal(ftl_c_identifier(&f->arena, "__x__y__"), "x_y");
	assert_int_equal(strlen(ftl_c_identifier(
				 &f->arena,
				 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")) <=
				 63,
			 1);
}

/* ---- programs ---- */

static void write_input(struct fix *f, const char *name, int rank, int64_t rows, float first)
{
	float *v = FTL_NEW_N(&f->arena, float, (size_t)rows * 4 + 1);
	ftl_npy a = {.descr = "f4", .rank = rank, .dims = {rank == 2 ? rows : rows + 1, 4}, .data = v};

	a.bytes = (size_t)(rank == 2 ? rows * 4 : rows + 1) * 4;
	for (int64_t k = 0; k < rows * 4 + 1; k++)
		v[k] = (float)k + first;
	ok(f, ftl_npy_write(ftl_path_join(&f->arena, f->dir, name), &a, &f->d));
}

static void check_outputs(struct fix *f, int64_t rows)
{
	static const float w[4] = {1, -2, 0.5f, 3};
	ftl_npy y, count;

	ok(f, ftl_npy_read(&f->arena, ftl_path_join(&f->arena, f->dir, "y.npy"), &f->d, &y));
	ok(f, ftl_npy_read(&f->arena, ftl_path_join(&f->arena, f->dir, "count.npy"), &f->d, &count));
	assert_int_equal(y.rank, 2);
	assert_int_equal(y.dims[0], rows);
	assert_int_equal(y.dims[1], 4);
	for (int64_t k = 0; k < rows * 4; k++)
		assert_true(((const float *)y.data)[k] == ((float)k + 1) * w[k % 4] + (float)(k / 4) + 2);
	assert_int_equal(count.dims[0], rows);
	assert_string_equal(count.descr, "i8");
}

static void a_program_runs_npy_files(void **state)
{
	static const char *const flags[] = {
		"-O1",     "-g",     "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall",
		"-Wextra", "-Werror"};
	struct fix *f = *state;

	write_input(f, "x.npy", 2, 7, 1);
	write_input(f, "m.npy", 1, 7, 2);
	for (size_t c = 0; c < FTL_COUNT(compilers); c++) {
		for (int file = 0; file < 2; file++) {
			ftl_c_options o = {.dialect = file ? FTL_C_ISO : FTL_C_GNU,
					   .weights = file ? FTL_WEIGHTS_FILE : FTL_WEIGHTS_EMBED};
			ftl_cc cc = {.cc = compilers[c], .flags = flags, .nflags = FTL_COUNT(flags), .workdir = f->dir};

			if (!have(f, compilers[c]))
				continue;
			ok(f, ftl_c_emit_exe(&f->arena, tiny(f, file ? 1 : 4, 100, "tiny"), &o, &cc,
					     ftl_path_join(&f->arena, f->dir, "tiny"), &f->d));
			assert_int_equal(shell(f, "./tiny x=x.npy m=m.npy"), 0);
			check_outputs(f, 7);
			assert_int_equal(shell(f, "rm y.npy count.npy; ./tiny --threads 3 --output . m=m.npy x=x.npy"),
					 0);
			check_outputs(f, 7);
			assert_int_equal(shell(f, "./tiny x=x.npy 2>out"), 2);
			assert_int_equal(shell(f, "./tiny x=x.npy m=x.npy 2>out"), 1);
			assert_int_equal(shell(f, "./tiny x=x.npy m=no.npy 2>out"), 1);
			assert_int_equal(shell(f, "head -c 100 x.npy >cut.npy; ./tiny x=cut.npy m=m.npy 2>out"), 1);
			assert_int_equal(shell(f, "tail -c 200 x.npy >cut.npy; ./tiny x=cut.npy m=m.npy 2>out"), 1);
			assert_int_equal(shell(f, "./tiny x=x.npy m=m.npy --bogus 2>out"), 2);
			if (file) {
				assert_int_equal(shell(f, "mv tiny.weights w; ./tiny x=x.npy m=m.npy 2>out"), 1);
				assert_int_equal(shell(f, "./tiny --weights w x=x.npy m=m.npy"), 0);
				assert_int_equal(shell(f, "./tiny --weights x.npy x=x.npy m=m.npy 2>out"), 1);
			}
		}
	}
}

/* ---- the boundary ---- */

/* Text without comments, and every stretch of white space as one space. */
static char *squeezed(ftl_arena *arena, const char *s, size_t n)
{
	char *out = ftl_arena_alloc(arena, n + 2), *p = out;

	for (size_t k = 0; k < n; k++) {
		if (k + 1 < n && s[k] == '/' && s[k + 1] == '*') {
			for (k += 2; k + 1 < n && !(s[k] == '*' && s[k + 1] == '/'); k++)
				continue;
			k++;
			continue;
		}
		if (strchr(" \t\n", s[k])) {
			if (p != out && p[-1] != ' ')
				*p++ = ' ';
		} else {
			*p++ = s[k];
		}
	}
	*p = '\0';
	return out;
}

static void the_printed_boundary_is_abi_h(void **state)
{
	struct fix *f = *state;
	const char *source = getenv("SOURCE");
	char *want, *got, *end;
	ftl_file abi;
	ftl_text t;

	if (!source)
		skip();
	ok(f, ftl_file_map(&f->arena, ftl_path_join(&f->arena, source, "runtime/include/runtime/abi.h"), &f->d, &abi));
	want = squeezed(&f->arena, (const char *)abi.data, abi.size);
	end = strstr(want, "#include"); /* the header includes these itself */
	memmove(end, strstr(want, "#define FTL_ABI_VERSION"), strlen(strstr(want, "#define FTL_ABI_VERSION")) + 1);
	ftl_text_init(&t, &f->arena);
	ftl_abi_print(&t);
	got = squeezed(&f->arena, t.v, t.n);
	end = strstr(got, " #if FTL_ABI_VERSION");
	assert_non_null(end);
	end[1] = '\0';
	assert_string_equal(got, want);
}

#define T_(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T_(identifiers_are_c),
		T_(the_printed_boundary_is_abi_h),
		T_(weights_are_embedded_up_to_a_limit),
		T_(the_header_is_used_from_c),
		T_(the_header_is_used_from_cxx),
		T_(two_models_live_in_one_program),
		T_(only_the_documented_symbols_are_exported),
		T_(hostile_names_stay_names),
		T_(a_program_runs_npy_files),
		T_(sanitizers_find_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
