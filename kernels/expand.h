/* Private to expand.c and expand_f64.c: f32 math as sequences of basic instructions. `x` is f32, any lanes. */
#ifndef KERNELS_EXPAND_H
#define KERNELS_EXPAND_H

#include "kernels/kir.h"

/* c[0] + c[1] u + ... + c[n-1] u^(n-1) by Horner's rule, in u's type. */
ftl_kv ftl_expand_poly(ftl_kb *b, ftl_kv u, const double *c, int n);
/* A constant that operations beside a vector splat. */
ftl_kv ftl_expand_f32(ftl_kb *b, double v);
ftl_kv ftl_expand_f64(ftl_kb *b, double v);
/* r with the sign bit of x. r must not have its own sign bit set (NaN may). */
ftl_kv ftl_expand_sign(ftl_kb *b, ftl_kv r, ftl_kv x);

ftl_kv ftl_expand_trig(ftl_kb *b, ftl_kop op, ftl_kv x); /* sin cos tan */
ftl_kv ftl_expand_pow(ftl_kb *b, ftl_kv x, ftl_kv y);
ftl_kv ftl_expand_sinh(ftl_kb *b, ftl_kv x);
ftl_kv ftl_expand_cosh(ftl_kb *b, ftl_kv x);
ftl_kv ftl_expand_asin(ftl_kb *b, ftl_kv x);
ftl_kv ftl_expand_acos(ftl_kb *b, ftl_kv x);
ftl_kv ftl_expand_atan(ftl_kb *b, ftl_kv x);
ftl_kv ftl_expand_asinh(ftl_kb *b, ftl_kv x);
ftl_kv ftl_expand_acosh(ftl_kb *b, ftl_kv x);
ftl_kv ftl_expand_atanh(ftl_kb *b, ftl_kv x);

#endif
