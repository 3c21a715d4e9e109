/* Arithmetic that takes more than one node: variadic ops, Clip's old form, Gemm, reductions built from others,
 * softmax before opset 13, activations by name. */
#include <math.h>

#include "imp.h"

void ftl_imp_do_variadic(imp *m)
{
	ftl_val v = ftl_imp_need(m, 0);

	for (uint32_t i = 1; i < m->cur->nin; i++)
		v = op2(m, m->cur->row->op, v, ftl_imp_need(m, i));
	ftl_imp_out(m, 0, v);
}

void ftl_imp_do_mean(imp *m)
{
	ftl_val v = ftl_imp_need(m, 0);

	for (uint32_t i = 1; i < m->cur->nin; i++)
		v = e_add(m, v, ftl_imp_need(m, i));
	ftl_imp_out(m, 0, m->cur->nin > 1 ? e_div(m, v, e_num(m, v, m->cur->nin)) : v);
}

void ftl_imp_do_clip6(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), in[3] = {x};
	uint32_t n = 1;

	if (ftl_imp_has(m, "min")) {
		in[1] = e_num(m, x, ftl_imp_f(m, "min", 0));
		n = 2;
	}
	if (ftl_imp_has(m, "max")) {
		in[2] = e_num(m, x, ftl_imp_f(m, "max", 0));
		n = 3;
	}
	ftl_imp_out(m, 0, n == 1 ? x : ftl_imp_op(m, FTL_OP_clip, NULL, n, in));
}

void ftl_imp_do_bit_shift(imp *m)
{
	struct ftl_attrs_shift *a = NEW_ATTRS(m, shift);
	const char *dir = ftl_imp_s(m, "direction", "");

	if (strcmp(dir, "LEFT") && strcmp(dir, "RIGHT")) {
		bad_model(m, "direction \"%s\" is neither LEFT nor RIGHT", dir);
		return;
	}
	a->left = dir[0] == 'L';
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_shift, a, 2, (const ftl_val[]){ftl_imp_need(m, 0), ftl_imp_need(m, 1)}));
}

ftl_val ftl_imp_gelu(imp *m, ftl_val x, const char *approximate)
{
	struct ftl_attrs_gelu *a = NEW_ATTRS(m, gelu);

	a->approximate = approximate;
	return ftl_imp_op(m, FTL_OP_gelu, a, 1, &x);
}

void ftl_imp_do_swiglu(imp *m)
{
	struct ftl_attrs_silu *a = NEW_ATTRS(m, silu);
	ftl_val x = ftl_imp_need(m, 0);

	a->alpha = ftl_imp_f(m, "alpha", 1);
	ftl_imp_out(m, 0, e_mul(m, ftl_imp_op(m, FTL_OP_silu, a, 1, &x), ftl_imp_need(m, 1)));
}

void ftl_imp_do_gemm(imp *m)
{
	ftl_val a = ftl_imp_need(m, 0), b = ftl_imp_need(m, 1), c = ftl_imp_in(m, 2);
	double beta = ftl_imp_f(m, "beta", 1);
	ftl_val y;

	ftl_imp_want_rank(m, a, 2, 2, "input 0");
	ftl_imp_want_rank(m, b, 2, 2, "input 1");
	y = ftl_imp_matmul(m, a, b, ftl_imp_i(m, "transA", 0) != 0, ftl_imp_i(m, "transB", 0) != 0,
			   ftl_imp_f(m, "alpha", 1));
	if (c && beta != 0)
		y = e_add(m, y, e_mulf(m, c, beta));
	ftl_imp_out(m, 0, y);
}

/* ---- reductions ---- */

/* What a Reduce* of the current node reduces: axes known here, or a mask of them that run time has. */
typedef struct reduction {
	uint32_t n;
	int64_t axes[FTL_MAX_RANK];
	ftl_val mask;    /* bool[rank], or 0 */
	int rank, named; /* with a mask: how many axes there are; -1 unknown */
	bool keep;
} reduction;

static void runtime_axes(imp *m, reduction *r, ftl_val axes)
{
	int64_t n;

	r->mask = ftl_imp_axes_mask(m, axes, r->rank);
	if (ftl_dim_is_const(m->st, ftl_imp_dim(m, axes, 0), &n)) {
		r->named = n > r->rank ? -1 : (int)n;
	} else {
		ftl_val none = op2(m, FTL_OP_eq, ftl_imp_shape(m, axes), ftl_imp_filled(m, 1, 0));
		r->named = -1;
		if (ftl_imp_i(m, "noop_with_empty_axes", 0) == 0)
			r->mask = op2(m, FTL_OP_or, r->mask, none);
	}
	if (r->named < 0 && !r->keep)
		unsupported(m, "without keepdims, the number of axes must be known at import");
}

static reduction reduce_axes(imp *m, ftl_val x)
{
	reduction r = {.rank = rank_of(m, x), .keep = ftl_imp_i(m, "keepdims", 1) != 0};
	bool on[FTL_MAX_RANK] = {false};
	ftl_val axes = ftl_imp_unknown(m, 1);
	uint32_t n;

	if (axes && r.rank > 0) {
		runtime_axes(m, &r, axes);
		return r;
	}
	if (axes || !ftl_imp_list(m, "axes", 1, r.axes, FTL_MAX_RANK, &n) || n == 0) {
		if (ftl_imp_i(m, "noop_with_empty_axes", 0) != 0)
			return r;
		for (; r.n < (uint32_t)r.rank; r.n++)
			r.axes[r.n] = r.n;
		return r;
	}
	for (uint32_t i = 0; i < n && !m->failed; i++)
		on[ftl_imp_axis(m, r.axes[i], r.rank)] = true;
	for (int i = 0; i < r.rank && !m->failed; i++)
		if (on[i])
			r.axes[r.n++] = i;
	return r;
}

/* Every dim d of x as [d, 1] where it stays and [1, d] where it is reduced: then the second ones are reduced, whatever
 * the mask says, and the first ones are the shape with keepdims. Ranks that have no room for that do it in turns. */
static ftl_val reduce_masked(imp *m, ftl_op op, ftl_val x, const reduction *r)
{
	ftl_val shape = ftl_imp_shape(m, x), one = ftl_imp_filled(m, 1, 1), kept = e_where(m, r->mask, one, shape);
	ftl_val both[2] = {ftl_imp_unsqueeze(m, kept, 1), ftl_imp_unsqueeze(m, e_where(m, r->mask, shape, one), 1)};
	ftl_val pairs = ftl_imp_concat(m, 1, 2, both);
	int room = 2 * r->rank <= FTL_MAX_RANK ? FTL_MAX_RANK : FTL_MAX_RANK - 2;

	for (int at = 0, n; at < r->rank; at += n) {
		ftl_val part[3];
		ftl_dim flat;
		int64_t axes[FTL_MAX_RANK];
		bool whole = 2 * r->rank <= FTL_MAX_RANK;

		n = r->rank - at < room / 2 ? r->rank - at : room / 2;
		flat = dim_c(m, 2 * (int64_t)n);
		part[1] = ftl_imp_reshape(m, ftl_imp_slice(m, pairs, 0, dim_c(m, at), dim_c(m, n)), 1, &flat);
		part[0] = at ? ftl_imp_product(m, ftl_imp_slice(m, kept, 0, dim_c(m, 0), dim_c(m, at))) : one;
		part[2] = at + n < r->rank ? ftl_imp_product(m, ftl_imp_slice(m, shape, 0, dim_c(m, at + n),
									      dim_c(m, r->rank - at - n)))
					   : one;
		for (int i = 0; i < n; i++)
			axes[i] = 2 * (int64_t)i + (whole ? 1 : 2);
		x = ftl_imp_reshape_to(m, x, whole ? part[1] : ftl_imp_concat(m, 0, 3, part));
		x = ftl_imp_reduce(m, op, x, (uint32_t)n, axes, false);
	}
	return 2 * r->rank <= FTL_MAX_RANK ? x : ftl_imp_reshape_to(m, x, kept);
}

static ftl_val reduce_keeping(imp *m, ftl_op op, ftl_val x, const reduction *r)
{
	if (m->failed)
		return 0;
	return r->mask ? reduce_masked(m, op, x, r) : ftl_imp_reduce(m, op, x, r->n, r->axes, true);
}

/* y, which has x's reduced dims as 1, as the node wants it */
static ftl_val reduced_shape(imp *m, ftl_val y, ftl_val x, const reduction *r)
{
	ftl_dim d[FTL_MAX_RANK];
	int k = 0;

	if (r->keep || m->failed)
		return y;
	if (r->mask) {
		if (r->named == r->rank)
			return ftl_imp_reshape(m, y, 0, NULL);
		return ftl_imp_reshape_to(m, y,
					  ftl_imp_keep_unnamed(m, ftl_imp_shape(m, x), r->mask, r->rank - r->named));
	}
	for (int i = 0, j = 0; i < r->rank; i++) {
		if (j < (int)r->n && r->axes[j] == i)
			j++;
		else
			d[k++] = ftl_imp_dim(m, x, i);
	}
	return ftl_imp_reshape(m, y, k, d);
}

static ftl_val reduce(imp *m, ftl_op op, ftl_val x)
{
	reduction r = reduce_axes(m, x);

	if (!r.mask)
		return ftl_imp_reduce(m, op, x, r.n, r.axes, r.keep);
	return reduced_shape(m, reduce_masked(m, op, x, &r), x, &r);
}

void ftl_imp_do_reduce(imp *m)
{
	ftl_imp_out(m, 0, reduce(m, m->cur->row->op, ftl_imp_need(m, 0)));
}

void ftl_imp_do_reduce_l1(imp *m)
{
	ftl_imp_out(m, 0, reduce(m, FTL_OP_reduce_sum, op1(m, FTL_OP_abs, ftl_imp_need(m, 0))));
}

static ftl_val square(imp *m, ftl_val x)
{
	return e_mul(m, x, x);
}

/* sqrt, for integers too */
static ftl_val root(imp *m, ftl_val x)
{
	ftl_dtype t = dtype_of(m, x);

	if (ftl_dtype_is_float(t))
		return op1(m, FTL_OP_sqrt, x);
	return ftl_imp_cast(m, op1(m, FTL_OP_sqrt, ftl_imp_cast(m, x, FTL_F64)), t);
}

void ftl_imp_do_reduce_l2(imp *m)
{
	ftl_imp_out(m, 0, root(m, reduce(m, FTL_OP_reduce_sum, square(m, ftl_imp_need(m, 0)))));
}

void ftl_imp_do_reduce_sum_square(imp *m)
{
	ftl_imp_out(m, 0, reduce(m, FTL_OP_reduce_sum, square(m, ftl_imp_need(m, 0))));
}

void ftl_imp_do_reduce_log_sum(imp *m)
{
	ftl_imp_out(m, 0, op1(m, FTL_OP_log, reduce(m, FTL_OP_reduce_sum, ftl_imp_need(m, 0))));
}

/* max + log(sum(exp(x - max))); an infinite max is taken as 0 so that all -inf gives -inf and not NaN */
void ftl_imp_do_reduce_log_sum_exp(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), top, y;
	reduction r = reduce_axes(m, x);

	if (r.n == 0 && !r.mask) {
		ftl_imp_out(m, 0, x);
		return;
	}
	top = reduce_keeping(m, FTL_OP_reduce_max, x, &r);
	top = e_where(m, op1(m, FTL_OP_is_inf, top), e_num(m, top, 0), top);
	y = op1(m, FTL_OP_exp, e_sub(m, x, top));
	y = e_add(m, op1(m, FTL_OP_log, reduce_keeping(m, FTL_OP_reduce_sum, y, &r)), top);
	ftl_imp_out(m, 0, reduced_shape(m, y, x, &r));
}

/* An axis that only run time knows is brought between the two others of a view. */
void ftl_imp_do_cumulate(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), axis_in = ftl_imp_need(m, 1), y;
	ftl_op op = m->cur->row->op;
	struct ftl_attrs_cum_sum *a = ftl_attrs_default(m->g, op); /* cum_prod's are the same */
	int r = rank_of(m, x);
	int64_t axis;
	uint32_t n;

	a->exclusive = ftl_imp_i(m, "exclusive", 0) != 0;
	a->reverse = ftl_imp_i(m, "reverse", 0) != 0;
	if (ftl_imp_known_i64s(m, axis_in, &axis, 1, &n) && n == 1) {
		a->axis = ftl_imp_axis(m, axis, r);
		ftl_imp_out(m, 0, ftl_imp_op(m, op, a, 1, &x));
		return;
	}
	ftl_imp_want_rank(m, x, 1, FTL_MAX_RANK, "the input");
	if (m->failed)
		return;
	a->axis = 1;
	y = ftl_imp_reshape_to(m, x, ftl_imp_around(m, ftl_imp_shape(m, x), ftl_imp_axis_of(m, axis_in, r), r));
	y = ftl_imp_op(m, op, a, 1, &y);
	ftl_imp_out(m, 0, ftl_imp_reshape(m, y, r, ftl_imp_type(m, x)->dims));
}

/* Before opset 13: over all axes from `axis` on at once. softmax, log_softmax, hardmax share their one attribute. */
void ftl_imp_do_softmax_flat(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), y = x;
	struct ftl_attrs_softmax *a = ftl_attrs_default(m->g, m->cur->row->op);
	int r = rank_of(m, x), axis;
	ftl_dim d[2] = {dim_c(m, 1), dim_c(m, 1)};

	_Static_assert(sizeof(struct ftl_attrs_softmax) == sizeof(struct ftl_attrs_hardmax), "same layout");
	axis = r == 1 && ftl_imp_i(m, "axis", 1) == 1 ? 0 : ftl_imp_axis(m, ftl_imp_i(m, "axis", 1), r);
	if (m->failed)
		return;
	if (axis == r - 1) {
		a->axis = axis;
		ftl_imp_out(m, 0, ftl_imp_op(m, m->cur->row->op, a, 1, &x));
		return;
	}
	for (int i = 0; i < r; i++)
		d[i >= axis] = ftl_dim_mul(m->st, d[i >= axis], ftl_imp_dim(m, x, i));
	a->axis = 1;
	y = ftl_imp_reshape(m, x, 2, d);
	y = ftl_imp_op(m, m->cur->row->op, a, 1, &y);
	ftl_imp_out(m, 0, ftl_imp_reshape(m, y, r, ftl_imp_type(m, x)->dims));
}

/* ---- activations by name, as fused ops spell them ---- */

ftl_val ftl_imp_activation(imp *m, ftl_val x, const char *name, double alpha, double beta)
{
	static const struct {
		const char *name;
		ftl_op op;
	} plain[] = {{"Relu", FTL_OP_relu},           {"Tanh", FTL_OP_tanh},         {"Sigmoid", FTL_OP_sigmoid},
		     {"Softplus", FTL_OP_softplus},   {"Softsign", FTL_OP_softsign}, {"Gelu", FTL_OP_gelu},
		     {"HardSwish", FTL_OP_hard_swish}};

	if (!*name || m->failed)
		return x;
	for (size_t i = 0; i < FTL_COUNT(plain); i++)
		if (!strcmp(name, plain[i].name))
			return op1(m, plain[i].op, x);
	if (!strcmp(name, "LeakyRelu")) {
		struct ftl_attrs_leaky_relu *a = NEW_ATTRS(m, leaky_relu);
		a->alpha = alpha;
		return ftl_imp_op(m, FTL_OP_leaky_relu, a, 1, &x);
	}
	if (!strcmp(name, "Elu")) {
		struct ftl_attrs_elu *a = NEW_ATTRS(m, elu);
		a->alpha = alpha;
		return ftl_imp_op(m, FTL_OP_elu, a, 1, &x);
	}
	if (!strcmp(name, "HardSigmoid")) {
		struct ftl_attrs_hard_sigmoid *a = NEW_ATTRS(m, hard_sigmoid);
		a->alpha = alpha;
		a->beta = beta;
		return ftl_imp_op(m, FTL_OP_hard_sigmoid, a, 1, &x);
	}
	if (!strcmp(name, "Clip"))
		return ftl_imp_op(m, FTL_OP_clip, NULL, 3, (const ftl_val[]){x, e_num(m, x, alpha), e_num(m, x, beta)});
	unsupported(m, "activation \"%s\" is not supported", name);
	return x;
}

/* 8-bit floats as the numbers they are */
static ftl_val readable(imp *m, ftl_val x)
{
	return ftl_dtype_is_low(dtype_of(m, x)) ? ftl_imp_cast(m, x, FTL_F32) : x;
}

void ftl_imp_do_is_nan(imp *m)
{
	ftl_imp_out(m, 0, op1(m, FTL_OP_is_nan, readable(m, ftl_imp_need(m, 0))));
}

void ftl_imp_do_is_inf(imp *m)
{
	ftl_val x = readable(m, ftl_imp_need(m, 0));
	struct ftl_attrs_is_inf *a = NEW_ATTRS(m, is_inf);

	a->positive = ftl_imp_i(m, "detect_positive", 1) != 0;
	a->negative = ftl_imp_i(m, "detect_negative", 1) != 0;
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_is_inf, a, 1, &x));
}
