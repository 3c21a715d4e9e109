/* Ops of the program level that run no kernel: constants, results, views. */
#include "kernels/lower/driver.h"

ftl_status ftl_prog_const(ftl_lo *lo, ftl_node_id id)
{
	FTL_UNUSED(lo);
	FTL_UNUSED(id);
	return FTL_OK; /* its bytes are there already */
}

ftl_status ftl_prog_yield(ftl_lo *lo, ftl_node_id id)
{
	FTL_UNUSED(lo);
	FTL_UNUSED(id);
	return FTL_OK; /* the region's owner takes the results */
}

ftl_status ftl_prog_reshape(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const ftl_type *in = ftl_type_of(lo->g, n->in[0]), *out = ftl_type_of(lo->g, n->out[0]);
	ftl_dim a = ftl_type_numel(lo->g, in), b = ftl_type_numel(lo->g, out);
	ftl_kb *m = &lo->main;

	ftl_lo_alias(lo, n->out[0], n->in[0]);
	if (a != b && a != FTL_DIM_NONE && b != FTL_DIM_NONE) {
		ftl_kv same = ftl_k2(m, FTL_K_eq, ftl_lo_bytes_checked(lo, in), ftl_lo_bytes_checked(lo, out));

		ftl_k_check(m, same, ftl_lo_msg(lo, n, "the input's element count does not fit the target shape"));
	}
	return FTL_OK;
}
