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
		unsupported(m, "strings are not supported");
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
		if (t.blob.bytes != ftl_dtype_bytes(t.dtype)) {
			bad_model(m, "value must have one element");
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
	if (m->cur->nin == 1 && (m->cur->in[0].seq || m->cur->in[0].none))
		m->cur->out[0] = m->cur->in[0];
	else
		ftl_imp_out(m, 0, ftl_imp_need(m, 0));
}

/* Inference: the identity, and a mask of all true. */
void ftl_imp_do_dropout(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), training = ftl_imp_in(m, 2);
	double on = 0;

	if (training && (!ftl_imp_known_f(m, training, &on) || on != 0)) {
		unsupported(m, "training mode is not supported, set it to false");
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

void ftl_imp_do_cast_like(imp *m)
{
	if (ftl_imp_narrow(m, ftl_imp_need(m, 1)))
		unsupported(m, "casting to integers of less than a byte is not supported");
	ftl_imp_out(m, 0, ftl_imp_cast(m, ftl_imp_need(m, 0), dtype_of(m, ftl_imp_need(m, 1))));
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
	double seed = ftl_imp_f(m, "seed", 0);
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
	u->seed = nm->seed = fabs(seed) < 1e15 ? (int64_t)seed : 0;
	ftl_imp_out(m, 0, ftl_imp_op(m, row->op, uniform ? (void *)u : (void *)nm, 0, NULL));
}

void ftl_imp_do_bernoulli(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), r;
	struct ftl_attrs_random_uniform *u = NEW_ATTRS(m, random_uniform);
	ftl_dtype t = ftl_imp_dtype(m, "dtype", dtype_of(m, x));

	u->dims = ftl_imp_dims_copy(m, (uint32_t)rank_of(m, x), ftl_imp_type(m, x)->dims);
	u->dtype = dtype_of(m, x);
	u->seed = (int64_t)ftl_imp_f(m, "seed", 0);
	r = ftl_imp_op(m, FTL_OP_random_uniform, u, 0, NULL);
	ftl_imp_out(m, 0, ftl_imp_cast(m, op2(m, FTL_OP_lt, r, x), t));
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
