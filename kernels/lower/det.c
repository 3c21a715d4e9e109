/* det: determinants by elimination with partial pivoting, one matrix per piece, in doubles. */
#include "util.h"

typedef struct matrix {
	ftl_kb *b;
	ftl_kv cells, off, n; /* scratch of all matrices; where this one's start; rows and columns */
} matrix;

static ftl_kv place(const matrix *a, ftl_kv row, ftl_kv column)
{
	return ftl_k2(a->b, FTL_K_add, a->off, ftl_k2(a->b, FTL_K_add, ftl_k2(a->b, FTL_K_mul, row, a->n), column));
}

static ftl_kv cell(const matrix *a, ftl_kv row, ftl_kv column, int lanes)
{
	return ftl_k_load(a->b, FTL_F64, a->cells, place(a, row, column), lanes);
}

static void put(const matrix *a, ftl_kv row, ftl_kv column, ftl_kv x)
{
	ftl_k_store(a->b, a->cells, place(a, row, column), x);
}

/* The row from `top` on with the largest element of column `top`. */
static ftl_kv pivot_row(const matrix *a, ftl_kv top)
{
	ftl_kb *b = a->b;
	ftl_kv best = ftl_k_var(b, ftl_k1(b, FTL_K_abs, cell(a, top, top, 1))), at = ftl_k_var(b, top), x, more;
	ftl_kscope s = ftl_k_for(b, ftl_k2(b, FTL_K_add, top, ftl_k_i64(b, 1)), a->n, 1);

	x = ftl_k1(b, FTL_K_abs, cell(a, s.index, top, 1));
	more = ftl_k2(b, FTL_K_lt, ftl_k_get(b, best), x);
	ftl_k_set(b, best, ftl_k_select(b, more, x, ftl_k_get(b, best)));
	ftl_k_set(b, at, ftl_k_select(b, more, s.index, ftl_k_get(b, at)));
	ftl_k_end(b, &s);
	return ftl_k_get(b, at);
}

static void swap_rows(ftl_kern *k, const matrix *a, ftl_kv r, ftl_kv q, int width)
{
	for (ftl_vloop l = ftl_vloop_begin(k, ftl_k_i64(a->b, 0), a->n, width); ftl_vloop_next(&l);) {
		ftl_kv x = cell(a, r, l.base, l.lanes), y = cell(a, q, l.base, l.lanes);

		put(a, r, l.base, y);
		put(a, q, l.base, x);
	}
}

/* Rows below `top` lose their part of its row; the column itself is not looked at again. */
static void eliminate(ftl_kern *k, const matrix *a, ftl_kv top, ftl_kv pivot, int width)
{
	ftl_kb *b = a->b;
	ftl_kv next = ftl_k2(b, FTL_K_add, top, ftl_k_i64(b, 1)), zero = ftl_k_float(b, FTL_KT(FTL_F64, 1), 0), f;
	ftl_kscope s = ftl_k_for(b, next, a->n, 1);

	/* a column of zeros: the determinant is 0, and stays it */
	f = ftl_k2(b, FTL_K_div, cell(a, s.index, top, 1), pivot);
	f = ftl_k_select(b, ftl_k2(b, FTL_K_eq, pivot, zero), zero, f);
	for (ftl_vloop l = ftl_vloop_begin(k, next, a->n, width); ftl_vloop_next(&l);) {
		ftl_kv x = ftl_k2(b, FTL_K_mul, cell(a, top, l.base, l.lanes), ftl_k_splat(b, f, l.lanes));

		put(a, s.index, l.base, ftl_k2(b, FTL_K_sub, cell(a, s.index, l.base, l.lanes), x));
	}
	ftl_k_end(b, &s);
}

ftl_status ftl_nest_det(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const ftl_type *x = ftl_type_of(g, n->in[0]);
	int rank = x->rank;
	ftl_dim size = x->dims[rank - 1], many = ftl_u_product(lo, x, 0, rank - 2),
		area = ftl_dim_mul(g->st, size, size);
	ftl_kv cells = ftl_lo_temp(lo, ftl_dim_mul(g->st, ftl_dim_mul(g->st, many, area), ftl_u_const(lo, 8)));
	ftl_kern *k = ftl_kern_begin(lo, id, "det");
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv idx[FTL_MAX_RANK], zero = ftl_k_i64(b, 0), det, top, row, pivot, other;
	matrix a = {.b = b, .cells = ftl_kern_arg(k, cells), .n = ftl_kern_dim(k, size)};
	int width = ftl_u_width(k, FTL_F64, size);
	ftl_kscope r, s, f;

	ftl_u_check_eq(lo, n, x->dims[rank - 2], size, "the matrix is not square");
	a.off = ftl_k2(b, FTL_K_mul, ftl_kern_grid(k), ftl_kern_dim(k, area));
	ftl_u_grid_index(k, x, (1u << (rank - 2)) - 1, ftl_kern_grid(k), idx);
	r = ftl_k_for(b, zero, a.n, 1);
	for (ftl_vloop l = ftl_vloop_begin(k, zero, a.n, width); ftl_vloop_next(&l);) {
		idx[rank - 2] = r.index;
		idx[rank - 1] = l.i;
		put(&a, r.index, l.base, ftl_k_cast(b, ftl_read(k, n->in[0], idx), FTL_F64));
	}
	ftl_k_end(b, &r);

	det = ftl_k_var(b, ftl_k_float(b, FTL_KT(FTL_F64, 1), 1));
	s = ftl_k_for(b, zero, a.n, 1);
	top = s.index;
	row = pivot_row(&a, top);
	other = ftl_k2(b, FTL_K_ne, row, top);
	f = ftl_k_if(b, other);
	swap_rows(k, &a, row, top, width);
	ftl_k_set(b, det, ftl_k1(b, FTL_K_neg, ftl_k_get(b, det)));
	ftl_k_end(b, &f);
	pivot = cell(&a, top, top, 1);
	ftl_k_set(b, det, ftl_k2(b, FTL_K_mul, ftl_k_get(b, det), pivot));
	eliminate(k, &a, top, pivot, width);
	ftl_k_end(b, &s);
	ftl_write(k, n->out[0], idx, ftl_k_cast(b, ftl_k_get(b, det), ftl_dtype_compute(x->dtype)));
	ftl_kern_launch(k, ftl_lo_dim(lo, many), ftl_u_cost(lo, area, 8));
	return FTL_OK;
}
