/* Running graphs in the interpreter on made-up data, and comparing what comes out: for tests of passes. */
#ifndef TESTS_SUPPORT_EXEC_H
#define TESTS_SUPPORT_EXEC_H

#include "kernels/lower.h"

typedef struct exec_rng {
	uint64_t state;
} exec_rng;
uint64_t exec_bits(exec_rng *r);
uint32_t exec_below(exec_rng *r, uint32_t n); /* 0..n-1 */
bool exec_chance(exec_rng *r, int percent);
double exec_real(exec_rng *r, double lo, double hi);

typedef enum exec_data {
	EXEC_TAME, /* magnitudes between 0.05 and 4, small integers */
	EXEC_WILD, /* also zeros of both signs, infinities, NaN, denormals, the largest and smallest integers */
} exec_data;

void exec_fill(exec_rng *r, exec_data kind, ftl_dtype t, void *data, size_t n);

typedef struct exec_tensor {
	ftl_dtype dtype;
	int rank;
	int64_t dims[FTL_MAX_RANK];
	size_t n;
	void *data;
} exec_tensor;

typedef struct exec_result {
	uint32_t n;
	exec_tensor *out;
} exec_result;

/* Inputs for g: symbols get small values, the same for the same name and seed. */
ftl_karg_tensor *exec_inputs(ftl_arena *a, const ftl_graph *g, uint64_t seed, exec_data kind);
/* fuse: let elementwise chains round once. */
ftl_status exec_run(ftl_arena *a, const ftl_graph *g, const ftl_karg_tensor *in, bool fuse, ftl_diag *d,
		    exec_result *out);
/* NULL if the results agree, else what does not. tolerance 0: bit for bit, up to the sign of zero and what a NaN holds.
 * Else the error of an element relative to it (or to a tenth of the largest one, or to 1/16), in f32; other types: scaled by their
 * precision. NaN and infinities must be in the same places, but if tame: then they are not compared. */
const char *exec_compare(ftl_arena *a, const exec_result *before, const exec_result *after, double tolerance,
			 bool tame);

#endif
