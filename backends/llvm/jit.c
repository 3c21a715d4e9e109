/* JIT: the module compiled into this process.
 *
 * Kernels are spread over as many LLVM modules as there are threads, balanced by instruction count; each is compiled
 * to an object on its own thread with its own context, and LLJIT only links the objects. The program function is a
 * module of its own, compiled without optimization: it is long and not hot. Compiled code may call the functions
 * listed here and nothing else, so that what it can reach does not depend on how the process was linked. */
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MAX_PARTS 64
#define JIT_PREFIX "ftl"

struct ftl_jit {
	LLVMOrcLLJITRef lljit;
	ftl_main_fn main;
	ftl_size_fn size;
	size_t code_bytes;
};

typedef struct part {
	const ftl_kmodule *m;
	const ftl_spec *spec;
	const ftl_llvm_options *o;
	const uint32_t *owner; /* by kernel: which part; NULL: this part is the program */
	uint32_t index;
	ftl_diag diag;
	ftl_status_code code;
	LLVMMemoryBufferRef object;
} part;

typedef struct job {
	part *parts;
	uint32_t n;
	atomic_uint next;
} job;

static void compile_part(part *p)
{
	bool quick = p->o && p->o->quick, program = !p->owner;
	LLVMCodeGenOptLevel level = program || quick ? LLVMCodeGenLevelNone : LLVMCodeGenLevelDefault;
	ftl_le l;

	ftl_le_init(&l, p->m, p->spec, JIT_PREFIX, &p->diag);
	if (program) {
		if (p->m->main)
			ftl_le_program(&l, p->m->main, JIT_PREFIX "_main");
		if (p->m->size)
			ftl_le_program(&l, p->m->size, JIT_PREFIX "_size");
	}
	for (uint32_t k = 0; !program && k < p->m->kernels.n; k++) {
		if (p->owner[k] == p->index)
			ftl_le_kernel(&l, p->m->kernels.v[k]);
	}
	p->code = ftl_le_finish(&l, level,
				program ? NULL
				: quick ? ftl_llvm_passes_quick
					: ftl_llvm_passes,
				p->o && p->o->verify, FTL_LLVM_OBJECT, &p->object);
	ftl_le_free(&l);
}

static void *worker(void *user)
{
	job *j = user;
	uint32_t i;

	while ((i = atomic_fetch_add(&j->next, 1)) < j->n)
		compile_part(&j->parts[i]);
	return NULL;
}

/* Largest kernels first, each to the part with the least so far. */
typedef struct sized {
	uint32_t kernel, insts;
} sized;

static int by_size(const void *a, const void *b)
{
	const sized *x = a, *y = b;

	if (x->insts != y->insts)
		return x->insts < y->insts ? 1 : -1;
	return x->kernel < y->kernel ? -1 : x->kernel > y->kernel;
}

static bool spread(const ftl_kmodule *m, uint32_t nparts, uint32_t *owner)
{
	uint64_t load[MAX_PARTS] = {0};
	sized *s = calloc((size_t)m->kernels.n + 1, sizeof *s);

	if (!s)
		return false;
	for (uint32_t k = 0; k < m->kernels.n; k++)
		s[k] = (sized){k, m->kernels.v[k]->inst.n};
	qsort(s, m->kernels.n, sizeof *s, by_size);
	for (uint32_t k = 0; k < m->kernels.n; k++) {
		uint32_t best = 0;

		for (uint32_t i = 1; i < nparts; i++)
			best = load[i] < load[best] ? i : best;
		owner[s[k].kernel] = best;
		load[best] += s[k].insts + 20u;
	}
	free(s);
	return true;
}

static void run_job(job *j, uint32_t nthreads)
{
	pthread_t t[MAX_PARTS];
	uint32_t started = 0;

	while (started + 1 < nthreads && pthread_create(&t[started], NULL, worker, j) == 0)
		started++;
	worker(j);
	for (uint32_t i = 0; i < started; i++)
		pthread_join(t[i], NULL);
}

static ftl_status lljit_fail(ftl_diag *d, LLVMErrorRef e)
{
	char *text = LLVMGetErrorMessage(e);
	ftl_status_code code = ftl_fail(d, FTL_ERR_UNSUPPORTED, "LLVM JIT: %s", text);

	LLVMDisposeErrorMessage(text);
	return code;
}

/* Errors inside the session are also returned by the lookup that caused them; LLVM's default would print them. */
static void ignore_error(void *user, LLVMErrorRef e)
{
	FTL_UNUSED(user);
	LLVMConsumeError(e);
}

typedef struct external {
	const char *name;
	void (*fn)(void);
} external;

#define F1(name)                                                                                                       \
	{#name, (void (*)(void))(double (*)(double))name},                                                             \
	{                                                                                                              \
#name "f", (void (*)(void))(float (*)(float))name##f                                                   \
	}
#define F2(name)                                                                                                       \
	{#name, (void (*)(void))(double (*)(double, double))name},                                                     \
	{                                                                                                              \
#name "f", (void (*)(void))(float (*)(float, float))name##f                                            \
	}
static const external externals[] = {
	{"memcpy", (void (*)(void))memcpy},
	{"memset", (void (*)(void))memset},
	{"memmove", (void (*)(void))memmove},
	F1(exp),
	F1(log),
	F1(sin),
	F1(cos),
	F1(tan),
	F1(asin),
	F1(acos),
	F1(atan),
	F1(sinh),
	F1(cosh),
	F1(tanh),
	F1(asinh),
	F1(acosh),
	F1(atanh),
	F1(erf),
	F1(sqrt),
	F1(floor),
	F1(ceil),
	F1(trunc),
	F1(rint),
	F1(nearbyint),
	F1(exp2),
	F1(fabs),
	F1(cbrt),
	F2(pow),
	F2(fmod),
	F2(fmin),
	F2(fmax),
	{"fma", (void (*)(void))(double (*)(double, double, double))fma},
	{"fmaf", (void (*)(void))(float (*)(float, float, float))fmaf},
	{"ldexp", (void (*)(void))(double (*)(double, int))ldexp},
	{"ldexpf", (void (*)(void))(float (*)(float, int))ldexpf},
};

static ftl_status define_externals(ftl_jit *j, ftl_diag *d)
{
	LLVMOrcCSymbolMapPair pairs[FTL_COUNT(externals)];
	LLVMErrorRef e;

	for (size_t i = 0; i < FTL_COUNT(externals); i++) {
		pairs[i].Name = LLVMOrcLLJITMangleAndIntern(j->lljit, externals[i].name);
		pairs[i].Sym.Address = (LLVMOrcExecutorAddress)(uintptr_t)externals[i].fn;
		pairs[i].Sym.Flags = (LLVMJITSymbolFlags){
			LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable, 0};
	}
	e = LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(j->lljit),
				  LLVMOrcAbsoluteSymbols(pairs, FTL_COUNT(pairs)));
	return e ? lljit_fail(d, e) : FTL_OK;
}

static ftl_status lookup(ftl_jit *j, const char *name, ftl_diag *d, uintptr_t *out)
{
	LLVMOrcExecutorAddress at = 0;
	LLVMErrorRef e = LLVMOrcLLJITLookup(j->lljit, &at, name);

	*out = (uintptr_t)at;
	return e ? lljit_fail(d, e) : FTL_OK;
}

static ftl_status link_parts(ftl_jit *j, const ftl_kmodule *m, const ftl_spec *spec, part *parts, uint32_t n,
			     ftl_diag *d)
{
	LLVMOrcLLJITBuilderRef b = LLVMOrcCreateLLJITBuilder();
	LLVMErrorRef e;
	uintptr_t at;

	/* LLJIT compiles nothing itself; the machine only saves it from looking up the host again */
	LLVMOrcLLJITBuilderSetJITTargetMachineBuilder(
		b, LLVMOrcJITTargetMachineBuilderCreateFromTargetMachine(ftl_spec_machine(spec, LLVMCodeGenLevelNone)));
	e = LLVMOrcCreateLLJIT(&j->lljit, b);
	if (e)
		return lljit_fail(d, e);
	LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(j->lljit), ignore_error, NULL);
	FTL_TRY(define_externals(j, d));
	for (uint32_t i = 0; i < n; i++) {
		j->code_bytes += LLVMGetBufferSize(parts[i].object);
		e = LLVMOrcLLJITAddObjectFile(j->lljit, LLVMOrcLLJITGetMainJITDylib(j->lljit), parts[i].object);
		parts[i].object = NULL; /* taken, error or not */
		if (e)
			return lljit_fail(d, e);
	}
	if (m->main) {
		FTL_TRY(lookup(j, JIT_PREFIX "_main", d, &at));
		j->main = (ftl_main_fn)at;
	}
	if (m->size) {
		FTL_TRY(lookup(j, JIT_PREFIX "_size", d, &at));
		j->size = (ftl_size_fn)at;
	}
	return FTL_OK;
}

ftl_status ftl_jit_create(const ftl_kmodule *m, const ftl_llvm_options *o, ftl_diag *d, ftl_jit **out)
{
	uint32_t threads = o && o->threads > 1 ? (uint32_t)o->threads : 1, nparts, *owner;
	part *parts;
	ftl_jit *j;
	job work;
	ftl_spec spec;
	ftl_status_code code;

	*out = NULL;
	if (o && o->triple)
		return ftl_fail(d, FTL_ERR_USAGE, "a JIT compiles for the machine it runs on");
	threads = threads < MAX_PARTS ? threads : MAX_PARTS - 1;
	nparts = threads < m->kernels.n ? threads : m->kernels.n;
	j = calloc(1, sizeof *j);
	parts = calloc((size_t)nparts + 1, sizeof *parts);
	owner = calloc((size_t)m->kernels.n + 1, sizeof *owner);
	code = j && parts && owner && spread(m, nparts ? nparts : 1, owner)
		       ? FTL_OK
		       : ftl_fail(d, FTL_ERR_MEMORY, "out of memory");
	if (code == FTL_OK)
		code = ftl_spec_make(NULL, o ? o->cpu : NULL, o ? o->features : NULL, d, &spec);
	else
		memset(&spec, 0, sizeof spec);
	if (code == FTL_OK) {
		/* the program first: it is the longest single piece in deep models */
		for (uint32_t i = 0; i <= nparts; i++)
			parts[i] = (part){
				.m = m, .spec = &spec, .o = o, .owner = i ? owner : NULL, .index = i ? i - 1 : 0};
		work = (job){.parts = parts, .n = nparts + 1};
		run_job(&work, threads);
		for (uint32_t i = 0; i <= nparts && code == FTL_OK; i++)
			code = parts[i].code == FTL_OK ? FTL_OK : ftl_fail(d, parts[i].code, "%s", parts[i].diag.text);
	}
	if (code == FTL_OK)
		code = link_parts(j, m, &spec, parts, nparts + 1, d);
	for (uint32_t i = 0; parts && i <= nparts; i++) {
		if (parts[i].object)
			LLVMDisposeMemoryBuffer(parts[i].object);
	}
	ftl_spec_free(&spec);
	free(owner);
	free(parts);
	if (code != FTL_OK) {
		ftl_jit_free(j);
		return code;
	}
	*out = j;
	return FTL_OK;
}

ftl_main_fn ftl_jit_main(const ftl_jit *j)
{
	return j->main;
}

ftl_size_fn ftl_jit_size(const ftl_jit *j)
{
	return j->size;
}

size_t ftl_jit_code_bytes(const ftl_jit *j)
{
	return j->code_bytes;
}

ftl_kernel_fn ftl_jit_kernel(ftl_jit *j, const char *name)
{
	LLVMOrcExecutorAddress at = 0;
	LLVMErrorRef e;
	char symbol[512];

	snprintf(symbol, sizeof symbol, JIT_PREFIX "_k_%s", name);
	e = LLVMOrcLLJITLookup(j->lljit, &at, symbol);
	if (e) {
		LLVMConsumeError(e);
		return NULL;
	}
	return (ftl_kernel_fn)(uintptr_t)at;
}

void ftl_jit_free(ftl_jit *j)
{
	LLVMErrorRef e;

	if (!j)
		return;
	if (j->lljit) {
		e = LLVMOrcDisposeLLJIT(j->lljit);
		if (e)
			LLVMConsumeError(e);
	}
	free(j);
}
