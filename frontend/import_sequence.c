/* Sequences of tensors, resolved at import: a sequence is a list in a binding, its items values of the graph. A stacked
 * item is a tensor whose axis 0 runs over any number of items of one shape (what a loop appended). */
#include "imp.h"

static const imp_seq *need_seq(imp *m, uint32_t k)
{
	static const imp_seq none;

	if (k < m->cur->nin && m->cur->in[k].seq)
		return m->cur->in[k].seq;
	if (!m->failed)
		bad_model(m, "input %u is not a sequence", k);
	return &none;
}

static imp_seq *copy(imp *m, const imp_seq *s)
{
	imp_seq *c = FTL_NEW(m->tmp, imp_seq);

	c->base = s->open ? s : s->base;
	c->dtype = s->dtype;
	for (uint32_t i = 0; i < s->items.n; i++)
		ftl_vec_push(m->tmp, &c->items, s->items.v[i]);
	return c;
}

static void push(imp *m, imp_seq *s, ftl_val v, bool stacked)
{
	ftl_vec_push(m->tmp, &s->items, ((imp_item){v, stacked}));
}

static void put(imp *m, const imp_seq *s)
{
	if (!m->failed && m->cur->nout)
		m->cur->out[0].seq = s;
}

/* Are all items of s single and none hidden in a base? */
static bool is_list(const imp_seq *s)
{
	for (uint32_t i = 0; i < s->items.n; i++)
		if (s->items.v[i].stacked)
			return false;
	return !s->open && !s->base;
}

/* Position input k into a list, -1 with an error if it is not known or out of range; extra allows the end. */
static int64_t position(imp *m, uint32_t k, const imp_seq *s, int extra)
{
	int64_t at;
	uint32_t n;

	if (!is_list(s) || !ftl_imp_known_i64s(m, ftl_imp_need(m, k), &at, 1, &n) || n != 1) {
		unsupported(m, "the sequence and the position must be known at import");
		return -1;
	}
	if (at < 0)
		at += s->items.n;
	if (at < 0 || at >= (int64_t)s->items.n + extra) {
		bad_model(m, "position %lld is outside of a sequence of %u", (long long)at, s->items.n);
		return -1;
	}
	return at;
}

void ftl_imp_do_sequence_empty(imp *m)
{
	imp_seq *s = FTL_NEW(m->tmp, imp_seq);

	s->dtype = ftl_imp_dtype(m, "dtype", FTL_F32);
	put(m, s);
}

void ftl_imp_do_sequence_construct(imp *m)
{
	imp_seq *s = FTL_NEW(m->tmp, imp_seq);

	for (uint32_t i = 0; i < m->cur->nin; i++)
		push(m, s, ftl_imp_need(m, i), false);
	if (s->items.n)
		s->dtype = dtype_of(m, s->items.v[0].v);
	put(m, s);
}

void ftl_imp_do_sequence_insert(imp *m)
{
	const imp_seq *s = need_seq(m, 0);
	ftl_val v = ftl_imp_need(m, 1);
	imp_seq *r = FTL_NEW(m->tmp, imp_seq);
	int64_t at;

	if (m->failed)
		return;
	if (!ftl_imp_in(m, 2)) {
		r = copy(m, s);
		push(m, r, v, false);
		put(m, r);
		return;
	}
	at = position(m, 2, s, 1);
	if (m->failed)
		return;
	r->dtype = s->dtype;
	for (int64_t i = 0; i <= (int64_t)s->items.n; i++) {
		if (i == at)
			push(m, r, v, false);
		if (i < (int64_t)s->items.n)
			push(m, r, s->items.v[i].v, false);
	}
	put(m, r);
}

void ftl_imp_do_sequence_erase(imp *m)
{
	const imp_seq *s = need_seq(m, 0);
	imp_seq *r = FTL_NEW(m->tmp, imp_seq);
	int64_t at = ftl_imp_in(m, 1) ? position(m, 1, s, 0) : (int64_t)s->items.n - 1;

	if (m->failed)
		return;
	if (!is_list(s) || at < 0) {
		unsupported(m, "the sequence must be known at import");
		return;
	}
	r->dtype = s->dtype;
	for (int64_t i = 0; i < (int64_t)s->items.n; i++)
		if (i != at)
			push(m, r, s->items.v[i].v, false);
	put(m, r);
}

void ftl_imp_do_sequence_at(imp *m)
{
	const imp_seq *s = need_seq(m, 0);
	ftl_val at = ftl_imp_need(m, 1);

	if (m->failed)
		return;
	if (s->items.n == 1 && s->items.v[0].stacked && !s->base) {
		ftl_imp_out(
			m, 0,
			ftl_imp_gather(m, s->items.v[0].v, rank_of(m, at) ? ftl_imp_reshape(m, at, 0, NULL) : at, 0));
		return;
	}
	int64_t i = position(m, 1, s, 0);
	if (!m->failed)
		ftl_imp_out(m, 0, s->items.v[i].v);
}

void ftl_imp_do_sequence_length(imp *m)
{
	const imp_seq *s = need_seq(m, 0);
	ftl_dim n = dim_c(m, 0);

	if (!m->failed && (s->open || s->base)) {
		unsupported(m, "the length of the sequence must be known at import");
		return;
	}
	for (uint32_t i = 0; i < s->items.n; i++)
		n = ftl_dim_add(m->st, n, s->items.v[i].stacked ? ftl_imp_dim(m, s->items.v[i].v, 0) : dim_c(m, 1));
	ftl_imp_out(m, 0, ftl_imp_dim_scalar(m, n, FTL_I64));
}

/* Axis 0 of v to position `to`. */
static ftl_val move_front(imp *m, ftl_val v, int to)
{
	int perm[FTL_MAX_RANK], r = rank_of(m, v);

	for (int i = 0, k = 1; i < r; i++)
		perm[i] = i == to ? 0 : k++;
	return ftl_imp_transpose(m, v, perm);
}

void ftl_imp_do_concat_from_sequence(imp *m)
{
	const imp_seq *s = need_seq(m, 0);
	bool new_axis = ftl_imp_i(m, "new_axis", 0) != 0;
	int64_t axis = ftl_imp_i(m, "axis", 0);
	ftl_val *part = FTL_NEW_N(m->tmp, ftl_val, s->items.n + 1);
	int rank, at;

	if (m->failed)
		return;
	/* Inside a loop body the items before this round are not there to be seen. */
	if (s->items.n == 0 || s->open || s->base) {
		unsupported(m, "an empty or unknown sequence cannot be concatenated");
		return;
	}
	rank = rank_of(m, s->items.v[0].v) - s->items.v[0].stacked;
	at = ftl_imp_axis(m, axis, rank + new_axis);
	for (uint32_t i = 0; i < s->items.n && !m->failed; i++) {
		ftl_val v = s->items.v[i].v;
		if (!s->items.v[i].stacked) {
			part[i] = new_axis ? ftl_imp_unsqueeze(m, v, at) : v;
		} else if (new_axis) {
			part[i] = move_front(m, v, at);
		} else { /* [.., n, d, ..] side by side is n * d */
			ftl_dim d[FTL_MAX_RANK];
			v = move_front(m, v, at);
			for (int k = 0; k < rank; k++)
				d[k] = k == at ? ftl_dim_mul(m->st, ftl_imp_dim(m, v, k), ftl_imp_dim(m, v, k + 1))
					       : ftl_imp_dim(m, v, k < at ? k : k + 1);
			part[i] = m->failed ? 0 : ftl_imp_reshape(m, v, rank, d);
		}
	}
	ftl_imp_out(m, 0, ftl_imp_concat(m, at, s->items.n, part));
}

void ftl_imp_do_split_to_sequence(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), split = ftl_imp_in(m, 1);
	int axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", 0), rank_of(m, x)), perm[FTL_MAX_RANK];
	bool keep = split || ftl_imp_i(m, "keepdims", 1) != 0;
	imp_seq *s = FTL_NEW(m->tmp, imp_seq);
	int64_t sizes[FTL_MAX_SYM], whole, each = 1;
	uint32_t n = 0;

	if (m->failed)
		return;
	s->dtype = dtype_of(m, x);
	if (split && !ftl_imp_known_i64s(m, split, sizes, FTL_MAX_SYM, &n)) {
		unsupported(m, "the sizes must be known at import");
		return;
	}
	if (split && rank_of(m, split) > 0) {
		ftl_dim at = dim_c(m, 0), w = ftl_imp_dim(m, x, axis);
		for (uint32_t i = 0; i < n; i++) {
			ftl_dim start, size, end = ftl_dim_add(m->st, at, dim_c(m, sizes[i]));
			ftl_slice_range(m->st, w, at, end, 1, &start, &size);
			push(m, s, ftl_imp_slice(m, x, axis, start, size), false);
			at = end;
		}
		put(m, s);
		return;
	}
	if (split)
		each = sizes[0];
	if (each == 1) { /* a stack of slices, as many as there are */
		perm[0] = axis;
		for (int i = 0, k = 1; i < rank_of(m, x); i++)
			if (i != axis)
				perm[k++] = i;
		x = ftl_imp_transpose(m, x, perm);
		push(m, s, keep ? ftl_imp_unsqueeze(m, x, axis + 1) : x, true);
		put(m, s);
		return;
	}
	whole = ftl_imp_const_dim(m, x, axis, "the size of the axis");
	if (each <= 0 || whole / each > 65536) {
		bad_model(m, "size %lld makes no sense", (long long)each);
		return;
	}
	for (int64_t at = 0; at < whole; at += each)
		push(m, s, ftl_imp_slice(m, x, axis, dim_c(m, at), dim_c(m, whole - at < each ? whole - at : each)),
		     false);
	put(m, s);
}
