/* Private to the builder (kbuild.c, kbuild_flow.c): putting instructions into blocks, and reusing equal ones. */
#ifndef KERNELS_KBUILD_H
#define KERNELS_KBUILD_H

#include "kernels/kir.h"

/* Append to the current block. */
ftl_kv ftl_kb_emit(ftl_kb *b, ftl_kinst in);
/* The same for a pure instruction: an equal one that dominates the place is reused. */
ftl_kv ftl_kb_pure(ftl_kb *b, ftl_kinst in);
/* An instruction that no block holds. */
ftl_kv ftl_kb_detached(ftl_kb *b, ftl_kinst in);
/* Go into a new block inside the current one / back out to `outer`. */
void ftl_kb_enter(ftl_kb *b, ftl_kblock *outer, ftl_kblock *inner);
void ftl_kb_leave(ftl_kb *b, ftl_kblock *outer);
/* Append an instruction that exists. */
void ftl_kb_place(ftl_kb *b, ftl_kv v);

/* Base and stride of an i64 value whose lanes are base + lane * stride: ramps, splats, constants, scalars. */
bool ftl_kb_pieces(ftl_kb *b, ftl_kv v, ftl_kv *base, ftl_kv *stride);

#endif
