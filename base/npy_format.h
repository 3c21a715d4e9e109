/* Private to base/: the .npy header, shared by the .npy and the .npz side. */
#ifndef BASE_NPY_FORMAT_H
#define BASE_NPY_FORMAT_H

#include "base/npy.h"

/* Enough for the magic, a dict with FTL_NPY_MAX_RANK dims of 20 characters and the padding. */
#define FTL_NPY_HEADER_MAX 512

/* Read an array from the n bytes at p; out->data points into p where no conversion is needed.
 * what names the file (and member) in messages. */
ftl_status ftl_npy_decode(ftl_arena *arena, const void *p, size_t n, const char *what, ftl_diag *d, ftl_npy *out);
/* The header of a, its length in *out_n. FTL_ERR_USAGE when a is not something .npy can hold. */
ftl_status ftl_npy_encode_header(const ftl_npy *a, const char *what, ftl_diag *d, char out[FTL_NPY_HEADER_MAX],
				 size_t *out_n);

#endif
