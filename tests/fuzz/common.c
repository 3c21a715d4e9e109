/* See fuzz.h. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/lower.h"

void fuzz_bug(const char *what, const char *detail)
{
	fprintf(stderr, "fuzz: %s: %s\n", what, detail);
	abort();
}

/* Some data of the port's smallest shape; false if that is more than a test should run. */
static bool make_input(ftl_arena *arena, const ftl_kmodule *m, const ftl_kio *io, ftl_karg_tensor *out)
{
	int64_t n = 1, x;

	for (int d = 0; d < io->type.rank; d++) {
		if (!ftl_dim_is_const(m->st, io->type.dims[d], &x)) {
			x = ftl_dim_lo(m->st, io->type.dims[d]);
			x = x < 2 ? 2 : x;
		}
		out->dims[d] = x;
		if (x < 0 || x > 4096 || (n *= x) > 65536)
			return false;
	}
	out->bytes = (size_t)n * ftl_dtype_bytes(io->type.dtype);
	out->data = ftl_arena_alloc(arena, out->bytes + 1);
	for (int64_t i = 0; i < n && io->type.dtype == FTL_STRING; i++)
		((const char **)out->data)[i] = i % 3 ? "a b" : "-1";
	for (int64_t i = 0; i < n && io->type.dtype != FTL_STRING; i++)
		ftl_elem_set(io->type.dtype, out->data, (size_t)i,
			     (double)(i % 3) - (ftl_dtype_is_signed(io->type.dtype) ? 1 : 0));
	return true;
}

void fuzz_run(ftl_arena *arena, const ftl_kmodule *m)
{
	ftl_karg_tensor *in = FTL_NEW_N(arena, ftl_karg_tensor, m->inputs.n + 1);
	ftl_karg_tensor *out = FTL_NEW_N(arena, ftl_karg_tensor, m->outputs.n + 1);
	ftl_diag d = {0};

	for (uint32_t k = 0; k < m->inputs.n; k++)
		if (!make_input(arena, m, &m->inputs.v[k], &in[k]))
			return;
	if (ftl_kmodule_interpret_bounded(m, arena, in, out, FUZZ_JUMPS, &d) != FTL_OK && !d.text[0])
		fuzz_bug("run", "failed without a message");
}

void fuzz_graph(ftl_arena *arena, const ftl_graph *g, const char *target)
{
	ftl_lower_options o = {.target = ftl_target_find(target)};
	ftl_diag d = {0};
	ftl_kmodule *m = NULL;

	if (ftl_lower(arena, g, &o, &d, &m) != FTL_OK) {
		if (!d.text[0])
			fuzz_bug("lower", "failed without a message");
		return;
	}
	if (ftl_kmodule_verify(m, &d) != FTL_OK)
		fuzz_bug("lowered code does not verify", d.text);
	if (o.target->vector_bytes == 0)
		fuzz_run(arena, m);
}
