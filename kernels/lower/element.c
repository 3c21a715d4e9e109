/* Elements: reading a value at an index wherever it lives, evaluating fused producers, storing with the
 * fused epilogue, and the loop nests that drive MAP and POINT definitions.
 *
 * An index is one i64 per dim, the last one possibly with lanes. In an elementwise kernel neighbouring dims that every
 * operand walks alike are merged (ftl_collapse), so most such kernels are one flat loop. */
#include "kernels/lower/driver.h"

#include <assert.h>

static bool dim_is_one(const ftl_lo *lo, ftl_dim d)
{
	int64_t v;

	return ftl_dim_is_const(lo->g->st, d, &v) && v == 1;
}

/* ---- reading ---- */

static ftl_kv load_at(ftl_kern *k, ftl_val v, ftl_kv linear, int lanes)
{
	ftl_dtype mem = ftl_dtype_mem(ftl_type_of(k->lo->g, v)->dtype);
	ftl_kv ptr = ftl_kern_ptr(k, v), x;

	if (k->mask && (lanes > 1 || ftl_ktype_of(k->f, linear).lanes > 1)) {
		const ftl_kinst *i = ftl_kinst_get(k->f, linear);
		int n = lanes > 1 ? lanes : i->type.lanes;
		int64_t stride;

		if (lanes > 1) {
			x = ftl_k_loadn(&k->b, mem, ptr, linear, k->mask, n);
		} else if (i->op == FTL_K_ramp && ftl_k_is_const(&k->b, i->a[1], &stride) && stride == 1) {
			x = ftl_k_loadn(&k->b, mem, ptr, i->a[0], k->mask, n);
		} else {
			/* lanes past the end read what lane 0 reads */
			ftl_kv lane = ftl_k_ramp(&k->b, ftl_k_i64(&k->b, 0), ftl_k_i64(&k->b, 1), n);
			ftl_kv in = ftl_k2(&k->b, FTL_K_lt, lane, ftl_k_splat(&k->b, k->mask, n));
			ftl_kv first = ftl_k_extract(&k->b, linear, 0);

			x = ftl_k_load(&k->b, mem, ptr, ftl_k_select(&k->b, in, linear, ftl_k_splat(&k->b, first, n)),
				       1);
		}
	} else {
		x = ftl_k_load(&k->b, mem, ptr, linear, lanes);
	}
	return ftl_k_cast(&k->b, x, ftl_dtype_compute(mem));
}

ftl_kv ftl_linear(ftl_kern *k, ftl_val v, const ftl_kv *idx)
{
	const ftl_type *t = ftl_type_of(k->lo->g, v);
	ftl_kv lin = ftl_k_i64(&k->b, 0);

	for (int d = 0; d < t->rank; d++) {
		lin = ftl_k2(&k->b, FTL_K_mul, lin, ftl_kern_dim(k, t->dims[d]));
		lin = ftl_k2(&k->b, FTL_K_add, lin, idx[d]);
	}
	return lin;
}

void ftl_delinear(ftl_kern *k, const ftl_dim *dims, int rank, ftl_kv linear, ftl_kv *out_idx)
{
	for (int d = rank - 1; d >= 0; d--) {
		ftl_kv size;

		if (dim_is_one(k->lo, dims[d])) {
			out_idx[d] = ftl_k_i64(&k->b, 0);
			continue;
		}
		if (d == 0) {
			out_idx[0] = linear;
			break;
		}
		size = ftl_kern_dim(k, dims[d]);
		out_idx[d] = ftl_k2(&k->b, FTL_K_rem, linear, size);
		linear = ftl_k2(&k->b, FTL_K_div, linear, size);
	}
}

ftl_kv ftl_read_flat(ftl_kern *k, ftl_val v, ftl_kv linear, int lanes)
{
	return load_at(k, v, linear, lanes);
}

/* Index of an operand of a broadcasting op from the index of its result. */
static void broadcast_index(ftl_kern *k, const ftl_type *out, const ftl_type *in, const ftl_kv *idx, ftl_kv *in_idx)
{
	for (int d = 0; d < in->rank; d++) {
		int o = d + out->rank - in->rank;

		if (in->dims[d] == out->dims[o]) {
			in_idx[d] = idx[o];
		} else if (dim_is_one(k->lo, in->dims[d])) {
			in_idx[d] = ftl_k_i64(&k->b, 0);
		} else if (ftl_dim_known_eq(k->lo->g->st, in->dims[d], out->dims[o]) == 1) {
			in_idx[d] = idx[o];
		} else {
			/* known at run time only: a dim of 1 is walked with stride 0 */
			ftl_kv one = ftl_k2(&k->b, FTL_K_eq, ftl_kern_dim(k, in->dims[d]), ftl_k_i64(&k->b, 1));
			ftl_kv step = ftl_k_select(&k->b, one, ftl_k_i64(&k->b, 0), ftl_k_i64(&k->b, 1));

			in_idx[d] = ftl_k2(&k->b, FTL_K_mul, idx[o], step);
		}
	}
}

ftl_kv ftl_eval(ftl_kern *k, ftl_val v, const ftl_kv *idx)
{
	const ftl_graph *g = k->lo->g;
	const ftl_node *n = ftl_node_get(g, ftl_value_get(g, v)->def);
	const ftl_lower_info *low = ftl_lower_get(n->op);
	ftl_kv x[4], in_idx[FTL_MAX_RANK];

	if (low->kind == FTL_LOWER_POINT)
		return low->point(k, n, idx);
	assert(low->kind == FTL_LOWER_MAP && n->nin <= FTL_COUNT(x));
	for (uint32_t i = 0; i < n->nin; i++) {
		x[i] = 0;
		if (!n->in[i])
			continue;
		if (k->collapse) {
			x[i] = ftl_read(k, n->in[i], idx);
		} else {
			broadcast_index(k, ftl_type_of(g, v), ftl_type_of(g, n->in[i]), idx, in_idx);
			x[i] = ftl_read(k, n->in[i], in_idx);
		}
	}
	return low->map(k, n, x);
}

ftl_kv ftl_read(ftl_kern *k, ftl_val v, const ftl_kv *idx)
{
	for (uint32_t i = 0; i < k->over.n; i++)
		if (k->over.v[i].v == v)
			return k->over.v[i].x;
	if (k->lo->val[v].how == FTL_HOW_INLINE)
		return ftl_eval(k, v, idx);
	if (k->collapse) {
		const ftl_collapse *c = k->collapse;
		ftl_kv lin = ftl_k_i64(&k->b, 0);

		for (uint32_t i = 0; i < c->leaf.n; i++) {
			if (c->leaf.v[i].v != v)
				continue;
			for (int j = 0; j < c->n; j++)
				lin = ftl_k2(&k->b, FTL_K_add, lin,
					     ftl_k2(&k->b, FTL_K_mul, idx[j], c->leaf.v[i].stride[j]));
			return load_at(k, v, lin, 1);
		}
		assert(!"leaf of an elementwise kernel was not planned");
	}
	return load_at(k, v, ftl_linear(k, v, idx), 1);
}

/* ---- writing ---- */

static ftl_kv collapsed_linear(ftl_kern *k, const ftl_kv *idx);

bool ftl_kern_plain(const ftl_kern *k, ftl_val v)
{
	return k->lo->val[v].how == FTL_HOW_MEMORY;
}

void ftl_write(ftl_kern *k, ftl_val v, const ftl_kv *idx, ftl_kv x)
{
	const ftl_graph *g = k->lo->g;
	ftl_dtype mem = ftl_dtype_mem(ftl_type_of(g, v)->dtype);
	ftl_kv lin, ptr, moved[FTL_MAX_RANK + 1];

	/* f16 values keep their storage precision between fused ops: fusing must not change results */
	x = ftl_k_cast(&k->b, x, mem);
	while (k->lo->val[v].how == FTL_HOW_EPILOGUE) {
		ftl_node_id u = ftl_value_get(g, v)->uses.v[0];
		uint32_t mark = k->over.n;

		if (ftl_node_get(g, u)->op == FTL_OP_transpose) {
			ftl_ints perm = FTL_ATTRS(ftl_node_get(g, u), transpose)->perm;
			ftl_kv from[FTL_MAX_RANK];

			memcpy(from, idx, perm.n * sizeof *idx);
			for (uint32_t i = 0; i < perm.n; i++)
				moved[i] = from[perm.v[i]];
			idx = moved;
			v = ftl_node_get(g, u)->out[0];
			continue;
		}

		ftl_vec_push(k->lo->arena, &k->over,
			     ((__typeof__(*k->over.v)){v, ftl_k_cast(&k->b, x, ftl_dtype_compute(mem))}));
		v = ftl_node_get(g, u)->out[0];
		mem = ftl_dtype_mem(ftl_type_of(g, v)->dtype);
		x = ftl_k_cast(&k->b, ftl_eval(k, v, idx), mem);
		k->over.n = mark;
	}
	lin = k->collapse ? collapsed_linear(k, idx) : ftl_linear(k, v, idx);
	ptr = ftl_kern_ptr(k, v);
	if (k->mask && ftl_ktype_of(k->f, lin).lanes > 1) {
		const ftl_kinst *i = ftl_kinst_get(k->f, lin);
		int lanes = i->type.lanes;
		int64_t stride;

		x = ftl_k_splat(&k->b, x, lanes);
		if (i->op == FTL_K_ramp && ftl_k_is_const(&k->b, i->a[1], &stride) && stride == 1) {
			ftl_k_storen(&k->b, ptr, i->a[0], x, k->mask);
			return;
		}
		for (int l = 0; l < lanes; l++) {
			ftl_kscope s = ftl_k_if(&k->b, ftl_k2(&k->b, FTL_K_lt, ftl_k_i64(&k->b, l), k->mask));

			ftl_k_store(&k->b, ptr, ftl_k_extract(&k->b, lin, l), ftl_k_extract(&k->b, x, l));
			ftl_k_end(&k->b, &s);
		}
	} else {
		int lanes = ftl_ktype_of(k->f, lin).lanes;

		ftl_k_store(&k->b, ptr, lin, lanes > 1 ? ftl_k_splat(&k->b, x, lanes) : x);
	}
}

/* ---- nests ---- */

/* A launch should bring this many elements at least, or handing it out costs more than it does. */
enum { PIECE = 1024 };

/* Loops of one output: pieces over the outer dims, vectors along the last. body stores one element (or lanes). */
struct nest {
	ftl_kern *k;
	const ftl_dim *dims;
	int rank;
	int width;
	int64_t cost; /* per element */
	void *user;
	void (*body)(struct nest *s, const ftl_kv *idx);
};

static ftl_dim product(ftl_symtab *st, const ftl_dim *dims, int n)
{
	ftl_dim p = ftl_dim_const(st, 1);

	for (int i = 0; i < n; i++)
		p = ftl_dim_mul(st, p, dims[i]);
	return p;
}

static void nest_rows(struct nest *s)
{
	ftl_kern *k = s->k;
	ftl_lo *lo = k->lo;
	ftl_symtab *st = lo->g->st;
	ftl_kv idx[FTL_MAX_RANK + 1], grid = ftl_kern_grid(k), lo_i, hi_i;
	ftl_dim last = s->rank ? s->dims[s->rank - 1] : ftl_dim_const(st, 1);
	ftl_dim rows = product(st, s->dims, s->rank ? s->rank - 1 : 0);
	bool flat = s->rank <= 1 || dim_is_one(lo, rows);
	int64_t rows_c, last_c;
	ftl_kv count;

	if (flat) {
		/* one long row: a piece is a block of it */
		ftl_kv n = ftl_kern_dim(k, last);
		ftl_kv block = ftl_k_i64(&k->b, PIECE);

		for (int d = 0; d + 1 < s->rank; d++)
			idx[d] = ftl_k_i64(&k->b, 0);
		if (ftl_dim_is_const(st, last, &last_c) && last_c <= PIECE) {
			lo_i = ftl_k_i64(&k->b, 0);
			hi_i = n;
			count = ftl_k_i64(&lo->main, last_c > 0);
		} else {
			lo_i = ftl_k2(&k->b, FTL_K_mul, grid, block);
			hi_i = ftl_k2(&k->b, FTL_K_min, n, ftl_k2(&k->b, FTL_K_add, lo_i, block));
			count = ftl_lo_dim(lo, ftl_dim_ceildiv(st, last, ftl_dim_const(st, PIECE)));
		}
		for (ftl_vloop l = ftl_vloop_begin(k, lo_i, hi_i, s->width); ftl_vloop_next(&l);) {
			idx[s->rank ? s->rank - 1 : 0] = l.i;
			s->body(s, idx);
		}
		ftl_kern_launch(k, count, s->cost * PIECE);
		return;
	}
	/* short rows: several to a piece */
	{
		int64_t per = 1;
		ftl_kscope scope;
		ftl_kv r;

		if (ftl_dim_is_const(st, last, &last_c) && last_c > 0 && last_c < PIECE)
			per = (PIECE + last_c - 1) / last_c;
		if (ftl_dim_is_const(st, rows, &rows_c) && rows_c > 0 && per > rows_c)
			per = rows_c;
		lo_i = ftl_k2(&k->b, FTL_K_mul, grid, ftl_k_i64(&k->b, per));
		hi_i = ftl_k2(&k->b, FTL_K_add, lo_i, ftl_k_i64(&k->b, per));
		hi_i = ftl_k2(&k->b, FTL_K_min, hi_i, ftl_kern_dim(k, rows));
		scope = ftl_k_for(&k->b, lo_i, hi_i, 1);
		r = scope.index;
		ftl_delinear(k, s->dims, s->rank - 1, r, idx);
		for (ftl_vloop l = ftl_vloop_begin(k, ftl_k_i64(&k->b, 0), ftl_kern_dim(k, last), s->width);
		     ftl_vloop_next(&l);) {
			idx[s->rank - 1] = l.i;
			s->body(s, idx);
		}
		ftl_k_end(&k->b, &scope);
		ftl_kern_launch(k, ftl_lo_dim(lo, ftl_dim_ceildiv(st, rows, ftl_dim_const(st, per))),
				s->cost * per * (ftl_dim_is_const(st, last, &last_c) ? last_c : 256));
	}
}

static void point_body(struct nest *s, const ftl_kv *idx)
{
	ftl_kern *k = s->k;
	struct {
		ftl_point_fn fn;
		ftl_val v;
	} *u = s->user;
	const ftl_node *n = ftl_node_get(k->lo->g, k->node);

	ftl_write(k, u->v, idx, u->fn(k, n, idx));
}

ftl_status ftl_point_nest(ftl_lo *lo, ftl_node_id n, ftl_val v, ftl_point_fn fn, bool vectorize, const char *what)
{
	const ftl_type *t = ftl_type_of(lo->g, v);
	ftl_kern *k = ftl_kern_begin(lo, n, what);
	struct {
		ftl_point_fn fn;
		ftl_val v;
	} u = {fn, v};
	struct nest s = {.k = k, .dims = t->dims, .rank = t->rank, .cost = 8, .user = &u, .body = point_body};

	s.width = vectorize ? ftl_kern_width(k, t->dtype) : 1;
	nest_rows(&s);
	return FTL_OK;
}

/* ---- elementwise kernels ---- */

/* Leaves of the fused expression under v (values in memory), each once. */
static void find_leaves(ftl_lo *lo, ftl_val v, ftl_collapse *c)
{
	const ftl_node *n = ftl_node_get(lo->g, ftl_value_get(lo->g, v)->def);

	for (uint32_t i = 0; i < n->nin; i++) {
		bool seen = false;

		if (!n->in[i])
			continue;
		if (lo->val[n->in[i]].how != FTL_HOW_MEMORY) {
			/* an anchor's own element is in a register, what was fused behind it has operands */
			if (ftl_lower_get(ftl_node_get(lo->g, ftl_value_get(lo->g, n->in[i])->def)->op)->kind ==
			    FTL_LOWER_MAP)
				find_leaves(lo, n->in[i], c);
			continue;
		}
		for (uint32_t j = 0; j < c->leaf.n; j++)
			seen |= c->leaf.v[j].v == n->in[i];
		if (!seen) {
			ftl_vec_push(lo->arena, &c->leaf, ((__typeof__(*c->leaf.v)){n->in[i], {0}}));
		}
	}
}

enum walk { WALK_FULL, WALK_ONE, WALK_UNKNOWN };

/* How leaf t walks dim d of the output. */
static enum walk leaf_walk(const ftl_lo *lo, const ftl_type *out, const ftl_type *t, int d)
{
	int i = d - (out->rank - t->rank);

	if (i < 0 || (dim_is_one(lo, t->dims[i]) && !dim_is_one(lo, out->dims[d])))
		return WALK_ONE;
	if (t->dims[i] == out->dims[d] || ftl_dim_known_eq(lo->g->st, t->dims[i], out->dims[d]) == 1)
		return WALK_FULL;
	return WALK_UNKNOWN;
}

/* Do all leaves walk dims a and b of the output alike? */
static bool walk_alike(const ftl_lo *lo, const ftl_type *out, const ftl_collapse *c, int a, int b)
{
	for (uint32_t i = 0; i < c->leaf.n; i++) {
		const ftl_type *t = ftl_type_of(lo->g, c->leaf.v[i].v);
		enum walk x = leaf_walk(lo, out, t, a);

		if (x == WALK_UNKNOWN || x != leaf_walk(lo, out, t, b))
			return false;
	}
	return true;
}

/* Strides of the leaves per group: the stride of the group's last dim that is not 1. */
static void leaf_strides(ftl_kern *k, const ftl_type *out, ftl_collapse *c)
{
	ftl_lo *lo = k->lo;
	ftl_symtab *st = lo->g->st;
	int r = out->rank;

	for (uint32_t i = 0; i < c->leaf.n; i++) {
		const ftl_type *t = ftl_type_of(lo->g, c->leaf.v[i].v);

		for (int j = 0; j < c->n; j++) {
			int end = c->first[j + 1] - 1, at;
			ftl_dim stride = ftl_dim_const(st, 1);
			ftl_kv one;

			while (end > c->first[j] && dim_is_one(lo, out->dims[end]))
				end--;
			at = end - (r - t->rank);
			for (int d = at + 1; d > 0 && d < t->rank; d++)
				stride = ftl_dim_mul(st, stride, t->dims[d]);
			switch (leaf_walk(lo, out, t, end)) {
			case WALK_ONE: c->leaf.v[i].stride[j] = ftl_k_i64(&k->b, 0); break;
			case WALK_FULL: c->leaf.v[i].stride[j] = ftl_kern_dim(k, stride); break;
			case WALK_UNKNOWN:
				one = ftl_k2(&k->b, FTL_K_eq, ftl_kern_dim(k, t->dims[at]), ftl_k_i64(&k->b, 1));
				c->leaf.v[i].stride[j] = ftl_k_select(&k->b, one, ftl_k_i64(&k->b, 0),
								      ftl_kern_dim(k, stride));
				break;
			}
		}
	}
}

/* As few groups as the leaves allow. */
static void collapse(ftl_kern *k, const ftl_type *out, ftl_collapse *c)
{
	ftl_lo *lo = k->lo;
	int last = -1; /* last dim kept */

	c->n = 0;
	for (int d = 0; d < out->rank; d++) {
		if (dim_is_one(lo, out->dims[d]))
			continue;
		if (last >= 0 && walk_alike(lo, out, c, last, d)) {
			c->size[c->n - 1] = ftl_dim_mul(lo->g->st, c->size[c->n - 1], out->dims[d]);
		} else {
			c->first[c->n] = d;
			c->size[c->n++] = out->dims[d];
		}
		last = d;
	}
	c->first[c->n] = out->rank;
	leaf_strides(k, out, c);
}

bool ftl_kern_collapse(ftl_kern *k, ftl_val v, const int *first, int n)
{
	ftl_lo *lo = k->lo;
	ftl_collapse *c = FTL_NEW(lo->arena, ftl_collapse);
	const ftl_type *out = ftl_type_of(lo->g, v);

	while (lo->val[v].how == FTL_HOW_EPILOGUE)
		v = ftl_node_get(lo->g, ftl_value_get(lo->g, v)->uses.v[0])->out[0];
	if (ftl_lower_get(ftl_node_get(lo->g, ftl_value_get(lo->g, v)->def)->op)->kind == FTL_LOWER_MAP)
		find_leaves(lo, v, c);
	c->n = n;
	for (int j = 0; j < n; j++) {
		int end = j + 1 < n ? first[j + 1] : out->rank, last = -1;

		c->first[j] = first[j];
		c->size[j] = product(lo->g->st, out->dims + first[j], end - first[j]);
		for (int d = first[j]; d < end; d++) {
			if (dim_is_one(lo, out->dims[d]))
				continue;
			if (last >= 0 && !walk_alike(lo, out, c, last, d))
				return false;
			last = d;
		}
	}
	c->first[n] = out->rank;
	leaf_strides(k, out, c);
	k->collapse = c;
	return true;
}

/* Linear index of a value of the collapsed shape. */
static ftl_kv collapsed_linear(ftl_kern *k, const ftl_kv *idx)
{
	ftl_kv lin = ftl_k_i64(&k->b, 0);

	for (int j = 0; j < k->collapse->n; j++) {
		lin = ftl_k2(&k->b, FTL_K_mul, lin, ftl_kern_dim(k, k->collapse->size[j]));
		lin = ftl_k2(&k->b, FTL_K_add, lin, idx[j]);
	}
	return lin;
}

static void map_body(struct nest *s, const ftl_kv *idx)
{
	ftl_kern *k = s->k;
	ftl_val v = ftl_node_get(k->lo->g, k->node)->out[0];
	ftl_kv x = ftl_k_cast(&k->b, ftl_eval(k, v, idx), ftl_dtype_mem(ftl_type_of(k->lo->g, v)->dtype));
	ftl_kv lin = collapsed_linear(k, idx);
	int lanes = ftl_ktype_of(k->f, lin).lanes;

	ftl_k_store(&k->b, ftl_kern_ptr(k, v), lin, lanes > 1 ? ftl_k_splat(&k->b, x, lanes) : x);
}

/* The result may take the place of an operand of its own shape, if no other operand looks at that memory. */
static void offer_in_place(ftl_lo *lo, ftl_val out, const ftl_collapse *c)
{
	const ftl_type *o = ftl_type_of(lo->g, out);
	uint32_t buf = lo->val[ftl_lo_root(lo, out)].buf;

	for (uint32_t i = 0; buf && i < c->leaf.n; i++) {
		const ftl_type *t = ftl_type_of(lo->g, c->leaf.v[i].v);
		ftl_val root = ftl_lo_root(lo, c->leaf.v[i].v);
		bool alone = true;

		if (!lo->val[root].buf || ftl_dtype_bytes(t->dtype) != ftl_dtype_bytes(o->dtype) ||
		    t->rank != o->rank || (o->rank && memcmp(t->dims, o->dims, (size_t)o->rank * sizeof *o->dims)))
			continue;
		for (uint32_t j = 0; j < c->leaf.n; j++)
			alone &= j == i || ftl_lo_root(lo, c->leaf.v[j].v) != root;
		if (alone) {
			lo->m->bufs.v[buf - 1].over = lo->val[root].buf;
			return;
		}
	}
}

ftl_status ftl_map_nest(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const ftl_type *t = ftl_type_of(lo->g, n->out[0]);
	ftl_kern *k = ftl_kern_begin(lo, id, ftl_op_get(n->op)->name);
	ftl_collapse *c = FTL_NEW(lo->arena, ftl_collapse);
	struct nest s = {.k = k, .dims = c->size, .width = ftl_kern_width(k, t->dtype), .cost = 4, .body = map_body};

	find_leaves(lo, n->out[0], c);
	collapse(k, t, c);
	k->collapse = c;
	s.rank = c->n;
	nest_rows(&s);
	offer_in_place(lo, n->out[0], c);
	return FTL_OK;
}

/* Shapes that inference could not prove to fit are compared before the kernel that relies on it runs. */
void ftl_lo_check_broadcast(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const ftl_type *out = n->nout ? ftl_type_of(lo->g, n->out[0]) : NULL;

	for (uint32_t i = 0; i < n->nin; i++) {
		const ftl_type *t;

		if (!n->in[i])
			continue;
		t = ftl_type_of(lo->g, n->in[i]);
		for (int d = out->rank - t->rank; d < out->rank; d++) {
			ftl_dim a = t->dims[d - (out->rank - t->rank)];
			ftl_kb *b = &lo->main;
			ftl_kv x, ok;

			if (leaf_walk(lo, out, t, d) != WALK_UNKNOWN)
				continue;
			x = ftl_lo_dim(lo, a);
			ok = ftl_k2(b, FTL_K_or, ftl_k2(b, FTL_K_eq, x, ftl_k_i64(b, 1)),
				    ftl_k2(b, FTL_K_eq, x, ftl_lo_dim(lo, out->dims[d])));
			ftl_k_check(b, ok, ftl_lo_msg(lo, n, "operand shapes do not fit together"));
		}
		if (lo->val[n->in[i]].how == FTL_HOW_INLINE)
			ftl_lo_check_broadcast(lo, ftl_value_get(lo->g, n->in[i])->def);
	}
}
