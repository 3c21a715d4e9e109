/* Thread pool, CPU facts and sessions, with hand-written C functions in the place of compiled code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/cpu.h"
#include "runtime/pool.h"
#include "runtime/session.h"

/* ---- pool ---- */

/* args: counters, one per piece */
static void count_pieces(const ftl_arg *args, ftl_run *run, int64_t begin, int64_t end)
{
	atomic_int *hits = args[0].p;

	FTL_UNUSED(run);
	assert_true(begin < end);
	for (int64_t i = begin; i < end; i++)
		atomic_fetch_add(&hits[i], 1);
}

static void check_counts(ftl_pool *p, int64_t count, int64_t cost)
{
	atomic_int *hits = calloc((size_t)count + 1, sizeof *hits);
	ftl_arg args[1] = {{.p = hits}};
	ftl_run run = {0};

	assert_non_null(hits);
	ftl_pool_run(p, count_pieces, args, &run, count, cost);
	for (int64_t i = 0; i < count; i++)
		assert_int_equal(hits[i], 1);
	assert_int_equal(hits[count], 0);
	free(hits);
}

static void every_piece_runs_once(void **state)
{
	static const int64_t counts[] = {0, 1, 2, 3, 7, 8, 63, 1000, 12345};
	static const int64_t costs[] = {-5, 0, 1, 100, 100000, INT64_MAX / 3};

	FTL_UNUSED(state);
	for (int threads = 1; threads <= 9; threads += 2) {
		ftl_diag d = {0};
		ftl_pool *p;

		assert_int_equal(ftl_pool_create(threads, &d, &p), FTL_OK);
		assert_int_equal(ftl_pool_threads(p), threads);
		for (int round = 0; round < 20; round++) {
			for (size_t i = 0; i < FTL_COUNT(counts); i++)
				for (size_t k = 0; k < FTL_COUNT(costs); k++)
					check_counts(p, counts[i], costs[k]);
		}
		ftl_pool_free(p);
	}
}

struct inner {
	ftl_pool *pool;
	atomic_int hits[64];
};

static void launch_inside(const ftl_arg *args, ftl_run *run, int64_t begin, int64_t end)
{
	struct inner *in = args[0].p;
	ftl_arg inner_args[1] = {{.p = in->hits}};

	for (int64_t i = begin; i < end; i++)
		ftl_pool_run(in->pool, count_pieces, inner_args, run, 64, 100000);
}

static void a_piece_may_launch(void **state)
{
	struct inner in = {0};
	ftl_arg args[1] = {{.p = &in}};
	ftl_run run = {0};
	ftl_diag d = {0};

	FTL_UNUSED(state);
	assert_int_equal(ftl_pool_create(4, &d, &in.pool), FTL_OK);
	ftl_pool_run(in.pool, launch_inside, args, &run, 10, 1000000);
	for (int i = 0; i < 64; i++)
		assert_int_equal(in.hits[i], 10);
	ftl_pool_free(in.pool);
}

static void *launch_many(void *user)
{
	for (int i = 0; i < 300; i++)
		check_counts(user, 500, 1000);
	return NULL;
}

static void several_threads_share_a_pool(void **state)
{
	pthread_t t[3];
	ftl_pool *p;
	ftl_diag d = {0};

	FTL_UNUSED(state);
	assert_int_equal(ftl_pool_create(3, &d, &p), FTL_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, launch_many, p), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	ftl_pool_free(p);
}

static void sleeping_threads_wake_up(void **state)
{
	const struct timespec nap = {.tv_nsec = 3000000};
	ftl_pool *p;
	ftl_diag d = {0};

	FTL_UNUSED(state);
	assert_int_equal(ftl_pool_create(4, &d, &p), FTL_OK);
	for (int i = 0; i < 20; i++) {
		nanosleep(&nap, NULL);
		check_counts(p, 100, 100000);
	}
	ftl_pool_free(p);
}

/* ---- cpu ---- */

static void the_machine_is_known(void **state)
{
	static const char *const levels[] = {"scalar", "sse2", "neon", "avx2", "avx512"};
	ftl_cpu c;
	bool known = false;

	FTL_UNUSED(state);
	ftl_cpu_detect(&c);
	for (size_t i = 0; i < FTL_COUNT(levels); i++)
		known |= strcmp(c.level, levels[i]) == 0;
	assert_true(known);
	assert_true(c.cores >= 1 && c.threads >= 1);
	assert_true(c.l1_bytes >= 4096 && c.l2_bytes >= c.l1_bytes);
	assert_true(ftl_cpu_threads() >= 1);
	assert_true(ftl_memory_total() > 1 << 20);
}

/* ---- sessions ---- */

/* A stand-in program: input 0 is n bytes, output 0 is those bytes + 1, through the workspace. Its behaviour is in dims[1]. */
enum { PLAIN, FAIL_LATE, LEAK, KERNEL_ERROR, BIG_WORKSPACE, BAD_SIZE };

static int64_t toy_size(const ftl_run *run)
{
	if (run->in[0].dims[1] == BAD_SIZE)
		return -3;
	return run->in[0].dims[1] == BIG_WORKSPACE ? INT64_C(1) << 44 : run->in[0].dims[0];
}

static void add_one(const ftl_arg *args, ftl_run *run, int64_t begin, int64_t end)
{
	const uint8_t *from = args[0].p;
	uint8_t *to = args[1].p;

	for (int64_t i = begin; i < end; i++)
		to[i] = (uint8_t)(from[i] + 1);
	if (args[2].i == KERNEL_ERROR)
		__atomic_store_n(&run->error, 4, __ATOMIC_RELAXED); /* as compiled code does: pieces race for it */
}

static int64_t toy_main(ftl_run *run)
{
	int64_t n = run->in[0].dims[0], how = run->in[0].dims[1];
	void *temp = run->alloc(run->user, (size_t)n);
	ftl_arg args[3] = {{.p = run->workspace}, {0}, {.i = how}};

	if (!temp)
		return FTL_RUN_NO_MEMORY;
	memcpy(run->workspace, run->in[0].data, (size_t)n);
	run->out[0].dims[0] = n;
	if (run->out[0].data) {
		if (run->out[0].bytes < (size_t)n)
			return FTL_RUN_SMALL_OUTPUT;
	} else {
		run->out[0].data = run->alloc(run->user, (size_t)n);
		if (!run->out[0].data)
			return FTL_RUN_NO_MEMORY;
		run->out[0].bytes = (size_t)n;
	}
	args[1].p = run->out[0].data;
	if (run->parallel)
		run->parallel(run->user, add_one, args, run, n, 1000);
	else
		add_one(args, run, 0, n);
	if (how == FAIL_LATE)
		return 2;
	if (how != LEAK)
		run->free(run->user, temp);
	return run->error;
}

static const char *const msgs[] = {"", "out of memory", "it went wrong late", "dims are bad", "a piece went wrong"};

static ftl_session *toy(ftl_pool *pool, uint64_t limit)
{
	ftl_session_desc desc = {.main = toy_main,
				 .size = toy_size,
				 .nin = 1,
				 .nout = 1,
				 .msgs = msgs,
				 .nmsgs = FTL_COUNT(msgs),
				 .file = "toy.onnx",
				 .pool = pool,
				 .memory_limit = limit};
	ftl_session *s;
	ftl_diag d = {0};

	assert_int_equal(ftl_session_create(&desc, &d, &s), FTL_OK);
	return s;
}

static ftl_status_code run_toy(ftl_session *s, int64_t n, int64_t how, ftl_io *out, ftl_diag *d)
{
	uint8_t *data = malloc((size_t)n + 1);
	ftl_io in = {.data = data, .bytes = (size_t)n, .dims = {n, how}};
	ftl_status_code code;

	assert_non_null(data);
	memset(data, 41, (size_t)n);
	ftl_diag_clear(d);
	code = ftl_session_run(s, &in, out, d);
	free(data);
	if (code == FTL_OK) {
		assert_int_equal(out->dims[0], n);
		for (int64_t i = 0; i < n; i++)
			assert_int_equal(((uint8_t *)out->data)[i], 42);
		assert_int_equal((uintptr_t)out->data % 16, 0);
	}
	return code;
}

static void runs_reuse_memory(void **state)
{
	ftl_session *s = toy(NULL, 0);
	ftl_io out = {0};
	ftl_diag d = {0};
	uint64_t held;

	FTL_UNUSED(state);
	for (int i = 0; i < 3; i++) {
		out = (ftl_io){0};
		assert_int_equal(run_toy(s, 100000, PLAIN, &out, &d), FTL_OK);
	}
	held = ftl_session_memory(s);
	for (int i = 0; i < 20; i++) {
		out = (ftl_io){0};
		assert_int_equal(run_toy(s, 100000, i % 2 ? PLAIN : LEAK, &out, &d), FTL_OK);
		assert_int_equal(ftl_session_memory(s), held);
	}
	/* changing sizes do not pile up */
	for (int i = 0; i < 50; i++) {
		out = (ftl_io){0};
		assert_int_equal(run_toy(s, 1000 << i % 10, PLAIN, &out, &d), FTL_OK);
	}
	assert_true(ftl_session_memory(s) < 8000000);
	ftl_session_trim(s);
	assert_true(ftl_session_memory(s) >= out.bytes && ftl_session_memory(s) < out.bytes + 4096);
	ftl_session_free(s);
}

static void outputs_can_be_given_and_taken(void **state)
{
	ftl_session *s = toy(NULL, 0);
	uint8_t mine[256];
	ftl_io out = {.data = mine, .bytes = sizeof mine};
	ftl_diag d = {0};

	FTL_UNUSED(state);
	assert_int_equal(run_toy(s, 256, PLAIN, &out, &d), FTL_OK);
	assert_ptr_equal(out.data, mine);
	assert_false(ftl_session_take(s, mine));
	assert_int_equal(run_toy(s, 257, PLAIN, &out, &d), FTL_ERR_USAGE);
	assert_ptr_equal(out.data, mine);
	out = (ftl_io){0};
	assert_int_equal(run_toy(s, 300, PLAIN, &out, &d), FTL_OK);
	assert_true(ftl_session_take(s, out.data));
	assert_false(ftl_session_take(s, out.data));
	ftl_session_free(s);
	assert_int_equal(((uint8_t *)out.data)[299], 42);
	ftl_session_release(out.data);
}

static void errors_have_text_and_leave_nothing(void **state)
{
	ftl_session *s = toy(NULL, 1 << 20);
	ftl_io out = {0};
	ftl_diag d = {0};

	FTL_UNUSED(state);
	assert_int_equal(run_toy(s, 1000, FAIL_LATE, &out, &d), FTL_ERR_MODEL);
	assert_string_equal(d.text, "toy.onnx: it went wrong late");
	assert_null(out.data);
	assert_true(ftl_session_memory(s) <= 1000);
	assert_int_equal(run_toy(s, 1000, KERNEL_ERROR, &out, &d), FTL_ERR_MODEL);
	assert_string_equal(d.text, "toy.onnx: a piece went wrong");
	assert_null(out.data);
	assert_int_equal(run_toy(s, 1000, BAD_SIZE, &out, &d), FTL_ERR_MODEL);
	assert_string_equal(d.text, "toy.onnx: dims are bad");
	assert_int_equal(run_toy(s, 1000, BIG_WORKSPACE, &out, &d), FTL_ERR_LIMIT);
	assert_int_equal(run_toy(s, 500000, PLAIN, &out, &d), FTL_ERR_LIMIT);
	assert_non_null(strstr(d.text, "memory limit"));
	assert_null(out.data);
	assert_int_equal(run_toy(s, 300000, PLAIN, &out, &d), FTL_OK); /* and it goes on working */
	ftl_session_free(s);
}

static void sessions_share_a_pool(void **state)
{
	ftl_pool *p;
	ftl_diag d = {0};
	ftl_session *s[3];

	FTL_UNUSED(state);
	assert_int_equal(ftl_pool_create(3, &d, &p), FTL_OK);
	for (int i = 0; i < 3; i++)
		s[i] = toy(p, 0);
	for (int k = 0; k < 50; k++) {
		ftl_io out = {0};

		assert_int_equal(run_toy(s[k % 3], 5000, PLAIN, &out, &d), FTL_OK);
		out = (ftl_io){0};
		assert_int_equal(run_toy(s[k % 3], 5000, KERNEL_ERROR, &out, &d), FTL_ERR_MODEL);
	}
	for (int i = 0; i < 3; i++)
		ftl_session_free(s[i]);
	ftl_pool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_piece_runs_once),          cmocka_unit_test(a_piece_may_launch),
		cmocka_unit_test(several_threads_share_a_pool),   cmocka_unit_test(sleeping_threads_wake_up),
		cmocka_unit_test(the_machine_is_known),           cmocka_unit_test(runs_reuse_memory),
		cmocka_unit_test(outputs_can_be_given_and_taken), cmocka_unit_test(errors_have_text_and_leave_nothing),
		cmocka_unit_test(sessions_share_a_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
