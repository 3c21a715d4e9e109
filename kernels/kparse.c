/* Text to kernel IR: the reverse of kprint.c, where the form is described.
 *
 * The text is hostile input: nesting is bounded, names are resolved where they stand, and what was read is verified
 * before it is handed out. Value names are any words; constants and the workspace go where no block holds them. */
#include "kernels/kir.h"
#include "kbuild.h"
#include "klex.h"
#include "ktext.h"

struct parser {
	ftl_klex lex;
	ftl_kmodule *m;
	ftl_kb b;
	ftl_map *values, *kernels; /* name -> number + 1 */
	ftl_map *ops;
};

#define LEX (&p->lex)

static ftl_status define(struct parser *p, const char *at, const char *name, ftl_kv v)
{
	if (ftl_map_get(p->values, name))
		return ftl_klex_fail(LEX, at, "%%%s is defined twice", name);
	ftl_map_set(p->values, name, (void *)(uintptr_t)v);
	return FTL_OK;
}

static ftl_status value_name(struct parser *p, const char **out)
{
	const char *s;
	size_t n;

	FTL_TRY(ftl_klex_want(LEX, '%'));
	FTL_TRY(ftl_klex_name(LEX, "a value's name", &s, &n));
	*out = ftl_arena_strn(LEX->arena, s, n);
	return FTL_OK;
}

static ftl_status operand(struct parser *p, ftl_kv *out)
{
	const char *name, *at;
	ftl_ktype type;
	int64_t imm;

	if (ftl_klex_peek(LEX) == '%') {
		at = LEX->s;
		FTL_TRY(value_name(p, &name));
		*out = (ftl_kv)(uintptr_t)ftl_map_get(p->values, name);
		if (!*out)
			return ftl_klex_fail(LEX, at, "%%%s is not defined", name);
		return FTL_OK;
	}
	if (ftl_klex_word(LEX, "workspace")) {
		*out = ftl_kb_detached(&p->b, (ftl_kinst){.op = FTL_K_workspace, .type = FTL_KT_PTR});
		return FTL_OK;
	}
	FTL_TRY(ftl_klex_const(LEX, &type, &imm));
	*out = ftl_kb_detached(&p->b, (ftl_kinst){.op = FTL_K_const, .type = type, .imm = imm});
	return FTL_OK;
}

static ftl_status operands(struct parser *p, ftl_kinst *i, int from)
{
	for (int k = from; k < ftl_kop_get(i->op)->nargs; k++) {
		if (k > from)
			FTL_TRY(ftl_klex_want(LEX, ','));
		FTL_TRY(operand(p, &i->a[k]));
	}
	return FTL_OK;
}

static ftl_status kernel_name(struct parser *p, const char **out)
{
	const char *s;
	size_t n;

	FTL_TRY(ftl_klex_want(LEX, '@'));
	FTL_TRY(ftl_klex_name(LEX, "a kernel's name", &s, &n));
	*out = ftl_arena_strn(LEX->arena, s, n);
	return FTL_OK;
}

static ftl_status parse_launch(struct parser *p, ftl_kinst *i)
{
	FTL_VEC(ftl_kv) extra = {0};
	const char *name, *at;
	void *found;
	ftl_kv v;

	ftl_klex_peek(LEX);
	at = LEX->s;
	FTL_TRY(kernel_name(p, &name));
	found = ftl_map_get(p->kernels, name);
	if (!found)
		return ftl_klex_fail(LEX, at, "there is no kernel @%s", name);
	i->imm = (int64_t)((uintptr_t)found - 1);
	FTL_TRY(ftl_klex_want(LEX, '['));
	FTL_TRY(operand(p, &v));
	ftl_vec_push(LEX->arena, &extra, v);
	FTL_TRY(ftl_klex_want(LEX, ']'));
	FTL_TRY(ftl_klex_want(LEX, '('));
	while (!ftl_klex_take(LEX, ')')) {
		if (extra.n > 1)
			FTL_TRY(ftl_klex_want(LEX, ','));
		FTL_TRY(operand(p, &v));
		ftl_vec_push(LEX->arena, &extra, v);
	}
	FTL_TRY(ftl_klex_want_word(LEX, "cost"));
	FTL_TRY(ftl_klex_i64(LEX, &i->imm2));
	i->extra = extra.v;
	i->nextra = extra.n;
	return FTL_OK;
}

static ftl_status io_axis(struct parser *p, ftl_kinst *i)
{
	uint32_t io, axis;

	FTL_TRY(ftl_klex_u32(LEX, &io));
	FTL_TRY(ftl_klex_want(LEX, '.'));
	FTL_TRY(ftl_klex_u32(LEX, &axis));
	if (axis >= 64)
		return ftl_klex_fail(LEX, LEX->s, "no tensor has so many axes");
	i->imm = (int64_t)io * 64 + axis;
	return FTL_OK;
}

static ftl_status number_imm(struct parser *p, ftl_kinst *i)
{
	uint32_t v;

	FTL_TRY(ftl_klex_u32(LEX, &v));
	i->imm = v;
	return FTL_OK;
}

static ftl_status called(struct parser *p, ftl_kinst *i)
{
	const char *name, *at;

	ftl_klex_peek(LEX);
	at = LEX->s;
	FTL_TRY(kernel_name(p, &name));
	while (i->imm < FTL_STRING_CALLS && strcmp(ftl_string_info_get((int)i->imm)->name, name) != 0)
		i->imm++;
	return i->imm < FTL_STRING_CALLS ? FTL_OK : ftl_klex_fail(LEX, at, "there is no function @%s", name);
}

/* What stands after the op's name, up to the result type. */
static ftl_status arguments(struct parser *p, ftl_kinst *i)
{
	switch ((ftl_kop)i->op) {
	case FTL_K_load:
	case FTL_K_store:
	case FTL_K_loadn:
	case FTL_K_storen:
	case FTL_K_prefetch:
		FTL_TRY(operand(p, &i->a[0]));
		FTL_TRY(ftl_klex_want(LEX, '['));
		FTL_TRY(operand(p, &i->a[1]));
		FTL_TRY(ftl_klex_want(LEX, ']'));
		if (ftl_kop_get(i->op)->nargs == 2)
			return FTL_OK;
		FTL_TRY(ftl_klex_want(LEX, ','));
		return operands(p, i, 2);
	case FTL_K_in_ptr:
	case FTL_K_blob:
	case FTL_K_local:
	case FTL_K_buf: return number_imm(p, i);
	case FTL_K_in_dim: return io_axis(p, i);
	case FTL_K_out_dim:
		FTL_TRY(io_axis(p, i));
		FTL_TRY(ftl_klex_want(LEX, ','));
		break;
	case FTL_K_out_ptr:
		FTL_TRY(number_imm(p, i));
		FTL_TRY(ftl_klex_want(LEX, ','));
		break;
	case FTL_K_launch: return parse_launch(p, i);
	case FTL_K_call: FTL_TRY(called(p, i)); break;
	default: break;
	}
	FTL_TRY(operands(p, i, 0));
	if (i->op == FTL_K_extract || i->op == FTL_K_insert) {
		FTL_TRY(ftl_klex_want_word(LEX, "lane"));
		return number_imm(p, i);
	}
	if (i->op == FTL_K_slice) {
		FTL_TRY(ftl_klex_want_word(LEX, "from"));
		return number_imm(p, i);
	}
	if (i->op == FTL_K_check) {
		FTL_TRY(ftl_klex_want(LEX, ','));
		FTL_TRY(ftl_klex_want_word(LEX, "msg"));
		return number_imm(p, i);
	}
	return FTL_OK;
}

/* The result type where the text leaves it out; no type where it must not. */
static ftl_ktype derived(const struct parser *p, const ftl_kinst *i)
{
	ftl_ktype x = i->a[0] ? ftl_ktype_of(p->b.f, i->a[0]) : (ftl_ktype){0, 0};

	switch ((ftl_kop)i->op) {
	case FTL_K_grid:
	case FTL_K_addr:
	case FTL_K_call:
	case FTL_K_in_dim: return FTL_KT_I64;
	case FTL_K_offset:
	case FTL_K_in_ptr:
	case FTL_K_out_ptr:
	case FTL_K_blob:
	case FTL_K_buf:
	case FTL_K_local:
	case FTL_K_alloc: return FTL_KT_PTR;
	case FTL_K_select: return ftl_ktype_of(p->b.f, i->a[1]);
	case FTL_K_var:
	case FTL_K_get:
	case FTL_K_insert:
	case FTL_K_dot4: return x;
	case FTL_K_join: return FTL_KT(x.elem, 2 * x.lanes);
	case FTL_K_extract:
	case FTL_K_reduce_add:
	case FTL_K_reduce_mul:
	case FTL_K_reduce_min:
	case FTL_K_reduce_max: return FTL_KT(x.elem, 1);
	default: break;
	}
	switch (ftl_kop_get(i->op)->rule) {
	case K_RULE_SAME: return x;
	case K_RULE_CMP: return FTL_KT(FTL_BOOL, x.lanes);
	default: return (ftl_ktype){0, 0};
	}
}

static ftl_kv append(struct parser *p, ftl_kblock *block, ftl_kinst i)
{
	ftl_kv v = p->b.f->inst.n;

	ftl_vec_push(LEX->arena, &p->b.f->inst, i);
	ftl_vec_push(LEX->arena, &block->insts, v);
	return v;
}

static ftl_status parse_block(struct parser *p, ftl_kblock *block, int depth);

static ftl_status body(struct parser *p, ftl_kblock **out, int depth)
{
	FTL_TRY(ftl_klex_want(LEX, '{'));
	*out = FTL_NEW(LEX->arena, ftl_kblock);
	return parse_block(p, *out, depth + 1);
}

static ftl_status parse_control(struct parser *p, ftl_kblock *block, ftl_kinst i, int depth)
{
	const char *name = NULL, *at = LEX->s;
	ftl_kblock *inner;
	ftl_kv v;

	if (i.op == FTL_K_for) {
		i.imm = ftl_klex_word(LEX, "unroll") ? FTL_LOOP_UNROLL : FTL_LOOP_SERIAL;
		i.type = FTL_KT_I64;
		FTL_TRY(value_name(p, &name));
		FTL_TRY(ftl_klex_want(LEX, '='));
		FTL_TRY(operand(p, &i.a[0]));
		FTL_TRY(ftl_klex_want_word(LEX, "to"));
		FTL_TRY(operand(p, &i.a[1]));
		FTL_TRY(ftl_klex_want_word(LEX, "step"));
		FTL_TRY(operand(p, &i.a[2]));
	} else if (i.op == FTL_K_if) {
		FTL_TRY(operand(p, &i.a[0]));
	}
	v = append(p, block, i);
	if (name)
		FTL_TRY(define(p, at, name, v));
	FTL_TRY(body(p, &inner, depth));
	ftl_kinst_get(p->b.f, v)->body = inner;
	if (i.op == FTL_K_if && ftl_klex_word(LEX, "else")) {
		FTL_TRY(body(p, &inner, depth));
		ftl_kinst_get(p->b.f, v)->els = inner;
	}
	return FTL_OK;
}

static ftl_status parse_op(struct parser *p, uint16_t *op)
{
	const char *s, *name;
	size_t n;

	FTL_TRY(ftl_klex_name(LEX, "an instruction", &s, &n));
	name = ftl_arena_strn(LEX->arena, s, n);
	*op = (uint16_t)(uintptr_t)ftl_map_get(p->ops, name);
	if (*op == FTL_K_NONE)
		return ftl_klex_fail(LEX, s, "there is no instruction '%s'", name);
	if (*op == FTL_K_const || *op == FTL_K_param || *op == FTL_K_workspace)
		return ftl_klex_fail(LEX, s, "'%s' is no instruction of a block", name);
	return FTL_OK;
}

static ftl_status parse_inst(struct parser *p, ftl_kblock *block, int depth)
{
	const char *name = NULL, *at, *op_at;
	ftl_kinst i = {0};
	ftl_kv v;

	ftl_klex_peek(LEX);
	at = LEX->s;
	if (*at == '%') {
		FTL_TRY(value_name(p, &name));
		FTL_TRY(ftl_klex_want(LEX, '='));
		ftl_klex_peek(LEX);
	}
	op_at = LEX->s;
	FTL_TRY(parse_op(p, &i.op));
	if (!name && (i.op == FTL_K_for || i.op == FTL_K_if || i.op == FTL_K_loop))
		return parse_control(p, block, i, depth);
	FTL_TRY(arguments(p, &i));
	i.type = derived(p, &i);
	if (ftl_klex_take(LEX, ':'))
		FTL_TRY(ftl_klex_type(LEX, &i.type));
	if ((name != NULL) != (i.type.elem != 0) || (ftl_kop_get(i.op)->rule == K_RULE_NONE) != (i.type.elem == 0))
		return ftl_klex_fail(LEX, op_at, "'%s' needs %s", ftl_kop_get(i.op)->name,
				     ftl_kop_get(i.op)->rule == K_RULE_NONE ? "no name and no type"
									    : "a name for its result, and a type");
	v = append(p, block, i);
	return name ? define(p, at, name, v) : FTL_OK;
}

/* Up to and with the closing brace. At depth 0 of a program also `sym` and `return`. */
static ftl_status parse_block(struct parser *p, ftl_kblock *block, int depth)
{
	if (depth > FTL_K_MAX_NEST)
		return ftl_klex_fail(LEX, LEX->s, "blocks are nested too deeply");
	while (!ftl_klex_take(LEX, '}')) {
		const char *at = LEX->s;

		if (depth == 0 && p->b.f == p->m->main && ftl_klex_word(LEX, "sym")) {
			ftl_dim sym;
			ftl_kv var;

			FTL_TRY(ftl_klex_dim(LEX, p->m->st, &sym));
			if (ftl_dim_get(p->m->st, sym)->kind != FTL_DIM_SYM)
				return ftl_klex_fail(LEX, at, "expected a symbol");
			FTL_TRY(operand(p, &var));
			ftl_vec_push(LEX->arena, &p->m->syms, ((__typeof__(*p->m->syms.v)){.sym = sym, .var = var}));
		} else if (depth == 0 && p->b.f->is_main && ftl_klex_word(LEX, "return")) {
			FTL_TRY(operand(p, &p->b.f->result));
		} else {
			FTL_TRY(parse_inst(p, block, depth));
		}
	}
	return FTL_OK;
}

/* ---- the module ---- */

static void begin_func(struct parser *p, ftl_kfunc *f)
{
	p->values = ftl_map_new(LEX->arena);
	ftl_kb_init(&p->b, LEX->arena, f);
}

static ftl_status parse_kernel(struct parser *p)
{
	const char *name, *at = LEX->s;
	ftl_kfunc *f;

	FTL_TRY(kernel_name(p, &name));
	if (ftl_map_get(p->kernels, name))
		return ftl_klex_fail(LEX, at, "two kernels are named @%s", name);
	ftl_map_set(p->kernels, name, (void *)((uintptr_t)p->m->kernels.n + 1));
	f = ftl_kfunc_new(LEX->arena, name, false);
	FTL_TRY(ftl_klex_string(LEX, &f->note));
	begin_func(p, f);
	ftl_vec_push(LEX->arena, &p->m->kernels, f);
	FTL_TRY(ftl_klex_want(LEX, '('));
	while (!ftl_klex_take(LEX, ')')) {
		const char *param;
		ftl_ktype type;

		if (f->params.n)
			FTL_TRY(ftl_klex_want(LEX, ','));
		at = LEX->s;
		FTL_TRY(value_name(p, &param));
		FTL_TRY(ftl_klex_want(LEX, ':'));
		FTL_TRY(ftl_klex_type(LEX, &type));
		FTL_TRY(define(p, at, param, ftl_kb_param(&p->b, type)));
	}
	FTL_TRY(ftl_klex_want(LEX, '{'));
	FTL_TRY(parse_block(p, &f->body, 0));
	f->hash = ftl_kfunc_hash(f);
	return FTL_OK;
}

static ftl_status parse_program(struct parser *p, ftl_kfunc **slot, const char *name)
{
	if (*slot)
		return ftl_klex_fail(LEX, LEX->s, "there are two functions '%s'", name);
	*slot = ftl_kfunc_new(LEX->arena, name, true);
	begin_func(p, *slot);
	if (slot == &p->m->main && ftl_klex_word(LEX, "prologue")) {
		FTL_TRY(ftl_klex_want(LEX, '='));
		FTL_TRY(ftl_klex_u32(LEX, &p->m->prologue));
	}
	FTL_TRY(ftl_klex_want(LEX, '{'));
	return parse_block(p, &(*slot)->body, 0);
}

static ftl_status parse_io(struct parser *p, ftl_kio *io)
{
	const char *at;
	ftl_ktype type;
	ftl_dim *dims = FTL_NEW_N(LEX->arena, ftl_dim, FTL_MAX_RANK);
	int rank = 0;

	FTL_TRY(ftl_klex_string(LEX, &io->name));
	ftl_klex_peek(LEX);
	at = LEX->s;
	FTL_TRY(ftl_klex_type(LEX, &type));
	if (type.elem == FTL_PTR || type.lanes != 1)
		return ftl_klex_fail(LEX, at, "expected an element type");
	FTL_TRY(ftl_klex_want(LEX, '['));
	while (!ftl_klex_take(LEX, ']')) {
		if (rank)
			FTL_TRY(ftl_klex_want(LEX, ','));
		if (rank == FTL_MAX_RANK)
			return ftl_klex_fail(LEX, LEX->s, "a tensor has at most %d axes", FTL_MAX_RANK);
		FTL_TRY(ftl_klex_dim(LEX, p->m->st, &dims[rank++]));
	}
	io->type = (ftl_type){.dtype = (ftl_dtype)type.elem, .rank = (int8_t)rank, .dims = dims};
	return FTL_OK;
}

static ftl_status parse_blob(struct parser *p)
{
	ftl_blob *b = FTL_NEW(LEX->arena, ftl_blob);
	uint64_t bytes;

	FTL_TRY(ftl_klex_string(LEX, &b->name));
	if (!*b->name)
		b->name = NULL;
	FTL_TRY(ftl_klex_u64(LEX, &b->hash));
	FTL_TRY(ftl_klex_u64(LEX, &bytes));
	b->bytes = (size_t)bytes;
	ftl_vec_push(LEX->arena, &p->m->blobs, b);
	return FTL_OK;
}

static ftl_status parse_buf(struct parser *p)
{
	ftl_kbuf b = {0};

	FTL_TRY(ftl_klex_want_word(LEX, "bytes"));
	FTL_TRY(ftl_klex_want(LEX, '='));
	FTL_TRY(ftl_klex_dim(LEX, p->m->st, &b.bytes));
	FTL_TRY(ftl_klex_want_word(LEX, "live"));
	FTL_TRY(ftl_klex_want(LEX, '='));
	FTL_TRY(ftl_klex_u32(LEX, &b.first));
	FTL_TRY(ftl_klex_want(LEX, '.'));
	FTL_TRY(ftl_klex_want(LEX, '.'));
	FTL_TRY(ftl_klex_u32(LEX, &b.last));
	if (ftl_klex_word(LEX, "over")) {
		FTL_TRY(ftl_klex_want(LEX, '='));
		FTL_TRY(ftl_klex_u32(LEX, &b.over));
		if (b.over++ >= p->m->bufs.n)
			return ftl_klex_fail(LEX, LEX->s, "over names a buffer that comes later");
	}
	ftl_vec_push(LEX->arena, &p->m->bufs, b);
	return FTL_OK;
}

/* The number of an entry, which only says again how many came before. */
static ftl_status entry(struct parser *p, uint32_t want)
{
	const char *at;
	uint32_t n;

	ftl_klex_peek(LEX);
	at = LEX->s;
	FTL_TRY(ftl_klex_u32(LEX, &n));
	if (n != want)
		return ftl_klex_fail(LEX, at, "expected number %u", want);
	return FTL_OK;
}

static ftl_status parse_entry(struct parser *p)
{
	ftl_kmodule *m = p->m;
	const char *text;
	ftl_kio io = {0};

	if (ftl_klex_word(LEX, "blob")) {
		FTL_TRY(entry(p, m->blobs.n));
		return parse_blob(p);
	}
	if (ftl_klex_word(LEX, "msg")) {
		FTL_TRY(entry(p, m->msgs.n));
		FTL_TRY(ftl_klex_string(LEX, &text));
		ftl_map_set(m->msg_index, text, (void *)((uintptr_t)m->msgs.n + 1));
		ftl_vec_push(LEX->arena, &m->msgs, text);
		return FTL_OK;
	}
	if (ftl_klex_word(LEX, "input")) {
		FTL_TRY(entry(p, m->inputs.n));
		FTL_TRY(parse_io(p, &io));
		ftl_vec_push(LEX->arena, &m->inputs, io);
		return FTL_OK;
	}
	if (ftl_klex_word(LEX, "output")) {
		FTL_TRY(entry(p, m->outputs.n));
		FTL_TRY(parse_io(p, &io));
		ftl_vec_push(LEX->arena, &m->outputs, io);
		return FTL_OK;
	}
	if (ftl_klex_word(LEX, "buf")) {
		FTL_TRY(entry(p, m->bufs.n));
		return parse_buf(p);
	}
	if (ftl_klex_word(LEX, "kernel"))
		return parse_kernel(p);
	if (ftl_klex_word(LEX, "main"))
		return parse_program(p, &m->main, "main");
	if (ftl_klex_word(LEX, "size"))
		return parse_program(p, &m->size, "size");
	return ftl_klex_fail(LEX, LEX->s, "expected an entry of the module");
}

ftl_status ftl_kmodule_parse(ftl_arena *arena, const char *text, size_t n, const char *file, ftl_diag *d,
			     ftl_kmodule **out)
{
	const char *copy = ftl_arena_strn(arena, text, n);
	struct parser parser = {.lex = {.arena = arena, .d = d, .file = file, .text = copy, .s = copy}}, *p = &parser;
	const char *name;
	uint32_t vector_bytes;

	if (memchr(text, 0, n))
		return ftl_klex_fail(LEX, copy + strlen(copy), "the text holds a NUL");
	p->kernels = ftl_map_new(arena);
	p->ops = ftl_map_new(arena);
	for (int op = 1; op < FTL_K_COUNT; op++)
		ftl_map_set(p->ops, ftl_kop_get((ftl_kop)op)->name, (void *)(uintptr_t)op);
	FTL_TRY(ftl_klex_want_word(LEX, "kmodule"));
	FTL_TRY(ftl_klex_string(LEX, &name));
	FTL_TRY(ftl_klex_want_word(LEX, "vector_bytes"));
	FTL_TRY(ftl_klex_want(LEX, '='));
	FTL_TRY(ftl_klex_u32(LEX, &vector_bytes));
	if (vector_bytes > 1024)
		return ftl_klex_fail(LEX, LEX->s, "no vector is so wide");
	p->m = ftl_kmodule_new(arena, ftl_symtab_new(arena), name);
	p->m->file = file ? ftl_arena_str(arena, file) : NULL;
	p->m->vector_bytes = (int)vector_bytes;
	FTL_TRY(ftl_klex_want(LEX, '{'));
	while (!ftl_klex_take(LEX, '}'))
		FTL_TRY(parse_entry(p));
	if (ftl_klex_peek(LEX))
		return ftl_klex_fail(LEX, LEX->s, "text after the module's end");
	FTL_TRY(ftl_kmodule_verify(p->m, d));
	*out = p->m;
	return FTL_OK;
}
