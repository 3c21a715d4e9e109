/* The .npy format (numpy.lib.format, versions 1 to 3): header text, byte order, Fortran order.
 *
 * The header is untrusted: it is read by a small tokenizer that knows the three keys of the format and
 * nothing else of Python, every product is overflow-checked, and no byte past the file is looked at. */
#include "npy_format.h"

#include "base/file.h"

#include <stdio.h>

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
static const char known[][3] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "V1", "V2"};

static bool descr_known(const char *descr)
{
	for (size_t i = 0; i < FTL_COUNT(known); i++) {
		if (strcmp(known[i], descr) == 0)
			return true;
	}
	return false;
}

static size_t elem_size(const char *descr)
{
	return (size_t)(descr[1] - '0');
}

/* Bytes of a dense array; false on overflow or a negative dim. */
static bool dense_bytes(int rank, const int64_t *dims, size_t elem, size_t *out)
{
	size_t bytes = elem;
	bool empty = false;

	for (int i = 0; i < rank; i++) {
		if (dims[i] < 0)
			return false;
		if (dims[i] == 0)
			empty = true;
		else if (__builtin_mul_overflow(bytes, (uint64_t)dims[i], &bytes) || bytes > SIZE_MAX / 2)
			return false;
	}
	*out = empty ? 0 : bytes;
	return true;
}

/* ---- header ---- */

struct header {
	char order; /* < > | = */
	char descr[8];
	bool fortran;
	int rank;
	int64_t dims[FTL_NPY_MAX_RANK];
};

struct cursor {
	const char *p, *end;
};

static void skip_space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t'))
		c->p++;
}

static bool eat(struct cursor *c, char ch)
{
	skip_space(c);
	if (c->p == c->end || *c->p != ch)
		return false;
	c->p++;
	return true;
}

static bool eat_word(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	skip_space(c);
	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return false;
	c->p += n;
	return true;
}

/* A short quoted string without escapes. */
static bool eat_string(struct cursor *c, char *out, size_t cap)
{
	size_t n = 0;
	char quote;

	skip_space(c);
	if (c->p == c->end || (*c->p != '\'' && *c->p != '"'))
		return false;
	quote = *c->p++;
	while (c->p < c->end && *c->p != quote) {
		if (n + 1 >= cap || *c->p == '\\' || *c->p == '\0')
			return false;
		out[n++] = *c->p++;
	}
	out[n] = '\0';
	if (c->p == c->end)
		return false;
	c->p++;
	return true;
}

static bool eat_int(struct cursor *c, int64_t *out)
{
	int64_t v = 0;
	bool any = false;

	skip_space(c);
	for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, any = true) {
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *c->p - '0', &v))
			return false;
	}
	if (c->p < c->end && *c->p == 'L') /* Python 2 wrote 3L */
		c->p++;
	*out = v;
	return any;
}

static bool eat_shape(struct cursor *c, struct header *h)
{
	h->rank = 0;
	if (!eat(c, '('))
		return false;
	while (!eat(c, ')')) {
		if (h->rank == FTL_NPY_MAX_RANK || !eat_int(c, &h->dims[h->rank++]))
			return false;
		if (!eat(c, ',')) {
			/* "(3)" is an int in Python, but no writer means that */
			return eat(c, ')');
		}
	}
	return true;
}

static ftl_status parse_dict(struct cursor c, const char *what, ftl_diag *d, struct header *h)
{
	bool got_descr = false, got_order = false, got_shape = false;
	char key[32], descr[32] = "";

	if (!eat(&c, '{'))
		return ftl_fail(d, FTL_ERR_MODEL, "%s: .npy header is not a dict", what);
	while (!eat(&c, '}')) {
		bool ok = eat_string(&c, key, sizeof key) && eat(&c, ':');

		if (ok && strcmp(key, "descr") == 0) {
			ok = !got_descr && eat_string(&c, descr, sizeof descr);
			got_descr = true;
			if (!ok)
				return ftl_fail(d, FTL_ERR_UNSUPPORTED, "%s: .npy element type is not a plain one",
						what);
		} else if (ok && strcmp(key, "fortran_order") == 0) {
			h->fortran = eat_word(&c, "True");
			ok = !got_order && (h->fortran || eat_word(&c, "False"));
			got_order = true;
		} else if (ok && strcmp(key, "shape") == 0) {
			ok = !got_shape && eat_shape(&c, h);
			got_shape = true;
		} else {
			ok = false;
		}
		if (!ok)
			return ftl_fail(d, FTL_ERR_MODEL, "%s: malformed .npy header", what);
		if (!eat(&c, ',')) {
			if (!eat(&c, '}'))
				return ftl_fail(d, FTL_ERR_MODEL, "%s: malformed .npy header", what);
			break;
		}
	}
	if (!got_descr || !got_order || !got_shape)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: .npy header lacks descr, fortran_order or shape", what);

	h->order = descr[0];
	if (!strchr("<>|=", descr[0]) || strlen(descr) != 3 || !descr_known(descr + 1))
		return ftl_fail(
			d, FTL_ERR_UNSUPPORTED,
			"%s: .npy element type '%s' is not supported; save it as a float, integer or bool array", what,
			descr);
	memcpy(h->descr, descr + 1, 3);
	return FTL_OK;
}

/* ---- data ---- */

static void swap_elems(uint8_t *p, size_t bytes, size_t elem)
{
	for (size_t i = 0; i < bytes; i += elem) {
		for (size_t j = 0; j < elem / 2; j++) {
			uint8_t t = p[i + j];

			p[i + j] = p[i + elem - 1 - j];
			p[i + elem - 1 - j] = t;
		}
	}
}

/* src has the first dim fastest; dst gets the last dim fastest. */
static void from_fortran(uint8_t *dst, const uint8_t *src, size_t elem, int rank, const int64_t *dims)
{
	size_t stride[FTL_NPY_MAX_RANK];
	int64_t at[FTL_NPY_MAX_RANK] = {0};
	size_t from = 0, s = elem;
	int i;

	for (i = 0; i < rank; i++) {
		stride[i] = s;
		s *= (size_t)dims[i];
	}
	for (;;) {
		memcpy(dst, src + from, elem);
		dst += elem;
		for (i = rank - 1; i >= 0; i--) {
			from += stride[i];
			if (++at[i] < dims[i])
				break;
			from -= stride[i] * (size_t)dims[i];
			at[i] = 0;
		}
		if (i < 0)
			return;
	}
}

static bool all_bools(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any <= 1;
}

ftl_status ftl_npy_decode(ftl_arena *arena, const void *p, size_t n, const char *what, ftl_diag *d, ftl_npy *out)
{
	const uint8_t *b = p;
	size_t start, len, elem, bytes;
	struct header h = {0};
	uint8_t *copy;
	bool swap;

	memset(out, 0, sizeof *out);
	if (n < 10 || memcmp(b, magic, sizeof magic) != 0)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: not a .npy file", what);
	if (b[6] < 1 || b[6] > 3)
		return ftl_fail(d, FTL_ERR_UNSUPPORTED, "%s: .npy version %u.%u is not supported", what, b[6], b[7]);
	if (b[6] == 1) {
		start = 10;
		len = (size_t)b[8] | (size_t)b[9] << 8;
	} else {
		if (n < 12)
			return ftl_fail(d, FTL_ERR_MODEL, "%s: .npy file is cut short", what);
		start = 12;
		len = (size_t)b[8] | (size_t)b[9] << 8 | (size_t)b[10] << 16 | (size_t)b[11] << 24;
	}
	if (len > n - start)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: .npy file is cut short", what);
	FTL_TRY(parse_dict((struct cursor){(const char *)b + start, (const char *)b + start + len}, what, d, &h));

	elem = elem_size(h.descr);
	if (!dense_bytes(h.rank, h.dims, elem, &bytes))
		return ftl_fail(d, FTL_ERR_MODEL, "%s: .npy shape is too large", what);
	start += len;
	if (bytes > n - start)
		return ftl_fail(d, FTL_ERR_MODEL,
				"%s: .npy data is cut short: the shape needs %zu bytes, %zu are there", what, bytes,
				n - start);

	memcpy(out->descr, h.descr, sizeof out->descr);
	out->rank = h.rank;
	memcpy(out->dims, h.dims, sizeof out->dims);
	out->bytes = bytes;
	out->data = b + start;
	if (bytes == 0)
		return FTL_OK;

	swap = elem > 1 && h.order == '>';
	if (h.fortran && h.rank > 1) {
		copy = ftl_arena_alloc(arena, bytes);
		from_fortran(copy, b + start, elem, h.rank, h.dims);
	} else if (swap || (uintptr_t)(b + start) % elem != 0 || (h.descr[0] == 'b' && !all_bools(b + start, bytes))) {
		copy = ftl_arena_dup(arena, b + start, bytes);
	} else {
		return FTL_OK;
	}
	if (swap)
		swap_elems(copy, bytes, elem);
	if (h.descr[0] == 'b') {
		for (size_t i = 0; i < bytes; i++)
			copy[i] = copy[i] != 0;
	}
	out->data = copy;
	return FTL_OK;
}

ftl_status ftl_npy_read(ftl_arena *arena, const char *path, ftl_diag *d, ftl_npy *out)
{
	ftl_file f;

	memset(out, 0, sizeof *out);
	FTL_TRY(ftl_file_map(arena, path, d, &f));
	return ftl_npy_decode(arena, f.data, f.size, path, d, out);
}

ftl_status ftl_npy_encode_header(const ftl_npy *a, const char *what, ftl_diag *d, char out[FTL_NPY_HEADER_MAX],
				 size_t *out_n)
{
	size_t bytes, n = 10, cap = FTL_NPY_HEADER_MAX;

	if (!descr_known(a->descr) || a->rank < 0 || a->rank > FTL_NPY_MAX_RANK ||
	    !dense_bytes(a->rank, a->dims, elem_size(a->descr), &bytes) || bytes != a->bytes)
		return ftl_fail(d, FTL_ERR_USAGE, "%s: array type or shape does not fit its bytes", what);

	memcpy(out, magic, sizeof magic);
	out[6] = 1;
	out[7] = 0;
	n += (size_t)snprintf(out + n, cap - n, "{'descr': '%c%.2s', 'fortran_order': False, 'shape': (",
			      elem_size(a->descr) == 1 ? '|' : '<', a->descr);
	for (int i = 0; i < a->rank; i++)
		n += (size_t)snprintf(out + n, cap - n, i ? ", %lld" : "%lld", (long long)a->dims[i]);
	n += (size_t)snprintf(out + n, cap - n, a->rank == 1 ? ",), }" : "), }");
	/* data starts at a multiple of 64, as NumPy writes it, so that a mapping is aligned */
	while ((n + 1) % 64 != 0)
		out[n++] = ' ';
	out[n++] = '\n';
	out[8] = (char)((n - 10) & 0xff);
	out[9] = (char)((n - 10) >> 8);
	*out_n = n;
	return FTL_OK;
}

ftl_status ftl_npy_write(const char *path, const ftl_npy *a, ftl_diag *d)
{
	char head[FTL_NPY_HEADER_MAX];
	size_t n;

	FTL_TRY(ftl_npy_encode_header(a, path, d, head, &n));
	return ftl_file_write_spans(path, (ftl_span[]){{head, n}, {a->data, a->bytes}}, 2, d);
}
