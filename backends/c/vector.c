/* Instructions with lanes, in GNU C. Bool lanes are masks (0 or -1) that keep the width of the comparison that made
 * them and are converted where they meet another width. */
#include "internal.h"

#include <stdio.h>

static unsigned elem_bytes(unsigned elem)
{
	return ftl_ce_elem(elem)->bytes;
}

static void define(ftl_ce *e, ftl_kv v, const char *type, const char *x)
{
	ftl_ce_line(e, "const %s v%u = %s;", type, v, x);
}

/* A mask of `bytes` per lane. */
static void define_mask(ftl_ce *e, ftl_kv v, unsigned bytes, const char *x)
{
	e->mask[v] = (uint8_t)bytes;
	define(e, v, ftl_ce_vmask(e, bytes, ftl_ktype_of(e->f, v).lanes), x);
}

/* ---- lane shuffles ---- */

/* Lanes from .. from + n of a vector: a shuffle where the compiler has the builtin, else through memory. */
static const char *slice(ftl_ce *e, unsigned elem, int lanes, int from, int n, const char *x)
{
	const char *t = ftl_ce_vtype(e, elem, n), *all = ftl_ce_vtype(e, elem, lanes);
	const char *fn = ftl_ce_str(e, "slice_%s_%d_%d", all, from, n);
	ftl_text list;

	if (ftl_ce_once(e, fn)) {
		ftl_text_init(&list, e->arena);
		for (int l = 0; l < n; l++)
			ftl_text_add(&list, ", %d", from + l);
		ftl_text_add(&e->helpers,
			     "#if defined(__clang__) || __GNUC__ >= 12\n#define %s(v) __builtin_shufflevector(v, "
			     "v%s)\n#else\n"
			     "#define %s(v) __extension__({ \\\n\tconst %s v_ = (v); \\\n\t%s r_; \\\n"
			     "\tmemcpy(&r_, (const char *)&v_ + %u, sizeof r_); \\\n\tr_; \\\n})\n#endif\n",
			     fn, list.v, fn, all, t, elem_bytes(elem) * (unsigned)from);
	}
	return ftl_ce_str(e, "%s(%s)", fn, x);
}

static const char *join(ftl_ce *e, unsigned elem, int half, const char *a, const char *b)
{
	const char *t = ftl_ce_vtype(e, elem, 2 * half), *h = ftl_ce_vtype(e, elem, half),
		   *fn = ftl_ce_str(e, "join_%s", t);
	ftl_text list;

	if (ftl_ce_once(e, fn)) {
		ftl_text_init(&list, e->arena);
		for (int l = 0; l < 2 * half; l++)
			ftl_text_add(&list, ", %d", l);
		ftl_text_add(&e->helpers,
			     "#if defined(__clang__) || __GNUC__ >= 12\n#define %s(a, b) __builtin_shufflevector(a, "
			     "b%s)\n#else\n"
			     "#define %s(a, b) __extension__({ \\\n\tconst %s a_ = (a), b_ = (b); \\\n\t%s r_; \\\n"
			     "\tmemcpy(&r_, &a_, sizeof a_); \\\n\tmemcpy((char *)&r_ + sizeof a_, &b_, sizeof b_); "
			     "\\\n\tr_; \\\n})\n#endif\n",
			     fn, list.v, fn, h, t);
	}
	return ftl_ce_str(e, "%s(%s, %s)", fn, a, b);
}

/* Halves are combined until one lane is left; named by lanes, so nothing is computed twice. */
static void print_reduce(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	static const ftl_kop with[] = {FTL_K_add, FTL_K_mul, FTL_K_min, FTL_K_max};
	ftl_kop op = with[i->op - FTL_K_reduce_add];
	unsigned elem = i->type.elem;
	int lanes = ftl_ktype_of(e->f, i->a[0]).lanes;
	const char *x = ftl_ce_ref(e, i->a[0]), *type;

	if (ftl_kinst_get(e->f, i->a[0])->op == FTL_K_const) { /* a name for what is written several times */
		type = ftl_ce_vtype(e, elem, lanes);
		ftl_ce_line(e, "const %s v%u_%d = %s;", type, v, lanes, x);
		x = ftl_ce_str(e, "v%u_%d", v, lanes);
	}
	for (; lanes > 2; lanes /= 2) {
		int half = lanes / 2;
		const char *a = slice(e, elem, lanes, 0, half, x), *b = slice(e, elem, lanes, half, half, x);

		type = ftl_ce_vtype(e, elem, half);
		ftl_ce_line(e, "const %s v%u_a%d = %s, v%u_b%d = %s;", type, v, half, a, v, half, b);
		a = ftl_ce_str(e, "v%u_a%d", v, half);
		b = ftl_ce_str(e, "v%u_b%d", v, half);
		ftl_ce_line(e, "const %s v%u_%d = %s;", type, v, half, ftl_ce_vector_op(e, op, elem, half, a, b, NULL));
		x = ftl_ce_str(e, "v%u_%d", v, half);
	}
	define(e, v, ftl_ce_elem(elem)->type,
	       ftl_ce_scalar_op(e, op, elem, ftl_ce_str(e, "%s[0]", x), ftl_ce_str(e, "%s[1]", x), NULL));
}

/* ---- bool lanes ---- */

/* Width for a mask made of others: that of the first one which has a width. */
static unsigned common_mask(ftl_ce *e, ftl_kv a, ftl_kv b)
{
	unsigned w = ftl_ce_mask_of(e, a);

	if (!w && b)
		w = ftl_ce_mask_of(e, b);
	return w ? w : 4;
}

/* True if it was an instruction whose result is bool lanes. */
static bool print_mask(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	static const char *const sign[] = {"&", "|", "^"};
	int lanes = i->type.lanes;
	ftl_ktype t = ftl_ktype_of(e->f, i->a[0]);
	const char *a, *b;
	unsigned w;

	switch ((ftl_kop)i->op) {
	case FTL_K_and:
	case FTL_K_or:
	case FTL_K_xor:
		w = common_mask(e, i->a[0], i->a[1]);
		a = ftl_ce_mask_ref(e, i->a[0], w);
		define_mask(e, v, w,
			    ftl_ce_str(e, "%s %s %s", a, sign[i->op - FTL_K_and], ftl_ce_mask_ref(e, i->a[1], w)));
		return true;
	case FTL_K_not:
		w = common_mask(e, i->a[0], 0);
		define_mask(e, v, w, ftl_ce_str(e, "~%s", ftl_ce_mask_ref(e, i->a[0], w)));
		return true;
	case FTL_K_eq:
	case FTL_K_ne:
	case FTL_K_lt:
	case FTL_K_le:
		if (t.elem == FTL_BOOL) {
			w = common_mask(e, i->a[0], i->a[1]);
			a = ftl_ce_mask_ref(e, i->a[0], w);
			b = ftl_ce_mask_ref(e, i->a[1], w);
			define_mask(e, v, w, ftl_ce_str(e, i->op == FTL_K_eq ? "~(%s ^ %s)" : "%s ^ %s", a, b));
		} else {
			a = ftl_ce_ref(e, i->a[0]);
			b = ftl_ce_ref(e, i->a[1]);
			define_mask(e, v, elem_bytes(t.elem),
				    ftl_ce_vector_op(e, (ftl_kop)i->op, t.elem, lanes, a, b, NULL));
		}
		return true;
	case FTL_K_select:
		w = common_mask(e, i->a[1], i->a[2]);
		a = ftl_ce_mask_ref(e, i->a[1], w);
		b = ftl_ce_mask_ref(e, i->a[2], w);
		define_mask(e, v, w,
			    ftl_ce_vselect(e,
					   w == 1   ? FTL_I8
					   : w == 2 ? FTL_I16
					   : w == 8 ? FTL_I64
						    : FTL_I32,
					   lanes, ftl_ce_mask_ref(e, i->a[0], w), a, b));
		return true;
	case FTL_K_splat:
		define_mask(e, v, 4,
			    ftl_ce_splat(e, FTL_I32, lanes, ftl_ce_str(e, "-(int32_t)%s", ftl_ce_ref(e, i->a[0]))));
		return true;
	case FTL_K_insert:
		w = common_mask(e, i->a[0], 0);
		e->mask[v] = (uint8_t)w;
		ftl_ce_line(e, "%s v%u = %s;", ftl_ce_vmask(e, w, lanes), v, ftl_ce_mask_ref(e, i->a[0], w));
		ftl_ce_line(e, "v%u[%d] = %s ? -1 : 0;", v, (int)i->imm, ftl_ce_ref(e, i->a[1]));
		return true;
	case FTL_K_slice:
	case FTL_K_join: {
		static const uint8_t type[] = {[1] = FTL_I8, [2] = FTL_I16, [4] = FTL_I32, [8] = FTL_I64};

		if (t.lanes == 1) {
			define_mask(e, v, 4,
				    ftl_ce_str(e, "((%s){-(int32_t)%s, -(int32_t)%s})", ftl_ce_vmask(e, 4, 2),
					       ftl_ce_ref(e, i->a[0]), ftl_ce_ref(e, i->a[1])));
			return true;
		}
		w = common_mask(e, i->a[0], i->op == FTL_K_join ? i->a[1] : 0);
		a = ftl_ce_mask_ref(e, i->a[0], w);
		if (i->op == FTL_K_slice)
			define_mask(e, v, w, slice(e, type[w], t.lanes, (int)i->imm, lanes, a));
		else
			define_mask(e, v, w, join(e, type[w], t.lanes, a, ftl_ce_mask_ref(e, i->a[1], w)));
		return true;
	}
	case FTL_K_cast:
		if (t.elem == FTL_F16 || t.elem == FTL_BF16) /* sign aside, zero is all bits zero */
			define_mask(e, v, 2,
				    ftl_ce_str(e, "(%s)((%s & 0x7fff) != 0)", ftl_ce_vmask(e, 2, lanes),
					       ftl_ce_ref(e, i->a[0])));
		else
			define_mask(e, v, elem_bytes(t.elem),
				    ftl_ce_str(e, "(%s)(%s != 0)", ftl_ce_vmask(e, elem_bytes(t.elem), lanes),
					       ftl_ce_ref(e, i->a[0])));
		return true;
	default: return false;
	}
}

/* Bool lanes as numbers: the mask keeps the bits of 1. */
static const char *mask_to_number(ftl_ce *e, ftl_kv mask, unsigned elem, int lanes)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	double one = 1;
	int64_t imm = 1;
	const char *x = ftl_ce_mask_ref(e, mask, t->bytes);

	if (ftl_dtype_is_float((ftl_dtype)elem))
		memcpy(&imm, &one, sizeof imm);
	return ftl_ce_str(e, "(%s)(%s & (%s)%s)", ftl_ce_vtype(e, elem, lanes), x, ftl_ce_vmask(e, t->bytes, lanes),
			  ftl_ce_splat(e, elem, lanes, ftl_ce_num(e, elem, imm)));
}

/* ---- the rest ---- */

/* Division, remainder and shifts by a constant need no guards. */
static const char *plain(ftl_ce *e, const ftl_kinst *i)
{
	unsigned elem = i->type.elem;
	const char *a = ftl_ce_ref(e, i->a[0]);
	int64_t c;

	if (ftl_ce_is_float(elem) || !ftl_ce_const(e, i->a[1], &c))
		return NULL;
	if ((i->op == FTL_K_div || i->op == FTL_K_rem) && c != 0 && !(c == -1 && ftl_dtype_is_signed((ftl_dtype)elem)))
		return ftl_ce_str(e, "%s %s %s", a, i->op == FTL_K_div ? "/" : "%", ftl_ce_ref(e, i->a[1]));
	if (c < 0 || c >= (int64_t)elem_bytes(elem) * 8)
		return NULL;
	if (i->op == FTL_K_shr)
		return ftl_ce_str(e, "%s >> %d", a, (int)c);
	if (i->op == FTL_K_shl)
		return ftl_ce_str(e, "(%s)((%s)%s << %d)", ftl_ce_vtype(e, elem, i->type.lanes),
				  ftl_ce_vtype(e, ftl_ce_elem(elem)->bits, i->type.lanes), a, (int)c);
	return NULL;
}

static const char *print_ramp(ftl_ce *e, const ftl_kinst *i)
{
	int lanes = i->type.lanes;
	const char *type = ftl_ce_vtype(e, FTL_I64, lanes), *u = ftl_ce_vtype(e, FTL_U64, lanes),
		   *fn = ftl_ce_str(e, "ramp_%s", type);

	/* unsigned: wraps */
	if (ftl_ce_once(e, fn))
		ftl_text_add(&e->helpers, "#define %s(b, s) ((%s)(%s + %s * %s))\n", fn, type,
			     ftl_ce_lanes(e, u, lanes, "(uint64_t)(b)"), ftl_ce_lanes(e, u, lanes, "%d"),
			     ftl_ce_lanes(e, u, lanes, "(uint64_t)(s)"));
	return ftl_ce_str(e, "%s(%s, %s)", fn, ftl_ce_ref(e, i->a[0]), ftl_ce_ref(e, i->a[1]));
}

static const char *select_lanes(ftl_ce *e, const ftl_kinst *i)
{
	const char *m = ftl_ce_mask_ref(e, i->a[0], elem_bytes(i->type.elem));

	return ftl_ce_vselect(e, i->type.elem, i->type.lanes, m, ftl_ce_ref(e, i->a[1]), ftl_ce_ref(e, i->a[2]));
}

static bool print_shuffle(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	unsigned elem = i->type.elem;
	int lanes = i->type.lanes;
	ftl_ktype t = ftl_ktype_of(e->f, i->a[0]);

	switch ((ftl_kop)i->op) {
	case FTL_K_splat:
		define(e, v, ftl_ce_vtype(e, elem, lanes), ftl_ce_splat(e, elem, lanes, ftl_ce_ref(e, i->a[0])));
		return true;
	case FTL_K_ramp: define(e, v, ftl_ce_vtype(e, elem, lanes), print_ramp(e, i)); return true;
	case FTL_K_extract:
		if (elem == FTL_BOOL)
			define(e, v, "bool",
			       ftl_ce_str(e, "%s[%d] != 0", ftl_ce_mask_ref(e, i->a[0], common_mask(e, i->a[0], 0)),
					  (int)i->imm));
		else
			define(e, v, ftl_ce_elem(elem)->type,
			       ftl_ce_str(e, "%s[%d]", ftl_ce_ref(e, i->a[0]), (int)i->imm));
		return true;
	case FTL_K_insert:
		ftl_ce_line(e, "%s v%u = %s;", ftl_ce_vtype(e, elem, lanes), v, ftl_ce_ref(e, i->a[0]));
		ftl_ce_line(e, "v%u[%d] = %s;", v, (int)i->imm, ftl_ce_ref(e, i->a[1]));
		return true;
	case FTL_K_slice:
		define(e, v, lanes == 1 ? ftl_ce_elem(elem)->type : ftl_ce_vtype(e, elem, lanes),
		       lanes == 1 ? ftl_ce_str(e, "%s[%d]", ftl_ce_ref(e, i->a[0]), (int)i->imm)
				  : slice(e, elem, t.lanes, (int)i->imm, lanes, ftl_ce_ref(e, i->a[0])));
		return true;
	case FTL_K_join:
		if (t.lanes == 1)
			define(e, v, ftl_ce_vtype(e, elem, 2),
			       ftl_ce_str(e, "((%s){%s, %s})", ftl_ce_vtype(e, elem, 2), ftl_ce_ref(e, i->a[0]),
					  ftl_ce_ref(e, i->a[1])));
		else
			define(e, v, ftl_ce_vtype(e, elem, lanes),
			       join(e, elem, t.lanes, ftl_ce_ref(e, i->a[0]), ftl_ce_ref(e, i->a[1])));
		return true;
	case FTL_K_reduce_add:
	case FTL_K_reduce_mul:
	case FTL_K_reduce_min:
	case FTL_K_reduce_max: print_reduce(e, v, i); return true;
	default: return false;
	}
}

static void print_dot4_one(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	const char *a = ftl_ce_ref(e, i->a[1]), *b = ftl_ce_ref(e, i->a[2]);

	define(e, v, "int32_t",
	       ftl_ce_str(e,
			  "(int32_t)((uint32_t)%s + (uint32_t)(%s[0] * %s[0] + %s[1] * %s[1] + %s[2] * %s[2] + %s[3] * "
			  "%s[3]))",
			  ftl_ce_ref(e, i->a[0]), a, b, a, b, a, b, a, b));
}

bool ftl_ce_vector(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	const ftl_kop_info *info = ftl_kop_get((ftl_kop)i->op);
	unsigned elem = i->type.elem;
	int lanes = i->type.lanes;
	ftl_ktype t = ftl_ktype_of(e->f, i->a[0]);
	const char *x;

	if (lanes > 1 && elem == FTL_BOOL && print_mask(e, v, i))
		return true;
	if (print_shuffle(e, v, i))
		return true;
	switch ((ftl_kop)i->op) {
	case FTL_K_select: x = select_lanes(e, i); break;
	case FTL_K_cast:
		x = t.elem == FTL_BOOL ? mask_to_number(e, i->a[0], elem, lanes)
				       : ftl_ce_vector_cast(e, ftl_ce_ref(e, i->a[0]), t.elem, elem, lanes);
		break;
	case FTL_K_bitcast: x = ftl_ce_str(e, "(%s)%s", ftl_ce_vtype(e, elem, lanes), ftl_ce_ref(e, i->a[0])); break;
	case FTL_K_dot4:
		if (lanes == 1) {
			print_dot4_one(e, v, i);
			return true;
		}
		ftl_ce_dot4(e, lanes);
		x = ftl_ce_str(e, "dot4_x%d(%s, %s, %s)", lanes, ftl_ce_ref(e, i->a[0]), ftl_ce_ref(e, i->a[1]),
			       ftl_ce_ref(e, i->a[2]));
		break;
	default:
		if (info->rule != K_RULE_SAME)
			return false;
		x = info->nargs == 2 ? plain(e, i) : NULL;
		if (!x)
			x = ftl_ce_vector_op(e, (ftl_kop)i->op, elem, lanes, ftl_ce_ref(e, i->a[0]),
					     info->nargs > 1 ? ftl_ce_ref(e, i->a[1]) : NULL,
					     info->nargs > 2 ? ftl_ce_ref(e, i->a[2]) : NULL);
		break;
	}
	define(e, v, ftl_ce_vtype(e, elem, lanes), x);
	return true;
}
