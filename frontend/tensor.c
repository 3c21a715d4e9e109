/* TensorProto to element bytes, from every storage form ONNX has: raw, typed lists, external files, sparse.
 * What comes out has exactly the bytes its dims ask for; everything else is an error that names the tensor. */
#include "tensor.h"

#include "base/file.h"
#include "frontend/onnx.h"
#include "wire.h"

#define MAX_DENSE_BYTES ((uint64_t)1 << 30) /* of a sparse tensor written out */

static const struct {
	const char *name;
	ftl_dtype dtype;
} types[] = {
	{"undefined", FTL_NO_DTYPE},
	{"float", FTL_F32},
	{"uint8", FTL_U8},
	{"int8", FTL_I8},
	{"uint16", FTL_U16},
	{"int16", FTL_I16},
	{"int32", FTL_I32},
	{"int64", FTL_I64},
	{"string", FTL_STRING},
	{"bool", FTL_BOOL},
	{"float16", FTL_F16},
	{"double", FTL_F64},
	{"uint32", FTL_U32},
	{"uint64", FTL_U64},
	{"complex64", FTL_NO_DTYPE},
	{"complex128", FTL_NO_DTYPE},
	{"bfloat16", FTL_BF16},
	{"float8e4m3fn", FTL_F8E4M3FN},
	{"float8e4m3fnuz", FTL_F8E4M3FNUZ},
	{"float8e5m2", FTL_F8E5M2},
	{"float8e5m2fnuz", FTL_F8E5M2FNUZ},
	{"uint4", FTL_U4},
	{"int4", FTL_I4},
	{"float4e2m1", FTL_F4E2M1},
	{"float8e8m0", FTL_F8E8M0},
	{"uint2", FTL_U2},
	{"int2", FTL_I2},
	{"float6e2m3", FTL_F6E2M3},
	{"float6e3m2", FTL_F6E3M2},
};

ftl_dtype ftl_onnx_dtype(int32_t code)
{
	return code > 0 && (size_t)code < FTL_COUNT(types) ? types[code].dtype : FTL_NO_DTYPE;
}

/* Bits of an element that ONNX packs, low bits first; 0: it has bytes of its own. */
static unsigned packed_bits(ftl_dtype t)
{
	unsigned bits = ftl_dtype_bits(t);

	return bits < 8 ? bits : 0;
}

uint64_t ftl_packed_bytes(ftl_dtype t, uint64_t n)
{
	unsigned bits = packed_bits(t);

	return bits ? n / 8 * bits + (n % 8 * bits + 7) / 8 : n * ftl_dtype_bytes(t);
}

const void *ftl_pack(ftl_arena *arena, ftl_dtype t, const void *data, uint64_t n)
{
	unsigned bits = packed_bits(t), mask = (1u << bits) - 1;
	const uint8_t *src = data;
	uint8_t *dst;

	if (!bits)
		return data;
	dst = ftl_arena_alloc(arena, ftl_packed_bytes(t, n) + 1);
	memset(dst, 0, ftl_packed_bytes(t, n) + 1);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = i / 8 * bits + i % 8 * bits / 8;
		unsigned v = (src[i] & mask) << (i % 8 * bits % 8);

		dst[at] |= (uint8_t)v;
		dst[at + 1] |= (uint8_t)(v >> 8);
	}
	return dst;
}

/* One byte per element again, as memory has it. */
static void unpack(const uint8_t *src, uint64_t n, ftl_dtype t, uint8_t *dst)
{
	unsigned bits = packed_bits(t);

	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = i / 8 * bits + i % 8 * bits / 8;
		unsigned shift = i % 8 * bits % 8, v = src[at];

		if (shift + bits > 8)
			v |= (unsigned)src[at + 1] << 8;
		dst[i] = ftl_low_int(t, (uint8_t)(v >> shift));
	}
}

const char *ftl_onnx_dtype_name(int32_t code)
{
	return code > 0 && (size_t)code < FTL_COUNT(types) ? types[code].name : "?";
}

int32_t ftl_onnx_dtype_code(ftl_dtype t)
{
	for (size_t i = 1; i < FTL_COUNT(types); i++)
		if (types[i].dtype == t)
			return (int32_t)i;
	return 0;
}

static const char *tensor_name(const Onnx__TensorProto *t)
{
	return t->name ? t->name : "";
}

static ftl_status bad(const ftl_tensor_src *s, const Onnx__TensorProto *t, const char *why)
{
	return ftl_fail(s->diag, FTL_ERR_MODEL, "%s: tensor \"%s\": %s", s->file, tensor_name(t), why);
}

static ftl_status read_dims(const ftl_tensor_src *s, const Onnx__TensorProto *t, size_t n, const int64_t *dims,
			    ftl_tensor_bytes *out, uint64_t *out_numel)
{
	uint64_t numel = 1;

	if (n > FTL_MAX_RANK)
		return ftl_fail(s->diag, FTL_ERR_LIMIT, "%s: tensor \"%s\": rank %zu is above the limit of %d", s->file,
				tensor_name(t), n, FTL_MAX_RANK);
	out->rank = (int)n;
	for (size_t i = 0; i < n; i++) {
		if (dims[i] < 0)
			return bad(s, t, "has a negative dim");
		out->dims[i] = dims[i];
	}
	for (size_t i = 0; i < n; i++)
		if (__builtin_mul_overflow(numel, (uint64_t)dims[i], &numel) || numel > (uint64_t)INT64_MAX / 16)
			return bad(s, t, "has more elements than memory can hold");
	*out_numel = numel;
	return FTL_OK;
}

static ftl_status parse_u64(const ftl_tensor_src *s, const Onnx__TensorProto *t, const char *text, uint64_t *out)
{
	uint64_t v = 0;

	if (!text || !*text)
		return bad(s, t, "external data has an empty offset or length");
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
			return bad(s, t, "external data has an offset or length that is not a number");
	}
	*out = v;
	return FTL_OK;
}

static ftl_status external(const ftl_tensor_src *s, const Onnx__TensorProto *t, uint64_t want, ftl_blob *out)
{
	const char *location = NULL;
	uint64_t offset = 0, length = want;
	ftl_file *f;

	for (size_t i = 0; i < t->n_external_data; i++) {
		const Onnx__StringStringEntryProto *e = t->external_data[i];
		if (!e->key)
			continue;
		if (!strcmp(e->key, "location"))
			location = e->value;
		else if (!strcmp(e->key, "offset"))
			FTL_TRY(parse_u64(s, t, e->value, &offset));
		else if (!strcmp(e->key, "length"))
			FTL_TRY(parse_u64(s, t, e->value, &length));
	}
	if (!location || !*location)
		return bad(s, t, "external data names no file");
	if (!s->dir || !s->files)
		return bad(s, t, "has external data, but there is no folder to look in");
	f = ftl_map_get(s->files, location);
	if (!f) {
		ftl_diag why = {0};
		const char *path;
		ftl_status_code rc;

		f = FTL_NEW(s->arena, ftl_file);
		rc = ftl_path_inside(s->arena, s->dir, location, &why, &path);
		if (rc == FTL_OK)
			rc = ftl_file_map(s->arena, path, &why, f);
		if (rc != FTL_OK)
			return ftl_fail(s->diag, rc, "%s: tensor \"%s\": external data file \"%s\": %s", s->file,
					tensor_name(t), location, why.text);
		ftl_map_set(s->files, location, f);
	}
	if (length != want)
		return ftl_fail(s->diag, FTL_ERR_MODEL,
				"%s: tensor \"%s\": external data in \"%s\" has length %llu, its dims need %llu",
				s->file, tensor_name(t), location, (unsigned long long)length,
				(unsigned long long)want);
	if (offset > f->size || length > f->size - offset)
		return ftl_fail(
			s->diag, FTL_ERR_MODEL,
			"%s: tensor \"%s\": external data at %llu + %llu is beyond the end of \"%s\" (%zu bytes)",
			s->file, tensor_name(t), (unsigned long long)offset, (unsigned long long)length, location,
			f->size);
	*out = (ftl_blob){.data = f->data + offset, .bytes = (size_t)length, .mapped = true};
	return FTL_OK;
}

/* Elements from the typed lists, each narrowed to the tensor's type; false if the list has another length. */
static bool from_lists(const Onnx__TensorProto *t, ftl_dtype dt, uint64_t n, void *dst)
{
	size_t es = ftl_dtype_bytes(dt);

	switch (dt) {
	case FTL_F32: return t->n_float_data == n && (n == 0 || memcpy(dst, t->float_data, n * 4));
	case FTL_F64: return t->n_double_data == n && (n == 0 || memcpy(dst, t->double_data, n * 8));
	case FTL_I64: return t->n_int64_data == n && (n == 0 || memcpy(dst, t->int64_data, n * 8));
	case FTL_U64:
	case FTL_U32:
		if (t->n_uint64_data != n)
			return false;
		for (uint64_t i = 0; i < n; i++)
			memcpy((char *)dst + i * es, &t->uint64_data[i], es);
		return true;
	default:
		if (t->n_int32_data != n)
			return false;
		for (uint64_t i = 0; i < n; i++)
			memcpy((char *)dst + i * es, &t->int32_data[i], es);
		return true;
	}
}

/* Truth values other than 0 and 1 would mean different things to different kernels. */
static void normalize_bools(const ftl_tensor_src *s, ftl_blob *b)
{
	const uint8_t *p = b->data;
	size_t i = 0;

	while (i < b->bytes && p[i] <= 1)
		i++;
	if (i == b->bytes)
		return;
	uint8_t *fixed = ftl_arena_dup(s->arena, p, b->bytes);
	for (; i < b->bytes; i++)
		fixed[i] = fixed[i] != 0;
	b->data = fixed;
	b->mapped = false;
}

/* Strings have no raw form. The blob holds ftl_str. */
static ftl_status read_strings(const ftl_tensor_src *s, const Onnx__TensorProto *t, ftl_tensor_bytes *out)
{
	uint64_t numel;
	ftl_str *v;

	FTL_TRY(read_dims(s, t, t->n_dims, t->dims, out, &numel));
	if (t->has_raw_at || t->has_raw_data || (t->has_data_location && t->data_location == 1))
		return bad(s, t, "strings cannot be raw or external data");
	if (t->n_string_data != numel)
		return bad(s, t, "has a list of data whose length does not match its dims");
	if (numel > UINT32_MAX)
		return bad(s, t, "has too many strings");
	v = FTL_NEW_N(s->arena, ftl_str, numel);
	for (uint64_t i = 0; i < numel; i++) {
		const ProtobufCBinaryData *b = &t->string_data[i];

		v[i] = (ftl_str){ftl_arena_strn(s->arena, b->len ? (const char *)b->data : "", b->len), b->len};
	}
	out->blob = (ftl_blob){.data = v, .bytes = numel * sizeof *v};
	return FTL_OK;
}

ftl_status ftl_tensor_read(const ftl_tensor_src *s, const Onnx__TensorProto *t, ftl_tensor_bytes *out)
{
	uint64_t numel, want;
	unsigned bits = packed_bits(ftl_onnx_dtype(t->data_type));
	const uint8_t *raw = NULL;
	uint64_t raw_len = 0;

	*out = (ftl_tensor_bytes){.dtype = ftl_onnx_dtype(t->data_type)};
	if (t->segment)
		return ftl_fail(s->diag, FTL_ERR_UNSUPPORTED, "%s: tensor \"%s\": segments are not supported", s->file,
				tensor_name(t));
	if (out->dtype == FTL_NO_DTYPE)
		return ftl_fail(s->diag, FTL_ERR_UNSUPPORTED, "%s: tensor \"%s\": element type %s is not supported",
				s->file, tensor_name(t), ftl_onnx_dtype_name(t->data_type));
	if (out->dtype == FTL_STRING)
		return read_strings(s, t, out);
	FTL_TRY(read_dims(s, t, t->n_dims, t->dims, out, &numel));
	want = ftl_packed_bytes(out->dtype, numel);

	if (t->has_data_location && t->data_location == 1) {
		FTL_TRY(external(s, t, want, &out->blob));
		raw = out->blob.data;
		raw_len = want;
	} else if (t->has_raw_at) {
		if (t->has_raw_data || t->raw_at > s->base_size || t->raw_len > s->base_size - t->raw_at)
			return bad(s, t, "has raw data twice");
		raw = s->base + t->raw_at;
		raw_len = t->raw_len;
		out->blob = (ftl_blob){.data = raw, .mapped = s->mapped};
	} else if (t->has_raw_data) {
		raw_len = t->raw_data.len;
		raw = ftl_arena_dup(s->arena, raw_len ? (const void *)t->raw_data.data : "", raw_len);
		out->blob = (ftl_blob){.data = raw};
	}
	if (raw && raw_len != want)
		return ftl_fail(s->diag, FTL_ERR_MODEL,
				"%s: tensor \"%s\": has %llu bytes of raw data, its dims and type need %llu", s->file,
				tensor_name(t), (unsigned long long)raw_len, (unsigned long long)want);
	if (!raw || bits) {
		uint64_t listed = t->n_int32_data + t->n_float_data + t->n_int64_data + t->n_double_data +
				  t->n_uint64_data;
		void *dst;

		if (!raw && numel && !listed)
			return bad(s, t, "has no data");
		/* Lists are as long as the message that held them, so this cannot allocate more than it read by much. */
		if (!raw && want > listed * ftl_dtype_bytes(out->dtype))
			return bad(s, t, "has fewer elements than its dims need");
		dst = ftl_arena_alloc(s->arena, numel * ftl_dtype_bytes(out->dtype));
		if (raw) {
			unpack(raw, numel, out->dtype, dst);
		} else if (bits && t->n_int32_data == want && want != numel) { /* one int32 per packed byte */
			uint8_t *packed = ftl_arena_alloc(s->arena, want);

			from_lists(t, FTL_U8, want, packed);
			unpack(packed, numel, out->dtype, dst);
		} else if (!from_lists(t, out->dtype, numel, dst)) {
			return bad(s, t, "has a list of data whose length does not match its dims");
		}
		for (uint64_t i = 0; bits && i < numel; i++)
			((uint8_t *)dst)[i] = ftl_low_int(out->dtype, ((uint8_t *)dst)[i]);
		out->blob = (ftl_blob){.data = dst};
	}
	out->blob.bytes = numel * ftl_dtype_bytes(out->dtype);
	out->blob.name = tensor_name(t)[0] ? ftl_arena_str(s->arena, t->name) : NULL;
	if (s->align && ((uintptr_t)out->blob.data & 15)) {
		out->blob.data = ftl_arena_dup(s->arena, out->blob.data, out->blob.bytes);
		out->blob.mapped = false;
	}
	if (out->dtype == FTL_BOOL)
		normalize_bools(s, &out->blob);
	return FTL_OK;
}

ftl_status ftl_tensor_read_sparse(const ftl_tensor_src *s, const Onnx__SparseTensorProto *sp, ftl_tensor_bytes *out)
{
	ftl_tensor_bytes values, index;
	uint64_t numel;
	size_t es;
	char *dst;
	int64_t last = -1;
	bool flat;

	if (!sp->values || !sp->indices)
		return ftl_fail(s->diag, FTL_ERR_MODEL, "%s: a sparse tensor has no values or no indices", s->file);
	FTL_TRY(ftl_tensor_read(s, sp->values, &values));
	FTL_TRY(ftl_tensor_read(s, sp->indices, &index));
	if (values.dtype == FTL_STRING)
		return ftl_fail(s->diag, FTL_ERR_UNSUPPORTED, "%s: sparse tensor \"%s\" of strings", s->file,
				tensor_name(sp->values));
	*out = (ftl_tensor_bytes){.dtype = values.dtype};
	FTL_TRY(read_dims(s, sp->values, sp->n_dims, sp->dims, out, &numel));
	es = ftl_dtype_bytes(values.dtype);
	if (numel * es > MAX_DENSE_BYTES)
		return ftl_fail(s->diag, FTL_ERR_LIMIT, "%s: sparse tensor \"%s\" has more than %llu bytes when dense",
				s->file, tensor_name(sp->values), (unsigned long long)MAX_DENSE_BYTES);
	flat = index.rank == 1;
	if (index.dtype != FTL_I64 || values.rank != 1 || index.rank < 1 || index.rank > 2 ||
	    index.dims[0] != values.dims[0] || (!flat && index.dims[1] != out->rank))
		return bad(s, sp->values, "sparse indices and values do not fit each other");
	dst = ftl_arena_alloc(s->arena, numel * es);
	for (int64_t i = 0; i < values.dims[0]; i++) {
		int64_t at = 0, k;
		for (int j = 0; j < (flat ? 1 : out->rank); j++) {
			int64_t extent = flat ? (int64_t)numel : out->dims[j];
			memcpy(&k, (const char *)index.blob.data + (size_t)(flat ? i : i * out->rank + j) * 8, 8);
			if (k < 0 || k >= extent)
				return bad(s, sp->values, "a sparse index is out of range");
			at = at * extent + k;
		}
		if (at <= last)
			return bad(s, sp->values, "sparse indices are not in ascending order");
		last = at;
		memcpy(dst + (size_t)at * es, (const char *)values.blob.data + (size_t)i * es, es);
	}
	out->blob = (ftl_blob){.data = dst, .bytes = numel * es, .name = values.blob.name};
	return FTL_OK;
}
