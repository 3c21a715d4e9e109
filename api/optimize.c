/* Running passes over a model. */
#include "api.h"

ftl_status ftl_model_check(const fettle_model *m, ftl_diag *d)
{
	if (m->broken)
		return ftl_fail(d, FTL_ERR_USAGE, "a pass failed on this model: load it again");
	return FTL_OK;
}

typedef struct optimize {
	fettle_model *m;
	const fettle_optimize_options *o;
} optimize;

/* The library's account of a pass, for the caller's callback. */
static void after_pass(void *user, const char *pass, const ftl_graph *g, const ftl_pass_stat *stat)
{
	optimize *c = user;
	fettle_pass_info info = {.pass = pass,
				 .seconds = stat->seconds,
				 .nodes_before = stat->nodes_before,
				 .nodes_after = stat->nodes_after,
				 .done = stat->done,
				 .missed = stat->missed};
	ftl_text t;

	ftl_text_init(&t, g->arena);
	for (uint32_t i = 0; i < stat->tally.n; i++)
		ftl_text_add(&t, "%s%s %u", i ? ", " : "", stat->tally.v[i].what, stat->tally.v[i].n);
	info.edits = t.v ? t.v : "";
	c->o->after(c->o->user, c->m, &info);
}

ftl_status ftl_model_optimize(fettle_model *m, const fettle_optimize_options *o, ftl_diag *d)
{
	optimize c = {m, o};
	ftl_pass_options po = {
		.no_default = o->alone, .stop_after = o->stop_after, .rewrite_limit = o->rewrite_limit, .user = &c};
	ftl_status_code rc;

	FTL_TRY(ftl_model_check(m, d));
	if (o->alone && (!o->passes || !*o->passes))
		return FTL_OK;
	if (o->after)
		po.after = after_pass;
	m->broken = true; /* also when an allocation jumps out */
	rc = ftl_passes_run(m->g, o->passes, &po, d, &m->report);
	m->broken = rc != FTL_OK && rc != FTL_ERR_USAGE;
	if (rc == FTL_OK)
		ftl_model_ports(m);
	return rc;
}

static ftl_status optimize_entry(void *ctx, ftl_diag *d)
{
	optimize *c = ctx;

	return ftl_model_optimize(c->m, c->o, d);
}

fettle_status fettle_optimize(fettle_model *m, const fettle_optimize_options *o, fettle_error *e)
{
	static const fettle_optimize_options none;
	optimize c = {m, o ? o : &none};
	ftl_arena *arena = &m->store->arena;

	return ftl_enter(&arena, 1, optimize_entry, &c, e);
}
