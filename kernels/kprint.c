/* Kernel IR as text. kparse.c reads it back; printing that gives the same text.
 *
 *	kmodule "name" vector_bytes=64 {
 *	  blob 0 "name" 0x00000000deadbeef 4096
 *	  msg 2 "text"
 *	  input 0 "x" f32[?b,8]
 *	  output 0 "y" f32[?b,8]
 *	  buf 0 bytes=4*?b*8 live=3..9
 *	  kernel @k0 "note" (%1: ptr, %2: i64) {
 *	    %3 = grid
 *	    for %4 = 0 to %2 step 16 {
 *	      %5 = load %1[%4] : f32x16
 *	      %6 = add %5, 1:f32x16 : f32x16
 *	      store %1[%4], %6
 *	    }
 *	  }
 *	  main prologue=0 {
 *	    %1 = in_ptr 0
 *	    %2 = in_dim 0.1
 *	    launch @k0[%2] (%1, 8) cost 12
 *	    sym ?b %3
 *	    return 0
 *	  }
 *	  size { ... }
 *	}
 *
 * Constants stand where they are used, with their type unless that is i64. Contents of blobs are not in the text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/kir.h"
#include "kfold.h"
#include "ktext.h"

struct printer {
	ftl_text *t;
	const ftl_kmodule *m;
	const ftl_kfunc *f;
	uint32_t *number; /* by value id */
	uint32_t next;
};

static void type_text(struct printer *p, ftl_ktype k)
{
	ftl_text_add(p->t, "%s", k.elem == FTL_PTR ? "ptr" : ftl_dtype_name(k.elem));
	if (k.lanes != 1)
		ftl_text_add(p->t, "x%d", k.lanes);
}

/* Fewest digits that read back as the same value, with a point whatever the locale says. */
static void float_text(struct printer *p, double v, bool single)
{
	char buf[40];

	if (v != v || isinf(v)) {
		ftl_text_add(p->t, "%s", v != v ? "nan" : v < 0 ? "-inf" : "inf");
		return;
	}
	for (int digits = single ? 6 : 15; digits <= 17; digits++) {
		double back;

		snprintf(buf, sizeof buf, "%.*g", digits, v);
		back = strtod(buf, NULL);
		if (single ? (float)back == (float)v : back == v)
			break;
	}
	for (char *c = buf; *c; c++) {
		if (!strchr("0123456789+-e", *c))
			*c = '.';
	}
	ftl_text_add(p->t, "%s", buf);
}

static void operand(struct printer *p, ftl_kv v)
{
	const ftl_kinst *i = ftl_kinst_get(p->f, v);

	if (i->op == FTL_K_workspace) {
		ftl_text_add(p->t, "workspace");
	} else if (i->op != FTL_K_const) {
		ftl_text_add(p->t, "%%%u", p->number[v]);
	} else {
		if (!ftl_dtype_is_float(i->type.elem))
			ftl_text_add(p->t, i->type.elem == FTL_U64 ? "%llu" : "%lld", (long long)i->imm);
		else
			float_text(p, ftl_kfold_f64(i->imm), i->type.elem != FTL_F64);
		if (i->type.elem != FTL_I64 || i->type.lanes != 1) {
			ftl_text_add(p->t, ":");
			type_text(p, i->type);
		}
	}
}

static void indent(struct printer *p, int depth)
{
	static const char spaces[] = "                                ";
	size_t n = 2 * (size_t)depth;

	for (; n > sizeof spaces - 1; n -= sizeof spaces - 1)
		ftl_text_bytes(p->t, spaces, sizeof spaces - 1);
	ftl_text_bytes(p->t, spaces, n);
}

static void print_block(struct printer *p, const ftl_kblock *b, int depth);

static void operands(struct printer *p, const ftl_kinst *i, int from)
{
	for (int k = from; k < ftl_kop_get(i->op)->nargs; k++) {
		if (k > from)
			ftl_text_add(p->t, ", ");
		operand(p, i->a[k]);
	}
}

/* Whether the text says the result type; of the others it is known. */
static bool shows_type(const ftl_kinst *i)
{
	return i->type.elem && i->type.elem != FTL_PTR && i->op != FTL_K_grid && i->op != FTL_K_for &&
	       i->op != FTL_K_in_dim && i->op != FTL_K_addr && i->op != FTL_K_call;
}

static void memory(struct printer *p, const ftl_kinst *i)
{
	ftl_text_add(p->t, " ");
	operand(p, i->a[0]);
	ftl_text_add(p->t, "[");
	operand(p, i->a[1]);
	ftl_text_add(p->t, "]");
	if (ftl_kop_get(i->op)->nargs > 2) {
		ftl_text_add(p->t, ", ");
		operands(p, i, 2);
	}
}

/* Everything after the op's name that has a form of its own; the rest is operands. */
static void body_text(struct printer *p, const ftl_kinst *i)
{
	long long imm = i->imm;

	switch ((ftl_kop)i->op) {
	case FTL_K_load:
	case FTL_K_store:
	case FTL_K_loadn:
	case FTL_K_storen:
	case FTL_K_prefetch: memory(p, i); return;
	case FTL_K_in_ptr:
	case FTL_K_blob:
	case FTL_K_local:
	case FTL_K_buf: ftl_text_add(p->t, " %lld", imm); return;
	case FTL_K_in_dim: ftl_text_add(p->t, " %lld.%lld", imm / 64, imm % 64); return;
	case FTL_K_out_dim: ftl_text_add(p->t, " %lld.%lld,", imm / 64, imm % 64); break;
	case FTL_K_out_ptr: ftl_text_add(p->t, " %lld,", imm); break;
	case FTL_K_launch:
		ftl_text_add(p->t, " @%s[", p->m->kernels.v[imm]->name);
		operand(p, i->extra[0]);
		ftl_text_add(p->t, "] (");
		for (uint32_t k = 1; k < i->nextra; k++) {
			ftl_text_add(p->t, k > 1 ? ", " : "");
			operand(p, i->extra[k]);
		}
		ftl_text_add(p->t, ") cost %lld", (long long)i->imm2);
		return;
	case FTL_K_call: ftl_text_add(p->t, " @%s", ftl_string_info_get((int)imm)->name); break;
	default: break;
	}
	if (ftl_kop_get(i->op)->nargs > 0) {
		ftl_text_add(p->t, " ");
		operands(p, i, 0);
	}
	if (i->op == FTL_K_extract || i->op == FTL_K_insert)
		ftl_text_add(p->t, " lane %lld", imm);
	else if (i->op == FTL_K_slice)
		ftl_text_add(p->t, " from %lld", imm);
	else if (i->op == FTL_K_check)
		ftl_text_add(p->t, ", msg %lld", imm);
}

static void print_inst(struct printer *p, ftl_kv v, int depth)
{
	const ftl_kinst *i = ftl_kinst_get(p->f, v);

	indent(p, depth);
	if (i->type.elem)
		p->number[v] = p->next++;
	if (i->op == FTL_K_for) {
		ftl_text_add(p->t, "for %s%%%u = ", i->imm == FTL_LOOP_UNROLL ? "unroll " : "", p->number[v]);
		operand(p, i->a[0]);
		ftl_text_add(p->t, " to ");
		operand(p, i->a[1]);
		ftl_text_add(p->t, " step ");
		operand(p, i->a[2]);
	} else {
		if (i->type.elem)
			ftl_text_add(p->t, "%%%u = ", p->number[v]);
		ftl_text_add(p->t, "%s", ftl_kop_get(i->op)->name);
		body_text(p, i);
	}
	if (shows_type(i)) {
		ftl_text_add(p->t, " : ");
		type_text(p, i->type);
	}
	if (i->body) {
		ftl_text_add(p->t, " {\n");
		print_block(p, i->body, depth + 1);
		if (i->els) {
			indent(p, depth);
			ftl_text_add(p->t, "} else {\n");
			print_block(p, i->els, depth + 1);
		}
		indent(p, depth);
		ftl_text_add(p->t, "}");
	}
	ftl_text_add(p->t, "\n");
}

static void print_block(struct printer *p, const ftl_kblock *b, int depth)
{
	for (uint32_t k = 0; k < b->insts.n; k++)
		print_inst(p, b->insts.v[k], depth);
}

static void begin_func(struct printer *p, const ftl_kfunc *f)
{
	p->f = f;
	p->number = FTL_NEW_N(p->t->arena, uint32_t, f->inst.n);
	p->next = 1;
	for (uint32_t k = 0; k < f->params.n; k++)
		p->number[f->params.v[k].value] = p->next++;
}

static void print_kernel(struct printer *p, const ftl_kfunc *f)
{
	begin_func(p, f);
	ftl_text_add(p->t, "  kernel @%s ", f->name);
	ftl_text_quoted(p->t, f->note);
	ftl_text_add(p->t, " (");
	for (uint32_t k = 0; k < f->params.n; k++) {
		ftl_text_add(p->t, "%s%%%u: ", k ? ", " : "", p->number[f->params.v[k].value]);
		type_text(p, f->params.v[k].type);
	}
	ftl_text_add(p->t, ") {\n");
	print_block(p, &f->body, 2);
	ftl_text_add(p->t, "  }\n");
}

static void print_program(struct printer *p, const ftl_kfunc *f)
{
	begin_func(p, f);
	print_block(p, &f->body, 2);
	for (uint32_t k = 0; f == p->m->main && k < p->m->syms.n; k++) {
		ftl_text_add(p->t, "    sym ");
		ftl_dim_print(p->m->st, p->t, p->m->syms.v[k].sym);
		ftl_text_add(p->t, " %%%u\n", p->number[p->m->syms.v[k].var]);
	}
	if (f->result) {
		ftl_text_add(p->t, "    return ");
		operand(p, f->result);
		ftl_text_add(p->t, "\n");
	}
	ftl_text_add(p->t, "  }\n");
}

static void print_io(struct printer *p, const char *what, uint32_t k, const ftl_kio *io)
{
	ftl_text_add(p->t, "  %s %u ", what, k);
	ftl_text_quoted(p->t, io->name ? io->name : "");
	ftl_text_add(p->t, " %s[", ftl_dtype_name(io->type.dtype));
	for (int a = 0; a < io->type.rank; a++) {
		ftl_text_add(p->t, a ? "," : "");
		ftl_dim_print(p->m->st, p->t, io->type.dims[a]);
	}
	ftl_text_add(p->t, "]\n");
}

void ftl_kmodule_print(const ftl_kmodule *m, ftl_text *t)
{
	struct printer p = {.t = t, .m = m};

	ftl_text_add(t, "kmodule ");
	ftl_text_quoted(t, m->name);
	ftl_text_add(t, " vector_bytes=%d {\n", m->vector_bytes);
	for (uint32_t k = 0; k < m->blobs.n; k++) {
		const ftl_blob *b = m->blobs.v[k];

		ftl_text_add(t, "  blob %u ", k);
		ftl_text_quoted(t, b->name ? b->name : "");
		ftl_text_add(t, " 0x%016llx %zu\n", (unsigned long long)ftl_blob_hash(b), b->bytes);
	}
	for (uint32_t k = 2; k < m->msgs.n; k++) {
		ftl_text_add(t, "  msg %u ", k);
		ftl_text_quoted(t, m->msgs.v[k]);
		ftl_text_add(t, "\n");
	}
	for (uint32_t k = 0; k < m->inputs.n; k++)
		print_io(&p, "input", k, &m->inputs.v[k]);
	for (uint32_t k = 0; k < m->outputs.n; k++)
		print_io(&p, "output", k, &m->outputs.v[k]);
	for (uint32_t k = 0; k < m->bufs.n; k++) {
		ftl_text_add(t, "  buf %u bytes=", k);
		ftl_dim_print(m->st, t, m->bufs.v[k].bytes);
		ftl_text_add(t, " live=%u..%u", m->bufs.v[k].first, m->bufs.v[k].last);
		if (m->bufs.v[k].over)
			ftl_text_add(t, " over=%u", m->bufs.v[k].over - 1);
		ftl_text_add(t, "\n");
	}
	for (uint32_t k = 0; k < m->kernels.n; k++)
		print_kernel(&p, m->kernels.v[k]);
	if (m->main) {
		ftl_text_add(t, "  main prologue=%u {\n", m->prologue);
		print_program(&p, m->main);
	}
	if (m->size) {
		ftl_text_add(t, "  size {\n");
		print_program(&p, m->size);
	}
	ftl_text_add(t, "}\n");
}
