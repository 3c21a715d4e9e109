/* com.microsoft: tokens of several sequences without padding between them (PackedAttention, PackedMultiHeadAttention,
 * RemovePadding, RestorePadding), caches of a fixed size (DecoderMaskedMultiHeadAttention, SparseAttention), and biases
 * made of positions. Padding is put back, attended to by nobody, and taken out again. */
#include <math.h>

#include "attention.h"

static ftl_val range_of(imp *m, ftl_val n)
{
	ftl_val in[3] = {ftl_imp_scalar(m, FTL_I64, 0), n, ftl_imp_scalar(m, FTL_I64, 1)};

	return ftl_imp_op(m, FTL_OP_range, NULL, 3, in);
}

static ftl_val as_scalar(imp *m, ftl_val v)
{
	return ftl_imp_cast(m, rank_of(m, v) ? ftl_imp_reshape(m, v, 0, NULL) : v, FTL_I64);
}

/* ---- packed sequences ---- */

typedef struct packed {
	ftl_dim b, s, n; /* sequences, longest, tokens */
	ftl_val starts;  /* i64 [b, 1]: the first token of each */
	ftl_val sizes;   /* i64 [b, 1] */
	ftl_val at;      /* i64 [b * s]: the token in each place, anything in padding */
	ftl_val places;  /* i64 [n]: where each token is */
} packed;

static void packing(imp *m, packed *p, ftl_val tokens, ftl_val offset, ftl_val cum)
{
	ftl_dim col[2], flat;
	ftl_val ends;

	ftl_imp_want_rank(m, offset, 2, 2, "token_offset");
	if (m->failed)
		return;
	p->b = ftl_imp_dim(m, offset, 0);
	p->s = ftl_imp_dim(m, offset, 1);
	p->n = ftl_imp_dim(m, tokens, 0);
	col[0] = p->b;
	col[1] = dim_c(m, 1);
	flat = ftl_dim_mul(m->st, p->b, p->s);
	cum = ftl_imp_cast(m, cum, FTL_I64);
	p->starts = ftl_imp_reshape(m, ftl_imp_slice(m, cum, 0, dim_c(m, 0), p->b), 2, col);
	ends = ftl_imp_reshape(m, ftl_imp_slice(m, cum, 0, dim_c(m, 1), p->b), 2, col);
	p->sizes = e_sub(m, ends, p->starts);
	p->at = op2(m, FTL_OP_min, e_add(m, p->starts, ftl_imp_range(m, p->s, FTL_I64)),
		    ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, p->n, dim_c(m, 1)), FTL_I64));
	p->at = ftl_imp_reshape(m, p->at, 1, &flat);
	p->places = ftl_imp_slice(m, ftl_imp_cast(m, ftl_imp_reshape(m, offset, 1, &flat), FTL_I64), 0, dim_c(m, 0),
				  p->n);
}

/* x [n, h * d] -> [b, h, s, d] */
static ftl_val spread(imp *m, const packed *p, ftl_val x, int64_t heads)
{
	ftl_dim d[3] = {p->b, p->s, ftl_imp_dim(m, x, -1)};

	return ftl_imp_split_heads(m, ftl_imp_reshape(m, ftl_imp_gather(m, x, p->at, 0), 3, d), heads);
}

static void attend_packed(imp *m, const packed *p, ftl_val q, ftl_val k, ftl_val v, ftl_val extra)
{
	int64_t heads = ftl_imp_i(m, "num_heads", 0);
	imp_attention a = {.scale = ftl_imp_f(m, "scale", 0)};
	ftl_dim one[4] = {p->b, dim_c(m, 1), dim_c(m, 1), dim_c(m, 1)}, two[2];
	ftl_dtype t = dtype_of(m, q);
	ftl_val ok, y;

	if (m->failed)
		return;
	ok = op2(m, FTL_OP_lt, ftl_imp_range(m, p->s, FTL_I64), ftl_imp_reshape(m, p->sizes, 4, one));
	a.bias = e_where(m, ok, extra ? extra : ftl_imp_scalar(m, t, 0), ftl_imp_scalar(m, t, ftl_imp_lowest(t)));
	a.q = spread(m, p, q, heads);
	a.k = spread(m, p, k, heads);
	a.v = spread(m, p, v, heads);
	y = ftl_imp_merge_heads(m, ftl_imp_attend(m, &a));
	if (m->failed)
		return;
	two[0] = ftl_dim_mul(m->st, p->b, p->s);
	two[1] = ftl_imp_dim(m, y, 2);
	ftl_imp_out(m, 0, ftl_imp_gather(m, ftl_imp_reshape(m, y, 2, two), p->places, 0));
}

/* input [n, i], weights, bias, token_offset, cumulative lengths, attention bias? */
void ftl_imp_do_ms_packed_attention(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), w = ftl_imp_need(m, 1);
	ftl_ints sizes = ftl_imp_ints(m, "qkv_hidden_sizes");
	int64_t width[3];
	packed p;

	ftl_imp_want_rank(m, x, 2, 2, "the input");
	if (sizes.n && sizes.n != 3 && !m->failed)
		bad_model(m, "qkv_hidden_sizes has %u entries, needs 3", sizes.n);
	packing(m, &p, x, ftl_imp_need(m, 3), ftl_imp_need(m, 4));
	for (int i = 0; i < 3 && !m->failed; i++)
		width[i] = sizes.n ? sizes.v[i] : ftl_imp_const_dim(m, w, 1, "the weight's size") / 3;
	if (m->failed)
		return;
	x = e_add(m, ftl_imp_matmul(m, x, w, false, false, 1), ftl_imp_need(m, 2));
	attend_packed(m, &p, ftl_imp_part(m, x, 0, width[0]), ftl_imp_part(m, x, width[0], width[1]),
		      ftl_imp_part(m, x, width[0] + width[1], width[2]), ftl_imp_in(m, 5));
}

/* q [n, h * d] or [n, h, 3, d], key?, value?, bias?, token_offset, cumulative lengths, attention bias? */
void ftl_imp_do_ms_packed_multi_head_attention(imp *m)
{
	ftl_val in[3] = {ftl_imp_need(m, 0), ftl_imp_in(m, 1), ftl_imp_in(m, 2)}, bias = ftl_imp_in(m, 3), all = in[0];
	int64_t at = 0, size;
	ftl_dim d[2];
	packed p;

	packing(m, &p, in[0], ftl_imp_need(m, 4), ftl_imp_need(m, 5));
	if (m->failed)
		return;
	d[0] = p.n;
	for (int i = 0; i < 3 && rank_of(m, all) == 4; i++) {
		in[i] = ftl_imp_slice(m, all, 2, dim_c(m, i), dim_c(m, 1));
		d[1] = ftl_dim_mul(m->st, ftl_imp_dim(m, all, 1), ftl_imp_dim(m, all, 3));
		in[i] = ftl_imp_reshape(m, in[i], 2, d);
	}
	if (!in[1] || !in[2])
		bad_model(m, "key or value is missing");
	for (int i = 0; i < 3 && bias && !m->failed; i++) {
		size = ftl_imp_const_dim(m, in[i], 1, "the hidden size");
		in[i] = e_add(m, in[i], ftl_imp_part(m, bias, at, size));
		at += size;
	}
	attend_packed(m, &p, in[0], in[1], in[2], ftl_imp_in(m, 6));
}

static ftl_val indices_of(imp *m, ftl_val flags)
{
	ftl_val at = op1(m, FTL_OP_non_zero, flags); /* [1, n] */

	return ftl_imp_squeeze(m, at, 0);
}

/* x [b, s, h] and how many of each sequence count -> tokens, their places, cumulative lengths, the longest */
void ftl_imp_do_ms_remove_padding(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), count = ftl_imp_cast(m, ftl_imp_need(m, 1), FTL_I32), ok, at, order[2], cum[2];
	ftl_dim b, s, col[2], flat, two[2], row[2], n1 = dim_c(m, 1);
	struct ftl_attrs_cum_sum *a = NEW_ATTRS(m, cum_sum);
	int64_t axis = 0, one = 1;
	int32_t zero = 0;

	ftl_imp_want_rank(m, x, 3, 3, "the input");
	if (m->failed)
		return;
	col[0] = b = ftl_imp_dim(m, x, 0);
	col[1] = n1;
	row[0] = b;
	row[1] = s = ftl_imp_dim(m, x, 1);
	flat = ftl_dim_mul(m->st, b, s);
	two[0] = flat;
	two[1] = ftl_imp_dim(m, x, 2);
	ok = op2(m, FTL_OP_lt, ftl_imp_range(m, s, FTL_I32), ftl_imp_reshape(m, count, 2, col));
	ok = ftl_imp_reshape(m, ok, 1, &flat);
	at = order[0] = indices_of(m, ok);
	order[1] = indices_of(m, op1(m, FTL_OP_not, ok));
	ftl_imp_out(m, 0, ftl_imp_gather(m, ftl_imp_reshape(m, x, 2, two), at, 0));
	at = ftl_imp_cast(m, ftl_imp_concat(m, 0, 2, order), FTL_I32);
	ftl_imp_out(m, 1, ftl_imp_reshape(m, at, 2, row));
	a->axis = 0;
	cum[0] = ftl_imp_bytes(m, FTL_I32, 1, &one, &zero);
	cum[1] = ftl_imp_op(m, FTL_OP_cum_sum, a, 1, &count);
	ftl_imp_out(m, 2, ftl_imp_concat(m, 0, 2, cum));
	ftl_imp_out(m, 3, ftl_imp_reduce(m, FTL_OP_reduce_max, count, 1, &axis, true));
}

/* tokens [n, h] to their places in [b, s, h], zeros elsewhere */
void ftl_imp_do_ms_restore_padding(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), offset = ftl_imp_need(m, 1), y, at;
	ftl_dim two[2], three[3], col[2];

	ftl_imp_want_rank(m, x, 2, 2, "the input");
	ftl_imp_want_rank(m, offset, 2, 2, "token_offset");
	if (m->failed)
		return;
	three[0] = ftl_imp_dim(m, offset, 0);
	three[1] = ftl_imp_dim(m, offset, 1);
	two[0] = ftl_dim_mul(m->st, three[0], three[1]);
	two[1] = three[2] = ftl_imp_dim(m, x, 1);
	col[0] = ftl_imp_dim(m, x, 0);
	col[1] = dim_c(m, 1);
	at = ftl_imp_slice(m, ftl_imp_reshape(m, ftl_imp_cast(m, offset, FTL_I64), 1, two), 0, dim_c(m, 0), col[0]);
	y = ftl_imp_op(m, FTL_OP_scatter_nd, NULL, 3,
		       (const ftl_val[]){ftl_imp_expand(m, e_num(m, x, 0), 2, two), ftl_imp_reshape(m, at, 2, col), x});
	ftl_imp_out(m, 0, ftl_imp_reshape(m, y, 3, three));
}

/* ---- a cache of fixed size ---- */

/* Places [at, at + s) of past [b, h, max, d] hold the new tokens. */
ftl_val ftl_imp_write_cache(imp *m, ftl_val past, ftl_val fresh, ftl_val at)
{
	ftl_dim max = ftl_imp_dim(m, past, 2), s = ftl_imp_dim(m, fresh, 2);
	ftl_val j = ftl_imp_range(m, max, FTL_I64), k = e_sub(m, j, at), in;

	in = op2(m, FTL_OP_and, op2(m, FTL_OP_ge, k, e_num(m, k, 0)),
		 op2(m, FTL_OP_lt, k, ftl_imp_dim_scalar(m, s, FTL_I64)));
	k = e_where(m, in, e_add(m, k, ftl_imp_dim_scalar(m, max, FTL_I64)), j);
	return ftl_imp_gather(m, ftl_imp_concat(m, 2, 2, (const ftl_val[]){past, fresh}), k, 2);
}

/* v[..., n] with its columns continued to `keys` by anything */
static ftl_val columns(imp *m, ftl_val v, ftl_dim keys)
{
	ftl_dim have = ftl_imp_dim(m, v, -1);
	ftl_val at;

	if (m->failed || ftl_dim_known_eq(m->st, have, keys) == 1)
		return v;
	at = op2(m, FTL_OP_min, ftl_imp_range(m, keys, FTL_I64),
		 ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, have, dim_c(m, 1)), FTL_I64));
	return ftl_imp_gather(m, v, at, rank_of(m, v) - 1);
}

/* cache [r, h, max, d] of r = batch * beams rows; place t of row (b, j) was written by row (b, beam[b, j, t]) */
static ftl_val by_beam(imp *m, ftl_val cache, ftl_val beam, ftl_val at)
{
	static const int perm[] = {0, 2, 1, 3};
	ftl_dim r = ftl_imp_dim(m, cache, 0), max = ftl_imp_dim(m, cache, 2), w = ftl_imp_dim(m, beam, 1), two[2], d[4];
	ftl_val x = ftl_imp_transpose(m, cache, perm), i = ftl_imp_range(m, r, FTL_I64), j, src;

	ftl_imp_want_rank(m, beam, 3, 3, "cache_indirection");
	if (m->failed)
		return 0;
	two[0] = r;
	two[1] = ftl_imp_dim(m, beam, 2);
	beam = ftl_imp_cast(m, ftl_imp_reshape(m, beam, 2, two), FTL_I64);
	beam = columns(m, beam, max);
	/* the first row of each row's batch; the new token is the row's own */
	two[1] = dim_c(m, 1);
	j = ftl_imp_range(m, max, FTL_I64);
	src = e_sub(m, i, op2(m, FTL_OP_mod, i, ftl_imp_dim_scalar(m, w, FTL_I64)));
	src = e_add(m, ftl_imp_reshape(m, src, 2, two), beam);
	src = e_where(m, op2(m, FTL_OP_lt, j, at), src, ftl_imp_reshape(m, i, 2, two));
	src = e_add(m, e_mul(m, src, ftl_imp_dim_scalar(m, max, FTL_I64)), j);
	for (int k = 0; k < 4; k++)
		d[k] = ftl_imp_dim(m, x, k);
	d[1] = d[2];
	d[2] = d[3];
	d[0] = ftl_dim_mul(m->st, r, max);
	x = ftl_imp_gather(m, ftl_imp_reshape(m, x, 3, d), src, 0);
	return ftl_imp_transpose(m, x, perm);
}

/* q, k?, v?, mask?, attention bias?, past k, past v, past length, beam width?, cache indirection?, bias? */
void ftl_imp_do_ms_decoder_attention(imp *m)
{
	ftl_val q = ftl_imp_need(m, 0), k = ftl_imp_in(m, 1), v = ftl_imp_in(m, 2), mask = ftl_imp_in(m, 3),
		extra = ftl_imp_in(m, 4), pk = ftl_imp_in(m, 5), pv = ftl_imp_in(m, 6), beam = ftl_imp_in(m, 9),
		bias = ftl_imp_in(m, 10), at = 0, y;
	int64_t heads = ftl_imp_i(m, "num_heads", 0), w, wv;
	imp_attention a = {.scale = ftl_imp_f(m, "scale", 0)};
	bool cross = k && rank_of(m, k) == 4, shared = ftl_imp_i(m, "past_present_share_buffer", 0) != 0;
	double filter = ftl_imp_f(m, "mask_filter_value", -10000);
	ftl_dtype t = dtype_of(m, q);
	ftl_dim keys, four[4];

	ftl_imp_want_rank(m, q, 3, 3, "the query");
	if (!m->failed && (!k != !v || (!cross && !pk != !pv)))
		bad_model(m, "key or value is missing");
	if (m->failed)
		return;
	if (!k) {
		w = ftl_imp_const_dim(m, q, 2, "the hidden size") / 3;
		v = ftl_imp_part(m, q, 2 * w, w);
		k = ftl_imp_part(m, q, w, w);
		q = ftl_imp_part(m, q, 0, w);
	}
	w = ftl_imp_const_dim(m, q, 2, "the hidden size");
	if (bias)
		q = e_add(m, q, ftl_imp_part(m, bias, 0, w));
	if (!cross) {
		wv = ftl_imp_const_dim(m, v, 2, "the hidden size");
		k = bias ? e_add(m, k, ftl_imp_part(m, bias, w, w)) : k;
		v = bias ? e_add(m, v, ftl_imp_part(m, bias, 2 * w, wv)) : v;
		k = ftl_imp_split_heads(m, k, heads);
		v = ftl_imp_split_heads(m, v, heads);
	}
	if (!cross && pk && shared) {
		at = as_scalar(m, ftl_imp_need(m, 7));
		k = ftl_imp_write_cache(m, pk, k, at);
		v = ftl_imp_write_cache(m, pv, v, at);
	} else if (!cross && pk) {
		at = ftl_imp_dim_scalar(m, ftl_imp_dim(m, pk, 2), FTL_I64);
		k = ftl_imp_concat(m, 2, 2, (const ftl_val[]){pk, k});
		v = ftl_imp_concat(m, 2, 2, (const ftl_val[]){pv, v});
	}
	ftl_imp_out(m, 1, k);
	ftl_imp_out(m, 2, v);
	if (beam && at) {
		k = by_beam(m, k, beam, at);
		v = by_beam(m, v, beam, at);
	}
	keys = ftl_imp_dim(m, k, 2);
	if (mask) {
		ftl_imp_want_rank(m, mask, 2, 2, "the mask");
		mask = columns(m, ftl_imp_cast(m, mask, FTL_I32), keys);
		four[0] = ftl_imp_dim(m, mask, 0);
		four[1] = four[2] = dim_c(m, 1);
		four[3] = keys;
		if (m->failed)
			return;
		mask = ftl_imp_reshape(m, mask, 4, four);
		a.bias = ftl_imp_penalty(m, op2(m, FTL_OP_gt, mask, e_num(m, mask, 0)), t, filter);
	}
	if (extra)
		a.bias = ftl_imp_sum(m, a.bias, columns(m, extra, keys));
	if (at && shared) { /* what the cache has no tokens for yet */
		y = op2(m, FTL_OP_le, ftl_imp_range(m, keys, FTL_I64), at);
		a.bias = e_where(m, y, a.bias ? a.bias : ftl_imp_scalar(m, t, 0),
				 ftl_imp_scalar(m, t, ftl_imp_lowest(t)));
	}
	a.q = ftl_imp_split_heads(m, q, heads);
	a.k = k;
	a.v = v;
	y = ftl_imp_attend(m, &a);
	ftl_imp_out(m, 0, ftl_imp_merge_heads(m, y));
	if (ftl_imp_wants(m, 3))
		ftl_imp_out(m, 3, at ? ftl_imp_gather(m, a.biased, range_of(m, e_addf(m, at, 1)), 3) : a.biased);
}

/* ---- biases made of positions ---- */

/* T5's buckets: table [buckets, heads], laid out by head -> [1, heads, q, k] */
void ftl_imp_do_ms_relative_position_bias(imp *m)
{
	ftl_val table = ftl_imp_need(m, 0), nq = as_scalar(m, ftl_imp_need(m, 1)),
		nk = as_scalar(m, ftl_imp_need(m, 2)), rel, far, bucket = 0;
	bool both = ftl_imp_i(m, "is_bidirectional", 0) != 0;
	int64_t buckets = ftl_imp_const_dim(m, table, 0, "the number of buckets"), n = both ? buckets / 2 : buckets,
		exact = n / 2, max = ftl_imp_i(m, "max_distance", 0);
	ftl_dim flat[2], col[2];
	ftl_val i = range_of(m, nq), j = range_of(m, nk);

	ftl_imp_want_rank(m, table, 2, 2, "the table");
	if (!m->failed && (exact < 1 || max <= exact))
		bad_model(m, "%lld buckets for a distance of %lld make no sense", (long long)buckets, (long long)max);
	if (m->failed)
		return;
	flat[0] = ftl_imp_dim(m, table, 1);
	flat[1] = ftl_imp_dim(m, table, 0);
	col[0] = ftl_imp_dim(m, i, 0);
	col[1] = dim_c(m, 1);
	rel = e_sub(m, j, ftl_imp_reshape(m, i, 2, col));
	if (both)
		bucket = e_where(m, op2(m, FTL_OP_gt, rel, e_num(m, rel, 0)), e_num(m, rel, (double)n),
				 e_num(m, rel, 0));
	rel = op1(m, FTL_OP_abs, rel);
	far = e_mulf(m, ftl_imp_cast(m, op2(m, FTL_OP_max, rel, e_num(m, rel, 1)), FTL_F32), 1.0 / (double)exact);
	far = e_mulf(m, op1(m, FTL_OP_log, far), (double)(n - exact) / log((double)max / (double)exact));
	/* nudged so that whole steps of the logarithm do not fall below themselves */
	far = e_addf(m, ftl_imp_cast(m, e_addf(m, far, 1e-6), FTL_I64), (double)exact);
	far = op2(m, FTL_OP_min, far, e_num(m, far, (double)(n - 1)));
	far = e_where(m, op2(m, FTL_OP_lt, rel, e_num(m, rel, (double)exact)), rel, far);
	bucket = bucket ? e_add(m, bucket, far) : far;
	ftl_imp_out(m, 0, ftl_imp_unsqueeze(m, ftl_imp_gather(m, ftl_imp_reshape(m, table, 2, flat), bucket, 1), 0));
}

/* x [b, s, h * d] (or packed, with token offsets), its bias, rel [1, h, s, s], weight [d, D], bias [D], eco [1, h, 1, 1] */
void ftl_imp_do_ms_gated_relative_position_bias(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), rel = ftl_imp_need(m, 2), offset = ftl_imp_in(m, 6), u, r;
	int64_t heads = ftl_imp_i(m, "num_heads", 0), last = 4;
	ftl_dim d[5], col[2], flat;

	x = e_add(m, x, ftl_imp_need(m, 1));
	if (offset && rank_of(m, x) == 2) { /* tokens to their places; padding gets zeros */
		d[0] = ftl_imp_dim(m, offset, 0);
		d[1] = ftl_imp_dim(m, offset, 1);
		d[2] = ftl_imp_dim(m, x, 1);
		flat = ftl_dim_mul(m->st, d[0], d[1]);
		col[0] = ftl_imp_dim(m, x, 0);
		col[1] = dim_c(m, 1);
		r = ftl_imp_reshape(m, ftl_imp_cast(m, offset, FTL_I64), 1, &flat);
		r = ftl_imp_reshape(m, ftl_imp_slice(m, r, 0, dim_c(m, 0), col[0]), 2, col);
		ftl_dim two[2] = {flat, d[2]};
		u = ftl_imp_expand(m, e_num(m, x, 0), 2, two);
		x = ftl_imp_op(m, FTL_OP_scatter_nd, NULL, 3, (const ftl_val[]){u, r, x});
		x = ftl_imp_reshape(m, x, 3, d);
	}
	x = ftl_imp_split_heads(m, x, heads);
	x = e_add(m, ftl_imp_matmul(m, x, ftl_imp_need(m, 3), false, false, 1), ftl_imp_need(m, 4));
	if (m->failed)
		return;
	for (int i = 0; i < 3; i++)
		d[i] = ftl_imp_dim(m, x, i);
	d[3] = dim_c(m, 2);
	d[4] = ftl_dim_div(m->st, ftl_imp_dim(m, x, 3), d[3]);
	x = ftl_imp_reduce(m, FTL_OP_reduce_sum, ftl_imp_reshape(m, x, 5, d), 1, &last, false);
	x = op1(m, FTL_OP_sigmoid, x);
	u = ftl_imp_part(m, x, 0, 1);
	r = ftl_imp_part(m, x, 1, 1);
	u = e_addf(m, e_mul(m, u, e_addf(m, e_mul(m, r, ftl_imp_need(m, 5)), -1)), 2);
	ftl_imp_out(m, 0, e_mul(m, u, rel));
}
