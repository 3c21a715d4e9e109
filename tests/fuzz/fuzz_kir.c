/* Any text as a kernel module: parse; what verifies prints, parses back and prints the same, and can be run. */
#include "fuzz.h"

static bool calls(const ftl_kmodule *m)
{
	for (uint32_t k = 0; k <= m->kernels.n; k++) {
		const ftl_kfunc *f = k < m->kernels.n ? m->kernels.v[k] : m->main;

		for (ftl_kv v = 1; f && v < f->inst.n; v++)
			if (f->inst.v[v].op == FTL_K_call || f->inst.v[v].op == FTL_K_addr)
				return true;
	}
	return false;
}

static void check(ftl_arena *arena, const uint8_t *data, size_t size)
{
	ftl_diag d = {0}, d2 = {0};
	ftl_kmodule *m = NULL, *again = NULL;
	ftl_text t, t2;

	if (ftl_kmodule_parse(arena, (const char *)data, size, "fuzz.kir", &d, &m) != FTL_OK) {
		if (!d.text[0])
			fuzz_bug("parse", "failed without a message");
		return;
	}
	if (ftl_kmodule_verify(m, &d) != FTL_OK)
		return;
	ftl_text_init(&t, arena);
	ftl_kmodule_print(m, &t);
	if (ftl_kmodule_parse(arena, t.v, t.n, "again.kir", &d2, &again) != FTL_OK)
		fuzz_bug("what was printed does not parse", d2.text);
	ftl_text_init(&t2, arena);
	ftl_kmodule_print(again, &t2);
	if (strcmp(t.v, t2.v) != 0)
		fuzz_bug("prints differently after a round trip", t.v);
	if (!calls(m)) /* what it is called with must be strings: only lowering sees to that */
		fuzz_run(arena, m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ftl_landing landing;
	ftl_arena arena;

	ftl_arena_init(&arena, NULL, &landing, FUZZ_MEMORY);
	if (!setjmp(landing.jump))
		check(&arena, data, size);
	ftl_arena_free(&arena);
	return 0;
}
