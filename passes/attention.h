/* What fuse-attention has found of one attention; private to fuse_attention*.c. */
#ifndef PASSES_ATTENTION_H
#define PASSES_ATTENTION_H

#include "pass.h"

#define FTL_ATT_WHAT "attention"

typedef struct ftl_att {
	ftl_pass *p;
	ftl_graph *g;
	ftl_node_id soft;     /* the softmax */
	ftl_node_id product;  /* makes the scores */
	ftl_node_id split;    /* reshape behind it, from groups of heads times rows to heads; or 0 */
	ftl_node_id last;     /* weights times values: the root of the patch */
	bool swapped;         /* the weights are operand 1 of it: the result is the transpose */
	ftl_val sink;         /* or 0 */
	ftl_val logits;       /* what the softmax is over, the sink apart */
	ftl_val weights;      /* operand of last */
	ftl_dim m, n;         /* queries, keys */
	const ftl_type *view; /* of the scores: leading axes as the attention will have them */
	ftl_node_id covered[FTL_PAT_NODES];
	uint32_t ncovered;
	ftl_node_id off[64]; /* nodes looked at that the scores do not lead to */
	uint32_t noff;
	char why[192];
} ftl_att;

static inline bool ftl_att_same(const ftl_att *a, ftl_dim x, ftl_dim y)
{
	return x == y || ftl_dim_known_eq(a->g->st, x, y) == 1;
}
bool ftl_att_fault(ftl_att *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool ftl_att_cover(ftl_att *a, ftl_node_id n);
bool ftl_att_covers(const ftl_att *a, ftl_node_id n);
/* Is v's shape that of scores: m by n at the end? */
bool ftl_att_full(const ftl_att *a, ftl_val v);
/* A reshape that only groups leading axes. */
bool ftl_att_regroups(const ftl_att *a, const ftl_node *n);
/* Build the attention in front of a->last; *out replaces its result. What cannot be typed is an error that means no match. */
ftl_status ftl_att_build(ftl_att *a, ftl_patch *t, ftl_val *out);

#endif
