/* Optionals and SequenceMap.
 *
 * An optional made of something known at import is that something with a type beside it; one that only run time knows
 * is a value of the graph. SequenceMap is the Loop that the standard defines it by. */
#include "imp.h"

/* ---- types ---- */

static bool element_type(imp *m, const Onnx__TypeProto *t, const char *what, ftl_dtype *out, ftl_seq_type *s)
{
	const Onnx__TypeProto__Tensor *x = t ? t->tensor_type : NULL;

	if (!x) {
		unsupported(m, "%s: only tensors, sequences of them and optionals of both are supported", what);
		return false;
	}
	*out = ftl_onnx_dtype(x->elem_type);
	if (*out == FTL_NO_DTYPE) {
		unsupported(m, "%s: element type %s is not supported", what, ftl_onnx_dtype_name(x->elem_type));
		return false;
	}
	s->rank = FTL_SEQ_ANY;
	if (!x->shape)
		return true;
	if (x->shape->n_dim > FTL_MAX_RANK) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "%s: rank %zu is above the limit of %d", what, x->shape->n_dim,
			     FTL_MAX_RANK);
		return false;
	}
	s->rank = (int8_t)x->shape->n_dim;
	for (int i = 0; i < s->rank; i++) {
		const Onnx__TensorShapeProto__Dimension *d = x->shape->dim[i];

		s->dims[i] = d->has_dim_value && d->dim_value >= 0 ? d->dim_value : -1;
	}
	return true;
}

int ftl_imp_declared_kind(const Onnx__TypeProto *t)
{
	if (t && t->sequence_type)
		return FTL_SEQ_LIST;
	if (t && t->optional_type)
		return t->optional_type->elem_type && t->optional_type->elem_type->sequence_type ? FTL_SEQ_OPT_LIST
												 : FTL_SEQ_OPT;
	return IMP_TENSOR;
}

bool ftl_imp_declared(imp *m, const Onnx__TypeProto *t, const char *what, ftl_type *out)
{
	ftl_seq_type s = {.kind = (ftl_seq_kind)ftl_imp_declared_kind(t)};
	ftl_dtype dtype;

	if (t && t->optional_type)
		t = t->optional_type->elem_type;
	if (t && t->sequence_type)
		t = t->sequence_type->elem_type;
	if (!element_type(m, t, what, &dtype, &s))
		return false;
	*out = ftl_type_make_seq(m->g, dtype, &s);
	return true;
}

/* ---- optionals ---- */

void ftl_imp_do_optional(imp *m)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, "type");
	imp_bound b = m->cur->nin ? m->cur->in[0] : (imp_bound){0};
	ftl_seq_type s = {.rank = FTL_SEQ_EMPTY};
	ftl_type *t = FTL_NEW(m->tmp, ftl_type);
	int kind;

	if (m->failed || m->cur->nout == 0)
		return;
	if (!b.v && !b.seq) {
		if (!a || !a->tp) {
			bad_model(m, "needs an element or a type");
			return;
		}
		s.kind = ftl_imp_declared_kind(a->tp) == FTL_SEQ_LIST ? FTL_SEQ_OPT_LIST : FTL_SEQ_OPT;
		if (!ftl_imp_declared(m, a->tp, "attribute type", t))
			return;
		b = (imp_bound){.none = true};
		*t = ftl_type_make_seq(m->g, t->dtype, &s);
	} else {
		kind = ftl_imp_kind(m, &b);
		if (kind != IMP_TENSOR && kind != FTL_SEQ_LIST) {
			bad_model(m, "input 0 is an optional already");
			return;
		}
		s.kind = kind == FTL_SEQ_LIST ? FTL_SEQ_OPT_LIST : FTL_SEQ_OPT;
		*t = ftl_type_make_seq(m->g, b.seq ? b.seq->dtype : dtype_of(m, b.v), &s);
	}
	b.optional = t;
	m->cur->out[0] = b;
}

void ftl_imp_do_optional_has_element(imp *m)
{
	const imp_bound *b = m->cur->nin ? &m->cur->in[0] : NULL;
	bool there = b && (b->v || b->seq);
	int kind = there ? ftl_imp_kind(m, b) : IMP_TENSOR;

	if (!there || b->optional || (kind != FTL_SEQ_OPT && kind != FTL_SEQ_OPT_LIST))
		ftl_imp_out(m, 0, ftl_imp_scalar(m, FTL_BOOL, there));
	else
		ftl_imp_out(m, 0, op1(m, FTL_OP_opt_has, b->v));
}

void ftl_imp_do_optional_get_element(imp *m)
{
	imp_bound b = m->cur->nin ? m->cur->in[0] : (imp_bound){0};
	int kind = ftl_imp_kind(m, &b);
	ftl_val v;

	if (!b.v && !b.seq) {
		bad_model(m, "the optional has no element");
		return;
	}
	if (m->cur->nout == 0)
		return;
	if (b.optional || (kind != FTL_SEQ_OPT && kind != FTL_SEQ_OPT_LIST)) {
		b.optional = NULL;
		m->cur->out[0] = b;
		return;
	}
	v = b.v;
	if (kind == FTL_SEQ_OPT && ftl_imp_type(m, v)->seq->rank < 0) {
		m->needs_rank |= ftl_imp_type(m, v)->seq->rank == FTL_SEQ_EMPTY;
		unsupported(m, "the element's rank must be known at import; if it is an input, give a shape");
		return;
	}
	ftl_imp_out(m, 0, op1(m, FTL_OP_opt_get, v));
}

/* ---- SequenceMap ---- */

typedef struct text_list {
	size_t n;
	char **v;
} text_list;

static text_list names(imp *m, size_t n, const char *a, const char *b)
{
	text_list l = {n, FTL_NEW_N(m->tmp, char *, n + 1)};

	l.v[0] = (char *)(uintptr_t)a;
	if (n > 1)
		l.v[1] = (char *)(uintptr_t)b;
	return l;
}

static Onnx__NodeProto *node(imp *m, const char *op, text_list in, text_list out)
{
	Onnx__NodeProto *n = FTL_NEW(m->tmp, Onnx__NodeProto);

	onnx__node_proto__init(n);
	n->op_type = (char *)(uintptr_t)op;
	n->name = ftl_arena_printf(m->tmp, "%s/%s", m->cur->loc, op);
	n->n_input = in.n;
	n->input = in.v;
	n->n_output = out.n;
	n->output = out.v;
	return n;
}

static Onnx__ValueInfoProto *value_info(imp *m, const char *name)
{
	Onnx__ValueInfoProto *v = FTL_NEW(m->tmp, Onnx__ValueInfoProto);

	onnx__value_info_proto__init(v);
	v->name = (char *)(uintptr_t)name;
	return v;
}

static void set_attr(imp *m, Onnx__NodeProto *n, Onnx__AttributeProto a)
{
	n->n_attribute = 1;
	n->attribute = FTL_NEW_N(m->tmp, Onnx__AttributeProto *, 1);
	n->attribute[0] = ftl_arena_dup(m->tmp, &a, sizeof a);
}

static const char *name_of(const Onnx__ValueInfoProto *v)
{
	return v->name ? v->name : "";
}

/* for i: body(at(s0, i), at(s1, i) or a tensor, ...), each result appended to a sequence of its own. The names that stand
 * for the node's inputs and for the loop's own values are none that a model can give: they hold a control character. */
static void map_loop(imp *m, const Onnx__GraphProto *body)
{
	size_t nin = body->n_input, nout = body->n_output, k = 0;
	Onnx__NodeProto **list = FTL_NEW_N(m->tmp, Onnx__NodeProto *, nin + body->n_node + nout + 1), *loop;
	Onnx__GraphProto *gp = ftl_arena_dup(m->tmp, body, sizeof *body);
	Onnx__AttributeProto a = ONNX__ATTRIBUTE_PROTO__INIT;
	text_list in = names(m, nout + 2, "\1n", ""), out = names(m, nout, "", "");

	gp->n_input = gp->n_output = 0;
	gp->input = FTL_NEW_N(m->tmp, Onnx__ValueInfoProto *, nout + 2);
	gp->output = FTL_NEW_N(m->tmp, Onnx__ValueInfoProto *, nout + 1);
	gp->input[gp->n_input++] = value_info(m, "\1i");
	gp->input[gp->n_input++] = value_info(m, "\1go");
	gp->output[gp->n_output++] = value_info(m, "\1on");
	list[k++] = node(m, "Identity", names(m, 1, "\1go", ""), names(m, 1, "\1on", ""));
	for (size_t i = 0; i < nin; i++) {
		const char *x = ftl_arena_printf(m->tmp, "\1in%zu", i);
		bool seq = ftl_imp_kind(m, &m->cur->in[i]) != IMP_TENSOR;

		list[k++] = node(m, seq ? "SequenceAt" : "Identity", names(m, seq ? 2 : 1, x, "\1i"),
				 names(m, 1, name_of(body->input[i]), ""));
	}
	for (size_t i = 0; i < body->n_node; i++)
		list[k++] = body->node[i];
	for (size_t i = 0; i < nout; i++) {
		const char *before = ftl_arena_printf(m->tmp, "\1s%zu", i),
			   *after = ftl_arena_printf(m->tmp, "\1t%zu", i);

		list[k++] = node(m, "SequenceInsert", names(m, 2, before, name_of(body->output[i])),
				 names(m, 1, after, ""));
		gp->input[gp->n_input++] = value_info(m, before);
		gp->output[gp->n_output++] = value_info(m, after);
		in.v[i + 2] = ftl_arena_printf(m->tmp, "\1e%zu", i);
		out.v[i] = ftl_arena_printf(m->tmp, "\1r%zu", i);
	}
	gp->n_node = k;
	gp->node = list;
	loop = node(m, "Loop", in, out);
	a.name = (char *)(uintptr_t) "body";
	a.g = gp;
	set_attr(m, loop, a);
	ftl_imp_nodes(m, 1, &loop);
}

void ftl_imp_do_sequence_map(imp *m)
{
	const Onnx__GraphProto *body = ftl_imp_subgraph(m, "body");
	Onnx__NodeProto *length;
	imp_scope *before;
	int kind;

	if (m->failed)
		return;
	if (m->cur->nin == 0 || body->n_input != m->cur->nin || body->n_output < m->cur->nout ||
	    body->n_output > IMP_MAX_IN) {
		bad_model(m, "has %u inputs and %u outputs, its body %zu and %zu", m->cur->nin, m->cur->nout,
			  body->n_input, body->n_output);
		return;
	}
	kind = ftl_imp_kind(m, &m->cur->in[0]);
	if (kind != FTL_SEQ_LIST && kind != FTL_SEQ_OPT_LIST) {
		bad_model(m, "input 0 is not a sequence");
		return;
	}
	before = ftl_imp_scope_push(m, true);
	for (uint32_t i = 0; i < m->cur->nin; i++)
		ftl_imp_bind(m, ftl_arena_printf(m->tmp, "\1in%u", i), m->cur->in[i]);
	for (size_t i = 0; i < body->n_output; i++) {
		const Onnx__TypeProto *t = body->output[i]->type;
		imp_seq *s = FTL_NEW(m->tmp, imp_seq);

		s->dtype = t && t->tensor_type ? ftl_onnx_dtype(t->tensor_type->elem_type) : FTL_NO_DTYPE;
		if (s->dtype == FTL_NO_DTYPE)
			bad_model(m, "output %zu of the body has no element type", i);
		ftl_imp_bind(m, ftl_arena_printf(m->tmp, "\1e%zu", i), (imp_bound){.seq = s});
	}
	length = node(m, "SequenceLength", names(m, 1, "\1in0", ""), names(m, 1, "\1n", ""));
	if (!m->failed)
		ftl_imp_nodes(m, 1, &length);
	if (!m->failed)
		map_loop(m, body);
	for (uint32_t i = 0; i < m->cur->nout && !m->failed; i++)
		m->cur->out[i] = *ftl_imp_lookup(m, ftl_arena_printf(m->tmp, "\1r%u", i));
	ftl_imp_scope_pop(m, before);
}
