/* Which machine code is made for: triple, cpu, features, and what the emitters want to know of them.
 *
 * LLVM's C API does not tell a cpu's features, and complains on stderr about cpus it does not know, so the cpus that
 * may be named are a table here; "native" asks the machine. */
#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define V3 (FTL_CPU_FMA | FTL_CPU_F16C | FTL_CPU_AVX2 | FTL_CPU_SSE41)
#define V4 (V3 | FTL_CPU_AVX512)
#define VNNI (V4 | FTL_CPU_VNNI512)
#define ARM (FTL_CPU_FMA | FTL_CPU_F16C)

struct cpu {
	const char *name, *llvm;
	bool arm;
	unsigned have;
};
/* The levels come first: they are what lowering schedules for. */
static const struct cpu cpus[] = {
	{"avx512", "x86-64-v4", false, V4},
	{"avx2", "x86-64-v3", false, V3},
	{"sse2", "x86-64", false, 0},
	{"neon", "generic", true, ARM},
	{"avx512vnni", "x86-64-v4", false, VNNI},
	{"avx2vnni", "x86-64-v3", false, V3 | FTL_CPU_AVXVNNI},
	{"x86-64", "x86-64", false, 0},
	{"x86-64-v2", "x86-64-v2", false, FTL_CPU_SSE41},
	{"x86-64-v3", "x86-64-v3", false, V3},
	{"x86-64-v4", "x86-64-v4", false, V4},
	{"haswell", "haswell", false, V3},
	{"broadwell", "broadwell", false, V3},
	{"skylake", "skylake", false, V3},
	{"skylake-avx512", "skylake-avx512", false, V4},
	{"cascadelake", "cascadelake", false, VNNI},
	{"cooperlake", "cooperlake", false, VNNI},
	{"icelake-client", "icelake-client", false, VNNI},
	{"icelake-server", "icelake-server", false, VNNI},
	{"tigerlake", "tigerlake", false, VNNI},
	{"rocketlake", "rocketlake", false, VNNI},
	{"alderlake", "alderlake", false, V3 | FTL_CPU_AVXVNNI},
	{"raptorlake", "raptorlake", false, V3 | FTL_CPU_AVXVNNI},
	{"meteorlake", "meteorlake", false, V3 | FTL_CPU_AVXVNNI},
	{"sapphirerapids", "sapphirerapids", false, VNNI | FTL_CPU_AVXVNNI},
	{"emeraldrapids", "emeraldrapids", false, VNNI | FTL_CPU_AVXVNNI},
	{"graniterapids", "graniterapids", false, VNNI | FTL_CPU_AVXVNNI},
	{"znver1", "znver1", false, V3},
	{"znver2", "znver2", false, V3},
	{"znver3", "znver3", false, V3},
	{"znver4", "znver4", false, VNNI},
	{"cortex-a53", "cortex-a53", true, ARM},
	{"cortex-a55", "cortex-a55", true, ARM},
	{"cortex-a72", "cortex-a72", true, ARM},
	{"cortex-a76", "cortex-a76", true, ARM},
	{"cortex-x1", "cortex-x1", true, ARM},
	{"neoverse-n1", "neoverse-n1", true, ARM},
	{"neoverse-v1", "neoverse-v1", true, ARM | FTL_CPU_I8MM},
	{"neoverse-n2", "neoverse-n2", true, ARM | FTL_CPU_I8MM},
	{"neoverse-v2", "neoverse-v2", true, ARM | FTL_CPU_I8MM},
	{"apple-m1", "apple-m1", true, ARM},
	{"apple-m2", "apple-m2", true, ARM | FTL_CPU_I8MM},
};

/* LLVM keeps its targets in tables of its own. Filling them when the program is loaded, before any thread exists, needs
 * neither a lock nor a flag here. */
__attribute__((constructor)) static void register_targets(void)
{
	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
	LLVMInitializeX86AsmParser(); /* the dispatcher's cpuid is inline assembly */
	LLVMInitializeAArch64TargetInfo();
	LLVMInitializeAArch64Target();
	LLVMInitializeAArch64TargetMC();
	LLVMInitializeAArch64AsmPrinter();
	LLVMInitializeAArch64AsmParser();
	LLVMInitializeRISCVTargetInfo();
	LLVMInitializeRISCVTarget();
	LLVMInitializeRISCVTargetMC();
	LLVMInitializeRISCVAsmPrinter();
	LLVMInitializeRISCVAsmParser();
}

/* Does the feature list ("+a,-b,+c") switch name on? The last mention wins. */
static bool feature_on(const char *list, const char *name)
{
	size_t n = strlen(name), len;
	bool on = false;

	while (list && *list) {
		len = strcspn(list, ",");
		if (len == n + 1 && memcmp(list + 1, name, n) == 0)
			on = list[0] == '+';
		list += len + (list[len] == ',');
	}
	return on;
}

static unsigned features_have(const char *list, bool arm)
{
	unsigned have = 0;

	if (arm)
		return feature_on(list, "i8mm") ? FTL_CPU_I8MM : 0;
	if (feature_on(list, "fma"))
		have |= FTL_CPU_FMA;
	if (feature_on(list, "f16c"))
		have |= FTL_CPU_F16C;
	if (feature_on(list, "sse4.1"))
		have |= FTL_CPU_SSE41;
	if (feature_on(list, "avx2"))
		have |= FTL_CPU_AVX2;
	if (feature_on(list, "avxvnni"))
		have |= FTL_CPU_AVXVNNI;
	if (feature_on(list, "avx512f") && feature_on(list, "avx512bw") && feature_on(list, "avx512vl") &&
	    feature_on(list, "avx512dq")) {
		have |= FTL_CPU_AVX512;
		if (feature_on(list, "avx512vnni"))
			have |= FTL_CPU_VNNI512;
	}
	return have;
}

/* What the emitters rely on is spelled out, so that an intrinsic can never meet a cpu model without it. */
static const struct {
	unsigned bit;
	const char *text;
} spelled[] = {
	{FTL_CPU_FMA, "+fma"},
	{FTL_CPU_F16C, "+f16c"},
	{FTL_CPU_AVX2, "+avx2"},
	{FTL_CPU_AVX512, "+avx512f,+avx512bw,+avx512dq,+avx512vl"},
	{FTL_CPU_VNNI512, "+avx512vnni"},
	{FTL_CPU_AVXVNNI, "+avxvnni"},
};

static ftl_status fill(ftl_spec *s, const char *base, const char *extra, ftl_diag *d)
{
	size_t n = (base ? strlen(base) : 0) + (extra ? strlen(extra) : 0) + 160;
	int at = 0;

	s->features = malloc(n);
	if (!s->features)
		return ftl_fail(d, FTL_ERR_MEMORY, "out of memory");
	s->features[0] = 0;
	if (base && *base)
		at += snprintf(s->features + at, n - (size_t)at, "%s", base);
	for (size_t i = 0; s->x86 && i < FTL_COUNT(spelled); i++) {
		if (s->have & spelled[i].bit && !base)
			at += snprintf(s->features + at, n - (size_t)at, "%s%s", at ? "," : "", spelled[i].text);
	}
	if (s->aarch64 && (s->have & FTL_CPU_I8MM))
		at += snprintf(s->features + at, n - (size_t)at, "%s+i8mm", at ? "," : "");
	if (extra && *extra)
		snprintf(s->features + at, n - (size_t)at, "%s%s", at ? "," : "", extra);
	return FTL_OK;
}

static ftl_status fill_native(ftl_spec *s, const char *extra, ftl_diag *d)
{
	char *name = LLVMGetHostCPUName(), *list = LLVMGetHostCPUFeatures();
	ftl_status_code code;

	snprintf(s->cpu, sizeof s->cpu, "%s", name);
	s->have = s->aarch64 ? ARM : 0;
	s->have |= features_have(list, s->aarch64);
	code = fill(s, list, extra, d);
	LLVMDisposeMessage(name);
	LLVMDisposeMessage(list);
	return code;
}

static ftl_status fill_named(ftl_spec *s, const char *cpu, const char *extra, ftl_diag *d)
{
	for (size_t i = 0; i < FTL_COUNT(cpus); i++) {
		if (strcmp(cpus[i].name, cpu) != 0)
			continue;
		if (cpus[i].arm != s->aarch64 || cpus[i].arm == s->x86)
			return ftl_fail(d, FTL_ERR_USAGE, "cpu \"%s\" does not go with target %s", cpu, s->triple);
		snprintf(s->cpu, sizeof s->cpu, "%s", cpus[i].llvm);
		s->have = cpus[i].have;
		return fill(s, NULL, extra, d);
	}
	return ftl_fail(d, FTL_ERR_USAGE,
			"unknown cpu \"%s\"; say native, avx512, avx2, sse2, neon, or a model such as znver4, "
			"skylake-avx512, neoverse-n1",
			cpu);
}

/* Each feature must be +name or -name. */
static bool features_ok(const char *list)
{
	for (const char *s = list; s && *s;) {
		size_t n = strcspn(s, ",");

		if (n < 2 || (s[0] != '+' && s[0] != '-') ||
		    strspn(s + 1, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != n - 1)
			return false;
		s += n + (s[n] == ',');
	}
	return true;
}

ftl_status ftl_spec_make(const char *triple, const char *cpu, const char *features, ftl_diag *d, ftl_spec *out)
{
	char *text = triple ? LLVMNormalizeTargetTriple(triple) : LLVMGetDefaultTargetTriple(), *error = NULL;
	bool fits, native = (!cpu && !triple) || (cpu && strcmp(cpu, "native") == 0);
	const char *given = features && *features ? features : NULL;
	ftl_status_code code;

	memset(out, 0, sizeof *out);
	fits = strlen(text) < sizeof out->triple;
	if (fits)
		strcpy(out->triple, text);
	LLVMDisposeMessage(text);
	if (!fits)
		return ftl_fail(d, FTL_ERR_USAGE, "target triple is too long");
	if (given && !features_ok(given))
		return ftl_fail(d, FTL_ERR_USAGE, "features \"%s\" are not of the form +name,-name", given);
	if (LLVMGetTargetFromTriple(out->triple, &out->target, &error)) {
		code = ftl_fail(d, FTL_ERR_USAGE,
				"unknown target \"%s\": this build makes code for x86_64, aarch64 and riscv64",
				out->triple);
		LLVMDisposeMessage(error);
		return code;
	}
	out->x86 = strncmp(out->triple, "x86_64", 6) == 0;
	out->aarch64 = strncmp(out->triple, "aarch64", 7) == 0 || strncmp(out->triple, "arm64", 5) == 0;
	if (native)
		code = fill_native(out, given, d);
	else if (!cpu && (out->x86 || out->aarch64))
		code = fill_named(out, out->x86 ? "sse2" : "neon", given, d);
	else if (out->x86 || out->aarch64)
		code = fill_named(out, cpu, given, d);
	else if (cpu)
		code = ftl_fail(d, FTL_ERR_USAGE, "a cpu can only be named for x86_64 and aarch64; use features");
	else
		code = fill(out, "", given, d);
	if (code == FTL_OK && given) {
		/* switching off takes away too */
		for (size_t i = 0; i < FTL_COUNT(spelled); i++) {
			size_t n = strcspn(spelled[i].text, ",");
			char off[32];

			snprintf(off, sizeof off, "-%.*s", (int)n - 1, spelled[i].text + 1);
			if (strstr(given, off))
				out->have &= ~spelled[i].bit;
		}
		out->have |= features_have(out->features, out->aarch64);
		if (strncmp(out->triple, "riscv", 5) == 0 && (feature_on(given, "f") || feature_on(given, "d")))
			out->have |= FTL_CPU_FMA;
	}
	return code;
}

void ftl_spec_free(ftl_spec *s)
{
	free(s->features);
	s->features = NULL;
}

/* The JIT too uses the small code model: the linker reaches what is far through stubs, and LLVM's fast instruction selection
 * and its addressing of constants do not work in the large model that it takes for JITs by itself. */
LLVMTargetMachineRef ftl_spec_machine(const ftl_spec *s, LLVMCodeGenOptLevel level)
{
	return LLVMCreateTargetMachine(s->target, s->triple, s->cpu, s->features ? s->features : "", level,
				       LLVMRelocPIC, s->x86 || s->aarch64 ? LLVMCodeModelSmall : LLVMCodeModelDefault);
}

const char *ftl_llvm_host_cpu(ftl_arena *arena)
{
	char *name = LLVMGetHostCPUName();
	const char *copy = ftl_arena_str(arena, name);

	LLVMDisposeMessage(name);
	return copy;
}

const char *ftl_llvm_host_level(void)
{
	char *list = LLVMGetHostCPUFeatures(), *triple = LLVMGetDefaultTargetTriple();
	bool x86 = strncmp(triple, "x86_64", 6) == 0, arm = strncmp(triple, "aarch64", 7) == 0;
	unsigned have = features_have(list, arm);

	LLVMDisposeMessage(list);
	LLVMDisposeMessage(triple);
	if (arm)
		return "neon";
	if (!x86)
		return "scalar";
	return have & FTL_CPU_AVX512 ? "avx512" : (have & V3) == V3 ? "avx2" : "sse2";
}
