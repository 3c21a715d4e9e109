/* Elementwise ops: element types, broadcasting, and the arithmetic on symbolic contents that shape
 * computations are made of.
 *
 * Contents are mathematical integers; ftl_hook_set drops what may not fit the element type, and no fold
 * assumes a sign that bounds do not prove. */
#include "hooks.h"

/* One element of the result from one element of each input, FTL_DIM_NONE where unknown. */
typedef ftl_dim content_fn(const ftl_infer *f, const ftl_dim *in);

/* Apply fn elementwise, with the inputs broadcast to output 0's shape, if that is small. */
static void map_contents(ftl_infer *f, uint32_t nin, content_fn *fn)
{
	const ftl_type *out = ftl_type_of(f->g, ftl_infer_self(f)->out[0]);
	const ftl_dim *c[3] = {NULL, NULL, NULL};
	uint32_t n, nc[3], step[3][FTL_MAX_RANK], at[FTL_MAX_RANK] = {0};
	int64_t size[FTL_MAX_RANK];
	ftl_dim v[FTL_MAX_SYM];
	bool any = false;

	if (!ftl_hook_tracks(f, 0, &n) || nin > 3)
		return;
	for (int i = 0; i < out->rank; i++)
		ftl_dim_is_const(f->g->st, out->dims[i], &size[i]);
	for (uint32_t k = 0; k < nin; k++) {
		const ftl_type *t = ftl_infer_in(f, k);
		uint32_t stride = 1;
		int64_t d = 1;

		c[k] = ftl_hook_contents(f, k, &nc[k]);
		any |= c[k] != NULL;
		memset(step[k], 0, sizeof step[k]);
		for (int i = t->rank - 1; c[k] && i >= 0; i--) {
			ftl_dim_is_const(f->g->st, t->dims[i], &d);
			step[k][out->rank - t->rank + i] = d == 1 ? 0 : stride;
			stride *= (uint32_t)d;
		}
	}
	if (!any)
		return;
	for (uint32_t e = 0; e < n; e++) {
		ftl_dim in[3] = {FTL_DIM_NONE, FTL_DIM_NONE, FTL_DIM_NONE};

		for (uint32_t k = 0; k < nin; k++) {
			uint32_t at_k = 0;

			for (int i = 0; c[k] && i < out->rank; i++)
				at_k += at[i] * step[k][i];
			if (c[k] && at_k < nc[k])
				in[k] = c[k][at_k];
		}
		v[e] = fn(f, in);
		for (int i = out->rank - 1; i >= 0 && ++at[i] == size[i]; i--)
			at[i] = 0;
	}
	ftl_hook_set(f, 0, v, n);
}

static ftl_dim truth(const ftl_infer *f, int known)
{
	return known < 0 ? FTL_DIM_NONE : ftl_hook_const(f, known);
}

static bool konst(const ftl_infer *f, ftl_dim d, int64_t *v)
{
	return d != FTL_DIM_NONE && ftl_dim_is_const(f->g->st, d, v);
}

/* ---- one input ---- */

ftl_status ftl_infer_op_identity(ftl_infer *f)
{
	const ftl_dim *c;
	uint32_t n;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_out_like(f, 0, 0));
	c = ftl_hook_contents(f, 0, &n);
	if (c)
		ftl_hook_set(f, 0, c, n);
	return FTL_OK;
}

ftl_status ftl_infer_op_same(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_number(f, 0));
	return ftl_hook_out_like(f, 0, 0);
}

ftl_status ftl_infer_op_real(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_float(f, 0));
	return ftl_hook_out_like(f, 0, 0);
}

ftl_status ftl_infer_op_to_bool(ftl_infer *f)
{
	const ftl_type *t;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_float(f, 0));
	t = ftl_infer_in(f, 0);
	return ftl_hook_out(f, 0, FTL_BOOL, t->rank, t->dims);
}

static ftl_dim neg_elem(const ftl_infer *f, const ftl_dim *in)
{
	return ftl_dim_sub(f->g->st, ftl_hook_const(f, 0), in[0]);
}

ftl_status ftl_infer_op_neg(ftl_infer *f)
{
	FTL_TRY(ftl_infer_op_same(f));
	map_contents(f, 1, neg_elem);
	return FTL_OK;
}

static ftl_dim abs_elem(const ftl_infer *f, const ftl_dim *in)
{
	if (in[0] != FTL_DIM_NONE && ftl_dim_lo(f->g->st, in[0]) >= 0)
		return in[0];
	return ftl_dim_max(f->g->st, in[0], neg_elem(f, in));
}

ftl_status ftl_infer_op_abs(ftl_infer *f)
{
	FTL_TRY(ftl_infer_op_same(f));
	map_contents(f, 1, abs_elem);
	return FTL_OK;
}

static ftl_dim not_elem(const ftl_infer *f, const ftl_dim *in)
{
	return ftl_dim_sub(f->g->st, ftl_hook_const(f, 1), in[0]);
}

ftl_status ftl_infer_op_not(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_bool(f, 0));
	FTL_TRY(ftl_hook_out_like(f, 0, 0));
	map_contents(f, 1, not_elem);
	return FTL_OK;
}

/* To bool: is it different from 0? To integers: itself, if it fits (ftl_hook_set sees to it). */
static ftl_dim bool_elem(const ftl_infer *f, const ftl_dim *in)
{
	int zero;

	if (in[0] == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	zero = ftl_dim_known_eq(f->g->st, in[0], ftl_hook_const(f, 0));
	if (zero >= 0)
		return ftl_hook_const(f, !zero);
	return ftl_hook_fit(f->g->st, FTL_BOOL, in[0]);
}

static void cast_from_float(ftl_infer *f)
{
	ftl_symtab *st = f->g->st;
	ftl_ratio r[FTL_MAX_SYM];
	ftl_dim v[FTL_MAX_SYM];
	uint32_t n, want;
	int64_t c;

	/* The size check first: it is cheap, and most casts are of large tensors. */
	if (!ftl_hook_tracks(f, 0, &want) || !ftl_hook_ratios(f->g, ftl_infer_self(f)->in[0], r, &n) || n != want)
		return;
	for (uint32_t i = 0; i < n; i++) {
		v[i] = FTL_DIM_NONE;
		if (konst(f, r[i].num, &c))
			v[i] = ftl_dim_const(st, c / r[i].den);
		else if (r[i].num != FTL_DIM_NONE && ftl_dim_lo(st, r[i].num) >= 0)
			v[i] = ftl_dim_div(st, r[i].num, ftl_dim_const(st, r[i].den));
		else if (r[i].num != FTL_DIM_NONE && r[i].den == 1)
			v[i] = r[i].num;
	}
	ftl_hook_set(f, 0, v, n);
}

ftl_status ftl_infer_op_cast(ftl_infer *f)
{
	ftl_dtype to = FTL_ATTRS(ftl_infer_self(f), cast)->to;
	const ftl_dim *c;
	const ftl_type *t;
	uint32_t n;
	const char *round = FTL_ATTRS(ftl_infer_self(f), cast)->round_mode;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_dtype_ok(f, to));
	if (strcmp(round, "up") != 0 && strcmp(round, "down") != 0 && strcmp(round, "nearest") != 0)
		return ftl_infer_fail(f, "unknown round_mode \"%.32s\"", round);
	t = ftl_infer_in(f, 0);
	FTL_TRY(ftl_hook_out(f, 0, to, t->rank, t->dims));
	if (to == FTL_BOOL)
		map_contents(f, 1, bool_elem);
	else if (ftl_dtype_is_float(t->dtype))
		cast_from_float(f);
	else if ((c = ftl_hook_contents(f, 0, &n)))
		ftl_hook_set(f, 0, c, n);
	return FTL_OK;
}

ftl_status ftl_infer_op_bitcast(ftl_infer *f)
{
	ftl_dtype to = FTL_ATTRS(ftl_infer_self(f), bitcast)->to;
	const ftl_type *t;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_dtype_ok(f, to));
	t = ftl_infer_in(f, 0);
	if (ftl_dtype_bits(t->dtype) != ftl_dtype_bits(to))
		return ftl_infer_fail(f, "the bits of %s cannot be those of %s", ftl_dtype_name(t->dtype),
				      ftl_dtype_name(to));
	return ftl_hook_out(f, 0, to, t->rank, t->dims);
}

/* ---- two inputs ---- */

static ftl_status numbers(ftl_infer *f, content_fn *fn)
{
	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_number(f, 0));
	FTL_TRY(ftl_hook_want_same(f, 0, 1));
	FTL_TRY(ftl_hook_out_broadcast(f, 0, ftl_infer_in(f, 0)->dtype, 2));
	if (fn)
		map_contents(f, 2, fn);
	return FTL_OK;
}

static ftl_dim add_elem(const ftl_infer *f, const ftl_dim *in)
{
	return ftl_dim_add(f->g->st, in[0], in[1]);
}

static ftl_dim sub_elem(const ftl_infer *f, const ftl_dim *in)
{
	return ftl_dim_sub(f->g->st, in[0], in[1]);
}

static ftl_dim mul_elem(const ftl_infer *f, const ftl_dim *in)
{
	int64_t c;

	if ((konst(f, in[0], &c) && c == 0) || (konst(f, in[1], &c) && c == 0))
		return ftl_hook_const(f, 0);
	return ftl_dim_mul(f->g->st, in[0], in[1]);
}

/* Truncating division is floor division where neither sign can be negative. */
static bool floors(const ftl_infer *f, const ftl_dim *in)
{
	return in[0] != FTL_DIM_NONE && in[1] != FTL_DIM_NONE && ftl_dim_lo(f->g->st, in[0]) >= 0 &&
	       ftl_dim_lo(f->g->st, in[1]) > 0;
}

static ftl_dim div_elem(const ftl_infer *f, const ftl_dim *in)
{
	ftl_dim zero = ftl_hook_const(f, 0), pos, neg;
	int64_t a, b;

	if (konst(f, in[0], &a) && konst(f, in[1], &b)) {
		if (b == 0)
			return ftl_hook_const(f, 0);
		return a == INT64_MIN && b == -1 ? FTL_DIM_NONE : ftl_hook_const(f, a / b);
	}
	if (floors(f, in))
		return ftl_dim_div(f->g->st, in[0], in[1]);
	/* an exact division has nothing to truncate */
	if (konst(f, in[1], &b) && b > 0 && konst(f, ftl_dim_mod(f->g->st, in[0], in[1]), &a) && a == 0)
		return ftl_dim_div(f->g->st, in[0], in[1]);
	/* else positive and negative part apart: one of them is 0 */
	if (in[0] == FTL_DIM_NONE || in[1] == FTL_DIM_NONE || ftl_dim_lo(f->g->st, in[1]) <= 0)
		return FTL_DIM_NONE;
	pos = ftl_dim_div(f->g->st, ftl_dim_max(f->g->st, in[0], zero), in[1]);
	neg = ftl_dim_max(f->g->st, ftl_dim_sub(f->g->st, zero, in[0]), zero);
	if (ftl_dim_known_lt(f->g->st, neg, in[1]) == 1)
		return pos;
	return ftl_dim_sub(f->g->st, pos, ftl_dim_div(f->g->st, neg, in[1]));
}

static ftl_dim mod_elem(const ftl_infer *f, const ftl_dim *in)
{
	if (in[1] == FTL_DIM_NONE || ftl_dim_lo(f->g->st, in[1]) <= 0)
		return FTL_DIM_NONE;
	if (FTL_ATTRS(ftl_infer_self(f), mod)->fmod && !floors(f, in))
		return FTL_DIM_NONE;
	return ftl_dim_mod(f->g->st, in[0], in[1]);
}

static ftl_dim min_elem(const ftl_infer *f, const ftl_dim *in)
{
	return ftl_dim_min(f->g->st, in[0], in[1]);
}

static ftl_dim max_elem(const ftl_infer *f, const ftl_dim *in)
{
	return ftl_dim_max(f->g->st, in[0], in[1]);
}

/* Shifts of unsigned integers: a multiplication, a division; only by a constant that keeps all bits. */
static ftl_dim shift_elem(const ftl_infer *f, const ftl_dim *in)
{
	int64_t by;

	if (!konst(f, in[1], &by) || by < 0 || by > 31 || in[0] == FTL_DIM_NONE || ftl_dim_lo(f->g->st, in[0]) < 0)
		return FTL_DIM_NONE;
	if (FTL_ATTRS(ftl_infer_self(f), shift)->left)
		return ftl_dim_mul(f->g->st, in[0], ftl_hook_const(f, (int64_t)1 << by));
	return ftl_dim_div(f->g->st, in[0], ftl_hook_const(f, (int64_t)1 << by));
}

#define NUMBERS(name)                                                                                                  \
	ftl_status ftl_infer_op_##name(ftl_infer *f)                                                                   \
	{                                                                                                              \
		return numbers(f, name##_elem);                                                                        \
	}
NUMBERS(add)
NUMBERS(sub)
NUMBERS(mul)
NUMBERS(div)
NUMBERS(mod)
NUMBERS(min)
NUMBERS(max)

ftl_status ftl_infer_op_shift(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_int(f, 0));
	return numbers(f, shift_elem);
}

static ftl_dim pow_elem(const ftl_infer *f, const ftl_dim *in)
{
	ftl_dim r = ftl_hook_const(f, 1);
	int64_t e;

	if (!konst(f, in[1], &e) || e < 0 || e > 62)
		return FTL_DIM_NONE;
	while (e-- > 0 && r != FTL_DIM_NONE)
		r = ftl_dim_mul(f->g->st, r, in[0]);
	return r;
}

ftl_status ftl_infer_op_pow(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_number(f, 0));
	FTL_TRY(ftl_hook_want_number(f, 1));
	FTL_TRY(ftl_hook_out_broadcast(f, 0, ftl_infer_in(f, 0)->dtype, 2));
	map_contents(f, 2, pow_elem);
	return FTL_OK;
}

ftl_status ftl_infer_op_prelu(ftl_infer *f)
{
	const ftl_type *x, *out;

	FTL_TRY(numbers(f, NULL));
	x = ftl_infer_in(f, 0);
	out = ftl_type_of(f->g, ftl_infer_self(f)->out[0]);
	if (out->rank != x->rank)
		return ftl_infer_fail(f, "slope of shape %s does not fit x of shape %s", ftl_hook_in_shape(f, 1),
				      ftl_hook_in_shape(f, 0));
	for (int i = 0; i < x->rank; i++)
		if (ftl_dim_known_eq(f->g->st, x->dims[i], out->dims[i]) == 0)
			return ftl_infer_fail(f, "slope of shape %s does not fit x of shape %s",
					      ftl_hook_in_shape(f, 1), ftl_hook_in_shape(f, 0));
	return ftl_hook_out_like(f, 0, 0);
}

/* ---- bits and truth values ---- */

ftl_status ftl_infer_op_bits(ftl_infer *f)
{
	uint32_t nin = ftl_infer_self(f)->nin;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_int(f, 0));
	if (nin == 1)
		return ftl_hook_out_like(f, 0, 0);
	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_same(f, 0, 1));
	return ftl_hook_out_broadcast(f, 0, ftl_infer_in(f, 0)->dtype, 2);
}

static ftl_status truths(ftl_infer *f, content_fn *fn)
{
	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_bool(f, 0));
	FTL_TRY(ftl_hook_want_bool(f, 1));
	FTL_TRY(ftl_hook_out_broadcast(f, 0, FTL_BOOL, 2));
	map_contents(f, 2, fn);
	return FTL_OK;
}

/* One operand is known to be v, which alone decides; or it is the other value, and the result is the rest. */
static ftl_dim decide(const ftl_infer *f, const ftl_dim *in, int64_t v)
{
	int64_t c;

	for (int k = 0; k < 2; k++)
		if (konst(f, in[k], &c))
			return c == v ? in[k] : in[1 - k];
	return in[0] == in[1] ? in[0] : FTL_DIM_NONE;
}

static ftl_dim and_elem(const ftl_infer *f, const ftl_dim *in)
{
	return decide(f, in, 0);
}

static ftl_dim or_elem(const ftl_infer *f, const ftl_dim *in)
{
	return decide(f, in, 1);
}

static ftl_dim xor_elem(const ftl_infer *f, const ftl_dim *in)
{
	int64_t a, b;

	return konst(f, in[0], &a) && konst(f, in[1], &b) ? ftl_hook_const(f, a != b) : FTL_DIM_NONE;
}

ftl_status ftl_infer_op_and(ftl_infer *f)
{
	return truths(f, and_elem);
}

ftl_status ftl_infer_op_or(ftl_infer *f)
{
	return truths(f, or_elem);
}

ftl_status ftl_infer_op_xor(ftl_infer *f)
{
	return truths(f, xor_elem);
}

/* ---- comparisons: decided where bounds decide ---- */

static ftl_dim eq_elem(const ftl_infer *f, const ftl_dim *in)
{
	if (in[0] == FTL_DIM_NONE || in[1] == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	return truth(f, ftl_dim_known_eq(f->g->st, in[0], in[1]));
}

static ftl_dim lt_elem(const ftl_infer *f, const ftl_dim *in)
{
	if (in[0] == FTL_DIM_NONE || in[1] == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	return truth(f, ftl_dim_known_lt(f->g->st, in[0], in[1]));
}

static ftl_dim le_elem(const ftl_infer *f, const ftl_dim *in)
{
	if (in[0] == FTL_DIM_NONE || in[1] == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	return truth(f, ftl_dim_known_le(f->g->st, in[0], in[1]));
}

static ftl_dim gt_elem(const ftl_infer *f, const ftl_dim *in)
{
	return lt_elem(f, (const ftl_dim[]){in[1], in[0]});
}

static ftl_dim ge_elem(const ftl_infer *f, const ftl_dim *in)
{
	return le_elem(f, (const ftl_dim[]){in[1], in[0]});
}

static ftl_status compare(ftl_infer *f, content_fn *fn, bool ordered)
{
	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(ftl_hook_want_same(f, 0, 1));
	if (ordered)
		FTL_TRY(ftl_hook_want_number(f, 0));
	FTL_TRY(ftl_hook_out_broadcast(f, 0, FTL_BOOL, 2));
	map_contents(f, 2, fn);
	return FTL_OK;
}

#define COMPARE(name, ordered)                                                                                         \
	ftl_status ftl_infer_op_##name(ftl_infer *f)                                                                   \
	{                                                                                                              \
		return compare(f, name##_elem, ordered);                                                               \
	}
COMPARE(eq, false)
COMPARE(lt, true)
COMPARE(le, true)
COMPARE(gt, true)
COMPARE(ge, true)

/* ---- three inputs ---- */

static ftl_dim where_elem(const ftl_infer *f, const ftl_dim *in)
{
	int64_t c;

	if (konst(f, in[0], &c))
		return c ? in[1] : in[2];
	return in[1] == in[2] ? in[1] : FTL_DIM_NONE;
}

ftl_status ftl_infer_op_where(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args(f, 3));
	FTL_TRY(ftl_hook_want_bool(f, 0));
	FTL_TRY(ftl_hook_want_same(f, 1, 2));
	FTL_TRY(ftl_hook_out_broadcast(f, 0, ftl_infer_in(f, 1)->dtype, 3));
	map_contents(f, 3, where_elem);
	return FTL_OK;
}

static ftl_dim clip_elem(const ftl_infer *f, const ftl_dim *in)
{
	ftl_dim v = in[0];

	if (ftl_infer_has(f, 1))
		v = ftl_dim_max(f->g->st, v, ftl_hook_elem(f, 1, 0));
	if (ftl_infer_has(f, 2))
		v = ftl_dim_min(f->g->st, v, ftl_hook_elem(f, 2, 0));
	return v;
}

ftl_status ftl_infer_op_clip(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_number(f, 0));
	for (uint32_t k = 1; k < 3; k++) {
		if (!ftl_infer_has(f, k))
			continue;
		FTL_TRY(ftl_hook_want_same(f, 0, k));
		FTL_TRY(ftl_hook_want_one(f, k, k == 1 ? "the lower bound" : "the upper bound"));
	}
	FTL_TRY(ftl_hook_out_like(f, 0, 0));
	map_contents(f, 1, clip_elem);
	return FTL_OK;
}
