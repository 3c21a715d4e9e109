/* Rotary embeddings and the writing of caches (TensorScatter). */
#include "attention.h"

/* ---- rotary ---- */

/* The first `rotary` elements of the last axis turned by the angles; cos and sin broadcast against half of them. */
ftl_val ftl_imp_rope(imp *m, ftl_val x, ftl_val cos, ftl_val sin, int rotary, bool interleaved)
{
	int r = rank_of(m, x), last = r - 1;
	ftl_dim size = ftl_imp_dim(m, x, -1), rot = dim_c(m, rotary), half = dim_c(m, rotary / 2), zero = dim_c(m, 0);
	ftl_val rest = 0, a, b, real, imag, y;
	ftl_dim d[FTL_MAX_RANK + 1];

	if (m->failed)
		return 0;
	if (size != rot) {
		rest = ftl_imp_slice(m, x, last, rot, ftl_dim_sub(m->st, size, rot));
		x = ftl_imp_slice(m, x, last, zero, rot);
	}
	if (interleaved) {
		for (int i = 0; i < last; i++)
			d[i] = ftl_imp_dim(m, x, i);
		d[last] = half;
		d[r] = dim_c(m, 2);
		y = ftl_imp_reshape(m, x, r + 1, d);
		a = ftl_imp_squeeze(m, ftl_imp_slice(m, y, r, zero, dim_c(m, 1)), r);
		b = ftl_imp_squeeze(m, ftl_imp_slice(m, y, r, dim_c(m, 1), dim_c(m, 1)), r);
	} else {
		a = ftl_imp_slice(m, x, last, zero, half);
		b = ftl_imp_slice(m, x, last, half, half);
	}
	real = e_sub(m, e_mul(m, a, cos), e_mul(m, b, sin));
	imag = e_add(m, e_mul(m, a, sin), e_mul(m, b, cos));
	if (interleaved) {
		real = ftl_imp_unsqueeze(m, real, r);
		imag = ftl_imp_unsqueeze(m, imag, r);
		y = ftl_imp_concat(m, r, 2, (const ftl_val[]){real, imag});
		y = m->failed ? 0 : ftl_imp_reshape(m, y, r, ftl_imp_type(m, x)->dims);
	} else {
		y = ftl_imp_concat(m, last, 2, (const ftl_val[]){real, imag});
	}
	return rest ? ftl_imp_concat(m, last, 2, (const ftl_val[]){y, rest}) : y;
}

ftl_val ftl_imp_rotate(imp *m, ftl_val x, ftl_val cos, ftl_val sin, ftl_val positions, int64_t rotary, bool interleaved)
{
	if (positions) {
		cos = ftl_imp_gather(m, cos, positions, 0);
		sin = ftl_imp_gather(m, sin, positions, 0);
	}
	if (rotary == 0)
		rotary = 2 * ftl_imp_const_dim(m, cos, -1, "the cache's size");
	if (!m->failed && (rotary <= 0 || rotary % 2 || rotary > 1 << 20)) {
		bad_model(m, "a rotary size of %lld makes no sense", (long long)rotary);
		return 0;
	}
	/* [b, s, r/2] against [b, h, s, r/2] */
	return ftl_imp_rope(m, x, ftl_imp_unsqueeze(m, cos, 1), ftl_imp_unsqueeze(m, sin, 1), (int)rotary, interleaved);
}

void ftl_imp_do_rotary(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	bool flat = rank_of(m, x) == 3;
	int64_t rotary = ftl_imp_i(m, "rotary_embedding_dim", 0);

	ftl_imp_want_rank(m, x, 3, 4, "the input");
	if (flat)
		x = ftl_imp_split_heads(m, x, ftl_imp_i(m, "num_heads", 0));
	if (rotary == 0)
		rotary = ftl_imp_const_dim(m, x, 3, "the head size");
	x = ftl_imp_rotate(m, x, ftl_imp_need(m, 1), ftl_imp_need(m, 2), ftl_imp_in(m, 3), rotary,
			   ftl_imp_i(m, "interleaved", 0) != 0);
	ftl_imp_out(m, 0, flat ? ftl_imp_merge_heads(m, x) : x);
}

/* ---- TensorScatter ---- */

/* Row w[b] + i (mod the size when circular) of the sequence axis takes update i: out[b, j] = update[b, j - w[b]] where
 * that is a row of the update. */
void ftl_imp_do_tensor_scatter(imp *m)
{
	ftl_val cache = ftl_imp_need(m, 0), update = ftl_imp_need(m, 1), w = ftl_imp_in(m, 2), at, in, got, idx;
	int r = rank_of(m, cache), axis = ftl_imp_axis(m, ftl_imp_i(m, "axis", -2), r), perm[FTL_MAX_RANK],
	    back[FTL_MAX_RANK];
	bool circular = !strcmp(ftl_imp_s(m, "mode", "linear"), "circular");
	ftl_dim n = ftl_imp_dim(m, cache, axis), k = ftl_imp_dim(m, update, axis), d[FTL_MAX_RANK], two[2];
	struct ftl_attrs_gather_nd *g = NEW_ATTRS(m, gather_nd);

	if (!m->failed && axis == 0)
		bad_model(m, "the axis must not be the batch");
	if (m->failed)
		return;
	two[0] = ftl_imp_dim(m, cache, 0);
	two[1] = dim_c(m, 1);
	at = ftl_imp_unsqueeze(m, ftl_imp_range(m, n, FTL_I64), 0);
	if (w) {
		at = e_sub(m, at, ftl_imp_reshape(m, ftl_imp_cast(m, w, FTL_I64), 2, two));
		if (circular)
			at = op2(m, FTL_OP_mod, at, ftl_imp_dim_scalar(m, n, FTL_I64));
	}
	in = op2(m, FTL_OP_and, op2(m, FTL_OP_ge, at, e_num(m, at, 0)),
		 op2(m, FTL_OP_lt, at, ftl_imp_dim_scalar(m, k, FTL_I64)));
	two[1] = n;
	idx = ftl_imp_op(m, FTL_OP_clip, NULL, 3,
			 (const ftl_val[]){at, e_num(m, at, 0),
					   ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, k, dim_c(m, 1)), FTL_I64)});
	idx = ftl_imp_unsqueeze(m, ftl_imp_expand(m, idx, 2, two), 2);
	/* the sequence axis next to the batch, gathered there, and back */
	perm[0] = 0;
	perm[1] = axis;
	for (int i = 1, j = 2; i < r; i++)
		if (i != axis)
			perm[j++] = i;
	for (int i = 0; i < r; i++)
		back[perm[i]] = i;
	g->batch_dims = 1;
	got = ftl_imp_op(m, FTL_OP_gather_nd, g, 2, (const ftl_val[]){ftl_imp_transpose(m, update, perm), idx});
	got = ftl_imp_transpose(m, got, back);
	if (m->failed)
		return;
	for (int i = 0; i < r; i++)
		d[i] = i == axis ? n : i == 0 && w ? two[0] : dim_c(m, 1);
	ftl_imp_out(m, 0, e_where(m, ftl_imp_reshape(m, in, r, d), got, cache));
}
