/* Drop nodes that lead to no result.
 *
 * One walk from the last node to the first, so that a node's readers are gone before it is looked at. A pure node without
 * readers stays if a size that a later type, attribute or tracked content mentions gets its value from it. Ops with
 * regions go when nothing reads them: what is inside is pure, or it would not be there. */
#include "pass.h"

typedef struct sweep {
	ftl_pass *p;
	bool *seen;   /* by dim id: its symbols are noted */
	bool *needed; /* by symbol id */
} sweep;

static void need_symbol(void *user, ftl_dim sym)
{
	sweep *s = user;
	ftl_dim upper = ftl_dim_upper(s->p->graph->st, sym);

	s->needed[sym] = true;
	if (upper && !s->seen[upper]) { /* planned memory is as large as the bound */
		s->seen[upper] = true;
		ftl_dim_symbols(s->p->graph->st, upper, need_symbol, s);
	}
}

static void need(sweep *s, const ftl_dim *d, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!d[i] || s->seen[d[i]])
			continue;
		s->seen[d[i]] = true;
		ftl_dim_symbols(s->p->graph->st, d[i], need_symbol, s);
	}
}

static void need_node(sweep *s, const ftl_node *n)
{
	const ftl_op_info *info = ftl_op_get(n->op);

	for (uint32_t i = 0; i < n->nout; i++) {
		const ftl_value *v = ftl_value_get(s->p->graph, n->out[i]);

		need(s, v->type.dims, (uint32_t)v->type.rank);
	}
	for (unsigned i = 0; i < info->nattr; i++) {
		const ftl_dims *l = (const void *)((const char *)n->attrs + info->attr[i].offset);

		if (info->attr[i].kind == FTL_ATTR_dims)
			need(s, l->v, l->n);
	}
}

static bool is_dead(const sweep *s, const ftl_node *n)
{
	const ftl_graph *g = s->p->graph;

	if (!ftl_op_has(n->op, FTL_PURE | FTL_REGIONS) || ftl_any_pinned(s->p, n))
		return false;
	for (uint32_t i = 0; i < n->nout; i++) {
		const ftl_type *t = ftl_type_of(g, n->out[i]);

		if (ftl_use_count(g, n->out[i]))
			return false;
		for (int a = 0; a < t->rank; a++)
			if (s->needed[t->dims[a]] && ftl_sym_binder(g, t->dims[a]) == n->out[i])
				return false;
	}
	return true;
}

static void sweep_region(sweep *s, ftl_region_id r)
{
	ftl_graph *g = s->p->graph;

	for (ftl_node_id id = ftl_region_get(g, r)->last, prev; id; id = prev) {
		const ftl_node *n = ftl_node_get(g, id);

		prev = n->prev;
		if (is_dead(s, n)) {
			ftl_node_erase(g, id);
			ftl_pass_count(s->p, "dead nodes", 1);
			s->p->changed = true;
			continue;
		}
		need_node(s, n);
		for (uint32_t i = 0; i < n->nregion; i++)
			sweep_region(s, n->regions[i]);
	}
	for (uint32_t i = 0; i < ftl_region_get(g, r)->params.n; i++) {
		const ftl_type *t = ftl_type_of(g, ftl_region_get(g, r)->params.v[i]);

		need(s, t->dims, (uint32_t)t->rank);
	}
}

ftl_status ftl_pass_dce(ftl_pass *p)
{
	sweep s = {.p = p};
	size_t n = (size_t)ftl_dim_count(p->graph->st) + 1;

	s.seen = FTL_NEW_N(p->scratch, bool, n);
	s.needed = FTL_NEW_N(p->scratch, bool, n);
	sweep_region(&s, p->graph->body);
	return FTL_OK;
}
