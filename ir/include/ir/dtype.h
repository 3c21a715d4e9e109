/* Element types, from dtypes.def. */
#ifndef IR_DTYPE_H
#define IR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ftl_dtype {
	FTL_NO_DTYPE = 0,
#define DTYPE(NAME, text, kind, bits, c) FTL_##NAME,
#include "../../dtypes.def"
#undef DTYPE
	FTL_DTYPE_COUNT
} ftl_dtype;
#define FTL_DTYPE_LOW FTL_F8E4M3FN /* the first of the low types; code has the types before it */

const char *ftl_dtype_name(ftl_dtype t);            /* "f32"; "?" for FTL_NO_DTYPE */
ftl_dtype ftl_dtype_parse(const char *s, size_t n); /* FTL_NO_DTYPE if unknown */
unsigned ftl_dtype_bits(ftl_dtype t);
size_t ftl_dtype_bytes(ftl_dtype t);   /* of one element in memory */
bool ftl_dtype_is_float(ftl_dtype t);  /* f16 bf16 f32 f64, and the low ones */
bool ftl_dtype_is_int(ftl_dtype t);    /* signed or unsigned, not bool */
bool ftl_dtype_is_signed(ftl_dtype t); /* signed integers and floats */
/* Low types have no arithmetic: floats of 8 bits and less, integers of less than a byte. */
bool ftl_dtype_is_low(ftl_dtype t);
/* The type kernels load and store: of low types their byte (i8 or u8), of strings i64, all others themselves. */
ftl_dtype ftl_dtype_mem(ftl_dtype t);
/* The type arithmetic is done in: f16 and bf16 compute in f32, low types are bytes that are passed on, all others compute
 * in themselves. */
ftl_dtype ftl_dtype_compute(ftl_dtype t);

float ftl_f16_to_f32(uint16_t h);
uint16_t ftl_f32_to_f16(float f); /* round to nearest even, overflow to infinity */
float ftl_bf16_to_f32(uint16_t h);
uint16_t ftl_f32_to_bf16(float f); /* round to nearest even, NaN stays NaN */

/* A low float type: sign, exponent, mantissa. f8e8m0 is a power of two and has no row here. */
typedef struct ftl_low_format {
	int bits, mantissa, bias;
	unsigned top; /* code of the largest number */
	enum {
		FTL_LOW_FINITE,
		FTL_LOW_FN,
		FTL_LOW_FNUZ,
		FTL_LOW_IEEE
	} specials; /* none; NaN is all ones; NaN is -0; as usual */
} ftl_low_format;
const ftl_low_format *ftl_dtype_low_format(ftl_dtype t); /* NULL for f8e8m0 and what is no low float */
float ftl_low_to_f32(ftl_dtype t, uint8_t code);
/* Round to nearest even (f8e8m0: nearest, ties up); saturate: what is too large becomes the largest number, else the type's
 * infinity or NaN. */
uint8_t ftl_f32_to_low(ftl_dtype t, float f, bool saturate);
/* The low bits of a byte as memory has them: integers as the number they are, codes without the bits above. */
uint8_t ftl_low_int(ftl_dtype t, uint8_t v);

#endif
