/* Ops that make tensors: constants, fills, identity-like maps, random numbers, one-hot, top-k, windows. */
#include <math.h>

#include "imp.h"

void ftl_imp_do_constant(imp *m)
{
	const Onnx__AttributeProto *a;
	ftl_tensor_bytes t;

	if ((a = ftl_imp_attr(m, "value")) && a->t) {
		ftl_imp_out(m, 0, ftl_imp_tensor(m, a->t));
	} else if (ftl_imp_has(m, "value_float")) {
		ftl_imp_out(m, 0, ftl_imp_scalar(m, FTL_F32, ftl_imp_f(m, "value_float", 0)));
	} else if (ftl_imp_has(m, "value_int")) {
		int64_t v = ftl_imp_i(m, "value_int", 0);
		ftl_imp_out(m, 0, ftl_imp_bytes(m, FTL_I64, 0, NULL, &v));
	} else if ((a = ftl_imp_attr(m, "value_floats"))) {
		ftl_imp_out(m, 0, ftl_imp_bytes(m, FTL_F32, 1, &(int64_t){(int64_t)a->n_floats}, a->floats));
	} else if ((a = ftl_imp_attr(m, "value_ints"))) {
		ftl_imp_out(m, 0, ftl_imp_bytes(m, FTL_I64, 1, &(int64_t){(int64_t)a->n_ints}, a->ints));
	} else if ((a = ftl_imp_attr(m, "sparse_value")) && a->sparse_tensor) {
		ftl_status_code rc = ftl_tensor_read_sparse(&m->src, a->sparse_tensor, &t);
		if (rc != FTL_OK)
			ftl_imp_keep(m, rc);
		else
			ftl_imp_out(m, 0, ftl_imp_constant(m, &t));
	} else if (ftl_imp_has(m, "value_string") || ftl_imp_has(m, "value_strings")) {
		ftl_strs l = ftl_imp_strs(m, ftl_imp_has(m, "value_string") ? "value_string" : "value_strings");
		ftl_imp_out(m, 0, ftl_imp_strings(m, ftl_imp_has(m, "value_strings"), &(int64_t){l.n}, l.n, l.v));
	} else {
		bad_model(m, "has no value");
	}
}

void ftl_imp_do_constant_of_shape(imp *m)
{
	ftl_val shape = ftl_imp_need(m, 0);
	struct ftl_attrs_fill *f = NEW_ATTRS(m, fill);
	const Onnx__AttributeProto *a = ftl_imp_attr(m, "value");
	ftl_dim d[FTL_MAX_RANK];
	ftl_tensor_bytes t;
	uint32_t n;

	if (a && a->t && !m->failed) {
		ftl_status_code rc = ftl_tensor_read(&m->src, a->t, &t);
		if (rc != FTL_OK) {
			ftl_imp_keep(m, rc);
			return;
		}
		if (t.dtype == FTL_STRING || t.blob.bytes != ftl_dtype_bytes(t.dtype)) {
			bad_model(m, "value must have one element that is a number");
			return;
		}
		f->dtype = t.dtype;
		if (ftl_dtype_is_float(t.dtype))
			f->value = ftl_elem_get(t.dtype, t.blob.data, 0);
		else
			f->ivalue = ftl_elem_get_i64(t.dtype, t.blob.data, 0);
	}
	if (ftl_imp_known_dims(m, shape, d, FTL_MAX_RANK, &n)) {
		f->dims = ftl_imp_dims_copy(m, n, d);
		ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_fill, f, 0, NULL));
	} else {
		shape = ftl_imp_cast(m, shape, FTL_I64);
		ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_fill, f, 1, &shape));
	}
}

void ftl_imp_do_identity(imp *m)
{
	if (m->cur->nin == 1 && m->cur->nout == 1 &&
	    (m->cur->in[0].none || ftl_imp_kind(m, &m->cur->in[0]) != IMP_TENSOR))
		m->cur->out[0] = m->cur->in[0];
	else
		ftl_imp_out(m, 0, ftl_imp_need(m, 0));
}

/* Nodes without a seed draw different numbers, and the same ones each time the model is compiled. */
static int64_t seed_of(imp *m)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, "seed");
	double f;

	if (!a)
		return INT64_C(0x5eed0000) + m->nrandom++;
	if (a->has_i) /* Dropout's is an integer */
		return a->i;
	f = ftl_imp_f(m, "seed", 0);
	return fabs(f) < 1e15 ? (int64_t)f : 0;
}

static ftl_val uniform_like(imp *m, ftl_val x, ftl_dtype t)
{
	struct ftl_attrs_random_uniform *u = NEW_ATTRS(m, random_uniform);

	u->dims = ftl_imp_dims_copy(m, (uint32_t)rank_of(m, x), ftl_imp_type(m, x)->dims);
	u->dtype = t;
	u->seed = seed_of(m);
	return ftl_imp_op(m, FTL_OP_random_uniform, u, 0, NULL);
}

static ftl_val scalar_input(imp *m, uint32_t k)
{
	ftl_val v = ftl_imp_in(m, k);

	return v && rank_of(m, v) > 0 ? ftl_imp_reshape(m, v, 0, NULL) : v;
}

/* Training: an element stays where a uniform number is at least ratio, scaled so that the mean stays. */
static void dropout_training(imp *m, ftl_val x, ftl_val training)
{
	ftl_val ratio = scalar_input(m, 1), keep, scale, one = ftl_imp_scalar(m, FTL_F32, 1);
	ftl_dtype t = dtype_of(m, x);

	ratio = ratio ? ftl_imp_cast(m, ratio, FTL_F32) : ftl_imp_scalar(m, FTL_F32, 0.5);
	training = ftl_imp_cast(m, training, FTL_BOOL);
	ratio = e_where(m, training, ratio, e_num(m, ratio, 0));
	keep = op2(m, FTL_OP_ge, uniform_like(m, x, FTL_F32), ratio);
	scale = ftl_imp_cast(m, e_div(m, one, e_sub(m, one, ratio)), t);
	/* everything dropped: the scale is infinite, and not looked at */
	ftl_imp_out(m, 0, e_where(m, keep, e_mul(m, x, scale), e_num(m, x, 0)));
	ftl_imp_out(m, 1, keep);
}

/* Inference: the identity, and a mask of all true. */
void ftl_imp_do_dropout(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), training = m->cur->opset >= 12 ? scalar_input(m, 2) : 0;
	double on = 0;

	if (training && (!ftl_imp_known_f(m, training, &on) || on != 0)) {
		dropout_training(m, x, training);
		return;
	}
	ftl_imp_out(m, 0, x);
	if (ftl_imp_wants(m, 1)) {
		const ftl_type *t = ftl_imp_type(m, x);
		struct ftl_attrs_fill *f = NEW_ATTRS(m, fill);
		f->dtype = m->cur->opset >= 10 ? FTL_BOOL : t->dtype;
		f->ivalue = 1;
		f->value = 1;
		f->dims = ftl_imp_dims_copy(m, (uint32_t)t->rank, t->dims);
		ftl_imp_out(m, 1, ftl_imp_op(m, FTL_OP_fill, f, 0, NULL));
	}
}

static ftl_val cast_to(imp *m, ftl_val x, ftl_dtype to)
{
	struct ftl_attrs_cast *a = NEW_ATTRS(m, cast);

	a->to = to;
	a->saturate = ftl_imp_i(m, "saturate", 1) != 0;
	a->round_mode = ftl_imp_s(m, "round_mode", "up");
	if (dtype_of(m, x) == FTL_STRING && ftl_dtype_is_low(to))
		x = ftl_imp_cast(m, x, FTL_F32);
	if (dtype_of(m, x) == FTL_STRING || to == FTL_STRING)
		return ftl_imp_cast(m, x, to);
	return ftl_imp_op(m, FTL_OP_cast, a, 1, &x);
}

void ftl_imp_do_cast(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);

	ftl_imp_out(m, 0, cast_to(m, x, ftl_imp_dtype(m, "to", FTL_NO_DTYPE)));
}

void ftl_imp_do_cast_like(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);

	ftl_imp_out(m, 0, cast_to(m, x, dtype_of(m, ftl_imp_need(m, 1))));
}

/* Some writers give vectors of one element where scalars are meant. */
void ftl_imp_do_range(imp *m)
{
	ftl_val in[3];

	for (uint32_t k = 0; k < 3; k++) {
		in[k] = ftl_imp_need(m, k);
		if (rank_of(m, in[k]) > 0)
			in[k] = ftl_imp_reshape(m, in[k], 0, NULL);
	}
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_range, NULL, 3, in));
}

void ftl_imp_do_eye_like(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	struct ftl_attrs_eye_like *a = NEW_ATTRS(m, eye_like);

	a->dtype = ftl_imp_dtype(m, "dtype", dtype_of(m, x));
	a->k = ftl_imp_i(m, "k", 0);
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_eye_like, a, 1, &x));
}

void ftl_imp_do_one_hot(imp *m)
{
	ftl_val in[3] = {ftl_imp_need(m, 0), ftl_imp_need(m, 1), ftl_imp_need(m, 2)};
	struct ftl_attrs_one_hot *a = NEW_ATTRS(m, one_hot);

	if (m->failed)
		return;
	/* indices and depth may come as floats */
	for (int i = 0; i < 2; i++)
		if (ftl_dtype_is_float(dtype_of(m, in[i])))
			in[i] = ftl_imp_cast(m, in[i], FTL_I64);
	if (rank_of(m, in[1]) > 0)
		in[1] = ftl_imp_reshape(m, in[1], 0, NULL);
	a->axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", -1), rank_of(m, in[0]) + 1);
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_one_hot, a, 3, in));
}

void ftl_imp_do_topk(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), in[2] = {x}, out[2];
	struct ftl_attrs_topk *a = NEW_ATTRS(m, topk);
	int64_t k;

	if (m->cur->opset < 10) {
		k = ftl_imp_i(m, "k", 0);
		in[1] = ftl_imp_i64s(m, 1, &k);
	} else {
		in[1] = ftl_imp_need(m, 1);
	}
	a->axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", -1), rank_of(m, x));
	a->largest = ftl_imp_i(m, "largest", 1) != 0;
	a->sorted = ftl_imp_i(m, "sorted", 1) != 0;
	ftl_imp_ops(m, FTL_OP_topk, a, 2, in, 2, out);
	ftl_imp_out(m, 0, out[0]);
	ftl_imp_out(m, 1, out[1]);
}

/* RandomUniform, RandomNormal and their Like forms. The two ops' attributes differ in names only. */
void ftl_imp_do_random(imp *m)
{
	const imp_row *row = m->cur->row;
	bool uniform = row->op == FTL_OP_random_uniform, like = strstr(row->name, "Like") != NULL;
	struct ftl_attrs_random_uniform *u = NEW_ATTRS(m, random_uniform);
	struct ftl_attrs_random_normal *nm = NEW_ATTRS(m, random_normal);
	ftl_val x = like ? ftl_imp_need(m, 0) : 0;
	ftl_dtype t = ftl_imp_dtype(m, "dtype", like && ftl_dtype_is_float(dtype_of(m, x)) ? dtype_of(m, x) : FTL_F32);
	ftl_dims dims = {0};

	if (m->failed)
		return;
	if (like) {
		dims = ftl_imp_dims_copy(m, (uint32_t)rank_of(m, x), ftl_imp_type(m, x)->dims);
	} else {
		ftl_ints shape = ftl_imp_ints(m, "shape");
		ftl_dim *d = FTL_NEW_N(m->tmp, ftl_dim, shape.n + 1);
		for (uint32_t i = 0; i < shape.n; i++)
			d[i] = dim_c(m, shape.v[i]);
		dims = ftl_imp_dims_copy(m, shape.n, d);
	}
	u->dims = nm->dims = dims;
	u->dtype = nm->dtype = t;
	u->low = ftl_imp_f(m, "low", 0);
	u->high = ftl_imp_f(m, "high", 1);
	nm->mean = ftl_imp_f(m, "mean", 0);
	nm->scale = ftl_imp_f(m, "scale", 1);
	u->seed = nm->seed = seed_of(m);
	ftl_imp_out(m, 0, ftl_imp_op(m, row->op, uniform ? (void *)u : (void *)nm, 0, NULL));
}

void ftl_imp_do_bernoulli(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	ftl_dtype t = ftl_imp_dtype(m, "dtype", dtype_of(m, x));

	ftl_imp_out(m, 0, ftl_imp_cast(m, op2(m, FTL_OP_lt, uniform_like(m, x, dtype_of(m, x)), x), t));
}

/* Samples of classes given by logarithms of their probabilities: how many sums of probabilities, from the first class on,
 * a uniform number reaches. */
void ftl_imp_do_multinomial(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), at, reached;
	struct ftl_attrs_random_uniform *u = NEW_ATTRS(m, random_uniform);
	struct ftl_attrs_cum_sum *c = NEW_ATTRS(m, cum_sum);
	ftl_dtype t = ftl_imp_dtype(m, "dtype", FTL_I32);
	int64_t n = ftl_imp_i(m, "sample_size", 1);

	ftl_imp_want_rank(m, x, 2, 2, "the input");
	if (!m->failed && (n < 0 || n > INT32_MAX))
		bad_model(m, "sample_size %lld makes no sense", (long long)n);
	if (m->failed)
		return;
	c->axis = 1;
	x = ftl_imp_softmax(m, ftl_imp_cast(m, x, FTL_F32), 1);
	x = ftl_imp_op(m, FTL_OP_cum_sum, c, 1, &x);
	u->dims = ftl_imp_dims_copy(m, 2, (const ftl_dim[]){ftl_imp_dim(m, x, 0), dim_c(m, n)});
	u->seed = seed_of(m);
	at = ftl_imp_op(m, FTL_OP_random_uniform, u, 0, NULL);
	/* the last sum may round to less than 1 */
	reached = op2(m, FTL_OP_le, ftl_imp_unsqueeze(m, x, 1), ftl_imp_unsqueeze(m, at, 2));
	reached = ftl_imp_reduce(m, FTL_OP_reduce_sum, ftl_imp_cast(m, reached, FTL_I64), 1, &(int64_t){2}, false);
	reached = op2(m, FTL_OP_min, reached,
		      ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, ftl_imp_dim(m, x, 1), dim_c(m, 1)), FTL_I64));
	ftl_imp_out(m, 0, ftl_imp_cast(m, reached, t));
}

/* Triangles over the bins of a spectrum: column i rises from edge i to edge i + 1 and falls to edge i + 2. The edges lie
 * evenly on the mel scale. */
void ftl_imp_do_mel_weight_matrix(imp *m)
{
	ftl_dtype t = ftl_imp_dtype(m, "output_datatype", FTL_F32);
	ftl_val n[3], mel[2], edge, step, bin, low, mid, high, zero, rise, fall, part[3];
	const double log10e = 0.43429448190325182765, ln10 = 2.30258509299404568402;

	for (uint32_t k = 0; k < 3; k++)
		n[k] = ftl_imp_cast(m, ftl_imp_need(m, k) ? scalar_input(m, k) : 0, FTL_I64);
	for (uint32_t k = 0; k < 2; k++) {
		ftl_val f = ftl_imp_cast(m, ftl_imp_need(m, 3 + k) ? scalar_input(m, 3 + k) : 0, FTL_F64);
		mel[k] = e_mulf(m, op1(m, FTL_OP_log, e_addf(m, e_mulf(m, f, 1.0 / 700), 1)), 2595 * log10e);
	}
	if (m->failed)
		return;
	zero = ftl_imp_scalar(m, FTL_I64, 0);
	part[0] = zero;
	part[2] = ftl_imp_scalar(m, FTL_I64, 1);
	part[1] = e_addf(m, n[0], 2);
	step = e_div(m, e_sub(m, mel[1], mel[0]), ftl_imp_cast(m, part[1], FTL_F64));
	edge = ftl_imp_cast(m, ftl_imp_op(m, FTL_OP_range, NULL, 3, part), FTL_F64);
	edge = e_add(m, e_mul(m, edge, step), mel[0]);
	edge = e_mulf(m, e_addf(m, op1(m, FTL_OP_exp, e_mulf(m, edge, ln10 / 2595)), -1), 700);
	edge = e_div(m, e_mul(m, ftl_imp_cast(m, e_addf(m, n[1], 1), FTL_F64), edge), ftl_imp_cast(m, n[2], FTL_F64));
	edge = ftl_imp_cast(m, op1(m, FTL_OP_floor, edge), FTL_I64);
	part[1] = n[0];
	part[1] = ftl_imp_op(m, FTL_OP_range, NULL, 3, part);
	low = ftl_imp_gather(m, edge, part[1], 0);
	mid = ftl_imp_gather(m, edge, e_addf(m, part[1], 1), 0);
	high = ftl_imp_gather(m, edge, e_addf(m, part[1], 2), 0);
	part[1] = e_addf(m, e_div(m, n[1], ftl_imp_scalar(m, FTL_I64, 2)), 1);
	bin = ftl_imp_unsqueeze(m, ftl_imp_op(m, FTL_OP_range, NULL, 3, part), 1);
	rise = e_div(m, ftl_imp_cast(m, e_sub(m, bin, low), FTL_F64),
		     ftl_imp_cast(m, op2(m, FTL_OP_max, e_sub(m, mid, low), part[2]), FTL_F64));
	/* where the rise has no width, its one bin is the peak */
	rise = e_where(m, op2(m, FTL_OP_eq, low, mid), e_num(m, rise, 1), rise);
	rise = e_where(m, op2(m, FTL_OP_and, op2(m, FTL_OP_le, low, bin), op2(m, FTL_OP_le, bin, mid)), rise,
		       e_num(m, rise, 0));
	fall = e_div(m, ftl_imp_cast(m, e_sub(m, high, bin), FTL_F64), ftl_imp_cast(m, e_sub(m, high, mid), FTL_F64));
	fall = e_where(m, op2(m, FTL_OP_and, op2(m, FTL_OP_le, mid, bin), op2(m, FTL_OP_lt, bin, high)), fall, rise);
	ftl_imp_out(m, 0, ftl_imp_cast(m, fall, t));
}

/* a0 - a1 cos(2 pi k / n) + a2 cos(4 pi k / n), n or n - 1 for symmetric ones */
void ftl_imp_do_window(imp *m)
{
	const char *name = m->cur->row->name;
	ftl_val size = ftl_imp_need(m, 0), k, y;
	ftl_dtype t = ftl_imp_dtype(m, "output_datatype", FTL_F32);
	bool periodic = ftl_imp_i(m, "periodic", 1) != 0;
	double a0 = 0.5, a1 = 0.5, a2 = 0;
	ftl_val len = ftl_imp_cast(m, rank_of(m, size) ? ftl_imp_reshape(m, size, 0, NULL) : size, FTL_I64);

	if (!strcmp(name, "HammingWindow")) {
		a0 = 25.0 / 46;
		a1 = 1 - a0;
	} else if (!strcmp(name, "BlackmanWindow")) {
		a0 = 0.42;
		a2 = 0.08;
	}
	ftl_val rng[3] = {ftl_imp_scalar(m, FTL_I64, 0), len, ftl_imp_scalar(m, FTL_I64, 1)};
	k = ftl_imp_cast(m, ftl_imp_op(m, FTL_OP_range, NULL, 3, rng), FTL_F32);
	len = ftl_imp_cast(m, len, FTL_F32);
	k = e_div(m, e_mulf(m, k, 2 * 3.14159265358979323846), periodic ? len : e_addf(m, len, -1));
	y = e_sub(m, e_num(m, k, a0), e_mulf(m, op1(m, FTL_OP_cos, k), a1));
	if (a2 != 0)
		y = e_add(m, y, e_mulf(m, op1(m, FTL_OP_cos, e_mulf(m, k, 2)), a2));
	ftl_imp_out(m, 0, ftl_imp_cast(m, y, t));
}
