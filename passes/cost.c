/* What a node costs to run, roughly: enough to tell a rewrite that helps from one that does not.
 *
 * Counted in scalar operations. Nothing is known of caches here; moving an element counts like an addition. */
#include "pass.h"

#define UNKNOWN_SIZE 32 /* elements of an axis of which nothing is known */

/* Elementwise ops that take more than an addition, per element; others that are not FTL_CHEAP take MAP_COST. */
#define MAP_COST 4
static const uint8_t map_cost[FTL_OP_COUNT] = {
	[FTL_OP_exp] = 8,    [FTL_OP_log] = 8,        [FTL_OP_sin] = 12,      [FTL_OP_cos] = 12,
	[FTL_OP_tan] = 16,   [FTL_OP_erf] = 12,       [FTL_OP_tanh] = 12,     [FTL_OP_sigmoid] = 12,
	[FTL_OP_silu] = 12,  [FTL_OP_gelu] = 13,      [FTL_OP_softplus] = 16, [FTL_OP_mish] = 20,
	[FTL_OP_pow] = 24,   [FTL_OP_leaky_relu] = 2, [FTL_OP_asin] = 16,     [FTL_OP_acos] = 16,
	[FTL_OP_atan] = 16,  [FTL_OP_sinh] = 16,      [FTL_OP_cosh] = 16,     [FTL_OP_asinh] = 24,
	[FTL_OP_acosh] = 24, [FTL_OP_atanh] = 24,     [FTL_OP_elu] = 9,       [FTL_OP_celu] = 9,
	[FTL_OP_selu] = 9,
};

static bool typical(void *user, ftl_dim sym, int64_t *v)
{
	const ftl_symtab *st = user;
	int64_t lo = ftl_dim_lo(st, sym), hi = ftl_dim_hi(st, sym);

	*v = UNKNOWN_SIZE;
	if (*v < lo)
		*v = lo;
	if (*v > hi)
		*v = hi;
	return true;
}

static double size_of(const ftl_graph *g, ftl_dim d)
{
	int64_t v;

	return d && ftl_dim_eval(g->st, d, typical, g->st, &v) && v > 0 ? (double)v : 1;
}

static double elements(const ftl_graph *g, ftl_val v)
{
	const ftl_type *t = ftl_type_of(g, v);
	double n = 1;

	for (int i = 0; i < t->rank; i++)
		n *= size_of(g, t->dims[i]);
	return n;
}

/* Multiplications per element of a contraction's result. */
static double depth(const ftl_graph *g, const ftl_node *n)
{
	const ftl_type *a = ftl_type_of(g, n->in[0]), *w = ftl_type_of(g, n->in[1]);

	if (n->op == FTL_OP_matmul) {
		bool swapped = FTL_ATTRS(n, matmul)->trans_a && a->rank > 1;

		return a->rank ? size_of(g, a->dims[a->rank - 1 - swapped]) : 1;
	}
	return w->rank ? elements(g, n->in[1]) / size_of(g, w->dims[0]) : 1;
}

bool ftl_inputs_const(const ftl_graph *g, const ftl_node *n)
{
	for (uint32_t i = 0; i < n->nin; i++)
		if (n->in[i] && !ftl_const_blob(g, n->in[i]))
			return false;
	return true;
}

double ftl_node_cost(const ftl_graph *g, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(g, id);

	return ftl_op_has(n->op, FTL_VIEW) || n->nin == 0 || ftl_inputs_const(g, n) ? 0 : ftl_node_work(g, id);
}

double ftl_node_work(const ftl_graph *g, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(g, id);
	double in = 0, out = 0;

	for (uint32_t i = 0; i < n->nout; i++)
		out += elements(g, n->out[i]);
	if (n->op == FTL_OP_matmul || n->op == FTL_OP_conv || n->op == FTL_OP_conv_transpose)
		return 2 * out * depth(g, n);
	if (n->op == FTL_OP_attention) {
		const ftl_type *q = ftl_type_of(g, n->in[0]), *k = ftl_type_of(g, n->in[1]);
		double scores = elements(g, n->in[0]) / size_of(g, q->dims[q->rank - 1]) *
				size_of(g, k->dims[k->rank - 2]);

		/* its regions' nodes count for themselves */
		return 2 * scores * size_of(g, q->dims[q->rank - 1]) + 2 * out * size_of(g, k->dims[k->rank - 2]);
	}
	if (ftl_op_has(n->op, FTL_CHEAP))
		return out;
	if (ftl_op_has(n->op, FTL_MAP))
		return out * (map_cost[n->op] ? map_cost[n->op] : MAP_COST);
	for (uint32_t i = 0; i < n->nin; i++)
		if (n->in[i])
			in += elements(g, n->in[i]);
	/* reductions read more than they write, moves the other way round */
	return n->op == FTL_OP_slice || n->op == FTL_OP_gather ? out : (in > out ? in : out);
}
