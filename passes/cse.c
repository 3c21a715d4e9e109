/* Merge nodes that compute the same from the same operands.
 *
 * Walks in execution order with a hash table of what is visible: a region sees what was computed before it in the regions
 * around; what it adds is forgotten when it ends. Operands of commutative ops are compared in one order. Not merged:
 * random ops, ops with regions, large constants (share-weights has those), and results that bind a size of their own. */
#include "pass.h"

#define BIG_CONST 4096 /* bytes */

typedef struct entry {
	uint64_t hash;
	ftl_node_id node;
	struct entry *next, *older; /* in the bucket; made before this one */
} entry;

typedef struct numbering {
	ftl_pass *p;
	entry **bucket;
	uint32_t mask;
	entry *newest;
} numbering;

/* The first two operands of a commutative op in order of ids. */
static void order(const ftl_node *n, ftl_val *a, ftl_val *b)
{
	bool swap = ftl_op_has(n->op, FTL_COMM) && n->in[0] > n->in[1];

	*a = n->in[swap];
	*b = n->in[!swap];
}

static uint64_t hash_node(const ftl_graph *g, const ftl_node *n)
{
	const ftl_type *t = ftl_type_of(g, n->out[0]);
	uint64_t h = ftl_attrs_hash(g, n->op, n->attrs, n->nin);
	uint32_t first = 0;

	if (n->nin >= 2) {
		ftl_val pair[2];

		order(n, &pair[0], &pair[1]);
		h = ftl_hash(pair, sizeof pair, h);
		first = 2;
	}
	if (n->nin > first)
		h = ftl_hash(n->in + first, (n->nin - first) * sizeof *n->in, h);
	return t->rank ? ftl_hash(t->dims, (size_t)t->rank * sizeof *t->dims, h + t->dtype) : h + t->dtype;
}

static bool same_node(const ftl_graph *g, const ftl_node *a, const ftl_node *b)
{
	ftl_val pa[2], pb[2];

	if (a->op != b->op || a->nin != b->nin || a->nout != b->nout || !ftl_attrs_eq(g, a->op, a->attrs, b->attrs))
		return false;
	for (uint32_t i = 0; i < a->nout; i++)
		if (!ftl_type_eq(ftl_type_of(g, a->out[i]), ftl_type_of(g, b->out[i])))
			return false;
	if (a->nin < 2)
		return a->nin == 0 || a->in[0] == b->in[0];
	order(a, &pa[0], &pa[1]);
	order(b, &pb[0], &pb[1]);
	return memcmp(pa, pb, sizeof pa) == 0 && memcmp(a->in + 2, b->in + 2, (a->nin - 2) * sizeof *a->in) == 0;
}

static bool may_merge(const ftl_pass *p, const ftl_node *n)
{
	const ftl_graph *g = p->graph;

	if (!ftl_op_has(n->op, FTL_PURE) || ftl_op_has(n->op, FTL_RANDOM | FTL_REGIONS) || n->nout == 0 ||
	    ftl_any_pinned(p, n))
		return false;
	if (n->op == FTL_OP_const) {
		const ftl_blob *b = ftl_const_blob(g, n->out[0]);

		return b && b->bytes <= BIG_CONST;
	}
	return true;
}

static void merge(numbering *t, ftl_node_id first, ftl_node_id twin)
{
	ftl_graph *g = t->p->graph;
	ftl_node *a = ftl_node_get(g, first);
	const ftl_node *b = ftl_node_get(g, twin);

	/* a constant has no place of its own: naming all its readers' would say nothing */
	if (a->op != FTL_OP_const)
		a->loc = ftl_loc_merge(g, a->loc, b->loc);
	ftl_pass_done(t->p, a->op == FTL_OP_const ? "constants" : "nodes", b->loc, 1);
	for (uint32_t i = 0; i < b->nout; i++)
		ftl_replace_uses(g, b->out[i], a->out[i]);
	ftl_node_erase(g, twin);
}

static void number_region(numbering *t, ftl_region_id r)
{
	ftl_graph *g = t->p->graph;
	entry *before = t->newest;

	FTL_FOREACH_NODE_IN(g, r, id) {
		const ftl_node *n = ftl_node_get(g, id);
		entry *e;
		uint64_t h;

		for (uint32_t i = 0; i < n->nregion; i++)
			number_region(t, n->regions[i]);
		if (!may_merge(t->p, n))
			continue;
		h = hash_node(g, n);
		for (e = t->bucket[h & t->mask]; e; e = e->next)
			if (e->hash == h && same_node(g, ftl_node_get(g, e->node), n))
				break;
		if (e) {
			if (ftl_pass_edit(t->p))
				merge(t, e->node, id);
			continue;
		}
		e = FTL_NEW(t->p->scratch, entry);
		*e = (entry){h, id, t->bucket[h & t->mask], t->newest};
		t->newest = t->bucket[h & t->mask] = e;
	}
	for (; t->newest != before; t->newest = t->newest->older)
		t->bucket[t->newest->hash & t->mask] = t->newest->next;
}

ftl_status ftl_pass_cse(ftl_pass *p)
{
	numbering t = {.p = p, .mask = 255};

	while (t.mask < p->graph->nodes.n)
		t.mask = 2 * t.mask + 1;
	t.bucket = FTL_NEW_N(p->scratch, entry *, (size_t)t.mask + 1);
	number_region(&t, p->graph->body);
	return FTL_OK;
}
