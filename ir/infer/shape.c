/* Values that start a shape computation or are made from a shape: const, dims, shape, size, reshape, expand,
 * fill, range, eye_like, random. A shape operand's contents decide where they are known; where an element is
 * not, the dim is a fresh symbol that the op's lowering reads from the operand at run time. */
#include "hooks.h"

#include <math.h>

ftl_status ftl_infer_op_none(ftl_infer *f)
{
	return ftl_hook_args_any(f, 0);
}

ftl_status ftl_infer_op_const(ftl_infer *f)
{
	const ftl_blob *b = FTL_ATTRS(ftl_infer_self(f), const)->blob;
	const ftl_type *t = ftl_type_of(f->g, ftl_infer_self(f)->out[0]);
	ftl_dim v[FTL_MAX_SYM];
	int64_t count, bytes;
	uint32_t n;

	/* The type is part of the constant: whoever makes the node sets it. */
	FTL_TRY(ftl_hook_dtype_ok(f, t->dtype));
	for (int i = 0; i < t->rank; i++)
		if (t->dims[i] == FTL_DIM_NONE || !ftl_dim_is_const(f->g->st, t->dims[i], NULL))
			return ftl_infer_fail(f, "a constant needs constant sizes");
	if (!ftl_dim_is_const(f->g->st, ftl_type_numel(f->g, t), &count) || count < 0 ||
	    __builtin_mul_overflow(count, (int64_t)ftl_dtype_bytes(t->dtype), &bytes))
		return ftl_infer_fail(f, "shape %s is too large", ftl_hook_shape(f, t->rank, t->dims));
	if (!b)
		return ftl_infer_fail(f, "has no contents");
	/* A sparse encoding may store its elements packed. */
	if (!(t->enc && t->enc->kind == FTL_ENC_SPARSE) && b->bytes != (size_t)bytes)
		return ftl_infer_fail(f, "%s%s needs %lld bytes, has %zu", ftl_dtype_name(t->dtype),
				      ftl_hook_shape(f, t->rank, t->dims), (long long)bytes, b->bytes);
	if (!b->data || t->enc || !ftl_hook_tracks(f, 0, &n))
		return FTL_OK;
	for (uint32_t i = 0; i < n; i++) {
		int64_t x = ftl_elem_get_i64(t->dtype, b->data, i);

		/* a u64 above 2^63 reads as negative */
		v[i] = t->dtype == FTL_U64 && x < 0 ? FTL_DIM_NONE
						    : ftl_hook_const(f, t->dtype == FTL_BOOL ? x != 0 : x);
	}
	ftl_hook_set(f, 0, v, n);
	return FTL_OK;
}

ftl_status ftl_infer_op_dims(ftl_infer *f)
{
	const struct ftl_attrs_dims *a = FTL_ATTRS(ftl_infer_self(f), dims);
	ftl_dim n = ftl_hook_const(f, a->values.n);

	FTL_TRY(ftl_hook_dtype_ok(f, a->dtype));
	if (!ftl_dtype_is_int(a->dtype))
		return ftl_infer_fail(f, "dims cannot have element type %s", ftl_dtype_name(a->dtype));
	if (a->scalar && a->values.n != 1)
		return ftl_infer_fail(f, "a scalar has 1 value, not %u", a->values.n);
	for (uint32_t i = 0; i < a->values.n; i++)
		if (a->values.v[i] == FTL_DIM_NONE)
			return ftl_infer_fail(f, "value %u is not an expression", i);
	FTL_TRY(ftl_hook_out(f, 0, a->dtype, a->scalar ? 0 : 1, &n));
	ftl_hook_set(f, 0, a->values.v, a->values.n);
	return FTL_OK;
}

static int64_t clamp_axis(int64_t v, int rank)
{
	if (v < 0)
		v = v < -(int64_t)rank ? 0 : v + rank;
	return v > rank ? rank : v;
}

ftl_status ftl_infer_op_shape(ftl_infer *f)
{
	const struct ftl_attrs_shape *a = FTL_ATTRS(ftl_infer_self(f), shape);
	const ftl_type *x;
	int64_t start, end;
	ftl_dim n;

	FTL_TRY(ftl_hook_args(f, 1));
	x = ftl_infer_in(f, 0);
	start = clamp_axis(a->start, x->rank);
	end = clamp_axis(a->end, x->rank);
	end = end < start ? start : end;
	n = ftl_hook_const(f, end - start);
	FTL_TRY(ftl_hook_out(f, 0, FTL_I64, 1, &n));
	if (end > start)
		ftl_hook_set(f, 0, x->dims + start, (uint32_t)(end - start));
	return FTL_OK;
}

ftl_status ftl_infer_op_size(ftl_infer *f)
{
	ftl_dim n;

	FTL_TRY(ftl_hook_args(f, 1));
	n = ftl_type_numel(f->g, ftl_infer_in(f, 0));
	FTL_TRY(ftl_hook_out(f, 0, FTL_I64, 0, NULL));
	ftl_hook_set(f, 0, &n, 1);
	return FTL_OK;
}

/* ---- reshape, expand ---- */

static ftl_status reshape_fail(ftl_infer *f, ftl_reshape_fault fault, uint32_t n, const ftl_dim *target)
{
	const char *from = ftl_hook_in_shape(f, 0), *to = ftl_hook_shape(f, (int)n, target);

	switch (fault) {
	case FTL_RESHAPE_TWO_INFERRED: return ftl_infer_fail(f, "cannot reshape %s to %s: more than one -1", from, to);
	case FTL_RESHAPE_NEGATIVE: return ftl_infer_fail(f, "cannot reshape %s to %s: negative size", from, to);
	case FTL_RESHAPE_NO_AXIS:
		return ftl_infer_fail(f, "cannot reshape %s to %s: 0 copies an axis that is not there", from, to);
	case FTL_RESHAPE_ZERO:
		return ftl_infer_fail(f, "cannot reshape %s to %s: -1 is ambiguous beside a 0", from, to);
	default: return ftl_infer_fail(f, "cannot reshape %s to %s: the element counts differ", from, to);
	}
}

ftl_status ftl_infer_op_reshape(ftl_infer *f)
{
	const struct ftl_attrs_reshape *a = FTL_ATTRS(ftl_infer_self(f), reshape);
	ftl_dim target[FTL_MAX_RANK], dims[FTL_MAX_RANK];
	const ftl_dim *c;
	const ftl_type *x;
	uint32_t n, nc;
	ftl_reshape_fault fault;

	FTL_TRY(ftl_hook_args(f, 1));
	x = ftl_infer_in(f, 0);
	if (ftl_infer_has(f, 1) && a->dims.n == 0) {
		FTL_TRY(ftl_hook_vector(f, 1, "the target shape", FTL_MAX_RANK, &n, target));
		fault = ftl_reshape_dims(f->g->st, x->rank, x->dims, n, target, a->allow_zero, dims);
	} else {
		if (a->dims.n > FTL_MAX_RANK)
			return ftl_infer_fail(f, "the result would have rank %u, the limit is %d", a->dims.n,
					      FTL_MAX_RANK);
		n = a->dims.n;
		for (uint32_t i = 0; i < n; i++) {
			target[i] = a->dims.v[i];
			if (target[i] == FTL_DIM_NONE || ftl_dim_hi(f->g->st, target[i]) < 0)
				return ftl_infer_fail(f, "size %u of the target shape is negative or unknown", i);
		}
		fault = ftl_reshape_dims(f->g->st, x->rank, x->dims, n, target, true, dims);
	}
	if (fault != FTL_RESHAPE_OK)
		return reshape_fail(f, fault, n, target);
	for (uint32_t i = 0; i < n; i++)
		if (dims[i] == FTL_DIM_NONE)
			dims[i] = ftl_infer_fresh(f, 0, (int)i, "reshape");
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, (int)n, dims));
	c = ftl_hook_contents(f, 0, &nc);
	if (c)
		ftl_hook_set(f, 0, c, nc);
	return FTL_OK;
}

/* Small contents repeated to a larger constant shape. */
static void expand_contents(ftl_infer *f)
{
	const ftl_type *x = ftl_infer_in(f, 0), *out = ftl_type_of(f->g, ftl_infer_self(f)->out[0]);
	uint32_t n, nc, lead = (uint32_t)(out->rank - x->rank);
	const ftl_dim *c = ftl_hook_contents(f, 0, &nc);
	ftl_dim v[FTL_MAX_SYM];

	if (!c || !ftl_hook_tracks(f, 0, &n))
		return;
	for (uint32_t e = 0; e < n; e++) {
		uint32_t rest = e, at = 0, stride = 1;

		for (int i = out->rank - 1; i >= (int)lead; i--) {
			int64_t so = 1, sx = 1;

			ftl_dim_is_const(f->g->st, out->dims[i], &so);
			ftl_dim_is_const(f->g->st, x->dims[i - (int)lead], &sx);
			at += sx == 1 ? 0 : stride * (uint32_t)(rest % (uint32_t)so);
			stride *= (uint32_t)sx;
			rest /= (uint32_t)so;
		}
		v[e] = c[at];
	}
	ftl_hook_set(f, 0, v, n);
}

ftl_status ftl_infer_op_expand(ftl_infer *f)
{
	ftl_dims attr = FTL_ATTRS(ftl_infer_self(f), expand)->dims;
	ftl_dim target[FTL_MAX_RANK], dims[FTL_MAX_RANK];
	ftl_symtab *st = f->g->st;
	const ftl_type *x;
	uint32_t n = attr.n, lead;
	int rank, offset;

	FTL_TRY(ftl_hook_args(f, 1));
	x = ftl_infer_in(f, 0);
	if (ftl_infer_has(f, 1) && attr.n == 0) {
		FTL_TRY(ftl_hook_vector(f, 1, "the target shape", FTL_MAX_RANK, &n, target));
	} else {
		if (n > FTL_MAX_RANK)
			return ftl_infer_fail(f, "the result would have rank %u, the limit is %d", n, FTL_MAX_RANK);
		for (uint32_t i = 0; i < n; i++)
			if ((target[i] = attr.v[i]) == FTL_DIM_NONE)
				return ftl_infer_fail(f, "size %u of the target shape is unknown", i);
	}
	rank = (int)n > x->rank ? (int)n : x->rank;
	lead = (uint32_t)rank - n;
	offset = rank - x->rank;
	for (int i = 0; i < rank; i++) {
		ftl_dim have = i >= offset ? x->dims[i - offset] : ftl_hook_const(f, 1);
		ftl_dim want = (uint32_t)i >= lead ? target[(uint32_t)i - lead] : ftl_hook_const(f, 1);
		int64_t c;

		if (want == FTL_DIM_NONE) {
			/* what is no 1 for sure cannot be expanded */
			dims[i] = (ftl_dim_is_const(st, have, &c) && c != 1) || ftl_dim_lo(st, have) > 1
					  ? have
					  : ftl_infer_fresh(f, 0, i, "expand");
			continue;
		}
		if (ftl_dim_hi(st, want) < 0)
			return ftl_infer_fail(f, "size %s of the target shape is negative", ftl_hook_dim(f, want));
		dims[i] = ftl_dim_broadcast(st, have, want);
		if (dims[i] == FTL_DIM_NONE)
			return ftl_infer_fail(f, "shape %s does not expand to %s", ftl_hook_in_shape(f, 0),
					      ftl_hook_shape(f, (int)n, target));
	}
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, rank, dims));
	expand_contents(f);
	return FTL_OK;
}

/* ---- tensors from a shape ---- */

/* The result's shape: the attribute, or a shape operand where the attribute is empty and there is one. */
static ftl_status target_dims(ftl_infer *f, ftl_dims attr, const char *hint, int *out_rank, ftl_dim *dims)
{
	uint32_t n = attr.n;

	FTL_TRY(ftl_hook_args(f, 0));
	if (n == 0 && ftl_infer_has(f, 0)) {
		FTL_TRY(ftl_hook_vector(f, 0, "the shape", FTL_MAX_RANK, &n, dims));
	} else {
		if (n > FTL_MAX_RANK)
			return ftl_infer_fail(f, "the result would have rank %u, the limit is %d", n, FTL_MAX_RANK);
		for (uint32_t i = 0; i < n; i++)
			if ((dims[i] = attr.v[i]) == FTL_DIM_NONE)
				return ftl_infer_fail(f, "size %u of the shape is unknown", i);
	}
	for (uint32_t i = 0; i < n; i++)
		if (dims[i] == FTL_DIM_NONE)
			dims[i] = ftl_infer_fresh(f, 0, (int)i, hint);
	*out_rank = (int)n;
	return FTL_OK;
}

ftl_status ftl_infer_op_fill(ftl_infer *f)
{
	const struct ftl_attrs_fill *a = FTL_ATTRS(ftl_infer_self(f), fill);
	ftl_dim dims[FTL_MAX_RANK], v[FTL_MAX_SYM];
	uint32_t n;
	int rank;

	FTL_TRY(ftl_hook_dtype_ok(f, a->dtype));
	FTL_TRY(target_dims(f, a->dims, "fill", &rank, dims));
	FTL_TRY(ftl_hook_out(f, 0, a->dtype, rank, dims));
	if (!ftl_hook_tracks(f, 0, &n))
		return FTL_OK;
	/* a truth value may stand in either attribute */
	if (a->dtype == FTL_BOOL && (a->ivalue != 0) != (a->value != 0))
		return FTL_OK;
	for (uint32_t i = 0; i < n; i++)
		v[i] = ftl_hook_const(f, a->dtype == FTL_BOOL ? a->ivalue != 0 : a->ivalue);
	ftl_hook_set(f, 0, v, n);
	return FTL_OK;
}

ftl_status ftl_infer_op_random(ftl_infer *f)
{
	ftl_dtype t = ftl_hook_attr_dtype(f, "dtype");
	ftl_dim dims[FTL_MAX_RANK];
	int rank;

	FTL_TRY(ftl_hook_dtype_ok(f, t));
	if (!ftl_dtype_is_float(t))
		return ftl_infer_fail(f, "random numbers cannot have element type %s", ftl_dtype_name(t));
	FTL_TRY(target_dims(f, ftl_hook_attr_dims(f, "dims"), "random", &rank, dims));
	return ftl_hook_out(f, 0, t, rank, dims);
}

ftl_status ftl_infer_op_eye_like(ftl_infer *f)
{
	ftl_dtype t = FTL_ATTRS(ftl_infer_self(f), eye_like)->dtype;
	const ftl_type *x;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_hook_want_rank(f, 0, 2));
	x = ftl_infer_in(f, 0);
	t = t == FTL_NO_DTYPE ? x->dtype : t;
	FTL_TRY(ftl_hook_dtype_ok(f, t));
	return ftl_hook_out(f, 0, t, 2, x->dims);
}

/* ---- range ---- */

/* ceil((limit - start) / delta), at least 0, delta a known constant */
static ftl_dim range_count(ftl_symtab *st, ftl_dim start, ftl_dim limit, int64_t delta)
{
	ftl_dim span;

	if (start == FTL_DIM_NONE || limit == FTL_DIM_NONE || delta == 0 || delta == INT64_MIN)
		return FTL_DIM_NONE;
	span = delta > 0 ? ftl_dim_sub(st, limit, start) : ftl_dim_sub(st, start, limit);
	span = ftl_dim_max(st, span, ftl_dim_const(st, 0));
	return ftl_dim_ceildiv(st, span, ftl_dim_const(st, delta > 0 ? delta : -delta));
}

/* Of floats: from constants in the element type's own arithmetic, or from integers that were cast. */
static ftl_status float_range_count(ftl_infer *f, ftl_dim *out)
{
	const ftl_node *n = ftl_infer_self(f);
	ftl_ratio r[3][FTL_MAX_SYM];
	double v[3], count;
	uint32_t nr;
	int64_t delta;
	int known = 0;

	for (int k = 0; k < 3; k++)
		known += ftl_const_scalar(f->g, n->in[k], &v[k]);
	if (known == 3) {
		if (!isfinite(v[0]) || !isfinite(v[1]) || !isfinite(v[2]) || v[2] == 0)
			return ftl_infer_fail(f, "cannot count from %g to %g by %g", v[0], v[1], v[2]);
		count = ftl_infer_in(f, 0)->dtype == FTL_F64 ? v[1] - v[0] : (double)((float)v[1] - (float)v[0]);
		count = ceil(count / v[2]);
		if (!(count < 0x1p52))
			return ftl_infer_fail(f, "from %g to %g by %g are too many elements", v[0], v[1], v[2]);
		*out = ftl_hook_const(f, count > 0 ? (int64_t)count : 0);
		return FTL_OK;
	}
	for (int k = 0; k < 3; k++)
		if (!ftl_hook_ratios(f->g, n->in[k], r[k], &nr) || nr != 1 || r[k][0].den != 1)
			return FTL_OK;
	if (ftl_dim_is_const(f->g->st, r[2][0].num, &delta))
		*out = range_count(f->g->st, r[0][0].num, r[1][0].num, delta);
	return FTL_OK;
}

ftl_status ftl_infer_op_range(ftl_infer *f)
{
	static const char *const what[] = {"start", "limit", "delta"};
	ftl_symtab *st = f->g->st;
	ftl_dim count = FTL_DIM_NONE, start, v[FTL_MAX_SYM];
	int64_t delta = 0;
	uint32_t n;
	ftl_dtype t;

	FTL_TRY(ftl_hook_args(f, 3));
	for (uint32_t k = 0; k < 3; k++) {
		FTL_TRY(ftl_hook_want_number(f, k));
		FTL_TRY(ftl_hook_want_same(f, 0, k));
		FTL_TRY(ftl_hook_want_one(f, k, what[k]));
	}
	t = ftl_infer_in(f, 0)->dtype;
	start = ftl_hook_elem(f, 0, 0);
	if (ftl_dtype_is_float(t)) {
		FTL_TRY(float_range_count(f, &count));
	} else if (ftl_hook_elem(f, 2, 0) != FTL_DIM_NONE && ftl_dim_is_const(st, ftl_hook_elem(f, 2, 0), &delta)) {
		if (delta == 0)
			return ftl_infer_fail(f, "delta is 0");
		count = range_count(st, start, ftl_hook_elem(f, 1, 0), delta);
	}
	if (count == FTL_DIM_NONE)
		count = ftl_infer_fresh(f, 0, 0, "range");
	FTL_TRY(ftl_hook_out(f, 0, t, 1, &count));
	if (delta == 0 || start == FTL_DIM_NONE || !ftl_hook_tracks(f, 0, &n))
		return FTL_OK;
	for (uint32_t i = 0; i < n; i++)
		v[i] = ftl_dim_add(st, start, ftl_dim_mul(st, ftl_hook_const(f, delta), ftl_hook_const(f, i)));
	ftl_hook_set(f, 0, v, n);
	return FTL_OK;
}
