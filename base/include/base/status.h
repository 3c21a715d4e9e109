/* Status codes and the one place where an error's text is kept.
 *
 * Fallible functions return ftl_status (warn-unused) and write their text once,
 * where the fault is seen, into the caller's ftl_diag. FTL_TRY hands a status on.
 * The user's fault is a status; ours is an assert. Nothing here prints. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ftl_status_code {
	FTL_OK = 0,
	FTL_ERR_MODEL,       /* the model or its data is malformed or inconsistent */
	FTL_ERR_USAGE,       /* the caller asked for something that makes no sense */
	FTL_ERR_ACCURACY,    /* a tolerance or budget was not met */
	FTL_ERR_UNSUPPORTED, /* valid, but not something fettle can do (yet) */
	FTL_ERR_LIMIT,       /* a resource limit was reached */
	FTL_ERR_IO,          /* a file could not be read or written */
	FTL_ERR_MEMORY,      /* an allocation failed */
} ftl_status_code;

/* ftl_status is for return types of functions and function pointers; a variable is an ftl_status_code. */
#define ftl_status __attribute__((warn_unused_result)) ftl_status_code

typedef struct ftl_diag {
	ftl_status_code code;
	const char *file; /* model file the error is about, or NULL; borrowed */
	char text[1024];  /* "file: node "n" (Op, opset v): reason; remedy" */
} ftl_diag;

/* Record code and formatted text (first error wins) and return code. d may be NULL. */
ftl_status_code ftl_fail(ftl_diag *d, ftl_status_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
ftl_status_code ftl_vfail(ftl_diag *d, ftl_status_code code, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
void ftl_diag_clear(ftl_diag *d);

#define FTL_TRY(expr)                                                                                                  \
	do {                                                                                                           \
		ftl_status_code ftl_try_ = (expr);                                                                     \
		if (ftl_try_ != FTL_OK)                                                                                \
			return ftl_try_;                                                                               \
	} while (0)

#define FTL_UNUSED(x) ((void)(x))
#define FTL_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
