/* Symbolic dimensions: hash-consed integer expressions over named symbols.
 *
 * An expression is kept in a normal form, a sum of (coefficient x product of atoms), so that
 * two expressions equal as polynomials have the same id: comparing ids compares meaning for
 * everything built from + - x. Atoms are symbols and floor divisions, remainders, minima and
 * maxima of expressions. Every symbol is >= 0 unless made with ftl_dim_fresh_int.
 * All operations fold constants; overflow of 64 bits yields FTL_DIM_NONE, never undefined behaviour, and so
 * does an expression that would grow too large (256 terms, 16 atoms in a product, 64 levels). */
#ifndef IR_DIM_H
#define IR_DIM_H

#include "base/arena.h"

typedef uint32_t ftl_dim; /* id in a symtab */
#define FTL_DIM_NONE 0u   /* "no expression": every operation on it gives FTL_DIM_NONE */

typedef struct ftl_symtab ftl_symtab;

typedef enum ftl_dim_kind {
	FTL_DIM_CONST,
	FTL_DIM_SYM,
	FTL_DIM_SUM,
	FTL_DIM_DIV,
	FTL_DIM_MOD,
	FTL_DIM_MIN,
	FTL_DIM_MAX
} ftl_dim_kind;

/* One product in a sum: coef * atom[0] * atom[1] ... (repeats allowed; n = 0 is a constant). Atoms and terms
 * are in an order of structure and names, not of ids, so equal text means equal form. */
typedef struct ftl_dim_term {
	int64_t coef;
	uint32_t n;
	const ftl_dim *atom;
} ftl_dim_term;

typedef struct ftl_dim_node {
	ftl_dim_kind kind;
	int64_t value;            /* CONST */
	const char *name;         /* SYM, without '?' */
	uint32_t n;               /* SUM: number of terms */
	const ftl_dim_term *term; /* SUM: at least two terms, or one that is not a bare atom */
	ftl_dim a, b;             /* DIV (floor) MOD MIN MAX */
	int64_t lo, hi;           /* proven bounds; INT64_MIN / INT64_MAX if none */
} ftl_dim_node;

ftl_symtab *ftl_symtab_new(ftl_arena *arena);
const ftl_dim_node *ftl_dim_get(const ftl_symtab *st, ftl_dim d); /* d != FTL_DIM_NONE */
uint32_t ftl_dim_count(const ftl_symtab *st);                     /* ids are 1..count */

ftl_dim ftl_dim_const(ftl_symtab *st, int64_t v);
ftl_dim ftl_dim_sym(ftl_symtab *st, const char *name);       /* the same name gives the same symbol; >= 0 */
ftl_dim ftl_dim_fresh(ftl_symtab *st, const char *hint);     /* a symbol nobody has: hint, hint_1, ...; >= 0 */
ftl_dim ftl_dim_fresh_int(ftl_symtab *st, const char *hint); /* the same, may be negative */
/* Narrow what is known of a symbol (for --dim n=1..512, and counts bounded by a size). */
void ftl_dim_set_bounds(ftl_symtab *st, ftl_dim sym, int64_t lo, int64_t hi);
/* An expression that is never smaller than sym, when sym is bound at run time (NonZero: the element count);
 * FTL_DIM_NONE if none is known. */
void ftl_dim_set_upper(ftl_symtab *st, ftl_dim sym, ftl_dim upper);
ftl_dim ftl_dim_upper(const ftl_symtab *st, ftl_dim sym);

ftl_dim ftl_dim_add(ftl_symtab *st, ftl_dim a, ftl_dim b);
ftl_dim ftl_dim_sub(ftl_symtab *st, ftl_dim a, ftl_dim b);
ftl_dim ftl_dim_mul(ftl_symtab *st, ftl_dim a, ftl_dim b);
ftl_dim ftl_dim_div(ftl_symtab *st, ftl_dim a, ftl_dim b); /* floor; exact division of sums cancels: (4*?s)/4 = ?s */
ftl_dim ftl_dim_ceildiv(ftl_symtab *st, ftl_dim a, ftl_dim b);
ftl_dim ftl_dim_mod(ftl_symtab *st, ftl_dim a, ftl_dim b); /* sign of the divisor */
ftl_dim ftl_dim_min(ftl_symtab *st, ftl_dim a, ftl_dim b);
ftl_dim ftl_dim_max(ftl_symtab *st, ftl_dim a, ftl_dim b);

bool ftl_dim_is_const(const ftl_symtab *st, ftl_dim d, int64_t *out_v); /* out_v may be NULL */
int64_t ftl_dim_lo(const ftl_symtab *st, ftl_dim d);
int64_t ftl_dim_hi(const ftl_symtab *st, ftl_dim d);
/* 1 proven, 0 disproven, -1 unknown */
int ftl_dim_known_eq(ftl_symtab *st, ftl_dim a, ftl_dim b);
int ftl_dim_known_le(ftl_symtab *st, ftl_dim a, ftl_dim b);
int ftl_dim_known_lt(ftl_symtab *st, ftl_dim a, ftl_dim b);
/* d with symbol sym replaced by expression with */
ftl_dim ftl_dim_subst(ftl_symtab *st, ftl_dim d, ftl_dim sym, ftl_dim with);
/* Value of d when every symbol s has value env(user, s); false on overflow, division by zero or env saying no. */
bool ftl_dim_eval(const ftl_symtab *st, ftl_dim d, bool (*env)(void *user, ftl_dim sym, int64_t *v), void *user,
		  int64_t *out);
/* fn for every distinct symbol in d */
void ftl_dim_symbols(const ftl_symtab *st, ftl_dim d, void (*fn)(void *user, ftl_dim sym), void *user);

/* Text: 12   ?batch   ?past+?seq   2*?b*?s-1   div(?s,2)  mod(a,b)  min(a,b)  max(a,b).
 * Names outside [A-Za-z0-9_.] are quoted: ?"a b"; one made with ftl_dim_fresh_int is ?~name. "_" prints for
 * FTL_DIM_NONE (and parses to it, past the "_"). */
void ftl_dim_print(const ftl_symtab *st, ftl_text *t, ftl_dim d);
/* Parses the longest expression at *s, advances *s; FTL_DIM_NONE and *s unchanged on error. */
ftl_dim ftl_dim_parse(ftl_symtab *st, const char **s);

#endif
