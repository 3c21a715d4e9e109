/* The builder, first half: where instructions go, and how equal ones are found again.
 *
 * A pure instruction may be reused where its block encloses the current one. The open blocks are a stack, each with
 * a serial number that is never given twice; an entry of the table is good while its block's serial is still at its
 * place on the stack. A block that the user set by hand and that is not on the stack starts a stretch of its own
 * (a barrier): what is below it on the stack need not enclose it. Serial 0 is for what belongs to no block. */
#include "kbuild.h"

#include <assert.h>

struct open_block {
	ftl_kblock *block;
	uint32_t serial, barrier; /* barrier: lowest index on the stack that encloses this block */
	uint32_t pos;             /* the last instruction put here: a block that does not have it there any more */
	ftl_kv last;              /* is another one at the same address, or was rewritten */
};

struct entry {
	uint64_t hash;
	ftl_kv v; /* 0 = free */
	uint32_t index, serial;
};

struct state {
	FTL_VEC(struct open_block) stack;
	struct entry *slot;
	uint32_t cap, n; /* cap is a power of two */
	uint32_t serial;
};

static struct state *state_of(ftl_kb *b)
{
	return b->consts;
}

static void push_block(ftl_kb *b, ftl_kblock *block, bool barrier)
{
	struct state *s = state_of(b);
	uint32_t at = s->stack.n;
	uint32_t bar = barrier || at == 0 ? at : s->stack.v[at - 1].barrier;

	ftl_vec_push(b->arena, &s->stack, ((struct open_block){.block = block, .serial = ++s->serial, .barrier = bar}));
}

/* Index of the current block on the stack. */
static uint32_t current(ftl_kb *b)
{
	struct state *s = state_of(b);

	for (uint32_t k = s->stack.n; k-- > 0;) {
		const struct open_block *o = &s->stack.v[k];

		if (o->block != b->block)
			continue;
		if (!o->last || (o->pos < b->block->insts.n && b->block->insts.v[o->pos] == o->last))
			return k;
		break;
	}
	push_block(b, b->block, true);
	return s->stack.n - 1;
}

/* ---- the table ---- */

struct key {
	uint16_t op;
	ftl_ktype type;
	ftl_kv a[4];
	int64_t imm;
};

static uint64_t hash_of(const ftl_kinst *i)
{
	struct key k;

	memset(&k, 0, sizeof k);
	k.op = i->op;
	k.type = i->type;
	memcpy(k.a, i->a, sizeof k.a);
	k.imm = i->imm;
	return ftl_hash(&k, sizeof k, 0);
}

static bool equal(const ftl_kinst *x, const ftl_kinst *y)
{
	return x->op == y->op && x->type.elem == y->type.elem && x->type.lanes == y->type.lanes && x->imm == y->imm &&
	       memcmp(x->a, y->a, sizeof x->a) == 0;
}

static struct entry *find(const ftl_kb *b, const ftl_kinst *i, uint64_t hash)
{
	const struct state *s = b->consts;
	uint32_t k = (uint32_t)hash & (s->cap - 1);

	while (s->slot[k].v && (s->slot[k].hash != hash || !equal(ftl_kinst_get(b->f, s->slot[k].v), i)))
		k = (k + 1) & (s->cap - 1);
	return &s->slot[k];
}

static void grow(ftl_kb *b)
{
	struct state *s = state_of(b);
	uint32_t cap = s->cap * 2;
	struct entry *slot = FTL_NEW_N(b->arena, struct entry, cap);

	for (uint32_t i = 0; i < s->cap; i++) {
		uint32_t k = (uint32_t)s->slot[i].hash & (cap - 1);

		if (!s->slot[i].v)
			continue;
		while (slot[k].v)
			k = (k + 1) & (cap - 1);
		slot[k] = s->slot[i];
	}
	s->slot = slot;
	s->cap = cap;
}

static void remember(ftl_kb *b, ftl_kv v, uint64_t hash, uint32_t index, uint32_t serial)
{
	struct state *s = state_of(b);
	struct entry *e;

	if (s->n >= s->cap / 2)
		grow(b);
	e = find(b, ftl_kinst_get(b->f, v), hash);
	s->n += e->v == 0;
	*e = (struct entry){.hash = hash, .v = v, .index = index, .serial = serial};
}

/* ---- putting instructions somewhere ---- */

static ftl_kv new_inst(ftl_kb *b, ftl_kinst in)
{
	ftl_kv v = b->f->inst.n;

	ftl_vec_push(b->arena, &b->f->inst, in);
	return v;
}

static void place_at(ftl_kb *b, ftl_kv v, uint32_t index)
{
	struct open_block *o = &state_of(b)->stack.v[index];

	o->pos = b->block->insts.n;
	o->last = v;
	ftl_vec_push(b->arena, &b->block->insts, v);
}

void ftl_kb_place(ftl_kb *b, ftl_kv v)
{
	place_at(b, v, current(b));
}

ftl_kv ftl_kb_emit(ftl_kb *b, ftl_kinst in)
{
	ftl_kv v = new_inst(b, in);

	ftl_kb_place(b, v);
	return v;
}

ftl_kv ftl_kb_pure(ftl_kb *b, ftl_kinst in)
{
	struct state *s = state_of(b);
	uint32_t at = current(b);
	uint64_t hash = hash_of(&in);
	struct entry *e = find(b, &in, hash);
	ftl_kv v;

	if (e->v && e->index <= at && e->index >= s->stack.v[at].barrier && s->stack.v[e->index].serial == e->serial)
		return e->v;
	v = new_inst(b, in);
	place_at(b, v, at);
	remember(b, v, hash, at, s->stack.v[at].serial);
	return v;
}

ftl_kv ftl_kb_detached(ftl_kb *b, ftl_kinst in)
{
	uint64_t hash = hash_of(&in);
	struct entry *e = find(b, &in, hash);
	ftl_kv v;

	if (e->v)
		return e->v;
	v = new_inst(b, in);
	remember(b, v, hash, 0, 0);
	return v;
}

void ftl_kb_enter(ftl_kb *b, ftl_kblock *outer, ftl_kblock *inner)
{
	b->block = outer;
	state_of(b)->stack.n = current(b) + 1;
	push_block(b, inner, false);
	b->block = inner;
}

void ftl_kb_leave(ftl_kb *b, ftl_kblock *outer)
{
	b->block = outer;
	state_of(b)->stack.n = current(b) + 1;
}

void ftl_kb_init(ftl_kb *b, ftl_arena *arena, ftl_kfunc *f)
{
	struct state *s = FTL_NEW(arena, struct state);

	s->cap = 64;
	s->slot = FTL_NEW_N(arena, struct entry, s->cap);
	*b = (ftl_kb){.arena = arena, .f = f, .block = &f->body, .consts = s};
	push_block(b, b->block, false);
	for (ftl_kv v = 1; v < f->inst.n; v++) {
		const ftl_kinst *i = ftl_kinst_get(f, v);

		if (i->op == FTL_K_const || i->op == FTL_K_workspace)
			remember(b, v, hash_of(i), 0, 0);
	}
}

ftl_kv ftl_kb_param(ftl_kb *b, ftl_ktype type)
{
	ftl_kinst in = {.op = FTL_K_param, .type = type, .imm = b->f->params.n};
	ftl_kv v = new_inst(b, in);

	ftl_vec_push(b->arena, &b->f->params, ((ftl_kparam){.type = type, .value = v}));
	return v;
}
