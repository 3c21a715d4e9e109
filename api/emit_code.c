/* Machine code: a model lowered once per cpu level, compiled into one object, and what is made of that.
 *
 * Levels share one numbering of messages and constants, and the constants' bytes: panels of packed weights are as wide as
 * the widest level wants them, and narrower ones read parts of them. The header beside the object is the same for all. */
#include "emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "base/file.h"

#define MAX_LEVELS 8
#define PANEL_BYTES 192 /* three vectors of 64 bytes, six of 32, twelve of 16: a multiple of every level's panel */

typedef struct level {
	const char *cpu;
	const ftl_target *target;
	ftl_kmodule *m;
	uint32_t *blob_map;
	int64_t *msg_map;
} level;

typedef struct code {
	ftl_emit *e;
	ftl_arena *arena;
	level level[MAX_LEVELS];
	size_t n;
	FTL_VEC(const char *) msgs;
	FTL_VEC(const ftl_blob *) blobs;
	ftl_artifact art;
	const char *weights; /* file of the image to embed, or NULL */
} code;

/* ---- levels ---- */

/* The level that code for a cpu is scheduled for: its own name, or a variant's. */
static const ftl_target *target_of(const char *cpu)
{
	static const struct {
		const char *cpu, *target;
	} variants[] = {{"avx512vnni", "avx512"}, {"avx2vnni", "avx2"}};

	for (size_t i = 0; i < FTL_COUNT(variants); i++) {
		if (!strcmp(cpu, variants[i].cpu))
			return ftl_target_find(variants[i].target);
	}
	return ftl_target_find(cpu);
}

static ftl_status add_level(code *c, const char *cpu, ftl_diag *d)
{
	level *l = &c->level[c->n];

	if (c->n == MAX_LEVELS)
		return ftl_fail(d, FTL_ERR_USAGE, "more than %d cpu levels", MAX_LEVELS);
	l->cpu = cpu;
	l->target = !strcmp(cpu, "native") ? ftl_target_find(ftl_llvm_host_level()) : target_of(cpu);
	if (!l->target)
		return ftl_fail(d, FTL_ERR_USAGE,
				"unknown cpu level \"%s\"; there are avx512vnni, avx512, avx2vnni, avx2, sse2, neon, "
				"scalar, native",
				cpu);
	if (!strcmp(cpu, "scalar"))
		l->cpu = NULL; /* whatever the target has at least */
	c->n++;
	return FTL_OK;
}

static ftl_status choose_levels(code *c, ftl_diag *d)
{
	const char *triple = c->e->o->target, *list = c->e->o->cpu, *host = ftl_llvm_host_level();
	bool arm = triple ? !strncmp(triple, "aarch64", 7) || !strncmp(triple, "arm64", 5) : !strcmp(host, "neon");
	bool x86 = triple ? !strncmp(triple, "x86_64", 6) : !arm && strcmp(host, "scalar") != 0;
	bool text = c->e->kind == FETTLE_EMIT_LLVM || c->e->kind == FETTLE_EMIT_KERNELS;

	if (!list)
		list = !x86 && !arm      ? "scalar"
		       : arm             ? "neon"
		       : text && !triple ? "native"
		       : text            ? "sse2"
					 : "avx512,avx2,sse2";
	while (*list) {
		size_t n = strcspn(list, ",");

		if (n)
			FTL_TRY(add_level(c, ftl_arena_strn(c->arena, list, n), d));
		list += n + (list[n] == ',');
	}
	return c->n ? FTL_OK : ftl_fail(d, FTL_ERR_USAGE, "no cpu level is named");
}

/* ---- one numbering for all ---- */

static void number_msgs(code *c, level *l, ftl_map *seen)
{
	l->msg_map = FTL_NEW_N(c->arena, int64_t, l->m->msgs.n);
	for (uint32_t i = 0; i < l->m->msgs.n; i++) {
		const char *s = l->m->msgs.v[i];
		/* numbers with a fixed meaning stay */
		const char *key = ftl_arena_printf(c->arena, "%u %s", i < FTL_RUN_MESSAGES ? i : FTL_RUN_MESSAGES,
						   s ? s : "");
		uintptr_t at = (uintptr_t)ftl_map_get(seen, key);

		if (!at) {
			ftl_vec_push(c->arena, &c->msgs, s);
			at = c->msgs.n;
			ftl_map_set(seen, key, (void *)at);
		}
		l->msg_map[i] = (int64_t)at - 1;
	}
}

static void number_blobs(code *c, level *l, ftl_map *seen)
{
	l->blob_map = FTL_NEW_N(c->arena, uint32_t, l->m->blobs.n);
	for (uint32_t i = 0; i < l->m->blobs.n; i++) {
		const ftl_blob *b = l->m->blobs.v[i];
		const char *key = ftl_arena_printf(c->arena, "%llx %zx", (unsigned long long)ftl_blob_hash(b),
						   b->bytes);
		uintptr_t at = (uintptr_t)ftl_map_get(seen, key);

		if (!at) {
			ftl_vec_push(c->arena, &c->blobs, b);
			at = c->blobs.n;
			ftl_map_set(seen, key, (void *)at);
		}
		l->blob_map[i] = (uint32_t)at - 1;
	}
}

static ftl_status lower_levels(code *c, ftl_diag *d)
{
	ftl_lower_options lo = {.panel_bytes = c->n > 1 ? PANEL_BYTES : 0, .packed = ftl_map_new(c->arena)};
	ftl_map *msgs = ftl_map_new(c->arena), *blobs = ftl_map_new(c->arena);

	for (size_t i = 0; i < c->n; i++) {
		lo.target = c->level[i].target;
		FTL_TRY(ftl_lower(c->arena, c->e->model->g, &lo, d, &c->level[i].m));
		number_msgs(c, &c->level[i], msgs);
		number_blobs(c, &c->level[i], blobs);
	}
	return FTL_OK;
}

/* ---- the object ---- */

static void remove_file(void *path)
{
	unlink(path);
}

/* The image goes to a file beside the result, for the assembler to read. */
static ftl_status stage_weights(code *c, ftl_diag *d)
{
	char *path = ftl_arena_printf(c->arena, "%s.XXXXXX", c->e->file);
	int fd = mkstemp(path);

	if (fd < 0)
		return ftl_fail(d, FTL_ERR_IO, "%s: cannot be written", path);
	close(fd);
	ftl_arena_defer(c->arena, remove_file, path);
	c->weights = path;
	return ftl_weights_write(&c->art, path, d);
}

static ftl_status compile(code *c, ftl_llvm_kind kind, const void **out, size_t *out_n, ftl_diag *d)
{
	ftl_llvm_level levels[MAX_LEVELS];
	ftl_llvm_options o = {.triple = c->e->o->target, .prefix = c->art.name, .weights = c->weights};

	for (size_t i = 0; i < c->n; i++)
		levels[i] = (ftl_llvm_level){.module = c->level[i].m,
					     .cpu = c->level[i].cpu,
					     .blob_map = c->level[i].blob_map,
					     .msg_map = c->level[i].msg_map};
	return ftl_llvm_emit_levels(levels, c->n, &o, kind, c->arena, d, out, out_n);
}

static ftl_status make_code(code *c, ftl_diag *d)
{
	FTL_TRY(choose_levels(c, d));
	FTL_TRY(lower_levels(c, d));
	return ftl_artifact_make_merged(c->arena, c->level[0].m, c->e->name, (ftl_weights_mode)c->e->o->weights,
					c->msgs.v, c->msgs.n, c->blobs.v, c->blobs.n, d, &c->art);
}

/* ---- what is made of it ---- */

static ftl_status write_beside(code *c, ftl_diag *d)
{
	const char *header = ftl_path_join(c->arena, c->e->dir, ftl_arena_printf(c->arena, "%s.h", c->art.name));
	const char *weights = ftl_path_join(c->arena, c->e->dir, ftl_arena_printf(c->arena, "%s.weights", c->art.name));
	ftl_text t;

	ftl_text_init(&t, c->arena);
	ftl_header_print(&c->art, &t);
	FTL_TRY(ftl_file_write(header, t.v, t.n, d));
	ftl_emit_wrote(c->e, header);
	if (c->art.embed)
		return FTL_OK;
	FTL_TRY(ftl_weights_write(&c->art, weights, d));
	ftl_emit_wrote(c->e, weights);
	return FTL_OK;
}

static ftl_status write_archive(code *c, const void *object, size_t n, ftl_diag *d)
{
	const char *symbols[3];

	symbols[0] = ftl_arena_printf(c->arena, "%s_main", c->art.name);
	symbols[1] = ftl_arena_printf(c->arena, "%s_size", c->art.name);
	symbols[2] = ftl_arena_printf(c->arena, "%s_weights", c->art.name);
	return ftl_archive_write(c->e->file, c->arena, "model.o", object, n, symbols, c->art.embed ? 3 : 2, d);
}

/* Linking needs the object in a file. */
static ftl_status link_code(code *c, const void *object, size_t n, ftl_diag *d)
{
	ftl_cc cc = {.cc = c->e->o->cc, .workdir = c->e->o->tmpdir};
	char *path = ftl_arena_printf(c->arena, "%s.XXXXXX.o", c->e->file);
	int fd = mkstemps(path, 2);

	if (fd < 0)
		return ftl_fail(d, FTL_ERR_IO, "%s: cannot be written", path);
	close(fd);
	ftl_arena_defer(c->arena, remove_file, path);
	FTL_TRY(ftl_file_write(path, object, n, d));
	if (c->e->kind == FETTLE_EMIT_SHARED)
		return ftl_c_link_shared(c->arena, (const char *const *)&path, 1, &cc, c->e->file, d);
	return ftl_c_link_exe(c->arena, &c->art, (const char *const *)&path, 1, &cc, c->e->file, d);
}

ftl_status ftl_emit_code(ftl_emit *e, ftl_diag *d)
{
	code c = {.e = e, .arena = &e->store->arena};
	const void *object;
	size_t n;

	if (e->o->target && !e->o->cc && (e->kind == FETTLE_EMIT_SHARED || e->kind == FETTLE_EMIT_EXE))
		return ftl_fail(
			d, FTL_ERR_USAGE,
			"linking for %s takes its C compiler: name it (cc), or emit an object or a static library",
			e->o->target);
	FTL_TRY(make_code(&c, d));
	if (c.art.embed)
		FTL_TRY(stage_weights(&c, d));
	FTL_TRY(compile(&c, FTL_LLVM_OBJECT, &object, &n, d));
	switch (e->kind) {
	case FETTLE_EMIT_OBJECT: FTL_TRY(ftl_file_write(e->file, object, n, d)); break;
	case FETTLE_EMIT_STATIC: FTL_TRY(write_archive(&c, object, n, d)); break;
	default: FTL_TRY(link_code(&c, object, n, d)); break;
	}
	ftl_emit_wrote(e, e->file);
	if (e->kind != FETTLE_EMIT_EXE)
		return write_beside(&c, d);
	if (!c.art.embed)
		ftl_emit_wrote(e, ftl_arena_printf(c.arena, "%s.weights", e->file));
	return FTL_OK;
}

ftl_status ftl_emit_code_text(ftl_emit *e, ftl_text *t, ftl_diag *d)
{
	code c = {.e = e, .arena = &e->store->arena};
	const void *text;
	size_t n;

	FTL_TRY(ftl_model_check(e->model, d));
	if (!e->name)
		e->name = e->model->g->name;
	FTL_TRY(make_code(&c, d));
	if (e->kind == FETTLE_EMIT_KERNELS) {
		for (size_t i = 0; i < c.n; i++)
			ftl_kmodule_print(c.level[i].m, t);
		return FTL_OK;
	}
	FTL_TRY(compile(&c, FTL_LLVM_TEXT, &text, &n, d));
	ftl_text_bytes(t, text, n);
	return FTL_OK;
}
