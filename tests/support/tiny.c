/* See tiny.h. */
#include "tiny.h"

static ftl_kv i64(ftl_kb *b, int64_t v)
{
	return ftl_k_i64(b, v);
}

/* t[g] = x[g] * w, and a check */
static void scale_kernel(ftl_kmodule *m, int lanes)
{
	ftl_kfunc *f = ftl_kfunc_new(m->arena, "scale", false);
	ftl_kv x, w, t, g, first;
	ftl_kb b;

	f->note = "scale */ of \"rows\" \\ ?\?/";
	ftl_kb_init(&b, m->arena, f);
	x = ftl_kb_param(&b, FTL_KT_PTR);
	w = ftl_kb_param(&b, FTL_KT_PTR);
	t = ftl_kb_param(&b, FTL_KT_PTR);
	g = ftl_k2(&b, FTL_K_mul, ftl_k_grid(&b), i64(&b, 4));
	first = ftl_k_load(&b, FTL_F32, x, g, 1);
	ftl_k_check(&b, ftl_k2(&b, FTL_K_ne, first, ftl_k_float(&b, FTL_KT(FTL_F32, 1), 666)),
		    ftl_kmodule_msg(m, "a row is 666"));
	for (int j = 0; j < 4; j += lanes) {
		ftl_kv at = ftl_k2(&b, FTL_K_add, g, i64(&b, j));
		ftl_kv v = ftl_k2(&b, FTL_K_mul, ftl_k_load(&b, FTL_F32, x, at, lanes),
				  ftl_k_load(&b, FTL_F32, w, i64(&b, j), lanes));

		ftl_k_store(&b, t, at, v);
	}
	ftl_vec_push(m->arena, &m->kernels, f);
}

/* y[g] = t[g] + m[g] */
static void shift_kernel(ftl_kmodule *m, int lanes)
{
	ftl_kfunc *f = ftl_kfunc_new(m->arena, "shift", false);
	ftl_kv t, mask, y, g, add;
	ftl_kb b;

	ftl_kb_init(&b, m->arena, f);
	t = ftl_kb_param(&b, FTL_KT_PTR);
	mask = ftl_kb_param(&b, FTL_KT_PTR);
	y = ftl_kb_param(&b, FTL_KT_PTR);
	add = ftl_k_load(&b, FTL_F32, mask, ftl_k_grid(&b), 1);
	g = ftl_k2(&b, FTL_K_mul, ftl_k_grid(&b), i64(&b, 4));
	for (int j = 0; j < 4; j += lanes) {
		ftl_kv at = ftl_k2(&b, FTL_K_add, g, i64(&b, j));

		ftl_k_store(&b, y, at, ftl_k2(&b, FTL_K_add, ftl_k_load(&b, FTL_F32, t, at, lanes), add));
	}
	ftl_vec_push(m->arena, &m->kernels, f);
}

/* Number of rows with y[row][0] > 0; written to out too unless out is 0. */
static ftl_kv count_rows(ftl_kb *b, ftl_kv y, ftl_kv n, ftl_kv out)
{
	ftl_kv count = ftl_k_var(b, i64(b, 0)), v;
	ftl_kscope s = ftl_k_for(b, i64(b, 0), n, 1), c;

	v = ftl_k_load(b, FTL_F32, y, ftl_k2(b, FTL_K_mul, s.index, i64(b, 4)), 1);
	c = ftl_k_if(b, ftl_k2(b, FTL_K_lt, ftl_k_float(b, FTL_KT(FTL_F32, 1), 0), v));
	if (out)
		ftl_k_store(b, out, ftl_k_get(b, count), s.index);
	ftl_k_set(b, count, ftl_k2(b, FTL_K_add, ftl_k_get(b, count), i64(b, 1)));
	ftl_k_end(b, &c);
	ftl_k_end(b, &s);
	return ftl_k_get(b, count);
}

static void program(ftl_kmodule *m, ftl_dim n)
{
	ftl_kv var, rows, x, mask, w, t, y, k, args[3];
	ftl_kbuf buf = {.bytes = ftl_dim_mul(m->st, n, ftl_dim_const(m->st, 16))};
	ftl_kb b;

	m->main = ftl_kfunc_new(m->arena, "main", true);
	ftl_kb_init(&b, m->arena, m->main);
	rows = ftl_k_in_dim(&b, 0, 0);
	ftl_k_check(&b, ftl_k2(&b, FTL_K_le, rows, i64(&b, 100)),
		    ftl_kmodule_msg(m, "axis 0 of \"x\" must be at most 100 ?\?/ \\ %%s"));
	var = ftl_k_var(&b, rows);
	m->syms.n = 0;
	ftl_vec_push(m->arena, &m->syms, ((__typeof__(*m->syms.v)){n, var}));
	m->prologue = m->main->body.insts.n;
	ftl_vec_push(m->arena, &m->bufs, buf);
	x = ftl_k_in_ptr(&b, 0);
	mask = ftl_k_in_ptr(&b, 1);
	w = ftl_k_blob(&b, 0);
	t = ftl_k_buf(&b, 0);
	args[0] = x;
	args[1] = w;
	args[2] = t;
	ftl_k_launch(&b, 0, rows, args, 3, 10000);
	y = ftl_k_out_ptr(&b, 0, ftl_k2(&b, FTL_K_mul, rows, i64(&b, 16)));
	ftl_k_out_dim(&b, 0, 0, rows);
	ftl_k_out_dim(&b, 0, 1, i64(&b, 4));
	args[0] = t;
	args[1] = mask;
	args[2] = y;
	ftl_k_launch(&b, 1, rows, args, 3, 10000);
	k = count_rows(&b, y, rows, 0);
	ftl_k_out_dim(&b, 1, 0, k);
	count_rows(&b, y, rows, ftl_k_out_ptr(&b, 1, ftl_k2(&b, FTL_K_mul, k, i64(&b, 8))));
}

ftl_kmodule *tiny_module(ftl_arena *arena, int lanes, size_t padding, const char *const names[6], ftl_diag *d)
{
	static const char *const plain[6] = {"x", "m", "y", "count", "n", "tiny"};
	static const float weights[4] = {1, -2, 0.5f, 3};
	ftl_symtab *st = ftl_symtab_new(arena);
	ftl_kmodule *m;
	ftl_dim n, *xd = FTL_NEW_N(arena, ftl_dim, 2), *md = FTL_NEW(arena, ftl_dim), *kd = FTL_NEW(arena, ftl_dim);
	ftl_blob *w = FTL_NEW(arena, ftl_blob), *p = FTL_NEW(arena, ftl_blob);

	names = names ? names : plain;
	m = ftl_kmodule_new(arena, st, names[5]);
	m->vector_bytes = lanes == 1 ? 0 : 16;
	n = ftl_dim_sym(st, names[4]);
	xd[0] = n;
	xd[1] = ftl_dim_const(st, 4);
	*md = ftl_dim_add(st, n, ftl_dim_const(st, 1));
	*kd = ftl_dim_fresh(st, "k");
	ftl_dim_set_bounds(st, *kd, 0, 100);
	ftl_vec_push(arena, &m->inputs,
		     ((ftl_kio){.name = names[0], .type = {.dtype = FTL_F32, .rank = 2, .dims = xd}}));
	ftl_vec_push(arena, &m->inputs,
		     ((ftl_kio){.name = names[1], .type = {.dtype = FTL_F32, .rank = 1, .dims = md}}));
	ftl_vec_push(arena, &m->outputs,
		     ((ftl_kio){.name = names[2], .type = {.dtype = FTL_F32, .rank = 2, .dims = xd}}));
	ftl_vec_push(arena, &m->outputs,
		     ((ftl_kio){.name = names[3], .type = {.dtype = FTL_I64, .rank = 1, .dims = kd}}));
	*w = (ftl_blob){.data = weights, .bytes = sizeof weights, .name = "w"};
	*p = (ftl_blob){.data = ftl_arena_alloc(arena, padding + 1), .bytes = padding};
	for (size_t k = 0; k < padding; k++)
		((uint8_t *)(uintptr_t)p->data)[k] = (uint8_t)(k * 7);
	ftl_kmodule_blob(m, w);
	if (padding)
		ftl_kmodule_blob(m, p);
	scale_kernel(m, lanes);
	shift_kernel(m, lanes);
	program(m, n);
	if (ftl_kmodule_plan(m, d) != FTL_OK || ftl_kmodule_verify(m, d) != FTL_OK)
		return NULL;
	return m;
}
