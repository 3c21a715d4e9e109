/* Layout: "!<arch>\n", member "/" (count of symbols, for each the place of its member's header, all 32-bit big-endian,
 * then their names), then the object. Members start at even places. */
#include "archive.h"

#include <stdio.h>

#include "base/file.h"

enum { HEAD = 60, MAGIC = 8 };

static void header(char *out, const char *name, size_t size)
{
	char text[96];

	snprintf(text, sizeof text, "%-16s%-12d%-6d%-6d%-8d%-10zu`\n", name, 0, 0, 0, 644, size);
	memcpy(out, text, HEAD);
}

static void big_endian(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

ftl_status ftl_archive_write(const char *path, ftl_arena *scratch, const char *member, const void *data, size_t n,
			     const char *const *symbols, size_t nsymbols, ftl_diag *d)
{
	size_t names = 0, index, at;
	ftl_span spans[3];
	uint8_t *front;

	if (n > 9999999999u)
		return ftl_fail(d, FTL_ERR_LIMIT, "%s: an archive member holds at most 10 GB", path);
	for (size_t i = 0; i < nsymbols; i++)
		names += strlen(symbols[i]) + 1;
	index = 4 + 4 * nsymbols + names;
	index += index % 2;
	front = ftl_arena_alloc(scratch, MAGIC + HEAD + index + HEAD);
	memcpy(front, "!<arch>\n", MAGIC);
	header((char *)front + MAGIC, "/", index);
	at = MAGIC + HEAD;
	big_endian(front + at, (uint32_t)nsymbols);
	for (size_t i = 0; i < nsymbols; i++)
		big_endian(front + at + 4 + 4 * i, (uint32_t)(MAGIC + HEAD + index));
	at += 4 + 4 * nsymbols;
	for (size_t i = 0; i < nsymbols; i++) {
		memcpy(front + at, symbols[i], strlen(symbols[i]) + 1);
		at += strlen(symbols[i]) + 1;
	}
	header((char *)front + MAGIC + HEAD + index, ftl_arena_printf(scratch, "%.14s/", member), n);
	spans[0] = (ftl_span){front, MAGIC + HEAD + index + HEAD};
	spans[1] = (ftl_span){data, n};
	spans[2] = (ftl_span){"\n", n % 2};
	return ftl_file_write_spans(path, spans, 3, d);
}
