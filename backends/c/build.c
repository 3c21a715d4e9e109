/* Running the system's C compiler: on files in a private folder, without a shell, its messages kept for the error text.
 * The folder is gone afterwards, whatever happened. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "backends/c.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

extern char **environ;

struct ftl_c_lib {
	void *handle;
	ftl_main_fn main;
	ftl_size_fn size;
};

typedef FTL_VEC(const char *) arg_list;

/* ---- the private folder ---- */

static void remove_folder(void *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	rmdir(path);
}

/* Also removed with the arena, should a jump out of an allocation pass by. */
static ftl_status make_folder(ftl_arena *arena, const ftl_cc *cc, ftl_diag *d, char **out)
{
	const char *base = cc ? cc->workdir : NULL;
	char *path = ftl_arena_printf(arena, "%s/fettle-XXXXXX", base && *base ? base : "/tmp");

	*out = path;
	if (!mkdtemp(path))
		return ftl_fail(d, FTL_ERR_IO, "%s: cannot make a folder to compile in: %s", path,
				strerrordesc_np(errno));
	ftl_arena_defer(arena, remove_folder, path);
	return FTL_OK;
}

/* ---- the compiler ---- */

static ftl_status compiler_failed(const char *cc, const char *log, int status, ftl_diag *d)
{
	char text[700];
	int fd = open(log, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (WIFSIGNALED(status))
		return ftl_fail(d, FTL_ERR_IO, "the C compiler %s was killed by signal %d: %s", cc, WTERMSIG(status),
				text);
	return ftl_fail(d, FTL_ERR_IO, "the C compiler %s failed: %s", cc, text);
}

/* argv[0] is looked for in PATH. Output of the program goes to the file log. */
static ftl_status run(const char *const *argv, const char *log, ftl_diag *d)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int rc, status;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return ftl_fail(d, FTL_ERR_MEMORY, "out of memory");
	rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, 1, 2);
	if (rc == 0)
		rc = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (rc != 0)
		return ftl_fail(d, FTL_ERR_IO, "cannot run the C compiler %s: %s", argv[0], strerrordesc_np(rc));
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return ftl_fail(d, FTL_ERR_IO, "lost the C compiler %s: %s", argv[0], strerrordesc_np(errno));
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? FTL_OK : compiler_failed(argv[0], log, status, d);
}

static void start_args(ftl_arena *arena, arg_list *args, const ftl_cc *cc, const char *standard)
{
	ftl_vec_push(arena, args, cc && cc->cc ? cc->cc : "cc");
	ftl_vec_push(arena, args, standard);
	/* errno and trap semantics of math are nothing the model knows of, and cost inlining */
	ftl_vec_push(arena, args, "-fno-math-errno");
	ftl_vec_push(arena, args, "-fno-trapping-math");
	if (!cc || cc->nflags == 0)
		ftl_vec_push(arena, args, "-O2");
	for (size_t k = 0; cc && k < cc->nflags; k++)
		ftl_vec_push(arena, args, cc->flags[k]);
}

/* ---- a shared library for this process ---- */

static void close_lib(void *lib)
{
	ftl_c_lib *l = lib;

	if (l->handle)
		dlclose(l->handle);
	l->handle = NULL;
}

static ftl_status load(const char *path, const ftl_artifact *a, ftl_arena *arena, ftl_diag *d, ftl_c_lib *l)
{
	void *sym;

	l->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!l->handle)
		return ftl_fail(d, FTL_ERR_IO, "cannot load the compiled code: %s", dlerror());
	sym = dlsym(l->handle, ftl_arena_printf(arena, "%s_main", a->name));
	memcpy(&l->main, &sym, sizeof sym); /* C has no conversion between object and function pointers */
	sym = a->module->size ? dlsym(l->handle, ftl_arena_printf(arena, "%s_size", a->name)) : NULL;
	memcpy(&l->size, &sym, sizeof sym);
	if (!l->main || (a->module->size && !l->size))
		return ftl_fail(d, FTL_ERR_IO, "the compiled code lacks %s_main or %s_size", a->name, a->name);
	return FTL_OK;
}

static ftl_status build_shared_in(ftl_arena *arena, const ftl_artifact *a, ftl_c_dialect dialect, const ftl_cc *cc,
				  const char *dir, ftl_diag *d, ftl_c_lib *l)
{
	const char *source = ftl_path_join(arena, dir, "model.c"), *object = ftl_path_join(arena, dir, "model.so");
	arg_list args = {0};
	ftl_text code;

	ftl_text_init(&code, arena);
	FTL_TRY(ftl_c_print(a, dialect, &code, d));
	FTL_TRY(ftl_file_write(source, code.v, code.n, d));
	start_args(arena, &args, cc, dialect == FTL_C_ISO ? "-std=c99" : "-std=gnu11");
	ftl_vec_push(arena, &args, "-fPIC");
	ftl_vec_push(arena, &args, "-shared");
	ftl_vec_push(arena, &args, "-o");
	ftl_vec_push(arena, &args, object);
	ftl_vec_push(arena, &args, source);
	ftl_vec_push(arena, &args, "-lm");
	ftl_vec_push(arena, &args, NULL);
	FTL_TRY(run(args.v, ftl_path_join(arena, dir, "log"), d));
	return load(object, a, arena, d, l);
}

ftl_status ftl_c_build_shared(ftl_arena *arena, const ftl_kmodule *m, ftl_c_dialect dialect, const ftl_cc *cc,
			      ftl_diag *d, ftl_c_lib **out)
{
	ftl_c_lib *l = FTL_NEW(arena, ftl_c_lib);
	/* weights come through run->blobs, so the image is not laid out (and need not even be readable) */
	ftl_artifact a = {.name = ftl_c_identifier(arena, m->name), .module = m};
	ftl_status_code status;
	char *dir;

	*out = l;
	ftl_arena_defer(arena, close_lib, l);
	FTL_TRY(make_folder(arena, cc, d, &dir));
	status = build_shared_in(arena, &a, dialect, cc, dir, d, l);
	remove_folder(dir);
	return status;
}

ftl_main_fn ftl_c_lib_main(const ftl_c_lib *l)
{
	return l->main;
}

ftl_size_fn ftl_c_lib_size(const ftl_c_lib *l)
{
	return l->size;
}

void ftl_c_lib_free(ftl_c_lib *l)
{
	if (l)
		close_lib(l);
}

/* ---- a program ---- */

static ftl_status link_in(ftl_arena *arena, const ftl_artifact *a, const char *const *objects, size_t n,
			  const ftl_cc *cc, const char *path, const char *dir, ftl_diag *d)
{
	const char *header = ftl_path_join(arena, dir, ftl_arena_printf(arena, "%s.h", a->name));
	const char *source = ftl_path_join(arena, dir, "exe.c");
	arg_list args = {0};
	ftl_text t;

	ftl_text_init(&t, arena);
	ftl_header_print(a, &t);
	FTL_TRY(ftl_file_write(header, t.v, t.n, d));
	ftl_text_init(&t, arena);
	ftl_c_print_exe(a, &t);
	FTL_TRY(ftl_file_write(source, t.v, t.n, d));
	start_args(arena, &args, cc, "-std=gnu11");
	ftl_vec_push(arena, &args, "-pthread");
	ftl_vec_push(arena, &args, ftl_arena_printf(arena, "-I%s", dir));
	ftl_vec_push(arena, &args, "-o");
	ftl_vec_push(arena, &args, path);
	ftl_vec_push(arena, &args, source);
	for (size_t k = 0; k < n; k++)
		ftl_vec_push(arena, &args, objects[k]);
	ftl_vec_push(arena, &args, "-lm");
	ftl_vec_push(arena, &args, NULL);
	FTL_TRY(run(args.v, ftl_path_join(arena, dir, "log"), d));
	if (a->embed)
		return FTL_OK;
	return ftl_weights_write(a, ftl_arena_printf(arena, "%s.weights", path), d);
}

ftl_status ftl_c_link_exe(ftl_arena *arena, const ftl_artifact *a, const char *const *objects, size_t n,
			  const ftl_cc *cc, const char *path, ftl_diag *d)
{
	ftl_status_code status;
	char *dir;

	FTL_TRY(make_folder(arena, cc, d, &dir));
	status = link_in(arena, a, objects, n, cc, path, dir, d);
	remove_folder(dir);
	return status;
}

static ftl_status emit_exe_in(ftl_arena *arena, const ftl_artifact *a, ftl_c_dialect dialect, const ftl_cc *cc,
			      const char *path, const char *dir, ftl_diag *d)
{
	const char *code = ftl_path_join(arena, dir, ftl_arena_printf(arena, "%s.c", a->name));

	FTL_TRY(ftl_c_emit_code(arena, a, dialect, dir, d));
	return link_in(arena, a, &code, 1, cc, path, dir, d);
}

ftl_status ftl_c_emit_exe(ftl_arena *arena, const ftl_kmodule *m, const ftl_c_options *o, const ftl_cc *cc,
			  const char *path, ftl_diag *d)
{
	ftl_status_code status;
	ftl_artifact a;
	char *dir;

	FTL_TRY(ftl_artifact_make(arena, m, o->name, o->weights, d, &a));
	FTL_TRY(make_folder(arena, cc, d, &dir));
	status = emit_exe_in(arena, &a, o->dialect, cc, path, dir, d);
	remove_folder(dir);
	return status;
}

/* ---- a shared library of objects ---- */

static ftl_status link_shared_in(ftl_arena *arena, const char *const *objects, size_t n, const ftl_cc *cc,
				 const char *path, const char *dir, ftl_diag *d)
{
	arg_list args = {0};

	ftl_vec_push(arena, &args, cc && cc->cc ? cc->cc : "cc");
	ftl_vec_push(arena, &args, "-shared");
	for (size_t k = 0; cc && k < cc->nflags; k++)
		ftl_vec_push(arena, &args, cc->flags[k]);
	ftl_vec_push(arena, &args, "-o");
	ftl_vec_push(arena, &args, path);
	for (size_t k = 0; k < n; k++)
		ftl_vec_push(arena, &args, objects[k]);
	ftl_vec_push(arena, &args, "-lm");
	ftl_vec_push(arena, &args, NULL);
	return run(args.v, ftl_path_join(arena, dir, "log"), d);
}

ftl_status ftl_c_link_shared(ftl_arena *arena, const char *const *objects, size_t n, const ftl_cc *cc, const char *path,
			     ftl_diag *d)
{
	ftl_status_code status;
	char *dir;

	FTL_TRY(make_folder(arena, cc, d, &dir));
	status = link_shared_in(arena, objects, n, cc, path, dir, d);
	remove_folder(dir);
	return status;
}
