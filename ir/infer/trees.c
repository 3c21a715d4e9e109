/* find, trees. */
#include "hooks.h"

ftl_status ftl_infer_op_find(ftl_infer *f)
{
	const ftl_type *x;

	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_same(f, 0, 1));
	FTL_TRY(ftl_hook_want_number(f, 0));
	FTL_TRY(ftl_hook_want_rank(f, 1, 1));
	if (!ftl_dim_is_const(f->g->st, ftl_infer_in(f, 1)->dims[0], NULL))
		return ftl_infer_fail(f, "the number of keys is not constant");
	x = ftl_infer_in(f, 0);
	return ftl_hook_out(f, 0, FTL_I64, x->rank, x->dims);
}

static ftl_status want_table(ftl_infer *f, uint32_t k, ftl_dtype t, int64_t least)
{
	int64_t n;

	FTL_TRY(ftl_hook_want_rank(f, k, k == 1 ? 2 : 1));
	if (ftl_infer_in(f, k)->dtype != t)
		return ftl_infer_fail(f, "input %u has element type %s, which should be %s", k,
				      ftl_dtype_name(ftl_infer_in(f, k)->dtype), ftl_dtype_name(t));
	if (!ftl_dim_is_const(f->g->st, ftl_infer_in(f, k)->dims[0], &n) || n < least || n > INT32_MAX)
		return ftl_infer_fail(f, "input %u has a size that is not constant, or too small or large", k);
	return FTL_OK;
}

/* x [rows, features], nodes i32[n, 6], values [n], roots i32[trees], targets i32[m], weights [m], members */
ftl_status ftl_infer_op_trees(ftl_infer *f)
{
	static const char *const modes[] = {"sum", "min", "max", "mean"};
	const struct ftl_attrs_trees *a = FTL_ATTRS(ftl_infer_self(f), trees);
	const ftl_type *x;
	size_t mode = 0;
	int64_t n;

	FTL_TRY(ftl_hook_args(f, 7));
	x = ftl_infer_in(f, 0);
	if (x->dtype != FTL_F32 && x->dtype != FTL_F64)
		return ftl_infer_fail(f, "takes f32 or f64, not %s", ftl_dtype_name(x->dtype));
	FTL_TRY(ftl_hook_want_rank(f, 0, 2));
	if (a->features < 1 || (ftl_dim_is_const(f->g->st, x->dims[1], &n) && n < a->features))
		return ftl_infer_fail(f, "reads feature %lld of input 0, which has shape %s",
				      (long long)a->features - 1, ftl_hook_in_shape(f, 0));
	FTL_TRY(want_table(f, 1, FTL_I32, 1));
	FTL_TRY(want_table(f, 2, x->dtype, 1));
	FTL_TRY(want_table(f, 3, FTL_I32, 0));
	FTL_TRY(want_table(f, 4, FTL_I32, 0));
	FTL_TRY(want_table(f, 5, x->dtype, 0));
	FTL_TRY(want_table(f, 6, x->dtype, 0));
	if (ftl_dim_known_eq(f->g->st, ftl_infer_in(f, 1)->dims[1], ftl_hook_const(f, 6)) != 1 ||
	    ftl_dim_known_eq(f->g->st, ftl_infer_in(f, 1)->dims[0], ftl_infer_in(f, 2)->dims[0]) != 1 ||
	    ftl_dim_known_eq(f->g->st, ftl_infer_in(f, 4)->dims[0], ftl_infer_in(f, 5)->dims[0]) != 1)
		return ftl_infer_fail(f, "its tables do not fit each other");
	while (mode < FTL_COUNT(modes) && strcmp(a->aggregate, modes[mode]) != 0)
		mode++;
	if (mode == FTL_COUNT(modes))
		return ftl_infer_fail(f, "unknown aggregate \"%.32s\"", a->aggregate);
	if (a->targets < 1 || a->targets > INT32_MAX)
		return ftl_infer_fail(f, "has %lld targets", (long long)a->targets);
	return ftl_hook_out(f, 0, x->dtype, 2, (const ftl_dim[]){x->dims[0], ftl_hook_const(f, a->targets)});
}
