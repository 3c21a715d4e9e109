/* Ops whose result sizes are found in the data: non_zero, compress, unique, topk. Each gives its count a fresh
 * symbol, bound at run time, with the size it cannot exceed as upper bound. */
#include "hooks.h"

static ftl_dim counted(ftl_infer *f, int axis, const char *hint, ftl_dim upper)
{
	ftl_dim d = ftl_infer_fresh(f, 0, axis, hint);

	ftl_dim_set_upper(f->g->st, d, upper);
	return d;
}

ftl_status ftl_infer_op_non_zero(ftl_infer *f)
{
	const ftl_type *x;
	ftl_dim dims[2], all;

	FTL_TRY(ftl_hook_args(f, 1));
	x = ftl_infer_in(f, 0);
	all = ftl_type_numel(f->g, x);
	if (all == FTL_DIM_NONE)
		return ftl_infer_fail(f, "shape %s is too large", ftl_hook_in_shape(f, 0));
	/* a scalar counts as a vector of one element */
	dims[0] = ftl_hook_const(f, x->rank ? x->rank : 1);
	dims[1] = counted(f, 1, "nonzero", all);
	return ftl_hook_out(f, 0, FTL_I64, 2, dims);
}

/* How many elements of a known condition hold; -1 if one is unknown. */
static int64_t count_true(const ftl_infer *f, uint32_t k)
{
	uint32_t n;
	const ftl_dim *c = ftl_hook_contents(f, k, &n);
	int64_t v, count = 0;

	for (uint32_t i = 0; c && i < n; i++) {
		if (c[i] == FTL_DIM_NONE || !ftl_dim_is_const(f->g->st, c[i], &v))
			return -1;
		count += v != 0;
	}
	return c ? count : -1;
}

ftl_status ftl_infer_op_compress(ftl_infer *f)
{
	int64_t attr = FTL_ATTRS(ftl_infer_self(f), compress)->axis, count, d;
	ftl_dim dims[FTL_MAX_RANK], all;
	const ftl_type *x;
	int axis = 0, rank = 1;

	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_bool(f, 1));
	FTL_TRY(ftl_hook_want_rank(f, 1, 1));
	x = ftl_infer_in(f, 0);
	if (attr == INT64_MIN) {
		all = ftl_type_numel(f->g, x);
	} else {
		FTL_TRY(ftl_infer_axis(f, attr, x->rank, &axis));
		rank = x->rank;
		ftl_hook_copy(dims, x->dims, rank);
		all = x->dims[axis];
	}
	if (all == FTL_DIM_NONE)
		return ftl_infer_fail(f, "shape %s is too large", ftl_hook_in_shape(f, 0));
	/* the condition may be shorter than the axis, not longer */
	if (ftl_dim_known_lt(f->g->st, all, ftl_infer_in(f, 1)->dims[0]) == 1)
		return ftl_infer_fail(f, "%s conditions for %s elements", ftl_hook_dim(f, ftl_infer_in(f, 1)->dims[0]),
				      ftl_hook_dim(f, all));
	count = count_true(f, 1);
	if (count >= 0 && ftl_dim_is_const(f->g->st, all, &d))
		dims[axis] = ftl_hook_const(f, count);
	else
		dims[axis] = counted(f, axis, "kept", all);
	return ftl_hook_out(f, 0, x->dtype, rank, dims);
}

ftl_status ftl_infer_op_unique(ftl_infer *f)
{
	const ftl_node *n = ftl_infer_self(f);
	int64_t attr = FTL_ATTRS(n, unique)->axis;
	ftl_dim dims[FTL_MAX_RANK], all, count;
	const ftl_type *x;
	int axis = 0, rank = 1;

	FTL_TRY(ftl_hook_args(f, 1));
	x = ftl_infer_in(f, 0);
	if (attr == INT64_MIN) {
		all = ftl_type_numel(f->g, x);
	} else {
		FTL_TRY(ftl_infer_axis(f, attr, x->rank, &axis));
		rank = x->rank;
		ftl_hook_copy(dims, x->dims, rank);
		all = x->dims[axis];
	}
	if (all == FTL_DIM_NONE)
		return ftl_infer_fail(f, "shape %s is too large", ftl_hook_in_shape(f, 0));
	count = dims[axis] = counted(f, axis, "unique", all);
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, rank, dims));
	/* first positions, where each element went, how often */
	for (uint32_t k = 1; k < n->nout; k++)
		FTL_TRY(ftl_hook_out(f, k, FTL_I64, 1, k == 2 ? &all : &count));
	return FTL_OK;
}

ftl_status ftl_infer_op_topk(ftl_infer *f)
{
	ftl_dim dims[FTL_MAX_RANK], k;
	ftl_symtab *st = f->g->st;
	const ftl_type *x;
	int axis;

	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_number(f, 0));
	FTL_TRY(ftl_hook_want_int(f, 1));
	FTL_TRY(ftl_hook_want_one(f, 1, "k"));
	x = ftl_infer_in(f, 0);
	FTL_TRY(ftl_infer_axis(f, FTL_ATTRS(ftl_infer_self(f), topk)->axis, x->rank, &axis));
	ftl_hook_copy(dims, x->dims, x->rank);
	k = ftl_hook_elem(f, 1, 0);
	if (k == FTL_DIM_NONE)
		k = counted(f, axis, "k", x->dims[axis]);
	else if (ftl_dim_hi(st, k) < 0 || ftl_dim_known_lt(st, x->dims[axis], k) == 1)
		return ftl_infer_fail(f, "cannot take %s of the %s elements of axis %d", ftl_hook_dim(f, k),
				      ftl_hook_dim(f, x->dims[axis]), axis);
	dims[axis] = k;
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, x->rank, dims));
	return ftl_hook_out(f, 1, FTL_I64, x->rank, dims);
}
