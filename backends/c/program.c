/* Instructions of the program function: inputs and outputs, memory from the hooks, launches. */
#include "internal.h"

#include <inttypes.h>

static void need_allocate(ftl_ce *e)
{
	if (ftl_ce_once(e, "allocate"))
		ftl_text_add(
			&e->helpers,
			"static unsigned char *allocate(ftl_run *run, int64_t bytes)\n{\n"
			"\tif (run->alloc == NULL || bytes < 0 || (uint64_t)bytes > SIZE_MAX / 2)\n\t\treturn NULL;\n"
			"\treturn (unsigned char *)run->alloc(run->user, bytes > 0 ? (size_t)bytes : 1);\n}\n");
}

static void need_output(ftl_ce *e)
{
	need_allocate(e);
	if (ftl_ce_once(e, "output"))
		ftl_text_add(&e->helpers,
			     "/* Memory of an output: the caller's, or from the hook. 0, or the error. */\n"
			     "static int64_t output(ftl_run *run, int k, int64_t bytes, unsigned char **p)\n{\n"
			     "\tftl_io *const io = &run->out[k];\n\n"
			     "\tif (io->data != NULL) {\n"
			     "\t\tif (io->bytes < (uint64_t)bytes)\n\t\t\treturn FTL_RUN_SMALL_OUTPUT;\n"
			     "\t} else {\n"
			     "\t\tio->data = allocate(run, bytes);\n"
			     "\t\tif (io->data == NULL)\n\t\t\treturn FTL_RUN_NO_MEMORY;\n"
			     "\t\tio->bytes = (size_t)bytes;\n"
			     "\t}\n"
			     "\t*p = (unsigned char *)io->data;\n\treturn 0;\n}\n");
}

static void print_launch(ftl_ce *e, const ftl_kinst *i)
{
	const ftl_kfunc *k;

	if (i->imm < 0 || i->imm >= (int64_t)e->m->kernels.n || i->nextra == 0 ||
	    i->nextra - 1 != e->m->kernels.v[i->imm]->params.n) {
		ftl_ce_fail(e, "%s: bad launch of kernel %" PRId64, e->m->name, i->imm);
		return;
	}
	if (ftl_ce_once(e, "launch"))
		ftl_text_add(&e->helpers, "static void launch(ftl_run *run, ftl_kernel_fn fn, const ftl_arg *args, "
					  "int64_t count, int64_t cost)\n{\n"
					  "\tif (count > 1 && run->parallel != NULL)\n"
					  "\t\trun->parallel(run->user, fn, args, run, count, cost);\n"
					  "\telse if (count > 0)\n\t\tfn(args, run, 0, count);\n}\n");
	k = e->m->kernels.v[i->imm];
	if (k->note && *k->note) {
		ftl_text note;

		ftl_text_init(&note, e->arena);
		ftl_c_comment(&note, k->note);
		ftl_ce_line(e, "/* %s */", note.v);
	}
	ftl_ce_line(e, "{");
	if (k->params.n) {
		ftl_ce_line(e, "\tftl_arg args[%u];", k->params.n);
		for (uint32_t a = 0; a < k->params.n; a++)
			ftl_ce_line(e, "\targs[%u].%s = %s;", a, k->params.v[a].type.elem == FTL_PTR ? "p" : "i",
				    ftl_ce_ref(e, i->extra[a + 1]));
	}
	ftl_ce_line(e, "\tlaunch(run, k%d, %s, %s, %s);", (int)i->imm, k->params.n ? "args" : "NULL",
		    ftl_ce_ref(e, i->extra[0]), ftl_ce_num(e, FTL_I64, i->imm2));
	if (e->can_fail[i->imm]) {
		ftl_ce_line(e, "\tif (run->error != 0)");
		ftl_ce_line(e, "\t\treturn run->error;");
	}
	ftl_ce_line(e, "}");
}

bool ftl_ce_program_inst(ftl_ce *e, ftl_kv v, const ftl_kinst *i)
{
	int number = (int)(i->imm / 64), axis = (int)(i->imm % 64);

	switch ((ftl_kop)i->op) {
	case FTL_K_in_ptr:
		ftl_ce_line(e, "unsigned char *const v%u = (unsigned char *)run->in[%d].data;", v, (int)i->imm);
		return true;
	case FTL_K_in_dim: ftl_ce_line(e, "const int64_t v%u = run->in[%d].dims[%d];", v, number, axis); return true;
	case FTL_K_out_dim:
		ftl_ce_line(e, "run->out[%d].dims[%d] = %s;", number, axis, ftl_ce_ref(e, i->a[0]));
		return true;
	case FTL_K_out_ptr:
		need_output(e);
		ftl_ce_line(e, "unsigned char *v%u;", v);
		ftl_ce_line(e, "const int64_t error_%u = output(run, %d, %s, &v%u);", v, (int)i->imm,
			    ftl_ce_ref(e, i->a[0]), v);
		ftl_ce_line(e, "if (error_%u != 0)", v);
		ftl_ce_line(e, "\treturn error_%u;", v);
		return true;
	case FTL_K_blob:
		ftl_ce_line(e, "unsigned char *const v%u = (unsigned char *)(uintptr_t)run->blobs[%d];", v,
			    (int)i->imm);
		return true;
	case FTL_K_alloc:
		need_allocate(e);
		ftl_ce_line(e, "unsigned char *const v%u = allocate(run, %s);", v, ftl_ce_ref(e, i->a[0]));
		ftl_ce_line(e, "if (v%u == NULL)", v);
		ftl_ce_line(e, "\treturn FTL_RUN_NO_MEMORY;");
		return true;
	case FTL_K_free:
		ftl_ce_line(e, "if (run->free != NULL)");
		ftl_ce_line(e, "\trun->free(run->user, %s);", ftl_ce_ref(e, i->a[0]));
		return true;
	case FTL_K_launch: print_launch(e, i); return true;
	case FTL_K_buf: ftl_ce_fail(e, "%s: the module has no memory plan yet", e->m->name); return true;
	default: return false;
	}
}
