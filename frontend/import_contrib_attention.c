/* com.microsoft: Attention, MultiHeadAttention, GroupQueryAttention, RotaryEmbedding, as ONNX Runtime's CPU kernels
 * compute them. Masks are additive with mask_filter_value, so a fully masked row attends everywhere alike. */
#include <math.h>

#include "attention.h"

static ftl_val sum(imp *m, ftl_val a, ftl_val b)
{
	return !a ? b : !b ? a : e_add(m, a, b);
}

/* 0 where true, value elsewhere */
static ftl_val penalty(imp *m, ftl_val allowed, ftl_dtype t, double value)
{
	return e_where(m, allowed, ftl_imp_scalar(m, t, 0), ftl_imp_scalar(m, t, value));
}

static double lowest(ftl_dtype t)
{
	return t == FTL_F16 ? -65504.0 : t == FTL_F64 ? -1.7976931348623157e308 : -3.4028234663852886e38;
}

/* The lowest number takes the place of the mask's own penalty where a key lies ahead. */
static ftl_val hide_future(imp *m, ftl_val bias, ftl_val ok, ftl_dtype t)
{
	return e_where(m, ok, bias ? bias : ftl_imp_scalar(m, t, 0), ftl_imp_scalar(m, t, lowest(t)));
}

/* The forms a mask comes in: lengths [b], ends and starts [2b], keys [b, kv], queries and keys [b, q, kv]. */
static ftl_val mask_bias(imp *m, ftl_val mask, ftl_dim b, ftl_dim kv, ftl_dtype t, double value)
{
	ftl_val j = ftl_imp_range(m, kv, FTL_I32), ok;
	ftl_dim one = dim_c(m, 1), four[4] = {b, one, one, kv};
	int r = rank_of(m, mask);

	if (m->failed)
		return 0;
	mask = ftl_imp_cast(m, mask, FTL_I32);
	if (r == 1) {
		ftl_dim n = ftl_imp_dim(m, mask, 0), col[4] = {b, one, one, one};
		int two = ftl_dim_known_eq(m->st, n, ftl_dim_mul(m->st, b, dim_c(m, 2)));
		int single = ftl_dim_known_eq(m->st, n, b);
		/* an unrelated symbol is the batch again */
		if (single == 0 && two != 1) {
			unsupported(m, "this form of a one-dimensional mask is not supported");
			return 0;
		}
		if (two != 1 || single == 1) {
			ok = op2(m, FTL_OP_lt, j, ftl_imp_reshape(m, mask, 4, col));
		} else {
			ftl_val end = ftl_imp_slice(m, mask, 0, dim_c(m, 0), b),
				begin = ftl_imp_slice(m, mask, 0, b, b);
			ok = op2(m, FTL_OP_and, op2(m, FTL_OP_lt, j, ftl_imp_reshape(m, end, 4, col)),
				 op2(m, FTL_OP_ge, j, ftl_imp_reshape(m, begin, 4, col)));
		}
	} else if (r == 2) {
		four[0] = ftl_imp_dim(m, mask, 0);
		four[3] = ftl_imp_dim(m, mask, 1);
		ok = op2(m, FTL_OP_gt, ftl_imp_reshape(m, mask, 4, four), ftl_imp_scalar(m, FTL_I32, 0));
	} else if (r == 3) {
		ok = op2(m, FTL_OP_gt, ftl_imp_unsqueeze(m, mask, 1), ftl_imp_scalar(m, FTL_I32, 0));
	} else {
		unsupported(m, "a mask of rank %d is not supported", r);
		return 0;
	}
	return penalty(m, ok, t, value);
}

/* [b, s, parts of q, k, v] apart; sizes in `hidden`. */
static ftl_val part(imp *m, ftl_val x, int64_t from, int64_t size)
{
	return ftl_imp_slice(m, x, rank_of(m, x) - 1, dim_c(m, from), dim_c(m, size));
}

/* ---- Attention ---- */

/* past [2, b, h, p, d] with its two halves apart; the new keys and values behind them */
static void with_past(imp *m, ftl_val past, ftl_val *k, ftl_val *v)
{
	ftl_val pk, pv;

	if (!past)
		return;
	ftl_imp_want_rank(m, past, 5, 5, "past");
	pk = ftl_imp_squeeze(m, ftl_imp_slice(m, past, 0, dim_c(m, 0), dim_c(m, 1)), 0);
	pv = ftl_imp_squeeze(m, ftl_imp_slice(m, past, 0, dim_c(m, 1), dim_c(m, 1)), 0);
	*k = ftl_imp_concat(m, 2, 2, (const ftl_val[]){pk, *k});
	*v = ftl_imp_concat(m, 2, 2, (const ftl_val[]){pv, *v});
}

void ftl_imp_do_ms_attention(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), w = ftl_imp_need(m, 1), bias = ftl_imp_in(m, 2), mask = ftl_imp_in(m, 3),
		past = ftl_imp_in(m, 4), extra = ftl_imp_in(m, 5), k, v, y;
	int64_t heads = ftl_imp_i(m, "num_heads", 0), width[3];
	double filter = ftl_imp_f(m, "mask_filter_value", -10000);
	imp_attention a = {.scale = ftl_imp_f(m, "scale", 0)};
	ftl_ints sizes = ftl_imp_ints(m, "qkv_hidden_sizes");
	ftl_dtype t = dtype_of(m, x);
	ftl_dim nq, nkv, np = dim_c(m, 0);

	ftl_imp_want_rank(m, x, 3, 3, "the input");
	if (ftl_imp_i(m, "do_rotary", 0) != 0 || ftl_imp_i(m, "past_present_share_buffer", 0) != 0)
		unsupported(m, "do_rotary and past_present_share_buffer are not supported");
	if (sizes.n && sizes.n != 3 && !m->failed)
		bad_model(m, "qkv_hidden_sizes has %u entries, needs 3", sizes.n);
	for (int i = 0; i < 3 && !m->failed; i++)
		width[i] = sizes.n ? sizes.v[i] : ftl_imp_const_dim(m, w, 1, "the weight's size") / 3;
	x = ftl_imp_matmul(m, x, w, false, false, 1);
	x = sum(m, x, bias);
	if (m->failed)
		return;
	a.q = ftl_imp_split_heads(m, part(m, x, 0, width[0]), heads);
	k = ftl_imp_split_heads(m, part(m, x, width[0], width[1]), heads);
	v = ftl_imp_split_heads(m, part(m, x, width[0] + width[1], width[2]), heads);
	if (past)
		np = ftl_imp_dim(m, past, 3);
	with_past(m, past, &k, &v);
	if (ftl_imp_wants(m, 1)) {
		ftl_val both[2] = {ftl_imp_unsqueeze(m, k, 0), ftl_imp_unsqueeze(m, v, 0)};
		ftl_imp_out(m, 1, ftl_imp_concat(m, 0, 2, both));
	}
	nq = ftl_imp_dim(m, a.q, 2);
	nkv = ftl_imp_dim(m, k, 2);
	if (mask)
		a.bias = mask_bias(m, mask, ftl_imp_dim(m, a.q, 0), nkv, t, filter);
	if (ftl_imp_i(m, "unidirectional", 0) != 0)
		a.bias = hide_future(m, a.bias, ftl_imp_causal(m, nq, nkv, np), t);
	a.bias = sum(m, a.bias, extra);
	a.k = k;
	a.v = v;
	y = ftl_imp_attend(m, &a);
	ftl_imp_out(m, 0, ftl_imp_merge_heads(m, y));
}

/* ---- MultiHeadAttention ---- */

/* x [b, s, h, n, d] -> its i-th of n as [b, h, s, d] */
static ftl_val unpack(imp *m, ftl_val x, int i)
{
	static const int perm[] = {0, 2, 1, 3};

	x = ftl_imp_squeeze(m, ftl_imp_slice(m, x, 3, dim_c(m, i), dim_c(m, 1)), 3);
	return ftl_imp_transpose(m, x, perm);
}

/* bias [h * d] to x [b, h, s, d], the part from `from` on */
static ftl_val head_bias(imp *m, ftl_val x, ftl_val bias, int64_t from, int64_t size)
{
	ftl_dim d[3];

	if (!bias || m->failed)
		return x;
	d[0] = ftl_imp_dim(m, x, 1);
	d[1] = dim_c(m, 1);
	d[2] = ftl_imp_dim(m, x, 3);
	return e_add(m, x, ftl_imp_reshape(m, part(m, bias, from, size), 3, d));
}

static int64_t heads_size(imp *m, ftl_val x)
{
	return ftl_imp_const_dim(m, x, 1, "the number of heads") * ftl_imp_const_dim(m, x, 3, "the head size");
}

void ftl_imp_do_ms_multi_head_attention(imp *m)
{
	ftl_val q = ftl_imp_need(m, 0), k = ftl_imp_in(m, 1), v = ftl_imp_in(m, 2), bias = ftl_imp_in(m, 3),
		mask = ftl_imp_in(m, 4), extra = ftl_imp_in(m, 5), pk = ftl_imp_in(m, 6), pv = ftl_imp_in(m, 7), y;
	int64_t heads = ftl_imp_i(m, "num_heads", 0), wq, wv;
	imp_attention a = {.scale = ftl_imp_f(m, "scale", 0)};
	bool cross = k && rank_of(m, k) == 4; /* keys and values already by head, without bias */
	ftl_dtype t = dtype_of(m, q);
	ftl_dim np = dim_c(m, 0), nkv;

	if (m->failed)
		return;
	if (ftl_imp_in(m, 8)) {
		unsupported(m, "a past in a shared buffer is not supported");
		return;
	}
	if (rank_of(m, q) == 5) { /* q, k, v packed */
		v = unpack(m, q, 2);
		k = unpack(m, q, 1);
		q = unpack(m, q, 0);
	} else {
		q = ftl_imp_split_heads(m, q, heads);
		if (k && rank_of(m, k) == 5) {
			v = unpack(m, k, 1);
			k = unpack(m, k, 0);
		} else if (!k || !v) {
			bad_model(m, "key or value is missing");
		} else if (!cross) {
			k = ftl_imp_split_heads(m, k, heads);
			v = ftl_imp_split_heads(m, v, heads);
		}
	}
	wq = heads_size(m, q);
	wv = heads_size(m, v);
	q = head_bias(m, q, bias, 0, wq);
	if (!cross) {
		k = head_bias(m, k, bias, wq, wq);
		v = head_bias(m, v, bias, 2 * wq, wv);
	}
	if (pk && pv) {
		np = ftl_imp_dim(m, pk, 2);
		k = ftl_imp_concat(m, 2, 2, (const ftl_val[]){pk, k});
		v = ftl_imp_concat(m, 2, 2, (const ftl_val[]){pv, v});
	}
	ftl_imp_out(m, 1, k);
	ftl_imp_out(m, 2, v);
	nkv = ftl_imp_dim(m, k, 2);
	if (m->failed)
		return;
	if (mask)
		a.bias = mask_bias(m, mask, ftl_imp_dim(m, q, 0), nkv, t, ftl_imp_f(m, "mask_filter_value", -10000));
	if (ftl_imp_i(m, "unidirectional", 0) != 0)
		a.bias = hide_future(m, a.bias, ftl_imp_causal(m, ftl_imp_dim(m, q, 2), nkv, np), t);
	a.bias = sum(m, a.bias, extra);
	a.q = q;
	a.k = k;
	a.v = v;
	y = ftl_imp_attend(m, &a);
	ftl_imp_out(m, 0, ftl_imp_merge_heads(m, y));
	ftl_imp_out(m, 3, a.scores);
}

/* ---- RotaryEmbedding ---- */

/* positions: one offset for all, or one per token */
static ftl_val token_positions(imp *m, ftl_val pos, ftl_dim b, ftl_dim s)
{
	ftl_dim two[2] = {b, s};
	int64_t one;

	pos = ftl_imp_cast(m, pos, FTL_I64);
	if (rank_of(m, pos) <= 1 &&
	    (rank_of(m, pos) == 0 || (ftl_dim_is_const(m->st, ftl_imp_dim(m, pos, 0), &one) && one == 1)))
		return ftl_imp_expand(m, e_add(m, ftl_imp_range(m, s, FTL_I64), pos), 2, two);
	return pos;
}

void ftl_imp_do_ms_rotary(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), pos = ftl_imp_need(m, 1), cos = ftl_imp_need(m, 2), sin = ftl_imp_need(m, 3);
	int64_t rotary = ftl_imp_i(m, "rotary_embedding_dim", 0), heads = ftl_imp_i(m, "num_heads", 0);
	bool flat = rank_of(m, x) == 3;

	ftl_imp_want_rank(m, x, 3, 4, "the input");
	if (flat && heads == 0 && !m->failed)
		heads = ftl_imp_const_dim(m, x, 2, "the hidden size") /
			(2 * ftl_imp_const_dim(m, cos, 1, "the cache's size"));
	if (flat)
		x = ftl_imp_split_heads(m, x, heads);
	if (m->failed)
		return;
	pos = token_positions(m, pos, ftl_imp_dim(m, x, 0), ftl_imp_dim(m, x, 2));
	x = ftl_imp_rotate(m, x, cos, sin, pos, rotary, ftl_imp_i(m, "interleaved", 0) != 0);
	if (ftl_imp_has(m, "scale"))
		x = e_mulf(m, x, ftl_imp_f(m, "scale", 1));
	ftl_imp_out(m, 0, flat ? ftl_imp_merge_heads(m, x) : x);
}

/* ---- GroupQueryAttention ---- */

typedef struct gqa {
	ftl_val past;  /* i64 [b, 1]: tokens before the new ones */
	ftl_val total; /* i64 scalar: length of present */
	ftl_dim b, s;
} gqa;

/* present[b, j] = past[b, j] below past[b], then the new tokens; what lies behind is anything (never attended). */
static ftl_val present(imp *m, const gqa *g, ftl_val old, ftl_val fresh)
{
	static const int perm[] = {0, 2, 1, 3};
	ftl_dim p = old ? ftl_imp_dim(m, old, 2) : dim_c(m, 0), last;
	ftl_val all = old ? ftl_imp_concat(m, 2, 2, (const ftl_val[]){old, fresh}) : fresh, j, at;
	ftl_val rng[3] = {ftl_imp_scalar(m, FTL_I64, 0), g->total, ftl_imp_scalar(m, FTL_I64, 1)};
	struct ftl_attrs_gather_nd *a = NEW_ATTRS(m, gather_nd);

	last = ftl_dim_sub(m->st, ftl_dim_add(m->st, p, g->s), dim_c(m, 1));
	j = ftl_imp_op(m, FTL_OP_range, NULL, 3, rng);
	/* j < past: j; else p + (j - past), within what there is */
	at = e_add(m, e_sub(m, j, g->past), ftl_imp_dim_scalar(m, p, FTL_I64));
	at = e_where(m, op2(m, FTL_OP_lt, j, g->past), j, at);
	at = op2(m, FTL_OP_min, at, ftl_imp_dim_scalar(m, last, FTL_I64));
	a->batch_dims = 1;
	all = ftl_imp_op(m, FTL_OP_gather_nd, a, 2,
			 (const ftl_val[]){ftl_imp_transpose(m, all, perm), ftl_imp_unsqueeze(m, at, 2)});
	return ftl_imp_transpose(m, all, perm);
}

void ftl_imp_do_ms_group_query_attention(imp *m)
{
	ftl_val q = ftl_imp_need(m, 0), k = ftl_imp_in(m, 1), v = ftl_imp_in(m, 2), pk = ftl_imp_in(m, 3),
		pv = ftl_imp_in(m, 4), lens = ftl_imp_need(m, 5), total = ftl_imp_need(m, 6), cos = ftl_imp_in(m, 7),
		sin = ftl_imp_in(m, 8), pos = ftl_imp_in(m, 9), extra = ftl_imp_in(m, 10), y, i, j, ok;
	int64_t heads = ftl_imp_i(m, "num_heads", 0), kv = ftl_imp_i(m, "kv_num_heads", 0), d,
		window = ftl_imp_i(m, "local_window_size", -1);
	imp_attention a = {.scale = ftl_imp_f(m, "scale", 0), .softcap = ftl_imp_f(m, "softcap", 0)};
	ftl_dtype t = dtype_of(m, q);
	ftl_dim col[2], four[4];
	gqa g;

	ftl_imp_want_rank(m, q, 3, 3, "the query");
	if (!m->failed && (heads <= 0 || kv <= 0))
		bad_model(m, "num_heads and kv_num_heads must be positive");
	if (ftl_imp_i(m, "smooth_softmax", 0) > 0 || ftl_imp_in(m, 11) || ftl_imp_i(m, "qk_output", 0) > 0)
		unsupported(m, "smooth_softmax, head_sink and qk_output are not supported");
	if (m->failed)
		return;
	if (!k) { /* packed */
		d = ftl_imp_const_dim(m, q, 2, "the hidden size") / (heads + 2 * kv);
		v = part(m, q, (heads + kv) * d, kv * d);
		k = part(m, q, heads * d, kv * d);
		q = part(m, q, 0, heads * d);
	}
	q = ftl_imp_split_heads(m, q, heads);
	k = ftl_imp_split_heads(m, k, kv);
	v = ftl_imp_split_heads(m, v, kv);
	g.b = ftl_imp_dim(m, q, 0);
	g.s = ftl_imp_dim(m, q, 2);
	col[0] = g.b;
	col[1] = dim_c(m, 1);
	/* all tokens new: a prompt, padded on the right; else they follow the lens + 1 - s before them */
	total = ftl_imp_cast(m, rank_of(m, total) ? ftl_imp_reshape(m, total, 0, NULL) : total, FTL_I64);
	ftl_val s = ftl_imp_dim_scalar(m, g.s, FTL_I64), zero = ftl_imp_scalar(m, FTL_I64, 0);
	g.past = e_sub(m, e_addf(m, ftl_imp_reshape(m, ftl_imp_cast(m, lens, FTL_I64), 2, col), 1), s);
	g.past = op2(m, FTL_OP_max, e_where(m, op2(m, FTL_OP_eq, s, total), zero, g.past), zero);
	g.total = pk ? op2(m, FTL_OP_max, total, ftl_imp_dim_scalar(m, ftl_imp_dim(m, pk, 2), FTL_I64)) : total;
	if (ftl_imp_i(m, "do_rotary", 0) != 0) {
		bool inter = ftl_imp_i(m, "rotary_interleaved", 0) != 0;
		if (!cos || !sin) {
			bad_model(m, "do_rotary needs the caches");
			return;
		}
		pos = pos ? token_positions(m, pos, g.b, g.s) : e_add(m, ftl_imp_range(m, g.s, FTL_I64), g.past);
		q = ftl_imp_rotate(m, q, cos, sin, pos, 0, inter);
		k = ftl_imp_rotate(m, k, cos, sin, pos, 0, inter);
	}
	k = present(m, &g, pk, k);
	v = present(m, &g, pv, v);
	ftl_imp_out(m, 1, k);
	ftl_imp_out(m, 2, v);
	/* key j is for query i if j <= past + i, and within the window */
	four[0] = g.b;
	four[1] = four[3] = dim_c(m, 1);
	four[2] = g.s;
	ftl_dim last[4] = {g.b, four[1], four[1], four[1]};
	if (m->failed)
		return;
	i = ftl_imp_reshape(m, e_add(m, ftl_imp_range(m, g.s, FTL_I64), g.past), 4, four);
	j = ftl_imp_range(m, ftl_imp_dim(m, k, 2), FTL_I64);
	/* a padded query sees no padded keys either */
	ok = op2(m, FTL_OP_and, op2(m, FTL_OP_le, j, i),
		 op2(m, FTL_OP_le, j, ftl_imp_reshape(m, ftl_imp_cast(m, lens, FTL_I64), 4, last)));
	if (window > 0)
		ok = op2(m, FTL_OP_and, ok, op2(m, FTL_OP_gt, j, e_addf(m, i, -(double)window)));
	a.bias = sum(m, extra, penalty(m, ok, t, lowest(t)));
	a.q = q;
	a.k = k;
	a.v = v;
	y = ftl_imp_attend(m, &a);
	ftl_imp_out(m, 0, ftl_imp_merge_heads(m, y));
}
