/* Conversions of the low types: floats of 4, 6 and 8 bits, integers of 2 and 4. What kernels do with them is written again
 * in kernels/lower/low.c, in code for vectors; this is for constants, and what that is tested against.
 *
 * Formats: OCP 8-bit Floating Point (e4m3fn, e5m2), OCP Microscaling (e8m0, e2m3, e3m2, e2m1), and the fnuz variants of
 * "8-bit Numerical Formats for Deep Neural Networks" (Noune et al., 2022). Bit arithmetic, so that bits are the same on
 * every machine. */
#include "ir/dtype.h"

#include <string.h>

static const ftl_low_format formats[FTL_DTYPE_COUNT] = {
	[FTL_F8E4M3FN] = {8, 3, 7, 0x7e, FTL_LOW_FN},   [FTL_F8E4M3FNUZ] = {8, 3, 8, 0x7f, FTL_LOW_FNUZ},
	[FTL_F8E5M2] = {8, 2, 15, 0x7b, FTL_LOW_IEEE},  [FTL_F8E5M2FNUZ] = {8, 2, 16, 0x7f, FTL_LOW_FNUZ},
	[FTL_F6E2M3] = {6, 3, 1, 0x1f, FTL_LOW_FINITE}, [FTL_F6E3M2] = {6, 2, 3, 0x1f, FTL_LOW_FINITE},
	[FTL_F4E2M1] = {4, 1, 1, 0x7, FTL_LOW_FINITE},
};

const ftl_low_format *ftl_dtype_low_format(ftl_dtype t)
{
	return (unsigned)t < FTL_DTYPE_COUNT && formats[t].bits ? &formats[t] : NULL;
}

static float from_bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

enum { QUIET_NAN = 0x7fc00000, INFINITE = 0x7f800000 };

/* 2^(code - 127), whose first is a subnormal f32 */
static float e8m0_to_f32(uint8_t code)
{
	return from_bits(code == 0 ? 0x400000 : code == 0xff ? QUIET_NAN : (uint32_t)code << 23);
}

float ftl_low_to_f32(ftl_dtype t, uint8_t code)
{
	const ftl_low_format *f = ftl_dtype_low_format(t);
	uint32_t magnitude, sign, bits, exponent;

	if (!f)
		return e8m0_to_f32(code);
	sign = (uint32_t)(code >> (f->bits - 1) & 1) << 31;
	magnitude = code & ((1u << (f->bits - 1)) - 1);
	exponent = magnitude >> f->mantissa;
	if ((f->specials == FTL_LOW_FNUZ && code == 0x80) || (f->specials == FTL_LOW_FN && magnitude == 0x7f))
		return from_bits((f->specials == FTL_LOW_FN ? sign : 0) | QUIET_NAN);
	if (f->specials == FTL_LOW_IEEE && exponent == 0x1f)
		return from_bits(sign | INFINITE | (magnitude << (23 - f->mantissa) & 0x7fffff));
	if (exponent == 0) {
		/* magnitude * 2^(1 - bias - mantissa), exact */
		float v = (float)magnitude * from_bits((uint32_t)(128 - f->bias - f->mantissa) << 23);

		return sign ? -v : v;
	}
	bits = (magnitude << (23 - f->mantissa)) + ((uint32_t)(127 - f->bias) << 23);
	return from_bits(sign | bits);
}

static uint8_t f32_to_e8m0(uint32_t u, bool saturate)
{
	if ((u & 0x7fffffff) > INFINITE)
		return 0xff;
	if (u >> 31 || u < 0x400000)
		return saturate ? 0 : 0xff;
	if (u > 0x7f000000)
		return saturate ? 0xfe : 0xff;
	return (uint8_t)((u + (u < 0x800000 ? 0x200000 : 0x400000)) >> 23);
}

uint8_t ftl_f32_to_low(ftl_dtype t, float x, bool saturate)
{
	const ftl_low_format *f = ftl_dtype_low_format(t);
	uint32_t u, size, sign, shift, q, rest, half;
	int exponent, least;

	memcpy(&u, &x, sizeof u);
	if (!f)
		return f32_to_e8m0(u, saturate);
	sign = (u >> 31) << (f->bits - 1);
	size = u & 0x7fffffff;
	if (size > INFINITE) /* ml_dtypes has -0 for what has no NaN */
		return (uint8_t)(f->specials == FTL_LOW_FNUZ || f->specials == FTL_LOW_FINITE ? 1u << (f->bits - 1)
				 : f->specials == FTL_LOW_FN                                  ? sign | 0x7f
											      : sign | 0x7e);
	exponent = (int)(size >> 23) - 127;
	least = 1 - f->bias; /* below it numbers are subnormal */
	shift = (uint32_t)(23 - f->mantissa + (exponent < least ? least - exponent : 0));
	if (shift > 25 || exponent == -127) {
		q = 0;
	} else {
		uint32_t m = exponent < least ? (size & 0x7fffff) | 0x800000 : size - ((uint32_t)(127 - f->bias) << 23);

		q = m >> shift;
		rest = m & ((1u << shift) - 1);
		half = 1u << (shift - 1);
		q += rest > half || (rest == half && (q & 1));
	}
	if (q > f->top)
		q = saturate || f->specials == FTL_LOW_FINITE ? f->top
		    : f->specials == FTL_LOW_FN               ? 0x7f
		    : f->specials == FTL_LOW_IEEE             ? 0x7c
							      : 0x80;
	return (uint8_t)(q == 0 && f->specials == FTL_LOW_FNUZ ? 0 : q | sign);
}

uint8_t ftl_low_int(ftl_dtype t, uint8_t v)
{
	unsigned bits = ftl_dtype_bits(t), mask = (1u << bits) - 1, sign = 1u << (bits - 1);

	return (uint8_t)(ftl_dtype_is_int(t) && ftl_dtype_is_signed(t) ? ((v & mask) ^ sign) - sign : v & mask);
}
