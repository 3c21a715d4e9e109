/* The builder, third part: memory, variables, control and the program's instructions. */
#include <assert.h>

#include "kbuild.h"

static ftl_ktype type_of(const ftl_kb *b, ftl_kv v)
{
	assert(v && v < b->f->inst.n);
	return ftl_ktype_of(b->f, v);
}

static bool const_is(const ftl_kb *b, ftl_kv v, int64_t want)
{
	int64_t c;

	return ftl_k_is_const(b, v, &c) && c == want;
}

static bool is(const ftl_kb *b, ftl_kv v, ftl_ktype t)
{
	ftl_ktype x = type_of(b, v);

	return x.elem == t.elem && x.lanes == t.lanes;
}

/* ---- memory ---- */

ftl_kv ftl_k_load(ftl_kb *b, ftl_dtype mem, ftl_kv ptr, ftl_kv index, int lanes)
{
	ftl_ktype it = type_of(b, index);
	ftl_kv base, stride;

	assert(is(b, ptr, FTL_KT_PTR) && it.elem == FTL_I64);
	if (it.lanes > 1) {
		lanes = it.lanes;
		if (ftl_kb_pieces(b, index, &base, &stride)) {
			if (const_is(b, stride, 0))
				return ftl_k_splat(b, ftl_k_load(b, mem, ptr, base, 1), lanes);
			if (const_is(b, stride, 1))
				index = base;
		}
	}
	assert(lanes >= 1 && lanes <= FTL_MAX_LANES);
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_load, .type = FTL_KT(mem, lanes), .a = {ptr, index}});
}

void ftl_k_store(ftl_kb *b, ftl_kv ptr, ftl_kv index, ftl_kv value)
{
	ftl_ktype it = type_of(b, index);
	ftl_kv base, stride;

	assert(is(b, ptr, FTL_KT_PTR) && it.elem == FTL_I64 && type_of(b, value).elem < FTL_PTR);
	if (it.lanes > 1) {
		value = ftl_k_splat(b, value, it.lanes);
		if (ftl_kb_pieces(b, index, &base, &stride)) {
			if (const_is(b, stride, 0)) {
				/* all lanes to one place: the last one stays */
				value = ftl_k_extract(b, value, it.lanes - 1);
				index = base;
			} else if (const_is(b, stride, 1)) {
				index = base;
			}
		}
	}
	ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_store, .a = {ptr, index, value}});
}

/* Partial accesses are contiguous: a scalar index, or a ramp of stride 1. */
static ftl_kv first_index(ftl_kb *b, ftl_kv index)
{
	ftl_kv base = index, stride = 0;

	if (type_of(b, index).lanes > 1) {
		bool ok = ftl_kb_pieces(b, index, &base, &stride) && const_is(b, stride, 1);

		assert(ok);
		FTL_UNUSED(ok);
	}
	return base;
}

ftl_kv ftl_k_loadn(ftl_kb *b, ftl_dtype mem, ftl_kv ptr, ftl_kv index, ftl_kv count, int lanes)
{
	assert(is(b, ptr, FTL_KT_PTR) && is(b, count, FTL_KT_I64));
	index = first_index(b, index);
	if (const_is(b, count, lanes))
		return ftl_k_load(b, mem, ptr, index, lanes);
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_loadn, .type = FTL_KT(mem, lanes), .a = {ptr, index, count}});
}

ftl_kv ftl_k_addr(ftl_kb *b, ftl_kv ptr)
{
	assert(is(b, ptr, FTL_KT_PTR));
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_addr, .type = FTL_KT_I64, .a = {ptr}});
}

ftl_kv ftl_k_call(ftl_kb *b, ftl_string_call fn, ftl_kv x, ftl_kv y, ftl_kv z)
{
	ftl_kv none = ftl_k_i64(b, 0);

	assert(is(b, x, FTL_KT_I64) && (!y || is(b, y, FTL_KT_I64)) && (!z || is(b, z, FTL_KT_I64)));
	return ftl_kb_pure(
		b, (ftl_kinst){.op = FTL_K_call, .type = FTL_KT_I64, .a = {x, y ? y : none, z ? z : none}, .imm = fn});
}

void ftl_k_storen(ftl_kb *b, ftl_kv ptr, ftl_kv index, ftl_kv value, ftl_kv count)
{
	assert(is(b, ptr, FTL_KT_PTR) && is(b, count, FTL_KT_I64));
	if (type_of(b, index).lanes > 1)
		value = ftl_k_splat(b, value, type_of(b, index).lanes);
	index = first_index(b, index);
	if (const_is(b, count, type_of(b, value).lanes))
		ftl_k_store(b, ptr, index, value);
	else if (!const_is(b, count, 0))
		ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_storen, .a = {ptr, index, value, count}});
}

void ftl_k_prefetch(ftl_kb *b, ftl_kv ptr, ftl_kv byte)
{
	assert(is(b, ptr, FTL_KT_PTR) && is(b, byte, FTL_KT_I64));
	ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_prefetch, .a = {ptr, byte}});
}

void ftl_k_copy(ftl_kb *b, ftl_kv dst, ftl_kv src, ftl_kv bytes)
{
	assert(is(b, dst, FTL_KT_PTR) && is(b, src, FTL_KT_PTR) && is(b, bytes, FTL_KT_I64));
	if (!const_is(b, bytes, 0))
		ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_copy, .a = {dst, src, bytes}});
}

void ftl_k_zero(ftl_kb *b, ftl_kv ptr, ftl_kv bytes)
{
	assert(is(b, ptr, FTL_KT_PTR) && is(b, bytes, FTL_KT_I64));
	if (!const_is(b, bytes, 0))
		ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_zero, .a = {ptr, bytes}});
}

ftl_kv ftl_k_offset(ftl_kb *b, ftl_kv ptr, ftl_kv bytes)
{
	const ftl_kinst *i = ftl_kinst_get(b->f, ptr);

	assert(is(b, ptr, FTL_KT_PTR) && is(b, bytes, FTL_KT_I64));
	if (const_is(b, bytes, 0))
		return ptr;
	if (i->op == FTL_K_offset) {
		ptr = i->a[0];
		bytes = ftl_k2(b, FTL_K_add, i->a[1], bytes);
	}
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_offset, .type = FTL_KT_PTR, .a = {ptr, bytes}});
}

/* ---- variables ---- */

ftl_kv ftl_k_var(ftl_kb *b, ftl_kv init)
{
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_var, .type = type_of(b, init), .a = {init}});
}

ftl_kv ftl_k_get(ftl_kb *b, ftl_kv var)
{
	assert(ftl_kinst_get(b->f, var)->op == FTL_K_var);
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_get, .type = type_of(b, var), .a = {var}});
}

void ftl_k_set(ftl_kb *b, ftl_kv var, ftl_kv value)
{
	ftl_ktype t = type_of(b, var);

	assert(ftl_kinst_get(b->f, var)->op == FTL_K_var && type_of(b, value).elem == t.elem);
	ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_set, .a = {var, ftl_k_splat(b, value, t.lanes)}});
}

/* ---- control ---- */

void ftl_k_check(ftl_kb *b, ftl_kv cond, int64_t msg)
{
	assert(is(b, cond, FTL_KT_BOOL));
	if (!const_is(b, cond, 1))
		ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_check, .a = {cond}, .imm = msg});
}

void ftl_k_break(ftl_kb *b, ftl_kv cond)
{
	assert(is(b, cond, FTL_KT_BOOL));
	if (!const_is(b, cond, 0))
		ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_break, .a = {cond}});
}

/* The instruction takes its place in the outer block only at the end: what is hoisted meanwhile comes before it. */
static ftl_kscope open_scope(ftl_kb *b, ftl_kinst in)
{
	ftl_kscope s = {.outer = b->block, .inst = b->f->inst.n};

	in.body = FTL_NEW(b->arena, ftl_kblock);
	ftl_vec_push(b->arena, &b->f->inst, in);
	ftl_kb_enter(b, s.outer, in.body);
	return s;
}

ftl_kscope ftl_k_for(ftl_kb *b, ftl_kv lo, ftl_kv hi, int64_t step)
{
	ftl_kv by = ftl_k_i64(b, step);
	ftl_kscope s;

	assert(step > 0 && is(b, lo, FTL_KT_I64) && is(b, hi, FTL_KT_I64));
	s = open_scope(b, (ftl_kinst){.op = FTL_K_for, .type = FTL_KT_I64, .a = {lo, hi, by}});
	s.index = s.inst;
	return s;
}

ftl_kscope ftl_k_loop(ftl_kb *b)
{
	return open_scope(b, (ftl_kinst){.op = FTL_K_loop});
}

/* A constant condition leaves no `if`: the side taken goes straight into the outer block, the other one into a block
 * that nothing holds. `index` then says which side is taken. */
ftl_kscope ftl_k_if(ftl_kb *b, ftl_kv cond)
{
	int64_t c;

	assert(is(b, cond, FTL_KT_BOOL));
	if (ftl_k_is_const(b, cond, &c)) {
		ftl_kscope s = {.outer = b->block, .index = c != 0};

		if (!c)
			ftl_kb_enter(b, s.outer, FTL_NEW(b->arena, ftl_kblock));
		return s;
	}
	return open_scope(b, (ftl_kinst){.op = FTL_K_if, .a = {cond}});
}

void ftl_k_else(ftl_kb *b, ftl_kscope *s)
{
	ftl_kblock *els;

	if (s->inst == 0 && !s->index) {
		ftl_kb_leave(b, s->outer);
		return;
	}
	els = FTL_NEW(b->arena, ftl_kblock);
	if (s->inst) {
		assert(!ftl_kinst_get(b->f, s->inst)->els);
		ftl_kinst_get(b->f, s->inst)->els = els;
	}
	ftl_kb_enter(b, s->outer, els);
}

void ftl_k_end(ftl_kb *b, ftl_kscope *s)
{
	ftl_kb_leave(b, s->outer);
	if (s->inst)
		ftl_kb_place(b, s->inst);
}

/* ---- grid and program ---- */

ftl_kv ftl_k_grid(ftl_kb *b)
{
	assert(!b->f->is_main);
	return ftl_kb_pure(b, (ftl_kinst){.op = FTL_K_grid, .type = FTL_KT_I64});
}

ftl_kv ftl_k_local(ftl_kb *b, int64_t bytes)
{
	assert(!b->f->is_main && b->block == &b->f->body && bytes > 0 && bytes <= FTL_MAX_LOCAL);
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_local, .type = FTL_KT_PTR, .imm = bytes});
}

ftl_kv ftl_k_workspace(ftl_kb *b)
{
	assert(b->f->is_main);
	return ftl_kb_detached(b, (ftl_kinst){.op = FTL_K_workspace, .type = FTL_KT_PTR});
}

ftl_kv ftl_k_in_ptr(ftl_kb *b, uint32_t input)
{
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_in_ptr, .type = FTL_KT_PTR, .imm = input});
}

ftl_kv ftl_k_in_dim(ftl_kb *b, uint32_t input, uint32_t axis)
{
	assert(axis < FTL_MAX_RANK);
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_in_dim, .type = FTL_KT_I64, .imm = (int64_t)input * 64 + axis});
}

ftl_kv ftl_k_out_ptr(ftl_kb *b, uint32_t output, ftl_kv bytes)
{
	assert(is(b, bytes, FTL_KT_I64));
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_out_ptr, .type = FTL_KT_PTR, .a = {bytes}, .imm = output});
}

void ftl_k_out_dim(ftl_kb *b, uint32_t output, uint32_t axis, ftl_kv value)
{
	assert(axis < FTL_MAX_RANK && is(b, value, FTL_KT_I64));
	ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_out_dim, .a = {value}, .imm = (int64_t)output * 64 + axis});
}

ftl_kv ftl_k_blob(ftl_kb *b, uint32_t blob)
{
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_blob, .type = FTL_KT_PTR, .imm = blob});
}

ftl_kv ftl_k_buf(ftl_kb *b, uint32_t buf)
{
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_buf, .type = FTL_KT_PTR, .imm = buf});
}

ftl_kv ftl_k_alloc(ftl_kb *b, ftl_kv bytes)
{
	assert(is(b, bytes, FTL_KT_I64));
	return ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_alloc, .type = FTL_KT_PTR, .a = {bytes}});
}

void ftl_k_free(ftl_kb *b, ftl_kv ptr)
{
	assert(is(b, ptr, FTL_KT_PTR));
	ftl_kb_emit(b, (ftl_kinst){.op = FTL_K_free, .a = {ptr}});
}

void ftl_k_launch(ftl_kb *b, uint32_t kernel, ftl_kv count, const ftl_kv *args, uint32_t nargs, int64_t cost)
{
	ftl_kv *extra = FTL_NEW_N(b->arena, ftl_kv, (size_t)nargs + 1);

	assert(is(b, count, FTL_KT_I64));
	if (const_is(b, count, 0))
		return;
	extra[0] = count;
	if (nargs)
		memcpy(extra + 1, args, nargs * sizeof *extra);
	ftl_kb_emit(b,
		    (ftl_kinst){.op = FTL_K_launch, .extra = extra, .nextra = nargs + 1, .imm = kernel, .imm2 = cost});
}
