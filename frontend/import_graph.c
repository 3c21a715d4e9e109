/* Graphs and nodes: names to values, order, dispatch through the table.
 *
 * Nodes may come in any order; they are visited depth-first from the first on, so a sorted list keeps its order and the
 * work is linear. A name is looked up in its own graph, then in those around (subgraphs capture by name);
 * initializers count as defined before all nodes. */
#include <stdio.h>

#include "imp.h"

#define MAX_NESTING 200

const imp_row ftl_imp_rows[] = {
#define IMPORT(domain, name, since, until, op, attrs) {domain, name, since, until, FTL_OP_##op, attrs, NULL},
#define IMPORT_FN(domain, name, since, until, op, fn) {domain, name, since, until, FTL_OP_##op, NULL, ftl_imp_do_##fn},
#include "import_table.def"
};
const size_t ftl_imp_nrows = FTL_COUNT(ftl_imp_rows);

/* ---- scopes ---- */

imp_scope *ftl_imp_scope_push(imp *m, bool sees_outer)
{
	imp_scope *before = m->scope, *s = FTL_NEW(m->tmp, imp_scope);

	s->names = ftl_map_new(m->tmp);
	s->parent = sees_outer ? before : NULL;
	m->scope = s;
	return before;
}

void ftl_imp_scope_pop(imp *m, imp_scope *before)
{
	m->scope = before;
}

const imp_bound *ftl_imp_lookup(imp *m, const char *name)
{
	for (const imp_scope *s = m->scope; s; s = s->parent) {
		const imp_bound *b = ftl_map_get(s->names, name);
		if (b)
			return b;
	}
	return NULL;
}

void ftl_imp_bind(imp *m, const char *name, imp_bound b)
{
	imp_bound *copy;

	if (m->failed)
		return;
	if (ftl_map_get(m->scope->names, name)) {
		bad_model(m, "name \"%s\" is defined twice", name);
		return;
	}
	copy = ftl_arena_dup(m->tmp, &b, sizeof b);
	ftl_map_set(m->scope->names, name, copy);
	if (b.v && !ftl_value_get(m->g, b.v)->name)
		ftl_value_get(m->g, b.v)->name = ftl_arena_str(m->arena, name);
}

const imp_bound *ftl_imp_result(imp *m, const Onnx__GraphProto *gp, size_t k)
{
	const char *name = gp->output[k]->name ? gp->output[k]->name : "";
	const imp_bound *b = m->failed ? NULL : ftl_imp_lookup(m, name);

	if (!b && !m->failed)
		bad_model(m, "graph output \"%s\" is not defined by any node, input or initializer", name);
	return b;
}

/* ---- order ---- */

/* Which node of this graph makes a name; index + 1 behind the pointer. */
typedef struct order {
	imp *m;
	ftl_map *maker;
	size_t n;
	Onnx__NodeProto **node;
	FTL_VEC(uint32_t) deps; /* of the node being looked at */
} order;

typedef struct hidden {
	ftl_map *names;
	const struct hidden *outer;
} hidden;

static bool is_hidden(const hidden *h, const char *name)
{
	for (; h; h = h->outer)
		if (ftl_map_get(h->names, name))
			return true;
	return false;
}

static void add_dep(order *o, const hidden *h, const char *name)
{
	uint32_t *at;

	if (!name || !*name || is_hidden(h, name))
		return;
	at = ftl_map_get(o->maker, name);
	if (at)
		ftl_vec_push(o->m->tmp, &o->deps, *at);
}

static void node_deps(order *o, const hidden *h, const Onnx__NodeProto *n);

/* Names a subgraph uses and does not define itself. */
static void graph_deps(order *o, const hidden *outer, const Onnx__GraphProto *gp)
{
	hidden h = {ftl_map_new(o->m->tmp), outer};

	for (size_t i = 0; i < gp->n_input; i++)
		if (gp->input[i]->name)
			ftl_map_set(h.names, gp->input[i]->name, o);
	for (size_t i = 0; i < gp->n_initializer; i++)
		if (gp->initializer[i]->name)
			ftl_map_set(h.names, gp->initializer[i]->name, o);
	for (size_t i = 0; i < gp->n_node; i++)
		for (size_t k = 0; k < gp->node[i]->n_output; k++)
			ftl_map_set(h.names, gp->node[i]->output[k], o);
	for (size_t i = 0; i < gp->n_node; i++)
		node_deps(o, &h, gp->node[i]);
	for (size_t i = 0; i < gp->n_output; i++)
		add_dep(o, &h, gp->output[i]->name);
}

static void node_deps(order *o, const hidden *h, const Onnx__NodeProto *n)
{
	for (size_t i = 0; i < n->n_input; i++)
		add_dep(o, h, n->input[i]);
	for (size_t i = 0; i < n->n_attribute; i++) {
		if (n->attribute[i]->g)
			graph_deps(o, h, n->attribute[i]->g);
		for (size_t k = 0; k < n->attribute[i]->n_graphs; k++)
			graph_deps(o, h, n->attribute[i]->graphs[k]);
	}
}

/* ---- one node ---- */

static const char *domain_of(const Onnx__NodeProto *n)
{
	return !n->domain || !strcmp(n->domain, "ai.onnx") ? "" : n->domain;
}

int64_t ftl_imp_opset(const imp *m, const char *domain)
{
	const int64_t *v = NULL;

	if (m->frame)
		v = ftl_map_get(m->frame->opsets, domain);
	if (!v)
		v = ftl_map_get(m->opsets, domain);
	return v ? *v : 1;
}

const imp_row *ftl_imp_row(const imp *m, const char *domain, const char *op, int64_t opset, bool *out_known)
{
	char key[256];
	const imp_row *end = ftl_imp_rows + ftl_imp_nrows;
	const imp_row *first;

	*out_known = false;
	if ((size_t)snprintf(key, sizeof key, "%s::%s", domain, op) >= sizeof key)
		return NULL;
	first = ftl_map_get(m->rows, key);
	/* Rows of one op stand together. */
	for (const imp_row *r = first; r && r < end && !strcmp(r->name, op) && !strcmp(r->domain, domain); r++) {
		*out_known = true;
		if (opset >= r->since && opset <= r->until)
			return r;
	}
	return NULL;
}

static bool entry(const char **p, char *onnx, char *ours, size_t cap, bool *axis, const char **def)
{
	const char *s = *p, *end = strchr(s, ',');
	size_t n;

	if (!*s)
		return false;
	if (!end)
		end = s + strlen(s);
	n = strcspn(s, "~:=,");
	memcpy(onnx, s, n < cap ? n : cap - 1);
	onnx[n < cap ? n : cap - 1] = 0;
	s += n;
	*axis = *s == '~';
	s += *axis;
	if (*s == ':') {
		n = strcspn(++s, "=,");
		memcpy(ours, s, n < cap ? n : cap - 1);
		ours[n < cap ? n : cap - 1] = 0;
		s += n;
	} else {
		memcpy(ours, onnx, cap);
	}
	*def = *s == '=' ? s + 1 : NULL;
	*p = *end ? end + 1 : end;
	return true;
}

static int64_t number(const char *s)
{
	int64_t v = 0;
	bool neg = *s == '-';

	for (s += neg; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (*s - '0');
	return neg ? -v : v;
}

void ftl_imp_simple(imp *m, const imp_row *row)
{
	const ftl_op_info *info = ftl_op_get(row->op);
	char *attrs = ftl_attrs_default(m->g, row->op);
	const char *p = row->attrs, *def;
	char onnx[40], ours[40];
	ftl_val in[8], out[8];
	uint32_t nin = m->cur->nin, nout = info->nout < 0 ? m->cur->nout : (uint32_t)info->nout;
	const ftl_val *ins = in;
	bool axis;

	while (nin > 0 && !m->cur->in[nin - 1].v && !m->cur->in[nin - 1].seq)
		nin--;
	if (nin < (uint32_t)info->min_in || (info->max_in >= 0 && nin > (uint32_t)info->max_in)) {
		bad_model(m, "has %u inputs, needs %s%d", nin,
			  info->max_in == info->min_in   ? ""
			  : nin < (uint32_t)info->min_in ? "at least "
							 : "at most ",
			  nin < (uint32_t)info->min_in ? info->min_in : info->max_in);
		return;
	}
	if (nin > FTL_COUNT(in))
		ins = FTL_NEW_N(m->tmp, ftl_val, nin);
	for (uint32_t i = 0; i < nin; i++)
		((ftl_val *)ins)[i] = i < (uint32_t)info->min_in ? ftl_imp_need(m, i) : ftl_imp_in(m, i);
	while (!m->failed && entry(&p, onnx, ours, sizeof onnx, &axis, &def)) {
		const ftl_attr_desc *a = NULL;
		for (int i = 0; i < info->nattr; i++)
			if (!strcmp(info->attr[i].name, ours))
				a = &info->attr[i];
		if (!a || (!ftl_imp_has(m, onnx) && !def))
			continue;
		switch (a->kind) {
		case FTL_ATTR_i64: {
			int64_t v = ftl_imp_i(m, onnx, def ? number(def) : 0);
			*(int64_t *)(attrs + a->offset) = axis ? ftl_imp_axis(m, v, rank_of(m, ins[0])) : v;
			break;
		}
		case FTL_ATTR_flag:
			*(bool *)(attrs + a->offset) = ftl_imp_i(m, onnx, def ? number(def) : 0) != 0;
			break;
		case FTL_ATTR_f64: *(double *)(attrs + a->offset) = ftl_imp_f(m, onnx, 0); break;
		case FTL_ATTR_str: *(const char **)(attrs + a->offset) = ftl_imp_s(m, onnx, ""); break;
		case FTL_ATTR_dtype: *(ftl_dtype *)(attrs + a->offset) = ftl_imp_dtype(m, onnx, FTL_NO_DTYPE); break;
		case FTL_ATTR_ints: *(ftl_ints *)(attrs + a->offset) = ftl_imp_ints(m, onnx); break;
		case FTL_ATTR_floats: *(ftl_floats *)(attrs + a->offset) = ftl_imp_floats(m, onnx); break;
		default: break;
		}
	}
	if (nout > FTL_COUNT(out)) {
		bad_model(m, "has too many outputs");
		return;
	}
	ftl_imp_ops(m, row->op, attrs, nin, ins, nout, out);
	for (uint32_t i = 0; i < nout; i++)
		ftl_imp_out(m, i, out[i]);
}

static ftl_loc location(imp *m, const Onnx__NodeProto *n, size_t index)
{
	const char *in = m->frame ? m->frame->loc : NULL;
	const char *name = n->name && *n->name
				   ? n->name
				   : ftl_arena_printf(m->arena, "%s_%zu", n->op_type ? n->op_type : "", index);

	return in ? ftl_arena_printf(m->arena, "%s/%s", in, name) : name;
}

static void bind_inputs(imp *m, imp_cur *c)
{
	for (uint32_t i = 0; i < c->nin && !m->failed; i++) {
		const char *name = c->node->input[i];
		const imp_bound *b;
		if (!*name)
			continue;
		b = ftl_imp_lookup(m, name);
		if (!b)
			bad_model(m, "input %u, \"%s\", is not defined by any node, input or initializer", i, name);
		else
			c->in[i] = *b;
	}
}

static void import_node(imp *m, const Onnx__NodeProto *n, size_t index)
{
	imp_cur *before = m->cur, c = {.node = n};
	ftl_loc loc_before = m->b.loc;
	const Onnx__FunctionProto *fn = ftl_imp_function(m, n);
	bool known = false;

	c.loc = location(m, n, index);
	c.opset = ftl_imp_opset(m, domain_of(n));
	m->cur = &c;
	m->b.loc = c.loc;
	if (++m->depth > MAX_NESTING) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "subgraphs and functions are nested deeper than %d", MAX_NESTING);
	} else if (n->n_input > IMP_MAX_IN || n->n_output > IMP_MAX_IN) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "has more than %d inputs or outputs", IMP_MAX_IN);
	} else {
		c.nin = (uint32_t)n->n_input;
		c.nout = (uint32_t)n->n_output;
		c.in = FTL_NEW_N(m->tmp, imp_bound, c.nin + 1);
		c.out = FTL_NEW_N(m->tmp, imp_bound, c.nout + 1);
		bind_inputs(m, &c);
	}
	if (!m->failed && fn) {
		ftl_imp_call(m, fn);
	} else if (!m->failed) {
		ftl_imp_check(m);
		c.row = ftl_imp_row(m, domain_of(n), n->op_type ? n->op_type : "", c.opset, &known);
		if (m->failed)
			c.row = NULL;
		else if (!c.row)
			unsupported(m, known ? "is not supported at this opset; convert the model to a newer one"
					     : "is not supported; replace it by standard operators");
		else if (c.row->fn)
			c.row->fn(m);
		else
			ftl_imp_simple(m, c.row);
	}
	for (uint32_t i = 0; i < c.nout && !m->failed; i++)
		if (n->output[i][0] && (c.out[i].v || c.out[i].seq || c.out[i].none))
			ftl_imp_bind(m, n->output[i], c.out[i]);
	m->depth--;
	m->cur = before;
	m->b.loc = loc_before;
}

/* ---- a list of nodes ---- */

static bool is_constant(const Onnx__NodeProto *n)
{
	return n->op_type && !strcmp(n->op_type, "Constant") && n->n_output == 1;
}

/* A node that reads a name of the graph around and makes the same name waits for itself too. */
static void report_cycle(imp *m, const Onnx__NodeProto *n, size_t index)
{
	for (size_t k = 0; k < n->n_output; k++) {
		if (n->output[k][0] && ftl_imp_lookup(m, n->output[k])) {
			bad_model(m, "node \"%s\" redefines the name \"%s\" of the graph around", location(m, n, index),
				  n->output[k]);
			return;
		}
	}
	bad_model(m, "nodes form a cycle through \"%s\"", location(m, n, index));
}

typedef struct visit {
	uint32_t node, dep, end; /* dependencies left: deps[dep .. end) */
} visit;

void ftl_imp_nodes(imp *m, size_t n, Onnx__NodeProto **nodes)
{
	order o = {.m = m, .maker = ftl_map_new(m->tmp), .n = n, .node = nodes};
	uint32_t *ids = FTL_NEW_N(m->tmp, uint32_t, n + 1);
	uint8_t *state = FTL_NEW_N(m->tmp, uint8_t, n + 1); /* 0 new, 1 on the stack, 2 done */
	FTL_VEC(visit) stack = {0};

	for (size_t i = 0; i < n; i++) {
		ids[i] = (uint32_t)i;
		for (size_t k = 0; k < nodes[i]->n_output; k++) {
			const uint32_t *other = nodes[i]->output[k][0] ? ftl_map_get(o.maker, nodes[i]->output[k])
								       : NULL;
			if (nodes[i]->output[k][0] && ftl_map_get(m->scope->names, nodes[i]->output[k])) {
				bad_model(
					m,
					"name \"%s\" is defined twice: by node \"%s\", and as an input or initializer",
					nodes[i]->output[k], location(m, nodes[i], i));
				return;
			}
			/* Of Constant nodes with one name the last counts, as in ONNX Runtime: tools that edit shapes leave
			 * such pairs behind. Any other name given twice is an error when it is bound. */
			if (other && is_constant(nodes[i]) && is_constant(nodes[*other]))
				state[*other] = 2;
			else if (other || !nodes[i]->output[k][0])
				continue;
			ftl_map_set(o.maker, nodes[i]->output[k], &ids[i]);
		}
	}
	for (size_t root = 0; root < n && !m->failed; root++) {
		if (state[root])
			continue;
		uint32_t next = (uint32_t)root;
		for (bool enter = true; !m->failed;) {
			if (enter && state[next] == 1) {
				report_cycle(m, nodes[next], next);
				break;
			}
			if (enter && state[next] == 0) {
				uint32_t from = o.deps.n;
				state[next] = 1;
				node_deps(&o, NULL, nodes[next]);
				ftl_vec_push(m->tmp, &stack, ((visit){next, from, o.deps.n}));
			}
			if (stack.n == 0)
				break;
			visit *top = &stack.v[stack.n - 1];
			enter = top->dep < top->end;
			if (enter) {
				next = o.deps.v[top->dep++];
				continue;
			}
			import_node(m, nodes[top->node], top->node);
			state[top->node] = 2;
			o.deps.n = stack.n > 1 ? stack.v[stack.n - 2].end : 0;
			stack.n--;
		}
	}
}

static void bind_initializer(imp *m, ftl_map *seen, const char *name, const ftl_tensor_bytes *t)
{
	ftl_loc before = m->b.loc;
	ftl_val v;

	if (ftl_map_get(seen, name)) {
		bad_model(m, "initializer \"%s\" is defined twice", name);
		return;
	}
	ftl_map_set(seen, name, m);
	m->b.loc = name;
	v = ftl_imp_constant(m, t);
	m->b.loc = before;
	if (ftl_map_get(m->scope->names, name))
		return; /* an input that stays one */
	ftl_imp_bind(m, name, (imp_bound){.v = v});
}

void ftl_imp_graph(imp *m, const Onnx__GraphProto *gp)
{
	ftl_map *seen = ftl_map_new(m->tmp);
	ftl_tensor_bytes t;
	ftl_status_code rc;

	for (size_t i = 0; i < gp->n_initializer && !m->failed; i++) {
		const char *name = gp->initializer[i]->name;
		if (!name || !*name)
			continue;
		rc = ftl_tensor_read(&m->src, gp->initializer[i], &t);
		if (rc != FTL_OK)
			ftl_imp_keep(m, rc);
		else
			bind_initializer(m, seen, name, &t);
	}
	for (size_t i = 0; i < gp->n_sparse_initializer && !m->failed; i++) {
		const Onnx__SparseTensorProto *sp = gp->sparse_initializer[i];
		rc = ftl_tensor_read_sparse(&m->src, sp, &t);
		if (rc != FTL_OK)
			ftl_imp_keep(m, rc);
		else if (sp->values->name && *sp->values->name)
			bind_initializer(m, seen, sp->values->name, &t);
	}
	if (!m->failed)
		ftl_imp_nodes(m, gp->n_node, gp->node);
}
