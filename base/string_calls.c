/* Strings of running models: the functions of string_fns.h as a table and as text, and lists of strings as bytes. */
#include "base/string_calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "string_fns.h"

const ftl_string_fn ftl_string_fns[FTL_STRING_CALLS] = {
#define STRING_CALL(name, section, operands) [FTL_STRING_##name] = fettle_str_##name,
#include "string_calls.def"
#undef STRING_CALL
};

static const ftl_string_info info[FTL_STRING_CALLS] = {
#define STRING_CALL(name, section, operands) {#name, #section, operands},
#include "string_calls.def"
#undef STRING_CALL
};

static const unsigned char text[] = {
#include "string_fns.h.inc"
	0};

_Static_assert(sizeof(ftl_string_memory) == sizeof(fettle_strings), "the two describe one thing");

const ftl_string_info *ftl_string_info_get(int call)
{
	return &info[call];
}

/* Sections begin with a line that says their name between slash-star-at and star-slash. */
const char *ftl_string_text(const char *section, size_t *out_n)
{
	const char *line = (const char *)text, *end = line + sizeof text - 1, *from = NULL;
	size_t n = strlen(section);

	while (line < end) {
		const char *next = memchr(line, '\n', (size_t)(end - line));

		next = next ? next + 1 : end;
		if (next - line > 3 && memcmp(line, "/*@", 3) == 0) {
			if (from) {
				end = line;
				break;
			}
			if ((size_t)(next - line) == n + 6 && memcmp(line + 3, section, n) == 0)
				from = next;
		}
		line = next;
	}
	*out_n = from ? (size_t)(end - from) : 0;
	return from;
}

void ftl_string_memory_init(ftl_string_memory *s, void *(*alloc)(void *user, size_t bytes), void *user)
{
	*s = (ftl_string_memory){.calls = ftl_string_fns, .alloc = alloc, .user = user};
}

size_t ftl_strings_packed_size(const ftl_str *v, size_t n)
{
	size_t bytes;

	if (n > SIZE_MAX / 64)
		return 0;
	bytes = 8 * n + 8;
	for (size_t k = 0; k < n; k++) {
		if (v[k].n > SIZE_MAX / 4 - bytes)
			return 0;
		bytes += (v[k].n + 16) & ~(size_t)7;
	}
	return bytes;
}

void ftl_strings_pack(const ftl_str *v, size_t n, void *out)
{
	uint64_t at = 8 * (uint64_t)n;
	char *p = out;

	memset(p, 0, ftl_strings_packed_size(v, n));
	for (size_t k = 0; k < n; k++) {
		uint64_t size = v[k].n, bytes = at + 8;

		memcpy(p + 8 * k, &bytes, 8);
		memcpy(p + at, &size, 8);
		if (size)
			memcpy(p + bytes, v[k].p, v[k].n);
		at += (size + 16) & ~(uint64_t)7;
	}
}
