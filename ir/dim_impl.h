/* Private to ir/dim*.c: the table behind ids, and polynomials while they are worked on.
 *
 * Everything a model can make grow is bounded here: terms of a sum, atoms of a product, the size of an
 * expression written out as a tree, its nesting, and the work on all of them. Past a bound the answer is FTL_DIM_NONE. */
#ifndef IR_DIM_IMPL_H
#define IR_DIM_IMPL_H

#include "ir/dim.h"

#define DIM_MAX_TERMS 256
#define DIM_MAX_DEGREE 16
#define DIM_MAX_WEIGHT 4096
#define DIM_MAX_DEPTH 64
/* Terms merged in the life of a table: a second or two. Models that mean well stay far below. */
#define DIM_MAX_WORK ((uint64_t)1 << 25)

typedef struct dim_entry {
	ftl_dim_node pub;
	uint64_t hash;
	uint32_t weight; /* nodes of the tree this expression prints as */
	uint32_t depth;
	ftl_dim upper;  /* SYM */
	bool any_int;   /* SYM made by ftl_dim_fresh_int */
	uint32_t proof; /* is it >= 0? 2 * epoch + 1 (proven) or + 0, if that was asked in this epoch */
} dim_entry;

struct ftl_symtab {
	ftl_arena *arena;
	ftl_arena temp;         /* terms of what a proof makes */
	uint32_t proving;       /* proofs within proofs */
	uint32_t epoch;         /* counts the times that more became known of a symbol; from 1 */
	FTL_VEC(dim_entry) all; /* [0] is not used */
	uint32_t *slot;         /* hash table of ids, a power of two, at most half full */
	uint32_t nslot;
	uint64_t seed;
	uint64_t work;  /* see DIM_MAX_WORK */
	ftl_map *names; /* symbol name -> id */
	ftl_map *fresh; /* hint -> last number tried */
};

/* A product and a sum of them, sorted by dim_mono_cmp, no two alike, no coefficient 0. */
typedef struct mono {
	int64_t coef;
	uint32_t n;
	ftl_dim atom[DIM_MAX_DEGREE];
} mono;
typedef struct poly {
	uint32_t n;
	mono t[DIM_MAX_TERMS];
} poly;

typedef struct interval {
	int64_t lo, hi; /* INT64_MIN / INT64_MAX: no bound */
} interval;

static inline dim_entry *dim_at(const ftl_symtab *st, ftl_dim d)
{
	return &st->all.v[d];
}
static inline ftl_dim_kind dim_kind(const ftl_symtab *st, ftl_dim d)
{
	return st->all.v[d].pub.kind;
}
/* What a proof makes is forgotten when the outermost one ends: ids from `mark` on. It makes no symbols. */
void dim_forget(ftl_symtab *st, ftl_dim mark);
/* Exactly this constant (not merely proven to be). */
static inline bool dim_is(const ftl_symtab *st, ftl_dim d, int64_t v)
{
	return d != FTL_DIM_NONE && dim_kind(st, d) == FTL_DIM_CONST && st->all.v[d].pub.value == v;
}

/* Order by structure and names, never by id: what an expression looks like does not depend on what was
 * made before it, so text parses back to what was printed. */
int dim_cmp(const ftl_symtab *st, ftl_dim a, ftl_dim b);
/* Higher degree first. The order is kept by multiplication, which dim_poly_fma and division rely on. */
int dim_mono_cmp(const ftl_symtab *st, const mono *a, const mono *b);

/* dim.c */
ftl_dim dim_binary(ftl_symtab *st, ftl_dim_kind kind, ftl_dim a, ftl_dim b); /* an atom as it stands */
ftl_dim dim_from_poly(ftl_symtab *st, const poly *p);
ftl_dim dim_from_mono(ftl_symtab *st, const mono *m);
ftl_dim dim_sym_any(ftl_symtab *st, const char *name, bool any_int); /* NONE if it is there with the other sign */

/* dim_poly.c */
void dim_load(const ftl_symtab *st, ftl_dim d, poly *out);
bool dim_mono_mul(const ftl_symtab *st, const mono *a, const mono *b, mono *out);
/* out = a + m * b; false past a bound. out is neither a nor b. */
bool dim_poly_fma(ftl_symtab *st, const poly *a, const mono *m, const poly *b, poly *out);
/* a = q * c + r by division with remainder, floored where both coefficients are constants. c is not 0. */
bool dim_divmod(ftl_symtab *st, ftl_dim a, ftl_dim c, ftl_dim *q, ftl_dim *r);
/* Factors common to r and c: r = g * r2 + rest, c = g * c2, 0 <= rest < g where rest is not 0. False: none. */
bool dim_content(ftl_symtab *st, ftl_dim r, ftl_dim c, ftl_dim *g, ftl_dim *r2, ftl_dim *c2, int64_t *rest);

/* dim_bounds.c */
interval dim_mono_bounds(const ftl_symtab *st, const mono *m);
interval dim_bounds(const ftl_symtab *st, const ftl_dim_node *n); /* from the operands' bounds; not for SYM */
bool dim_prove_nonneg(ftl_symtab *st, ftl_dim e);

static inline int64_t dim_floor_div(int64_t a, int64_t b) /* not INT64_MIN / -1 */
{
	int64_t q = a / b;

	return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

#endif
