/* Lowering: graph IR to a kernel IR module. One definition per op, in kernels/lower/<family>.c.
 *
 * A definition is one of (column `kind` of ops.def):
 *   MAP    one output element from one element of each input; knows nothing of shapes
 *   POINT  one output element at an index, reading inputs wherever it likes
 *   NEST   builds kernels itself
 *   PROG   works on the program: views, constants, control flow
 * MAP and POINT are fused by the driver: into what reads them (inlined) or behind a NEST (epilogue), so they
 * must be free of state. The same hook builds scalar and vector code: an index or element may have lanes, the builder
 * splats and keeps ramps apart from gathers.
 *
 * A target with vector_bytes 0 gives the naive nest, which is the meaning; anything wider is a schedule of it. */
#ifndef KERNELS_LOWER_H
#define KERNELS_LOWER_H

#include "kernels/kir.h"

typedef struct ftl_target {
	const char *name; /* "avx512", "avx2", "sse2", "neon", "scalar" */
	int vector_bytes; /* 64, 32, 16; 0 = scalar */
	int vector_regs;  /* 32 or 16 */
	bool fma;
	int64_t l1_bytes, l2_bytes;
} ftl_target;
extern const ftl_target ftl_target_scalar;
const ftl_target *ftl_target_find(const char *name); /* NULL if unknown */
const ftl_target *ftl_target_at(size_t i);           /* NULL past the end: for listings */

typedef struct ftl_lower_options {
	const ftl_target *target; /* NULL: scalar */
	bool no_fuse;             /* every node materializes its value */
	/* Several lowerings of one graph, into one arena and for different targets, share constants that were packed when
	 * both are the same for all: the bytes in a row of a panel (a multiple of every target's own panel; else it is not
	 * used), and a map from ftl_map_new. */
	int panel_bytes;
	ftl_map *packed;
} ftl_lower_options;

/* Lower, expand math, plan memory, verify. */
ftl_status ftl_lower(ftl_arena *arena, const ftl_graph *g, const ftl_lower_options *o, ftl_diag *d, ftl_kmodule **out);

/* ---- what hooks work with ---- */
typedef struct ftl_lo ftl_lo; /* the lowering of one graph; private fields in kernels/lower/driver.h */

const ftl_graph *ftl_lo_graph(const ftl_lo *lo);
const ftl_target *ftl_lo_target(const ftl_lo *lo);
ftl_kb *ftl_lo_main(ftl_lo *lo);                     /* builder of the program function */
ftl_kv ftl_lo_dim(ftl_lo *lo, ftl_dim d);            /* dim expression as an i64 of the program */
void ftl_lo_bind(ftl_lo *lo, ftl_dim sym, ftl_kv v); /* give a run-time symbol its value (before its first use) */
bool ftl_lo_bound(const ftl_lo *lo, ftl_dim sym);    /* has it a value already */
ftl_kv ftl_lo_ptr(ftl_lo *lo,
		  ftl_val v); /* address of v's elements; for an output of the current node this makes its buffer */
ftl_kv ftl_lo_temp(ftl_lo *lo, ftl_dim bytes);        /* scratch, live during the current node only */
ftl_kv ftl_lo_blob(ftl_lo *lo, const ftl_blob *blob); /* address of a constant's bytes */
ftl_status ftl_lo_fail(ftl_lo *lo, ftl_node_id n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int64_t ftl_lo_msg(ftl_lo *lo, const ftl_node *n, const char *reason); /* run-time error text naming the node */

/* A kernel under construction. */
typedef struct ftl_kern ftl_kern;
ftl_kern *ftl_kern_begin(ftl_lo *lo, ftl_node_id n, const char *what);
ftl_kb *ftl_kern_b(ftl_kern *k);
ftl_lo *ftl_kern_lo(ftl_kern *k);
int ftl_kern_width(const ftl_kern *k, ftl_dtype t); /* vector lanes the target has for t's compute type; 1 = scalar */
ftl_kv ftl_kern_ptr(ftl_kern *k, ftl_val v);        /* address of v's elements as a kernel value */
ftl_kv ftl_kern_arg(ftl_kern *k, ftl_kv program_value); /* any i64 or ptr of the program as a kernel value */
ftl_kv ftl_kern_dim(ftl_kern *k, ftl_dim d);            /* dim expression as a kernel value (a constant if it is one) */
ftl_kv ftl_kern_grid(ftl_kern *k);                      /* the grid index */
void ftl_kern_launch(
	ftl_kern *k, ftl_kv program_count,
	int64_t cost); /* finish: merge with an equal kernel, launch. cost: about how many scalar operations one piece does */

/* Element of value v at idx (rank many i64; entries may have lanes), in the compute type (f16 -> f32). Follows fusion. */
ftl_kv ftl_read(ftl_kern *k, ftl_val v, const ftl_kv *idx);
/* The same at a row-major linear index; only for values that are in memory (not fused), in the compute type. */
ftl_kv ftl_read_flat(ftl_kern *k, ftl_val v, ftl_kv linear, int lanes);
/* Store one element (or lanes along the last axis) of output v of the node that this kernel lowers; applies the fused epilogue. */
void ftl_write(ftl_kern *k, ftl_val v, const ftl_kv *idx, ftl_kv x);
/* row-major linear index of idx in v's shape, and back */
ftl_kv ftl_linear(ftl_kern *k, ftl_val v, const ftl_kv *idx);
void ftl_delinear(ftl_kern *k, const ftl_dim *dims, int rank, ftl_kv linear, ftl_kv *out_idx);

/* Loop over [lo, hi) in vectors of `width`, then a scalar tail (left out where provably empty). Use as
 *   for (ftl_vloop l = ftl_vloop_begin(k, lo, hi, width); ftl_vloop_next(&l);) { ... l.i ... }
 * The body is built once per form: l.lanes lanes, l.i a ramp (or a scalar in the tail). */
typedef struct ftl_vloop {
	ftl_kern *k;
	ftl_kv lo, hi, mid;
	int width, lanes, step_;
	ftl_kv i;    /* index: ramp of l.lanes, or scalar */
	ftl_kv base; /* its first lane */
	ftl_kscope scope;
} ftl_vloop;
ftl_vloop ftl_vloop_begin(ftl_kern *k, ftl_kv lo, ftl_kv hi, int width);
bool ftl_vloop_next(ftl_vloop *l);

/* Accumulator for vloops: one vector and one scalar variable of compute type t, op add, mul, min or max. */
typedef struct ftl_acc {
	ftl_kop op;
	ftl_dtype t;
	int width;
	ftl_kv vec, one;
} ftl_acc;
ftl_acc ftl_acc_begin(ftl_kern *k, ftl_kop op, ftl_dtype t, int width, double init);
void ftl_acc_put(ftl_kern *k, ftl_acc *a, ftl_kv x); /* x has width lanes or one */
ftl_kv ftl_acc_end(ftl_kern *k, ftl_acc *a);         /* the scalar */

/* Is x = the epilogue of v empty, so that what ftl_write stored can be read back from v's memory? */
bool ftl_kern_plain(const ftl_kern *k, ftl_val v);

/* Give the symbols that node n's outputs introduce their run-time values, from the inputs that hold shapes,
 * counts or ranges. Ops whose count only a kernel knows (non_zero ...) do it in their own hook. (lower/bind.c) */
ftl_status ftl_bind_dynamic(ftl_lo *lo, ftl_node_id n);

/* Materialize output v of node n with a POINT-like function: loops over v's shape, vector along the last axis if vectorize. */
typedef ftl_kv (*ftl_point_fn)(ftl_kern *k, const ftl_node *n, const ftl_kv *idx);
ftl_status ftl_point_nest(ftl_lo *lo, ftl_node_id n, ftl_val v, ftl_point_fn fn, bool vectorize, const char *what);

/* ---- the hooks, declared from the table ---- */
#define FTL_HOOK_MAP(lower) ftl_kv ftl_map_##lower(ftl_kern *k, const ftl_node *n, const ftl_kv *x);
#define FTL_HOOK_POINT(lower) ftl_kv ftl_point_##lower(ftl_kern *k, const ftl_node *n, const ftl_kv *idx);
#define FTL_HOOK_NEST(lower) ftl_status ftl_nest_##lower(ftl_lo *lo, ftl_node_id n);
#define FTL_HOOK_PROG(lower) ftl_status ftl_prog_##lower(ftl_lo *lo, ftl_node_id n);
#define OP(name, min_in, max_in, nout, traits, infer, kind, lower) FTL_HOOK_##kind(lower)
#include "../../../ir/ops.def"

#endif
