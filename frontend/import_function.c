/* Model-local functions, inlined at every call.
 *
 * A body sees its parameters and nothing around it; attributes of its nodes may refer to attributes of the call.
 * Recursion is an error; what nesting multiplies is bounded by max_nodes. */
#include "imp.h"

#define MAX_CALLS 64

const Onnx__FunctionProto *ftl_imp_function(const imp *m, const Onnx__NodeProto *n)
{
	char *key;

	if (m->model->n_functions == 0)
		return NULL;
	key = ftl_arena_printf(m->tmp, "%s::%s:%s", n->domain ? n->domain : "", n->op_type ? n->op_type : "",
			       n->overload ? n->overload : "");
	return ftl_map_get(m->functions, key);
}

void ftl_imp_call(imp *m, const Onnx__FunctionProto *fn)
{
	imp_cur *call = m->cur;
	imp_frame f = {.fn = fn,
		       .call = call->node,
		       .parent = m->frame,
		       .loc = call->loc,
		       .depth = m->frame ? m->frame->depth + 1 : 1,
		       .opsets = ftl_map_new(m->tmp)};
	imp_scope *before;

	for (const imp_frame *p = m->frame; p; p = p->parent) {
		if (p->fn == fn) {
			bad_model(m, "function %s calls itself", fn->name);
			return;
		}
	}
	if (f.depth > MAX_CALLS) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "functions call each other more than %d deep", MAX_CALLS);
		return;
	}
	if (call->nin > fn->n_input || call->nout > fn->n_output) {
		bad_model(m, "has %u inputs and %u outputs, function %s has %zu and %zu", call->nin, call->nout,
			  fn->name, fn->n_input, fn->n_output);
		return;
	}
	for (size_t i = 0; i < fn->n_opset_import; i++) {
		const char *d = fn->opset_import[i]->domain;
		ftl_map_set(f.opsets, d && strcmp(d, "ai.onnx") ? d : "", &fn->opset_import[i]->version);
	}
	before = ftl_imp_scope_push(m, false);
	for (size_t i = 0; i < fn->n_input && !m->failed; i++) {
		imp_bound b = i < call->nin ? call->in[i] : (imp_bound){0};
		if (!b.v && !b.seq)
			b.none = true;
		ftl_imp_bind(m, fn->input[i], b);
	}
	m->frame = &f;
	if (!m->failed)
		ftl_imp_nodes(m, fn->n_node, fn->node);
	m->frame = f.parent;
	for (uint32_t i = 0; i < call->nout && !m->failed; i++) {
		const imp_bound *b = ftl_imp_lookup(m, fn->output[i]);
		if (b)
			call->out[i] = *b;
		else if (call->node->output[i][0])
			bad_model(m, "function %s does not define its output \"%s\"", fn->name, fn->output[i]);
	}
	ftl_imp_scope_pop(m, before);
}
