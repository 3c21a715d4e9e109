/* Growing text, content hashes and the string map: the small containers on top of the arena. */
#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

/* ---- text ---- */

char *ftl_arena_printf(ftl_arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0; /* only a bad multibyte conversion or more than 2 GiB: nothing worth keeping */
	s = ftl_arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	if (n > 0)
		vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

void ftl_text_init(ftl_text *t, ftl_arena *a)
{
	*t = (ftl_text){.arena = a, .cap = 64};
	t->v = ftl_arena_alloc(a, t->cap);
}

/* Room for n more bytes and the NUL. */
static void reserve(ftl_text *t, size_t n)
{
	size_t cap = t->cap;
	char *v;

	if (cap - t->n > n)
		return;
	if (n > SIZE_MAX / 4 || t->n > SIZE_MAX / 4)
		ftl_arena_alloc(t->arena, SIZE_MAX); /* jumps: over any limit */
	while (cap - t->n <= n)
		cap *= 2;
	v = ftl_arena_alloc(t->arena, cap);
	memcpy(v, t->v, t->n);
	t->v = v;
	t->cap = cap;
}

void ftl_text_bytes(ftl_text *t, const char *s, size_t n)
{
	reserve(t, n);
	if (n)
		memcpy(t->v + t->n, s, n);
	t->n += n;
	t->v[t->n] = '\0';
}

void ftl_text_add(ftl_text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->v + t->n, t->cap - t->n, fmt, ap);
	va_end(ap);
	if (n < 0) {
		t->v[t->n] = '\0';
		return;
	}
	if ((size_t)n >= t->cap - t->n) {
		reserve(t, (size_t)n);
		va_start(ap, fmt);
		vsnprintf(t->v + t->n, t->cap - t->n, fmt, ap);
		va_end(ap);
	}
	t->n += (size_t)n;
}

void ftl_text_quoted(ftl_text *t, const char *s)
{
	ftl_text_quoted_n(t, s, strlen(s));
}

void ftl_text_quoted_n(ftl_text *t, const char *s, size_t n)
{
	ftl_text_bytes(t, "\"", 1);
	for (const char *end = s + n; s < end; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			ftl_text_add(t, "\\%c", c);
		else if (c == '\n')
			ftl_text_bytes(t, "\\n", 2);
		else if (c == '\t')
			ftl_text_bytes(t, "\\t", 2);
		else if (c < 0x20 || c > 0x7e)
			ftl_text_add(t, "\\x%02x", c);
		else
			ftl_text_bytes(t, s, 1);
	}
	ftl_text_bytes(t, "\"", 1);
}

/* ---- hash ---- */

uint64_t ftl_hash(const void *p, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(p, n, seed);
}

/* ---- map: open addressing, linear probing, at most half full ---- */

struct entry {
	uint64_t hash;
	const char *key; /* NULL = free */
	void *value;
};

struct ftl_map {
	ftl_arena *arena;
	struct entry *v;
	size_t n, cap; /* cap is a power of two */
	uint64_t seed;
};

ftl_map *ftl_map_new(ftl_arena *a)
{
	ftl_map *m = FTL_NEW(a, ftl_map);

	m->arena = a;
	m->cap = 16;
	m->v = FTL_NEW_N(a, struct entry, m->cap);
	/* The address is random from run to run, so a model cannot bring keys that all collide. Nothing
	 * walks a map, so the order it makes is never seen. */
	m->seed = (uint64_t)(uintptr_t)m * 0x9e3779b97f4a7c15u;
	return m;
}

static struct entry *slot(const ftl_map *m, const char *key, uint64_t hash)
{
	size_t i = (size_t)hash & (m->cap - 1);

	while (m->v[i].key && (m->v[i].hash != hash || strcmp(m->v[i].key, key) != 0))
		i = (i + 1) & (m->cap - 1);
	return &m->v[i];
}

void *ftl_map_get(const ftl_map *m, const char *key)
{
	return slot(m, key, ftl_hash(key, strlen(key), m->seed))->value;
}

static void map_grow(ftl_map *m)
{
	struct entry *old = m->v;
	size_t ncap = m->cap * 2;
	struct entry *v = FTL_NEW_N(m->arena, struct entry, ncap);

	for (size_t i = 0; i < m->cap; i++) {
		size_t j = (size_t)old[i].hash & (ncap - 1);

		if (!old[i].key)
			continue;
		while (v[j].key)
			j = (j + 1) & (ncap - 1);
		v[j] = old[i];
	}
	m->v = v;
	m->cap = ncap;
}

void ftl_map_set(ftl_map *m, const char *key, void *value)
{
	uint64_t hash = ftl_hash(key, strlen(key), m->seed);
	struct entry *e = slot(m, key, hash);

	if (!e->key) {
		const char *copy = ftl_arena_str(m->arena, key);

		if (m->n >= m->cap / 2) {
			map_grow(m);
			e = slot(m, key, hash);
		}
		e->hash = hash;
		e->key = copy;
		m->n++;
	}
	e->value = value;
}
