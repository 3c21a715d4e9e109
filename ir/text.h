/* What the printer, the parser and the .fir reader share; private to ir/. */
#ifndef IR_TEXT_H
#define IR_TEXT_H

#include "ir/graph.h"

#define TEXT_DENSE_MAX 16          /* constants up to so many elements print with their contents, ... */
#define TEXT_SPLAT_BYTES (1 << 16) /* ... and up to so many bytes if all elements are the same */

/* Whether a const prints its contents: `dense<...>`; else it prints as `blob`. Integer contents that
 * inference may look at (FTL_MAX_SYM) are always there. */
bool ftl_text_is_dense(const ftl_type *t, const ftl_blob *b, const int64_t *dims);
bool ftl_text_is_splat(const ftl_type *t, const ftl_blob *b);
void ftl_text_type(ftl_text *t, const ftl_graph *g, const ftl_type *type); /* without its encoding */

/* Make parameter v the binder of the symbols its type shows that have none yet (ftl_sym_binder). */
void ftl_param_bind(ftl_graph *g, ftl_val v);

/* Numbers, independent of the locale, exact to the bit: the shortest decimal that reads back, `inf`, `nan`, or
 * 0x... bits for other NaNs. The readers want the whole token to be the number. */
void ftl_text_f64(ftl_text *t, double v);
void ftl_text_elem(ftl_text *t, ftl_dtype type, const void *data, size_t i);
bool ftl_token_i64(const char *s, size_t n, int64_t *out);
bool ftl_token_u64(const char *s, size_t n, uint64_t *out); /* decimal or 0x */
bool ftl_token_f64(const char *s, size_t n, double *out);
bool ftl_token_elem(const char *s, size_t n, ftl_dtype type, void *data, size_t i);

/* Where the bytes of a `blob` line are: NULL if they are not known. */
typedef struct ftl_blob_source {
	const void *(*find)(void *user, uint64_t hash, size_t bytes);
	void *user;
} ftl_blob_source;
ftl_status ftl_parse_with(ftl_arena *arena, const char *text, size_t n, const char *file, const ftl_blob_source *blobs,
			  ftl_diag *d, ftl_graph **out);

#endif
