/* quantize and dequantize: stored element types, and scales that fit the axis or blocks they belong to. */
#include "hooks.h"

/* Integers, and floats of few bits; f8e8m0 has powers of two only, it is for scales. */
static bool is_stored(ftl_dtype t)
{
	return ftl_dtype_is_int(t) || ftl_dtype_low_format(t);
}

/* scale: one element, or one per index of axis, or x's shape with axis divided into blocks. */
static ftl_status check_scale(ftl_infer *f, int64_t axis_attr, int64_t block)
{
	const ftl_type *x = ftl_infer_in(f, 0), *scale = ftl_infer_in(f, 1);
	ftl_symtab *st = f->g->st;
	int axis;

	if (block < 0)
		return ftl_infer_fail(f, "block size %lld is negative", (long long)block);
	if (ftl_infer_has(f, 2)) {
		const ftl_type *zero = ftl_infer_in(f, 2);

		if (zero->rank != scale->rank)
			return ftl_infer_fail(f, "scale has shape %s, zero point %s", ftl_hook_in_shape(f, 1),
					      ftl_hook_in_shape(f, 2));
		for (int i = 0; i < scale->rank; i++)
			if (ftl_dim_known_eq(st, zero->dims[i], scale->dims[i]) == 0)
				return ftl_infer_fail(f, "scale has shape %s, zero point %s", ftl_hook_in_shape(f, 1),
						      ftl_hook_in_shape(f, 2));
	}
	if (scale->rank == 0 || (scale->rank == 1 && block == 0 && scale->dims[0] == ftl_hook_const(f, 1)))
		return FTL_OK;
	/* -1 stands for "per tensor" here, not for the last axis */
	if (axis_attr == -1 && block == 0)
		return ftl_infer_fail(f, "scale of shape %s given for the whole tensor", ftl_hook_in_shape(f, 1));
	FTL_TRY(ftl_infer_axis(f, axis_attr, x->rank, &axis));
	if (scale->rank != (block ? x->rank : 1))
		return ftl_infer_fail(f, "scale of shape %s does not fit x of shape %s", ftl_hook_in_shape(f, 1),
				      ftl_hook_in_shape(f, 0));
	for (int i = 0; i < scale->rank; i++) {
		int xi = block ? i : axis;
		ftl_dim want = x->dims[xi];

		if (block && xi == axis)
			want = ftl_dim_ceildiv(st, want, ftl_hook_const(f, block));
		if (want == FTL_DIM_NONE || ftl_dim_known_eq(st, want, scale->dims[i]) == 0)
			return ftl_infer_fail(f, "scale of shape %s does not fit x of shape %s",
					      ftl_hook_in_shape(f, 1), ftl_hook_in_shape(f, 0));
	}
	return FTL_OK;
}

ftl_status ftl_infer_op_quantize(ftl_infer *f)
{
	const struct ftl_attrs_quantize *a = FTL_ATTRS(ftl_infer_self(f), quantize);
	const ftl_type *x;

	FTL_TRY(ftl_hook_args(f, 2));
	x = ftl_infer_in(f, 0);
	if ((!ftl_dtype_is_float(x->dtype) || ftl_dtype_is_low(x->dtype)) && x->dtype != FTL_I32)
		return ftl_infer_fail(f, "cannot quantize element type %s", ftl_dtype_name(x->dtype));
	FTL_TRY(ftl_hook_want_float(f, 1));
	FTL_TRY(ftl_hook_dtype_ok(f, a->to));
	if (!is_stored(a->to))
		return ftl_infer_fail(f, "cannot quantize to element type %s", ftl_dtype_name(a->to));
	if (ftl_infer_has(f, 2) && ftl_infer_in(f, 2)->dtype != a->to)
		return ftl_infer_fail(f, "zero point has element type %s, the result %s",
				      ftl_dtype_name(ftl_infer_in(f, 2)->dtype), ftl_dtype_name(a->to));
	FTL_TRY(check_scale(f, a->axis, a->block));
	return ftl_hook_out(f, 0, a->to, x->rank, x->dims);
}

ftl_status ftl_infer_op_dequantize(ftl_infer *f)
{
	const struct ftl_attrs_dequantize *a = FTL_ATTRS(ftl_infer_self(f), dequantize);
	const ftl_type *x;

	FTL_TRY(ftl_hook_args(f, 2));
	if (!is_stored(ftl_infer_in(f, 0)->dtype))
		return ftl_infer_fail(f, "cannot dequantize element type %s",
				      ftl_dtype_name(ftl_infer_in(f, 0)->dtype));
	FTL_TRY(ftl_hook_want_float(f, 1));
	if (ftl_infer_has(f, 2))
		FTL_TRY(ftl_hook_want_same(f, 0, 2));
	FTL_TRY(check_scale(f, a->axis, a->block));
	x = ftl_infer_in(f, 0);
	return ftl_hook_out(f, 0, ftl_infer_in(f, 1)->dtype, x->rank, x->dims);
}
