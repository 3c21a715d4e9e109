/* Reductions over any set of axes, arg_max / arg_min, cumulative sums.
 *
 * Where the last axis is reduced, a row is walked in vectors with one accumulator per lane, folded at the end; where it is
 * kept, lanes are neighbouring results and the reduced axes are walked in order. f16 and bf16 accumulate in f32. Empty
 * reductions give the operation's identity. A NaN wins in max and min. */
#include <math.h>

#include "util.h"

typedef enum fold { FOLD_SUM, FOLD_PROD, FOLD_MAX, FOLD_MIN } fold;

static ftl_kv step(ftl_kb *b, fold f, ftl_kv acc, ftl_kv x)
{
	if (f == FOLD_SUM || f == FOLD_PROD)
		return ftl_k2(b, f == FOLD_SUM ? FTL_K_add : FTL_K_mul, acc, x);
	return ftl_u_minmax(b, f == FOLD_MAX ? FTL_K_max : FTL_K_min, acc, x);
}

static ftl_kv fold_lanes(ftl_kb *b, fold f, ftl_kv x)
{
	if (f == FOLD_SUM || f == FOLD_PROD)
		return ftl_k_reduce(b, f == FOLD_SUM ? FTL_K_add : FTL_K_mul, x);
	return ftl_u_minmax_lanes(b, f == FOLD_MAX ? FTL_K_max : FTL_K_min, x);
}

static ftl_kv identity(ftl_kb *b, fold f, ftl_dtype t)
{
	unsigned bits = ftl_dtype_bits(t);
	ftl_ktype kt = FTL_KT(t, 1);
	bool sign = ftl_dtype_is_signed(t);

	if (f == FOLD_SUM || f == FOLD_PROD)
		return ftl_k_num(b, kt, f == FOLD_PROD);
	if (ftl_dtype_is_float(t))
		return ftl_k_float(b, kt, f == FOLD_MAX ? -INFINITY : INFINITY);
	if (f == FOLD_MAX)
		return ftl_k_int(b, kt, sign ? (int64_t)(UINT64_MAX << (bits - 1)) : 0);
	return ftl_k_int(b, kt,
			 sign ? (int64_t)((UINT64_C(1) << (bits - 1)) - 1) : (int64_t)(UINT64_MAX >> (64 - bits)));
}

typedef struct reduction {
	ftl_kern *k;
	ftl_kb *b;
	ftl_lo *lo;
	const ftl_node *n;
	const ftl_type *x, *out;
	uint32_t axes; /* reduced ones */
	bool keep;     /* reduced axes stay with size 1 */
	fold f;
	ftl_dtype t;              /* of the accumulator */
	ftl_kv idx[FTL_MAX_RANK]; /* into x */
} reduction;

static ftl_kv element(const reduction *r, ftl_kv x)
{
	/* bools are reduced as 0 and 1 */
	return ftl_k_cast(r->b, x, r->t);
}

static void store(const reduction *r, ftl_kv acc)
{
	ftl_kv out[FTL_MAX_RANK], count;
	int o = 0;

	if (r->n->op == FTL_OP_reduce_mean) {
		count = ftl_k_cast(r->b, ftl_kern_dim(r->k, ftl_u_product_mask(r->lo, r->x, r->axes)), r->t);
		acc = ftl_k2(r->b, FTL_K_div, acc, count);
	}
	for (int d = 0; d < r->x->rank; d++) {
		if (!(r->axes >> d & 1))
			out[o++] = r->idx[d];
		else if (r->keep)
			out[o++] = ftl_k_i64(r->b, 0);
	}
	if (r->x->dtype == FTL_BOOL)
		acc = ftl_k_cast(r->b, acc, FTL_BOOL);
	ftl_write(r->k, r->n->out[0], out, acc);
}

/* Open a loop over every axis in mask; returns how many. */
static int open_loops(reduction *r, uint32_t mask, ftl_kscope *s)
{
	int n = 0;

	for (int d = 0; d < r->x->rank; d++) {
		if (!(mask >> d & 1) || ftl_u_is(r->lo, r->x->dims[d], 1)) {
			if (mask >> d & 1)
				r->idx[d] = ftl_k_i64(r->b, 0);
			continue;
		}
		s[n] = ftl_k_for(r->b, ftl_k_i64(r->b, 0), ftl_kern_dim(r->k, r->x->dims[d]), 1);
		r->idx[d] = s[n++].index;
	}
	return n;
}

static void close_loops(reduction *r, ftl_kscope *s, int n)
{
	while (n > 0)
		ftl_k_end(r->b, &s[--n]);
}

/* The trailing reduced axes are one run in memory: a row is one or several such runs. */
static void reduce_rows(reduction *r)
{
	int rank = r->x->rank, first = rank;
	uint32_t all = (1u << rank) - 1, kept = all & ~r->axes, trailing;
	ftl_kv zero = ftl_k_i64(r->b, 0), vec = 0, one, base, acc;
	ftl_kscope s[FTL_MAX_RANK];
	ftl_dim run;
	int width, loops;

	while (first > 0 && r->axes >> (first - 1) & 1)
		first--;
	trailing = all & ~((1u << first) - 1);
	run = ftl_u_product(r->lo, r->x, first, rank);
	width = ftl_u_width(r->k, r->x->dtype, run);
	for (int d = 0; d < rank; d++)
		r->idx[d] = zero;
	ftl_u_grid_index(r->k, r->x, kept, ftl_kern_grid(r->k), r->idx);
	one = ftl_k_var(r->b, identity(r->b, r->f, r->t));
	if (width > 1)
		vec = ftl_k_var(r->b, ftl_k_splat(r->b, identity(r->b, r->f, r->t), width));
	loops = open_loops(r, r->axes & ~trailing, s);
	base = ftl_linear(r->k, r->n->in[0], r->idx);
	for (ftl_vloop l = ftl_vloop_begin(r->k, zero, ftl_kern_dim(r->k, run), width); ftl_vloop_next(&l);) {
		ftl_kv var = l.lanes > 1 ? vec : one;
		ftl_kv x = ftl_read_flat(r->k, r->n->in[0], ftl_k2(r->b, FTL_K_add, base, l.base), l.lanes);

		ftl_k_set(r->b, var, step(r->b, r->f, ftl_k_get(r->b, var), element(r, x)));
	}
	close_loops(r, s, loops);
	acc = ftl_k_get(r->b, one);
	if (width > 1)
		acc = step(r->b, r->f, fold_lanes(r->b, r->f, ftl_k_get(r->b, vec)), acc);
	for (int d = 0; d < rank; d++)
		if (r->axes >> d & 1)
			r->idx[d] = zero;
	store(r, acc);
	ftl_kern_launch(r->k, ftl_lo_dim(r->lo, ftl_u_product_mask(r->lo, r->x, kept)),
			ftl_u_cost(r->lo, ftl_u_product_mask(r->lo, r->x, r->axes), 2));
}

/* The last axis is kept: a piece is a block of it. */
static void reduce_columns(reduction *r)
{
	enum { BLOCK = 64 };
	int rank = r->x->rank, last = rank - 1;
	uint32_t all = (1u << rank) - 1, kept = all & ~r->axes & ~(1u << last);
	ftl_symtab *st = ftl_lo_graph(r->lo)->st;
	ftl_dim blocks = ftl_dim_ceildiv(st, r->x->dims[last], ftl_u_const(r->lo, BLOCK));
	ftl_kv grid = ftl_kern_grid(r->k), nb = ftl_kern_dim(r->k, blocks), from, to;

	for (int d = 0; d < rank; d++)
		r->idx[d] = ftl_k_i64(r->b, 0);
	from = ftl_k2(r->b, FTL_K_mul, ftl_k2(r->b, FTL_K_rem, grid, nb), ftl_k_i64(r->b, BLOCK));
	to = ftl_k2(r->b, FTL_K_min, ftl_kern_dim(r->k, r->x->dims[last]),
		    ftl_k2(r->b, FTL_K_add, from, ftl_k_i64(r->b, BLOCK)));
	ftl_u_grid_index(r->k, r->x, kept, ftl_k2(r->b, FTL_K_div, grid, nb), r->idx);
	for (ftl_vloop l = ftl_vloop_begin(r->k, from, to, ftl_u_width(r->k, r->x->dtype, r->x->dims[last]));
	     ftl_vloop_next(&l);) {
		ftl_kv var = ftl_k_var(r->b, ftl_k_splat(r->b, identity(r->b, r->f, r->t), l.lanes));
		ftl_kscope s[FTL_MAX_RANK];
		int loops;

		r->idx[last] = l.i;
		loops = open_loops(r, r->axes, s);
		ftl_k_set(r->b, var,
			  step(r->b, r->f, ftl_k_get(r->b, var), element(r, ftl_read(r->k, r->n->in[0], r->idx))));
		close_loops(r, s, loops);
		for (int d = 0; d < rank; d++)
			if (r->axes >> d & 1)
				r->idx[d] = ftl_k_i64(r->b, 0);
		store(r, ftl_k_get(r->b, var));
	}
	ftl_kern_launch(r->k, ftl_lo_dim(r->lo, ftl_dim_mul(st, blocks, ftl_u_product_mask(r->lo, r->x, kept))),
			ftl_u_cost(r->lo, ftl_u_product_mask(r->lo, r->x, r->axes), 2 * BLOCK));
}

/* sum, mean, max, min, product over a set of axes (no axes: all) */
ftl_status ftl_nest_reduce(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	/* reduce_* have the same row of attributes */
	const struct ftl_attrs_reduce_sum *a = FTL_ATTRS(n, reduce_sum);
	const ftl_type *x = ftl_type_of(g, n->in[0]);
	reduction r = {.lo = lo, .n = n, .x = x, .out = ftl_type_of(g, n->out[0]), .keep = a->keepdims};

	for (uint32_t i = 0; i < a->axes.n; i++)
		r.axes |= 1u << ftl_u_axis(a->axes.v[i], x->rank);
	if (a->axes.n == 0)
		r.axes = (1u << x->rank) - 1;
	r.f = n->op == FTL_OP_reduce_max    ? FOLD_MAX
	      : n->op == FTL_OP_reduce_min  ? FOLD_MIN
	      : n->op == FTL_OP_reduce_prod ? FOLD_PROD
					    : FOLD_SUM;
	r.t = x->dtype == FTL_BOOL ? FTL_U8 : ftl_dtype_compute(x->dtype);
	r.k = ftl_kern_begin(lo, id, ftl_op_get(n->op)->name);
	r.b = ftl_kern_b(r.k);
	if (x->rank == 0 || r.axes >> (x->rank - 1) & 1)
		reduce_rows(&r);
	else
		reduce_columns(&r);
	return FTL_OK;
}

/* ---- arg_max, arg_min, hardmax ---- */

/* Position of the best element along an axis. The first of equals wins, or the last. */
typedef struct best {
	ftl_kern *k;
	ftl_kb *b;
	bool smallest, last;
	ftl_kv value, at; /* variables */
} best;

static ftl_kv is_better(const best *s, ftl_kv x, ftl_kv than)
{
	ftl_kv lo = s->smallest ? x : than, hi = s->smallest ? than : x;

	return ftl_k2(s->b, s->last ? FTL_K_le : FTL_K_lt, lo, hi);
}

static best best_begin(ftl_kern *k, bool smallest, bool last, ftl_kv first, int lanes)
{
	best s = {.k = k, .b = ftl_kern_b(k), .smallest = smallest, .last = last};

	s.value = ftl_k_var(s.b, ftl_k_splat(s.b, first, lanes));
	s.at = ftl_k_var(s.b, ftl_k_splat(s.b, ftl_k_i64(s.b, 0), lanes));
	return s;
}

static void best_put(best *s, ftl_kv x, ftl_kv i)
{
	ftl_kv old = ftl_k_get(s->b, s->value), better = is_better(s, x, old);

	ftl_k_set(s->b, s->value, ftl_k_select(s->b, better, x, old));
	ftl_k_set(s->b, s->at, ftl_k_select(s->b, better, i, ftl_k_get(s->b, s->at)));
}

/* One scalar row: vectors keep a best per lane, which are compared at the end; equal ones go by position. */
static ftl_kv best_of_row(ftl_kern *k, ftl_val v, ftl_kv base, ftl_dim dim, bool smallest, bool last)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_dtype t = ftl_type_of(ftl_lo_graph(ftl_kern_lo(k)), v)->dtype;
	int width = ftl_u_width(k, t, dim);
	ftl_kv first = ftl_read_flat(k, v, base, 1);
	best one = best_begin(k, smallest, last, first, 1), vec = one;

	if (width > 1)
		vec = best_begin(k, smallest, last, first, width);
	for (ftl_vloop l = ftl_vloop_begin(k, ftl_k_i64(b, 0), ftl_kern_dim(k, dim), width); ftl_vloop_next(&l);)
		best_put(l.lanes > 1 ? &vec : &one, ftl_read_flat(k, v, ftl_k2(b, FTL_K_add, base, l.base), l.lanes),
			 l.i);
	if (width > 1) {
		ftl_kv values = ftl_k_get(b, vec.value), places = ftl_k_get(b, vec.at);

		for (int lane = 0; lane < width; lane++) {
			ftl_kv x = ftl_k_extract(b, values, lane), i = ftl_k_extract(b, places, lane);
			ftl_kv y = ftl_k_get(b, one.value), j = ftl_k_get(b, one.at), take;
			ftl_kv tie = ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_eq, x, y),
					    ftl_k2(b, FTL_K_lt, last ? j : i, last ? i : j));

			take = ftl_k2(b, FTL_K_or, ftl_k2(b, FTL_K_lt, smallest ? x : y, smallest ? y : x), tie);
			ftl_k_set(b, one.value, ftl_k_select(b, take, x, y));
			ftl_k_set(b, one.at, ftl_k_select(b, take, i, j));
		}
	}
	return ftl_k_get(b, one.at);
}

/* The same for `lanes` neighbouring rows at once, along another axis than the last. idx gives the others. */
static ftl_kv best_of_columns(ftl_kern *k, ftl_val v, const ftl_kv *idx, int axis, bool smallest, bool last, int lanes)
{
	ftl_kb *b = ftl_kern_b(k);
	const ftl_type *t = ftl_type_of(ftl_lo_graph(ftl_kern_lo(k)), v);
	ftl_kv at[FTL_MAX_RANK];
	ftl_kscope s;
	best x;

	ftl_u_idx(at, idx, t->rank, axis, ftl_k_i64(b, 0));
	x = best_begin(k, smallest, last, ftl_read(k, v, at), lanes);
	s = ftl_k_for(b, ftl_k_i64(b, 1), ftl_kern_dim(k, t->dims[axis]), 1);
	at[axis] = s.index;
	best_put(&x, ftl_read(k, v, at), s.index);
	ftl_k_end(b, &s);
	return ftl_k_get(b, x.at);
}

ftl_status ftl_nest_arg_reduce(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const struct ftl_attrs_arg_max *a = FTL_ATTRS(n, arg_max); /* arg_min has the same row */
	const ftl_type *x = ftl_type_of(g, n->in[0]);
	int rank = x->rank, axis = ftl_u_axis(a->axis, rank), last = rank - 1;
	bool smallest = n->op == FTL_OP_arg_min;
	ftl_kern *k = ftl_kern_begin(lo, id, ftl_op_get(n->op)->name);
	ftl_kb *b = ftl_kern_b(k);
	uint32_t mask = ((1u << rank) - 1) & ~(1u << axis) & ~(1u << last);
	ftl_kv idx[FTL_MAX_RANK], out[FTL_MAX_RANK], zero = ftl_k_i64(b, 0);
	int64_t cost = ftl_u_cost(lo, x->dims[axis], 4);

	for (int d = 0; d < rank; d++)
		idx[d] = zero;
	ftl_u_grid_index(k, x, mask, ftl_kern_grid(k), idx);
	if (axis == last) {
		ftl_kv at = best_of_row(k, n->in[0], ftl_linear(k, n->in[0], idx), x->dims[axis], smallest,
					a->select_last);

		ftl_u_idx(out, idx, rank, -1, 0);
		ftl_write(k, n->out[0], out, at);
	} else {
		for (ftl_vloop l = ftl_vloop_begin(k, zero, ftl_kern_dim(k, x->dims[last]),
						   ftl_u_width(k, x->dtype, x->dims[last]));
		     ftl_vloop_next(&l);) {
			int o = 0;
			ftl_kv at;

			idx[last] = l.i;
			at = best_of_columns(k, n->in[0], idx, axis, smallest, a->select_last, l.lanes);
			for (int d = 0; d < rank; d++)
				if (d != axis || a->keepdims)
					out[o++] = d == axis ? zero : idx[d];
			ftl_write(k, n->out[0], out, at);
		}
		cost = ftl_u_cost(lo, x->dims[last], cost);
	}
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_u_product_mask(lo, x, mask)), cost);
	return FTL_OK;
}

/* 1 at the first largest element along the axis, 0 elsewhere */
ftl_status ftl_nest_hardmax(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const ftl_type *x = ftl_type_of(g, n->in[0]);
	int rank = x->rank, axis = ftl_u_axis(FTL_ATTRS(n, hardmax)->axis, rank);
	uint32_t mask = ((1u << rank) - 1) & ~(1u << axis);
	ftl_kern *k = ftl_kern_begin(lo, id, "hardmax");
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv idx[FTL_MAX_RANK], zero = ftl_k_i64(b, 0), at, some;
	ftl_kscope row, s;

	ftl_u_grid_index(k, x, mask, ftl_kern_grid(k), idx);
	idx[axis] = zero;
	/* an empty row has no first element to look at */
	some = ftl_k2(b, FTL_K_lt, zero, ftl_kern_dim(k, x->dims[axis]));
	row = ftl_k_if(b, some);
	at = axis == rank - 1 ? best_of_row(k, n->in[0], ftl_linear(k, n->in[0], idx), x->dims[axis], false, false)
			      : best_of_columns(k, n->in[0], idx, axis, false, false, 1);
	s = ftl_k_for(b, zero, ftl_kern_dim(k, x->dims[axis]), 1);
	idx[axis] = s.index;
	ftl_write(k, n->out[0], idx, ftl_k_cast(b, ftl_k2(b, FTL_K_eq, s.index, at), ftl_dtype_compute(x->dtype)));
	ftl_k_end(b, &s);
	ftl_k_end(b, &row);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_u_product_mask(lo, x, mask)), ftl_u_cost(lo, x->dims[axis], 6));
	return FTL_OK;
}

/* ---- cum_sum, cum_prod ---- */

/* One sum or product per row, or per lane where the last axis is another one. */
ftl_status ftl_nest_cumulate(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const struct ftl_attrs_cum_sum *a = FTL_ATTRS(n, cum_sum); /* cum_prod's are the same */
	bool product = n->op == FTL_OP_cum_prod;
	const ftl_type *x = ftl_type_of(g, n->in[0]);
	int rank = x->rank, axis = ftl_u_axis(a->axis, rank), last = rank - 1;
	uint32_t mask = ((1u << rank) - 1) & ~(1u << axis) & ~(1u << last);
	ftl_kern *k = ftl_kern_begin(lo, id, ftl_op_get(n->op)->name);
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv idx[FTL_MAX_RANK], zero = ftl_k_i64(b, 0), one = ftl_k_i64(b, 1), size = ftl_kern_dim(k, x->dims[axis]);
	ftl_dim across = axis == last ? ftl_u_const(lo, 1) : x->dims[last];
	ftl_dtype t = ftl_dtype_compute(x->dtype);

	ftl_u_grid_index(k, x, mask, ftl_kern_grid(k), idx);
	for (ftl_vloop l = ftl_vloop_begin(k, zero, ftl_kern_dim(k, across), ftl_u_width(k, x->dtype, across));
	     ftl_vloop_next(&l);) {
		ftl_kv acc = ftl_k_var(b, ftl_k_num(b, FTL_KT(t, l.lanes), product)), before, after;
		ftl_kscope s = ftl_k_for(b, zero, size, 1);

		idx[last] = l.i;
		idx[axis] = a->reverse ? ftl_k2(b, FTL_K_sub, ftl_k2(b, FTL_K_sub, size, one), s.index) : s.index;
		before = ftl_k_get(b, acc);
		after = ftl_k2(b, product ? FTL_K_mul : FTL_K_add, before, ftl_read(k, n->in[0], idx));
		ftl_k_set(b, acc, after);
		ftl_write(k, n->out[0], idx, a->exclusive ? before : after);
		ftl_k_end(b, &s);
	}
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_u_product_mask(lo, x, mask)),
			ftl_u_cost(lo, x->dims[axis], ftl_u_cost(lo, across, 2)));
	return FTL_OK;
}
