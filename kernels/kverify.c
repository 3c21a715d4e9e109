/* The verifier of kernel IR: what every pass and every backend may take for granted.
 *
 * Types follow each op's rule, definitions come before uses in a block that encloses them, variables are touched by
 * get and set only, indices into the module's tables are in range, control is well formed, and each function uses only
 * what its kind may use. Linear in the size of the module; bounded recursion, so it is safe on parsed text. */
#include <stdio.h>

#include "kernels/kir.h"
#include "kfold.h"
#include "ktext.h"

struct verifier {
	const ftl_kmodule *m;
	const ftl_kfunc *f;
	ftl_diag *d;
	bool is_size;
	bool *placed;    /* is in some block */
	bool *visible;   /* may be used here */
	uint32_t number; /* of the latest instruction with a value, as text has it */
	int64_t local;   /* bytes of locals so far */
};

#define FAIL(...) return fail(c, i, __VA_ARGS__)

__attribute__((format(printf, 3, 4))) static ftl_status fail(const struct verifier *c, const ftl_kinst *i,
							     const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	return ftl_fail(c->d, FTL_ERR_MODEL, "%s: kernel module: function @%s, %s %%%u (%s): %s",
			c->m->file ? c->m->file : c->m->name, c->f->name, i->type.elem ? "instruction" : "after",
			(unsigned)c->number, ftl_kop_get(i->op)->name, why);
}

static bool type_eq(ftl_ktype a, ftl_ktype b)
{
	return a.elem == b.elem && a.lanes == b.lanes;
}

static bool lanes_ok(unsigned n)
{
	return n >= 1 && n <= FTL_MAX_LANES && (n & (n - 1)) == 0;
}

static bool value_type_ok(ftl_ktype t)
{
	if (t.elem == FTL_PTR)
		return t.lanes == 1;
	/* low element types and strings are those of inputs and outputs alone: code has their bytes, and i64 */
	return t.elem > FTL_NO_DTYPE && t.elem < FTL_PTR && ftl_dtype_mem(t.elem) == (ftl_dtype)t.elem &&
	       lanes_ok(t.lanes);
}

enum { INT = 1, FLOAT = 2, BOOLS = 4, HALF = 8, PTRS = 16 };

static unsigned class_of(uint8_t elem)
{
	if (elem == FTL_PTR)
		return PTRS;
	if (elem == FTL_BOOL)
		return BOOLS;
	if (elem == FTL_F16 || elem == FTL_BF16)
		return HALF;
	return ftl_dtype_is_float(elem) ? FLOAT : INT;
}

/* Element types an op with rule SAME or CMP works on. */
static unsigned allowed(ftl_kop op)
{
	switch (op) {
	case FTL_K_add:
	case FTL_K_sub:
	case FTL_K_mul:
	case FTL_K_div:
	case FTL_K_rem:
	case FTL_K_min:
	case FTL_K_max:
	case FTL_K_fma:
	case FTL_K_neg:
	case FTL_K_abs:
	case FTL_K_lt:
	case FTL_K_le: return INT | FLOAT;
	case FTL_K_and:
	case FTL_K_or:
	case FTL_K_xor:
	case FTL_K_not: return INT | BOOLS;
	case FTL_K_shl:
	case FTL_K_shr:
	case FTL_K_popcount: return INT;
	case FTL_K_eq:
	case FTL_K_ne: return INT | FLOAT | BOOLS;
	default: return FLOAT;
	}
}

static ftl_status use(const struct verifier *c, const ftl_kinst *i, ftl_kv v)
{
	const ftl_kinst *o;

	if (v == 0 || v >= c->f->inst.n)
		FAIL("operand %u does not exist", (unsigned)v);
	o = ftl_kinst_get(c->f, v);
	switch ((ftl_kop)o->op) {
	case FTL_K_const:
		if (!value_type_ok(o->type) || o->type.elem == FTL_PTR)
			FAIL("a constant has a bad type");
		if (ftl_dtype_is_float(o->type.elem) ? o->imm != ftl_kfold_float(o->type.elem, ftl_kfold_f64(o->imm))
						     : o->imm != ftl_kfold_wrap(o->type.elem, (uint64_t)o->imm))
			FAIL("a constant is not a value of type %s", ftl_dtype_name(o->type.elem));
		return FTL_OK;
	case FTL_K_param:
		if (o->imm < 0 || o->imm >= c->f->params.n || c->f->params.v[o->imm].value != v)
			FAIL("uses a parameter that the function does not have");
		return FTL_OK;
	case FTL_K_workspace:
		if (!c->f->is_main || c->is_size || !type_eq(o->type, FTL_KT_PTR))
			FAIL("the workspace can only be used in main");
		return FTL_OK;
	default: break;
	}
	if (!c->visible[v])
		FAIL("an operand (%s) is not defined before it, in a block around it", ftl_kop_get(o->op)->name);
	if (o->op == FTL_K_var && !(i->op == FTL_K_get || (i->op == FTL_K_set && i->a[0] == v && i->a[1] != v)))
		FAIL("a variable can only be used by get and set");
	if (!o->type.elem)
		FAIL("an operand (%s) has no value", ftl_kop_get(o->op)->name);
	return FTL_OK;
}

static ftl_status want(const struct verifier *c, const ftl_kinst *i, int k, ftl_ktype t)
{
	if (!type_eq(ftl_ktype_of(c->f, i->a[k]), t))
		FAIL("operand %d has the wrong type", k + 1);
	return FTL_OK;
}

static ftl_status want_result(const struct verifier *c, const ftl_kinst *i, ftl_ktype t)
{
	if (!type_eq(i->type, t))
		FAIL("has the wrong result type");
	return FTL_OK;
}

static ftl_status in_range(const struct verifier *c, const ftl_kinst *i, int64_t v, uint32_t n, const char *what)
{
	if (v < 0 || v >= n)
		FAIL("there is no %s %lld", what, (long long)v);
	return FTL_OK;
}

static ftl_status io_axis(const struct verifier *c, const ftl_kinst *i, uint32_t n, const ftl_kio *io, const char *what)
{
	FTL_TRY(in_range(c, i, i->imm < 0 ? -1 : i->imm / 64, n, what));
	if (i->imm % 64 >= io[i->imm / 64].type.rank)
		FAIL("%s %lld has no axis %d", what, (long long)(i->imm / 64), (int)(i->imm % 64));
	return FTL_OK;
}

static ftl_status verify_memory(const struct verifier *c, const ftl_kinst *i)
{
	bool load = i->op == FTL_K_load || i->op == FTL_K_loadn;
	bool part = i->op == FTL_K_loadn || i->op == FTL_K_storen;
	ftl_ktype value = load ? i->type : ftl_ktype_of(c->f, i->a[2]);
	ftl_ktype index = ftl_ktype_of(c->f, i->a[1]);

	FTL_TRY(want(c, i, 0, FTL_KT_PTR));
	if (value.elem == FTL_PTR)
		FAIL("addresses cannot be in memory");
	if (index.elem != FTL_I64 || (index.lanes != 1 && (part || index.lanes != value.lanes)))
		FAIL("operand 2 is not a good index");
	if (part)
		FTL_TRY(want(c, i, load ? 2 : 3, FTL_KT_I64));
	return FTL_OK;
}

static ftl_status verify_launch(const struct verifier *c, const ftl_kinst *i)
{
	const ftl_kfunc *k;

	FTL_TRY(in_range(c, i, i->imm, c->m->kernels.n, "kernel"));
	k = c->m->kernels.v[i->imm];
	if (i->nextra != k->params.n + 1)
		FAIL("@%s has %u parameters, not %u", k->name, k->params.n, i->nextra - 1);
	for (uint32_t j = 0; j < i->nextra; j++) {
		ftl_ktype t = ftl_ktype_of(c->f, i->extra[j]);

		if (!type_eq(t, j ? k->params.v[j - 1].type : FTL_KT_I64))
			FAIL("argument %u of @%s has the wrong type", j, k->name);
	}
	return FTL_OK;
}

/* Conversions and lane shuffles. */
static ftl_status verify_lanes(const struct verifier *c, const ftl_kinst *i)
{
	ftl_ktype x = ftl_ktype_of(c->f, i->a[0]), t = i->type;
	int lane = (int)i->imm;

	if (t.elem == FTL_PTR)
		FAIL("does not work on addresses");
	if (i->op != FTL_K_cast && i->op != FTL_K_bitcast && i->op != FTL_K_splat && class_of(t.elem) == HALF)
		FAIL("16-bit floats can only be loaded, stored and cast");
	switch ((ftl_kop)i->op) {
	case FTL_K_cast:
		if (x.elem >= FTL_PTR || x.lanes != t.lanes)
			FAIL("cannot convert its operand");
		return FTL_OK;
	case FTL_K_bitcast:
		if (x.elem >= FTL_PTR || x.lanes != t.lanes || x.elem == FTL_BOOL || t.elem == FTL_BOOL ||
		    ftl_dtype_bits(x.elem) != ftl_dtype_bits(t.elem))
			FAIL("cannot convert its operand");
		return FTL_OK;
	case FTL_K_splat: return want(c, i, 0, FTL_KT(t.elem, 1));
	case FTL_K_ramp:
		if (t.elem != FTL_I64)
			FAIL("a ramp is i64");
		FTL_TRY(want(c, i, 0, FTL_KT_I64));
		return want(c, i, 1, FTL_KT_I64);
	case FTL_K_extract:
		FTL_TRY(in_range(c, i, i->imm, x.lanes, "lane"));
		return want_result(c, i, FTL_KT(x.elem, 1));
	case FTL_K_insert:
		FTL_TRY(in_range(c, i, i->imm, x.lanes, "lane"));
		FTL_TRY(want(c, i, 1, FTL_KT(x.elem, 1)));
		return want_result(c, i, x);
	case FTL_K_slice:
		FTL_TRY(in_range(c, i, i->imm, x.lanes, "lane"));
		if (t.elem != x.elem || lane + t.lanes > x.lanes)
			FAIL("reads lanes its operand does not have");
		return FTL_OK;
	case FTL_K_join: FTL_TRY(want(c, i, 1, x)); return want_result(c, i, FTL_KT(x.elem, 2 * x.lanes));
	case FTL_K_dot4:
		FTL_TRY(want(c, i, 0, t));
		if (t.elem != FTL_I32 || 4 * t.lanes > FTL_MAX_LANES)
			FAIL("has the wrong result type");
		FTL_TRY(want(c, i, 1, FTL_KT(FTL_U8, 4 * t.lanes)));
		return want(c, i, 2, FTL_KT(FTL_I8, 4 * t.lanes));
	default: /* reduce_* */
		if (!(class_of(x.elem) & (INT | FLOAT)))
			FAIL("does not work on this element type");
		return want_result(c, i, FTL_KT(x.elem, 1));
	}
}

static ftl_status verify_control(const struct verifier *c, const ftl_kinst *i, int loops)
{
	int64_t step;

	switch ((ftl_kop)i->op) {
	case FTL_K_for:
		for (int k = 0; k < 3; k++)
			FTL_TRY(want(c, i, k, FTL_KT_I64));
		step = ftl_kinst_get(c->f, i->a[2])->imm;
		if (ftl_kinst_get(c->f, i->a[2])->op != FTL_K_const || step <= 0)
			FAIL("the step is not a positive constant");
		if (i->imm != FTL_LOOP_SERIAL && i->imm != FTL_LOOP_UNROLL)
			FAIL("has an unknown kind");
		FTL_TRY(want_result(c, i, FTL_KT_I64));
		break;
	case FTL_K_if: FTL_TRY(want(c, i, 0, FTL_KT_BOOL)); break;
	case FTL_K_break:
		FTL_TRY(want(c, i, 0, FTL_KT_BOOL));
		if (!loops)
			FAIL("is in no loop");
		break;
	case FTL_K_check:
		FTL_TRY(want(c, i, 0, FTL_KT_BOOL));
		FTL_TRY(in_range(c, i, i->imm, c->m->msgs.n, "message"));
		if (i->imm == 0)
			FAIL("message 0 means that all is well");
		break;
	default: break;
	}
	if ((i->body != NULL) != (i->op == FTL_K_for || i->op == FTL_K_if || i->op == FTL_K_loop) ||
	    (i->els && i->op != FTL_K_if))
		FAIL("has the wrong blocks");
	return FTL_OK;
}

static ftl_status verify_own(const struct verifier *c, const ftl_kinst *i)
{
	const ftl_kmodule *m = c->m;
	ftl_ktype x;

	switch ((ftl_kop)i->op) {
	case FTL_K_const:
	case FTL_K_param:
	case FTL_K_workspace: FAIL("belongs to no block");
	case FTL_K_grid: return want_result(c, i, FTL_KT_I64);
	case FTL_K_select:
		FTL_TRY(want(c, i, 0, FTL_KT(FTL_BOOL, i->type.lanes)));
		FTL_TRY(want(c, i, 1, i->type));
		if (class_of(i->type.elem) == HALF)
			FAIL("16-bit floats can only be loaded, stored and cast");
		return want(c, i, 2, i->type);
	case FTL_K_load:
	case FTL_K_store:
	case FTL_K_loadn:
	case FTL_K_storen: return verify_memory(c, i);
	case FTL_K_prefetch:
	case FTL_K_zero:
	case FTL_K_offset:
		FTL_TRY(want(c, i, 0, FTL_KT_PTR));
		FTL_TRY(want(c, i, 1, FTL_KT_I64));
		return i->op == FTL_K_offset ? want_result(c, i, FTL_KT_PTR) : FTL_OK;
	case FTL_K_copy:
		FTL_TRY(want(c, i, 0, FTL_KT_PTR));
		FTL_TRY(want(c, i, 1, FTL_KT_PTR));
		return want(c, i, 2, FTL_KT_I64);
	case FTL_K_addr: FTL_TRY(want(c, i, 0, FTL_KT_PTR)); return want_result(c, i, FTL_KT_I64);
	case FTL_K_call:
		FTL_TRY(in_range(c, i, i->imm, FTL_STRING_CALLS, "function"));
		for (int k = 0; k < 3; k++)
			FTL_TRY(want(c, i, k, FTL_KT_I64));
		return want_result(c, i, FTL_KT_I64);
	case FTL_K_var: return want(c, i, 0, i->type);
	case FTL_K_get:
	case FTL_K_set:
		if (ftl_kinst_get(c->f, i->a[0])->op != FTL_K_var)
			FAIL("operand 1 is not a variable");
		x = ftl_ktype_of(c->f, i->a[0]);
		return i->op == FTL_K_get ? want_result(c, i, x) : want(c, i, 1, x);
	case FTL_K_in_ptr: FTL_TRY(in_range(c, i, i->imm, m->inputs.n, "input")); return want_result(c, i, FTL_KT_PTR);
	case FTL_K_in_dim:
		FTL_TRY(io_axis(c, i, m->inputs.n, m->inputs.v, "input"));
		return want_result(c, i, FTL_KT_I64);
	case FTL_K_out_ptr:
		FTL_TRY(in_range(c, i, i->imm, m->outputs.n, "output"));
		FTL_TRY(want(c, i, 0, FTL_KT_I64));
		return want_result(c, i, FTL_KT_PTR);
	case FTL_K_out_dim:
		FTL_TRY(io_axis(c, i, m->outputs.n, m->outputs.v, "output"));
		return want(c, i, 0, FTL_KT_I64);
	case FTL_K_blob: FTL_TRY(in_range(c, i, i->imm, m->blobs.n, "blob")); return want_result(c, i, FTL_KT_PTR);
	case FTL_K_local:
		if (i->imm <= 0 || i->imm > FTL_MAX_LOCAL)
			FAIL("%lld bytes: must be 1 to %d", (long long)i->imm, FTL_MAX_LOCAL);
		return want_result(c, i, FTL_KT_PTR);
	case FTL_K_buf: FTL_TRY(in_range(c, i, i->imm, m->bufs.n, "buffer")); return want_result(c, i, FTL_KT_PTR);
	case FTL_K_alloc: FTL_TRY(want(c, i, 0, FTL_KT_I64)); return want_result(c, i, FTL_KT_PTR);
	case FTL_K_free: return want(c, i, 0, FTL_KT_PTR);
	case FTL_K_launch: return verify_launch(c, i);
	case FTL_K_for:
	case FTL_K_if:
	case FTL_K_loop:
	case FTL_K_break:
	case FTL_K_check: return FTL_OK; /* verify_control */
	default: return verify_lanes(c, i);
	}
}

static ftl_status verify_inst(const struct verifier *c, const ftl_kinst *i, int loops)
{
	const ftl_kop_info *info = ftl_kop_get(i->op);
	int nargs = info->nargs < 0 ? 0 : info->nargs;

	if (i->op == FTL_K_NONE || i->op >= FTL_K_COUNT)
		FAIL("unknown instruction %d", i->op);
	if ((info->flags & K_MAIN) && !c->f->is_main)
		FAIL("can only be in the program");
	if ((info->flags & K_KERN) && c->f->is_main)
		FAIL("can only be in a kernel");
	if (c->is_size && i->op != FTL_K_in_dim && !(info->flags & K_PURE) && i->op != FTL_K_var &&
	    i->op != FTL_K_get && i->op != FTL_K_set && i->op != FTL_K_if && i->op != FTL_K_for && i->op != FTL_K_check)
		FAIL("has no place in the size function");
	if (i->type.elem ? !value_type_ok(i->type) || info->rule == K_RULE_NONE : info->rule != K_RULE_NONE)
		FAIL("has the wrong result type");
	for (int k = 0; k < 4; k++) {
		if (k < nargs)
			FTL_TRY(use(c, i, i->a[k]));
		else if (i->a[k])
			FAIL("has too many operands");
	}
	if (info->nargs < 0 ? i->nextra == 0 : i->nextra != 0)
		FAIL("has the wrong number of operands");
	for (uint32_t k = 0; k < i->nextra; k++)
		FTL_TRY(use(c, i, i->extra[k]));
	FTL_TRY(verify_control(c, i, loops));
	if (info->rule == K_RULE_SAME || info->rule == K_RULE_CMP) {
		ftl_ktype t = ftl_ktype_of(c->f, i->a[0]);

		if (!(class_of(t.elem) & allowed(i->op)))
			FAIL("does not work on this element type");
		for (int k = 1; k < nargs; k++)
			FTL_TRY(want(c, i, k, t));
		return want_result(c, i, info->rule == K_RULE_SAME ? t : FTL_KT(FTL_BOOL, t.lanes));
	}
	return verify_own(c, i);
}

/* loops: how many loops are around. last: for the top block, what must be visible at its end. */
static ftl_status verify_block(struct verifier *c, const ftl_kblock *b, int depth, int loops, ftl_kv last)
{
	const ftl_kinst *i = &c->f->inst.v[0];

	if (depth > FTL_K_MAX_NEST)
		FAIL("blocks are nested too deeply");
	for (uint32_t k = 0; k < b->insts.n; k++) {
		ftl_kv v = b->insts.v[k];
		bool inner;

		i = &c->f->inst.v[0];
		if (v == 0 || v >= c->f->inst.n)
			FAIL("a block holds an instruction that does not exist");
		i = ftl_kinst_get(c->f, v);
		c->number += i->type.elem != 0;
		if (c->placed[v])
			FAIL("is in the code twice");
		c->placed[v] = true;
		if (i->op == FTL_K_local) {
			if (depth > 0)
				FAIL("locals belong to the outermost block");
			c->local += i->imm > 0 && i->imm <= FTL_MAX_LOCAL ? i->imm : 0;
			if (c->local > FTL_MAX_LOCAL)
				FAIL("the locals of a kernel may have %d bytes together", FTL_MAX_LOCAL);
		}
		FTL_TRY(verify_inst(c, i, loops));
		c->visible[v] = true;
		inner = i->op == FTL_K_for || i->op == FTL_K_loop;
		if (i->body)
			FTL_TRY(verify_block(c, i->body, depth + 1, loops + inner, 0));
		if (i->els)
			FTL_TRY(verify_block(c, i->els, depth + 1, loops, 0));
		if (i->body)
			c->visible[v] = false;
	}
	if (last) {
		i = &c->f->inst.v[0];
		FTL_TRY(use(c, i, last));
		if (!type_eq(ftl_ktype_of(c->f, last), FTL_KT_I64))
			FAIL("the function's result is not an i64");
	}
	for (uint32_t k = 0; k < b->insts.n; k++)
		c->visible[b->insts.v[k]] = false;
	return FTL_OK;
}

static ftl_status verify_func(const ftl_kmodule *m, const ftl_kfunc *f, bool program, ftl_diag *d)
{
	struct verifier v = {.m = m, .f = f, .d = d, .is_size = f == m->size}, *c = &v;
	const ftl_kinst *i = &f->inst.v[0];

	v.placed = FTL_NEW_N(f->arena, bool, f->inst.n);
	v.visible = FTL_NEW_N(f->arena, bool, f->inst.n);
	v.number = f->params.n;
	if (f->is_main != program)
		FAIL("is of the wrong kind");
	if ((program && f->params.n) || (!program && f->result))
		FAIL("program functions have no parameters, kernels no result");
	for (uint32_t k = 0; k < f->params.n; k++) {
		const ftl_kparam *p = &f->params.v[k];

		if (!type_eq(p->type, FTL_KT_PTR) && !type_eq(p->type, FTL_KT_I64))
			FAIL("parameter %u is neither ptr nor i64", k);
		if (p->value == 0 || p->value >= f->inst.n || ftl_kinst_get(f, p->value)->op != FTL_K_param ||
		    ftl_kinst_get(f, p->value)->imm != k || !type_eq(ftl_ktype_of(f, p->value), p->type))
			FAIL("parameter %u does not match its instruction", k);
	}
	return verify_block(c, &f->body, 0, 0, f->result);
}

static bool is_identifier(const char *s)
{
	if (!*s || (*s >= '0' && *s <= '9'))
		return false;
	for (; *s; s++) {
		if (*s != '_' && !(*s >= '0' && *s <= '9') && !(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z'))
			return false;
	}
	return true;
}

static ftl_status verify_names(const ftl_kmodule *m, ftl_diag *d)
{
	const char *file = m->file ? m->file : m->name;
	ftl_map *names = ftl_map_new(m->arena);

	for (uint32_t k = 0; k < m->kernels.n; k++) {
		const ftl_kfunc *f = m->kernels.v[k];

		if (!is_identifier(f->name))
			return ftl_fail(d, FTL_ERR_MODEL,
					"%s: kernel module: kernel %u has a name that is no identifier", file, k);
		if (strchr(f->note, '\n'))
			return ftl_fail(d, FTL_ERR_MODEL, "%s: kernel module: the note of @%s has a line break", file,
					f->name);
		if (ftl_map_get(names, f->name))
			return ftl_fail(d, FTL_ERR_MODEL, "%s: kernel module: two kernels are named @%s", file,
					f->name);
		ftl_map_set(names, f->name, m->kernels.v[k]);
	}
	return FTL_OK;
}

ftl_status ftl_kmodule_verify(const ftl_kmodule *m, ftl_diag *d)
{
	const char *file = m->file ? m->file : m->name;

	if (!m->main)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: kernel module: there is no main", file);
	FTL_TRY(verify_names(m, d));
	for (uint32_t k = 0; k < m->kernels.n; k++)
		FTL_TRY(verify_func(m, m->kernels.v[k], false, d));
	FTL_TRY(verify_func(m, m->main, true, d));
	if (m->size)
		FTL_TRY(verify_func(m, m->size, true, d));
	for (uint32_t k = 0; k < m->syms.n; k++) {
		ftl_kv v = m->syms.v[k].var;

		if (v == 0 || v >= m->main->inst.n || ftl_kinst_get(m->main, v)->op != FTL_K_var ||
		    !type_eq(ftl_ktype_of(m->main, v), FTL_KT_I64))
			return ftl_fail(d, FTL_ERR_MODEL, "%s: kernel module: symbol %u is no i64 variable of main",
					file, k);
	}
	for (uint32_t k = 0; k < m->bufs.n; k++) {
		if (m->bufs.v[k].bytes == FTL_DIM_NONE)
			return ftl_fail(d, FTL_ERR_MODEL, "%s: kernel module: buffer %u has no size", file, k);
	}
	return FTL_OK;
}
