/* What the importers of strings and of ai.onnx.ml share. */
#ifndef FRONTEND_ML_H
#define FRONTEND_ML_H

#include "imp.h"

/* Keys of one type, in their order in the model: strings, or numbers (held as both). */
typedef struct ml_keys {
	ftl_dtype dtype; /* FTL_NO_DTYPE: there are none */
	uint32_t n;
	const ftl_str *s;
	const double *f;
	const int64_t *i;
} ml_keys;

ml_keys ftl_ml_strings(ftl_strs l);
ml_keys ftl_ml_ints(imp *m, const char *name, ftl_dtype t); /* attribute */
ml_keys ftl_ml_floats(imp *m, const char *name, ftl_dtype t);
ml_keys ftl_ml_tensor(imp *m, const char *name); /* attribute; one axis at most */

/* For every element of x the number of the first key that is equal; n where none is. x has the keys' type. */
ftl_val ftl_ml_lookup(imp *m, ftl_val x, const ml_keys *keys);
/* A vector: the values, and one more behind them. */
ftl_val ftl_ml_table(imp *m, const ml_keys *values, const ml_keys *last);
/* Scores [rows, classes] through NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT. */
ftl_val ftl_ml_post(imp *m, ftl_val scores, const char *how);

/* One score [rows, 1] for two classes as two: [1 - s, s], or [-s, s]; both through LOGISTIC. */
ftl_val ftl_ml_two(imp *m, ftl_val s, const char *how, bool from_one);
ftl_val ftl_ml_best(imp *m, ftl_val scores);                      /* index of the best in each row */
ftl_val ftl_ml_labels(imp *m, ftl_val at, const ml_keys *labels); /* the labels with these indices */
ml_keys ftl_ml_classes(imp *m, const char *ints);                 /* classlabels_strings, or attribute `ints` */
ftl_val ftl_ml_rows(imp *m, ftl_val x);                           /* [rows, features] in f32 */
ftl_val ftl_ml_features(imp *m, ftl_val x, int64_t n);            /* rows of n features */
ftl_val ftl_ml_floats_const(imp *m, const char *name, int rank, const int64_t *dims); /* attribute as a constant */

#endif
