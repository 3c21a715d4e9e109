/* resize, grid_sample, dft. */
#include "hooks.h"

#include <math.h>

/* floor(dim * scale) for a scale that is an exact small fraction, as scales of images are; else FTL_DIM_NONE. */
static ftl_dim scaled(ftl_infer *f, ftl_dim dim, double scale)
{
	int64_t num, den, d;

	if (ftl_dim_is_const(f->g->st, dim, &d) && d < (int64_t)1 << 31)
		return floor((double)d * scale) < 0x1p52 ? ftl_hook_const(f, (int64_t)floor((double)d * scale))
							 : FTL_DIM_NONE;
	if (!ftl_hook_ratio_of(scale, &num, &den))
		return FTL_DIM_NONE;
	return ftl_dim_div(f->g->st, ftl_dim_mul(f->g->st, dim, ftl_hook_const(f, num)), ftl_hook_const(f, den));
}

/* Scale of axis i from the constant operand 2, 0 if it is none. */
static double const_scale(const ftl_infer *f, int i)
{
	const ftl_blob *b = ftl_infer_has(f, 2) ? ftl_const_blob(f->g, ftl_infer_self(f)->in[2]) : NULL;
	size_t size = ftl_dtype_bytes(ftl_infer_in(f, 2)->dtype);

	return b && size && b->bytes / size > (size_t)i ? ftl_elem_get(ftl_infer_in(f, 2)->dtype, b->data, (size_t)i)
							: 0;
}

ftl_status ftl_infer_op_resize(ftl_infer *f)
{
	const struct ftl_attrs_resize *a = FTL_ATTRS(ftl_infer_self(f), resize);
	ftl_dim dims[FTL_MAX_RANK], sizes[FTL_MAX_RANK];
	const ftl_type *x;
	uint32_t n = 0;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_number(f, 0));
	x = ftl_infer_in(f, 0);
	if ((a->dims.n && a->dims.n != (uint32_t)x->rank) || (a->scales.n && a->scales.n != (uint32_t)x->rank))
		return ftl_infer_fail(f, "%u sizes and %u scales for rank %d", a->dims.n, a->scales.n, x->rank);
	if (ftl_infer_has(f, 2)) {
		FTL_TRY(ftl_hook_want_float(f, 2));
		FTL_TRY(ftl_hook_want_rank(f, 2, 1));
		if (ftl_dim_known_eq(f->g->st, ftl_infer_in(f, 2)->dims[0], ftl_hook_const(f, x->rank)) == 0)
			return ftl_infer_fail(f, "scales of shape %s for rank %d", ftl_hook_in_shape(f, 2), x->rank);
	}
	if (ftl_infer_has(f, 3) && !a->dims.n) {
		if (ftl_infer_in(f, 3)->rank == 1 && !ftl_dim_is_const(f->g->st, ftl_infer_in(f, 3)->dims[0], NULL)) {
			/* as many as axes: the run compares */
			FTL_TRY(ftl_hook_want_int(f, 3));
			for (n = 0; n < (uint32_t)x->rank; n++)
				sizes[n] = FTL_DIM_NONE;
		} else {
			FTL_TRY(ftl_hook_vector(f, 3, "sizes", FTL_MAX_RANK, &n, sizes));
		}
		if (n != (uint32_t)x->rank)
			return ftl_infer_fail(f, "%u sizes for rank %d", n, x->rank);
	}
	if (!a->dims.n && !a->scales.n && !n && !ftl_infer_has(f, 2) && x->rank)
		return ftl_infer_fail(f, "has neither sizes nor scales");
	for (int i = 0; i < x->rank; i++) {
		double scale = a->scales.n ? a->scales.v[i] : const_scale(f, i);

		if (!isfinite(scale) || scale < 0)
			return ftl_infer_fail(f, "scale %g of axis %d", scale, i);
		dims[i] = a->dims.n   ? a->dims.v[i]
			  : n         ? sizes[i]
			  : scale > 0 ? scaled(f, x->dims[i], scale)
				      : FTL_DIM_NONE;
		if (dims[i] == FTL_DIM_NONE && a->dims.n)
			return ftl_infer_fail(f, "the size of axis %d is unknown", i);
		if (dims[i] == FTL_DIM_NONE)
			dims[i] = ftl_infer_fresh(f, 0, i, "resize");
	}
	return ftl_hook_out(f, 0, x->dtype, x->rank, dims);
}

ftl_status ftl_infer_op_grid_sample(ftl_infer *f)
{
	ftl_dim dims[FTL_MAX_RANK];
	const ftl_type *x, *grid;
	int ns;

	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_number(f, 0));
	FTL_TRY(ftl_hook_want_float(f, 1));
	x = ftl_infer_in(f, 0);
	grid = ftl_infer_in(f, 1);
	ns = x->rank - 2;
	if (ns < 1 || grid->rank != x->rank ||
	    ftl_dim_known_eq(f->g->st, grid->dims[grid->rank - 1], ftl_hook_const(f, ns)) == 0)
		return ftl_infer_fail(f, "a grid of shape %s does not fit x of shape %s", ftl_hook_in_shape(f, 1),
				      ftl_hook_in_shape(f, 0));
	FTL_TRY(ftl_hook_unify(f, x->dims[0], grid->dims[0], "batch sizes of x and grid", &dims[0]));
	dims[1] = x->dims[1];
	for (int i = 0; i < ns; i++)
		dims[2 + i] = grid->dims[1 + i];
	return ftl_hook_out(f, 0, x->dtype, x->rank, dims);
}

ftl_status ftl_infer_op_det(ftl_infer *f)
{
	const ftl_type *x;
	ftl_dim n;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_float(f, 0));
	x = ftl_infer_in(f, 0);
	if (x->rank < 2)
		return ftl_infer_fail(f, "needs a matrix, has rank %d", x->rank);
	FTL_TRY(ftl_hook_unify(f, x->dims[x->rank - 2], x->dims[x->rank - 1], "rows and columns", &n));
	return ftl_hook_out(f, 0, x->dtype, x->rank - 2, x->dims);
}

ftl_status ftl_infer_op_dft(ftl_infer *f)
{
	const struct ftl_attrs_dft *a = FTL_ATTRS(ftl_infer_self(f), dft);
	ftl_dim dims[FTL_MAX_RANK], n, one = ftl_hook_const(f, 1), two = ftl_hook_const(f, 2);
	ftl_symtab *st = f->g->st;
	const ftl_type *x;
	int64_t parts = 0;
	int axis;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_float(f, 0));
	x = ftl_infer_in(f, 0);
	FTL_TRY(ftl_infer_axis(f, a->axis, x->rank, &axis));
	if (axis == x->rank - 1)
		return ftl_infer_fail(f, "axis %d holds real and imaginary parts", axis);
	if (!ftl_dim_is_const(st, x->dims[x->rank - 1], &parts) || parts < 1 || parts > 2)
		return ftl_infer_fail(f, "the last axis of shape %s should have 1 or 2 elements",
				      ftl_hook_in_shape(f, 0));
	if (a->onesided && !a->inverse && parts == 2)
		return ftl_infer_fail(f, "a one-sided transform needs real input");
	if (a->onesided && a->inverse && parts == 1)
		return ftl_infer_fail(f, "a one-sided inverse needs complex input");
	/* a one-sided inverse gives the real signal back, whose length its half only suggests */
	n = x->dims[axis];
	if (a->onesided && a->inverse)
		n = ftl_dim_mul(st, ftl_dim_sub(st, n, one), two);
	if (ftl_infer_has(f, 1)) {
		FTL_TRY(ftl_hook_want_int(f, 1));
		FTL_TRY(ftl_hook_want_one(f, 1, "the length"));
		n = ftl_hook_elem(f, 1, 0);
		if (n != FTL_DIM_NONE && ftl_dim_hi(st, n) < 1)
			return ftl_infer_fail(f, "length %s", ftl_hook_dim(f, n));
	}
	for (int i = 0; i < x->rank - 1; i++)
		dims[i] = x->dims[i];
	if (a->onesided && !a->inverse)
		n = ftl_dim_add(st, ftl_dim_div(st, n, two), one);
	dims[axis] = n == FTL_DIM_NONE ? ftl_infer_fresh(f, 0, axis, "dft") : n;
	dims[x->rank - 1] = a->onesided && a->inverse ? one : two;
	return ftl_hook_out(f, 0, x->dtype, x->rank, dims);
}
