/* Patterns: how rewrites.def says what to look for and what to put there instead.
 *
 *   ?x            any value; the same name again means the same value
 *   ?x:KIND       one of a kind: const; scalar (constant, all elements equal); float, int, bool (element type)
 *   0.5           a constant whose elements all equal this number, to the precision of its element type
 *   (op a b)      the result of a node; commutative ops match in both orders; operands left out at the end are absent
 *   _             an operand that is absent
 *   (op{a=v} x)   attribute a equals v: a number, a string in quotes, an element type
 *   (op@n x)      the node is called n
 *   ?d=(op x)     its value is called ?d
 *   (| p q)       p or q
 *
 * In a result, (op@n x) takes over n's attributes where op has ones of the same name, {a=?c} is the value of a scalar
 * constant, and a number is a constant of the element type that the op's other operands have. A result that is just a
 * number fills the old value's shape. A node made of constants is computed at once. */
#ifndef PASSES_PATTERN_H
#define PASSES_PATTERN_H

#include "ir/graph.h"

#define FTL_PAT_NAMES 16 /* variables and nodes of one pattern */
#define FTL_PAT_NODES 32 /* nodes a match covers */

typedef enum ftl_pat_kind { FTL_PAT_VAR, FTL_PAT_NUM, FTL_PAT_OP, FTL_PAT_ALT, FTL_PAT_ABSENT } ftl_pat_kind;
typedef enum ftl_pat_want {
	FTL_WANT_ANY,
	FTL_WANT_CONST,
	FTL_WANT_SCALAR,
	FTL_WANT_FLOAT,
	FTL_WANT_INT,
	FTL_WANT_BOOL
} ftl_pat_want;

typedef struct ftl_pat_attr {
	const ftl_attr_desc *desc;
	double num;      /* i64 f64 flag dtype */
	const char *str; /* str */
	int var;         /* result: number taken from this variable; else -1 */
} ftl_pat_attr;

typedef struct ftl_pat {
	ftl_pat_kind kind;
	ftl_pat_want want;
	int var;   /* VAR: which; OP: variable that names its value, or -1 */
	int label; /* OP: which node name, or -1 */
	double num;
	ftl_op op;
	uint32_t narg, nattr;
	const struct ftl_pat **arg; /* OP: operands; ALT: choices */
	const ftl_pat_attr *attr;
} ftl_pat;

/* Both sides of a rewrite; names are shared between them. */
typedef struct ftl_rule {
	const ftl_pat *lhs, *rhs;
	const char *var[FTL_PAT_NAMES], *label[FTL_PAT_NAMES]; /* their names */
	int nvar, nlabel;
} ftl_rule;

/* A name of rhs that lhs lacks, an unknown op or attribute, a number of operands no op takes are errors. */
ftl_status ftl_rule_parse(ftl_arena *arena, const char *lhs, const char *rhs, ftl_diag *d, ftl_rule *out);

typedef struct ftl_match {
	const ftl_graph *g;
	ftl_val var[FTL_PAT_NAMES]; /* 0: not bound, or absent */
	ftl_node_id label[FTL_PAT_NAMES];
	ftl_node_id node[FTL_PAT_NODES]; /* covered; the root first */
	uint32_t nnode;
	bool near; /* in: one wrong number or attribute is forgiven, and described below */
	uint32_t faults;
	char why[192];
} ftl_match;

/* A guard that says no does so through ftl_match_fault, which forgives and describes it in near mode. */
typedef bool (*ftl_guard_fn)(ftl_match *m);
bool ftl_match_fault(ftl_match *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Does the value of node root match? Tries every order and choice until guard (may be NULL) agrees. All nodes are of
 * root's region. */
bool ftl_rule_match(const ftl_graph *g, const ftl_rule *r, ftl_node_id root, ftl_guard_fn guard, ftl_match *m);
/* The scalar's number, or 0 of none. */
double ftl_match_num(const ftl_match *m, int var);

#endif
