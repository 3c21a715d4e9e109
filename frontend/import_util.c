/* The words importers are written in: attributes, known contents, and nodes with the obvious cases elided.
 * See imp.h for how failure travels. */
#include <stdio.h>

#include "imp.h"

/* ---- attributes ---- */

static const Onnx__AttributeProto *find_attr(const Onnx__NodeProto *n, const char *name)
{
	for (size_t i = 0; i < n->n_attribute; i++)
		if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, name))
			return n->attribute[i];
	return NULL;
}

static const Onnx__AttributeProto *find_default(const Onnx__FunctionProto *fn, const char *name)
{
	for (size_t i = 0; i < fn->n_attribute_proto; i++)
		if (fn->attribute_proto[i]->name && !strcmp(fn->attribute_proto[i]->name, name))
			return fn->attribute_proto[i];
	return NULL;
}

const Onnx__AttributeProto *ftl_imp_attr(imp *m, const char *name)
{
	const Onnx__AttributeProto *a = find_attr(m->cur->node, name);

	/* A reference means the attribute of the call we are inlined from, which may be a reference again. */
	for (const imp_frame *f = m->frame; a && a->ref_attr_name && *a->ref_attr_name; f = f->parent) {
		const char *ref = a->ref_attr_name;
		if (!f) {
			bad_model(m, "attribute %s refers to \"%s\", but the node is not in a function", name, ref);
			return NULL;
		}
		a = find_attr(f->call, ref);
		if (!a)
			return find_default(f->fn, ref);
	}
	return a;
}

bool ftl_imp_has(imp *m, const char *name)
{
	return ftl_imp_attr(m, name) != NULL;
}

/* proto3 writers leave zeros out, so an attribute of the right declared type with no value is a zero. */
static bool is_kind(imp *m, const Onnx__AttributeProto *a, bool present, int32_t type, const char *what)
{
	if (present || (a->has_type && a->type == type))
		return true;
	bad_model(m, "attribute %s is not %s", a->name, what);
	return false;
}

int64_t ftl_imp_i(imp *m, const char *name, int64_t def)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, name);

	if (!a || !is_kind(m, a, a->has_i, 2, "an integer"))
		return def;
	return a->i;
}

double ftl_imp_f(imp *m, const char *name, double def)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, name);

	if (!a || !is_kind(m, a, a->has_f, 1, "a float"))
		return def;
	return a->f;
}

const char *ftl_imp_s(imp *m, const char *name, const char *def)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, name);

	if (!a || !is_kind(m, a, a->has_s, 3, "a string"))
		return def;
	return ftl_arena_strn(m->arena, a->s.data ? (const char *)a->s.data : "", a->s.len);
}

ftl_ints ftl_imp_ints(imp *m, const char *name)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, name);

	if (!a || !is_kind(m, a, a->n_ints > 0, 7, "a list of integers"))
		return (ftl_ints){0};
	if (a->n_ints > 65536) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "attribute %s has more than 65536 entries", name);
		return (ftl_ints){0};
	}
	return ftl_imp_ints_copy(m, (uint32_t)a->n_ints, a->ints);
}

ftl_floats ftl_imp_floats(imp *m, const char *name)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, name);
	double *v;

	if (!a || !is_kind(m, a, a->n_floats > 0, 6, "a list of floats") || a->n_floats > 65536)
		return (ftl_floats){0};
	v = FTL_NEW_N(m->arena, double, a->n_floats);
	for (size_t i = 0; i < a->n_floats; i++)
		v[i] = a->floats[i];
	return (ftl_floats){(uint32_t)a->n_floats, v};
}

ftl_dtype ftl_imp_dtype(imp *m, const char *name, ftl_dtype def)
{
	int64_t code;
	ftl_dtype t;

	if (!ftl_imp_has(m, name))
		return def;
	code = ftl_imp_i(m, name, 0);
	t = code > 0 && code < 1000 ? ftl_onnx_dtype((int32_t)code) : FTL_NO_DTYPE;
	if (t == FTL_NO_DTYPE)
		unsupported(m, "element type %s (%lld) is not supported", ftl_onnx_dtype_name((int32_t)code),
			    (long long)code);
	return t;
}

ftl_strs ftl_imp_strs(imp *m, const char *name)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, name);
	ftl_strs l = {0};
	ftl_str *v;

	if (!a)
		return l;
	v = FTL_NEW_N(m->arena, ftl_str, a->n_strings + 1);
	l.v = v;
	if (a->has_s)
		v[l.n++] = (ftl_str){(const char *)a->s.data, a->s.len};
	for (size_t i = 0; i < a->n_strings && i < UINT32_MAX && !a->has_s; i++)
		v[l.n++] = (ftl_str){(const char *)a->strings[i].data, a->strings[i].len};
	for (uint32_t i = 0; i < l.n; i++)
		v[i].p = ftl_arena_strn(m->arena, v[i].n ? v[i].p : "", v[i].n);
	return l;
}

const Onnx__GraphProto *ftl_imp_subgraph(imp *m, const char *name)
{
	const Onnx__AttributeProto *a = ftl_imp_attr(m, name);

	if (!a || !a->g)
		bad_model(m, "attribute %s with the subgraph is missing", name);
	return a ? a->g : NULL;
}

ftl_val ftl_imp_tensor(imp *m, const Onnx__TensorProto *t)
{
	ftl_tensor_bytes b;
	ftl_status_code rc;

	if (m->failed)
		return 0;
	rc = ftl_tensor_read(&m->src, t, &b);
	if (rc != FTL_OK) {
		ftl_imp_keep(m, rc);
		return 0;
	}
	return ftl_imp_constant(m, &b);
}

ftl_val ftl_imp_strings(imp *m, int rank, const int64_t *dims, uint32_t n, const ftl_str *v)
{
	struct ftl_attrs_strings *a = NEW_ATTRS(m, strings);

	a->values = (ftl_strs){n, n ? ftl_arena_dup(m->arena, v, n * sizeof *v) : NULL};
	a->dims = ftl_imp_ints_copy(m, (uint32_t)rank, dims);
	return ftl_imp_op(m, FTL_OP_strings, a, 0, NULL);
}

ftl_val ftl_imp_constant(imp *m, const ftl_tensor_bytes *t)
{
	if (m->failed)
		return 0;
	if (t->dtype == FTL_STRING)
		return ftl_imp_strings(m, t->rank, t->dims, (uint32_t)(t->blob.bytes / sizeof(ftl_str)), t->blob.data);
	return ftl_build_const(&m->b, ftl_type_make_const(m->g, t->dtype, t->rank, t->dims),
			       ftl_arena_dup(m->arena, &t->blob, sizeof t->blob));
}

/* ---- inputs, outputs ---- */

ftl_val ftl_imp_in(imp *m, uint32_t k)
{
	if (k >= m->cur->nin)
		return 0;
	if (ftl_imp_kind(m, &m->cur->in[k]) != IMP_TENSOR) {
		bad_model(m, "input %u is a sequence or optional where a tensor is needed", k);
		return 0;
	}
	return m->cur->in[k].v;
}

ftl_val ftl_imp_need(imp *m, uint32_t k)
{
	ftl_val v = ftl_imp_in(m, k);

	if (!v && !m->failed)
		bad_model(m, "input %u is missing", k);
	return v;
}

bool ftl_imp_wants(const imp *m, uint32_t k)
{
	return k < m->cur->nout && m->cur->node->output[k][0];
}

void ftl_imp_out(imp *m, uint32_t k, ftl_val v)
{
	if (!m->failed && k < m->cur->nout)
		m->cur->out[k].v = v;
}

/* ---- types ---- */

const ftl_type *ftl_imp_type(const imp *m, ftl_val v)
{
	static const ftl_type none = {.dtype = FTL_F32};

	return v ? ftl_type_of(m->g, v) : &none;
}

ftl_dim ftl_imp_dim(imp *m, ftl_val v, int axis)
{
	const ftl_type *t = ftl_imp_type(m, v);

	if (axis < 0)
		axis += t->rank;
	if (axis < 0 || axis >= t->rank) {
		if (!m->failed)
			bad_model(m, "an input of rank %d has no axis %d", t->rank, axis);
		return dim_c(m, 1);
	}
	return t->dims[axis];
}

int64_t ftl_imp_const_dim(imp *m, ftl_val v, int axis, const char *what)
{
	int64_t n = 1;

	if (!ftl_dim_is_const(m->st, ftl_imp_dim(m, v, axis), &n) && !m->failed)
		unsupported(m, "%s must be known at import; give the shape of the model's inputs", what);
	return n;
}

int ftl_imp_axis(imp *m, int64_t axis, int rank)
{
	if (axis < -rank || axis >= rank) {
		if (!m->failed)
			bad_model(m, "axis %lld is out of range for rank %d", (long long)axis, rank);
		return 0;
	}
	return (int)(axis < 0 ? axis + rank : axis);
}

void ftl_imp_want_rank(imp *m, ftl_val v, int lo, int hi, const char *what)
{
	int r = rank_of(m, v);

	if (!m->failed && (r < lo || r > hi)) {
		if (lo == hi)
			bad_model(m, "%s has rank %d, needs %d", what, r, lo);
		else
			bad_model(m, "%s has rank %d, needs %d to %d", what, r, lo, hi);
	}
}

bool ftl_imp_known_dims(imp *m, ftl_val v, ftl_dim *out, uint32_t cap, uint32_t *n)
{
	const ftl_value *val;
	int64_t *ints;

	if (!v)
		return false;
	val = ftl_value_get(m->g, v);
	if (val->sym) {
		if (val->nsym > cap)
			return false;
		for (uint32_t i = 0; i < val->nsym; i++)
			if (val->sym[i] == FTL_DIM_NONE)
				return false;
		if (val->nsym)
			memcpy(out, val->sym, val->nsym * sizeof *out);
		*n = val->nsym;
		return true;
	}
	if (!ftl_const_blob(m->g, v))
		return false;
	ints = FTL_NEW_N(m->tmp, int64_t, cap);
	if (!ftl_const_i64s(m->g, v, ints, cap, n))
		return false;
	for (uint32_t i = 0; i < *n; i++)
		out[i] = dim_c(m, ints[i]);
	return true;
}

bool ftl_imp_known_i64s(imp *m, ftl_val v, int64_t *out, uint32_t cap, uint32_t *n)
{
	const ftl_value *val;

	if (!v)
		return false;
	if (ftl_const_i64s(m->g, v, out, cap, n))
		return true;
	val = ftl_value_get(m->g, v);
	if (!val->sym || val->nsym > cap)
		return false;
	for (uint32_t i = 0; i < val->nsym; i++)
		if (val->sym[i] == FTL_DIM_NONE || !ftl_dim_is_const(m->st, val->sym[i], &out[i]))
			return false;
	*n = val->nsym;
	return true;
}

bool ftl_imp_known_f(imp *m, ftl_val v, double *out)
{
	int64_t i;
	uint32_t n;

	if (!v)
		return false;
	if (ftl_const_scalar(m->g, v, out))
		return true;
	if (!ftl_imp_known_i64s(m, v, &i, 1, &n) || n != 1)
		return false;
	*out = (double)i;
	return true;
}

bool ftl_imp_list(imp *m, const char *name, uint32_t k, int64_t *out, uint32_t cap, uint32_t *n)
{
	ftl_val v = ftl_imp_in(m, k);
	int64_t c;

	if (v && rank_of(m, v) == 1 && ftl_dim_is_const(m->st, ftl_imp_dim(m, v, 0), &c) && c == 0) {
		*n = 0; /* an empty list is known whatever it comes from */
		return true;
	}
	if (v) {
		if (!ftl_imp_known_i64s(m, v, out, cap, n)) {
			unsupported(m, "%s (input %u) must be known at import; make it constant", name, k);
			return false;
		}
		return true;
	}
	if (!ftl_imp_has(m, name))
		return false;
	ftl_ints l = ftl_imp_ints(m, name);
	if (l.n > cap) {
		bad_model(m, "attribute %s has %u entries", name, l.n);
		return false;
	}
	if (l.n)
		memcpy(out, l.v, l.n * sizeof *out);
	*n = l.n;
	return true;
}

/* ---- nodes ---- */

/* Inference reports `node "loc" (op): reason`; the caller wants ONNX's words around the same reason. */
static const char *reason(imp *m, ftl_op op)
{
	char prefix[320];
	int n = snprintf(prefix, sizeof prefix, "node \"%.160s\" (%s): ", m->b.loc ? m->b.loc : "",
			 ftl_op_get(op)->name);

	if (n > 0 && (size_t)n < sizeof prefix && !strncmp(m->local.text, prefix, (size_t)n))
		return m->local.text + n;
	return m->local.text;
}

void ftl_imp_ops(imp *m, ftl_op op, void *attrs, uint32_t nin, const ftl_val *in, uint32_t nout, ftl_val *out)
{
	ftl_status_code rc;

	if (nout)
		memset(out, 0, nout * sizeof *out);
	if (m->failed)
		return;
	if (m->nodes_left-- == 0) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "the model needs more nodes than allowed (max_nodes)");
		return;
	}
	ftl_diag_clear(&m->local);
	rc = ftl_build(&m->b, op, in, nin, attrs, nout, out);
	if (rc != FTL_OK) {
		if (nout)
			memset(out, 0, nout * sizeof *out);
		ftl_imp_fail(m, rc, "%s", reason(m, op));
	}
}

ftl_val ftl_imp_op(imp *m, ftl_op op, void *attrs, uint32_t nin, const ftl_val *in)
{
	ftl_val v;

	ftl_imp_ops(m, op, attrs, nin, in, 1, &v);
	return v;
}

ftl_ints ftl_imp_ints_copy(imp *m, uint32_t n, const int64_t *v)
{
	return (ftl_ints){n, n ? ftl_arena_dup(m->arena, v, n * sizeof *v) : NULL};
}

ftl_dims ftl_imp_dims_copy(imp *m, uint32_t n, const ftl_dim *v)
{
	return (ftl_dims){n, n ? ftl_arena_dup(m->arena, v, n * sizeof *v) : NULL};
}

ftl_val ftl_imp_scalar(imp *m, ftl_dtype t, double v)
{
	return m->failed ? 0 : ftl_build_scalar(&m->b, t, v);
}

ftl_val ftl_imp_bytes(imp *m, ftl_dtype t, int rank, const int64_t *dims, const void *data)
{
	return m->failed ? 0 : ftl_build_const_bytes(&m->b, t, rank, dims, data);
}

ftl_val ftl_imp_i64s(imp *m, uint32_t n, const int64_t *v)
{
	return m->failed ? 0 : ftl_build_const_i64s(&m->b, v, n);
}

ftl_val ftl_imp_dims_vec(imp *m, uint32_t n, const ftl_dim *v)
{
	int64_t *c = FTL_NEW_N(m->tmp, int64_t, n ? n : 1);
	struct ftl_attrs_dims *a;
	uint32_t i = 0;

	while (i < n && ftl_dim_is_const(m->st, v[i], &c[i]))
		i++;
	if (i == n)
		return ftl_imp_i64s(m, n, c);
	a = NEW_ATTRS(m, dims);
	a->values = ftl_imp_dims_copy(m, n, v);
	return ftl_imp_op(m, FTL_OP_dims, a, 0, NULL);
}

ftl_val ftl_imp_dim_scalar(imp *m, ftl_dim d, ftl_dtype t)
{
	struct ftl_attrs_dims *a;
	int64_t c;

	if (ftl_dim_is_const(m->st, d, &c)) {
		return t == FTL_I64 ? ftl_imp_bytes(m, FTL_I64, 0, NULL, &c) : ftl_imp_scalar(m, t, (double)c);
	}
	a = NEW_ATTRS(m, dims);
	a->values = ftl_imp_dims_copy(m, 1, &d);
	a->scalar = true;
	return ftl_imp_cast(m, ftl_imp_op(m, FTL_OP_dims, a, 0, NULL), t);
}

ftl_val ftl_imp_cast(imp *m, ftl_val v, ftl_dtype t)
{
	struct ftl_attrs_cast *a;

	if (m->failed || dtype_of(m, v) == t)
		return v;
	if (t == FTL_STRING && ftl_dtype_is_low(dtype_of(m, v)))
		v = ftl_imp_cast(m, v, ftl_dtype_is_float(dtype_of(m, v)) ? FTL_F32 : FTL_I32);
	if (t == FTL_STRING)
		return op1(m, FTL_OP_string_from, v);
	if (dtype_of(m, v) == FTL_STRING) {
		struct ftl_attrs_string_to *to = NEW_ATTRS(m, string_to);

		to->to = t;
		return ftl_imp_op(m, FTL_OP_string_to, to, 1, &v);
	}
	a = NEW_ATTRS(m, cast);
	a->to = t;
	return ftl_imp_op(m, FTL_OP_cast, a, 1, &v);
}

ftl_val ftl_imp_reshape(imp *m, ftl_val v, int rank, const ftl_dim *dims)
{
	const ftl_type *t = ftl_imp_type(m, v);
	struct ftl_attrs_reshape *a;
	const ftl_blob *blob;
	int64_t n, k;

	if (m->failed)
		return 0;
	if (rank > FTL_MAX_RANK) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "rank %d is above the limit of %d", rank, FTL_MAX_RANK);
		return 0;
	}
	if (t->rank == rank && (rank == 0 || !memcmp(t->dims, dims, (size_t)rank * sizeof *dims)))
		return v;
	blob = ftl_const_blob(m->g, v);
	if (blob) { /* the same bytes under other dims, if they are all known */
		ftl_type nt = ftl_type_make(m->g, t->dtype, rank, dims);
		if (ftl_type_is_static(m->g, &nt, NULL) && ftl_dim_is_const(m->st, ftl_type_numel(m->g, &nt), &n) &&
		    ftl_dim_is_const(m->st, ftl_type_numel(m->g, t), &k) && n == k)
			return ftl_build_const(&m->b, nt, blob);
	}
	a = NEW_ATTRS(m, reshape);
	a->dims = ftl_imp_dims_copy(m, (uint32_t)rank, dims);
	return ftl_imp_op(m, FTL_OP_reshape, a, 1, &v);
}

ftl_val ftl_imp_unsqueeze(imp *m, ftl_val v, int axis)
{
	ftl_dim d[FTL_MAX_RANK + 1];
	int r = rank_of(m, v) + 1;

	axis = ftl_imp_axis(m, axis, r);
	for (int i = 0, k = 0; i < r; i++)
		d[i] = i == axis ? dim_c(m, 1) : ftl_imp_type(m, v)->dims[k++];
	return ftl_imp_reshape(m, v, r, d);
}

ftl_val ftl_imp_squeeze(imp *m, ftl_val v, int axis)
{
	ftl_dim d[FTL_MAX_RANK];
	int r = rank_of(m, v), n = 0;

	axis = ftl_imp_axis(m, axis, r);
	for (int i = 0; i < r; i++)
		if (i != axis)
			d[n++] = ftl_imp_type(m, v)->dims[i];
	return ftl_imp_reshape(m, v, n, d);
}

ftl_val ftl_imp_transpose(imp *m, ftl_val v, const int *perm)
{
	struct ftl_attrs_transpose *a;
	int64_t p[FTL_MAX_RANK];
	int r = rank_of(m, v), same = 0;

	for (int i = 0; i < r; i++) {
		p[i] = perm[i];
		same += perm[i] == i;
	}
	if (same == r || m->failed)
		return v;
	a = NEW_ATTRS(m, transpose);
	a->perm = ftl_imp_ints_copy(m, (uint32_t)r, p);
	return ftl_imp_op(m, FTL_OP_transpose, a, 1, &v);
}

ftl_val ftl_imp_slice(imp *m, ftl_val v, int axis, ftl_dim start, ftl_dim size)
{
	struct ftl_attrs_slice *a;
	int64_t ax, c;

	axis = ftl_imp_axis(m, axis, rank_of(m, v));
	if (m->failed || (size == ftl_imp_dim(m, v, axis) && ftl_dim_is_const(m->st, start, &c) && c == 0))
		return v;
	ax = axis;
	a = NEW_ATTRS(m, slice);
	a->axes = ftl_imp_ints_copy(m, 1, &ax);
	a->steps = ftl_imp_ints_copy(m, 1, &(int64_t){1});
	a->starts = ftl_imp_dims_copy(m, 1, &start);
	a->sizes = ftl_imp_dims_copy(m, 1, &size);
	return ftl_imp_op(m, FTL_OP_slice, a, 1, &v);
}

ftl_val ftl_imp_concat(imp *m, int axis, uint32_t n, const ftl_val *v)
{
	struct ftl_attrs_concat *a;

	if (n == 1 || m->failed)
		return n ? v[0] : 0;
	a = NEW_ATTRS(m, concat);
	a->axis = ftl_imp_axis(m, axis, n ? rank_of(m, v[0]) : 0);
	return ftl_imp_op(m, FTL_OP_concat, a, n, v);
}

ftl_val ftl_imp_expand(imp *m, ftl_val v, int rank, const ftl_dim *dims)
{
	const ftl_type *t = ftl_imp_type(m, v);
	struct ftl_attrs_expand *a;

	if (m->failed || (t->rank == rank && (rank == 0 || !memcmp(t->dims, dims, (size_t)rank * sizeof *dims))))
		return v;
	a = NEW_ATTRS(m, expand);
	a->dims = ftl_imp_dims_copy(m, (uint32_t)rank, dims);
	return ftl_imp_op(m, FTL_OP_expand, a, 1, &v);
}

ftl_val ftl_imp_gather(imp *m, ftl_val v, ftl_val index, int axis)
{
	struct ftl_attrs_gather *a = NEW_ATTRS(m, gather);

	a->axis = ftl_imp_axis(m, axis, rank_of(m, v));
	return ftl_imp_op(m, FTL_OP_gather, a, 2, (const ftl_val[]){v, index});
}

ftl_val ftl_imp_matmul(imp *m, ftl_val a, ftl_val b, bool ta, bool tb, double alpha)
{
	struct ftl_attrs_matmul *at = NEW_ATTRS(m, matmul);
	bool fl = ftl_dtype_is_float(dtype_of(m, a));
	ftl_val v;

	at->trans_a = ta;
	at->trans_b = tb;
	at->alpha = fl ? alpha : 1;
	v = ftl_imp_op(m, FTL_OP_matmul, at, 2, (const ftl_val[]){a, b});
	return fl ? v : e_mulf(m, v, alpha);
}

static void set_reduce(imp *m, void *attrs, uint32_t n, const int64_t *axes, bool keep)
{
	/* reduce_sum, reduce_mean, reduce_max, reduce_min and reduce_prod have the same attributes in the same order */
	struct ftl_attrs_reduce_sum *a = attrs;
	int64_t sorted[FTL_MAX_RANK];

	_Static_assert(sizeof(struct ftl_attrs_reduce_sum) == sizeof(struct ftl_attrs_reduce_prod), "same layout");
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = i;
		for (; k > 0 && sorted[k - 1] > axes[i]; k--)
			sorted[k] = sorted[k - 1];
		sorted[k] = axes[i];
	}
	a->axes = ftl_imp_ints_copy(m, n, sorted);
	a->keepdims = keep;
}

ftl_val ftl_imp_reduce(imp *m, ftl_op op, ftl_val v, uint32_t naxes, const int64_t *axes, bool keep)
{
	void *a;

	if (naxes == 0 || m->failed)
		return v;
	a = ftl_attrs_default(m->g, op);
	set_reduce(m, a, naxes, axes, keep);
	return ftl_imp_op(m, op, a, 1, &v);
}

ftl_val ftl_imp_softmax(imp *m, ftl_val v, int axis)
{
	struct ftl_attrs_softmax *a = NEW_ATTRS(m, softmax);

	a->axis = ftl_imp_axis(m, axis, rank_of(m, v));
	return ftl_imp_op(m, FTL_OP_softmax, a, 1, &v);
}

ftl_val ftl_imp_range(imp *m, ftl_dim n, ftl_dtype t)
{
	ftl_val in[3] = {ftl_imp_scalar(m, t, 0), ftl_imp_dim_scalar(m, n, t), ftl_imp_scalar(m, t, 1)};

	return ftl_imp_op(m, FTL_OP_range, NULL, 3, in);
}

ftl_val ftl_imp_norm(imp *m, ftl_op op, ftl_val x, ftl_val scale, ftl_val bias, int axis, double epsilon)
{
	ftl_val in[3] = {x, scale, bias};
	struct ftl_attrs_layer_norm *a = ftl_attrs_default(m->g, op);

	_Static_assert(sizeof(struct ftl_attrs_layer_norm) == sizeof(struct ftl_attrs_rms_norm), "same layout");
	a->axis = ftl_imp_axis(m, axis, rank_of(m, x));
	a->epsilon = epsilon;
	return ftl_imp_op(m, op, a, bias ? 3 : scale ? 2 : 1, in);
}
