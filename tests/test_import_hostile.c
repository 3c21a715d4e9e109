/* ONNX in, from somebody who means harm: broken wire format, sizes that lie, external data that leaves its folder,
 * models damaged at every byte. The answer is a status and a text, never a crash. */
#include "onnx_build.h"

/* ---- hostile files ---- */

static void bad_bytes_are_refused_with_a_place(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *why;
	} cases[] = {
		{"\x3a\x05\x0a", 3, "length goes beyond"},                       /* graph of 5 bytes, 1 there */
		{"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11, "64 bits"}, /* an 11-byte number */
		{"\x08\x80", 2, "truncated"},                                    /* a number that stops */
		{"\x3b\x3c", 2, "groups"},                                       /* a group */
		{"\x0a\x01\x00", 3, "wrong wire type"},                          /* ir_version as a string */
		{"\x00\x01", 2, "invalid field number"},
		{"\x3a\x04\x12\x02\x61\x00", 6, "NUL"}, /* graph.name "a\0" */
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
	t->data_type = 14;
	bad(f, FTL_ERR_UNSUPPORTED, "element type complex64");
	t->data_type = 8;
	bad(f, FTL_ERR_MODEL, "strings cannot be raw");
	t->has_raw_data = false;
	bad(f, FTL_ERR_MODEL, "length does not match its dims");
	t->dims[0] = 1 << 30;
	bad(f, FTL_ERR_MODEL, "length does not match its dims");
}

/* Decision trees whose parts do not fit each other. */
static void trees_that_lie_are_refused(void **state)
{
	static const struct {
		const char *name;
		int64_t v[3];
		const char *why;
	} cases[] = {
		{"nodes_truenodeids", {7, 0, 0}, "has a child that is not there"},
		{"nodes_nodeids", {0, 1, 1}, "has node 1 twice"},
		{"nodes_featureids", {-1, 0, 0}, "reads feature -1"},
		{"target_nodeids", {1, 9, 0}, "which is not there"},
		{"target_ids", {0, 5, 0}, "output 5 of 1"},
	};
	fix *f = *state;

	for (size_t i = 0; i < FTL_COUNT(cases); i++) {
		static const struct {
			const char *name;
			int64_t v[3];
			size_t n;
		} lists[] = {{"nodes_treeids", {0, 0, 0}, 3},      {"nodes_nodeids", {0, 1, 2}, 3},
			     {"nodes_featureids", {0, 0, 0}, 3},   {"nodes_truenodeids", {1, 0, 0}, 3},
			     {"nodes_falsenodeids", {2, 0, 0}, 3}, {"target_treeids", {0, 0, 0}, 2},
			     {"target_nodeids", {1, 2, 0}, 2},     {"target_ids", {0, 0, 0}, 2}};
		static const char *const modes[] = {"BRANCH_LEQ", "LEAF", "LEAF"};
		Onnx__NodeProto *n;
		Onnx__AttributeProto *a;

		f->graph.n_node = f->graph.n_input = f->graph.n_output = 0;
		f->opset[1].domain = (char *)"ai.onnx.ml";
		f->opset[1].version = 3;
		f->model.n_opset_import = 2;
		n = node(f, "TreeEnsembleRegressor", "x", "y");
		n->domain = "ai.onnx.ml";
		for (size_t k = 0; k < FTL_COUNT(lists); k++) {
			bool here = !strcmp(lists[k].name, cases[i].name);

			a = attr(f, n, lists[k].name, 7);
			a->n_ints = lists[k].n;
			a->ints = ftl_arena_dup(&f->arena, here ? cases[i].v : lists[k].v, sizeof lists[k].v);
		}
		a = attr(f, n, "nodes_values", 6);
		a->n_floats = 3;
		a->floats = FTL_NEW_N(&f->arena, float, 3);
		a = attr(f, n, "target_weights", 6);
		a->n_floats = 2;
		a->floats = FTL_NEW_N(&f->arena, float, 2);
		a = attr(f, n, "nodes_modes", 8);
		a->n_strings = 3;
		a->strings = FTL_NEW_N(&f->arena, ProtobufCBinaryData, 3);
		for (int k = 0; k < 3; k++)
			a->strings[k] = (ProtobufCBinaryData){strlen(modes[k]), (uint8_t *)(uintptr_t)modes[k]};
		attr_i(f, n, "n_targets", 1);
		input(f, "x", 1, "2 3");
		output(f, "y");
		bad(f, FTL_ERR_MODEL, cases[i].why);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bad_bytes_are_refused_with_a_place),
		T(deep_nesting_is_refused),
		T(trees_that_lie_are_refused),
		T(sizes_that_lie_are_refused),
		T(external_data_is_read_and_kept_inside_its_folder),
		T(damaged_models_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
