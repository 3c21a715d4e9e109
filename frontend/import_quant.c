/* Quantized ops: quantize and dequantize stay what they are; integer products become casts, subtractions of the zero
 * points and a product in i32, followed by what the op adds. */
#include "imp.h"

static bool is_zero(imp *m, ftl_val v)
{
	double d;

	return !v || (ftl_imp_known_f(m, v, &d) && d == 0);
}

static bool one_element(imp *m, ftl_val v)
{
	int64_t c;

	return rank_of(m, v) == 0 || (ftl_dim_is_const(m->st, ftl_type_numel(m->g, ftl_imp_type(m, v)), &c) && c == 1);
}

static ftl_val scalar(imp *m, ftl_val v)
{
	return v && rank_of(m, v) ? ftl_imp_reshape(m, v, 0, NULL) : v;
}

/* axis and block of a quantize or dequantize; scale and zero are made scalars where there is one for the tensor */
static void grain(imp *m, ftl_val x, ftl_val *scale, ftl_val *zero, int64_t *axis, int64_t *block)
{
	*block = ftl_imp_i(m, "block_size", 0);
	*axis = -1;
	/* one scale for a whole axis of one element is the same either way */
	if (one_element(m, *scale) && rank_of(m, *scale) <= 1) {
		*scale = scalar(m, *scale);
		*zero = scalar(m, *zero);
		*block = 0;
		return;
	}
	*axis = ftl_imp_i(m, "axis", 1);
	/* the axis of a vector is its only one, whatever the default says */
	*axis = rank_of(m, x) == 1 && *axis == 1 ? 0 : ftl_imp_axis(m, *axis, rank_of(m, x));
	if (m->failed)
		return;
	if (rank_of(m, *scale) == 1 && *block == 0 &&
	    ftl_dim_known_eq(m->st, ftl_imp_dim(m, *scale, 0), ftl_imp_dim(m, x, (int)*axis)) == 0)
		bad_model(m, "the scale's size does not match axis %lld", (long long)*axis);
}

/* A scale the arithmetic can be done in: f8e8m0 and integers become f32. */
static ftl_val real_scale(imp *m, ftl_val scale)
{
	ftl_dtype t = dtype_of(m, scale);

	return ftl_dtype_is_float(t) && !ftl_dtype_is_low(t) ? scale : ftl_imp_cast(m, scale, FTL_F32);
}

void ftl_imp_do_quantize(imp *m)
{
	struct ftl_attrs_quantize *a = NEW_ATTRS(m, quantize);
	ftl_val x = ftl_imp_need(m, 0), scale = ftl_imp_need(m, 1), zero = ftl_imp_in(m, 2);
	ftl_dtype out = ftl_imp_i(m, "output_dtype", 0) ? ftl_imp_dtype(m, "output_dtype", FTL_U8) : FTL_NO_DTYPE;

	if (m->failed)
		return;
	if (zero && out && dtype_of(m, zero) != out) {
		bad_model(m, "output_dtype is %s, but the zero point is %s", ftl_dtype_name(out),
			  ftl_dtype_name(dtype_of(m, zero)));
		return;
	}
	a->to = zero ? dtype_of(m, zero) : out ? out : FTL_U8;
	a->saturate = ftl_imp_i(m, "saturate", 1) != 0;
	scale = real_scale(m, scale);
	if (ftl_imp_i(m, "precision", 0)) { /* of the division */
		ftl_dtype p = ftl_imp_dtype(m, "precision", FTL_F32);

		x = ftl_imp_cast(m, x, p);
		scale = ftl_imp_cast(m, scale, p);
	}
	grain(m, x, &scale, &zero, &a->axis, &a->block);
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_quantize, a, zero ? 3 : 2, (const ftl_val[]){x, scale, zero}));
}

void ftl_imp_do_dequantize(imp *m)
{
	struct ftl_attrs_dequantize *a = NEW_ATTRS(m, dequantize);
	ftl_val x = ftl_imp_need(m, 0), scale = real_scale(m, ftl_imp_need(m, 1)), zero = ftl_imp_in(m, 2), y;
	ftl_dtype out = ftl_imp_i(m, "output_dtype", 0) ? ftl_imp_dtype(m, "output_dtype", FTL_F32)
							: dtype_of(m, scale);

	if (out != dtype_of(m, scale)) /* one rounding, at the end */
		scale = ftl_imp_cast(m, scale, FTL_F32);
	grain(m, x, &scale, &zero, &a->axis, &a->block);
	y = ftl_imp_op(m, FTL_OP_dequantize, a, zero ? 3 : 2, (const ftl_val[]){x, scale, zero});
	ftl_imp_out(m, 0, ftl_imp_cast(m, y, out));
}

static ftl_val reduce_all(imp *m, ftl_op op, ftl_val x)
{
	int64_t axes[FTL_MAX_RANK];

	for (int i = 0; i < rank_of(m, x); i++)
		axes[i] = i;
	return ftl_imp_reduce(m, op, x, (uint32_t)rank_of(m, x), axes, false);
}

/* y, scale, zero point as DynamicQuantizeLinear has them: the range includes 0, and a range of nothing has scale 1 */
static void dynamic_quantize(imp *m, ftl_val x, ftl_val out[3])
{
	struct ftl_attrs_quantize *a = NEW_ATTRS(m, quantize);
	ftl_val zero = e_num(m, x, 0), hi = op2(m, FTL_OP_max, reduce_all(m, FTL_OP_reduce_max, x), zero),
		lo = op2(m, FTL_OP_min, reduce_all(m, FTL_OP_reduce_min, x), zero), range = e_sub(m, hi, lo), scale, zp;

	scale = e_where(m, op2(m, FTL_OP_eq, range, zero), e_num(m, x, 1), e_div(m, range, e_num(m, x, 255)));
	zp = op1(m, FTL_OP_round, e_sub(m, zero, e_div(m, lo, scale)));
	zp = ftl_imp_op(m, FTL_OP_clip, NULL, 3, (const ftl_val[]){zp, zero, e_num(m, x, 255)});
	zp = ftl_imp_cast(m, zp, FTL_U8);
	a->axis = -1;
	a->to = FTL_U8;
	out[0] = ftl_imp_op(m, FTL_OP_quantize, a, 3, (const ftl_val[]){x, scale, zp});
	out[1] = scale;
	out[2] = zp;
}

void ftl_imp_do_dynamic_quantize(imp *m)
{
	ftl_val out[3];

	dynamic_quantize(m, ftl_imp_need(m, 0), out);
	for (uint32_t k = 0; k < 3; k++)
		ftl_imp_out(m, k, out[k]);
}

/* x - zero in i32, of 8-bit floats in f32; a zero point per row or column has the shape to broadcast */
static ftl_val centered(imp *m, ftl_val x, ftl_val zero)
{
	ftl_dtype t = ftl_dtype_is_float(dtype_of(m, x)) ? FTL_F32 : FTL_I32;

	x = ftl_imp_cast(m, x, t);
	return is_zero(m, zero) ? x : e_sub(m, x, ftl_imp_cast(m, zero, t));
}

/* A vector of n per row of the left operand: [n, 1]. */
static ftl_val per_row(imp *m, ftl_val v)
{
	return !v || one_element(m, v) ? scalar(m, v) : rank_of(m, v) == 1 ? ftl_imp_unsqueeze(m, v, 1) : v;
}

static ftl_val per_column(imp *m, ftl_val v)
{
	return v && one_element(m, v) ? scalar(m, v) : v;
}

/* Products of bytes as they are sum up in i32. */
static bool bytes_suffice(imp *m, ftl_val az, ftl_val bz)
{
	return is_zero(m, az) && is_zero(m, bz);
}

static ftl_val integer_matmul(imp *m, ftl_val a, ftl_val b, ftl_val az, ftl_val bz)
{
	if (bytes_suffice(m, az, bz) && ftl_dtype_is_int(dtype_of(m, a)))
		return ftl_imp_matmul(m, a, b, false, false, 1);
	return ftl_imp_matmul(m, centered(m, a, per_row(m, az)), centered(m, b, per_column(m, bz)), false, false, 1);
}

void ftl_imp_do_matmul_integer(imp *m)
{
	ftl_imp_out(m, 0,
		    integer_matmul(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1), ftl_imp_in(m, 2), ftl_imp_in(m, 3)));
}

/* v[M] along axis 0 of a weight of this rank */
static ftl_val per_filter(imp *m, ftl_val v, int rank, int axis)
{
	ftl_dim d[FTL_MAX_RANK];

	if (!v || one_element(m, v))
		return scalar(m, v);
	for (int i = 0; i < rank; i++)
		d[i] = i == axis ? ftl_imp_dim(m, v, 0) : dim_c(m, 1);
	return ftl_imp_reshape(m, v, rank, d);
}

static ftl_val integer_conv(imp *m, ftl_val x, ftl_val w, ftl_val xz, ftl_val wz, ftl_val bias)
{
	if (bytes_suffice(m, xz, wz) && !bias)
		return ftl_imp_conv(m, x, w, 0);
	return ftl_imp_conv(m, centered(m, x, scalar(m, xz)), centered(m, w, per_filter(m, wz, rank_of(m, w), 0)),
			    bias);
}

void ftl_imp_do_conv_integer(imp *m)
{
	ftl_imp_out(m, 0,
		    integer_conv(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1), ftl_imp_in(m, 2), ftl_imp_in(m, 3), 0));
}

/* sums * (sa * sb / sy), rounded and saturated around the zero point: the order ONNX Runtime has it in */
static ftl_val requantize(imp *m, ftl_val acc, ftl_val sa, ftl_val sb, ftl_val sy, ftl_val yz)
{
	struct ftl_attrs_quantize *a = NEW_ATTRS(m, quantize);
	ftl_val y;

	sa = ftl_imp_cast(m, sa, FTL_F32);
	sb = ftl_imp_cast(m, sb, FTL_F32);
	sy = ftl_imp_cast(m, scalar(m, sy), FTL_F32);
	y = e_mul(m, ftl_imp_cast(m, acc, FTL_F32), e_div(m, e_mul(m, sa, sb), sy));

	a->axis = -1;
	a->to = yz ? dtype_of(m, yz) : FTL_U8;
	return ftl_imp_op(m, FTL_OP_quantize, a, yz ? 3 : 2,
			  (const ftl_val[]){y, ftl_imp_scalar(m, FTL_F32, 1), scalar(m, yz)});
}

void ftl_imp_do_qlinear_matmul(imp *m)
{
	ftl_val acc = integer_matmul(m, ftl_imp_need(m, 0), ftl_imp_need(m, 3), ftl_imp_need(m, 2), ftl_imp_need(m, 5));

	ftl_imp_out(m, 0,
		    requantize(m, acc, per_row(m, ftl_imp_need(m, 1)), per_column(m, ftl_imp_need(m, 4)),
			       ftl_imp_need(m, 6), ftl_imp_need(m, 7)));
}

void ftl_imp_do_qlinear_conv(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	ftl_val acc = integer_conv(m, x, ftl_imp_need(m, 3), ftl_imp_need(m, 2), ftl_imp_need(m, 5), ftl_imp_in(m, 8));

	ftl_imp_out(m, 0,
		    requantize(m, acc, scalar(m, ftl_imp_need(m, 1)),
			       per_filter(m, ftl_imp_need(m, 4), rank_of(m, x), 1), ftl_imp_need(m, 6),
			       ftl_imp_need(m, 7)));
}

/* ---- com.microsoft ---- */

static ftl_val to_float(imp *m, ftl_val acc, ftl_val sa, ftl_val sb, ftl_val bias)
{
	ftl_val y = e_mul(m, ftl_imp_cast(m, acc, FTL_F32), e_mul(m, per_row(m, sa), per_column(m, sb)));

	return bias ? e_add(m, y, bias) : y;
}

/* a, b, a_scale, b_scale, a_zero?, b_zero?, bias? */
void ftl_imp_do_ms_matmul_integer_to_float(imp *m)
{
	ftl_val acc = integer_matmul(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1), ftl_imp_in(m, 4), ftl_imp_in(m, 5));

	ftl_imp_out(m, 0, to_float(m, acc, ftl_imp_need(m, 2), ftl_imp_need(m, 3), ftl_imp_in(m, 6)));
}

/* a (float), b, b_scale, b_zero?, bias? */
void ftl_imp_do_ms_dynamic_quantize_matmul(imp *m)
{
	ftl_val q[3], acc;

	dynamic_quantize(m, ftl_imp_need(m, 0), q);
	acc = integer_matmul(m, q[0], ftl_imp_need(m, 1), q[2], ftl_imp_in(m, 3));
	ftl_imp_out(m, 0, to_float(m, acc, q[1], ftl_imp_need(m, 2), ftl_imp_in(m, 4)));
}

/* LSTM with weights of 8 bits, laid out [directions, in, 4 * hidden]. The input is rounded to 8 bits as ONNX Runtime does;
 * the hidden state is not, so the result is nearer to the float model than there. */
void ftl_imp_do_ms_dynamic_quantize_lstm(imp *m)
{
	static const int perm[] = {0, 2, 1};
	ftl_val q[3], w[2], x = ftl_imp_need(m, 0);

	for (uint32_t k = 0; k < 2; k++) {
		ftl_val scale = ftl_imp_need(m, 8 + 2 * k), zero = ftl_imp_in(m, 9 + 2 * k);
		ftl_dim d[3];
		ftl_imp_want_rank(m, scale, 1, 2, "a weight's scale");
		if (m->failed)
			return;
		d[0] = ftl_imp_dim(m, scale, 0);
		d[1] = dim_c(m, 1);
		d[2] = rank_of(m, scale) == 2 ? ftl_imp_dim(m, scale, 1) : d[1];
		w[k] = ftl_imp_cast(m, ftl_imp_need(m, 1 + k), FTL_F32);
		if (zero)
			w[k] = e_sub(m, w[k], ftl_imp_cast(m, ftl_imp_reshape(m, zero, 3, d), FTL_F32));
		w[k] = ftl_imp_transpose(m, e_mul(m, w[k], ftl_imp_reshape(m, scale, 3, d)), perm);
	}
	dynamic_quantize(m, x, q);
	x = e_mul(m, e_sub(m, ftl_imp_cast(m, q[0], FTL_F32), ftl_imp_cast(m, q[2], FTL_F32)), q[1]);
	if (m->failed)
		return;
	m->cur->in[0] = (imp_bound){.v = x};
	m->cur->in[1] = (imp_bound){.v = w[0]};
	m->cur->in[2] = (imp_bound){.v = w[1]};
	m->cur->nin = m->cur->nin > 8 ? 8 : m->cur->nin;
	ftl_imp_do_rnn(m);
}
