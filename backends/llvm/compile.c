/* From LLVM IR to bytes: optimization pipeline, code generation, and the ahead-of-time entry points. */
#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* Kernels come scheduled in vectors, with their accumulators in variables and their address arithmetic hoisted, so what is
 * left is to make the variables registers, merge what is equal and lift what the loops do not change. More passes
 * (instcombine, gvn, indvars, all of O3) cost up to half as much again and were measured to win nothing. */
const char ftl_llvm_passes[] = "function(sroa,early-cse,loop-mssa(licm),simplifycfg)";
/* for modules in which a loop is marked for unrolling */
const char ftl_llvm_passes_unroll[] =
	"function(sroa,early-cse,loop-mssa(licm),loop(loop-unroll-full),sroa,early-cse,loop-mssa(licm),simplifycfg)";
const char ftl_llvm_passes_quick[] = "function(sroa,early-cse,simplifycfg)";

static ftl_status optimize(ftl_le *l, LLVMTargetMachineRef tm, const char *passes)
{
	LLVMPassBuilderOptionsRef po = LLVMCreatePassBuilderOptions();
	LLVMErrorRef e = LLVMRunPasses(l->m, passes, tm, po);
	ftl_status_code code = FTL_OK;
	char *text;

	LLVMDisposePassBuilderOptions(po);
	if (e) {
		text = LLVMGetErrorMessage(e);
		code = ftl_fail(l->d, FTL_ERR_UNSUPPORTED, "LLVM passes: %s", text);
		LLVMDisposeErrorMessage(text);
	}
	return code;
}

static ftl_status generate(ftl_le *l, LLVMTargetMachineRef tm, ftl_llvm_kind kind, LLVMMemoryBufferRef *out)
{
	char *text = NULL;
	ftl_status_code code;

	if (kind == FTL_LLVM_TEXT) {
		text = LLVMPrintModuleToString(l->m);
		*out = LLVMCreateMemoryBufferWithMemoryRangeCopy(text, strlen(text), "text");
		LLVMDisposeMessage(text);
		return FTL_OK;
	}
	if (LLVMTargetMachineEmitToMemoryBuffer(tm, l->m, kind == FTL_LLVM_ASM ? LLVMAssemblyFile : LLVMObjectFile,
						&text, out)) {
		code = ftl_fail(l->d, FTL_ERR_UNSUPPORTED, "LLVM code generation: %s", text);
		LLVMDisposeMessage(text);
		*out = NULL;
		return code;
	}
	if (l->err != FTL_OK) { /* reported through the diagnostic handler */
		LLVMDisposeMemoryBuffer(*out);
		*out = NULL;
	}
	return l->err;
}

ftl_status ftl_le_finish(ftl_le *l, LLVMCodeGenOptLevel level, const char *passes, bool verify, ftl_llvm_kind kind,
			 LLVMMemoryBufferRef *out)
{
	LLVMTargetMachineRef tm;
	char *text = NULL;
	ftl_status_code code = l->err;

	*out = NULL;
	if (code != FTL_OK)
		return code;
	if (verify && LLVMVerifyModule(l->m, LLVMReturnStatusAction, &text))
		code = ftl_fail(l->d, FTL_ERR_UNSUPPORTED, "LLVM verifier: %s", text);
	LLVMDisposeMessage(text);
	if (code != FTL_OK)
		return code;
	tm = ftl_spec_machine(l->spec, level);
	if (!tm)
		return ftl_fail(l->d, FTL_ERR_UNSUPPORTED, "no target machine for %s", l->spec->triple);
	if (passes)
		code = optimize(l, tm, passes == ftl_llvm_passes && l->unrolls ? ftl_llvm_passes_unroll : passes);
	if (code == FTL_OK)
		code = generate(l, tm, kind, out);
	LLVMDisposeTargetMachine(tm);
	return code;
}

void ftl_llvm_prefix(const ftl_kmodule *m, const ftl_llvm_options *o, char *out, size_t n)
{
	const char *s = o && o->prefix ? o->prefix : m->name && *m->name ? m->name : "model";
	size_t i;

	for (i = 0; s[i] && i + 1 < n; i++)
		out[i] = isalnum((unsigned char)s[i]) || s[i] == '_' ? s[i] : '_';
	out[i] = 0;
	if (isdigit((unsigned char)out[0]))
		out[0] = '_';
}

ftl_status ftl_llvm_emit(const ftl_kmodule *m, const ftl_llvm_options *o, ftl_llvm_kind kind, ftl_arena *arena,
			 ftl_diag *d, const void **out_bytes, size_t *out_n)
{
	ftl_llvm_level level = {.module = m, .cpu = o ? o->cpu : NULL, .features = o ? o->features : NULL};

	return ftl_llvm_emit_levels(&level, 1, o, kind, arena, d, out_bytes, out_n);
}
