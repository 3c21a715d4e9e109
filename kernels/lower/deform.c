/* deform_conv: the patch matrix is sampled at positions that the offsets move, then contracted like a convolution's.
 *
 * One piece of the sampling kernel makes, for one image, offset group and tap, the rows of all channels of the group: where
 * a vector of output positions reads from and with which weights is found once and used for every channel. Corners of
 * a sample outside the image count as 0. */
#include "kernels/lower/conv.h"
#include "kernels/lower/util.h"

enum { MAX_ND = 3 };

struct deform {
	struct conv v; /* first */
	const struct ftl_attrs_deform_conv *a;
	ftl_val offset, mask;
	ftl_dim taps, cog; /* cog: channels per offset group */
};

/* The corners around the sample positions `pos`: element index inside a channel, and weight. */
static void corners(struct deform *f, ftl_kern *k, const ftl_kv *pos, ftl_kv *index, ftl_kv *weight)
{
	ftl_kb *b = ftl_kern_b(k);
	int nd = f->v.nd;
	ftl_ktype one = FTL_KT(f->v.c.t, 1);
	ftl_kv at[MAX_ND][2], w[MAX_ND][2];

	for (int d = 0; d < nd; d++) {
		ftl_kv size = ftl_kern_dim(k, f->v.xt->dims[2 + d]), last = ftl_k2(b, FTL_K_sub, size, ftl_k_i64(b, 1));
		ftl_kv low = ftl_k1(b, FTL_K_floor, pos[d]), first = ftl_k_cast(b, low, FTL_I64);

		w[d][1] = ftl_k2(b, FTL_K_sub, pos[d], low);
		w[d][0] = ftl_k2(b, FTL_K_sub, ftl_k_num(b, one, 1), w[d][1]);
		for (int i = 0; i < 2; i++) {
			ftl_kv p = i ? ftl_k2(b, FTL_K_add, first, ftl_k_i64(b, 1)) : first;
			ftl_kv in = ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_le, ftl_k_i64(b, 0), p),
					   ftl_k2(b, FTL_K_lt, p, size));

			at[d][i] = ftl_u_clamp(b, p, ftl_k_i64(b, 0), last);
			w[d][i] = ftl_k_select(b, in, w[d][i], ftl_k_num(b, one, 0));
		}
	}
	for (int i = 0; i < 1 << nd; i++) {
		index[i] = ftl_k_i64(b, 0);
		weight[i] = 0;
		for (int d = 0; d < nd; d++) {
			int side = i >> d & 1;

			index[i] = ftl_k2(b, FTL_K_mul, index[i], ftl_kern_dim(k, f->v.xt->dims[2 + d]));
			index[i] = ftl_k2(b, FTL_K_add, index[i], at[d][side]);
			weight[i] = weight[i] ? ftl_k2(b, FTL_K_mul, weight[i], w[d][side]) : w[d][side];
		}
	}
}

/* Channel `at` of offset or mask at an output position. */
static ftl_kv read_moved(struct deform *f, ftl_kern *k, ftl_val v, ftl_kv image, ftl_kv at, const ftl_kv *o)
{
	ftl_kv idx[2 + MAX_ND] = {image, at};

	for (int d = 0; d < f->v.nd; d++)
		idx[2 + d] = o[d];
	return ftl_k_cast(ftl_kern_b(k), ftl_read(k, v, idx), f->v.c.t);
}

/* [N, C, taps, positions] in the compute type */
static ftl_kv sample_patches(struct deform *f)
{
	struct conv *v = &f->v;
	ftl_lo *lo = v->c.lo;
	ftl_symtab *st = lo->g->st;
	ftl_kern *k = ftl_kern_begin(lo, v->c.node, "moved patches");
	ftl_kb *b = ftl_kern_b(k);
	ftl_dim og = ftl_dim_const(st, f->a->offset_group), size = ftl_conv_product(st, v->xt->dims + 2, v->nd);
	ftl_dim cells = ftl_dim_mul(st, ftl_dim_mul(st, v->xt->dims[0], v->xt->dims[1]),
				    ftl_dim_mul(st, f->taps, v->c.n));
	ftl_kv dst = ftl_lo_temp(lo, ftl_dim_mul(st, cells, ftl_dim_const(st, (int64_t)ftl_dtype_bytes(v->c.t))));
	ftl_kv part[3], tap[MAX_ND], o[MAX_ND], first, chan, to;
	const ftl_dim pieces[3] = {v->xt->dims[0], og, f->taps};
	int nd = v->nd;
	ftl_kscope s[MAX_ND];

	ftl_delinear(k, pieces, 3, ftl_kern_grid(k), part);
	ftl_delinear(k, v->wt->dims + 2, nd, part[2], tap);
	/* offsets and masks count their channels by (offset group, tap) */
	first = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, part[1], ftl_kern_dim(k, f->taps)), part[2]);
	chan = ftl_k2(b, FTL_K_mul, part[0], ftl_kern_dim(k, v->xt->dims[1]));
	chan = ftl_k2(b, FTL_K_add, chan, ftl_k2(b, FTL_K_mul, part[1], ftl_kern_dim(k, f->cog)));
	for (int d = 0; d + 1 < nd; d++) {
		s[d] = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, v->ot->dims[2 + d]), 1);
		o[d] = s[d].index;
	}
	for (ftl_vloop l = ftl_vloop_begin(k, ftl_k_i64(b, 0), ftl_kern_dim(k, v->ot->dims[1 + nd]),
					   ftl_u_width(k, v->c.t, v->ot->dims[1 + nd]));
	     ftl_vloop_next(&l);) {
		ftl_kv pos[MAX_ND], index[1 << MAX_ND], weight[1 << MAX_ND], place = ftl_k_i64(b, 0), from, x, sum = 0,
									     m = 0;
		ftl_kscope c;

		o[nd - 1] = l.i;
		for (int d = 0; d < nd; d++) {
			ftl_kv at = ftl_k2(b, FTL_K_mul, o[d], ftl_k_i64(b, v->stride[d]));

			at = ftl_k2(b, FTL_K_sub, at, ftl_kern_dim(k, v->pad[d]));
			at = ftl_k2(b, FTL_K_add, at, ftl_k2(b, FTL_K_mul, tap[d], ftl_k_i64(b, v->dilation[d])));
			x = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, first, ftl_k_i64(b, nd)), ftl_k_i64(b, d));
			x = read_moved(f, k, f->offset, part[0], x, o);
			pos[d] = ftl_k2(b, FTL_K_add, ftl_k_cast(b, at, v->c.t), x);
			place = ftl_k2(b, FTL_K_mul, place, ftl_kern_dim(k, v->ot->dims[2 + d]));
			place = ftl_k2(b, FTL_K_add, place, d + 1 < nd ? o[d] : l.base);
		}
		corners(f, k, pos, index, weight);
		if (f->mask)
			m = read_moved(f, k, f->mask, part[0], first, o);
		c = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, f->cog), 1);
		to = ftl_k2(b, FTL_K_add, chan, c.index);
		from = ftl_k2(b, FTL_K_mul, to, ftl_kern_dim(k, size));
		for (int i = 0; i < 1 << nd; i++) {
			x = ftl_read_flat(k, v->x, ftl_k2(b, FTL_K_add, from, index[i]), 1);
			x = ftl_k_cast(b, x, v->c.t);
			sum = sum ? ftl_k_fma(b, x, weight[i], sum) : ftl_k2(b, FTL_K_mul, x, weight[i]);
		}
		if (m)
			sum = ftl_k2(b, FTL_K_mul, sum, m);
		to = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, to, ftl_kern_dim(k, f->taps)), part[2]);
		to = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, to, ftl_kern_dim(k, v->c.n)), place);
		ftl_k_store(b, ftl_kern_arg(k, dst), to, ftl_k_splat(b, sum, l.lanes));
		ftl_k_end(b, &c);
	}
	for (int d = nd - 1; d > 0; d--)
		ftl_k_end(b, &s[d - 1]);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_conv_product(st, pieces, 3)),
			ftl_u_cost(lo, ftl_dim_mul(st, v->c.n, f->cog), 8));
	return dst;
}

/* Relations that inference could not prove. */
static void check(struct deform *f)
{
	struct conv *v = &f->v;
	ftl_lo *lo = v->c.lo;
	ftl_symtab *st = lo->g->st;
	ftl_dim chans = ftl_dim_mul(st, f->taps, ftl_dim_const(st, f->a->offset_group));
	const ftl_val moved[2] = {f->offset, f->mask};

	ftl_u_check_eq(lo, v->n, v->xt->dims[1], ftl_dim_mul(st, v->cg, ftl_dim_const(st, v->group)),
		       "the input's channels do not fit the weights");
	ftl_u_check_eq(lo, v->n, v->xt->dims[1], ftl_dim_mul(st, f->cog, ftl_dim_const(st, f->a->offset_group)),
		       "the channels do not divide into the offset groups");
	if (v->bias)
		ftl_u_check_eq(lo, v->n, ftl_type_of(lo->g, v->bias)->dims[0], v->ot->dims[1],
			       "the bias does not fit the weights");
	for (int i = 0; i < 2; i++) {
		const ftl_type *t;

		if (!moved[i])
			continue;
		t = ftl_type_of(lo->g, moved[i]);
		ftl_u_check_eq(lo, v->n, t->dims[0], v->ot->dims[0], "batch sizes differ");
		ftl_u_check_eq(lo, v->n, t->dims[1], i ? chans : ftl_dim_mul(st, chans, ftl_dim_const(st, v->nd)),
			       "offset or mask do not fit the kernel");
		for (int d = 2; d < t->rank; d++)
			ftl_u_check_eq(lo, v->n, t->dims[d], v->ot->dims[d], "offset or mask do not fit the result");
	}
	for (int d = 0; d < v->nd; d++)
		ftl_u_check_nonempty(lo, v->n, v->xt->dims[2 + d], ftl_type_numel(lo->g, v->ot));
}

ftl_status ftl_nest_deform_conv(ftl_lo *lo, ftl_node_id id)
{
	struct deform *f = FTL_NEW(lo->arena, struct deform);
	struct conv *v = &f->v;
	ftl_symtab *st = lo->g->st;
	ftl_contract *c = &v->c;

	ftl_conv_describe(v, lo, id);
	f->a = FTL_ATTRS(v->n, deform_conv);
	f->offset = v->n->in[2];
	v->bias = v->n->nin > 3 ? v->n->in[3] : 0;
	f->mask = v->n->nin > 4 ? v->n->in[4] : 0;
	v->group = f->a->group;
	for (int d = 0; d < v->nd; d++) {
		v->stride[d] = ftl_conv_or(f->a->strides, d, 1);
		v->dilation[d] = ftl_conv_or(f->a->dilations, d, 1);
		v->pad[d] = f->a->pads.n ? f->a->pads.v[d] : ftl_dim_const(st, 0);
	}
	v->cg = v->wt->dims[1];
	v->og = ftl_dim_div(st, v->ot->dims[1], ftl_dim_const(st, v->group));
	f->taps = ftl_conv_product(st, v->wt->dims + 2, v->nd);
	f->cog = ftl_dim_div(st, v->xt->dims[1], ftl_dim_const(st, f->a->offset_group));
	c->m = v->og;
	c->n = ftl_conv_product(st, v->ot->dims + 2, v->nd);
	c->k = ftl_dim_mul(st, v->cg, f->taps);
	c->batch = ftl_dim_mul(st, v->xt->dims[0], ftl_dim_const(st, v->group));
	check(f);
	ftl_contract_shape(c);
	v->src = sample_patches(f);
	v->src_mem = c->t;
	return ftl_conv_gemm(v, true);
}
