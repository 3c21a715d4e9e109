/* The parser's state and its lexical half; private to parse.c, parse_type.c and lex.c. */
#ifndef IR_PARSE_H
#define IR_PARSE_H

#include "text.h"

/* An encoding's operand that was named before its definition. */
typedef struct pending {
	ftl_encoding *enc;
	bool zero;
	const char *name, *at;
} pending;

typedef struct sym_bounds {
	ftl_dim sym;
	int64_t lo, hi;
} sym_bounds;

typedef struct parser {
	ftl_arena *arena;
	ftl_graph *g;
	ftl_diag *d;
	const char *file;
	const char *text, *end; /* text[0..], a NUL at end and nowhere before */
	const char *s;          /* the next character */
	const ftl_blob_source *blobs;
	ftl_map *names;              /* visible values: name -> id as a pointer */
	FTL_VEC(const char *) scope; /* names in the order they became visible */
	FTL_VEC(pending) pending;
	FTL_VEC(sym_bounds) bounds;
	FTL_VEC(const char *) at; /* where a node stands, by node id */
	FTL_VEC(ftl_val) in;      /* operands of the node at hand */
	bool unknown_ints;        /* some integer constant has no bytes: inference may know less than the text */
} parser;

ftl_status ftl_parse_fail(parser *p, const char *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* lex.c: all skip white space and # comments first. */
char ftl_lex_peek(parser *p);                        /* 0 at the end */
bool ftl_lex_take(parser *p, char c);                /* c, if it is next */
bool ftl_lex_take_word(parser *p, const char *word); /* word, if it is next and ends there */
ftl_status ftl_lex_want(parser *p, char c);
ftl_status ftl_lex_token(parser *p, const char *what, const char **out, size_t *out_n); /* [A-Za-z0-9_.+-]+ */
ftl_status ftl_lex_name(parser *p, char sigil, const char **out); /* %name or @name, without the sigil; @"any" too */
ftl_status ftl_lex_string(parser *p, const char **out);           /* without NUL inside */
ftl_status ftl_lex_bytes(parser *p, ftl_str *out);

/* parse_type.c */
ftl_status ftl_parse_type(parser *p, ftl_type *out);
ftl_status ftl_parse_attrs(parser *p, ftl_op op, void *attrs);
ftl_status ftl_parse_blob(parser *p, const ftl_blob **out); /* after the word blob */
ftl_status ftl_parse_bounds(parser *p);                     /* after the word dim */
ftl_val ftl_parse_lookup(const parser *p, const char *name);

#endif
