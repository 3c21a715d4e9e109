/* The targets a schedule can be made for: what it needs to know of a CPU, and nothing else. */
#include "kernels/lower.h"

const ftl_target ftl_target_scalar = {"scalar", 0, 16, false, 32 << 10, 256 << 10};
static const ftl_target targets[] = {
	{"scalar", 0, 16, false, 32 << 10, 256 << 10}, {"sse2", 16, 16, false, 32 << 10, 256 << 10},
	{"avx2", 32, 16, true, 32 << 10, 256 << 10},   {"avx512", 64, 32, true, 32 << 10, 1 << 20},
	{"neon", 16, 32, true, 64 << 10, 512 << 10},
};

const ftl_target *ftl_target_at(size_t i)
{
	return i < FTL_COUNT(targets) ? &targets[i] : NULL;
}

const ftl_target *ftl_target_find(const char *name)
{
	for (size_t i = 0; i < FTL_COUNT(targets); i++)
		if (!strcmp(targets[i].name, name))
			return &targets[i];
	return NULL;
}
