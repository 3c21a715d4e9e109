/* Arena: chunks that grow, a list of cleanups, and the jump that ends an allocation nobody can serve.
 *
 * Chunk memory is never handed out twice, so a chunk that came zeroed (calloc) needs no clearing and big
 * arrays cost only the pages that are touched. Under AddressSanitizer everything not handed out is poisoned.
 * Must not: return NULL, or jump while it holds something no arena owns. */
#include "base/arena.h"
#include "base/status.h"

#include <assert.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif

#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define RED_ZONE 16
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define RED_ZONE 0
#endif

#define ALIGN 16
#define CHUNK_MIN ((size_t)4096)
#define CHUNK_MAX ((size_t)1 << 20)

struct ftl_arena_chunk {
	ftl_arena_chunk *next;
	char *mem; /* aligned start of what is handed out */
	size_t cap, used;
};

struct ftl_cleanup {
	ftl_cleanup *next;
	void (*fn)(void *p);
	void *p;
};

static void *malloc_alloc(void *user, size_t bytes)
{
	FTL_UNUSED(user);
	return calloc(1, bytes);
}

static void malloc_free(void *user, void *p)
{
	FTL_UNUSED(user);
	free(p);
}

const ftl_allocator ftl_malloc_allocator = {malloc_alloc, malloc_free, NULL};

void ftl_arena_init(ftl_arena *a, const ftl_allocator *mem, ftl_landing *landing, size_t limit)
{
	*a = (ftl_arena){.mem = mem ? mem : &ftl_malloc_allocator, .landing = landing, .limit = limit};
}

static ftl_arena_chunk *chunk_new(ftl_arena *a, size_t cap)
{
	size_t bytes = sizeof(ftl_arena_chunk) + ALIGN + cap;
	ftl_arena_chunk *c;
	uintptr_t start;

	if (bytes < cap)
		return NULL;
	c = a->mem->alloc(a->mem->user, bytes);
	if (!c)
		return NULL;
	if (a->mem->alloc != malloc_alloc)
		memset(c, 0, bytes);
	start = ((uintptr_t)(c + 1) + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);
	c->mem = (char *)start;
	c->cap = cap;
	POISON(c->mem, c->cap);
	return c;
}

/* NULL and the reason in *why when it cannot be had. */
static void *try_alloc(ftl_arena *a, size_t bytes, ftl_status_code *why)
{
	ftl_arena_chunk *c = a->head;
	size_t need;
	void *p;

	*why = FTL_ERR_MEMORY;
	if (bytes > SIZE_MAX / 2) {
		*why = FTL_ERR_LIMIT;
		return NULL;
	}
	need = (bytes + RED_ZONE + (bytes == 0) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (a->limit && (need > a->limit || a->used > a->limit - need)) {
		*why = FTL_ERR_LIMIT;
		return NULL;
	}
	if (!c || c->cap - c->used < need) {
		size_t size = c ? c->cap * 2 : CHUNK_MIN;

		if (size < CHUNK_MIN)
			size = CHUNK_MIN;
		if (size > CHUNK_MAX)
			size = CHUNK_MAX;
		if (need > size / 2) {
			/* its own chunk, behind the head so that the head's rest stays in use */
			c = chunk_new(a, need);
			if (!c)
				return NULL;
			if (a->head) {
				c->next = a->head->next;
				a->head->next = c;
			} else {
				a->head = c;
			}
		} else {
			c = chunk_new(a, size);
			if (!c)
				return NULL;
			c->next = a->head;
			a->head = c;
		}
	}
	p = c->mem + c->used;
	c->used += need;
	a->used += need;
	UNPOISON(p, bytes);
	return p;
}

_Noreturn static void jump(ftl_arena *a, ftl_status_code why)
{
	assert(a->landing && "an arena that may run out needs a landing");
	a->landing->status = why;
	longjmp(a->landing->jump, 1);
}

void *ftl_arena_alloc(ftl_arena *a, size_t bytes)
{
	ftl_status_code why;
	void *p = try_alloc(a, bytes, &why);

	if (!p)
		jump(a, why);
	return p;
}

void *ftl_arena_array(ftl_arena *a, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		jump(a, FTL_ERR_LIMIT);
	return ftl_arena_alloc(a, bytes);
}

void *ftl_arena_dup(ftl_arena *a, const void *p, size_t bytes)
{
	void *q = ftl_arena_alloc(a, bytes);

	if (bytes)
		memcpy(q, p, bytes);
	return q;
}

char *ftl_arena_strn(ftl_arena *a, const char *s, size_t n)
{
	char *q;

	if (n == SIZE_MAX)
		jump(a, FTL_ERR_LIMIT);
	q = ftl_arena_alloc(a, n + 1);
	if (n)
		memcpy(q, s, n);
	return q;
}

char *ftl_arena_str(ftl_arena *a, const char *s)
{
	return ftl_arena_strn(a, s, strlen(s));
}

void ftl_arena_defer(ftl_arena *a, void (*fn)(void *p), void *p)
{
	ftl_status_code why;
	ftl_cleanup *c = try_alloc(a, sizeof *c, &why);

	if (!c) {
		/* the caller has handed p over: it must not leak because we found no room to note it */
		fn(p);
		jump(a, why);
	}
	c->fn = fn;
	c->p = p;
	c->next = a->cleanups;
	a->cleanups = c;
}

void ftl_arena_reset(ftl_arena *a)
{
	ftl_arena_chunk *c;

	while (a->cleanups) {
		ftl_cleanup *k = a->cleanups;

		a->cleanups = k->next;
		k->fn(k->p);
	}
	while ((c = a->head)) {
		a->head = c->next;
		UNPOISON(c->mem, c->cap);
		a->mem->free(a->mem->user, c);
	}
	a->used = 0;
}

void ftl_arena_free(ftl_arena *a)
{
	ftl_arena_reset(a);
}

void *ftl_vec_grow(ftl_arena *a, void *old, size_t size, uint32_t *cap)
{
	uint32_t n = *cap, more;
	void *v;

	if (n > UINT32_MAX / 2)
		jump(a, FTL_ERR_LIMIT);
	more = n ? 2 * n : 8;
	v = ftl_arena_array(a, more, size);
	if (n)
		memcpy(v, old, n * size);
	*cap = more;
	return v;
}
