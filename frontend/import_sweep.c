/* Dropping what import left over: initializers and shape arithmetic that turned into attributes.
 *
 * One walk from the last node to the first. A pure node without uses goes, unless it binds a symbol that a node
 * behind it mentions: a size known only at run time comes from the value that has it, used or not. */
#include "imp.h"

typedef struct sweep {
	imp *m;
	uint8_t *seen;   /* by dim id: its symbols are noted */
	uint8_t *needed; /* by symbol id */
	uint32_t ndims;
} sweep;

static void need_symbol(void *user, ftl_dim sym)
{
	sweep *s = user;

	s->needed[sym] = 1;
}

static void need(sweep *s, ftl_dim d)
{
	if (d == FTL_DIM_NONE || d > s->ndims || s->seen[d])
		return;
	s->seen[d] = 1;
	ftl_dim_symbols(s->m->st, d, need_symbol, s);
}

static void need_value(sweep *s, ftl_val v)
{
	const ftl_value *val = ftl_value_get(s->m->g, v);

	for (int i = 0; i < val->type.rank; i++)
		need(s, val->type.dims[i]);
	for (uint32_t i = 0; val->sym && i < val->nsym; i++)
		need(s, val->sym[i]);
}

static void need_node(sweep *s, const ftl_node *n)
{
	const ftl_op_info *info = ftl_op_get(n->op);

	for (uint32_t i = 0; i < n->nout; i++)
		need_value(s, n->out[i]);
	for (int i = 0; i < info->nattr; i++) {
		if (info->attr[i].kind != FTL_ATTR_dims)
			continue;
		const ftl_dims *d = (const ftl_dims *)((const char *)n->attrs + info->attr[i].offset);
		for (uint32_t k = 0; k < d->n; k++)
			need(s, d->v[k]);
	}
}

static bool binds_needed(const sweep *s, ftl_val v)
{
	const ftl_type *t = ftl_type_of(s->m->g, v);

	for (int i = 0; i < t->rank; i++)
		if (t->dims[i] <= s->ndims && s->needed[t->dims[i]] && ftl_sym_binder(s->m->g, t->dims[i]) == v)
			return true;
	return false;
}

static bool is_dead(const sweep *s, const ftl_node *n)
{
	if (!ftl_op_has(n->op, FTL_PURE))
		return false;
	for (uint32_t i = 0; i < n->nout; i++)
		if (ftl_use_count(s->m->g, n->out[i]) || binds_needed(s, n->out[i]))
			return false;
	return true;
}

static void sweep_region(sweep *s, ftl_region_id r)
{
	ftl_graph *g = s->m->g;

	for (ftl_node_id id = ftl_region_get(g, r)->last, prev; id; id = prev) {
		prev = ftl_node_get(g, id)->prev;
		if (is_dead(s, ftl_node_get(g, id))) {
			ftl_node_erase(g, id);
			continue;
		}
		need_node(s, ftl_node_get(g, id));
		for (uint32_t i = 0; i < ftl_node_get(g, id)->nregion; i++)
			sweep_region(s, ftl_node_get(g, id)->regions[i]);
	}
	for (uint32_t i = 0; i < ftl_region_get(g, r)->params.n; i++)
		need_value(s, ftl_region_get(g, r)->params.v[i]);
}

void ftl_imp_sweep(imp *m)
{
	sweep s = {.m = m, .ndims = ftl_dim_count(m->st)};

	s.seen = FTL_NEW_N(m->tmp, uint8_t, (size_t)s.ndims + 1);
	s.needed = FTL_NEW_N(m->tmp, uint8_t, (size_t)s.ndims + 1);
	sweep_region(&s, m->g->body);
}
