/* The public API, as a program that embeds fettle uses it: on all backends, with faulty calls, and with memory limits of
 * every size. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fettle/fettle.h>

enum { MAX_ROWS = 5 };

static const char *model_path(void)
{
	static char path[1024];

	snprintf(path, sizeof path, "%s/tests/data/tiny/model.onnx", getenv("SOURCE"));
	return path;
}

static fettle_model *load(const fettle_load_options *o)
{
	fettle_model *m = NULL;
	fettle_error e;

	if (fettle_model_load(model_path(), o, &e, &m) != FETTLE_OK)
		fail_msg("%s", e.text);
	return m;
}

/* What make_tiny.py says the model computes. */
static void reference(const float *x, size_t rows, float scale, float *y, int64_t *best)
{
	static const float b[3] = {0.5f, -0.25f, 0.125f};

	for (size_t r = 0; r < rows; r++) {
		best[r] = 0;
		for (int j = 0; j < 3; j++) {
			float sum = b[j];

			for (int k = 0; k < 4; k++)
				sum += x[r * 4 + (size_t)k] * ((float)(k * 3 + j) - 5) / 4;
			y[r * 3 + (size_t)j] = sum * scale > 0 ? sum * scale : 0;
			if (y[r * 3 + (size_t)j] > y[r * 3 + (size_t)best[r]])
				best[r] = j;
		}
	}
}

static fettle_tensor rows_of(float *x, int64_t rows)
{
	for (int64_t i = 0; i < rows * 4; i++)
		x[i] = (float)((i * 7 + rows) % 5 - 2) / 2;
	return (fettle_tensor){
		.dtype = FETTLE_F32, .rank = 2, .dims = {rows, 4}, .data = x, .bytes = (size_t)rows * 16};
}

static void check_run(fettle_session *s, int64_t rows)
{
	float x[MAX_ROWS * 4], y[MAX_ROWS * 3];
	int64_t best[MAX_ROWS];
	fettle_tensor in = rows_of(x, rows), out[2] = {{0}};
	fettle_error e;

	if (fettle_session_run(s, &in, out, &e) != FETTLE_OK)
		fail_msg("%s", e.text);
	reference(x, (size_t)rows, 2, y, best);
	assert_string_equal(out[0].name, "y");
	assert_int_equal(out[0].dtype, FETTLE_F32);
	assert_int_equal(out[0].rank, 2);
	assert_int_equal(out[0].dims[0], rows);
	assert_int_equal(out[0].dims[1], 3);
	assert_int_equal(out[0].bytes, rows * 12);
	for (int64_t i = 0; i < rows * 3; i++)
		assert_true(fabsf(((float *)out[0].data)[i] - y[i]) < 1e-5f);
	assert_int_equal(out[1].dtype, FETTLE_I64);
	for (int64_t i = 0; i < rows; i++)
		assert_int_equal(((int64_t *)out[1].data)[i], best[i]);
}

static void runs_on_backend(fettle_backend backend)
{
	fettle_model *m = load(NULL);
	fettle_compile_options o = {.backend = backend};
	fettle_session_options so = {.threads = 2};
	fettle_program *p = NULL;
	fettle_session *s[2] = {NULL};
	fettle_error e;

	if (fettle_compile(m, &o, &e, &p) != FETTLE_OK)
		fail_msg("%s", e.text);
	fettle_model_free(m); /* a program keeps what it needs */
	for (int i = 0; i < 2; i++)
		assert_int_equal(fettle_session_create(p, &so, &e, &s[i]), FETTLE_OK);
	assert_int_equal(fettle_program_input_count(p), 1);
	assert_int_equal(fettle_program_output_count(p), 2);
	fettle_program_free(p); /* and so does a session */
	for (int64_t rows = MAX_ROWS; rows >= 0; rows--)
		check_run(s[rows % 2], rows);
	fettle_session_free(s[0]);
	check_run(s[1], 3);
	fettle_session_free(s[1]);
}

static void runs_by_jit(void **state)
{
	(void)state;
	runs_on_backend(FETTLE_JIT);
}

static void runs_by_c_compiler(void **state)
{
	(void)state;
	runs_on_backend(FETTLE_C);
}

static void runs_by_interpreter(void **state)
{
	(void)state;
	runs_on_backend(FETTLE_INTERP);
}

static void ports_say_what_the_model_takes(void **state)
{
	fettle_model *m = load(NULL);
	const fettle_port *x = fettle_model_input(m, 0), *y = fettle_model_output(m, 0);

	(void)state;
	assert_string_equal(x->name, "x");
	assert_int_equal(x->dtype, FETTLE_F32);
	assert_int_equal(x->rank, 2);
	assert_int_equal(x->dims[0], -1);
	assert_int_equal(x->dims[1], 4);
	assert_string_equal(x->dim_text[0], "?batch");
	assert_string_equal(y->name, "y");
	assert_null(fettle_model_input(m, 1));
	assert_null(fettle_model_output(m, 2));
	fettle_model_free(m);
}

static void shapes_bounds_and_overridable_initializers(void **state)
{
	const char *shape = "x=3x4", *dim = "batch=1..7", *scale = "scale";
	fettle_load_options o = {.shapes = &shape, .n_shapes = 1};
	fettle_model *m = load(&o);
	fettle_error e;

	(void)state;
	assert_int_equal(fettle_model_input(m, 0)->dims[0], 3);
	assert_int_equal(fettle_model_output(m, 1)->dims[0], 3);
	fettle_model_free(m);
	o = (fettle_load_options){.dims = &dim, .n_dims = 1, .overridable = &scale, .n_overridable = 1};
	m = load(&o);
	assert_int_equal(fettle_model_input_count(m), 2);
	assert_int_equal(fettle_model_input(m, 0)->dim_max[0], 7);
	fettle_model_free(m);
	dim = "bacth=1..7";
	assert_int_equal(fettle_model_load(model_path(), &o, &e, &m), FETTLE_ERR_USAGE);
	assert_non_null(strstr(e.text, "open dims: batch"));
}

static void loads_from_memory(void **state)
{
	FILE *f = fopen(model_path(), "rb");
	char data[4096];
	fettle_model *m = NULL;
	fettle_error e;
	size_t n;

	(void)state;
	assert_non_null(f);
	n = fread(data, 1, sizeof data, f);
	fclose(f);
	assert_int_equal(fettle_model_load_memory(data, n, "tiny", NULL, NULL, &e, &m), FETTLE_OK);
	assert_int_equal(fettle_model_input_count(m), 1);
	fettle_model_free(m);
	for (size_t cut = 0; cut < n; cut += 7) {
		assert_int_not_equal(fettle_model_load_memory(data, cut, "cut", NULL, NULL, &e, &m), FETTLE_OK);
		assert_null(m);
		assert_true(e.text[0] != '\0');
	}
}

static void faulty_calls_are_errors(void **state)
{
	static const char *const shapes[] = {"x",     "=1",    "x=",     "x=1x", "x=ax4", "x=99999999999999999999x4",
					     "y=1x4", "x=1x5", "x=1x4x1"};
	fettle_model *m = NULL;
	fettle_program *p = NULL;
	fettle_session *s = NULL;
	fettle_compile_options o = {.backend = FETTLE_INTERP};
	fettle_error e;
	float x[8] = {0};
	fettle_tensor in = {.dtype = FETTLE_F32, .rank = 2, .dims = {2, 4}, .data = x, .bytes = sizeof x},
		      out[2] = {{0}};

	(void)state;
	assert_int_equal(fettle_model_load("no/such.onnx", NULL, &e, &m), FETTLE_ERR_IO);
	assert_non_null(strstr(e.text, "no/such.onnx"));
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		fettle_load_options lo = {.shapes = &shapes[i], .n_shapes = 1};

		if (fettle_model_load(model_path(), &lo, &e, &m) == FETTLE_OK)
			fail_msg("accepted %s", shapes[i]);
		assert_null(m);
	}
	m = load(NULL);
	o.backend = (fettle_backend)17;
	assert_int_equal(fettle_compile(m, &o, &e, &p), FETTLE_ERR_USAGE);
	o = (fettle_compile_options){.cpu = "z80"};
	assert_int_equal(fettle_compile(m, &o, &e, &p), FETTLE_ERR_USAGE);
	for (int backend = FETTLE_JIT; backend <= FETTLE_INTERP; backend += 2) {
		o = (fettle_compile_options){.backend = (fettle_backend)backend};
		assert_int_equal(fettle_compile(m, &o, &e, &p), FETTLE_OK);
		assert_int_equal(fettle_session_create(p, NULL, &e, &s), FETTLE_OK);
		in.dtype = FETTLE_I32;
		assert_int_equal(fettle_session_run(s, &in, out, &e), FETTLE_ERR_MODEL);
		in.dtype = FETTLE_F32;
		in.rank = 1;
		assert_int_equal(fettle_session_run(s, &in, out, &e), FETTLE_ERR_MODEL);
		in.rank = 2;
		in.dims[0] = 3; /* more than there are bytes */
		assert_int_equal(fettle_session_run(s, &in, out, &e), FETTLE_ERR_USAGE);
		in.dims[0] = INT64_MAX;
		assert_int_equal(fettle_session_run(s, &in, out, &e), FETTLE_ERR_USAGE);
		in.dims[0] = 1;
		in.dims[1] = 5; /* not what the model says */
		assert_int_equal(fettle_session_run(s, &in, out, &e), FETTLE_ERR_MODEL);
		assert_non_null(strstr(e.text, "\"x\""));
		in.dims[0] = 2;
		in.dims[1] = 4;
		assert_int_equal(fettle_session_run(s, &in, out, NULL), FETTLE_OK);
		fettle_session_free(s);
		fettle_program_free(p);
		memset(out, 0, sizeof out);
	}
	fettle_model_free(m);
	fettle_model_free(NULL);
	fettle_program_free(NULL);
	fettle_session_free(NULL);
	fettle_tensors_free(NULL);
}

static void output_memory_of_the_caller(void **state)
{
	fettle_model *m = load(NULL);
	fettle_program *p = NULL;
	fettle_session *s = NULL;
	fettle_error e;
	float x[MAX_ROWS * 4], y[6] = {0}, want[6];
	int64_t best[2], want_best[2];
	fettle_tensor in = rows_of(x, 2),
		      out[2] = {{.data = y, .bytes = sizeof y}, {.data = best, .bytes = sizeof best}};

	(void)state;
	assert_int_equal(fettle_compile(m, NULL, &e, &p), FETTLE_OK);
	assert_int_equal(fettle_session_create(p, NULL, &e, &s), FETTLE_OK);
	assert_int_equal(fettle_session_run(s, &in, out, &e), FETTLE_OK);
	assert_ptr_equal(out[0].data, y);
	reference(x, 2, 2, want, want_best);
	for (int i = 0; i < 6; i++)
		assert_true(fabsf(y[i] - want[i]) < 1e-5f);
	assert_int_equal(best[1], want_best[1]);
	out[0].bytes = 5 * sizeof *y;
	assert_int_equal(fettle_session_run(s, &in, out, &e), FETTLE_ERR_USAGE);
	fettle_session_free(s);
	fettle_program_free(p);
	fettle_model_free(m);
}

static void count_passes(void *user, fettle_model *m, const fettle_pass_info *info)
{
	assert_non_null(info->pass);
	assert_int_equal(fettle_model_input_count(m), 1);
	++*(int *)user;
}

static void optimizing(void **state)
{
	fettle_model *m = load(NULL);
	int passes = 0;
	fettle_optimize_options o = {.after = count_passes, .user = &passes};
	fettle_error e;

	(void)state;
	assert_int_equal(fettle_optimize(m, &o, &e), FETTLE_OK);
	assert_true(passes > 3);
	o = (fettle_optimize_options){.passes = "no-such-pass"};
	assert_int_equal(fettle_optimize(m, &o, &e), FETTLE_ERR_USAGE);
	assert_non_null(strstr(e.text, "no-such-pass"));
	/* and the model is as good as before */
	assert_int_equal(fettle_optimize(m, NULL, &e), FETTLE_OK);
	fettle_model_free(m);
}

static void collect(void *user, const char *text, size_t n)
{
	*(size_t *)user += n;
	assert_true(n == 0 || text != NULL);
}

static void text_of_all_stages(void **state)
{
	static const fettle_artifact kinds[] = {FETTLE_EMIT_IR, FETTLE_EMIT_KERNELS, FETTLE_EMIT_LLVM};
	fettle_model *m = load(NULL);
	fettle_error e;
	size_t n;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		n = 0;
		assert_int_equal(fettle_emit_text(m, kinds[i], NULL, collect, &n, &e), FETTLE_OK);
		assert_true(n > 200);
	}
	n = 0;
	assert_int_equal(fettle_emit_text(m, FETTLE_EMIT_SHARED, NULL, collect, &n, &e), FETTLE_ERR_USAGE);
	for (int json = 0; json < 2; json++) {
		fettle_inspect_options o = {.json = json, .why = "all", .why_not = "all"};

		n = 0;
		assert_int_equal(fettle_inspect(m, &o, collect, &n, &e), FETTLE_OK);
		assert_true(n > 100);
	}
	fettle_model_free(m);
}

/* Every limit ends in success or in a limit error; nothing crashes, and (under a sanitizer) nothing leaks. */
static void memory_limits_of_all_sizes(void **state)
{
	size_t loaded = 0, compiled = 0;

	(void)state;
	for (uint64_t limit = 1; limit < (uint64_t)8 << 20; limit += limit / 16 + 64) {
		fettle_load_options o = {.max_memory = limit};
		fettle_compile_options co = {.backend = FETTLE_INTERP};
		fettle_model *m = NULL;
		fettle_program *p = NULL;
		fettle_error e;
		fettle_status rc = fettle_model_load(model_path(), &o, &e, &m);

		if (rc == FETTLE_OK) {
			loaded++;
			rc = fettle_optimize(m, NULL, &e);
		}
		if (rc == FETTLE_OK)
			rc = fettle_compile(m, &co, &e, &p);
		assert_true(rc == FETTLE_OK || rc == FETTLE_ERR_LIMIT);
		compiled += rc == FETTLE_OK;
		fettle_program_free(p);
		fettle_model_free(m);
	}
	assert_true(loaded > compiled && compiled > 0);
}

static void tensor_files(void **state)
{
	static const char *const paths[] = {"api_tensors.npz", "api_tensor.npy", "api_tensor.pb"};
	float a[6] = {1, 2, 3, -4, 0.5f, 6e10f};
	uint8_t flags[2] = {1, 0};
	fettle_tensor t[2] = {
		{.name = "a", .dtype = FETTLE_F32, .rank = 2, .dims = {2, 3}, .data = a, .bytes = sizeof a},
		{.name = "flags", .dtype = FETTLE_BOOL, .rank = 1, .dims = {2}, .data = flags, .bytes = 2}};
	fettle_tensors *back = NULL;
	fettle_error e;

	(void)state;
	for (int i = 0; i < 3; i++) {
		size_t n = i == 0 ? 2 : 1;

		assert_int_equal(fettle_tensors_write(paths[i], t, n, &e), FETTLE_OK);
		assert_int_equal(fettle_tensors_read(paths[i], &e, &back), FETTLE_OK);
		assert_int_equal(fettle_tensors_count(back), n);
		for (size_t k = 0; k < n; k++) {
			const fettle_tensor *r = fettle_tensors_get(back, k);

			assert_int_equal(r->dtype, t[k].dtype);
			assert_int_equal(r->rank, t[k].rank);
			assert_int_equal(r->bytes, t[k].bytes);
			assert_memory_equal(r->data, t[k].data, r->bytes);
		}
		assert_null(fettle_tensors_get(back, n));
		fettle_tensors_free(back);
		remove(paths[i]);
	}
	assert_int_equal(fettle_tensors_write("api_tensor.npy", t, 2, &e), FETTLE_ERR_USAGE);
	assert_int_equal(fettle_tensors_read("api_tensor.txt", &e, &back), FETTLE_ERR_USAGE);
	assert_true(fettle_tensor_value(&t[0], 3) == -4);
	fettle_tensor_set(&t[0], 3, 7);
	assert_true(a[3] == 7);
}

static fettle_tensor list_of(fettle_tensor *items, size_t n)
{
	return (fettle_tensor){.kind = FETTLE_SEQUENCE, .items = items, .n_items = n};
}

/* tests/fir/sequences.fir: x, t, s (a sequence), o (an optional sequence), p (an optional tensor) */
static void run_sequences(fettle_backend backend)
{
	float x[6] = {1, 2, 3, 4, 5, 6}, a[3] = {7, 8, 9};
	int64_t trips = 3, seven = 7;
	fettle_tensor tx = {.dtype = FETTLE_F32, .rank = 2, .dims = {2, 3}, .data = x, .bytes = sizeof x};
	fettle_tensor ta = {.dtype = FETTLE_F32, .rank = 2, .dims = {1, 3}, .data = a, .bytes = sizeof a};
	fettle_tensor tt = {.dtype = FETTLE_I64, .data = &trips, .bytes = 8}, tp = tt, items[2] = {ta, tx};
	fettle_tensor in[5], out[5] = {{0}};
	fettle_compile_options co = {.backend = backend};
	fettle_program *p = NULL;
	fettle_session *s = NULL;
	fettle_model *m = NULL;
	char path[1024];
	fettle_error e;

	tp.data = &seven;
	snprintf(path, sizeof path, "%s/tests/fir/sequences.fir", getenv("SOURCE"));
	if (fettle_model_load(path, NULL, &e, &m) != FETTLE_OK || fettle_compile(m, &co, &e, &p) != FETTLE_OK ||
	    fettle_session_create(p, NULL, &e, &s) != FETTLE_OK)
		fail_msg("%s", e.text);
	assert_int_equal(fettle_program_input_count(p), 5);
	assert_int_equal(fettle_program_input(p, 2)->kind, FETTLE_SEQUENCE);
	assert_int_equal(fettle_program_input(p, 2)->rank, -1);
	assert_int_equal(fettle_program_input(p, 3)->kind, FETTLE_OPTIONAL_SEQUENCE);
	assert_int_equal(fettle_program_input(p, 3)->dims[1], 3);
	assert_int_equal(fettle_program_input(p, 4)->kind, FETTLE_OPTIONAL);
	assert_int_equal(fettle_model_output(m, 3)->kind, FETTLE_SEQUENCE);

	/* nothing in the optionals: the loop's sequence is used; a tensor or a sequence is an optional too */
	in[0] = tx;
	in[1] = tt;
	in[2] = list_of(items, 2);
	in[3] = (fettle_tensor){.kind = FETTLE_OPTIONAL_SEQUENCE, .none = true};
	in[4] = tp;
	if (fettle_session_run(s, in, out, &e) != FETTLE_OK)
		fail_msg("%s", e.text);
	assert_int_equal(out[0].dims[0], 6);
	assert_true(fettle_tensor_value(&out[1], 0) == 3);
	assert_true(fettle_tensor_value(&out[2], 0) == 3); /* x + 2 */
	assert_int_equal(out[3].kind, FETTLE_SEQUENCE);
	assert_int_equal(out[3].n_items, 2);
	assert_int_equal(out[3].items[0].dims[0], 1);
	assert_memory_equal(out[3].items[0].data, a, sizeof a);
	assert_memory_equal(out[3].items[1].data, x, sizeof x);
	assert_true(fettle_tensor_value(&out[4], 0) == 1);

	/* an empty sequence, an optional sequence that is there, an optional without element */
	in[2] = list_of(NULL, 0);
	in[3] = list_of(items, 1);
	in[4] = (fettle_tensor){.kind = FETTLE_OPTIONAL, .none = true};
	memset(out, 0, sizeof out);
	if (fettle_session_run(s, in, out, &e) != FETTLE_OK)
		fail_msg("%s", e.text);
	assert_int_equal(out[0].dims[0], 1);
	assert_true(fettle_tensor_value(&out[1], 0) == 1);
	assert_int_equal(out[3].n_items, 0);
	assert_true(fettle_tensor_value(&out[4], 0) == 0);

	/* faults */
	memset(out, 0, sizeof out);
	in[2] = tx;
	assert_int_equal(fettle_session_run(s, in, out, &e), FETTLE_ERR_MODEL);
	in[2] = list_of(&tt, 1);
	assert_int_equal(fettle_session_run(s, in, out, &e), FETTLE_ERR_MODEL);
	in[2] = list_of(items, 2);
	items[1].dims[1] = 4;
	in[3] = list_of(items, 2);
	assert_int_equal(fettle_session_run(s, in, out, &e), FETTLE_ERR_USAGE); /* too few bytes */
	items[1].dims[0] = 1;
	assert_int_equal(fettle_session_run(s, in, out, &e), FETTLE_ERR_MODEL);
	assert_non_null(strstr(e.text, "\"o\""));
	items[1] = tx;
	in[4] = list_of(items, 2);
	assert_int_equal(fettle_session_run(s, in, out, &e), FETTLE_ERR_MODEL);
	in[4] = tp;
	trips = 0; /* nothing to take the last of */
	assert_int_equal(fettle_session_run(s, in, out, &e), FETTLE_ERR_MODEL);
	assert_non_null(strstr(e.text, "outside of the sequence"));
	fettle_session_free(s);
	fettle_program_free(p);
	fettle_model_free(m);
}

static void sequences_go_in_and_out(void **state)
{
	(void)state;
	run_sequences(FETTLE_JIT);
	run_sequences(FETTLE_C);
	run_sequences(FETTLE_INTERP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_by_jit),
		cmocka_unit_test(runs_by_c_compiler),
		cmocka_unit_test(runs_by_interpreter),
		cmocka_unit_test(ports_say_what_the_model_takes),
		cmocka_unit_test(shapes_bounds_and_overridable_initializers),
		cmocka_unit_test(loads_from_memory),
		cmocka_unit_test(faulty_calls_are_errors),
		cmocka_unit_test(output_memory_of_the_caller),
		cmocka_unit_test(optimizing),
		cmocka_unit_test(text_of_all_stages),
		cmocka_unit_test(memory_limits_of_all_sizes),
		cmocka_unit_test(tensor_files),
		cmocka_unit_test(sequences_go_in_and_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
