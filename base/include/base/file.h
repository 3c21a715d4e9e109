/* Files: read-only mapping, whole-file write, and joining a path without leaving a folder. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/arena.h"
#include "base/status.h"

typedef struct ftl_file {
	const uint8_t *data;
	size_t size;
} ftl_file;

/* Map path read-only; unmapped when arena is freed. An empty file maps to a non-NULL pointer of size 0. */
ftl_status ftl_file_map(ftl_arena *arena, const char *path, ftl_diag *d, ftl_file *out);
/* Let the kernel drop the pages of [p, p+n) of a mapping: they are read again on the next touch. */
void ftl_file_forget(const void *p, size_t n);
/* Write bytes to path through a temporary file in the same folder, then rename. */
ftl_status ftl_file_write(const char *path, const void *data, size_t n, ftl_diag *d);
/* The same for pieces that follow each other, so that big ones need no copy. */
typedef struct ftl_span {
	const void *data;
	size_t size;
} ftl_span;
ftl_status ftl_file_write_spans(const char *path, const ftl_span *spans, size_t n, ftl_diag *d);
/* folder of path ("." if none), in arena */
const char *ftl_path_dir(ftl_arena *arena, const char *path);
const char *ftl_path_join(ftl_arena *arena, const char *dir, const char *name);
/* dir/name, refused (FTL_ERR_MODEL) when name is absolute, contains a ".." part or a NUL, or when the
 * resolved file (symbolic links followed) lies outside dir. For names that come from a model. */
ftl_status ftl_path_inside(ftl_arena *arena, const char *dir, const char *name, ftl_diag *d, const char **out);

#endif
