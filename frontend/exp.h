/* The exporter's inside. As in the importer a failed step makes every later one do nothing (see imp.h). */
#ifndef FRONTEND_EXP_H
#define FRONTEND_EXP_H

#include "frontend/onnx.h"
#include "onnx.pb-c.h"

typedef struct exporter exporter;
typedef void exp_fn(exporter *x, ftl_node_id id);

/* How an op is written: under another name with these attributes (the import table read backwards), or by fn. */
typedef struct exp_row {
	const char *name, *attrs;
	int since;
	exp_fn *fn;
} exp_row;

typedef struct exp_nodes {
	Onnx__NodeProto **v;
	uint32_t n, cap;
} exp_nodes;

/* A tensor of the file; its bytes are written straight from where they are. */
typedef struct exp_init {
	Onnx__TensorProto *head; /* without data */
	const ftl_blob *blob;
} exp_init;

struct exporter {
	ftl_arena *arena;
	const ftl_graph *g;
	ftl_diag *diag;
	const char *path;
	ftl_export_options opt;
	int opset;
	const char **name; /* by value id; NULL: not named yet */
	ftl_map *taken;    /* names of values */
	ftl_map *labels;   /* names of nodes */
	ftl_map *lists;    /* small constants by their text */
	uint32_t ntmp;
	exp_nodes *out; /* where nodes go */
	FTL_VEC(exp_init) inits;
	const char **dim_name; /* by dim id: its i64[1], computed so far in the regions around */
	FTL_VEC(ftl_dim) dims; /* those with a name, in order */
	exp_row rows[FTL_OP_COUNT];
	ftl_node_id node; /* being written */
	bool failed;
	ftl_status_code status;
};

/* ---- export.c ---- */
void ftl_exp_fail(exporter *x, ftl_status_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *ftl_exp_tmp(exporter *x);
const char *ftl_exp_label(exporter *x); /* a node name: the location, made unique */
const char *ftl_exp_name(exporter *x, ftl_val v);
const char *ftl_exp_in(exporter *x, ftl_node_id id, uint32_t k); /* "" if left out; dequantized if it is encoded */
const char *ftl_exp_out(exporter *x, ftl_node_id id, uint32_t k);
void ftl_exp_region(exporter *x, ftl_region_id r, Onnx__GraphProto *gp); /* nodes, inputs and outputs of a subgraph */
void ftl_exp_nodes(exporter *x, ftl_region_id r);                        /* those of a region, in place */
void ftl_exp_plain(exporter *x, ftl_node_id id);
Onnx__ValueInfoProto *ftl_exp_info(exporter *x, ftl_val v, const char *name, bool shape);

/* ---- export_sequence.c ---- */
Onnx__TypeProto *ftl_exp_seq_type(exporter *x, const ftl_type *t);

/* ---- import_check.c ---- */
/* The first opset, at least `from`, in which op takes inputs of these element types (FTL_NO_DTYPE: any); `from` if none
 * does. */
int ftl_onnx_since(const char *op, int from, uint32_t nin, const ftl_dtype *types);

/* ---- export_util.c ---- */
Onnx__NodeProto *ftl_exp_node(exporter *x, const char *op, uint32_t nin, const char *const *in, uint32_t nout,
			      const char *const *out);
void ftl_exp_i(exporter *x, Onnx__NodeProto *n, const char *name, int64_t v);
void ftl_exp_f(exporter *x, Onnx__NodeProto *n, const char *name, double v);
void ftl_exp_s(exporter *x, Onnx__NodeProto *n, const char *name, const char *v);
void ftl_exp_bytes(exporter *x, Onnx__NodeProto *n, const char *name, const ftl_str *v);
void ftl_exp_value_strings(exporter *x, Onnx__NodeProto *n, ftl_ints dims, ftl_strs v); /* a tensor */
void ftl_exp_ints(exporter *x, Onnx__NodeProto *n, const char *name, uint32_t count, const int64_t *v);
void ftl_exp_floats(exporter *x, Onnx__NodeProto *n, const char *name, uint32_t count, const double *v);
void ftl_exp_strings(exporter *x, Onnx__NodeProto *n, const char *name, const char *list); /* comma separated */
void ftl_exp_type(exporter *x, Onnx__NodeProto *n, const char *name, Onnx__TypeProto *t);
void ftl_exp_graph(exporter *x, Onnx__NodeProto *n, const char *name, Onnx__GraphProto *gp);
void ftl_exp_tensor(exporter *x, Onnx__NodeProto *n, const char *name, ftl_dtype t, const void *one); /* one element */
/* A node with one fresh output; its name. */
const char *ftl_exp_op(exporter *x, const char *op, uint32_t nin, const char *const *in);
const char *ftl_exp_op1(exporter *x, const char *op, const char *a);
const char *ftl_exp_op2(exporter *x, const char *op, const char *a, const char *b);
const char *ftl_exp_scalar(exporter *x, ftl_dtype t, double v);
const char *ftl_exp_i64s(exporter *x, uint32_t n, const int64_t *v);
const char *ftl_exp_floats_const(exporter *x, uint32_t n, const double *v); /* f32[n] */
const char *ftl_exp_dim(exporter *x, ftl_dim d);                            /* i64[1] */
const char *ftl_exp_dims(exporter *x, uint32_t n, const ftl_dim *d);        /* i64[n] */
bool ftl_exp_const_dims(exporter *x, ftl_dims d, int64_t *out);
const char *ftl_exp_transpose_last(exporter *x, const char *v, int rank);
void ftl_exp_add_init(exporter *x, const char *name, ftl_dtype t, int rank, const int64_t *dims, const ftl_blob *blob);

#define EXPORT_FN(op, since, fn) exp_fn ftl_exp_do_##fn;
#include "import_table.def"

#endif
