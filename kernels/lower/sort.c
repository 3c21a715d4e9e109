/* Stable merge sort inside a kernel, bottom up: runs of 1, 2, 4 ... are merged into tmp and copied back. */
#include "util.h"

static ftl_kv op2(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv y)
{
	return ftl_k2(b, op, x, y);
}

static void bump(ftl_kb *b, ftl_kv var)
{
	ftl_k_set(b, var, op2(b, FTL_K_add, ftl_k_get(b, var), ftl_k_i64(b, 1)));
}

void ftl_u_sort(ftl_kern *k, ftl_kv perm, ftl_kv tmp, ftl_kv n, ftl_kv (*before)(void *user, ftl_kv p, ftl_kv q),
		void *user)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv zero = ftl_k_i64(b, 0), one = ftl_k_i64(b, 1), two = ftl_k_i64(b, 2), last = op2(b, FTL_K_sub, n, one);
	ftl_kv run = ftl_k_var(b, one), w, runs, lo, mid, hi, i, j, vi, vj, left, right, pi, pj, take_right;
	ftl_kscope rounds, pairs, merge, c;

	rounds = ftl_k_loop(b);
	w = ftl_k_get(b, run);
	ftl_k_break(b, op2(b, FTL_K_le, n, w));
	/* ceil(n / 2w) pairs of runs */
	runs = op2(b, FTL_K_add, op2(b, FTL_K_div, last, op2(b, FTL_K_mul, w, two)), one);
	pairs = ftl_k_for(b, zero, runs, 1);
	lo = op2(b, FTL_K_mul, pairs.index, op2(b, FTL_K_mul, w, two));
	mid = op2(b, FTL_K_min, n, op2(b, FTL_K_add, lo, w));
	hi = op2(b, FTL_K_min, n, op2(b, FTL_K_add, mid, w));
	i = ftl_k_var(b, lo);
	j = ftl_k_var(b, mid);
	merge = ftl_k_for(b, lo, hi, 1);
	vi = ftl_k_get(b, i);
	vj = ftl_k_get(b, j);
	left = op2(b, FTL_K_lt, vi, mid);
	right = op2(b, FTL_K_lt, vj, hi);
	pi = ftl_k_load(b, FTL_I64, perm, op2(b, FTL_K_min, vi, last), 1);
	pj = ftl_k_load(b, FTL_I64, perm, op2(b, FTL_K_min, vj, last), 1);
	take_right = op2(b, FTL_K_or, ftl_k1(b, FTL_K_not, left), before(user, pj, pi));
	c = ftl_k_if(b, op2(b, FTL_K_and, right, take_right));
	ftl_k_store(b, tmp, merge.index, pj);
	bump(b, j);
	ftl_k_else(b, &c);
	ftl_k_store(b, tmp, merge.index, pi);
	bump(b, i);
	ftl_k_end(b, &c);
	ftl_k_end(b, &merge);
	ftl_k_end(b, &pairs);
	ftl_k_copy(b, perm, tmp, op2(b, FTL_K_mul, n, ftl_k_i64(b, 8)));
	ftl_k_set(b, run, op2(b, FTL_K_mul, w, two));
	ftl_k_end(b, &rounds);
}
