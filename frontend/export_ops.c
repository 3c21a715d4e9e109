/* Ops that are no single ONNX node with the same attributes: what ONNX takes as inputs, what it spells differently, and
 * what it lacks. */
#include <math.h>

#include "exp.h"
#include "tensor.h"

static const ftl_type *type_in(const exporter *x, ftl_node_id id, uint32_t k)
{
	return ftl_type_of(x->g, ftl_node_get(x->g, id)->in[k]);
}

static const ftl_type *type_out(const exporter *x, ftl_node_id id)
{
	return ftl_type_of(x->g, ftl_node_get(x->g, id)->out[0]);
}

#define ATTRS_OF(op) const struct ftl_attrs_##op *a = FTL_ATTRS(ftl_node_get(x->g, id), op)

/* A node with the op's own first output. */
static Onnx__NodeProto *node(exporter *x, ftl_node_id id, const char *op, uint32_t nin, const char *const *in)
{
	const char *out = ftl_exp_out(x, id, 0);

	return ftl_exp_node(x, op, nin, in, 1, &out);
}

static void node2(exporter *x, ftl_node_id id, const char *op, const char *a, const char *b)
{
	node(x, id, op, 2, (const char *const[]){a, b});
}

void ftl_exp_do_const(exporter *x, ftl_node_id id)
{
	ATTRS_OF(const);
	int64_t dims[FTL_MAX_RANK];
	const ftl_type *t = type_out(x, id);

	if (!ftl_type_is_static(x->g, t, dims))
		ftl_exp_fail(x, FTL_ERR_MODEL, "a constant has an unknown shape");
	else
		ftl_exp_add_init(x, ftl_exp_out(x, id, 0), t->dtype, t->rank, dims, a->blob);
}

void ftl_exp_do_yield(exporter *x, ftl_node_id id)
{
	(void)x;
	(void)id; /* results are the region's business */
}

void ftl_exp_do_dims(exporter *x, ftl_node_id id)
{
	ATTRS_OF(dims);
	const char *v = ftl_exp_dims(x, a->values.n, a->values.v);

	if (a->scalar) {
		v = ftl_exp_op2(x, "Reshape", v, ftl_exp_i64s(x, 0, NULL));
	}
	Onnx__NodeProto *n = node(x, id, a->dtype == FTL_I64 ? "Identity" : "Cast", 1, &v);
	if (a->dtype != FTL_I64)
		ftl_exp_i(x, n, "to", ftl_onnx_dtype_code(a->dtype));
}

void ftl_exp_do_reshape(exporter *x, ftl_node_id id)
{
	ATTRS_OF(reshape);
	const char *in[2] = {ftl_exp_in(x, id, 0)};
	const ftl_node *n = ftl_node_get(x->g, id);
	const ftl_type *from = type_in(x, id, 0);
	int64_t v[FTL_MAX_RANK], c;
	uint32_t unknown = 0;
	bool zero = false;

	if (n->nin > 1) {
		in[1] = ftl_exp_in(x, id, 1);
		Onnx__NodeProto *o = node(x, id, "Reshape", 2, in);
		if (a->allow_zero)
			ftl_exp_i(x, o, "allowzero", 1);
		return;
	}
	/* 0 copies a dim that stays in its place, -1 is the one other unknown */
	for (uint32_t i = 0; i < a->dims.n; i++) {
		if (ftl_dim_is_const(x->g->st, a->dims.v[i], &c)) {
			v[i] = c;
			zero = zero || c == 0;
		} else if ((int)i < from->rank && from->dims[i] == a->dims.v[i]) {
			v[i] = 0;
		} else {
			v[i] = -1;
			unknown++;
		}
	}
	/* -1 cannot be told next to a copied dim that may be 0 at run time, as a past of nothing is */
	for (uint32_t i = 0; i < a->dims.n && unknown; i++)
		zero = zero || v[i] == 0;
	if (unknown > 1 || zero)
		in[1] = ftl_exp_dims(x, a->dims.n, a->dims.v);
	else
		in[1] = ftl_exp_i64s(x, a->dims.n, v);
	Onnx__NodeProto *o = node(x, id, "Reshape", 2, in);
	if (unknown > 1 || zero)
		ftl_exp_i(x, o, "allowzero", 1);
}

/* ---- control flow ---- */

static Onnx__NodeProto *regions_node(exporter *x, ftl_node_id id, const char *op)
{
	const ftl_node *n = ftl_node_get(x->g, id);
	const char **in = FTL_NEW_N(x->arena, const char *, n->nin + 1),
		   **out = FTL_NEW_N(x->arena, const char *, n->nout + 1);

	for (uint32_t k = 0; k < n->nin; k++)
		in[k] = ftl_exp_in(x, id, k);
	for (uint32_t k = 0; k < n->nout; k++)
		out[k] = ftl_exp_name(x, n->out[k]);
	return ftl_exp_node(x, op, n->nin, in, n->nout, out);
}

static void subgraph(exporter *x, ftl_node_id id, Onnx__NodeProto *n, const char *name, uint32_t r)
{
	Onnx__GraphProto *gp = FTL_NEW(x->arena, Onnx__GraphProto);

	ftl_exp_region(x, ftl_node_get(x->g, id)->regions[r], gp);
	ftl_exp_graph(x, n, name, gp);
}

void ftl_exp_do_if(exporter *x, ftl_node_id id)
{
	Onnx__NodeProto *n = regions_node(x, id, "If");

	subgraph(x, id, n, "then_branch", 0);
	subgraph(x, id, n, "else_branch", 1);
}

void ftl_exp_do_loop(exporter *x, ftl_node_id id)
{
	subgraph(x, id, regions_node(x, id, "Loop"), "body", 0);
}

void ftl_exp_do_scan(exporter *x, ftl_node_id id)
{
	ATTRS_OF(scan);
	Onnx__NodeProto *n = regions_node(x, id, "Scan");

	ftl_exp_i(x, n, "num_scan_inputs", a->num_scan_inputs);
	if (a->in_axes.n)
		ftl_exp_ints(x, n, "scan_input_axes", a->in_axes.n, a->in_axes.v);
	if (a->out_axes.n)
		ftl_exp_ints(x, n, "scan_output_axes", a->out_axes.n, a->out_axes.v);
	if (a->in_reverse.n)
		ftl_exp_ints(x, n, "scan_input_directions", a->in_reverse.n, a->in_reverse.v);
	if (a->out_reverse.n)
		ftl_exp_ints(x, n, "scan_output_directions", a->out_reverse.n, a->out_reverse.v);
	subgraph(x, id, n, "body", 0);
}

/* ---- elementwise ---- */

/* x * sigmoid(alpha x) */
static void swish(exporter *x, ftl_node_id id, double alpha)
{
	const char *v = ftl_exp_in(x, id, 0), *s = v;

	if (alpha != 1)
		s = ftl_exp_op2(x, "Mul", v, ftl_exp_scalar(x, type_in(x, id, 0)->dtype, alpha));
	node2(x, id, "Mul", v, ftl_exp_op1(x, "Sigmoid", s));
}

void ftl_exp_do_silu(exporter *x, ftl_node_id id)
{
	ATTRS_OF(silu);
	swish(x, id, a->alpha);
}

void ftl_exp_do_gelu(exporter *x, ftl_node_id id)
{
	ATTRS_OF(gelu);
	const char *v = ftl_exp_in(x, id, 0);

	if (!strcmp(a->approximate, "quick"))
		swish(x, id, 1.702);
	else
		ftl_exp_s(x, node(x, id, "Gelu", 1, &v), "approximate", a->approximate);
}

/* Of integers it is written as what every runtime has. */
void ftl_exp_do_relu(exporter *x, ftl_node_id id)
{
	const char *in = ftl_exp_in(x, id, 0);
	ftl_dtype t = type_in(x, id, 0)->dtype;

	if (ftl_dtype_is_float(t))
		node(x, id, "Relu", 1, &in);
	else
		node2(x, id, "Max", in, ftl_exp_scalar(x, t, 0));
}

void ftl_exp_do_shift(exporter *x, ftl_node_id id)
{
	ATTRS_OF(shift);
	const char *in[2] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1)};

	ftl_exp_s(x, node(x, id, "BitShift", 2, in), "direction", a->left ? "LEFT" : "RIGHT");
}

static void grain(exporter *x, Onnx__NodeProto *n, int64_t axis, int64_t block)
{
	if (axis >= 0)
		ftl_exp_i(x, n, "axis", axis);
	if (block > 0)
		ftl_exp_i(x, n, "block_size", block);
}

/* Attributes that came late are written where they say something. */
void ftl_exp_do_cast(exporter *x, ftl_node_id id)
{
	ATTRS_OF(cast);
	const char *in = ftl_exp_in(x, id, 0);
	Onnx__NodeProto *n = node(x, id, "Cast", 1, &in);

	ftl_exp_i(x, n, "to", ftl_onnx_dtype_code(a->to));
	if (!a->saturate && ftl_dtype_is_low(a->to))
		ftl_exp_i(x, n, "saturate", 0);
	if (a->to == FTL_F8E8M0 && strcmp(a->round_mode, "up") != 0)
		ftl_exp_s(x, n, "round_mode", a->round_mode);
}

void ftl_exp_do_quantize(exporter *x, ftl_node_id id)
{
	ATTRS_OF(quantize);
	const char *in[3] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1), ftl_exp_in(x, id, 2)};
	Onnx__NodeProto *n;

	/* without a zero point the type would be u8 */
	if (!*in[2] && a->to != FTL_U8) {
		const char *like[1] = {in[1]};
		const char *out = ftl_exp_tmp(x);
		ftl_exp_i(x,
			  ftl_exp_node(x, "Cast", 1, (const char *const[]){ftl_exp_op2(x, "Sub", like[0], like[0])}, 1,
				       &out),
			  "to", ftl_onnx_dtype_code(a->to));
		in[2] = out;
	}
	n = node(x, id, "QuantizeLinear", 3, in);
	grain(x, n, a->axis, a->block);
	if (!a->saturate && ftl_dtype_is_low(a->to))
		ftl_exp_i(x, n, "saturate", 0);
}

void ftl_exp_do_dequantize(exporter *x, ftl_node_id id)
{
	ATTRS_OF(dequantize);
	const char *in[3] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1), ftl_exp_in(x, id, 2)};

	grain(x, node(x, id, "DequantizeLinear", 3, in), a->axis, a->block);
}

/* ---- moving elements ---- */

static const char *dims_or_input(exporter *x, ftl_node_id id, ftl_dims d, uint32_t k)
{
	return ftl_node_get(x->g, id)->nin > k && ftl_node_get(x->g, id)->in[k] ? ftl_exp_in(x, id, k)
										: ftl_exp_dims(x, d.n, d.v);
}

void ftl_exp_do_expand(exporter *x, ftl_node_id id)
{
	ATTRS_OF(expand);
	node2(x, id, "Expand", ftl_exp_in(x, id, 0), dims_or_input(x, id, a->dims, 1));
}

void ftl_exp_do_tile(exporter *x, ftl_node_id id)
{
	ATTRS_OF(tile);
	node2(x, id, "Tile", ftl_exp_in(x, id, 0), dims_or_input(x, id, a->repeats, 1));
}

/* Where a slice of `size` elements from `start` ends, in ONNX's terms: going down, one before the first element is
 * a very negative number. */
static const char *slice_end(exporter *x, ftl_dim start, ftl_dim size, int64_t step)
{
	int64_t s, n;

	if (ftl_dim_is_const(x->g->st, start, &s) && ftl_dim_is_const(x->g->st, size, &n)) {
		int64_t end = s + step * n;
		if (step < 0)
			end = n > 0 ? s + step * (n - 1) - 1 : s;
		else if (n > 0) /* just behind the last element: it may be the axis's last */
			end = s + step * (n - 1) + 1;
		if (end < 0)
			end = INT64_MIN;
		return ftl_exp_i64s(x, 1, &end);
	}
	const char *count = ftl_exp_dim(x, size), *first = ftl_exp_dim(x, start), *st = ftl_exp_i64s(x, 1, &step), *end;
	end = ftl_exp_op2(x, "Add", first, step == 1 ? count : ftl_exp_op2(x, "Mul", count, st));
	if (step > 0)
		return end;
	/* start + step * size lies below 0 when the slice runs to the front */
	const char *zero = ftl_exp_i64s(x, 1, &(int64_t){0}), *far = ftl_exp_i64s(x, 1, &(int64_t){INT64_MIN});
	return ftl_exp_op(x, "Where", 3, (const char *const[]){ftl_exp_op2(x, "Less", end, zero), far, end});
}

void ftl_exp_do_slice(exporter *x, ftl_node_id id)
{
	ATTRS_OF(slice);
	const ftl_node *n = ftl_node_get(x->g, id);
	const char *in[5] = {ftl_exp_in(x, id, 0)}, **end = FTL_NEW_N(x->arena, const char *, a->axes.n + 1);

	if (n->nin > 1) {
		in[1] = ftl_exp_in(x, id, 1);
		in[2] = ftl_exp_in(x, id, 2);
	} else {
		in[1] = ftl_exp_dims(x, a->starts.n, a->starts.v);
		for (uint32_t i = 0; i < a->axes.n; i++)
			end[i] = slice_end(x, a->starts.v[i], a->sizes.v[i], a->steps.n ? a->steps.v[i] : 1);
		in[2] = end[0];
		if (a->axes.n > 1) {
			in[2] = ftl_exp_tmp(x);
			ftl_exp_i(x, ftl_exp_node(x, "Concat", a->axes.n, end, 1, &in[2]), "axis", 0);
		}
	}
	in[3] = a->axes.n ? ftl_exp_i64s(x, a->axes.n, a->axes.v) : "";
	in[4] = n->nin > 3 ? ftl_exp_in(x, id, 3) : a->steps.n ? ftl_exp_i64s(x, a->steps.n, a->steps.v) : "";
	node(x, id, "Slice", 5, in);
}

/* All axes, as before opset 18; the run-time form says which axes and needs it. */
void ftl_exp_do_pad(exporter *x, ftl_node_id id)
{
	ATTRS_OF(pad);
	const ftl_node *n = ftl_node_get(x->g, id);
	int rank = type_in(x, id, 0)->rank;
	const char *in[4] = {ftl_exp_in(x, id, 0), "", ftl_exp_in(x, id, 1), ""};
	const char *parts[2 * FTL_MAX_RANK];

	if (n->nin > 2) {
		const char *p = ftl_exp_in(x, id, 2);
		if (a->axes.n && a->axes.n != (uint32_t)rank) {
			for (int i = 0; i < 2 * rank; i++) {
				int64_t at = -1;
				for (uint32_t k = 0; k < a->axes.n; k++)
					if (a->axes.v[k] == i % rank)
						at = k + (i >= rank ? a->axes.n : 0);
				parts[i] = at < 0 ? ftl_exp_i64s(x, 1, &(int64_t){0})
						  : ftl_exp_op2(x, "Gather", p, ftl_exp_i64s(x, 1, &at));
			}
			in[1] = ftl_exp_tmp(x);
			ftl_exp_i(x, ftl_exp_node(x, "Concat", (uint32_t)(2 * rank), parts, 1, &in[1]), "axis", 0);
		} else {
			in[1] = p;
		}
	} else {
		ftl_dim d[2 * FTL_MAX_RANK];
		int64_t c[2 * FTL_MAX_RANK] = {0};
		bool all = true;
		uint32_t na = a->pads.n / 2;
		for (int i = 0; i < 2 * rank; i++)
			d[i] = FTL_DIM_NONE;
		for (uint32_t k = 0; k < na; k++) {
			int64_t at = a->axes.n ? a->axes.v[k] : k;
			d[at] = a->pads.v[k];
			d[at + rank] = a->pads.v[k + na];
		}
		for (int i = 0; i < 2 * rank; i++)
			all = all && (d[i] == FTL_DIM_NONE || ftl_dim_is_const(x->g->st, d[i], &c[i]));
		if (all) {
			in[1] = ftl_exp_i64s(x, (uint32_t)(2 * rank), c);
		} else {
			for (int i = 0; i < 2 * rank; i++)
				parts[i] = d[i] == FTL_DIM_NONE ? ftl_exp_i64s(x, 1, &(int64_t){0})
								: ftl_exp_dim(x, d[i]);
			in[1] = ftl_exp_tmp(x);
			ftl_exp_i(x, ftl_exp_node(x, "Concat", (uint32_t)(2 * rank), parts, 1, &in[1]), "axis", 0);
		}
	}
	ftl_exp_s(x, node(x, id, "Pad", 4, in), "mode", a->mode);
}

void ftl_exp_do_fill(exporter *x, ftl_node_id id)
{
	ATTRS_OF(fill);
	const char *shape = dims_or_input(x, id, a->dims, 0);
	char one[8] = {0};

	if (ftl_dtype_is_float(a->dtype) || ftl_dtype_is_low(a->dtype))
		ftl_elem_set(a->dtype, one, 0, ftl_dtype_is_float(a->dtype) ? a->value : (double)a->ivalue);
	else
		memcpy(one, &a->ivalue, ftl_dtype_bytes(a->dtype)); /* little endian */
	ftl_exp_tensor(x, node(x, id, "ConstantOfShape", 1, &shape), "value", a->dtype, one);
}

void ftl_exp_do_eye_like(exporter *x, ftl_node_id id)
{
	ATTRS_OF(eye_like);
	const char *in = ftl_exp_in(x, id, 0);
	Onnx__NodeProto *n = node(x, id, "EyeLike", 1, &in);

	ftl_exp_i(x, n, "dtype", ftl_onnx_dtype_code(type_out(x, id)->dtype));
	ftl_exp_i(x, n, "k", a->k);
}

void ftl_exp_do_one_hot(exporter *x, ftl_node_id id)
{
	ATTRS_OF(one_hot);
	const char *in[3] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1), ftl_exp_in(x, id, 2)};

	ftl_exp_i(x, node(x, id, "OneHot", 3, in), "axis", a->axis);
}

void ftl_exp_do_topk(exporter *x, ftl_node_id id)
{
	ATTRS_OF(topk);
	const char *in[2] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1)};
	const char *out[2] = {ftl_exp_name(x, ftl_node_get(x->g, id)->out[0]),
			      ftl_exp_name(x, ftl_node_get(x->g, id)->out[1])};
	Onnx__NodeProto *n;

	in[1] = ftl_exp_op2(x, "Reshape", in[1], ftl_exp_i64s(x, 1, &(int64_t){1}));
	n = ftl_exp_node(x, "TopK", 2, in, 2, out);
	ftl_exp_i(x, n, "axis", a->axis);
	ftl_exp_i(x, n, "largest", a->largest);
	ftl_exp_i(x, n, "sorted", a->sorted);
}

/* ---- reductions, norms ---- */

void ftl_exp_do_reduce(exporter *x, ftl_node_id id)
{
	static const struct {
		ftl_op op;
		const char *name;
		int as_input; /* the opset from which axes are an input */
	} names[] = {{FTL_OP_reduce_sum, "ReduceSum", 13},
		     {FTL_OP_reduce_mean, "ReduceMean", 18},
		     {FTL_OP_reduce_max, "ReduceMax", 18},
		     {FTL_OP_reduce_min, "ReduceMin", 18},
		     {FTL_OP_reduce_prod, "ReduceProd", 18}};
	ATTRS_OF(reduce_sum); /* the same layout for all five */
	const char *in[2] = {ftl_exp_in(x, id, 0)};
	ftl_op op = ftl_node_get(x->g, id)->op;
	size_t k = 0;

	while (names[k].op != op)
		k++;
	if (x->opset >= names[k].as_input)
		in[1] = ftl_exp_i64s(x, a->axes.n, a->axes.v);
	Onnx__NodeProto *n = node(x, id, names[k].name, x->opset >= names[k].as_input ? 2 : 1, in);
	if (x->opset < names[k].as_input)
		ftl_exp_ints(x, n, "axes", a->axes.n, a->axes.v);
	ftl_exp_i(x, n, "keepdims", a->keepdims);
	if (a->axes.n == 0 && x->opset >= names[k].as_input)
		ftl_exp_i(x, n, "noop_with_empty_axes", 1);
}

/* cum_sum and cum_prod have the same row of attributes */
void ftl_exp_do_cumulate(exporter *x, ftl_node_id id)
{
	ATTRS_OF(cum_sum);
	bool product = ftl_node_get(x->g, id)->op == FTL_OP_cum_prod;
	const char *in[2] = {ftl_exp_in(x, id, 0), ftl_exp_scalar(x, FTL_I64, (double)a->axis)};
	Onnx__NodeProto *n = node(x, id, product ? "CumProd" : "CumSum", 2, in);

	ftl_exp_i(x, n, "exclusive", a->exclusive);
	ftl_exp_i(x, n, "reverse", a->reverse);
}

/* Shape x has from axis on: what a scale of ones has to look like. */
static const char *ones(exporter *x, ftl_node_id id, int64_t axis)
{
	const ftl_type *t = type_in(x, id, 0);
	char one[8];
	const char *shape = ftl_exp_dims(x, (uint32_t)(t->rank - axis), t->dims + axis), *out = ftl_exp_tmp(x);

	ftl_elem_set(t->dtype, one, 0, 1);
	ftl_exp_tensor(x, ftl_exp_node(x, "ConstantOfShape", 1, &shape, 1, &out), "value", t->dtype, one);
	return out;
}

static void norm(exporter *x, ftl_node_id id, const char *op, int64_t axis, double epsilon)
{
	const char *in[3] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1), ftl_exp_in(x, id, 2)};
	int rank = type_in(x, id, 0)->rank;

	if (axis < 0)
		axis += rank;
	if (!*in[1])
		in[1] = ones(x, id, axis);
	Onnx__NodeProto *n = node(x, id, op, 3, in);
	ftl_exp_i(x, n, "axis", axis);
	ftl_exp_f(x, n, "epsilon", epsilon);
}

void ftl_exp_do_layer_norm(exporter *x, ftl_node_id id)
{
	ATTRS_OF(layer_norm);
	norm(x, id, "LayerNormalization", a->axis, a->epsilon);
}

void ftl_exp_do_rms_norm(exporter *x, ftl_node_id id)
{
	ATTRS_OF(rms_norm);
	norm(x, id, "RMSNormalization", a->axis, a->epsilon);
}

/* ---- random ---- */

void ftl_exp_do_random(exporter *x, ftl_node_id id)
{
	const ftl_node *node_ = ftl_node_get(x->g, id);
	bool uniform = node_->op == FTL_OP_random_uniform;
	const struct ftl_attrs_random_uniform *u = node_->attrs;
	const struct ftl_attrs_random_normal *g = node_->attrs;
	ftl_dims dims = uniform ? u->dims : g->dims;
	int64_t c[FTL_MAX_RANK], seed = uniform ? u->seed : g->seed;
	Onnx__NodeProto *n;

	if (node_->nin == 0 && dims.n <= FTL_MAX_RANK && ftl_exp_const_dims(x, dims, c)) {
		n = node(x, id, uniform ? "RandomUniform" : "RandomNormal", 0, NULL);
		ftl_exp_ints(x, n, "shape", dims.n, c);
	} else { /* the Like form takes its shape from a tensor */
		const char *shape = dims_or_input(x, id, dims, 0), *zeros = ftl_exp_op1(x, "ConstantOfShape", shape);
		n = node(x, id, uniform ? "RandomUniformLike" : "RandomNormalLike", 1, &zeros);
	}
	ftl_exp_i(x, n, "dtype", ftl_onnx_dtype_code(type_out(x, id)->dtype));
	ftl_exp_f(x, n, uniform ? "low" : "mean", uniform ? u->low : g->mean);
	ftl_exp_f(x, n, uniform ? "high" : "scale", uniform ? u->high : g->scale);
	if (seed)
		ftl_exp_f(x, n, "seed", (double)seed);
}
