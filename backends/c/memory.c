/* Loads and stores. Everything in memory may be read as another type later (buffers share the workspace), so accesses
 * go through may_alias types (GNU) or memcpy (ISO). A bool is one byte in memory. */
#include "internal.h"

static bool is_bool(unsigned elem)
{
	return elem == FTL_BOOL;
}

/* Bool is loaded and stored as u8 and converted. */
static unsigned in_memory(unsigned elem)
{
	return is_bool(elem) ? FTL_U8 : elem;
}

/* ---- scalar ---- */

static const char *mem_type(ftl_ce *e, unsigned elem)
{
	const ftl_celem *t = ftl_ce_elem(in_memory(elem));
	const char *name;

	if (t->bytes == 1)
		return t->type; /* int8_t and uint8_t are character types */
	name = ftl_ce_str(e, "%s_m", t->name);
	if (ftl_ce_once(e, name))
		ftl_text_add(&e->types, "typedef %s %s __attribute__((may_alias));\n", t->type, name);
	return name;
}

/* The lvalue p[index] of a type in memory. */
static const char *place(ftl_ce *e, unsigned elem, const char *p, const char *index, bool constant)
{
	return ftl_ce_str(e, "((%s%s *)%s)[%s]", constant ? "const " : "", mem_type(e, elem), p, index);
}

static const char *load_one(ftl_ce *e, unsigned elem, const char *p, const char *index)
{
	const ftl_celem *t = ftl_ce_elem(in_memory(elem));
	const char *s;

	if (e->iso && t->bytes > 1) {
		s = ftl_ce_str(e, "load_%s", t->name);
		if (ftl_ce_once(e, s))
			ftl_text_add(&e->helpers,
				     "static inline %s %s(const unsigned char *p, int64_t i)\n{\n\t%s r;\n\n"
				     "\tmemcpy(&r, p + i * %u, sizeof r);\n\treturn r;\n}\n",
				     t->type, s, t->type, t->bytes);
		s = ftl_ce_str(e, "%s(%s, %s)", s, p, index);
	} else {
		s = place(e, elem, p, index, true);
	}
	return is_bool(elem) ? ftl_ce_str(e, "%s != 0", s) : s;
}

static void store_one(ftl_ce *e, unsigned elem, const char *p, const char *index, const char *x)
{
	const ftl_celem *t = ftl_ce_elem(in_memory(elem));
	const char *s;

	if (!e->iso || t->bytes == 1) {
		ftl_ce_line(e, "%s = %s;", place(e, elem, p, index, false), x);
		return;
	}
	s = ftl_ce_str(e, "store_%s", t->name);
	if (ftl_ce_once(e, s))
		ftl_text_add(&e->helpers,
			     "static inline void %s(unsigned char *p, int64_t i, %s x)\n{\n\tmemcpy(p + i * %u, &x, "
			     "sizeof x);\n}\n",
			     s, t->type, t->bytes);
	ftl_ce_line(e, "%s(%s, %s, %s);", s, p, index, x);
}

/* ---- vectors ---- */

/* TxN_m: the vector type as it may lie in memory, at any multiple of its element. */
static const char *vmem_type(ftl_ce *e, unsigned elem, int lanes)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *name = ftl_ce_str(e, "%sx%d_m", t->name, lanes);

	if (ftl_ce_once(e, name))
		ftl_text_add(&e->types, "typedef %s %s __attribute__((vector_size(%d), aligned(%u), may_alias));\n",
			     t->type, name, t->bytes * lanes, t->bytes);
	return name;
}

static const char *load_vector(ftl_ce *e, unsigned elem, int lanes, const char *p, const char *index)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *fn = ftl_ce_str(e, "load_%sx%d", t->name, lanes);

	if (ftl_ce_once(e, fn)) {
		const char *vm = vmem_type(e, elem, lanes), *m = mem_type(e, elem);

		ftl_ce_vtype(e, elem, lanes);
		ftl_text_add(&e->helpers, "#define %s(p, i) (*(const %s *)((const %s *)(p) + (i)))\n", fn, vm, m);
	}
	return ftl_ce_str(e, "%s(%s, %s)", fn, p, index);
}

static void store_vector(ftl_ce *e, unsigned elem, int lanes, const char *p, const char *index, const char *x)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *fn = ftl_ce_str(e, "store_%sx%d", t->name, lanes);

	if (ftl_ce_once(e, fn)) {
		const char *vm = vmem_type(e, elem, lanes), *m = mem_type(e, elem);

		ftl_text_add(&e->helpers, "#define %s(p, i, x) (*(%s *)((%s *)(p) + (i)) = (x))\n", fn, vm, m);
	}
	ftl_ce_line(e, "%s(%s, %s, %s);", fn, p, index, x);
}

/* The first n lanes, 0 in the others; through an array, as vectors are not indexed well by variables. */
static const char *load_part(ftl_ce *e, unsigned elem, int lanes, const char *p, const char *index, const char *n)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *fn = ftl_ce_str(e, "loadn_%sx%d", t->name, lanes);

	if (ftl_ce_once(e, fn)) {
		const char *v = ftl_ce_vtype(e, elem, lanes);

		ftl_text_add(&e->helpers,
			     "#define %s(p, i, n) __extension__({ \\\n"
			     "\tconst %s *const p_ = (const %s *)(p) + (i); \\\n"
			     "\t%s t_[%d] = {0}; \\\n\t%s r_; \\\n"
			     "\tfor (int64_t l_ = 0; l_ < (n) && l_ < %d; l_++) \\\n\t\tt_[l_] = p_[l_]; \\\n"
			     "\tmemcpy(&r_, t_, sizeof r_); \\\n\tr_; \\\n})\n",
			     fn, mem_type(e, elem), mem_type(e, elem), t->type, lanes, v, lanes);
	}
	return ftl_ce_str(e, "%s(%s, %s, %s)", fn, p, index, n);
}

static void store_part(ftl_ce *e, unsigned elem, int lanes, const char *p, const char *index, const char *x,
		       const char *n)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *fn = ftl_ce_str(e, "storen_%sx%d", t->name, lanes);

	if (ftl_ce_once(e, fn)) {
		const char *v = ftl_ce_vtype(e, elem, lanes);

		ftl_text_add(&e->helpers,
			     "#define %s(p, i, x, n) do { \\\n"
			     "\t%s *const p_ = (%s *)(p) + (i); \\\n"
			     "\tconst %s x_ = (x); \\\n\t%s t_[%d]; \\\n"
			     "\tmemcpy(t_, &x_, sizeof t_); \\\n"
			     "\tfor (int64_t l_ = 0; l_ < (n) && l_ < %d; l_++) \\\n\t\tp_[l_] = t_[l_]; \\\n"
			     "} while (0)\n",
			     fn, mem_type(e, elem), mem_type(e, elem), v, t->type, lanes, lanes);
	}
	ftl_ce_line(e, "%s(%s, %s, %s, %s);", fn, p, index, x, n);
}

static const char *gather(ftl_ce *e, unsigned elem, int lanes, const char *p, const char *index)
{
	const ftl_celem *t = ftl_ce_elem(elem);
	const char *fn = ftl_ce_str(e, "gather_%sx%d", t->name, lanes);

	if (ftl_ce_once(e, fn)) {
		const char *lane = ftl_ce_str(e, "((const %s *)(p))[(i)[%%d]]", mem_type(e, elem));
		const char *list = ftl_ce_lanes(e, ftl_ce_vtype(e, elem, lanes), lanes, lane);

		ftl_text_add(&e->helpers, "#define %s(p, i) %s\n", fn, list);
	}
	return ftl_ce_str(e, "%s(%s, %s)", fn, p, index);
}

static void scatter(ftl_ce *e, unsigned elem, int lanes, const char *p, const char *index, const char *x)
{
	ftl_ce_vtype(e, elem, lanes);
	/* in order: the last one stays where two lanes go to one place */
	for (int l = 0; l < lanes; l++)
		ftl_ce_line(e, "((%s *)%s)[%s[%d]] = %s[%d];", mem_type(e, elem), p, index, l, x, l);
}

/* ---- the instructions ---- */

static void print_load(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	unsigned elem = i->type.elem, mem = in_memory(elem);
	int lanes = i->type.lanes;
	const char *p = ftl_ce_ref(e, i->a[0]), *index = ftl_ce_ref(e, i->a[1]), *s;

	if (lanes == 1) {
		if (i->op == FTL_K_loadn)
			ftl_ce_line(e, "const %s v%u = %s > 0 ? %s : 0;", ftl_ce_elem(elem)->type, v,
				    ftl_ce_ref(e, i->a[2]), load_one(e, elem, p, index));
		else
			ftl_ce_line(e, "const %s v%u = %s;", ftl_ce_elem(elem)->type, v, load_one(e, elem, p, index));
		return;
	}
	if (i->op == FTL_K_loadn)
		s = load_part(e, mem, lanes, p, index, ftl_ce_ref(e, i->a[2]));
	else if (ftl_ktype_of(e->f, i->a[1]).lanes > 1)
		s = gather(e, mem, lanes, p, index);
	else
		s = load_vector(e, mem, lanes, p, index);
	if (is_bool(elem)) {
		e->mask[v] = 1;
		ftl_ce_line(e, "const %s v%u = (%s)(%s != %s);", ftl_ce_vmask(e, 1, lanes), v,
			    ftl_ce_vmask(e, 1, lanes), s, ftl_ce_splat(e, FTL_U8, lanes, "0u"));
	} else {
		ftl_ce_line(e, "const %s v%u = %s;", ftl_ce_vtype(e, elem, lanes), v, s);
	}
}

static void print_store(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	ftl_ktype t = ftl_ktype_of(e->f, i->a[2]);
	const char *p = ftl_ce_ref(e, i->a[0]), *index = ftl_ce_ref(e, i->a[1]), *x;
	unsigned mem = in_memory(t.elem);

	if (t.lanes == 1) {
		if (i->op == FTL_K_storen) {
			ftl_ce_line(e, "if (%s > 0) {", ftl_ce_ref(e, i->a[3]));
			e->depth++;
		}
		store_one(e, t.elem, p, index, ftl_ce_ref(e, i->a[2]));
		if (i->op == FTL_K_storen) {
			e->depth--;
			ftl_ce_line(e, "}");
		}
		return;
	}
	x = is_bool(t.elem) ? ftl_ce_mask_ref(e, i->a[2], 1) : ftl_ce_ref(e, i->a[2]);
	if (is_bool(t.elem))
		x = ftl_ce_str(e, "((%s)%s & %s)", ftl_ce_vtype(e, FTL_U8, t.lanes), x,
			       ftl_ce_splat(e, FTL_U8, t.lanes, "1u"));
	if (i->op == FTL_K_storen) {
		store_part(e, mem, t.lanes, p, index, x, ftl_ce_ref(e, i->a[3]));
	} else if (ftl_ktype_of(e->f, i->a[1]).lanes > 1) {
		/* by name, so that it is computed once */
		ftl_ce_line(e, "const %s s%u = %s;", ftl_ce_vtype(e, mem, t.lanes), v, x);
		scatter(e, mem, t.lanes, p, index, ftl_ce_str(e, "s%u", v));
	} else {
		store_vector(e, mem, t.lanes, p, index, x);
	}
}

/* Functions on strings, with the parts of their text that they need. */
static void print_call(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	const ftl_string_info *info = ftl_string_info_get((int)i->imm);
	const char *const sections[] = {"core", info->section};

	for (size_t k = 0; k < FTL_COUNT(sections); k++) {
		size_t n;
		const char *text = ftl_string_text(sections[k], &n);

		if (ftl_ce_once(e, ftl_ce_str(e, "strings %s", sections[k])))
			ftl_text_bytes(&e->helpers, text, n);
	}
	ftl_ce_line(e, "const int64_t v%u = fettle_str_%s(run->strings, %s, %s, %s);", v, info->name,
		    ftl_ce_ref(e, i->a[0]), ftl_ce_ref(e, i->a[1]), ftl_ce_ref(e, i->a[2]));
}

bool ftl_ce_memory(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	switch ((ftl_kop)i->op) {
	case FTL_K_load:
	case FTL_K_loadn: print_load(e, v, i); return true;
	case FTL_K_store:
	case FTL_K_storen: print_store(e, v, i); return true;
	case FTL_K_prefetch:
		ftl_ce_line(e, "__builtin_prefetch(%s + %s);", ftl_ce_ref(e, i->a[0]), ftl_ce_ref(e, i->a[1]));
		return true;
	case FTL_K_copy:
		if (ftl_ce_once(e, "copy"))
			ftl_text_add(
				&e->helpers,
				"static inline void copy(unsigned char *to, const unsigned char *from, int64_t n)\n{\n"
				"\tif (n > 0) /* of nothing, the addresses may be NULL */\n\t\tmemcpy(to, from, "
				"(size_t)n);\n}\n");
		ftl_ce_line(e, "copy(%s, %s, %s);", ftl_ce_ref(e, i->a[0]), ftl_ce_ref(e, i->a[1]),
			    ftl_ce_ref(e, i->a[2]));
		return true;
	case FTL_K_zero:
		if (ftl_ce_once(e, "zero"))
			ftl_text_add(&e->helpers, "static inline void zero(unsigned char *p, int64_t n)\n{\n"
						  "\tif (n > 0)\n\t\tmemset(p, 0, (size_t)n);\n}\n");
		ftl_ce_line(e, "zero(%s, %s);", ftl_ce_ref(e, i->a[0]), ftl_ce_ref(e, i->a[1]));
		return true;
	case FTL_K_local:
		if (e->iso) /* no _Alignas; nothing but elements is accessed there */
			ftl_ce_line(e, "double s%u[%lld];", v, (long long)(i->imm + 7) / 8);
		else
			ftl_ce_line(e, "_Alignas(64) unsigned char s%u[%lld];", v, (long long)i->imm);
		ftl_ce_line(e, "unsigned char *const v%u = (unsigned char *)s%u;", v, v);
		return true;
	case FTL_K_addr:
		ftl_ce_line(e, "const int64_t v%u = (int64_t)(uintptr_t)%s;", v, ftl_ce_ref(e, i->a[0]));
		return true;
	case FTL_K_call: print_call(e, v, i); return true;
	case FTL_K_offset:
		ftl_ce_line(e, "unsigned char *const v%u = %s + %s;", v, ftl_ce_ref(e, i->a[0]),
			    ftl_ce_ref(e, i->a[1]));
		return true;
	default: return false;
	}
}
