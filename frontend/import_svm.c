/* ai.onnx.ml: support vector machines. */
#include "ml.h"

/* The kernel of every row with every support vector: [rows, vectors]. */
static ftl_val kernel(imp *m, ftl_val x, int64_t vectors)
{
	const char *type = ftl_imp_s(m, "kernel_type", "LINEAR");
	ftl_floats params = ftl_imp_floats(m, "kernel_params");
	uint32_t n = ftl_imp_floats(m, "support_vectors").n;
	double gamma = params.n > 0 ? params.v[0] : 0, coef0 = params.n > 1 ? params.v[1] : 0,
	       degree = params.n > 2 ? params.v[2] : 0;
	int64_t axis = 2;
	ftl_val sv, k;

	if (n % vectors != 0) {
		bad_model(m, "has %u numbers for %lld support vectors", n, (long long)vectors);
		return 0;
	}
	x = ftl_ml_features(m, x, n / vectors);
	sv = ftl_ml_floats_const(m, "support_vectors", 2, (const int64_t[]){vectors, n / vectors});
	if (!strcmp(type, "RBF")) {
		k = e_sub(m, ftl_imp_unsqueeze(m, x, 1), ftl_imp_unsqueeze(m, sv, 0));
		k = op2(m, FTL_OP_pow, k, e_num(m, k, 2));
		k = ftl_imp_reduce(m, FTL_OP_reduce_sum, k, 1, &axis, false);
		return op1(m, FTL_OP_exp, e_mulf(m, k, -gamma));
	}
	k = ftl_imp_matmul(m, x, sv, false, true, 1);
	if (!strcmp(type, "LINEAR"))
		return k;
	k = e_addf(m, e_mulf(m, k, gamma), coef0);
	if (!strcmp(type, "POLY"))
		return op2(m, FTL_OP_pow, k, e_num(m, k, degree));
	if (strcmp(type, "SIGMOID") != 0)
		bad_model(m, "unknown kernel_type \"%.32s\"", type);
	return op1(m, FTL_OP_tanh, k);
}

void ftl_imp_do_svm_regressor(imp *m)
{
	int64_t vectors = ftl_imp_i(m, "n_supports", 0);
	ftl_val x = ftl_ml_rows(m, ftl_imp_need(m, 0)), w, y;
	uint32_t n = ftl_imp_floats(m, "coefficients").n;
	ftl_floats rho = ftl_imp_floats(m, "rho");

	if (m->failed)
		return;
	if (vectors < 0 || (vectors > 0 && n != vectors)) {
		bad_model(m, "has %u coefficients for %lld support vectors", n, (long long)vectors);
		return;
	}
	w = ftl_ml_floats_const(m, "coefficients", 2, (const int64_t[]){1, n});
	y = vectors ? kernel(m, x, vectors) : ftl_ml_features(m, x, n);
	y = e_addf(m, ftl_imp_matmul(m, y, w, false, true, 1), rho.n ? rho.v[0] : 0);
	if (ftl_imp_i(m, "one_class", 0) != 0)
		y = e_where(m, op2(m, FTL_OP_gt, y, e_num(m, y, 0)), e_num(m, y, 1), e_num(m, y, -1));
	if (!m->failed)
		ftl_imp_out(m, 0, ftl_ml_post(m, y, ftl_imp_s(m, "post_transform", "NONE")));
}

/* Every pair of classes is decided by the vectors of both; the class with most decisions wins, the first of several. */
void ftl_imp_do_svm_classifier(imp *m)
{
	ml_keys labels = ftl_ml_classes(m, "classlabels_ints");
	ftl_ints per = ftl_imp_ints(m, "vectors_per_class");
	ftl_floats coef = ftl_imp_floats(m, "coefficients"), rho = ftl_imp_floats(m, "rho");
	ftl_val x = ftl_ml_rows(m, ftl_imp_need(m, 0)), y, votes, ones;
	int64_t vectors = 0, n = per.n, pairs = n * (n - 1) / 2, at = 0, start_i = 0;
	float *w, *to_i, *to_j;

	if (m->failed)
		return;
	if (ftl_imp_has(m, "prob_a") || !per.n) {
		unsupported(m, "only classifiers with support vectors and without probabilities are supported "
			       "(scikit-learn: probability=False)");
		return;
	}
	for (int64_t i = 0; i < n; i++) {
		if (per.v[i] < 0 || per.v[i] > INT32_MAX) {
			bad_model(m, "has a negative number of vectors");
			return;
		}
		vectors += per.v[i];
	}
	if (n < 2 || n > 1000 || vectors < 1 || vectors > INT32_MAX || labels.n != n || coef.n / (n - 1) != vectors ||
	    coef.n % (n - 1) != 0 || rho.n != pairs || pairs * vectors > INT64_C(1) << 27) {
		bad_model(m, "its classes, vectors and coefficients do not fit each other");
		return;
	}
	w = FTL_NEW_N(m->tmp, float, pairs *vectors);
	to_i = FTL_NEW_N(m->tmp, float, pairs *n);
	to_j = FTL_NEW_N(m->tmp, float, pairs *n);
	for (int64_t i = 0; i < n; start_i += per.v[i++]) {
		int64_t start_j = start_i + per.v[i];

		for (int64_t j = i + 1; j < n; start_j += per.v[j++], at++) {
			for (int64_t k = start_i; k < start_i + per.v[i]; k++)
				w[at * vectors + k] = (float)coef.v[(j - 1) * vectors + k];
			for (int64_t k = start_j; k < start_j + per.v[j]; k++)
				w[at * vectors + k] = (float)coef.v[i * vectors + k];
			to_i[at * n + i] = 1;
			to_j[at * n + j] = 1;
		}
	}
	y = ftl_imp_matmul(m, kernel(m, x, vectors), ftl_imp_bytes(m, FTL_F32, 2, (const int64_t[]){pairs, vectors}, w),
			   false, true, 1);
	y = e_add(m, y, ftl_ml_floats_const(m, "rho", 1, &pairs));
	ones = ftl_imp_cast(m, op2(m, FTL_OP_gt, y, e_num(m, y, 0)), FTL_F32);
	votes = ftl_imp_matmul(m, ones, ftl_imp_bytes(m, FTL_F32, 2, (const int64_t[]){pairs, n}, to_i), false, false,
			       1);
	ones = e_sub(m, e_num(m, ones, 1), ones);
	votes = e_add(m, votes,
		      ftl_imp_matmul(m, ones, ftl_imp_bytes(m, FTL_F32, 2, (const int64_t[]){pairs, n}, to_j), false,
				     false, 1));
	if (m->failed)
		return;
	ftl_imp_out(m, 0, ftl_ml_labels(m, ftl_ml_best(m, votes), &labels));
	ftl_imp_out(m, 1,
		    n == 2 ? ftl_ml_two(m, y, ftl_imp_s(m, "post_transform", "NONE"), false)
			   : ftl_ml_post(m, y, ftl_imp_s(m, "post_transform", "NONE")));
}
