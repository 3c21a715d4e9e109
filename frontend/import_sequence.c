/* Sequences of tensors.
 *
 * What is known at import is resolved there: a sequence is a list in a binding, its items values of the graph. A stacked
 * item is a tensor whose axis 0 runs over any number of items of one shape (what a loop appended). Everything else is
 * a value of the graph (seq_* of ops.def), and a known list becomes one where it meets what is not known. */
#include "imp.h"
#include "ir/shape_util.h"

#define MAX_KNOWN 4096  /* items of a list that is copied at every change */
#define MAX_PIECES 1024 /* that splitting makes */

int ftl_imp_kind(const imp *m, const imp_bound *b)
{
	if (b->optional)
		return b->optional->seq->kind;
	if (b->v)
		return ftl_imp_type(m, b->v)->seq ? (int)ftl_imp_type(m, b->v)->seq->kind : IMP_TENSOR;
	return b->seq ? FTL_SEQ_LIST : IMP_TENSOR;
}

static ftl_val empty(imp *m, ftl_dtype t, ftl_seq_kind kind)
{
	struct ftl_attrs_seq_empty *a = NEW_ATTRS(m, seq_empty);

	a->dtype = t;
	a->kind = ftl_seq_kind_name(kind);
	return ftl_imp_op(m, FTL_OP_seq_empty, a, 0, NULL);
}

/* A known list as a value of the graph. */
static ftl_val build(imp *m, const imp_seq *s)
{
	ftl_val v = empty(m, s->dtype, FTL_SEQ_LIST);

	for (uint32_t i = 0; i < s->items.n && !m->failed; i++)
		v = op2(m, s->items.v[i].stacked ? FTL_OP_seq_extend : FTL_OP_seq_insert, v, s->items.v[i].v);
	return v;
}

static const char *kind_words(int kind)
{
	switch (kind) {
	case FTL_SEQ_LIST: return "a sequence";
	case FTL_SEQ_OPT: return "an optional tensor";
	case FTL_SEQ_OPT_LIST: return "an optional sequence";
	default: return "a tensor";
	}
}

ftl_val ftl_imp_value(imp *m, const imp_bound *b, int kind)
{
	int have = ftl_imp_kind(m, b), bare;
	ftl_val v;

	if (m->failed)
		return 0;
	bare = have == FTL_SEQ_OPT ? IMP_TENSOR : have == FTL_SEQ_OPT_LIST ? FTL_SEQ_LIST : have;
	if (b->none && b->optional && kind == have)
		return empty(m, b->optional->dtype, (ftl_seq_kind)kind);
	v = b->seq ? build(m, b->seq) : b->v;
	if (b->optional) /* of something known, which is here bare */
		have = bare;
	if (!m->failed && !v)
		bad_model(m, "an optional without element where %s is needed", kind_words(kind));
	if (kind == have || m->failed)
		return v;
	if ((kind == FTL_SEQ_OPT && have == IMP_TENSOR) || (kind == FTL_SEQ_OPT_LIST && have == FTL_SEQ_LIST))
		return op1(m, FTL_OP_opt_of, v);
	if ((have == FTL_SEQ_OPT && kind == IMP_TENSOR) || (have == FTL_SEQ_OPT_LIST && kind == FTL_SEQ_LIST))
		return op1(m, FTL_OP_opt_get, v);
	bad_model(m, "%s where %s is needed", kind_words(have), kind_words(kind));
	return 0;
}

/* Input k as a list known at import, or NULL. */
static const imp_seq *known(imp *m, uint32_t k)
{
	return k < m->cur->nin ? m->cur->in[k].seq : NULL;
}

/* Input k as a sequence of the graph. */
static ftl_val sequence(imp *m, uint32_t k)
{
	int kind = k < m->cur->nin ? ftl_imp_kind(m, &m->cur->in[k]) : IMP_TENSOR;

	if (m->failed)
		return 0;
	if (kind != FTL_SEQ_LIST && kind != FTL_SEQ_OPT_LIST) {
		bad_model(m, "input %u is not a sequence", k);
		return 0;
	}
	return ftl_imp_value(m, &m->cur->in[k], FTL_SEQ_LIST);
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

/* Are all items of s single? */
static bool is_list(const imp_seq *s)
{
	for (uint32_t i = 0; i < s->items.n; i++)
		if (s->items.v[i].stacked)
			return false;
	return s->items.n <= MAX_KNOWN;
}

static ftl_val as_scalar(imp *m, ftl_val v)
{
	return v && rank_of(m, v) ? ftl_imp_reshape(m, v, 0, NULL) : v;
}

/* Is input k a known place in known list s? Then *out is in [0, n), or [0, n] with `end`. A place outside is for the run to
 * find, which may never get there. */
static bool position(imp *m, uint32_t k, const imp_seq *s, bool end, int64_t *out)
{
	ftl_val v = ftl_imp_need(m, k);
	uint32_t n;

	if (m->failed || !s || !is_list(s) || !ftl_imp_known_i64s(m, v, out, 1, &n) || n != 1)
		return false;
	if (*out < 0)
		*out += s->items.n;
	return *out >= 0 && *out < (int64_t)s->items.n + end;
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

	for (uint32_t i = 0; i < m->cur->nin; i++) {
		push(m, s, ftl_imp_need(m, i), false);
		if (!m->failed && i && dtype_of(m, s->items.v[i].v) != dtype_of(m, s->items.v[0].v))
			bad_model(m, "inputs 0 and %u have different element types", i);
	}
	if (s->items.n)
		s->dtype = dtype_of(m, s->items.v[0].v);
	put(m, s);
}

void ftl_imp_do_sequence_insert(imp *m)
{
	const imp_seq *s = known(m, 0);
	ftl_val in[3] = {0, ftl_imp_need(m, 1), ftl_imp_in(m, 2)};
	imp_seq *r;
	int64_t at = s ? s->items.n : 0;

	if (m->failed)
		return;
	if (s && s->dtype != dtype_of(m, in[1])) {
		bad_model(m, "a tensor of %s does not go into a sequence of %s", ftl_dtype_name(dtype_of(m, in[1])),
			  ftl_dtype_name(s->dtype));
	} else if (s && (in[2] ? position(m, 2, s, true, &at) : s->items.n < MAX_KNOWN)) {
		r = copy(m, s);
		push(m, r, in[1], false);
		for (int64_t i = s->items.n; i > at; i--)
			r->items.v[i] = r->items.v[i - 1];
		r->items.v[at] = (imp_item){in[1], false};
		put(m, r);
	} else {
		in[0] = sequence(m, 0);
		in[2] = as_scalar(m, in[2]);
		ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_seq_insert, NULL, in[2] ? 3 : 2, in));
	}
}

void ftl_imp_do_sequence_erase(imp *m)
{
	const imp_seq *s = known(m, 0);
	ftl_val in[2] = {0, ftl_imp_in(m, 1)};
	imp_seq *r;
	int64_t at;

	if (m->failed)
		return;
	at = s ? (int64_t)s->items.n - 1 : 0;
	if (s && (in[1] ? position(m, 1, s, false, &at) : at >= 0 && is_list(s))) {
		r = copy(m, s);
		for (uint32_t i = (uint32_t)at; i + 1 < s->items.n; i++)
			r->items.v[i] = r->items.v[i + 1];
		r->items.n--;
		put(m, r);
	} else {
		in[0] = sequence(m, 0);
		in[1] = as_scalar(m, in[1]);
		ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_seq_erase, NULL, in[1] ? 2 : 1, in));
	}
}

/* Can elements of s be taken out: is their rank known? */
static bool has_rank(imp *m, ftl_val s)
{
	const ftl_seq_type *t = m->failed ? NULL : ftl_imp_type(m, s)->seq;

	if (!t || t->rank >= 0)
		return t != NULL;
	m->needs_rank |= t->rank == FTL_SEQ_EMPTY;
	unsupported(m, "the elements' rank must be known at import; if the sequence is an input, give a shape");
	return false;
}

void ftl_imp_do_sequence_at(imp *m)
{
	const imp_seq *s = known(m, 0);
	ftl_val at = as_scalar(m, ftl_imp_need(m, 1)), v;
	int64_t i;

	if (m->failed)
		return;
	if (s && s->items.n == 1 && s->items.v[0].stacked) {
		ftl_imp_out(m, 0, ftl_imp_gather(m, s->items.v[0].v, at, 0));
	} else if (position(m, 1, s, false, &i)) {
		ftl_imp_out(m, 0, s->items.v[i].v);
	} else {
		v = sequence(m, 0);
		if (has_rank(m, v))
			ftl_imp_out(m, 0, op2(m, FTL_OP_seq_at, v, at));
	}
}

void ftl_imp_do_sequence_length(imp *m)
{
	const imp_seq *s = known(m, 0);
	ftl_dim n = dim_c(m, 0);

	if (!s) {
		ftl_imp_out(m, 0, op1(m, FTL_OP_seq_length, sequence(m, 0)));
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

static void concat_value(imp *m, int64_t axis, bool new_axis)
{
	struct ftl_attrs_seq_concat *a = NEW_ATTRS(m, seq_concat);
	ftl_val v = sequence(m, 0);

	if (!has_rank(m, v))
		return;
	a->axis = ftl_imp_axis(m, axis, ftl_imp_type(m, v)->seq->rank + new_axis);
	a->new_axis = new_axis;
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_seq_concat, a, 1, &v));
}

void ftl_imp_do_concat_from_sequence(imp *m)
{
	const imp_seq *s = known(m, 0);
	bool new_axis = ftl_imp_i(m, "new_axis", 0) != 0;
	int64_t axis = ftl_imp_i(m, "axis", 0);
	ftl_val *part;
	int rank, at;

	if (!s) {
		concat_value(m, axis, new_axis);
		return;
	}
	if (m->failed)
		return;
	if (s->items.n == 0) {
		bad_model(m, "an empty sequence cannot be concatenated");
		return;
	}
	part = FTL_NEW_N(m->tmp, ftl_val, s->items.n + 1);
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

/* The sizes in a list: slices, if all is known. */
static bool split_sizes(imp *m, ftl_val x, ftl_val split, int axis, imp_seq *s)
{
	int64_t sizes[FTL_MAX_SYM], whole, sum = 0;
	ftl_dim at = dim_c(m, 0);
	uint32_t n;

	if (!ftl_imp_known_i64s(m, split, sizes, FTL_MAX_SYM, &n) ||
	    !ftl_dim_is_const(m->st, ftl_imp_dim(m, x, axis), &whole))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (sizes[i] < 0 || sizes[i] > whole)
			bad_model(m, "size %lld of piece %u makes no sense", (long long)sizes[i], i);
		if (m->failed)
			return true;
		sum += sizes[i];
	}
	if (sum != whole)
		bad_model(m, "the sizes add up to %lld, the axis has %lld", (long long)sum, (long long)whole);
	for (uint32_t i = 0; i < n && !m->failed; i++) {
		push(m, s, ftl_imp_slice(m, x, axis, at, dim_c(m, sizes[i])), false);
		at = ftl_dim_add(m->st, at, dim_c(m, sizes[i]));
	}
	return true;
}

/* Pieces of one size, if all is known. */
static bool split_evenly(imp *m, ftl_val x, int64_t each, int axis, imp_seq *s)
{
	int64_t whole;

	if (each < 1) {
		bad_model(m, "size %lld makes no sense", (long long)each);
		return true;
	}
	if (!ftl_dim_is_const(m->st, ftl_imp_dim(m, x, axis), &whole) || whole / each > MAX_PIECES)
		return false;
	for (int64_t at = 0; at < whole && !m->failed; at += each)
		push(m, s, ftl_imp_slice(m, x, axis, dim_c(m, at), dim_c(m, whole - at < each ? whole - at : each)),
		     false);
	return true;
}

void ftl_imp_do_split_to_sequence(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), in[2] = {x, ftl_imp_in(m, 1)};
	int axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", 0), rank_of(m, x)), perm[FTL_MAX_RANK];
	bool keep = in[1] || ftl_imp_i(m, "keepdims", 1) != 0, done;
	imp_seq *s = FTL_NEW(m->tmp, imp_seq);
	int64_t each = 1;
	uint32_t n = 1;

	if (m->failed)
		return;
	s->dtype = dtype_of(m, x);
	if (in[1] && rank_of(m, in[1]) > 0) {
		done = split_sizes(m, x, in[1], axis, s);
	} else if (in[1] && (!ftl_imp_known_i64s(m, in[1], &each, 1, &n) || n != 1)) {
		done = false;
	} else if (each == 1) { /* a stack of slices, as many as there are */
		perm[0] = axis;
		for (int i = 0, k = 1; i < rank_of(m, x); i++)
			if (i != axis)
				perm[k++] = i;
		x = ftl_imp_transpose(m, x, perm);
		push(m, s, keep ? ftl_imp_unsqueeze(m, x, axis + 1) : x, true);
		done = true;
	} else {
		done = split_evenly(m, x, each, axis, s);
	}
	if (done) {
		put(m, s);
		return;
	}
	struct ftl_attrs_seq_split *a = NEW_ATTRS(m, seq_split);
	a->axis = axis;
	a->keepdims = keep;
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_seq_split, a, in[1] ? 2 : 1, in));
}
