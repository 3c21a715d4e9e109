/* Tensors and tensor files. */
#include "api.h"

#include <stdlib.h>

#include "base/npy.h"
#include "frontend/onnx.h"

const char *fettle_dtype_name(fettle_dtype t)
{
	return ftl_dtype_name((ftl_dtype)t);
}

size_t fettle_dtype_bytes(fettle_dtype t)
{
	return (unsigned)t < FTL_DTYPE_COUNT ? ftl_dtype_bytes((ftl_dtype)t) : 0;
}

bool fettle_tensor_count(const fettle_tensor *t, size_t *out_count)
{
	size_t n = 1;
	bool zero = false;

	if (t->rank < 0 || t->rank > FETTLE_MAX_RANK)
		return false;
	for (int i = 0; i < t->rank; i++) {
		if (t->dims[i] < 0)
			return false;
		zero = zero || t->dims[i] == 0;
	}
	for (int i = 0; i < t->rank && !zero; i++) {
		if (__builtin_mul_overflow(n, (size_t)t->dims[i], &n))
			return false;
	}
	*out_count = zero ? 0 : n;
	return true;
}

double fettle_tensor_value(const fettle_tensor *t, size_t k)
{
	return t->dtype == FETTLE_STRING ? 0 : ftl_elem_get((ftl_dtype)t->dtype, t->data, k);
}

void fettle_tensor_set(const fettle_tensor *t, size_t k, double value)
{
	if (t->dtype != FETTLE_STRING)
		ftl_elem_set((ftl_dtype)t->dtype, t->data, k, value);
}

/* ---- files ---- */

struct fettle_tensors {
	ftl_arena arena;
	fettle_tensor *v;
	size_t n;
	const char *path; /* while reading */
};

/* NumPy's type names: kind and bytes. The first row of a name is what is read; types NumPy has no name for are stored as the
 * bits they are. V1 and V2 are how it stores the types of ml_dtypes. */
static const struct {
	char descr[4];
	fettle_dtype dtype;
} npy_types[] = {
	{"f4", FETTLE_F32}, {"f8", FETTLE_F64},  {"f2", FETTLE_F16},  {"i1", FETTLE_I8},  {"i2", FETTLE_I16},
	{"i4", FETTLE_I32}, {"i8", FETTLE_I64},  {"u1", FETTLE_U8},   {"u2", FETTLE_U16}, {"u4", FETTLE_U32},
	{"u8", FETTLE_U64}, {"b1", FETTLE_BOOL}, {"u2", FETTLE_BF16}, {"V1", FETTLE_U8},  {"V2", FETTLE_U16},
};

static const char *npy_descr(fettle_dtype t)
{
	if (ftl_dtype_is_low((ftl_dtype)t))
		t = (fettle_dtype)ftl_dtype_mem((ftl_dtype)t);
	for (size_t i = 0; i < FTL_COUNT(npy_types); i++) {
		if (npy_types[i].dtype == t)
			return npy_types[i].descr;
	}
	return NULL;
}

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && !strcmp(s + n - k, suffix);
}

static ftl_status from_npy(const char *path, const ftl_npy *a, ftl_diag *d, fettle_tensor *out)
{
	for (size_t i = 0; i < FTL_COUNT(npy_types) && out->dtype == FETTLE_NO_DTYPE; i++) {
		if (!strcmp(a->descr, npy_types[i].descr))
			out->dtype = npy_types[i].dtype;
	}
	if (out->dtype == FETTLE_NO_DTYPE && strchr("USOT", a->descr[0]))
		return ftl_fail(d, FTL_ERR_UNSUPPORTED,
				"%s: elements of type \"%s\"; strings are read from .pb files (TensorProto)", path,
				a->descr);
	if (out->dtype == FETTLE_NO_DTYPE)
		return ftl_fail(d, FTL_ERR_UNSUPPORTED, "%s: elements of type \"%s\"", path, a->descr);
	if (a->rank > FETTLE_MAX_RANK)
		return ftl_fail(d, FTL_ERR_LIMIT, "%s: rank %d, at most %d is supported", path, a->rank,
				FETTLE_MAX_RANK);
	out->name = a->name;
	out->rank = a->rank;
	memcpy(out->dims, a->dims, (size_t)a->rank * sizeof *a->dims);
	out->data = (void *)(uintptr_t)a->data;
	out->bytes = a->bytes;
	return FTL_OK;
}

static ftl_status read_npy(fettle_tensors *t, ftl_diag *d)
{
	ftl_npy one, *v = &one;

	t->n = 1;
	if (ends_with(t->path, ".npz"))
		FTL_TRY(ftl_npz_read(&t->arena, t->path, d, &v, &t->n));
	else
		FTL_TRY(ftl_npy_read(&t->arena, t->path, d, &one));
	t->v = FTL_NEW_N(&t->arena, fettle_tensor, t->n);
	for (size_t i = 0; i < t->n; i++)
		FTL_TRY(from_npy(t->path, &v[i], d, &t->v[i]));
	return FTL_OK;
}

_Static_assert((int)FTL_PB_TENSOR == FETTLE_TENSOR && (int)FTL_PB_SEQUENCE == FETTLE_SEQUENCE &&
		       (int)FTL_PB_OPTIONAL == FETTLE_OPTIONAL &&
		       (int)FTL_PB_OPTIONAL_SEQUENCE == FETTLE_OPTIONAL_SEQUENCE,
	       "kinds have one numbering");

static void from_pb(const ftl_pb_tensor *pb, fettle_tensor *out)
{
	out->name = pb->name;
	out->dtype = (fettle_dtype)pb->dtype;
	out->rank = pb->rank;
	memcpy(out->dims, pb->dims, sizeof out->dims);
	out->data = (void *)(uintptr_t)pb->data;
	out->bytes = pb->bytes;
}

static void to_pb(const fettle_tensor *t, ftl_pb_tensor *out)
{
	*out = (ftl_pb_tensor){.name = t->name ? t->name : "",
			       .dtype = (ftl_dtype)t->dtype,
			       .rank = t->rank,
			       .data = t->data,
			       .bytes = t->bytes};
	memcpy(out->dims, t->dims, sizeof out->dims);
}

static ftl_status read_pb(fettle_tensors *t, ftl_diag *d)
{
	ftl_pb_value pb;

	FTL_TRY(ftl_pb_value_read(&t->arena, t->path, d, &pb));
	t->n = 1;
	t->v = FTL_NEW(&t->arena, fettle_tensor);
	if (pb.kind == FTL_PB_TENSOR) {
		from_pb(pb.items, t->v);
		return FTL_OK;
	}
	t->v->name = pb.name;
	t->v->kind = (fettle_kind)pb.kind;
	t->v->none = pb.none;
	t->v->n_items = pb.n;
	t->v->items = FTL_NEW_N(&t->arena, fettle_tensor, pb.n + 1);
	for (size_t i = 0; i < pb.n; i++)
		from_pb(&pb.items[i], &t->v->items[i]);
	if (pb.n)
		t->v->dtype = t->v->items[0].dtype;
	return FTL_OK;
}

static ftl_status read_entry(void *ctx, ftl_diag *d)
{
	fettle_tensors *t = ctx;

	if (ends_with(t->path, ".npy") || ends_with(t->path, ".npz"))
		return read_npy(t, d);
	if (ends_with(t->path, ".pb"))
		return read_pb(t, d);
	return ftl_fail(d, FTL_ERR_USAGE, "%s: tensor files end in .npy, .npz or .pb", t->path);
}

fettle_status fettle_tensors_read(const char *path, fettle_error *e, fettle_tensors **out)
{
	fettle_tensors *t = calloc(1, sizeof *t);
	ftl_arena *arena;
	fettle_status rc;

	*out = NULL;
	if (!t)
		return ftl_api_fail(e, FTL_ERR_MEMORY, "out of memory");
	ftl_arena_init(&t->arena, NULL, NULL, (size_t)ftl_default_memory(UINT64_MAX, 0, 0));
	t->path = path;
	arena = &t->arena;
	rc = ftl_enter(&arena, 1, read_entry, t, e);
	if (rc != FETTLE_OK) {
		fettle_tensors_free(t);
		return rc;
	}
	t->path = NULL;
	*out = t;
	return FETTLE_OK;
}

size_t fettle_tensors_count(const fettle_tensors *t)
{
	return t->n;
}

const fettle_tensor *fettle_tensors_get(const fettle_tensors *t, size_t k)
{
	return k < t->n ? &t->v[k] : NULL;
}

void fettle_tensors_free(fettle_tensors *t)
{
	if (!t)
		return;
	ftl_arena_free(&t->arena);
	free(t);
}

typedef struct writing {
	ftl_arena arena;
	const char *path;
	const fettle_tensor *t;
	size_t n;
} writing;

static ftl_status to_npy(const fettle_tensor *t, ftl_diag *d, ftl_npy *out)
{
	const char *descr = npy_descr(t->dtype);

	if (t->kind != FETTLE_TENSOR)
		return ftl_fail(d, FTL_ERR_USAGE, "a sequence or optional goes to a .pb file of its own");
	if (t->dtype == FETTLE_STRING)
		return ftl_fail(d, FTL_ERR_UNSUPPORTED, "\"%s\": strings are written to .pb files (TensorProto)",
				t->name ? t->name : "");
	if (!descr)
		return ftl_fail(d, FTL_ERR_USAGE, "a tensor without element type cannot be written");
	memcpy(out->descr, descr, sizeof npy_types[0].descr);
	out->name = t->name;
	out->rank = t->rank;
	memcpy(out->dims, t->dims, (size_t)t->rank * sizeof *t->dims);
	out->data = t->data;
	out->bytes = t->bytes;
	return FTL_OK;
}

static ftl_status write_entry(void *ctx, ftl_diag *d)
{
	writing *w = ctx;
	ftl_npy *v;

	if (ends_with(w->path, ".pb") && w->n == 1) {
		bool tensor = w->t->kind == FETTLE_TENSOR;
		const fettle_tensor *items = tensor ? w->t : w->t->items;
		ftl_pb_value pb = {.name = w->t->name ? w->t->name : "",
				   .kind = (ftl_pb_kind)w->t->kind,
				   .none = w->t->none,
				   .n = tensor ? 1 : w->t->n_items};

		pb.items = FTL_NEW_N(&w->arena, ftl_pb_tensor, pb.n + 1);
		for (size_t i = 0; i < pb.n; i++)
			to_pb(&items[i], &pb.items[i]);
		return ftl_pb_value_write(&w->arena, w->path, &pb, d);
	}
	v = FTL_NEW_N(&w->arena, ftl_npy, w->n);
	for (size_t i = 0; i < w->n; i++)
		FTL_TRY(to_npy(&w->t[i], d, &v[i]));
	if (ends_with(w->path, ".npz"))
		return ftl_npz_write(w->path, v, w->n, d);
	if (ends_with(w->path, ".npy") && w->n == 1)
		return ftl_npy_write(w->path, v, d);
	return ftl_fail(d, FTL_ERR_USAGE, "%s: %zu tensors go to a .npz file, a single one also to .npy or .pb",
			w->path, w->n);
}

fettle_status fettle_tensors_write(const char *path, const fettle_tensor *t, size_t n, fettle_error *e)
{
	writing w = {.path = path, .t = t, .n = n};
	ftl_arena *arena = &w.arena;
	fettle_status rc;

	for (size_t i = 0; i < n; i++) {
		if (t[i].rank < 0 || t[i].rank > FETTLE_MAX_RANK)
			return ftl_api_fail(e, FTL_ERR_USAGE, "tensor %zu has rank %d", i, t[i].rank);
	}
	ftl_arena_init(&w.arena, NULL, NULL, 0);
	rc = ftl_enter(&arena, 1, write_entry, &w, e);
	ftl_arena_free(&w.arena);
	return rc;
}
