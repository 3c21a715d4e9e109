/* What the convolutions share: the description of one, and the contraction behind it. */
#ifndef KERNELS_LOWER_CONV_H
#define KERNELS_LOWER_CONV_H

#include "kernels/lower/contract.h"

enum { MAX_SPATIAL = FTL_MAX_RANK - 2 };

struct conv {
	ftl_contract c; /* first */
	const ftl_node *n;
	ftl_val x, w, bias;
	int nd; /* spatial dims */
	int64_t stride[MAX_SPATIAL], dilation[MAX_SPATIAL], group;
	ftl_dim pad[2 * MAX_SPATIAL]; /* begins, then ends */
	ftl_dim in[MAX_SPATIAL];      /* padded input size */
	ftl_dim cg, og;               /* channels per group, in and out */
	const ftl_type *xt, *wt, *ot;
	ftl_kv src; /* program value: the padded input in compute type or x itself */
	ftl_dtype src_mem;
};

void ftl_conv_describe(struct conv *v, ftl_lo *lo, ftl_node_id id);
/* C[output channel, position] per (image, group). plain: v->src holds the patch matrices themselves, [N * group][k][n];
 * else they are packed from the padded input there. */
ftl_status ftl_conv_gemm(struct conv *v, bool plain);
/* v->src: a copy of x of sizes v->in (each its axis with v->pad in front), `around` where x has nothing; or x itself. */
void ftl_conv_pad(struct conv *v, double around);
/* Where, inside a channel of the padded input, the windows of the row of outputs o (all spatial axes but the last) start. */
ftl_kv ftl_conv_row_start(struct conv *v, ftl_kern *k, const ftl_kv *o);
ftl_dim ftl_conv_product(ftl_symtab *st, const ftl_dim *d, int n);
static inline int64_t ftl_conv_or(ftl_ints l, int i, int64_t or_else)
{
	return (uint32_t)i < l.n ? l.v[i] : or_else;
}

#endif
