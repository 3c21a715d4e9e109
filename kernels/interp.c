/* The interpreter: decoding functions to flat code, control, and the run of a module.
 *
 * The module has been verified. A fault of the code (an address outside its buffer) is reported with kernel and
 * instruction; a model that would run for ever is stopped by counting jumps back and pieces. */
#include "interp.h"

#include <stdio.h>

#include "kfold.h"
#include "ktext.h"

#define MAX_JUMPS (INT64_C(1) << 36) /* minutes */
#define MAX_REGISTERS (UINT64_C(1) << 30)

/* ---- errors ---- */

const ftl_icode *ftl_interp_fault(ftl_iframe *f, const ftl_icode *c, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	f->run->status = ftl_fail(f->run->d, FTL_ERR_MODEL, "internal: %s %s, %s %%%u (%s): %s",
				  f->f->is_main ? "program" : "kernel", f->f->name,
				  c->inst->type.elem ? "instruction" : "after", (unsigned)c->number,
				  ftl_kop_get(c->inst->op)->name, why);
	return NULL;
}

const ftl_icode *ftl_interp_message(ftl_iframe *f, int64_t n)
{
	const ftl_kmodule *m = f->run->m;

	if (n == 1)
		f->run->status = ftl_fail(f->run->d, FTL_ERR_MEMORY, "out of memory");
	else
		f->run->status = ftl_fail(f->run->d, FTL_ERR_MODEL, "%s%s%s", m->file ? m->file : "",
					  m->file ? ": " : "",
					  n > 0 && n < m->msgs.n ? m->msgs.v[n] : "the program failed");
	return NULL;
}

/* ---- control ---- */

#define FN(name) static const ftl_icode *name(ftl_iframe *f, const ftl_icode *c)

FN(end)
{
	FTL_UNUSED(f);
	FTL_UNUSED(c);
	return NULL;
}

static const ftl_icode *jump_back(ftl_iframe *f, const ftl_icode *c)
{
	if (--f->run->budget < 0) {
		f->run->status = ftl_fail(f->run->d, FTL_ERR_LIMIT, "the model runs too long: %s %s, loop after %%%u",
					  f->f->is_main ? "program" : "kernel", f->f->name, (unsigned)c->number);
		return NULL;
	}
	return f->code + c->to;
}

FN(for_begin)
{
	int64_t lo = *FTL_IREG(int64_t, c->a), hi = *FTL_IREG(int64_t, c->b);

	*FTL_IREG(int64_t, c->dst) = lo;
	return lo < hi ? c + 1 : f->code + c->to;
}

FN(for_next)
{
	int64_t *i = FTL_IREG(int64_t, c->dst), hi = *FTL_IREG(int64_t, c->b);

	/* i < hi, so the difference is in 1..2^64-1 */
	if ((uint64_t)hi - (uint64_t)*i <= (uint64_t)c->imm)
		return c + 1;
	*i += c->imm;
	return jump_back(f, c);
}

FN(jump_unless)
{
	return *FTL_IREG(uint8_t, c->a) ? c + 1 : f->code + c->to;
}

FN(jump_if)
{
	return *FTL_IREG(uint8_t, c->a) ? f->code + c->to : c + 1;
}

FN(jump)
{
	return f->code + c->to;
}

FN(check_kernel)
{
	if (!*FTL_IREG(uint8_t, c->a))
		f->run->error = c->imm;
	return c + 1;
}

FN(check_program)
{
	return *FTL_IREG(uint8_t, c->a) ? c + 1 : ftl_interp_message(f, c->imm);
}

/* Its address is in the register from the start. */
FN(local)
{
	FTL_UNUSED(f);
	return c + 1;
}

FN(grid)
{
	*FTL_IREG(int64_t, c->dst) = f->grid;
	return c + 1;
}

/* ---- decoding ---- */

struct decoder {
	ftl_irun *run;
	ftl_ifunc *fn;
	FTL_VEC(ftl_icode) code;
	FTL_VEC(uint32_t) breaks; /* jumps out of the loops around that wait for their target */
	uint32_t number;
};

static uint32_t place_of(const struct decoder *d, ftl_kv v)
{
	return d->fn->place[v];
}

static ftl_icode base_code(const struct decoder *d, ftl_kv v)
{
	const ftl_kinst *i = ftl_kinst_get(d->fn->f, v);
	ftl_ktype t = i->type;

	if (i->op == FTL_K_store || i->op == FTL_K_storen)
		t = ftl_ktype_of(d->fn->f, i->a[2]);
	return (ftl_icode){.dst = i->type.elem ? place_of(d, v) : place_of(d, i->a[3]),
			   .a = place_of(d, i->a[0]),
			   .b = place_of(d, i->a[1]),
			   .c = place_of(d, i->a[2]),
			   .lanes = t.lanes,
			   .size = t.elem ? (uint16_t)ftl_ielem_size(t.elem) : 0,
			   .imm = i->imm,
			   .inst = i,
			   .number = d->number};
}

static uint32_t put(struct decoder *d, ftl_icode c)
{
	ftl_vec_push(d->run->arena, &d->code, c);
	return d->code.n - 1;
}

/* extract, slice, bitcast, var, get and set all copy bytes between registers. */
static bool as_copy(struct decoder *d, ftl_icode *c)
{
	const ftl_kinst *i = c->inst;
	ftl_ktype t = i->type;

	switch ((ftl_kop)i->op) {
	case FTL_K_extract:
	case FTL_K_slice: c->a += (uint32_t)i->imm * ftl_ielem_size(t.elem); break;
	case FTL_K_set:
		t = ftl_ktype_of(d->fn->f, i->a[0]);
		c->dst = c->a;
		c->a = c->b;
		break;
	case FTL_K_bitcast:
	case FTL_K_var:
	case FTL_K_get: break;
	default: return false;
	}
	c->size = (uint16_t)(t.lanes * ftl_ielem_size(t.elem));
	c->fn = ftl_interp_copy(c->size);
	return true;
}

static ftl_ifn find_fn(struct decoder *d, const ftl_kinst *i)
{
	const ftl_kfunc *f = d->fn->f;
	ftl_ktype t = i->a[0] ? ftl_ktype_of(f, i->a[0]) : (ftl_ktype){0, 0};
	ftl_ifn fn;

	if (i->op == FTL_K_grid)
		return grid;
	if (i->op == FTL_K_local)
		return local;
	if (i->op == FTL_K_check)
		return f->is_main ? check_program : check_kernel;
	if (i->op == FTL_K_cast && t.elem == i->type.elem)
		return NULL;
	if (i->op == FTL_K_cast)
		return ftl_interp_cast(t.elem, i->type.elem);
	fn = ftl_interp_memory(f, i);
	if (!fn)
		fn = ftl_interp_move(i);
	if (!fn)
		fn = ftl_interp_program(i->op);
	return fn ? fn : ftl_interp_elementwise(i->op, t.elem);
}

static void decode_block(struct decoder *d, const ftl_kblock *b);

static void close_loop(struct decoder *d, uint32_t outer_breaks)
{
	for (; d->breaks.n > outer_breaks; d->breaks.n--)
		d->code.v[d->breaks.v[d->breaks.n - 1]].to = d->code.n;
}

static void decode_control(struct decoder *d, ftl_icode c)
{
	const ftl_kinst *i = c.inst;
	uint32_t outer = d->breaks.n, at, skip;

	switch ((ftl_kop)i->op) {
	case FTL_K_for:
		c.fn = for_begin;
		at = put(d, c);
		decode_block(d, i->body);
		c.fn = for_next;
		c.imm = ftl_kinst_get(d->fn->f, i->a[2])->imm;
		c.to = at + 1;
		put(d, c);
		d->code.v[at].to = d->code.n;
		close_loop(d, outer);
		break;
	case FTL_K_loop:
		c.fn = jump_back;
		c.to = d->code.n;
		decode_block(d, i->body);
		put(d, c);
		close_loop(d, outer);
		break;
	case FTL_K_if:
		c.fn = jump_unless;
		at = put(d, c);
		decode_block(d, i->body);
		if (i->els) {
			c.fn = jump;
			skip = put(d, c);
			d->code.v[at].to = d->code.n;
			decode_block(d, i->els);
			at = skip;
		}
		d->code.v[at].to = d->code.n;
		break;
	default: /* break */
		c.fn = jump_if;
		at = put(d, c);
		ftl_vec_push(d->run->arena, &d->breaks, at);
		break;
	}
}

static void decode_block(struct decoder *d, const ftl_kblock *b)
{
	for (uint32_t k = 0; k < b->insts.n; k++) {
		ftl_kv v = b->insts.v[k];
		const ftl_kinst *i = ftl_kinst_get(d->fn->f, v);
		ftl_icode c;

		d->number += i->type.elem != 0;
		c = base_code(d, v);
		if (i->op == FTL_K_for || i->op == FTL_K_loop || i->op == FTL_K_if || i->op == FTL_K_break) {
			decode_control(d, c);
			continue;
		}
		/* reductions read as many lanes as their operand has, comparisons make as many */
		if (i->a[0] && ftl_kop_get(i->op)->rule == K_RULE_OWN &&
		    ftl_ktype_of(d->fn->f, i->a[0]).elem < FTL_PTR &&
		    ftl_interp_elementwise(i->op, ftl_ktype_of(d->fn->f, i->a[0]).elem))
			c.lanes = ftl_ktype_of(d->fn->f, i->a[0]).lanes;
		if (!as_copy(d, &c))
			c.fn = find_fn(d, i);
		if (!c.fn) { /* a cast to the same type */
			c.size = (uint16_t)(c.size * c.lanes);
			c.fn = ftl_interp_copy(c.size);
		}
		put(d, c);
	}
}

/* The bytes a constant has in a register, one lane. */
static void const_bytes(ftl_dtype t, int64_t imm, uint8_t *p)
{
	double v = ftl_kfold_f64(imm);
	float s = (float)v;
	uint16_t h = t == FTL_F16 ? ftl_f32_to_f16(s) : ftl_f32_to_bf16(s);

	if (t == FTL_F32)
		memcpy(p, &s, sizeof s);
	else if (t == FTL_F16 || t == FTL_BF16)
		memcpy(p, &h, sizeof h);
	else
		memcpy(p, &imm, ftl_dtype_bytes(t)); /* f64 bits and little-endian integers */
}

/* Give every value its register and fill in what never changes. */
static bool make_registers(ftl_irun *r, ftl_ifunc *fn)
{
	const ftl_kfunc *f = fn->f;
	uint64_t next = 0;

	fn->place = FTL_NEW_N(r->arena, uint32_t, f->inst.n);
	for (ftl_kv v = 1; v < f->inst.n; v++) {
		const ftl_kinst *i = ftl_kinst_get(f, v);
		uint32_t bytes = i->type.elem ? i->type.lanes * ftl_ielem_size(i->type.elem) : 0;
		uint32_t align = bytes >= 64 ? 64 : 16;

		next = (next + align - 1) & ~(uint64_t)(align - 1);
		fn->place[v] = (uint32_t)next;
		next += bytes;
		if (next > MAX_REGISTERS) {
			r->status = ftl_fail(r->d, FTL_ERR_LIMIT, "function %s has too many values", f->name);
			return false;
		}
	}
	fn->reg = ftl_arena_alloc(r->arena, (size_t)next + 64);
	fn->reg = (uint8_t *)(((uintptr_t)fn->reg + 63) & ~(uintptr_t)63);
	for (ftl_kv v = 1; v < f->inst.n; v++) {
		const ftl_kinst *i = ftl_kinst_get(f, v);
		uint8_t *p = fn->reg + fn->place[v];

		if (i->op == FTL_K_workspace)
			memcpy(p, &(ftl_iptr){.region = &r->workspace}, sizeof(ftl_iptr));
		if (i->op == FTL_K_local) {
			ftl_iregion *mem = FTL_NEW(r->arena, ftl_iregion);

			*mem = (ftl_iregion){
				.base = ftl_arena_alloc(r->arena, (size_t)i->imm), .size = i->imm, .writable = true};
			memcpy(p, &(ftl_iptr){.region = mem}, sizeof(ftl_iptr));
		}
		for (unsigned l = 0; i->op == FTL_K_const && l < i->type.lanes; l++)
			const_bytes(i->type.elem, i->imm, p + l * ftl_ielem_size(i->type.elem));
	}
	return true;
}

ftl_ifunc *ftl_interp_decode(ftl_irun *r, const ftl_kfunc *f)
{
	ftl_ifunc *fn = FTL_NEW(r->arena, ftl_ifunc);
	struct decoder d = {.run = r, .fn = fn, .number = f->params.n};

	fn->f = f;
	if (!make_registers(r, fn))
		return NULL;
	decode_block(&d, &f->body);
	put(&d, (ftl_icode){.fn = end, .inst = ftl_kinst_get(f, 0)});
	fn->code = d.code.v;
	return fn;
}

bool ftl_interp_exec(ftl_iframe *f)
{
	const ftl_icode *c = f->code;

	do
		c = c->fn(f, c);
	while (c);
	return f->run->status == FTL_OK;
}

/* ---- a run ---- */

/* Run a program function; its result is a message number unless it is `size`, which gives bytes or -message. */
static bool run_program(ftl_irun *r, ftl_ifunc *fn, int64_t *result)
{
	ftl_iframe f;

	if (!fn)
		return false;
	f = (ftl_iframe){.reg = fn->reg, .code = fn->code, .run = r, .f = fn->f};
	*result = 0;
	if (!ftl_interp_exec(&f))
		return false;
	if (fn->f->result)
		memcpy(result, fn->reg + fn->place[fn->f->result], sizeof *result);
	if (fn == r->main ? *result != 0 : *result < 0) {
		ftl_interp_message(&f, fn == r->main ? *result : -*result);
		return false;
	}
	return true;
}

static ftl_iregion *read_only_region(ftl_iregion *r, const void *data, size_t bytes)
{
	*r = (ftl_iregion){.base = (uint8_t *)data, .size = (int64_t)bytes}; /* never written through: not writable */
	return r;
}

/* Strings outlive the run, as its results do. */
static void *string_chunk(void *run, size_t bytes)
{
	return ftl_arena_alloc(((ftl_irun *)run)->arena, bytes);
}

static void set_up(ftl_irun *r)
{
	const ftl_kmodule *m = r->m;

	r->inputs = FTL_NEW_N(r->arena, ftl_iregion, (size_t)m->inputs.n + 1);
	r->outputs = FTL_NEW_N(r->arena, ftl_iregion, (size_t)m->outputs.n + 1);
	r->blobs = FTL_NEW_N(r->arena, ftl_iregion, (size_t)m->blobs.n + 1);
	r->bufs = FTL_NEW_N(r->arena, ftl_iregion *, (size_t)m->bufs.n + 1);
	r->kernels = FTL_NEW_N(r->arena, ftl_ifunc *, (size_t)m->kernels.n + 1);
	for (uint32_t k = 0; k < m->inputs.n; k++)
		read_only_region(&r->inputs[k], r->in[k].data, r->in[k].data ? r->in[k].bytes : 0);
	for (uint32_t k = 0; k < m->blobs.n; k++)
		read_only_region(&r->blobs[k], m->blobs.v[k]->data, m->blobs.v[k]->bytes);
	r->heap = ftl_iheap_new(r->arena);
	ftl_string_memory_init(&r->strings, string_chunk, r);
}

static void run_module(ftl_irun *r)
{
	int64_t bytes = 0, done;

	if (r->m->size) {
		ftl_iregion *w;

		if (!run_program(r, ftl_interp_decode(r, r->m->size), &bytes))
			return;
		w = ftl_interp_alloc(r, bytes);
		if (!w)
			return;
		w->heap = false;
		r->workspace = *w;
	}
	r->main = ftl_interp_decode(r, r->m->main);
	if (r->main && !run_program(r, r->main, &done) && r->status == FTL_OK)
		r->status = FTL_ERR_MODEL;
}

ftl_status ftl_kmodule_interpret_bounded(const ftl_kmodule *m, ftl_arena *arena, const ftl_karg_tensor *in,
					 ftl_karg_tensor *out, int64_t max_jumps, ftl_diag *d)
{
	ftl_irun run = {.m = m, .arena = arena, .d = d, .in = in, .out = out, .budget = max_jumps};

	set_up(&run);
	run_module(&run);
	ftl_iheap_clear(run.heap);
	return run.status;
}

ftl_status ftl_kmodule_interpret(const ftl_kmodule *m, ftl_arena *arena, const ftl_karg_tensor *in,
				 ftl_karg_tensor *out, ftl_diag *d)
{
	return ftl_kmodule_interpret_bounded(m, arena, in, out, MAX_JUMPS, d);
}
