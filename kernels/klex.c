/* Tokens of kernel IR text. The text is hostile input: it ends in a NUL that nothing steps over, every number is
 * range-checked, and line and column are only counted when there is an error to report. */
#include "klex.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kfold.h"

ftl_status ftl_klex_fail(ftl_klex *p, const char *at, const char *fmt, ...)
{
	char reason[512];
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

char ftl_klex_peek(ftl_klex *p)
{
	for (;;) {
		p->s += strspn(p->s, " \t\r\n");
		if (*p->s != '#')
			return *p->s;
		p->s += strcspn(p->s, "\n");
	}
}

bool ftl_klex_take(ftl_klex *p, char c)
{
	if (ftl_klex_peek(p) != c || c == 0)
		return false;
	p->s++;
	return true;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

bool ftl_klex_word(ftl_klex *p, const char *word)
{
	size_t n = strlen(word);

	ftl_klex_peek(p);
	if (strncmp(p->s, word, n) != 0 || name_char(p->s[n]))
		return false;
	p->s += n;
	return true;
}

ftl_status ftl_klex_want(ftl_klex *p, char c)
{
	char next = ftl_klex_peek(p);

	if (next == c) {
		p->s++;
		return FTL_OK;
	}
	if (next == 0)
		return ftl_klex_fail(p, p->s, "expected '%c' before the end", c);
	return ftl_klex_fail(p, p->s, "expected '%c' before '%c'", c, next >= ' ' && next <= '~' ? next : '?');
}

ftl_status ftl_klex_want_word(ftl_klex *p, const char *word)
{
	if (ftl_klex_word(p, word))
		return FTL_OK;
	return ftl_klex_fail(p, p->s, "expected '%s'", word);
}

ftl_status ftl_klex_name(ftl_klex *p, const char *what, const char **out, size_t *out_n)
{
	size_t n = 0;

	ftl_klex_peek(p);
	while (name_char(p->s[n]))
		n++;
	if (n == 0 || n > 255)
		return ftl_klex_fail(p, p->s, "expected %s", what);
	*out = p->s;
	*out_n = n;
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

ftl_status ftl_klex_string(ftl_klex *p, const char **out)
{
	const char *start, *end;
	char *buf;
	size_t n = 0;

	FTL_TRY(ftl_klex_want(p, '"'));
	start = end = p->s;
	while (*end && *end != '"' && *end != '\n')
		end += *end == '\\' && end[1] ? 2 : 1;
	if (*end != '"')
		return ftl_klex_fail(p, start - 1, "this string has no end");
	buf = ftl_arena_alloc(p->arena, (size_t)(end - start) + 1);
	for (const char *c = start; c < end;) {
		if (*c != '\\') {
			buf[n++] = *c++;
		} else if (c[1] == 'x') {
			int hi = hex_digit(c[2]), lo = hi < 0 ? -1 : hex_digit(c[3]);

			if (lo < 0 || (hi == 0 && lo == 0))
				return ftl_klex_fail(p, c, "bad escape in a string");
			buf[n++] = (char)(hi * 16 + lo);
			c += 4;
		} else {
			const char *k = strchr("\"\\nt", c[1]);

			if (!k)
				return ftl_klex_fail(p, c, "bad escape in a string");
			buf[n++] = "\"\\\n\t"[k - "\"\\nt"];
			c += 2;
		}
	}
	p->s = end + 1;
	*out = buf;
	return FTL_OK;
}

/* ---- numbers ---- */

static bool digits(const char *s, const char *end, unsigned base, uint64_t *out)
{
	uint64_t v = 0;

	if (s == end)
		return false;
	for (; s < end; s++) {
		int k = hex_digit(*s);

		if (k < 0 || (unsigned)k >= base || v > (UINT64_MAX - (unsigned)k) / base)
			return false;
		v = v * base + (unsigned)k;
	}
	*out = v;
	return true;
}

/* Token of a number: its characters, sign included. */
static const char *number_end(ftl_klex *p)
{
	const char *e;

	ftl_klex_peek(p);
	for (e = p->s; name_char(*e) || *e == '-' || *e == '+'; e++)
		;
	return e;
}

static bool to_i64(const char *s, const char *e, int64_t *out)
{
	bool neg = s < e && *s == '-';
	uint64_t v;

	if (!digits(s + neg, e, 10, &v) || v > (uint64_t)INT64_MAX + neg)
		return false;
	*out = (int64_t)(neg ? 0 - v : v);
	return true;
}

ftl_status ftl_klex_u64(ftl_klex *p, uint64_t *out)
{
	const char *e = number_end(p), *s = p->s;
	bool hex = e - s > 2 && s[0] == '0' && s[1] == 'x';

	if (!digits(hex ? s + 2 : s, e, hex ? 16 : 10, out))
		return ftl_klex_fail(p, s, "expected a number");
	p->s = e;
	return FTL_OK;
}

ftl_status ftl_klex_i64(ftl_klex *p, int64_t *out)
{
	const char *e = number_end(p);

	if (!to_i64(p->s, e, out))
		return ftl_klex_fail(p, p->s, "expected an integer");
	p->s = e;
	return FTL_OK;
}

/* Stops at the first other character, so that `3..9` and `0.1` are two numbers. */
ftl_status ftl_klex_u32(ftl_klex *p, uint32_t *out)
{
	const char *e;
	uint64_t v;

	ftl_klex_peek(p);
	for (e = p->s; *e >= '0' && *e <= '9'; e++)
		;
	if (!digits(p->s, e, 10, &v) || v > UINT32_MAX)
		return ftl_klex_fail(p, p->s, "expected a number below 2^32");
	*out = (uint32_t)v;
	p->s = e;
	return FTL_OK;
}

static bool to_f64(const char *s, const char *e, double *out)
{
	char buf[64], *end;
	size_t n = (size_t)(e - s);

	if (n == 0 || n >= sizeof buf)
		return false;
	for (size_t k = 0; k < n; k++) /* strtod wants the locale's point */
		buf[k] = s[k] == '.' ? localeconv()->decimal_point[0] : s[k];
	buf[n] = '\0';
	*out = strtod(buf, &end);
	return end == buf + n && (*out - *out == 0 || !strchr("0123456789", s[n - 1]));
}

ftl_status ftl_klex_dim(ftl_klex *p, ftl_symtab *st, ftl_dim *out)
{
	ftl_klex_peek(p);
	*out = ftl_dim_parse(st, &p->s);
	if (*out == FTL_DIM_NONE)
		return ftl_klex_fail(p, p->s, "expected a dimension");
	return FTL_OK;
}

ftl_status ftl_klex_type(ftl_klex *p, ftl_ktype *out)
{
	const char *name, *x;
	size_t n, en;
	uint64_t lanes = 1;

	FTL_TRY(ftl_klex_name(p, "a type", &name, &n));
	x = memchr(name, 'x', n);
	en = x ? (size_t)(x - name) : n;
	if (en == 3 && memcmp(name, "ptr", 3) == 0)
		out->elem = FTL_PTR;
	else
		out->elem = (uint8_t)ftl_dtype_parse(name, en);
	if (!out->elem || (x && (!digits(x + 1, name + n, 10, &lanes) || lanes < 2 || lanes > FTL_MAX_LANES)))
		return ftl_klex_fail(p, name, "unknown type '%.*s'", (int)n, name);
	out->lanes = (uint8_t)lanes;
	return FTL_OK;
}

ftl_status ftl_klex_const(ftl_klex *p, ftl_ktype *type, int64_t *imm)
{
	const char *e = number_end(p), *s = p->s;
	uint64_t u;
	double v;
	bool ok;

	p->s = e;
	*type = FTL_KT_I64;
	if (e > s && *e == ':') {
		p->s++;
		FTL_TRY(ftl_klex_type(p, type));
	}
	if (type->elem == FTL_PTR)
		return ftl_klex_fail(p, s, "there are no constant addresses");
	if (ftl_dtype_is_float(type->elem)) {
		ok = to_f64(s, e, &v);
		if (ok)
			*imm = ftl_kfold_float(type->elem, v);
	} else if (type->elem == FTL_U64) {
		ok = digits(s, e, 10, &u);
		if (ok)
			*imm = (int64_t)u;
	} else {
		ok = to_i64(s, e, imm) && *imm == ftl_kfold_wrap(type->elem, (uint64_t)*imm);
	}
	if (!ok)
		return ftl_klex_fail(p, s, "expected an operand: %%value or a constant of its type");
	return FTL_OK;
}
