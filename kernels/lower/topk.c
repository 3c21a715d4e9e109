/* topk: the k best elements along an axis, best first; of equal ones the lower index first.
 *
 * Per row a heap of k candidates with the worst on top, in scratch. An element gets in only if it beats the top; where
 * the axis is contiguous a whole vector is compared with the top first, so that long rows cost one read per element.
 * The heap is then sorted in place, n log k in all. */
#include "util.h"

typedef struct heap {
	ftl_kern *k;
	ftl_kb *b;
	bool largest;
	ftl_dtype t;
	ftl_kv values, places; /* candidates of all rows; this row's start at off */
	ftl_kv off;
} heap;

static ftl_kv at(const heap *h, ftl_kv i)
{
	return ftl_k2(h->b, FTL_K_add, h->off, i);
}
static ftl_kv value(const heap *h, ftl_kv i)
{
	return ftl_k_load(h->b, h->t, h->values, at(h, i), 1);
}
static ftl_kv place(const heap *h, ftl_kv i)
{
	return ftl_k_load(h->b, FTL_I64, h->places, at(h, i), 1);
}

static void put(const heap *h, ftl_kv i, ftl_kv x, ftl_kv p)
{
	ftl_k_store(h->b, h->values, at(h, i), x);
	ftl_k_store(h->b, h->places, at(h, i), p);
}

static ftl_kv beats(const heap *h, ftl_kv x, ftl_kv y)
{
	return ftl_k2(h->b, FTL_K_lt, h->largest ? y : x, h->largest ? x : y);
}

/* (x, p) comes after (y, q) in the result */
static ftl_kv worse(const heap *h, ftl_kv x, ftl_kv p, ftl_kv y, ftl_kv q)
{
	ftl_kv tie = ftl_k2(h->b, FTL_K_and, ftl_k2(h->b, FTL_K_eq, x, y), ftl_k2(h->b, FTL_K_lt, q, p));

	return ftl_k2(h->b, FTL_K_or, beats(h, y, x), tie);
}

/* Let (x, p) sink from node `from` of a heap of size elements to where its children are better. */
static void sink(const heap *h, ftl_kv from, ftl_kv size, ftl_kv x, ftl_kv p)
{
	ftl_kb *b = h->b;
	ftl_kv one = ftl_k_i64(b, 1), node = ftl_k_var(b, from), i, l, r, last, pick, v, w;
	ftl_kscope s = ftl_k_loop(b);

	i = ftl_k_get(b, node);
	l = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, i, ftl_k_i64(b, 2)), one);
	ftl_k_break(b, ftl_k2(b, FTL_K_le, size, l));
	last = ftl_k2(b, FTL_K_sub, size, one);
	r = ftl_k2(b, FTL_K_min, last, ftl_k2(b, FTL_K_add, l, one)); /* the left one again if there is no right one */
	pick = worse(h, value(h, r), place(h, r), value(h, l), place(h, l));
	l = ftl_k_select(b, pick, r, l);
	v = value(h, l);
	w = place(h, l);
	ftl_k_break(b, ftl_k1(b, FTL_K_not, worse(h, v, w, x, p)));
	put(h, i, v, w);
	ftl_k_set(b, node, l);
	ftl_k_end(b, &s);
	put(h, ftl_k_get(b, node), x, p);
}

/* Element j of the row, at `linear` in memory: in, if it beats the top. Later elements never win ties. */
static void offer(const heap *h, ftl_val v, ftl_kv linear, ftl_kv j, ftl_kv k, ftl_kv top)
{
	ftl_kv x = ftl_read_flat(h->k, v, linear, 1);
	ftl_kscope s = ftl_k_if(h->b, beats(h, x, ftl_k_get(h->b, top)));

	sink(h, ftl_k_i64(h->b, 0), k, x, j);
	ftl_k_set(h->b, top, value(h, ftl_k_i64(h->b, 0)));
	ftl_k_end(h->b, &s);
}

ftl_status ftl_nest_topk(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const struct ftl_attrs_topk *a = FTL_ATTRS(n, topk);
	const ftl_type *x = ftl_type_of(g, n->in[0]), *out = ftl_type_of(g, n->out[0]);
	int rank = x->rank, axis = ftl_u_axis(a->axis, rank);
	uint32_t mask = ((1u << rank) - 1) & ~(1u << axis);
	ftl_dim rows = ftl_u_product_mask(lo, x, mask), cells = ftl_dim_mul(g->st, rows, out->dims[axis]);
	ftl_dtype t = ftl_dtype_compute(x->dtype);
	ftl_kv values = ftl_lo_temp(lo, ftl_dim_mul(g->st, cells, ftl_u_const(lo, (int64_t)ftl_dtype_bytes(t))));
	ftl_kv places = ftl_lo_temp(lo, ftl_dim_mul(g->st, cells, ftl_u_const(lo, 8)));
	ftl_kern *k = ftl_kern_begin(lo, id, "topk");
	ftl_kb *b = ftl_kern_b(k);
	heap h = {.k = k,
		  .b = b,
		  .largest = a->largest,
		  .t = t,
		  .values = ftl_kern_arg(k, values),
		  .places = ftl_kern_arg(k, places)};
	ftl_kv idx[FTL_MAX_RANK], zero = ftl_k_i64(b, 0), one = ftl_k_i64(b, 1), count, base, stride, top, i, mid;
	ftl_kscope some, s, f;

	ftl_u_grid_index(k, x, mask, ftl_kern_grid(k), idx);
	idx[axis] = zero;
	count = ftl_kern_dim(k, out->dims[axis]);
	base = ftl_linear(k, n->in[0], idx);
	stride = ftl_kern_dim(k, ftl_u_product(lo, x, axis + 1, rank));
	h.off = ftl_k2(b, FTL_K_mul, ftl_kern_grid(k), count);
	some = ftl_k_if(b, ftl_k2(b, FTL_K_lt, zero, count));

	/* the first k, made a heap from its last parent up */
	s = ftl_k_for(b, zero, count, 1);
	put(&h, s.index,
	    ftl_read_flat(k, n->in[0], ftl_k2(b, FTL_K_add, base, ftl_k2(b, FTL_K_mul, s.index, stride)), 1), s.index);
	ftl_k_end(b, &s);
	mid = ftl_k2(b, FTL_K_div, count, ftl_k_i64(b, 2));
	s = ftl_k_for(b, zero, mid, 1);
	i = ftl_k2(b, FTL_K_sub, ftl_k2(b, FTL_K_sub, mid, one), s.index);
	sink(&h, i, count, value(&h, i), place(&h, i));
	ftl_k_end(b, &s);

	/* the rest */
	top = ftl_k_var(b, value(&h, zero));
	for (ftl_vloop l = ftl_vloop_begin(k, count, ftl_kern_dim(k, x->dims[axis]),
					   axis == rank - 1 ? ftl_u_width(k, x->dtype, x->dims[axis]) : 1);
	     ftl_vloop_next(&l);) {
		ftl_kv linear = ftl_k2(b, FTL_K_add, base, ftl_k2(b, FTL_K_mul, l.base, stride)), best;

		if (l.lanes == 1) {
			offer(&h, n->in[0], linear, l.base, count, top);
			continue;
		}
		best = ftl_k_reduce(b, a->largest ? FTL_K_max : FTL_K_min, ftl_read_flat(k, n->in[0], linear, l.lanes));
		s = ftl_k_if(b, beats(&h, best, ftl_k_get(b, top)));
		f = ftl_k_for(b, zero, ftl_k_i64(b, l.lanes), 1);
		offer(&h, n->in[0], ftl_k2(b, FTL_K_add, linear, f.index), ftl_k2(b, FTL_K_add, l.base, f.index), count,
		      top);
		ftl_k_end(b, &f);
		ftl_k_end(b, &s);
	}

	/* sort: the worst goes behind the shrinking heap */
	s = ftl_k_for(b, one, count, 1);
	i = ftl_k2(b, FTL_K_sub, count, s.index);
	{
		ftl_kv v = value(&h, i), p = place(&h, i);

		put(&h, i, value(&h, zero), place(&h, zero));
		sink(&h, zero, i, v, p);
	}
	ftl_k_end(b, &s);
	s = ftl_k_for(b, zero, count, 1);
	idx[axis] = s.index;
	ftl_write(k, n->out[0], idx, value(&h, s.index));
	if (n->nout > 1)
		ftl_write(k, n->out[1], idx, place(&h, s.index));
	ftl_k_end(b, &s);
	ftl_k_end(b, &some);
	ftl_kern_launch(k, ftl_lo_dim(lo, rows), ftl_u_cost(lo, x->dims[axis], 4));
	return FTL_OK;
}
