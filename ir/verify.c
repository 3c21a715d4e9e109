/* The verifier: is this graph what graph.h says a graph is?
 *
 * Looks at everything and trusts nothing: ids are checked before they are followed, lists before they are
 * walked. Linear in the size of the graph. What an op asks of its operands is inference's business. */
#include "ir/infer.h"

typedef struct verifier {
	const ftl_graph *g;
	ftl_diag *d;
	ftl_arena *scratch;
	bool *seen_node, *seen_region;
	bool *visible;    /* values that may be used here */
	uint32_t *nuse;   /* operands that name a value */
	uint32_t *offset; /* of a value's users in `users`, once counted */
	ftl_node_id *users;
	uint32_t noperands;
	ftl_node_id at; /* the node being looked at, for the message */
} verifier;

#define BAD(v, ...) return ftl_fail_node((v)->g, (v)->at, (v)->d, FTL_ERR_MODEL, __VA_ARGS__)

static ftl_status check_dims(verifier *v, const ftl_dim *dims, uint32_t n, bool none_allowed, const char *what)
{
	if (n && !dims)
		BAD(v, "%s: a list without elements", what);
	for (uint32_t i = 0; i < n; i++) {
		if (dims[i] > ftl_dim_count(v->g->st) || (dims[i] == FTL_DIM_NONE && !none_allowed))
			BAD(v, "%s: element %u is no size", what, i);
	}
	return FTL_OK;
}

static bool live_value(const ftl_graph *g, ftl_val v)
{
	const ftl_value *val;

	if (v == 0 || v >= g->values.n)
		return false;
	val = ftl_value_get(g, v);
	return val->def < g->nodes.n && (val->def == 0 || !ftl_node_get(g, val->def)->dead);
}

static ftl_status check_enc(verifier *v, const ftl_type *t, const char *what)
{
	const ftl_encoding *e = t->enc;

	if (e->kind != FTL_ENC_NONE && e->kind != FTL_ENC_QUANT && e->kind != FTL_ENC_SPARSE)
		BAD(v, "%s: unknown encoding", what);
	if (e->axis < -1 || e->axis >= (t->rank > 0 ? t->rank : 1))
		BAD(v, "%s: the encoding's axis %d is out of range for rank %d", what, e->axis, t->rank);
	if (e->block < 0 || e->n < 0 || e->m < 0 || e->r < 0 || e->c < 0)
		BAD(v, "%s: the encoding has a negative size", what);
	if (e->kind == FTL_ENC_QUANT && !live_value(v->g, e->scale))
		BAD(v, "%s: the encoding's scale does not exist", what);
	if (e->kind == FTL_ENC_QUANT && e->zero && !live_value(v->g, e->zero))
		BAD(v, "%s: the encoding's zero does not exist", what);
	return FTL_OK;
}

static ftl_status check_seq(verifier *v, const ftl_type *t, const char *what)
{
	const ftl_seq_type *s = t->seq;

	if (t->rank != 0 || t->enc)
		BAD(v, "%s: a sequence has no shape and no encoding of its own", what);
	if ((unsigned)s->kind >= FTL_SEQ_KINDS || s->rank < FTL_SEQ_EMPTY || s->rank > FTL_MAX_RANK)
		BAD(v, "%s: a sequence of unknown kind or of elements of rank %d", what, s->rank);
	for (int i = 0; i < s->rank; i++)
		if (s->dims[i] < -1)
			BAD(v, "%s: axis %d of the elements has size %lld", what, i, (long long)s->dims[i]);
	return FTL_OK;
}

static ftl_status check_value(verifier *v, ftl_val id, ftl_node_id def, ftl_region_id r, uint32_t index,
			      const char *what)
{
	const ftl_value *val;
	const ftl_type *t;
	int64_t c;

	if (id == 0 || id >= v->g->values.n)
		BAD(v, "%s %u: value %u does not exist", what, index, id);
	val = ftl_value_get(v->g, id);
	t = &val->type;
	if (v->visible[id] || val->def != def || val->index != index || val->region != r)
		BAD(v, "%s %u: value %u is defined elsewhere", what, index, id);
	v->visible[id] = true;
	if (t->dtype <= FTL_NO_DTYPE || t->dtype >= FTL_DTYPE_COUNT)
		BAD(v, "%s %u has no element type", what, index);
	if (t->rank < 0 || t->rank > FTL_MAX_RANK)
		BAD(v, "%s %u has rank %d", what, index, t->rank);
	FTL_TRY(check_dims(v, t->dims, (uint32_t)t->rank, false, what));
	for (int i = 0; i < t->rank; i++)
		if (ftl_dim_is_const(v->g->st, t->dims[i], &c) && c < 0)
			BAD(v, "%s %u: axis %d has size %lld", what, index, i, (long long)c);
	if (t->enc)
		FTL_TRY(check_enc(v, t, what));
	if (t->seq)
		FTL_TRY(check_seq(v, t, what));
	if (val->nsym > FTL_MAX_SYM)
		BAD(v, "%s %u tracks %u elements", what, index, val->nsym);
	return check_dims(v, val->sym, val->nsym, true, what);
}

static ftl_status check_attrs(verifier *v, const ftl_node *n)
{
	const ftl_op_info *op = ftl_op_get(n->op);

	if (op->nattr && !n->attrs)
		BAD(v, "has no attributes");
	for (unsigned i = 0; i < op->nattr; i++) {
		const ftl_attr_desc *d = &op->attr[i];
		const void *a = (const char *)n->attrs + d->offset;
		bool ok = true;

		switch (d->kind) {
		case FTL_ATTR_i64:
		case FTL_ATTR_f64:
		case FTL_ATTR_flag:
		case FTL_ATTR_blob: break;
		case FTL_ATTR_dtype: ok = (unsigned)*(const ftl_attr_dtype *)a < FTL_DTYPE_COUNT; break;
		case FTL_ATTR_str: ok = *(const ftl_attr_str *)a != NULL; break;
		case FTL_ATTR_ints: ok = ((const ftl_ints *)a)->n == 0 || ((const ftl_ints *)a)->v; break;
		case FTL_ATTR_floats: ok = ((const ftl_floats *)a)->n == 0 || ((const ftl_floats *)a)->v; break;
		case FTL_ATTR_strs: ok = ((const ftl_strs *)a)->n == 0 || ((const ftl_strs *)a)->v; break;
		case FTL_ATTR_dims:
			FTL_TRY(check_dims(v, ((const ftl_dims *)a)->v, ((const ftl_dims *)a)->n, true, d->name));
			break;
		}
		if (!ok)
			BAD(v, "attribute %s has no value", d->name);
	}
	return FTL_OK;
}

static ftl_status check_const(verifier *v, const ftl_node *n)
{
	const ftl_blob *b = FTL_ATTRS(n, const)->blob;
	const ftl_type *t = ftl_type_of(v->g, n->out[0]);
	int64_t dims[FTL_MAX_RANK];
	size_t bytes = ftl_dtype_bytes(t->dtype);

	if (!b)
		BAD(v, "has no contents");
	if (t->seq || !ftl_type_is_static(v->g, t, dims))
		BAD(v, "a constant is a tensor of constant sizes");
	for (int i = 0; i < t->rank; i++)
		if (__builtin_mul_overflow(bytes, (size_t)dims[i], &bytes))
			BAD(v, "is too large");
	if (b->bytes != bytes && !(t->enc && t->enc->kind == FTL_ENC_SPARSE)) /* which may store its elements packed */
		BAD(v, "its type needs %zu bytes, it has %zu", bytes, b->bytes);
	return FTL_OK;
}

static ftl_status check_operands(verifier *v, const ftl_node *n)
{
	const ftl_op_info *op = ftl_op_get(n->op);

	if (n->nin < (uint32_t)op->min_in || (op->max_in >= 0 && n->nin > (uint32_t)op->max_in))
		BAD(v, "%u is not a number of inputs it can take", n->nin);
	if (op->nout >= 0 && n->nout != (uint32_t)op->nout)
		BAD(v, "has %u outputs instead of %d", n->nout, op->nout);
	if ((n->nregion != 0) != ((op->traits & FTL_REGIONS) != 0))
		BAD(v, n->nregion ? "owns regions" : "has no region");
	for (uint32_t k = 0; k < n->nin; k++) {
		ftl_val in = n->in[k];

		if (in == 0) {
			/* the first two of a loop are optional in spite of their place */
			if (n->op == FTL_OP_yield || (k < (uint32_t)op->min_in && !(op->traits & FTL_REGIONS)))
				BAD(v, "input %u is missing", k);
			continue;
		}
		if (in >= v->g->values.n || !v->visible[in])
			BAD(v, "input %u: value %u is not defined before it", k, in);
		v->nuse[in]++;
		v->noperands++;
	}
	return FTL_OK;
}

static ftl_status check_region(verifier *v, ftl_region_id r, ftl_node_id owner, int depth);

static ftl_status check_node(verifier *v, ftl_node_id id, ftl_region_id r, ftl_node_id prev, int depth)
{
	const ftl_node *n = ftl_node_get(v->g, id);

	v->at = id;
	if (n->op <= FTL_OP_NONE || n->op >= FTL_OP_COUNT)
		return ftl_fail(v->d, FTL_ERR_MODEL, "node %u is no op", id);
	if (v->seen_node[id])
		BAD(v, "is there twice");
	v->seen_node[id] = true;
	if (n->dead)
		BAD(v, "was erased, but is still linked");
	if (n->region != r || n->prev != prev || n->next >= v->g->nodes.n)
		BAD(v, "is linked wrongly");
	if (!n->loc)
		BAD(v, "has no location");
	FTL_TRY(check_attrs(v, n));
	FTL_TRY(check_operands(v, n));
	for (uint32_t i = 0; i < n->nregion; i++)
		FTL_TRY(check_region(v, n->regions[i], id, depth + 1));
	v->at = id;
	for (uint32_t i = 0; i < n->nout; i++)
		FTL_TRY(check_value(v, n->out[i], id, r, i, "output"));
	if (n->op == FTL_OP_const)
		FTL_TRY(check_const(v, n));
	return FTL_OK;
}

/* What a region defines is invisible outside. */
static void hide(verifier *v, const ftl_region *reg, ftl_region_id r)
{
	for (uint32_t i = 0; i < reg->params.n; i++)
		v->visible[reg->params.v[i]] = false;
	FTL_FOREACH_NODE_IN(v->g, r, id)
		for (uint32_t i = 0; i < ftl_node_get(v->g, id)->nout; i++)
			v->visible[ftl_node_get(v->g, id)->out[i]] = false;
}

static ftl_status check_region(verifier *v, ftl_region_id r, ftl_node_id owner, int depth)
{
	const ftl_region *reg;
	ftl_node_id prev = 0;

	if (depth > FTL_MAX_NEST)
		BAD(v, "more than %d regions within regions", FTL_MAX_NEST);
	if (r == 0 || r >= v->g->regions.n || v->seen_region[r])
		BAD(v, "region %u does not exist or belongs to another node", r);
	v->seen_region[r] = true;
	reg = ftl_region_get(v->g, r);
	if (reg->owner != owner)
		BAD(v, "region %u belongs to another node", r);
	for (uint32_t i = 0; i < reg->params.n; i++)
		FTL_TRY(check_value(v, reg->params.v[i], 0, r, i, "parameter"));
	if (reg->first >= v->g->nodes.n)
		BAD(v, "its region starts nowhere");
	for (ftl_node_id id = reg->first; id; prev = id, id = ftl_node_get(v->g, id)->next) {
		FTL_TRY(check_node(v, id, r, prev, depth));
		if ((ftl_node_get(v->g, id)->op == FTL_OP_yield) != (id == reg->last))
			BAD(v, "a region ends in its only yield, and not in this");
	}
	v->at = owner;
	if (prev == 0 || prev != reg->last) {
		if (!owner)
			return ftl_fail(v->d, FTL_ERR_MODEL, "%s%sthe graph returns nothing",
					v->g->file ? v->g->file : "", v->g->file ? ": " : "");
		BAD(v, "its region has no yield");
	}
	if (owner)
		hide(v, reg, r);
	return FTL_OK;
}

/* Second walk: who uses what, in node order; nuse becomes the write position. */
static void collect_users(verifier *v, ftl_region_id r)
{
	FTL_FOREACH_NODE_IN(v->g, r, id) {
		const ftl_node *n = ftl_node_get(v->g, id);

		for (uint32_t k = 0; k < n->nin; k++)
			if (n->in[k])
				v->users[v->offset[n->in[k]] + v->nuse[n->in[k]]++] = id;
		for (uint32_t i = 0; i < n->nregion; i++)
			collect_users(v, n->regions[i]);
	}
}

/* A value's list and the operands that name it must be the same bag of nodes. */
static ftl_status check_uses(verifier *v)
{
	const ftl_graph *g = v->g;
	uint32_t *tally = FTL_NEW_N(v->scratch, uint32_t, g->nodes.n);

	v->users = FTL_NEW_N(v->scratch, ftl_node_id, (size_t)v->noperands + 1);
	for (uint32_t i = 0, at = 0; i < g->values.n; i++) {
		v->offset[i] = at;
		at += v->nuse[i];
		if (v->nuse[i] != g->values.v[i].uses.n) {
			v->at = g->values.v[i].def;
			if (!v->at && i)
				return ftl_fail(v->d, FTL_ERR_MODEL,
						"parameter %u (\"%s\") has %u uses, its list says %u",
						g->values.v[i].index, g->values.v[i].name ? g->values.v[i].name : "",
						v->nuse[i], g->values.v[i].uses.n);
			BAD(v, "output %u has %u uses, its list says %u", g->values.v[i].index, v->nuse[i],
			    g->values.v[i].uses.n);
		}
		v->nuse[i] = 0;
	}
	collect_users(v, g->body);
	for (uint32_t i = 0; i < g->values.n; i++) {
		const ftl_value *val = &g->values.v[i];
		bool same = true;

		for (uint32_t k = 0; k < val->uses.n; k++)
			tally[v->users[v->offset[i] + k]]++;
		for (uint32_t k = 0; k < val->uses.n; k++)
			same &= val->uses.v[k] < g->nodes.n && tally[val->uses.v[k]]-- != 0;
		for (uint32_t k = 0; k < val->uses.n; k++)
			tally[v->users[v->offset[i] + k]] = 0;
		if (!same) {
			v->at = val->def;
			BAD(v, "the list of uses of output %u names other nodes than use it", val->index);
		}
	}
	return FTL_OK;
}

static ftl_status verify(verifier *v)
{
	const ftl_graph *g = v->g;
	size_t nv = g->values.n;

	v->seen_node = FTL_NEW_N(v->scratch, bool, g->nodes.n);
	v->seen_region = FTL_NEW_N(v->scratch, bool, g->regions.n);
	v->visible = FTL_NEW_N(v->scratch, bool, nv);
	v->nuse = FTL_NEW_N(v->scratch, uint32_t, nv);
	v->offset = FTL_NEW_N(v->scratch, uint32_t, nv);
	FTL_TRY(check_region(v, g->body, 0, 0));
	if (g->out_names.n > ftl_node_get(g, ftl_region_get(g, g->body)->last)->nin)
		return ftl_fail(v->d, FTL_ERR_MODEL, "more result names than results");
	return check_uses(v);
}

/* Scratch memory is this function's own, so that verifying between passes does not make the graph grow. */
typedef struct scratch {
	ftl_arena arena;
	ftl_landing landing;
} scratch;

ftl_status ftl_verify(const ftl_graph *g, ftl_diag *d)
{
	scratch *s = FTL_NEW(g->arena, scratch); /* not on the stack: it changes between setjmp and longjmp */
	verifier v = {.g = g, .d = d, .scratch = &s->arena};
	ftl_status_code code;

	ftl_arena_init(&s->arena, g->arena->mem, &s->landing, 0);
	if (setjmp(s->landing.jump)) {
		ftl_arena_free(&s->arena);
		return ftl_fail(d, (ftl_status_code)s->landing.status, "out of memory while verifying");
	}
	code = verify(&v);
	ftl_arena_free(&s->arena);
	return code;
}
