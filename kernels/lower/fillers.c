/* Ops that make elements from nothing but their index: range, fill, eye_like, random; and the quantizers, which look at
 * one element and its group's scale. */
#include "util.h"

static const ftl_type *type_of(ftl_kern *k, ftl_val v)
{
	return ftl_type_of(ftl_lo_graph(ftl_kern_lo(k)), v);
}

static ftl_dtype out_compute(ftl_kern *k, const ftl_node *n)
{
	return ftl_dtype_compute(type_of(k, n->out[0])->dtype);
}

/* start + i * delta */
ftl_kv ftl_point_range(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv start = ftl_u_read_one(k, n->in[0]), delta = ftl_u_read_one(k, n->in[2]);
	ftl_kv i = ftl_k_cast(b, idx[0], (ftl_dtype)ftl_ktype_of(b->f, start).elem);

	return ftl_k2(b, FTL_K_add, start, ftl_k2(b, FTL_K_mul, i, delta));
}

ftl_kv ftl_point_fill(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_fill *a = FTL_ATTRS(n, fill);
	ftl_kb *b = ftl_kern_b(k);
	ftl_ktype t = FTL_KT(ftl_dtype_compute(a->dtype), 1);

	FTL_UNUSED(idx);
	if (a->dtype == FTL_BOOL)
		return ftl_k_int(b, t, a->ivalue != 0 || a->value != 0);
	if (ftl_dtype_is_low(a->dtype)) {
		uint8_t code;

		ftl_elem_set(a->dtype, &code, 0, ftl_dtype_is_float(a->dtype) ? a->value : (double)a->ivalue);
		return ftl_k_int(b, t, t.elem == FTL_I8 ? (int8_t)code : code);
	}
	return ftl_dtype_is_float(a->dtype) ? ftl_k_float(b, t, a->value) : ftl_k_int(b, t, a->ivalue);
}

/* 1 where column = row + k */
ftl_kv ftl_point_eye_like(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv on = ftl_k2(b, FTL_K_eq, ftl_k2(b, FTL_K_sub, idx[1], idx[0]), ftl_k_i64(b, FTL_ATTRS(n, eye_like)->k));

	return ftl_k_cast(b, on, out_compute(k, n));
}

/* ---- random ---- */

/* Bits that depend on seed and counter only, whoever computes them: splitmix64's mixing (Steele, Lea, Flood 2014). */
static ftl_kv mix(ftl_kb *b, ftl_kv counter, uint64_t seed)
{
	static const struct {
		int shift;
		uint64_t factor;
	} round[] = {{30, 0xbf58476d1ce4e5b9u}, {27, 0x94d049bb133111ebu}, {31, 1}};
	ftl_ktype t = FTL_KT(FTL_U64, 1);
	ftl_kv z = ftl_k2(b, FTL_K_mul, ftl_k_cast(b, counter, FTL_U64), ftl_k_int(b, t, (int64_t)0x9e3779b97f4a7c15u));

	z = ftl_k2(b, FTL_K_add, z, ftl_k_int(b, t, (int64_t)seed));
	for (size_t i = 0; i < FTL_COUNT(round); i++) {
		z = ftl_k2(b, FTL_K_xor, z, ftl_k2(b, FTL_K_shr, z, ftl_k_int(b, t, round[i].shift)));
		z = ftl_k2(b, FTL_K_mul, z, ftl_k_int(b, t, (int64_t)round[i].factor));
	}
	return z;
}

/* (bits + 1/2) / 2^23, in (0, 1), from the upper 23 bits of the mix: exact in f32, and below 1 */
static ftl_kv unit(ftl_kb *b, ftl_kv bits, ftl_dtype t)
{
	ftl_kv top = ftl_k2(b, FTL_K_shr, bits, ftl_k_int(b, FTL_KT(FTL_U64, 1), 41));
	ftl_kv f = ftl_k_cast(b, ftl_k_cast(b, top, FTL_I32), t);
	ftl_ktype kt = FTL_KT(t, 1);

	return ftl_k2(b, FTL_K_mul, ftl_k2(b, FTL_K_add, f, ftl_k_float(b, kt, 0.5)), ftl_k_float(b, kt, 0x1p-23));
}

ftl_kv ftl_point_random_uniform(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_random_uniform *a = FTL_ATTRS(n, random_uniform);
	ftl_kb *b = ftl_kern_b(k);
	ftl_dtype t = out_compute(k, n);
	ftl_kv u = unit(b, mix(b, ftl_linear(k, n->out[0], idx), (uint64_t)a->seed), t);
	ftl_ktype kt = FTL_KT(t, 1);

	return ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, u, ftl_k_float(b, kt, a->high - a->low)),
		      ftl_k_float(b, kt, a->low));
}

/* Box and Muller: sqrt(-2 log u) cos(2 pi v) */
ftl_kv ftl_point_random_normal(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_random_normal *a = FTL_ATTRS(n, random_normal);
	ftl_kb *b = ftl_kern_b(k);
	ftl_dtype t = out_compute(k, n);
	ftl_ktype kt = FTL_KT(t, 1);
	ftl_kv lin = ftl_linear(k, n->out[0], idx);
	ftl_kv u = unit(b, mix(b, lin, (uint64_t)a->seed), t);
	ftl_kv v = unit(b, mix(b, lin, (uint64_t)a->seed ^ 0x6a09e667f3bcc909u), t);
	ftl_kv r = ftl_k1(b, FTL_K_sqrt, ftl_k2(b, FTL_K_mul, ftl_k1(b, FTL_K_log, u), ftl_k_float(b, kt, -2)));
	ftl_kv c = ftl_k1(b, FTL_K_cos, ftl_k2(b, FTL_K_mul, v, ftl_k_float(b, kt, 6.283185307179586)));

	r = ftl_k2(b, FTL_K_mul, r, c);
	return ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, r, ftl_k_float(b, kt, a->scale)), ftl_k_float(b, kt, a->mean));
}

/* ---- quantize, dequantize ---- */

/* Index of the scale (or zero point) that element idx of x belongs to: one for all, one per axis entry, or one per block. */
static ftl_kv group(ftl_kern *k, ftl_val v, const ftl_type *x, int64_t axis, int64_t block, const ftl_kv *idx)
{
	const ftl_type *t = type_of(k, v);
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv at[FTL_MAX_RANK];
	int ax = ftl_u_axis(axis, x->rank);

	if (block > 0 && t->rank == x->rank && ax >= 0 && ax < x->rank) {
		ftl_u_idx(at, idx, x->rank, ax, ftl_k2(b, FTL_K_div, idx[ax], ftl_k_i64(b, block)));
		return ftl_read(k, v, at);
	}
	if (t->rank != 1 || axis == -1 || ftl_u_is(ftl_kern_lo(k), t->dims[0], 1))
		return ftl_u_read_one(k, v);
	at[0] = ftl_u_bcast(k, idx[ax], t->dims[0], x->dims[ax]);
	return ftl_read(k, v, at);
}

/* Quotients in floats of few bits: the type's own rounding. A zero point of 0, which is usual, leaves a -0 alone. */
static ftl_kv quantize_low(ftl_kern *k, const ftl_node *n, ftl_kv q, ftl_dtype to, const ftl_type *t, const ftl_kv *idx)
{
	const struct ftl_attrs_quantize *a = FTL_ATTRS(n, quantize);
	ftl_kb *b = ftl_kern_b(k);

	if (n->nin > 2 && n->in[2]) {
		ftl_kv zero = ftl_u_decode(b, group(k, n->in[2], t, a->axis, a->block, idx), to);

		zero = ftl_k_cast(b, zero, (ftl_dtype)ftl_ktype_of(b->f, q).elem);
		q = ftl_k_select(b, ftl_k2(b, FTL_K_eq, zero, ftl_k_num(b, ftl_ktype_of(b->f, zero), 0)), q,
				 ftl_k2(b, FTL_K_add, q, zero));
	}
	return ftl_u_encode(b, q, to, a->saturate, "nearest");
}

/* saturate(rint(x / scale) + zero) */
ftl_kv ftl_point_quantize(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_quantize *a = FTL_ATTRS(n, quantize);
	ftl_kb *b = ftl_kern_b(k);
	const ftl_type *t = type_of(k, n->in[0]);
	ftl_dtype to = type_of(k, n->out[0])->dtype;
	ftl_kv x = ftl_read(k, n->in[0], idx), s = group(k, n->in[1], t, a->axis, a->block, idx), q;
	ftl_dtype f = (ftl_dtype)ftl_ktype_of(b->f, s).elem;
	bool sign = ftl_dtype_is_signed(to);
	double span = (double)(UINT64_C(1) << (ftl_dtype_bits(to) - sign));

	q = ftl_k2(b, FTL_K_div, ftl_k_cast(b, x, f), s);
	if (ftl_dtype_is_float(to))
		return quantize_low(k, n, q, to, t, idx);
	q = ftl_k1(b, FTL_K_rint, q);
	if (n->nin > 2 && n->in[2]) {
		ftl_kv zero = ftl_u_decode(b, group(k, n->in[2], t, a->axis, a->block, idx), to);

		q = ftl_k2(b, FTL_K_add, q, ftl_k_cast(b, zero, f));
	}
	q = ftl_k2(b, FTL_K_max, q, ftl_k_float(b, FTL_KT(f, 1), sign ? -span : 0));
	q = ftl_k2(b, FTL_K_min, q, ftl_k_float(b, FTL_KT(f, 1), span - 1));
	return ftl_k_cast(b, ftl_dtype_bits(to) < 32 ? ftl_k_cast(b, q, FTL_I32) : q, ftl_dtype_mem(to));
}

/* (x - zero) * scale; the difference of narrow integers is exact in i32 */
ftl_kv ftl_point_dequantize(ftl_kern *k, const ftl_node *n, const ftl_kv *idx)
{
	const struct ftl_attrs_dequantize *a = FTL_ATTRS(n, dequantize);
	ftl_kb *b = ftl_kern_b(k);
	const ftl_type *t = type_of(k, n->in[0]);
	ftl_dtype out = out_compute(k, n), diff = ftl_dtype_is_float(t->dtype) ? FTL_F32 : FTL_I32;
	ftl_kv x = ftl_k_cast(b, ftl_u_decode(b, ftl_read(k, n->in[0], idx), t->dtype), diff),
	       s = group(k, n->in[1], t, a->axis, a->block, idx);

	if (n->nin > 2 && n->in[2]) {
		ftl_kv zero = ftl_u_decode(b, group(k, n->in[2], t, a->axis, a->block, idx), t->dtype);

		x = ftl_k2(b, FTL_K_sub, x, ftl_k_cast(b, zero, diff));
	}
	return ftl_k2(b, FTL_K_mul, ftl_k_cast(b, x, out), ftl_k_cast(b, s, out));
}
