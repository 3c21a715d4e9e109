/* Every kernel IR instruction x element type x lanes as small modules, run by the interpreter and by a backend, compared.
 *
 * A module holds all types and lanes of one instruction (or one hand-written bit of control flow), one output per case,
 * so that a backend that compiles slowly has few modules to compile. Inputs are random with special values mixed in. */
#ifndef TESTS_KOP_CASES_H
#define TESTS_KOP_CASES_H

#include "kernels/kir.h"

#define KOP_ELEMS 4096 /* elements of every input */

/* Run m->main; out[k].data has out[k].bytes of memory. Same contract as ftl_kmodule_interpret. */
typedef ftl_status (*kop_exec)(void *user, const ftl_kmodule *m, ftl_arena *arena, const ftl_karg_tensor *in,
			       ftl_karg_tensor *out, ftl_diag *d);

typedef struct kop_backend {
	kop_exec exec;
	void *user;
	bool no_fma;     /* floats of fma are rounded twice: those cases are left out */
	bool scalar;     /* has no vectors: only cases of one lane */
	bool math_close; /* libm functions may differ by a few units in the last place */
} kop_backend;

size_t kop_modules(void);
/* Planned and verified, or NULL with d filled in. */
ftl_kmodule *kop_module(ftl_arena *arena, size_t i, const kop_backend *b, ftl_diag *d);
/* True if the backend's results are the interpreter's; else why says which case, lane and values. */
bool kop_check(size_t i, const kop_backend *b, char *why, size_t n);

/* kop_flow.c: modules that are not about one instruction */
size_t kop_flow_modules(void);
ftl_kmodule *kop_flow_module(ftl_arena *arena, size_t i);

/* for both: a module with inputs x0 x1 x2 of every type; an input's number; an output of `bytes` bytes */
ftl_kmodule *kop_new(ftl_arena *arena, const char *name, ftl_kb *main);
uint32_t kop_input(ftl_dtype t, int k);
ftl_kv kop_output(ftl_kmodule *m, ftl_kb *main, const char *name, ftl_dtype t, int64_t elems);
void kop_finish(ftl_kmodule *m, ftl_kb *main);

#endif
