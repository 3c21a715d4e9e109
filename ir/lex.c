/* Characters to tokens, and where an error is. The text is hostile input: nothing reads past its end, and
 * line and column are only counted when there is an error to report. */
#include <stdio.h>
#include <string.h>

#include "parse.h"

ftl_status ftl_parse_fail(parser *p, const char *at, const char *fmt, ...)
{
	char reason[640];
	unsigned line = 1;
	const char *start = p->text;
	va_list ap;

	for (const char *c = p->text; c < at; c++) {
		if (*c == '\n') {
			line++;
			start = c + 1;
		}
	}
	va_start(ap, fmt);
	vsnprintf(reason, sizeof reason, fmt, ap);
	va_end(ap);
	return ftl_fail(p->d, FTL_ERR_MODEL, "%s:%u:%u: %s", p->file ? p->file : "<text>", line,
			(unsigned)(at - start) + 1, reason);
}

char ftl_lex_peek(parser *p)
{
	for (;;) {
		p->s += strspn(p->s, " \t\r\n");
		if (*p->s != '#')
			return *p->s;
		p->s += strcspn(p->s, "\n");
	}
}

bool ftl_lex_take(parser *p, char c)
{
	if (ftl_lex_peek(p) != c || c == 0)
		return false;
	p->s++;
	return true;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

bool ftl_lex_take_word(parser *p, const char *word)
{
	size_t n = strlen(word);

	ftl_lex_peek(p);
	if (strncmp(p->s, word, n) != 0 || name_char(p->s[n]))
		return false;
	p->s += n;
	return true;
}

ftl_status ftl_lex_want(parser *p, char c)
{
	char next = ftl_lex_peek(p);

	if (next == c) {
		p->s++;
		return FTL_OK;
	}
	if (next == 0)
		return ftl_parse_fail(p, p->s, "expected '%c' before the end", c);
	return ftl_parse_fail(p, p->s, "expected '%c' before '%c'", c, next >= ' ' && next <= '~' ? next : '?');
}

ftl_status ftl_lex_token(parser *p, const char *what, const char **out, size_t *out_n)
{
	size_t n = 0;

	ftl_lex_peek(p);
	while (name_char(p->s[n]) || p->s[n] == '+' || p->s[n] == '-')
		n++;
	if (n == 0)
		return ftl_parse_fail(p, p->s, "expected %s", what);
	*out = p->s;
	*out_n = n;
	p->s += n;
	return FTL_OK;
}

ftl_status ftl_lex_name(parser *p, char sigil, const char **out)
{
	size_t n = 0;

	FTL_TRY(ftl_lex_want(p, sigil));
	if (sigil == '@' && *p->s == '"')
		return ftl_lex_string(p, out);
	while (name_char(p->s[n]))
		n++;
	if (n == 0)
		return ftl_parse_fail(p, p->s, "expected a name after '%c'", sigil);
	*out = ftl_arena_strn(p->arena, p->s, n);
	p->s += n;
	return FTL_OK;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

ftl_status ftl_lex_string(parser *p, const char **out)
{
	const char *at = p->s;
	ftl_str s;

	FTL_TRY(ftl_lex_bytes(p, &s));
	if (memchr(s.p, 0, s.n))
		return ftl_parse_fail(p, at, "bad escape in a string");
	*out = s.p;
	return FTL_OK;
}

ftl_status ftl_lex_bytes(parser *p, ftl_str *out)
{
	const char *start, *end;
	char *buf;
	size_t n = 0;

	FTL_TRY(ftl_lex_want(p, '"'));
	start = end = p->s;
	while (*end && *end != '"' && *end != '\n')
		end += *end == '\\' && end[1] ? 2 : 1;
	if (*end != '"')
		return ftl_parse_fail(p, start - 1, "this string has no end");
	buf = ftl_arena_alloc(p->arena, (size_t)(end - start) + 1);
	for (const char *c = start; c < end;) {
		if (*c != '\\') {
			buf[n++] = *c++;
		} else if (c[1] == 'x') {
			int hi = hex_digit(c[2]), lo = hi < 0 ? -1 : hex_digit(c[3]);

			if (lo < 0)
				return ftl_parse_fail(p, c, "bad escape in a string");
			buf[n++] = (char)(hi * 16 + lo);
			c += 4;
		} else {
			const char *k = strchr("\"\\nt", c[1]);

			if (!k)
				return ftl_parse_fail(p, c, "bad escape in a string");
			buf[n++] = "\"\\\n\t"[k - "\"\\nt"];
			c += 2;
		}
	}
	p->s = end + 1;
	*out = (ftl_str){buf, n};
	return FTL_OK;
}
