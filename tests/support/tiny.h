/* A small planned module for tests of what comes out of the compiler: two inputs with a free dim, weights, a workspace of
 * symbolic size, two kernels, an output whose size depends on data, run-time errors. */
#ifndef TESTS_TINY_H
#define TESTS_TINY_H

#include "kernels/kir.h"

/* inputs  x: f32[?n,4], m: f32[?n+1]     weights  w: f32[4] and `padding` bytes that nobody reads
 * outputs y: f32[?n,4] = x * w + m[row], count: i64[?k] = the rows with y[row][0] > 0
 * errors  n > 100; in a kernel: x[row][0] = 666
 * lanes   of the inner loop: 1 or 4. names: of the four tensors, the symbol n and the model; NULL: as above, "tiny" */
ftl_kmodule *tiny_module(ftl_arena *arena, int lanes, size_t padding, const char *const names[6], ftl_diag *d);

#endif
