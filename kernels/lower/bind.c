/* What only the run knows of a node's shapes: before the node's kernels run, the program reads the operands that hold
 * shapes, counts or ranges, binds the symbols that the node's result introduces, and checks every relation between shapes
 * that inference could not prove and that kernels rely on for their addresses.
 *
 * Ops whose count only a kernel can find (non_zero, compress, unique) bind it in their own hook. */
#include "util.h"

typedef struct binding {
	ftl_lo *lo;
	const ftl_graph *g;
	ftl_symtab *st;
	ftl_kb *b;
	ftl_node_id id;
	const ftl_node *n;
} binding;

static const ftl_type *in_type(const binding *c, uint32_t k)
{
	return ftl_type_of(c->g, c->n->in[k]);
}
static const ftl_type *out_type(const binding *c, uint32_t k)
{
	return ftl_type_of(c->g, c->n->out[k]);
}
static bool has(const binding *c, uint32_t k)
{
	return c->n->nin > k && c->n->in[k];
}
static ftl_kv i64(const binding *c, int64_t v)
{
	return ftl_k_i64(c->b, v);
}
static ftl_kv op2(const binding *c, ftl_kop op, ftl_kv x, ftl_kv y)
{
	return ftl_k2(c->b, op, x, y);
}

static void check(const binding *c, ftl_kv ok, const char *reason)
{
	ftl_k_check(c->b, ok, ftl_lo_msg(c->lo, c->n, reason));
}

/* Number of elements of a vector operand, 0 if it is not constant (inference wants it constant). */
static uint32_t length(const binding *c, uint32_t k)
{
	int64_t n;

	return ftl_dim_is_const(c->st, ftl_type_numel(c->g, in_type(c, k)), &n) && n <= 2 * FTL_MAX_RANK ? (uint32_t)n
													 : 0;
}

struct unbound {
	const ftl_lo *lo;
	ftl_dim sym;
	int n;
};

static void count_unbound(void *user, ftl_dim sym)
{
	struct unbound *u = user;

	if (ftl_lo_bound(u->lo, sym))
		return;
	u->sym = sym;
	u->n++;
}

/* Dim d of the result has value v: bind the one symbol of d that has no value, or check what is known. An expression is
 * solved for its symbol where that occurs once, in a term of its own. */
static ftl_status settle(const binding *c, ftl_dim d, ftl_kv v)
{
	struct unbound u = {c->lo, 0, 0};
	const ftl_dim_node *s;
	int64_t coef = 1;
	ftl_dim rest;

	ftl_dim_symbols(c->st, d, count_unbound, &u);
	if (u.n == 0) {
		check(c, op2(c, FTL_K_eq, v, ftl_lo_dim(c->lo, d)),
		      "the result's shape differs from the one it must have");
		return FTL_OK;
	}
	s = ftl_dim_get(c->st, d);
	if (s->kind == FTL_DIM_SUM)
		for (uint32_t i = 0; i < s->n; i++)
			if (s->term[i].n == 1 && s->term[i].atom[0] == u.sym)
				coef = s->term[i].coef;
	rest = ftl_dim_sub(c->st, d, ftl_dim_mul(c->st, ftl_dim_const(c->st, coef), u.sym));
	if (u.n > 1 || rest == FTL_DIM_NONE || !ftl_u_known(c->lo, rest))
		return ftl_lo_fail(c->lo, c->id, "the sizes of the result cannot be told from its operands");
	v = op2(c, FTL_K_sub, v, ftl_lo_dim(c->lo, rest));
	check(c, op2(c, FTL_K_eq, op2(c, FTL_K_rem, v, i64(c, coef)), i64(c, 0)),
	      "the result's shape differs from the one it must have");
	v = op2(c, FTL_K_div, v, i64(c, coef));
	if (ftl_dim_lo(c->st, u.sym) >= 0)
		check(c, op2(c, FTL_K_le, i64(c, ftl_dim_lo(c->st, u.sym)), v),
		      "a size of the result is negative or too small");
	/* beyond any memory: keeps arithmetic on dims from wrapping */
	check(c,
	      op2(c, FTL_K_le, v,
		  i64(c, ftl_dim_hi(c->st, u.sym) < INT64_C(1) << 46 ? ftl_dim_hi(c->st, u.sym) : INT64_C(1) << 46)),
	      "a size of the result is too large");
	ftl_lo_bind(c->lo, u.sym, v);
	return FTL_OK;
}

/* Result dim i of a node needs code: it has a symbol without a value. */
static bool open_dim(const binding *c, int i)
{
	return !ftl_u_known(c->lo, out_type(c, 0)->dims[i]);
}

static bool any_open(const binding *c)
{
	for (int i = 0; i < out_type(c, 0)->rank; i++)
		if (open_dim(c, i))
			return true;
	return false;
}

/* ---- shapes from a shape operand ---- */

/* -1: what is left of the element count; 0: the operand's dim, unless it means 0. That the counts fit is checked by the
 * view itself. */
static ftl_status bind_reshape(const binding *c)
{
	const struct ftl_attrs_reshape *a = FTL_ATTRS(c->n, reshape);
	const ftl_type *x = in_type(c, 0), *out = out_type(c, 0);
	ftl_kv v[FTL_MAX_RANK], infer[FTL_MAX_RANK], left, product = i64(c, 1);

	if (a->dims.n || !has(c, 1) || !any_open(c))
		return FTL_OK;
	for (int i = 0; i < out->rank; i++) {
		v[i] = ftl_u_elem(c->lo, c->n, c->n->in[1], i);
		if (!a->allow_zero) {
			ftl_kv zero = op2(c, FTL_K_eq, v[i], i64(c, 0));

			if (i < x->rank)
				v[i] = ftl_k_select(c->b, zero, ftl_lo_dim(c->lo, x->dims[i]), v[i]);
			else
				check(c, ftl_k1(c->b, FTL_K_not, zero),
				      "0 in the target shape copies an axis that is not there");
		}
		infer[i] = op2(c, FTL_K_eq, v[i], i64(c, -1));
		check(c, op2(c, FTL_K_le, i64(c, -1), v[i]), "a size of the target shape is negative");
		product = op2(c, FTL_K_mul, product, ftl_k_select(c->b, infer[i], i64(c, 1), v[i]));
	}
	/* a division by 0 gives 0 */
	left = op2(c, FTL_K_div, ftl_lo_dim(c->lo, ftl_type_numel(c->g, x)), product);
	for (int i = 0; i < out->rank; i++)
		if (open_dim(c, i))
			FTL_TRY(settle(c, out->dims[i], ftl_k_select(c->b, infer[i], left, v[i])));
	return FTL_OK;
}

static ftl_status bind_expand(const binding *c)
{
	const ftl_type *x = in_type(c, 0), *out = out_type(c, 0);
	uint32_t want = has(c, 1) && !FTL_ATTRS(c->n, expand)->dims.n ? length(c, 1) : 0;

	for (int i = 0; i < out->rank; i++) {
		int xi = i - (out->rank - x->rank), wi = i - (out->rank - (int)want);
		ftl_kv have, w;

		if (wi < 0)
			continue;
		if (!open_dim(c, i)) {
			if (!want || ftl_u_elem_known(c->lo, c->n->in[1], wi))
				continue; /* inference has seen to it */
			w = ftl_u_elem(c->lo, c->n, c->n->in[1], wi);
			check(c,
			      op2(c, FTL_K_or, op2(c, FTL_K_eq, w, i64(c, 1)),
				  op2(c, FTL_K_eq, w, ftl_lo_dim(c->lo, out->dims[i]))),
			      "the operand does not broadcast to the shape");
			continue;
		}
		have = xi >= 0 ? ftl_lo_dim(c->lo, x->dims[xi]) : i64(c, 1);
		w = ftl_u_elem(c->lo, c->n, c->n->in[1], wi);
		FTL_TRY(settle(c, out->dims[i], ftl_k_select(c->b, op2(c, FTL_K_eq, w, i64(c, 1)), have, w)));
	}
	ftl_u_check_bcast(c->lo, c->n, c->n->in[0], out);
	return FTL_OK;
}

/* fill, random: the operand is the shape */
static ftl_status bind_shape(const binding *c)
{
	for (int i = 0; has(c, 0) && i < out_type(c, 0)->rank; i++)
		if (open_dim(c, i))
			FTL_TRY(settle(c, out_type(c, 0)->dims[i], ftl_u_elem(c->lo, c->n, c->n->in[0], i)));
	return FTL_OK;
}

static ftl_status bind_tile(const binding *c)
{
	const ftl_type *x = in_type(c, 0), *out = out_type(c, 0);

	for (int i = 0; i < out->rank; i++) {
		ftl_kv r;

		if (!open_dim(c, i))
			continue;
		r = ftl_u_elem(c->lo, c->n, c->n->in[1], i);
		check(c,
		      op2(c, FTL_K_and, op2(c, FTL_K_le, i64(c, 0), r), op2(c, FTL_K_le, r, i64(c, INT64_C(1) << 46))),
		      "a repeat count is negative or too large");
		FTL_TRY(settle(c, out->dims[i], op2(c, FTL_K_mul, ftl_lo_dim(c->lo, x->dims[i]), r)));
	}
	return FTL_OK;
}

/* max(0, ceil((limit - start) / delta)); the difference of floats is rounded to their type */
static ftl_status bind_range(const binding *c)
{
	ftl_kv start, limit, delta, count;
	ftl_dtype t;

	/* read whether or not they are looked at here: the kernel reads start and delta */
	if (!any_open(c)) {
		for (uint32_t k = 0; k < 3; k += 2)
			ftl_u_check_le(c->lo, c->n, ftl_u_const(c->lo, 1), ftl_type_numel(c->g, in_type(c, k)),
				       "an operand is empty");
		return FTL_OK;
	}
	start = ftl_u_elem_raw(c->lo, c->n, c->n->in[0], 0);
	limit = ftl_u_elem_raw(c->lo, c->n, c->n->in[1], 0);
	delta = ftl_u_elem_raw(c->lo, c->n, c->n->in[2], 0);
	t = (ftl_dtype)ftl_ktype_of(c->b->f, start).elem;
	check(c, op2(c, FTL_K_ne, delta, ftl_k_num(c->b, FTL_KT(t, 1), 0)), "delta is 0");
	if (ftl_dtype_is_float(t)) {
		ftl_kv span = ftl_k_cast(c->b, op2(c, FTL_K_sub, limit, start), FTL_F64);

		count = ftl_k1(c->b, FTL_K_ceil, op2(c, FTL_K_div, span, ftl_k_cast(c->b, delta, FTL_F64)));
		count = ftl_k_cast(c->b, count, FTL_I64);
	} else {
		ftl_kv span, rest, same;

		delta = ftl_k_cast(c->b, delta, FTL_I64);
		/* the difference may wrap */
		span = op2(c, FTL_K_sub, ftl_k_cast(c->b, limit, FTL_F64), ftl_k_cast(c->b, start, FTL_F64));
		check(c, op2(c, FTL_K_le, ftl_k1(c->b, FTL_K_abs, span), ftl_k_float(c->b, FTL_KT(FTL_F64, 1), 0x1p62)),
		      "from start to limit are too many elements");
		span = op2(c, FTL_K_sub, ftl_k_cast(c->b, limit, FTL_I64), ftl_k_cast(c->b, start, FTL_I64));
		rest = op2(c, FTL_K_ne, op2(c, FTL_K_rem, span, delta), i64(c, 0));
		same = op2(c, FTL_K_le, i64(c, 0), op2(c, FTL_K_xor, span, delta));
		count = op2(c, FTL_K_div, span, delta);
		count = op2(c, FTL_K_add, count, ftl_k_cast(c->b, op2(c, FTL_K_and, rest, same), FTL_I64));
	}
	return settle(c, out_type(c, 0)->dims[0], op2(c, FTL_K_max, count, i64(c, 0)));
}

/* ---- slice, pad ---- */

static ftl_kv slice_step(const binding *c, uint32_t i)
{
	ftl_ints steps = FTL_ATTRS(c->n, slice)->steps;

	return has(c, 3) ? ftl_u_elem(c->lo, c->n, c->n->in[3], i) : i64(c, steps.n ? steps.v[i] : 1);
}

/* Elements between clamped start and end, step apart: max(0, ceil((end - start) / step)). */
static ftl_kv slice_size(const binding *c, uint32_t i, ftl_kv dim, ftl_kv step)
{
	ftl_kv end[2], span, zero = i64(c, 0);

	if (has(c, 3)) /* the least number has no opposite */
		check(c, op2(c, FTL_K_and, op2(c, FTL_K_ne, step, zero), op2(c, FTL_K_ne, step, i64(c, INT64_MIN))),
		      "a step of the slice is 0 or out of range");
	for (uint32_t k = 0; k < 2; k++)
		end[k] = ftl_u_slice_clamp(c->b, ftl_u_elem(c->lo, c->n, c->n->in[1 + k], i), dim, step);
	span = op2(c, FTL_K_sub, end[1], end[0]);
	span = ftl_k_select(c->b, op2(c, FTL_K_lt, step, zero), ftl_k1(c->b, FTL_K_neg, span), span);
	step = ftl_k1(c->b, FTL_K_abs, step);
	span = op2(c, FTL_K_max, span, zero);
	/* ceil without adding step - 1, which may be huge */
	return op2(c, FTL_K_add, op2(c, FTL_K_div, span, step),
		   ftl_k_cast(c->b, op2(c, FTL_K_ne, op2(c, FTL_K_rem, span, step), zero), FTL_I64));
}

/* start and start + (size - 1) * step lie in the axis, or the slice is empty. With a step of 1 and known start the sum is
 * provable often; else the run compares. */
static void check_slice(const binding *c, uint32_t i, int axis, ftl_kv by)
{
	const struct ftl_attrs_slice *a = FTL_ATTRS(c->n, slice);
	ftl_dim dim = in_type(c, 0)->dims[axis], size = out_type(c, 0)->dims[axis], last;
	int64_t step = a->steps.n ? a->steps.v[i] : 1;
	ftl_kv s, z, top, ok;

	if (!has(c, 1)) {
		ftl_dim start = a->starts.v[i];

		last = ftl_dim_add(
			c->st, start,
			ftl_dim_mul(c->st, ftl_dim_sub(c->st, size, ftl_u_const(c->lo, 1)), ftl_u_const(c->lo, step)));
		if (step == 1 && last != FTL_DIM_NONE && ftl_dim_lo(c->st, start) >= 0 &&
		    ftl_dim_known_lt(c->st, last, dim) == 1)
			return;
		if (step == -1 && last != FTL_DIM_NONE && ftl_dim_lo(c->st, last) >= 0 &&
		    ftl_dim_known_lt(c->st, start, dim) == 1)
			return;
		s = ftl_lo_dim(c->lo, start);
	} else {
		s = ftl_u_slice_clamp(c->b, ftl_u_elem(c->lo, c->n, c->n->in[1], i), ftl_lo_dim(c->lo, dim), by);
	}
	z = ftl_lo_dim(c->lo, size);
	top = ftl_lo_dim(c->lo, dim);
	ok = op2(c, FTL_K_and, op2(c, FTL_K_le, i64(c, 0), s), op2(c, FTL_K_lt, s, top));
	/* (size - 1) * |step| fits between start and the axis' end, compared by division so that nothing wraps */
	top = ftl_k_select(c->b, op2(c, FTL_K_lt, by, i64(c, 0)), s,
			   op2(c, FTL_K_sub, op2(c, FTL_K_sub, top, i64(c, 1)), s));
	top = op2(c, FTL_K_div, top, ftl_k1(c->b, FTL_K_abs, by));
	ok = op2(c, FTL_K_and, ok, op2(c, FTL_K_le, op2(c, FTL_K_sub, z, i64(c, 1)), top));
	check(c, op2(c, FTL_K_or, ok, op2(c, FTL_K_eq, z, i64(c, 0))), "the slice leaves its axis");
}

static ftl_status bind_slice(const binding *c)
{
	const struct ftl_attrs_slice *a = FTL_ATTRS(c->n, slice);
	const ftl_type *x = in_type(c, 0);
	uint32_t n = a->sizes.n ? a->sizes.n : length(c, 1);

	for (uint32_t i = 0; i < n; i++) {
		int axis = ftl_u_axis(a->axes.n ? a->axes.v[i] : i, x->rank);
		ftl_kv step = slice_step(c, i);

		if (open_dim(c, axis))
			FTL_TRY(settle(c, out_type(c, 0)->dims[axis],
				       slice_size(c, i, ftl_lo_dim(c->lo, x->dims[axis]), step)));
		check_slice(c, i, axis, step);
	}
	return FTL_OK;
}

static ftl_status bind_pad(const binding *c)
{
	const struct ftl_attrs_pad *a = FTL_ATTRS(c->n, pad);
	const ftl_type *x = in_type(c, 0), *out = out_type(c, 0);
	uint32_t n = a->axes.n ? a->axes.n : (uint32_t)x->rank;
	bool constant = strcmp(a->mode, "constant") == 0;

	for (uint32_t i = 0; i < n; i++) {
		int axis = ftl_u_axis(a->axes.n ? a->axes.v[i] : i, x->rank);

		if (open_dim(c, axis)) {
			ftl_kv sum = ftl_lo_dim(c->lo, x->dims[axis]);

			for (uint32_t k = 0; k < 2; k++) {
				ftl_kv p = a->pads.n ? ftl_lo_dim(c->lo, a->pads.v[i + k * n])
						     : ftl_u_elem(c->lo, c->n, c->n->in[2], i + k * n);
				ftl_kv far = i64(c, INT64_C(1) << 46);

				check(c,
				      op2(c, FTL_K_and, op2(c, FTL_K_le, ftl_k1(c->b, FTL_K_neg, far), p),
					  op2(c, FTL_K_le, p, far)),
				      "a pad is too large");
				sum = op2(c, FTL_K_add, sum, p);
			}
			FTL_TRY(settle(c, out->dims[axis], op2(c, FTL_K_max, sum, i64(c, 0))));
		}
		if (!constant)
			ftl_u_check_nonempty(c->lo, c->n, x->dims[axis], ftl_type_numel(c->g, out));
	}
	if (has(c, 1) && constant)
		ftl_u_check_le(c->lo, c->n, ftl_u_const(c->lo, 1), ftl_type_numel(c->g, in_type(c, 1)),
			       "the pad value is empty");
	/* axes with no pads at all keep their size; cropping more than there is leaves nothing and reads nothing */
	return FTL_OK;
}

/* ---- counts ---- */

static ftl_status bind_topk(const binding *c)
{
	const ftl_type *x = in_type(c, 0);
	int axis = ftl_u_axis(FTL_ATTRS(c->n, topk)->axis, x->rank);
	ftl_dim k = out_type(c, 0)->dims[axis];

	if (open_dim(c, axis)) {
		ftl_kv v = ftl_u_elem(c->lo, c->n, c->n->in[1], 0);

		check(c, op2(c, FTL_K_le, v, ftl_lo_dim(c->lo, x->dims[axis])), "k is larger than the axis");
		return settle(c, k, v);
	}
	ftl_u_check_le(c->lo, c->n, k, x->dims[axis], "k is larger than the axis");
	return FTL_OK;
}

static ftl_status bind_one_hot(const binding *c)
{
	int axis = ftl_u_axis(FTL_ATTRS(c->n, one_hot)->axis, out_type(c, 0)->rank);

	if (open_dim(c, axis))
		FTL_TRY(settle(c, out_type(c, 0)->dims[axis], ftl_u_elem(c->lo, c->n, c->n->in[1], 0)));
	ftl_u_check_eq(c->lo, c->n, in_type(c, 2)->dims[0], ftl_u_const(c->lo, 2), "values should be two, off and on");
	return FTL_OK;
}

/* sizes, or floor(dim * scale) in f32 as the scales are */
static ftl_status bind_resize(const binding *c)
{
	const struct ftl_attrs_resize *a = FTL_ATTRS(c->n, resize);
	const ftl_type *x = in_type(c, 0), *out = out_type(c, 0);

	if (has(c, 3) && !a->dims.n && in_type(c, 3)->rank == 1)
		ftl_u_check_eq(c->lo, c->n, in_type(c, 3)->dims[0], ftl_u_const(c->lo, x->rank),
			       "there are not as many sizes as axes");
	for (int i = 0; i < x->rank; i++) {
		ftl_kv v, s;

		ftl_u_check_nonempty(c->lo, c->n, x->dims[i], out->dims[i]);
		if (!open_dim(c, i))
			continue;
		if (has(c, 3) && !a->dims.n) {
			v = ftl_u_elem(c->lo, c->n, c->n->in[3], i);
		} else {
			s = a->scales.n ? ftl_k_float(c->b, FTL_KT(FTL_F32, 1), a->scales.v[i])
					: ftl_k_cast(c->b, ftl_u_elem_raw(c->lo, c->n, c->n->in[2], i), FTL_F32);
			v = op2(c, FTL_K_mul, s, ftl_k_cast(c->b, ftl_lo_dim(c->lo, x->dims[i]), FTL_F32));
			v = ftl_k_cast(c->b, ftl_k1(c->b, FTL_K_floor, v), FTL_I64);
		}
		FTL_TRY(settle(c, out->dims[i], v));
		ftl_u_check_nonempty(c->lo, c->n, x->dims[i], out->dims[i]);
	}
	return FTL_OK;
}

static ftl_status bind_dft(const binding *c)
{
	const struct ftl_attrs_dft *a = FTL_ATTRS(c->n, dft);
	int axis = ftl_u_axis(a->axis, in_type(c, 0)->rank);
	ftl_kv n;

	if (!has(c, 1) || !open_dim(c, axis))
		return FTL_OK;
	n = ftl_u_elem(c->lo, c->n, c->n->in[1], 0);
	if (a->onesided && !a->inverse)
		n = op2(c, FTL_K_add, op2(c, FTL_K_div, n, i64(c, 2)), i64(c, 1));
	return settle(c, out_type(c, 0)->dims[axis], n);
}

/* ---- relations only ---- */

static ftl_status check_gather(const binding *c)
{
	const ftl_type *x = in_type(c, 0);
	int axis = ftl_u_axis(FTL_ATTRS(c->n, gather)->axis, x->rank);

	ftl_u_check_nonempty(c->lo, c->n, x->dims[axis], ftl_type_numel(c->g, out_type(c, 0)));
	return FTL_OK;
}

/* gather_elements, scatter_elements: indices no longer than x outside the axis */
static void check_elements(const binding *c, int64_t axis_attr)
{
	const ftl_type *x = in_type(c, 0), *t = in_type(c, 1);
	int axis = ftl_u_axis(axis_attr, x->rank);

	for (int d = 0; d < x->rank; d++)
		if (d != axis)
			ftl_u_check_le(c->lo, c->n, t->dims[d], x->dims[d], "the indices exceed x");
	ftl_u_check_nonempty(c->lo, c->n, x->dims[axis], ftl_type_numel(c->g, t));
}

static ftl_status check_gather_elements(const binding *c)
{
	check_elements(c, FTL_ATTRS(c->n, gather_elements)->axis);
	return FTL_OK;
}

static ftl_status check_scatter_elements(const binding *c)
{
	const ftl_type *t = in_type(c, 1), *u = in_type(c, 2);

	check_elements(c, FTL_ATTRS(c->n, scatter_elements)->axis);
	for (int d = 0; d < t->rank; d++)
		ftl_u_check_eq(c->lo, c->n, t->dims[d], u->dims[d], "indices and updates have different shapes");
	return FTL_OK;
}

/* Axes [from, from + m) of x are looked up by tuples, `count` of them. */
static void check_tuples(const binding *c, int from, int m, ftl_dim count)
{
	const ftl_type *x = in_type(c, 0), *t = in_type(c, 1);

	ftl_u_check_eq(c->lo, c->n, t->dims[t->rank - 1], ftl_u_const(c->lo, m),
		       "the index tuples have another length");
	for (int d = from; d < from + m; d++)
		ftl_u_check_nonempty(c->lo, c->n, x->dims[d], count);
}

static ftl_status check_gather_nd(const binding *c)
{
	int batch = (int)FTL_ATTRS(c->n, gather_nd)->batch_dims;

	for (int d = 0; d < batch; d++)
		ftl_u_check_eq(c->lo, c->n, in_type(c, 0)->dims[d], in_type(c, 1)->dims[d], "batch sizes differ");
	check_tuples(c, batch, in_type(c, 1)->rank - 1 + in_type(c, 0)->rank - batch - out_type(c, 0)->rank,
		     ftl_type_numel(c->g, out_type(c, 0)));
	return FTL_OK;
}

static ftl_status check_scatter_nd(const binding *c)
{
	const ftl_type *x = in_type(c, 0), *t = in_type(c, 1), *u = in_type(c, 2);
	int lead = t->rank - 1, m = x->rank + lead - u->rank;

	for (int d = 0; d < u->rank; d++)
		ftl_u_check_eq(c->lo, c->n, u->dims[d], d < lead ? t->dims[d] : x->dims[d - lead + m],
			       "updates do not fit x and indices");
	check_tuples(c, 0, m, ftl_type_numel(c->g, u));
	return FTL_OK;
}

static ftl_status check_reverse_sequence(const binding *c)
{
	const ftl_type *x = in_type(c, 0);
	int batch = ftl_u_axis(FTL_ATTRS(c->n, reverse_sequence)->batch_axis, x->rank);

	ftl_u_check_eq(c->lo, c->n, x->dims[batch], in_type(c, 1)->dims[0], "as many lengths as sequences are needed");
	return FTL_OK;
}

static void check_one_or(const binding *c, ftl_dim d, ftl_dim want, const char *reason)
{
	ftl_kb *b = c->b;
	ftl_kv x, ok;

	if (d == want || ftl_u_is(c->lo, d, 1) || ftl_dim_known_eq(c->st, d, want) == 1)
		return;
	x = ftl_lo_dim(c->lo, d);
	ok = ftl_k2(b, FTL_K_or, ftl_k2(b, FTL_K_eq, x, ftl_k_i64(b, 1)),
		    ftl_k2(b, FTL_K_eq, x, ftl_lo_dim(c->lo, want)));
	ftl_k_check(b, ok, ftl_lo_msg(c->lo, c->n, reason));
}

static void check_groups(const binding *c, int64_t axis_attr, int64_t block)
{
	const ftl_type *x = in_type(c, 0);
	int axis = ftl_u_axis(axis_attr, x->rank);

	for (uint32_t k = 1; k < 3; k++) {
		const ftl_type *s;

		if (!has(c, k))
			continue;
		s = in_type(c, k);
		for (int d = 0; d < s->rank; d++) {
			ftl_dim want = x->dims[block ? d : axis];

			if (!block && (s->rank != 1 || axis_attr == -1 || ftl_u_is(c->lo, s->dims[0], 1)))
				want = ftl_u_const(c->lo, 1);
			else if (block && d == axis)
				want = ftl_dim_ceildiv(c->st, want, ftl_u_const(c->lo, block));
			if (block) /* a vector of one is a scale for all */
				ftl_u_check_eq(c->lo, c->n, want, s->dims[d], "the scale does not fit x");
			else
				check_one_or(c, s->dims[d], want, "the scale does not fit x");
		}
	}
}

static ftl_status check_quantize(const binding *c)
{
	check_groups(c, FTL_ATTRS(c->n, quantize)->axis, FTL_ATTRS(c->n, quantize)->block);
	return FTL_OK;
}

static ftl_status check_dequantize(const binding *c)
{
	check_groups(c, FTL_ATTRS(c->n, dequantize)->axis, FTL_ATTRS(c->n, dequantize)->block);
	return FTL_OK;
}

static ftl_status check_grid_sample(const binding *c)
{
	const ftl_type *x = in_type(c, 0), *grid = in_type(c, 1);

	ftl_u_check_eq(c->lo, c->n, x->dims[0], grid->dims[0], "batch sizes of x and grid differ");
	ftl_u_check_eq(c->lo, c->n, grid->dims[grid->rank - 1], ftl_u_const(c->lo, x->rank - 2),
		       "the grid's last axis does not fit x");
	for (int d = 2; d < x->rank; d++)
		ftl_u_check_nonempty(c->lo, c->n, x->dims[d], ftl_type_numel(c->g, out_type(c, 0)));
	return FTL_OK;
}

static ftl_status bind_concat(const binding *c)
{
	const ftl_type *out = out_type(c, 0);
	ftl_kv sum = i64(c, 0);
	int axis = ftl_u_axis(FTL_ATTRS(c->n, concat)->axis, out->rank);

	for (uint32_t k = 0; k < c->n->nin; k++)
		for (int d = 0; d < out->rank; d++)
			if (d != axis)
				ftl_u_check_eq(c->lo, c->n, in_type(c, k)->dims[d], out->dims[d],
					       "the operands' shapes do not fit together");
	if (!open_dim(c, axis))
		return FTL_OK;
	/* a sum of more sizes than one expression holds; each of them is far below what could wrap */
	for (uint32_t k = 0; k < c->n->nin; k++)
		sum = op2(c, FTL_K_add, sum, ftl_lo_dim(c->lo, in_type(c, k)->dims[axis]));
	return settle(c, out->dims[axis], sum);
}

static void same_size(const binding *c, uint32_t k, int d, ftl_dim want, const char *reason)
{
	if (has(c, k))
		ftl_u_check_eq(c->lo, c->n, in_type(c, k)->dims[d], want, reason);
}

static ftl_status check_conv(const binding *c)
{
	ftl_dim out = in_type(c, 1)->dims[0], group = ftl_u_const(c->lo, FTL_ATTRS(c->n, conv)->group);

	ftl_u_check_eq(c->lo, c->n, ftl_dim_mod(c->st, out, group), ftl_u_const(c->lo, 0),
		       "the weights do not divide into groups");
	same_size(c, 2, 0, out, "the bias does not fit the weights");
	return FTL_OK;
}

static ftl_status check_conv_transpose(const binding *c)
{
	const ftl_type *w = in_type(c, 1);
	ftl_dim group = ftl_u_const(c->lo, FTL_ATTRS(c->n, conv_transpose)->group);

	same_size(c, 0, 1, w->dims[0], "the input's channels do not fit the weights");
	ftl_u_check_eq(c->lo, c->n, ftl_dim_mod(c->st, w->dims[0], group), ftl_u_const(c->lo, 0),
		       "the weights do not divide into groups");
	same_size(c, 2, 0, ftl_dim_mul(c->st, w->dims[1], group), "the bias does not fit the weights");
	return FTL_OK;
}

/* lstm, gru, rnn: results have the sizes that x and the hidden size give; the weights and states must agree. */
static ftl_status check_recurrent(const binding *c)
{
	const ftl_type *x = in_type(c, 0), *h = out_type(c, 1);
	int64_t gates = c->n->op == FTL_OP_lstm ? 4 : c->n->op == FTL_OP_gru ? 3 : 1;
	ftl_dim dirs = h->dims[0], batch = h->dims[1], hidden = h->dims[2],
		rows = ftl_dim_mul(c->st, hidden, ftl_u_const(c->lo, gates));
	const char *bad = "the weights' shapes do not fit together";

	for (uint32_t k = 1; k < c->n->nin; k++)
		if (k != 4)
			same_size(c, k, 0, dirs, bad);
	same_size(c, 1, 1, rows, bad);
	same_size(c, 1, 2, x->dims[2], "the input's features do not fit the weights");
	same_size(c, 2, 1, rows, bad);
	same_size(c, 2, 2, hidden, bad);
	same_size(c, 3, 1, ftl_dim_mul(c->st, rows, ftl_u_const(c->lo, 2)), bad);
	same_size(c, 4, 0, batch, "there should be a length for each sequence");
	for (uint32_t k = 5; k < 7; k++) {
		same_size(c, k, 1, batch, "an initial state does not fit the batch");
		same_size(c, k, 2, hidden, "an initial state does not fit the hidden size");
	}
	same_size(c, 7, 1, ftl_dim_mul(c->st, hidden, ftl_u_const(c->lo, 3)), bad);
	return FTL_OK;
}

/* Windows read a clamped place where they hang over the edge. */
static ftl_status check_avg_pool(const binding *c)
{
	for (int d = 2; d < in_type(c, 0)->rank; d++)
		ftl_u_check_nonempty(c->lo, c->n, in_type(c, 0)->dims[d], ftl_type_numel(c->g, out_type(c, 0)));
	return FTL_OK;
}

/* Regions of images: each of the images' axes is looked up by data. */
static ftl_status check_regions(const binding *c)
{
	const ftl_type *x = in_type(c, 0);

	if (has(c, 2))
		ftl_u_check_eq(c->lo, c->n, in_type(c, 1)->dims[0], in_type(c, 2)->dims[0],
			       "as many images as regions are needed");
	ftl_u_check_eq(c->lo, c->n, in_type(c, 1)->dims[1], ftl_u_const(c->lo, has(c, 2) ? 4 : 5),
		       "the regions have another number of corners");
	for (int d = 0; d < x->rank; d++)
		if (d != 1)
			ftl_u_check_nonempty(c->lo, c->n, x->dims[d], ftl_type_numel(c->g, out_type(c, 0)));
	return FTL_OK;
}

/* Scale and bias of a normalization broadcast to x. */
static ftl_status check_norm(const binding *c)
{
	for (uint32_t k = 1; k < c->n->nin; k++)
		if (has(c, k))
			ftl_u_check_bcast(c->lo, c->n, c->n->in[k], in_type(c, 0));
	return FTL_OK;
}

static ftl_status check_arg_reduce(const binding *c)
{
	/* arg_max and arg_min have the same row of attributes */
	const ftl_type *x = in_type(c, 0);
	int axis = ftl_u_axis(FTL_ATTRS(c->n, arg_max)->axis, x->rank);

	ftl_u_check_nonempty(c->lo, c->n, x->dims[axis], ftl_type_numel(c->g, out_type(c, 0)));
	return FTL_OK;
}

ftl_status ftl_bind_dynamic(ftl_lo *lo, ftl_node_id id)
{
	static ftl_status_code (*const by_op[FTL_OP_COUNT])(const binding *c) = {
		[FTL_OP_reshape] = bind_reshape,
		[FTL_OP_expand] = bind_expand,
		[FTL_OP_fill] = bind_shape,
		[FTL_OP_random_uniform] = bind_shape,
		[FTL_OP_random_normal] = bind_shape,
		[FTL_OP_tile] = bind_tile,
		[FTL_OP_range] = bind_range,
		[FTL_OP_slice] = bind_slice,
		[FTL_OP_pad] = bind_pad,
		[FTL_OP_topk] = bind_topk,
		[FTL_OP_one_hot] = bind_one_hot,
		[FTL_OP_resize] = bind_resize,
		[FTL_OP_dft] = bind_dft,
		[FTL_OP_gather] = check_gather,
		[FTL_OP_gather_elements] = check_gather_elements,
		[FTL_OP_gather_nd] = check_gather_nd,
		[FTL_OP_scatter_elements] = check_scatter_elements,
		[FTL_OP_scatter_nd] = check_scatter_nd,
		[FTL_OP_reverse_sequence] = check_reverse_sequence,
		[FTL_OP_quantize] = check_quantize,
		[FTL_OP_dequantize] = check_dequantize,
		[FTL_OP_grid_sample] = check_grid_sample,
		[FTL_OP_conv] = check_conv,
		[FTL_OP_conv_transpose] = check_conv_transpose,
		[FTL_OP_lstm] = check_recurrent,
		[FTL_OP_gru] = check_recurrent,
		[FTL_OP_rnn] = check_recurrent,
		[FTL_OP_avg_pool] = check_avg_pool,
		[FTL_OP_roi_align] = check_regions,
		[FTL_OP_max_roi_pool] = check_regions,
		[FTL_OP_concat] = bind_concat,
		[FTL_OP_layer_norm] = check_norm,
		[FTL_OP_rms_norm] = check_norm,
		[FTL_OP_arg_max] = check_arg_reduce,
		[FTL_OP_arg_min] = check_arg_reduce,
	};
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const binding c = {lo, g, g->st, ftl_lo_main(lo), id, n};

	return by_op[n->op] ? by_op[n->op](&c) : FTL_OK;
}
