/* ONNX in and out: what is accepted, what is refused and with which words, and that a graph survives the way out and
 * back. Models are put together here through protobuf-c; nothing is read from outside the working folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "frontend/onnx.h"
#include "onnx.pb-c.h"

typedef struct fix {
	ftl_arena arena;
	ftl_landing landing;
	ftl_diag d;
	Onnx__ModelProto model;
	Onnx__GraphProto graph;
	Onnx__OperatorSetIdProto opset[4], *opsets[4];
	ftl_import_options opt;
	ftl_graph *g;
} fix;

static int setup(void **state)
{
	fix *f = calloc(1, sizeof *f);

	*state = f;
	ftl_arena_init(&f->arena, NULL, &f->landing, 0);
	onnx__model_proto__init(&f->model);
	onnx__graph_proto__init(&f->graph);
	f->model.graph = &f->graph;
	f->model.has_ir_version = true;
	f->model.ir_version = 8;
	f->model.opset_import = f->opsets;
	f->graph.name = (char *)"g";
	for (int i = 0; i < 4; i++) {
		onnx__operator_set_id_proto__init(&f->opset[i]);
		f->opsets[i] = &f->opset[i];
		f->opset[i].has_version = true;
	}
	f->opset[0].version = 13;
	f->model.n_opset_import = 1;
	return 0;
}

static int teardown(void **state)
{
	fix *f = *state;

	ftl_arena_free(&f->arena);
	free(f);
	return 0;
}

/* ---- building ---- */

#define PUSH(f, list, n, x)                                                                                            \
	do {                                                                                                           \
		void *grown_ = ftl_arena_alloc(&(f)->arena, ((n) + 1) * sizeof *(list));                               \
		if (n)                                                                                                 \
			memcpy(grown_, (list), (n) * sizeof *(list));                                                  \
		(list) = grown_;                                                                                       \
		(list)[(n)++] = (x);                                                                                   \
	} while (0)

static char **names(fix *f, const char *list, size_t *n)
{
	char **v = NULL;

	for (*n = 0; *list;) {
		size_t len = strcspn(list, " ");
		char *s = ftl_arena_strn(&f->arena, list, len);
		if (!strcmp(s, "-"))
			*s = 0;
		PUSH(f, v, *n, s);
		list += len + (list[len] == ' ');
	}
	return v;
}

static Onnx__NodeProto *node_in(fix *f, Onnx__GraphProto *g, const char *op, const char *in, const char *out)
{
	Onnx__NodeProto *n = FTL_NEW(&f->arena, Onnx__NodeProto);

	onnx__node_proto__init(n);
	n->op_type = (char *)op;
	n->input = names(f, in, &n->n_input);
	n->output = names(f, out, &n->n_output);
	PUSH(f, g->node, g->n_node, n);
	return n;
}

static Onnx__NodeProto *node(fix *f, const char *op, const char *in, const char *out)
{
	return node_in(f, &f->graph, op, in, out);
}

static Onnx__AttributeProto *attr(fix *f, Onnx__NodeProto *n, const char *name, int type)
{
	Onnx__AttributeProto *a = FTL_NEW(&f->arena, Onnx__AttributeProto);

	onnx__attribute_proto__init(a);
	a->name = (char *)name;
	a->has_type = true;
	a->type = type;
	PUSH(f, n->attribute, n->n_attribute, a);
	return a;
}

static void attr_i(fix *f, Onnx__NodeProto *n, const char *name, int64_t v)
{
	Onnx__AttributeProto *a = attr(f, n, name, 2);

	a->has_i = true;
	a->i = v;
}

static void attr_ref(fix *f, Onnx__NodeProto *n, const char *name, const char *ref)
{
	attr(f, n, name, 2)->ref_attr_name = (char *)ref;
}

static void attr_s(fix *f, Onnx__NodeProto *n, const char *name, const char *v)
{
	Onnx__AttributeProto *a = attr(f, n, name, 3);

	a->has_s = true;
	a->s = (ProtobufCBinaryData){strlen(v), (uint8_t *)v};
}

/* dims: "2,?b,4"; NULL for no shape at all, "" for a scalar */
static Onnx__ValueInfoProto *info(fix *f, const char *name, int type, const char *dims)
{
	Onnx__ValueInfoProto *v = FTL_NEW(&f->arena, Onnx__ValueInfoProto);

	onnx__value_info_proto__init(v);
	v->name = (char *)name;
	v->type = FTL_NEW(&f->arena, Onnx__TypeProto);
	onnx__type_proto__init(v->type);
	v->type->tensor_type = FTL_NEW(&f->arena, Onnx__TypeProto__Tensor);
	onnx__type_proto__tensor__init(v->type->tensor_type);
	v->type->tensor_type->has_elem_type = true;
	v->type->tensor_type->elem_type = type;
	if (!dims)
		return v;
	Onnx__TensorShapeProto *s = v->type->tensor_type->shape = FTL_NEW(&f->arena, Onnx__TensorShapeProto);
	onnx__tensor_shape_proto__init(s);
	while (*dims) {
		size_t len = strcspn(dims, ",");
		Onnx__TensorShapeProto__Dimension *d = FTL_NEW(&f->arena, Onnx__TensorShapeProto__Dimension);
		onnx__tensor_shape_proto__dimension__init(d);
		if (*dims == '?') {
			d->dim_param = ftl_arena_strn(&f->arena, dims + 1, len - 1);
		} else {
			d->has_dim_value = true;
			d->dim_value = atoll(dims);
		}
		PUSH(f, s->dim, s->n_dim, d);
		dims += len + (dims[len] == ',');
	}
	return v;
}

static void input(fix *f, const char *name, int type, const char *dims)
{
	PUSH(f, f->graph.input, f->graph.n_input, info(f, name, type, dims));
}

static void output(fix *f, const char *name)
{
	PUSH(f, f->graph.output, f->graph.n_output, info(f, name, 1, NULL));
}

static Onnx__TensorProto *tensor(fix *f, const char *name, int type, int64_t n, const void *raw, size_t bytes)
{
	Onnx__TensorProto *t = FTL_NEW(&f->arena, Onnx__TensorProto);

	onnx__tensor_proto__init(t);
	t->name = (char *)name;
	t->has_data_type = true;
	t->data_type = type;
	if (n >= 0)
		PUSH(f, t->dims, t->n_dims, n);
	if (raw) {
		t->has_raw_data = true;
		t->raw_data = (ProtobufCBinaryData){bytes, ftl_arena_dup(&f->arena, raw, bytes)};
	}
	return t;
}

static Onnx__TensorProto *weight(fix *f, const char *name, int type, int64_t n, const void *raw, size_t bytes)
{
	Onnx__TensorProto *t = tensor(f, name, type, n, raw, bytes);

	PUSH(f, f->graph.initializer, f->graph.n_initializer, t);
	return t;
}

static void ints(fix *f, const char *name, int64_t n, const int64_t *v)
{
	weight(f, name, 7, n, v, (size_t)n * 8);
}

/* ---- importing ---- */

static ftl_status_code try_bytes(fix *f, const void *p, size_t n)
{
	ftl_diag_clear(&f->d);
	return ftl_onnx_import_memory(&f->arena, p, n, "dir/m.onnx", NULL, &f->opt, &f->d, &f->g);
}

static ftl_status_code try_import(fix *f)
{
	size_t n = onnx__model_proto__get_packed_size(&f->model);
	uint8_t *buf = ftl_arena_alloc(&f->arena, n + 1);

	onnx__model_proto__pack(&f->model, buf);
	return try_bytes(f, buf, n);
}

static char *printed(fix *f, const ftl_graph *g)
{
	ftl_text t;

	ftl_text_init(&t, &f->arena);
	ftl_print(g, &t);
	return t.v;
}

static void good(fix *f)
{
	if (try_import(f) != FTL_OK || ftl_verify(f->g, &f->d) != FTL_OK)
		fail_msg("%s", f->d.text);
}

static void bad(fix *f, ftl_status_code code, const char *text)
{
	ftl_status_code rc = try_import(f);

	assert_int_equal(rc, code);
	if (!strstr(f->d.text, text))
		fail_msg("\"%s\" does not say \"%s\"", f->d.text, text);
}

static bool has(fix *f, const char *text)
{
	return strstr(printed(f, f->g), text) != NULL;
}

static const ftl_type *result(fix *f, uint32_t k)
{
	const ftl_region *r = ftl_region_get(f->g, f->g->body);

	return ftl_type_of(f->g, ftl_node_get(f->g, r->last)->in[k]);
}

static char *result_shape(fix *f, uint32_t k)
{
	const ftl_type *t = result(f, k);
	ftl_text s;

	ftl_text_init(&s, &f->arena);
	for (int i = 0; i < t->rank; i++) {
		ftl_text_add(&s, i ? "," : "");
		ftl_dim_print(f->g->st, &s, t->dims[i]);
	}
	return s.v;
}

static uint32_t count_nodes(fix *f)
{
	uint32_t n = 0;

	FTL_FOREACH_NODE(f->g, id)
		n++;
	return n - 1; /* the yield */
}

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
	bad(f, FTL_ERR_UNSUPPORTED, "unsupported operators: Foo (2 nodes), com.microsoft::Bar (1 node)");
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
	assert_ptr_equal(result(f, 0)->dims[0], ftl_dim_add(f->g->st, ftl_dim_sym(f->g->st, "past"), ftl_dim_sym(f->g->st, "seq")));
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
	bad(f, FTL_ERR_UNSUPPORTED, "the axis must be known at import");
	f->opt.constants = &t;
	f->opt.n_constants = 1;
	good(f);
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
	bad(f, FTL_ERR_UNSUPPORTED, "Add of opset 6 (1 node)");
}

static void missing_opset_import_is_told_from_the_ir_version(void **state)
{
	fix *f = *state;

	f->model.n_opset_import = 0;
	f->model.ir_version = 7;
	attr_i(f, node(f, "Softmax", "x", "y"), "axis", 9);
	input(f, "x", 1, "3,4");
	output(f, "y");
	bad(f, FTL_ERR_MODEL, "(Softmax, opset 14)");
}

static void dropout_is_the_identity_and_training_is_refused(void **state)
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
	bad(f, FTL_ERR_UNSUPPORTED, "training mode is not supported, set it to false");
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

static Onnx__GraphProto *subgraph(fix *f, Onnx__NodeProto *n, const char *name)
{
	Onnx__GraphProto *g = FTL_NEW(&f->arena, Onnx__GraphProto);

	onnx__graph_proto__init(g);
	attr(f, n, name, 5)->g = g;
	return g;
}

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

static Onnx__GraphProto *loop_of(fix *f, const char *op, const char *in)
{
	Onnx__NodeProto *n = node(f, "Loop", "trips - x", "y");
	Onnx__GraphProto *g = subgraph(f, n, "body");

	ints(f, "trips", 1, (const int64_t[]){4});
	PUSH(f, g->input, g->n_input, info(f, "i", 7, ""));
	PUSH(f, g->input, g->n_input, info(f, "c", 9, ""));
	PUSH(f, g->input, g->n_input, info(f, "v", 1, NULL));
	n = node_in(f, g, op, in, "w");
	if (!strcmp(op, "Concat"))
		attr_i(f, n, "axis", 0);
	PUSH(f, g->output, g->n_output, info(f, "c", 9, ""));
	PUSH(f, g->output, g->n_output, info(f, "w", 1, NULL));
	input(f, "x", 1, "3,4");
	output(f, "y");
	return g;
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

static Onnx__FunctionProto *function(fix *f, const char *name)
{
	Onnx__FunctionProto *fn = FTL_NEW(&f->arena, Onnx__FunctionProto);

	onnx__function_proto__init(fn);
	fn->name = (char *)name;
	fn->domain = (char *)"local";
	fn->input = names(f, "a", &fn->n_input);
	fn->output = names(f, "r", &fn->n_output);
	PUSH(f, f->model.functions, f->model.n_functions, fn);
	return fn;
}

static Onnx__NodeProto *in_function(fix *f, Onnx__FunctionProto *fn, const char *op, const char *in, const char *out)
{
	Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
	Onnx__NodeProto *n = node_in(f, &g, op, in, out);

	PUSH(f, fn->node, fn->n_node, n);
	return n;
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

/* ---- hostile files ---- */

static void bad_bytes_are_refused_with_a_place(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *why;
	} cases[] = {
		{"\x3a\x05\x0a", 3, "length goes beyond"},                            /* graph of 5 bytes, 1 there */
		{"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11, "64 bits"},      /* an 11-byte number */
		{"\x08\x80", 2, "truncated"},                                         /* a number that stops */
		{"\x3b\x3c", 2, "groups"},                                            /* a group */
		{"\x0a\x01\x00", 3, "wrong wire type"},                               /* ir_version as a string */
		{"\x00\x01", 2, "invalid field number"},
		{"\x3a\x04\x12\x02\x61\x00", 6, "NUL"},                               /* graph.name "a\0" */
		{"hello world", 11, "malformed protobuf"},
		{"", 0, "not an ONNX model"},
	};
	fix *f = *state;

	for (size_t i = 0; i < FTL_COUNT(cases); i++) {
		assert_int_equal(try_bytes(f, cases[i].bytes, cases[i].n), FTL_ERR_MODEL);
		if (!strstr(f->d.text, cases[i].why))
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, f->d.text, cases[i].why);
	}
}

static void deep_nesting_is_refused(void **state)
{
	fix *f = *state;
	uint8_t buf[1200];
	size_t n = 0, at = sizeof buf;

	/* from the inside out: type_proto.sequence_type.elem_type..., 2 bytes of head each while it is short */
	for (int i = 0; i < 200; i++) {
		uint8_t tag = i % 2 ? 0x22 : 0x0a;
		size_t len = n;
		if (len >= 128) {
			buf[--at] = (uint8_t)(len >> 7);
			buf[--at] = (uint8_t)(len | 0x80);
			n += 2;
		} else {
			buf[--at] = (uint8_t)len;
			n++;
		}
		buf[--at] = tag;
		n++;
	}
	/* value_info.type in graph.input in model.graph */
	uint8_t *whole = ftl_arena_alloc(&f->arena, n + 16), *p = whole;
	for (int i = 0; i < 3; i++) {
		static const uint8_t tags[] = {0x3a, 0x5a, 0x12};
		size_t rest = n + (size_t)(2 - i) * 3;
		*p++ = tags[i];
		*p++ = (uint8_t)(rest | 0x80);
		*p++ = (uint8_t)(rest >> 7);
	}
	memcpy(p, buf + at, n);
	assert_int_equal(try_bytes(f, whole, (size_t)(p - whole) + n), FTL_ERR_LIMIT);
	assert_non_null(strstr(f->d.text, "nested deeper than 100"));
}

static void sizes_that_lie_are_refused(void **state)
{
	fix *f = *state;
	float w[4] = {0};
	Onnx__TensorProto *t = weight(f, "w", 1, 5, w, 16);

	node(f, "Add", "x w", "y");
	input(f, "x", 1, "5");
	output(f, "y");
	bad(f, FTL_ERR_MODEL, "tensor \"w\": has 16 bytes of raw data, its dims and type need 20");
	t->dims[0] = INT64_MAX / 2;
	bad(f, FTL_ERR_MODEL, "more elements than memory can hold");
	t->dims[0] = -4;
	bad(f, FTL_ERR_MODEL, "negative dim");
	t->dims[0] = 1 << 20;
	t->has_raw_data = false;
	bad(f, FTL_ERR_MODEL, "has no data");
	t->dims[0] = 4;
	t->has_raw_data = true;
	t->data_type = 8;
	bad(f, FTL_ERR_UNSUPPORTED, "element type string");
}

static char *folder(fix *f)
{
	char *dir = ftl_arena_printf(&f->arena, "import_test.%ld", (long)getpid());

	mkdir(dir, 0777);
	return dir;
}

static ftl_status_code try_file(fix *f, const char *path)
{
	size_t n = onnx__model_proto__get_packed_size(&f->model);
	uint8_t *buf = ftl_arena_alloc(&f->arena, n + 1);

	onnx__model_proto__pack(&f->model, buf);
	ftl_diag_clear(&f->d);
	assert_int_equal(ftl_file_write(path, buf, n, &f->d), FTL_OK);
	return ftl_onnx_import(&f->arena, path, &f->opt, &f->d, &f->g);
}

static void entry(fix *f, Onnx__TensorProto *t, const char *key, const char *value)
{
	Onnx__StringStringEntryProto *e = FTL_NEW(&f->arena, Onnx__StringStringEntryProto);

	onnx__string_string_entry_proto__init(e);
	e->key = (char *)key;
	e->value = (char *)value;
	PUSH(f, t->external_data, t->n_external_data, e);
}

static void external_data_is_read_and_kept_inside_its_folder(void **state)
{
	static const struct {
		const char *location, *offset, *length, *why;
		ftl_status_code code;
	} cases[] = {
		{"w.bin", "4", "8", NULL, FTL_OK},
		{"w.bin", "4", NULL, NULL, FTL_OK},
		{"w.bin", "0", "12", "has length 12, its dims need 8", FTL_ERR_MODEL},
		{"w.bin", "12", "8", "beyond the end of \"w.bin\"", FTL_ERR_MODEL},
		{"w.bin", "18446744073709551615", "8", "beyond the end", FTL_ERR_MODEL},
		{"w.bin", "-1", "8", "not a number", FTL_ERR_MODEL},
		{"../w.bin", "0", "8", "w.bin", FTL_ERR_MODEL},
		{"/etc/passwd", "0", "8", "/etc/passwd", FTL_ERR_MODEL},
		{"none.bin", "0", "8", "none.bin", FTL_ERR_IO},
		{"", "0", "8", "names no file", FTL_ERR_MODEL},
	};
	fix *f = *state;
	const char *dir = folder(f), *model = ftl_path_join(&f->arena, dir, "m.onnx"),
		   *bin = ftl_path_join(&f->arena, dir, "w.bin"), *outside = ftl_arena_printf(&f->arena, "w.bin");
	float w[4] = {1, 2, 3, 4};

	assert_int_equal(ftl_file_write(bin, w, sizeof w, &f->d), FTL_OK);
	assert_int_equal(ftl_file_write(outside, w, sizeof w, &f->d), FTL_OK);
	node(f, "Add", "x w", "y");
	input(f, "x", 1, "2");
	output(f, "y");
	Onnx__TensorProto *t = weight(f, "w", 1, 2, NULL, 0);
	t->has_data_location = true;
	t->data_location = 1;
	for (size_t i = 0; i < FTL_COUNT(cases); i++) {
		t->n_external_data = 0;
		entry(f, t, "location", cases[i].location);
		entry(f, t, "offset", cases[i].offset);
		if (cases[i].length)
			entry(f, t, "length", cases[i].length);
		ftl_status_code rc = try_file(f, model);
		if (rc != cases[i].code || (cases[i].why && !strstr(f->d.text, cases[i].why)))
			fail_msg("case %zu: status %d, \"%s\"", i, rc, f->d.text);
		if (rc == FTL_OK) {
			bool seen = false;
			FTL_FOREACH_NODE(f->g, id) {
				const ftl_node *n = ftl_node_get(f->g, id);
				if (n->op == FTL_OP_const) {
					float got[2];
					memcpy(got, FTL_ATTRS(n, const)->blob->data, sizeof got);
					assert_true(got[0] == 2 && got[1] == 3);
					seen = true;
				}
			}
			assert_true(seen);
		}
	}
	unlink(outside);
	unlink(bin);
	unlink(model);
	rmdir(dir);
}

/* Every prefix, and every single byte changed: an answer, never a crash. */
static void damaged_models_are_survived(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n;
	float w[6] = {1, 2, 3, 4, 5, 6};

	weight(f, "w", 1, 6, w, sizeof w);
	ints(f, "t", 2, (const int64_t[]){-1, 6});
	node(f, "Reshape", "x t", "a");
	node(f, "Add", "a w", "b");
	n = node(f, "Einsum", "b b", "y");
	attr_s(f, n, "equation", "ij,kj->ik");
	input(f, "x", 1, "?b,3,4");
	output(f, "y");
	good(f);
	size_t size = onnx__model_proto__get_packed_size(&f->model);
	uint8_t *buf = ftl_arena_alloc(&f->arena, size);
	onnx__model_proto__pack(&f->model, buf);
	f->opt.max_nodes = 10000;
	for (size_t i = 0; i < size * 4; i++) {
		static const uint8_t flips[] = {0x01, 0x80, 0xff};
		ftl_arena a;
		ftl_landing land;
		ftl_graph *g;
		uint8_t *copy = malloc(size); /* exactly as large, so that a tool sees a step beyond */
		volatile size_t n_bytes = i < size ? i : size;
		memcpy(copy, buf, size);
		if (i >= size)
			copy[i % size] ^= flips[i / size - 1];
		ftl_arena_init(&a, NULL, &land, (size_t)1 << 28);
		if (!setjmp(land.jump)) {
			ftl_diag d = {0};
			ftl_status_code rc = ftl_onnx_import_memory(&a, copy, n_bytes, "m", NULL, &f->opt, &d, &g);
			assert_true(rc == FTL_OK || d.text[0]);
		}
		ftl_arena_free(&a);
		free(copy);
	}
}

/* ---- out and back ---- */

static void round_trip(fix *f)
{
	const char *dir = folder(f), *path = ftl_path_join(&f->arena, dir, "out.onnx");
	char *before, *after;
	ftl_export_options opt = {.external_over = 0};
	ftl_graph *g = f->g, *again;

	before = result_shape(f, 0);
	if (ftl_onnx_export(&f->arena, g, path, &opt, &f->d) != FTL_OK)
		fail_msg("%s", f->d.text);
	if (ftl_onnx_import(&f->arena, path, NULL, &f->d, &again) != FTL_OK || ftl_verify(again, &f->d) != FTL_OK)
		fail_msg("%s", f->d.text);
	assert_int_equal(again->out_names.n, g->out_names.n);
	for (uint32_t i = 0; i < g->out_names.n; i++)
		assert_string_equal(again->out_names.v[i], g->out_names.v[i]);
	f->g = again;
	after = result_shape(f, 0);
	assert_string_equal(before, after);
	/* once through the exporter, a second time changes nothing */
	before = printed(f, again);
	if (ftl_onnx_export(&f->arena, again, path, &opt, &f->d) != FTL_OK ||
		ftl_onnx_import(&f->arena, path, NULL, &f->d, &again) != FTL_OK)
		fail_msg("%s", f->d.text);
	f->g = again;
	unlink(path);
	rmdir(dir);
}

static void graph_survives_export(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n;
	float w[4] = {1, 2, 3, 4};

	weight(f, "w", 1, 4, w, sizeof w);
	ints(f, "axes", 1, (const int64_t[]){1});
	node(f, "Add", "x w", "a");
	node(f, "ReduceSum", "a axes", "b");
	node(f, "MatMul", "a a2", "m");
	n = node(f, "Transpose", "a", "a2");
	Onnx__AttributeProto *p = attr(f, n, "perm", 7);
	for (int i = 0; i < 3; i++)
		PUSH(f, p->ints, p->n_ints, ((const int64_t[]){0, 2, 1})[i]);
	node(f, "Add", "m b", "y"); /* [b,s,s] + [b,1,4] only fits for s = 4 */
	input(f, "x", 1, "?b,4,4");
	output(f, "y");
	output(f, "x"); /* an input as a result */
	good(f);
	round_trip(f);
}

static void control_flow_survives_export(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n;
	Onnx__GraphProto *g;

	loop_of(f, "Concat", "v x");
	n = node(f, "If", "q", "z");
	for (int i = 0; i < 2; i++) {
		g = subgraph(f, n, i ? "else_branch" : "then_branch");
		node_in(f, g, i ? "Abs" : "Identity", i ? "y" : "x", "t"); /* one branch hands a value from outside on */
		PUSH(f, g->output, g->n_output, info(f, "t", 1, NULL));
	}
	input(f, "q", 9, "");
	output(f, "z");
	good(f);
	round_trip(f);
}

static void large_weights_go_to_a_second_file(void **state)
{
	fix *f = *state;
	const char *dir = folder(f), *path = ftl_path_join(&f->arena, dir, "out.onnx"),
		   *data = ftl_path_join(&f->arena, dir, "out.onnx.data");
	ftl_export_options opt = {.external_over = 1};
	float *w = ftl_arena_alloc(&f->arena, 4096 * sizeof *w);
	struct stat st;
	ftl_graph *again;

	for (int i = 0; i < 4096; i++)
		w[i] = (float)i;
	weight(f, "w", 1, 4096, w, 4096 * sizeof *w);
	node(f, "Add", "x w", "y");
	input(f, "x", 1, "4096");
	output(f, "y");
	good(f);
	if (ftl_onnx_export(&f->arena, f->g, path, &opt, &f->d) != FTL_OK)
		fail_msg("%s", f->d.text);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < 1000);
	if (ftl_onnx_import(&f->arena, path, NULL, &f->d, &again) != FTL_OK)
		fail_msg("%s", f->d.text);
	FTL_FOREACH_NODE(again, id) {
		const ftl_node *n = ftl_node_get(again, id);
		if (n->op == FTL_OP_const)
			assert_memory_equal(FTL_ATTRS(n, const)->blob->data, w, 4096 * sizeof *w);
	}
	unlink(data);
	unlink(path);
	rmdir(dir);
}

static void tensor_file_survives_writing(void **state)
{
	fix *f = *state;
	const char *dir = folder(f), *path = ftl_path_join(&f->arena, dir, "input_0.pb");
	uint16_t half[3] = {0x3c00, 0xc000, 0x7c00};
	ftl_pb_tensor t = {.name = "x", .dtype = FTL_F16, .rank = 2, .dims = {1, 3}, .data = half, .bytes = 6}, got;

	assert_int_equal(ftl_pb_tensor_write(&f->arena, path, &t, &f->d), FTL_OK);
	assert_int_equal(ftl_pb_tensor_read(&f->arena, path, &f->d, &got), FTL_OK);
	assert_string_equal(got.name, "x");
	assert_int_equal(got.dtype, FTL_F16);
	assert_int_equal(got.rank, 2);
	assert_int_equal(got.dims[1], 3);
	assert_memory_equal(got.data, half, 6);
	unlink(path);
	rmdir(dir);
}

static void tensor_file_with_typed_lists_is_read(void **state)
{
	fix *f = *state;
	const char *dir = folder(f), *path = ftl_path_join(&f->arena, dir, "input_0.pb");
	Onnx__TensorProto *t = tensor(f, "b", 9, 3, NULL, 0);
	int32_t v[3] = {0, 1, 7};
	ftl_pb_tensor got;

	t->int32_data = v;
	t->n_int32_data = 3;
	size_t n = onnx__tensor_proto__get_packed_size(t);
	uint8_t *buf = ftl_arena_alloc(&f->arena, n);
	onnx__tensor_proto__pack(t, buf);
	assert_int_equal(ftl_file_write(path, buf, n, &f->d), FTL_OK);
	assert_int_equal(ftl_pb_tensor_read(&f->arena, path, &f->d, &got), FTL_OK);
	assert_memory_equal(got.data, "\0\1\1", 3);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
		T(dropout_is_the_identity_and_training_is_refused),
		T(sequences_are_followed),
		T(names_shadow_in_subgraphs),
		T(known_condition_picks_its_branch),
		T(loop_variable_that_grows_gets_a_symbol),
		T(loop_variable_that_stays_is_its_initial_value),
		T(function_is_inlined_with_its_attributes),
		T(function_that_calls_itself_is_refused),
		T(inlining_that_explodes_hits_the_limit),
		T(bad_bytes_are_refused_with_a_place),
		T(deep_nesting_is_refused),
		T(sizes_that_lie_are_refused),
		T(external_data_is_read_and_kept_inside_its_folder),
		T(damaged_models_are_survived),
		T(graph_survives_export),
		T(control_flow_survives_export),
		T(large_weights_go_to_a_second_file),
		T(tensor_file_survives_writing),
		T(tensor_file_with_typed_lists_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
