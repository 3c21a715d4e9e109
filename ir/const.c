/* Constants: making them, and asking what is in them.
 *
 * Bytes are never trusted to match a type: every read is bounded by the blob. A blob whose bytes are
 * elsewhere (data NULL: a .fir text without its .blobs) counts as unknown contents. */
#include <math.h>

#include "ir/infer.h"

uint64_t ftl_blob_hash(const ftl_blob *b)
{
	if (b->hash == 0 && (b->data || b->bytes == 0)) {
		uint64_t h = ftl_hash(b->bytes ? b->data : "", b->bytes, 0);

		((ftl_blob *)b)->hash = h ? h : 1; /* a cache: blobs live in arenas, never in read-only memory */
	}
	return b->hash;
}

const ftl_blob *ftl_const_blob(const ftl_graph *g, ftl_val v)
{
	ftl_node_id n = ftl_def(g, v, FTL_OP_const);
	const ftl_blob *b = n ? FTL_ATTRS(ftl_node_get(g, n), const)->blob : NULL;

	return b && (b->data || b->bytes == 0) ? b : NULL;
}

double ftl_elem_get(ftl_dtype t, const void *data, size_t i)
{
	const char *p = (const char *)data + i * ftl_dtype_bytes(t);
	float f;
	double d;
	uint16_t h;

	switch (t) {
	case FTL_F32: memcpy(&f, p, sizeof f); return f;
	case FTL_F64: memcpy(&d, p, sizeof d); return d;
	case FTL_F16: memcpy(&h, p, sizeof h); return ftl_f16_to_f32(h);
	case FTL_BF16: memcpy(&h, p, sizeof h); return ftl_bf16_to_f32(h);
	case FTL_U64: return (double)(uint64_t)ftl_elem_get_i64(t, data, i);
	default:
		if (ftl_dtype_is_low(t) && ftl_dtype_is_float(t))
			return ftl_low_to_f32(t, (uint8_t)*p);
		return (double)ftl_elem_get_i64(t, data, i);
	}
}

int64_t ftl_elem_get_i64(ftl_dtype t, const void *data, size_t i)
{
	size_t bytes = ftl_dtype_bytes(t);
	const char *p = (const char *)data + i * bytes;
	uint64_t u = 0;

	if (ftl_dtype_is_float(t)) {
		double d = ftl_elem_get(t, data, i);

		return isnan(d) ? 0 : d >= 0x1p63 ? INT64_MAX : d < -0x1p63 ? INT64_MIN : (int64_t)d;
	}
	memcpy(&u, p, bytes);
	if (ftl_dtype_is_low(t))
		u = ftl_low_int(t, (uint8_t)u);
	if (ftl_dtype_is_signed(t) && bytes < 8 && (u >> (8 * bytes - 1) & 1))
		u |= ~(uint64_t)0 << (8 * bytes);
	return (int64_t)u;
}

/* Truncated towards zero, clamped to the type's range; NaN gives 0. */
static uint64_t int_bits(ftl_dtype t, double v)
{
	unsigned bits = ftl_dtype_bits(t);

	if (isnan(v))
		return 0;
	if (ftl_dtype_is_signed(t)) {
		double top = ldexp(1, (int)bits - 1);
		int64_t max = (int64_t)(((uint64_t)1 << (bits - 1)) - 1);

		return (uint64_t)(v >= top ? max : v < -top ? -max - 1 : (int64_t)v);
	}
	return v >= ldexp(1, (int)bits) ? ~(uint64_t)0 >> (64 - bits) : v <= 0 ? 0 : (uint64_t)v;
}

void ftl_elem_set(ftl_dtype t, void *data, size_t i, double v)
{
	size_t bytes = ftl_dtype_bytes(t);
	char *p = (char *)data + i * bytes;
	float f = (float)v;
	uint16_t h;
	uint64_t u;

	switch (t) {
	case FTL_F32: memcpy(p, &f, sizeof f); return;
	case FTL_F64: memcpy(p, &v, sizeof v); return;
	case FTL_F16:
		h = ftl_f32_to_f16(f);
		memcpy(p, &h, sizeof h);
		return;
	case FTL_BF16:
		h = ftl_f32_to_bf16(f);
		memcpy(p, &h, sizeof h);
		return;
	case FTL_BOOL: u = v != 0; break;
	default: u = ftl_dtype_is_low(t) && ftl_dtype_is_float(t) ? ftl_f32_to_low(t, f, true) : int_bits(t, v); break;
	}
	memcpy(p, &u, bytes);
}

/* Elements of v's constant that both its type and its bytes have. */
static bool contents(const ftl_graph *g, ftl_val v, const ftl_blob **out_blob, size_t *out_n)
{
	const ftl_blob *b = ftl_const_blob(g, v);
	size_t size = ftl_dtype_bytes(ftl_type_of(g, v)->dtype);

	if (!b || size == 0)
		return false;
	*out_blob = b;
	*out_n = b->bytes / size;
	return true;
}

bool ftl_const_i64s(const ftl_graph *g, ftl_val v, int64_t *out, uint32_t cap, uint32_t *out_n)
{
	ftl_dtype t = ftl_type_of(g, v)->dtype;
	const ftl_blob *b;
	size_t n;

	if (!contents(g, v, &b, &n) || n > cap || (!ftl_dtype_is_int(t) && t != FTL_BOOL))
		return false;
	for (size_t i = 0; i < n; i++)
		out[i] = ftl_elem_get_i64(t, b->data, i);
	*out_n = (uint32_t)n;
	return true;
}

bool ftl_const_scalar(const ftl_graph *g, ftl_val v, double *out)
{
	ftl_dtype t = ftl_type_of(g, v)->dtype;
	size_t size = ftl_dtype_bytes(t), n;
	const ftl_blob *b;

	if (!contents(g, v, &b, &n) || n == 0)
		return false;
	/* all equal: the bytes match themselves one element on */
	if (n > 1 && memcmp(b->data, (const char *)b->data + size, (n - 1) * size) != 0)
		return false;
	*out = ftl_elem_get(t, b->data, 0);
	return true;
}

ftl_val ftl_build_const(ftl_builder *b, ftl_type type, const ftl_blob *blob)
{
	struct ftl_attrs_const *a = ftl_attrs_default(b->g, FTL_OP_const);
	ftl_node_id n;
	ftl_val v;

	a->blob = blob;
	n = ftl_node_new(b, FTL_OP_const, NULL, 0, a, 1);
	v = ftl_node_get(b->g, n)->out[0];
	ftl_value_get(b->g, v)->type = type;
	/* Inference adds the symbolic contents. If type and bytes disagree it fails, and the verifier will say so. */
	if (ftl_infer_node(b->g, n, NULL) != FTL_OK)
		ftl_value_get(b->g, v)->sym = NULL;
	return v;
}

ftl_val ftl_build_const_bytes(ftl_builder *b, ftl_dtype t, int rank, const int64_t *dims, const void *data)
{
	ftl_blob *blob = FTL_NEW(b->g->arena, ftl_blob);
	size_t size = ftl_dtype_bytes(t);
	void *copy = NULL;

	for (int i = 0; i < rank; i++) /* an overflow must reach the arena's check, so saturate */
		if (__builtin_mul_overflow(size, (size_t)dims[i], &size))
			size = SIZE_MAX;
	copy = ftl_arena_array(b->g->arena, size ? size : 1, 1);
	if (size)
		memcpy(copy, data, size);
	blob->data = copy;
	blob->bytes = size;
	return ftl_build_const(b, ftl_type_make_const(b->g, t, rank, dims), blob);
}

ftl_val ftl_build_const_i64s(ftl_builder *b, const int64_t *v, int64_t n)
{
	return ftl_build_const_bytes(b, FTL_I64, 1, &n, v);
}

ftl_val ftl_build_scalar(ftl_builder *b, ftl_dtype t, double v)
{
	char buf[8];

	ftl_elem_set(t, buf, 0, v);
	return ftl_build_const_bytes(b, t, 0, NULL, buf);
}
