/* com.microsoft: GroupQueryAttention, SparseAttention and RotaryEmbedding: attention over a cache that the run writes, as
 * ONNX Runtime's CPU kernels compute it. */
#include <math.h>

#include "attention.h"

double ftl_imp_lowest(ftl_dtype t)
{
	return t == FTL_F16 ? -65504.0 : t == FTL_F64 ? -1.7976931348623157e308 : -3.4028234663852886e38;
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
	ftl_val fresh; /* i64 [b, 1]: new tokens that count, or 0: all */
	ftl_val lens;  /* i64 [b, 1]: the last key there is */
	ftl_val size;  /* i64 scalar: length of present */
	ftl_dim b, s;
	int64_t heads, kv;
	bool keep; /* what past has behind the new tokens stays */
} gqa;

/* x[b] of any integer type -> i64 [b, 1] */
static ftl_val column(imp *m, ftl_val x, ftl_dim b)
{
	ftl_dim col[2] = {b, dim_c(m, 1)};

	return ftl_imp_reshape(m, ftl_imp_cast(m, x, FTL_I64), 2, col);
}

static ftl_val whole(imp *m, ftl_val v)
{
	return ftl_imp_cast(m, rank_of(m, v) ? ftl_imp_reshape(m, v, 0, NULL) : v, FTL_I64);
}

/* x[b, h, all, d] with row at[b, j] in place j of the third axis */
static ftl_val take_rows(imp *m, ftl_val x, ftl_val at)
{
	static const int perm[] = {0, 2, 1, 3};
	struct ftl_attrs_gather_nd *a = NEW_ATTRS(m, gather_nd);

	a->batch_dims = 1;
	x = ftl_imp_transpose(m, x, perm);
	x = ftl_imp_op(m, FTL_OP_gather_nd, a, 2, (const ftl_val[]){x, ftl_imp_unsqueeze(m, at, 2)});
	return ftl_imp_transpose(m, x, perm);
}

/* present[b, j] = past[b, j] below past[b], then the new tokens, then zeros or what past has there. */
static ftl_val present(imp *m, const gqa *g, ftl_val old, ftl_val fresh)
{
	ftl_dim p = old ? ftl_imp_dim(m, old, 2) : dim_c(m, 0), row[4], last;
	ftl_val all = old ? ftl_imp_concat(m, 2, 2, (const ftl_val[]){old, fresh}) : fresh, j, at, end, in;
	ftl_val rng[3] = {ftl_imp_scalar(m, FTL_I64, 0), g->size, ftl_imp_scalar(m, FTL_I64, 1)};

	if (m->failed)
		return 0;
	last = ftl_dim_sub(m->st, ftl_dim_add(m->st, p, g->s), dim_c(m, 1));
	j = ftl_imp_op(m, FTL_OP_range, NULL, 3, rng);
	/* j < past: j; else p + (j - past), within what there is */
	at = e_add(m, e_sub(m, j, g->past), ftl_imp_dim_scalar(m, p, FTL_I64));
	at = e_where(m, op2(m, FTL_OP_lt, j, g->past), j, at);
	end = e_add(m, g->past, g->fresh ? g->fresh : ftl_imp_dim_scalar(m, g->s, FTL_I64));
	in = op2(m, FTL_OP_lt, j, end);
	at = g->keep ? e_where(m, in, at, j) : at;
	at = op2(m, FTL_OP_min, at, ftl_imp_dim_scalar(m, last, FTL_I64));
	all = take_rows(m, all, at);
	if (m->failed || g->keep)
		return all;
	row[0] = g->b;
	row[1] = row[3] = dim_c(m, 1);
	row[2] = ftl_imp_dim(m, j, 0);
	return e_where(m, ftl_imp_reshape(m, in, 4, row), all, e_num(m, all, 0));
}

static ftl_val head_norm(imp *m, ftl_val x, ftl_val weight, double epsilon)
{
	return weight ? ftl_imp_norm(m, FTL_OP_rms_norm, x, weight, 0, 3, epsilon) : x;
}

/* Queries and keys turned by their positions' angles. */
static void turn(imp *m, ftl_val cos, ftl_val sin, ftl_val pos, ftl_val *q, ftl_val *k)
{
	bool inter = ftl_imp_i(m, "rotary_interleaved", 0) != 0;

	if (!cos || !sin) {
		bad_model(m, "do_rotary needs the caches");
		return;
	}
	*q = ftl_imp_rotate(m, *q, cos, sin, pos, 0, inter);
	*k = ftl_imp_rotate(m, *k, cos, sin, pos, 0, inter);
}

/* q, k and v by head, from three inputs or one */
static void split_qkv(imp *m, const gqa *g, ftl_val *q, ftl_val *k, ftl_val *v)
{
	int64_t d;

	ftl_imp_want_rank(m, *q, 3, 3, "the query");
	if (!m->failed && (g->heads <= 0 || g->kv <= 0 || g->heads > 1 << 20 || g->kv > 1 << 20))
		bad_model(m, "num_heads and kv_num_heads must be positive");
	if (!m->failed && !*k != !*v)
		bad_model(m, "key or value is missing");
	if (m->failed)
		return;
	if (!*k) {
		d = ftl_imp_const_dim(m, *q, 2, "the hidden size") / (g->heads + 2 * g->kv);
		*v = ftl_imp_part(m, *q, (g->heads + g->kv) * d, g->kv * d);
		*k = ftl_imp_part(m, *q, g->heads * d, g->kv * d);
		*q = ftl_imp_part(m, *q, 0, g->heads * d);
	}
	*q = ftl_imp_split_heads(m, *q, g->heads);
	*k = ftl_imp_split_heads(m, *k, g->kv);
	*v = ftl_imp_split_heads(m, *v, g->kv);
}

/* bool [b, 1, s, t]: key j is for query i if j <= past + i and within the window */
static ftl_val allowed(imp *m, const gqa *g, ftl_dim t, bool causal, int64_t window)
{
	ftl_dim four[4] = {g->b, dim_c(m, 1), g->s, dim_c(m, 1)}, one[4] = {g->b, four[1], four[1], four[1]};
	ftl_val i = ftl_imp_reshape(m, e_add(m, ftl_imp_range(m, g->s, FTL_I64), g->past), 4, four),
		j = ftl_imp_range(m, t, FTL_I64), ok;

	/* a padded query sees no padded keys either */
	ok = op2(m, FTL_OP_le, j, ftl_imp_reshape(m, g->lens, 4, one));
	if (causal)
		ok = op2(m, FTL_OP_and, op2(m, FTL_OP_le, j, i), ok);
	if (window > 0)
		ok = op2(m, FTL_OP_and, ok, op2(m, FTL_OP_gt, j, e_addf(m, i, -(double)window)));
	return ok;
}

/* What the scores have added: bias[..., t or fewer keys] continued by anything for keys nobody reads, and the mask. */
static ftl_val cache_bias(imp *m, ftl_val bias, ftl_val ok, ftl_dim keys, ftl_dtype t)
{
	ftl_val hidden = ftl_imp_penalty(m, ok, t, ftl_imp_lowest(t)), at;
	ftl_dim have;

	if (!bias || m->failed)
		return hidden;
	have = ftl_imp_dim(m, bias, -1);
	if (ftl_dim_known_eq(m->st, have, keys) != 1) {
		at = op2(m, FTL_OP_min, ftl_imp_range(m, keys, FTL_I64),
			 ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, have, dim_c(m, 1)), FTL_I64));
		bias = ftl_imp_gather(m, bias, at, 3);
	}
	return e_where(m, ok, bias, hidden);
}

static bool refused(imp *m)
{
	const char *k = ftl_imp_s(m, "k_quant_type", "NONE"), *v = ftl_imp_s(m, "v_quant_type", "NONE");

	if (strcmp(k, "NONE") || strcmp(v, "NONE") || ftl_imp_in(m, 12) || ftl_imp_in(m, 13))
		unsupported(m, "a quantized cache is not supported; export with a float cache");
	else if (ftl_imp_i(m, "sliding_window_cache", 0) != 0)
		unsupported(m, "a cache of the window's size is not supported; export with the full cache");
	else if (!ftl_imp_in(m, 14) != !ftl_imp_in(m, 15))
		bad_model(m, "needs both q_norm_weight and k_norm_weight, or neither");
	return m->failed;
}

/* Where each entry's cache ends. All tokens new: a prompt, padded on the right; else they follow the ones before. */
static void lengths(imp *m, gqa *g, ftl_val lens, ftl_val total, ftl_val fresh, ftl_val pk)
{
	ftl_val s = ftl_imp_dim_scalar(m, g->s, FTL_I64), zero = ftl_imp_scalar(m, FTL_I64, 0);

	g->lens = column(m, lens, g->b);
	total = whole(m, total);
	if (fresh) {
		g->fresh = column(m, fresh, g->b);
		g->past = op2(m, FTL_OP_max, e_sub(m, e_addf(m, g->lens, 1), g->fresh), zero);
	} else {
		g->past = e_sub(m, e_addf(m, g->lens, 1), s);
		g->past = op2(m, FTL_OP_max, e_where(m, op2(m, FTL_OP_eq, s, total), zero, g->past), zero);
	}
	g->size = pk ? op2(m, FTL_OP_max, total, ftl_imp_dim_scalar(m, ftl_imp_dim(m, pk, 2), FTL_I64)) : total;
}

void ftl_imp_do_ms_group_query_attention(imp *m)
{
	ftl_val q = ftl_imp_need(m, 0), k = ftl_imp_in(m, 1), v = ftl_imp_in(m, 2), pk = ftl_imp_in(m, 3),
		pv = ftl_imp_in(m, 4), total = ftl_imp_need(m, 6), cos = ftl_imp_in(m, 7), sin = ftl_imp_in(m, 8),
		pos = ftl_imp_in(m, 9), ok, y;
	imp_attention a = {
		.scale = ftl_imp_f(m, "scale", 0), .softcap = ftl_imp_f(m, "softcap", 0), .sink = ftl_imp_in(m, 11)};
	gqa g = {.heads = ftl_imp_i(m, "num_heads", 0), .kv = ftl_imp_i(m, "kv_num_heads", 0)};
	double eps = ftl_imp_f(m, "qk_norm_epsilon", 1e-6f);
	int64_t mode = ftl_imp_i(m, "qk_output", 0);
	ftl_dtype t = dtype_of(m, q);
	ftl_dim nkv;

	split_qkv(m, &g, &q, &k, &v);
	if (m->failed || refused(m))
		return;
	if (!a.sink && ftl_imp_i(m, "smooth_softmax", 0) > 0)
		a.sink = ftl_imp_scalar(m, t, 0);
	g.b = ftl_imp_dim(m, q, 0);
	g.s = ftl_imp_dim(m, q, 2);
	lengths(m, &g, ftl_imp_need(m, 5), total, ftl_imp_in(m, 16), pk);
	q = head_norm(m, q, ftl_imp_in(m, 14), ftl_imp_f(m, "q_norm_epsilon", eps));
	k = head_norm(m, k, ftl_imp_in(m, 15), ftl_imp_f(m, "k_norm_epsilon", eps));
	if (ftl_imp_i(m, "do_rotary", 0) != 0) {
		pos = pos ? token_positions(m, pos, g.b, g.s) : e_add(m, ftl_imp_range(m, g.s, FTL_I64), g.past);
		turn(m, cos, sin, pos, &q, &k);
	}
	k = present(m, &g, pk, k);
	v = present(m, &g, pv, v);
	ftl_imp_out(m, 1, k);
	ftl_imp_out(m, 2, v);
	nkv = ftl_imp_dim(m, k, 2);
	if (m->failed)
		return;
	ok = allowed(m, &g, nkv, ftl_imp_i(m, "causal", 1) != 0, ftl_imp_i(m, "local_window_size", -1));
	a.bias = cache_bias(m, ftl_imp_in(m, 10), ok, nkv, t);
	a.q = q;
	a.k = k;
	a.v = v;
	y = ftl_imp_attend(m, &a);
	ftl_imp_out(m, 0, ftl_imp_merge_heads(m, y));
	if (ftl_imp_wants(m, 3)) {
		ftl_val rng[3] = {ftl_imp_scalar(m, FTL_I64, 0), whole(m, total), ftl_imp_scalar(m, FTL_I64, 1)};
		/* before softmax: 0 where a key is hidden */
		y = mode == 2 ? a.weights : e_where(m, ok, a.biased, e_num(m, a.biased, 0));
		ftl_imp_out(m, 3, ftl_imp_gather(m, y, ftl_imp_op(m, FTL_OP_range, NULL, 3, rng), 3));
	}
}

/* ---- SparseAttention ---- */

/* Rows and columns of blocks -> f32 [layouts, blocks, blocks]: 1 where row r has column c. A product counts the entries
 * that belong to the row and name the column. */
static ftl_val block_layout(imp *m, ftl_val rows, ftl_val cols)
{
	ftl_dim l = ftl_imp_dim(m, rows, 0), n = ftl_dim_sub(m->st, ftl_imp_dim(m, rows, 1), dim_c(m, 1)),
		nnz = ftl_imp_dim(m, cols, 1), d[3] = {l, n, dim_c(m, 1)}, c[3] = {l, nnz, dim_c(m, 1)};
	ftl_val e, from, to, in, is;

	rows = ftl_imp_cast(m, rows, FTL_I64);
	cols = ftl_imp_cast(m, cols, FTL_I64);
	e = ftl_imp_range(m, nnz, FTL_I64);
	from = ftl_imp_reshape(m, ftl_imp_slice(m, rows, 1, dim_c(m, 0), n), 3, d);
	to = ftl_imp_reshape(m, ftl_imp_slice(m, rows, 1, dim_c(m, 1), n), 3, d);
	in = op2(m, FTL_OP_and, op2(m, FTL_OP_ge, e, from), op2(m, FTL_OP_lt, e, to));
	is = op2(m, FTL_OP_eq, ftl_imp_reshape(m, cols, 3, c), ftl_imp_range(m, n, FTL_I64));
	return ftl_imp_matmul(m, ftl_imp_cast(m, in, FTL_F32), ftl_imp_cast(m, is, FTL_F32), false, false, 1);
}

/* bool [b, h, s, t]: is the block of key j in the layout's row for the block of query i? Heads take layouts in turn. */
static ftl_val in_layout(imp *m, const gqa *g, ftl_val layout, int64_t block, ftl_dim t)
{
	static const int perm[] = {1, 0, 2, 3};
	int64_t l = ftl_imp_const_dim(m, layout, 0, "the number of layouts");
	ftl_val i = e_add(m, ftl_imp_range(m, g->s, FTL_I64), g->past), j = ftl_imp_range(m, t, FTL_I64), y;
	ftl_val *all;

	if (!m->failed && (l <= 0 || g->heads % l))
		bad_model(m, "%lld heads are not a multiple of %lld layouts", (long long)g->heads, (long long)l);
	if (m->failed)
		return 0;
	i = e_div(m, i, e_num(m, i, (double)block));
	j = e_div(m, j, e_num(m, j, (double)block));
	y = ftl_imp_gather(m, ftl_imp_gather(m, layout, i, 1), j, 3); /* [l, b, s, t] */
	y = ftl_imp_transpose(m, op2(m, FTL_OP_gt, y, e_num(m, y, 0)), perm);
	all = FTL_NEW_N(m->tmp, ftl_val, (size_t)(g->heads / l));
	for (int64_t k = 0; k < g->heads / l; k++)
		all[k] = y;
	return l == 1 ? y : ftl_imp_concat(m, 1, (uint32_t)(g->heads / l), all);
}

void ftl_imp_do_ms_sparse_attention(imp *m)
{
	ftl_val q = ftl_imp_need(m, 0), k = ftl_imp_in(m, 1), v = ftl_imp_in(m, 2), pk = ftl_imp_need(m, 3),
		pv = ftl_imp_need(m, 4), rows = ftl_imp_need(m, 5), cols = ftl_imp_need(m, 6), cos = ftl_imp_in(m, 9),
		sin = ftl_imp_in(m, 10), ok;
	int64_t block = ftl_imp_i(m, "sparse_block_size", 0);
	imp_attention a = {.scale = ftl_imp_f(m, "scale", 0)};
	gqa g = {.heads = ftl_imp_i(m, "num_heads", 0), .kv = ftl_imp_i(m, "kv_num_heads", 0), .keep = true};
	ftl_dtype t = dtype_of(m, q);
	ftl_dim nkv;

	ftl_imp_want_rank(m, rows, 2, 2, "block_row_indices");
	ftl_imp_want_rank(m, cols, 2, 2, "block_col_indices");
	split_qkv(m, &g, &q, &k, &v);
	if (!m->failed && block <= 0)
		bad_model(m, "sparse_block_size %lld makes no sense", (long long)block);
	if (m->failed)
		return;
	g.b = ftl_imp_dim(m, q, 0);
	g.s = ftl_imp_dim(m, q, 2);
	ok = ftl_imp_cast(m, ftl_imp_need(m, 8), FTL_I64);
	lengths(m, &g, e_addf(m, ok, -1), ftl_imp_need(m, 7), 0, pk);
	if (ftl_imp_i(m, "do_rotary", 0) != 0) {
		turn(m, cos, sin, e_add(m, ftl_imp_range(m, g.s, FTL_I64), g.past), &q, &k);
	}
	k = present(m, &g, pk, k);
	v = present(m, &g, pv, v);
	ftl_imp_out(m, 1, k);
	ftl_imp_out(m, 2, v);
	nkv = ftl_imp_dim(m, k, 2);
	if (m->failed)
		return;
	ok = op2(m, FTL_OP_and, allowed(m, &g, nkv, true, -1),
		 in_layout(m, &g, block_layout(m, rows, cols), block, nkv));
	a.bias = ftl_imp_penalty(m, ok, t, ftl_imp_lowest(t));
	a.q = q;
	a.k = k;
	a.v = v;
	ftl_imp_out(m, 0, ftl_imp_merge_heads(m, ftl_imp_attend(m, &a)));
}
