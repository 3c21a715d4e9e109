/* Types, attributes, blobs and bounds of symbols. */
#include <string.h>

#include "parse.h"

ftl_val ftl_parse_lookup(const parser *p, const char *name)
{
	return (ftl_val)(uintptr_t)ftl_map_get(p->names, name);
}

static ftl_status parse_dim(parser *p, ftl_dim *out)
{
	const char *at;

	ftl_lex_peek(p);
	at = p->s;
	*out = ftl_dim_parse(p->g->st, &p->s);
	if (*out == FTL_DIM_NONE)
		return ftl_parse_fail(p, at, "expected a size such as 8, ?batch or ?a+2*?b");
	return FTL_OK;
}

static ftl_status parse_i64(parser *p, int64_t *out)
{
	const char *tok;
	size_t n;

	FTL_TRY(ftl_lex_token(p, "an integer", &tok, &n));
	if (!ftl_token_i64(tok, n, out))
		return ftl_parse_fail(p, tok, "expected a 64-bit integer");
	return FTL_OK;
}

static ftl_status parse_f64(parser *p, double *out)
{
	const char *tok;
	size_t n;

	FTL_TRY(ftl_lex_token(p, "a number", &tok, &n));
	if (!ftl_token_f64(tok, n, out))
		return ftl_parse_fail(p, tok, "expected a number");
	return FTL_OK;
}

/* ---- types ---- */
static ftl_status parse_enc_val(parser *p, ftl_encoding *e, bool zero)
{
	const char *at, *name;
	ftl_val v;

	ftl_lex_peek(p);
	at = p->s;
	FTL_TRY(ftl_lex_name(p, '%', &name));
	v = ftl_parse_lookup(p, name);
	if (!v)
		ftl_vec_push(p->arena, &p->pending, ((pending){e, zero, name, at}));
	*(zero ? &e->zero : &e->scale) = v;
	return FTL_OK;
}

static ftl_status parse_enc(parser *p, ftl_enc_kind kind, const ftl_encoding **out)
{
	ftl_encoding *e = FTL_NEW(p->arena, ftl_encoding);
	const struct {
		const char *name;
		int32_t *v;
	} num[] = {{"axis", &e->axis}, {"block", &e->block}, {"n", &e->n}, {"m", &e->m}, {"r", &e->r}, {"c", &e->c}};

	e->kind = kind;
	FTL_TRY(ftl_lex_want(p, '('));
	while (!ftl_lex_take(p, ')')) {
		const char *key;
		size_t n, i = 0;
		int64_t v;

		FTL_TRY(ftl_lex_token(p, "a field of an encoding", &key, &n));
		FTL_TRY(ftl_lex_want(p, '='));
		while (i < FTL_COUNT(num) && (strlen(num[i].name) != n || memcmp(num[i].name, key, n) != 0))
			i++;
		if (i < FTL_COUNT(num)) {
			FTL_TRY(parse_i64(p, &v));
			if (v < INT32_MIN || v > INT32_MAX)
				return ftl_parse_fail(p, key, "this field of an encoding is out of range");
			*num[i].v = (int32_t)v;
		} else if (n == 5 && memcmp(key, "scale", 5) == 0) {
			FTL_TRY(parse_enc_val(p, e, false));
		} else if (n == 4 && memcmp(key, "zero", 4) == 0) {
			FTL_TRY(parse_enc_val(p, e, true));
		} else {
			return ftl_parse_fail(p, key, "an encoding has no field \"%.*s\"", (int)(n < 40 ? n : 40), key);
		}
		if (ftl_lex_peek(p) != ')')
			FTL_TRY(ftl_lex_want(p, ','));
	}
	*out = e;
	return FTL_OK;
}

static ftl_status parse_dtype(parser *p, bool none_allowed, ftl_dtype *out)
{
	const char *tok;
	size_t n;

	*out = FTL_NO_DTYPE;
	if (none_allowed && ftl_lex_take(p, '?'))
		return FTL_OK;
	FTL_TRY(ftl_lex_token(p, "an element type", &tok, &n));
	*out = ftl_dtype_parse(tok, n);
	if (*out == FTL_NO_DTYPE)
		return ftl_parse_fail(p, tok, "unknown element type \"%.*s\"", (int)(n < 40 ? n : 40), tok);
	return FTL_OK;
}

/* After the kind: <f32[_,4]> */
static ftl_status parse_seq(parser *p, ftl_seq_kind kind, ftl_type *out)
{
	ftl_seq_type s = {.kind = kind, .rank = FTL_SEQ_ANY};
	ftl_dtype dtype;

	FTL_TRY(ftl_lex_want(p, '<'));
	FTL_TRY(parse_dtype(p, false, &dtype));
	if (ftl_lex_take_word(p, "empty"))
		s.rank = FTL_SEQ_EMPTY;
	if (s.rank == FTL_SEQ_ANY && ftl_lex_take(p, '[')) {
		s.rank = 0;
		while (!ftl_lex_take(p, ']')) {
			if (s.rank && !ftl_lex_take(p, ','))
				return ftl_parse_fail(p, p->s, "expected \",\" or \"]\"");
			if (s.rank == FTL_MAX_RANK)
				return ftl_parse_fail(p, p->s, "more than %d axes", FTL_MAX_RANK);
			s.dims[s.rank] = -1;
			if (!ftl_lex_take(p, '_'))
				FTL_TRY(parse_i64(p, &s.dims[s.rank]));
			if (s.dims[s.rank] < -1)
				return ftl_parse_fail(p, p->s, "a size cannot be negative");
			s.rank++;
		}
	}
	FTL_TRY(ftl_lex_want(p, '>'));
	*out = ftl_type_make_seq(p->g, dtype, &s);
	return FTL_OK;
}

ftl_status ftl_parse_type(parser *p, ftl_type *out)
{
	ftl_dim dims[FTL_MAX_RANK];
	int rank = 0;
	ftl_dtype dtype;
	int64_t v;

	for (int k = 0; k < FTL_SEQ_KINDS; k++)
		if (ftl_lex_take_word(p, ftl_seq_kind_name((ftl_seq_kind)k)))
			return parse_seq(p, (ftl_seq_kind)k, out);
	FTL_TRY(parse_dtype(p, false, &dtype));
	FTL_TRY(ftl_lex_want(p, '['));
	if (!ftl_lex_take(p, ']')) {
		do {
			if (rank == FTL_MAX_RANK)
				return ftl_parse_fail(p, p->s, "more than %d axes", FTL_MAX_RANK);
			FTL_TRY(parse_dim(p, &dims[rank]));
			if (ftl_dim_is_const(p->g->st, dims[rank], &v) && v < 0)
				return ftl_parse_fail(p, p->s, "a size cannot be negative");
			rank++;
		} while (ftl_lex_take(p, ','));
		FTL_TRY(ftl_lex_want(p, ']'));
	}
	*out = ftl_type_make(p->g, dtype, rank, dims);
	if (ftl_lex_take_word(p, "quant"))
		return parse_enc(p, FTL_ENC_QUANT, &out->enc);
	if (ftl_lex_take_word(p, "sparse"))
		return parse_enc(p, FTL_ENC_SPARSE, &out->enc);
	if (ftl_lex_take_word(p, "plain"))
		return parse_enc(p, FTL_ENC_NONE, &out->enc);
	return FTL_OK;
}

/* ---- attributes ---- */
ftl_status ftl_parse_blob(parser *p, const ftl_blob **out)
{
	ftl_blob *b = FTL_NEW(p->arena, ftl_blob);
	const char *tok;
	size_t n;
	uint64_t bytes;

	if (ftl_lex_peek(p) == '"')
		FTL_TRY(ftl_lex_string(p, &b->name));
	FTL_TRY(ftl_lex_token(p, "a blob's hash", &tok, &n));
	if (n < 3 || memcmp(tok, "0x", 2) != 0 || !ftl_token_u64(tok, n, &b->hash))
		return ftl_parse_fail(p, tok, "expected a blob's hash such as 0x0123456789abcdef");
	FTL_TRY(ftl_lex_token(p, "a blob's byte count", &tok, &n));
	if (!ftl_token_u64(tok, n, &bytes) || bytes > SIZE_MAX / 2)
		return ftl_parse_fail(p, tok, "expected a blob's byte count");
	b->bytes = (size_t)bytes;
	if (bytes && p->blobs) {
		b->data = p->blobs->find(p->blobs->user, b->hash, b->bytes);
		b->mapped = b->data != NULL;
	}
	*out = b;
	return FTL_OK;
}

/* A bracketed list; out_n and out_v receive it. */
#define PARSE_LIST(p, T, out_n, out_v, parse_one)                                                                      \
	do {                                                                                                           \
		FTL_VEC(T) list_ = {0};                                                                                \
		FTL_TRY(ftl_lex_want(p, '['));                                                                         \
		while (!ftl_lex_take(p, ']')) {                                                                        \
			T x_;                                                                                          \
			FTL_TRY(parse_one(p, &x_));                                                                    \
			ftl_vec_push((p)->arena, &list_, x_);                                                          \
			if (ftl_lex_peek(p) != ']')                                                                    \
				FTL_TRY(ftl_lex_want(p, ','));                                                         \
		}                                                                                                      \
		(out_n) = list_.n;                                                                                     \
		(out_v) = list_.v;                                                                                     \
	} while (0)

static ftl_status parse_dim_or_none(parser *p, ftl_dim *out)
{
	*out = FTL_DIM_NONE;
	return ftl_lex_take(p, '_') ? FTL_OK : parse_dim(p, out);
}

static ftl_status parse_value(parser *p, const ftl_attr_desc *d, void *a)
{
	switch (d->kind) {
	case FTL_ATTR_i64: return parse_i64(p, a);
	case FTL_ATTR_f64: return parse_f64(p, a);
	case FTL_ATTR_flag:
		*(ftl_attr_flag *)a = ftl_lex_take_word(p, "true");
		if (!*(ftl_attr_flag *)a && !ftl_lex_take_word(p, "false"))
			return ftl_parse_fail(p, p->s, "expected true or false");
		return FTL_OK;
	case FTL_ATTR_dtype: return parse_dtype(p, true, a);
	case FTL_ATTR_str: return ftl_lex_string(p, a);
	case FTL_ATTR_ints: PARSE_LIST(p, int64_t, ((ftl_ints *)a)->n, ((ftl_ints *)a)->v, parse_i64); return FTL_OK;
	case FTL_ATTR_floats:
		PARSE_LIST(p, double, ((ftl_floats *)a)->n, ((ftl_floats *)a)->v, parse_f64);
		return FTL_OK;
	case FTL_ATTR_dims:
		PARSE_LIST(p, ftl_dim, ((ftl_dims *)a)->n, ((ftl_dims *)a)->v, parse_dim_or_none);
		return FTL_OK;
	case FTL_ATTR_strs:
		PARSE_LIST(p, ftl_str, ((ftl_strs *)a)->n, ((ftl_strs *)a)->v, ftl_lex_bytes);
		return FTL_OK;
	case FTL_ATTR_blob:
		if (!ftl_lex_take_word(p, "blob"))
			return ftl_parse_fail(p, p->s, "expected blob");
		return ftl_parse_blob(p, a);
	}
	return FTL_OK;
}

/* After the opening brace. */
ftl_status ftl_parse_attrs(parser *p, ftl_op op, void *attrs)
{
	const ftl_op_info *info = ftl_op_get(op);
	uint64_t seen = 0; /* no op has 64 attributes */

	while (!ftl_lex_take(p, '}')) {
		const ftl_attr_desc *d = NULL;
		const char *key;
		size_t n;

		FTL_TRY(ftl_lex_token(p, "an attribute's name", &key, &n));
		for (unsigned i = 0; i < info->nattr && !d; i++) {
			if (strlen(info->attr[i].name) != n || memcmp(info->attr[i].name, key, n) != 0)
				continue;
			d = &info->attr[i];
			if (seen >> i & 1)
				return ftl_parse_fail(p, key, "attribute \"%s\" is given twice", d->name);
			seen |= (uint64_t)1 << i;
		}
		if (!d)
			return ftl_parse_fail(p, key, "%s has no attribute \"%.*s\"", info->name,
					      (int)(n < 40 ? n : 40), key);
		FTL_TRY(ftl_lex_want(p, '='));
		FTL_TRY(parse_value(p, d, (char *)attrs + d->offset));
		if (ftl_lex_peek(p) != '}')
			FTL_TRY(ftl_lex_want(p, ','));
	}
	return FTL_OK;
}

/* ---- dim ?n in 1..512 ---- */
static ftl_status parse_bound(parser *p, int64_t none, int64_t *out)
{
	size_t n = 0;
	const char *tok;

	*out = none;
	if (ftl_lex_take(p, '*'))
		return FTL_OK;
	tok = p->s; /* a token would swallow the two dots */
	n = strspn(tok, "-0123456789");
	if (!ftl_token_i64(tok, n, out))
		return ftl_parse_fail(p, tok, "expected an integer or *");
	p->s += n;
	return FTL_OK;
}

/* Bounds are set after the last expression is read, so that expressions stay as they are written. */
ftl_status ftl_parse_bounds(parser *p)
{
	sym_bounds b;
	const char *at;

	ftl_lex_peek(p);
	at = p->s;
	b.sym = ftl_dim_parse(p->g->st, &p->s);
	if (b.sym == FTL_DIM_NONE || ftl_dim_get(p->g->st, b.sym)->kind != FTL_DIM_SYM)
		return ftl_parse_fail(p, at, "expected a symbol such as ?batch");
	if (!ftl_lex_take_word(p, "in"))
		return ftl_parse_fail(p, p->s, "expected \"in\" and the symbol's range");
	FTL_TRY(parse_bound(p, INT64_MIN, &b.lo));
	if (!ftl_lex_take(p, '.') || !ftl_lex_take(p, '.'))
		return ftl_parse_fail(p, p->s, "expected a range such as 1..512 or 1..*");
	FTL_TRY(parse_bound(p, INT64_MAX, &b.hi));
	if (b.lo > b.hi)
		return ftl_parse_fail(p, at, "this range is empty");
	ftl_vec_push(p->arena, &p->bounds, b);
	return FTL_OK;
}
