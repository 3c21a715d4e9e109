/* What the files of the LLVM backend share: the resolved target and the emission state of one LLVM module.
 *
 * A kernel module may be spread over several LLVM modules (for parallel compilation); each has its own context, so
 * nothing here is shared between threads but the kernel module, which is read only. */
#ifndef BACKENDS_LLVM_INTERNAL_H
#define BACKENDS_LLVM_INTERNAL_H

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "backends/llvm.h"

/* ---- target.c ---- */
enum ftl_cpu_feature {
	FTL_CPU_FMA = 1,
	FTL_CPU_F16C = 2,
	FTL_CPU_AVX2 = 4,
	FTL_CPU_AVX512 = 8,   /* F, BW, DQ, VL */
	FTL_CPU_VNNI512 = 16, /* AVX512-VNNI with VL */
	FTL_CPU_AVXVNNI = 32,
	FTL_CPU_SSE41 = 64,
	FTL_CPU_I8MM = 128,
};
typedef struct ftl_spec {
	LLVMTargetRef target;
	char triple[128], cpu[64];
	char *features; /* LLVM's syntax; from malloc */
	bool x86, aarch64;
	unsigned have; /* enum ftl_cpu_feature */
} ftl_spec;
ftl_status ftl_spec_make(const char *triple, const char *cpu, const char *features, ftl_diag *d, ftl_spec *out);
void ftl_spec_free(ftl_spec *s);
LLVMTargetMachineRef ftl_spec_machine(const ftl_spec *s, LLVMCodeGenOptLevel level);

/* ---- emission ---- */
#define FTL_LLVM_MAX_DEPTH 256

typedef struct ftl_le {
	LLVMContextRef c;
	LLVMModuleRef m;
	LLVMBuilderRef b;       /* where instructions go */
	LLVMBuilderRef allocas; /* end of the entry block of the current function */
	const ftl_spec *spec;
	const ftl_kmodule *km;
	const char *prefix; /* symbol prefix, with the level's suffix */
	const uint32_t *blob_map;
	const int64_t *msg_map;
	bool internal; /* kernels get internal linkage: everything is in this LLVM module */
	ftl_diag *d;
	ftl_status_code err; /* first error; emission goes on with poison */
	LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr, size_t_, void_;
	LLVMTypeRef io_type, run_type, kernel_type, main_type;
	LLVMValueRef launch, out, alloc, release; /* helpers of the program function, made on first use */
	/* the current function */
	const ftl_kfunc *f;
	LLVMValueRef fn, run, grid, args; /* args: the program's scratch array for launches */
	LLVMValueRef *val;                /* by ftl_kv */
	LLVMValueRef *param;
	LLVMBasicBlockRef leave; /* where a break goes */
	int depth;
	bool is_size;
	bool unrolls;   /* some loop is marked */
	bool *can_fail; /* by kernel: contains a check */
} ftl_le;

void ftl_le_init(ftl_le *l, const ftl_kmodule *km, const ftl_spec *spec, const char *prefix, ftl_diag *d);
void ftl_le_free(ftl_le *l); /* the module and context too */
void ftl_le_fail(ftl_le *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* emit.c: functions and control flow */
void ftl_le_kernel(ftl_le *l, const ftl_kfunc *f);
void ftl_le_program(ftl_le *l, const ftl_kfunc *f, const char *name);
LLVMValueRef ftl_le_declare_kernel(ftl_le *l, const ftl_kfunc *f);
LLVMValueRef ftl_le_function(ftl_le *l, const char *name, LLVMTypeRef type, LLVMLinkage linkage);
LLVMValueRef ftl_le_val(ftl_le *l, ftl_kv v); /* of an instruction that was emitted, or a constant, param, ... */
LLVMBasicBlockRef ftl_le_block(ftl_le *l, const char *name);

/* emit_type.c: types, constants, intrinsics */
LLVMTypeRef ftl_le_elem(ftl_le *l, ftl_dtype t);     /* in a register: bool i1; f16 and bf16 their bits */
LLVMTypeRef ftl_le_mem_elem(ftl_le *l, ftl_dtype t); /* in memory: bool i8 */
LLVMTypeRef ftl_le_vec(LLVMTypeRef elem, int lanes); /* elem itself if lanes == 1 */
LLVMTypeRef ftl_le_type(ftl_le *l, ftl_ktype t);
LLVMValueRef ftl_le_int(LLVMTypeRef t, int64_t v); /* t: integer or vector of integers */
LLVMValueRef ftl_le_real(LLVMTypeRef t, double v);
LLVMValueRef ftl_le_i64(ftl_le *l, int64_t v);
LLVMValueRef ftl_le_iota(LLVMTypeRef elem, int lanes);
LLVMValueRef ftl_le_splat(ftl_le *l, LLVMValueRef x, int lanes);
LLVMValueRef ftl_le_intrinsic(ftl_le *l, const char *name, LLVMTypeRef *over, unsigned nover, LLVMValueRef *args,
			      unsigned nargs);
void ftl_le_attr(ftl_le *l, LLVMValueRef fn, const char *name);
void ftl_le_attr_str(ftl_le *l, LLVMValueRef fn, const char *key, const char *value);

/* emit_math.c, emit_vec.c, emit_mem.c, emit_main.c: NULL if the instruction is not theirs; void instructions return
 * l->run or any other value that is not NULL */
LLVMValueRef ftl_le_math(ftl_le *l, const ftl_kinst *in);
LLVMValueRef ftl_le_cast(ftl_le *l, LLVMValueRef x, ftl_dtype from, ftl_dtype to, int lanes);
LLVMValueRef ftl_le_vector(ftl_le *l, const ftl_kinst *in);
LLVMValueRef ftl_le_memory(ftl_le *l, const ftl_kinst *in);
LLVMValueRef ftl_le_main_inst(ftl_le *l, const ftl_kinst *in);

/* ---- compile.c ---- */
/* Verify (if asked), optimize, generate. The buffer is LLVM's: LLVMDisposeMemoryBuffer. */
ftl_status ftl_le_finish(ftl_le *l, LLVMCodeGenOptLevel level, const char *passes, bool verify, ftl_llvm_kind kind,
			 LLVMMemoryBufferRef *out);
extern const char ftl_llvm_passes[], ftl_llvm_passes_unroll[], ftl_llvm_passes_quick[];
void ftl_llvm_prefix(const ftl_kmodule *m, const ftl_llvm_options *o, char *out, size_t n);

#endif
