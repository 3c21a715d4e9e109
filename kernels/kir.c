/* Kernel IR: the op table, modules and functions, and equality of functions.
 *
 * Equality and hash look at a function through a canonical numbering (values in order of definition), so that ids,
 * unused constants and instructions left out of the blocks do not matter. */
#include "kernels/kir.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const ftl_kop_info table[FTL_K_COUNT] = {
	{"none", 0, K_RULE_NONE, 0},
#define KOP(name, nargs, rule, flags) {#name, nargs, K_RULE_##rule, flags},
#include "kops.def"
#undef KOP
};

const ftl_kop_info *ftl_kop_get(ftl_kop op)
{
	return &table[(unsigned)op < FTL_K_COUNT ? op : FTL_K_NONE];
}

/* ---- modules ---- */

ftl_kmodule *ftl_kmodule_new(ftl_arena *arena, ftl_symtab *st, const char *name)
{
	ftl_kmodule *m = FTL_NEW(arena, ftl_kmodule);

	m->arena = arena;
	m->st = st;
	m->name = ftl_arena_str(arena, name);
	m->msg_index = ftl_map_new(arena);
	m->blob_index = ftl_map_new(arena);
	ftl_vec_push(arena, &m->msgs, "");
	ftl_vec_push(arena, &m->msgs, "out of memory");
	return m;
}

/* Maps keep number + 1, so that NULL means absent. */
static void *number_box(uint32_t n)
{
	return (void *)((uintptr_t)n + 1);
}

int64_t ftl_kmodule_msg(ftl_kmodule *m, const char *fmt, ...)
{
	char small[512];
	const char *text = small;
	void *found;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n < 0)
		small[0] = '\0';
	if (n >= (int)sizeof small) {
		char *big = ftl_arena_alloc(m->arena, (size_t)n + 1);

		va_start(ap, fmt);
		vsnprintf(big, (size_t)n + 1, fmt, ap);
		va_end(ap);
		text = big;
	}
	found = ftl_map_get(m->msg_index, text);
	if (found)
		return (int64_t)((uintptr_t)found - 1);
	ftl_map_set(m->msg_index, text, number_box(m->msgs.n));
	ftl_vec_push(m->arena, &m->msgs, ftl_arena_str(m->arena, text));
	return m->msgs.n - 1;
}

uint32_t ftl_kmodule_blob(ftl_kmodule *m, const ftl_blob *b)
{
	char key[64];
	void *found;

	/* by address first: most repeats are the same blob, and hashing reads all of a big file */
	snprintf(key, sizeof key, "@%p %zu", b->data, b->bytes);
	found = b->data ? ftl_map_get(m->blob_index, key) : NULL;
	if (found)
		return (uint32_t)((uintptr_t)found - 1);
	if (b->data)
		ftl_map_set(m->blob_index, key, number_box(m->blobs.n));
	snprintf(key, sizeof key, "%d %016llx %zu", b->data != NULL, (unsigned long long)ftl_blob_hash(b), b->bytes);
	found = ftl_map_get(m->blob_index, key);
	if (found) {
		uint32_t old = (uint32_t)((uintptr_t)found - 1);
		const ftl_blob *o = m->blobs.v[old];

		if (!b->data || b->bytes == 0 || memcmp(o->data, b->data, b->bytes) == 0) {
			snprintf(key, sizeof key, "@%p %zu", b->data, b->bytes);
			ftl_map_set(m->blob_index, key, number_box(old));
			return old;
		}
	} else {
		ftl_map_set(m->blob_index, key, number_box(m->blobs.n));
	}
	ftl_vec_push(m->arena, &m->blobs, b);
	return m->blobs.n - 1;
}

ftl_kfunc *ftl_kfunc_new(ftl_arena *arena, const char *name, bool is_main)
{
	ftl_kfunc *f = FTL_NEW(arena, ftl_kfunc);

	f->arena = arena;
	f->name = ftl_arena_str(arena, name);
	f->note = "";
	f->is_main = is_main;
	ftl_vec_push(arena, &f->inst, ((ftl_kinst){0}));
	return f;
}

/* ---- canonical form ---- */

/* What identifies an operand: its constant, or its number. */
struct key {
	uint64_t what, value;
};

struct walk {
	const ftl_kfunc *f;
	uint32_t *number; /* by value id; 0 = not defined in a block yet */
	uint32_t next;
};

static void walk_init(struct walk *w, const ftl_kfunc *f, ftl_arena *scratch)
{
	*w = (struct walk){.f = f, .number = FTL_NEW_N(scratch, uint32_t, f->inst.n), .next = 1};
}

static struct key operand(const struct walk *w, ftl_kv v)
{
	const ftl_kinst *i = ftl_kinst_get(w->f, v);
	uint64_t type = (uint64_t)i->type.elem << 8 | i->type.lanes;

	if (v == 0)
		return (struct key){0, 0};
	if (w->number[v])
		return (struct key){1, w->number[v]};
	return (struct key){type << 32 | (uint64_t)i->op << 1, (uint64_t)i->imm};
}

static uint64_t hash_block(struct walk *w, const ftl_kblock *b, uint64_t h)
{
	h = ftl_hash(&b->insts.n, sizeof b->insts.n, h);
	for (uint32_t k = 0; k < b->insts.n; k++) {
		ftl_kv v = b->insts.v[k];
		const ftl_kinst *i = ftl_kinst_get(w->f, v);
		struct {
			uint64_t head;
			int64_t imm, imm2;
			struct key a[4];
		} rec;

		memset(&rec, 0, sizeof rec);
		rec.head = (uint64_t)i->op << 48 | (uint64_t)i->type.elem << 40 | (uint64_t)i->type.lanes << 32 |
			   i->nextra;
		rec.imm = i->imm;
		rec.imm2 = i->imm2;
		for (int j = 0; j < 4; j++)
			rec.a[j] = operand(w, i->a[j]);
		h = ftl_hash(&rec, sizeof rec, h);
		for (uint32_t j = 0; j < i->nextra; j++) {
			struct key x = operand(w, i->extra[j]);

			h = ftl_hash(&x, sizeof x, h);
		}
		w->number[v] = w->next++;
		if (i->body)
			h = hash_block(w, i->body, h + 1);
		if (i->els)
			h = hash_block(w, i->els, h + 2);
	}
	return h;
}

uint64_t ftl_kfunc_hash(const ftl_kfunc *f)
{
	struct walk w;
	struct key r;
	uint64_t h = ftl_hash(&f->is_main, sizeof f->is_main, f->params.n);

	walk_init(&w, f, f->arena);
	for (uint32_t k = 0; k < f->params.n; k++)
		h = ftl_hash(&f->params.v[k].type, sizeof(ftl_ktype), h);
	h = hash_block(&w, &f->body, h);
	r = operand(&w, f->result);
	return ftl_hash(&r, sizeof r, h);
}

static bool same_operand(const struct walk *x, ftl_kv a, const struct walk *y, ftl_kv b)
{
	struct key p = operand(x, a), q = operand(y, b);

	return p.what == q.what && p.value == q.value;
}

static bool same_block(struct walk *x, const ftl_kblock *a, struct walk *y, const ftl_kblock *b)
{
	if (!a || !b)
		return a == b;
	if (a->insts.n != b->insts.n)
		return false;
	for (uint32_t k = 0; k < a->insts.n; k++) {
		const ftl_kinst *i = ftl_kinst_get(x->f, a->insts.v[k]);
		const ftl_kinst *j = ftl_kinst_get(y->f, b->insts.v[k]);

		if (i->op != j->op || i->type.elem != j->type.elem || i->type.lanes != j->type.lanes ||
		    i->imm != j->imm || i->imm2 != j->imm2 || i->nextra != j->nextra)
			return false;
		for (int l = 0; l < 4; l++) {
			if (!same_operand(x, i->a[l], y, j->a[l]))
				return false;
		}
		for (uint32_t l = 0; l < i->nextra; l++) {
			if (!same_operand(x, i->extra[l], y, j->extra[l]))
				return false;
		}
		x->number[a->insts.v[k]] = x->next++;
		y->number[b->insts.v[k]] = y->next++;
		if (!same_block(x, i->body, y, j->body) || !same_block(x, i->els, y, j->els))
			return false;
	}
	return true;
}

bool ftl_kfunc_same(const ftl_kfunc *a, const ftl_kfunc *b)
{
	struct walk x, y;

	if (a == b)
		return true;
	if (a->is_main != b->is_main || a->params.n != b->params.n)
		return false;
	for (uint32_t k = 0; k < a->params.n; k++) {
		if (a->params.v[k].type.elem != b->params.v[k].type.elem)
			return false;
	}
	walk_init(&x, a, b->arena);
	walk_init(&y, b, b->arena);
	return same_block(&x, &a->body, &y, &b->body) && same_operand(&x, a->result, &y, b->result);
}

/* ---- copying ---- */

static void copy_block(ftl_kfunc *f, ftl_kblock *b)
{
	if (b->insts.n)
		b->insts.v = ftl_arena_dup(f->arena, b->insts.v, b->insts.n * sizeof *b->insts.v);
	b->insts.cap = b->insts.n;
	for (uint32_t k = 0; k < b->insts.n; k++) {
		ftl_kinst *i = ftl_kinst_get(f, b->insts.v[k]);
		ftl_kblock **inner[2] = {&i->body, &i->els};

		if (i->nextra)
			i->extra = ftl_arena_dup(f->arena, i->extra, i->nextra * sizeof *i->extra);
		for (int j = 0; j < 2; j++) {
			if (!*inner[j])
				continue;
			*inner[j] = ftl_arena_dup(f->arena, *inner[j], sizeof **inner[j]);
			copy_block(f, *inner[j]);
		}
	}
}

ftl_kfunc *ftl_kfunc_copy(ftl_arena *arena, const ftl_kfunc *from)
{
	ftl_kfunc *f = ftl_arena_dup(arena, from, sizeof *from);

	f->arena = arena;
	f->name = ftl_arena_str(arena, from->name);
	f->note = ftl_arena_str(arena, from->note);
	f->inst.v = ftl_arena_dup(arena, from->inst.v, from->inst.n * sizeof *from->inst.v);
	f->inst.cap = f->inst.n;
	if (f->params.n)
		f->params.v = ftl_arena_dup(arena, from->params.v, from->params.n * sizeof *from->params.v);
	f->params.cap = f->params.n;
	copy_block(f, &f->body);
	return f;
}
