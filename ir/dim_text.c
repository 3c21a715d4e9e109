/* Symbolic dimensions as text, and back.
 *
 * Written in the order of structure that expressions are kept in, except that positive terms come before
 * negative ones (?total-?past). A symbol that may be negative is written ?~name. The parser takes text
 * from anybody: its nesting is bounded, numbers are overflow-checked, and it does not look past a NUL. */
#include "dim_impl.h"

#include <inttypes.h>

#define MAX_NESTING 64
#define MAX_NAME 4096

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* ---- printing ---- */

static void print_sym(const ftl_symtab *st, ftl_text *t, ftl_dim d)
{
	const dim_entry *e = dim_at(st, d);
	const char *s = e->pub.name;

	ftl_text_add(t, e->any_int ? "?~" : "?");
	while (name_char(*s))
		s++;
	if (*s || s == e->pub.name)
		ftl_text_quoted(t, e->pub.name);
	else
		ftl_text_bytes(t, e->pub.name, (size_t)(s - e->pub.name));
}

static void print_term(const ftl_symtab *st, ftl_text *t, const ftl_dim_term *term, bool first)
{
	uint64_t k = term->coef < 0 ? 0 - (uint64_t)term->coef : (uint64_t)term->coef;

	if (term->coef < 0)
		ftl_text_bytes(t, "-", 1);
	else if (!first)
		ftl_text_bytes(t, "+", 1);
	if (k != 1 || term->n == 0)
		ftl_text_add(t, "%" PRIu64 "%s", k, term->n ? "*" : "");
	for (uint32_t i = 0; i < term->n; i++) {
		if (i)
			ftl_text_bytes(t, "*", 1);
		ftl_dim_print(st, t, term->atom[i]);
	}
}

void ftl_dim_print(const ftl_symtab *st, ftl_text *t, ftl_dim d)
{
	static const char *const word[] = {
		[FTL_DIM_DIV] = "div", [FTL_DIM_MOD] = "mod", [FTL_DIM_MIN] = "min", [FTL_DIM_MAX] = "max"};
	const ftl_dim_node *n;
	bool first = true;

	if (d == FTL_DIM_NONE) {
		ftl_text_bytes(t, "_", 1);
		return;
	}
	n = ftl_dim_get(st, d);
	switch (n->kind) {
	case FTL_DIM_CONST: ftl_text_add(t, "%" PRId64, n->value); return;
	case FTL_DIM_SYM: print_sym(st, t, d); return;
	case FTL_DIM_SUM:
		for (int negative = 0; negative < 2; negative++) {
			for (uint32_t i = 0; i < n->n; i++) {
				if ((n->term[i].coef < 0) != negative)
					continue;
				print_term(st, t, &n->term[i], first);
				first = false;
			}
		}
		return;
	default: break;
	}
	ftl_text_add(t, "%s(", word[n->kind]);
	ftl_dim_print(st, t, n->a);
	ftl_text_bytes(t, ",", 1);
	ftl_dim_print(st, t, n->b);
	ftl_text_bytes(t, ")", 1);
}

/* ---- parsing ---- */

static ftl_dim parse_sum(ftl_symtab *st, const char **s, int depth);

static const char *skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
		p++;
	return p;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* After the opening quote; what ftl_text_quoted writes. */
static bool parse_quoted(const char **s, char *out, size_t cap)
{
	const char *p = *s;
	size_t n = 0;

	for (; *p != '"'; p++) {
		char c = *p;

		if (c == '\0' || n + 1 >= cap)
			return false;
		if (c == '\\') {
			c = *++p;
			if (c == 'n') {
				c = '\n';
			} else if (c == 't') {
				c = '\t';
			} else if (c == 'x') {
				if (hex(p[1]) < 0 || hex(p[2]) < 0)
					return false;
				c = (char)(hex(p[1]) << 4 | hex(p[2]));
				p += 2;
				if (c == '\0')
					return false;
			} else if (c != '"' && c != '\\') {
				return false;
			}
		}
		out[n++] = c;
	}
	out[n] = '\0';
	*s = p + 1;
	return true;
}

static ftl_dim parse_sym(ftl_symtab *st, const char **s)
{
	char name[MAX_NAME];
	const char *p = *s;
	bool any_int = *p == '~';
	size_t n = 0;
	ftl_dim d;

	p += any_int;
	if (*p == '"') {
		p++;
		if (!parse_quoted(&p, name, sizeof name))
			return FTL_DIM_NONE;
	} else {
		for (; name_char(*p); p++) {
			if (n + 1 >= sizeof name)
				return FTL_DIM_NONE;
			name[n++] = *p;
		}
		if (n == 0)
			return FTL_DIM_NONE;
		name[n] = '\0';
	}
	d = dim_sym_any(st, name, any_int);
	if (d != FTL_DIM_NONE)
		*s = p;
	return d;
}

static bool parse_u64(const char **s, uint64_t *out)
{
	const char *p = *s;
	uint64_t v = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	}
	*s = p;
	*out = v;
	return true;
}

static ftl_dim parse_call(ftl_symtab *st, const char **s, int depth)
{
	static const struct {
		const char *word;
		ftl_dim (*make)(ftl_symtab *st, ftl_dim a, ftl_dim b);
	} calls[] = {{"div(", ftl_dim_div}, {"mod(", ftl_dim_mod}, {"min(", ftl_dim_min}, {"max(", ftl_dim_max}};

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		const char *p = *s;
		ftl_dim a, b;

		if (strncmp(p, calls[i].word, 4) != 0)
			continue;
		p = skip_space(p + 4);
		a = parse_sum(st, &p, depth + 1);
		p = skip_space(p);
		if (a == FTL_DIM_NONE || *p++ != ',')
			return FTL_DIM_NONE;
		p = skip_space(p);
		b = parse_sum(st, &p, depth + 1);
		p = skip_space(p);
		if (b == FTL_DIM_NONE || *p++ != ')')
			return FTL_DIM_NONE;
		a = calls[i].make(st, a, b);
		if (a != FTL_DIM_NONE)
			*s = p;
		return a;
	}
	return FTL_DIM_NONE;
}

static ftl_dim parse_factor(ftl_symtab *st, const char **s, int depth)
{
	const char *p = *s;
	uint64_t v;
	ftl_dim d;

	if (*p == '?') {
		p++;
		d = parse_sym(st, &p);
	} else if (*p >= '0' && *p <= '9') {
		if (!parse_u64(&p, &v) || v > INT64_MAX)
			return FTL_DIM_NONE;
		d = ftl_dim_const(st, (int64_t)v);
	} else if (*p == '(') {
		p = skip_space(p + 1);
		d = parse_sum(st, &p, depth + 1);
		p = skip_space(p);
		if (*p++ != ')')
			return FTL_DIM_NONE;
	} else {
		d = parse_call(st, &p, depth);
	}
	if (d != FTL_DIM_NONE)
		*s = p;
	return d;
}

/* The sign goes into the first number, so that -9223372036854775808 can be written. */
static ftl_dim parse_product(ftl_symtab *st, const char **s, bool negative, int depth)
{
	const char *p = *s;
	uint64_t v;
	ftl_dim d;

	if (negative && parse_u64(&p, &v)) {
		if (v > (uint64_t)INT64_MAX + 1)
			return FTL_DIM_NONE;
		d = ftl_dim_const(st, v > INT64_MAX ? INT64_MIN : -(int64_t)v);
	} else {
		d = parse_factor(st, &p, depth);
		if (negative)
			d = ftl_dim_mul(st, ftl_dim_const(st, -1), d);
	}
	while (d != FTL_DIM_NONE && *p == '*') {
		p++;
		d = ftl_dim_mul(st, d, parse_factor(st, &p, depth));
	}
	if (d != FTL_DIM_NONE)
		*s = p;
	return d;
}

static ftl_dim parse_sum(ftl_symtab *st, const char **s, int depth)
{
	const char *p = *s;
	bool negative = *p == '-';
	ftl_dim sum;

	if (depth > MAX_NESTING)
		return FTL_DIM_NONE;
	p += negative;
	sum = parse_product(st, &p, negative, depth);
	if (sum == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	*s = p;
	/* a sign that no term follows is not ours: "?a->..." ends before the arrow */
	while (*p == '+' || *p == '-') {
		ftl_dim d;

		negative = *p++ == '-';
		d = ftl_dim_add(st, sum, parse_product(st, &p, negative, depth));
		if (d == FTL_DIM_NONE)
			break;
		sum = d;
		*s = p;
	}
	return sum;
}

ftl_dim ftl_dim_parse(ftl_symtab *st, const char **s)
{
	const char *p = *s;
	ftl_dim d;

	if (*p == '_' && !name_char(p[1])) {
		*s = p + 1;
		return FTL_DIM_NONE;
	}
	d = parse_sum(st, &p, 0);
	if (d != FTL_DIM_NONE)
		*s = p;
	return d;
}
