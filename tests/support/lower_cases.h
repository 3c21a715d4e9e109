/* Cases for lowerings: a .fir function each, run naive and on every target, fused and not.
 *
 * The naive lowering (scalar, nothing fused) is the meaning; every schedule must give the same, exactly for integers,
 * within rounding for floats. Symbols ?a ?b ?c ?d ?k ?one ?two ?zero have sizes 3 5 7 37 4 1 2 0, so that vectors leave tails.
 * The interpreter checks every address: a schedule that leaves a buffer fails too. */
#ifndef TESTS_SUPPORT_LOWER_CASES_H
#define TESTS_SUPPORT_LOWER_CASES_H

#include "kernels/lower.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct fix {
	ftl_arena arena;
	ftl_landing landing;
	ftl_diag diag;
};
int lower_setup(void **state);
int lower_teardown(void **state);

typedef struct sample {
	const char *name, *params, *results, *body, *ret;
	const char *ints;  /* contents of the integer inputs, one list for all; NULL: small random numbers */
	const char *want;  /* first output's elements; NULL: only targets are compared */
	const char *error; /* the run must fail with this reason */
} sample;

void run_one(struct fix *f, const sample *c);
void run(struct fix *f, const sample *c, size_t n);

#endif
