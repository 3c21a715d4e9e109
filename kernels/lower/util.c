/* Pieces shared by op definitions; see util.h. */
#include "util.h"

static ftl_symtab *st_of(const ftl_lo *lo)
{
	return ftl_lo_graph(lo)->st;
}

/* ---- kernel code ---- */

/* x if x is the smaller (larger) or NaN, else y: where y is NaN the comparison is false. */
ftl_kv ftl_u_minmax(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv y)
{
	ftl_kv first;

	if (!ftl_dtype_is_float((ftl_dtype)ftl_ktype_of(b->f, x).elem))
		return ftl_k2(b, op, x, y);
	first = op == FTL_K_min ? ftl_k2(b, FTL_K_lt, x, y) : ftl_k2(b, FTL_K_lt, y, x);
	return ftl_k_select(b, ftl_k2(b, FTL_K_or, first, ftl_k2(b, FTL_K_ne, x, x)), x, y);
}

ftl_kv ftl_u_minmax_lanes(ftl_kb *b, ftl_kop op, ftl_kv x)
{
	int lanes = ftl_ktype_of(b->f, x).lanes;

	if (!ftl_dtype_is_float((ftl_dtype)ftl_ktype_of(b->f, x).elem))
		return ftl_k_reduce(b, op, x);
	for (; lanes > 1; lanes /= 2)
		x = ftl_u_minmax(b, op, ftl_k_slice(b, x, 0, lanes / 2), ftl_k_slice(b, x, lanes / 2, lanes / 2));
	return x;
}

ftl_kv ftl_u_all(ftl_kb *b, ftl_kv c)
{
	if (ftl_ktype_of(b->f, c).lanes == 1)
		return c;
	c = ftl_k_reduce(b, FTL_K_min, ftl_k_cast(b, c, FTL_I32));
	return ftl_k2(b, FTL_K_ne, c, ftl_k_int(b, FTL_KT(FTL_I32, 1), 0));
}

ftl_kv ftl_u_clamp(ftl_kb *b, ftl_kv x, ftl_kv lo, ftl_kv hi)
{
	return ftl_k2(b, FTL_K_max, ftl_k2(b, FTL_K_min, x, hi), lo);
}

ftl_kv ftl_u_index(ftl_kern *k, const ftl_node *n, ftl_kv i, ftl_dim dim)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv size = ftl_kern_dim(k, dim), zero = ftl_k_i64(b, 0), low, high, ok;

	i = ftl_k_cast(b, i, FTL_I64);
	i = ftl_k_select(b, ftl_k2(b, FTL_K_lt, i, zero), ftl_k2(b, FTL_K_add, i, size), i);
	low = ftl_k2(b, FTL_K_le, zero, ftl_k_reduce(b, FTL_K_min, i));
	high = ftl_k2(b, FTL_K_lt, ftl_k_reduce(b, FTL_K_max, i), size);
	ok = ftl_k2(b, FTL_K_and, low, high);
	ftl_k_check(b, ok, ftl_lo_msg(ftl_kern_lo(k), n, "index out of range"));
	return ftl_u_clamp(b, i, zero, ftl_k2(b, FTL_K_sub, size, ftl_k_i64(b, 1)));
}

ftl_kv ftl_u_bcast(ftl_kern *k, ftl_kv idx, ftl_dim in, ftl_dim out)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_lo *lo = ftl_kern_lo(k);
	ftl_kv one, step;

	if (ftl_u_is(lo, in, 1))
		return ftl_k_i64(b, 0);
	if (in == out || ftl_dim_known_eq(st_of(lo), in, out) == 1 || ftl_dim_lo(st_of(lo), in) > 1)
		return idx;
	one = ftl_k2(b, FTL_K_eq, ftl_kern_dim(k, in), ftl_k_i64(b, 1));
	step = ftl_k_select(b, one, ftl_k_i64(b, 0), ftl_k_i64(b, 1));
	return ftl_k2(b, FTL_K_mul, idx, step);
}

void ftl_u_bcast_index(ftl_kern *k, const ftl_type *t, const ftl_kv *idx, ftl_val v, ftl_kv *out_idx)
{
	const ftl_type *s = ftl_type_of(ftl_lo_graph(ftl_kern_lo(k)), v);

	for (int d = 0; d < s->rank; d++) {
		int o = d + t->rank - s->rank;

		out_idx[d] = ftl_u_bcast(k, idx[o], s->dims[d], t->dims[o]);
	}
}

ftl_kv ftl_u_read_one(ftl_kern *k, ftl_val v)
{
	ftl_kv idx[FTL_MAX_RANK];

	for (int d = 0; d < FTL_MAX_RANK; d++)
		idx[d] = ftl_k_i64(ftl_kern_b(k), 0);
	return ftl_read(k, v, idx);
}

int ftl_u_width(const ftl_kern *k, ftl_dtype t, ftl_dim dim)
{
	int width = ftl_kern_width(k, t);
	int64_t n;

	if (ftl_dim_is_const(st_of(ftl_kern_lo((ftl_kern *)k)), dim, &n))
		while (width > 1 && n < width)
			width /= 2;
	return width;
}

void ftl_u_row(ftl_kern *k, ftl_kv n, int width, void (*body)(void *user, ftl_kv base, int lanes), void *user)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kscope c, s;
	ftl_kv last;
	int64_t count;

	if (ftl_k_is_const(b, n, &count))
		while (width > 1 && count < width)
			width /= 2;
	last = ftl_k2(b, FTL_K_sub, n, ftl_k_i64(b, width));
	c = ftl_k_if(b, ftl_k2(b, FTL_K_le, ftl_k_i64(b, width), n));
	s = ftl_k_for(b, ftl_k_i64(b, 0), n, width);
	body(user, ftl_k2(b, FTL_K_min, s.index, last), width);
	ftl_k_end(b, &s);
	ftl_k_else(b, &c);
	s = ftl_k_for(b, ftl_k_i64(b, 0), n, 1);
	body(user, s.index, 1);
	ftl_k_end(b, &s);
	ftl_k_end(b, &c);
}

void ftl_u_grid_index(ftl_kern *k, const ftl_type *t, uint32_t mask, ftl_kv linear, ftl_kv *idx)
{
	ftl_dim dims[FTL_MAX_RANK];
	ftl_kv at[FTL_MAX_RANK];
	int n = 0;

	for (int d = 0; d < t->rank; d++)
		if (mask >> d & 1)
			dims[n++] = t->dims[d];
	ftl_delinear(k, dims, n, linear, at);
	n = 0;
	for (int d = 0; d < t->rank; d++)
		if (mask >> d & 1)
			idx[d] = at[n++];
}

/* ---- program code ---- */

struct known {
	const ftl_lo *lo;
	bool all;
};

static void known_symbol(void *user, ftl_dim sym)
{
	struct known *u = user;

	u->all &= ftl_lo_bound(u->lo, sym);
}

bool ftl_u_known(const ftl_lo *lo, ftl_dim d)
{
	struct known u = {lo, true};

	if (d == FTL_DIM_NONE)
		return false;
	ftl_dim_symbols(st_of(lo), d, known_symbol, &u);
	return u.all;
}

ftl_kv ftl_u_elem_raw(ftl_lo *lo, const ftl_node *n, ftl_val v, int64_t i)
{
	const ftl_type *t = ftl_type_of(ftl_lo_graph(lo), v);
	ftl_kb *b = ftl_lo_main(lo);
	ftl_dim numel = ftl_type_numel(ftl_lo_graph(lo), t);
	ftl_kv x;

	ftl_u_check_le(lo, n, ftl_u_const(lo, i + 1), numel, "an operand is empty");
	x = ftl_k_load(b, ftl_dtype_mem(t->dtype), ftl_lo_ptr(lo, v), ftl_k_i64(b, i), 1);
	return ftl_k_cast(b, x, ftl_dtype_compute(t->dtype));
}

bool ftl_u_elem_known(const ftl_lo *lo, ftl_val v, int64_t i)
{
	const ftl_value *val = ftl_value_get(ftl_lo_graph(lo), v);

	return val->sym && i < val->nsym && ftl_u_known(lo, val->sym[i]);
}

ftl_kv ftl_u_elem(ftl_lo *lo, const ftl_node *n, ftl_val v, int64_t i)
{
	if (ftl_u_elem_known(lo, v, i))
		return ftl_lo_dim(lo, ftl_value_get(ftl_lo_graph(lo), v)->sym[i]);
	return ftl_k_cast(ftl_lo_main(lo), ftl_u_elem_raw(lo, n, v, i), FTL_I64);
}

void ftl_u_check_eq(ftl_lo *lo, const ftl_node *n, ftl_dim a, ftl_dim b, const char *reason)
{
	if (a == b || ftl_dim_known_eq(st_of(lo), a, b) == 1)
		return;
	ftl_k_check(ftl_lo_main(lo), ftl_k2(ftl_lo_main(lo), FTL_K_eq, ftl_lo_dim(lo, a), ftl_lo_dim(lo, b)),
		    ftl_lo_msg(lo, n, reason));
}

void ftl_u_check_le(ftl_lo *lo, const ftl_node *n, ftl_dim a, ftl_dim b, const char *reason)
{
	if (a == b || ftl_dim_known_le(st_of(lo), a, b) == 1)
		return;
	ftl_k_check(ftl_lo_main(lo), ftl_k2(ftl_lo_main(lo), FTL_K_le, ftl_lo_dim(lo, a), ftl_lo_dim(lo, b)),
		    ftl_lo_msg(lo, n, reason));
}

void ftl_u_check_bcast(ftl_lo *lo, const ftl_node *n, ftl_val v, const ftl_type *t)
{
	const ftl_type *s = ftl_type_of(ftl_lo_graph(lo), v);
	ftl_kb *b = ftl_lo_main(lo);

	for (int d = 0; d < s->rank; d++) {
		ftl_dim in = s->dims[d], out = t->dims[d + t->rank - s->rank];
		ftl_kv one;

		if (in == out || ftl_u_is(lo, in, 1) || ftl_dim_known_eq(st_of(lo), in, out) == 1)
			continue;
		one = ftl_k2(b, FTL_K_eq, ftl_lo_dim(lo, in), ftl_k_i64(b, 1));
		ftl_k_check(b, ftl_k2(b, FTL_K_or, one, ftl_k2(b, FTL_K_eq, ftl_lo_dim(lo, in), ftl_lo_dim(lo, out))),
			    ftl_lo_msg(lo, n, "operand shapes do not fit together"));
	}
}

void ftl_u_check_nonempty(ftl_lo *lo, const ftl_node *n, ftl_dim dim, ftl_dim count)
{
	ftl_kb *b = ftl_lo_main(lo);
	ftl_kv some;

	if (ftl_dim_lo(st_of(lo), dim) > 0 || ftl_u_is(lo, count, 0))
		return;
	some = ftl_k2(b, FTL_K_lt, ftl_k_i64(b, 0), ftl_lo_dim(lo, dim));
	ftl_k_check(b, ftl_k2(b, FTL_K_or, some, ftl_k2(b, FTL_K_eq, ftl_lo_dim(lo, count), ftl_k_i64(b, 0))),
		    ftl_lo_msg(lo, n, "an axis is empty that elements are taken from"));
}

/* Pieces of 32 KiB: big copies use every thread's bandwidth. */
void ftl_u_copy(ftl_lo *lo, ftl_node_id n, ftl_val out, ftl_val v)
{
	enum { BLOCK = 32 << 10 };
	const ftl_type *t = ftl_type_of(ftl_lo_graph(lo), v);
	ftl_symtab *st = st_of(lo);
	ftl_dim bytes = ftl_dim_mul(st, ftl_type_numel(ftl_lo_graph(lo), t),
				    ftl_u_const(lo, (int64_t)ftl_dtype_bytes(t->dtype)));
	ftl_kern *k = ftl_kern_begin(lo, n, "copy");
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv from = ftl_k2(b, FTL_K_mul, ftl_kern_grid(k), ftl_k_i64(b, BLOCK));
	ftl_kv len = ftl_k2(b, FTL_K_min, ftl_k2(b, FTL_K_sub, ftl_kern_dim(k, bytes), from), ftl_k_i64(b, BLOCK));

	ftl_k_copy(b, ftl_k_offset(b, ftl_kern_ptr(k, out), from), ftl_k_offset(b, ftl_kern_ptr(k, v), from), len);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_dim_ceildiv(st, bytes, ftl_u_const(lo, BLOCK))), BLOCK / 8);
}

ftl_kv ftl_u_slice_clamp(ftl_kb *b, ftl_kv at, ftl_kv dim, ftl_kv step)
{
	ftl_kv zero = ftl_k_i64(b, 0), one = ftl_k_i64(b, 1), back = ftl_k2(b, FTL_K_lt, step, zero);
	ftl_kv low = ftl_k_select(b, back, ftl_k_i64(b, -1), zero);
	ftl_kv top = ftl_k_select(b, back, ftl_k2(b, FTL_K_sub, dim, one), dim);

	at = ftl_k_select(b, ftl_k2(b, FTL_K_lt, at, zero), ftl_k2(b, FTL_K_add, at, dim), at);
	return ftl_u_clamp(b, at, low, top);
}

void ftl_u_bind_count(ftl_lo *lo, const ftl_node *n, ftl_dim dim, ftl_kv ptr)
{
	ftl_kb *b = ftl_lo_main(lo);
	ftl_kv count = ftl_k_load(b, FTL_I64, ptr, ftl_k_i64(b, 0), 1);

	if (ftl_dim_get(ftl_lo_graph(lo)->st, dim)->kind == FTL_DIM_SYM && !ftl_lo_bound(lo, dim))
		ftl_lo_bind(lo, dim, count);
	else
		ftl_k_check(b, ftl_k2(b, FTL_K_eq, count, ftl_lo_dim(lo, dim)),
			    ftl_lo_msg(lo, n, "the count differs from the known shape"));
}

/* ---- dims ---- */

bool ftl_u_is(const ftl_lo *lo, ftl_dim d, int64_t v)
{
	int64_t c;

	return ftl_dim_is_const(st_of(lo), d, &c) && c == v;
}

ftl_dim ftl_u_const(const ftl_lo *lo, int64_t v)
{
	return ftl_dim_const(st_of(lo), v);
}

ftl_dim ftl_u_product_mask(const ftl_lo *lo, const ftl_type *t, uint32_t mask)
{
	ftl_dim p = ftl_u_const(lo, 1);

	for (int d = 0; d < t->rank; d++)
		if (mask >> d & 1)
			p = ftl_dim_mul(st_of(lo), p, t->dims[d]);
	return p;
}

ftl_dim ftl_u_product(const ftl_lo *lo, const ftl_type *t, int from, int to)
{
	ftl_dim p = ftl_u_const(lo, 1);

	for (int d = from; d < to; d++)
		p = ftl_dim_mul(st_of(lo), p, t->dims[d]);
	return p;
}

int64_t ftl_u_cost(const ftl_lo *lo, ftl_dim d, int64_t per)
{
	int64_t n = 256, r;

	ftl_dim_is_const(st_of(lo), d, &n);
	return __builtin_mul_overflow(n, per, &r) || r < 1 ? per : r;
}

ftl_kv ftl_u_call(ftl_kb *b, ftl_string_call fn, ftl_kv x, ftl_kv y, ftl_kv z)
{
	ftl_kv in[3] = {x, y, z}, out = 0;
	int lanes = 1;

	for (int k = 0; k < 3; k++)
		if (in[k] && ftl_ktype_of(b->f, in[k]).lanes > lanes)
			lanes = ftl_ktype_of(b->f, in[k]).lanes;
	if (lanes == 1)
		return ftl_k_call(b, fn, x, y, z);
	for (int l = 0; l < lanes; l++) {
		ftl_kv a[3] = {0}, r;

		for (int k = 0; k < 3; k++)
			if (in[k])
				a[k] = ftl_ktype_of(b->f, in[k]).lanes > 1 ? ftl_k_extract(b, in[k], l) : in[k];
		r = ftl_k_call(b, fn, a[0], a[1], a[2]);
		out = l == 0 ? ftl_k_splat(b, r, lanes) : ftl_k_insert(b, out, r, l);
	}
	return out;
}
