/* Protobuf wire format: check, slim, unpack.
 *
 * protobuf-c copies every bytes field, so a model with its weights inline would be held twice. Before it sees the
 * message we walk the wire format along protobuf-c's own descriptors and write a slim copy: large
 * TensorProto.raw_data become a reference (raw_at, raw_len), documentation, metadata and unknown fields go.
 * The walk is also the check: whatever comes out is well formed, of bounded depth, and of the types the schema
 * says, so that protobuf-c only meets what it was made for.
 *
 * Two passes: the first validates and notes the slim size of every nested message in the order met, the second
 * writes. Both are linear in the file. */
#include "wire.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_32 = 5 };

#define MAX_DEPTH 100
#define BIG_RAW 4096
#define RAW_AT_FIELD 536870001u
#define RAW_LEN_FIELD 536870002u
#define RAW_REF_BYTES (2 * (5 + 8)) /* two tags of five bytes, two fixed64 */

typedef struct wire {
	ftl_arena *arena;
	const uint8_t *base;
	const char *file;
	ftl_diag *diag;
	FTL_VEC(size_t) sizes; /* slim sizes of nested messages, in order */
	uint32_t next;         /* second pass: the one to come */
	uint8_t *out;
} wire;

typedef struct field {
	uint32_t id;
	int type;
	const uint8_t *tag, *val; /* where the tag and the payload begin */
	size_t len;               /* payload bytes */
	const ProtobufCFieldDescriptor *desc;
} field;

static ftl_status malformed(wire *w, const uint8_t *at, const char *why)
{
	return ftl_fail(w->diag, FTL_ERR_MODEL, "%s: malformed protobuf at byte %zu: %s", w->file,
			(size_t)(at - w->base), why);
}

static ftl_status varint(wire *w, const uint8_t **pp, const uint8_t *end, uint64_t *out)
{
	const uint8_t *p = *pp;
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		if (p == end)
			return malformed(w, *pp, "truncated number");
		if (shift == 63 && (*p & 0xfe))
			return malformed(w, *pp, "number longer than 64 bits");
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p++ & 0x80))
			break;
	}
	*pp = p;
	*out = v;
	return FTL_OK;
}

static bool is_packable(ProtobufCType t)
{
	return t != PROTOBUF_C_TYPE_STRING && t != PROTOBUF_C_TYPE_BYTES && t != PROTOBUF_C_TYPE_MESSAGE;
}

static int wire_type_of(ProtobufCType t)
{
	switch (t) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT: return WIRE_32;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE: return WIRE_64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE: return WIRE_LEN;
	default: return WIRE_VARINT;
	}
}

static ftl_status check_packed(wire *w, const field *f)
{
	const uint8_t *p = f->val, *end = f->val + f->len;
	int t = wire_type_of(f->desc->type);
	uint64_t v;

	if (t == WIRE_32 || t == WIRE_64)
		return f->len % (t == WIRE_32 ? 4 : 8) ? malformed(w, f->val, "packed list has a partial element")
						       : FTL_OK;
	while (p < end)
		FTL_TRY(varint(w, &p, end, &v));
	return FTL_OK;
}

/* The field at *pp; desc NULL when the schema (or fettle) has no use for it. */
static ftl_status next_field(wire *w, const ProtobufCMessageDescriptor *md, const uint8_t **pp, const uint8_t *end,
			     field *f)
{
	uint64_t tag, v;
	const uint8_t *p = *pp;

	f->tag = p;
	FTL_TRY(varint(w, &p, end, &tag));
	if (tag >> 32 || tag >> 3 == 0)
		return malformed(w, f->tag, "invalid field number");
	f->id = (uint32_t)(tag >> 3);
	f->type = (int)(tag & 7);
	f->val = p;
	switch (f->type) {
	case WIRE_VARINT:
		FTL_TRY(varint(w, &p, end, &v));
		f->len = (size_t)(p - f->val);
		break;
	case WIRE_64:
	case WIRE_32:
		f->len = f->type == WIRE_64 ? 8 : 4;
		if ((size_t)(end - p) < f->len)
			return malformed(w, p, "truncated number");
		p += f->len;
		break;
	case WIRE_LEN:
		FTL_TRY(varint(w, &p, end, &v));
		if (v > (uint64_t)(end - p))
			return malformed(w, f->val, "length goes beyond the enclosing message");
		f->val = p;
		f->len = (size_t)v;
		p += f->len;
		break;
	case 3:
	case 4: return malformed(w, f->tag, "groups are not allowed");
	default: return malformed(w, f->tag, "unknown wire type");
	}
	*pp = p;

	f->desc = protobuf_c_message_descriptor_get_field(md, f->id);
	if (!f->desc)
		return FTL_OK;
	if (f->type == WIRE_LEN && f->desc->label == PROTOBUF_C_LABEL_REPEATED && is_packable(f->desc->type)) {
		FTL_TRY(check_packed(w, f));
	} else if (f->type != wire_type_of(f->desc->type)) {
		return malformed(w, f->tag, "field has the wrong wire type");
	} else if (f->desc->type == PROTOBUF_C_TYPE_STRING && memchr(f->val, 0, f->len)) {
		return malformed(w, f->val, "name contains a NUL byte");
	}
	if (f->id == RAW_AT_FIELD || f->id == RAW_LEN_FIELD || !strcmp(f->desc->name, "doc_string") ||
	    !strcmp(f->desc->name, "metadata_props"))
		f->desc = NULL;
	return FTL_OK;
}

static bool is_big_raw(const ProtobufCMessageDescriptor *md, const field *f)
{
	return md == &onnx__tensor_proto__descriptor && f->id == 9 && f->len > BIG_RAW;
}

static size_t varint_size(uint64_t v)
{
	size_t n = 1;

	while (v >>= 7)
		n++;
	return n;
}

static ftl_status measure(wire *w, const ProtobufCMessageDescriptor *md, const uint8_t *p, const uint8_t *end,
			  int depth, size_t *out)
{
	size_t total = 0;
	field f;

	if (depth > MAX_DEPTH)
		return ftl_fail(w->diag, FTL_ERR_LIMIT, "%s: messages are nested deeper than %d at byte %zu", w->file,
				MAX_DEPTH, (size_t)(p - w->base));
	while (p < end) {
		FTL_TRY(next_field(w, md, &p, end, &f));
		if (!f.desc)
			continue;
		if (f.desc->type == PROTOBUF_C_TYPE_MESSAGE) {
			uint32_t slot = w->sizes.n;
			size_t body;

			ftl_vec_push(w->arena, &w->sizes, 0);
			FTL_TRY(measure(w, f.desc->descriptor, f.val, f.val + f.len, depth + 1, &body));
			w->sizes.v[slot] = body;
			total += varint_size((uint64_t)f.id << 3) + varint_size(body) + body;
		} else if (is_big_raw(md, &f)) {
			total += RAW_REF_BYTES;
		} else {
			total += (size_t)(p - f.tag);
		}
	}
	*out = total;
	return FTL_OK;
}

static void put_varint(wire *w, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*w->out++ = (uint8_t)(v | 0x80);
	*w->out++ = (uint8_t)v;
}

static void put_fixed64(wire *w, uint32_t id, uint64_t v)
{
	put_varint(w, (uint64_t)id << 3 | WIRE_64);
	for (int i = 0; i < 8; i++)
		*w->out++ = (uint8_t)(v >> (8 * i));
}

/* The message again, which measure() accepted; only the size of w->out and w->sizes may be relied on. */
static ftl_status emit(wire *w, const ProtobufCMessageDescriptor *md, const uint8_t *p, const uint8_t *end)
{
	field f;

	while (p < end) {
		FTL_TRY(next_field(w, md, &p, end, &f));
		if (!f.desc)
			continue;
		if (f.desc->type == PROTOBUF_C_TYPE_MESSAGE) {
			put_varint(w, (uint64_t)f.id << 3 | WIRE_LEN);
			put_varint(w, w->sizes.v[w->next++]);
			FTL_TRY(emit(w, f.desc->descriptor, f.val, f.val + f.len));
		} else if (is_big_raw(md, &f)) {
			put_fixed64(w, RAW_AT_FIELD, (uint64_t)(f.val - w->base));
			put_fixed64(w, RAW_LEN_FIELD, f.len);
		} else {
			memcpy(w->out, f.tag, (size_t)(p - f.tag));
			w->out += p - f.tag;
		}
	}
	return FTL_OK;
}

typedef struct pb_memory {
	ftl_arena *arena;
	size_t left;
} pb_memory;

static void *pb_alloc(void *user, size_t n)
{
	pb_memory *m = user;

	if (n > m->left)
		return NULL;
	m->left -= n;
	return ftl_arena_alloc(m->arena, n);
}

static void pb_free(void *user, void *p)
{
	FTL_UNUSED(user);
	FTL_UNUSED(p);
}

ftl_status ftl_wire_unpack(ftl_arena *arena, const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t n,
			   size_t max_bytes, const char *file, ftl_diag *d, ProtobufCMessage **out)
{
	wire w = {.arena = arena, .base = data, .file = file, .diag = d};
	pb_memory mem = {.arena = arena};
	ProtobufCAllocator alloc = {.alloc = pb_alloc, .free = pb_free, .allocator_data = &mem};
	size_t slim;
	uint8_t *buf;

	FTL_TRY(measure(&w, desc, data, data + n, 0, &slim));
	/* An empty nested message costs two bytes in the file and some hundred in memory: bound the ratio. */
	mem.left = max_bytes ? max_bytes : ((size_t)64 << 20) + (slim < SIZE_MAX / 64 ? slim * 32 : SIZE_MAX / 2);
	if (slim > mem.left)
		return ftl_fail(d, FTL_ERR_LIMIT, "%s: the model needs more than the %zu bytes allowed (max_bytes)",
				file, mem.left);
	buf = ftl_arena_alloc(arena, slim ? slim : 1);
	w.out = buf;
	FTL_TRY(emit(&w, desc, data, data + n));
	*out = protobuf_c_message_unpack(desc, &alloc, slim, buf);
	if (!*out)
		return ftl_fail(d, FTL_ERR_LIMIT,
				"%s: unpacking the model needs more than the memory allowed (max_bytes)", file);
	return FTL_OK;
}
