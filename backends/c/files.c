/* The files of a model in C: NAME.c, NAME.h, NAME.weights. Embedded weights are streamed behind the code, so that they
 * are never in memory as text. */
#include "backends/c.h"

#include <inttypes.h>

#include "base/file.h"

static ftl_status write_code(const ftl_artifact *a, const ftl_text *code, const char *path, ftl_diag *d)
{
	ftl_arena *arena = a->module->arena;
	ftl_writer *w;
	char *s;

	FTL_TRY(ftl_writer_open(arena, path, d, &w));
	ftl_writer_put(w, code->v, code->n);
	if (a->embed) {
		s = ftl_arena_printf(arena,
				     "\n/* ---- weights: the image that backends/artifact.h describes ---- */\n"
				     "#if defined(__GNUC__)\n__attribute__((aligned(64)))\n#endif\n"
				     "const uint64_t %s_weights[%" PRIu64 "] = {\n",
				     a->name, a->bytes / 8);
		ftl_writer_put(w, s, strlen(s));
		ftl_weights_print(a, ftl_writer_put, w); /* close says if it failed */
		ftl_writer_put(w, "};\n", 3);
	}
	return ftl_writer_close(w, d);
}

ftl_status ftl_c_emit_code(ftl_arena *arena, const ftl_artifact *a, ftl_c_dialect dialect, const char *dir, ftl_diag *d)
{
	ftl_text code, header;

	if (!a->module->size)
		return ftl_fail(d, FTL_ERR_USAGE, "%s: the module has no memory plan", a->name);
	ftl_text_init(&code, arena);
	ftl_text_init(&header, arena);
	FTL_TRY(ftl_c_print(a, dialect, &code, d));
	ftl_header_print(a, &header);
	FTL_TRY(write_code(a, &code, ftl_path_join(arena, dir, ftl_arena_printf(arena, "%s.c", a->name)), d));
	return ftl_file_write(ftl_path_join(arena, dir, ftl_arena_printf(arena, "%s.h", a->name)), header.v, header.n,
			      d);
}

ftl_status ftl_c_emit(const ftl_kmodule *m, const ftl_c_options *o, const char *dir, ftl_diag *d)
{
	ftl_artifact a;

	FTL_TRY(ftl_artifact_make(m->arena, m, o->name, o->weights, d, &a));
	FTL_TRY(ftl_c_emit_code(m->arena, &a, o->dialect, dir, d));
	if (a.embed)
		return FTL_OK;
	return ftl_weights_write(&a, ftl_path_join(m->arena, dir, ftl_arena_printf(m->arena, "%s.weights", a.name)), d);
}
