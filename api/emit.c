/* Artifacts: a model as text, ONNX, C, or machine code. */
#include "api.h"

#include <stdlib.h>

#include "frontend/onnx.h"
#include "ir/fir.h"

#define EMIT_BASE ((uint64_t)512 << 20)

typedef struct emit {
	fettle_model *model;
	fettle_artifact kind;
	const char *path;
	const fettle_emit_options *o;
	fettle_text_fn text;
	void *user;
	ftl_store *store;
} emit;

static void wrote(const emit *e, const char *path)
{
	if (e->o->wrote)
		e->o->wrote(e->o->user, path);
}

static ftl_status text_entry(void *ctx, ftl_diag *d)
{
	emit *e = ctx;
	ftl_arena *a = &e->store->arena;
	ftl_text t;

	ftl_text_init(&t, a);
	switch (e->kind) {
	case FETTLE_EMIT_IR:
		ftl_print(e->model->g, &t);
		break;
	default:
		return ftl_fail(d, FTL_ERR_USAGE, "this kind of artifact is not text");
	}
	e->text(e->user, t.v, t.n);
	return FTL_OK;
}

static ftl_status emit_entry(void *ctx, ftl_diag *d)
{
	emit *e = ctx;
	ftl_arena *a = &e->store->arena;

	switch (e->kind) {
	case FETTLE_EMIT_IR:
		FTL_TRY(ftl_fir_write(e->model->g, e->path, d));
		break;
	case FETTLE_EMIT_ONNX:
		FTL_TRY(ftl_onnx_export(a, e->model->g, e->path, NULL, d));
		break;
	default:
		return ftl_fail(d, FTL_ERR_USAGE, "unknown artifact %d", (int)e->kind);
	}
	wrote(e, e->path);
	return FTL_OK;
}

static fettle_status enter(emit *e, ftl_entry_fn fn, fettle_error *err)
{
	static const fettle_emit_options none;
	ftl_arena *arenas[2];
	fettle_status rc;
	uint64_t limit = e->model->max_memory;

	if (!e->o)
		e->o = &none;
	e->store = ftl_store_new(limit ? limit : ftl_default_memory(EMIT_BASE, ftl_weight_bytes(e->model->g), 4));
	if (!e->store)
		return ftl_api_fail(err, FTL_ERR_MEMORY, "out of memory");
	arenas[0] = &e->store->arena;
	arenas[1] = &e->model->store->arena;
	rc = ftl_enter(arenas, 2, fn, e, err);
	ftl_store_release(e->store);
	return rc;
}

fettle_status fettle_emit(fettle_model *m, fettle_artifact kind, const char *path, const fettle_emit_options *o, fettle_error *e)
{
	emit one = {.model = m, .kind = kind, .path = path, .o = o};

	return enter(&one, emit_entry, e);
}

fettle_status fettle_emit_text(fettle_model *m, fettle_artifact kind, const fettle_emit_options *o, fettle_text_fn text,
			       void *user, fettle_error *e)
{
	emit one = {.model = m, .kind = kind, .o = o, .text = text, .user = user};

	return enter(&one, text_entry, e);
}
