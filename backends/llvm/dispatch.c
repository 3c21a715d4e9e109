/* Ahead-of-time entry points: one level, or several levels of a model in one object.
 *
 * With several, every level is emitted under its own internal names, and PREFIX_main and PREFIX_size ask the cpu and go
 * to the first level it can run. They ask at each call: a few cpuid instructions cost less than the state that would
 * remember the answer. The dispatcher itself is compiled for the lowest level. */
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define BIT(n) (UINT32_C(1) << (n))

/* What a level needs from cpuid: leaf 1 ecx, leaf 7 ebx and ecx, leaf 7.1 eax, leaf 0x80000001 ecx, and xcr0. */
struct need {
	const char *level;
	uint32_t l1c, l7b, l7c, l71a, e1c, xcr0;
};
#define V2_1C (BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23)) /* sse3 ssse3 cx16 sse4.1 sse4.2 popcnt */
#define V3_1C (V2_1C | BIT(12) | BIT(22) | BIT(27) | BIT(28) | BIT(29)) /* fma movbe osxsave avx f16c */
#define V3_7B (BIT(3) | BIT(5) | BIT(8))                                /* bmi1 avx2 bmi2 */
#define V3_EC (BIT(0) | BIT(5))                                         /* lahf lzcnt */
#define V4_7B (V3_7B | BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31)) /* avx512 f dq cd bw vl */
static const struct need needs[] = {
	{"avx512vnni", V3_1C, V4_7B, BIT(11), 0, V3_EC, 0xe6},
	{"avx512", V3_1C, V4_7B, 0, 0, V3_EC, 0xe6},
	{"avx2vnni", V3_1C, V3_7B, 0, BIT(4), V3_EC, 0x06},
	{"avx2", V3_1C, V3_7B, 0, 0, V3_EC, 0x06},
	{"sse2", 0, 0, 0, 0, 0, 0},
};

static const struct need *find_need(const char *cpu)
{
	for (size_t i = 0; cpu && i < FTL_COUNT(needs); i++) {
		if (strcmp(needs[i].level, cpu) == 0)
			return &needs[i];
	}
	return NULL;
}

/* cpuid(leaf, sub): a struct of eax, ebx, ecx, edx. */
static LLVMValueRef cpuid(ftl_le *l, uint32_t leaf, uint32_t sub)
{
	static const char text[] = "cpuid", cons[] = "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}";
	LLVMTypeRef r[4] = {l->i32, l->i32, l->i32, l->i32}, p[2] = {l->i32, l->i32};
	LLVMTypeRef t = LLVMFunctionType(LLVMStructTypeInContext(l->c, r, 4, false), p, 2, false);
	LLVMValueRef a[2] = {LLVMConstInt(l->i32, leaf, false), LLVMConstInt(l->i32, sub, false)};
	LLVMValueRef code = LLVMGetInlineAsm(t, text, sizeof text - 1, cons, sizeof cons - 1, true, false,
					     LLVMInlineAsmDialectATT, false);

	return LLVMBuildCall2(l->b, t, code, a, 2, "");
}

static LLVMValueRef xgetbv(ftl_le *l)
{
	static const char text[] = "xgetbv", cons[] = "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}";
	LLVMTypeRef r[2] = {l->i32, l->i32}, p = l->i32;
	LLVMTypeRef t = LLVMFunctionType(LLVMStructTypeInContext(l->c, r, 2, false), &p, 1, false);
	LLVMValueRef zero = LLVMConstInt(l->i32, 0, false);
	LLVMValueRef code = LLVMGetInlineAsm(t, text, sizeof text - 1, cons, sizeof cons - 1, true, false,
					     LLVMInlineAsmDialectATT, false);

	return LLVMBuildExtractValue(l->b, LLVMBuildCall2(l->b, t, code, &zero, 1, ""), 0, "");
}

static LLVMValueRef has_bits(ftl_le *l, LLVMValueRef word, uint32_t bits)
{
	LLVMValueRef b = LLVMConstInt(l->i32, bits, false);

	return LLVMBuildICmp(l->b, LLVMIntEQ, LLVMBuildAnd(l->b, word, b, ""), b, "");
}

/* i32 level(void): number of the first level that this cpu can run. */
static LLVMValueRef level_function(ftl_le *l, const ftl_llvm_level *levels, size_t n, LLVMTypeRef *type)
{
	LLVMTypeRef t = LLVMFunctionType(l->i32, NULL, 0, false);
	LLVMValueRef fn = ftl_le_function(l, "level", t, LLVMInternalLinkage),
		     last = LLVMConstInt(l->i32, n - 1, false);
	LLVMValueRef max, emax, l1, l7, word[6], x, pick, ok;
	LLVMBasicBlockRef leaves, state, low;

	l->fn = fn;
	*type = t;
	LLVMPositionBuilderAtEnd(l->b, ftl_le_block(l, "entry"));
	leaves = ftl_le_block(l, "leaves");
	state = ftl_le_block(l, "state");
	low = ftl_le_block(l, "low");
	max = LLVMBuildExtractValue(l->b, cpuid(l, 0, 0), 0, "");
	emax = LLVMBuildExtractValue(l->b, cpuid(l, UINT32_C(0x80000000), 0), 0, "");
	ok = LLVMBuildAnd(l->b, LLVMBuildICmp(l->b, LLVMIntUGE, max, LLVMConstInt(l->i32, 7, false), ""),
			  LLVMBuildICmp(l->b, LLVMIntUGE, emax, LLVMConstInt(l->i32, UINT32_C(0x80000001), false), ""),
			  "");
	LLVMBuildCondBr(l->b, ok, leaves, low);
	LLVMPositionBuilderAtEnd(l->b, leaves);
	l1 = cpuid(l, 1, 0);
	word[0] = LLVMBuildExtractValue(l->b, l1, 2, "");
	LLVMBuildCondBr(l->b, has_bits(l, word[0], BIT(27)), state, low); /* osxsave: xgetbv exists */
	LLVMPositionBuilderAtEnd(l->b, state);
	l7 = cpuid(l, 7, 0);
	word[1] = LLVMBuildExtractValue(l->b, l7, 1, "");
	word[2] = LLVMBuildExtractValue(l->b, l7, 2, "");
	/* leaf 7.1 reads as zero where leaf 7 says that it is not there */
	x = LLVMBuildExtractValue(l->b, cpuid(l, 7, 1), 0, "");
	ok = LLVMBuildICmp(l->b, LLVMIntUGE, LLVMBuildExtractValue(l->b, l7, 0, ""), LLVMConstInt(l->i32, 1, false),
			   "");
	word[3] = LLVMBuildSelect(l->b, ok, x, LLVMConstInt(l->i32, 0, false), "");
	word[4] = LLVMBuildExtractValue(l->b, cpuid(l, UINT32_C(0x80000001), 0), 2, "");
	word[5] = xgetbv(l);
	pick = last;
	for (size_t i = n - 1; i-- > 0;) {
		const struct need *q = find_need(levels[i].cpu);
		const uint32_t bits[6] = {q->l1c, q->l7b, q->l7c, q->l71a, q->e1c, q->xcr0};

		ok = LLVMConstInt(l->i1, 1, false);
		for (int k = 0; k < 6; k++)
			ok = LLVMBuildAnd(l->b, ok, has_bits(l, word[k], bits[k]), "");
		pick = LLVMBuildSelect(l->b, ok, LLVMConstInt(l->i32, i, false), pick, "");
	}
	LLVMBuildRet(l->b, pick);
	LLVMPositionBuilderAtEnd(l->b, low);
	LLVMBuildRet(l->b, last);
	return fn;
}

static void level_prefix(const char *prefix, size_t i, size_t n, char *out, size_t cap)
{
	if (n == 1)
		snprintf(out, cap, "%s", prefix);
	else
		snprintf(out, cap, "%s_l%zu", prefix, i);
}

/* PREFIX_main or PREFIX_size: switch on level(). */
static void dispatcher(ftl_le *l, const char *prefix, const char *what, size_t n, LLVMValueRef level,
		       LLVMTypeRef level_type)
{
	char name[512], inner[400];
	LLVMValueRef fn, target, sw, run, which;
	LLVMBasicBlockRef block, other;

	snprintf(name, sizeof name, "%s_%s", prefix, what);
	fn = l->fn = ftl_le_function(l, name, l->main_type, LLVMExternalLinkage);
	LLVMPositionBuilderAtEnd(l->b, ftl_le_block(l, "entry"));
	run = LLVMGetParam(fn, 0);
	which = LLVMBuildCall2(l->b, level_type, level, NULL, 0, "");
	other = ftl_le_block(l, "other");
	sw = LLVMBuildSwitch(l->b, which, other, (unsigned)n);
	for (size_t i = 0; i < n; i++) {
		level_prefix(prefix, i, n, inner, sizeof inner);
		snprintf(name, sizeof name, "%s_%s", inner, what);
		target = LLVMGetNamedFunction(l->m, name);
		block = i + 1 == n ? other : ftl_le_block(l, "level");
		if (i + 1 < n)
			LLVMAddCase(sw, LLVMConstInt(l->i32, i, false), block);
		LLVMPositionBuilderAtEnd(l->b, block);
		LLVMBuildRet(l->b, LLVMBuildCall2(l->b, l->main_type, target, &run, 1, ""));
	}
}

static void emit_level(ftl_le *l, const ftl_llvm_level *v, const ftl_spec *spec, const char *prefix, bool alone)
{
	char name[512];
	LLVMValueRef fn;

	l->km = v->module;
	l->spec = spec;
	l->prefix = prefix;
	l->blob_map = v->blob_map;
	l->msg_map = v->msg_map;
	l->internal = true;
	l->launch = l->out = l->alloc = l->release = NULL; /* helpers are compiled for their level too */
	for (uint32_t k = 0; k < v->module->kernels.n; k++)
		ftl_le_kernel(l, v->module->kernels.v[k]);
	for (int k = 0; k < 2; k++) {
		const ftl_kfunc *f = k ? v->module->size : v->module->main;

		snprintf(name, sizeof name, "%s_%s", prefix, k ? "size" : "main");
		if (f)
			ftl_le_program(l, f, name);
		fn = LLVMGetNamedFunction(l->m, name);
		if (fn && !alone)
			LLVMSetLinkage(fn, LLVMInternalLinkage);
	}
}

static ftl_status check_levels(const ftl_llvm_level *levels, size_t n, const ftl_spec *specs, ftl_diag *d)
{
	if (n > 1 && !specs[0].x86)
		return ftl_fail(d, FTL_ERR_UNSUPPORTED, "several cpu levels in one object are possible on x86_64 only");
	for (size_t i = 0; i < n; i++) {
		if (!levels[i].module->main || (n > 1 && !levels[i].module->size))
			return ftl_fail(d, FTL_ERR_USAGE, "module %s has no program", levels[i].module->name);
		if (n > 1 && !find_need(levels[i].cpu))
			return ftl_fail(
				d, FTL_ERR_USAGE,
				"cpu \"%s\" cannot be one of several; use avx512vnni, avx512, avx2vnni, avx2, sse2",
				levels[i].cpu ? levels[i].cpu : "native");
		if (n > 1 && levels[i].features && *levels[i].features)
			return ftl_fail(d, FTL_ERR_USAGE, "extra features cannot be checked when the object is loaded");
	}
	return FTL_OK;
}

/* PREFIX_weights: the assembler reads the file, so that the bytes never are IR. */
static ftl_status embed(ftl_le *l, const char *prefix, const char *path)
{
	size_t cap = 4 * strlen(path) + 6 * strlen(prefix) + 300, n;
	const char *triple = l->spec->triple;
	char *s;

	if (strstr(triple, "apple") || strstr(triple, "darwin") || strstr(triple, "windows"))
		return ftl_fail(l->d, FTL_ERR_UNSUPPORTED, "weights cannot be embedded for %s: put them into a file",
				triple);
	s = malloc(cap);
	if (!s)
		return ftl_fail(l->d, FTL_ERR_MEMORY, "out of memory");
	n = (size_t)snprintf(s, cap,
			     ".section .rodata.%s_weights,\"a\",@progbits\n.balign 64\n.globl %s_weights\n"
			     ".type %s_weights,@object\n%s_weights:\n.incbin \"",
			     prefix, prefix, prefix, prefix);
	for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
		if (*p < 0x20 || *p >= 0x7f || *p == '"' || *p == '\\')
			n += (size_t)snprintf(s + n, cap - n, "\\%03o", *p);
		else
			s[n++] = (char)*p;
	}
	n += (size_t)snprintf(s + n, cap - n, "\"\n.size %s_weights, . - %s_weights\n.text\n", prefix, prefix);
	LLVMAppendModuleInlineAsm(l->m, s, n);
	free(s);
	return FTL_OK;
}

static ftl_status emit_all(const ftl_llvm_level *levels, size_t n, const ftl_spec *specs, const ftl_llvm_options *o,
			   ftl_llvm_kind kind, ftl_diag *d, LLVMMemoryBufferRef *out)
{
	char prefix[256], inner[400];
	LLVMTypeRef level_type;
	LLVMValueRef level;
	ftl_status_code code;
	ftl_le l;

	ftl_llvm_prefix(levels[n - 1].module, o, prefix, sizeof prefix);
	ftl_le_init(&l, levels[n - 1].module, &specs[n - 1], prefix, d);
	for (size_t i = 0; i < n; i++) {
		level_prefix(prefix, i, n, inner, sizeof inner);
		emit_level(&l, &levels[i], &specs[i], inner, n == 1);
	}
	l.km = levels[n - 1].module;
	l.spec = &specs[n - 1];
	if (n > 1 && l.err == FTL_OK) {
		level = level_function(&l, levels, n, &level_type);
		dispatcher(&l, prefix, "main", n, level, level_type);
		dispatcher(&l, prefix, "size", n, level, level_type);
	}
	if (o && o->weights && l.err == FTL_OK)
		l.err = embed(&l, prefix, o->weights);
	code = ftl_le_finish(&l, LLVMCodeGenLevelDefault, ftl_llvm_passes, o && o->verify, kind, out);
	ftl_le_free(&l);
	return code;
}

ftl_status ftl_llvm_emit_levels(const ftl_llvm_level *levels, size_t n, const ftl_llvm_options *o, ftl_llvm_kind kind,
				ftl_arena *arena, ftl_diag *d, const void **out_bytes, size_t *out_n)
{
	ftl_spec specs[8];
	LLVMMemoryBufferRef buf = NULL;
	ftl_status_code code = FTL_OK;
	size_t made = 0;
	char *copy;

	if (n == 0 || n > FTL_COUNT(specs))
		return ftl_fail(d, FTL_ERR_USAGE, "1 to %zu cpu levels, not %zu", FTL_COUNT(specs), n);
	while (made < n && code == FTL_OK) {
		code = ftl_spec_make(o ? o->triple : NULL, levels[made].cpu, levels[made].features, d, &specs[made]);
		made++;
	}
	if (code == FTL_OK)
		code = check_levels(levels, n, specs, d);
	if (code == FTL_OK)
		code = emit_all(levels, n, specs, o, kind, d, &buf);
	for (size_t i = 0; i < made; i++)
		ftl_spec_free(&specs[i]);
	if (code != FTL_OK)
		return code;
	*out_n = LLVMGetBufferSize(buf);
	/* the arena may jump away: let it own the buffer before it is asked for room */
	ftl_arena_defer(arena, (void (*)(void *))(void *)LLVMDisposeMemoryBuffer, buf);
	copy = ftl_arena_alloc(arena, *out_n + 1);
	memcpy(copy, LLVMGetBufferStart(buf), *out_n);
	copy[*out_n] = 0;
	*out_bytes = copy;
	return FTL_OK;
}
