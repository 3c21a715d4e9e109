/* Pooling over regions of images: roi_align, max_roi_pool. The regions are data: positions are clamped to the image before
 * they become addresses, and the number of samples of a region is bounded. That the image is not empty is checked
 * by ftl_bind_dynamic. */
#include "util.h"

#include <math.h>

enum { MAX_SAMPLES = 4096 }; /* along one axis of one result element */

typedef struct regions {
	ftl_kern *k;
	ftl_kb *b;
	const ftl_node *n;
	const ftl_type *x;
	ftl_dtype f; /* of positions and weights */
} regions;

static ftl_kv op2(const regions *r, ftl_kop op, ftl_kv x, ftl_kv y)
{
	return ftl_k2(r->b, op, x, y);
}
static ftl_kv num(const regions *r, double v)
{
	return ftl_k_num(r->b, FTL_KT(r->f, 1), v);
}
static ftl_kv i64(const regions *r, int64_t v)
{
	return ftl_k_i64(r->b, v);
}
static ftl_kv real(const regions *r, ftl_kv i)
{
	return ftl_k_cast(r->b, i, r->f);
}
static ftl_kv whole(const regions *r, ftl_kv x)
{
	return ftl_k_cast(r->b, x, FTL_I64);
}

static regions regions_of(ftl_kern *k, const ftl_node *n)
{
	const ftl_type *x = ftl_type_of(ftl_lo_graph(ftl_kern_lo(k)), n->in[0]);

	return (regions){k, ftl_kern_b(k), n, x, ftl_dtype_compute(x->dtype)};
}

static ftl_kv corner(const regions *r, ftl_kv region, int64_t word)
{
	ftl_kv at[2] = {region, i64(r, word)};

	return ftl_read(r->k, r->n->in[1], at);
}

/* ---- roi_align ---- */

/* One axis of a region: where it starts, how long a result element is, and the samples per element. */
typedef struct span {
	ftl_kv start, bin, samples, size; /* float, float, i64, i64: of the image */
} span;

static span region_span(const regions *r, ftl_kv region, int axis)
{
	const struct ftl_attrs_roi_align *a = FTL_ATTRS(r->n, roi_align);
	bool half = strcmp(a->coordinate, "half_pixel") == 0;
	ftl_kv scale = num(r, a->spatial_scale), end, len, few;
	span s;

	/* corners are x y x y */
	s.start = op2(r, FTL_K_sub, op2(r, FTL_K_mul, corner(r, region, 1 - axis), scale), num(r, half ? 0.5 : 0));
	end = op2(r, FTL_K_sub, op2(r, FTL_K_mul, corner(r, region, 3 - axis), scale), num(r, half ? 0.5 : 0));
	len = op2(r, FTL_K_sub, end, s.start);
	if (!half)
		len = op2(r, FTL_K_max, len, num(r, 1));
	s.bin = op2(r, FTL_K_div, len, num(r, (double)(axis ? a->width : a->height)));
	s.size = ftl_kern_dim(r->k, r->x->dims[2 + axis]);
	s.samples = i64(r, a->sampling_ratio);
	if (a->sampling_ratio == 0) {
		s.samples = whole(r, ftl_k1(r->b, FTL_K_ceil, s.bin));
		few = op2(r, FTL_K_le, s.samples, i64(r, MAX_SAMPLES));
		ftl_k_check(r->b, few,
			    ftl_lo_msg(ftl_kern_lo(r->k), r->n, "a region is too large for adaptive sampling"));
		s.samples = ftl_k_select(r->b, few, s.samples, i64(r, 0));
	}
	return s;
}

/* The two image positions around a sample, and how much the second one weighs. */
typedef struct sample {
	ftl_kv low, high, weight, inside;
} sample;

static sample sample_at(const regions *r, const span *s, ftl_kv bin, ftl_kv i)
{
	ftl_kv at = op2(r, FTL_K_mul, op2(r, FTL_K_add, real(r, i), num(r, 0.5)), s->bin), last, zero = num(r, 0), edge;
	sample p;

	at = op2(r, FTL_K_div, at, real(r, s->samples));
	at = op2(r, FTL_K_add, op2(r, FTL_K_add, s->start, op2(r, FTL_K_mul, real(r, bin), s->bin)), at);
	p.inside = op2(r, FTL_K_and, op2(r, FTL_K_le, num(r, -1), at), op2(r, FTL_K_le, at, real(r, s->size)));
	at = op2(r, FTL_K_max, at, zero);
	last = op2(r, FTL_K_sub, s->size, i64(r, 1));
	p.low = ftl_u_clamp(r->b, whole(r, at), i64(r, 0), last);
	p.high = op2(r, FTL_K_min, op2(r, FTL_K_add, p.low, i64(r, 1)), last);
	edge = op2(r, FTL_K_eq, p.low, last);
	p.weight = ftl_k_select(r->b, edge, zero, op2(r, FTL_K_sub, at, real(r, p.low)));
	return p;
}

static ftl_kv align_element(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	regions r = regions_of(k, n);
	bool max = strcmp(FTL_ATTRS(n, roi_align)->mode, "max") == 0;
	span h = region_span(&r, idx[0], 0), w = region_span(&r, idx[0], 1);
	int lanes = ftl_ktype_of(r.b->f, idx[3]).lanes;
	ftl_kv at[4], best = ftl_k_var(r.b, ftl_k_num(r.b, FTL_KT(r.f, lanes), max ? -INFINITY : 0)), val = 0, count,
		      some;
	ftl_kscope fh, fw;
	sample y, x;

	at[0] = ftl_u_index(k, n, ftl_read(k, n->in[2], &idx[0]), r.x->dims[0]);
	at[1] = idx[1];
	fh = ftl_k_for(r.b, i64(&r, 0), h.samples, 1);
	y = sample_at(&r, &h, idx[2], fh.index);
	fw = ftl_k_for(r.b, i64(&r, 0), w.samples, 1);
	x = sample_at(&r, &w, idx[3], fw.index);
	for (int i = 0; i < 4; i++) {
		ftl_kv wy = i / 2 ? y.weight : op2(&r, FTL_K_sub, num(&r, 1), y.weight);
		ftl_kv wx = i % 2 ? x.weight : op2(&r, FTL_K_sub, num(&r, 1), x.weight), v;

		at[2] = i / 2 ? y.high : y.low;
		at[3] = i % 2 ? x.high : x.low;
		v = op2(&r, FTL_K_mul, op2(&r, FTL_K_mul, wy, wx), ftl_read(k, n->in[0], at));
		val = !val ? v : op2(&r, max ? FTL_K_max : FTL_K_add, val, v);
	}
	val = ftl_k_select(r.b, op2(&r, FTL_K_and, y.inside, x.inside), val, num(&r, 0));
	ftl_k_set(r.b, best, op2(&r, max ? FTL_K_max : FTL_K_add, ftl_k_get(r.b, best), val));
	ftl_k_end(r.b, &fw);
	ftl_k_end(r.b, &fh);
	count = op2(&r, FTL_K_mul, h.samples, w.samples);
	some = op2(&r, FTL_K_lt, i64(&r, 0), count);
	if (max)
		return ftl_k_select(r.b, some, ftl_k_get(r.b, best), num(&r, 0));
	return op2(&r, FTL_K_div, ftl_k_get(r.b, best), real(&r, op2(&r, FTL_K_max, count, i64(&r, 1))));
}

ftl_status ftl_nest_roi_align(ftl_lo *lo, ftl_node_id id)
{
	return ftl_point_nest(lo, id, ftl_node_get(ftl_lo_graph(lo), id)->out[0], align_element, true, "roi_align");
}

/* ---- max_roi_pool ---- */

/* to the nearest, halves away from zero */
static ftl_kv nearest(const regions *r, ftl_kv x)
{
	ftl_kv y = ftl_k1(r->b, FTL_K_floor, op2(r, FTL_K_add, ftl_k1(r->b, FTL_K_abs, x), num(r, 0.5)));

	return whole(r, ftl_k_select(r->b, op2(r, FTL_K_lt, x, num(r, 0)), ftl_k1(r->b, FTL_K_neg, y), y));
}

/* The image's elements [from, to) that result element i of a region's axis covers. */
static void cover(const regions *r, ftl_kv region, int axis, ftl_kv i, ftl_kv *from, ftl_kv *to)
{
	const struct ftl_attrs_max_roi_pool *a = FTL_ATTRS(r->n, max_roi_pool);
	ftl_kv scale = num(r, a->spatial_scale), size = ftl_kern_dim(r->k, r->x->dims[2 + axis]), far = i64(r, 1 << 30);
	ftl_kv start = nearest(r, op2(r, FTL_K_mul, corner(r, region, 2 - axis), scale));
	ftl_kv end = nearest(r, op2(r, FTL_K_mul, corner(r, region, 4 - axis), scale)), len, bin;

	start = ftl_u_clamp(r->b, start, i64(r, -(1 << 30)), far);
	end = ftl_u_clamp(r->b, end, i64(r, -(1 << 30)), far);
	len = op2(r, FTL_K_max, op2(r, FTL_K_add, op2(r, FTL_K_sub, end, start), i64(r, 1)), i64(r, 1));
	bin = op2(r, FTL_K_div, real(r, len), num(r, (double)a->pooled.v[axis]));
	*from = whole(r, ftl_k1(r->b, FTL_K_floor, op2(r, FTL_K_mul, real(r, i), bin)));
	*to = whole(r, ftl_k1(r->b, FTL_K_ceil, op2(r, FTL_K_mul, real(r, op2(r, FTL_K_add, i, i64(r, 1))), bin)));
	*from = ftl_u_clamp(r->b, op2(r, FTL_K_add, *from, start), i64(r, 0), size);
	*to = ftl_u_clamp(r->b, op2(r, FTL_K_add, *to, start), i64(r, 0), size);
}

static ftl_kv pool_element(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	regions r = regions_of(k, n);
	ftl_kv at[4], h0, h1, w0, w1, best, any;
	ftl_kscope fh, fw;

	at[0] = ftl_u_index(k, n, whole(&r, corner(&r, idx[0], 0)), r.x->dims[0]);
	at[1] = idx[1];
	cover(&r, idx[0], 0, idx[2], &h0, &h1);
	cover(&r, idx[0], 1, idx[3], &w0, &w1);
	best = ftl_k_var(r.b, num(&r, -INFINITY));
	fh = ftl_k_for(r.b, h0, h1, 1);
	fw = ftl_k_for(r.b, w0, w1, 1);
	at[2] = fh.index;
	at[3] = fw.index;
	ftl_k_set(r.b, best, op2(&r, FTL_K_max, ftl_k_get(r.b, best), ftl_read(k, n->in[0], at)));
	ftl_k_end(r.b, &fw);
	ftl_k_end(r.b, &fh);
	any = op2(&r, FTL_K_and, op2(&r, FTL_K_lt, h0, h1), op2(&r, FTL_K_lt, w0, w1));
	return ftl_k_select(r.b, any, ftl_k_get(r.b, best), num(&r, 0));
}

ftl_status ftl_nest_max_roi_pool(ftl_lo *lo, ftl_node_id id)
{
	return ftl_point_nest(lo, id, ftl_node_get(ftl_lo_graph(lo), id)->out[0], pool_element, false, "max_roi_pool");
}
