/* From a model file to a graph: opening, inputs and outputs, and how errors are worded.
 *
 * The unpacked message lives in a scratch arena that goes when import returns; weights are views into the mapping,
 * which lives as long as the graph's arena. All unsupported operators of a model are reported at once, before
 * anything is built. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "imp.h"
#include "wire.h"

/* Nodes a model may become when the caller does not say: functions multiply, so in proportion to the file. */
#define MIN_NODES 300000ull
#define BYTES_PER_NODE 16
#define MAX_NODES 50000000ull
#define OLDEST_OPSET 7
#define NEWEST_OPSET 26
#define NEWEST_IR 14

/* ---- errors ---- */

void ftl_imp_keep(imp *m, ftl_status_code rc)
{
	if (!m->failed) {
		m->failed = true;
		m->status = rc;
	}
}

void ftl_imp_fail(imp *m, ftl_status_code code, const char *fmt, ...)
{
	char text[800];
	const imp_cur *c = m->cur;
	va_list ap;

	if (m->failed)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (c) {
		const char *domain = c->node->domain && strcmp(c->node->domain, "ai.onnx") ? c->node->domain : "";
		ftl_fail(m->diag, code, "%s: node \"%.200s\" (%s%s%.80s, opset %lld): %s", m->file, c->loc, domain,
			 *domain ? "::" : "", c->node->op_type ? c->node->op_type : "", (long long)c->opset, text);
	} else {
		ftl_fail(m->diag, code, "%s: %s", m->file, text);
	}
	ftl_imp_keep(m, code);
}

/* ---- unsupported operators, all at once ---- */

typedef struct missing {
	char *name;
	uint32_t count;
	const char *why;
	const char *node; /* name of the first */
} missing;

typedef struct survey {
	imp *m;
	ftl_map *seen; /* "domain::Op" -> missing */
	FTL_VEC(missing *) list;
} survey;

static void survey_nodes(survey *s, size_t n, Onnx__NodeProto **nodes);

static void survey_graph(survey *s, const Onnx__GraphProto *gp)
{
	survey_nodes(s, gp->n_node, gp->node);
}

static void survey_nodes(survey *s, size_t n, Onnx__NodeProto **nodes)
{
	for (size_t i = 0; i < n; i++) {
		const Onnx__NodeProto *node = nodes[i];
		const char *domain = node->domain && strcmp(node->domain, "ai.onnx") ? node->domain : "";
		const char *op = node->op_type ? node->op_type : "";
		bool known;
		int64_t opset = ftl_imp_opset(s->m, domain);

		for (size_t k = 0; k < node->n_attribute; k++)
			if (node->attribute[k]->g)
				survey_graph(s, node->attribute[k]->g);
		if (ftl_imp_function(s->m, node) || ftl_imp_row(s->m, domain, op, opset, &known))
			continue;
		char *key = ftl_arena_printf(s->m->tmp, "%.80s%s%.80s", domain, *domain ? "::" : "", op);
		missing *x = ftl_map_get(s->seen, key);
		if (!x) {
			x = FTL_NEW(s->m->tmp, missing);
			x->name = key;
			x->node = node->name && *node->name ? node->name
							    : ftl_arena_printf(s->m->tmp, "%.80s_%zu", op, i);
			if (known)
				x->why = ftl_arena_printf(s->m->tmp, " of opset %lld", (long long)opset);
			ftl_map_set(s->seen, key, x);
			ftl_vec_push(s->m->tmp, &s->list, x);
		}
		x->count++;
	}
}

static void check_supported(imp *m)
{
	survey s = {.m = m, .seen = ftl_map_new(m->tmp)};
	ftl_text t;

	survey_graph(&s, m->model->graph);
	/* A function's nodes live under its own opsets; which ones are called is not looked at here. */
	for (size_t i = 0; i < m->model->n_functions; i++) {
		const Onnx__FunctionProto *fn = m->model->functions[i];
		imp_frame f = {.fn = fn, .opsets = ftl_map_new(m->tmp)};
		for (size_t k = 0; k < fn->n_opset_import; k++) {
			const char *d = fn->opset_import[k]->domain;
			ftl_map_set(f.opsets, d && strcmp(d, "ai.onnx") ? d : "", &fn->opset_import[k]->version);
		}
		m->frame = &f;
		survey_nodes(&s, fn->n_node, fn->node);
		m->frame = NULL;
	}
	if (s.list.n == 0)
		return;
	ftl_text_init(&t, m->tmp);
	for (uint32_t i = 0; i < s.list.n && t.n < 600; i++)
		ftl_text_add(&t, "%s%s%s (%u node%s, first \"%.80s\")", i ? ", " : "", s.list.v[i]->name,
			     s.list.v[i]->why ? s.list.v[i]->why : "", s.list.v[i]->count,
			     s.list.v[i]->count == 1 ? "" : "s", s.list.v[i]->node);
	unsupported(m, "unsupported operators: %s; export the model with standard operators of opset %d to %d", t.v,
		    OLDEST_OPSET, NEWEST_OPSET);
}

/* ---- inputs ---- */

static const ftl_import_shape *shape_option(const imp *m, const char *name)
{
	for (size_t i = 0; i < m->opt.n_shapes; i++)
		if (!strcmp(m->opt.shapes[i].input, name))
			return &m->opt.shapes[i];
	return NULL;
}

static bool is_overridable(const imp *m, const char *name)
{
	for (size_t i = 0; i < m->opt.n_overridable; i++)
		if (!strcmp(m->opt.overridable[i], name))
			return true;
	return false;
}

typedef struct inputs {
	ftl_map *initializers;
	ftl_map *fixed;             /* dim name -> &value */
	ftl_map *bare;              /* dim names that some input shows alone */
	ftl_map *named;             /* what --dim may name: all that stand in the model, and those of unnamed dims */
	FTL_VEC(const char *) open; /* the same as a list */
} inputs;

static const ftl_pb_tensor *constant_option(const imp *m, const char *name)
{
	for (size_t i = 0; i < m->opt.n_constants; i++)
		if (!strcmp(m->opt.constants[i].name, name))
			return &m->opt.constants[i];
	return NULL;
}

static bool is_input(const imp *m, const inputs *in, const Onnx__ValueInfoProto *vi)
{
	const char *name = vi->name ? vi->name : "";

	if (constant_option(m, name))
		return false;
	return !ftl_map_get(in->initializers, name) || is_overridable(m, name);
}

static const Onnx__TensorShapeProto *shape_of(const Onnx__ValueInfoProto *vi)
{
	return vi->type && vi->type->tensor_type ? vi->type->tensor_type->shape : NULL;
}

static bool has_param(const Onnx__TensorShapeProto__Dimension *d)
{
	return !d->has_dim_value && d->dim_param && *d->dim_param;
}

/* What the options fix: dims by name, and names in the place of dims that a given shape fills. */
static void collect_dims(imp *m, inputs *in)
{
	const Onnx__GraphProto *gp = m->model->graph;

	in->fixed = ftl_map_new(m->tmp);
	in->bare = ftl_map_new(m->tmp);
	for (size_t i = 0; i < m->opt.n_dims; i++)
		if (m->opt.dims[i].lo == m->opt.dims[i].hi)
			ftl_map_set(in->fixed, m->opt.dims[i].name, (void *)&m->opt.dims[i].lo);
	for (size_t i = 0; i < gp->n_input; i++) {
		const Onnx__TensorShapeProto *s = shape_of(gp->input[i]);
		const ftl_import_shape *given = shape_option(m, gp->input[i]->name ? gp->input[i]->name : "");
		for (size_t k = 0; s && k < s->n_dim && is_input(m, in, gp->input[i]); k++) {
			if (!has_param(s->dim[k]))
				continue;
			ftl_map_set(in->bare, s->dim[k]->dim_param, m);
			if (given && (size_t)given->rank == s->n_dim && given->dims[k] >= 0)
				ftl_map_set(in->fixed, s->dim[k]->dim_param, (void *)&given->dims[k]);
		}
	}
}

static ftl_dim named_dim(imp *m, inputs *in, const char *name)
{
	const int64_t *v = ftl_map_get(in->fixed, name);

	if (!ftl_map_get(in->named, name)) {
		ftl_map_set(in->named, name, m);
		ftl_vec_push(m->tmp, &in->open, name);
	}
	return v ? dim_c(m, *v) : ftl_dim_sym(m->st, name);
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* "past_sequence_length + sequence_length" is a sum if both words are dims of their own somewhere; everything else is
 * just a name. */
static ftl_dim param_dim(imp *m, inputs *in, const char *text)
{
	ftl_dim sum = dim_c(m, 0);
	const char *s = text;

	if (ftl_map_get(in->fixed, text) || !strchr(text, '+'))
		return named_dim(m, in, text);
	for (;;) {
		s += strspn(s, " ");
		const char *word = s;
		while (is_word(*s))
			s++;
		if (s == word)
			break;
		char *name = ftl_arena_strn(m->tmp, word, (size_t)(s - word));
		char *digits_end = name + strspn(name, "0123456789");
		if (!*digits_end && s - word < 10)
			sum = ftl_dim_add(m->st, sum, dim_c(m, strtoll(name, NULL, 10)));
		else if (ftl_map_get(in->bare, name) || ftl_map_get(in->fixed, name))
			sum = ftl_dim_add(m->st, sum, named_dim(m, in, name));
		else
			break;
		s += strspn(s, " ");
		if (!*s)
			return sum;
		if (*s++ != '+')
			break;
	}
	return named_dim(m, in, text);
}

/* A dim without a name gets one, which can be given a value or bounds as well. */
static ftl_dim unnamed_dim(imp *m, inputs *in, const char *hint)
{
	ftl_dim d;

	if (ftl_map_get(in->fixed, hint) && !ftl_map_get(in->bare, hint))
		return named_dim(m, in, hint);
	d = ftl_dim_fresh(m->st, hint);
	if (d != FTL_DIM_NONE)
		(void)named_dim(m, in, ftl_dim_get(m->st, d)->name);
	return d;
}

/* A misspelt name would otherwise leave its dim open without a word. */
static void check_dims(imp *m, const inputs *in)
{
	for (size_t i = 0; i < m->opt.n_dims && !m->failed; i++) {
		const char *name = m->opt.dims[i].name;
		ftl_text t;

		if (ftl_map_get(in->named, name) || ftl_map_get(in->bare, name))
			continue;
		ftl_text_init(&t, m->tmp);
		for (uint32_t k = 0; k < in->open.n && k < 20; k++)
			ftl_text_add(&t, "%s%.80s", k ? ", " : "", in->open.v[k]);
		ftl_imp_fail(m, FTL_ERR_USAGE, "there is no dim \"%.80s\" to give a value; open dims: %s%s", name,
			     in->open.n ? t.v : "none", in->open.n > 20 ? ", ..." : "");
	}
}

/* A given shape is the elements'. */
static void sequence_type(imp *m, const Onnx__ValueInfoProto *vi, const ftl_import_shape *given, ftl_type *out)
{
	const char *what = ftl_arena_printf(m->tmp, "input \"%s\"", vi->name ? vi->name : "");
	ftl_seq_type s;

	if (!ftl_imp_declared(m, vi->type, what, out) || !given)
		return;
	s = *out->seq;
	if ((s.rank >= 0 && s.rank != given->rank) || given->rank > FTL_MAX_RANK) {
		bad_model(m, "%s has elements of rank %d in the model, the given shape has %d", what, s.rank,
			  given->rank);
		return;
	}
	for (int i = 0; i < given->rank; i++) {
		if (s.rank < 0)
			s.dims[i] = -1;
		if (given->dims[i] >= 0)
			s.dims[i] = given->dims[i];
	}
	s.rank = (int8_t)given->rank;
	*out = ftl_type_make_seq(m->g, out->dtype, &s);
}

static void input_type(imp *m, inputs *in, const Onnx__ValueInfoProto *vi, ftl_type *out)
{
	const char *name = vi->name ? vi->name : "";
	const Onnx__TensorShapeProto *s = shape_of(vi);
	const ftl_import_shape *given = shape_option(m, name);
	ftl_dim dims[FTL_MAX_RANK];
	ftl_dtype t;
	size_t rank = given ? (size_t)given->rank : s ? s->n_dim : 0;

	if (ftl_imp_declared_kind(vi->type) != IMP_TENSOR) {
		sequence_type(m, vi, given, out);
		return;
	}
	if (!vi->type || !vi->type->tensor_type) {
		unsupported(m, "input \"%s\" is not a tensor", name);
		return;
	}
	t = ftl_onnx_dtype(vi->type->tensor_type->elem_type);
	if (t == FTL_NO_DTYPE) {
		unsupported(m, "input \"%s\": element type %s is not supported", name,
			    ftl_onnx_dtype_name(vi->type->tensor_type->elem_type));
		return;
	}
	if (!given && !s) {
		bad_model(m, "input \"%s\" has no shape in the model; give one (--shape %s=...)", name, name);
		return;
	}
	if (given && s && s->n_dim != rank) {
		bad_model(m, "input \"%s\" has rank %zu in the model, the given shape has %zu", name, s->n_dim, rank);
		return;
	}
	if (rank > FTL_MAX_RANK) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "input \"%s\": rank %zu is above the limit of %d", name, rank,
			     FTL_MAX_RANK);
		return;
	}
	for (size_t i = 0; i < rank; i++) {
		const Onnx__TensorShapeProto__Dimension *d = s ? s->dim[i] : NULL;
		int64_t want = given ? given->dims[i] : -1;

		if (want >= 0 && d && d->has_dim_value && d->dim_value >= 0 && d->dim_value != want) {
			bad_model(m, "input \"%s\": dim %zu is %lld in the model, %lld in the given shape", name, i,
				  (long long)d->dim_value, (long long)want);
			return;
		}
		if (want >= 0)
			dims[i] = dim_c(m, want);
		else if (d && d->has_dim_value && d->dim_value >= 0)
			dims[i] = dim_c(m, d->dim_value);
		else if (d && has_param(d))
			dims[i] = param_dim(m, in, d->dim_param);
		else
			dims[i] = unnamed_dim(m, in, ftl_arena_printf(m->tmp, "%s_%zu", name, i));
	}
	*out = ftl_type_make(m->g, t, (int)rank, dims);
}

static void bind_constant(imp *m, const ftl_pb_tensor *t)
{
	ftl_loc before = m->b.loc;

	m->b.loc = ftl_arena_str(m->arena, t->name);
	ftl_imp_bind(m, t->name, (imp_bound){.v = ftl_build_const_bytes(&m->b, t->dtype, t->rank, t->dims, t->data)});
	m->b.loc = before;
}

static void add_inputs(imp *m)
{
	const Onnx__GraphProto *gp = m->model->graph;
	inputs in = {.initializers = ftl_map_new(m->tmp), .named = ftl_map_new(m->tmp)};

	for (size_t i = 0; i < gp->n_initializer; i++)
		if (gp->initializer[i]->name)
			ftl_map_set(in.initializers, gp->initializer[i]->name, m);
	for (size_t i = 0; i < gp->n_sparse_initializer; i++)
		if (gp->sparse_initializer[i]->values && gp->sparse_initializer[i]->values->name)
			ftl_map_set(in.initializers, gp->sparse_initializer[i]->values->name, m);
	collect_dims(m, &in);
	for (size_t i = 0; i < gp->n_input && !m->failed; i++) {
		const char *name = gp->input[i]->name ? gp->input[i]->name : "";
		ftl_type t;
		if (constant_option(m, name))
			bind_constant(m, constant_option(m, name));
		if (!is_input(m, &in, gp->input[i]))
			continue;
		input_type(m, &in, gp->input[i], &t);
		if (!m->failed)
			ftl_imp_bind(m, name, (imp_bound){.v = ftl_param_new(m->g, m->g->body, t, name)});
	}
	check_dims(m, &in);
	for (size_t i = 0; i < m->opt.n_dims && !m->failed; i++)
		if (m->opt.dims[i].lo != m->opt.dims[i].hi)
			ftl_dim_set_bounds(m->st, ftl_dim_sym(m->st, m->opt.dims[i].name), m->opt.dims[i].lo,
					   m->opt.dims[i].hi);
}

/* A wrong declared type means that somebody else's view of the model differs from ours. */
static void check_output(imp *m, const Onnx__ValueInfoProto *vi, ftl_val v)
{
	const Onnx__TypeProto *t = vi->type;
	int32_t code;

	if (t && t->optional_type)
		t = t->optional_type->elem_type;
	if (t && t->sequence_type)
		t = t->sequence_type->elem_type;
	code = t && t->tensor_type ? t->tensor_type->elem_type : 0;
	if (code && ftl_onnx_dtype(code) != dtype_of(m, v))
		bad_model(m, "graph output \"%s\" is declared with element type %s, but is %s", vi->name,
			  ftl_onnx_dtype_name(code), ftl_onnx_dtype_name(ftl_onnx_dtype_code(dtype_of(m, v))));
}

static void add_outputs(imp *m)
{
	const Onnx__GraphProto *gp = m->model->graph;
	ftl_val *out = FTL_NEW_N(m->tmp, ftl_val, gp->n_output + 1);
	int kind;

	m->b.loc = "outputs";
	for (size_t i = 0; i < gp->n_output && !m->failed; i++) {
		const imp_bound *b = ftl_imp_result(m, gp, i);
		if (!b)
			return;
		kind = ftl_imp_kind(m, b);
		if (gp->output[i]->type && (kind != IMP_TENSOR || !gp->output[i]->type->tensor_type))
			kind = ftl_imp_declared_kind(gp->output[i]->type);
		out[i] = ftl_imp_value(m, b, kind);
		if (m->failed)
			return;
		check_output(m, gp->output[i], out[i]);
		ftl_vec_push(m->arena, &m->g->out_names, ftl_arena_str(m->arena, gp->output[i]->name));
	}
	if (!m->failed)
		ftl_build_yield(&m->b, out, (uint32_t)gp->n_output);
}

/* ---- the model ---- */

static const char *base_name(const char *path)
{
	const char *s = strrchr(path, '/');

	return s && s[1] ? s + 1 : path;
}

static void set_opsets(imp *m)
{
	static const int64_t by_ir[] = {1,  1,  1,  1,  9, 10,
					11, 14, 19, 20, 21}; /* the opset each IR version came with */
	const Onnx__ModelProto *model = m->model;
	int64_t *v;

	if (m->ir_version < 0 || m->ir_version > NEWEST_IR) {
		bad_model(m, "IR version %lld is unknown (newest: %d)", (long long)m->ir_version, NEWEST_IR);
		return;
	}
	m->opsets = ftl_map_new(m->tmp);
	if (model->n_opset_import == 0 && m->ir_version >= 3)
		bad_model(m, "the model imports no opset (IR version %lld)", (long long)m->ir_version);
	for (size_t i = 0; i < model->n_opset_import; i++) {
		const char *d = model->opset_import[i]->domain;
		ftl_map_set(m->opsets, d && strcmp(d, "ai.onnx") ? d : "", &model->opset_import[i]->version);
	}
	v = ftl_map_get(m->opsets, "");
	if (!v) {
		v = FTL_NEW(m->tmp, int64_t);
		*v = m->ir_version < (int64_t)FTL_COUNT(by_ir) ? by_ir[m->ir_version] : 21;
		ftl_map_set(m->opsets, "", v);
	}
	if (*v < 1)
		bad_model(m, "opset %lld does not exist", (long long)*v);
}

static void index_rows(imp *m)
{
	m->rows = ftl_map_new(m->tmp);
	for (size_t i = ftl_imp_nrows; i-- > 0;) /* backwards, so that the first row of an op stays */
		ftl_map_set(m->rows, ftl_arena_printf(m->tmp, "%s::%s", ftl_imp_rows[i].domain, ftl_imp_rows[i].name),
			    (void *)&ftl_imp_rows[i]);
}

static void index_functions(imp *m)
{
	m->functions = ftl_map_new(m->tmp);
	for (size_t i = 0; i < m->model->n_functions && !m->failed; i++) {
		Onnx__FunctionProto *fn = m->model->functions[i];
		char *key = ftl_arena_printf(m->tmp, "%s::%s:%s", fn->domain ? fn->domain : "",
					     fn->name ? fn->name : "", fn->overload ? fn->overload : "");
		if (ftl_map_get(m->functions, key))
			bad_model(m, "function %s is defined twice", key);
		ftl_map_set(m->functions, key, fn);
	}
}

static void drop_tmp(void *p)
{
	ftl_arena_free(p);
}

static ftl_status import(imp *m, const uint8_t *data, size_t n, const char *full_name, ftl_graph **out)
{
	ProtobufCMessage *msg;

	FTL_TRY(ftl_wire_unpack(m->tmp, &onnx__model_proto__descriptor, data, n, m->opt.max_bytes, full_name, m->diag,
				&msg));
	m->model = (const Onnx__ModelProto *)msg;
	if (!m->model->graph)
		return ftl_fail(m->diag, FTL_ERR_MODEL, "%s: not an ONNX model: it has no graph", full_name);
	m->ir_version = m->model->ir_version;
	m->g = ftl_graph_new(m->arena,
			     m->model->graph->name && *m->model->graph->name ? m->model->graph->name : "main");
	m->st = m->g->st;
	m->b = (ftl_builder){.g = m->g, .region = m->g->body, .loc = "", .diag = &m->local};
	m->nodes_left = m->opt.max_nodes ? m->opt.max_nodes : MIN_NODES + n / BYTES_PER_NODE;
	if (!m->opt.max_nodes && m->nodes_left > MAX_NODES)
		m->nodes_left = MAX_NODES;
	index_rows(m);
	index_functions(m);
	set_opsets(m);
	if (!m->failed)
		check_supported(m);
	ftl_imp_scope_push(m, false);
	if (!m->failed)
		add_inputs(m);
	if (!m->failed)
		ftl_imp_graph(m, m->model->graph);
	if (!m->failed)
		add_outputs(m);
	if (m->failed)
		return m->status;
	if (!m->opt.keep_dead)
		ftl_imp_sweep(m);
	m->g->file = ftl_arena_str(m->arena, m->file);
	*out = m->g;
	return FTL_OK;
}

static ftl_status run(ftl_arena *arena, const void *data, size_t n, bool mapped, const char *name, const char *dir,
		      const ftl_import_options *opt, ftl_diag *d, ftl_graph **out)
{
	imp *m = FTL_NEW(arena, imp);
	ftl_status_code rc;

	if (opt)
		m->opt = *opt;
	m->arena = arena;
	m->tmp = FTL_NEW(arena, ftl_arena);
	/* Freed below; the arena's own clean-up covers the way out over a failed allocation. */
	ftl_arena_init(m->tmp, arena->mem, arena->landing, 0);
	ftl_arena_defer(arena, drop_tmp, m->tmp);
	m->diag = d;
	m->file = base_name(name);
	m->src = (ftl_tensor_src){.arena = arena,
				  .base = data,
				  .base_size = n,
				  .file = m->file,
				  .dir = dir,
				  .files = ftl_map_new(m->tmp),
				  .mapped = mapped,
				  .diag = d};
	rc = import(m, data, n, name, out);
	ftl_arena_free(m->tmp);
	return rc;
}

ftl_status ftl_onnx_import_memory(ftl_arena *arena, const void *data, size_t n, const char *name, const char *dir,
				  const ftl_import_options *opt, ftl_diag *d, ftl_graph **out)
{
	return run(arena, data, n, false, name, dir, opt, d, out);
}

ftl_status ftl_onnx_import(ftl_arena *arena, const char *path, const ftl_import_options *opt, ftl_diag *d,
			   ftl_graph **out)
{
	ftl_file f;

	FTL_TRY(ftl_file_map(arena, path, d, &f));
	return run(arena, f.data, f.size, true, path, ftl_path_dir(arena, path), opt, d, out);
}
