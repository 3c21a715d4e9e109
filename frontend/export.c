/* A graph as a standard ONNX file.
 *
 * Ops go through the import table read backwards, or through a function (EXPORT rows of import_table.def). All
 * constants become initializers of the main graph, whose bytes are written straight from where they are (a mapping, an
 * arena), so memory does not grow with the weights. Above external_over bytes, and always where the file would pass
 * the 2 GB protobuf can hold, they go to a second file beside the model.
 * A name is used once in the whole file, subgraphs included: some readers do not allow shadowing. */
#include "exp.h"

#include <errno.h>
#include <stdio.h>

#include "base/file.h"
#include "tensor.h"

#define DEFAULT_EXTERNAL ((uint64_t)1536 << 20)
#define LOWEST_OPSET 17
#define EXTERNAL_ALIGN 64

/* ---- errors, names ---- */

void ftl_exp_fail(exporter *x, ftl_status_code code, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	if (x->failed)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	x->failed = true;
	if (x->node)
		x->status = ftl_fail_node(x->g, x->node, x->diag, code, "export: %s", text);
	else
		x->status = ftl_fail(x->diag, code, "%s: %s", x->path, text);
}

static const char *unique(exporter *x, ftl_map *taken, const char *want)
{
	const char *name = want;

	while (!*name || ftl_map_get(taken, name))
		name = ftl_arena_printf(x->arena, "%s_%u", *want ? want : "v", ++x->ntmp);
	ftl_map_set(taken, name, x);
	return name;
}

const char *ftl_exp_tmp(exporter *x)
{
	return unique(x, x->taken, "t");
}

const char *ftl_exp_label(exporter *x)
{
	return unique(x, x->labels, x->node ? ftl_node_get(x->g, x->node)->loc : "results");
}

const char *ftl_exp_name(exporter *x, ftl_val v)
{
	const ftl_value *val = ftl_value_get(x->g, v);

	if (!v)
		return "";
	if (!x->name[v])
		x->name[v] = unique(x, x->taken, val->name ? val->name : "v");
	return x->name[v];
}

/* An operand that is stored quantized counts as what its values stand for. */
const char *ftl_exp_in(exporter *x, ftl_node_id id, uint32_t k)
{
	const ftl_node *n = ftl_node_get(x->g, id);
	const ftl_encoding *e;
	const char *in[3], *out;

	if (k >= n->nin || !n->in[k])
		return "";
	e = ftl_type_of(x->g, n->in[k])->enc;
	in[0] = ftl_exp_name(x, n->in[k]);
	if (!e || e->kind != FTL_ENC_QUANT || n->op == FTL_OP_dequantize || n->op == FTL_OP_yield)
		return in[0];
	in[1] = ftl_exp_name(x, e->scale);
	in[2] = ftl_exp_name(x, e->zero);
	out = ftl_exp_tmp(x);
	Onnx__NodeProto *dq = ftl_exp_node(x, "DequantizeLinear", 3, in, 1, &out);
	if (e->axis >= 0)
		ftl_exp_i(x, dq, "axis", e->axis);
	if (e->block > 0)
		ftl_exp_i(x, dq, "block_size", e->block);
	return out;
}

const char *ftl_exp_out(exporter *x, ftl_node_id id, uint32_t k)
{
	const ftl_node *n = ftl_node_get(x->g, id);

	return k && ftl_use_count(x->g, n->out[k]) == 0 ? "" : ftl_exp_name(x, n->out[k]);
}

/* ---- ops ---- */

static void fill_rows(exporter *x)
{
	static const struct {
		const char *name, *domain, *attrs;
		int since, until;
		ftl_op op;
	} from_import[] = {
#define IMPORT(domain, name, since, until, op, attrs) {name, domain, attrs, since, until, FTL_OP_##op},
#define EXPORT(name, since, op, attrs) {name, "", attrs, since, 999, FTL_OP_##op},
#include "import_table.def"
	};
	static const struct {
		exp_fn *fn;
		int since;
		ftl_op op;
	} by_function[] = {
#define EXPORT_FN(op, since, fn) {ftl_exp_do_##fn, since, FTL_OP_##op},
#include "import_table.def"
	};

	for (size_t i = 0; i < FTL_COUNT(from_import); i++)
		if (!*from_import[i].domain && from_import[i].until == 999)
			x->rows[from_import[i].op] = (exp_row){from_import[i].name, from_import[i].attrs,
							       from_import[i].since, NULL};
	for (size_t i = 0; i < FTL_COUNT(by_function); i++)
		x->rows[by_function[i].op] = (exp_row){"", "", by_function[i].since, by_function[i].fn};
}

static void plain_attr(exporter *x, Onnx__NodeProto *n, const char *onnx, const ftl_attr_desc *a, const char *at)
{
	int64_t i;
	double f;

	onnx = ftl_arena_str(x->arena, onnx);
	switch (a->kind) {
	case FTL_ATTR_i64:
		memcpy(&i, at, sizeof i);
		if (i != INT64_MAX && i != INT64_MIN) /* these stand for "not given" */
			ftl_exp_i(x, n, onnx, i);
		break;
	case FTL_ATTR_flag: ftl_exp_i(x, n, onnx, *(const bool *)at); break;
	case FTL_ATTR_f64:
		memcpy(&f, at, sizeof f);
		ftl_exp_f(x, n, onnx, f);
		break;
	case FTL_ATTR_str: ftl_exp_s(x, n, onnx, *(const char *const *)at); break;
	case FTL_ATTR_dtype: ftl_exp_i(x, n, onnx, ftl_onnx_dtype_code(*(const ftl_dtype *)at)); break;
	case FTL_ATTR_ints: ftl_exp_ints(x, n, onnx, ((const ftl_ints *)at)->n, ((const ftl_ints *)at)->v); break;
	default: break;
	}
}

/* "onnx:ours~=default,..." as in import_table.def */
void ftl_exp_plain(exporter *x, ftl_node_id id)
{
	const ftl_node *node = ftl_node_get(x->g, id);
	const ftl_op_info *info = ftl_op_get(node->op);
	const exp_row *row = &x->rows[node->op];
	const char **in = FTL_NEW_N(x->arena, const char *, node->nin + 1),
		   **out = FTL_NEW_N(x->arena, const char *, node->nout + 1);
	Onnx__NodeProto *n;

	for (uint32_t k = 0; k < node->nin; k++)
		in[k] = ftl_exp_in(x, id, k);
	for (uint32_t k = 0; k < node->nout; k++)
		out[k] = ftl_exp_out(x, id, k);
	n = ftl_exp_node(x, row->name, node->nin, in, node->nout, out);
	for (const char *s = row->attrs; *s;) {
		char onnx[40] = {0}, ours[40] = {0};
		size_t len = strcspn(s, ":~=,");
		memcpy(onnx, s, len < sizeof onnx ? len : sizeof onnx - 1);
		memcpy(ours, onnx, sizeof ours);
		s += len;
		if (*s == ':') {
			len = strcspn(++s, "~=,");
			memset(ours, 0, sizeof ours);
			memcpy(ours, s, len < sizeof ours ? len : sizeof ours - 1);
			s += len;
		}
		s += strcspn(s, ",");
		s += *s == ',';
		for (int i = 0; i < info->nattr; i++)
			if (!strcmp(info->attr[i].name, ours))
				plain_attr(x, n, onnx, &info->attr[i],
					   (const char *)node->attrs + info->attr[i].offset);
	}
}

void ftl_exp_nodes(exporter *x, ftl_region_id r)
{
	FTL_FOREACH_NODE_IN(x->g, r, id) {
		const ftl_node *n = ftl_node_get(x->g, id);
		const exp_row *row = &x->rows[n->op];

		if (x->failed)
			return;
		x->node = id;
		if (!row->name)
			ftl_exp_fail(x, FTL_ERR_UNSUPPORTED, "the op has no ONNX form");
		else if (row->fn)
			row->fn(x, id);
		else
			ftl_exp_plain(x, id);
	}
}

/* ---- regions ---- */

Onnx__ValueInfoProto *ftl_exp_info(exporter *x, ftl_val v, const char *name, bool shape)
{
	const ftl_type *t = ftl_type_of(x->g, v);
	Onnx__ValueInfoProto *vi = FTL_NEW(x->arena, Onnx__ValueInfoProto);
	Onnx__TypeProto *tp = FTL_NEW(x->arena, Onnx__TypeProto);
	Onnx__TypeProto__Tensor *tt = FTL_NEW(x->arena, Onnx__TypeProto__Tensor);

	onnx__value_info_proto__init(vi);
	onnx__type_proto__init(tp);
	onnx__type_proto__tensor__init(tt);
	vi->name = (char *)name;
	if (t->seq) {
		vi->type = ftl_exp_seq_type(x, t);
		return vi;
	}
	vi->type = tp;
	tp->tensor_type = tt;
	tt->has_elem_type = true;
	tt->elem_type = ftl_onnx_dtype_code(t->dtype);
	if (!shape)
		return vi;
	tt->shape = FTL_NEW(x->arena, Onnx__TensorShapeProto);
	onnx__tensor_shape_proto__init(tt->shape);
	tt->shape->n_dim = (size_t)t->rank;
	tt->shape->dim = FTL_NEW_N(x->arena, Onnx__TensorShapeProto__Dimension *, (size_t)t->rank + 1);
	for (int i = 0; i < t->rank; i++) {
		Onnx__TensorShapeProto__Dimension *d = FTL_NEW(x->arena, Onnx__TensorShapeProto__Dimension);
		onnx__tensor_shape_proto__dimension__init(d);
		tt->shape->dim[i] = d;
		if (ftl_dim_is_const(x->g->st, t->dims[i], &d->dim_value)) {
			d->has_dim_value = true;
		} else if (ftl_dim_get(x->g->st, t->dims[i])->kind == FTL_DIM_SYM) {
			d->dim_param = (char *)ftl_dim_get(x->g->st, t->dims[i])->name;
		} else {
			ftl_text s;
			char *w;
			ftl_text_init(&s, x->arena);
			ftl_dim_print(x->g->st, &s, t->dims[i]);
			w = d->dim_param = s.v;
			for (const char *p = s.v; *p; p++) /* "?past+?seq" reads back as a sum without the marks */
				if (*p != '?')
					*w++ = *p;
			*w = 0;
		}
	}
	return vi;
}

/* Results must be made in the region itself, each once, under the name wanted (NULL: its own). */
static void add_results(exporter *x, ftl_region_id r, const char *const *want, bool shapes, Onnx__GraphProto *gp)
{
	ftl_node_id y = ftl_region_get(x->g, r)->last;
	const ftl_node *n = ftl_node_get(x->g, y);

	gp->output = FTL_NEW_N(x->arena, Onnx__ValueInfoProto *, n->nin + 1);
	gp->n_output = n->nin;
	x->node = 0;
	for (uint32_t k = 0; k < n->nin; k++) {
		const ftl_value *v = ftl_value_get(x->g, n->in[k]);
		const char *name = ftl_exp_name(x, n->in[k]);
		bool own = (want && want[k] == name) ||
			   (v->def && v->region == r && ftl_node_get(x->g, v->def)->op != FTL_OP_const);
		for (uint32_t i = 0; i < k; i++)
			own = own && n->in[i] != n->in[k];
		if (!own || (want && strcmp(want[k], name))) {
			const char *out = want ? want[k] : ftl_exp_tmp(x);
			ftl_exp_node(x, "Identity", 1, &name, 1, &out);
			name = out;
		}
		gp->output[k] = ftl_exp_info(x, n->in[k], name, shapes);
	}
}

void ftl_exp_region(exporter *x, ftl_region_id r, Onnx__GraphProto *gp)
{
	exp_nodes *before = x->out, nodes = {0};
	uint32_t ndims = x->dims.n;
	ftl_node_id node = x->node;
	const ftl_region *reg = ftl_region_get(x->g, r);

	onnx__graph_proto__init(gp);
	gp->name = (char *)ftl_exp_tmp(x);
	gp->n_input = reg->params.n;
	gp->input = FTL_NEW_N(x->arena, Onnx__ValueInfoProto *, reg->params.n + 1);
	for (uint32_t i = 0; i < reg->params.n; i++)
		gp->input[i] = ftl_exp_info(x, reg->params.v[i], ftl_exp_name(x, reg->params.v[i]),
					    ftl_type_of(x->g, reg->params.v[i])->rank ==
						    0); /* ONNX Runtime wants the counter to be a scalar */
	x->out = &nodes;
	ftl_exp_nodes(x, r);
	if (!x->failed)
		add_results(x, r, NULL, false, gp);
	gp->n_node = nodes.n;
	gp->node = nodes.v;
	x->out = before;
	while (x->dims.n > ndims) /* what was computed inside is not seen outside */
		x->dim_name[x->dims.v[--x->dims.n]] = NULL;
	x->node = node;
}

void ftl_exp_add_init(exporter *x, const char *name, ftl_dtype t, int rank, const int64_t *dims, const ftl_blob *blob)
{
	Onnx__TensorProto *p = FTL_NEW(x->arena, Onnx__TensorProto);

	onnx__tensor_proto__init(p);
	p->name = (char *)name;
	p->n_dims = (size_t)rank;
	p->dims = rank ? ftl_arena_dup(x->arena, dims, (size_t)rank * sizeof *dims) : NULL;
	p->has_data_type = true;
	p->data_type = ftl_onnx_dtype_code(t);
	if (ftl_dtype_bits(t) < 8 && blob->data) {
		ftl_blob *packed = FTL_NEW(x->arena, ftl_blob);

		packed->data = ftl_pack(x->arena, t, blob->data, blob->bytes);
		packed->bytes = ftl_packed_bytes(t, blob->bytes);
		blob = packed;
	}
	if (!x->failed)
		ftl_vec_push(x->arena, &x->inits, ((exp_init){p, blob}));
}

/* ---- which opset ---- */

static int raise(int have, int need)
{
	return need > have ? need : have;
}

/* Operators written under one name take what their inputs are from some opset on. */
static int typed_opset(const exporter *x, const ftl_node *n, int v)
{
	const char *name = n->op == FTL_OP_shift ? "BitShift" : x->rows[n->op].name;
	ftl_dtype types[8];
	uint32_t k;

	if (!name || !*name) /* none, or the exporter's own business */
		return v;
	for (k = 0; k < n->nin && k < FTL_COUNT(types); k++)
		types[k] = n->in[k] && !ftl_type_of(x->g, n->in[k])->enc ? ftl_type_of(x->g, n->in[k])->dtype
									 : FTL_NO_DTYPE;
	return ftl_onnx_since(name, raise(v, LOWEST_OPSET), k, types);
}

/* The opset that has an element type at all. */
static int dtype_opset(ftl_dtype t)
{
	switch (t) {
	case FTL_F8E4M3FN:
	case FTL_F8E4M3FNUZ:
	case FTL_F8E5M2:
	case FTL_F8E5M2FNUZ: return 19;
	case FTL_I4:
	case FTL_U4: return 21;
	case FTL_F4E2M1: return 23;
	case FTL_F8E8M0: return 24;
	case FTL_I2:
	case FTL_U2: return 25;
	case FTL_F6E2M3:
	case FTL_F6E3M2: return 28;
	default: return 0;
	}
}

static int node_opset(const exporter *x, const ftl_node *n)
{
	int v = typed_opset(x, n, x->rows[n->op].since);

	for (uint32_t k = 0; k < n->nout; k++)
		v = raise(v, dtype_opset(ftl_type_of(x->g, n->out[k])->dtype));

	for (uint32_t k = 0; k < n->nin; k++) {
		const ftl_type *t = n->in[k] ? ftl_type_of(x->g, n->in[k]) : NULL;
		if (t)
			v = raise(v, dtype_opset(t->dtype));
		if (t && t->enc && t->enc->kind == FTL_ENC_QUANT)
			v = raise(v, t->enc->block > 0 || t->dtype == FTL_I16 || t->dtype == FTL_U16 ? 21 : 13);
	}
	if (n->op == FTL_OP_gelu)
		v = strcmp(FTL_ATTRS(n, gelu)->approximate, "quick") ? 20 : v;
	else if (n->op == FTL_OP_rms_norm)
		v = raise(v, 23);
	else if (n->op == FTL_OP_quantize || n->op == FTL_OP_dequantize)
		for (uint32_t k = 0; k < n->nin + 1; k++) {
			const ftl_type *t = k == n->nin ? ftl_type_of(x->g, n->out[0])
					    : n->in[k]  ? ftl_type_of(x->g, n->in[k])
							: NULL;
			if (t && (t->dtype == FTL_I16 || t->dtype == FTL_U16))
				v = raise(v, 21);
			else if (t && (t->dtype == FTL_F16 || t->dtype == FTL_BF16))
				v = raise(v, 19);
		}
	if ((n->op == FTL_OP_quantize && FTL_ATTRS(n, quantize)->block > 0) ||
	    (n->op == FTL_OP_dequantize && FTL_ATTRS(n, dequantize)->block > 0))
		v = raise(v, 21);
	if (n->op == FTL_OP_mod && !FTL_ATTRS(n, mod)->fmod && ftl_dtype_is_float(ftl_type_of(x->g, n->in[0])->dtype))
		v = raise(v, 28); /* before, fmod = 0 was for integers */
	if (n->op == FTL_OP_pad && !strcmp(FTL_ATTRS(n, pad)->mode, "wrap"))
		v = raise(v, 19);
	if ((n->op == FTL_OP_reduce_max || n->op == FTL_OP_reduce_min) &&
	    ftl_type_of(x->g, n->in[0])->dtype == FTL_BOOL)
		v = raise(v, 20);
	if (n->op == FTL_OP_resize && FTL_ATTRS(n, resize)->antialias)
		v = raise(v, 18);
	if (n->op == FTL_OP_grid_sample && ftl_type_of(x->g, n->in[0])->rank > 4)
		v = raise(v, 20);
	if (n->op == FTL_OP_avg_pool)
		for (uint32_t i = 0; i < FTL_ATTRS(n, avg_pool)->dilations.n; i++)
			if (FTL_ATTRS(n, avg_pool)->dilations.v[i] != 1)
				v = raise(v, 19);
	if ((n->op == FTL_OP_scatter_nd && strlen(FTL_ATTRS(n, scatter_nd)->reduction) == 3) ||
	    (n->op == FTL_OP_scatter_elements && strlen(FTL_ATTRS(n, scatter_elements)->reduction) == 3))
		v = raise(v, 18); /* min and max came after add and mul */
	return v;
}

static int needed_opset(const exporter *x)
{
	int v = LOWEST_OPSET;

	for (ftl_node_id id = 1; id < x->g->nodes.n; id++)
		if (!ftl_node_get(x->g, id)->dead)
			v = raise(v, node_opset(x, ftl_node_get(x->g, id)));
	return v;
}

static int64_t ir_version(int opset)
{
	return opset <= 18   ? 8
	       : opset <= 20 ? 9
	       : opset <= 22 ? 10
	       : opset <= 23 ? 11
	       : opset <= 24 ? 12
	       : opset <= 27 ? 13
			     : 14;
}

/* ---- writing ---- */

typedef struct writer {
	exporter *x;
	FILE *f;
	bool failed;
} writer;

static void put(writer *w, const void *p, size_t n)
{
	if (n && !w->failed && fwrite(p, 1, n, w->f) != n)
		w->failed = true;
}

static size_t varint(uint64_t v, uint8_t *out)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		out[n++] = (uint8_t)(v | 0x80);
	out[n++] = (uint8_t)v;
	return n;
}

static void put_head(writer *w, uint32_t field, uint64_t len)
{
	uint8_t buf[20];
	size_t n = varint((uint64_t)field << 3 | 2, buf);

	n += varint(len, buf + n);
	put(w, buf, n);
}

static uint64_t head_size(uint32_t field, uint64_t len)
{
	uint8_t buf[20];

	return varint((uint64_t)field << 3 | 2, buf) + varint(len, buf);
}

static void put_message(writer *w, uint32_t field, const ProtobufCMessage *msg)
{
	size_t n = protobuf_c_message_get_packed_size(msg);
	uint8_t *buf = ftl_arena_alloc(w->x->arena, n + 1);

	put_head(w, field, n);
	put(w, buf, protobuf_c_message_pack(msg, buf));
}

static uint64_t message_size(uint32_t field, const ProtobufCMessage *msg)
{
	size_t n = protobuf_c_message_get_packed_size(msg);

	return head_size(field, n) + n;
}

enum {
	TENSOR_RAW = 9,
	GRAPH_NODE = 1,
	GRAPH_NAME = 2,
	GRAPH_INIT = 5,
	GRAPH_INPUT = 11,
	GRAPH_OUTPUT = 12,
	MODEL_GRAPH = 7
};

static uint64_t init_size(const exp_init *t, bool external)
{
	uint64_t n = protobuf_c_message_get_packed_size(&t->head->base);

	return external ? n : n + head_size(TENSOR_RAW, t->blob->bytes) + t->blob->bytes;
}

static bool is_external(const exp_init *t)
{
	return t->head->data_location == 1;
}

static void put_init(writer *w, const exp_init *t)
{
	size_t n = protobuf_c_message_get_packed_size(&t->head->base);
	uint8_t *buf = ftl_arena_alloc(w->x->arena, n + 1);

	put_head(w, GRAPH_INIT, init_size(t, is_external(t)));
	put(w, buf, protobuf_c_message_pack(&t->head->base, buf));
	if (is_external(t))
		return;
	put_head(w, TENSOR_RAW, t->blob->bytes);
	put(w, t->blob->data, t->blob->bytes);
	if (t->blob->mapped)
		ftl_file_forget(t->blob->data, t->blob->bytes);
}

static void entry(exporter *x, Onnx__TensorProto *t, int i, const char *key, const char *value)
{
	Onnx__StringStringEntryProto *e = FTL_NEW(x->arena, Onnx__StringStringEntryProto);

	onnx__string_string_entry_proto__init(e);
	e->key = (char *)key;
	e->value = (char *)value;
	t->external_data[i] = e;
}

/* Files are written beside their place and renamed there, so that a reader never sees half of one. */
static ftl_status finish_file(writer *w, const char *tmp, const char *path)
{
	bool bad = w->failed;

	bad = fclose(w->f) != 0 || bad;
	if (!bad && rename(tmp, path) == 0)
		return FTL_OK;
	int err = errno;
	remove(tmp);
	return ftl_fail(w->x->diag, FTL_ERR_IO, "%s: cannot be written: %s", path, strerror(err));
}

static ftl_status open_file(exporter *x, writer *w, const char *path, const char **tmp)
{
	*tmp = ftl_arena_printf(x->arena, "%s.tmp", path);
	*w = (writer){.x = x, .f = fopen(*tmp, "wb")};
	if (!w->f)
		return ftl_fail(x->diag, FTL_ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
	return FTL_OK;
}

static ftl_status write_external(exporter *x)
{
	const char *path = ftl_arena_printf(x->arena, "%s.data", x->path), *slash = strrchr(path, '/'), *tmp;
	const char *location = slash ? slash + 1 : path;
	uint64_t at = 0;
	writer w;

	FTL_TRY(open_file(x, &w, path, &tmp));
	for (uint32_t i = 0; i < x->inits.n; i++) {
		static const char zeros[EXTERNAL_ALIGN];
		const exp_init *t = &x->inits.v[i];
		if (t->blob->bytes < 1024)
			continue;
		put(&w, zeros, (EXTERNAL_ALIGN - at % EXTERNAL_ALIGN) % EXTERNAL_ALIGN);
		at = (at + EXTERNAL_ALIGN - 1) / EXTERNAL_ALIGN * EXTERNAL_ALIGN;
		t->head->has_data_location = true;
		t->head->data_location = 1;
		t->head->n_external_data = 3;
		t->head->external_data = FTL_NEW_N(x->arena, Onnx__StringStringEntryProto *, 3);
		entry(x, t->head, 0, "location", location);
		entry(x, t->head, 1, "offset", ftl_arena_printf(x->arena, "%llu", (unsigned long long)at));
		entry(x, t->head, 2, "length", ftl_arena_printf(x->arena, "%zu", t->blob->bytes));
		put(&w, t->blob->data, t->blob->bytes);
		at += t->blob->bytes;
		if (t->blob->mapped)
			ftl_file_forget(t->blob->data, t->blob->bytes);
	}
	return finish_file(&w, tmp, path);
}

static ftl_status write_model(exporter *x, const Onnx__GraphProto *gp)
{
	Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
	Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets[1] = {&opset};
	uint64_t weights = 0, size = 0;
	const char *tmp;
	size_t n;
	writer w;

	for (uint32_t i = 0; i < x->inits.n; i++) {
		if (!x->inits.v[i].blob->data && x->inits.v[i].blob->bytes)
			return ftl_fail(x->diag, FTL_ERR_MODEL, "%s: the bytes of constant \"%s\" are not here",
					x->path, x->inits.v[i].head->name);
		weights += x->inits.v[i].blob->bytes;
	}
	if (weights > (x->opt.external_over ? x->opt.external_over : DEFAULT_EXTERNAL))
		FTL_TRY(write_external(x));
	for (size_t i = 0; i < gp->n_node; i++)
		size += message_size(GRAPH_NODE, &gp->node[i]->base);
	for (size_t i = 0; i < gp->n_input; i++)
		size += message_size(GRAPH_INPUT, &gp->input[i]->base);
	for (size_t i = 0; i < gp->n_output; i++)
		size += message_size(GRAPH_OUTPUT, &gp->output[i]->base);
	for (uint32_t i = 0; i < x->inits.n; i++) {
		uint64_t t = init_size(&x->inits.v[i], is_external(&x->inits.v[i]));
		size += head_size(GRAPH_INIT, t) + t;
	}
	size += head_size(GRAPH_NAME, strlen(gp->name)) + strlen(gp->name);
	if (size > INT32_MAX)
		return ftl_fail(x->diag, FTL_ERR_LIMIT,
				"%s: the model is larger than the 2 GB a protobuf file can have", x->path);

	opset.domain = "";
	opset.has_version = true;
	opset.version = x->opset;
	model.has_ir_version = true;
	model.ir_version = ir_version(x->opset);
	model.producer_name = (char *)(x->opt.producer ? x->opt.producer : "fettle");
	model.n_opset_import = 1;
	model.opset_import = opsets;
	FTL_TRY(open_file(x, &w, x->path, &tmp));
	n = onnx__model_proto__get_packed_size(&model);
	uint8_t *buf = ftl_arena_alloc(x->arena, n);
	put(&w, buf, onnx__model_proto__pack(&model, buf));
	put_head(&w, MODEL_GRAPH, size);
	for (size_t i = 0; i < gp->n_node; i++)
		put_message(&w, GRAPH_NODE, &gp->node[i]->base);
	put_head(&w, GRAPH_NAME, strlen(gp->name));
	put(&w, gp->name, strlen(gp->name));
	for (uint32_t i = 0; i < x->inits.n; i++)
		put_init(&w, &x->inits.v[i]);
	for (size_t i = 0; i < gp->n_input; i++)
		put_message(&w, GRAPH_INPUT, &gp->input[i]->base);
	for (size_t i = 0; i < gp->n_output; i++)
		put_message(&w, GRAPH_OUTPUT, &gp->output[i]->base);
	return finish_file(&w, tmp, x->path);
}

/* Inputs keep their names; results get theirs, unless an input or another result has it. */
static const char **reserve_names(exporter *x)
{
	const ftl_graph *g = x->g;
	const ftl_region *body = ftl_region_get(g, g->body);
	const ftl_node *y = ftl_node_get(g, body->last);
	const char **want = FTL_NEW_N(x->arena, const char *, y->nin + 1);

	for (uint32_t i = 0; i < body->params.n; i++)
		ftl_exp_name(x, body->params.v[i]);
	for (uint32_t k = 0; k < y->nin; k++) {
		const ftl_value *v = ftl_value_get(g, y->in[k]);
		/* an input handed on under its own name is an output as it is */
		if (!v->def && k < g->out_names.n && !strcmp(x->name[y->in[k]], g->out_names.v[k])) {
			want[k] = x->name[y->in[k]];
			continue;
		}
		want[k] = unique(x, x->taken, k < g->out_names.n ? g->out_names.v[k] : "output");
		if (v->def && v->region == g->body && ftl_node_get(g, v->def)->op != FTL_OP_const && !x->name[y->in[k]])
			x->name[y->in[k]] = want[k];
	}
	return want;
}

ftl_status ftl_onnx_export(ftl_arena *arena, const ftl_graph *graph, const char *path, const ftl_export_options *opt,
			   ftl_diag *d)
{
	exporter *x = FTL_NEW(arena, exporter);
	Onnx__GraphProto gp = ONNX__GRAPH_PROTO__INIT;
	const ftl_region *body = ftl_region_get(graph, graph->body);
	const char **want;
	exp_nodes nodes = {0};
	int need;

	if (opt)
		x->opt = *opt;
	x->arena = arena;
	x->g = graph;
	x->diag = d;
	x->path = path;
	x->taken = ftl_map_new(arena);
	x->labels = ftl_map_new(arena);
	x->lists = ftl_map_new(arena);
	x->name = FTL_NEW_N(arena, const char *, graph->values.n);
	x->dim_name = FTL_NEW_N(arena, const char *, (size_t)ftl_dim_count(graph->st) + 1);
	x->out = &nodes;
	fill_rows(x);
	if (!body->last || ftl_node_get(graph, body->last)->op != FTL_OP_yield)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: the graph has no results", path);
	need = needed_opset(x);
	if (x->opt.opset && x->opt.opset < need)
		return ftl_fail(d, FTL_ERR_UNSUPPORTED, "%s: the graph needs opset %d, %d was asked for", path, need,
				x->opt.opset);
	x->opset = x->opt.opset ? x->opt.opset : need;
	want = reserve_names(x);
	gp.name = (char *)graph->name;
	gp.n_input = body->params.n;
	gp.input = FTL_NEW_N(arena, Onnx__ValueInfoProto *, body->params.n + 1);
	for (uint32_t i = 0; i < body->params.n; i++)
		gp.input[i] = ftl_exp_info(x, body->params.v[i], ftl_exp_name(x, body->params.v[i]), true);
	ftl_exp_nodes(x, graph->body);
	if (!x->failed)
		add_results(x, graph->body, want, true, &gp);
	if (x->failed)
		return x->status;
	gp.n_node = nodes.n;
	gp.node = nodes.v;
	return write_model(x, &gp);
}
