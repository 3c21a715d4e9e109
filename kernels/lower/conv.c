/* Convolution in any number of spatial dims, grouped or not.
 *
 * Padding is made real first: a padded copy of the input, so that no inner loop tests borders. Then either
 *   implicit GEMM   rows = output channels of a group, columns = output positions: the columns of the patch matrix are
 *                   packed into panels by a kernel and the contraction generator does the rest; a 1x1 convolution of
 *                   stride 1 needs no packing, the input is the matrix;
 *   direct          depthwise and other thin groups, where a GEMM would have one row: vectors of output positions,
 *                   accumulating over the kernel's taps. This is also the naive nest.
 * conv_transpose has its own file. */
#include "kernels/lower/conv.h"
#include "kernels/lower/util.h"

enum { GEMM_ROWS = 4 };

ftl_dim ftl_conv_product(ftl_symtab *st, const ftl_dim *d, int n)
{
	ftl_dim p = ftl_dim_const(st, 1);

	for (int i = 0; i < n; i++)
		p = ftl_dim_mul(st, p, d[i]);
	return p;
}

void ftl_conv_pad(struct conv *v, double around)
{
	ftl_lo *lo = v->c.lo;
	ftl_symtab *st = lo->g->st;
	ftl_kern *k;
	ftl_kb *b;
	ftl_kv idx[FTL_MAX_RANK], src[FTL_MAX_RANK], grid, row, inside, lin, ptr, last, end;
	ftl_dim dims[FTL_MAX_RANK];
	int r = v->nd + 2;
	bool padded = false;
	ftl_kscope s;

	v->src = ftl_lo_ptr(lo, v->x);
	v->src_mem = v->xt->dtype;
	for (int d = 0; d < v->nd; d++)
		padded |= v->in[d] != v->xt->dims[d + 2] || ftl_dim_known_eq(st, v->pad[d], ftl_dim_const(st, 0)) != 1;
	if (!padded)
		return;
	dims[0] = v->xt->dims[0];
	dims[1] = v->xt->dims[1];
	for (int d = 0; d < v->nd; d++)
		dims[d + 2] = v->in[d];
	v->src = ftl_lo_temp(lo, ftl_dim_mul(st, ftl_conv_product(st, dims, r),
					     ftl_dim_const(st, (int64_t)ftl_dtype_bytes(v->src_mem))));
	k = ftl_kern_begin(lo, v->c.node, "pad");
	b = ftl_kern_b(k);
	ptr = ftl_kern_arg(k, v->src);
	grid = ftl_kern_grid(k);
	ftl_delinear(k, dims, r - 1, grid, idx);
	inside = ftl_k_int(b, FTL_KT_BOOL, 1);
	for (int d = 0; d < r - 1; d++) {
		src[d] = idx[d];
		if (d < 2)
			continue;
		src[d] = ftl_k2(b, FTL_K_sub, idx[d], ftl_kern_dim(k, v->pad[d - 2]));
		inside = ftl_k2(b, FTL_K_and, inside, ftl_k2(b, FTL_K_le, ftl_k_i64(b, 0), src[d]));
		inside = ftl_k2(b, FTL_K_and, inside, ftl_k2(b, FTL_K_lt, src[d], ftl_kern_dim(k, v->xt->dims[d])));
	}
	row = ftl_k2(b, FTL_K_mul, grid, ftl_kern_dim(k, dims[r - 1]));
	for (ftl_vloop l =
		     ftl_vloop_begin(k, ftl_k_i64(b, 0), ftl_kern_dim(k, dims[r - 1]), ftl_kern_width(k, v->src_mem));
	     ftl_vloop_next(&l);) {
		ftl_kv x = ftl_k_num(b, FTL_KT(ftl_dtype_compute(v->src_mem), l.lanes), around);

		ftl_k_store(b, ptr, ftl_k2(b, FTL_K_add, row, l.base), ftl_k_cast(b, x, v->src_mem));
	}
	s = ftl_k_if(b, inside);
	/* negative padding crops */
	last = ftl_k2(b, FTL_K_max, ftl_k2(b, FTL_K_sub, ftl_k_i64(b, 0), ftl_kern_dim(k, v->pad[v->nd - 1])),
		      ftl_k_i64(b, 0));
	end = ftl_k2(b, FTL_K_sub, ftl_kern_dim(k, dims[r - 1]), ftl_kern_dim(k, v->pad[v->nd - 1]));
	end = ftl_k2(b, FTL_K_min, end, ftl_kern_dim(k, v->xt->dims[r - 1]));
	for (ftl_vloop l = ftl_vloop_begin(k, last, end, ftl_kern_width(k, v->src_mem)); ftl_vloop_next(&l);) {
		ftl_kv x;

		src[r - 1] = l.i;
		x = ftl_k_cast(b, ftl_read(k, v->x, src), v->src_mem);
		lin = ftl_k2(b, FTL_K_add, row, ftl_k2(b, FTL_K_add, l.i, ftl_kern_dim(k, v->pad[v->nd - 1])));
		ftl_k_store(b, ptr, lin, x);
	}
	ftl_k_end(b, &s);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_conv_product(st, dims, r - 1)), 512);
}

/* Where the patch of output position `pos` (linear, maybe lanes) starts inside a channel of the padded input. */
static ftl_kv patch_start(struct conv *v, ftl_kern *k, ftl_kv pos)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv o[MAX_SPATIAL], at = ftl_k_i64(b, 0);

	ftl_delinear(k, v->ot->dims + 2, v->nd, pos, o);
	for (int d = 0; d < v->nd; d++)
		at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, at, ftl_kern_dim(k, v->in[d])),
			    ftl_k2(b, FTL_K_mul, o[d], ftl_k_i64(b, v->stride[d])));
	return at;
}

/* Offset of kernel tap `tap` (linear over the kernel's spatial dims). */
static ftl_kv tap_offset(struct conv *v, ftl_kern *k, ftl_kv tap)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv t[MAX_SPATIAL], at = ftl_k_i64(b, 0);

	ftl_delinear(k, v->wt->dims + 2, v->nd, tap, t);
	for (int d = 0; d < v->nd; d++)
		at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, at, ftl_kern_dim(k, v->in[d])),
			    ftl_k2(b, FTL_K_mul, t[d], ftl_k_i64(b, v->dilation[d])));
	return at;
}

ftl_kv ftl_conv_row_start(struct conv *v, ftl_kern *k, const ftl_kv *o)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv start = ftl_k_i64(b, 0);

	for (int d = 0; d + 1 < v->nd; d++) {
		start = ftl_k2(b, FTL_K_add, start, ftl_k2(b, FTL_K_mul, o[d], ftl_k_i64(b, v->stride[d])));
		start = ftl_k2(b, FTL_K_mul, start, ftl_kern_dim(k, v->in[d + 1]));
	}
	return start;
}

static ftl_dim channel_size(struct conv *v)
{
	return ftl_conv_product(v->c.lo->g->st, v->in, v->nd);
}

/* ---- implicit GEMM ---- */

static ftl_kv a_row(ftl_contract *c, ftl_kv batch, ftl_kv m)
{
	struct conv *v = (struct conv *)c;
	ftl_kb *b = &c->kern->b;
	ftl_kv g = ftl_k2(b, FTL_K_rem, batch, ftl_k_i64(b, v->group));
	ftl_kv oc = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, g, ftl_kern_dim(c->kern, v->og)), m);

	return ftl_k2(b, FTL_K_mul, oc, ftl_kern_dim(c->kern, c->k));
}

static ftl_kv a_elem(ftl_contract *c, ftl_kv row, ftl_kv k)
{
	struct conv *v = (struct conv *)c;
	ftl_kb *b = &c->kern->b;

	return ftl_k_cast(b, ftl_read_flat(c->kern, v->w, ftl_k2(b, FTL_K_add, row, k), 1), c->t);
}

static void b_panels(ftl_contract *c, ftl_kv batch, ftl_kv n, ftl_kv *index, ftl_kv *stride)
{
	ftl_kb *b = &c->kern->b;
	int64_t panel = ftl_contract_panel(c);
	ftl_symtab *st = c->lo->g->st;
	ftl_dim cols = ftl_dim_mul(st, ftl_dim_ceildiv(st, c->n, ftl_dim_const(st, panel)), ftl_dim_const(st, panel));
	ftl_kv at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, batch, ftl_kern_dim(c->kern, cols)), n);

	*index = ftl_k2(b, FTL_K_mul, at, ftl_kern_dim(c->kern, c->k));
	*stride = ftl_k_i64(b, panel);
}

static void b_input(ftl_contract *c, ftl_kv batch, ftl_kv n, ftl_kv *index, ftl_kv *stride)
{
	ftl_kb *b = &c->kern->b;
	ftl_kv size = ftl_k2(b, FTL_K_mul, ftl_kern_dim(c->kern, c->k), ftl_kern_dim(c->kern, c->n));

	*index = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, batch, size), n);
	*stride = ftl_kern_dim(c->kern, c->n);
}

static void gemm_begin(ftl_contract *c)
{
	static const int first[3] = {0, 1, 2};

	/* else indices are split into every dim, which is right but slow */
	(void)ftl_kern_collapse(c->kern, c->out, first, 3);
}

static ftl_kv channel(struct conv *v, ftl_kern *k, ftl_kv batch, ftl_kv m)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv g = ftl_k2(b, FTL_K_rem, batch, ftl_k_i64(b, v->group));

	return ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, g, ftl_kern_dim(k, v->og)), m);
}

static void out_index(ftl_contract *c, ftl_kv batch, ftl_kv m, ftl_kv n, ftl_kv *idx)
{
	struct conv *v = (struct conv *)c;
	ftl_kb *b = &c->kern->b;

	idx[0] = ftl_k2(b, FTL_K_div, batch, ftl_k_i64(b, v->group));
	idx[1] = channel(v, c->kern, batch, m);
	if (c->kern->collapse)
		idx[2] = n;
	else
		ftl_delinear(c->kern, v->ot->dims + 2, v->nd, n, idx + 2);
}

static ftl_kv add_bias(ftl_contract *c, ftl_kv batch, ftl_kv m, ftl_kv x)
{
	struct conv *v = (struct conv *)c;
	ftl_kb *b = &c->kern->b;
	ftl_kv bias = ftl_k_cast(b, ftl_read_flat(c->kern, v->bias, channel(v, c->kern, batch, m), 1), c->t);

	return ftl_k2(b, FTL_K_add, x, bias);
}

/* Panels of the patch matrix: piece = one panel of one (image, group). */
static ftl_kv pack_patches(struct conv *v)
{
	ftl_contract *c = &v->c;
	ftl_lo *lo = c->lo;
	ftl_symtab *st = lo->g->st;
	int64_t panel = ftl_contract_panel(c);
	ftl_dim panels = ftl_dim_ceildiv(st, c->n, ftl_dim_const(st, panel)),
		pieces = ftl_dim_mul(st, panels, c->batch);
	ftl_dim taps = ftl_conv_product(st, v->wt->dims + 2, v->nd);
	ftl_kern *k = ftl_kern_begin(lo, c->node, "patches");
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv dst = ftl_lo_temp(lo, ftl_dim_mul(st, ftl_dim_mul(st, pieces, c->k),
						 ftl_dim_const(st, panel * (int64_t)ftl_dtype_bytes(c->t))));
	ftl_kv ptr = ftl_kern_arg(k, dst), src = ftl_kern_arg(k, v->src), g = ftl_kern_grid(k);
	ftl_kv batch = ftl_k2(b, FTL_K_div, g, ftl_kern_dim(k, panels));
	ftl_kv n0 = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_rem, g, ftl_kern_dim(k, panels)), ftl_k_i64(b, panel));
	/* groups of one image follow each other, so (image, group) counts channels by cg */
	ftl_kv chan = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_mul, batch, ftl_kern_dim(k, v->cg)),
			     ftl_kern_dim(k, channel_size(v)));
	ftl_kv to = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_mul, g, ftl_kern_dim(k, c->k)), ftl_k_i64(b, panel));
	ftl_kv nn = ftl_kern_dim(k, c->n), last = ftl_k2(b, FTL_K_sub, nn, ftl_k_i64(b, 1));

	for (int j = 0; j < c->nv; j++) {
		ftl_kv first = ftl_k2(b, FTL_K_add, n0, ftl_k_i64(b, (int64_t)j * c->width));
		ftl_kv pos = ftl_k2(b, FTL_K_min, ftl_k_ramp(b, first, ftl_k_i64(b, 1), c->width),
				    ftl_k_splat(b, last, c->width));
		/* columns past the end repeat the last one; nobody stores them. Of a single column the start is a scalar */
		ftl_kv start = ftl_k_splat(b, patch_start(v, k, pos), c->width);
		ftl_kv s0 = ftl_k_extract(b, start, 0), s1 = ftl_k_extract(b, start, c->width - 1);
		/* starts grow strictly, so this distance means neighbours, unless the last column was repeated */
		ftl_kv row = ftl_k2(b, FTL_K_eq, ftl_k2(b, FTL_K_sub, s1, s0), ftl_k_i64(b, c->width - 1));
		ftl_kv whole = ftl_k2(b, FTL_K_le, ftl_k2(b, FTL_K_add, first, ftl_k_i64(b, c->width - 1)), last);
		ftl_kscope ic, tap, s;
		ftl_kv off, at, x;

		/* starts grow by at least 1 a column, so a spread of width - 1 means consecutive ones: unless the end repeats */
		row = ftl_k2(b, FTL_K_and, row,
			     ftl_k2(b, FTL_K_le, ftl_k2(b, FTL_K_add, first, ftl_k_i64(b, c->width)), nn));
		ic = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, v->cg), 1);
		tap = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, taps), 1);
		off = ftl_k2(
			b, FTL_K_add, tap_offset(v, k, tap.index),
			ftl_k2(b, FTL_K_add, chan, ftl_k2(b, FTL_K_mul, ic.index, ftl_kern_dim(k, channel_size(v)))));
		at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, ic.index, ftl_kern_dim(k, taps)), tap.index);
		at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, at, ftl_k_i64(b, panel)), to);
		at = ftl_k2(b, FTL_K_add, at, ftl_k_i64(b, (int64_t)j * c->width));
		s = ftl_k_if(b, ftl_k2(b, FTL_K_and, row, whole));
		x = ftl_k_cast(b, ftl_k_load(b, v->src_mem, src, ftl_k2(b, FTL_K_add, off, s0), c->width), c->t);
		ftl_k_store(b, ptr, at, x);
		ftl_k_else(b, &s);
		x = ftl_k_cast(b, ftl_k_load(b, v->src_mem, src, ftl_k2(b, FTL_K_add, start, off), 1), c->t);
		ftl_k_store(b, ptr, at, x);
		ftl_k_end(b, &s);
		ftl_k_end(b, &tap);
		ftl_k_end(b, &ic);
	}
	ftl_kern_launch(k, ftl_lo_dim(lo, pieces), 8192);
	return dst;
}

ftl_status ftl_conv_gemm(struct conv *v, bool plain)
{
	ftl_contract *c = &v->c;

	c->packed = !plain;
	c->b_ptr = plain ? v->src : pack_patches(v);
	c->b_mem = plain ? v->src_mem : c->t;
	c->b_base = plain ? b_input : b_panels;
	c->a_row = a_row;
	c->a_elem = a_elem;
	c->index = out_index;
	c->post = v->bias ? add_bias : NULL;
	c->begin = gemm_begin;
	return ftl_contract_emit(c);
}

static ftl_status emit_gemm(struct conv *v)
{
	bool plain = true;
	int64_t one;

	for (int d = 0; d < v->nd; d++)
		plain &= v->stride[d] == 1 && v->in[d] == v->ot->dims[d + 2] &&
			 ftl_dim_is_const(v->c.lo->g->st, v->wt->dims[d + 2], &one) && one == 1;
	return ftl_conv_gemm(v, plain);
}

/* ---- direct ---- */

struct direct {
	struct conv *v;
	ftl_kern *k;
	ftl_kv idx[FTL_MAX_RANK], chan, w0, start;
	ftl_dim taps;
};

/* acc += tap `tap` (and channel) of the outputs whose windows start at `at` */
static void direct_tap(struct direct *p, ftl_kv acc, ftl_kv at, ftl_kv wi, ftl_kv off, int lanes)
{
	struct conv *v = p->v;
	ftl_kb *b = ftl_kern_b(p->k);
	ftl_kv x = ftl_k_load(b, v->src_mem, ftl_kern_arg(p->k, v->src), ftl_k2(b, FTL_K_add, at, off), 1), y;

	y = ftl_k_splat(b, ftl_k_cast(b, ftl_read_flat(p->k, v->w, wi, 1), v->c.t), lanes);
	ftl_k_set(b, acc, ftl_k_fma(b, ftl_k_cast(b, x, v->c.t), y, ftl_k_get(b, acc)));
}

static void direct_outputs(void *user, ftl_kv base, int lanes)
{
	enum { UNROLL = 64 };
	struct direct *p = user;
	struct conv *v = p->v;
	ftl_kern *k = p->k;
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv last = lanes > 1 ? ftl_k_ramp(b, base, ftl_k_i64(b, 1), lanes) : base;
	ftl_kv acc = ftl_k_var(b, ftl_k_num(b, FTL_KT(v->c.t, lanes), 0)), at, wi, y;
	ftl_kscope ic, tap;
	int64_t taps;

	ic = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, v->cg), 1);
	at = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_add, p->chan, ic.index), ftl_kern_dim(k, channel_size(v)));
	at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_add, at, p->start),
		    ftl_k2(b, FTL_K_mul, last, ftl_k_i64(b, v->stride[v->nd - 1])));
	wi = ftl_k2(b, FTL_K_add, p->w0, ftl_k2(b, FTL_K_mul, ic.index, ftl_kern_dim(k, p->taps)));
	if (ftl_dim_is_const(v->c.lo->g->st, p->taps, &taps) && taps <= UNROLL) {
		for (int64_t t = 0; t < taps; t++)
			direct_tap(p, acc, at, ftl_k2(b, FTL_K_add, wi, ftl_k_i64(b, t)),
				   tap_offset(v, k, ftl_k_i64(b, t)), lanes);
	} else {
		tap = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, p->taps), 1);
		direct_tap(p, acc, at, ftl_k2(b, FTL_K_add, wi, tap.index), tap_offset(v, k, tap.index), lanes);
		ftl_k_end(b, &tap);
	}
	ftl_k_end(b, &ic);
	p->idx[v->nd + 1] = last;
	y = ftl_k_get(b, acc);
	if (v->bias)
		y = ftl_k2(b, FTL_K_add, y, ftl_k_cast(b, ftl_read_flat(k, v->bias, p->idx[1], 1), v->c.t));
	ftl_write(k, v->c.out, p->idx, y);
}

static ftl_status emit_direct(struct conv *v)
{
	ftl_lo *lo = v->c.lo;
	ftl_symtab *st = lo->g->st;
	ftl_kern *k = ftl_kern_begin(lo, v->c.node, "conv");
	ftl_kb *b = ftl_kern_b(k);
	struct direct p = {.v = v, .k = k, .taps = ftl_conv_product(st, v->wt->dims + 2, v->nd)};
	int r = v->nd + 2;
	ftl_kv g;

	v->c.kern = k;
	ftl_delinear(k, v->ot->dims, r - 1, ftl_kern_grid(k), p.idx);
	g = ftl_k2(b, FTL_K_div, p.idx[1], ftl_kern_dim(k, v->og));
	p.chan = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, p.idx[0], ftl_kern_dim(k, v->xt->dims[1])),
			ftl_k2(b, FTL_K_mul, g, ftl_kern_dim(k, v->cg)));
	p.w0 = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_mul, p.idx[1], ftl_kern_dim(k, v->cg)), ftl_kern_dim(k, p.taps));
	p.start = ftl_conv_row_start(v, k, p.idx + 2);
	ftl_u_row(k, ftl_kern_dim(k, v->ot->dims[r - 1]), ftl_kern_width(k, v->c.t), direct_outputs, &p);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_conv_product(st, v->ot->dims, r - 1)), 1024);
	return FTL_OK;
}

void ftl_conv_describe(struct conv *v, ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);

	v->n = n;
	v->x = n->in[0];
	v->w = n->in[1];
	v->bias = n->nin > 2 ? n->in[2] : 0;
	v->xt = ftl_type_of(lo->g, v->x);
	v->wt = ftl_type_of(lo->g, v->w);
	v->ot = ftl_type_of(lo->g, n->out[0]);
	v->nd = v->xt->rank - 2;
	v->c.lo = lo;
	v->c.node = id;
	v->c.out = n->out[0];
	v->c.t = ftl_dtype_compute(v->ot->dtype);
	v->c.alpha = 1.0;
}

ftl_status ftl_nest_conv(ftl_lo *lo, ftl_node_id id)
{
	struct conv *v = FTL_NEW(lo->arena, struct conv);
	const struct ftl_attrs_conv *at = FTL_ATTRS(ftl_node_get(lo->g, id), conv);
	ftl_symtab *st = lo->g->st;
	ftl_contract *c = &v->c;
	int64_t og;

	ftl_conv_describe(v, lo, id);
	v->group = at->group;
	for (int d = 0; d < v->nd; d++) {
		v->stride[d] = ftl_conv_or(at->strides, d, 1);
		v->dilation[d] = ftl_conv_or(at->dilations, d, 1);
		v->pad[d] = at->pads.n ? at->pads.v[d] : ftl_dim_const(st, 0);
		v->pad[d + v->nd] = at->pads.n ? at->pads.v[d + v->nd] : ftl_dim_const(st, 0);
		v->in[d] = ftl_dim_add(st, v->xt->dims[d + 2], ftl_dim_add(st, v->pad[d], v->pad[d + v->nd]));
	}
	v->cg = v->wt->dims[1];
	v->og = ftl_dim_div(st, v->ot->dims[1], ftl_dim_const(st, v->group));
	if (ftl_dim_known_eq(st, v->xt->dims[1], ftl_dim_mul(st, v->cg, ftl_dim_const(st, v->group))) != 1)
		ftl_k_check(&lo->main,
			    ftl_k2(&lo->main, FTL_K_eq, ftl_lo_dim(lo, v->xt->dims[1]),
				   ftl_lo_dim(lo, ftl_dim_mul(st, v->cg, ftl_dim_const(st, v->group)))),
			    ftl_lo_msg(lo, v->n, "the input's channels do not fit the weights"));
	c->m = v->og;
	c->n = ftl_conv_product(st, v->ot->dims + 2, v->nd);
	c->k = ftl_conv_product(st, v->wt->dims + 1, v->nd + 1);
	c->batch = ftl_dim_mul(st, v->xt->dims[0], ftl_dim_const(st, v->group));
	ftl_contract_shape(c);
	ftl_conv_pad(v, 0);
	if (c->width > 1 && (!ftl_dim_is_const(st, v->og, &og) || og >= GEMM_ROWS))
		return emit_gemm(v);
	return emit_direct(v);
}
