/* Functions on strings that compiled code calls: how the code says which, where they are, and their source text, which
 * emitted C carries with it (string_fns.h). */
#ifndef BASE_STRING_CALLS_H
#define BASE_STRING_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fettle_strings;

typedef enum ftl_string_call {
#define STRING_CALL(name, section, operands) FTL_STRING_##name,
#include "../../string_calls.def"
#undef STRING_CALL
	FTL_STRING_CALLS
} ftl_string_call;

typedef int64_t (*ftl_string_fn)(struct fettle_strings *s, int64_t a, int64_t b, int64_t c);

typedef struct ftl_string_info {
	const char *name; /* fettle_str_NAME in the text */
	const char *section;
	int operands;
} ftl_string_info;

extern const ftl_string_fn ftl_string_fns[FTL_STRING_CALLS];
const ftl_string_info *ftl_string_info_get(int call);
/* The part of the text with this name: C99 that needs stdint, string, and for numbers errno, stdio and stdlib. */
const char *ftl_string_text(const char *section, size_t *out_n);

/* The memory of a run's strings; chunks come from alloc and are the caller's to free. Has the size of fettle_strings. */
typedef struct ftl_string_memory {
	const void *calls;
	void *(*alloc)(void *user, size_t bytes);
	void *user;
	void *chunks; /* newest first; each begins with the address of the one before */
	char *at;
	size_t left;
} ftl_string_memory;
void ftl_string_memory_init(ftl_string_memory *s, void *(*alloc)(void *user, size_t bytes), void *user);

/* A list of strings as bytes that need no pointers: where each one's bytes begin, as many numbers, and then what a string
 * is at run time (the number of bytes, the bytes, a NUL), so that such a number and the address of the whole make a string. */
typedef struct ftl_str {
	const char *p; /* n bytes; a NUL follows them */
	size_t n;
} ftl_str;
size_t ftl_strings_packed_size(const ftl_str *v, size_t n); /* 0: too much */
void ftl_strings_pack(const ftl_str *v, size_t n, void *out);

#endif
