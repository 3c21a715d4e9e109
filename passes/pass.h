/* What a pass is given, private to this room.
 *
 * A pass is `ftl_status ftl_pass_<id>(ftl_pass *p)` with a row in passes.def. It changes the graph through patches, which
 * apply whole or not at all, or (dce, cse) by the graph's own edits after asking ftl_pass_edit. It returns an error only
 * when something is wrong with the graph or with us: not finding anything to do is success. */
#ifndef PASSES_PASS_H
#define PASSES_PASS_H

#include "passes/passes.h"
#include "passes/pattern.h"

enum {
#define FACT(name, doc) FTL_FACT_NUMBER_##name,
#include "passes.def"
};
enum ftl_fact {
#define FACT(name, doc) FTL_FACT_##name = 1 << FTL_FACT_NUMBER_##name,
#include "passes.def"
};

/* struct ftl_opts_<id> for every pass; opens and closes around the table's rows. */
typedef int64_t ftl_opt_i64;
typedef double ftl_opt_f64;
typedef bool ftl_opt_flag;
typedef const char *ftl_opt_str; /* never NULL */
struct ftl_opts_first_ {
	char none_;
#define PASS(id, ...)                                                                                                  \
	}                                                                                                              \
	;                                                                                                              \
	struct ftl_opts_##id {                                                                                         \
		char none_;
#define OPT(id, kind, name, ...) ftl_opt_##kind name;
#include "passes.def"
};
union ftl_opts {
#define PASS(id, ...) struct ftl_opts_##id id;
#include "passes.def"
};

typedef struct ftl_run ftl_run; /* one ftl_passes_run; private to manager.c */
typedef struct ftl_worklist ftl_worklist;

typedef struct ftl_pass {
	ftl_graph *graph;
	const ftl_pass_row *row;
	union ftl_opts opt;
	ftl_arena *scratch; /* reset after the pass */
	ftl_arena *tool;    /* for the interpreter: whoever uses it resets it afterwards */
	ftl_diag *diag;
	ftl_run *run;
	ftl_pass_stat *stat;
	ftl_worklist *work; /* set while ftl_drive runs */
	const bool *pinned; /* by value id, for the first npinned: an encoding names it, so it must stay what it is */
	uint32_t npinned;
	bool stale; /* a value got an equal but differently written type: inference runs again after the pass */
	bool changed;
} ftl_pass;

#define PASS(id, ...) ftl_status ftl_pass_##id(ftl_pass *p);
#include "passes.def"

static inline bool ftl_pinned(const ftl_pass *p, ftl_val v)
{
	return v < p->npinned && p->pinned[v];
}
static inline bool ftl_any_pinned(const ftl_pass *p, const ftl_node *n)
{
	for (uint32_t i = 0; i < n->nout; i++)
		if (ftl_pinned(p, n->out[i]))
			return true;
	return false;
}

/* May the graph be edited once more? Counts the edit. False when rewrite_limit is used up. */
bool ftl_pass_edit(ftl_pass *p);
void ftl_pass_count(ftl_pass *p, const char *what, uint32_t n);
/* For the report: an edit that was made, and one that was almost made. what outlives the run (a literal, a table's). */
void ftl_pass_done(ftl_pass *p, const char *what, ftl_loc loc, uint32_t nodes);
void ftl_pass_miss(ftl_pass *p, const char *what, ftl_node_id n, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- patches (rewriter.c) ----
 * A patch replaces the outputs of node `root`. `covered` are further nodes it means to replace. Build new nodes with
 * patch.b, in front of root; then commit or drop. Commit refuses, leaving the graph as it was, unless
 *  - what a covered node computes is read by nobody else; or `sharing` allows that it stays for others and counts as not
 *    saved: FTL_SHARE_TO_SAVE where the patch saves something all the same, FTL_SHARE_FREELY where it costs no more,
 *  - every new value has the type of the old one (element type, rank, sizes provably equal) and is known as well,
 *  - the new nodes cost no more than those that go (unless `pays`),
 *  - no size at run time and no encoding depends on root.
 * New nodes get the merged location of root and covered. */
typedef struct ftl_patch {
	ftl_builder b;
	ftl_pass *p;
	const char *what;
	ftl_node_id root;
	const ftl_node_id *covered;
	uint32_t ncovered;
	ftl_node_id mark; /* nodes from here on are new */
	enum ftl_sharing { FTL_SHARE_NOTHING, FTL_SHARE_TO_SAVE, FTL_SHARE_FREELY } sharing;
	bool quiet; /* do not report a refusal */
	bool pays;  /* what it saves is memory, which the count of operations does not show: do not compare costs */
} ftl_patch;

void ftl_patch_begin(ftl_patch *t, ftl_pass *p, const char *what, ftl_node_id root, const ftl_node_id *covered,
		     uint32_t ncovered);
/* with[k] replaces output k of root. Only what is not the graph's fault is an error; a refusal is *out_done = false. */
ftl_status ftl_patch_commit(ftl_patch *t, const ftl_val *with, bool *out_done);
void ftl_patch_drop(ftl_patch *t);
/* If *v is computed from constants alone, make it one (unless it is large). */
ftl_status ftl_patch_fold(ftl_patch *t, ftl_val *v);

/* Erase n if nothing reads it, and then what only it read. Keeps nodes that sizes at run time come from. */
void ftl_erase_dead(ftl_pass *p, ftl_node_id n);

/* Does a size that other types mention come from one of n's outputs? */
bool ftl_binds(const ftl_graph *g, const ftl_node *n);

/* ---- walking ---- */
/* Visit every node until no visit changes anything: after a patch the new nodes and the readers of the new values are
 * visited again. Errors when it does not come to an end. */
typedef ftl_status (*ftl_visit_fn)(ftl_pass *p, ftl_node_id id, void *user);
ftl_status ftl_drive(ftl_pass *p, ftl_visit_fn visit, void *user);
void ftl_touch(ftl_pass *p, ftl_node_id n); /* visit n again */

/* The rows of rewrites.def that belong to this pass, with ftl_drive. only: the name of one row, or "" for all. A fusion
 * reports what it nearly did, and covers nothing that others read. (rewrite.c) */
ftl_status ftl_rewrite_rows(ftl_pass *p, const char *only, bool fusion);

/* ---- tools ---- */
/* Scalar operations a node does, roughly; sizes not known count as 32 (within their bounds). Nothing for what is
 * constant or a view. (cost.c) */
double ftl_node_cost(const ftl_graph *g, ftl_node_id n);
double ftl_node_work(const ftl_graph *g, ftl_node_id n); /* the same, constant or not */
/* What pure node id computes from constants, as constants in front of it: a value per output. Nodes that cannot be
 * computed (they fail, or inputs and results together exceed max_bytes) give *out_done = false. (fold.c) */
ftl_status ftl_fold_node(ftl_pass *p, ftl_node_id id, size_t max_bytes, ftl_val *out_v, bool *out_done);
/* Type equal as far as can be proven; *out_same_text: also written the same way. */
bool ftl_types_agree(const ftl_graph *g, const ftl_type *a, const ftl_type *b, bool *out_same_text);
bool ftl_inputs_const(const ftl_graph *g, const ftl_node *n);
/* Bytes of all outputs; false if sizes are not constant or overflow. */
bool ftl_out_bytes(const ftl_graph *g, const ftl_node *n, size_t *out);
/* v's element type in the right rank and value: a constant that broadcasts against anything. */
ftl_val ftl_patch_scalar(ftl_patch *t, ftl_dtype type, double v);

#endif
