/* Contractions and windows: matmul, conv, conv_transpose, pooling.
 *
 * Products of 8-bit integers are summed in i32, everything else in the operands' own type. A quantized operand
 * counts as what its values stand for. */
#include "hooks.h"

static bool is_8bit(ftl_dtype t)
{
	return t == FTL_I8 || t == FTL_U8;
}

/* Element type of a product of inputs 0 and 1. */
static ftl_status product_type(ftl_infer *f, ftl_dtype *out)
{
	ftl_dtype a = ftl_hook_real_dtype(f, ftl_infer_in(f, 0)), b = ftl_hook_real_dtype(f, ftl_infer_in(f, 1));

	FTL_TRY(ftl_hook_want_number(f, 0));
	FTL_TRY(ftl_hook_want_number(f, 1));
	if (a != b && !(is_8bit(a) && is_8bit(b)))
		return ftl_infer_fail(f, "cannot multiply element types %s and %s", ftl_dtype_name(a),
				      ftl_dtype_name(b));
	*out = is_8bit(a) ? FTL_I32 : a;
	return FTL_OK;
}

ftl_status ftl_infer_op_matmul(ftl_infer *f)
{
	const struct ftl_attrs_matmul *at = FTL_ATTRS(ftl_infer_self(f), matmul);
	ftl_symtab *st = f->g->st;
	ftl_dim dims[FTL_MAX_RANK + 2], ka, kb;
	const ftl_type *a, *b;
	ftl_dims batch[2];
	ftl_dtype t;
	int rank;

	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(product_type(f, &t));
	a = ftl_infer_in(f, 0);
	b = ftl_infer_in(f, 1);
	if (a->rank == 0 || b->rank == 0)
		return ftl_infer_fail(f, "cannot multiply a scalar: shapes %s and %s", ftl_hook_in_shape(f, 0),
				      ftl_hook_in_shape(f, 1));
	/* a vector is a row on the left, a column on the right; the flags mean nothing to it */
	ka = a->rank == 1 ? a->dims[0] : a->dims[a->rank - (at->trans_a ? 2 : 1)];
	kb = b->rank == 1 ? b->dims[0] : b->dims[b->rank - (at->trans_b ? 1 : 2)];
	if (ftl_dim_known_eq(st, ka, kb) == 0)
		return ftl_infer_fail(f, "inner sizes %s and %s differ: shapes %s and %s", ftl_hook_dim(f, ka),
				      ftl_hook_dim(f, kb), ftl_hook_in_shape(f, 0), ftl_hook_in_shape(f, 1));
	batch[0] = (ftl_dims){a->rank > 2 ? (uint32_t)a->rank - 2 : 0, a->dims};
	batch[1] = (ftl_dims){b->rank > 2 ? (uint32_t)b->rank - 2 : 0, b->dims};
	if (!ftl_shapes_broadcast(st, batch, 2, &rank, dims, NULL))
		return ftl_infer_fail(f, "leading axes do not broadcast: shapes %s and %s", ftl_hook_in_shape(f, 0),
				      ftl_hook_in_shape(f, 1));
	if (a->rank > 1)
		dims[rank++] = a->dims[a->rank - (at->trans_a ? 1 : 2)];
	if (b->rank > 1)
		dims[rank++] = b->dims[b->rank - (at->trans_b ? 2 : 1)];
	return ftl_hook_out(f, 0, t, rank, dims);
}

/* ---- windows ---- */

typedef struct window {
	int ns; /* spatial axes */
	ftl_ints strides, dilations;
	ftl_dims pads;
} window;

static ftl_status check_window(ftl_infer *f, const window *w)
{
	uint32_t ns = (uint32_t)w->ns;

	if ((w->strides.n && w->strides.n != ns) || (w->dilations.n && w->dilations.n != ns) ||
	    (w->pads.n && w->pads.n != 2 * ns))
		return ftl_infer_fail(f, "%u strides, %u dilations, %u pads for %u spatial axes", w->strides.n,
				      w->dilations.n, w->pads.n, ns);
	for (uint32_t i = 0; i < ns; i++) {
		int64_t s = ftl_hook_int_or(w->strides, i, 1), d = ftl_hook_int_or(w->dilations, i, 1);

		if (s < 1 || d < 1)
			return ftl_infer_fail(f, "stride %lld, dilation %lld of spatial axis %u", (long long)s,
					      (long long)d, i);
	}
	for (uint32_t i = 0; i < w->pads.n; i++)
		if (w->pads.v[i] == FTL_DIM_NONE)
			return ftl_infer_fail(f, "pad %u is unknown", i);
	return FTL_OK;
}

static ftl_dim window_pad(const ftl_infer *f, const window *w, int i, bool end)
{
	return w->pads.n ? w->pads.v[end ? w->ns + i : i] : ftl_hook_const(f, 0);
}

static ftl_dim window_out(const ftl_infer *f, const window *w, int i, ftl_dim in, ftl_dim k, bool ceil_mode)
{
	return ftl_conv_out(f->g->st, in, k, ftl_hook_int_or(w->strides, (uint32_t)i, 1),
			    ftl_hook_int_or(w->dilations, (uint32_t)i, 1), window_pad(f, w, i, false),
			    window_pad(f, w, i, true), ceil_mode);
}

/* A window longer than its padded axis gives a count of 0 or less. */
static ftl_status check_count(ftl_infer *f, int i, ftl_dim count, ftl_dim in, ftl_dim k)
{
	if (count == FTL_DIM_NONE)
		return ftl_infer_fail(f, "the size of spatial axis %d overflows", i);
	if (ftl_dim_hi(f->g->st, count) < 1 && ftl_dim_lo(f->g->st, in) > 0)
		return ftl_infer_fail(f, "a kernel of %s does not fit spatial axis %d of %s elements",
				      ftl_hook_dim(f, k), i, ftl_hook_dim(f, in));
	return FTL_OK;
}

/* The parts conv and conv_transpose agree on: ranks, group, bias; channels of x against w's axis. */
static ftl_status check_conv(ftl_infer *f, int64_t group, ftl_dtype *out_t)
{
	const ftl_type *x, *w;
	int64_t c;

	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(product_type(f, out_t));
	x = ftl_infer_in(f, 0);
	w = ftl_infer_in(f, 1);
	if (x->rank < 3 || w->rank != x->rank)
		return ftl_infer_fail(f, "x of shape %s and w of shape %s should have equal ranks of 3 or more",
				      ftl_hook_in_shape(f, 0), ftl_hook_in_shape(f, 1));
	if (group < 1)
		return ftl_infer_fail(f, "group %lld", (long long)group);
	for (int i = 2; i < w->rank; i++)
		if (ftl_dim_hi(f->g->st, w->dims[i]) < 1)
			return ftl_infer_fail(f, "w of shape %s has an empty kernel", ftl_hook_in_shape(f, 1));
	if (ftl_dim_is_const(f->g->st, w->dims[0], &c) && c % group)
		return ftl_infer_fail(f, "%lld channels do not divide into %lld groups", (long long)c,
				      (long long)group);
	if (ftl_infer_has(f, 2)) {
		FTL_TRY(ftl_hook_want_rank(f, 2, 1));
		if (ftl_hook_real_dtype(f, ftl_infer_in(f, 2)) != *out_t)
			return ftl_infer_fail(f, "bias has element type %s, the result %s",
					      ftl_dtype_name(ftl_infer_in(f, 2)->dtype), ftl_dtype_name(*out_t));
	}
	return FTL_OK;
}

static ftl_status check_bias(ftl_infer *f, ftl_dim channels)
{
	if (ftl_infer_has(f, 2) && ftl_dim_known_eq(f->g->st, ftl_infer_in(f, 2)->dims[0], channels) == 0)
		return ftl_infer_fail(f, "bias of shape %s for %s channels", ftl_hook_in_shape(f, 2),
				      ftl_hook_dim(f, channels));
	return FTL_OK;
}

ftl_status ftl_infer_op_conv(ftl_infer *f)
{
	const struct ftl_attrs_conv *a = FTL_ATTRS(ftl_infer_self(f), conv);
	ftl_symtab *st = f->g->st;
	ftl_dim dims[FTL_MAX_RANK], want;
	const ftl_type *x, *w;
	ftl_dtype t;
	window win;

	FTL_TRY(check_conv(f, a->group, &t));
	x = ftl_infer_in(f, 0);
	w = ftl_infer_in(f, 1);
	win = (window){x->rank - 2, a->strides, a->dilations, a->pads};
	FTL_TRY(check_window(f, &win));
	want = ftl_dim_mul(st, w->dims[1], ftl_hook_const(f, a->group));
	if (want == FTL_DIM_NONE || ftl_dim_known_eq(st, x->dims[1], want) == 0)
		return ftl_infer_fail(f, "x of shape %s and w of shape %s do not fit with group %lld",
				      ftl_hook_in_shape(f, 0), ftl_hook_in_shape(f, 1), (long long)a->group);
	FTL_TRY(check_bias(f, w->dims[0]));
	dims[0] = x->dims[0];
	dims[1] = w->dims[0];
	for (int i = 0; i < win.ns; i++) {
		dims[2 + i] = window_out(f, &win, i, x->dims[2 + i], w->dims[2 + i], false);
		FTL_TRY(check_count(f, i, dims[2 + i], x->dims[2 + i], w->dims[2 + i]));
	}
	return ftl_hook_out(f, 0, t, x->rank, dims);
}

ftl_status ftl_infer_op_conv_transpose(ftl_infer *f)
{
	const struct ftl_attrs_conv_transpose *a = FTL_ATTRS(ftl_infer_self(f), conv_transpose);
	ftl_dim dims[FTL_MAX_RANK];
	const ftl_type *x, *w;
	ftl_dtype t;
	window win;

	FTL_TRY(check_conv(f, a->group, &t));
	x = ftl_infer_in(f, 0);
	w = ftl_infer_in(f, 1);
	win = (window){x->rank - 2, a->strides, a->dilations, a->pads};
	FTL_TRY(check_window(f, &win));
	if (a->output_padding.n && a->output_padding.n != (uint32_t)win.ns)
		return ftl_infer_fail(f, "%u output paddings for %d spatial axes", a->output_padding.n, win.ns);
	if (ftl_dim_known_eq(f->g->st, x->dims[1], w->dims[0]) == 0)
		return ftl_infer_fail(f, "x of shape %s and w of shape %s differ in channels", ftl_hook_in_shape(f, 0),
				      ftl_hook_in_shape(f, 1));
	dims[0] = x->dims[0];
	dims[1] = ftl_dim_mul(f->g->st, w->dims[1], ftl_hook_const(f, a->group));
	FTL_TRY(check_bias(f, dims[1]));
	for (int i = 0; i < win.ns; i++) {
		int64_t extra = ftl_hook_int_or(a->output_padding, (uint32_t)i, 0);

		if (extra < 0)
			return ftl_infer_fail(f, "output padding %lld", (long long)extra);
		dims[2 + i] = ftl_conv_transpose_out(
			f->g->st, x->dims[2 + i], w->dims[2 + i], ftl_hook_int_or(a->strides, (uint32_t)i, 1),
			ftl_hook_int_or(a->dilations, (uint32_t)i, 1), window_pad(f, &win, i, false),
			window_pad(f, &win, i, true), extra);
		FTL_TRY(check_count(f, i, dims[2 + i], x->dims[2 + i], w->dims[2 + i]));
	}
	return ftl_hook_out(f, 0, t, x->rank, dims);
}

ftl_status ftl_infer_op_pool(ftl_infer *f)
{
	const ftl_ints kernel = ftl_hook_attr_ints(f, "kernel");
	bool ceil_mode = ftl_hook_attr_flag(f, "ceil_mode");
	ftl_dim dims[FTL_MAX_RANK];
	const ftl_type *x;
	window win;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_number(f, 0));
	x = ftl_infer_in(f, 0);
	if (x->rank < 3)
		return ftl_infer_fail(f, "x of shape %s should have rank 3 or more", ftl_hook_in_shape(f, 0));
	win = (window){x->rank - 2, ftl_hook_attr_ints(f, "strides"), ftl_hook_attr_ints(f, "dilations"),
		       ftl_hook_attr_dims(f, "pads")};
	FTL_TRY(check_window(f, &win));
	if (kernel.n != (uint32_t)win.ns)
		return ftl_infer_fail(f, "%u kernel sizes for %d spatial axes", kernel.n, win.ns);
	ftl_hook_copy(dims, x->dims, x->rank);
	for (int i = 0; i < win.ns; i++) {
		ftl_dim k = ftl_hook_const(f, kernel.v[i]);

		if (kernel.v[i] < 1)
			return ftl_infer_fail(f, "kernel size %lld", (long long)kernel.v[i]);
		dims[2 + i] = window_out(f, &win, i, x->dims[2 + i], k, ceil_mode);
		FTL_TRY(check_count(f, i, dims[2 + i], x->dims[2 + i], k));
	}
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, x->rank, dims));
	return ftl_infer_self(f)->nout > 1 ? ftl_hook_out(f, 1, FTL_I64, x->rank, dims) : FTL_OK;
}
