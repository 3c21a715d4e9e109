/* Decision trees, and looking values up in a sorted list.
 *
 * Contents of the tables come from the model: every index is cut to its table, so that whatever they hold stays inside, and
 * a walk takes no more steps than there are nodes. */
#include <math.h>

#include "util.h"

static const ftl_type *type_of(ftl_lo *lo, ftl_val v)
{
	return ftl_type_of(ftl_lo_graph(lo), v);
}

static ftl_kv op(ftl_kb *b, ftl_kop kop, ftl_kv x, ftl_kv y)
{
	return ftl_k2(b, kop, x, y);
}

/* ---- find ---- */

static ftl_kv any_nan(ftl_kb *b, ftl_kv x)
{
	return op(b, FTL_K_ne, x, x);
}

/* key <= x, or key == x; NaN is after everything else and equal to itself */
static ftl_kv compare(ftl_kern *k, const ftl_node *n, ftl_kop kop, ftl_kv key, ftl_kv x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_dtype t = type_of(ftl_kern_lo(k), n->in[0])->dtype;
	ftl_kv r;

	if (t == FTL_STRING)
		return op(b, kop, ftl_u_call(b, FTL_STRING_cmp, key, x, 0), ftl_k_i64(b, 0));
	r = op(b, kop, key, x);
	if (!ftl_dtype_is_float(t))
		return r;
	if (kop == FTL_K_le)
		return op(b, FTL_K_or, r, any_nan(b, x));
	return op(b, FTL_K_or, r, op(b, FTL_K_and, any_nan(b, key), any_nan(b, x)));
}

/* Where x is in the ascending keys; -1: nowhere. Halves what is left as often for every lane. */
ftl_kv ftl_point_find(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	ftl_lo *lo = ftl_kern_lo(k);
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv x = ftl_read(k, n->in[0], idx), zero = ftl_k_i64(b, 0), none, low, at, half, left;
	int lanes = ftl_ktype_of(b->f, x).lanes, rank = type_of(lo, n->in[0])->rank;
	int64_t count = 0;
	ftl_kscope s;

	if (rank && ftl_ktype_of(b->f, idx[rank - 1]).lanes > lanes)
		lanes = ftl_ktype_of(b->f, idx[rank - 1]).lanes;
	x = ftl_k_splat(b, x, lanes);
	none = ftl_k_int(b, FTL_KT(FTL_I64, lanes), -1);
	ftl_dim_is_const(ftl_lo_graph(lo)->st, type_of(lo, n->in[1])->dims[0], &count);
	if (count == 0)
		return none;
	low = ftl_k_var(b, ftl_k_splat(b, zero, lanes));
	left = ftl_k_var(b, ftl_k_i64(b, count));
	s = ftl_k_loop(b);
	ftl_k_break(b, op(b, FTL_K_le, ftl_k_get(b, left), ftl_k_i64(b, 1)));
	half = op(b, FTL_K_div, ftl_k_get(b, left), ftl_k_i64(b, 2));
	at = op(b, FTL_K_add, ftl_k_get(b, low), half);
	ftl_k_set(b, low,
		  ftl_k_select(b, compare(k, n, FTL_K_le, ftl_read(k, n->in[1], &at), x), at, ftl_k_get(b, low)));
	ftl_k_set(b, left, op(b, FTL_K_sub, ftl_k_get(b, left), half));
	ftl_k_end(b, &s);
	at = ftl_k_get(b, low);
	return ftl_k_select(b, compare(k, n, FTL_K_eq, ftl_read(k, n->in[1], &at), x), at, none);
}

/* ---- trees ---- */

enum { X, NODES, VALUES, ROOTS, TARGETS, WEIGHTS, MEMBERS };
enum { FEATURE, TRUE_CHILD, FALSE_CHILD, MODE, MEMBER_BEGIN, MEMBER_END, COLUMNS };
enum { LEAF, LE, LT, GE, GT, EQ, NE, MEMBER, MISSING_IS_TRUE = 16 };

typedef struct forest {
	ftl_kern *k;
	ftl_kb *b;
	const ftl_node *n;
	ftl_dtype t;
	int64_t nodes;
} forest;

static int64_t size(const forest *f, int in)
{
	int64_t v = 0;

	ftl_dim_is_const(ftl_lo_graph(ftl_kern_lo(f->k))->st, type_of(ftl_kern_lo(f->k), f->n->in[in])->dims[0], &v);
	return v;
}

/* 0 <= i < n */
static ftl_kv inside(const forest *f, ftl_kv i, int64_t n)
{
	return ftl_u_clamp(f->b, i, ftl_k_i64(f->b, 0), ftl_k_i64(f->b, n - 1));
}

static ftl_kv column(const forest *f, ftl_kv node, int c)
{
	ftl_kv at = op(f->b, FTL_K_add, op(f->b, FTL_K_mul, node, ftl_k_i64(f->b, COLUMNS)), ftl_k_i64(f->b, c));

	return ftl_k_cast(f->b, ftl_k_load(f->b, FTL_I32, ftl_kern_ptr(f->k, f->n->in[NODES]), at, 1), FTL_I64);
}

static ftl_kv is(const forest *f, ftl_kv mode, int what)
{
	return op(f->b, FTL_K_eq, mode, ftl_k_i64(f->b, what));
}

static ftl_kv or_and(const forest *f, ftl_kv sum, ftl_kv mode, int what, ftl_kv holds)
{
	return op(f->b, FTL_K_or, sum, op(f->b, FTL_K_and, is(f, mode, what), holds));
}

/* Is x among the node's members? */
static ftl_kv member(const forest *f, ftl_kv node, ftl_kv mode, ftl_kv x)
{
	ftl_kb *b = f->b;
	ftl_kv found = ftl_k_var(b, ftl_k_int(b, FTL_KT_BOOL, 0)), last = ftl_k_i64(b, size(f, MEMBERS)), y;
	ftl_kscope c, s;

	c = ftl_k_if(b, is(f, mode, MEMBER));
	s = ftl_k_for(b, op(b, FTL_K_max, column(f, node, MEMBER_BEGIN), ftl_k_i64(b, 0)),
		      op(b, FTL_K_min, column(f, node, MEMBER_END), last), 1);
	y = ftl_read_flat(f->k, f->n->in[MEMBERS], s.index, 1);
	ftl_k_set(b, found, op(b, FTL_K_or, ftl_k_get(b, found), op(b, FTL_K_eq, x, y)));
	ftl_k_end(b, &s);
	ftl_k_end(b, &c);
	return ftl_k_get(b, found);
}

/* Whether the node's condition holds for row. */
static ftl_kv decide(const forest *f, ftl_kv row, ftl_kv node, ftl_kv code)
{
	ftl_kb *b = f->b;
	ftl_kv mode = op(b, FTL_K_and, code, ftl_k_i64(b, MISSING_IS_TRUE - 1)), at[2], x, v, yes, missing;

	at[0] = row;
	at[1] = inside(f, column(f, node, FEATURE), FTL_ATTRS(f->n, trees)->features);
	x = ftl_read(f->k, f->n->in[X], at);
	v = ftl_read_flat(f->k, f->n->in[VALUES], node, 1);
	yes = op(b, FTL_K_and, is(f, mode, LE), op(b, FTL_K_le, x, v));
	yes = or_and(f, yes, mode, LT, op(b, FTL_K_lt, x, v));
	yes = or_and(f, yes, mode, GE, op(b, FTL_K_le, v, x));
	yes = or_and(f, yes, mode, GT, op(b, FTL_K_lt, v, x));
	yes = or_and(f, yes, mode, EQ, op(b, FTL_K_eq, x, v));
	yes = or_and(f, yes, mode, NE, op(b, FTL_K_ne, x, v));
	if (size(f, MEMBERS) > 0)
		yes = op(b, FTL_K_or, yes, member(f, node, mode, x));
	missing = op(b, FTL_K_le, ftl_k_i64(b, MISSING_IS_TRUE), code);
	return op(b, FTL_K_or, yes, op(b, FTL_K_and, missing, any_nan(b, x)));
}

/* Add what a leaf says to the row's results. */
static void count_leaf(const forest *f, ftl_kv out, ftl_kv leaf, ftl_kop kop)
{
	ftl_kb *b = f->b;
	ftl_kscope s = ftl_k_for(b, op(b, FTL_K_max, column(f, leaf, TRUE_CHILD), ftl_k_i64(b, 0)),
				 op(b, FTL_K_min, column(f, leaf, FALSE_CHILD), ftl_k_i64(b, size(f, TARGETS))), 1);
	ftl_kv target = ftl_k_cast(b, ftl_read_flat(f->k, f->n->in[TARGETS], s.index, 1), FTL_I64), w, at;

	at = op(b, FTL_K_add, out, inside(f, target, FTL_ATTRS(f->n, trees)->targets));
	w = ftl_read_flat(f->k, f->n->in[WEIGHTS], s.index, 1);
	ftl_k_store(b, ftl_kern_ptr(f->k, f->n->out[0]), at,
		    op(b, kop, ftl_k_load(b, f->t, ftl_kern_ptr(f->k, f->n->out[0]), at, 1), w));
	ftl_k_end(b, &s);
}

/* Every row walks every tree from its root to a leaf; a target is the sum (or the smallest, largest, mean) of what the
 * leaves say about it, 0 if none does. */
ftl_status ftl_nest_trees(ftl_lo *lo, ftl_node_id id)
{
	enum { ROWS = 16 };
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const struct ftl_attrs_trees *a = FTL_ATTRS(n, trees);
	const ftl_type *out = type_of(lo, n->out[0]);
	bool least = strcmp(a->aggregate, "min") == 0, most = strcmp(a->aggregate, "max") == 0;
	ftl_kop kop = least ? FTL_K_min : most ? FTL_K_max : FTL_K_add;
	ftl_kern *k = ftl_kern_begin(lo, id, "trees");
	ftl_kb *b = ftl_kern_b(k);
	forest f = {.k = k, .b = b, .n = n, .t = out->dtype};
	ftl_kv from = op(b, FTL_K_mul, ftl_kern_grid(k), ftl_k_i64(b, ROWS)), to, base, node, code, child, start, x;
	ftl_kscope rows, t, trees, walk;
	int64_t roots;

	f.nodes = size(&f, NODES);
	roots = size(&f, ROOTS);
	ftl_u_check_le(lo, n, ftl_u_const(lo, a->features), type_of(lo, n->in[X])->dims[1],
		       "the input has fewer features than the trees read");
	to = op(b, FTL_K_min, op(b, FTL_K_add, from, ftl_k_i64(b, ROWS)), ftl_kern_dim(k, out->dims[0]));
	rows = ftl_k_for(b, from, to, 1);
	base = op(b, FTL_K_mul, rows.index, ftl_k_i64(b, a->targets));
	start = ftl_k_float(b, FTL_KT(f.t, 1), least ? INFINITY : most ? -INFINITY : 0);
	t = ftl_k_for(b, ftl_k_i64(b, 0), ftl_k_i64(b, a->targets), 1);
	ftl_k_store(b, ftl_kern_ptr(k, n->out[0]), op(b, FTL_K_add, base, t.index), start);
	ftl_k_end(b, &t);
	trees = ftl_k_for(b, ftl_k_i64(b, 0), ftl_k_i64(b, roots), 1);
	node = ftl_k_var(b,
			 inside(&f, ftl_k_cast(b, ftl_read_flat(k, n->in[ROOTS], trees.index, 1), FTL_I64), f.nodes));
	walk = ftl_k_for(b, ftl_k_i64(b, 0), ftl_k_i64(b, f.nodes), 1);
	x = ftl_k_get(b, node);
	code = column(&f, x, MODE);
	ftl_k_break(b, is(&f, code, LEAF));
	child = ftl_k_select(b, decide(&f, rows.index, x, code), column(&f, x, TRUE_CHILD), column(&f, x, FALSE_CHILD));
	ftl_k_set(b, node, inside(&f, child, f.nodes));
	ftl_k_end(b, &walk);
	count_leaf(&f, base, ftl_k_get(b, node), kop);
	ftl_k_end(b, &trees);
	if (kop != FTL_K_add || strcmp(a->aggregate, "mean") == 0) {
		ftl_kv at, y;

		t = ftl_k_for(b, ftl_k_i64(b, 0), ftl_k_i64(b, a->targets), 1);
		at = op(b, FTL_K_add, base, t.index);
		y = ftl_k_load(b, f.t, ftl_kern_ptr(k, n->out[0]), at, 1);
		if (kop == FTL_K_add)
			y = op(b, FTL_K_div, y, ftl_k_float(b, FTL_KT(f.t, 1), roots > 0 ? (double)roots : 1));
		else
			y = ftl_k_select(b, op(b, FTL_K_eq, y, start), ftl_k_float(b, FTL_KT(f.t, 1), 0), y);
		ftl_k_store(b, ftl_kern_ptr(k, n->out[0]), at, y);
		ftl_k_end(b, &t);
	}
	ftl_k_end(b, &rows);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_dim_ceildiv(g->st, out->dims[0], ftl_u_const(lo, ROWS))),
			ftl_u_cost(lo, ftl_u_const(lo, roots), 100) * ROWS);
	return FTL_OK;
}
