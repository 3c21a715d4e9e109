/* com.microsoft: BeamSearch and GreedySearch become their subgraphs, inlined, around a Loop.
 *
 * The first call of the decoder (of the encoder, for the T5 models whose encoder also gives the first logits) stands
 * before the loop, since its shapes differ; the loop then calls the decoder once per token. Lengths and beam counts
 * must be known at import, penalties and masks need not. */
#include "beam.h"
#include "ir/infer.h"

enum {
	MAX_LENGTH = 4096, /* ONNX Runtime's limit */
	MAX_PAST = 1024,   /* inputs of a decoder */
	MAX_VARS = MAX_PAST + 16
};

typedef struct generate {
	imp_search s;
	const Onnx__GraphProto *encoder, *decoder, *init; /* init: the decoder's first call */
	bool t5, whole;           /* whole: the decoder reads the sequence so far, not its last token */
	uint32_t first_past;      /* inputs before the past */
	uint32_t npast, ngrow;    /* past inputs; the first ngrow of them come back from each call, longer */
	ftl_val ids, mask;        /* i32 [b, s]; t5: of the encoder */
	ftl_val positions;        /* gpt: i32 [r, 1], tokens that are no padding */
	ftl_val dec_mask, hidden; /* what every call of the decoder gets */
	ftl_val *past;
	ftl_dim start; /* tokens before the first call */
} generate;

static ftl_val i64(imp *m, int64_t v)
{
	return ftl_imp_scalar(m, FTL_I64, (double)v);
}

/* Inputs of a subgraph, in order, and its outputs. */
void ftl_imp_call_graph(imp *m, const Onnx__GraphProto *gp, const ftl_val *in, ftl_val *out)
{
	imp_scope *before = ftl_imp_scope_push(m, true);

	for (size_t i = 0; i < gp->n_input && !m->failed; i++)
		ftl_imp_bind(m, gp->input[i]->name ? gp->input[i]->name : "", (imp_bound){.v = in[i]});
	ftl_imp_graph(m, gp);
	for (size_t k = 0; k < gp->n_output && !m->failed; k++) {
		const imp_bound *b = ftl_imp_result(m, gp, k);

		if (b && !b->v)
			unsupported(m, "output %zu of a subgraph is a sequence", k);
		out[k] = b ? b->v : 0;
	}
	ftl_imp_scope_pop(m, before);
}

static bool named(const Onnx__GraphProto *gp, size_t k, const char *name)
{
	return k < gp->n_input && gp->input[k]->name && !strcmp(gp->input[k]->name, name);
}

static int64_t declared(const Onnx__GraphProto *gp, size_t k, size_t axis)
{
	const Onnx__TypeProto *t = gp->input[k]->type;
	const Onnx__TensorShapeProto *s = t && t->tensor_type ? t->tensor_type->shape : NULL;

	return s && axis < s->n_dim && s->dim[axis]->has_dim_value ? s->dim[axis]->dim_value : -1;
}

/* ---- settings ---- */

static int64_t known(imp *m, uint32_t k, int64_t def, const char *what)
{
	ftl_val v = ftl_imp_in(m, k);
	double x = (double)def;

	if (v && !ftl_imp_known_f(m, v, &x))
		unsupported(m, "%s (input %u) must be known at import; make it constant", what, k);
	return (int64_t)x;
}

static ftl_val scalar(imp *m, uint32_t k, ftl_dtype t)
{
	ftl_val v = ftl_imp_in(m, k);

	return v ? ftl_imp_cast(m, ftl_imp_reshape(m, v, 0, NULL), t) : 0;
}

static void settings(imp *m, generate *g)
{
	bool greedy = g->s.greedy;
	int64_t type = ftl_imp_i(m, "model_type", 0);
	uint32_t last = greedy ? 6 : 9;

	g->t5 = type == 1;
	if (type != 0 && (type != 1 || greedy))
		unsupported(m, "model_type %lld is not supported", (long long)type);
	for (uint32_t k = last + 1; k < m->cur->nin && !m->failed; k++)
		if (ftl_imp_in(m, k))
			unsupported(m, "input %u is not supported", k);
	g->s.max_length = known(m, 1, MAX_LENGTH, "max_length");
	g->s.min_length = scalar(m, 2, FTL_I64);
	g->s.beams = greedy ? 1 : known(m, 3, 1, "num_beams");
	g->s.returned = greedy ? 1 : known(m, 4, 1, "num_return_sequences");
	g->s.length_penalty = greedy ? 0 : scalar(m, 5, FTL_F32);
	g->s.repetition_penalty = scalar(m, greedy ? 3 : 6, FTL_F32);
	g->s.vocab_mask = ftl_imp_in(m, greedy ? 4 : 7);
	g->s.prefix_mask = ftl_imp_in(m, greedy ? 5 : 8);
	g->mask = ftl_imp_in(m, last);
	g->s.eos = ftl_imp_i(m, "eos_token_id", -1);
	g->s.pad = ftl_imp_i(m, "pad_token_id", -1);
	g->s.ngram = ftl_imp_i(m, "no_repeat_ngram_size", 0);
	g->s.vocab = ftl_imp_i(m, "vocab_size", 0);
	g->s.early_stopping = ftl_imp_i(m, "early_stopping", 0) == 1;
	if (m->failed)
		return;
	if (g->s.max_length < 1 || g->s.max_length > MAX_LENGTH || g->s.beams < 1 || g->s.beams > BEAM_MAX ||
	    g->s.returned < 1 || g->s.returned > g->s.beams || g->s.ngram > MAX_LENGTH)
		bad_model(m, "max_length, num_beams, num_return_sequences or no_repeat_ngram_size is out of range");
	else if (ftl_imp_wants(m, 2))
		unsupported(m, "the third output, the scores of all tokens, is not supported");
}

/* ---- subgraphs ---- */

/* The past's length is the last axis but one. */
static ftl_dim past_length(imp *m, const generate *g, const ftl_val *past)
{
	return g->ngrow ? ftl_imp_dim(m, past[0], -2) : dim_c(m, 0);
}

/* One call for the tokens [r, n] behind the past; the grown part of the past comes back in `past`. */
static ftl_val decode(imp *m, const generate *g, const Onnx__GraphProto *gp, ftl_val tokens, ftl_val positions,
		      ftl_val mask, ftl_val *past)
{
	ftl_val *in = FTL_NEW_N(m->tmp, ftl_val, gp->n_input + 1), *out = FTL_NEW_N(m->tmp, ftl_val, gp->n_output + 1);
	uint32_t n = 0;

	in[n++] = tokens;
	if (!g->t5)
		in[n++] = positions;
	in[n++] = mask;
	if (g->hidden)
		in[n++] = g->hidden;
	for (uint32_t k = 0; k < g->npast; k++)
		in[n++] = past[k];
	ftl_imp_call_graph(m, gp, in, out);
	for (uint32_t k = 0; k < g->ngrow; k++)
		past[k] = out[1 + k];
	return out[0];
}

static bool gpt_fits(const Onnx__GraphProto *gp)
{
	return gp->n_input >= 4 && gp->n_output >= 2 && gp->n_input == gp->n_output + 2 && named(gp, 0, "input_ids") &&
	       named(gp, 1, "position_ids") && named(gp, 2, "attention_mask");
}

/* Tokens that are not padding, their positions, and a past of no tokens. */
static ftl_val start_gpt(imp *m, generate *g)
{
	ftl_val keep, positions, zero = ftl_imp_scalar(m, FTL_I32, 0);
	struct ftl_attrs_cum_sum *a = NEW_ATTRS(m, cum_sum);
	static const int64_t axis = 1;
	ftl_dim d[5];
	ftl_dtype t;

	if (!gpt_fits(g->decoder) || (g->init && !gpt_fits(g->init))) {
		unsupported(m, "the decoder does not have inputs input_ids, position_ids, attention_mask, past_0... "
			       "and outputs logits, present_0...");
		return 0;
	}
	g->npast = g->ngrow = (uint32_t)g->decoder->n_output - 1;
	if (!g->mask)
		g->mask = op1(m, FTL_OP_not, op2(m, FTL_OP_eq, g->ids, ftl_imp_scalar(m, FTL_I32, (double)g->s.pad)));
	g->mask = ftl_imp_cast(m, g->mask, FTL_I32);
	keep = op2(m, FTL_OP_lt, zero, g->mask);
	a->axis = 1;
	a->exclusive = true;
	positions = ftl_imp_cast(m, keep, FTL_I32);
	g->positions = ftl_imp_search_expand(m, &g->s, ftl_imp_reduce(m, FTL_OP_reduce_sum, positions, 1, &axis, true));
	positions = e_where(m, keep, ftl_imp_op(m, FTL_OP_cum_sum, a, 1, &positions), zero);
	g->mask = ftl_imp_search_expand(m, &g->s, g->mask);
	for (uint32_t k = 0; k < g->npast && !m->failed; k++) {
		const Onnx__ValueInfoProto *vi = g->decoder->input[3 + k];

		d[0] = dim_c(m, 2);
		d[1] = g->s.rows;
		d[2] = dim_c(m, declared(g->decoder, 3 + k, 2));
		d[3] = dim_c(m, 0);
		d[4] = dim_c(m, declared(g->decoder, 3 + k, 4));
		t = vi->type && vi->type->tensor_type ? ftl_onnx_dtype(vi->type->tensor_type->elem_type) : FTL_NO_DTYPE;
		if (declared(g->decoder, 3 + k, 2) < 0 || declared(g->decoder, 3 + k, 4) < 0 || !ftl_dtype_is_float(t))
			unsupported(m, "input %u of the decoder has no known number of heads, head size or type",
				    3 + k);
		else
			g->past[k] = ftl_imp_fill(m, t, 0, 5, d);
	}
	return decode(m, g, g->init ? g->init : g->decoder, ftl_imp_search_expand(m, &g->s, g->ids),
		      ftl_imp_search_expand(m, &g->s, positions), g->mask, g->past);
}

/* The encoder's mask: padding on the left is masked, and an eos that looks like padding at the end is not. */
static ftl_val encoder_mask(imp *m, const generate *g)
{
	struct ftl_attrs_cum_sum *a = NEW_ATTRS(m, cum_sum);
	ftl_val seen;

	if (g->mask)
		return ftl_imp_cast(m, g->mask, FTL_I32);
	seen = op1(m, FTL_OP_not, op2(m, FTL_OP_eq, g->ids, ftl_imp_scalar(m, FTL_I32, (double)g->s.pad)));
	seen = ftl_imp_cast(m, seen, FTL_I32);
	a->axis = 1;
	seen = ftl_imp_op(m, FTL_OP_cum_sum, a, 1, &seen);
	return ftl_imp_cast(m, op2(m, FTL_OP_lt, ftl_imp_scalar(m, FTL_I32, 0), seen), FTL_I32);
}

/* An encoder of three inputs runs the decoder's first token too; one of two gives cross attention's keys and values only,
 * so that the decoder starts with an empty past. */
static ftl_val start_t5(imp *m, generate *g, ftl_val start)
{
	const Onnx__GraphProto *e = g->encoder, *d = g->decoder;
	ftl_val *out = FTL_NEW_N(m->tmp, ftl_val, e->n_output + 1), in[3];
	bool both = e->n_input == 3;
	uint32_t skip = both ? 2 : 0, n = (uint32_t)e->n_output - skip;

	g->first_past = named(d, 2, "encoder_hidden_states") ? 3 : 2;
	if ((e->n_input != 2 && !both) || e->n_output <= skip || d->n_input < g->first_past + 4 ||
	    (d->n_input - g->first_past) % 4 || d->n_output != 1 + (d->n_input - g->first_past) / 2 ||
	    n != (both ? d->n_input - g->first_past : (d->n_input - g->first_past) / 2)) {
		unsupported(m, "encoder and decoder do not have the inputs and outputs of a T5 model with a past");
		return 0;
	}
	g->npast = (uint32_t)d->n_input - g->first_past;
	g->ngrow = g->npast / 2;
	g->whole = declared(d, 0, 1) != 1;
	in[0] = g->ids;
	in[1] = encoder_mask(m, g);
	in[2] = start;
	ftl_imp_call_graph(m, e, in, out);
	g->dec_mask = ftl_imp_search_expand(m, &g->s, in[1]);
	if (g->first_past == 3 && !both)
		unsupported(m, "a decoder that wants the encoder's hidden states needs an encoder that gives them");
	if (g->first_past == 3 && both)
		g->hidden = ftl_imp_search_expand(m, &g->s, out[1]);
	for (uint32_t k = 0; k < n && !m->failed; k++)
		g->past[both ? k : g->ngrow + k] = ftl_imp_search_expand(m, &g->s, out[skip + k]);
	if (both || m->failed)
		return out[0];
	for (uint32_t k = 0; k < g->ngrow && !m->failed; k++) {
		ftl_dim dims[4] = {g->s.rows, ftl_imp_dim(m, g->past[g->ngrow], 1), dim_c(m, 0),
				   ftl_imp_dim(m, g->past[g->ngrow], 3)};

		if (!m->failed)
			g->past[k] = ftl_imp_fill(m, dtype_of(m, g->past[g->ngrow]), 0, 4, dims);
	}
	return decode(m, g, d, ftl_imp_search_expand(m, &g->s, start), 0, g->dec_mask, g->past);
}

/* ---- the loop ---- */

static ftl_val still_open(imp *m, const imp_search_state *st)
{
	static const int64_t axes[] = {0, 1};
	ftl_val done = ftl_imp_reduce(m, FTL_OP_reduce_min, ftl_imp_cast(m, st->done, FTL_I32), 2, axes, false);

	return op2(m, FTL_OP_eq, done, ftl_imp_scalar(m, FTL_I32, 0));
}

/* The loop's variables in a fixed order: the count of tokens, the state, the growing past. */
static uint32_t variables(imp *m, const generate *g, ftl_val *cur, imp_search_state *st, ftl_val *past, ftl_val **out)
{
	uint32_t n = 0;

	FTL_UNUSED(m);
	out[n++] = cur;
	out[n++] = &st->seq;
	out[n++] = &st->tokens;
	out[n++] = &st->done;
	if (!g->s.greedy) {
		out[n++] = &st->scores;
		out[n++] = &st->hyp_seq;
		out[n++] = &st->hyp_score;
		out[n++] = &st->used;
		out[n++] = &st->order;
	}
	for (uint32_t k = 0; k < g->ngrow; k++)
		out[n++] = &past[k];
	return n;
}

/* The past as the beams chose it in the step before. */
static void reorder(imp *m, const generate *g, const imp_search_state *st, ftl_val *past)
{
	for (uint32_t k = 0; k < g->ngrow && g->s.beams > 1; k++)
		past[k] = ftl_imp_gather(m, past[k], st->order, g->t5 ? 0 : 1);
}

static void round_of(imp *m, const generate *g, ftl_val iter, ftl_val *cur, imp_search_state *st, ftl_val *past)
{
	ftl_dim p, d[2];
	ftl_val tokens, positions = 0, mask = g->dec_mask;

	reorder(m, g, st, past);
	p = past_length(m, g, past);
	if (g->whole)
		tokens = ftl_imp_slice(m, st->seq, 1, dim_c(m, 0), ftl_dim_add(m->st, p, dim_c(m, 1)));
	else
		tokens = ftl_imp_unsqueeze(m, st->tokens, 1);
	if (!g->t5) {
		positions = e_add(m, g->positions, ftl_imp_cast(m, iter, FTL_I32));
		d[0] = g->s.rows;
		d[1] = ftl_dim_sub(m->st, ftl_dim_add(m->st, p, dim_c(m, 1)), ftl_imp_dim(m, g->mask, 1));
		mask = ftl_imp_concat(m, 1, 2,
				      (const ftl_val[]){g->mask, m->failed ? 0 : ftl_imp_fill(m, FTL_I32, 1, 2, d)});
	}
	ftl_imp_search_step(m, &g->s, decode(m, g, g->decoder, tokens, positions, mask, past), *cur, false, st);
	*cur = e_addf(m, *cur, 1);
}

/* Parameters like the variables, but the past's length open. */
static void add_params(imp *m, const generate *g, ftl_region_id r, ftl_val **var, uint32_t n, ftl_val *out)
{
	for (uint32_t k = 0; k < n; k++) {
		ftl_type t = *ftl_imp_type(m, *var[k]);

		t.enc = NULL;
		if (k >= n - g->ngrow) {
			ftl_dim d[FTL_MAX_RANK];

			for (int i = 0; i < t.rank; i++)
				d[i] = i == t.rank - 2 ? ftl_dim_fresh(m->st, "past") : t.dims[i];
			t = ftl_type_make(m->g, t.dtype, t.rank, d);
		}
		out[k] = ftl_param_new(m->g, r, t, NULL);
	}
}

static void run_loop(imp *m, const generate *g, ftl_val *cur, imp_search_state *st)
{
	ftl_val *var[MAX_VARS], in[MAX_VARS + 2], *past = FTL_NEW_N(m->tmp, ftl_val, g->npast + 1);
	imp_search_state inner = *st;
	uint32_t n = variables(m, g, cur, st, g->past, var);
	ftl_region_id before = m->b.region, r;
	ftl_node_id at = m->b.before, id;
	ftl_val count = *cur, iter, cond;
	imp_scope *scope;

	in[0] = ftl_imp_dim_scalar(m, ftl_dim_sub(m->st, dim_c(m, g->s.max_length - 1), g->start), FTL_I64);
	in[1] = still_open(m, st);
	for (uint32_t k = 0; k < n; k++)
		in[2 + k] = *var[k];
	if (m->failed)
		return;
	id = ftl_node_new(&m->b, FTL_OP_loop, in, n + 2, NULL, n);
	r = ftl_region_new(m->g, id);
	scope = ftl_imp_scope_push(m, true);
	m->b.region = r;
	m->b.before = 0;
	iter = ftl_param_new(m->g, r, ftl_type_make(m->g, FTL_I64, 0, NULL), NULL);
	cond = ftl_param_new(m->g, r, ftl_type_make(m->g, FTL_BOOL, 0, NULL), NULL);
	FTL_UNUSED(cond);
	memcpy(past, g->past, g->npast * sizeof *past);
	{
		ftl_val *mine[MAX_VARS], param[MAX_VARS];

		(void)variables(m, g, &count, &inner, past, mine);
		add_params(m, g, r, var, n, param);
		for (uint32_t k = 0; k < n; k++)
			*mine[k] = param[k];
		round_of(m, g, iter, &count, &inner, past);
		in[0] = still_open(m, &inner);
		for (uint32_t k = 0; k < n; k++)
			in[1 + k] = *mine[k];
	}
	if (!m->failed)
		ftl_build_yield(&m->b, in, n + 1);
	ftl_imp_scope_pop(m, scope);
	m->b.region = before;
	m->b.before = at;
	ftl_imp_finish(m, id);
	if (m->failed)
		return;
	for (uint32_t k = 0; k < n; k++)
		*var[k] = ftl_node_get(m->g, id)->out[k];
}

static void generate_tokens(imp *m, bool greedy)
{
	generate *g = FTL_NEW(m->tmp, generate);
	imp_search_state st = {0};
	ftl_val logits, cur, begin, seq, score;
	ftl_dim d[2];

	g->s.greedy = greedy;
	g->decoder = ftl_imp_subgraph(m, "decoder");
	settings(m, g);
	if (g->t5)
		g->encoder = ftl_imp_subgraph(m, "encoder");
	else if (ftl_imp_has(m, "init_decoder"))
		g->init = ftl_imp_subgraph(m, "init_decoder");
	g->ids = ftl_imp_need(m, 0);
	ftl_imp_want_rank(m, g->ids, 2, 2, "the token ids");
	if (m->failed)
		return;
	g->ids = ftl_imp_cast(m, g->ids, FTL_I32);
	if (g->decoder->n_input > MAX_PAST) {
		ftl_imp_fail(m, FTL_ERR_LIMIT, "the decoder has more than %d inputs", MAX_PAST);
		return;
	}
	g->past = FTL_NEW_N(m->tmp, ftl_val, g->decoder->n_input + 1);
	g->s.b = ftl_imp_dim(m, g->ids, 0);
	g->s.rows = ftl_dim_mul(m->st, g->s.b, dim_c(m, g->s.beams));
	d[0] = g->s.b;
	d[1] = dim_c(m, 1);
	begin = g->t5 ? ftl_imp_fill(m, FTL_I32, (double)ftl_imp_i(m, "decoder_start_token_id", -1), 2, d) : g->ids;
	g->start = ftl_imp_dim(m, begin, 1);
	logits = g->t5 ? start_t5(m, g, begin) : start_gpt(m, g);
	ftl_imp_search_start(m, &g->s, begin, &st);
	cur = ftl_imp_dim_scalar(m, g->start, FTL_I64);
	ftl_imp_search_step(m, &g->s, logits, cur, true, &st);
	cur = e_add(m, cur, i64(m, 1));
	if (!m->failed)
		run_loop(m, g, &cur, &st);
	ftl_imp_search_end(m, &g->s, cur, &st, &seq, &score);
	ftl_imp_out(m, 0, seq);
	ftl_imp_out(m, 1, score);
}

void ftl_imp_do_ms_beam_search(imp *m)
{
	generate_tokens(m, false);
}

void ftl_imp_do_ms_greedy_search(imp *m)
{
	generate_tokens(m, true);
}
