/* ONNX models put together in C through protobuf-c, for the tests of the importer and the exporter. */
#ifndef TESTS_ONNX_BUILD_H
#define TESTS_ONNX_BUILD_H

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

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline char **names(fix *f, const char *list, size_t *n)
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

static inline Onnx__NodeProto *node_in(fix *f, Onnx__GraphProto *g, const char *op, const char *in, const char *out)
{
	Onnx__NodeProto *n = FTL_NEW(&f->arena, Onnx__NodeProto);

	onnx__node_proto__init(n);
	n->op_type = (char *)op;
	n->input = names(f, in, &n->n_input);
	n->output = names(f, out, &n->n_output);
	PUSH(f, g->node, g->n_node, n);
	return n;
}

static inline Onnx__NodeProto *node(fix *f, const char *op, const char *in, const char *out)
{
	return node_in(f, &f->graph, op, in, out);
}

static inline Onnx__AttributeProto *attr(fix *f, Onnx__NodeProto *n, const char *name, int type)
{
	Onnx__AttributeProto *a = FTL_NEW(&f->arena, Onnx__AttributeProto);

	onnx__attribute_proto__init(a);
	a->name = (char *)name;
	a->has_type = true;
	a->type = type;
	PUSH(f, n->attribute, n->n_attribute, a);
	return a;
}

static inline void attr_i(fix *f, Onnx__NodeProto *n, const char *name, int64_t v)
{
	Onnx__AttributeProto *a = attr(f, n, name, 2);

	a->has_i = true;
	a->i = v;
}

static inline void attr_ref(fix *f, Onnx__NodeProto *n, const char *name, const char *ref)
{
	attr(f, n, name, 2)->ref_attr_name = (char *)ref;
}

static inline void attr_s(fix *f, Onnx__NodeProto *n, const char *name, const char *v)
{
	Onnx__AttributeProto *a = attr(f, n, name, 3);

	a->has_s = true;
	a->s = (ProtobufCBinaryData){strlen(v), (uint8_t *)v};
}

/* dims: "2,?b,4"; NULL for no shape at all, "" for a scalar */
static inline Onnx__ValueInfoProto *info(fix *f, const char *name, int type, const char *dims)
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

static inline void input(fix *f, const char *name, int type, const char *dims)
{
	PUSH(f, f->graph.input, f->graph.n_input, info(f, name, type, dims));
}

static inline void output(fix *f, const char *name)
{
	PUSH(f, f->graph.output, f->graph.n_output, info(f, name, 0, NULL)); /* of a type the model does not tell */
}

static inline Onnx__TensorProto *tensor(fix *f, const char *name, int type, int64_t n, const void *raw, size_t bytes)
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

static inline Onnx__TensorProto *weight(fix *f, const char *name, int type, int64_t n, const void *raw, size_t bytes)
{
	Onnx__TensorProto *t = tensor(f, name, type, n, raw, bytes);

	PUSH(f, f->graph.initializer, f->graph.n_initializer, t);
	return t;
}

static inline void ints(fix *f, const char *name, int64_t n, const int64_t *v)
{
	weight(f, name, 7, n, v, (size_t)n * 8);
}

/* ---- importing ---- */

static inline ftl_status_code try_bytes(fix *f, const void *p, size_t n)
{
	ftl_diag_clear(&f->d);
	return ftl_onnx_import_memory(&f->arena, p, n, "dir/m.onnx", NULL, &f->opt, &f->d, &f->g);
}

static inline ftl_status_code try_import(fix *f)
{
	size_t n = onnx__model_proto__get_packed_size(&f->model);
	uint8_t *buf = ftl_arena_alloc(&f->arena, n + 1);

	onnx__model_proto__pack(&f->model, buf);
	return try_bytes(f, buf, n);
}

static inline char *printed(fix *f, const ftl_graph *g)
{
	ftl_text t;

	ftl_text_init(&t, &f->arena);
	ftl_print(g, &t);
	return t.v;
}

static inline void good(fix *f)
{
	if (try_import(f) != FTL_OK || ftl_verify(f->g, &f->d) != FTL_OK)
		fail_msg("%s", f->d.text);
}

static inline void bad(fix *f, ftl_status_code code, const char *text)
{
	ftl_status_code rc = try_import(f);

	assert_int_equal(rc, code);
	if (!strstr(f->d.text, text))
		fail_msg("\"%s\" does not say \"%s\"", f->d.text, text);
}

static inline bool has(fix *f, const char *text)
{
	return strstr(printed(f, f->g), text) != NULL;
}

static inline const ftl_type *result(fix *f, uint32_t k)
{
	const ftl_region *r = ftl_region_get(f->g, f->g->body);

	return ftl_type_of(f->g, ftl_node_get(f->g, r->last)->in[k]);
}

static inline char *result_shape(fix *f, uint32_t k)
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

static inline uint32_t count_nodes(fix *f)
{
	uint32_t n = 0;

	FTL_FOREACH_NODE(f->g, id)
		n++;
	return n - 1; /* the yield */
}

static inline Onnx__GraphProto *subgraph(fix *f, Onnx__NodeProto *n, const char *name)
{
	Onnx__GraphProto *g = FTL_NEW(&f->arena, Onnx__GraphProto);

	onnx__graph_proto__init(g);
	attr(f, n, name, 5)->g = g;
	return g;
}

static inline Onnx__GraphProto *loop_of(fix *f, const char *op, const char *in)
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

static inline Onnx__FunctionProto *function(fix *f, const char *name)
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

static inline Onnx__NodeProto *in_function(fix *f, Onnx__FunctionProto *fn, const char *op, const char *in,
					   const char *out)
{
	Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
	Onnx__NodeProto *n = node_in(f, &g, op, in, out);

	PUSH(f, fn->node, fn->n_node, n);
	return n;
}

static inline char *folder(fix *f)
{
	char *dir = ftl_arena_printf(&f->arena, "import_test.%ld", (long)getpid());

	mkdir(dir, 0777);
	return dir;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
