/* ai.onnx.ml: linear models, and what turns scores into results. Follows ONNX Runtime where the standard says little:
 * one score is changed by PROBIT only, and one score for two classes becomes two. */
#include "ml.h"

#include <math.h>

/* sqrt(2) erfinv(2x - 1), with ONNX Runtime's approximation of erfinv (Winitzki). */
static ftl_val probit(imp *m, ftl_val x)
{
	ftl_val y = e_addf(m, e_mulf(m, x, 2), -1), a = e_sub(m, e_num(m, y, 1), e_mul(m, y, y)), l, v;

	l = op1(m, FTL_OP_log, a);
	v = e_addf(m, e_mulf(m, l, 0.5), 2 / (3.14159 * 0.147));
	v = op1(m, FTL_OP_sqrt, e_sub(m, op1(m, FTL_OP_sqrt, e_sub(m, e_mul(m, v, v), e_mulf(m, l, 1 / 0.147))), v));
	return e_mulf(m, e_mul(m, v, op1(m, FTL_OP_sign, y)), 1.41421356);
}

/* softmax over what is not 0; zeros stay small */
static ftl_val softmax_zero(imp *m, ftl_val x)
{
	int64_t axis = 1;
	ftl_val max = ftl_imp_reduce(m, FTL_OP_reduce_max, x, 1, &axis, true), zero, e, y;

	zero = op2(m, FTL_OP_le, op1(m, FTL_OP_abs, x), e_num(m, x, 1e-7));
	e = op1(m, FTL_OP_exp, e_sub(m, x, max));
	y = e_where(m, zero, e_mul(m, x, op1(m, FTL_OP_exp, op1(m, FTL_OP_neg, max))), e);
	return e_div(m, y, ftl_imp_reduce(m, FTL_OP_reduce_sum, y, 1, &axis, true));
}

ftl_val ftl_ml_post(imp *m, ftl_val s, const char *how)
{
	int64_t n = 0;
	bool one = !m->failed && ftl_dim_is_const(m->st, ftl_imp_dim(m, s, 1), &n) && n == 1;

	if (!strcmp(how, "PROBIT"))
		return probit(m, s);
	if (!strcmp(how, "NONE"))
		return s;
	if (strcmp(how, "SOFTMAX") != 0 && strcmp(how, "LOGISTIC") != 0 && strcmp(how, "SOFTMAX_ZERO") != 0)
		bad_model(m, "unknown post_transform \"%.32s\"", how);
	if (one || m->failed)
		return s;
	if (!strcmp(how, "LOGISTIC"))
		return op1(m, FTL_OP_sigmoid, s);
	return !strcmp(how, "SOFTMAX") ? ftl_imp_softmax(m, s, 1) : softmax_zero(m, s);
}

ftl_val ftl_ml_two(imp *m, ftl_val s, const char *how, bool from_one)
{
	ftl_val both[2];

	if (!strcmp(how, "LOGISTIC")) {
		both[0] = op1(m, FTL_OP_sigmoid, op1(m, FTL_OP_neg, s));
		both[1] = op1(m, FTL_OP_sigmoid, s);
	} else {
		both[0] = from_one ? e_sub(m, e_num(m, s, 1), s) : op1(m, FTL_OP_neg, s);
		both[1] = s;
	}
	return ftl_imp_concat(m, 1, 2, both);
}

ftl_val ftl_ml_labels(imp *m, ftl_val at, const ml_keys *labels)
{
	return ftl_imp_gather(
		m,
		ftl_ml_table(
			m, labels,
			&(ml_keys){.dtype = labels->dtype, .n = 1, .s = labels->s, .f = labels->f, .i = labels->i}),
		at, 0);
}

ftl_val ftl_ml_best(imp *m, ftl_val scores)
{
	struct ftl_attrs_arg_max *a = NEW_ATTRS(m, arg_max);

	a->axis = 1;
	a->keepdims = false;
	return ftl_imp_op(m, FTL_OP_arg_max, a, 1, &scores);
}

ml_keys ftl_ml_classes(imp *m, const char *ints)
{
	ml_keys labels = ftl_ml_strings(ftl_imp_strs(m, "classlabels_strings"));

	return labels.dtype ? labels : ftl_ml_ints(m, ints, FTL_I64);
}

/* A matrix or vector of floats from an attribute. */
ftl_val ftl_ml_floats_const(imp *m, const char *name, int rank, const int64_t *dims)
{
	ftl_floats l = ftl_imp_floats(m, name);
	float *v = FTL_NEW_N(m->tmp, float, (size_t)l.n + 1);
	int64_t n = 1;

	for (int i = 0; i < rank; i++)
		if (dims[i] < 0 || __builtin_mul_overflow(n, dims[i], &n))
			n = -1;
	if (n != (int64_t)l.n) {
		bad_model(m, "%s has %u entries instead of %lld", name, l.n, (long long)n);
		return 0;
	}
	for (uint32_t i = 0; i < l.n; i++)
		v[i] = (float)l.v[i];
	return ftl_imp_bytes(m, FTL_F32, rank, dims, v);
}

/* Rows of n features, where the model leaves their number open. */
ftl_val ftl_ml_features(imp *m, ftl_val x, int64_t n)
{
	ftl_dim d[2] = {ftl_imp_dim(m, x, 0), dim_c(m, n)};

	return m->failed || ftl_dim_is_const(m->st, ftl_imp_dim(m, x, 1), NULL) ? x : ftl_imp_reshape(m, x, 2, d);
}

/* Rows in f32: a vector is one. */
ftl_val ftl_ml_rows(imp *m, ftl_val x)
{
	if (!m->failed)
		ftl_imp_want_rank(m, x, 1, 2, "X");
	if (rank_of(m, x) == 1)
		x = ftl_imp_unsqueeze(m, x, 0);
	return ftl_imp_cast(m, x, FTL_F32);
}

/* x coefficients^T + intercepts */
static ftl_val scores(imp *m, ftl_val x, int64_t outputs)
{
	uint32_t n = ftl_imp_floats(m, "coefficients").n;
	ftl_val w, y;

	if (outputs < 1 || n % outputs != 0) {
		bad_model(m, "has %u coefficients for %lld outputs", n, (long long)outputs);
		return 0;
	}
	w = ftl_ml_floats_const(m, "coefficients", 2, (const int64_t[]){outputs, n / outputs});
	y = ftl_imp_matmul(m, ftl_ml_features(m, x, n / outputs), w, false, true, 1);
	if (ftl_imp_has(m, "intercepts"))
		y = e_add(m, y, ftl_ml_floats_const(m, "intercepts", 1, &outputs));
	return y;
}

void ftl_imp_do_linear_regressor(imp *m)
{
	ftl_val x = ftl_ml_rows(m, ftl_imp_need(m, 0));

	x = scores(m, x, ftl_imp_i(m, "targets", 1));
	if (!m->failed)
		ftl_imp_out(m, 0, ftl_ml_post(m, x, ftl_imp_s(m, "post_transform", "NONE")));
}

void ftl_imp_do_linear_classifier(imp *m)
{
	const char *how = ftl_imp_s(m, "post_transform", "NONE");
	ml_keys labels = ftl_ml_classes(m, "classlabels_ints");
	uint32_t given = ftl_imp_floats(m, "intercepts").n, n = given ? given : labels.n;
	ftl_val x = ftl_ml_rows(m, ftl_imp_need(m, 0)), at;

	if (!m->failed && (!labels.n || (n != labels.n && !(n == 1 && labels.n == 2)))) {
		bad_model(m, "has %u classes and %u intercepts", labels.n, given);
		return;
	}
	x = scores(m, x, n);
	if (m->failed)
		return;
	if (n == 1 && labels.n == 2) {
		at = ftl_imp_cast(m, op2(m, FTL_OP_gt, ftl_imp_squeeze(m, x, 1), e_num(m, x, 0)), FTL_I64);
		x = strcmp(how, "PROBIT") ? ftl_ml_two(m, x, how, true) : probit(m, x);
	} else {
		at = ftl_ml_best(m, x);
		x = ftl_ml_post(m, x, how);
	}
	ftl_imp_out(m, 0, ftl_ml_labels(m, at, &labels));
	ftl_imp_out(m, 1, x);
}
