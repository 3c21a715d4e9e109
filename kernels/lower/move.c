/* Ops that move elements without looking at them: transpose, expand, slice, pad, tile, trilu, reverse_sequence.
 *
 * Each hook turns an index of the result into one of the operand. An index may have lanes (a ramp along the last axis):
 * plain arithmetic keeps it a ramp, clamping and remainders make it a gather. That shapes fit is checked by
 * ftl_bind_dynamic before any of these runs, so that no address can leave its buffer. */
#include "util.h"

static const ftl_type *type_of(ftl_kern *k, ftl_val v)
{
	return ftl_type_of(ftl_lo_graph(ftl_kern_lo(k)), v);
}

/* result axis i is operand axis perm[i]; no perm: reversed */
ftl_kv ftl_point_transpose(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	ftl_ints perm = FTL_ATTRS(n, transpose)->perm;
	int rank = type_of(k, n->in[0])->rank;
	ftl_kv at[FTL_MAX_RANK];

	for (int i = 0; i < rank; i++)
		at[perm.n ? ftl_u_axis(perm.v[i], rank) : rank - 1 - i] = idx[i];
	return ftl_read(k, n->in[0], at);
}

ftl_kv ftl_point_expand(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	ftl_kv at[FTL_MAX_RANK];

	ftl_u_bcast_index(k, type_of(k, n->out[0]), idx, n->in[0], at);
	return ftl_read(k, n->in[0], at);
}

/* operand index = start + idx * step on the sliced axes */
ftl_kv ftl_point_slice(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_slice *a = FTL_ATTRS(n, slice);
	ftl_lo *lo = ftl_kern_lo(k);
	ftl_kb *b = ftl_kern_b(k), *m = ftl_lo_main(lo);
	const ftl_type *t = type_of(k, n->in[0]);
	bool from_input = n->nin > 1 && n->in[1], run_steps = n->nin > 3 && n->in[3];
	ftl_kv at[FTL_MAX_RANK];
	uint32_t count = a->sizes.n;
	int64_t len;

	if (from_input &&
	    ftl_dim_is_const(ftl_lo_graph(lo)->st, ftl_type_numel(ftl_lo_graph(lo), type_of(k, n->in[1])), &len))
		count = (uint32_t)len;
	ftl_u_idx(at, idx, t->rank, -1, 0);
	for (uint32_t i = 0; i < count; i++) {
		int axis = ftl_u_axis(a->axes.n ? a->axes.v[i] : i, t->rank);
		int64_t c = a->steps.n ? a->steps.v[i] : 1;
		ftl_kv start, step = ftl_k_i64(b, c), main_step = ftl_k_i64(m, c);

		if (run_steps) {
			main_step = ftl_u_elem(lo, n, n->in[3], i);
			step = ftl_kern_arg(k, main_step);
		}
		if (!from_input)
			start = ftl_kern_dim(k, a->starts.v[i]);
		else
			start = ftl_kern_arg(k, ftl_u_slice_clamp(m, ftl_u_elem(lo, n, n->in[1], i),
								  ftl_lo_dim(lo, t->dims[axis]), main_step));
		at[axis] = ftl_k2(b, FTL_K_add, start, ftl_k2(b, FTL_K_mul, idx[axis], step));
	}
	return ftl_read(k, n->in[0], at);
}

/* floor modulus for a divisor > 0 */
static ftl_kv floor_mod(ftl_kb *b, ftl_kv x, ftl_kv m)
{
	ftl_kv r = ftl_k2(b, FTL_K_rem, x, m);

	return ftl_k_select(b, ftl_k2(b, FTL_K_lt, r, ftl_k_i64(b, 0)), ftl_k2(b, FTL_K_add, r, m), r);
}

/* Position p, which may lie outside, in an axis of size elements (> 0). */
static ftl_kv pad_position(ftl_kb *b, const char *mode, ftl_kv p, ftl_kv size)
{
	ftl_kv one = ftl_k_i64(b, 1), zero = ftl_k_i64(b, 0), last = ftl_k2(b, FTL_K_sub, size, one), period, r;

	if (strcmp(mode, "wrap") == 0)
		return floor_mod(b, p, size);
	if (strcmp(mode, "reflect") != 0)
		return ftl_u_clamp(b, p, zero, last);
	/* there and back without repeating the ends: period 2 (size - 1); a remainder by 0 is 0 */
	period = ftl_k2(b, FTL_K_mul, last, ftl_k_i64(b, 2));
	r = floor_mod(b, p, period);
	return ftl_k2(b, FTL_K_min, r, ftl_k2(b, FTL_K_sub, period, r));
}

/* Constant mode reads only where all scalar coordinates are inside; coordinates with lanes are clamped and their lanes
 * selected. The other modes read always: ftl_bind_dynamic made sure that no axis is empty then. */
ftl_kv ftl_point_pad(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_pad *a = FTL_ATTRS(n, pad);
	ftl_lo *lo = ftl_kern_lo(k);
	ftl_kb *b = ftl_kern_b(k);
	const ftl_type *t = type_of(k, n->in[0]);
	bool constant = strcmp(a->mode, "constant") == 0;
	uint32_t naxes = a->axes.n ? a->axes.n : (uint32_t)t->rank;
	ftl_kv at[FTL_MAX_RANK], inside = 0, lanes_inside = 0, zero = ftl_k_i64(b, 0), value, var, x;
	int lanes = 1;
	ftl_kscope s;

	ftl_u_idx(at, idx, t->rank, -1, 0);
	for (int d = 0; d < t->rank; d++)
		if (ftl_ktype_of(b->f, idx[d]).lanes > lanes)
			lanes = ftl_ktype_of(b->f, idx[d]).lanes;
	for (uint32_t i = 0; i < naxes; i++) {
		int axis = ftl_u_axis(a->axes.n ? a->axes.v[i] : i, t->rank);
		ftl_kv size = ftl_kern_dim(k, t->dims[axis]), begin, p, ok;
		int64_t c;

		if (a->pads.n) {
			if (ftl_u_is(lo, a->pads.v[i], 0) && ftl_u_is(lo, a->pads.v[naxes + i], 0))
				continue;
			begin = ftl_kern_dim(k, a->pads.v[i]);
		} else {
			begin = ftl_kern_arg(k, ftl_u_elem(lo, n, n->in[2], i));
		}
		p = ftl_k2(b, FTL_K_sub, idx[axis], begin);
		if (!constant) {
			at[axis] = pad_position(b, a->mode, p, size);
			continue;
		}
		ok = ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_le, zero, p), ftl_k2(b, FTL_K_lt, p, size));
		at[axis] = p;
		if (ftl_ktype_of(b->f, ok).lanes > 1) {
			lanes_inside = lanes_inside ? ftl_k2(b, FTL_K_and, lanes_inside, ok) : ok;
			at[axis] = ftl_u_clamp(b, p, zero, ftl_k2(b, FTL_K_sub, size, ftl_k_i64(b, 1)));
			ok = ftl_k2(b, FTL_K_lt, zero, size); /* an empty axis is not read at all */
		}
		if (!ftl_k_is_const(b, ok, &c) || !c)
			inside = inside ? ftl_k2(b, FTL_K_and, inside, ok) : ok;
	}
	if (!constant || (!inside && !lanes_inside))
		return ftl_read(k, n->in[0], at);
	value = n->nin > 1 && n->in[1] ? ftl_u_read_one(k, n->in[1])
				       : ftl_k_num(b, FTL_KT(ftl_dtype_compute(t->dtype), 1), 0);
	value = ftl_k_splat(b, value, lanes);
	if (!inside)
		return ftl_k_select(b, lanes_inside, ftl_read(k, n->in[0], at), value);
	var = ftl_k_var(b, value);
	s = ftl_k_if(b, inside);
	x = ftl_read(k, n->in[0], at);
	if (lanes_inside)
		x = ftl_k_select(b, lanes_inside, x, value);
	ftl_k_set(b, var, x);
	ftl_k_end(b, &s);
	return ftl_k_get(b, var);
}

ftl_kv ftl_point_tile(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	ftl_lo *lo = ftl_kern_lo(k);
	ftl_kb *b = ftl_kern_b(k);
	const ftl_type *t = type_of(k, n->in[0]), *out = type_of(k, n->out[0]);
	ftl_kv at[FTL_MAX_RANK];

	for (int d = 0; d < t->rank; d++) {
		if (ftl_u_is(lo, t->dims[d], 1))
			at[d] = ftl_k_i64(b, 0);
		else if (ftl_dim_known_eq(ftl_lo_graph(lo)->st, t->dims[d], out->dims[d]) == 1)
			at[d] = idx[d];
		else
			at[d] = ftl_k2(b, FTL_K_rem, idx[d], ftl_kern_dim(k, t->dims[d]));
	}
	return ftl_read(k, n->in[0], at);
}

/* upper: kept where column - row >= diagonal; lower: where column - row <= diagonal */
ftl_kv ftl_point_trilu(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	ftl_kb *b = ftl_kern_b(k);
	int rank = type_of(k, n->in[0])->rank;
	ftl_kv x = ftl_read(k, n->in[0], idx);
	ftl_kv off = ftl_k2(b, FTL_K_sub, idx[rank - 1], idx[rank - 2]), diag = ftl_k_i64(b, 0), keep;

	if (n->nin > 1 && n->in[1])
		diag = ftl_kern_arg(k, ftl_u_elem(ftl_kern_lo(k), n, n->in[1], 0));
	keep = FTL_ATTRS(n, trilu)->upper ? ftl_k2(b, FTL_K_le, diag, off) : ftl_k2(b, FTL_K_le, off, diag);
	return ftl_k_select(b, keep, x, ftl_k_num(b, ftl_ktype_of(b->f, x), 0));
}

/* The first lens[batch] elements along the time axis backwards, the rest as they are. */
ftl_kv ftl_point_reverse_sequence(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_reverse_sequence *a = FTL_ATTRS(n, reverse_sequence);
	ftl_kb *b = ftl_kern_b(k);
	const ftl_type *t = type_of(k, n->in[0]);
	int time = ftl_u_axis(a->time_axis, t->rank), batch = ftl_u_axis(a->batch_axis, t->rank);
	ftl_kv size = ftl_kern_dim(k, t->dims[time]), one = ftl_k_i64(b, 1), zero = ftl_k_i64(b, 0);
	ftl_kv len = ftl_k_cast(b, ftl_read(k, n->in[1], &idx[batch]), FTL_I64), back, low, high;
	ftl_kv at[FTL_MAX_RANK];

	low = ftl_k2(b, FTL_K_le, zero, ftl_k_reduce(b, FTL_K_min, len));
	high = ftl_k2(b, FTL_K_le, ftl_k_reduce(b, FTL_K_max, len), size);
	ftl_k_check(b, ftl_k2(b, FTL_K_and, low, high),
		    ftl_lo_msg(ftl_kern_lo(k), n, "a sequence length is out of range"));
	len = ftl_u_clamp(b, len, zero, size);
	back = ftl_k2(b, FTL_K_sub, ftl_k2(b, FTL_K_sub, len, idx[time]), one);
	ftl_u_idx(at, idx, t->rank, time, ftl_k_select(b, ftl_k2(b, FTL_K_lt, idx[time], len), back, idx[time]));
	return ftl_read(k, n->in[0], at);
}
