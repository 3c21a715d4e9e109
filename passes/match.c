/* The matcher: backtracking over operand orders and choices.
 *
 * What is left to match is a list of goals (this pattern against that value) on the C stack; a step takes the first
 * goal, tries it, and continues with the rest, so that a later failure comes back to every choice made before. The
 * depth is the number of pattern nodes. A pattern is small and its cost does not depend on the graph. */
#include "passes/pattern.h"

#include <math.h>
#include <stdio.h>

typedef struct goal {
	const ftl_pat *p;
	ftl_val v; /* 0: an absent operand */
	const struct goal *next;
} goal;

typedef struct solver {
	ftl_match *m;
	ftl_guard_fn guard;
	ftl_region_id region;
	int steps; /* left: bounds what nested choices can cost */
} solver;

static bool solve(solver *s, const goal *g);

double ftl_match_num(const ftl_match *m, int var)
{
	double v;

	return m->var[var] && ftl_const_scalar(m->g, m->var[var], &v) ? v : 0;
}

static bool wanted(const ftl_graph *g, ftl_pat_want want, ftl_val v)
{
	ftl_dtype t = ftl_type_of(g, v)->dtype;
	double x;

	switch (want) {
	case FTL_WANT_CONST: return ftl_const_blob(g, v) != NULL;
	case FTL_WANT_SCALAR: return ftl_const_scalar(g, v, &x);
	case FTL_WANT_FLOAT: return ftl_dtype_is_float(t);
	case FTL_WANT_INT: return ftl_dtype_is_int(t);
	case FTL_WANT_BOOL: return t == FTL_BOOL;
	default: return true;
	}
}

/* Is x the number `want` as element type t can hold it? Exporters round through f32 (and print digits) on the way. */
static bool is_number(ftl_dtype t, double x, double want)
{
	double slack = t == FTL_F16 ? 5e-4 : t == FTL_BF16 ? 4e-3 : 1e-6;

	if (x == want)
		return true;
	if (!ftl_dtype_is_float(t) || want == 0 || want == 1 || want == -1 || want == 2 || want == 0.5)
		return false;
	return fabs(x - want) <= slack * fabs(want);
}

/* In near mode one fault is noted and forgiven. */
bool ftl_match_fault(ftl_match *m, const char *fmt, ...)
{
	va_list ap;

	if (!m->near || m->faults)
		return false;
	m->faults++;
	va_start(ap, fmt);
	vsnprintf(m->why, sizeof m->why, fmt, ap);
	va_end(ap);
	return true;
}

static bool match_number(solver *s, const goal *g)
{
	ftl_match *m = s->m;
	uint32_t faults = m->faults;
	double x;
	bool ok;

	if (!g->v || !ftl_const_scalar(m->g, g->v, &x))
		return false;
	if (!is_number(ftl_type_of(m->g, g->v)->dtype, x, g->p->num) &&
	    !ftl_match_fault(m, "a constant is %.9g instead of %.9g", x, g->p->num))
		return false;
	ok = solve(s, g->next);
	if (!ok)
		m->faults = faults;
	return ok;
}

static bool match_var(solver *s, const goal *g)
{
	ftl_match *m = s->m;
	ftl_val *slot = &m->var[g->p->var];

	if (!g->v || !wanted(m->g, g->p->want, g->v))
		return false;
	if (*slot)
		return *slot == g->v && solve(s, g->next);
	*slot = g->v;
	if (solve(s, g->next))
		return true;
	*slot = 0;
	return false;
}

static bool match_attrs(ftl_match *m, const ftl_pat *p, const ftl_node *n)
{
	for (uint32_t i = 0; i < p->nattr; i++) {
		const ftl_pat_attr *a = &p->attr[i];
		const void *have = (const char *)n->attrs + a->desc->offset;
		double x = 0;

		switch (a->desc->kind) {
		case FTL_ATTR_str:
			if (strcmp(*(const ftl_attr_str *)have, a->str) != 0)
				return false;
			continue;
		case FTL_ATTR_i64: x = (double)*(const ftl_attr_i64 *)have; break;
		case FTL_ATTR_f64: x = *(const ftl_attr_f64 *)have; break;
		case FTL_ATTR_flag: x = *(const ftl_attr_flag *)have; break;
		case FTL_ATTR_dtype: x = *(const ftl_attr_dtype *)have; break;
		default: return false;
		}
		if (x == a->num || (a->desc->kind == FTL_ATTR_f64 && is_number(FTL_F32, x, a->num)))
			continue;
		if (!ftl_match_fault(m, "attribute %s of %s is %.9g instead of %.9g", a->desc->name,
				     ftl_op_get(n->op)->name, x, a->num))
			return false;
	}
	return true;
}

/* Operands from `first` to the last become goals in front of the others. */
static bool match_args(solver *s, const goal *g, const ftl_node *n, bool swapped)
{
	const ftl_pat *p = g->p;
	goal list[8];
	const goal *next = g->next;
	uint32_t k = p->narg;

	for (uint32_t i = k; i < n->nin; i++)
		if (n->in[i])
			return false; /* more operands than the pattern speaks of */
	while (k-- > 0) {
		uint32_t from = swapped && k < 2 ? 1 - k : k;

		list[k] = (goal){p->arg[k], from < n->nin ? n->in[from] : 0, next};
		next = &list[k];
	}
	return solve(s, next);
}

static bool covers(const ftl_match *m, ftl_node_id id)
{
	for (uint32_t i = 0; i < m->nnode; i++)
		if (m->node[i] == id)
			return true;
	return false;
}

static bool match_op(solver *s, const goal *g)
{
	ftl_match *m = s->m;
	const ftl_pat *p = g->p;
	ftl_node_id id = g->v ? ftl_def(m->g, g->v, p->op) : 0;
	const ftl_node *n = ftl_node_get(m->g, id);
	uint32_t nnode = m->nnode, faults = m->faults;
	bool ok = false;

	if (!id || n->region != s->region || n->out[0] != g->v || m->nnode == FTL_PAT_NODES || !match_attrs(m, p, n)) {
		m->faults = faults;
		return false;
	}
	if (p->var >= 0 && m->var[p->var])
		return m->var[p->var] == g->v && solve(s, g->next);
	if (p->label >= 0 && m->label[p->label] && m->label[p->label] != id)
		return false;
	if (!covers(m, id))
		m->node[m->nnode++] = id;
	if (p->var >= 0)
		m->var[p->var] = g->v;
	if (p->label >= 0)
		m->label[p->label] = id;
	faults = m->faults;
	ok = match_args(s, g, n, false);
	if (!ok && p->narg >= 2 && ftl_op_has(p->op, FTL_COMM) && n->in[0] != n->in[1]) {
		m->faults = faults;
		ok = match_args(s, g, n, true);
	}
	if (!ok) {
		m->nnode = nnode;
		m->faults = faults;
		if (p->var >= 0)
			m->var[p->var] = 0;
		if (p->label >= 0)
			m->label[p->label] = 0;
	}
	return ok;
}

static bool match_choice(solver *s, const goal *g)
{
	uint32_t faults = s->m->faults;

	for (uint32_t i = 0; i < g->p->narg; i++) {
		goal one = {g->p->arg[i], g->v, g->next};

		if (solve(s, &one))
			return true;
		s->m->faults = faults;
	}
	return false;
}

static bool solve(solver *s, const goal *g)
{
	if (!g)
		return !s->guard || s->guard(s->m);
	if (--s->steps < 0)
		return false;
	switch (g->p->kind) {
	case FTL_PAT_VAR: return match_var(s, g);
	case FTL_PAT_NUM: return match_number(s, g);
	case FTL_PAT_OP: return match_op(s, g);
	case FTL_PAT_ALT: return match_choice(s, g);
	default: return g->v == 0 && solve(s, g->next);
	}
}

bool ftl_rule_match(const ftl_graph *g, const ftl_rule *r, ftl_node_id root, ftl_guard_fn guard, ftl_match *m)
{
	const ftl_node *n = ftl_node_get(g, root);
	solver s = {.m = m, .guard = guard, .region = n->region, .steps = 4000};
	goal first;
	bool near = m->near;

	if (n->op != r->lhs->op || n->nout == 0)
		return false;
	*m = (ftl_match){.g = g, .near = near};
	first = (goal){r->lhs, n->out[0], NULL};
	return solve(&s, &first);
}
