/* The interpreter's arithmetic: one function per op and element type, made from the macros below.
 *
 * Meaning is kops.def's to the letter: integers wrap, division by zero gives 0, f32 is computed in float. Lane counts 1, 8
 * and 16 have loops of their own, which compilers turn into vector code. */
#include <math.h>

#include "interp.h"

#define LANES(stmt)                                                                                                    \
	do {                                                                                                           \
		unsigned n = c->lanes, l = 0;                                                                          \
		if (n == 1) {                                                                                          \
			stmt;                                                                                          \
		} else if (n == 16) {                                                                                  \
			for (l = 0; l < 16; l++)                                                                       \
				stmt;                                                                                  \
		} else if (n == 8) {                                                                                   \
			for (l = 0; l < 8; l++)                                                                        \
				stmt;                                                                                  \
		} else {                                                                                               \
			for (l = 0; l < n; l++)                                                                        \
				stmt;                                                                                  \
		}                                                                                                      \
	} while (0)

#define FN(name) static const ftl_icode *name(ftl_iframe *f, const ftl_icode *c)

#define UNARY(op, NAME, T, expr)                                                                                       \
	FN(op##_##NAME)                                                                                                \
	{                                                                                                              \
		const T *restrict x = FTL_IREG(T, c->a);                                                               \
		T *restrict r = FTL_IREG(T, c->dst);                                                                   \
		LANES(r[l] = (T)(expr));                                                                               \
		return c + 1;                                                                                          \
	}
#define BINARY(op, NAME, T, R, expr)                                                                                   \
	FN(op##_##NAME)                                                                                                \
	{                                                                                                              \
		const T *x = FTL_IREG(T, c->a);                                                                        \
		const T *y = FTL_IREG(T, c->b);                                                                        \
		R *restrict r = FTL_IREG(R, c->dst);                                                                   \
		LANES(r[l] = (R)(expr));                                                                               \
		return c + 1;                                                                                          \
	}
#define TERNARY(op, NAME, T, expr)                                                                                     \
	FN(op##_##NAME)                                                                                                \
	{                                                                                                              \
		const T *x = FTL_IREG(T, c->a);                                                                        \
		const T *y = FTL_IREG(T, c->b);                                                                        \
		const T *z = FTL_IREG(T, c->c);                                                                        \
		T *restrict r = FTL_IREG(T, c->dst);                                                                   \
		LANES(r[l] = (T)(expr));                                                                               \
		return c + 1;                                                                                          \
	}
/* Halves combined until one lane is left. */
#define REDUCE(op, NAME, T, expr)                                                                                      \
	FN(reduce_##op##_##NAME)                                                                                       \
	{                                                                                                              \
		T v[FTL_MAX_LANES];                                                                                    \
		memcpy(v, FTL_IREG(T, c->a), c->lanes * sizeof(T));                                                    \
		for (unsigned h = c->lanes / 2u; h; h /= 2) {                                                          \
			for (unsigned l = 0; l < h; l++) {                                                             \
				T x = v[l], y = v[l + h];                                                              \
				v[l] = (T)(expr);                                                                      \
			}                                                                                              \
		}                                                                                                      \
		*FTL_IREG(T, c->dst) = v[0];                                                                           \
		return c + 1;                                                                                          \
	}

#define COMPARE(NAME, T)                                                                                               \
	BINARY(eq, NAME, T, uint8_t, x[l] == y[l])                                                                     \
	BINARY(ne, NAME, T, uint8_t, x[l] != y[l])
#define ORDER(NAME, T)                                                                                                 \
	BINARY(lt, NAME, T, uint8_t, x[l] < y[l])                                                                      \
	BINARY(le, NAME, T, uint8_t, x[l] <= y[l])

/* ---- integers. T the type, A the unsigned type to compute in without promotion to int ---- */
#define INTEGER(NAME, T, A, BITS)                                                                                      \
	BINARY(add, NAME, T, T, (A)x[l] + (A)y[l])                                                                     \
	BINARY(sub, NAME, T, T, (A)x[l] - (A)y[l])                                                                     \
	BINARY(mul, NAME, T, T, (A)x[l] * (A)y[l])                                                                     \
	TERNARY(fma, NAME, T, (A)x[l] * (A)y[l] + (A)z[l])                                                             \
	BINARY(min, NAME, T, T, x[l] < y[l] ? x[l] : y[l])                                                             \
	BINARY(max, NAME, T, T, x[l] < y[l] ? y[l] : x[l])                                                             \
	UNARY(neg, NAME, T, (A)0 - (A)x[l])                                                                            \
	BINARY(and, NAME, T, T, x[l] & y[l])                                                                           \
	BINARY(or, NAME, T, T, x[l] | y[l])                                                                            \
	BINARY(xor, NAME, T, T, x[l] ^ y[l])                                                                           \
	UNARY(not, NAME, T, ~x[l])                                                                                     \
	BINARY(shl, NAME, T, T, (A)y[l] >= BITS ? 0 : (A)x[l] << y[l])                                                 \
	COMPARE(NAME, T)                                                                                               \
	ORDER(NAME, T)                                                                                                 \
	REDUCE(add, NAME, T, (A)x + (A)y)                                                                              \
	REDUCE(mul, NAME, T, (A)x *(A)y)                                                                               \
	REDUCE(min, NAME, T, x < y ? x : y)                                                                            \
	REDUCE(max, NAME, T, x < y ? y : x)
#define SIGNED(NAME, T, A, BITS)                                                                                       \
	INTEGER(NAME, T, A, BITS)                                                                                      \
	BINARY(div, NAME, T, T, y[l] == 0 ? 0 : y[l] == -1 ? (T)((A)0 - (A)x[l]) : x[l] / y[l])                        \
	BINARY(rem, NAME, T, T, y[l] == 0 || y[l] == -1 ? 0 : x[l] % y[l])                                             \
	UNARY(abs, NAME, T, x[l] < 0 ? (T)((A)0 - (A)x[l]) : x[l])                                                     \
	BINARY(shr, NAME, T, T, (A)y[l] >= BITS ? (x[l] < 0 ? -1 : 0) : x[l] >> y[l])                                  \
	UNARY(popcount, NAME, T, __builtin_popcountll((A)x[l] & (UINT64_MAX >> (64 - BITS))))
#define UNSIGNED(NAME, T, A, BITS)                                                                                     \
	INTEGER(NAME, T, A, BITS)                                                                                      \
	BINARY(div, NAME, T, T, y[l] == 0 ? 0 : x[l] / y[l])                                                           \
	BINARY(rem, NAME, T, T, y[l] == 0 ? 0 : x[l] % y[l])                                                           \
	UNARY(abs, NAME, T, x[l])                                                                                      \
	BINARY(shr, NAME, T, T, y[l] >= BITS ? 0 : x[l] >> y[l])                                                       \
	UNARY(popcount, NAME, T, __builtin_popcountll(x[l]))

SIGNED(I8, int8_t, uint32_t, 8)
SIGNED(I16, int16_t, uint32_t, 16)
SIGNED(I32, int32_t, uint32_t, 32)
SIGNED(I64, int64_t, uint64_t, 64)
UNSIGNED(U8, uint8_t, uint32_t, 8)
UNSIGNED(U16, uint16_t, uint32_t, 16)
UNSIGNED(U32, uint32_t, uint32_t, 32)
UNSIGNED(U64, uint64_t, uint64_t, 64)

COMPARE(BOOL, uint8_t)
BINARY(and, BOOL, uint8_t, uint8_t, x[l] & y[l])
BINARY(or, BOOL, uint8_t, uint8_t, x[l] | y[l])
BINARY(xor, BOOL, uint8_t, uint8_t, x[l] ^ y[l])
UNARY(not, BOOL, uint8_t, !x[l])

/* ---- floats. S is the suffix of libm's names ---- */
#define FLOAT(NAME, T, S)                                                                                              \
	BINARY(add, NAME, T, T, x[l] + y[l])                                                                           \
	BINARY(sub, NAME, T, T, x[l] - y[l])                                                                           \
	BINARY(mul, NAME, T, T, x[l] * y[l])                                                                           \
	BINARY(div, NAME, T, T, x[l] / y[l])                                                                           \
	BINARY(rem, NAME, T, T, fmod##S(x[l], y[l]))                                                                   \
	BINARY(min, NAME, T, T, fmin##S(x[l], y[l]))                                                                   \
	BINARY(max, NAME, T, T, fmax##S(x[l], y[l]))                                                                   \
	BINARY(pow, NAME, T, T, pow##S(x[l], y[l]))                                                                    \
	TERNARY(fma, NAME, T, fma##S(x[l], y[l], z[l]))                                                                \
	UNARY(neg, NAME, T, -x[l])                                                                                     \
	UNARY(abs, NAME, T, fabs##S(x[l]))                                                                             \
	COMPARE(NAME, T)                                                                                               \
	ORDER(NAME, T)                                                                                                 \
	REDUCE(add, NAME, T, x + y)                                                                                    \
	REDUCE(mul, NAME, T, x *y)                                                                                     \
	REDUCE(min, NAME, T, fmin##S(x, y))                                                                            \
	REDUCE(max, NAME, T, fmax##S(x, y))

FLOAT(F32, float, f)
FLOAT(F64, double, )

#define MATH(X)                                                                                                        \
	X(sqrt)                                                                                                        \
	X(floor)                                                                                                       \
	X(ceil)                                                                                                        \
	X(trunc)                                                                                                       \
	X(rint) X(exp) X(log) X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(tanh) X(asinh) X(acosh)   \
		X(atanh) X(erf)
#define MATH_FNS(op) UNARY(op, F32, float, op##f(x[l])) UNARY(op, F64, double, op(x[l]))
MATH(MATH_FNS)

/* ---- the table ---- */
#define ON_INTS(op)                                                                                                    \
	[FTL_I8] = op##_I8, [FTL_I16] = op##_I16, [FTL_I32] = op##_I32, [FTL_I64] = op##_I64, [FTL_U8] = op##_U8,      \
	[FTL_U16] = op##_U16, [FTL_U32] = op##_U32, [FTL_U64] = op##_U64
#define ON_FLOATS(op) [FTL_F32] = op##_F32, [FTL_F64] = op##_F64
#define INTS(op) [FTL_K_##op] = {ON_INTS(op)},
#define INTS_BOOL(op) [FTL_K_##op] = {ON_INTS(op), [FTL_BOOL] = op##_BOOL},
#define NUMBERS(op) [FTL_K_##op] = {ON_INTS(op), ON_FLOATS(op)},
#define FLOATS(op) [FTL_K_##op] = {ON_FLOATS(op)},
#define ALL(op) [FTL_K_##op] = {ON_INTS(op), ON_FLOATS(op), [FTL_BOOL] = op##_BOOL},

static const ftl_ifn table[FTL_K_COUNT][FTL_DTYPE_COUNT] = {
	NUMBERS(add) NUMBERS(sub) NUMBERS(mul) NUMBERS(div) NUMBERS(rem) NUMBERS(min) NUMBERS(max) NUMBERS(fma)
		NUMBERS(neg) NUMBERS(abs) INTS_BOOL(and) INTS_BOOL(or) INTS_BOOL(xor) INTS_BOOL(not ) INTS(shl)
			INTS(shr) INTS(popcount) ALL(eq) ALL(ne) NUMBERS(lt) NUMBERS(le) FLOATS(pow) MATH(FLOATS)
				NUMBERS(reduce_add) NUMBERS(reduce_mul) NUMBERS(reduce_min) NUMBERS(reduce_max)};

/* By the type of the operands. */
ftl_ifn ftl_interp_elementwise(ftl_kop op, ftl_dtype t)
{
	return t < FTL_DTYPE_COUNT ? table[op][t] : NULL;
}
