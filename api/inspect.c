/* Looking inside: what a model consists of, before and after optimizing, and what compiling it would give. */
#include "api.h"

#include <inttypes.h>
#include <stdlib.h>

#define INSPECT_BASE ((uint64_t)512 << 20)

void ftl_json_string(ftl_text *t, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	ftl_text_bytes(t, "\"", 1);
	while (*p) {
		size_t len = *p < 0x80                 ? 1
			     : *p >= 0xf0 && *p < 0xf5 ? 4
			     : *p >= 0xe0              ? 3
			     : *p >= 0xc2              ? 2
						       : 0,
		       good = 1;

		if (*p >= 0xf5)
			len = 0;
		while (good < len && (p[good] & 0xc0) == 0x80)
			good++;
		if (*p == '"' || *p == '\\')
			ftl_text_add(t, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			ftl_text_add(t, "\\u%04x", *p);
		else if (len && good == len)
			ftl_text_bytes(t, (const char *)p, len);
		else
			ftl_text_bytes(t, "\\ufffd", 6); /* no UTF-8 */
		p += len && good == len ? len : 1;
	}
	ftl_text_bytes(t, "\"", 1);
}

typedef struct op_count {
	ftl_op op;
	uint32_t n;
} op_count;

typedef struct counts {
	op_count op[FTL_OP_COUNT];
	uint32_t kinds, nodes;
	uint64_t params, bytes; /* elements and bytes of constants */
} counts;

typedef struct inspect {
	fettle_model *m;
	const fettle_inspect_options *o;
	ftl_store *store;
	fettle_text_fn text;
	void *user;
	ftl_text t;
} inspect;

static int by_count(const void *a, const void *b)
{
	const op_count *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? 1 : -1;
	return strcmp(ftl_op_get(x->op)->name, ftl_op_get(y->op)->name);
}

static void count(const ftl_graph *g, counts *c)
{
	uint32_t n[FTL_OP_COUNT] = {0};

	memset(c, 0, sizeof *c);
	for (uint32_t i = 1; i < g->nodes.n; i++) {
		const ftl_node *node = &g->nodes.v[i];

		if (node->dead || node->op == FTL_OP_yield)
			continue;
		if (node->op == FTL_OP_const) {
			const ftl_blob *b = FTL_ATTRS(node, const)->blob;
			size_t size = ftl_dtype_bytes(ftl_type_of(g, node->out[0])->dtype);

			c->bytes += b ? b->bytes : 0;
			c->params += b && size ? b->bytes / size : 0;
			continue;
		}
		n[node->op]++;
		c->nodes++;
	}
	for (uint32_t op = 1; op < FTL_OP_COUNT; op++) {
		if (n[op])
			c->op[c->kinds++] = (op_count){(ftl_op)op, n[op]};
	}
	qsort(c->op, c->kinds, sizeof *c->op, by_count);
}

/* ---- text ---- */

static const char *const kind_words[] = {
	[FETTLE_TENSOR] = "",
	[FETTLE_SEQUENCE] = "sequence of ",
	[FETTLE_OPTIONAL] = "optional ",
	[FETTLE_OPTIONAL_SEQUENCE] = "optional sequence of ",
};

static void port_text(ftl_text *t, const char *what, const fettle_port *p)
{
	ftl_text_add(t, "  %-7s ", what);
	ftl_text_quoted(t, p->name);
	ftl_text_add(t, ": %s%s%s", kind_words[p->kind], fettle_dtype_name(p->dtype), p->rank < 0 ? "" : "[");
	for (int i = 0; i < p->rank; i++)
		ftl_text_add(t, "%s%s", i ? "," : "", p->dim_text[i]);
	ftl_text_add(t, "%s\n", p->rank < 0 ? "" : "]");
}

static void counts_text(ftl_text *t, const char *when, const counts *c)
{
	ftl_text_add(t, "%s: %u nodes\n ", when, c->nodes);
	for (uint32_t i = 0; i < c->kinds; i++)
		ftl_text_add(t, " %s %u%s", ftl_op_get(c->op[i].op)->name, c->op[i].n,
			     i + 1 == c->kinds ? ""
			     : i % 8 == 7      ? ",\n "
					       : ",");
	ftl_text_add(t, "\n");
}

static void size_text(ftl_text *t, uint64_t bytes)
{
	if (bytes < 10000)
		ftl_text_add(t, "%" PRIu64 " bytes", bytes);
	else if (bytes < (uint64_t)10 << 20)
		ftl_text_add(t, "%.1f KiB", (double)bytes / 1024);
	else
		ftl_text_add(t, "%.1f MiB", (double)bytes / 1048576);
}

/* ---- JSON ---- */

static void port_json(ftl_text *t, const fettle_port *p)
{
	ftl_text_add(t, "{\"name\": ");
	ftl_json_string(t, p->name);
	ftl_text_add(t, ", \"type\": \"%s%s\", \"shape\": ", kind_words[p->kind], fettle_dtype_name(p->dtype));
	if (p->rank < 0) {
		ftl_text_add(t, "null}");
		return;
	}
	ftl_text_add(t, "[");
	for (int i = 0; i < p->rank; i++) {
		ftl_text_add(t, i ? ", " : "");
		if (p->dims[i] >= 0)
			ftl_text_add(t, "%" PRId64, p->dims[i]);
		else
			ftl_json_string(t, p->dim_text[i]);
	}
	ftl_text_add(t, "]}");
}

static void counts_json(ftl_text *t, const counts *c)
{
	ftl_text_add(t, "{\"nodes\": %u, \"ops\": {", c->nodes);
	for (uint32_t i = 0; i < c->kinds; i++)
		ftl_text_add(t, "%s\"%s\": %u", i ? ", " : "", ftl_op_get(c->op[i].op)->name, c->op[i].n);
	ftl_text_add(t, "}}");
}

static void signature(inspect *c)
{
	ftl_text *t = &c->t;
	const fettle_model *m = c->m;

	if (!c->o->json) {
		ftl_text_add(t, "model ");
		ftl_text_quoted(t, m->g->name ? m->g->name : "");
		ftl_text_add(t, "\n");
		for (size_t i = 0; i < m->nin; i++)
			port_text(t, "input", &m->in[i]);
		for (size_t i = 0; i < m->nout; i++)
			port_text(t, "output", &m->out[i]);
		return;
	}
	ftl_text_add(t, "{\"name\": ");
	ftl_json_string(t, m->g->name ? m->g->name : "");
	ftl_text_add(t, ",\n \"inputs\": [");
	for (size_t i = 0; i < m->nin; i++) {
		ftl_text_add(t, i ? ", " : "");
		port_json(t, &m->in[i]);
	}
	ftl_text_add(t, "],\n \"outputs\": [");
	for (size_t i = 0; i < m->nout; i++) {
		ftl_text_add(t, i ? ", " : "");
		port_json(t, &m->out[i]);
	}
	ftl_text_add(t, "]");
}

static void ops(inspect *c, bool loaded)
{
	counts n;

	count(c->m->g, &n);
	if (c->o->json) {
		if (loaded)
			ftl_text_add(&c->t, ",\n \"parameters\": %" PRIu64 ", \"parameter_bytes\": %" PRIu64, n.params,
				     n.bytes);
		ftl_text_add(&c->t, ",\n \"%s\": ", loaded ? "loaded" : "optimized");
		counts_json(&c->t, &n);
		return;
	}
	if (loaded) {
		ftl_text_add(&c->t, "parameters: %" PRIu64 " (", n.params);
		size_text(&c->t, n.bytes);
		ftl_text_add(&c->t, ")\n");
	}
	counts_text(&c->t, loaded ? "as loaded" : "optimized", &n);
}

/* ---- what passes did ---- */

static bool about(const char *which, const ftl_pass_event *e)
{
	return !strcmp(which, "all") || !strcmp(which, e->pass) || (e->what && !strcmp(which, e->what));
}

static void events(inspect *c, const char *which, const ftl_pass_event *v, uint32_t n, bool done)
{
	ftl_text *t = &c->t;
	const char *title = done ? "why" : "why_not";
	bool first = true;

	if (c->o->json)
		ftl_text_add(t, ",\n \"%s\": [", title);
	else
		ftl_text_add(t, "%s %s:\n", done ? "done by" : "almost done by", which);
	for (uint32_t i = 0; i < n; i++) {
		if (!about(which, &v[i]))
			continue;
		if (c->o->json) {
			ftl_text_add(t, "%s\n  {\"pass\": \"%s\", \"what\": ", first ? "" : ",", v[i].pass);
			ftl_json_string(t, v[i].what ? v[i].what : "");
			ftl_text_add(t, ", \"node\": ");
			ftl_json_string(t, v[i].loc ? v[i].loc : "");
			if (done)
				ftl_text_add(t, ", \"nodes\": %u}", v[i].nodes);
			else {
				ftl_text_add(t, ", \"reason\": ");
				ftl_json_string(t, v[i].why ? v[i].why : "");
				ftl_text_add(t, "}");
			}
		} else if (done) {
			ftl_text_add(t, "  %s: %s at ", v[i].pass, v[i].what ? v[i].what : "");
			ftl_text_quoted(t, v[i].loc ? v[i].loc : "");
			ftl_text_add(t, "\n");
		} else {
			ftl_text_add(t, "  %s: no %s at ", v[i].pass, v[i].what ? v[i].what : "");
			ftl_text_quoted(t, v[i].loc ? v[i].loc : "");
			ftl_text_add(t, ": %s\n", v[i].why ? v[i].why : "");
		}
		first = false;
	}
	if (c->o->json)
		ftl_text_add(t, "]");
	else if (first)
		ftl_text_add(t, "  nothing\n");
}

/* ---- lowering ---- */

/* Workspace bytes if they follow from nothing but the model; -1 otherwise. */
static int64_t workspace(const ftl_kmodule *m)
{
	const ftl_kinst *i;

	if (!m->size || !m->size->result)
		return m->size ? 0 : -1;
	i = ftl_kinst_get(m->size, m->size->result);
	return i->op == FTL_K_const ? i->imm : -1;
}

static void lowered(inspect *c)
{
	ftl_text *t = &c->t;
	ftl_target target = ftl_target_scalar;
	ftl_lower_options lo = {.target = &target};
	ftl_kmodule *m = NULL;
	ftl_diag d = {0};
	ftl_status_code rc = ftl_target_choose(NULL, &d, &target);
	uint64_t bytes = 0;
	int64_t space;

	if (rc == FTL_OK)
		rc = ftl_lower(&c->store->arena, c->m->g, &lo, &d, &m);
	if (rc != FTL_OK) {
		ftl_text_add(t, c->o->json ? ",\n \"compiles\": false, \"reason\": " : "cannot be compiled: ");
		if (c->o->json)
			ftl_json_string(t, d.text);
		else
			ftl_text_add(t, "%s\n", d.text);
		return;
	}
	for (uint32_t i = 0; i < m->blobs.n; i++)
		bytes += m->blobs.v[i]->bytes;
	space = workspace(m);
	if (c->o->json) {
		ftl_text_add(t,
			     ",\n \"compiles\": true, \"target\": \"%s\", \"kernels\": %u, \"weight_bytes\": %" PRIu64
			     ", \"workspace_bytes\": ",
			     target.name, m->kernels.n, bytes);
		ftl_text_add(t, space >= 0 ? "%" PRId64 : "null", space);
		return;
	}
	ftl_text_add(t, "compiled for %s: %u kernels, weights ", target.name, m->kernels.n);
	size_text(t, bytes);
	ftl_text_add(t, ", workspace ");
	if (space >= 0)
		size_text(t, (uint64_t)space);
	else
		ftl_text_add(t, "by the inputs' dims");
	ftl_text_add(t, "\n");
}

static ftl_status inspect_entry(void *ctx, ftl_diag *d)
{
	inspect *c = ctx;
	fettle_optimize_options how = {.passes = c->o->passes};
	const ftl_pass_report *r;

	FTL_TRY(ftl_model_check(c->m, d));
	ftl_text_init(&c->t, &c->store->arena);
	signature(c);
	ops(c, true);
	FTL_TRY(ftl_model_optimize(c->m, &how, d));
	ops(c, false);
	r = c->m->report;
	if (r && c->o->why)
		events(c, c->o->why, r->done.v, r->done.n, true);
	if (r && c->o->why_not)
		events(c, c->o->why_not, r->missed.v, r->missed.n, false);
	lowered(c);
	if (c->o->json)
		ftl_text_add(&c->t, "}\n");
	c->text(c->user, c->t.v, c->t.n);
	return FTL_OK;
}

fettle_status fettle_inspect(fettle_model *m, const fettle_inspect_options *o, fettle_text_fn text, void *user,
			     fettle_error *e)
{
	static const fettle_inspect_options none;
	inspect c = {.m = m, .o = o ? o : &none, .text = text, .user = user};
	ftl_arena *arenas[2];
	fettle_status rc;

	c.store = ftl_store_new(m->max_memory ? m->max_memory
					      : ftl_default_memory(INSPECT_BASE, ftl_weight_bytes(m->g), 4));
	if (!c.store)
		return ftl_api_fail(e, FTL_ERR_MEMORY, "out of memory");
	arenas[0] = &c.store->arena;
	arenas[1] = &m->store->arena;
	rc = ftl_enter(arenas, 2, inspect_entry, &c, e);
	ftl_store_release(c.store);
	return rc;
}
