/* Side conditions of rewrites.def's rows, by the name they have there: what the pattern language cannot say. Variables
 * and node names count in the order in which the left side mentions them first. */
#ifndef PASSES_GUARDS_H
#define PASSES_GUARDS_H

#include "passes/pattern.h"

#define GUARD(name) bool name(ftl_match *m)

/* element type of the first variable */
GUARD(is_int);
GUARD(is_real);       /* a float type */
GUARD(is_wide);       /* f32 or f64: formulas written out round more often than one op does */
/* the scalar that the pattern's first scalar variable names */
GUARD(power_of_two);  /* and its reciprocal is exact */
GUARD(not_zero);
GUARD(powers_of_two); /* two of them, whose product is one too */
GUARD(both_positive);
GUARD(above_zero);
GUARD(limits_ordered); /* clip of a clip: neither interval is empty, and they meet */
/* attributes of the root, or of the first named node */
GUARD(perm_is_identity);
GUARD(keeps_everything); /* a slice of all elements, in order */
GUARD(pads_nothing);
GUARD(casts_back);    /* the inner cast loses nothing, the outer one returns to the first type */
GUARD(casts_wider);   /* the inner cast loses nothing that the outer one keeps */
GUARD(same_axes);     /* two reductions over the same axes */
GUARD(static_shape);  /* the root's result has constant sizes, or its shape is an attribute */
/* normalizations */
GUARD(norm_axes);     /* named reductions run over the same trailing axes */
GUARD(norm_scale);    /* the last variable varies along the normalized axes only */
GUARD(upcast);        /* half precision in, computed in f32, half precision out */
GUARD(last_axis_pair); /* max and sum of a softmax run over one and the same axis, kept */

#undef GUARD
#endif
