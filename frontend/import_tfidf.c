/* TfIdfVectorizer: how often n-grams of a pool occur, with gaps between their items.
 *
 * Items become numbers, then the n-grams that begin with known items are followed item by item: the number of the n-gram so
 * far and the next item are together looked up among the n-grams that are one longer. Every step does this for all
 * places of a row at once, so the work is the row's length for every n and every gap. */
#include <stdlib.h>

#include "ml.h"

typedef struct pool {
	ml_keys items;                            /* all n-grams, one after the other */
	uint32_t *item;                           /* number of each item among the distinct ones */
	uint32_t nitem;                           /* distinct ones */
	const int64_t *counts, *indexes;          /* where the n-grams of n begin; the output of each */
	uint32_t lengths, max, min, nout, ngrams; /* lengths: of n-grams in the pool; those up to max count */
} pool;

typedef struct numbered {
	const ml_keys *k;
	uint32_t at;
} numbered;

static int by_item(const void *a, const void *b)
{
	const numbered *x = a, *y = b;
	int c;

	if (x->k->s) {
		const ftl_str *s = &x->k->s[x->at], *t = &y->k->s[y->at];

		c = memcmp(s->p, t->p, s->n < t->n ? s->n : t->n);
		c = c ? c : (s->n > t->n) - (s->n < t->n);
	} else {
		c = (x->k->i[x->at] > y->k->i[y->at]) - (x->k->i[x->at] < y->k->i[y->at]);
	}
	return c;
}

/* Distinct items and the number of each; keys gets them. */
static void number_items(imp *m, pool *p, ml_keys *keys)
{
	numbered *v = FTL_NEW_N(m->tmp, numbered, (size_t)p->items.n + 1);
	ftl_str *s = FTL_NEW_N(m->arena, ftl_str, (size_t)p->items.n + 1);
	int64_t *i = FTL_NEW_N(m->tmp, int64_t, (size_t)p->items.n + 1);
	uint32_t n = 0;

	p->item = FTL_NEW_N(m->tmp, uint32_t, (size_t)p->items.n + 1);
	for (uint32_t k = 0; k < p->items.n; k++)
		v[k] = (numbered){&p->items, k};
	qsort(v, p->items.n, sizeof *v, by_item);
	for (uint32_t k = 0; k < p->items.n; k++) {
		if (k == 0 || by_item(&v[k - 1], &v[k]) != 0) {
			if (p->items.s)
				s[n] = p->items.s[v[k].at];
			else
				i[n] = p->items.i[v[k].at];
			n++;
		}
		p->item[v[k].at] = n - 1;
	}
	p->nitem = n;
	*keys = (ml_keys){.dtype = p->items.dtype, .n = n, .s = p->items.s ? s : NULL, .i = p->items.s ? NULL : i};
}

static int by_i64(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static uint32_t place_of(const int64_t *v, uint32_t n, int64_t x)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (v[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* One length of n-grams: keys (number of what is one shorter, item), and what each counts for. */
typedef struct level {
	int64_t *key;
	uint32_t n;
	int64_t *out; /* n + 1 entries; nout: nothing */
} level;

static void make_levels(imp *m, const pool *p, level *levels)
{
	uint32_t *number = FTL_NEW_N(m->tmp, uint32_t,
				     (size_t)p->items.n + 1); /* by first item: of the n-gram so far */

	for (uint32_t step = 1; step <= p->max; step++) {
		level *l = &levels[step - 1];
		uint32_t gram = 0, found = 0;

		l->key = FTL_NEW_N(m->tmp, int64_t, (size_t)p->items.n + 1);
		for (int pass = 0; pass < 2; pass++) {
			gram = 0;
			for (uint32_t n = 1; n <= p->lengths; n++) {
				int64_t end = n < p->lengths ? p->counts[n] : (int64_t)p->items.n;

				for (int64_t at = p->counts[n - 1]; at < end; at += n, gram++) {
					int64_t key;

					if (n < step || n > p->max)
						continue;
					key = (step > 1 ? (int64_t)number[at] : 0) * ((int64_t)p->nitem + 1) +
					      p->item[at + step - 1];
					if (pass == 0) {
						l->key[found++] = key;
						continue;
					}
					number[at] = place_of(l->key, l->n, key);
					if (n == step && n >= p->min)
						l->out[number[at]] = p->indexes[gram];
				}
			}
			if (pass == 1)
				break;
			qsort(l->key, found, sizeof *l->key, by_i64);
			for (uint32_t k = 0; k < found; k++)
				if (k == 0 || l->key[k] != l->key[k - 1])
					l->key[l->n++] = l->key[k];
			l->out = FTL_NEW_N(m->tmp, int64_t, (size_t)l->n + 1);
			for (uint32_t k = 0; k <= l->n; k++)
				l->out[k] = p->nout;
		}
	}
}

static bool read_pool(imp *m, pool *p)
{
	ftl_ints counts = ftl_imp_ints(m, "ngram_counts"), indexes = ftl_imp_ints(m, "ngram_indexes");
	int64_t max = ftl_imp_i(m, "max_gram_length", 1), min = ftl_imp_i(m, "min_gram_length", 1), grams = 0;

	p->items = ftl_ml_strings(ftl_imp_strs(m, "pool_strings"));
	if (!p->items.dtype)
		p->items = ftl_ml_ints(m, "pool_int64s", FTL_I64);
	p->counts = counts.v;
	p->indexes = indexes.v;
	if (m->failed)
		return false;
	if (min < 1 || max < min || max > counts.n || !indexes.n || max > 1000) {
		bad_model(m, "its n-gram lengths, counts and indexes do not fit each other");
		return false;
	}
	for (int64_t n = 1; n <= counts.n; n++) {
		int64_t end = n < counts.n ? counts.v[n] : (int64_t)p->items.n;

		if (counts.v[n - 1] < 0 || end < counts.v[n - 1] || end > p->items.n ||
		    (end - counts.v[n - 1]) % n != 0) {
			bad_model(m, "its pool has no whole number of n-grams of length %lld", (long long)n);
			return false;
		}
		grams += (end - counts.v[n - 1]) / n;
	}
	if (grams != indexes.n) {
		bad_model(m, "has %lld n-grams and %u indexes", (long long)grams, indexes.n);
		return false;
	}
	for (uint32_t i = 0; i < indexes.n; i++) {
		if (indexes.v[i] < 0 || indexes.v[i] >= INT32_MAX) {
			bad_model(m, "an index of an n-gram is negative or too large");
			return false;
		}
		if (indexes.v[i] >= p->nout)
			p->nout = (uint32_t)indexes.v[i] + 1;
	}
	p->lengths = counts.n;
	p->max = (uint32_t)max;
	p->min = (uint32_t)min;
	p->ngrams = indexes.n;
	return true;
}

/* Weights by output. */
static ftl_val weights(imp *m, const pool *p)
{
	ftl_floats w = ftl_imp_floats(m, "weights");
	float *v = FTL_NEW_N(m->tmp, float, (size_t)p->nout + 1);

	if (w.n && w.n != p->ngrams) {
		bad_model(m, "has %u weights for %u n-grams", w.n, p->ngrams);
		return 0;
	}
	for (uint32_t i = 0; i < p->nout; i++)
		v[i] = 1;
	for (uint32_t i = 0; i < w.n; i++)
		v[p->indexes[i]] = (float)w.v[i];
	return ftl_imp_bytes(m, FTL_F32, 1, &(int64_t){p->nout}, v);
}

void ftl_imp_do_tf_idf(imp *m)
{
	const char *mode = ftl_imp_s(m, "mode", "TF");
	ftl_val x = ftl_imp_need(m, 0), items, counts;
	int64_t skips = ftl_imp_i(m, "max_skip_count", 0);
	struct ftl_attrs_scatter_elements *a = NEW_ATTRS(m, scatter_elements);
	FTL_VEC(ftl_val) hits = {NULL, 0, 0};
	bool row = rank_of(m, x) == 1;
	pool p = {.items = {.n = 0}};
	ml_keys keys;
	level *levels;
	ftl_dim len, d[2];

	ftl_imp_want_rank(m, x, 1, 2, "X");
	if (m->failed || !read_pool(m, &p))
		return;
	if (skips < 0 || skips > 1000 || (skips + 1) * p.max > 4096) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "n-grams of up to %u items with up to %lld skipped are too many", p.max,
			     (long long)skips);
		return;
	}
	number_items(m, &p, &keys);
	levels = FTL_NEW_N(m->tmp, level, p.max);
	make_levels(m, &p, levels);
	if (keys.dtype == FTL_I64 && dtype_of(m, x) != FTL_STRING)
		x = ftl_imp_cast(m, x, FTL_I64);
	if (row)
		x = ftl_imp_unsqueeze(m, x, 0);
	items = ftl_ml_lookup(m, x, &keys);
	len = ftl_imp_dim(m, x, 1);
	for (int64_t gap = 1; gap <= skips + 1 && !m->failed; gap++) {
		ftl_val so_far = 0;

		for (uint32_t n = 1; n <= p.max && !m->failed; n++) {
			int64_t first = (n - 1) * gap, c;
			ftl_dim size = ftl_dim_max(m->st, ftl_dim_sub(m->st, len, dim_c(m, first)), dim_c(m, 0));
			ml_keys k = {.dtype = FTL_I64, .n = levels[n - 1].n, .i = levels[n - 1].key};
			ftl_val next;

			if (ftl_dim_is_const(m->st, size, &c) && c == 0)
				break;
			next = items;
			if (n > 1) {
				ftl_dim from = ftl_dim_min(m->st, dim_c(m, first), len);

				next = ftl_imp_slice(m, items, 1, from, size);
				so_far = ftl_imp_slice(m, so_far, 1, dim_c(m, 0), size);
				next = e_add(m, e_mulf(m, so_far, (double)p.nitem + 1), next);
			}
			so_far = ftl_ml_lookup(m, next, &k);
			/* what has no gap in it counts once */
			if (n >= p.min && (n > 1 || gap == 1)) {
				ftl_val out = ftl_imp_i64s(m, levels[n - 1].n + 1, levels[n - 1].out);

				ftl_vec_push(m->tmp, &hits, ftl_imp_gather(m, out, so_far, 0));
			}
		}
	}
	if (m->failed)
		return;
	d[0] = ftl_imp_dim(m, x, 0);
	d[1] = dim_c(m, (int64_t)p.nout + 1);
	counts = ftl_imp_expand(m, ftl_imp_scalar(m, FTL_F32, 0), 2, d);
	if (hits.n) {
		ftl_val at = ftl_imp_concat(m, 1, hits.n, hits.v);

		d[1] = ftl_imp_dim(m, at, 1);
		a->axis = 1;
		a->reduction = "add";
		counts = ftl_imp_op(
			m, FTL_OP_scatter_elements, a, 3,
			(const ftl_val[]){counts, at, ftl_imp_expand(m, ftl_imp_scalar(m, FTL_F32, 1), 2, d)});
	}
	counts = ftl_imp_slice(m, counts, 1, dim_c(m, 0), dim_c(m, p.nout));
	if (!strcmp(mode, "IDF"))
		counts = e_where(m, op2(m, FTL_OP_gt, counts, e_num(m, counts, 0)), weights(m, &p),
				 e_num(m, counts, 0));
	else if (!strcmp(mode, "TFIDF"))
		counts = e_mul(m, counts, weights(m, &p));
	else if (strcmp(mode, "TF") != 0)
		bad_model(m, "unknown mode \"%.32s\"", mode);
	ftl_imp_out(m, 0, row ? ftl_imp_squeeze(m, counts, 0) : counts);
}
