/* What the files of this room share: how a call enters the library, and who owns which memory.
 *
 * Memory. A store is an arena with a reference count. A model's store holds its graph and the mapping of its file. A
 * program lives in a store of its own (kernels, packed weights, code) which holds a reference to its model's, since
 * symbols and unpacked weights are views into that one. Sessions hold a reference to their program's store.
 *
 * Landing. Arenas jump when memory or their limit runs out. Whatever allocates from an arena runs under ftl_enter,
 * which turns the jump into a status. Between, resources that no arena owns are handed to one with ftl_arena_defer
 * right after they are made. */
#ifndef API_API_H
#define API_API_H

#include <stdatomic.h>

#include "backends/c.h"
#include "backends/llvm.h"
#include "base/arena.h"
#include "base/status.h"
#include "fettle/fettle.h"
#include "ir/graph.h"
#include "kernels/lower.h"
#include "passes/passes.h"
#include "runtime/cpu.h"
#include "runtime/session.h"

typedef struct ftl_store {
	atomic_uint refs;
	ftl_arena arena;
} ftl_store;

ftl_store *ftl_store_new(uint64_t limit); /* one reference; NULL: out of memory */
ftl_store *ftl_store_hold(ftl_store *s);
void ftl_store_release(ftl_store *s); /* NULL is fine */

/* fn(ctx, d) under a landing pad for n arenas; its error goes to e. */
typedef ftl_status (*ftl_entry_fn)(void *ctx, ftl_diag *d);
fettle_status ftl_enter(ftl_arena *const *arenas, size_t n, ftl_entry_fn fn, void *ctx, fettle_error *e);

/* An error found before anything was entered. */
fettle_status ftl_api_fail(fettle_error *e, ftl_status_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

struct fettle_model {
	ftl_store *store;
	ftl_graph *g;
	uint64_t max_memory; /* the caller's; 0: none said */
	fettle_port *in, *out;
	size_t nin, nout;
	ftl_pass_report *report; /* of the last fettle_optimize, or NULL */
	bool broken;             /* a pass failed halfway */
};

struct fettle_program {
	ftl_store *store;
	const ftl_kmodule *m;
	fettle_backend backend;
	ftl_main_fn main; /* NULL: interpreted */
	ftl_size_fn size;
	const void **blobs;
	uint64_t weight_bytes, code_bytes;
	fettle_port *in, *out; /* a sequence is one of these and two of m's */
	size_t nin, nout;
};

/* The bytes of all constants of g, each blob once per use as a const node. */
uint64_t ftl_weight_bytes(const ftl_graph *g);
/* What an operation on a model of so many weight bytes may hold if the caller did not say. */
uint64_t ftl_default_memory(uint64_t base, uint64_t weights, unsigned times);

/* Inputs and outputs again, after g changed. */
void ftl_model_ports(fettle_model *m);
/* FTL_ERR_USAGE if m is broken. */
ftl_status ftl_model_check(const fettle_model *m, ftl_diag *d);
ftl_status ftl_model_optimize(fettle_model *m, const fettle_optimize_options *o, ftl_diag *d);
/* s as a JSON string, quotes included. */
void ftl_json_string(ftl_text *t, const char *s);

/* One port of a signature; texts go to arena. */
void ftl_port_fill(ftl_arena *arena, ftl_symtab *st, const char *name, const ftl_type *t, fettle_port *out);

/* The level for this machine, or the one named; FTL_ERR_USAGE if unknown or beyond the machine. */
ftl_status ftl_target_choose(const char *cpu, ftl_diag *d, ftl_target *out);

#endif
