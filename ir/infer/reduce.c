/* Reductions, scans and normalizations over axes. */
#include "hooks.h"

/* Bit set of the axes to reduce; an empty list means all. */
static ftl_status reduced_axes(ftl_infer *f, int rank, unsigned *out)
{
	ftl_ints axes = ftl_hook_attr_ints(f, "axes");
	unsigned set = 0;
	int axis;

	for (uint32_t i = 0; i < axes.n; i++) {
		FTL_TRY(ftl_infer_axis(f, axes.v[i], rank, &axis));
		if (set >> axis & 1)
			return ftl_infer_fail(f, "axis %d is reduced twice", axis);
		set |= 1u << axis;
	}
	*out = axes.n ? set : (1u << rank) - 1;
	return FTL_OK;
}

/* Shape of x without (or with size 1 for) the axes of the set. */
static int drop_axes(const ftl_infer *f, const ftl_type *x, unsigned set, bool keep, ftl_dim *dims)
{
	int rank = 0;

	for (int i = 0; i < x->rank; i++) {
		if (!(set >> i & 1))
			dims[rank++] = x->dims[i];
		else if (keep)
			dims[rank++] = ftl_hook_const(f, 1);
	}
	return rank;
}

typedef ftl_dim fold_fn(ftl_symtab *st, ftl_dim a, ftl_dim b);

/* Contents where everything is reduced to one element; start is what an empty one gives, or FTL_DIM_NONE. */
static void fold_contents(ftl_infer *f, unsigned set, fold_fn *fold, ftl_dim start)
{
	const ftl_type *x = ftl_infer_in(f, 0);
	uint32_t n;
	const ftl_dim *c = ftl_hook_contents(f, 0, &n);
	ftl_dim v = start;

	if (!c || set != (1u << x->rank) - 1)
		return;
	for (uint32_t i = 0; i < n; i++)
		v = i == 0 && start == FTL_DIM_NONE ? c[i] : fold(f->g->st, v, c[i]);
	ftl_hook_set(f, 0, &v, 1);
}

static ftl_status reduce(ftl_infer *f, bool allow_bool, fold_fn *fold, int64_t start, bool has_start)
{
	ftl_dim dims[FTL_MAX_RANK];
	const ftl_type *x;
	unsigned set = 0;
	int rank;

	FTL_TRY(ftl_hook_args(f, 1));
	if (!allow_bool)
		FTL_TRY(ftl_hook_want_number(f, 0));
	x = ftl_infer_in(f, 0);
	FTL_TRY(reduced_axes(f, x->rank, &set));
	rank = drop_axes(f, x, set, ftl_hook_attr_flag(f, "keepdims"), dims);
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, rank, dims));
	if (fold)
		fold_contents(f, set, fold, has_start ? ftl_hook_const(f, start) : FTL_DIM_NONE);
	return FTL_OK;
}

ftl_status ftl_infer_op_reduce(ftl_infer *f)
{
	return reduce(f, false, NULL, 0, false);
}

ftl_status ftl_infer_op_reduce_sum(ftl_infer *f)
{
	return reduce(f, false, ftl_dim_add, 0, true);
}

ftl_status ftl_infer_op_reduce_prod(ftl_infer *f)
{
	return reduce(f, false, ftl_dim_mul, 1, true);
}

ftl_status ftl_infer_op_reduce_max(ftl_infer *f)
{
	return reduce(f, true, ftl_dim_max, 0, false);
}

ftl_status ftl_infer_op_reduce_min(ftl_infer *f)
{
	return reduce(f, true, ftl_dim_min, 0, false);
}

ftl_status ftl_infer_op_arg_reduce(ftl_infer *f)
{
	ftl_dim dims[FTL_MAX_RANK];
	const ftl_type *x;
	int axis, rank;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_number(f, 0));
	x = ftl_infer_in(f, 0);
	FTL_TRY(ftl_infer_axis(f, ftl_hook_attr_i64(f, "axis"), x->rank, &axis));
	if (ftl_dim_known_eq(f->g->st, x->dims[axis], ftl_hook_const(f, 0)) == 1)
		return ftl_infer_fail(f, "axis %d of shape %s is empty", axis, ftl_hook_in_shape(f, 0));
	rank = drop_axes(f, x, 1u << axis, ftl_hook_attr_flag(f, "keepdims"), dims);
	return ftl_hook_out(f, 0, FTL_I64, rank, dims);
}

ftl_status ftl_infer_op_cumulate(ftl_infer *f)
{
	/* cum_sum and cum_prod have the same row of attributes */
	const struct ftl_attrs_cum_sum *a = FTL_ATTRS(ftl_infer_self(f), cum_sum);
	bool product = ftl_infer_self(f)->op == FTL_OP_cum_prod;
	ftl_dim v[FTL_MAX_SYM], so_far = ftl_hook_const(f, product);
	const ftl_dim *c;
	uint32_t n;
	int axis;

	_Static_assert(sizeof(struct ftl_attrs_cum_sum) == sizeof(struct ftl_attrs_cum_prod), "same layout");
	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_number(f, 0));
	FTL_TRY(ftl_infer_axis(f, a->axis, ftl_infer_in(f, 0)->rank, &axis));
	FTL_TRY(ftl_hook_out_like(f, 0, 0));
	c = ftl_hook_contents(f, 0, &n);
	if (!c || ftl_infer_in(f, 0)->rank != 1)
		return FTL_OK;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = a->reverse ? n - 1 - i : i;
		ftl_dim before = so_far;

		so_far = product ? ftl_dim_mul(f->g->st, before, c[at]) : ftl_dim_add(f->g->st, before, c[at]);
		v[at] = a->exclusive ? before : so_far;
	}
	ftl_hook_set(f, 0, v, n);
	return FTL_OK;
}

ftl_status ftl_infer_op_axis_same(ftl_infer *f)
{
	int axis;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_float(f, 0));
	FTL_TRY(ftl_infer_axis(f, ftl_hook_attr_i64(f, "axis"), ftl_infer_in(f, 0)->rank, &axis));
	return ftl_hook_out_like(f, 0, 0);
}

ftl_status ftl_infer_op_norm(ftl_infer *f)
{
	const ftl_type *x;
	int axis;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_float(f, 0));
	x = ftl_infer_in(f, 0);
	FTL_TRY(ftl_infer_axis(f, ftl_hook_attr_i64(f, "axis"), x->rank, &axis));
	for (uint32_t k = 1; k < ftl_infer_self(f)->nin; k++) {
		const char *what = k == 1 ? "scale" : "bias";
		const ftl_type *t = ftl_infer_in(f, k);

		if (!ftl_infer_has(f, k))
			continue;
		FTL_TRY(ftl_hook_want_float(f, k));
		if (t->rank > x->rank)
			return ftl_infer_fail(f, "%s of shape %s does not fit x of shape %s", what,
					      ftl_hook_in_shape(f, k), ftl_hook_in_shape(f, 0));
		for (int i = 0; i < t->rank; i++) {
			ftl_dim have = t->dims[i];

			/* it broadcasts to x, never the other way */
			if (have != ftl_hook_const(f, 1) &&
			    ftl_dim_known_eq(f->g->st, have, x->dims[x->rank - t->rank + i]) == 0)
				return ftl_infer_fail(f, "%s of shape %s does not fit x of shape %s", what,
						      ftl_hook_in_shape(f, k), ftl_hook_in_shape(f, 0));
		}
	}
	return ftl_hook_out_like(f, 0, 0);
}
