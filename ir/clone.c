/* A copy of a graph in another arena. Ids stay what they are (dead nodes are copied as such), expressions are
 * made anew in the copy's own table, constants share their bytes with the original. */
#include "ir/graph.h"

typedef struct cloner {
	ftl_arena *arena;
	const ftl_graph *from;
	ftl_graph *to;
	ftl_dim *dim; /* by id in the original, FTL_DIM_NONE = not copied yet */
	FTL_VEC(ftl_dim) syms;
} cloner;

static ftl_dim clone_dim(cloner *c, ftl_dim d);

static ftl_dim clone_sym(cloner *c, ftl_dim d)
{
	ftl_text t;
	const char *s;

	ftl_text_init(&t, c->arena); /* its text says its name and whether it may be negative */
	ftl_dim_print(c->from->st, &t, d);
	s = t.v;
	ftl_vec_push(c->arena, &c->syms, d);
	return ftl_dim_parse(c->to->st, &s);
}

static ftl_dim clone_sum(cloner *c, const ftl_dim_node *n)
{
	ftl_symtab *st = c->to->st;
	ftl_dim sum = ftl_dim_const(st, 0);

	for (uint32_t i = 0; i < n->n; i++) {
		ftl_dim prod = ftl_dim_const(st, n->term[i].coef);

		for (uint32_t k = 0; k < n->term[i].n; k++)
			prod = ftl_dim_mul(st, prod, clone_dim(c, n->term[i].atom[k]));
		sum = ftl_dim_add(st, sum, prod);
	}
	return sum;
}

/* Expressions nest no deeper than the table allows. */
static ftl_dim clone_dim(cloner *c, ftl_dim d)
{
	ftl_symtab *st = c->to->st;
	const ftl_dim_node *n;
	ftl_dim a, b;

	if (d == FTL_DIM_NONE || c->dim[d] != FTL_DIM_NONE)
		return d ? c->dim[d] : d;
	n = ftl_dim_get(c->from->st, d);
	switch (n->kind) {
	case FTL_DIM_CONST: return c->dim[d] = ftl_dim_const(st, n->value);
	case FTL_DIM_SYM: return c->dim[d] = clone_sym(c, d);
	case FTL_DIM_SUM: return c->dim[d] = clone_sum(c, n);
	default: break;
	}
	a = clone_dim(c, n->a);
	b = clone_dim(c, n->b);
	switch (n->kind) {
	case FTL_DIM_DIV: return c->dim[d] = ftl_dim_div(st, a, b);
	case FTL_DIM_MOD: return c->dim[d] = ftl_dim_mod(st, a, b);
	case FTL_DIM_MIN: return c->dim[d] = ftl_dim_min(st, a, b);
	default: return c->dim[d] = ftl_dim_max(st, a, b);
	}
}

static const ftl_dim *clone_dims(cloner *c, const ftl_dim *v, uint32_t n)
{
	ftl_dim *out = n ? FTL_NEW_N(c->arena, ftl_dim, n) : NULL;

	for (uint32_t i = 0; i < n; i++)
		out[i] = clone_dim(c, v[i]);
	return out;
}

static const char *clone_str(cloner *c, const char *s)
{
	return s ? ftl_arena_str(c->arena, s) : NULL;
}

static void *clone_list(cloner *c, const void *v, size_t n, size_t size)
{
	return n ? ftl_arena_dup(c->arena, v, n * size) : NULL;
}

static const ftl_blob *clone_blob(cloner *c, const ftl_blob *b)
{
	ftl_blob *copy;

	if (!b)
		return NULL;
	copy = ftl_arena_dup(c->arena, b, sizeof *b);
	copy->name = clone_str(c, b->name);
	return copy;
}

static void clone_strs(cloner *c, ftl_strs *l)
{
	ftl_str *v = FTL_NEW_N(c->arena, ftl_str, l->n);

	for (uint32_t i = 0; i < l->n; i++)
		v[i] = (ftl_str){ftl_arena_strn(c->arena, l->v[i].p, l->v[i].n), l->v[i].n};
	l->v = v;
}

static void *clone_attrs(cloner *c, ftl_op op, const void *attrs)
{
	const ftl_op_info *info = ftl_op_get(op);
	char *copy = ftl_arena_dup(c->arena, attrs, info->attr_bytes);

	for (unsigned i = 0; i < info->nattr; i++) {
		void *p = copy + info->attr[i].offset;

		switch (info->attr[i].kind) {
		case FTL_ATTR_i64:
		case FTL_ATTR_f64:
		case FTL_ATTR_flag:
		case FTL_ATTR_dtype: break;
		case FTL_ATTR_str: *(ftl_attr_str *)p = clone_str(c, *(ftl_attr_str *)p); break;
		case FTL_ATTR_ints:
			((ftl_ints *)p)->v = clone_list(c, ((ftl_ints *)p)->v, ((ftl_ints *)p)->n, sizeof(int64_t));
			break;
		case FTL_ATTR_floats:
			((ftl_floats *)p)->v = clone_list(c, ((ftl_floats *)p)->v, ((ftl_floats *)p)->n,
							  sizeof(double));
			break;
		case FTL_ATTR_dims: ((ftl_dims *)p)->v = clone_dims(c, ((ftl_dims *)p)->v, ((ftl_dims *)p)->n); break;
		case FTL_ATTR_strs: clone_strs(c, p); break;
		case FTL_ATTR_blob: *(ftl_attr_blob *)p = clone_blob(c, *(ftl_attr_blob *)p); break;
		}
	}
	return copy;
}

static ftl_value clone_value(cloner *c, const ftl_value *v)
{
	ftl_value out = *v;

	out.type.dims = clone_dims(c, v->type.dims, v->type.rank > 0 ? (uint32_t)v->type.rank : 0);
	out.type.enc = clone_list(c, v->type.enc, v->type.enc != NULL, sizeof *v->type.enc);
	out.type.seq = clone_list(c, v->type.seq, v->type.seq != NULL, sizeof *v->type.seq);
	out.name = clone_str(c, v->name);
	out.sym = clone_dims(c, v->sym, v->nsym);
	out.uses.v = clone_list(c, v->uses.v, v->uses.n, sizeof *v->uses.v);
	out.uses.cap = v->uses.n;
	return out;
}

static ftl_node clone_node(cloner *c, const ftl_node *n)
{
	ftl_node out = *n;

	out.in = clone_list(c, n->in, n->nin, sizeof *n->in);
	out.out = clone_list(c, n->out, n->nout, sizeof *n->out);
	out.regions = clone_list(c, n->regions, n->nregion, sizeof *n->regions);
	out.attrs = n->dead ? NULL : clone_attrs(c, n->op, n->attrs);
	out.loc = clone_str(c, n->loc);
	return out;
}

ftl_graph *ftl_graph_clone(ftl_arena *arena, const ftl_graph *g)
{
	ftl_graph *to = FTL_NEW(arena, ftl_graph);
	cloner c = {.arena = arena, .from = g, .to = to};

	c.dim = FTL_NEW_N(arena, ftl_dim, (size_t)ftl_dim_count(g->st) + 1);
	to->arena = arena;
	to->st = ftl_symtab_new(arena);
	to->name = clone_str(&c, g->name);
	to->file = clone_str(&c, g->file);
	to->body = g->body;
	for (uint32_t i = 0; i < g->values.n; i++)
		ftl_vec_push(arena, &to->values, clone_value(&c, &g->values.v[i]));
	for (uint32_t i = 0; i < g->nodes.n; i++)
		ftl_vec_push(arena, &to->nodes, clone_node(&c, &g->nodes.v[i]));
	for (uint32_t i = 0; i < g->regions.n; i++) {
		ftl_region r = g->regions.v[i];

		r.params.v = clone_list(&c, r.params.v, r.params.n, sizeof *r.params.v);
		r.params.cap = r.params.n;
		ftl_vec_push(arena, &to->regions, r);
	}
	for (uint32_t i = 0; i < g->out_names.n; i++)
		ftl_vec_push(arena, &to->out_names, clone_str(&c, g->out_names.v[i]));
	/* Bounds come last: they could fold expressions that are older than they are. The list grows while we
	 * walk, since an upper bound may show symbols of its own. */
	for (uint32_t i = 0; i < c.syms.n; i++) {
		ftl_dim old = c.syms.v[i], sym = c.dim[old];

		ftl_dim_set_upper(to->st, sym, clone_dim(&c, ftl_dim_upper(g->st, old)));
		ftl_dim_set_bounds(to->st, sym, ftl_dim_lo(g->st, old), ftl_dim_hi(g->st, old));
		if (old < g->binders.n && g->binders.v[old])
			ftl_sym_bind(to, sym, g->binders.v[old]);
	}
	return to;
}
