/* LSTM, GRU and RNN as ONNX defines them (layout 0).
 *
 * What the inputs add to the gates is one contraction for all steps and gates, before anything recurs. Then one kernel per
 * direction: a piece is a few sequences of the batch, stepping through time together. A step multiplies their states
 * with the recurrent weights, packed into panels of columns, in a register tile; then each sequence updates its state in
 * vectors. Steps beyond a sequence's length give zeros and leave the state alone; the reverse direction runs from a
 * sequence's last valid step. */
#include "kernels/lower/recurrent.h"
#include "kernels/lower/util.h"

static ftl_kv mul(struct rnn *r, ftl_kv x, ftl_kv y)
{
	return ftl_k2(r->b, FTL_K_mul, x, y);
}
static ftl_kv add(struct rnn *r, ftl_kv x, ftl_kv y)
{
	return ftl_k2(r->b, FTL_K_add, x, y);
}
static ftl_kv num(struct rnn *r, double v)
{
	return ftl_k_num(r->b, FTL_KT(r->t, 1), v);
}
static ftl_kv i64(struct rnn *r, int64_t v)
{
	return ftl_k_i64(r->b, v);
}

static bool has(const struct rnn *r, uint32_t k)
{
	return k < r->n->nin && r->n->in[k];
}

/* ---- activations ---- */

static double next_or(ftl_floats l, uint32_t *at, double or)
{
	return *at < l.n ? l.v[(*at)++] : or ;
}

/* The activations of direction d: names from the list or the cell's defaults; alpha and beta are handed out in order to
 * those that take them. */
static bool choose_activations(struct rnn *r, int d)
{
	static const char *const plain[] = {"relu", "tanh", "sigmoid", "softsign", "softplus"};
	int per = r->cell == LSTM ? 3 : r->cell == GRU ? 2 : 1;
	const char *s = r->activations;
	uint32_t ia = 0, ib = 0;

	for (int i = 0; i < (d + 1) * per; i++) {
		struct act a = {"", 0, 0};
		size_t len = strcspn(s, ",");
		bool known = false;

		if (*s) {
			for (size_t j = 0; j < len && j + 1 < sizeof a.name; j++)
				a.name[j] = (char)(s[j] >= 'A' && s[j] <= 'Z' ? s[j] + 32 : s[j]);
			s += len + (s[len] == ',');
		} else {
			strcpy(a.name, r->cell == RNN || i % per ? "tanh" : "sigmoid");
		}
		for (size_t j = 0; j < FTL_COUNT(plain); j++)
			known |= !strcmp(a.name, plain[j]);
		if (!strcmp(a.name, "affine") || !strcmp(a.name, "scaledtanh")) {
			a.alpha = next_or(r->alpha, &ia, 1.0);
			a.beta = next_or(r->beta, &ib, a.name[0] == 'a' ? 0.0 : 1.0);
		} else if (!strcmp(a.name, "hardsigmoid")) {
			a.alpha = next_or(r->alpha, &ia, 0.2);
			a.beta = next_or(r->beta, &ib, 0.5);
		} else if (!strcmp(a.name, "leakyrelu")) {
			a.alpha = next_or(r->alpha, &ia, 0.01);
		} else if (!strcmp(a.name, "thresholdedrelu") || !strcmp(a.name, "elu")) {
			a.alpha = next_or(r->alpha, &ia, 1.0);
		} else if (!known) {
			return false;
		}
		if (i >= d * per)
			r->act[i - d * per] = a;
	}
	return true;
}

static ftl_kv activate(struct rnn *r, const struct act *a, ftl_kv x)
{
	ftl_kb *b = r->b;
	ftl_kv zero = num(r, 0), one = num(r, 1), alpha = num(r, a->alpha), beta = num(r, a->beta), positive;

	if (r->clip > 0) {
		x = ftl_k2(b, FTL_K_max, x, num(r, -r->clip));
		x = ftl_k2(b, FTL_K_min, x, num(r, r->clip));
	}
	positive = ftl_k2(b, FTL_K_lt, zero, x);
	if (!strcmp(a->name, "sigmoid"))
		return ftl_k2(b, FTL_K_div, one, add(r, one, ftl_k1(b, FTL_K_exp, ftl_k1(b, FTL_K_neg, x))));
	if (!strcmp(a->name, "tanh"))
		return ftl_k1(b, FTL_K_tanh, x);
	if (!strcmp(a->name, "relu"))
		return ftl_k2(b, FTL_K_max, x, zero);
	if (!strcmp(a->name, "affine"))
		return add(r, mul(r, alpha, x), beta);
	if (!strcmp(a->name, "scaledtanh"))
		return mul(r, alpha, ftl_k1(b, FTL_K_tanh, mul(r, beta, x)));
	if (!strcmp(a->name, "hardsigmoid"))
		return ftl_k2(b, FTL_K_max, zero, ftl_k2(b, FTL_K_min, one, add(r, mul(r, alpha, x), beta)));
	if (!strcmp(a->name, "leakyrelu"))
		return ftl_k_select(b, positive, x, mul(r, alpha, x));
	if (!strcmp(a->name, "thresholdedrelu"))
		return ftl_k_select(b, ftl_k2(b, FTL_K_lt, alpha, x), x, zero);
	if (!strcmp(a->name, "elu"))
		return ftl_k_select(b, positive, x, mul(r, alpha, ftl_k2(b, FTL_K_sub, ftl_k1(b, FTL_K_exp, x), one)));
	if (!strcmp(a->name, "softsign"))
		return ftl_k2(b, FTL_K_div, x, add(r, one, ftl_k1(b, FTL_K_abs, x)));
	return ftl_k1(b, FTL_K_log, add(r, one, ftl_k1(b, FTL_K_exp, x))); /* softplus */
}

/* ---- the recurrent product ---- */

/* Vectors per panel of the recurrent weights: as many as the tile of 4 rows has registers for, and few columns unused. */
static void choose_panel(struct rnn *r)
{
	const ftl_target *t = r->lo->target;
	ftl_symtab *st = r->lo->g->st;
	int size = (int)ftl_dtype_bytes(r->t), most;
	int64_t h, best = INT64_MAX;

	r->width = t->vector_bytes ? t->vector_bytes / (size < 4 ? 4 : size) : 1;
	most = r->width == 1 ? 1 : t->vector_regs >= 32 ? 4 : 2;
	r->nv = most;
	for (int v = most; v > 0 && ftl_dim_is_const(st, r->H, &h); v--) {
		int64_t cols = (int64_t)v * r->width, all = (h + cols - 1) / cols * cols;

		if (all < best) {
			best = all;
			r->nv = v;
		}
	}
	r->panel = (int64_t)r->width * r->nv;
	r->Hp = ftl_dim_mul(st, ftl_dim_ceildiv(st, r->H, ftl_dim_const(st, r->panel)), ftl_dim_const(st, r->panel));
}

/* ---- scratch: per sequence h, c, a row between, and the gates' sums, each Hp long ---- */

enum { ROW_H, ROW_C, ROW_TMP, ROW_SUMS };

static ftl_kv place(struct rnn *r, ftl_kv row, int what, ftl_kv j)
{
	ftl_kv at = add(r, mul(r, row, i64(r, ROW_SUMS + r->gates)), i64(r, what));

	return add(r, mul(r, at, ftl_kern_dim(r->k, r->Hp)), j);
}

static ftl_kv get(struct rnn *r, int what)
{
	return ftl_k_load(r->b, r->t, r->scratch, place(r, r->row, what, r->l->base), r->l->lanes);
}

static void set(struct rnn *r, int what, ftl_kv x)
{
	ftl_k_store(r->b, r->scratch, place(r, r->row, what, r->l->base), ftl_k_splat(r->b, x, r->l->lanes));
}

/* sums of gates [lo, hi) = recurrent weights times the vector `what` of each of the first `rows` sequences of the piece */
static void recur(struct rnn *r, int rows, int what, int lo, int hi)
{
	ftl_kb *b = r->b;
	ftl_symtab *st = r->lo->g->st;
	int deep = rows > 1 ? 1 : r->nv > 2 ? 2 : 4; /* one row alone has too few sums to hide the latency of adding */
	ftl_dim panels = ftl_dim_div(st, r->Hp, ftl_dim_const(st, r->panel));
	ftl_kv n = ftl_kern_dim(r->k, r->H), w = ftl_kern_arg(r->k, r->packed), base, mid,
	       np = ftl_kern_dim(r->k, panels);
	ftl_dtype mem = r->width == 1 ? ftl_type_of(r->lo->g, r->n->in[2])->dtype : r->t;
	ftl_kv acc[4][4][4];
	ftl_kscope g = ftl_k_for(b, i64(r, lo), i64(r, hi), 1), p = ftl_k_for(b, i64(r, 0), np, 1), s;

	base = add(r, mul(r, add(r, mul(r, r->dir, i64(r, r->gates)), g.index), np), p.index);
	base = mul(r, base, mul(r, n, i64(r, r->panel)));
	for (int u = 0; u < deep; u++)
		for (int i = 0; i < rows; i++)
			for (int v = 0; v < r->nv; v++)
				acc[u][i][v] = ftl_k_var(b, ftl_k_num(b, FTL_KT(r->t, r->width), 0));
	mid = ftl_k2(b, FTL_K_sub, n, ftl_k2(b, FTL_K_rem, n, i64(r, deep)));
	for (int part = 0; part < (deep > 1 ? 2 : 1); part++) {
		s = part ? ftl_k_for(b, mid, n, 1) : ftl_k_for(b, i64(r, 0), mid, deep);
		for (int u = 0; u < (part ? 1 : deep); u++) {
			ftl_kv k = add(r, s.index, i64(r, u)), at = add(r, base, mul(r, k, i64(r, r->panel))), bv[4], x;

			for (int v = 0; v < r->nv; v++) {
				bv[v] = ftl_k_load(b, mem, w, add(r, at, i64(r, (int64_t)v * r->width)), r->width);
				bv[v] = ftl_k_cast(b, bv[v], r->t);
			}
			for (int i = 0; i < rows; i++) {
				x = ftl_k_load(b, r->t, r->scratch, place(r, i64(r, i), what, k), 1);
				x = ftl_k_splat(b, x, r->width);
				for (int v = 0; v < r->nv; v++)
					ftl_k_set(b, acc[u][i][v], ftl_k_fma(b, x, bv[v], ftl_k_get(b, acc[u][i][v])));
			}
		}
		ftl_k_end(b, &s);
	}
	for (int i = 0; i < rows; i++)
		for (int v = 0; v < r->nv; v++) {
			ftl_kv sum = ftl_k_get(b, acc[0][i][v]), at;

			for (int u = 1; u < deep; u++)
				sum = add(r, sum, ftl_k_get(b, acc[u][i][v]));
			at = add(r,
				 mul(r,
				     add(r, mul(r, i64(r, i), i64(r, ROW_SUMS + r->gates)),
					 add(r, i64(r, ROW_SUMS), g.index)),
				     ftl_kern_dim(r->k, r->Hp)),
				 add(r, mul(r, p.index, i64(r, r->panel)), i64(r, (int64_t)v * r->width)));
			ftl_k_store(b, r->scratch, at, sum);
		}
	ftl_k_end(b, &p);
	ftl_k_end(b, &g);
}

/* ---- pieces of a step, for one sequence and a vector of places ---- */

static ftl_dim gate_rows(struct rnn *r, int n)
{
	return ftl_dim_mul(r->lo->g->st, r->H, ftl_dim_const(r->lo->g->st, n));
}

/* bias of gate g: [dir][2 * gates * H], `part` 0 for the input's, 1 for the state's */
static ftl_kv bias(struct rnn *r, int part, int g)
{
	ftl_kv at = mul(r, r->dir, ftl_kern_dim(r->k, gate_rows(r, 2 * r->gates)));

	at = add(r, at, mul(r, i64(r, (int64_t)part * r->gates + g), ftl_kern_dim(r->k, r->H)));
	return ftl_read_flat(r->k, r->n->in[3], add(r, at, r->l->base), r->l->lanes);
}

static ftl_kv input_part(struct rnn *r, int g)
{
	ftl_dim rows = ftl_dim_mul(r->lo->g->st, r->T, r->B);
	ftl_kv at = mul(r, add(r, mul(r, r->dir, i64(r, r->gates)), i64(r, g)), ftl_kern_dim(r->k, rows)), x;

	at = add(r, mul(r, add(r, at, r->x_at), ftl_kern_dim(r->k, r->H)), r->l->base);
	x = ftl_k_load(r->b, r->t, ftl_kern_arg(r->k, r->proj), at, r->l->lanes);
	return has(r, 3) ? add(r, x, bias(r, 0, g)) : x;
}

static ftl_kv state_part(struct rnn *r, int g)
{
	ftl_kv x = get(r, ROW_SUMS + g);

	return has(r, 3) ? add(r, x, bias(r, 1, g)) : x;
}

static ftl_kv gate(struct rnn *r, int g)
{
	return add(r, input_part(r, g), state_part(r, g));
}

static ftl_kv peephole(struct rnn *r, int which, ftl_kv x, ftl_kv c)
{
	ftl_kv at;

	if (!has(r, 7))
		return x;
	at = mul(r, add(r, mul(r, r->dir, i64(r, 3)), i64(r, which)), ftl_kern_dim(r->k, r->H));
	return add(r, x, mul(r, ftl_read_flat(r->k, r->n->in[7], add(r, at, r->l->base), r->l->lanes), c));
}

static ftl_kv update_lstm(struct rnn *r)
{
	ftl_kv c = get(r, ROW_C), in, out, forget, cell, y; /* gates in the order i o f c */
	double clip = r->clip;

	in = activate(r, &r->act[0], peephole(r, 0, gate(r, 0), c));
	forget = activate(r, &r->act[0], peephole(r, 2, gate(r, 2), c));
	if (r->flag)
		forget = ftl_k2(r->b, FTL_K_sub, num(r, 1), in);
	cell = activate(r, &r->act[1], gate(r, 3));
	c = add(r, mul(r, forget, c), mul(r, in, cell));
	out = activate(r, &r->act[0], peephole(r, 1, gate(r, 1), c));
	set(r, ROW_C, c);
	r->clip = 0; /* the cell state is not clipped */
	y = mul(r, out, activate(r, &r->act[2], c));
	r->clip = clip;
	return y;
}

static ftl_kv update_gru(struct rnn *r)
{
	ftl_kv z = activate(r, &r->act[0], gate(r, 0)), h = get(r, ROW_H), n; /* gates in the order z r h */

	if (r->flag)
		n = add(r, input_part(r, 2), mul(r, activate(r, &r->act[0], gate(r, 1)), state_part(r, 2)));
	else
		n = gate(r, 2);
	n = activate(r, &r->act[1], n);
	return add(r, mul(r, ftl_k2(r->b, FTL_K_sub, num(r, 1), z), n), mul(r, z, h));
}

static ftl_kv update(struct rnn *r)
{
	ftl_kv y = r->cell == LSTM  ? update_lstm(r)
		   : r->cell == GRU ? update_gru(r)
				    : activate(r, &r->act[0], gate(r, 0));

	set(r, ROW_H, y);
	return y;
}

/* The state times the reset gate, which the candidate's product takes. */
static void reset_state(struct rnn *r)
{
	set(r, ROW_TMP, mul(r, activate(r, &r->act[0], gate(r, 1)), get(r, ROW_H)));
}

/* ---- sequences ---- */

static ftl_vloop over_state(struct rnn *r)
{
	return ftl_vloop_begin(r->k, i64(r, 0), ftl_kern_dim(r->k, r->H), r->width);
}

/* Sequence `row` of the piece at r->step: its number, length, and where it reads. */
static void at_row(struct rnn *r, ftl_kv row)
{
	ftl_kb *b = r->b;
	ftl_kv last;

	r->row = row;
	r->batch = add(r, r->first, row);
	r->len = ftl_kern_dim(r->k, r->T);
	if (has(r, 4)) {
		ftl_kv len = ftl_k_cast(b, ftl_read_flat(r->k, r->n->in[4], r->batch, 1), FTL_I64);

		r->len = ftl_u_clamp(b, len, i64(r, 0), r->len);
	}
	last = ftl_k2(b, FTL_K_sub, r->len, i64(r, 1));
	if (r->back)
		r->step = ftl_k_select(b, ftl_k2(b, FTL_K_le, r->step, last), ftl_k2(b, FTL_K_sub, last, r->step),
				       r->step);
	r->x_at = add(r, mul(r, r->step, ftl_kern_dim(r->k, r->B)), r->batch);
}

static void load_state(struct rnn *r, int what, uint32_t input)
{
	ftl_kv from = add(r, mul(r, r->dir, ftl_kern_dim(r->k, r->B)), r->batch);

	from = mul(r, from, ftl_kern_dim(r->k, r->H));
	for (ftl_vloop l = over_state(r); ftl_vloop_next(&l);) {
		r->l = &l;
		set(r, what,
		    has(r, input) ? ftl_read_flat(r->k, r->n->in[input], add(r, from, l.base), l.lanes) : num(r, 0));
	}
}

static void store_state(struct rnn *r, int what, ftl_val out)
{
	for (ftl_vloop l = over_state(r); ftl_vloop_next(&l);) {
		ftl_kv idx[3] = {r->dir, r->batch, l.i};

		r->l = &l;
		ftl_write(r->k, out, idx, get(r, what));
	}
}

/* One step of one sequence, or zeros behind its end. */
static void step_row(struct rnn *r)
{
	ftl_kb *b = r->b;
	ftl_kv idx[4] = {r->step, r->dir, r->batch, 0};
	ftl_kscope c;

	if (has(r, 4))
		c = ftl_k_if(b, ftl_k2(b, FTL_K_lt, r->step, r->len));
	for (ftl_vloop l = over_state(r); ftl_vloop_next(&l);) {
		r->l = &l;
		idx[3] = l.i;
		ftl_write(r->k, r->n->out[0], idx, update(r));
	}
	if (!has(r, 4))
		return;
	ftl_k_else(b, &c);
	for (ftl_vloop l = over_state(r); ftl_vloop_next(&l);) {
		idx[3] = l.i;
		ftl_write(r->k, r->n->out[0], idx, ftl_k_splat(b, num(r, 0), l.lanes));
	}
	ftl_k_end(b, &c);
}

/* `rows` sequences from r->first on, through all steps. */
static void run_rows(struct rnn *r, int rows)
{
	ftl_kb *b = r->b;
	bool late = r->cell == GRU && !r->flag; /* the candidate's product waits for the reset gate */
	ftl_kscope time, s;

	s = ftl_k_for(b, i64(r, 0), i64(r, rows), 1);
	r->step = i64(r, 0);
	at_row(r, s.index);
	load_state(r, ROW_H, 5);
	if (r->cell == LSTM)
		load_state(r, ROW_C, 6);
	ftl_k_end(b, &s);
	time = ftl_k_for(b, i64(r, 0), ftl_kern_dim(r->k, r->T), 1);
	recur(r, rows, ROW_H, 0, late ? 2 : r->gates);
	if (late) {
		s = ftl_k_for(b, i64(r, 0), i64(r, rows), 1);
		r->step = time.index;
		at_row(r, s.index);
		for (ftl_vloop l = over_state(r); ftl_vloop_next(&l);) {
			r->l = &l;
			reset_state(r);
		}
		ftl_k_end(b, &s);
		recur(r, rows, ROW_TMP, 2, 3);
	}
	s = ftl_k_for(b, i64(r, 0), i64(r, rows), 1);
	r->step = time.index;
	at_row(r, s.index);
	step_row(r);
	ftl_k_end(b, &s);
	ftl_k_end(b, &time);
	s = ftl_k_for(b, i64(r, 0), i64(r, rows), 1);
	r->step = i64(r, 0);
	at_row(r, s.index);
	store_state(r, ROW_H, r->n->out[1]);
	if (r->cell == LSTM)
		store_state(r, ROW_C, r->n->out[2]);
	ftl_k_end(b, &s);
}

static ftl_status emit_direction(struct rnn *r, ftl_node_id id, int d, bool back)
{
	enum { ROWS = 4 };
	ftl_lo *lo = r->lo;
	ftl_symtab *st = lo->g->st;
	ftl_dim word = ftl_dim_const(st, (int64_t)ftl_dtype_bytes(r->t)), row, pieces;
	int rows = r->width == 1 ? 1 : ROWS;
	int64_t batch = -1;
	ftl_kv all, n;
	ftl_kscope c, s;

	if (!choose_activations(r, d))
		return ftl_lo_fail(lo, id, "unknown activation in \"%s\"", r->activations);
	r->k = ftl_kern_begin(lo, id, ftl_op_get(r->n->op)->name);
	r->b = ftl_kern_b(r->k);
	r->dir = i64(r, d);
	r->back = back;
	if (ftl_dim_is_const(st, r->B, &batch) && batch < rows)
		rows = batch > 0 ? (int)batch : 1;
	pieces = ftl_dim_ceildiv(st, r->B, ftl_dim_const(st, rows));
	row = ftl_dim_mul(st, ftl_dim_mul(st, r->Hp, ftl_dim_const(st, ROW_SUMS + r->gates)), word);
	all = ftl_kern_arg(r->k,
			   ftl_lo_temp(lo, ftl_dim_mul(st, ftl_dim_mul(st, pieces, ftl_dim_const(st, rows)), row)));
	r->first = mul(r, ftl_kern_grid(r->k), i64(r, rows));
	r->scratch = ftl_k_offset(r->b, all, mul(r, r->first, ftl_kern_dim(r->k, row)));
	if (batch > 0 && batch % rows == 0) {
		run_rows(r, rows);
	} else {
		ftl_kv first = r->first;

		n = ftl_k2(r->b, FTL_K_sub, ftl_kern_dim(r->k, r->B), r->first);
		c = ftl_k_if(r->b, ftl_k2(r->b, FTL_K_le, i64(r, rows), n));
		run_rows(r, rows);
		ftl_k_else(r->b, &c);
		s = ftl_k_for(r->b, i64(r, 0), n, 1);
		r->first = add(r, first, s.index); /* in the piece's first row of scratch, one after the other */
		run_rows(r, 1);
		ftl_k_end(r->b, &s);
		ftl_k_end(r->b, &c);
	}
	ftl_kern_launch(r->k, ftl_lo_dim(lo, pieces), 1 << 20);
	return FTL_OK;
}

/* Operands whose sizes inference could not prove. */
static void check_operands(struct rnn *r)
{
	const ftl_type *w = ftl_type_of(r->lo->g, r->n->in[1]);
	ftl_dim dirs = r->dirs;
	const struct {
		uint32_t in;
		ftl_dim dims[3];
	} want[] = {
		{0, {r->T, r->B, w->dims[2]}},
		{1, {dirs, gate_rows(r, r->gates), w->dims[2]}},
		{2, {dirs, gate_rows(r, r->gates), r->H}},
		{3, {dirs, gate_rows(r, 2 * r->gates), 0}},
		{4, {r->B, 0, 0}},
		{5, {dirs, r->B, r->H}},
		{6, {dirs, r->B, r->H}},
		{7, {dirs, gate_rows(r, 3), 0}},
	};

	for (size_t i = 0; i < FTL_COUNT(want); i++)
		for (int d = 0; d < 3 && has(r, want[i].in) && want[i].dims[d]; d++)
			ftl_u_check_eq(r->lo, r->n, ftl_type_of(r->lo->g, r->n->in[want[i].in])->dims[d],
				       want[i].dims[d], "the operands' sizes do not fit together");
}

static ftl_status emit(struct rnn *r, ftl_lo *lo, ftl_node_id id, const char *direction)
{
	const ftl_type *x, *out;
	ftl_dtype mem;

	r->lo = lo;
	r->n = ftl_node_get(lo->g, id);
	x = ftl_type_of(lo->g, r->n->in[0]);
	out = ftl_type_of(lo->g, r->n->out[0]);
	r->gates = r->cell == LSTM ? 4 : r->cell == GRU ? 3 : 1;
	r->t = ftl_dtype_compute(x->dtype);
	r->T = x->dims[0];
	r->B = x->dims[1];
	r->H = out->dims[3];
	r->dirs = out->dims[1];
	check_operands(r);
	FTL_TRY(ftl_rnn_project(r, id));
	choose_panel(r);
	FTL_TRY(ftl_rnn_pack(r, id, r->n->in[2], r->panel, &r->packed, &mem));
	if (!strcmp(direction, "bidirectional")) {
		FTL_TRY(emit_direction(r, id, 0, false));
		return emit_direction(r, id, 1, true);
	}
	return emit_direction(r, id, 0, !strcmp(direction, "reverse"));
}

ftl_status ftl_nest_lstm(ftl_lo *lo, ftl_node_id id)
{
	const struct ftl_attrs_lstm *a = FTL_ATTRS(ftl_node_get(lo->g, id), lstm);
	struct rnn r = {.cell = LSTM,
			.activations = a->activations,
			.alpha = a->alpha,
			.beta = a->beta,
			.clip = a->clip,
			.flag = a->input_forget};

	return emit(&r, lo, id, a->direction);
}

ftl_status ftl_nest_gru(ftl_lo *lo, ftl_node_id id)
{
	const struct ftl_attrs_gru *a = FTL_ATTRS(ftl_node_get(lo->g, id), gru);
	struct rnn r = {.cell = GRU,
			.activations = a->activations,
			.alpha = a->alpha,
			.beta = a->beta,
			.clip = a->clip,
			.flag = a->linear_before_reset};

	return emit(&r, lo, id, a->direction);
}

ftl_status ftl_nest_rnn(ftl_lo *lo, ftl_node_id id)
{
	const struct ftl_attrs_rnn *a = FTL_ATTRS(ftl_node_get(lo->g, id), rnn);
	struct rnn r = {
		.cell = RNN, .activations = a->activations, .alpha = a->alpha, .beta = a->beta, .clip = a->clip};

	return emit(&r, lo, id, a->direction);
}
