/* If, Loop and Scan: control flow of the program, with the regions lowered in place.
 *
 * A result whose size follows from the inputs has a planned buffer; one whose size only the run knows lives on the heap,
 * its address in a variable and its dims in symbols that are set again whenever they change. Carried values of a loop are
 * copied into their place at the end of a pass, those that trade places through scratch. */
#include "kernels/lower/sequence.h"

/* Where a value that several places assign lives. */
struct place {
	ftl_val v; /* the value as seen inside (loop parameter) or outside (if result) */
	const ftl_type *t;
	bool heap;
	ftl_lo_seq *seq; /* a sequence or optional: it lives there, and heap is set */
	ftl_kv var;      /* heap: its address */
	ftl_kv ptr;      /* planned: its address */
	uint32_t buf;
};

static ftl_kv bytes_of(ftl_lo *lo, const ftl_type *t)
{
	return ftl_lo_bytes_checked(lo, t);
}

static void place_make(ftl_lo *lo, ftl_val v, struct place *p)
{
	p->v = v;
	p->t = ftl_type_of(lo->g, v);
	p->seq = p->t->seq ? ftl_seq_new(lo) : NULL;
	if (p->seq) {
		p->heap = true;
		return;
	}
	p->heap = !ftl_lo_entry_dim(lo, ftl_lo_bytes(lo, p->t));
	if (p->heap)
		p->var = ftl_k_var(&lo->main, ftl_k_workspace(&lo->main));
	else
		p->ptr = ftl_lo_storage(lo, p->t, &p->buf);
}

/* Let value v be what the place holds now, in the current block. */
static void place_show(ftl_lo *lo, const struct place *p, ftl_val v)
{
	ftl_lo_value *s = &lo->val[v];

	s->seq = p->seq;
	if (p->seq)
		return;
	s->ptr = p->heap ? ftl_k_get(&lo->main, p->var) : p->ptr;
	s->buf = p->buf;
}

/* Symbols of t that have no value yet. */
static void unbound(ftl_lo *lo, const ftl_type *t, bool *out)
{
	for (int d = 0; d < t->rank; d++)
		out[d] = ftl_dim_get(lo->g->st, t->dims[d])->kind == FTL_DIM_SYM && !ftl_lo_bound(lo, t->dims[d]);
}

/* A fresh heap copy of `from` (dims as its own type says), in the current block. */
static ftl_kv heap_copy(ftl_lo *lo, ftl_val from)
{
	ftl_kv bytes = bytes_of(lo, ftl_type_of(lo->g, from)), src = ftl_lo_ptr(lo, from);
	ftl_kv p = ftl_k_alloc(&lo->main, bytes);

	ftl_k_copy(&lo->main, p, src, bytes);
	return p;
}

static void own_heap(ftl_lo *lo, ftl_val v)
{
	lo->val[v].heap = true;
	ftl_vec_push(lo->arena, &lo->heap, v);
}

/* A result may be wanted in the caller's memory; it is copied there when the program ends. */
static ftl_kv scalar_bool(ftl_lo *lo, ftl_val v)
{
	return ftl_k_load(&lo->main, FTL_BOOL, ftl_lo_ptr(lo, v), ftl_k_i64(&lo->main, 0), 1);
}

ftl_status ftl_prog_if(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	struct place *p = FTL_NEW_N(lo->arena, struct place, n->nout);
	bool(*fresh)[FTL_MAX_RANK] = ftl_arena_array(lo->arena, n->nout, sizeof *fresh);
	ftl_kb *b = &lo->main;
	ftl_kv cond = scalar_bool(lo, n->in[0]);
	ftl_kscope s;

	for (uint32_t i = 0; i < n->nout; i++) {
		unbound(lo, ftl_type_of(lo->g, n->out[i]), fresh[i]);
		place_make(lo, n->out[i], &p[i]);
	}
	s = ftl_k_if(b, cond);
	for (int arm = 0; arm < 2; arm++) {
		const ftl_node *y = ftl_node_get(lo->g, ftl_region_get(lo->g, n->regions[arm])->last);
		ftl_lo_heap left;

		if (arm)
			ftl_k_else(b, &s);
		FTL_TRY(ftl_lo_region(lo, n->regions[arm]));
		left = lo->inner;
		for (uint32_t i = 0; i < n->nout; i++) {
			const ftl_type *t = ftl_type_of(lo->g, y->in[i]);

			for (int d = 0; d < t->rank; d++)
				if (fresh[i][d])
					ftl_lo_bind(lo, p[i].t->dims[d], ftl_lo_dim(lo, t->dims[d]));
			if (p[i].seq) {
				ftl_seq_move(lo, p[i].seq,
					     ftl_seq_take(lo, ftl_region_get(lo->g, n->regions[arm])->last, y->in[i]));
			} else if (p[i].heap) {
				ftl_k_set(b, p[i].var, heap_copy(lo, y->in[i]));
			} else {
				ftl_kv bytes = bytes_of(lo, t);

				/* the place was sized for the result's type; a branch that disagrees ends the run */
				ftl_k_check(b, ftl_k2(b, FTL_K_eq, bytes, bytes_of(lo, p[i].t)),
					    ftl_lo_msg(lo, n, "a branch gives a result of another shape"));
				ftl_k_copy(b, p[i].ptr, ftl_lo_ptr(lo, y->in[i]), bytes);
			}
		}
		ftl_lo_region_end(lo, left);
	}
	ftl_k_end(b, &s);
	for (uint32_t i = 0; i < n->nout; i++) {
		place_show(lo, &p[i], n->out[i]);
		if (p[i].heap)
			own_heap(lo, n->out[i]);
	}
	return FTL_OK;
}

/* ---- loops ---- */

struct looping {
	ftl_lo *lo;
	ftl_node_id id;
	const ftl_node *n, *y;
	const ftl_region *r;
	uint32_t ncarry, nscan; /* carried values, collected outputs */
	uint32_t first_in, first_param,
		first_yield; /* where carried values start among operands, parameters, results */
	struct place *carry;
	struct place *scan; /* v = the output */
	ftl_kv *cap;        /* heap scans: variable with the capacity in bytes */
	ftl_kv iter;        /* variable: passes done */
};

static void start_carried(struct looping *l)
{
	ftl_lo *lo = l->lo;
	ftl_kb *b = &lo->main;

	for (uint32_t i = 0; i < l->ncarry; i++) {
		ftl_val from = l->n->in[l->first_in + i], param = l->r->params.v[l->first_param + i];
		const ftl_type *t = ftl_type_of(lo->g, from), *pt = ftl_type_of(lo->g, param);

		for (int d = 0; d < pt->rank; d++)
			if (ftl_dim_get(lo->g->st, pt->dims[d])->kind == FTL_DIM_SYM && !ftl_lo_bound(lo, pt->dims[d]))
				ftl_lo_bind(lo, pt->dims[d], ftl_lo_dim(lo, t->dims[d]));
		place_make(lo, param, &l->carry[i]);
		if (l->carry[i].seq)
			ftl_seq_move(lo, l->carry[i].seq, ftl_seq_take(lo, l->id, from));
		else if (l->carry[i].heap)
			ftl_k_set(b, l->carry[i].var, heap_copy(lo, from));
		else
			ftl_k_copy(b, l->carry[i].ptr, ftl_lo_ptr(lo, from), bytes_of(lo, t));
	}
}

static void start_scans(struct looping *l)
{
	ftl_lo *lo = l->lo;
	ftl_kb *b = &lo->main;

	for (uint32_t i = 0; i < l->nscan; i++) {
		ftl_val out = l->n->out[l->ncarry + i];

		place_make(lo, out, &l->scan[i]);
		if (l->scan[i].heap) {
			l->cap[i] = ftl_k_var(b, ftl_k_i64(b, 64));
			ftl_k_set(b, l->scan[i].var, ftl_k_alloc(b, ftl_k_i64(b, 64)));
		}
	}
}

/* At the end of a pass: the body's results become the next pass's parameters. */
static void carry_over(struct looping *l)
{
	ftl_lo *lo = l->lo;
	ftl_kb *b = &lo->main;
	ftl_kv *src = FTL_NEW_N(lo->arena, ftl_kv, l->ncarry + 1);
	ftl_lo_seq **seq = FTL_NEW_N(lo->arena, ftl_lo_seq *, l->ncarry + 1);
	FTL_VEC(struct {
		ftl_dim sym;
		ftl_kv x;
	}) dims = {NULL, 0, 0};

	for (uint32_t i = 0; i < l->ncarry; i++) {
		ftl_val y = l->y->in[l->first_yield + i], root = ftl_lo_root(lo, y);
		const ftl_type *t = ftl_type_of(lo->g, y);
		struct place *p = &l->carry[i];

		if (p->seq) {
			seq[i] = ftl_seq_take(lo, l->r->last, y);
		} else if (p->heap) {
			src[i] = heap_copy(lo, y);
			for (int d = 0; d < t->rank; d++)
				if (ftl_dim_get(lo->g->st, p->t->dims[d])->kind == FTL_DIM_SYM &&
				    p->t->dims[d] != t->dims[d])
					ftl_vec_push(
						lo->arena, &dims,
						((__typeof__(*dims.v)){p->t->dims[d], ftl_lo_dim(lo, t->dims[d])}));
		} else if (root == p->v) {
			src[i] = 0; /* unchanged */
		} else {
			ftl_kv bytes = bytes_of(lo, t);

			src[i] = ftl_lo_ptr(lo, y);
			ftl_k_check(b, ftl_k2(b, FTL_K_eq, bytes, bytes_of(lo, p->t)),
				    ftl_lo_msg(lo, l->n, "a carried value changes its shape"));
			for (uint32_t j = 0; j < l->ncarry; j++) {
				uint32_t buf;

				if (j == i || root != l->carry[j].v)
					continue;
				/* another carried value's place, about to be overwritten */
				ftl_kv tmp = ftl_lo_storage(lo, p->t, &buf);

				ftl_k_copy(b, tmp, src[i], bytes);
				src[i] = tmp;
				break;
			}
		}
	}
	for (uint32_t i = 0; i < l->ncarry; i++) {
		struct place *p = &l->carry[i];

		if (p->seq) {
			ftl_seq_free(lo, p->seq);
			ftl_seq_move(lo, p->seq, seq[i]);
		} else if (p->heap) {
			ftl_k_free(b, ftl_k_get(b, p->var));
			ftl_k_set(b, p->var, src[i]);
		} else if (src[i]) {
			ftl_k_copy(b, p->ptr, src[i], bytes_of(lo, p->t));
		}
	}
	for (uint32_t i = 0; i < dims.n; i++)
		ftl_lo_bind(lo, dims.v[i].sym, dims.v[i].x);
}

/* Copy rows: piece o moves `inner` bytes from src + src_at + o * src_step to dst + dst_at + o * dst_step. */
static void strided_copy(struct looping *l, ftl_kv dst, ftl_kv src, ftl_kv outer, ftl_kv inner, ftl_kv dst_at,
			 ftl_kv dst_step, ftl_kv src_at, ftl_kv src_step)
{
	ftl_kern *k = ftl_kern_begin(l->lo, l->id, "slice");
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv g = ftl_kern_grid(k);
	ftl_kv to = ftl_k2(b, FTL_K_add, ftl_kern_arg(k, dst_at), ftl_k2(b, FTL_K_mul, g, ftl_kern_arg(k, dst_step)));
	ftl_kv from = ftl_k2(b, FTL_K_add, ftl_kern_arg(k, src_at), ftl_k2(b, FTL_K_mul, g, ftl_kern_arg(k, src_step)));

	ftl_k_copy(b, ftl_k_offset(b, ftl_kern_arg(k, dst), to), ftl_k_offset(b, ftl_kern_arg(k, src), from),
		   ftl_kern_arg(k, inner));
	ftl_kern_launch(k, outer, 256);
}

/* Bytes of dims [from, to) of t, as a program value. */
static ftl_kv extent(ftl_lo *lo, const ftl_type *t, int from, int to, bool in_bytes)
{
	ftl_kb *b = &lo->main;
	ftl_kv n = ftl_k_i64(b, in_bytes ? (int64_t)ftl_dtype_bytes(t->dtype) : 1);

	for (int d = from; d < to; d++)
		n = ftl_k2(b, FTL_K_mul, n, ftl_lo_dim(lo, t->dims[d]));
	return n;
}

/* Put this pass's slice of collected output i at place `at` of `axis`. */
static void collect(struct looping *l, uint32_t i, ftl_kv at, int axis)
{
	ftl_lo *lo = l->lo;
	ftl_kb *b = &lo->main;
	ftl_val y = l->y->in[l->first_yield + l->ncarry + i];
	const ftl_type *t = ftl_type_of(lo->g, y);
	struct place *p = &l->scan[i];
	ftl_kv bytes = bytes_of(lo, t), src = ftl_lo_ptr(lo, y), inner, step;

	for (int d = 0; d < t->rank; d++) {
		ftl_dim o = p->t->dims[d < axis ? d : d + 1];
		ftl_kv x = ftl_lo_dim(lo, t->dims[d]), same;

		if (o == t->dims[d])
			continue;
		/* the first pass says how large slices are; all must agree */
		if (ftl_dim_get(lo->g->st, o)->kind == FTL_DIM_SYM && p->heap) {
			ftl_kscope s = ftl_k_if(b, ftl_k2(b, FTL_K_eq, ftl_k_get(b, l->iter), ftl_k_i64(b, 0)));

			ftl_lo_bind(lo, o, x);
			ftl_k_end(b, &s);
		}
		same = ftl_k2(b, FTL_K_eq, x, ftl_lo_dim(lo, o));
		ftl_k_check(b, same, ftl_lo_msg(lo, l->n, "slices of a collected output differ in shape"));
	}
	if (p->heap) {
		/* along an inner axis slices lie apart, so that the first needs room for all; their number is known there */
		ftl_kv need = axis ? ftl_lo_bytes_checked(lo, p->t)
				   : ftl_k2(b, FTL_K_mul, bytes, ftl_k2(b, FTL_K_add, at, ftl_k_i64(b, 1)));
		ftl_kscope s = ftl_k_if(b, ftl_k2(b, FTL_K_lt, ftl_k_get(b, l->cap[i]), need));
		ftl_kv twice = axis ? need : ftl_k2(b, FTL_K_mul, need, ftl_k_i64(b, 2)), old = ftl_k_get(b, p->var);
		ftl_kv fresh = ftl_k_alloc(b, twice);

		/* collecting from the end backwards, nothing is there yet at the one time it grows */
		if (!axis)
			ftl_k_copy(b, fresh, old,
				   ftl_k2(b, FTL_K_min, ftl_k_get(b, l->cap[i]), ftl_k2(b, FTL_K_mul, bytes, at)));
		ftl_k_free(b, old);
		ftl_k_set(b, p->var, fresh);
		ftl_k_set(b, l->cap[i], twice);
		ftl_k_end(b, &s);
	}
	{
		ftl_kv dst = p->heap ? ftl_k_get(b, p->var) : p->ptr;

		if (axis == 0) {
			ftl_k_copy(b, ftl_k_offset(b, dst, ftl_k2(b, FTL_K_mul, at, bytes)), src, bytes);
			return;
		}
		inner = extent(lo, t, axis, t->rank, true);
		step = ftl_k2(b, FTL_K_mul, inner, ftl_lo_dim(lo, p->t->dims[axis]));
		strided_copy(l, dst, src, extent(lo, t, 0, axis, false), inner, ftl_k2(b, FTL_K_mul, at, inner), step,
			     ftl_k_i64(b, 0), inner);
	}
}

static void finish(struct looping *l)
{
	ftl_lo *lo = l->lo;

	for (uint32_t i = 0; i < l->ncarry; i++) {
		ftl_val out = l->n->out[i];
		const ftl_type *t = ftl_type_of(lo->g, out);

		for (int d = 0; d < t->rank; d++)
			if (ftl_dim_get(lo->g->st, t->dims[d])->kind == FTL_DIM_SYM && !ftl_lo_bound(lo, t->dims[d]))
				ftl_lo_bind(lo, t->dims[d], ftl_lo_dim(lo, l->carry[i].t->dims[d]));
		place_show(lo, &l->carry[i], out);
		if (l->carry[i].heap)
			own_heap(lo, out);
	}
	for (uint32_t i = 0; i < l->nscan; i++) {
		ftl_val out = l->n->out[l->ncarry + i];

		place_show(lo, &l->scan[i], out);
		if (l->scan[i].heap)
			own_heap(lo, out);
	}
}

static void prepare(struct looping *l, ftl_lo *lo, ftl_node_id id)
{
	l->lo = lo;
	l->id = id;
	l->n = ftl_node_get(lo->g, id);
	l->r = ftl_region_get(lo->g, l->n->regions[0]);
	l->y = ftl_node_get(lo->g, l->r->last);
	l->carry = FTL_NEW_N(lo->arena, struct place, l->ncarry + 1);
	l->scan = FTL_NEW_N(lo->arena, struct place, l->nscan + 1);
	l->cap = FTL_NEW_N(lo->arena, ftl_kv, l->nscan + 1);
	l->iter = ftl_k_var(&lo->main, ftl_k_i64(&lo->main, 0));
}

/* Symbols of a collected output's leading dims that nothing has bound get the pass count. */
static void bind_count(struct looping *l, ftl_kv count, const int64_t *axis)
{
	for (uint32_t i = 0; i < l->nscan; i++) {
		const ftl_type *t = ftl_type_of(l->lo->g, l->n->out[l->ncarry + i]);
		ftl_dim d = t->dims[axis ? axis[i] : 0];

		if (ftl_dim_get(l->lo->g->st, d)->kind == FTL_DIM_SYM && !ftl_lo_bound(l->lo, d))
			ftl_lo_bind(l->lo, d, count);
	}
}

ftl_status ftl_prog_loop(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	struct looping *l = FTL_NEW(lo->arena, struct looping);
	ftl_kb *b = &lo->main;
	ftl_kv max = 0, go, iter_ptr, cond_ptr, i;
	ftl_kscope s;
	ftl_lo_heap left;
	uint32_t buf;

	l->ncarry = n->nin - 2;
	l->nscan = n->nout - l->ncarry;
	l->first_in = l->first_param = 2;
	l->first_yield = 1;
	prepare(l, lo, id);
	if (n->in[0])
		max = ftl_k_cast(b,
				 ftl_k_load(b, ftl_type_of(lo->g, n->in[0])->dtype, ftl_lo_ptr(lo, n->in[0]),
					    ftl_k_i64(b, 0), 1),
				 FTL_I64);
	go = ftl_k_var(b, n->in[1] ? scalar_bool(lo, n->in[1]) : ftl_k_int(b, FTL_KT_BOOL, 1));
	iter_ptr = ftl_lo_storage(lo, ftl_type_of(lo->g, l->r->params.v[0]), &buf);
	cond_ptr = ftl_lo_storage(lo, ftl_type_of(lo->g, l->r->params.v[1]), &buf);
	start_carried(l);
	start_scans(l);
	s = ftl_k_loop(b);
	i = ftl_k_get(b, l->iter);
	if (max)
		ftl_k_break(b, ftl_k2(b, FTL_K_le, max, i));
	ftl_k_break(b, ftl_k1(b, FTL_K_not, ftl_k_get(b, go)));
	ftl_lo_pass(lo, n);
	ftl_k_store(b, iter_ptr, ftl_k_i64(b, 0), ftl_k_cast(b, i, ftl_type_of(lo->g, l->r->params.v[0])->dtype));
	ftl_k_store(b, cond_ptr, ftl_k_i64(b, 0), ftl_k_get(b, go));
	lo->val[l->r->params.v[0]].ptr = iter_ptr;
	lo->val[l->r->params.v[1]].ptr = cond_ptr;
	for (uint32_t c = 0; c < l->ncarry; c++)
		place_show(lo, &l->carry[c], l->carry[c].v);
	FTL_TRY(ftl_lo_region(lo, n->regions[0]));
	left = lo->inner;
	lo->node = id;
	ftl_k_set(b, go, scalar_bool(lo, l->y->in[0]));
	for (uint32_t c = 0; c < l->nscan; c++)
		collect(l, c, i, 0);
	carry_over(l);
	ftl_lo_region_end(lo, left);
	ftl_k_set(b, l->iter, ftl_k2(b, FTL_K_add, i, ftl_k_i64(b, 1)));
	ftl_k_end(b, &s);
	bind_count(l, ftl_k_get(b, l->iter), NULL);
	finish(l);
	return FTL_OK;
}

ftl_status ftl_prog_scan(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const struct ftl_attrs_scan *at = FTL_ATTRS(n, scan);
	struct looping *l = FTL_NEW(lo->arena, struct looping);
	uint32_t nslice = (uint32_t)at->num_scan_inputs;
	int64_t *axis;
	ftl_kb *b = &lo->main;
	ftl_kv len = 0, i;
	ftl_kscope s;
	ftl_lo_heap left;

	l->ncarry = n->nin - nslice;
	l->nscan = n->nout - l->ncarry;
	prepare(l, lo, id);
	axis = FTL_NEW_N(lo->arena, int64_t, l->nscan + nslice + 1);
	for (uint32_t k = 0; k < l->nscan; k++) {
		int rank = ftl_type_of(lo->g, n->out[l->ncarry + k])->rank;

		axis[k] = k < at->out_axes.n ? at->out_axes.v[k] : 0;
		axis[k] += axis[k] < 0 ? rank : 0;
	}
	for (uint32_t k = 0; k < nslice; k++) {
		const ftl_type *t = ftl_type_of(lo->g, n->in[l->ncarry + k]);
		int64_t a = k < at->in_axes.n ? at->in_axes.v[k] : 0;
		ftl_kv len_k;

		a += a < 0 ? t->rank : 0;
		axis[l->nscan + k] = a;
		len_k = ftl_lo_dim(lo, t->dims[a]);
		if (len && len_k != len)
			ftl_k_check(b, ftl_k2(b, FTL_K_eq, len, len_k),
				    ftl_lo_msg(lo, n, "scanned inputs differ in length"));
		len = len_k;
	}
	if (!len)
		return ftl_lo_fail(lo, id, "Scan without a scanned input");
	bind_count(l, len, axis);
	start_carried(l);
	start_scans(l);
	s = ftl_k_for(b, ftl_k_i64(b, 0), len, 1);
	i = s.index;
	ftl_k_set(b, l->iter, i);
	ftl_lo_pass(lo, n);
	for (uint32_t c = 0; c < l->ncarry; c++)
		place_show(lo, &l->carry[c], l->carry[c].v);
	for (uint32_t k = 0; k < nslice; k++) {
		ftl_val from = n->in[l->ncarry + k], param = l->r->params.v[l->ncarry + k];
		const ftl_type *t = ftl_type_of(lo->g, from), *pt = ftl_type_of(lo->g, param);
		int a = (int)axis[l->nscan + k];
		bool back = k < at->in_reverse.n && at->in_reverse.v[k];
		ftl_kv pos = back ? ftl_k2(b, FTL_K_sub, ftl_k2(b, FTL_K_sub, len, ftl_k_i64(b, 1)), i) : i;
		ftl_kv inner = extent(lo, t, a + 1, t->rank, true), src = ftl_lo_ptr(lo, from), dst;
		uint32_t buf;

		for (int d = 0; d < pt->rank; d++)
			if (ftl_dim_get(lo->g->st, pt->dims[d])->kind == FTL_DIM_SYM && !ftl_lo_bound(lo, pt->dims[d]))
				ftl_lo_bind(lo, pt->dims[d], ftl_lo_dim(lo, t->dims[d < a ? d : d + 1]));
		if (a == 0) {
			lo->val[param].ptr = ftl_k_offset(b, src, ftl_k2(b, FTL_K_mul, pos, inner));
			continue;
		}
		dst = ftl_lo_storage(lo, pt, &buf);
		lo->val[param].ptr = dst;
		if (!buf) {
			lo->val[param].heap = true;
			ftl_vec_push(lo->arena, &lo->heap, param);
		}
		strided_copy(l, dst, src, extent(lo, t, 0, a, false), inner, ftl_k_i64(b, 0), inner,
			     ftl_k2(b, FTL_K_mul, pos, inner), ftl_k2(b, FTL_K_mul, inner, len));
	}
	{
		/* heap slices made here belong to the pass, not to the region around */
		ftl_lo_heap slices = lo->heap;
		uint32_t mine = 0;

		while (mine < slices.n && ftl_value_get(lo->g, slices.v[slices.n - 1 - mine])->region == n->regions[0])
			mine++;
		lo->heap.n -= mine;
		FTL_TRY(ftl_lo_region(lo, n->regions[0]));
		left = lo->inner;
		lo->node = id;
		for (uint32_t k = 0; k < l->nscan; k++) {
			bool back = k < at->out_reverse.n && at->out_reverse.v[k];

			collect(l, k, back ? ftl_k2(b, FTL_K_sub, ftl_k2(b, FTL_K_sub, len, ftl_k_i64(b, 1)), i) : i,
				(int)axis[k]);
		}
		carry_over(l);
		ftl_lo_region_end(lo, left);
		for (uint32_t k = 0; k < mine; k++)
			ftl_k_free(b, lo->val[slices.v[slices.n - 1 - k]].ptr);
	}
	ftl_k_end(b, &s);
	finish(l);
	return FTL_OK;
}
