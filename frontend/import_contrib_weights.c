/* com.microsoft: weights of a few bits in blocks. Packed constants are unpacked here, computed ones by the run. */
#include "attention.h"

/* Fields of `bits` bits, low ones first, each row of bytes on its own. */
static uint8_t *unpack_bits(imp *m, const uint8_t *src, int64_t rows, int64_t row_bytes, int64_t per_row_n,
			    unsigned bits)
{
	uint8_t *out = ftl_arena_array(m->arena, (size_t)(rows * per_row_n) + 1, 1);

	for (int64_t r = 0; r < rows; r++) {
		for (int64_t i = 0; i < per_row_n; i++) {
			size_t bit = (size_t)i * bits, byte = bit / 8;
			unsigned v = src[(size_t)(r * row_bytes) + byte] >> (bit % 8);
			if (bit % 8 + bits > 8)
				v |= (unsigned)src[(size_t)(r * row_bytes) + byte + 1] << (8 - bit % 8);
			out[r * per_row_n + i] = (uint8_t)(v & ((1u << bits) - 1));
		}
	}
	return out;
}

static ftl_val bytes_const(imp *m, int64_t rows, int64_t cols, const uint8_t *data)
{
	ftl_blob b = {.data = data, .bytes = (size_t)(rows * cols)};

	if (m->failed)
		return 0;
	return ftl_build_const(&m->b, ftl_type_make_const(m->g, FTL_U8, 2, (const int64_t[]){rows, cols}),
			       ftl_arena_dup(m->arena, &b, sizeof b));
}

/* Fields of `bits` bits on the last axis, low ones first, as bytes: [..., n] -> [..., n * 8 / bits]. */
ftl_val ftl_imp_unpack_fields(imp *m, ftl_val x, int bits)
{
	int r = rank_of(m, x), per = 8 / bits;
	ftl_dim d[FTL_MAX_RANK];
	struct ftl_attrs_shift *a;
	ftl_val part[4], y;

	if (bits == 8 || m->failed)
		return x;
	for (int k = 0; k < per; k++) {
		y = x;
		if (k) {
			a = NEW_ATTRS(m, shift);
			a->left = false;
			y = ftl_imp_op(m, FTL_OP_shift, a, 2, (const ftl_val[]){x, e_num(m, x, k * bits)});
		}
		if (k + 1 < per)
			y = op2(m, FTL_OP_bit_and, y, e_num(m, x, (1 << bits) - 1));
		part[k] = ftl_imp_unsqueeze(m, y, r);
	}
	y = ftl_imp_concat(m, r, (uint32_t)per, part);
	for (int i = 0; i < r; i++)
		d[i] = ftl_imp_dim(m, x, i);
	d[r - 1] = ftl_dim_mul(m->st, d[r - 1], dim_c(m, per));
	return m->failed ? 0 : ftl_imp_reshape(m, y, r, d);
}

/* Rows (or what gather_axis selects) of a table quantized in blocks; only what is gathered is made real. Indices out of
 * range give zeros. */
void ftl_imp_do_ms_gather_block_quantized(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), at = ftl_imp_cast(m, ftl_imp_need(m, 1), FTL_I64), scale = ftl_imp_need(m, 2),
		zero = ftl_imp_in(m, 3), n, in, y;
	int r = rank_of(m, x), g = ftl_imp_axis(m, ftl_imp_i(m, "gather_axis", 0), r),
	    q = ftl_imp_axis(m, ftl_imp_i(m, "quantize_axis", 1), r), qr = rank_of(m, at);
	int64_t bits = ftl_imp_i(m, "bits", 4), block = ftl_imp_i(m, "block_size", 128);
	struct ftl_attrs_dequantize *a = NEW_ATTRS(m, dequantize);
	bool bytes = dtype_of(m, x) == FTL_U8, late = g == q;
	ftl_dim d[FTL_MAX_RANK], size;

	if (!m->failed && (block < 0 || block > 1 << 20 || (bytes && bits != 2 && bits != 4 && bits != 8) ||
			   r - 1 + qr > FTL_MAX_RANK || (bytes && bits < 8 && g == r - 1)))
		bad_model(m, "bits, block_size or the axes make no sense");
	if (m->failed)
		return;
	size = ftl_imp_dim(m, x, g);
	n = ftl_imp_dim_scalar(m, size, FTL_I64);
	in = op2(m, FTL_OP_and, op2(m, FTL_OP_lt, at, n), op2(m, FTL_OP_ge, at, op1(m, FTL_OP_neg, n)));
	at = e_where(m, in, at, e_num(m, at, 0));
	if (!late) { /* the quantized axis moves as the gathered one grows */
		x = ftl_imp_gather(m, x, at, g);
		scale = ftl_imp_gather(m, scale, at, g);
		zero = zero ? ftl_imp_gather(m, zero, at, g) : 0;
		q = q > g ? q + qr - 1 : q;
	}
	if (bytes) {
		x = ftl_imp_unpack_fields(m, x, (int)bits);
		if (zero) { /* rows of zero points are padded to whole bytes */
			zero = ftl_imp_unpack_fields(m, zero, (int)bits);
			zero = ftl_imp_slice(m, zero, rank_of(m, zero) - 1, dim_c(m, 0), ftl_imp_dim(m, scale, -1));
		} else if (!m->failed) {
			zero = ftl_imp_expand(m, ftl_imp_scalar(m, FTL_U8, (double)(1 << (bits - 1))),
					      rank_of(m, scale), ftl_imp_type(m, scale)->dims);
		}
	}
	a->axis = q;
	a->block = block;
	y = ftl_imp_op(m, FTL_OP_dequantize, a, zero ? 3 : 2, (const ftl_val[]){x, scale, zero});
	if (late)
		y = ftl_imp_gather(m, y, at, g);
	if (m->failed)
		return;
	for (int i = 0; i < rank_of(m, y); i++)
		d[i] = i >= g && i < g + qr ? ftl_imp_dim(m, at, i - g) : dim_c(m, 1);
	ftl_imp_out(m, 0, e_where(m, ftl_imp_reshape(m, in, rank_of(m, y), d), y, e_num(m, y, 0)));
}

/* 4-bit codes into a table of 16 levels, high half of each byte first, scaled by the largest value of their block. */
void ftl_imp_do_ms_matmul_bnb4(imp *m)
{
	static const float fp4[16] = {
		0.0f,  0.005208333333f,  0.66666667f,  1.0f,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
		-0.0f, -0.005208333333f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f};
	static const float nf4[16] = {-1.0f,
				      -0.6961928009986877f,
				      -0.5250730514526367f,
				      -0.39491748809814453f,
				      -0.28444138169288635f,
				      -0.18477343022823334f,
				      -0.09105003625154495f,
				      0.0f,
				      0.07958029955625534f,
				      0.16093020141124725f,
				      0.24611230194568634f,
				      0.33791524171829224f,
				      0.44070982933044434f,
				      0.5626170039176941f,
				      0.7229568362236023f,
				      1.0f};
	ftl_val a = ftl_imp_need(m, 0), b = ftl_imp_need(m, 1), scale = ftl_imp_need(m, 2), lo, hi, w, table;
	int64_t k = ftl_imp_i(m, "K", 0), n = ftl_imp_i(m, "N", 0), block = ftl_imp_i(m, "block_size", 0),
		type = ftl_imp_i(m, "quant_type", 0), dims = 16, blocks, bytes;
	bool tb = ftl_imp_i(m, "transB", 1) != 0;
	struct ftl_attrs_shift *at = NEW_ATTRS(m, shift);
	ftl_dim d[2], flat;

	if (!m->failed && (k <= 0 || n <= 0 || k > (int64_t)1 << 31 || n > ((int64_t)1 << 40) / k || block < 16 ||
			   block > 1 << 20 || (block & (block - 1)) || (type != 0 && type != 1)))
		bad_model(m, "K, N, block_size or quant_type make no sense");
	if (m->failed)
		return;
	blocks = (n * k + block - 1) / block;
	bytes = (n * k + 1) / 2;
	flat = dim_c(m, bytes);
	b = ftl_imp_reshape(m, b, 1, &flat);
	at->left = false;
	hi = ftl_imp_op(m, FTL_OP_shift, at, 2, (const ftl_val[]){b, e_num(m, b, 4)});
	lo = op2(m, FTL_OP_bit_and, b, e_num(m, b, 15));
	w = ftl_imp_concat(m, 1, 2, (const ftl_val[]){ftl_imp_unsqueeze(m, hi, 1), ftl_imp_unsqueeze(m, lo, 1)});
	table = ftl_imp_cast(m, ftl_imp_bytes(m, FTL_F32, 1, &dims, type ? nf4 : fp4), dtype_of(m, scale));
	w = ftl_imp_gather(m, table, ftl_imp_cast(m, w, FTL_I32), 0);
	flat = dim_c(m, bytes * 2);
	w = ftl_imp_reshape(m, w, 1, &flat);
	if (blocks * block != bytes * 2) { /* the last block is not full */
		struct ftl_attrs_pad *p = NEW_ATTRS(m, pad);
		int64_t zero = 0;
		ftl_dim pads[2] = {dim_c(m, 0), dim_c(m, blocks * block - bytes * 2)};
		p->axes = ftl_imp_ints_copy(m, 1, &zero);
		p->pads = ftl_imp_dims_copy(m, 2, pads);
		w = ftl_imp_op(m, FTL_OP_pad, p, 1, &w);
	}
	d[0] = dim_c(m, blocks);
	d[1] = dim_c(m, block);
	flat = d[0];
	w = e_mul(m, ftl_imp_reshape(m, w, 2, d), ftl_imp_unsqueeze(m, ftl_imp_reshape(m, scale, 1, &flat), 1));
	flat = dim_c(m, blocks * block);
	w = ftl_imp_slice(m, ftl_imp_reshape(m, w, 1, &flat), 0, dim_c(m, 0), dim_c(m, n * k));
	d[0] = dim_c(m, n);
	d[1] = dim_c(m, k);
	ftl_imp_out(m, 0, ftl_imp_matmul(m, a, ftl_imp_reshape(m, w, 2, d), false, tb, 1));
}

/* b [rows * bytes of a row] -> [rows, n] bytes, one per field */
static ftl_val fields(imp *m, ftl_val b, int64_t rows, int64_t row_bytes, int64_t n, int64_t bits)
{
	const ftl_blob *blob = b ? ftl_const_blob(m->g, b) : NULL;
	ftl_dim d[2] = {dim_c(m, rows), dim_c(m, row_bytes)};

	if (m->failed)
		return 0;
	if (dtype_of(m, b) != FTL_U8) {
		bad_model(m, "packed values must be uint8");
		return 0;
	}
	if (blob && blob->bytes != (size_t)(rows * row_bytes)) {
		bad_model(m, "the weight or the zero points have the wrong size");
		return 0;
	}
	if (blob)
		return bytes_const(m, rows, n, unpack_bits(m, blob->data, rows, row_bytes, n, (unsigned)bits));
	if (bits != 2 && bits != 4 && bits != 8) {
		unsupported(m, "a computed weight of %lld bits is not supported", (long long)bits);
		return 0;
	}
	b = ftl_imp_unpack_fields(m, ftl_imp_reshape(m, b, 2, d), (int)bits);
	return ftl_imp_slice(m, b, 1, dim_c(m, 0), dim_c(m, n));
}

/* a, b [N, blocks, bytes], scales [N * blocks], zero points?, group index?, bias?: the weight as bytes, made real in
 * blocks along K. A group index names the block of each column instead. */
void ftl_imp_do_ms_matmul_nbits(imp *m)
{
	ftl_val a = ftl_imp_need(m, 0), b = ftl_imp_need(m, 1), scales = ftl_imp_need(m, 2), zp = ftl_imp_in(m, 3),
		group = ftl_imp_in(m, 4), w, zero = 0;
	int64_t k = ftl_imp_i(m, "K", 0), n = ftl_imp_i(m, "N", 0), bits = ftl_imp_i(m, "bits", 4),
		block = ftl_imp_i(m, "block_size", 0), blocks;
	struct ftl_attrs_dequantize *at = NEW_ATTRS(m, dequantize);
	bool real = zp && dtype_of(m, zp) != FTL_U8; /* (q - z) * s with float zero points */

	if (m->failed)
		return;
	if (k <= 0 || n <= 0 || k > (int64_t)1 << 31 || n > (int64_t)1 << 31 || k > ((int64_t)1 << 40) / n ||
	    bits < 2 || bits > 8 || block < 16 || block > 65536 || (block & (block - 1))) {
		bad_model(m, "K, N, bits or block_size make no sense");
		return;
	}
	if (ftl_imp_i(m, "weight_prepacked", 0) != 0) {
		unsupported(m, "weights packed for one kind of GPU are not supported");
		return;
	}
	blocks = (k + block - 1) / block;
	ftl_dim grid[2] = {dim_c(m, n), dim_c(m, blocks)};
	scales = ftl_imp_reshape(m, scales, 2, grid);
	w = fields(m, b, n, blocks * (block * bits / 8), blocks * block, bits);
	if (real) {
		zero = ftl_imp_reshape(m, zp, 2, grid);
	} else if (zp) {
		zero = fields(m, zp, n, (blocks * bits + 7) / 8, blocks, bits);
	} else {
		uint8_t *mid = ftl_arena_array(m->arena, (size_t)(n * blocks), 1);
		memset(mid, 1 << (bits - 1), (size_t)(n * blocks));
		zero = bytes_const(m, n, blocks, mid);
	}
	if (group) {
		ftl_dtype t = dtype_of(m, scales);
		group = ftl_imp_slice(m, group, 0, dim_c(m, 0), dim_c(m, k));
		w = ftl_imp_cast(m, ftl_imp_slice(m, w, 1, dim_c(m, 0), dim_c(m, k)), t);
		w = e_sub(m, w, ftl_imp_cast(m, ftl_imp_gather(m, zero, group, 1), t));
		w = e_mul(m, w, ftl_imp_gather(m, scales, group, 1));
	} else if (real) {
		ftl_dim three[3] = {grid[0], grid[1], dim_c(m, block)}, flat[2] = {grid[0], dim_c(m, blocks * block)};
		w = ftl_imp_cast(m, ftl_imp_reshape(m, w, 3, three), dtype_of(m, scales));
		w = e_sub(m, w, ftl_imp_unsqueeze(m, zero, 2));
		w = ftl_imp_reshape(m, e_mul(m, w, ftl_imp_unsqueeze(m, scales, 2)), 2, flat);
	} else {
		at->axis = 1;
		at->block = block;
		w = ftl_imp_op(m, FTL_OP_dequantize, at, 3, (const ftl_val[]){w, scales, zero});
	}
	w = ftl_imp_slice(m, w, 1, dim_c(m, 0), dim_c(m, k));
	a = ftl_imp_matmul(m, a, ftl_imp_cast(m, w, dtype_of(m, a)), false, true, 1);
	ftl_imp_out(m, 0, ftl_imp_in(m, 5) ? e_add(m, a, ftl_imp_in(m, 5)) : a);
}
