/* Rules of cancel-layout for slices, concats and expands. */
#include "layout.h"

#define MAX_PARTS 256 /* operands of a concat that is looked at */

/* A slice whose start, size and step are attributes, for every axis. */
typedef struct span {
	int rank;
	ftl_dim start[FTL_MAX_RANK], size[FTL_MAX_RANK];
	int64_t step[FTL_MAX_RANK];
	bool cut[FTL_MAX_RANK]; /* the slice speaks of this axis */
} span;

static bool read_slice(const ftl_graph *g, ftl_node_id id, span *s)
{
	const ftl_node *n = ftl_node_get(g, id);
	const struct ftl_attrs_slice *a;
	const ftl_type *x;

	if (!id || n->op != FTL_OP_slice || n->nin != 1)
		return false;
	a = FTL_ATTRS(n, slice);
	x = ftl_type_of(g, n->in[0]);
	*s = (span){.rank = x->rank};
	for (int i = 0; i < x->rank; i++) {
		s->start[i] = ftl_dim_const(g->st, 0);
		s->size[i] = x->dims[i];
		s->step[i] = 1;
	}
	for (uint32_t i = 0; i < a->sizes.n; i++) {
		int64_t axis = a->axes.n ? a->axes.v[i] : i;

		axis += axis < 0 ? x->rank : 0;
		s->start[axis] = a->starts.v[i];
		s->size[axis] = a->sizes.v[i];
		s->step[axis] = a->steps.n ? a->steps.v[i] : 1;
		s->cut[axis] = true;
	}
	return true;
}

/* x itself if nothing is cut off. */
static ftl_status build_slice(ftl_patch *t, ftl_val x, const span *s, ftl_val *out)
{
	ftl_graph *g = t->b.g;
	struct ftl_attrs_slice *a = ftl_attrs_default(g, FTL_OP_slice);
	int64_t *axes = FTL_NEW_N(g->arena, int64_t, FTL_MAX_RANK), *steps = FTL_NEW_N(g->arena, int64_t, FTL_MAX_RANK);
	ftl_dim *starts = FTL_NEW_N(g->arena, ftl_dim, FTL_MAX_RANK),
		*sizes = FTL_NEW_N(g->arena, ftl_dim, FTL_MAX_RANK);
	bool stepped = false;
	uint32_t n = 0;

	for (int i = 0; i < s->rank; i++) {
		if (s->step[i] == 1 && s->size[i] == ftl_type_of(g, x)->dims[i])
			continue;
		axes[n] = i;
		steps[n] = s->step[i];
		starts[n] = s->start[i];
		sizes[n++] = s->size[i];
		stepped |= s->step[i] != 1;
	}
	*out = x;
	if (n == 0)
		return FTL_OK;
	a->axes = (ftl_ints){n, axes};
	a->steps = (ftl_ints){stepped ? n : 0, steps};
	a->starts = (ftl_dims){n, starts};
	a->sizes = (ftl_dims){n, sizes};
	return ftl_build1(&t->b, FTL_OP_slice, &x, 1, a, out);
}

/* x[a + b i][c + d j] = x[a + b c + b d j] */
ftl_status ftl_layout_slice_slice(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	ftl_graph *g = p->graph;
	ftl_node_id inner = ftl_value_get(g, ftl_node_get(g, id)->in[0])->def;
	span outer, in;
	ftl_val with;
	ftl_patch t;

	if (!read_slice(g, id, &outer) || !read_slice(g, inner, &in))
		return FTL_OK;
	for (int i = 0; i < outer.rank; i++) {
		outer.start[i] = ftl_dim_add(g->st, in.start[i],
					     ftl_dim_mul(g->st, outer.start[i], ftl_dim_const(g->st, in.step[i])));
		if (!outer.start[i] || __builtin_mul_overflow(outer.step[i], in.step[i], &outer.step[i]))
			return FTL_OK;
	}
	ftl_patch_begin(&t, p, what, id, &inner, 1);
	t.sharing = FTL_SHARE_FREELY;
	t.quiet = true;
	return ftl_layout_commit(&t, build_slice(&t, ftl_node_get(g, inner)->in[0], &outer, &with), &with, out_done);
}

static int concat_axis(const ftl_graph *g, const ftl_node *n)
{
	int64_t axis = FTL_ATTRS(n, concat)->axis;

	return (int)(axis < 0 ? axis + ftl_type_of(g, n->in[0])->rank : axis);
}

/* Which operand of the concat holds [start, start + size) of its axis as a whole? Its offset in *out_offset. */
static bool holding(ftl_symtab *st, const ftl_graph *g, const ftl_node *cat, int axis, ftl_dim start, ftl_dim size,
		    uint32_t *out_k, ftl_dim *out_offset)
{
	ftl_dim offset = ftl_dim_const(st, 0), end = ftl_dim_add(st, start, size);

	for (uint32_t k = 0; k < cat->nin && k < MAX_PARTS && end && offset; k++) {
		ftl_dim next = ftl_dim_add(st, offset, ftl_type_of(g, cat->in[k])->dims[axis]);

		if (next && ftl_dim_known_le(st, offset, start) == 1 && ftl_dim_known_le(st, end, next) == 1) {
			*out_k = k;
			*out_offset = offset;
			return true;
		}
		offset = next;
	}
	return false;
}

/* A slice of a concat that stays within one operand is a slice of that. */
ftl_status ftl_layout_slice_concat(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	ftl_graph *g = p->graph;
	ftl_node_id inner = ftl_def(g, ftl_node_get(g, id)->in[0], FTL_OP_concat);
	const ftl_node *cat = ftl_node_get(g, inner);
	ftl_dim offset;
	uint32_t k;
	int axis;
	span s;
	ftl_val with;
	ftl_patch t;

	if (!inner || !read_slice(g, id, &s))
		return FTL_OK;
	axis = concat_axis(g, cat);
	if (s.step[axis] != 1 || !holding(g->st, g, cat, axis, s.start[axis], s.size[axis], &k, &offset))
		return FTL_OK;
	s.start[axis] = ftl_dim_sub(g->st, s.start[axis], offset);
	ftl_patch_begin(&t, p, what, id, &inner, 1);
	t.sharing = FTL_SHARE_FREELY;
	t.quiet = true;
	return ftl_layout_commit(&t, build_slice(&t, cat->in[k], &s, &with), &with, out_done);
}

/* Is `b` the part of the same value that follows `a` along the axis, and otherwise alike? */
static bool follows(ftl_symtab *st, const span *a, const span *b, int axis)
{
	ftl_dim end = ftl_dim_add(st, a->start[axis], a->size[axis]);

	for (int i = 0; i < a->rank; i++) {
		if (a->step[i] != b->step[i] || (i != axis && (a->start[i] != b->start[i] || a->size[i] != b->size[i])))
			return false;
	}
	return a->step[axis] == 1 && end && ftl_dim_known_eq(st, end, b->start[axis]) == 1;
}

/* Neighbouring slices of one value, put together again. */
ftl_status ftl_layout_concat_slices(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);
	int axis = concat_axis(g, n);
	ftl_node_id pair[2];
	uint32_t k = 0, m = 0, nin = n->nin;
	span a = {0}, b = {0};
	ftl_val *in, with;
	ftl_status_code s;
	ftl_patch t;

	if (nin > MAX_PARTS)
		return FTL_OK;
	for (k = 0; k + 1 < nin; k++) {
		pair[0] = ftl_value_get(g, n->in[k])->def;
		pair[1] = ftl_value_get(g, n->in[k + 1])->def;
		if (read_slice(g, pair[0], &a) && read_slice(g, pair[1], &b) &&
		    ftl_node_get(g, pair[0])->in[0] == ftl_node_get(g, pair[1])->in[0] && follows(g->st, &a, &b, axis))
			break;
	}
	if (k + 1 >= nin)
		return FTL_OK;
	a.size[axis] = ftl_dim_add(g->st, a.size[axis], b.size[axis]);
	if (!a.size[axis])
		return FTL_OK;
	in = FTL_NEW_N(p->scratch, ftl_val, nin);
	ftl_patch_begin(&t, p, what, id, pair, pair[0] == pair[1] ? 1 : 2);
	t.sharing = FTL_SHARE_FREELY;
	t.quiet = true;
	s = build_slice(&t, ftl_node_get(g, pair[0])->in[0], &a, &with);
	n = ftl_node_get(g, id);
	for (uint32_t i = 0; i < nin; i++)
		if (i != k + 1)
			in[m++] = i == k ? with : n->in[i];
	if (s == FTL_OK && m > 1)
		s = ftl_build1(&t.b, FTL_OP_concat, in, m,
			       ftl_arena_dup(g->arena, n->attrs, sizeof(struct ftl_attrs_concat)), &with);
	return ftl_layout_commit(&t, s, &with, out_done);
}

/* concat(concat(x, y), z) = concat(x, y, z) along one axis */
ftl_status ftl_layout_concat_concat(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id), *cat;
	int axis = concat_axis(g, n);
	ftl_node_id inner = 0;
	uint32_t k, m = 0, total;
	ftl_val *in, with;
	ftl_patch t;

	for (k = 0; k < n->nin && k < MAX_PARTS; k++) {
		inner = ftl_def(g, n->in[k], FTL_OP_concat);
		if (inner && ftl_use_count(g, n->in[k]) == 1 && concat_axis(g, ftl_node_get(g, inner)) == axis &&
		    ftl_node_get(g, inner)->region == n->region)
			break;
		inner = 0;
	}
	if (!inner)
		return FTL_OK;
	cat = ftl_node_get(g, inner);
	total = n->nin - 1 + cat->nin;
	if (total > MAX_PARTS)
		return FTL_OK;
	in = FTL_NEW_N(p->scratch, ftl_val, total);
	for (uint32_t i = 0; i < n->nin; i++)
		for (uint32_t j = 0; j < (i == k ? cat->nin : 1); j++)
			in[m++] = i == k ? cat->in[j] : n->in[i];
	ftl_patch_begin(&t, p, what, id, &inner, 1);
	t.quiet = true;
	return ftl_layout_commit(&t,
				 ftl_build1(&t.b, FTL_OP_concat, in, total,
					    ftl_arena_dup(g->arena, n->attrs, sizeof(struct ftl_attrs_concat)), &with),
				 &with, out_done);
}

/* ---- expand ---- */
/* A matmul broadcasts axes in front of its matrices, not those of the matrices. */
static bool keeps_matrix(const ftl_graph *g, ftl_val from, ftl_val to)
{
	const ftl_type *a = ftl_type_of(g, from), *b = ftl_type_of(g, to);

	return a->rank >= 2 && b->rank >= 2 &&
	       memcmp(a->dims + a->rank - 2, b->dims + b->rank - 2, 2 * sizeof *a->dims) == 0;
}

/* f(expand x) = expand(f(x)) for one operand */
static ftl_status expand_later(ftl_pass *p, ftl_node_id id, ftl_node_id inner, const char *what, bool *out_done)
{
	ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);
	ftl_type out = *ftl_type_of(g, n->out[0]);
	struct ftl_attrs_expand *a = ftl_attrs_default(g, FTL_OP_expand);
	ftl_val in = ftl_node_get(g, inner)->in[0], with = 0;
	ftl_status_code s;
	ftl_patch t;

	if (out.rank == 0)
		return FTL_OK;
	a->dims = (ftl_dims){(uint32_t)out.rank, out.dims};
	ftl_patch_begin(&t, p, what, id, &inner, 1);
	t.quiet = true;
	s = ftl_layout_again(&t, n, &in, &with);
	if (s == FTL_OK)
		s = ftl_build1(&t.b, FTL_OP_expand, &with, 1, a, &with);
	return ftl_layout_commit(&t, s, &with, out_done);
}

/* An operand that is expanded to what the op would broadcast it to anyway. The driver compares the types. */
ftl_status ftl_layout_map_expand(ftl_pass *p, ftl_node_id id, const char *what, bool *out_done)
{
	ftl_graph *g = p->graph;
	const ftl_node *n = ftl_node_get(g, id);

	for (uint32_t k = 0; k < n->nin && n->nin <= 3 && !*out_done; k++) {
		ftl_node_id inner = n->in[k] ? ftl_def(g, n->in[k], FTL_OP_expand) : 0;
		ftl_val in[3] = {0}, with;
		ftl_patch t;

		if (!inner)
			continue;
		if (n->nin == 1)
			return expand_later(p, id, inner, what, out_done);
		memcpy(in, n->in, n->nin * sizeof *in);
		in[k] = ftl_node_get(g, inner)->in[0];
		if (n->op == FTL_OP_matmul && !keeps_matrix(g, n->in[k], in[k]))
			continue;
		ftl_patch_begin(&t, p, what, id, &inner, 1);
		t.sharing = FTL_SHARE_FREELY;
		t.quiet = true;
		FTL_TRY(ftl_layout_commit(&t, ftl_layout_again(&t, n, in, &with), &with, out_done));
		n = ftl_node_get(g, id);
	}
	return FTL_OK;
}
