/* ONNX in: what is accepted, what it becomes, what is refused and with which words. */
#include "onnx_build.h"

/* ---- reading ---- */

static void simple_op_keeps_attributes_and_location(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = node(f, "Softmax", "x", "y");

	n->name = (char *)"/enc/0/Softmax";
	input(f, "x", 1, "?b,4,8");
	output(f, "y");
	good(f);
	assert_true(has(f, "softmax"));
	assert_true(has(f, "/enc/0/Softmax"));
	assert_string_equal(result_shape(f, 0), "?b,4,8");
}

static void error_names_file_node_op_opset_and_reason(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = node(f, "Softmax", "x", "y");

	n->name = (char *)"/enc/0/Softmax";
	attr_i(f, n, "axis", 7);
	input(f, "x", 1, "?b,4,8");
	output(f, "y");
	bad(f, FTL_ERR_MODEL, "m.onnx: node \"/enc/0/Softmax\" (Softmax, opset 13): axis 7 is out of range for rank 3");
	n->name = NULL;
	bad(f, FTL_ERR_MODEL, "node \"Softmax_0\" (Softmax, opset 13)");
}

static void error_of_inference_is_worded_the_same(void **state)
{
	fix *f = *state;

	node(f, "Add", "x y", "z")->name = (char *)"sum";
	input(f, "x", 1, "3");
	input(f, "y", 1, "4");
	output(f, "z");
	bad(f, FTL_ERR_MODEL, "m.onnx: node \"sum\" (Add, opset 13): ");
	assert_null(strstr(f->d.text, "(add)"));
}

static void all_unsupported_operators_are_listed(void **state)
{
	fix *f = *state;

	node(f, "Foo", "x", "a");
	node(f, "Foo", "a", "b");
	node(f, "Bar", "b", "c")->domain = (char *)"com.microsoft";
	node(f, "Relu", "c", "y");
	input(f, "x", 1, "3");
	output(f, "y");
	bad(f, FTL_ERR_UNSUPPORTED, "unsupported operators: Foo (2 nodes, first ");
}

static void unsorted_nodes_are_sorted_and_sorted_ones_stay(void **state)
{
	fix *f = *state;

	node(f, "Exp", "c", "y");
	node(f, "Neg", "b", "c");
	node(f, "Relu", "x", "b");
	input(f, "x", 1, "3");
	output(f, "y");
	good(f);
	const char *t = printed(f, f->g);
	assert_true(strstr(t, "relu") < strstr(t, "neg") && strstr(t, "neg") < strstr(t, "exp"));
}

static void cycle_is_refused(void **state)
{
	fix *f = *state;

	node(f, "Add", "x b", "a");
	node(f, "Neg", "a", "b");
	input(f, "x", 1, "3");
	output(f, "a");
	bad(f, FTL_ERR_MODEL, "cycle");
}

static void undefined_and_doubled_names_are_refused(void **state)
{
	fix *f = *state;

	node(f, "Neg", "nobody", "y");
	input(f, "x", 1, "3");
	output(f, "y");
	bad(f, FTL_ERR_MODEL, "\"nobody\", is not defined");
	f->graph.node[0]->input[0] = (char *)"x";
	node(f, "Abs", "x", "y");
	bad(f, FTL_ERR_MODEL, "\"y\" is defined twice");
}

static void input_without_shape_needs_an_option(void **state)
{
	fix *f = *state;
	ftl_import_shape shape = {"x", 2, (const int64_t[]){3, -1}};

	node(f, "Neg", "x", "y");
	input(f, "x", 1, NULL);
	output(f, "y");
	bad(f, FTL_ERR_MODEL, "input \"x\" has no shape");
	f->opt.shapes = &shape;
	f->opt.n_shapes = 1;
	good(f);
	assert_string_equal(result_shape(f, 0), "3,?x_1");
}

static void given_shape_fixes_its_symbols_everywhere(void **state)
{
	fix *f = *state;
	ftl_import_shape shape = {"x", 2, (const int64_t[]){-1, 5}};

	node(f, "Neg", "x", "y");
	node(f, "Neg", "m", "n");
	input(f, "x", 1, "?b,?s");
	input(f, "m", 1, "?b,?s");
	output(f, "y");
	output(f, "n");
	f->opt.shapes = &shape;
	f->opt.n_shapes = 1;
	good(f);
	assert_string_equal(result_shape(f, 0), "?b,5");
	assert_string_equal(result_shape(f, 1), "?b,5");
}

static void sum_of_dims_in_a_dim_param_is_a_sum(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = node(f, "Concat", "p x", "y");

	attr_i(f, n, "axis", 0);
	node(f, "Add", "y m", "z");
	input(f, "p", 1, "?past");
	input(f, "x", 1, "?seq");
	input(f, "m", 1, "?past + seq");
	output(f, "z");
	good(f);
	assert_ptr_equal(result(f, 0)->dims[0],
			 ftl_dim_add(f->g->st, ftl_dim_sym(f->g->st, "past"), ftl_dim_sym(f->g->st, "seq")));
}

static void initializer_that_is_an_input_is_a_constant_unless_overridable(void **state)
{
	fix *f = *state;
	const char *over[] = {"w"};
	float w = 2;

	node(f, "Mul", "x w", "y");
	input(f, "x", 1, "3");
	input(f, "w", 1, "1");
	weight(f, "w", 1, 1, &w, 4);
	output(f, "y");
	good(f);
	assert_int_equal(ftl_region_get(f->g, f->g->body)->params.n, 1);
	f->opt.overridable = over;
	f->opt.n_overridable = 1;
	good(f);
	assert_int_equal(ftl_region_get(f->g, f->g->body)->params.n, 2);
}

static void input_given_as_a_constant_is_known(void **state)
{
	fix *f = *state;
	int64_t axis = 1;
	ftl_pb_tensor t = {.name = "a", .dtype = FTL_I64, .data = &axis, .bytes = 8};

	node(f, "CumSum", "x a", "y");
	input(f, "x", 1, "3,4");
	input(f, "a", 7, "");
	output(f, "y");
	good(f);
	assert_true(has(f, "reshape"));
	f->opt.constants = &t;
	f->opt.n_constants = 1;
	good(f);
	assert_false(has(f, "reshape"));
}

static void shape_arithmetic_becomes_attributes(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n;

	ints(f, "zero", 1, (const int64_t[]){0});
	ints(f, "rest", 1, (const int64_t[]){-1});
	node(f, "Shape", "x", "s");
	node(f, "Gather", "s zero", "b");
	n = node(f, "Concat", "b rest", "t");
	attr_i(f, n, "axis", 0);
	node(f, "Reshape", "x t", "y");
	input(f, "x", 1, "?b,4,8");
	output(f, "y");
	good(f);
	assert_string_equal(result_shape(f, 0), "?b,32");
	assert_int_equal(count_nodes(f), 1); /* only the reshape is left */
	f->opt.keep_dead = true;
	good(f);
	assert_true(count_nodes(f) > 4);
}

static void old_forms_of_ops_are_read(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = node(f, "TopK", "x", "v i");
	Onnx__AttributeProto *a;

	f->opset[0].version = 7;
	attr_i(f, n, "k", 2);
	n = node(f, "Slice", "v", "s");
	a = attr(f, n, "starts", 7);
	PUSH(f, a->ints, a->n_ints, 0);
	a = attr(f, n, "ends", 7);
	PUSH(f, a->ints, a->n_ints, 1);
	node(f, "Softmax", "s", "y"); /* over both axes of [1,2] */
	input(f, "x", 1, "3,4");
	output(f, "y");
	good(f);
	assert_string_equal(result_shape(f, 0), "1,2");
	f->opset[0].version = 6;
	node(f, "Add", "x x", "q");
	bad(f, FTL_ERR_UNSUPPORTED, "Add of opset 6 (1 node");
}

static void missing_opset_import_is_told_from_the_ir_version(void **state)
{
	fix *f = *state;

	f->opset[0].domain = (char *)"com.microsoft";
	f->opset[0].version = 1;
	f->model.ir_version = 7;
	attr_i(f, node(f, "Softmax", "x", "y"), "axis", 9);
	input(f, "x", 1, "3,4");
	output(f, "y");
	bad(f, FTL_ERR_MODEL, "(Softmax, opset 14)");
}

static void declared_output_type_must_be_right(void **state)
{
	fix *f = *state;

	node(f, "IsNaN", "x", "y");
	input(f, "x", 1, "3");
	PUSH(f, f->graph.output, f->graph.n_output, info(f, "y", 1, NULL));
	bad(f, FTL_ERR_MODEL, "graph output \"y\" is declared with element type float, but is bool");
}

static void dropout_is_the_identity_unless_training(void **state)
{
	fix *f = *state;
	uint8_t on = 1, off = 0;

	node(f, "Dropout", "x - t", "y m");
	input(f, "x", 1, "3,4");
	weight(f, "t", 9, -1, &off, 1);
	output(f, "y");
	output(f, "m");
	good(f);
	assert_int_equal(result(f, 1)->dtype, FTL_BOOL);
	memcpy(f->graph.initializer[0]->raw_data.data, &on, 1);
	good(f);
	assert_true(has(f, "random_uniform"));
	assert_int_equal(result(f, 1)->dtype, FTL_BOOL);
}

static void resize_knows_its_modes(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = node(f, "Resize", "x r s", "y");
	const float s[3] = {1, 2, 0.5f};

	weight(f, "r", 1, 0, s, 0);
	weight(f, "s", 1, 3, s, sizeof s);
	input(f, "x", 1, "1,?h,8");
	output(f, "y");
	f->opset[0].version = 11;
	attr_s(f, n, "coordinate_transformation_mode", "tf_half_pixel_for_nn");
	good(f);
	attr_s(f, n, "nearest_mode", "sideways");
	bad(f, FTL_ERR_MODEL, "nearest_mode \"sideways\" is unknown");
	/* opset 10 rounds down where an axis grows and up where it shrinks: two steps */
	f->opset[0].version = 10;
	n->n_attribute = 0;
	n->n_input = 2;
	n->input[1] = (char *)"s";
	good(f);
	assert_true(has(f, "nearest=\"ceil\"") && has(f, "nearest=\"floor\""));
	assert_string_equal(result_shape(f, 0), "1,2*?h,4");
}

/* Two nodes without a seed are not the same numbers twice. */
static void random_nodes_get_a_seed_each(void **state)
{
	fix *f = *state;
	Onnx__AttributeProto *a;
	const char *text, *first, *second;

	f->opset[0].version = 15;
	for (int i = 0; i < 2; i++) {
		Onnx__NodeProto *n = node(f, "RandomUniform", "", i ? "b" : "a");
		a = attr(f, n, "shape", 7);
		PUSH(f, a->ints, a->n_ints, 3);
	}
	node(f, "Sub", "a b", "y");
	output(f, "y");
	good(f);
	text = printed(f, f->g);
	first = strstr(text, "seed=");
	second = first ? strstr(first + 1, "seed=") : NULL;
	assert_non_null(second);
	assert_int_not_equal(atoll(first + 5), atoll(second + 5));
}

static void losses_take_what_fits_the_scores(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = node(f, "SoftmaxCrossEntropyLoss", "x t w", "y p");

	input(f, "x", 1, "?b,10,?s");
	input(f, "t", 7, "?b,?s");
	input(f, "w", 1, "10");
	output(f, "y");
	output(f, "p");
	good(f);
	assert_string_equal(result_shape(f, 0), "");
	assert_string_equal(result_shape(f, 1), "?b,10,?s");
	attr_s(f, n, "reduction", "none");
	good(f);
	assert_string_equal(result_shape(f, 0), "?b,?s");
	f->graph.input[1] = info(f, "t", 7, "?b");
	bad(f, FTL_ERR_MODEL, "the target has rank 1, needs 2");
}

static void optimizer_inputs_come_in_equal_lists(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = node(f, "Adam", "r t x g v h", "y v2 h2");

	n->domain = (char *)"ai.onnx.preview.training";
	f->opset[1].domain = n->domain;
	f->opset[1].version = 1;
	f->model.n_opset_import = 2;
	for (const char *const *p = (const char *const[]){"r", "x", "g", "v", "h", NULL}; *p; p++)
		input(f, *p, 1, **p == 'r' ? "" : "?n,4");
	input(f, "t", 7, "");
	output(f, "y");
	good(f);
	assert_string_equal(result_shape(f, 0), "?n,4");
	n->n_input = 5;
	bad(f, FTL_ERR_MODEL, "has 5 inputs and 3 outputs");
}

static void sequences_are_followed(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n;

	node(f, "SequenceEmpty", "", "s0");
	node(f, "SequenceInsert", "s0 x", "s1");
	node(f, "SequenceInsert", "s1 x", "s2");
	n = node(f, "ConcatFromSequence", "s2", "y");
	attr_i(f, n, "axis", 1);
	attr_i(f, n, "new_axis", 1);
	input(f, "x", 1, "3,4");
	output(f, "y");
	good(f);
	assert_string_equal(result_shape(f, 0), "3,2,4");
}

/* ---- subgraphs, functions ---- */

static void names_shadow_in_subgraphs(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n;
	Onnx__GraphProto *g;

	n = node(f, "If", "c", "y");
	for (int i = 0; i < 2; i++) {
		g = subgraph(f, n, i ? "else_branch" : "then_branch");
		node_in(f, g, i ? "Abs" : "Neg", "x", "t"); /* t hides the t outside */
		PUSH(f, g->output, g->n_output, info(f, "t", 1, NULL));
	}
	node(f, "Exp", "y", "t");
	input(f, "x", 1, "3");
	input(f, "c", 9, "");
	output(f, "t");
	good(f);
	assert_true(has(f, "neg") && has(f, "abs") && has(f, "if"));
}

static void known_condition_picks_its_branch(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n;
	Onnx__GraphProto *g;
	uint8_t no = 0;

	weight(f, "c", 9, -1, &no, 1);
	n = node(f, "If", "c", "y");
	for (int i = 0; i < 2; i++) {
		g = subgraph(f, n, i ? "else_branch" : "then_branch");
		node_in(f, g, i ? "Abs" : "Neg", "x", "t");
		PUSH(f, g->output, g->n_output, info(f, "t", 1, NULL));
	}
	input(f, "x", 1, "3");
	output(f, "y");
	good(f);
	assert_true(has(f, "abs") && !has(f, "neg"));
}

static void loop_variable_that_grows_gets_a_symbol(void **state)
{
	fix *f = *state;

	loop_of(f, "Concat", "v x");
	good(f);
	assert_int_equal(ftl_dim_get(f->g->st, result(f, 0)->dims[0])->kind, FTL_DIM_SYM);
	assert_true(ftl_dim_is_const(f->g->st, result(f, 0)->dims[1], NULL));
}

static void loop_variable_that_stays_is_its_initial_value(void **state)
{
	fix *f = *state;

	loop_of(f, "Identity", "v");
	good(f);
	assert_false(has(f, "loop"));
	assert_string_equal(result_shape(f, 0), "3,4");
}

static void function_is_inlined_with_its_attributes(void **state)
{
	fix *f = *state;
	Onnx__FunctionProto *fn = function(f, "Norm");
	Onnx__NodeProto *n = in_function(f, fn, "Softmax", "a", "r");

	attr_ref(f, n, "axis", "along");
	n = node(f, "Norm", "x", "y");
	n->domain = (char *)"local";
	n->name = (char *)"call";
	attr_i(f, n, "along", 0);
	input(f, "x", 1, "3,4");
	output(f, "y");
	good(f);
	assert_true(has(f, "axis=0") && has(f, "call/Softmax_0"));
	f->graph.node[0]->attribute[0]->i = 5;
	bad(f, FTL_ERR_MODEL, "node \"call/Softmax_0\" (Softmax, opset 13): axis 5 is out of range for rank 2");
}

static void function_that_calls_itself_is_refused(void **state)
{
	fix *f = *state;
	Onnx__FunctionProto *fn = function(f, "F");

	in_function(f, fn, "F", "a", "r")->domain = (char *)"local";
	node(f, "F", "x", "y")->domain = (char *)"local";
	input(f, "x", 1, "3");
	output(f, "y");
	bad(f, FTL_ERR_MODEL, "function F calls itself");
}

/* f0 calls f1 twice, f1 calls f2 twice, ...: 2^30 nodes */
static void inlining_that_explodes_hits_the_limit(void **state)
{
	fix *f = *state;
	Onnx__FunctionProto *fn;

	for (int i = 0; i <= 30; i++) {
		fn = function(f, ftl_arena_printf(&f->arena, "f%d", i));
		if (i == 30) {
			in_function(f, fn, "Neg", "a", "r");
			break;
		}
		char *next = ftl_arena_printf(&f->arena, "f%d", i + 1);
		in_function(f, fn, next, "a", "t")->domain = (char *)"local";
		in_function(f, fn, next, "t", "r")->domain = (char *)"local";
	}
	node(f, "f0", "x", "y")->domain = (char *)"local";
	input(f, "x", 1, "3");
	output(f, "y");
	f->opt.max_nodes = 1000;
	bad(f, FTL_ERR_LIMIT, "max_nodes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(simple_op_keeps_attributes_and_location),
		T(error_names_file_node_op_opset_and_reason),
		T(error_of_inference_is_worded_the_same),
		T(all_unsupported_operators_are_listed),
		T(unsorted_nodes_are_sorted_and_sorted_ones_stay),
		T(cycle_is_refused),
		T(undefined_and_doubled_names_are_refused),
		T(input_without_shape_needs_an_option),
		T(given_shape_fixes_its_symbols_everywhere),
		T(sum_of_dims_in_a_dim_param_is_a_sum),
		T(initializer_that_is_an_input_is_a_constant_unless_overridable),
		T(input_given_as_a_constant_is_known),
		T(shape_arithmetic_becomes_attributes),
		T(old_forms_of_ops_are_read),
		T(missing_opset_import_is_told_from_the_ir_version),
		T(declared_output_type_must_be_right),
		T(dropout_is_the_identity_unless_training),
		T(resize_knows_its_modes),
		T(random_nodes_get_a_seed_each),
		T(losses_take_what_fits_the_scores),
		T(optimizer_inputs_come_in_equal_lists),
		T(sequences_are_followed),
		T(names_shadow_in_subgraphs),
		T(known_condition_picks_its_branch),
		T(loop_variable_that_grows_gets_a_symbol),
		T(loop_variable_that_stays_is_its_initial_value),
		T(function_is_inlined_with_its_attributes),
		T(function_that_calls_itself_is_refused),
		T(inlining_that_explodes_hits_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
