/* com.microsoft: complex numbers, Fourier transforms, distances, matrix inverses, crops. */
#include "attention.h"

/* ---- complex numbers, as pairs on the last axis ---- */

void ftl_imp_do_ms_complex_mul(imp *m)
{
	bool conj = strstr(m->cur->row->name, "Conj") != NULL;
	ftl_val a = ftl_imp_need(m, 0), b = ftl_imp_need(m, 1), ar = ftl_imp_part(m, a, 0, 1),
		ai = ftl_imp_part(m, a, 1, 1), br = ftl_imp_part(m, b, 0, 1), bi = ftl_imp_part(m, b, 1, 1), part[2];

	if (conj)
		bi = op1(m, FTL_OP_neg, bi);
	part[0] = e_sub(m, e_mul(m, ar, br), e_mul(m, ai, bi));
	part[1] = e_add(m, e_mul(m, ar, bi), e_mul(m, ai, br));
	ftl_imp_out(m, 0, ftl_imp_concat(m, -1, 2, part));
}

/* Rfft and Irfft over the last signal_ndim axes; one-sided along the last of them */
static ftl_val transform(imp *m, ftl_val x, int axis, bool inverse, bool onesided)
{
	struct ftl_attrs_dft *a = NEW_ATTRS(m, dft);

	a->axis = axis;
	a->inverse = inverse;
	a->onesided = onesided;
	return ftl_imp_op(m, FTL_OP_dft, a, 1, &x);
}

void ftl_imp_do_ms_rfft(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	int64_t n = ftl_imp_i(m, "signal_ndim", 1);
	int r = rank_of(m, x);

	if (n < 1 || n > 3 || n > r || ftl_imp_i(m, "normalized", 0) != 0 || ftl_imp_i(m, "onesided", 1) != 1) {
		bad_model(m, "signal_ndim, normalized or onesided make no sense");
		return;
	}
	x = transform(m, ftl_imp_unsqueeze(m, x, r), r - 1, false, true);
	for (int i = 2; i <= n; i++)
		x = transform(m, x, r - i, false, false);
	ftl_imp_out(m, 0, x);
}

/* The other half of the last axis is what a real signal has there: conj(x[n - k]), negated along the other axes. */
void ftl_imp_do_ms_irfft(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), k, re, im;
	int64_t n = ftl_imp_i(m, "signal_ndim", 1);
	int r = rank_of(m, x) - 1; /* of the signal */
	ftl_dim half, full, two = dim_c(m, 2), one = dim_c(m, 1);

	if (!m->failed &&
	    (n < 1 || n > 3 || n > r || ftl_imp_i(m, "normalized", 0) != 0 || ftl_imp_i(m, "onesided", 1) != 1))
		bad_model(m, "signal_ndim, normalized or onesided make no sense");
	if (m->failed)
		return;
	for (int i = (int)n; i >= 2; i--)
		x = transform(m, x, r - i, true, false);
	half = ftl_imp_dim(m, x, r - 1);
	full = ftl_dim_mul(m->st, ftl_dim_sub(m->st, half, one), two);
	k = e_add(m, ftl_imp_range(m, ftl_dim_sub(m->st, full, half), FTL_I64), ftl_imp_dim_scalar(m, half, FTL_I64));
	k = e_sub(m, ftl_imp_dim_scalar(m, full, FTL_I64), k);
	re = ftl_imp_gather(m, x, k, r - 1);
	im = op1(m, FTL_OP_neg, ftl_imp_part(m, re, 1, 1));
	re = ftl_imp_concat(m, -1, 2, (const ftl_val[]){ftl_imp_part(m, re, 0, 1), im});
	x = ftl_imp_concat(m, r - 1, 2, (const ftl_val[]){x, re});
	x = transform(m, x, r - 1, true, false);
	ftl_imp_out(m, 0, ftl_imp_squeeze(m, ftl_imp_part(m, x, 0, 1), r));
}

/* ---- distances, inverses, crops ---- */

void ftl_imp_do_ms_cdist(imp *m)
{
	ftl_val a = ftl_imp_unsqueeze(m, ftl_imp_need(m, 0), 1), b = ftl_imp_unsqueeze(m, ftl_imp_need(m, 1), 0), d;
	const char *metric = ftl_imp_s(m, "metric", "sqeuclidean");
	int64_t last = 2;

	if (strcmp(metric, "sqeuclidean") && strcmp(metric, "euclidean")) {
		unsupported(m, "metric \"%s\" is not supported; ONNX Runtime has euclidean and sqeuclidean alone",
			    metric);
		return;
	}
	d = e_sub(m, a, b);
	d = ftl_imp_reduce(m, FTL_OP_reduce_sum, e_mul(m, d, d), 1, &last, false);
	ftl_imp_out(m, 0, !strcmp(metric, "euclidean") ? op1(m, FTL_OP_sqrt, d) : d);
}

/* Gauss and Jordan with the largest pivot of each column, on [b, n, 2n] that starts as x beside the identity. */
void ftl_imp_do_ms_inverse(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), state, var, i, row, col, p, order, pivot, rest, is, y[1], out[1], eye;
	int r = rank_of(m, x);
	ftl_dtype t = dtype_of(m, x), w = t == FTL_F64 ? FTL_F64 : FTL_F32;
	ftl_dim b = dim_c(m, 1), n, d[3], two[2], cell[3];
	struct ftl_attrs_gather_nd *g;
	struct ftl_attrs_arg_max *am;
	imp_scan s;

	ftl_imp_want_rank(m, x, 2, FTL_MAX_RANK, "the matrix");
	if (m->failed)
		return;
	for (int k = 0; k < r - 2; k++)
		b = ftl_dim_mul(m->st, b, ftl_imp_dim(m, x, k));
	n = ftl_imp_dim(m, x, -1);
	d[0] = b;
	d[1] = d[2] = n;
	two[0] = n;
	two[1] = cell[1] = cell[2] = dim_c(m, 1);
	cell[0] = b;
	row = ftl_imp_range(m, n, FTL_I64);
	eye = ftl_imp_cast(m, op2(m, FTL_OP_eq, ftl_imp_reshape(m, row, 2, two), row), w);
	state = ftl_imp_reshape(m, ftl_imp_cast(m, x, w), 3, d);
	state = ftl_imp_concat(m, 2, 2,
			       (const ftl_val[]){state, ftl_imp_expand(m, ftl_imp_unsqueeze(m, eye, 0), 3, d)});
	ftl_imp_scan_open(m, &s, 0, 1, &state, 1, &row, 0, &var, &i);
	col = ftl_imp_gather(m, var, i, 2); /* [b, n] */
	/* rows above have had their turn */
	p = e_where(m, op2(m, FTL_OP_lt, row, i), e_num(m, col, -1), op1(m, FTL_OP_abs, col));
	am = NEW_ATTRS(m, arg_max);
	am->axis = 1;
	p = ftl_imp_op(m, FTL_OP_arg_max, am, 1, &p); /* [b, 1] */
	order = e_where(m, op2(m, FTL_OP_eq, row, i), p, e_where(m, op2(m, FTL_OP_eq, row, p), i, row));
	g = NEW_ATTRS(m, gather_nd);
	g->batch_dims = 1;
	var = ftl_imp_op(m, FTL_OP_gather_nd, g, 2, (const ftl_val[]){var, ftl_imp_unsqueeze(m, order, 2)});
	pivot = ftl_imp_unsqueeze(m, ftl_imp_gather(m, var, i, 1), 1); /* [b, 1, 2n] */
	col = ftl_imp_gather(m, var, i, 2);
	pivot = e_div(m, pivot, ftl_imp_reshape(m, ftl_imp_gather(m, col, i, 1), 3, cell));
	rest = e_sub(m, var, e_mul(m, ftl_imp_unsqueeze(m, col, 2), pivot));
	is = ftl_imp_reshape(m, op2(m, FTL_OP_eq, row, i), 2, two);
	y[0] = e_where(m, is, pivot, rest);
	ftl_imp_scan_close(m, &s, y, out);
	y[0] = ftl_imp_slice(m, out[0], 2, n, n);
	if (!m->failed)
		ftl_imp_out(m, 0, ftl_imp_cast(m, ftl_imp_reshape(m, y[0], r, ftl_imp_type(m, x)->dims), t));
}

/* Where crop place k of `size` reads: from + k * (to - from) * (n - 1) / (size - 1), or the middle for one place. */
static ftl_val crop_places(imp *m, ftl_val rois, int from, int to, ftl_val size, ftl_dim n)
{
	ftl_dtype t = dtype_of(m, rois);
	ftl_val a = ftl_imp_part(m, rois, from, 1), b = ftl_imp_part(m, rois, to, 1), k, last, scale, one,
		rng[3] = {ftl_imp_scalar(m, FTL_I64, 0), size, ftl_imp_scalar(m, FTL_I64, 1)};

	last = ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, n, dim_c(m, 1)), t);
	k = ftl_imp_cast(m, ftl_imp_op(m, FTL_OP_range, NULL, 3, rng), t);
	one = ftl_imp_scalar(m, FTL_I64, 1);
	scale = ftl_imp_cast(m, op2(m, FTL_OP_max, e_addf(m, size, -1), one), t);
	scale = e_div(m, e_mul(m, e_sub(m, b, a), last), scale);
	k = e_add(m, e_mul(m, a, last), e_mul(m, k, scale));
	return e_where(m, op2(m, FTL_OP_gt, size, one), k, e_mulf(m, e_mul(m, e_add(m, a, b), last), 0.5));
}

/* rows or columns `at` (f, [R, k]) of x [R, C, H, W] along axis 2 or 3 */
static ftl_val take_line(imp *m, ftl_val x, ftl_val at, int axis)
{
	static const int rows[] = {0, 2, 1, 3}, columns[] = {0, 3, 1, 2}, back[] = {0, 2, 3, 1};
	ftl_dim n = ftl_imp_dim(m, x, axis);
	struct ftl_attrs_gather_nd *g = NEW_ATTRS(m, gather_nd);

	g->batch_dims = 1;
	at = ftl_imp_op(m, FTL_OP_clip, NULL, 3,
			(const ftl_val[]){at, e_num(m, at, 0),
					  ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, n, dim_c(m, 1)), dtype_of(m, at))});
	at = ftl_imp_unsqueeze(m, ftl_imp_cast(m, at, FTL_I64), 2);
	x = ftl_imp_transpose(m, x, axis == 2 ? rows : columns);
	x = ftl_imp_op(m, FTL_OP_gather_nd, g, 2, (const ftl_val[]){x, at});
	return ftl_imp_transpose(m, x, axis == 2 ? rows : back);
}

void ftl_imp_do_ms_crop_and_resize(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), rois = ftl_imp_need(m, 1), batch = ftl_imp_need(m, 2),
		size = ftl_imp_cast(m, ftl_imp_need(m, 3), FTL_I64), at[2], in = 0, ok, lo, f;
	const char *mode = ftl_imp_s(m, "mode", "bilinear");
	bool nearest = !strcmp(mode, "nearest");
	ftl_dim d[4];

	ftl_imp_want_rank(m, x, 4, 4, "the image");
	ftl_imp_want_rank(m, rois, 2, 2, "the regions");
	if (!m->failed && !nearest && strcmp(mode, "bilinear"))
		bad_model(m, "mode \"%s\" does not exist", mode);
	if (m->failed)
		return;
	ftl_dim dims[2] = {ftl_imp_dim(m, x, 2), ftl_imp_dim(m, x, 3)};
	ftl_dtype t = dtype_of(m, x);
	double outside = ftl_imp_f(m, "extrapolation_value", 0);
	x = ftl_imp_gather(m, x, batch, 0);
	for (int k = 0; k < 2; k++) {
		ftl_val n = ftl_imp_reshape(m, ftl_imp_slice(m, size, 0, dim_c(m, k), dim_c(m, 1)), 0, NULL);
		at[k] = crop_places(m, rois, k, k + 2, n, dims[k]);
		ok = op2(m, FTL_OP_and, op2(m, FTL_OP_ge, at[k], e_num(m, at[k], 0)),
			 op2(m, FTL_OP_le, at[k],
			     ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, dims[k], dim_c(m, 1)), dtype_of(m, at[k]))));
		for (int i = 0; i < 4; i++)
			d[i] = i == 0 ? ftl_imp_dim(m, ok, 0) : i == 2 + k ? ftl_imp_dim(m, ok, 1) : dim_c(m, 1);
		if (m->failed)
			return;
		ok = ftl_imp_reshape(m, ok, 4, d);
		in = in ? op2(m, FTL_OP_and, in, ok) : ok;
		if (nearest) {
			x = take_line(m, x, op1(m, FTL_OP_round, at[k]), 2 + k);
			continue;
		}
		lo = op1(m, FTL_OP_floor, at[k]);
		f = ftl_imp_cast(m, ftl_imp_reshape(m, e_sub(m, at[k], lo), 4, d), t);
		ftl_val near = take_line(m, x, lo, 2 + k), far = take_line(m, x, op1(m, FTL_OP_ceil, at[k]), 2 + k);
		x = e_add(m, near, e_mul(m, e_sub(m, far, near), f));
	}
	ftl_imp_out(m, 0, e_where(m, in, x, e_num(m, x, outside)));
}
