/* Polynomials over atoms: sum, product, division with remainder, common factors, substitution.
 *
 * Sums are merged in a fixed monomial order that multiplication keeps, so a product of sorted sums is
 * sorted too. Coefficients that leave 64 bits, and sums past the bounds, end the operation. */
#include "dim_impl.h"

void dim_load(const ftl_symtab *st, ftl_dim d, poly *out)
{
	const ftl_dim_node *n = ftl_dim_get(st, d);

	out->n = 0;
	if (n->kind == FTL_DIM_CONST) {
		if (n->value)
			out->t[out->n++] = (mono){.coef = n->value};
	} else if (n->kind == FTL_DIM_SUM) {
		for (uint32_t i = 0; i < n->n; i++) {
			mono *m = &out->t[out->n++];

			m->coef = n->term[i].coef;
			m->n = n->term[i].n;
			if (m->n)
				memcpy(m->atom, n->term[i].atom, m->n * sizeof(ftl_dim));
		}
	} else {
		out->t[out->n++] = (mono){.coef = 1, .n = 1, .atom = {d}};
	}
}

bool dim_mono_mul(const ftl_symtab *st, const mono *a, const mono *b, mono *out)
{
	uint32_t i = 0, j = 0, n = 0;

	if (a->n + b->n > DIM_MAX_DEGREE || __builtin_mul_overflow(a->coef, b->coef, &out->coef))
		return false;
	while (i < a->n || j < b->n) {
		if (j == b->n || (i < a->n && dim_cmp(st, a->atom[i], b->atom[j]) <= 0))
			out->atom[n++] = a->atom[i++];
		else
			out->atom[n++] = b->atom[j++];
	}
	out->n = n;
	return true;
}

/* b = a * q for some product q: the atoms of a are among those of b. */
static bool mono_div(const mono *b, const mono *a, mono *q)
{
	uint32_t i = 0;

	q->n = 0;
	for (uint32_t j = 0; j < b->n; j++) {
		if (i < a->n && a->atom[i] == b->atom[j])
			i++;
		else
			q->atom[q->n++] = b->atom[j];
	}
	return i == a->n;
}

bool dim_poly_fma(ftl_symtab *st, const poly *a, const mono *m, const poly *b, poly *out)
{
	uint32_t i = 0;

	out->n = 0;
	st->work += a->n + b->n;
	if (st->work > DIM_MAX_WORK)
		return false;
	for (uint32_t j = 0; j <= b->n; j++) {
		mono t;
		int c = -1;

		if (j < b->n && !dim_mono_mul(st, m, &b->t[j], &t))
			return false;
		/* what of a comes before t */
		while (i < a->n && (j == b->n || (c = dim_mono_cmp(st, &a->t[i], &t)) < 0)) {
			if (out->n == DIM_MAX_TERMS)
				return false;
			out->t[out->n++] = a->t[i++];
		}
		if (j == b->n)
			break;
		if (i < a->n && c == 0) {
			if (__builtin_add_overflow(t.coef, a->t[i].coef, &t.coef))
				return false;
			i++;
		}
		if (t.coef == 0)
			continue;
		if (out->n == DIM_MAX_TERMS)
			return false;
		out->t[out->n++] = t;
	}
	return true;
}

/* a + k * b */
static ftl_dim combine(ftl_symtab *st, ftl_dim a, int64_t k, ftl_dim b)
{
	poly p, q, r;

	if (a == FTL_DIM_NONE || b == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	dim_load(st, a, &p);
	dim_load(st, b, &q);
	if (!dim_poly_fma(st, &p, &(mono){.coef = k}, &q, &r))
		return FTL_DIM_NONE;
	return dim_from_poly(st, &r);
}

ftl_dim ftl_dim_add(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	return combine(st, a, 1, b);
}

ftl_dim ftl_dim_sub(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	return combine(st, a, -1, b);
}

ftl_dim ftl_dim_mul(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	poly p, q, acc[2];
	unsigned cur = 0;

	if (a == FTL_DIM_NONE || b == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	if (dim_is(st, a, 1))
		return b;
	if (dim_is(st, b, 1))
		return a;
	dim_load(st, a, &p);
	dim_load(st, b, &q);
	acc[0].n = 0;
	for (uint32_t i = 0; i < p.n; i++, cur ^= 1) {
		if (!dim_poly_fma(st, &acc[cur], &p.t[i], &q, &acc[cur ^ 1]))
			return FTL_DIM_NONE;
	}
	return dim_from_poly(st, &acc[cur]);
}

/* Quotient of coefficients: floored for a constant by a constant, else towards zero, which leaves the
 * signs of a difference as they are. */
static bool coef_div(const mono *t, const mono *c, int64_t *out)
{
	if (t->coef == INT64_MIN && c->coef == -1)
		return false;
	*out = t->n == 0 && c->n == 0 ? dim_floor_div(t->coef, c->coef) : t->coef / c->coef;
	return true;
}

bool dim_divmod(ftl_symtab *st, ftl_dim a, ftl_dim c, ftl_dim *q, ftl_dim *r)
{
	poly rem[2], div, quot, rest;
	unsigned cur = 0;

	dim_load(st, a, &rem[0]);
	dim_load(st, c, &div);
	quot.n = rest.n = 0;
	/* Each round takes the leading term out of rem, and what comes in is of lower order, so it ends;
	 * the bound on rounds guards against very long divisions. */
	for (unsigned round = 0; rem[cur].n; round++) {
		poly *p = &rem[cur], *next = &rem[cur ^ 1];
		mono t = p->t[0], m;
		bool fits = mono_div(&t, &div.t[0], &m);

		if (round == 4 * DIM_MAX_TERMS)
			return false;
		if (fits && !coef_div(&t, &div.t[0], &m.coef))
			return false;
		if (fits && m.coef != 0) {
			mono neg = m;

			if (__builtin_sub_overflow(0, m.coef, &neg.coef) || quot.n == DIM_MAX_TERMS ||
			    !dim_poly_fma(st, p, &neg, &div, next))
				return false;
			quot.t[quot.n++] = m;
			cur ^= 1;
			/* a remainder of the coefficient stays in front: it goes to rest */
			if (next->n == 0 || dim_mono_cmp(st, &next->t[0], &t) != 0)
				continue;
			p = next;
		}
		if (rest.n == DIM_MAX_TERMS)
			return false;
		rest.t[rest.n++] = p->t[0];
		memmove(p->t, p->t + 1, --p->n * sizeof p->t[0]);
	}
	*q = dim_from_poly(st, &quot);
	*r = dim_from_poly(st, &rest);
	return *q != FTL_DIM_NONE && *r != FTL_DIM_NONE;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t t = a % b;

		a = b;
		b = t;
	}
	return a;
}

static uint64_t magnitude(int64_t v)
{
	return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

/* g = what g and all of p have in common; a constant term of p is passed over when skip_const. */
static void common(const poly *p, bool skip_const, bool *first, uint64_t *k, mono *g)
{
	for (uint32_t i = 0; i < p->n; i++) {
		const mono *t = &p->t[i];
		uint32_t n = 0;

		if (skip_const && t->n == 0)
			continue;
		*k = gcd(*k, magnitude(t->coef));
		if (*first) {
			*g = *t;
			*first = false;
			continue;
		}
		for (uint32_t a = 0, b = 0; a < g->n && b < t->n;) {
			/* both are sorted the same way, but by structure: look ahead for a match */
			uint32_t c = b;

			while (c < t->n && t->atom[c] != g->atom[a])
				c++;
			if (c < t->n) {
				g->atom[n++] = g->atom[a];
				b = c + 1;
			}
			a++;
		}
		g->n = n;
	}
}

static void divide_all(poly *p, const mono *g, int64_t *rest)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		mono q;

		mono_div(&p->t[i], g, &q);
		q.coef = dim_floor_div(p->t[i].coef, g->coef);
		if (p->t[i].n == 0)
			*rest = p->t[i].coef - q.coef * g->coef;
		if (q.coef)
			p->t[n++] = q;
	}
	p->n = n;
}

bool dim_content(ftl_symtab *st, ftl_dim r, ftl_dim c, ftl_dim *g, ftl_dim *r2, ftl_dim *c2, int64_t *rest)
{
	bool skip = dim_kind(st, c) == FTL_DIM_CONST, first = true;
	mono m = {.coef = 1};
	int64_t none = 0;
	uint64_t k = 0;
	poly p, q;

	dim_load(st, r, &p);
	dim_load(st, c, &q);
	*rest = 0;
	common(&q, false, &first, &k, &m);
	common(&p, skip, &first, &k, &m);
	if (skip)
		m.n = 0;
	if (first || k > INT64_MAX || (k == 1 && m.n == 0))
		return false;
	m.coef = (int64_t)k;
	divide_all(&p, &m, rest);
	divide_all(&q, &m, &none);
	*g = dim_from_mono(st, &m);
	*r2 = dim_from_poly(st, &p);
	*c2 = dim_from_poly(st, &q);
	return *g != FTL_DIM_NONE && *r2 != FTL_DIM_NONE && *c2 != FTL_DIM_NONE;
}

/* ---- substitution ---- */

static bool mentions(const ftl_symtab *st, ftl_dim d, ftl_dim sym)
{
	const ftl_dim_node *n = ftl_dim_get(st, d);

	if (d == sym)
		return true;
	if (d < sym || n->kind == FTL_DIM_CONST || n->kind == FTL_DIM_SYM)
		return false; /* operands are older than what is made of them */
	if (n->kind != FTL_DIM_SUM)
		return mentions(st, n->a, sym) || mentions(st, n->b, sym);
	for (uint32_t i = 0; i < n->n; i++) {
		for (uint32_t j = 0; j < n->term[i].n; j++) {
			if (mentions(st, n->term[i].atom[j], sym))
				return true;
		}
	}
	return false;
}

ftl_dim ftl_dim_subst(ftl_symtab *st, ftl_dim d, ftl_dim sym, ftl_dim with)
{
	ftl_dim_node n;
	ftl_dim a, b;

	if (d == FTL_DIM_NONE || sym == FTL_DIM_NONE || !mentions(st, d, sym))
		return d;
	if (d == sym || with == FTL_DIM_NONE)
		return with;
	n = *ftl_dim_get(st, d); /* a copy: the table moves when it grows, terms do not */
	if (n.kind == FTL_DIM_SUM) {
		ftl_dim sum = ftl_dim_const(st, 0);

		for (uint32_t i = 0; i < n.n && sum != FTL_DIM_NONE; i++) {
			ftl_dim prod = ftl_dim_const(st, n.term[i].coef);

			for (uint32_t j = 0; j < n.term[i].n && prod != FTL_DIM_NONE; j++)
				prod = ftl_dim_mul(st, prod, ftl_dim_subst(st, n.term[i].atom[j], sym, with));
			sum = ftl_dim_add(st, sum, prod);
		}
		return sum;
	}
	a = ftl_dim_subst(st, n.a, sym, with);
	b = ftl_dim_subst(st, n.b, sym, with);
	switch (n.kind) {
	case FTL_DIM_DIV: return ftl_dim_div(st, a, b);
	case FTL_DIM_MOD: return ftl_dim_mod(st, a, b);
	case FTL_DIM_MIN: return ftl_dim_min(st, a, b);
	default: return ftl_dim_max(st, a, b);
	}
}
