/* Resize in all its versions, GridSample, DFT, STFT. */
#include <math.h>

#include "imp.h"

/* ---- resize ---- */

typedef struct resize {
	ftl_val x, roi, scales, sizes;
	int rank;
	int axes[FTL_MAX_RANK], n; /* the axes the lists are about */
	const char *policy;
} resize;

/* Inputs that are there but empty count as left out, as exporters write them. */
static ftl_val unless_empty(imp *m, ftl_val v)
{
	int64_t n;

	if (v && rank_of(m, v) == 1 && ftl_dim_is_const(m->st, ftl_imp_dim(m, v, 0), &n) && n == 0)
		return 0;
	return v;
}

static bool const_floats(imp *m, ftl_val v, double *out, int n)
{
	const ftl_blob *b = v ? ftl_const_blob(m->g, v) : NULL;
	ftl_dtype t = dtype_of(m, v);

	if (!b || b->bytes != (size_t)n * ftl_dtype_bytes(t))
		return false;
	for (int i = 0; i < n; i++)
		out[i] = ftl_elem_get(t, b->data, (size_t)i);
	return true;
}

/* floor(dim * scale), where that is an expression. */
static ftl_dim scaled(imp *m, ftl_dim d, double scale)
{
	int64_t c, num, den;

	if (ftl_dim_is_const(m->st, d, &c)) {
		double y = floor((double)c * scale);
		return y >= 0 && y < 0x1p40 ? dim_c(m, (int64_t)y) : FTL_DIM_NONE;
	}
	for (den = 1; den <= 64; den *= 2) { /* dyadic fractions are exact in floats */
		double p = scale * (double)den;
		if (p == floor(p) && p < 0x1p20) {
			num = (int64_t)p;
			return ftl_dim_div(m->st, ftl_dim_mul(m->st, d, dim_c(m, num)), dim_c(m, den));
		}
	}
	return FTL_DIM_NONE;
}

/* sizes under keep_aspect_ratio_policy: one scale for all axes, the smallest or the largest that fits; false if only run
 * time knows */
static bool keep_aspect(imp *m, const resize *r, ftl_dim *dims, double *scales)
{
	bool larger = !strcmp(r->policy, "not_smaller");
	double best = 0;

	for (int i = 0; i < r->n; i++) {
		int64_t in, want;
		if (!ftl_dim_is_const(m->st, ftl_imp_dim(m, r->x, r->axes[i]), &in) ||
		    !ftl_dim_is_const(m->st, dims[r->axes[i]], &want) || in == 0)
			return false;
		double s = (double)want / (double)in;
		if (i == 0 || (larger ? s > best : s < best))
			best = s;
	}
	for (int i = 0; i < r->n; i++) {
		int64_t in = 0;
		ftl_dim_is_const(m->st, ftl_imp_dim(m, r->x, r->axes[i]), &in);
		dims[r->axes[i]] = dim_c(m, (int64_t)floor(best * (double)in + 0.5));
		scales[r->axes[i]] = best;
	}
	return true;
}

/* A list over some axes as one over all of them, the others from `rest` (a vector of rank entries). */
static ftl_val spread(imp *m, const resize *r, ftl_val v, ftl_val rest)
{
	ftl_val part[FTL_MAX_RANK];

	if (r->n == r->rank)
		return v;
	for (int i = 0; i < r->rank; i++) {
		int at = -1;
		for (int k = 0; k < r->n; k++)
			if (r->axes[k] == i)
				at = k;
		part[i] = ftl_imp_slice(m, at >= 0 ? v : rest, 0, dim_c(m, at >= 0 ? at : i), dim_c(m, 1));
	}
	return ftl_imp_concat(m, 0, (uint32_t)r->rank, part);
}

/* keep_aspect_ratio_policy with sizes or dims only run time knows: scales in doubles, and sizes from them. */
static void aspect_runtime(imp *m, const resize *r, ftl_val *scales, ftl_val *sizes)
{
	int64_t axes[FTL_MAX_RANK], zero = 0;
	ftl_dim n = dim_c(m, r->n);
	ftl_val have, best;

	for (int i = 0; i < r->n; i++)
		axes[i] = r->axes[i];
	have = ftl_imp_gather(m, ftl_imp_shape(m, r->x), ftl_imp_i64s(m, (uint32_t)r->n, axes), 0);
	have = ftl_imp_cast(m, have, FTL_F64);
	best = ftl_imp_reduce(m, !strcmp(r->policy, "not_smaller") ? FTL_OP_reduce_max : FTL_OP_reduce_min,
			      e_div(m, ftl_imp_cast(m, *sizes, FTL_F64), have), 1, &zero, true);
	*scales = ftl_imp_expand(m, best, 1, &n);
	*sizes = ftl_imp_cast(m, op1(m, FTL_OP_floor, e_addf(m, e_mul(m, have, best), 0.5)), FTL_I64);
}

static void resize_dynamic(imp *m, const resize *r, struct ftl_attrs_resize *a, ftl_val roi)
{
	int64_t rank = r->rank;
	ftl_val in[4] = {r->x, roi}, scales = r->scales, sizes = r->sizes;
	double ones[FTL_MAX_RANK];

	for (int i = 0; i < FTL_MAX_RANK; i++)
		ones[i] = 1;
	if (sizes) {
		sizes = ftl_imp_vector(m, sizes);
		if (strcmp(r->policy, "stretch"))
			aspect_runtime(m, r, &scales, &sizes);
		in[3] = spread(m, r, sizes, r->n == r->rank ? 0 : ftl_imp_shape(m, r->x));
	}
	if (scales)
		in[2] = spread(m, r, scales,
			       ftl_imp_cast(m, ftl_imp_bytes(m, FTL_F64, 1, &rank, ones), dtype_of(m, scales)));
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_resize, a, in[3] ? 4 : 3, in));
}

/* The region for all axes: starts, then ends. As an attribute if it is known; else the result is the operand. */
static ftl_val resize_region(imp *m, const resize *r, struct ftl_attrs_resize *a)
{
	double given[2 * FTL_MAX_RANK], *roi;
	int64_t rank = r->rank;
	ftl_val half[2];

	if (!r->roi || strcmp(a->coordinate, "tf_crop_and_resize"))
		return 0;
	if (const_floats(m, r->roi, given, 2 * r->n)) {
		roi = FTL_NEW_N(m->arena, double, (size_t)(2 * r->rank));
		for (int i = 0; i < r->rank; i++)
			roi[i + r->rank] = 1;
		for (int i = 0; i < r->n; i++) {
			roi[r->axes[i]] = given[i];
			roi[r->axes[i] + r->rank] = given[i + r->n];
		}
		a->roi = (ftl_floats){(uint32_t)(2 * r->rank), roi};
		return 0;
	}
	ftl_imp_want_rank(m, r->roi, 1, 1, "roi");
	for (int k = 0; k < 2 && !m->failed; k++) {
		double rest[FTL_MAX_RANK];
		for (int i = 0; i < r->rank; i++)
			rest[i] = k;
		half[k] = ftl_imp_slice(m, r->roi, 0, dim_c(m, k * (int64_t)r->n), dim_c(m, r->n));
		half[k] = spread(m, r, half[k],
				 ftl_imp_cast(m, ftl_imp_bytes(m, FTL_F64, 1, &rank, rest), dtype_of(m, r->roi)));
	}
	return m->failed ? 0 : ftl_imp_concat(m, 0, 2, half);
}

static void emit_resize(imp *m, resize *r, struct ftl_attrs_resize *a)
{
	ftl_dim dims[FTL_MAX_RANK], want[FTL_MAX_RANK];
	double scales[FTL_MAX_RANK] = {0}, given[2 * FTL_MAX_RANK];
	double *kept;
	ftl_val roi, in[2];
	uint32_t n;

	for (int i = 0; i < r->rank; i++) {
		dims[i] = ftl_imp_dim(m, r->x, i);
		scales[i] = 1;
	}
	roi = resize_region(m, r, a);
	if (r->sizes) {
		if (!ftl_imp_known_dims(m, r->sizes, want, FTL_MAX_RANK, &n)) {
			resize_dynamic(m, r, a, roi);
			return;
		}
		if (n != (uint32_t)r->n) {
			bad_model(m, "has %u sizes for %d axes", n, r->n);
			return;
		}
		for (int i = 0; i < r->n; i++) {
			/* a scale of 1 where nothing changes: the two ways of saying it agree */
			scales[r->axes[i]] = want[i] == dims[r->axes[i]] ? 1 : 0;
			dims[r->axes[i]] = want[i];
		}
		if (strcmp(r->policy, "stretch") && !keep_aspect(m, r, dims, scales)) {
			resize_dynamic(m, r, a, roi);
			return;
		}
	} else {
		if (!const_floats(m, r->scales, given, r->n)) {
			resize_dynamic(m, r, a, roi);
			return;
		}
		for (int i = 0; i < r->n; i++) {
			int at = r->axes[i];
			if (!(given[i] > 0) || !isfinite(given[i])) {
				bad_model(m, "scale %g of axis %d makes no sense", given[i], at);
				return;
			}
			scales[at] = given[i];
			dims[at] = scaled(m, dims[at], given[i]);
			if (dims[at] == FTL_DIM_NONE) {
				resize_dynamic(m, r, a, roi);
				return;
			}
		}
	}
	kept = ftl_arena_dup(m->arena, scales, (size_t)r->rank * sizeof *scales);
	a->scales = (ftl_floats){(uint32_t)r->rank, kept};
	a->dims = ftl_imp_dims_copy(m, (uint32_t)r->rank, dims);
	in[0] = r->x;
	in[1] = roi;
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_resize, a, roi ? 2 : 1, in));
}

static const char *interpolation(imp *m, const char *mode)
{
	if (!strcmp(mode, "nearest"))
		return "nearest";
	if (!strcmp(mode, "linear") || !strcmp(mode, "bilinear"))
		return "linear";
	if (!strcmp(mode, "cubic") || !strcmp(mode, "bicubic"))
		return "cubic";
	bad_model(m, "mode \"%s\" is unknown", mode);
	return "nearest";
}

void ftl_imp_do_upsample(imp *m)
{
	struct ftl_attrs_resize *a = NEW_ATTRS(m, resize);
	resize r = {.x = ftl_imp_need(m, 0), .policy = "stretch"};

	if (m->cur->opset < 9) {
		const Onnx__AttributeProto *s = ftl_imp_attr(m, "scales");
		if (!s) {
			bad_model(m, "has no scales");
			return;
		}
		r.scales = ftl_imp_bytes(m, FTL_F32, 1, &(int64_t){(int64_t)s->n_floats}, s->floats);
	} else {
		r.scales = ftl_imp_need(m, 1);
	}
	r.rank = r.n = rank_of(m, r.x);
	for (int i = 0; i < r.n; i++)
		r.axes[i] = i;
	a->mode = interpolation(m, ftl_imp_s(m, "mode", "nearest"));
	a->coordinate = "asymmetric";
	a->nearest = "floor";
	if (!m->failed)
		emit_resize(m, &r, a);
}

static const char *one_of(imp *m, const char *what, const char *v, const char *const *all)
{
	for (; *all; all++)
		if (!strcmp(v, *all))
			return v;
	bad_model(m, "%s \"%s\" is unknown", what, v);
	return v;
}

/* Opset 10 leaves open which element is nearest; its tests and ONNX Runtime take the one before when an axis grows, the
 * one behind when it shrinks. Scales of either kind are two steps, since that is a property of the whole node here. */
static void resize10(imp *m, resize *r, struct ftl_attrs_resize *a)
{
	struct ftl_attrs_resize *shrink = NEW_ATTRS(m, resize);
	double given[FTL_MAX_RANK];
	bool known = const_floats(m, r->scales, given, r->rank), less = !known, more = !known;
	ftl_val all = r->scales, one = e_num(m, all, 1);

	for (int i = 0; known && i < r->rank; i++) {
		less = less || given[i] < 1;
		more = more || given[i] > 1;
	}
	*shrink = *a;
	shrink->nearest = "ceil";
	if (strcmp(a->mode, "nearest") || !less) {
		emit_resize(m, r, a);
		return;
	}
	if (known && !more) {
		emit_resize(m, r, shrink);
		return;
	}
	if (known) {
		float part[2][FTL_MAX_RANK];
		int64_t n = r->rank;
		for (int i = 0; i < r->rank; i++) {
			part[0][i] = (float)(given[i] < 1 ? given[i] : 1);
			part[1][i] = (float)(given[i] < 1 ? 1 : given[i]);
		}
		r->scales = ftl_imp_bytes(m, FTL_F32, 1, &n, part[0]);
		all = ftl_imp_bytes(m, FTL_F32, 1, &n, part[1]);
	} else {
		r->scales = op2(m, FTL_OP_min, all, one);
		all = op2(m, FTL_OP_max, all, one);
	}
	emit_resize(m, r, shrink);
	r->x = m->failed ? 0 : m->cur->out[0].v;
	r->scales = all;
	if (!m->failed)
		emit_resize(m, r, a);
}

void ftl_imp_do_resize(imp *m)
{
	static const char *const coordinates[] = {
		"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",   "align_corners",
		"asymmetric", "tf_crop_and_resize",   "tf_half_pixel_for_nn", NULL};
	static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
	struct ftl_attrs_resize *a = NEW_ATTRS(m, resize);
	bool old = m->cur->opset < 11;
	resize r = {.x = ftl_imp_need(m, 0)};
	ftl_ints axes = ftl_imp_ints(m, "axes");

	r.roi = old ? 0 : unless_empty(m, ftl_imp_in(m, 1));
	r.scales = unless_empty(m, ftl_imp_in(m, old ? 1 : 2));
	r.sizes = old ? 0 : unless_empty(m, ftl_imp_in(m, 3));
	r.policy = ftl_imp_s(m, "keep_aspect_ratio_policy", "stretch");
	r.rank = rank_of(m, r.x);
	a->mode = interpolation(m, ftl_imp_s(m, "mode", "nearest"));
	a->coordinate = old ? "asymmetric"
			    : one_of(m, "coordinate_transformation_mode",
				     ftl_imp_s(m, "coordinate_transformation_mode", "half_pixel"), coordinates);
	a->nearest = old ? "floor"
			 : one_of(m, "nearest_mode", ftl_imp_s(m, "nearest_mode", "round_prefer_floor"), roundings);
	a->cubic_a = ftl_imp_f(m, "cubic_coeff_a", -0.75);
	a->exclude_outside = ftl_imp_i(m, "exclude_outside", 0) != 0;
	a->extrapolation = ftl_imp_f(m, "extrapolation_value", 0);
	a->antialias = ftl_imp_i(m, "antialias", 0) != 0;
	if (!r.scales == !r.sizes && !m->failed)
		bad_model(m, "needs either scales or sizes");
	if (axes.n > FTL_MAX_RANK && !m->failed)
		bad_model(m, "has %u axes", axes.n);
	if (m->failed)
		return;
	r.n = axes.n ? (int)axes.n : r.rank;
	for (int i = 0; i < r.n; i++)
		r.axes[i] = axes.n ? ftl_imp_axis(m, axes.v[i], r.rank) : i;
	if (m->failed)
		return;
	if (old)
		resize10(m, &r, a);
	else
		emit_resize(m, &r, a);
}

void ftl_imp_do_grid_sample(imp *m)
{
	struct ftl_attrs_grid_sample *a = NEW_ATTRS(m, grid_sample);

	a->mode = interpolation(m, ftl_imp_s(m, "mode", "linear"));
	a->padding = ftl_imp_s(m, "padding_mode", "zeros");
	a->align_corners = ftl_imp_i(m, "align_corners", 0) != 0;
	ftl_imp_out(m, 0,
		    ftl_imp_op(m, FTL_OP_grid_sample, a, 2, (const ftl_val[]){ftl_imp_need(m, 0), ftl_imp_need(m, 1)}));
}

/* ---- Fourier ---- */

/* A last axis of unknown size: complex numbers, the imaginary part 0 if it is not there; or real ones, which is checked. */
static ftl_val with_parts(imp *m, ftl_val x, bool real)
{
	int r = rank_of(m, x);
	ftl_dim d[FTL_MAX_RANK];
	struct ftl_attrs_pad *a = NEW_ATTRS(m, pad);
	ftl_dim parts = ftl_imp_dim(m, x, r - 1), pads[2];

	if (m->failed || ftl_dim_is_const(m->st, parts, NULL))
		return x;
	if (real) {
		for (int i = 0; i < r; i++)
			d[i] = i < r - 1 ? ftl_imp_dim(m, x, i) : dim_c(m, 1);
		return ftl_imp_reshape(m, x, r, d);
	}
	pads[0] = dim_c(m, 0);
	pads[1] = ftl_dim_sub(m->st, dim_c(m, 2), parts);
	a->axes = ftl_imp_ints_copy(m, 1, &(int64_t){r - 1});
	a->pads = ftl_imp_dims_copy(m, 2, pads);
	return ftl_imp_op(m, FTL_OP_pad, a, 1, &x);
}

/* An axis only run time knows is brought between the others of a view; the last axis, of complex numbers, stays. */
static void dft_runtime(imp *m, struct ftl_attrs_dft *a, ftl_val x, ftl_val len, ftl_val axis)
{
	int r = rank_of(m, x);
	ftl_val shape = ftl_imp_shape(m, x), last, part[2], y, in[2];

	ftl_imp_want_rank(m, x, 2, FTL_MAX_RANK, "the input");
	if (m->failed)
		return;
	axis = ftl_imp_axis_of(m, axis, r);
	last = ftl_imp_slice(m, shape, 0, dim_c(m, r - 1), dim_c(m, 1));
	shape = ftl_imp_slice(m, shape, 0, dim_c(m, 0), dim_c(m, r - 1)); /* the last axis is refused */
	part[0] = ftl_imp_around(m, shape, axis, r - 1);
	part[1] = last;
	in[0] = ftl_imp_reshape_to(m, x, ftl_imp_concat(m, 0, 2, part));
	if (!m->failed) { /* what the transform looks at is known all the same */
		ftl_dim d[4];
		for (int i = 0; i < 3; i++)
			d[i] = ftl_imp_dim(m, in[0], i);
		d[3] = ftl_imp_dim(m, x, r - 1);
		in[0] = ftl_imp_reshape(m, in[0], 4, d);
	}
	in[1] = len;
	a->axis = 1;
	y = ftl_imp_op(m, FTL_OP_dft, a, len ? 2 : 1, in);
	part[0] = ftl_imp_spread(m, axis, ftl_imp_slice(m, ftl_imp_shape(m, y), 0, dim_c(m, 1), dim_c(m, 1)), shape);
	part[1] = ftl_imp_slice(m, ftl_imp_shape(m, y), 0, dim_c(m, 3), dim_c(m, 1));
	ftl_imp_out(m, 0, ftl_imp_reshape_to(m, y, ftl_imp_concat(m, 0, 2, part)));
}

void ftl_imp_do_dft(imp *m)
{
	struct ftl_attrs_dft *a = NEW_ATTRS(m, dft);
	ftl_val x = ftl_imp_need(m, 0), len = ftl_imp_in(m, 1), axis_in = m->cur->opset < 20 ? 0 : ftl_imp_in(m, 2);
	int64_t axis = m->cur->opset < 20 ? ftl_imp_i(m, "axis", 1) : -2;
	uint32_t n;

	if (len && rank_of(m, len))
		len = ftl_imp_reshape(m, len, 0, NULL);
	a->inverse = ftl_imp_i(m, "inverse", 0) != 0;
	a->onesided = ftl_imp_i(m, "onesided", 0) != 0;
	x = with_parts(m, x, a->onesided && !a->inverse);
	if (axis_in && !ftl_imp_known_i64s(m, axis_in, &axis, 1, &n)) {
		dft_runtime(m, a, x, len, axis_in);
		return;
	}
	a->axis = ftl_imp_axis(m, axis, rank_of(m, x));
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_dft, a, len ? 2 : 1, (const ftl_val[]){x, len}));
}

static ftl_val scalar_i64(imp *m, ftl_val v)
{
	return ftl_imp_cast(m, rank_of(m, v) ? ftl_imp_reshape(m, v, 0, NULL) : v, FTL_I64);
}

/* First elements of frames of len elements in n, step apart: as a column. */
static ftl_val frame_starts(imp *m, ftl_dim n, ftl_val step, ftl_val len)
{
	ftl_val range[3] = {ftl_imp_scalar(m, FTL_I64, 0), ftl_imp_dim_scalar(m, n, FTL_I64), step};

	range[1] = e_addf(m, e_sub(m, range[1], len), 1);
	return ftl_imp_unsqueeze(m, ftl_imp_op(m, FTL_OP_range, NULL, 3, range), 1);
}

/* signal [b, n(, 1 or 2)]: frames gathered at every step, times the window, transformed. */
void ftl_imp_do_stft(imp *m)
{
	struct ftl_attrs_dft *a = NEW_ATTRS(m, dft);
	ftl_val x = ftl_imp_need(m, 0), step = ftl_imp_need(m, 1), win = ftl_imp_in(m, 2), at, y, in[3];
	ftl_dim st, len, n, frames, d[2];
	uint32_t k;

	if (rank_of(m, x) == 2)
		x = ftl_imp_unsqueeze(m, x, 2);
	ftl_imp_want_rank(m, x, 3, 3, "the signal");
	a->onesided = ftl_imp_i(m, "onesided", 1) != 0;
	x = with_parts(m, x, a->onesided);
	if (m->failed)
		return;
	if (win)
		len = ftl_imp_dim(m, win, 0);
	else if (!ftl_imp_known_dims(m, ftl_imp_need(m, 3), &len, 1, &k))
		len = FTL_DIM_NONE;
	if (!ftl_imp_known_dims(m, step, &st, 1, &k) || ftl_dim_lo(m->st, st) < 1)
		st = FTL_DIM_NONE;
	n = ftl_imp_dim(m, x, 1);
	in[0] = ftl_imp_scalar(m, FTL_I64, 0);
	in[1] = len == FTL_DIM_NONE ? scalar_i64(m, ftl_imp_need(m, 3)) : ftl_imp_dim_scalar(m, len, FTL_I64);
	in[2] = ftl_imp_scalar(m, FTL_I64, 1);
	if (len != FTL_DIM_NONE && st != FTL_DIM_NONE) {
		frames = ftl_dim_add(m->st, ftl_dim_div(m->st, ftl_dim_sub(m->st, n, len), st), dim_c(m, 1));
		d[0] = frames;
		d[1] = dim_c(m, 1);
		at = e_mul(m, ftl_imp_reshape(m, ftl_imp_range(m, frames, FTL_I64), 2, d),
			   ftl_imp_dim_scalar(m, st, FTL_I64));
	} else {
		at = frame_starts(m, n, scalar_i64(m, step), in[1]);
	}
	if (len != FTL_DIM_NONE)
		at = e_add(m, at, ftl_imp_range(m, len, FTL_I64)); /* [frames, len] */
	else
		at = e_add(m, at, ftl_imp_op(m, FTL_OP_range, NULL, 3, in));
	y = ftl_imp_gather(m, x, at, 1); /* [b, frames, len, 1 or 2] */
	if (win)
		y = e_mul(m, y, ftl_imp_unsqueeze(m, win, 1));
	a->axis = 2;
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_dft, a, 1, &y));
}
