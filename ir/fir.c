/* .fir files: text beside a file of blobs. The blobs file is as untrusted as the text: every offset is checked
 * against the mapping, and a hash that is not what it says only gives other weights. */
#include "ir/fir.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "text.h"

#define MAGIC "FTLBLOB1"
#define ALIGN 64

typedef struct entry {
	uint64_t hash, offset, bytes;
} entry;

typedef struct item {
	const ftl_blob *blob;
	uint64_t hash;
} item;

typedef struct writer {
	const ftl_graph *g;
	ftl_arena *arena;
	FTL_VEC(item) items;
} writer;

static void collect(writer *w, ftl_region_id r)
{
	FTL_FOREACH_NODE_IN(w->g, r, id) {
		const ftl_node *n = ftl_node_get(w->g, id);
		const ftl_op_info *op = ftl_op_get(n->op);
		int64_t dims[FTL_MAX_RANK];

		for (unsigned i = 0; i < op->nattr; i++) {
			const ftl_blob *b;

			if (op->attr[i].kind != FTL_ATTR_blob)
				continue;
			b = *(const ftl_attr_blob *)((const char *)n->attrs + op->attr[i].offset);
			if (!b || !b->data || b->bytes == 0 ||
			    (n->op == FTL_OP_const && ftl_type_is_static(w->g, ftl_type_of(w->g, n->out[0]), dims) &&
			     ftl_text_is_dense(ftl_type_of(w->g, n->out[0]), b, dims)))
				continue;
			ftl_vec_push(w->arena, &w->items, ((item){b, ftl_blob_hash(b)}));
		}
		for (uint32_t i = 0; i < n->nregion; i++)
			collect(w, n->regions[i]);
	}
}

static int by_hash(const void *a, const void *b)
{
	const item *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->blob->bytes > y->blob->bytes) - (x->blob->bytes < y->blob->bytes);
}

static size_t pad_to(size_t n)
{
	return (ALIGN - n % ALIGN) % ALIGN;
}

static ftl_status write_blobs(writer *w, const char *path, ftl_diag *d)
{
	static const char zeros[ALIGN];
	uint32_t n = 0;
	uint64_t *head, at;
	ftl_span *span;
	size_t nspan = 0;
	struct stat st;

	collect(w, w->g->body);
	if (w->items.n == 0) /* do not leave somebody else's bytes beside this text */
		return stat(path, &st) == 0 ? ftl_file_write(path, "", 0, d) : FTL_OK;
	qsort(w->items.v, w->items.n, sizeof *w->items.v, by_hash);
	for (uint32_t i = 0; i < w->items.n; i++)
		if (n == 0 || by_hash(&w->items.v[n - 1], &w->items.v[i]) != 0)
			w->items.v[n++] = w->items.v[i];
	at = 16 + (uint64_t)n * sizeof(entry);
	head = FTL_NEW_N(w->arena, uint64_t, 2 + 3 * (size_t)n);
	span = FTL_NEW_N(w->arena, ftl_span, 2 + 2 * (size_t)n);
	memcpy(head, MAGIC, 8);
	head[1] = n;
	span[nspan++] = (ftl_span){head, (size_t)at};
	for (uint32_t i = 0; i < n; i++) {
		const ftl_blob *b = w->items.v[i].blob;
		size_t pad = pad_to((size_t)at);
		entry e = {w->items.v[i].hash, at + pad, b->bytes};

		if (pad)
			span[nspan++] = (ftl_span){zeros, pad};
		span[nspan++] = (ftl_span){b->data, b->bytes};
		memcpy(head + 2 + 3 * (size_t)i, &e, sizeof e);
		at += pad + b->bytes;
	}
	return ftl_file_write_spans(path, span, nspan, d);
}

ftl_status ftl_fir_write(const ftl_graph *g, const char *path, ftl_diag *d)
{
	writer w = {.g = g, .arena = g->arena};
	ftl_text t;

	/* the bytes first: a text without them is worse than bytes without a text */
	FTL_TRY(write_blobs(&w, ftl_arena_printf(g->arena, "%s.blobs", path), d));
	ftl_text_init(&t, g->arena);
	ftl_print(g, &t);
	return ftl_file_write(path, t.v, t.n, d);
}

static const void *find_blob(void *user, uint64_t hash, size_t bytes)
{
	const ftl_file *f = user;
	uint64_t n, lo = 0;

	memcpy(&n, f->data + 8, sizeof n);
	for (uint64_t hi = n; lo < hi;) { /* the first entry with this hash */
		uint64_t mid = lo + (hi - lo) / 2;
		entry e;

		memcpy(&e, f->data + 16 + mid * sizeof e, sizeof e);
		if (e.hash < hash || (e.hash == hash && e.bytes < bytes))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < n) {
		entry e;

		memcpy(&e, f->data + 16 + lo * sizeof e, sizeof e);
		if (e.hash == hash && e.bytes == bytes && e.offset <= f->size && e.bytes <= f->size - e.offset)
			return f->data + e.offset;
	}
	return NULL;
}

ftl_status ftl_fir_read(ftl_arena *arena, const char *path, ftl_diag *d, ftl_graph **out)
{
	const char *blobs = ftl_arena_printf(arena, "%s.blobs", path);
	ftl_file text, bytes = {0};
	ftl_blob_source source = {find_blob, &bytes};
	struct stat st;
	uint64_t n = 0;

	FTL_TRY(ftl_file_map(arena, path, d, &text));
	if (stat(blobs, &st) == 0) {
		FTL_TRY(ftl_file_map(arena, blobs, d, &bytes));
		if (bytes.size >= 16)
			memcpy(&n, bytes.data + 8, sizeof n);
		if (bytes.size != 0 &&
		    (bytes.size < 16 || memcmp(bytes.data, MAGIC, 8) != 0 || n > (bytes.size - 16) / sizeof(entry)))
			return ftl_fail(d, FTL_ERR_MODEL, "%s: not a file of blobs", blobs);
	}
	return ftl_parse_with(arena, (const char *)text.data, text.size, path, bytes.size ? &source : NULL, d, out);
}
