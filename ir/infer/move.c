/* Ops that move whole blocks of elements: transpose, slice, concat, pad, tile. */
#include "hooks.h"

#include <string.h>

/* Contents of output 0 whose element at coordinates c is input 0's at origin + c * step along map[]. */
typedef struct picking {
	int rank;                                         /* of the input and the result */
	int axis[FTL_MAX_RANK];                           /* input axis that result axis i walks */
	int64_t origin[FTL_MAX_RANK], step[FTL_MAX_RANK]; /* by input axis */
	bool wrap;                                        /* positions count modulo the axis (tile) */
} picking;

static void pick_contents(ftl_infer *f, const picking *p)
{
	const ftl_type *x = ftl_infer_in(f, 0), *out = ftl_type_of(f->g, ftl_infer_self(f)->out[0]);
	int64_t sx[FTL_MAX_RANK], so[FTL_MAX_RANK], stride[FTL_MAX_RANK], w = 1;
	ftl_dim v[FTL_MAX_SYM];
	uint32_t n, nc;
	const ftl_dim *c = ftl_hook_contents(f, 0, &nc);

	if (!c || !ftl_hook_tracks(f, 0, &n))
		return;
	for (int i = p->rank - 1; i >= 0; i--) {
		ftl_dim_is_const(f->g->st, x->dims[i], &sx[i]);
		ftl_dim_is_const(f->g->st, out->dims[i], &so[i]);
		stride[i] = w;
		w *= sx[i];
	}
	for (uint32_t e = 0; e < n; e++) {
		int64_t rest = e, at = 0;

		for (int i = p->rank - 1; i >= 0; i--) {
			int a = p->axis[i];
			int64_t pos = p->origin[a] + rest % so[i] * p->step[a];

			if (p->wrap)
				pos %= sx[a];
			if (pos < 0 || pos >= sx[a])
				return;
			at += pos * stride[a];
			rest /= so[i];
		}
		v[e] = c[at];
	}
	ftl_hook_set(f, 0, v, n);
}

static picking pick_all(int rank)
{
	picking p = {.rank = rank};

	for (int i = 0; i < rank; i++) {
		p.axis[i] = i;
		p.step[i] = 1;
	}
	return p;
}

ftl_status ftl_infer_op_transpose(ftl_infer *f)
{
	ftl_ints perm = FTL_ATTRS(ftl_infer_self(f), transpose)->perm;
	ftl_dim dims[FTL_MAX_RANK];
	const ftl_type *x;
	unsigned seen = 0;
	picking p;

	FTL_TRY(ftl_hook_args(f, 1));
	x = ftl_infer_in(f, 0);
	if (perm.n && perm.n != (uint32_t)x->rank)
		return ftl_infer_fail(f, "a permutation of %u axes does not fit rank %d", perm.n, x->rank);
	p = pick_all(x->rank);
	for (int i = 0; i < x->rank; i++) {
		int64_t a = perm.n ? perm.v[i] : x->rank - 1 - i;

		if (a < 0 || a >= x->rank || seen >> a & 1)
			return ftl_infer_fail(f, "%lld at place %d is no permutation of %d axes", (long long)a, i,
					      x->rank);
		seen |= 1u << a;
		p.axis[i] = (int)a;
		dims[i] = x->dims[a];
	}
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, x->rank, dims));
	pick_contents(f, &p);
	return FTL_OK;
}

/* ---- slice ---- */

/* One entry of a slice; start and size are FTL_DIM_NONE where only run time knows them. */
static ftl_status slice_entry(ftl_infer *f, uint32_t i, int axis, int64_t step, const ftl_dim *starts,
			      const ftl_dim *ends, ftl_dim *start, ftl_dim *size)
{
	const struct ftl_attrs_slice *a = FTL_ATTRS(ftl_infer_self(f), slice);
	ftl_dim dim = ftl_infer_in(f, 0)->dims[axis], zero = ftl_hook_const(f, 0), last;
	ftl_symtab *st = f->g->st;
	int64_t s, n, d;

	if (a->sizes.n == 0) {
		ftl_slice_range(st, dim, starts[i], ends[i], step, start, size);
		return FTL_OK;
	}
	*start = starts ? starts[i] : a->starts.v[i];
	*size = a->sizes.v[i];
	if (*size == FTL_DIM_NONE || (!starts && *start == FTL_DIM_NONE))
		return ftl_infer_fail(f, "entry %u of starts or sizes is not an expression", i);
	/* What can be disproved about lists that should be clamped already; the rest is the run time's. */
	if (ftl_dim_known_lt(st, *size, zero) == 1 || ftl_dim_known_lt(st, dim, *size) == 1)
		return ftl_infer_fail(f, "cannot keep %s of %s elements of axis %d", ftl_hook_dim(f, *size),
				      ftl_hook_dim(f, dim), axis);
	if (starts || !ftl_dim_is_const(st, *size, &n) || n == 0)
		return FTL_OK;
	if (ftl_dim_is_const(st, *start, &s) && ftl_dim_is_const(st, dim, &d)) {
		int64_t end;

		if (s < 0 || s >= d || __builtin_mul_overflow(n - 1, step, &end) ||
		    __builtin_add_overflow(end, s, &end) || end < 0 || end >= d)
			return ftl_infer_fail(f, "%lld elements from %lld by %lld leave axis %d of %lld elements",
					      (long long)n, (long long)s, (long long)step, axis, (long long)d);
		return FTL_OK;
	}
	last = ftl_dim_add(st, *start, ftl_hook_const(f, n - 1));
	if (step == 1 && last != FTL_DIM_NONE && ftl_dim_known_le(st, dim, last) == 1)
		return ftl_infer_fail(f, "%lld elements from %s leave axis %d of %s elements", (long long)n,
				      ftl_hook_dim(f, *start), axis, ftl_hook_dim(f, dim));
	return FTL_OK;
}

ftl_status ftl_infer_op_slice(ftl_infer *f)
{
	const struct ftl_attrs_slice *a = FTL_ATTRS(ftl_infer_self(f), slice);
	ftl_dim in[3][FTL_MAX_RANK], dims[FTL_MAX_RANK];
	const ftl_dim *starts = NULL, *ends = NULL;
	uint32_t n = a->sizes.n, m;
	bool known = true;
	const ftl_type *x;
	unsigned seen = 0;
	picking p;

	FTL_TRY(ftl_hook_args(f, 1));
	x = ftl_infer_in(f, 0);
	if (n == 0 && ftl_infer_has(f, 1) != ftl_infer_has(f, 2))
		return ftl_infer_fail(f, "needs both starts and ends where it has no sizes");
	if (ftl_infer_has(f, 1)) {
		FTL_TRY(ftl_hook_vector(f, 1, "starts", FTL_MAX_RANK, &m, in[0]));
		starts = in[0];
		n = n ? n : m;
		if (m != n)
			return ftl_infer_fail(f, "%u starts for %u slices", m, n);
	} else if (a->starts.n != n) {
		return ftl_infer_fail(f, "%u starts for %u slices", a->starts.n, n);
	}
	if (ftl_infer_has(f, 2)) {
		FTL_TRY(ftl_hook_vector(f, 2, "ends", FTL_MAX_RANK, &m, in[1]));
		ends = in[1];
		if (m != n)
			return ftl_infer_fail(f, "%u ends for %u slices", m, n);
	}
	if (ftl_infer_has(f, 3)) {
		if (a->sizes.n || !starts || !ends)
			return ftl_infer_fail(f, "steps from an input need starts and ends from inputs");
		FTL_TRY(ftl_hook_vector(f, 3, "steps", FTL_MAX_RANK, &m, in[2]));
		if (m != n || a->steps.n)
			return ftl_infer_fail(f, "%u steps for %u slices", m + a->steps.n, n);
	}
	if (n > (uint32_t)x->rank || (a->axes.n && a->axes.n != n) || (a->steps.n && a->steps.n != n))
		return ftl_infer_fail(f, "%u slices, %u axes and %u steps do not fit rank %d", n, a->axes.n, a->steps.n,
				      x->rank);
	ftl_hook_copy(dims, x->dims, x->rank);
	p = pick_all(x->rank);
	for (uint32_t i = 0; i < n; i++) {
		int64_t step = ftl_hook_int_or(a->steps, i, 1);
		ftl_dim start, size;
		int axis;

		FTL_TRY(ftl_infer_axis(f, ftl_hook_int_or(a->axes, i, i), x->rank, &axis));
		if (seen >> axis & 1)
			return ftl_infer_fail(f, "axis %d is sliced twice", axis);
		seen |= 1u << axis;
		if (step == 0 || step == INT64_MIN)
			return ftl_infer_fail(f, "step %lld for axis %d", (long long)step, axis);
		if (ftl_infer_has(f, 3)) { /* one known here is still read where it is used */
			start = size = FTL_DIM_NONE;
			known = false;
		} else {
			FTL_TRY(slice_entry(f, i, axis, step, starts, ends, &start, &size));
		}
		if (size == FTL_DIM_NONE) {
			size = ftl_infer_fresh(f, 0, axis, "slice");
			ftl_dim_set_upper(f->g->st, size, x->dims[axis]);
		}
		dims[axis] = size;
		p.step[axis] = step;
		known &= start != FTL_DIM_NONE && ftl_dim_is_const(f->g->st, start, &p.origin[axis]);
	}
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, x->rank, dims));
	/* starts from an operand beside given sizes are checked by nobody yet */
	if (known && !(a->sizes.n && starts))
		pick_contents(f, &p);
	return FTL_OK;
}

/* ---- concat ---- */

/* In C order, joining along the first axis is appending. */
static void concat_contents(ftl_infer *f)
{
	ftl_dim v[FTL_MAX_SYM];
	uint32_t n = 0, want, each, got;

	if (!ftl_hook_tracks(f, 0, &want))
		return;
	for (uint32_t k = 0; k < ftl_infer_self(f)->nin; k++) {
		const ftl_type *t = ftl_infer_in(f, k);
		const ftl_dim *c = ftl_hook_contents(f, k, &got);

		if (!ftl_hook_count(f, t->rank, t->dims, want - n, &each))
			return;
		for (uint32_t i = 0; i < each; i++)
			v[n++] = c ? c[i] : FTL_DIM_NONE;
	}
	ftl_hook_set(f, 0, v, n);
}

ftl_status ftl_infer_op_concat(ftl_infer *f)
{
	const ftl_node *n = ftl_infer_self(f);
	ftl_dim dims[FTL_MAX_RANK], numel;
	bool open = false;
	const ftl_type *x;
	int axis;

	FTL_TRY(ftl_hook_args(f, n->nin ? n->nin : 1));
	x = ftl_infer_in(f, 0);
	FTL_TRY(ftl_infer_axis(f, FTL_ATTRS(n, concat)->axis, x->rank, &axis));
	ftl_hook_copy(dims, x->dims, x->rank);
	for (uint32_t k = 1; k < n->nin; k++) {
		const ftl_type *t = ftl_infer_in(f, k);

		FTL_TRY(ftl_hook_want_same(f, 0, k));
		if (t->rank != x->rank)
			return ftl_infer_fail(f, "cannot join shapes %s and %s along axis %d: ranks differ",
					      ftl_hook_in_shape(f, 0), ftl_hook_in_shape(f, k), axis);
		for (int i = 0; i < x->rank; i++) {
			if (i == axis) {
				dims[i] = ftl_dim_add(f->g->st, dims[i], t->dims[i]);
				continue;
			}
			if (ftl_dim_known_eq(f->g->st, dims[i], t->dims[i]) == 0)
				return ftl_infer_fail(f, "cannot join shapes %s and %s along axis %d: axis %d differs",
						      ftl_hook_in_shape(f, 0), ftl_hook_in_shape(f, k), axis, i);
			FTL_TRY(ftl_hook_unify(f, dims[i], t->dims[i], "sizes", &dims[i]));
		}
	}
	/* A sum of more sizes than one expression holds is for the run to find; that constants overflow is an error. */
	numel = ftl_hook_const(f, 1);
	for (int i = 0; i < x->rank; i++)
		numel = ftl_dim_mul(f->g->st, numel, dims[i]);
	for (uint32_t k = 0; k < n->nin && numel == FTL_DIM_NONE; k++)
		open |= !ftl_dim_is_const(f->g->st, ftl_infer_in(f, k)->dims[axis], NULL);
	if (open)
		dims[axis] = ftl_infer_fresh(f, 0, axis, "concat");
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, x->rank, dims));
	if (axis == 0)
		concat_contents(f);
	return FTL_OK;
}

/* ---- pad, tile ---- */

ftl_status ftl_infer_op_pad(ftl_infer *f)
{
	static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
	const struct ftl_attrs_pad *a = FTL_ATTRS(ftl_infer_self(f), pad);
	ftl_dim dims[FTL_MAX_RANK], vec[2 * FTL_MAX_RANK];
	const ftl_dim *pads = a->pads.v;
	ftl_symtab *st = f->g->st;
	uint32_t naxes, n = a->pads.n, mode = 0;
	const ftl_type *x;
	unsigned seen = 0;

	FTL_TRY(ftl_hook_args(f, 1));
	x = ftl_infer_in(f, 0);
	while (mode < FTL_COUNT(modes) && strcmp(a->mode, modes[mode]) != 0)
		mode++;
	if (mode == FTL_COUNT(modes))
		return ftl_infer_fail(f, "unknown mode \"%.32s\"", a->mode);
	if (ftl_infer_has(f, 1)) {
		FTL_TRY(ftl_hook_want_same(f, 0, 1));
		FTL_TRY(ftl_hook_want_one(f, 1, "the value"));
	}
	if (x->dtype == FTL_STRING && mode == 0 && !ftl_infer_has(f, 1))
		return ftl_infer_fail(f, "strings need a value to pad with");
	if (n == 0 && ftl_infer_has(f, 2)) {
		FTL_TRY(ftl_hook_vector(f, 2, "pads", FTL_COUNT(vec), &n, vec));
		pads = vec;
	}
	naxes = a->axes.n ? a->axes.n : (uint32_t)x->rank;
	if (naxes > (uint32_t)x->rank || n != 2 * naxes)
		return ftl_infer_fail(f, "%u pads for %u axes of rank %d", n, naxes, x->rank);
	ftl_hook_copy(dims, x->dims, x->rank);
	for (uint32_t i = 0; i < naxes; i++) {
		ftl_dim sum;
		int axis;

		FTL_TRY(ftl_infer_axis(f, ftl_hook_int_or(a->axes, i, i), x->rank, &axis));
		if (seen >> axis & 1)
			return ftl_infer_fail(f, "axis %d is padded twice", axis);
		seen |= 1u << axis;
		if (pads[i] == FTL_DIM_NONE || pads[naxes + i] == FTL_DIM_NONE) {
			if (pads == a->pads.v)
				return ftl_infer_fail(f, "a pad of axis %d is unknown", axis);
			dims[axis] = ftl_infer_fresh(f, 0, axis, "pad");
			continue;
		}
		sum = ftl_dim_add(st, ftl_dim_add(st, dims[axis], pads[i]), pads[naxes + i]);
		/* negative pads crop; what they leave of a symbolic axis is never less than nothing */
		if (sum != FTL_DIM_NONE && !ftl_dim_is_const(st, sum, NULL))
			sum = ftl_dim_max(st, sum, ftl_hook_const(f, 0));
		dims[axis] = sum;
	}
	return ftl_hook_out(f, 0, x->dtype, x->rank, dims);
}

ftl_status ftl_infer_op_tile(ftl_infer *f)
{
	ftl_dims attr = FTL_ATTRS(ftl_infer_self(f), tile)->repeats;
	ftl_dim dims[FTL_MAX_RANK], vec[FTL_MAX_RANK];
	const ftl_dim *repeats = attr.v;
	uint32_t n = attr.n;
	const ftl_type *x;
	picking p;

	FTL_TRY(ftl_hook_args(f, 1));
	x = ftl_infer_in(f, 0);
	if (n == 0 && ftl_infer_has(f, 1)) {
		FTL_TRY(ftl_hook_vector(f, 1, "repeats", FTL_MAX_RANK, &n, vec));
		repeats = vec;
	}
	if (n != (uint32_t)x->rank)
		return ftl_infer_fail(f, "%u repeats for rank %d", n, x->rank);
	for (int i = 0; i < x->rank; i++) {
		if (repeats[i] == FTL_DIM_NONE && repeats == attr.v)
			return ftl_infer_fail(f, "the repeat of axis %d is unknown", i);
		if (repeats[i] == FTL_DIM_NONE) {
			dims[i] = ftl_infer_fresh(f, 0, i, "tile");
			continue;
		}
		if (ftl_dim_hi(f->g->st, repeats[i]) < 0)
			return ftl_infer_fail(f, "the repeat of axis %d is negative", i);
		dims[i] = ftl_dim_mul(f->g->st, x->dims[i], repeats[i]);
	}
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, x->rank, dims));
	p = pick_all(x->rank);
	p.wrap = true;
	pick_contents(f, &p);
	return FTL_OK;
}
