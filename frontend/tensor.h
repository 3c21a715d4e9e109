/* TensorProto to bytes. See tensor.c. */
#ifndef FRONTEND_TENSOR_H
#define FRONTEND_TENSOR_H

#include "ir/graph.h"
#include "onnx.pb-c.h"

/* Where the bytes of a model's tensors may come from. */
typedef struct ftl_tensor_src {
	ftl_arena *arena;    /* for bytes that have to be decoded or copied, and for mappings */
	const uint8_t *base; /* the mapped model: raw_at counts from here */
	size_t base_size;
	const char *file; /* for messages */
	const char *dir;  /* folder of external data; NULL: none allowed */
	ftl_map *files;   /* external files mapped so far, by name */
	bool mapped;      /* base is a file mapping */
	bool align;       /* copy everything to aligned memory */
	ftl_diag *diag;
} ftl_tensor_src;

typedef struct ftl_tensor_bytes {
	ftl_dtype dtype;
	int rank;
	int64_t dims[FTL_MAX_RANK];
	ftl_blob blob; /* strings: as many ftl_str */
} ftl_tensor_bytes;

ftl_dtype ftl_onnx_dtype(int32_t code); /* FTL_NO_DTYPE if fettle has no such type */
int32_t ftl_onnx_dtype_code(ftl_dtype t);
const char *ftl_onnx_dtype_name(int32_t code); /* ONNX's name, "?" if unknown */
/* n elements as ONNX stores them: several in a byte where they are smaller than one, else data itself. */
uint64_t ftl_packed_bytes(ftl_dtype t, uint64_t n);
const void *ftl_pack(ftl_arena *arena, ftl_dtype t, const void *data, uint64_t n);
ftl_status ftl_tensor_read(const ftl_tensor_src *s, const Onnx__TensorProto *t, ftl_tensor_bytes *out);
ftl_status ftl_tensor_read_sparse(const ftl_tensor_src *s, const Onnx__SparseTensorProto *t, ftl_tensor_bytes *out);

#endif
