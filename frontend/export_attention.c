/* attention in operators that every runtime has: products, a softmax, and the nodes of its regions in place. */
#include "exp.h"
#include "tensor.h"

static const ftl_type *type_of(const exporter *x, ftl_val v)
{
	return ftl_type_of(x->g, v);
}

/* Heads of keys (or values) as many as there are of queries: each of theirs in a row for its group. */
static const char *repeat_heads(exporter *x, const char *name, const ftl_type *t, const ftl_type *q)
{
	ftl_symtab *st = x->g->st;
	ftl_dim wide[FTL_MAX_RANK + 1], flat[FTL_MAX_RANK];
	int64_t have, want, at;

	for (int i = 0; i < t->rank; i++)
		flat[i] = t->dims[i];
	for (int i = 0; i + 2 < t->rank; i++) {
		if (ftl_dim_known_eq(st, t->dims[i], q->dims[i]) == 1 ||
		    (ftl_dim_is_const(st, t->dims[i], &have) && have == 1))
			continue; /* alike, or MatMul repeats it */
		if (t->rank == FTL_MAX_RANK || !ftl_dim_is_const(st, t->dims[i], &have) ||
		    !ftl_dim_is_const(st, q->dims[i], &want) || have == 0) {
			ftl_exp_fail(x, FTL_ERR_UNSUPPORTED,
				     "attention with groups of unknown size cannot be exported");
			return name;
		}
		for (int d = 0, o = 0; d < t->rank; d++) {
			wide[o++] = flat[d];
			if (d == i)
				wide[o++] = ftl_dim_const(st, want / have);
		}
		at = i + 1;
		name = ftl_exp_op2(x, "Unsqueeze", name, ftl_exp_i64s(x, 1, &at));
		name = ftl_exp_op2(x, "Expand", name, ftl_exp_dims(x, (uint32_t)t->rank + 1, wide));
		flat[i] = q->dims[i];
		name = ftl_exp_op2(x, "Reshape", name, ftl_exp_dims(x, (uint32_t)t->rank, flat));
	}
	return name;
}

static const char *cast(exporter *x, const char *v, ftl_dtype from, ftl_dtype to)
{
	const char *out;
	Onnx__NodeProto *n;

	if (from == to)
		return v;
	out = ftl_exp_tmp(x);
	n = ftl_exp_node(x, "Cast", 1, &v, 1, &out);
	ftl_exp_i(x, n, "to", ftl_onnx_dtype_code(to));
	return out;
}

/* The nodes of region r with its parameter called `param`; what it yields. */
static const char *region(exporter *x, ftl_region_id r, const char *param, ftl_dtype *out_type)
{
	const ftl_region *reg = ftl_region_get(x->g, r);
	ftl_val y = ftl_node_get(x->g, reg->last)->in[0];
	ftl_node_id self = x->node;

	x->name[reg->params.v[0]] = param;
	ftl_exp_nodes(x, r);
	x->node = self;
	*out_type = type_of(x, y)->dtype;
	return x->failed ? param : ftl_exp_name(x, y);
}

static const char *softmax(exporter *x, const char *v)
{
	const char *out = ftl_exp_tmp(x);

	ftl_exp_i(x, ftl_exp_node(x, "Softmax", 1, &v, 1, &out), "axis", -1);
	return out;
}

/* A column of logits behind the keys', which takes part in the sums and then goes. */
static const char *softmax_with_sink(exporter *x, ftl_node_id id, const char *v, ftl_dtype t, const ftl_type *scores)
{
	const ftl_node *n = ftl_node_get(x->g, id);
	ftl_dim d[FTL_MAX_RANK];
	const char *sink = cast(x, ftl_exp_in(x, id, 3), type_of(x, n->in[3])->dtype, t), *all = ftl_exp_tmp(x), *in[4];
	int64_t zero = 0, last = scores->rank - 1;

	for (int i = 0; i < scores->rank; i++)
		d[i] = i == last ? ftl_dim_const(x->g->st, 1) : scores->dims[i];
	sink = ftl_exp_op2(x, "Expand", sink, ftl_exp_dims(x, (uint32_t)scores->rank, d));
	ftl_exp_i(x, ftl_exp_node(x, "Concat", 2, (const char *const[]){v, sink}, 1, &all), "axis", -1);
	in[0] = softmax(x, all);
	in[1] = ftl_exp_i64s(x, 1, &zero);
	in[2] = ftl_exp_dim(x, scores->dims[last]);
	in[3] = ftl_exp_i64s(x, 1, &last);
	return ftl_exp_op(x, "Slice", 4, in);
}

void ftl_exp_do_attention(exporter *x, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(x->g, id);
	const struct ftl_attrs_attention *a = FTL_ATTRS(n, attention);
	const ftl_type *q = type_of(x, n->in[0]), *scores;
	const char *k = repeat_heads(x, ftl_exp_in(x, id, 1), type_of(x, n->in[1]), q);
	const char *v = repeat_heads(x, ftl_exp_in(x, id, 2), type_of(x, n->in[2]), q), *s, *out;
	ftl_dtype t;

	scores = type_of(x, ftl_region_get(x->g, n->regions[0])->params.v[0]);
	s = ftl_exp_op2(x, "MatMul", ftl_exp_in(x, id, 0), ftl_exp_transpose_last(x, k, q->rank));
	if (a->scale != 1)
		s = ftl_exp_op2(x, "Mul", s, ftl_exp_scalar(x, scores->dtype, a->scale));
	s = region(x, n->regions[0], s, &t);
	if (!a->linear)
		s = n->nin > 3 && n->in[3] ? softmax_with_sink(x, id, s, t, scores) : softmax(x, s);
	if (a->nan_zero) {
		const char *in[3] = {ftl_exp_op1(x, "IsNaN", s), ftl_exp_scalar(x, t, 0), s};

		s = ftl_exp_op(x, "Where", 3, in);
	}
	if (n->nregion > 1) {
		s = cast(x, s, t, scores->dtype);
		s = region(x, n->regions[1], s, &t);
	}
	s = cast(x, s, t, type_of(x, n->in[2])->dtype);
	out = ftl_exp_out(x, id, 0);
	ftl_exp_node(x, "MatMul", 2, (const char *const[]){s, v}, 1, &out);
}
