/* Convolutions and pools: explicit pads out of auto_pad, kernels and strides of the right length. */
#include <math.h>

#include "attention.h"

#define MAX_SPATIAL IMP_MAX_SPATIAL
typedef imp_window window;

/* kernel NULL: from attribute kernel_shape. */
static bool read_window(imp *m, ftl_val x, const ftl_dim *kernel, window *w)
{
	ftl_ints k = ftl_imp_ints(m, "kernel_shape"), s = ftl_imp_ints(m, "strides"), d = ftl_imp_ints(m, "dilations"),
		 p = ftl_imp_ints(m, "pads");
	const char *how = ftl_imp_s(m, "auto_pad", "NOTSET");
	bool same = !strncmp(how, "SAME_", 5);

	ftl_imp_want_rank(m, x, 3, FTL_MAX_RANK, "the input");
	if (m->failed)
		return false;
	w->n = rank_of(m, x) - 2;
	if (strcmp(how, "NOTSET") && strcmp(how, "VALID") && strcmp(how, "SAME_UPPER") && strcmp(how, "SAME_LOWER") &&
	    *how) {
		bad_model(m, "auto_pad \"%s\" is unknown", how);
		return false;
	}
	if ((k.n && k.n != (uint32_t)w->n) || (!k.n && !kernel) || (s.n && s.n != (uint32_t)w->n) ||
	    (d.n && d.n != (uint32_t)w->n) || (p.n && p.n != 2 * (uint32_t)w->n)) {
		bad_model(
			m,
			"kernel_shape, strides, dilations and pads have %u, %u, %u and %u entries for %d spatial axes",
			k.n, s.n, d.n, p.n, w->n);
		return false;
	}
	for (int i = 0; i < w->n; i++) {
		w->strides[i] = s.n ? s.v[i] : 1;
		w->dilations[i] = d.n ? d.v[i] : 1;
		w->kernel[i] = kernel ? kernel[i] : dim_c(m, k.v[i]);
		if (w->strides[i] <= 0 || w->dilations[i] <= 0 || (k.n && k.v[i] <= 0)) {
			bad_model(m, "kernel_shape, strides and dilations must be positive");
			return false;
		}
		if (k.n && kernel && ftl_dim_known_eq(m->st, kernel[i], dim_c(m, k.v[i])) == 0) {
			bad_model(m, "kernel_shape does not match the weights on spatial axis %d", i);
			return false;
		}
		w->pads[i] = w->pads[i + w->n] = dim_c(m, 0);
		if (!same && strcmp(how, "VALID") && p.n) {
			w->pads[i] = dim_c(m, p.v[i]);
			w->pads[i + w->n] = dim_c(m, p.v[i + w->n]);
		}
	}
	return true;
}

/* total = max(0, (ceil(in / stride) - 1) * stride + reach - in), the odd one at the end (UPPER) or the beginning. */
static void pad_same(imp *m, ftl_val x, window *w)
{
	const char *how = ftl_imp_s(m, "auto_pad", "NOTSET");
	bool upper = !strcmp(how, "SAME_UPPER");
	ftl_symtab *st = m->st;

	if (strncmp(how, "SAME_", 5))
		return;
	for (int i = 0; i < w->n; i++) {
		ftl_dim in = ftl_imp_dim(m, x, i + 2), one = dim_c(m, 1), s = dim_c(m, w->strides[i]);
		ftl_dim reach = ftl_dim_add(
			st, ftl_dim_mul(st, ftl_dim_sub(st, w->kernel[i], one), dim_c(m, w->dilations[i])), one);
		ftl_dim span = ftl_dim_mul(st, ftl_dim_sub(st, ftl_dim_ceildiv(st, in, s), one), s);
		ftl_dim total = ftl_dim_max(st, ftl_dim_sub(st, ftl_dim_add(st, span, reach), in), dim_c(m, 0));
		ftl_dim half = ftl_dim_div(st, total, dim_c(m, 2)), rest = ftl_dim_sub(st, total, half);
		w->pads[i] = upper ? half : rest;
		w->pads[i + w->n] = upper ? rest : half;
	}
}

static bool kernel_of(imp *m, ftl_val x, ftl_val wt, ftl_dim *kernel)
{
	ftl_imp_want_rank(m, x, 3, FTL_MAX_RANK, "the input");
	ftl_imp_want_rank(m, wt, rank_of(m, x), rank_of(m, x), "the weight");
	if (m->failed)
		return false;
	for (int i = 2; i < rank_of(m, x); i++)
		kernel[i - 2] = ftl_imp_dim(m, wt, i);
	return true;
}

static ftl_val conv(imp *m, ftl_val x, ftl_val wt, ftl_val bias)
{
	struct ftl_attrs_conv *a = NEW_ATTRS(m, conv);
	ftl_dim kernel[MAX_SPATIAL];
	window w;

	if (!kernel_of(m, x, wt, kernel) || !read_window(m, x, kernel, &w))
		return 0;
	pad_same(m, x, &w);
	a->strides = ftl_imp_ints_copy(m, (uint32_t)w.n, w.strides);
	a->dilations = ftl_imp_ints_copy(m, (uint32_t)w.n, w.dilations);
	a->pads = ftl_imp_dims_copy(m, 2 * (uint32_t)w.n, w.pads);
	a->group = ftl_imp_i(m, "group", 1);
	return ftl_imp_op(m, FTL_OP_conv, a, bias ? 3 : 2, (const ftl_val[]){x, wt, bias});
}

bool ftl_imp_conv_window(imp *m, ftl_val x, ftl_val wt, imp_window *w)
{
	ftl_dim kernel[MAX_SPATIAL];

	if (!kernel_of(m, x, wt, kernel) || !read_window(m, x, kernel, w))
		return false;
	pad_same(m, x, w);
	return true;
}

bool ftl_imp_pool_window(imp *m, ftl_val x, imp_window *w)
{
	if (!read_window(m, x, NULL, w))
		return false;
	pad_same(m, x, w);
	return true;
}

void ftl_imp_do_conv(imp *m)
{
	ftl_imp_out(m, 0, conv(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1), ftl_imp_in(m, 2)));
}

ftl_val ftl_imp_conv(imp *m, ftl_val x, ftl_val wt, ftl_val bias)
{
	return conv(m, x, wt, bias);
}

/* com.microsoft FusedConv: act(conv(x, w, b) + z) */
void ftl_imp_do_ms_fused_conv(imp *m)
{
	ftl_val y = conv(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1), ftl_imp_in(m, 2)), z = ftl_imp_in(m, 3);
	ftl_floats p = ftl_imp_floats(m, "activation_params");

	if (z)
		y = e_add(m, y, z);
	ftl_imp_out(
		m, 0,
		ftl_imp_activation(m, y, ftl_imp_s(m, "activation", ""), p.n > 0 ? p.v[0] : 0, p.n > 1 ? p.v[1] : 0));
}

/* com.microsoft ConvTransposeWithDynamicPads has the pads as an input before the bias. */
void ftl_imp_do_conv_transpose(imp *m)
{
	bool dynamic = !strcmp(m->cur->row->name, "ConvTransposeWithDynamicPads");
	ftl_val x = ftl_imp_need(m, 0), wt = ftl_imp_need(m, 1), bias = ftl_imp_in(m, dynamic ? 3 : 2);
	struct ftl_attrs_conv_transpose *a = NEW_ATTRS(m, conv_transpose);
	ftl_ints op = ftl_imp_ints(m, "output_padding"), os = ftl_imp_ints(m, "output_shape");
	const char *how = ftl_imp_s(m, "auto_pad", "NOTSET");
	bool same = !strncmp(how, "SAME_", 5), lower = !strcmp(how, "SAME_LOWER");
	ftl_dim kernel[MAX_SPATIAL];
	int64_t extra[MAX_SPATIAL] = {0};
	window w;

	if (!kernel_of(m, x, wt, kernel) || !read_window(m, x, kernel, &w))
		return;
	if (os.n == (uint32_t)w.n + 2) { /* some writers give N and C too */
		os.v += 2;
		os.n -= 2;
	}
	if ((op.n && op.n != (uint32_t)w.n) || (os.n && os.n != (uint32_t)w.n)) {
		bad_model(m, "output_padding and output_shape have %u and %u entries for %d spatial axes", op.n, os.n,
			  w.n);
		return;
	}
	if (dynamic && ftl_imp_in(m, 2)) {
		uint32_t n;
		if (!ftl_imp_known_dims(m, ftl_imp_in(m, 2), w.pads, 2 * MAX_SPATIAL, &n) || n != 2 * (uint32_t)w.n) {
			unsupported(m, "the pads must be known at import; make them constant");
			return;
		}
	}
	for (int i = 0; i < w.n; i++) {
		extra[i] = op.n ? op.v[i] : 0;
		if (extra[i] < 0) {
			bad_model(m, "output_padding is negative");
			return;
		}
		if (!same && !os.n)
			continue;
		/* full = stride (in - 1) + extra + reach; what goes beyond the wanted size is cut off as padding */
		ftl_symtab *st = m->st;
		ftl_dim in = ftl_imp_dim(m, x, i + 2), one = dim_c(m, 1), s = dim_c(m, w.strides[i]);
		ftl_dim reach = ftl_dim_add(
			st, ftl_dim_mul(st, ftl_dim_sub(st, kernel[i], one), dim_c(m, w.dilations[i])), one);
		ftl_dim full = ftl_dim_add(st, ftl_dim_mul(st, s, ftl_dim_sub(st, in, one)),
					   ftl_dim_add(st, reach, dim_c(m, extra[i])));
		ftl_dim want = os.n ? dim_c(m, os.v[i]) : ftl_dim_mul(st, in, s), cut = ftl_dim_sub(st, full, want);
		int64_t c;
		if (ftl_dim_is_const(st, cut, &c) && c < 0) { /* too small: more at the end */
			extra[i] -= c;
			cut = dim_c(m, 0);
		}
		ftl_dim half = ftl_dim_div(st, cut, dim_c(m, 2)), rest = ftl_dim_sub(st, cut, half);
		w.pads[i] = lower ? rest : half;
		w.pads[i + w.n] = lower ? half : rest;
		if (os.n && !same) { /* ONNX: the larger half goes first unless SAME_UPPER */
			w.pads[i] = rest;
			w.pads[i + w.n] = half;
		}
	}
	a->strides = ftl_imp_ints_copy(m, (uint32_t)w.n, w.strides);
	a->dilations = ftl_imp_ints_copy(m, (uint32_t)w.n, w.dilations);
	a->pads = ftl_imp_dims_copy(m, 2 * (uint32_t)w.n, w.pads);
	a->output_padding = ftl_imp_ints_copy(m, (uint32_t)w.n, extra);
	a->group = ftl_imp_i(m, "group", 1);
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_conv_transpose, a, bias ? 3 : 2, (const ftl_val[]){x, wt, bias}));
}

/* ---- pools ---- */

static bool const_kernel(imp *m, const window *w, int64_t *out)
{
	for (int i = 0; i < w->n; i++)
		if (!ftl_dim_is_const(m->st, w->kernel[i], &out[i]))
			return false;
	return true;
}

void ftl_imp_do_max_pool(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), out[2];
	struct ftl_attrs_max_pool *a = NEW_ATTRS(m, max_pool);
	int64_t kernel[MAX_SPATIAL];
	window w;

	if (!read_window(m, x, NULL, &w) || !const_kernel(m, &w, kernel))
		return;
	pad_same(m, x, &w);
	a->kernel = ftl_imp_ints_copy(m, (uint32_t)w.n, kernel);
	a->strides = ftl_imp_ints_copy(m, (uint32_t)w.n, w.strides);
	a->dilations = ftl_imp_ints_copy(m, (uint32_t)w.n, w.dilations);
	a->pads = ftl_imp_dims_copy(m, 2 * (uint32_t)w.n, w.pads);
	a->ceil_mode = ftl_imp_i(m, "ceil_mode", 0) != 0;
	a->column_major = ftl_imp_i(m, "storage_order", 0) != 0;
	ftl_imp_ops(m, FTL_OP_max_pool, a, 1, &x, 2, out);
	ftl_imp_out(m, 0, out[0]);
	ftl_imp_out(m, 1, out[1]);
}

/* Pads up to the end of the last window that ceil_mode has: no window is cut then. */
static void pad_ceil(imp *m, ftl_val x, imp_window *w)
{
	ftl_symtab *st = m->st;

	for (int i = 0; i < w->n; i++) {
		ftl_dim in = ftl_imp_dim(m, x, i + 2), one = dim_c(m, 1), s = dim_c(m, w->strides[i]), end;
		ftl_dim out = ftl_conv_out(st, in, w->kernel[i], w->strides[i], w->dilations[i], w->pads[i],
					   w->pads[i + w->n], true);

		end = ftl_dim_mul(st, ftl_dim_sub(st, w->kernel[i], one), dim_c(m, w->dilations[i]));
		end = ftl_dim_add(st, end, ftl_dim_add(st, ftl_dim_mul(st, ftl_dim_sub(st, out, one), s), one));
		end = ftl_dim_sub(st, ftl_dim_sub(st, end, in), w->pads[i]);
		w->pads[i + w->n] = ftl_dim_max(st, w->pads[i + w->n], end);
	}
}

/* whole: every window counts all its elements, also those that ceil_mode has beyond the pads */
static ftl_val avg_pool(imp *m, ftl_val x, bool include_pad, bool whole, double *out_count)
{
	struct ftl_attrs_avg_pool *a = NEW_ATTRS(m, avg_pool);
	int64_t kernel[MAX_SPATIAL];
	window w;

	if (!read_window(m, x, NULL, &w) || !const_kernel(m, &w, kernel))
		return 0;
	pad_same(m, x, &w);
	if (whole && ftl_imp_i(m, "ceil_mode", 0) != 0)
		pad_ceil(m, x, &w);
	*out_count = 1;
	for (int i = 0; i < w.n; i++)
		*out_count *= (double)kernel[i];
	a->kernel = ftl_imp_ints_copy(m, (uint32_t)w.n, kernel);
	a->strides = ftl_imp_ints_copy(m, (uint32_t)w.n, w.strides);
	a->dilations = ftl_imp_ints_copy(m, (uint32_t)w.n, w.dilations);
	a->pads = ftl_imp_dims_copy(m, 2 * (uint32_t)w.n, w.pads);
	a->ceil_mode = ftl_imp_i(m, "ceil_mode", 0) != 0 && !whole;
	a->include_pad = include_pad;
	return ftl_imp_op(m, FTL_OP_avg_pool, a, 1, &x);
}

ftl_val ftl_imp_average_pool(imp *m, ftl_val x, bool include_pad, bool whole)
{
	double count;

	return avg_pool(m, x, include_pad, whole, &count);
}

void ftl_imp_do_avg_pool(imp *m)
{
	ftl_imp_out(m, 0,
		    ftl_imp_average_pool(m, ftl_imp_need(m, 0), ftl_imp_i(m, "count_include_pad", 0) != 0, false));
}

static ftl_val lp(imp *m, ftl_val x, double p)
{
	x = op1(m, FTL_OP_abs, x);
	return p == 1 ? x : op2(m, FTL_OP_pow, x, e_num(m, x, p));
}

static ftl_val lp_root(imp *m, ftl_val x, double p)
{
	return p == 1 ? x : op2(m, FTL_OP_pow, x, e_num(m, x, 1 / p));
}

/* (sum |x|^p)^(1/p): the average times the size of the window */
void ftl_imp_do_lp_pool(imp *m)
{
	double p = (double)ftl_imp_i(m, "p", 2), count = 1;
	ftl_val y;

	if (p < 1) {
		bad_model(m, "p must be at least 1");
		return;
	}
	y = avg_pool(m, lp(m, ftl_imp_need(m, 0), p), true, true, &count);
	ftl_imp_out(m, 0, lp_root(m, e_mulf(m, y, count), p));
}

static uint32_t spatial_axes(imp *m, ftl_val x, int64_t *axes)
{
	ftl_imp_want_rank(m, x, 2, FTL_MAX_RANK, "the input");
	for (int i = 2; i < rank_of(m, x); i++)
		axes[i - 2] = i;
	return m->failed ? 0 : (uint32_t)rank_of(m, x) - 2;
}

void ftl_imp_do_global_pool(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	int64_t axes[FTL_MAX_RANK];
	uint32_t n = spatial_axes(m, x, axes);

	ftl_imp_out(m, 0, ftl_imp_reduce(m, m->cur->row->op, x, n, axes, true));
}

void ftl_imp_do_global_lp_pool(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	double p = (double)ftl_imp_i(m, "p", 2);
	int64_t axes[FTL_MAX_RANK];
	uint32_t n = spatial_axes(m, x, axes);

	ftl_imp_out(m, 0, lp_root(m, ftl_imp_reduce(m, FTL_OP_reduce_sum, lp(m, x, p), n, axes, true), p));
}
