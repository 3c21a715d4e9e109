/* Private to the room: arithmetic on constants, with the meaning kops.def gives each op.
 *
 * A constant is an int64: the value of an integer (sign- or zero-extended from its type) or bool, or the bits
 * of a double holding the value of a float. */
#ifndef KERNELS_KFOLD_H
#define KERNELS_KFOLD_H

#include "kernels/kir.h"

int64_t ftl_kfold_wrap(ftl_dtype t, uint64_t v); /* to the range of integer type t; bool: != 0 */
double ftl_kfold_f64(int64_t imm);               /* the double behind a float constant */
int64_t ftl_kfold_float(ftl_dtype t, double v);  /* v rounded to float type t, as a constant */
int64_t ftl_kfold_cast(ftl_dtype from, ftl_dtype to, int64_t imm);
/* Result of op on scalars of type t; false if the op is not folded (transcendental functions are left to run time, so
 * that a result does not depend on the compiling machine's libm). Comparisons give 0 or 1. */
bool ftl_kfold(ftl_kop op, ftl_dtype t, const int64_t *a, int64_t *out);

#endif
