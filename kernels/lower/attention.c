/* attention: tiles of queries against blocks of keys, with a softmax that is corrected as it goes.
 *
 * One piece is a block of queries of one head. For each block of keys it makes the scores in a scratch of its own (a
 * register tile like the contraction generator's, over keys packed into panels), runs the region over them while they
 * are in L1, exponentiates against the largest logit seen so far, and adds the weighted values onto the result, which
 * waits in the scratch and is scaled down when a larger logit turns up. Where all keys fit into one block the result never
 * leaves the registers. Few queries (decoding) read the keys where they lie: packing them would cost more than it saves.
 *
 * Where weights have a region of their own they must be final before it: one sweep finds maxima and sums, a second one makes
 * the weights. Milakov and Gimelshein 2018 for the running softmax, Dao et al. 2022 for the tiling. */
#include <math.h>

#include "kernels/lower/driver.h"

enum {
	KEYS = 128,           /* a block of keys: its scores for a tile of queries stay in L1 */
	TILES = 8,            /* register tiles in a block of queries */
	FEW = 6,              /* fewer queries than this take the keys unpacked */
	SCRATCH = 192 << 10,  /* bytes */
	VEC = 8,              /* vectors of a tile at most */
	ROWS = 8,             /* rows of a tile at most */
};

/* Where the elements of an operand lie, transposes in front of it included. */
struct view {
	ftl_val v;
	ftl_kv stride[FTL_MAX_RANK];
	bool unit; /* the last stride is 1 */
};

struct attend {
	ftl_lo *lo;
	ftl_node_id id;
	const ftl_node *n;
	ftl_dtype t;                /* compute type */
	int rank, width, mr, nv;    /* tile */
	int64_t mb, kb, e, ep;      /* block sizes; size of a value, and rounded up to vectors */
	ftl_dim m, keys, d, lead;   /* queries, keys, their size, heads */
	bool packed, once, linear;  /* once: all keys in one block */
	ftl_kv panels;              /* program value: packed keys */

	/* in the kernel */
	ftl_kern *k;
	ftl_kb *b;
	struct view q, key, val;
	ftl_kv idx[FTL_MAX_RANK];   /* of the piece's head */
	ftl_kv s, o, top, sum;      /* scratch: scores, result, per row the largest logit and the sum */
	ftl_kv m0, rows, tiled;     /* first query, queries, and those rounded up to tiles */
	ftl_kv q0, k0, v0;          /* where the head's operands start */
	ftl_kv head;                /* number of the head's keys among the packed ones */
};

/* ---- small arithmetic ---- */

static ftl_kv add(const struct attend *a, ftl_kv x, ftl_kv y)
{
	return ftl_k2(a->b, FTL_K_add, x, y);
}

static ftl_kv mul(const struct attend *a, ftl_kv x, ftl_kv y)
{
	return ftl_k2(a->b, FTL_K_mul, x, y);
}

static ftl_kv num(const struct attend *a, int64_t x)
{
	return ftl_k_i64(a->b, x);
}

static ftl_kv real(const struct attend *a, int lanes, double x)
{
	return ftl_k_float(a->b, FTL_KT(a->t, lanes), x);
}

/* ---- operands ---- */

static const ftl_type *type_of(const struct attend *a, ftl_val v)
{
	return ftl_type_of(a->lo->g, v);
}

static struct view view_of(struct attend *a, ftl_val v)
{
	const ftl_graph *g = a->lo->g;
	const ftl_node *n = NULL;
	struct view w = {.v = v};
	ftl_kv stride[FTL_MAX_RANK], step = num(a, 1);
	const ftl_type *t;

	if (a->lo->val[v].how == FTL_HOW_INLINE) {
		n = ftl_node_get(g, ftl_value_get(g, v)->def);
		w.v = n->in[0];
	}
	t = type_of(a, w.v);
	for (int i = t->rank - 1; i >= 0; i--) {
		stride[i] = step;
		step = mul(a, step, ftl_kern_dim(a->k, t->dims[i]));
	}
	for (int i = 0; i < t->rank; i++) {
		ftl_ints perm = n ? FTL_ATTRS(n, transpose)->perm : (ftl_ints){0, NULL};
		int from = !n ? i : perm.n ? (int)perm.v[i] : t->rank - 1 - i;

		w.stride[i] = stride[from];
		w.unit = from == t->rank - 1; /* of the last axis in the end */
	}
	return w;
}

/* The leading index of operand v that serves the piece's head. */
static ftl_kv lead_index(struct attend *a, ftl_val v, int d)
{
	const ftl_type *q = type_of(a, a->n->in[0]), *t = type_of(a, v);
	ftl_symtab *st = a->lo->g->st;
	int64_t have;

	if (t->dims[d] == q->dims[d] || ftl_dim_known_eq(st, t->dims[d], q->dims[d]) == 1)
		return a->idx[d];
	if (ftl_dim_is_const(st, t->dims[d], &have) && have == 1)
		return num(a, 0);
	return ftl_k2(a->b, FTL_K_div, a->idx[d],
		      ftl_k2(a->b, FTL_K_div, ftl_kern_dim(a->k, q->dims[d]), ftl_kern_dim(a->k, t->dims[d])));
}

static ftl_kv start_of(struct attend *a, const struct view *w, ftl_val v)
{
	ftl_kv at = num(a, 0);

	for (int d = 0; d + 2 < a->rank; d++)
		at = add(a, at, mul(a, lead_index(a, v, d), w->stride[d]));
	return at;
}

/* What inference could not prove. */
static void check_operands(struct attend *a)
{
	ftl_lo *lo = a->lo;
	ftl_kb *b = &lo->main;
	ftl_symtab *st = lo->g->st;
	const ftl_type *t[3];

	for (int i = 0; i < 3; i++)
		t[i] = type_of(a, a->n->in[i]);
	for (int i = 1; i < 3; i++) {
		for (int d = 0; d + 2 < a->rank; d++) {
			int64_t x, y;
			ftl_kv have, want;

			if (ftl_dim_known_eq(st, t[i]->dims[d], t[0]->dims[d]) == 1 ||
			    (ftl_dim_is_const(st, t[i]->dims[d], &x) && (x == 1 || ftl_dim_is_const(st, t[0]->dims[d], &y))))
				continue; /* constants were compared by inference */
			have = ftl_lo_dim(lo, t[i]->dims[d]);
			want = ftl_lo_dim(lo, t[0]->dims[d]);
			ftl_k_check(b,
				    ftl_k2(b, FTL_K_or, ftl_k2(b, FTL_K_eq, want, ftl_k_i64(b, 0)),
					   ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_lt, ftl_k_i64(b, 0), have),
						  ftl_k2(b, FTL_K_eq, ftl_k2(b, FTL_K_rem, want, have), ftl_k_i64(b, 0)))),
				    ftl_lo_msg(lo, a->n, "the operands' leading dims do not fit together"));
		}
	}
	if (ftl_dim_known_eq(st, t[0]->dims[a->rank - 1], t[1]->dims[a->rank - 1]) != 1)
		ftl_k_check(b, ftl_k2(b, FTL_K_eq, ftl_lo_dim(lo, t[0]->dims[a->rank - 1]), ftl_lo_dim(lo, t[1]->dims[a->rank - 1])),
			    ftl_lo_msg(lo, a->n, "queries and keys have different sizes"));
	if (ftl_dim_known_eq(st, t[1]->dims[a->rank - 2], t[2]->dims[a->rank - 2]) != 1)
		ftl_k_check(b, ftl_k2(b, FTL_K_eq, ftl_lo_dim(lo, t[1]->dims[a->rank - 2]), ftl_lo_dim(lo, t[2]->dims[a->rank - 2])),
			    ftl_lo_msg(lo, a->n, "there are not as many values as keys"));
	for (uint32_t r = 0; r < a->n->nregion; r++)
		FTL_FOREACH_NODE_IN(lo->g, a->n->regions[r], id)
			if (ftl_op_has(ftl_node_get(lo->g, id)->op, FTL_MAP))
				ftl_lo_check_broadcast(lo, id);
}

static ftl_dim lead_dims(const struct attend *a, ftl_val v)
{
	const ftl_type *t = type_of(a, v);
	ftl_symtab *st = a->lo->g->st;
	ftl_dim p = ftl_dim_const(st, 1);

	for (int d = 0; d + 2 < t->rank; d++)
		p = ftl_dim_mul(st, p, t->dims[d]);
	return p;
}

/* ---- packing the keys: [head][panel][element][column], zeros behind the last key ---- */

static int64_t panel(const struct attend *a)
{
	return (int64_t)a->width * a->nv;
}

static void pack_keys(struct attend *a)
{
	ftl_lo *lo = a->lo;
	ftl_symtab *st = lo->g->st;
	ftl_val key = a->n->in[1];
	const ftl_type *t = type_of(a, key);
	ftl_dim panels = ftl_dim_ceildiv(st, a->keys, ftl_dim_const(st, panel(a))), heads = lead_dims(a, key), bytes;
	ftl_kern *k = ftl_kern_begin(lo, a->id, "attention: keys");
	ftl_kv g, np, d, n0, from, to, ptr, idx[FTL_MAX_RANK], n;
	ftl_kscope s, in;

	a->k = k;
	a->b = ftl_kern_b(k);
	a->key = view_of(a, key);
	g = ftl_kern_grid(k);
	np = ftl_kern_dim(k, panels);
	d = ftl_kern_dim(k, a->d);
	n = ftl_kern_dim(k, a->keys);
	bytes = ftl_dim_mul(st, ftl_dim_mul(st, ftl_dim_mul(st, heads, panels), a->d),
			    ftl_dim_const(st, panel(a) * (int64_t)ftl_dtype_bytes(a->t)));
	a->panels = ftl_lo_temp(lo, bytes);
	ptr = ftl_kern_arg(k, a->panels);
	n0 = mul(a, ftl_k2(a->b, FTL_K_rem, g, np), num(a, panel(a)));
	ftl_delinear(k, t->dims, a->rank - 2, ftl_k2(a->b, FTL_K_div, g, np), idx);
	from = num(a, 0);
	for (int i = 0; i + 2 < a->rank; i++)
		from = add(a, from, mul(a, idx[i], a->key.stride[i]));
	to = mul(a, mul(a, g, d), num(a, panel(a)));
	/* a key at a time: it lies together, its neighbours share the cache lines of the panel */
	s = ftl_k_for(a->b, num(a, 0), num(a, panel(a)), 1);
	{
		ftl_kv j = add(a, n0, s.index), row = add(a, from, mul(a, j, a->key.stride[a->rank - 2]));
		ftl_kscope f = ftl_k_if(a->b, ftl_k2(a->b, FTL_K_lt, j, n));
		ftl_kv at;

		in = ftl_k_for(a->b, num(a, 0), d, 1);
		at = add(a, row, mul(a, in.index, a->key.stride[a->rank - 1]));
		ftl_k_store(a->b, ptr, add(a, add(a, to, mul(a, in.index, num(a, panel(a)))), s.index),
			    ftl_k_cast(a->b, ftl_read_flat(k, a->key.v, at, 1), a->t));
		ftl_k_end(a->b, &in);
		ftl_k_else(a->b, &f);
		in = ftl_k_for(a->b, num(a, 0), d, 1);
		ftl_k_store(a->b, ptr, add(a, add(a, to, mul(a, in.index, num(a, panel(a)))), s.index), real(a, 1, 0));
		ftl_k_end(a->b, &in);
		ftl_k_end(a->b, &f);
	}
	ftl_k_end(a->b, &s);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_dim_mul(st, heads, panels)), panel(a) * 128);
}

/* ---- scores ---- */

/* Where in the scratch the score of row i (of the block) and key j (of the block) lies. */
static ftl_kv score_at(const struct attend *a, ftl_kv i, ftl_kv j)
{
	return add(a, mul(a, i, num(a, a->kb)), j);
}

/* mr rows from row i by nv vectors of keys from key j of the block that starts at key j0. */
static void score_tile(struct attend *a, ftl_kv i, ftl_kv j0, ftl_kv j, int nv)
{
	ftl_kb *b = a->b;
	ftl_kv acc[ROWS][VEC], row[ROWS], ptr = ftl_kern_arg(a->k, a->panels), base, last, d = ftl_kern_dim(a->k, a->d);
	ftl_kscope f;

	last = ftl_k2(b, FTL_K_sub, ftl_kern_dim(a->k, a->m), num(a, 1));
	for (int r = 0; r < a->mr; r++) {
		/* rows past the last query repeat it and are never written */
		ftl_kv q = ftl_k2(b, FTL_K_min, add(a, a->m0, add(a, i, num(a, r))), last);

		row[r] = add(a, a->q0, mul(a, q, a->q.stride[a->rank - 2]));
		for (int v = 0; v < nv; v++)
			acc[r][v] = ftl_k_var(b, real(a, a->width, 0));
	}
	/* blocks start at panels */
	base = mul(a, add(a, mul(a, a->head, ftl_kern_dim(a->k, ftl_dim_ceildiv(a->lo->g->st, a->keys, ftl_dim_const(a->lo->g->st, panel(a))))),
			  ftl_k2(b, FTL_K_div, add(a, j0, j), num(a, panel(a)))),
		   mul(a, d, num(a, panel(a))));
	f = ftl_k_for(b, num(a, 0), d, 1);
	{
		ftl_kv kv[VEC], at = add(a, base, mul(a, f.index, num(a, panel(a))));

		for (int v = 0; v < nv; v++)
			kv[v] = ftl_k_load(b, a->t, ptr, add(a, at, num(a, (int64_t)v * a->width)), a->width);
		for (int r = 0; r < a->mr; r++) {
			ftl_kv x = ftl_read_flat(a->k, a->q.v, add(a, row[r], mul(a, f.index, a->q.stride[a->rank - 1])), 1);

			x = ftl_k_splat(b, ftl_k_cast(b, x, a->t), a->width);
			for (int v = 0; v < nv; v++)
				ftl_k_set(b, acc[r][v], ftl_k_fma(b, x, kv[v], ftl_k_get(b, acc[r][v])));
		}
	}
	ftl_k_end(b, &f);
	for (int r = 0; r < a->mr; r++) {
		for (int v = 0; v < nv; v++) {
			ftl_kv x = mul(a, ftl_k_get(b, acc[r][v]), real(a, a->width, FTL_ATTRS(a->n, attention)->scale));

			ftl_k_store(b, a->s, score_at(a, add(a, i, num(a, r)), add(a, j, num(a, (int64_t)v * a->width))), x);
		}
	}
}

static void score_rows(struct attend *a, ftl_kv j0, ftl_kv j, int nv)
{
	ftl_kscope s = ftl_k_for(a->b, num(a, 0), a->tiled, a->mr);

	score_tile(a, s.index, j0, j, nv);
	ftl_k_end(a->b, &s);
}

/* Scores of the block's rows against nb keys from j0. */
static void make_scores(struct attend *a, ftl_kv j0, ftl_kv nb)
{
	ftl_kb *b = a->b;
	int64_t n, rest;
	int part = a->nv;
	ftl_kscope s = ftl_k_for(b, num(a, 0), nb, panel(a)), f;

	if (ftl_dim_is_const(a->lo->g->st, a->keys, &n) && (rest = n % panel(a)) != 0)
		part = (int)((rest + a->width - 1) / a->width);
	if (part == a->nv) {
		score_rows(a, j0, s.index, a->nv);
	} else {
		f = ftl_k_if(b, ftl_k2(b, FTL_K_le, add(a, s.index, num(a, panel(a))), nb));
		score_rows(a, j0, s.index, a->nv);
		ftl_k_else(b, &f);
		score_rows(a, j0, s.index, part);
		ftl_k_end(b, &f);
	}
	ftl_k_end(b, &s);
}

/* The same by dot products with the keys where they lie. */
static void make_scores_direct(struct attend *a, ftl_kv j0, ftl_kv nb)
{
	ftl_kb *b = a->b;
	ftl_kscope r = ftl_k_for(b, num(a, 0), a->rows, 1);
	ftl_kv row = add(a, a->q0, mul(a, add(a, a->m0, r.index), a->q.stride[a->rank - 2]));
	ftl_kscope c = ftl_k_for(b, num(a, 0), nb, 1);
	ftl_kv key = add(a, a->k0, mul(a, add(a, j0, c.index), a->key.stride[a->rank - 2])), x;
	int width = a->q.unit && a->key.unit ? a->width : 1;
	ftl_acc acc = ftl_acc_begin(a->k, FTL_K_add, a->t, width, 0);

	for (ftl_vloop l = ftl_vloop_begin(a->k, num(a, 0), ftl_kern_dim(a->k, a->d), width); ftl_vloop_next(&l);) {
		ftl_kv qi = add(a, row, mul(a, l.base, a->q.stride[a->rank - 1]));
		ftl_kv ki = add(a, key, mul(a, l.base, a->key.stride[a->rank - 1]));
		ftl_kv qv = ftl_k_cast(b, ftl_read_flat(a->k, a->q.v, qi, l.lanes), a->t);
		ftl_kv kv = ftl_k_cast(b, ftl_read_flat(a->k, a->key.v, ki, l.lanes), a->t);

		ftl_acc_put(a->k, &acc, mul(a, qv, kv));
	}
	x = mul(a, ftl_acc_end(a->k, &acc), real(a, 1, FTL_ATTRS(a->n, attention)->scale));
	ftl_k_store(b, a->s, score_at(a, r.index, c.index), x);
	ftl_k_end(b, &c);
	ftl_k_end(b, &r);
}

/* ---- the regions ---- */

static ftl_kv lower_index(struct attend *a, const ftl_type *scores, ftl_val v, const ftl_kv *idx, ftl_kv *out)
{
	const ftl_type *t = type_of(a, v);
	ftl_symtab *st = a->lo->g->st;

	for (int d = 0; d < t->rank; d++) {
		int o = d + scores->rank - t->rank;
		int64_t one;

		if (t->dims[d] == scores->dims[o] || ftl_dim_known_eq(st, t->dims[d], scores->dims[o]) == 1)
			out[d] = idx[o];
		else if (ftl_dim_is_const(st, t->dims[d], &one) && one == 1)
			out[d] = num(a, 0);
		else /* known at run time only: a dim of 1 is walked with stride 0 */
			out[d] = mul(a, idx[o],
				     ftl_k_select(a->b, ftl_k2(a->b, FTL_K_eq, ftl_kern_dim(a->k, t->dims[d]), num(a, 1)),
						  num(a, 0), num(a, 1)));
	}
	return ftl_read(a->k, v, out);
}

/* Region r of score x at idx. Every value in it belongs to the same element (or broadcasts to it), so each is computed once. */
static ftl_kv region_of(struct attend *a, uint32_t r, const ftl_kv *idx, ftl_kv x)
{
	const ftl_graph *g = a->lo->g;
	const ftl_region *reg = ftl_region_get(g, a->n->regions[r]);
	ftl_kern *k = a->k;
	uint32_t mark = k->over.n;
	const ftl_type *scores = type_of(a, reg->params.v[0]);
	ftl_kv at[FTL_MAX_RANK], in[4], y;

	ftl_vec_push(a->lo->arena, &k->over, ((__typeof__(*k->over.v)){reg->params.v[0], x}));
	FTL_FOREACH_NODE_IN(g, a->n->regions[r], id) {
		const ftl_node *n = ftl_node_get(g, id);

		if (id == reg->last || n->op == FTL_OP_const)
			continue;
		for (uint32_t i = 0; i < n->nin; i++)
			in[i] = n->in[i] ? lower_index(a, scores, n->in[i], idx, at) : 0;
		y = ftl_lower_get(n->op)->map(k, n, in);
		ftl_vec_push(a->lo->arena, &k->over, ((__typeof__(*k->over.v)){n->out[0], y}));
	}
	y = lower_index(a, scores, ftl_node_get(g, reg->last)->in[0], idx, at);
	k->over.n = mark;
	return ftl_k_cast(a->b, y, a->t);
}

static bool region_empty(const struct attend *a, uint32_t r)
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
	struct attend *a;
	ftl_kv i, j0, nb; /* row of the block, first key, keys */
	ftl_kv bound;     /* the largest logit, or what weights are multiplied by */
	ftl_kv acc;       /* variable: vector of maxima or sums */
};

static void sweep_row(struct sweep *s, void (*body)(struct sweep *s, ftl_kv at, ftl_kv *idx, ftl_kv count))
{
	struct attend *a = s->a;
	ftl_kb *b = a->b;
	ftl_kv idx[FTL_MAX_RANK], rest = ftl_k2(b, FTL_K_rem, s->nb, num(a, a->width));
	ftl_kv mid = ftl_k2(b, FTL_K_sub, s->nb, rest);
	ftl_kscope f = ftl_k_for(b, num(a, 0), mid, a->width);
	int64_t n;

	memcpy(idx, a->idx, sizeof idx);
	idx[a->rank - 2] = add(a, a->m0, s->i);
	idx[a->rank - 1] = ftl_k_ramp(b, add(a, s->j0, f.index), num(a, 1), a->width);
	body(s, score_at(a, s->i, f.index), idx, 0);
	ftl_k_end(b, &f);
	if (a->width == 1 || (ftl_dim_is_const(a->lo->g->st, a->keys, &n) && n % a->width == 0))
		return; /* blocks are multiples of a vector too */
	f = ftl_k_if(b, ftl_k2(b, FTL_K_lt, num(a, 0), rest));
	idx[a->rank - 1] = ftl_k_ramp(b, add(a, s->j0, mid), num(a, 1), a->width);
	a->k->mask = rest;
	body(s, score_at(a, s->i, mid), idx, rest);
	a->k->mask = 0;
	ftl_k_end(b, &f);
}

/* Lanes past count hold what does not matter to the sweep. */
static ftl_kv fill(const struct attend *a, ftl_kv x, ftl_kv count, double with)
{
	ftl_kv lane, in;

	if (!count)
		return x;
	lane = ftl_k_ramp(a->b, num(a, 0), num(a, 1), a->width);
	in = ftl_k2(a->b, FTL_K_lt, lane, ftl_k_splat(a->b, count, a->width));
	return ftl_k_select(a->b, in, x, real(a, a->width, with));
}

static ftl_kv splat(const struct attend *a, ftl_kv x)
{
	return ftl_k_splat(a->b, x, a->width);
}

static void max_body(struct sweep *s, ftl_kv at, ftl_kv *idx, ftl_kv count)
{
	struct attend *a = s->a;
	ftl_kv x = ftl_k_load(a->b, a->t, a->s, at, a->width);

	if (!region_empty(a, 0) || count) {
		if (!region_empty(a, 0))
			x = splat(a, region_of(a, 0, idx, x));
		x = fill(a, x, count, -INFINITY);
		ftl_k_store(a->b, a->s, at, x);
	}
	ftl_k_set(a->b, s->acc, ftl_k2(a->b, FTL_K_max, ftl_k_get(a->b, s->acc), x));
}

static void exp_body(struct sweep *s, ftl_kv at, ftl_kv *idx, ftl_kv count)
{
	struct attend *a = s->a;
	ftl_kv x = ftl_k_load(a->b, a->t, a->s, at, a->width);

	FTL_UNUSED(idx);
	FTL_UNUSED(count);
	x = ftl_k1(a->b, FTL_K_exp, ftl_k2(a->b, FTL_K_sub, x, s->bound));
	ftl_k_store(a->b, a->s, at, x);
	ftl_k_set(a->b, s->acc, add(a, ftl_k_get(a->b, s->acc), x));
}

/* Weights made final, through their region. */
static void weight_body(struct sweep *s, ftl_kv at, ftl_kv *idx, ftl_kv count)
{
	struct attend *a = s->a;
	ftl_kv x = ftl_k_load(a->b, a->t, a->s, at, a->width);

	FTL_UNUSED(count);
	if (s->bound)
		x = mul(a, x, s->bound);
	if (a->linear && !region_empty(a, 0))
		x = splat(a, region_of(a, 0, idx, x));
	if (!region_empty(a, 1))
		x = splat(a, region_of(a, 1, idx, x));
	ftl_k_store(a->b, a->s, at, x);
}

/* The logits of row i: their largest is returned. */
static ftl_kv row_max(struct attend *a, ftl_kv i, ftl_kv j0, ftl_kv nb)
{
	struct sweep s = {.a = a, .i = i, .j0 = j0, .nb = nb, .acc = ftl_k_var(a->b, real(a, a->width, -INFINITY))};

	sweep_row(&s, max_body);
	return ftl_k_reduce(a->b, FTL_K_max, ftl_k_get(a->b, s.acc));
}

static ftl_kv row_exp(struct attend *a, ftl_kv i, ftl_kv j0, ftl_kv nb, ftl_kv top)
{
	struct sweep s = {.a = a, .i = i, .j0 = j0, .nb = nb, .bound = splat(a, top), .acc = ftl_k_var(a->b, real(a, a->width, 0))};

	sweep_row(&s, exp_body);
	return ftl_k_reduce(a->b, FTL_K_add, ftl_k_get(a->b, s.acc));
}

static void row_weights(struct attend *a, ftl_kv i, ftl_kv j0, ftl_kv nb, ftl_kv factor)
{
	struct sweep s = {.a = a, .i = i, .j0 = j0, .nb = nb, .bound = factor ? splat(a, factor) : 0};

	sweep_row(&s, weight_body);
}

/* A row of -inf alone has no largest logit: against 0 its weights are 0, and their sum too, which makes the result NaN. */
static ftl_kv finite_top(struct attend *a, ftl_kv top)
{
	ftl_kv none = ftl_k2(a->b, FTL_K_eq, top, real(a, 1, -INFINITY));

	return ftl_k_select(a->b, none, real(a, 1, 0), top);
}

enum phase {
	ONLINE, /* logits to weights, corrected as it goes */
	STATS,  /* maxima and sums alone */
	FINAL,  /* with maxima and sums known, or without a softmax */
};

static void softmax_row(struct attend *a, ftl_kv i, ftl_kv j0, ftl_kv nb, enum phase ph)
{
	ftl_kb *b = a->b;
	ftl_kv old, top, by, sum;
	ftl_kscope f;

	if (a->linear) {
		row_weights(a, i, j0, nb, 0);
		return;
	}
	old = ftl_k_load(b, a->t, a->top, i, 1);
	if (ph == FINAL) {
		row_max(a, i, j0, nb); /* for the logits */
		row_exp(a, i, j0, nb, finite_top(a, old));
		row_weights(a, i, j0, nb, ftl_k2(b, FTL_K_div, real(a, 1, 1), ftl_k_load(b, a->t, a->sum, i, 1)));
		return;
	}
	top = ftl_k2(b, FTL_K_max, old, row_max(a, i, j0, nb));
	sum = row_exp(a, i, j0, nb, finite_top(a, top));
	by = ftl_k1(b, FTL_K_exp, ftl_k2(b, FTL_K_sub, old, finite_top(a, top)));
	ftl_k_store(b, a->sum, i, add(a, mul(a, ftl_k_load(b, a->t, a->sum, i, 1), by), sum));
	ftl_k_store(b, a->top, i, top);
	if (ph == STATS || a->once)
		return;
	f = ftl_k_if(b, ftl_k2(b, FTL_K_ne, by, real(a, 1, 1)));
	{
		ftl_kv at0 = mul(a, i, num(a, a->ep));
		ftl_kscope c = ftl_k_for(b, num(a, 0), num(a, a->ep), a->width);
		ftl_kv at = add(a, at0, c.index);

		ftl_k_store(b, a->o, at, mul(a, ftl_k_load(b, a->t, a->o, at, a->width), splat(a, by)));
		ftl_k_end(b, &c);
	}
	ftl_k_end(b, &f);
}

/* ---- weights times values ---- */

/* Vector x of the result of row i (of the block), elements from c on, goes out. */
static void put_result(struct attend *a, ftl_kv i, int64_t c, ftl_kv x, ftl_kv factor)
{
	ftl_kv idx[FTL_MAX_RANK], ok;

	memcpy(idx, a->idx, sizeof idx);
	idx[a->rank - 2] = add(a, a->m0, i);
	idx[a->rank - 1] = ftl_k_ramp(a->b, num(a, c), num(a, 1), a->width);
	if (factor)
		x = mul(a, x, splat(a, factor));
	if (factor && FTL_ATTRS(a->n, attention)->nan_zero) {
		/* all weights of a row are NaN or none: then its sum is NaN, or 0 */
		ok = ftl_k2(a->b, FTL_K_lt, real(a, 1, 0), ftl_k_load(a->b, a->t, a->sum, i, 1));
		x = ftl_k_select(a->b, splat(a, ok), x, real(a, a->width, 0));
	}
	a->k->mask = c + a->width > a->e ? num(a, a->e - c) : 0;
	ftl_write(a->k, a->n->out[0], idx, x);
	a->k->mask = 0;
}

/* What the sums of a row divide by, or 0 where the weights are final. */
static ftl_kv factor_of(struct attend *a, ftl_kv i)
{
	ftl_kv by;
	int64_t n;

	if (a->linear || !region_empty(a, 1))
		return 0;
	by = ftl_k2(a->b, FTL_K_div, real(a, 1, 1), ftl_k_load(a->b, a->t, a->sum, i, 1));
	if (ftl_dim_is_const(a->lo->g->st, a->keys, &n) && n > 0)
		return by;
	/* without any key the result is 0 */
	return ftl_k_select(a->b, ftl_k2(a->b, FTL_K_eq, ftl_kern_dim(a->k, a->keys), num(a, 0)), real(a, 1, 0), by);
}

static void value_tile(struct attend *a, ftl_kv i, int64_t c, int nv, ftl_kv j0, ftl_kv nb)
{
	ftl_kb *b = a->b;
	ftl_kv acc[ROWS][VEC], base = add(a, a->v0, add(a, mul(a, j0, a->val.stride[a->rank - 2]), num(a, c)));
	ftl_dtype mem = type_of(a, a->val.v)->dtype;
	ftl_kv ptr = ftl_kern_ptr(a->k, a->val.v);
	ftl_kscope f;

	for (int r = 0; r < a->mr; r++)
		for (int v = 0; v < nv; v++) {
			ftl_kv at = add(a, mul(a, add(a, i, num(a, r)), num(a, a->ep)), num(a, c + (int64_t)v * a->width));

			acc[r][v] = ftl_k_var(b, a->once ? real(a, a->width, 0) : ftl_k_load(b, a->t, a->o, at, a->width));
		}
	f = ftl_k_for(b, num(a, 0), nb, 1);
	{
		ftl_kv x[VEC], at = add(a, base, mul(a, f.index, a->val.stride[a->rank - 2]));

		for (int v = 0; v < nv; v++) {
			int64_t from = c + (int64_t)v * a->width;
			ftl_kv p = add(a, at, num(a, (int64_t)v * a->width));

			if (from + a->width > a->e)
				x[v] = ftl_k_loadn(b, mem, ptr, p, num(a, a->e - from), a->width);
			else
				x[v] = ftl_k_load(b, mem, ptr, p, a->width);
			x[v] = ftl_k_cast(b, x[v], a->t);
		}
		for (int r = 0; r < a->mr; r++) {
			ftl_kv w = splat(a, ftl_k_load(b, a->t, a->s, score_at(a, add(a, i, num(a, r)), f.index), 1));

			for (int v = 0; v < nv; v++)
				ftl_k_set(b, acc[r][v], ftl_k_fma(b, w, x[v], ftl_k_get(b, acc[r][v])));
		}
	}
	ftl_k_end(b, &f);
	for (int r = 0; r < a->mr; r++) {
		ftl_kv row = add(a, i, num(a, r));

		f = (ftl_kscope){0};
		if (a->once)
			f = ftl_k_if(b, ftl_k2(b, FTL_K_lt, row, a->rows));
		for (int v = 0; v < nv; v++) {
			int64_t from = c + (int64_t)v * a->width;

			if (a->once)
				put_result(a, row, from, ftl_k_get(b, acc[r][v]), factor_of(a, row));
			else
				ftl_k_store(b, a->o, add(a, mul(a, row, num(a, a->ep)), num(a, from)),
					    ftl_k_get(b, acc[r][v]));
		}
		if (a->once)
			ftl_k_end(b, &f);
	}
}

static void add_values(struct attend *a, ftl_kv j0, ftl_kv nb)
{
	for (int64_t c = 0; c < a->ep;) {
		int nv = (int)((a->ep - c) / a->width);
		ftl_kscope s;

		nv = nv < a->nv ? nv : a->nv;
		s = ftl_k_for(a->b, num(a, 0), a->tiled, a->mr);
		value_tile(a, s.index, c, nv, j0, nb);
		ftl_k_end(a->b, &s);
		c += (int64_t)nv * a->width;
	}
}

/* ---- a piece ---- */

static void run_block(struct attend *a, ftl_kv j0, ftl_kv nb, enum phase ph)
{
	ftl_kscope s;

	if (a->packed)
		make_scores(a, j0, nb);
	else
		make_scores_direct(a, j0, nb);
	s = ftl_k_for(a->b, num(a, 0), a->rows, 1);
	softmax_row(a, s.index, j0, nb, ph);
	if (a->once && ph == ONLINE && !a->linear && !region_empty(a, 1))
		row_weights(a, s.index, j0, nb,
			    ftl_k2(a->b, FTL_K_div, real(a, 1, 1), ftl_k_load(a->b, a->t, a->sum, s.index, 1)));
	ftl_k_end(a->b, &s);
	if (ph != STATS)
		add_values(a, j0, nb);
}

static void run_keys(struct attend *a, enum phase ph)
{
	ftl_kb *b = a->b;
	ftl_kv n = ftl_kern_dim(a->k, a->keys);
	ftl_kscope s;

	if (a->once) {
		run_block(a, num(a, 0), n, ph);
		return;
	}
	s = ftl_k_for(b, num(a, 0), n, a->kb);
	run_block(a, s.index, ftl_k2(b, FTL_K_min, ftl_k2(b, FTL_K_sub, n, s.index), num(a, a->kb)), ph);
	ftl_k_end(b, &s);
}

/* The rows' maxima and sums before any key: nothing, or the sink. */
static void start_rows(struct attend *a)
{
	ftl_kb *b = a->b;
	ftl_val sink = a->n->nin > 3 ? a->n->in[3] : 0;
	ftl_kscope s = ftl_k_for(b, num(a, 0), a->tiled, 1);
	ftl_kv top = real(a, 1, -INFINITY), idx[FTL_MAX_RANK], at[FTL_MAX_RANK];

	if (sink) {
		const ftl_type *t = type_of(a, sink);

		memcpy(idx, a->idx, sizeof idx);
		idx[a->rank - 2] = ftl_k2(b, FTL_K_min, add(a, a->m0, s.index), ftl_k2(b, FTL_K_sub, ftl_kern_dim(a->k, a->m), num(a, 1)));
		for (int d = 0; d < t->rank; d++) {
			int o = d + a->rank - t->rank;
			ftl_kv one = ftl_k2(b, FTL_K_eq, ftl_kern_dim(a->k, t->dims[d]), num(a, 1));

			at[d] = o == a->rank - 1 ? num(a, 0) : mul(a, idx[o], ftl_k_select(b, one, num(a, 0), num(a, 1)));
		}
		top = ftl_k_cast(b, ftl_read(a->k, sink, at), a->t);
	}
	ftl_k_store(b, a->top, s.index, top);
	ftl_k_store(b, a->sum, s.index, real(a, 1, sink ? 1 : 0));
	ftl_k_end(b, &s);
	if (!a->once)
		ftl_k_zero(b, a->o, num(a, a->mb * a->ep * (int64_t)ftl_dtype_bytes(a->t)));
}

static void finish_rows(struct attend *a)
{
	ftl_kb *b = a->b;
	ftl_kscope s = ftl_k_for(b, num(a, 0), a->rows, 1);
	ftl_kv factor = factor_of(a, s.index);

	for (int64_t c = 0; c < a->ep; c += a->width)
		put_result(a, s.index, c, ftl_k_load(b, a->t, a->o, add(a, mul(a, s.index, num(a, a->ep)), num(a, c)), a->width),
			   factor);
	ftl_k_end(b, &s);
}

static ftl_status emit(struct attend *a)
{
	ftl_lo *lo = a->lo;
	ftl_symtab *st = lo->g->st;
	const ftl_type *q = type_of(a, a->n->in[0]), *key = type_of(a, a->n->in[1]);
	ftl_dim blocks = ftl_dim_ceildiv(st, a->m, ftl_dim_const(st, a->mb));
	int64_t size = (int64_t)ftl_dtype_bytes(a->t), m, n, d, cost;
	ftl_kv g, nb;

	if (a->packed)
		pack_keys(a);
	a->k = ftl_kern_begin(lo, a->id, "attention");
	a->b = ftl_kern_b(a->k);
	a->s = ftl_k_local(a->b, a->mb * a->kb * size);
	if (!a->once)
		a->o = ftl_k_local(a->b, a->mb * a->ep * size);
	a->top = ftl_k_local(a->b, a->mb * size);
	a->sum = ftl_k_local(a->b, a->mb * size);
	a->q = view_of(a, a->n->in[0]);
	a->key = view_of(a, a->n->in[1]);
	a->val = view_of(a, a->n->in[2]);
	g = ftl_kern_grid(a->k);
	nb = ftl_kern_dim(a->k, blocks);
	ftl_delinear(a->k, q->dims, a->rank - 2, ftl_k2(a->b, FTL_K_div, g, nb), a->idx);
	a->m0 = mul(a, ftl_k2(a->b, FTL_K_rem, g, nb), num(a, a->mb));
	a->rows = ftl_k2(a->b, FTL_K_min, ftl_k2(a->b, FTL_K_sub, ftl_kern_dim(a->k, a->m), a->m0), num(a, a->mb));
	a->tiled = mul(a, ftl_k2(a->b, FTL_K_div, add(a, a->rows, num(a, a->mr - 1)), num(a, a->mr)), num(a, a->mr));
	a->q0 = start_of(a, &a->q, a->n->in[0]);
	a->k0 = start_of(a, &a->key, a->n->in[1]);
	a->v0 = start_of(a, &a->val, a->n->in[2]);
	a->head = num(a, 0);
	for (int i = 0; i + 2 < a->rank; i++)
		a->head = add(a, mul(a, a->head, ftl_kern_dim(a->k, key->dims[i])), lead_index(a, a->n->in[1], i));
	start_rows(a);
	if (a->linear || a->once || region_empty(a, 1)) {
		run_keys(a, ONLINE);
	} else {
		run_keys(a, STATS);
		run_keys(a, FINAL);
	}
	if (!a->once)
		finish_rows(a);
	if (!ftl_dim_is_const(st, a->keys, &n))
		n = 512;
	if (!ftl_dim_is_const(st, a->d, &d))
		d = 64;
	if (!ftl_dim_is_const(st, a->m, &m) || m > a->mb)
		m = a->mb;
	cost = m * n * ((d + a->e) / a->width + 8);
	ftl_kern_launch(a->k, ftl_lo_dim(lo, ftl_dim_mul(st, a->lead, blocks)), cost);
	return FTL_OK;
}

/* Blocks for the target, this many queries and keys. False if not even one tile fits into the scratch. */
static bool shape(struct attend *a, bool few)
{
	const ftl_target *t = a->lo->target;
	int64_t size = (int64_t)ftl_dtype_bytes(a->t), n, m, tiles = TILES;

	a->width = t->vector_bytes ? t->vector_bytes / (int)size : 1;
	a->packed = !few;
	if (a->width <= 1) {
		a->width = a->mr = a->nv = 1;
	} else {
		a->nv = t->vector_regs >= 32 ? 4 : 2;
		a->mr = 6;
	}
	if (few)
		a->mr = 1;
	if (few || (ftl_dim_is_const(a->lo->g->st, a->m, &m) && m < tiles * a->mr))
		tiles = few ? FEW : (m + a->mr - 1) / a->mr;
	if (tiles < 1)
		tiles = 1;
	a->ep = (a->e + a->width - 1) / a->width * a->width;
	a->kb = (KEYS + panel(a) - 1) / panel(a) * panel(a);
	a->once = ftl_dim_is_const(a->lo->g->st, a->keys, &n) && n <= 2 * a->kb;
	if (a->once)
		a->kb = n > 0 ? (n + panel(a) - 1) / panel(a) * panel(a) : panel(a);
	for (;; tiles--) {
		a->mb = tiles * a->mr;
		if (a->mb * (a->kb + a->ep + 2) * size <= SCRATCH)
			return true;
		if (tiles == 1)
			return false;
	}
}

ftl_status ftl_nest_attention(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const ftl_type *q = ftl_type_of(lo->g, n->in[0]), *v = ftl_type_of(lo->g, n->in[2]);
	struct attend a = {.lo = lo, .id = id, .n = n, .t = ftl_dtype_compute(q->dtype), .rank = q->rank,
			   .linear = FTL_ATTRS(n, attention)->linear},
		      few = a;
	uint32_t mark = lo->temps.n;
	ftl_kb *b = &lo->main;
	ftl_kscope s;
	int64_t m;

	a.m = q->dims[a.rank - 2];
	a.d = q->dims[a.rank - 1];
	a.keys = ftl_type_of(lo->g, n->in[1])->dims[a.rank - 2];
	a.lead = lead_dims(&a, n->in[0]);
	if (!ftl_dim_is_const(lo->g->st, v->dims[a.rank - 1], &a.e))
		return ftl_lo_fail(lo, id, "the size of a value must be known when compiling; give its dim with --dim");
	few = a;
	if (!shape(&a, false) || !shape(&few, true))
		return ftl_lo_fail(lo, id, "values of %lld elements are too large for one block of queries", (long long)a.e);
	check_operands(&a);
	for (ftl_val w = n->out[0];; w = ftl_node_get(lo->g, ftl_value_get(lo->g, w)->uses.v[0])->out[0]) {
		/* made here, so that both arms of a run-time choice find it */
		if (lo->val[w].how == FTL_HOW_MEMORY) {
			ftl_lo_ptr(lo, w);
			break;
		}
	}
	if (ftl_dim_is_const(lo->g->st, a.m, &m))
		return emit(m < FEW && a.width > 1 ? &few : &a);
	if (a.width == 1)
		return emit(&a);
	s = ftl_k_if(b, ftl_k2(b, FTL_K_lt, ftl_lo_dim(lo, a.m), ftl_k_i64(b, FEW)));
	FTL_TRY(emit(&few));
	ftl_lo_temps_end(lo, mark);
	ftl_k_else(b, &s);
	FTL_TRY(emit(&a));
	ftl_lo_temps_end(lo, mark);
	ftl_k_end(b, &s);
	return FTL_OK;
}
