/* Which values never reach memory.
 *
 * Two kinds of fusion, decided before anything is lowered:
 *   inline    an elementwise value with one elementwise reader of the same shape is computed where it is read;
 *   epilogue  elementwise readers behind a contraction or reduction, one after the other, are applied to the
 *             element in its register before it is stored. The whole chain runs at the turn of its last node, when every
 *             other operand exists: the values between have no other reader, so nobody can miss them earlier.
 * Attention also reads its operands through transposes and stores its result through one: heads move between the
 * projections and the products, and nobody else wants them in between.
 * A value that is a result of its region, has another reader, or crosses a region always has memory. */
#include "kernels/lower/driver.h"

/* Elementwise nodes in one expression at most: what is larger gains nothing, and expressions are walked recursively. */
enum { MAX_FUSED = 64 };

static bool same_dims(const ftl_type *a, const ftl_type *b)
{
	return a->rank == b->rank && (a->rank == 0 || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0);
}

/* The only reader of v if it is a fusable elementwise node of v's region and shape, else 0. */
static ftl_node_id single_map_reader(const ftl_lo *lo, ftl_val v)
{
	const ftl_value *val = ftl_value_get(lo->g, v);
	const ftl_node *u;

	if (val->uses.n != 1)
		return 0;
	u = ftl_node_get(lo->g, val->uses.v[0]);
	if (u->region != val->region || u->nout != 1 || ftl_lower_get(u->op)->kind != FTL_LOWER_MAP)
		return 0;
	if (!same_dims(&val->type, ftl_type_of(lo->g, u->out[0])))
		return 0;
	return val->uses.v[0];
}

/* Nodes of the expression that computes n, itself included. */
static uint32_t expression_size(const ftl_lo *lo, const uint32_t *size, const ftl_node *n)
{
	uint32_t sum = 1;

	for (uint32_t i = 0; i < n->nin; i++)
		if (n->in[i] && lo->val[n->in[i]].how == FTL_HOW_INLINE)
			sum += size[ftl_value_get(lo->g, n->in[i])->def];
	return sum;
}

static bool keeps_last_axis(const ftl_lo *lo, const ftl_node *transpose)
{
	int rank = ftl_type_of(lo->g, transpose->out[0])->rank;
	ftl_ints perm = FTL_ATTRS(transpose, transpose)->perm;

	return rank > 0 && perm.n && perm.v[rank - 1] == rank - 1;
}

/* The only reader of v if it is an `op` of v's region, else 0. */
static ftl_node_id single_reader(const ftl_lo *lo, ftl_val v, ftl_op op)
{
	const ftl_value *val = ftl_value_get(lo->g, v);
	const ftl_node *u = val->uses.n == 1 ? ftl_node_get(lo->g, val->uses.v[0]) : NULL;

	return u && u->op == op && u->region == val->region ? val->uses.v[0] : 0;
}

/* Is n a transpose through which an attention can read its operand? Keys may lie in any order, they are packed. */
static bool read_through(const ftl_lo *lo, const ftl_node *n)
{
	ftl_node_id u = n->op == FTL_OP_transpose ? single_reader(lo, n->out[0], FTL_OP_attention) : 0;
	const ftl_node *a = u ? ftl_node_get(lo->g, u) : NULL;

	return a && (a->in[1] == n->out[0] || keeps_last_axis(lo, n)) &&
	       (a->in[0] == n->out[0] || a->in[1] == n->out[0] || a->in[2] == n->out[0]);
}

static void plan_region(ftl_lo *lo, ftl_region_id r, uint32_t *size)
{
	const ftl_graph *g = lo->g;

	FTL_FOREACH_NODE_IN(g, r, id) {
		const ftl_node *n = ftl_node_get(g, id);
		ftl_node_id u;

		size[id] = expression_size(lo, size, n);
		for (uint32_t k = 0; k < n->nregion && n->op != FTL_OP_attention; k++)
			plan_region(lo, n->regions[k], size);
		if (lo->no_fuse || n->nout != 1 || lo->val[n->out[0]].how != FTL_HOW_MEMORY)
			continue;
		if (read_through(lo, n)) {
			lo->val[n->out[0]].how = FTL_HOW_INLINE;
			continue;
		}
		if (n->op == FTL_OP_attention && (u = single_reader(lo, n->out[0], FTL_OP_transpose)) != 0 &&
		    keeps_last_axis(lo, ftl_node_get(g, u))) {
			lo->val[n->out[0]].how = FTL_HOW_EPILOGUE;
			lo->anchor[u] = id;
			continue;
		}
		u = single_map_reader(lo, n->out[0]);
		if (!u)
			continue;
		if (ftl_op_has(n->op, FTL_ANCHOR)) {
			ftl_node_id end = id, from = id;
			int length = 0;

			/* a node belongs to one chain: a second anchor that feeds it keeps its memory */
			while (u && length++ < MAX_FUSED && !lo->anchor[u] &&
			       lo->val[ftl_node_get(g, u)->out[0]].how == FTL_HOW_MEMORY) {
				lo->val[ftl_node_get(g, from)->out[0]].how = FTL_HOW_EPILOGUE;
				end = from = u;
				u = single_map_reader(lo, ftl_node_get(g, u)->out[0]);
			}
			if (end != id)
				lo->anchor[end] = id;
		} else if (ftl_lower_get(n->op)->kind == FTL_LOWER_MAP && !lo->anchor[id] && size[id] < MAX_FUSED) {
			lo->val[n->out[0]].how = FTL_HOW_INLINE;
		}
	}
}

/* Number the nodes and find where each is computed. Walks backwards, so that a reader is settled before what it reads. */
static uint32_t settle(ftl_lo *lo, ftl_region_id r, uint32_t number)
{
	const ftl_graph *g = lo->g;

	FTL_FOREACH_NODE_IN(g, r, id) {
		const ftl_node *n = ftl_node_get(g, id);

		lo->number[id] = number++;
		lo->exec[id] = id;
		for (uint32_t k = 0; k < n->nregion; k++)
			number = settle(lo, n->regions[k], number);
	}
	for (ftl_node_id id = ftl_region_get(g, r)->last; id; id = ftl_node_get(g, id)->prev) {
		const ftl_node *n = ftl_node_get(g, id);

		if (n->nout == 1 && lo->val[n->out[0]].how != FTL_HOW_MEMORY)
			lo->exec[id] = lo->exec[ftl_value_get(g, n->out[0])->uses.v[0]];
	}
	return number;
}

void ftl_lo_plan_fusion(ftl_lo *lo)
{
	plan_region(lo, lo->g->body, FTL_NEW_N(lo->arena, uint32_t, lo->g->nodes.n));
	settle(lo, lo->g->body, 1);
}
