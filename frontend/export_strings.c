/* Strings as ONNX. */
#include "exp.h"
#include "tensor.h"

/* A Constant: files' initializers are written from bytes, which strings are not. */
void ftl_exp_do_strings(exporter *x, ftl_node_id id)
{
	const struct ftl_attrs_strings *a = FTL_ATTRS(ftl_node_get(x->g, id), strings);
	const char *out = ftl_exp_out(x, id, 0);
	Onnx__NodeProto *n = ftl_exp_node(x, "Constant", 0, NULL, 1, &out);

	ftl_exp_value_strings(x, n, a->dims, a->values);
}

void ftl_exp_do_string_from(exporter *x, ftl_node_id id)
{
	const char *in = ftl_exp_in(x, id, 0), *out = ftl_exp_out(x, id, 0);

	ftl_exp_i(x, ftl_exp_node(x, "Cast", 1, &in, 1, &out), "to", ftl_onnx_dtype_code(FTL_STRING));
}

void ftl_exp_do_string_split(exporter *x, ftl_node_id id)
{
	const struct ftl_attrs_string_split *a = FTL_ATTRS(ftl_node_get(x->g, id), string_split);
	const char *in = ftl_exp_in(x, id, 0), *out[2] = {ftl_exp_out(x, id, 0), ftl_exp_out(x, id, 1)};
	Onnx__NodeProto *n = ftl_exp_node(x, "StringSplit", 1, &in, 2, out);

	if (a->delimiter.n)
		ftl_exp_bytes(x, n, "delimiter", a->delimiter.v);
	if (a->max_split != INT64_MAX)
		ftl_exp_i(x, n, "maxsplit", a->max_split);
}

void ftl_exp_do_string_match(exporter *x, ftl_node_id id)
{
	const char *in = ftl_exp_in(x, id, 0), *out = ftl_exp_out(x, id, 0);
	Onnx__NodeProto *n = ftl_exp_node(x, "RegexFullMatch", 1, &in, 1, &out);

	ftl_exp_bytes(x, n, "pattern", FTL_ATTRS(ftl_node_get(x->g, id), string_match)->pattern.v);
}
