/* What the files of the C backend share: the state of printing one module.
 *
 * The text grows in three parts: types and helpers are added the first time somebody needs them, so nothing unused is
 * printed; the body follows the module's order. All three depend on the module only, so output is reproducible.
 * Values are named vN (N the value's id), parameters pN, variables xN, the grid index g. */
#ifndef BACKENDS_C_INTERNAL_H
#define BACKENDS_C_INTERNAL_H

#include "backends/c.h"

typedef struct ftl_ce {
	ftl_arena *arena;
	const ftl_kmodule *m;
	bool iso;
	ftl_diag *d;
	ftl_status_code err; /* the first error; printing goes on */
	ftl_text types, helpers, body;
	ftl_map *seen;  /* names of types and helpers that are there */
	bool x86;       /* some helper has a variant with x86 intrinsics */
	bool *can_fail; /* by kernel: contains a check */
	/* the current function */
	const ftl_kfunc *f;
	bool is_size;
	bool *live;       /* by value: is printed */
	const char **ref; /* by value: how it is written, once known */
	uint8_t *mask;    /* by value with bool lanes: bytes of a lane of its mask */
	int depth;        /* of indentation */
} ftl_ce;

/* Element types by their short names. */
typedef struct ftl_celem {
	const char *name; /* f32 */
	const char *type; /* float; f16 and bf16 are their bits */
	const char *math; /* suffix of libm's functions, or "" */
	const char *wrap; /* unsigned type that arithmetic is done in: uint32_t or uint64_t */
	uint8_t bytes;
	uint8_t mask; /* signed integer type of the same width */
	uint8_t bits; /* unsigned integer type of the same width */
} ftl_celem;
const ftl_celem *ftl_ce_elem(unsigned elem);

void ftl_ce_fail(ftl_ce *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line of the body at the current indentation. */
void ftl_ce_line(ftl_ce *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *ftl_ce_str(ftl_ce *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* True the first time it is asked for this name: then its text is to be added. */
bool ftl_ce_once(ftl_ce *e, const char *name);

/* ---- print.c ---- */
const char *ftl_ce_num(ftl_ce *e, unsigned elem, int64_t imm);    /* a scalar constant */
const char *ftl_ce_ref(ftl_ce *e, ftl_kv v);                      /* any value but bool lanes */
const char *ftl_ce_mask_ref(ftl_ce *e, ftl_kv v, unsigned bytes); /* bool lanes as a mask of that width */
unsigned ftl_ce_mask_of(ftl_ce *e, ftl_kv v);                     /* its own width; 0 for constants: any */
bool ftl_ce_const(const ftl_ce *e, ftl_kv v, int64_t *out);       /* integer, all lanes, through splat */

/* ---- scalar.c: the expression, or NULL if the instruction is not scalar arithmetic ---- */
const char *ftl_ce_scalar(ftl_ce *e, const ftl_kinst *i);
/* op on expressions of a scalar type */
const char *ftl_ce_scalar_op(ftl_ce *e, ftl_kop op, unsigned elem, const char *a, const char *b, const char *c);
const char *ftl_ce_scalar_cast(ftl_ce *e, const char *x, unsigned from, unsigned to);
bool ftl_ce_is_float(unsigned elem);

/* ---- memory.c: true if it was its instruction ---- */
bool ftl_ce_memory(ftl_ce *e, ftl_kv v, const ftl_kinst *i);

/* ---- vector.c, vector_ops.c (GNU dialect) ---- */
const char *ftl_ce_vtype(ftl_ce *e, unsigned elem, int lanes); /* register type, declared */
const char *ftl_ce_vmask(ftl_ce *e, unsigned bytes, int lanes);
const char *ftl_ce_splat(ftl_ce *e, unsigned elem, int lanes, const char *x);
bool ftl_ce_vector(ftl_ce *e, ftl_kv v, const ftl_kinst *i); /* true if it was its instruction */
const char *ftl_ce_vector_op(ftl_ce *e, ftl_kop op, unsigned elem, int lanes, const char *a, const char *b,
			     const char *c);
const char *ftl_ce_vector_cast(ftl_ce *e, const char *x, unsigned from, unsigned to, int lanes);
const char *ftl_ce_vselect(ftl_ce *e, unsigned elem, int lanes, const char *m, const char *a, const char *b);
const char *ftl_ce_convert_mask(ftl_ce *e, const char *x, unsigned from, unsigned to, int lanes);
void ftl_ce_dot4(ftl_ce *e, int lanes);
/* "T{f(0), f(1), ...}" where each lane is printed by fmt with the lane number for every %d (at most two) */
const char *ftl_ce_lanes(ftl_ce *e, const char *type, int lanes, const char *fmt);

/* ---- program.c ---- */
bool ftl_ce_program_inst(ftl_ce *e, ftl_kv v, const ftl_kinst *i);

#endif
