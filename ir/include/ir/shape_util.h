/* Shape arithmetic that inference and the frontend share.
 *
 * Pure functions over dims: they know no node and report no text. FTL_DIM_NONE in means "unknown",
 * FTL_DIM_NONE out means "cannot be expressed" (or 64 bits overflow). */
#ifndef IR_SHAPE_UTIL_H
#define IR_SHAPE_UTIL_H

#include "ir/graph.h"

/* The part of an axis of `dim` elements that x[start:end:step] keeps, start and end as in ONNX: counted from
 * the end when negative, clamped, anything from INT32_MAX up (INT32_MIN down) meaning "to the end". step != 0.
 * out_start is the first element kept (>= 0 even if none is), out_size how many. */
void ftl_slice_range(ftl_symtab *st, ftl_dim dim, ftl_dim start, ftl_dim end, int64_t step, ftl_dim *out_start,
		     ftl_dim *out_size);

/* Numpy broadcasting of two sizes. Where bounds do not tell which of two different expressions is 1, the
 * larger one is it (a run-time check refuses the rest). FTL_DIM_NONE: two constants that do not fit. */
ftl_dim ftl_dim_broadcast(ftl_symtab *st, ftl_dim a, ftl_dim b);
/* Of n shapes, aligned at the right. out_dims has room for FTL_MAX_RANK; every rank is at most that.
 * False: some axis does not fit; *out_axis (may be NULL) counts from the left of the result. */
bool ftl_shapes_broadcast(ftl_symtab *st, const ftl_dims *shapes, uint32_t n, int *out_rank, ftl_dim *out_dims,
			  int *out_axis);

/* Length of an axis after a convolution or pooling window of k elements, `dilation` apart, moved by stride.
 * With ceil_mode a window may hang over the end, but must start inside the axis or its leading pad. */
ftl_dim ftl_conv_out(ftl_symtab *st, ftl_dim in, ftl_dim k, int64_t stride, int64_t dilation, ftl_dim pad_begin,
		     ftl_dim pad_end, bool ceil_mode);
ftl_dim ftl_conv_transpose_out(ftl_symtab *st, ftl_dim in, ftl_dim k, int64_t stride, int64_t dilation,
			       ftl_dim pad_begin, ftl_dim pad_end, int64_t output_padding);

/* a / b for element counts given as products of factors: common factors cancel first, so that the answer is
 * right even where one of them may be 0. FTL_DIM_NONE: not exact, as far as constants tell. */
ftl_dim ftl_numel_div(ftl_symtab *st, const ftl_dim *num, uint32_t nnum, const ftl_dim *den, uint32_t nden);

typedef enum ftl_reshape_fault {
	FTL_RESHAPE_OK,
	FTL_RESHAPE_TWO_INFERRED, /* more than one -1 */
	FTL_RESHAPE_NEGATIVE,     /* an element below -1 */
	FTL_RESHAPE_NO_AXIS,      /* a 0 (copy) beyond the input's rank */
	FTL_RESHAPE_ZERO,         /* -1 next to a 0 */
	FTL_RESHAPE_COUNT,        /* the element counts differ */
} ftl_reshape_fault;
/* ONNX Reshape: 0 copies the input's dim unless allow_zero, -1 is what is left. Unknown target elements stay
 * FTL_DIM_NONE in out (n of them), but for a single one, which the element count gives away. */
ftl_reshape_fault ftl_reshape_dims(ftl_symtab *st, int rank, const ftl_dim *in, uint32_t n, const ftl_dim *target,
				   bool allow_zero, ftl_dim *out);

#endif
