/* Ops of detection and spatial transformers: DeformConv, AffineGrid, MaxUnpool, RoiAlign of opset 10. */
#include "imp.h"

void ftl_imp_do_deform_conv(imp *m)
{
	struct ftl_attrs_deform_conv *a = NEW_ATTRS(m, deform_conv);
	ftl_val in[5];
	imp_window w;

	for (uint32_t k = 0; k < 5; k++)
		in[k] = k < 3 ? ftl_imp_need(m, k) : ftl_imp_in(m, k);
	if (!ftl_imp_conv_window(m, in[0], in[1], &w))
		return;
	a->strides = ftl_imp_ints_copy(m, (uint32_t)w.n, w.strides);
	a->dilations = ftl_imp_ints_copy(m, (uint32_t)w.n, w.dilations);
	a->pads = ftl_imp_dims_copy(m, 2 * (uint32_t)w.n, w.pads);
	a->group = ftl_imp_i(m, "group", 1);
	a->offset_group = ftl_imp_i(m, "offset_group", 1);
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_deform_conv, a, in[4] ? 5 : in[3] ? 4 : 3, in));
}

void ftl_imp_do_roi_align10(imp *m)
{
	struct ftl_attrs_roi_align *a = NEW_ATTRS(m, roi_align);
	ftl_val in[3] = {ftl_imp_need(m, 0), ftl_imp_need(m, 1), ftl_imp_need(m, 2)};

	a->mode = ftl_imp_s(m, "mode", "avg");
	a->coordinate = "output_half_pixel";
	a->height = ftl_imp_i(m, "output_height", 1);
	a->width = ftl_imp_i(m, "output_width", 1);
	a->sampling_ratio = ftl_imp_i(m, "sampling_ratio", 0);
	a->spatial_scale = ftl_imp_f(m, "spatial_scale", 1);
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_roi_align, a, 3, in));
}

/* ---- AffineGrid ---- */

/* n points over [-1, 1] in type t, as a vector: at the ends of the axis, or in the middle of n equal parts */
static ftl_val points(imp *m, ftl_val n, ftl_dim known, ftl_dtype t, bool corners)
{
	ftl_val i, len = ftl_imp_cast(m, n, t);

	if (known != FTL_DIM_NONE)
		i = ftl_imp_range(m, known, t);
	else
		i = ftl_imp_cast(
			m, ftl_imp_op(m, FTL_OP_range, NULL, 3, (const ftl_val[]){e_num(m, n, 0), n, e_num(m, n, 1)}),
			t);
	if (corners) /* an axis of one point has it at -1 */
		return e_addf(m, e_div(m, e_mulf(m, i, 2), op2(m, FTL_OP_max, e_addf(m, len, -1), e_num(m, len, 1))),
			      -1);
	return e_addf(m, e_div(m, e_addf(m, e_mulf(m, i, 2), 1), len), -1);
}

/* theta [n, k, k+1], size [n, c, (d,) h, w]: out[n, (d,) h, w, j] = sum over the axes of theta[n, j, axis] * point + theta[n,
 * j, k]; axes are counted from the last one. */
void ftl_imp_do_affine_grid(imp *m)
{
	ftl_val theta = ftl_imp_need(m, 0), size = ftl_imp_need(m, 1), grid = 0;
	bool corners = ftl_imp_i(m, "align_corners", 0) != 0;
	ftl_dim dims[FTL_MAX_RANK], shape[FTL_MAX_RANK], one = dim_c(m, 1);
	bool known;
	uint32_t n;
	int64_t k;

	ftl_imp_want_rank(m, theta, 3, 3, "theta");
	ftl_imp_want_rank(m, size, 1, 1, "the size");
	if (m->failed)
		return;
	/* either operand tells */
	if (!ftl_dim_is_const(m->st, ftl_imp_dim(m, theta, 1), &k)) {
		k = ftl_imp_const_dim(m, size, 0, "the length of size");
		k -= 2;
	}
	if (m->failed)
		return;
	if (k < 1 || k > 3 || ftl_dim_known_eq(m->st, ftl_imp_dim(m, theta, 2), dim_c(m, k + 1)) == 0 ||
	    ftl_dim_known_eq(m->st, ftl_imp_dim(m, size, 0), dim_c(m, k + 2)) == 0) {
		bad_model(m, "theta and size do not fit each other");
		return;
	}
	known = ftl_imp_known_dims(m, size, dims, FTL_MAX_RANK, &n) && n == (uint32_t)k + 2;
	for (int j = 0; j <= k && !m->failed; j++) {
		ftl_val column = ftl_imp_slice(m, theta, 2, dim_c(m, j), one), part;

		shape[0] = ftl_imp_dim(m, theta, 0);
		for (int i = 1; i <= k; i++)
			shape[i] = one;
		shape[k + 1] = dim_c(m, k);
		part = ftl_imp_reshape(m, column, (int)k + 2, shape);
		if (j < k) { /* column j goes with axis k - j of the grid */
			int axis = (int)k - j;
			ftl_val len = ftl_imp_reshape(m, ftl_imp_slice(m, size, 0, dim_c(m, axis + 1), one), 0, NULL);
			ftl_val p = points(m, len, known ? dims[axis + 1] : FTL_DIM_NONE, dtype_of(m, theta), corners);

			for (int i = 0; i <= k + 1; i++)
				shape[i] = one;
			shape[axis] = ftl_imp_dim(m, p, 0);
			part = e_mul(m, part, ftl_imp_reshape(m, p, (int)k + 2, shape));
		}
		grid = grid ? e_add(m, grid, part) : part;
	}
	ftl_imp_out(m, 0, grid);
}

/* ---- MaxUnpool ---- */

/* Zeros of the size the pooling had, the values at their flat places in it; then zeros behind up to output_shape. */
void ftl_imp_do_max_unpool(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), at = ftl_imp_need(m, 1), want = ftl_imp_in(m, 2), zeros, y, have;
	struct ftl_attrs_scatter_elements *a = NEW_ATTRS(m, scatter_elements);
	struct ftl_attrs_fill *z = NEW_ATTRS(m, fill);
	struct ftl_attrs_pad *p = NEW_ATTRS(m, pad);
	ftl_dim dims[FTL_MAX_RANK], numel, all = dim_c(m, 1), flat;
	int rank = rank_of(m, x);
	imp_window w;

	if (!ftl_imp_pool_window(m, x, &w))
		return;
	for (int i = 0; i < rank; i++) {
		dims[i] = ftl_imp_dim(m, x, i);
		if (i >= 2) {
			ftl_dim s = dim_c(m, w.strides[i - 2]),
				span = ftl_dim_mul(m->st, ftl_dim_sub(m->st, dims[i], dim_c(m, 1)), s);
			span = ftl_dim_add(m->st, span, w.kernel[i - 2]);
			dims[i] = ftl_dim_sub(m->st, span, ftl_dim_add(m->st, w.pads[i - 2], w.pads[i - 2 + w.n]));
		}
		all = ftl_dim_mul(m->st, all, dims[i]);
	}
	numel = ftl_type_numel(m->g, ftl_imp_type(m, x));
	flat = numel;
	if (all == FTL_DIM_NONE || numel == FTL_DIM_NONE) {
		bad_model(m, "the result is too large");
		return;
	}
	z->dims = ftl_imp_dims_copy(m, 1, &all);
	z->dtype = dtype_of(m, x);
	zeros = ftl_imp_op(m, FTL_OP_fill, z, 0, NULL);
	a->axis = 0;
	y = ftl_imp_op(m, FTL_OP_scatter_elements, a, 3,
		       (const ftl_val[]){zeros, ftl_imp_reshape(m, at, 1, &flat), ftl_imp_reshape(m, x, 1, &flat)});
	y = ftl_imp_reshape(m, y, rank, dims);
	if (want) {
		int64_t begins[FTL_MAX_RANK] = {0}, axes[FTL_MAX_RANK];

		for (int i = 0; i < rank; i++)
			axes[i] = i;
		have = op1(m, FTL_OP_shape, y);
		have = e_sub(m, ftl_imp_cast(m, want, FTL_I64), have);
		p->axes = ftl_imp_ints_copy(m, (uint32_t)rank, axes);
		y = ftl_imp_op(
			m, FTL_OP_pad, p, 3,
			(const ftl_val[]){
				y, 0,
				ftl_imp_concat(m, 0, 2,
					       (const ftl_val[]){ftl_imp_i64s(m, (uint32_t)rank, begins), have})});
	}
	ftl_imp_out(m, 0, y);
}
