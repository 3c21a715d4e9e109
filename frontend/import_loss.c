/* Losses and what training graphs have beside them: NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss, and the optimizers
 * of ai.onnx.preview.training. All are compositions. */
#include "imp.h"

/* ---- losses ---- */

static ftl_val sum_all(imp *m, ftl_val v)
{
	int64_t axes[FTL_MAX_RANK];
	uint32_t r = (uint32_t)rank_of(m, v);

	for (uint32_t i = 0; i < r; i++)
		axes[i] = i;
	return ftl_imp_reduce(m, FTL_OP_reduce_sum, v, r, axes, false);
}

/* -log_prob[n, target, ...] times the class's weight. Targets that are ignored have no class: they look up class 0, whose
 * loss and weight are then replaced by 0, so that an infinite one there does no harm. */
static ftl_val likelihood_loss(imp *m, ftl_val log_prob, ftl_val target, ftl_val weight)
{
	struct ftl_attrs_gather_elements *a = NEW_ATTRS(m, gather_elements);
	const char *reduction = ftl_imp_s(m, "reduction", "mean");
	bool ignores = ftl_imp_has(m, "ignore_index"), mean = !strcmp(reduction, "mean");
	ftl_dtype t = dtype_of(m, log_prob);
	ftl_val keep = 0, loss, each = 0, count;

	ftl_imp_want_rank(m, log_prob, 2, FTL_MAX_RANK, "the input");
	ftl_imp_want_rank(m, target, rank_of(m, log_prob) - 1, rank_of(m, log_prob) - 1, "the target");
	if (weight)
		ftl_imp_want_rank(m, weight, 1, 1, "weight");
	if (!m->failed && !mean && strcmp(reduction, "sum") && strcmp(reduction, "none"))
		bad_model(m, "reduction \"%s\" is none of mean, sum and none", reduction);
	if (m->failed)
		return 0;
	target = ftl_imp_cast(m, target, FTL_I64);
	if (ignores) {
		int64_t skip = ftl_imp_i(m, "ignore_index", 0);
		keep = op1(m, FTL_OP_not, op2(m, FTL_OP_eq, target, ftl_imp_bytes(m, FTL_I64, 0, NULL, &skip)));
		target = e_where(m, keep, target, e_num(m, target, 0));
	}
	a->axis = 1;
	loss = ftl_imp_op(m, FTL_OP_gather_elements, a, 2,
			  (const ftl_val[]){log_prob, ftl_imp_unsqueeze(m, target, 1)});
	loss = op1(m, FTL_OP_neg, ftl_imp_squeeze(m, loss, 1));
	if (weight)
		each = ftl_imp_gather(m, ftl_imp_cast(m, weight, t), target, 0);
	if (weight)
		loss = e_mul(m, loss, each);
	if (ignores) {
		loss = e_where(m, keep, loss, e_num(m, loss, 0));
		each = weight ? e_where(m, keep, each, e_num(m, each, 0)) : ftl_imp_cast(m, keep, t);
	}
	if (!strcmp(reduction, "none"))
		return loss;
	if (!mean)
		return sum_all(m, loss);
	count = each ? sum_all(m, each) : ftl_imp_cast(m, op1(m, FTL_OP_size, loss), t);
	return e_div(m, sum_all(m, loss), count);
}

void ftl_imp_do_nll_loss(imp *m)
{
	ftl_imp_out(m, 0, likelihood_loss(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1), ftl_imp_in(m, 2)));
}

void ftl_imp_do_softmax_cross_entropy(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), p;
	struct ftl_attrs_log_softmax *a = NEW_ATTRS(m, log_softmax);

	ftl_imp_want_rank(m, x, 2, FTL_MAX_RANK, "the scores");
	if (m->failed)
		return;
	a->axis = 1;
	p = ftl_imp_op(m, FTL_OP_log_softmax, a, 1, &x);
	ftl_imp_out(m, 0, likelihood_loss(m, p, ftl_imp_need(m, 1), ftl_imp_in(m, 2)));
	ftl_imp_out(m, 1, p);
}

/* ---- optimizers: rate, count of updates, then all tensors, all gradients and `states` lists of state ---- */

/* How many tensors are optimized; 0 with an error if the inputs do not come in equal lists. */
static uint32_t tensors(imp *m, uint32_t states)
{
	uint32_t lists = 2 + states, n = m->cur->nin > 2 ? m->cur->nin - 2 : 0;

	if (!m->failed && (n == 0 || n % lists || m->cur->nout != n / lists * (1 + states)))
		bad_model(m,
			  "has %u inputs and %u outputs: rate, count, and %u inputs and %u outputs per tensor are due",
			  m->cur->nin, m->cur->nout, lists, 1 + states);
	return m->failed ? 0 : n / lists;
}

/* The rate or count as a scalar of the tensors' type. */
static ftl_val scalar_in(imp *m, uint32_t k, ftl_val like)
{
	ftl_val v = ftl_imp_need(m, k);

	if (rank_of(m, v) > 0)
		v = ftl_imp_reshape(m, v, 0, NULL);
	return ftl_imp_cast(m, v, dtype_of(m, like));
}

/* g + norm_coefficient * x */
static ftl_val regularized(imp *m, ftl_val g, ftl_val x)
{
	double c = ftl_imp_f(m, "norm_coefficient", 0);

	return c == 0 ? g : e_add(m, e_mulf(m, x, c), g);
}

static ftl_val later(imp *m, ftl_val count, ftl_val then, ftl_val first)
{
	return e_where(m, op2(m, FTL_OP_gt, count, e_num(m, count, 0)), then, first);
}

void ftl_imp_do_momentum(imp *m)
{
	uint32_t n = tensors(m, 1);
	const char *mode = ftl_imp_s(m, "mode", "");
	double alpha = ftl_imp_f(m, "alpha", 0), beta = ftl_imp_f(m, "beta", 0);
	bool nesterov = !strcmp(mode, "nesterov");

	if (!m->failed && !nesterov && strcmp(mode, "standard"))
		bad_model(m, "mode \"%s\" is neither standard nor nesterov", mode);
	for (uint32_t i = 0; i < n && !m->failed; i++) {
		ftl_val x = ftl_imp_need(m, 2 + i), g = regularized(m, ftl_imp_need(m, 2 + n + i), x),
			v = ftl_imp_need(m, 2 + 2 * n + i), rate = scalar_in(m, 0, x), count = scalar_in(m, 1, x), step;

		v = e_add(m, e_mulf(m, v, alpha), e_mul(m, later(m, count, e_num(m, x, beta), e_num(m, x, 1)), g));
		step = nesterov ? e_add(m, g, e_mulf(m, v, alpha)) : v;
		ftl_imp_out(m, i, e_sub(m, x, e_mul(m, rate, step)));
		ftl_imp_out(m, n + i, v);
	}
}

void ftl_imp_do_adagrad(imp *m)
{
	uint32_t n = tensors(m, 1);
	double decay = ftl_imp_f(m, "decay_factor", 0), epsilon = ftl_imp_f(m, "epsilon", 1e-6f);

	for (uint32_t i = 0; i < n && !m->failed; i++) {
		ftl_val x = ftl_imp_need(m, 2 + i), g = regularized(m, ftl_imp_need(m, 2 + n + i), x),
			h = ftl_imp_need(m, 2 + 2 * n + i), rate = scalar_in(m, 0, x), count = scalar_in(m, 1, x);

		rate = e_div(m, rate, e_addf(m, e_mulf(m, count, decay), 1));
		h = e_add(m, h, e_mul(m, g, g));
		ftl_imp_out(m, i, e_sub(m, x, e_div(m, e_mul(m, rate, g), e_addf(m, op1(m, FTL_OP_sqrt, h), epsilon))));
		ftl_imp_out(m, n + i, h);
	}
}

void ftl_imp_do_adam(imp *m)
{
	uint32_t n = tensors(m, 2);
	double alpha = ftl_imp_f(m, "alpha", 0.9f), beta = ftl_imp_f(m, "beta", 0.999f),
	       epsilon = ftl_imp_f(m, "epsilon", 1e-6f), post = ftl_imp_f(m, "norm_coefficient_post", 0);

	for (uint32_t i = 0; i < n && !m->failed; i++) {
		ftl_val x = ftl_imp_need(m, 2 + i), g = regularized(m, ftl_imp_need(m, 2 + n + i), x),
			v = ftl_imp_need(m, 2 + 2 * n + i), h = ftl_imp_need(m, 2 + 3 * n + i),
			rate = scalar_in(m, 0, x), count = scalar_in(m, 1, x), one = e_num(m, x, 1), a, b;

		v = e_add(m, e_mulf(m, v, alpha), e_mulf(m, g, 1 - alpha));
		h = e_add(m, e_mulf(m, h, beta), e_mulf(m, e_mul(m, g, g), 1 - beta));
		a = e_sub(m, one, op2(m, FTL_OP_pow, e_num(m, x, alpha), count));
		b = op1(m, FTL_OP_sqrt, e_sub(m, one, op2(m, FTL_OP_pow, e_num(m, x, beta), count)));
		rate = later(m, count, e_div(m, e_mul(m, rate, b), a), rate);
		x = e_sub(m, x, e_div(m, e_mul(m, rate, v), e_addf(m, op1(m, FTL_OP_sqrt, h), epsilon)));
		ftl_imp_out(m, i, e_mulf(m, x, 1 - post));
		ftl_imp_out(m, n + i, v);
		ftl_imp_out(m, 2 * n + i, h);
	}
}
