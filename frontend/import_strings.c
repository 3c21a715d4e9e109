/* Operators on strings. */
#include "base/regex.h"
#include "ml.h"

void ftl_imp_do_string_split(imp *m)
{
	struct ftl_attrs_string_split *a = NEW_ATTRS(m, string_split);
	ftl_val x = ftl_imp_need(m, 0), out[2];

	a->delimiter = ftl_imp_strs(m, "delimiter");
	if (ftl_imp_has(m, "maxsplit"))
		a->max_split = ftl_imp_i(m, "maxsplit", 0);
	ftl_imp_ops(m, FTL_OP_string_split, a, 1, &x, 2, out);
	ftl_imp_out(m, 0, out[0]);
	ftl_imp_out(m, 1, out[1]);
}

/* ---- StringNormalizer ---- */

static void *chunk(void *arena, size_t bytes)
{
	return ftl_arena_alloc(arena, bytes);
}

static ftl_str in_case(imp *m, const ftl_str *s, bool upper)
{
	ftl_string_memory mem;
	int64_t h;
	ftl_str r;

	ftl_string_memory_init(&mem, chunk, m->arena);
	h = ftl_string_fns[FTL_STRING_take]((void *)&mem, (int64_t)(uintptr_t)s->p, 0, 0);
	h = ftl_string_fns[FTL_STRING_case]((void *)&mem, h, upper, 0);
	r.p = (const char *)(uintptr_t)h;
	r.n = strlen(r.p);
	return r;
}

static ftl_val change_case(imp *m, ftl_val x, bool upper)
{
	struct ftl_attrs_string_case *a = NEW_ATTRS(m, string_case);

	a->upper = upper;
	return ftl_imp_op(m, FTL_OP_string_case, a, 1, &x);
}

/* Leaves stop words out and changes case; nothing left is one empty string. The locale has no say: case is Unicode's. */
void ftl_imp_do_string_normalizer(imp *m)
{
	const char *action = ftl_imp_s(m, "case_change_action", "NONE");
	bool exact = ftl_imp_i(m, "is_case_sensitive", 0) != 0, upper = !strcmp(action, "UPPER"), rows;
	ftl_strs stop = ftl_imp_strs(m, "stopwords");
	ftl_val x = ftl_imp_need(m, 0), kept = x;
	ftl_str *words = FTL_NEW_N(m->arena, ftl_str, (size_t)stop.n + 1);
	ftl_dim n;

	ftl_imp_want_rank(m, x, 1, 2, "X");
	if (m->failed)
		return;
	if (strcmp(action, "NONE") != 0 && strcmp(action, "LOWER") != 0 && !upper) {
		bad_model(m, "unknown case_change_action \"%.32s\"", action);
		return;
	}
	rows = rank_of(m, x) == 2;
	if (rows)
		x = kept = ftl_imp_squeeze(m, x, 0);
	for (uint32_t i = 0; i < stop.n; i++)
		words[i] = exact ? stop.v[i] : in_case(m, &stop.v[i], false);
	if (stop.n) {
		ml_keys keys = ftl_ml_strings((ftl_strs){stop.n, words});
		ftl_val at = ftl_ml_lookup(m, exact ? x : change_case(m, x, false), &keys);
		struct ftl_attrs_compress *a = NEW_ATTRS(m, compress);

		a->axis = 0;
		kept = ftl_imp_op(m, FTL_OP_compress, a, 2,
				  (const ftl_val[]){x, op2(m, FTL_OP_eq, at, ftl_imp_scalar(m, FTL_I64, stop.n))});
	}
	if (m->failed)
		return;
	n = ftl_imp_dim(m, kept, 0);
	if (ftl_dim_lo(m->st, n) < 1) {
		ftl_val with[2] = {kept, ftl_imp_strings(m, 1, &(int64_t){1}, 1, &(ftl_str){"", 0})};

		kept = ftl_imp_slice(m, ftl_imp_concat(m, 0, 2, with), 0, dim_c(m, 0),
				     ftl_dim_max(m->st, n, dim_c(m, 1)));
	}
	if (strcmp(action, "NONE") != 0)
		kept = change_case(m, kept, upper);
	ftl_imp_out(m, 0, rows ? ftl_imp_unsqueeze(m, kept, 0) : kept);
}

void ftl_imp_do_regex_full_match(imp *m)
{
	struct ftl_attrs_string_match *a = NEW_ATTRS(m, string_match);
	ftl_val x = ftl_imp_need(m, 0);
	ftl_str program;
	ftl_diag why = {0};
	ftl_status_code rc;

	a->pattern = ftl_imp_strs(m, "pattern");
	if (m->failed)
		return;
	if (a->pattern.n != 1) {
		bad_model(m, "attribute pattern is missing");
		return;
	}
	rc = ftl_regex_compile(m->tmp, a->pattern.v, &why, &program);
	if (rc != FTL_OK)
		ftl_imp_fail(m, rc, "%s", why.text);
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_string_match, a, 1, &x));
}
