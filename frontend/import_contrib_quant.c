/* com.microsoft: 8-bit ops with a scale and a zero point per tensor. What ONNX Runtime computes in float between
 * dequantizing and quantizing is written out so; what it sums up in integers stays an integer product. */
#include <math.h>

#include "attention.h"

static ftl_val scalar(imp *m, ftl_val v)
{
	return v && rank_of(m, v) ? ftl_imp_reshape(m, v, 0, NULL) : v;
}

/* (x - zero) * scale */
static ftl_val real(imp *m, ftl_val x, ftl_val scale, ftl_val zero)
{
	struct ftl_attrs_dequantize *a = NEW_ATTRS(m, dequantize);

	a->axis = -1;
	return ftl_imp_op(m, FTL_OP_dequantize, a, zero ? 3 : 2,
			  (const ftl_val[]){x, scalar(m, scale), scalar(m, zero)});
}

static ftl_val stored(imp *m, ftl_val y, ftl_val scale, ftl_val zero, ftl_dtype t)
{
	struct ftl_attrs_quantize *a = NEW_ATTRS(m, quantize);

	a->axis = -1;
	a->to = t;
	return ftl_imp_op(
		m, FTL_OP_quantize, a, zero ? 3 : 2,
		(const ftl_val[]){y, scale ? scalar(m, scale) : ftl_imp_scalar(m, FTL_F32, 1), scalar(m, zero)});
}

/* x - zero in t; a zero point per column broadcasts from the right */
static ftl_val centered(imp *m, ftl_val x, ftl_val zero, ftl_dtype t)
{
	x = ftl_imp_cast(m, x, t);
	return zero ? e_sub(m, x, ftl_imp_cast(m, zero, t)) : x;
}

/* a, scale, zero?, b, scale, zero?, scale, zero?: sums of the scaled operands in one unit of the result */
void ftl_imp_do_ms_qlinear_add(imp *m)
{
	ftl_val a = ftl_imp_need(m, 0), sc = scalar(m, ftl_imp_need(m, 6)), x, y;

	x = e_mul(m, centered(m, a, scalar(m, ftl_imp_in(m, 2)), FTL_F32), e_div(m, scalar(m, ftl_imp_need(m, 1)), sc));
	y = e_mul(m, centered(m, ftl_imp_need(m, 3), scalar(m, ftl_imp_in(m, 5)), FTL_F32),
		  e_div(m, scalar(m, ftl_imp_need(m, 4)), sc));
	ftl_imp_out(m, 0, stored(m, e_add(m, x, y), 0, ftl_imp_in(m, 7), dtype_of(m, a)));
}

void ftl_imp_do_ms_qlinear_mul(imp *m)
{
	ftl_val a = ftl_imp_need(m, 0), b = ftl_imp_need(m, 3), s;

	s = e_mul(m, scalar(m, ftl_imp_need(m, 1)), scalar(m, ftl_imp_need(m, 4)));
	s = e_div(m, s, scalar(m, ftl_imp_need(m, 6)));
	a = e_mul(m, centered(m, a, scalar(m, ftl_imp_in(m, 2)), FTL_F32),
		  centered(m, b, scalar(m, ftl_imp_in(m, 5)), FTL_F32));
	ftl_imp_out(m, 0, stored(m, e_mul(m, a, s), 0, ftl_imp_in(m, 7), dtype_of(m, b)));
}

/* a - zero, b - zero: i32 product */
void ftl_imp_do_ms_mul_integer(imp *m)
{
	ftl_imp_out(m, 0,
		    e_mul(m, centered(m, ftl_imp_need(m, 0), scalar(m, ftl_imp_in(m, 1)), FTL_I32),
			  centered(m, ftl_imp_need(m, 2), scalar(m, ftl_imp_in(m, 3)), FTL_I32)));
}

static uint32_t listed_axes(imp *m, ftl_val x, int64_t *axes)
{
	ftl_ints l = ftl_imp_ints(m, "axes");
	uint32_t n = 0;
	bool seen[FTL_MAX_RANK] = {0};

	for (int i = 0; i < rank_of(m, x); i++)
		seen[i] = l.n == 0;
	for (uint32_t i = 0; i < l.n && !m->failed; i++)
		seen[ftl_imp_axis(m, l.v[i], rank_of(m, x))] = true;
	for (int i = 0; i < rank_of(m, x); i++)
		if (seen[i])
			axes[n++] = i;
	return n;
}

void ftl_imp_do_ms_reduce_sum_integer(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	ftl_dtype t = dtype_of(m, x) == FTL_U8 ? FTL_U32 : FTL_I32;
	int64_t axes[FTL_MAX_RANK];
	uint32_t n = listed_axes(m, x, axes);

	x = ftl_imp_reduce(m, FTL_OP_reduce_sum, ftl_imp_cast(m, x, FTL_I32), n, axes,
			   ftl_imp_i(m, "keepdims", 1) != 0);
	ftl_imp_out(m, 0, ftl_imp_cast(m, x, t));
}

void ftl_imp_do_ms_matmul_integer16(imp *m)
{
	ftl_val a = ftl_imp_need(m, 0), b = ftl_imp_need(m, 1);
	bool u = dtype_of(m, a) == FTL_U16 && dtype_of(m, b) == FTL_U16;

	a = ftl_imp_matmul(m, ftl_imp_cast(m, a, FTL_I32), ftl_imp_cast(m, b, FTL_I32), false, false, 1);
	ftl_imp_out(m, 0, ftl_imp_cast(m, a, u ? FTL_U32 : FTL_I32));
}

/* x, scale, zero?, scale, zero?: f(real x), stored again */
void ftl_imp_do_ms_qlinear_unary(imp *m)
{
	const char *name = m->cur->row->name;
	ftl_val x = ftl_imp_need(m, 0), y = real(m, x, ftl_imp_need(m, 1), ftl_imp_in(m, 2));
	int64_t axes[FTL_MAX_RANK];
	bool last = ftl_imp_i(m, "channels_last", 0) != 0;
	int r = rank_of(m, x), n = 0, axis;

	if (!strcmp(name, "QLinearSigmoid")) {
		y = op1(m, FTL_OP_sigmoid, y);
	} else if (!strcmp(name, "QLinearLeakyRelu")) {
		struct ftl_attrs_leaky_relu *a = NEW_ATTRS(m, leaky_relu);
		a->alpha = ftl_imp_f(m, "alpha", 0.01f);
		y = ftl_imp_op(m, FTL_OP_leaky_relu, a, 1, &y);
	} else if (!strcmp(name, "QLinearReduceMean")) {
		n = (int)listed_axes(m, x, axes);
		y = ftl_imp_reduce(m, FTL_OP_reduce_mean, y, (uint32_t)n, axes, ftl_imp_i(m, "keepdims", 1) != 0);
	} else if (!strcmp(name, "QLinearGlobalAveragePool")) {
		for (int i = last ? 1 : 2; i < (last ? r - 1 : r); i++)
			axes[n++] = i;
		y = ftl_imp_reduce(m, FTL_OP_reduce_mean, y, (uint32_t)n, axes, true);
	} else if (!strcmp(name, "QLinearAveragePool")) {
		y = last ? ftl_imp_channels(m, y, true) : y;
		bool padding = ftl_imp_i(m, "count_include_pad", 0) != 0;
		y = ftl_imp_average_pool(m, y, padding, padding);
		y = last ? ftl_imp_channels(m, y, false) : y;
	} else { /* softmax, over one axis or, as before opset 13, over all from it on */
		axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", -1), r);
		if (m->failed)
			return;
		if (ftl_imp_i(m, "opset", 13) >= 13 || axis == r - 1) {
			y = ftl_imp_softmax(m, y, axis);
		} else {
			ftl_dim two[2] = {dim_c(m, 1), dim_c(m, 1)};
			for (int i = 0; i < r; i++)
				two[i >= axis] = ftl_dim_mul(m->st, two[i >= axis], ftl_imp_dim(m, x, i));
			y = ftl_imp_softmax(m, ftl_imp_reshape(m, y, 2, two), 1);
			y = m->failed ? 0 : ftl_imp_reshape(m, y, r, ftl_imp_type(m, x)->dims);
		}
	}
	ftl_imp_out(m, 0, stored(m, y, ftl_imp_need(m, 3), ftl_imp_in(m, 4), dtype_of(m, x)));
}

/* scale, zero, then x, scale, zero of each part */
void ftl_imp_do_ms_qlinear_concat(imp *m)
{
	uint32_t n = m->cur->nin > 2 ? (m->cur->nin - 2) / 3 : 0;
	ftl_val *part = FTL_NEW_N(m->tmp, ftl_val, n + 1), zero = ftl_imp_need(m, 1);

	if (n == 0 || m->cur->nin != 2 + 3 * n) {
		bad_model(m, "has %u inputs; needs 2 and 3 for each part", m->cur->nin);
		return;
	}
	for (uint32_t i = 0; i < n && !m->failed; i++)
		part[i] = real(m, ftl_imp_need(m, 2 + 3 * i), ftl_imp_need(m, 3 + 3 * i), ftl_imp_in(m, 4 + 3 * i));
	if (m->failed)
		return;
	ftl_imp_out(m, 0,
		    stored(m, ftl_imp_concat(m, (int)ftl_imp_i(m, "axis", 0), n, part), ftl_imp_need(m, 0), zero,
			   dtype_of(m, zero)));
}

/* condition, x, scale, zero, y, scale, zero, scale, zero */
void ftl_imp_do_ms_qlinear_where(imp *m)
{
	ftl_val zero = ftl_imp_need(m, 8), y;

	y = e_where(m, ftl_imp_need(m, 0), real(m, ftl_imp_need(m, 1), ftl_imp_need(m, 2), ftl_imp_in(m, 3)),
		    real(m, ftl_imp_need(m, 4), ftl_imp_need(m, 5), ftl_imp_in(m, 6)));
	ftl_imp_out(m, 0, stored(m, y, ftl_imp_need(m, 7), zero, dtype_of(m, zero)));
}

/* a, scale, zero, b, scale, zero, c?, scale?, zero?: alpha * a b + c in i32 units, stored or as floats */
void ftl_imp_do_ms_qgemm(imp *m)
{
	ftl_val a = ftl_imp_need(m, 0), b = ftl_imp_need(m, 3), zb = ftl_imp_in(m, 5), c = ftl_imp_in(m, 6),
		ys = ftl_imp_in(m, 7), yz = ftl_imp_in(m, 8), s, y;
	bool ta = ftl_imp_i(m, "transA", 0) != 0, tb = ftl_imp_i(m, "transB", 0) != 0;
	ftl_dim col[2];

	/* a zero point per column of the product belongs to the rows of a transposed b */
	if (zb && rank_of(m, zb) == 1 && tb) {
		col[0] = ftl_imp_dim(m, zb, 0);
		col[1] = dim_c(m, 1);
		zb = ftl_imp_reshape(m, zb, 2, col);
	}
	y = ftl_imp_matmul(m, centered(m, a, scalar(m, ftl_imp_in(m, 2)), FTL_I32), centered(m, b, zb, FTL_I32), ta, tb,
			   1);
	if (c)
		y = e_add(m, y, c);
	s = e_mulf(m, e_mul(m, scalar(m, ftl_imp_need(m, 1)), ftl_imp_need(m, 4)), ftl_imp_f(m, "alpha", 1));
	y = ftl_imp_cast(m, y, FTL_F32);
	if (!ys)
		ftl_imp_out(m, 0, e_mul(m, y, s));
	else
		ftl_imp_out(m, 0,
			    stored(m, e_mul(m, y, e_div(m, s, scalar(m, ys))), 0, yz, yz ? dtype_of(m, yz) : FTL_U8));
}

/* x [b, s, i] and w [i, 3h] of 8 bits: the projection of com.microsoft QAttention, in floats */
ftl_val ftl_imp_quantized_projection(imp *m)
{
	ftl_val y = ftl_imp_matmul(m, centered(m, ftl_imp_need(m, 0), scalar(m, ftl_imp_in(m, 6)), FTL_I32),
				   centered(m, ftl_imp_need(m, 1), ftl_imp_in(m, 7), FTL_I32), false, false, 1),
		s = e_mul(m, scalar(m, ftl_imp_need(m, 3)), ftl_imp_need(m, 4));
	ftl_dtype t = dtype_of(m, ftl_imp_need(m, 2));

	y = e_mul(m, ftl_imp_cast(m, y, FTL_F32), ftl_imp_cast(m, s, FTL_F32));
	return e_add(m, ftl_imp_cast(m, y, t), ftl_imp_need(m, 2));
}

/* ids, segments?, the tables (word, position, segment?), gamma, beta, mask?; then scales and zero points of the five */
void ftl_imp_do_ms_qembed_layer_norm(imp *m)
{
	ftl_val ids = ftl_imp_need(m, 0), seg = ftl_imp_in(m, 1), t[5] = {0}, s;

	for (uint32_t k = 0; k < 5; k++)
		if (k != 2 || ftl_imp_in(m, 4))
			t[k] = k < 2 || k == 2
				       ? ftl_imp_need(m, 2 + k)
				       : real(m, ftl_imp_need(m, 2 + k), ftl_imp_need(m, 8 + k), ftl_imp_in(m, 13 + k));
	ftl_imp_want_rank(m, ids, 2, 2, "the token ids");
	if (m->failed)
		return;
	s = real(m, ftl_imp_gather(m, t[0], ids, 0), ftl_imp_need(m, 8), ftl_imp_in(m, 13));
	s = e_add(m, s,
		  real(m, ftl_imp_gather(m, t[1], ftl_imp_range(m, ftl_imp_dim(m, ids, 1), FTL_I64), 0),
		       ftl_imp_need(m, 9), ftl_imp_in(m, 14)));
	if (seg && t[2])
		s = e_add(m, s, real(m, ftl_imp_gather(m, t[2], seg, 0), ftl_imp_need(m, 10), ftl_imp_in(m, 15)));
	ftl_imp_out(m, 0, ftl_imp_norm(m, FTL_OP_layer_norm, s, t[3], t[4], -1, ftl_imp_f(m, "epsilon", 1e-12f)));
	ftl_imp_out(m, 1, ftl_imp_mask_index(m, ftl_imp_in(m, 7), ids));
}
