/* Ops whose result sizes only a kernel can find: non_zero, compress, unique. Each runs a counting kernel into scratch, the
 * program reads the count and gives the result's symbol its value, then the result is filled. The counting kernels are
 * serial: their order is the meaning. unique sorts (stable merge sort, n log n). */
#include "util.h"

static ftl_kv i64s(ftl_lo *lo, ftl_dim n)
{
	return ftl_lo_temp(lo, ftl_dim_mul(ftl_lo_graph(lo)->st, n, ftl_u_const(lo, 8)));
}

static ftl_kv load_i64(ftl_kb *b, ftl_kv ptr, ftl_kv at)
{
	return ftl_k_load(b, FTL_I64, ptr, at, 1);
}

static void bump(ftl_kb *b, ftl_kv var)
{
	ftl_k_set(b, var, ftl_k2(b, FTL_K_add, ftl_k_get(b, var), ftl_k_i64(b, 1)));
}

static ftl_kv is_true(ftl_kb *b, ftl_kv x)
{
	return ftl_k_cast(b, x, FTL_BOOL);
}

/* ---- non_zero ---- */

/* Coordinates of the elements that are not 0, one column each, in row-major order. */
ftl_status ftl_nest_non_zero(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const ftl_type *x = ftl_type_of(g, n->in[0]);
	ftl_dim numel = ftl_type_numel(g, x), found = ftl_type_of(g, n->out[0])->dims[1];
	ftl_kv meta = i64s(lo, ftl_u_const(lo, 1)), idx[FTL_MAX_RANK], pos, out, cols;
	ftl_kern *k = ftl_kern_begin(lo, id, "count non_zero");
	ftl_kb *b = ftl_kern_b(k);
	int width = ftl_kern_width(k, FTL_I64);
	ftl_acc acc = ftl_acc_begin(k, FTL_K_add, FTL_I64, width, 0);
	ftl_kscope s, c;

	for (ftl_vloop l = ftl_vloop_begin(k, ftl_k_i64(b, 0), ftl_kern_dim(k, numel), width); ftl_vloop_next(&l);)
		ftl_acc_put(k, &acc, ftl_k_cast(b, is_true(b, ftl_read_flat(k, n->in[0], l.base, l.lanes)), FTL_I64));
	ftl_k_store(b, ftl_kern_arg(k, meta), ftl_k_i64(b, 0), ftl_acc_end(k, &acc));
	ftl_kern_launch(k, ftl_k_i64(ftl_lo_main(lo), 1), ftl_u_cost(lo, numel, 1));
	ftl_u_bind_count(lo, n, found, meta);

	k = ftl_kern_begin(lo, id, "non_zero");
	b = ftl_kern_b(k);
	out = ftl_kern_ptr(k, n->out[0]);
	cols = ftl_kern_dim(k, found);
	pos = ftl_k_var(b, ftl_k_i64(b, 0));
	s = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, numel), 1);
	/* the bound repeats what the count says: the two kernels must not disagree on memory */
	c = ftl_k_if(b, ftl_k2(b, FTL_K_and, is_true(b, ftl_read_flat(k, n->in[0], s.index, 1)),
			       ftl_k2(b, FTL_K_lt, ftl_k_get(b, pos), cols)));
	idx[0] = ftl_k_i64(b, 0);
	ftl_delinear(k, x->dims, x->rank, s.index, idx);
	for (int d = 0; d < (x->rank ? x->rank : 1); d++) {
		ftl_kv at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, cols, ftl_k_i64(b, d)), ftl_k_get(b, pos));

		ftl_k_store(b, out, at, idx[d]);
	}
	bump(b, pos);
	ftl_k_end(b, &c);
	ftl_k_end(b, &s);
	ftl_kern_launch(k, ftl_k_i64(ftl_lo_main(lo), 1), ftl_u_cost(lo, numel, 4));
	return FTL_OK;
}

/* ---- taking slices in a given order ---- */

/* x seen as [outer, dim, inner]; the whole of it is one axis where no axis is given */
typedef struct slices {
	ftl_dim outer, dim, inner;
} slices;

static slices slices_of(const ftl_lo *lo, const ftl_type *x, int64_t axis)
{
	ftl_dim one = ftl_u_const(lo, 1);
	int a;

	if (axis == INT64_MIN)
		return (slices){one, ftl_type_numel(ftl_lo_graph(lo), x), one};
	a = ftl_u_axis(axis, x->rank);
	return (slices){ftl_u_product(lo, x, 0, a), x->dims[a], ftl_u_product(lo, x, a + 1, x->rank)};
}

/* out[o, r, :] = x[o, order[r], :] for r < count */
static void take(ftl_lo *lo, ftl_node_id id, const slices *s, ftl_dim count, ftl_kv order)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	ftl_dtype mem = ftl_dtype_mem(ftl_type_of(g, n->in[0])->dtype);
	ftl_kern *k = ftl_kern_begin(lo, id, "take");
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv grid = ftl_kern_grid(k), c = ftl_kern_dim(k, count), inner = ftl_kern_dim(k, s->inner), src, dst;

	src = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_div, grid, c), ftl_kern_dim(k, s->dim));
	src = ftl_k2(b, FTL_K_add, src, load_i64(b, ftl_kern_arg(k, order), ftl_k2(b, FTL_K_rem, grid, c)));
	src = ftl_k2(b, FTL_K_mul, src, inner);
	dst = ftl_k2(b, FTL_K_mul, grid, inner);
	for (ftl_vloop l = ftl_vloop_begin(k, ftl_k_i64(b, 0), inner, ftl_u_width(k, mem, s->inner));
	     ftl_vloop_next(&l);) {
		ftl_kv x = ftl_read_flat(k, n->in[0], ftl_k2(b, FTL_K_add, src, l.base), l.lanes);

		ftl_k_store(b, ftl_kern_ptr(k, n->out[0]), ftl_k2(b, FTL_K_add, dst, l.base), ftl_k_cast(b, x, mem));
	}
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_dim_mul(g->st, s->outer, count)), ftl_u_cost(lo, s->inner, 2) + 8);
}

/* The slices whose condition holds. Conditions may be fewer than slices. */
ftl_status ftl_nest_compress(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	int64_t axis = FTL_ATTRS(n, compress)->axis;
	slices s = slices_of(lo, ftl_type_of(g, n->in[0]), axis);
	const ftl_type *out = ftl_type_of(g, n->out[0]);
	ftl_dim conds = ftl_type_of(g, n->in[1])->dims[0],
		count = out->dims[axis == INT64_MIN ? 0 : ftl_u_axis(axis, out->rank)];
	ftl_kv order = i64s(lo, conds), meta = i64s(lo, ftl_u_const(lo, 1)), pos;
	ftl_kscope f, c;
	ftl_kern *k;
	ftl_kb *b;

	ftl_u_check_le(lo, n, conds, s.dim, "there are more conditions than elements");
	k = ftl_kern_begin(lo, id, "compress");
	b = ftl_kern_b(k);
	pos = ftl_k_var(b, ftl_k_i64(b, 0));
	f = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, conds), 1);
	c = ftl_k_if(b, is_true(b, ftl_read_flat(k, n->in[1], f.index, 1)));
	ftl_k_store(b, ftl_kern_arg(k, order), ftl_k_get(b, pos), f.index);
	bump(b, pos);
	ftl_k_end(b, &c);
	ftl_k_end(b, &f);
	ftl_k_store(b, ftl_kern_arg(k, meta), ftl_k_i64(b, 0), ftl_k_get(b, pos));
	ftl_kern_launch(k, ftl_k_i64(ftl_lo_main(lo), 1), ftl_u_cost(lo, conds, 3));
	ftl_u_bind_count(lo, n, count, meta);
	take(lo, id, &s, count, order);
	return FTL_OK;
}

/* ---- unique ---- */

typedef struct uniq {
	ftl_kern *k;
	ftl_kb *b;
	ftl_val x;
	bool strings;
	slices s;
	ftl_kv perm, tmp, first, count, inverse; /* i64[dim] each */
} uniq;

static ftl_kv slice_elem(const uniq *u, ftl_kv slice, ftl_kv e)
{
	ftl_kb *b = u->b;
	ftl_kv inner = ftl_kern_dim(u->k, u->s.inner), at;

	at = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_div, e, inner), ftl_kern_dim(u->k, u->s.dim));
	at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_add, at, slice), inner),
		    ftl_k2(b, FTL_K_rem, e, inner));
	return ftl_read_flat(u->k, u->x, at, 1);
}

/* x < y, NaN after everything else, so that NaNs are equal to each other */
static ftl_kv elem_less(const uniq *u, ftl_kv x, ftl_kv y)
{
	ftl_kb *b = u->b;
	ftl_dtype t = (ftl_dtype)ftl_ktype_of(b->f, x).elem;
	ftl_kv less;

	if (u->strings)
		return ftl_k2(b, FTL_K_lt, ftl_k_call(b, FTL_STRING_cmp, x, y, 0), ftl_k_i64(b, 0));
	if (t == FTL_BOOL)
		return ftl_k2(b, FTL_K_and, ftl_k1(b, FTL_K_not, x), y);
	less = ftl_k2(b, FTL_K_lt, x, y);
	if (!ftl_dtype_is_float(t))
		return less;
	return ftl_k2(b, FTL_K_or, less, ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_eq, x, x), ftl_k2(b, FTL_K_ne, y, y)));
}

/* -1, 0, 1: how slice p compares with slice q, element by element */
static ftl_kv compare(const uniq *u, ftl_kv p, ftl_kv q)
{
	ftl_kb *b = u->b;
	ftl_lo *lo = ftl_kern_lo(u->k);
	ftl_dim size = ftl_dim_mul(ftl_lo_graph(lo)->st, u->s.outer, u->s.inner);
	ftl_kv r = ftl_k_var(b, ftl_k_i64(b, 0)), x, y, less, more;
	ftl_kscope f = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(u->k, size), 1);

	x = slice_elem(u, p, f.index);
	y = slice_elem(u, q, f.index);
	less = elem_less(u, x, y);
	more = elem_less(u, y, x);
	ftl_k_set(b, r, ftl_k2(b, FTL_K_sub, ftl_k_cast(b, more, FTL_I64), ftl_k_cast(b, less, FTL_I64)));
	ftl_k_break(b, ftl_k2(b, FTL_K_or, less, more));
	ftl_k_end(b, &f);
	return ftl_k_get(b, r);
}

static ftl_kv slice_before(void *user, ftl_kv p, ftl_kv q)
{
	const uniq *u = user;

	return ftl_k2(u->b, FTL_K_lt, compare(u, p, q), ftl_k_i64(u->b, 0));
}

/* perm = the slices' numbers in stable ascending order */
static void sort(uniq *u)
{
	ftl_kv n = ftl_kern_dim(u->k, u->s.dim);
	ftl_kscope f = ftl_k_for(u->b, ftl_k_i64(u->b, 0), n, 1);

	ftl_k_store(u->b, u->perm, f.index, f.index);
	ftl_k_end(u->b, &f);
	ftl_u_sort(u->k, u->perm, u->tmp, n, slice_before, u);
}

/* Number the groups of equal slices in sorted order: first[g], count[g], inverse[slice] = g. Returns how many. */
static ftl_kv group(const uniq *u)
{
	ftl_kb *b = u->b;
	ftl_kv n = ftl_kern_dim(u->k, u->s.dim), zero = ftl_k_i64(b, 0), one = ftl_k_i64(b, 1);
	ftl_kv groups = ftl_k_var(b, zero), p, q, fresh, at;
	ftl_kscope f = ftl_k_for(b, zero, n, 1), c;

	p = load_i64(b, u->perm, f.index);
	q = load_i64(b, u->perm, ftl_k2(b, FTL_K_max, zero, ftl_k2(b, FTL_K_sub, f.index, one)));
	fresh = ftl_k2(b, FTL_K_or, ftl_k2(b, FTL_K_eq, f.index, zero), ftl_k2(b, FTL_K_ne, compare(u, q, p), zero));
	c = ftl_k_if(b, fresh);
	at = ftl_k_get(b, groups);
	ftl_k_store(b, u->first, at, p);
	ftl_k_store(b, u->count, at, zero);
	bump(b, groups);
	ftl_k_end(b, &c);
	at = ftl_k2(b, FTL_K_sub, ftl_k_get(b, groups), one);
	ftl_k_store(b, u->count, at, ftl_k2(b, FTL_K_add, load_i64(b, u->count, at), one));
	ftl_k_store(b, u->inverse, p, at);
	ftl_k_end(b, &f);
	return ftl_k_get(b, groups);
}

/* perm[g] = the place of group g in the result; tmp[place] = the slice to take. Sorted: g; else by first appearance. */
static void rank_groups(const uniq *u, ftl_kv groups, bool sorted)
{
	ftl_kb *b = u->b;
	ftl_kv n = ftl_kern_dim(u->k, u->s.dim), zero = ftl_k_i64(b, 0), next, g;
	ftl_kscope f, c;

	if (sorted) {
		f = ftl_k_for(b, zero, groups, 1);
		ftl_k_store(b, u->perm, f.index, f.index);
		ftl_k_store(b, u->tmp, f.index, load_i64(b, u->first, f.index));
		ftl_k_end(b, &f);
		return;
	}
	/* stable order: a group's first slice is its smallest number. Walk the slices, and meet groups in that order. */
	next = ftl_k_var(b, zero);
	f = ftl_k_for(b, zero, n, 1);
	g = load_i64(b, u->inverse, f.index);
	c = ftl_k_if(b, ftl_k2(b, FTL_K_eq, load_i64(b, u->first, g), f.index));
	ftl_k_store(b, u->perm, g, ftl_k_get(b, next));
	ftl_k_store(b, u->tmp, ftl_k_get(b, next), f.index);
	bump(b, next);
	ftl_k_end(b, &c);
	ftl_k_end(b, &f);
}

static void store_out(ftl_kern *k, const ftl_node *n, uint32_t out, ftl_kv at, ftl_kv x)
{
	if (out < n->nout)
		ftl_k_store(ftl_kern_b(k), ftl_kern_ptr(k, n->out[out]), at, x);
}

/* Distinct slices (or elements), where each first appears, which one every slice equals, and how often each appears. */
ftl_status ftl_nest_unique(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const struct ftl_attrs_unique *a = FTL_ATTRS(n, unique);
	const ftl_type *out = ftl_type_of(g, n->out[0]);
	slices s = slices_of(lo, ftl_type_of(g, n->in[0]), a->axis);
	ftl_dim found = out->dims[a->axis == INT64_MIN ? 0 : ftl_u_axis(a->axis, out->rank)];
	ftl_kv space[5], meta = i64s(lo, ftl_u_const(lo, 1)), groups, place;
	ftl_kern *k;
	ftl_kb *b;
	uniq u;
	ftl_kscope f;

	for (int i = 0; i < 5; i++)
		space[i] = i64s(lo, s.dim);
	k = ftl_kern_begin(lo, id, "sort unique");
	b = ftl_kern_b(k);
	u = (uniq){k,
		   b,
		   n->in[0],
		   ftl_type_of(g, n->in[0])->dtype == FTL_STRING,
		   s,
		   ftl_kern_arg(k, space[0]),
		   ftl_kern_arg(k, space[1]),
		   ftl_kern_arg(k, space[2]),
		   ftl_kern_arg(k, space[3]),
		   ftl_kern_arg(k, space[4])};
	sort(&u);
	groups = group(&u);
	rank_groups(&u, groups, a->sorted);
	ftl_k_store(b, ftl_kern_arg(k, meta), ftl_k_i64(b, 0), groups);
	ftl_kern_launch(k, ftl_k_i64(ftl_lo_main(lo), 1), ftl_u_cost(lo, s.dim, 64));
	ftl_u_bind_count(lo, n, found, meta);
	take(lo, id, &s, found, space[1]);

	k = ftl_kern_begin(lo, id, "unique places");
	b = ftl_kern_b(k);
	f = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, found), 1);
	place = load_i64(b, ftl_kern_arg(k, space[0]), f.index);
	store_out(k, n, 1, place, load_i64(b, ftl_kern_arg(k, space[2]), f.index));
	store_out(k, n, 3, place, load_i64(b, ftl_kern_arg(k, space[3]), f.index));
	ftl_k_end(b, &f);
	f = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, s.dim), 1);
	place = load_i64(b, ftl_kern_arg(k, space[0]), load_i64(b, ftl_kern_arg(k, space[4]), f.index));
	store_out(k, n, 2, f.index, place);
	ftl_k_end(b, &f);
	ftl_kern_launch(k, ftl_k_i64(ftl_lo_main(lo), 1), ftl_u_cost(lo, s.dim, 8));
	return FTL_OK;
}
