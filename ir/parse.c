/* The text form back to a graph.
 *
 * Two steps. First the text is read: nodes, values and types as written; no inference, no bounds of symbols, so
 * every expression stays what it says. Then bounds are set and inference runs over the graph once, in order: it
 * finds symbolic contents and the binders of symbols again, and must agree with the types in the text.
 * The text is hostile input: nesting is bounded, every size is checked, errors say file:line:col. */
#include <string.h>

#include "ir/infer.h"
#include "parse.h"

/* ---- scopes ---- */
static ftl_status define(parser *p, const char *at, const char *name, ftl_val v)
{
	if (ftl_parse_lookup(p, name))
		return ftl_parse_fail(p, at, "%%%.60s is defined twice", name);
	ftl_map_set(p->names, name, (void *)(uintptr_t)v);
	ftl_vec_push(p->arena, &p->scope, name);
	return FTL_OK;
}

/* Leave a region: operands of encodings that waited for one of its values get it, then its names go. */
static void close_scope(parser *p, uint32_t scope, uint32_t first_pending)
{
	uint32_t left = first_pending;

	for (uint32_t i = first_pending; i < p->pending.n; i++) {
		const pending *w = &p->pending.v[i];
		ftl_val v = ftl_parse_lookup(p, w->name);

		if (v)
			*(w->zero ? &w->enc->zero : &w->enc->scale) = v;
		else
			p->pending.v[left++] = *w;
	}
	p->pending.n = left;
	while (p->scope.n > scope)
		ftl_map_set(p->names, p->scope.v[--p->scope.n], NULL);
}

/* ---- constants ---- */
/* dense<...> is read after the type that follows it. */
typedef struct dense {
	const char *at;
	bool list;
	size_t n;
} dense;

static ftl_status skip_dense(parser *p, dense *out)
{
	const char *tok;
	size_t len;

	FTL_TRY(ftl_lex_want(p, '<'));
	ftl_lex_peek(p);
	*out = (dense){.at = p->s, .list = ftl_lex_take(p, '[')};
	if (!out->list || ftl_lex_peek(p) != ']') {
		do {
			FTL_TRY(ftl_lex_token(p, "a number", &tok, &len));
			out->n++;
		} while (out->list && ftl_lex_take(p, ','));
	}
	if (out->list)
		FTL_TRY(ftl_lex_want(p, ']'));
	return ftl_lex_want(p, '>');
}

static ftl_status read_dense(parser *p, const dense *l, const ftl_type *type, const ftl_blob **out)
{
	ftl_blob *b = FTL_NEW(p->arena, ftl_blob);
	size_t size = ftl_dtype_bytes(type->dtype), bytes = size, n;
	int64_t dims[FTL_MAX_RANK];
	const char *after = p->s, *tok;
	char *data;
	size_t len;

	if (!ftl_type_is_static(p->g, type, dims))
		return ftl_parse_fail(p, l->at, "a constant needs constant sizes");
	for (int i = 0; i < type->rank; i++)
		if (__builtin_mul_overflow(bytes, (size_t)dims[i], &bytes))
			return ftl_parse_fail(p, l->at, "this constant is too large");
	n = bytes / size;
	if (l->list && l->n != n)
		return ftl_parse_fail(p, l->at, "the type has %zu elements, the list %zu", n, l->n);
	if (!l->list && n != 1 && bytes > TEXT_SPLAT_BYTES)
		return ftl_parse_fail(p, l->at, "one element for all makes at most %d bytes", TEXT_SPLAT_BYTES);
	data = ftl_arena_alloc(p->arena, bytes ? bytes : 1);
	p->s = l->at + l->list;
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || l->list) {
			if (i)
				FTL_TRY(ftl_lex_want(p, ','));
			FTL_TRY(ftl_lex_token(p, "a number", &tok, &len));
			if (!ftl_token_elem(tok, len, type->dtype, data, i))
				return ftl_parse_fail(p, tok, "\"%.*s\" is no %s", (int)(len < 40 ? len : 40), tok,
						      ftl_dtype_name(type->dtype));
		} else {
			memcpy(data + i * size, data, size);
		}
	}
	p->s = after;
	b->data = data;
	b->bytes = bytes;
	*out = b;
	return FTL_OK;
}

/* ---- regions ---- */
static ftl_status parse_nodes(parser *p, ftl_region_id r, int depth);

static ftl_status parse_params(parser *p, ftl_region_id r)
{
	FTL_TRY(ftl_lex_want(p, '('));
	while (!ftl_lex_take(p, ')')) {
		const char *name, *text = NULL, *at;
		ftl_type type;

		ftl_lex_peek(p);
		at = p->s;
		FTL_TRY(ftl_lex_name(p, '%', &name));
		FTL_TRY(ftl_lex_want(p, ':'));
		FTL_TRY(ftl_parse_type(p, &type));
		if (ftl_lex_peek(p) == '"')
			FTL_TRY(ftl_lex_string(p, &text));
		FTL_TRY(define(p, at, name, ftl_param_new(p->g, r, type, text)));
		if (ftl_lex_peek(p) != ')')
			FTL_TRY(ftl_lex_want(p, ','));
	}
	return FTL_OK;
}

static ftl_status parse_region(parser *p, ftl_node_id owner, int depth)
{
	uint32_t scope = p->scope.n, waiting = p->pending.n;
	ftl_region_id r;

	if (depth > FTL_MAX_NEST)
		return ftl_parse_fail(p, p->s, "more than %d regions within regions", FTL_MAX_NEST);
	r = ftl_region_new(p->g, owner);
	FTL_TRY(parse_params(p, r));
	FTL_TRY(parse_nodes(p, r, depth));
	close_scope(p, scope, waiting);
	return FTL_OK;
}

/* ---- nodes ---- */
static ftl_status parse_operands(parser *p)
{
	p->in.n = 0;
	p->s += strspn(p->s, " \t"); /* the first one stands on the op's line */
	if (*p->s != '%' && *p->s != '_')
		return FTL_OK;
	do {
		const char *name, *at;
		ftl_val v = 0;

		ftl_lex_peek(p);
		at = p->s;
		if (!ftl_lex_take(p, '_')) {
			FTL_TRY(ftl_lex_name(p, '%', &name));
			v = ftl_parse_lookup(p, name);
			if (!v)
				return ftl_parse_fail(p, at, "%%%.60s is not defined here", name);
		}
		ftl_vec_push(p->arena, &p->in, v);
	} while (ftl_lex_take(p, ','));
	return FTL_OK;
}

static ftl_status parse_op(parser *p, bool is_body, ftl_op *out)
{
	const char *tok;
	size_t n;

	FTL_TRY(ftl_lex_token(p, "an op", &tok, &n));
	if (is_body && n == 6 && memcmp(tok, "return", 6) == 0)
		*out = FTL_OP_yield;
	else
		*out = ftl_op_parse(tok, n);
	if (*out == FTL_OP_NONE)
		return ftl_parse_fail(p, tok, "unknown op \"%.*s\"", (int)(n < 40 ? n : 40), tok);
	if (is_body && *out == FTL_OP_yield && *tok == 'y')
		return ftl_parse_fail(p, tok, "a function ends in return, not in yield");
	return FTL_OK;
}

/* Types of the outputs, and with them the contents of a constant. */
static ftl_status parse_result_types(parser *p, ftl_node_id id, const dense *contents)
{
	uint32_t nout = ftl_node_get(p->g, id)->nout;

	for (uint32_t i = 0; i < nout; i++) {
		ftl_type type;

		FTL_TRY(ftl_lex_want(p, i ? ',' : ':'));
		FTL_TRY(ftl_parse_type(p, &type));
		ftl_value_get(p->g, ftl_node_get(p->g, id)->out[i])->type = type;
		if (contents)
			FTL_TRY(read_dense(p, contents, &type, &FTL_ATTRS(ftl_node_get(p->g, id), const)->blob));
	}
	return FTL_OK;
}

/* Take "{" if it opens a region: "(" follows then; else it opens attributes. */
static bool at_region(parser *p)
{
	const char *save = p->s;
	bool yes;

	if (!ftl_lex_take(p, '{'))
		return false;
	yes = ftl_lex_peek(p) == '(';
	if (!yes)
		p->s = save;
	return yes;
}

static ftl_status parse_node(parser *p, ftl_region_id r, int depth, ftl_op *out_op)
{
	ftl_builder b = {.g = p->g, .region = r};
	FTL_VEC(const char *) names = {0};
	const char *at;
	dense contents;
	bool is_dense = false, region = false;
	void *attrs;
	ftl_node_id id;
	ftl_op op;

	ftl_lex_peek(p);
	at = p->s;
	if (*p->s == '%') {
		do {
			const char *name;

			FTL_TRY(ftl_lex_name(p, '%', &name));
			ftl_vec_push(p->arena, &names, name);
		} while (ftl_lex_take(p, ','));
		FTL_TRY(ftl_lex_want(p, '='));
	}
	FTL_TRY(parse_op(p, r == p->g->body, &op));
	if (ftl_op_get(op)->nout >= 0 && names.n != (uint32_t)ftl_op_get(op)->nout)
		return ftl_parse_fail(p, at, "%s has %d results, not %u", ftl_op_get(op)->name, ftl_op_get(op)->nout,
				      names.n);
	FTL_TRY(parse_operands(p));
	attrs = ftl_attrs_default(p->g, op);
	if (op == FTL_OP_const) {
		is_dense = ftl_lex_take_word(p, "dense");
		if (is_dense)
			FTL_TRY(skip_dense(p, &contents));
		else if (ftl_lex_take_word(p, "blob"))
			FTL_TRY(ftl_parse_blob(p, &((struct ftl_attrs_const *)attrs)->blob));
		else
			return ftl_parse_fail(p, p->s, "expected dense or blob");
	} else {
		region = at_region(p);
		if (!region && ftl_lex_take(p, '{')) {
			FTL_TRY(ftl_parse_attrs(p, op, attrs));
			region = at_region(p);
		}
	}
	id = ftl_node_new(&b, op, p->in.v, p->in.n, attrs, names.n);
	while (p->at.n <= id)
		ftl_vec_push(p->arena, &p->at, at);
	for (; region; region = at_region(p)) {
		if (!ftl_op_has(op, FTL_REGIONS))
			return ftl_parse_fail(p, p->s, "%s has no regions", ftl_op_get(op)->name);
		FTL_TRY(parse_region(p, id, depth + 1));
	}
	FTL_TRY(parse_result_types(p, id, is_dense ? &contents : NULL));
	if (ftl_lex_take(p, '@')) {
		const char *loc;

		FTL_TRY(ftl_lex_string(p, &loc));
		ftl_node_get(p->g, id)->loc = loc;
	}
	for (uint32_t i = 0; i < names.n; i++)
		FTL_TRY(define(p, at, names.v[i], ftl_node_get(p->g, id)->out[i]));
	*out_op = op;
	return FTL_OK;
}

/* Up to and with the closing brace. */
static ftl_status parse_nodes(parser *p, ftl_region_id r, int depth)
{
	ftl_op op = FTL_OP_NONE;

	while (op != FTL_OP_yield) {
		char c = ftl_lex_peek(p);

		if (c == '}' || c == 0)
			return ftl_parse_fail(p, p->s, "expected %s before the end",
					      r == p->g->body ? "return" : "yield");
		FTL_TRY(parse_node(p, r, depth, &op));
	}
	return ftl_lex_want(p, '}');
}

/* ---- the whole ---- */
typedef struct result {
	ftl_type type;
	const char *at;
} result;

static ftl_status parse_func(parser *p)
{
	FTL_VEC(result) results = {0};
	const ftl_node *end;

	while (ftl_lex_take_word(p, "dim"))
		FTL_TRY(ftl_parse_bounds(p));
	if (!ftl_lex_take_word(p, "func"))
		return ftl_parse_fail(p, p->s, "expected func");
	FTL_TRY(ftl_lex_name(p, '@', &p->g->name));
	FTL_TRY(parse_params(p, p->g->body));
	if (!ftl_lex_take(p, '-') || !ftl_lex_take(p, '>'))
		return ftl_parse_fail(p, p->s, "expected -> and the results");
	FTL_TRY(ftl_lex_want(p, '('));
	while (!ftl_lex_take(p, ')')) {
		const char *name = NULL;
		result res;

		ftl_lex_peek(p);
		res.at = p->s;
		FTL_TRY(ftl_parse_type(p, &res.type));
		if (ftl_lex_peek(p) == '"')
			FTL_TRY(ftl_lex_string(p, &name));
		ftl_vec_push(p->arena, &results, res);
		ftl_vec_push(p->arena, &p->g->out_names, name);
		if (ftl_lex_peek(p) != ')')
			FTL_TRY(ftl_lex_want(p, ','));
	}
	FTL_TRY(ftl_lex_want(p, '{'));
	FTL_TRY(parse_nodes(p, p->g->body, 0));
	close_scope(p, p->scope.n, 0);
	if (p->pending.n)
		return ftl_parse_fail(p, p->pending.v[0].at, "%%%.60s is not defined", p->pending.v[0].name);
	if (ftl_lex_peek(p) != 0)
		return ftl_parse_fail(p, p->s, "expected nothing after the function");
	end = ftl_node_get(p->g, ftl_region_get(p->g, p->g->body)->last);
	if (end->nin != results.n)
		return ftl_parse_fail(p, p->at.v[ftl_region_get(p->g, p->g->body)->last],
				      "returns %u values where the head names %u", end->nin, results.n);
	for (uint32_t i = 0; i < end->nin; i++) {
		ftl_type have = *ftl_type_of(p->g, end->in[i]), want = results.v[i].type;

		have.enc = want.enc = NULL; /* the head does not repeat encodings */
		if (!ftl_type_eq(&have, &want))
			return ftl_parse_fail(p, results.v[i].at, "result %u has another type than what is returned",
					      i);
	}
	return FTL_OK;
}

/* ---- inference ---- */
static bool same_type(ftl_symtab *st, const ftl_type *a, const ftl_type *b)
{
	if (a->dtype != b->dtype || a->rank != b->rank)
		return false;
	for (int i = 0; i < a->rank; i++)
		if (a->dims[i] != b->dims[i] && ftl_dim_known_eq(st, a->dims[i], b->dims[i]) != 1)
			return false;
	return true;
}

static ftl_status disagree(parser *p, ftl_node_id id, const ftl_type *text, const ftl_type *found)
{
	ftl_text a, b;

	ftl_text_init(&a, p->arena);
	ftl_text_init(&b, p->arena);
	ftl_text_type(&a, p->g, text);
	ftl_text_type(&b, p->g, found);
	return ftl_parse_fail(p, p->at.v[id], "type says %.200s, inference says %.200s", a.v, b.v);
}

static ftl_status check_node(parser *p, ftl_node_id id)
{
	uint32_t nout = ftl_node_get(p->g, id)->nout;
	ftl_type *types = FTL_NEW_N(p->arena, ftl_type, nout);
	ftl_diag d = {0};
	ftl_status_code s;

	for (uint32_t i = 0; i < nout; i++)
		types[i] = *ftl_type_of(p->g, ftl_node_get(p->g, id)->out[i]);
	s = ftl_infer_node(p->g, id, &d);
	if (s != FTL_OK && !p->unknown_ints)
		return ftl_parse_fail(p, p->at.v[id], "%s", d.text);
	for (uint32_t i = 0; i < nout; i++) {
		ftl_value *v = ftl_value_get(p->g, ftl_node_get(p->g, id)->out[i]);

		if (!same_type(p->g->st, &types[i], &v->type)) {
			if (!p->unknown_ints)
				return disagree(p, id, &types[i], &v->type);
			v->sym = NULL;
			v->nsym = 0;
		}
		v->type = types[i];
	}
	if (ftl_node_get(p->g, id)->op == FTL_OP_const && !ftl_const_blob(p->g, ftl_node_get(p->g, id)->out[0]))
		p->unknown_ints |= !ftl_dtype_is_float(types[0].dtype);
	return FTL_OK;
}

/* In the order of definition. An op with regions infers them once more, as part of itself, but here errors get
 * the line of the inner node. */
static ftl_status check_region(parser *p, ftl_region_id r)
{
	for (uint32_t i = 0; i < ftl_region_get(p->g, r)->params.n; i++)
		ftl_param_bind(p->g, ftl_region_get(p->g, r)->params.v[i]);
	FTL_FOREACH_NODE_IN(p->g, r, id) {
		for (uint32_t i = 0; i < ftl_node_get(p->g, id)->nregion; i++)
			FTL_TRY(check_region(p, ftl_node_get(p->g, id)->regions[i]));
		FTL_TRY(check_node(p, id));
	}
	return FTL_OK;
}

static ftl_status check_graph(parser *p)
{
	ftl_graph *g = p->g;
	uint32_t n = g->values.n;
	ftl_type *types = FTL_NEW_N(p->arena, ftl_type, n);

	for (uint32_t v = 0; v < n; v++)
		types[v] = g->values.v[v].type;
	/* Reading made every parameter a binder, in textual order; the order that counts is the order of definition. */
	g->binders.n = 0;
	FTL_TRY(check_region(p, g->body));
	/* what a loop found out about its variables comes after what was found out inside it */
	for (uint32_t v = 1; v < n; v++) {
		const ftl_value *val = &g->values.v[v];

		if (!same_type(g->st, &types[v], &val->type) && !p->unknown_ints)
			return disagree(p, val->def ? val->def : ftl_region_get(g, val->region)->owner, &types[v],
					&val->type);
		g->values.v[v].type = types[v];
	}
	return FTL_OK;
}

ftl_status ftl_parse_with(ftl_arena *arena, const char *text, size_t n, const char *file, const ftl_blob_source *blobs,
			  ftl_diag *d, ftl_graph **out)
{
	char *copy = ftl_arena_strn(arena, text, n);
	parser p = {.arena = arena, .d = d, .file = file, .text = copy, .end = copy + n, .s = copy, .blobs = blobs};

	*out = NULL;
	if (n && memchr(text, 0, n))
		return ftl_parse_fail(&p, copy + ((const char *)memchr(text, 0, n) - text), "a NUL in the text");
	p.names = ftl_map_new(arena);
	p.g = ftl_graph_new(arena, "main");
	FTL_TRY(parse_func(&p));
	for (uint32_t i = 0; i < p.bounds.n; i++)
		ftl_dim_set_bounds(p.g->st, p.bounds.v[i].sym, p.bounds.v[i].lo, p.bounds.v[i].hi);
	FTL_TRY(check_graph(&p));
	p.g->file = file ? ftl_arena_str(arena, file) : NULL;
	FTL_TRY(ftl_verify(p.g, d));
	*out = p.g;
	return FTL_OK;
}

ftl_status ftl_parse(ftl_arena *arena, const char *text, size_t n, const char *file, ftl_diag *d, ftl_graph **out)
{
	return ftl_parse_with(arena, text, n, file, NULL, d, out);
}
