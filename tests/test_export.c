/* ONNX out and back, and the tensor files of data sets. */
#include "onnx_build.h"

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
	assert_string_equal(before, printed(f, again));
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

static void pads_that_only_the_run_knows_survive_export(void **state)
{
	fix *f = *state;
	float w[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	Onnx__TensorProto *t = weight(f, "w", 1, 9, w, sizeof w);
	Onnx__AttributeProto *strides;
	Onnx__NodeProto *n;

	t->n_dims = 4;
	t->dims = (int64_t[]){1, 1, 3, 3};
	n = node(f, "Conv", "x w", "y");
	attr_s(f, n, "auto_pad", "SAME_UPPER");
	strides = attr(f, n, "strides", 7);
	for (int i = 0; i < 2; i++)
		PUSH(f, strides->ints, strides->n_ints, 2);
	input(f, "x", 1, "1,1,?h,?w");
	output(f, "y");
	good(f);
	const char *dir = folder(f), *path = ftl_path_join(&f->arena, dir, "out.onnx"), *before = result_shape(f, 0);
	if (ftl_onnx_export(&f->arena, f->g, path, NULL, &f->d) != FTL_OK ||
	    ftl_onnx_import(&f->arena, path, NULL, &f->d, &f->g) != FTL_OK)
		fail_msg("%s", f->d.text);
	assert_string_equal(result_shape(f, 0), before);
	assert_non_null(strstr(printed(f, f->g), "= pad "));
	unlink(path);
	rmdir(dir);
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
		node_in(f, g, i ? "Abs" : "Identity", i ? "y" : "x",
			"t"); /* one branch hands a value from outside on */
		PUSH(f, g->output, g->n_output, info(f, "t", 1, NULL));
	}
	input(f, "q", 9, "");
	output(f, "z");
	good(f);
	round_trip(f);
}

/* Operators that took fewer element types in older opsets raise the opset of the file. */
static void opset_is_one_that_has_the_types(void **state)
{
	fix *f = *state;
	Onnx__ModelProto *m;
	ftl_file file;

	f->opset[0].version = 20;
	node(f, "IsInf", "x", "y");
	node(f, "Relu", "k", "z");
	input(f, "x", 10, "4");
	input(f, "k", 7, "4");
	output(f, "y");
	output(f, "z");
	good(f);
	const char *dir = folder(f), *path = ftl_path_join(&f->arena, dir, "out.onnx");
	if (ftl_onnx_export(&f->arena, f->g, path, NULL, &f->d) != FTL_OK)
		fail_msg("%s", f->d.text);
	assert_int_equal(ftl_file_map(&f->arena, path, &f->d, &file), FTL_OK);
	m = onnx__model_proto__unpack(NULL, file.size, file.data);
	assert_non_null(m);
	assert_int_equal(m->opset_import[0]->version, 20);
	assert_string_equal(m->graph->node[1]->op_type, "Max"); /* runtimes have no integer Relu */
	onnx__model_proto__free_unpacked(m, NULL);
	unlink(path);
	rmdir(dir);
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
	ftl_pb_value v = {.n = 1, .items = &t};

	assert_int_equal(ftl_pb_value_write(&f->arena, path, &v, &f->d), FTL_OK);
	assert_int_equal(ftl_pb_value_read(&f->arena, path, &f->d, &v), FTL_OK);
	assert_int_equal(v.kind, FTL_PB_TENSOR);
	got = v.items[0];
	assert_string_equal(got.name, "x");
	assert_int_equal(got.dtype, FTL_F16);
	assert_int_equal(got.rank, 2);
	assert_int_equal(got.dims[1], 3);
	assert_memory_equal(got.data, half, 6);
	unlink(path);
	rmdir(dir);
}

/* A file does not say what it is: the fields do. */
static void sequence_and_optional_files_survive_writing(void **state)
{
	static const ftl_pb_kind kinds[] = {FTL_PB_SEQUENCE, FTL_PB_OPTIONAL, FTL_PB_OPTIONAL_SEQUENCE};
	fix *f = *state;
	const char *dir = folder(f), *path = ftl_path_join(&f->arena, dir, "input_0.pb");
	float x[2] = {1, -2};
	int64_t y = 7;
	ftl_pb_tensor items[] = {{.dtype = FTL_F32, .rank = 1, .dims = {2}, .data = x, .bytes = 8},
				 {.dtype = FTL_I64, .data = &y, .bytes = 8}};

	for (size_t k = 0; k < 3; k++) {
		for (size_t n = 0; n <= (kinds[k] == FTL_PB_OPTIONAL ? 1 : 2); n++) {
			ftl_pb_value v = {.name = "v", .kind = kinds[k], .n = n, .items = items}, got;
			bool none = kinds[k] != FTL_PB_SEQUENCE && n == 0;

			v.none = none;
			assert_int_equal(ftl_pb_value_write(&f->arena, path, &v, &f->d), FTL_OK);
			assert_int_equal(ftl_pb_value_read(&f->arena, path, &f->d, &got), FTL_OK);
			assert_string_equal(got.name, "v");
			assert_int_equal(got.n, n);
			assert_int_equal(got.none, none);
			if (!none)
				assert_int_equal(got.kind, kinds[k] == FTL_PB_OPTIONAL ? FTL_PB_SEQUENCE : kinds[k]);
			for (size_t i = 0; i < n; i++) {
				assert_int_equal(got.items[i].dtype, items[i].dtype);
				assert_memory_equal(got.items[i].data, items[i].data, 8);
			}
		}
	}
	unlink(path);
	rmdir(dir);
}

static void tensor_file_with_typed_lists_is_read(void **state)
{
	fix *f = *state;
	const char *dir = folder(f), *path = ftl_path_join(&f->arena, dir, "input_0.pb");
	Onnx__TensorProto *t = tensor(f, "b", 9, 3, NULL, 0);
	int32_t v[3] = {0, 1, 7};
	ftl_pb_value got;

	t->int32_data = v;
	t->n_int32_data = 3;
	size_t n = onnx__tensor_proto__get_packed_size(t);
	uint8_t *buf = ftl_arena_alloc(&f->arena, n);
	onnx__tensor_proto__pack(t, buf);
	assert_int_equal(ftl_file_write(path, buf, n, &f->d), FTL_OK);
	assert_int_equal(ftl_pb_value_read(&f->arena, path, &f->d, &got), FTL_OK);
	assert_memory_equal(got.items->data, "\0\1\1", 3);
	/* a scalar int8 looks most like an optional sequence */
	t->n_dims = 0;
	t->data_type = 3;
	t->n_int32_data = 1;
	v[0] = -5;
	n = onnx__tensor_proto__get_packed_size(t);
	onnx__tensor_proto__pack(t, buf = ftl_arena_alloc(&f->arena, n));
	assert_int_equal(ftl_file_write(path, buf, n, &f->d), FTL_OK);
	assert_int_equal(ftl_pb_value_read(&f->arena, path, &f->d, &got), FTL_OK);
	assert_int_equal(got.kind, FTL_PB_TENSOR);
	assert_memory_equal(got.items->data, "\xfb", 1);
	unlink(path);
	rmdir(dir);
}

/* ---- elements smaller than a byte, and floats of a byte ---- */

/* Every storage form gives the same bytes. */
static void packed_tensors_are_read(void **state)
{
	static const struct {
		int onnx;
		ftl_dtype t;
		int n, nraw, nlist;
		const char *bytes, *raw;
		int32_t list[4];
	} cases[] = {
		{22, FTL_I4, 3, 2, 2, "\xff\x07\xf8", "\x7f\x08", {0x7f, 0x08}},
		{21,
		 FTL_U4,
		 3,
		 2,
		 3,
		 "\x0f\x07\x08",
		 "\x7f\xf8",
		 {15, 7, 8}}, /* one per element, as old writers have it */
		{21, FTL_U4, 1, 1, 1, "\x0f", "\xff", {0xff}},
		{26, FTL_I2, 3, 1, 1, "\xff\x01\xfe", "\x27", {0x27}},
		{25, FTL_U2, 4, 1, 1, "\x03\x01\x02\x00", "\x27", {0x27}},
		{23, FTL_F4E2M1, 3, 2, 2, "\x0f\x07\x08", "\x7f\x08", {0x7f, 0x08}},
		{27, FTL_F6E2M3, 3, 3, 3, "\x3f\x01\x20", "\x7f\x00\x02", {0x3f, 0x01, 0x20}},
		{17, FTL_F8E4M3FN, 2, 2, 2, "\x7f\x80", "\x7f\x80", {0x7f, 0x80}},
		{24, FTL_F8E8M0, 1, 1, 1, "\xff", "\xff", {0xff}},
	};
	fix *f = *state;
	const char *dir = folder(f), *path = ftl_path_join(&f->arena, dir, "input_0.pb");

	for (size_t i = 0; i < FTL_COUNT(cases) * 2; i++) {
		size_t k = i / 2, n;
		Onnx__TensorProto *t = tensor(f, "t", cases[k].onnx, cases[k].n, i % 2 ? NULL : cases[k].raw,
					      (size_t)cases[k].nraw);
		ftl_pb_tensor got;
		ftl_pb_value v;
		uint8_t *buf;

		if (i % 2) {
			t->int32_data = (int32_t *)cases[k].list;
			t->n_int32_data = (size_t)cases[k].nlist;
		}
		n = onnx__tensor_proto__get_packed_size(t);
		buf = ftl_arena_alloc(&f->arena, n);
		onnx__tensor_proto__pack(t, buf);
		assert_int_equal(ftl_file_write(path, buf, n, &f->d), FTL_OK);
		if (ftl_pb_value_read(&f->arena, path, &f->d, &v) != FTL_OK)
			fail_msg("%s: %s", ftl_dtype_name(cases[k].t), f->d.text);
		got = v.items[0];
		assert_int_equal(got.dtype, cases[k].t);
		assert_int_equal(got.bytes, cases[k].n);
		assert_memory_equal(got.data, cases[k].bytes, (size_t)cases[k].n);
		/* and written again */
		assert_int_equal(ftl_pb_value_write(&f->arena, path, &v, &f->d), FTL_OK);
		assert_int_equal(ftl_pb_value_read(&f->arena, path, &f->d, &v), FTL_OK);
		got = v.items[0];
		assert_memory_equal(got.data, cases[k].bytes, (size_t)cases[k].n);
	}
	unlink(path);
	rmdir(dir);
}

static void short_packed_data_is_refused(void **state)
{
	fix *f = *state;

	weight(f, "w", 22, 5, "\x12\x34", 2);
	node(f, "Cast", "w", "y");
	attr_i(f, f->graph.node[0], "to", 1);
	f->opset[0].version = 21;
	output(f, "y");
	bad(f, FTL_ERR_MODEL, "has 2 bytes of raw data, its dims and type need 3");
}

static void low_types_survive_export(void **state)
{
	fix *f = *state;
	const char *dir = folder(f), *path = ftl_path_join(&f->arena, dir, "out.onnx");
	ftl_export_options opt = {.external_over = 0};
	Onnx__NodeProto *n;
	ftl_graph *again = NULL;
	char *before;
	float scale = 2;

	f->opset[0].version = 25;
	weight(f, "w", 22, 3, "\x7f\x08", 2);
	weight(f, "s", 1, -1, &scale, 4);
	node(f, "DequantizeLinear", "w s", "d");
	n = node(f, "Cast", "x", "c");
	attr_i(f, n, "to", 17);
	attr_i(f, n, "saturate", 0);
	n = node(f, "Cast", "d", "e");
	attr_i(f, n, "to", 24);
	attr_s(f, n, "round_mode", "down");
	n = node(f, "QuantizeLinear", "x s", "q");
	attr_i(f, n, "output_dtype", 26);
	n = node(f, "CastLike", "x w", "l");
	attr_i(f, n, "saturate", 1);
	input(f, "x", 1, "3");
	output(f, "c");
	output(f, "e");
	output(f, "q");
	output(f, "l");
	good(f);
	assert_true(has(f, "{to=f8e4m3fn, saturate=false}"));
	assert_true(has(f, "round_mode=\"down\""));
	assert_true(has(f, "dense<[-1,7,-8]> : i4[3]"));
	before = printed(f, f->g);
	for (int round = 0; round < 2; round++) {
		if (ftl_onnx_export(&f->arena, f->g, path, &opt, &f->d) != FTL_OK ||
		    ftl_onnx_import(&f->arena, path, NULL, &f->d, &again) != FTL_OK)
			fail_msg("%s", f->d.text);
		f->g = again;
		if (round)
			assert_string_equal(before, printed(f, again));
		before = printed(f, again);
		assert_true(has(f, "{to=f8e4m3fn, saturate=false}"));
		assert_true(has(f, "dense<[-1,7,-8]> : i4[3]"));
	}
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(graph_survives_export),
		T(control_flow_survives_export),
		T(opset_is_one_that_has_the_types),
		T(large_weights_go_to_a_second_file),
		T(tensor_file_survives_writing),
		T(tensor_file_with_typed_lists_is_read),
		T(packed_tensors_are_read),
		T(short_packed_data_is_refused),
		T(low_types_survive_export),
		T(sequence_and_optional_files_survive_writing),
		T(pads_that_only_the_run_knows_survive_export),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
