/* What the inference hooks share; private to ir/infer/.
 *
 * A hook first calls ftl_hook_args, after which every present input has an element type, a rank within
 * FTL_MAX_RANK and known dims. Results are set with ftl_hook_out, which refuses negative and overflowing
 * sizes and forgets old contents; contents are set after it with ftl_hook_set. */
#ifndef IR_INFER_HOOKS_H
#define IR_INFER_HOOKS_H

#include "ir/infer.h"
#include "ir/shape_util.h"

static inline ftl_symtab *ftl_hook_st(const ftl_infer *f)
{
	return f->g->st;
}
static inline ftl_dim ftl_hook_const(const ftl_infer *f, int64_t v)
{
	return ftl_dim_const(f->g->st, v);
}

/* n dims; v may be NULL where n is 0. */
static inline void ftl_hook_copy(ftl_dim *out, const ftl_dim *v, int n)
{
	for (int i = 0; i < n; i++)
		out[i] = v[i];
}

ftl_status ftl_hook_args(ftl_infer *f, uint32_t required);
ftl_status ftl_hook_args_any(ftl_infer *f, uint32_t required); /* inputs may be sequences and optionals */
ftl_status ftl_hook_want_tensor(ftl_infer *f, uint32_t k);
ftl_status ftl_hook_out(ftl_infer *f, uint32_t k, ftl_dtype t, int rank, const ftl_dim *dims);
/* Output k like input j. */
ftl_status ftl_hook_out_like(ftl_infer *f, uint32_t k, uint32_t j);
/* Output k with the broadcast shape of inputs [0, nin) that are present. */
ftl_status ftl_hook_out_broadcast(ftl_infer *f, uint32_t k, ftl_dtype t, uint32_t nin);

/* Element types: what is asked for must hold, else an error that names what was found. Low types are none of these. */
ftl_status ftl_hook_want_float(ftl_infer *f, uint32_t k);
ftl_status ftl_hook_want_number(ftl_infer *f, uint32_t k); /* not bool */
ftl_status ftl_hook_want_int(ftl_infer *f, uint32_t k);
ftl_status ftl_hook_want_bool(ftl_infer *f, uint32_t k);
ftl_status ftl_hook_want_same(ftl_infer *f, uint32_t a, uint32_t b);
ftl_status ftl_hook_want_rank(ftl_infer *f, uint32_t k, int rank);
ftl_status ftl_hook_want_one(ftl_infer *f, uint32_t k, const char *what); /* not provably other than one element */
ftl_status ftl_hook_dtype_ok(ftl_infer *f, ftl_dtype t);                  /* an attribute holds a real element type */

/* The element type the values stand for: a quantized tensor's is its scale's. */
ftl_dtype ftl_hook_real_dtype(const ftl_infer *f, const ftl_type *t);

/* Two sizes that must agree: the better known one. what names them in the error. */
ftl_status ftl_hook_unify(ftl_infer *f, ftl_dim a, ftl_dim b, const char *what, ftl_dim *out);
/* "[2,?s,768]" in the graph's arena, for messages. */
const char *ftl_hook_shape(const ftl_infer *f, int rank, const ftl_dim *dims);
const char *ftl_hook_in_shape(const ftl_infer *f, uint32_t k);
const char *ftl_hook_dim(const ftl_infer *f, ftl_dim d);

/* ---- contents ---- */
/* Contents of input k, NULL if not tracked; single elements may be FTL_DIM_NONE. */
const ftl_dim *ftl_hook_contents(const ftl_infer *f, uint32_t k, uint32_t *n);
/* Element i, or FTL_DIM_NONE. */
ftl_dim ftl_hook_elem(const ftl_infer *f, uint32_t k, uint32_t i);
/* Number of elements if constant and at most cap. */
bool ftl_hook_count(const ftl_infer *f, int rank, const ftl_dim *dims, uint32_t cap, uint32_t *out);
/* May output k have tracked contents (integer or bool, few elements)? How many elements. */
bool ftl_hook_tracks(const ftl_infer *f, uint32_t k, uint32_t *n);
/* Set contents of output k. Elements that may not fit its element type become unknown. */
void ftl_hook_set(ftl_infer *f, uint32_t k, const ftl_dim *v, uint32_t n);
/* d if every value it can have is one of type t, else FTL_DIM_NONE. */
ftl_dim ftl_hook_fit(ftl_symtab *st, ftl_dtype t, ftl_dim d);
/* An integer vector (or scalar) operand of known length <= cap: unknown elements are FTL_DIM_NONE. */
ftl_status ftl_hook_vector(ftl_infer *f, uint32_t k, const char *what, uint32_t cap, uint32_t *out_n, ftl_dim *out);

/* Attribute of a hook's node by name, for hooks shared by ops with the same row; it must exist. */
int64_t ftl_hook_attr_i64(const ftl_infer *f, const char *name);
bool ftl_hook_attr_flag(const ftl_infer *f, const char *name);
ftl_ints ftl_hook_attr_ints(const ftl_infer *f, const char *name);
ftl_dims ftl_hook_attr_dims(const ftl_infer *f, const char *name);
ftl_dtype ftl_hook_attr_dtype(const ftl_infer *f, const char *name);

/* Element k of a list that is empty for "all default". */
static inline int64_t ftl_hook_int_or(ftl_ints l, uint32_t k, int64_t or_else)
{
	return l.n ? l.v[k] : or_else;
}

/* ---- exact arithmetic on floats that hold integers (detour.c) ---- */
/* num/den, den > 0; num FTL_DIM_NONE = unknown. exact: the float holds it without rounding. */
typedef struct ftl_ratio {
	ftl_dim num;
	int64_t den;
	bool exact;
} ftl_ratio;
/* Contents of a float value that was computed from integers; false if nothing is known. out has FTL_MAX_SYM. */
bool ftl_hook_ratios(const ftl_graph *g, ftl_val v, ftl_ratio *out, uint32_t *out_n);
/* The float x as a ratio, if it is one with a small denominator. */
bool ftl_hook_ratio_of(double x, int64_t *num, int64_t *den);

#endif
