/* Building what fuse_attention.c has found: operands in one grouping of the leading axes, regions, the result as it was. */
#include "attention.h"
#include "ir/infer.h"
#include "layout.h"

static const ftl_type *type_of(const ftl_att *a, ftl_val v)
{
	return ftl_type_of(a->g, v);
}

static bool is_one(const ftl_att *a, ftl_dim d)
{
	int64_t one;

	return ftl_dim_is_const(a->g->st, d, &one) && one == 1;
}

static ftl_status no_match(ftl_att *a, const char *what, ftl_val v)
{
	(void)ftl_att_fault(a, "%s \"%.80s\" does not fit the grouping of the heads", what,
			    ftl_value_get(a->g, v)->name ? ftl_value_get(a->g, v)->name : "");
	return FTL_ERR_UNSUPPORTED;
}

/* The leading axes of t (grouped as in `there`, from the right, with 1s where it broadcasts) as the view groups them. What
 * both have in common at the right stays as it is; the axes left of that are all 1, or all there. */
static bool map_leads(const ftl_att *a, const ftl_type *t, const ftl_type *there, ftl_dim *d)
{
	int lead = a->view->rank - 2, wide = there->rank - 2, have = t->rank - 2, alike = 0, rest, i;
	bool one = true, all = true;

	while (alike < lead && alike < wide &&
	       ftl_att_same(a, there->dims[wide - 1 - alike], a->view->dims[lead - 1 - alike]))
		alike++;
	for (i = 0; i < alike; i++)
		d[lead - 1 - i] = i < have ? t->dims[have - 1 - i] : ftl_dim_const(a->g->st, 1);
	rest = have > alike ? have - alike : 0;
	for (i = 0; i < rest; i++) {
		int at = wide - alike - rest + i;

		one &= is_one(a, t->dims[i]);
		all &= at >= 0 && ftl_att_same(a, t->dims[i], there->dims[at]);
	}
	all &= rest == wide - alike;
	for (i = 0; i < lead - alike; i++)
		d[i] = one ? ftl_dim_const(a->g->st, 1) : a->view->dims[i];
	return one || all;
}

static ftl_status expand(ftl_att *a, ftl_patch *t, ftl_val v, const ftl_dim *d, ftl_val *out)
{
	struct ftl_attrs_expand *e = ftl_attrs_default(a->g, FTL_OP_expand);

	e->dims = (ftl_dims){(uint32_t)a->view->rank, ftl_arena_dup(a->g->arena, d, (size_t)a->view->rank * sizeof *d)};
	return ftl_build1(&t->b, FTL_OP_expand, &v, 1, e, out);
}

/* Operand v[lead..., x, y] with the view's leading axes. own: it must have them all, so 1s are expanded. */
static ftl_status regroup(ftl_att *a, ftl_patch *t, ftl_val v, const ftl_type *there, bool own, ftl_val *out)
{
	const ftl_type *x = type_of(a, v);
	int r = a->view->rank;
	ftl_dim d[FTL_MAX_RANK];
	bool as_it_is = x->rank == r, full = true;

	*out = v;
	if (!map_leads(a, x, there, d))
		return no_match(a, "operand", v);
	d[r - 2] = x->dims[x->rank - 2];
	d[r - 1] = x->dims[x->rank - 1];
	for (int i = 0; i < r; i++) {
		as_it_is = as_it_is && ftl_att_same(a, d[i], x->dims[i]);
		full &= i + 2 >= r || ftl_att_same(a, d[i], a->view->dims[i]);
	}
	if (!as_it_is)
		FTL_TRY(ftl_layout_reshape(t, v, d, r, out));
	if (!own || full)
		return FTL_OK;
	memcpy(d, a->view->dims, (size_t)(r - 2) * sizeof *d);
	return expand(a, t, *out, d, out); /* one set of queries for several heads: the attention has a row for each */
}

static ftl_status swap_last(ftl_patch *t, ftl_val v, ftl_val *out)
{
	int rank = ftl_type_of(t->b.g, v)->rank, perm[FTL_MAX_RANK];

	for (int i = 0; i < rank; i++)
		perm[i] = i;
	perm[rank - 2] = rank - 1;
	perm[rank - 1] = rank - 2;
	return ftl_layout_transpose(t, v, perm, out);
}

/* Heads of keys repeated for a group of heads of queries: reshape(expand(x [..., h, 1, n, d])) is x itself to an attention. */
static ftl_status strip_repeat(ftl_att *a, ftl_patch *t, ftl_val *v)
{
	ftl_node_id r = ftl_def(a->g, *v, FTL_OP_reshape),
		    e = r ? ftl_def(a->g, ftl_node_get(a->g, r)->in[0], FTL_OP_expand) : 0;
	const ftl_type *wide, *x, *o = type_of(a, *v);
	ftl_dim d[FTL_MAX_RANK];
	int at;

	if (!e || o->rank < 3 || a->view->rank != o->rank)
		return FTL_OK;
	wide = type_of(a, ftl_node_get(a->g, e)->out[0]);
	x = type_of(a, ftl_node_get(a->g, e)->in[0]);
	at = o->rank - 2; /* the axis of the copies, behind the one they copy */
	if (wide->rank != o->rank + 1 || x->rank != wide->rank || !is_one(a, x->dims[at]))
		return FTL_OK;
	for (int i = 0; i < wide->rank; i++) {
		if (i != at && !ftl_att_same(a, x->dims[i], wide->dims[i]))
			return FTL_OK;
		if (i < at - 1 && !ftl_att_same(a, wide->dims[i], o->dims[i]))
			return FTL_OK;
		if (i > at && !ftl_att_same(a, wide->dims[i], o->dims[i - 1]))
			return FTL_OK;
	}
	for (int i = 0; i < o->rank; i++)
		d[i] = x->dims[i < at ? i : i + 1];
	return ftl_layout_reshape(t, ftl_node_get(a->g, e)->in[0], d, o->rank, v);
}

/* ---- regions ---- */

typedef struct region {
	ftl_att *a;
	ftl_patch *t;
	ftl_builder b; /* inside */
	ftl_val from, param;
	ftl_val old[FTL_PAT_NODES], now[FTL_PAT_NODES];
	uint32_t n;
} region;

/* What is captured must broadcast against the scores in the view's grouping. */
static ftl_status capture(region *r, ftl_val v, const ftl_type *there, ftl_val *out)
{
	ftl_att *a = r->a;
	const ftl_type *t = type_of(a, v);
	int rank = a->view->rank;
	ftl_dim d[FTL_MAX_RANK];
	bool as_it_is = t->rank == rank;

	*out = v;
	if (t->rank <= 2 || (there->rank == rank && t->rank <= rank))
		return FTL_OK;
	if (!map_leads(a, t, there, d))
		return no_match(a, "mask or bias", v);
	d[rank - 2] = t->dims[t->rank - 2];
	d[rank - 1] = t->dims[t->rank - 1];
	for (int i = 0; i < rank && as_it_is; i++)
		as_it_is = ftl_att_same(a, d[i], t->dims[i]);
	return as_it_is ? FTL_OK : ftl_layout_reshape(r->t, v, d, rank, out);
}

static ftl_status inside(region *r, ftl_val v, ftl_val *out)
{
	ftl_att *a = r->a;
	ftl_node_id id = ftl_value_get(a->g, v)->def;
	ftl_val in[4] = {0};
	uint32_t nin;
	const ftl_node *n;
	ftl_loc loc = r->b.loc;

	if (v == r->from) {
		*out = r->param;
		return FTL_OK;
	}
	for (uint32_t i = 0; i < r->n; i++)
		if (r->old[i] == v) {
			*out = r->now[i];
			return FTL_OK;
		}
	n = ftl_node_get(a->g, id);
	if (n->op == FTL_OP_reshape || n->op == FTL_OP_slice)
		return inside(r, n->in[0], out);
	nin = n->nin;
	for (uint32_t i = 0; i < nin; i++) {
		ftl_val x = ftl_node_get(a->g, id)->in[i];
		ftl_node_id def = x ? ftl_value_get(a->g, x)->def : 0;

		if (!x)
			continue;
		if (x == r->from || (def && ftl_att_covers(a, def) && ftl_att_full(a, x)))
			FTL_TRY(inside(r, x, &in[i]));
		else
			FTL_TRY(capture(r, x, type_of(a, ftl_node_get(a->g, id)->out[0]), &in[i]));
	}
	n = ftl_node_get(a->g, id);
	r->b.loc = n->loc;
	FTL_TRY(ftl_build1(&r->b, n->op, in, nin, ftl_arena_dup(a->g->arena, n->attrs, ftl_op_get(n->op)->attr_bytes),
			   out));
	r->b.loc = loc;
	r->old[r->n] = v;
	r->now[r->n++] = *out;
	return FTL_OK;
}

/* A region of node `owner`: from `from` to `to`. */
static ftl_status fill(ftl_att *a, ftl_patch *t, ftl_node_id owner, ftl_val from, ftl_val to)
{
	region r = {.a = a, .t = t, .b = t->b, .from = from};
	ftl_type type = ftl_type_make(a->g, type_of(a, from)->dtype, a->view->rank, a->view->dims);
	ftl_node_id root = t->b.before;
	ftl_val y;

	t->b.before = owner; /* what is captured stands in front */
	r.b.region = ftl_region_new(a->g, owner);
	r.b.before = 0;
	r.param = ftl_param_new(a->g, r.b.region, type, NULL);
	FTL_TRY(inside(&r, to, &y));
	ftl_build_yield(&r.b, &y, 1);
	t->b.before = root;
	return FTL_OK;
}

/* where(is_nan(w), 0, w) is what careful exporters put behind a softmax: w, or 0. */
static ftl_val nan_to_zero(const ftl_att *a, ftl_val v)
{
	ftl_node_id w = ftl_def(a->g, v, FTL_OP_where);
	const ftl_node *n = w ? ftl_node_get(a->g, w) : NULL;
	ftl_node_id test = n ? ftl_def(a->g, n->in[0], FTL_OP_is_nan) : 0;
	double zero;

	if (!test || ftl_node_get(a->g, test)->in[0] != n->in[2] || !ftl_const_scalar(a->g, n->in[1], &zero) ||
	    zero != 0)
		return 0;
	return n->in[2];
}

/* Are the weights what the softmax gives, casts between floats and groupings apart? */
static bool weights_plain(const ftl_att *a, ftl_attr_flag *out_nan_zero)
{
	ftl_val v = nan_to_zero(a, a->weights);

	*out_nan_zero = v != 0;
	if (!v)
		v = a->weights;

	while (v != ftl_node_get(a->g, a->soft)->out[0]) {
		const ftl_node *n = ftl_node_get(a->g, ftl_value_get(a->g, v)->def);

		if (n->op != FTL_OP_reshape && n->op != FTL_OP_slice &&
		    !(n->op == FTL_OP_cast && ftl_dtype_is_float(type_of(a, v)->dtype)))
			return false;
		v = n->in[0];
	}
	return true;
}

static ftl_status cast(ftl_patch *t, ftl_val v, ftl_dtype to, ftl_val *out)
{
	struct ftl_attrs_cast *c = ftl_attrs_default(t->b.g, FTL_OP_cast);

	*out = v;
	if (ftl_type_of(t->b.g, v)->dtype == to)
		return FTL_OK;
	c->to = to;
	return ftl_build1(&t->b, FTL_OP_cast, &v, 1, c, out);
}

/* The result as the last product gave it. */
static ftl_status restore(ftl_att *a, ftl_patch *t, ftl_val y, ftl_val *out)
{
	const ftl_node *last = ftl_node_get(a->g, a->last);
	ftl_type want = *type_of(a, last->out[0]);
	double alpha = FTL_ATTRS(last, matmul)->alpha;
	ftl_dim d[FTL_MAX_RANK];
	bool fits;

	FTL_TRY(cast(t, y, want.dtype, &y));
	if (alpha != 1) {
		ftl_val in[2] = {y, ftl_patch_scalar(t, want.dtype, alpha)};

		FTL_TRY(ftl_build1(&t->b, FTL_OP_mul, in, 2, NULL, &y));
	}
	fits = want.rank == a->view->rank;
	for (int i = 0; i + 2 < want.rank && fits; i++)
		fits = ftl_att_same(a, want.dims[i], a->view->dims[i]);
	if (a->swapped)
		FTL_TRY(swap_last(t, y, &y));
	if (fits) {
		*out = y;
		return FTL_OK;
	}
	memcpy(d, want.dims, (size_t)want.rank * sizeof *d);
	return ftl_layout_reshape(t, y, d, want.rank, out);
}

ftl_status ftl_att_build(ftl_att *a, ftl_patch *t, ftl_val *out)
{
	const ftl_node *product = ftl_node_get(a->g, a->product), *last = ftl_node_get(a->g, a->last);
	const struct ftl_attrs_matmul *pa = FTL_ATTRS(product, matmul), *la = FTL_ATTRS(last, matmul);
	ftl_val q = product->in[0], k = product->in[1], v = last->in[a->swapped ? 0 : 1], in[4], y;
	ftl_val scores = a->split ? ftl_node_get(a->g, a->split)->out[0] : product->out[0],
		soft_out = ftl_node_get(a->g, a->soft)->out[0];
	const ftl_type *there = type_of(a, scores), *behind = type_of(a, a->weights);
	bool swap_k = !pa->trans_b, swap_v = a->swapped ? !la->trans_a : la->trans_b;
	struct ftl_attrs_attention *at = ftl_attrs_default(a->g, FTL_OP_attention);
	ftl_dtype dtype = type_of(a, q)->dtype;
	ftl_node_id id;

	if (type_of(a, q)->rank < 2 || type_of(a, k)->rank < 2 || type_of(a, q)->enc || type_of(a, k)->enc ||
	    type_of(a, v)->enc || !ftl_dtype_is_float(dtype) || type_of(a, k)->dtype != dtype)
		return FTL_ERR_UNSUPPORTED;
	at->scale = pa->alpha;
	if (pa->trans_a)
		FTL_TRY(swap_last(t, q, &q));
	if (a->split) { /* rows become heads again */
		ftl_dim d[FTL_MAX_RANK];

		if (type_of(a, q)->rank != there->rank)
			return FTL_ERR_UNSUPPORTED;
		memcpy(d, there->dims, (size_t)there->rank * sizeof *d);
		d[there->rank - 1] = type_of(a, q)->dims[there->rank - 1];
		FTL_TRY(ftl_layout_reshape(t, q, d, there->rank, &q));
	}
	if (swap_k)
		FTL_TRY(swap_last(t, k, &k));
	if (swap_v)
		FTL_TRY(swap_last(t, v, &v));
	FTL_TRY(cast(t, v, dtype, &v));
	FTL_TRY(strip_repeat(a, t, &k));
	FTL_TRY(strip_repeat(a, t, &v));
	FTL_TRY(regroup(a, t, q, there, true, &q));
	if (type_of(a, k)->rank != a->view->rank || there->rank != a->view->rank)
		FTL_TRY(regroup(a, t, k, there, false, &k));
	if (type_of(a, v)->rank != a->view->rank || behind->rank != a->view->rank)
		FTL_TRY(regroup(a, t, v, behind, false, &v));
	in[0] = q;
	in[1] = k;
	in[2] = v;
	in[3] = a->sink;
	id = ftl_node_new(&t->b, FTL_OP_attention, in, a->sink ? 4 : 3, at, 1);
	at = FTL_ATTRS(ftl_node_get(a->g, id), attention);
	FTL_TRY(fill(a, t, id, scores, a->logits));
	if (!weights_plain(a, &at->nan_zero))
		FTL_TRY(fill(a, t, id, soft_out, a->weights));
	FTL_TRY(ftl_infer_node(a->g, id, t->b.diag));
	y = ftl_node_get(a->g, id)->out[0];
	return restore(a, t, y, out);
}
