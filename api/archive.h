/* A static library (System V / GNU ar) of object files, with its index: ld needs no ranlib. No dates and owners, so the
 * same objects give the same bytes. */
#ifndef API_ARCHIVE_H
#define API_ARCHIVE_H

#include "base/arena.h"
#include "base/status.h"

/* One object, by name (at most 15 characters), and the symbols it defines. */
ftl_status ftl_archive_write(const char *path, ftl_arena *scratch, const char *member, const void *data, size_t n,
			     const char *const *symbols, size_t nsymbols, ftl_diag *d);

#endif
