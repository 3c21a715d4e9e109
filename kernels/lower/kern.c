/* Kernels under construction: parameters, launching, vector loops, accumulators.
 *
 * A kernel's parameters appear as the lowering asks for addresses, dims and other program values; a launch passes what
 * stands behind them at that place of the program. Kernels with the same code are one kernel: they are built in scratch
 * memory, which is empty again once no kernel is under construction, and the first of its kind is copied out. */
#include "kernels/lower/driver.h"

/* ---- kernels ---- */

ftl_kern *ftl_kern_begin(ftl_lo *lo, ftl_node_id id, const char *what)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	ftl_kern *k = FTL_NEW(lo->arena, ftl_kern);

	k->lo = lo;
	k->node = id;
	k->f = ftl_kfunc_new(lo->scratch, "", false);
	k->f->note = ftl_arena_printf(lo->scratch, "%s: %s", what, id ? n->loc : "inputs");
	ftl_kb_init(&k->b, lo->scratch, k->f);
	lo->building++;
	return k;
}

ftl_kb *ftl_kern_b(ftl_kern *k)
{
	return &k->b;
}
ftl_lo *ftl_kern_lo(ftl_kern *k)
{
	return k->lo;
}

int ftl_kern_width(const ftl_kern *k, ftl_dtype t)
{
	int bytes = k->lo->target->vector_bytes, size = (int)ftl_dtype_bytes(ftl_dtype_compute(t));

	/* narrow types compute beside f32 and i32 neighbours: no more lanes than those have */
	if (size < 4)
		size = 4;
	return bytes < size ? 1 : bytes / size;
}

ftl_kv ftl_kern_arg(ftl_kern *k, ftl_kv x)
{
	int64_t c;

	if (ftl_k_is_const(&k->lo->main, x, &c))
		return ftl_k_i64(&k->b, c);
	for (uint32_t i = 0; i < k->args.n; i++)
		if (k->args.v[i] == x)
			return k->f->params.v[i].value;
	ftl_vec_push(k->lo->arena, &k->args, x);
	return ftl_kb_param(&k->b, ftl_ktype_of(k->lo->main.f, x));
}

ftl_kv ftl_kern_ptr(ftl_kern *k, ftl_val v)
{
	ftl_kv x;

	v = ftl_lo_root(k->lo, v);
	for (uint32_t i = 0; i < k->ptrs.n; i++)
		if (k->ptrs.v[i].v == v)
			return k->ptrs.v[i].x;
	x = ftl_kern_arg(k, ftl_lo_ptr(k->lo, v));
	ftl_vec_push(k->lo->arena, &k->ptrs, ((__typeof__(*k->ptrs.v)){v, x}));
	return x;
}

ftl_kv ftl_kern_dim(ftl_kern *k, ftl_dim d)
{
	int64_t c;

	if (ftl_dim_is_const(k->lo->g->st, d, &c))
		return ftl_k_i64(&k->b, c);
	for (uint32_t i = 0; i < k->dims.n; i++)
		if (k->dims.v[i].d == d)
			return k->dims.v[i].x;
	{
		ftl_kv x = ftl_kern_arg(k, ftl_lo_dim(k->lo, d));

		ftl_vec_push(k->lo->arena, &k->dims, ((__typeof__(*k->dims.v)){d, x}));
		return x;
	}
}

/* In the outermost block of the kernel, whatever block asks first. */
ftl_kv ftl_kern_grid(ftl_kern *k)
{
	if (!k->grid)
		k->grid = ftl_k_grid(&k->b);
	return k->grid;
}

struct ftl_hash_slot {
	uint64_t hash;
	uint32_t kernel; /* 1 + number */
};

static uint32_t find_or_add_kernel(ftl_lo *lo, ftl_kfunc *f)
{
	uint32_t i;

	if (2 * (lo->nkernel + 1) > lo->nslot) {
		uint32_t n = lo->nslot ? 2 * lo->nslot : 128;
		struct ftl_hash_slot *bigger = FTL_NEW_N(lo->arena, struct ftl_hash_slot, n);

		for (uint32_t j = 0; j < lo->nslot; j++) {
			if (!lo->kernels[j].kernel)
				continue;
			for (i = (uint32_t)lo->kernels[j].hash & (n - 1); bigger[i].kernel; i = (i + 1) & (n - 1))
				;
			bigger[i] = lo->kernels[j];
		}
		lo->kernels = bigger;
		lo->nslot = n;
	}
	f->hash = ftl_kfunc_hash(f);
	for (i = (uint32_t)f->hash & (lo->nslot - 1); lo->kernels[i].kernel; i = (i + 1) & (lo->nslot - 1))
		if (lo->kernels[i].hash == f->hash && ftl_kfunc_same(lo->m->kernels.v[lo->kernels[i].kernel - 1], f))
			return lo->kernels[i].kernel - 1;
	f = ftl_kfunc_copy(lo->arena, f);
	f->name = ftl_arena_printf(lo->arena, "k%u", lo->m->kernels.n);
	ftl_vec_push(lo->arena, &lo->m->kernels, f);
	lo->kernels[i] = (struct ftl_hash_slot){f->hash, lo->m->kernels.n};
	lo->nkernel++;
	return lo->m->kernels.n - 1;
}

void ftl_kern_launch(ftl_kern *k, ftl_kv count, int64_t cost)
{
	ftl_lo *lo = k->lo;

	ftl_kfunc_dce(k->f);
	ftl_kfunc_hoist(k->f);
	ftl_k_launch(&lo->main, find_or_add_kernel(lo, k->f), count, k->args.v, k->args.n, cost);
	k->f = NULL;
	if (--lo->building == 0)
		ftl_arena_reset(lo->scratch);
}

/* ---- vector loops and accumulators ---- */

ftl_vloop ftl_vloop_begin(ftl_kern *k, ftl_kv lo, ftl_kv hi, int width)
{
	ftl_vloop l = {.k = k, .lo = lo, .hi = hi, .width = width};
	int64_t a, z;

	/* a constant trip count that wide vectors would mostly miss takes narrower ones */
	if (ftl_k_is_const(&k->b, lo, &a) && ftl_k_is_const(&k->b, hi, &z))
		while (l.width > 1 && z - a < l.width)
			l.width /= 2;
	return l;
}

bool ftl_vloop_next(ftl_vloop *l)
{
	ftl_kb *b = &l->k->b;
	int64_t n;

	if (l->step_ > 0)
		ftl_k_end(b, &l->scope);
	if (l->step_ == 0) {
		l->step_ = 1;
		if (l->width > 1) {
			ftl_kv len = ftl_k2(b, FTL_K_sub, l->hi, l->lo);
			ftl_kv rest = ftl_k2(b, FTL_K_and, len, ftl_k_i64(b, l->width - 1));

			/* a negative length has no vector part either: the loop bound is below lo */
			l->mid = ftl_k2(b, FTL_K_sub, l->hi, rest);
			l->scope = ftl_k_for(b, l->lo, l->mid, l->width);
			l->lanes = l->width;
			l->base = l->scope.index;
			l->i = ftl_k_ramp(b, l->base, ftl_k_i64(b, 1), l->width);
			return true;
		}
		l->mid = l->lo;
	}
	if (l->step_ == 1) {
		l->step_ = 2;
		if (ftl_k_is_const(b, ftl_k2(b, FTL_K_sub, l->hi, l->mid), &n) && n <= 0)
			return false;
		l->scope = ftl_k_for(b, l->mid, l->hi, 1);
		l->lanes = 1;
		l->base = l->i = l->scope.index;
		return true;
	}
	return false;
}

ftl_acc ftl_acc_begin(ftl_kern *k, ftl_kop op, ftl_dtype t, int width, double init)
{
	ftl_acc a = {.op = op, .t = t, .width = width};

	/* the vector part starts from the neutral element of add and mul so that init counts once; min and max do not care */
	double neutral = op == FTL_K_add ? 0 : op == FTL_K_mul ? 1 : init;

	a.one = ftl_k_var(&k->b, ftl_k_num(&k->b, FTL_KT(t, 1), init));
	if (width > 1)
		a.vec = ftl_k_var(&k->b, ftl_k_num(&k->b, FTL_KT(t, width), neutral));
	return a;
}

void ftl_acc_put(ftl_kern *k, ftl_acc *a, ftl_kv x)
{
	int lanes = ftl_ktype_of(k->f, x).lanes;
	ftl_kv var = a->one;

	if (lanes > 1 && lanes == a->width) {
		var = a->vec;
	} else if (lanes > 1) {
		x = ftl_k_reduce(&k->b, a->op, x); /* a loop that chose narrower vectors */
	}
	ftl_k_set(&k->b, var, ftl_k2(&k->b, a->op, ftl_k_get(&k->b, var), x));
}

ftl_kv ftl_acc_end(ftl_kern *k, ftl_acc *a)
{
	ftl_kv x = ftl_k_get(&k->b, a->one);

	if (a->width > 1)
		x = ftl_k2(&k->b, a->op, x, ftl_k_reduce(&k->b, a->op, ftl_k_get(&k->b, a->vec)));
	return x;
}
