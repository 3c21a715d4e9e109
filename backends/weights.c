/* The weights image (its layout is in backends/artifact.h), and files written in pieces. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "backends/artifact.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { ALIGN = 64, HEAD = 64, ENTRY = 16 };

static bool add_aligned(uint64_t *at, uint64_t n)
{
	uint64_t sum;

	if (__builtin_add_overflow(*at, n, &sum) || sum > INT64_MAX - ALIGN)
		return false;
	*at = (sum + ALIGN - 1) / ALIGN * ALIGN;
	return true;
}

static ftl_status lay_out(ftl_arena *arena, ftl_artifact *a, ftl_weights_mode mode, ftl_diag *d)
{
	uint64_t at = HEAD, id = a->nblobs;

	a->offset = FTL_NEW_N(arena, uint64_t, (size_t)a->nblobs + 1);
	add_aligned(&at, (uint64_t)a->nblobs * ENTRY);
	for (uint32_t k = 0; k < a->nblobs; k++) {
		const ftl_blob *b = a->blobs[k];
		uint64_t part[2] = {b->bytes, 0};

		if (b->bytes && !b->data)
			return ftl_fail(d, FTL_ERR_USAGE, "%s: the bytes of weights \"%.200s\" are not loaded", a->name,
					b->name ? b->name : "");
		part[1] = ftl_blob_hash(b);
		id = ftl_hash(part, sizeof part, id);
		a->offset[k] = at;
		if (!add_aligned(&at, b->bytes))
			return ftl_fail(d, FTL_ERR_LIMIT, "%s: the weights are too large", a->name);
	}
	a->bytes = at;
	a->identity = id;
	a->embed = mode == FTL_WEIGHTS_EMBED || (mode == FTL_WEIGHTS_AUTO && at <= FTL_EMBED_LIMIT);
	return FTL_OK;
}

ftl_status ftl_artifact_make_merged(ftl_arena *arena, const ftl_kmodule *m, const char *name, ftl_weights_mode mode,
				    const char *const *msgs, uint32_t nmsgs, const ftl_blob *const *blobs,
				    uint32_t nblobs, ftl_diag *d, ftl_artifact *out)
{
	*out = (ftl_artifact){.name = ftl_c_identifier(arena, name ? name : m->name),
			      .module = m,
			      .msgs = msgs,
			      .nmsgs = nmsgs,
			      .blobs = blobs,
			      .nblobs = nblobs};
	return lay_out(arena, out, mode, d);
}

ftl_status ftl_artifact_make(ftl_arena *arena, const ftl_kmodule *m, const char *name, ftl_weights_mode mode,
			     ftl_diag *d, ftl_artifact *out)
{
	return ftl_artifact_make_merged(arena, m, name, mode, m->msgs.v, m->msgs.n, m->blobs.v, m->blobs.n, d, out);
}

static void little(uint8_t *p, uint64_t v)
{
	for (int k = 0; k < 8; k++)
		p[k] = (uint8_t)(v >> (8 * k));
}

static bool zeros(ftl_put_fn put, void *user, uint64_t n)
{
	static const uint8_t none[ALIGN];

	return n == 0 || put(user, none, (size_t)n); /* padding: less than ALIGN */
}

bool ftl_weights_stream(const ftl_artifact *a, ftl_put_fn put, void *user)
{
	uint8_t head[HEAD] = "fettlewt", entry[ENTRY];
	uint64_t at = HEAD + (uint64_t)a->nblobs * ENTRY;

	little(head + 8, a->identity);
	little(head + 16, a->nblobs);
	little(head + 24, a->bytes);
	if (!put(user, head, HEAD))
		return false;
	for (uint32_t k = 0; k < a->nblobs; k++) {
		little(entry, a->offset[k]);
		little(entry + 8, a->blobs[k]->bytes);
		if (!put(user, entry, ENTRY))
			return false;
	}
	for (uint32_t k = 0; k < a->nblobs; k++) {
		const ftl_blob *b = a->blobs[k];

		if (!zeros(put, user, a->offset[k] - at) || (b->bytes && !put(user, b->data, b->bytes)))
			return false;
		if (b->mapped)
			ftl_file_forget(b->data, b->bytes);
		at = a->offset[k] + b->bytes;
	}
	return zeros(put, user, a->bytes - at);
}

ftl_status ftl_weights_write(const ftl_artifact *a, const char *path, ftl_diag *d)
{
	ftl_writer *w;

	FTL_TRY(ftl_writer_open(a->module->arena, path, d, &w));
	ftl_weights_stream(a, ftl_writer_put, w); /* close reports what went wrong */
	return ftl_writer_close(w, d);
}

/* ---- as C ---- */

struct words {
	ftl_put_fn put;
	void *user;
	uint8_t part[8];
	unsigned have, column;
};

static bool put_words(void *user, const void *p, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	struct words *w = user;
	const uint8_t *s = p;

	for (size_t k = 0; k < n; k++) {
		char text[24] = "0x";

		w->part[w->have++] = s[k];
		if (w->have < 8)
			continue;
		w->have = 0;
		for (int j = 0; j < 8; j++) {
			text[2 + 2 * j] = digit[w->part[7 - j] >> 4];
			text[3 + 2 * j] = digit[w->part[7 - j] & 15];
		}
		text[18] = ',';
		w->column = (w->column + 1) % 6;
		text[19] = w->column ? ' ' : '\n';
		if (!w->put(w->user, text, 20))
			return false;
	}
	return true;
}

bool ftl_weights_print(const ftl_artifact *a, ftl_put_fn put, void *user)
{
	struct words w = {.put = put, .user = user};

	/* the image is a multiple of 64 bytes, so no word is left over */
	return ftl_weights_stream(a, put_words, &w) && put(user, "\n", 1);
}

/* ---- files in pieces ---- */

struct ftl_writer {
	int fd, error;
	char path[PATH_MAX], temp[PATH_MAX + 32];
	size_t n;
	uint8_t buffer[1 << 16];
};

static void drop(void *p)
{
	ftl_writer *w = p;

	if (w->fd >= 0) {
		close(w->fd);
		unlink(w->temp);
		w->fd = -1;
	}
}

ftl_status ftl_writer_open(ftl_arena *arena, const char *path, ftl_diag *d, ftl_writer **out)
{
	ftl_writer *w = FTL_NEW(arena, ftl_writer);

	*out = w;
	w->fd = -1;
	if (snprintf(w->path, sizeof w->path, "%s", path) >= (int)sizeof w->path)
		return ftl_fail(d, FTL_ERR_IO, "%.200s...: the name is too long", path);
	for (unsigned k = 0; k < 1000 && w->fd < 0; k++) {
		snprintf(w->temp, sizeof w->temp, "%s.tmp%ld.%u", path, (long)getpid(), k);
		w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (w->fd < 0 && errno != EEXIST)
			break;
	}
	if (w->fd < 0)
		return ftl_fail(d, FTL_ERR_IO, "%s: cannot create: %s", path, strerrordesc_np(errno));
	ftl_arena_defer(arena, drop, w);
	return FTL_OK;
}

static bool flush(ftl_writer *w, const uint8_t *p, size_t n)
{
	while (n && !w->error) {
		ssize_t k = write(w->fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			w->error = k < 0 ? errno : EIO;
			break;
		}
		p += k;
		n -= (size_t)k;
	}
	return !w->error;
}

bool ftl_writer_put(void *writer, const void *p, size_t n)
{
	ftl_writer *w = writer;

	if (n > sizeof w->buffer - w->n) {
		flush(w, w->buffer, w->n);
		w->n = 0;
	}
	if (n > sizeof w->buffer)
		return flush(w, p, n);
	if (n)
		memcpy(w->buffer + w->n, p, n);
	w->n += n;
	return !w->error;
}

ftl_status ftl_writer_close(ftl_writer *w, ftl_diag *d)
{
	flush(w, w->buffer, w->n);
	if (close(w->fd) != 0 && !w->error)
		w->error = errno;
	w->fd = -1;
	if (!w->error && rename(w->temp, w->path) != 0)
		w->error = errno;
	if (!w->error)
		return FTL_OK;
	unlink(w->temp);
	return ftl_fail(d, FTL_ERR_IO, "%s: cannot write: %s", w->path, strerrordesc_np(w->error));
}

void ftl_writer_drop(ftl_writer *w)
{
	drop(w);
}
