/* A kernel module as C: values and control flow of one function, and the order of the file.
 *
 * An instruction becomes a statement `const T vN = ...;` where it stands, in the C block of its block; so scopes and
 * dominance agree. What nobody uses is left out (an unused variable is a warning). */
#include "internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const ftl_celem elems[FTL_PTR + 1] = {
	[FTL_F32] = {"f32", "float", "f", "", 4, FTL_I32, FTL_U32},
	[FTL_F64] = {"f64", "double", "", "", 8, FTL_I64, FTL_U64},
	[FTL_F16] = {"f16", "uint16_t", "", "uint32_t", 2, FTL_I16, FTL_U16},
	[FTL_BF16] = {"bf16", "uint16_t", "", "uint32_t", 2, FTL_I16, FTL_U16},
	[FTL_I8] = {"i8", "int8_t", "", "uint32_t", 1, FTL_I8, FTL_U8},
	[FTL_I16] = {"i16", "int16_t", "", "uint32_t", 2, FTL_I16, FTL_U16},
	[FTL_I32] = {"i32", "int32_t", "", "uint32_t", 4, FTL_I32, FTL_U32},
	[FTL_I64] = {"i64", "int64_t", "", "uint64_t", 8, FTL_I64, FTL_U64},
	[FTL_U8] = {"u8", "uint8_t", "", "uint32_t", 1, FTL_I8, FTL_U8},
	[FTL_U16] = {"u16", "uint16_t", "", "uint32_t", 2, FTL_I16, FTL_U16},
	[FTL_U32] = {"u32", "uint32_t", "", "uint32_t", 4, FTL_I32, FTL_U32},
	[FTL_U64] = {"u64", "uint64_t", "", "uint64_t", 8, FTL_I64, FTL_U64},
	[FTL_STRING] = {"string", "int64_t", "", "uint64_t", 8, FTL_I64, FTL_U64},
	[FTL_BOOL] = {"bool", "bool", "", "uint32_t", 1, FTL_I8, FTL_U8},
	[FTL_PTR] = {"ptr", "unsigned char *", "", "", 8, FTL_I64, FTL_U64},
};

const ftl_celem *ftl_ce_elem(unsigned elem)
{
	return &elems[elem <= FTL_PTR ? elem : 0];
}

void ftl_ce_fail(ftl_ce *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (e->err == FTL_OK)
		e->err = ftl_vfail(e->d, FTL_ERR_UNSUPPORTED, fmt, ap);
	va_end(ap);
}

const char *ftl_ce_str(ftl_ce *e, const char *fmt, ...)
{
	char small[512], *s;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	s = ftl_arena_alloc(e->arena, (size_t)n + 1);
	if ((size_t)n < sizeof small) {
		memcpy(s, small, (size_t)n + 1);
	} else {
		va_start(ap, fmt);
		vsnprintf(s, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	return s;
}

void ftl_ce_line(ftl_ce *e, const char *fmt, ...)
{
	char small[512], *s = small;
	va_list ap;
	int n;

	for (int k = 0; k < e->depth; k++)
		ftl_text_bytes(&e->body, "\t", 1);
	va_start(ap, fmt);
	n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof small) {
		s = ftl_arena_alloc(e->arena, (size_t)n + 1);
		va_start(ap, fmt);
		vsnprintf(s, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	ftl_text_bytes(&e->body, s, n < 0 ? 0 : (size_t)n);
	ftl_text_bytes(&e->body, "\n", 1);
}

bool ftl_ce_once(ftl_ce *e, const char *name)
{
	if (ftl_map_get(e->seen, name))
		return false;
	ftl_map_set(e->seen, name, e);
	return true;
}

/* ---- values ---- */

/* The shortest decimal that reads back as v. snprintf and strtod agree on the radix character, which then becomes '.'. */
static const char *real(ftl_ce *e, unsigned elem, double v)
{
	bool single = elem == FTL_F32;
	char s[48];

	if (v != v)
		return "NAN";
	if (v - v != 0)
		return v > 0 ? "INFINITY" : "(-INFINITY)";
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(s, sizeof s, "%.*g", digits, v);
		if (single ? strtof(s, NULL) == (float)v : strtod(s, NULL) == v)
			break;
	}
	for (char *p = s; *p; p++) {
		if (!strchr("0123456789+-e", *p))
			*p = '.';
	}
	if (!strpbrk(s, ".e"))
		strcat(s, ".0");
	if (single)
		strcat(s, "f");
	return ftl_ce_str(e, s[0] == '-' ? "(%s)" : "%s", s);
}

const char *ftl_ce_num(ftl_ce *e, unsigned elem, int64_t imm)
{
	double v;

	memcpy(&v, &imm, sizeof v);
	switch (elem) {
	case FTL_F32:
	case FTL_F64: return real(e, elem, v);
	case FTL_F16: return ftl_ce_str(e, "0x%04xu", ftl_f32_to_f16((float)v));
	case FTL_BF16: return ftl_ce_str(e, "0x%04xu", ftl_f32_to_bf16((float)v));
	case FTL_BOOL: return imm ? "true" : "false";
	case FTL_U8:
	case FTL_U16:
	case FTL_U32: return ftl_ce_str(e, "%" PRIu32 "u", (uint32_t)imm);
	case FTL_U64: return ftl_ce_str(e, "UINT64_C(%" PRIu64 ")", (uint64_t)imm);
	default: break;
	}
	if (imm == INT64_MIN)
		return "INT64_MIN";
	if (elem == FTL_I32 && imm == INT32_MIN)
		return "INT32_MIN";
	if (imm < -INT32_MAX || imm > INT32_MAX)
		return ftl_ce_str(e, imm < 0 ? "(-INT64_C(%" PRId64 "))" : "INT64_C(%" PRId64 ")",
				  imm < 0 ? -imm : imm);
	return ftl_ce_str(e, imm < 0 ? "(%" PRId64 ")" : "%" PRId64, imm);
}

bool ftl_ce_const(const ftl_ce *e, ftl_kv v, int64_t *out)
{
	const ftl_kinst *i = ftl_kinst_get(e->f, v);

	if (i->op == FTL_K_splat)
		i = ftl_kinst_get(e->f, i->a[0]);
	if (i->op != FTL_K_const || ftl_dtype_is_float((ftl_dtype)i->type.elem))
		return false;
	*out = i->imm;
	return true;
}

const char *ftl_ce_ref(ftl_ce *e, ftl_kv v)
{
	const ftl_kinst *i = ftl_kinst_get(e->f, v);

	if (e->ref[v])
		return e->ref[v];
	switch ((ftl_kop)i->op) {
	case FTL_K_const:
		e->ref[v] = ftl_ce_num(e, i->type.elem, i->imm);
		if (i->type.lanes > 1)
			e->ref[v] = ftl_ce_splat(e, i->type.elem, i->type.lanes, e->ref[v]);
		break;
	case FTL_K_param: e->ref[v] = ftl_ce_str(e, "p%d", (int)i->imm); break;
	case FTL_K_grid: e->ref[v] = "g"; break;
	case FTL_K_workspace: e->ref[v] = "((unsigned char *)run->workspace)"; break;
	case FTL_K_var: e->ref[v] = ftl_ce_str(e, "x%u", v); break;
	default: e->ref[v] = ftl_ce_str(e, "v%u", v); break;
	}
	return e->ref[v];
}

unsigned ftl_ce_mask_of(ftl_ce *e, ftl_kv v)
{
	return ftl_kinst_get(e->f, v)->op == FTL_K_const ? 0 : e->mask[v];
}

const char *ftl_ce_mask_ref(ftl_ce *e, ftl_kv v, unsigned bytes)
{
	const ftl_kinst *i = ftl_kinst_get(e->f, v);

	if (i->op == FTL_K_const) {
		static const uint8_t type[] = {[1] = FTL_I8, [2] = FTL_I16, [4] = FTL_I32, [8] = FTL_I64};

		return ftl_ce_splat(e, type[bytes], i->type.lanes, i->imm ? "(-1)" : "0");
	}
	return ftl_ce_convert_mask(e, ftl_ce_ref(e, v), e->mask[v], bytes, i->type.lanes);
}

/* ---- what is printed ---- */

struct live {
	ftl_ce *e;
	ftl_kv *chain; /* of a variable: its first set; of a set: the next one */
	FTL_VEC(ftl_kv) work;
};

static void mark(struct live *l, ftl_kv v)
{
	if (v && !l->e->live[v]) {
		l->e->live[v] = true;
		ftl_vec_push(l->e->arena, &l->work, v);
	}
}

static bool is_root(const ftl_ce *e, ftl_kop op)
{
	const ftl_kop_info *info = ftl_kop_get(op);

	switch (op) {
	case FTL_K_prefetch: return !e->iso;
	case FTL_K_for:
	case FTL_K_out_ptr:
	case FTL_K_alloc:
	case FTL_K_launch: return true;
	case FTL_K_set: return false;
	default: return info->rule == K_RULE_NONE;
	}
}

static void find_roots(struct live *l, const ftl_kblock *b)
{
	for (uint32_t k = 0; b && k < b->insts.n; k++) {
		ftl_kv v = b->insts.v[k];
		const ftl_kinst *i = ftl_kinst_get(l->e->f, v);

		if (i->op == FTL_K_set) {
			l->chain[v] = l->chain[i->a[0]];
			l->chain[i->a[0]] = v;
		}
		if (is_root(l->e, (ftl_kop)i->op))
			mark(l, v);
		find_roots(l, i->body);
		find_roots(l, i->els);
	}
}

static void find_live(ftl_ce *e)
{
	struct live l = {.e = e};
	uint32_t n = e->f->inst.n;

	e->live = FTL_NEW_N(e->arena, bool, n);
	e->ref = FTL_NEW_N(e->arena, const char *, n);
	e->mask = FTL_NEW_N(e->arena, uint8_t, n);
	l.chain = FTL_NEW_N(e->arena, ftl_kv, n);
	mark(&l, e->f->result);
	find_roots(&l, &e->f->body);
	while (l.work.n) {
		ftl_kv v = l.work.v[--l.work.n];
		const ftl_kinst *i = ftl_kinst_get(e->f, v);

		for (int k = 0; k < 4; k++)
			mark(&l, i->a[k]);
		for (uint32_t k = 0; k < i->nextra; k++)
			mark(&l, i->extra[k]);
		/* a variable counts when it is read (its init is an operand of it); then all its sets do */
		if (i->op == FTL_K_var) {
			for (ftl_kv s = l.chain[v]; s; s = l.chain[s])
				mark(&l, s);
		}
	}
}

/* ---- statements ---- */

static void print_block(ftl_ce *e, const ftl_kblock *b);

static const char *type_of(ftl_ce *e, ftl_kv v)
{
	ftl_ktype t = ftl_ktype_of(e->f, v);

	if (t.lanes == 1)
		return ftl_ce_elem(t.elem)->type;
	return t.elem == FTL_BOOL ? ftl_ce_vmask(e, e->mask[v], t.lanes) : ftl_ce_vtype(e, t.elem, t.lanes);
}

static const char *value_ref(ftl_ce *e, ftl_kv v, unsigned mask)
{
	return mask && ftl_ktype_of(e->f, v).lanes > 1 ? ftl_ce_mask_ref(e, v, mask) : ftl_ce_ref(e, v);
}

static void print_variable(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	const char *type;

	switch ((ftl_kop)i->op) {
	case FTL_K_var:
		if (i->type.elem == FTL_BOOL) {
			e->mask[v] = (uint8_t)ftl_ce_mask_of(e, i->a[0]);
			if (!e->mask[v])
				e->mask[v] = 4;
		}
		type = type_of(e, v);
		ftl_ce_line(e, "%s%sx%u = %s;", type, type[strlen(type) - 1] == '*' ? "" : " ", v,
			    value_ref(e, i->a[0], e->mask[v]));
		break;
	case FTL_K_get:
		e->mask[v] = e->mask[i->a[0]];
		type = type_of(e, v);
		ftl_ce_line(e, "%s%s v%u = x%u;", type[strlen(type) - 1] == '*' ? "" : "const ", type, v, i->a[0]);
		break;
	default: ftl_ce_line(e, "x%u = %s;", i->a[0], value_ref(e, i->a[1], e->mask[i->a[0]])); break;
	}
}

static void print_for(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	const char *lo = ftl_ce_ref(e, i->a[0]), *hi = ftl_ce_ref(e, i->a[1]), *step = ftl_ce_ref(e, i->a[2]);

	if (i->imm == FTL_LOOP_UNROLL) {
		if (ftl_ce_once(e, "UNROLL"))
			ftl_text_add(&e->types,
				     "#if defined(__GNUC__) && !defined(__clang__)\n"
				     "#define UNROLL _Pragma(\"GCC unroll 16\")\n#else\n#define UNROLL\n#endif\n");
		ftl_ce_line(e, "UNROLL");
	}
	ftl_ce_line(e, "for (int64_t v%u = %s; v%u < %s; v%u += %s) {", v, lo, v, hi, v, step);
	e->depth++;
	print_block(e, i->body);
	e->depth--;
	ftl_ce_line(e, "}");
}

static void print_check(ftl_ce *e, const ftl_kinst *i)
{
	const char *cond = ftl_ce_ref(e, i->a[0]);

	if (e->is_size) {
		ftl_ce_line(e, "if (!%s)", cond);
		ftl_ce_line(e, "\treturn -%d;", (int)i->imm);
	} else if (e->f->is_main) {
		ftl_ce_line(e, "if (!%s)", cond);
		ftl_ce_line(e, "\treturn %d;", (int)i->imm);
	} else {
		ftl_ce_line(e, "if (!%s)", cond);
		/* several threads may find the same fault */
		ftl_ce_line(e, e->iso ? "\trun->error = %d;" : "\t__atomic_store_n(&run->error, %d, __ATOMIC_RELAXED);",
			    (int)i->imm);
	}
}

/* True if it was control flow or a variable. */
static bool print_control(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	switch ((ftl_kop)i->op) {
	case FTL_K_var:
	case FTL_K_get:
	case FTL_K_set: print_variable(e, v, i); return true;
	case FTL_K_for: print_for(e, v, i); return true;
	case FTL_K_if:
		ftl_ce_line(e, "if (%s) {", ftl_ce_ref(e, i->a[0]));
		e->depth++;
		print_block(e, i->body);
		e->depth--;
		if (i->els) {
			ftl_ce_line(e, "} else {");
			e->depth++;
			print_block(e, i->els);
			e->depth--;
		}
		ftl_ce_line(e, "}");
		return true;
	case FTL_K_loop:
		ftl_ce_line(e, "for (;;) {");
		e->depth++;
		print_block(e, i->body);
		e->depth--;
		ftl_ce_line(e, "}");
		return true;
	case FTL_K_break:
		ftl_ce_line(e, "if (%s)", ftl_ce_ref(e, i->a[0]));
		ftl_ce_line(e, "\tbreak;");
		return true;
	case FTL_K_check: print_check(e, i); return true;
	case FTL_K_grid: /* written g */ return true;
	default: return false;
	}
}

static bool has_lanes(const ftl_ce *e, const ftl_kinst *i)
{
	bool lanes = i->type.lanes > 1;

	for (int k = 0; k < 4 && i->a[k]; k++)
		lanes |= ftl_ktype_of(e->f, i->a[k]).lanes > 1;
	return lanes;
}

static void print_inst(ftl_ce *e, ftl_kv v)
{
	const ftl_kinst *i = ftl_kinst_get(e->f, v);
	bool lanes = has_lanes(e, i);
	const char *s;

	if (lanes && e->iso) {
		ftl_ce_fail(e, "%s: the ISO dialect of C has no vectors: lower for the scalar target", e->m->name);
		return;
	}
	if (print_control(e, v, i) || ftl_ce_program_inst(e, v, i) || ftl_ce_memory(e, v, i) ||
	    (lanes && ftl_ce_vector(e, v, i)))
		return;
	s = lanes ? NULL : ftl_ce_scalar(e, i);
	if (!s) {
		ftl_ce_fail(e, "%s: function %s: the C backend cannot print %s", e->m->name, e->f->name,
			    ftl_kop_get((ftl_kop)i->op)->name);
		return;
	}
	if (i->type.elem == FTL_PTR)
		ftl_ce_line(e, "unsigned char *const v%u = %s;", v, s);
	else
		ftl_ce_line(e, "const %s v%u = %s;", ftl_ce_elem(i->type.elem)->type, v, s);
}

static void print_block(ftl_ce *e, const ftl_kblock *b)
{
	for (uint32_t k = 0; b && k < b->insts.n; k++) {
		if (e->live[b->insts.v[k]])
			print_inst(e, b->insts.v[k]);
	}
}

/* ---- functions ---- */

static void print_note(ftl_ce *e, const char *note)
{
	if (!note || !*note)
		return;
	ftl_text_add(&e->body, "/* ");
	ftl_c_comment(&e->body, note);
	ftl_text_add(&e->body, " */\n");
}

static bool block_checks(const ftl_kfunc *f, const ftl_kblock *b)
{
	for (uint32_t k = 0; b && k < b->insts.n; k++) {
		const ftl_kinst *i = ftl_kinst_get(f, b->insts.v[k]);

		if (i->op == FTL_K_check || block_checks(f, i->body) || block_checks(f, i->els))
			return true;
	}
	return false;
}

static void print_kernel(ftl_ce *e, uint32_t number)
{
	const ftl_kfunc *f = e->m->kernels.v[number];
	bool any = false;

	e->f = f;
	e->is_size = false;
	find_live(e);
	ftl_text_add(&e->body, "\n");
	print_note(e, f->note);
	ftl_text_add(&e->body, "static void k%u(const ftl_arg *args, ftl_run *run, int64_t begin, int64_t end)\n{\n",
		     number);
	e->depth = 1;
	for (uint32_t k = 0; k < f->params.n; k++) {
		if (!e->live[f->params.v[k].value])
			continue;
		any = true;
		if (f->params.v[k].type.elem == FTL_PTR)
			ftl_ce_line(e, "unsigned char *const p%u = (unsigned char *)args[%u].p;", k, k);
		else
			ftl_ce_line(e, "const int64_t p%u = args[%u].i;", k, k);
	}
	ftl_text_add(&e->body, any ? "\n\t(void)run;\n" : "\t(void)args;\n\t(void)run;\n");
	ftl_ce_line(e, "for (int64_t g = begin; g < end; g++) {");
	e->depth++;
	print_block(e, &f->body);
	ftl_text_add(&e->body, "\t}\n}\n");
}

static void print_program(ftl_ce *e, const ftl_kfunc *f, const char *name, bool is_size)
{
	e->f = f;
	e->is_size = is_size;
	find_live(e);
	ftl_text_add(&e->body, "\n");
	print_note(e, f->note);
	ftl_text_add(&e->body,
		     is_size ? "int64_t %s_size(const ftl_run *run)\n{\n\t(void)run;\n"
			     : "int64_t %s_main(ftl_run *run)\n{\n\t(void)run;\n",
		     name);
	e->depth = 1;
	print_block(e, &f->body);
	ftl_ce_line(e, "return %s;", f->result ? ftl_ce_ref(e, f->result) : "0");
	ftl_text_add(&e->body, "}\n");
}

static void print_file(ftl_ce *e, const ftl_artifact *a, ftl_text *t)
{
	ftl_text_add(t, "/* %s.c, made by fettle from the model \"", a->name);
	ftl_c_comment(t, a->module->name);
	ftl_text_add(t, "\".\n * %s\n * How to call it: %s.h. */\n",
		     e->iso ? "C99; needs libc and libm."
			    : "C11 with GNU vector extensions (gcc, clang); needs libc and libm.",
		     a->name);
	ftl_text_add(t, "#include <math.h>\n#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n#include "
			"<string.h>\n");
	if (ftl_map_get(e->seen, "strings number"))
		ftl_text_add(t, "#include <errno.h>\n#include <stdio.h>\n#include <stdlib.h>\n");
	if (e->x86)
		ftl_text_add(t, "#if defined(__x86_64__) || defined(__i386__)\n#include <immintrin.h>\n#endif\n");
	ftl_text_add(
		t, "\n#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__\n"
		   "#error \"the weights of this model are little endian\"\n#endif\n"
		   "#if defined(__GNUC__)\n"
		   "#pragma GCC diagnostic ignored \"-Wtype-limits\" /* comparisons that the model makes constant */\n"
		   "#endif\n\n/* ---- the boundary to the caller ---- */\n");
	ftl_abi_print(t);
	if (a->embed)
		ftl_text_add(t, "extern const uint64_t %s_weights[];\n", a->name);
	ftl_text_add(t, "int64_t %s_main(ftl_run *run);\n", a->name);
	if (a->module->size)
		ftl_text_add(t, "int64_t %s_size(const ftl_run *run);\n", a->name);
	ftl_text_add(t, "\n/* ---- types and helpers ---- */\n");
	ftl_text_bytes(t, e->types.v, e->types.n);
	ftl_text_bytes(t, e->helpers.v, e->helpers.n);
	ftl_text_add(t, "\n/* ---- kernels and the program ---- */\n");
	ftl_text_bytes(t, e->body.v, e->body.n);
}

ftl_status ftl_c_print(const ftl_artifact *a, ftl_c_dialect dialect, ftl_text *t, ftl_diag *d)
{
	ftl_ce e = {.arena = t->arena, .m = a->module, .iso = dialect == FTL_C_ISO, .d = d};
	const ftl_kmodule *m = a->module;

	ftl_text_init(&e.types, e.arena);
	ftl_text_init(&e.helpers, e.arena);
	ftl_text_init(&e.body, e.arena);
	e.seen = ftl_map_new(e.arena);
	e.can_fail = FTL_NEW_N(e.arena, bool, (size_t)m->kernels.n + 1);
	for (uint32_t k = 0; k < m->kernels.n; k++) {
		e.can_fail[k] = block_checks(m->kernels.v[k], &m->kernels.v[k]->body);
		print_kernel(&e, k);
	}
	if (m->size)
		print_program(&e, m->size, a->name, true);
	print_program(&e, m->main, a->name, false);
	if (e.err != FTL_OK)
		return e.err;
	print_file(&e, a, t);
	return FTL_OK;
}
