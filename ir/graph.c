/* The graph: regions, values, nodes, the builder and the edits passes make.
 *
 * Entry 0 of values, nodes and regions is a dummy, so that id 0 can mean "none". Ids are only appended.
 * Every edit keeps uses lists exact: one entry per operand. Erasing marks a node dead and unlinks it;
 * its memory stays in the arena until the graph goes. Types are not looked at here. */
#include "ir/graph.h"

#include <assert.h>
#include <stdio.h>

#include "ir/infer.h"
#include "text.h"

#define LOC_MAX 256 /* bytes of a merged location */

ftl_graph *ftl_graph_new(ftl_arena *arena, const char *name)
{
	ftl_graph *g = FTL_NEW(arena, ftl_graph);

	g->arena = arena;
	g->st = ftl_symtab_new(arena);
	g->name = ftl_arena_str(arena, name ? name : "main");
	ftl_vec_push(arena, &g->values, ((ftl_value){0}));
	ftl_vec_push(arena, &g->nodes, ((ftl_node){.dead = true, .loc = ""}));
	ftl_vec_push(arena, &g->regions, ((ftl_region){0}));
	g->body = ftl_region_new(g, 0);
	return g;
}

ftl_region_id ftl_region_new(ftl_graph *g, ftl_node_id owner)
{
	ftl_region_id id = g->regions.n;

	ftl_vec_push(g->arena, &g->regions, ((ftl_region){.owner = owner}));
	if (owner) {
		ftl_node *n = ftl_node_get(g, owner);
		ftl_region_id *list = FTL_NEW_N(g->arena, ftl_region_id, (size_t)n->nregion + 1);

		if (n->nregion)
			memcpy(list, n->regions, n->nregion * sizeof *list);
		list[n->nregion++] = id;
		n->regions = list;
	}
	return id;
}

static bool value_alive(const ftl_graph *g, ftl_val v)
{
	const ftl_value *val = ftl_value_get(g, v);
	ftl_node_id n = val->def ? val->def : ftl_region_get(g, val->region)->owner;

	return n == 0 || !ftl_node_get(g, n)->dead;
}

ftl_val ftl_sym_binder(const ftl_graph *g, ftl_dim sym)
{
	ftl_val v = sym < g->binders.n ? g->binders.v[sym] : 0;

	return v && value_alive(g, v) ? v : 0;
}

void ftl_sym_bind(ftl_graph *g, ftl_dim sym, ftl_val v)
{
	while (g->binders.n <= sym)
		ftl_vec_push(g->arena, &g->binders, 0);
	g->binders.v[sym] = v;
}

void ftl_param_bind(ftl_graph *g, ftl_val v)
{
	const ftl_type *t = ftl_type_of(g, v);

	for (int i = 0; i < t->rank; i++) {
		ftl_dim d = t->dims[i];

		if (d && ftl_dim_get(g->st, d)->kind == FTL_DIM_SYM && !ftl_sym_binder(g, d))
			ftl_sym_bind(g, d, v);
	}
}

ftl_val ftl_param_new(ftl_graph *g, ftl_region_id r, ftl_type type, const char *name)
{
	ftl_val id = g->values.n;
	ftl_region *reg = ftl_region_get(g, r);

	ftl_vec_push(g->arena, &g->values,
		     ((ftl_value){.type = type,
				  .region = r,
				  .index = reg->params.n,
				  .name = name ? ftl_arena_str(g->arena, name) : NULL}));
	ftl_vec_push(g->arena, &reg->params, id);
	ftl_param_bind(g, id);
	return id;
}

ftl_type ftl_type_make(ftl_graph *g, ftl_dtype t, int rank, const ftl_dim *dims)
{
	assert(rank >= 0 && rank <= FTL_MAX_RANK);
	ftl_type type = {.dtype = t, .rank = (int8_t)rank};

	type.dims = rank ? ftl_arena_dup(g->arena, dims, (size_t)rank * sizeof *dims) : NULL;
	return type;
}

ftl_type ftl_type_make_const(ftl_graph *g, ftl_dtype t, int rank, const int64_t *dims)
{
	ftl_dim d[FTL_MAX_RANK];

	assert(rank >= 0 && rank <= FTL_MAX_RANK);
	for (int i = 0; i < rank; i++)
		d[i] = ftl_dim_const(g->st, dims[i]);
	return ftl_type_make(g, t, rank, d);
}

/* ---- uses ---- */
static void use_add(ftl_graph *g, ftl_val v, ftl_node_id n)
{
	if (v)
		ftl_vec_push(g->arena, &ftl_value_get(g, v)->uses, n);
}

/* Searched from both ends, order kept: passes visit the users of a value forwards or backwards, and both ways
 * stay linear. Dropping at the front moves the start of the list. */
static void use_drop(ftl_graph *g, ftl_val v, ftl_node_id n)
{
	ftl_value *val = ftl_value_get(g, v);
	ftl_node_id *u = val->uses.v;
	uint32_t last = val->uses.n - 1;

	if (!v)
		return;
	for (uint32_t i = 0; i < val->uses.n; i++) {
		if (u[last - i] == n) {
			memmove(u + last - i, u + last - i + 1, i * sizeof *u);
			val->uses.n--;
			return;
		}
		if (u[i] == n) {
			memmove(u + 1, u, i * sizeof *u);
			val->uses.v++;
			val->uses.n--;
			val->uses.cap--;
			return;
		}
	}
	assert(!"use list does not know this use");
}

/* ---- node lists ---- */
static void link_before(ftl_graph *g, ftl_region_id r, ftl_node_id id, ftl_node_id before)
{
	ftl_region *reg = ftl_region_get(g, r);
	ftl_node *n = ftl_node_get(g, id);
	ftl_node_id prev = before ? ftl_node_get(g, before)->prev : reg->last;

	assert(!before || ftl_node_get(g, before)->region == r);
	n->region = r;
	n->prev = prev;
	n->next = before;
	*(prev ? &ftl_node_get(g, prev)->next : &reg->first) = id;
	*(before ? &ftl_node_get(g, before)->prev : &reg->last) = id;
}

static void unlink_node(ftl_graph *g, ftl_node_id id)
{
	ftl_node *n = ftl_node_get(g, id);
	ftl_region *reg = ftl_region_get(g, n->region);

	*(n->prev ? &ftl_node_get(g, n->prev)->next : &reg->first) = n->next;
	*(n->next ? &ftl_node_get(g, n->next)->prev : &reg->last) = n->prev;
	n->prev = n->next = 0;
}

/* ---- builder ---- */
ftl_node_id ftl_node_new(ftl_builder *b, ftl_op op, const ftl_val *in, uint32_t nin, void *attrs, uint32_t nout)
{
	ftl_graph *g = b->g;
	ftl_node_id id = g->nodes.n, before = b->before;
	ftl_node n = {.op = op, .nin = nin, .nout = nout};

	n.in = nin ? ftl_arena_dup(g->arena, in, nin * sizeof *in) : NULL;
	n.out = nout ? FTL_NEW_N(g->arena, ftl_val, nout) : NULL;
	n.attrs = attrs ? attrs : ftl_attrs_default(g, op);
	n.loc = b->loc ? ftl_arena_str(g->arena, b->loc) : "";
	for (uint32_t i = 0; i < nout; i++) {
		n.out[i] = g->values.n;
		ftl_vec_push(g->arena, &g->values, ((ftl_value){.def = id, .region = b->region, .index = i}));
	}
	ftl_vec_push(g->arena, &g->nodes, n);
	if (!before && op != FTL_OP_yield) {
		ftl_node_id last = ftl_region_get(g, b->region)->last;

		if (last && ftl_node_get(g, last)->op == FTL_OP_yield)
			before = last;
	}
	link_before(g, b->region, id, before);
	for (uint32_t i = 0; i < nin; i++)
		use_add(g, n.in[i], id);
	return id;
}

ftl_status ftl_build(ftl_builder *b, ftl_op op, const ftl_val *in, uint32_t nin, void *attrs, uint32_t nout,
		     ftl_val *out_v)
{
	ftl_node_id id = ftl_node_new(b, op, in, nin, attrs, nout);
	ftl_status_code s = ftl_infer_node(b->g, id, b->diag);

	if (s != FTL_OK) { /* leave no untyped node behind */
		ftl_node_erase(b->g, id);
		return s;
	}
	if (nout)
		memcpy(out_v, ftl_node_get(b->g, id)->out, nout * sizeof *out_v);
	return FTL_OK;
}

ftl_status ftl_build1(ftl_builder *b, ftl_op op, const ftl_val *in, uint32_t nin, void *attrs, ftl_val *out_v)
{
	return ftl_build(b, op, in, nin, attrs, 1, out_v);
}

ftl_node_id ftl_build_yield(ftl_builder *b, const ftl_val *in, uint32_t nin)
{
	ftl_builder end = *b;

	end.before = 0;
	assert(!ftl_region_get(b->g, b->region)->last ||
	       ftl_node_get(b->g, ftl_region_get(b->g, b->region)->last)->op != FTL_OP_yield);
	return ftl_node_new(&end, FTL_OP_yield, in, nin, NULL, 0);
}

/* ---- edits ---- */
void ftl_node_set_input(ftl_graph *g, ftl_node_id n, uint32_t k, ftl_val v)
{
	ftl_node *node = ftl_node_get(g, n);

	assert(k < node->nin);
	if (node->in[k] == v)
		return;
	use_drop(g, node->in[k], n);
	node->in[k] = v;
	use_add(g, v, n);
}

void ftl_replace_uses(ftl_graph *g, ftl_val old, ftl_val with)
{
	ftl_value *from = ftl_value_get(g, old), *to = ftl_value_get(g, with);

	if (old == with)
		return;
	for (uint32_t i = 0; i < from->uses.n; i++) {
		ftl_node *n = ftl_node_get(g, from->uses.v[i]);

		/* all operands of a node at once; its further entries usually follow right after */
		if (i == 0 || from->uses.v[i] != from->uses.v[i - 1])
			for (uint32_t k = 0; k < n->nin; k++)
				if (n->in[k] == old)
					n->in[k] = with;
		ftl_vec_push(g->arena, &to->uses, from->uses.v[i]);
	}
	from->uses.n = 0;
	if (from->def && from->name) { /* a graph input keeps its name */
		if (!to->name)
			to->name = from->name;
		from->name = NULL;
	}
}

void ftl_node_erase(ftl_graph *g, ftl_node_id id)
{
	ftl_node *n = ftl_node_get(g, id);

	if (n->dead)
		return;
	for (uint32_t r = 0; r < n->nregion; r++) {
		ftl_region *reg = ftl_region_get(g, n->regions[r]);

		while (reg->last) /* from the end: users go before what they use */
			ftl_node_erase(g, reg->last);
	}
	for (uint32_t i = 0; i < n->nout; i++)
		assert(ftl_use_count(g, n->out[i]) == 0);
	for (uint32_t i = 0; i < n->nin; i++)
		use_drop(g, n->in[i], id);
	n->nin = 0;
	n->dead = true;
	unlink_node(g, id);
}

void ftl_node_move_before(ftl_graph *g, ftl_node_id n, ftl_node_id before)
{
	ftl_region_id r = ftl_node_get(g, before)->region;
	const ftl_node *node = ftl_node_get(g, n);

	if (n == before)
		return;
	unlink_node(g, n);
	link_before(g, r, n, before);
	for (uint32_t i = 0; i < node->nout; i++)
		ftl_value_get(g, node->out[i])->region = r;
}

static bool loc_has(const char *loc, const char *part, size_t n)
{
	for (const char *p = loc; *p;) {
		size_t k = strcspn(p, "+");

		if (k == n && memcmp(p, part, n) == 0)
			return true;
		p += k + (p[k] == '+');
	}
	return false;
}

ftl_loc ftl_loc_merge(ftl_graph *g, ftl_loc a, ftl_loc b)
{
	char buf[LOC_MAX + 8];
	size_t n = strlen(a);

	if (!*b || strcmp(a, b) == 0)
		return a;
	if (!*a)
		return b;
	if (n > LOC_MAX)
		return a;
	memcpy(buf, a, n + 1);
	for (const char *p = b; *p;) {
		size_t k = strcspn(p, "+");

		if (k && !loc_has(buf, p, k)) {
			if (n + 1 + k > LOC_MAX) {
				if (!loc_has(buf, "...", 3))
					memcpy(buf + n, "+...", 5);
				break;
			}
			buf[n++] = '+';
			memcpy(buf + n, p, k);
			buf[n += k] = 0;
		}
		p += k + (p[k] == '+');
	}
	return strcmp(buf, a) == 0 ? a : ftl_arena_str(g->arena, buf);
}

/* ---- questions ---- */
ftl_node_id ftl_def(const ftl_graph *g, ftl_val v, ftl_op op)
{
	ftl_node_id n = ftl_value_get(g, v)->def;

	return n && ftl_node_get(g, n)->op == op ? n : 0;
}

bool ftl_is_result(const ftl_graph *g, ftl_val v)
{
	const ftl_value *val = ftl_value_get(g, v);

	for (uint32_t i = 0; i < val->uses.n; i++)
		if (ftl_node_get(g, val->uses.v[i])->op == FTL_OP_yield)
			return true;
	return false;
}

static bool enc_eq(const ftl_encoding *a, const ftl_encoding *b)
{
	if (a == b || !a || !b)
		return a == b;
	return a->kind == b->kind && a->axis == b->axis && a->block == b->block && a->scale == b->scale &&
	       a->zero == b->zero && a->n == b->n && a->m == b->m && a->r == b->r && a->c == b->c;
}

bool ftl_type_eq(const ftl_type *a, const ftl_type *b)
{
	return a->dtype == b->dtype && a->rank == b->rank &&
	       (a->rank <= 0 || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0) &&
	       enc_eq(a->enc, b->enc) && ftl_seq_eq(a->seq, b->seq);
}

bool ftl_type_is_static(const ftl_graph *g, const ftl_type *t, int64_t *out_dims)
{
	for (int i = 0; i < t->rank; i++) {
		int64_t v;

		if (!t->dims[i] || !ftl_dim_is_const(g->st, t->dims[i], &v))
			return false;
		if (out_dims)
			out_dims[i] = v;
	}
	return true;
}

ftl_dim ftl_type_numel(const ftl_graph *g, const ftl_type *t)
{
	ftl_dim n = ftl_dim_const(g->st, 1);

	for (int i = 0; i < t->rank; i++)
		n = ftl_dim_mul(g->st, n, t->dims[i]);
	return n;
}

ftl_status ftl_fail_node(const ftl_graph *g, ftl_node_id n, ftl_diag *d, ftl_status_code code, const char *fmt, ...)
{
	char text[768];
	const ftl_node *node = ftl_node_get(g, n);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return ftl_fail(d, code, "%s%snode \"%.160s\" (%s): %s", g->file ? g->file : "", g->file ? ": " : "", node->loc,
			ftl_op_get(node->op)->name, text);
}
