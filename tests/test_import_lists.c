/* Lists that are inputs of the model: what can be said of the result at import, and where that is too little. What the
 * results hold is tested by the ONNX node tests and the fixtures. */
#include "onnx_build.h"

static Onnx__NodeProto *op(fix *f, const char *name, const char *in, const char *x, const char *list)
{
	Onnx__NodeProto *n = node(f, name, in, "y");

	f->opset[0].version = 18;
	input(f, "x", 1, x);
	input(f, "l", 7, list);
	output(f, "y");
	return n;
}

static void rank(fix *f, int want)
{
	good(f);
	assert_int_equal(result(f, 0)->rank, want);
}

static void reduced_axes_of_run_time_leave_a_known_rank(void **state)
{
	fix *f = *state;

	attr_i(f, op(f, "ReduceMax", "x l", "3,?b,5", "2"), "keepdims", 0);
	rank(f, 1);
	assert_true(has(f, "reduce_max"));
	assert_false(has(f, "if "));
}

static void number_of_reduced_axes_matters_without_keepdims(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = op(f, "ReduceLogSumExp", "x l", "3,?b,5", "?n");

	rank(f, 3);
	attr_i(f, n, "keepdims", 0);
	bad(f, FTL_ERR_UNSUPPORTED, "without keepdims, the number of axes must be known at import");
}

static void ranks_too_high_for_one_view_take_turns(void **state)
{
	fix *f = *state;

	op(f, "ReduceSum", "x l", "2,2,2,2,2,2,2,2,2,2,2,?b", "3");
	rank(f, 12);
}

static void slice_takes_everything_from_inputs(void **state)
{
	fix *f = *state;

	op(f, "Slice", "x l l l l", "?a,?b,5", "?n");
	rank(f, 3);
}

static void slice_with_unknown_starts_and_known_axes_keeps_the_other_dims(void **state)
{
	fix *f = *state;

	ints(f, "one", 1, (const int64_t[]){1});
	op(f, "Slice", "x l l one", "?a,?b,5", "1");
	good(f);
	assert_string_equal(result_shape(f, 0), "?a,?slice,5");
}

static void squeezed_axes_must_be_counted(void **state)
{
	fix *f = *state;

	op(f, "Squeeze", "x l", "1,?b,1", "2");
	rank(f, 1);
	f->graph.input[1] = info(f, "l", 7, "?n");
	bad(f, FTL_ERR_UNSUPPORTED, "the number of axes must be known at import");
	f->graph.input[1] = info(f, "l", 7, "4");
	bad(f, FTL_ERR_MODEL, "has 4 axes for an input of rank 3");
}

static void unsqueezed_rank_has_its_limit(void **state)
{
	fix *f = *state;

	op(f, "Unsqueeze", "x l", "1,?b,1", "2");
	rank(f, 5);
	f->graph.input[1] = info(f, "l", 7, "10");
	bad(f, FTL_ERR_LIMIT, "rank 13 is above the limit");
}

static void pads_of_unknown_axes_keep_the_rank(void **state)
{
	fix *f = *state;

	input(f, "p", 7, "4");
	op(f, "Pad", "x p - l", "1,?b,1", "2");
	rank(f, 3);
}

static void cumulated_axis_may_be_unknown(void **state)
{
	fix *f = *state;

	op(f, "CumSum", "x l", "3,?b,5", "");
	good(f);
	assert_string_equal(result_shape(f, 0), "3,?b,5");
}

static void transformed_axis_may_be_unknown(void **state)
{
	fix *f = *state;

	op(f, "DFT", "x - l", "3,?b,5,1", "");
	f->opset[0].version = 20;
	rank(f, 4);
}

static void frames_may_be_of_unknown_length(void **state)
{
	fix *f = *state;

	input(f, "s", 7, "");
	op(f, "STFT", "x s - l", "2,?n,1", "");
	rank(f, 4);
}

static void crop_or_pad_is_decided_by_sizes(void **state)
{
	fix *f = *state;

	op(f, "CenterCropPad", "x l", "?a,?b", "2");
	rank(f, 2);
	f->graph.input[1] = info(f, "l", 7, "3");
	bad(f, FTL_ERR_MODEL, "has 3 sizes for 2 axes");
}

static void image_of_unknown_size_has_its_rank(void **state)
{
	fix *f = *state;

	op(f, "Col2Im", "x l l", "1,12,?n", "2");
	rank(f, 4);
	assert_true(has(f, "scatter_nd"));
}

static void resize_to_unknown_sizes_may_keep_the_aspect_ratio(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = op(f, "Resize", "x - - l", "1,3,?h,?w", "2");
	Onnx__AttributeProto *a = attr(f, n, "axes", 7);

	PUSH(f, a->ints, a->n_ints, 2);
	PUSH(f, a->ints, a->n_ints, 3);
	attr_s(f, n, "keep_aspect_ratio_policy", "not_larger");
	rank(f, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reduced_axes_of_run_time_leave_a_known_rank),
		T(number_of_reduced_axes_matters_without_keepdims),
		T(ranks_too_high_for_one_view_take_turns),
		T(slice_takes_everything_from_inputs),
		T(slice_with_unknown_starts_and_known_axes_keeps_the_other_dims),
		T(squeezed_axes_must_be_counted),
		T(unsqueezed_rank_has_its_limit),
		T(pads_of_unknown_axes_keep_the_rank),
		T(cumulated_axis_may_be_unknown),
		T(transformed_axis_may_be_unknown),
		T(frames_may_be_of_unknown_length),
		T(crop_or_pad_is_decided_by_sizes),
		T(image_of_unknown_size_has_its_rank),
		T(resize_to_unknown_sizes_may_keep_the_aspect_ratio),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
