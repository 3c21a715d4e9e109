/*@core*/
/* Strings at run time. A string is the address of its bytes: eight bytes before them stands their number, behind them a
 * NUL that does not count; address 0 is the empty string. Strings never change. New ones come from chunks of the run's
 * memory and live as long as the run's results. A function that makes one gives 0 when there is no memory. */
#ifndef FETTLE_STRINGS_1
#define FETTLE_STRINGS_1
typedef struct fettle_strings {
	const void *calls; /* int64_t (*const *)(fettle_strings *, int64_t, int64_t, int64_t), for object code */
	void *(*alloc)(void *user, size_t bytes); /* 8-byte aligned at least, or NULL */
	void *user;
	void *chunks; /* newest first; each begins with the address of the one before */
	char *at;     /* free bytes of the newest */
	size_t left;
} fettle_strings;

static inline const char *fettle_str_bytes(int64_t h)
{
	return h ? (const char *)(uintptr_t)(uint64_t)h : "";
}

static inline size_t fettle_str_size(int64_t h)
{
	uint64_t n = 0;

	if (h)
		memcpy(&n, fettle_str_bytes(h) - 8, sizeof n);
	return (size_t)n;
}

/* Room for n bytes and their NUL, to be filled by the caller; NULL: no memory. */
static inline char *fettle_str_new(fettle_strings *s, size_t n)
{
	size_t want, chunk = 32768;
	uint64_t size = n;
	char *p;

	if (n > (size_t)-1 / 4)
		return NULL;
	want = (n + 16) & ~(size_t)7; /* the number, the bytes, a NUL at least */
	if (want > s->left) {
		if (want > chunk / 4)
			chunk = want + 16;
		p = s->alloc ? (char *)s->alloc(s->user, chunk) : NULL;
		if (!p)
			return NULL;
		memcpy(p, &s->chunks, sizeof s->chunks);
		s->chunks = p;
		s->at = p + 16;
		s->left = chunk - 16;
	}
	p = s->at;
	s->at += want;
	s->left -= want;
	memcpy(p, &size, sizeof size);
	p[8 + n] = 0;
	return p + 8;
}

static inline int64_t fettle_str_make(fettle_strings *s, const char *bytes, size_t n)
{
	char *p = fettle_str_new(s, n);

	if (p && n)
		memcpy(p, bytes, n);
	return (int64_t)(uintptr_t)p;
}

static inline int64_t fettle_str_take(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	const char *p = fettle_str_bytes(a);

	(void)b, (void)c;
	return fettle_str_make(s, p, strlen(p));
}

static inline int64_t fettle_str_eq(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	size_t n = fettle_str_size(a);

	(void)s, (void)c;
	return a == b || (n == fettle_str_size(b) && memcmp(fettle_str_bytes(a), fettle_str_bytes(b), n) == 0);
}

static inline int64_t fettle_str_cmp(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	size_t n = fettle_str_size(a), m = fettle_str_size(b);
	int order = memcmp(fettle_str_bytes(a), fettle_str_bytes(b), n < m ? n : m);

	(void)s, (void)c;
	return order ? (order > 0) - (order < 0) : (n > m) - (n < m);
}

static inline int64_t fettle_str_concat(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	size_t n = fettle_str_size(a), m = fettle_str_size(b);
	char *p = n > (size_t)-1 / 4 || m > (size_t)-1 / 4 ? NULL : fettle_str_new(s, n + m);

	(void)c;
	if (p) {
		memcpy(p, fettle_str_bytes(a), n);
		memcpy(p + n, fettle_str_bytes(b), m);
	}
	return (int64_t)(uintptr_t)p;
}
#endif
/*@number*/
#ifndef FETTLE_STRINGS_NUMBER_1
#define FETTLE_STRINGS_NUMBER_1
/* As strtoll and strtoull in base 10: leading space, a sign, digits; what follows does not matter. */
static inline int fettle_str_integer(const char *p, int is_unsigned, uint64_t *out)
{
	uint64_t v = 0, limit = UINT64_MAX;
	int negative, digits = 0;

	while (*p == ' ' || (*p >= '\t' && *p <= '\r'))
		p++;
	negative = *p == '-';
	p += *p == '-' || *p == '+';
	if (!is_unsigned)
		limit = (uint64_t)INT64_MAX + (uint64_t)negative;
	for (; *p >= '0' && *p <= '9'; p++, digits = 1) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (v > (limit - digit) / 10)
			return 0;
		v = v * 10 + digit;
	}
	*out = negative ? 0 - v : v;
	return digits;
}

/* The radix character of the locale, which strtod and snprintf use. */
static inline char fettle_str_radix(void)
{
	char text[16];

	snprintf(text, sizeof text, "%.1f", 0.5);
	return text[1];
}

/* As strtod in the C locale. */
static inline int fettle_str_double(const char *p, double *out)
{
	char copy[1024], radix = fettle_str_radix(), *end;
	size_t k;

	if (radix != '.') {
		for (k = 0; k + 1 < sizeof copy && p[k]; k++)
			copy[k] = p[k] == '.' ? radix : p[k];
		copy[k] = 0;
		p = copy;
	}
	errno = 0;
	*out = strtod(p, &end);
	return end != p && errno != ERANGE;
}

static inline int64_t fettle_str_is_int(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	uint64_t v;

	(void)s, (void)c;
	return fettle_str_integer(fettle_str_bytes(a), b != 0, &v);
}

static inline int64_t fettle_str_to_int(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	uint64_t v = 0;

	(void)s, (void)c;
	return fettle_str_integer(fettle_str_bytes(a), b != 0, &v) ? (int64_t)v : 0;
}

static inline int64_t fettle_str_is_real(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	double v;

	(void)s, (void)b, (void)c;
	return fettle_str_double(fettle_str_bytes(a), &v);
}

static inline int64_t fettle_str_to_real(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	double v = 0;
	int64_t bits;

	(void)s, (void)b, (void)c;
	(void)fettle_str_double(fettle_str_bytes(a), &v);
	memcpy(&bits, &v, sizeof bits);
	return bits;
}

static inline int64_t fettle_str_from_int(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	char text[32];

	(void)c;
	if (b)
		snprintf(text, sizeof text, "%llu", (unsigned long long)a);
	else
		snprintf(text, sizeof text, "%lld", (long long)a);
	return fettle_str_make(s, text, strlen(text));
}

/* Eight digits, as ONNX Runtime prints them; a point whatever the locale says. */
static inline int64_t fettle_str_from_real(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	char text[40], *p;
	double v;

	(void)b, (void)c;
	memcpy(&v, &a, sizeof v);
	if (v != v)
		strcpy(text, "NaN");
	else if (v - v != 0)
		strcpy(text, v > 0 ? "INF" : "-INF");
	else
		snprintf(text, sizeof text, "%.8g", v);
	for (p = text; v - v == 0 && *p; p++)
		if (!strchr("0123456789+-e", *p))
			*p = '.';
	return fettle_str_make(s, text, strlen(text));
}
#endif
/*@split*/
#ifndef FETTLE_STRINGS_SPLIT_1
#define FETTLE_STRINGS_SPLIT_1
static inline int fettle_str_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* An empty delimiter stands for any space, of which several count as one and those at the ends not at all. */
static inline int64_t fettle_str_begin(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	const char *p = fettle_str_bytes(a);
	size_t n = fettle_str_size(a), m = fettle_str_size(b), at = c < 0 ? 0 : (size_t)c;

	(void)s;
	if (m != 0)
		return c < 0 ? (n != 0 ? 0 : -1) : at >= n ? -1 : (int64_t)(at + m);
	while (at < n && fettle_str_space(p[at]))
		at++;
	return at < n ? (int64_t)at : -1;
}

static inline int64_t fettle_str_end(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	const char *p = fettle_str_bytes(a), *delimiter = fettle_str_bytes(b), *found;
	size_t n = fettle_str_size(a), m = fettle_str_size(b), at = (size_t)c;

	(void)s;
	if (m == 0) {
		while (at < n && !fettle_str_space(p[at]))
			at++;
		return (int64_t)at;
	}
	for (; at < n && n - at >= m; at++) {
		found = (const char *)memchr(p + at, delimiter[0], n - at - m + 1);
		if (!found)
			break;
		at = (size_t)(found - p);
		if (memcmp(found, delimiter, m) == 0)
			return (int64_t)at;
	}
	return (int64_t)n;
}

static inline int64_t fettle_str_rest(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	const char *p = fettle_str_bytes(a);
	size_t n = fettle_str_size(a);

	(void)s;
	while (fettle_str_size(b) == 0 && n > (size_t)c && fettle_str_space(p[n - 1]))
		n--;
	return (int64_t)n;
}

static inline int64_t fettle_str_sub(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	int64_t n = (int64_t)fettle_str_size(a);

	if (b < 0 || c < b || c > n)
		return 0;
	return fettle_str_make(s, fettle_str_bytes(a) + b, (size_t)(c - b));
}
#endif
