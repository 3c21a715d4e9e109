/* What can be said of a loop's body by looking at its nodes, before it is imported. */
#include "imp.h"

/* What the body's Identity nodes rename: new name -> old one. */
ftl_map *ftl_imp_renamed(imp *m, const Onnx__GraphProto *gp)
{
	ftl_map *names = ftl_map_new(m->tmp);

	for (size_t i = 0; i < gp->n_node; i++) {
		const Onnx__NodeProto *n = gp->node[i];
		if (n->op_type && !strcmp(n->op_type, "Identity") && n->n_input == 1 && n->n_output == 1)
			ftl_map_set(names, n->output[0], n->input[0]);
	}
	return names;
}

/* Does the body hand input `in` back as output `out`, renamed at most? */
bool ftl_imp_passes_through(const ftl_map *names, const char *in, const char *out)
{
	for (int hops = 0; out && hops < 16; hops++) {
		if (!strcmp(in, out))
			return true;
		out = ftl_map_get(names, out);
	}
	return false;
}

static size_t mentions(const Onnx__GraphProto *gp, const char *name);

static size_t mentions_in(const Onnx__NodeProto *n, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < n->n_input; i++)
		count += n->input[i] && !strcmp(n->input[i], name);
	for (size_t i = 0; i < n->n_attribute; i++)
		if (n->attribute[i]->g)
			count += mentions(n->attribute[i]->g, name);
	return count;
}

/* How often nodes of gp or below read the name, or gp returns it. */
static size_t mentions(const Onnx__GraphProto *gp, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < gp->n_node; i++)
		count += mentions_in(gp->node[i], name);
	for (size_t i = 0; i < gp->n_output; i++)
		count += gp->output[i]->name && !strcmp(gp->output[i]->name, name);
	return count;
}

/* Does the body nothing with sequence `in` but append to it and hand that back as `out`? */
bool ftl_imp_appends(const Onnx__GraphProto *gp, const char *in, const char *out)
{
	bool inserted = false;

	for (int hops = 0; hops < 16; hops++) {
		const Onnx__NodeProto *reader = NULL;

		if (inserted && !strcmp(in, out))
			return mentions(gp, in) == 1;
		if (mentions(gp, in) != 1)
			return false;
		for (size_t i = 0; i < gp->n_node && !reader; i++)
			if (gp->node[i]->n_input && gp->node[i]->input[0] && !strcmp(gp->node[i]->input[0], in))
				reader = gp->node[i];
		if (!reader || !reader->op_type || reader->n_output != 1 || !reader->output[0])
			return false;
		if (!strcmp(reader->op_type, "SequenceInsert") && !inserted &&
		    (reader->n_input == 2 || (reader->n_input == 3 && !*reader->input[2])))
			inserted = true;
		else if (strcmp(reader->op_type, "Identity") != 0)
			return false;
		in = reader->output[0];
	}
	return false;
}
