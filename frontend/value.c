/* Values of data sets, as ONNX stores them: a TensorProto, SequenceProto or OptionalProto by itself in a file.
 *
 * Nothing in such a file says which of the three it is. A tensor has fields that the others lack, and its field 1 is a list
 * of numbers where theirs is a name; an optional tensor and a sequence of one tensor are the same bytes, and read as
 * the sequence. */
#include "base/file.h"
#include "frontend/onnx.h"
#include "tensor.h"
#include "wire.h"

/* elem_type of SequenceProto and OptionalProto */
enum { ELEM_NONE = 0, ELEM_TENSOR = 1, ELEM_SEQUENCE = 3 };

/* What the fields of a message look like from outside. */
typedef struct survey {
	uint32_t seen;   /* bit n: field n */
	bool number_one; /* field 1 is a number */
	uint64_t two;    /* field 2, if it is one */
	const uint8_t *five;
	size_t five_bytes; /* field 5, if it is bytes */
} survey;

static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
		uint8_t b = *(*p)++;

		*out |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

/* False where this is no protobuf; reading it as a tensor says so properly. */
static bool look(const uint8_t *p, size_t n, survey *s)
{
	const uint8_t *end = p + n;
	uint64_t tag, x;

	while (p < end) {
		if (!varint(&p, end, &tag))
			return false;
		switch (tag & 7) {
		case 0:
			if (!varint(&p, end, &x))
				return false;
			s->number_one |= tag >> 3 == 1;
			s->two = tag >> 3 == 2 ? x : s->two;
			break;
		case 1: x = 8; break;
		case 2:
			if (!varint(&p, end, &x))
				return false;
			break;
		case 5: x = 4; break;
		default: return false;
		}
		if (tag & 7) {
			if (x > (uint64_t)(end - p))
				return false;
			if (tag == (5 << 3 | 2)) {
				s->five = p;
				s->five_bytes = (size_t)x;
			}
			p += x;
		}
		s->seen |= tag >> 3 < 32 ? 1u << (tag >> 3) : 0;
	}
	return true;
}

static bool is_tensor(const uint8_t *p, size_t n)
{
	survey s = {0}, inner = {0};

	if (!look(p, n, &s) || s.number_one || s.seen & ~(1u << 1 | 1u << 2 | 1u << 3 | 1u << 5))
		return true;
	/* field 5 of a tensor holds numbers: of a scalar one, and one number is no message */
	if (s.seen & 1u << 5)
		return s.two != ELEM_SEQUENCE || !look(s.five, s.five_bytes, &inner);
	return s.two > ELEM_SEQUENCE;
}

static ftl_status string_pointers(ftl_tensor_src *src, const Onnx__TensorProto *pb, const ftl_tensor_bytes *t,
				  ftl_pb_tensor *out)
{
	const ftl_str *v = t->blob.data;
	size_t n = t->blob.bytes / sizeof *v;
	const char **p = FTL_NEW_N(src->arena, const char *, n + 1);

	for (size_t i = 0; i < n; i++) {
		if (memchr(v[i].p, 0, v[i].n))
			return ftl_fail(src->diag, FTL_ERR_UNSUPPORTED,
					"%s: tensor \"%s\": string %zu has a NUL inside", src->file,
					pb->name ? pb->name : "", i);
		p[i] = v[i].p;
	}
	out->data = p;
	out->bytes = n * sizeof *p;
	return FTL_OK;
}

static ftl_status from_proto(ftl_tensor_src *src, const Onnx__TensorProto *pb, ftl_pb_tensor *out)
{
	ftl_tensor_bytes t;

	if (!pb->has_data_type)
		return ftl_fail(src->diag, FTL_ERR_MODEL, "%s: not a tensor: it has no element type", src->file);
	FTL_TRY(ftl_tensor_read(src, pb, &t));
	*out = (ftl_pb_tensor){.name = pb->name ? pb->name : "",
			       .dtype = t.dtype,
			       .rank = t.rank,
			       .data = t.blob.data,
			       .bytes = t.blob.bytes};
	memcpy(out->dims, t.dims, sizeof t.dims);
	return t.dtype == FTL_STRING ? string_pointers(src, pb, &t, out) : FTL_OK;
}

static ftl_status from_sequence(ftl_tensor_src *src, const Onnx__SequenceProto *s, ftl_pb_value *out)
{
	if (s->has_elem_type && s->elem_type != ELEM_TENSOR && s->elem_type != ELEM_NONE)
		return ftl_fail(src->diag, FTL_ERR_UNSUPPORTED, "%s: a sequence of something else than tensors",
				src->file);
	out->n = s->n_tensor_values;
	out->items = FTL_NEW_N(src->arena, ftl_pb_tensor, out->n + 1);
	for (size_t i = 0; i < out->n; i++)
		FTL_TRY(from_proto(src, s->tensor_values[i], &out->items[i]));
	return FTL_OK;
}

ftl_status ftl_pb_value_read(ftl_arena *arena, const char *path, ftl_diag *d, ftl_pb_value *out)
{
	ftl_tensor_src src = {.arena = arena,
			      .file = path,
			      .dir = ftl_path_dir(arena, path),
			      .files = ftl_map_new(arena),
			      .mapped = true,
			      .align = true,
			      .diag = d};
	const Onnx__OptionalProto *opt;
	const Onnx__SequenceProto *seq;
	ProtobufCMessage *msg;
	survey s = {0};
	ftl_file f;

	*out = (ftl_pb_value){.name = "", .kind = FTL_PB_TENSOR, .n = 1};
	FTL_TRY(ftl_file_map(arena, path, d, &f));
	src.base = f.data;
	src.base_size = f.size;
	if (is_tensor(f.data, f.size)) {
		FTL_TRY(ftl_wire_unpack(arena, &onnx__tensor_proto__descriptor, f.data, f.size, 0, path, d, &msg));
		out->items = FTL_NEW(arena, ftl_pb_tensor);
		FTL_TRY(from_proto(&src, (const Onnx__TensorProto *)msg, out->items));
		out->name = out->items->name;
		return FTL_OK;
	}
	(void)look(f.data, f.size, &s);
	if (s.two == ELEM_TENSOR) {
		FTL_TRY(ftl_wire_unpack(arena, &onnx__sequence_proto__descriptor, f.data, f.size, 0, path, d, &msg));
		seq = (const Onnx__SequenceProto *)msg;
		out->name = seq->name ? seq->name : "";
		out->kind = FTL_PB_SEQUENCE;
		return from_sequence(&src, seq, out);
	}
	FTL_TRY(ftl_wire_unpack(arena, &onnx__optional_proto__descriptor, f.data, f.size, 0, path, d, &msg));
	opt = (const Onnx__OptionalProto *)msg;
	out->name = opt->name ? opt->name : "";
	out->n = 0;
	out->none = !opt->sequence_value;
	out->kind = opt->sequence_value ? FTL_PB_OPTIONAL_SEQUENCE : FTL_PB_OPTIONAL;
	return opt->sequence_value ? from_sequence(&src, opt->sequence_value, out) : FTL_OK;
}

/* ---- writing ---- */

static void to_proto(ftl_arena *scratch, const ftl_pb_tensor *t, Onnx__TensorProto *pb)
{
	onnx__tensor_proto__init(pb);
	pb->n_dims = (size_t)t->rank;
	pb->dims = (int64_t *)t->dims;
	pb->has_data_type = true;
	pb->data_type = ftl_onnx_dtype_code(t->dtype);
	pb->name = (char *)(t->name && *t->name ? t->name : NULL);
	if (t->dtype == FTL_STRING) {
		const char *const *v = t->data;

		pb->n_string_data = t->bytes / sizeof *v;
		pb->string_data = FTL_NEW_N(scratch, ProtobufCBinaryData, pb->n_string_data + 1);
		for (size_t i = 0; i < pb->n_string_data; i++)
			pb->string_data[i] = (ProtobufCBinaryData){.len = v[i] ? strlen(v[i]) : 0,
								   .data = (uint8_t *)v[i]};
		return;
	}
	pb->has_raw_data = true;
	pb->raw_data.data = (uint8_t *)ftl_pack(scratch, t->dtype, t->data, t->bytes);
	pb->raw_data.len = ftl_dtype_bits(t->dtype) < 8 ? ftl_packed_bytes(t->dtype, t->bytes) : t->bytes;
}

ftl_status ftl_pb_value_write(ftl_arena *scratch, const char *path, const ftl_pb_value *v, ftl_diag *d)
{
	Onnx__SequenceProto seq = ONNX__SEQUENCE_PROTO__INIT;
	Onnx__OptionalProto opt = ONNX__OPTIONAL_PROTO__INIT;
	Onnx__TensorProto *t = FTL_NEW_N(scratch, Onnx__TensorProto, v->n + 1);
	char *name = (char *)(v->name && *v->name ? v->name : NULL);
	const ProtobufCMessage *msg;
	uint8_t *buf;
	size_t n;

	seq.n_tensor_values = v->n;
	seq.tensor_values = FTL_NEW_N(scratch, Onnx__TensorProto *, v->n + 1);
	seq.has_elem_type = opt.has_elem_type = true;
	seq.elem_type = ELEM_TENSOR;
	for (size_t i = 0; i < v->n; i++) {
		to_proto(scratch, &v->items[i], &t[i]);
		seq.tensor_values[i] = &t[i];
	}
	switch (v->kind) {
	case FTL_PB_SEQUENCE:
		seq.name = name;
		msg = &seq.base;
		break;
	case FTL_PB_OPTIONAL:
		opt.name = name;
		opt.elem_type = v->n ? ELEM_TENSOR : ELEM_NONE;
		opt.tensor_value = v->n ? t : NULL;
		msg = &opt.base;
		break;
	case FTL_PB_OPTIONAL_SEQUENCE:
		opt.name = name;
		opt.elem_type = v->none ? ELEM_NONE : ELEM_SEQUENCE;
		opt.sequence_value = v->none ? NULL : &seq;
		msg = &opt.base;
		break;
	default: msg = &t[0].base; break;
	}
	n = protobuf_c_message_get_packed_size(msg);
	buf = ftl_arena_alloc(scratch, n);
	protobuf_c_message_pack(msg, buf);
	return ftl_file_write(path, buf, n, d);
}
