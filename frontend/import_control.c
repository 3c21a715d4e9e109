/* If, Loop, Scan.
 *
 * An If whose condition is known at import becomes the branch it takes. Bodies are imported with the types their
 * variables have: a dim that a round of a loop changes becomes a symbol, and the body is imported again, since what it
 * resolved from the old dim would be stale. A loop variable the body hands back untouched is its initial value.
 * A sequence that a Loop only appends to, tensors of one shape, becomes a stacked result of the loop. Any other sequence or
 * optional that crosses the border of a region is a value of the graph. */
#include "imp.h"
#include "ir/infer.h"

#define MAX_GUESS 5 /* rank of the elements of a sequence */

typedef struct inside {
	imp_scope *scope;
	ftl_region_id region;
	ftl_node_id before;
} inside;

static inside enter(imp *m, ftl_region_id r)
{
	inside was = {NULL, m->b.region, m->b.before};

	was.scope = ftl_imp_scope_push(m, true);
	m->b.region = r;
	m->b.before = 0;
	return was;
}

static void leave(imp *m, inside was)
{
	ftl_imp_scope_pop(m, was.scope);
	m->b.region = was.region;
	m->b.before = was.before;
}

static ftl_val result_tensor(imp *m, const Onnx__GraphProto *gp, size_t k)
{
	const imp_bound *b = ftl_imp_result(m, gp, k);

	if (b && ftl_imp_kind(m, b) != IMP_TENSOR) {
		bad_model(m, "result %zu of the subgraph, \"%s\", is no tensor", k, gp->output[k]->name);
		return 0;
	}
	if (b && !b->v)
		bad_model(m, "result %zu of the subgraph, \"%s\", is left out", k, gp->output[k]->name);
	return b ? b->v : 0;
}

void ftl_imp_finish(imp *m, ftl_node_id id)
{
	ftl_status_code rc;
	const char *colon;

	if (m->failed)
		return;
	ftl_diag_clear(&m->local);
	rc = ftl_infer_node(m->g, id, &m->local);
	if (rc != FTL_OK) {
		colon = strstr(m->local.text, "): ");
		ftl_imp_fail(m, rc, "%s", colon ? colon + 3 : m->local.text);
	}
}

static ftl_val as_scalar(imp *m, ftl_val v)
{
	return v && rank_of(m, v) > 0 ? ftl_imp_reshape(m, v, 0, NULL) : v;
}

/* ---- If ---- */

static void inline_branch(imp *m, const Onnx__GraphProto *gp)
{
	imp_scope *before = ftl_imp_scope_push(m, true);

	if (gp->n_output < m->cur->nout)
		bad_model(m, "has %u outputs, its branch %zu", m->cur->nout, gp->n_output);
	ftl_imp_graph(m, gp);
	for (uint32_t k = 0; k < m->cur->nout && !m->failed; k++) {
		const imp_bound *b = ftl_imp_result(m, gp, k);
		if (b)
			m->cur->out[k] = *b;
	}
	ftl_imp_scope_pop(m, before);
}

/* Exporters turn `squeeze if the size is 1` into an If whose branches differ in rank. What follows was traced with the
 * lower one, so the other branch reshapes to it: where that does not fit, the run ends with an error. */
static void same_rank(imp *m, const ftl_region_id *region, ftl_val *const *out, uint32_t k)
{
	int low = rank_of(m, out[1][k]) < rank_of(m, out[0][k]);
	const ftl_type *t = ftl_imp_type(m, out[low][k]);

	if (t->seq || t->rank == rank_of(m, out[!low][k]))
		return;
	inside was = enter(m, region[!low]);
	out[!low][k] = ftl_imp_reshape(m, out[!low][k], t->rank, t->dims);
	leave(m, was);
}

/* What the results of two branches, or of two rounds, have in common: an optional may also be there. */
static int common_kind(int a, int b)
{
	if ((a == FTL_SEQ_OPT && b == IMP_TENSOR) || (a == FTL_SEQ_OPT_LIST && b == FTL_SEQ_LIST))
		return a;
	if ((b == FTL_SEQ_OPT && a == IMP_TENSOR) || (b == FTL_SEQ_OPT_LIST && a == FTL_SEQ_LIST))
		return b;
	return a;
}

void ftl_imp_do_if(imp *m)
{
	ftl_val cond = ftl_imp_need(m, 0), *out[2];
	imp_bound *result[2];
	ftl_region_id region[2];
	const Onnx__GraphProto *branch[2] = {ftl_imp_subgraph(m, "then_branch"), ftl_imp_subgraph(m, "else_branch")};
	uint32_t n = m->cur->nout;
	ftl_node_id id;
	double known;

	if (m->failed)
		return;
	if (ftl_imp_known_f(m, cond, &known)) {
		inline_branch(m, branch[known == 0]);
		return;
	}
	if (branch[0]->n_output != n || branch[1]->n_output != n) {
		bad_model(m, "has %u outputs, its branches %zu and %zu", n, branch[0]->n_output, branch[1]->n_output);
		return;
	}
	cond = as_scalar(m, cond);
	if (m->failed)
		return;
	id = ftl_node_new(&m->b, FTL_OP_if, &cond, 1, NULL, n);
	for (int i = 0; i < 2; i++) {
		out[i] = FTL_NEW_N(m->tmp, ftl_val, n + 1);
		region[i] = ftl_region_new(m->g, id);
		inside was = enter(m, region[i]);
		ftl_imp_graph(m, branch[i]);
		result[i] = FTL_NEW_N(m->tmp, imp_bound, n + 1);
		for (uint32_t k = 0; k < n && !m->failed; k++) {
			const imp_bound *b = ftl_imp_result(m, branch[i], k);
			if (b)
				result[i][k] = *b;
		}
		leave(m, was);
	}
	for (uint32_t k = 0; k < n && !m->failed; k++) {
		int kind = common_kind(ftl_imp_kind(m, &result[0][k]), ftl_imp_kind(m, &result[1][k]));
		for (int i = 0; i < 2; i++) {
			inside was = enter(m, region[i]);
			out[i][k] = ftl_imp_value(m, &result[i][k], kind);
			leave(m, was);
		}
		if (!m->failed)
			same_rank(m, region, out, k);
	}
	for (int i = 0; i < 2 && !m->failed; i++) {
		inside was = enter(m, region[i]);
		ftl_build_yield(&m->b, out[i], n);
		leave(m, was);
	}
	ftl_imp_finish(m, id);
	for (uint32_t k = 0; k < n && !m->failed; k++)
		ftl_imp_out(m, k, ftl_node_get(m->g, id)->out[k]);
}

/* ---- loop variables ---- */

typedef struct variable {
	enum { CARRIED, SAME, SEQUENCE } kind;
	imp_bound init;
	int what;      /* CARRIED: IMP_TENSOR or an ftl_seq_kind */
	ftl_type type; /* CARRIED: of the parameter */
	bool wide[FTL_MAX_RANK];
	bool guessed; /* CARRIED, a sequence: the elements' rank is a guess */
	bool demoted; /* SEQUENCE, but the items are not of one shape */
	ftl_val result;
	imp_seq *seq; /* SEQUENCE: what the body sees */
} variable;

/* Variable v becomes a value that the loop carries. */
static void carry(imp *m, variable *v, int kind)
{
	v->kind = CARRIED;
	v->what = kind;
	v->init = (imp_bound){.v = ftl_imp_value(m, &v->init, kind)};
	if (m->failed)
		return;
	v->type = *ftl_imp_type(m, v->init.v);
	v->type.enc = NULL;
}

static void start(imp *m, variable *v, const ftl_map *names, const Onnx__GraphProto *gp, size_t in, size_t out)
{
	const char *pi = gp->input[in]->name ? gp->input[in]->name : "",
		   *po = gp->output[out]->name ? gp->output[out]->name : "";

	if (ftl_imp_passes_through(names, pi, po)) {
		v->kind = SAME;
	} else if (v->init.seq && !v->init.optional && !v->init.seq->base && !v->init.seq->open &&
		   ftl_imp_appends(gp, pi, po)) {
		v->kind = SEQUENCE;
	} else if (!v->init.v && !v->init.seq && !v->init.optional) {
		if (!m->failed)
			bad_model(m, "the initial value of loop variable \"%s\" is missing", pi);
	} else {
		carry(m, v, ftl_imp_kind(m, &v->init));
	}
}

/* A fresh symbol for every dim the body changed; true if there was one. */
static bool widen(imp *m, variable *v, const char *name)
{
	const ftl_type *r = ftl_imp_type(m, v->result);
	ftl_dim d[FTL_MAX_RANK];
	bool changed = false;

	if (m->failed)
		return false;
	if (v->type.seq && r->seq && r->dtype == v->type.dtype) {
		ftl_seq_type s = ftl_seq_join(v->type.seq, r->seq);
		changed = !ftl_seq_eq(&s, v->type.seq);
		if (v->guessed && s.rank != v->type.seq->rank)
			unsupported(m, "the elements of loop variable \"%s\" have different ranks", name);
		v->type = ftl_type_make_seq(m->g, r->dtype, &s);
		return changed && !m->failed;
	}
	if (r->dtype != v->type.dtype || r->rank != v->type.rank) {
		unsupported(m, "loop variable \"%s\" changes from %s of rank %d to %s of rank %d", name,
			    ftl_dtype_name(v->type.dtype), v->type.rank, ftl_dtype_name(r->dtype), r->rank);
		return false;
	}
	for (int i = 0; i < r->rank; i++) {
		d[i] = v->type.dims[i];
		if (v->wide[i] || d[i] == r->dims[i])
			continue;
		d[i] = ftl_dim_fresh(m->st, "loop");
		v->wide[i] = changed = true;
	}
	if (changed)
		v->type = ftl_type_make(m->g, v->type.dtype, r->rank, d);
	return changed;
}

static void bind_variable(imp *m, variable *v, ftl_region_id r, const char *name)
{
	if (v->kind == CARRIED) {
		ftl_imp_bind(m, name, (imp_bound){.v = ftl_param_new(m->g, r, v->type, name)});
	} else if (v->kind == SAME) {
		ftl_imp_bind(m, name, v->init);
	} else {
		v->seq = FTL_NEW(m->tmp, imp_seq);
		v->seq->dtype = v->init.seq->dtype;
		v->seq->open = true;
		ftl_imp_bind(m, name, (imp_bound){.seq = v->seq});
	}
}

static void take_result(imp *m, variable *v, const Onnx__GraphProto *gp, size_t k)
{
	const imp_bound *b = v->kind == SAME ? NULL : ftl_imp_result(m, gp, k);

	if (!b)
		return;
	if (v->kind == CARRIED) {
		v->what = common_kind(v->what, ftl_imp_kind(m, b));
		v->result = ftl_imp_value(m, b, v->what);
	} else if (!b->seq || b->seq->base != v->seq || b->seq->items.n != 1 || b->seq->items.v[0].stacked) {
		unsupported(m, "a sequence changes in a way that the loop does not show");
	} else {
		v->result = b->seq->items.v[0].v;
	}
}

typedef struct varying {
	ftl_dim known; /* symbols up to this one */
	bool found;
} varying;

static void see_symbol(void *user, ftl_dim sym)
{
	varying *v = user;

	v->found |= sym > v->known;
}

/* May items that a round appends differ in shape from those of another round: does a dim mention a symbol that came up since
 * the loop began? */
static bool varies(imp *m, ftl_val item, ftl_dim known)
{
	const ftl_type *t = ftl_imp_type(m, item);
	varying v = {known, false};

	for (int i = 0; i < t->rank; i++)
		ftl_dim_symbols(m->st, t->dims[i], see_symbol, &v);
	return v.found;
}

static const char *input_name(const Onnx__GraphProto *gp, size_t k)
{
	return gp->input[k]->name ? gp->input[k]->name : "";
}

/* ---- Loop ---- */

typedef struct loop {
	const Onnx__GraphProto *gp;
	uint32_t nvar, nscan;
	variable *var;
	ftl_node_id id;
	ftl_dim known; /* symbols when the loop began */
} loop;

/* One import of the body; true if a variable had to be widened and it must be done again. */
static bool loop_body(imp *m, loop *l, ftl_val trips, ftl_val cond)
{
	uint32_t nin = 2, nout = l->nscan, ny = 0;
	ftl_val *in = FTL_NEW_N(m->tmp, ftl_val, l->nvar + 3), *y = FTL_NEW_N(m->tmp, ftl_val, l->nvar + l->nscan + 2);
	bool again = false;
	ftl_region_id r;

	in[0] = trips;
	in[1] = cond;
	for (uint32_t k = 0; k < l->nvar; k++) {
		if (l->var[k].kind == CARRIED)
			in[nin++] = l->var[k].init.v;
		nout += l->var[k].kind != SAME;
	}
	l->id = ftl_node_new(&m->b, FTL_OP_loop, in, nin, NULL, nout);
	r = ftl_region_new(m->g, l->id);
	inside was = enter(m, r);
	ftl_imp_bind(
		m, input_name(l->gp, 0),
		(imp_bound){.v = ftl_param_new(m->g, r, ftl_type_make(m->g, FTL_I64, 0, NULL), input_name(l->gp, 0))});
	ftl_imp_bind(
		m, input_name(l->gp, 1),
		(imp_bound){.v = ftl_param_new(m->g, r, ftl_type_make(m->g, FTL_BOOL, 0, NULL), input_name(l->gp, 1))});
	for (uint32_t k = 0; k < l->nvar; k++)
		bind_variable(m, &l->var[k], r, input_name(l->gp, k + 2));
	ftl_imp_graph(m, l->gp);
	y[ny++] = as_scalar(m, result_tensor(m, l->gp, 0));
	for (uint32_t k = 0; k < l->nvar && !m->failed; k++) {
		take_result(m, &l->var[k], l->gp, k + 1);
		if (m->failed)
			break;
		if (l->var[k].kind == CARRIED) {
			y[ny++] = l->var[k].result;
			if (l->var[k].what != ftl_imp_kind(m, &l->var[k].init))
				again = l->var[k].demoted = true;
			else
				again |= widen(m, &l->var[k], input_name(l->gp, k + 2));
		} else if (l->var[k].kind == SEQUENCE && varies(m, l->var[k].result, l->known)) {
			again = l->var[k].demoted = true;
		}
	}
	for (uint32_t k = 0; k < l->nscan && !m->failed; k++)
		y[ny++] = result_tensor(m, l->gp, 1 + l->nvar + k);
	for (uint32_t k = 0; k < l->nvar && !m->failed; k++)
		if (l->var[k].kind == SEQUENCE)
			y[ny++] = l->var[k].result;
	if (!m->failed)
		ftl_build_yield(&m->b, y, ny);
	leave(m, was);
	return again && !m->failed;
}

static void import_body(imp *m, loop *l, ftl_val trips, ftl_val cond)
{
	while (loop_body(m, l, trips, cond)) {
		ftl_node_erase(m->g, l->id);
		for (uint32_t k = 0; k < l->nvar && !m->failed; k++) {
			variable *v = &l->var[k];
			if (!v->demoted)
				continue;
			carry(m, v, v->kind == SEQUENCE ? FTL_SEQ_LIST : v->what);
			v->demoted = false;
		}
	}
}

/* The rank that the body declares for the elements of parameter k, or `otherwise`. */
static int8_t declared_rank(const Onnx__GraphProto *gp, size_t k, int8_t otherwise)
{
	const Onnx__TypeProto *t = gp->input[k]->type;

	if (t && t->optional_type)
		t = t->optional_type->elem_type;
	if (t && t->sequence_type)
		t = t->sequence_type->elem_type;
	if (!t || !t->tensor_type || !t->tensor_type->shape || t->tensor_type->shape->n_dim > FTL_MAX_RANK)
		return otherwise;
	return (int8_t)t->tensor_type->shape->n_dim;
}

/* The body takes something out of a sequence that is empty before the first round, and what it puts in depends on that:
 * ranks are tried out, the declared ones first, then the same one for all. */
static void guess_rank(imp *m, loop *l, ftl_val trips, ftl_val cond)
{
	ftl_status_code status = m->status;
	ftl_diag first = *m->diag;
	bool any = false;

	for (uint32_t k = 0; k < l->nvar; k++) {
		variable *v = &l->var[k];
		v->guessed = v->kind == CARRIED && v->type.seq && v->type.seq->rank == FTL_SEQ_EMPTY;
		any |= v->guessed;
	}
	for (int8_t rank = -1; any && m->failed && rank <= MAX_GUESS; rank++) {
		for (uint32_t k = 0; k < l->nvar; k++) {
			ftl_seq_type s = {.rank = rank < 0 ? declared_rank(l->gp, k + 2, 1) : rank};
			if (!l->var[k].guessed)
				continue;
			s.kind = (ftl_seq_kind)l->var[k].what;
			for (int i = 0; i < s.rank; i++)
				s.dims[i] = -1;
			l->var[k].type = ftl_type_make_seq(m->g, l->var[k].type.dtype, &s);
		}
		ftl_node_erase(m->g, l->id);
		ftl_diag_clear(m->diag);
		m->failed = m->needs_rank = false;
		import_body(m, l, trips, cond);
	}
	if (m->failed) {
		*m->diag = first;
		m->status = status;
	}
}

void ftl_imp_do_loop(imp *m)
{
	ftl_val trips = ftl_imp_in(m, 0), cond = ftl_imp_in(m, 1);
	loop l = {.gp = ftl_imp_subgraph(m, "body")};
	uint32_t next = 0;
	double known;

	if (m->failed)
		return;
	l.nvar = m->cur->nin > 2 ? m->cur->nin - 2 : 0;
	if (l.gp->n_input != l.nvar + 2 || l.gp->n_output < l.nvar + 1 || l.gp->n_output > IMP_MAX_IN ||
	    m->cur->nout > l.gp->n_output - 1) {
		bad_model(m, "has %u inputs and %u outputs, its body %zu and %zu", m->cur->nin, m->cur->nout,
			  l.gp->n_input, l.gp->n_output);
		return;
	}
	l.nscan = (uint32_t)l.gp->n_output - 1 - l.nvar;
	l.var = FTL_NEW_N(m->tmp, variable, l.nvar + 1);
	ftl_map *names = ftl_imp_renamed(m, l.gp);
	for (uint32_t k = 0; k < l.nvar && !m->failed; k++) {
		l.var[k].init = m->cur->in[k + 2];
		start(m, &l.var[k], names, l.gp, k + 2, k + 1);
	}
	trips = as_scalar(m, trips);
	if (trips)
		trips = ftl_imp_cast(m, trips, FTL_I64);
	cond = cond && ftl_imp_known_f(m, cond, &known) && known != 0 ? 0 : as_scalar(m, cond);
	if (m->failed)
		return;
	bool idle = l.nscan == 0;
	for (uint32_t k = 0; k < l.nvar; k++)
		idle = idle && l.var[k].kind == SAME;
	if (idle) { /* whatever the rounds do, nothing comes out */
		for (uint32_t k = 0; k < m->cur->nout; k++)
			m->cur->out[k] = l.var[k].init;
		return;
	}
	l.known = ftl_dim_count(m->st);
	m->needs_rank = false;
	import_body(m, &l, trips, cond);
	if (m->failed && m->needs_rank)
		guess_rank(m, &l, trips, cond);
	ftl_imp_finish(m, l.id);
	if (m->failed)
		return;
	const ftl_val *out = ftl_node_get(m->g, l.id)->out;
	for (uint32_t k = 0; k < l.nvar; k++) {
		if (l.var[k].kind == CARRIED)
			ftl_imp_out(m, k, out[next++]);
		else if (l.var[k].kind == SAME && k < m->cur->nout)
			m->cur->out[k] = l.var[k].init;
	}
	for (uint32_t k = 0; k < l.nscan; k++)
		ftl_imp_out(m, l.nvar + k, out[next++]);
	for (uint32_t k = 0; k < l.nvar; k++) {
		if (l.var[k].kind != SEQUENCE)
			continue;
		imp_seq *s = FTL_NEW(m->tmp, imp_seq);
		s->base = l.var[k].init.seq->open ? l.var[k].init.seq : l.var[k].init.seq->base;
		s->dtype = l.var[k].init.seq->dtype;
		for (uint32_t i = 0; i < l.var[k].init.seq->items.n; i++)
			ftl_vec_push(m->tmp, &s->items, l.var[k].init.seq->items.v[i]);
		ftl_vec_push(m->tmp, &s->items, ((imp_item){out[next++], true}));
		if (k < m->cur->nout)
			m->cur->out[k].seq = s;
	}
}

/* ---- Scan ---- */

static ftl_ints scan_list(imp *m, const char *name, uint32_t n)
{
	ftl_ints l = ftl_imp_ints(m, name);

	if (l.n == 0)
		return ftl_imp_ints_copy(m, n, FTL_NEW_N(m->tmp, int64_t, n + 1));
	if (l.n != n && !m->failed)
		bad_model(m, "%s has %u entries, needs %u", name, l.n, n);
	return l;
}

/* As loop_body. */
static bool scan_body(imp *m, loop *l, const ftl_val *scanned, uint32_t nscanned, const struct ftl_attrs_scan *attrs)
{
	uint32_t n = l->nvar + nscanned, ny = l->nvar + l->nscan;
	ftl_val *in = FTL_NEW_N(m->tmp, ftl_val, n + 1), *y = FTL_NEW_N(m->tmp, ftl_val, ny + 1);
	struct ftl_attrs_scan *a = NEW_ATTRS(m, scan);
	int64_t *axes = FTL_NEW_N(m->tmp, int64_t, l->nscan + 1);
	bool again = false;
	ftl_region_id r;

	*a = *attrs;
	for (uint32_t k = 0; k < l->nvar; k++)
		in[k] = l->var[k].init.v;
	for (uint32_t k = 0; k < nscanned; k++)
		in[l->nvar + k] = scanned[k];
	l->id = ftl_node_new(&m->b, FTL_OP_scan, in, n, a, ny);
	r = ftl_region_new(m->g, l->id);
	inside was = enter(m, r);
	for (uint32_t k = 0; k < l->nvar; k++)
		bind_variable(m, &l->var[k], r, input_name(l->gp, k));
	for (uint32_t k = 0; k < nscanned; k++) {
		const ftl_type *t = ftl_imp_type(m, scanned[k]);
		ftl_dim d[FTL_MAX_RANK];
		int rank = 0;
		for (int i = 0; i < t->rank; i++)
			if (i != attrs->in_axes.v[k])
				d[rank++] = t->dims[i];
		const char *name = input_name(l->gp, l->nvar + k);
		ftl_imp_bind(m, name,
			     (imp_bound){.v = ftl_param_new(m->g, r, ftl_type_make(m->g, t->dtype, rank, d), name)});
	}
	ftl_imp_graph(m, l->gp);
	for (uint32_t k = 0; k < l->nvar && !m->failed; k++) {
		y[k] = l->var[k].result = result_tensor(m, l->gp, k);
		again |= widen(m, &l->var[k], input_name(l->gp, k));
	}
	for (uint32_t k = 0; k < l->nscan && !m->failed; k++) {
		y[l->nvar + k] = result_tensor(m, l->gp, l->nvar + k);
		axes[k] = ftl_imp_axis(m, attrs->out_axes.v[k], rank_of(m, y[l->nvar + k]) + 1);
	}
	((struct ftl_attrs_scan *)ftl_node_get(m->g, l->id)->attrs)->out_axes = ftl_imp_ints_copy(m, l->nscan, axes);
	if (!m->failed)
		ftl_build_yield(&m->b, y, ny);
	leave(m, was);
	return again && !m->failed;
}

/* Subgraph and inputs of the current node, whose variables and scanned inputs start at input `first`; false on error. */
static bool scan_inputs(imp *m, loop *l, uint32_t first, int64_t *out_scanned)
{
	int64_t scanned = ftl_imp_i(m, "num_scan_inputs", 0);
	uint32_t nin = m->cur->nin > first ? m->cur->nin - first : 0;

	l->gp = ftl_imp_subgraph(m, "body");
	if (m->failed)
		return false;
	if (scanned < 1 || scanned > nin || l->gp->n_input != nin || l->gp->n_output < nin - (uint32_t)scanned ||
	    l->gp->n_output > IMP_MAX_IN || m->cur->nout > l->gp->n_output) {
		bad_model(m, "has %u inputs (%lld scanned) and %u outputs, its body %zu and %zu", nin,
			  (long long)scanned, m->cur->nout, l->gp->n_input, l->gp->n_output);
		return false;
	}
	l->nvar = nin - (uint32_t)scanned;
	l->nscan = (uint32_t)l->gp->n_output - l->nvar;
	l->var = FTL_NEW_N(m->tmp, variable, l->nvar + 1);
	*out_scanned = scanned;
	return true;
}

static void scan_variable(imp *m, loop *l, uint32_t k, ftl_val init)
{
	l->var[k].init.v = init;
	l->var[k].kind = CARRIED;
	l->var[k].type = *ftl_imp_type(m, init);
}

/* The node; its attributes have in_axes in range. */
static void scan_node(imp *m, loop *l, const ftl_val *scanned, const struct ftl_attrs_scan *a)
{
	while (!m->failed && scan_body(m, l, scanned, (uint32_t)a->num_scan_inputs, a))
		ftl_node_erase(m->g, l->id);
	ftl_imp_finish(m, l->id);
}

void ftl_imp_do_scan(imp *m)
{
	struct ftl_attrs_scan *a = NEW_ATTRS(m, scan);
	int64_t nscanned, *axes;
	ftl_val *scanned;
	loop l = {0};

	if (!scan_inputs(m, &l, 0, &nscanned))
		return;
	scanned = FTL_NEW_N(m->tmp, ftl_val, (size_t)nscanned);
	axes = FTL_NEW_N(m->tmp, int64_t, (size_t)nscanned);
	a->num_scan_inputs = nscanned;
	a->in_axes = scan_list(m, "scan_input_axes", (uint32_t)nscanned);
	a->out_axes = scan_list(m, "scan_output_axes", l.nscan);
	a->in_reverse = scan_list(m, "scan_input_directions", (uint32_t)nscanned);
	a->out_reverse = scan_list(m, "scan_output_directions", l.nscan);
	for (uint32_t k = 0; k < l.nvar && !m->failed; k++)
		scan_variable(m, &l, k, ftl_imp_need(m, k));
	for (uint32_t k = 0; k < nscanned && !m->failed; k++) {
		scanned[k] = ftl_imp_need(m, l.nvar + k);
		axes[k] = ftl_imp_axis(m, a->in_axes.v[k], rank_of(m, scanned[k]));
	}
	if (m->failed)
		return;
	a->in_axes = ftl_imp_ints_copy(m, (uint32_t)nscanned, axes);
	scan_node(m, &l, scanned, a);
	for (uint32_t k = 0; k < m->cur->nout && !m->failed; k++)
		ftl_imp_out(m, k, ftl_node_get(m->g, l.id)->out[k]);
}

/* ---- Scan of opset 8: one scan per batch ---- */

/* v's first len elements along axis 0 */
static ftl_val first_of(imp *m, ftl_val v, ftl_val len)
{
	struct ftl_attrs_slice *a = NEW_ATTRS(m, slice);

	a->axes = ftl_imp_ints_copy(m, 1, &(int64_t){0});
	return ftl_imp_op(m, FTL_OP_slice, a, 3, (const ftl_val[]){v, ftl_imp_filled(m, 1, 0), len});
}

/* v with zeros behind it, `whole` elements along axis 0 */
static ftl_val filled_up(imp *m, ftl_val v, ftl_val len, ftl_dim whole)
{
	struct ftl_attrs_pad *a = NEW_ATTRS(m, pad);
	ftl_val pads[2] = {ftl_imp_filled(m, 1, 0), e_sub(m, ftl_imp_dims_vec(m, 1, &whole), len)};
	ftl_dim d[FTL_MAX_RANK];
	int r = rank_of(m, v);

	for (int i = 0; i < r; i++)
		d[i] = i ? ftl_imp_dim(m, v, i) : whole;
	a->axes = ftl_imp_ints_copy(m, 1, &(int64_t){0});
	v = ftl_imp_op(m, FTL_OP_pad, a, 3, (const ftl_val[]){v, 0, ftl_imp_concat(m, 0, 2, pads)});
	return ftl_imp_reshape(m, v, r, d);
}

static ftl_val batch_param(imp *m, ftl_region_id r, ftl_val v)
{
	const ftl_type *t = ftl_imp_type(m, v);

	if (m->failed || t->rank < 1) {
		if (!m->failed)
			bad_model(m, "an input has no batch axis");
		return 0;
	}
	return ftl_param_new(m->g, r, ftl_type_make(m->g, t->dtype, t->rank - 1, t->dims + 1), NULL);
}

void ftl_imp_do_scan8(imp *m)
{
	struct ftl_attrs_scan *outer = NEW_ATTRS(m, scan), *a = NEW_ATTRS(m, scan);
	ftl_val lens = ftl_imp_in(m, 0), *in, *scanned, *y, len = 0;
	int64_t nscanned, *zeros;
	uint32_t n = 0, ny;
	ftl_node_id id;
	ftl_region_id r;
	ftl_dim whole;
	loop l = {0};

	if (!scan_inputs(m, &l, 1, &nscanned))
		return;
	ny = l.nvar + l.nscan;
	in = FTL_NEW_N(m->tmp, ftl_val, m->cur->nin);
	y = FTL_NEW_N(m->tmp, ftl_val, ny + 1);
	scanned = FTL_NEW_N(m->tmp, ftl_val, (size_t)nscanned);
	zeros = FTL_NEW_N(m->tmp, int64_t, m->cur->nin + ny);
	if (lens)
		in[n++] = ftl_imp_cast(m, lens, FTL_I64);
	for (uint32_t k = 1; k < m->cur->nin; k++)
		in[n++] = ftl_imp_need(m, k);
	whole = ftl_imp_dim(m, in[n - 1], 1);
	if (m->failed)
		return;
	outer->num_scan_inputs = n;
	outer->in_axes = outer->in_reverse = ftl_imp_ints_copy(m, n, zeros);
	outer->out_axes = outer->out_reverse = ftl_imp_ints_copy(m, ny, zeros);
	a->num_scan_inputs = nscanned;
	a->in_axes = ftl_imp_ints_copy(m, (uint32_t)nscanned, zeros);
	a->in_reverse = scan_list(m, "directions", (uint32_t)nscanned);
	a->out_axes = a->out_reverse = ftl_imp_ints_copy(m, l.nscan, zeros);
	id = ftl_node_new(&m->b, FTL_OP_scan, in, n, outer, ny);
	r = ftl_region_new(m->g, id);
	inside was = enter(m, r);
	n = 0;
	if (lens)
		len = ftl_imp_vector(m, batch_param(m, r, in[n++]));
	for (uint32_t k = 0; k < l.nvar && !m->failed; k++)
		scan_variable(m, &l, k, batch_param(m, r, in[n++]));
	for (uint32_t k = 0; k < nscanned && !m->failed; k++)
		scanned[k] = batch_param(m, r, in[n++]);
	for (uint32_t k = 0; k < nscanned && !m->failed; k++) {
		ftl_imp_want_rank(m, scanned[k], 1, FTL_MAX_RANK, "a batch of a scanned input");
		if (len)
			scanned[k] = first_of(m, scanned[k], len);
	}
	scan_node(m, &l, scanned, a);
	for (uint32_t k = 0; k < ny && !m->failed; k++) {
		y[k] = ftl_node_get(m->g, l.id)->out[k];
		if (len && k >= l.nvar)
			y[k] = filled_up(m, y[k], len, whole);
	}
	if (!m->failed)
		ftl_build_yield(&m->b, y, ny);
	leave(m, was);
	ftl_imp_finish(m, id);
	for (uint32_t k = 0; k < m->cur->nout && !m->failed; k++)
		ftl_imp_out(m, k, ftl_node_get(m->g, id)->out[k]);
}
