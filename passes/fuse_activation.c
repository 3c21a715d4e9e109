/* Activations in one node: as such they are one kernel, and an epilogue behind a matmul. The spellings are rows of
 * rewrites.def. */
#include "pass.h"

ftl_status ftl_pass_fuse_activation(ftl_pass *p)
{
	return ftl_rewrite_rows(p, p->opt.fuse_activation.only, true);
}
