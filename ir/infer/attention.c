/* attention: the type of the scores that its regions see, and of its result.
 *
 * The regions are elementwise: each of their values broadcasts against the scores, so that a kernel can compute it for any
 * part of them. What else is wanted there (a table by distance, a mask from lengths) is computed outside and captured. */
#include "hooks.h"

/* The leading axes of operand k divide those of q. */
static ftl_status want_divides(ftl_infer *f, uint32_t k)
{
	const ftl_type *q = ftl_infer_in(f, 0), *t = ftl_infer_in(f, k);
	int64_t a, b;

	for (int i = 0; i + 2 < q->rank; i++)
		if (ftl_dim_is_const(f->g->st, q->dims[i], &a) && ftl_dim_is_const(f->g->st, t->dims[i], &b) &&
		    (b == 0 ? a != 0 : a % b != 0))
			return ftl_infer_fail(
				f, "axis %d of operand %u does not divide that of the queries: shapes %s and %s", i, k,
				ftl_hook_in_shape(f, k), ftl_hook_in_shape(f, 0));
	return FTL_OK;
}

static ftl_status infer_scores(ftl_infer *f, ftl_region_id r, const ftl_type *scores)
{
	ftl_graph *g = f->g;
	ftl_region *reg = ftl_region_get(g, r);
	ftl_node_id last = reg->last;
	const ftl_node *y;
	const ftl_type *t;

	if (reg->params.n != 1)
		return ftl_infer_fail(f, "its regions have one parameter, the scores");
	ftl_value_get(g, reg->params.v[0])->type = ftl_type_make(g, scores->dtype, scores->rank, scores->dims);
	FTL_FOREACH_NODE_IN(g, r, id) {
		const ftl_node *n = ftl_node_get(g, id);

		if (id != last && n->op != FTL_OP_const && (!ftl_op_has(n->op, FTL_MAP) || n->nout != 1))
			return ftl_infer_fail(f, "its regions are elementwise, %s is not", ftl_op_get(n->op)->name);
		FTL_TRY(ftl_infer_node(g, id, f->diag));
		if (id != last && ftl_type_of(g, n->out[0])->rank > scores->rank)
			return ftl_infer_fail(f, "a value in its regions has more axes than the scores");
	}
	y = last ? ftl_node_get(g, last) : NULL;
	if (!y || y->op != FTL_OP_yield || y->nin != 1 || !y->in[0])
		return ftl_infer_fail(f, "its regions yield one value");
	t = ftl_type_of(g, y->in[0]);
	if (!ftl_dtype_is_float(t->dtype) || t->rank != scores->rank)
		return ftl_infer_fail(f, "its regions yield floats of the shape of the scores");
	for (int i = 0; i < t->rank; i++)
		if (t->dims[i] != scores->dims[i] && ftl_dim_known_eq(g->st, t->dims[i], scores->dims[i]) != 1)
			return ftl_infer_fail(f, "its region turns scores %s into %s",
					      ftl_hook_shape(f, scores->rank, scores->dims),
					      ftl_hook_shape(f, t->rank, t->dims));
	return FTL_OK;
}

ftl_status ftl_infer_op_attention(ftl_infer *f)
{
	const ftl_node *n = ftl_infer_self(f);
	const ftl_type *q, *k, *v;
	ftl_dim dims[FTL_MAX_RANK], same;
	ftl_type scores;
	int r;

	FTL_TRY(ftl_hook_args(f, 3));
	for (uint32_t i = 0; i < 3; i++)
		FTL_TRY(ftl_hook_want_float(f, i));
	FTL_TRY(ftl_hook_want_same(f, 0, 1));
	FTL_TRY(ftl_hook_want_same(f, 0, 2));
	q = ftl_infer_in(f, 0);
	k = ftl_infer_in(f, 1);
	v = ftl_infer_in(f, 2);
	r = q->rank;
	if (r < 2 || k->rank != r || v->rank != r)
		return ftl_infer_fail(f, "needs operands of one rank of at least 2: shapes %s, %s and %s",
				      ftl_hook_in_shape(f, 0), ftl_hook_in_shape(f, 1), ftl_hook_in_shape(f, 2));
	FTL_TRY(want_divides(f, 1));
	FTL_TRY(want_divides(f, 2));
	FTL_TRY(ftl_hook_unify(f, q->dims[r - 1], k->dims[r - 1], "the size of queries and of keys", &same));
	FTL_TRY(ftl_hook_unify(f, k->dims[r - 2], v->dims[r - 2], "the number of keys and of values", &same));
	if (ftl_infer_has(f, 3)) {
		FTL_TRY(ftl_hook_want_float(f, 3));
		if (ftl_infer_in(f, 3)->rank > r)
			return ftl_infer_fail(f, "the sink has more axes than the scores");
	}
	if (n->nregion < 1 || n->nregion > 2)
		return ftl_infer_fail(f, "has %u regions, needs one or two", n->nregion);
	if (n->nregion > 1 && FTL_ATTRS(n, attention)->nan_zero)
		return ftl_infer_fail(f, "weights have a region and nan_zero: put that into the region");
	ftl_hook_copy(dims, q->dims, r - 1);
	dims[r - 1] = k->dims[r - 2];
	scores = ftl_type_make(f->g, q->dtype, r, dims);
	for (uint32_t i = 0; i < n->nregion; i++)
		FTL_TRY(infer_scores(f, n->regions[i], &scores));
	n = ftl_infer_self(f);
	dims[r - 1] = ftl_infer_in(f, 2)->dims[r - 1];
	return ftl_hook_out(f, 0, ftl_infer_in(f, 0)->dtype, r, dims);
}
