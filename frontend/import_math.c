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

static uint32_t reduce_axes(imp *m, ftl_val x, int64_t *axes)
{
	int r = rank_of(m, x);
	uint32_t n = 0, k = 0;
	bool on[FTL_MAX_RANK] = {false};

	if (!ftl_imp_list(m, "axes", 1, axes, FTL_MAX_RANK, &n) || n == 0) {
		if (ftl_imp_i(m, "noop_with_empty_axes", 0) != 0)
			return 0;
		for (n = 0; n < (uint32_t)r; n++)
			axes[n] = n;
		return n;
	}
	for (uint32_t i = 0; i < n && !m->failed; i++)
		on[ftl_imp_axis(m, axes[i], r)] = true;
	for (int i = 0; i < r; i++)
		if (on[i])
			axes[k++] = i;
	return m->failed ? 0 : k;
}

static ftl_val reduce(imp *m, ftl_op op, ftl_val x)
{
	int64_t axes[FTL_MAX_RANK];
	uint32_t n = reduce_axes(m, x, axes);

	return ftl_imp_reduce(m, op, x, n, axes, ftl_imp_i(m, "keepdims", 1) != 0);
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
	int64_t axes[FTL_MAX_RANK];
	uint32_t n = reduce_axes(m, x, axes);
	bool keep = ftl_imp_i(m, "keepdims", 1) != 0;

	if (n == 0) {
		ftl_imp_out(m, 0, x);
		return;
	}
	top = ftl_imp_reduce(m, FTL_OP_reduce_max, x, n, axes, true);
	top = e_where(m, op1(m, FTL_OP_is_inf, top), e_num(m, top, 0), top);
	y = op1(m, FTL_OP_exp, e_sub(m, x, top));
	y = e_add(m, op1(m, FTL_OP_log, ftl_imp_reduce(m, FTL_OP_reduce_sum, y, n, axes, true)), top);
	if (!keep && !m->failed) {
		ftl_dim d[FTL_MAX_RANK];
		int k = 0;
		for (int i = 0, j = 0; i < rank_of(m, x); i++) {
			if (j < (int)n && axes[j] == i)
				j++;
			else
				d[k++] = ftl_imp_dim(m, x, i);
		}
		y = ftl_imp_reshape(m, y, k, d);
	}
	ftl_imp_out(m, 0, y);
}

void ftl_imp_do_cum_sum(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	struct ftl_attrs_cum_sum *a = NEW_ATTRS(m, cum_sum);
	int64_t axis;
	uint32_t n;

	if (!ftl_imp_known_i64s(m, ftl_imp_need(m, 1), &axis, 1, &n) || n != 1) {
		unsupported(m, "the axis must be known at import; make it constant");
		return;
	}
	a->axis = ftl_imp_axis(m, axis, rank_of(m, x));
	a->exclusive = ftl_imp_i(m, "exclusive", 0) != 0;
	a->reverse = ftl_imp_i(m, "reverse", 0) != 0;
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_cum_sum, a, 1, &x));
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
