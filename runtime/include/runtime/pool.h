/* Thread pool for launches: persistent threads that spin for a moment and then sleep. */
#ifndef RUNTIME_POOL_H
#define RUNTIME_POOL_H

#include "base/status.h"
#include "runtime/abi.h"

typedef struct ftl_pool ftl_pool;

/* threads counts the caller; 1 makes a pool that runs everything on the caller, 0 takes what ftl_cpu_threads says. */
ftl_status ftl_pool_create(int threads, ftl_diag *d, ftl_pool **out);
void ftl_pool_free(ftl_pool *p); /* NULL is fine; no launch may be running */
int ftl_pool_threads(const ftl_pool *p);
/* Run pieces 0..count-1 of fn; returns when all are done. Small launches stay on the caller, and so does a launch that
 * finds the pool at work (from inside a piece, or from another thread). */
void ftl_pool_run(ftl_pool *p, ftl_kernel_fn fn, const ftl_arg *args, ftl_run *run, int64_t count, int64_t cost);

#endif
