/* LLVM backend: a planned kernel module to object code, assembly or LLVM text, or to code in this process.
 *
 * The module must have gone through ftl_kmodule_plan (no `buf` left) and ftl_kmodule_verify. What comes out follows
 * runtime/abi.h. Compiled code calls nothing but libc (memcpy, memset) and libm, and keeps no data.
 * Nothing here keeps state; several threads may compile at once. */
#ifndef BACKENDS_LLVM_H
#define BACKENDS_LLVM_H

#include "base/status.h"
#include "kernels/kir.h"
#include "runtime/abi.h"

typedef enum ftl_llvm_kind { FTL_LLVM_OBJECT, FTL_LLVM_ASM, FTL_LLVM_TEXT } ftl_llvm_kind;

typedef struct ftl_llvm_options {
	const char *triple; /* NULL: this machine */
	const char *cpu; /* a level (avx512, avx2, sse2, neon), an LLVM cpu name, "native"; NULL: native, or the lowest
	                         level of another triple */
	const char *features; /* further LLVM features, "+a,-b"; NULL: none */
	const char *prefix;   /* functions are PREFIX_main and PREFIX_size; NULL: the module's name as a C identifier */
	int threads;          /* JIT: compile on so many threads; <= 1: on this one */
	bool quick;  /* JIT: compiles about 3 times as fast, runs 3 to 5 times as slow: for code that runs once */
	bool verify; /* run LLVM's own verifier: for tests */
	const char *
		weights; /* AOT, ELF: a file whose bytes become PREFIX_weights (64-byte aligned, read-only); NULL: none */
} ftl_llvm_options;

/* One variant of a model in an object that holds several. Messages and blobs of all variants share one numbering:
 * number k of this module is msg_map[k] / blob_map[k] (NULL: the same number). */
typedef struct ftl_llvm_level {
	const ftl_kmodule *module;
	const char *cpu, *features; /* as above */
	const uint32_t *blob_map;
	const int64_t *msg_map;
} ftl_llvm_level;

/* Compile; out_bytes (text: also NUL-terminated) lives in arena. o NULL: defaults. */
ftl_status ftl_llvm_emit(const ftl_kmodule *m, const ftl_llvm_options *o, ftl_llvm_kind kind, ftl_arena *arena,
			 ftl_diag *d, const void **out_bytes, size_t *out_n);
/* The same for several levels, best first; the last one must run on every cpu of the triple. PREFIX_main and PREFIX_size
 * ask the cpu (x86: cpuid and xgetbv) at each call and go to the first level that it can run. */
ftl_status ftl_llvm_emit_levels(const ftl_llvm_level *levels, size_t n, const ftl_llvm_options *o, ftl_llvm_kind kind,
				ftl_arena *arena, ftl_diag *d, const void **out_bytes, size_t *out_n);

/* Code in this process, for this machine (triple must be NULL). */
typedef struct ftl_jit ftl_jit;
ftl_status ftl_jit_create(const ftl_kmodule *m, const ftl_llvm_options *o, ftl_diag *d, ftl_jit **out);
ftl_main_fn ftl_jit_main(const ftl_jit *j);
ftl_size_fn ftl_jit_size(const ftl_jit *j);                 /* NULL if the module has no size function */
ftl_kernel_fn ftl_jit_kernel(ftl_jit *j, const char *name); /* NULL if there is none */
size_t ftl_jit_code_bytes(const ftl_jit *j);
void ftl_jit_free(ftl_jit *j); /* NULL is fine */

/* What this machine is to LLVM, in arena: for messages and for `fettle list targets`. */
const char *ftl_llvm_host_cpu(ftl_arena *arena);
const char *ftl_llvm_host_level(void); /* "avx512", "avx2", "sse2", "neon", "scalar" */

#endif
