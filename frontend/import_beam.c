/* The token step of com.microsoft::BeamSearch and GreedySearch in plain ops, as ONNX Runtime's CPU code does it.
 *
 * Of beams * vocabulary sums, the best 2 * beams are candidates. One that ends its sequence (eos) and is among the first
 * `beams` becomes a finished hypothesis, kept sorted by its score over length^penalty; the first `beams` others go on. A
 * batch entry is done when it has `beams` hypotheses and its best candidate could not beat the worst of them; its rows then
 * repeat row 0 with pad tokens, which nobody looks at. Ties go to what came first. */
#include "beam.h"

#define LOWEST (-3.4028234663852886e38)

static ftl_val eq(imp *m, ftl_val a, ftl_val b)
{
	return op2(m, FTL_OP_eq, a, b);
}

static ftl_val lt(imp *m, ftl_val a, ftl_val b)
{
	return op2(m, FTL_OP_lt, a, b);
}

static ftl_val both(imp *m, ftl_val a, ftl_val b)
{
	return op2(m, FTL_OP_and, a, b);
}

static ftl_val no(imp *m, ftl_val a)
{
	return op1(m, FTL_OP_not, a);
}

static ftl_val i64(imp *m, int64_t v)
{
	return ftl_imp_scalar(m, FTL_I64, (double)v);
}

static ftl_val shape2(imp *m, ftl_val v, ftl_dim a, ftl_dim b)
{
	ftl_dim d[2] = {a, b};

	return m->failed ? 0 : ftl_imp_reshape(m, v, 2, d);
}

static ftl_val flat(imp *m, ftl_val v, ftl_dim n)
{
	return m->failed ? 0 : ftl_imp_reshape(m, v, 1, &n);
}

static ftl_val pick(imp *m, ftl_val v, ftl_val index, int64_t axis)
{
	struct ftl_attrs_gather_elements *a = NEW_ATTRS(m, gather_elements);

	a->axis = axis;
	return ftl_imp_op(m, FTL_OP_gather_elements, a, 2, (const ftl_val[]){v, index});
}

static void topk(imp *m, ftl_val v, int64_t k, bool largest, ftl_val *out)
{
	struct ftl_attrs_topk *a = NEW_ATTRS(m, topk);

	a->axis = 1;
	a->largest = largest;
	ftl_imp_ops(m, FTL_OP_topk, a, 2, (const ftl_val[]){v, ftl_imp_i64s(m, 1, &k)}, 2, out);
}

/* Columns [from, from + n) of a matrix. */
static ftl_val columns(imp *m, ftl_val v, int64_t from, int64_t n)
{
	return ftl_imp_slice(m, v, 1, dim_c(m, from), dim_c(m, n));
}

ftl_val ftl_imp_fill(imp *m, ftl_dtype t, double v, int rank, const ftl_dim *dims)
{
	struct ftl_attrs_fill *a = NEW_ATTRS(m, fill);

	a->dtype = t;
	a->value = v;
	a->ivalue = ftl_dtype_is_float(t) ? 0 : (int64_t)v;
	a->dims = ftl_imp_dims_copy(m, (uint32_t)rank, dims);
	return ftl_imp_op(m, FTL_OP_fill, a, 0, NULL);
}

static ftl_val fill2(imp *m, ftl_dtype t, double v, ftl_dim a, ftl_dim b)
{
	ftl_dim d[2] = {a, b};

	return ftl_imp_fill(m, t, v, 2, d);
}

ftl_val ftl_imp_search_expand(imp *m, const imp_search *s, ftl_val x)
{
	ftl_dim d[FTL_MAX_RANK + 1];
	int r = rank_of(m, x);

	if (s->beams == 1 || m->failed)
		return x;
	x = ftl_imp_unsqueeze(m, x, 1);
	for (int i = 0; i <= r; i++)
		d[i] = i == 1 ? dim_c(m, s->beams) : ftl_imp_dim(m, x, i);
	if (m->failed)
		return 0;
	x = ftl_imp_expand(m, x, r + 1, d);
	d[1] = s->rows;
	return ftl_imp_reshape(m, x, r, d + 1);
}

void ftl_imp_search_start(imp *m, const imp_search *s, ftl_val ids, imp_search_state *out)
{
	ftl_dim nb = dim_c(m, s->beams), len = dim_c(m, s->max_length), h[3] = {s->b, nb, len}, n;
	ftl_val rest, first;

	ids = ftl_imp_search_expand(m, s, ids);
	n = ftl_imp_dim(m, ids, 1);
	rest = fill2(m, FTL_I32, (double)s->pad, s->rows, ftl_dim_sub(m->st, len, n));
	out->seq = ftl_imp_concat(m, 1, 2, (const ftl_val[]){ids, rest});
	out->done = fill2(m, FTL_BOOL, 0, s->b, dim_c(m, 1));
	out->tokens = 0;
	out->order = 0;
	if (s->greedy || m->failed)
		return;
	/* beams but the first start hopeless, or all would find the same */
	first = eq(m, ftl_imp_range(m, nb, FTL_I64), i64(m, 0));
	first = e_where(m, first, ftl_imp_scalar(m, FTL_F32, 0), ftl_imp_scalar(m, FTL_F32, -1e9));
	out->scores = ftl_imp_expand(m, first, 2, h);
	out->hyp_seq = ftl_imp_fill(m, FTL_I32, (double)s->pad, 3, h);
	out->hyp_score = fill2(m, FTL_F32, LOWEST, s->b, nb);
	out->used = fill2(m, FTL_I64, 0, s->b, dim_c(m, 1));
}

/* ---- logits processors ---- */

/* bool [r, vocab]: tokens at which `hit` [r, n] holds for an n with tokens[r, n] */
static ftl_val marked(imp *m, const imp_search *s, ftl_val tokens, ftl_val hit, ftl_dim vocab)
{
	struct ftl_attrs_scatter_elements *a = NEW_ATTRS(m, scatter_elements);
	ftl_val zeros = fill2(m, FTL_I32, 0, s->rows, vocab), sum;

	/* what is behind a sequence's end may be no token at all, but is no hit either */
	tokens = e_where(m, hit, ftl_imp_cast(m, tokens, FTL_I64), i64(m, 0));
	a->axis = 1;
	a->reduction = "add";
	sum = ftl_imp_op(m, FTL_OP_scatter_elements, a, 3,
			 (const ftl_val[]){zeros, tokens, ftl_imp_cast(m, hit, FTL_I32)});
	return lt(m, ftl_imp_scalar(m, FTL_I32, 0), sum);
}

static ftl_val repetition(imp *m, const imp_search *s, ftl_val x, ftl_val seq, ftl_val cur)
{
	ftl_val inside = lt(m, ftl_imp_range(m, dim_c(m, s->max_length), FTL_I64), cur), hit, low;
	ftl_dim d[2] = {s->rows, dim_c(m, s->max_length)};

	hit = marked(m, s, seq, ftl_imp_expand(m, inside, 2, d), ftl_imp_dim(m, x, 1));
	low = lt(m, x, ftl_imp_scalar(m, FTL_F32, 0));
	low = e_where(m, low, e_mul(m, x, s->repetition_penalty), e_div(m, x, s->repetition_penalty));
	return e_where(m, hit, low, x);
}

/* Forbid what would repeat n tokens in a row: the last n - 1 tokens are compared with all windows before. */
static ftl_val no_repeat(imp *m, const imp_search *s, ftl_val x, ftl_val seq, ftl_val cur)
{
	int64_t n = s->ngram, windows = s->max_length - n + 1;
	ftl_val hit, at;
	ftl_dim d[2] = {s->rows, dim_c(m, windows)};

	if (windows <= 0)
		return x;
	hit = op2(m, FTL_OP_le, e_addf(m, ftl_imp_range(m, dim_c(m, windows), FTL_I64), (double)n), cur);
	hit = ftl_imp_expand(m, hit, 2, d);
	for (int64_t t = 0; t + 1 < n && !m->failed; t++) {
		at = e_addf(m, cur, (double)(t + 1 - n));
		at = op2(m, FTL_OP_max, at, i64(m, 0)); /* too short a sequence has no window at all */
		at = ftl_imp_gather(m, seq, flat(m, at, dim_c(m, 1)), 1);
		hit = both(m, hit, eq(m, columns(m, seq, t, windows), at));
	}
	hit = marked(m, s, columns(m, seq, n - 1, windows), hit, ftl_imp_dim(m, x, 1));
	return e_where(m, hit, ftl_imp_scalar(m, FTL_F32, LOWEST), x);
}

static ftl_val process(imp *m, const imp_search *s, ftl_val x, ftl_val seq, ftl_val cur, bool first)
{
	ftl_val lowest = ftl_imp_scalar(m, FTL_F32, LOWEST), zero = ftl_imp_scalar(m, FTL_I32, 0);

	if (s->repetition_penalty)
		x = repetition(m, s, x, seq, cur);
	if (s->ngram > 0)
		x = no_repeat(m, s, x, seq, cur);
	if (s->vocab_mask)
		x = e_where(m, eq(m, s->vocab_mask, zero), lowest, x);
	if (s->prefix_mask && first)
		x = e_where(m, eq(m, ftl_imp_search_expand(m, s, s->prefix_mask), zero), lowest, x);
	if (s->min_length) {
		ftl_val eos = eq(m, ftl_imp_range(m, ftl_imp_dim(m, x, 1), FTL_I64), i64(m, s->eos));

		x = e_where(m, both(m, eos, lt(m, cur, s->min_length)), lowest, x);
	}
	return x;
}

/* The last position's logits, f32 [r, vocab]. */
static ftl_val last_logits(imp *m, const imp_search *s, ftl_val x)
{
	ftl_dim last;

	ftl_imp_want_rank(m, x, 3, 3, "the logits");
	if (m->failed)
		return 0;
	last = ftl_dim_sub(m->st, ftl_imp_dim(m, x, 1), dim_c(m, 1));
	x = ftl_imp_squeeze(m, ftl_imp_slice(m, x, 1, last, dim_c(m, 1)), 1);
	if (s->vocab > 0)
		x = columns(m, x, 0, s->vocab);
	return ftl_imp_cast(m, x, FTL_F32);
}

/* ---- hypotheses ---- */

/* Scores of the hypotheses and where each comes from: the old ones 0 .. beams-1, candidates from beams on. */
typedef struct heap {
	ftl_val score, from, used;
} heap;

/* Put candidate j with its score [b, 1] behind those that are no worse, where `valid` [b, 1] holds. */
static void insert(imp *m, const imp_search *s, heap *h, int64_t j, ftl_val score, ftl_val valid)
{
	static const int64_t axis = 1;
	ftl_val i = ftl_imp_range(m, dim_c(m, s->beams), FTL_I64), at, before, here;

	before = both(m, lt(m, i, h->used), no(m, lt(m, h->score, score)));
	at = ftl_imp_reduce(m, FTL_OP_reduce_sum, ftl_imp_cast(m, before, FTL_I64), 1, &axis, true);
	at = e_where(m, valid, at, i64(m, s->beams)); /* behind the end: not at all */
	here = eq(m, i, at);
	before = e_sub(m, i, ftl_imp_cast(m, lt(m, at, i), FTL_I64));
	h->score = e_where(m, here, score, pick(m, h->score, before, 1));
	h->from = e_where(m, here, i64(m, s->beams + j), pick(m, h->from, before, 1));
	h->used = op2(m, FTL_OP_min, e_add(m, h->used, ftl_imp_cast(m, valid, FTL_I64)), i64(m, s->beams));
}

static heap heap_of(imp *m, const imp_search *s, const imp_search_state *st)
{
	ftl_dim d[2] = {s->b, dim_c(m, s->beams)};
	ftl_val i = ftl_imp_range(m, dim_c(m, s->beams), FTL_I64);

	return (heap){st->hyp_score, m->failed ? 0 : ftl_imp_expand(m, i, 2, d), st->used};
}

/* fresh: i32 [b, beams, max_length], the sequences of the candidates */
static void take(imp *m, const imp_search *s, const heap *h, ftl_val fresh, imp_search_state *st)
{
	struct ftl_attrs_gather_nd *a = NEW_ATTRS(m, gather_nd);
	ftl_val all = ftl_imp_concat(m, 1, 2, (const ftl_val[]){st->hyp_seq, fresh});

	FTL_UNUSED(s);
	a->batch_dims = 1;
	st->hyp_seq = ftl_imp_op(m, FTL_OP_gather_nd, a, 2, (const ftl_val[]){all, ftl_imp_unsqueeze(m, h->from, 2)});
	st->hyp_score = h->score;
	st->used = h->used;
}

/* score over length^penalty */
static ftl_val normalized(imp *m, const imp_search *s, ftl_val score, ftl_val len)
{
	return s->length_penalty ? e_div(m, score, op2(m, FTL_OP_pow, ftl_imp_cast(m, len, FTL_F32), s->length_penalty))
				 : e_div(m, score, ftl_imp_cast(m, len, FTL_F32));
}

/* ---- steps ---- */

static void append(imp *m, const imp_search *s, ftl_val cur, imp_search_state *st)
{
	ftl_val here = eq(m, ftl_imp_range(m, dim_c(m, s->max_length), FTL_I64), cur);
	ftl_val old = st->order ? ftl_imp_gather(m, st->seq, st->order, 0) : st->seq;

	st->seq = e_where(m, here, ftl_imp_unsqueeze(m, st->tokens, 1), old);
}

static void greedy_step(imp *m, const imp_search *s, ftl_val x, ftl_val cur, bool first, imp_search_state *st)
{
	ftl_val best[2], tok;

	x = process(m, s, x, st->seq, cur, first);
	topk(m, x, 1, true, best);
	tok = ftl_imp_cast(m, best[1], FTL_I32);
	st->done = op2(m, FTL_OP_or, st->done, eq(m, tok, ftl_imp_scalar(m, FTL_I32, (double)s->eos)));
	tok = e_where(m, st->done, ftl_imp_scalar(m, FTL_I32, (double)s->pad), tok);
	st->tokens = flat(m, tok, s->rows);
	append(m, s, cur, st);
}

/* Is this batch entry done after the step? values [b, 2 * beams]: the candidates' sums. */
static ftl_val finished(imp *m, const imp_search *s, ftl_val values, ftl_val cur, ftl_val first_row,
			const imp_search_state *st)
{
	static const int64_t axis = 1;
	ftl_val full = eq(m, st->used, i64(m, s->beams)), at, best, worst;

	if (s->early_stopping)
		return op2(m, FTL_OP_or, st->done, full);
	/* ONNX Runtime looks from place b * beams on, not b * 2 * beams: with more than one entry the best of another's */
	at = e_add(m, first_row, ftl_imp_range(m, dim_c(m, 2 * s->beams), FTL_I64));
	at = ftl_imp_gather(m, flat(m, values, ftl_dim_mul(m->st, s->b, dim_c(m, 2 * s->beams))), at, 0);
	best = normalized(m, s, ftl_imp_reduce(m, FTL_OP_reduce_max, at, 1, &axis, true), cur);
	worst = columns(m, st->hyp_score, s->beams - 1, 1);
	return op2(m, FTL_OP_or, st->done, both(m, full, no(m, lt(m, worst, best))));
}

static void beam_step(imp *m, const imp_search *s, ftl_val x, ftl_val cur, bool first, imp_search_state *st)
{
	struct ftl_attrs_log_softmax *la = NEW_ATTRS(m, log_softmax);
	int64_t nb = s->beams;
	ftl_val top[2], choice[2], vocab, tok, beam, ends, key, rows, fresh, open = no(m, st->done);
	ftl_dim v = ftl_imp_dim(m, x, 1), three[3] = {s->b, dim_c(m, nb), dim_c(m, s->max_length)};
	heap h = heap_of(m, s, st);

	la->axis = 1;
	x = process(m, s, ftl_imp_op(m, FTL_OP_log_softmax, la, 1, &x), st->seq, cur, first);
	x = e_add(m, x, shape2(m, st->scores, s->rows, dim_c(m, 1)));
	topk(m, shape2(m, x, s->b, ftl_dim_mul(m->st, v, dim_c(m, nb))), 2 * nb, true, top);
	vocab = ftl_imp_dim_scalar(m, v, FTL_I64);
	tok = op2(m, FTL_OP_mod, top[1], vocab);
	beam = e_div(m, top[1], vocab);
	ends = eq(m, tok, i64(m, s->eos));
	if (m->failed)
		return;
	/* first row of each batch entry, [b, 1] */
	rows = shape2(m, e_mulf(m, ftl_imp_range(m, s->b, FTL_I64), (double)nb), s->b, dim_c(m, 1));

	for (int64_t j = 0; j < nb && !m->failed; j++)
		insert(m, s, &h, j, normalized(m, s, columns(m, top[0], j, 1), cur),
		       both(m, columns(m, ends, j, 1), open));
	fresh = ftl_imp_gather(m, st->seq, e_add(m, columns(m, beam, 0, nb), rows), 0);
	take(m, s, &h, m->failed ? 0 : ftl_imp_reshape(m, fresh, 3, three), st);

	/* the first nb that do not end */
	key = e_add(m, ftl_imp_range(m, dim_c(m, 2 * nb), FTL_I64),
		    e_mulf(m, ftl_imp_cast(m, ends, FTL_I64), 2.0 * (double)nb));
	topk(m, key, nb, false, choice);
	st->scores = e_where(m, open, pick(m, top[0], choice[1], 1), ftl_imp_scalar(m, FTL_F32, 0));
	tok = e_where(m, open, pick(m, tok, choice[1], 1), i64(m, s->pad));
	beam = e_where(m, open, e_add(m, pick(m, beam, choice[1], 1), rows), i64(m, 0));
	st->tokens = flat(m, ftl_imp_cast(m, tok, FTL_I32), s->rows);
	st->order = flat(m, beam, s->rows);
	st->done = finished(m, s, top[0], cur, rows, st);
	append(m, s, cur, st);
}

void ftl_imp_search_step(imp *m, const imp_search *s, ftl_val logits, ftl_val cur, bool first, imp_search_state *st)
{
	ftl_val x = last_logits(m, s, logits);

	if (m->failed)
		return;
	if (ftl_imp_dim(m, x, 0) != s->rows)
		x = ftl_imp_search_expand(m, s, x);
	if (s->greedy)
		greedy_step(m, s, x, cur, first, st);
	else
		beam_step(m, s, x, cur, first, st);
}

void ftl_imp_search_end(imp *m, const imp_search *s, ftl_val cur, imp_search_state *st, ftl_val *out_seq,
			ftl_val *out_score)
{
	ftl_dim three[3] = {s->b, dim_c(m, s->beams), dim_c(m, s->max_length)};
	heap h;

	*out_seq = st->seq;
	*out_score = 0;
	if (s->greedy || m->failed)
		return;
	/* what is still open counts as it is */
	h = heap_of(m, s, st);
	for (int64_t j = 0; j < s->beams && !m->failed; j++)
		insert(m, s, &h, j, normalized(m, s, columns(m, st->scores, j, 1), cur), no(m, st->done));
	take(m, s, &h, m->failed ? 0 : ftl_imp_reshape(m, st->seq, 3, three), st);
	*out_seq = columns(m, st->hyp_seq, 0, s->returned);
	*out_score = columns(m, st->hyp_score, 0, s->returned);
}
