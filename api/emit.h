/* What the files of emission share: the request, and where its files go. */
#ifndef API_EMIT_H
#define API_EMIT_H

#include "api.h"

typedef struct ftl_emit {
	fettle_model *model;
	fettle_artifact kind;
	const char *path;
	const fettle_emit_options *o;
	fettle_text_fn text;
	void *user;
	ftl_store *store;
	/* of files, once ftl_emit_names has run */
	const char *dir;  /* where they go */
	const char *name; /* a C identifier: prefix of symbols, and name of the header and of the weights file */
	const char *file; /* the main file's path */
} ftl_emit;

void ftl_emit_wrote(const ftl_emit *e, const char *path);
/* Objects, static and shared libraries, programs; LLVM and kernel IR as text. (emit_code.c) */
ftl_status ftl_emit_code(ftl_emit *e, ftl_diag *d);
ftl_status ftl_emit_code_text(ftl_emit *e, ftl_text *t, ftl_diag *d);

#endif
