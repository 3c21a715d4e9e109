/* What a beam or greedy search keeps between tokens, and the step that chooses the next ones. See import_beam.c. */
#ifndef FRONTEND_BEAM_H
#define FRONTEND_BEAM_H

#include "imp.h"

#define BEAM_MAX 128 /* ONNX Runtime's limit */

typedef struct imp_search {
	/* settings */
	bool greedy;
	int64_t beams, returned, max_length, eos, pad, ngram, vocab; /* vocab 0: what the logits have */
	bool early_stopping;
	ftl_val min_length, length_penalty, repetition_penalty, vocab_mask, prefix_mask; /* 0: none */
	ftl_dim b, rows;                                                                 /* batch; batch * beams */
} imp_search;

/* rows r = b * beams. Sequences have the pad token behind their end, so that they can be copied whole. */
typedef struct imp_search_state {
	ftl_val seq;       /* i32 [r, max_length] */
	ftl_val tokens;    /* i32 [r]: the last ones */
	ftl_val done;      /* bool [b, 1] */
	ftl_val order;     /* i64 [r]: where each row of seq came from in the last step */
	ftl_val scores;    /* f32 [b, beams]: sums of log probabilities. From here on: beam search only */
	ftl_val hyp_seq;   /* i32 [b, beams, max_length]: finished ones, the best first */
	ftl_val hyp_score; /* f32 [b, beams] */
	ftl_val used;      /* i64 [b, 1]: how many there are */
} imp_search_state;

/* ids: i32 [b, s], the tokens to start from. */
void ftl_imp_search_start(imp *m, const imp_search *s, ftl_val ids, imp_search_state *out);
/* logits [r or b, any, vocabulary], of which the last position counts; cur: i64 scalar, tokens in seq so far. */
void ftl_imp_search_step(imp *m, const imp_search *s, ftl_val logits, ftl_val cur, bool first, imp_search_state *st);
/* The result: i32 [b, returned, max_length] (greedy: [b, max_length]), and f32 scores [b, returned]. */
void ftl_imp_search_end(imp *m, const imp_search *s, ftl_val cur, imp_search_state *st, ftl_val *out_seq,
			ftl_val *out_score);
/* x [b, ...] -> [b * beams, ...], each row beams times */
ftl_val ftl_imp_search_expand(imp *m, const imp_search *s, ftl_val x);
ftl_val ftl_imp_fill(imp *m, ftl_dtype t, double v, int rank, const ftl_dim *dims);

#endif
