/* What a compiled model consists of beside its code, the same for every backend: the prefix of its names, its messages,
 * its weights image and its header.
 *
 * Code (C, object, static or shared library) exports NAME_main and NAME_size as in runtime/abi.h, and when weights are
 * embedded also NAME_weights, the weights image as 64-bit words, 64-byte aligned if the language can say so. The header
 * is the typed API as static inline functions over these symbols, so one printer serves all.
 *
 * The weights image, in memory and in NAME.weights (little endian, offsets from its start):
 *   0   "fettlewt"        8   identity: hash of what follows it in meaning (sizes and contents)
 *   16  number of blobs   24  bytes in all   32..63  zero
 *   64  per blob: offset, bytes; then the blobs, each at a multiple of 64 */
#ifndef BACKENDS_ARTIFACT_H
#define BACKENDS_ARTIFACT_H

#include "kernels/kir.h"

#define FTL_EMBED_LIMIT (16u << 20) /* the largest image that is embedded by default */

typedef enum ftl_weights_mode {
	FTL_WEIGHTS_AUTO, /* embed up to FTL_EMBED_LIMIT */
	FTL_WEIGHTS_EMBED,
	FTL_WEIGHTS_FILE,
} ftl_weights_mode;

typedef struct ftl_artifact {
	const char *name;          /* a C identifier: prefix of everything public */
	const ftl_kmodule *module; /* inputs, outputs, symbols */
	const char *const *msgs;   /* by message number */
	uint32_t nmsgs;
	const ftl_blob *const *blobs;
	uint32_t nblobs;
	bool embed;
	uint64_t bytes, identity; /* of the weights image */
	uint64_t *offset;         /* of each blob in it */
} ftl_artifact;

/* name NULL: the module's name. Messages and blobs are the module's. */
ftl_status ftl_artifact_make(ftl_arena *arena, const ftl_kmodule *m, const char *name, ftl_weights_mode mode,
			     ftl_diag *d, ftl_artifact *out);
/* The same with the numbering that several modules (CPU levels) share. */
ftl_status ftl_artifact_make_merged(ftl_arena *arena, const ftl_kmodule *m, const char *name, ftl_weights_mode mode,
				    const char *const *msgs, uint32_t nmsgs, const ftl_blob *const *blobs,
				    uint32_t nblobs, ftl_diag *d, ftl_artifact *out);

/* The weights image in pieces, in order; false from put ends it. Pages of mapped blobs are given back as it goes, so
 * memory stays small whatever the size. */
typedef bool (*ftl_put_fn)(void *user, const void *p, size_t n);
bool ftl_weights_stream(const ftl_artifact *a, ftl_put_fn put, void *user);
ftl_status ftl_weights_write(const ftl_artifact *a, const char *path, ftl_diag *d);
/* The image as the initializer of an array of uint64_t (rows of numbers, no braces). */
bool ftl_weights_print(const ftl_artifact *a, ftl_put_fn put, void *user);

/* A file written in pieces through a small buffer; it appears under its name only when closed without error. */
typedef struct ftl_writer ftl_writer;
ftl_status ftl_writer_open(ftl_arena *arena, const char *path, ftl_diag *d, ftl_writer **out);
bool ftl_writer_put(void *writer, const void *p, size_t n); /* an ftl_put_fn; false once anything failed */
ftl_status ftl_writer_close(ftl_writer *w, ftl_diag *d);
void ftl_writer_drop(ftl_writer *w); /* instead of close: leaves no file; after close: nothing */

/* NAME.h. Same artifact, same bytes. */
void ftl_header_print(const ftl_artifact *a, ftl_text *t);
/* runtime/abi.h's declarations behind its own include guard, as they stand in the header. */
void ftl_abi_print(ftl_text *t);

/* Member names in NAME_io: of the inputs, then of the outputs. */
const char **ftl_artifact_members(ftl_arena *arena, const ftl_artifact *a);

/* ---- names and text from models, made safe for C ---- */
/* [A-Za-z_][A-Za-z0-9_]*, at most 63 characters, no keyword of C or C++; "model" if nothing is left of s. */
const char *ftl_c_identifier(ftl_arena *arena, const char *s);
/* s for the inside of a comment: printable ASCII on one line, no comment brackets, trigraphs or backslashes. */
void ftl_c_comment(ftl_text *t, const char *s);
/* s as a string literal. */
void ftl_c_string(ftl_text *t, const char *s);
/* text with name in place of every '@'. */
void ftl_c_template(ftl_text *t, const char *name, const char *text);

#endif
