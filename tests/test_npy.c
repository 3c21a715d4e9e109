/* .npy and .npz: what is written reads back, NumPy's variants are understood, broken files are refused. */
#include "base/file.h"
#include "base/npy.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fix {
	ftl_arena arena;
	ftl_landing landing;
	ftl_diag diag;
	char path[64];
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);
	int fd;

	*state = f;
	ftl_arena_init(&f->arena, NULL, &f->landing, (size_t)1 << 28);
	strcpy(f->path, "/tmp/ftl_test_npy_XXXXXX");
	fd = mkstemp(f->path);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	ftl_arena_free(&f->arena);
	unlink(f->path);
	free(f);
	return 0;
}

/* A version 1 file with this header text and n bytes of data. */
static ftl_status_code read_with(struct fix *f, const char *header, const void *data, size_t n, ftl_npy *out)
{
	size_t len = strlen(header);
	uint8_t head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)(len & 255), (uint8_t)(len >> 8)};

	ftl_diag_clear(&f->diag);
	assert_int_equal(ftl_file_write_spans(f->path, (ftl_span[]){{head, 10}, {header, len}, {data, n}}, 3, NULL),
			 FTL_OK);
	return ftl_npy_read(&f->arena, f->path, &f->diag, out);
}

static void arrays_read_back(void **state)
{
	static const char *const descr[] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8",
					    "u1", "u2", "u4", "u8", "b1", "V1", "V2"};
	struct fix *f = *state;
	char data[8 * 24] = {0};
	ftl_npy b;

	for (size_t i = 0; i < FTL_COUNT(descr); i++) {
		size_t elem = (size_t)(descr[i][1] - '0');

		for (size_t k = 0; k < sizeof data; k++)
			data[k] = descr[i][0] == 'b' ? (char)(k & 1) : (char)(k * 7 + i);
		for (int rank = 0; rank <= FTL_NPY_MAX_RANK; rank++) {
			ftl_npy a = {.rank = rank, .data = data};

			memcpy(a.descr, descr[i], 3);
			for (int k = 0; k < rank; k++)
				a.dims[k] = k < 3 ? k + 2 : 1;
			a.bytes = elem * (rank == 0 ? 1 : rank == 1 ? 2 : rank == 2 ? 6 : 24);
			assert_int_equal(ftl_npy_write(f->path, &a, &f->diag), FTL_OK);
			assert_int_equal(ftl_npy_read(&f->arena, f->path, &f->diag, &b), FTL_OK);
			assert_string_equal(b.descr, a.descr);
			assert_int_equal(b.rank, rank);
			assert_memory_equal(b.dims, a.dims, sizeof a.dims);
			assert_int_equal(b.bytes, a.bytes);
			assert_memory_equal(b.data, data, a.bytes);
			assert_int_equal((uintptr_t)b.data % 64, 0);
		}
	}
}

static void empty_arrays_read_back(void **state)
{
	struct fix *f = *state;
	ftl_npy a = {.descr = "f4", .rank = 3, .dims = {4, 0, 7}}, b;

	assert_int_equal(ftl_npy_write(f->path, &a, &f->diag), FTL_OK);
	assert_int_equal(ftl_npy_read(&f->arena, f->path, &f->diag, &b), FTL_OK);
	assert_int_equal(b.bytes, 0);
	assert_int_equal(b.dims[2], 7);
}

static void numpy_variants_are_understood(void **state)
{
	struct fix *f = *state;
	const uint16_t big[6] = {0x0100, 0x0200, 0x0300, 0x0400, 0x0500, 0x0600};
	const uint16_t want[6] = {1, 2, 3, 4, 5, 6}, turned[6] = {1, 3, 5, 2, 4, 6};
	const uint8_t odd[4] = {0, 1, 2, 255}, norm[4] = {0, 1, 1, 1};
	ftl_npy a;

	/* header lengths that leave the data unaligned, too */
	assert_int_equal(read_with(f, "{\"shape\":(6,),'descr':'>u2','fortran_order':False}", big, 12, &a), FTL_OK);
	assert_memory_equal(a.data, want, 12);
	assert_int_equal(read_with(f, "{'descr': '<u2', 'fortran_order': True, 'shape': (2L, 3L), } ", want, 12, &a),
			 FTL_OK);
	assert_memory_equal(a.data, turned, 12);
	assert_int_equal(read_with(f, "{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3)}", big, 12, &a), FTL_OK);
	assert_memory_equal(a.data, turned, 12);
	assert_int_equal(read_with(f, "{'descr': '|b1', 'fortran_order': False, 'shape': (4,)}\n", odd, 4, &a), FTL_OK);
	assert_memory_equal(a.data, norm, 4);
	assert_int_equal(read_with(f, "{'descr': '=u2', 'fortran_order': False, 'shape': ()}", want, 12, &a), FTL_OK);
	assert_int_equal(a.rank, 0);
	assert_int_equal(a.bytes, 2);
	assert_int_equal((uintptr_t)a.data % 2, 0);
}

static void broken_headers_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"}",
		"{}",
		"[1]",
		"{'descr': '<f4', 'fortran_order': False}",
		"{'descr': '<f4', 'shape': (1,)}",
		"{'fortran_order': False, 'shape': (1,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}",
		"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
		"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,4)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296)}",
		"{'descr': '<f4', 'fortran_order': True, 'shape': (9223372036854775807,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1,",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
		"{'descr': '<f3', 'fortran_order': False, 'shape': (1,)}",
		"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
		"{'descr': 'f4', 'fortran_order': False, 'shape': (1,)}",
		"{'descr': '', 'fortran_order': False, 'shape': (1,)}",
		"{'descr': '<U8', 'fortran_order': False, 'shape': (1,)}",
		"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
		"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
		"{'descr': '<f4",
		"{'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa': 1}",
	};
	struct fix *f = *state;
	ftl_npy a;

	for (size_t i = 0; i < FTL_COUNT(bad); i++) {
		if (read_with(f, bad[i], "\0\0\0\0", 4, &a) == FTL_OK)
			fail_msg("let through: %s", bad[i]);
		assert_int_not_equal(f->diag.code, FTL_OK);
		assert_non_null(strstr(f->diag.text, f->path));
	}
}

static void every_cut_and_every_changed_byte_is_survived(void **state)
{
	struct fix *f = *state;
	float data[6] = {1, 2, 3, 4, 5, 6};
	ftl_npy a = {.descr = "f4", .rank = 2, .dims = {2, 3}, .data = data, .bytes = sizeof data}, b;
	ftl_file m;
	uint8_t *copy;
	size_t n;

	assert_int_equal(ftl_npy_write(f->path, &a, NULL), FTL_OK);
	assert_int_equal(ftl_file_map(&f->arena, f->path, NULL, &m), FTL_OK);
	n = m.size;
	copy = ftl_arena_dup(&f->arena, m.data, n);
	for (size_t k = 0; k < n; k++) {
		assert_int_equal(ftl_file_write(f->path, copy, k, NULL), FTL_OK);
		assert_int_not_equal(ftl_npy_read(&f->arena, f->path, NULL, &b), FTL_OK);
	}
	for (size_t k = 0; k < n - sizeof data; k++) {
		for (int bit = 0; bit < 8; bit++) {
			copy[k] ^= (uint8_t)(1 << bit);
			assert_int_equal(ftl_file_write(f->path, copy, n, NULL), FTL_OK);
			if (ftl_npy_read(&f->arena, f->path, NULL, &b) == FTL_OK)
				assert_true(b.bytes <= sizeof data);
			copy[k] ^= (uint8_t)(1 << bit);
		}
	}
}

/* ---- npz ---- */

static void write_three(struct fix *f)
{
	static const float x[6] = {1, 2, 3, 4, 5, 6};
	static const int64_t y[2] = {-1, 1};
	ftl_npy a[3] = {
		{.name = "x", .descr = "f4", .rank = 2, .dims = {2, 3}, .data = x, .bytes = sizeof x},
		{.name = "sub/y", .descr = "i8", .rank = 1, .dims = {2}, .data = y, .bytes = sizeof y},
		{.name = "empty", .descr = "f4", .rank = 1, .dims = {0}},
	};

	assert_int_equal(ftl_npz_write(f->path, a, 3, &f->diag), FTL_OK);
}

static void archives_read_back_and_repeat(void **state)
{
	struct fix *f = *state;
	ftl_file m1, m2;
	ftl_npy *a;
	size_t n;

	write_three(f);
	assert_int_equal(ftl_npz_read(&f->arena, f->path, &f->diag, &a, &n), FTL_OK);
	assert_int_equal(n, 3);
	assert_string_equal(a[0].name, "x");
	assert_string_equal(a[1].name, "sub/y");
	assert_int_equal(a[0].dims[1], 3);
	assert_true(((const float *)a[0].data)[5] == 6);
	assert_true(((const int64_t *)a[1].data)[0] == -1);
	assert_int_equal(a[2].bytes, 0);
	assert_int_equal(ftl_file_map(&f->arena, f->path, NULL, &m1), FTL_OK);
	write_three(f);
	assert_int_equal(ftl_file_map(&f->arena, f->path, NULL, &m2), FTL_OK);
	assert_int_equal(m1.size, m2.size);
	assert_memory_equal(m1.data, m2.data, m1.size);
}

static void broken_archives_are_survived(void **state)
{
	struct fix *f = *state;
	ftl_file m;
	uint8_t *copy;
	ftl_npy *a;
	size_t n, bytes;

	assert_int_equal(ftl_npz_read(&f->arena, "/no/such.npz", &f->diag, &a, &n), FTL_ERR_IO);
	ftl_diag_clear(&f->diag);
	assert_int_equal(ftl_npz_read(&f->arena, f->path, &f->diag, &a, &n), FTL_ERR_MODEL); /* empty file */
	write_three(f);
	assert_int_equal(ftl_file_map(&f->arena, f->path, NULL, &m), FTL_OK);
	bytes = m.size;
	copy = ftl_arena_dup(&f->arena, m.data, bytes);
	for (size_t k = 0; k < bytes; k += 3) {
		assert_int_equal(ftl_file_write(f->path, copy, k, NULL), FTL_OK);
		assert_int_not_equal(ftl_npz_read(&f->arena, f->path, NULL, &a, &n), FTL_OK);
	}
	for (size_t k = 0; k < bytes; k++) {
		uint8_t was = copy[k];

		copy[k] ^= (uint8_t)(1 + k % 255);
		assert_int_equal(ftl_file_write(f->path, copy, bytes, NULL), FTL_OK);
		if (ftl_npz_read(&f->arena, f->path, NULL, &a, &n) == FTL_OK) {
			for (size_t i = 0; i < n; i++)
				assert_true(a[i].bytes <= 24);
		}
		copy[k] = was;
	}
	assert_int_equal(ftl_npz_write(f->path, &(ftl_npy){.descr = "f4", .bytes = 4, .data = copy}, 1, NULL),
			 FTL_ERR_USAGE);
	assert_int_equal(ftl_npz_write("/no/such.npz", NULL, 0, NULL), FTL_ERR_IO);
	assert_int_equal(ftl_npz_write("/no/such.npz", &(ftl_npy){.name = "x", .descr = "u1", .bytes = 1, .data = copy},
				       1, NULL),
			 FTL_ERR_IO);
	assert_int_equal(ftl_npz_write(f->path, NULL, 0, NULL), FTL_OK);
	assert_int_equal(ftl_npz_read(&f->arena, f->path, NULL, &a, &n), FTL_OK);
	assert_int_equal(n, 0);
}

/* ---- every allocation fails once ---- */

struct failing {
	long left, balance;
	ftl_landing landing;
	ftl_arena arena;
};

static void *fail_alloc(void *user, size_t n)
{
	struct failing *f = user;

	if (f->left-- <= 0)
		return NULL;
	f->balance++;
	return malloc(n);
}

static void fail_free(void *user, void *p)
{
	((struct failing *)user)->balance--;
	free(p);
}

static void no_failed_allocation_leaks(void **state)
{
	struct fix *f = *state;
	struct failing *p = calloc(1, sizeof *p);
	ftl_allocator mem = {fail_alloc, fail_free, p};
	char *many = calloc(40, 70000);
	char names[40][16];
	ftl_npy a[40], *got;
	volatile bool done = false;
	size_t n;

	for (int i = 0; i < 40; i++) {
		snprintf(names[i], sizeof names[i], "a%d", i);
		a[i] = (ftl_npy){
			.name = names[i], .descr = "u1", .rank = 1, .dims = {70000}, .data = many, .bytes = 70000};
	}
	assert_int_equal(ftl_npz_write(f->path, a, 40, &f->diag), FTL_OK);
	for (volatile long k = 0; !done; k++) {
		p->left = k;
		ftl_arena_init(&p->arena, &mem, &p->landing, 0);
		if (setjmp(p->landing.jump)) {
			assert_int_equal(p->landing.status, FTL_ERR_MEMORY);
		} else {
			assert_int_equal(ftl_npz_read(&p->arena, f->path, NULL, &got, &n), FTL_OK);
			assert_int_equal(n, 40);
			done = true;
		}
		ftl_arena_free(&p->arena);
		assert_int_equal(p->balance, 0);
		assert_true(k < 1000);
	}
	/* and a limit in place of a failure, at every size */
	done = false;
	for (volatile size_t limit = 16; !done; limit += limit / 3 + 16) {
		p->left = 1000000;
		ftl_arena_init(&p->arena, &mem, &p->landing, limit);
		if (setjmp(p->landing.jump)) {
			assert_int_equal(p->landing.status, FTL_ERR_LIMIT);
		} else {
			assert_int_equal(ftl_npz_read(&p->arena, f->path, NULL, &got, &n), FTL_OK);
			done = true;
		}
		ftl_arena_free(&p->arena);
		assert_int_equal(p->balance, 0);
	}
	free(many);
	free(p);
}

int main(void)
{
#define T_(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T_(arrays_read_back),
		T_(empty_arrays_read_back),
		T_(numpy_variants_are_understood),
		T_(broken_headers_are_refused),
		T_(every_cut_and_every_changed_byte_is_survived),
		T_(archives_read_back_and_repeat),
		T_(broken_archives_are_survived),
		T_(no_failed_allocation_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
