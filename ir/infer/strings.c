/* Strings: constants, conversions, concatenation, splitting. */
#include "base/regex.h"
#include "hooks.h"

static ftl_status want_string(ftl_infer *f, uint32_t k)
{
	if (ftl_infer_in(f, k)->dtype != FTL_STRING)
		return ftl_infer_fail(f, "input %u has element type %s, which should be string", k,
				      ftl_dtype_name(ftl_infer_in(f, k)->dtype));
	return FTL_OK;
}

ftl_status ftl_infer_op_strings(ftl_infer *f)
{
	const struct ftl_attrs_strings *a = FTL_ATTRS(ftl_infer_self(f), strings);
	ftl_dim dims[FTL_MAX_RANK];
	int64_t n = 1;

	if (a->dims.n > FTL_MAX_RANK)
		return ftl_infer_fail(f, "has more than %d axes", FTL_MAX_RANK);
	for (uint32_t i = 0; i < a->dims.n; i++) {
		if (a->dims.v[i] < 0 || __builtin_mul_overflow(n, a->dims.v[i], &n))
			return ftl_infer_fail(f, "axis %u has size %lld", i, (long long)a->dims.v[i]);
		dims[i] = ftl_hook_const(f, a->dims.v[i]);
	}
	if (n != (int64_t)a->values.n)
		return ftl_infer_fail(f, "has %u values for %lld elements", a->values.n, (long long)n);
	return ftl_hook_out(f, 0, FTL_STRING, (int)a->dims.n, dims);
}

ftl_status ftl_infer_op_string_to(ftl_infer *f)
{
	ftl_dtype to = FTL_ATTRS(ftl_infer_self(f), string_to)->to;
	const ftl_type *t;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(want_string(f, 0));
	FTL_TRY(ftl_hook_dtype_ok(f, to));
	if (to == FTL_STRING)
		return ftl_infer_fail(f, "makes numbers");
	t = ftl_infer_in(f, 0);
	return ftl_hook_out(f, 0, to, t->rank, t->dims);
}

ftl_status ftl_infer_op_string_from(ftl_infer *f)
{
	const ftl_type *t;

	FTL_TRY(ftl_hook_args(f, 1));
	t = ftl_infer_in(f, 0);
	if (t->dtype == FTL_STRING)
		return ftl_infer_fail(f, "takes numbers");
	return ftl_hook_out(f, 0, FTL_STRING, t->rank, t->dims);
}

ftl_status ftl_infer_op_string_case(ftl_infer *f)
{
	const ftl_type *t;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(want_string(f, 0));
	t = ftl_infer_in(f, 0);
	return ftl_hook_out(f, 0, FTL_STRING, t->rank, t->dims);
}

ftl_status ftl_infer_op_string_match(ftl_infer *f)
{
	const struct ftl_attrs_string_match *a = FTL_ATTRS(ftl_infer_self(f), string_match);
	const ftl_type *t;
	ftl_diag why = {0};
	ftl_str program;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(want_string(f, 0));
	if (a->pattern.n != 1)
		return ftl_infer_fail(f, "has %u patterns", a->pattern.n);
	if (ftl_regex_compile(f->g->arena, a->pattern.v, &why, &program) != FTL_OK)
		return ftl_infer_fail(f, "%s", why.text);
	t = ftl_infer_in(f, 0);
	return ftl_hook_out(f, 0, FTL_BOOL, t->rank, t->dims);
}

ftl_status ftl_infer_op_string_concat(ftl_infer *f)
{
	FTL_TRY(ftl_hook_args(f, 2));
	FTL_TRY(want_string(f, 0));
	FTL_TRY(want_string(f, 1));
	return ftl_hook_out_broadcast(f, 0, FTL_STRING, 2);
}

ftl_status ftl_infer_op_string_split(ftl_infer *f)
{
	const struct ftl_attrs_string_split *a = FTL_ATTRS(ftl_infer_self(f), string_split);
	ftl_dim dims[FTL_MAX_RANK];
	const ftl_type *t;

	FTL_TRY(ftl_hook_args(f, 1));
	FTL_TRY(want_string(f, 0));
	t = ftl_infer_in(f, 0);
	if (a->delimiter.n > 1 || a->max_split < 0)
		return ftl_infer_fail(f, "has %u delimiters and a limit of %lld", a->delimiter.n,
				      (long long)a->max_split);
	if (t->rank >= FTL_MAX_RANK)
		return ftl_infer_fail(f, "its result has more than %d axes", FTL_MAX_RANK);
	ftl_hook_copy(dims, t->dims, t->rank);
	dims[t->rank] = ftl_infer_fresh(f, 0, t->rank, "pieces");
	FTL_TRY(ftl_hook_out(f, 0, FTL_STRING, t->rank + 1, dims));
	return ftl_hook_out(f, 1, FTL_I64, t->rank, t->dims);
}
