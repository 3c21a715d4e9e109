/* Attention and rotary embeddings of ai.onnx (opset 23 on), written out in the shape passes look for:
 * softmax(scale * q k^T + bias) v over [batch, heads, length, size]. */
#include <math.h>

#include "attention.h"

ftl_val ftl_imp_split_heads(imp *m, ftl_val x, int64_t heads)
{
	static const int perm[] = {0, 2, 1, 3};
	ftl_dim d[4];

	ftl_imp_want_rank(m, x, 3, 3, "an input with heads to split");
	if (!m->failed && heads <= 0)
		bad_model(m, "%lld heads make no sense", (long long)heads);
	if (m->failed)
		return 0;
	d[0] = ftl_imp_dim(m, x, 0);
	d[1] = ftl_imp_dim(m, x, 1);
	d[2] = dim_c(m, heads);
	d[3] = ftl_dim_div(m->st, ftl_imp_dim(m, x, 2), d[2]);
	return ftl_imp_transpose(m, ftl_imp_reshape(m, x, 4, d), perm);
}

ftl_val ftl_imp_merge_heads(imp *m, ftl_val x)
{
	static const int perm[] = {0, 2, 1, 3};
	ftl_dim d[3];

	x = ftl_imp_transpose(m, x, perm);
	if (m->failed)
		return 0;
	d[0] = ftl_imp_dim(m, x, 0);
	d[1] = ftl_imp_dim(m, x, 1);
	d[2] = ftl_dim_mul(m->st, ftl_imp_dim(m, x, 2), ftl_imp_dim(m, x, 3));
	return ftl_imp_reshape(m, x, 3, d);
}

/* [b, h, s, d] -> [b, h * times, s, d], every head `times` times in a row */
static ftl_val repeat_heads(imp *m, ftl_val x, int64_t times)
{
	ftl_dim five[5], four[4];

	if (times == 1 || m->failed)
		return x;
	for (int i = 0; i < 4; i++)
		four[i] = five[i < 2 ? i : i + 1] = ftl_imp_dim(m, x, i);
	five[2] = dim_c(m, times);
	four[1] = ftl_dim_mul(m->st, four[1], five[2]);
	x = ftl_imp_expand(m, ftl_imp_unsqueeze(m, x, 2), 5, five);
	return ftl_imp_reshape(m, x, 4, four);
}

static int64_t group_size(imp *m, ftl_val q, ftl_val k)
{
	int64_t hq = ftl_imp_const_dim(m, q, 1, "the number of heads"),
		hk = ftl_imp_const_dim(m, k, 1, "the number of heads");

	if (!m->failed && (hk <= 0 || hq % hk))
		bad_model(m, "%lld query heads are not a multiple of %lld key heads", (long long)hq, (long long)hk);
	return m->failed ? 1 : hq / hk;
}

ftl_val ftl_imp_attend(imp *m, imp_attention *a)
{
	ftl_dtype t = dtype_of(m, a->q);
	ftl_val y, s, top;
	int64_t last = 3;
	double scale = a->scale;

	if (m->failed)
		return 0;
	if (scale == 0)
		scale = 1 / sqrt((double)ftl_imp_const_dim(m, a->q, 3, "the head size"));
	a->k = repeat_heads(m, a->k, group_size(m, a->q, a->k));
	a->v = repeat_heads(m, a->v, group_size(m, a->q, a->v));
	s = a->scores = ftl_imp_matmul(m, a->q, a->k, false, true, scale);
	if (a->softcap > 0)
		s = e_mulf(m, op1(m, FTL_OP_tanh, e_mulf(m, s, 1 / a->softcap)), a->softcap);
	a->capped = s;
	if (a->bias)
		s = e_add(m, s, a->bias);
	a->biased = s;
	if (a->softmax != FTL_NO_DTYPE)
		s = ftl_imp_cast(m, s, a->softmax);
	s = ftl_imp_cast(m, ftl_imp_softmax(m, s, 3), t);
	a->weights = s;
	y = ftl_imp_matmul(m, s, a->v, false, false, 1);
	if (a->bias && a->zero_masked && !m->failed) {
		/* the bias's own rows tell: what softmax made of such a row may be anything */
		int r = rank_of(m, a->bias);
		last = r - 1;
		top = ftl_imp_reduce(m, FTL_OP_reduce_max, a->bias, 1, &last, true);
		top = op2(m, FTL_OP_eq, top, e_num(m, top, -INFINITY));
		y = e_where(m, top, e_num(m, y, 0), y);
		a->weights = e_where(m, top, e_num(m, s, 0), s);
	}
	return y;
}

ftl_val ftl_imp_causal(imp *m, ftl_dim q, ftl_dim kv, ftl_dim past)
{
	ftl_dim col[2] = {q, dim_c(m, 1)};
	ftl_val i = ftl_imp_range(m, q, FTL_I64), j = ftl_imp_range(m, kv, FTL_I64);
	int64_t c;

	if (!ftl_dim_is_const(m->st, past, &c) || c != 0)
		i = e_add(m, i, ftl_imp_dim_scalar(m, past, FTL_I64));
	return op2(m, FTL_OP_le, j, ftl_imp_reshape(m, i, 2, col));
}

/* 0 where true, -inf elsewhere */
static ftl_val additive(imp *m, ftl_val allowed, ftl_dtype t)
{
	return e_where(m, allowed, ftl_imp_scalar(m, t, 0), ftl_imp_scalar(m, t, -INFINITY));
}

static ftl_val sum(imp *m, ftl_val a, ftl_val b)
{
	return !a ? b : !b ? a : e_add(m, a, b);
}

/* The mask may have fewer keys than there are: the rest is masked. */
static ftl_val pad_mask(imp *m, ftl_val mask, ftl_dim kv)
{
	int r = rank_of(m, mask);
	ftl_dim have = ftl_imp_dim(m, mask, -1), pads[2] = {dim_c(m, 0), ftl_dim_sub(m->st, kv, have)};
	struct ftl_attrs_pad *a;
	int64_t one, last = r - 1;

	/* 1 broadcasts; sizes not known to differ are taken to be equal */
	if (m->failed || ftl_dim_known_lt(m->st, have, kv) != 1 || (ftl_dim_is_const(m->st, have, &one) && one == 1))
		return mask;
	a = NEW_ATTRS(m, pad);
	a->axes = ftl_imp_ints_copy(m, 1, &last);
	a->pads = ftl_imp_dims_copy(m, 2, pads);
	return ftl_imp_op(m, FTL_OP_pad, a, 2,
			  (const ftl_val[]){mask, ftl_imp_scalar(m, dtype_of(m, mask), -INFINITY)});
}

void ftl_imp_do_attention(imp *m)
{
	ftl_val q = ftl_imp_need(m, 0), k = ftl_imp_need(m, 1), v = ftl_imp_need(m, 2), mask = ftl_imp_in(m, 3),
		pk = ftl_imp_in(m, 4), pv = ftl_imp_in(m, 5), len = ftl_imp_in(m, 6), y;
	imp_attention a = {.scale = ftl_imp_f(m, "scale", 0), .softcap = ftl_imp_f(m, "softcap", 0)};
	int64_t mode = ftl_imp_i(m, "qk_matmul_output_mode", 0), left = ftl_imp_i(m, "left_window_size", -1),
		right = ftl_imp_i(m, "right_window_size", -1);
	bool flat = rank_of(m, q) == 3, causal = ftl_imp_i(m, "is_causal", 0) != 0;
	ftl_dim nq, nkv, past = dim_c(m, 0), row[4], col[2];
	ftl_dtype t = dtype_of(m, q);

	ftl_imp_want_rank(m, q, 3, 4, "Q");
	if (m->failed)
		return;
	if (!pk != !pv || (len && pk)) {
		bad_model(m, "needs both past_key and past_value, or neither, and no nonpad_kv_seqlen with them");
		return;
	}
	if (flat) {
		q = ftl_imp_split_heads(m, q, ftl_imp_i(m, "q_num_heads", 0));
		k = ftl_imp_split_heads(m, k, ftl_imp_i(m, "kv_num_heads", 0));
		v = ftl_imp_split_heads(m, v, ftl_imp_i(m, "kv_num_heads", 0));
	}
	if (pk) {
		past = ftl_imp_dim(m, pk, 2);
		k = ftl_imp_concat(m, 2, 2, (const ftl_val[]){pk, k});
		v = ftl_imp_concat(m, 2, 2, (const ftl_val[]){pv, v});
	}
	ftl_imp_out(m, 1, k);
	ftl_imp_out(m, 2, v);
	nq = ftl_imp_dim(m, q, 2);
	nkv = ftl_imp_dim(m, k, 2);
	if (m->failed)
		return;
	if (mask) {
		a.zero_masked = true;
		a.bias = pad_mask(m, dtype_of(m, mask) == FTL_BOOL ? additive(m, mask, t) : mask, nkv);
	}
	if (causal || left >= 0 || right >= 0) {
		/* distance of key j from the last key query i follows: j - (i + offset) */
		ftl_val i = ftl_imp_range(m, nq, FTL_I64), j = ftl_imp_range(m, nkv, FTL_I64), ok = 0, dist;
		col[0] = nq;
		col[1] = dim_c(m, 1);
		i = e_add(m, ftl_imp_reshape(m, i, 2, col), ftl_imp_dim_scalar(m, past, FTL_I64));
		if (len) { /* the offset of each batch: its length - queries */
			row[0] = ftl_imp_dim(m, len, 0);
			row[1] = row[2] = row[3] = dim_c(m, 1);
			a.zero_masked = true;
			i = e_add(m, i,
				  e_sub(m, ftl_imp_reshape(m, ftl_imp_cast(m, len, FTL_I64), 4, row),
					ftl_imp_dim_scalar(m, nq, FTL_I64)));
		}
		dist = e_sub(m, j, i);
		if (causal)
			ok = op2(m, FTL_OP_le, dist, e_num(m, dist, 0));
		if (left >= 0) {
			ftl_val near = op2(m, FTL_OP_ge, dist, e_num(m, dist, -(double)left));
			ok = ok ? op2(m, FTL_OP_and, ok, near) : near;
		}
		if (right >= 0) {
			ftl_val near = op2(m, FTL_OP_le, dist, e_num(m, dist, (double)right));
			ok = ok ? op2(m, FTL_OP_and, ok, near) : near;
		}
		a.bias = sum(m, a.bias, additive(m, ok, t));
	}
	if (len) { /* keys beyond a batch's length are padding */
		row[0] = ftl_imp_dim(m, len, 0);
		row[1] = row[2] = row[3] = dim_c(m, 1);
		ftl_val n = ftl_imp_reshape(m, ftl_imp_cast(m, len, FTL_I64), 4, row);
		a.zero_masked = true;
		a.bias = sum(m, a.bias, additive(m, op2(m, FTL_OP_lt, ftl_imp_range(m, nkv, FTL_I64), n), t));
	}
	a.q = q;
	a.k = k;
	a.v = v;
	a.softmax = ftl_imp_dtype(m, "softmax_precision", FTL_NO_DTYPE);
	y = ftl_imp_attend(m, &a);
	ftl_imp_out(m, 0, flat ? ftl_imp_merge_heads(m, y) : y);
	ftl_imp_out(m, 3, mode == 0 ? a.scores : mode == 1 ? a.capped : mode == 2 ? a.biased : a.weights);
}

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
