/* Floor division, remainder, minimum, maximum: what folds, and what stays as an atom in a form of its own.
 *
 * Division and remainder take whole multiples of the divisor out of the dividend first, then ask whether
 * the quotient of the rest is known, then drop common factors: so (4*s+8)/4 is s+2, (s+8)/4 is s/4 + 2 and
 * (6*s+2)/4 is s + (s+1)/2. A folded quotient may have a value where the original divided by zero. */
#include "dim_impl.h"

/* floor(r / b) when it is the same for all values. */
static bool known_quotient(ftl_symtab *st, ftl_dim r, ftl_dim b, int64_t *k)
{
	int64_t lo = ftl_dim_lo(st, r), hi = ftl_dim_hi(st, r), c;
	ftl_dim minus_one = ftl_dim_const(st, -1);

	if (ftl_dim_is_const(st, b, &c) && c > 0 && lo != INT64_MIN && hi != INT64_MAX) {
		*k = dim_floor_div(lo, c);
		if (*k == dim_floor_div(hi, c))
			return true;
	}
	*k = 0;
	if (dim_prove_nonneg(st, r))
		return dim_prove_nonneg(st, ftl_dim_add(st, ftl_dim_sub(st, b, r), minus_one));
	*k = -1;
	if (dim_is(st, r, -1) && ftl_dim_lo(st, b) >= 0)
		return true; /* the divisor is at least 1 where there is a quotient */
	return dim_prove_nonneg(st, ftl_dim_sub(st, minus_one, r)) && dim_prove_nonneg(st, ftl_dim_add(st, r, b));
}

/* The divisor's leading coefficient positive: a/b = (-a)/(-b). */
static bool make_positive(ftl_symtab *st, ftl_dim *a, ftl_dim *b, bool *swapped)
{
	ftl_dim zero = ftl_dim_const(st, 0);
	const ftl_dim_node *n = ftl_dim_get(st, *b);
	int64_t lead = n->kind == FTL_DIM_CONST ? n->value : n->kind == FTL_DIM_SUM ? n->term[0].coef : 1;

	*swapped = lead < 0;
	if (lead < 0) {
		*a = ftl_dim_sub(st, zero, *a);
		*b = ftl_dim_sub(st, zero, *b);
	}
	return *a != FTL_DIM_NONE && *b != FTL_DIM_NONE;
}

/* a = q*b + r in the form both div and mod go on with. 1: floor(r/b) = *k is known; 0: it is not. */
static int reduce(ftl_symtab *st, ftl_dim a, ftl_dim b, ftl_dim *q, ftl_dim *r, int64_t *k)
{
	ftl_dim zero = ftl_dim_const(st, 0);
	const ftl_dim_node *n;

	*k = 0;
	if (!dim_divmod(st, a, b, q, r)) {
		*q = zero;
		*r = a;
	}
	if (*r == zero || known_quotient(st, *r, b, k))
		return 1;
	n = ftl_dim_get(st, b);
	if (n->kind == FTL_DIM_SUM && n->n > 1 && *q != zero) {
		/* a part of a division by a sum says nothing by itself: x/(x+1) is not 1 + (-1)/(x+1) */
		*q = zero;
		*r = a;
		return known_quotient(st, a, b, k);
	}
	return 0;
}

/* floor(floor(x/m + k) / n) = floor((x + k*m) / (m*n)) for constants m, n > 0. */
static bool merge_nested(ftl_symtab *st, ftl_dim r, ftl_dim b, ftl_dim *out_r, ftl_dim *out_b)
{
	const ftl_dim_node *n = ftl_dim_get(st, r), *d;
	int64_t k = 0, m, c, mc;

	if (dim_kind(st, b) != FTL_DIM_CONST)
		return false;
	if (n->kind == FTL_DIM_SUM) {
		if (n->n != 2 || n->term[0].coef != 1 || n->term[0].n != 1 || n->term[1].n != 0)
			return false;
		k = n->term[1].coef;
		n = ftl_dim_get(st, n->term[0].atom[0]);
	}
	if (n->kind != FTL_DIM_DIV)
		return false;
	d = ftl_dim_get(st, n->b);
	c = ftl_dim_get(st, b)->value;
	if (d->kind != FTL_DIM_CONST || d->value <= 0 || c <= 0)
		return false;
	m = d->value;
	if (__builtin_mul_overflow(m, c, &mc) || __builtin_mul_overflow(k, m, &k))
		return false;
	*out_r = ftl_dim_add(st, n->a, ftl_dim_const(st, k));
	*out_b = ftl_dim_const(st, mc);
	return *out_r != FTL_DIM_NONE;
}

ftl_dim ftl_dim_div(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	ftl_dim q, r, g, r2, b2;
	int64_t k, rest;
	bool swapped;

	if (a == FTL_DIM_NONE || b == FTL_DIM_NONE || dim_is(st, b, 0))
		return FTL_DIM_NONE;
	if (!make_positive(st, &a, &b, &swapped))
		return FTL_DIM_NONE;
	if (reduce(st, a, b, &q, &r, &k))
		return ftl_dim_add(st, q, ftl_dim_const(st, k));
	if (dim_content(st, r, b, &g, &r2, &b2, &rest) || merge_nested(st, r, b, &r2, &b2))
		r = ftl_dim_div(st, r2, b2);
	else
		r = dim_binary(st, FTL_DIM_DIV, r, b);
	return ftl_dim_add(st, q, r);
}

ftl_dim ftl_dim_mod(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	ftl_dim q, r, g, r2, b2;
	int64_t k, rest, v;
	bool swapped;

	if (a == FTL_DIM_NONE || b == FTL_DIM_NONE || dim_is(st, b, 0))
		return FTL_DIM_NONE;
	if (!make_positive(st, &a, &b, &swapped))
		return FTL_DIM_NONE;
	if (reduce(st, a, b, &q, &r, &k)) {
		r = ftl_dim_sub(st, r, ftl_dim_mul(st, ftl_dim_const(st, k), b));
	} else if (dim_content(st, r, b, &g, &r2, &b2, &rest)) {
		/* (g*r2 + rest) mod (g*b2) = g * (r2 mod b2) + rest */
		r = ftl_dim_mul(st, g, ftl_dim_mod(st, r2, b2));
		r = ftl_dim_add(st, r, ftl_dim_const(st, rest));
	} else {
		const ftl_dim_node *n = ftl_dim_get(st, r);

		/* (x mod m) mod b = x mod b when b divides m */
		if (n->kind == FTL_DIM_MOD && dim_kind(st, b) == FTL_DIM_CONST && dim_kind(st, n->b) == FTL_DIM_CONST &&
		    (v = ftl_dim_get(st, n->b)->value) > 0 && v % ftl_dim_get(st, b)->value == 0)
			r = ftl_dim_mod(st, n->a, b);
		else
			r = dim_binary(st, FTL_DIM_MOD, r, b);
	}
	return swapped ? ftl_dim_sub(st, ftl_dim_const(st, 0), r) : r;
}

ftl_dim ftl_dim_ceildiv(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	ftl_dim zero = ftl_dim_const(st, 0), q, r;
	bool swapped;

	if (a == FTL_DIM_NONE || b == FTL_DIM_NONE || dim_is(st, b, 0))
		return FTL_DIM_NONE;
	if (!make_positive(st, &a, &b, &swapped))
		return FTL_DIM_NONE;
	if (dim_divmod(st, a, b, &q, &r) && r == zero)
		return q;
	if (ftl_dim_lo(st, b) < 0)
		return ftl_dim_sub(st, zero, ftl_dim_div(st, ftl_dim_sub(st, zero, a), b));
	return ftl_dim_div(st, ftl_dim_add(st, a, ftl_dim_sub(st, b, ftl_dim_const(st, 1))), b);
}

/* ---- minimum and maximum ---- */

#define MAX_OPERANDS 16

struct operands {
	uint32_t n;
	ftl_dim v[MAX_OPERANDS];
};

/* Is operand x redundant beside y? */
static bool beaten(ftl_symtab *st, ftl_dim_kind kind, ftl_dim x, ftl_dim y)
{
	return kind == FTL_DIM_MIN ? ftl_dim_known_le(st, y, x) == 1 : ftl_dim_known_le(st, x, y) == 1;
}

/* Add d to a set of which none is known to be redundant; false when it is full. Even where d is redundant it
 * may show that another one is: what d beats, whatever beats d beats too. */
static bool add_operand(ftl_symtab *st, ftl_dim_kind kind, struct operands *o, ftl_dim d)
{
	bool needed = true;
	uint32_t n = 0;

	for (uint32_t i = 0; i < o->n; i++) {
		bool less = needed && beaten(st, kind, d, o->v[i]);

		if (less)
			needed = false;
		if (less || !beaten(st, kind, o->v[i], d))
			o->v[n++] = o->v[i];
	}
	o->n = n;
	if (needed && n == MAX_OPERANDS)
		return false;
	if (needed)
		o->v[o->n++] = d;
	return true;
}

static bool add_flat(ftl_symtab *st, ftl_dim_kind kind, struct operands *o, ftl_dim d)
{
	while (dim_kind(st, d) == kind) {
		ftl_dim first = ftl_dim_get(st, d)->a;

		d = ftl_dim_get(st, d)->b;
		if (!add_operand(st, kind, o, first))
			return false;
	}
	return add_operand(st, kind, o, d);
}

/* A set, sorted and written as op(v0, op(v1, ...)): nesting and order of the arguments do not matter. */
static ftl_dim extreme(ftl_symtab *st, ftl_dim_kind kind, ftl_dim a, ftl_dim b)
{
	struct operands o = {0};
	ftl_dim d;

	if (a == FTL_DIM_NONE || b == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	if (!add_flat(st, kind, &o, a) || !add_flat(st, kind, &o, b))
		return FTL_DIM_NONE;
	for (uint32_t i = 1; i < o.n; i++) {
		ftl_dim x = o.v[i];
		uint32_t j = i;

		for (; j > 0 && dim_cmp(st, x, o.v[j - 1]) < 0; j--)
			o.v[j] = o.v[j - 1];
		o.v[j] = x;
	}
	d = o.v[--o.n];
	while (o.n && d != FTL_DIM_NONE)
		d = dim_binary(st, kind, o.v[--o.n], d);
	return d;
}

ftl_dim ftl_dim_min(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	return extreme(st, FTL_DIM_MIN, a, b);
}

ftl_dim ftl_dim_max(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	return extreme(st, FTL_DIM_MAX, a, b);
}
