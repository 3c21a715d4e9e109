/* The rows of rewrites.def at work: parsed once per pass, tried on the nodes that have their root's op.
 *
 * Rows are tried in the order of the table, so a special one stands before a general one. */
#include "pass.h"
#include "guards.h"

/* ---- the table ---- */
#define EXACT 0, false
#define NEAR(t) (t), false
#define TAME(t) (t), true

/* A GROUP row is an entry without a name. */
static const ftl_rewrite_row rows[] = {
#define GROUP(id) {.pass = #id},
#define RW(name, lhs, rhs, guard, ...) {NULL, #name, lhs, rhs, #guard, __VA_ARGS__},
#include "rewrites.def"
};
#define ftl_guard_NULL NULL
static const ftl_guard_fn guards[] = {
#define GROUP(id) NULL,
#define RW(name, lhs, rhs, guard, ...) ftl_guard_##guard,
#include "rewrites.def"
};

/* "fuse_norm" of a GROUP row as passes.def names it: "fuse-norm" */
static const char *pass_name(const char *id)
{
	for (size_t k = 0;; k++) {
		const ftl_pass_row *r = ftl_pass_row_at(k);
		size_t i = 0;

		if (!r)
			return id;
		while (id[i] && (id[i] == r->name[i] || (id[i] == '_' && r->name[i] == '-')))
			i++;
		if (!id[i] && !r->name[i])
			return r->name;
	}
}

bool ftl_rewrite_row_at(size_t k, ftl_rewrite_row *out)
{
	const char *pass = NULL;

	for (size_t i = 0; i < FTL_COUNT(rows); i++) {
		if (!rows[i].name) {
			pass = rows[i].pass;
			continue;
		}
		if (k-- != 0)
			continue;
		*out = rows[i];
		out->pass = pass_name(pass);
		return true;
	}
	return false;
}

/* ---- rows of one pass, by the op of their root ---- */
typedef struct row {
	const ftl_rewrite_row *row;
	ftl_guard_fn guard;
	ftl_rule rule;
	struct row *next; /* with the same root, in the order of the table */
} row;

typedef struct rewriting {
	row *by_op[FTL_OP_COUNT];
	bool fusion;
	FTL_VEC(bool) told; /* nodes whose miss was reported */
} rewriting;

static ftl_status load(ftl_pass *p, const char *only, rewriting *rw)
{
	row **tail[FTL_OP_COUNT];
	bool mine = false, any = false;

	for (int i = 0; i < FTL_OP_COUNT; i++)
		tail[i] = &rw->by_op[i];
	for (size_t i = 0; i < FTL_COUNT(rows); i++) {
		row *r;

		if (!rows[i].name) {
			mine = strcmp(pass_name(rows[i].pass), p->row->name) == 0;
			continue;
		}
		if (!mine || (*only && strcmp(only, rows[i].name) != 0))
			continue;
		any = true;
		r = FTL_NEW(p->scratch, row);
		r->row = &rows[i];
		r->guard = guards[i];
		FTL_TRY(ftl_rule_parse(p->scratch, rows[i].lhs, rows[i].rhs, p->diag, &r->rule));
		*tail[r->rule.lhs->op] = r;
		tail[r->rule.lhs->op] = &r->next;
	}
	return any ? FTL_OK : ftl_fail(p->diag, FTL_ERR_USAGE, "%s has no row \"%s\"", p->row->name, only);
}

/* ---- building a result ---- */
typedef struct making {
	ftl_patch *t;
	const ftl_match *m;
	ftl_dtype root; /* element type of the old value */
} making;

/* Where a reduction over trailing axes starts, as normalizations and softmax say it. */
static int64_t first_axis(const ftl_graph *g, const ftl_node *n, ftl_ints axes)
{
	int rank = ftl_type_of(g, n->in[0])->rank;

	return axes.n == 0 ? 0 : axes.v[0] < 0 ? axes.v[0] : axes.v[0] - rank;
}

/* Attributes that both ops have under one name and of one kind; an axis also from the axes of a reduction. */
static void inherit(const ftl_graph *g, void *to, ftl_op op, const ftl_node *from)
{
	const ftl_op_info *a = ftl_op_get(op), *b = ftl_op_get(from->op);
	static const size_t size[] = {
		[FTL_ATTR_i64] = sizeof(ftl_attr_i64),       [FTL_ATTR_f64] = sizeof(ftl_attr_f64),
		[FTL_ATTR_flag] = sizeof(ftl_attr_flag),     [FTL_ATTR_dtype] = sizeof(ftl_attr_dtype),
		[FTL_ATTR_str] = sizeof(ftl_attr_str),       [FTL_ATTR_ints] = sizeof(ftl_attr_ints),
		[FTL_ATTR_floats] = sizeof(ftl_attr_floats), [FTL_ATTR_dims] = sizeof(ftl_attr_dims),
		[FTL_ATTR_blob] = sizeof(ftl_attr_blob),     [FTL_ATTR_strs] = sizeof(ftl_attr_strs),
	};

	for (unsigned i = 0; i < a->nattr; i++) {
		for (unsigned k = 0; k < b->nattr; k++) {
			char *into = (char *)to + a->attr[i].offset;
			const void *have = (const char *)from->attrs + b->attr[k].offset;

			if (strcmp(a->attr[i].name, b->attr[k].name) == 0 && a->attr[i].kind == b->attr[k].kind)
				memcpy(into, have, size[a->attr[i].kind]);
			else if (strcmp(a->attr[i].name, "axis") == 0 && strcmp(b->attr[k].name, "axes") == 0)
				*(ftl_attr_i64 *)into = first_axis(g, from, *(const ftl_ints *)have);
		}
	}
}

static void *make_attrs(const making *k, const ftl_pat *p)
{
	char *attrs = ftl_attrs_default(k->t->b.g, p->op);

	if (p->label >= 0)
		inherit(k->t->b.g, attrs, p->op, ftl_node_get(k->t->b.g, k->m->label[p->label]));
	for (uint32_t i = 0; i < p->nattr; i++) {
		const ftl_pat_attr *a = &p->attr[i];
		void *to = attrs + a->desc->offset;
		double v = a->var >= 0 ? ftl_match_num(k->m, a->var) : a->num;

		switch (a->desc->kind) {
		case FTL_ATTR_i64: *(ftl_attr_i64 *)to = (int64_t)v; break;
		case FTL_ATTR_f64: *(ftl_attr_f64 *)to = v; break;
		case FTL_ATTR_flag: *(ftl_attr_flag *)to = v != 0; break;
		case FTL_ATTR_dtype: *(ftl_attr_dtype *)to = (ftl_dtype)v; break;
		default:
			*(ftl_attr_str *)to = ftl_arena_str(k->t->b.g->arena, a->str);
			break; /* the rule dies with the pass */
		}
	}
	return attrs;
}

static ftl_status make(making *k, const ftl_pat *p, ftl_val *out);

static ftl_status make_node(making *k, const ftl_pat *p, ftl_val *out)
{
	ftl_graph *g = k->t->b.g;
	ftl_val in[8];
	ftl_dtype type = k->root;

	for (uint32_t i = 0; i < p->narg; i++) {
		in[i] = 0;
		if (p->arg[i]->kind == FTL_PAT_NUM)
			continue;
		FTL_TRY(make(k, p->arg[i], &in[i]));
		if (in[i])
			type = ftl_type_of(g, in[i])->dtype;
	}
	for (uint32_t i = 0; i < p->narg; i++)
		if (p->arg[i]->kind == FTL_PAT_NUM)
			in[i] = ftl_patch_scalar(k->t, type, p->arg[i]->num);
	FTL_TRY(ftl_build1(&k->t->b, p->op, in, p->narg, make_attrs(k, p), out));
	return ftl_patch_fold(k->t, out);
}

static ftl_status make_fill(making *k, double v, ftl_val *out)
{
	ftl_graph *g = k->t->b.g;
	const ftl_type *t = ftl_type_of(g, ftl_node_get(g, k->t->root)->out[0]);
	struct ftl_attrs_fill *a;

	if (t->rank == 0) {
		*out = ftl_patch_scalar(k->t, t->dtype, v);
		return FTL_OK;
	}
	a = ftl_attrs_default(g, FTL_OP_fill);
	a->dims = (ftl_dims){(uint32_t)t->rank, t->dims};
	a->dtype = t->dtype;
	a->value = v;
	a->ivalue = (int64_t)v;
	return ftl_build1(&k->t->b, FTL_OP_fill, NULL, 0, a, out);
}

static ftl_status make(making *k, const ftl_pat *p, ftl_val *out)
{
	switch (p->kind) {
	case FTL_PAT_VAR: *out = k->m->var[p->var]; return FTL_OK;
	case FTL_PAT_NUM: return make_fill(k, p->num, out);
	case FTL_PAT_OP: return make_node(k, p, out);
	default: *out = 0; return FTL_OK;
	}
}

static ftl_status apply(ftl_pass *p, const row *r, const ftl_match *m, bool fusion, bool *out_done)
{
	ftl_graph *g = p->graph;
	const ftl_node *root = ftl_node_get(g, m->node[0]);
	ftl_val with[8] = {0};
	ftl_patch t;
	making k = {&t, m, ftl_type_of(g, root->out[0])->dtype};
	uint32_t nout = root->nout;

	*out_done = false;
	if (nout > FTL_COUNT(with))
		return FTL_OK;
	for (uint32_t i = 1; i < nout; i++)
		if (ftl_use_count(g, root->out[i]))
			return FTL_OK;
	ftl_patch_begin(&t, p, r->row->name, m->node[0], m->node + 1, m->nnode - 1);
	t.sharing = fusion ? FTL_SHARE_NOTHING : FTL_SHARE_TO_SAVE;
	t.quiet = !fusion;
	if (make(&k, r->rule.rhs, &with[0]) != FTL_OK || !with[0]) {
		ftl_patch_drop(&t); /* what cannot be typed is no match */
		return FTL_OK;
	}
	return ftl_patch_commit(&t, with, out_done);
}

static void report_near(ftl_pass *p, rewriting *rw, ftl_node_id id)
{
	while (rw->told.n <= id)
		ftl_vec_push(p->scratch, &rw->told, false);
	if (rw->told.v[id])
		return;
	for (const row *r = rw->by_op[ftl_node_get(p->graph, id)->op]; r; r = r->next) {
		ftl_match m = {.near = true};

		if (!ftl_rule_match(p->graph, &r->rule, id, r->guard, &m) || !m.faults)
			continue;
		ftl_pass_miss(p, r->row->name, id, "%s", m.why);
		rw->told.v[id] = true;
		return;
	}
}

static ftl_status visit(ftl_pass *p, ftl_node_id id, void *user)
{
	rewriting *rw = user;
	bool refused = false;

	for (const row *r = rw->by_op[ftl_node_get(p->graph, id)->op]; r; r = r->next) {
		ftl_match m = {.near = false};
		bool done;

		if (!ftl_rule_match(p->graph, &r->rule, id, r->guard, &m))
			continue;
		FTL_TRY(apply(p, r, &m, rw->fusion, &done));
		if (done)
			return FTL_OK;
		refused = true;
	}
	if (rw->fusion && !refused && rw->by_op[ftl_node_get(p->graph, id)->op])
		report_near(p, rw, id);
	return FTL_OK;
}

ftl_status ftl_rewrite_rows(ftl_pass *p, const char *only, bool fusion)
{
	rewriting *rw = FTL_NEW(p->scratch, rewriting);

	FTL_TRY(load(p, only, rw));
	rw->fusion = fusion;
	return ftl_drive(p, visit, rw);
}
