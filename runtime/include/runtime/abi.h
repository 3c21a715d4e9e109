/* The boundary between compiled code and whoever runs it. Stand-alone, versioned.
 *
 * Compiled code exports two functions, whatever backend made it:
 *   int64_t NAME_size(const ftl_run *run)   workspace bytes for the dims in run->in; < 0: -message number
 *   int64_t NAME_main(ftl_run *run)         0, or the number of a message: what went wrong
 * A sequence or optional is two entries of run->in or run->out: a table of its elements and their bytes (FTL_SEQ_WORDS in
 * kernels/kir.h says how).
 * It keeps no state, allocates only through run->alloc, and may run in several threads at once with different `run`s. */
#ifndef RUNTIME_ABI_H
#define RUNTIME_ABI_H

#include <stddef.h>
#include <stdint.h>

#define FTL_ABI_VERSION 2
#define FTL_ABI_MAX_RANK 12

/* Message numbers with a fixed meaning; the model's own messages count from FTL_RUN_MESSAGES. */
enum { FTL_RUN_OK = 0, FTL_RUN_NO_MEMORY = 1, FTL_RUN_MESSAGES = 2 };
/* NAME_main only: an output's memory was given but is smaller than the output. */
enum { FTL_RUN_SMALL_OUTPUT = -1 };

typedef union ftl_arg {
	int64_t i;
	void *p;
} ftl_arg;

/* Inputs: data, dims and bytes are the caller's. Outputs: dims are written by the run. data non-NULL: the caller's
 * memory of `bytes` bytes; NULL: allocated with run->alloc and then the caller's to free. 16-byte alignment is enough. */
typedef struct ftl_io {
	void *data;
	size_t bytes;
	int64_t dims[FTL_ABI_MAX_RANK];
} ftl_io;

struct ftl_run;
struct fettle_strings;
/* A kernel: pieces begin..end-1 of a launch. args: one entry per parameter. */
typedef void (*ftl_kernel_fn)(const ftl_arg *args, struct ftl_run *run, int64_t begin, int64_t end);

typedef struct ftl_run {
	const ftl_io *in;
	ftl_io *out;
	void *workspace;          /* NAME_size bytes, 64-byte aligned */
	const void *const *blobs; /* constants, in the module's order */
	void *user;
	void *(*alloc)(void *user, size_t bytes); /* 64-byte aligned, or NULL */
	void (*free)(void *user, void *p);
	/* Run all pieces, on any threads, and return when they are done. NULL: the program calls fn(args, run, 0, count). cost:
	 * about how many scalar operations one piece does. */
	void (*parallel)(void *user, ftl_kernel_fn fn, const ftl_arg *args, struct ftl_run *run, int64_t count,
			 int64_t cost);
	int64_t error; /* kernels store a message number here; any of several errors wins */
	/* Models that see strings only: the memory of new ones and, for object code, the functions it calls. Its chunks are
	 * to be freed when nobody reads the results any more. */
	struct fettle_strings *strings;
} ftl_run;

typedef int64_t (*ftl_main_fn)(ftl_run *run);
typedef int64_t (*ftl_size_fn)(const ftl_run *run);

#endif
