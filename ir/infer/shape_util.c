/* Shape arithmetic that inference and the frontend share: slices, broadcasting, windows, reshape. */
#include "ir/shape_util.h"

/* ---- slices ---- */

static ftl_dim konst(ftl_symtab *st, int64_t v)
{
	return ftl_dim_const(st, v);
}

/* An ONNX position made absolute, not yet clamped; "infinities" become lo or hi. */
static ftl_dim position(ftl_symtab *st, ftl_dim dim, ftl_dim p, ftl_dim at_min, ftl_dim at_max)
{
	ftl_dim below;
	int64_t c;

	if (p == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	if (ftl_dim_is_const(st, p, &c)) {
		if (c >= INT32_MAX)
			return at_max;
		if (c <= INT32_MIN)
			return at_min;
		return c < 0 ? ftl_dim_add(st, dim, p) : p;
	}
	if (ftl_dim_lo(st, p) >= 0)
		return p;
	if (ftl_dim_hi(st, p) < 0)
		return ftl_dim_add(st, dim, p);
	/* Either way round: p + dim * [p < 0]. */
	below = ftl_dim_min(st, ftl_dim_max(st, ftl_dim_sub(st, konst(st, 0), p), konst(st, 0)), konst(st, 1));
	return ftl_dim_add(st, p, ftl_dim_mul(st, dim, below));
}

void ftl_slice_range(ftl_symtab *st, ftl_dim dim, ftl_dim start, ftl_dim end, int64_t step, ftl_dim *out_start,
		     ftl_dim *out_size)
{
	ftl_dim zero = konst(st, 0), minus = konst(st, -1), last, s, e, n;

	*out_start = *out_size = FTL_DIM_NONE;
	if (step == 0 || step == INT64_MIN)
		return;
	if (step > 0) {
		s = ftl_dim_max(st, position(st, dim, start, zero, dim), zero);
		e = ftl_dim_min(st, position(st, dim, end, zero, dim), dim);
		/* start is not clamped to dim here: then the difference is negative, and the same 0 comes out */
		n = ftl_dim_max(st, ftl_dim_sub(st, e, s), zero);
		*out_start = ftl_dim_min(st, s, dim);
		*out_size = ftl_dim_ceildiv(st, n, konst(st, step));
		return;
	}
	last = ftl_dim_sub(st, dim, konst(st, 1));
	s = ftl_dim_min(st, position(st, dim, start, minus, last), last);
	e = ftl_dim_max(st, position(st, dim, end, minus, last), minus);
	n = ftl_dim_max(st, ftl_dim_sub(st, s, e), zero);
	*out_start = ftl_dim_max(st, s, zero);
	*out_size = ftl_dim_ceildiv(st, n, konst(st, -step));
}

/* ---- broadcasting ---- */

ftl_dim ftl_dim_broadcast(ftl_symtab *st, ftl_dim a, ftl_dim b)
{
	int64_t ca = 0, cb = 0;
	bool ka, kb;

	if (a == FTL_DIM_NONE || b == FTL_DIM_NONE)
		return FTL_DIM_NONE;
	if (a == b)
		return a;
	ka = ftl_dim_is_const(st, a, &ca);
	kb = ftl_dim_is_const(st, b, &cb);
	if (ka && ca == 1)
		return b;
	if (kb && cb == 1)
		return a;
	if (ka && kb)
		return ca == cb ? a : FTL_DIM_NONE;
	/* What cannot be 1 is the result, whatever the other one turns out to be. */
	if (ka)
		return a;
	if (kb)
		return b;
	if (ftl_dim_lo(st, a) > 1)
		return a;
	if (ftl_dim_lo(st, b) > 1)
		return b;
	if (ftl_dim_known_le(st, a, b) == 1)
		return b;
	if (ftl_dim_known_le(st, b, a) == 1)
		return a;
	return ftl_dim_max(st, a, b);
}

bool ftl_shapes_broadcast(ftl_symtab *st, const ftl_dims *shapes, uint32_t n, int *out_rank, ftl_dim *out_dims,
			  int *out_axis)
{
	uint32_t rank = 0;

	for (uint32_t i = 0; i < n; i++)
		rank = shapes[i].n > rank ? shapes[i].n : rank;
	*out_rank = (int)rank;
	for (uint32_t axis = 0; axis < rank; axis++) {
		ftl_dim d = konst(st, 1);

		for (uint32_t i = 0; i < n && d != FTL_DIM_NONE; i++) {
			uint32_t lead = rank - shapes[i].n;

			if (axis >= lead)
				d = ftl_dim_broadcast(st, d, shapes[i].v[axis - lead]);
		}
		if (d == FTL_DIM_NONE) {
			if (out_axis)
				*out_axis = (int)axis;
			return false;
		}
		out_dims[axis] = d;
	}
	return true;
}

/* ---- windows ---- */

ftl_dim ftl_conv_out(ftl_symtab *st, ftl_dim in, ftl_dim k, int64_t stride, int64_t dilation, ftl_dim pad_begin,
		     ftl_dim pad_end, bool ceil_mode)
{
	ftl_dim one = konst(st, 1), s = konst(st, stride);
	ftl_dim head = ftl_dim_add(st, in, pad_begin);
	ftl_dim reach = ftl_dim_mul(st, ftl_dim_sub(st, k, one), konst(st, dilation));
	ftl_dim room = ftl_dim_sub(st, ftl_dim_sub(st, ftl_dim_add(st, head, pad_end), reach), one);
	ftl_dim out;

	if (stride <= 0 || dilation <= 0)
		return FTL_DIM_NONE;
	if (!ceil_mode)
		return ftl_dim_add(st, ftl_dim_div(st, room, s), one);
	/* (out-1)*stride < in + pad_begin, solved for out */
	out = ftl_dim_add(st, ftl_dim_ceildiv(st, room, s), one);
	return ftl_dim_min(st, out, ftl_dim_ceildiv(st, head, s));
}

ftl_dim ftl_conv_transpose_out(ftl_symtab *st, ftl_dim in, ftl_dim k, int64_t stride, int64_t dilation,
			       ftl_dim pad_begin, ftl_dim pad_end, int64_t output_padding)
{
	ftl_dim one = konst(st, 1);
	ftl_dim body = ftl_dim_mul(st, ftl_dim_sub(st, in, one), konst(st, stride));
	ftl_dim reach = ftl_dim_mul(st, ftl_dim_sub(st, k, one), konst(st, dilation));
	ftl_dim full = ftl_dim_add(st, ftl_dim_add(st, body, reach), one);

	if (stride <= 0 || dilation <= 0 || output_padding < 0)
		return FTL_DIM_NONE;
	full = ftl_dim_add(st, full, konst(st, output_padding));
	return ftl_dim_sub(st, ftl_dim_sub(st, full, pad_begin), pad_end);
}

/* ---- reshape ---- */

#define MAX_FACTORS (2 * FTL_MAX_RANK)

/* Constant and symbolic factors apart; false if the constant one overflows or there are too many. */
static bool factors(ftl_symtab *st, const ftl_dim *d, uint32_t n, int64_t *out_c, ftl_dim *out, uint32_t *out_n)
{
	int64_t c;

	*out_c = 1;
	*out_n = 0;
	if (n > MAX_FACTORS)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (d[i] == FTL_DIM_NONE)
			return false;
		if (!ftl_dim_is_const(st, d[i], &c))
			out[(*out_n)++] = d[i];
		else if (__builtin_mul_overflow(*out_c, c, out_c))
			return false;
	}
	return true;
}

static int64_t gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t t = a % b;

		a = b;
		b = t;
	}
	return a;
}

ftl_dim ftl_numel_div(ftl_symtab *st, const ftl_dim *num, uint32_t nnum, const ftl_dim *den, uint32_t nden)
{
	ftl_dim a[MAX_FACTORS], b[MAX_FACTORS], pa, pb;
	int64_t ca, cb, g;
	uint32_t na, nb;

	if (!factors(st, num, nnum, &ca, a, &na) || !factors(st, den, nden, &cb, b, &nb))
		return FTL_DIM_NONE;
	if (ca < 0 || cb <= 0)
		return FTL_DIM_NONE;
	for (uint32_t i = 0; i < nb;) {
		uint32_t j = 0;

		while (j < na && a[j] != b[i])
			j++;
		if (j < na) {
			a[j] = a[--na];
			b[i] = b[--nb];
		} else {
			i++;
		}
	}
	g = gcd(ca, cb);
	if (g > 1) {
		ca /= g;
		cb /= g;
	}
	if (na == 0 && nb == 0)
		return cb == 1 ? konst(st, ca) : FTL_DIM_NONE;
	pa = konst(st, ca);
	for (uint32_t i = 0; i < na; i++)
		pa = ftl_dim_mul(st, pa, a[i]);
	pb = konst(st, cb);
	for (uint32_t i = 0; i < nb; i++)
		pb = ftl_dim_mul(st, pb, b[i]);
	return ftl_dim_is_const(st, pb, &cb) && cb == 1 ? pa : ftl_dim_div(st, pa, pb);
}

/* 1 equal counts, 0 different for sure, -1 cannot tell */
static int same_count(ftl_symtab *st, int rank, const ftl_dim *in, uint32_t n, const ftl_dim *out)
{
	ftl_dim a = konst(st, 1), b = konst(st, 1);
	int64_t ca, cb;

	for (int i = 0; i < rank; i++)
		a = ftl_dim_mul(st, a, in[i]);
	for (uint32_t i = 0; i < n; i++)
		b = ftl_dim_mul(st, b, out[i]);
	if (a == FTL_DIM_NONE || b == FTL_DIM_NONE)
		return -1;
	if (a == b)
		return 1;
	return ftl_dim_is_const(st, a, &ca) && ftl_dim_is_const(st, b, &cb) ? ca == cb : -1;
}

ftl_reshape_fault ftl_reshape_dims(ftl_symtab *st, int rank, const ftl_dim *in, uint32_t n, const ftl_dim *target,
				   bool allow_zero, ftl_dim *out)
{
	ftl_dim rest[FTL_MAX_RANK];
	uint32_t nrest = 0, unknown = 0, open = 0;
	bool inferred = false, zero = false;
	int64_t c;

	for (uint32_t i = 0; i < n; i++) {
		out[i] = target[i];
		if (target[i] == FTL_DIM_NONE) {
			unknown++;
			open = i;
			continue;
		}
		if (ftl_dim_is_const(st, target[i], &c)) {
			if (c < -1)
				return FTL_RESHAPE_NEGATIVE;
			if (c == -1) {
				if (inferred)
					return FTL_RESHAPE_TWO_INFERRED;
				inferred = true;
				open = i;
				out[i] = FTL_DIM_NONE;
				continue;
			}
			if (c == 0 && !allow_zero) {
				if ((int)i >= rank)
					return FTL_RESHAPE_NO_AXIS;
				out[i] = in[i];
			} else if (c == 0) {
				zero = true;
			}
		}
		rest[nrest++] = out[i];
	}
	if (inferred && zero)
		return FTL_RESHAPE_ZERO;
	if (unknown + (inferred ? 1 : 0) == 0)
		return same_count(st, rank, in, n, out) == 0 ? FTL_RESHAPE_COUNT : FTL_RESHAPE_OK;
	/* One open element: -1, or one that must be what -1 would be. A copied dim of 0 leaves it undecided. */
	if (unknown + (inferred ? 1 : 0) == 1) {
		bool vanishes = false, all_const = true;

		for (uint32_t i = 0; i < nrest; i++)
			vanishes |= ftl_dim_is_const(st, rest[i], &c) && c == 0;
		if (vanishes)
			return inferred ? FTL_RESHAPE_ZERO : FTL_RESHAPE_OK;
		out[open] = ftl_numel_div(st, in, (uint32_t)rank, rest, nrest);
		for (int i = 0; i < rank; i++)
			all_const &= ftl_dim_is_const(st, in[i], NULL);
		for (uint32_t i = 0; i < nrest; i++)
			all_const &= ftl_dim_is_const(st, rest[i], NULL);
		if (out[open] == FTL_DIM_NONE && all_const)
			return FTL_RESHAPE_COUNT;
	}
	return FTL_RESHAPE_OK;
}
