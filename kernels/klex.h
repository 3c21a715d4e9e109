/* Private to the parser of kernel IR: characters to tokens. */
#ifndef KERNELS_KLEX_H
#define KERNELS_KLEX_H

#include "kernels/kir.h"

typedef struct ftl_klex {
	ftl_arena *arena;
	ftl_diag *d;
	const char *file;
	const char *text, *s; /* NUL-terminated; s is where we are */
} ftl_klex;

/* An error at a place in the text: file:line:column: reason. */
ftl_status ftl_klex_fail(ftl_klex *p, const char *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
char ftl_klex_peek(ftl_klex *p); /* next character that is not space or in a # comment; 0 at the end */
bool ftl_klex_take(ftl_klex *p, char c);
bool ftl_klex_word(ftl_klex *p, const char *word);
ftl_status ftl_klex_want(ftl_klex *p, char c);
ftl_status ftl_klex_want_word(ftl_klex *p, const char *word);
/* Letters, digits, _ and . */
ftl_status ftl_klex_name(ftl_klex *p, const char *what, const char **out, size_t *out_n);
ftl_status ftl_klex_string(ftl_klex *p, const char **out);
ftl_status ftl_klex_i64(ftl_klex *p, int64_t *out);
ftl_status ftl_klex_u32(ftl_klex *p, uint32_t *out);
ftl_status ftl_klex_u64(ftl_klex *p, uint64_t *out); /* decimal or 0x */
ftl_status ftl_klex_dim(ftl_klex *p, ftl_symtab *st, ftl_dim *out);
ftl_status ftl_klex_type(ftl_klex *p, ftl_ktype *out);
/* A constant: number[:type] -> its type and imm. */
ftl_status ftl_klex_const(ftl_klex *p, ftl_ktype *type, int64_t *imm);

#endif
