/* Side conditions of rewrites.def's rows, by the name they have there: what the pattern language cannot say. Variables
 * and node names count in the order in which the left side mentions them first: a guard says which ones it looks at. */
#ifndef PASSES_GUARDS_H
#define PASSES_GUARDS_H

#include "passes/pattern.h"

#define GUARD(name) bool ftl_guard_##name(ftl_match *m)

/* x is the first variable, c the second, d the third. */
GUARD(is_wide);        /* x is f32 or f64 */
GUARD(power_of_two);   /* c is one, and so is 1 / c in x's type */
GUARD(product_fits);   /* c d is a normal number of x's type, and only the root reads the inner node */
GUARD(quotient_fits);  /* the same for c / d */
GUARD(inverse_fits);   /* and d / c */
GUARD(is_finite);      /* c */
GUARD(is_small);       /* |c| <= 8: adding it leaves x some precision */
GUARD(is_signed);      /* x's element type */
GUARD(is_number);      /* c is no NaN */
GUARD(are_numbers);    /* c and d are none */
GUARD(in_order);       /* d <= c */
GUARD(intervals_meet); /* [c, d] and the interval of the fourth and fifth variable */
GUARD(is_fraction);    /* 0 <= c <= 1 */
/* Attributes of the root. */
GUARD(perm_is_identity);
GUARD(keeps_everything); /* a slice of all elements, in order */
GUARD(pads_nothing);
GUARD(casts_nothing); /* f8e5m2 to itself is no such cast: it makes infinities the largest number, unless told not to */
/* Of two casts. */
GUARD(casts_back);    /* the inner one loses nothing, the outer one returns to x's type */
GUARD(casts_through); /* the inner one loses nothing */
GUARD(upcast);        /* x is half precision, the inner cast makes it f32, the outer one brings it back */
/* Of the named nodes. */
GUARD(one_axis);    /* both reduce the same single axis */
GUARD(norm_axis);   /* the first reduces trailing axes */
GUARD(norm_axes);   /* both reduce the same trailing axes */
GUARD(norm_affine); /* and the variables g and b of layer_norm_affine vary along those alone */
GUARD(norm_scale);  /* c varies along the axes that the first node normalizes alone */
GUARD(norm_bias);   /* d does */

#undef GUARD
#endif
