/* Integers that take a detour through floats: Cast to float, Mul, Div, Min, Floor, Sqrt, Cast back.
 *
 * Float values carry no contents, so the cast back to integers looks at how its operand was computed, a few
 * nodes deep, in exact fractions of dims. A step whose float result may be rounded is followed only by
 * floor, ceil or the cast itself: for x below 2^24, floor of the rounded x/d is floor(x/d), so the answer is
 * still exact. Symbols are taken to be below 2^24 here: a longer axis would be rounded by the model. */
#include "hooks.h"

#include <math.h>

#define MAX_DEPTH 6
#define EXACT_MAX ((int64_t)1 << 24)
#define DEN_MAX ((int64_t)1 << 16)

static const ftl_ratio nothing = {FTL_DIM_NONE, 1, false};

bool ftl_hook_ratio_of(double x, int64_t *num, int64_t *den)
{
	int64_t d = 1;

	if (!(fabs(x) < (double)EXACT_MAX))
		return false;
	while (x != floor(x) && d < DEN_MAX) {
		x *= 2;
		d *= 2;
	}
	if (x != floor(x) || fabs(x) >= (double)EXACT_MAX)
		return false;
	*num = (int64_t)x;
	*den = d;
	return true;
}

static bool pow2(int64_t v)
{
	return v > 0 && (v & (v - 1)) == 0;
}

static int64_t gcd(int64_t a, int64_t b)
{
	a = a < 0 ? -a : a;
	while (b) {
		int64_t t = a % b;

		a = b;
		b = t;
	}
	return a;
}

/* num/den in lowest terms as far as constants tell; nothing if it grew too large. */
static ftl_ratio make(ftl_symtab *st, ftl_dim num, int64_t den, bool exact)
{
	int64_t c;

	if (num == FTL_DIM_NONE || den <= 0 || den > DEN_MAX)
		return nothing;
	if (ftl_dim_is_const(st, num, &c)) {
		int64_t g = gcd(c, den);

		c /= g;
		den /= g;
		if (c >= EXACT_MAX || c <= -EXACT_MAX)
			return nothing;
		num = ftl_dim_const(st, c);
		exact |= pow2(den);
	} else if (den > 1 && ftl_dim_is_const(st, ftl_dim_mod(st, num, ftl_dim_const(st, den)), &c) && c == 0) {
		num = ftl_dim_div(st, num, ftl_dim_const(st, den));
		den = 1;
		exact = true;
	}
	return (ftl_ratio){num, den, exact};
}

static ftl_ratio add(ftl_symtab *st, ftl_ratio a, ftl_ratio b, int sign)
{
	ftl_dim x, y;

	if (!a.exact || !b.exact)
		return nothing;
	x = ftl_dim_mul(st, a.num, ftl_dim_const(st, b.den));
	y = ftl_dim_mul(st, b.num, ftl_dim_const(st, a.den));
	return make(st, sign > 0 ? ftl_dim_add(st, x, y) : ftl_dim_sub(st, x, y), a.den * b.den, true);
}

static ftl_ratio mul(ftl_symtab *st, ftl_ratio a, ftl_ratio b)
{
	if (!a.exact || !b.exact)
		return nothing;
	return make(st, ftl_dim_mul(st, a.num, b.num), a.den * b.den, true);
}

static ftl_ratio quotient(ftl_symtab *st, ftl_ratio a, ftl_ratio b)
{
	int64_t c;

	if (!a.exact || !b.exact || !ftl_dim_is_const(st, b.num, &c) || c <= 0)
		return nothing;
	return make(st, ftl_dim_mul(st, a.num, ftl_dim_const(st, b.den)), a.den * c, pow2(a.den * c));
}

/* Of integers only. */
static ftl_ratio choose(ftl_symtab *st, ftl_ratio a, ftl_ratio b, bool larger)
{
	if (a.den != 1 || b.den != 1)
		return nothing;
	return make(st, larger ? ftl_dim_max(st, a.num, b.num) : ftl_dim_min(st, a.num, b.num), 1, a.exact && b.exact);
}

static ftl_ratio whole(ftl_symtab *st, ftl_ratio a, bool up)
{
	ftl_dim den = ftl_dim_const(st, a.den);

	if (a.num == FTL_DIM_NONE)
		return nothing;
	return make(st, up ? ftl_dim_ceildiv(st, a.num, den) : ftl_dim_div(st, a.num, den), 1, true);
}

static ftl_ratio root(ftl_symtab *st, ftl_ratio a)
{
	int64_t c, r;

	if (a.den != 1 || !ftl_dim_is_const(st, a.num, &c) || c < 0)
		return nothing;
	r = (int64_t)floor(sqrt((double)c));
	return r * r == c ? make(st, ftl_dim_const(st, r), 1, true) : nothing;
}

/* By 1/2, or by a small whole number. */
static ftl_ratio power(ftl_symtab *st, ftl_ratio a, ftl_ratio b)
{
	ftl_ratio r = {ftl_dim_const(st, 1), 1, true};
	int64_t e;

	if (!ftl_dim_is_const(st, b.num, &e) || e < 0 || e > 8)
		return nothing;
	if (b.den != 1)
		return b.den == 2 && e == 1 ? root(st, a) : nothing;
	while (e-- > 0 && r.num != FTL_DIM_NONE)
		r = mul(st, r, a);
	return r;
}

static bool find(const ftl_graph *g, ftl_val v, int depth, ftl_ratio *out, uint32_t *n);

static bool from_const(const ftl_graph *g, const ftl_blob *b, const ftl_type *t, ftl_ratio *out, uint32_t *n)
{
	int64_t count, num, den;

	if (!ftl_dim_is_const(g->st, ftl_type_numel(g, t), &count) || count < 0 || count > FTL_MAX_SYM)
		return false;
	if (b->bytes < (size_t)count * ftl_dtype_bytes(t->dtype))
		return false;
	for (int64_t i = 0; i < count; i++)
		out[i] = ftl_hook_ratio_of(ftl_elem_get(t->dtype, b->data, (size_t)i), &num, &den)
				 ? make(g->st, ftl_dim_const(g->st, num), den, true)
				 : nothing;
	*n = (uint32_t)count;
	return true;
}

static bool from_cast(const ftl_graph *g, ftl_val in, int depth, ftl_ratio *out, uint32_t *n)
{
	const ftl_value *v = ftl_value_get(g, in);

	if (ftl_dtype_is_float(v->type.dtype))
		return find(g, in, depth - 1, out, n);
	if (!v->sym || v->nsym > FTL_MAX_SYM)
		return false;
	for (uint32_t i = 0; i < v->nsym; i++)
		out[i] = make(g->st, v->sym[i], 1, true);
	*n = v->nsym;
	return true;
}

typedef enum { ADD, SUB, MUL, DIV, MIN, MAX, POW } binary;

static bool from_binary(const ftl_graph *g, const ftl_node *node, binary op, int depth, ftl_ratio *out, uint32_t *n)
{
	ftl_ratio a[FTL_MAX_SYM], b[FTL_MAX_SYM];
	uint32_t na, nb;

	if (node->nin != 2 || !find(g, node->in[0], depth - 1, a, &na) || !find(g, node->in[1], depth - 1, b, &nb))
		return false;
	if (na != nb && na != 1 && nb != 1)
		return false;
	*n = na == 1 ? nb : na;
	for (uint32_t i = 0; i < *n; i++) {
		ftl_ratio x = a[na == 1 ? 0 : i], y = b[nb == 1 ? 0 : i];

		if (x.num == FTL_DIM_NONE || y.num == FTL_DIM_NONE)
			out[i] = nothing;
		else if (op == MUL)
			out[i] = mul(g->st, x, y);
		else if (op == DIV)
			out[i] = quotient(g->st, x, y);
		else if (op == POW)
			out[i] = power(g->st, x, y);
		else if (op == MIN || op == MAX)
			out[i] = choose(g->st, x, y, op == MAX);
		else
			out[i] = add(g->st, x, y, op == ADD ? 1 : -1);
	}
	return true;
}

static bool find(const ftl_graph *g, ftl_val v, int depth, ftl_ratio *out, uint32_t *n)
{
	static const struct {
		ftl_op op;
		binary as;
	} binaries[] = {{FTL_OP_add, ADD}, {FTL_OP_sub, SUB}, {FTL_OP_mul, MUL}, {FTL_OP_div, DIV},
			{FTL_OP_min, MIN}, {FTL_OP_max, MAX}, {FTL_OP_pow, POW}};
	const ftl_type *t;
	const ftl_blob *blob;
	const ftl_node *node;
	bool floor_op, ceil_op, sqrt_op, round_op;

	if (!v || v >= g->values.n || depth <= 0)
		return false;
	t = ftl_type_of(g, v);
	if (t->dtype != FTL_F32 && t->dtype != FTL_F64)
		return false;
	blob = ftl_const_blob(g, v);
	if (blob)
		return from_const(g, blob, t, out, n);
	if (!ftl_value_get(g, v)->def)
		return false;
	node = ftl_node_get(g, ftl_value_get(g, v)->def);
	if (node->nin == 0 || !node->in[0])
		return false;
	if (node->op == FTL_OP_cast)
		return from_cast(g, node->in[0], depth, out, n);
	for (uint32_t i = 0; i < FTL_COUNT(binaries); i++)
		if (node->op == binaries[i].op)
			return from_binary(g, node, binaries[i].as, depth, out, n);
	floor_op = node->op == FTL_OP_floor;
	ceil_op = node->op == FTL_OP_ceil;
	sqrt_op = node->op == FTL_OP_sqrt;
	round_op = node->op == FTL_OP_round;
	if (!floor_op && !ceil_op && !sqrt_op && !round_op && !ftl_op_has(node->op, FTL_VIEW))
		return false;
	if (!find(g, node->in[0], depth - 1, out, n))
		return false;
	for (uint32_t i = 0; i < *n; i++) {
		if (floor_op || ceil_op)
			out[i] = whole(g->st, out[i], ceil_op);
		else if (sqrt_op)
			out[i] = root(g->st, out[i]);
		else if (round_op && out[i].den != 1)
			out[i] = nothing;
	}
	return true;
}

bool ftl_hook_ratios(const ftl_graph *g, ftl_val v, ftl_ratio *out, uint32_t *out_n)
{
	return find(g, v, MAX_DEPTH, out, out_n);
}
