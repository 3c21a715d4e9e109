/* Symbolic dimensions: the table that gives equal expressions one id, and symbols.
 *
 * An expression is made once and never changes, except that a symbol's bounds may be narrowed; bounds
 * derived from it follow. Memory is the arena's; the table grows with distinct expressions. */
#include "dim_impl.h"

#include <assert.h>

static void free_temp(void *st)
{
	ftl_arena_free(&((ftl_symtab *)st)->temp);
}

ftl_symtab *ftl_symtab_new(ftl_arena *arena)
{
	ftl_symtab *st = FTL_NEW(arena, ftl_symtab);

	st->arena = arena;
	ftl_arena_init(&st->temp, arena->mem, arena->landing, arena->limit);
	ftl_arena_defer(arena, free_temp, st);
	st->epoch = 1;
	st->nslot = 64;
	st->slot = FTL_NEW_N(arena, uint32_t, st->nslot);
	st->seed = (uint64_t)(uintptr_t)st * 0x9e3779b97f4a7c15u; /* see ftl_map_new */
	st->names = ftl_map_new(arena);
	st->fresh = ftl_map_new(arena);
	ftl_vec_push(arena, &st->all, (dim_entry){0});
	return st;
}

const ftl_dim_node *ftl_dim_get(const ftl_symtab *st, ftl_dim d)
{
	assert(d != FTL_DIM_NONE && d < st->all.n);
	return &st->all.v[d].pub;
}

uint32_t ftl_dim_count(const ftl_symtab *st)
{
	return st->all.n - 1;
}

/* ---- order ---- */

static int cmp_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int cmp_i64(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* Symbols first and constants last: how people write them. */
static uint32_t rank(ftl_dim_kind k)
{
	switch (k) {
	case FTL_DIM_SYM: return 0;
	case FTL_DIM_SUM: return 1;
	case FTL_DIM_DIV: return 2;
	case FTL_DIM_MOD: return 3;
	case FTL_DIM_MIN: return 4;
	case FTL_DIM_MAX: return 5;
	case FTL_DIM_CONST: break;
	}
	return 6;
}

static int cmp_atoms(const ftl_symtab *st, uint32_t na, const ftl_dim *a, uint32_t nb, const ftl_dim *b)
{
	int c = cmp_u32(nb, na);

	for (uint32_t i = 0; c == 0 && i < na; i++)
		c = dim_cmp(st, a[i], b[i]);
	return c;
}

int dim_cmp(const ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	const ftl_dim_node *x = &dim_at(st, a)->pub, *y = &dim_at(st, b)->pub;
	int c;

	if (a == b)
		return 0;
	c = cmp_u32(rank(x->kind), rank(y->kind));
	if (c)
		return c;
	switch (x->kind) {
	case FTL_DIM_CONST: return cmp_i64(x->value, y->value);
	case FTL_DIM_SYM: return strcmp(x->name, y->name);
	case FTL_DIM_SUM:
		for (uint32_t i = 0; c == 0 && i < x->n && i < y->n; i++) {
			c = cmp_atoms(st, x->term[i].n, x->term[i].atom, y->term[i].n, y->term[i].atom);
			if (c == 0)
				c = cmp_i64(x->term[i].coef, y->term[i].coef);
		}
		return c ? c : cmp_u32(x->n, y->n);
	default: break;
	}
	c = dim_cmp(st, x->a, y->a);
	return c ? c : dim_cmp(st, x->b, y->b);
}

int dim_mono_cmp(const ftl_symtab *st, const mono *a, const mono *b)
{
	return cmp_atoms(st, a->n, a->atom, b->n, b->atom);
}

/* ---- table ---- */

static uint64_t hash_node(const ftl_symtab *st, const ftl_dim_node *n)
{
	uint64_t h = st->seed + (uint64_t)n->kind;

	switch (n->kind) {
	case FTL_DIM_CONST: return ftl_hash(&n->value, sizeof n->value, h);
	case FTL_DIM_SYM: return ftl_hash(n->name, strlen(n->name), h);
	case FTL_DIM_SUM:
		for (uint32_t i = 0; i < n->n; i++) {
			h = ftl_hash(&n->term[i].coef, sizeof n->term[i].coef, h);
			h = ftl_hash(n->term[i].atom, n->term[i].n * sizeof(ftl_dim), h);
		}
		return h;
	default: break;
	}
	return ftl_hash((ftl_dim[2]){n->a, n->b}, 2 * sizeof(ftl_dim), h);
}

static bool same_node(const ftl_dim_node *x, const ftl_dim_node *y)
{
	if (x->kind != y->kind)
		return false;
	switch (x->kind) {
	case FTL_DIM_CONST: return x->value == y->value;
	case FTL_DIM_SYM: return strcmp(x->name, y->name) == 0;
	case FTL_DIM_SUM:
		if (x->n != y->n)
			return false;
		for (uint32_t i = 0; i < x->n; i++) {
			const ftl_dim_term *s = &x->term[i], *t = &y->term[i];

			if (s->coef != t->coef || s->n != t->n ||
			    (s->n && memcmp(s->atom, t->atom, s->n * sizeof(ftl_dim)) != 0))
				return false;
		}
		return true;
	default: return x->a == y->a && x->b == y->b;
	}
}

static void table_grow(ftl_symtab *st)
{
	uint32_t n = st->nslot * 2;
	uint32_t *slot = FTL_NEW_N(st->arena, uint32_t, n);

	for (uint32_t d = 1; d < st->all.n; d++) {
		uint32_t i = (uint32_t)st->all.v[d].hash & (n - 1);

		while (slot[i])
			i = (i + 1) & (n - 1);
		slot[i] = d;
	}
	st->slot = slot;
	st->nslot = n;
}

/* Weight and nesting of a node from its operands; false past the bounds. */
static bool measure(const ftl_symtab *st, const ftl_dim_node *n, uint32_t *out_weight, uint32_t *out_depth)
{
	uint32_t weight = 1, depth = 0;

	if (n->kind == FTL_DIM_SUM) {
		for (uint32_t i = 0; i < n->n; i++) {
			weight++;
			for (uint32_t j = 0; j < n->term[i].n; j++) {
				const dim_entry *e = dim_at(st, n->term[i].atom[j]);

				weight += e->weight;
				depth = e->depth > depth ? e->depth : depth;
			}
		}
	} else if (n->kind != FTL_DIM_CONST && n->kind != FTL_DIM_SYM) {
		const dim_entry *a = dim_at(st, n->a), *b = dim_at(st, n->b);

		weight += a->weight + b->weight;
		depth = 1 + (a->depth > b->depth ? a->depth : b->depth);
	}
	*out_weight = weight;
	*out_depth = depth;
	return weight <= DIM_MAX_WEIGHT && depth <= DIM_MAX_DEPTH;
}

static const ftl_dim_term *copy_terms(ftl_symtab *st, const ftl_dim_node *n)
{
	ftl_arena *arena = st->proving ? &st->temp : st->arena;
	ftl_dim_term *t = FTL_NEW_N(arena, ftl_dim_term, n->n);
	ftl_dim *atom;
	size_t atoms = 0;

	for (uint32_t k = 0; k < n->n; k++)
		atoms += n->term[k].n;
	atom = FTL_NEW_N(arena, ftl_dim, atoms);
	for (uint32_t k = 0; k < n->n; k++) {
		t[k] = n->term[k];
		if (t[k].n)
			memcpy(atom, t[k].atom, t[k].n * sizeof(ftl_dim));
		t[k].atom = atom;
		atom += t[k].n;
	}
	return t;
}

/* The id of n, made if it is new. Terms and names of n may be the caller's: they are copied. */
static ftl_dim intern(ftl_symtab *st, const ftl_dim_node *n)
{
	dim_entry e = {.pub = *n, .hash = hash_node(st, n)};
	uint32_t i = (uint32_t)e.hash & (st->nslot - 1);

	for (; st->slot[i]; i = (i + 1) & (st->nslot - 1)) {
		const dim_entry *have = dim_at(st, st->slot[i]);

		if (have->hash == e.hash && same_node(&have->pub, n))
			return st->slot[i];
	}
	if (!measure(st, n, &e.weight, &e.depth) || st->all.n == UINT32_MAX / 4)
		return FTL_DIM_NONE;
	if (n->kind == FTL_DIM_CONST) {
		e.pub.lo = e.pub.hi = n->value;
	} else if (n->kind == FTL_DIM_SYM) {
		e.pub.name = ftl_arena_str(st->arena, n->name);
	} else {
		interval b = dim_bounds(st, n);

		if (b.lo == b.hi && b.lo != INT64_MIN && b.hi != INT64_MAX)
			return ftl_dim_const(st, b.lo);
		e.pub.lo = b.lo;
		e.pub.hi = b.hi;
	}
	if (n->kind == FTL_DIM_SUM) {
		e.pub.term = copy_terms(st, n);
	}
	if (st->all.n >= st->nslot / 2) {
		table_grow(st);
		i = (uint32_t)e.hash & (st->nslot - 1);
		while (st->slot[i])
			i = (i + 1) & (st->nslot - 1);
	}
	ftl_vec_push(st->arena, &st->all, e);
	st->slot[i] = st->all.n - 1;
	return st->all.n - 1;
}

/* Newest first: with linear probing no other entry was put where it is because of this one. */
void dim_forget(ftl_symtab *st, ftl_dim mark)
{
	while (st->all.n > mark) {
		ftl_dim d = --st->all.n;
		uint32_t i = (uint32_t)dim_at(st, d)->hash & (st->nslot - 1);

		assert(dim_kind(st, d) != FTL_DIM_SYM);
		while (st->slot[i] != d)
			i = (i + 1) & (st->nslot - 1);
		st->slot[i] = 0;
	}
	if (st->temp.used)
		ftl_arena_reset(&st->temp);
}

ftl_dim ftl_dim_const(ftl_symtab *st, int64_t v)
{
	return intern(st, &(ftl_dim_node){.kind = FTL_DIM_CONST, .value = v});
}

ftl_dim dim_binary(ftl_symtab *st, ftl_dim_kind kind, ftl_dim a, ftl_dim b)
{
	return intern(st, &(ftl_dim_node){.kind = kind, .a = a, .b = b});
}

ftl_dim dim_from_poly(ftl_symtab *st, const poly *p)
{
	ftl_dim_term term[DIM_MAX_TERMS];

	if (p->n == 0)
		return ftl_dim_const(st, 0);
	if (p->n == 1 && p->t[0].n == 0)
		return ftl_dim_const(st, p->t[0].coef);
	if (p->n == 1 && p->t[0].n == 1 && p->t[0].coef == 1)
		return p->t[0].atom[0];
	for (uint32_t i = 0; i < p->n; i++)
		term[i] = (ftl_dim_term){p->t[i].coef, p->t[i].n, p->t[i].atom};
	return intern(st, &(ftl_dim_node){.kind = FTL_DIM_SUM, .n = p->n, .term = term});
}

ftl_dim dim_from_mono(ftl_symtab *st, const mono *m)
{
	ftl_dim_term term = {m->coef, m->n, m->atom};

	if (m->n == 0 || m->coef == 0)
		return ftl_dim_const(st, m->coef);
	if (m->n == 1 && m->coef == 1)
		return m->atom[0];
	return intern(st, &(ftl_dim_node){.kind = FTL_DIM_SUM, .n = 1, .term = &term});
}

/* ---- symbols ---- */

ftl_dim dim_sym_any(ftl_symtab *st, const char *name, bool any_int)
{
	ftl_dim d = (ftl_dim)(uintptr_t)ftl_map_get(st->names, name);

	if (d)
		return dim_at(st, d)->any_int == any_int ? d : FTL_DIM_NONE;
	d = intern(st,
		   &(ftl_dim_node){.kind = FTL_DIM_SYM, .name = name, .lo = any_int ? INT64_MIN : 0, .hi = INT64_MAX});
	if (d == FTL_DIM_NONE)
		return d;
	dim_at(st, d)->any_int = any_int;
	ftl_map_set(st->names, name, (void *)(uintptr_t)d);
	return d;
}

ftl_dim ftl_dim_sym(ftl_symtab *st, const char *name)
{
	ftl_dim d = (ftl_dim)(uintptr_t)ftl_map_get(st->names, name);

	return d ? d : dim_sym_any(st, name, false);
}

static ftl_dim fresh(ftl_symtab *st, const char *hint, bool any_int)
{
	const char *name = hint = hint && *hint ? hint : "n";
	uintptr_t k = (uintptr_t)ftl_map_get(st->fresh, hint);

	while (ftl_map_get(st->names, name))
		name = ftl_arena_printf(st->arena, "%s_%lu", hint, (unsigned long)++k);
	ftl_map_set(st->fresh, hint, (void *)k);
	return dim_sym_any(st, name, any_int);
}

ftl_dim ftl_dim_fresh(ftl_symtab *st, const char *hint)
{
	return fresh(st, hint, false);
}

ftl_dim ftl_dim_fresh_int(ftl_symtab *st, const char *hint)
{
	return fresh(st, hint, true);
}

void ftl_dim_set_bounds(ftl_symtab *st, ftl_dim sym, int64_t lo, int64_t hi)
{
	dim_entry *s;

	if (sym == FTL_DIM_NONE || dim_kind(st, sym) != FTL_DIM_SYM)
		return;
	s = dim_at(st, sym);
	lo = lo > s->pub.lo ? lo : s->pub.lo;
	hi = hi < s->pub.hi ? hi : s->pub.hi;
	if (lo > hi || (lo == s->pub.lo && hi == s->pub.hi))
		return; /* contradicts what is known, or says nothing new */
	s->pub.lo = lo;
	s->pub.hi = hi;
	st->epoch++;
	/* operands have smaller ids, so one sweep brings everything up to date */
	for (ftl_dim d = sym + 1; d < st->all.n; d++) {
		ftl_dim_node *n = &st->all.v[d].pub;
		interval b;

		if (n->kind == FTL_DIM_CONST || n->kind == FTL_DIM_SYM)
			continue;
		b = dim_bounds(st, n);
		if (b.lo > n->lo && b.lo <= n->hi)
			n->lo = b.lo;
		if (b.hi < n->hi && b.hi >= n->lo)
			n->hi = b.hi;
	}
}

void ftl_dim_set_upper(ftl_symtab *st, ftl_dim sym, ftl_dim upper)
{
	if (sym == FTL_DIM_NONE || dim_kind(st, sym) != FTL_DIM_SYM || sym == upper)
		return;
	dim_at(st, sym)->upper = upper;
	st->epoch++;
	if (upper != FTL_DIM_NONE)
		ftl_dim_set_bounds(st, sym, INT64_MIN, ftl_dim_hi(st, upper));
}

ftl_dim ftl_dim_upper(const ftl_symtab *st, ftl_dim sym)
{
	return sym == FTL_DIM_NONE ? FTL_DIM_NONE : dim_at(st, sym)->upper;
}
