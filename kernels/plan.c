/* The static memory plan: where in the workspace each planned buffer lies.
 *
 * A buffer is live from its `buf` instruction to its last use; a use inside a loop that the buffer was made outside of
 * lasts to the loop's end. Buffers of constant size are placed by one sweep over the program with a best-fit free
 * list. Buffers of symbolic size share slots: a slot is as large as its largest tenant, preferring tenants of the
 * very same size expression, and slots are laid out one after the other at run time. A buffer may take over the place of
 * one that dies where it is made (elementwise results in place). Everything is 64-byte aligned.
 *
 * Afterwards no `buf` is left: it has become workspace + offset. The size function computes the total from the
 * inputs' dims and refuses sizes that would not fit 64 bits. */
#include <assert.h>
#include <stdlib.h>

#include "kernels/kir.h"

enum { ALIGN = 64, MAX_TENANTS = 8 };
#define SIZE_LIMIT 70368744177664.0 /* 2^46: sums of sizes below stay far from overflow */

struct live {
	ftl_kv inst; /* the buf instruction */
	uint32_t buf, first, last;
	uint32_t depth; /* loops around its making */
	int64_t bytes;  /* -1 symbolic */
	int64_t offset; /* constant size */
	uint32_t slot;  /* symbolic size */
	uint32_t write; /* position of its first use */
	bool moved;     /* its place went over to another buffer */
};

struct loop {
	uint32_t end;
};

struct slot {
	ftl_dim size;
	uint32_t tenants;
	bool busy;
};

struct hole {
	int64_t at, size;
};

struct plan {
	ftl_kmodule *m;
	ftl_kfunc *f;
	uint32_t *live_of; /* per instruction of main: 1 + index into live of the buffer it points into */
	uint32_t *end_of;  /* per instruction: position after its blocks */
	uint32_t pos;
	FTL_VEC(struct live) live;
	FTL_VEC(uint32_t) loops; /* loop instructions around the current place */
	FTL_VEC(struct slot) slots;
	FTL_VEC(struct hole) holes; /* free parts of the constant area, by address */
	int64_t top;
};

/* ---- live ranges ---- */

static void number(struct plan *p, const ftl_kblock *b)
{
	for (uint32_t i = 0; b && i < b->insts.n; i++) {
		const ftl_kinst *in = ftl_kinst_get(p->f, b->insts.v[i]);

		p->pos++;
		number(p, in->body);
		number(p, in->els);
		p->end_of[b->insts.v[i]] = p->pos;
	}
}

static void use(struct plan *p, ftl_kv v, bool escapes)
{
	struct live *l;

	if (!v || !p->live_of[v])
		return;
	l = &p->live.v[p->live_of[v] - 1];
	if (!l->write)
		l->write = p->pos;
	if (l->last < p->pos)
		l->last = p->pos;
	if (p->loops.n > l->depth && l->last < p->end_of[p->loops.v[l->depth]])
		l->last = p->end_of[p->loops.v[l->depth]];
	if (escapes)
		l->last = UINT32_MAX;
}

static void scan(struct plan *p, const ftl_kblock *b)
{
	for (uint32_t i = 0; b && i < b->insts.n; i++) {
		ftl_kv id = b->insts.v[i];
		const ftl_kinst *in = ftl_kinst_get(p->f, id);
		bool loops = in->op == FTL_K_for || in->op == FTL_K_loop;
		/* an address kept in a variable may be read anywhere later */
		bool escapes = in->op == FTL_K_set || in->op == FTL_K_var || in->op == FTL_K_select;

		p->pos++;
		if (in->op == FTL_K_buf) {
			struct live l = {.inst = id,
					 .buf = (uint32_t)in->imm,
					 .first = p->pos,
					 .last = p->pos,
					 .depth = p->loops.n};

			if (!ftl_dim_is_const(p->m->st, p->m->bufs.v[l.buf].bytes, &l.bytes))
				l.bytes = -1;
			ftl_vec_push(p->m->arena, &p->live, l);
			p->live_of[id] = p->live.n;
		}
		for (uint32_t k = 0; k < FTL_COUNT(in->a); k++)
			use(p, in->a[k], escapes);
		for (uint32_t k = 0; k < in->nextra; k++)
			use(p, in->extra[k], false);
		if (in->op == FTL_K_offset)
			p->live_of[id] = p->live_of[in->a[0]];
		if (loops)
			ftl_vec_push(p->m->arena, &p->loops, id);
		scan(p, in->body);
		scan(p, in->els);
		if (loops)
			p->loops.n--;
	}
}

/* ---- placing ---- */

static int64_t align_up(int64_t n)
{
	return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static int64_t take(struct plan *p, int64_t bytes)
{
	uint32_t best = UINT32_MAX;
	int64_t at;

	for (uint32_t i = 0; i < p->holes.n; i++)
		if (p->holes.v[i].size >= bytes && (best == UINT32_MAX || p->holes.v[i].size < p->holes.v[best].size))
			best = i;
	if (best == UINT32_MAX) {
		/* grow the last hole if it touches the top */
		if (p->holes.n && p->holes.v[p->holes.n - 1].at + p->holes.v[p->holes.n - 1].size == p->top) {
			at = p->holes.v[--p->holes.n].at;
		} else {
			at = p->top;
		}
		p->top = at + bytes;
		return at;
	}
	at = p->holes.v[best].at;
	p->holes.v[best].at += bytes;
	p->holes.v[best].size -= bytes;
	if (!p->holes.v[best].size) {
		memmove(&p->holes.v[best], &p->holes.v[best + 1], (p->holes.n - best - 1) * sizeof *p->holes.v);
		p->holes.n--;
	}
	return at;
}

static void give(struct plan *p, int64_t at, int64_t bytes)
{
	uint32_t i = 0;

	if (!bytes)
		return;
	while (i < p->holes.n && p->holes.v[i].at < at)
		i++;
	ftl_vec_push(p->m->arena, &p->holes, ((struct hole){0, 0}));
	memmove(&p->holes.v[i + 1], &p->holes.v[i], (p->holes.n - i - 1) * sizeof *p->holes.v);
	p->holes.v[i] = (struct hole){at, bytes};
	for (uint32_t k = i ? i - 1 : 0; k + 1 < p->holes.n && k <= i;) {
		if (p->holes.v[k].at + p->holes.v[k].size == p->holes.v[k + 1].at) {
			p->holes.v[k].size += p->holes.v[k + 1].size;
			memmove(&p->holes.v[k + 1], &p->holes.v[k + 2], (p->holes.n - k - 2) * sizeof *p->holes.v);
			p->holes.n--;
		} else {
			k++;
		}
	}
}

static uint32_t take_slot(struct plan *p, ftl_dim bytes)
{
	ftl_symtab *st = p->m->st;
	uint32_t fit = UINT32_MAX, any = UINT32_MAX;
	struct slot s = {bytes, 1, true};

	for (uint32_t i = 0; i < p->slots.n; i++) {
		struct slot *c = &p->slots.v[i];

		if (c->busy)
			continue;
		if (c->size == bytes) {
			c->busy = true;
			return i;
		}
		if (fit == UINT32_MAX && ftl_dim_known_le(st, bytes, c->size) == 1)
			fit = i;
		if (any == UINT32_MAX && c->tenants < MAX_TENANTS)
			any = i;
	}
	if (fit != UINT32_MAX) {
		p->slots.v[fit].busy = true;
		return fit;
	}
	if (any != UINT32_MAX) {
		struct slot *c = &p->slots.v[any];
		ftl_dim grown = ftl_dim_known_le(st, c->size, bytes) == 1 ? bytes : ftl_dim_max(st, c->size, bytes);

		if (grown != FTL_DIM_NONE) {
			c->size = grown;
			c->tenants++;
			c->busy = true;
			return any;
		}
	}
	ftl_vec_push(p->m->arena, &p->slots, s);
	return p->slots.n - 1;
}

static int by_last(const void *a, const void *b)
{
	const struct live *x = *(const struct live *const *)a, *y = *(const struct live *const *)b;

	return x->last != y->last ? (x->last < y->last ? -1 : 1) : (x->buf < y->buf ? -1 : x->buf > y->buf);
}

/* The live buffer whose place l may take over: dead after the very instruction that first writes l. */
static struct live *takes_over(struct plan *p, const struct live *l, const uint32_t *live_of_buf)
{
	uint32_t over = p->m->bufs.v[l->buf].over;
	struct live *o = over && live_of_buf[over - 1] ? &p->live.v[live_of_buf[over - 1] - 1] : NULL;

	if (!o || o == l || o->moved || o->last != l->write || o->depth != l->depth ||
	    p->m->bufs.v[o->buf].bytes != p->m->bufs.v[l->buf].bytes)
		return NULL;
	return o;
}

static void place(struct plan *p)
{
	uint32_t *live_of_buf = FTL_NEW_N(p->m->arena, uint32_t, p->m->bufs.n + 1);
	struct live **ends = FTL_NEW_N(p->m->arena, struct live *, p->live.n + 1);
	uint32_t done = 0;

	for (uint32_t i = 0; i < p->live.n; i++)
		ends[i] = &p->live.v[i];
	for (uint32_t i = 0; i < p->live.n; i++)
		live_of_buf[p->live.v[i].buf] = i + 1;
	qsort(ends, p->live.n, sizeof *ends, by_last);
	for (uint32_t i = 0; i < p->live.n; i++) { /* in order of first */
		struct live *l = &p->live.v[i], *old;

		for (; done < p->live.n && ends[done]->last < l->first; done++) {
			if (ends[done]->moved)
				continue;
			if (ends[done]->bytes >= 0)
				give(p, ends[done]->offset, align_up(ends[done]->bytes));
			else
				p->slots.v[ends[done]->slot].busy = false;
		}
		old = takes_over(p, l, live_of_buf);
		if (old) {
			l->offset = old->offset;
			l->slot = old->slot;
			old->moved = true;
			continue;
		}
		if (l->bytes >= 0)
			l->offset = take(p, align_up(l->bytes));
		else
			l->slot = take_slot(p, p->m->bufs.v[l->buf].bytes);
	}
}

/* ---- rewriting ---- */

static ftl_kv main_symbol(void *user, ftl_dim sym)
{
	struct plan *p = ((void **)user)[0];
	ftl_kb *b = ((void **)user)[1];

	for (uint32_t i = 0; i < p->m->syms.n; i++)
		if (p->m->syms.v[i].sym == sym)
			return ftl_k_get(b, p->m->syms.v[i].var);
	assert(!"a planned buffer's size uses a symbol that is not bound at entry");
	return 0;
}

static ftl_kv size_symbol(void *user, ftl_dim sym)
{
	struct plan *p = ((void **)user)[0];
	ftl_kb *b = ((void **)user)[1];

	for (uint32_t i = 0; i < p->m->inputs.n; i++)
		for (int d = 0; d < p->m->inputs.v[i].type.rank; d++)
			if (p->m->inputs.v[i].type.dims[d] == sym)
				return ftl_k2(b, FTL_K_max, ftl_k_in_dim(b, i, (uint32_t)d), ftl_k_i64(b, 0));
	assert(!"a planned buffer's size uses a symbol that no input has");
	return 0;
}

static ftl_kv aligned(ftl_kb *b, ftl_kv n)
{
	return ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_add, n, ftl_k_i64(b, ALIGN - 1)), ftl_k_i64(b, -ALIGN));
}

/* Offsets of the slots (first at the end of the constant area), and the total after the last; checks the total. */
static ftl_kv layout(struct plan *p, ftl_kb *b, ftl_kv (*value)(void *, ftl_dim), ftl_kv *out_offset)
{
	void *user[2] = {p, b};
	ftl_kv at = ftl_k_i64(b, p->top);
	ftl_kv sum = ftl_k_float(b, FTL_KT(FTL_F64, 1), (double)p->top);

	for (uint32_t i = 0; i < p->slots.n; i++) {
		ftl_dim size = p->slots.v[i].size;

		out_offset[i] = at;
		at = ftl_k2(b, FTL_K_add, at, aligned(b, ftl_k_dim(b, p->m->st, size, FTL_I64, value, user)));
		sum = ftl_k2(b, FTL_K_add, sum, ftl_k_dim(b, p->m->st, size, FTL_F64, value, user));
	}
	if (p->slots.n)
		ftl_k_check(b, ftl_k2(b, FTL_K_le, sum, ftl_k_float(b, FTL_KT(FTL_F64, 1), SIZE_LIMIT)),
			    ftl_kmodule_msg(p->m, "inputs of these dims would need more than 64 TB of workspace"));
	return at;
}

ftl_status ftl_kmodule_plan(ftl_kmodule *m, ftl_diag *d)
{
	struct plan p = {.m = m, .f = m->main};
	ftl_kb b;
	ftl_kv *offset, base;
	ftl_kblock early = {{NULL, 0, 0}}, rest;

	p.live_of = FTL_NEW_N(m->arena, uint32_t, m->main->inst.n + 1);
	p.end_of = FTL_NEW_N(m->arena, uint32_t, m->main->inst.n + 1);
	number(&p, &m->main->body);
	p.pos = 0;
	scan(&p, &m->main->body);
	for (uint32_t i = 0; i < p.live.n; i++)
		if (p.live.v[i].bytes < -1 || p.live.v[i].bytes > (INT64_C(1) << 46))
			return ftl_fail(d, FTL_ERR_LIMIT,
					"%s: an intermediate result needs %lld bytes; the limit is 64 TB",
					m->file ? m->file : m->name, (long long)p.live.v[i].bytes);
	place(&p);
	offset = FTL_NEW_N(m->arena, ftl_kv, p.slots.n + 1);
	/* slot offsets go right behind the prologue */
	ftl_kb_init(&b, m->arena, m->main);
	b.block = &early;
	layout(&p, &b, main_symbol, offset);
	rest = m->main->body;
	memset(&m->main->body, 0, sizeof m->main->body);
	for (uint32_t i = 0; i < rest.insts.n; i++) {
		for (uint32_t k = 0; i == m->prologue && k < early.insts.n; k++)
			ftl_vec_push(m->arena, &m->main->body.insts, early.insts.v[k]);
		ftl_vec_push(m->arena, &m->main->body.insts, rest.insts.v[i]);
	}
	m->prologue += early.insts.n;
	b.block = &m->main->body;
	base = ftl_k_workspace(&b);
	for (uint32_t i = 0; i < p.live.n; i++) {
		ftl_kv at = p.live.v[i].bytes >= 0 ? ftl_k_i64(&b, p.live.v[i].offset) : offset[p.live.v[i].slot];
		ftl_kinst *in = ftl_kinst_get(m->main, p.live.v[i].inst);

		in->op = FTL_K_offset;
		in->a[0] = base;
		in->a[1] = at;
		in->imm = 0;
	}
	m->size = ftl_kfunc_new(m->arena, "size", true);
	ftl_kb_init(&b, m->arena, m->size);
	m->size->result = layout(&p, &b, size_symbol, offset);
	return FTL_OK;
}
