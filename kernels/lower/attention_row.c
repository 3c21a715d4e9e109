/* attention: rows of scores become weights, through the regions and the softmax. See attention.c. */
#include <math.h>

#include "kernels/lower/attention.h"

/* ---- the regions ---- */

ftl_kv ftl_att_read(ftl_attend *a, const ftl_type *scores, ftl_val v, const ftl_kv *idx)
{
	ftl_kv out[FTL_MAX_RANK];
	const ftl_type *t = att_type(a, v);
	ftl_symtab *st = a->lo->g->st;

	for (int d = 0; d < t->rank; d++) {
		int o = d + scores->rank - t->rank;
		int64_t one;

		if (t->dims[d] == scores->dims[o] || ftl_dim_known_eq(st, t->dims[d], scores->dims[o]) == 1)
			out[d] = idx[o];
		else if (ftl_dim_is_const(st, t->dims[d], &one) && one == 1)
			out[d] = att_num(a, 0);
		else /* known at run time only: a dim of 1 is walked with stride 0 */
			out[d] = att_mul(
				a, idx[o],
				ftl_k_select(a->b,
					     ftl_k2(a->b, FTL_K_eq, ftl_kern_dim(a->k, t->dims[d]), att_num(a, 1)),
					     att_num(a, 0), att_num(a, 1)));
	}
	return ftl_read(a->k, v, out);
}

/* Region r of score x at idx. Every value in it belongs to the same element (or broadcasts to it), so each is computed once. */
static ftl_kv region_of(ftl_attend *a, uint32_t r, const ftl_kv *idx, ftl_kv x)
{
	const ftl_graph *g = a->lo->g;
	const ftl_region *reg = ftl_region_get(g, a->n->regions[r]);
	ftl_kern *k = a->k;
	uint32_t mark = k->over.n;
	const ftl_type *scores = att_type(a, reg->params.v[0]);
	ftl_kv in[4], y;

	ftl_vec_push(a->lo->arena, &k->over, ((__typeof__(*k->over.v)){reg->params.v[0], x}));
	FTL_FOREACH_NODE_IN(g, a->n->regions[r], id) {
		const ftl_node *n = ftl_node_get(g, id);

		if (id == reg->last || n->op == FTL_OP_const)
			continue;
		for (uint32_t i = 0; i < n->nin; i++)
			in[i] = n->in[i] ? ftl_att_read(a, scores, n->in[i], idx) : 0;
		y = ftl_lower_get(n->op)->map(k, n, in);
		ftl_vec_push(a->lo->arena, &k->over, ((__typeof__(*k->over.v)){n->out[0], y}));
	}
	y = ftl_att_read(a, scores, ftl_node_get(g, reg->last)->in[0], idx);
	k->over.n = mark;
	return ftl_k_cast(a->b, y, a->t);
}

bool ftl_att_region_empty(const ftl_attend *a, uint32_t r)
{
	const ftl_region *reg;

	if (r >= a->n->nregion)
		return true;
	reg = ftl_region_get(a->lo->g, a->n->regions[r]);
	return ftl_node_get(a->lo->g, reg->last)->in[0] == reg->params.v[0];
}

/* ---- rows of scores become weights ---- */

/* One sweep over the nb scores of row i: vectors, then a masked rest. */
struct sweep {
	ftl_attend *a;
	ftl_kv i, j0, nb; /* row of the block, first key, keys */
	ftl_kv bound;     /* the largest logit, or what weights are multiplied by */
	ftl_kv acc;       /* variable: vector of maxima or sums */
};

static void sweep_row(struct sweep *s, void (*body)(struct sweep *s, ftl_kv at, ftl_kv *idx, ftl_kv count))
{
	ftl_attend *a = s->a;
	ftl_kb *b = a->b;
	ftl_kv idx[FTL_MAX_RANK], rest = ftl_k2(b, FTL_K_rem, s->nb, att_num(a, a->width));
	ftl_kv mid = ftl_k2(b, FTL_K_sub, s->nb, rest);
	ftl_kscope f;
	int64_t n;

	memcpy(idx, a->idx, sizeof idx);
	idx[a->rank - 2] = att_add(a, a->m0, s->i);
	f = ftl_k_for(b, att_num(a, 0), mid, a->width);
	idx[a->rank - 1] = ftl_k_ramp(b, att_add(a, s->j0, f.index), att_num(a, 1), a->width);
	body(s, ftl_att_score_at(a, s->i, f.index), idx, 0);
	ftl_k_end(b, &f);
	if (a->width == 1 || (ftl_dim_is_const(a->lo->g->st, a->keys, &n) && n % a->width == 0))
		return; /* blocks are multiples of a vector too */
	f = ftl_k_if(b, ftl_k2(b, FTL_K_lt, att_num(a, 0), rest));
	idx[a->rank - 1] = ftl_k_ramp(b, att_add(a, s->j0, mid), att_num(a, 1), a->width);
	a->k->mask = rest;
	body(s, ftl_att_score_at(a, s->i, mid), idx, rest);
	a->k->mask = 0;
	ftl_k_end(b, &f);
}

/* Lanes past count hold what does not matter to the sweep. */
static ftl_kv fill(const ftl_attend *a, ftl_kv x, ftl_kv count, double with)
{
	ftl_kv lane, in;

	if (!count)
		return x;
	lane = ftl_k_ramp(a->b, att_num(a, 0), att_num(a, 1), a->width);
	in = ftl_k2(a->b, FTL_K_lt, lane, ftl_k_splat(a->b, count, a->width));
	return ftl_k_select(a->b, in, x, att_real(a, a->width, with));
}

static void max_body(struct sweep *s, ftl_kv at, ftl_kv *idx, ftl_kv count)
{
	ftl_attend *a = s->a;
	ftl_kv x = ftl_k_load(a->b, a->t, a->s, at, a->width);

	if (!ftl_att_region_empty(a, 0) || count) {
		if (!ftl_att_region_empty(a, 0))
			x = att_splat(a, region_of(a, 0, idx, x));
		x = fill(a, x, count, -INFINITY);
		ftl_k_store(a->b, a->s, at, x);
	}
	ftl_k_set(a->b, s->acc, ftl_k2(a->b, FTL_K_max, ftl_k_get(a->b, s->acc), x));
}

static void exp_body(struct sweep *s, ftl_kv at, ftl_kv *idx, ftl_kv count)
{
	ftl_attend *a = s->a;
	ftl_kv x = ftl_k_load(a->b, a->t, a->s, at, a->width);

	FTL_UNUSED(idx);
	FTL_UNUSED(count);
	x = ftl_k1(a->b, FTL_K_exp, ftl_k2(a->b, FTL_K_sub, x, s->bound));
	ftl_k_store(a->b, a->s, at, x);
	ftl_k_set(a->b, s->acc, att_add(a, ftl_k_get(a->b, s->acc), x));
}

/* Weights made final, through their region. */
static void weight_body(struct sweep *s, ftl_kv at, ftl_kv *idx, ftl_kv count)
{
	ftl_attend *a = s->a;
	ftl_kv x = ftl_k_load(a->b, a->t, a->s, at, a->width);

	FTL_UNUSED(count);
	if (s->bound)
		x = att_mul(a, x, s->bound);
	if (a->linear && !ftl_att_region_empty(a, 0))
		x = att_splat(a, region_of(a, 0, idx, x));
	if (!ftl_att_region_empty(a, 1))
		x = att_splat(a, region_of(a, 1, idx, x));
	ftl_k_store(a->b, a->s, at, x);
}

/* The logits of row i: their largest is returned. */
static ftl_kv row_max(ftl_attend *a, ftl_kv i, ftl_kv j0, ftl_kv nb)
{
	struct sweep s = {.a = a, .i = i, .j0 = j0, .nb = nb, .acc = ftl_k_var(a->b, att_real(a, a->width, -INFINITY))};

	sweep_row(&s, max_body);
	return ftl_k_reduce(a->b, FTL_K_max, ftl_k_get(a->b, s.acc));
}

static ftl_kv row_exp(ftl_attend *a, ftl_kv i, ftl_kv j0, ftl_kv nb, ftl_kv top)
{
	struct sweep s = {.a = a,
			  .i = i,
			  .j0 = j0,
			  .nb = nb,
			  .bound = att_splat(a, top),
			  .acc = ftl_k_var(a->b, att_real(a, a->width, 0))};

	sweep_row(&s, exp_body);
	return ftl_k_reduce(a->b, FTL_K_add, ftl_k_get(a->b, s.acc));
}

void ftl_att_weights(ftl_attend *a, ftl_kv i, ftl_kv j0, ftl_kv nb, ftl_kv factor)
{
	struct sweep s = {.a = a, .i = i, .j0 = j0, .nb = nb, .bound = factor ? att_splat(a, factor) : 0};

	sweep_row(&s, weight_body);
}

/* A row of -inf alone has no largest logit: against 0 its weights are 0, and their sum too, which makes the result NaN. */
static ftl_kv finite_top(ftl_attend *a, ftl_kv top)
{
	ftl_kv none = ftl_k2(a->b, FTL_K_eq, top, att_real(a, 1, -INFINITY));

	return ftl_k_select(a->b, none, att_real(a, 1, 0), top);
}

void ftl_att_softmax(ftl_attend *a, ftl_kv i, ftl_kv j0, ftl_kv nb, enum ftl_att_phase ph)
{
	ftl_kb *b = a->b;
	ftl_kv old, top, by, sum;
	ftl_kscope f;

	if (a->linear) {
		ftl_att_weights(a, i, j0, nb, 0);
		return;
	}
	old = ftl_k_load(b, a->t, a->top, i, 1);
	if (ph == FTL_ATT_FINAL) {
		row_max(a, i, j0, nb); /* for the logits */
		row_exp(a, i, j0, nb, finite_top(a, old));
		ftl_att_weights(a, i, j0, nb,
				ftl_k2(b, FTL_K_div, att_real(a, 1, 1), ftl_k_load(b, a->t, a->sum, i, 1)));
		return;
	}
	top = ftl_k2(b, FTL_K_max, old, row_max(a, i, j0, nb));
	sum = row_exp(a, i, j0, nb, finite_top(a, top));
	by = ftl_k1(b, FTL_K_exp, ftl_k2(b, FTL_K_sub, old, finite_top(a, top)));
	ftl_k_store(b, a->sum, i, att_add(a, att_mul(a, ftl_k_load(b, a->t, a->sum, i, 1), by), sum));
	ftl_k_store(b, a->top, i, top);
	if (ph == FTL_ATT_STATS || a->once)
		return;
	f = ftl_k_if(b, ftl_k2(b, FTL_K_ne, by, att_real(a, 1, 1)));
	{
		ftl_kv at0 = att_mul(a, i, att_num(a, a->ep));
		ftl_kscope c = ftl_k_for(b, att_num(a, 0), att_num(a, a->ep), a->width);
		ftl_kv at = att_add(a, at0, c.index);

		ftl_k_store(b, a->o, at, att_mul(a, ftl_k_load(b, a->t, a->o, at, a->width), att_splat(a, by)));
		ftl_k_end(b, &c);
	}
	ftl_k_end(b, &f);
}
