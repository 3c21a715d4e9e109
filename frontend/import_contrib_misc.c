/* com.microsoft: ops that are a few ordinary ones: biased and gated activations, group norms, layouts, indices. And what
 * is refused, with the reason. */
#include <math.h>

#include "attention.h"

/* ---- biases, gates, activations ---- */

void ftl_imp_do_ms_bias_add(imp *m)
{
	ftl_imp_out(m, 0, e_add(m, e_add(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1)), ftl_imp_need(m, 2)));
}

static ftl_dim half_of(imp *m, ftl_val x)
{
	return ftl_dim_div(m->st, ftl_imp_dim(m, x, -1), dim_c(m, 2));
}

/* the left half of x + bias times the gelu of the right one */
void ftl_imp_do_ms_bias_split_gelu(imp *m)
{
	ftl_val x = e_add(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1)), left, right;
	ftl_dim h = half_of(m, x);
	int last = rank_of(m, x) - 1;

	left = ftl_imp_slice(m, x, last, dim_c(m, 0), h);
	right = ftl_imp_slice(m, x, last, h, h);
	ftl_imp_out(m, 0, e_mul(m, left, ftl_imp_gelu(m, right, "none")));
}

/* Inference: dropout passes everything. */
void ftl_imp_do_ms_bias_dropout(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), residual = ftl_imp_in(m, 2), training = ftl_imp_in(m, 4), y;
	double on = 0;

	if (training && (!ftl_imp_known_f(m, training, &on) || on != 0)) {
		unsupported(m, "training mode is not supported, set it to false");
		return;
	}
	y = e_add(m, x, ftl_imp_need(m, 1));
	ftl_imp_out(m, 0, residual ? e_add(m, y, residual) : y);
	if (ftl_imp_wants(m, 1) && !m->failed)
		ftl_imp_out(m, 1,
			    ftl_imp_expand(m, ftl_imp_scalar(m, FTL_BOOL, 1), rank_of(m, x), ftl_imp_type(m, x)->dims));
}

static ftl_val silu_of(imp *m, ftl_val x, double alpha)
{
	struct ftl_attrs_silu *a = NEW_ATTRS(m, silu);

	a->alpha = alpha;
	return ftl_imp_op(m, FTL_OP_silu, a, 1, &x);
}

void ftl_imp_do_ms_scaled_silu(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), scale = ftl_imp_in(m, 1);

	x = scale ? e_mul(m, x, ftl_imp_cast(m, ftl_imp_reshape(m, scale, 0, NULL), dtype_of(m, x)))
		  : e_mulf(m, x, ftl_imp_f(m, "alpha", 1));
	ftl_imp_out(m, 0, silu_of(m, x, 1));
}

/* g * sigmoid(alpha g) * (l + beta) of clamped halves; limit <= 0: no clamp */
ftl_val ftl_imp_swiglu(imp *m, ftl_val g, ftl_val l, double alpha, double beta, double limit)
{
	if (limit > 0) {
		ftl_val hi = e_num(m, g, limit);
		g = op2(m, FTL_OP_min, g, hi);
		l = ftl_imp_op(m, FTL_OP_clip, NULL, 3, (const ftl_val[]){l, e_num(m, l, -limit), hi});
	}
	g = silu_of(m, g, alpha);
	return e_mul(m, g, beta != 0 ? e_addf(m, l, beta) : l);
}

void ftl_imp_do_ms_swiglu(imp *m)
{
	ftl_val g = ftl_imp_need(m, 0), l = ftl_imp_in(m, 1), y;
	ftl_dtype t = dtype_of(m, g);
	ftl_dim h = half_of(m, g);
	int last = rank_of(m, g) - 1;

	if (!l) {
		l = ftl_imp_slice(m, g, last, h, h);
		g = ftl_imp_slice(m, g, last, dim_c(m, 0), h);
	}
	y = ftl_imp_swiglu(m, ftl_imp_cast(m, g, FTL_F32), ftl_imp_cast(m, l, FTL_F32),
			   ftl_imp_f(m, "activation_alpha", 1), ftl_imp_f(m, "activation_beta", 0),
			   ftl_imp_f(m, "limit", 0));
	ftl_imp_out(m, 0, ftl_imp_cast(m, y, t));
}

void ftl_imp_do_ms_gated_add(imp *m)
{
	ftl_val gate = ftl_imp_need(m, 2), w = ftl_imp_in(m, 3);

	if (w)
		gate = op1(m, FTL_OP_sigmoid, ftl_imp_matmul(m, gate, w, false, false, 1));
	ftl_imp_out(m, 0, e_add(m, ftl_imp_need(m, 0), e_mul(m, ftl_imp_need(m, 1), gate)));
}

/* RMS norm over each `scale`'s worth of the last axis, times the activated gate, in f32 */
void ftl_imp_do_ms_gated_rms_norm(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), scale = ftl_imp_need(m, 1), gate = ftl_imp_need(m, 2), y;
	const char *act = ftl_imp_s(m, "activation", "silu");
	int r = rank_of(m, x);
	ftl_dim d[FTL_MAX_RANK + 1], c = ftl_imp_dim(m, scale, 0);

	if (!m->failed && strcmp(act, "silu") && strcmp(act, "swish") && strcmp(act, "sigmoid"))
		bad_model(m, "activation \"%s\" does not exist", act);
	if (m->failed || r < 1)
		return;
	for (int i = 0; i < r; i++)
		d[i] = ftl_imp_dim(m, x, i);
	d[r] = c;
	d[r - 1] = ftl_dim_div(m->st, d[r - 1], c);
	y = ftl_imp_reshape(m, ftl_imp_cast(m, x, FTL_F32), r + 1, d);
	y = ftl_imp_norm(m, FTL_OP_rms_norm, y, ftl_imp_cast(m, scale, FTL_F32), 0, r, ftl_imp_f(m, "epsilon", 1e-5f));
	if (m->failed)
		return;
	y = ftl_imp_reshape(m, y, r, ftl_imp_type(m, x)->dims);
	gate = ftl_imp_cast(m, gate, FTL_F32);
	gate = !strcmp(act, "sigmoid") ? op1(m, FTL_OP_sigmoid, gate) : silu_of(m, gate, 1);
	ftl_imp_out(m, 0, ftl_imp_cast(m, e_mul(m, y, gate), dtype_of(m, x)));
}

void ftl_imp_do_ms_gemm_fast_gelu(imp *m)
{
	ftl_val y = ftl_imp_matmul(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1), false, false, 1), bias = ftl_imp_in(m, 2);

	ftl_imp_out(m, 0, ftl_imp_gelu(m, bias ? e_add(m, y, bias) : y, "tanh"));
}

void ftl_imp_do_ms_is_all_finite(imp *m)
{
	bool nan = ftl_imp_i(m, "isinf_only", 0) == 0, inf = ftl_imp_i(m, "isnan_only", 0) == 0;
	ftl_val all = 0;

	for (uint32_t k = 0; k < m->cur->nin && !m->failed; k++) {
		ftl_val x = ftl_imp_cast(m, ftl_imp_need(m, k), FTL_F32), bad = 0, is;
		int64_t axes[FTL_MAX_RANK];
		int r = rank_of(m, x);
		if (nan)
			bad = op1(m, FTL_OP_is_nan, x);
		if (inf) {
			is = op1(m, FTL_OP_is_inf, x);
			bad = bad ? op2(m, FTL_OP_or, bad, is) : is;
		}
		for (int i = 0; i < r; i++)
			axes[i] = i;
		bad = ftl_imp_cast(m, bad ? bad : ftl_imp_scalar(m, FTL_BOOL, 0), FTL_I32);
		if (rank_of(m, bad) == r)
			bad = ftl_imp_reduce(m, FTL_OP_reduce_max, bad, (uint32_t)r, axes, false);
		all = all ? op2(m, FTL_OP_max, all, bad) : bad;
	}
	ftl_imp_out(m, 0, op2(m, FTL_OP_eq, all, ftl_imp_scalar(m, FTL_I32, 0)));
}

/* ---- layouts ---- */

/* channels from last to second (or back) */
ftl_val ftl_imp_channels(imp *m, ftl_val x, bool to_second)
{
	int r = rank_of(m, x), perm[FTL_MAX_RANK];

	for (int i = 0; i < r; i++)
		perm[i] = i == 0 ? 0 : to_second ? (i == 1 ? r - 1 : i - 1) : (i == r - 1 ? 1 : i + 1);
	return r < 3 ? x : ftl_imp_transpose(m, x, perm);
}

void ftl_imp_do_ms_nhwc_conv(imp *m)
{
	ftl_val y = ftl_imp_conv(m, ftl_imp_channels(m, ftl_imp_need(m, 0), true), ftl_imp_need(m, 1),
				 ftl_imp_in(m, 2));
	ftl_floats p = ftl_imp_floats(m, "activation_params");

	if (ftl_imp_in(m, 3))
		y = e_add(m, y, ftl_imp_channels(m, ftl_imp_in(m, 3), true));
	y = ftl_imp_activation(m, y, ftl_imp_s(m, "activation", ""), p.n > 0 ? p.v[0] : 0, p.n > 1 ? p.v[1] : 0);
	ftl_imp_out(m, 0, ftl_imp_channels(m, y, false));
}

/* GroupNorm and SkipGroupNorm: channels last unless said otherwise, and SiLU behind it if wanted */
void ftl_imp_do_ms_group_norm(imp *m)
{
	bool skipped = !strcmp(m->cur->row->name, "SkipGroupNorm"), last = ftl_imp_i(m, "channels_last", 1) != 0;
	ftl_val x = ftl_imp_need(m, 0), y, scale = ftl_imp_need(m, 1), bias = ftl_imp_need(m, 2),
		skip = skipped ? ftl_imp_need(m, 3) : 0, add = skipped ? ftl_imp_in(m, 4) : 0;
	int64_t groups = ftl_imp_i(m, "groups", 0), act = ftl_imp_i(m, "activation", 0);
	int r = rank_of(m, x);
	ftl_dim d[FTL_MAX_RANK], three[3];
	ftl_dtype t = dtype_of(m, x);

	ftl_imp_want_rank(m, x, 3, FTL_MAX_RANK, "the input");
	if (!m->failed && (groups <= 0 || (act != 0 && act != 1)))
		bad_model(m, "groups or activation make no sense");
	if (m->failed)
		return;
	if (last)
		x = ftl_imp_channels(m, x, true);
	for (int i = 0; i < r; i++)
		d[i] = i == 1 ? ftl_imp_dim(m, x, 1) : dim_c(m, 1);
	if (skip) {
		if (rank_of(m, skip) == 2)
			for (int i = 2; i < r; i++)
				skip = ftl_imp_unsqueeze(m, skip, i);
		else if (last)
			skip = ftl_imp_channels(m, skip, true);
		x = e_add(m, x, skip);
		x = add ? e_add(m, x, ftl_imp_reshape(m, add, r, d)) : x;
		ftl_imp_out(m, 1, last ? ftl_imp_channels(m, x, false) : x);
	}
	three[0] = ftl_imp_dim(m, x, 0);
	three[1] = dim_c(m, groups);
	three[2] = ftl_dim_div(m->st, d[1], three[1]);
	for (int i = 2; i < r; i++)
		three[2] = ftl_dim_mul(m->st, three[2], ftl_imp_dim(m, x, i));
	y = ftl_imp_reshape(m, ftl_imp_cast(m, x, FTL_F32), 3, three);
	y = ftl_imp_norm(m, FTL_OP_layer_norm, y, 0, 0, 2, ftl_imp_f(m, "epsilon", 1e-5f));
	if (m->failed)
		return;
	y = ftl_imp_reshape(m, y, r, ftl_imp_type(m, x)->dims);
	y = e_mul(m, y, ftl_imp_cast(m, ftl_imp_reshape(m, scale, r, d), FTL_F32));
	y = e_add(m, y, ftl_imp_cast(m, ftl_imp_reshape(m, bias, r, d), FTL_F32));
	y = ftl_imp_cast(m, act ? silu_of(m, y, 1) : y, t);
	ftl_imp_out(m, 0, last ? ftl_imp_channels(m, y, false) : y);
}

/* ---- indices ---- */

/* all windows of `size`, `step` apart, of one axis, as a new last axis */
void ftl_imp_do_ms_unfold(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), at, y;
	int r = rank_of(m, x), axis = ftl_imp_axis(m, ftl_imp_i(m, "dim", -1), r), perm[FTL_MAX_RANK + 1];
	int64_t size = ftl_imp_i(m, "size", 0), step = ftl_imp_i(m, "step", 1);
	ftl_dim n, col[2];

	if (!m->failed && (size <= 0 || step <= 0 || r >= FTL_MAX_RANK))
		bad_model(m, "size %lld and step %lld make no sense", (long long)size, (long long)step);
	if (m->failed)
		return;
	n = ftl_dim_sub(m->st, ftl_imp_dim(m, x, axis), dim_c(m, size));
	n = ftl_dim_add(m->st, ftl_dim_div(m->st, n, dim_c(m, step)), dim_c(m, 1));
	col[0] = n;
	col[1] = dim_c(m, 1);
	at = ftl_imp_reshape(m, ftl_imp_range(m, n, FTL_I64), 2, col);
	at = e_add(m, e_mulf(m, at, (double)step), ftl_imp_range(m, dim_c(m, size), FTL_I64));
	y = ftl_imp_gather(m, x, at, axis);
	for (int i = 0; i <= r; i++)
		perm[i] = i <= axis ? i : i == r ? axis + 1 : i + 1;
	ftl_imp_out(m, 0, ftl_imp_transpose(m, y, perm));
}

void ftl_imp_do_ms_torch_embedding(imp *m)
{
	ftl_imp_out(m, 0, ftl_imp_gather(m, ftl_imp_need(m, 0), ftl_imp_need(m, 1), 0));
}

void ftl_imp_do_ms_expand_dims(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0);
	int64_t axis;
	uint32_t n;

	if (!ftl_imp_known_i64s(m, ftl_imp_need(m, 1), &axis, 1, &n) || n != 1) {
		unsupported(m, "the axis must be known at import; make it constant");
		return;
	}
	ftl_imp_out(m, 0, ftl_imp_unsqueeze(m, x, ftl_imp_axis(m, axis, rank_of(m, x) + 1)));
}

void ftl_imp_do_ms_range(imp *m)
{
	ftl_val in[3] = {ftl_imp_need(m, 0), ftl_imp_need(m, 1), ftl_imp_in(m, 2)};

	if (!in[2])
		in[2] = e_num(m, in[0], 1);
	for (int k = 0; k < 3; k++)
		if (rank_of(m, in[k]) > 0)
			in[k] = ftl_imp_reshape(m, in[k], 0, NULL);
	ftl_imp_out(m, 0, ftl_imp_op(m, FTL_OP_range, NULL, 3, in));
}

/* com.microsoft's only version is ai.onnx's of opset 13. */
void ftl_imp_do_ms_pad(imp *m)
{
	int64_t opset = m->cur->opset;

	m->cur->opset = 13;
	ftl_imp_do_pad(m);
	m->cur->opset = opset;
}

/* In order of appearance: the values, where each element is among them, how often each occurs. */
void ftl_imp_do_ms_unique(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), out[4];
	struct ftl_attrs_unique *a = NEW_ATTRS(m, unique);

	a->sorted = false;
	ftl_imp_ops(m, FTL_OP_unique, a, 1, &x, 4, out);
	ftl_imp_out(m, 0, out[0]);
	ftl_imp_out(m, 1, out[2]);
	ftl_imp_out(m, 2, out[3]);
}

/* ---- refused, with the reason ---- */

void ftl_imp_do_ms_refused(imp *m)
{
	const imp_row *row = m->cur->row;
	const char *name = row->name;

	if (!strcmp(row->domain, "com.microsoft.nchwc"))
		unsupported(
			m, "belongs to ONNX Runtime's inner layout, which an optimized model was saved with; export it "
			   "with optimization level \"extended\" or lower");
	else if (!strncmp(name, "QOrdered", 8) || strstr(name, "WithOrder"))
		unsupported(
			m, "has weights in the tile order of NVIDIA tensor cores; export the model with QuantizeLinear "
			   "and DequantizeLinear");
	else if (strstr(name, "Grad"))
		unsupported(m, "is for training; export the model for inference");
	else if (!strcmp(name, "Tokenizer"))
		unsupported(m, "splits strings by a locale's rules; tokenize outside the model");
	else if (strstr(name, "Paged"))
		unsupported(m, "belongs to a server's paged cache; export the model with GroupQueryAttention");
	else if (!strcmp(name, "Sampling"))
		unsupported(m,
			    "draws tokens from a generator of its own; export the decoder alone and sample outside the "
			    "model, or use GreedySearch");
	else if (!strcmp(name, "WhisperBeamSearch"))
		unsupported(m, "is not supported; export Whisper's encoder and decoder as models of their own");
	else if (!strcmp(name, "DecoderMaskedSelfAttention"))
		unsupported(m, "has a cache in a GPU's order; export the model with Attention");
	else if (!strcmp(name, "EPContext"))
		unsupported(m, "holds a model compiled for other hardware; use the model it was made from");
	else
		unsupported(m, "is not supported; export the model with standard operators");
}

/* Scores of tokens that would repeat the last n - 1 tokens' continuation become -inf. */
void ftl_imp_do_ms_ngram_repeat_block(imp *m)
{
	ftl_val ids = ftl_imp_need(m, 0), x = ftl_imp_need(m, 1), hit = 0, is, next;
	int64_t n = ftl_imp_i(m, "ngram_size", 0);
	struct ftl_attrs_scatter_elements *a = NEW_ATTRS(m, scatter_elements);
	ftl_dim s, from, windows, two[2];

	ftl_imp_want_rank(m, ids, 2, 2, "the tokens");
	ftl_imp_want_rank(m, x, 2, 2, "the scores");
	if (!m->failed && (n < 1 || n > 1024))
		bad_model(m, "ngram_size %lld makes no sense", (long long)n);
	if (m->failed)
		return;
	s = ftl_imp_dim(m, ids, 1);
	from = ftl_dim_max(m->st, ftl_dim_sub(m->st, s, dim_c(m, n - 1)), dim_c(m, 0)); /* of the last n - 1 */
	windows = from;
	two[0] = ftl_imp_dim(m, ids, 0);
	two[1] = windows;
	for (int64_t t = 0; t + 1 < n && !m->failed; t++) {
		ftl_val at = ftl_imp_gather(m, ids, e_addf(m, ftl_imp_range(m, windows, FTL_I64), (double)t), 1),
			last = e_addf(m, ftl_imp_dim_scalar(m, from, FTL_I64), (double)t);
		last = op2(m, FTL_OP_min, last, ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, s, dim_c(m, 1)), FTL_I64));
		is = op2(m, FTL_OP_eq, at, ftl_imp_unsqueeze(m, ftl_imp_gather(m, ids, last, 1), 1));
		hit = hit ? op2(m, FTL_OP_and, hit, is) : is;
	}
	if (!hit)
		hit = ftl_imp_expand(m, ftl_imp_scalar(m, FTL_BOOL, 1), 2, two);
	next = ftl_imp_gather(m, ids, e_addf(m, ftl_imp_range(m, windows, FTL_I64), (double)(n - 1)), 1);
	a->axis = 1;
	a->reduction = "max";
	if (m->failed)
		return;
	is = ftl_imp_expand(m, ftl_imp_scalar(m, FTL_I32, 0), 2, ftl_imp_type(m, x)->dims);
	is = ftl_imp_op(m, FTL_OP_scatter_elements, a, 3, (const ftl_val[]){is, next, ftl_imp_cast(m, hit, FTL_I32)});
	ftl_imp_out(m, 0, e_where(m, op2(m, FTL_OP_gt, is, e_num(m, is, 0)), e_num(m, x, -INFINITY), x));
}

/* ---- org.pytorch.aten::ATen: what exporters fell back to for operators that ONNX has under another name ---- */

void ftl_imp_do_aten(imp *m)
{
	static const struct {
		const char *name;
		ftl_op op;
	} map[] = {
		{"relu", FTL_OP_relu},  {"sigmoid", FTL_OP_sigmoid}, {"tanh", FTL_OP_tanh}, {"erf", FTL_OP_erf},
		{"silu", FTL_OP_silu},  {"mish", FTL_OP_mish},       {"abs", FTL_OP_abs},   {"neg", FTL_OP_neg},
		{"exp", FTL_OP_exp},    {"log", FTL_OP_log},         {"sqrt", FTL_OP_sqrt}, {"add", FTL_OP_add},
		{"sub", FTL_OP_sub},    {"mul", FTL_OP_mul},         {"div", FTL_OP_div},   {"matmul", FTL_OP_matmul},
		{"bmm", FTL_OP_matmul}, {"mm", FTL_OP_matmul},       {"eq", FTL_OP_eq},     {"where", FTL_OP_where}};
	const char *name = ftl_imp_s(m, "operator", ""), *overload = ftl_imp_s(m, "overload_name", "");
	uint32_t n = 0;
	ftl_val in[3];

	while (n < 3 && ftl_imp_in(m, n)) {
		in[n] = ftl_imp_in(m, n);
		n++;
	}
	if (!strcmp(name, "embedding") && n >= 2) {
		ftl_imp_out(m, 0, ftl_imp_gather(m, in[0], in[1], 0));
		return;
	}
	if (!strcmp(name, "gelu") && n >= 1) {
		ftl_imp_out(m, 0, ftl_imp_gelu(m, in[0], ftl_imp_s(m, "approximate", "none")));
		return;
	}
	for (size_t i = 0; i < FTL_COUNT(map); i++) {
		uint32_t want = (uint32_t)ftl_op_get(map[i].op)->min_in;
		/* add and sub have a third operand, the factor alpha */
		if (strcmp(name, map[i].name) || n < want || (want == 2 && n > 2))
			continue;
		ftl_imp_out(m, 0, ftl_imp_op(m, map[i].op, NULL, want, in));
		return;
	}
	unsupported(m, "PyTorch's operator \"%s%s%s\" is not supported; export the model without ATen fallback", name,
		    *overload ? "." : "", overload);
}
