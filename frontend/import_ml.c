/* ai.onnx.ml: tables and features. Everything is written in the ops of ops.def; `find` looks a value up in sorted keys. */
#include "ml.h"

#include <math.h>
#include <stdlib.h>

/* ---- keys ---- */

ml_keys ftl_ml_strings(ftl_strs l)
{
	return (ml_keys){.dtype = l.n ? FTL_STRING : FTL_NO_DTYPE, .n = l.n, .s = l.v};
}

ml_keys ftl_ml_ints(imp *m, const char *name, ftl_dtype t)
{
	ftl_ints l = ftl_imp_ints(m, name);
	double *f = FTL_NEW_N(m->tmp, double, (size_t)l.n + 1);

	for (uint32_t i = 0; i < l.n; i++)
		f[i] = (double)l.v[i];
	return (ml_keys){.dtype = l.n ? t : FTL_NO_DTYPE, .n = l.n, .i = l.v, .f = f};
}

ml_keys ftl_ml_floats(imp *m, const char *name, ftl_dtype t)
{
	ftl_floats l = ftl_imp_floats(m, name);

	return (ml_keys){.dtype = l.n ? t : FTL_NO_DTYPE, .n = l.n, .f = l.v};
}

ml_keys ftl_ml_tensor(imp *m, const char *name)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, name);
	ftl_tensor_bytes t;
	ml_keys k = {0};
	ftl_status_code rc;
	double *f;
	int64_t *v;

	if (!a || !a->t || m->failed)
		return k;
	rc = ftl_tensor_read(&m->src, a->t, &t);
	if (rc != FTL_OK) {
		ftl_imp_keep(m, rc);
		return k;
	}
	k.dtype = t.dtype;
	k.n = (uint32_t)(t.blob.bytes / (t.dtype == FTL_STRING ? sizeof(ftl_str) : ftl_dtype_bytes(t.dtype)));
	k.s = t.dtype == FTL_STRING ? t.blob.data : NULL;
	if (k.s)
		return k;
	f = FTL_NEW_N(m->tmp, double, (size_t)k.n + 1);
	v = FTL_NEW_N(m->tmp, int64_t, (size_t)k.n + 1);
	for (uint32_t i = 0; i < k.n; i++) {
		f[i] = ftl_elem_get(t.dtype, t.blob.data, i);
		v[i] = ftl_dtype_is_float(t.dtype) ? 0 : ftl_elem_get_i64(t.dtype, t.blob.data, i);
	}
	k.f = f;
	k.i = v;
	return k;
}

/* ---- lookup ---- */

typedef struct place {
	const ml_keys *keys;
	uint32_t at;
} place;

/* As `find` compares: strings by bytes, NaN last and equal to itself. */
static int order(const place *a, const place *b)
{
	const ml_keys *k = a->keys;

	if (k->s) {
		const ftl_str *x = &k->s[a->at], *y = &k->s[b->at];
		int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

		return c ? c : (x->n > y->n) - (x->n < y->n);
	}
	if (ftl_dtype_is_float(k->dtype)) {
		double x = k->dtype == FTL_F32 ? (double)(float)k->f[a->at] : k->f[a->at],
		       y = k->dtype == FTL_F32 ? (double)(float)k->f[b->at] : k->f[b->at];

		return isnan(x) || isnan(y) ? isnan(x) - isnan(y) : (x > y) - (x < y);
	}
	return (k->i[a->at] > k->i[b->at]) - (k->i[a->at] < k->i[b->at]);
}

static int by_order(const void *a, const void *b)
{
	const place *x = a, *y = b;
	int c = order(x, y);

	return c ? c : (x->at > y->at) - (x->at < y->at);
}

static ftl_val vector(imp *m, ftl_dtype t, uint32_t n, const ml_keys *const *from, const uint32_t *at)
{
	int64_t dim = n;
	char *bytes;

	if (t == FTL_STRING) {
		ftl_str *s = FTL_NEW_N(m->arena, ftl_str, (size_t)n + 1);

		for (uint32_t i = 0; i < n; i++)
			s[i] = from[i]->s[at[i]];
		return ftl_imp_strings(m, 1, &dim, n, s);
	}
	bytes = FTL_NEW_N(m->tmp, char, ((size_t)n + 1) * ftl_dtype_bytes(t));
	for (uint32_t i = 0; i < n; i++) {
		if (ftl_dtype_is_float(t) || !from[i]->i)
			ftl_elem_set(t, bytes, i, from[i]->f[at[i]]);
		else
			memcpy(bytes + i * ftl_dtype_bytes(t), &from[i]->i[at[i]], ftl_dtype_bytes(t));
	}
	return ftl_imp_bytes(m, t, 1, &dim, bytes);
}

ftl_val ftl_ml_lookup(imp *m, ftl_val x, const ml_keys *keys)
{
	place *p = FTL_NEW_N(m->tmp, place, (size_t)keys->n + 1);
	const ml_keys **from = FTL_NEW_N(m->tmp, const ml_keys *, (size_t)keys->n + 1);
	uint32_t *at = FTL_NEW_N(m->tmp, uint32_t, (size_t)keys->n + 1), n = 0;
	int64_t *number = FTL_NEW_N(m->tmp, int64_t, (size_t)keys->n + 1);
	ftl_val sorted, found, numbers;

	if (!m->failed && dtype_of(m, x) != keys->dtype) {
		bad_model(m, "its keys have element type %s, its input has %s", ftl_dtype_name(keys->dtype),
			  ftl_dtype_name(dtype_of(m, x)));
		return 0;
	}
	for (uint32_t i = 0; i < keys->n; i++)
		p[i] = (place){keys, i};
	qsort(p, keys->n, sizeof *p, by_order);
	for (uint32_t i = 0; i < keys->n; i++) {
		if (i > 0 && order(&p[i - 1], &p[i]) == 0)
			continue; /* the first counts */
		from[n] = keys;
		number[n] = p[i].at;
		at[n++] = p[i].at;
	}
	sorted = vector(m, keys->dtype, n, from, at);
	number[n] = keys->n;
	numbers = ftl_imp_i64s(m, n + 1, number);
	found = op2(m, FTL_OP_find, x, sorted);
	/* -1 is the last entry */
	return ftl_imp_gather(m, numbers, found, 0);
}

ftl_val ftl_ml_table(imp *m, const ml_keys *values, const ml_keys *last)
{
	const ml_keys **from = FTL_NEW_N(m->tmp, const ml_keys *, (size_t)values->n + 1);
	uint32_t *at = FTL_NEW_N(m->tmp, uint32_t, (size_t)values->n + 1);

	for (uint32_t i = 0; i < values->n; i++) {
		from[i] = values;
		at[i] = i;
	}
	from[values->n] = last;
	return vector(m, values->dtype, values->n + 1, from, at);
}

/* ---- encoders ---- */

static ml_keys list(imp *m, const char *what)
{
	ml_keys k = ftl_ml_tensor(m, ftl_arena_printf(m->tmp, "%s_tensor", what));

	if (!k.dtype)
		k = ftl_ml_strings(ftl_imp_strs(m, ftl_arena_printf(m->tmp, "%s_strings", what)));
	if (!k.dtype)
		k = ftl_ml_ints(m, ftl_arena_printf(m->tmp, "%s_int64s", what), FTL_I64);
	if (!k.dtype)
		k = ftl_ml_floats(m, ftl_arena_printf(m->tmp, "%s_floats", what), FTL_F32);
	return k;
}

/* What values that are not found become: of type t, from an attribute or else the standard's. */
static ml_keys default_of(imp *m, ftl_dtype t)
{
	ml_keys k = ftl_ml_tensor(m, "default_tensor");
	ftl_str *s = FTL_NEW(m->arena, ftl_str);
	double *f = FTL_NEW(m->tmp, double);
	int64_t *i = FTL_NEW(m->tmp, int64_t);
	ftl_strs l = ftl_imp_strs(m, "default_string");

	if (k.dtype == t && k.n >= 1)
		return k;
	if (k.dtype && k.dtype != t)
		bad_model(m, "default_tensor has element type %s, the values have %s", ftl_dtype_name(k.dtype),
			  ftl_dtype_name(t));
	*s = l.n ? l.v[0] : (ftl_str){"_Unused", 7};
	*i = ftl_imp_i(m, "default_int64", -1);
	*f = ftl_dtype_is_float(t) ? ftl_imp_f(m, "default_float", -0.0) : (double)*i;
	return (ml_keys){.dtype = t, .n = 1, .s = t == FTL_STRING ? s : NULL, .f = f, .i = i};
}

void ftl_imp_do_label_encoder(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), at;
	ml_keys keys, values, other;

	if (ftl_imp_has(m, "classes_strings")) { /* opset 1: between a string and its number */
		ml_keys names = ftl_ml_strings(ftl_imp_strs(m, "classes_strings"));
		int64_t *v = FTL_NEW_N(m->tmp, int64_t, (size_t)names.n + 1);

		for (uint32_t i = 0; i < names.n; i++)
			v[i] = i;
		values = (ml_keys){.dtype = FTL_I64, .n = names.n, .i = v};
		keys = dtype_of(m, x) == FTL_STRING ? names : values;
		values = dtype_of(m, x) == FTL_STRING ? values : names;
	} else {
		keys = list(m, "keys");
		values = list(m, "values");
	}
	if (m->failed)
		return;
	if (!keys.dtype || !values.dtype || keys.n != values.n) {
		bad_model(m, "has %u keys and %u values", keys.n, values.n);
		return;
	}
	other = default_of(m, values.dtype);
	at = ftl_ml_lookup(m, x, &keys);
	if (ftl_dtype_is_float(keys.dtype) && m->cur->opset < 4) /* NaN is a key since opset 4 */
		at = e_where(m, op1(m, FTL_OP_is_nan, x), ftl_imp_scalar(m, FTL_I64, keys.n), at);
	if (!m->failed)
		ftl_imp_out(m, 0, ftl_imp_gather(m, ftl_ml_table(m, &values, &other), at, 0));
}

void ftl_imp_do_category_mapper(imp *m)
{
	ml_keys names = ftl_ml_strings(ftl_imp_strs(m, "cats_strings")),
		numbers = ftl_ml_ints(m, "cats_int64s", FTL_I64), other;
	ftl_val x = ftl_imp_need(m, 0), at;
	bool up = dtype_of(m, x) == FTL_STRING;

	if (names.n != numbers.n || !names.n) {
		bad_model(m, "has %u strings and %u numbers", names.n, numbers.n);
		return;
	}
	other = default_of(m, up ? FTL_I64 : FTL_STRING);
	at = ftl_ml_lookup(m, x, up ? &names : &numbers);
	if (!m->failed)
		ftl_imp_out(m, 0, ftl_imp_gather(m, ftl_ml_table(m, up ? &numbers : &names, &other), at, 0));
}

void ftl_imp_do_one_hot_encoder(imp *m)
{
	ml_keys cats = ftl_ml_strings(ftl_imp_strs(m, "cats_strings"));
	struct ftl_attrs_one_hot *a = NEW_ATTRS(m, one_hot);
	ftl_val x = ftl_imp_need(m, 0), in[3];

	if (!cats.dtype)
		cats = ftl_ml_ints(m, "cats_int64s", FTL_I64);
	if (!cats.dtype) {
		bad_model(m, "has no categories");
		return;
	}
	if (cats.dtype == FTL_I64 && dtype_of(m, x) != FTL_STRING)
		x = ftl_imp_cast(m, x, FTL_I64);
	in[0] = ftl_ml_lookup(m, x, &cats);
	/* looking up what is none of them is an error of the run: one behind the end of a list */
	if (ftl_imp_i(m, "zeros", 1) == 0)
		in[0] = ftl_imp_gather(m, ftl_imp_range(m, dim_c(m, cats.n), FTL_I64), in[0], 0);
	in[1] = ftl_imp_scalar(m, FTL_I64, cats.n);
	in[2] = ftl_imp_bytes(m, FTL_F32, 1, &(int64_t){2}, (const float[]){0, 1});
	a->axis = rank_of(m, x);
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_one_hot, a, 3, in));
}

/* ---- features ---- */

void ftl_imp_do_array_feature_extractor(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), y = ftl_imp_need(m, 1);
	ftl_dim n;

	if (m->failed)
		return;
	ftl_imp_want_rank(m, x, 1, FTL_MAX_RANK, "X");
	n = ftl_type_numel(m->g, ftl_imp_type(m, y));
	y = ftl_imp_reshape(m, y, 1, &n);
	x = m->failed ? 0 : ftl_imp_gather(m, x, y, rank_of(m, x) - 1);
	ftl_imp_out(m, 0, rank_of(m, x) == 1 ? ftl_imp_unsqueeze(m, x, 0) : x);
}

void ftl_imp_do_binarizer(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	double t = ftl_imp_f(m, "threshold", 0);
	ftl_val c = ftl_dtype_is_float(dtype_of(m, x)) ? e_num(m, x, t) : e_num(m, x, floor(t));

	ftl_imp_out(m, 0, ftl_imp_cast(m, op2(m, FTL_OP_gt, x, c), dtype_of(m, x)));
}

/* One number, or one for each entry of x's last axis, that broadcasts against x. */
static ftl_val per_feature(imp *m, ftl_val x, ftl_dtype t, const char *name, double none)
{
	ml_keys k = ftl_dtype_is_float(t) ? ftl_ml_floats(m, name, t) : ftl_ml_ints(m, name, t);
	int64_t n;

	if (k.n == 0)
		return ftl_imp_scalar(m, t, none);
	if (k.n == 1)
		return ftl_imp_scalar(m, t, k.f[0]);
	if (rank_of(m, x) > 0 && ftl_dim_is_const(m->st, ftl_imp_dim(m, x, -1), &n) && n != k.n) {
		bad_model(m, "%s has %u entries for %lld features", name, k.n, (long long)n);
		return 0;
	}
	return ftl_ml_table(m, &(ml_keys){.dtype = t, .n = k.n - 1, .f = k.f, .i = k.i},
			    &(ml_keys){.dtype = t, .n = 1, .f = k.f + k.n - 1, .i = k.i ? k.i + k.n - 1 : NULL});
}

void ftl_imp_do_imputer(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), with, missing;
	ftl_dtype t = dtype_of(m, x);

	if (ftl_dtype_is_float(t)) {
		double old = ftl_imp_f(m, "replaced_value_float", 0);

		with = per_feature(m, x, t, "imputed_value_floats", 0);
		missing = isnan(old) ? op1(m, FTL_OP_is_nan, x) : op2(m, FTL_OP_eq, x, e_num(m, x, old));
	} else {
		with = per_feature(m, x, t, "imputed_value_int64s", 0);
		missing = op2(m, FTL_OP_eq, x, e_num(m, x, (double)ftl_imp_i(m, "replaced_value_int64", 0)));
	}
	ftl_imp_out(m, 0, e_where(m, missing, with, x));
}

void ftl_imp_do_scaler(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);

	if (!ftl_dtype_is_float(dtype_of(m, x)))
		x = ftl_imp_cast(m, x, FTL_F32);
	x = e_sub(m, x, per_feature(m, x, dtype_of(m, x), "offset", 0));
	x = e_mul(m, x, per_feature(m, x, dtype_of(m, x), "scale", 1));
	ftl_imp_out(m, 0, ftl_imp_cast(m, x, FTL_F32));
}

/* Rows (axis 1, or the only axis) divided by their largest element, sum of magnitudes or length; by nothing where that
 * is 0. */
void ftl_imp_do_normalizer(imp *m)
{
	const char *how = ftl_imp_s(m, "norm", "MAX");
	ftl_val x = ftl_imp_cast(m, ftl_imp_need(m, 0), FTL_F32), by = 0;
	int64_t axis = rank_of(m, x) > 1;

	ftl_imp_want_rank(m, x, 1, FTL_MAX_RANK, "X");
	if (m->failed)
		return;
	if (!strcmp(how, "MAX"))
		by = ftl_imp_reduce(m, FTL_OP_reduce_max, x, 1, &axis, true);
	else if (!strcmp(how, "L1"))
		by = ftl_imp_reduce(m, FTL_OP_reduce_sum, op1(m, FTL_OP_abs, x), 1, &axis, true);
	else if (!strcmp(how, "L2"))
		by = op1(m, FTL_OP_sqrt, ftl_imp_reduce(m, FTL_OP_reduce_sum, e_mul(m, x, x), 1, &axis, true));
	else
		bad_model(m, "unknown norm \"%.32s\"", how);
	by = e_where(m, op2(m, FTL_OP_eq, by, e_num(m, by, 0)), e_num(m, by, 1), by);
	ftl_imp_out(m, 0, e_div(m, x, by));
}

/* Inputs side by side, each cut or filled up with zeros to its size. */
void ftl_imp_do_feature_vectorizer(imp *m)
{
	ftl_ints sizes = ftl_imp_ints(m, "inputdimensions");
	ftl_val *parts = FTL_NEW_N(m->tmp, ftl_val, (size_t)m->cur->nin + 1);

	if (sizes.n && sizes.n != m->cur->nin) {
		bad_model(m, "has %u sizes for %u inputs", sizes.n, m->cur->nin);
		return;
	}
	for (uint32_t i = 0; i < m->cur->nin && !m->failed; i++) {
		ftl_val x = ftl_imp_cast(m, ftl_imp_need(m, i), FTL_F32);
		int64_t have, want = sizes.n ? sizes.v[i] : 0;
		ftl_dim d[2];

		ftl_imp_want_rank(m, x, 1, FTL_MAX_RANK, "an input");
		if (m->failed)
			return;
		/* a vector is one row */
		d[0] = rank_of(m, x) == 1 ? dim_c(m, 1) : ftl_imp_dim(m, x, 0);
		d[1] = dim_c(m, 1);
		for (int k = rank_of(m, x) > 1; k < rank_of(m, x); k++)
			d[1] = ftl_dim_mul(m->st, d[1], ftl_imp_dim(m, x, k));
		x = ftl_imp_reshape(m, x, 2, d);
		if (sizes.n && ftl_dim_is_const(m->st, d[1], &have) && want < have && want >= 0) {
			x = ftl_imp_slice(m, x, 1, dim_c(m, 0), dim_c(m, want));
		} else if (sizes.n && ftl_dim_is_const(m->st, d[1], &have) && want > have) {
			struct ftl_attrs_pad *a = NEW_ATTRS(m, pad);
			const ftl_dim z = dim_c(m, 0);

			a->pads = ftl_imp_dims_copy(m, 4, (const ftl_dim[]){z, z, z, dim_c(m, want - have)});
			x = ftl_imp_op(m, FTL_OP_pad, a, 1, &x);
		}
		parts[i] = x;
	}
	ftl_imp_out(m, 0, ftl_imp_concat(m, 1, m->cur->nin, parts));
}

/* ---- what is refused ---- */

void ftl_imp_do_zip_map(imp *m)
{
	unsupported(m, "maps are not supported: drop ZipMap, whose input has the same numbers "
		       "(skl2onnx: options={'zipmap': False})");
}

void ftl_imp_do_from_map(imp *m)
{
	unsupported(m, "maps are not supported: replace it by a tensor input");
}

void ftl_imp_do_image_decoder(imp *m)
{
	unsupported(m, "compressed images are not decoded in a model: decode them before it, and feed the pixels");
}
