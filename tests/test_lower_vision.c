/* Detection and region ops: selected boxes, regions of images, moved convolutions. */
#include "support/lower_cases.h"

static const sample boxes[] = {
	{"boxes of two classes, the best first", "", "i64[?selected,3]",
	 " %b = const dense<[0,0,1,1, 0,0.1,1,1.1, 0,-0.1,1,0.9, 0,10,1,11, 0,10.1,1,11.1, 0,100,1,101]> : f32[1,6,4]\n"
	 " %s = const dense<[0.9,0.75,0.6,0.95,0.5,0.3, 0.1,0.2,0.3,0.1,0.4,0.5]> : f32[1,2,6]\n"
	 " %k = const dense<2> : i64[1]\n %t = const dense<0.5> : f32[1]\n %l = const dense<0.25> : f32[1]\n"
	 " %y = non_max_suppression %b, %s, %k, %t, %l : i64[?selected,3]",
	 NULL, NULL, "0,0,3,0,0,0,0,1,5,0,1,4", NULL},
	{"none wanted", "%b: f32[?a,?d,4], %s: f32[?a,?b,?d]", "i64[?selected,3]",
	 " %y = non_max_suppression %b, %s : i64[?selected,3]", NULL, NULL, "", NULL},
	{"many boxes", "%b: f32[?a,?d,4], %s: f32[?a,?b,?d], %k: i64[], %t: f32[], %l: f32[]", "i64[?selected,3]",
	 " %u = abs %t : f32[]\n %y = non_max_suppression %b, %s, %k, %u, %l : i64[?selected,3]", NULL, "30", NULL,
	 NULL},
	{"boxes by their centers", "%b: f32[?a,?d,4], %s: f32[?a,?b,?d], %k: i64[], %t: f32[]", "i64[?selected,3]",
	 " %y = non_max_suppression %b, %s, %k, %t {center_point_box=true} : i64[?selected,3]", NULL, "9", NULL, NULL},
	{"boxes without four corners", "%b: f32[?a,?d,?b], %s: f32[?a,?b,?d]", "i64[?selected,3]",
	 " %y = non_max_suppression %b, %s : i64[?selected,3]", NULL, NULL, NULL, "4 coordinates"},
};

static const sample regions[] = {
	{"roi_align", "%x: f32[?a,?b,?c,?d], %r: f32[?c,4], %i: i64[?c]", "f32[?c,?b,3,11]",
	 " %y = roi_align %x, %r, %i {height=3, width=11} : f32[?c,?b,3,11]", NULL, "0,1,2,0,-1,1,2", NULL, NULL},
	{"roi_align, the largest of fixed samples", "%x: f64[?a,?b,?c,?d], %r: f64[?c,4], %i: i64[?c]",
	 "f64[?c,?b,2,5]",
	 " %y = roi_align %x, %r, %i {height=2, width=5, mode=\"max\", coordinate=\"output_half_pixel\", "
	 "sampling_ratio=3, spatial_scale=2.5} : f64[?c,?b,2,5]",
	 NULL, "0,1,2,0,2,1,2", NULL, NULL},
	{"a region of an image that is not there", "%x: f32[?a,?b,?c,?d], %r: f32[1,4], %i: i64[1]", "f32[1,?b,1,1]",
	 " %y = roi_align %x, %r, %i : f32[1,?b,1,1]", NULL, "3", NULL, "index out of range"},
	{"regions of nothing", "%x: f32[?a,?b,?zero,?d], %r: f32[1,4], %i: i64[1]", "f32[1,?b,1,1]",
	 " %y = roi_align %x, %r, %i : f32[1,?b,1,1]", NULL, "0", NULL, "empty"},
	{"a region of absurd size", "%x: f32[?a,?b,?c,?d], %i: i64[1]", "f32[1,?b,1,1]",
	 " %r = const dense<[0,0,1e30,1e30]> : f32[1,4]\n %y = roi_align %x, %r, %i : f32[1,?b,1,1]", NULL, "0", NULL,
	 "too large"},
	{"max_roi_pool", "%x: f32[?a,?b,?c,?d]", "f32[2,?b,3,4]",
	 " %r = const dense<[0,1,1,20,5, 2,4.5,0,36,6]> : f32[2,5]\n %y = max_roi_pool %x, %r {pooled=[3,4]} : "
	 "f32[2,?b,3,4]",
	 NULL, NULL, NULL, NULL},
};

static const sample deformed[] = {
	{"deform_conv", "%x: f32[?a,4,?c,?d], %w: f32[6,2,3,3], %o: f32[?a,36,?c,?d], %b: f32[6], %m: f32[?a,18,?c,?d]",
	 "f32[?a,6,?c,?d]",
	 " %z = deform_conv %x, %w, %o, %b, %m {strides=[1,1], pads=[1,1,1,1], dilations=[1,1], group=2, "
	 "offset_group=2} : f32[?a,6,?c,?d]\n %y = relu %z : f32[?a,6,?c,?d]",
	 NULL, NULL, NULL, NULL},
	{"deform_conv along one axis", "%x: f64[?a,3,?d], %w: f64[5,3,4], %o: f64[?a,4,div(?d,2)]",
	 "f64[?a,5,div(?d,2)]",
	 " %y = deform_conv %x, %w, %o {strides=[2], pads=[1,1], dilations=[1]} : f64[?a,5,div(?d,2)]", NULL, NULL,
	 NULL, NULL},
	{"offsets of another size", "%x: f32[?a,4,?c,?d], %w: f32[6,4,3,3], %o: f32[?a,?b,?c,?d]", "f32[?a,6,?c,?d]",
	 " %y = deform_conv %x, %w, %o {strides=[1,1], pads=[1,1,1,1], dilations=[1,1]} : f32[?a,6,?c,?d]", NULL, NULL,
	 NULL, "do not fit the kernel"},
};

static void boxes_are_selected_alike_on_all_targets(void **state)
{
	run(*state, boxes, FTL_COUNT(boxes));
}

static void regions_are_pooled_alike_on_all_targets(void **state)
{
	run(*state, regions, FTL_COUNT(regions));
}

static void moved_convolutions_agree_on_all_targets(void **state)
{
	run(*state, deformed, FTL_COUNT(deformed));
}

/* Each operand is within limits, what lies between them and the result is beyond counting. */
static void scratch_beyond_counting_is_no_crash(void **state)
{
	static const char text[] =
		"func @f(%x: f32[1,1,8589934592], %w: f32[1,1,8589934592]) -> (f32[1,1,17179869183]) {\n"
		" %y = conv_transpose %x, %w : f32[1,1,17179869183]\n return %y\n}\n";
	struct fix *f = *state;
	ftl_kmodule *m = NULL;
	ftl_graph *g = NULL;

	assert_int_equal(ftl_parse(&f->arena, text, sizeof text - 1, NULL, &f->diag, &g), FTL_OK);
	for (size_t i = 0; ftl_target_at(i); i++) {
		ftl_lower_options o = {.target = ftl_target_at(i)};

		assert_int_equal(ftl_lower(&f->arena, g, &o, &f->diag, &m), FTL_OK);
		assert_true(m->msgs.n > 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(boxes_are_selected_alike_on_all_targets, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(regions_are_pooled_alike_on_all_targets, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(scratch_beyond_counting_is_no_crash, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(moved_convolutions_agree_on_all_targets, lower_setup, lower_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
