/* non_max_suppression: per batch and class the boxes above the score threshold, best first, less those that overlap a
 * better one.
 *
 * One piece per (batch, class) sorts its candidates by score and picks greedily; the corners of what it has picked lie in
 * scratch as arrays, so that a candidate is held against a vector of them at a time. A serial kernel then adds up the
 * counts, the program learns the total, and a last kernel writes the triples. The rules for degenerate boxes are
 * ONNX Runtime's: no overlap unless both areas and their common part are positive. */
#include "util.h"

enum { CORNERS = 5 }; /* y0 x0 y1 x1 area */

typedef struct nms {
	ftl_lo *lo;
	const ftl_node *n;
	ftl_node_id id;
	ftl_kern *k;
	ftl_kb *b;
	ftl_dim boxes, classes, cap, pairs;
	ftl_kv row, perm, chosen[CORNERS]; /* of this piece: number of its first score, addresses */
	ftl_kv first_box;
} nms;

static ftl_kv op2(const nms *s, ftl_kop op, ftl_kv x, ftl_kv y)
{
	return ftl_k2(s->b, op, x, y);
}
static ftl_kv i64(const nms *s, int64_t v)
{
	return ftl_k_i64(s->b, v);
}
static bool has(const nms *s, uint32_t k)
{
	return k < s->n->nin && s->n->in[k];
}

static ftl_kv score(const nms *s, ftl_kv i)
{
	return ftl_read_flat(s->k, s->n->in[1], op2(s, FTL_K_add, s->row, i), 1);
}

static ftl_kv better(void *user, ftl_kv p, ftl_kv q)
{
	const nms *s = user;

	return op2(s, FTL_K_lt, score(s, q), score(s, p));
}

/* y0 x0 y1 x1 area of box i */
static void corners(const nms *s, ftl_kv i, ftl_kv *out)
{
	ftl_kv at = op2(s, FTL_K_mul, op2(s, FTL_K_add, s->first_box, i), i64(s, 4)), e[4];

	for (int j = 0; j < 4; j++)
		e[j] = ftl_read_flat(s->k, s->n->in[0], op2(s, FTL_K_add, at, i64(s, j)), 1);
	if (FTL_ATTRS(s->n, non_max_suppression)->center_point_box) { /* x y width height */
		ftl_kv half = ftl_k_num(s->b, ftl_ktype_of(s->b->f, e[0]), 0.5);

		for (int j = 0; j < 2; j++) {
			ftl_kv r = op2(s, FTL_K_mul, e[2 + j], half);

			out[1 - j] = op2(s, FTL_K_sub, e[j], r);
			out[3 - j] = op2(s, FTL_K_add, e[j], r);
		}
	} else { /* any two opposite corners */
		for (int j = 0; j < 2; j++) {
			out[j] = op2(s, FTL_K_min, e[j], e[2 + j]);
			out[2 + j] = op2(s, FTL_K_max, e[j], e[2 + j]);
		}
	}
	out[4] = op2(s, FTL_K_mul, op2(s, FTL_K_sub, out[2], out[0]), op2(s, FTL_K_sub, out[3], out[1]));
}

/* Does box a (scalars) overlap the boxes b (lanes) by more than the threshold? */
static ftl_kv overlaps(const nms *s, const ftl_kv *a, const ftl_kv *b, ftl_kv limit)
{
	ftl_kv zero = ftl_k_num(s->b, FTL_KT(FTL_F32, 1), 0), size[2], common, all, yes;

	for (int j = 0; j < 2; j++)
		size[j] = op2(s, FTL_K_sub, op2(s, FTL_K_min, b[2 + j], a[2 + j]), op2(s, FTL_K_max, b[j], a[j]));
	common = op2(s, FTL_K_mul, size[0], size[1]);
	all = op2(s, FTL_K_sub, op2(s, FTL_K_add, b[4], a[4]), common);
	yes = op2(s, FTL_K_and, op2(s, FTL_K_lt, zero, size[0]), op2(s, FTL_K_lt, zero, size[1]));
	yes = op2(s, FTL_K_and, yes, op2(s, FTL_K_lt, zero, common));
	yes = op2(s, FTL_K_and, yes, op2(s, FTL_K_and, op2(s, FTL_K_lt, zero, a[4]), op2(s, FTL_K_lt, zero, b[4])));
	yes = op2(s, FTL_K_and, yes, op2(s, FTL_K_lt, zero, all));
	return op2(s, FTL_K_and, yes, op2(s, FTL_K_lt, limit, op2(s, FTL_K_div, common, all)));
}

/* Candidates at perm[0..count) in order of their scores: the survivors move to its front. Returns how many. */
static ftl_kv pick(const nms *s, ftl_kv count, ftl_kv most)
{
	ftl_kb *b = s->b;
	ftl_kv taken = ftl_k_var(b, i64(s, 0)), limit, box, mine[CORNERS], theirs[CORNERS], free_, hit, at;
	ftl_kscope f, c;

	limit = has(s, 3) ? ftl_u_read_one(s->k, s->n->in[3]) : ftl_k_num(b, FTL_KT(FTL_F32, 1), 0);
	f = ftl_k_for(b, i64(s, 0), count, 1);
	ftl_k_break(b, op2(s, FTL_K_le, most, ftl_k_get(b, taken)));
	box = ftl_k_load(b, FTL_I64, s->perm, f.index, 1);
	corners(s, box, mine);
	free_ = ftl_k_var(b, ftl_k_int(b, FTL_KT_BOOL, 1));
	for (ftl_vloop l = ftl_vloop_begin(s->k, i64(s, 0), ftl_k_get(b, taken), ftl_kern_width(s->k, FTL_F32));
	     ftl_vloop_next(&l);) {
		for (int j = 0; j < CORNERS; j++)
			theirs[j] = ftl_k_load(b, FTL_F32, s->chosen[j], l.base, l.lanes);
		hit = ftl_k1(b, FTL_K_not, ftl_u_all(b, ftl_k1(b, FTL_K_not, overlaps(s, mine, theirs, limit))));
		ftl_k_set(b, free_, op2(s, FTL_K_and, ftl_k_get(b, free_), ftl_k1(b, FTL_K_not, hit)));
		ftl_k_break(b, hit);
	}
	c = ftl_k_if(b, ftl_k_get(b, free_));
	at = ftl_k_get(b, taken);
	ftl_k_store(b, s->perm, at, box);
	for (int j = 0; j < CORNERS; j++)
		ftl_k_store(b, s->chosen[j], at, mine[j]);
	ftl_k_set(b, taken, op2(s, FTL_K_add, at, i64(s, 1)));
	ftl_k_end(b, &c);
	ftl_k_end(b, &f);
	return ftl_k_get(b, taken);
}

static ftl_kv row_of(const nms *s, ftl_kv base, ftl_dim len, int64_t size)
{
	ftl_kv at = op2(s, FTL_K_mul, ftl_kern_grid(s->k), ftl_kern_dim(s->k, len));

	return ftl_k_offset(s->b, ftl_kern_arg(s->k, base), op2(s, FTL_K_mul, at, i64(s, size)));
}

static void begin(nms *s, const char *what)
{
	s->k = ftl_kern_begin(s->lo, s->id, what);
	s->b = ftl_kern_b(s->k);
}

/* Per piece: candidates, sorted, picked; how many to counts[piece]. */
static void select_boxes(nms *s, ftl_kv perm, ftl_kv tmp, const ftl_kv *chosen, ftl_kv counts, ftl_kv most)
{
	ftl_kv g, count, taken;
	ftl_kscope f, c;

	begin(s, "select boxes");
	g = ftl_kern_grid(s->k);
	s->row = op2(s, FTL_K_mul, g, ftl_kern_dim(s->k, s->boxes));
	s->first_box = op2(s, FTL_K_mul, op2(s, FTL_K_div, g, ftl_kern_dim(s->k, s->classes)),
			   ftl_kern_dim(s->k, s->boxes));
	s->perm = row_of(s, perm, s->boxes, 8);
	for (int j = 0; j < CORNERS; j++)
		s->chosen[j] = row_of(s, chosen[j], s->cap, 4);
	count = ftl_k_var(s->b, i64(s, 0));
	f = ftl_k_for(s->b, i64(s, 0), ftl_kern_dim(s->k, s->boxes), 1);
	if (has(s, 4))
		c = ftl_k_if(s->b, op2(s, FTL_K_lt, ftl_u_read_one(s->k, s->n->in[4]), score(s, f.index)));
	ftl_k_store(s->b, s->perm, ftl_k_get(s->b, count), f.index);
	ftl_k_set(s->b, count, op2(s, FTL_K_add, ftl_k_get(s->b, count), i64(s, 1)));
	if (has(s, 4))
		ftl_k_end(s->b, &c);
	ftl_k_end(s->b, &f);
	ftl_u_sort(s->k, s->perm, row_of(s, tmp, s->boxes, 8), ftl_k_get(s->b, count), better, s);
	taken = pick(s, ftl_k_get(s->b, count), ftl_kern_arg(s->k, most));
	ftl_k_store(s->b, ftl_kern_arg(s->k, counts), g, taken);
	ftl_kern_launch(s->k, ftl_lo_dim(s->lo, s->pairs), ftl_u_cost(s->lo, s->boxes, 64));
}

/* starts[piece] = boxes of the pieces before; the program learns the total. */
static void add_up(nms *s, ftl_kv counts, ftl_kv starts, ftl_kv total)
{
	ftl_kv sum;
	ftl_kscope f;

	begin(s, "count boxes");
	sum = ftl_k_var(s->b, i64(s, 0));
	f = ftl_k_for(s->b, i64(s, 0), ftl_kern_dim(s->k, s->pairs), 1);
	ftl_k_store(s->b, ftl_kern_arg(s->k, starts), f.index, ftl_k_get(s->b, sum));
	ftl_k_set(s->b, sum,
		  op2(s, FTL_K_add, ftl_k_get(s->b, sum),
		      ftl_k_load(s->b, FTL_I64, ftl_kern_arg(s->k, counts), f.index, 1)));
	ftl_k_end(s->b, &f);
	ftl_k_store(s->b, ftl_kern_arg(s->k, total), i64(s, 0), ftl_k_get(s->b, sum));
	ftl_kern_launch(s->k, ftl_k_i64(ftl_lo_main(s->lo), 1), ftl_u_cost(s->lo, s->pairs, 2));
	ftl_u_bind_count(s->lo, s->n, ftl_type_of(ftl_lo_graph(s->lo), s->n->out[0])->dims[0], total);
}

static void write_triples(nms *s, ftl_kv perm, ftl_kv counts, ftl_kv starts)
{
	ftl_kv g, at, batch, class_, out, triple[3];
	ftl_kscope f;

	begin(s, "write boxes");
	g = ftl_kern_grid(s->k);
	batch = op2(s, FTL_K_div, g, ftl_kern_dim(s->k, s->classes));
	class_ = op2(s, FTL_K_rem, g, ftl_kern_dim(s->k, s->classes));
	s->perm = row_of(s, perm, s->boxes, 8);
	at = ftl_k_load(s->b, FTL_I64, ftl_kern_arg(s->k, starts), g, 1);
	out = ftl_kern_ptr(s->k, s->n->out[0]);
	f = ftl_k_for(s->b, i64(s, 0), ftl_k_load(s->b, FTL_I64, ftl_kern_arg(s->k, counts), g, 1), 1);
	triple[0] = batch;
	triple[1] = class_;
	triple[2] = ftl_k_load(s->b, FTL_I64, s->perm, f.index, 1);
	for (int j = 0; j < 3; j++) {
		ftl_kv to = op2(s, FTL_K_mul, op2(s, FTL_K_add, at, f.index), i64(s, 3));

		ftl_k_store(s->b, out, op2(s, FTL_K_add, to, i64(s, j)), triple[j]);
	}
	ftl_k_end(s->b, &f);
	ftl_kern_launch(s->k, ftl_lo_dim(s->lo, s->pairs), ftl_u_cost(s->lo, s->cap, 4));
}

ftl_status ftl_nest_non_max_suppression(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const ftl_type *scores = ftl_type_of(g, n->in[1]);
	ftl_symtab *st = g->st;
	nms s = {.lo = lo, .n = n, .id = id, .boxes = scores->dims[2], .classes = scores->dims[1]};
	ftl_kb *b = ftl_lo_main(lo);
	ftl_kv perm, tmp, chosen[CORNERS], counts, starts, total, most;
	ftl_dim cells, word = ftl_u_const(lo, 8);

	s.pairs = ftl_dim_mul(st, scores->dims[0], s.classes);
	/* no more are kept than asked for, if that is known */
	s.cap = s.boxes;
	most = ftl_k_i64(b, 0);
	if (has(&s, 2)) {
		const ftl_value *v = ftl_value_get(g, n->in[2]);

		most = ftl_u_clamp(b, ftl_u_elem(lo, n, n->in[2], 0), ftl_k_i64(b, 0), ftl_lo_dim(lo, s.boxes));
		if (v->sym && v->nsym == 1 && ftl_u_known(lo, v->sym[0]) && ftl_dim_lo(st, v->sym[0]) >= 0)
			s.cap = ftl_dim_min(st, s.boxes, v->sym[0]);
	}
	ftl_u_check_eq(lo, n, scores->dims[0], ftl_type_of(g, n->in[0])->dims[0],
		       "batch sizes of boxes and scores differ");
	ftl_u_check_eq(lo, n, scores->dims[2], ftl_type_of(g, n->in[0])->dims[1], "as many scores as boxes are needed");
	ftl_u_check_eq(lo, n, ftl_type_of(g, n->in[0])->dims[2], ftl_u_const(lo, 4), "boxes should have 4 coordinates");
	for (uint32_t i = 3; i < 5; i++)
		if (has(&s, i))
			ftl_u_check_le(lo, n, ftl_u_const(lo, 1), ftl_type_numel(g, ftl_type_of(g, n->in[i])),
				       "a threshold is empty");
	cells = ftl_dim_mul(st, ftl_dim_mul(st, s.pairs, s.boxes), word);
	perm = ftl_lo_temp(lo, cells);
	tmp = ftl_lo_temp(lo, cells);
	for (int j = 0; j < CORNERS; j++)
		chosen[j] = ftl_lo_temp(lo, ftl_dim_mul(st, ftl_dim_mul(st, s.pairs, s.cap), ftl_u_const(lo, 4)));
	counts = ftl_lo_temp(lo, ftl_dim_mul(st, s.pairs, word));
	starts = ftl_lo_temp(lo, ftl_dim_mul(st, s.pairs, word));
	total = ftl_lo_temp(lo, word);
	select_boxes(&s, perm, tmp, chosen, counts, most);
	add_up(&s, counts, starts, total);
	write_triples(&s, perm, counts, starts);
	return FTL_OK;
}
