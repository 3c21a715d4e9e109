/* Sessions: memory for runs of compiled code, and run errors as text.
 *
 * Every block the program gets has a header in front that links it into one of the session's lists: in use by the run,
 * outputs of the last run, or spare. Spares serve later requests of about their size, so that run after run touches the
 * same pages. A run that fails leaves nothing in use. */
#include "runtime/session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/string_calls.h"
#include "runtime/cpu.h"

#define ALIGN 64
#define KEEP_RUNS 2
#define HUGE ((size_t)2 << 20)

enum list { IN_USE, OUTPUT, SPARE, LISTS };

typedef struct block {
	_Alignas(ALIGN) struct block *prev, *next;
	size_t cap;    /* usable bytes after the header */
	uint64_t used; /* number of the run that last asked for it */
	enum list list;
} block;

struct ftl_session {
	ftl_session_desc desc;
	uint64_t limit, held, runs;
	bool over_limit; /* why an allocation failed */
	void *workspace;
	size_t workspace_cap;
	block *lists[LISTS];
	ftl_string_memory strings;
};

/* Big blocks in huge pages: streams over tens of megabytes are bound by address translation otherwise. */
static void *get_aligned(size_t bytes)
{
	size_t align = bytes >= 2 * HUGE ? HUGE : ALIGN;
	void *p;

	if (bytes > SIZE_MAX - HUGE)
		return NULL;
	bytes = (bytes + align - 1) / align * align;
	p = aligned_alloc(align, bytes);
#ifdef MADV_HUGEPAGE
	if (p && align == HUGE)
		(void)madvise(p, bytes, MADV_HUGEPAGE);
#endif
	return p;
}

static void list_add(ftl_session *s, block *b, enum list l)
{
	b->list = l;
	b->prev = NULL;
	b->next = s->lists[l];
	if (b->next)
		b->next->prev = b;
	s->lists[l] = b;
}

static void list_remove(ftl_session *s, block *b)
{
	if (b->prev)
		b->prev->next = b->next;
	else
		s->lists[b->list] = b->next;
	if (b->next)
		b->next->prev = b->prev;
}

static bool charge(ftl_session *s, size_t bytes)
{
	if (bytes > s->limit || s->held > s->limit - bytes) {
		s->over_limit = true;
		return false;
	}
	s->held += bytes;
	return true;
}

static void drop(ftl_session *s, block *b)
{
	list_remove(s, b);
	s->held -= b->cap + sizeof *b;
	free(b);
}

static void drop_all(ftl_session *s, enum list l)
{
	while (s->lists[l])
		drop(s, s->lists[l]);
}

/* The smallest spare that fits without wasting more than half. */
static block *find_spare(ftl_session *s, size_t bytes)
{
	block *best = NULL;

	for (block *b = s->lists[SPARE]; b; b = b->next) {
		if (b->cap >= bytes && b->cap / 2 <= bytes && (!best || b->cap < best->cap))
			best = b;
	}
	return best;
}

static void *hook_alloc(void *user, size_t bytes)
{
	ftl_session *s = user;
	block *b;
	size_t cap;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	cap = bytes < ALIGN ? ALIGN : (bytes + ALIGN - 1) / ALIGN * ALIGN;
	b = find_spare(s, cap);
	if (b) {
		list_remove(s, b);
		list_add(s, b, IN_USE);
		b->used = s->runs;
		return b + 1;
	}
	if (!charge(s, cap + sizeof *b)) {
		/* what is only kept for later must not be in the way */
		drop_all(s, SPARE);
		s->over_limit = false;
		if (!charge(s, cap + sizeof *b))
			return NULL;
	}
	b = get_aligned(cap + sizeof *b);
	if (!b) {
		s->held -= cap + sizeof *b;
		return NULL;
	}
	b->cap = cap;
	b->used = s->runs;
	list_add(s, b, IN_USE);
	return b + 1;
}

static void retire(ftl_session *s, block *b)
{
	list_remove(s, b);
	list_add(s, b, SPARE);
}

static void hook_free(void *user, void *p)
{
	if (p)
		retire(user, (block *)p - 1);
}

static void hook_parallel(void *user, ftl_kernel_fn fn, const ftl_arg *args, ftl_run *run, int64_t count, int64_t cost)
{
	ftl_pool_run(((ftl_session *)user)->desc.pool, fn, args, run, count, cost);
}

ftl_status ftl_session_create(const ftl_session_desc *desc, ftl_diag *d, ftl_session **out)
{
	ftl_session *s;
	uint64_t total;

	*out = NULL;
	if (!desc->main)
		return ftl_fail(d, FTL_ERR_USAGE, "a session needs a program");
	s = calloc(1, sizeof *s);
	if (!s)
		return ftl_fail(d, FTL_ERR_MEMORY, "out of memory for a session");
	s->desc = *desc;
	s->limit = desc->memory_limit;
	if (s->limit == 0) {
		total = ftl_memory_total();
		s->limit = total ? total / 4 * 3 : UINT64_MAX;
	}
	*out = s;
	return FTL_OK;
}

/* An error of the program as status and text. */
static ftl_status fail_run(ftl_session *s, int64_t msg, ftl_diag *d)
{
	const char *file = s->desc.file ? s->desc.file : "", *sep = s->desc.file ? ": " : "";

	if (msg == FTL_RUN_NO_MEMORY && s->over_limit)
		return ftl_fail(d, FTL_ERR_LIMIT, "%s%sthe run needs more than the memory limit of %llu MiB", file, sep,
				(unsigned long long)(s->limit >> 20));
	if (msg == FTL_RUN_NO_MEMORY)
		return ftl_fail(d, FTL_ERR_MEMORY, "%s%sout of memory during the run", file, sep);
	if (msg == FTL_RUN_SMALL_OUTPUT)
		return ftl_fail(d, FTL_ERR_USAGE, "%s%sthe memory given for an output is too small", file, sep);
	if (msg > 0 && (uint64_t)msg < s->desc.nmsgs && s->desc.msgs && s->desc.msgs[msg])
		return ftl_fail(d, FTL_ERR_MODEL, "%s%s%s", file, sep, s->desc.msgs[msg]);
	return ftl_fail(d, FTL_ERR_MODEL, "%s%srun-time error %lld", file, sep, (long long)msg);
}

static ftl_status ensure_workspace(ftl_session *s, const ftl_run *run, ftl_diag *d)
{
	int64_t need = s->desc.size ? s->desc.size(run) : 0;

	if (need < 0)
		return fail_run(s, -need, d);
	/* an earlier, bigger run's workspace serves, unless what is too much of it would be missed elsewhere */
	if ((uint64_t)need <= s->workspace_cap && s->workspace_cap - (size_t)need <= s->limit / 8)
		return FTL_OK;
	free(s->workspace);
	s->workspace = NULL;
	s->held -= s->workspace_cap;
	s->workspace_cap = 0;
	if ((uint64_t)need > SIZE_MAX / 2)
		return fail_run(s, FTL_RUN_NO_MEMORY, d);
	if (!charge(s, (size_t)need)) {
		drop_all(s, SPARE);
		s->over_limit = false;
		if (!charge(s, (size_t)need))
			return fail_run(s, FTL_RUN_NO_MEMORY, d);
	}
	s->workspace = get_aligned((size_t)need);
	if (!s->workspace) {
		s->held -= (size_t)need;
		return fail_run(s, FTL_RUN_NO_MEMORY, d);
	}
	s->workspace_cap = (size_t)need;
	return FTL_OK;
}

static block *block_of_output(ftl_session *s, void *p, enum list l)
{
	for (block *b = s->lists[l]; b && p; b = b->next) {
		if (b + 1 == p)
			return b;
	}
	return NULL;
}

/* Spares that nobody asked for in the last runs go, so that changing shapes do not pile up memory. */
static void drop_old(ftl_session *s)
{
	block *next;

	for (block *b = s->lists[SPARE]; b; b = next) {
		next = b->next;
		if (b->used + KEEP_RUNS < s->runs)
			drop(s, b);
	}
}

/* After a good run: outputs stay, whatever else the program left behind is spare. */
static void keep_outputs(ftl_session *s, const ftl_io *out)
{
	block *b;

	/* strings that the outputs may name */
	for (char *p = s->strings.chunks, *next; p; p = next) {
		memcpy(&next, p, sizeof next);
		list_remove(s, (block *)(void *)p - 1);
		list_add(s, (block *)(void *)p - 1, OUTPUT);
	}
	for (size_t k = 0; k < s->desc.nout; k++) {
		b = block_of_output(s, out[k].data, IN_USE);
		if (b) {
			list_remove(s, b);
			list_add(s, b, OUTPUT);
		}
	}
	while (s->lists[IN_USE])
		retire(s, s->lists[IN_USE]);
	drop_old(s);
}

/* After a bad one: nothing stays, and no pointer to it. */
static void drop_run(ftl_session *s, ftl_io *out)
{
	for (size_t k = 0; k < s->desc.nout; k++) {
		if (block_of_output(s, out[k].data, IN_USE)) {
			out[k].data = NULL;
			out[k].bytes = 0;
		}
	}
	drop_all(s, IN_USE);
}

ftl_status ftl_session_run(ftl_session *s, const ftl_io *in, ftl_io *out, ftl_diag *d)
{
	ftl_run run = {
		.in = in,
		.out = out,
		.blobs = s->desc.blobs,
		.user = s,
		.alloc = hook_alloc,
		.free = hook_free,
		.strings = (void *)&s->strings,
		.parallel = s->desc.pool && ftl_pool_threads(s->desc.pool) > 1 ? hook_parallel : NULL,
	};
	int64_t msg;

	while (s->lists[OUTPUT])
		retire(s, s->lists[OUTPUT]);
	ftl_string_memory_init(&s->strings, hook_alloc, s);
	s->over_limit = false;
	s->runs++;
	FTL_TRY(ensure_workspace(s, &run, d));
	run.workspace = s->workspace;
	msg = s->desc.main(&run);
	if (msg == 0)
		msg = run.error;
	if (msg != 0) {
		drop_run(s, out);
		return fail_run(s, msg, d);
	}
	keep_outputs(s, out);
	return FTL_OK;
}

bool ftl_session_take(ftl_session *s, void *p)
{
	block *b = block_of_output(s, p, OUTPUT);

	if (!b)
		return false;
	list_remove(s, b);
	s->held -= b->cap + sizeof *b;
	return true;
}

void ftl_session_release(void *p)
{
	if (p)
		free((block *)p - 1);
}

uint64_t ftl_session_memory(const ftl_session *s)
{
	return s->held;
}

void ftl_session_trim(ftl_session *s)
{
	drop_all(s, SPARE);
	free(s->workspace);
	s->workspace = NULL;
	s->held -= s->workspace_cap;
	s->workspace_cap = 0;
}

void ftl_session_free(ftl_session *s)
{
	if (!s)
		return;
	for (int l = 0; l < LISTS; l++)
		drop_all(s, (enum list)l);
	free(s->workspace);
	free(s);
}
