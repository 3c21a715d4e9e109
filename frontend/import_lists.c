/* Lists that only run time knows: axes, starts, repeats that are inputs of the model.
 *
 * What an axes input names becomes arithmetic on shape vectors of one entry per dim, and a Reshape to what came out of it
 * brings the axis in question to a place known at import. Entries outside the rank end the run: the lookups check them.
 * Only ranks must be known here. */
#include "imp.h"

ftl_val ftl_imp_unknown(imp *m, uint32_t k)
{
	ftl_val v = ftl_imp_in(m, k);
	int64_t list[FTL_MAX_RANK * 2], n;
	uint32_t count;

	if (!v || m->failed || ftl_imp_known_i64s(m, v, list, FTL_COUNT(list), &count))
		return 0;
	if (rank_of(m, v) == 1 && ftl_dim_is_const(m->st, ftl_imp_dim(m, v, 0), &n) && n == 0)
		return 0;
	return ftl_imp_vector(m, v);
}

ftl_val ftl_imp_vector(imp *m, ftl_val v)
{
	v = ftl_imp_cast(m, v, FTL_I64);
	if (rank_of(m, v) == 0)
		return ftl_imp_unsqueeze(m, v, 0);
	ftl_imp_want_rank(m, v, 1, 1, "a list");
	return v;
}

ftl_val ftl_imp_iota(imp *m, int n)
{
	int64_t v[2 * FTL_MAX_RANK];

	for (int i = 0; i < n; i++)
		v[i] = i;
	return ftl_imp_i64s(m, (uint32_t)n, v);
}

ftl_val ftl_imp_filled(imp *m, int n, int64_t value)
{
	int64_t v[2 * FTL_MAX_RANK];

	for (int i = 0; i < n; i++)
		v[i] = value;
	return ftl_imp_i64s(m, (uint32_t)n, v);
}

ftl_val ftl_imp_shape(imp *m, ftl_val x)
{
	return ftl_imp_dims_vec(m, (uint32_t)rank_of(m, x), ftl_imp_type(m, x)->dims);
}

ftl_val ftl_imp_reshape_to(imp *m, ftl_val x, ftl_val shape)
{
	struct ftl_attrs_reshape *a = NEW_ATTRS(m, reshape);

	a->allow_zero = true;
	return ftl_imp_op(m, FTL_OP_reshape, a, 2, (const ftl_val[]){x, shape});
}

ftl_val ftl_imp_spread(imp *m, ftl_val axes, ftl_val values, ftl_val rest)
{
	return ftl_imp_op(m, FTL_OP_scatter_elements, NULL, 3, (const ftl_val[]){rest, axes, values});
}

ftl_val ftl_imp_axes_mask(imp *m, ftl_val axes, int rank)
{
	ftl_dim n = ftl_imp_dim(m, axes, 0);
	ftl_val ones = ftl_imp_expand(m, ftl_imp_filled(m, 1, 1), 1, &n), mask;

	mask = ftl_imp_spread(m, axes, ones, ftl_imp_filled(m, rank, 0));
	return op2(m, FTL_OP_gt, mask, ftl_imp_filled(m, 1, 0));
}

ftl_val ftl_imp_product(imp *m, ftl_val v)
{
	return ftl_imp_reduce(m, FTL_OP_reduce_prod, v, 1, &(int64_t){0}, true);
}

ftl_val ftl_imp_keep_unnamed(imp *m, ftl_val v, ftl_val mask, int n)
{
	ftl_dim d = dim_c(m, n);
	struct ftl_attrs_compress *a = NEW_ATTRS(m, compress);

	a->axis = 0;
	v = ftl_imp_op(m, FTL_OP_compress, a, 2, (const ftl_val[]){v, op1(m, FTL_OP_not, mask)});
	return ftl_imp_reshape(m, v, 1, &d); /* another number of them ends the run: axes named one twice */
}

ftl_val ftl_imp_axis_of(imp *m, ftl_val axis, int rank)
{
	ftl_dim one = dim_c(m, 1);

	/* a lookup counts negative numbers from the end and refuses what is outside */
	return ftl_imp_gather(m, ftl_imp_iota(m, rank), ftl_imp_reshape(m, ftl_imp_cast(m, axis, FTL_I64), 1, &one), 0);
}

ftl_val ftl_imp_around(imp *m, ftl_val shape, ftl_val axis, int rank)
{
	ftl_val at = ftl_imp_iota(m, rank), one = ftl_imp_filled(m, 1, 1), part[3];

	part[0] = ftl_imp_product(m, e_where(m, op2(m, FTL_OP_lt, at, axis), shape, one));
	part[1] = ftl_imp_gather(m, shape, axis, 0);
	part[2] = ftl_imp_product(m, e_where(m, op2(m, FTL_OP_gt, at, axis), shape, one));
	return ftl_imp_concat(m, 0, 3, part);
}
