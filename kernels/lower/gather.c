/* Ops whose addresses come from data: gather, gather_elements, gather_nd, one_hot.
 *
 * Indices may be negative (from the end). One out of range is recorded as the run's error and clamped, so that the address
 * is safe; that the axis is not empty then is checked by ftl_bind_dynamic before the kernel runs. */
#include "util.h"

static const ftl_type *type_of(ftl_kern *k, ftl_val v)
{
	return ftl_type_of(ftl_lo_graph(ftl_kern_lo(k)), v);
}

/* out[a..., i..., c...] = x[a..., indices[i...], c...] */
ftl_kv ftl_point_gather(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const ftl_type *x = type_of(k, n->in[0]);
	int q = type_of(k, n->in[1])->rank, axis = ftl_u_axis(FTL_ATTRS(n, gather)->axis, x->rank);
	ftl_kv at[FTL_MAX_RANK], i = ftl_read(k, n->in[1], idx + axis);

	for (int d = 0; d < x->rank; d++)
		at[d] = d < axis ? idx[d] : d > axis ? idx[d - 1 + q] : ftl_u_index(k, n, i, x->dims[axis]);
	return ftl_read(k, n->in[0], at);
}

/* out[i] = x[i with entry `axis` replaced by indices[i]] */
ftl_kv ftl_point_gather_elements(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const ftl_type *x = type_of(k, n->in[0]);
	int axis = ftl_u_axis(FTL_ATTRS(n, gather_elements)->axis, x->rank);
	ftl_kv at[FTL_MAX_RANK];

	ftl_u_idx(at, idx, x->rank, axis, ftl_u_index(k, n, ftl_read(k, n->in[1], idx), x->dims[axis]));
	return ftl_read(k, n->in[0], at);
}

/* out[b..., i..., c...] = x[b..., indices[b..., i..., 0], ..., indices[b..., i..., m - 1], c...] */
ftl_kv ftl_point_gather_nd(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const ftl_type *x = type_of(k, n->in[0]), *ind = type_of(k, n->in[1]);
	int q = ind->rank, batch = (int)FTL_ATTRS(n, gather_nd)->batch_dims;
	int m = q - 1 + x->rank - batch - type_of(k, n->out[0])->rank;
	ftl_kv at[FTL_MAX_RANK], iat[FTL_MAX_RANK];

	ftl_u_idx(iat, idx, q - 1, -1, 0);
	for (int d = 0; d < x->rank; d++) {
		if (d < batch) {
			at[d] = idx[d];
		} else if (d < batch + m) {
			iat[q - 1] = ftl_k_i64(ftl_kern_b(k), d - batch);
			at[d] = ftl_u_index(k, n, ftl_read(k, n->in[1], iat), x->dims[d]);
		} else {
			at[d] = idx[q - 1 + d - batch - m];
		}
	}
	return ftl_read(k, n->in[0], at);
}

/* on where the class axis is the index (negative ones count from depth; others out of range select nothing) */
ftl_kv ftl_point_one_hot(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	ftl_kb *b = ftl_kern_b(k);
	const ftl_type *out = type_of(k, n->out[0]);
	int axis = ftl_u_axis(FTL_ATTRS(n, one_hot)->axis, out->rank);
	ftl_kv at[FTL_MAX_RANK], i, depth = ftl_kern_dim(k, out->dims[axis]), zero = ftl_k_i64(b, 0),
				    one = ftl_k_i64(b, 1), on, off;

	for (int d = 0; d < out->rank - 1; d++)
		at[d] = idx[d < axis ? d : d + 1];
	i = ftl_k_cast(b, ftl_read(k, n->in[0], at), FTL_I64);
	i = ftl_k_select(b, ftl_k2(b, FTL_K_lt, i, zero), ftl_k2(b, FTL_K_add, i, depth), i);
	off = ftl_read(k, n->in[2], &zero);
	on = ftl_read(k, n->in[2], &one);
	return ftl_k_select(b, ftl_k2(b, FTL_K_eq, i, idx[axis]), on, off);
}
