/* matmul: numpy's matmul with transpose flags, on top of the contraction generator.
 *
 * The batch of a is folded into its rows when b has none, which is every linear layer. Three ways to hand over b:
 * a constant is packed into panels now; a computed b is packed by a kernel when enough rows will read the panels; with few
 * rows (decode) it is read where it lies, row-major b by vectors of columns, transposed b by dot products along k. */
#include <assert.h>
#include <stdlib.h>

#include "base/file.h"
#include "kernels/lower/contract.h"

/* From this many rows on packing b pays for itself. */
enum { PACK_ROWS = 6 };

struct mm {
	ftl_contract c; /* first: callbacks get at the rest */
	ftl_val a, b;
	bool a_vec, b_vec; /* 1-D operands */
	bool trans_a, trans_b;
	bool folded;    /* a's batch dims are rows */
	int nbatch;     /* out batch dims */
	ftl_dim am, ak; /* a's own matrix: rows and columns before transposing */
	ftl_dim ka, kb; /* the inner dim as each operand has it */
	int64_t panel_rows;
	int64_t panel; /* columns of packed panels: the tile's, or a multiple of them */
};

static const ftl_type *type_of(const struct mm *p, ftl_val v)
{
	return ftl_type_of(p->c.lo->g, v);
}

/* Linear batch index of operand v (with rank - 2 batch dims) for product `batch` of the output. */
static ftl_kv batch_of(struct mm *p, ftl_kern *k, ftl_val v, ftl_kv batch)
{
	const ftl_type *t = type_of(p, v), *o = type_of(p, p->c.out);
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv idx[FTL_MAX_RANK], lin = ftl_k_i64(b, 0);
	int nb = t->rank > 2 ? t->rank - 2 : 0;
	bool same = nb == p->nbatch;
	int64_t one;

	for (int d = 0; same && d < nb; d++)
		same = t->dims[d] == o->dims[d];
	if (same)
		return batch; /* also the case of no batch at all */
	ftl_delinear(k, o->dims, p->nbatch, batch, idx);
	for (int d = 0; d < nb; d++) {
		int od = d + p->nbatch - nb;
		ftl_kv i = idx[od], size = ftl_kern_dim(k, t->dims[d]);

		if (ftl_dim_is_const(p->c.lo->g->st, t->dims[d], &one) && one == 1)
			continue;
		if (t->dims[d] != o->dims[od])
			i = ftl_k_select(b, ftl_k2(b, FTL_K_eq, size, ftl_k_i64(b, 1)), ftl_k_i64(b, 0), i);
		lin = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, lin, size), i);
	}
	return lin;
}

static ftl_kv matrix_start(struct mm *p, ftl_kern *k, ftl_val v, ftl_kv batch, ftl_dim rows, ftl_dim cols)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv size = ftl_k2(b, FTL_K_mul, ftl_kern_dim(k, rows), ftl_kern_dim(k, cols));

	return ftl_k2(b, FTL_K_mul, batch_of(p, k, v, batch), size);
}

/* ---- callbacks ---- */

static ftl_kv a_row(ftl_contract *c, ftl_kv batch, ftl_kv m)
{
	struct mm *p = (struct mm *)c;
	ftl_kb *b = &c->kern->b;
	ftl_kv start = p->folded ? ftl_k_i64(b, 0) : matrix_start(p, c->kern, p->a, batch, p->am, p->ak);

	return ftl_k2(b, FTL_K_add, start, p->trans_a ? m : ftl_k2(b, FTL_K_mul, m, ftl_kern_dim(c->kern, c->k)));
}

static ftl_kv a_elem(ftl_contract *c, ftl_kv row, ftl_kv k)
{
	struct mm *p = (struct mm *)c;
	ftl_kb *b = &c->kern->b;

	if (p->trans_a)
		k = ftl_k2(b, FTL_K_mul, k, ftl_kern_dim(c->kern, c->m));
	return ftl_k_cast(b, ftl_read_flat(c->kern, p->a, ftl_k2(b, FTL_K_add, row, k), 1), c->t);
}

/* packed: [batch of b][panel][k][panel columns]; n is the first column of a tile's panel, which may be part of a wider one */
static void b_packed(ftl_contract *c, ftl_kv batch, ftl_kv n, ftl_kv *index, ftl_kv *stride)
{
	struct mm *p = (struct mm *)c;
	ftl_kb *b = &c->kern->b;
	int64_t panel = p->panel;
	ftl_symtab *st = c->lo->g->st;
	ftl_dim cols = ftl_dim_mul(st, ftl_dim_ceildiv(st, c->n, ftl_dim_const(st, panel)), ftl_dim_const(st, panel));
	ftl_kv size = ftl_k2(b, FTL_K_mul, ftl_kern_dim(c->kern, cols), ftl_kern_dim(c->kern, c->k));
	ftl_kv start = p->folded || p->b_vec ? ftl_k_i64(b, 0)
					     : ftl_k2(b, FTL_K_mul, batch_of(p, c->kern, p->b, batch), size);

	if (panel != ftl_contract_panel(c)) {
		ftl_kv within = ftl_k2(b, FTL_K_rem, n, ftl_k_i64(b, panel));

		n = ftl_k2(b, FTL_K_sub, n, within);
		start = ftl_k2(b, FTL_K_add, start, within);
	}
	*index = ftl_k2(b, FTL_K_add, start, ftl_k2(b, FTL_K_mul, n, ftl_kern_dim(c->kern, c->k)));
	*stride = ftl_k_i64(b, panel);
}

static void b_direct(ftl_contract *c, ftl_kv batch, ftl_kv n, ftl_kv *index, ftl_kv *stride)
{
	struct mm *p = (struct mm *)c;
	ftl_kb *b = &c->kern->b;
	ftl_kv start = p->folded ? ftl_k_i64(b, 0) : matrix_start(p, c->kern, p->b, batch, c->k, c->n);

	*index = ftl_k2(b, FTL_K_add, start, n);
	*stride = ftl_kern_dim(c->kern, c->n);
}

static void out_index(ftl_contract *c, ftl_kv batch, ftl_kv m, ftl_kv n, ftl_kv *idx)
{
	struct mm *p = (struct mm *)c;
	const ftl_type *o = type_of(p, c->out);
	int r = o->rank;

	if (!p->b_vec)
		idx[--r] = n;
	if (p->folded) {
		ftl_delinear(c->kern, o->dims, r, m, idx);
		return;
	}
	if (!p->a_vec)
		idx[--r] = m;
	ftl_delinear(c->kern, o->dims, r, batch, idx);
}

/* ---- packing ---- */

static void free_packed(void *p)
{
	free(p);
}

/* b[k][n] (or [n][k]) to panels, in the compute type. Weights layout, done once at compile time.
 * f32 in, f32 out is the common case and goes by plain copies. */
static void pack_matrix(const ftl_blob *blob, ftl_dtype t, ftl_dtype to, size_t at, int64_t k, int64_t n, bool trans,
			int64_t panel, uint8_t *out)
{
	size_t size = ftl_dtype_bytes(t), osize = ftl_dtype_bytes(to);
	const uint8_t *src = (const uint8_t *)blob->data + at * size;

	for (int64_t n0 = 0; n0 < n; n0 += panel) {
		int64_t cols = n - n0 < panel ? n - n0 : panel;

		for (int64_t i = 0; i < k; i++, out += (size_t)panel * osize) {
			if (t == to && !trans) {
				memcpy(out, src + (size_t)(i * n + n0) * size, (size_t)cols * size);
				continue;
			}
			for (int64_t j = 0; j < cols; j++) {
				size_t from = (size_t)(trans ? (n0 + j) * k + i : i * n + n0 + j);

				if (t == to && size == 4)
					memcpy(out + 4 * j, src + 4 * from, 4);
				else
					ftl_elem_set(to, out, (size_t)j, ftl_elem_get(t, src, from));
			}
		}
	}
}

/* Columns of a constant's panels: what the caller of ftl_lower wants for several targets, if the tile's divide it. */
static int64_t constant_panel(const ftl_contract *c)
{
	int64_t own = ftl_contract_panel(c), size = (int64_t)ftl_dtype_bytes(c->t), wide;

	wide = c->lo->panel_bytes / (size < 4 ? 4 : size);
	return wide > own && wide % own == 0 ? wide : own;
}

static ftl_status pack_constant(struct mm *p, const ftl_blob *blob, ftl_kv *out)
{
	ftl_contract *c = &p->c;
	ftl_lo *lo = c->lo;
	const ftl_type *t = type_of(p, p->b);
	int64_t k, n, panel = p->panel = constant_panel(c), batch = 1, d, per, cols;
	ftl_blob *packed = FTL_NEW(lo->arena, ftl_blob);
	size_t osize = ftl_dtype_bytes(c->t), bytes;
	uint8_t *mem;
	const ftl_blob *known;
	uint64_t key[6];

	if (!ftl_dim_is_const(lo->g->st, c->k, &k) || !ftl_dim_is_const(lo->g->st, c->n, &n))
		return ftl_lo_fail(lo, c->node, "constant operand of unknown shape");
	for (int i = 0; i + 2 < t->rank; i++) {
		ftl_dim_is_const(lo->g->st, t->dims[i], &d);
		batch *= d;
	}
	cols = (n + panel - 1) / panel * panel;
	per = cols * k;
	key[0] = (uint64_t)(uintptr_t)blob->data;
	key[1] = (uint64_t)k;
	key[2] = (uint64_t)n;
	key[3] = (uint64_t)panel;
	key[4] = (uint64_t)p->trans_b;
	key[5] = (uint64_t)t->dtype * 64 + c->t;
	known = ftl_lo_packed(lo, key, NULL);
	if (known) {
		*out = ftl_k_blob(&lo->main, ftl_kmodule_blob(lo->m, known));
		return FTL_OK;
	}
	bytes = (size_t)(per * batch) * osize;
	mem = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
	if (bytes && !mem)
		return ftl_fail(lo->diag, FTL_ERR_MEMORY, "out of memory while packing %zu bytes of weights", bytes);
	if (mem && (cols != n || bytes % 64))
		memset(mem, 0, (bytes + 63) / 64 * 64);
	/* the packed bytes are a function of the source's content and the key; its pages are read for the last time below */
	packed->hash = ftl_hash(key + 1, sizeof key - sizeof *key, ftl_blob_hash(blob)) | 1;
	for (int64_t i = 0; mem && i < batch; i++)
		pack_matrix(blob, t->dtype, c->t, (size_t)(i * k * n), k, n, p->trans_b, panel,
			    mem + (size_t)(i * per) * osize);
	if (mem)
		ftl_arena_defer(lo->arena, free_packed, mem);
	if (blob->mapped)
		ftl_file_forget(blob->data, blob->bytes);
	packed->data = mem;
	packed->bytes = bytes;
	packed->name = blob->name;
	ftl_lo_packed(lo, key, packed);
	*out = ftl_k_blob(&lo->main, ftl_kmodule_blob(lo->m, packed));
	return FTL_OK;
}

/* The same layout for a computed b: one piece per panel. */
static ftl_kv pack_computed(struct mm *p)
{
	ftl_contract *c = &p->c;
	ftl_lo *lo = c->lo;
	ftl_symtab *st = lo->g->st;
	const ftl_type *t = type_of(p, p->b);
	int64_t panel = ftl_contract_panel(c);
	ftl_dim batch = ftl_dim_const(st, 1), panels = ftl_dim_ceildiv(st, c->n, ftl_dim_const(st, panel));
	ftl_dim words;
	ftl_kern *k = ftl_kern_begin(lo, c->node, "pack");
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv g = ftl_kern_grid(k), np = ftl_kern_dim(k, panels), kk = ftl_kern_dim(k, c->k),
	       nn = ftl_kern_dim(k, c->n);
	ftl_kv mat, n0, left, from, to, dst, ptr;
	ftl_kscope s, r;

	for (int d = 0; d + 2 < t->rank; d++)
		batch = ftl_dim_mul(st, batch, t->dims[d]);
	words = ftl_dim_mul(st, ftl_dim_mul(st, ftl_dim_mul(st, batch, panels), c->k), ftl_dim_const(st, panel));
	dst = ftl_lo_temp(lo, ftl_dim_mul(st, words, ftl_dim_const(st, (int64_t)ftl_dtype_bytes(c->t))));
	ptr = ftl_kern_arg(k, dst);
	mat = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_div, g, np), ftl_k2(b, FTL_K_mul, kk, nn));
	n0 = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_rem, g, np), ftl_k_i64(b, panel));
	left = ftl_k2(b, FTL_K_sub, nn, n0);
	to = ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_mul, g, kk), ftl_k_i64(b, panel));
	for (int v = 0; v < c->nv; v++) {
		ftl_kv at = ftl_k2(b, FTL_K_add, n0, ftl_k_i64(b, (int64_t)v * c->width));
		ftl_kv count = ftl_k2(b, FTL_K_sub, left, ftl_k_i64(b, (int64_t)v * c->width)), full, x, i;

		count = ftl_k2(b, FTL_K_max, ftl_k2(b, FTL_K_min, count, ftl_k_i64(b, c->width)), ftl_k_i64(b, 0));
		full = ftl_k2(b, FTL_K_eq, count, ftl_k_i64(b, c->width));
		if (p->trans_b) {
			/* k runs along memory: a column at a time, its neighbours share the cache lines of the panel */
			for (int l = 0; l < c->width; l++) {
				ftl_kv col = ftl_k2(b, FTL_K_add, at, ftl_k_i64(b, l));
				ftl_kv in = ftl_k2(b, FTL_K_lt, ftl_k_i64(b, l), count);

				s = ftl_k_if(b, in);
				from = ftl_k2(b, FTL_K_add, mat, ftl_k2(b, FTL_K_mul, col, kk));
				r = ftl_k_for(b, ftl_k_i64(b, 0), kk, 1);
				x = ftl_k_cast(b, ftl_read_flat(k, p->b, ftl_k2(b, FTL_K_add, from, r.index), 1), c->t);
				i = ftl_k2(b, FTL_K_add, to, ftl_k2(b, FTL_K_mul, r.index, ftl_k_i64(b, panel)));
				ftl_k_store(b, ptr, ftl_k2(b, FTL_K_add, i, ftl_k_i64(b, (int64_t)v * c->width + l)),
					    x);
				ftl_k_end(b, &r);
				ftl_k_else(b, &s);
				r = ftl_k_for(b, ftl_k_i64(b, 0), kk, 1);
				i = ftl_k2(b, FTL_K_add, to, ftl_k2(b, FTL_K_mul, r.index, ftl_k_i64(b, panel)));
				ftl_k_store(b, ptr, ftl_k2(b, FTL_K_add, i, ftl_k_i64(b, (int64_t)v * c->width + l)),
					    ftl_k_num(b, FTL_KT(c->t, 1), 0));
				ftl_k_end(b, &r);
				ftl_k_end(b, &s);
			}
			continue;
		}
		r = ftl_k_for(b, ftl_k_i64(b, 0), kk, 1);
		from = ftl_k2(b, FTL_K_add, mat, ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, r.index, nn), at));
		i = ftl_k2(b, FTL_K_add, to, ftl_k2(b, FTL_K_mul, r.index, ftl_k_i64(b, panel)));
		i = ftl_k2(b, FTL_K_add, i, ftl_k_i64(b, (int64_t)v * c->width));
		s = ftl_k_if(b, full);
		x = ftl_k_cast(b, ftl_k_load(b, t->dtype, ftl_kern_ptr(k, p->b), from, c->width), c->t);
		ftl_k_store(b, ptr, i, x);
		ftl_k_else(b, &s);
		x = ftl_k_cast(b, ftl_k_loadn(b, t->dtype, ftl_kern_ptr(k, p->b), from, count, c->width), c->t);
		ftl_k_store(b, ptr, i, x);
		ftl_k_end(b, &s);
		ftl_k_end(b, &r);
	}
	{
		ftl_kv pieces = ftl_lo_dim(lo, ftl_dim_mul(st, batch, panels));

		ftl_kern_launch(k, pieces, panel * 256);
	}
	return dst;
}

/* ---- dot products along k: transposed b with few rows, and the naive nest for any operand ---- */

static ftl_status emit_dots(struct mm *p)
{
	ftl_contract *c = &p->c;
	ftl_lo *lo = c->lo;
	ftl_symtab *st = lo->g->st;
	ftl_kern *k = ftl_kern_begin(lo, c->node, "matmul");
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv g = ftl_kern_grid(k), n, m, batch, row, start, col, idx[FTL_MAX_RANK + 1], nn = ftl_kern_dim(k, c->n);
	int width = p->trans_a || !(p->trans_b || p->b_vec) ? 1 : ftl_kern_width(k, c->t);
	ftl_kscope s;
	ftl_acc acc;
	ftl_kv x;

	c->kern = k;
	m = ftl_k2(b, FTL_K_rem, g, ftl_kern_dim(k, c->m));
	batch = ftl_k2(b, FTL_K_div, g, ftl_kern_dim(k, c->m));
	row = a_row(c, batch, m);
	start = p->folded || p->b_vec ? ftl_k_i64(b, 0) : matrix_start(p, k, p->b, batch, c->k, c->n);
	s = ftl_k_for(b, ftl_k_i64(b, 0), nn, 1);
	n = s.index;
	col = p->trans_b ? ftl_k2(b, FTL_K_mul, n, ftl_kern_dim(k, c->k)) : n;
	col = ftl_k2(b, FTL_K_add, start, col);
	acc = ftl_acc_begin(k, FTL_K_add, c->t, width, 0);
	for (ftl_vloop l = ftl_vloop_begin(k, ftl_k_i64(b, 0), ftl_kern_dim(k, c->k), width); ftl_vloop_next(&l);) {
		ftl_kv ai = p->trans_a ? ftl_k2(b, FTL_K_mul, l.i, ftl_kern_dim(k, c->m)) : l.i;
		ftl_kv bi = p->trans_b ? l.i : ftl_k2(b, FTL_K_mul, l.i, nn);
		ftl_kv av = ftl_k_cast(b, ftl_read_flat(k, p->a, ftl_k2(b, FTL_K_add, row, ai), 1), c->t);
		ftl_kv bv = ftl_k_cast(b, ftl_read_flat(k, p->b, ftl_k2(b, FTL_K_add, col, bi), 1), c->t);
		ftl_kv var = l.lanes > 1 && l.lanes == acc.width ? acc.vec : acc.one;

		if (l.lanes > 1 && l.lanes != acc.width)
			ftl_acc_put(k, &acc, ftl_k2(b, FTL_K_mul, av, bv));
		else
			ftl_k_set(b, var, ftl_k_fma(b, av, bv, ftl_k_get(b, var)));
	}
	x = ftl_acc_end(k, &acc);
	if (c->alpha != 1.0)
		x = ftl_k2(b, FTL_K_mul, x, ftl_k_num(b, ftl_ktype_of(k->f, x), c->alpha));
	out_index(c, batch, m, n, idx);
	ftl_write(k, c->out, idx, x);
	ftl_k_end(b, &s);
	ftl_kern_launch(k, ftl_lo_dim(lo, ftl_dim_mul(st, c->batch, c->m)), 4096);
	return FTL_OK;
}

static ftl_status emit_tiles(struct mm *p, bool pack)
{
	ftl_contract *c = &p->c;

	c->packed = pack;
	p->panel = ftl_contract_panel(c);
	if (pack) {
		c->b_ptr = pack_computed(p);
		c->b_mem = c->t;
		c->b_base = b_packed;
	} else {
		c->b_ptr = ftl_lo_ptr(c->lo, p->b);
		c->b_mem = type_of(p, p->b)->dtype;
		c->b_base = b_direct;
	}
	return ftl_contract_emit(c);
}

/* ---- the hook ---- */

static void describe(struct mm *p, ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const struct ftl_attrs_matmul *at = FTL_ATTRS(n, matmul);
	const ftl_type *a = ftl_type_of(lo->g, n->in[0]), *b = ftl_type_of(lo->g, n->in[1]),
		       *o = ftl_type_of(lo->g, n->out[0]);
	ftl_symtab *st = lo->g->st;
	ftl_dim one = ftl_dim_const(st, 1);
	bool b_batch = false;

	p->c.lo = lo;
	p->c.node = id;
	p->c.out = n->out[0];
	p->c.t = ftl_dtype_compute(o->dtype);
	p->c.alpha = at->alpha;
	p->a = n->in[0];
	p->b = n->in[1];
	p->a_vec = a->rank == 1;
	p->b_vec = b->rank == 1;
	p->trans_a = at->trans_a && !p->a_vec;
	p->trans_b = at->trans_b && !p->b_vec;
	p->am = p->a_vec ? one : a->dims[a->rank - 2];
	p->ak = a->dims[a->rank - 1];
	p->c.m = p->trans_a ? p->ak : p->am;
	p->ka = p->trans_a ? p->am : p->ak;
	p->kb = p->b_vec ? b->dims[0] : p->trans_b ? b->dims[b->rank - 1] : b->dims[b->rank - 2];
	p->c.k = ftl_dim_is_const(st, p->kb, NULL) ? p->kb : p->ka;
	p->c.n = p->b_vec ? one : p->trans_b ? b->dims[b->rank - 2] : b->dims[b->rank - 1];
	p->nbatch = o->rank - !p->a_vec - !p->b_vec;
	p->c.batch = one;
	for (int d = 0; d < p->nbatch; d++)
		p->c.batch = ftl_dim_mul(st, p->c.batch, o->dims[d]);
	for (int d = 0; d + 2 < b->rank; d++) {
		int64_t v;

		b_batch |= !(ftl_dim_is_const(st, b->dims[d], &v) && v == 1);
	}
	p->folded = !b_batch && !p->trans_a && !p->a_vec && a->rank >= b->rank;
	if (p->folded) {
		p->c.m = ftl_dim_mul(st, p->c.batch, p->c.m);
		p->c.batch = one;
	}
	p->c.a_row = a_row;
	p->c.a_elem = a_elem;
	p->c.index = out_index;
}

/* The inner dims must agree at run time where inference could not tell. */
static void check_inner(struct mm *p)
{
	ftl_lo *lo = p->c.lo;
	const ftl_type *o = type_of(p, p->c.out);
	const ftl_val operand[2] = {p->a, p->b};

	if (ftl_dim_known_eq(lo->g->st, p->kb, p->ka) != 1)
		ftl_k_check(&lo->main, ftl_k2(&lo->main, FTL_K_eq, ftl_lo_dim(lo, p->kb), ftl_lo_dim(lo, p->ka)),
			    ftl_lo_msg(lo, ftl_node_get(lo->g, p->c.node), "the operands' inner dims differ"));
	for (int i = 0; i < 2; i++) {
		const ftl_type *t = type_of(p, operand[i]);

		for (int d = 0; d + 2 < t->rank; d++) {
			ftl_dim od = o->dims[d + p->nbatch - (t->rank - 2)];
			ftl_kb *b_ = &lo->main;
			ftl_kv x;

			if (t->dims[d] == od ||
			    ftl_dim_known_eq(lo->g->st, t->dims[d], ftl_dim_const(lo->g->st, 1)) == 1)
				continue;
			x = ftl_lo_dim(lo, t->dims[d]);
			ftl_k_check(b_,
				    ftl_k2(b_, FTL_K_or, ftl_k2(b_, FTL_K_eq, x, ftl_k_i64(b_, 1)),
					   ftl_k2(b_, FTL_K_eq, x, ftl_lo_dim(lo, od))),
				    ftl_lo_msg(lo, ftl_node_get(lo->g, p->c.node),
					       "the operands' batch dims do not fit together"));
		}
	}
}

ftl_status ftl_nest_matmul(ftl_lo *lo, ftl_node_id id)
{
	struct mm *p = FTL_NEW(lo->arena, struct mm);
	const ftl_blob *blob = ftl_const_blob(lo->g, ftl_node_get(lo->g, id)->in[1]);
	ftl_kb *b = &lo->main;
	uint32_t mark = lo->temps.n;
	ftl_kscope s;
	int64_t m;

	describe(p, lo, id);
	check_inner(p);
	ftl_contract_shape(&p->c);
	if (p->c.width == 1 || p->b_vec)
		return emit_dots(p);
	ftl_lo_ptr(lo, p->c.out); /* made here, so that both arms of a run-time choice find it */
	for (ftl_val v = p->c.out; lo->val[v].how == FTL_HOW_EPILOGUE;) {
		v = ftl_node_get(lo->g, ftl_value_get(lo->g, v)->uses.v[0])->out[0];
		if (lo->val[v].how == FTL_HOW_MEMORY)
			ftl_lo_ptr(lo, v);
	}
	if (blob && blob->data) {
		FTL_TRY(pack_constant(p, blob, &p->c.b_ptr));
		p->c.packed = true;
		p->c.b_mem = p->c.t;
		p->c.b_base = b_packed;
		return ftl_contract_emit(&p->c);
	}
	if (ftl_dim_is_const(lo->g->st, p->c.m, &m)) {
		if (m >= PACK_ROWS)
			return emit_tiles(p, true);
		return p->trans_b ? emit_dots(p) : emit_tiles(p, false);
	}
	s = ftl_k_if(b, ftl_k2(b, FTL_K_lt, ftl_lo_dim(lo, p->c.m), ftl_k_i64(b, PACK_ROWS)));
	FTL_TRY(p->trans_b ? emit_dots(p) : emit_tiles(p, false));
	ftl_lo_temps_end(lo, mark);
	ftl_k_else(b, &s);
	FTL_TRY(emit_tiles(p, true));
	ftl_lo_temps_end(lo, mark);
	ftl_k_end(b, &s);
	return FTL_OK;
}
