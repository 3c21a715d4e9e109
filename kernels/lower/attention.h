/* Private to attention*.c: one attention being lowered. */
#ifndef KERNELS_LOWER_ATTENTION_H
#define KERNELS_LOWER_ATTENTION_H

#include "kernels/lower/driver.h"

enum {
	FTL_ATT_VEC = 8,  /* vectors of a tile at most */
	FTL_ATT_ROWS = 8, /* rows of a tile at most */
};

/* Where the elements of an operand lie, transposes in front of it included. */
struct ftl_view {
	ftl_val v;
	ftl_kv stride[FTL_MAX_RANK];
	bool unit; /* the last stride is 1 */
};

typedef struct ftl_attend {
	ftl_lo *lo;
	ftl_node_id id;
	const ftl_node *n;
	ftl_dtype t;               /* compute type */
	int rank, width, mr, nv;   /* tile */
	int64_t mb, kb, e, ep;     /* block sizes; size of a value, and rounded up to vectors */
	ftl_dim m, keys, d, lead;  /* queries, keys, their size, heads */
	bool packed, once, linear; /* once: all keys in one block */
	ftl_kv panels;             /* program value: packed keys */
	ftl_kv live; /* program value: bytes, is block of keys [lead][block of queries] needed; 0: all are */
	ftl_dim live_dim[FTL_MAX_RANK]; /* its leading axes, 1 where all share */

	/* in the kernel */
	ftl_kern *k;
	ftl_kb *b;
	struct ftl_view q, key, val;
	ftl_kv idx[FTL_MAX_RANK]; /* of the piece's head */
	ftl_kv s, o, top, sum;    /* scratch: scores, result, per row the largest logit and the sum */
	ftl_kv m0, rows, tiled;   /* first query, queries, and those rounded up to tiles */
	ftl_kv q0, k0, v0;        /* where the head's operands start */
	ftl_kv block;             /* number of the block of queries */
	ftl_kv head;              /* number of the head's keys among the packed ones */
} ftl_attend;

enum ftl_att_phase {
	FTL_ATT_ONLINE, /* logits to weights, corrected as it goes */
	FTL_ATT_STATS,  /* maxima and sums alone */
	FTL_ATT_FINAL,  /* with maxima and sums known, or without a softmax */
};

/* ---- small arithmetic ---- */

static inline ftl_kv att_add(const ftl_attend *a, ftl_kv x, ftl_kv y)
{
	return ftl_k2(a->b, FTL_K_add, x, y);
}

static inline ftl_kv att_mul(const ftl_attend *a, ftl_kv x, ftl_kv y)
{
	return ftl_k2(a->b, FTL_K_mul, x, y);
}

static inline ftl_kv att_num(const ftl_attend *a, int64_t x)
{
	return ftl_k_i64(a->b, x);
}

static inline ftl_kv att_real(const ftl_attend *a, int lanes, double x)
{
	return ftl_k_float(a->b, FTL_KT(a->t, lanes), x);
}

static inline ftl_kv att_splat(const ftl_attend *a, ftl_kv x)
{
	return ftl_k_splat(a->b, x, a->width);
}

static inline const ftl_type *att_type(const ftl_attend *a, ftl_val v)
{
	return ftl_type_of(a->lo->g, v);
}

static inline int64_t att_panel(const ftl_attend *a)
{
	return (int64_t)a->width * a->nv;
}

static inline ftl_kv att_add_ptr(const ftl_attend *a, ftl_kv ptr, ftl_kv bytes)
{
	return ftl_k_offset(a->b, ptr, bytes);
}

/* attention_live.c: sweep the masks for blocks with something in them, before the kernel; and is the block at key j0 one */
void ftl_att_find_live(ftl_attend *a);
ftl_kv ftl_att_live(ftl_attend *a, ftl_kv block, ftl_kv j0);
/* attention_score.c: scores of the block's rows against nb keys from j0, into the scratch */
void ftl_att_scores(ftl_attend *a, ftl_kv j0, ftl_kv nb);
/* attention_row.c: logits of row i to weights */
void ftl_att_softmax(ftl_attend *a, ftl_kv i, ftl_kv j0, ftl_kv nb, enum ftl_att_phase ph);
void ftl_att_weights(ftl_attend *a, ftl_kv i, ftl_kv j0, ftl_kv nb,
		     ftl_kv factor); /* multiplied, and through their region */
ftl_kv ftl_att_read(ftl_attend *a, const ftl_type *scores, ftl_val v, const ftl_kv *idx); /* captured v at score idx */
bool ftl_att_region_empty(const ftl_attend *a, uint32_t r);
/* attention_value.c: weights times values, onto what is there, or out */
void ftl_att_values(ftl_attend *a, ftl_kv j0, ftl_kv nb);
/* The factor that makes the sums of row i results, or 0 where the weights are final. */
ftl_kv ftl_att_factor(ftl_attend *a, ftl_kv i);
/* Vector x of the result of row i (of the block), elements from c on, goes out. */
void ftl_att_put(ftl_attend *a, ftl_kv i, int64_t c, ftl_kv x, ftl_kv factor);
ftl_kv ftl_att_score_at(const ftl_attend *a, ftl_kv i, ftl_kv j); /* where in the scratch a score lies */

#endif
