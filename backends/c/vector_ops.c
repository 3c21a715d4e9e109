/* Arithmetic on GNU vectors: one expression per operation. What takes more than an operator is a macro (a function would
 * pass vectors by value, which has no ABI without the right machine flags), added when first needed.
 *
 * Operands are names or calls of splat macros, so writing one twice costs nothing. fma is a * b + c: both compilers make
 * the instruction of it where there is one. Comparisons give masks: 0 or -1 in the width of what was compared. */
#include "internal.h"

#include <stdio.h>

/* ---- types ---- */

const char *ftl_ce_vtype(ftl_ce *e, unsigned elem, int lanes)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *name = ftl_ce_str(e, "%sx%d", t->name, lanes);

	if (ftl_ce_once(e, name))
		ftl_text_add(&e->types, "typedef %s %s __attribute__((vector_size(%d)));\n", t->type, name,
			     t->bytes * lanes);
	return name;
}

static unsigned mask_elem(unsigned bytes)
{
	return bytes == 1 ? FTL_I8 : bytes == 2 ? FTL_I16 : bytes == 8 ? FTL_I64 : FTL_I32;
}

const char *ftl_ce_vmask(ftl_ce *e, unsigned bytes, int lanes)
{
	return ftl_ce_vtype(e, mask_elem(bytes), lanes);
}

static const char *mask_type(ftl_ce *e, unsigned elem, int lanes)
{
	return ftl_ce_vtype(e, ftl_ce_elem(elem)->mask, lanes);
}

static const char *bits_type(ftl_ce *e, unsigned elem, int lanes)
{
	return ftl_ce_vtype(e, ftl_ce_elem(elem)->bits, lanes);
}

const char *ftl_ce_lanes(ftl_ce *e, const char *type, int lanes, const char *fmt)
{
	ftl_text t;

	ftl_text_init(&t, e->arena);
	ftl_text_add(&t, "((%s){", type);
	for (int l = 0; l < lanes; l++) {
		const char *p = fmt, *at;

		ftl_text_add(&t, l ? ", " : "");
		while ((at = strstr(p, "%d"))) {
			ftl_text_bytes(&t, p, (size_t)(at - p));
			ftl_text_add(&t, "%d", l);
			p = at + 2;
		}
		ftl_text_add(&t, "%s", p);
	}
	ftl_text_add(&t, "})");
	return t.v;
}

const char *ftl_ce_splat(ftl_ce *e, unsigned elem, int lanes, const char *x)
{
	const char *type = ftl_ce_vtype(e, elem, lanes), *fn = ftl_ce_str(e, "splat_%s", type);

	if (ftl_ce_once(e, fn))
		ftl_text_add(&e->helpers, "#define %s(s) %s\n", fn, ftl_ce_lanes(e, type, lanes, "(s)"));
	return ftl_ce_str(e, "%s(%s)", fn, x);
}

const char *ftl_ce_convert_mask(ftl_ce *e, const char *x, unsigned from, unsigned to, int lanes)
{
	return from == to ? x : ftl_ce_str(e, "__builtin_convertvector(%s, %s)", x, ftl_ce_vmask(e, to, lanes));
}

/* (m & a) | (~m & b) on bits; m has the width of an element. */
const char *ftl_ce_vselect(ftl_ce *e, unsigned elem, int lanes, const char *m, const char *a, const char *b)
{
	const char *type = ftl_ce_vtype(e, elem, lanes), *mt = mask_type(e, elem, lanes);
	const char *fn = ftl_ce_str(e, "select_%s", type);

	if (ftl_ce_once(e, fn))
		ftl_text_add(&e->helpers, "#define %s(m, a, b) ((%s)(((%s)(a) & (m)) | ((%s)(b) & ~(m))))\n", fn, type,
			     mt, mt);
	return ftl_ce_str(e, "%s(%s, %s, %s)", fn, m, a, b);
}

/* ---- lane by lane ---- */

/* name_TxN(a, b) that does each lane as a scalar. */
static const char *by_lane(ftl_ce *e, ftl_kop op, unsigned elem, int lanes, const char *a, const char *b)
{
	const char *type = ftl_ce_vtype(e, elem, lanes), *fn = ftl_ce_str(e, "%s_%s", ftl_kop_get(op)->name, type);

	if (ftl_ce_once(e, fn)) {
		const char *one = ftl_ce_scalar_op(e, op, elem, "(a)[%d]", "(b)[%d]", "");

		ftl_text_add(&e->helpers, "#define %s(a%s) %s\n", fn, b ? ", b" : "",
			     ftl_ce_lanes(e, type, lanes, one));
	}
	return b ? ftl_ce_str(e, "%s(%s, %s)", fn, a, b) : ftl_ce_str(e, "%s(%s)", fn, a);
}

/* sqrt and rounding: x86 has instructions that only its intrinsics name, clang has builtins, others do lanes. */
static const char *rounding(ftl_ce *e, ftl_kop op, unsigned elem, int lanes, const char *a)
{
	const char *type = ftl_ce_vtype(e, elem, lanes), *name = ftl_kop_get(op)->name,
		   *fn = ftl_ce_str(e, "%s_%s", name, type);
	int bytes = ftl_ce_elem(elem)->bytes * lanes, mode = op == FTL_K_floor   ? 9
							     : op == FTL_K_ceil  ? 10
							     : op == FTL_K_trunc ? 11
										 : 8;
	bool sqrt = op == FTL_K_sqrt, wide = bytes == 64;
	const char *ps = elem == FTL_F32 ? "ps" : "pd", *xmm, *has;

	if (!ftl_ce_once(e, fn))
		return ftl_ce_str(e, "%s(%s)", fn, a);
	if (bytes == 16 || bytes == 32 || wide) {
		e->x86 = true;
		has = wide ? "AVX512F" : bytes == 32 ? "AVX" : sqrt ? "SSE2" : "SSE4_1";
		xmm = ftl_ce_str(e, "__m%d%s", bytes * 8, elem == FTL_F32 ? "" : "d");
		ftl_text_add(
			&e->helpers,
			"#if defined(__%s__)\n#define %s(a) ((%s)_mm%s_%s_%s((%s)(a)%s))\n#elif defined(__clang__)\n",
			has, fn, type,
			bytes == 16   ? ""
			: bytes == 32 ? "256"
				      : "512",
			sqrt   ? "sqrt"
			: wide ? "roundscale"
			       : "round",
			ps, xmm, sqrt ? "" : ftl_ce_str(e, ", %d", mode));
	} else {
		ftl_text_add(&e->helpers, "#if defined(__clang__)\n");
	}
	ftl_text_add(&e->helpers, "#define %s(a) __builtin_elementwise_%s(a)\n#else\n#define %s(a) %s\n#endif\n", fn,
		     name, fn, ftl_ce_lanes(e, type, lanes, ftl_ce_scalar_op(e, op, elem, "(a)[%d]", NULL, NULL)));
	return ftl_ce_str(e, "%s(%s)", fn, a);
}

/* ---- integers ---- */

static const char *wrapping(ftl_ce *e, const char *name, const char *op, unsigned elem, int lanes, const char *a,
			    const char *b)
{
	const char *type = ftl_ce_vtype(e, elem, lanes), *u = bits_type(e, elem, lanes), *fn;

	if (!ftl_dtype_is_signed((ftl_dtype)elem))
		return ftl_ce_str(e, "%s %s %s", a, op, b);
	fn = ftl_ce_str(e, "%s_%s", name, type);
	if (ftl_ce_once(e, fn))
		ftl_text_add(&e->helpers, "#define %s(a, b) ((%s)((%s)(a) %s (%s)(b)))\n", fn, type, u, op, u);
	return ftl_ce_str(e, "%s(%s, %s)", fn, a, b);
}

static const char *shift(ftl_ce *e, ftl_kop op, unsigned elem, int lanes, const char *a, const char *b)
{
	const char *type = ftl_ce_vtype(e, elem, lanes), *u = bits_type(e, elem, lanes), *m = mask_type(e, elem, lanes);
	const char *fn = ftl_ce_str(e, "%s_%s", ftl_kop_get(op)->name, type);
	unsigned bits = ftl_ce_elem(elem)->bytes * 8u, ue = ftl_ce_elem(elem)->bits;
	const char *limit = ftl_ce_splat(e, ue, lanes, ftl_ce_num(e, ue, bits));
	const char *top = ftl_ce_splat(e, ue, lanes, ftl_ce_num(e, ue, bits - 1));

	if (ftl_ce_once(e, fn)) {
		if (op == FTL_K_shr && ftl_dtype_is_signed((ftl_dtype)elem)) {
			const char *least = ftl_ce_vselect(
				e, elem, lanes, ftl_ce_str(e, "((%s)((%s)(b) < %s))", m, u, limit), "(b)", top);

			ftl_text_add(&e->helpers, "#define %s(a, b) ((a) >> %s)\n", fn, least);
		} else {
			ftl_text_add(&e->helpers,
				     "#define %s(a, b) ((%s)(((%s)(a) %s ((%s)(b) & %s)) & (%s)((%s)(b) < %s)))\n", fn,
				     type, u, op == FTL_K_shl ? "<<" : ">>", u, top, u, u, limit);
		}
	}
	return ftl_ce_str(e, "%s(%s, %s)", fn, a, b);
}

static const char *extreme(ftl_ce *e, ftl_kop op, unsigned elem, int lanes, const char *a, const char *b)
{
	const char *type = ftl_ce_vtype(e, elem, lanes), *m = mask_type(e, elem, lanes);
	const char *fn = ftl_ce_str(e, "%s_%s", op == FTL_K_min ? "min" : "max", type);
	const char *cmp = op == FTL_K_min ? "<" : ">", *better;

	better = ftl_ce_is_float(elem) ? ftl_ce_str(e, "(%s)(((b) != (b)) | ((a) %s (b)))", m, cmp)
				       : ftl_ce_str(e, "(%s)((a) %s (b))", m, cmp);
	better = ftl_ce_vselect(e, elem, lanes, better, "a", "b");
	if (ftl_ce_once(e, fn))
		ftl_text_add(&e->helpers, "#define %s(a, b) %s\n", fn, better);
	return ftl_ce_str(e, "%s(%s, %s)", fn, a, b);
}

static const char *negate(ftl_ce *e, unsigned elem, int lanes, const char *a)
{
	if (ftl_ce_is_float(elem) || !ftl_dtype_is_signed((ftl_dtype)elem))
		return ftl_ce_str(e, "-%s", a);
	return ftl_ce_str(e, "(%s)-(%s)%s", ftl_ce_vtype(e, elem, lanes), bits_type(e, elem, lanes), a);
}

static const char *absolute(ftl_ce *e, unsigned elem, int lanes, const char *a)
{
	const char *type = ftl_ce_vtype(e, elem, lanes), *u = bits_type(e, elem, lanes), *m = mask_type(e, elem, lanes);
	unsigned ue = ftl_ce_elem(elem)->bits;
	const char *fn;

	if (ftl_ce_is_float(elem))
		return ftl_ce_str(
			e, "(%s)((%s)%s & %s)", type, u, a,
			ftl_ce_splat(e, ue, lanes, ftl_ce_num(e, ue, elem == FTL_F32 ? INT32_MAX : INT64_MAX)));
	if (!ftl_dtype_is_signed((ftl_dtype)elem))
		return a;
	fn = ftl_ce_str(e, "abs_%s", type);
	if (ftl_ce_once(e, fn))
		ftl_text_add(&e->helpers, "#define %s(a) ((%s)(((%s)(a) ^ (%s)((a) < 0)) - (%s)(%s)((a) < 0)))\n", fn,
			     type, u, u, u, m);
	return ftl_ce_str(e, "%s(%s)", fn, a);
}

/* ---- all of them ---- */

static const char *compare(ftl_ce *e, unsigned elem, int lanes, const char *a, const char *op, const char *b)
{
	return ftl_ce_str(e, "(%s)(%s %s %s)", mask_type(e, elem, lanes), a, op, b);
}

const char *ftl_ce_vector_op(ftl_ce *e, ftl_kop op, unsigned elem, int lanes, const char *a, const char *b,
			     const char *c)
{
	bool real = ftl_ce_is_float(elem);

	switch (op) {
	case FTL_K_add: return real ? ftl_ce_str(e, "%s + %s", a, b) : wrapping(e, "add", "+", elem, lanes, a, b);
	case FTL_K_sub: return real ? ftl_ce_str(e, "%s - %s", a, b) : wrapping(e, "sub", "-", elem, lanes, a, b);
	case FTL_K_mul: return real ? ftl_ce_str(e, "%s * %s", a, b) : wrapping(e, "mul", "*", elem, lanes, a, b);
	case FTL_K_fma:
		if (real)
			return ftl_ce_str(e, "%s * %s + %s", a, b, c);
		return wrapping(e, "add", "+", elem, lanes,
				ftl_ce_str(e, "(%s)", wrapping(e, "mul", "*", elem, lanes, a, b)), c);
	case FTL_K_div: return real ? ftl_ce_str(e, "%s / %s", a, b) : by_lane(e, op, elem, lanes, a, b);
	case FTL_K_rem:
	case FTL_K_pow: return by_lane(e, op, elem, lanes, a, b);
	case FTL_K_min:
	case FTL_K_max: return extreme(e, op, elem, lanes, a, b);
	case FTL_K_and: return ftl_ce_str(e, "%s & %s", a, b);
	case FTL_K_or: return ftl_ce_str(e, "%s | %s", a, b);
	case FTL_K_xor: return ftl_ce_str(e, "%s ^ %s", a, b);
	case FTL_K_not: return ftl_ce_str(e, "~%s", a);
	case FTL_K_shl:
	case FTL_K_shr: return shift(e, op, elem, lanes, a, b);
	case FTL_K_eq: return compare(e, elem, lanes, a, "==", b);
	case FTL_K_ne: return compare(e, elem, lanes, a, "!=", b);
	case FTL_K_lt: return compare(e, elem, lanes, a, "<", b);
	case FTL_K_le: return compare(e, elem, lanes, a, "<=", b);
	case FTL_K_neg: return negate(e, elem, lanes, a);
	case FTL_K_abs: return absolute(e, elem, lanes, a);
	case FTL_K_sqrt:
	case FTL_K_floor:
	case FTL_K_ceil:
	case FTL_K_trunc:
	case FTL_K_rint: return rounding(e, op, elem, lanes, a);
	default: /* popcount, and what is left of libm */ return by_lane(e, op, elem, lanes, a, NULL);
	}
}

/* ---- conversions ---- */

static bool is_half(unsigned elem)
{
	return elem == FTL_F16 || elem == FTL_BF16;
}

/* The scalar formulas of scalar.c on vectors, and F16C's instruction where there is one. */
static const char *half_cast(ftl_ce *e, const char *x, unsigned from, unsigned to, int lanes)
{
	const char *f = ftl_ce_vtype(e, FTL_F32, lanes), *u = ftl_ce_vtype(e, FTL_U32, lanes),
		   *h = ftl_ce_vtype(e, FTL_U16, lanes);
	const char *fn = ftl_ce_str(e, "%s_to_%s_x%d", ftl_ce_elem(from)->name, ftl_ce_elem(to)->name, lanes);
	bool f16 = from == FTL_F16 || to == FTL_F16, hw = f16 && (lanes == 8 || lanes == 16);
	const char *reg = lanes == 8 ? "256" : "512", *half = lanes == 8 ? "__m128i" : "__m256i";
	const char *inf = to == FTL_F16 ? ftl_ce_splat(e, FTL_U32, lanes, "0x7c00u") : "";
	ftl_text *t = &e->helpers;

	/* everything the macro uses, before its own text begins */
	ftl_ce_vtype(e, FTL_I32, lanes);
	ftl_ce_vtype(e, from, lanes);
	ftl_ce_vtype(e, to, lanes);
	ftl_ce_vselect(e, FTL_U32, lanes, "", "", "");
	if (!ftl_ce_once(e, fn))
		return ftl_ce_str(e, "%s(%s)", fn, x);
	if (hw) {
		e->x86 = true;
		ftl_text_add(t, "#if defined(%s)\n", lanes == 8 ? "__F16C__" : "__AVX512F__");
		if (from == FTL_F16)
			ftl_text_add(t, "#define %s(x) ((%s)_mm%s_cvtph_ps((%s)(x)))\n#else\n", fn, f, reg, half);
		else
			ftl_text_add(t, "#define %s(x) ((f16x%d)_mm%s_cvtps_ph((__m%s)(x), 0))\n#else\n", fn, lanes,
				     reg, reg);
	}
	if (from == FTL_BF16) {
		ftl_text_add(t, "#define %s(x) ((%s)(__builtin_convertvector((%s)(x), %s) << 16))\n", fn, f, h, u);
	} else if (to == FTL_BF16) {
		ftl_text_add(
			t,
			"#define %s(x) __extension__({ \\\n\tconst %s u_ = (%s)(x); \\\n"
			"\t(bf16x%d)__builtin_convertvector(select_u32x%d((%s)((u_ & 0x7fffffff) > 0x7f800000), \\\n"
			"\t\t(u_ >> 16 | 0x40), ((u_ + 0x7fff + (u_ >> 16 & 1)) >> 16)), %s); \\\n})\n",
			fn, u, u, lanes, lanes, ftl_ce_vtype(e, FTL_I32, lanes), h);
	} else if (from == FTL_F16) {
		ftl_text_add(
			t,
			"#define %s(x) __extension__({ \\\n\tconst %s h_ = __builtin_convertvector((%s)(x), %s); \\\n"
			"\tconst %s u_ = (%s)((%s)((h_ & 0x7fff) << 13) * 5192296858534827628530496329220096.0f); \\\n"
			"\t(%s)(u_ | ((%s)((h_ & 0x7c00) == 0x7c00) & 0x7f800000) | (h_ & 0x8000) << 16); \\\n})\n",
			fn, u, h, u, u, u, f, f, u);
	} else {
		ftl_text_add(
			t,
			"#define %s(x) __extension__({ \\\n\tconst %s u_ = (%s)(x), a_ = u_ & 0x7fffffff; \\\n"
			"\t%s h_ = (a_ - 0x38000000 + 0xfff + (a_ >> 13 & 1)) >> 13; \\\n"
			"\th_ = select_u32x%d((i32x%d)(a_ < 0x38800000), ((%s)((%s)a_ + 0.5f) - 0x3f000000), h_); \\\n"
			"\th_ = select_u32x%d((i32x%d)(a_ >= 0x47800000), %s, h_); \\\n"
			"\th_ = select_u32x%d((i32x%d)(a_ > 0x7f800000), (0x7e00 | (a_ >> 13 & 0x1ff)), h_); \\\n"
			"\t(f16x%d)__builtin_convertvector(h_ | (u_ >> 16 & 0x8000), %s); \\\n})\n",
			fn, u, u, u, lanes, lanes, u, f, lanes, lanes, inf, lanes, lanes, lanes, h);
	}
	if (hw)
		ftl_text_add(t, "#endif\n");
	return ftl_ce_str(e, "%s(%s)", fn, x);
}

/* Truncates and saturates, NaN gives 0. Where the bounds are exact in the float type, clamping does it; else what is out
 * of range is converted as 0 and replaced. */
static const char *to_int(ftl_ce *e, const char *x, unsigned from, unsigned to, int lanes)
{
	const ftl_celem *f = ftl_ce_elem(from), *t = ftl_ce_elem(to);
	const char *fn = ftl_ce_str(e, "%s_to_%s_x%d", f->name, t->name, lanes), *ft = ftl_ce_vtype(e, from, lanes);
	const char *tt = ftl_ce_vtype(e, to, lanes), *m = mask_type(e, from, lanes), *tm = mask_type(e, to, lanes);
	bool sign = ftl_dtype_is_signed((ftl_dtype)to), exact = t->bytes < f->bytes;
	int bits = t->bytes * 8 - sign;
	double over = 2.0 * (double)(UINT64_C(1) << (bits - 1)), low = sign ? -over : 0, high = over - 1;
	int64_t imm;

	if (!ftl_ce_once(e, fn))
		return ftl_ce_str(e, "%s(%s)", fn, x);
	ftl_ce_vselect(e, from, lanes, "", "", "");
	memcpy(&imm, &low, sizeof imm);
	if (exact) {
		unsigned middle = from == FTL_F32 ? FTL_I32 : t->bytes == 4 ? to : FTL_I32;
		const char *lo = ftl_ce_splat(e, from, lanes, ftl_ce_num(e, from, imm)), *hi;

		memcpy(&imm, &high, sizeof imm);
		hi = ftl_ce_splat(e, from, lanes, ftl_ce_num(e, from, imm));
		ftl_text_add(&e->helpers,
			     "#define %s(x) __extension__({ \\\n\t%s x_ = (x); \\\n"
			     "\tx_ = (%s)((%s)x_ & (%s)(x_ == x_)); \\\n"
			     "\tx_ = select_%s((%s)(x_ > %s), %s, x_); \\\n"
			     "\tx_ = select_%s((%s)(x_ < %s), %s, x_); \\\n",
			     fn, ft, ft, m, m, ft, m, hi, hi, ft, m, lo, lo);
		/* in two steps, which is what machines can do */
		if (middle != to)
			ftl_text_add(&e->helpers,
				     "\t__builtin_convertvector(__builtin_convertvector(x_, %s), %s); \\\n})\n",
				     ftl_ce_vtype(e, middle, lanes), tt);
		else
			ftl_text_add(&e->helpers, "\t__builtin_convertvector(x_, %s); \\\n})\n", tt);
	} else {
		const char *lo = ftl_ce_splat(e, from, lanes, ftl_ce_num(e, from, imm)), *hi;
		int64_t top = (int64_t)(UINT64_MAX >> (64 - bits)), bottom = sign ? -top - 1 : 0;

		memcpy(&imm, &over, sizeof imm);
		hi = ftl_ce_splat(e, from, lanes, ftl_ce_num(e, from, imm));
		ftl_ce_vselect(e, to, lanes, "", "", "");
		ftl_text_add(&e->helpers,
			     "#define %s(x) __extension__({ \\\n\tconst %s x_ = (x); \\\n"
			     "\tconst %s over_ = (%s)(x_ >= %s), under_ = (%s)(x_ %s %s); \\\n"
			     "\tconst %s in_ = (%s)(x_ == x_) & ~over_ & ~under_; \\\n"
			     "\t%s r_ = __builtin_convertvector((%s)((%s)x_ & in_), %s); \\\n"
			     "\tr_ = select_%s(__builtin_convertvector(over_, %s), %s, r_); \\\n"
			     "\tselect_%s(__builtin_convertvector(under_, %s), %s, r_); \\\n})\n",
			     fn, ft, m, m, hi, m, sign ? "<" : "<=", lo, m, m, tt, ft, m, tt, tt, tm,
			     ftl_ce_splat(e, to, lanes, ftl_ce_num(e, to, top)), tt, tm,
			     ftl_ce_splat(e, to, lanes, ftl_ce_num(e, to, bottom)));
	}
	return ftl_ce_str(e, "%s(%s)", fn, x);
}

const char *ftl_ce_vector_cast(ftl_ce *e, const char *x, unsigned from, unsigned to, int lanes)
{
	if (from == to)
		return x;
	if (is_half(from))
		return ftl_ce_vector_cast(e, half_cast(e, x, from, FTL_F32, lanes), FTL_F32, to, lanes);
	if (is_half(to))
		return half_cast(e, ftl_ce_vector_cast(e, x, from, FTL_F32, lanes), FTL_F32, to, lanes);
	if (ftl_ce_is_float(from) && !ftl_ce_is_float(to))
		return to_int(e, x, from, to, lanes);
	ftl_ce_vtype(e, from, lanes);
	return ftl_ce_str(e, "__builtin_convertvector(%s, %s)", x, ftl_ce_vtype(e, to, lanes));
}

/* ---- dot products ---- */

/* acc + four u8 x i8 products a lane. Generic: bytes are taken apart in the lanes of i32, whatever their order, as it is
 * the same on both sides. SSE2, AVX2, AVX-512: pairs of 16-bit products; VNNI: one instruction. */
void ftl_ce_dot4(ftl_ce *e, int lanes)
{
	const char *i = ftl_ce_vtype(e, FTL_I32, lanes), *u = ftl_ce_vtype(e, FTL_U32, lanes);
	const char *h = ftl_ce_vtype(e, FTL_I16, 2 * lanes), *uh = ftl_ce_vtype(e, FTL_U16, 2 * lanes);
	int bits = lanes * 32;
	const char *reg = bits == 128 ? "" : bits == 256 ? "256" : "512";
	ftl_text *t = &e->helpers;

	ftl_ce_vtype(e, FTL_U8, 4 * lanes);
	ftl_ce_vtype(e, FTL_I8, 4 * lanes);
	if (!ftl_ce_once(e, ftl_ce_str(e, "dot4_x%d", lanes)))
		return;
	if (bits == 128 || bits == 256 || bits == 512) {
		e->x86 = true;
		ftl_text_add(t, "#if defined(__AVX512VNNI__)%s\n", bits == 512 ? "" : " && defined(__AVX512VL__)");
		ftl_text_add(
			t,
			"#define dot4_x%d(c, a, b) ((%s)_mm%s_dpbusd_epi32((__m%di)(c), (__m%di)(a), (__m%di)(b)))\n",
			lanes, i, reg, bits, bits, bits);
		ftl_text_add(t, "#elif defined(__%s__)\n", bits == 128 ? "SSE2" : bits == 256 ? "AVX2" : "AVX512BW");
		ftl_text_add(t,
			     "#define dot4_x%d(c, a, b) __extension__({ \\\n"
			     "\tconst %s a_ = (%s)(a); \\\n\tconst %s b_ = (%s)(b); \\\n"
			     "\tconst __m%di even_ = _mm%s_madd_epi16((__m%di)(a_ & 0xff), (__m%di)((%s)((%s)b_ << 8) "
			     ">> 8)); \\\n"
			     "\tconst __m%di odd_ = _mm%s_madd_epi16((__m%di)(a_ >> 8), (__m%di)(b_ >> 8)); \\\n"
			     "\t(%s)((%s)(c) + (%s)even_ + (%s)odd_); \\\n})\n#else\n",
			     lanes, uh, uh, h, h, bits, reg, bits, bits, h, uh, bits, reg, bits, bits, i, u, u, u);
	}
	ftl_text_add(t,
		     "#define dot4_x%d(c, a, b) __extension__({ \\\n"
		     "\tconst %s a_ = (%s)(a), b_ = (%s)(b); \\\n"
		     "\t(%s)((%s)(c) + (a_ & 0xff) * (%s)((%s)(b_ << 24) >> 24) + (a_ >> 8 & 0xff) * (%s)((%s)(b_ << "
		     "16) >> 24) \\\n"
		     "\t\t+ (a_ >> 16 & 0xff) * (%s)((%s)(b_ << 8) >> 24) + (a_ >> 24) * (%s)((%s)b_ >> 24)); \\\n})\n",
		     lanes, u, u, u, i, u, u, i, u, i, u, i, u, i);
	if (bits == 128 || bits == 256 || bits == 512)
		ftl_text_add(t, "#endif\n");
}
