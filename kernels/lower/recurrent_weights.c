/* Weights of the recurrent layers: packed into panels by the compiler where they are constant, else by a kernel; and the
 * inputs' part of the gates, one contraction for all steps. */
#include <stdlib.h>

#include "kernels/lower/recurrent.h"
#include "kernels/lower/util.h"

static void free_packed(void *p)
{
	free(p);
}

ftl_status ftl_rnn_pack(struct rnn *r, ftl_node_id id, ftl_val w, int64_t columns, ftl_kv *out, ftl_dtype *out_mem)
{
	ftl_lo *lo = r->lo;
	ftl_symtab *st = lo->g->st;
	const ftl_type *t = ftl_type_of(lo->g, w);
	const ftl_blob *blob = ftl_const_blob(lo->g, w);
	ftl_dim groups = ftl_dim_mul(st, r->dirs, ftl_dim_const(st, r->gates)), len = t->dims[2];
	ftl_dim panels = ftl_dim_ceildiv(st, r->H, ftl_dim_const(st, columns)),
		pieces = ftl_dim_mul(st, groups, panels);
	int64_t g, h, k, size = (int64_t)ftl_dtype_bytes(r->t);

	*out_mem = columns == 1 ? t->dtype : r->t;
	if (columns == 1) {
		*out = ftl_lo_ptr(lo, w);
		return FTL_OK;
	}
	if (blob && blob->data && ftl_dim_is_const(st, groups, &g) && ftl_dim_is_const(st, r->H, &h) &&
	    ftl_dim_is_const(st, len, &k)) {
		int64_t np = (h + columns - 1) / columns;
		size_t bytes = (size_t)(g * np * k * columns * size);
		uint8_t *mem = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
		ftl_blob *b = FTL_NEW(lo->arena, ftl_blob);

		if (bytes && !mem)
			return ftl_fail(lo->diag, FTL_ERR_MEMORY, "out of memory while packing %zu bytes of weights",
					bytes);
		if (mem) {
			memset(mem, 0, (bytes + 63) / 64 * 64);
			ftl_arena_defer(lo->arena, free_packed, mem);
		}
		for (int64_t i = 0; i < g * h; i++)
			for (int64_t j = 0; j < k; j++) {
				int64_t at = ((i / h * np + i % h / columns) * k + j) * columns + i % h % columns;

				ftl_elem_set(r->t, mem, (size_t)at,
					     ftl_elem_get(t->dtype, blob->data, (size_t)(i * k + j)));
			}
		b->data = mem;
		b->bytes = bytes;
		b->name = blob->name;
		*out = ftl_k_blob(&lo->main, ftl_kmodule_blob(lo->m, b));
		return FTL_OK;
	}
	*out = ftl_lo_temp(lo, ftl_dim_mul(st, ftl_dim_mul(st, pieces, len), ftl_dim_const(st, columns * size)));
	{
		ftl_kern *kern = ftl_kern_begin(lo, id, "pack");
		ftl_kb *b = ftl_kern_b(kern);
		ftl_kv grid = ftl_kern_grid(kern), np = ftl_kern_dim(kern, panels), n = ftl_kern_dim(kern, len), hh,
		       col, row, at, x;
		ftl_kscope c, s;

		hh = ftl_kern_dim(kern, r->H);
		c = ftl_k_for(b, ftl_k_i64(b, 0), ftl_k_i64(b, columns), 1);
		col = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_rem, grid, np), ftl_k_i64(b, columns)),
			     c.index);
		row = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_div, grid, np), hh),
			     ftl_k2(b, FTL_K_min, col, ftl_k2(b, FTL_K_sub, hh, ftl_k_i64(b, 1))));
		s = ftl_k_for(b, ftl_k_i64(b, 0), n, 1);
		at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, grid, n), s.index);
		at = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, at, ftl_k_i64(b, columns)), c.index);
		x = ftl_read_flat(kern, w, ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, row, n), s.index), 1);
		x = ftl_k_select(b, ftl_k2(b, FTL_K_lt, col, hh), x, ftl_k_num(b, FTL_KT(r->t, 1), 0));
		ftl_k_store(b, ftl_kern_arg(kern, *out), at, x);
		ftl_k_end(b, &s);
		ftl_k_end(b, &c);
		ftl_kern_launch(kern, ftl_lo_dim(lo, pieces), ftl_u_cost(lo, len, columns));
	}
	return FTL_OK;
}

/* ---- the inputs' part: rows (time, batch), columns H, one product per direction and gate ---- */

struct projection {
	ftl_contract c; /* first */
	ftl_val x;
	int64_t panel;
};

static ftl_kv a_row(ftl_contract *c, ftl_kv batch, ftl_kv m)
{
	(void)batch;
	return ftl_k2(&c->kern->b, FTL_K_mul, m, ftl_kern_dim(c->kern, c->k));
}

static ftl_kv a_elem(ftl_contract *c, ftl_kv row, ftl_kv k)
{
	struct projection *p = (struct projection *)c;

	return ftl_read_flat(c->kern, p->x, ftl_k2(&c->kern->b, FTL_K_add, row, k), 1);
}

static void b_base(ftl_contract *c, ftl_kv batch, ftl_kv n, ftl_kv *index, ftl_kv *stride)
{
	ftl_kb *b = &c->kern->b;
	ftl_symtab *st = c->lo->g->st;
	ftl_dim panel = ftl_dim_const(st, ftl_contract_panel(c)), cols;

	cols = ftl_dim_mul(st, ftl_dim_ceildiv(st, c->n, panel), panel);
	n = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, batch, ftl_kern_dim(c->kern, cols)), n);
	*index = ftl_k2(b, FTL_K_mul, n, ftl_kern_dim(c->kern, c->k));
	*stride = ftl_k_i64(b, ftl_contract_panel(c));
}

ftl_status ftl_rnn_project(struct rnn *r, ftl_node_id id)
{
	struct projection *p = FTL_NEW(r->lo->arena, struct projection);
	ftl_symtab *st = r->lo->g->st;
	ftl_contract *c = &p->c;
	const ftl_type *w = ftl_type_of(r->lo->g, r->n->in[1]);
	ftl_dim words;

	p->x = r->n->in[0];
	c->lo = r->lo;
	c->node = id;
	c->t = r->t;
	c->alpha = 1;
	c->m = ftl_dim_mul(st, r->T, r->B);
	c->n = r->H;
	c->k = w->dims[2];
	c->batch = ftl_dim_mul(st, r->dirs, ftl_dim_const(st, r->gates));
	ftl_contract_shape(c);
	c->packed = true;
	c->a_row = a_row;
	c->a_elem = a_elem;
	c->b_base = b_base;
	words = ftl_dim_mul(st, ftl_dim_mul(st, c->m, c->n), c->batch);
	c->into = ftl_lo_temp(r->lo, ftl_dim_mul(st, words, ftl_dim_const(st, (int64_t)ftl_dtype_bytes(c->t))));
	r->proj = c->into;
	FTL_TRY(ftl_rnn_pack(r, id, r->n->in[1], ftl_contract_panel(c), &c->b_ptr, &c->b_mem));
	return ftl_contract_emit(c);
}
