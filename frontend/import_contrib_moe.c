/* com.microsoft MoE and QMoE: each token goes through the k experts its router likes best, and gets their weighted sum.
 *
 * All experts run as one batched product and the weights of those not chosen are 0: right for any number of tokens
 * without sizes that only the data tells, and the weights are read once. */
#include <math.h>

#include "attention.h"

/* router [t, e] -> f32 [t, e]: the shares of the k largest, 0 elsewhere */
static ftl_val shares(imp *m, ftl_val router, int64_t k, ftl_dim e, bool normalize)
{
	struct ftl_attrs_topk *a = NEW_ATTRS(m, topk);
	ftl_val in[2], out[2], p, zero, y;
	struct ftl_attrs_scatter_elements *s = NEW_ATTRS(m, scatter_elements);
	ftl_dim d[2] = {ftl_imp_dim(m, router, 0), e};

	router = ftl_imp_cast(m, router, FTL_F32);
	/* normalized: the softmax runs over the chosen alone */
	p = normalize ? router : ftl_imp_softmax(m, router, 1);
	in[0] = p;
	in[1] = ftl_imp_i64s(m, 1, &k);
	a->axis = 1;
	ftl_imp_ops(m, FTL_OP_topk, a, 2, in, 2, out);
	y = normalize ? ftl_imp_softmax(m, out[0], 1) : out[0];
	zero = ftl_imp_expand(m, ftl_imp_scalar(m, FTL_F32, 0), 2, d);
	s->axis = 1;
	return ftl_imp_op(m, FTL_OP_scatter_elements, s, 3, (const ftl_val[]){zero, out[1], y});
}

typedef struct experts {
	ftl_val w1, b1, w2, b2, w3, b3; /* [e, out, in], [e, out] */
} experts;

static ftl_val biased(imp *m, ftl_val y, ftl_val b)
{
	return b ? e_add(m, y, ftl_imp_unsqueeze(m, ftl_imp_cast(m, b, dtype_of(m, y)), 1)) : y;
}

/* every second of the last axis, from `first` on */
static ftl_val alternate(imp *m, ftl_val x, int first)
{
	ftl_dim half = ftl_dim_div(m->st, ftl_imp_dim(m, x, 2), dim_c(m, 2));
	ftl_dim d[4] = {ftl_imp_dim(m, x, 0), ftl_imp_dim(m, x, 1), half, dim_c(m, 2)};

	return ftl_imp_squeeze(m, ftl_imp_part(m, ftl_imp_reshape(m, x, 4, d), first, 1), 3);
}

static ftl_val activated(imp *m, const experts *w, ftl_val x, ftl_val h)
{
	const char *act = ftl_imp_s(m, "activation_type", "relu");
	int64_t fusion = ftl_imp_i(m, "swiglu_fusion", 0);
	ftl_val g = h, l;
	ftl_dim half;

	if (strcmp(act, "swiglu") && strcmp(act, "geglu")) {
		if (!strcmp(act, "relu2")) {
			h = op1(m, FTL_OP_relu, h);
			h = e_mul(m, h, h);
		} else if (!strcmp(act, "gelu")) {
			h = ftl_imp_gelu(m, h, "tanh"); /* as ONNX Runtime has it here */
		} else if (!strcmp(act, "silu")) {
			h = op1(m, FTL_OP_silu, h);
		} else if (!strcmp(act, "relu")) {
			h = op1(m, FTL_OP_relu, h);
		} else if (strcmp(act, "identity")) {
			unsupported(m, "activation_type \"%s\" is not supported", act);
		}
		/* a third projection gates what the first one gives */
		return w->w3 ? e_mul(m, h, biased(m, ftl_imp_matmul(m, x, w->w3, false, true, 1), w->b3)) : h;
	}
	if (fusion == 0) {
		if (!w->w3) {
			bad_model(m, "swiglu without fusion needs a third projection");
			return 0;
		}
		l = biased(m, ftl_imp_matmul(m, x, w->w3, false, true, 1), w->b3);
	} else if (fusion == 1) {
		g = alternate(m, h, 0);
		l = alternate(m, h, 1);
	} else {
		half = ftl_dim_div(m->st, ftl_imp_dim(m, h, 2), dim_c(m, 2));
		g = ftl_imp_slice(m, h, 2, dim_c(m, 0), half);
		l = ftl_imp_slice(m, h, 2, half, half);
	}
	if (!strcmp(act, "geglu"))
		return e_mul(m, ftl_imp_gelu(m, g, "tanh"), l);
	return ftl_imp_swiglu(m, g, l, ftl_imp_f(m, "activation_alpha", 1), ftl_imp_f(m, "activation_beta", 0),
			      ftl_imp_f(m, "swiglu_limit", 0));
}

/* p [t, e]: how each token weighs the experts */
static void mix(imp *m, const experts *w, ftl_val p)
{
	ftl_val x = ftl_imp_need(m, 0), y, h;
	int r = rank_of(m, x);
	ftl_dtype t = dtype_of(m, x);
	int64_t zero = 0;
	ftl_dim d[3];

	ftl_imp_want_rank(m, x, 2, 3, "the input");
	ftl_imp_want_rank(m, w->w1, 3, 3, "the weight");
	ftl_imp_want_rank(m, w->w2, 3, 3, "the weight");
	if (m->failed)
		return;
	if (ftl_imp_i(m, "use_sparse_mixer", 0) != 0 || ftl_imp_i(m, "swiglu_limit_after_activation", 0) != 0) {
		unsupported(m, "use_sparse_mixer and swiglu_limit_after_activation are not supported");
		return;
	}
	d[0] = dim_c(m, 1);
	d[1] = r == 2 ? ftl_imp_dim(m, x, 0) : ftl_dim_mul(m->st, ftl_imp_dim(m, x, 0), ftl_imp_dim(m, x, 1));
	d[2] = ftl_imp_dim(m, x, r - 1);
	y = ftl_imp_reshape(m, x, 3, d);
	h = biased(m, ftl_imp_matmul(m, y, w->w1, false, true, 1), w->b1); /* [e, t, inter] */
	h = activated(m, w, y, h);
	h = biased(m, ftl_imp_matmul(m, h, w->w2, false, true, 1), w->b2); /* [e, t, hidden] */
	p = ftl_imp_transpose(m, p, (const int[]){1, 0});
	h = e_mul(m, ftl_imp_cast(m, h, FTL_F32), ftl_imp_unsqueeze(m, p, 2));
	h = ftl_imp_cast(m, ftl_imp_reduce(m, FTL_OP_reduce_sum, h, 1, &zero, false), t);
	ftl_imp_out(m, 0, m->failed ? 0 : ftl_imp_reshape(m, h, r, ftl_imp_type(m, x)->dims));
}

static int64_t chosen(imp *m, ftl_dim e)
{
	int64_t k = ftl_imp_i(m, "k", 1), n;

	if (k < 1 || (ftl_dim_is_const(m->st, e, &n) && k > n)) {
		if (!m->failed)
			bad_model(m, "%lld experts cannot be chosen", (long long)k);
		return 1;
	}
	return k;
}

void ftl_imp_do_ms_moe(imp *m)
{
	experts w = {.w1 = ftl_imp_need(m, 2),
		     .b1 = ftl_imp_in(m, 3),
		     .w2 = ftl_imp_need(m, 4),
		     .b2 = ftl_imp_in(m, 5),
		     .w3 = ftl_imp_in(m, 6),
		     .b3 = ftl_imp_in(m, 7)};
	ftl_val router = ftl_imp_need(m, 1);
	ftl_dim e;

	ftl_imp_want_rank(m, router, 2, 2, "the router's scores");
	if (m->failed)
		return;
	e = ftl_imp_dim(m, w.w1, 0);
	mix(m, &w, shares(m, router, chosen(m, e), e, ftl_imp_i(m, "normalize_routing_weights", 0) != 0));
}

/* w [e, n, k * bits / 8], scale [e, n] or [e, n, blocks] -> real [e, n, k] */
static ftl_val unpacked(imp *m, ftl_val w, ftl_val scale, ftl_val zero, int64_t bits, ftl_dtype t)
{
	struct ftl_attrs_dequantize *a = NEW_ATTRS(m, dequantize);
	int64_t block = ftl_imp_i(m, "block_size", 0);
	int64_t k;

	if (!w || m->failed)
		return 0;
	if (!scale) {
		bad_model(m, "a weight has no scales");
		return 0;
	}
	if (bits != 2 && bits != 4 && bits != 8) {
		unsupported(m, "weights of %lld bits are not supported", (long long)bits);
		return 0;
	}
	ftl_imp_want_rank(m, w, 3, 3, "the weight");
	w = ftl_imp_unpack_fields(m, w, (int)bits);
	if (rank_of(m, scale) == 2)
		scale = ftl_imp_unsqueeze(m, scale, 2);
	if (zero) {
		if (rank_of(m, zero) == 2 && bits == 8)
			zero = ftl_imp_unsqueeze(m, zero, 2);
		zero = ftl_imp_unpack_fields(m, zero, (int)bits);
		if (rank_of(m, zero) == 2)
			zero = ftl_imp_unsqueeze(m, zero, 2);
		zero = ftl_imp_slice(m, zero, 2, dim_c(m, 0), ftl_imp_dim(m, scale, 2));
	} else if (!m->failed) {
		zero = ftl_imp_expand(m, ftl_imp_scalar(m, FTL_U8, (double)(1 << (bits - 1))), 3,
				      ftl_imp_type(m, scale)->dims);
	}
	k = ftl_imp_const_dim(m, w, 2, "the weight's size");
	a->axis = 2;
	a->block = block > 0 ? block : k;
	return ftl_imp_cast(m, ftl_imp_op(m, FTL_OP_dequantize, a, 3, (const ftl_val[]){w, scale, zero}), t);
}

/* input, router, fc1 (weight, scales, bias), fc2, fc3, zero points of the three, router weights */
void ftl_imp_do_ms_qmoe(imp *m)
{
	int64_t bits = ftl_imp_i(m, "expert_weight_bits", 4);
	ftl_dtype t = dtype_of(m, ftl_imp_need(m, 0));
	ftl_val router = ftl_imp_need(m, 1), p;
	experts w = {.b1 = ftl_imp_in(m, 4), .b2 = ftl_imp_in(m, 7), .b3 = ftl_imp_in(m, 10)};
	ftl_dim e;

	if (strcmp(ftl_imp_s(m, "quant_type", "int"), "int")) {
		unsupported(m, "only integer weights are supported");
		return;
	}
	for (uint32_t k = 15; k < m->cur->nin && !m->failed; k++)
		if (ftl_imp_in(m, k))
			unsupported(m, "input %u is not supported", k);
	w.w1 = unpacked(m, ftl_imp_need(m, 2), ftl_imp_in(m, 3), ftl_imp_in(m, 11),
			ftl_imp_i(m, "fc1_expert_weight_bits", bits), t);
	w.w2 = unpacked(m, ftl_imp_need(m, 5), ftl_imp_in(m, 6), ftl_imp_in(m, 12),
			ftl_imp_i(m, "fc2_expert_weight_bits", bits), t);
	w.w3 = unpacked(m, ftl_imp_in(m, 8), ftl_imp_in(m, 9), ftl_imp_in(m, 13),
			ftl_imp_i(m, "fc3_expert_weight_bits", bits), t);
	ftl_imp_want_rank(m, router, 2, 2, "the router's scores");
	if (m->failed)
		return;
	e = ftl_imp_dim(m, w.w1, 0);
	p = shares(m, router, chosen(m, e), e, true); /* ONNX Runtime does not look at the attribute */
	if (ftl_imp_in(m, 14))                        /* weights of their own for the experts that the scores choose */
		p = e_where(m, op2(m, FTL_OP_gt, p, e_num(m, p, 0)), ftl_imp_cast(m, ftl_imp_in(m, 14), FTL_F32),
			    e_num(m, p, 0));
	mix(m, &w, p);
}
