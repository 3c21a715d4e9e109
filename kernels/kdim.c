/* Dim expressions as kernel IR: what shapes become at run time. */
#include <assert.h>

#include "kernels/kir.h"

struct dimgen {
	ftl_kb *b;
	const ftl_symtab *st;
	ftl_dtype t;
	ftl_kv (*value)(void *user, ftl_dim sym);
	void *user;
};

static ftl_kv gen(struct dimgen *g, ftl_dim d);

/* floor semantics; where nothing can be negative the machine's truncation is the same */
static ftl_kv divide(struct dimgen *g, const ftl_dim_node *n)
{
	ftl_kb *b = g->b;
	ftl_kv x = gen(g, n->a), y = gen(g, n->b), q, r, fix;

	if (g->t == FTL_F64) {
		q = ftl_k1(b, FTL_K_floor, ftl_k2(b, FTL_K_div, x, y));
		return n->kind == FTL_DIM_DIV ? q : y; /* a remainder is below its divisor */
	}
	if (ftl_dim_lo(g->st, n->a) >= 0 && ftl_dim_lo(g->st, n->b) >= 0)
		return ftl_k2(b, n->kind == FTL_DIM_DIV ? FTL_K_div : FTL_K_rem, x, y);
	q = ftl_k2(b, FTL_K_div, x, y);
	r = ftl_k2(b, FTL_K_rem, x, y);
	fix = ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_ne, r, ftl_k_i64(b, 0)),
		     ftl_k2(b, FTL_K_lt, ftl_k2(b, FTL_K_xor, r, y), ftl_k_i64(b, 0)));
	if (n->kind == FTL_DIM_DIV)
		return ftl_k_select(b, fix, ftl_k2(b, FTL_K_sub, q, ftl_k_i64(b, 1)), q);
	return ftl_k_select(b, fix, ftl_k2(b, FTL_K_add, r, y), r);
}

static ftl_kv gen(struct dimgen *g, ftl_dim d)
{
	const ftl_dim_node *n;
	ftl_ktype type = FTL_KT(g->t, 1);
	ftl_kv sum;

	assert(d != FTL_DIM_NONE);
	n = ftl_dim_get(g->st, d);
	switch (n->kind) {
	case FTL_DIM_CONST: return ftl_k_num(g->b, type, (double)n->value);
	case FTL_DIM_SYM: return ftl_k_cast(g->b, g->value(g->user, d), g->t);
	case FTL_DIM_MIN: return ftl_k2(g->b, FTL_K_min, gen(g, n->a), gen(g, n->b));
	case FTL_DIM_MAX: return ftl_k2(g->b, FTL_K_max, gen(g, n->a), gen(g, n->b));
	case FTL_DIM_DIV:
	case FTL_DIM_MOD: return divide(g, n);
	case FTL_DIM_SUM: break;
	}
	sum = ftl_k_num(g->b, type, 0);
	for (uint32_t i = 0; i < n->n; i++) {
		ftl_kv p = g->t == FTL_I64 ? ftl_k_i64(g->b, n->term[i].coef)
					   : ftl_k_num(g->b, type, (double)n->term[i].coef);

		for (uint32_t j = 0; j < n->term[i].n; j++)
			p = ftl_k2(g->b, FTL_K_mul, p, gen(g, n->term[i].atom[j]));
		sum = ftl_k2(g->b, FTL_K_add, sum, p);
	}
	return sum;
}

ftl_kv ftl_k_dim(ftl_kb *b, const ftl_symtab *st, ftl_dim d, ftl_dtype t, ftl_kv (*value)(void *user, ftl_dim sym),
		 void *user)
{
	struct dimgen g = {b, st, t, value, user};
	int64_t c;

	if (t == FTL_I64 && ftl_dim_is_const(st, d, &c))
		return ftl_k_i64(b, c);
	return gen(&g, d);
}
