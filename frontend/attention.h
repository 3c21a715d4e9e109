/* Attention as plain ops, shared by ai.onnx and com.microsoft. See import_attention.c. */
#ifndef FRONTEND_ATTENTION_H
#define FRONTEND_ATTENTION_H

#include "imp.h"

typedef struct imp_attention {
	ftl_val q, k, v;   /* [b, heads, len, d]; k and v may have fewer heads */
	ftl_val bias;      /* added to the scores, or 0 */
	double scale;      /* 0: 1/sqrt(d) */
	double softcap;    /* 0: none */
	bool zero_masked;  /* a row whose bias is -inf throughout gives zeros */
	ftl_dtype softmax; /* FTL_NO_DTYPE: the operands' type */
	ftl_val sink;      /* a score beside the keys' that nothing is read from: [heads], scalar */
	bool wide;         /* the product with v in softmax's type as well */
	const Onnx__GraphProto *score_mod, *prob_mod; /* subgraphs before and after softmax, or NULL */
	ftl_val scores, capped, biased, weights;      /* out: the steps on the way */
} imp_attention;

ftl_val ftl_imp_attend(imp *m, imp_attention *a);              /* [b, heads, q, dv] */
ftl_val ftl_imp_split_heads(imp *m, ftl_val x, int64_t heads); /* [b, s, h * d] -> [b, h, s, d] */
ftl_val ftl_imp_merge_heads(imp *m, ftl_val x);                /* and back */
/* bool [q, kv]: key j <= query i + past */
ftl_val ftl_imp_causal(imp *m, ftl_dim q, ftl_dim kv, ftl_dim past);
/* positions: i64 [b, s] or 0; x [b, h, s, d]; caches [positions, rotary/2], or [b, s, rotary/2] without positions */
ftl_val ftl_imp_rotate(imp *m, ftl_val x, ftl_val cos, ftl_val sin, ftl_val positions, int64_t rotary,
		       bool interleaved);

/* ---- com.microsoft ---- */
static inline ftl_val ftl_imp_sum(imp *m, ftl_val a, ftl_val b) /* either may be 0 */
{
	return !a ? b : !b ? a : e_add(m, a, b);
}
ftl_val ftl_imp_penalty(imp *m, ftl_val allowed, ftl_dtype t, double value);
double ftl_imp_lowest(ftl_dtype t);                                  /* the lowest finite number */
ftl_val ftl_imp_part(imp *m, ftl_val x, int64_t from, int64_t size); /* of the last axis */
/* Places [at, at + s) of past [b, h, max, d] hold fresh [b, h, s, d]. */
ftl_val ftl_imp_write_cache(imp *m, ftl_val past, ftl_val fresh, ftl_val at);
ftl_val ftl_imp_quantized_projection(imp *m); /* of QAttention */

/* ---- shared by com.microsoft's other families ---- */
ftl_val ftl_imp_channels(imp *m, ftl_val x, bool to_second); /* the channel axis from the end, or back */
ftl_val ftl_imp_unpack_fields(imp *m, ftl_val x, int bits);  /* bytes -> bytes, 8 / bits times as many */
/* with the current node's attributes; whole: windows that ceil_mode adds count all their elements */
ftl_val ftl_imp_average_pool(imp *m, ftl_val x, bool include_pad, bool whole);
ftl_val ftl_imp_mask_index(imp *m, ftl_val mask, ftl_val ids); /* i32 [b]: how many tokens count */
ftl_val ftl_imp_swiglu(imp *m, ftl_val g, ftl_val l, double alpha, double beta, double limit);

#endif
