/* Artifacts: a model as text, ONNX, C, or machine code. Names of files and symbols are settled here. */
#include "emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "frontend/onnx.h"
#include "ir/fir.h"

#define EMIT_BASE ((uint64_t)512 << 20)

void ftl_emit_wrote(const ftl_emit *e, const char *path)
{
	if (e->o->wrote)
		e->o->wrote(e->o->user, path);
}

/* ---- names ---- */

static const char *const suffixes[] = {".c", ".o", ".a", ".so", "", ".onnx", ".fir", ".kir", ".ll"};

static bool is_folder(const char *path)
{
	struct stat st;
	size_t n = strlen(path);

	return (n && path[n - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

/* "model" of "/x/libmodel.so": without folder, extension and the linker's "lib". */
static char *stem(ftl_arena *a, const char *path, bool library)
{
	const char *base = strrchr(path, '/');
	char *s = ftl_arena_str(a, base ? base + 1 : path), *dot = strrchr(s, '.');

	if (dot && dot != s)
		*dot = '\0';
	return library && !strncmp(s, "lib", 3) && s[3] ? s + 3 : s;
}

/* path may be a folder, a file with the usual suffix, or (for C) a name without one. */
static ftl_status make_names(ftl_emit *e, ftl_diag *d)
{
	ftl_arena *a = &e->store->arena;
	const ftl_graph *g = e->model->g;
	const char *suffix = suffixes[e->kind], *name = e->o->name;
	bool library = e->kind == FETTLE_EMIT_STATIC || e->kind == FETTLE_EMIT_SHARED;
	size_t n;

	if (!e->path || !*e->path)
		return ftl_fail(d, FTL_ERR_USAGE, "where to? a path is needed");
	n = strlen(e->path);
	if (is_folder(e->path)) {
		if (e->kind == FETTLE_EMIT_EXE && e->path[n - 1] != '/' && !name)
			return ftl_fail(d, FTL_ERR_USAGE, "%s is a folder", e->path);
		if (!name)
			name = g->file ? stem(a, g->file, false) : g->name ? g->name : "model";
		e->dir = ftl_arena_strn(a, e->path, n > 1 && e->path[n - 1] == '/' ? n - 1 : n);
		e->name = ftl_c_identifier(a, name);
		e->file = ftl_path_join(a, e->dir,
					ftl_arena_printf(a, "%s%s%s", library ? "lib" : "", e->name, suffix));
		return FTL_OK;
	}
	e->dir = ftl_path_dir(a, e->path);
	e->name = ftl_c_identifier(a, name ? name : stem(a, e->path, library));
	e->file = e->path;
	if (e->kind == FETTLE_EMIT_C && (n < 3 || strcmp(e->path + n - 2, ".c") != 0))
		e->file = ftl_arena_printf(a, "%s.c", e->path);
	return FTL_OK;
}

/* ---- C ---- */

static ftl_status c_target(const ftl_emit *e, ftl_diag *d, const ftl_target **out)
{
	*out = e->o->iso_c ? &ftl_target_scalar : ftl_target_find(e->o->cpu ? e->o->cpu : "avx2");
	if (!*out)
		return ftl_fail(d, FTL_ERR_USAGE,
				"C is made for one cpu level (avx512, avx2, sse2, neon, scalar), not \"%s\"",
				e->o->cpu);
	return FTL_OK;
}

static ftl_status emit_c(ftl_emit *e, ftl_diag *d)
{
	ftl_arena *a = &e->store->arena;
	ftl_c_options o = {.name = e->name,
			   .dialect = e->o->iso_c ? FTL_C_ISO : FTL_C_GNU,
			   .weights = (ftl_weights_mode)e->o->weights};
	ftl_lower_options lo = {0};
	const char *written = ftl_path_join(a, e->dir, ftl_arena_printf(a, "%s.c", e->name));
	const char *weights = ftl_path_join(a, e->dir, ftl_arena_printf(a, "%s.weights", e->name));
	ftl_kmodule *m = NULL;
	ftl_artifact art;

	FTL_TRY(c_target(e, d, &lo.target));
	FTL_TRY(ftl_lower(a, e->model->g, &lo, d, &m));
	FTL_TRY(ftl_artifact_make(a, m, e->name, o.weights, d, &art));
	FTL_TRY(ftl_c_emit(m, &o, e->dir, d));
	if (strcmp(written, e->file) != 0 && rename(written, e->file) != 0)
		return ftl_fail(d, FTL_ERR_IO, "%s: cannot be written", e->file);
	ftl_emit_wrote(e, e->file);
	ftl_emit_wrote(e, ftl_path_join(a, e->dir, ftl_arena_printf(a, "%s.h", e->name)));
	if (!art.embed)
		ftl_emit_wrote(e, weights);
	return FTL_OK;
}

/* ---- entries ---- */

static ftl_status make_text(ftl_emit *e, ftl_text *t, ftl_diag *d)
{
	ftl_text_init(t, &e->store->arena);
	if (e->kind == FETTLE_EMIT_IR)
		ftl_print(e->model->g, t);
	else if (e->kind == FETTLE_EMIT_KERNELS || e->kind == FETTLE_EMIT_LLVM)
		return ftl_emit_code_text(e, t, d);
	else
		return ftl_fail(d, FTL_ERR_USAGE, "this kind of artifact is not text");
	return FTL_OK;
}

static ftl_status text_entry(void *ctx, ftl_diag *d)
{
	ftl_emit *e = ctx;
	ftl_text t;

	FTL_TRY(make_text(e, &t, d));
	e->text(e->user, t.v, t.n);
	return FTL_OK;
}

/* A program around a model reads and writes .npy files, which have no strings. */
static ftl_status check_strings(const ftl_emit *e, ftl_diag *d)
{
	const ftl_graph *g = e->model->g;

	for (ftl_val v = 1; e->kind == FETTLE_EMIT_EXE && v < g->values.n; v++)
		if (ftl_type_of(g, v)->dtype == FTL_STRING)
			return ftl_fail(d, FTL_ERR_UNSUPPORTED,
					"a program cannot be made of a model with strings: emit C or a library");
	return FTL_OK;
}

static ftl_status emit_entry(void *ctx, ftl_diag *d)
{
	ftl_emit *e = ctx;
	ftl_text t;

	FTL_TRY(ftl_model_check(e->model, d));
	FTL_TRY(make_names(e, d));
	switch (e->kind) {
	case FETTLE_EMIT_C: return emit_c(e, d);
	case FETTLE_EMIT_OBJECT:
	case FETTLE_EMIT_STATIC:
	case FETTLE_EMIT_SHARED:
	case FETTLE_EMIT_EXE: FTL_TRY(check_strings(e, d)); return ftl_emit_code(e, d);
	case FETTLE_EMIT_IR: FTL_TRY(ftl_fir_write(e->model->g, e->file, d)); break;
	case FETTLE_EMIT_ONNX: FTL_TRY(ftl_onnx_export(&e->store->arena, e->model->g, e->file, NULL, d)); break;
	case FETTLE_EMIT_KERNELS:
	case FETTLE_EMIT_LLVM:
		FTL_TRY(make_text(e, &t, d));
		FTL_TRY(ftl_file_write(e->file, t.v, t.n, d));
		break;
	}
	ftl_emit_wrote(e, e->file);
	return FTL_OK;
}

static fettle_status enter(ftl_emit *e, ftl_entry_fn fn, fettle_error *err)
{
	static const fettle_emit_options none;
	ftl_arena *arenas[2];
	fettle_status rc;
	uint64_t limit = e->model->max_memory;

	if (!e->o)
		e->o = &none;
	if ((unsigned)e->kind > FETTLE_EMIT_LLVM)
		return ftl_api_fail(err, FTL_ERR_USAGE, "unknown artifact %d", (int)e->kind);
	e->store = ftl_store_new(limit ? limit : ftl_default_memory(EMIT_BASE, ftl_weight_bytes(e->model->g), 4));
	if (!e->store)
		return ftl_api_fail(err, FTL_ERR_MEMORY, "out of memory");
	arenas[0] = &e->store->arena;
	arenas[1] = &e->model->store->arena;
	rc = ftl_enter(arenas, 2, fn, e, err);
	ftl_store_release(e->store);
	return rc;
}

fettle_status fettle_emit(fettle_model *m, fettle_artifact kind, const char *path, const fettle_emit_options *o,
			  fettle_error *e)
{
	ftl_emit one = {.model = m, .kind = kind, .path = path, .o = o};

	return enter(&one, emit_entry, e);
}

fettle_status fettle_emit_text(fettle_model *m, fettle_artifact kind, const fettle_emit_options *o, fettle_text_fn text,
			       void *user, fettle_error *e)
{
	ftl_emit one = {.model = m, .kind = kind, .o = o, .text = text, .user = user};

	return enter(&one, text_entry, e);
}
