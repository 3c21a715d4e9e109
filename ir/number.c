/* Numbers in the text form. printf and strtod follow the locale's decimal point; the text form does not, so
 * both directions swap it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text.h"

#define TOKEN_MAX 64

/* Whatever stands between the digits of 0.5 here. */
static size_t decimal_point(char out[16])
{
	int n = snprintf(out, 16, "%.1f", 0.5);

	if (n < 3 || n >= 16)
		return 0;
	memmove(out, out + 1, (size_t)n - 2);
	out[n - 2] = 0;
	return (size_t)n - 2;
}

/* Replace the first `from` in s (room for TOKEN_MAX) by `to`. */
static void swap_point(char *s, const char *from, const char *to)
{
	char *p = strcmp(from, to) ? strstr(s, from) : NULL;
	size_t nf = strlen(from), nt = strlen(to);

	if (!p || strlen(s) - nf + nt >= TOKEN_MAX)
		return;
	memmove(p + nt, p + nf, strlen(p + nf) + 1);
	memcpy(p, to, nt);
}

static uint64_t float_bits(ftl_dtype type, double v)
{
	char buf[8] = {0};
	uint64_t u;

	ftl_elem_set(type, buf, 0, v);
	memcpy(&u, buf, sizeof u);
	return u;
}

static double read_float(ftl_dtype type, const char *s, char **end)
{
	return type == FTL_F64 ? strtod(s, end) : (double)strtof(s, end);
}

static void print_float(ftl_text *t, ftl_dtype type, const void *data, size_t i)
{
	size_t size = ftl_dtype_bytes(type);
	double v = ftl_elem_get(type, data, i);
	uint64_t bits = 0;
	char s[TOKEN_MAX], point[16];

	memcpy(&bits, (const char *)data + i * size, size);
	if (isnan(v)) {
		if (bits == float_bits(type, (double)NAN))
			ftl_text_add(t, "nan");
		else
			ftl_text_add(t, "0x%0*llx", (int)(2 * size), (unsigned long long)bits);
		return;
	}
	if (isinf(v)) {
		ftl_text_add(t, v < 0 ? "-inf" : "inf");
		return;
	}
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(s, sizeof s, "%.*g", digits, v);
		if (float_bits(type, read_float(type, s, NULL)) == bits)
			break;
	}
	if (decimal_point(point))
		swap_point(s, point, ".");
	ftl_text_add(t, "%s", s);
}

void ftl_text_f64(ftl_text *t, double v)
{
	print_float(t, FTL_F64, &v, 0);
}

void ftl_text_elem(ftl_text *t, ftl_dtype type, const void *data, size_t i)
{
	if (ftl_dtype_is_float(type))
		print_float(t, type, data, i);
	else if (type == FTL_U64)
		ftl_text_add(t, "%llu", (unsigned long long)ftl_elem_get_i64(type, data, i));
	else
		ftl_text_add(t, "%lld", (long long)ftl_elem_get_i64(type, data, i));
}

bool ftl_token_u64(const char *s, size_t n, uint64_t *out)
{
	uint64_t v = 0;
	bool hex = n > 2 && s[0] == '0' && s[1] == 'x';

	if (n == 0)
		return false;
	for (size_t i = hex ? 2 : 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		unsigned d = c >= '0' && c <= '9' ? c - '0' + 0u : hex && c >= 'a' && c <= 'f' ? c - 'a' + 10u : 99u;

		if (d == 99 || __builtin_mul_overflow(v, hex ? 16u : 10u, &v) || __builtin_add_overflow(v, d, &v))
			return false;
	}
	*out = v;
	return true;
}

bool ftl_token_i64(const char *s, size_t n, int64_t *out)
{
	bool neg = n > 0 && s[0] == '-';
	uint64_t u;

	if (!ftl_token_u64(s + neg, n - neg, &u) || u > (uint64_t)INT64_MAX + neg)
		return false;
	*out = neg ? (int64_t)(0 - u) : (int64_t)u;
	return true;
}

static bool token_float(const char *s, size_t n, ftl_dtype type, void *data, size_t i)
{
	size_t size = ftl_dtype_bytes(type);
	char buf[TOKEN_MAX], point[16], *end;
	uint64_t bits;

	if (n == 0 || n >= TOKEN_MAX - 16)
		return false;
	memcpy(buf, s, n);
	buf[n] = 0;
	if (n > 2 && buf[0] == '0' && buf[1] == 'x') { /* bits, not a hexadecimal float */
		if (!ftl_token_u64(s, n, &bits) || (size < 8 && bits >> (8 * size)))
			return false;
		memcpy((char *)data + i * size, &bits, size);
		return true;
	}
	if (strcmp(buf, "nan") && strcmp(buf, "inf") && strcmp(buf, "-inf") && strspn(buf, "+-.0123456789eE") != n)
		return false;
	if (decimal_point(point))
		swap_point(buf, ".", point);
	double v = read_float(type, buf, &end);

	if (*end || end == buf)
		return false;
	ftl_elem_set(type, data, i, strcmp(buf, "nan") == 0 ? (double)NAN : v);
	return true;
}

bool ftl_token_f64(const char *s, size_t n, double *out)
{
	return token_float(s, n, FTL_F64, out, 0);
}

bool ftl_token_elem(const char *s, size_t n, ftl_dtype type, void *data, size_t i)
{
	unsigned bits = ftl_dtype_bits(type);
	uint64_t u;
	int64_t v;

	if (ftl_dtype_is_float(type))
		return token_float(s, n, type, data, i);
	if (type == FTL_BOOL && n == 4 && memcmp(s, "true", 4) == 0) {
		u = 1;
	} else if (type == FTL_BOOL && n == 5 && memcmp(s, "false", 5) == 0) {
		u = 0;
	} else if (ftl_dtype_is_signed(type)) {
		if (!ftl_token_i64(s, n, &v) || (bits < 64 && (v < -((int64_t)1 << (bits - 1)) || v >> (bits - 1) > 0)))
			return false;
		u = (uint64_t)v;
	} else if (!ftl_token_u64(s, n, &u) || (bits < 64 && u >> bits)) {
		return false;
	}
	memcpy((char *)data + i * ftl_dtype_bytes(type), &u, ftl_dtype_bytes(type));
	return true;
}
