/* Scalar instructions as C expressions, to the letter of kops.def: integers wrap, shifts by too much give 0, division by
 * zero gives 0, float to integer saturates. What takes more than an operator is a static inline function. */
#include <stdio.h>

#include "internal.h"

bool ftl_ce_is_float(unsigned elem)
{
	return elem == FTL_F32 || elem == FTL_F64;
}

static bool is_signed(unsigned elem)
{
	return ftl_dtype_is_signed((ftl_dtype)elem);
}

static void add(ftl_ce *e, const char *text)
{
	ftl_text_add(&e->helpers, "%s", text);
}

/* ---- helpers ---- */

/* name_T(a, b) computed in the unsigned type: wraps where signed arithmetic would be undefined. */
static const char *wrapping(ftl_ce *e, const char *name, const char *op, unsigned elem, const char *a, const char *b)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *fn = ftl_ce_str(e, "%s_%s", name, t->name);

	if (t->bytes < 4)
		return ftl_ce_str(e, "(%s)((uint32_t)%s %s (uint32_t)%s)", t->type, a, op, b);
	if (!is_signed(elem))
		return ftl_ce_str(e, "%s %s %s", a, op, b);
	if (ftl_ce_once(e, fn))
		ftl_text_add(&e->helpers, "static inline %s %s(%s a, %s b)\n{\n\treturn (%s)((%s)a %s (%s)b);\n}\n",
			     t->type, fn, t->type, t->type, t->type, t->wrap, op, t->wrap);
	return ftl_ce_str(e, "%s(%s, %s)", fn, a, b);
}

static const char *divide(ftl_ce *e, ftl_kop op, unsigned elem, const char *a, const char *b)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *fn = ftl_ce_str(e, "%s_%s", op == FTL_K_div ? "div" : "rem", t->name),
		   *sign = op == FTL_K_div ? "/" : "%";

	if (ftl_ce_once(e, fn)) {
		ftl_text_add(&e->helpers, "static inline %s %s(%s a, %s b)\n{\n\tif (b == 0)\n\t\treturn 0;\n", t->type,
			     fn, t->type, t->type);
		if (is_signed(elem))
			ftl_text_add(&e->helpers, "\tif (b == -1)\n\t\treturn %s;\n",
				     op == FTL_K_div ? ftl_ce_str(e, "(%s)(0 - (%s)a)", t->type, t->wrap) : "0");
		ftl_text_add(&e->helpers, "\treturn (%s)(a %s b);\n}\n", t->type, sign);
	}
	return ftl_ce_str(e, "%s(%s, %s)", fn, a, b);
}

static const char *shift(ftl_ce *e, ftl_kop op, unsigned elem, const char *a, const char *b)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *fn = ftl_ce_str(e, "%s_%s", op == FTL_K_shl ? "shl" : "shr", t->name);
	unsigned bits = t->bytes * 8u;

	if (ftl_ce_once(e, fn)) {
		ftl_text_add(&e->helpers, "static inline %s %s(%s a, %s b)\n{\n", t->type, fn, t->type, t->type);
		if (op == FTL_K_shl)
			ftl_text_add(&e->helpers, "\treturn (%s)b < %u ? (%s)((%s)a << b) : 0;\n}\n",
				     ftl_ce_elem(t->bits)->type, bits, t->type, t->wrap);
		else if (is_signed(elem))
			ftl_text_add(&e->helpers, "\treturn (%s)(a >> ((%s)b < %u ? b : %u));\n}\n", t->type,
				     ftl_ce_elem(t->bits)->type, bits, bits - 1);
		else
			ftl_text_add(&e->helpers, "\treturn (%s)(b < %u ? a >> b : 0);\n}\n", t->type, bits);
	}
	return ftl_ce_str(e, "%s(%s, %s)", fn, a, b);
}

/* The first operand unless the other one wins or the first is NaN. */
static const char *extreme(ftl_ce *e, ftl_kop op, unsigned elem, const char *a, const char *b)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *fn = ftl_ce_str(e, "%s_%s", op == FTL_K_min ? "min" : "max", t->name);

	if (ftl_ce_once(e, fn))
		ftl_text_add(&e->helpers, "static inline %s %s(%s a, %s b)\n{\n\treturn %sa %s b ? a : b;\n}\n",
			     t->type, fn, t->type, t->type, ftl_ce_is_float(elem) ? "b != b || " : "",
			     op == FTL_K_min ? "<" : ">");
	return ftl_ce_str(e, "%s(%s, %s)", fn, a, b);
}

/* One rounding only where the machine has the instruction: libm's emulation is slow, and two are allowed. */
static const char *fma_call(ftl_ce *e, unsigned elem, const char *a, const char *b, const char *c)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *fn = ftl_ce_str(e, "fma_%s", t->name);

	if (ftl_ce_once(e, fn))
		ftl_text_add(&e->helpers,
			     "static inline %s %s(%s a, %s b, %s c)\n{\n"
			     "#if defined(__FMA__) || defined(__aarch64__) || defined(FP_FAST_FMA%s)\n"
			     "\treturn fma%s(a, b, c);\n#else\n\treturn a * b + c;\n#endif\n}\n",
			     t->type, fn, t->type, t->type, t->type, elem == FTL_F32 ? "F" : "", t->math);
	return ftl_ce_str(e, "%s(%s, %s, %s)", fn, a, b, c);
}

static const char *popcount(ftl_ce *e, unsigned elem, const char *a)
{
	const ftl_celem *t = ftl_ce_elem(elem);

	if (!e->iso)
		return ftl_ce_str(e, "(%s)__builtin_popcountll((uint64_t)(%s)%s)", t->type, ftl_ce_elem(t->bits)->type,
				  a);
	if (ftl_ce_once(e, "popcount"))
		add(e, "static inline int popcount(uint64_t x)\n{\n"
		       "\tx -= x >> 1 & UINT64_C(0x5555555555555555);\n"
		       "\tx = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));\n"
		       "\tx = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);\n"
		       "\treturn (int)(x * UINT64_C(0x0101010101010101) >> 56);\n}\n");
	return ftl_ce_str(e, "(%s)popcount((%s)%s)", t->type, ftl_ce_elem(t->bits)->type, a);
}

/* ---- conversions ---- */

static const char *bits_cast(ftl_ce *e, const char *x, unsigned from, unsigned to)
{
	const ftl_celem *f = ftl_ce_elem(from), *t = ftl_ce_elem(to);
	const char *fn;

	/* f16 and bf16 are bits already */
	if (!ftl_ce_is_float(from) && !ftl_ce_is_float(to))
		return ftl_ce_str(e, "(%s)%s", t->type, x);
	fn = ftl_ce_str(e, "%s_as_%s", f->name, t->name);
	if (ftl_ce_once(e, fn))
		ftl_text_add(&e->helpers,
			     "static inline %s %s(%s x)\n{\n\t%s r;\n\n\tmemcpy(&r, &x, sizeof r);\n\treturn r;\n}\n",
			     t->type, fn, f->type, t->type);
	return ftl_ce_str(e, "%s(%s)", fn, x);
}

/* Truncates, saturates, NaN gives 0. The bounds are powers of two and so exact in either float type. */
static const char *to_int(ftl_ce *e, const char *x, unsigned from, unsigned to)
{
	const ftl_celem *f = ftl_ce_elem(from), *t = ftl_ce_elem(to);
	const char *fn = ftl_ce_str(e, "%s_to_%s", f->name, t->name), *suffix = from == FTL_F32 ? "f" : "";
	const char *kind = is_signed(to) ? "" : "U";
	int bits = t->bytes * 8;
	char lim[40];

	if (ftl_ce_once(e, fn)) {
		/* 2^31, 2^32, 2^63, 2^64 and smaller are short decimals that read back exactly */
		double v = is_signed(to) ? (double)(UINT64_C(1) << (bits - 1))
					 : 2.0 * (double)(UINT64_C(1) << (bits - 1));
		int n = snprintf(lim, sizeof lim, "%.0f.0", v);

		FTL_UNUSED(n);
		ftl_text_add(&e->helpers, "static inline %s %s(%s x)\n{\n\tif (x >= %s%s)\n\t\treturn %sINT%d_MAX;\n",
			     t->type, fn, f->type, lim, suffix, kind, bits);
		if (is_signed(to))
			ftl_text_add(&e->helpers,
				     "\tif (x <= -%s%s)\n\t\treturn INT%d_MIN;\n\treturn x == x ? (%s)x : 0;\n}\n", lim,
				     suffix, bits, t->type);
		else
			ftl_text_add(&e->helpers, "\treturn x > 0 ? (%s)x : 0;\n}\n", t->type);
	}
	return ftl_ce_str(e, "%s(%s)", fn, x);
}

static const char *half_to_f32(ftl_ce *e, const char *x, unsigned from)
{
	const char *fn = from == FTL_F16 ? "f16_to_f32" : "bf16_to_f32";

	if (ftl_ce_once(e, fn)) {
		bits_cast(e, "0", FTL_U32, FTL_F32);
		if (from == FTL_F16) {
			bits_cast(e, "0", FTL_F32, FTL_U32);
			/* exponent and mantissa put at f32's place read as value * 2^-112, subnormals included */
			add(e, "static inline float f16_to_f32(uint16_t h)\n{\n"
			       "\tuint32_t u = f32_as_u32(u32_as_f32((uint32_t)(h & 0x7fff) << 13) * "
			       "5192296858534827628530496329220096.0f);\n\n"
			       "\tif ((h & 0x7c00) == 0x7c00)\n\t\tu |= 0x7f800000;\n"
			       "\treturn u32_as_f32(u | (uint32_t)(h & 0x8000) << 16);\n}\n");
		} else {
			add(e, "static inline float bf16_to_f32(uint16_t h)\n{\n\treturn u32_as_f32((uint32_t)h << "
			       "16);\n}\n");
		}
	}
	return ftl_ce_str(e, "%s(%s)", fn, x);
}

static const char *f32_to_half(ftl_ce *e, const char *x, unsigned to)
{
	const char *fn = to == FTL_F16 ? "f32_to_f16" : "f32_to_bf16";

	if (ftl_ce_once(e, fn)) {
		bits_cast(e, "0", FTL_F32, FTL_U32);
		if (to == FTL_F16) {
			bits_cast(e, "0", FTL_U32, FTL_F32);
			/* rounds to nearest even: by the carry into what stays, and for subnormals by adding 0.5, whose last place is
			 * that of an f16 subnormal */
			add(e, "static inline uint16_t f32_to_f16(float x)\n{\n"
			       "\tconst uint32_t u = f32_as_u32(x), a = u & 0x7fffffff;\n"
			       "\tuint32_t h;\n\n"
			       "\tif (a > 0x7f800000)\n\t\th = 0x7e00 | (a >> 13 & 0x1ff);\n"
			       "\telse if (a >= 0x47800000)\n\t\th = 0x7c00;\n"
			       "\telse if (a < 0x38800000)\n\t\th = f32_as_u32(u32_as_f32(a) + 0.5f) - 0x3f000000;\n"
			       "\telse\n\t\th = (a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13;\n"
			       "\treturn (uint16_t)(h | (u >> 16 & 0x8000));\n}\n");
		} else {
			add(e, "static inline uint16_t f32_to_bf16(float x)\n{\n"
			       "\tconst uint32_t u = f32_as_u32(x);\n\n"
			       "\tif ((u & 0x7fffffff) > 0x7f800000)\n\t\treturn (uint16_t)(u >> 16 | 0x40);\n"
			       "\treturn (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);\n}\n");
		}
	}
	return ftl_ce_str(e, "%s(%s)", fn, x);
}

static bool is_half(unsigned elem)
{
	return elem == FTL_F16 || elem == FTL_BF16;
}

const char *ftl_ce_scalar_cast(ftl_ce *e, const char *x, unsigned from, unsigned to)
{
	if (from == to)
		return x;
	if (is_half(from))
		return ftl_ce_scalar_cast(e, half_to_f32(e, x, from), FTL_F32, to);
	if (is_half(to))
		return f32_to_half(e, ftl_ce_scalar_cast(e, x, from, FTL_F32), to);
	if (to == FTL_BOOL)
		return ftl_ce_str(e, "(%s != 0)", x);
	if (ftl_ce_is_float(from) && !ftl_ce_is_float(to))
		return to_int(e, x, from, to);
	return ftl_ce_str(e, "(%s)%s", ftl_ce_elem(to)->type, x);
}

/* ---- operations ---- */

static const char *infix(ftl_ce *e, const char *a, const char *op, const char *b)
{
	return ftl_ce_str(e, "%s %s %s", a, op, b);
}

static const char *one_operand(ftl_ce *e, ftl_kop op, unsigned elem, const char *a)
{
	const ftl_celem *t = ftl_ce_elem(elem);

	switch (op) {
	case FTL_K_neg:
		if (ftl_ce_is_float(elem))
			return ftl_ce_str(e, "-%s", a);
		return ftl_ce_str(e, "(%s)(0 - (%s)%s)", t->type, t->wrap, a);
	case FTL_K_abs:
		if (ftl_ce_is_float(elem))
			return ftl_ce_str(e, "fabs%s(%s)", t->math, a);
		if (!is_signed(elem))
			return a;
		return ftl_ce_str(e, "(%s < 0 ? (%s)(0 - (%s)%s) : %s)", a, t->type, t->wrap, a, a);
	case FTL_K_not: return elem == FTL_BOOL ? ftl_ce_str(e, "!%s", a) : ftl_ce_str(e, "(%s)~%s", t->type, a);
	case FTL_K_popcount: return popcount(e, elem, a);
	default: /* libm has the others under their names */
		return ftl_ce_str(e, "%s%s(%s)", ftl_kop_get(op)->name, t->math, a);
	}
}

const char *ftl_ce_scalar_op(ftl_ce *e, ftl_kop op, unsigned elem, const char *a, const char *b, const char *c)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	bool real = ftl_ce_is_float(elem);

	switch (op) {
	case FTL_K_add: return real ? infix(e, a, "+", b) : wrapping(e, "add", "+", elem, a, b);
	case FTL_K_sub: return real ? infix(e, a, "-", b) : wrapping(e, "sub", "-", elem, a, b);
	case FTL_K_mul: return real ? infix(e, a, "*", b) : wrapping(e, "mul", "*", elem, a, b);
	case FTL_K_div: return real ? infix(e, a, "/", b) : divide(e, op, elem, a, b);
	case FTL_K_rem: return real ? ftl_ce_str(e, "fmod%s(%s, %s)", t->math, a, b) : divide(e, op, elem, a, b);
	case FTL_K_min:
	case FTL_K_max: return extreme(e, op, elem, a, b);
	case FTL_K_fma:
		if (real)
			return fma_call(e, elem, a, b, c);
		return wrapping(e, "add", "+", elem, ftl_ce_str(e, "(%s)", wrapping(e, "mul", "*", elem, a, b)), c);
	case FTL_K_and: return ftl_ce_str(e, "(%s)(%s & %s)", t->type, a, b);
	case FTL_K_or: return ftl_ce_str(e, "(%s)(%s | %s)", t->type, a, b);
	case FTL_K_xor: return ftl_ce_str(e, "(%s)(%s ^ %s)", t->type, a, b);
	case FTL_K_shl:
	case FTL_K_shr: return shift(e, op, elem, a, b);
	case FTL_K_eq: return infix(e, a, "==", b);
	case FTL_K_ne: return infix(e, a, "!=", b);
	case FTL_K_lt: return infix(e, a, "<", b);
	case FTL_K_le: return infix(e, a, "<=", b);
	case FTL_K_pow: return ftl_ce_str(e, "pow%s(%s, %s)", t->math, a, b);
	default: return one_operand(e, op, elem, a);
	}
}

/* A division or shift by a constant that needs none of the guards. */
static const char *plain(ftl_ce *e, const ftl_kinst *i, const char *a)
{
	const ftl_celem *t = ftl_ce_elem(i->type.elem);
	int64_t c;

	if (ftl_ce_is_float(i->type.elem) || !ftl_ce_const(e, i->a[1], &c))
		return NULL;
	if ((i->op == FTL_K_div || i->op == FTL_K_rem) && c != 0 && !(is_signed(i->type.elem) && c == -1))
		return ftl_ce_str(e, "(%s)(%s %s %s)", t->type, a, i->op == FTL_K_div ? "/" : "%",
				  ftl_ce_ref(e, i->a[1]));
	if (c < 0 || c >= t->bytes * 8)
		return NULL;
	if (i->op == FTL_K_shl)
		return ftl_ce_str(e, "(%s)((%s)%s << %d)", t->type, t->wrap, a, (int)c);
	if (i->op == FTL_K_shr)
		return ftl_ce_str(e, "(%s)(%s >> %d)", t->type, a, (int)c);
	return NULL;
}

const char *ftl_ce_scalar(ftl_ce *e, const ftl_kinst *i)
{
	const ftl_kop_info *info = ftl_kop_get((ftl_kop)i->op);
	const char *a = "", *b = "", *c = "", *s;
	unsigned elem;

	if (i->op == FTL_K_select)
		return ftl_ce_str(e, "%s ? %s : %s", ftl_ce_ref(e, i->a[0]), ftl_ce_ref(e, i->a[1]),
				  ftl_ce_ref(e, i->a[2]));
	if (i->op == FTL_K_cast)
		return ftl_ce_scalar_cast(e, ftl_ce_ref(e, i->a[0]), ftl_ktype_of(e->f, i->a[0]).elem, i->type.elem);
	if (i->op == FTL_K_bitcast)
		return bits_cast(e, ftl_ce_ref(e, i->a[0]), ftl_ktype_of(e->f, i->a[0]).elem, i->type.elem);
	if (info->rule != K_RULE_SAME && info->rule != K_RULE_CMP)
		return NULL;
	elem = ftl_ktype_of(e->f, i->a[0]).elem;
	a = ftl_ce_ref(e, i->a[0]);
	s = info->nargs == 2 ? plain(e, i, a) : NULL;
	if (s)
		return s;
	if (info->nargs > 1)
		b = ftl_ce_ref(e, i->a[1]);
	if (info->nargs > 2)
		c = ftl_ce_ref(e, i->a[2]);
	return ftl_ce_scalar_op(e, (ftl_kop)i->op, elem, a, b, c);
}
