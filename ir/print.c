/* The text form of a graph. Any graph prints; what is printed parses back to a graph that prints the same.
 *
 * Values are numbered in order of appearance. Not printed: symbolic contents (inference finds them again) and
 * names of inner values. `dim` lines in front give the bounds of symbols that have narrower ones than usual. */
#include "text.h"

typedef struct printer {
	const ftl_graph *g;
	ftl_text *t;
	uint32_t *num; /* number in the text, by value id; 0 = not defined in this graph */
	uint32_t next;
} printer;

static void number_region(printer *p, ftl_region_id r)
{
	const ftl_region *reg = ftl_region_get(p->g, r);

	for (uint32_t i = 0; i < reg->params.n; i++)
		p->num[reg->params.v[i]] = ++p->next;
	FTL_FOREACH_NODE_IN(p->g, r, id) {
		const ftl_node *n = ftl_node_get(p->g, id);

		for (uint32_t i = 0; i < n->nout; i++)
			p->num[n->out[i]] = ++p->next;
		for (uint32_t i = 0; i < n->nregion; i++)
			number_region(p, n->regions[i]);
	}
}

static void print_val(printer *p, ftl_val v)
{
	if (v == 0)
		ftl_text_add(p->t, "_");
	else if (v < p->g->values.n && p->num[v])
		ftl_text_add(p->t, "%%%u", p->num[v] - 1);
	else
		ftl_text_add(p->t, "%%dead%u", v); /* a broken graph still prints */
}

/* ---- types ---- */
/* seq<f32[?,4]>, of any rank seq<f32>, without an element so far seq<f32 empty> */
static void print_seq(ftl_text *t, const ftl_type *type)
{
	const ftl_seq_type *s = type->seq;

	ftl_text_add(t, "%s<%s", ftl_seq_kind_name(s->kind), ftl_dtype_name(type->dtype));
	if (s->rank >= 0)
		ftl_text_add(t, "[");
	for (int i = 0; i < s->rank; i++) {
		ftl_text_add(t, "%s", i ? "," : "");
		if (s->dims[i] < 0)
			ftl_text_add(t, "_");
		else
			ftl_text_add(t, "%lld", (long long)s->dims[i]);
	}
	ftl_text_add(t, "%s", s->rank >= 0 ? "]>" : s->rank == FTL_SEQ_EMPTY ? " empty>" : ">");
}

void ftl_text_type(ftl_text *t, const ftl_graph *g, const ftl_type *type)
{
	if (type->seq) {
		print_seq(t, type);
		return;
	}
	ftl_text_add(t, "%s[", ftl_dtype_name(type->dtype));
	for (int i = 0; i < type->rank; i++) {
		if (i)
			ftl_text_add(t, ",");
		ftl_dim_print(g->st, t, type->dims[i]);
	}
	ftl_text_add(t, "]");
}

static void print_enc(printer *p, const ftl_encoding *e)
{
	bool quant = e->kind == FTL_ENC_QUANT;
	const struct {
		const char *name;
		int32_t v;
		bool always;
	} num[] = {{"axis", e->axis, quant}, {"block", e->block, quant}, {"n", e->n, false},
		   {"m", e->m, false},       {"r", e->r, false},         {"c", e->c, false}};
	const char *sep = "";

	ftl_text_add(p->t, quant ? " quant(" : e->kind == FTL_ENC_SPARSE ? " sparse(" : " plain(");
	for (size_t i = 0; i < FTL_COUNT(num); i++) {
		if (!num[i].v && !num[i].always)
			continue;
		ftl_text_add(p->t, "%s%s=%d", sep, num[i].name, num[i].v);
		sep = ",";
	}
	for (int i = 0; i < 2; i++) {
		ftl_val v = i ? e->zero : e->scale;

		if (!v)
			continue;
		ftl_text_add(p->t, "%s%s=", sep, i ? "zero" : "scale");
		print_val(p, v);
		sep = ",";
	}
	ftl_text_add(p->t, ")");
}

static void print_type(printer *p, ftl_val v)
{
	const ftl_type *type = ftl_type_of(p->g, v);

	ftl_text_type(p->t, p->g, type);
	if (type->enc)
		print_enc(p, type->enc);
}

/* ---- attributes ---- */
static void print_blob(printer *p, const ftl_blob *b)
{
	ftl_text_add(p->t, "blob ");
	if (b && b->name) {
		ftl_text_quoted(p->t, b->name);
		ftl_text_add(p->t, " ");
	}
	ftl_text_add(p->t, "0x%016llx %zu", b ? (unsigned long long)ftl_blob_hash(b) : 0, b ? b->bytes : 0);
}

static void print_attr(printer *p, const ftl_attr_desc *d, const void *attrs)
{
	const void *a = (const char *)attrs + d->offset;

	ftl_text_add(p->t, "%s=", d->name);
	switch (d->kind) {
	case FTL_ATTR_i64: ftl_text_add(p->t, "%lld", (long long)*(const ftl_attr_i64 *)a); break;
	case FTL_ATTR_f64: ftl_text_f64(p->t, *(const ftl_attr_f64 *)a); break;
	case FTL_ATTR_flag: ftl_text_add(p->t, *(const ftl_attr_flag *)a ? "true" : "false"); break;
	case FTL_ATTR_dtype: ftl_text_add(p->t, "%s", ftl_dtype_name(*(const ftl_attr_dtype *)a)); break;
	case FTL_ATTR_str: ftl_text_quoted(p->t, *(const ftl_attr_str *)a); break;
	case FTL_ATTR_ints: {
		const ftl_ints *l = a;

		for (uint32_t i = 0; i < l->n; i++)
			ftl_text_add(p->t, "%s%lld", i ? "," : "[", (long long)l->v[i]);
		ftl_text_add(p->t, "]");
		break;
	}
	case FTL_ATTR_floats: {
		const ftl_floats *l = a;

		for (uint32_t i = 0; i < l->n; i++) {
			ftl_text_add(p->t, i ? "," : "[");
			ftl_text_f64(p->t, l->v[i]);
		}
		ftl_text_add(p->t, "]");
		break;
	}
	case FTL_ATTR_dims: {
		const ftl_dims *l = a;

		for (uint32_t i = 0; i < l->n; i++) {
			ftl_text_add(p->t, i ? "," : "[");
			ftl_dim_print(p->g->st, p->t, l->v[i]);
		}
		ftl_text_add(p->t, "]");
		break;
	}
	case FTL_ATTR_strs: {
		const ftl_strs *l = a;

		for (uint32_t i = 0; i < l->n; i++) {
			ftl_text_add(p->t, i ? "," : "[");
			ftl_text_quoted_n(p->t, l->v[i].p, l->v[i].n);
		}
		ftl_text_add(p->t, "]");
		break;
	}
	case FTL_ATTR_blob: print_blob(p, *(const ftl_attr_blob *)a); break;
	}
}

static void print_attrs(printer *p, const ftl_node *n)
{
	const ftl_op_info *info = ftl_op_get(n->op);
	bool any = false;

	for (unsigned i = 0; i < info->nattr; i++) {
		if (ftl_attr_is_default(&info->attr[i], n->attrs))
			continue;
		ftl_text_add(p->t, any ? ", " : " {");
		print_attr(p, &info->attr[i], n->attrs);
		any = true;
	}
	if (any)
		ftl_text_add(p->t, "}");
}

/* ---- constants ---- */
bool ftl_text_is_splat(const ftl_type *t, const ftl_blob *b)
{
	size_t size = ftl_dtype_bytes(t->dtype);

	return b->bytes > size && b->bytes <= TEXT_SPLAT_BYTES &&
	       memcmp(b->data, (const char *)b->data + size, b->bytes - size) == 0;
}

bool ftl_text_is_dense(const ftl_type *t, const ftl_blob *b, const int64_t *dims)
{
	size_t size = ftl_dtype_bytes(t->dtype), want = size, n;
	bool looked_at = ftl_dtype_is_int(t->dtype) || t->dtype == FTL_BOOL;

	if (size == 0 || !b || (!b->data && b->bytes))
		return false;
	for (int i = 0; i < t->rank; i++)
		if (dims[i] < 0 || __builtin_mul_overflow(want, (size_t)dims[i], &want))
			return false;
	n = want / size;
	return want == b->bytes && (n <= TEXT_DENSE_MAX || (looked_at && n <= FTL_MAX_SYM) || ftl_text_is_splat(t, b));
}

static void print_const(printer *p, const ftl_node *n)
{
	const ftl_blob *b = FTL_ATTRS(n, const)->blob;
	const ftl_type *t = ftl_type_of(p->g, n->out[0]);
	int64_t dims[FTL_MAX_RANK];

	ftl_text_add(p->t, " ");
	if (!ftl_type_is_static(p->g, t, dims) || !ftl_text_is_dense(t, b, dims)) {
		print_blob(p, b);
		return;
	}
	ftl_text_add(p->t, "dense<");
	if (t->rank == 0 || ftl_text_is_splat(t, b)) {
		ftl_text_elem(p->t, t->dtype, b->data, 0);
	} else {
		ftl_text_add(p->t, "[");
		for (size_t i = 0; i < b->bytes / ftl_dtype_bytes(t->dtype); i++) {
			if (i)
				ftl_text_add(p->t, ",");
			ftl_text_elem(p->t, t->dtype, b->data, i);
		}
		ftl_text_add(p->t, "]");
	}
	ftl_text_add(p->t, ">");
}

/* ---- nodes and regions ---- */
static void print_region(printer *p, ftl_region_id r, int depth);

static void print_params(printer *p, ftl_region_id r, bool names)
{
	const ftl_region *reg = ftl_region_get(p->g, r);

	ftl_text_add(p->t, "(");
	for (uint32_t i = 0; i < reg->params.n; i++) {
		const char *name = ftl_value_get(p->g, reg->params.v[i])->name;

		if (i)
			ftl_text_add(p->t, ", ");
		print_val(p, reg->params.v[i]);
		ftl_text_add(p->t, ": ");
		print_type(p, reg->params.v[i]);
		if (names && name) {
			ftl_text_add(p->t, " ");
			ftl_text_quoted(p->t, name);
		}
	}
	ftl_text_add(p->t, ")");
}

static void print_node(printer *p, const ftl_node *n, int depth)
{
	bool body_end = n->op == FTL_OP_yield && n->region == p->g->body;

	ftl_text_add(p->t, "%*s", 2 * depth, "");
	for (uint32_t i = 0; i < n->nout; i++) {
		print_val(p, n->out[i]);
		ftl_text_add(p->t, i + 1 < n->nout ? ", " : " = ");
	}
	ftl_text_add(p->t, "%s", body_end ? "return" : ftl_op_get(n->op)->name);
	for (uint32_t i = 0; i < n->nin; i++) {
		ftl_text_add(p->t, i ? ", " : " ");
		print_val(p, n->in[i]);
	}
	if (n->op == FTL_OP_const && n->nout == 1)
		print_const(p, n);
	else
		print_attrs(p, n);
	for (uint32_t i = 0; i < n->nregion; i++) {
		ftl_text_add(p->t, " { ");
		print_params(p, n->regions[i], false);
		ftl_text_add(p->t, "\n");
		print_region(p, n->regions[i], depth + 1);
		ftl_text_add(p->t, "%*s}", 2 * depth, "");
	}
	for (uint32_t i = 0; i < n->nout; i++) {
		ftl_text_add(p->t, i ? ", " : " : ");
		print_type(p, n->out[i]);
	}
	if (*n->loc) {
		ftl_text_add(p->t, "  @");
		ftl_text_quoted(p->t, n->loc);
	}
	ftl_text_add(p->t, "\n");
}

static void print_region(printer *p, ftl_region_id r, int depth)
{
	FTL_FOREACH_NODE_IN(p->g, r, id)
		print_node(p, ftl_node_get(p->g, id), depth);
}

/* ---- bounds of symbols ---- */
typedef struct sym_walk {
	printer *p;
	bool *seen; /* by dim id */
} sym_walk;

static void print_bounds(void *user, ftl_dim sym)
{
	sym_walk *w = user;
	const ftl_dim_node *d = ftl_dim_get(w->p->g->st, sym);
	size_t start = w->p->t->n;
	bool any_int;

	if (w->seen[sym])
		return;
	w->seen[sym] = true;
	ftl_text_add(w->p->t, "dim ");
	ftl_dim_print(w->p->g->st, w->p->t, sym);
	any_int = w->p->t->v[start + 5] == '~'; /* "dim ?~name" */
	if (d->lo == (any_int ? INT64_MIN : 0) && d->hi == INT64_MAX) {
		w->p->t->n = start; /* what its name says already */
		w->p->t->v[start] = 0;
		return;
	}
	ftl_text_add(w->p->t, " in ");
	if (d->lo == INT64_MIN)
		ftl_text_add(w->p->t, "*..");
	else
		ftl_text_add(w->p->t, "%lld..", (long long)d->lo);
	if (d->hi == INT64_MAX)
		ftl_text_add(w->p->t, "*\n");
	else
		ftl_text_add(w->p->t, "%lld\n", (long long)d->hi);
}

static void bounds_in_list(sym_walk *w, const ftl_dim *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (v[i] == FTL_DIM_NONE || w->seen[v[i]])
			continue;
		ftl_dim_symbols(w->p->g->st, v[i], print_bounds, w);
		w->seen[v[i]] = true;
	}
}

/* In the order of the text, so that the lines come out in the same order after parsing. */
static void bounds_in_region(sym_walk *w, ftl_region_id r)
{
	const ftl_graph *g = w->p->g;
	const ftl_region *reg = ftl_region_get(g, r);

	for (uint32_t i = 0; i < reg->params.n; i++)
		bounds_in_list(w, ftl_type_of(g, reg->params.v[i])->dims,
			       (uint32_t)ftl_type_of(g, reg->params.v[i])->rank);
	FTL_FOREACH_NODE_IN(g, r, id) {
		const ftl_node *n = ftl_node_get(g, id);
		const ftl_op_info *info = ftl_op_get(n->op);

		for (unsigned i = 0; i < info->nattr; i++) {
			if (info->attr[i].kind == FTL_ATTR_dims) {
				const ftl_dims *l = (const void *)((const char *)n->attrs + info->attr[i].offset);

				bounds_in_list(w, l->v, l->n);
			}
		}
		for (uint32_t i = 0; i < n->nregion; i++)
			bounds_in_region(w, n->regions[i]);
		for (uint32_t i = 0; i < n->nout; i++)
			bounds_in_list(w, ftl_type_of(g, n->out[i])->dims, (uint32_t)ftl_type_of(g, n->out[i])->rank);
	}
}

/* ---- the whole ---- */
static void print_name(ftl_text *t, const char *name)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";

	if (*name && name[strspn(name, ok)] == 0)
		ftl_text_add(t, "@%s", name);
	else {
		ftl_text_add(t, "@");
		ftl_text_quoted(t, name);
	}
}

void ftl_print(const ftl_graph *g, ftl_text *t)
{
	printer p = {.g = g, .t = t, .num = FTL_NEW_N(t->arena, uint32_t, g->values.n)};
	sym_walk w = {&p, FTL_NEW_N(t->arena, bool, (size_t)ftl_dim_count(g->st) + 1)};
	ftl_node_id last = ftl_region_get(g, g->body)->last;
	const ftl_node *end = last && ftl_node_get(g, last)->op == FTL_OP_yield ? ftl_node_get(g, last) : NULL;

	number_region(&p, g->body);
	bounds_in_region(&w, g->body);
	ftl_text_add(t, "func ");
	print_name(t, g->name);
	print_params(&p, g->body, true);
	ftl_text_add(t, " -> (");
	for (uint32_t i = 0; end && i < end->nin; i++) {
		if (i)
			ftl_text_add(t, ", ");
		ftl_text_type(t, g, ftl_type_of(g, end->in[i]));
		if (i < g->out_names.n && g->out_names.v[i]) {
			ftl_text_add(t, " ");
			ftl_text_quoted(t, g->out_names.v[i]);
		}
	}
	ftl_text_add(t, ") {\n");
	print_region(&p, g->body, 1);
	ftl_text_add(t, "}\n");
}
