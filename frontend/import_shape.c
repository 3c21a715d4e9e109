/* Shapes and moving elements: reshape and its relatives, slice, split, pad, expand, tile, transpose, gather-likes.
 * Lists that are known at import (constants, shape arithmetic) become attributes; the rest stays an input. */
#include "imp.h"

/* The elements of shape input v, unknown ones FTL_DIM_NONE; false if not even their number is known. */
static bool shape_input(imp *m, ftl_val v, ftl_dim *out, uint32_t *n)
{
	const ftl_value *val;
	int64_t k;

	if (ftl_imp_known_dims(m, v, out, FTL_MAX_RANK, n))
		return true;
	if (rank_of(m, v) != 1 || !ftl_dim_is_const(m->st, ftl_imp_dim(m, v, 0), &k))
		return false;
	if (k > FTL_MAX_RANK) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "rank %lld is above the limit of %d", (long long)k, FTL_MAX_RANK);
		return false;
	}
	val = ftl_value_get(m->g, v);
	*n = (uint32_t)k;
	for (uint32_t i = 0; i < *n; i++)
		out[i] = val->sym && i < val->nsym ? val->sym[i] : FTL_DIM_NONE;
	return true;
}

static bool all_known(const ftl_dim *d, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (d[i] == FTL_DIM_NONE)
			return false;
	return true;
}

void ftl_imp_do_reshape(imp *m)
{
	static const char *const faults[] = {"",
					     "has more than one -1",
					     "has an element below -1",
					     "has a 0 (copy) beyond the input's rank",
					     "has a -1 next to a 0",
					     "has another number of elements than the input"};
	ftl_val x = ftl_imp_need(m, 0), shape = ftl_imp_need(m, 1);
	bool allow_zero = ftl_imp_i(m, "allowzero", 0) != 0;
	ftl_dim want[FTL_MAX_RANK], got[FTL_MAX_RANK];
	struct ftl_attrs_reshape *a;
	uint32_t n;

	if (m->failed)
		return;
	if (shape_input(m, shape, want, &n)) {
		const ftl_type *t = ftl_imp_type(m, x);
		ftl_reshape_fault bad = ftl_reshape_dims(m->st, t->rank, t->dims, n, want, allow_zero, got);
		if (bad != FTL_RESHAPE_OK) {
			bad_model(m, "the target shape %s", faults[bad]);
			return;
		}
		if (all_known(got, n)) {
			ftl_imp_out(m, 0, ftl_imp_reshape(m, x, (int)n, got));
			return;
		}
	}
	a = NEW_ATTRS(m, reshape);
	a->allow_zero = allow_zero;
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_reshape, a, 2, (const ftl_val[]){x, ftl_imp_cast(m, shape, FTL_I64)}));
}

void ftl_imp_do_flatten(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	int r = rank_of(m, x);
	int64_t at = ftl_imp_i(m, "axis", 1);
	ftl_dim d[2] = {dim_c(m, 1), dim_c(m, 1)};

	if (at < -r || at > r) {
		bad_model(m, "axis %lld is out of range for rank %d", (long long)at, r);
		return;
	}
	at += at < 0 ? r : 0;
	for (int i = 0; i < r; i++)
		d[i >= at] = ftl_dim_mul(m->st, d[i >= at], ftl_imp_dim(m, x, i));
	ftl_imp_out(m, 0, ftl_imp_reshape(m, x, 2, d));
}

/* axes only run time knows: the sizes they do not name, which must be all of the elements */
static void squeeze_runtime(imp *m, ftl_val x, ftl_val axes)
{
	int r = rank_of(m, x);
	int64_t n = ftl_imp_const_dim(m, axes, 0, "the number of axes");

	if (!m->failed && n > r)
		bad_model(m, "has %lld axes for an input of rank %d", (long long)n, r);
	if (m->failed)
		return;
	if (n == r)
		x = ftl_imp_reshape(m, x, 0, NULL);
	else
		x = ftl_imp_reshape_to(
			m, x, ftl_imp_keep_unnamed(m, ftl_imp_shape(m, x), ftl_imp_axes_mask(m, axes, r), r - (int)n));
	ftl_imp_out(m, 0, x);
}

void ftl_imp_do_squeeze(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), runtime = ftl_imp_unknown(m, 1);
	int64_t axes[FTL_MAX_RANK], c;
	bool drop[FTL_MAX_RANK] = {false};
	ftl_dim d[FTL_MAX_RANK];
	int r = rank_of(m, x), k = 0;
	uint32_t n;

	if (runtime) {
		squeeze_runtime(m, x, runtime);
		return;
	}
	if (ftl_imp_list(m, "axes", 1, axes, FTL_MAX_RANK, &n)) {
		for (uint32_t i = 0; i < n && !m->failed; i++) {
			int at = ftl_imp_axis(m, axes[i], r);
			if (!m->failed && ftl_dim_is_const(m->st, ftl_imp_dim(m, x, at), &c) && c != 1)
				bad_model(m, "axis %d has size %lld, only size 1 can be squeezed", at, (long long)c);
			drop[at] = true;
		}
	} else {
		for (int i = 0; i < r; i++)
			drop[i] = ftl_dim_is_const(m->st, ftl_imp_dim(m, x, i), &c) && c == 1;
	}
	if (m->failed)
		return;
	for (int i = 0; i < r; i++)
		if (!drop[i])
			d[k++] = ftl_imp_dim(m, x, i);
	ftl_imp_out(m, 0, ftl_imp_reshape(m, x, k, d));
}

/* axes only run time knows: of the result's sizes, the ones they name are 1, and as many others as stand before it give
 * the place of another in x's shape. An axis named twice leaves one place too many, which that shape does not have. */
static void unsqueeze_runtime(imp *m, ftl_val x, ftl_val axes)
{
	int r = rank_of(m, x);
	int64_t n = ftl_imp_const_dim(m, axes, 0, "the number of axes");
	ftl_val mask, place, one = ftl_imp_filled(m, 1, 1);
	struct ftl_attrs_cum_sum *a = NEW_ATTRS(m, cum_sum);

	if (!m->failed && r + n > FTL_MAX_RANK)
		ftl_imp_fail(m, FTL_ERR_LIMIT, "rank %lld is above the limit of %d", (long long)(r + n), FTL_MAX_RANK);
	if (m->failed)
		return;
	r += (int)n;
	mask = ftl_imp_axes_mask(m, axes, r);
	if (n == r) { /* a single element: all sizes are 1, but the axes are looked at */
		ftl_imp_out(m, 0, ftl_imp_reshape_to(m, x, e_where(m, mask, one, ftl_imp_filled(m, r, 0))));
		return;
	}
	place = ftl_imp_cast(m, op1(m, FTL_OP_not, mask), FTL_I64);
	a->exclusive = true;
	place = ftl_imp_op(m, FTL_OP_cum_sum, a, 1, &place);
	/* behind the last of x's sizes only named axes stand */
	place = e_where(m, mask, ftl_imp_filled(m, 1, 0), place);
	ftl_imp_out(m, 0,
		    ftl_imp_reshape_to(m, x, e_where(m, mask, one, ftl_imp_gather(m, ftl_imp_shape(m, x), place, 0))));
}

void ftl_imp_do_unsqueeze(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), runtime = ftl_imp_unknown(m, 1);
	int64_t axes[FTL_MAX_RANK];
	bool one[FTL_MAX_RANK] = {false};
	ftl_dim d[FTL_MAX_RANK];
	int r = rank_of(m, x);
	uint32_t n;

	if (runtime) {
		unsqueeze_runtime(m, x, runtime);
		return;
	}
	if (!ftl_imp_list(m, "axes", 1, axes, FTL_MAX_RANK, &n)) {
		bad_model(m, "has no axes");
		return;
	}
	r += (int)n;
	if (r > FTL_MAX_RANK) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "rank %d is above the limit of %d", r, FTL_MAX_RANK);
		return;
	}
	for (uint32_t i = 0; i < n && !m->failed; i++) {
		int at = ftl_imp_axis(m, axes[i], r);
		if (one[at])
			bad_model(m, "axis %d is given twice", at);
		one[at] = true;
	}
	if (m->failed)
		return;
	for (int i = 0, k = 0; i < r; i++)
		d[i] = one[i] ? dim_c(m, 1) : ftl_imp_dim(m, x, k++);
	ftl_imp_out(m, 0, ftl_imp_reshape(m, x, r, d));
}

void ftl_imp_do_transpose(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	ftl_ints p = ftl_imp_ints(m, "perm");
	int r = rank_of(m, x), perm[FTL_MAX_RANK];
	bool seen[FTL_MAX_RANK] = {false};

	if (p.n && p.n != (uint32_t)r) {
		bad_model(m, "perm has %u entries for an input of rank %d", p.n, r);
		return;
	}
	for (int i = 0; i < r && !m->failed; i++) {
		perm[i] = p.n ? ftl_imp_axis(m, p.v[i], r) : r - 1 - i;
		if (!m->failed && seen[perm[i]])
			bad_model(m, "perm names axis %d twice", perm[i]);
		seen[perm[i]] = true;
	}
	if (!m->failed)
		ftl_imp_out(m, 0, ftl_imp_transpose(m, x, perm));
}

void ftl_imp_do_expand(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), shape = ftl_imp_need(m, 1);
	ftl_dim want[FTL_MAX_RANK], out[FTL_MAX_RANK];
	const ftl_type *t = ftl_imp_type(m, x);
	uint32_t n;
	int rank, axis;

	if (m->failed)
		return;
	if (shape_input(m, shape, want, &n) && all_known(want, n)) {
		ftl_dims both[2] = {{(uint32_t)t->rank, t->dims}, {n, want}};
		if (!ftl_shapes_broadcast(m->st, both, 2, &rank, out, &axis))
			bad_model(m, "the shape does not fit the input at axis %d of the result", axis);
		else
			ftl_imp_out(m, 0, ftl_imp_expand(m, x, rank, out));
		return;
	}
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_expand, NULL, 2, (const ftl_val[]){x, ftl_imp_cast(m, shape, FTL_I64)}));
}

void ftl_imp_do_tile(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), reps = ftl_imp_need(m, 1);
	struct ftl_attrs_tile *a = NEW_ATTRS(m, tile);
	ftl_dim d[FTL_MAX_RANK];
	uint32_t n;

	if (m->failed)
		return;
	if (ftl_imp_known_dims(m, reps, d, FTL_MAX_RANK, &n)) {
		if (n != (uint32_t)rank_of(m, x)) {
			bad_model(m, "has %u repeats for an input of rank %d", n, rank_of(m, x));
			return;
		}
		a->repeats = ftl_imp_dims_copy(m, n, d);
		/* rank 0 repeats nothing */
		ftl_imp_out(m, 0, n ? ftl_imp_op(m, FTL_OP_tile, a, 1, &x) : x);
		return;
	}
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_tile, a, 2, (const ftl_val[]){x, ftl_imp_cast(m, reps, FTL_I64)}));
}

/* ---- slice, split ---- */

static void list_or_input(imp *m, const char *name, uint32_t k, ftl_dim *out, uint32_t *n, bool *known)
{
	ftl_val v = ftl_imp_in(m, k);
	ftl_ints l;

	if (v) {
		*known = ftl_imp_known_dims(m, v, out, FTL_MAX_RANK, n);
		return;
	}
	l = ftl_imp_ints(m, name);
	*known = true;
	*n = l.n;
	if (l.n > FTL_MAX_RANK) {
		bad_model(m, "%s has %u entries", name, l.n);
		return;
	}
	for (uint32_t i = 0; i < l.n; i++)
		out[i] = dim_c(m, l.v[i]);
}

/* Axes or steps only run time knows, or not even how many: starts, ends and steps for all axes. */
static void slice_runtime(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), axes = ftl_imp_in(m, 3), steps = ftl_imp_in(m, 4), in[4] = {x};
	int r = rank_of(m, x);

	for (uint32_t k = 1; k < 3; k++)
		in[k] = ftl_imp_vector(m, ftl_imp_need(m, k));
	axes = axes ? ftl_imp_vector(m, axes) : ftl_imp_range(m, ftl_imp_dim(m, in[1], 0), FTL_I64);
	if (m->failed || r == 0) {
		ftl_imp_out(m, 0, x);
		return;
	}
	in[1] = ftl_imp_spread(m, axes, in[1], ftl_imp_filled(m, r, 0));
	in[2] = ftl_imp_spread(m, axes, in[2], ftl_imp_filled(m, r, INT64_MAX));
	if (steps)
		in[3] = ftl_imp_spread(m, axes, ftl_imp_vector(m, steps), ftl_imp_filled(m, r, 1));
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_slice, NULL, steps ? 4 : 3, in));
}

/* Is it known how many starts there are, and which axes and steps they are for? */
static bool slice_known(imp *m)
{
	int64_t k;

	if (ftl_imp_unknown(m, 3) || ftl_imp_unknown(m, 4))
		return false;
	return !ftl_imp_unknown(m, 1) || ftl_dim_is_const(m->st, ftl_imp_dim(m, ftl_imp_in(m, 1), 0), &k);
}

void ftl_imp_do_slice(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), in[3] = {x};
	ftl_dim start[FTL_MAX_RANK], end[FTL_MAX_RANK], size[FTL_MAX_RANK];
	int64_t axes[FTL_MAX_RANK], steps[FTL_MAX_RANK];
	uint32_t ns = 0, ne = 0, na = 0, nst = 0;
	struct ftl_attrs_slice *a = NEW_ATTRS(m, slice);
	bool known_s, known_e, all = true;
	int r = rank_of(m, x);
	int64_t k = 0;

	if (!slice_known(m)) {
		slice_runtime(m);
		return;
	}
	list_or_input(m, "starts", 1, start, &ns, &known_s);
	list_or_input(m, "ends", 2, end, &ne, &known_e);
	if (m->failed)
		return;
	if (!known_s) {
		ftl_imp_want_rank(m, ftl_imp_in(m, 1), 1, 1, "starts");
		ftl_dim_is_const(m->st, ftl_imp_dim(m, ftl_imp_in(m, 1), 0), &k);
		ns = m->failed || k > FTL_MAX_RANK ? FTL_MAX_RANK + 1 : (uint32_t)k;
		ne = known_e ? ne : ns;
	} else if (!known_e) {
		ne = ns;
	}
	if (!ftl_imp_list(m, "axes", 3, axes, FTL_MAX_RANK, &na))
		for (na = 0; na < ns && na < FTL_MAX_RANK; na++)
			axes[na] = na;
	if (!ftl_imp_list(m, "steps", 4, steps, FTL_MAX_RANK, &nst))
		for (nst = 0; nst < ns && nst < FTL_MAX_RANK; nst++)
			steps[nst] = 1;
	if (m->failed)
		return;
	if (ns != ne || ns != na || ns != nst || ns > (uint32_t)r) {
		bad_model(m, "starts, ends, axes and steps have %u, %u, %u and %u entries for an input of rank %d", ns,
			  ne, na, nst, r);
		return;
	}
	for (uint32_t i = 0; i < ns && !m->failed; i++) {
		axes[i] = ftl_imp_axis(m, axes[i], r);
		if (steps[i] == 0)
			bad_model(m, "step 0 on axis %lld", (long long)axes[i]);
		for (uint32_t j = 0; j < i; j++)
			if (axes[j] == axes[i])
				bad_model(m, "axis %lld is given twice", (long long)axes[i]);
		if (m->failed || !known_s || !known_e)
			continue;
		ftl_slice_range(m->st, ftl_imp_dim(m, x, (int)axes[i]), start[i], end[i], steps[i], &start[i],
				&size[i]);
		all = all && start[i] != FTL_DIM_NONE && size[i] != FTL_DIM_NONE;
	}
	if (m->failed)
		return;
	a->axes = ftl_imp_ints_copy(m, ns, axes);
	a->steps = ftl_imp_ints_copy(m, ns, steps);
	if (ns == 0) {
		ftl_imp_out(m, 0, x);
	} else if (known_s && known_e && all) {
		a->starts = ftl_imp_dims_copy(m, ns, start);
		a->sizes = ftl_imp_dims_copy(m, ns, size);
		if (ns == 1 && steps[0] == 1)
			ftl_imp_out(m, 0, ftl_imp_slice(m, x, (int)axes[0], start[0], size[0]));
		else
			ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_slice, a, 1, in));
	} else if (!ftl_imp_in(m, 1)) {
		bad_model(m, "starts and ends overflow");
	} else {
		in[1] = ftl_imp_cast(m, ftl_imp_in(m, 1), FTL_I64);
		in[2] = ftl_imp_cast(m, ftl_imp_need(m, 2), FTL_I64);
		ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_slice, a, 3, in));
	}
}

/* Sizes only known at run time: x[sum of those before : sum up to here]. */
static void split_dynamic(imp *m, ftl_val x, int axis, ftl_val sizes, uint32_t n)
{
	struct ftl_attrs_cum_sum *ac = NEW_ATTRS(m, cum_sum);
	ftl_val ends, starts;

	sizes = ftl_imp_cast(m, sizes, FTL_I64);
	ac->axis = 0;
	ends = ftl_imp_op(m, FTL_OP_cum_sum, ac, 1, &sizes);
	starts = e_sub(m, ends, sizes);
	for (uint32_t i = 0; i < n && !m->failed; i++) {
		struct ftl_attrs_slice *a = NEW_ATTRS(m, slice);
		a->axes = ftl_imp_ints_copy(m, 1, &(int64_t){axis});
		a->steps = ftl_imp_ints_copy(m, 1, &(int64_t){1});
		ftl_val in[3] = {x, ftl_imp_slice(m, starts, 0, dim_c(m, i), dim_c(m, 1)),
				 ftl_imp_slice(m, ends, 0, dim_c(m, i), dim_c(m, 1))};
		ftl_imp_out(m, i, ftl_imp_op(m, FTL_OP_slice, a, 3, in));
	}
}

void ftl_imp_do_split(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), sizes_in = ftl_imp_in(m, 1);
	int axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", 0), rank_of(m, x));
	uint32_t n = m->cur->nout, k = 0;
	ftl_dim whole = ftl_imp_dim(m, x, axis), at = dim_c(m, 0), *size = FTL_NEW_N(m->tmp, ftl_dim, n + 1);
	int64_t w, s, sum = 0;

	if (m->failed)
		return;
	if (sizes_in && !ftl_imp_known_dims(m, sizes_in, size, n, &k)) {
		split_dynamic(m, x, axis, sizes_in, n);
		return;
	}
	if (!sizes_in && ftl_imp_has(m, "split")) {
		ftl_ints l = ftl_imp_ints(m, "split");
		k = l.n;
		for (uint32_t i = 0; i < k && i < n; i++)
			size[i] = dim_c(m, l.v[i]);
	} else if (!sizes_in) { /* equal parts, the last one smaller */
		ftl_dim parts = dim_c(m, n), part = ftl_dim_ceildiv(m->st, whole, parts);
		for (k = 0; k < n; k++) {
			ftl_dim end = ftl_dim_mul(m->st, part, dim_c(m, k));
			size[k] = k + 1 < n ? part : ftl_dim_sub(m->st, whole, end);
		}
	}
	if (k != n) {
		bad_model(m, "has %u outputs and %u sizes", n, k);
		return;
	}
	if (ftl_dim_is_const(m->st, whole, &w)) {
		bool all = true;
		for (uint32_t i = 0; i < n; i++) {
			if (!ftl_dim_is_const(m->st, size[i], &s))
				all = false;
			else if (s < 0 || __builtin_add_overflow(sum, s, &sum)) {
				bad_model(m, "size %lld of part %u makes no sense", (long long)s, i);
				return;
			}
		}
		if (all && sum != w) {
			bad_model(m, "the sizes add up to %lld, axis %d has %lld", (long long)sum, axis, (long long)w);
			return;
		}
	}
	ftl_dim total = dim_c(m, 0);
	bool fits = true;
	for (uint32_t i = 0; i < n; i++) {
		total = ftl_dim_add(m->st, total, size[i]);
		fits = fits && size[i] != FTL_DIM_NONE && ftl_dim_lo(m->st, size[i]) >= 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		ftl_dim start = at, len = size[i];
		at = ftl_dim_add(m->st, at, size[i]);
		if (!fits || total != whole) /* only run time knows: stay inside the axis */
			ftl_slice_range(m->st, whole, start, at, 1, &start, &len);
		if (ftl_imp_wants(m, i))
			ftl_imp_out(m, i, ftl_imp_slice(m, x, axis, start, len));
	}
}

/* ---- pad ---- */

/* Pads for axes only run time knows: begins and ends for all axes. */
static ftl_val spread_pads(imp *m, ftl_val axes, ftl_val pads, int r)
{
	ftl_dim n = ftl_imp_dim(m, axes, 0), two[2] = {dim_c(m, 2), n}, flat = dim_c(m, 2 * (int64_t)r);
	struct ftl_attrs_scatter_elements *a = NEW_ATTRS(m, scatter_elements);
	int64_t whole[2] = {2, r}, zeros[2 * FTL_MAX_RANK] = {0};
	ftl_val in[3] = {ftl_imp_bytes(m, FTL_I64, 2, whole, zeros), ftl_imp_expand(m, axes, 2, two),
			 ftl_imp_reshape(m, pads, 2, two)};

	a->axis = 1;
	return ftl_imp_reshape(m, ftl_imp_op(m, FTL_OP_scatter_elements, a, 3, in), 1, &flat);
}

void ftl_imp_do_pad(imp *m)
{
	bool old = m->cur->opset < 11;
	ftl_val x = ftl_imp_need(m, 0), pads_in = old ? 0 : ftl_imp_need(m, 1), in[3] = {x};
	struct ftl_attrs_pad *a = NEW_ATTRS(m, pad);
	ftl_dim pads[2 * FTL_MAX_RANK];
	int64_t axes[FTL_MAX_RANK];
	int r = rank_of(m, x);
	uint32_t n = 0, na = 0;
	bool known = true, zero = true;

	a->mode = ftl_imp_s(m, "mode", "constant");
	if (strcmp(a->mode, "constant") && strcmp(a->mode, "reflect") && strcmp(a->mode, "edge") &&
	    strcmp(a->mode, "wrap")) {
		unsupported(m, "mode \"%s\" is not supported", a->mode);
		return;
	}
	if (old) {
		ftl_ints l = ftl_imp_ints(m, ftl_imp_has(m, "pads") ? "pads" : "paddings");
		if (l.n > 2 * FTL_MAX_RANK) {
			bad_model(m, "pads has %u entries", l.n);
			return;
		}
		for (n = 0; n < l.n; n++)
			pads[n] = dim_c(m, l.v[n]);
		if (ftl_imp_f(m, "value", 0) != 0)
			in[1] = e_num(m, x, ftl_imp_f(m, "value", 0));
	} else {
		known = ftl_imp_known_dims(m, pads_in, pads, 2 * FTL_MAX_RANK, &n);
		in[1] = ftl_imp_in(m, 2);
		if (in[1] && rank_of(m, in[1]) > 0)
			in[1] = ftl_imp_reshape(m, in[1], 0, NULL);
	}
	if (!in[1] && dtype_of(m, x) == FTL_STRING)
		in[1] = ftl_imp_strings(m, 0, NULL, 1, &(ftl_str){"", 0});
	if (m->failed)
		return;
	ftl_val axes_in = old ? 0 : ftl_imp_unknown(m, 3);
	if (axes_in) {
		in[2] = spread_pads(m, axes_in, ftl_imp_vector(m, pads_in), r);
		ftl_imp_out(m, 0, r ? ftl_imp_op(m, FTL_OP_pad, a, 3, in) : x);
		return;
	}
	if (old || !ftl_imp_list(m, "axes", 3, axes, FTL_MAX_RANK, &na))
		for (na = 0; na < (uint32_t)r; na++)
			axes[na] = na;
	for (uint32_t i = 0; i < na && !m->failed; i++)
		axes[i] = ftl_imp_axis(m, axes[i], r);
	if (m->failed)
		return;
	a->axes = ftl_imp_ints_copy(m, na, axes);
	if (!known) {
		in[2] = ftl_imp_cast(m, pads_in, FTL_I64);
		ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_pad, a, 3, in));
		return;
	}
	if (n != 2 * na) {
		bad_model(m, "pads has %u entries for %u axes", n, na);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		zero = zero && pads[i] == dim_c(m, 0);
	a->pads = ftl_imp_dims_copy(m, n, pads);
	ftl_imp_out(m, 0, zero ? x : ftl_imp_op(m, FTL_OP_pad, a, in[1] ? 2 : 1, in));
}

/* What is too long loses both ends, then what is too short gains them; the odd element is the last one. */
static ftl_val crop_pad_runtime(imp *m, ftl_val x, uint32_t n, const int64_t *axes, ftl_val want)
{
	struct ftl_attrs_slice *cut = NEW_ATTRS(m, slice);
	struct ftl_attrs_pad *a = NEW_ATTRS(m, pad);
	ftl_val have = ftl_imp_gather(m, ftl_imp_shape(m, x), ftl_imp_i64s(m, n, axes), 0), zero = e_num(m, want, 0),
		two = e_num(m, want, 2), start, more, part[2], in[3] = {x};

	start = e_div(m, op2(m, FTL_OP_max, e_sub(m, have, want), zero), two);
	in[1] = start;
	in[2] = e_add(m, start, op2(m, FTL_OP_min, have, want));
	cut->axes = a->axes = ftl_imp_ints_copy(m, n, axes);
	in[0] = ftl_imp_op(m, FTL_OP_slice, cut, 3, in);
	more = op2(m, FTL_OP_max, e_sub(m, want, have), zero);
	part[0] = e_div(m, more, two);
	part[1] = e_sub(m, more, part[0]);
	in[1] = 0;
	in[2] = ftl_imp_concat(m, 0, 2, part);
	return ftl_imp_op(m, FTL_OP_pad, a, 3, in);
}

void ftl_imp_do_center_crop_pad(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), shape = ftl_imp_need(m, 1);
	int64_t axes[FTL_MAX_RANK], given;
	ftl_dim want[FTL_MAX_RANK], two = dim_c(m, 2), none = dim_c(m, 0);
	int r = rank_of(m, x);
	ftl_ints l = ftl_imp_ints(m, "axes");
	uint32_t n = l.n ? l.n : (uint32_t)r, have = n;
	bool known = ftl_imp_known_dims(m, shape, want, FTL_MAX_RANK, &have);

	if (!known && ftl_dim_is_const(m->st, ftl_imp_dim(m, shape, 0), &given))
		have = given > FTL_MAX_RANK ? FTL_MAX_RANK + 1 : (uint32_t)given;
	if (!m->failed && (have != n || n > (uint32_t)r))
		bad_model(m, "has %u sizes for %u axes", have, n);
	for (uint32_t i = 0; i < n && !m->failed; i++)
		axes[i] = ftl_imp_axis(m, l.n ? l.v[i] : (int64_t)i, r);
	if (m->failed)
		return;
	if (!known) {
		ftl_imp_out(m, 0, crop_pad_runtime(m, x, n, axes, ftl_imp_vector(m, shape)));
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		ftl_dim size = ftl_imp_dim(m, x, (int)axes[i]), extra = ftl_dim_sub(m->st, size, want[i]), pads[2];
		struct ftl_attrs_pad *a = NEW_ATTRS(m, pad);

		extra = ftl_dim_max(m->st, extra, none);
		x = ftl_imp_slice(m, x, (int)axes[i], ftl_dim_div(m->st, extra, two),
				  ftl_dim_min(m->st, size, want[i]));
		extra = ftl_dim_max(m->st, ftl_dim_sub(m->st, want[i], size), none);
		if (extra == none)
			continue;
		pads[0] = ftl_dim_div(m->st, extra, two);
		pads[1] = ftl_dim_sub(m->st, extra, pads[0]);
		a->axes = ftl_imp_ints_copy(m, 1, &axes[i]);
		a->pads = ftl_imp_dims_copy(m, 2, pads);
		x = ftl_imp_op(m, FTL_OP_pad, a, 1, &x);
	}
	ftl_imp_out(m, 0, x);
}

/* ---- space and depth ---- */

/* Split channels and space into their parts, permute, merge. */
void ftl_imp_do_depth_to_space(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	int64_t b = ftl_imp_i(m, "blocksize", 0);
	bool crd = !strcmp(ftl_imp_s(m, "mode", "DCR"), "CRD");
	static const int dcr_perm[] = {0, 3, 4, 1, 5, 2}, crd_perm[] = {0, 1, 4, 2, 5, 3};

	ftl_imp_want_rank(m, x, 4, 4, "the input");
	if (!m->failed && (b <= 0 || b > 65536))
		bad_model(m, "blocksize %lld makes no sense", (long long)b);
	if (m->failed)
		return;
	ftl_dim n = ftl_imp_dim(m, x, 0), c = ftl_imp_dim(m, x, 1), h = ftl_imp_dim(m, x, 2), w = ftl_imp_dim(m, x, 3),
		bd = dim_c(m, b), c2 = ftl_dim_div(m->st, c, dim_c(m, b * b));
	ftl_dim split_dcr[] = {n, bd, bd, c2, h, w}, split_crd[] = {n, c2, bd, bd, h, w};
	ftl_dim out[] = {n, c2, ftl_dim_mul(m->st, h, bd), ftl_dim_mul(m->st, w, bd)};
	x = ftl_imp_reshape(m, x, 6, crd ? split_crd : split_dcr);
	x = ftl_imp_transpose(m, x, crd ? crd_perm : dcr_perm);
	ftl_imp_out(m, 0, ftl_imp_reshape(m, x, 4, out));
}

void ftl_imp_do_space_to_depth(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	int64_t b = ftl_imp_i(m, "blocksize", 0);
	static const int dcr_perm[] = {0, 3, 5, 1, 2, 4}, crd_perm[] = {0, 1, 3, 5, 2, 4};
	bool crd = !strcmp(ftl_imp_s(m, "mode", "DCR"), "CRD");

	ftl_imp_want_rank(m, x, 4, 4, "the input");
	if (!m->failed && (b <= 0 || b > 65536))
		bad_model(m, "blocksize %lld makes no sense", (long long)b);
	if (m->failed)
		return;
	ftl_dim bd = dim_c(m, b), n = ftl_imp_dim(m, x, 0), c = ftl_imp_dim(m, x, 1),
		h = ftl_dim_div(m->st, ftl_imp_dim(m, x, 2), bd), w = ftl_dim_div(m->st, ftl_imp_dim(m, x, 3), bd);
	ftl_dim split[] = {n, c, h, bd, w, bd}, out[] = {n, ftl_dim_mul(m->st, c, dim_c(m, b * b)), h, w};
	x = ftl_imp_reshape(m, x, 6, split);
	ftl_imp_out(m, 0, ftl_imp_reshape(m, ftl_imp_transpose(m, x, crd ? crd_perm : dcr_perm), 4, out));
}
