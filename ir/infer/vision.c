/* Detection ops: non_max_suppression, roi_align, max_roi_pool, deform_conv. */
#include "hooks.h"

#include <math.h>

static ftl_status want_f32(ftl_infer *f, uint32_t k, const char *what)
{
	if (ftl_infer_has(f, k) && ftl_infer_in(f, k)->dtype != FTL_F32)
		return ftl_infer_fail(f, "%s should be f32, is %s", what, ftl_dtype_name(ftl_infer_in(f, k)->dtype));
	return FTL_OK;
}

static ftl_status agree(ftl_infer *f, ftl_dim a, ftl_dim b, const char *what)
{
	ftl_dim same;

	return ftl_hook_unify(f, a, b, what, &same);
}

ftl_status ftl_infer_op_non_max_suppression(ftl_infer *f)
{
	ftl_symtab *st = f->g->st;
	const ftl_type *boxes, *scores;
	ftl_dim dims[2], most, upper;

	FTL_TRY(ftl_hook_args(f, 2));
	boxes = ftl_infer_in(f, 0);
	scores = ftl_infer_in(f, 1);
	FTL_TRY(ftl_hook_want_rank(f, 0, 3));
	FTL_TRY(ftl_hook_want_rank(f, 1, 3));
	FTL_TRY(want_f32(f, 0, "boxes"));
	FTL_TRY(want_f32(f, 1, "scores"));
	FTL_TRY(agree(f, boxes->dims[0], scores->dims[0], "batch sizes of boxes and scores"));
	FTL_TRY(agree(f, boxes->dims[1], scores->dims[2], "numbers of boxes and scores"));
	if (ftl_dim_known_eq(st, boxes->dims[2], ftl_hook_const(f, 4)) == 0)
		return ftl_infer_fail(f, "boxes of shape %s should have 4 coordinates", ftl_hook_in_shape(f, 0));
	most = ftl_hook_const(f, 0);
	if (ftl_infer_has(f, 2)) {
		FTL_TRY(ftl_hook_want_int(f, 2));
		FTL_TRY(ftl_hook_want_one(f, 2, "the number of boxes per class"));
		most = ftl_hook_elem(f, 2, 0);
	}
	for (uint32_t k = 3; k < 5; k++) {
		FTL_TRY(want_f32(f, k, "a threshold"));
		if (ftl_infer_has(f, k))
			FTL_TRY(ftl_hook_want_one(f, k, "a threshold"));
	}
	most = most == FTL_DIM_NONE ? scores->dims[2] : ftl_dim_min(st, scores->dims[2], most);
	upper = ftl_dim_mul(st, ftl_dim_mul(st, scores->dims[0], scores->dims[1]), most);
	dims[0] = ftl_infer_fresh(f, 0, 0, "selected");
	if (upper != FTL_DIM_NONE)
		ftl_dim_set_upper(st, dims[0], upper);
	dims[1] = ftl_hook_const(f, 3);
	return ftl_hook_out(f, 0, FTL_I64, 2, dims);
}

static ftl_status check_scale(ftl_infer *f, double scale)
{
	if (!isfinite(scale) || scale <= 0)
		return ftl_infer_fail(f, "spatial scale %g", scale);
	return FTL_OK;
}

/* x [n,c,h,w] and regions [r, words] give [r, c, height, width]. */
static ftl_status regions_out(ftl_infer *f, int64_t words, int64_t height, int64_t width)
{
	const ftl_type *x = ftl_infer_in(f, 0), *rois = ftl_infer_in(f, 1);
	ftl_dim dims[4] = {0};

	FTL_TRY(ftl_hook_want_rank(f, 0, 4));
	FTL_TRY(ftl_hook_want_rank(f, 1, 2));
	FTL_TRY(ftl_hook_want_float(f, 0));
	FTL_TRY(ftl_hook_want_same(f, 0, 1));
	if (ftl_dim_known_eq(f->g->st, rois->dims[1], ftl_hook_const(f, words)) == 0)
		return ftl_infer_fail(f, "regions of shape %s should have %lld numbers each", ftl_hook_in_shape(f, 1),
				      (long long)words);
	if (height < 1 || width < 1 || height > 1 << 20 || width > 1 << 20)
		return ftl_infer_fail(f, "regions of %lld x %lld elements", (long long)height, (long long)width);
	dims[0] = rois->dims[0];
	dims[1] = x->dims[1];
	dims[2] = ftl_hook_const(f, height);
	dims[3] = ftl_hook_const(f, width);
	return ftl_hook_out(f, 0, x->dtype, 4, dims);
}

ftl_status ftl_infer_op_roi_align(ftl_infer *f)
{
	const struct ftl_attrs_roi_align *a = FTL_ATTRS(ftl_infer_self(f), roi_align);

	FTL_TRY(ftl_hook_args(f, 3));
	if (strcmp(a->mode, "avg") != 0 && strcmp(a->mode, "max") != 0)
		return ftl_infer_fail(f, "mode \"%s\" is unknown", a->mode);
	if (strcmp(a->coordinate, "half_pixel") != 0 && strcmp(a->coordinate, "output_half_pixel") != 0)
		return ftl_infer_fail(f, "coordinates \"%s\" are unknown", a->coordinate);
	if (a->sampling_ratio < 0 || a->sampling_ratio > 4096)
		return ftl_infer_fail(f, "sampling ratio %lld", (long long)a->sampling_ratio);
	FTL_TRY(check_scale(f, a->spatial_scale));
	FTL_TRY(ftl_hook_want_int(f, 2));
	FTL_TRY(ftl_hook_want_rank(f, 2, 1));
	FTL_TRY(agree(f, ftl_infer_in(f, 1)->dims[0], ftl_infer_in(f, 2)->dims[0], "numbers of regions and images"));
	return regions_out(f, 4, a->height, a->width);
}

ftl_status ftl_infer_op_max_roi_pool(ftl_infer *f)
{
	const struct ftl_attrs_max_roi_pool *a = FTL_ATTRS(ftl_infer_self(f), max_roi_pool);

	FTL_TRY(ftl_hook_args(f, 2));
	if (a->pooled.n != 2)
		return ftl_infer_fail(f, "%u pooled sizes for 2 axes", a->pooled.n);
	FTL_TRY(check_scale(f, a->spatial_scale));
	return regions_out(f, 5, a->pooled.v[0], a->pooled.v[1]);
}

/* Sizes that must be what x, w and the window give. */
static ftl_status check_offsets(ftl_infer *f, uint32_t k, ftl_dim channels, const ftl_dim *out, int rank)
{
	const ftl_type *t;

	if (!ftl_infer_has(f, k))
		return FTL_OK;
	FTL_TRY(ftl_hook_want_same(f, 0, k));
	FTL_TRY(ftl_hook_want_rank(f, k, rank));
	t = ftl_infer_in(f, k);
	FTL_TRY(agree(f, t->dims[0], out[0], "batch sizes"));
	FTL_TRY(agree(f, t->dims[1], channels, "the channels of offset or mask and the kernel's"));
	for (int d = 2; d < rank; d++)
		FTL_TRY(agree(f, t->dims[d], out[d], "the sizes of offset or mask and of the result"));
	return FTL_OK;
}

ftl_status ftl_infer_op_deform_conv(ftl_infer *f)
{
	const struct ftl_attrs_deform_conv *a = FTL_ATTRS(ftl_infer_self(f), deform_conv);
	ftl_symtab *st = f->g->st;
	ftl_dim dims[FTL_MAX_RANK], want, taps, pad[2];
	const ftl_type *x, *w;
	int64_t c;
	int nd;

	FTL_TRY(ftl_hook_args(f, 3));
	FTL_TRY(ftl_hook_want_float(f, 0));
	FTL_TRY(ftl_hook_want_same(f, 0, 1));
	x = ftl_infer_in(f, 0);
	w = ftl_infer_in(f, 1);
	nd = x->rank - 2;
	if (nd < 1 || nd > 3 || w->rank != x->rank)
		return ftl_infer_fail(f, "x of shape %s and w of shape %s should have equal ranks of 3 to 5",
				      ftl_hook_in_shape(f, 0), ftl_hook_in_shape(f, 1));
	if ((a->strides.n && a->strides.n != (uint32_t)nd) || (a->dilations.n && a->dilations.n != (uint32_t)nd) ||
	    (a->pads.n && a->pads.n != 2 * (uint32_t)nd))
		return ftl_infer_fail(f, "strides, dilations or pads do not fit %d spatial axes", nd);
	if (a->group < 1 || a->offset_group < 1)
		return ftl_infer_fail(f, "group %lld, offset group %lld", (long long)a->group,
				      (long long)a->offset_group);
	if ((ftl_dim_is_const(st, w->dims[0], &c) && c % a->group) ||
	    (ftl_dim_is_const(st, x->dims[1], &c) && c % a->offset_group))
		return ftl_infer_fail(f, "the channels do not divide into the groups");
	want = ftl_dim_mul(st, w->dims[1], ftl_hook_const(f, a->group));
	FTL_TRY(agree(f, x->dims[1], want, "the channels of x and w"));
	dims[0] = x->dims[0];
	dims[1] = w->dims[0];
	taps = ftl_hook_const(f, a->offset_group);
	for (int i = 0; i < nd; i++) {
		int64_t s = ftl_hook_int_or(a->strides, (uint32_t)i, 1),
			d = ftl_hook_int_or(a->dilations, (uint32_t)i, 1);

		if (s < 1 || d < 1)
			return ftl_infer_fail(f, "stride %lld, dilation %lld", (long long)s, (long long)d);
		pad[0] = a->pads.n ? a->pads.v[i] : ftl_hook_const(f, 0);
		pad[1] = a->pads.n ? a->pads.v[i + nd] : ftl_hook_const(f, 0);
		dims[2 + i] = ftl_conv_out(st, x->dims[2 + i], w->dims[2 + i], s, d, pad[0], pad[1], false);
		if (dims[2 + i] == FTL_DIM_NONE ||
		    (ftl_dim_hi(st, dims[2 + i]) < 1 && ftl_dim_lo(st, x->dims[2 + i]) > 0))
			return ftl_infer_fail(f, "the kernel does not fit spatial axis %d", i);
		taps = ftl_dim_mul(st, taps, w->dims[2 + i]);
	}
	FTL_TRY(check_offsets(f, 2, ftl_dim_mul(st, taps, ftl_hook_const(f, nd)), dims, x->rank));
	FTL_TRY(check_offsets(f, 4, taps, dims, x->rank));
	if (ftl_infer_has(f, 3)) {
		FTL_TRY(ftl_hook_want_same(f, 0, 3));
		FTL_TRY(ftl_hook_want_rank(f, 3, 1));
		FTL_TRY(agree(f, ftl_infer_in(f, 3)->dims[0], w->dims[0], "the channels of bias and w"));
	}
	return ftl_hook_out(f, 0, x->dtype, x->rank, dims);
}
