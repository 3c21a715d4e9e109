/* com.microsoft: Attention, MultiHeadAttention and their packed forms, as ONNX Runtime's CPU kernels
 * compute them. Masks are additive with mask_filter_value, so a fully masked row attends everywhere alike. */
#include <math.h>

#include "attention.h"

/* 0 where true, value elsewhere */
ftl_val ftl_imp_penalty(imp *m, ftl_val allowed, ftl_dtype t, double value)
{
	return e_where(m, allowed, ftl_imp_scalar(m, t, 0), ftl_imp_scalar(m, t, value));
}

/* The lowest number takes the place of the mask's own penalty where a key lies ahead. */
static ftl_val hide_future(imp *m, ftl_val bias, ftl_val ok, ftl_dtype t)
{
	return e_where(m, ok, bias ? bias : ftl_imp_scalar(m, t, 0), ftl_imp_scalar(m, t, ftl_imp_lowest(t)));
}

/* May query i read key j? Causally so; but ONNX Runtime lets the last query read all keys, which shows where there are
 * more of them than queries. */
static ftl_val causal(imp *m, ftl_dim nq, ftl_dim nkv, ftl_dim np)
{
	ftl_dim col[2] = {nq, dim_c(m, 1)}, last = ftl_dim_sub(m->st, nq, dim_c(m, 1));
	ftl_val ok = ftl_imp_causal(m, nq, nkv, np), i;

	if (m->failed || ftl_dim_known_eq(m->st, nkv, ftl_dim_add(m->st, nq, np)) == 1)
		return ok;
	i = ftl_imp_reshape(m, ftl_imp_range(m, nq, FTL_I64), 2, col);
	return op2(m, FTL_OP_or, ok, op2(m, FTL_OP_eq, i, ftl_imp_dim_scalar(m, last, FTL_I64)));
}

/* mask[n]: n = b has the ends, n = 2b ends and then starts, n = 3b + 2 begins with the ends. Where n is not known to be
 * one of them, that is decided by the run. */
static ftl_val mask_of_lengths(imp *m, ftl_val mask, ftl_dim b, ftl_val j)
{
	ftl_dim n = ftl_imp_dim(m, mask, 0), one = dim_c(m, 1), col[4] = {b, one, one, one}, b2;
	ftl_val ok, begin, i;
	int two;

	b2 = ftl_dim_mul(m->st, b, dim_c(m, 2));
	two = ftl_dim_known_eq(m->st, n, b2);
	if (ftl_dim_known_eq(m->st, n, b) == 1)
		return op2(m, FTL_OP_lt, j, ftl_imp_reshape(m, mask, 4, col));
	ok = op2(m, FTL_OP_lt, j, ftl_imp_reshape(m, ftl_imp_slice(m, mask, 0, dim_c(m, 0), b), 4, col));
	if (two == 0)
		return ok;
	if (two == 1) {
		begin = ftl_imp_slice(m, mask, 0, b, b);
	} else {
		i = op2(m, FTL_OP_min, e_add(m, ftl_imp_range(m, b, FTL_I64), ftl_imp_dim_scalar(m, b, FTL_I64)),
			ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, n, one), FTL_I64));
		begin = e_where(
			m, op2(m, FTL_OP_eq, ftl_imp_dim_scalar(m, n, FTL_I64), ftl_imp_dim_scalar(m, b2, FTL_I64)),
			ftl_imp_gather(m, mask, i, 0), e_num(m, mask, 0));
	}
	return op2(m, FTL_OP_and, ok, op2(m, FTL_OP_ge, j, ftl_imp_reshape(m, begin, 4, col)));
}

/* The forms a mask comes in: numbers that say where the keys of a row begin and end, keys [b, kv], queries and keys
 * [b, q, kv], or [b, 1, max, max] with a row and a column for every token there can be. */
static ftl_val mask_bias(imp *m, ftl_val mask, ftl_dim b, ftl_dim past, ftl_dim nq, ftl_dim kv, ftl_dtype t,
			 double value)
{
	ftl_dim one = dim_c(m, 1), four[4] = {b, one, one, kv};
	int r = rank_of(m, mask);
	ftl_val ok;

	if (m->failed)
		return 0;
	mask = ftl_imp_cast(m, mask, FTL_I32);
	if (r == 1) {
		ok = mask_of_lengths(m, mask, b, ftl_imp_range(m, kv, FTL_I32));
	} else if (r == 2) {
		four[0] = ftl_imp_dim(m, mask, 0);
		four[3] = ftl_imp_dim(m, mask, 1);
		ok = op2(m, FTL_OP_gt, ftl_imp_reshape(m, mask, 4, four), ftl_imp_scalar(m, FTL_I32, 0));
	} else if (r == 3) {
		ok = op2(m, FTL_OP_gt, ftl_imp_unsqueeze(m, mask, 1), ftl_imp_scalar(m, FTL_I32, 0));
	} else {
		ftl_imp_want_rank(m, mask, 4, 4, "the mask");
		mask = ftl_imp_slice(m, mask, 2, past, nq);
		mask = ftl_imp_slice(m, mask, 3, dim_c(m, 0), kv);
		ok = op2(m, FTL_OP_gt, mask, ftl_imp_scalar(m, FTL_I32, 0));
	}
	return ftl_imp_penalty(m, ok, t, value);
}

/* [b, s, parts of q, k, v] apart; sizes in `hidden`. */
ftl_val ftl_imp_part(imp *m, ftl_val x, int64_t from, int64_t size)
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

/* Angles of base 10000, halves of the first rotary_embedding_dim elements turned against each other. */
static ftl_val rotate_neox(imp *m, ftl_val x, ftl_dim past)
{
	int64_t r = ftl_imp_i(m, "rotary_embedding_dim", 0), half;
	ftl_dim col[2] = {ftl_imp_dim(m, x, 2), dim_c(m, 1)};
	ftl_val pos, freq, angle;
	float *f;

	if (r == 0)
		r = ftl_imp_const_dim(m, x, 3, "the head size");
	if (!m->failed && (r <= 0 || r % 2 || r > 1 << 20))
		bad_model(m, "a rotary size of %lld makes no sense", (long long)r);
	if (m->failed)
		return 0;
	half = r / 2;
	f = FTL_NEW_N(m->tmp, float, (size_t)half);
	for (int64_t i = 0; i < half; i++)
		f[i] = (float)pow(10000, -2.0 * (double)i / (double)r);
	freq = ftl_imp_bytes(m, FTL_F32, 1, &half, f);
	pos = e_add(m, ftl_imp_range(m, col[0], FTL_I64), ftl_imp_dim_scalar(m, past, FTL_I64));
	angle = e_mul(m, ftl_imp_reshape(m, ftl_imp_cast(m, pos, FTL_F32), 2, col), freq);
	return ftl_imp_rope(m, x, ftl_imp_cast(m, op1(m, FTL_OP_cos, angle), dtype_of(m, x)),
			    ftl_imp_cast(m, op1(m, FTL_OP_sin, angle), dtype_of(m, x)), (int)r, false);
}

void ftl_imp_do_ms_attention(imp *m)
{
	bool quantized = !strcmp(m->cur->row->name, "QAttention");
	ftl_val x = ftl_imp_need(m, 0), w = ftl_imp_need(m, 1), bias = quantized ? 0 : ftl_imp_in(m, 2),
		mask = ftl_imp_in(m, quantized ? 5 : 3), past = ftl_imp_in(m, quantized ? 8 : 4),
		extra = quantized ? 0 : ftl_imp_in(m, 5), k, v, y;
	int64_t heads = ftl_imp_i(m, "num_heads", 0), width[3];
	double filter = ftl_imp_f(m, "mask_filter_value", -10000);
	imp_attention a = {.scale = ftl_imp_f(m, "scale", 0)};
	ftl_ints sizes = ftl_imp_ints(m, "qkv_hidden_sizes");
	ftl_dtype t = dtype_of(m, quantized ? ftl_imp_need(m, 2) : x);
	ftl_dim nq, nkv, np = dim_c(m, 0);

	ftl_imp_want_rank(m, x, 3, 3, "the input");
	if (sizes.n && sizes.n != 3 && !m->failed)
		bad_model(m, "qkv_hidden_sizes has %u entries, needs 3", sizes.n);
	for (int i = 0; i < 3 && !m->failed; i++)
		width[i] = sizes.n ? sizes.v[i] : ftl_imp_const_dim(m, w, 1, "the weight's size") / 3;
	x = quantized ? ftl_imp_quantized_projection(m) : ftl_imp_matmul(m, x, w, false, false, 1);
	x = ftl_imp_sum(m, x, bias);
	if (m->failed)
		return;
	a.q = ftl_imp_split_heads(m, ftl_imp_part(m, x, 0, width[0]), heads);
	k = ftl_imp_split_heads(m, ftl_imp_part(m, x, width[0], width[1]), heads);
	v = ftl_imp_split_heads(m, ftl_imp_part(m, x, width[0] + width[1], width[2]), heads);
	if (ftl_imp_i(m, "past_present_share_buffer", 0) != 0) {
		unsupported(
			m,
			"past_present_share_buffer is not supported; export with past and present of their own size");
		return;
	}
	if (past)
		np = ftl_imp_dim(m, past, 3);
	if (ftl_imp_i(m, "do_rotary", 0) != 0) {
		a.q = rotate_neox(m, a.q, np);
		k = rotate_neox(m, k, np);
	}
	with_past(m, past, &k, &v);
	if (ftl_imp_wants(m, 1)) {
		ftl_val both[2] = {ftl_imp_unsqueeze(m, k, 0), ftl_imp_unsqueeze(m, v, 0)};
		ftl_imp_out(m, 1, ftl_imp_concat(m, 0, 2, both));
	}
	nq = ftl_imp_dim(m, a.q, 2);
	nkv = ftl_imp_dim(m, k, 2);
	if (mask)
		a.bias = mask_bias(m, mask, ftl_imp_dim(m, a.q, 0), np, nq, nkv, t, filter);
	if (ftl_imp_i(m, "unidirectional", 0) != 0)
		a.bias = hide_future(m, a.bias, causal(m, nq, nkv, np), t);
	a.bias = ftl_imp_sum(m, a.bias, extra);
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
	return e_add(m, x, ftl_imp_reshape(m, ftl_imp_part(m, bias, from, size), 3, d));
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
	ftl_dim np = dim_c(m, 0), nq, nkv;

	if (m->failed)
		return;
	if (ftl_imp_in(m, 8) || ftl_imp_in(m, 9)) {
		unsupported(
			m,
			"a past in a shared buffer is not supported; export with past and present of their own size");
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
	nq = ftl_imp_dim(m, q, 2);
	nkv = ftl_imp_dim(m, k, 2);
	if (m->failed)
		return;
	if (mask)
		a.bias = mask_bias(m, mask, ftl_imp_dim(m, q, 0), np, nq, nkv, t,
				   ftl_imp_f(m, "mask_filter_value", -10000));
	if (ftl_imp_i(m, "unidirectional", 0) != 0)
		a.bias = hide_future(m, a.bias, causal(m, nq, nkv, np), t);
	a.bias = ftl_imp_sum(m, a.bias, extra);
	a.q = q;
	a.k = k;
	a.v = v;
	y = ftl_imp_attend(m, &a);
	ftl_imp_out(m, 0, ftl_imp_merge_heads(m, y));
	ftl_imp_out(m, 3, a.biased);
}
