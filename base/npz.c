/* The .npz format: a zip archive of .npy members, through libzip.
 *
 * Members are stored or deflated, as NumPy writes them. A member may not claim more bytes than deflate
 * can make of what is in the file, so a small archive cannot make us reserve a huge buffer. The archive
 * is closed by an arena cleanup, and a member's stream is never open while the arena allocates.
 * Written archives carry a fixed date: the same arrays give the same bytes. */
#include "npy_format.h"

#include "base/file.h"

#include <stdlib.h>
#include <zip.h>

#define DEFLATE_MAX_RATIO 1100 /* zlib's limit is about 1032 : 1 */

typedef char npy_head[FTL_NPY_HEADER_MAX];

struct handle {
	zip_t *zip;
};

static void close_archive(void *p)
{
	struct handle *h = p;

	if (h->zip)
		zip_discard(h->zip);
}

static ftl_status_code fail_open(ftl_diag *d, const char *path, int err)
{
	zip_error_t e;
	ftl_status_code code = FTL_ERR_MODEL;

	if (err == ZIP_ER_MEMORY)
		code = FTL_ERR_MEMORY;
	else if (err == ZIP_ER_NOENT || err == ZIP_ER_OPEN || err == ZIP_ER_READ || err == ZIP_ER_SEEK)
		code = FTL_ERR_IO;
	zip_error_init_with_code(&e, err);
	ftl_fail(d, code, "%s: cannot open as .npz: %s", path, zip_error_strerror(&e));
	zip_error_fini(&e);
	return code;
}

/* All of a member, and the end of the stream behind it: only there libzip compares the checksum. */
static ftl_status read_member(zip_t *zip, zip_uint64_t index, uint8_t *p, size_t n, const char *what, ftl_diag *d)
{
	zip_file_t *f = zip_fopen_index(zip, index, 0);
	uint8_t extra;
	size_t got = 0;
	zip_int64_t k = 1;

	if (!f)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: cannot open: %s", what, zip_strerror(zip));
	while (got < n && k > 0) {
		k = zip_fread(f, p + got, n - got);
		if (k > 0)
			got += (size_t)k;
	}
	if (k > 0)
		k = zip_fread(f, &extra, 1);
	if (k < 0)
		ftl_fail(d, FTL_ERR_MODEL, "%s: cannot read: %s", what, zip_file_strerror(f));
	else if (got < n || k > 0)
		ftl_fail(d, FTL_ERR_MODEL, "%s: member's size is not what the archive says", what);
	zip_fclose(f);
	return k == 0 && got == n ? FTL_OK : FTL_ERR_MODEL;
}

static ftl_status check_member(const zip_stat_t *st, const char *what, ftl_diag *d)
{
	zip_uint64_t need = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;

	if ((st->valid & need) != need)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: the archive does not say how large it is", what);
	if ((st->valid & ZIP_STAT_ENCRYPTION_METHOD) && st->encryption_method != ZIP_EM_NONE)
		return ftl_fail(d, FTL_ERR_UNSUPPORTED, "%s: encrypted", what);
	if (st->comp_method != ZIP_CM_STORE && st->comp_method != ZIP_CM_DEFLATE)
		return ftl_fail(d, FTL_ERR_UNSUPPORTED, "%s: compression method %u; save it with numpy.savez", what,
				st->comp_method);
	if (st->size > SIZE_MAX / 2 || st->size / DEFLATE_MAX_RATIO > st->comp_size ||
	    (st->comp_method == ZIP_CM_STORE && st->size != st->comp_size))
		return ftl_fail(d, FTL_ERR_MODEL, "%s: impossible size", what);
	return FTL_OK;
}

ftl_status ftl_npz_read(ftl_arena *arena, const char *path, ftl_diag *d, ftl_npy **out, size_t *out_n)
{
	struct handle *h = FTL_NEW(arena, struct handle);
	ftl_map *seen = ftl_map_new(arena);
	FTL_VEC(ftl_npy) all = {0};
	zip_int64_t n;
	int err = 0;

	*out = NULL;
	*out_n = 0;
	ftl_arena_defer(arena, close_archive, h);
	h->zip = zip_open(path, ZIP_RDONLY, &err);
	if (!h->zip)
		return fail_open(d, path, err);
	n = zip_get_num_entries(h->zip, 0);
	for (zip_int64_t i = 0; i < n; i++) {
		const char *what, *name;
		ftl_npy a;
		zip_stat_t st;
		uint8_t *p;
		size_t len;

		if (zip_stat_index(h->zip, (zip_uint64_t)i, 0, &st) != 0 || !(st.valid & ZIP_STAT_NAME))
			return ftl_fail(d, FTL_ERR_MODEL, "%s: broken member %lld: %s", path, (long long)i,
					zip_strerror(h->zip));
		len = strlen(st.name);
		if (len < 4 || strcmp(st.name + len - 4, ".npy") != 0)
			continue; /* NumPy leaves other members alone too */
		name = ftl_arena_strn(arena, st.name, len - 4);
		what = ftl_arena_printf(arena, "%s(%.200s)", path, st.name);
		if (ftl_map_get(seen, name))
			return ftl_fail(d, FTL_ERR_MODEL, "%s: there twice", what);
		ftl_map_set(seen, name, h);
		FTL_TRY(check_member(&st, what, d));
		p = ftl_arena_alloc(arena, (size_t)st.size);
		FTL_TRY(read_member(h->zip, (zip_uint64_t)i, p, (size_t)st.size, what, d));
		FTL_TRY(ftl_npy_decode(arena, p, (size_t)st.size, what, d, &a));
		a.name = name;
		ftl_vec_push(arena, &all, a);
	}
	zip_discard(h->zip);
	h->zip = NULL;
	*out = all.v;
	*out_n = all.n;
	return FTL_OK;
}

/* One member; heads must live until the archive is closed. */
static ftl_status add_member(zip_t *zip, const ftl_npy *a, npy_head head, const char *path, ftl_diag *d)
{
	zip_buffer_fragment_t part[2];
	char name[1024];
	size_t head_n, len;
	zip_source_t *src;
	zip_int64_t index;

	len = a->name ? strlen(a->name) : 0;
	if (len == 0 || len > sizeof name - 5)
		return ftl_fail(d, FTL_ERR_USAGE, "%s: an array has no name, or one that is too long", path);
	memcpy(name, a->name, len);
	memcpy(name + len, ".npy", 5);
	FTL_TRY(ftl_npy_encode_header(a, path, d, head, &head_n));

	part[0] = (zip_buffer_fragment_t){(zip_uint8_t *)head, head_n};
	part[1] = (zip_buffer_fragment_t){(zip_uint8_t *)(uintptr_t)a->data, a->bytes};
	src = zip_source_buffer_fragment(zip, part, a->bytes ? 2 : 1, 0);
	if (!src)
		return ftl_fail(d, FTL_ERR_MEMORY, "%s: %s", path, zip_strerror(zip));
	index = zip_file_add(zip, name, src, ZIP_FL_ENC_UTF_8);
	if (index < 0) {
		zip_source_free(src);
		return ftl_fail(d, FTL_ERR_USAGE, "%s: cannot add \"%s\": %s", path, name, zip_strerror(zip));
	}
	if (zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0) != 0 ||
	    zip_file_set_dostime(zip, (zip_uint64_t)index, 0, 0x21, 0) != 0)
		return ftl_fail(d, FTL_ERR_MEMORY, "%s: %s", path, zip_strerror(zip));
	return FTL_OK;
}

ftl_status ftl_npz_write(const char *path, const ftl_npy *a, size_t n, ftl_diag *d)
{
	/* libzip writes no file at all for an archive without members; this is one, as NumPy saves it */
	static const char empty[22] = {'P', 'K', 5, 6};
	ftl_status_code code = FTL_OK;
	npy_head *heads;
	int err = 0;
	zip_t *zip;

	if (n == 0)
		return ftl_file_write(path, empty, sizeof empty, d);
	heads = calloc(n, sizeof *heads);
	if (!heads)
		return ftl_fail(d, FTL_ERR_MEMORY, "%s: out of memory", path);
	zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &err);
	if (!zip) {
		free(heads);
		code = fail_open(d, path, err);
		return code;
	}
	for (size_t i = 0; i < n && code == FTL_OK; i++)
		code = add_member(zip, &a[i], heads[i], path, d);
	if (code == FTL_OK && zip_close(zip) != 0)
		code = ftl_fail(d, FTL_ERR_IO, "%s: cannot write: %s", path, zip_strerror(zip));
	else if (code == FTL_OK)
		zip = NULL;
	if (zip)
		zip_discard(zip);
	free(heads);
	return code;
}
