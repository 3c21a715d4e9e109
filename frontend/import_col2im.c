/* Col2Im: columns of blocks added up to an image. With sizes known at import it is a transposed convolution with weights
 * of 0 and 1; otherwise rows are scattered. */
#include "imp.h"

#define MAX_SPATIAL (FTL_MAX_RANK - 2)

/* Col2Im whose image or block only run time knows: every element of a column is added to its place in the image, and
 * those of the padding to one place behind it. */
static void col2im_runtime(imp *m, ftl_val x)
{
	ftl_ints dil = ftl_imp_ints(m, "dilations"), str = ftl_imp_ints(m, "strides"), pads = ftl_imp_ints(m, "pads");
	ftl_val image = ftl_imp_vector(m, ftl_imp_need(m, 1)), block = ftl_imp_vector(m, ftl_imp_need(m, 2)), shape,
		one, zero, size, length, many, behind, k, l, place = 0, inside = 0, part[4], in[3], y;
	int64_t n = ftl_imp_const_dim(m, image, 0, "the number of axes");
	struct ftl_attrs_scatter_nd *add = NEW_ATTRS(m, scatter_nd);
	struct ftl_attrs_fill *f = NEW_ATTRS(m, fill);
	static const int to_rows[] = {2, 3, 0, 1};

	if (!m->failed &&
	    (n < 1 || n > MAX_SPATIAL || (dil.n && dil.n != n) || (str.n && str.n != n) || (pads.n && pads.n != 2 * n)))
		bad_model(m, "image_shape, dilations, strides and pads do not fit each other");
	for (int64_t i = 0; i < n && !m->failed; i++)
		if ((str.n && str.v[i] <= 0) || (dil.n && dil.v[i] <= 0))
			bad_model(m, "strides or dilations are out of range");
	if (m->failed)
		return;
	f->dtype = dtype_of(m, x);
	shape = ftl_imp_shape(m, x);
	one = ftl_imp_filled(m, 1, 1);
	zero = ftl_imp_filled(m, 1, 0);
	size = ftl_imp_product(m, block);
	length = ftl_imp_product(m, image);
	part[0] = ftl_imp_slice(m, shape, 0, dim_c(m, 0), dim_c(m, 1));
	part[1] = e_div(m, ftl_imp_slice(m, shape, 0, dim_c(m, 1), dim_c(m, 1)), size);
	part[2] = size;
	part[3] = ftl_imp_slice(m, shape, 0, dim_c(m, 2), dim_c(m, 1));
	many = e_mul(m, part[0], part[1]);
	in[0] = ftl_imp_reshape(m, zero, 0, NULL);
	in[2] = ftl_imp_reshape(m, one, 0, NULL);
	in[1] = ftl_imp_reshape(m, size, 0, NULL);
	k = ftl_imp_unsqueeze(m, ftl_imp_op(m, FTL_OP_range, NULL, 3, in), 1); /* the block's elements, a column */
	in[1] = ftl_imp_reshape(m, part[3], 0, NULL);
	l = ftl_imp_op(m, FTL_OP_range, NULL, 3, in); /* the block's positions, a row */
	behind = one;
	for (int64_t i = n; i-- > 0;) {
		ftl_val h = ftl_imp_slice(m, image, 0, dim_c(m, i), dim_c(m, 1)),
			b = ftl_imp_slice(m, block, 0, dim_c(m, i), dim_c(m, 1)), room, at, ok;
		double step = str.n ? (double)str.v[i] : 1, apart = dil.n ? (double)dil.v[i] : 1,
		       before = pads.n ? (double)pads.v[i] : 0, after = pads.n ? (double)pads.v[i + n] : 0;

		room = e_sub(m, e_addf(m, h, before + after - 1), e_mulf(m, e_addf(m, b, -1), apart));
		room = e_addf(m, e_div(m, room, e_num(m, room, step)), 1); /* positions along this axis */
		at = e_add(m, e_mulf(m, op2(m, FTL_OP_mod, k, b), apart),
			   e_addf(m, e_mulf(m, op2(m, FTL_OP_mod, l, room), step), -before));
		ok = op2(m, FTL_OP_and, op2(m, FTL_OP_le, zero, at), op2(m, FTL_OP_lt, at, h));
		inside = inside ? op2(m, FTL_OP_and, inside, ok) : ok;
		at = e_mul(m, at, behind);
		place = place ? e_add(m, place, at) : at;
		behind = e_mul(m, behind, h);
		k = e_div(m, k, b);
		l = e_div(m, l, room);
	}
	place = e_where(m, inside, place, length);
	in[0] = ftl_imp_concat(m, 0, 2, (const ftl_val[]){e_add(m, length, one), many});
	in[0] = ftl_imp_op(m, FTL_OP_fill, f, 1, in);
	in[1] = ftl_imp_unsqueeze(m, ftl_imp_reshape_to(m, place, e_mul(m, part[2], part[3])), 1);
	in[2] = ftl_imp_transpose(m, ftl_imp_reshape_to(m, x, ftl_imp_concat(m, 0, 4, part)), to_rows);
	in[2] = ftl_imp_reshape_to(m, in[2],
				   ftl_imp_concat(m, 0, 2, (const ftl_val[]){e_mul(m, part[2], part[3]), many}));
	add->reduction = "add";
	y = ftl_imp_op(m, FTL_OP_scatter_nd, add, 3, in);
	y = ftl_imp_op(m, FTL_OP_slice, NULL, 3, (const ftl_val[]){y, zero, length});
	y = ftl_imp_transpose(m, y, (const int[]){1, 0});
	part[2] = image;
	ftl_imp_out(m, 0, ftl_imp_reshape_to(m, y, ftl_imp_concat(m, 0, 3, part)));
}

/* x [N, C * K, L], K positions of the block, L positions of the block in the image: channel group c spreads its K
 * inputs over the image through weights w[c * K + i] that are 1 at position i of the block. */
void ftl_imp_do_col2im(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), in[2];
	struct ftl_attrs_conv_transpose *a = NEW_ATTRS(m, conv_transpose);
	ftl_ints dil = ftl_imp_ints(m, "dilations"), str = ftl_imp_ints(m, "strides"), pads = ftl_imp_ints(m, "pads");
	int64_t image[MAX_SPATIAL], block[MAX_SPATIAL], ck, k = 1, wd[FTL_MAX_RANK];
	int64_t strides[MAX_SPATIAL], dilations[MAX_SPATIAL], extra[MAX_SPATIAL];
	ftl_dim d[FTL_MAX_RANK], p[2 * MAX_SPATIAL];
	uint32_t n, nb;

	ftl_imp_want_rank(m, x, 3, 3, "the input");
	if (m->failed)
		return;
	if (!ftl_imp_known_i64s(m, ftl_imp_need(m, 1), image, MAX_SPATIAL, &n) ||
	    !ftl_imp_known_i64s(m, ftl_imp_need(m, 2), block, MAX_SPATIAL, &nb) ||
	    !ftl_dim_is_const(m->st, ftl_imp_dim(m, x, 1), &ck)) {
		col2im_runtime(m, x);
		return;
	}
	if (n != nb || n == 0 || (dil.n && dil.n != n) || (str.n && str.n != n) || (pads.n && pads.n != 2 * n)) {
		bad_model(m, "image_shape, block_shape, dilations, strides and pads do not fit each other");
		return;
	}
	d[0] = ftl_imp_dim(m, x, 0);
	d[1] = dim_c(m, ck);
	wd[0] = ck;
	wd[1] = 1;
	for (uint32_t i = 0; i < n && !m->failed; i++) {
		int64_t reach, padding, pos;
		strides[i] = str.n ? str.v[i] : 1;
		dilations[i] = dil.n ? dil.v[i] : 1;
		p[i] = dim_c(m, pads.n ? pads.v[i] : 0);
		p[i + n] = dim_c(m, pads.n ? pads.v[i + n] : 0);
		padding = pads.n ? pads.v[i] + pads.v[i + n] : 0;
		if (block[i] <= 0 || block[i] > 4096 || strides[i] <= 0 || dilations[i] <= 0 || dilations[i] > 4096 ||
		    image[i] <= 0 || image[i] > 1 << 24 || padding < 0 || padding > 1 << 24 ||
		    k > (1 << 24) / block[i]) {
			bad_model(m, "image_shape, block_shape, dilations, strides or pads are out of range");
			return;
		}
		k *= block[i];
		reach = (block[i] - 1) * dilations[i] + 1;
		pos = (image[i] + padding - reach) / strides[i] + 1;
		extra[i] = image[i] + padding - reach - (pos - 1) * strides[i];
		if (pos <= 0) {
			bad_model(m, "the block is larger than the image");
			return;
		}
		d[2 + i] = dim_c(m, pos);
		wd[2 + i] = block[i];
	}
	if (m->failed)
		return;
	if (ck % k || ck > (1 << 20) || ck * k > 1 << 26) {
		bad_model(m, "%lld channels are not a multiple of the block's %lld elements", (long long)ck,
			  (long long)k);
		return;
	}
	float *w = ftl_arena_array(m->tmp, (size_t)(ck * k), sizeof *w);
	for (int64_t i = 0; i < ck; i++)
		w[i * k + i % k] = 1;
	in[0] = ftl_imp_reshape(m, x, (int)n + 2, d);
	in[1] = ftl_imp_cast(m, ftl_imp_bytes(m, FTL_F32, (int)n + 2, wd, w), dtype_of(m, x));
	a->strides = ftl_imp_ints_copy(m, n, strides);
	a->dilations = ftl_imp_ints_copy(m, n, dilations);
	a->pads = ftl_imp_dims_copy(m, 2 * n, p);
	a->output_padding = ftl_imp_ints_copy(m, n, extra);
	a->group = ck / k;
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_conv_transpose, a, 2, in));
}
