/* Symbolic dimensions: what is known of an expression, its value, its symbols. Changes nothing. */
#include "dim_impl.h"

#include <stdlib.h>

bool ftl_dim_is_const(const ftl_symtab *st, ftl_dim d, int64_t *out_v)
{
	const ftl_dim_node *n;

	if (d == FTL_DIM_NONE)
		return false;
	n = ftl_dim_get(st, d);
	if (n->kind != FTL_DIM_CONST && (n->lo != n->hi || n->lo == INT64_MIN || n->hi == INT64_MAX))
		return false;
	if (out_v)
		*out_v = n->lo;
	return true;
}

int64_t ftl_dim_lo(const ftl_symtab *st, ftl_dim d)
{
	return d == FTL_DIM_NONE ? INT64_MIN : ftl_dim_get(st, d)->lo;
}

int64_t ftl_dim_hi(const ftl_symtab *st, ftl_dim d)
{
	return d == FTL_DIM_NONE ? INT64_MAX : ftl_dim_get(st, d)->hi;
}

/* 128 bits inside a sum, so that terms that cancel may pass the range of the result for a moment. */
static bool eval(const ftl_symtab *st, ftl_dim d, bool (*env)(void *, ftl_dim, int64_t *), void *user, int64_t *out)
{
	const ftl_dim_node *n = ftl_dim_get(st, d);
	int64_t a, b;

	switch (n->kind) {
	case FTL_DIM_CONST: *out = n->value; return true;
	case FTL_DIM_SYM: return env(user, d, out);
	case FTL_DIM_SUM: {
		__int128 sum = 0;

		for (uint32_t i = 0; i < n->n; i++) {
			__int128 prod = n->term[i].coef;

			for (uint32_t j = 0; j < n->term[i].n; j++) {
				if (!eval(st, n->term[i].atom[j], env, user, &a) ||
				    __builtin_mul_overflow(prod, (__int128)a, &prod))
					return false;
			}
			if (__builtin_add_overflow(sum, prod, &sum))
				return false;
		}
		*out = (int64_t)sum;
		return sum >= INT64_MIN && sum <= INT64_MAX;
	}
	default: break;
	}
	if (!eval(st, n->a, env, user, &a) || !eval(st, n->b, env, user, &b))
		return false;
	switch (n->kind) {
	case FTL_DIM_MIN: *out = a < b ? a : b; return true;
	case FTL_DIM_MAX: *out = a > b ? a : b; return true;
	case FTL_DIM_DIV:
		if (b == 0 || (a == INT64_MIN && b == -1))
			return false;
		*out = dim_floor_div(a, b);
		return true;
	default:
		if (b == 0)
			return false;
		*out = b == -1 ? 0 : a - b * dim_floor_div(a, b);
		return true;
	}
}

bool ftl_dim_eval(const ftl_symtab *st, ftl_dim d, bool (*env)(void *user, ftl_dim sym, int64_t *v), void *user,
		  int64_t *out)
{
	return d != FTL_DIM_NONE && eval(st, d, env, user, out);
}

struct found {
	uint32_t n;
	ftl_dim v[DIM_MAX_WEIGHT]; /* an expression has no more symbols than nodes */
};

static void collect(const ftl_symtab *st, ftl_dim d, struct found *f)
{
	const ftl_dim_node *n = ftl_dim_get(st, d);

	if (n->kind == FTL_DIM_CONST)
		return;
	if (n->kind == FTL_DIM_SYM) {
		f->v[f->n++] = d;
	} else if (n->kind == FTL_DIM_SUM) {
		for (uint32_t i = 0; i < n->n; i++) {
			for (uint32_t j = 0; j < n->term[i].n; j++)
				collect(st, n->term[i].atom[j], f);
		}
	} else {
		collect(st, n->a, f);
		collect(st, n->b, f);
	}
}

static int by_id(const void *a, const void *b)
{
	ftl_dim x = *(const ftl_dim *)a, y = *(const ftl_dim *)b;

	return (x > y) - (x < y);
}

void ftl_dim_symbols(const ftl_symtab *st, ftl_dim d, void (*fn)(void *user, ftl_dim sym), void *user)
{
	struct found f;

	if (d == FTL_DIM_NONE)
		return;
	f.n = 0;
	collect(st, d, &f);
	qsort(f.v, f.n, sizeof f.v[0], by_id);
	for (uint32_t i = 0; i < f.n; i++) {
		if (i == 0 || f.v[i] != f.v[i - 1])
			fn(user, f.v[i]);
	}
}
