/* C backend: a planned kernel module printed as C, files of it, and compiling it with the system's compiler.
 *
 * The module must have gone through ftl_kmodule_plan (no `buf` left) and ftl_kmodule_verify. What is printed follows
 * runtime/abi.h: it exports NAME_main and NAME_size and, if asked, the weights; all else is static, nothing is
 * mutable, and it needs libc and libm only. The same module gives the same bytes.
 *
 * Dialects. GNU: C11 with vector extensions, for gcc >= 9 and clang; wants the default -ffp-contract of these
 * compilers, so that a * b + c in vectors becomes fma. ISO: C99 for any compiler; the module must have been lowered for
 * the scalar target (no value has lanes). Both are clean under -Wall -Wextra. */
#ifndef BACKENDS_C_H
#define BACKENDS_C_H

#include "backends/artifact.h"
#include "runtime/abi.h"

typedef enum ftl_c_dialect { FTL_C_GNU, FTL_C_ISO } ftl_c_dialect;

typedef struct ftl_c_options {
	const char
		*name; /* prefix of public names and name of the files; NULL: the module's name. Made a C identifier */
	ftl_c_dialect dialect;
	ftl_weights_mode weights;
} ftl_c_options;

/* The code as text, without weights. */
ftl_status ftl_c_print(const ftl_artifact *a, ftl_c_dialect dialect, ftl_text *t, ftl_diag *d);
/* DIR/NAME.c and DIR/NAME.h, and DIR/NAME.weights unless embedded. Memory stays small beside large weights. */
ftl_status ftl_c_emit(const ftl_kmodule *m, const ftl_c_options *o, const char *dir, ftl_diag *d);
/* DIR/NAME.c and DIR/NAME.h of an artifact. */
ftl_status ftl_c_emit_code(ftl_arena *arena, const ftl_artifact *a, ftl_c_dialect dialect, const char *dir,
			   ftl_diag *d);
/* NAME_exe.c for any artifact: a program that runs the model on .npy files; its usage is in its first comment. It includes
 * NAME.h and is linked with the code of any backend. */
void ftl_c_print_exe(const ftl_artifact *a, ftl_text *t);

/* ---- compiling ---- */
typedef struct ftl_cc {
	const char *cc;           /* program name or path; NULL: "cc" */
	const char *const *flags; /* further arguments, e.g. "-O2", "-march=native"; without flags: -O2 */
	size_t nflags;
	const char *workdir; /* where a private folder is made and removed again; NULL or "": /tmp */
} ftl_cc;

/* Compile for this process. Weights are not part of it: run->blobs are the module's, in order. */
typedef struct ftl_c_lib ftl_c_lib;
ftl_status ftl_c_build_shared(ftl_arena *arena, const ftl_kmodule *m, ftl_c_dialect dialect, const ftl_cc *cc,
			      ftl_diag *d, ftl_c_lib **out);
ftl_main_fn ftl_c_lib_main(const ftl_c_lib *l);
ftl_size_fn ftl_c_lib_size(const ftl_c_lib *l); /* NULL if the module has no size function */
void ftl_c_lib_free(ftl_c_lib *l);              /* also done when the arena goes; NULL is fine */

/* A program at `path` from C; weights that are not embedded go to path.weights. */
ftl_status ftl_c_emit_exe(ftl_arena *arena, const ftl_kmodule *m, const ftl_c_options *o, const ftl_cc *cc,
			  const char *path, ftl_diag *d);
/* The same from somebody else's code: objects (or sources) that export what a's header declares. */
ftl_status ftl_c_link_exe(ftl_arena *arena, const ftl_artifact *a, const char *const *objects, size_t n,
			  const ftl_cc *cc, const char *path, ftl_diag *d);
/* A shared library at `path` from objects that export what a's header declares. */
ftl_status ftl_c_link_shared(ftl_arena *arena, const char *const *objects, size_t n, const ftl_cc *cc, const char *path,
			     ftl_diag *d);

#endif
