/* Arena: memory that lives and dies together.
 *
 * ftl_arena_alloc never returns NULL: when memory or the arena's byte limit runs
 * out it longjmps to the arena's landing pad, which the API entry point installs
 * (see api/). Code between holds no resource that an arena or a registered cleanup
 * does not own, so nothing leaks. Memory is zeroed and 16-byte aligned. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The allocator below everything; tests hand in one that fails on the k-th call. */
typedef struct ftl_allocator {
	void *(*alloc)(void *user, size_t bytes);
	void (*free)(void *user, void *p);
	void *user;
} ftl_allocator;

extern const ftl_allocator ftl_malloc_allocator;

/* Where an arena jumps to when it cannot allocate. status says why: FTL_ERR_MEMORY or FTL_ERR_LIMIT. */
typedef struct ftl_landing {
	jmp_buf jump;
	int status;
} ftl_landing;

typedef struct ftl_arena_chunk ftl_arena_chunk;
typedef struct ftl_cleanup ftl_cleanup;

typedef struct ftl_arena {
	const ftl_allocator *mem;
	ftl_landing *landing;
	ftl_arena_chunk *head;
	ftl_cleanup *cleanups;
	size_t used, limit; /* bytes handed out; limit 0 = none */
} ftl_arena;

/* mem NULL = malloc. landing must outlive the arena's use. */
void ftl_arena_init(ftl_arena *a, const ftl_allocator *mem, ftl_landing *landing, size_t limit);
void *ftl_arena_alloc(ftl_arena *a, size_t bytes);
/* n * size with overflow check (an overflow is a limit error). */
void *ftl_arena_array(ftl_arena *a, size_t n, size_t size);
void *ftl_arena_dup(ftl_arena *a, const void *p, size_t bytes);
char *ftl_arena_str(ftl_arena *a, const char *s);
char *ftl_arena_strn(ftl_arena *a, const char *s, size_t n);
char *ftl_arena_printf(ftl_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* fn(p) runs when the arena is reset or freed, newest first: unmap files, free big blobs. */
void ftl_arena_defer(ftl_arena *a, void (*fn)(void *p), void *p);
void ftl_arena_reset(ftl_arena *a); /* frees all, keeps the settings */
void ftl_arena_free(ftl_arena *a);

#define FTL_NEW(arena, type) ((type *)ftl_arena_alloc(arena, sizeof(type)))
#define FTL_NEW_N(arena, type, n) ((type *)ftl_arena_array(arena, (n), sizeof(type)))

/* Growable array in an arena: struct { T *v; uint32_t n, cap; }. Growth doubles; the old copy stays in the arena. */
#define FTL_VEC(T)                                                                                                     \
	struct {                                                                                                       \
		T *v;                                                                                                  \
		uint32_t n, cap;                                                                                       \
	}
#define ftl_vec_push(arena, vec, x)                                                                                    \
	do {                                                                                                           \
		if ((vec)->n == (vec)->cap)                                                                            \
			(vec)->v = ftl_vec_grow(arena, (vec)->v, sizeof *(vec)->v, &(vec)->cap);                       \
		(vec)->v[(vec)->n++] = (x);                                                                            \
	} while (0)
void *ftl_vec_grow(ftl_arena *a, void *old, size_t size, uint32_t *cap);

/* Growing text in an arena; .v is always NUL-terminated. */
typedef struct ftl_text {
	ftl_arena *arena;
	char *v;
	size_t n, cap;
} ftl_text;
void ftl_text_init(ftl_text *t, ftl_arena *a);
void ftl_text_add(ftl_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ftl_text_bytes(ftl_text *t, const char *s, size_t n);
/* s in double quotes, with \" \\ \n \t and \xHH for everything outside printable ASCII. */
void ftl_text_quoted(ftl_text *t, const char *s);
void ftl_text_quoted_n(ftl_text *t, const char *s, size_t n);

/* Content hashes (xxHash3, 64 bit). */
uint64_t ftl_hash(const void *p, size_t n, uint64_t seed);

/* String -> pointer map in an arena; keys are copied. */
typedef struct ftl_map ftl_map;
ftl_map *ftl_map_new(ftl_arena *a);
void *ftl_map_get(const ftl_map *m, const char *key);
void ftl_map_set(ftl_map *m, const char *key, void *value);

#endif
