/* Algebraic rewrites, until none applies. The rewrites themselves are rows of rewrites.def. */
#include "pass.h"

ftl_status ftl_pass_simplify(ftl_pass *p)
{
	return ftl_rewrite_rows(p, p->opt.simplify.only, false);
}
