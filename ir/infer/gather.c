/* Ops that pick or place single elements by index: gather and scatter in their forms, one_hot,
 * reverse_sequence, trilu. */
#include "hooks.h"

#include <string.h>

/* Known indices must lie in [-dim, dim). */
static ftl_status check_indices(ftl_infer *f, uint32_t k, ftl_dim dim)
{
	uint32_t n;
	const ftl_dim *c = ftl_hook_contents(f, k, &n);
	int64_t d, i;

	if (!c || !ftl_dim_is_const(f->g->st, dim, &d))
		return FTL_OK;
	for (uint32_t e = 0; e < n; e++)
		if (c[e] != FTL_DIM_NONE && ftl_dim_is_const(f->g->st, c[e], &i) && (i < -d || i >= d))
			return ftl_infer_fail(f, "index %lld is out of range for an axis of %lld elements",
					      (long long)i, (long long)d);
	return FTL_OK;
}

/* Element `index` (counted from the end if negative) of n contents. */
static ftl_dim element_at(const ftl_infer *f, const ftl_dim *c, uint32_t n, ftl_dim index)
{
	int64_t i;

	if (index == FTL_DIM_NONE || !ftl_dim_is_const(f->g->st, index, &i) || i < -(int64_t)n || i >= (int64_t)n)
		return FTL_DIM_NONE;
	return c[i < 0 ? i + n : i];
}

static void gather_contents(ftl_infer *f)
{
	uint32_t n, nc, ni;
	const ftl_dim *c = ftl_hook_contents(f, 0, &nc), *index = ftl_hook_contents(f, 1, &ni);
	ftl_dim v[FTL_MAX_SYM];

	if (!c || !index || ftl_infer_in(f, 0)->rank != 1 || !ftl_hook_tracks(f, 0, &n) || n != ni)
		return;
	for (uint32_t i = 0; i < n; i++)
		v[i] = element_at(f, c, nc, index[i]);
	ftl_hook_set(f, 0, v, n);
}

ftl_status ftl_infer_op_gather(ftl_infer *f)
{
	ftl_dim dims[2 * FTL_MAX_RANK];
	const ftl_type *x, *index;
	int axis, rank = 0;

	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_int(f, 1));
	x = ftl_infer_in(f, 0);
	index = ftl_infer_in(f, 1);
	FTL_TRY(ftl_infer_axis(f, FTL_ATTRS(ftl_infer_self(f), gather)->axis, x->rank, &axis));
	FTL_TRY(check_indices(f, 1, x->dims[axis]));
	for (int i = 0; i < axis; i++)
		dims[rank++] = x->dims[i];
	for (int i = 0; i < index->rank; i++)
		dims[rank++] = index->dims[i];
	for (int i = axis + 1; i < x->rank; i++)
		dims[rank++] = x->dims[i];
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, rank, dims));
	gather_contents(f);
	return FTL_OK;
}

/* indices like x, and no longer than it, except along axis */
static ftl_status check_elements(ftl_infer *f, int64_t axis_attr, int *out_axis)
{
	const ftl_type *x = ftl_infer_in(f, 0), *index = ftl_infer_in(f, 1);

	FTL_TRY(ftl_hook_want_int(f, 1));
	FTL_TRY(ftl_infer_axis(f, axis_attr, x->rank, out_axis));
	if (index->rank != x->rank)
		return ftl_infer_fail(f, "indices of shape %s do not have the rank of x, %s", ftl_hook_in_shape(f, 1),
				      ftl_hook_in_shape(f, 0));
	for (int i = 0; i < x->rank; i++)
		if (i != *out_axis && ftl_dim_known_lt(f->g->st, x->dims[i], index->dims[i]) == 1)
			return ftl_infer_fail(f, "indices of shape %s exceed x of shape %s in axis %d",
					      ftl_hook_in_shape(f, 1), ftl_hook_in_shape(f, 0), i);
	return check_indices(f, 1, x->dims[*out_axis]);
}

ftl_status ftl_infer_op_gather_elements(ftl_infer *f)
{
	const ftl_type *x, *index;
	int axis;

	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(check_elements(f, FTL_ATTRS(ftl_infer_self(f), gather_elements)->axis, &axis));
	x = ftl_infer_in(f, 0);
	index = ftl_infer_in(f, 1);
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, index->rank, index->dims));
	gather_contents(f);
	return FTL_OK;
}

/* The length of index tuples: the indices' last axis, which decides a rank; `implied` where the other operands leave only
 * one (the run compares), else 0. */
static ftl_status tuple_length(ftl_infer *f, int max, int implied, int *out)
{
	const ftl_type *index = ftl_infer_in(f, 1);
	int64_t k;

	FTL_TRY(ftl_hook_want_int(f, 1));
	if (index->rank < 1)
		return ftl_infer_fail(f, "indices need at least one axis");
	if (!ftl_dim_is_const(f->g->st, index->dims[index->rank - 1], &k))
		k = implied;
	if (k == 0 && !ftl_dim_is_const(f->g->st, index->dims[index->rank - 1], NULL))
		return ftl_infer_fail(f,
				      "indices of shape %s: the length of the last axis must be known before the run",
				      ftl_hook_in_shape(f, 1));
	if (k < 1 || k > max)
		return ftl_infer_fail(f, "index tuples of length %lld do not fit x of shape %s", (long long)k,
				      ftl_hook_in_shape(f, 0));
	*out = (int)k;
	return FTL_OK;
}

ftl_status ftl_infer_op_gather_nd(ftl_infer *f)
{
	int64_t batch = FTL_ATTRS(ftl_infer_self(f), gather_nd)->batch_dims;
	ftl_dim dims[2 * FTL_MAX_RANK];
	const ftl_type *x, *index;
	int k, rank = 0;

	FTL_TRY(ftl_hook_args(f, 2));
	x = ftl_infer_in(f, 0);
	index = ftl_infer_in(f, 1);
	if (batch < 0 || batch >= x->rank || batch >= index->rank)
		return ftl_infer_fail(f, "batch_dims %lld does not fit x of shape %s and indices of shape %s",
				      (long long)batch, ftl_hook_in_shape(f, 0), ftl_hook_in_shape(f, 1));
	FTL_TRY(tuple_length(f, x->rank - (int)batch, x->rank - batch == 1, &k));
	for (int i = 0; i < (int)batch; i++)
		FTL_TRY(ftl_hook_unify(f, index->dims[i], x->dims[i], "batch sizes of x and indices", &dims[rank++]));
	for (int i = (int)batch; i < index->rank - 1; i++)
		dims[rank++] = index->dims[i];
	for (int i = (int)batch + k; i < x->rank; i++)
		dims[rank++] = x->dims[i];
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, rank, dims));
	if (k == 1 && batch == 0) {
		FTL_TRY(check_indices(f, 1, x->dims[0]));
		gather_contents(f);
	}
	return FTL_OK;
}

/* ---- scatter ---- */

static ftl_status check_reduction(ftl_infer *f, const char *reduction)
{
	static const char *const known[] = {"none", "add", "mul", "min", "max"};

	FTL_TRY(ftl_hook_want_same(f, 0, 2));
	for (uint32_t i = 0; i < FTL_COUNT(known); i++)
		if (strcmp(reduction, known[i]) == 0)
			return i ? ftl_hook_want_number(f, 0) : FTL_OK;
	return ftl_infer_fail(f, "unknown reduction \"%.32s\"", reduction);
}

/* Vector x with single elements replaced, at indices that must all be known. */
static void scatter_contents(ftl_infer *f, const char *reduction)
{
	uint32_t nx, ni, nu;
	const ftl_dim *x = ftl_hook_contents(f, 0, &nx), *index = ftl_hook_contents(f, 1, &ni);
	const ftl_dim *update = ftl_hook_contents(f, 2, &nu);
	ftl_dim v[FTL_MAX_SYM];
	int64_t at;

	if (!x || !index || ftl_infer_in(f, 0)->rank != 1 || strcmp(reduction, "none") != 0)
		return;
	memcpy(v, x, nx * sizeof *v);
	for (uint32_t i = 0; i < ni; i++) {
		if (index[i] == FTL_DIM_NONE || !ftl_dim_is_const(f->g->st, index[i], &at) || at < -(int64_t)nx ||
		    at >= (int64_t)nx)
			return;
		v[at < 0 ? at + nx : at] = update && i < nu ? update[i] : FTL_DIM_NONE;
	}
	ftl_hook_set(f, 0, v, nx);
}

ftl_status ftl_infer_op_scatter_elements(ftl_infer *f)
{
	const struct ftl_attrs_scatter_elements *a = FTL_ATTRS(ftl_infer_self(f), scatter_elements);
	const ftl_type *index, *update;
	int axis;

	FTL_TRY(ftl_hook_args(f, 3));
	if (ftl_infer_in(f, 0)->dtype == FTL_STRING && strcmp(a->reduction, "none") != 0)
		return ftl_infer_fail(f, "strings cannot be reduced");
	FTL_TRY(check_elements(f, a->axis, &axis));
	FTL_TRY(check_reduction(f, a->reduction));
	index = ftl_infer_in(f, 1);
	update = ftl_infer_in(f, 2);
	if (index->rank != update->rank)
		return ftl_infer_fail(f, "indices have shape %s, updates %s", ftl_hook_in_shape(f, 1),
				      ftl_hook_in_shape(f, 2));
	for (int i = 0; i < index->rank; i++)
		if (ftl_dim_known_eq(f->g->st, index->dims[i], update->dims[i]) == 0)
			return ftl_infer_fail(f, "indices have shape %s, updates %s", ftl_hook_in_shape(f, 1),
					      ftl_hook_in_shape(f, 2));
	FTL_TRY(ftl_hook_out_like(f, 0, 0));
	scatter_contents(f, a->reduction);
	return FTL_OK;
}

ftl_status ftl_infer_op_scatter_nd(ftl_infer *f)
{
	const struct ftl_attrs_scatter_nd *a = FTL_ATTRS(ftl_infer_self(f), scatter_nd);
	const ftl_type *x, *index, *update;
	bool fits;
	int k, lead;

	FTL_TRY(ftl_hook_args(f, 3));
	if (ftl_infer_in(f, 0)->dtype == FTL_STRING && strcmp(a->reduction, "none") != 0)
		return ftl_infer_fail(f, "strings cannot be reduced");
	FTL_TRY(check_reduction(f, a->reduction));
	x = ftl_infer_in(f, 0);
	index = ftl_infer_in(f, 1);
	update = ftl_infer_in(f, 2);
	lead = index->rank - 1;
	FTL_TRY(tuple_length(f, x->rank, x->rank + lead > update->rank ? x->rank + lead - update->rank : 0, &k));
	fits = update->rank == lead + x->rank - k;
	for (int i = 0; fits && i < update->rank; i++)
		fits = ftl_dim_known_eq(f->g->st, update->dims[i], i < lead ? index->dims[i] : x->dims[i - lead + k]) !=
		       0;
	if (!fits)
		return ftl_infer_fail(f, "updates of shape %s do not fit x %s and indices %s", ftl_hook_in_shape(f, 2),
				      ftl_hook_in_shape(f, 0), ftl_hook_in_shape(f, 1));
	FTL_TRY(ftl_hook_out_like(f, 0, 0));
	if (k == 1) {
		FTL_TRY(check_indices(f, 1, x->dims[0]));
		scatter_contents(f, a->reduction);
	}
	return FTL_OK;
}

/* ---- others ---- */

/* values are off and on, the new axis of known depth is at `axis`; an index out of range leaves all off. */
static void one_hot_contents(ftl_infer *f, int axis, int64_t depth)
{
	const ftl_type *index = ftl_infer_in(f, 0);
	uint32_t n, ni, nv, inner;
	const ftl_dim *c = ftl_hook_contents(f, 0, &ni), *values = ftl_hook_contents(f, 2, &nv);
	ftl_dim v[FTL_MAX_SYM];
	int64_t at;

	if (!c || !values || nv != 2 || !ftl_hook_tracks(f, 0, &n))
		return;
	if (!ftl_hook_count(f, index->rank - axis, index->dims + axis, FTL_MAX_SYM, &inner))
		return;
	for (uint32_t e = 0; e < n; e++) {
		ftl_dim i = c[e / (inner * (uint32_t)depth) * inner + e % inner];

		if (i == FTL_DIM_NONE || !ftl_dim_is_const(f->g->st, i, &at))
			return;
		at = at < 0 ? at + depth : at;
		v[e] = values[at == e / inner % depth];
	}
	ftl_hook_set(f, 0, v, n);
}

ftl_status ftl_infer_op_one_hot(ftl_infer *f)
{
	ftl_symtab *st = f->g->st;
	const ftl_type *index, *values;
	ftl_dim dims[FTL_MAX_RANK + 1], depth;
	int64_t c;
	double d;
	int axis;

	FTL_TRY(ftl_hook_args(f, 3));
	FTL_TRY(ftl_hook_want_number(f, 0));
	FTL_TRY(ftl_hook_want_number(f, 1));
	FTL_TRY(ftl_hook_want_one(f, 1, "the depth"));
	FTL_TRY(ftl_hook_want_rank(f, 2, 1));
	index = ftl_infer_in(f, 0);
	values = ftl_infer_in(f, 2);
	if (ftl_dim_is_const(st, values->dims[0], &c) && c != 2)
		return ftl_infer_fail(f, "values should be two, off and on, not %lld", (long long)c);
	FTL_TRY(ftl_infer_axis(f, FTL_ATTRS(ftl_infer_self(f), one_hot)->axis, index->rank + 1, &axis));
	depth = ftl_hook_elem(f, 1, 0);
	if (depth == FTL_DIM_NONE && ftl_const_scalar(f->g, ftl_infer_self(f)->in[1], &d) && d >= 0 && d < 0x1p52)
		depth = ftl_hook_const(f, (int64_t)d);
	if (depth == FTL_DIM_NONE)
		depth = ftl_infer_fresh(f, 0, axis, "depth");
	ftl_hook_copy(dims, index->dims, axis);
	dims[axis] = depth;
	if (axis < index->rank)
		ftl_hook_copy(dims + axis + 1, index->dims + axis, index->rank - axis);
	FTL_TRY(ftl_hook_out(f, 0, values->dtype, index->rank + 1, dims));
	if (ftl_dim_is_const(st, depth, &c))
		one_hot_contents(f, axis, c);
	return FTL_OK;
}

ftl_status ftl_infer_op_reverse_sequence(ftl_infer *f)
{
	const struct ftl_attrs_reverse_sequence *a = FTL_ATTRS(ftl_infer_self(f), reverse_sequence);
	const ftl_type *x;
	ftl_dim same;
	int batch, time;

	FTL_TRY(ftl_hook_args(f, 2));
	x = ftl_infer_in(f, 0);
	FTL_TRY(ftl_hook_want_int(f, 1));
	FTL_TRY(ftl_hook_want_rank(f, 1, 1));
	FTL_TRY(ftl_infer_axis(f, a->batch_axis, x->rank, &batch));
	FTL_TRY(ftl_infer_axis(f, a->time_axis, x->rank, &time));
	if (batch == time)
		return ftl_infer_fail(f, "batch_axis and time_axis are both %d", batch);
	FTL_TRY(ftl_hook_unify(f, x->dims[batch], ftl_infer_in(f, 1)->dims[0], "batch size and number of lengths",
			       &same));
	return ftl_hook_out_like(f, 0, 0);
}

ftl_status ftl_infer_op_trilu(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args(f, 1));
	if (ftl_infer_in(f, 0)->rank < 2)
		return ftl_infer_fail(f, "needs a matrix, has rank %d", ftl_infer_in(f, 0)->rank);
	if (ftl_infer_has(f, 1)) {
		FTL_TRY(ftl_hook_want_int(f, 1));
		FTL_TRY(ftl_hook_want_one(f, 1, "the diagonal"));
	}
	return ftl_hook_out_like(f, 0, 0);
}
