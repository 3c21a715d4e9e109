/* Sequences and optionals: what is put in says what comes out.
 *
 * An element that is taken out has the dims that all elements share; the others are symbols, bound where it is taken. */
#include "hooks.h"

#include <string.h>

static ftl_status want_kind(ftl_infer *f, uint32_t k, ftl_seq_kind kind)
{
	const ftl_seq_type *s = ftl_infer_in(f, k)->seq;

	if (!s || s->kind != kind)
		return ftl_infer_fail(f, "input %u is a %s, which should be a %s", k,
				      s ? ftl_seq_kind_name(s->kind) : "tensor", ftl_seq_kind_name(kind));
	return FTL_OK;
}

static ftl_status want_position(ftl_infer *f, uint32_t k)
{
	ftl_dtype t = ftl_infer_in(f, k)->dtype;

	if (!ftl_infer_has(f, k))
		return FTL_OK;
	FTL_TRY(ftl_hook_want_tensor(f, k));
	if (t != FTL_I32 && t != FTL_I64)
		return ftl_infer_fail(f, "input %u has element type %s, which should be i32 or i64", k,
				      ftl_dtype_name(t));
	return ftl_hook_want_rank(f, k, 0);
}

/* Nothing is in the sequence, as in a loop whose first round takes nothing: what was known of result 0 holds. */
static ftl_status as_before(ftl_infer *f)
{
	const ftl_type *old = &f->old[0].type;
	ftl_dim dims[FTL_MAX_RANK];

	for (int i = 0; i < old->rank; i++)
		dims[i] = ftl_dim_is_const(f->g->st, old->dims[i], NULL) ? old->dims[i]
									 : ftl_infer_fresh(f, 0, i, "item");
	return ftl_hook_out(f, 0, old->dtype, old->rank, dims);
}

/* One element as result 0. */
static ftl_status element(ftl_infer *f, const ftl_type *t)
{
	const ftl_seq_type *s = t->seq;
	const ftl_type *old = &f->old[0].type;
	ftl_dim dims[FTL_MAX_RANK];

	if (s->rank == FTL_SEQ_EMPTY && old->dtype == t->dtype && !old->seq)
		return as_before(f);
	if (s->rank < 0)
		return ftl_infer_fail(f, "the rank of what it takes out of the sequence is not known");
	for (int i = 0; i < s->rank; i++)
		dims[i] = s->dims[i] >= 0 ? ftl_hook_const(f, s->dims[i]) : ftl_infer_fresh(f, 0, i, "item");
	return ftl_hook_out(f, 0, t->dtype, s->rank, dims);
}

ftl_status ftl_infer_op_seq_empty(ftl_infer *f)
{
	const struct ftl_attrs_seq_empty *a = FTL_ATTRS(ftl_infer_self(f), seq_empty);
	ftl_seq_type s = {.rank = FTL_SEQ_EMPTY};

	FTL_TRY(ftl_hook_dtype_ok(f, a->dtype));
	if (!ftl_seq_kind_parse(a->kind, strlen(a->kind), &s.kind))
		return ftl_infer_fail(f, "kind \"%.20s\" is not seq, opt or optseq", a->kind);
	ftl_infer_out_seq(f, 0, a->dtype, &s);
	return FTL_OK;
}

ftl_status ftl_infer_op_seq_insert(ftl_infer *f)
{
	ftl_seq_type s, x;

	FTL_TRY(ftl_hook_args_any(f, 2));
	FTL_TRY(want_kind(f, 0, FTL_SEQ_LIST));
	FTL_TRY(ftl_hook_want_tensor(f, 1));
	FTL_TRY(ftl_hook_want_same(f, 0, 1));
	FTL_TRY(want_position(f, 2));
	x = ftl_seq_of(f->g, FTL_SEQ_LIST, ftl_infer_in(f, 1));
	s = ftl_seq_join(ftl_infer_in(f, 0)->seq, &x);
	ftl_infer_out_seq(f, 0, ftl_infer_in(f, 0)->dtype, &s);
	return FTL_OK;
}

ftl_status ftl_infer_op_seq_extend(ftl_infer *f)
{
	ftl_seq_type s, x;

	FTL_TRY(ftl_hook_args_any(f, 2));
	FTL_TRY(want_kind(f, 0, FTL_SEQ_LIST));
	FTL_TRY(ftl_hook_want_tensor(f, 1));
	FTL_TRY(ftl_hook_want_same(f, 0, 1));
	if (ftl_infer_in(f, 1)->rank == 0)
		return ftl_infer_fail(f, "a scalar has no slices");
	x = ftl_seq_of(f->g, FTL_SEQ_LIST, ftl_infer_in(f, 1));
	x.rank--;
	for (int i = 0; i < x.rank; i++)
		x.dims[i] = x.dims[i + 1];
	s = ftl_seq_join(ftl_infer_in(f, 0)->seq, &x);
	ftl_infer_out_seq(f, 0, ftl_infer_in(f, 0)->dtype, &s);
	return FTL_OK;
}

ftl_status ftl_infer_op_seq_erase(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args_any(f, 1));
	FTL_TRY(want_kind(f, 0, FTL_SEQ_LIST));
	FTL_TRY(want_position(f, 1));
	ftl_infer_out_seq(f, 0, ftl_infer_in(f, 0)->dtype, ftl_infer_in(f, 0)->seq);
	return FTL_OK;
}

ftl_status ftl_infer_op_seq_at(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args_any(f, 2));
	FTL_TRY(want_kind(f, 0, FTL_SEQ_LIST));
	FTL_TRY(want_position(f, 1));
	return element(f, ftl_infer_in(f, 0));
}

ftl_status ftl_infer_op_seq_length(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args_any(f, 1));
	FTL_TRY(want_kind(f, 0, FTL_SEQ_LIST));
	return ftl_hook_out(f, 0, FTL_I64, 0, NULL);
}

ftl_status ftl_infer_op_seq_concat(ftl_infer *f)
{
	const struct ftl_attrs_seq_concat *a = FTL_ATTRS(ftl_infer_self(f), seq_concat);
	const ftl_type *old = &f->old[0].type;
	ftl_dim dims[FTL_MAX_RANK + 1];
	const ftl_type *t;
	int rank, axis;

	FTL_TRY(ftl_hook_args_any(f, 1));
	FTL_TRY(want_kind(f, 0, FTL_SEQ_LIST));
	t = ftl_infer_in(f, 0);
	if (t->seq->rank == FTL_SEQ_EMPTY && old->dtype == t->dtype && !old->seq)
		return as_before(f);
	if (t->seq->rank < 0)
		return ftl_infer_fail(f, "the rank of the sequence's elements is not known");
	rank = t->seq->rank + a->new_axis;
	FTL_TRY(ftl_infer_axis(f, a->axis, rank, &axis));
	for (int i = 0, k = 0; i < rank; i++) {
		int64_t d = a->new_axis && i == axis ? -1 : t->seq->dims[k++];

		dims[i] = d >= 0 && i != axis ? ftl_hook_const(f, d) : ftl_infer_fresh(f, 0, i, "items");
	}
	return ftl_hook_out(f, 0, t->dtype, rank, dims);
}

ftl_status ftl_infer_op_seq_split(ftl_infer *f)
{
	const struct ftl_attrs_seq_split *a = FTL_ATTRS(ftl_infer_self(f), seq_split);
	ftl_seq_type s, item;
	int64_t size;
	int axis;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(ftl_infer_axis(f, a->axis, ftl_infer_in(f, 0)->rank, &axis));
	s = item = ftl_seq_of(f->g, FTL_SEQ_LIST, ftl_infer_in(f, 0));
	s.dims[axis] = ftl_infer_has(f, 1) ? -1 : 1;
	if (ftl_infer_has(f, 1)) {
		const ftl_type *t = ftl_infer_in(f, 1);

		if ((t->dtype != FTL_I32 && t->dtype != FTL_I64) || t->rank > 1)
			return ftl_infer_fail(f,
					      "the sizes have type %s of rank %d, need a scalar or list of i32 or i64",
					      ftl_dtype_name(t->dtype), t->rank);
		if (t->rank == 0 && ftl_hook_elem(f, 1, 0) != FTL_DIM_NONE &&
		    ftl_dim_is_const(f->g->st, ftl_hook_elem(f, 1, 0), &size) && size < 1)
			return ftl_infer_fail(f, "size %lld makes no sense", (long long)size);
	} else if (!a->keepdims) {
		s.rank--;
		for (int i = axis; i < s.rank; i++)
			s.dims[i] = item.dims[i + 1];
	}
	ftl_infer_out_seq(f, 0, ftl_infer_in(f, 0)->dtype, &s);
	return FTL_OK;
}

ftl_status ftl_infer_op_opt_of(ftl_infer *f)
{
	const ftl_type *t;
	ftl_seq_type s;

	FTL_TRY(ftl_hook_args_any(f, 1));
	t = ftl_infer_in(f, 0);
	if (t->seq)
		FTL_TRY(want_kind(f, 0, FTL_SEQ_LIST));
	s = t->seq ? *t->seq : ftl_seq_of(f->g, FTL_SEQ_OPT, t);
	s.kind = t->seq ? FTL_SEQ_OPT_LIST : FTL_SEQ_OPT;
	ftl_infer_out_seq(f, 0, t->dtype, &s);
	return FTL_OK;
}

static ftl_status want_optional(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args_any(f, 1));
	if (!ftl_infer_in(f, 0)->seq || ftl_infer_in(f, 0)->seq->kind == FTL_SEQ_LIST)
		return ftl_infer_fail(f, "input 0 is no optional");
	return FTL_OK;
}

ftl_status ftl_infer_op_opt_has(ftl_infer *f)
{
	FTL_TRY(want_optional(f));
	return ftl_hook_out(f, 0, FTL_BOOL, 0, NULL);
}

ftl_status ftl_infer_op_opt_get(ftl_infer *f)
{
	ftl_seq_type s;

	FTL_TRY(want_optional(f));
	if (ftl_infer_in(f, 0)->seq->kind == FTL_SEQ_OPT)
		return element(f, ftl_infer_in(f, 0));
	s = *ftl_infer_in(f, 0)->seq;
	s.kind = FTL_SEQ_LIST;
	ftl_infer_out_seq(f, 0, ftl_infer_in(f, 0)->dtype, &s);
	return FTL_OK;
}
