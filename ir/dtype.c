/* Element types: names, sizes, and the conversions between 16-bit floats and f32.
 *
 * The conversions are bit arithmetic, so they give the same bits on every machine and compiler. */
#include "ir/dtype.h"

#include <string.h>

struct info {
	const char *name;
	char kind;
	uint8_t bits;
};

enum { F = 'F', I = 'I', U = 'U', B = 'B', S = 'S' };

static const struct info table[FTL_DTYPE_COUNT] = {
	{"?", 0, 0},
#define DTYPE(NAME, text, kind, bits, c) {text, kind, bits},
#include "dtypes.def"
#undef DTYPE
};

static const struct info *get(ftl_dtype t)
{
	return &table[(unsigned)t < FTL_DTYPE_COUNT ? t : FTL_NO_DTYPE];
}

const char *ftl_dtype_name(ftl_dtype t)
{
	return get(t)->name;
}

ftl_dtype ftl_dtype_parse(const char *s, size_t n)
{
	for (int t = 1; t < FTL_DTYPE_COUNT; t++) {
		if (strlen(table[t].name) == n && memcmp(table[t].name, s, n) == 0)
			return (ftl_dtype)t;
	}
	return FTL_NO_DTYPE;
}

unsigned ftl_dtype_bits(ftl_dtype t)
{
	return get(t)->bits;
}

size_t ftl_dtype_bytes(ftl_dtype t)
{
	return (get(t)->bits + 7u) / 8;
}

bool ftl_dtype_is_float(ftl_dtype t)
{
	return get(t)->kind == F;
}

bool ftl_dtype_is_int(ftl_dtype t)
{
	return get(t)->kind == I || get(t)->kind == U;
}

bool ftl_dtype_is_signed(ftl_dtype t)
{
	return get(t)->kind == F || get(t)->kind == I;
}

bool ftl_dtype_is_low(ftl_dtype t)
{
	return t >= FTL_DTYPE_LOW && t <= FTL_U2;
}

ftl_dtype ftl_dtype_mem(ftl_dtype t)
{
	if (t == FTL_STRING)
		return FTL_I64;
	if (!ftl_dtype_is_low(t))
		return t;
	return get(t)->kind == I ? FTL_I8 : FTL_U8;
}

ftl_dtype ftl_dtype_compute(ftl_dtype t)
{
	return t == FTL_F16 || t == FTL_BF16 ? FTL_F32 : ftl_dtype_mem(t);
}

static float from_bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

static uint32_t to_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

float ftl_f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t exp = (h >> 10) & 0x1f;
	uint32_t man = h & 0x3ff;

	if (exp == 0x1f)
		return from_bits(sign | 0x7f800000 | man << 13);
	if (exp == 0) {
		/* subnormal: man * 2^-24 is exact in f32 */
		float f = (float)man * 0x1p-24f;

		return from_bits(sign | to_bits(f));
	}
	return from_bits(sign | (exp + 112) << 23 | man << 13);
}

uint16_t ftl_f32_to_f16(float f)
{
	uint32_t u = to_bits(f);
	uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
	uint32_t abs = u & 0x7fffffff;
	uint32_t man, shift, half, rest, h;

	if (abs > 0x7f800000) /* NaN: keep the top of its payload, and keep it a NaN */
		return (uint16_t)(sign | 0x7e00 | (abs >> 13 & 0x1ff));
	if (abs >= 0x47800000) /* 2^16 and up, infinity too */
		return (uint16_t)(sign | 0x7c00);
	if (abs < 0x33000000) /* below 2^-25 */
		return sign;
	if (abs >= 0x38800000) {
		/* normal; rounding may carry into the exponent and from 65504 up to infinity, as it should */
		h = (abs - 0x38000000) >> 13;
		rest = abs & 0x1fff;
		half = 0x1000;
	} else {
		man = (abs & 0x7fffff) | 0x800000;
		shift = 126 - (abs >> 23);
		h = man >> shift;
		rest = man & ((1u << shift) - 1);
		half = 1u << (shift - 1);
	}
	if (rest > half || (rest == half && (h & 1)))
		h++;
	return (uint16_t)(sign | h);
}

float ftl_bf16_to_f32(uint16_t h)
{
	return from_bits((uint32_t)h << 16);
}

uint16_t ftl_f32_to_bf16(float f)
{
	uint32_t u = to_bits(f);

	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40); /* quiet, so that cutting the payload leaves a NaN */
	u += 0x7fff + (u >> 16 & 1);
	return (uint16_t)(u >> 16);
}
