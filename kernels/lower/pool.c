/* Pools: max_pool, with the places the values came from, and avg_pool.
 *
 * Where vectors help, padding is made real first, as for convolutions, so that a vector of windows takes tap after tap with
 * no test of borders; what an average divides by is counted from the positions. The naive forms test every tap. */
#include <math.h>

#include "kernels/lower/conv.h"
#include "kernels/lower/util.h"

struct pool {
	struct conv v;     /* first: x, the window, the padded copy */
	bool max, counted; /* counted: the windows' elements differ in number */
	bool include_pad;
	ftl_dim end[MAX_SPATIAL]; /* end pads as given */
	ftl_ints kernel;
	ftl_kern *k;
	ftl_kv idx[FTL_MAX_RANK], start;
};

/* What padding holds: nothing is smaller. */
static double lowest(ftl_dtype t)
{
	if (ftl_dtype_is_float(t))
		return -INFINITY;
	return ftl_dtype_is_signed(t) ? -ldexp(1, (int)ftl_dtype_bits(t) - 1) : 0;
}

/* How many taps of axis d lie in what counts, for windows at output position o. */
static ftl_kv count_taps(struct pool *p, int d, ftl_kv o)
{
	struct conv *v = &p->v;
	ftl_kb *b = ftl_kern_b(p->k);
	ftl_kv zero = ftl_k_i64(b, 0), size = ftl_kern_dim(p->k, v->xt->dims[2 + d]),
	       pad = ftl_kern_dim(p->k, v->pad[d]), n[2];
	ftl_kv dil = ftl_k_i64(b, v->dilation[d]), at = ftl_k2(b, FTL_K_mul, o, ftl_k_i64(b, v->stride[d]));

	at = ftl_k2(b, FTL_K_sub, at, pad);
	for (int i = 0; i < 2; i++) { /* taps before the end, taps before the beginning */
		ftl_kv edge = i                ? p->include_pad ? ftl_k2(b, FTL_K_sub, zero, pad) : zero
			      : p->include_pad ? ftl_k2(b, FTL_K_add, size, ftl_kern_dim(p->k, p->end[d]))
					       : size;
		ftl_kv room = ftl_k2(b, FTL_K_max, ftl_k2(b, FTL_K_sub, edge, at), zero);

		n[i] = ftl_k2(b, FTL_K_div, ftl_k2(b, FTL_K_add, room, ftl_k2(b, FTL_K_sub, dil, ftl_k_i64(b, 1))),
			      dil);
		n[i] = ftl_k2(b, FTL_K_min, n[i], ftl_k_i64(b, p->kernel.v[d]));
	}
	return ftl_k2(b, FTL_K_sub, n[0], n[1]);
}

static void pool_tap(struct pool *p, ftl_kv acc, ftl_kv at, const ftl_kv *tap)
{
	struct conv *v = &p->v;
	ftl_kb *b = ftl_kern_b(p->k);
	ftl_kv off = ftl_k_i64(b, 0), x;

	for (int d = 0; d < v->nd; d++)
		off = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, off, ftl_kern_dim(p->k, v->in[d])),
			     ftl_k2(b, FTL_K_mul, tap[d], ftl_k_i64(b, v->dilation[d])));
	x = ftl_k_load(b, v->src_mem, ftl_kern_arg(p->k, v->src), ftl_k2(b, FTL_K_add, at, off), 1);
	x = ftl_k_cast(b, x, v->c.t);
	x = p->max ? ftl_u_minmax(b, FTL_K_max, ftl_k_get(b, acc), x) : ftl_k2(b, FTL_K_add, ftl_k_get(b, acc), x);
	ftl_k_set(b, acc, x);
}

static void pool_outputs(void *user, ftl_kv base, int lanes)
{
	enum { UNROLL = 64 };
	struct pool *p = user;
	struct conv *v = &p->v;
	ftl_kb *b = ftl_kern_b(p->k);
	ftl_kv last = lanes > 1 ? ftl_k_ramp(b, base, ftl_k_i64(b, 1), lanes) : base, tap[MAX_SPATIAL], at, x, n;
	ftl_kv acc = ftl_k_var(b, ftl_k_num(b, FTL_KT(v->c.t, lanes), p->max ? lowest(v->xt->dtype) : 0));
	ftl_dim dims[MAX_SPATIAL];
	ftl_kscope s;
	int64_t taps = 1;

	at = ftl_k2(b, FTL_K_add, p->start, ftl_k2(b, FTL_K_mul, last, ftl_k_i64(b, v->stride[v->nd - 1])));
	for (int d = 0; d < v->nd; d++) {
		taps = taps > UNROLL ? taps : taps * p->kernel.v[d];
		dims[d] = ftl_dim_const(v->c.lo->g->st, p->kernel.v[d]);
	}
	if (taps <= UNROLL) {
		for (int64_t t = 0; t < taps; t++) {
			ftl_delinear(p->k, dims, v->nd, ftl_k_i64(b, t), tap);
			pool_tap(p, acc, at, tap);
		}
	} else {
		s = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(p->k, ftl_conv_product(v->c.lo->g->st, dims, v->nd)), 1);
		ftl_delinear(p->k, dims, v->nd, s.index, tap);
		pool_tap(p, acc, at, tap);
		ftl_k_end(b, &s);
	}
	x = ftl_k_get(b, acc);
	if (!p->max) {
		n = ftl_k_i64(b, 1);
		for (int d = 0; d < v->nd; d++)
			n = ftl_k2(b, FTL_K_mul, n,
				   !p->counted ? ftl_k_i64(b, p->kernel.v[d])
					       : count_taps(p, d, d + 1 < v->nd ? p->idx[2 + d] : last));
		/* a window with nothing in it (ceil_mode): 0, not 0 / 0 */
		n = ftl_k2(b, FTL_K_max, n, ftl_k_i64(b, 1));
		x = ftl_k2(b, FTL_K_div, x, ftl_k_cast(b, n, v->c.t));
	}
	p->idx[v->nd + 1] = last;
	ftl_write(p->k, v->c.out, p->idx, x);
}

/* The window from the attributes that both pools have, and the pool by rows. */
static ftl_status pool_rows(struct pool *p, ftl_lo *lo, ftl_node_id id, ftl_ints strides, ftl_ints dilations,
			    ftl_dims pads)
{
	struct conv *v = &p->v;
	ftl_symtab *st = lo->g->st;
	ftl_dim zero = ftl_dim_const(st, 0), one = ftl_dim_const(st, 1);
	int r;

	v->n = ftl_node_get(lo->g, id);
	v->x = v->n->in[0];
	v->xt = ftl_type_of(lo->g, v->x);
	v->ot = ftl_type_of(lo->g, v->n->out[0]);
	v->nd = v->xt->rank - 2;
	v->c.lo = lo;
	v->c.node = id;
	v->c.out = v->n->out[0];
	v->c.t = ftl_dtype_compute(v->ot->dtype);
	r = v->nd + 2;
	for (int d = 0; d < v->nd; d++) {
		ftl_dim last = ftl_dim_mul(st, ftl_dim_sub(st, v->ot->dims[2 + d], one),
					   ftl_dim_const(st, ftl_conv_or(strides, d, 1)));

		v->stride[d] = ftl_conv_or(strides, d, 1);
		v->dilation[d] = ftl_conv_or(dilations, d, 1);
		v->pad[d] = pads.n ? pads.v[d] : zero;
		p->end[d] = pads.n ? pads.v[d + v->nd] : zero;
		p->counted |= !ftl_u_is(lo, v->pad[d], 0) || !ftl_u_is(lo, p->end[d], 0);
		/* as far as the last window reaches */
		v->in[d] = ftl_dim_add(st, last, ftl_dim_const(st, (p->kernel.v[d] - 1) * v->dilation[d] + 1));
		if (ftl_u_is(lo, v->pad[d], 0) && ftl_dim_known_le(st, v->in[d], v->xt->dims[2 + d]) == 1)
			v->in[d] = v->xt->dims[2 + d];
	}
	ftl_conv_pad(v, p->max ? lowest(v->xt->dtype) : 0);
	p->k = ftl_kern_begin(lo, id, ftl_op_get(v->n->op)->name);
	v->c.kern = p->k;
	ftl_delinear(p->k, v->ot->dims, r - 1, ftl_kern_grid(p->k), p->idx);
	p->start = ftl_k2(ftl_kern_b(p->k), FTL_K_mul, p->idx[0], ftl_kern_dim(p->k, v->xt->dims[1]));
	p->start = ftl_k2(ftl_kern_b(p->k), FTL_K_add, p->start, p->idx[1]);
	p->start = ftl_k2(ftl_kern_b(p->k), FTL_K_mul, p->start,
			  ftl_kern_dim(p->k, ftl_conv_product(st, v->in, v->nd)));
	p->start = ftl_k2(ftl_kern_b(p->k), FTL_K_add, p->start, ftl_conv_row_start(v, p->k, p->idx + 2));
	ftl_u_row(p->k, ftl_kern_dim(p->k, v->ot->dims[r - 1]), ftl_kern_width(p->k, v->c.t), pool_outputs, p);
	ftl_kern_launch(p->k, ftl_lo_dim(lo, ftl_conv_product(st, v->ot->dims, r - 1)), 1024);
	return FTL_OK;
}

ftl_status ftl_nest_avg_pool(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const struct ftl_attrs_avg_pool *a = FTL_ATTRS(n, avg_pool);
	struct pool *p = FTL_NEW(lo->arena, struct pool);

	if (lo->target->vector_bytes == 0 || !ftl_dtype_is_float(ftl_type_of(lo->g, n->in[0])->dtype))
		return ftl_point_nest(lo, id, n->out[0], ftl_avg_pool_element, true, "avg_pool");
	p->counted = a->ceil_mode;
	p->include_pad = a->include_pad;
	p->kernel = a->kernel;
	return pool_rows(p, lo, id, a->strides, a->dilations, a->pads);
}

static ftl_status max_rows(ftl_lo *lo, ftl_node_id id)
{
	const struct ftl_attrs_max_pool *a = FTL_ATTRS(ftl_node_get(lo->g, id), max_pool);
	struct pool *p = FTL_NEW(lo->arena, struct pool);

	p->max = true;
	p->kernel = a->kernel;
	return pool_rows(p, lo, id, a->strides, a->dilations, a->pads);
}

static ftl_status max_naive(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const struct ftl_attrs_max_pool *a = FTL_ATTRS(n, max_pool);
	const ftl_type *xt = ftl_type_of(lo->g, n->in[0]), *ot = ftl_type_of(lo->g, n->out[0]);
	ftl_kern *k = ftl_kern_begin(lo, id, "max_pool");
	ftl_kb *b = ftl_kern_b(k);
	int r = xt->rank, nd = r - 2;
	ftl_dtype t = ftl_dtype_compute(xt->dtype);
	ftl_kv idx[FTL_MAX_RANK], xi[FTL_MAX_RANK], best, where, ok, tap, x, better, lin;
	ftl_dim rows = ftl_dim_const(lo->g->st, 1);
	int64_t taps = 1;
	ftl_kscope col, tapf, s;
	bool want_where = ftl_use_count(lo->g, n->out[1]) > 0;

	for (int d = 0; d < r - 1; d++)
		rows = ftl_dim_mul(lo->g->st, rows, ot->dims[d]);
	for (int d = 0; d < nd; d++)
		taps *= a->kernel.v[d];
	ftl_delinear(k, ot->dims, r - 1, ftl_kern_grid(k), idx);
	col = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, ot->dims[r - 1]), 1);
	idx[r - 1] = col.index;
	best = ftl_k_var(b, ftl_k_num(b, FTL_KT(t, 1), lowest(xt->dtype)));
	where = ftl_k_var(b, ftl_k_i64(b, -1));
	tapf = ftl_k_for(b, ftl_k_i64(b, 0), ftl_k_i64(b, taps), 1);
	tap = tapf.index;
	ok = ftl_k_int(b, FTL_KT_BOOL, 1);
	xi[0] = idx[0];
	xi[1] = idx[1];
	for (int d = nd - 1; d >= 0; d--) {
		ftl_kv size = ftl_k_i64(b, a->kernel.v[d]);
		ftl_kv at = ftl_k2(b, FTL_K_mul, idx[d + 2], ftl_k_i64(b, d < (int)a->strides.n ? a->strides.v[d] : 1));
		ftl_kv o = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_rem, tap, size),
				  ftl_k_i64(b, d < (int)a->dilations.n ? a->dilations.v[d] : 1));

		if (a->pads.n)
			at = ftl_k2(b, FTL_K_sub, at, ftl_kern_dim(k, a->pads.v[d]));
		at = ftl_k2(b, FTL_K_add, at, o);
		ok = ftl_k2(b, FTL_K_and, ok, ftl_k2(b, FTL_K_le, ftl_k_i64(b, 0), at));
		ok = ftl_k2(b, FTL_K_and, ok, ftl_k2(b, FTL_K_lt, at, ftl_kern_dim(k, xt->dims[d + 2])));
		xi[d + 2] = at;
		tap = ftl_k2(b, FTL_K_div, tap, size);
	}
	s = ftl_k_if(b, ok);
	x = ftl_read(k, n->in[0], xi);
	/* the first tap, a larger one, or NaN, which wins for good */
	better = ftl_k2(b, FTL_K_lt, ftl_k_get(b, best), x);
	better = ftl_k2(b, FTL_K_or, better, ftl_k2(b, FTL_K_eq, ftl_k_get(b, where), ftl_k_i64(b, -1)));
	better = ftl_k2(b, FTL_K_or, better, ftl_k2(b, FTL_K_ne, x, x));
	lin = ftl_linear(k, n->in[0], xi);
	if (a->column_major) {
		/* spatial dims counted with the first running fastest */
		ftl_kv plane = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, xi[0], ftl_kern_dim(k, xt->dims[1])), xi[1]),
		       sp = ftl_k_i64(b, 0);

		for (int d = nd - 1; d >= 0; d--) {
			sp = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, sp, ftl_kern_dim(k, xt->dims[d + 2])),
				    xi[d + 2]);
			plane = ftl_k2(b, FTL_K_mul, plane, ftl_kern_dim(k, xt->dims[d + 2]));
		}
		lin = ftl_k2(b, FTL_K_add, plane, sp);
	}
	ftl_k_set(b, best, ftl_k_select(b, better, x, ftl_k_get(b, best)));
	ftl_k_set(b, where, ftl_k_select(b, better, lin, ftl_k_get(b, where)));
	ftl_k_end(b, &s);
	ftl_k_end(b, &tapf);
	ftl_write(k, n->out[0], idx, ftl_k_get(b, best));
	if (want_where)
		ftl_write(k, n->out[1], idx, ftl_k_get(b, where));
	ftl_k_end(b, &col);
	ftl_kern_launch(k, ftl_lo_dim(lo, rows), 256 * taps);
	return FTL_OK;
}

ftl_status ftl_nest_max_pool(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);

	return lo->target->vector_bytes == 0 || ftl_use_count(lo->g, n->out[1]) > 0 ? max_naive(lo, id)
										    : max_rows(lo, id);
}
