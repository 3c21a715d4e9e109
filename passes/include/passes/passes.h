/* Passes over the graph: a pipeline in, a better graph and an account of what was done out.
 *
 * The pipeline is text: names from passes.def, separated by commas or line ends, options in braces, comments from # to
 * the end of the line:
 *
 *   fold, cse            # constants, then duplicates
 *   fold{max_bytes=4096}
 *
 * The default pipeline is exact: it brings the graph to canonical form and changes results by rounding at most. Between
 * passes the graph is verified. Every pass reports what it did, and where it almost did something, why not. */
#ifndef PASSES_PASSES_H
#define PASSES_PASSES_H

#include "ir/graph.h"

/* ---- what happened ---- */
typedef struct ftl_pass_event {
	const char *pass;
	const char *what; /* row of rewrites.def, or what a pass calls this edit */
	ftl_loc loc;      /* merged location of the nodes it is about */
	uint32_t nodes;   /* done: how many nodes went */
	const char *why;  /* not done: the reason */
} ftl_pass_event;

typedef struct ftl_pass_tally {
	const char *what;
	uint32_t n;
} ftl_pass_tally;

/* One run of one pass. */
typedef struct ftl_pass_stat {
	const char *pass;
	double seconds; /* without verifying */
	uint32_t nodes_before, nodes_after;
	FTL_VEC(ftl_pass_tally) tally;
	uint32_t done, missed; /* all of them; the lists of the report are bounded */
} ftl_pass_stat;

#define FTL_PASS_EVENTS_MAX 20000 /* of each list */

typedef struct ftl_pass_report {
	FTL_VEC(ftl_pass_stat) passes;
	FTL_VEC(ftl_pass_event) done;
	FTL_VEC(ftl_pass_event) missed;
	int64_t edits;     /* what rewrite_limit counts */
	bool out_of_edits; /* it stopped something */
} ftl_pass_report;

/* ---- running ---- */
/* All zero is a good default; NULL instead of a pointer to one means the same. */
typedef struct ftl_pass_options {
	bool no_default; /* the given pipeline alone, without the default one before and the clean-up after it */
	bool no_verify;
	const char *stop_after; /* name of a pass: nothing runs after its first run */
	int64_t rewrite_limit;  /* 0: none; n > 0: the first n edits, then only dead code goes; < 0: no edit at all */
	void (*after)(void *user, const char *pass, const ftl_graph *g,
		      const ftl_pass_stat *stat); /* after each pass */
	void *user;
} ftl_pass_options;

/* Run a pipeline; NULL or "" is the default one. The report lives in g's arena; out_report may be NULL. On failure the
 * graph is not to be used any more, unless the pipeline's text was at fault (FTL_ERR_USAGE): then nothing has run.
 * Errors name the pass and the node. */
ftl_status ftl_passes_run(ftl_graph *g, const char *pipeline, const ftl_pass_options *o, ftl_diag *d,
			  ftl_pass_report **out_report);
/* Is this text a pipeline? */
ftl_status ftl_passes_check(ftl_arena *scratch, const char *pipeline, ftl_diag *d);

/* ---- the tables, for listings ---- */
typedef struct ftl_pass_opt_row {
	const char *name, *kind, *deflt, *doc; /* kind: i64 f64 flag str */
} ftl_pass_opt_row;

typedef struct ftl_pass_row {
	const char *name, *doc;
	const ftl_pass_opt_row *opt;
	size_t nopt;
	unsigned needs, gives, keeps; /* bits of passes.def's FACT rows */
} ftl_pass_row;

typedef struct ftl_rewrite_row {
	const char *pass;                     /* the pass that applies it */
	const char *name, *lhs, *rhs, *guard; /* guard "NULL": none */
	double tolerance;                     /* 0: exact */
	bool tame;                            /* holds where nothing overflows and nothing is infinite or NaN */
} ftl_rewrite_row;

const ftl_pass_row *ftl_pass_row_at(size_t k);           /* NULL past the end */
bool ftl_rewrite_row_at(size_t k, ftl_rewrite_row *out); /* false past the end */
const char *ftl_pass_default_pipeline(void);
/* docs/PASSES.md: both tables as Markdown. */
void ftl_passes_markdown(ftl_text *t);

#endif
