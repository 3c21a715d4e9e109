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
#include "kernels/lower/attention.h"

#include <math.h>

enum {
	KEYS = 128,          /* a block of keys: its scores for a tile of queries stay in L1 */
	TILES = 8,           /* register tiles in a block of queries */
	FEW = 6,             /* fewer queries than this take the keys unpacked */
	SCRATCH = 192 << 10, /* bytes */
};

/* ---- operands ---- */

static struct ftl_view view_of(ftl_attend *a, ftl_val v)
{
	const ftl_graph *g = a->lo->g;
	const ftl_node *n = NULL;
	struct ftl_view w = {.v = v};
	ftl_kv stride[FTL_MAX_RANK], step = att_num(a, 1);
	const ftl_type *t;

	if (a->lo->val[v].how == FTL_HOW_INLINE) {
		n = ftl_node_get(g, ftl_value_get(g, v)->def);
		w.v = n->in[0];
	}
	t = att_type(a, w.v);
	for (int i = t->rank - 1; i >= 0; i--) {
		stride[i] = step;
		step = att_mul(a, step, ftl_kern_dim(a->k, t->dims[i]));
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
static ftl_kv lead_index(ftl_attend *a, ftl_val v, int d)
{
	const ftl_type *q = att_type(a, a->n->in[0]), *t = att_type(a, v);
	ftl_symtab *st = a->lo->g->st;
	int64_t have;

	if (t->dims[d] == q->dims[d] || ftl_dim_known_eq(st, t->dims[d], q->dims[d]) == 1)
		return a->idx[d];
	if (ftl_dim_is_const(st, t->dims[d], &have) && have == 1)
		return att_num(a, 0);
	return ftl_k2(a->b, FTL_K_div, a->idx[d],
		      ftl_k2(a->b, FTL_K_div, ftl_kern_dim(a->k, q->dims[d]), ftl_kern_dim(a->k, t->dims[d])));
}

static ftl_kv start_of(ftl_attend *a, const struct ftl_view *w, ftl_val v)
{
	ftl_kv at = att_num(a, 0);

	for (int d = 0; d + 2 < a->rank; d++)
		at = att_add(a, at, att_mul(a, lead_index(a, v, d), w->stride[d]));
	return at;
}

/* What inference could not prove. */
static void check_operands(ftl_attend *a)
{
	ftl_lo *lo = a->lo;
	ftl_kb *b = &lo->main;
	ftl_symtab *st = lo->g->st;
	const ftl_type *t[3];

	for (int i = 0; i < 3; i++)
		t[i] = att_type(a, a->n->in[i]);
	for (int i = 1; i < 3; i++) {
		for (int d = 0; d + 2 < a->rank; d++) {
			int64_t x, y;
			ftl_kv have, want;

			if (ftl_dim_known_eq(st, t[i]->dims[d], t[0]->dims[d]) == 1 ||
			    (ftl_dim_is_const(st, t[i]->dims[d], &x) &&
			     (x == 1 || ftl_dim_is_const(st, t[0]->dims[d], &y))))
				continue; /* constants were compared by inference */
			have = ftl_lo_dim(lo, t[i]->dims[d]);
			want = ftl_lo_dim(lo, t[0]->dims[d]);
			ftl_k_check(
				b,
				ftl_k2(b, FTL_K_or, ftl_k2(b, FTL_K_eq, want, ftl_k_i64(b, 0)),
				       ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_lt, ftl_k_i64(b, 0), have),
					      ftl_k2(b, FTL_K_eq, ftl_k2(b, FTL_K_rem, want, have), ftl_k_i64(b, 0)))),
				ftl_lo_msg(lo, a->n, "the operands' leading dims do not fit together"));
		}
	}
	if (ftl_dim_known_eq(st, t[0]->dims[a->rank - 1], t[1]->dims[a->rank - 1]) != 1)
		ftl_k_check(b,
			    ftl_k2(b, FTL_K_eq, ftl_lo_dim(lo, t[0]->dims[a->rank - 1]),
				   ftl_lo_dim(lo, t[1]->dims[a->rank - 1])),
			    ftl_lo_msg(lo, a->n, "queries and keys have different sizes"));
	if (ftl_dim_known_eq(st, t[1]->dims[a->rank - 2], t[2]->dims[a->rank - 2]) != 1)
		ftl_k_check(b,
			    ftl_k2(b, FTL_K_eq, ftl_lo_dim(lo, t[1]->dims[a->rank - 2]),
				   ftl_lo_dim(lo, t[2]->dims[a->rank - 2])),
			    ftl_lo_msg(lo, a->n, "there are not as many values as keys"));
	for (uint32_t r = 0; r < a->n->nregion; r++)
		FTL_FOREACH_NODE_IN(lo->g, a->n->regions[r], id)
			if (ftl_op_has(ftl_node_get(lo->g, id)->op, FTL_MAP))
				ftl_lo_check_broadcast(lo, id);
}

static ftl_dim lead_dims(const ftl_attend *a, ftl_val v)
{
	const ftl_type *t = att_type(a, v);
	ftl_symtab *st = a->lo->g->st;
	ftl_dim p = ftl_dim_const(st, 1);

	for (int d = 0; d + 2 < t->rank; d++)
		p = ftl_dim_mul(st, p, t->dims[d]);
	return p;
}

/* ---- packing the keys: [head][panel][element][column], zeros behind the last key ---- */

static void pack_keys(ftl_attend *a)
{
	ftl_lo *lo = a->lo;
	ftl_symtab *st = lo->g->st;
	ftl_val key = a->n->in[1];
	const ftl_type *t = att_type(a, key);
	ftl_dim panels = ftl_dim_ceildiv(st, a->keys, ftl_dim_const(st, att_panel(a))), heads = lead_dims(a, key),
		bytes;
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
			    ftl_dim_const(st, att_panel(a) * (int64_t)ftl_dtype_bytes(a->t)));
	a->panels = ftl_lo_temp(lo, bytes);
	ptr = ftl_kern_arg(k, a->panels);
	n0 = att_mul(a, ftl_k2(a->b, FTL_K_rem, g, np), att_num(a, att_panel(a)));
	ftl_delinear(k, t->dims, a->rank - 2, ftl_k2(a->b, FTL_K_div, g, np), idx);
	from = att_num(a, 0);
	for (int i = 0; i + 2 < a->rank; i++)
		from = att_add(a, from, att_mul(a, idx[i], a->key.stride[i]));
	to = att_mul(a, att_mul(a, g, d), att_num(a, att_panel(a)));
	/* a key at a time: it lies together, its neighbours share the cache lines of the panel */
	s = ftl_k_for(a->b, att_num(a, 0), att_num(a, att_panel(a)), 1);
	{
		ftl_kv j = att_add(a, n0, s.index), row = att_add(a, from, att_mul(a, j, a->key.stride[a->rank - 2]));
		ftl_kscope f = ftl_k_if(a->b, ftl_k2(a->b, FTL_K_lt, j, n));
		ftl_kv at;

		in = ftl_k_for(a->b, att_num(a, 0), d, 1);
		at = att_add(a, row, att_mul(a, in.index, a->key.stride[a->rank - 1]));
		ftl_k_store(a->b, ptr,
			    att_add(a, att_add(a, to, att_mul(a, in.index, att_num(a, att_panel(a)))), s.index),
			    ftl_k_cast(a->b, ftl_read_flat(k, a->key.v, at, 1), a->t));
		ftl_k_end(a->b, &in);
		ftl_k_else(a->b, &f);
		in = ftl_k_for(a->b, att_num(a, 0), d, 1);
		ftl_k_store(a->b, ptr,
			    att_add(a, att_add(a, to, att_mul(a, in.index, att_num(a, att_panel(a)))), s.index),
			    att_real(a, 1, 0));
		ftl_k_end(a->b, &in);
		ftl_k_end(a->b, &f);
	}
	ftl_k_end(a->b, &s);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_dim_mul(st, heads, panels)), att_panel(a) * 128);
}

/* ---- a piece ---- */

static void run_block(ftl_attend *a, ftl_kv j0, ftl_kv nb, enum ftl_att_phase ph)
{
	ftl_kscope s;

	ftl_att_scores(a, j0, nb);
	s = ftl_k_for(a->b, att_num(a, 0), a->rows, 1);
	ftl_att_softmax(a, s.index, j0, nb, ph);
	if (a->once && ph == FTL_ATT_ONLINE && !a->linear && !ftl_att_region_empty(a, 1))
		ftl_att_weights(a, s.index, j0, nb,
				ftl_k2(a->b, FTL_K_div, att_real(a, 1, 1), ftl_k_load(a->b, a->t, a->sum, s.index, 1)));
	ftl_k_end(a->b, &s);
	if (ph != FTL_ATT_STATS)
		ftl_att_values(a, j0, nb);
}

static void run_keys(ftl_attend *a, enum ftl_att_phase ph)
{
	ftl_kb *b = a->b;
	ftl_kv n = ftl_kern_dim(a->k, a->keys);
	ftl_kscope s, f;

	if (a->once) {
		run_block(a, att_num(a, 0), n, ph);
		return;
	}
	s = ftl_k_for(b, att_num(a, 0), n, a->kb);
	if (a->live)
		f = ftl_k_if(b, ftl_att_live(a, a->block, s.index));
	run_block(a, s.index, ftl_k2(b, FTL_K_min, ftl_k2(b, FTL_K_sub, n, s.index), att_num(a, a->kb)), ph);
	if (a->live)
		ftl_k_end(b, &f);
	ftl_k_end(b, &s);
}

/* The rows' maxima and sums before any key: nothing, or the sink. */
static void start_rows(ftl_attend *a)
{
	ftl_kb *b = a->b;
	ftl_val sink = a->n->nin > 3 ? a->n->in[3] : 0;
	ftl_kscope s = ftl_k_for(b, att_num(a, 0), a->tiled, 1);
	ftl_kv top = att_real(a, 1, -INFINITY), idx[FTL_MAX_RANK], at[FTL_MAX_RANK];

	if (sink) {
		const ftl_type *t = att_type(a, sink);

		memcpy(idx, a->idx, sizeof idx);
		idx[a->rank - 2] = ftl_k2(b, FTL_K_min, att_add(a, a->m0, s.index),
					  ftl_k2(b, FTL_K_sub, ftl_kern_dim(a->k, a->m), att_num(a, 1)));
		for (int d = 0; d < t->rank; d++) {
			int o = d + a->rank - t->rank;
			ftl_kv one = ftl_k2(b, FTL_K_eq, ftl_kern_dim(a->k, t->dims[d]), att_num(a, 1));

			at[d] = o == a->rank - 1
					? att_num(a, 0)
					: att_mul(a, idx[o], ftl_k_select(b, one, att_num(a, 0), att_num(a, 1)));
		}
		top = ftl_k_cast(b, ftl_read(a->k, sink, at), a->t);
	}
	ftl_k_store(b, a->top, s.index, top);
	ftl_k_store(b, a->sum, s.index, att_real(a, 1, sink ? 1 : 0));
	ftl_k_end(b, &s);
	if (!a->once)
		ftl_k_zero(b, a->o, att_num(a, a->mb * a->ep * (int64_t)ftl_dtype_bytes(a->t)));
}

static void finish_rows(ftl_attend *a)
{
	ftl_kb *b = a->b;
	ftl_kscope s = ftl_k_for(b, att_num(a, 0), a->rows, 1);
	ftl_kv factor = ftl_att_factor(a, s.index);

	for (int64_t c = 0; c < a->ep; c += a->width)
		ftl_att_put(a, s.index, c,
			    ftl_k_load(b, a->t, a->o, att_add(a, att_mul(a, s.index, att_num(a, a->ep)), att_num(a, c)),
				       a->width),
			    factor);
	ftl_k_end(b, &s);
}

static ftl_status emit(ftl_attend *a)
{
	ftl_lo *lo = a->lo;
	ftl_symtab *st = lo->g->st;
	const ftl_type *q = att_type(a, a->n->in[0]), *key = att_type(a, a->n->in[1]);
	ftl_dim blocks = ftl_dim_ceildiv(st, a->m, ftl_dim_const(st, a->mb));
	int64_t size = (int64_t)ftl_dtype_bytes(a->t), m, n, d, cost;
	ftl_kv g, nb;

	if (a->packed)
		pack_keys(a);
	ftl_att_find_live(a);
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
	a->block = ftl_k2(a->b, FTL_K_rem, g, nb);
	a->m0 = att_mul(a, a->block, att_num(a, a->mb));
	a->rows = ftl_k2(a->b, FTL_K_min, ftl_k2(a->b, FTL_K_sub, ftl_kern_dim(a->k, a->m), a->m0), att_num(a, a->mb));
	a->tiled = att_mul(a, ftl_k2(a->b, FTL_K_div, att_add(a, a->rows, att_num(a, a->mr - 1)), att_num(a, a->mr)),
			   att_num(a, a->mr));
	a->q0 = start_of(a, &a->q, a->n->in[0]);
	a->k0 = start_of(a, &a->key, a->n->in[1]);
	a->v0 = start_of(a, &a->val, a->n->in[2]);
	a->head = att_num(a, 0);
	for (int i = 0; i + 2 < a->rank; i++)
		a->head = att_add(a, att_mul(a, a->head, ftl_kern_dim(a->k, key->dims[i])),
				  lead_index(a, a->n->in[1], i));
	start_rows(a);
	if (a->linear || a->once || ftl_att_region_empty(a, 1)) {
		run_keys(a, FTL_ATT_ONLINE);
	} else {
		run_keys(a, FTL_ATT_STATS);
		run_keys(a, FTL_ATT_FINAL);
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
static bool shape(ftl_attend *a, bool few)
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
	a->kb = (KEYS + att_panel(a) - 1) / att_panel(a) * att_panel(a);
	a->once = ftl_dim_is_const(a->lo->g->st, a->keys, &n) && n <= 2 * a->kb;
	if (a->once)
		a->kb = n > 0 ? (n + att_panel(a) - 1) / att_panel(a) * att_panel(a) : att_panel(a);
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
	ftl_attend a = {.lo = lo,
			.id = id,
			.n = n,
			.t = ftl_dtype_compute(q->dtype),
			.rank = q->rank,
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
		return ftl_lo_fail(lo, id, "values of %lld elements are too large for one block of queries",
				   (long long)a.e);
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
