/* The importer's inside: state, the current node, and the small language its families are written in.
 *
 * A failed step sets imp.failed and writes the message; every step after it does nothing and hands out value 0, whose
 * type reads as a scalar f32. So decompositions are written as straight code and the driver checks once per node.
 * Code that loops over something a failed step should have bounded asks m->failed itself. */
#ifndef FRONTEND_IMP_H
#define FRONTEND_IMP_H

#include "frontend/onnx.h"
#include "ir/shape_util.h"
#include "tensor.h"

#define IMP_MAX_IN 65536 /* inputs or outputs of one node */

typedef struct imp imp;
typedef void imp_fn(imp *m);

/* A row of import_table.def. */
typedef struct imp_row {
	const char *domain, *name;
	int since, until;  /* opsets, inclusive */
	ftl_op op;         /* FTL_OP_NONE when fn needs none */
	const char *attrs; /* fn NULL: one node of op with these attributes */
	imp_fn *fn;
} imp_row;
extern const imp_row ftl_imp_rows[];
extern const size_t ftl_imp_nrows;

/* A sequence, known at import: items in order, each one tensor or a stack of tensors along axis 0. */
typedef struct imp_item {
	ftl_val v;
	bool stacked;
} imp_item;
typedef struct imp_seq {
	bool open;                  /* what a loop body sees: the items before this round are not known */
	const struct imp_seq *base; /* the open one this one appends to, or NULL */
	ftl_dtype dtype;            /* of an empty one */
	FTL_VEC(imp_item) items;
} imp_seq;

/* What a name stands for. */
typedef struct imp_bound {
	ftl_val v;                /* a tensor; or a sequence or optional that only run time knows */
	const imp_seq *seq;       /* instead of v */
	bool none;                /* an optional input its caller left out, or an optional without element */
	const ftl_type *optional; /* v, seq or none is an optional of this type that is known at import */
} imp_bound;

typedef struct imp_scope {
	ftl_map *names; /* -> imp_bound */
	struct imp_scope *parent;
} imp_scope;

/* A call of a model-local function: attributes of its body's nodes may refer to the call's. */
typedef struct imp_frame {
	const Onnx__FunctionProto *fn;
	const Onnx__NodeProto *call;
	struct imp_frame *parent;
	ftl_map *opsets; /* of fn */
	ftl_loc loc;
	int depth;
} imp_frame;

/* The node being imported. */
typedef struct imp_cur {
	const Onnx__NodeProto *node;
	const imp_row *row;
	int64_t opset;
	ftl_loc loc;
	uint32_t nin, nout;
	imp_bound *in; /* value 0 and no sequence: left out */
	imp_bound *out;
} imp_cur;

struct imp {
	ftl_arena *arena; /* the graph's */
	ftl_arena *tmp;   /* gone after import */
	ftl_graph *g;
	ftl_symtab *st;
	ftl_builder b;
	ftl_diag *diag, local;
	const char *file;
	ftl_import_options opt;
	const Onnx__ModelProto *model;
	int64_t ir_version;
	ftl_map *opsets; /* domain -> &version */
	ftl_map *rows;   /* "domain::Op" -> first row */
	ftl_map *functions;
	ftl_map *schemas; /* of import_check.c */
	ftl_tensor_src src;
	imp_scope *scope;
	imp_frame *frame;
	imp_cur *cur;
	uint64_t nodes_left;
	int64_t nrandom; /* random nodes without a seed so far: each gets one of its own */
	int depth;       /* of nodes within nodes */
	bool failed;
	bool needs_rank; /* something failed that a known rank of the elements of a still empty sequence would have saved */
	ftl_status_code status;
};

/* ---- import.c ---- */
void ftl_imp_fail(imp *m, ftl_status_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define bad_model(m, ...) ftl_imp_fail(m, FTL_ERR_MODEL, __VA_ARGS__)
#define unsupported(m, ...) ftl_imp_fail(m, FTL_ERR_UNSUPPORTED, __VA_ARGS__)
void ftl_imp_keep(imp *m, ftl_status_code rc); /* a status whose text is already in m->diag */

/* ---- import_graph.c ---- */
void ftl_imp_graph(imp *m, const Onnx__GraphProto *gp); /* nodes and initializers into the current scope */
void ftl_imp_nodes(imp *m, size_t n, Onnx__NodeProto **nodes);
imp_scope *ftl_imp_scope_push(imp *m, bool sees_outer);
void ftl_imp_scope_pop(imp *m, imp_scope *before);
const imp_bound *ftl_imp_lookup(imp *m, const char *name); /* NULL if nobody defines it */
void ftl_imp_bind(imp *m, const char *name, imp_bound b);
const imp_bound *ftl_imp_result(imp *m, const Onnx__GraphProto *gp, size_t k); /* output k of a subgraph */
const imp_row *ftl_imp_row(const imp *m, const char *domain, const char *op, int64_t opset, bool *out_known);
int64_t ftl_imp_opset(const imp *m, const char *domain);
void ftl_imp_simple(imp *m, const imp_row *row);
void ftl_imp_sweep(imp *m);

/* ---- import_check.c ---- */
void ftl_imp_check(imp *m); /* the current node against the ONNX standard */

/* ---- import_function.c ---- */
const Onnx__FunctionProto *ftl_imp_function(const imp *m, const Onnx__NodeProto *n);
void ftl_imp_call(imp *m, const Onnx__FunctionProto *fn);

/* ---- import_util.c: attributes ---- */
const Onnx__AttributeProto *ftl_imp_attr(imp *m, const char *name); /* NULL if absent; references resolved */
bool ftl_imp_has(imp *m, const char *name);
int64_t ftl_imp_i(imp *m, const char *name, int64_t def);
double ftl_imp_f(imp *m, const char *name, double def);
const char *ftl_imp_s(imp *m, const char *name, const char *def);
ftl_ints ftl_imp_ints(imp *m, const char *name);
ftl_floats ftl_imp_floats(imp *m, const char *name);
ftl_dtype ftl_imp_dtype(imp *m, const char *name, ftl_dtype def);
const Onnx__GraphProto *ftl_imp_subgraph(imp *m, const char *name);
ftl_val ftl_imp_tensor(imp *m, const Onnx__TensorProto *t);
ftl_val ftl_imp_constant(imp *m, const ftl_tensor_bytes *t);
ftl_val ftl_imp_strings(imp *m, int rank, const int64_t *dims, uint32_t n, const ftl_str *v);
ftl_strs ftl_imp_strs(imp *m, const char *name); /* a list of strings */

/* ---- inputs and outputs of the current node ---- */
ftl_val ftl_imp_in(imp *m, uint32_t k);       /* 0 if left out */
ftl_val ftl_imp_need(imp *m, uint32_t k);     /* an error if left out */
bool ftl_imp_wants(const imp *m, uint32_t k); /* somebody named output k */
void ftl_imp_out(imp *m, uint32_t k, ftl_val v);

/* ---- types ---- */
const ftl_type *ftl_imp_type(const imp *m, ftl_val v);
static inline int rank_of(const imp *m, ftl_val v)
{
	return ftl_imp_type(m, v)->rank;
}
static inline ftl_dtype dtype_of(const imp *m, ftl_val v)
{
	return ftl_imp_type(m, v)->dtype;
}
ftl_dim ftl_imp_dim(imp *m, ftl_val v, int axis);                         /* negative counts from the end */
int64_t ftl_imp_const_dim(imp *m, ftl_val v, int axis, const char *what); /* an error if not constant */
int ftl_imp_axis(imp *m, int64_t axis, int rank);                         /* to [0, rank), or an error and 0 */
void ftl_imp_want_rank(imp *m, ftl_val v, int lo, int hi, const char *what);
static inline ftl_dim dim_c(imp *m, int64_t v)
{
	return ftl_dim_const(m->st, v);
}
/* Contents known at import: as integers, as dims (no entry unknown), as one number. */
bool ftl_imp_known_i64s(imp *m, ftl_val v, int64_t *out, uint32_t cap, uint32_t *n);
bool ftl_imp_known_dims(imp *m, ftl_val v, ftl_dim *out, uint32_t cap, uint32_t *n);
bool ftl_imp_known_f(imp *m, ftl_val v, double *out);
/* The list in attribute `name`, or else in input k; an error if it is given but not known. False: not given. */
bool ftl_imp_list(imp *m, const char *name, uint32_t k, int64_t *out, uint32_t cap, uint32_t *n);

/* ---- import_body.c ---- */
/* What the body's Identity nodes rename: new name -> old one. */
ftl_map *ftl_imp_renamed(imp *m, const Onnx__GraphProto *gp);
/* Does the body hand input `in` back as output `out`, renamed at most? */
bool ftl_imp_passes_through(const ftl_map *names, const char *in, const char *out);
/* Does the body nothing with sequence `in` but append to it and hand that back as `out`? */
bool ftl_imp_appends(const Onnx__GraphProto *gp, const char *in, const char *out);

/* ---- import_sequence.c, import_optional.c ---- */
#define IMP_TENSOR (-1)
int ftl_imp_kind(const imp *m, const imp_bound *b); /* IMP_TENSOR or an ftl_seq_kind */
/* b as a value of the graph, of this kind: something bare becomes an optional and the other way round. */
ftl_val ftl_imp_value(imp *m, const imp_bound *b, int kind);
int ftl_imp_declared_kind(const Onnx__TypeProto *t);
/* The type that t, which declares no tensor, stands for; `what` is for the error. */
bool ftl_imp_declared(imp *m, const Onnx__TypeProto *t, const char *what, ftl_type *out);

/* ---- making nodes ---- */
void ftl_imp_ops(imp *m, ftl_op op, void *attrs, uint32_t nin, const ftl_val *in, uint32_t nout, ftl_val *out);
ftl_val ftl_imp_op(imp *m, ftl_op op, void *attrs, uint32_t nin, const ftl_val *in);
#define NEW_ATTRS(m, op) ((struct ftl_attrs_##op *)ftl_attrs_default((m)->g, FTL_OP_##op))
ftl_ints ftl_imp_ints_copy(imp *m, uint32_t n, const int64_t *v);
ftl_dims ftl_imp_dims_copy(imp *m, uint32_t n, const ftl_dim *v);

ftl_val ftl_imp_scalar(imp *m, ftl_dtype t, double v);
ftl_val ftl_imp_bytes(imp *m, ftl_dtype t, int rank, const int64_t *dims, const void *data);
ftl_val ftl_imp_i64s(imp *m, uint32_t n, const int64_t *v);
ftl_val ftl_imp_dims_vec(imp *m, uint32_t n, const ftl_dim *v); /* i64[n] holding these numbers */
ftl_val ftl_imp_dim_scalar(imp *m, ftl_dim d, ftl_dtype t);     /* rank 0 */

static inline ftl_val op1(imp *m, ftl_op op, ftl_val a)
{
	return ftl_imp_op(m, op, NULL, 1, &a);
}
static inline ftl_val op2(imp *m, ftl_op op, ftl_val a, ftl_val b)
{
	return ftl_imp_op(m, op, NULL, 2, (const ftl_val[]){a, b});
}
static inline ftl_val e_add(imp *m, ftl_val a, ftl_val b)
{
	return op2(m, FTL_OP_add, a, b);
}
static inline ftl_val e_sub(imp *m, ftl_val a, ftl_val b)
{
	return op2(m, FTL_OP_sub, a, b);
}
static inline ftl_val e_mul(imp *m, ftl_val a, ftl_val b)
{
	return op2(m, FTL_OP_mul, a, b);
}
static inline ftl_val e_div(imp *m, ftl_val a, ftl_val b)
{
	return op2(m, FTL_OP_div, a, b);
}
static inline ftl_val e_where(imp *m, ftl_val c, ftl_val a, ftl_val b)
{
	return ftl_imp_op(m, FTL_OP_where, NULL, 3, (const ftl_val[]){c, a, b});
}
/* v with a number of its own type */
static inline ftl_val e_num(imp *m, ftl_val like, double v)
{
	return ftl_imp_scalar(m, dtype_of(m, like), v);
}
static inline ftl_val e_addf(imp *m, ftl_val a, double v)
{
	return e_add(m, a, e_num(m, a, v));
}
static inline ftl_val e_mulf(imp *m, ftl_val a, double v)
{
	return v == 1 ? a : e_mul(m, a, e_num(m, a, v));
}

ftl_val ftl_imp_cast(imp *m, ftl_val v, ftl_dtype t);
ftl_val ftl_imp_reshape(imp *m, ftl_val v, int rank, const ftl_dim *dims);
ftl_val ftl_imp_unsqueeze(imp *m, ftl_val v, int axis); /* axis counts in the result */
ftl_val ftl_imp_squeeze(imp *m, ftl_val v, int axis);
ftl_val ftl_imp_transpose(imp *m, ftl_val v, const int *perm); /* elided when it is the identity */
ftl_val ftl_imp_slice(imp *m, ftl_val v, int axis, ftl_dim start, ftl_dim size);
ftl_val ftl_imp_concat(imp *m, int axis, uint32_t n, const ftl_val *v);
ftl_val ftl_imp_expand(imp *m, ftl_val v, int rank, const ftl_dim *dims);
ftl_val ftl_imp_gather(imp *m, ftl_val v, ftl_val index, int axis);
ftl_val ftl_imp_matmul(imp *m, ftl_val a, ftl_val b, bool ta, bool tb, double alpha);
ftl_val ftl_imp_reduce(imp *m, ftl_op op, ftl_val v, uint32_t naxes, const int64_t *axes, bool keep);
ftl_val ftl_imp_softmax(imp *m, ftl_val v, int axis);
ftl_val ftl_imp_range(imp *m, ftl_dim n, ftl_dtype t); /* 0 .. n-1 */
ftl_val ftl_imp_norm(imp *m, ftl_op op, ftl_val x, ftl_val scale, ftl_val bias, int axis, double epsilon);
ftl_val ftl_imp_activation(imp *m, ftl_val x, const char *name, double alpha, double beta);

/* ---- import_lists.c: lists that only run time knows ---- */
ftl_val ftl_imp_unknown(imp *m, uint32_t k); /* input k as i64 vector if it is given but not known; else 0 */
ftl_val ftl_imp_vector(imp *m, ftl_val v);   /* i64[n]; a scalar is a list of one */
ftl_val ftl_imp_iota(imp *m, int n);         /* i64: 0 .. n-1, n <= 2 * FTL_MAX_RANK */
ftl_val ftl_imp_filled(imp *m, int n, int64_t value);
ftl_val ftl_imp_shape(imp *m, ftl_val x);                                   /* i64[rank] */
ftl_val ftl_imp_product(imp *m, ftl_val v);                                 /* [1] */
ftl_val ftl_imp_reshape_to(imp *m, ftl_val x, ftl_val shape);               /* a 0 means 0 */
ftl_val ftl_imp_spread(imp *m, ftl_val axes, ftl_val values, ftl_val rest); /* rest with rest[axes[i]] = values[i] */
ftl_val ftl_imp_axes_mask(imp *m, ftl_val axes, int rank);                  /* bool[rank]: axes names it */
ftl_val ftl_imp_keep_unnamed(imp *m, ftl_val v, ftl_val mask, int n);       /* the n entries that the mask leaves */
ftl_val ftl_imp_axis_of(imp *m, ftl_val axis, int rank);                    /* i64[1] in [0, rank) */
/* [elements before the axis, along it, behind it] */
ftl_val ftl_imp_around(imp *m, ftl_val shape, ftl_val axis, int rank);
/* ---- import_control.c, import_scan.c: control flow that imports write themselves ---- */
void ftl_imp_finish(imp *m, ftl_node_id id); /* infers a node whose regions are complete */
typedef struct imp_scan {
	ftl_node_id id;
	ftl_region_id outer;
	ftl_node_id before;
	uint32_t nvar, nout;
} imp_scan;
/* From open to close, nodes go into the body: var[k] starts as init[k], slice[k] is a step of in[k] along the axis.
 * close yields what follows var, and results that are stacked along the axis of the same place. */
void ftl_imp_scan_open(imp *m, imp_scan *s, int axis, uint32_t nvar, const ftl_val *init, uint32_t nin,
		       const ftl_val *in, uint32_t nout, ftl_val *var, ftl_val *slice);
void ftl_imp_scan_close(imp *m, imp_scan *s, const ftl_val *yield, ftl_val *out);

/* Runs a subgraph here, on these inputs (one for each it has). */
void ftl_imp_call_graph(imp *m, const Onnx__GraphProto *gp, const ftl_val *in, ftl_val *out);

/* Families shared between standard and com.microsoft ops. */
ftl_val ftl_imp_rope(imp *m, ftl_val x, ftl_val cos, ftl_val sin, int rotary, bool interleaved);
ftl_val ftl_imp_gelu(imp *m, ftl_val x, const char *approximate);
ftl_val ftl_imp_conv(imp *m, ftl_val x, ftl_val w, ftl_val bias); /* with the current node's attributes */

/* The window of a convolution or pool from the current node's attributes: pads are explicit. */
#define IMP_MAX_SPATIAL (FTL_MAX_RANK - 2)
typedef struct imp_window {
	int n; /* spatial axes */
	int64_t strides[IMP_MAX_SPATIAL], dilations[IMP_MAX_SPATIAL];
	ftl_dim kernel[IMP_MAX_SPATIAL];
	ftl_dim pads[2 * IMP_MAX_SPATIAL];
} imp_window;
bool ftl_imp_conv_window(imp *m, ftl_val x, ftl_val wt, imp_window *w); /* kernel from the weight */
bool ftl_imp_pool_window(imp *m, ftl_val x, imp_window *w);             /* from kernel_shape */

#define IMPORT_FN(domain, name, since, until, op, fn) imp_fn ftl_imp_do_##fn;
#include "import_table.def"

#endif
