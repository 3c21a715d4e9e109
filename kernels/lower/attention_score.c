/* attention: scores, by register tiles over packed keys or by dot products with keys where they lie. */
#include "kernels/lower/attention.h"

/* Where in the scratch the score of row i (of the block) and key j (of the block) lies. */
ftl_kv ftl_att_score_at(const ftl_attend *a, ftl_kv i, ftl_kv j)
{
	return att_add(a, att_mul(a, i, att_num(a, a->kb)), j);
}

/* mr rows from row i by nv vectors of keys from key j of the block that starts at key j0. */
static void score_tile(ftl_attend *a, ftl_kv i, ftl_kv j0, ftl_kv j, int nv)
{
	ftl_kb *b = a->b;
	ftl_kv acc[FTL_ATT_ROWS][FTL_ATT_VEC], row[FTL_ATT_ROWS], ptr = ftl_kern_arg(a->k, a->panels), base, last,
								  d = ftl_kern_dim(a->k, a->d);
	ftl_kscope f;

	last = ftl_k2(b, FTL_K_sub, ftl_kern_dim(a->k, a->m), att_num(a, 1));
	for (int r = 0; r < a->mr; r++) {
		/* rows past the last query repeat it and are never written */
		ftl_kv q = ftl_k2(b, FTL_K_min, att_add(a, a->m0, att_add(a, i, att_num(a, r))), last);

		row[r] = att_add(a, a->q0, att_mul(a, q, a->q.stride[a->rank - 2]));
		for (int v = 0; v < nv; v++)
			acc[r][v] = ftl_k_var(b, att_real(a, a->width, 0));
	}
	/* blocks start at panels */
	base = att_mul(a,
		       att_add(a,
			       att_mul(a, a->head,
				       ftl_kern_dim(a->k, ftl_dim_ceildiv(a->lo->g->st, a->keys,
									  ftl_dim_const(a->lo->g->st, att_panel(a))))),
			       ftl_k2(b, FTL_K_div, att_add(a, j0, j), att_num(a, att_panel(a)))),
		       att_mul(a, d, att_num(a, att_panel(a))));
	f = ftl_k_for(b, att_num(a, 0), d, 1);
	{
		ftl_kv kv[FTL_ATT_VEC], at = att_add(a, base, att_mul(a, f.index, att_num(a, att_panel(a))));

		for (int v = 0; v < nv; v++)
			kv[v] = ftl_k_load(b, a->t, ptr, att_add(a, at, att_num(a, (int64_t)v * a->width)), a->width);
		for (int r = 0; r < a->mr; r++) {
			ftl_kv x = ftl_read_flat(a->k, a->q.v,
						 att_add(a, row[r], att_mul(a, f.index, a->q.stride[a->rank - 1])), 1);

			x = ftl_k_splat(b, ftl_k_cast(b, x, a->t), a->width);
			for (int v = 0; v < nv; v++)
				ftl_k_set(b, acc[r][v], ftl_k_fma(b, x, kv[v], ftl_k_get(b, acc[r][v])));
		}
	}
	ftl_k_end(b, &f);
	for (int r = 0; r < a->mr; r++) {
		for (int v = 0; v < nv; v++) {
			ftl_kv x = att_mul(a, ftl_k_get(b, acc[r][v]),
					   att_real(a, a->width, FTL_ATTRS(a->n, attention)->scale));

			ftl_k_store(b, a->s,
				    ftl_att_score_at(a, att_add(a, i, att_num(a, r)),
						     att_add(a, j, att_num(a, (int64_t)v * a->width))),
				    x);
		}
	}
}

static void score_rows(ftl_attend *a, ftl_kv j0, ftl_kv j, int nv)
{
	ftl_kscope s = ftl_k_for(a->b, att_num(a, 0), a->tiled, a->mr);

	score_tile(a, s.index, j0, j, nv);
	ftl_k_end(a->b, &s);
}

/* Scores of the block's rows against nb keys from j0. */
static void packed_scores(ftl_attend *a, ftl_kv j0, ftl_kv nb)
{
	ftl_kb *b = a->b;
	int64_t n, rest;
	int part = a->nv;
	ftl_kscope s = ftl_k_for(b, att_num(a, 0), nb, att_panel(a)), f;

	if (ftl_dim_is_const(a->lo->g->st, a->keys, &n) && (rest = n % att_panel(a)) != 0)
		part = (int)((rest + a->width - 1) / a->width);
	if (part == a->nv) {
		score_rows(a, j0, s.index, a->nv);
	} else {
		f = ftl_k_if(b, ftl_k2(b, FTL_K_le, att_add(a, s.index, att_num(a, att_panel(a))), nb));
		score_rows(a, j0, s.index, a->nv);
		ftl_k_else(b, &f);
		score_rows(a, j0, s.index, part);
		ftl_k_end(b, &f);
	}
	ftl_k_end(b, &s);
}

/* The same by dot products with the keys where they lie. */
static void direct_scores(ftl_attend *a, ftl_kv j0, ftl_kv nb)
{
	ftl_kb *b = a->b;
	ftl_kscope r = ftl_k_for(b, att_num(a, 0), a->rows, 1);
	ftl_kv row = att_add(a, a->q0, att_mul(a, att_add(a, a->m0, r.index), a->q.stride[a->rank - 2]));
	ftl_kscope c = ftl_k_for(b, att_num(a, 0), nb, 1);
	ftl_kv key = att_add(a, a->k0, att_mul(a, att_add(a, j0, c.index), a->key.stride[a->rank - 2])), x;
	int width = a->q.unit && a->key.unit ? a->width : 1;
	ftl_acc acc = ftl_acc_begin(a->k, FTL_K_add, a->t, width, 0);

	for (ftl_vloop l = ftl_vloop_begin(a->k, att_num(a, 0), ftl_kern_dim(a->k, a->d), width); ftl_vloop_next(&l);) {
		ftl_kv qi = att_add(a, row, att_mul(a, l.base, a->q.stride[a->rank - 1]));
		ftl_kv ki = att_add(a, key, att_mul(a, l.base, a->key.stride[a->rank - 1]));
		ftl_kv qv = ftl_k_cast(b, ftl_read_flat(a->k, a->q.v, qi, l.lanes), a->t);
		ftl_kv kv = ftl_k_cast(b, ftl_read_flat(a->k, a->key.v, ki, l.lanes), a->t);

		ftl_acc_put(a->k, &acc, att_mul(a, qv, kv));
	}
	x = att_mul(a, ftl_acc_end(a->k, &acc), att_real(a, 1, FTL_ATTRS(a->n, attention)->scale));
	ftl_k_store(b, a->s, ftl_att_score_at(a, r.index, c.index), x);
	ftl_k_end(b, &c);
	ftl_k_end(b, &r);
}

void ftl_att_scores(ftl_attend *a, ftl_kv j0, ftl_kv nb)
{
	if (a->packed)
		packed_scores(a, j0, nb);
	else
		direct_scores(a, j0, nb);
}
