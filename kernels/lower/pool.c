/* max_pool: values and the place they came from. avg_pool is a POINT (see move of elements). */
#include "kernels/lower/driver.h"

ftl_status ftl_nest_max_pool(ftl_lo *lo, ftl_node_id id)
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
	best = ftl_k_var(b, ftl_k_num(b, FTL_KT(t, 1), 0));
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
