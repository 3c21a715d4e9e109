/* com.microsoft: the cheapest path through a matrix (DynamicTimeWarping), and where a draft of tokens parts from its
 * source (BifurcationDetector). */
#include <math.h>

#include "imp.h"

static ftl_val i64(imp *m, int64_t v)
{
	return ftl_imp_scalar(m, FTL_I64, (double)v);
}

static ftl_val range_of(imp *m, ftl_val n)
{
	return ftl_imp_op(m, FTL_OP_range, NULL, 3, (const ftl_val[]){i64(m, 0), n, i64(m, 1)});
}

static ftl_val lt(imp *m, ftl_val a, ftl_val b)
{
	return op2(m, FTL_OP_lt, a, b);
}

static ftl_val both(imp *m, ftl_val a, ftl_val b)
{
	return op2(m, FTL_OP_and, a, b);
}

/* ---- DynamicTimeWarping ---- */

/* Rows from the first to the last, each from left to right: how every cell is reached best. 0: diagonally, 1: from above,
 * 2: from the left, which also wins where two are alike. x [r, c] -> i64 [r, c] */
static ftl_val traces(imp *m, ftl_val x)
{
	ftl_dim c = ftl_imp_dim(m, x, 1), one = dim_c(m, 1);
	ftl_val inf = ftl_imp_scalar(m, FTL_F32, INFINITY), zero = ftl_imp_scalar(m, FTL_F32, 0), above, row, in[3],
		step[3], left, yield[3], out[3], first = ftl_imp_reshape(m, zero, 1, &one);
	imp_scan rows, columns;

	/* the row above the first, with the cell before it */
	above = ftl_imp_concat(m, 0, 2, (const ftl_val[]){first, ftl_imp_expand(m, inf, 1, &c)});
	ftl_imp_scan_open(m, &rows, 0, 1, &above, 1, &x, 1, &above, &row);
	in[0] = ftl_imp_slice(m, above, 0, dim_c(m, 0), c);
	in[1] = ftl_imp_slice(m, above, 0, one, c);
	in[2] = row;
	ftl_imp_scan_open(m, &columns, 0, 1, &inf, 3, in, 2, &left, step);
	ftl_val diagonal = both(m, lt(m, step[0], step[1]), lt(m, step[0], left)),
		up = both(m, lt(m, step[1], step[0]), lt(m, step[1], left));
	yield[0] = e_add(m, e_where(m, diagonal, step[0], e_where(m, up, step[1], left)), step[2]);
	yield[1] = yield[0];
	yield[2] = e_where(m, diagonal, i64(m, 0), e_where(m, up, i64(m, 1), i64(m, 2)));
	ftl_imp_scan_close(m, &columns, yield, out);
	yield[0] = ftl_imp_concat(m, 0, 2, (const ftl_val[]){ftl_imp_reshape(m, inf, 1, &one), out[1]});
	yield[1] = out[2];
	ftl_imp_scan_close(m, &rows, yield, out);
	return out[1];
}

void ftl_imp_do_ms_dynamic_time_warping(imp *m)
{
	ftl_val x = ftl_imp_need(m, 0), trace, at[2], clock, step, var[2], yield[5], out[5], t, open, zero = i64(m, 0),
		n, order;
	ftl_dim r, c, flat;
	imp_scan s;

	ftl_imp_want_rank(m, x, 2, 3, "the input");
	if (rank_of(m, x) == 3)
		x = ftl_imp_squeeze(m, x, 0);
	if (m->failed)
		return;
	r = ftl_imp_dim(m, x, 0);
	c = ftl_imp_dim(m, x, 1);
	flat = ftl_dim_mul(m->st, r, c);
	trace = ftl_imp_reshape(m, traces(m, x), 1, &flat);
	/* back from the last cell, in as many steps as the longest path has; those after the start do nothing */
	at[0] = ftl_imp_dim_scalar(m, r, FTL_I64);
	at[1] = ftl_imp_dim_scalar(m, c, FTL_I64);
	clock = ftl_imp_range(m, ftl_dim_add(m->st, r, c), FTL_I64);
	ftl_imp_scan_open(m, &s, 0, 2, at, 1, &clock, 3, var, &step);
	open = both(m, lt(m, zero, var[0]), lt(m, zero, var[1]));
	yield[2] = e_addf(m, var[0], -1);
	yield[3] = e_addf(m, var[1], -1);
	yield[4] = open;
	t = e_add(m, e_mul(m, yield[2], ftl_imp_dim_scalar(m, c, FTL_I64)), yield[3]);
	t = ftl_imp_gather(m, trace, op2(m, FTL_OP_max, e_where(m, open, t, zero), zero), 0);
	yield[0] = e_where(m, both(m, open, lt(m, t, i64(m, 2))), yield[2], var[0]);
	yield[1] = e_where(m, both(m, open, op1(m, FTL_OP_not, op2(m, FTL_OP_eq, t, i64(m, 1)))), yield[3], var[1]);
	ftl_imp_scan_close(m, &s, yield, out);
	order = ftl_imp_squeeze(m, op1(m, FTL_OP_non_zero, out[4]), 0);
	if (m->failed)
		return;
	n = ftl_imp_dim_scalar(m, ftl_imp_dim(m, order, 0), FTL_I64);
	order = e_sub(m, e_addf(m, n, -1), order);
	for (int k = 0; k < 2; k++)
		at[k] = ftl_imp_unsqueeze(m, ftl_imp_gather(m, out[2 + k], order, 0), 0);
	ftl_imp_out(m, 0, ftl_imp_cast(m, ftl_imp_concat(m, 0, 2, at), FTL_I32));
}

/* ---- BifurcationDetector ---- */

#define NO_PLACE ((int64_t)1 << 40)

static ftl_val least(imp *m, ftl_val flags, ftl_val values, ftl_val otherwise)
{
	int64_t axis = 0;
	ftl_dim one = dim_c(m, 1);
	ftl_val all[2] = {e_where(m, flags, values, otherwise), ftl_imp_reshape(m, otherwise, 1, &one)};

	return ftl_imp_reduce(m, FTL_OP_reduce_min, ftl_imp_concat(m, 0, 2, all), 1, &axis, false);
}

/* src, cur, where the last match ended, predicted?: cur with the predicted tokens up to the first that differs from the
 * source, and where the source goes on after what the result ends with, if that is one place. */
void ftl_imp_do_ms_bifurcation_detector(imp *m)
{
	ftl_val src = ftl_imp_need(m, 0), cur = ftl_imp_need(m, 1), prev = ftl_imp_need(m, 2), pred = ftl_imp_in(m, 3),
		k, ns, n, same, place, going, y = cur, match, at;
	int64_t lo = ftl_imp_i(m, "min_ngram_size", 1), hi = ftl_imp_i(m, "max_ngram_size", 3), axis = 0;
	ftl_dim s = ftl_imp_dim(m, src, 0);

	ftl_imp_want_rank(m, src, 1, 1, "src_tokens");
	ftl_imp_want_rank(m, cur, 1, 1, "cur_tokens");
	if (!m->failed && (lo < 1 || hi < lo || hi > 64))
		bad_model(m, "n-grams of %lld to %lld tokens make no sense", (long long)lo, (long long)hi);
	if (m->failed)
		return;
	ns = ftl_imp_dim_scalar(m, s, FTL_I64);
	if (pred) {
		at = ftl_imp_reshape(m, prev, 0, NULL);
		ftl_val np = ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, ftl_imp_dim(m, pred, 0), dim_c(m, 1)), FTL_I64);
		k = range_of(m, np);
		same = ftl_imp_gather(m, src, op2(m, FTL_OP_min, e_add(m, k, at), e_addf(m, ns, -1)), 0);
		same = op2(m, FTL_OP_eq, same, ftl_imp_gather(m, pred, k, 0));
		n = least(m, op1(m, FTL_OP_not, same), k, np);
		y = ftl_imp_concat(m, 0, 2,
				   (const ftl_val[]){cur, ftl_imp_gather(m, pred, range_of(m, e_addf(m, n, 1)), 0)});
	}
	ftl_imp_out(m, 0, y);
	if (m->failed)
		return;
	n = ftl_imp_dim_scalar(m, ftl_imp_dim(m, y, 0), FTL_I64);
	place = i64(m, -1);
	going = ftl_imp_scalar(m, FTL_BOOL, 1);
	for (int64_t g = lo; g <= hi && !m->failed; g++) {
		ftl_val windows = op2(m, FTL_OP_max, e_addf(m, ns, 1 - (double)g), i64(m, 0)), first, more, found;
		going = both(m, going, op2(m, FTL_OP_le, i64(m, g), n));
		k = range_of(m, windows);
		match = 0;
		for (int64_t t = 0; t < g && !m->failed; t++) {
			at = op2(m, FTL_OP_max, e_addf(m, n, (double)(t - g)), i64(m, 0));
			at = op2(m, FTL_OP_eq, ftl_imp_gather(m, src, e_addf(m, k, (double)t), 0),
				 ftl_imp_gather(m, y, at, 0));
			match = match ? both(m, match, at) : at;
		}
		first = least(m, match, k, i64(m, NO_PLACE));
		going = both(m, going, lt(m, first, i64(m, NO_PLACE)));
		found = e_addf(m, first, (double)g);
		more = ftl_imp_reduce(m, FTL_OP_reduce_sum, ftl_imp_cast(m, match, FTL_I64), 1, &axis, false);
		/* at the source's end nothing can follow, so another place does not matter */
		found = e_where(m, both(m, lt(m, found, ns), lt(m, i64(m, 1), more)), i64(m, -1), found);
		place = e_where(m, going, found, place);
		going = both(m, going, lt(m, found, ns));
	}
	ftl_imp_out(m, 1, m->failed ? 0 : ftl_imp_reshape(m, place, rank_of(m, prev), ftl_imp_type(m, prev)->dims));
}
