/* Operators on strings. */
#include "imp.h"

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
