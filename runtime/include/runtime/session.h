/* A session: compiled code (runtime/abi.h) with the memory and threads it runs with.
 *
 * Keeps the workspace and the memory of earlier outputs for the next run. A session is for one thread at a time; several
 * sessions of the same code may run at once, each with its own memory, also over one pool. */
#ifndef RUNTIME_SESSION_H
#define RUNTIME_SESSION_H

#include "base/status.h"
#include "runtime/abi.h"
#include "runtime/pool.h"

typedef struct ftl_session ftl_session;

/* Everything is borrowed and must outlive the session. */
typedef struct ftl_session_desc {
	ftl_main_fn main;
	ftl_size_fn size; /* NULL: no workspace */
	const void *const *blobs;
	size_t nin, nout;
	const char *const *msgs; /* run-time error texts by message number; may be NULL */
	size_t nmsgs;
	const char *file;      /* for messages, or NULL */
	ftl_pool *pool;        /* NULL: one thread */
	uint64_t memory_limit; /* bytes a run may hold; 0: three quarters of the machine's memory */
} ftl_session_desc;

ftl_status ftl_session_create(const ftl_session_desc *desc, ftl_diag *d, ftl_session **out);
/* in: nin entries with data, bytes and dims. out: nout entries; where data is NULL the session provides the memory, which is
 * good until the next run or ftl_session_free, unless taken. On an error every out[k].data that was NULL is NULL again.
 * Errors: FTL_ERR_MODEL (the program's own checks: shapes, indices), FTL_ERR_USAGE (an output's memory is too small),
 * FTL_ERR_LIMIT (memory limit), FTL_ERR_MEMORY. */
ftl_status ftl_session_run(ftl_session *s, const ftl_io *in, ftl_io *out, ftl_diag *d);
/* Take over the memory of an output of the last run: the caller's to free with ftl_session_release, also after the session
 * is gone. False if p is no such output. */
bool ftl_session_take(ftl_session *s, void *p);
void ftl_session_release(void *p);
/* Bytes held now, workspace included. */
uint64_t ftl_session_memory(const ftl_session *s);
void ftl_session_trim(ftl_session *s); /* give back workspace and cached memory; outputs stay */
void ftl_session_free(ftl_session *s); /* NULL is fine */

#endif
