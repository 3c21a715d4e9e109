/* Types of sequences and optionals.
 *
 * What is known of the elements is a lattice: nothing has been put in yet (FTL_SEQ_EMPTY), a rank with some constant
 * dims, any rank. Joining only ever goes up, so that inferring a loop settles. */
#include <string.h>

#include "ir/graph.h"

static const char *const kind_names[FTL_SEQ_KINDS] = {"seq", "opt", "optseq"};

ftl_type ftl_type_make_seq(ftl_graph *g, ftl_dtype t, const ftl_seq_type *s)
{
	return (ftl_type){.dtype = t, .seq = ftl_arena_dup(g->arena, s, sizeof *s)};
}

const char *ftl_seq_kind_name(ftl_seq_kind k)
{
	return (unsigned)k < FTL_SEQ_KINDS ? kind_names[k] : "?";
}

bool ftl_seq_kind_parse(const char *s, size_t n, ftl_seq_kind *out)
{
	for (int k = 0; k < FTL_SEQ_KINDS; k++) {
		if (strlen(kind_names[k]) != n || memcmp(kind_names[k], s, n) != 0)
			continue;
		*out = (ftl_seq_kind)k;
		return true;
	}
	return false;
}

bool ftl_seq_eq(const ftl_seq_type *a, const ftl_seq_type *b)
{
	if (a == b || !a || !b)
		return a == b;
	return a->kind == b->kind && a->rank == b->rank &&
	       (a->rank <= 0 || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0);
}

ftl_seq_type ftl_seq_of(const ftl_graph *g, ftl_seq_kind kind, const ftl_type *t)
{
	ftl_seq_type s = {.kind = kind, .rank = t->rank};

	for (int i = 0; i < t->rank; i++)
		if (!ftl_dim_is_const(g->st, t->dims[i], &s.dims[i]))
			s.dims[i] = -1;
	return s;
}

ftl_seq_type ftl_seq_join(const ftl_seq_type *a, const ftl_seq_type *b)
{
	ftl_seq_type s = a->rank == FTL_SEQ_EMPTY ? *b : *a;

	s.kind = a->kind;
	if (a->rank == FTL_SEQ_EMPTY || b->rank == FTL_SEQ_EMPTY)
		return s;
	if (a->rank != b->rank)
		s.rank = FTL_SEQ_ANY;
	for (int i = 0; i < s.rank; i++)
		if (a->dims[i] != b->dims[i])
			s.dims[i] = -1;
	return s;
}
