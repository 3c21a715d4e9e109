/* Normalizations in one node. What they look like is in rewrites.def, from the core outwards: the normalization itself,
 * then the casts around it, then scale and bias, so that every spelling of one is good for all spellings of the others. */
#include "pass.h"

ftl_status ftl_pass_fuse_norm(ftl_pass *p)
{
	return ftl_rewrite_rows(p, p->opt.fuse_norm.only, true);
}
