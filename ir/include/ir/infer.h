/* Type and shape inference: one hook per op, named in ops.def.
 *
 * A hook reads inputs' types (and symbolic contents) and sets outputs' types (and contents). It is
 * called when a node is made and again whenever a rewrite changed what it reads. A hook that cannot
 * know a dim makes a fresh symbol with ftl_infer_fresh: the op's lowering binds it at run time. */
#ifndef IR_INFER_H
#define IR_INFER_H

#include "ir/graph.h"

typedef struct ftl_infer_old { /* what an output was before this inference */
	ftl_type type;
	const ftl_dim *sym;
	uint32_t nsym;
} ftl_infer_old;

typedef struct ftl_infer {
	ftl_graph *g;
	ftl_node_id id;
	ftl_diag *diag;
	/* the driver's: */
	const ftl_infer_old *old; /* per output */
	bool bad_rank;            /* a hook gave an output more than FTL_MAX_RANK axes */
} ftl_infer;

/* Give node id's outputs their types. If an output already had a type, dims that were fresh symbols of this
 * node keep their symbols where the new inference knows no better. */
ftl_status ftl_infer_node(ftl_graph *g, ftl_node_id id, ftl_diag *d);
/* The whole graph again, in order, regions included. */
ftl_status ftl_infer_graph(ftl_graph *g, ftl_diag *d);

/* ---- for hooks ---- */
const ftl_node *ftl_infer_self(const ftl_infer *f);
bool ftl_infer_has(const ftl_infer *f, uint32_t k);           /* input k present */
const ftl_type *ftl_infer_in(const ftl_infer *f, uint32_t k); /* its type */
const ftl_value *ftl_infer_inv(const ftl_infer *f, uint32_t k);
void ftl_infer_out(ftl_infer *f, uint32_t k, ftl_dtype t, int rank, const ftl_dim *dims);
void ftl_infer_out_seq(ftl_infer *f, uint32_t k, ftl_dtype t, const ftl_seq_type *s);
void ftl_infer_sym(ftl_infer *f, uint32_t k, const ftl_dim *sym, uint32_t n);  /* contents of output k; copied */
ftl_dim ftl_infer_fresh(ftl_infer *f, uint32_t k, int axis, const char *hint); /* stable across re-inference */
ftl_status ftl_infer_fail(ftl_infer *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* axis in [-rank, rank) to [0, rank); error naming the op otherwise */
ftl_status ftl_infer_axis(ftl_infer *f, int64_t axis, int rank, int *out);
/* Numpy broadcasting of two shapes, as ftl_shapes_broadcast; error naming the op. out_dims: FTL_MAX_RANK of them. */
ftl_status ftl_infer_broadcast(ftl_infer *f, const ftl_type *a, const ftl_type *b, int *out_rank, ftl_dim *out_dims);

#define OP(name, min_in, max_in, nout, traits, infer, ...) ftl_status ftl_infer_op_##infer(ftl_infer *f);
#include "../../ops.def"

#endif
