/* Private state of one lowering. Only driver*.c, control.c and plan.c see it. */
#ifndef KERNELS_LOWER_DRIVER_H
#define KERNELS_LOWER_DRIVER_H

#include "kernels/lower.h"

/* How a value comes to be. */
enum ftl_how {
	FTL_HOW_MEMORY,   /* it has bytes */
	FTL_HOW_INLINE,   /* its one reader computes it */
	FTL_HOW_EPILOGUE, /* it lives in registers between its NEST and the fused MAP behind it */
};

struct ftl_lo_seq;

typedef struct ftl_lo_value {
	uint8_t how;
	bool heap;                    /* ptr came from alloc: freed after the last use */
	ftl_kv ptr;                   /* in main; 0 = not made yet */
	uint32_t out;                 /* 1 + number of the output whose memory it is made in */
	uint32_t buf;                 /* 1 + number of its planned buffer */
	ftl_val alias;                /* it is that value's memory (views) */
	uint32_t last;                /* number of the last node that needs its bytes */
	const struct ftl_lo_seq *seq; /* a sequence or optional: it has this instead of an address */
} ftl_lo_value;

typedef FTL_VEC(ftl_val) ftl_lo_heap;

/* A symbol's variable as read in a block; 0 once it has been set again. What is computed of it can then be found again
 * too, and a size that many nodes have is computed once. */
typedef struct ftl_lo_read {
	ftl_kv v;
	const ftl_kblock *block;
} ftl_lo_read;

struct ftl_lo {
	ftl_arena *arena, *scratch; /* scratch: kernels under construction */
	uint32_t building;          /* how many those are */
	const ftl_graph *g;
	const ftl_target *target;
	bool no_fuse;
	ftl_diag *diag;
	ftl_kmodule *m;
	ftl_kb main;
	ftl_lo_value *val;             /* per value */
	ftl_node_id *anchor;           /* per node: the NEST whose epilogue it is the end of, or 0 */
	uint32_t *number;              /* per node: place in pre-order */
	ftl_node_id *exec;             /* per node: the node at whose turn it is computed (itself unless fused) */
	ftl_kv *sym;                   /* per dim id: its variable in main, or 0 */
	uint8_t *entry;                /* per dim id: 1 = symbol known at entry */
	struct ftl_lo_read *read;      /* per dim id: where its variable was read last */
	uint32_t nsym;                 /* size of all three */
	ftl_node_id node;              /* being lowered */
	struct ftl_hash_slot *kernels; /* equal kernels, by hash */
	uint32_t nslot, nkernel;
	ftl_lo_heap heap;      /* live heap values of the current region, to be freed */
	ftl_lo_heap inner;     /* what the region lowered last left behind */
	FTL_VEC(ftl_kv) temps; /* heap scratch of the current node */
	ftl_kv passes;         /* variable: passes of all loops so far, or 0 */
	ftl_kblock *vars;      /* the symbols' variables */
	int panel_bytes;       /* as in ftl_lower_options */
	ftl_map *packed;       /* weights packed so far, by what went into them */
};

/* Grouped dims of an elementwise kernel: index c of group j counts over dims [first[j], first[j+1]). */
typedef struct ftl_collapse {
	int n;
	int first[FTL_MAX_RANK + 1];
	ftl_dim size[FTL_MAX_RANK];
	FTL_VEC(struct {
		ftl_val v;
		ftl_kv stride[FTL_MAX_RANK];
	}) leaf;
} ftl_collapse;

struct ftl_kern {
	ftl_lo *lo;
	ftl_node_id node;
	ftl_kb b;
	ftl_kfunc *f;
	FTL_VEC(ftl_kv) args; /* program value behind each parameter */
	ftl_kv grid;
	FTL_VEC(struct {
		ftl_val v;
		ftl_kv x;
	}) ptrs; /* values whose memory was asked for so far */
	FTL_VEC(struct {
		ftl_dim d;
		ftl_kv x;
	}) dims; /* dims asked for so far */
	FTL_VEC(struct {
		ftl_val v;
		ftl_kv x;
	}) over; /* values in registers (epilogue) */
	const ftl_collapse *collapse;
	ftl_kv mask; /* lanes in use of the vectors being read and written; 0 = all */
};

/* driver.c */
ftl_status ftl_lo_region(ftl_lo *lo,
			 ftl_region_id r); /* every node but the yield; leaves its live heap values in lo->inner */
void ftl_lo_region_end(ftl_lo *lo, ftl_lo_heap left); /* free them */
ftl_status ftl_lo_node(ftl_lo *lo, ftl_node_id id);
void ftl_lo_temps_end(ftl_lo *lo, uint32_t mark);   /* free heap scratch taken since temps.n was mark */
ftl_val ftl_lo_root(const ftl_lo *lo, ftl_val v);   /* the value whose memory v is */
bool ftl_lo_entry_dim(const ftl_lo *lo, ftl_dim d); /* depends on symbols known at entry only */
void ftl_lo_alias(ftl_lo *lo, ftl_val v, ftl_val of);
ftl_dim ftl_lo_bytes(ftl_lo *lo, const ftl_type *t);
ftl_kv ftl_lo_bytes_checked(ftl_lo *lo, const ftl_type *t); /* as a program value; ends the run when absurd */
ftl_kv ftl_lo_storage(ftl_lo *lo, const ftl_type *t,
		      uint32_t *out_buf);        /* a fresh place of t's size: planned, or heap (out_buf 0) */
void ftl_lo_symbol(ftl_lo *lo, ftl_dim sym);     /* make sure it has a variable */
void ftl_lo_pass(ftl_lo *lo, const ftl_node *n); /* count a pass of loop n; too many in one run end it */
/* The packed blob made for key (6 words), or NULL; with `put`, remembers it. */
const ftl_blob *ftl_lo_packed(ftl_lo *lo, const uint64_t *key, const ftl_blob *put);
/* fuse.c */
void ftl_lo_plan_fusion(ftl_lo *lo);
/* element.c */
ftl_kv ftl_eval(ftl_kern *k, ftl_val v, const ftl_kv *idx);
ftl_status ftl_map_nest(ftl_lo *lo, ftl_node_id n);
/* From now on indices of this kernel have one entry per group of dims (group j starts at dim first[j]) of output v's shape.
 * False, and nothing changes, if an operand of the fused epilogue does not walk the dims of a group alike. */
bool ftl_kern_collapse(ftl_kern *k, ftl_val v, const int *first, int n);
void ftl_lo_check_broadcast(ftl_lo *lo, ftl_node_id n);

/* Hooks by op. */
typedef enum ftl_lower_kind { FTL_LOWER_MAP, FTL_LOWER_POINT, FTL_LOWER_NEST, FTL_LOWER_PROG } ftl_lower_kind;
typedef struct ftl_lower_info {
	ftl_lower_kind kind;
	ftl_kv (*map)(ftl_kern *k, const ftl_node *n, const ftl_kv *x);
	ftl_point_fn point;
	ftl_status (*nest)(ftl_lo *lo, ftl_node_id n); /* NEST and PROG */
} ftl_lower_info;
const ftl_lower_info *ftl_lower_get(ftl_op op);

#endif
