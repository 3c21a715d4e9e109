/* Replace integer arithmetic on shapes by its outcome.
 *
 * Inference tracks the contents of small integer tensors as expressions over sizes. A value whose contents are all known
 * becomes a constant, or one `dims` node that computes the expressions at the start of a run, and the chain of shape,
 * gather, mul, concat nodes behind it dies. Works from results to inputs, so that only values with a reader that stays
 * are replaced. Every symbol of an expression must have a value whose run-time shape gives it. */
#include "pass.h"

typedef struct shapes {
	ftl_pass *p;
	FTL_VEC(bool) wanted; /* by value: a node that stays reads it */
	bool known;           /* of the symbols asked about */
} shapes;

static void want(shapes *s, ftl_val v)
{
	while (s->wanted.n <= v)
		ftl_vec_push(s->p->scratch, &s->wanted, false);
	s->wanted.v[v] = true;
}

static bool is_wanted(const shapes *s, ftl_val v)
{
	return v < s->wanted.n && s->wanted.v[v];
}

static void ask_symbol(void *user, ftl_dim sym)
{
	shapes *s = user;

	s->known &= ftl_sym_binder(s->p->graph, sym) != 0;
}

/* Contents complete, and computable before node id runs? *out_const: all numbers. */
static bool contents_known(shapes *s, ftl_val v, bool *out_const)
{
	const ftl_graph *g = s->p->graph;
	const ftl_value *val = ftl_value_get(g, v);
	int64_t n;

	*out_const = true;
	if (!val->sym || !ftl_dim_is_const(g->st, ftl_type_numel(g, &val->type), &n) || n != val->nsym)
		return false;
	s->known = true;
	for (uint32_t i = 0; i < val->nsym && s->known; i++) {
		if (!val->sym[i])
			return false;
		if (!ftl_dim_is_const(g->st, val->sym[i], NULL)) {
			*out_const = false;
			ftl_dim_symbols(g->st, val->sym[i], ask_symbol, s);
		}
	}
	return s->known;
}

static void make_const(ftl_builder *b, ftl_val v, ftl_val *out)
{
	ftl_graph *g = b->g;
	const ftl_value *val = ftl_value_get(g, v);
	ftl_type type = val->type;
	size_t size = ftl_dtype_bytes(type.dtype);
	char data[8 * FTL_MAX_SYM];
	int64_t dims[FTL_MAX_RANK], x = 0;

	for (uint32_t i = 0; i < val->nsym; i++) {
		ftl_dim_is_const(g->st, val->sym[i], &x);
		memcpy(data + i * size, &x, size); /* little endian, and it fits */
	}
	ftl_type_is_static(g, &type, dims);
	*out = ftl_build_const_bytes(b, type.dtype, type.rank, dims, data);
}

static ftl_status make_dims(ftl_builder *b, ftl_val v, ftl_val *out)
{
	ftl_graph *g = b->g;
	const ftl_value *val = ftl_value_get(g, v);
	ftl_type type = val->type;
	struct ftl_attrs_dims *a = ftl_attrs_default(g, FTL_OP_dims);
	struct ftl_attrs_reshape *r;

	a->values = (ftl_dims){val->nsym, val->sym};
	a->dtype = type.dtype;
	a->scalar = type.rank == 0;
	FTL_TRY(ftl_build1(b, FTL_OP_dims, NULL, 0, a, out));
	if (type.rank < 2)
		return FTL_OK;
	r = ftl_attrs_default(g, FTL_OP_reshape);
	r->dims = (ftl_dims){(uint32_t)type.rank, type.dims};
	return ftl_build1(b, FTL_OP_reshape, out, 1, r, out);
}

/* Replaces output v of node id if its contents are known; *out_done says so. */
static ftl_status replace(shapes *s, ftl_node_id id, ftl_val v, bool *out_done)
{
	ftl_pass *p = s->p;
	ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);
	ftl_builder b = {.g = g, .region = n->region, .before = id, .loc = n->loc};
	bool all_const, same_text;
	ftl_val with;

	*out_done = false;
	if (!ftl_op_has(n->op, FTL_PURE) || ftl_pinned(p, v) || n->op == FTL_OP_const || n->op == FTL_OP_dims ||
	    !contents_known(s, v, &all_const))
		return FTL_OK;
	if (!all_const && !ftl_dtype_is_int(ftl_type_of(g, v)->dtype))
		return FTL_OK; /* truth values that depend on sizes */
	if (all_const)
		make_const(&b, v, &with);
	else if (make_dims(&b, v, &with) != FTL_OK)
		return FTL_OK;
	if (!ftl_types_agree(g, ftl_type_of(g, v), ftl_type_of(g, with), &same_text) || !ftl_pass_edit(p)) {
		ftl_erase_dead(p, ftl_value_get(g, with)->def);
		return FTL_OK;
	}
	p->stale |= !same_text;
	ftl_replace_uses(g, v, with);
	ftl_pass_done(p, all_const ? "constants" : "expressions", ftl_node_get(g, id)->loc, 1);
	*out_done = true;
	return FTL_OK;
}

/* A view of a dims node is what make_dims makes: leave it. */
static bool is_outcome(const ftl_graph *g, const ftl_node *n)
{
	return n->op == FTL_OP_reshape && ftl_def(g, n->in[0], FTL_OP_dims) && n->nin == 1;
}

/* Nobody reads it; its inputs come next. If a size comes from it, it stays for dce to judge. */
static void erase(shapes *s, ftl_node_id id)
{
	ftl_graph *g = s->p->graph;
	const ftl_node *n = ftl_node_get(g, id);

	for (uint32_t k = 0; k < n->nout; k++)
		if (ftl_use_count(g, n->out[k]))
			return;
	if (ftl_binds(g, n) || ftl_any_pinned(s->p, n)) {
		for (uint32_t k = 0; k < n->nin; k++)
			want(s, n->in[k]);
		return;
	}
	ftl_node_erase(g, id);
}

static ftl_status shape_region(shapes *s, ftl_region_id r)
{
	ftl_graph *g = s->p->graph;

	for (ftl_node_id id = ftl_region_get(g, r)->last, prev; id; id = prev) {
		bool stays = !ftl_op_has(ftl_node_get(g, id)->op, FTL_PURE);

		prev = ftl_node_get(g, id)->prev;
		for (uint32_t k = 0; k < ftl_node_get(g, id)->nout; k++) {
			ftl_val v = ftl_node_get(g, id)->out[k];
			bool done = false;

			if (!is_wanted(s, v))
				continue;
			if (!is_outcome(g, ftl_node_get(g, id)))
				FTL_TRY(replace(s, id, v, &done));
			stays |= !done;
		}
		if (!stays) {
			erase(s, id);
			continue;
		}
		for (uint32_t i = 0; i < ftl_node_get(g, id)->nregion; i++)
			FTL_TRY(shape_region(s, ftl_node_get(g, id)->regions[i]));
		for (uint32_t k = 0; k < ftl_node_get(g, id)->nin; k++)
			want(s, ftl_node_get(g, id)->in[k]);
	}
	return FTL_OK;
}

ftl_status ftl_pass_shape_arith(ftl_pass *p)
{
	shapes s = {.p = p};

	return shape_region(&s, p->graph->body);
}
