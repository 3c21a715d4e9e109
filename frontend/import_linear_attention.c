/* LinearAttention and CausalConvWithState of ai.onnx (opset 27) and com.microsoft.
 *
 * The state is f32 whatever the operands are, as the reference has it. Nothing is transposed: the heads of [b, t, h * d]
 * are an axis, time is scanned where it lies, and query heads that share a state are rows of one product. */
#include <math.h>

#include "imp.h"

typedef struct linear {
	bool gated, delta;
	ftl_dim b, t;
	int64_t hq, hkv;
} linear;

/* x [b, t, n * inner] in f32 as [b, t, n, inner] */
static ftl_val heads(imp *m, ftl_val x, int64_t n)
{
	ftl_dim d[4];

	ftl_imp_want_rank(m, x, 3, 3, "an input with heads to split");
	if (m->failed)
		return 0;
	d[0] = ftl_imp_dim(m, x, 0);
	d[1] = ftl_imp_dim(m, x, 1);
	d[2] = dim_c(m, n);
	d[3] = ftl_dim_div(m->st, ftl_imp_dim(m, x, 2), d[2]);
	return ftl_imp_reshape(m, ftl_imp_cast(m, x, FTL_F32), 4, d);
}

/* One token: state [b, hkv, dk, dv], q [b, hkv, g, dk], k [b, hkv, dk], v [b, hkv, dv], gate [b, hkv, dk or 1],
 * beta [b, hkv or 1, 1] -> [b, hkv, g, dv] */
static ftl_val step(imp *m, const linear *l, const ftl_val *x, ftl_val *state)
{
	uint32_t next = 3;
	ftl_val row = ftl_imp_unsqueeze(m, x[1], 2), v = ftl_imp_unsqueeze(m, x[2], 2);

	if (l->gated)
		*state = e_mul(m, *state, ftl_imp_unsqueeze(m, x[next++], 3));
	if (l->delta) {
		v = e_sub(m, v, ftl_imp_matmul(m, row, *state, false, false, 1));
		v = e_mul(m, v, ftl_imp_unsqueeze(m, x[next++], 3));
	}
	*state = e_add(m, *state, e_mul(m, ftl_imp_unsqueeze(m, x[1], 3), v));
	return ftl_imp_matmul(m, x[0], *state, false, false, 1);
}

/* Query heads by the key heads they read: [b, t, hkv, hq / hkv, dk], or one each of queries that several states share. */
static ftl_val group_queries(imp *m, const linear *l, ftl_val q)
{
	int64_t hq = l->hq, hkv = l->hkv;
	ftl_dim d[5] = {l->b, l->t, 0, 0, ftl_imp_dim(m, q, -1)};

	if (m->failed)
		return 0;
	if (hq >= hkv) {
		d[2] = dim_c(m, hkv);
		d[3] = dim_c(m, hq / hkv);
		return ftl_imp_reshape(m, q, 5, d);
	}
	d[2] = dim_c(m, hq);
	d[3] = dim_c(m, hkv / hq);
	q = ftl_imp_expand(m, ftl_imp_unsqueeze(m, q, 3), 5, d);
	d[2] = dim_c(m, hkv);
	d[3] = dim_c(m, 1);
	return ftl_imp_reshape(m, q, 5, d);
}

static bool settings(imp *m, linear *l, ftl_val decay, ftl_val beta)
{
	const char *rule = ftl_imp_s(m, "update_rule", "gated_delta");
	bool ms = !strcmp(m->cur->row->domain, "com.microsoft");

	l->hq = ftl_imp_i(m, "q_num_heads", 0);
	l->hkv = ftl_imp_i(m, "kv_num_heads", 0);
	l->gated = !strcmp(rule, "gated") || !strcmp(rule, "gated_delta");
	l->delta = !strcmp(rule, "delta") || !strcmp(rule, "gated_delta");
	if (m->failed)
		return false;
	if (!l->gated && !l->delta && strcmp(rule, "linear"))
		bad_model(m, "update_rule \"%s\" does not exist", rule);
	else if (l->hq <= 0 || l->hkv <= 0 || (l->hq % l->hkv && !(ms && l->hkv % l->hq == 0)))
		bad_model(m, "%lld query heads are not a multiple of %lld key heads", (long long)l->hq,
			  (long long)l->hkv);
	else if (l->gated != (decay != 0))
		bad_model(m, "update_rule \"%s\" %s the decay input", rule, l->gated ? "needs" : "forbids");
	else if (l->delta != (beta != 0))
		bad_model(m, "update_rule \"%s\" %s the beta input", rule, l->delta ? "needs" : "forbids");
	else if (ms && ftl_imp_i(m, "state_window", 0) != 0)
		unsupported(m, "a state_window is not supported; export the model without speculative decoding");
	return !m->failed;
}

void ftl_imp_do_linear_attention(imp *m)
{
	ftl_val q = ftl_imp_need(m, 0), k = ftl_imp_need(m, 1), v = ftl_imp_need(m, 2), past = ftl_imp_in(m, 3),
		decay = ftl_imp_in(m, 4), beta = ftl_imp_in(m, 5), in[5], slice[5], y[2], out[2], state;
	ftl_dtype t = dtype_of(m, q), ts = past ? dtype_of(m, past) : t;
	double scale = ftl_imp_f(m, "scale", 0);
	ftl_dim d[4], flat[3];
	uint32_t n = 3;
	int64_t one;
	linear l = {0};
	imp_scan s;

	if (!settings(m, &l, decay, beta))
		return;
	q = heads(m, q, l.hq);
	in[1] = heads(m, k, l.hkv);
	in[2] = heads(m, v, l.hkv);
	l.b = ftl_imp_dim(m, q, 0);
	l.t = ftl_imp_dim(m, q, 1);
	if (scale == 0)
		scale = 1 / sqrt((double)ftl_imp_const_dim(m, q, 3, "the head size"));
	in[0] = group_queries(m, &l, e_mulf(m, q, scale));
	if (l.gated) /* one number per head, or one per key dimension */
		in[n++] = op1(m, FTL_OP_exp, heads(m, decay, l.hkv));
	if (l.delta) {
		flat[0] = l.b;
		flat[1] = l.t;
		flat[2] = ftl_imp_dim(m, beta, 2);
		in[n++] = ftl_imp_unsqueeze(m, ftl_imp_cast(m, ftl_imp_reshape(m, beta, 3, flat), FTL_F32), 3);
	}
	if (m->failed)
		return;
	d[0] = l.b;
	d[1] = dim_c(m, l.hkv);
	d[2] = ftl_imp_dim(m, in[1], 3);
	d[3] = ftl_imp_dim(m, in[2], 3);
	if (past) {
		ftl_imp_want_rank(m, past, 4, 4, "past_state");
		state = ftl_imp_cast(m, past, FTL_F32);
	} else {
		state = ftl_imp_expand(m, ftl_imp_scalar(m, FTL_F32, 0), 4, d);
	}
	if (ftl_dim_is_const(m->st, l.t, &one) && one == 1) { /* decoding needs no loop */
		for (uint32_t i = 0; i < n; i++)
			slice[i] = ftl_imp_squeeze(m, in[i], 1);
		out[0] = state;
		out[1] = step(m, &l, slice, &out[0]);
	} else {
		ftl_imp_scan_open(m, &s, 1, 1, &state, n, in, 1, &y[0], slice);
		y[1] = step(m, &l, slice, &y[0]);
		ftl_imp_scan_close(m, &s, y, out);
	}
	if (m->failed)
		return;
	flat[0] = l.b;
	flat[1] = l.t;
	flat[2] = ftl_dim_mul(m->st, dim_c(m, l.hq > l.hkv ? l.hq : l.hkv), d[3]);
	ftl_imp_out(m, 0, ftl_imp_cast(m, ftl_imp_reshape(m, out[1], 3, flat), t));
	ftl_imp_out(m, 1, ftl_imp_cast(m, out[0], ts));
}

/* ---- CausalConvWithState ---- */

/* [b, t, ...] <-> [b, c, t] for channels that come last, in any number of axes */
static ftl_val channels_first(imp *m, ftl_val x, ftl_dim channels)
{
	static const int perm[] = {0, 2, 1};
	ftl_dim d[3] = {ftl_imp_dim(m, x, 0), ftl_imp_dim(m, x, 1), channels};

	return ftl_imp_transpose(m, ftl_imp_reshape(m, x, 3, d), perm);
}

static ftl_val channels_last(imp *m, ftl_val x, ftl_val like)
{
	static const int perm[] = {0, 2, 1};
	const ftl_type *t = ftl_imp_type(m, like);
	ftl_dim d[FTL_MAX_RANK];

	x = ftl_imp_transpose(m, x, perm);
	for (int i = 0; i < t->rank; i++)
		d[i] = i < 2 ? ftl_imp_dim(m, x, i) : t->dims[i];
	return m->failed ? 0 : ftl_imp_reshape(m, x, t->rank, d);
}

/* The past, or zeros, before the input; a convolution of every channel on its own; the end is the next past. */
void ftl_imp_do_causal_conv(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), w = ftl_imp_need(m, 1), bias = ftl_imp_in(m, 2), past = ftl_imp_in(m, 3), y,
		all, in = x;
	const char *act = ftl_imp_s(m, "activation", "none");
	bool last = ftl_imp_i(m, "channels_last", 0) != 0;
	int64_t dilation = ftl_imp_i(m, "dilation", 1), k = ftl_imp_const_dim(m, w, 2, "the kernel size"), keep,
		c = ftl_imp_const_dim(m, w, 0, "the number of channels"), one = 1;
	struct ftl_attrs_conv *a = NEW_ATTRS(m, conv);
	ftl_dim zero = dim_c(m, 0), d[3], two[2] = {zero, zero};

	ftl_imp_want_rank(m, w, 3, 3, "the weight");
	if (!m->failed && (ftl_imp_i(m, "ndim", 1) != 1 || ftl_imp_i(m, "state_window", 0) != 0 ||
			   ftl_imp_i(m, "state_update_capacity", 0) != 0 || ftl_imp_i(m, "state_length", 0) != 0 ||
			   ftl_imp_i(m, "state_channels_last", -1) != -1 || ftl_imp_i(m, "input_channels", 0) != 0 ||
			   ftl_imp_i(m, "input_channel_offset", 0) != 0))
		unsupported(m, "only one spatial axis and a state of one position are supported");
	if (!m->failed && (k < 1 || c < 1 || dilation < 1 || dilation > 1 << 20 || k > 1 << 20))
		bad_model(m, "the kernel, the channels or the dilation make no sense");
	if (!m->failed && strcmp(act, "none") && strcmp(act, "silu") && strcmp(act, "swish"))
		bad_model(m, "activation \"%s\" does not exist", act);
	if (m->failed)
		return;
	keep = (k - 1) * dilation;
	if (last) {
		x = channels_first(m, x, dim_c(m, c));
		past = past ? channels_first(m, past, dim_c(m, c)) : 0;
	}
	ftl_imp_want_rank(m, x, 3, 3, "the input");
	if (m->failed)
		return;
	d[0] = ftl_imp_dim(m, x, 0);
	d[1] = dim_c(m, c);
	d[2] = dim_c(m, keep);
	all = x;
	if (keep) {
		if (!past)
			past = ftl_imp_expand(m, e_num(m, x, 0), 3, d);
		all = ftl_imp_concat(m, 2, 2, (const ftl_val[]){past, x});
	}
	a->strides = ftl_imp_ints_copy(m, 1, &one);
	a->dilations = ftl_imp_ints_copy(m, 1, &dilation);
	a->pads = ftl_imp_dims_copy(m, 2, two);
	a->group = c;
	y = ftl_imp_op(m, FTL_OP_conv, a, bias ? 3 : 2, (const ftl_val[]){all, w, bias});
	if (strcmp(act, "none"))
		y = op1(m, FTL_OP_silu, y);
	all = ftl_imp_slice(m, all, 2, ftl_imp_dim(m, x, 2), d[2]);
	if (last) {
		y = channels_last(m, y, in);
		all = channels_last(m, all, in);
	}
	ftl_imp_out(m, 0, y);
	ftl_imp_out(m, 1, all);
}
