/* The inference driver, and what hooks are given to work with.
 *
 * Inference may run any number of times over a node. What must not change between runs without a reason is
 * the symbol of a dim that only run time knows: types of other values mention it. So a node that made a symbol
 * for (output, axis) once (or whose type in a .fir text says so) gets the same one again: ftl_sym_binder
 * remembers whose symbol it is. Types and contents are written only when they change. */
#include <stdio.h>

#include "ir/infer.h"
#include "ir/shape_util.h"

static ftl_status check_inputs(const ftl_graph *g, ftl_node_id id, ftl_diag *d)
{
	const ftl_node *n = ftl_node_get(g, id);
	const ftl_op_info *op = ftl_op_get(n->op);

	if (n->nin < (uint32_t)op->min_in || (op->max_in >= 0 && n->nin > (uint32_t)op->max_in))
		return ftl_fail_node(g, id, d, FTL_ERR_MODEL, "%u is not a number of inputs it can take", n->nin);
	if (op->nout >= 0 && n->nout != (uint32_t)op->nout)
		return ftl_fail_node(g, id, d, FTL_ERR_MODEL, "has %u outputs instead of %d", n->nout, op->nout);
	if ((op->traits & FTL_REGIONS) && n->nregion == 0)
		return ftl_fail_node(g, id, d, FTL_ERR_MODEL, "has no region");
	for (uint32_t k = 0; k < n->nin; k++) {
		/* loop may lack its first two */
		if (n->in[k] == 0 && k < (uint32_t)op->min_in && !(op->traits & FTL_REGIONS))
			return ftl_fail_node(g, id, d, FTL_ERR_MODEL, "input %u is missing", k);
		if (n->in[k] != 0 && ftl_type_of(g, n->in[k])->dtype == FTL_NO_DTYPE)
			return ftl_fail_node(g, id, d, FTL_ERR_MODEL, "input %u has no type", k);
		if (n->in[k] != 0 && !(op->traits & FTL_LOW) && ftl_dtype_is_low(ftl_type_of(g, n->in[k])->dtype))
			return ftl_fail_node(g, id, d, FTL_ERR_MODEL,
					     "input %u has element type %s, which can only be moved and converted", k,
					     ftl_dtype_name(ftl_type_of(g, n->in[k])->dtype));
	}
	return FTL_OK;
}

static ftl_status check_output(ftl_graph *g, ftl_node_id id, ftl_diag *d, uint32_t k)
{
	const ftl_type *t = ftl_type_of(g, ftl_node_get(g, id)->out[k]);

	if (t->dtype == FTL_NO_DTYPE)
		return ftl_fail_node(g, id, d, FTL_ERR_MODEL, "the type of output %u cannot be told", k);
	if (ftl_dtype_is_low(t->dtype) && !ftl_op_has(ftl_node_get(g, id)->op, FTL_LOW))
		return ftl_fail_node(g, id, d, FTL_ERR_MODEL, "it cannot make element type %s",
				     ftl_dtype_name(t->dtype));
	for (int i = 0; i < t->rank; i++) {
		int64_t v;

		if (t->dims[i] == FTL_DIM_NONE)
			return ftl_fail_node(g, id, d, FTL_ERR_MODEL,
					     "axis %d of output %u has no size (does it overflow?)", i, k);
		if (ftl_dim_is_const(g->st, t->dims[i], &v) && v < 0)
			return ftl_fail_node(g, id, d, FTL_ERR_MODEL, "axis %d of output %u has size %lld", i, k,
					     (long long)v);
	}
	return FTL_OK;
}

/* Strings are opaque: only ops that move elements or are made for them may see any. */
static ftl_status check_strings(const ftl_graph *g, ftl_node_id id, ftl_diag *d)
{
	const ftl_node *n = ftl_node_get(g, id);

	if (ftl_op_has(n->op, FTL_STRINGS))
		return FTL_OK;
	for (uint32_t k = 0; k < n->nin; k++)
		if (n->in[k] && ftl_type_of(g, n->in[k])->dtype == FTL_STRING)
			return ftl_fail_node(g, id, d, FTL_ERR_MODEL, "input %u holds strings, which it cannot take",
					     k);
	for (uint32_t k = 0; k < n->nout; k++)
		if (ftl_type_of(g, n->out[k])->dtype == FTL_STRING)
			return ftl_fail_node(g, id, d, FTL_ERR_MODEL, "output %u would hold strings", k);
	return FTL_OK;
}

#define FEW_OUTPUTS 8

ftl_status ftl_infer_node(ftl_graph *g, ftl_node_id id, ftl_diag *d)
{
	const ftl_node *n = ftl_node_get(g, id);
	ftl_infer_old few[FEW_OUTPUTS], *old = few;
	ftl_infer f = {.g = g, .id = id, .diag = d};
	uint32_t nout = n->nout;

	FTL_TRY(check_inputs(g, id, d));
	if (nout > FEW_OUTPUTS)
		old = FTL_NEW_N(g->arena, ftl_infer_old, nout);
	for (uint32_t k = 0; k < nout; k++) {
		ftl_value *v = ftl_value_get(g, n->out[k]);

		old[k] = (ftl_infer_old){v->type, v->sym, v->nsym};
		v->sym = NULL;
		v->nsym = 0;
	}
	f.old = old;
	FTL_TRY(ftl_op_get(n->op)->infer(&f));
	if (f.bad_rank)
		return ftl_fail_node(g, id, d, FTL_ERR_LIMIT, "its result has more than %d axes", FTL_MAX_RANK);
	for (uint32_t k = 0; k < nout; k++)
		FTL_TRY(check_output(g, id, d, k));
	return check_strings(g, id, d);
}

ftl_status ftl_infer_graph(ftl_graph *g, ftl_diag *d)
{
	FTL_FOREACH_NODE(g, id)
		FTL_TRY(ftl_infer_node(g, id, d)); /* an op with regions infers them */
	return FTL_OK;
}

/* ---- for hooks ---- */
const ftl_node *ftl_infer_self(const ftl_infer *f)
{
	return ftl_node_get(f->g, f->id);
}

bool ftl_infer_has(const ftl_infer *f, uint32_t k)
{
	const ftl_node *n = ftl_infer_self(f);

	return k < n->nin && n->in[k] != 0;
}

/* For an input left out: value 0, whose type has no element type and rank 0. */
const ftl_value *ftl_infer_inv(const ftl_infer *f, uint32_t k)
{
	return ftl_value_get(f->g, ftl_infer_has(f, k) ? ftl_infer_self(f)->in[k] : 0);
}

const ftl_type *ftl_infer_in(const ftl_infer *f, uint32_t k)
{
	return &ftl_infer_inv(f, k)->type;
}

void ftl_infer_out(ftl_infer *f, uint32_t k, ftl_dtype t, int rank, const ftl_dim *dims)
{
	ftl_type *type = &ftl_value_get(f->g, ftl_infer_self(f)->out[k])->type;
	const ftl_encoding *enc = type->enc;

	if (rank < 0 || rank > FTL_MAX_RANK) {
		f->bad_rank = true;
		return;
	}
	if (type->dtype == t && type->rank == rank && !type->seq &&
	    (rank == 0 || memcmp(type->dims, dims, (size_t)rank * sizeof *dims) == 0))
		return;
	/* an encoding is the passes' knowledge, not ours: it stays while it can still be about this tensor */
	if (type->dtype != t || type->rank != rank)
		enc = NULL;
	*type = ftl_type_make(f->g, t, rank, dims);
	type->enc = enc;
}

void ftl_infer_out_seq(ftl_infer *f, uint32_t k, ftl_dtype t, const ftl_seq_type *s)
{
	ftl_value *v = ftl_value_get(f->g, ftl_infer_self(f)->out[k]);

	v->sym = NULL;
	v->nsym = 0;
	if (v->type.dtype != t || !ftl_seq_eq(v->type.seq, s))
		v->type = ftl_type_make_seq(f->g, t, s);
}

void ftl_infer_sym(ftl_infer *f, uint32_t k, const ftl_dim *sym, uint32_t n)
{
	ftl_value *v = ftl_value_get(f->g, ftl_infer_self(f)->out[k]);
	const ftl_infer_old *old = &f->old[k];

	v->sym = NULL;
	v->nsym = 0;
	if (n == 0 || n > FTL_MAX_SYM || !sym)
		return;
	v->sym = old->nsym == n && memcmp(old->sym, sym, n * sizeof *sym) == 0
			 ? old->sym
			 : ftl_arena_dup(f->g->arena, sym, n * sizeof *sym);
	v->nsym = n;
}

ftl_dim ftl_infer_fresh(ftl_infer *f, uint32_t k, int axis, const char *hint)
{
	ftl_graph *g = f->g;
	ftl_val out = ftl_infer_self(f)->out[k];
	const ftl_type *old = &f->old[k].type;
	ftl_dim d;

	if (old->dtype != FTL_NO_DTYPE && axis >= 0 && axis < old->rank && (d = old->dims[axis]) != FTL_DIM_NONE &&
	    ftl_dim_get(g->st, d)->kind == FTL_DIM_SYM) {
		ftl_val owner = ftl_sym_binder(g, d);

		if (owner == 0)
			ftl_sym_bind(g, d, out);
		if (owner == 0 || owner == out)
			return d;
	}
	d = ftl_dim_fresh(g->st, hint);
	ftl_sym_bind(g, d, out);
	return d;
}

ftl_status ftl_infer_fail(ftl_infer *f, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return ftl_fail_node(f->g, f->id, f->diag, FTL_ERR_MODEL, "%s", text);
}

ftl_status ftl_infer_axis(ftl_infer *f, int64_t axis, int rank, int *out)
{
	if (axis < -(int64_t)rank || axis >= rank)
		return ftl_infer_fail(f, "axis %lld is out of range for rank %d", (long long)axis, rank);
	*out = (int)(axis < 0 ? axis + rank : axis);
	return FTL_OK;
}

ftl_status ftl_infer_broadcast(ftl_infer *f, const ftl_type *a, const ftl_type *b, int *out_rank, ftl_dim *out_dims)
{
	const ftl_dims shapes[] = {{(uint32_t)a->rank, a->dims}, {(uint32_t)b->rank, b->dims}};
	ftl_dim dims[FTL_MAX_RANK]; /* out_dims may be one of the inputs' */
	int axis;

	if (!ftl_shapes_broadcast(f->g->st, shapes, 2, out_rank, dims, &axis))
		return ftl_infer_fail(f, "its inputs do not broadcast along axis %d of the result", axis);
	if (*out_rank)
		memcpy(out_dims, dims, (size_t)*out_rank * sizeof *dims);
	return FTL_OK;
}
