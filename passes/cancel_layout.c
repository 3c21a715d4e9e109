/* Chains of ops that only move elements: cancel them, merge them, or let the op behind them read what is in front.
 *
 * A list of rules by op, tried until none applies. Transposes and flattening reshapes sink through elementwise ops (and
 * matmuls) only towards another one that they may meet, so that the walk ends: what sinks never rises again. */
#include "layout.h"

static const struct {
	ftl_op op; /* FTL_OP_NONE: every elementwise op */
	const char *what;
	ftl_layout_fn apply;
} rules[] = {
	{FTL_OP_transpose, "transpose of transpose", ftl_layout_transpose_transpose},
	{FTL_OP_transpose, "transpose that moves nothing", ftl_layout_transpose_view},
	{FTL_OP_transpose, "transpose of matmul", ftl_layout_transpose_matmul},
	{FTL_OP_matmul, "matmul of transpose", ftl_layout_matmul_transpose},
	{FTL_OP_matmul, "matmul of reshape", ftl_layout_matmul_reshape},
	{FTL_OP_matmul, "operand expanded", ftl_layout_map_expand},
	{FTL_OP_slice, "slice of slice", ftl_layout_slice_slice},
	{FTL_OP_slice, "slice of concat", ftl_layout_slice_concat},
	{FTL_OP_concat, "concat of slices", ftl_layout_concat_slices},
	{FTL_OP_concat, "concat of concat", ftl_layout_concat_concat},
	{FTL_OP_NONE, "operand expanded", ftl_layout_map_expand},
	{FTL_OP_NONE, "elementwise of transpose", ftl_layout_map_transpose},
	{FTL_OP_NONE, "elementwise of reshape", ftl_layout_map_reshape},
};

bool ftl_layout_perm(const ftl_graph *g, const ftl_node *n, int *perm)
{
	ftl_ints l = FTL_ATTRS(n, transpose)->perm;
	int rank = ftl_type_of(g, n->in[0])->rank;

	for (int i = 0; i < rank; i++)
		perm[i] = l.n ? (int)l.v[i] : rank - 1 - i;
	return true;
}

ftl_status ftl_layout_transpose(ftl_patch *t, ftl_val x, const int *perm, ftl_val *out)
{
	ftl_graph *g = t->b.g;
	struct ftl_attrs_transpose *a = ftl_attrs_default(g, FTL_OP_transpose);
	int rank = ftl_type_of(g, x)->rank;
	int64_t *v = FTL_NEW_N(g->arena, int64_t, (size_t)rank + 1);
	bool same = true;

	for (int i = 0; i < rank; i++) {
		v[i] = perm[i];
		same &= perm[i] == i;
	}
	*out = x;
	if (same)
		return FTL_OK;
	a->perm = (ftl_ints){(uint32_t)rank, v};
	return ftl_build1(&t->b, FTL_OP_transpose, &x, 1, a, out);
}

ftl_status ftl_layout_reshape(ftl_patch *t, ftl_val x, const ftl_dim *dims, int rank, ftl_val *out)
{
	struct ftl_attrs_reshape *a = ftl_attrs_default(t->b.g, FTL_OP_reshape);

	a->dims = (ftl_dims){(uint32_t)rank,
			     rank ? ftl_arena_dup(t->b.g->arena, dims, (size_t)rank * sizeof *dims) : NULL};
	return ftl_build1(&t->b, FTL_OP_reshape, &x, 1, a, out);
}

ftl_status ftl_layout_again(ftl_patch *t, const ftl_node *n, const ftl_val *in, ftl_val *out)
{
	uint32_t nin = n->nin;

	return ftl_build1(&t->b, n->op, in, nin, ftl_arena_dup(t->b.g->arena, n->attrs, ftl_op_get(n->op)->attr_bytes),
			  out);
}

ftl_status ftl_layout_commit(ftl_patch *t, ftl_status_code built, const ftl_val *with, bool *out_done)
{
	if (built == FTL_OK)
		return ftl_patch_commit(t, with, out_done);
	ftl_patch_drop(t);
	return FTL_OK;
}

static ftl_status visit(ftl_pass *p, ftl_node_id id, void *user)
{
	ftl_op op = ftl_node_get(p->graph, id)->op;
	bool done = false;

	FTL_UNUSED(user);
	for (size_t i = 0; i < FTL_COUNT(rules) && !done; i++)
		if (rules[i].op == op || (rules[i].op == FTL_OP_NONE && ftl_op_has(op, FTL_MAP)))
			FTL_TRY(rules[i].apply(p, id, rules[i].what, &done));
	return FTL_OK;
}

ftl_status ftl_pass_cancel_layout(ftl_pass *p)
{
	return ftl_drive(p, visit, NULL);
}
