/* Ops that place elements: scatter_elements, scatter_nd, concat, and the shape tensors of dims, shape and size.
 *
 * A scatter copies x, then applies the updates in order, so that of several to one place the last one stays and sums do
 * not depend on threads. Pieces of the launch write different places: other leading indices, other parts of a slice. */
#include "util.h"

/* What reduction makes of the element there and the update; storage type in and out, arithmetic in the compute type. */
static void put(ftl_kern *k, const char *reduction, ftl_dtype mem, ftl_kv ptr, ftl_kv at, ftl_kv x)
{
	ftl_kb *b = ftl_kern_b(k);
	int lanes = ftl_ktype_of(b->f, x).lanes;

	if (strcmp(reduction, "none") != 0) {
		ftl_kv old = ftl_k_cast(b, ftl_k_load(b, mem, ptr, at, lanes), ftl_dtype_compute(mem));

		if (strcmp(reduction, "add") == 0)
			x = ftl_k2(b, FTL_K_add, old, x);
		else if (strcmp(reduction, "mul") == 0)
			x = ftl_k2(b, FTL_K_mul, old, x);
		else
			x = ftl_u_minmax(b, strcmp(reduction, "min") == 0 ? FTL_K_min : FTL_K_max, old, x);
	}
	ftl_k_store(b, ptr, at, ftl_k_cast(b, x, ftl_dtype_mem(mem)));
}

/* out = x, then out[i with entry `axis` = indices[i]] takes updates[i] */
ftl_status ftl_nest_scatter_elements(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const struct ftl_attrs_scatter_elements *a = FTL_ATTRS(n, scatter_elements);
	const ftl_type *x = ftl_type_of(g, n->in[0]), *t = ftl_type_of(g, n->in[1]);
	int rank = x->rank, axis = ftl_u_axis(a->axis, rank), loops = 0;
	ftl_kv idx[FTL_MAX_RANK], at[FTL_MAX_RANK], u;
	ftl_kscope s[FTL_MAX_RANK];
	ftl_kern *k;
	ftl_kb *b;

	ftl_u_copy(lo, id, n->out[0], n->in[0]);
	k = ftl_kern_begin(lo, id, "scatter_elements");
	b = ftl_kern_b(k);
	ftl_u_grid_index(k, t, (1u << axis) - 1, ftl_kern_grid(k), idx);
	for (int d = axis; d < rank; d++) {
		s[loops] = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, t->dims[d]), 1);
		idx[d] = s[loops++].index;
	}
	u = ftl_read(k, n->in[2], idx);
	ftl_u_idx(at, idx, rank, axis, ftl_u_index(k, n, ftl_read(k, n->in[1], idx), x->dims[axis]));
	put(k, a->reduction, x->dtype, ftl_kern_ptr(k, n->out[0]), ftl_linear(k, n->out[0], at), u);
	while (loops > 0)
		ftl_k_end(b, &s[--loops]);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_u_product(lo, t, 0, axis)),
			ftl_u_cost(lo, ftl_u_product(lo, t, axis, rank), 8));
	return FTL_OK;
}

/* out = x, then the slice out[indices[i..., 0], ..., indices[i..., m - 1]] takes the slice updates[i...]. Every piece goes
 * through all tuples for its block of the slice. */
ftl_status ftl_nest_scatter_nd(ftl_lo *lo, ftl_node_id id)
{
	enum { BLOCK = 256 };
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const char *reduction = FTL_ATTRS(n, scatter_nd)->reduction;
	const ftl_type *x = ftl_type_of(g, n->in[0]), *t = ftl_type_of(g, n->in[1]);
	ftl_dim tuples = ftl_u_product(lo, t, 0, t->rank - 1), slice;
	ftl_kv from, to, base, size, off;
	int m = x->rank + t->rank - 1 - ftl_type_of(g, n->in[2])->rank;
	ftl_kscope s;
	ftl_kern *k;
	ftl_kb *b;

	ftl_u_copy(lo, id, n->out[0], n->in[0]);
	slice = ftl_u_product(lo, x, m, x->rank);
	k = ftl_kern_begin(lo, id, "scatter_nd");
	b = ftl_kern_b(k);
	size = ftl_kern_dim(k, slice);
	from = ftl_k2(b, FTL_K_mul, ftl_kern_grid(k), ftl_k_i64(b, BLOCK));
	to = ftl_k2(b, FTL_K_min, size, ftl_k2(b, FTL_K_add, from, ftl_k_i64(b, BLOCK)));
	s = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, tuples), 1);
	base = ftl_k_i64(b, 0);
	for (int d = 0; d < m; d++) {
		ftl_kv i = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, s.index, ftl_k_i64(b, m)), ftl_k_i64(b, d));

		i = ftl_u_index(k, n, ftl_read_flat(k, n->in[1], i, 1), x->dims[d]);
		base = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, base, ftl_kern_dim(k, x->dims[d])), i);
	}
	base = ftl_k2(b, FTL_K_mul, base, size);
	off = ftl_k2(b, FTL_K_mul, s.index, size);
	for (ftl_vloop l = ftl_vloop_begin(k, from, to, ftl_u_width(k, x->dtype, slice)); ftl_vloop_next(&l);)
		put(k, reduction, x->dtype, ftl_kern_ptr(k, n->out[0]), ftl_k2(b, FTL_K_add, base, l.base),
		    ftl_read_flat(k, n->in[2], ftl_k2(b, FTL_K_add, off, l.base), l.lanes));
	ftl_k_end(b, &s);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_dim_ceildiv(g->st, slice, ftl_u_const(lo, BLOCK))),
			ftl_u_cost(lo, tuples, BLOCK));
	return FTL_OK;
}

/* A program value that kernels take as a parameter even if it is a constant. */
static ftl_kv parameter(ftl_lo *lo, ftl_kv x)
{
	ftl_kv v = ftl_k_var(ftl_lo_main(lo), ftl_k_i64(ftl_lo_main(lo), 0));

	ftl_k_set(ftl_lo_main(lo), v, x);
	return ftl_k_get(ftl_lo_main(lo), v);
}

/* Per operand: row o of its [outer, axis and inside] view goes to row o of the result's, at the bytes that the operands
 * before it take. Long rows are cut into blocks. Where there are many operands, sizes and places are parameters,
 * or there would be as many kernels. */
ftl_status ftl_nest_concat(ftl_lo *lo, ftl_node_id id)
{
	enum { BLOCK = 32 << 10, MANY = 32 };
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const ftl_type *out = ftl_type_of(g, n->out[0]);
	int axis = ftl_u_axis(FTL_ATTRS(n, concat)->axis, out->rank);
	ftl_dim size = ftl_u_const(lo, (int64_t)ftl_dtype_bytes(out->dtype)), outer = ftl_u_product(lo, out, 0, axis);
	ftl_dim inner = ftl_dim_mul(g->st, ftl_u_product(lo, out, axis + 1, out->rank), size);
	ftl_dim row = ftl_dim_mul(g->st, inner, out->dims[axis]), before = ftl_u_const(lo, 0);
	ftl_kv at = ftl_k_i64(ftl_lo_main(lo), 0); /* the same in bytes, as the program adds it up */

	ftl_lo_ptr(lo, n->out[0]);
	for (uint32_t i = 0; i < n->nin; i++) {
		ftl_dim dim = ftl_type_of(g, n->in[i])->dims[axis], bytes = ftl_dim_mul(g->st, dim, inner),
			blocks = ftl_u_const(lo, 1);
		ftl_kern *k = ftl_kern_begin(lo, id, "concat");
		ftl_kb *b = ftl_kern_b(k);
		ftl_kv o = ftl_kern_grid(k), size_i, len, place, from = ftl_k_i64(b, 0), dst, src;
		int64_t c;

		if (ftl_u_is(lo, bytes, 0))
			continue;
		if (n->nin > MANY) {
			size_i = ftl_kern_arg(k, parameter(lo, ftl_lo_dim(lo, bytes)));
			place = ftl_kern_arg(k, parameter(lo, at));
		} else if (ftl_dim_mul(g->st, before, inner) == FTL_DIM_NONE) { /* too large an expression */
			size_i = ftl_kern_dim(k, bytes);
			place = ftl_kern_arg(k, at);
		} else {
			size_i = ftl_kern_dim(k, bytes);
			place = ftl_kern_dim(k, ftl_dim_mul(g->st, before, inner));
		}
		len = size_i;
		if (!ftl_dim_is_const(g->st, bytes, &c) || c > BLOCK) {
			ftl_kv nb;

			blocks = ftl_dim_ceildiv(g->st, bytes, ftl_u_const(lo, BLOCK));
			nb = ftl_kern_dim(k, blocks);
			from = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_rem, o, nb), ftl_k_i64(b, BLOCK));
			o = ftl_k2(b, FTL_K_div, o, nb);
			len = ftl_k2(b, FTL_K_min, ftl_k2(b, FTL_K_sub, len, from), ftl_k_i64(b, BLOCK));
		}
		src = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, o, size_i), from);
		dst = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, o, ftl_kern_dim(k, row)), from);
		dst = ftl_k2(b, FTL_K_add, dst, place);
		ftl_k_copy(b, ftl_k_offset(b, ftl_kern_ptr(k, n->out[0]), dst),
			   ftl_k_offset(b, ftl_kern_ptr(k, n->in[i]), src), len);
		ftl_kern_launch(k, ftl_lo_dim(lo, ftl_dim_mul(g->st, outer, blocks)),
				ftl_dim_is_const(g->st, bytes, &c) && c < BLOCK ? c / 8 + 8 : BLOCK / 8);
		before = n->nin > MANY ? before : ftl_dim_add(g->st, before, dim);
		at = ftl_k2(ftl_lo_main(lo), FTL_K_add, at, ftl_lo_dim(lo, bytes));
	}
	return FTL_OK;
}

/* dims, shape, size: what the program knows is stored by the program */
ftl_status ftl_nest_dims(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	ftl_dtype t = ftl_type_of(g, n->out[0])->dtype;
	ftl_kb *b = ftl_lo_main(lo);
	const ftl_dim *v;
	ftl_dim all;
	uint32_t count;
	ftl_kv ptr;

	if (n->op == FTL_OP_dims) {
		v = FTL_ATTRS(n, dims)->values.v;
		count = FTL_ATTRS(n, dims)->values.n;
	} else if (n->op == FTL_OP_size) {
		all = ftl_type_numel(g, ftl_type_of(g, n->in[0]));
		v = &all;
		count = 1;
	} else {
		const ftl_type *x = ftl_type_of(g, n->in[0]);
		int64_t start = FTL_ATTRS(n, shape)->start, end = FTL_ATTRS(n, shape)->end, rank = x->rank;

		start = start < -rank ? 0 : start < 0 ? start + rank : start > rank ? rank : start;
		end = end < -rank ? 0 : end < 0 ? end + rank : end > rank ? rank : end;
		v = x->dims + start;
		count = end > start ? (uint32_t)(end - start) : 0;
	}
	ptr = ftl_lo_ptr(lo, n->out[0]);
	for (uint32_t i = 0; i < count; i++) {
		if (!ftl_u_known(lo, v[i]))
			return ftl_lo_fail(lo, id, "uses a size that has no value here");
		ftl_k_store(b, ptr, ftl_k_i64(b, i), ftl_k_cast(b, ftl_lo_dim(lo, v[i]), t));
	}
	return FTL_OK;
}
