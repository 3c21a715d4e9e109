/* LSTM, GRU and RNN as ONNX defines them (layout 0).
 *
 * One kernel per direction; a piece is one sequence of the batch, stepping through time. A step computes all
 * gate sums as dot products of weight rows with the step's input and the state, then updates the state. Steps beyond a
 * sequence's length give zeros and leave the state alone; the reverse direction runs from a sequence's last valid step. */
#include "kernels/lower/driver.h"

enum cell { LSTM, GRU, RNN };

struct act {
	char name[20];
	double alpha, beta;
};

struct rnn {
	ftl_lo *lo;
	const ftl_node *n;
	enum cell cell;
	int gates;
	const char *activations;
	ftl_floats alpha, beta;
	double clip;
	bool flag; /* LSTM: input_forget, GRU: linear_before_reset */
	ftl_dtype t;
	ftl_dim T, B, I, H;
	struct act act[3];
	/* one direction */
	ftl_kern *k;
	ftl_kb *b;
	ftl_kv dir, batch, hh, sums, h, c, tmp; /* hh: hidden size; the others: addresses of this sequence's scratch */
};

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

/* ---- pieces of a step ---- */

/* sum over j of weights[dir][row][j] * vec[j]; vec is value v at element `from` (v != 0) or scratch at address ptr */
static ftl_kv dot(struct rnn *r, ftl_val weights, ftl_kv row, ftl_dim rows, ftl_dim len, ftl_val v, ftl_kv from,
		  ftl_kv ptr)
{
	ftl_kern *k = r->k;
	ftl_kb *b = r->b;
	ftl_kv n = ftl_kern_dim(k, len), start;
	ftl_acc acc = ftl_acc_begin(k, FTL_K_add, r->t, ftl_kern_width(k, r->t), 0);

	start = mul(r, add(r, mul(r, r->dir, ftl_kern_dim(k, rows)), row), n);
	for (ftl_vloop l = ftl_vloop_begin(k, i64(r, 0), n, ftl_kern_width(k, r->t)); ftl_vloop_next(&l);) {
		ftl_kv w = ftl_read_flat(k, weights, add(r, start, l.i), 1);
		ftl_kv x = v ? ftl_read_flat(k, v, add(r, from, l.i), 1) : ftl_k_load(b, r->t, ptr, l.i, 1);

		ftl_acc_put(k, &acc, mul(r, w, x));
	}
	return ftl_acc_end(k, &acc);
}

static ftl_dim gate_rows(struct rnn *r, int n)
{
	return ftl_dim_mul(r->lo->g->st, r->H, ftl_dim_const(r->lo->g->st, n));
}

/* bias entry: [dir][2 * gates * H], `part` 0 for the input's, 1 for the state's */
static ftl_kv bias(struct rnn *r, int part, ftl_kv row)
{
	ftl_kv width = ftl_kern_dim(r->k, gate_rows(r, 2 * r->gates));
	ftl_kv at = add(r, mul(r, r->dir, width), add(r, mul(r, i64(r, (int64_t)part * r->gates), r->hh), row));

	return has(r, 3) ? ftl_read_flat(r->k, r->n->in[3], at, 1) : num(r, 0);
}

/* sums[row] for rows [lo, hi): input part, state part (from address `state`) unless 0, biases. */
static void gate_sums(struct rnn *r, ftl_kv x_from, ftl_kv state, int lo, int hi, bool state_bias)
{
	ftl_kscope s = ftl_k_for(r->b, mul(r, i64(r, lo), r->hh), mul(r, i64(r, hi), r->hh), 1);
	ftl_kv sum = dot(r, r->n->in[1], s.index, gate_rows(r, r->gates), r->I, r->n->in[0], x_from, 0);

	sum = add(r, sum, bias(r, 0, s.index));
	if (state_bias)
		sum = add(r, sum, bias(r, 1, s.index));
	if (state)
		sum = add(r, sum, dot(r, r->n->in[2], s.index, gate_rows(r, r->gates), r->H, 0, 0, state));
	ftl_k_store(r->b, r->sums, s.index, sum);
	ftl_k_end(r->b, &s);
}

static ftl_kv gate(struct rnn *r, int g, ftl_kv j)
{
	return ftl_k_load(r->b, r->t, r->sums, add(r, mul(r, i64(r, g), r->hh), j), 1);
}

static ftl_kv peephole(struct rnn *r, int which, ftl_kv j, ftl_kv c)
{
	ftl_kv at;

	if (!has(r, 7))
		return num(r, 0);
	at = add(r, mul(r, r->dir, mul(r, i64(r, 3), r->hh)), add(r, mul(r, i64(r, which), r->hh), j));
	return mul(r, ftl_read_flat(r->k, r->n->in[7], at, 1), c);
}

static void step_lstm(struct rnn *r, ftl_kv x_from)
{
	ftl_kb *b = r->b;
	ftl_kscope s;
	ftl_kv j, c, in, out, forget, cell;

	gate_sums(r, x_from, r->h, 0, 4, true); /* order i o f c */
	s = ftl_k_for(b, i64(r, 0), r->hh, 1);
	j = s.index;
	c = ftl_k_load(b, r->t, r->c, j, 1);
	in = activate(r, &r->act[0], add(r, gate(r, 0, j), peephole(r, 0, j, c)));
	forget = activate(r, &r->act[0], add(r, gate(r, 2, j), peephole(r, 2, j, c)));
	if (r->flag)
		forget = ftl_k2(b, FTL_K_sub, num(r, 1), in);
	cell = activate(r, &r->act[1], gate(r, 3, j));
	c = add(r, mul(r, forget, c), mul(r, in, cell));
	out = activate(r, &r->act[0], add(r, gate(r, 1, j), peephole(r, 1, j, c)));
	ftl_k_store(b, r->c, j, c);
	{
		struct act h = r->act[2];
		double clip = r->clip;
		ftl_kv y;

		r->clip = 0; /* the cell state is not clipped */
		y = mul(r, out, activate(r, &h, c));
		r->clip = clip;
		ftl_k_store(b, r->h, j, y);
	}
	ftl_k_end(b, &s);
}

static void step_gru(struct rnn *r, ftl_kv x_from)
{
	ftl_kb *b = r->b;
	ftl_kscope s;
	ftl_kv j, z, rt, h, row, sum;

	gate_sums(r, x_from, r->h, 0, 2, true); /* z r */
	gate_sums(r, x_from, 0, 2, 3, !r->flag);
	/* tmp = what the candidate's state part is a product with: r.h, or the product itself if the reset comes after it */
	s = ftl_k_for(b, i64(r, 0), r->hh, 1);
	j = s.index;
	row = add(r, mul(r, i64(r, 2), r->hh), j);
	rt = activate(r, &r->act[0], gate(r, 1, j));
	if (r->flag) {
		sum = dot(r, r->n->in[2], row, gate_rows(r, r->gates), r->H, 0, 0, r->h);
		sum = mul(r, rt, add(r, sum, bias(r, 1, row)));
		ftl_k_store(b, r->tmp, j, sum);
	} else {
		ftl_k_store(b, r->tmp, j, mul(r, rt, ftl_k_load(b, r->t, r->h, j, 1)));
	}
	ftl_k_end(b, &s);
	s = ftl_k_for(b, i64(r, 0), r->hh, 1);
	j = s.index;
	row = add(r, mul(r, i64(r, 2), r->hh), j);
	sum = gate(r, 2, j);
	sum = add(r, sum,
		  r->flag ? ftl_k_load(b, r->t, r->tmp, j, 1)
			  : dot(r, r->n->in[2], row, gate_rows(r, r->gates), r->H, 0, 0, r->tmp));
	ftl_k_store(b, r->sums, row, activate(r, &r->act[1], sum));
	ftl_k_end(b, &s);
	s = ftl_k_for(b, i64(r, 0), r->hh, 1);
	j = s.index;
	z = activate(r, &r->act[0], gate(r, 0, j));
	h = ftl_k_load(b, r->t, r->h, j, 1);
	h = add(r, mul(r, ftl_k2(b, FTL_K_sub, num(r, 1), z), gate(r, 2, j)), mul(r, z, h));
	ftl_k_store(b, r->h, j, h);
	ftl_k_end(b, &s);
}

static void step_rnn(struct rnn *r, ftl_kv x_from)
{
	ftl_kscope s;

	gate_sums(r, x_from, r->h, 0, 1, true);
	s = ftl_k_for(r->b, i64(r, 0), r->hh, 1);
	ftl_k_store(r->b, r->h, s.index, activate(r, &r->act[0], gate(r, 0, s.index)));
	ftl_k_end(r->b, &s);
}

/* scratch[j] = value v at [dir][batch][j], or zero */
static void load_state(struct rnn *r, ftl_kv ptr, uint32_t input)
{
	ftl_kscope s = ftl_k_for(r->b, i64(r, 0), r->hh, 1);
	ftl_kv x = num(r, 0), row = add(r, mul(r, r->dir, ftl_kern_dim(r->k, r->B)), r->batch);

	if (has(r, input))
		x = ftl_read_flat(r->k, r->n->in[input], add(r, mul(r, row, r->hh), s.index), 1);
	ftl_k_store(r->b, ptr, s.index, x);
	ftl_k_end(r->b, &s);
}

static void store_state(struct rnn *r, ftl_kv ptr, ftl_val out)
{
	ftl_kscope s = ftl_k_for(r->b, i64(r, 0), r->hh, 1);
	ftl_kv idx[3] = {r->dir, r->batch, s.index};

	ftl_write(r->k, out, idx, ftl_k_load(r->b, r->t, ptr, s.index, 1));
	ftl_k_end(r->b, &s);
}

/* Row `batch` of scratch [B][words * H]. */
static ftl_kv scratch(struct rnn *r, int words)
{
	ftl_symtab *st = r->lo->g->st;
	ftl_dim row = gate_rows(r, words);
	ftl_dim bytes = ftl_dim_mul(st, ftl_dim_mul(st, row, r->B), ftl_dim_const(st, (int64_t)ftl_dtype_bytes(r->t)));
	ftl_kv at = mul(r, r->batch,
			ftl_kern_dim(r->k, ftl_dim_mul(st, row, ftl_dim_const(st, (int64_t)ftl_dtype_bytes(r->t)))));

	return ftl_k_offset(r->b, ftl_kern_arg(r->k, ftl_lo_temp(r->lo, bytes)), at);
}

static ftl_status emit_direction(struct rnn *r, ftl_node_id id, int d, bool back)
{
	ftl_lo *lo = r->lo;
	ftl_kv tt, len, idx[4], t, x_from;
	ftl_kscope time, s, zero;

	if (!choose_activations(r, d))
		return ftl_lo_fail(lo, id, "unknown activation in \"%s\"", r->activations);
	r->k = ftl_kern_begin(lo, id, ftl_op_get(r->n->op)->name);
	r->b = ftl_kern_b(r->k);
	r->dir = i64(r, d);
	r->batch = ftl_kern_grid(r->k);
	r->hh = ftl_kern_dim(r->k, r->H);
	r->sums = scratch(r, r->gates);
	r->h = scratch(r, 1);
	r->c = r->cell == LSTM ? scratch(r, 1) : 0;
	r->tmp = r->cell == GRU ? scratch(r, 1) : 0;
	tt = ftl_kern_dim(r->k, r->T);
	len = tt;
	if (has(r, 4)) {
		len = ftl_k_cast(r->b, ftl_read_flat(r->k, r->n->in[4], r->batch, 1), FTL_I64);
		len = ftl_k2(r->b, FTL_K_max, ftl_k2(r->b, FTL_K_min, len, tt), i64(r, 0));
	}
	load_state(r, r->h, 5);
	if (r->cell == LSTM)
		load_state(r, r->c, 6);
	time = ftl_k_for(r->b, i64(r, 0), len, 1);
	t = back ? ftl_k2(r->b, FTL_K_sub, ftl_k2(r->b, FTL_K_sub, len, i64(r, 1)), time.index) : time.index;
	x_from = mul(r, add(r, mul(r, t, ftl_kern_dim(r->k, r->B)), r->batch), ftl_kern_dim(r->k, r->I));
	if (r->cell == LSTM)
		step_lstm(r, x_from);
	else if (r->cell == GRU)
		step_gru(r, x_from);
	else
		step_rnn(r, x_from);
	s = ftl_k_for(r->b, i64(r, 0), r->hh, 1);
	idx[0] = t;
	idx[1] = r->dir;
	idx[2] = r->batch;
	idx[3] = s.index;
	ftl_write(r->k, r->n->out[0], idx, ftl_k_load(r->b, r->t, r->h, s.index, 1));
	ftl_k_end(r->b, &s);
	ftl_k_end(r->b, &time);
	zero = ftl_k_for(r->b, len, tt, 1);
	s = ftl_k_for(r->b, i64(r, 0), r->hh, 1);
	idx[0] = zero.index;
	idx[3] = s.index;
	ftl_write(r->k, r->n->out[0], idx, num(r, 0));
	ftl_k_end(r->b, &s);
	ftl_k_end(r->b, &zero);
	store_state(r, r->h, r->n->out[1]);
	if (r->cell == LSTM)
		store_state(r, r->c, r->n->out[2]);
	ftl_kern_launch(r->k, ftl_lo_dim(lo, r->B), 1 << 20);
	return FTL_OK;
}

static ftl_status emit(struct rnn *r, ftl_lo *lo, ftl_node_id id, const char *direction)
{
	const ftl_type *x, *h;

	r->lo = lo;
	r->n = ftl_node_get(lo->g, id);
	x = ftl_type_of(lo->g, r->n->in[0]);
	h = ftl_type_of(lo->g, r->n->in[2]);
	r->gates = r->cell == LSTM ? 4 : r->cell == GRU ? 3 : 1;
	r->t = ftl_dtype_compute(x->dtype);
	r->T = x->dims[0];
	r->B = x->dims[1];
	r->I = x->dims[2];
	r->H = h->dims[2];
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
