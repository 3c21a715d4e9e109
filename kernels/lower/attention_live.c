/* attention: which blocks of keys a block of queries needs at all.
 *
 * Causal, windowed and padded attention comes as a mask, and the mask says which scores end as weights of 0. One sweep over
 * the mask, which all heads share, marks the blocks with something in them; the others are never computed. So any mask makes
 * for sparse work, constant or not, whatever its spelling. A block of queries with a row that has no key left takes all
 * blocks: softmax gives such a row a meaning of its own. */
#include "kernels/lower/attention.h"

/* A logit this low has the weight 0 beside one that is not masked. */
#define LOW (-1e8)

enum { MASKS = 4 };

struct mask {
	ftl_val v; /* added to the scores; or the condition */
	bool cond; /* of a where: dead where v is `when` */
	bool when;
};

static bool is_captured(const ftl_attend *a, ftl_val v)
{
	return ftl_value_get(a->lo->g, v)->region != a->n->regions[0];
}

/* Does v say something about keys, and the same for all heads? */
static bool is_mask(const ftl_attend *a, ftl_val v)
{
	const ftl_type *t = att_type(a, v);
	ftl_symtab *st = a->lo->g->st;
	int64_t one;

	return is_captured(a, v) && t->rank >= 1 && ftl_dim_known_eq(st, t->dims[t->rank - 1], a->keys) == 1 &&
	       (t->rank < 3 || a->rank < 3 || (ftl_dim_is_const(st, t->dims[t->rank - 3], &one) && one == 1));
}

static bool is_low(const ftl_attend *a, ftl_val v)
{
	double x;

	return ftl_const_scalar(a->lo->g, v, &x) && x <= LOW;
}

/* From what region 0 yields back to the scores, as long as a dead logit stays one. */
static int find_masks(const ftl_attend *a, struct mask *out)
{
	const ftl_graph *g = a->lo->g;
	const ftl_region *reg = ftl_region_get(g, a->n->regions[0]);
	ftl_val v = ftl_node_get(g, reg->last)->in[0];
	int n = 0;

	while (v != reg->params.v[0] && !is_captured(a, v) && n < MASKS) {
		const ftl_node *w = ftl_node_get(g, ftl_value_get(g, v)->def);

		if (w->op == FTL_OP_add) {
			int m = is_captured(a, w->in[0]) ? 0 : 1;

			if (is_mask(a, w->in[m]))
				out[n++] = (struct mask){.v = w->in[m]};
			v = w->in[1 - m];
		} else if (w->op == FTL_OP_where && is_low(a, w->in[1]) && is_captured(a, w->in[0])) {
			if (is_mask(a, w->in[0]))
				out[n++] = (struct mask){w->in[0], true, true};
			v = w->in[2];
		} else if (w->op == FTL_OP_where && is_low(a, w->in[2]) && is_captured(a, w->in[0])) {
			if (is_mask(a, w->in[0]))
				out[n++] = (struct mask){w->in[0], true, false};
			v = w->in[1];
		} else if (w->op == FTL_OP_cast) {
			v = w->in[0];
		} else {
			break;
		}
	}
	return n;
}

/* 1 where score idx is alive, else 0, in the compute type. */
static ftl_kv alive(ftl_attend *a, const struct mask *m, int n, const ftl_type *scores, const ftl_kv *idx, int lanes)
{
	ftl_kv all = att_real(a, lanes, 1);

	for (int i = 0; i < n; i++) {
		ftl_kv x = ftl_k_splat(a->b, ftl_att_read(a, scores, m[i].v, idx), lanes);

		if (!m[i].cond) /* NaN is alive, and makes itself known */
			x = ftl_k2(a->b, FTL_K_le, x, ftl_k_float(a->b, ftl_ktype_of(a->b->f, x), LOW));
		else if (!m[i].when)
			x = ftl_k1(a->b, FTL_K_not, x);
		all = ftl_k_select(a->b, x, att_real(a, lanes, 0), all);
	}
	return all;
}

void ftl_att_find_live(ftl_attend *a)
{
	ftl_lo *lo = a->lo;
	ftl_symtab *st = lo->g->st;
	const ftl_type *scores = att_type(a, ftl_region_get(lo->g, a->n->regions[0])->params.v[0]);
	struct mask masks[MASKS];
	int n = find_masks(a, masks), width;
	ftl_dim one = ftl_dim_const(st, 1), count = one, blocks, kblocks;
	ftl_kv g, nb, ptr, base, idx[FTL_MAX_RANK], rows, m0, nkb, keys, dead;
	ftl_kscope r, c, f;
	ftl_acc acc;

	a->live = 0;
	if (n == 0 || a->once || a->linear || !a->packed || !ftl_att_region_empty(a, 1))
		return;
	/* leading axes that no mask has are not walked */
	for (int d = 0; d + 2 < a->rank; d++) {
		a->live_dim[d] = one;
		for (int i = 0; i < n; i++) {
			const ftl_type *t = att_type(a, masks[i].v);
			int at = d - (a->rank - t->rank);

			if (at >= 0 && ftl_dim_known_eq(st, t->dims[at], one) != 1)
				a->live_dim[d] = scores->dims[d];
		}
		count = ftl_dim_mul(st, count, a->live_dim[d]);
	}
	blocks = ftl_dim_ceildiv(st, a->m, ftl_dim_const(st, a->mb));
	kblocks = ftl_dim_ceildiv(st, a->keys, ftl_dim_const(st, a->kb));
	count = ftl_dim_mul(st, count, blocks);
	a->live = ftl_lo_temp(lo, ftl_dim_mul(st, count, kblocks));
	a->k = ftl_kern_begin(lo, a->id, "attention: live blocks");
	a->b = ftl_kern_b(a->k);
	g = ftl_kern_grid(a->k);
	nb = ftl_kern_dim(a->k, blocks);
	nkb = ftl_kern_dim(a->k, kblocks);
	keys = ftl_kern_dim(a->k, a->keys);
	ptr = ftl_kern_arg(a->k, a->live);
	base = att_mul(a, g, nkb);
	ftl_delinear(a->k, a->live_dim, a->rank - 2, ftl_k2(a->b, FTL_K_div, g, nb), idx);
	m0 = att_mul(a, ftl_k2(a->b, FTL_K_rem, g, nb), att_num(a, a->mb));
	rows = ftl_k2(a->b, FTL_K_min, ftl_k2(a->b, FTL_K_sub, ftl_kern_dim(a->k, a->m), m0), att_num(a, a->mb));
	ftl_k_zero(a->b, att_add_ptr(a, ptr, base), nkb);
	dead = ftl_k_var(a->b, ftl_k_int(a->b, FTL_KT(FTL_BOOL, 1), 0));
	r = ftl_k_for(a->b, att_num(a, 0), rows, 1);
	{
		ftl_kv any = ftl_k_var(a->b, att_real(a, 1, 0));

		idx[a->rank - 2] = att_add(a, m0, r.index);
		c = ftl_k_for(a->b, att_num(a, 0), nkb, 1);
		{
			ftl_kv from = att_mul(a, c.index, att_num(a, a->kb));
			ftl_kv to = ftl_k2(a->b, FTL_K_min, keys, att_add(a, from, att_num(a, a->kb))), x;

			width = a->width;
			acc = ftl_acc_begin(a->k, FTL_K_max, a->t, width, 0);
			for (ftl_vloop l = ftl_vloop_begin(a->k, from, to, width); ftl_vloop_next(&l);) {
				idx[a->rank - 1] = l.i;
				ftl_acc_put(a->k, &acc, alive(a, masks, n, scores, idx, l.lanes));
			}
			x = ftl_acc_end(a->k, &acc);
			f = ftl_k_if(a->b, ftl_k2(a->b, FTL_K_lt, att_real(a, 1, 0), x));
			ftl_k_store(a->b, ptr, att_add(a, base, c.index), ftl_k_int(a->b, FTL_KT(FTL_U8, 1), 1));
			ftl_k_set(a->b, any, x);
			ftl_k_end(a->b, &f);
		}
		ftl_k_end(a->b, &c);
		ftl_k_set(a->b, dead,
			  ftl_k2(a->b, FTL_K_or, ftl_k_get(a->b, dead),
				 ftl_k2(a->b, FTL_K_eq, ftl_k_get(a->b, any), att_real(a, 1, 0))));
	}
	ftl_k_end(a->b, &r);
	f = ftl_k_if(a->b, ftl_k_get(a->b, dead));
	c = ftl_k_for(a->b, att_num(a, 0), nkb, 1);
	ftl_k_store(a->b, ptr, att_add(a, base, c.index), ftl_k_int(a->b, FTL_KT(FTL_U8, 1), 1));
	ftl_k_end(a->b, &c);
	ftl_k_end(a->b, &f);
	ftl_kern_launch(a->k, ftl_lo_dim(lo, count), a->mb * 512);
}

ftl_kv ftl_att_live(ftl_attend *a, ftl_kv block, ftl_kv j0)
{
	ftl_symtab *st = a->lo->g->st;
	ftl_dim blocks = ftl_dim_ceildiv(st, a->m, ftl_dim_const(st, a->mb));
	ftl_dim kblocks = ftl_dim_ceildiv(st, a->keys, ftl_dim_const(st, a->kb));
	ftl_kv at = att_num(a, 0);
	int64_t one;

	for (int d = 0; d + 2 < a->rank; d++) {
		bool single = ftl_dim_is_const(st, a->live_dim[d], &one) && one == 1;

		at = att_mul(a, at, ftl_kern_dim(a->k, a->live_dim[d]));
		if (!single)
			at = att_add(a, at, a->idx[d]);
	}
	at = att_add(a, att_mul(a, at, ftl_kern_dim(a->k, blocks)), block);
	at = att_add(a, att_mul(a, at, ftl_kern_dim(a->k, kblocks)), ftl_k2(a->b, FTL_K_div, j0, att_num(a, a->kb)));
	return ftl_k2(a->b, FTL_K_ne, ftl_k_load(a->b, FTL_U8, ftl_kern_arg(a->k, a->live), at, 1),
		      ftl_k_int(a->b, FTL_KT(FTL_U8, 1), 0));
}
