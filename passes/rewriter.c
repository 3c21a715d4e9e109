/* Patches: the one way in which rewrites change a graph, and the checks their authors need not think of.
 *
 * A patch builds its nodes in front of the root and then commits. Until then nothing reads them, so that a refusal only
 * erases them again. pass.h lists what is checked. Cost is linear in the patch and in the readers of the root. */
#include "pass.h"

#include <assert.h>
#include <stdio.h>

#define SMALL 65536 /* bytes of constants that a patch computes */

struct ftl_worklist {
	FTL_VEC(ftl_node_id) queue;
	uint32_t at;
	FTL_VEC(bool) queued; /* by node id */
	uint32_t edits;
};

/* ---- types ---- */
bool ftl_types_agree(const ftl_graph *g, const ftl_type *a, const ftl_type *b, bool *out_same_text)
{
	*out_same_text = ftl_type_eq(a, b);
	if (*out_same_text)
		return true;
	if (a->dtype != b->dtype || a->rank != b->rank || a->enc || b->enc || a->seq || b->seq)
		return false;
	for (int i = 0; i < a->rank; i++)
		if (a->dims[i] != b->dims[i] && ftl_dim_known_eq(g->st, a->dims[i], b->dims[i]) != 1)
			return false;
	return true;
}

bool ftl_out_bytes(const ftl_graph *g, const ftl_node *n, size_t *out)
{
	int64_t dims[FTL_MAX_RANK];

	*out = 0;
	for (uint32_t k = 0; k < n->nout; k++) {
		const ftl_type *t = ftl_type_of(g, n->out[k]);
		size_t bytes = ftl_dtype_bytes(t->dtype);

		if (!ftl_type_is_static(g, t, dims))
			return false;
		for (int i = 0; i < t->rank; i++)
			if (dims[i] < 0 || __builtin_mul_overflow(bytes, (size_t)dims[i], &bytes))
				return false;
		if (__builtin_add_overflow(*out, bytes, out))
			return false;
	}
	return true;
}

/* Does a size that other types mention come from v? */
static bool binds(const ftl_graph *g, ftl_val v)
{
	const ftl_type *t = ftl_type_of(g, v);

	for (int i = 0; i < t->rank; i++)
		if (t->dims[i] && ftl_dim_get(g->st, t->dims[i])->kind == FTL_DIM_SYM &&
		    ftl_sym_binder(g, t->dims[i]) == v)
			return true;
	return false;
}

bool ftl_binds(const ftl_graph *g, const ftl_node *n)
{
	for (uint32_t i = 0; i < n->nout; i++)
		if (binds(g, n->out[i]))
			return true;
	return false;
}

void ftl_erase_dead(ftl_pass *p, ftl_node_id id)
{
	ftl_graph *g = p->graph;
	FTL_VEC(ftl_node_id) todo = {0};

	ftl_vec_push(p->scratch, &todo, id);
	while (todo.n) {
		ftl_node *n = ftl_node_get(g, id = todo.v[--todo.n]);
		uint32_t nin = n->nin;
		bool used = n->dead || n->op == FTL_OP_yield || !ftl_op_has(n->op, FTL_PURE) || ftl_binds(g, n) ||
			    ftl_any_pinned(p, n);

		for (uint32_t i = 0; i < n->nout && !used; i++)
			used = ftl_use_count(g, n->out[i]) != 0;
		if (used)
			continue;
		ftl_node_erase(g, id); /* leaves the list of inputs readable */
		for (uint32_t i = 0; i < nin; i++) {
			const ftl_value *v = ftl_value_get(g, n->in[i]);

			if (n->in[i] && v->def)
				ftl_vec_push(p->scratch, &todo, v->def);
			if (n->in[i] && v->uses.n == 1) /* a patch that others' reading stood against may go now */
				ftl_touch(p, v->uses.v[0]);
		}
	}
}

/* ---- patches ---- */
void ftl_patch_begin(ftl_patch *t, ftl_pass *p, const char *what, ftl_node_id root, const ftl_node_id *covered,
		     uint32_t ncovered)
{
	ftl_graph *g = p->graph;
	ftl_loc loc = ftl_node_get(g, root)->loc;

	for (uint32_t i = 0; i < ncovered; i++)
		loc = ftl_loc_merge(g, loc, ftl_node_get(g, covered[i])->loc);
	*t = (ftl_patch){
		.b = {.g = g, .region = ftl_node_get(g, root)->region, .before = root, .loc = loc},
		.p = p,
		.what = what,
		.root = root,
		.covered = covered,
		.ncovered = ncovered,
		.mark = g->nodes.n,
	};
}

void ftl_patch_drop(ftl_patch *t)
{
	for (ftl_node_id id = t->b.g->nodes.n; id-- > t->mark;)
		ftl_node_erase(t->b.g, id);
}

ftl_val ftl_patch_scalar(ftl_patch *t, ftl_dtype type, double v)
{
	return ftl_build_scalar(&t->b, type, v);
}

ftl_status ftl_patch_fold(ftl_patch *t, ftl_val *v)
{
	ftl_graph *g = t->b.g;
	ftl_node_id n = ftl_value_get(g, *v)->def;
	ftl_val with[1];
	bool done;

	if (!n || ftl_node_get(g, n)->op == FTL_OP_const || ftl_node_get(g, n)->nout != 1 ||
	    !ftl_inputs_const(g, ftl_node_get(g, n)))
		return FTL_OK;
	FTL_TRY(ftl_fold_node(t->p, n, SMALL, with, &done));
	if (done)
		*v = with[0];
	return FTL_OK;
}

static bool in_patch(const ftl_patch *t, ftl_node_id id)
{
	if (id == t->root || id >= t->mark)
		return true;
	for (uint32_t i = 0; i < t->ncovered; i++)
		if (t->covered[i] == id)
			return true;
	return false;
}

/* What of the covered nodes would go, and who keeps the others. Covered lists are short. */
typedef struct fate {
	bool dies[FTL_PAT_NODES];
	ftl_node_id kept, reader; /* a covered node that somebody else reads */
} fate;

static bool unread(const ftl_patch *t, const fate *f, ftl_node_id id)
{
	const ftl_graph *g = t->b.g;
	const ftl_node *n = ftl_node_get(g, id);

	for (uint32_t i = 0; i < n->nout; i++) {
		const ftl_value *v = ftl_value_get(g, n->out[i]);

		for (uint32_t u = 0; u < v->uses.n; u++) {
			bool gone = v->uses.v[u] == t->root;

			for (uint32_t k = 0; k < t->ncovered && !gone; k++)
				gone = f->dies[k] && t->covered[k] == v->uses.v[u];
			if (!gone)
				return false;
		}
	}
	return true;
}

static void settle(const ftl_patch *t, fate *f)
{
	const ftl_graph *g = t->b.g;
	bool again = true;

	assert(t->ncovered <= FTL_PAT_NODES);
	for (uint32_t k = 0; k < t->ncovered && !f->kept; k++) {
		const ftl_node *n = ftl_node_get(g, t->covered[k]);

		for (uint32_t i = 0; i < n->nout; i++) {
			const ftl_value *v = ftl_value_get(g, n->out[i]);

			for (uint32_t u = 0; u < v->uses.n && !f->kept; u++) {
				if (in_patch(t, v->uses.v[u]))
					continue;
				f->kept = t->covered[k];
				f->reader = v->uses.v[u];
			}
		}
	}
	while (again) {
		again = false;
		for (uint32_t k = 0; k < t->ncovered; k++)
			if (!f->dies[k] && unread(t, f, t->covered[k]))
				again = f->dies[k] = true;
	}
}

static bool refuse(ftl_patch *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(ftl_patch *t, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!t->quiet)
		ftl_pass_miss(t->p, t->what, t->root, "%s", text);
	return false;
}

static const char *type_text(ftl_pass *p, const ftl_type *t)
{
	ftl_text s;

	ftl_text_init(&s, p->scratch);
	ftl_text_add(&s, "%s[", ftl_dtype_name(t->dtype));
	for (int i = 0; i < t->rank; i++) {
		ftl_text_add(&s, i ? "," : "");
		ftl_dim_print(p->graph->st, &s, t->dims[i]);
	}
	ftl_text_add(&s, "]%s", t->enc ? " encoded" : "");
	return s.v;
}

/* Is what is known of the old value's contents known of the new one? */
static bool knows(const ftl_graph *g, ftl_val old, ftl_val with)
{
	const ftl_value *a = ftl_value_get(g, old), *b = ftl_value_get(g, with);

	for (uint32_t i = 0; a->sym && i < a->nsym; i++)
		if (a->sym[i] && (!b->sym || i >= b->nsym || a->sym[i] != b->sym[i]))
			return false;
	return true;
}

static bool types_fit(ftl_patch *t, const ftl_val *with)
{
	const ftl_graph *g = t->b.g;
	const ftl_node *root = ftl_node_get(g, t->root);
	bool same_text;

	for (uint32_t k = 0; k < root->nout; k++) {
		const ftl_type *old = ftl_type_of(g, root->out[k]), *now;

		if (!with[k])
			continue;
		now = ftl_type_of(g, with[k]);
		if (!ftl_types_agree(g, old, now, &same_text))
			return refuse(t, "the result would be %s instead of %s", type_text(t->p, now),
				      type_text(t->p, old));
		if (!knows(g, root->out[k], with[k]))
			return refuse(t, "less would be known of the result's contents");
		if (binds(g, root->out[k]))
			return refuse(t, "sizes of other values come from this one");
		if (ftl_pinned(t->p, root->out[k]))
			return refuse(t, "it is the scale or zero point of another value");
		t->p->stale |= !same_text;
	}
	return true;
}

static bool pays(ftl_patch *t)
{
	const ftl_graph *g = t->b.g;
	double before = ftl_node_cost(g, t->root), after = 0;
	fate f = {0};

	settle(t, &f);
	if (f.kept && t->sharing == FTL_SHARE_NOTHING)
		return refuse(t, "what \"%.80s\" (%s) computes is also read by \"%.80s\" (%s)",
			      ftl_node_get(g, f.kept)->loc, ftl_op_get(ftl_node_get(g, f.kept)->op)->name,
			      ftl_node_get(g, f.reader)->loc, ftl_op_get(ftl_node_get(g, f.reader)->op)->name);
	if (t->pays)
		return true;
	for (uint32_t k = 0; k < t->ncovered; k++)
		if (f.dies[k])
			before += ftl_node_cost(g, t->covered[k]);
	for (ftl_node_id id = t->mark; id < g->nodes.n; id++)
		if (!ftl_node_get(g, id)->dead)
			after += ftl_node_cost(g, id);
	if (after > before * 1.0001)
		return refuse(t, "it would cost more: about %.3g operations instead of %.3g", after, before);
	if (f.kept && t->sharing == FTL_SHARE_TO_SAVE && after > 0 && after >= before)
		return refuse(t, "it would save nothing: \"%.80s\" is also read by \"%.80s\"",
			      ftl_node_get(g, f.kept)->loc, ftl_node_get(g, f.reader)->loc);
	return true;
}

/* The nodes that read the old values get the new ones, and are visited again. */
static void replace(ftl_patch *t, const ftl_val *with)
{
	ftl_graph *g = t->b.g;

	for (uint32_t k = 0; k < ftl_node_get(g, t->root)->nout; k++) {
		ftl_val old = ftl_node_get(g, t->root)->out[k];
		const ftl_value *v = ftl_value_get(g, old);

		if (!with[k])
			continue;
		for (uint32_t u = 0; u < v->uses.n; u++)
			ftl_touch(t->p, v->uses.v[u]);
		ftl_replace_uses(g, old, with[k]);
	}
}

ftl_status ftl_patch_commit(ftl_patch *t, const ftl_val *with, bool *out_done)
{
	ftl_pass *p = t->p;
	ftl_graph *g = t->b.g;
	ftl_node_id end = g->nodes.n;

	*out_done = false;
	if (!types_fit(t, with) || !pays(t) || !ftl_pass_edit(p)) {
		ftl_patch_drop(t);
		return FTL_OK;
	}
	for (ftl_node_id id = t->mark; id < end; id++)
		if (!ftl_node_get(g, id)->dead)
			ftl_touch(p, id);
	replace(t, with);
	ftl_pass_done(p, t->what, t->b.loc, 1 + t->ncovered);
	ftl_erase_dead(p, t->root);
	for (uint32_t k = 0; k < t->ncovered; k++)
		ftl_erase_dead(p, t->covered[k]);
	for (ftl_node_id id = end; id-- > t->mark;)
		ftl_erase_dead(p, id); /* built, but not needed after all */
	if (p->work)
		p->work->edits++;
	*out_done = true;
	return FTL_OK;
}

/* ---- walking ---- */
void ftl_touch(ftl_pass *p, ftl_node_id n)
{
	ftl_worklist *w = p->work;

	if (!w)
		return;
	while (w->queued.n <= n)
		ftl_vec_push(p->scratch, &w->queued, false);
	if (w->queued.v[n])
		return;
	w->queued.v[n] = true;
	ftl_vec_push(p->scratch, &w->queue, n);
}

static void touch_region(ftl_pass *p, ftl_region_id r)
{
	FTL_FOREACH_NODE_IN(p->graph, r, id) {
		ftl_touch(p, id);
		for (uint32_t i = 0; i < ftl_node_get(p->graph, id)->nregion; i++)
			touch_region(p, ftl_node_get(p->graph, id)->regions[i]);
	}
}

ftl_status ftl_drive(ftl_pass *p, ftl_visit_fn visit, void *user)
{
	ftl_worklist w = {0};
	uint64_t most = 16 * (uint64_t)p->graph->nodes.n + 1000;

	p->work = &w;
	touch_region(p, p->graph->body);
	while (w.at < w.queue.n) {
		ftl_node_id id = w.queue.v[w.at++];
		ftl_status_code s;

		w.queued.v[id] = false;
		if (ftl_node_get(p->graph, id)->dead)
			continue;
		s = visit(p, id, user);
		if (s == FTL_OK && w.edits > most)
			s = ftl_fail_node(p->graph, id, p->diag, FTL_ERR_LIMIT, "rewriting does not come to an end");
		if (s != FTL_OK) {
			p->work = NULL;
			return s;
		}
	}
	p->work = NULL;
	return FTL_OK;
}
