/* Transposed convolution: a contraction, then a gather.
 *
 * The contraction gives for every tap and input position what it adds to the result, parts[image][group][channel, tap][input
 * position] = w^T x. An output position sums the parts that reach it: along one axis those taps t with
 * o + pad - t * dilation divisible by the stride, whose input position is the quotient. They are first, first + step, ...
 * with step = stride / gcd(stride, dilation), and the quotient falls by dilation / gcd from one to the next. So along the
 * last axis outputs that are a stride apart have the same taps and neighbouring inputs: each phase of the stride is a loop
 * of vectors in its middle, where no tap leaves the input, and of single elements at its ends. */
#include "kernels/lower/conv.h"
#include "kernels/lower/util.h"

struct tconv {
	struct conv v; /* first */
	const struct ftl_attrs_conv_transpose *a;
	ftl_dim taps, len; /* len: input positions */
	ftl_kern *k;
	ftl_kb *b;
};

static ftl_kv op2(struct tconv *p, ftl_kop op, ftl_kv x, ftl_kv y)
{
	return ftl_k2(p->b, op, x, y);
}
static ftl_kv i64(struct tconv *p, int64_t x)
{
	return ftl_k_i64(p->b, x);
}

/* ---- the contraction: rows (channel, tap), columns input positions ---- */

static ftl_kv a_row(ftl_contract *c, ftl_kv batch, ftl_kv m)
{
	struct conv *v = (struct conv *)c;
	ftl_kb *b = &c->kern->b;
	ftl_kv g = ftl_k2(b, FTL_K_rem, batch, ftl_k_i64(b, v->group));
	ftl_kv size = ftl_k2(b, FTL_K_mul, ftl_kern_dim(c->kern, c->k), ftl_kern_dim(c->kern, c->m));

	return ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, g, size), m);
}

static ftl_kv a_elem(ftl_contract *c, ftl_kv row, ftl_kv k)
{
	struct conv *v = (struct conv *)c;
	ftl_kb *b = &c->kern->b;
	ftl_kv at = ftl_k2(b, FTL_K_add, row, ftl_k2(b, FTL_K_mul, k, ftl_kern_dim(c->kern, c->m)));

	return ftl_k_cast(b, ftl_read_flat(c->kern, v->w, at, 1), c->t);
}

static void b_base(ftl_contract *c, ftl_kv batch, ftl_kv n, ftl_kv *index, ftl_kv *stride)
{
	ftl_kb *b = &c->kern->b;
	ftl_kv size = ftl_k2(b, FTL_K_mul, ftl_kern_dim(c->kern, c->k), ftl_kern_dim(c->kern, c->n));

	*index = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, batch, size), n);
	*stride = ftl_kern_dim(c->kern, c->n);
}

/* ---- the gather ---- */

static int64_t gcd(int64_t x, int64_t y)
{
	return y ? gcd(y, x % y) : x;
}

/* The taps of one axis that reach a place: first (the kernel's size if none), their distance; the input position of the
 * first one and by how much it falls. */
struct reach {
	ftl_kv first, from, size;
	int64_t step, back;
};

static struct reach reach_of(struct tconv *p, int d, ftl_kv at)
{
	int64_t s = p->v.stride[d], dil = p->v.dilation[d], g = gcd(s, dil), inv = 1, q = s / g;
	struct reach r = {.step = q, .back = dil / g, .size = ftl_kern_dim(p->k, p->v.wt->dims[2 + d])};
	ftl_kv x, rest;

	at = op2(p, FTL_K_add, at, ftl_kern_dim(p->k, p->v.pad[d]));
	/* dil / g has an inverse modulo s / g; extended Euclid */
	{
		int64_t r0 = q, r1 = dil / g % q, t0 = 0, t1 = 1;

		while (r1) {
			int64_t f = r0 / r1, r2 = r0 - f * r1, t2 = t0 - f * t1;

			r0 = r1;
			r1 = r2;
			t0 = t1;
			t1 = t2;
		}
		inv = q == 1 ? 0 : ((t0 % q) + q) % q;
	}
	/* at may be negative where pads are; all below is modulo */
	x = op2(p, FTL_K_rem, at, i64(p, s));
	x = ftl_k_select(p->b, op2(p, FTL_K_lt, x, i64(p, 0)), op2(p, FTL_K_add, x, i64(p, s)), x);
	rest = op2(p, FTL_K_rem, x, i64(p, g));
	r.first = op2(p, FTL_K_rem, op2(p, FTL_K_mul, op2(p, FTL_K_div, x, i64(p, g)), i64(p, inv)), i64(p, q));
	r.first = ftl_k_select(p->b, op2(p, FTL_K_eq, rest, i64(p, 0)), r.first, r.size);
	/* exact where the tap exists */
	r.from = op2(p, FTL_K_div, op2(p, FTL_K_sub, at, op2(p, FTL_K_mul, r.first, i64(p, dil))), i64(p, s));
	return r;
}

/* Sum of the parts that reach outputs whose last-axis inputs are from.. (lanes); checked: they may lie outside. */
static ftl_kv sum_parts(struct tconv *p, ftl_kv parts, ftl_kv chan, const struct reach *r, ftl_kv last, int lanes,
			bool checked)
{
	struct conv *v = &p->v;
	ftl_kb *b = p->b;
	int nd = v->nd;
	ftl_kv acc = ftl_k_var(b, ftl_k_num(b, FTL_KT(v->c.t, lanes), 0)), tap = i64(p, 0), pos = i64(p, 0), at, x;
	ftl_kscope f[MAX_SPATIAL], c[MAX_SPATIAL];

	for (int d = 0; d < nd; d++) {
		ftl_kv i, n = ftl_kern_dim(p->k, v->xt->dims[2 + d]), ok;

		f[d] = ftl_k_for(b, r[d].first, r[d].size, r[d].step);
		i = op2(p, FTL_K_div, op2(p, FTL_K_sub, f[d].index, r[d].first), i64(p, r[d].step));
		i = op2(p, FTL_K_sub, d + 1 < nd ? r[d].from : last, op2(p, FTL_K_mul, i, i64(p, r[d].back)));
		c[d].inst = 0;
		if (d + 1 < nd || checked) {
			ok = op2(p, FTL_K_and, op2(p, FTL_K_le, i64(p, 0), i), op2(p, FTL_K_lt, i, n));
			c[d] = ftl_k_if(b, ok);
		}
		tap = op2(p, FTL_K_add, op2(p, FTL_K_mul, tap, r[d].size), f[d].index);
		pos = op2(p, FTL_K_add, op2(p, FTL_K_mul, pos, n), i);
	}
	at = op2(p, FTL_K_add, op2(p, FTL_K_mul, chan, ftl_kern_dim(p->k, p->taps)), tap);
	at = op2(p, FTL_K_add, op2(p, FTL_K_mul, at, ftl_kern_dim(p->k, p->len)), pos);
	x = ftl_k_load(b, v->c.t, parts, at, lanes);
	ftl_k_set(b, acc, op2(p, FTL_K_add, ftl_k_get(b, acc), x));
	for (int d = nd - 1; d >= 0; d--) {
		if (d + 1 < nd || checked)
			ftl_k_end(b, &c[d]);
		ftl_k_end(b, &f[d]);
	}
	return ftl_k_get(b, acc);
}

static void put(struct tconv *p, ftl_kv *idx, ftl_kv o, ftl_kv x)
{
	struct conv *v = &p->v;

	if (v->bias)
		x = op2(p, FTL_K_add, x, ftl_k_cast(p->b, ftl_read_flat(p->k, v->bias, idx[1], 1), v->c.t));
	idx[v->nd + 1] = o;
	ftl_write(p->k, v->c.out, idx, x);
}

/* Outputs o = phase + j * stride for j in [lo, hi). */
static void run(struct tconv *p, ftl_kv parts, ftl_kv *idx, const struct reach *r, ftl_kv phase, ftl_kv lo, ftl_kv hi,
		bool middle)
{
	struct conv *v = &p->v;
	ftl_kv stride = i64(p, v->stride[v->nd - 1]), from = r[v->nd - 1].from;

	for (ftl_vloop l = ftl_vloop_begin(p->k, lo, hi, middle ? ftl_kern_width(p->k, v->c.t) : 1);
	     ftl_vloop_next(&l);) {
		ftl_kv chan = op2(p, FTL_K_add, op2(p, FTL_K_mul, idx[0], ftl_kern_dim(p->k, v->ot->dims[1])), idx[1]);
		ftl_kv x = sum_parts(p, parts, chan, r, op2(p, FTL_K_add, from, l.base), l.lanes, !middle);

		put(p, idx, op2(p, FTL_K_add, phase, op2(p, FTL_K_mul, l.i, stride)), x);
	}
}

/* One piece: one row of the result. */
static void gather(struct tconv *p, ftl_kv parts_at)
{
	struct conv *v = &p->v;
	ftl_lo *lo = v->c.lo;
	int rank = v->nd + 2, last = v->nd - 1;
	int64_t s = v->stride[last];
	ftl_kv idx[FTL_MAX_RANK], parts, n, out, count, begin, end, taps;
	struct reach r[MAX_SPATIAL];
	ftl_kscope f;

	p->k = ftl_kern_begin(lo, v->c.node, "sum parts");
	p->b = ftl_kern_b(p->k);
	parts = ftl_kern_arg(p->k, parts_at);
	ftl_delinear(p->k, v->ot->dims, rank - 1, ftl_kern_grid(p->k), idx);
	for (int d = 0; d < last; d++)
		r[d] = reach_of(p, d, idx[2 + d]);
	out = ftl_kern_dim(p->k, v->ot->dims[rank - 1]);
	n = ftl_kern_dim(p->k, v->xt->dims[rank - 1]);
	f = ftl_k_for(p->b, i64(p, 0), op2(p, FTL_K_min, i64(p, s), out), 1);
	r[last] = reach_of(p, last, f.index);
	count = op2(p, FTL_K_add,
		    op2(p, FTL_K_div, op2(p, FTL_K_sub, op2(p, FTL_K_sub, out, f.index), i64(p, 1)), i64(p, s)),
		    i64(p, 1));
	/* tap 0 of the phase reads from + j, the last one `back` times the number of steps less: both inside in [begin, end) */
	taps = op2(p, FTL_K_div, op2(p, FTL_K_sub, op2(p, FTL_K_sub, r[last].size, i64(p, 1)), r[last].first),
		   i64(p, r[last].step));
	begin = op2(p, FTL_K_sub, op2(p, FTL_K_mul, taps, i64(p, r[last].back)), r[last].from);
	begin = ftl_u_clamp(p->b, begin, i64(p, 0), count);
	end = ftl_u_clamp(p->b, op2(p, FTL_K_sub, n, r[last].from), begin, count);
	run(p, parts, idx, r, f.index, i64(p, 0), begin, false);
	run(p, parts, idx, r, f.index, begin, end, true);
	run(p, parts, idx, r, f.index, end, count, false);
	ftl_k_end(p->b, &f);
	ftl_kern_launch(p->k, ftl_lo_dim(lo, ftl_conv_product(lo->g->st, v->ot->dims, rank - 1)),
			ftl_u_cost(lo, v->ot->dims[rank - 1], 16));
}

ftl_status ftl_nest_conv_transpose(ftl_lo *lo, ftl_node_id id)
{
	struct tconv *p = FTL_NEW(lo->arena, struct tconv);
	struct conv *v = &p->v;
	ftl_symtab *st = lo->g->st;
	ftl_contract *c = &v->c;
	ftl_dim words;

	ftl_conv_describe(v, lo, id);
	p->a = FTL_ATTRS(v->n, conv_transpose);
	v->group = p->a->group;
	for (int d = 0; d < v->nd; d++) {
		v->stride[d] = ftl_conv_or(p->a->strides, d, 1);
		v->dilation[d] = ftl_conv_or(p->a->dilations, d, 1);
		v->pad[d] = p->a->pads.n ? p->a->pads.v[d] : ftl_dim_const(st, 0);
	}
	p->taps = ftl_conv_product(st, v->wt->dims + 2, v->nd);
	p->len = ftl_conv_product(st, v->xt->dims + 2, v->nd);
	v->og = v->wt->dims[1];
	v->cg = ftl_dim_div(st, v->wt->dims[0], ftl_dim_const(st, v->group));
	ftl_u_check_eq(lo, v->n, v->xt->dims[1], ftl_dim_mul(st, v->cg, ftl_dim_const(st, v->group)),
		       "the input's channels do not fit the weights");
	if (v->bias)
		ftl_u_check_eq(lo, v->n, ftl_type_of(lo->g, v->bias)->dims[0], v->ot->dims[1],
			       "the bias does not fit the weights");
	c->m = ftl_dim_mul(st, v->og, p->taps);
	c->n = p->len;
	c->k = v->cg;
	c->batch = ftl_dim_mul(st, v->xt->dims[0], ftl_dim_const(st, v->group));
	ftl_contract_shape(c);
	c->a_row = a_row;
	c->a_elem = a_elem;
	c->b_base = b_base;
	c->b_ptr = ftl_lo_ptr(lo, v->x);
	c->b_mem = v->xt->dtype;
	words = ftl_dim_mul(st, ftl_dim_mul(st, c->m, c->n), c->batch);
	c->into = ftl_lo_temp(lo, ftl_dim_mul(st, words, ftl_dim_const(st, (int64_t)ftl_dtype_bytes(c->t))));
	FTL_TRY(ftl_contract_emit(c));
	gather(p, c->into);
	return FTL_OK;
}
