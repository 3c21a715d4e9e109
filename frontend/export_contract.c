/* Contractions, windows and the larger ops: matmul, conv, pools, resize, grid sample, dft, recurrent layers. */
#include <math.h>

#include "exp.h"
#include "tensor.h"

static const ftl_type *type_in(const exporter *x, ftl_node_id id, uint32_t k)
{
	return ftl_type_of(x->g, ftl_node_get(x->g, id)->in[k]);
}

#define ATTRS_OF(op) const struct ftl_attrs_##op *a = FTL_ATTRS(ftl_node_get(x->g, id), op)

static Onnx__NodeProto *node(exporter *x, ftl_node_id id, const char *op, uint32_t nin, const char *const *in)
{
	const char *out = ftl_exp_out(x, id, 0);

	return ftl_exp_node(x, op, nin, in, 1, &out);
}

/* Is v, as an operand, of a floating type (encoded ones are)? */
static bool is_real(const exporter *x, ftl_val v)
{
	const ftl_type *t = ftl_type_of(x->g, v);

	return ftl_dtype_is_float(t->dtype) || (t->enc && t->enc->kind == FTL_ENC_QUANT);
}

void ftl_exp_do_matmul(exporter *x, ftl_node_id id)
{
	ATTRS_OF(matmul);
	const ftl_node *n = ftl_node_get(x->g, id);
	const ftl_type *ta = type_in(x, id, 0), *tb = type_in(x, id, 1);
	const char *in[2] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1)}, *y = ftl_exp_out(x, id, 0);
	bool real = is_real(x, n->in[0]), trans_a = a->trans_a && ta->rank > 1, trans_b = a->trans_b && tb->rank > 1;

	if (real && ta->rank == 2 && tb->rank == 2 && (trans_a || trans_b || a->alpha != 1)) {
		Onnx__NodeProto *g = node(x, id, "Gemm", 2, in);
		ftl_exp_i(x, g, "transA", trans_a);
		ftl_exp_i(x, g, "transB", trans_b);
		ftl_exp_f(x, g, "alpha", a->alpha);
		return;
	}
	if (trans_a)
		in[0] = ftl_exp_transpose_last(x, in[0], ta->rank);
	if (trans_b)
		in[1] = ftl_exp_transpose_last(x, in[1], tb->rank);
	if (!real && (ta->dtype == FTL_I8 || ta->dtype == FTL_U8)) {
		node(x, id, "MatMulInteger", 2, in);
	} else if (real && a->alpha != 1) {
		const char *p = ftl_exp_op(x, "MatMul", 2, in);
		ftl_exp_node(x, "Mul", 2,
			     (const char *const[]){p, ftl_exp_scalar(x, ftl_type_of(x->g, n->out[0])->dtype, a->alpha)},
			     1, &y);
	} else {
		node(x, id, "MatMul", 2, in);
	}
}

/* ---- windows ---- */

/* Pads that only the run knows are a Pad of their own in front, and the window has none: what in becomes. */
static const char *pad_before(exporter *x, const char *in, ftl_dtype t, ftl_dims *pads, double value)
{
	int64_t c[FTL_MAX_RANK];
	ftl_dim all[2 * FTL_MAX_RANK];
	uint32_t ns = pads->n / 2, n = 0;
	const char *args[3] = {in}, *out;

	if (pads->n > FTL_MAX_RANK || ftl_exp_const_dims(x, *pads, c))
		return in;
	for (int end = 0; end < 2; end++) {
		all[n++] = ftl_dim_const(x->g->st, 0);
		all[n++] = ftl_dim_const(x->g->st, 0);
		for (uint32_t i = 0; i < ns; i++)
			all[n++] = pads->v[end * ns + i];
	}
	args[1] = ftl_exp_dims(x, n, all);
	args[2] = ftl_exp_scalar(x, t, value);
	out = ftl_exp_tmp(x);
	ftl_exp_node(x, "Pad", 3, args, 1, &out);
	*pads = (ftl_dims){0};
	return out;
}

static void window(exporter *x, Onnx__NodeProto *n, ftl_ints strides, ftl_dims pads, const ftl_ints *dilations)
{
	int64_t *p = FTL_NEW_N(x->arena, int64_t, pads.n + 1);

	if (!ftl_exp_const_dims(x, pads, p))
		ftl_exp_fail(x, FTL_ERR_UNSUPPORTED,
			     "pads that depend on a size only known at run time cannot be exported");
	if (strides.n)
		ftl_exp_ints(x, n, "strides", strides.n, strides.v);
	if (pads.n)
		ftl_exp_ints(x, n, "pads", pads.n, p);
	if (dilations && dilations->n)
		ftl_exp_ints(x, n, "dilations", dilations->n, dilations->v);
}

/* Bytes behind an i32 operand of an imported integer op, cast(v8) or sub(cast(v8), zero): 0 if it is none. */
static ftl_val bytes_behind(const exporter *x, ftl_val v, ftl_val *zero)
{
	ftl_node_id sub = ftl_def(x->g, v, FTL_OP_sub), cast;
	ftl_dtype t;

	*zero = 0;
	if (sub) {
		v = ftl_node_get(x->g, sub)->in[0];
		*zero = ftl_node_get(x->g, sub)->in[1];
	}
	cast = ftl_def(x->g, v, FTL_OP_cast);
	if (!cast)
		return 0;
	v = ftl_node_get(x->g, cast)->in[0];
	t = ftl_type_of(x->g, v)->dtype;
	return t == FTL_I8 || t == FTL_U8 ? v : 0;
}

/* A zero point as ConvInteger has it: of the operand's type, a scalar or a vector. */
static const char *zero_point(exporter *x, ftl_val zero, ftl_val of)
{
	const char *in, *out;

	if (!zero)
		return "";
	in = ftl_exp_name(x, zero);
	out = ftl_exp_tmp(x);
	ftl_exp_i(x, ftl_exp_node(x, "Cast", 1, &in, 1, &out), "to", ftl_onnx_dtype_code(ftl_type_of(x->g, of)->dtype));
	if (ftl_type_of(x->g, zero)->rank > 1)
		out = ftl_exp_op2(x, "Reshape", out, ftl_exp_i64s(x, 1, &(int64_t){-1}));
	return out;
}

/* conv over cast bytes less their zero points, plus a bias: ConvInteger and Add */
static bool conv_integer(exporter *x, ftl_node_id id)
{
	ATTRS_OF(conv);
	const ftl_node *n = ftl_node_get(x->g, id);
	ftl_val xz, wz, xv = bytes_behind(x, n->in[0], &xz), wv = bytes_behind(x, n->in[1], &wz);
	int rank = type_in(x, id, 0)->rank;
	const char *in[4], *y = ftl_exp_out(x, id, 0), *sums = y;
	bool bias = n->nin > 2 && n->in[2];
	int64_t shape[FTL_MAX_RANK];

	if (!xv || !wv || (xz && ftl_type_of(x->g, xz)->rank > 0))
		return false;
	in[0] = ftl_exp_name(x, xv);
	in[1] = ftl_exp_name(x, wv);
	in[2] = xz || !wz ? zero_point(x, xz, xv) : ftl_exp_scalar(x, ftl_type_of(x->g, xv)->dtype, 0);
	in[3] = zero_point(x, wz, wv);
	if (bias)
		sums = ftl_exp_tmp(x);
	Onnx__NodeProto *o = ftl_exp_node(x, "ConvInteger", 4, in, 1, &sums);
	window(x, o, a->strides, a->pads, &a->dilations);
	ftl_exp_i(x, o, "group", a->group);
	if (bias) {
		for (int i = 0; i < rank; i++)
			shape[i] = i == 1 ? -1 : 1;
		const char *b = ftl_exp_op2(x, "Reshape", ftl_exp_in(x, id, 2), ftl_exp_i64s(x, (uint32_t)rank, shape));
		ftl_exp_node(x, "Add", 2, (const char *const[]){sums, b}, 1, &y);
	}
	return true;
}

void ftl_exp_do_conv(exporter *x, ftl_node_id id)
{
	ATTRS_OF(conv);
	const ftl_node *n = ftl_node_get(x->g, id);
	const char *in[3] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1), ftl_exp_in(x, id, 2)};
	ftl_dtype t = type_in(x, id, 0)->dtype;
	bool eight = !is_real(x, n->in[0]) && (t == FTL_I8 || t == FTL_U8);
	ftl_dims pads = a->pads;
	Onnx__NodeProto *o;

	if (t == FTL_I32 && conv_integer(x, id))
		return;
	if (!is_real(x, n->in[0]) && (!eight || *in[2])) {
		ftl_exp_fail(x, FTL_ERR_UNSUPPORTED, "a convolution over %s cannot be exported", ftl_dtype_name(t));
		return;
	}
	in[0] = pad_before(x, in[0], t, &pads, 0);
	o = node(x, id, eight ? "ConvInteger" : "Conv", 3, in);
	window(x, o, a->strides, pads, &a->dilations);
	ftl_exp_i(x, o, "group", a->group);
}

void ftl_exp_do_conv_transpose(exporter *x, ftl_node_id id)
{
	ATTRS_OF(conv_transpose);
	const char *in[3] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1), ftl_exp_in(x, id, 2)};
	Onnx__NodeProto *o = node(x, id, "ConvTranspose", 3, in);

	window(x, o, a->strides, a->pads, &a->dilations);
	if (a->output_padding.n)
		ftl_exp_ints(x, o, "output_padding", a->output_padding.n, a->output_padding.v);
	ftl_exp_i(x, o, "group", a->group);
}

void ftl_exp_do_deform_conv(exporter *x, ftl_node_id id)
{
	ATTRS_OF(deform_conv);
	const char *in[5];
	Onnx__NodeProto *o;

	for (uint32_t k = 0; k < 5; k++)
		in[k] = ftl_exp_in(x, id, k);
	o = node(x, id, "DeformConv", 5, in);
	window(x, o, a->strides, a->pads, &a->dilations);
	ftl_exp_i(x, o, "group", a->group);
	ftl_exp_i(x, o, "offset_group", a->offset_group);
}

void ftl_exp_do_max_pool(exporter *x, ftl_node_id id)
{
	ATTRS_OF(max_pool);
	const char *in = ftl_exp_in(x, id, 0), *out[2] = {ftl_exp_out(x, id, 0), ftl_exp_out(x, id, 1)};
	ftl_dtype t = type_in(x, id, 0)->dtype;
	ftl_dims pads = a->pads;
	Onnx__NodeProto *o;

	if (!*out[1] && ftl_dtype_is_float(t)) /* indices would count the padding */
		in = pad_before(x, in, t, &pads, -INFINITY);
	o = ftl_exp_node(x, "MaxPool", 1, &in, 2, out);
	ftl_exp_ints(x, o, "kernel_shape", a->kernel.n, a->kernel.v);
	window(x, o, a->strides, pads, &a->dilations);
	ftl_exp_i(x, o, "ceil_mode", a->ceil_mode);
	ftl_exp_i(x, o, "storage_order", a->column_major);
}

void ftl_exp_do_avg_pool(exporter *x, ftl_node_id id)
{
	ATTRS_OF(avg_pool);
	const char *in = ftl_exp_in(x, id, 0);
	ftl_dims pads = a->pads;
	Onnx__NodeProto *o;

	if (a->include_pad && !a->ceil_mode) /* else the padding must be told apart */
		in = pad_before(x, in, type_in(x, id, 0)->dtype, &pads, 0);
	o = node(x, id, "AveragePool", 1, &in);
	ftl_exp_ints(x, o, "kernel_shape", a->kernel.n, a->kernel.v);
	window(x, o, a->strides, pads, x->opset >= 19 ? &a->dilations : NULL);
	ftl_exp_i(x, o, "ceil_mode", a->ceil_mode);
	ftl_exp_i(x, o, "count_include_pad", a->include_pad);
}

/* ---- resize, grid sample, dft ---- */

void ftl_exp_do_resize(exporter *x, ftl_node_id id)
{
	ATTRS_OF(resize);
	const char *in[4] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1), ftl_exp_in(x, id, 2), ftl_exp_in(x, id, 3)};
	bool by_scale = a->scales.n > 0;
	Onnx__NodeProto *n;

	/* scales say it best, where they lead to the sizes we have */
	for (uint32_t i = 0; i < a->scales.n; i++) {
		int64_t in_size, size;
		by_scale = by_scale && a->scales.v[i] > 0;
		if (a->dims.n && ftl_dim_is_const(x->g->st, type_in(x, id, 0)->dims[i], &in_size) &&
		    ftl_dim_is_const(x->g->st, a->dims.v[i], &size))
			by_scale = by_scale && (int64_t)floor((double)in_size * (float)a->scales.v[i]) == size;
	}
	if (a->roi.n)
		in[1] = ftl_exp_floats_const(x, a->roi.n, a->roi.v);
	if (!*in[2] && !*in[3]) {
		if (by_scale)
			in[2] = ftl_exp_floats_const(x, a->scales.n, a->scales.v);
		else
			in[3] = ftl_exp_dims(x, a->dims.n, a->dims.v);
	}
	n = node(x, id, "Resize", 4, in);
	ftl_exp_s(x, n, "mode", a->mode);
	ftl_exp_s(x, n, "coordinate_transformation_mode", a->coordinate);
	ftl_exp_s(x, n, "nearest_mode", a->nearest);
	ftl_exp_f(x, n, "cubic_coeff_a", a->cubic_a);
	ftl_exp_i(x, n, "exclude_outside", a->exclude_outside);
	ftl_exp_f(x, n, "extrapolation_value", a->extrapolation);
	if (a->antialias)
		ftl_exp_i(x, n, "antialias", 1);
}

void ftl_exp_do_grid_sample(exporter *x, ftl_node_id id)
{
	ATTRS_OF(grid_sample);
	const char *in[2] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1)}, *mode = a->mode;
	Onnx__NodeProto *n = node(x, id, "GridSample", 2, in);

	if (x->opset < 20)
		mode = !strcmp(mode, "linear") ? "bilinear" : !strcmp(mode, "cubic") ? "bicubic" : mode;
	ftl_exp_s(x, n, "mode", mode);
	ftl_exp_s(x, n, "padding_mode", a->padding);
	ftl_exp_i(x, n, "align_corners", a->align_corners);
}

void ftl_exp_do_dft(exporter *x, ftl_node_id id)
{
	ATTRS_OF(dft);
	const char *in[3] = {ftl_exp_in(x, id, 0), ftl_exp_in(x, id, 1), ""};
	int64_t axis = a->axis < 0 ? a->axis + type_in(x, id, 0)->rank : a->axis;
	Onnx__NodeProto *n;

	if (x->opset >= 20)
		in[2] = ftl_exp_scalar(x, FTL_I64, (double)axis);
	n = node(x, id, "DFT", 3, in);
	if (x->opset < 20)
		ftl_exp_i(x, n, "axis", axis);
	ftl_exp_i(x, n, "inverse", a->inverse);
	ftl_exp_i(x, n, "onesided", a->onesided);
}

/* ---- recurrent layers ---- */

static const void *field(const ftl_node *n, const char *name)
{
	const ftl_op_info *info = ftl_op_get(n->op);

	for (int i = 0; i < info->nattr; i++)
		if (!strcmp(info->attr[i].name, name))
			return (const char *)n->attrs + info->attr[i].offset;
	return NULL;
}

void ftl_exp_do_rnn(exporter *x, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(x->g, id);
	const char *name = n->op == FTL_OP_lstm ? "LSTM" : n->op == FTL_OP_gru ? "GRU" : "RNN", *in[8], *out[3], *acts;
	const ftl_floats *alpha = field(n, "alpha"), *beta = field(n, "beta");
	const void *f;
	int64_t hidden;
	double clip;
	Onnx__NodeProto *o;

	for (uint32_t k = 0; k < 8; k++)
		in[k] = ftl_exp_in(x, id, k);
	for (uint32_t k = 0; k < n->nout; k++)
		out[k] = ftl_use_count(x->g, n->out[k]) ? ftl_exp_name(x, n->out[k]) : "";
	o = ftl_exp_node(x, name, 8, in, n->nout, out);
	memcpy(&hidden, field(n, "hidden"), sizeof hidden);
	memcpy(&clip, field(n, "clip"), sizeof clip);
	acts = *(const char *const *)field(n, "activations");
	ftl_exp_i(x, o, "hidden_size", hidden);
	ftl_exp_s(x, o, "direction", *(const char *const *)field(n, "direction"));
	if (*acts)
		ftl_exp_strings(x, o, "activations", acts);
	if (alpha->n)
		ftl_exp_floats(x, o, "activation_alpha", alpha->n, alpha->v);
	if (beta->n)
		ftl_exp_floats(x, o, "activation_beta", beta->n, beta->v);
	if (clip != 0)
		ftl_exp_f(x, o, "clip", clip);
	if ((f = field(n, "input_forget")))
		ftl_exp_i(x, o, "input_forget", *(const bool *)f);
	if ((f = field(n, "linear_before_reset")))
		ftl_exp_i(x, o, "linear_before_reset", *(const bool *)f);
}
