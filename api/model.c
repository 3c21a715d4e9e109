/* Models: loading, and what their inputs and outputs look like. */
#include "api.h"

#include <ctype.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "frontend/onnx.h"
#include "ir/fir.h"
#include "ir/infer.h"

#define LOAD_BASE ((uint64_t)512 << 20) /* what a small model may take */

/* ---- options as text ---- */

/* "NAME" of "NAME=VALUE", cut at the last '=' (names may have one, values have none). */
static ftl_status split(ftl_arena *a, const char *s, const char *what, ftl_diag *d, const char **out_name,
			const char **out_value)
{
	const char *eq = s ? strrchr(s, '=') : NULL;

	if (!eq || eq == s)
		return ftl_fail(d, FTL_ERR_USAGE, "\"%s\" is not of the form %s", s ? s : "", what);
	*out_name = ftl_arena_strn(a, s, (size_t)(eq - s));
	*out_value = eq + 1;
	return FTL_OK;
}

static bool number(const char **s, int64_t *out)
{
	int64_t v = 0;
	const char *p = *s;

	if (!isdigit((unsigned char)*p))
		return false;
	for (; isdigit((unsigned char)*p); p++) {
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
			return false;
	}
	*s = p;
	*out = v;
	return true;
}

static ftl_status parse_shape(ftl_arena *a, const char *text, ftl_diag *d, ftl_import_shape *out)
{
	const char *value = NULL;
	int64_t *dims = FTL_NEW_N(a, int64_t, FTL_MAX_RANK);
	const char *p;

	FTL_TRY(split(a, text, "NAME=1x128", d, &out->input, &value));
	out->dims = dims;
	p = value;
	while (*p) {
		if (out->rank == FTL_MAX_RANK)
			return ftl_fail(d, FTL_ERR_USAGE, "\"%s\": more than %d dims", text, FTL_MAX_RANK);
		if (*p == '?') {
			dims[out->rank] = -1;
			p++;
		} else if (!number(&p, &dims[out->rank])) {
			return ftl_fail(d, FTL_ERR_USAGE,
					"\"%s\": a shape looks like 1x128 (or 1x? to leave a dim open)", text);
		}
		out->rank++;
		if ((*p == 'x' || *p == ',') && p[1])
			p++;
		else if (*p)
			return ftl_fail(d, FTL_ERR_USAGE, "\"%s\": a shape looks like 1x128", text);
	}
	return FTL_OK;
}

static ftl_status parse_dim(ftl_arena *a, const char *text, ftl_diag *d, ftl_import_dim *out)
{
	const char *p = NULL;

	FTL_TRY(split(a, text, "NAME=1..8", d, &out->name, &p));
	if (out->name[0] == '?')
		out->name++;
	if (!number(&p, &out->lo))
		return ftl_fail(d, FTL_ERR_USAGE, "\"%s\": bounds look like 1..8 or 8", text);
	out->hi = out->lo;
	if (p[0] == '.' && p[1] == '.') {
		p += 2;
		if (!number(&p, &out->hi))
			return ftl_fail(d, FTL_ERR_USAGE, "\"%s\": bounds look like 1..8", text);
	}
	if (*p || out->hi < out->lo)
		return ftl_fail(d, FTL_ERR_USAGE, "\"%s\": bounds look like 1..8 or 8", text);
	return FTL_OK;
}

static ftl_status parse_options(ftl_arena *a, const fettle_load_options *o, ftl_diag *d, ftl_import_options *out)
{
	ftl_import_shape *shapes = FTL_NEW_N(a, ftl_import_shape, o->n_shapes);
	ftl_import_dim *dims = FTL_NEW_N(a, ftl_import_dim, o->n_dims);

	for (size_t i = 0; i < o->n_shapes; i++)
		FTL_TRY(parse_shape(a, o->shapes[i], d, &shapes[i]));
	for (size_t i = 0; i < o->n_dims; i++)
		FTL_TRY(parse_dim(a, o->dims[i], d, &dims[i]));
	out->shapes = shapes;
	out->n_shapes = o->n_shapes;
	out->dims = dims;
	out->n_dims = o->n_dims;
	out->overridable = o->overridable;
	out->n_overridable = o->n_overridable;
	return FTL_OK;
}

/* ---- ports ---- */

void ftl_port_fill(ftl_arena *arena, ftl_symtab *st, const char *name, const ftl_type *t, fettle_port *out)
{
	out->name = name ? ftl_arena_str(arena, name) : "";
	out->dtype = (fettle_dtype)t->dtype;
	out->rank = t->rank;
	if (t->seq) {
		static const fettle_kind kinds[] = {[FTL_SEQ_LIST] = FETTLE_SEQUENCE,
						    [FTL_SEQ_OPT] = FETTLE_OPTIONAL,
						    [FTL_SEQ_OPT_LIST] = FETTLE_OPTIONAL_SEQUENCE};

		out->kind = kinds[t->seq->kind];
		out->rank = t->seq->rank < 0 ? -1 : t->seq->rank;
		for (int i = 0; i < out->rank; i++) {
			out->dims[i] = out->dim_min[i] = out->dim_max[i] = t->seq->dims[i];
			out->dim_text[i] = "?";
			if (out->dims[i] >= 0) {
				out->dim_text[i] = ftl_arena_printf(arena, "%lld", (long long)out->dims[i]);
				continue;
			}
			out->dim_min[i] = 0;
			out->dim_max[i] = INT64_MAX;
		}
		return;
	}
	for (int i = 0; i < t->rank; i++) {
		ftl_text s;

		if (!ftl_dim_is_const(st, t->dims[i], &out->dims[i]))
			out->dims[i] = -1;
		out->dim_min[i] = ftl_dim_lo(st, t->dims[i]) < 0 ? 0 : ftl_dim_lo(st, t->dims[i]);
		out->dim_max[i] = ftl_dim_hi(st, t->dims[i]);
		ftl_text_init(&s, arena);
		ftl_dim_print(st, &s, t->dims[i]);
		out->dim_text[i] = s.v;
	}
}

void ftl_model_ports(fettle_model *m)
{
	const ftl_graph *g = m->g;
	const ftl_region *body = ftl_region_get(g, g->body);
	const ftl_node *yield = ftl_node_get(g, body->last);
	fettle_port *in = FTL_NEW_N(g->arena, fettle_port, body->params.n);
	fettle_port *out = FTL_NEW_N(g->arena, fettle_port, yield->nin);

	for (uint32_t i = 0; i < body->params.n; i++) {
		const ftl_value *v = ftl_value_get(g, body->params.v[i]);

		ftl_port_fill(g->arena, g->st, v->name, &v->type, &in[i]);
	}
	for (uint32_t i = 0; i < yield->nin; i++)
		ftl_port_fill(g->arena, g->st, i < g->out_names.n ? g->out_names.v[i] : NULL,
			      ftl_type_of(g, yield->in[i]), &out[i]);
	m->in = in;
	m->nin = body->params.n;
	m->out = out;
	m->nout = yield->nin;
}

uint64_t ftl_weight_bytes(const ftl_graph *g)
{
	uint64_t sum = 0;

	for (uint32_t i = 1; i < g->nodes.n; i++) {
		const ftl_node *n = &g->nodes.v[i];

		if (!n->dead && n->op == FTL_OP_const && FTL_ATTRS(n, const)->blob &&
		    __builtin_add_overflow(sum, (uint64_t)FTL_ATTRS(n, const)->blob->bytes, &sum))
			return UINT64_MAX;
	}
	return sum;
}

/* ---- loading ---- */

typedef struct load {
	fettle_model *m;
	const char *path; /* or: */
	const void *data;
	size_t n;
	const char *name, *dir;
	const fettle_load_options *o;
} load;

static bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && !strcmp(s + n - k, suffix);
}

typedef struct symbols {
	const ftl_graph *g;
	const char *want;
	ftl_dim found;
	ftl_map *seen;
	ftl_text names;
	unsigned n;
} symbols;

static void see_symbol(void *user, ftl_dim sym)
{
	symbols *s = user;
	const char *name = ftl_dim_get(s->g->st, sym)->name;

	if (!strcmp(name, s->want))
		s->found = sym;
	if (ftl_map_get(s->seen, name))
		return;
	ftl_map_set(s->seen, name, s);
	if (s->n++ < 20)
		ftl_text_add(&s->names, "%s%.80s", s->n > 1 ? ", " : "", name);
}

/* The symbol of that name in the type of an input. */
static ftl_status find_symbol(const ftl_graph *g, const char *name, ftl_diag *d, ftl_dim *out)
{
	const ftl_region *body = ftl_region_get(g, g->body);
	symbols s = {.g = g, .want = name, .seen = ftl_map_new(g->arena)};

	ftl_text_init(&s.names, g->arena);
	for (uint32_t i = 0; i < body->params.n; i++) {
		const ftl_type *t = ftl_type_of(g, body->params.v[i]);

		for (int k = 0; k < t->rank; k++)
			ftl_dim_symbols(g->st, t->dims[k], see_symbol, &s);
	}
	*out = s.found;
	if (s.found != FTL_DIM_NONE)
		return FTL_OK;
	return ftl_fail(d, FTL_ERR_USAGE, "there is no dim \"%.80s\" to give a value; open dims: %s%s", name,
			s.n ? s.names.v : "none", s.n > 20 ? ", ..." : "");
}

/* A graph in text form has its symbols already: options narrow them. */
static ftl_status apply_to_graph(ftl_graph *g, const ftl_import_options *o, ftl_diag *d)
{
	if (o->n_shapes || o->n_overridable)
		return ftl_fail(d, FTL_ERR_USAGE,
				"shapes can be given for .onnx files only; bounds of dims (NAME=1..8) also for .fir");
	for (size_t i = 0; i < o->n_dims; i++) {
		ftl_dim sym;

		FTL_TRY(find_symbol(g, o->dims[i].name, d, &sym));
		ftl_dim_set_bounds(g->st, sym, o->dims[i].lo, o->dims[i].hi);
	}
	return o->n_dims ? ftl_infer_graph(g, d) : FTL_OK;
}

/* A shape for an input that is not there is a typing error of the caller's. */
static ftl_status check_names(const fettle_model *m, const ftl_import_options *o, ftl_diag *d)
{
	for (size_t i = 0; i < o->n_shapes; i++) {
		ftl_text t;
		size_t k = 0;

		while (k < m->nin && strcmp(m->in[k].name, o->shapes[i].input) != 0)
			k++;
		if (k < m->nin)
			continue;
		ftl_text_init(&t, m->g->arena);
		for (k = 0; k < m->nin && k < 20; k++)
			ftl_text_add(&t, "%s\"%.80s\"", k ? ", " : "", m->in[k].name);
		return ftl_fail(d, FTL_ERR_USAGE, "%s: there is no input \"%s\" to give a shape; there are %s%s",
				m->g->file ? m->g->file : "model", o->shapes[i].input, m->nin ? t.v : "none",
				k < m->nin ? ", ..." : "");
	}
	return FTL_OK;
}

static ftl_status load_entry(void *ctx, ftl_diag *d)
{
	load *l = ctx;
	ftl_arena *a = &l->m->store->arena;
	ftl_import_options io = {0};

	FTL_TRY(parse_options(a, l->o, d, &io));
	if (!l->path) {
		FTL_TRY(ftl_onnx_import_memory(a, l->data, l->n, l->name, l->dir, &io, d, &l->m->g));
	} else if (has_suffix(l->path, ".fir")) {
		FTL_TRY(ftl_fir_read(a, l->path, d, &l->m->g));
		FTL_TRY(apply_to_graph(l->m->g, &io, d));
	} else {
		FTL_TRY(ftl_onnx_import(a, l->path, &io, d, &l->m->g));
	}
	FTL_TRY(ftl_verify(l->m->g, d));
	ftl_model_ports(l->m);
	return check_names(l->m, &io, d);
}

static fettle_status load_model(load *l, uint64_t bytes, fettle_error *e, fettle_model **out)
{
	static const fettle_load_options none;
	fettle_status rc;
	ftl_arena *arena;

	*out = NULL;
	if (!l->o)
		l->o = &none;
	l->m = calloc(1, sizeof *l->m);
	if (!l->m)
		return ftl_api_fail(e, FTL_ERR_MEMORY, "out of memory");
	l->m->max_memory = l->o->max_memory;
	l->m->store = ftl_store_new(l->o->max_memory ? l->o->max_memory : ftl_default_memory(LOAD_BASE, bytes, 4));
	if (!l->m->store) {
		free(l->m);
		return ftl_api_fail(e, FTL_ERR_MEMORY, "out of memory");
	}
	arena = &l->m->store->arena;
	rc = ftl_enter(&arena, 1, load_entry, l, e);
	if (rc != FETTLE_OK) {
		fettle_model_free(l->m);
		return rc;
	}
	*out = l->m;
	return FETTLE_OK;
}

fettle_status fettle_model_load(const char *path, const fettle_load_options *o, fettle_error *e, fettle_model **out)
{
	load l = {.path = path, .o = o};
	struct stat st;

	return load_model(&l, stat(path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0, e, out);
}

fettle_status fettle_model_load_memory(const void *data, size_t n, const char *name, const char *dir,
				       const fettle_load_options *o, fettle_error *e, fettle_model **out)
{
	load l = {.data = data, .n = n, .name = name ? name : "model", .dir = dir, .o = o};

	return load_model(&l, n, e, out);
}

void fettle_model_free(fettle_model *m)
{
	if (!m)
		return;
	ftl_store_release(m->store);
	free(m);
}

size_t fettle_model_input_count(const fettle_model *m)
{
	return m->nin;
}

size_t fettle_model_output_count(const fettle_model *m)
{
	return m->nout;
}

const fettle_port *fettle_model_input(const fettle_model *m, size_t k)
{
	return k < m->nin ? &m->in[k] : NULL;
}

const fettle_port *fettle_model_output(const fettle_model *m, size_t k)
{
	return k < m->nout ? &m->out[k] : NULL;
}
