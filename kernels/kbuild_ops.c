/* The builder, second half: values. Folding, identities, and index algebra on ramps.
 *
 * Every fold is exact: integers wrap, and of float identities only those are here that keep signed zeros and NaNs.
 * Lanes that are known to be equal are computed once and splatted; i64 lanes at equal distances stay ramps, so that
 * loads and stores see which accesses are contiguous. Constants stand on the right of commutative ops. */
#include "kbuild.h"

#include <assert.h>
#include <math.h>

#include "kfold.h"

static const ftl_kinst *def(const ftl_kb *b, ftl_kv v)
{
	assert(v && v < b->f->inst.n);
	return ftl_kinst_get(b->f, v);
}

static ftl_ktype type_of(const ftl_kb *b, ftl_kv v)
{
	return def(b, v)->type;
}

static bool is_float(ftl_ktype t)
{
	return ftl_dtype_is_float(t.elem);
}

/* ---- constants ---- */

static ftl_kv make_const(ftl_kb *b, ftl_ktype type, int64_t imm)
{
	assert(type.elem && type.elem < FTL_DTYPE_COUNT && !ftl_dtype_is_low(type.elem) && type.lanes);
	return ftl_kb_detached(b, (ftl_kinst){.op = FTL_K_const, .type = type, .imm = imm});
}

ftl_kv ftl_k_int(ftl_kb *b, ftl_ktype type, int64_t v)
{
	assert(!is_float(type));
	return make_const(b, type, ftl_kfold_wrap(type.elem, (uint64_t)v));
}

ftl_kv ftl_k_float(ftl_kb *b, ftl_ktype type, double v)
{
	assert(is_float(type));
	return make_const(b, type, ftl_kfold_float(type.elem, v));
}

ftl_kv ftl_k_num(ftl_kb *b, ftl_ktype type, double v)
{
	if (is_float(type))
		return ftl_k_float(b, type, v);
	return make_const(b, type, ftl_kfold_cast(FTL_F64, type.elem, ftl_kfold_float(FTL_F64, v)));
}

ftl_kv ftl_k_i64(ftl_kb *b, int64_t v)
{
	return make_const(b, FTL_KT_I64, v);
}

bool ftl_k_is_const(const ftl_kb *b, ftl_kv v, int64_t *out)
{
	const ftl_kinst *i = def(b, v);

	if (i->op != FTL_K_const || is_float(i->type))
		return false;
	if (out)
		*out = i->imm;
	return true;
}

static bool const_is(const ftl_kb *b, ftl_kv v, int64_t want)
{
	int64_t c;

	return ftl_k_is_const(b, v, &c) && c == want;
}

static bool float_is(const ftl_kb *b, ftl_kv v, double want)
{
	const ftl_kinst *i = def(b, v);

	return i->op == FTL_K_const && is_float(i->type) && i->imm == ftl_kfold_float(FTL_F64, want);
}

static bool any_const(const ftl_kb *b, ftl_kv v)
{
	return def(b, v)->op == FTL_K_const;
}

/* ---- lanes ---- */

/* The scalar all lanes of v equal, or 0. */
static ftl_kv unsplat(ftl_kb *b, ftl_kv v)
{
	const ftl_kinst *i = def(b, v);

	if (i->type.lanes == 1)
		return v;
	if (i->op == FTL_K_const)
		return make_const(b, FTL_KT(i->type.elem, 1), i->imm);
	return i->op == FTL_K_splat ? i->a[0] : 0;
}

bool ftl_kb_pieces(ftl_kb *b, ftl_kv v, ftl_kv *base, ftl_kv *stride)
{
	const ftl_kinst *i = def(b, v);

	if (i->type.elem != FTL_I64)
		return false;
	if (i->op == FTL_K_ramp) {
		*base = i->a[0];
		*stride = i->a[1];
		return true;
	}
	*base = unsplat(b, v);
	if (!*base)
		return false;
	*stride = ftl_k_i64(b, 0);
	return true;
}

ftl_kv ftl_k_splat(ftl_kb *b, ftl_kv x, int lanes)
{
	const ftl_kinst *i = def(b, x);

	assert(lanes >= 1 && lanes <= FTL_MAX_LANES);
	if (i->type.lanes == lanes)
		return x;
	assert(i->type.lanes == 1 && i->type.elem < FTL_PTR);
	if (i->op == FTL_K_const)
		return make_const(b, FTL_KT(i->type.elem, lanes), i->imm);
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_splat, .type = FTL_KT(i->type.elem, lanes), .a = {x}});
}

ftl_kv ftl_k_ramp(ftl_kb *b, ftl_kv base, ftl_kv stride, int lanes)
{
	assert(type_of(b, base).elem == FTL_I64 && type_of(b, base).lanes == 1);
	assert(type_of(b, stride).elem == FTL_I64 && type_of(b, stride).lanes == 1);
	if (lanes == 1)
		return base;
	if (const_is(b, stride, 0))
		return ftl_k_splat(b, base, lanes);
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_ramp, .type = FTL_KT(FTL_I64, lanes), .a = {base, stride}});
}

ftl_kv ftl_k_extract(ftl_kb *b, ftl_kv x, int lane)
{
	const ftl_kinst *i = def(b, x);
	ftl_ktype t = FTL_KT(i->type.elem, 1);
	ftl_kv s = unsplat(b, x);

	i = def(b, x);
	assert(lane >= 0 && lane < i->type.lanes);
	if (s)
		return s;
	if (i->op == FTL_K_ramp) {
		ftl_kv base = i->a[0], stride = i->a[1];

		return ftl_k2(b, FTL_K_add, base, ftl_k2(b, FTL_K_mul, stride, ftl_k_i64(b, lane)));
	}
	if (i->op == FTL_K_insert)
		return i->imm == lane ? i->a[1] : ftl_k_extract(b, i->a[0], lane);
	if (i->op == FTL_K_join) {
		int half = type_of(b, i->a[0]).lanes;

		return lane < half ? ftl_k_extract(b, i->a[0], lane) : ftl_k_extract(b, i->a[1], lane - half);
	}
	if (i->op == FTL_K_slice)
		return ftl_k_extract(b, i->a[0], lane + (int)i->imm);
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_extract, .type = t, .a = {x}, .imm = lane});
}

ftl_kv ftl_k_insert(ftl_kb *b, ftl_kv x, ftl_kv s, int lane)
{
	ftl_ktype t = type_of(b, x);

	assert(type_of(b, s).elem == t.elem && type_of(b, s).lanes == 1 && lane >= 0 && lane < t.lanes);
	if (t.lanes == 1)
		return s;
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_insert, .type = t, .a = {x, s}, .imm = lane});
}

ftl_kv ftl_k_slice(ftl_kb *b, ftl_kv x, int from, int lanes)
{
	ftl_ktype t = type_of(b, x);
	ftl_kv base, stride, s = unsplat(b, x);

	assert(from >= 0 && lanes >= 1 && from + lanes <= t.lanes);
	if (lanes == t.lanes)
		return x;
	if (s)
		return ftl_k_splat(b, s, lanes);
	if (lanes == 1)
		return ftl_k_extract(b, x, from);
	if (ftl_kb_pieces(b, x, &base, &stride)) {
		base = ftl_k2(b, FTL_K_add, base, ftl_k2(b, FTL_K_mul, stride, ftl_k_i64(b, from)));
		return ftl_k_ramp(b, base, stride, lanes);
	}
	if (def(b, x)->op == FTL_K_slice) {
		from += (int)def(b, x)->imm;
		x = def(b, x)->a[0];
	}
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_slice, .type = FTL_KT(t.elem, lanes), .a = {x}, .imm = from});
}

ftl_kv ftl_k_join(ftl_kb *b, ftl_kv x, ftl_kv y)
{
	ftl_ktype t = type_of(b, x);
	ftl_kv s = unsplat(b, x);

	assert(type_of(b, y).elem == t.elem && type_of(b, y).lanes == t.lanes && t.lanes * 2 <= FTL_MAX_LANES);
	if (s && s == unsplat(b, y))
		return ftl_k_splat(b, s, t.lanes * 2);
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_join, .type = FTL_KT(t.elem, t.lanes * 2), .a = {x, y}});
}

ftl_kv ftl_k_reduce(ftl_kb *b, ftl_kop op, ftl_kv x)
{
	ftl_ktype t = type_of(b, x);
	ftl_kop r = op == FTL_K_add   ? FTL_K_reduce_add
		    : op == FTL_K_mul ? FTL_K_reduce_mul
		    : op == FTL_K_min ? FTL_K_reduce_min
				      : FTL_K_reduce_max;
	ftl_kv s = unsplat(b, x);

	assert(op == FTL_K_add || op == FTL_K_mul || op == FTL_K_min || op == FTL_K_max);
	if (t.lanes == 1)
		return x;
	if (s && (op == FTL_K_min || op == FTL_K_max))
		return s;
	if (s && op == FTL_K_add) /* doubling is exact in floats too, and lanes are a power of two */
		return ftl_k2(b, FTL_K_mul, s, ftl_k_num(b, FTL_KT(t.elem, 1), t.lanes));
	return ftl_kb_pure(b, (ftl_kinst){.op = r, .type = FTL_KT(t.elem, 1), .a = {x}});
}

ftl_kv ftl_k_dot4(ftl_kb *b, ftl_kv acc, ftl_kv u8s, ftl_kv i8s)
{
	ftl_ktype t = type_of(b, acc);

	assert(t.elem == FTL_I32 && type_of(b, u8s).elem == FTL_U8 && type_of(b, i8s).elem == FTL_I8);
	assert(type_of(b, u8s).lanes == 4 * t.lanes && type_of(b, i8s).lanes == 4 * t.lanes);
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_dot4, .type = t, .a = {acc, u8s, i8s}});
}

/* ---- one operand ---- */

ftl_kv ftl_k1(ftl_kb *b, ftl_kop op, ftl_kv x)
{
	const ftl_kinst *i = def(b, x);
	ftl_ktype t = i->type;
	ftl_kv s = unsplat(b, x);
	int64_t r;

	assert(ftl_kop_get(op)->nargs == 1 && ftl_kop_get(op)->rule == K_RULE_SAME);
	i = def(b, x);
	if (i->op == FTL_K_const && ftl_kfold(op, t.elem, &i->imm, &r))
		return make_const(b, t, r);
	if (t.lanes > 1 && s)
		return ftl_k_splat(b, ftl_k1(b, op, s), t.lanes);
	if ((op == FTL_K_neg || op == FTL_K_not) && i->op == op)
		return i->a[0];
	if ((op == FTL_K_abs || op == FTL_K_floor || op == FTL_K_ceil || op == FTL_K_trunc || op == FTL_K_rint) &&
	    i->op == op)
		return x;
	if (op == FTL_K_neg && i->op == FTL_K_ramp) {
		ftl_kv base = i->a[0], stride = i->a[1];

		return ftl_k_ramp(b, ftl_k1(b, op, base), ftl_k1(b, op, stride), t.lanes);
	}
	return ftl_kb_pure(b, (ftl_kinst){.op = (uint16_t)op, .type = t, .a = {x}});
}

ftl_kv ftl_k_cast(ftl_kb *b, ftl_kv x, ftl_dtype to)
{
	const ftl_kinst *i = def(b, x);
	ftl_ktype t = i->type;
	ftl_kv s;

	if (t.elem == to)
		return x;
	assert(t.elem < FTL_PTR && to < FTL_DTYPE_COUNT && to && !ftl_dtype_is_low(to));
	if (i->op == FTL_K_const)
		return make_const(b, FTL_KT(to, t.lanes), ftl_kfold_cast(t.elem, to, i->imm));
	s = t.lanes > 1 ? unsplat(b, x) : 0;
	if (s)
		return ftl_k_splat(b, ftl_k_cast(b, s, to), t.lanes);
	if (to == FTL_BOOL && !is_float(t))
		return ftl_k2(b, FTL_K_ne, x, ftl_k_int(b, t, 0));
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_cast, .type = FTL_KT(to, t.lanes), .a = {x}});
}

static int64_t const_bitcast(ftl_dtype from, ftl_dtype to, int64_t imm)
{
	double d = ftl_kfold_f64(imm);
	float f = (float)d;
	uint32_t u;
	uint64_t bits = (uint64_t)imm;

	if (from == FTL_F32) {
		memcpy(&u, &f, sizeof u);
		bits = u;
	} else if (from == FTL_F16) {
		bits = ftl_f32_to_f16(f);
	} else if (from == FTL_BF16) {
		bits = ftl_f32_to_bf16(f);
	}
	if (to == FTL_F32) {
		u = (uint32_t)bits;
		memcpy(&f, &u, sizeof f);
		return ftl_kfold_float(to, (double)f);
	}
	if (to == FTL_F64)
		return ftl_kfold_float(to, ftl_kfold_f64((int64_t)bits));
	if (to == FTL_F16 || to == FTL_BF16)
		return ftl_kfold_float(
			to, (double)(to == FTL_F16 ? ftl_f16_to_f32((uint16_t)bits) : ftl_bf16_to_f32((uint16_t)bits)));
	return ftl_kfold_wrap(to, bits);
}

ftl_kv ftl_k_bitcast(ftl_kb *b, ftl_kv x, ftl_dtype to)
{
	const ftl_kinst *i = def(b, x);
	ftl_ktype t = i->type;
	ftl_kv s;

	if (t.elem == to)
		return x;
	assert(t.elem != FTL_BOOL && to != FTL_BOOL && ftl_dtype_bits(t.elem) == ftl_dtype_bits(to));
	if (i->op == FTL_K_const) {
		int64_t imm = const_bitcast(t.elem, to, i->imm);

		if (!ftl_dtype_is_float(to) ||
		    ftl_kfold_f64(imm) == ftl_kfold_f64(imm)) /* constants have one NaN only */
			return make_const(b, FTL_KT(to, t.lanes), imm);
	}
	s = t.lanes > 1 ? unsplat(b, x) : 0;
	if (s)
		return ftl_k_splat(b, ftl_k_bitcast(b, s, to), t.lanes);
	if (i->op == FTL_K_bitcast && ftl_ktype_of(b->f, i->a[0]).elem == to)
		return i->a[0];
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_bitcast, .type = FTL_KT(to, t.lanes), .a = {x}});
}

/* ---- two operands ---- */

static bool commutes(ftl_kop op)
{
	return op == FTL_K_add || op == FTL_K_mul || op == FTL_K_and || op == FTL_K_or || op == FTL_K_xor ||
	       op == FTL_K_eq || op == FTL_K_ne || op == FTL_K_min || op == FTL_K_max;
}

/* add, sub, mul, shl on i64 lanes at equal distances; 0 if the result has none. */
static ftl_kv ramp2(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv y, int lanes)
{
	ftl_kv xb, xs, yb, ys;

	if (!ftl_kb_pieces(b, x, &xb, &xs) || !ftl_kb_pieces(b, y, &yb, &ys))
		return 0;
	if (op == FTL_K_mul && const_is(b, xs, 0)) {
		ftl_kv tb = xb, ts = xs;

		xb = yb;
		xs = ys;
		yb = tb;
		ys = ts;
	}
	if (op == FTL_K_add || op == FTL_K_sub)
		return ftl_k_ramp(b, ftl_k2(b, op, xb, yb), ftl_k2(b, op, xs, ys), lanes);
	if ((op == FTL_K_mul || op == FTL_K_shl) && const_is(b, ys, 0))
		return ftl_k_ramp(b, ftl_k2(b, op, xb, yb), ftl_k2(b, op, xs, yb), lanes);
	return 0;
}

/* Identities of integers and bools; 0 if none. y is the constant, if any. */
static ftl_kv int_identity(ftl_kb *b, ftl_kop op, ftl_ktype t, ftl_kv x, ftl_kv y)
{
	int64_t c = 0, d = 0, all = ftl_kfold_wrap(t.elem, t.elem == FTL_BOOL ? 1 : UINT64_MAX);
	bool k = ftl_k_is_const(b, y, &c), same = x == y;
	const ftl_kinst *i = def(b, x);

	switch (op) {
	case FTL_K_add:
	case FTL_K_or:
	case FTL_K_xor:
		if (k && c == 0)
			return x;
		break;
	case FTL_K_sub:
		if (same)
			return ftl_k_int(b, t, 0);
		if (k)
			return ftl_k2(b, FTL_K_add, x, ftl_k_int(b, t, (int64_t)(0 - (uint64_t)c)));
		if (const_is(b, x, 0))
			return ftl_k1(b, FTL_K_neg, y);
		return 0;
	case FTL_K_mul:
		if (k && (c == 0 || c == 1))
			return c ? x : y;
		break;
	case FTL_K_div:
		if (k && (c == 0 || c == 1))
			return c ? x : y;
		break;
	case FTL_K_rem:
		if (k && (c == 0 || c == 1 || (c == -1 && ftl_dtype_is_signed(t.elem))))
			return ftl_k_int(b, t, 0);
		break;
	case FTL_K_and:
		if (k && (c == 0 || c == all))
			return c ? x : y;
		break;
	case FTL_K_shl:
	case FTL_K_shr: return k && c == 0 ? x : 0;
	case FTL_K_eq:
	case FTL_K_ne:
		if (same)
			return ftl_k_int(b, FTL_KT(FTL_BOOL, t.lanes), op == FTL_K_eq);
		if (t.elem == FTL_BOOL && k)
			return c == (op == FTL_K_eq) ? x : ftl_k1(b, FTL_K_not, x);
		return 0;
	case FTL_K_lt:
	case FTL_K_le: return same ? ftl_k_int(b, FTL_KT(FTL_BOOL, t.lanes), op == FTL_K_le) : 0;
	default: break;
	}
	if (op == FTL_K_or && k && c == all)
		return y;
	if (op == FTL_K_xor && same)
		return ftl_k_int(b, t, 0);
	if (same && (op == FTL_K_and || op == FTL_K_or || op == FTL_K_min || op == FTL_K_max))
		return x;
	/* (x op c) op d = x op (c op d): keeps index arithmetic short */
	if (k && i->op == op && (op == FTL_K_add || op == FTL_K_mul) && ftl_k_is_const(b, i->a[1], &d)) {
		uint64_t r = op == FTL_K_add ? (uint64_t)c + (uint64_t)d : (uint64_t)c * (uint64_t)d;

		return ftl_k2(b, op, i->a[0], ftl_k_int(b, t, (int64_t)r));
	}
	return 0;
}

static ftl_kv float_identity(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv y)
{
	if (op == FTL_K_add && float_is(b, y, -0.0))
		return x;
	if (op == FTL_K_sub && float_is(b, y, 0.0))
		return x;
	if ((op == FTL_K_mul || op == FTL_K_div) && float_is(b, y, 1.0))
		return x;
	if ((op == FTL_K_min || op == FTL_K_max) && x == y)
		return x;
	return 0;
}

ftl_kv ftl_k2(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv y)
{
	ftl_ktype t = type_of(b, x), ty = type_of(b, y), rt;
	const ftl_kop_info *info = ftl_kop_get(op);
	ftl_kv r, sx, sy;
	int64_t c[2], out;

	assert(info->nargs == 2 && (info->rule == K_RULE_SAME || info->rule == K_RULE_CMP));
	assert(t.elem == ty.elem && t.elem < FTL_PTR);
	assert(t.lanes == ty.lanes || t.lanes == 1 || ty.lanes == 1);
	if (ty.lanes > t.lanes)
		t.lanes = ty.lanes;
	rt = info->rule == K_RULE_CMP ? FTL_KT(FTL_BOOL, t.lanes) : t;
	if (t.lanes > 1) {
		sx = unsplat(b, x);
		sy = unsplat(b, y);
		if (sx && sy)
			return ftl_k_splat(b, ftl_k2(b, op, sx, sy), t.lanes);
		r = ramp2(b, op, x, y, t.lanes);
		if (r)
			return r;
		x = ftl_k_splat(b, x, t.lanes);
		y = ftl_k_splat(b, y, t.lanes);
	}
	if (any_const(b, x) && any_const(b, y)) {
		c[0] = def(b, x)->imm;
		c[1] = def(b, y)->imm;
		if (ftl_kfold(op, t.elem, c, &out))
			return make_const(b, rt, out);
	}
	if (commutes(op) && any_const(b, x)) {
		ftl_kv tmp = x;

		x = y;
		y = tmp;
	}
	r = is_float(t) ? float_identity(b, op, x, y) : int_identity(b, op, t, x, y);
	if (r)
		return r;
	return ftl_kb_pure(b, (ftl_kinst){.op = (uint16_t)op, .type = rt, .a = {x, y}});
}

/* ---- three operands ---- */

static int max_lanes(const ftl_kb *b, ftl_kv x, ftl_kv y, ftl_kv z)
{
	int n = type_of(b, x).lanes, m = type_of(b, y).lanes, k = type_of(b, z).lanes;

	n = n > m ? n : m;
	return n > k ? n : k;
}

ftl_kv ftl_k_fma(ftl_kb *b, ftl_kv x, ftl_kv y, ftl_kv z)
{
	ftl_ktype t = FTL_KT(type_of(b, x).elem, max_lanes(b, x, y, z));
	ftl_kv sx, sy, sz;
	int64_t c[3], out;

	if (!is_float(t))
		return ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, x, y), z);
	assert(type_of(b, y).elem == t.elem && type_of(b, z).elem == t.elem);
	sx = unsplat(b, x);
	sy = unsplat(b, y);
	sz = unsplat(b, z);
	if (t.lanes > 1 && sx && sy && sz)
		return ftl_k_splat(b, ftl_k_fma(b, sx, sy, sz), t.lanes);
	x = ftl_k_splat(b, x, t.lanes);
	y = ftl_k_splat(b, y, t.lanes);
	z = ftl_k_splat(b, z, t.lanes);
	if (any_const(b, x) && any_const(b, y) && any_const(b, z)) {
		c[0] = def(b, x)->imm;
		c[1] = def(b, y)->imm;
		c[2] = def(b, z)->imm;
		if (ftl_kfold(FTL_K_fma, t.elem, c, &out))
			return make_const(b, t, out);
	}
	if (float_is(b, x, 1.0))
		return ftl_k2(b, FTL_K_add, y, z);
	if (float_is(b, y, 1.0))
		return ftl_k2(b, FTL_K_add, x, z);
	if (float_is(b, z, -0.0))
		return ftl_k2(b, FTL_K_mul, x, y);
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_fma, .type = t, .a = {x, y, z}});
}

ftl_kv ftl_k_select(ftl_kb *b, ftl_kv c, ftl_kv x, ftl_kv y)
{
	ftl_ktype t = FTL_KT(type_of(b, x).elem, max_lanes(b, c, x, y));
	ftl_kv sc = unsplat(b, c), sx, sy;
	int64_t k;

	assert(type_of(b, c).elem == FTL_BOOL && type_of(b, y).elem == t.elem);
	if (t.elem == FTL_PTR)
		assert(t.lanes == 1);
	if (sc && ftl_k_is_const(b, sc, &k))
		return ftl_k_splat(b, k ? x : y, t.lanes);
	if (t.elem < FTL_PTR) {
		sx = unsplat(b, x);
		sy = unsplat(b, y);
		if (t.lanes > 1 && sc && sx && sy)
			return ftl_k_splat(b, ftl_k_select(b, sc, sx, sy), t.lanes);
		x = ftl_k_splat(b, x, t.lanes);
		y = ftl_k_splat(b, y, t.lanes);
		c = ftl_k_splat(b, c, t.lanes);
	}
	if (x == y)
		return x;
	if (def(b, c)->op == FTL_K_not)
		return ftl_k_select(b, def(b, c)->a[0], y, x);
	if (t.elem == FTL_BOOL && const_is(b, x, 1) && const_is(b, y, 0))
		return c;
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_select, .type = t, .a = {c, x, y}});
}
