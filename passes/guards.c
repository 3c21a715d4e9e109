/* The guards of rewrites.def. Each is a question about one match, answered from types, constants and attributes; what
 * decides against a match says so, for --why-not. */
#include "guards.h"

#include <float.h>
#include <math.h>

enum { X, C, D }; /* the first variables of a pattern */

static ftl_dtype type_of(const ftl_match *m, int var)
{
	return ftl_type_of(m->g, m->var[var])->dtype;
}

/* ---- numbers ---- */
bool ftl_guard_is_wide(ftl_match *m)
{
	return type_of(m, X) != FTL_F16 && type_of(m, X) != FTL_BF16;
}

/* v as an element of type t, or NaN if that is none with full precision. */
static double as_normal(ftl_dtype t, double v)
{
	double low = t == FTL_F64 ? DBL_MIN : t == FTL_F16 ? 0x1p-14 : FLT_MIN, r;
	char buf[8];

	ftl_elem_set(t, buf, 0, v);
	r = ftl_elem_get(t, buf, 0);
	return isfinite(r) && fabs(r) >= low ? r : NAN;
}

bool ftl_guard_power_of_two(ftl_match *m)
{
	double c = ftl_match_num(m, C);
	int e;

	return isfinite(c) && fabs(frexp(c, &e)) == 0.5 && as_normal(type_of(m, X), 1 / c) == 1 / c;
}

/* Does only the root read the inner node? Else merging the two factors would pull apart what a fusion looks for, as in
 * y = c x, gelu(y). */
static bool read_once(const ftl_match *m)
{
	return ftl_use_count(m->g, ftl_node_get(m->g, m->node[1])->out[0]) == 1;
}

bool ftl_guard_product_fits(ftl_match *m)
{
	return read_once(m) && !isnan(as_normal(type_of(m, X), ftl_match_num(m, C) * ftl_match_num(m, D)));
}

bool ftl_guard_quotient_fits(ftl_match *m)
{
	return read_once(m) && !isnan(as_normal(type_of(m, X), ftl_match_num(m, C) / ftl_match_num(m, D)));
}

bool ftl_guard_inverse_fits(ftl_match *m)
{
	return read_once(m) && !isnan(as_normal(type_of(m, X), ftl_match_num(m, D) / ftl_match_num(m, C)));
}

bool ftl_guard_is_finite(ftl_match *m)
{
	return isfinite(ftl_match_num(m, C)) || ftl_match_fault(m, "a factor is not finite");
}

bool ftl_guard_is_small(ftl_match *m)
{
	return fabs(ftl_match_num(m, C)) <= 8;
}

bool ftl_guard_is_signed(ftl_match *m)
{
	return ftl_dtype_is_signed(type_of(m, X));
}

bool ftl_guard_is_number(ftl_match *m)
{
	return !isnan(ftl_match_num(m, C));
}

bool ftl_guard_are_numbers(ftl_match *m)
{
	return !isnan(ftl_match_num(m, C)) && !isnan(ftl_match_num(m, D));
}

bool ftl_guard_in_order(ftl_match *m)
{
	return ftl_match_num(m, D) <= ftl_match_num(m, C);
}

bool ftl_guard_intervals_meet(ftl_match *m)
{
	double a = ftl_match_num(m, 1), b = ftl_match_num(m, 2), c = ftl_match_num(m, 3), d = ftl_match_num(m, 4);

	return a <= b && c <= d && fmax(a, c) <= fmin(b, d);
}

bool ftl_guard_is_fraction(ftl_match *m)
{
	double a = ftl_match_num(m, C);

	return (a > 0 && a <= 1) || ftl_match_fault(m, "the slope %g is not between 0 and 1", a);
}

/* ---- attributes of the root ---- */
static const ftl_node *root(const ftl_match *m)
{
	return ftl_node_get(m->g, m->node[0]);
}

bool ftl_guard_perm_is_identity(ftl_match *m)
{
	ftl_ints perm = FTL_ATTRS(root(m), transpose)->perm;

	if (perm.n == 0) /* reversed */
		return ftl_type_of(m->g, m->var[X])->rank < 2;
	for (uint32_t i = 0; i < perm.n; i++)
		if (perm.v[i] != i)
			return false;
	return true;
}

/* All elements, and each step forward by one: sizes are compared by the driver. */
bool ftl_guard_keeps_everything(ftl_match *m)
{
	const struct ftl_attrs_slice *a = FTL_ATTRS(root(m), slice);

	for (uint32_t i = 0; i < a->steps.n; i++)
		if (a->steps.v[i] != 1)
			return false;
	return true;
}

bool ftl_guard_pads_nothing(ftl_match *m)
{
	ftl_dims pads = FTL_ATTRS(root(m), pad)->pads;
	int64_t v;

	for (uint32_t i = 0; i < pads.n; i++)
		if (!ftl_dim_is_const(m->g->st, pads.v[i], &v) || v != 0)
			return false;
	return pads.n > 0;
}

/* ---- casts ---- */
/* Bits of an integer's magnitude, or of a float's significand. */
static int precision(ftl_dtype t)
{
	static const uint8_t bits[FTL_DTYPE_COUNT] = {[FTL_F16] = 11, [FTL_BF16] = 8, [FTL_F32] = 24, [FTL_F64] = 53};

	if (t == FTL_BOOL)
		return 1;
	return ftl_dtype_is_float(t) ? bits[t] : (int)ftl_dtype_bits(t) - ftl_dtype_is_signed(t);
}

/* Does every value of `from` survive being a `to`? */
static bool holds(ftl_dtype to, ftl_dtype from)
{
	if (to == from)
		return true;
	if (ftl_dtype_is_float(from) && ftl_dtype_is_low(from))
		return to == FTL_F32 || to == FTL_F64;
	if (to == FTL_BOOL || precision(to) < precision(from))
		return false;
	if (ftl_dtype_is_float(to)) /* f16 has 5 bits of exponent, bf16 the 8 of f32 */
		return ftl_dtype_is_float(from) ? to != FTL_F16 : to != FTL_F16 || precision(from) <= 11;
	return !ftl_dtype_is_float(from) && (ftl_dtype_is_signed(to) || !ftl_dtype_is_signed(from));
}

static ftl_dtype middle(const ftl_match *m)
{
	return ftl_type_of(m->g, root(m)->in[0])->dtype;
}

bool ftl_guard_casts_nothing(ftl_match *m)
{
	return type_of(m, X) != FTL_F8E5M2 || !FTL_ATTRS(root(m), cast)->saturate;
}

bool ftl_guard_casts_back(ftl_match *m)
{
	ftl_dtype x = type_of(m, X);

	/* low floats have infinities that a cast may saturate */
	if (ftl_dtype_is_low(x) && ftl_dtype_is_float(x))
		return false;
	return ftl_type_of(m->g, root(m)->out[0])->dtype == x && holds(middle(m), x);
}

/* Integers wrap into smaller integers, floats are cut off at their limits: an integer may not come by way of a float where
 * that makes a difference. */
bool ftl_guard_casts_through(ftl_match *m)
{
	ftl_dtype x = type_of(m, X), out = ftl_type_of(m->g, root(m)->out[0])->dtype;

	if (ftl_dtype_is_int(x) && ftl_dtype_is_float(middle(m)) && ftl_dtype_is_int(out) && !holds(out, x))
		return false;
	return holds(middle(m), x);
}

bool ftl_guard_upcast(ftl_match *m)
{
	ftl_dtype x = type_of(m, X);

	return (x == FTL_F16 || x == FTL_BF16) && middle(m) == FTL_F32 &&
	       ftl_type_of(m->g, root(m)->out[0])->dtype == x;
}

/* ---- axes ---- */
/* First of the axes that a node over trailing axes works on, -1 if they are not trailing and all different. Reductions
 * have a list, normalizations the first axis. */
static int trailing_from(const ftl_match *m, int label)
{
	const ftl_node *n = ftl_node_get(m->g, m->label[label]);
	const ftl_op_info *op = ftl_op_get(n->op);
	int rank = ftl_type_of(m->g, n->in[0])->rank, first = rank;
	unsigned set = 0;

	for (unsigned i = 0; i < op->nattr; i++) {
		const void *a = (const char *)n->attrs + op->attr[i].offset;
		const ftl_ints *axes = a;

		if (strcmp(op->attr[i].name, "axis") == 0) {
			int64_t axis = *(const ftl_attr_i64 *)a;

			return (int)(axis < 0 ? axis + rank : axis);
		}
		if (strcmp(op->attr[i].name, "axes") != 0)
			continue;
		if (axes->n == 0)
			return rank ? 0 : -1;
		for (uint32_t k = 0; k < axes->n; k++) {
			int axis = (int)(axes->v[k] < 0 ? axes->v[k] + rank : axes->v[k]);

			set |= 1u << axis;
			first = axis < first ? axis : first;
		}
	}
	return first < rank && set == (1u << rank) - (1u << first) ? first : -1;
}

static bool trailing(ftl_match *m, int label)
{
	return trailing_from(m, label) >= 0 || ftl_match_fault(m, "the axes of the mean are not the last ones");
}

bool ftl_guard_norm_axis(ftl_match *m)
{
	return trailing(m, 0);
}

bool ftl_guard_norm_axes(ftl_match *m)
{
	if (!trailing(m, 0))
		return false;
	return trailing_from(m, 0) == trailing_from(m, 1) ||
	       ftl_match_fault(m, "mean and variance are over different axes");
}

/* Of the named reductions, each over the same one axis. */
bool ftl_guard_one_axis(ftl_match *m)
{
	ftl_ints a = FTL_ATTRS(ftl_node_get(m->g, m->label[0]), reduce_max)->axes;
	ftl_ints b = FTL_ATTRS(ftl_node_get(m->g, m->label[1]), reduce_sum)->axes;
	bool same = a.n == b.n && a.n <= 1 && (a.n == 0 || a.v[0] == b.v[0]);

	if (same && a.n == 0)
		same = ftl_type_of(m->g, ftl_node_get(m->g, m->label[0])->in[0])->rank == 1;
	return same || ftl_match_fault(m, "maximum and sum are not over one and the same axis");
}

/* Does value v have size 1 in front of axis `from` of rank `rank`, and not more axes? */
static bool varies_behind(const ftl_match *m, ftl_val v, int rank, int from)
{
	const ftl_type *t = ftl_type_of(m->g, v);
	int64_t one;

	for (int i = 0; i < t->rank; i++)
		if (rank - t->rank + i < from && !(ftl_dim_is_const(m->g->st, t->dims[i], &one) && one == 1))
			return false;
	return t->rank <= rank && ftl_dtype_is_float(t->dtype);
}

static bool is_param(ftl_match *m, int label, int var)
{
	const ftl_node *n = ftl_node_get(m->g, m->label[label]);
	int rank = ftl_type_of(m->g, n->in[0])->rank;

	if (!trailing(m, label))
		return false;
	return varies_behind(m, m->var[var], rank, trailing_from(m, label)) ||
	       ftl_match_fault(m, "scale or bias varies along other axes than the normalized ones");
}

bool ftl_guard_norm_scale(ftl_match *m)
{
	return is_param(m, 0, C);
}

bool ftl_guard_norm_bias(ftl_match *m)
{
	return is_param(m, 0, D);
}

/* Variables of layer_norm_affine: x s g d m e b; its nodes: v m. */
bool ftl_guard_norm_affine(ftl_match *m)
{
	return ftl_guard_norm_axes(m) && is_param(m, 0, 2) && is_param(m, 0, 6);
}
