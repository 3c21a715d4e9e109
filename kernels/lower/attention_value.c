/* attention: weights times values. See attention.c. */
#include "kernels/lower/attention.h"

/* Vector x of the result of row i (of the block), elements from c on, goes out. */
void ftl_att_put(ftl_attend *a, ftl_kv i, int64_t c, ftl_kv x, ftl_kv factor)
{
	ftl_kv idx[FTL_MAX_RANK], ok;

	memcpy(idx, a->idx, sizeof idx);
	idx[a->rank - 2] = att_add(a, a->m0, i);
	idx[a->rank - 1] = ftl_k_ramp(a->b, att_num(a, c), att_num(a, 1), a->width);
	if (factor)
		x = att_mul(a, x, att_splat(a, factor));
	if (factor && FTL_ATTRS(a->n, attention)->nan_zero) {
		/* all weights of a row are NaN or none: then its sum is NaN, or 0 */
		ok = ftl_k2(a->b, FTL_K_lt, att_real(a, 1, 0), ftl_k_load(a->b, a->t, a->sum, i, 1));
		x = ftl_k_select(a->b, att_splat(a, ok), x, att_real(a, a->width, 0));
	}
	a->k->mask = c + a->width > a->e ? att_num(a, a->e - c) : 0;
	ftl_write(a->k, a->n->out[0], idx, x);
	a->k->mask = 0;
}

/* What the sums of a row divide by, or 0 where the weights are final. */
ftl_kv ftl_att_factor(ftl_attend *a, ftl_kv i)
{
	ftl_kv by;
	int64_t n;

	if (a->linear || !ftl_att_region_empty(a, 1))
		return 0;
	by = ftl_k2(a->b, FTL_K_div, att_real(a, 1, 1), ftl_k_load(a->b, a->t, a->sum, i, 1));
	if (ftl_dim_is_const(a->lo->g->st, a->keys, &n) && n > 0)
		return by;
	/* without any key the result is 0 */
	return ftl_k_select(a->b, ftl_k2(a->b, FTL_K_eq, ftl_kern_dim(a->k, a->keys), att_num(a, 0)), att_real(a, 1, 0),
			    by);
}

static void value_tile(ftl_attend *a, ftl_kv i, int64_t c, int nv, ftl_kv j0, ftl_kv nb)
{
	ftl_kb *b = a->b;
	ftl_kv acc[FTL_ATT_ROWS][FTL_ATT_VEC],
		base = att_add(a, a->v0, att_add(a, att_mul(a, j0, a->val.stride[a->rank - 2]), att_num(a, c)));
	ftl_dtype mem = att_type(a, a->val.v)->dtype;
	ftl_kv ptr = ftl_kern_ptr(a->k, a->val.v);
	ftl_kscope f;

	for (int r = 0; r < a->mr; r++)
		for (int v = 0; v < nv; v++) {
			ftl_kv at = att_add(a, att_mul(a, att_add(a, i, att_num(a, r)), att_num(a, a->ep)),
					    att_num(a, c + (int64_t)v * a->width));

			acc[r][v] = ftl_k_var(b, a->once ? att_real(a, a->width, 0)
							 : ftl_k_load(b, a->t, a->o, at, a->width));
		}
	f = ftl_k_for(b, att_num(a, 0), nb, 1);
	{
		ftl_kv x[FTL_ATT_VEC], at = att_add(a, base, att_mul(a, f.index, a->val.stride[a->rank - 2]));

		for (int v = 0; v < nv; v++) {
			int64_t from = c + (int64_t)v * a->width;
			ftl_kv p = att_add(a, at, att_num(a, (int64_t)v * a->width));

			if (from + a->width > a->e)
				x[v] = ftl_k_loadn(b, mem, ptr, p, att_num(a, a->e - from), a->width);
			else
				x[v] = ftl_k_load(b, mem, ptr, p, a->width);
			x[v] = ftl_k_cast(b, x[v], a->t);
		}
		for (int r = 0; r < a->mr; r++) {
			ftl_kv w = att_splat(a,
					     ftl_k_load(b, a->t, a->s,
							ftl_att_score_at(a, att_add(a, i, att_num(a, r)), f.index), 1));

			for (int v = 0; v < nv; v++)
				ftl_k_set(b, acc[r][v], ftl_k_fma(b, w, x[v], ftl_k_get(b, acc[r][v])));
		}
	}
	ftl_k_end(b, &f);
	for (int r = 0; r < a->mr; r++) {
		ftl_kv row = att_add(a, i, att_num(a, r));

		f = (ftl_kscope){0};
		if (a->once)
			f = ftl_k_if(b, ftl_k2(b, FTL_K_lt, row, a->rows));
		for (int v = 0; v < nv; v++) {
			int64_t from = c + (int64_t)v * a->width;

			if (a->once)
				ftl_att_put(a, row, from, ftl_k_get(b, acc[r][v]), ftl_att_factor(a, row));
			else
				ftl_k_store(b, a->o, att_add(a, att_mul(a, row, att_num(a, a->ep)), att_num(a, from)),
					    ftl_k_get(b, acc[r][v]));
		}
		if (a->once)
			ftl_k_end(b, &f);
	}
}

void ftl_att_values(ftl_attend *a, ftl_kv j0, ftl_kv nb)
{
	for (int64_t c = 0; c < a->ep;) {
		int nv = (int)((a->ep - c) / a->width);
		ftl_kscope s;

		nv = nv < a->nv ? nv : a->nv;
		s = ftl_k_for(a->b, att_num(a, 0), a->tiled, a->mr);
		value_tile(a, s.index, c, nv, j0, nb);
		ftl_k_end(a->b, &s);
		c += (int64_t)nv * a->width;
	}
}
