/* Normalizations. LayerNormalization and RMSNormalization have an op of their own; the others are written out, so that
 * passes see plain arithmetic (BatchNormalization folds into what stands before it). */
#include "imp.h"

/* v[C] against x[N, C, ...]: shape [1, C, 1...]. */
static ftl_val per_channel(imp *m, ftl_val v, ftl_val x)
{
	ftl_dim d[FTL_MAX_RANK];
	int r = rank_of(m, x);

	for (int i = 0; i < r; i++)
		d[i] = dim_c(m, 1);
	if (r > 1)
		d[1] = ftl_imp_dim(m, v, 0);
	ftl_imp_want_rank(m, v, 1, 1, "a per-channel input");
	return m->failed ? 0 : ftl_imp_reshape(m, v, r < 2 ? 1 : r, r < 2 ? ftl_imp_type(m, v)->dims : d);
}

static ftl_val inv_std(imp *m, ftl_val var, double epsilon)
{
	return op1(m, FTL_OP_reciprocal, op1(m, FTL_OP_sqrt, e_addf(m, var, epsilon)));
}

/* Mean and 1/sqrt(var + eps) over the axes, kept as size 1. */
static void moments(imp *m, ftl_val x, uint32_t n, const int64_t *axes, double epsilon, ftl_val *mean, ftl_val *inv)
{
	ftl_val c;

	*mean = ftl_imp_reduce(m, FTL_OP_reduce_mean, x, n, axes, true);
	c = e_sub(m, x, *mean);
	*inv = inv_std(m, ftl_imp_reduce(m, FTL_OP_reduce_mean, e_mul(m, c, c), n, axes, true), epsilon);
}

void ftl_imp_do_layer_norm(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), mean, inv;
	int r = rank_of(m, x), axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", -1), r);
	double eps = ftl_imp_f(m, "epsilon", 1e-5f);
	int64_t axes[FTL_MAX_RANK];

	ftl_imp_out(m, 0, ftl_imp_norm(m, FTL_OP_layer_norm, x, ftl_imp_in(m, 1), ftl_imp_in(m, 2), axis, eps));
	if (!ftl_imp_wants(m, 1) && !ftl_imp_wants(m, 2))
		return;
	for (int i = axis; i < r; i++)
		axes[i - axis] = i;
	moments(m, ftl_imp_cast(m, x, FTL_F32), (uint32_t)(r - axis), axes, eps, &mean, &inv);
	ftl_imp_out(m, 1, mean);
	ftl_imp_out(m, 2, inv);
}

void ftl_imp_do_rms_norm(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	int r = rank_of(m, x), axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", -1), r);
	double eps = ftl_imp_f(m, "epsilon", 1e-5f);
	int64_t axes[FTL_MAX_RANK];

	ftl_imp_out(m, 0, ftl_imp_norm(m, FTL_OP_rms_norm, x, ftl_imp_in(m, 1), 0, axis, eps));
	if (ftl_imp_wants(m, 1)) {
		ftl_val f = ftl_imp_cast(m, x, FTL_F32);
		for (int i = axis; i < r; i++)
			axes[i - axis] = i;
		ftl_imp_out(
			m, 1,
			inv_std(m,
				ftl_imp_reduce(m, FTL_OP_reduce_mean, e_mul(m, f, f), (uint32_t)(r - axis), axes, true),
				eps));
	}
}

/* v[C] against x, or, as BatchNormalization had it once, v of x's shape without the batch. */
static ftl_val per_activation(imp *m, ftl_val v, ftl_val x, bool spatial)
{
	return spatial ? per_channel(m, v, x) : ftl_imp_unsqueeze(m, v, 0);
}

/* before * momentum + now * (1 - momentum), in before's type */
static ftl_val running(imp *m, ftl_val before, ftl_val now, double momentum)
{
	ftl_dim n = ftl_imp_type(m, now)->rank ? ftl_type_numel(m->g, ftl_imp_type(m, now)) : dim_c(m, 1);

	now = ftl_imp_cast(m, ftl_imp_reshape(m, now, 1, &n), dtype_of(m, before));
	return e_add(m, e_mulf(m, before, momentum), e_mulf(m, now, 1 - momentum));
}

/* Normalized by the moments of this batch, which the running ones take in. Before opset 14 that was asked for by naming
 * the outputs: mean, var, and twice the batch's own. */
static void batch_norm_training(imp *m, ftl_val x, ftl_val scale, ftl_val bias, ftl_val mean, ftl_val var)
{
	ftl_dtype t = dtype_of(m, x), ct = t == FTL_F64 ? t : FTL_F32;
	double momentum = ftl_imp_f(m, "momentum", 0.9f);
	int64_t axes[FTL_MAX_RANK];
	ftl_val f = ftl_imp_cast(m, x, ct), now, spread, c, y;
	ftl_dim n;
	int r = rank_of(m, x), k = 0;

	ftl_imp_want_rank(m, x, 2, FTL_MAX_RANK, "the input");
	if (m->failed)
		return;
	for (int i = 0; i < r; i++)
		if (i != 1)
			axes[k++] = i;
	now = ftl_imp_reduce(m, FTL_OP_reduce_mean, f, (uint32_t)k, axes, true);
	c = e_sub(m, f, now);
	spread = ftl_imp_reduce(m, FTL_OP_reduce_mean, e_mul(m, c, c), (uint32_t)k, axes, true);
	y = e_mul(m, e_mul(m, c, inv_std(m, spread, ftl_imp_f(m, "epsilon", 1e-5f))),
		  per_channel(m, ftl_imp_cast(m, scale, ct), x));
	ftl_imp_out(m, 0, ftl_imp_cast(m, e_add(m, y, per_channel(m, ftl_imp_cast(m, bias, ct), x)), t));
	ftl_imp_out(m, 1, running(m, mean, now, momentum));
	ftl_imp_out(m, 2, running(m, var, spread, momentum));
	n = ftl_imp_dim(m, x, 1);
	ftl_imp_out(m, 3, ftl_imp_cast(m, ftl_imp_reshape(m, now, 1, &n), dtype_of(m, mean)));
	ftl_imp_out(m, 4, ftl_imp_cast(m, ftl_imp_reshape(m, spread, 1, &n), dtype_of(m, var)));
}

/* f16 and bf16 are too coarse to be computed in. */
static ftl_dtype wide(ftl_dtype t)
{
	return t == FTL_F16 || t == FTL_BF16 ? FTL_F32 : t;
}

/* (x - mean) * (scale / sqrt(var + eps)) + bias with everything per channel combined first */
void ftl_imp_do_batch_norm(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), scale = ftl_imp_need(m, 1), bias = ftl_imp_need(m, 2),
		mean = ftl_imp_need(m, 3), var = ftl_imp_need(m, 4), mul, add;
	ftl_dtype t = dtype_of(m, x), ct = wide(dtype_of(m, mean));
	bool spatial = m->cur->opset >= 9 || ftl_imp_i(m, "spatial", 1) != 0;

	if (m->cur->opset >= 14
		    ? ftl_imp_i(m, "training_mode", 0) != 0
		    : ftl_imp_wants(m, 1) || ftl_imp_wants(m, 2) || ftl_imp_wants(m, 3) || ftl_imp_wants(m, 4)) {
		if (spatial)
			batch_norm_training(m, x, scale, bias, mean, var);
		else
			unsupported(m, "training per activation is not supported, set spatial to 1");
		return;
	}
	mean = ftl_imp_cast(m, mean, ct);
	mul = e_mul(m, ftl_imp_cast(m, scale, ct),
		    inv_std(m, ftl_imp_cast(m, var, ct), ftl_imp_f(m, "epsilon", 1e-5f)));
	add = e_sub(m, ftl_imp_cast(m, bias, ct), e_mul(m, mean, mul));
	mul = per_activation(m, ftl_imp_cast(m, mul, wide(t)), x, spatial);
	add = per_activation(m, ftl_imp_cast(m, add, wide(t)), x, spatial);
	x = ftl_imp_cast(m, x, wide(t));
	ftl_imp_out(m, 0, ftl_imp_cast(m, e_add(m, e_mul(m, x, mul), add), t));
}

void ftl_imp_do_instance_norm(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), mean, inv, y;
	int r = rank_of(m, x);
	int64_t axes[FTL_MAX_RANK];

	ftl_imp_want_rank(m, x, 3, FTL_MAX_RANK, "the input");
	if (m->failed)
		return;
	for (int i = 2; i < r; i++)
		axes[i - 2] = i;
	moments(m, x, (uint32_t)r - 2, axes, ftl_imp_f(m, "epsilon", 1e-5f), &mean, &inv);
	y = e_mul(m, e_sub(m, x, mean), inv);
	y = e_mul(m, y, per_channel(m, ftl_imp_need(m, 1), x));
	ftl_imp_out(m, 0, e_add(m, y, per_channel(m, ftl_imp_need(m, 2), x)));
}

/* Groups as an axis of their own: layer norm over [channels of the group, space...]. */
void ftl_imp_do_group_norm(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), scale = ftl_imp_need(m, 1), bias = ftl_imp_need(m, 2), y;
	const ftl_type *t = ftl_imp_type(m, x);
	int64_t groups = ftl_imp_i(m, "num_groups", 0);
	ftl_dim d[3], per = ftl_imp_dim(m, x, 1);
	bool by_group = m->cur->opset < 21; /* scale and bias were per group once */

	if (!m->failed && groups <= 0)
		bad_model(m, "num_groups %lld makes no sense", (long long)groups);
	if (m->failed)
		return;
	d[0] = t->dims[0];
	d[1] = dim_c(m, groups);
	per = ftl_dim_div(m->st, per, d[1]);
	d[2] = per;
	for (int i = 2; i < t->rank; i++)
		d[2] = ftl_dim_mul(m->st, d[2], t->dims[i]);
	y = ftl_imp_norm(m, FTL_OP_layer_norm, ftl_imp_reshape(m, x, 3, d), 0, 0, 2, ftl_imp_f(m, "epsilon", 1e-5f));
	y = ftl_imp_reshape(m, y, t->rank, ftl_imp_type(m, x)->dims);
	if (by_group) {
		ftl_dim two[2] = {d[1], per}, one[2] = {d[1], dim_c(m, 1)}, flat = ftl_imp_dim(m, x, 1);
		scale = ftl_imp_reshape(m, ftl_imp_expand(m, ftl_imp_reshape(m, scale, 2, one), 2, two), 1, &flat);
		bias = ftl_imp_reshape(m, ftl_imp_expand(m, ftl_imp_reshape(m, bias, 2, one), 2, two), 1, &flat);
	}
	y = e_mul(m, y, per_channel(m, scale, x));
	ftl_imp_out(m, 0, e_add(m, y, per_channel(m, bias, x)));
}

/* x / |x|, and 0 where the norm is 0 */
void ftl_imp_do_lp_norm(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), n;
	int64_t axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", -1), rank_of(m, x)), p = ftl_imp_i(m, "p", 2);

	if (p != 1 && p != 2) {
		bad_model(m, "p is %lld, must be 1 or 2", (long long)p);
		return;
	}
	if (p == 1)
		n = ftl_imp_reduce(m, FTL_OP_reduce_sum, op1(m, FTL_OP_abs, x), 1, &axis, true);
	else
		n = op1(m, FTL_OP_sqrt, ftl_imp_reduce(m, FTL_OP_reduce_sum, e_mul(m, x, x), 1, &axis, true));
	n = e_where(m, op2(m, FTL_OP_eq, n, e_num(m, n, 0)), e_num(m, n, 1), n);
	ftl_imp_out(m, 0, e_div(m, x, n));
}

void ftl_imp_do_mean_variance_norm(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), mean, c, sd;
	int64_t axes[FTL_MAX_RANK] = {0, 2, 3};
	uint32_t n = 3;

	if (ftl_imp_has(m, "axes"))
		ftl_imp_list(m, "axes", 1, axes, FTL_MAX_RANK, &n);
	for (uint32_t i = 0; i < n; i++)
		axes[i] = ftl_imp_axis(m, axes[i], rank_of(m, x));
	mean = ftl_imp_reduce(m, FTL_OP_reduce_mean, x, n, axes, true);
	c = e_sub(m, x, mean);
	sd = op1(m, FTL_OP_sqrt, ftl_imp_reduce(m, FTL_OP_reduce_mean, e_mul(m, c, c), n, axes, true));
	ftl_imp_out(m, 0, e_div(m, c, e_addf(m, sd, 1e-9)));
}

/* x / (bias + alpha/size * sum of squares of `size` channels around)^beta: an average pool over the channels */
void ftl_imp_do_lrn(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), s;
	int64_t size = ftl_imp_i(m, "size", 0), kernel[2], one[2] = {1, 1};
	const ftl_type *t = ftl_imp_type(m, x);
	struct ftl_attrs_avg_pool *a = NEW_ATTRS(m, avg_pool);
	ftl_dim d[4], pads[4];

	ftl_imp_want_rank(m, x, 2, FTL_MAX_RANK, "the input");
	if (!m->failed && (size <= 0 || size > 1 << 20))
		bad_model(m, "size %lld makes no sense", (long long)size);
	if (m->failed)
		return;
	d[0] = t->dims[0];
	d[1] = dim_c(m, 1);
	d[2] = t->dims[1];
	d[3] = dim_c(m, 1);
	for (int i = 2; i < t->rank; i++)
		d[3] = ftl_dim_mul(m->st, d[3], t->dims[i]);
	kernel[0] = size;
	kernel[1] = 1;
	pads[0] = dim_c(m, (size - 1) / 2);
	pads[2] = dim_c(m, size - 1 - (size - 1) / 2);
	pads[1] = pads[3] = dim_c(m, 0);
	a->kernel = ftl_imp_ints_copy(m, 2, kernel);
	a->strides = a->dilations = ftl_imp_ints_copy(m, 2, one);
	a->pads = ftl_imp_dims_copy(m, 4, pads);
	a->include_pad = true;
	s = ftl_imp_reshape(m, e_mul(m, x, x), 4, d);
	s = ftl_imp_op(m, FTL_OP_avg_pool, a, 1, &s);
	s = ftl_imp_reshape(m, s, rank_of(m, x), ftl_imp_type(m, x)->dims);
	s = e_addf(m, e_mulf(m, s, ftl_imp_f(m, "alpha", 1e-4f)), ftl_imp_f(m, "bias", 1));
	ftl_imp_out(m, 0, e_div(m, x, op2(m, FTL_OP_pow, s, e_num(m, s, ftl_imp_f(m, "beta", 0.75)))));
}
