/* Attention and rotary embeddings of ai.onnx (opset 23 on), written out in the shape passes look for:
 * softmax(scale * q k^T + bias) v over [batch, heads, length, size]. */
#include <math.h>

#include "attention.h"

ftl_val ftl_imp_split_heads(imp *m, ftl_val x, int64_t heads)
{
	static const int perm[] = {0, 2, 1, 3};
	ftl_dim d[4];

	ftl_imp_want_rank(m, x, 3, 3, "an input with heads to split");
	if (!m->failed && heads <= 0)
		bad_model(m, "%lld heads make no sense", (long long)heads);
	if (m->failed)
		return 0;
	d[0] = ftl_imp_dim(m, x, 0);
	d[1] = ftl_imp_dim(m, x, 1);
	d[2] = dim_c(m, heads);
	d[3] = ftl_dim_div(m->st, ftl_imp_dim(m, x, 2), d[2]);
	return ftl_imp_transpose(m, ftl_imp_reshape(m, x, 4, d), perm);
}

ftl_val ftl_imp_merge_heads(imp *m, ftl_val x)
{
	static const int perm[] = {0, 2, 1, 3};
	ftl_dim d[3];

	x = ftl_imp_transpose(m, x, perm);
	if (m->failed)
		return 0;
	d[0] = ftl_imp_dim(m, x, 0);
	d[1] = ftl_imp_dim(m, x, 1);
	d[2] = ftl_dim_mul(m->st, ftl_imp_dim(m, x, 2), ftl_imp_dim(m, x, 3));
	return ftl_imp_reshape(m, x, 3, d);
}

/* Query heads that share a key head are more rows of it: a view, [b, h, s, n] <-> [b, h / group, group * s, n]. */
static ftl_val group_rows(imp *m, ftl_val x, int64_t group)
{
	ftl_dim d[4];

	if (group == 1 || m->failed)
		return x;
	for (int i = 0; i < 4; i++)
		d[i] = ftl_imp_dim(m, x, i);
	d[1] = ftl_dim_div(m->st, d[1], dim_c(m, group));
	d[2] = ftl_dim_mul(m->st, d[2], dim_c(m, group));
	return ftl_imp_reshape(m, x, 4, d);
}

static ftl_val ungroup_rows(imp *m, ftl_val x, ftl_val like, int64_t group)
{
	ftl_dim d[4];

	if (group == 1 || m->failed)
		return x;
	for (int i = 0; i < 4; i++)
		d[i] = ftl_imp_dim(m, i < 3 ? like : x, i);
	return ftl_imp_reshape(m, x, 4, d);
}

static int64_t group_size(imp *m, ftl_val q, ftl_val k)
{
	int64_t hq = ftl_imp_const_dim(m, q, 1, "the number of heads"),
		hk = ftl_imp_const_dim(m, k, 1, "the number of heads");

	if (!m->failed && (hk <= 0 || hq % hk))
		bad_model(m, "%lld query heads are not a multiple of %lld key heads", (long long)hq, (long long)hk);
	return m->failed ? 1 : hq / hk;
}

/* sink [h] or a number -> [b, h, q, 1] */
static ftl_val sink_column(imp *m, ftl_val sink, ftl_val scores)
{
	ftl_dim d[4], col[3];

	if (m->failed)
		return 0;
	for (int i = 0; i < 4; i++)
		d[i] = i < 3 ? ftl_imp_dim(m, scores, i) : dim_c(m, 1);
	col[0] = d[1];
	col[1] = col[2] = d[3];
	sink = ftl_imp_cast(m, sink, dtype_of(m, scores));
	return ftl_imp_expand(m, rank_of(m, sink) ? ftl_imp_reshape(m, sink, 3, col) : sink, 4, d);
}

static ftl_val modified(imp *m, ftl_val x, const Onnx__GraphProto *mod)
{
	ftl_val y;

	if (!mod || m->failed)
		return x;
	if (mod->n_input != 1 || mod->n_output != 1) {
		bad_model(m, "a score or probability subgraph must have one input and one output");
		return 0;
	}
	ftl_imp_call_graph(m, mod, &x, &y);
	if (!m->failed && (dtype_of(m, y) != dtype_of(m, x) || rank_of(m, y) != 4))
		bad_model(m, "a score or probability subgraph must keep the type of its input");
	return y;
}

ftl_val ftl_imp_attend(imp *m, imp_attention *a)
{
	ftl_dtype t = dtype_of(m, a->q);
	ftl_val y, s, top = 0, v = a->v;
	int64_t last = 3, group, vgroup;
	double scale = a->scale;

	if (m->failed)
		return 0;
	if (scale == 0)
		scale = 1 / sqrt((double)ftl_imp_const_dim(m, a->q, 3, "the head size"));
	group = group_size(m, a->q, a->k);
	vgroup = group_size(m, a->q, a->v);
	s = ftl_imp_matmul(m, group_rows(m, a->q, group), a->k, false, true, scale);
	s = a->scores = ungroup_rows(m, s, a->q, group);
	if (a->softcap > 0)
		s = e_mulf(m, op1(m, FTL_OP_tanh, e_mulf(m, s, 1 / a->softcap)), a->softcap);
	a->capped = s;
	if (a->bias)
		s = e_add(m, s, a->bias);
	a->biased = s;
	if (a->softmax != FTL_NO_DTYPE)
		s = ftl_imp_cast(m, s, a->softmax);
	s = modified(m, s, a->score_mod);
	if (a->sink) /* one more column that takes its share of the sum and is dropped */
		s = ftl_imp_concat(m, 3, 2, (const ftl_val[]){s, sink_column(m, a->sink, s)});
	s = ftl_imp_softmax(m, s, 3);
	if (a->sink && !m->failed)
		s = ftl_imp_slice(m, s, 3, dim_c(m, 0), ftl_imp_dim(m, a->scores, 3));
	s = modified(m, s, a->prob_mod);
	if (a->wide)
		v = ftl_imp_cast(m, v, dtype_of(m, s));
	else
		s = ftl_imp_cast(m, s, t);
	a->weights = s;
	y = ungroup_rows(m, ftl_imp_matmul(m, group_rows(m, s, vgroup), v, false, false, 1), a->q, vgroup);
	y = ftl_imp_cast(m, y, t);
	if (a->bias && a->zero_masked && !m->failed) {
		/* the bias's own rows tell: what softmax made of such a row may be anything */
		int r = rank_of(m, a->bias);
		last = r - 1;
		top = ftl_imp_reduce(m, FTL_OP_reduce_max, a->bias, 1, &last, true);
		top = op2(m, FTL_OP_eq, top, e_num(m, top, -INFINITY));
		y = e_where(m, top, e_num(m, y, 0), y);
		a->weights = e_where(m, top, e_num(m, s, 0), s);
	}
	return y;
}

ftl_val ftl_imp_causal(imp *m, ftl_dim q, ftl_dim kv, ftl_dim past)
{
	ftl_dim col[2] = {q, dim_c(m, 1)};
	ftl_val i = ftl_imp_range(m, q, FTL_I64), j = ftl_imp_range(m, kv, FTL_I64);
	int64_t c;

	if (!ftl_dim_is_const(m->st, past, &c) || c != 0)
		i = e_add(m, i, ftl_imp_dim_scalar(m, past, FTL_I64));
	return op2(m, FTL_OP_le, j, ftl_imp_reshape(m, i, 2, col));
}

/* 0 where true, -inf elsewhere */
static ftl_val additive(imp *m, ftl_val allowed, ftl_dtype t)
{
	return e_where(m, allowed, ftl_imp_scalar(m, t, 0), ftl_imp_scalar(m, t, -INFINITY));
}

static ftl_val sum(imp *m, ftl_val a, ftl_val b)
{
	return !a ? b : !b ? a : e_add(m, a, b);
}

/* The mask may have fewer keys than there are: the rest is masked. */
static ftl_val pad_mask(imp *m, ftl_val mask, ftl_dim kv)
{
	int r = rank_of(m, mask);
	ftl_dim have = ftl_imp_dim(m, mask, -1), pads[2] = {dim_c(m, 0), ftl_dim_sub(m->st, kv, have)};
	struct ftl_attrs_pad *a;
	int64_t one, last = r - 1;

	/* 1 broadcasts; sizes not known to differ are taken to be equal */
	if (m->failed || ftl_dim_known_lt(m->st, have, kv) != 1 || (ftl_dim_is_const(m->st, have, &one) && one == 1))
		return mask;
	a = NEW_ATTRS(m, pad);
	a->axes = ftl_imp_ints_copy(m, 1, &last);
	a->pads = ftl_imp_dims_copy(m, 2, pads);
	return ftl_imp_op(m, FTL_OP_pad, a, 2,
			  (const ftl_val[]){mask, ftl_imp_scalar(m, dtype_of(m, mask), -INFINITY)});
}

void ftl_imp_do_attention(imp *m)
{
	ftl_val q = ftl_imp_need(m, 0), k = ftl_imp_need(m, 1), v = ftl_imp_need(m, 2), mask = ftl_imp_in(m, 3),
		pk = ftl_imp_in(m, 4), pv = ftl_imp_in(m, 5), len = ftl_imp_in(m, 6), y;
	imp_attention a = {.scale = ftl_imp_f(m, "scale", 0), .softcap = ftl_imp_f(m, "softcap", 0)};
	int64_t mode = ftl_imp_i(m, "qk_matmul_output_mode", 0), left = ftl_imp_i(m, "left_window_size", -1),
		right = ftl_imp_i(m, "right_window_size", -1);
	bool flat = rank_of(m, q) == 3, causal = ftl_imp_i(m, "is_causal", 0) != 0;
	ftl_dim nq, nkv, past = dim_c(m, 0), row[4], col[2];
	ftl_dtype t = dtype_of(m, q);

	ftl_imp_want_rank(m, q, 3, 4, "Q");
	if (m->failed)
		return;
	if (!pk != !pv || (len && pk)) {
		bad_model(m, "needs both past_key and past_value, or neither, and no nonpad_kv_seqlen with them");
		return;
	}
	if (flat) {
		q = ftl_imp_split_heads(m, q, ftl_imp_i(m, "q_num_heads", 0));
		k = ftl_imp_split_heads(m, k, ftl_imp_i(m, "kv_num_heads", 0));
		v = ftl_imp_split_heads(m, v, ftl_imp_i(m, "kv_num_heads", 0));
	}
	if (pk) {
		past = ftl_imp_dim(m, pk, 2);
		k = ftl_imp_concat(m, 2, 2, (const ftl_val[]){pk, k});
		v = ftl_imp_concat(m, 2, 2, (const ftl_val[]){pv, v});
	}
	ftl_imp_out(m, 1, k);
	ftl_imp_out(m, 2, v);
	nq = ftl_imp_dim(m, q, 2);
	nkv = ftl_imp_dim(m, k, 2);
	if (m->failed)
		return;
	if (mask) {
		a.zero_masked = true;
		a.bias = pad_mask(m, dtype_of(m, mask) == FTL_BOOL ? additive(m, mask, t) : mask, nkv);
	}
	if (left >= 0 || right >= 0) /* a window may lie beside all keys */
		a.zero_masked = true;
	if (causal || left >= 0 || right >= 0) {
		/* distance of key j from the last key query i follows: j - (i + offset) */
		ftl_val i = ftl_imp_range(m, nq, FTL_I64), j = ftl_imp_range(m, nkv, FTL_I64), ok = 0, dist;
		col[0] = nq;
		col[1] = dim_c(m, 1);
		i = e_add(m, ftl_imp_reshape(m, i, 2, col), ftl_imp_dim_scalar(m, past, FTL_I64));
		if (len) { /* the offset of each batch: its length - queries */
			row[0] = ftl_imp_dim(m, len, 0);
			row[1] = row[2] = row[3] = dim_c(m, 1);
			a.zero_masked = true;
			i = e_add(m, i,
				  e_sub(m, ftl_imp_reshape(m, ftl_imp_cast(m, len, FTL_I64), 4, row),
					ftl_imp_dim_scalar(m, nq, FTL_I64)));
		}
		dist = e_sub(m, j, i);
		if (causal)
			ok = op2(m, FTL_OP_le, dist, e_num(m, dist, 0));
		if (left >= 0) {
			ftl_val near = op2(m, FTL_OP_ge, dist, e_num(m, dist, -(double)left));
			ok = ok ? op2(m, FTL_OP_and, ok, near) : near;
		}
		if (right >= 0) {
			ftl_val near = op2(m, FTL_OP_le, dist, e_num(m, dist, (double)right));
			ok = ok ? op2(m, FTL_OP_and, ok, near) : near;
		}
		a.bias = sum(m, a.bias, additive(m, ok, t));
	}
	if (len) { /* keys beyond a batch's length are padding */
		row[0] = ftl_imp_dim(m, len, 0);
		row[1] = row[2] = row[3] = dim_c(m, 1);
		ftl_val n = ftl_imp_reshape(m, ftl_imp_cast(m, len, FTL_I64), 4, row);
		a.zero_masked = true;
		a.bias = sum(m, a.bias, additive(m, op2(m, FTL_OP_lt, ftl_imp_range(m, nkv, FTL_I64), n), t));
	}
	a.q = q;
	a.k = k;
	a.v = v;
	a.softmax = ftl_imp_dtype(m, "softmax_precision", FTL_NO_DTYPE);
	y = ftl_imp_attend(m, &a);
	ftl_imp_out(m, 0, flat ? ftl_imp_merge_heads(m, y) : y);
	ftl_imp_out(m, 3, mode == 0 ? a.scores : mode == 1 ? a.capped : mode == 2 ? a.biased : a.weights);
}

/* ---- FlexAttention ---- */

/* Softmax, the subgraphs around it and the product with the values are in softmax_precision: f32 or better, unless the
 * model asks for less. */
void ftl_imp_do_flex_attention(imp *m)
{
	imp_attention a = {.q = ftl_imp_need(m, 0),
			   .k = ftl_imp_need(m, 1),
			   .v = ftl_imp_need(m, 2),
			   .scale = ftl_imp_f(m, "scale", 0),
			   .wide = true};
	ftl_dtype t = dtype_of(m, a.q);

	if (ftl_imp_has(m, "score_mod"))
		a.score_mod = ftl_imp_subgraph(m, "score_mod");
	if (ftl_imp_has(m, "prob_mod"))
		a.prob_mod = ftl_imp_subgraph(m, "prob_mod");
	a.softmax = ftl_imp_dtype(m, "softmax_precision", t == FTL_F64 ? FTL_F64 : FTL_F32);
	ftl_imp_want_rank(m, a.q, 4, 4, "Q");
	ftl_imp_want_rank(m, a.k, 4, 4, "K");
	ftl_imp_want_rank(m, a.v, 4, 4, "V");
	ftl_imp_out(m, 0, ftl_imp_attend(m, &a));
}
