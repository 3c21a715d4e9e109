/* A graph on disk: PATH holds the text form, PATH.blobs the bytes of its big constants.
 *
 * PATH.blobs: "FTLBLOB1", a 64-bit count, then per blob { hash, offset, bytes } (64 bits each, little endian),
 * sorted by hash, then the bytes, each blob at a multiple of 64. Equal blobs are stored once. */
#ifndef IR_FIR_H
#define IR_FIR_H

#include "ir/graph.h"

/* Without big constants there is no PATH.blobs (one left from before is emptied). A big constant whose bytes
 * are not known stays a name and a hash. */
ftl_status ftl_fir_write(const ftl_graph *g, const char *path, ftl_diag *d);
/* Maps PATH.blobs if it exists; the mapping lives as long as arena. Constants it lacks have no bytes. */
ftl_status ftl_fir_read(ftl_arena *arena, const char *path, ftl_diag *d, ftl_graph **out);

#endif
