/* LSTM, GRU, RNN: one node each; layout 1 (batch first) through transposes. */
#include "imp.h"

static const char *activation_list(imp *m)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, "activations");
	ftl_text t;

	ftl_text_init(&t, m->arena);
	for (size_t i = 0; a && i < a->n_strings && i < 64; i++) {
		if (i)
			ftl_text_bytes(&t, ",", 1);
		ftl_text_bytes(&t, (const char *)a->strings[i].data, a->strings[i].len);
	}
	return t.v ? t.v : "";
}

static ftl_val swap01(imp *m, ftl_val v)
{
	static const int three[] = {1, 0, 2};

	if (!v)
		return 0;
	ftl_imp_want_rank(m, v, 3, 3, "an input");
	return m->failed ? 0 : ftl_imp_transpose(m, v, three);
}

/* Set field `name` of attrs, if the op has it. */
static void *field(ftl_op op, void *attrs, const char *name)
{
	const ftl_op_info *info = ftl_op_get(op);

	for (int i = 0; i < info->nattr; i++)
		if (!strcmp(info->attr[i].name, name))
			return (char *)attrs + info->attr[i].offset;
	return NULL;
}

void ftl_imp_do_rnn(imp *m)
{
	static const int y_perm[] = {2, 0, 1, 3}; /* [seq, dirs, batch, h] -> [batch, seq, dirs, h] */
	ftl_op op = m->cur->row->op;
	const ftl_op_info *info = ftl_op_get(op);
	void *a = ftl_attrs_default(m->g, op), *f;
	bool batch_first = ftl_imp_i(m, "layout", 0) != 0;
	ftl_val in[8] = {0}, out[3] = {0};
	uint32_t n = m->cur->nin;

	while (n > 0 && !ftl_imp_in(m, n - 1))
		n--;
	if (n > (uint32_t)info->max_in || n < 3) {
		bad_model(m, "has %u inputs", n);
		return;
	}
	for (uint32_t k = 0; k < n; k++)
		in[k] = k < 3 ? ftl_imp_need(m, k) : ftl_imp_in(m, k);
	if (batch_first) {
		in[0] = swap01(m, in[0]);
		in[5] = swap01(m, in[5]);
		in[6] = swap01(m, in[6]);
	}
	*(int64_t *)field(op, a, "hidden") = ftl_imp_i(m, "hidden_size", 0);
	if (!ftl_imp_has(m, "hidden_size"))
		*(int64_t *)field(op, a, "hidden") = ftl_imp_const_dim(m, in[2], 2, "the hidden size");
	*(const char **)field(op, a, "direction") = ftl_imp_s(m, "direction", "forward");
	*(const char **)field(op, a, "activations") = activation_list(m);
	*(ftl_floats *)field(op, a, "alpha") = ftl_imp_floats(m, "activation_alpha");
	*(ftl_floats *)field(op, a, "beta") = ftl_imp_floats(m, "activation_beta");
	*(double *)field(op, a, "clip") = ftl_imp_f(m, "clip", 0);
	if ((f = field(op, a, "input_forget")))
		*(bool *)f = ftl_imp_i(m, "input_forget", 0) != 0;
	if ((f = field(op, a, "linear_before_reset")))
		*(bool *)f = ftl_imp_i(m, "linear_before_reset", 0) != 0;
	ftl_imp_ops(m, op, a, n, in, (uint32_t)info->nout, out);
	if (batch_first) {
		if (ftl_imp_wants(m, 0))
			out[0] = ftl_imp_transpose(m, out[0], y_perm);
		for (uint32_t k = 1; k < 3; k++)
			if (ftl_imp_wants(m, k))
				out[k] = swap01(m, out[k]);
	}
	for (uint32_t k = 0; k < (uint32_t)info->nout; k++)
		ftl_imp_out(m, k, out[k]);
}
