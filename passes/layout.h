/* What the rules of cancel-layout share; private to cancel_layout.c, layout_move.c and layout_part.c. */
#ifndef PASSES_LAYOUT_H
#define PASSES_LAYOUT_H

#include "pass.h"

/* A rule looks at node id, which has the op it is listed for, and may try one patch. */
typedef ftl_status (*ftl_layout_fn)(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);

/* perm of a transpose, written out; false if there are too many axes */
bool ftl_layout_perm(const ftl_graph *g, const ftl_node *n, int *perm);
ftl_status ftl_layout_transpose(ftl_patch *t, ftl_val x, const int *perm, ftl_val *out); /* x itself for the identity */
ftl_status ftl_layout_reshape(ftl_patch *t, ftl_val x, const ftl_dim *dims, int rank, ftl_val *out);
/* n once more, with other operands. */
ftl_status ftl_layout_again(ftl_patch *t, const ftl_node *n, const ftl_val *in, ftl_val *out);
/* Commit if building went well: what cannot be typed is no match. */
ftl_status ftl_layout_commit(ftl_patch *t, ftl_status_code built, const ftl_val *with, bool *out_done);

/* transposes and reshapes (layout_move.c) */
ftl_status ftl_layout_transpose_transpose(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
ftl_status ftl_layout_transpose_view(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
ftl_status ftl_layout_transpose_matmul(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
ftl_status ftl_layout_matmul_transpose(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
ftl_status ftl_layout_matmul_reshape(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
ftl_status ftl_layout_map_transpose(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
ftl_status ftl_layout_map_reshape(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
/* parts and repeats (layout_part.c) */
ftl_status ftl_layout_slice_slice(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
ftl_status ftl_layout_slice_concat(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
ftl_status ftl_layout_concat_slices(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
ftl_status ftl_layout_concat_concat(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);
ftl_status ftl_layout_map_expand(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done);

#endif
