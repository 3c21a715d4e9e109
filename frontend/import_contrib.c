/* com.microsoft: fused forms of ordinary arithmetic, as ONNX Runtime defines them. */
#include <math.h>

#include "attention.h"

void ftl_imp_do_ms_gelu(imp *m)
{
	ftl_imp_out(m, 0, ftl_imp_gelu(m, ftl_imp_need(m, 0), "none"));
}

void ftl_imp_do_ms_fast_gelu(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), bias = ftl_imp_in(m, 1);

	ftl_imp_out(m, 0, ftl_imp_gelu(m, bias ? e_add(m, x, bias) : x, "tanh"));
}

void ftl_imp_do_ms_bias_gelu(imp *m)
{
	ftl_imp_out(m, 0, ftl_imp_gelu(m, e_add(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1)), "none"));
}

void ftl_imp_do_ms_quick_gelu(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	double alpha = ftl_imp_f(m, "alpha", 1.702f);
	struct ftl_attrs_silu *a;

	if (fabs(alpha - 1.702) < 1e-6) {
		ftl_imp_out(m, 0, ftl_imp_gelu(m, x, "quick"));
		return;
	}
	a = NEW_ATTRS(m, silu);
	a->alpha = alpha;
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_silu, a, 1, &x));
}

/* softmax(x + bias) over all axes from `axis` on */
void ftl_imp_do_ms_bias_softmax(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), bias = ftl_imp_need(m, 1), y;
	int r = rank_of(m, x), axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", 1), r), rb = rank_of(m, bias);
	bool inner = ftl_imp_i(m, "is_inner_broadcast", 1) != 0;
	ftl_dim d[FTL_MAX_RANK];

	if (m->failed)
		return;
	/* a bias that lacks the inner leading axes has them as 1 */
	if (inner && rb < r && rb > 0) {
		int lead = rb - (r - axis);
		for (int i = 0; i < r; i++)
			d[i] = i < lead   ? ftl_imp_dim(m, bias, i)
			       : i < axis ? dim_c(m, 1)
					  : ftl_imp_dim(m, bias, rb - (r - i));
		bias = lead >= 0 ? ftl_imp_reshape(m, bias, r, d) : bias;
	}
	x = e_add(m, x, bias);
	if (axis == r - 1) {
		ftl_imp_out(m, 0, ftl_imp_softmax(m, x, axis));
		return;
	}
	d[0] = d[1] = dim_c(m, 1);
	for (int i = 0; i < r; i++)
		d[i >= axis] = ftl_dim_mul(m->st, d[i >= axis], ftl_imp_dim(m, x, i));
	y = ftl_imp_softmax(m, ftl_imp_reshape(m, x, 2, d), 1);
	ftl_imp_out(m, 0, m->failed ? 0 : ftl_imp_reshape(m, y, r, ftl_imp_type(m, x)->dims));
}

/* transBatch: axis 0 moves behind the other batch axes, before the last one */
static ftl_val batch_to_rows(imp *m, ftl_val v)
{
	int r = rank_of(m, v), perm[FTL_MAX_RANK];

	for (int i = 0; i < r; i++)
		perm[i] = i == r - 1 ? r - 1 : i == r - 2 ? 0 : i + 1;
	return r > 2 ? ftl_imp_transpose(m, v, perm) : v;
}

void ftl_imp_do_ms_fused_matmul(imp *m)
{
	ftl_val a = ftl_imp_need(m, 0), b = ftl_imp_need(m, 1);

	if (ftl_imp_i(m, "transBatchA", 0) != 0)
		a = batch_to_rows(m, a);
	if (ftl_imp_i(m, "transBatchB", 0) != 0)
		b = batch_to_rows(m, b);
	a = ftl_imp_matmul(m, a, b, ftl_imp_i(m, "transA", 0) != 0 && rank_of(m, a) > 1,
			   ftl_imp_i(m, "transB", 0) != 0 && rank_of(m, b) > 1, ftl_imp_f(m, "alpha", 1));
	if (ftl_imp_has(m, "activation")) { /* FusedMatMulActivation */
		const char *act = ftl_imp_s(m, "activation", "");
		if (!strcmp(act, "Softmax"))
			a = ftl_imp_softmax(m, a, (int)ftl_imp_i(m, "activation_axis", -1));
		else
			a = ftl_imp_activation(m, a, act, ftl_imp_f(m, "activation_alpha", 0),
					       ftl_imp_f(m, "activation_beta", 0));
	}
	ftl_imp_out(m, 0, a);
}

void ftl_imp_do_ms_fused_gemm(imp *m)
{
	ftl_val c = ftl_imp_in(m, 2), y;
	double beta = ftl_imp_f(m, "beta", 1);

	y = ftl_imp_matmul(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1), ftl_imp_i(m, "transA", 0) != 0,
			   ftl_imp_i(m, "transB", 0) != 0, ftl_imp_f(m, "alpha", 1));
	if (c && beta != 0)
		y = e_add(m, y, e_mulf(m, c, beta));
	ftl_imp_out(m, 0,
		    ftl_imp_activation(m, y, ftl_imp_s(m, "activation", ""), ftl_imp_f(m, "activation_alpha", 0),
				       ftl_imp_f(m, "activation_beta", 0)));
}

/* ---- normalizations ---- */

/* norm(x + skip + bias) * gamma + beta. The simplified form has no beta, so its bias is one input earlier. */
void ftl_imp_do_ms_skip_norm(imp *m)
{
	bool rms = m->cur->row->op == FTL_OP_rms_norm;
	ftl_val x = ftl_imp_need(m, 0), skip = ftl_imp_need(m, 1), bias = ftl_imp_in(m, rms ? 3 : 4), s;

	s = e_add(m, x, skip);
	if (bias)
		s = e_add(m, s, bias);
	ftl_imp_out(m, 0,
		    ftl_imp_norm(m, m->cur->row->op, s, ftl_imp_need(m, 2), rms ? 0 : ftl_imp_in(m, 3), -1,
				 ftl_imp_f(m, "epsilon", 1e-12f)));
	ftl_imp_out(m, 3, s);
	if ((ftl_imp_wants(m, 1) || ftl_imp_wants(m, 2)) && !m->failed) {
		ftl_val f = ftl_imp_cast(m, s, FTL_F32), mean = 0, var;
		int64_t last = rank_of(m, s) - 1;
		if (!rms) {
			mean = ftl_imp_reduce(m, FTL_OP_reduce_mean, f, 1, &last, true);
			f = e_sub(m, f, mean);
		}
		var = ftl_imp_reduce(m, FTL_OP_reduce_mean, e_mul(m, f, f), 1, &last, true);
		if (rms && !m->failed) /* there is none; ONNX Runtime gives zeros */
			mean = ftl_imp_expand(m, e_num(m, var, 0), rank_of(m, var), ftl_imp_type(m, var)->dims);
		ftl_imp_out(m, 1, mean);
		var = op1(m, FTL_OP_sqrt, e_addf(m, var, ftl_imp_f(m, "epsilon", 1e-12f)));
		ftl_imp_out(m, 2, op1(m, FTL_OP_reciprocal, var));
	}
}

/* ids, segments?, word table, position table, segment table?, gamma, beta, mask?, positions? */
void ftl_imp_do_ms_embed_layer_norm(imp *m)
{
	ftl_val ids = ftl_imp_need(m, 0), seg = ftl_imp_in(m, 1), mask = ftl_imp_in(m, 7), pos = ftl_imp_in(m, 8), s, p;

	ftl_imp_want_rank(m, ids, 2, 2, "the token ids");
	s = ftl_imp_gather(m, ftl_imp_need(m, 2), ids, 0);
	if (pos)
		p = ftl_imp_gather(m, ftl_imp_need(m, 3), pos, 0);
	else
		p = ftl_imp_slice(m, ftl_imp_need(m, 3), 0, dim_c(m, 0),
				  ftl_dim_min(m->st, ftl_imp_dim(m, ids, 1), ftl_imp_dim(m, ftl_imp_need(m, 3), 0)));
	s = e_add(m, s, p);
	if (seg && ftl_imp_in(m, 4))
		s = e_add(m, s, ftl_imp_gather(m, ftl_imp_in(m, 4), seg, 0));
	ftl_imp_out(m, 0,
		    ftl_imp_norm(m, FTL_OP_layer_norm, s, ftl_imp_need(m, 5), ftl_imp_need(m, 6), -1,
				 ftl_imp_f(m, "epsilon", 1e-12f)));
	ftl_imp_out(m, 2, s);
	ftl_imp_out(m, 1, ftl_imp_mask_index(m, mask, ids));
}

/* How many tokens of each row a mask [b, s] has; 0 without a mask. */
ftl_val ftl_imp_mask_index(imp *m, ftl_val mask, ftl_val ids)
{
	ftl_dim b = ftl_imp_dim(m, ids, 0);
	int64_t last = 1;

	if (m->failed)
		return 0;
	return mask ? ftl_imp_reduce(m, FTL_OP_reduce_sum, ftl_imp_cast(m, mask, FTL_I32), 1, &last, false)
		    : ftl_imp_expand(m, ftl_imp_scalar(m, FTL_I32, 0), 1, &b);
}
