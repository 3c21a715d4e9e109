/* if, loop, scan: what comes out of regions.
 *
 * A region's nodes are inferred here, before their owner's results. A dim that is not the same on every path
 * becomes a fresh symbol: of a result, bound when the node is done; of a loop variable, bound anew at each
 * round (its binder is the parameter). No symbol that is bound inside a region is seen outside of it.
 *
 * Loop variables: each starts with its initial type; where the body hands back another dim, that dim becomes
 * a symbol and the body is inferred again. Dims only ever change from known to symbol, and after a few rounds
 * all that may still change become symbols at once, so the rounds are bounded. A symbol stays from one inference
 * to the next, so a loop inside a loop needs further rounds only for what changed: depth does not multiply them. */
#include "hooks.h"

#define MAX_ROUNDS 4

/* The yield of region r, or 0. */
static const ftl_node *yield_of(const ftl_graph *g, ftl_region_id r)
{
	ftl_node_id last = ftl_region_get(g, r)->last;

	return last && ftl_node_get(g, last)->op == FTL_OP_yield ? ftl_node_get(g, last) : NULL;
}

static ftl_status infer_region(ftl_infer *f, ftl_region_id r)
{
	FTL_FOREACH_NODE_IN(f->g, r, id)
		FTL_TRY(ftl_infer_node(f->g, id, f->diag));
	return FTL_OK;
}

static ftl_status check_region(ftl_infer *f, uint32_t i, uint32_t nparam, uint32_t min_yield)
{
	ftl_region_id r = ftl_infer_self(f)->regions[i];
	const ftl_node *y = yield_of(f->g, r);

	if (!y)
		return ftl_infer_fail(f, "region %u has no yield", i);
	if (ftl_region_get(f->g, r)->params.n != nparam)
		return ftl_infer_fail(f, "region %u has %u parameters, needs %u", i, ftl_region_get(f->g, r)->params.n,
				      nparam);
	if (y->nin < min_yield)
		return ftl_infer_fail(f, "region %u yields %u values, needs %u", i, y->nin, min_yield);
	for (uint32_t k = 0; k < y->nin; k++)
		if (!y->in[k])
			return ftl_infer_fail(f, "region %u yields nothing as value %u", i, k);
	return FTL_OK;
}

/* Is region r inside one of the regions that node id owns? */
static bool inside(const ftl_graph *g, ftl_region_id r, ftl_node_id id)
{
	while (ftl_region_get(g, r)->owner) {
		if (ftl_region_get(g, r)->owner == id)
			return true;
		r = ftl_node_get(g, ftl_region_get(g, r)->owner)->region;
	}
	return false;
}

typedef struct visibility {
	const ftl_graph *g;
	ftl_node_id owner;
	bool hidden;
} visibility;

static void see(void *user, ftl_dim sym)
{
	visibility *v = user;
	ftl_val binder = ftl_sym_binder(v->g, sym);

	v->hidden |= binder && inside(v->g, ftl_value_get(v->g, binder)->region, v->owner);
}

/* Does d mean the same outside of this node's regions? */
static bool visible(const ftl_infer *f, ftl_dim d)
{
	visibility v = {f->g, f->id, false};

	ftl_dim_symbols(f->g->st, d, see, &v);
	return !v.hidden;
}

static ftl_status want_same_kind(ftl_infer *f, const char *what, uint32_t k, const ftl_type *a, const ftl_type *b)
{
	if (!a->seq != !b->seq || (a->seq && a->seq->kind != b->seq->kind))
		return ftl_infer_fail(f, "%s %u is a %s on one way, a %s on the other", what, k,
				      a->seq ? ftl_seq_kind_name(a->seq->kind) : "tensor",
				      b->seq ? ftl_seq_kind_name(b->seq->kind) : "tensor");
	if (a->dtype != b->dtype)
		return ftl_infer_fail(f, "%s %u has element type %s on one way, %s on the other", what, k,
				      ftl_dtype_name(a->dtype), ftl_dtype_name(b->dtype));
	if (a->rank != b->rank)
		return ftl_infer_fail(f, "%s %u has rank %d on one way, %d on the other: shapes %s and %s", what, k,
				      a->rank, b->rank, ftl_hook_shape(f, a->rank, a->dims),
				      ftl_hook_shape(f, b->rank, b->dims));
	return FTL_OK;
}

static ftl_status want_scalar_bool(ftl_infer *f, const ftl_type *t, const char *what)
{
	int64_t c;

	if (t->seq)
		return ftl_infer_fail(f, "%s is no tensor", what);
	if (t->dtype != FTL_BOOL)
		return ftl_infer_fail(f, "%s has element type %s, which should be bool", what,
				      ftl_dtype_name(t->dtype));
	for (int i = 0; i < t->rank; i++)
		if (ftl_dim_is_const(f->g->st, t->dims[i], &c) && c != 1)
			return ftl_infer_fail(f, "%s should be a single element, has shape %s", what,
					      ftl_hook_shape(f, t->rank, t->dims));
	return FTL_OK;
}

/* ---- if ---- */

ftl_status ftl_infer_op_if(ftl_infer *f)
{
	const ftl_node *n = ftl_infer_self(f), *y[2];
	ftl_dim dims[FTL_MAX_RANK];

	FTL_TRY(ftl_hook_args_any(f, 1));
	FTL_TRY(want_scalar_bool(f, ftl_infer_in(f, 0), "the condition"));
	if (n->nregion != 2)
		return ftl_infer_fail(f, "has %u regions, needs two", n->nregion);
	for (uint32_t i = 0; i < 2; i++) {
		FTL_TRY(check_region(f, i, 0, 0));
		FTL_TRY(infer_region(f, n->regions[i]));
		y[i] = yield_of(f->g, n->regions[i]);
		if (y[i]->nin != n->nout)
			return ftl_infer_fail(f, "has %u results, region %u yields %u", n->nout, i, y[i]->nin);
	}
	for (uint32_t k = 0; k < n->nout; k++) {
		const ftl_type *a = ftl_type_of(f->g, y[0]->in[k]), *b = ftl_type_of(f->g, y[1]->in[k]);

		FTL_TRY(want_same_kind(f, "result", k, a, b));
		if (a->seq) {
			ftl_seq_type s = ftl_seq_join(a->seq, b->seq);

			ftl_infer_out_seq(f, k, a->dtype, &s);
			continue;
		}
		for (int i = 0; i < a->rank; i++)
			dims[i] = a->dims[i] == b->dims[i] && visible(f, a->dims[i]) ? a->dims[i]
										     : ftl_infer_fresh(f, k, i, "if");
		FTL_TRY(ftl_hook_out(f, k, a->dtype, a->rank, dims));
	}
	return FTL_OK;
}

/* ---- loop variables ---- */

/* Parameters [first, first + n) of region r carry values: in from inputs of the node starting at in0, back
 * from the yield's operands starting at y0. */
typedef struct carried {
	ftl_region_id r;
	uint32_t first, n, in0, y0;
} carried;

static ftl_val param_of(const ftl_infer *f, const carried *c, uint32_t k)
{
	return ftl_region_get(f->g, c->r)->params.v[c->first + k];
}

static void set_param(ftl_infer *f, ftl_val p, ftl_dtype t, int rank, const ftl_dim *dims)
{
	ftl_value *v = ftl_value_get(f->g, p);

	v->sym = NULL;
	v->nsym = 0;
	if (v->type.dtype == t && v->type.rank == rank && !v->type.seq &&
	    (rank == 0 || memcmp(v->type.dims, dims, (size_t)rank * sizeof *dims) == 0))
		return;
	v->type = ftl_type_make(f->g, t, rank, dims);
}

/* Parameter p also takes sequences like s; true if it did not before. */
static bool join_seq(ftl_infer *f, ftl_val p, ftl_dtype t, const ftl_seq_type *s)
{
	ftl_value *v = ftl_value_get(f->g, p);
	bool like = v->type.seq && v->type.seq->kind == s->kind && v->type.dtype == t;
	ftl_seq_type both = like ? ftl_seq_join(v->type.seq, s) : *s;

	if (like && ftl_seq_eq(v->type.seq, &both))
		return false;
	v->type = ftl_type_make_seq(f->g, t, &both);
	v->sym = NULL;
	v->nsym = 0;
	return true;
}

/* Is d a symbol that parameter p binds? */
static bool own(const ftl_infer *f, ftl_val p, ftl_dim d)
{
	return ftl_dim_get(f->g->st, d)->kind == FTL_DIM_SYM && ftl_sym_binder(f->g, d) == p;
}

static ftl_dim param_symbol(ftl_infer *f, ftl_val p)
{
	ftl_dim d = ftl_dim_fresh(f->g->st, "loop");

	ftl_sym_bind(f->g, d, p);
	return d;
}

/* Initial types; symbols of an earlier inference stay, so that inferring again settles. */
static ftl_status start_params(ftl_infer *f, const carried *c)
{
	ftl_dim dims[FTL_MAX_RANK];

	for (uint32_t k = 0; k < c->n; k++) {
		ftl_val p = param_of(f, c, k);
		const ftl_type *t = ftl_infer_in(f, c->in0 + k), *old = ftl_type_of(f->g, p);
		bool same_kind = old->dtype == t->dtype && old->rank == t->rank && !old->seq;

		if (!ftl_infer_has(f, c->in0 + k))
			return ftl_infer_fail(f, "the initial value of loop variable %u is missing", k);
		if (t->seq) {
			(void)join_seq(f, p, t->dtype, t->seq);
			continue;
		}
		for (int i = 0; i < t->rank; i++)
			dims[i] = same_kind && old->dims[i] != FTL_DIM_NONE && own(f, p, old->dims[i]) ? old->dims[i]
												       : t->dims[i];
		set_param(f, p, t->dtype, t->rank, dims);
	}
	return FTL_OK;
}

/* Widen parameters whose dims the body does not hand back; all: those of every variable that is not passed
 * through untouched. *out_changed: the body must be inferred again. */
static ftl_status join_params(ftl_infer *f, const carried *c, bool all, bool *out_changed)
{
	const ftl_node *y = yield_of(f->g, c->r);
	ftl_dim dims[FTL_MAX_RANK];

	*out_changed = false;
	for (uint32_t k = 0; k < c->n; k++) {
		ftl_val p = param_of(f, c, k), back = y->in[c->y0 + k];
		const ftl_type *t = ftl_type_of(f->g, p), *b = ftl_type_of(f->g, back);
		bool changed = false;

		FTL_TRY(want_same_kind(f, "loop variable", k, t, b));
		if (t->seq) {
			*out_changed |= join_seq(f, p, b->dtype, b->seq);
			continue;
		}
		for (int i = 0; i < t->rank; i++) {
			dims[i] = t->dims[i];
			if (own(f, p, t->dims[i]) || (t->dims[i] == b->dims[i] && !(all && back != p)))
				continue;
			dims[i] = param_symbol(f, p);
			changed = true;
		}
		if (changed)
			set_param(f, p, t->dtype, t->rank, dims);
		*out_changed |= changed;
	}
	return FTL_OK;
}

static ftl_status infer_body(ftl_infer *f, const carried *c)
{
	bool changed = true;

	FTL_TRY(start_params(f, c));
	for (int round = 0; changed; round++) {
		FTL_TRY(infer_region(f, c->r));
		/* after everything was widened there is nothing left to change */
		FTL_TRY(join_params(f, c, round >= MAX_ROUNDS, &changed));
	}
	return FTL_OK;
}

/* Results [0, n) of the node: the last values of the loop variables. */
static ftl_status carried_results(ftl_infer *f, const carried *c)
{
	ftl_dim dims[FTL_MAX_RANK];

	for (uint32_t k = 0; k < c->n; k++) {
		const ftl_type *in = ftl_infer_in(f, c->in0 + k), *p = ftl_type_of(f->g, param_of(f, c, k));

		if (p->seq) {
			ftl_infer_out_seq(f, k, p->dtype, p->seq);
			continue;
		}
		for (int i = 0; i < p->rank; i++)
			dims[i] = p->dims[i] == in->dims[i] ? in->dims[i] : ftl_infer_fresh(f, k, i, "loop");
		FTL_TRY(ftl_hook_out(f, k, p->dtype, p->rank, dims));
	}
	return FTL_OK;
}

/* Result k stacks a value the body yields along a new axis of `count` elements. */
static ftl_status stacked_result(ftl_infer *f, uint32_t k, const ftl_type *t, int axis, ftl_dim count)
{
	ftl_dim dims[FTL_MAX_RANK + 1];

	if (t->seq)
		return ftl_infer_fail(f, "result %u would stack sequences", k);
	for (int i = 0, j = 0; i <= t->rank; i++) {
		if (i == axis)
			dims[i] = count;
		else
			dims[i] = t->dims[j++];
		if (i != axis && !visible(f, dims[i]))
			dims[i] = ftl_infer_fresh(f, k, i, "scan");
	}
	return ftl_hook_out(f, k, t->dtype, t->rank + 1, dims);
}

/* ---- loop ---- */

/* Is contents element 0 of value v known to be true? */
static bool known_true(const ftl_graph *g, ftl_val v)
{
	const ftl_value *val = ftl_value_get(g, v);
	int64_t c;

	return val->nsym == 1 && val->sym[0] != FTL_DIM_NONE && ftl_dim_is_const(g->st, val->sym[0], &c) && c != 0;
}

ftl_status ftl_infer_op_loop(ftl_infer *f)
{
	const ftl_node *n = ftl_infer_self(f), *y;
	ftl_dim trips = FTL_DIM_NONE;
	ftl_val iter, cond;
	bool always;
	carried c;

	FTL_TRY(ftl_hook_args_any(f, 0));
	if (n->nin < 2)
		return ftl_infer_fail(f, "needs a trip count and a condition, even if left out");
	if (n->nregion != 1)
		return ftl_infer_fail(f, "has %u regions, needs one", n->nregion);
	c = (carried){.r = n->regions[0], .first = 2, .n = n->nin - 2, .in0 = 2, .y0 = 1};
	FTL_TRY(check_region(f, 0, c.n + 2, c.n + 1));
	y = yield_of(f->g, c.r);
	if (n->nout != y->nin - 1)
		return ftl_infer_fail(f, "has %u results, its region yields %u", n->nout, y->nin - 1);
	if (ftl_infer_has(f, 0)) {
		FTL_TRY(ftl_hook_want_tensor(f, 0));
		FTL_TRY(ftl_hook_want_int(f, 0));
		FTL_TRY(ftl_hook_want_one(f, 0, "the trip count"));
		trips = ftl_dim_max(f->g->st, ftl_hook_elem(f, 0, 0), ftl_hook_const(f, 0));
	}
	if (ftl_infer_has(f, 1))
		FTL_TRY(want_scalar_bool(f, ftl_infer_in(f, 1), "the condition"));
	iter = ftl_region_get(f->g, c.r)->params.v[0];
	cond = ftl_region_get(f->g, c.r)->params.v[1];
	set_param(f, iter, FTL_I64, 0, NULL);
	set_param(f, cond, FTL_BOOL, 0, NULL);
	FTL_TRY(infer_body(f, &c));
	y = yield_of(f->g, c.r);
	FTL_TRY(want_scalar_bool(f, ftl_type_of(f->g, y->in[0]), "the condition"));
	FTL_TRY(carried_results(f, &c));

	always = (!ftl_infer_has(f, 1) || known_true(f->g, n->in[1])) &&
		 (y->in[0] == cond || known_true(f->g, y->in[0]));
	for (uint32_t k = c.n; k < n->nout; k++) {
		ftl_dim count = trips;

		if (!always || trips == FTL_DIM_NONE) {
			count = ftl_infer_fresh(f, k, 0, "trips");
			if (trips != FTL_DIM_NONE)
				ftl_dim_set_upper(f->g->st, count, trips);
		}
		FTL_TRY(stacked_result(f, k, ftl_type_of(f->g, y->in[1 + k]), 0, count));
	}
	return FTL_OK;
}

/* ---- scan ---- */

static ftl_status scan_axis(ftl_infer *f, ftl_ints axes, uint32_t k, int rank, int *out)
{
	return ftl_infer_axis(f, ftl_hook_int_or(axes, k, 0), rank, out);
}

ftl_status ftl_infer_op_scan(ftl_infer *f)
{
	const ftl_node *n = ftl_infer_self(f), *y;
	const struct ftl_attrs_scan *a = FTL_ATTRS(n, scan);
	ftl_dim steps = FTL_DIM_NONE, dims[FTL_MAX_RANK];
	uint32_t nscan, nstack;
	carried c;

	FTL_TRY(ftl_hook_args_any(f, n->nin));
	if (n->nregion != 1)
		return ftl_infer_fail(f, "has %u regions, needs one", n->nregion);
	if (a->num_scan_inputs < 1 || a->num_scan_inputs > (int64_t)n->nin)
		return ftl_infer_fail(f, "num_scan_inputs %lld of %u inputs", (long long)a->num_scan_inputs, n->nin);
	nscan = (uint32_t)a->num_scan_inputs;
	c = (carried){.r = n->regions[0], .first = 0, .n = n->nin - nscan, .in0 = 0, .y0 = 0};
	FTL_TRY(check_region(f, 0, n->nin, c.n));
	y = yield_of(f->g, c.r);
	nstack = y->nin - c.n;
	if (n->nout != y->nin)
		return ftl_infer_fail(f, "has %u results, its region yields %u", n->nout, y->nin);
	if ((a->in_axes.n && a->in_axes.n != nscan) || (a->in_reverse.n && a->in_reverse.n != nscan) ||
	    (a->out_axes.n && a->out_axes.n != nstack) || (a->out_reverse.n && a->out_reverse.n != nstack))
		return ftl_infer_fail(f, "axes or directions do not fit %u scanned inputs and %u stacked results",
				      nscan, nstack);
	for (uint32_t k = 0; k < nscan; k++) {
		const ftl_type *t = ftl_infer_in(f, c.n + k);
		int axis, rank = 0;

		FTL_TRY(ftl_hook_want_tensor(f, c.n + k));
		FTL_TRY(scan_axis(f, a->in_axes, k, t->rank, &axis));
		if (steps == FTL_DIM_NONE)
			steps = t->dims[axis];
		FTL_TRY(ftl_hook_unify(f, steps, t->dims[axis], "lengths of scanned inputs", &steps));
		for (int i = 0; i < t->rank; i++)
			if (i != axis)
				dims[rank++] = t->dims[i];
		set_param(f, ftl_region_get(f->g, c.r)->params.v[c.n + k], t->dtype, rank, dims);
	}
	FTL_TRY(infer_body(f, &c));
	FTL_TRY(carried_results(f, &c));
	y = yield_of(f->g, c.r);
	for (uint32_t k = 0; k < nstack; k++) {
		const ftl_type *t = ftl_type_of(f->g, y->in[c.n + k]);
		int axis;

		FTL_TRY(scan_axis(f, a->out_axes, k, t->rank + 1, &axis));
		FTL_TRY(stacked_result(f, c.n + k, t, axis, steps));
	}
	return FTL_OK;
}
