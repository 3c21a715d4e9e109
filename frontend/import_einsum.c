/* Einsum of any form, as transposes, reshapes, reductions, products and matmuls.
 *
 * Operands are folded in from the left. Each is a value with one label per axis (labels are small numbers: letters, then
 * the axes of "..."). A label that occurs twice in one operand is brought to its diagonal, one that nobody needs any
 * more is summed out, and two operands meet in a matmul over the labels they share and then drop: shared labels that
 * stay are batch axes, kept apart so that size 1 broadcasts. */
#include "imp.h"

#define NLABELS (52 + FTL_MAX_RANK)

typedef struct term {
	ftl_val v;
	int n;
	int label[FTL_MAX_RANK];
} term;

typedef struct einsum {
	imp *m;
	uint32_t nterms;
	term *terms;
	term out;
	int dots; /* axes "..." stands for */
	bool has_out;
	int uses[NLABELS]; /* operands still to come, and the output, that have the label */
} einsum;

static int letter(char c)
{
	return c >= 'a' && c <= 'z' ? c - 'a' : c >= 'A' && c <= 'Z' ? 26 + c - 'A' : -1;
}

static int find(const term *t, int label)
{
	for (int i = 0; i < t->n; i++)
		if (t->label[i] == label)
			return i;
	return -1;
}

static void add_label(einsum *e, term *t, int label)
{
	if (t->n == FTL_MAX_RANK)
		ftl_imp_fail(e->m, FTL_ERR_LIMIT, "an equation term has more than %d labels", FTL_MAX_RANK);
	else
		t->label[t->n++] = label;
}

/* One term; its dots take what the operand's rank leaves (the output's take all). */
static const char *parse_term(einsum *e, const char *s, term *t, int rank)
{
	int letters = 0, dots = 0;

	for (const char *p = s; *p && *p != ',' && !(p[0] == '-' && p[1] == '>'); p++) {
		letters += letter(*p) >= 0;
		if (*p == '.')
			dots++;
	}
	if (dots != 0 && dots != 3) {
		bad_model(e->m, "the equation has dots that are no ellipsis");
		return s;
	}
	if (rank >= 0 && (letters > rank || (!dots && letters != rank))) {
		bad_model(e->m, "a term of the equation has %d labels, its operand rank %d", letters, rank);
		return s;
	}
	dots = !dots ? 0 : rank >= 0 ? rank - letters : e->dots;
	for (; *s && *s != ',' && !(s[0] == '-' && s[1] == '>') && !e->m->failed; s++) {
		if (letter(*s) >= 0) {
			add_label(e, t, letter(*s));
		} else if (*s == '.') {
			if (s[1] != '.' || s[2] != '.') {
				bad_model(e->m, "the equation has dots that are no ellipsis");
				return s;
			}
			s += 2;
			/* ellipsis axes align at the right: the last one is always label 52 */
			for (int i = dots; i-- > 0;)
				add_label(e, t, 52 + i);
			if (dots > e->dots)
				e->dots = dots;
		} else if (*s != ' ') {
			bad_model(e->m, "the equation has an unexpected '%c'", *s >= ' ' && *s < 127 ? *s : '?');
		}
	}
	return s;
}

static void parse(einsum *e, const char *s)
{
	int count[NLABELS] = {0};

	for (uint32_t i = 0; i < e->nterms && !e->m->failed; i++) {
		s = parse_term(e, s, &e->terms[i], rank_of(e->m, e->terms[i].v));
		if (i + 1 < e->nterms ? *s != ',' : *s && *s != '-')
			bad_model(e->m, "the equation does not have %u terms", e->nterms);
		else if (i + 1 < e->nterms)
			s++;
	}
	if (e->m->failed)
		return;
	e->has_out = *s == '-';
	if (e->has_out) {
		s = parse_term(e, s + 2, &e->out, -1);
		if (*s && !e->m->failed)
			bad_model(e->m, "the equation goes on after its output");
		return;
	}
	/* Without "->": the ellipsis, then labels that occur once, in the order of the alphabet (capitals first). */
	for (uint32_t i = 0; i < e->nterms; i++)
		for (int k = 0; k < e->terms[i].n; k++)
			count[e->terms[i].label[k]]++;
	for (int i = e->dots; i-- > 0;)
		add_label(e, &e->out, 52 + i);
	for (int i = 0; i < 52; i++)
		if (count[(i + 26) % 52] == 1)
			add_label(e, &e->out, (i + 26) % 52);
}

static bool is_one(imp *m, const term *t, int axis)
{
	int64_t c;

	return ftl_dim_is_const(m->st, ftl_imp_dim(m, t->v, axis), &c) && c == 1;
}

static void drop_axis(imp *m, term *t, int axis, bool sum)
{
	int64_t ax = axis;

	t->v = sum ? ftl_imp_reduce(m, FTL_OP_reduce_sum, t->v, 1, &ax, false) : ftl_imp_squeeze(m, t->v, axis);
	memmove(&t->label[axis], &t->label[axis + 1], (size_t)(t->n - axis - 1) * sizeof *t->label);
	t->n--;
}

/* Axes i < k with one label: where the indices differ put 0, then sum axis k out. */
static void diagonal(imp *m, term *t, int i, int k)
{
	ftl_dim di = ftl_imp_dim(m, t->v, i), dk = ftl_imp_dim(m, t->v, k), shape[FTL_MAX_RANK];
	ftl_val ri, rk, same;

	if (ftl_dim_known_eq(m->st, di, dk) == 0) {
		bad_model(m, "a repeated label has two sizes");
		return;
	}
	for (int a = 0; a < t->n; a++)
		shape[a] = dim_c(m, 1);
	shape[i] = di;
	ri = ftl_imp_reshape(m, ftl_imp_range(m, di, FTL_I64), t->n, shape);
	shape[i] = dim_c(m, 1);
	shape[k] = dk;
	rk = ftl_imp_reshape(m, ftl_imp_range(m, dk, FTL_I64), t->n, shape);
	same = op2(m, FTL_OP_eq, ri, rk);
	t->v = e_where(m, same, t->v, e_num(m, t->v, 0));
	drop_axis(m, t, k, true);
}

static void take_diagonals(imp *m, term *t)
{
	for (int k = t->n - 1; k > 0 && !m->failed; k--)
		for (int i = 0; i < k; i++)
			if (t->label[i] == t->label[k]) {
				diagonal(m, t, i, k);
				break;
			}
}

static void permute(imp *m, term *t, const int *order)
{
	term r = {.n = t->n};

	for (int i = 0; i < t->n; i++)
		r.label[i] = t->label[order[i]];
	r.v = ftl_imp_transpose(m, t->v, order);
	*t = r;
}

/* Order t's axes by list (labels it may lack are made, with size 1). */
static void align(imp *m, term *t, const int *list, int n)
{
	int order[FTL_MAX_RANK] = {0}, k = 0;

	for (int i = 0; i < n; i++)
		if (find(t, list[i]) >= 0)
			order[k++] = find(t, list[i]);
	permute(m, t, order);
	for (int i = 0; i < n && !m->failed; i++) {
		if (i < t->n && t->label[i] == list[i])
			continue;
		t->v = ftl_imp_unsqueeze(m, t->v, i);
		memmove(&t->label[i + 1], &t->label[i], (size_t)(t->n - i) * sizeof *t->label);
		t->label[i] = list[i];
		t->n++;
	}
}

typedef struct group {
	int n, label[FTL_MAX_RANK];
} group;

/* Order t as [batch, rows, cols] or, where that needs no transpose, [batch, cols, rows]; merge rows and cols. */
static ftl_val matrix(imp *m, term *t, const group *batch, const group *rows, const group *cols, bool *swapped)
{
	int list[2][FTL_MAX_RANK], n[2] = {0, 0}, nb = batch->n;
	ftl_dim d[FTL_MAX_RANK + 2];

	for (int s = 0; s < 2; s++) {
		const group *g[3] = {batch, s ? cols : rows, s ? rows : cols};
		for (int k = 0; k < 3; k++)
			for (int i = 0; i < g[k]->n; i++)
				list[s][n[s]++] = g[k]->label[i];
	}
	*swapped = t->n == n[1] && !memcmp(t->label, list[1], (size_t)n[1] * sizeof(int)) && (rows->n || cols->n);
	if (t->n == n[0] && !memcmp(t->label, list[0], (size_t)n[0] * sizeof(int)))
		*swapped = false;
	align(m, t, list[*swapped], n[*swapped]);
	for (int i = 0; i < nb; i++)
		d[i] = ftl_imp_dim(m, t->v, i);
	d[nb] = d[nb + 1] = dim_c(m, 1);
	for (int i = nb; i < t->n; i++) {
		int first = *swapped ? cols->n : rows->n;
		ftl_dim *to = &d[nb + (i - nb >= first)];
		*to = ftl_dim_mul(m->st, *to, ftl_imp_dim(m, t->v, i));
	}
	return ftl_imp_reshape(m, t->v, nb + 2, d);
}

/* The labels of a alone go to rows, of b alone to cols; shared ones to batch or, if nobody else needs them, to sum. */
static void contract(einsum *e, term *a, term *b, term *out)
{
	imp *m = e->m;
	group batch = {0}, sum = {0}, rows = {0}, cols = {0};
	ftl_dim d[FTL_MAX_RANK * 3];
	bool ta, tb;
	int n = 0;

	for (int i = 0; i < a->n; i++) {
		int l = a->label[i], k = find(b, l);
		group *g = k < 0 ? &rows : e->uses[l] ? &batch : &sum;
		g->label[g->n++] = l;
	}
	for (int i = 0; i < b->n; i++)
		if (find(a, b->label[i]) < 0)
			cols.label[cols.n++] = b->label[i];
	/* a size 1 that is to be summed against a larger one: sum the larger one alone */
	for (int i = sum.n - 1; i >= 0; i--) {
		int ia = find(a, sum.label[i]), ib = find(b, sum.label[i]);
		bool one_a = is_one(m, a, ia), one_b = is_one(m, b, ib);
		if (one_a || one_b) {
			drop_axis(m, a, ia, !one_a);
			drop_axis(m, b, ib, !one_b);
			memmove(&sum.label[i], &sum.label[i + 1], (size_t)(sum.n - i - 1) * sizeof(int));
			sum.n--;
		}
	}
	if (batch.n + rows.n + cols.n > FTL_MAX_RANK || batch.n + 2 > FTL_MAX_RANK) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "an intermediate result has more than %d axes", FTL_MAX_RANK);
		return;
	}
	*out = (term){0};
	for (int i = 0; i < batch.n; i++)
		out->label[out->n++] = batch.label[i];
	for (int i = 0; i < rows.n; i++)
		out->label[out->n++] = rows.label[i];
	for (int i = 0; i < cols.n; i++)
		out->label[out->n++] = cols.label[i];
	if (sum.n == 0) { /* nothing to sum: a broadcast product */
		align(m, a, out->label, out->n);
		align(m, b, out->label, out->n);
		out->v = e_mul(m, a->v, b->v);
		return;
	}
	ftl_val va = matrix(m, a, &batch, &rows, &sum, &ta), vb = matrix(m, b, &batch, &sum, &cols, &tb);
	if (m->failed)
		return;
	ftl_val y = ftl_imp_matmul(m, va, vb, ta, tb, 1);
	for (; n < batch.n; n++)
		d[n] = ftl_imp_dim(m, y, n);
	for (int i = 0; i < rows.n; i++)
		d[n++] = ftl_imp_dim(m, a->v, find(a, rows.label[i]));
	for (int i = 0; i < cols.n; i++)
		d[n++] = ftl_imp_dim(m, b->v, find(b, cols.label[i]));
	out->v = m->failed ? 0 : ftl_imp_reshape(m, y, n, d);
}

/* Sum out what only this operand has. */
static void drop_unused(einsum *e, term *t, const term *other)
{
	int64_t axes[FTL_MAX_RANK];
	uint32_t n = 0;
	term r = {0};

	for (int i = 0; i < t->n; i++) {
		if (!e->uses[t->label[i]] && (!other || find(other, t->label[i]) < 0))
			axes[n++] = i;
		else
			r.label[r.n++] = t->label[i];
	}
	r.v = ftl_imp_reduce(e->m, FTL_OP_reduce_sum, t->v, n, axes, false);
	*t = r;
}

void ftl_imp_do_einsum(imp *m)
{
	einsum e = {.m = m, .nterms = m->cur->nin};
	term acc, next;

	if (e.nterms == 0) {
		bad_model(m, "has no inputs");
		return;
	}
	e.terms = FTL_NEW_N(m->tmp, term, e.nterms);
	for (uint32_t i = 0; i < e.nterms; i++)
		e.terms[i].v = ftl_imp_need(m, i);
	if (!m->failed)
		parse(&e, ftl_imp_s(m, "equation", ""));
	for (uint32_t i = 0; i < e.nterms && !m->failed; i++) {
		take_diagonals(m, &e.terms[i]);
		for (int k = 0; k < e.terms[i].n; k++)
			e.uses[e.terms[i].label[k]]++;
	}
	for (int k = 0; k < e.out.n && !m->failed; k++) {
		bool known = e.uses[e.out.label[k]] > 0;
		for (int i = 0; i < k; i++)
			if (e.out.label[i] == e.out.label[k])
				bad_model(m, "the equation's output repeats a label");
		if (!known)
			bad_model(m, "the equation's output has a label no operand has");
	}
	if (m->failed)
		return;
	for (int k = 0; k < e.out.n; k++)
		e.uses[e.out.label[k]]++;
	acc = e.terms[0];
	for (int k = 0; k < acc.n; k++)
		e.uses[acc.label[k]]--;
	for (uint32_t i = 1; i < e.nterms && !m->failed; i++) {
		next = e.terms[i];
		for (int k = 0; k < next.n; k++)
			e.uses[next.label[k]]--;
		drop_unused(&e, &acc, &next);
		drop_unused(&e, &next, &acc);
		term out = {0};
		contract(&e, &acc, &next, &out);
		acc = out;
	}
	if (m->failed)
		return;
	drop_unused(&e, &acc, NULL);
	align(m, &acc, e.out.label, e.out.n);
	ftl_imp_out(m, 0, acc.v);
}
