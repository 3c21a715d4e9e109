/* ai.onnx.ml: ensembles of decision trees, in the form of opset 5 and in the older ones, to the tables of `trees`. */
#include <math.h>
#include <stdlib.h>

#include "ml.h"

enum { FEATURE, TRUE_CHILD, FALSE_CHILD, MODE, MEMBER_BEGIN, MEMBER_END, COLUMNS };
enum { LEAF, MEMBER = 7, MISSING_IS_TRUE = 16 };

typedef struct ensemble {
	ftl_dtype t;
	uint32_t n; /* nodes */
	int32_t (*node)[COLUMNS];
	double *value;
	FTL_VEC(int32_t) roots;
	FTL_VEC(int32_t) target;
	FTL_VEC(double) weight, member;
	int64_t features;
} ensemble;

static ftl_val numbers(imp *m, ftl_dtype t, uint32_t n, const double *v)
{
	char *bytes = FTL_NEW_N(m->tmp, char, ((size_t)n + 1) * ftl_dtype_bytes(t));

	for (uint32_t i = 0; i < n; i++)
		ftl_elem_set(t, bytes, i, v[i]);
	return ftl_imp_bytes(m, t, 1, &(int64_t){n}, bytes);
}

static void new_nodes(imp *m, ensemble *e, size_t n)
{
	if (n == 0 || n > INT32_MAX / 8) {
		bad_model(m, "has %zu nodes", n);
		return;
	}
	e->n = (uint32_t)n;
	e->node = ftl_arena_alloc(m->tmp, n * sizeof *e->node);
	e->value = FTL_NEW_N(m->tmp, double, n);
	e->features = 1;
}

static ftl_val forest(imp *m, ensemble *e, ftl_val x, int64_t targets, const char *aggregate)
{
	struct ftl_attrs_trees *a = NEW_ATTRS(m, trees);
	ftl_val in[7];

	if (m->failed)
		return 0;
	a->targets = targets;
	a->features = e->features;
	a->aggregate = aggregate;
	in[0] = x;
	in[1] = ftl_imp_bytes(m, FTL_I32, 2, (const int64_t[]){e->n, COLUMNS}, e->node);
	in[2] = numbers(m, e->t, e->n, e->value);
	in[3] = ftl_imp_bytes(m, FTL_I32, 1, &(int64_t){e->roots.n}, e->roots.v);
	in[4] = ftl_imp_bytes(m, FTL_I32, 1, &(int64_t){e->target.n}, e->target.v);
	in[5] = numbers(m, e->t, e->weight.n, e->weight.v);
	in[6] = numbers(m, e->t, e->member.n, e->member.v);
	return ftl_imp_op(m, FTL_OP_trees, a, 7, in);
}

static ftl_val rows(imp *m, ftl_dtype t)
{
	ftl_val x = ftl_imp_need(m, 0);

	if (!m->failed)
		ftl_imp_want_rank(m, x, 1, 2, "X");
	if (rank_of(m, x) == 1)
		x = ftl_imp_unsqueeze(m, x, 0);
	return ftl_imp_cast(m, x, t);
}

static bool set_feature(imp *m, ensemble *e, uint32_t i, int64_t feature)
{
	if (feature < 0 || feature >= INT32_MAX) {
		bad_model(m, "a node reads feature %lld", (long long)feature);
		return false;
	}
	e->node[i][FEATURE] = (int32_t)feature;
	if (feature >= e->features)
		e->features = feature + 1;
	return true;
}

/* ---- opset 5 ---- */

/* Where a branch leads: leaves come behind all other nodes. */
static int32_t child(imp *m, const ensemble *e, uint32_t inner, int64_t id, bool leaf)
{
	int64_t at = leaf ? (int64_t)inner + id : id;

	if (id < 0 || id >= (leaf ? (int64_t)e->n - inner : (int64_t)inner)) {
		bad_model(m, "a node's child is %s %lld, which is not there", leaf ? "leaf" : "node", (long long)id);
		return 0;
	}
	return (int32_t)at;
}

void ftl_imp_do_tree_ensemble(imp *m)
{
	static const char *const aggregates[] = {"mean", "sum", "min", "max"};
	static const char *const post[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
	ml_keys modes = ftl_ml_tensor(m, "nodes_modes"), splits = ftl_ml_tensor(m, "nodes_splits"),
		weights = ftl_ml_tensor(m, "leaf_weights"), members = ftl_ml_tensor(m, "membership_values");
	ftl_ints features = ftl_imp_ints(m, "nodes_featureids"), yes = ftl_imp_ints(m, "nodes_truenodeids"),
		 no = ftl_imp_ints(m, "nodes_falsenodeids"), yes_leaf = ftl_imp_ints(m, "nodes_trueleafs"),
		 no_leaf = ftl_imp_ints(m, "nodes_falseleafs"), targets = ftl_imp_ints(m, "leaf_targetids"),
		 roots = ftl_imp_ints(m, "tree_roots"), missing = ftl_imp_ints(m, "nodes_missing_value_tracks_true");
	int64_t nout = ftl_imp_i(m, "n_targets", 1), how = ftl_imp_i(m, "aggregate_function", 1),
		then = ftl_imp_i(m, "post_transform", 0);
	uint32_t n = modes.n, next = 0;
	ftl_dtype t = dtype_of(m, ftl_imp_need(m, 0));
	ensemble e = {.t = t == FTL_F64 ? FTL_F64 : FTL_F32};
	ftl_val y;

	if (m->failed)
		return;
	if (splits.n != n || features.n != n || yes.n != n || no.n != n || yes_leaf.n != n || no_leaf.n != n ||
	    targets.n != weights.n || (missing.n && missing.n != n) || how < 0 || how > 3 || then < 0 || then > 4 ||
	    nout < 1 || nout > INT32_MAX || modes.s || splits.s || weights.s || members.s) {
		bad_model(m, "its attributes do not fit each other");
		return;
	}
	new_nodes(m, &e, (size_t)n + weights.n);
	for (uint32_t i = 0; i < n && !m->failed; i++) {
		int64_t mode = modes.i[i];
		int32_t *c = e.node[i];

		if (mode < 0 || mode > 6 || !set_feature(m, &e, i, features.v[i])) {
			bad_model(m, "node %u has unknown mode %lld", i, (long long)mode);
			return;
		}
		c[TRUE_CHILD] = child(m, &e, n, yes.v[i], yes_leaf.v[i] != 0);
		c[FALSE_CHILD] = child(m, &e, n, no.v[i], no_leaf.v[i] != 0);
		c[MODE] = (int32_t)mode + 1 + (missing.n && missing.v[i] ? MISSING_IS_TRUE : 0);
		e.value[i] = splits.f[i];
		if (mode != 6)
			continue;
		/* sets stand one after the other, each with a NaN behind it */
		c[MEMBER_BEGIN] = (int32_t)e.member.n;
		for (; next < members.n && members.f[next] == members.f[next]; next++)
			ftl_vec_push(m->tmp, &e.member, members.f[next]);
		next++;
		c[MEMBER_END] = (int32_t)e.member.n;
	}
	for (uint32_t i = 0; i < weights.n && !m->failed; i++) {
		e.node[n + i][TRUE_CHILD] = (int32_t)i;
		e.node[n + i][FALSE_CHILD] = (int32_t)i + 1;
		if (targets.v[i] < 0 || targets.v[i] >= nout)
			bad_model(m, "leaf %u has target %lld of %lld", i, (long long)targets.v[i], (long long)nout);
		ftl_vec_push(m->tmp, &e.target, (int32_t)targets.v[i]);
		ftl_vec_push(m->tmp, &e.weight, weights.f[i]);
	}
	for (uint32_t i = 0; i < roots.n && !m->failed; i++) {
		if (roots.v[i] < 0 || roots.v[i] >= n)
			bad_model(m, "a tree's root is node %lld, which is not there", (long long)roots.v[i]);
		ftl_vec_push(m->tmp, &e.roots, (int32_t)roots.v[i]);
	}
	y = forest(m, &e, rows(m, e.t), nout, aggregates[how]);
	if (!m->failed)
		ftl_imp_out(m, 0, ftl_imp_cast(m, ftl_ml_post(m, y, post[then]), t));
}

/* ---- opsets 1 and 3 ---- */

typedef struct node_id {
	int64_t tree, node;
	uint32_t at;
} node_id;

static int by_id(const void *a, const void *b)
{
	const node_id *x = a, *y = b;

	return x->tree != y->tree ? (x->tree > y->tree) - (x->tree < y->tree)
				  : (x->node > y->node) - (x->node < y->node);
}

/* An attribute that is a list of floats or, since opset 3, a tensor. */
static ml_keys either(imp *m, const char *name)
{
	ml_keys k = ftl_ml_tensor(m, ftl_arena_printf(m->tmp, "%s_as_tensor", name));

	return k.dtype ? k : ftl_ml_floats(m, name, FTL_F32);
}

typedef struct attached { /* a weight and the node it belongs to */
	uint32_t at, order;
} attached;

static int by_node(const void *a, const void *b)
{
	const attached *x = a, *y = b;

	return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : (x->order > y->order) - (x->order < y->order);
}

static bool find_node(const node_id *ids, uint32_t n, int64_t tree, int64_t node, uint32_t *out)
{
	node_id key = {tree, node, 0};
	const node_id *found = bsearch(&key, ids, n, sizeof *ids, by_id);

	*out = found ? found->at : 0;
	return found != NULL;
}

static int32_t mode_of(imp *m, const ftl_str *s)
{
	static const char *const names[] = {"LEAF",      "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
					    "BRANCH_GT", "BRANCH_EQ",  "BRANCH_NEQ"};

	for (size_t i = 0; i < FTL_COUNT(names); i++)
		if (s->n == strlen(names[i]) && memcmp(s->p, names[i], s->n) == 0)
			return (int32_t)i;
	bad_model(m, "unknown mode of a node \"%.32s\"", s->p);
	return 0;
}

/* what: "target" or "class", the prefix of the attributes with the weights */
static void read_old(imp *m, ensemble *e, const char *what, int64_t nout)
{
	ftl_ints trees = ftl_imp_ints(m, "nodes_treeids"), nodes = ftl_imp_ints(m, "nodes_nodeids"),
		 features = ftl_imp_ints(m, "nodes_featureids"), yes = ftl_imp_ints(m, "nodes_truenodeids"),
		 no = ftl_imp_ints(m, "nodes_falsenodeids"),
		 missing = ftl_imp_ints(m, "nodes_missing_value_tracks_true");
	ftl_ints wtree = ftl_imp_ints(m, ftl_arena_printf(m->tmp, "%s_treeids", what)),
		 wnode = ftl_imp_ints(m, ftl_arena_printf(m->tmp, "%s_nodeids", what)),
		 wid = ftl_imp_ints(m, ftl_arena_printf(m->tmp, "%s_ids", what));
	ml_keys values = either(m, "nodes_values"), weights = either(m, ftl_arena_printf(m->tmp, "%s_weights", what));
	ftl_strs modes = ftl_imp_strs(m, "nodes_modes");
	uint32_t n = nodes.n, w = wid.n;
	node_id *ids;
	attached *by;
	bool *has_parent;

	if (m->failed)
		return;
	if (trees.n != n || features.n != n || yes.n != n || no.n != n || modes.n != n || values.n != n ||
	    (missing.n && missing.n != n) || wtree.n != w || wnode.n != w || weights.n != w || values.s || weights.s) {
		bad_model(m, "its attributes do not fit each other");
		return;
	}
	new_nodes(m, e, n);
	if (m->failed)
		return;
	ids = FTL_NEW_N(m->tmp, node_id, n);
	has_parent = FTL_NEW_N(m->tmp, bool, n);
	for (uint32_t i = 0; i < n; i++)
		ids[i] = (node_id){trees.v[i], nodes.v[i], i};
	qsort(ids, n, sizeof *ids, by_id);
	for (uint32_t i = 1; i < n; i++)
		if (by_id(&ids[i - 1], &ids[i]) == 0)
			bad_model(m, "tree %lld has node %lld twice", (long long)ids[i].tree, (long long)ids[i].node);
	for (uint32_t i = 0; i < n && !m->failed; i++) {
		int32_t mode = mode_of(m, &modes.v[i]), *c = e->node[i];
		uint32_t a, b;

		if (mode == LEAF)
			continue;
		if (!find_node(ids, n, trees.v[i], yes.v[i], &a) || !find_node(ids, n, trees.v[i], no.v[i], &b)) {
			bad_model(m, "node %lld of tree %lld has a child that is not there", (long long)nodes.v[i],
				  (long long)trees.v[i]);
			return;
		}
		has_parent[a] = has_parent[b] = true;
		c[TRUE_CHILD] = (int32_t)a;
		c[FALSE_CHILD] = (int32_t)b;
		c[MODE] = mode + (missing.n && missing.v[i] ? MISSING_IS_TRUE : 0);
		e->value[i] = values.f[i];
		if (!set_feature(m, e, i, features.v[i]))
			return;
	}
	for (uint32_t i = 0; i < n && !m->failed; i++)
		if (!has_parent[i])
			ftl_vec_push(m->tmp, &e->roots, (int32_t)i);
	by = FTL_NEW_N(m->tmp, attached, (size_t)w + 1);
	for (uint32_t i = 0; i < w && !m->failed; i++) {
		by[i].order = i;
		if (!find_node(ids, n, wtree.v[i], wnode.v[i], &by[i].at))
			bad_model(m, "a weight belongs to node %lld of tree %lld, which is not there",
				  (long long)wnode.v[i], (long long)wtree.v[i]);
		if (wid.v[i] < 0 || wid.v[i] >= nout)
			bad_model(m, "a weight belongs to output %lld of %lld", (long long)wid.v[i], (long long)nout);
	}
	if (m->failed)
		return;
	qsort(by, w, sizeof *by, by_node);
	for (uint32_t i = 0; i < w; i++) {
		int32_t *c = e->node[by[i].at];

		ftl_vec_push(m->tmp, &e->target, (int32_t)wid.v[by[i].order]);
		ftl_vec_push(m->tmp, &e->weight, weights.f[by[i].order]);
		if (c[MODE] != LEAF)
			continue; /* only leaves count */
		if (i == 0 || by[i - 1].at != by[i].at)
			c[TRUE_CHILD] = (int32_t)i;
		c[FALSE_CHILD] = (int32_t)i + 1;
	}
}

static ftl_val with_base(imp *m, ftl_val y, int64_t nout)
{
	ml_keys base = either(m, "base_values");

	if (!base.n || m->failed)
		return y;
	if (base.s || (base.n != nout && base.n != 1)) {
		bad_model(m, "has %u base values for %lld outputs", base.n, (long long)nout);
		return y;
	}
	return e_add(m, y, numbers(m, dtype_of(m, y), base.n, base.f));
}

void ftl_imp_do_tree_regressor(imp *m)
{
	static const char *const names[] = {"SUM", "AVERAGE", "MIN", "MAX"}, *const ours[] = {"sum", "mean", "min",
											      "max"};
	const char *aggregate = ftl_imp_s(m, "aggregate_function", "SUM");
	ensemble e = {.t = dtype_of(m, ftl_imp_need(m, 0)) == FTL_F64 ? FTL_F64 : FTL_F32};
	int64_t nout = ftl_imp_i(m, "n_targets", 1);
	size_t k = 0;
	ftl_val y;

	while (k < FTL_COUNT(names) && strcmp(names[k], aggregate) != 0)
		k++;
	if (k == FTL_COUNT(names) || nout < 1 || nout > INT32_MAX) {
		bad_model(m, "aggregates by \"%.32s\" to %lld targets", aggregate, (long long)nout);
		return;
	}
	read_old(m, &e, "target", nout);
	y = with_base(m, forest(m, &e, rows(m, e.t), nout, ours[k]), nout);
	y = ftl_imp_cast(m, y, FTL_F32);
	if (!m->failed)
		ftl_imp_out(m, 0, ftl_ml_post(m, y, ftl_imp_s(m, "post_transform", "NONE")));
}

/* Of scores that may be negative only those count that some leaf has spoken about. */
static ftl_val only_named(imp *m, ensemble *e, ftl_val y, int64_t n)
{
	ftl_val named;

	for (uint32_t i = 0; i < e->weight.n; i++)
		e->weight.v[i] = 1;
	named = forest(m, e, rows(m, e->t), n, "sum");
	return e_where(m, op2(m, FTL_OP_gt, named, e_num(m, named, 0)), y, e_num(m, y, -INFINITY));
}

/* Two classes are decided by the second one's score, above 1/2 where all weights are positive and above 0 elsewhere. */
void ftl_imp_do_tree_classifier(imp *m)
{
	const char *how = ftl_imp_s(m, "post_transform", "NONE");
	ml_keys labels = ftl_ml_classes(m, "classlabels_int64s"), base = either(m, "base_values");
	ftl_ints ids = ftl_imp_ints(m, "class_ids");
	ensemble e = {.t = dtype_of(m, ftl_imp_need(m, 0)) == FTL_F64 ? FTL_F64 : FTL_F32};
	bool one = ids.n > 0, positive = true;
	int64_t n = labels.n;
	ftl_val y, z, at;

	if (!m->failed && n < 1) {
		bad_model(m, "has no class labels");
		return;
	}
	read_old(m, &e, "class", n);
	if (m->failed)
		return;
	for (uint32_t i = 0; i < e.weight.n; i++)
		positive &= e.weight.v[i] >= 0;
	for (uint32_t i = 0; i < ids.n; i++)
		one &= ids.v[i] == ids.v[0];
	y = forest(m, &e, rows(m, e.t), n, "sum");
	if (n == 2 && one && ids.v[0] == 0 && base.n < 2) {
		/* the only score there is stands for the second class */
		y = with_base(m, ftl_imp_slice(m, y, 1, dim_c(m, 0), dim_c(m, 1)), 1);
		y = ftl_imp_cast(m, y, FTL_F32);
		at = op2(m, FTL_OP_gt, ftl_imp_squeeze(m, y, 1), e_num(m, y, positive ? 0.5 : 0));
		z = strcmp(how, "PROBIT") ? ftl_ml_two(m, y, how, positive) : ftl_ml_post(m, y, how);
	} else {
		if (base.n == 1 && n == 2) /* it is the first class's */
			y = e_add(m, y, numbers(m, e.t, 2, (const double[]){base.f[0], 0}));
		else
			y = with_base(m, y, n);
		y = ftl_imp_cast(m, y, FTL_F32);
		z = ftl_ml_post(m, y, how);
		at = ftl_ml_best(m, positive || base.n ? y : only_named(m, &e, y, n));
		if (n == 2 && !m->failed) {
			ftl_val second = ftl_imp_squeeze(m, ftl_imp_slice(m, y, 1, dim_c(m, 1), dim_c(m, 1)), 1);

			at = op2(m, FTL_OP_gt, second, e_num(m, y, one && positive ? 0.5 : 0));
		}
	}
	if (m->failed)
		return;
	ftl_imp_out(m, 0, ftl_ml_labels(m, ftl_imp_cast(m, at, FTL_I64), &labels));
	ftl_imp_out(m, 1, z);
}
