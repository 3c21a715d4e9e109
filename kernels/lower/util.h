/* Small pieces that op definitions share: indices that come from data, elements of shape operands, run-time checks that
 * shapes fit, products of dims. Everything here emits code through the public builder; nothing knows an op. */
#ifndef KERNELS_LOWER_UTIL_H
#define KERNELS_LOWER_UTIL_H

#include "kernels/lower.h"

/* ---- kernel code ---- */
/* min or max where a NaN wins */
ftl_kv ftl_u_minmax(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv y);
/* The same over the lanes of x: a scalar. */
ftl_kv ftl_u_minmax_lanes(ftl_kb *b, ftl_kop op, ftl_kv x);
/* bool scalar: all lanes of c hold */
ftl_kv ftl_u_all(ftl_kb *b, ftl_kv c);
/* x < lo ? lo : x > hi ? hi : x for i64; lo wins where hi < lo */
ftl_kv ftl_u_clamp(ftl_kb *b, ftl_kv x, ftl_kv lo, ftl_kv hi);
/* An index that comes from data, for an axis of `dim` elements: negative ones count from the end; anything still outside
 * [0, dim) is an error of the run, and is clamped so that the address stays inside (the axis must not be empty then:
 * see ftl_u_check_nonempty). */
ftl_kv ftl_u_index(ftl_kern *k, const ftl_node *n, ftl_kv i, ftl_dim dim);
/* Index into a broadcast operand's axis of `in` elements where the result has `out`. */
ftl_kv ftl_u_bcast(ftl_kern *k, ftl_kv idx, ftl_dim in, ftl_dim out);
/* Index of operand v, broadcast from the right, for an element idx of a value of type t. */
void ftl_u_bcast_index(ftl_kern *k, const ftl_type *t, const ftl_kv *idx, ftl_val v, ftl_kv *out_idx);
/* The element of a value that has only one, whatever its rank. */
ftl_kv ftl_u_read_one(ftl_kern *k, ftl_val v);
/* idx with entry `axis` = i */
static inline void ftl_u_idx(ftl_kv *out, const ftl_kv *idx, int rank, int axis, ftl_kv i)
{
	for (int d = 0; d < rank; d++)
		out[d] = d == axis ? i : idx[d];
}
/* Put the n i64s at perm into order, keeping that of equals: before(user, p, q) says whether value p goes before value q.
 * tmp has as much room; n log n. (sort.c) */
void ftl_u_sort(ftl_kern *k, ftl_kv perm, ftl_kv tmp, ftl_kv n, ftl_kv (*before)(void *user, ftl_kv p, ftl_kv q),
		void *user);
/* Lanes for an axis of `dim` elements: the target's width, halved while a constant axis is shorter. */
int ftl_u_width(const ftl_kern *k, ftl_dtype t, ftl_dim dim);
/* ---- low element types (low.c) ---- */
/* What a byte of type t stands for: f32 of floats, i8 or u8 of integers; other types as they are. */
ftl_kv ftl_u_decode(ftl_kb *b, ftl_kv x, ftl_dtype t);
/* A number as type t has it in memory, of a float, integer or bool x; other types are cast. saturate and round_mode: as
 * attributes of cast. */
ftl_kv ftl_u_encode(ftl_kb *b, ftl_kv x, ftl_dtype t, bool saturate, const char *round_mode);
/* An element of avg_pool by its definition. (sample.c) */
ftl_kv ftl_avg_pool_element(ftl_kern *k, const ftl_node *n, const ftl_kv *idx);
/* Run body for elements [0, n) of a row, `lanes` at a time from `base` on. The last vector ends with the row, so that it may
 * do elements again that the one before did; single elements only where the row is shorter than a vector. */
void ftl_u_row(ftl_kern *k, ftl_kv n, int width, void (*body)(void *user, ftl_kv base, int lanes), void *user);
/* Indices of the axes of t that mask names, from the grid index; the others stay. */
void ftl_u_grid_index(ftl_kern *k, const ftl_type *t, uint32_t mask, ftl_kv linear, ftl_kv *idx);

/* A function on strings of each lane; the widest operand decides how many there are. y, z may be 0. */
ftl_kv ftl_u_call(ftl_kb *b, ftl_string_call fn, ftl_kv x, ftl_kv y, ftl_kv z);

/* ---- program code ---- */
/* Do all symbols of d have values? */
bool ftl_u_known(const ftl_lo *lo, ftl_dim d);
/* Does inference know element i, by symbols that have values? */
bool ftl_u_elem_known(const ftl_lo *lo, ftl_val v, int64_t i);
/* Element i of an integer (or float: truncated) tensor as an i64 of the program. */
ftl_kv ftl_u_elem(ftl_lo *lo, const ftl_node *n, ftl_val v, int64_t i);
/* Element i in its compute type. */
ftl_kv ftl_u_elem_raw(ftl_lo *lo, const ftl_node *n, ftl_val v, int64_t i);
/* A start or end of a slice as ONNX says: counted from the end if negative, clamped to [0, dim] for a step forwards, to
 * [-1, dim - 1] backwards. */
ftl_kv ftl_u_slice_clamp(ftl_kb *b, ftl_kv at, ftl_kv dim, ftl_kv step);
/* End the run unless ... (no code where proven) */
void ftl_u_check_eq(ftl_lo *lo, const ftl_node *n, ftl_dim a, ftl_dim b, const char *reason);
void ftl_u_check_le(ftl_lo *lo, const ftl_node *n, ftl_dim a, ftl_dim b, const char *reason);
void ftl_u_check_bcast(ftl_lo *lo, const ftl_node *n, ftl_val v,
		       const ftl_type *t); /* v broadcasts to t from the right */
/* The program learns that dim (a symbol, or what is known of it) is the i64 at ptr. */
void ftl_u_bind_count(ftl_lo *lo, const ftl_node *n, ftl_dim dim, ftl_kv ptr);
/* ... dim is not 0, or there is nothing (count = 0) to look up in it */
void ftl_u_check_nonempty(ftl_lo *lo, const ftl_node *n, ftl_dim dim, ftl_dim count);
/* Copy all elements of v to out, which has as many bytes. */
void ftl_u_copy(ftl_lo *lo, ftl_node_id n, ftl_val out, ftl_val v);

/* ---- dims ---- */
bool ftl_u_is(const ftl_lo *lo, ftl_dim d, int64_t v);
ftl_dim ftl_u_const(const ftl_lo *lo, int64_t v);
/* product of the dims of t whose axis is in mask, or in [from, to) */
ftl_dim ftl_u_product_mask(const ftl_lo *lo, const ftl_type *t, uint32_t mask);
ftl_dim ftl_u_product(const ftl_lo *lo, const ftl_type *t, int from, int to);
/* Cost of `per` operations on each of d elements; a guess where d is symbolic. */
int64_t ftl_u_cost(const ftl_lo *lo, ftl_dim d, int64_t per);
/* axis in [-rank, rank) to [0, rank) */
static inline int ftl_u_axis(int64_t axis, int rank)
{
	return (int)(axis < 0 ? axis + rank : axis);
}

#endif
