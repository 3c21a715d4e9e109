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

const char *ftl_dtype_name(ftl_dtype t);            /* "f32"; "?" for FTL_NO_DTYPE */
ftl_dtype ftl_dtype_parse(const char *s, size_t n); /* FTL_NO_DTYPE if unknown */
unsigned ftl_dtype_bits(ftl_dtype t);
size_t ftl_dtype_bytes(ftl_dtype t);   /* of one element in memory */
bool ftl_dtype_is_float(ftl_dtype t);  /* f16 bf16 f32 f64 */
bool ftl_dtype_is_int(ftl_dtype t);    /* signed or unsigned, not bool */
bool ftl_dtype_is_signed(ftl_dtype t); /* signed integers and floats */
/* The type arithmetic is done in: f16 and bf16 compute in f32, all others in themselves. */
ftl_dtype ftl_dtype_compute(ftl_dtype t);

float ftl_f16_to_f32(uint16_t h);
uint16_t ftl_f32_to_f16(float f); /* round to nearest even, overflow to infinity */
float ftl_bf16_to_f32(uint16_t h);
uint16_t ftl_f32_to_bf16(float f); /* round to nearest even, NaN stays NaN */

#endif
