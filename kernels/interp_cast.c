/* The interpreter's conversions: one function per pair of element types.
 *
 * Float to integer truncates and saturates, NaN gives 0; to bool is != 0; 16-bit floats go through f32. */
#include "interp.h"

/* Bounds are powers of two, so they are exact in double; every float type widens to double exactly. */
#define SATURATE_SIGNED(NAME, T, LIM)                                                                                  \
	static inline T to_##NAME(double v)                                                                            \
	{                                                                                                              \
		if (v >= LIM)                                                                                          \
			return (T)(((uint64_t)1 << (sizeof(T) * 8 - 1)) - 1);                                          \
		if (v < -LIM)                                                                                          \
			return (T)(-(int64_t)(((uint64_t)1 << (sizeof(T) * 8 - 1)) - 1) - 1);                          \
		return v != v ? 0 : (T)v;                                                                              \
	}
#define SATURATE_UNSIGNED(NAME, T, LIM)                                                                                \
	static inline T to_##NAME(double v)                                                                            \
	{                                                                                                              \
		if (v >= LIM)                                                                                          \
			return (T)UINT64_MAX;                                                                          \
		return v > 0 ? (T)v : 0;                                                                               \
	}
SATURATE_SIGNED(I8, int8_t, 0x1p7)
SATURATE_SIGNED(I16, int16_t, 0x1p15)
SATURATE_SIGNED(I32, int32_t, 0x1p31)
SATURATE_SIGNED(I64, int64_t, 0x1p63)
SATURATE_UNSIGNED(U8, uint8_t, 0x1p8)
SATURATE_UNSIGNED(U16, uint16_t, 0x1p16)
SATURATE_UNSIGNED(U32, uint32_t, 0x1p32)
SATURATE_UNSIGNED(U64, uint64_t, 0x1p64)

#define CAST(FROM, TO, T, U, expr)                                                                                     \
	static const ftl_icode *FROM##_##TO(ftl_iframe *f, const ftl_icode *c)                                         \
	{                                                                                                              \
		const T *restrict p = FTL_IREG(T, c->a);                                                               \
		U *restrict r = FTL_IREG(U, c->dst);                                                                   \
		for (unsigned l = 0; l < c->lanes; l++) {                                                              \
			const T x = p[l];                                                                              \
			r[l] = (U)(expr);                                                                              \
		}                                                                                                      \
		return c + 1;                                                                                          \
	}

/* From integers and bool: plain C conversions. */
#define FROM_INT(FROM, T)                                                                                              \
	CAST(FROM, F32, T, float, (float)x)                                                                            \
	CAST(FROM, F64, T, double, (double)x)                                                                          \
	CAST(FROM, F16, T, uint16_t, ftl_f32_to_f16((float)x))                                                         \
	CAST(FROM, BF16, T, uint16_t, ftl_f32_to_bf16((float)x))                                                       \
	CAST(FROM, I8, T, int8_t, x)                                                                                   \
	CAST(FROM, I16, T, int16_t, x)                                                                                 \
	CAST(FROM, I32, T, int32_t, x)                                                                                 \
	CAST(FROM, I64, T, int64_t, x)                                                                                 \
	CAST(FROM, U8, T, uint8_t, x)                                                                                  \
	CAST(FROM, U16, T, uint16_t, x)                                                                                \
	CAST(FROM, U32, T, uint32_t, x)                                                                                \
	CAST(FROM, U64, T, uint64_t, x)                                                                                \
	CAST(FROM, BOOL, T, uint8_t, x != 0)

/* From floats: W makes the value a float or double out of what is in the register. */
#define FROM_FLOAT(FROM, T, W)                                                                                         \
	CAST(FROM, F32, T, float, W(x))                                                                                \
	CAST(FROM, F64, T, double, W(x))                                                                               \
	CAST(FROM, F16, T, uint16_t, ftl_f32_to_f16((float)W(x)))                                                      \
	CAST(FROM, BF16, T, uint16_t, ftl_f32_to_bf16((float)W(x)))                                                    \
	CAST(FROM, I8, T, int8_t, to_I8((double)W(x)))                                                                 \
	CAST(FROM, I16, T, int16_t, to_I16((double)W(x)))                                                              \
	CAST(FROM, I32, T, int32_t, to_I32((double)W(x)))                                                              \
	CAST(FROM, I64, T, int64_t, to_I64((double)W(x)))                                                              \
	CAST(FROM, U8, T, uint8_t, to_U8((double)W(x)))                                                                \
	CAST(FROM, U16, T, uint16_t, to_U16((double)W(x)))                                                             \
	CAST(FROM, U32, T, uint32_t, to_U32((double)W(x)))                                                             \
	CAST(FROM, U64, T, uint64_t, to_U64((double)W(x)))                                                             \
	CAST(FROM, BOOL, T, uint8_t, W(x) != 0)

#define SELF(x) (x)
FROM_INT(I8, int8_t)
FROM_INT(I16, int16_t)
FROM_INT(I32, int32_t)
FROM_INT(I64, int64_t)
FROM_INT(U8, uint8_t)
FROM_INT(U16, uint16_t)
FROM_INT(U32, uint32_t)
FROM_INT(U64, uint64_t)
FROM_INT(BOOL, uint8_t)
FROM_FLOAT(F32, float, SELF)
FROM_FLOAT(F64, double, SELF)
FROM_FLOAT(F16, uint16_t, ftl_f16_to_f32)
FROM_FLOAT(BF16, uint16_t, ftl_bf16_to_f32)

#define ROW(FROM)                                                                                                      \
	[FTL_##FROM] = {                                                                                               \
		[FTL_F32] = FROM##_F32,   [FTL_F64] = FROM##_F64, [FTL_F16] = FROM##_F16, [FTL_BF16] = FROM##_BF16,    \
		[FTL_I8] = FROM##_I8,     [FTL_I16] = FROM##_I16, [FTL_I32] = FROM##_I32, [FTL_I64] = FROM##_I64,      \
		[FTL_U8] = FROM##_U8,     [FTL_U16] = FROM##_U16, [FTL_U32] = FROM##_U32, [FTL_U64] = FROM##_U64,      \
		[FTL_BOOL] = FROM##_BOOL,                                                                              \
	},

static const ftl_ifn table[FTL_DTYPE_COUNT][FTL_DTYPE_COUNT] = {ROW(F32) ROW(F64) ROW(F16) ROW(BF16) ROW(I8) ROW(
	I16) ROW(I32) ROW(I64) ROW(U8) ROW(U16) ROW(U32) ROW(U64) ROW(BOOL)};

ftl_ifn ftl_interp_cast(ftl_dtype from, ftl_dtype to)
{
	return table[from][to];
}
