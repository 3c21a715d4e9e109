/* base/: status, arena, text, map, files, paths; and every allocation failing once. */
#include "base/arena.h"
#include "base/file.h"
#include "base/status.h"
#include "ir/dtype.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fix {
	ftl_arena arena;
	ftl_landing landing;
	ftl_diag diag;
	char dir[64];
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	*state = f;
	ftl_arena_init(&f->arena, NULL, &f->landing, 0);
	strcpy(f->dir, "/tmp/ftl_test_base_XXXXXX");
	return mkdtemp(f->dir) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fix *f = *state;
	char cmd[128];
	int rc;

	ftl_arena_free(&f->arena);
	snprintf(cmd, sizeof cmd, "rm -rf %s", f->dir);
	rc = system(cmd);
	free(f);
	return rc;
}

static const char *in_dir(struct fix *f, const char *name)
{
	return ftl_arena_printf(&f->arena, "%s/%s", f->dir, name);
}

/* ---- status ---- */

static ftl_status try_it(ftl_diag *d, int n)
{
	FTL_TRY(n ? ftl_fail(d, FTL_ERR_MODEL, "n is %d", n) : FTL_OK);
	return FTL_OK;
}

static void first_error_wins(void **state)
{
	ftl_diag d = {0};

	(void)state;
	assert_int_equal(try_it(&d, 0), FTL_OK);
	assert_int_equal(try_it(&d, 7), FTL_ERR_MODEL);
	assert_int_equal(ftl_fail(&d, FTL_ERR_IO, "later"), FTL_ERR_IO);
	assert_int_equal(d.code, FTL_ERR_MODEL);
	assert_string_equal(d.text, "n is 7");
	ftl_diag_clear(&d);
	assert_int_equal(d.code, FTL_OK);
	assert_int_equal(ftl_fail(NULL, FTL_ERR_IO, "nobody listens"), FTL_ERR_IO);
}

static void error_text_is_tamed_and_cut(void **state)
{
	ftl_diag d = {0};
	char big[3000];

	(void)state;
	ftl_fail(&d, FTL_ERR_MODEL, "node \"\x1b[2J\x7f\"");
	assert_string_equal(d.text, "node \"?[2J?\"");
	ftl_diag_clear(&d);
	/* two-byte characters at every offset: none is cut in half */
	for (size_t off = 0; off < 2; off++) {
		memset(big, 'a', sizeof big);
		for (size_t i = off; i + 1 < sizeof big; i += 2)
			memcpy(big + i, "\xc3\xa9", 2);
		big[sizeof big - 1] = '\0';
		ftl_diag_clear(&d);
		ftl_fail(&d, FTL_ERR_MODEL, "%s", big);
		assert_true(strlen(d.text) >= sizeof d.text - 5);
		assert_string_equal(d.text + strlen(d.text) - 3, "...");
		assert_int_equal((unsigned char)d.text[strlen(d.text) - 4], 0xa9);
	}
}

/* ---- arena ---- */

static void memory_is_zeroed_and_aligned(void **state)
{
	struct fix *f = *state;
	ftl_arena *a = &f->arena;

	for (size_t n = 0; n < 3000; n += 7) {
		unsigned char *p = ftl_arena_alloc(a, n);

		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
	}
	assert_non_null(ftl_arena_alloc(a, (size_t)5 << 20));
	assert_string_equal(ftl_arena_strn(a, "abcdef", 3), "abc");
	assert_string_equal(ftl_arena_printf(a, "%s-%d", "x", 5), "x-5");
	ftl_arena_reset(a);
	assert_int_equal(a->used, 0);
	assert_non_null(ftl_arena_alloc(a, 1));
}

static void limit_and_overflow_jump(void **state)
{
	ftl_landing landing;
	ftl_arena a;
	volatile int which = 0;

	(void)state;
	ftl_arena_init(&a, NULL, &landing, 100000);
	if (setjmp(landing.jump)) {
		assert_int_equal(landing.status, FTL_ERR_LIMIT);
		which++;
	}
	if (which == 0)
		for (;;)
			ftl_arena_alloc(&a, 1000);
	if (which == 1)
		ftl_arena_array(&a, SIZE_MAX / 2, 4);
	if (which == 2)
		ftl_arena_alloc(&a, SIZE_MAX);
	if (which == 3)
		ftl_arena_alloc(&a, 100001);
	assert_int_equal(which, 4);
	assert_true(a.used <= 100000);
	ftl_arena_free(&a);
}

static void note(void *p)
{
	++*(int *)p;
}

struct order {
	char text[8];
};
struct letter {
	struct order *o;
	char c;
};

static void append(void *p)
{
	struct letter *l = p;
	size_t n = strlen(l->o->text);

	l->o->text[n] = l->c;
}

static void cleanups_run_newest_first(void **state)
{
	struct fix *f = *state;
	struct order o = {""};
	struct letter l[3] = {{&o, 'a'}, {&o, 'b'}, {&o, 'c'}};

	for (int i = 0; i < 3; i++)
		ftl_arena_defer(&f->arena, append, &l[i]);
	ftl_arena_reset(&f->arena);
	assert_string_equal(o.text, "cba");
	ftl_arena_reset(&f->arena);
	assert_string_equal(o.text, "cba");
}

static void vectors_grow(void **state)
{
	struct fix *f = *state;
	FTL_VEC(int) v = {0};

	for (int i = 0; i < 10000; i++)
		ftl_vec_push(&f->arena, &v, i * 3);
	assert_int_equal(v.n, 10000);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(v.v[i], i * 3);
}

static void text_grows_and_quotes(void **state)
{
	struct fix *f = *state;
	ftl_text t;

	ftl_text_init(&t, &f->arena);
	assert_string_equal(t.v, "");
	ftl_text_quoted(&t, "a\"\\\n\t\x01\xc3");
	assert_string_equal(t.v, "\"a\\\"\\\\\\n\\t\\x01\\xc3\"");
	for (int i = 0; i < 1000; i++)
		ftl_text_add(&t, "%d,", i);
	ftl_text_bytes(&t, "x\0y", 3);
	assert_int_equal(t.v[t.n], '\0');
	assert_int_equal(t.v[t.n - 1], 'y');
}

static void map_keeps_the_last_value(void **state)
{
	struct fix *f = *state;
	ftl_map *m = ftl_map_new(&f->arena);
	char key[32];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 5000; i++) {
			snprintf(key, sizeof key, "key%d", i);
			ftl_map_set(m, key, (void *)(intptr_t)(i + round));
		}
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof key, "key%d", i);
		assert_int_equal((intptr_t)ftl_map_get(m, key), i + 1);
	}
	assert_null(ftl_map_get(m, "nobody"));
	assert_null(ftl_map_get(m, ""));
	ftl_map_set(m, "", m);
	assert_ptr_equal(ftl_map_get(m, ""), m);
	assert_int_not_equal(ftl_hash("a", 1, 0), ftl_hash("b", 1, 0));
	assert_int_equal(ftl_hash("", 0, 0), 0x2d06800538d394c2); /* XXH3's published value */
}

/* ---- every allocation fails once ---- */

struct failing {
	long left;    /* allocations that still succeed */
	long balance; /* blocks out */
};

static void *fail_alloc(void *user, size_t n)
{
	struct failing *f = user;
	void *p;

	if (f->left-- <= 0)
		return NULL;
	p = malloc(n);
	memset(p, 0xaa, n); /* not zeroed: the arena must do it */
	f->balance++;
	return p;
}

static void fail_free(void *user, void *p)
{
	struct failing *f = user;

	f->balance--;
	free(p);
}

static void use_everything(ftl_arena *a, const char *path, int *closed)
{
	ftl_map *m = ftl_map_new(a);
	FTL_VEC(double) v = {0};
	ftl_file file;
	ftl_text t;
	const int *zero = FTL_NEW_N(a, int, 5000);

	for (int i = 0; i < 5000; i++)
		assert_int_equal(zero[i], 0);
	for (int i = 0; i < 2000; i++) {
		ftl_map_set(m, ftl_arena_printf(a, "%d", i), m);
		ftl_vec_push(a, &v, i);
	}
	ftl_arena_defer(a, note, closed);
	ftl_text_init(&t, a);
	for (int i = 0; i < 3000; i++)
		ftl_text_quoted(&t, "some text");
	assert_int_equal(ftl_file_map(a, path, NULL, &file), FTL_OK);
	ftl_arena_dup(a, file.data, file.size);
}

struct probe {
	struct failing f;
	ftl_landing landing;
	ftl_arena a;
	int closed; /* cleanups run */
};

static void no_failed_allocation_leaks(void **state)
{
	struct fix *f = *state;
	const char *path = in_dir(f, "data");
	struct probe *p = calloc(1, sizeof *p);
	ftl_allocator mem = {fail_alloc, fail_free, &p->f};
	volatile bool done = false;

	assert_int_equal(ftl_file_write(path, "0123456789", 10, NULL), FTL_OK);
	for (volatile long k = 0; !done; k++) {
		p->f = (struct failing){.left = k};
		ftl_arena_init(&p->a, &mem, &p->landing, 0);
		if (setjmp(p->landing.jump)) {
			assert_int_equal(p->landing.status, FTL_ERR_MEMORY);
		} else {
			use_everything(&p->a, path, &p->closed);
			done = true;
		}
		ftl_arena_free(&p->a);
		assert_true(p->closed <= 1 && (!done || p->closed == 1));
		p->closed = 0;
		assert_int_equal(p->f.balance, 0);
		assert_true(k < 1000);
	}
	/* the thing handed to defer is released even when defer itself has no room */
	p->f = (struct failing){.left = 0};
	ftl_arena_init(&p->a, &mem, &p->landing, 0);
	if (!setjmp(p->landing.jump)) {
		ftl_arena_defer(&p->a, note, &p->closed);
		fail();
	}
	assert_int_equal(p->closed, 1);
	ftl_arena_free(&p->a);
	free(p);
}

/* ---- files ---- */

static void files_are_written_whole_and_mapped(void **state)
{
	struct fix *f = *state;
	const char *path = in_dir(f, "x"), *link = in_dir(f, "link");
	char *big = calloc(1, 100000);
	struct stat st;
	ftl_file m;

	assert_int_equal(ftl_file_write(path, "", 0, &f->diag), FTL_OK);
	assert_int_equal(ftl_file_map(&f->arena, path, &f->diag, &m), FTL_OK);
	assert_int_equal(m.size, 0);
	assert_non_null(m.data);
	ftl_file_forget(m.data, m.size);

	memset(big, 'z', 100000);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(ftl_file_write_spans(link, (ftl_span[]){{"head", 4}, {big, 100000}}, 2, &f->diag), FTL_OK);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(ftl_file_map(&f->arena, path, &f->diag, &m), FTL_OK);
	assert_int_equal(m.size, 100004);
	assert_memory_equal(m.data, "headzzz", 7);
	ftl_file_forget(m.data, m.size);
	assert_int_equal(m.data[100003], 'z');
	free(big);
	assert_int_equal(ftl_file_write("/dev/null", "x", 1, &f->diag), FTL_OK);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

static void file_errors_are_told(void **state)
{
	struct fix *f = *state;
	const char *fifo = in_dir(f, "fifo");
	ftl_file m;

	assert_int_equal(ftl_file_map(&f->arena, in_dir(f, "none"), &f->diag, &m), FTL_ERR_IO);
	assert_non_null(strstr(f->diag.text, "No such file"));
	ftl_diag_clear(&f->diag);
	assert_int_equal(ftl_file_map(&f->arena, f->dir, &f->diag, &m), FTL_ERR_IO);
	assert_non_null(strstr(f->diag.text, "folder"));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(ftl_file_map(&f->arena, fifo, NULL, &m), FTL_ERR_IO);
	assert_int_equal(ftl_file_write(f->dir, "x", 1, NULL), FTL_ERR_IO);
	assert_int_equal(ftl_file_write(in_dir(f, "no/such"), "x", 1, NULL), FTL_ERR_IO);
}

static void paths_from_models_stay_inside(void **state)
{
	struct fix *f = *state;
	const char *out, *dir = in_dir(f, "model"), *beside = in_dir(f, "model_evil");
	static const char *const bad[] = {"",       "/etc/passwd", "../x",  "a/../../x", "sub/..", "..",
					  "escape", "escdir/x",    "twice", "sub/../w",  "evil"};
	char *longname = malloc(10000);

	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkdir(beside, 0700), 0);
	assert_int_equal(mkdir(in_dir(f, "model/sub"), 0700), 0);
	assert_int_equal(ftl_file_write(in_dir(f, "x"), "x", 1, NULL), FTL_OK);
	assert_int_equal(ftl_file_write(in_dir(f, "model_evil/x"), "x", 1, NULL), FTL_OK);
	assert_int_equal(ftl_file_write(in_dir(f, "model/w"), "x", 1, NULL), FTL_OK);
	assert_int_equal(ftl_file_write(in_dir(f, "model/sub/w"), "x", 1, NULL), FTL_OK);
	assert_int_equal(symlink("../x", in_dir(f, "model/escape")), 0);
	assert_int_equal(symlink("..", in_dir(f, "model/escdir")), 0);
	assert_int_equal(symlink("escape", in_dir(f, "model/twice")), 0);
	assert_int_equal(symlink("../model_evil/x", in_dir(f, "model/evil")), 0);
	assert_int_equal(symlink("sub/w", in_dir(f, "model/fine")), 0);
	assert_int_equal(symlink(dir, in_dir(f, "alias")), 0);
	for (size_t i = 0; i < FTL_COUNT(bad); i++) {
		ftl_diag_clear(&f->diag);
		if (ftl_path_inside(&f->arena, dir, bad[i], &f->diag, &out) != FTL_ERR_MODEL)
			fail_msg("let through: %s", bad[i]);
		assert_null(out);
	}
	assert_int_equal(ftl_path_inside(&f->arena, dir, "w", &f->diag, &out), FTL_OK);
	assert_int_equal(ftl_path_inside(&f->arena, dir, "./sub//w", &f->diag, &out), FTL_OK);
	assert_int_equal(ftl_path_inside(&f->arena, dir, "fine", &f->diag, &out), FTL_OK);
	assert_non_null(strstr(out, "/model/sub/w"));
	assert_int_equal(ftl_path_inside(&f->arena, in_dir(f, "alias"), "w", &f->diag, &out), FTL_OK);
	assert_int_equal(ftl_path_inside(&f->arena, "/", "tmp", &f->diag, &out), FTL_OK);
	assert_int_equal(ftl_path_inside(&f->arena, dir, "missing", NULL, &out), FTL_ERR_IO);
	memset(longname, 'n', 9999);
	longname[9999] = '\0';
	assert_int_equal(ftl_path_inside(&f->arena, dir, longname, NULL, &out), FTL_ERR_MODEL);
	free(longname);
	assert_string_equal(ftl_path_dir(&f->arena, "a/b/c"), "a/b");
	assert_string_equal(ftl_path_dir(&f->arena, "c"), ".");
	assert_string_equal(ftl_path_dir(&f->arena, "/c"), "/");
	assert_string_equal(ftl_path_join(&f->arena, "a", "b"), "a/b");
	assert_string_equal(ftl_path_join(&f->arena, "a/", "b"), "a/b");
	assert_string_equal(ftl_path_join(&f->arena, "a", "/b"), "/b");
}

/* ---- element types ---- */

static void dtypes_come_from_the_table(void **state)
{
	(void)state;
	for (int t = 1; t < FTL_DTYPE_COUNT; t++) {
		const char *s = ftl_dtype_name((ftl_dtype)t);

		assert_int_equal(ftl_dtype_parse(s, strlen(s)), t);
	}
	assert_int_equal(ftl_dtype_parse("f3", 2), FTL_NO_DTYPE);
	assert_int_equal(ftl_dtype_parse("f32x", 4), FTL_NO_DTYPE);
	assert_string_equal(ftl_dtype_name(FTL_NO_DTYPE), "?");
	assert_int_equal(ftl_dtype_bytes(FTL_BF16), 2);
	assert_int_equal(ftl_dtype_bytes(FTL_BOOL), 1);
	assert_int_equal(ftl_dtype_compute(FTL_BF16), FTL_F32);
	assert_true(ftl_dtype_is_int(FTL_U8) && !ftl_dtype_is_int(FTL_BOOL) && !ftl_dtype_is_signed(FTL_U8));
}

static void halves_round_to_nearest_even(void **state)
{
	(void)state;
	for (uint32_t h = 0; h < 65536; h++) {
		float f = ftl_f16_to_f32((uint16_t)h);
		float b = ftl_bf16_to_f32((uint16_t)h);

		if (isnan(f))
			assert_true(isnan(ftl_f16_to_f32(ftl_f32_to_f16(f))));
		else
			assert_int_equal(ftl_f32_to_f16(f), h);
		if (isnan(b))
			assert_true(isnan(ftl_bf16_to_f32(ftl_f32_to_bf16(b))));
		else
			assert_int_equal(ftl_f32_to_bf16(b), h);
		/* halfway to the next, and just beside: even wins, then the nearer */
		if ((h & 0x7fff) < 0x7bff) {
			float next = ftl_f16_to_f32((uint16_t)(h + 1)), mid = (f + next) / 2;

			assert_int_equal(ftl_f32_to_f16(mid), h & 1 ? h + 1 : h);
			assert_int_equal(ftl_f32_to_f16(nextafterf(mid, f)), h);
			assert_int_equal(ftl_f32_to_f16(nextafterf(mid, next)), h + 1);
		}
	}
	assert_int_equal(ftl_f32_to_f16(65519.f), 0x7bff);
	assert_int_equal(ftl_f32_to_f16(65520.f), 0x7c00);
	assert_int_equal(ftl_f32_to_f16(-INFINITY), 0xfc00);
	assert_int_equal(ftl_f32_to_bf16(3.4e38f), 0x7f80);
	assert_int_equal(ftl_f32_to_bf16(1.00390625f), 0x3f80);
	assert_int_equal(ftl_f32_to_bf16(1.01171875f), 0x3f82);
}

int main(void)
{
#define T_(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T_(first_error_wins),
		T_(error_text_is_tamed_and_cut),
		T_(memory_is_zeroed_and_aligned),
		T_(limit_and_overflow_jump),
		T_(cleanups_run_newest_first),
		T_(vectors_grow),
		T_(text_grows_and_quotes),
		T_(map_keeps_the_last_value),
		T_(no_failed_allocation_leaks),
		T_(files_are_written_whole_and_mapped),
		T_(file_errors_are_told),
		T_(paths_from_models_stay_inside),
		T_(dtypes_come_from_the_table),
		T_(halves_round_to_nearest_even),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
