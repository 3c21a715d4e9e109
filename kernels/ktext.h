/* Private to the room: limits and numbering that text, verifier and interpreter share.
 *
 * Numbers of values in text and messages: parameters from 1, then instructions with a value in pre-order. */
#ifndef KERNELS_KTEXT_H
#define KERNELS_KTEXT_H

#include "kernels/kir.h"

#define FTL_K_MAX_NEST 200 /* blocks inside blocks */

static inline bool ftl_kinst_detached(const ftl_kinst *i) /* belongs to no block */
{
	return i->op == FTL_K_const || i->op == FTL_K_param || i->op == FTL_K_workspace;
}

#endif
