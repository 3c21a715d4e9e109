/* ONNX in and out: models, and the tensor files of test data sets.
 *
 * Import builds a graph whose every value has a type; what ONNX spells in opset-specific ways comes out in the one
 * spelling of ops.def. Models are hostile input: every size, offset, name and nesting depth is checked, and external
 * data may not leave the model's folder. Errors read `file: node "name" (Op, opset 13): reason`. */
#ifndef FRONTEND_ONNX_H
#define FRONTEND_ONNX_H

#include "ir/graph.h"

/* The shape of one graph input. A dim >= 0 also fixes the symbol that the model has in its place, everywhere;
 * -1 keeps what the model says (a fresh symbol if it says nothing). */
typedef struct ftl_import_shape {
	const char *input;
	int rank;
	const int64_t *dims;
} ftl_import_shape;

/* Bounds of a named dim; lo == hi fixes it. */
typedef struct ftl_import_dim {
	const char *name;
	int64_t lo, hi;
} ftl_import_dim;

/* All zero is a good default; NULL instead of a pointer to one means the same. */
typedef struct ftl_import_options {
	const ftl_import_shape *shapes;
	size_t n_shapes;
	const ftl_import_dim *dims;
	size_t n_dims;
	/* Initializers that are also graph inputs are constants, but for these, which stay inputs. */
	const char *const *overridable;
	size_t n_overridable;
	/* Inputs that are constants of this value: a list of axes or a size that otherwise only run time knows. */
	const struct ftl_pb_tensor *constants;
	size_t n_constants;
	size_t max_bytes;   /* memory for the unpacked message without raw weights; 0: in proportion to the file */
	uint64_t max_nodes; /* graph nodes to make, inlining and all; 0: in proportion to the file */
	bool keep_dead;     /* keep pure nodes nobody uses (shape arithmetic that turned into attributes) */
} ftl_import_options;

/* Weights are views into the mapped file, which stays mapped until arena is freed. */
ftl_status ftl_onnx_import(ftl_arena *arena, const char *path, const ftl_import_options *opt, ftl_diag *d,
			   ftl_graph **out);
/* The same from memory, which must outlive the graph. name is for messages; external data is looked for in
 * folder dir (NULL: refused). */
ftl_status ftl_onnx_import_memory(ftl_arena *arena, const void *data, size_t n, const char *name, const char *dir,
				  const ftl_import_options *opt, ftl_diag *d, ftl_graph **out);

typedef struct ftl_export_options {
	int opset;              /* 0: the lowest >= 17 that has what the graph uses */
	uint64_t external_over; /* weights go to PATH.data when they exceed this many bytes in all; 0: 1.5 GB */
	const char *producer;   /* NULL: "fettle" */
} ftl_export_options;

/* Write graph as standard ONNX. arena is scratch; memory does not grow with the size of the weights. */
ftl_status ftl_onnx_export(ftl_arena *arena, const ftl_graph *graph, const char *path, const ftl_export_options *opt,
			   ftl_diag *d);

/* A tensor of a test data set: input_k.pb, output_k.pb. */
typedef struct ftl_pb_tensor {
	const char *name; /* "" if it has none */
	ftl_dtype dtype;
	int rank;
	int64_t dims[FTL_MAX_RANK];
	const void *data; /* C order, 16-byte aligned when read; strings: NUL-terminated char pointers */
	size_t bytes;
} ftl_pb_tensor;

/* A tensor, sequence or optional of a test data set. */
typedef enum ftl_pb_kind { FTL_PB_TENSOR, FTL_PB_SEQUENCE, FTL_PB_OPTIONAL, FTL_PB_OPTIONAL_SEQUENCE } ftl_pb_kind;
typedef struct ftl_pb_value {
	const char *name; /* "" if it has none */
	ftl_pb_kind kind;
	bool none;            /* an optional without element */
	size_t n;             /* of items; TENSOR: 1 */
	ftl_pb_tensor *items; /* TENSOR: the tensor; else elements */
} ftl_pb_value;

/* 4-bit integers are read as i8 and u8. A file does not say whether it is an optional tensor or a sequence of one, and is read
 * as the latter. Maps are FTL_ERR_UNSUPPORTED. */
ftl_status ftl_pb_value_read(ftl_arena *arena, const char *path, ftl_diag *d, ftl_pb_value *out);
ftl_status ftl_pb_value_write(ftl_arena *scratch, const char *path, const ftl_pb_value *v, ftl_diag *d);

#endif
