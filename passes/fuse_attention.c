/* Two products with a softmax between them become one attention, whatever stands between.
 *
 * What is looked for is a meaning, not a spelling: from the softmax back to a product through anything elementwise (scales,
 * masks of all kinds, biases by distance, caps, casts) and on to a product through anything elementwise. The elementwise
 * nodes move into the attention's regions as they are; whatever else they read is captured. Reshapes that only group
 * leading axes may stand anywhere between. Finding is here, building in fuse_attention_build.c. */
#include "attention.h"

#include <stdio.h>

bool ftl_att_fault(ftl_att *a, const char *fmt, ...)
{
	va_list ap;

	if (a->why[0])
		return false; /* the first reason is the one that counts */
	va_start(ap, fmt);
	vsnprintf(a->why, sizeof a->why, fmt, ap);
	va_end(ap);
	return false;
}

bool ftl_att_covers(const ftl_att *a, ftl_node_id n)
{
	for (uint32_t i = 0; i < a->ncovered; i++)
		if (a->covered[i] == n)
			return true;
	return false;
}

bool ftl_att_cover(ftl_att *a, ftl_node_id n)
{
	if (ftl_att_covers(a, n))
		return true;
	if (a->ncovered == FTL_PAT_NODES)
		return ftl_att_fault(a, "more than %d nodes stand between the products", FTL_PAT_NODES);
	a->covered[a->ncovered++] = n;
	return true;
}

bool ftl_att_full(const ftl_att *a, ftl_val v)
{
	const ftl_type *t = ftl_type_of(a->g, v);

	return t->rank >= 2 && !t->enc && ftl_att_same(a, t->dims[t->rank - 2], a->m) &&
	       ftl_att_same(a, t->dims[t->rank - 1], a->n);
}

bool ftl_att_regroups(const ftl_att *a, const ftl_node *n)
{
	return n->op == FTL_OP_reshape && n->in[0] && ftl_att_full(a, n->in[0]) && ftl_att_full(a, n->out[0]);
}

/* Heads that share keys may be rows to a product: [..., h, g * m, x] there is [..., h * g, m, x] here, one axis in front of
 * the rows growing by what the rows lose. */
static bool splits_rows(const ftl_att *a, ftl_val few, ftl_val many)
{
	const ftl_type *x = ftl_type_of(a->g, few), *y = ftl_type_of(a->g, many);
	int r = x->rank;

	if (r < 3 || y->rank != r || !ftl_att_same(a, x->dims[r - 1], a->n) || !ftl_att_full(a, many) || x->enc)
		return false;
	for (int i = 0; i + 3 < r; i++)
		if (!ftl_att_same(a, x->dims[i], y->dims[i]))
			return false;
	return ftl_dim_is_const(a->g->st, x->dims[r - 3], NULL) && ftl_dim_is_const(a->g->st, y->dims[r - 3], NULL);
}

static const ftl_node *def_of(const ftl_att *a, ftl_val v)
{
	ftl_node_id n = ftl_value_get(a->g, v)->def;

	return n ? ftl_node_get(a->g, n) : NULL;
}

static bool local(const ftl_att *a, ftl_val v)
{
	return ftl_value_get(a->g, v)->region == ftl_node_get(a->g, a->soft)->region;
}

/* ---- back from the softmax to the scores ---- */

#define LOOK 64 /* nodes */

/* Likeness of a product: both operands computed; the same, and its rows are split into heads behind it. */
enum { BOTH = 3, SPLIT };

typedef struct search {
	ftl_att *a;
	ftl_node_id seen[LOOK];
	uint32_t nseen;
	ftl_node_id best, split;
	int likeness;
} search;

/* How much a product looks like queries times keys: neither operand a constant, nothing between it and the softmax that
 * moves elements (there is nothing such on the way, or it would not have been found). */
static int likeness(const ftl_att *a, const ftl_node *n)
{
	return 1 + !ftl_const_blob(a->g, n->in[0]) + !ftl_const_blob(a->g, n->in[1]);
}

static void find_product(search *s, ftl_val v)
{
	ftl_att *a = s->a;
	const ftl_node *n = def_of(a, v);
	ftl_node_id id = ftl_value_get(a->g, v)->def;

	if (!n || !local(a, v) || !ftl_att_full(a, v) || n->nout != 1)
		return;
	for (uint32_t i = 0; i < s->nseen; i++)
		if (s->seen[i] == id)
			return;
	if (s->nseen == LOOK)
		return;
	s->seen[s->nseen++] = id;
	if (n->op == FTL_OP_matmul) {
		int like = likeness(a, n);

		if (like > s->likeness) {
			s->likeness = like;
			s->best = id;
		}
		return;
	}
	if (n->op == FTL_OP_reshape && n->in[0] && !ftl_att_regroups(a, n)) {
		ftl_node_id product = splits_rows(a, n->in[0], v) ? ftl_def(a->g, n->in[0], FTL_OP_matmul) : 0;

		if (product && local(a, n->in[0]) && s->likeness < SPLIT &&
		    likeness(a, ftl_node_get(a->g, product)) == BOTH) {
			s->likeness = SPLIT;
			s->best = product;
			s->split = id;
		}
		return;
	}
	if (!ftl_op_has(n->op, FTL_MAP) && !ftl_att_regroups(a, n))
		return;
	for (uint32_t i = 0; i < n->nin; i++)
		if (n->in[i])
			find_product(s, n->in[i]);
}

/* Cover what leads from the scores to v. Is v one of them? The walk ends at what was covered and at anything foreign. */
static bool cover_way(ftl_att *a, ftl_val v, int depth, bool *out_on_way)
{
	const ftl_node *n = def_of(a, v);
	ftl_node_id id = ftl_value_get(a->g, v)->def;
	bool any = false;

	*out_on_way = false;
	if (!n || !local(a, v) || !ftl_att_full(a, v) || depth > FTL_PAT_NODES)
		return true;
	if (id == (a->split ? a->split : a->product) || ftl_att_covers(a, id)) {
		*out_on_way = true;
		return true;
	}
	if (n->nout != 1 || (!ftl_op_has(n->op, FTL_MAP) && !ftl_att_regroups(a, n)) || n->nin > 4)
		return true;
	for (uint32_t i = 0; i < a->noff; i++)
		if (a->off[i] == id)
			return true; /* each node once, or what reads itself twice over and over takes for ever */
	if (a->noff == FTL_COUNT(a->off))
		return ftl_att_fault(a, "masks and biases of more than %d nodes", (int)FTL_COUNT(a->off));
	for (uint32_t i = 0; i < n->nin; i++) {
		bool on = false;

		if (n->in[i] && !cover_way(a, n->in[i], depth + 1, &on))
			return false;
		any |= on;
	}
	*out_on_way = any;
	if (any)
		return ftl_att_cover(a, id);
	if (a->noff < FTL_COUNT(a->off))
		a->off[a->noff++] = id;
	return true;
}

/* ---- on from the softmax to the values ---- */

static bool is_last(ftl_att *a, ftl_node_id id, ftl_val w)
{
	const ftl_node *n = ftl_node_get(a->g, id);
	const struct ftl_attrs_matmul *at;

	if (n->op != FTL_OP_matmul)
		return false;
	at = FTL_ATTRS(n, matmul);
	if (n->in[0] == w && n->in[1] != w && !at->trans_a && ftl_type_of(a->g, n->in[1])->rank >= 2) {
		a->last = id;
		return true;
	}
	if (n->in[1] == w && n->in[0] != w && at->trans_b && ftl_type_of(a->g, n->in[0])->rank >= 2) {
		a->last = id;
		a->swapped = true;
		return true;
	}
	return false;
}

/* Weights of the keys alone, where the sink was put behind them. */
static bool drops_sink(const ftl_att *a, const ftl_node *n)
{
	const struct ftl_attrs_slice *at = n->op == FTL_OP_slice ? FTL_ATTRS(n, slice) : NULL;

	return a->sink && at && ftl_att_full(a, n->out[0]) && at->starts.n == 1 &&
	       at->starts.v[0] == ftl_dim_const(a->g->st, 0) && (at->steps.n == 0 || at->steps.v[0] == 1);
}

/* Node id reads the weights v (or what was made of them). *out: what it makes of them, 0 if it is the product. */
static bool follow(ftl_att *a, ftl_node_id id, ftl_val v, bool sink, ftl_val *out)
{
	const ftl_node *n = ftl_node_get(a->g, id);

	*out = 0;
	if (n->op == FTL_OP_yield || n->region != ftl_node_get(a->g, a->soft)->region)
		return ftl_att_fault(a, "the weights are a result");
	if (!sink && is_last(a, id, v)) {
		if (a->weights && a->weights != v)
			return ftl_att_fault(a, "\"%.80s\" (matmul) reads the weights in another form", n->loc);
		a->weights = v;
		return true;
	}
	if (!sink && n->op == FTL_OP_reshape && !ftl_att_regroups(a, n) && ftl_use_count(a->g, n->out[0]) == 1 &&
	    splits_rows(a, n->out[0], v) && is_last(a, ftl_value_get(a->g, n->out[0])->uses.v[0], n->out[0])) {
		if (a->swapped || (a->weights && a->weights != v))
			return ftl_att_fault(a, "\"%.80s\" (reshape) reads the weights in another form", n->loc);
		a->weights = v;
		return ftl_att_cover(a, id);
	}
	if (sink ? !drops_sink(a, n)
		 : n->nout != 1 || n->nin > 4 || !ftl_att_full(a, n->out[0]) ||
			    (!ftl_op_has(n->op, FTL_MAP) && !ftl_att_regroups(a, n)))
		return ftl_att_fault(a, "behind the softmax stands \"%.80s\" (%s), not a product with values", n->loc,
				     ftl_op_get(n->op)->name);
	*out = n->out[0];
	return ftl_att_cover(a, id);
}

/* Everything that is made of the weights must come together again in front of one product. */
static bool find_last(ftl_att *a)
{
	ftl_val made[FTL_PAT_NODES + 1];
	uint32_t n = 1, at = 0;

	made[0] = ftl_node_get(a->g, a->soft)->out[0];
	for (; at < n; at++) {
		const ftl_value *v = ftl_value_get(a->g, made[at]);

		for (uint32_t i = 0; i < v->uses.n; i++) {
			ftl_val next = 0;
			bool seen = false;

			if (!follow(a, v->uses.v[i], made[at], a->sink && at == 0, &next))
				return false;
			for (uint32_t k = 0; k < n && next; k++)
				seen |= made[k] == next;
			if (next && !seen && n < FTL_COUNT(made))
				made[n++] = next;
		}
	}
	if (!a->last)
		return ftl_att_fault(a, "nothing is made of the weights");
	if (ftl_use_count(a->g, a->weights) != 1)
		return ftl_att_fault(a, "\"%.80s\" is not all that reads the weights",
				     ftl_node_get(a->g, a->last)->loc);
	return true;
}

/* ---- one softmax ---- */

/* softmax(concat(logits, sink)): a column that takes part in the sum alone. */
static void find_sink(ftl_att *a)
{
	const ftl_node *n = def_of(a, a->logits);
	const ftl_type *t = ftl_type_of(a->g, a->logits);
	int64_t axis, one;

	if (!n || n->op != FTL_OP_concat || n->nin != 2 || !local(a, a->logits))
		return;
	axis = FTL_ATTRS(n, concat)->axis;
	if (axis != -1 && axis != t->rank - 1)
		return;
	t = ftl_type_of(a->g, n->in[1]);
	if (!ftl_dim_is_const(a->g->st, t->dims[t->rank - 1], &one) || one != 1)
		return;
	a->sink = n->in[1];
	a->logits = n->in[0];
	(void)ftl_att_cover(a, ftl_value_get(a->g, ftl_node_get(a->g, a->soft)->in[0])->def);
}

/* The view with the most leading axes is the one that every other regroups to. */
static void choose_view(ftl_att *a)
{
	ftl_node_id more[2] = {a->product, a->soft};

	a->view = ftl_type_of(a->g, a->logits);
	for (uint32_t i = 0; i < a->ncovered + 2; i++) {
		const ftl_node *n = ftl_node_get(a->g, i < a->ncovered ? a->covered[i] : more[i - a->ncovered]);
		const ftl_type *t = ftl_type_of(a->g, n->out[0]);

		if (ftl_att_full(a, n->out[0]) && t->rank > a->view->rank)
			a->view = t;
	}
}

static ftl_status visit(ftl_pass *p, ftl_node_id id, void *user)
{
	ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);
	ftl_att a = {.p = p, .g = g, .soft = id};
	search s = {.a = &a};
	const ftl_type *t;
	ftl_patch patch;
	ftl_val with;
	ftl_status_code built;
	bool on, done;
	int64_t e;

	FTL_UNUSED(user);
	if (n->op != FTL_OP_softmax)
		return FTL_OK;
	a.logits = n->in[0];
	t = ftl_type_of(g, a.logits);
	if (t->rank < 2 || (FTL_ATTRS(n, softmax)->axis != -1 && FTL_ATTRS(n, softmax)->axis != t->rank - 1))
		return FTL_OK;
	find_sink(&a);
	t = ftl_type_of(g, a.logits);
	a.m = t->dims[t->rank - 2];
	a.n = t->dims[t->rank - 1];
	find_product(&s, a.logits);
	if (!s.best)
		return FTL_OK; /* no attention */
	a.product = s.best;
	a.split = s.likeness == SPLIT ? s.split : 0;
	if (!cover_way(&a, a.logits, 0, &on) || !find_last(&a)) {
		ftl_pass_miss(p, FTL_ATT_WHAT, id, "%s", a.why);
		return FTL_OK;
	}
	if (!ftl_att_cover(&a, a.product) || !ftl_att_cover(&a, a.soft) || (a.split && !ftl_att_cover(&a, a.split))) {
		ftl_pass_miss(p, FTL_ATT_WHAT, id, "%s", a.why);
		return FTL_OK;
	}
	choose_view(&a);
	t = ftl_type_of(g, ftl_node_get(g, a.last)->in[a.swapped ? 0 : 1]);
	{
		bool trans = a.swapped ? !FTL_ATTRS(ftl_node_get(g, a.last), matmul)->trans_a
				       : FTL_ATTRS(ftl_node_get(g, a.last), matmul)->trans_b;

		if (!ftl_dim_is_const(g->st, t->dims[t->rank - 1 - trans], &e) || e > 2048) {
			ftl_pass_miss(p, FTL_ATT_WHAT, id, "the size of a value is not known, or above 2048");
			return FTL_OK;
		}
	}
	ftl_patch_begin(&patch, p, FTL_ATT_WHAT, a.last, a.covered, a.ncovered);
	patch.pays = true; /* the scores never reach memory, and transposes of operands cost nothing */
	built = ftl_att_build(&a, &patch, &with);
	if (built != FTL_OK) {
		ftl_patch_drop(&patch);
		ftl_pass_miss(p, FTL_ATT_WHAT, id, "%s", a.why[0] ? a.why : "its operands do not fit together");
		return FTL_OK;
	}
	return ftl_patch_commit(&patch, &with, &done);
}

ftl_status ftl_pass_fuse_attention(ftl_pass *p)
{
	return ftl_drive(p, visit, NULL);
}
