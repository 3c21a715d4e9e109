/* See contract.h. */
#include "kernels/lower/contract.h"

#include <assert.h>

int64_t ftl_contract_panel(const ftl_contract *c)
{
	return (int64_t)c->width * c->nv;
}

void ftl_contract_shape(ftl_contract *c)
{
	const ftl_target *t = c->lo->target;
	int64_t m, k;
	bool m_known = ftl_dim_is_const(c->lo->g->st, c->m, &m);
	int size = (int)ftl_dtype_bytes(c->t);

	c->width = t->vector_bytes ? t->vector_bytes / (size < 4 ? 4 : size) : 1;
	if (c->width <= 1) {
		c->width = c->mr = c->nv = 1;
		c->kc = 0;
		c->mc = 1;
		return;
	}
	/* accumulators + one row of B + one element of A fill the register file: 8x3+3+1 of 32, 6x2+2+1 of 16 */
	c->nv = t->vector_regs >= 32 ? 3 : 2;
	c->mr = t->vector_regs >= 32 ? 8 : 6;
	if (m_known && m < c->mr)
		c->mr = m > 0 ? (int)m : 1;
	if (!ftl_dim_is_const(c->lo->g->st, c->k, &k))
		k = 1024;
	/* a panel block of B in half of L2 */
	c->kc = t->l2_bytes / 2 / (ftl_contract_panel(c) * size);
	c->kc -= c->kc % 8;
	if (c->kc >= k)
		c->kc = 0;
	/* a block of rows of A in the other half */
	c->mc = t->l2_bytes / 2 / (size * (c->kc ? c->kc : k > 0 ? k : 1));
	if (c->mc > 128)
		c->mc = 128;
	c->mc = c->mc < c->mr ? c->mr : c->mc - c->mc % c->mr;
}

/* Ops that cost no more in registers than a round trip through L1. */
static bool cheap(ftl_op op)
{
	return ftl_op_has(op, FTL_CHEAP);
}

static bool cheap_operands(const ftl_lo *lo, const ftl_node *n)
{
	for (uint32_t i = 0; i < n->nin; i++) {
		if (!n->in[i] || lo->val[n->in[i]].how != FTL_HOW_INLINE)
			continue;
		n = ftl_node_get(lo->g, ftl_value_get(lo->g, n->in[i])->def);
		return cheap(n->op) && n->nin == 1; /* one small conversion is fine, an expression is not */
	}
	return true;
}

/* The value the kernel stores in the end, and whether the way there is cheap. */
static ftl_val chain_end(const ftl_lo *lo, ftl_val v, bool *out_cheap)
{
	int n = 0;

	*out_cheap = true;
	for (; lo->val[v].how == FTL_HOW_EPILOGUE; n++) {
		const ftl_node *u = ftl_node_get(lo->g, ftl_value_get(lo->g, v)->uses.v[0]);

		*out_cheap &= n < 3 && cheap(u->op) && cheap_operands(lo, u);
		v = u->out[0];
	}
	return v;
}

struct columns {
	ftl_kv n0;       /* first column */
	int nv;          /* vectors in use */
	ftl_kv count[8]; /* per vector: lanes in use; 0 = all */
};

struct tile {
	ftl_contract *c;
	ftl_kv batch, m0;
	int rows;
	const struct columns *col;
	ftl_kv k0, k1;      /* block of k */
	ftl_kv first, last; /* is this the first / last block of k; 0 = there is only one */
	bool direct;        /* epilogue from registers */
};

/* Where partial sums of (row, vector) lie: row-major like the result, linear over its own shape. */
static ftl_kv sum_index(const struct tile *t, ftl_kv m, int v)
{
	ftl_contract *c = t->c;
	ftl_kb *b = &c->kern->b;
	ftl_kv row = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, t->batch, ftl_kern_dim(c->kern, c->m)), m);
	ftl_kv at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, row, ftl_kern_dim(c->kern, c->n)), t->col->n0);

	return ftl_k2(b, FTL_K_add, at, ftl_k_i64(b, (int64_t)v * c->width));
}

static ftl_kv load_sum(const struct tile *t, ftl_kv m, int v)
{
	ftl_contract *c = t->c;
	ftl_kb *b = &c->kern->b;
	ftl_kv ptr = ftl_kern_arg(c->kern, c->sums), at = sum_index(t, m, v);

	if (t->col->count[v])
		return ftl_k_loadn(b, c->t, ptr, at, t->col->count[v], c->width);
	return ftl_k_load(b, c->t, ptr, at, c->width);
}

static void store_sum(const struct tile *t, ftl_kv m, int v, ftl_kv x)
{
	ftl_contract *c = t->c;
	ftl_kb *b = &c->kern->b;
	ftl_kv ptr = ftl_kern_arg(c->kern, c->sums), at = sum_index(t, m, v);

	if (t->col->count[v])
		ftl_k_storen(b, ptr, at, x, t->col->count[v]);
	else
		ftl_k_store(b, ptr, at, x);
}

static void finish(const struct tile *t, ftl_kv m, int v, ftl_kv x)
{
	ftl_contract *c = t->c;
	ftl_kb *b = &c->kern->b;
	ftl_kv idx[FTL_MAX_RANK + 1];
	ftl_kv n = ftl_k2(b, FTL_K_add, t->col->n0, ftl_k_i64(b, (int64_t)v * c->width));

	if (c->alpha != 1.0)
		x = ftl_k2(b, FTL_K_mul, x, ftl_k_num(b, ftl_ktype_of(c->kern->f, x), c->alpha));
	if (c->width > 1)
		n = ftl_k_ramp(b, n, ftl_k_i64(b, 1), c->width);
	if (c->into) {
		store_sum(t, m, v, x);
		return;
	}
	if (c->post)
		x = c->post(c, t->batch, m, x);
	c->index(c, t->batch, m, n, idx);
	c->kern->mask = t->col->count[v];
	ftl_write(c->kern, c->out, idx, x);
	c->kern->mask = 0;
}

static void run_tile(const struct tile *t)
{
	ftl_contract *c = t->c;
	ftl_kb *b = &c->kern->b;
	ftl_ktype vec = FTL_KT(c->t, c->width);
	ftl_kv acc[16][8], row[16], base, stride, b_ptr = ftl_kern_arg(c->kern, c->b_ptr);
	ftl_kscope ks, is;

	assert(t->rows <= 16 && t->col->nv <= 8);
	for (int i = 0; i < t->rows; i++) {
		row[i] = c->a_row(c, t->batch, ftl_k2(b, FTL_K_add, t->m0, ftl_k_i64(b, i)));
		for (int v = 0; v < t->col->nv; v++)
			acc[i][v] = ftl_k_var(b, ftl_k_num(b, vec, 0));
	}
	if (t->first) {
		is = ftl_k_if(b, ftl_k1(b, FTL_K_not, t->first));
		for (int i = 0; i < t->rows; i++)
			for (int v = 0; v < t->col->nv; v++)
				ftl_k_set(b, acc[i][v], load_sum(t, ftl_k2(b, FTL_K_add, t->m0, ftl_k_i64(b, i)), v));
		ftl_k_end(b, &is);
	}
	c->b_base(c, t->batch, t->col->n0, &base, &stride);
	ks = ftl_k_for(b, t->k0, t->k1, 1);
	{
		ftl_kv bv[8], at = ftl_k2(b, FTL_K_add, base, ftl_k2(b, FTL_K_mul, ks.index, stride));

		for (int v = 0; v < t->col->nv; v++) {
			ftl_kv j = ftl_k2(b, FTL_K_add, at, ftl_k_i64(b, (int64_t)v * c->width));

			if (t->col->count[v] && !c->packed)
				bv[v] = ftl_k_loadn(b, c->b_mem, b_ptr, j, t->col->count[v], c->width);
			else
				bv[v] = ftl_k_load(b, c->b_mem, b_ptr, j, c->width);
			bv[v] = ftl_k_cast(b, bv[v], c->t);
		}
		for (int i = 0; i < t->rows; i++) {
			ftl_kv a = ftl_k_splat(b, c->a_elem(c, row[i], ks.index), c->width);

			for (int v = 0; v < t->col->nv; v++)
				ftl_k_set(b, acc[i][v], ftl_k_fma(b, a, bv[v], ftl_k_get(b, acc[i][v])));
		}
	}
	ftl_k_end(b, &ks);
	for (int i = 0; i < t->rows; i++) {
		ftl_kv m = ftl_k2(b, FTL_K_add, t->m0, ftl_k_i64(b, i));

		for (int v = 0; v < t->col->nv; v++) {
			if (t->direct)
				finish(t, m, v, ftl_k_get(b, acc[i][v]));
			else
				store_sum(t, m, v, ftl_k_get(b, acc[i][v]));
		}
	}
	if (t->direct)
		return;
	if (t->last)
		is = ftl_k_if(b, t->last);
	ks = ftl_k_for(b, t->m0, ftl_k2(b, FTL_K_add, t->m0, ftl_k_i64(b, t->rows)), 1);
	for (int v = 0; v < t->col->nv; v++)
		finish(t, ks.index, v, load_sum(t, ks.index, v));
	ftl_k_end(b, &ks);
	if (t->last)
		ftl_k_end(b, &is);
}

/* All rows of [m0, m1) in tiles; what mr does not divide in smaller tiles. */
static void run_rows(struct tile t, ftl_kv m0, ftl_kv m1)
{
	ftl_contract *c = t.c;
	ftl_kb *b = &c->kern->b;
	ftl_kv len = ftl_k2(b, FTL_K_sub, m1, m0);
	ftl_kv rest = ftl_k2(b, FTL_K_rem, len, ftl_k_i64(b, c->mr));
	ftl_kv mid = ftl_k2(b, FTL_K_sub, m1, rest);
	int64_t m, tail = -1;
	ftl_kscope s;

	if (ftl_dim_is_const(c->lo->g->st, c->m, &m))
		tail = m % c->mr; /* blocks are multiples of mr: only the last block has a tail, always of this size */
	s = ftl_k_for(b, m0, mid, c->mr);
	t.m0 = s.index;
	t.rows = c->mr;
	run_tile(&t);
	ftl_k_end(b, &s);
	if (tail > 0) {
		s = ftl_k_if(b, ftl_k2(b, FTL_K_lt, mid, m1));
		t.m0 = mid;
		t.rows = (int)tail;
		run_tile(&t);
		ftl_k_end(b, &s);
	} else if (tail < 0) {
		for (int r = 8; r; r /= 2) {
			if (r >= c->mr)
				continue;
			s = ftl_k_if(b,
				     ftl_k2(b, FTL_K_ne, ftl_k2(b, FTL_K_and, rest, ftl_k_i64(b, r)), ftl_k_i64(b, 0)));
			/* larger powers of two come first: what lies before this part of the rest */
			t.m0 = ftl_k2(b, FTL_K_add, mid,
				      ftl_k2(b, FTL_K_and, rest, ftl_k_i64(b, ~(int64_t)(2 * r - 1))));
			t.rows = r;
			run_tile(&t);
			ftl_k_end(b, &s);
		}
	}
}

static void run_columns(struct tile t, ftl_kv m0, ftl_kv m1, ftl_kv n0)
{
	ftl_contract *c = t.c;
	ftl_kb *b = &c->kern->b;
	int64_t panel = ftl_contract_panel(c), n;
	struct columns full = {.n0 = n0, .nv = c->nv}, part = full;
	ftl_kv left = ftl_k2(b, FTL_K_sub, ftl_kern_dim(c->kern, c->n), n0);
	ftl_kscope s;
	bool known = ftl_dim_is_const(c->lo->g->st, c->n, &n);

	if (known && n % panel == 0) {
		t.col = &full;
		run_rows(t, m0, m1);
		return;
	}
	if (known) {
		int64_t rest = n % panel;

		part.nv = (int)((rest + c->width - 1) / c->width);
		if (rest % c->width)
			part.count[part.nv - 1] = ftl_k_i64(b, rest % c->width);
	} else {
		for (int v = 0; v < c->nv; v++) {
			ftl_kv x = ftl_k2(b, FTL_K_sub, left, ftl_k_i64(b, (int64_t)v * c->width));

			x = ftl_k2(b, FTL_K_max, x, ftl_k_i64(b, 0));
			part.count[v] = ftl_k2(b, FTL_K_min, x, ftl_k_i64(b, c->width));
		}
	}
	if (known && n < panel) {
		t.col = &part;
		run_rows(t, m0, m1);
		return;
	}
	s = ftl_k_if(b, ftl_k2(b, FTL_K_le, ftl_k_i64(b, panel), left));
	t.col = &full;
	run_rows(t, m0, m1);
	ftl_k_else(b, &s);
	t.col = &part;
	run_rows(t, m0, m1);
	ftl_k_end(b, &s);
}

ftl_status ftl_contract_emit(ftl_contract *c)
{
	ftl_lo *lo = c->lo;
	ftl_symtab *st = lo->g->st;
	ftl_kern *k = ftl_kern_begin(lo, c->node, ftl_op_get(ftl_node_get(lo->g, c->node)->op)->name);
	ftl_kb *b = &k->b;
	struct tile t = {.c = c};
	ftl_dim panels = ftl_dim_ceildiv(st, c->n, ftl_dim_const(st, ftl_contract_panel(c)));
	ftl_dim blocks = ftl_dim_ceildiv(st, c->m, ftl_dim_const(st, c->mc));
	ftl_dim count = ftl_dim_mul(st, ftl_dim_mul(st, panels, blocks), c->batch);
	ftl_kv g, p, mb, m0, m1, np = ftl_kern_dim(k, panels), nb = ftl_kern_dim(k, blocks),
				 kdim = ftl_kern_dim(k, c->k);
	bool light = true;
	ftl_val end = c->into ? 0 : chain_end(lo, c->out, &light);
	int64_t kk, cost;

	c->kern = k;
	if (c->begin)
		c->begin(c);
	g = ftl_kern_grid(k);
	p = ftl_k2(b, FTL_K_rem, g, np);
	g = ftl_k2(b, FTL_K_div, g, np);
	mb = ftl_k2(b, FTL_K_rem, g, nb);
	t.batch = ftl_k2(b, FTL_K_div, g, nb);
	m0 = ftl_k2(b, FTL_K_mul, mb, ftl_k_i64(b, c->mc));
	m1 = ftl_k2(b, FTL_K_min, ftl_kern_dim(k, c->m), ftl_k2(b, FTL_K_add, m0, ftl_k_i64(b, c->mc)));
	p = ftl_k2(b, FTL_K_mul, p, ftl_k_i64(b, ftl_contract_panel(c)));
	t.direct = !c->kc && (light || c->width == 1);
	if (c->into) {
		c->sums = c->into;
	} else if (!t.direct) {
		/* sums wait in the result's memory if that has room for their type */
		if (ftl_type_of(lo->g, end)->dtype == c->t)
			c->sums = ftl_lo_ptr(lo, end);
		else
			c->sums = ftl_lo_temp(lo,
					      ftl_dim_mul(st, ftl_dim_mul(st, ftl_dim_mul(st, c->m, c->n), c->batch),
							  ftl_dim_const(st, (int64_t)ftl_dtype_bytes(c->t))));
	}
	t.k0 = ftl_k_i64(b, 0);
	t.k1 = kdim;
	if (c->kc) {
		/* an empty k still has one block: zeros must be written */
		ftl_kscope s = ftl_k_for(b, t.k0, ftl_k2(b, FTL_K_max, kdim, ftl_k_i64(b, 1)), c->kc);

		t.k0 = s.index;
		t.k1 = ftl_k2(b, FTL_K_min, kdim, ftl_k2(b, FTL_K_add, s.index, ftl_k_i64(b, c->kc)));
		t.first = ftl_k2(b, FTL_K_eq, s.index, ftl_k_i64(b, 0));
		t.last = ftl_k2(b, FTL_K_eq, t.k1, kdim);
		run_columns(t, m0, m1, p);
		ftl_k_end(b, &s);
	} else {
		run_columns(t, m0, m1, p);
	}
	if (!ftl_dim_is_const(st, c->k, &kk))
		kk = 512;
	cost = c->mc * c->nv * (kk / 2 + 1);
	ftl_kern_launch(k, ftl_lo_dim(lo, count), cost);
	return FTL_OK;
}
