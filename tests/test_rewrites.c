/* Every row of rewrites.def is its own property test: random graphs that have the row's left side (element types, shapes,
 * constants and attributes drawn at random, kept where they type and the row applies) run before and after the rewrite in
 * the interpreter, and must agree within the row's tolerance. Nothing here knows a row by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>

#include "exec.h"
#include "passes/passes.h"
#include "passes/pattern.h"

#define TRIES 20000
#define WANTED 60 /* graphs per row */

typedef struct shape {
	int rank;
	ftl_dim dims[FTL_MAX_RANK];
} shape;

/* One random graph in the making. */
typedef struct gen {
	ftl_arena *a;
	exec_rng *r;
	ftl_builder b;
	const ftl_rule *rule;
	ftl_dtype type; /* of what the pattern leaves open */
	shape base;
	int64_t axes[4]; /* of reductions, and the first is other ops' axis */
	uint32_t naxes;
	ftl_val var[FTL_PAT_NAMES];
	bool failed;
} gen;

static ftl_val make(gen *g, const ftl_pat *p, ftl_dtype type, const shape *s);

static ftl_dtype any_type(exec_rng *r)
{
	static const ftl_dtype list[] = {FTL_F32, FTL_F32, FTL_F32, FTL_F32, FTL_F64,  FTL_F16, FTL_BF16,
					 FTL_I32, FTL_I64, FTL_I8,  FTL_U8,  FTL_BOOL, FTL_I16, FTL_U16};

	return list[exec_below(r, FTL_COUNT(list))];
}

static double any_number(exec_rng *r)
{
	static const double list[] = {0.5, 2, -1,    3,   0.25, 1e-5, 6, 0.1,      -0.5,
				      1,   0, 1.702, 100, -4,   1e-3, 8, INFINITY, NAN};

	return list[exec_below(r, FTL_COUNT(list))];
}

static void any_shape(gen *g)
{
	static const int64_t sizes[] = {1, 2, 3, 5, 4};

	g->base.rank = (int)exec_below(g->r, 5);
	for (int i = 0; i < g->base.rank; i++) {
		g->base.dims[i] = ftl_dim_const(g->b.g->st, sizes[exec_below(g->r, FTL_COUNT(sizes))]);
		if (i == 0 && exec_chance(g->r, 25))
			g->base.dims[i] = ftl_dim_sym(g->b.g->st, "n");
	}
	g->naxes = 0;
	if (g->base.rank == 0)
		return;
	/* trailing axes more often than not */
	for (int i = (int)exec_below(g->r, (uint32_t)g->base.rank); i < g->base.rank; i++)
		if (exec_chance(g->r, 85))
			g->axes[g->naxes++] = i;
}

/* s, or something that broadcasts to it */
static shape narrower(gen *g, const shape *s)
{
	shape t = *s;
	int drop;

	if (exec_chance(g->r, 70))
		return t;
	drop = (int)exec_below(g->r, (uint32_t)s->rank + 1);
	t.rank -= drop;
	for (int i = 0; i < t.rank; i++)
		t.dims[i] = exec_chance(g->r, 30) ? ftl_dim_const(g->b.g->st, 1) : s->dims[i + drop];
	return t;
}

static ftl_val make_param(gen *g, ftl_dtype type, const shape *s)
{
	return ftl_param_new(g->b.g, g->b.region, ftl_type_make(g->b.g, type, s->rank, s->dims), NULL);
}

/* Constant of one number: rank 0, or all ones, or a few equal elements. */
static ftl_val make_scalar(gen *g, ftl_dtype type, double v)
{
	int64_t dims[FTL_MAX_RANK], n = 1;
	char data[8 * 8];
	int rank = exec_chance(g->r, 70) || g->base.rank == 0 ? 0 : 1;

	dims[0] = exec_chance(g->r, 80) ? 1 : 3;
	n = rank ? dims[0] : 1;
	for (int64_t i = 0; i < n; i++)
		ftl_elem_set(type, data, (size_t)i, v);
	return ftl_build_const_bytes(&g->b, type, rank, dims, data);
}

static ftl_val make_const(gen *g, ftl_dtype type, const shape *s)
{
	ftl_type t = ftl_type_make(g->b.g, type, s->rank, s->dims);
	int64_t dims[FTL_MAX_RANK], n = 1;
	void *data;

	if (!ftl_type_is_static(g->b.g, &t, dims))
		return make_scalar(g, type, any_number(g->r));
	for (int i = 0; i < s->rank; i++)
		n *= dims[i];
	data = ftl_arena_alloc(g->a, (size_t)n * 8 + 8);
	exec_fill(g->r, EXEC_TAME, type, data, (size_t)n);
	return ftl_build_const_bytes(&g->b, type, s->rank, dims, data);
}

static ftl_val make_var(gen *g, const ftl_pat *p, ftl_dtype type, const shape *s)
{
	shape t;

	if (g->var[p->var])
		return g->var[p->var];
	t = narrower(g, s);
	if (p->want == FTL_WANT_SCALAR)
		return g->var[p->var] = make_scalar(g, type, any_number(g->r));
	if (p->want == FTL_WANT_CONST)
		return g->var[p->var] = make_const(g, type, &t);
	return g->var[p->var] = make_param(g, type, &t);
}

/* ---- attributes the pattern leaves open, by their names ---- */
static const ftl_dim *dup_dims(gen *g, const shape *s)
{
	return ftl_arena_dup(g->b.g->arena, s->dims, (size_t)s->rank * sizeof *s->dims + 1);
}

static shape shape_of(const gen *g, ftl_val v)
{
	const ftl_type *t = ftl_type_of(g->b.g, v);
	shape s = {.rank = t->rank};

	for (int i = 0; i < t->rank; i++)
		s.dims[i] = t->dims[i];
	return s;
}

/* Target of a reshape or expand: mostly the shape itself, the base shape, all in one axis, or a leading 1. */
static shape target(gen *g, ftl_val x)
{
	shape s = shape_of(g, x);

	switch (exec_below(g->r, 5)) {
	case 0: return g->base;
	case 1: return (shape){1, {ftl_type_numel(g->b.g, ftl_type_of(g->b.g, x))}};
	case 2:
		if (s.rank == FTL_MAX_RANK)
			return s;
		memmove(s.dims + 1, s.dims, (size_t)s.rank * sizeof *s.dims);
		s.dims[0] = ftl_dim_const(g->b.g->st, 1);
		s.rank++;
		return s;
	default: return s;
	}
}

static void set_ints(gen *g, ftl_ints *l, const char *name, ftl_val x)
{
	int rank = ftl_type_of(g->b.g, x)->rank;
	int64_t *v = FTL_NEW_N(g->b.g->arena, int64_t, FTL_MAX_RANK);
	bool plain = exec_chance(g->r, 50);

	*l = (ftl_ints){(uint32_t)rank, v};
	for (int i = 0; i < rank; i++) {
		v[i] = strcmp(name, "steps") == 0 ? (exec_chance(g->r, 90) ? 1 : -1) : i;
		if (strcmp(name, "perm") == 0 && !plain) {
			int k = (int)exec_below(g->r, (uint32_t)i + 1);

			v[i] = v[k];
			v[k] = i;
		}
	}
}

static void set_attr(gen *g, ftl_op op, const ftl_attr_desc *d, void *attrs, ftl_val x)
{
	void *to = (char *)attrs + d->offset;
	shape s = shape_of(g, x), zero = {.rank = 2 * s.rank};

	switch (d->kind) {
	case FTL_ATTR_i64:
		if (strcmp(d->name, "axis") == 0)
			*(ftl_attr_i64 *)to = g->naxes ? g->axes[exec_below(g->r, g->naxes)] : -1;
		break;
	case FTL_ATTR_flag: *(ftl_attr_flag *)to = exec_chance(g->r, 50); break;
	case FTL_ATTR_dtype: *(ftl_attr_dtype *)to = exec_chance(g->r, 40) ? g->type : any_type(g->r); break;
	case FTL_ATTR_ints:
		if (strcmp(d->name, "axes") == 0 && strncmp(ftl_op_get(op)->name, "reduce", 6) == 0)
			*(ftl_ints *)to = (ftl_ints){g->naxes, ftl_arena_dup(g->b.g->arena, g->axes, sizeof g->axes)};
		else
			set_ints(g, to, d->name, x);
		break;
	case FTL_ATTR_dims:
		for (int i = 0; i < zero.rank && strcmp(d->name, "starts") == 0; i++)
			zero.dims[i] = ftl_dim_const(g->b.g->st, 0);
		for (int i = 0; i < zero.rank && strcmp(d->name, "pads") == 0; i++)
			zero.dims[i] = ftl_dim_const(g->b.g->st, exec_chance(g->r, 90)   ? 0
								 : exec_chance(g->r, 50) ? 1
											 : -1);
		if (strcmp(d->name, "repeats") == 0)
			for (int i = 0; i < s.rank; i++)
				s.dims[i] = ftl_dim_const(g->b.g->st, exec_chance(g->r, 90) ? 1 : 2);
		if (strcmp(d->name, "dims") == 0)
			s = target(g, x);
		if (strcmp(d->name, "pads") == 0 || strcmp(d->name, "starts") == 0)
			*(ftl_dims *)to = (ftl_dims){(uint32_t)(d->name[0] == 'p' ? zero.rank : s.rank),
						     dup_dims(g, &zero)};
		else
			*(ftl_dims *)to = (ftl_dims){(uint32_t)s.rank, dup_dims(g, &s)};
		break;
	default: break; /* epsilon, alpha, mode: the table's default */
	}
}

static void *make_attrs(gen *g, const ftl_pat *p, ftl_val x)
{
	const ftl_op_info *info = ftl_op_get(p->op);
	char *attrs = ftl_attrs_default(g->b.g, p->op);

	for (unsigned i = 0; i < info->nattr; i++)
		set_attr(g, p->op, &info->attr[i], attrs, x);
	if (p->op == FTL_OP_reshape || p->op == FTL_OP_expand) {
		if (p->narg > 1)
			memset(attrs, 0, info->attr_bytes);
		else if (p->op == FTL_OP_reshape)
			((struct ftl_attrs_reshape *)(void *)attrs)->allow_zero = false;
	}
	for (uint32_t i = 0; i < p->nattr; i++) {
		void *to = attrs + p->attr[i].desc->offset;

		switch (p->attr[i].desc->kind) {
		case FTL_ATTR_i64: *(ftl_attr_i64 *)to = (int64_t)p->attr[i].num; break;
		case FTL_ATTR_f64: *(ftl_attr_f64 *)to = p->attr[i].num; break;
		case FTL_ATTR_flag: *(ftl_attr_flag *)to = p->attr[i].num != 0; break;
		case FTL_ATTR_dtype: *(ftl_attr_dtype *)to = (ftl_dtype)p->attr[i].num; break;
		default: *(ftl_attr_str *)to = p->attr[i].str; break;
		}
	}
	return attrs;
}

/* ---- nodes ---- */
/* An operand that holds a shape: the shape of x as a constant. */
static ftl_val shape_operand(gen *g, ftl_val x)
{
	int64_t dims[FTL_MAX_RANK];

	if (!ftl_type_is_static(g->b.g, ftl_type_of(g->b.g, x), dims)) {
		g->failed = true;
		return x;
	}
	return ftl_build_const_i64s(&g->b, dims, ftl_type_of(g->b.g, x)->rank);
}

static bool takes_bools(ftl_op op, uint32_t k)
{
	return (op == FTL_OP_where && k == 0) || op == FTL_OP_not || op == FTL_OP_and || op == FTL_OP_or ||
	       op == FTL_OP_xor;
}

static bool compares(ftl_op op)
{
	return op == FTL_OP_eq || op == FTL_OP_lt || op == FTL_OP_le || op == FTL_OP_gt || op == FTL_OP_ge;
}

static ftl_val make_node(gen *g, const ftl_pat *p, ftl_dtype type, const shape *s)
{
	ftl_val in[8] = {0}, out;
	ftl_dtype sibling = type;
	shape arg = *s;
	void *attrs;

	if (p->op == FTL_OP_matmul && arg.rank < 2)
		arg = (shape){2, {ftl_dim_const(g->b.g->st, 3), ftl_dim_const(g->b.g->st, 3)}};
	if (p->op == FTL_OP_matmul) /* square: fits whatever the flags say */
		arg.dims[arg.rank - 1] = arg.dims[arg.rank - 2];
	for (uint32_t k = 0; k < p->narg && !g->failed; k++) {
		ftl_dtype want = takes_bools(p->op, k) ? FTL_BOOL : type;

		if (compares(p->op))
			want = g->type;
		if (p->op == FTL_OP_cast)
			want = any_type(g->r);

		if (p->op == FTL_OP_cast && exec_chance(g->r, 40))
			want = g->type;
		if (p->arg[k]->kind == FTL_PAT_NUM || p->arg[k]->kind == FTL_PAT_ABSENT)
			continue;
		if (k == 1 && (p->op == FTL_OP_reshape || p->op == FTL_OP_expand)) {
			in[k] = g->var[p->arg[k]->var] = shape_operand(g, in[0]);
			continue;
		}
		in[k] = make(g, p->arg[k], want, &arg);
		sibling = ftl_type_of(g->b.g, in[k])->dtype;
	}
	for (uint32_t k = 0; k < p->narg && !g->failed; k++)
		if (p->arg[k]->kind == FTL_PAT_NUM)
			in[k] = make_scalar(g, takes_bools(p->op, k) ? FTL_BOOL : sibling, p->arg[k]->num);
	if (g->failed)
		return 1;
	for (uint32_t k = 1; k < p->narg; k++) /* limits have no more axes than what they limit */
		g->failed |= p->op == FTL_OP_clip && in[k] &&
			     ftl_type_of(g->b.g, in[k])->rank > ftl_type_of(g->b.g, in[0])->rank;
	if (g->failed)
		return 1;
	if (p->op == FTL_OP_slice && ftl_type_of(g->b.g, in[0])->rank == 0) { /* has no axis to slice */
		g->failed = true;
		return 1;
	}
	attrs = make_attrs(g, p, in[0]);
	if (ftl_op_has(p->op, FTL_COMM) && exec_chance(g->r, 50)) {
		ftl_val t = in[0];

		in[0] = in[1];
		in[1] = t;
	}
	if (ftl_build1(&g->b, p->op, in, p->narg, attrs, &out) != FTL_OK) {
		g->failed = true;
		return 1;
	}
	if (p->var >= 0)
		g->var[p->var] = out;
	return out;
}

static ftl_val make(gen *g, const ftl_pat *p, ftl_dtype type, const shape *s)
{
	if (g->failed)
		return 1;
	switch (p->kind) {
	case FTL_PAT_VAR: return make_var(g, p, type, s);
	case FTL_PAT_OP: return make_node(g, p, type, s);
	case FTL_PAT_ALT: return make(g, p->arg[exec_below(g->r, p->narg)], type, s);
	default: return make_scalar(g, type, p->num);
	}
}

/* ---- one row ---- */
static ftl_graph *sample(ftl_arena *a, exec_rng *r, const ftl_rule *rule)
{
	ftl_graph *graph = ftl_graph_new(a, "sample");
	gen g = {.a = a,
		 .r = r,
		 .b = {.g = graph, .region = graph->body, .loc = "n"},
		 .rule = rule,
		 .type = any_type(r)};
	ftl_val out;

	any_shape(&g);
	out = make(&g, rule->lhs, g.type, &g.base);
	if (g.failed)
		return NULL;
	ftl_build_yield(&g.b, &out, 1);
	return graph;
}

static const char *text_of(ftl_arena *a, const ftl_graph *g)
{
	ftl_text t;

	ftl_text_init(&t, a);
	ftl_print(g, &t);
	return t.v;
}

/* One random graph. NULL if all is well; *checked counts those that the row applied to. */
static const char *check_once(ftl_arena *a, exec_rng *r, const ftl_rewrite_row *row, const ftl_rule *rule, int *checked)
{
	ftl_pass_options o = {.no_default = true};
	ftl_graph *before = sample(a, r, rule), *after;
	uint64_t seed = exec_bits(r);
	ftl_pass_report *report;
	ftl_karg_tensor *in;
	exec_result x, y;
	ftl_diag d = {0};
	const char *wrong;

	if (!before)
		return NULL;
	after = ftl_graph_clone(a, before);
	if (ftl_passes_run(after, ftl_arena_printf(a, "%s{only=%s}", row->pass, row->name), &o, &d, &report) != FTL_OK)
		return ftl_arena_printf(a, "%s\n%s", d.text, text_of(a, before));
	if (report->edits == 0)
		return NULL;
	in = exec_inputs(a, before, seed, row->tame ? EXEC_TAME : EXEC_WILD);
	if (exec_run(a, before, in, false, &d, &x) != FTL_OK)
		return NULL; /* sizes that happen not to fit */
	++*checked;
	if (exec_run(a, after, in, false, &d, &y) != FTL_OK)
		return ftl_arena_printf(a, "%s\n%s\n%s", d.text, text_of(a, before), text_of(a, after));
	wrong = exec_compare(a, &x, &y, row->tolerance, row->tame);
	return wrong ? ftl_arena_printf(a, "%s\n%s\n%s", wrong, text_of(a, before), text_of(a, after)) : NULL;
}

/* NULL if the row holds */
static const char *check_row(ftl_arena *once, const ftl_rewrite_row *row)
{
	exec_rng r = {ftl_hash(row->name, strlen(row->name), 1)};
	ftl_landing landing;
	const char *wrong = NULL;
	ftl_diag d = {0};
	ftl_arena each;
	int checked = 0;
	ftl_rule rule;

	if (ftl_rule_parse(once, row->lhs, row->rhs, &d, &rule) != FTL_OK)
		return ftl_arena_str(once, d.text);
	ftl_arena_init(&each, NULL, &landing, 0);
	for (int i = 0; i < TRIES && checked < WANTED && !wrong; i++) {
		wrong = check_once(&each, &r, row, &rule, &checked);
		if (wrong)
			wrong = ftl_arena_str(once, wrong);
		ftl_arena_reset(&each);
	}
	if (!wrong && checked < 2)
		return ftl_arena_printf(once,
					"only %d of %d random graphs had its left side: a guard that is too narrow?",
					checked, TRIES);
	return wrong;
}

static void each_row_holds(void **state)
{
	const char *only = getenv("ROW");
	ftl_landing landing;
	ftl_rewrite_row row;
	ftl_arena a;
	size_t k = 0;
	int bad = 0;

	(void)state;
	ftl_arena_init(&a, NULL, &landing, 0);
	for (; ftl_rewrite_row_at(k, &row); k++) {
		const char *wrong = only && strcmp(only, row.name) != 0 ? NULL : check_row(&a, &row);

		if (wrong)
			print_error("row %s: %s\n", row.name, wrong);
		bad += wrong != NULL;
	}
	ftl_arena_free(&a);
	assert_int_equal(bad, 0);
	assert_true(k >= 50);
}

/* ---- the language ---- */
static void bad_patterns_are_refused(void **state)
{
	static const char *const bad[][2] = {
		{"(frobnicate ?x)", "?x"},
		{"(add ?x)", "?x"},
		{"(add ?x ?y", "?x"},
		{"(add ?x ?y)", "?z"},
		{"?x", "?x"},
		{"(cast{too=f32} ?x)", "?x"},
		{"(cast{to=f31} ?x)", "?x"},
		{"(softmax{axis=x} ?x)", "?x"},
		{"(add ?x:thing 1)", "?x"},
		{"(add ?x 1))", "?x"},
		{"(neg ?x)", "(softmax@s ?x)"},
		{"(add (|) 1)", "1"},
		{"(gelu{approximate=tanh} ?x)", "?x"},
	};
	ftl_landing landing;
	ftl_arena a;

	(void)state;
	ftl_arena_init(&a, NULL, &landing, 0);
	for (size_t i = 0; i < FTL_COUNT(bad); i++) {
		ftl_diag d = {0};
		ftl_rule rule;

		if (ftl_rule_parse(&a, bad[i][0], bad[i][1], &d, &rule) == FTL_OK)
			fail_msg("accepted: %s -> %s", bad[i][0], bad[i][1]);
		assert_non_null(strstr(d.text, "pattern"));
	}
	ftl_arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_patterns_are_refused),
		cmocka_unit_test(each_row_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
