/* Any bytes as an ONNX model: import, verify, lower (naive and for vectors), run for a while. */
#include "fuzz.h"

#include "frontend/onnx.h"
#include "ir/infer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ftl_import_options o = {.max_bytes = FUZZ_MEMORY / 4, .max_nodes = 3000};
	ftl_landing landing;
	ftl_arena arena;
	ftl_diag d = {0};
	ftl_graph *g = NULL;

	ftl_arena_init(&arena, NULL, &landing, FUZZ_MEMORY);
	if (setjmp(landing.jump)) {
		ftl_arena_free(&arena);
		return 0;
	}
	if (ftl_onnx_import_memory(&arena, data, size, "fuzz.onnx", NULL, &o, &d, &g) != FTL_OK) {
		if (!d.text[0])
			fuzz_bug("import", "failed without a message");
	} else {
		if (ftl_verify(g, &d) != FTL_OK)
			fuzz_bug("an imported graph does not verify", d.text);
		fuzz_graph(&arena, g, "scalar");
		fuzz_graph(&arena, g, "avx512");
	}
	ftl_arena_free(&arena);
	return 0;
}
