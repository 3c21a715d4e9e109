/* The words exporters are written in: nodes, attributes, small constants, and dims as run-time numbers. */
#include <stdio.h>

#include "exp.h"
#include "tensor.h"

static char *text(const char *s)
{
	return (char *)s; /* protobuf-c's strings are not const; nothing here writes to them */
}

Onnx__NodeProto *ftl_exp_node(exporter *x, const char *op, uint32_t nin, const char *const *in, uint32_t nout,
			      const char *const *out)
{
	Onnx__NodeProto *n = FTL_NEW(x->arena, Onnx__NodeProto);

	onnx__node_proto__init(n);
	while (nin > (strcmp(op, "Loop") ? 0u : 2u) && !*in[nin - 1]) /* a Loop has a count and a condition, if empty */
		nin--;
	while (nout > 1 && !*out[nout - 1])
		nout--;
	n->op_type = text(op);
	n->name = text(ftl_exp_label(x));
	n->n_input = nin;
	n->input = nin ? ftl_arena_dup(x->arena, in, nin * sizeof *in) : NULL;
	n->n_output = nout;
	n->output = nout ? ftl_arena_dup(x->arena, out, nout * sizeof *out) : NULL;
	if (!x->failed)
		ftl_vec_push(x->arena, x->out, n);
	return n;
}

/* ---- attributes ---- */

static Onnx__AttributeProto *attr(exporter *x, Onnx__NodeProto *n, const char *name, int32_t type)
{
	Onnx__AttributeProto *a = FTL_NEW(x->arena, Onnx__AttributeProto);
	Onnx__AttributeProto **list = FTL_NEW_N(x->arena, Onnx__AttributeProto *, n->n_attribute + 1);

	onnx__attribute_proto__init(a);
	a->name = text(name);
	a->has_type = true;
	a->type = type;
	if (n->n_attribute)
		memcpy(list, n->attribute, n->n_attribute * sizeof *list);
	list[n->n_attribute++] = a;
	n->attribute = list;
	return a;
}

void ftl_exp_value_strings(exporter *x, Onnx__NodeProto *n, ftl_ints dims, ftl_strs v)
{
	Onnx__TensorProto *t = FTL_NEW(x->arena, Onnx__TensorProto);

	onnx__tensor_proto__init(t);
	t->n_dims = dims.n;
	t->dims = (int64_t *)(uintptr_t)dims.v;
	t->has_data_type = true;
	t->data_type = ftl_onnx_dtype_code(FTL_STRING);
	t->n_string_data = v.n;
	t->string_data = FTL_NEW_N(x->arena, ProtobufCBinaryData, (size_t)v.n + 1);
	for (uint32_t i = 0; i < v.n; i++)
		t->string_data[i] = (ProtobufCBinaryData){v.v[i].n, (uint8_t *)(uintptr_t)v.v[i].p};
	attr(x, n, "value", 4)->t = t;
}

void ftl_exp_bytes(exporter *x, Onnx__NodeProto *n, const char *name, const ftl_str *v)
{
	Onnx__AttributeProto *a = attr(x, n, name, 3);

	a->has_s = true;
	a->s = (ProtobufCBinaryData){v->n, (uint8_t *)(uintptr_t)v->p};
}

void ftl_exp_i(exporter *x, Onnx__NodeProto *n, const char *name, int64_t v)
{
	Onnx__AttributeProto *a = attr(x, n, name, 2);

	a->has_i = true;
	a->i = v;
}

void ftl_exp_f(exporter *x, Onnx__NodeProto *n, const char *name, double v)
{
	Onnx__AttributeProto *a = attr(x, n, name, 1);

	a->has_f = true;
	a->f = (float)v;
}

void ftl_exp_s(exporter *x, Onnx__NodeProto *n, const char *name, const char *v)
{
	Onnx__AttributeProto *a = attr(x, n, name, 3);

	a->has_s = true;
	a->s = (ProtobufCBinaryData){strlen(v), (uint8_t *)text(v)};
}

void ftl_exp_ints(exporter *x, Onnx__NodeProto *n, const char *name, uint32_t count, const int64_t *v)
{
	Onnx__AttributeProto *a = attr(x, n, name, 7);

	a->n_ints = count;
	a->ints = count ? ftl_arena_dup(x->arena, v, count * sizeof *v) : NULL;
}

void ftl_exp_floats(exporter *x, Onnx__NodeProto *n, const char *name, uint32_t count, const double *v)
{
	Onnx__AttributeProto *a = attr(x, n, name, 6);

	a->n_floats = count;
	a->floats = FTL_NEW_N(x->arena, float, count + 1);
	for (uint32_t i = 0; i < count; i++)
		a->floats[i] = (float)v[i];
}

void ftl_exp_strings(exporter *x, Onnx__NodeProto *n, const char *name, const char *list)
{
	Onnx__AttributeProto *a = attr(x, n, name, 8);

	a->strings = FTL_NEW_N(x->arena, ProtobufCBinaryData, strlen(list) + 1);
	while (*list) {
		size_t len = strcspn(list, ",");
		a->strings[a->n_strings++] = (ProtobufCBinaryData){len, (uint8_t *)text(list)};
		list += len + (list[len] == ',');
	}
}

void ftl_exp_type(exporter *x, Onnx__NodeProto *n, const char *name, Onnx__TypeProto *t)
{
	attr(x, n, name, 13)->tp = t;
}

void ftl_exp_graph(exporter *x, Onnx__NodeProto *n, const char *name, Onnx__GraphProto *gp)
{
	attr(x, n, name, 5)->g = gp;
}

void ftl_exp_tensor(exporter *x, Onnx__NodeProto *n, const char *name, ftl_dtype t, const void *one)
{
	Onnx__TensorProto *p = FTL_NEW(x->arena, Onnx__TensorProto);
	size_t bytes = ftl_dtype_bytes(t);

	onnx__tensor_proto__init(p);
	p->n_dims = 1;
	p->dims = FTL_NEW(x->arena, int64_t);
	p->dims[0] = 1;
	p->has_data_type = true;
	p->data_type = ftl_onnx_dtype_code(t);
	p->has_raw_data = true;
	p->raw_data = (ProtobufCBinaryData){bytes,
					    (uint8_t *)ftl_pack(x->arena, t, ftl_arena_dup(x->arena, one, bytes), 1)};
	attr(x, n, name, 4)->t = p;
}

/* ---- nodes with one fresh output ---- */

const char *ftl_exp_op(exporter *x, const char *op, uint32_t nin, const char *const *in)
{
	const char *out = ftl_exp_tmp(x);

	ftl_exp_node(x, op, nin, in, 1, &out);
	return out;
}

const char *ftl_exp_op1(exporter *x, const char *op, const char *a)
{
	return ftl_exp_op(x, op, 1, &a);
}

const char *ftl_exp_op2(exporter *x, const char *op, const char *a, const char *b)
{
	return ftl_exp_op(x, op, 2, (const char *const[]){a, b});
}

const char *ftl_exp_transpose_last(exporter *x, const char *v, int rank)
{
	const char *out = ftl_exp_tmp(x);
	Onnx__NodeProto *n = ftl_exp_node(x, "Transpose", 1, &v, 1, &out);
	int64_t perm[FTL_MAX_RANK];

	for (int i = 0; i < rank; i++)
		perm[i] = i;
	perm[rank - 1] = rank - 2;
	perm[rank - 2] = rank - 1;
	ftl_exp_ints(x, n, "perm", (uint32_t)rank, perm);
	return out;
}

/* ---- constants ---- */

/* Equal small constants are one initializer. */
static const char *small(exporter *x, const char *key, ftl_dtype t, int rank, int64_t count, const void *data)
{
	const char *name = ftl_map_get(x->lists, key);
	size_t bytes = (size_t)count * ftl_dtype_bytes(t);
	ftl_blob *b;

	if (name)
		return name;
	name = ftl_exp_tmp(x);
	b = FTL_NEW(x->arena, ftl_blob);
	b->data = ftl_arena_dup(x->arena, bytes ? data : "", bytes);
	b->bytes = bytes;
	ftl_exp_add_init(x, name, t, rank, &count, b);
	ftl_map_set(x->lists, key, text(name));
	return name;
}

const char *ftl_exp_scalar(exporter *x, ftl_dtype t, double v)
{
	char buf[8] = {0};

	ftl_elem_set(t, buf, 0, v);
	return small(x, ftl_arena_printf(x->arena, "%s %a", ftl_dtype_name(t), v), t, 0, 1, buf);
}

const char *ftl_exp_i64s(exporter *x, uint32_t n, const int64_t *v)
{
	ftl_text key;

	ftl_text_init(&key, x->arena);
	ftl_text_add(&key, "i64s");
	for (uint32_t i = 0; i < n; i++)
		ftl_text_add(&key, " %lld", (long long)v[i]);
	return small(x, key.v, FTL_I64, 1, n, v);
}

const char *ftl_exp_floats_const(exporter *x, uint32_t n, const double *v)
{
	float *f = FTL_NEW_N(x->arena, float, n + 1);
	ftl_text key;

	ftl_text_init(&key, x->arena);
	ftl_text_add(&key, "f32s");
	for (uint32_t i = 0; i < n; i++) {
		f[i] = (float)v[i];
		ftl_text_add(&key, " %a", v[i]);
	}
	return small(x, key.v, FTL_F32, 1, n, f);
}

/* ---- dims ---- */

bool ftl_exp_const_dims(exporter *x, ftl_dims d, int64_t *out)
{
	for (uint32_t i = 0; i < d.n; i++)
		if (!ftl_dim_is_const(x->g->st, d.v[i], &out[i]))
			return false;
	return true;
}

static const char *symbol(exporter *x, ftl_dim d)
{
	ftl_val v = ftl_sym_binder(x->g, d);
	const ftl_type *t = v ? ftl_type_of(x->g, v) : NULL;

	for (int i = 0; t && i < t->rank; i++) {
		if (t->dims[i] != d)
			continue;
		const char *shape = ftl_exp_op1(x, "Shape", ftl_exp_name(x, v));
		return ftl_exp_op2(x, "Gather", shape, ftl_exp_i64s(x, 1, &(int64_t){i}));
	}
	ftl_exp_fail(x, FTL_ERR_UNSUPPORTED, "the size ?%s cannot be exported: no tensor shows it",
		     ftl_dim_get(x->g->st, d)->name);
	return "";
}

static const char *one_int(exporter *x, int64_t v)
{
	return ftl_exp_i64s(x, 1, &v);
}

static const char *sum(exporter *x, const ftl_dim_node *n)
{
	const char *s = NULL;

	for (uint32_t i = 0; i < n->n; i++) {
		const ftl_dim_term *t = &n->term[i];
		const char *p = NULL;
		for (uint32_t k = 0; k < t->n; k++) {
			const char *a = ftl_exp_dim(x, t->atom[k]);
			p = p ? ftl_exp_op2(x, "Mul", p, a) : a;
		}
		if (!p)
			p = one_int(x, t->coef);
		else if (t->coef != 1)
			p = ftl_exp_op2(x, "Mul", p, one_int(x, t->coef));
		s = s ? ftl_exp_op2(x, "Add", s, p) : p;
	}
	return s ? s : one_int(x, 0);
}

const char *ftl_exp_dim(exporter *x, ftl_dim d)
{
	const ftl_dim_node *n;
	const char *name = "", *a, *b;

	if (x->failed || d == FTL_DIM_NONE)
		return "";
	if (x->dim_name[d])
		return x->dim_name[d];
	n = ftl_dim_get(x->g->st, d);
	if (n->kind == FTL_DIM_CONST)
		return one_int(x, n->value);
	if (n->kind == FTL_DIM_SYM) {
		name = symbol(x, d);
	} else if (n->kind == FTL_DIM_SUM) {
		name = sum(x, n);
	} else {
		a = ftl_exp_dim(x, n->a);
		b = ftl_exp_dim(x, n->b);
		if (n->kind == FTL_DIM_MIN || n->kind == FTL_DIM_MAX)
			name = ftl_exp_op2(x, n->kind == FTL_DIM_MIN ? "Min" : "Max", a, b);
		else if (n->kind == FTL_DIM_MOD)
			name = ftl_exp_op2(x, "Mod", a, b);
		else if (ftl_dim_lo(x->g->st, n->a) >= 0 && ftl_dim_lo(x->g->st, n->b) > 0)
			name = ftl_exp_op2(x, "Div", a, b);
		else /* ONNX truncates: take the remainder off first */
			name = ftl_exp_op2(x, "Div", ftl_exp_op2(x, "Sub", a, ftl_exp_op2(x, "Mod", a, b)), b);
	}
	x->dim_name[d] = name;
	ftl_vec_push(x->arena, &x->dims, d);
	return name;
}

const char *ftl_exp_dims(exporter *x, uint32_t n, const ftl_dim *d)
{
	int64_t *c = FTL_NEW_N(x->arena, int64_t, n + 1);
	const char **part = FTL_NEW_N(x->arena, const char *, n + 1), *out;

	if (ftl_exp_const_dims(x, (ftl_dims){n, d}, c))
		return ftl_exp_i64s(x, n, c);
	for (uint32_t i = 0; i < n; i++)
		part[i] = ftl_exp_dim(x, d[i]);
	if (n == 1)
		return part[0];
	out = ftl_exp_tmp(x);
	ftl_exp_i(x, ftl_exp_node(x, "Concat", n, part, 1, &out), "axis", 0);
	return out;
}
