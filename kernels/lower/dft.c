/* dft: the discrete Fourier transform by its definition, one output bin after the other.
 *
 * X[f] = sum over t of x[t] * exp(-+ 2 pi i f t / n), inverse scaled by 1/n; the input is cut or zero-padded to n. The phase
 * is reduced exactly in integers (f * t mod n) before it becomes an angle, and sums are kept in doubles. */
#include "kernels/lower/driver.h"

ftl_status ftl_nest_dft(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const struct ftl_attrs_dft *a = FTL_ATTRS(n, dft);
	const ftl_type *xt = ftl_type_of(lo->g, n->in[0]), *ot = ftl_type_of(lo->g, n->out[0]);
	ftl_kern *k = ftl_kern_begin(lo, id, "dft");
	ftl_kb *b = ftl_kern_b(k);
	ftl_ktype f64 = FTL_KT(FTL_F64, 1);
	int r = ot->rank, axis = (int)(a->axis < 0 ? a->axis + r : a->axis);
	ftl_kv idx[FTL_MAX_RANK], xi[FTL_MAX_RANK], len, have, re, im, phase, c, s, x, y, w, mirrored;
	ftl_dim rows = ftl_dim_const(lo->g->st, 1);
	bool complex_in;
	int64_t two;
	ftl_kscope t;

	complex_in = ftl_dim_is_const(lo->g->st, xt->dims[r - 1], &two) && two == 2;
	for (int d = 0; d < r - 1; d++)
		rows = ftl_dim_mul(lo->g->st, rows, ot->dims[d]);
	ftl_delinear(k, ot->dims, r - 1, ftl_kern_grid(k), idx);
	/* transform length: the operand, else the input's extent; the inverse of a onesided spectrum mirrors it */
	if (n->nin > 1 && n->in[1])
		len = ftl_k_cast(b, ftl_read_flat(k, n->in[1], ftl_k_i64(b, 0), 1), FTL_I64);
	else
		len = a->onesided && a->inverse ? ftl_kern_dim(k, ot->dims[axis]) : ftl_kern_dim(k, xt->dims[axis]);
	have = ftl_k2(b, FTL_K_min, len, ftl_kern_dim(k, xt->dims[axis]));
	re = ftl_k_var(b, ftl_k_num(b, f64, 0));
	im = ftl_k_var(b, ftl_k_num(b, f64, 0));
	w = ftl_k2(b, FTL_K_div, ftl_k_num(b, f64, a->inverse ? 6.283185307179586476925 : -6.283185307179586476925),
		   ftl_k_cast(b, len, FTL_F64));
	t = ftl_k_for(b, ftl_k_i64(b, 0), have, 1);
	phase = ftl_k2(b, FTL_K_rem, ftl_k2(b, FTL_K_mul, idx[axis], t.index), len);
	phase = ftl_k2(b, FTL_K_mul, w, ftl_k_cast(b, phase, FTL_F64));
	c = ftl_k1(b, FTL_K_cos, phase);
	s = ftl_k1(b, FTL_K_sin, phase);
	memcpy(xi, idx, sizeof xi);
	xi[axis] = t.index;
	xi[r - 1] = ftl_k_i64(b, 0);
	x = ftl_k_cast(b, ftl_read(k, n->in[0], xi), FTL_F64);
	y = ftl_k_num(b, f64, 0);
	if (complex_in) {
		xi[r - 1] = ftl_k_i64(b, 1);
		y = ftl_k_cast(b, ftl_read(k, n->in[0], xi), FTL_F64);
	}
	mirrored = ftl_k_num(b, f64, 1);
	if (a->onesided && a->inverse) {
		/* bins 1 .. ceil(n/2)-1 stand for their conjugates too: twice the real part */
		ftl_kv inner = ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_lt, ftl_k_i64(b, 0), t.index),
				      ftl_k2(b, FTL_K_lt, ftl_k2(b, FTL_K_mul, t.index, ftl_k_i64(b, 2)), len));

		mirrored = ftl_k_select(b, inner, ftl_k_num(b, f64, 2), mirrored);
	}
	ftl_k_set(b, re,
		  ftl_k2(b, FTL_K_add, ftl_k_get(b, re),
			 ftl_k2(b, FTL_K_mul, mirrored,
				ftl_k2(b, FTL_K_sub, ftl_k2(b, FTL_K_mul, x, c), ftl_k2(b, FTL_K_mul, y, s)))));
	ftl_k_set(b, im,
		  ftl_k2(b, FTL_K_add, ftl_k_get(b, im),
			 ftl_k2(b, FTL_K_mul, mirrored,
				ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, x, s), ftl_k2(b, FTL_K_mul, y, c)))));
	ftl_k_end(b, &t);
	{
		ftl_kv scale = ftl_k_num(b, f64, 1);
		ftl_dtype to = ftl_dtype_compute(ot->dtype);
		int64_t parts;

		if (a->inverse)
			scale = ftl_k2(b, FTL_K_div, scale, ftl_k_cast(b, len, FTL_F64));
		idx[r - 1] = ftl_k_i64(b, 0);
		ftl_write(k, n->out[0], idx, ftl_k_cast(b, ftl_k2(b, FTL_K_mul, ftl_k_get(b, re), scale), to));
		if (!(ftl_dim_is_const(lo->g->st, ot->dims[r - 1], &parts) && parts == 1)) {
			idx[r - 1] = ftl_k_i64(b, 1);
			ftl_write(k, n->out[0], idx, ftl_k_cast(b, ftl_k2(b, FTL_K_mul, ftl_k_get(b, im), scale), to));
		}
	}
	ftl_kern_launch(k, ftl_lo_dim(lo, rows), 1 << 14);
	return FTL_OK;
}
