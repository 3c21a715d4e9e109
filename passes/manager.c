/* The manager: runs a pipeline's passes in turn, and keeps what all of them need out of their sight.
 *
 * Before a pass: facts it needs and that do not hold are made. After it: inference where types were rewritten, the
 * verifier, the caller's hook; scratch memory is reset. Counts edits, and stops them at rewrite_limit. */
#include "pass.h"
#include "pipeline.h"
#include "ir/infer.h"

#include <stdio.h>
#include <time.h>

struct ftl_run {
	ftl_graph *g;
	const ftl_pass_options *o;
	ftl_diag *d;
	ftl_pass_report *report;
	ftl_arena scratch, tool;
	unsigned facts;
	bool stopped;
};

typedef ftl_status (*pass_fn)(ftl_pass *p);
static const pass_fn run_pass[] = {
#define PASS(id, ...) ftl_pass_##id,
#include "passes.def"
};

/* ---- what passes tell ---- */
bool ftl_pass_edit(ftl_pass *p)
{
	ftl_pass_report *r = p->run->report;
	int64_t limit = p->run->o->rewrite_limit;

	if (limit && (limit < 0 || r->edits >= limit)) {
		r->out_of_edits = true;
		return false;
	}
	r->edits++;
	p->changed = true;
	return true;
}

void ftl_pass_count(ftl_pass *p, const char *what, uint32_t n)
{
	for (uint32_t i = 0; i < p->stat->tally.n; i++) {
		if (strcmp(p->stat->tally.v[i].what, what) == 0) {
			p->stat->tally.v[i].n += n;
			return;
		}
	}
	ftl_vec_push(p->graph->arena, &p->stat->tally, ((ftl_pass_tally){what, n}));
}

void ftl_pass_done(ftl_pass *p, const char *what, ftl_loc loc, uint32_t nodes)
{
	ftl_pass_report *r = p->run->report;

	ftl_pass_count(p, what, 1);
	p->stat->done++;
	if (r->done.n < FTL_PASS_EVENTS_MAX)
		ftl_vec_push(p->graph->arena, &r->done, ((ftl_pass_event){p->row->name, what, loc, nodes, NULL}));
}

void ftl_pass_miss(ftl_pass *p, const char *what, ftl_node_id n, const char *fmt, ...)
{
	ftl_pass_report *r = p->run->report;
	ftl_arena *arena = p->graph->arena;
	char text[256];
	va_list ap;

	p->stat->missed++;
	if (r->missed.n >= FTL_PASS_EVENTS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	ftl_vec_push(
		arena, &r->missed,
		((ftl_pass_event){p->row->name, what, ftl_node_get(p->graph, n)->loc, 0, ftl_arena_str(arena, text)}));
}

/* ---- running ---- */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t count_nodes(const ftl_graph *g, ftl_region_id r)
{
	uint32_t n = 0;

	FTL_FOREACH_NODE_IN(g, r, id) {
		n++;
		for (uint32_t i = 0; i < ftl_node_get(g, id)->nregion; i++)
			n += count_nodes(g, ftl_node_get(g, id)->regions[i]);
	}
	return n;
}

/* Scales and zero points that types name: no use list knows of that. */
static void find_pinned(ftl_pass *p)
{
	const ftl_graph *g = p->graph;
	bool *pinned = NULL;

	for (uint32_t v = 1; v < g->values.n; v++) {
		const ftl_encoding *e = g->values.v[v].type.enc;

		if (!e || e->kind != FTL_ENC_QUANT)
			continue;
		if (!pinned)
			pinned = FTL_NEW_N(p->scratch, bool, g->values.n);
		pinned[e->scale] = pinned[e->zero] = true;
		p->npinned = g->values.n;
	}
	p->pinned = pinned;
}

static ftl_status blame(const ftl_run *r, const char *pass, const char *when, const ftl_diag *why, ftl_status_code s)
{
	return ftl_fail(r->d, s, "pass %s%s: %s", pass, when, why->text);
}

static ftl_status run_one(ftl_run *r, const ftl_step *step)
{
	const ftl_pass_row *row = ftl_pass_row_at(step->pass);
	ftl_pass_stat stat = {.pass = row->name, .nodes_before = count_nodes(r->g, r->g->body)};
	ftl_diag d = {0};
	ftl_pass p = {.graph = r->g,
		      .row = row,
		      .opt = step->opt,
		      .scratch = &r->scratch,
		      .tool = &r->tool,
		      .diag = &d,
		      .run = r,
		      .stat = &stat};
	double start = now();
	ftl_status_code s;

	find_pinned(&p);
	s = run_pass[step->pass](&p);
	if (s == FTL_OK && p.stale)
		s = ftl_infer_graph(r->g, &d);
	ftl_arena_reset(&r->scratch);
	if (s != FTL_OK)
		return blame(r, row->name, "", &d, s);
	stat.seconds = now() - start;
	stat.nodes_after = count_nodes(r->g, r->g->body);
	if (p.changed)
		r->facts &= row->keeps;
	if (!r->report->out_of_edits)
		r->facts |= row->gives;
	if (!r->o->no_verify && (s = ftl_verify(r->g, &d)) != FTL_OK)
		return blame(r, row->name, " left a broken graph", &d, s);
	ftl_vec_push(r->g->arena, &r->report->passes, stat);
	if (r->o->after)
		r->o->after(r->o->user, row->name, r->g, &stat);
	r->stopped |= r->o->stop_after && strcmp(r->o->stop_after, row->name) == 0;
	return FTL_OK;
}

/* Facts that a pass needs, in the order of the table, each by the first pass that gives it (which may need some too).
 * depth: a table that needs in circles ends here. */
static ftl_status prepare(ftl_run *r, unsigned needs, int depth)
{
	for (size_t k = 0; depth > 0 && !r->stopped && (needs & ~r->facts); k++) {
		const ftl_pass_row *row = ftl_pass_row_at(k);
		ftl_step step;

		if (!row)
			break; /* nobody gives it, or the limit of edits was reached */
		if (!(row->gives & needs & ~r->facts))
			continue;
		ftl_step_default(k, &step);
		FTL_TRY(prepare(r, row->needs, depth - 1));
		if (!r->stopped)
			FTL_TRY(run_one(r, &step));
	}
	return FTL_OK;
}

static ftl_status run_steps(ftl_run *r, const ftl_steps *steps)
{
	for (uint32_t i = 0; i < steps->n && !r->stopped; i++) {
		if (!r->o->no_default)
			FTL_TRY(prepare(r, ftl_pass_row_at(steps->v[i].pass)->needs, 4));
		if (!r->stopped)
			FTL_TRY(run_one(r, &steps->v[i]));
	}
	return FTL_OK;
}

static void release(void *run)
{
	ftl_run *r = run;

	ftl_arena_free(&r->scratch);
	ftl_arena_free(&r->tool);
}

/* The memory limit of the graph's arena holds for what passes need on the side, too. */
static size_t side_limit(const ftl_arena *a)
{
	return a->limit ? a->limit - a->used / 2 : 0;
}

ftl_status ftl_passes_run(ftl_graph *g, const char *pipeline, const ftl_pass_options *o, ftl_diag *d,
			  ftl_pass_report **out_report)
{
	static const ftl_pass_options none = {0};
	ftl_run *r = FTL_NEW(g->arena, ftl_run);
	ftl_steps first = {0}, steps = {0}, last = {0};
	bool asked = pipeline && *pipeline;
	ftl_status_code s;

	*r = (ftl_run){.g = g, .o = o ? o : &none, .d = d, .report = FTL_NEW(g->arena, ftl_pass_report)};
	if (out_report)
		*out_report = r->report;
	if (r->o->stop_after)
		FTL_TRY(ftl_pass_find(r->o->stop_after, strlen(r->o->stop_after), d, NULL));
	if (!r->o->no_default)
		FTL_TRY(ftl_pipeline_parse(g->arena, ftl_pass_default_pipeline(), d, &first));
	FTL_TRY(ftl_pipeline_parse(g->arena, pipeline, d, &steps));
	if (!r->o->no_default && asked)
		FTL_TRY(ftl_pipeline_parse(g->arena, ftl_pass_cleanup_pipeline(), d, &last));
	ftl_arena_init(&r->scratch, g->arena->mem, g->arena->landing, side_limit(g->arena));
	ftl_arena_init(&r->tool, g->arena->mem, g->arena->landing, side_limit(g->arena));
	ftl_arena_defer(g->arena, release, r); /* for the way out over a failed allocation */
	s = run_steps(r, &first);
	if (s == FTL_OK)
		s = run_steps(r, &steps);
	if (s == FTL_OK)
		s = run_steps(r, &last);
	release(r);
	return s;
}
