/* What the inference hooks share: operand checks, checked results, symbolic contents, attributes by name. */
#include "hooks.h"

#include <string.h>

/* ---- operands ---- */

ftl_status ftl_hook_args(ftl_infer *f, uint32_t required)
{
	FTL_TRY(ftl_hook_args_any(f, required));
	for (uint32_t k = 0; k < ftl_infer_self(f)->nin; k++)
		FTL_TRY(ftl_hook_want_tensor(f, k));
	return FTL_OK;
}

ftl_status ftl_hook_want_tensor(ftl_infer *f, uint32_t k)
{
	const ftl_seq_type *s = ftl_infer_in(f, k)->seq;

	if (s)
		return ftl_infer_fail(f, "input %u is %s where a tensor is needed", k,
				      s->kind == FTL_SEQ_LIST ? "a sequence" : "an optional");
	return FTL_OK;
}

ftl_status ftl_hook_args_any(ftl_infer *f, uint32_t required)
{
	const ftl_node *n = ftl_infer_self(f);

	if (n->nin < required)
		return ftl_infer_fail(f, "needs %u inputs, has %u", required, n->nin);
	for (uint32_t k = 0; k < n->nin; k++) {
		const ftl_type *t;

		if (!n->in[k]) {
			if (k < required)
				return ftl_infer_fail(f, "input %u is missing", k);
			continue;
		}
		t = ftl_infer_in(f, k);
		if (t->dtype <= FTL_NO_DTYPE || t->dtype >= FTL_DTYPE_COUNT || t->rank < 0 || t->rank > FTL_MAX_RANK)
			return ftl_infer_fail(f, "input %u has no type yet", k);
		for (int i = 0; i < t->rank; i++)
			if (t->dims[i] == FTL_DIM_NONE)
				return ftl_infer_fail(f, "input %u: the size of axis %d is not known", k, i);
	}
	return FTL_OK;
}

const char *ftl_hook_dim(const ftl_infer *f, ftl_dim d)
{
	ftl_text t;

	ftl_text_init(&t, f->g->arena);
	ftl_dim_print(f->g->st, &t, d);
	return t.v;
}

const char *ftl_hook_shape(const ftl_infer *f, int rank, const ftl_dim *dims)
{
	ftl_text t;

	ftl_text_init(&t, f->g->arena);
	ftl_text_add(&t, "[");
	for (int i = 0; i < rank; i++) {
		if (i)
			ftl_text_add(&t, ",");
		ftl_dim_print(f->g->st, &t, dims[i]);
	}
	ftl_text_add(&t, "]");
	return t.v;
}

const char *ftl_hook_in_shape(const ftl_infer *f, uint32_t k)
{
	const ftl_type *t = ftl_infer_in(f, k);

	return ftl_hook_shape(f, t->rank, t->dims);
}

static ftl_status_code bad_type(ftl_infer *f, uint32_t k, const char *want)
{
	return ftl_infer_fail(f, "input %u has element type %s, which should be %s", k,
			      ftl_dtype_name(ftl_infer_in(f, k)->dtype), want);
}

ftl_status ftl_hook_want_float(ftl_infer *f, uint32_t k)
{
	ftl_dtype t = ftl_infer_in(f, k)->dtype;

	return ftl_dtype_is_float(t) && !ftl_dtype_is_low(t) ? FTL_OK : bad_type(f, k, "a float type");
}

ftl_status ftl_hook_want_number(ftl_infer *f, uint32_t k)
{
	ftl_dtype t = ftl_infer_in(f, k)->dtype;

	return t != FTL_BOOL && !ftl_dtype_is_low(t) ? FTL_OK : bad_type(f, k, "a number");
}

ftl_status ftl_hook_want_int(ftl_infer *f, uint32_t k)
{
	ftl_dtype t = ftl_infer_in(f, k)->dtype;

	return ftl_dtype_is_int(t) && !ftl_dtype_is_low(t) ? FTL_OK : bad_type(f, k, "an integer type");
}

ftl_status ftl_hook_want_bool(ftl_infer *f, uint32_t k)
{
	return ftl_infer_in(f, k)->dtype == FTL_BOOL ? FTL_OK : bad_type(f, k, "bool");
}

ftl_status ftl_hook_want_same(ftl_infer *f, uint32_t a, uint32_t b)
{
	ftl_dtype ta = ftl_infer_in(f, a)->dtype, tb = ftl_infer_in(f, b)->dtype;

	if (ta != tb)
		return ftl_infer_fail(f, "inputs %u and %u have different element types %s and %s", a, b,
				      ftl_dtype_name(ta), ftl_dtype_name(tb));
	return FTL_OK;
}

ftl_status ftl_hook_want_rank(ftl_infer *f, uint32_t k, int rank)
{
	if (ftl_infer_in(f, k)->rank != rank)
		return ftl_infer_fail(f, "input %u has rank %d, which should be %d", k, ftl_infer_in(f, k)->rank, rank);
	return FTL_OK;
}

ftl_status ftl_hook_want_one(ftl_infer *f, uint32_t k, const char *what)
{
	const ftl_type *t = ftl_infer_in(f, k);
	int64_t c;

	for (int i = 0; i < t->rank; i++)
		if (ftl_dim_is_const(f->g->st, t->dims[i], &c) && c != 1)
			return ftl_infer_fail(f, "%s should be a single element, has shape %s", what,
					      ftl_hook_in_shape(f, k));
	return FTL_OK;
}

ftl_status ftl_hook_dtype_ok(ftl_infer *f, ftl_dtype t)
{
	if (t <= FTL_NO_DTYPE || t >= FTL_DTYPE_COUNT)
		return ftl_infer_fail(f, "attribute names no element type");
	return FTL_OK;
}

ftl_dtype ftl_hook_real_dtype(const ftl_infer *f, const ftl_type *t)
{
	if (t->enc && t->enc->kind == FTL_ENC_QUANT && t->enc->scale && t->enc->scale < f->g->values.n)
		return ftl_type_of(f->g, t->enc->scale)->dtype;
	return t->dtype;
}

ftl_status ftl_hook_unify(ftl_infer *f, ftl_dim a, ftl_dim b, const char *what, ftl_dim *out)
{
	ftl_symtab *st = f->g->st;

	*out = a;
	if (a == b)
		return FTL_OK;
	if (ftl_dim_known_eq(st, a, b) == 0)
		return ftl_infer_fail(f, "%s differ: %s and %s", what, ftl_hook_dim(f, a), ftl_hook_dim(f, b));
	if (ftl_dim_is_const(st, b, NULL))
		*out = b;
	return FTL_OK;
}

/* ---- results ---- */

ftl_status ftl_hook_out(ftl_infer *f, uint32_t k, ftl_dtype t, int rank, const ftl_dim *dims)
{
	int64_t count = 1, c;
	bool too_large = false, empty = false;

	if (k >= ftl_infer_self(f)->nout)
		return ftl_infer_fail(f, "has %u results, needs more than %u", ftl_infer_self(f)->nout, k);
	if (rank < 0 || rank > FTL_MAX_RANK)
		return ftl_infer_fail(f, "the result would have rank %d, the limit is %d", rank, FTL_MAX_RANK);
	for (int i = 0; i < rank; i++) {
		if (dims[i] == FTL_DIM_NONE)
			return ftl_infer_fail(f, "the size of axis %d of the result overflows", i);
		if (ftl_dim_hi(f->g->st, dims[i]) < 0)
			return ftl_infer_fail(f, "axis %d of the result has the negative size %s", i,
					      ftl_hook_dim(f, dims[i]));
		if (!ftl_dim_is_const(f->g->st, dims[i], &c))
			continue;
		empty |= c == 0;
		if (c)
			too_large |= __builtin_mul_overflow(count, c, &count);
	}
	too_large |= count > INT64_MAX / 16;
	if (too_large && !empty)
		return ftl_infer_fail(f, "a result of shape %s is too large", ftl_hook_shape(f, rank, dims));
	ftl_infer_out(f, k, t, rank, dims);
	ftl_infer_sym(f, k, NULL, 0);
	return FTL_OK;
}

ftl_status ftl_hook_out_like(ftl_infer *f, uint32_t k, uint32_t j)
{
	const ftl_type *t = ftl_infer_in(f, j);

	return ftl_hook_out(f, k, t->dtype, t->rank, t->dims);
}

ftl_status ftl_hook_out_broadcast(ftl_infer *f, uint32_t k, ftl_dtype t, uint32_t nin)
{
	ftl_dims shapes[3] = {{0}};
	ftl_dim dims[FTL_MAX_RANK];
	uint32_t n = 0, of[3] = {0};
	int rank, axis;

	for (uint32_t i = 0; i < nin && n < FTL_COUNT(shapes); i++) {
		if (!ftl_infer_has(f, i))
			continue;
		of[n] = i;
		shapes[n++] = (ftl_dims){(uint32_t)ftl_infer_in(f, i)->rank, ftl_infer_in(f, i)->dims};
	}
	if (!ftl_shapes_broadcast(f->g->st, shapes, n, &rank, dims, &axis)) {
		if (n == 2)
			return ftl_infer_fail(f, "shapes %s and %s do not broadcast", ftl_hook_in_shape(f, of[0]),
					      ftl_hook_in_shape(f, of[1]));
		return ftl_infer_fail(f, "the shapes of the inputs do not broadcast: %s, %s, %s",
				      ftl_hook_in_shape(f, of[0]), n > 1 ? ftl_hook_in_shape(f, of[1]) : "",
				      n > 2 ? ftl_hook_in_shape(f, of[2]) : "");
	}
	return ftl_hook_out(f, k, t, rank, dims);
}

/* ---- contents ---- */

bool ftl_hook_count(const ftl_infer *f, int rank, const ftl_dim *dims, uint32_t cap, uint32_t *out)
{
	int64_t n = 1, c;
	bool empty = false;

	for (int i = 0; i < rank; i++) {
		if (!ftl_dim_is_const(f->g->st, dims[i], &c) || c < 0)
			return false;
		empty |= c == 0;
		/* saturate: a later 0 still makes it empty */
		n = c > cap || n > cap ? (int64_t)cap + 1 : n * c;
	}
	*out = empty ? 0 : (uint32_t)n;
	return empty || n <= cap;
}

const ftl_dim *ftl_hook_contents(const ftl_infer *f, uint32_t k, uint32_t *n)
{
	const ftl_value *v;
	uint32_t count;

	*n = 0;
	if (!ftl_infer_has(f, k))
		return NULL;
	v = ftl_infer_inv(f, k);
	/* A count that disagrees would be somebody's stale note: not to be trusted. */
	if (!v->sym || !ftl_hook_count(f, v->type.rank, v->type.dims, FTL_MAX_SYM, &count) || count != v->nsym)
		return NULL;
	*n = count;
	return v->sym;
}

ftl_dim ftl_hook_elem(const ftl_infer *f, uint32_t k, uint32_t i)
{
	uint32_t n;
	const ftl_dim *c = ftl_hook_contents(f, k, &n);

	return c && i < n ? c[i] : FTL_DIM_NONE;
}

bool ftl_hook_tracks(const ftl_infer *f, uint32_t k, uint32_t *n)
{
	const ftl_type *t = ftl_type_of(f->g, ftl_infer_self(f)->out[k]);

	return (ftl_dtype_is_int(t->dtype) || t->dtype == FTL_BOOL) &&
	       ftl_hook_count(f, t->rank, t->dims, FTL_MAX_SYM, n);
}

ftl_dim ftl_hook_fit(ftl_symtab *st, ftl_dtype t, ftl_dim d)
{
	unsigned bits = ftl_dtype_bits(t);
	int64_t lo, hi, c;

	if (d == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	if (t == FTL_BOOL) {
		lo = 0;
		hi = 1;
	} else if (ftl_dtype_is_signed(t)) {
		lo = bits >= 64 ? INT64_MIN : -((int64_t)1 << (bits - 1));
		hi = bits >= 64 ? INT64_MAX : ((int64_t)1 << (bits - 1)) - 1;
	} else {
		lo = 0;
		hi = bits >= 63 ? INT64_MAX : ((int64_t)1 << bits) - 1;
	}
	/* Sizes are taken to fit 32 bits and more where nothing is known of them; a sign must be proven. */
	if (!ftl_dim_is_const(st, d, &c) && bits >= 32) {
		if (ftl_dtype_is_signed(t))
			return d;
		hi = INT64_MAX;
	}
	return ftl_dim_lo(st, d) >= lo && ftl_dim_hi(st, d) <= hi ? d : FTL_DIM_NONE;
}

void ftl_hook_set(ftl_infer *f, uint32_t k, const ftl_dim *v, uint32_t n)
{
	const ftl_type *t = ftl_type_of(f->g, ftl_infer_self(f)->out[k]);
	ftl_dim fit[FTL_MAX_SYM];
	bool known = n == 0;
	uint32_t count;

	if (!ftl_hook_tracks(f, k, &count) || count != n)
		return;
	for (uint32_t i = 0; i < n; i++) {
		fit[i] = ftl_hook_fit(f->g->st, t->dtype, v[i]);
		known |= fit[i] != FTL_DIM_NONE;
	}
	if (known)
		ftl_infer_sym(f, k, fit, n);
}

ftl_status ftl_hook_vector(ftl_infer *f, uint32_t k, const char *what, uint32_t cap, uint32_t *out_n, ftl_dim *out)
{
	const ftl_type *t = ftl_infer_in(f, k);
	const ftl_dim *c;
	uint32_t n = 1, nc;

	FTL_TRY(ftl_hook_want_int(f, k));
	if (t->rank > 1)
		return ftl_infer_fail(f, "%s should be a vector, has shape %s", what, ftl_hook_in_shape(f, k));
	if (!ftl_hook_count(f, t->rank, t->dims, cap, &n)) {
		if (ftl_dim_is_const(f->g->st, t->dims[0], NULL))
			return ftl_infer_fail(f, "%s has %s elements, the limit is %u", what,
					      ftl_hook_dim(f, t->dims[0]), cap);
		return ftl_infer_fail(
			f, "%s has %s elements: a length known before the run is needed, since it decides a rank", what,
			ftl_hook_dim(f, t->dims[0]));
	}
	c = ftl_hook_contents(f, k, &nc);
	for (uint32_t i = 0; i < n; i++)
		out[i] = c ? c[i] : FTL_DIM_NONE;
	*out_n = n;
	return FTL_OK;
}

/* ---- attributes by name ---- */

static const void *attr(const ftl_infer *f, const char *name)
{
	const ftl_node *n = ftl_infer_self(f);
	const ftl_op_info *op = ftl_op_get(n->op);

	for (uint32_t i = 0; i < op->nattr; i++)
		if (strcmp(op->attr[i].name, name) == 0)
			return (const char *)n->attrs + op->attr[i].offset;
	return NULL;
}

#define ATTR_BY_NAME(suffix, type)                                                                                     \
	type ftl_hook_attr_##suffix(const ftl_infer *f, const char *name)                                              \
	{                                                                                                              \
		const void *p = attr(f, name);                                                                         \
		type v = {0};                                                                                          \
                                                                                                                       \
		if (p)                                                                                                 \
			memcpy(&v, p, sizeof v);                                                                       \
		return v;                                                                                              \
	}
ATTR_BY_NAME(i64, int64_t)
ATTR_BY_NAME(flag, bool)
ATTR_BY_NAME(ints, ftl_ints)
ATTR_BY_NAME(dims, ftl_dims)
ATTR_BY_NAME(dtype, ftl_dtype)
