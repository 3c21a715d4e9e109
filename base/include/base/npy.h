/* NumPy .npy and .npz files (npz through libzip). dtype is the .npy descr without byte order: "f4", "i8", "b1"... */
#ifndef BASE_NPY_H
#define BASE_NPY_H

#include "base/arena.h"
#include "base/status.h"

#define FTL_NPY_MAX_RANK 16

typedef struct ftl_npy {
	const char *name; /* member name inside an npz without ".npy"; NULL for a single .npy */
	char descr[8];    /* "f4" "f8" "f2" "i1" "i2" "i4" "i8" "u1" "u2" "u4" "u8" "b1" */
	int rank;
	int64_t dims[FTL_NPY_MAX_RANK];
	const void *data; /* C order, little endian (Fortran order and big endian input is converted) */
	size_t bytes;
} ftl_npy;

ftl_status ftl_npy_read(ftl_arena *arena, const char *path, ftl_diag *d, ftl_npy *out);
ftl_status ftl_npz_read(ftl_arena *arena, const char *path, ftl_diag *d, ftl_npy **out, size_t *out_n);
ftl_status ftl_npy_write(const char *path, const ftl_npy *a, ftl_diag *d);
ftl_status ftl_npz_write(const char *path, const ftl_npy *a, size_t n, ftl_diag *d);

#endif
