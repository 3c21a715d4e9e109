/* Ops that blend neighbouring elements: resize, grid_sample, and the naive form of avg_pool.
 *
 * All three walk a window of taps per spatial axis, in loops whose bodies are built once whatever the rank and filter: tap j
 * of an axis has a position and a weight, the result is the sum over all taps of (product of weights) * x. Positions
 * are computed in floats, then clamped as integers, so that no NaN or infinity in a grid or scale can make an address.
 * (Casts to integers saturate and take NaN to 0.) Empty axes were refused by ftl_bind_dynamic. */
#include "util.h"

static const ftl_type *type_of(ftl_kern *k, ftl_val v)
{
	return ftl_type_of(ftl_lo_graph(ftl_kern_lo(k)), v);
}

static int lanes_of(ftl_kb *b, const ftl_kv *idx, int rank)
{
	int n = 1;

	for (int d = 0; d < rank; d++)
		if (ftl_ktype_of(b->f, idx[d]).lanes > n)
			n = ftl_ktype_of(b->f, idx[d]).lanes;
	return n;
}

static ftl_kv num(ftl_kb *b, ftl_kv like, double v)
{
	return ftl_k_num(b, FTL_KT(ftl_ktype_of(b->f, like).elem, 1), v);
}

static ftl_kv op2(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv y)
{
	return ftl_k2(b, op, x, y);
}

/* Keys' cubic (1981): |d| <= 1: (a+2)d^3 - (a+3)d^2 + 1;  < 2: a d^3 - 5a d^2 + 8a d - 4a;  else 0. d >= 0. */
static ftl_kv cubic(ftl_kb *b, ftl_kv d, double a)
{
	ftl_kv near = ftl_k_fma(b, d, num(b, d, a + 2), num(b, d, -(a + 3))), far;

	near = ftl_k_fma(b, op2(b, FTL_K_mul, near, d), d, num(b, d, 1));
	far = ftl_k_fma(b, d, num(b, d, a), num(b, d, -5 * a));
	far = ftl_k_fma(b, far, d, num(b, d, 8 * a));
	far = ftl_k_fma(b, far, d, num(b, d, -4 * a));
	far = ftl_k_select(b, ftl_k2(b, FTL_K_lt, d, num(b, d, 2)), far, num(b, d, 0));
	return ftl_k_select(b, ftl_k2(b, FTL_K_le, d, num(b, d, 1)), near, far);
}

/* max(0, 1 - d) */
static ftl_kv tent(ftl_kb *b, ftl_kv d)
{
	return op2(b, FTL_K_max, num(b, d, 0), op2(b, FTL_K_sub, num(b, d, 1), d));
}

/* One axis of a window: taps j = 0..count-1 at position low + j, weight filter(|j - shift| * narrow) * norm. */
typedef struct window {
	int axis;
	ftl_kv low, count;    /* i64, with lanes; i64 scalar */
	ftl_kv shift, narrow; /* float; narrow 0 = 1 */
	ftl_kv norm;          /* 0 = 1 */
	bool drop_outside;    /* taps outside the axis weigh nothing */
} window;

static ftl_kv weight(ftl_kb *b, const window *w, bool is_cubic, double a, ftl_kv j, ftl_kv size)
{
	ftl_dtype f = (ftl_dtype)ftl_ktype_of(b->f, w->shift).elem;
	ftl_kv d = ftl_k1(b, FTL_K_abs, op2(b, FTL_K_sub, ftl_k_cast(b, j, f), w->shift)), x, p, in;

	if (w->narrow)
		d = op2(b, FTL_K_mul, d, w->narrow);
	x = is_cubic ? cubic(b, d, a) : tent(b, d);
	if (!w->drop_outside)
		return x;
	p = op2(b, FTL_K_add, w->low, j);
	in = op2(b, FTL_K_and, op2(b, FTL_K_le, ftl_k_i64(b, 0), p), op2(b, FTL_K_lt, p, size));
	return ftl_k_select(b, in, x, num(b, x, 0));
}

/* ---- resize ---- */

/* The program's scale of an axis, as f64. */
static ftl_kv axis_scale(ftl_kern *k, const ftl_node *n, int axis)
{
	const struct ftl_attrs_resize *a = FTL_ATTRS(n, resize);
	ftl_lo *lo = ftl_kern_lo(k);
	ftl_kb *b = ftl_kern_b(k), *m = ftl_lo_main(lo);

	if (a->scales.n && a->scales.v[axis] > 0)
		return ftl_k_float(b, FTL_KT(FTL_F64, 1), a->scales.v[axis]);
	if (!a->scales.n && n->nin > 2 && n->in[2]) {
		ftl_kv s = ftl_u_elem_raw(lo, n, n->in[2], axis);

		/* parameters are integers: the bits of the float travel as one */
		s = ftl_k_bitcast(m, ftl_k_cast(m, s, FTL_F64), FTL_I64);
		return ftl_k_bitcast(b, ftl_kern_arg(k, s), FTL_F64);
	}
	return op2(b, FTL_K_div, ftl_k_cast(b, ftl_kern_dim(k, type_of(k, n->out[0])->dims[axis]), FTL_F64),
		   ftl_k_cast(b, ftl_kern_dim(k, type_of(k, n->in[0])->dims[axis]), FTL_F64));
}

static ftl_kv roi(ftl_kern *k, const ftl_node *n, int i)
{
	ftl_floats attr = FTL_ATTRS(n, resize)->roi;
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv at = ftl_k_i64(b, i);
	int rank = type_of(k, n->in[0])->rank;

	if (attr.n == 0 && n->nin > 1 && n->in[1])
		return ftl_k_cast(b, ftl_read(k, n->in[1], &at), FTL_F64);
	return ftl_k_float(b, FTL_KT(FTL_F64, 1), (uint32_t)i < attr.n ? attr.v[i] : i >= rank);
}

/* Where in the operand's axis (in elements) the result's element i lies; the formulas of ONNX's Resize. */
static ftl_kv coordinate(ftl_kern *k, const ftl_node *n, int axis, ftl_kv i, ftl_kv scale)
{
	const char *mode = FTL_ATTRS(n, resize)->coordinate;
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv x = ftl_k_cast(b, i, FTL_F64), half = num(b, x, 0.5), one = num(b, x, 1), zero = num(b, x, 0), y, single;
	ftl_kv in = ftl_k_cast(b, ftl_kern_dim(k, type_of(k, n->in[0])->dims[axis]), FTL_F64);
	ftl_kv out = ftl_k_cast(b, ftl_kern_dim(k, type_of(k, n->out[0])->dims[axis]), FTL_F64);
	/* the formulas' length is scale * in, whole or not; what rounding of the scale makes nearly whole counts as whole */
	ftl_kv exact = op2(b, FTL_K_mul, scale, in), rounded = ftl_k1(b, FTL_K_abs, op2(b, FTL_K_sub, exact, out));
	ftl_kv length = ftl_k_select(b, op2(b, FTL_K_lt, rounded, num(b, x, 1e-3)), out, exact);
	ftl_kv span = op2(b, FTL_K_sub, in, one), steps = op2(b, FTL_K_sub, length, one);

	single = op2(b, FTL_K_le, out, one);
	steps = ftl_k_select(b, single, one, steps);
	if (strcmp(mode, "asymmetric") == 0)
		return op2(b, FTL_K_div, x, scale);
	if (strcmp(mode, "align_corners") == 0)
		return ftl_k_select(b, single, zero, op2(b, FTL_K_div, op2(b, FTL_K_mul, x, span), steps));
	if (strcmp(mode, "tf_crop_and_resize") == 0) {
		ftl_kv start = roi(k, n, axis), end = roi(k, n, axis + type_of(k, n->in[0])->rank);

		y = op2(b, FTL_K_div, op2(b, FTL_K_mul, op2(b, FTL_K_mul, x, op2(b, FTL_K_sub, end, start)), span),
			steps);
		y = op2(b, FTL_K_add, op2(b, FTL_K_mul, start, span), y);
		return ftl_k_select(b, single,
				    op2(b, FTL_K_mul, op2(b, FTL_K_mul, half, op2(b, FTL_K_add, start, end)), span), y);
	}
	y = op2(b, FTL_K_div, op2(b, FTL_K_add, x, half), scale);
	if (strcmp(mode, "tf_half_pixel_for_nn") == 0)
		return y;
	y = op2(b, FTL_K_sub, y, half);
	if (strcmp(mode, "pytorch_half_pixel") == 0)
		return ftl_k_select(b, single, zero, y);
	if (strcmp(mode, "half_pixel_symmetric") == 0) {
		ftl_kv adjust = op2(b, FTL_K_div, out, length);

		y = op2(b, FTL_K_add, op2(b, FTL_K_mul, op2(b, FTL_K_mul, in, half), op2(b, FTL_K_sub, one, adjust)),
			y);
	}
	return y;
}

static ftl_kv nearest(ftl_kb *b, const char *mode, ftl_kv x)
{
	if (strcmp(mode, "floor") == 0)
		return ftl_k1(b, FTL_K_floor, x);
	if (strcmp(mode, "ceil") == 0)
		return ftl_k1(b, FTL_K_ceil, x);
	if (strcmp(mode, "round_prefer_ceil") == 0)
		return ftl_k1(b, FTL_K_floor, op2(b, FTL_K_add, x, num(b, x, 0.5)));
	return ftl_k1(b, FTL_K_ceil, op2(b, FTL_K_sub, x, num(b, x, 0.5)));
}

/* The axis keeps its size and every coordinate its place. */
static bool untouched(ftl_kern *k, const ftl_node *n, int axis)
{
	const struct ftl_attrs_resize *a = FTL_ATTRS(n, resize);
	const ftl_dim in = type_of(k, n->in[0])->dims[axis], out = type_of(k, n->out[0])->dims[axis];

	return ftl_dim_known_eq(ftl_lo_graph(ftl_kern_lo(k))->st, in, out) == 1 &&
	       strcmp(a->coordinate, "tf_crop_and_resize") != 0 &&
	       (a->scales.n ? a->scales.v[axis] == 1 || a->scales.v[axis] == 0 : n->nin < 3 || !n->in[2]);
}

/* Taps of a linear or cubic axis. Antialiasing widens the filter by 1/scale when shrinking. */
static window resize_window(ftl_kern *k, const ftl_node *n, int axis, ftl_kv x, ftl_kv scale)
{
	const struct ftl_attrs_resize *a = FTL_ATTRS(n, resize);
	ftl_kb *b = ftl_kern_b(k);
	bool is_cubic = strcmp(a->mode, "cubic") == 0;
	ftl_kv whole = ftl_k1(b, FTL_K_floor, x), start = ftl_k_i64(b, is_cubic ? -1 : 0), one = num(b, scale, 1);
	ftl_kv size = ftl_kern_dim(k, type_of(k, n->in[0])->dims[axis]);
	window w = {.axis = axis, .drop_outside = a->exclude_outside};

	if (a->antialias) {
		ftl_kv far = num(b, scale, is_cubic ? -2 : -1), cap = ftl_k_i64(b, -(1 << 20));

		w.narrow = op2(b, FTL_K_min, scale, one);
		start = ftl_k_cast(b, op2(b, FTL_K_add, ftl_k1(b, FTL_K_floor, op2(b, FTL_K_div, far, w.narrow)), one),
				   FTL_I64);
		start = op2(b, FTL_K_max, start, cap);
	}
	w.count = op2(b, FTL_K_sub, ftl_k_i64(b, 2), op2(b, FTL_K_mul, start, ftl_k_i64(b, 2)));
	w.low = op2(b, FTL_K_add, ftl_k_cast(b, whole, FTL_I64), start);
	/* tap j lies at whole + start + j, the sample at whole + (x - whole) */
	w.shift = op2(b, FTL_K_sub, op2(b, FTL_K_sub, x, whole), ftl_k_cast(b, start, FTL_F64));
	if (a->antialias || a->exclude_outside) {
		int lanes = ftl_ktype_of(b->f, x).lanes;
		ftl_kv sum = ftl_k_var(b, ftl_k_float(b, FTL_KT(FTL_F64, lanes), 0)), total;
		ftl_kscope s = ftl_k_for(b, ftl_k_i64(b, 0), w.count, 1);

		ftl_k_set(b, sum,
			  op2(b, FTL_K_add, ftl_k_get(b, sum), weight(b, &w, is_cubic, a->cubic_a, s.index, size)));
		ftl_k_end(b, &s);
		total = ftl_k_get(b, sum);
		/* all taps outside: nothing to divide */
		total = ftl_k_select(b, op2(b, FTL_K_eq, total, num(b, total, 0)), num(b, total, 1), total);
		w.norm = op2(b, FTL_K_div, num(b, total, 1), total);
	}
	return w;
}

ftl_kv ftl_point_resize(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_resize *a = FTL_ATTRS(n, resize);
	ftl_kb *b = ftl_kern_b(k);
	const ftl_type *t = type_of(k, n->in[0]);
	bool is_nearest = strcmp(a->mode, "nearest") == 0, is_cubic = strcmp(a->mode, "cubic") == 0;
	bool crop = strcmp(a->coordinate, "tf_crop_and_resize") == 0;
	ftl_dtype comp = ftl_dtype_compute(t->dtype), f = ftl_dtype_is_float(comp) ? comp : FTL_F32;
	ftl_kv at[FTL_MAX_RANK], outside = 0, sum = 0, w = 0, y;
	ftl_kscope s[FTL_MAX_RANK];
	window win[FTL_MAX_RANK];
	int nwin = 0;

	for (int d = 0; d < t->rank; d++) {
		ftl_kv x, scale, size, zero = ftl_k_i64(b, 0);

		at[d] = idx[d];
		if (untouched(k, n, d))
			continue;
		size = ftl_kern_dim(k, t->dims[d]);
		scale = axis_scale(k, n, d);
		x = coordinate(k, n, d, idx[d], scale);
		if (crop) {
			ftl_kv last = ftl_k_cast(b, op2(b, FTL_K_sub, size, ftl_k_i64(b, 1)), FTL_F64);
			ftl_kv off = op2(b, FTL_K_or, op2(b, FTL_K_lt, x, num(b, x, 0)), op2(b, FTL_K_lt, last, x));

			outside = outside ? op2(b, FTL_K_or, outside, off) : off;
		}
		if (is_nearest)
			at[d] = ftl_u_clamp(b, ftl_k_cast(b, nearest(b, a->nearest, x), FTL_I64), zero,
					    op2(b, FTL_K_sub, size, ftl_k_i64(b, 1)));
		else
			win[nwin++] = resize_window(k, n, d, x, scale);
	}
	if (nwin > 0)
		sum = ftl_k_var(b, ftl_k_float(b, FTL_KT(f, lanes_of(b, idx, t->rank)), 0));
	for (int i = 0; i < nwin; i++) {
		ftl_kv size = ftl_kern_dim(k, t->dims[win[i].axis]), wi;

		s[i] = ftl_k_for(b, ftl_k_i64(b, 0), win[i].count, 1);
		wi = weight(b, &win[i], is_cubic, a->cubic_a, s[i].index, size);
		if (win[i].norm)
			wi = op2(b, FTL_K_mul, wi, win[i].norm);
		w = w ? op2(b, FTL_K_mul, w, wi) : wi;
		at[win[i].axis] = ftl_u_clamp(b, op2(b, FTL_K_add, win[i].low, s[i].index), ftl_k_i64(b, 0),
					      op2(b, FTL_K_sub, size, ftl_k_i64(b, 1)));
	}
	y = ftl_read(k, n->in[0], at);
	if (nwin > 0) {
		y = op2(b, FTL_K_mul, ftl_k_cast(b, y, f), ftl_k_cast(b, w, f));
		ftl_k_set(b, sum, op2(b, FTL_K_add, ftl_k_get(b, sum), y));
		for (int i = nwin; i > 0; i--)
			ftl_k_end(b, &s[i - 1]);
		y = ftl_k_cast(b, ftl_k_get(b, sum), comp);
	}
	if (outside)
		y = ftl_k_select(b, outside, ftl_k_num(b, FTL_KT(comp, 1), a->extrapolation), y);
	return y;
}

/* ---- grid_sample ---- */

/* x mirrored into [lo, lo + span]: distance from lo modulo 2 span, folded */
static ftl_kv reflect(ftl_kb *b, ftl_kv x, ftl_kv lo, ftl_kv span)
{
	ftl_kv two = op2(b, FTL_K_add, span, span);
	ftl_kv d = op2(b, FTL_K_rem, ftl_k1(b, FTL_K_abs, op2(b, FTL_K_sub, x, lo)), two);

	d = ftl_k_select(b, op2(b, FTL_K_lt, span, d), op2(b, FTL_K_sub, two, d), d);
	return op2(b, FTL_K_add, lo, d);
}

/* Position p (i64) as the padding rule has it, always inside; *ok tells the ones that count (zeros padding). */
static ftl_kv padded(ftl_kb *b, const char *padding, ftl_kv p, ftl_kv size, ftl_kv lo, ftl_kv span, ftl_kv *ok)
{
	ftl_kv zero = ftl_k_i64(b, 0), last = op2(b, FTL_K_sub, size, ftl_k_i64(b, 1));
	ftl_dtype f = (ftl_dtype)ftl_ktype_of(b->f, lo).elem;

	if (strcmp(padding, "zeros") == 0) {
		ftl_kv in = op2(b, FTL_K_and, op2(b, FTL_K_le, zero, p), op2(b, FTL_K_le, p, last));

		*ok = *ok ? op2(b, FTL_K_and, *ok, in) : in;
	} else if (strcmp(padding, "reflection") == 0) {
		p = ftl_k_cast(b, reflect(b, ftl_k_cast(b, p, f), lo, span), FTL_I64);
	}
	return ftl_u_clamp(b, p, zero, last);
}

/* Sample x at the grid's points: the last entry of the grid is the last axis of x first, in [-1, 1] over the axis. */
ftl_kv ftl_point_grid_sample(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_grid_sample *a = FTL_ATTRS(n, grid_sample);
	ftl_kb *b = ftl_kern_b(k);
	const ftl_type *t = type_of(k, n->in[0]);
	bool is_nearest = strcmp(a->mode, "nearest") == 0, is_cubic = strcmp(a->mode, "cubic") == 0;
	ftl_dtype comp = ftl_dtype_compute(t->dtype), f = ftl_dtype_is_float(comp) ? comp : FTL_F32;
	int ns = t->rank - 2, lanes = lanes_of(b, idx, t->rank);
	ftl_kv at[FTL_MAX_RANK], gat[FTL_MAX_RANK], low[FTL_MAX_RANK], span[FTL_MAX_RANK], w = 0, ok = 0, sum, y;
	ftl_kscope s[FTL_MAX_RANK];
	window win[FTL_MAX_RANK];

	at[0] = gat[0] = idx[0];
	at[1] = idx[1];
	for (int d = 0; d < ns; d++)
		gat[1 + d] = idx[2 + d];
	for (int d = 0; d < ns; d++) {
		ftl_kv size = ftl_kern_dim(k, t->dims[2 + d]), x, len, one, half, whole;

		gat[1 + ns] = ftl_k_i64(b, ns - 1 - d);
		x = ftl_read(k, n->in[1], gat);
		one = num(b, x, 1);
		half = num(b, x, 0.5);
		len = ftl_k_cast(b, size, (ftl_dtype)ftl_ktype_of(b->f, x).elem);
		x = op2(b, FTL_K_add, x, one);
		if (a->align_corners)
			x = op2(b, FTL_K_mul, op2(b, FTL_K_mul, x, half), op2(b, FTL_K_sub, len, one));
		else
			x = op2(b, FTL_K_mul, op2(b, FTL_K_sub, op2(b, FTL_K_mul, x, len), one), half);
		if (is_nearest)
			x = ftl_k1(b, FTL_K_rint, x);
		low[d] = a->align_corners ? num(b, x, 0) : num(b, x, -0.5);
		span[d] = a->align_corners ? op2(b, FTL_K_sub, len, one) : len;
		/* a cubic's taps are cut at the border one by one */
		if (strcmp(a->padding, "border") == 0 && !is_cubic)
			x = op2(b, FTL_K_max, num(b, x, 0), op2(b, FTL_K_min, x, op2(b, FTL_K_sub, len, one)));
		else if (strcmp(a->padding, "reflection") == 0)
			x = reflect(b, x, low[d], span[d]);
		if (is_nearest) {
			at[2 + d] = padded(b, a->padding, ftl_k_cast(b, ftl_k1(b, FTL_K_rint, x), FTL_I64), size,
					   low[d], span[d], &ok);
			continue;
		}
		whole = ftl_k1(b, FTL_K_floor, x);
		win[d] = (window){.axis = 2 + d, .count = ftl_k_i64(b, is_cubic ? 4 : 2)};
		win[d].low = op2(b, FTL_K_sub, ftl_k_cast(b, whole, FTL_I64), ftl_k_i64(b, is_cubic));
		win[d].shift = op2(b, FTL_K_add, op2(b, FTL_K_sub, x, whole), num(b, x, is_cubic));
	}
	if (is_nearest) {
		y = ftl_read(k, n->in[0], at);
		return ok ? ftl_k_select(b, ok, y, num(b, y, 0)) : y;
	}
	sum = ftl_k_var(b, ftl_k_float(b, FTL_KT(f, lanes), 0));
	for (int d = 0; d < ns; d++) {
		ftl_kv size = ftl_kern_dim(k, t->dims[2 + d]), wi;

		s[d] = ftl_k_for(b, ftl_k_i64(b, 0), win[d].count, 1);
		wi = weight(b, &win[d], is_cubic, -0.75, s[d].index, size);
		w = w ? op2(b, FTL_K_mul, w, wi) : wi;
		at[2 + d] = padded(b, a->padding, op2(b, FTL_K_add, win[d].low, s[d].index), size, low[d], span[d],
				   &ok);
	}
	y = ftl_k_cast(b, ftl_read(k, n->in[0], at), f);
	if (ok)
		y = ftl_k_select(b, ok, y, num(b, y, 0));
	ftl_k_set(b, sum, op2(b, FTL_K_add, ftl_k_get(b, sum), op2(b, FTL_K_mul, y, ftl_k_cast(b, w, f))));
	for (int d = ns; d > 0; d--)
		ftl_k_end(b, &s[d - 1]);
	return ftl_k_cast(b, ftl_k_get(b, sum), comp);
}

/* ---- avg_pool ---- */

/* Mean over the window. What hangs over the operand counts as 0 and, if pads are included, in the divisor: up to the padded
 * end, beyond which ceil_mode may reach. */
ftl_kv ftl_avg_pool_element(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_avg_pool *a = FTL_ATTRS(n, avg_pool);
	ftl_lo *lo = ftl_kern_lo(k);
	ftl_kb *b = ftl_kern_b(k);
	const ftl_type *t = type_of(k, n->in[0]);
	ftl_dtype comp = ftl_dtype_compute(t->dtype), f = ftl_dtype_is_float(comp) ? comp : FTL_F32;
	int ns = t->rank - 2, lanes = lanes_of(b, idx, t->rank);
	ftl_kv at[FTL_MAX_RANK], zero = ftl_k_i64(b, 0), one = ftl_k_float(b, FTL_KT(f, lanes), 1),
				 none = ftl_k_float(b, FTL_KT(f, lanes), 0);
	ftl_kv sum = ftl_k_var(b, none), count = ftl_k_var(b, none), inside = 0, counted = 0, x;
	ftl_kscope s[FTL_MAX_RANK];

	at[0] = idx[0];
	at[1] = idx[1];
	for (int d = 0; d < ns; d++) {
		ftl_kv size = ftl_kern_dim(k, t->dims[2 + d]), p, in, end;
		bool padded_axis = a->ceil_mode;

		s[d] = ftl_k_for(b, zero, ftl_k_i64(b, a->kernel.v[d]), 1);
		p = op2(b, FTL_K_mul, idx[2 + d], ftl_k_i64(b, a->strides.n ? a->strides.v[d] : 1));
		p = op2(b, FTL_K_add, p,
			op2(b, FTL_K_mul, s[d].index, ftl_k_i64(b, a->dilations.n ? a->dilations.v[d] : 1)));
		if (a->pads.n) {
			p = op2(b, FTL_K_sub, p, ftl_kern_dim(k, a->pads.v[d]));
			padded_axis |= !ftl_u_is(lo, a->pads.v[d], 0) || !ftl_u_is(lo, a->pads.v[d + ns], 0);
		}
		at[2 + d] = p;
		if (!padded_axis)
			continue;
		in = op2(b, FTL_K_and, op2(b, FTL_K_le, zero, p), op2(b, FTL_K_lt, p, size));
		end = a->pads.n ? op2(b, FTL_K_add, size, ftl_kern_dim(k, a->pads.v[d + ns])) : size;
		at[2 + d] = ftl_u_clamp(b, p, zero, op2(b, FTL_K_sub, size, ftl_k_i64(b, 1)));
		inside = inside ? op2(b, FTL_K_and, inside, in) : in;
		if (a->include_pad)
			in = op2(b, FTL_K_lt, p, end);
		counted = counted ? op2(b, FTL_K_and, counted, in) : in;
	}
	x = ftl_k_cast(b, ftl_read(k, n->in[0], at), f);
	if (inside)
		x = ftl_k_select(b, inside, x, none);
	ftl_k_set(b, sum, op2(b, FTL_K_add, ftl_k_get(b, sum), x));
	ftl_k_set(b, count,
		  op2(b, FTL_K_add, ftl_k_get(b, count), counted ? ftl_k_select(b, counted, one, none) : one));
	for (int d = ns; d > 0; d--)
		ftl_k_end(b, &s[d - 1]);
	/* a window with nothing in it (ceil_mode): 0, not 0 / 0 */
	x = op2(b, FTL_K_div, ftl_k_get(b, sum), op2(b, FTL_K_max, ftl_k_get(b, count), one));
	return ftl_k_cast(b, x, comp);
}
