/* Rules of cancel-layout for transposes and reshapes. */
#include "layout.h"

#define LOOK_AHEAD 12 /* elementwise nodes on the way to something that cancels */

static bool is_one(const ftl_graph *g, ftl_dim d)
{
	int64_t v;

	return ftl_dim_is_const(g->st, d, &v) && v == 1;
}

static void begin(ftl_patch *t, ftl_pass *p, const char *what, ftl_node_id root, const ftl_node_id *covered, uint32_t n,
		  bool shared)
{
	ftl_patch_begin(t, p, what, root, covered, n);
	t->sharing = shared ? FTL_SHARE_FREELY : FTL_SHARE_NOTHING;
	t->quiet = true;
}

/* transpose(transpose(x, p), q) = transpose(x, p[q]) */
ftl_status ftl_layout_transpose_transpose(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	const ftl_graph *g = p->graph;
	const ftl_node *outer = ftl_node_get(g, id);
	ftl_node_id inner = ftl_def(g, outer->in[0], FTL_OP_transpose);
	int q[FTL_MAX_RANK], r[FTL_MAX_RANK], both[FTL_MAX_RANK];
	ftl_val with;
	ftl_patch t;

	if (!inner || !ftl_layout_perm(g, outer, q) || !ftl_layout_perm(g, ftl_node_get(g, inner), r))
		return FTL_OK;
	for (int i = 0; i < ftl_type_of(g, outer->in[0])->rank; i++)
		both[i] = r[q[i]];
	begin(&t, p, what, id, &inner, 1, true);
	return ftl_layout_commit(&t, ftl_layout_transpose(&t, ftl_node_get(g, inner)->in[0], both, &with), &with,
				 out_done);
}

/* Axes of size 1 change places among the others, which keep their order: a view. */
ftl_status ftl_layout_transpose_view(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	const ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);
	const ftl_type *x = ftl_type_of(g, n->in[0]), *out = ftl_type_of(g, n->out[0]);
	int perm[FTL_MAX_RANK], last = -1;
	ftl_val with;
	ftl_patch t;

	if (!ftl_layout_perm(g, n, perm))
		return FTL_OK;
	for (int i = 0; i < x->rank; i++) {
		if (is_one(g, x->dims[perm[i]]))
			continue;
		if (perm[i] < last)
			return FTL_OK;
		last = perm[i];
	}
	begin(&t, p, what, id, NULL, 0, true);
	return ftl_layout_commit(&t, ftl_layout_reshape(&t, n->in[0], out->dims, out->rank, &with), &with, out_done);
}

/* Do the last two axes change places, and no others? */
static bool swaps_matrix(const int *perm, int rank)
{
	for (int i = 0; i < rank - 2; i++)
		if (perm[i] != i)
			return false;
	return rank >= 2 && perm[rank - 1] == rank - 2;
}

/* transpose(a b) = transpose(b) transpose(a): two flags instead of moving the product */
ftl_status ftl_layout_transpose_matmul(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id), *mm;
	ftl_node_id inner = ftl_def(g, n->in[0], FTL_OP_matmul);
	struct ftl_attrs_matmul *a;
	int perm[FTL_MAX_RANK];
	ftl_val in[2], with;
	ftl_patch t;

	if (!inner || !ftl_layout_perm(g, n, perm) || !swaps_matrix(perm, ftl_type_of(g, n->in[0])->rank))
		return FTL_OK;
	mm = ftl_node_get(g, inner);
	in[0] = mm->in[1];
	in[1] = mm->in[0];
	if (ftl_type_of(g, in[0])->rank < 2 || ftl_type_of(g, in[1])->rank < 2)
		return FTL_OK;
	a = ftl_arena_dup(g->arena, mm->attrs, sizeof *a);
	a->trans_a = !FTL_ATTRS(mm, matmul)->trans_b;
	a->trans_b = !FTL_ATTRS(mm, matmul)->trans_a;
	begin(&t, p, what, id, &inner, 1, false);
	return ftl_layout_commit(&t, ftl_build1(&t.b, FTL_OP_matmul, in, 2, a, &with), &with, out_done);
}

/* A transpose that brings rows to the end becomes a flag; of one that moves other axes, too, the rest stays, which keeps
 * rows together. */
static ftl_status flag_operand(ftl_pass *p, ftl_node_id id, uint32_t k, const char *what, bool *out_done)
{
	ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);
	ftl_node_id inner = ftl_def(g, n->in[k], FTL_OP_transpose);
	int perm[FTL_MAX_RANK], rank = ftl_type_of(g, n->in[k])->rank, tmp;
	ftl_val in[2] = {n->in[0], n->in[1]}, with = 0;
	struct ftl_attrs_matmul *a;
	ftl_status_code s;
	ftl_patch t;

	if (!inner || rank < 2 || !ftl_layout_perm(g, ftl_node_get(g, inner), perm) || perm[rank - 2] != rank - 1)
		return FTL_OK;
	tmp = perm[rank - 1];
	perm[rank - 1] = perm[rank - 2];
	perm[rank - 2] = tmp;
	a = ftl_arena_dup(g->arena, n->attrs, sizeof *a);
	*(k ? &a->trans_b : &a->trans_a) ^= true;
	begin(&t, p, what, id, &inner, 1, true);
	s = ftl_layout_transpose(&t, ftl_node_get(g, inner)->in[0], perm, &in[k]);
	if (s == FTL_OK)
		s = ftl_build1(&t.b, FTL_OP_matmul, in, 2, a, &with);
	return ftl_layout_commit(&t, s, &with, out_done);
}

ftl_status ftl_layout_matmul_transpose(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	FTL_TRY(flag_operand(p, id, 1, what, out_done));
	return *out_done ? FTL_OK : flag_operand(p, id, 0, what, out_done);
}

/* ---- sinking ---- */
/* Is v's only reader `op`, or an elementwise chain (for reshapes: or matmul) that ends in one? */
static bool leads_to(const ftl_graph *g, ftl_val v, ftl_op op)
{
	ftl_region_id region = ftl_value_get(g, v)->region;

	for (int i = 0; i < LOOK_AHEAD; i++) {
		const ftl_node *u;

		if (ftl_use_count(g, v) != 1)
			return false;
		u = ftl_node_get(g, ftl_value_get(g, v)->uses.v[0]);
		if (u->region != region)
			return false;
		if (u->op == op)
			return u->nin == 1;
		if (!ftl_op_has(u->op, FTL_MAP) && !(op == FTL_OP_reshape && u->op == FTL_OP_matmul && u->in[0] == v))
			return false;
		v = u->out[0];
	}
	return false;
}

/* One element, whatever its rank (up to `rank`). */
static bool is_single(const ftl_graph *g, ftl_val v, int rank)
{
	const ftl_type *t = ftl_type_of(g, v);

	for (int i = 0; i < t->rank; i++)
		if (!is_one(g, t->dims[i]))
			return false;
	return t->rank <= rank;
}

/* v as an operand from which a transpose by perm behind the op makes what it is now: a constant, reshaped to full rank and
 * transposed back. */
static ftl_status unpermute(ftl_patch *t, ftl_val v, const int *perm, int rank, ftl_val *out)
{
	const ftl_type *type = ftl_type_of(t->b.g, v);
	ftl_dim dims[FTL_MAX_RANK], one = ftl_dim_const(t->b.g->st, 1);
	int back[FTL_MAX_RANK];

	for (int i = 0; i < rank; i++) {
		dims[i] = i < rank - type->rank ? one : type->dims[i - (rank - type->rank)];
		back[perm[i]] = i;
	}
	FTL_TRY(ftl_layout_reshape(t, v, dims, rank, &v));
	FTL_TRY(ftl_patch_fold(t, &v));
	FTL_TRY(ftl_layout_transpose(t, v, back, out));
	return ftl_patch_fold(t, out);
}

/* f(transpose x, transpose y, c) = transpose(f(x, y, c')) */
ftl_status ftl_layout_map_transpose(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	const ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);
	int rank = ftl_type_of(g, n->out[0])->rank, perm[FTL_MAX_RANK], other[FTL_MAX_RANK];
	ftl_node_id covered[3];
	ftl_val in[3], with = 0;
	uint32_t found = 0;
	ftl_status_code s = FTL_OK;
	ftl_patch t;

	if (n->nin > 3)
		return FTL_OK;
	for (uint32_t k = 0; k < n->nin; k++) {
		ftl_node_id d = n->in[k] ? ftl_def(g, n->in[k], FTL_OP_transpose) : 0;

		in[k] = n->in[k];
		if (!d || ftl_type_of(g, n->in[k])->rank != rank) {
			if (in[k] && !is_single(g, in[k], rank) &&
			    (!ftl_const_blob(g, in[k]) || ftl_type_of(g, in[k])->rank > rank))
				return FTL_OK;
			continue;
		}
		ftl_layout_perm(g, ftl_node_get(g, d), found ? other : perm);
		if (found && memcmp(perm, other, (size_t)rank * sizeof *perm) != 0)
			return FTL_OK;
		in[k] = ftl_node_get(g, d)->in[0];
		covered[found++] = d;
	}
	if (!found || (found < 2 && !leads_to(g, n->out[0], FTL_OP_transpose)))
		return FTL_OK;
	begin(&t, p, what, id, covered, found, true);
	for (uint32_t k = 0; k < n->nin && s == FTL_OK; k++)
		if (in[k] && in[k] == ftl_node_get(g, id)->in[k] && !is_single(g, in[k], rank))
			s = unpermute(&t, in[k], perm, rank, &in[k]);
	if (s == FTL_OK)
		s = ftl_layout_again(&t, ftl_node_get(g, id), in, &with);
	if (s == FTL_OK)
		s = ftl_layout_transpose(&t, with, perm, &with);
	return ftl_layout_commit(&t, s, &with, out_done);
}

/* A reshape that flattens leading axes and keeps the last one: its input, else 0. */
static ftl_val flattened(const ftl_graph *g, ftl_val v)
{
	ftl_node_id d = v ? ftl_def(g, v, FTL_OP_reshape) : 0;
	const ftl_type *out = ftl_type_of(g, v), *x;

	if (!d || ftl_node_get(g, d)->nin != 1)
		return 0;
	x = ftl_type_of(g, ftl_node_get(g, d)->in[0]);
	if (out->rank < 2 || x->rank <= out->rank || x->dims[x->rank - 1] != out->dims[out->rank - 1])
		return 0;
	for (int i = 0; i < out->rank - 2; i++) /* what is flattened is directly in front of the last axis */
		if (x->dims[i] != out->dims[i])
			return 0;
	return ftl_node_get(g, d)->in[0];
}

/* Varies along the last axis at most. */
static bool is_row(const ftl_graph *g, ftl_val v)
{
	const ftl_type *t = ftl_type_of(g, v);

	for (int i = 0; i < t->rank - 1; i++)
		if (!is_one(g, t->dims[i]))
			return false;
	return true;
}

/* f(reshape x, reshape y, row) = reshape(f(x, y, row)) */
ftl_status ftl_layout_map_reshape(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	const ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);
	ftl_type out = *ftl_type_of(g, n->out[0]);
	ftl_node_id covered[3];
	ftl_val in[3], with = 0, first = 0;
	uint32_t found = 0;
	ftl_status_code s;
	bool same_text;
	ftl_patch t;

	if (n->nin > 3)
		return FTL_OK;
	for (uint32_t k = 0; k < n->nin; k++) {
		ftl_val x = flattened(g, n->in[k]);

		in[k] = n->in[k];
		if (!x || ftl_type_of(g, n->in[k])->rank != out.rank) {
			if (in[k] && !is_row(g, in[k]))
				return FTL_OK;
			continue;
		}
		if (first && (ftl_type_of(g, first)->rank != ftl_type_of(g, x)->rank ||
			      memcmp(ftl_type_of(g, first)->dims, ftl_type_of(g, x)->dims,
				     (size_t)ftl_type_of(g, x)->rank * sizeof(ftl_dim)) != 0))
			return FTL_OK;
		first = in[k] = x;
		covered[found++] = ftl_value_get(g, n->in[k])->def;
	}
	if (!found || !leads_to(g, n->out[0], FTL_OP_reshape))
		return FTL_OK;
	begin(&t, p, what, id, covered, found, true);
	s = ftl_layout_again(&t, ftl_node_get(g, id), in, &with);
	/* a row may have broadcast the last axis */
	if (s == FTL_OK &&
	    ftl_types_agree(
		    g, &(ftl_type){out.dtype, ftl_type_of(g, first)->rank, ftl_type_of(g, first)->dims, NULL, NULL},
		    ftl_type_of(g, with), &same_text))
		s = ftl_layout_reshape(&t, with, out.dims, out.rank, &with);
	return ftl_layout_commit(&t, s, &with, out_done);
}

/* reshape(x) w = reshape(x w) for a plain matrix w */
ftl_status ftl_layout_matmul_reshape(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	const ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);
	ftl_type out = *ftl_type_of(g, n->out[0]);
	ftl_val x = flattened(g, n->in[0]), in[2] = {x, n->in[1]}, with = 0;
	ftl_node_id inner = x ? ftl_value_get(g, n->in[0])->def : 0;
	ftl_status_code s;
	ftl_patch t;

	if (!x || FTL_ATTRS(n, matmul)->trans_a || ftl_type_of(g, n->in[1])->rank != 2 ||
	    !leads_to(g, n->out[0], FTL_OP_reshape))
		return FTL_OK;
	begin(&t, p, what, id, &inner, 1, true);
	s = ftl_layout_again(&t, ftl_node_get(g, id), in, &with);
	if (s == FTL_OK)
		s = ftl_layout_reshape(&t, with, out.dims, out.rank, &with);
	return ftl_layout_commit(&t, s, &with, out_done);
}
