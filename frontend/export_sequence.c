/* Sequences and optionals as ONNX. What has no operator of its own is a Loop (seq_extend) or an Optional without input. */
#include "exp.h"
#include "ir/graph.h"
#include "tensor.h"

#define ATTRS_OF(op) const struct ftl_attrs_##op *a = FTL_ATTRS(ftl_node_get(x->g, id), op)

Onnx__TypeProto *ftl_exp_seq_type(exporter *x, const ftl_type *t)
{
	const ftl_seq_type *s = t->seq;
	Onnx__TypeProto *inner = FTL_NEW(x->arena, Onnx__TypeProto), *outer;
	Onnx__TypeProto__Tensor *tt = FTL_NEW(x->arena, Onnx__TypeProto__Tensor);

	onnx__type_proto__init(inner);
	onnx__type_proto__tensor__init(tt);
	inner->tensor_type = tt;
	tt->has_elem_type = true;
	tt->elem_type = ftl_onnx_dtype_code(t->dtype);
	if (s->rank >= 0) {
		tt->shape = FTL_NEW(x->arena, Onnx__TensorShapeProto);
		onnx__tensor_shape_proto__init(tt->shape);
		tt->shape->n_dim = (size_t)s->rank;
		tt->shape->dim = FTL_NEW_N(x->arena, Onnx__TensorShapeProto__Dimension *, (size_t)s->rank + 1);
	}
	for (int i = 0; i < s->rank; i++) {
		Onnx__TensorShapeProto__Dimension *d = FTL_NEW(x->arena, Onnx__TensorShapeProto__Dimension);

		onnx__tensor_shape_proto__dimension__init(d);
		d->has_dim_value = s->dims[i] >= 0;
		d->dim_value = s->dims[i];
		tt->shape->dim[i] = d;
	}
	if (s->kind != FTL_SEQ_OPT) {
		outer = FTL_NEW(x->arena, Onnx__TypeProto);
		onnx__type_proto__init(outer);
		outer->sequence_type = FTL_NEW(x->arena, Onnx__TypeProto__Sequence);
		onnx__type_proto__sequence__init(outer->sequence_type);
		outer->sequence_type->elem_type = inner;
		inner = outer;
	}
	if (s->kind != FTL_SEQ_LIST) {
		outer = FTL_NEW(x->arena, Onnx__TypeProto);
		onnx__type_proto__init(outer);
		outer->optional_type = FTL_NEW(x->arena, Onnx__TypeProto__Optional);
		onnx__type_proto__optional__init(outer->optional_type);
		outer->optional_type->elem_type = inner;
		inner = outer;
	}
	return inner;
}

void ftl_exp_do_seq_empty(exporter *x, ftl_node_id id)
{
	ATTRS_OF(seq_empty);
	const ftl_type *t = ftl_type_of(x->g, ftl_node_get(x->g, id)->out[0]);
	bool list = t->seq->kind == FTL_SEQ_LIST;
	const char *out = ftl_exp_out(x, id, 0);
	Onnx__NodeProto *n = ftl_exp_node(x, list ? "SequenceEmpty" : "Optional", 0, NULL, 1, &out);

	if (list)
		ftl_exp_i(x, n, "dtype", ftl_onnx_dtype_code(a->dtype));
	else
		ftl_exp_type(x, n, "type", ftl_exp_seq_type(x, t)->optional_type->elem_type);
}

void ftl_exp_do_seq_concat(exporter *x, ftl_node_id id)
{
	ATTRS_OF(seq_concat);
	const char *in = ftl_exp_in(x, id, 0), *out = ftl_exp_out(x, id, 0);
	Onnx__NodeProto *n = ftl_exp_node(x, "ConcatFromSequence", 1, &in, 1, &out);

	ftl_exp_i(x, n, "axis", a->axis);
	ftl_exp_i(x, n, "new_axis", a->new_axis);
}

static Onnx__ValueInfoProto *info(exporter *x, const char *name, const ftl_type *t)
{
	Onnx__ValueInfoProto *v = FTL_NEW(x->arena, Onnx__ValueInfoProto);

	onnx__value_info_proto__init(v);
	v->name = (char *)(uintptr_t)name;
	if (t->seq) {
		v->type = ftl_exp_seq_type(x, t);
		return v;
	}
	v->type = FTL_NEW(x->arena, Onnx__TypeProto);
	onnx__type_proto__init(v->type);
	v->type->tensor_type = FTL_NEW(x->arena, Onnx__TypeProto__Tensor);
	onnx__type_proto__tensor__init(v->type->tensor_type);
	v->type->tensor_type->has_elem_type = true;
	v->type->tensor_type->elem_type = ftl_onnx_dtype_code(t->dtype);
	v->type->tensor_type->shape = FTL_NEW(x->arena, Onnx__TensorShapeProto);
	onnx__tensor_shape_proto__init(v->type->tensor_type->shape);
	return v;
}

/* for i: s = SequenceInsert(s, SequenceAt(pieces, i)) */
void ftl_exp_do_seq_extend(exporter *x, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(x->g, id);
	bool first = ftl_def(x->g, n->in[0], FTL_OP_seq_empty) != 0;
	const char *v = ftl_exp_in(x, id, 1), *out = ftl_exp_out(x, id, 0), *pieces = first ? out : ftl_exp_tmp(x);
	Onnx__NodeProto *node = ftl_exp_node(x, "SplitToSequence", 1, &v, 1, &pieces);
	Onnx__GraphProto *gp = FTL_NEW(x->arena, Onnx__GraphProto);
	ftl_type number = {.dtype = FTL_I64}, flag = {.dtype = FTL_BOOL}, list = *ftl_type_of(x->g, n->out[0]);
	const char *name[6], *in[3], *item[2];
	exp_nodes body = {0}, *around = x->out;

	ftl_exp_i(x, node, "keepdims", 0);
	if (first)
		return;
	for (int i = 0; i < 6; i++)
		name[i] = ftl_exp_tmp(x);
	in[0] = ftl_exp_op1(x, "SequenceLength", pieces);
	in[1] = "";
	in[2] = ftl_exp_in(x, id, 0);
	x->out = &body;
	ftl_exp_node(x, "Identity", 1, &name[1], 1, &name[3]);
	item[0] = pieces;
	item[1] = name[0];
	ftl_exp_node(x, "SequenceAt", 2, item, 1, &name[5]);
	item[0] = name[2];
	item[1] = name[5];
	ftl_exp_node(x, "SequenceInsert", 2, item, 1, &name[4]);
	x->out = around;
	onnx__graph_proto__init(gp);
	gp->name = (char *)(uintptr_t) "extend";
	gp->n_node = body.n;
	gp->node = body.v;
	gp->n_input = 3;
	gp->input = FTL_NEW_N(x->arena, Onnx__ValueInfoProto *, 3);
	gp->input[0] = info(x, name[0], &number);
	gp->input[1] = info(x, name[1], &flag);
	gp->input[2] = info(x, name[2], &list);
	gp->n_output = 2;
	gp->output = FTL_NEW_N(x->arena, Onnx__ValueInfoProto *, 2);
	gp->output[0] = info(x, name[3], &flag);
	gp->output[1] = info(x, name[4], &list);
	node = ftl_exp_node(x, "Loop", 3, in, 1, &out);
	ftl_exp_graph(x, node, "body", gp);
}
