/* Constants with the same type and contents become one.
 *
 * Most constants of a model have many siblings of their size, so contents are looked at in steps: a hash of three short
 * samples tells nearly all apart without touching every page; only where samples agree the whole contents are hashed
 * (once per constant) and at last compared. A merged constant moves to the front of the graph's body if it has to, where
 * every region sees it. */
#include "pass.h"

#define SAMPLE 256 /* bytes */

typedef struct weight {
	uint64_t sample;
	ftl_node_id node;
	struct weight *next;
} weight;

typedef struct sharing {
	ftl_pass *p;
	weight **bucket;
	uint32_t mask;
} sharing;

static uint64_t hash_sample(const ftl_graph *g, ftl_val v, const ftl_blob *b)
{
	const ftl_type *t = ftl_type_of(g, v);
	const char *data = b->data;
	size_t part = b->bytes < SAMPLE ? b->bytes : SAMPLE;
	uint64_t h = b->bytes * 31 + t->dtype;

	if (t->rank)
		h = ftl_hash(t->dims, (size_t)t->rank * sizeof *t->dims, h);
	if (part == 0)
		return h;
	h = ftl_hash(data, part, h);
	h = ftl_hash(data + (b->bytes - part) / 2, part, h);
	return ftl_hash(data + b->bytes - part, part, h);
}

static bool same_const(const ftl_graph *g, ftl_val a, ftl_val b)
{
	const ftl_blob *x = ftl_const_blob(g, a), *y = ftl_const_blob(g, b);

	if (!ftl_type_eq(ftl_type_of(g, a), ftl_type_of(g, b)) || x->bytes != y->bytes)
		return false;
	if (x->data == y->data || x->bytes == 0)
		return true;
	return ftl_blob_hash(x) == ftl_blob_hash(y) && memcmp(x->data, y->data, x->bytes) == 0;
}

static void share(sharing *s, ftl_node_id first, ftl_node_id twin)
{
	ftl_graph *g = s->p->graph;
	ftl_val from = ftl_node_get(g, twin)->out[0], to = ftl_node_get(g, first)->out[0];
	ftl_node_id front = ftl_region_get(g, g->body)->first;
	ftl_loc loc = ftl_node_get(g, twin)->loc;

	if (ftl_node_get(g, first)->region != ftl_node_get(g, twin)->region && front != first)
		ftl_node_move_before(g, first, front);
	ftl_replace_uses(g, from, to);
	ftl_node_erase(g, twin);
	ftl_pass_done(s->p, "constants", loc, 1);
}

static void share_region(sharing *s, ftl_region_id r)
{
	ftl_graph *g = s->p->graph;

	FTL_FOREACH_NODE_IN(g, r, id) {
		const ftl_node *n = ftl_node_get(g, id);
		const ftl_blob *b;
		weight *w;
		uint64_t h;

		for (uint32_t i = 0; i < n->nregion; i++)
			share_region(s, n->regions[i]);
		if (n->op != FTL_OP_const || ftl_any_pinned(s->p, n) || !(b = ftl_const_blob(g, n->out[0])))
			continue;
		h = hash_sample(g, n->out[0], b);
		for (w = s->bucket[h & s->mask]; w; w = w->next)
			if (w->sample == h && same_const(g, ftl_node_get(g, w->node)->out[0], n->out[0]))
				break;
		if (w) {
			if (ftl_pass_edit(s->p)) {
				ftl_pass_count(s->p, "bytes",
					       (uint32_t)(b->bytes < UINT32_MAX ? b->bytes : UINT32_MAX));
				share(s, w->node, id);
			}
			continue;
		}
		w = FTL_NEW(s->p->scratch, weight);
		*w = (weight){h, id, s->bucket[h & s->mask]};
		s->bucket[h & s->mask] = w;
	}
}

ftl_status ftl_pass_share_weights(ftl_pass *p)
{
	sharing s = {.p = p, .mask = 255};

	while (s.mask < p->graph->nodes.n)
		s.mask = 2 * s.mask + 1;
	s.bucket = FTL_NEW_N(p->scratch, weight *, (size_t)s.mask + 1);
	share_region(&s, p->graph->body);
	return FTL_OK;
}
