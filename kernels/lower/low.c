/* Low element types: bytes to numbers and back, and bitcast. ir/dtype_low.c does the same for single numbers.
 *
 * All lanes take the same few integer steps: the exponent is moved to where f32 has it by an addition, numbers below the
 * smallest normal one go through an exact product or a sum that rounds, and what is special is selected at the end. */
#include "util.h"

static ftl_kv int_of(ftl_kb *b, ftl_kv like, int64_t v)
{
	return ftl_k_int(b, ftl_ktype_of(b->f, like), v);
}

static ftl_kv op(ftl_kb *b, ftl_kop o, ftl_kv x, int64_t v)
{
	return ftl_k2(b, o, x, int_of(b, x, v));
}

enum { QUIET_NAN = 0x7fc00000, INFINITE = 0x7f800000 };

static float from_bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

/* 2^e in x's type */
static ftl_kv power(ftl_kb *b, ftl_kv x, int e)
{
	return ftl_k_float(b, ftl_ktype_of(b->f, x), (double)from_bits((uint32_t)(e + 127) << 23));
}

/* The low bits of a byte, whatever is above them: integers as the number they are. */
static ftl_kv low_int(ftl_kb *b, ftl_kv x, ftl_dtype t)
{
	int64_t mask = (1 << ftl_dtype_bits(t)) - 1, sign = (mask + 1) / 2;

	x = op(b, FTL_K_and, x, mask);
	return ftl_dtype_mem(t) == FTL_I8 ? op(b, FTL_K_sub, op(b, FTL_K_xor, x, sign), sign) : x;
}

/* 2^(code - 127), whose first is a subnormal f32 */
static ftl_kv decode_e8m0(ftl_kb *b, ftl_kv c)
{
	ftl_kv r = op(b, FTL_K_shl, c, 23);

	r = ftl_k_select(b, op(b, FTL_K_eq, c, 0), int_of(b, c, 0x400000), r);
	return ftl_k_select(b, op(b, FTL_K_eq, c, 0xff), int_of(b, c, QUIET_NAN), r);
}

static ftl_kv decode_float(ftl_kb *b, ftl_kv c, const ftl_low_format *f)
{
	int shift = 23 - f->mantissa, sign = 1 << (f->bits - 1);
	ftl_kv size = op(b, FTL_K_and, c, sign - 1), r, small;

	r = op(b, FTL_K_add, op(b, FTL_K_shl, size, shift), (int64_t)(127 - f->bias) << 23);
	if (f->specials == FTL_LOW_IEEE) /* the largest exponent has to become f32's */
		r = ftl_k_select(b, ftl_k2(b, FTL_K_lt, int_of(b, c, f->top), size),
				 op(b, FTL_K_add, r, (int64_t)(127 - f->bias) << 23), r);
	small = ftl_k_cast(b, size, FTL_F32);
	small = ftl_k_bitcast(b, ftl_k2(b, FTL_K_mul, small, power(b, small, 1 - f->bias - f->mantissa)), FTL_I32);
	r = ftl_k_select(b, op(b, FTL_K_lt, size, 1 << f->mantissa), small, r);
	if (f->specials == FTL_LOW_FN)
		r = ftl_k_select(b, op(b, FTL_K_eq, size, 0x7f), int_of(b, c, QUIET_NAN), r);
	r = ftl_k2(b, FTL_K_or, r, op(b, FTL_K_shl, op(b, FTL_K_and, c, sign), 32 - f->bits));
	if (f->specials == FTL_LOW_FNUZ)
		r = ftl_k_select(b, op(b, FTL_K_eq, c, 0x80), int_of(b, c, QUIET_NAN), r);
	return r;
}

ftl_kv ftl_u_decode(ftl_kb *b, ftl_kv x, ftl_dtype t)
{
	const ftl_low_format *f = ftl_dtype_low_format(t);
	ftl_kv c;

	if (!ftl_dtype_is_low(t))
		return x;
	if (ftl_dtype_is_int(t))
		return low_int(b, x, t);
	c = ftl_k_cast(b, x, FTL_I32);
	return ftl_k_bitcast(b, f ? decode_float(b, c, f) : decode_e8m0(b, c), FTL_F32);
}

/* x as an f32 from which rounding on to fewer bits gives what rounding x would: f64 is rounded to odd. */
static ftl_kv to_f32(ftl_kb *b, ftl_kv x)
{
	ftl_dtype t = (ftl_dtype)ftl_ktype_of(b->f, x).elem;
	ftl_kv y, z, bits, odd, away;

	if (!ftl_dtype_is_float(t) && t != FTL_BOOL && ftl_dtype_bits(t) >= 32)
		x = ftl_k_cast(b, x, FTL_F64);
	if (ftl_ktype_of(b->f, x).elem != FTL_F64)
		return ftl_k_cast(b, x, FTL_F32);
	y = ftl_k_cast(b, x, FTL_F32);
	z = ftl_k_cast(b, y, FTL_F64);
	bits = ftl_k_bitcast(b, y, FTL_I32);
	away = ftl_k2(b, FTL_K_lt, ftl_k1(b, FTL_K_abs, x), ftl_k1(b, FTL_K_abs, z));
	odd = op(b, FTL_K_or, ftl_k_select(b, away, op(b, FTL_K_sub, bits, 1), bits), 1);
	return ftl_k_bitcast(b, ftl_k_select(b, ftl_k2(b, FTL_K_eq, x, z), bits, odd), FTL_F32);
}

/* u: bits of an f32. Rounded by adding what carries into the exponent; below the smallest power of two itself, whose f32
 * is subnormal, the bits have half the weight. */
static ftl_kv encode_e8m0(ftl_kb *b, ftl_kv u, bool saturate, const char *round)
{
	ftl_kv nan = int_of(b, u, 0xff), r = u, low = u;

	if (strcmp(round, "up") == 0) {
		r = op(b, FTL_K_add, u, 0x7fffff);
		low = op(b, FTL_K_add, u, 0x3fffff);
	} else if (strcmp(round, "nearest") == 0) {
		r = op(b, FTL_K_add, u, 0x400000);
		low = op(b, FTL_K_add, u, 0x200000);
	}
	r = ftl_k_select(b, op(b, FTL_K_lt, u, 0x800000), low, r);
	r = op(b, FTL_K_shr, r, 23);
	r = ftl_k_select(b, op(b, FTL_K_lt, u, 0x400000), saturate ? int_of(b, u, 0) : nan, r); /* negative ones too */
	r = ftl_k_select(b, ftl_k2(b, FTL_K_lt, int_of(b, u, 0x7f000000), u), saturate ? int_of(b, u, 0xfe) : nan, r);
	return ftl_k_select(b, ftl_k2(b, FTL_K_lt, int_of(b, u, INFINITE), op(b, FTL_K_and, u, INT32_MAX)), nan, r);
}

static ftl_kv encode_float(ftl_kb *b, ftl_kv u, const ftl_low_format *f, bool saturate)
{
	int shift = 23 - f->mantissa, sign = 1 << (f->bits - 1), over, nan;
	ftl_kv size = op(b, FTL_K_and, u, INT32_MAX), q, small, magic, s;

	/* round to nearest even: half a unit less one, and one more where the last bit kept is odd */
	q = op(b, FTL_K_and, op(b, FTL_K_shr, size, shift), 1);
	q = ftl_k2(b, FTL_K_add, op(b, FTL_K_add, size, (1 << (shift - 1)) - 1), q);
	q = op(b, FTL_K_sub, op(b, FTL_K_shr, q, shift), (int64_t)(127 - f->bias) << f->mantissa);
	/* added to a number whose last bit weighs as much as the smallest subnormal, f32 rounds as we should */
	small = ftl_k_bitcast(b, size, FTL_F32);
	magic = power(b, small, 24 - f->bias - f->mantissa);
	small = ftl_k_bitcast(b, ftl_k2(b, FTL_K_add, small, magic), FTL_I32);
	small = ftl_k2(b, FTL_K_sub, small, ftl_k_bitcast(b, magic, FTL_I32));
	q = ftl_k_select(b, op(b, FTL_K_lt, size, (int64_t)(128 - f->bias) << 23), small, q);

	nan = f->specials == FTL_LOW_FN ? 0x7f : f->specials == FTL_LOW_IEEE ? 0x7e : sign;
	over = saturate || f->specials == FTL_LOW_FINITE ? (int)f->top : f->specials == FTL_LOW_IEEE ? 0x7c : nan;
	q = ftl_k_select(b, ftl_k2(b, FTL_K_lt, int_of(b, q, f->top), q), int_of(b, q, over), q);
	q = ftl_k_select(b, ftl_k2(b, FTL_K_lt, int_of(b, u, INFINITE), size), int_of(b, q, nan), q);
	s = op(b, FTL_K_and, op(b, FTL_K_shr, u, 32 - f->bits), sign);
	s = ftl_k2(b, FTL_K_or, q, s);
	return f->specials == FTL_LOW_FNUZ ? ftl_k_select(b, op(b, FTL_K_eq, q, 0), q, s) : s;
}

ftl_kv ftl_u_encode(ftl_kb *b, ftl_kv x, ftl_dtype t, bool saturate, const char *round_mode)
{
	const ftl_low_format *f = ftl_dtype_low_format(t);

	if (!ftl_dtype_is_low(t))
		return ftl_k_cast(b, x, t);
	if (ftl_dtype_is_int(t)) {
		/* a float is cut off in i32, then its low bits stay, as of an integer */
		if (ftl_dtype_is_float((ftl_dtype)ftl_ktype_of(b->f, x).elem))
			x = ftl_k_cast(b, x, FTL_I32);
		return low_int(b, ftl_k_cast(b, x, ftl_dtype_mem(t)), t);
	}
	x = ftl_k_bitcast(b, to_f32(b, x), FTL_I32);
	x = f ? encode_float(b, x, f, saturate) : encode_e8m0(b, x, saturate, round_mode);
	return ftl_k_cast(b, x, FTL_U8);
}

/* ---- bitcast ---- */

/* Bytes are copied, so that no NaN is quieted on its way through a register. Only a bool has to be made 0 or 1, and an
 * integer of few bits to stand in its byte as others expect it. */
ftl_status ftl_nest_bitcast(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const ftl_type *in = ftl_type_of(g, n->in[0]);
	ftl_dtype to = ftl_type_of(g, n->out[0])->dtype;
	ftl_dim count = ftl_type_numel(g, in);
	ftl_kern *k;
	ftl_kb *b;

	if (to != FTL_BOOL && ftl_dtype_bits(to) >= 8) {
		ftl_u_copy(lo, id, n->out[0], n->in[0]);
		return FTL_OK;
	}
	k = ftl_kern_begin(lo, id, "bitcast");
	b = ftl_kern_b(k);
	for (ftl_vloop l = ftl_vloop_begin(k, ftl_k_i64(b, 0), ftl_kern_dim(k, count), ftl_u_width(k, FTL_U8, count));
	     ftl_vloop_next(&l);) {
		ftl_kv x = ftl_k_load(b, FTL_U8, ftl_kern_ptr(k, n->in[0]), l.base, l.lanes);

		if (to == FTL_BOOL)
			x = ftl_k_cast(b, x, FTL_BOOL);
		else
			x = low_int(b, ftl_k_cast(b, x, ftl_dtype_mem(to)), to);
		ftl_k_store(b, ftl_kern_ptr(k, n->out[0]), l.base, x);
	}
	ftl_kern_launch(k, ftl_k_i64(ftl_lo_main(lo), 1), ftl_u_cost(lo, count, 1));
	return FTL_OK;
}
