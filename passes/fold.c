/* Replace pure nodes whose inputs are all constant.
 *
 * Runs the op's own lowering in the interpreter, so it knows no op by name. Leaves alone what is too large, what would
 * grow a lot (a mask or a table made from a few numbers is cheaper to make again than to store), and transposes of
 * matrices that a matmul reads: cancel-layout turns those into a flag of the matmul. */
#include "pass.h"
#include "kernels/lower.h"

#define FEW_OUTPUTS 8

/* Attributes for another graph; its sizes are constants there as here. */
static void *copy_attrs(ftl_graph *to, const ftl_graph *from, const ftl_node *n)
{
	const ftl_op_info *info = ftl_op_get(n->op);
	char *attrs = ftl_arena_dup(to->arena, n->attrs, info->attr_bytes);

	for (unsigned i = 0; i < info->nattr; i++) {
		ftl_dims *l = (void *)(attrs + info->attr[i].offset);
		ftl_dim *copy;

		if (info->attr[i].kind != FTL_ATTR_dims)
			continue;
		copy = FTL_NEW_N(to->arena, ftl_dim, l->n);
		for (uint32_t k = 0; k < l->n; k++) {
			int64_t v;

			if (!l->v[k])
				continue;
			if (!ftl_dim_is_const(from->st, l->v[k], &v))
				return NULL;
			copy[k] = ftl_dim_const(to->st, v);
		}
		l->v = copy;
	}
	return attrs;
}

/* A graph of constants and this one node; NULL if it cannot be built. */
static ftl_graph *graph_of(ftl_pass *p, const ftl_node *n)
{
	const ftl_graph *g = p->graph;
	ftl_graph *one = ftl_graph_new(p->tool, "fold");
	ftl_builder b = {.g = one, .region = one->body, .loc = n->loc};
	ftl_val *in = FTL_NEW_N(p->tool, ftl_val, n->nin), *out = FTL_NEW_N(p->tool, ftl_val, n->nout);
	void *attrs = copy_attrs(one, g, n);
	int64_t dims[FTL_MAX_RANK];

	for (uint32_t i = 0; i < n->nin; i++) {
		const ftl_type *t = ftl_type_of(g, n->in[i]);

		if (!n->in[i])
			continue;
		if (t->enc || !ftl_type_is_static(g, t, dims))
			return NULL;
		in[i] = ftl_build_const(&b, ftl_type_make_const(one, t->dtype, t->rank, dims),
					ftl_const_blob(g, n->in[i]));
	}
	if (!attrs || ftl_build(&b, n->op, in, n->nin, attrs, n->nout, out) != FTL_OK)
		return NULL;
	ftl_build_yield(&b, out, n->nout);
	return one;
}

static bool interpret(ftl_pass *p, const ftl_node *n, ftl_karg_tensor *out)
{
	ftl_graph *one = graph_of(p, n);
	ftl_kmodule *m;

	return one && ftl_lower(p->tool, one, NULL, NULL, &m) == FTL_OK &&
	       ftl_kmodule_interpret(m, p->tool, NULL, out, NULL) == FTL_OK;
}

/* Do results have the sizes that inference promised? */
static bool sizes_match(const ftl_graph *g, const ftl_node *n, const ftl_karg_tensor *out)
{
	for (uint32_t k = 0; k < n->nout; k++) {
		const ftl_type *t = ftl_type_of(g, n->out[k]);
		int64_t v;

		for (int i = 0; i < t->rank; i++)
			if (!ftl_dim_is_const(g->st, t->dims[i], &v) || v != out[k].dims[i])
				return false;
	}
	return true;
}

static size_t in_bytes(const ftl_graph *g, const ftl_node *n)
{
	size_t sum = 0;

	for (uint32_t i = 0; i < n->nin; i++)
		if (n->in[i])
			sum += ftl_const_blob(g, n->in[i])->bytes;
	return sum;
}

ftl_status ftl_fold_node(ftl_pass *p, ftl_node_id id, size_t max_bytes, ftl_val *out_v, bool *out_done)
{
	ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);
	ftl_karg_tensor out[FEW_OUTPUTS] = {{0}};
	ftl_builder b = {.g = g, .region = n->region, .before = id, .loc = n->loc};
	uint32_t nout = n->nout;
	size_t bytes;

	*out_done = false;
	for (uint32_t k = 0; k < nout; k++)
		if (ftl_type_of(g, n->out[k])->enc || ftl_type_of(g, n->out[k])->seq || ftl_pinned(p, n->out[k]) ||
		    ftl_type_of(g, n->out[k])->dtype == FTL_STRING) /* const has no strings */
			return FTL_OK;
	if (!ftl_op_has(n->op, FTL_PURE) || ftl_op_has(n->op, FTL_RANDOM | FTL_REGIONS) || nout > FEW_OUTPUTS ||
	    !ftl_inputs_const(g, n) || !ftl_out_bytes(g, n, &bytes) || bytes > max_bytes ||
	    in_bytes(g, n) > max_bytes - bytes)
		return FTL_OK;
	if (interpret(p, n, out) && sizes_match(g, n, out)) {
		for (uint32_t k = 0; k < nout; k++) {
			ftl_type type = *ftl_type_of(g, ftl_node_get(g, id)->out[k]);

			out_v[k] = ftl_build_const_bytes(&b, type.dtype, type.rank, out[k].dims, out[k].data);
		}
		*out_done = true;
	}
	ftl_arena_reset(p->tool);
	return FTL_OK;
}

/* A matrix transposed for matmuls alone. */
static bool for_matmul(const ftl_graph *g, const ftl_node *n)
{
	const ftl_value *v = ftl_value_get(g, n->out[0]);
	int rank = v->type.rank;
	ftl_ints perm;

	if (n->op != FTL_OP_transpose || rank < 2)
		return false;
	perm = FTL_ATTRS(n, transpose)->perm;
	if (perm.n ? perm.v[rank - 1] != rank - 2 || perm.v[rank - 2] != rank - 1 : rank != 2)
		return false;
	for (uint32_t i = 0; i < v->uses.n; i++)
		if (ftl_node_get(g, v->uses.v[i])->op != FTL_OP_matmul)
			return false;
	return v->uses.n > 0;
}

static ftl_status fold_region(ftl_pass *p, ftl_region_id r)
{
	ftl_graph *g = p->graph;
	size_t max = (size_t)(p->opt.fold.max_bytes > 0 ? p->opt.fold.max_bytes : 0);
	size_t growth = (size_t)(p->opt.fold.max_growth > 0 ? p->opt.fold.max_growth : 0);

	FTL_FOREACH_NODE_IN(g, r, id) {
		const ftl_node *n = ftl_node_get(g, id);
		ftl_val with[FEW_OUTPUTS];
		size_t bytes;
		bool done;

		for (uint32_t i = 0; i < n->nregion; i++)
			FTL_TRY(fold_region(p, ftl_node_get(g, id)->regions[i]));
		n = ftl_node_get(g, id);
		if (n->op == FTL_OP_const || n->op == FTL_OP_yield || !ftl_inputs_const(g, n) || for_matmul(g, n) ||
		    !ftl_out_bytes(g, n, &bytes))
			continue;
		if (bytes > (n->nin ? growth : growth / 16) && bytes > in_bytes(g, n)) {
			ftl_pass_miss(p, "fold", id, "the constant would take %zu bytes instead of %zu", bytes,
				      in_bytes(g, n));
			continue;
		}
		if (in_bytes(g, n) > max || bytes > max - in_bytes(g, n)) {
			ftl_pass_miss(p, "fold", id, "inputs and results of %zu bytes are too large",
				      in_bytes(g, n) + bytes);
			continue;
		}
		if (ftl_node_work(g, id) > (double)p->opt.fold.max_work) {
			ftl_pass_miss(p, "fold", id, "about %.3g operations are too many to interpret",
				      ftl_node_work(g, id));
			continue;
		}
		FTL_TRY(ftl_fold_node(p, id, max, with, &done));
		if (!done)
			continue; /* random, or its attributes speak of sizes that only a run knows, or running it fails */
		if (ftl_pass_edit(p)) {
			n = ftl_node_get(g, id);
			for (uint32_t k = 0; k < n->nout; k++)
				ftl_replace_uses(g, n->out[k], with[k]);
			ftl_pass_done(p, "folded", n->loc, 1);
			ftl_erase_dead(p, id);
		} else {
			for (uint32_t k = 0; k < n->nout; k++)
				ftl_node_erase(g, ftl_value_get(g, with[k])->def);
		}
	}
	return FTL_OK;
}

ftl_status ftl_pass_fold(ftl_pass *p)
{
	return fold_region(p, p->graph->body);
}
