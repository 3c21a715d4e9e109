/* What is known about an expression's value: interval arithmetic, and proofs that look at how parts hang
 * together (min(x, y) is never above x, c*div(x, c) is within c of x, a count is never above its size).
 *
 * INT64_MIN as a lower and INT64_MAX as an upper bound mean "none". Results past 64 bits saturate towards
 * that, so a bound is never tighter than the truth. A division by zero has no value: bounds of a
 * quotient may assume that the divisor is not 0. */
#include "dim_impl.h"

#define INF ((__int128)1 << 100)

static __int128 wide_lo(int64_t v)
{
	return v == INT64_MIN ? -INF : v;
}

static __int128 wide_hi(int64_t v)
{
	return v == INT64_MAX ? INF : v;
}

static interval narrow(__int128 lo, __int128 hi)
{
	interval r;

	/* a lower bound above the range is one we can only state as the largest number, and the other way round */
	r.lo = lo <= INT64_MIN ? INT64_MIN : lo >= INT64_MAX ? INT64_MAX - 1 : (int64_t)lo;
	r.hi = hi >= INT64_MAX ? INT64_MAX : hi <= INT64_MIN ? INT64_MIN + 1 : (int64_t)hi;
	return r;
}

static __int128 wide_mul(__int128 a, __int128 b)
{
	if (a == 0 || b == 0)
		return 0;
	if (a >= INF || a <= -INF || b >= INF || b <= -INF)
		return (a < 0) == (b < 0) ? INF : -INF;
	return a * b;
}

static __int128 min2(__int128 a, __int128 b)
{
	return a < b ? a : b;
}

static __int128 max2(__int128 a, __int128 b)
{
	return a > b ? a : b;
}

static interval times(interval x, interval y)
{
	__int128 a = wide_mul(wide_lo(x.lo), wide_lo(y.lo)), b = wide_mul(wide_lo(x.lo), wide_hi(y.hi));
	__int128 c = wide_mul(wide_hi(x.hi), wide_lo(y.lo)), d = wide_mul(wide_hi(x.hi), wide_hi(y.hi));

	return narrow(min2(min2(a, b), min2(c, d)), max2(max2(a, b), max2(c, d)));
}

static interval of(const ftl_symtab *st, ftl_dim d)
{
	const ftl_dim_node *n = ftl_dim_get(st, d);

	return (interval){n->lo, n->hi};
}

static interval product(const ftl_symtab *st, int64_t coef, uint32_t n, const ftl_dim *atom)
{
	interval r = {coef, coef};

	for (uint32_t i = 0; i < n; i++) {
		interval x = of(st, atom[i]);

		if (i + 1 < n && atom[i + 1] == atom[i]) {
			/* a square is never negative */
			interval s = times(x, x);

			s.lo = s.lo < 0 ? 0 : s.lo;
			x = s;
			i++;
		}
		r = times(r, x);
	}
	return r;
}

interval dim_mono_bounds(const ftl_symtab *st, const mono *m)
{
	return product(st, m->coef, m->n, m->atom);
}

static __int128 wide_floor(__int128 a, __int128 b)
{
	__int128 q;

	if (b >= INF || b <= -INF)
		return a == 0 ? 0 : (a < 0) == (b < 0) ? (a >= INF || a <= -INF ? INF : 0) : -1;
	if (a >= INF || a <= -INF)
		return (a < 0) == (b < 0) ? INF : -INF;
	q = a / b;
	return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static interval quotient(interval a, interval b)
{
	__int128 alo = wide_lo(a.lo), ahi = wide_hi(a.hi), blo, bhi, m;

	if (b.lo < 0) {
		/* the divisor may be anything but 0: at most |a| in size, and one lower for flooring */
		m = max2(alo < 0 ? -alo : alo, ahi < 0 ? -ahi : ahi);
		return narrow(-m, m);
	}
	blo = max2(b.lo, 1);
	bhi = max2(wide_hi(b.hi), 1);
	return narrow(min2(wide_floor(alo, blo), wide_floor(alo, bhi)),
		      max2(wide_floor(ahi, blo), wide_floor(ahi, bhi)));
}

static interval remainder_of(interval a, interval b)
{
	interval r = {0, 0};

	/* the result has the divisor's sign and is smaller */
	if (b.lo < 0)
		r.lo = b.lo == INT64_MIN ? INT64_MIN : b.lo + 1;
	if (b.hi > 0)
		r.hi = b.hi == INT64_MAX ? INT64_MAX : b.hi - 1;
	if (a.lo >= 0 && b.lo >= 0 && a.hi < r.hi)
		r.hi = a.hi;
	return r;
}

interval dim_bounds(const ftl_symtab *st, const ftl_dim_node *n)
{
	interval a, b;

	if (n->kind == FTL_DIM_CONST)
		return (interval){n->value, n->value};
	if (n->kind == FTL_DIM_SYM)
		return (interval){n->lo, n->hi};
	if (n->kind == FTL_DIM_SUM) {
		__int128 lo = 0, hi = 0;

		for (uint32_t i = 0; i < n->n; i++) {
			interval t = product(st, n->term[i].coef, n->term[i].n, n->term[i].atom);

			/* INF is far above any sum of DIM_MAX_TERMS numbers, so it is not lost by adding */
			lo += wide_lo(t.lo);
			hi += wide_hi(t.hi);
		}
		return narrow(lo, hi);
	}
	a = of(st, n->a);
	b = of(st, n->b);
	switch (n->kind) {
	case FTL_DIM_DIV: return quotient(a, b);
	case FTL_DIM_MOD: return remainder_of(a, b);
	case FTL_DIM_MIN: return (interval){a.lo < b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
	default: return (interval){a.lo > b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
	}
}

/* ---- proofs ---- */

/* Expressions looked at before giving up. Sums that long do not come from honest models. */
#define PROOF_STEPS 48
#define PROOF_STEPS_LONG 6
#define LONG_SUM 32

static bool prove(ftl_symtab *st, ftl_dim e, int *steps);

/* rest + others * x (+ extra) >= 0? */
static bool prove_with(ftl_symtab *st, ftl_dim rest, ftl_dim others, ftl_dim x, int64_t extra, int *steps)
{
	ftl_dim e = ftl_dim_add(st, rest, ftl_dim_mul(st, others, x));

	if (extra)
		e = ftl_dim_add(st, e, ftl_dim_const(st, extra));
	return prove(st, e, steps);
}

/* rest + others * atom >= 0, where others has the given sign, by putting something simpler for atom. */
static bool prove_by(ftl_symtab *st, ftl_dim rest, ftl_dim others, int sign, ftl_dim atom, int *steps)
{
	const ftl_dim_node n = *ftl_dim_get(st, atom);
	bool both = sign > 0 ? n.kind == FTL_DIM_MIN : n.kind == FTL_DIM_MAX;
	int64_t c, edge;

	switch (n.kind) {
	case FTL_DIM_MIN:
	case FTL_DIM_MAX:
		/* it is one of the two; where it bounds the right way, either will do */
		if (both)
			return prove_with(st, rest, others, n.a, 0, steps) &&
			       prove_with(st, rest, others, n.b, 0, steps);
		return prove_with(st, rest, others, n.a, 0, steps) || prove_with(st, rest, others, n.b, 0, steps);
	case FTL_DIM_DIV:
		if (ftl_dim_is_const(st, n.b, &c) && c > 0) {
			/* x-c+1 <= c*div(x,c) <= x; and e >= 0 where c*e > -c */
			ftl_dim x = sign < 0 ? n.a : ftl_dim_sub(st, n.a, ftl_dim_const(st, c - 1));

			return prove_with(st, ftl_dim_mul(st, rest, n.b), others, x, c - 1, steps);
		}
		return sign < 0 && ftl_dim_lo(st, n.a) >= 0 && ftl_dim_lo(st, n.b) >= 0 &&
		       prove_with(st, rest, others, n.a, 0, steps);
	case FTL_DIM_MOD:
		if (sign > 0 || ftl_dim_lo(st, n.b) < 0)
			return false;
		if (ftl_dim_lo(st, n.a) >= 0 && prove_with(st, rest, others, n.a, 0, steps))
			return true;
		return prove_with(st, rest, others, ftl_dim_sub(st, n.b, ftl_dim_const(st, 1)), 0, steps);
	default: break;
	}
	if (sign < 0 && ftl_dim_upper(st, atom) != FTL_DIM_NONE &&
	    prove_with(st, rest, others, ftl_dim_upper(st, atom), 0, steps))
		return true;
	/* b*s - b with s >= 1: as a product, bounds alone do not see it */
	edge = sign < 0 ? n.hi : n.lo;
	if (ftl_dim_is_const(st, others, NULL) || edge == 0 || edge == INT64_MIN || edge == INT64_MAX)
		return false;
	return prove_with(st, rest, others, ftl_dim_const(st, edge), 0, steps);
}

static bool prove(ftl_symtab *st, ftl_dim e, int *steps)
{
	const ftl_dim_term *term;
	ftl_dim_term one;
	uint32_t nterm;

	if (e == FTL_DIM_NONE)
		return false;
	if (ftl_dim_lo(st, e) >= 0)
		return true;
	if (ftl_dim_hi(st, e) < 0 || --*steps < 0 || dim_kind(st, e) == FTL_DIM_CONST)
		return false;
	if (dim_kind(st, e) == FTL_DIM_SUM) {
		term = dim_at(st, e)->pub.term;
		nterm = dim_at(st, e)->pub.n;
	} else {
		one = (ftl_dim_term){1, 1, &e};
		term = &one;
		nterm = 1;
	}
	for (uint32_t i = 0; i<nterm && * steps> 0; i++) {
		ftl_dim whole = FTL_DIM_NONE, rest = FTL_DIM_NONE;

		for (uint32_t j = 0; j<term[i].n && * steps> 0; j++) {
			mono m = {.coef = term[i].coef};
			ftl_dim others;
			interval b;

			if (j && term[i].atom[j] == term[i].atom[j - 1])
				continue;
			for (uint32_t k = 0; k < term[i].n; k++) {
				if (k != j)
					m.atom[m.n++] = term[i].atom[k];
			}
			b = dim_mono_bounds(st, &m);
			if (b.lo < 0 && b.hi > 0)
				continue;
			if (rest == FTL_DIM_NONE) {
				mono t = {.coef = term[i].coef, .n = term[i].n};

				memcpy(t.atom, term[i].atom, t.n * sizeof(ftl_dim));
				whole = dim_from_mono(st, &t);
				rest = ftl_dim_sub(st, e, whole);
			}
			others = dim_from_mono(st, &m);
			if (rest == FTL_DIM_NONE || others == FTL_DIM_NONE)
				break;
			if (prove_by(st, rest, others, b.hi <= 0 ? -1 : 1, term[i].atom[j], steps))
				return true;
		}
	}
	return false;
}

bool dim_prove_nonneg(ftl_symtab *st, ftl_dim e)
{
	int steps = PROOF_STEPS;
	ftl_dim mark = st->all.n;
	bool good;

	if (e == FTL_DIM_NONE)
		return false;
	if (dim_at(st, e)->proof >> 1 == st->epoch)
		return dim_at(st, e)->proof & 1;
	/* proofs are a luxury: they go before the sums themselves do */
	if (st->work > DIM_MAX_WORK / 2)
		steps = 0;
	else if (dim_kind(st, e) == FTL_DIM_SUM && dim_at(st, e)->pub.n > LONG_SUM)
		steps = PROOF_STEPS_LONG;
	st->proving++;
	good = prove(st, e, &steps);
	if (--st->proving == 0)
		dim_forget(st, mark);
	dim_at(st, e)->proof = 2 * st->epoch + good;
	return good;
}

/* e >= 0: 1 proven, 0 disproven, -1 unknown */
static int nonneg(ftl_symtab *st, ftl_dim e)
{
	if (e == FTL_DIM_NONE)
		return -1;
	if (dim_prove_nonneg(st, e))
		return 1;
	return dim_prove_nonneg(st, ftl_dim_sub(st, ftl_dim_const(st, -1), e)) ? 0 : -1;
}

int ftl_dim_known_le(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	if (a == FTL_DIM_NONE || b == FTL_DIM_NONE)
		return -1;
	if (a == b || (ftl_dim_hi(st, a) <= ftl_dim_lo(st, b)))
		return 1;
	if (ftl_dim_lo(st, a) > ftl_dim_hi(st, b))
		return 0;
	return nonneg(st, ftl_dim_sub(st, b, a));
}

int ftl_dim_known_lt(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	int ge = ftl_dim_known_le(st, b, a);

	return ge < 0 ? -1 : !ge;
}

int ftl_dim_known_eq(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	int le, ge;
	ftl_dim e, g, r2, c2;
	int64_t rest;

	if (a == FTL_DIM_NONE || b == FTL_DIM_NONE)
		return -1;
	if (a == b)
		return 1;
	le = ftl_dim_known_le(st, a, b);
	if (le == 0)
		return 0;
	ge = ftl_dim_known_le(st, b, a);
	if (ge == 0)
		return 0;
	if (le == 1 && ge == 1)
		return 1;
	/* 2*x + 1 is never 0: a factor common to all terms but the constant must divide that too */
	e = ftl_dim_sub(st, a, b);
	if (e != FTL_DIM_NONE && dim_content(st, e, ftl_dim_const(st, 0), &g, &r2, &c2, &rest) && rest != 0)
		return 0;
	return -1;
}
