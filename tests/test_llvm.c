/* The LLVM backend against the interpreter, and what comes out of it: objects, levels, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/llvm.h"
#include "kop_cases.h"
#include "runtime/session.h"

/* How a backend is set up for a run of all cases. */
typedef struct setup {
	ftl_llvm_options options;
	ftl_pool *pool;
} setup;

/* Through a session, as the product does it. */
static ftl_status run_session(const ftl_kmodule *m, ftl_main_fn main, ftl_size_fn size, ftl_pool *pool,
			      ftl_arena *arena, const ftl_karg_tensor *in, ftl_karg_tensor *out, ftl_diag *d)
{
	const void **blobs = FTL_NEW_N(arena, const void *, m->blobs.n + 1);
	ftl_io *ins = FTL_NEW_N(arena, ftl_io, m->inputs.n + 1), *outs = FTL_NEW_N(arena, ftl_io, m->outputs.n + 1);
	ftl_session_desc desc = {.main = main,
				 .size = size,
				 .blobs = blobs,
				 .nin = m->inputs.n,
				 .nout = m->outputs.n,
				 .msgs = m->msgs.v,
				 .nmsgs = m->msgs.n,
				 .pool = pool};
	ftl_session *s;
	ftl_status_code code;

	for (uint32_t k = 0; k < m->blobs.n; k++)
		blobs[k] = m->blobs.v[k]->data;
	for (uint32_t k = 0; k < m->inputs.n; k++) {
		ins[k] = (ftl_io){.data = in[k].data, .bytes = in[k].bytes};
		memcpy(ins[k].dims, in[k].dims, sizeof ins[k].dims);
	}
	for (uint32_t k = 0; k < m->outputs.n; k++)
		outs[k] = (ftl_io){.data = out[k].data, .bytes = out[k].bytes};
	FTL_TRY(ftl_session_create(&desc, d, &s));
	code = ftl_session_run(s, ins, outs, d);
	for (uint32_t k = 0; k < m->outputs.n; k++)
		memcpy(out[k].dims, outs[k].dims, sizeof out[k].dims);
	ftl_session_free(s);
	return code;
}

static ftl_status exec_jit(void *user, const ftl_kmodule *m, ftl_arena *arena, const ftl_karg_tensor *in,
			   ftl_karg_tensor *out, ftl_diag *d)
{
	setup *s = user;
	ftl_jit *j;
	ftl_status_code code;

	FTL_TRY(ftl_jit_create(m, &s->options, d, &j));
	code = run_session(m, ftl_jit_main(j), ftl_jit_size(j), s->pool, arena, in, out, d);
	ftl_jit_free(j);
	return code;
}

static bool host_runs(const char *level)
{
	static const char *const order[] = {"sse2", "avx2", "avx512"};
	int have = -1, want = -1;

	for (int i = 0; i < 3; i++) {
		if (strcmp(order[i], ftl_llvm_host_level()) == 0)
			have = i;
		if (strcmp(order[i], level) == 0)
			want = i;
	}
	return want >= 0 && want <= have;
}

/* A backend that is wrong in one bit of the last output. */
static ftl_status exec_wrong(void *user, const ftl_kmodule *m, ftl_arena *arena, const ftl_karg_tensor *in,
			     ftl_karg_tensor *out, ftl_diag *d)
{
	FTL_UNUSED(user);
	FTL_TRY(ftl_kmodule_interpret(m, arena, in, out, d));
	((uint8_t *)out[m->outputs.n - 1].data)[0] ^= 1;
	return FTL_OK;
}

static void the_driver_notices_one_wrong_bit(void **state)
{
	kop_backend b = {.exec = exec_wrong};
	char why[512];

	FTL_UNUSED(state);
	for (size_t i = 0; i < 4; i++)
		assert_false(kop_check(i, &b, why, sizeof why));
}

/* Every `step`th module. */
static void all_cases(setup *s, bool no_fma, size_t step)
{
	kop_backend b = {.exec = exec_jit, .user = s, .no_fma = no_fma, .math_close = true};
	char why[512];
	int bad = 0;

	s->options.verify = true;
	for (size_t i = 0; i < kop_modules(); i += step) {
		if (!kop_check(i, &b, why, sizeof why)) {
			print_message("%s\n", why);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

static void native_code_equals_the_interpreter(void **state)
{
	setup s = {.options = {.threads = 2}};
	ftl_diag d = {0};

	FTL_UNUSED(state);
	assert_int_equal(ftl_pool_create(2, &d, &s.pool), FTL_OK);
	all_cases(&s, false, 1);
	ftl_pool_free(s.pool);
}

static void avx2_code_equals_the_interpreter(void **state)
{
	setup s = {.options = {.cpu = "avx2"}};

	FTL_UNUSED(state);
	if (!host_runs("avx2"))
		skip();
	all_cases(&s, false, 1);
}

static void sse2_code_equals_the_interpreter(void **state)
{
	setup s = {.options = {.cpu = "sse2"}};

	FTL_UNUSED(state);
	if (!host_runs("sse2"))
		skip();
	all_cases(&s, true, 1);
}

static void quick_code_equals_the_interpreter(void **state)
{
	setup s = {.options = {.quick = true}};

	FTL_UNUSED(state);
	all_cases(&s, false, 3);
}

/* ---- ahead of time ---- */

/* Every test below gets an arena to work in. */
static void in_arena(void (*test)(ftl_arena *arena))
{
	ftl_arena arena;
	ftl_landing pad;

	ftl_arena_init(&arena, NULL, &pad, 0);
	if (setjmp(pad.jump) != 0)
		fail_msg("out of memory");
	test(&arena);
	ftl_arena_free(&arena);
}

static ftl_kmodule *some_module(ftl_arena *arena, const char *name)
{
	kop_backend b = {0};
	ftl_diag d = {0};

	for (size_t i = 0; i < kop_modules(); i++) {
		ftl_kmodule *m = kop_module(arena, i, &b, &d);

		assert_non_null(m);
		if (strcmp(m->name, name) == 0)
			return m;
	}
	fail_msg("no module %s", name);
	return NULL;
}

static void do_every_target_makes_every_kind(ftl_arena *arena)
{
	static const struct {
		const char *triple, *cpu;
	} targets[] = {{NULL, NULL},
		       {"x86_64-linux-gnu", "sse2"},
		       {"x86_64-linux-gnu", "avx512vnni"},
		       {"aarch64-linux-gnu", NULL},
		       {"aarch64-linux-gnu", "neoverse-v1"},
		       {"riscv64-linux-gnu", NULL}};
	static const char *const modules[] = {"program",  "dots", "cast_f16",    "cast_f64",
					      "partials", "pow",  "kernel_error"};
	const void *bytes;
	size_t n;

	for (size_t k = 0; k < FTL_COUNT(modules); k++) {
		ftl_kmodule *m = some_module(arena, modules[k]);

		for (size_t t = 0; t < FTL_COUNT(targets); t++) {
			ftl_llvm_options o = {
				.triple = targets[t].triple, .cpu = targets[t].cpu, .prefix = "net", .verify = true};
			ftl_diag d = {0};

			for (int kind = FTL_LLVM_OBJECT; kind <= FTL_LLVM_TEXT; kind++) {
				if (ftl_llvm_emit(m, &o, (ftl_llvm_kind)kind, arena, &d, &bytes, &n) != FTL_OK)
					fail_msg("%s for %s %s: %s", m->name, targets[t].triple, targets[t].cpu,
						 d.text);
				assert_true(n > 100);
				if (kind != FTL_LLVM_OBJECT)
					assert_non_null(strstr(bytes, "net_main"));
				/* half precision must not need a compiler's run-time library */
				if (kind == FTL_LLVM_ASM) {
					assert_null(strstr(bytes, "__truncsfhf2"));
					assert_null(strstr(bytes, "__extendhfsf2"));
				}
			}
		}
	}
}

static void every_target_makes_every_kind(void **state)
{
	FTL_UNUSED(state);
	in_arena(do_every_target_makes_every_kind);
}

static void do_output_is_reproducible(ftl_arena *arena)
{
	const void *a, *b;
	size_t na, nb;
	ftl_diag d = {0};
	ftl_kmodule *m;

	m = some_module(arena, "program");
	assert_int_equal(ftl_llvm_emit(m, NULL, FTL_LLVM_OBJECT, arena, &d, &a, &na), FTL_OK);
	assert_int_equal(ftl_llvm_emit(m, NULL, FTL_LLVM_OBJECT, arena, &d, &b, &nb), FTL_OK);
	assert_int_equal(na, nb);
	assert_memory_equal(a, b, na);
}

static void output_is_reproducible(void **state)
{
	FTL_UNUSED(state);
	in_arena(do_output_is_reproducible);
}

static void do_bad_options_are_errors(ftl_arena *arena)
{
	static const ftl_llvm_options bad[] = {{.cpu = "pentium"},
					       {.triple = "x86_64-linux-gnu", .cpu = "neon"},
					       {.triple = "aarch64-linux-gnu", .cpu = "avx2"},
					       {.triple = "vax-dec-ultrix"},
					       {.features = "avx2"},
					       {.features = "+x y"},
					       {.triple = "riscv64-linux-gnu", .cpu = "znver4"}};
	const void *bytes;
	size_t n;
	ftl_kmodule *m;

	m = some_module(arena, "program");
	for (size_t i = 0; i < FTL_COUNT(bad); i++) {
		ftl_diag d = {0};

		assert_int_equal(ftl_llvm_emit(m, &bad[i], FTL_LLVM_OBJECT, arena, &d, &bytes, &n), FTL_ERR_USAGE);
		assert_true(strlen(d.text) > 10);
	}
}

static void bad_options_are_errors(void **state)
{
	FTL_UNUSED(state);
	in_arena(do_bad_options_are_errors);
}

/* An object with three levels, linked into a shared library by the system's compiler, picks one that runs here. */
static void do_an_object_with_levels_dispatches(ftl_arena *arena)
{
	static const char driver[] =
		"#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include \"runtime/abi.h\"\n"
		"int64_t net_main(ftl_run *); int64_t net_size(const ftl_run *);\n"
		"int main(void) { static int32_t x[4096], y[4096], sum[256], blob[256]; const void *blobs[] = {blob};\n"
		"static ftl_io in[64], out[1]; ftl_run run = {.in = in, .out = out, .blobs = blobs, .alloc = 0};\n"
		"for (int i = 0; i < 64; i++) { in[i].data = i % 3 == 1 ? y : x; in[i].bytes = 16384; in[i].dims[0] = "
		"4096; }\n"
		"for (int i = 0; i < 4096; i++) { x[i] = i; y[i] = 2 * i; }\n"
		"for (int i = 0; i < 256; i++) blob[i] = 3;\n"
		"out[0].data = sum; out[0].bytes = sizeof sum; run.workspace = aligned_alloc(64, net_size(&run) + "
		"64);\n"
		"if (net_main(&run) != FTL_RUN_NO_MEMORY) return 2;\n"
		"out[0].bytes = 8; if (net_main(&run) != FTL_RUN_SMALL_OUTPUT) return 3; free(run.workspace); return "
		"0; }\n";
	ftl_llvm_level levels[3] = {{.cpu = "avx512"}, {.cpu = "avx2"}, {.cpu = "sse2"}};
	ftl_llvm_options o = {.triple = "x86_64-linux-gnu", .prefix = "net", .verify = true};
	char dir[] = "/tmp/ftl-llvm-XXXXXX", path[64], cmd[1024];
	const char *source = getenv("SOURCE"), *cc = getenv("CC");
	const void *bytes;
	size_t n;
	ftl_diag d = {0};
	FILE *f;

	if (!host_runs("sse2") || !source || !cc)
		skip();
	for (int i = 0; i < 3; i++)
		levels[i].module = some_module(arena, "program");
	if (ftl_llvm_emit_levels(levels, 3, &o, FTL_LLVM_OBJECT, arena, &d, &bytes, &n) != FTL_OK)
		fail_msg("%s", d.text);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/net.o", dir);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
	snprintf(path, sizeof path, "%s/driver.c", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(driver, f);
	fclose(f);
	snprintf(cmd, sizeof cmd, "%s -std=c11 -I%s/runtime/include %s/driver.c %s/net.o -lm -o %s/run && %s/run", cc,
		 source, dir, dir, dir, dir);
	assert_int_equal(WEXITSTATUS(system(cmd)), 0);
	snprintf(cmd, sizeof cmd, "rm -r %s", dir);
	assert_int_equal(system(cmd), 0);
}

static void an_object_with_levels_dispatches(void **state)
{
	FTL_UNUSED(state);
	in_arena(do_an_object_with_levels_dispatches);
}

/* ---- speed: the code of a register-tiled product must keep its accumulators in registers ---- */

static ftl_kmodule *gemm_module(ftl_arena *arena, int rows, int vectors, int lanes)
{
	ftl_kmodule *m = ftl_kmodule_new(arena, ftl_symtab_new(arena), "gemm");
	ftl_ktype v = FTL_KT(FTL_F32, lanes);
	ftl_kv a, bp, c, k, acc[64], bv[8], x, at;
	ftl_kscope s;
	ftl_kb b, main;

	m->vector_bytes = 4 * lanes;
	ftl_kb_init(&b, arena, ftl_kfunc_new(arena, "gemm", false));
	a = ftl_kb_param(&b, FTL_KT_PTR);
	bp = ftl_kb_param(&b, FTL_KT_PTR);
	c = ftl_kb_param(&b, FTL_KT_PTR);
	k = ftl_kb_param(&b, FTL_KT_I64);
	for (int i = 0; i < rows * vectors; i++)
		acc[i] = ftl_k_var(&b, ftl_k_float(&b, v, 0));
	s = ftl_k_for(&b, ftl_k_i64(&b, 0), k, 1);
	for (int j = 0; j < vectors; j++) {
		at = ftl_k2(&b, FTL_K_mul, s.index, ftl_k_i64(&b, vectors * lanes));
		bv[j] = ftl_k_load(&b, FTL_F32, bp, ftl_k2(&b, FTL_K_add, at, ftl_k_i64(&b, j * lanes)), lanes);
	}
	for (int i = 0; i < rows; i++) {
		at = ftl_k2(&b, FTL_K_add, ftl_k2(&b, FTL_K_mul, s.index, ftl_k_i64(&b, rows)), ftl_k_i64(&b, i));
		x = ftl_k_splat(&b, ftl_k_load(&b, FTL_F32, a, at, 1), lanes);
		for (int j = 0; j < vectors; j++)
			ftl_k_set(&b, acc[i * vectors + j],
				  ftl_k_fma(&b, x, bv[j], ftl_k_get(&b, acc[i * vectors + j])));
	}
	ftl_k_end(&b, &s);
	for (int i = 0; i < rows * vectors; i++)
		ftl_k_store(&b, c, ftl_k_i64(&b, i * lanes), ftl_k_get(&b, acc[i]));
	ftl_vec_push(arena, &m->kernels, b.f);
	m->main = ftl_kfunc_new(arena, "main", true);
	ftl_kb_init(&main, arena, m->main);
	return m;
}

static void do_register_tiles_do_not_spill(ftl_arena *arena)
{
	static const struct {
		const char *cpu;
		int rows, vectors, lanes;
	} tiles[] = {{"avx512", 12, 2, 16},         {"avx512", 14, 2, 16}, {"avx512", 6, 4, 16},
		     {"skylake-avx512", 12, 2, 16}, {"avx2", 6, 2, 8},     {"avx2", 4, 3, 8}};
	const void *text;
	size_t n;
	ftl_diag d = {0};

	for (size_t i = 0; i < FTL_COUNT(tiles); i++) {
		ftl_kmodule *m = gemm_module(arena, tiles[i].rows, tiles[i].vectors, tiles[i].lanes);
		ftl_llvm_options o = {.triple = "x86_64-linux-gnu", .cpu = tiles[i].cpu, .verify = true};
		int fmas = 0;

		assert_int_equal(ftl_llvm_emit(m, &o, FTL_LLVM_ASM, arena, &d, &text, &n), FTL_OK);
		assert_null(strstr(text, "(%rsp)"));
		for (const char *p = text; (p = strstr(p, "vfmadd")); p++)
			fmas++;
		assert_true(fmas >= tiles[i].rows * tiles[i].vectors);
	}
}

static void register_tiles_do_not_spill(void **state)
{
	FTL_UNUSED(state);
	in_arena(do_register_tiles_do_not_spill);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_driver_notices_one_wrong_bit),
		cmocka_unit_test(native_code_equals_the_interpreter),
		cmocka_unit_test(avx2_code_equals_the_interpreter),
		cmocka_unit_test(sse2_code_equals_the_interpreter),
		cmocka_unit_test(quick_code_equals_the_interpreter),
		cmocka_unit_test(every_target_makes_every_kind),
		cmocka_unit_test(output_is_reproducible),
		cmocka_unit_test(bad_options_are_errors),
		cmocka_unit_test(an_object_with_levels_dispatches),
		cmocka_unit_test(register_tiles_do_not_spill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
