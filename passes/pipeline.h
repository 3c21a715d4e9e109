/* A pipeline as data, and the pass table behind it; private to this room. */
#ifndef PASSES_PIPELINE_H
#define PASSES_PIPELINE_H

#include "pass.h"

typedef struct ftl_step {
	size_t pass; /* row of passes.def */
	union ftl_opts opt;
} ftl_step;
typedef FTL_VEC(ftl_step) ftl_steps;

void ftl_step_default(size_t pass, ftl_step *out);
/* Appends to out. Errors say what was expected, and which name comes nearest to an unknown one. */
ftl_status ftl_pipeline_parse(ftl_arena *arena, const char *text, ftl_diag *d, ftl_steps *out);
/* out may be NULL */
ftl_status ftl_pass_find(const char *name, size_t n, ftl_diag *d, size_t *out);
const char *ftl_pass_cleanup_pipeline(void);

#endif
