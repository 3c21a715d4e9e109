/* softmax, log_softmax, layer_norm, rms_norm: a few sweeps over each row, vectorized.
 *
 * A row is one piece of the launch. Softmax along the last axis keeps exp(x - max) in the result between the second and
 * third sweep where the result's type holds it exactly (f32, f64); along another axis lanes are neighbouring rows. The
 * normalizations take mean and variance in two passes: one pass cancels. */
#include <math.h>

#include "util.h"

/* y = exp(x - max) / sum, or x - max - log(sum) */
typedef struct soft {
	ftl_lo *lo;
	ftl_kern *k;
	ftl_kb *b;
	const ftl_node *n;
	const ftl_type *x;
	ftl_dtype t;
	int axis;
	bool log;
} soft;

static ftl_kv shifted_exp(const soft *s, ftl_kv x, ftl_kv max)
{
	return ftl_k1(s->b, FTL_K_exp, ftl_k2(s->b, FTL_K_sub, x, max));
}

static ftl_kv soft_final(const soft *s, ftl_kv x, ftl_kv max, ftl_kv norm)
{
	if (s->log)
		return ftl_k2(s->b, FTL_K_sub, ftl_k2(s->b, FTL_K_sub, x, max), norm);
	return ftl_k2(s->b, FTL_K_mul, shifted_exp(s, x, max), norm);
}

static ftl_kv soft_norm(const soft *s, ftl_kv sum)
{
	if (s->log)
		return ftl_k1(s->b, FTL_K_log, sum);
	return ftl_k2(s->b, FTL_K_div, ftl_k_num(s->b, ftl_ktype_of(s->b->f, sum), 1), sum);
}

static void soft_row(const soft *s, ftl_kv *idx)
{
	ftl_kern *k = s->k;
	ftl_kb *b = s->b;
	ftl_val in = s->n->in[0], out = s->n->out[0];
	ftl_dim dim = s->x->dims[s->axis];
	ftl_kv zero = ftl_k_i64(b, 0), size = ftl_kern_dim(k, dim), base, max, norm, ptr = 0;
	bool cache = !s->log && s->t == s->x->dtype && ftl_kern_plain(k, out);
	int width = ftl_u_width(k, s->x->dtype, dim);
	ftl_acc acc;

	idx[s->axis] = zero;
	base = ftl_linear(k, in, idx);
	if (cache)
		ptr = ftl_kern_ptr(k, out);
	acc = ftl_acc_begin(k, FTL_K_max, s->t, width, -INFINITY);
	for (ftl_vloop l = ftl_vloop_begin(k, zero, size, width); ftl_vloop_next(&l);)
		ftl_acc_put(k, &acc, ftl_read_flat(k, in, ftl_k2(b, FTL_K_add, base, l.base), l.lanes));
	max = ftl_acc_end(k, &acc);
	acc = ftl_acc_begin(k, FTL_K_add, s->t, width, 0);
	for (ftl_vloop l = ftl_vloop_begin(k, zero, size, width); ftl_vloop_next(&l);) {
		ftl_kv at = ftl_k2(b, FTL_K_add, base, l.base);
		ftl_kv e = shifted_exp(s, ftl_read_flat(k, in, at, l.lanes), max);

		ftl_acc_put(k, &acc, e);
		if (cache)
			ftl_k_store(b, ptr, at, e);
	}
	norm = soft_norm(s, ftl_acc_end(k, &acc));
	for (ftl_vloop l = ftl_vloop_begin(k, zero, size, width); ftl_vloop_next(&l);) {
		ftl_kv at = ftl_k2(b, FTL_K_add, base, l.base), y;

		idx[s->axis] = l.i;
		if (cache)
			y = ftl_k2(b, FTL_K_mul, ftl_k_load(b, s->t, ptr, at, l.lanes), norm);
		else
			y = soft_final(s, ftl_read_flat(k, in, at, l.lanes), max, norm);
		ftl_write(k, out, idx, y);
	}
}

/* Lanes are neighbouring rows; the axis is walked element by element. */
static void soft_columns(const soft *s, ftl_kv *idx)
{
	ftl_kern *k = s->k;
	ftl_kb *b = s->b;
	ftl_val in = s->n->in[0];
	int last = s->x->rank - 1;
	ftl_dim dim = s->x->dims[last];
	ftl_kv zero = ftl_k_i64(b, 0), size = ftl_kern_dim(k, s->x->dims[s->axis]);

	for (ftl_vloop l = ftl_vloop_begin(k, zero, ftl_kern_dim(k, dim), ftl_u_width(k, s->x->dtype, dim));
	     ftl_vloop_next(&l);) {
		ftl_kv vmax = ftl_k_var(b, ftl_k_float(b, FTL_KT(s->t, l.lanes), -INFINITY));
		ftl_kv vsum = ftl_k_var(b, ftl_k_float(b, FTL_KT(s->t, l.lanes), 0)), max, norm;
		ftl_kscope f;

		idx[last] = l.i;
		f = ftl_k_for(b, zero, size, 1);
		idx[s->axis] = f.index;
		ftl_k_set(b, vmax, ftl_k2(b, FTL_K_max, ftl_k_get(b, vmax), ftl_read(k, in, idx)));
		ftl_k_end(b, &f);
		max = ftl_k_get(b, vmax);
		f = ftl_k_for(b, zero, size, 1);
		idx[s->axis] = f.index;
		ftl_k_set(b, vsum, ftl_k2(b, FTL_K_add, ftl_k_get(b, vsum), shifted_exp(s, ftl_read(k, in, idx), max)));
		ftl_k_end(b, &f);
		norm = soft_norm(s, ftl_k_get(b, vsum));
		f = ftl_k_for(b, zero, size, 1);
		idx[s->axis] = f.index;
		ftl_write(k, s->n->out[0], idx, soft_final(s, ftl_read(k, in, idx), max, norm));
		ftl_k_end(b, &f);
	}
}

ftl_status ftl_nest_softmax(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const ftl_type *x = ftl_type_of(g, n->in[0]);
	/* softmax and log_softmax have the same row of attributes */
	soft s = {.lo = lo,
		  .n = n,
		  .x = x,
		  .t = ftl_dtype_compute(x->dtype),
		  .axis = ftl_u_axis(FTL_ATTRS(n, softmax)->axis, x->rank),
		  .log = n->op == FTL_OP_log_softmax};
	int last = x->rank - 1;
	uint32_t mask = ((1u << x->rank) - 1) & ~(1u << s.axis) & ~(1u << last);
	int64_t cost = ftl_u_cost(lo, x->dims[s.axis], 24);
	ftl_kv idx[FTL_MAX_RANK];

	s.k = ftl_kern_begin(lo, id, ftl_op_get(n->op)->name);
	s.b = ftl_kern_b(s.k);
	ftl_u_grid_index(s.k, x, mask, ftl_kern_grid(s.k), idx);
	if (s.axis == last) {
		soft_row(&s, idx);
	} else {
		soft_columns(&s, idx);
		cost = ftl_u_cost(lo, x->dims[last], cost);
	}
	ftl_kern_launch(s.k, ftl_lo_dim(lo, ftl_u_product_mask(lo, x, mask)), cost);
	return FTL_OK;
}

/* ---- layer_norm, rms_norm ---- */

/* Sum over a row of x, of (x - mean)^2, or (mean 0) of x^2. */
static ftl_kv row_sum(ftl_kern *k, ftl_val v, ftl_kv base, ftl_dim size, ftl_kv mean, bool square)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_dtype mem = ftl_type_of(ftl_lo_graph(ftl_kern_lo(k)), v)->dtype;
	int width = ftl_u_width(k, mem, size);
	ftl_acc acc = ftl_acc_begin(k, FTL_K_add, ftl_dtype_compute(mem), width, 0);

	for (ftl_vloop l = ftl_vloop_begin(k, ftl_k_i64(b, 0), ftl_kern_dim(k, size), width); ftl_vloop_next(&l);) {
		ftl_kv x = ftl_read_flat(k, v, ftl_k2(b, FTL_K_add, base, l.base), l.lanes);

		if (mean)
			x = ftl_k2(b, FTL_K_sub, x, mean);
		ftl_acc_put(k, &acc, square ? ftl_k2(b, FTL_K_mul, x, x) : x);
	}
	return ftl_acc_end(k, &acc);
}

/* (x - mean) / sqrt(var + eps) * scale + bias; rms_norm: x / sqrt(mean(x^2) + eps) * scale */
ftl_status ftl_nest_norm(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const struct ftl_attrs_layer_norm *a = FTL_ATTRS(n, layer_norm); /* rms_norm has the same row */
	const ftl_type *x = ftl_type_of(g, n->in[0]);
	int rank = x->rank, axis = ftl_u_axis(a->axis, rank), last = rank - 1, loops = 0;
	bool center = n->op == FTL_OP_layer_norm;
	ftl_kern *k = ftl_kern_begin(lo, id, ftl_op_get(n->op)->name);
	ftl_kb *b = ftl_kern_b(k);
	ftl_dtype t = ftl_dtype_compute(x->dtype);
	ftl_dim size = ftl_u_product(lo, x, axis, rank);
	ftl_kv idx[FTL_MAX_RANK], zero = ftl_k_i64(b, 0), base, count, mean = 0, r;
	ftl_kscope s[FTL_MAX_RANK];

	for (int d = 0; d < rank; d++)
		idx[d] = zero;
	ftl_u_grid_index(k, x, (1u << axis) - 1, ftl_kern_grid(k), idx);
	base = ftl_linear(k, n->in[0], idx);
	count = ftl_k_cast(b, ftl_kern_dim(k, size), t);
	if (center)
		mean = ftl_k2(b, FTL_K_div, row_sum(k, n->in[0], base, size, 0, false), count);
	r = ftl_k2(b, FTL_K_div, row_sum(k, n->in[0], base, size, mean, true), count);
	r = ftl_k1(b, FTL_K_sqrt, ftl_k2(b, FTL_K_add, r, ftl_k_float(b, FTL_KT(t, 1), a->epsilon)));
	r = ftl_k2(b, FTL_K_div, ftl_k_float(b, FTL_KT(t, 1), 1), r);
	for (int d = axis; d < last; d++) {
		s[loops] = ftl_k_for(b, zero, ftl_kern_dim(k, x->dims[d]), 1);
		idx[d] = s[loops++].index;
	}
	for (ftl_vloop l =
		     ftl_vloop_begin(k, zero, ftl_kern_dim(k, x->dims[last]), ftl_u_width(k, x->dtype, x->dims[last]));
	     ftl_vloop_next(&l);) {
		ftl_kv y, p, at[FTL_MAX_RANK];

		idx[last] = l.i;
		y = ftl_read(k, n->in[0], idx);
		if (center)
			y = ftl_k2(b, FTL_K_sub, y, mean);
		y = ftl_k2(b, FTL_K_mul, y, r);
		for (uint32_t i = 1; i < n->nin; i++) {
			if (!n->in[i])
				continue;
			ftl_u_bcast_index(k, x, idx, n->in[i], at);
			p = ftl_k_cast(b, ftl_read(k, n->in[i], at), t);
			y = ftl_k2(b, i == 1 ? FTL_K_mul : FTL_K_add, y, p);
		}
		ftl_write(k, n->out[0], idx, y);
	}
	while (loops > 0)
		ftl_k_end(b, &s[--loops]);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_u_product(lo, x, 0, axis)), ftl_u_cost(lo, size, 8));
	return FTL_OK;
}
