/* The op table as data, and everything about attributes that follows from it: defaults, hash, equality, copy.
 * Nothing here knows an op by name; a new row in ops.def is all it takes. */
#include <limits.h>

#include "ir/infer.h"

/* Attribute rows stay interleaved with op rows, as in ops.def: MARK_x is the position of op x's row, its
 * attributes follow it. The number of an op's attributes is the number of chars in its count struct. */
enum {
#define OP(name, ...) MARK_##name,
#define ATTR(op, kind, name, ...) MARK_##op##__##name,
#include "ops.def"
};

struct count_first_ {
	char none_;
#define OP(name, ...)                                                                                                  \
	}                                                                                                              \
	;                                                                                                              \
	struct count_##name {                                                                                          \
		char none_;
#define ATTR(op, kind, name, ...) char name;
#include "ops.def"
};

/* How a default is written in a row, per kind. INT64_MAX is no double: it is stored as 2^63, see attr_int. */
#define DEFAULT_i64(x) (double)(x), NULL
#define DEFAULT_f64(x) (x), NULL
#define DEFAULT_flag(x) (x), NULL
#define DEFAULT_dtype(x) (x), NULL
#define DEFAULT_str(x) 0, (x)
#define DEFAULT_ints(x) 0, NULL
#define DEFAULT_strs(x) 0, NULL
#define DEFAULT_floats(x) 0, NULL
#define DEFAULT_dims(x) 0, NULL
#define DEFAULT_blob(x) 0, NULL

static const ftl_attr_desc rows[] = {
#define OP(name, ...) {NULL, FTL_ATTR_i64, 0, 0, NULL},
#define ATTR(op, kind, name, ...)                                                                                      \
	{#name, FTL_ATTR_##kind, offsetof(struct ftl_attrs_##op, name), DEFAULT_##kind(__VA_ARGS__)},
#include "ops.def"
};

static const ftl_op_info ops[] = {
	[FTL_OP_NONE] = {.name = "none"},
#define OP(opname, min, max, outs, flags, hook, ...)                                                                   \
	[FTL_OP_##opname] = {                                                                                          \
		.name = #opname,                                                                                       \
		.min_in = min,                                                                                         \
		.max_in = max,                                                                                         \
		.nout = outs,                                                                                          \
		.traits = flags,                                                                                       \
		.nattr = sizeof(struct count_##opname) - 1,                                                            \
		.attr_bytes = sizeof(struct ftl_attrs_##opname),                                                       \
		.attr = rows + MARK_##opname + 1,                                                                      \
		.infer = ftl_infer_op_##hook,                                                                          \
	},
#include "ops.def"
};

const ftl_op_info *ftl_op_get(ftl_op op)
{
	return &ops[(unsigned)op < FTL_OP_COUNT ? op : FTL_OP_NONE];
}

ftl_op ftl_op_parse(const char *name, size_t n)
{
	for (int i = 1; i < FTL_OP_COUNT; i++)
		if (strncmp(ops[i].name, name, n) == 0 && ops[i].name[n] == 0)
			return (ftl_op)i;
	return FTL_OP_NONE;
}

static int64_t attr_int(double d)
{
	return d >= 0x1p63 ? INT64_MAX : (int64_t)d;
}

void *ftl_attrs_default(ftl_graph *g, ftl_op op)
{
	const ftl_op_info *info = ftl_op_get(op);
	char *attrs = ftl_arena_alloc(g->arena, info->attr_bytes ? info->attr_bytes : 1);

	for (unsigned i = 0; i < info->nattr; i++) {
		const ftl_attr_desc *d = &info->attr[i];
		void *p = attrs + d->offset;

		switch (d->kind) {
		case FTL_ATTR_i64: *(ftl_attr_i64 *)p = attr_int(d->num); break;
		case FTL_ATTR_f64: *(ftl_attr_f64 *)p = d->num; break;
		case FTL_ATTR_flag: *(ftl_attr_flag *)p = d->num != 0; break;
		case FTL_ATTR_dtype: *(ftl_attr_dtype *)p = (ftl_dtype)d->num; break;
		case FTL_ATTR_str: *(ftl_attr_str *)p = d->str; break;
		case FTL_ATTR_ints:
		case FTL_ATTR_floats:
		case FTL_ATTR_dims:
		case FTL_ATTR_strs:
		case FTL_ATTR_blob: break; /* zeroed memory is the empty list */
		}
	}
	return attrs;
}

static bool list_eq(const void *a, uint32_t na, const void *b, uint32_t nb, size_t size)
{
	return na == nb && (na == 0 || memcmp(a, b, na * size) == 0);
}

static bool blob_eq(const ftl_blob *a, const ftl_blob *b)
{
	if (a == b || !a || !b)
		return a == b;
	if (a->bytes != b->bytes)
		return false;
	if (a->bytes == 0 || (a->data && a->data == b->data))
		return true;
	return ftl_blob_hash(a) == ftl_blob_hash(b) &&
	       (!a->data || !b->data || memcmp(a->data, b->data, a->bytes) == 0);
}

static bool strs_eq(const ftl_strs *x, const ftl_strs *y)
{
	bool same = x->n == y->n;

	for (uint32_t i = 0; same && x->v != y->v && i < x->n; i++)
		same = x->v[i].n == y->v[i].n && memcmp(x->v[i].p, y->v[i].p, x->v[i].n) == 0;
	return same;
}

static bool attr_eq(const ftl_attr_desc *d, const void *a, const void *b)
{
	switch (d->kind) {
	case FTL_ATTR_i64: return *(const ftl_attr_i64 *)a == *(const ftl_attr_i64 *)b;
	case FTL_ATTR_f64: return memcmp(a, b, sizeof(ftl_attr_f64)) == 0; /* bits: NaN is itself, -0 is not 0 */
	case FTL_ATTR_flag: return *(const ftl_attr_flag *)a == *(const ftl_attr_flag *)b;
	case FTL_ATTR_dtype: return *(const ftl_attr_dtype *)a == *(const ftl_attr_dtype *)b;
	case FTL_ATTR_str: return strcmp(*(const ftl_attr_str *)a, *(const ftl_attr_str *)b) == 0;
	case FTL_ATTR_ints: {
		const ftl_ints *x = a, *y = b;
		return list_eq(x->v, x->n, y->v, y->n, sizeof *x->v);
	}
	case FTL_ATTR_floats: {
		const ftl_floats *x = a, *y = b;
		return list_eq(x->v, x->n, y->v, y->n, sizeof *x->v);
	}
	case FTL_ATTR_dims: {
		const ftl_dims *x = a, *y = b;
		return list_eq(x->v, x->n, y->v, y->n, sizeof *x->v);
	}
	case FTL_ATTR_strs: return strs_eq(a, b);
	case FTL_ATTR_blob: return blob_eq(*(const ftl_attr_blob *)a, *(const ftl_attr_blob *)b);
	}
	return false;
}

bool ftl_attrs_eq(const ftl_graph *g, ftl_op op, const void *a, const void *b)
{
	const ftl_op_info *info = ftl_op_get(op);

	FTL_UNUSED(g);
	for (unsigned i = 0; i < info->nattr; i++) {
		const ftl_attr_desc *d = &info->attr[i];

		if (!attr_eq(d, (const char *)a + d->offset, (const char *)b + d->offset))
			return false;
	}
	return true;
}

static uint64_t hash_list(const void *v, uint32_t n, size_t size, uint64_t seed)
{
	return ftl_hash(n ? v : "", n * size, seed + n);
}

static uint64_t attr_hash(const ftl_attr_desc *d, const void *p, uint64_t seed)
{
	switch (d->kind) {
	case FTL_ATTR_i64: return ftl_hash(p, sizeof(ftl_attr_i64), seed);
	case FTL_ATTR_f64: return ftl_hash(p, sizeof(ftl_attr_f64), seed);
	case FTL_ATTR_flag: return ftl_hash(p, sizeof(ftl_attr_flag), seed);
	case FTL_ATTR_dtype: return ftl_hash(p, sizeof(ftl_attr_dtype), seed);
	case FTL_ATTR_str: {
		const char *s = *(const ftl_attr_str *)p;
		return ftl_hash(s, strlen(s), seed);
	}
	case FTL_ATTR_ints: return hash_list(((const ftl_ints *)p)->v, ((const ftl_ints *)p)->n, sizeof(int64_t), seed);
	case FTL_ATTR_floats:
		return hash_list(((const ftl_floats *)p)->v, ((const ftl_floats *)p)->n, sizeof(double), seed);
	case FTL_ATTR_dims: return hash_list(((const ftl_dims *)p)->v, ((const ftl_dims *)p)->n, sizeof(ftl_dim), seed);
	case FTL_ATTR_strs: {
		const ftl_strs *l = p;

		for (uint32_t i = 0; i < l->n; i++)
			seed = ftl_hash(l->v[i].p, l->v[i].n, seed + i);
		return seed + l->n;
	}
	case FTL_ATTR_blob: {
		const ftl_blob *b = *(const ftl_attr_blob *)p;
		uint64_t h = b ? ftl_blob_hash(b) : 0;
		return ftl_hash(&h, sizeof h, seed);
	}
	}
	return seed;
}

uint64_t ftl_attrs_hash(const ftl_graph *g, ftl_op op, const void *attrs, uint64_t seed)
{
	const ftl_op_info *info = ftl_op_get(op);
	uint64_t h = seed ^ ((uint64_t)op * 0x9e3779b97f4a7c15u);

	FTL_UNUSED(g);
	for (unsigned i = 0; i < info->nattr; i++)
		h = attr_hash(&info->attr[i], (const char *)attrs + info->attr[i].offset, h + i);
	return h;
}

bool ftl_attr_is_default(const ftl_attr_desc *d, const void *attrs)
{
	const void *p = (const char *)attrs + d->offset;

	switch (d->kind) {
	case FTL_ATTR_i64: return *(const ftl_attr_i64 *)p == attr_int(d->num);
	case FTL_ATTR_f64: return memcmp(p, &d->num, sizeof d->num) == 0;
	case FTL_ATTR_flag: return *(const ftl_attr_flag *)p == (d->num != 0);
	case FTL_ATTR_dtype: return *(const ftl_attr_dtype *)p == (ftl_dtype)d->num;
	case FTL_ATTR_str: return strcmp(*(const ftl_attr_str *)p, d->str) == 0;
	case FTL_ATTR_ints: return ((const ftl_ints *)p)->n == 0;
	case FTL_ATTR_floats: return ((const ftl_floats *)p)->n == 0;
	case FTL_ATTR_dims: return ((const ftl_dims *)p)->n == 0;
	case FTL_ATTR_strs: return ((const ftl_strs *)p)->n == 0;
	case FTL_ATTR_blob: return *(const ftl_attr_blob *)p == NULL;
	}
	return true;
}
