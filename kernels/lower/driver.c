/* The lowering driver: walks the graph in order, gives every value that needs it a place in memory, lets each
 * op's one definition emit its kernels, and closes the program.
 *
 * Memory of a value is decided when it is made: a constant's bytes, the caller's input or output, another value's
 * memory (views), the planned workspace when its size follows from the inputs' dims, else the heap through the
 * allocation hook. Symbols are i64 variables of the program, set once at their binding. */
#include "kernels/lower/sequence.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* ---- hooks by op ---- */

#define FTL_ROW_MAP(lower) {FTL_LOWER_MAP, ftl_map_##lower, NULL, NULL},
#define FTL_ROW_POINT(lower) {FTL_LOWER_POINT, NULL, ftl_point_##lower, NULL},
#define FTL_ROW_NEST(lower) {FTL_LOWER_NEST, NULL, NULL, ftl_nest_##lower},
#define FTL_ROW_PROG(lower) {FTL_LOWER_PROG, NULL, NULL, ftl_prog_##lower},
static const ftl_lower_info hooks[] = {
	{FTL_LOWER_PROG, NULL, NULL, NULL},
#define OP(name, min_in, max_in, nout, traits, infer, kind, lower) FTL_ROW_##kind(lower)
#include "../../ir/ops.def"
};

const ftl_lower_info *ftl_lower_get(ftl_op op)
{
	return &hooks[op];
}

/* ---- small questions ---- */

const ftl_graph *ftl_lo_graph(const ftl_lo *lo)
{
	return lo->g;
}
const ftl_target *ftl_lo_target(const ftl_lo *lo)
{
	return lo->target;
}
ftl_kb *ftl_lo_main(ftl_lo *lo)
{
	return &lo->main;
}

ftl_status ftl_lo_fail(ftl_lo *lo, ftl_node_id n, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return ftl_fail_node(lo->g, n, lo->diag, FTL_ERR_UNSUPPORTED, "%s", text);
}

int64_t ftl_lo_msg(ftl_lo *lo, const ftl_node *n, const char *reason)
{
	return ftl_kmodule_msg(lo->m, "node \"%s\" (%s): %s", n->loc, ftl_op_get(n->op)->name, reason);
}

#define MAX_BYTES 70368744177664.0 /* 2^46: of one tensor */

/* ---- dims ---- */

/* Whether and when a symbol has its value: at entry (from an input's dim) or later (bound by a node). */
enum { SYM_UNBOUND, SYM_ENTRY, SYM_LATE };

static void sym_room(ftl_lo *lo, ftl_dim d)
{
	uint32_t n = lo->nsym ? lo->nsym : 64;
	ftl_kv *sym;
	uint8_t *entry;
	ftl_lo_read *read;

	if (d < lo->nsym)
		return;
	while (n <= d)
		n *= 2;
	sym = FTL_NEW_N(lo->arena, ftl_kv, n);
	entry = FTL_NEW_N(lo->arena, uint8_t, n);
	read = FTL_NEW_N(lo->arena, ftl_lo_read, n);
	if (lo->nsym) {
		memcpy(sym, lo->sym, lo->nsym * sizeof *sym);
		memcpy(entry, lo->entry, lo->nsym);
		memcpy(read, lo->read, lo->nsym * sizeof *read);
	}
	lo->sym = sym;
	lo->entry = entry;
	lo->read = read;
	lo->nsym = n;
}

/* Variables of symbols live in main's outermost block, before everything, so that any block may set and read them. */
void ftl_lo_symbol(ftl_lo *lo, ftl_dim sym)
{
	ftl_kblock *inner = lo->main.block;
	ftl_kv v;

	sym_room(lo, sym);
	if (lo->sym[sym])
		return;
	/* into a block of their own, which is put first when the program is closed */
	lo->main.block = lo->vars;
	v = ftl_k_var(&lo->main, ftl_k_i64(&lo->main, 0));
	lo->main.block = inner;
	lo->sym[sym] = v;
	ftl_vec_push(lo->arena, &lo->m->syms, ((__typeof__(*lo->m->syms.v)){sym, v}));
}

/* Trip counts come from models, and what runs them has no other way to stop. 2^24 passes of nothing take a second or so
 * on the JIT; a loop that does something needs hours for as many. */
#define MAX_PASSES (INT64_C(1) << 24)

void ftl_lo_pass(ftl_lo *lo, const ftl_node *n)
{
	ftl_kb *b = &lo->main;
	ftl_kblock *inner = b->block;
	ftl_kv done;

	if (!lo->passes) {
		b->block = lo->vars;
		lo->passes = ftl_k_var(b, ftl_k_i64(b, 0));
		b->block = inner;
	}
	done = ftl_k_get(b, lo->passes);
	ftl_k_check(b, ftl_k2(b, FTL_K_lt, done, ftl_k_i64(b, MAX_PASSES)),
		    ftl_lo_msg(lo, n, "the loops of the model take more passes than the limit of 16777216 per run"));
	ftl_k_set(b, lo->passes, ftl_k2(b, FTL_K_add, done, ftl_k_i64(b, 1)));
}

bool ftl_lo_bound(const ftl_lo *lo, ftl_dim sym)
{
	return sym < lo->nsym && lo->sym[sym] && lo->entry[sym];
}

void ftl_lo_bind(ftl_lo *lo, ftl_dim sym, ftl_kv v)
{
	ftl_lo_symbol(lo, sym);
	ftl_k_set(&lo->main, lo->sym[sym], v);
	lo->read[sym].v = 0;
	if (lo->entry[sym] == SYM_UNBOUND)
		lo->entry[sym] = SYM_LATE;
}

static ftl_kv symbol_value(void *user, ftl_dim sym)
{
	ftl_lo *lo = user;

	ftl_lo_symbol(lo, sym);
	if (!lo->read[sym].v || lo->read[sym].block != lo->main.block)
		lo->read[sym] = (ftl_lo_read){ftl_k_get(&lo->main, lo->sym[sym]), lo->main.block};
	return lo->read[sym].v;
}

/* Products of sizes that each fit may not: a run that comes to one ends there. */
static ftl_dim countable(ftl_lo *lo, ftl_dim d)
{
	if (d != FTL_DIM_NONE)
		return d;
	ftl_k_check(&lo->main, ftl_k_int(&lo->main, FTL_KT_BOOL, 0),
		    ftl_lo_msg(lo, ftl_node_get(lo->g, lo->node), "works on more elements than can be counted"));
	return ftl_dim_const(lo->g->st, 0);
}

ftl_kv ftl_lo_dim(ftl_lo *lo, ftl_dim d)
{
	return ftl_k_dim(&lo->main, lo->g->st, countable(lo, d), FTL_I64, symbol_value, lo);
}

struct entry_check {
	const ftl_lo *lo;
	bool ok;
};

static void entry_symbol(void *user, ftl_dim sym)
{
	struct entry_check *c = user;

	c->ok &= sym < c->lo->nsym && c->lo->entry[sym] == SYM_ENTRY;
}

bool ftl_lo_entry_dim(const ftl_lo *lo, ftl_dim d)
{
	struct entry_check c = {lo, true};

	if (d == FTL_DIM_NONE)
		return false;
	ftl_dim_symbols(lo->g->st, d, entry_symbol, &c);
	return c.ok;
}

ftl_dim ftl_lo_bytes(ftl_lo *lo, const ftl_type *t)
{
	ftl_symtab *st = lo->g->st;

	return ftl_dim_mul(st, ftl_type_numel(lo->g, t), ftl_dim_const(st, (int64_t)ftl_dtype_bytes(t->dtype)));
}

/* Bytes of a static type with empty dims counted as one: loops walk the other dims of an empty tensor too. */
static bool is_absurd(const ftl_lo *lo, const ftl_type *t)
{
	double bytes = (double)ftl_dtype_bytes(t->dtype);
	int64_t x;

	for (int d = 0; d < t->rank; d++)
		if (ftl_dim_is_const(lo->g->st, t->dims[d], &x) && x > 0)
			bytes *= (double)x;
	return bytes > MAX_BYTES;
}

/* Sizes that only the run knows are multiplied in doubles too: a product that would wrap ends the run instead. */
ftl_kv ftl_lo_bytes_checked(ftl_lo *lo, const ftl_type *t)
{
	ftl_kb *b = &lo->main;
	ftl_kv n = ftl_k_i64(b, (int64_t)ftl_dtype_bytes(t->dtype));
	ftl_kv f = ftl_k_float(b, FTL_KT(FTL_F64, 1), (double)ftl_dtype_bytes(t->dtype));
	bool unknown = false;

	for (int d = 0; d < t->rank; d++) {
		ftl_kv x = ftl_lo_dim(lo, t->dims[d]);

		unknown |= !ftl_dim_is_const(lo->g->st, t->dims[d], NULL);
		n = ftl_k2(b, FTL_K_mul, n, x);
		f = ftl_k2(b, FTL_K_mul, f, ftl_k_cast(b, ftl_k2(b, FTL_K_max, x, ftl_k_i64(b, 1)), FTL_F64));
	}
	if (unknown) {
		ftl_kv ok = ftl_k2(b, FTL_K_le, f, ftl_k_float(b, FTL_KT(FTL_F64, 1), MAX_BYTES));

		ftl_k_check(b, ok,
			    ftl_lo_msg(lo, ftl_node_get(lo->g, lo->node), "the result would need more than 64 TB"));
	}
	return n;
}

/* ---- memory ---- */

ftl_val ftl_lo_root(const ftl_lo *lo, ftl_val v)
{
	while (lo->val[v].alias)
		v = lo->val[v].alias;
	return v;
}

void ftl_lo_alias(ftl_lo *lo, ftl_val v, ftl_val of)
{
	lo->val[v].alias = ftl_lo_root(lo, of);
}

ftl_kv ftl_lo_storage(ftl_lo *lo, const ftl_type *t, uint32_t *out_buf)
{
	ftl_dim bytes = ftl_lo_bytes(lo, t);
	ftl_kb *b = &lo->main;

	*out_buf = 0;
	if (ftl_lo_entry_dim(lo, bytes)) {
		ftl_kbuf buf = {.bytes = bytes};

		ftl_vec_push(lo->arena, &lo->m->bufs, buf);
		*out_buf = lo->m->bufs.n;
		return ftl_k_buf(b, lo->m->bufs.n - 1);
	}
	return ftl_k_alloc(b, ftl_lo_bytes_checked(lo, t));
}

ftl_kv ftl_lo_temp(ftl_lo *lo, ftl_dim bytes)
{
	ftl_type t = {.dtype = FTL_U8, .rank = 1, .dims = &bytes};
	uint32_t buf;
	ftl_kv p;

	bytes = countable(lo, bytes);
	p = ftl_lo_storage(lo, &t, &buf);
	if (!buf)
		ftl_vec_push(lo->arena, &lo->temps, p);
	return p;
}

void ftl_lo_temps_end(ftl_lo *lo, uint32_t mark)
{
	while (lo->temps.n > mark)
		ftl_k_free(&lo->main, lo->temps.v[--lo->temps.n]);
}

static ftl_kv make_memory(ftl_lo *lo, ftl_val v)
{
	const ftl_type *t = ftl_type_of(lo->g, v);
	ftl_lo_value *s = &lo->val[v];
	uint32_t buf;

	if (s->out) {
		s->ptr = ftl_k_out_ptr(&lo->main, s->out - 1, ftl_lo_bytes_checked(lo, t));
		return s->ptr;
	}
	s->ptr = ftl_lo_storage(lo, t, &buf);
	s->buf = buf;
	if (!buf) {
		s->heap = true;
		ftl_vec_push(lo->arena, &lo->heap, v);
	}
	return s->ptr;
}

ftl_kv ftl_lo_ptr(ftl_lo *lo, ftl_val v)
{
	const ftl_blob *blob;
	ftl_lo_value *s;

	v = ftl_lo_root(lo, v);
	s = &lo->val[v];
	if (s->ptr)
		return s->ptr;
	blob = ftl_const_blob(lo->g, v);
	if (blob)
		return ftl_lo_blob(lo, blob); /* not kept: it must dominate its uses */
	return make_memory(lo, v);
}

ftl_kv ftl_lo_blob(ftl_lo *lo, const ftl_blob *blob)
{
	return ftl_k_blob(&lo->main, ftl_kmodule_blob(lo->m, blob));
}

const ftl_blob *ftl_lo_packed(ftl_lo *lo, const uint64_t *key, const ftl_blob *put)
{
	char name[6 * 17 + 1], *at = name;

	for (int i = 0; i < 6; i++)
		at += snprintf(at, 18, "%" PRIx64 ".", key[i]);
	if (!lo->packed)
		lo->packed = ftl_map_new(lo->arena);
	if (put)
		ftl_map_set(lo->packed, name, (void *)(uintptr_t)put);
	return ftl_map_get(lo->packed, name);
}

/* ---- nodes, regions, the whole ---- */

static void free_value(ftl_lo *lo, ftl_val v)
{
	if (lo->val[v].seq)
		ftl_seq_free(lo, lo->val[v].seq);
	else
		ftl_k_free(&lo->main, lo->val[v].ptr);
}

static void free_dead(ftl_lo *lo, uint32_t number)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < lo->heap.n; i++) {
		ftl_val v = lo->heap.v[i];

		if (lo->val[v].last <= number)
			free_value(lo, v);
		else
			lo->heap.v[n++] = v;
	}
	lo->heap.n = n;
}

ftl_status ftl_lo_node(ftl_lo *lo, ftl_node_id id)
{
	ftl_node_id what = lo->anchor[id] ? lo->anchor[id] : id;
	const ftl_node *n = ftl_node_get(lo->g, what);
	const ftl_lower_info *low = ftl_lower_get(n->op);

	if (lo->exec[id] != id)
		return FTL_OK;
	lo->node = what;
	for (uint32_t k = 0; k < n->nout; k++)
		if (is_absurd(lo, ftl_type_of(lo->g, n->out[k])))
			return ftl_fail_node(lo->g, what, lo->diag, FTL_ERR_LIMIT,
					     "the result has dims of more than 64 TB");
	for (ftl_node_id u = what;; u = ftl_value_get(lo->g, ftl_node_get(lo->g, u)->out[0])->uses.v[0]) {
		if (ftl_lower_get(ftl_node_get(lo->g, u)->op)->kind == FTL_LOWER_MAP)
			ftl_lo_check_broadcast(lo, u);
		if (u == id)
			break;
	}
	FTL_TRY(ftl_bind_dynamic(lo, what));
	switch (low->kind) {
	case FTL_LOWER_MAP: FTL_TRY(ftl_map_nest(lo, what)); break;
	case FTL_LOWER_POINT:
		FTL_TRY(ftl_point_nest(lo, what, n->out[0], low->point, true, ftl_op_get(n->op)->name));
		break;
	case FTL_LOWER_NEST:
	case FTL_LOWER_PROG: FTL_TRY(low->nest(lo, what)); break;
	}
	ftl_lo_temps_end(lo, 0);
	free_dead(lo, lo->number[id]);
	return FTL_OK;
}

ftl_status ftl_lo_region(ftl_lo *lo, ftl_region_id r)
{
	const ftl_region *reg = ftl_region_get(lo->g, r);
	__typeof__(lo->heap) outer = lo->heap;
	__typeof__(lo->temps) temps = lo->temps;
	ftl_node_id last = reg->last;

	memset(&lo->heap, 0, sizeof lo->heap);
	memset(&lo->temps, 0, sizeof lo->temps);
	FTL_FOREACH_NODE_IN(lo->g, r, id) {
		if (id != last)
			FTL_TRY(ftl_lo_node(lo, id));
	}
	/* what is left is a result of the region, or never read; the owner copies results before it calls ftl_lo_region_end */
	lo->inner = lo->heap;
	lo->heap = outer;
	lo->temps = temps;
	return FTL_OK;
}

void ftl_lo_region_end(ftl_lo *lo, ftl_lo_heap left)
{
	for (uint32_t i = 0; i < left.n; i++)
		free_value(lo, left.v[i]);
}

/* Views share memory: the memory of a root is needed as long as any of its views. Known before lowering, from traits. */
static void find_lifetimes(ftl_lo *lo)
{
	const ftl_graph *g = lo->g;
	ftl_val *root = FTL_NEW_N(lo->arena, ftl_val, g->values.n);

	for (ftl_val v = 1; v < g->values.n; v++) {
		const ftl_value *val = ftl_value_get(g, v);

		root[v] = v;
		if (val->def && !ftl_node_get(g, val->def)->dead && ftl_op_has(ftl_node_get(g, val->def)->op, FTL_VIEW))
			root[v] = 0;
	}
	for (ftl_val v = 1; v < g->values.n; v++) {
		const ftl_value *val = ftl_value_get(g, v);
		ftl_val r = v;

		/* chains of views are short; each step goes to an earlier value */
		while (!root[r])
			r = ftl_node_get(g, ftl_value_get(g, r)->def)->in[0];
		r = root[v] = root[r];
		for (uint32_t i = 0; i < val->uses.n; i++) {
			ftl_node_id u = val->uses.v[i];

			/* a use inside a nested region lasts as long as the node that owns it */
			while (ftl_node_get(g, u)->region != ftl_value_get(g, r)->region) {
				ftl_node_id owner = ftl_region_get(g, ftl_node_get(g, u)->region)->owner;

				if (!owner)
					break;
				u = owner;
			}
			if (lo->exec[u] && lo->number[lo->exec[u]] > lo->val[r].last)
				lo->val[r].last = lo->number[lo->exec[u]];
		}
	}
}

static void bind_inputs(ftl_lo *lo)
{
	const ftl_graph *g = lo->g;
	const ftl_region *body = ftl_region_get(g, g->body);
	ftl_kb *b = &lo->main;

	for (uint32_t i = 0; i < body->params.n; i++) {
		const ftl_value *v = ftl_value_get(g, body->params.v[i]);
		const char *name = v->name ? v->name : "";
		ftl_kio io = {.name = name, .type = v->type};
		uint32_t in = lo->m->inputs.n;

		if (v->type.seq) {
			ftl_seq_input(lo, body->params.v[i]);
			continue;
		}
		ftl_vec_push(lo->arena, &lo->m->inputs, io);
		lo->val[body->params.v[i]].ptr = ftl_k_in_ptr(b, in);
		for (int d = 0; d < v->type.rank; d++) {
			ftl_dim dim = v->type.dims[d];
			const ftl_dim_node *n = ftl_dim_get(g->st, dim);
			ftl_kv x = ftl_k_in_dim(b, in, (uint32_t)d), ok;
			int64_t lo_v, hi_v;

			if (n->kind != FTL_DIM_SYM)
				continue;
			ftl_lo_symbol(lo, dim);
			lo_v = n->lo < 0 ? 0 : n->lo;
			hi_v = n->hi > INT64_C(1) << 40 ? INT64_C(1) << 40 : n->hi;
			if (lo->entry[dim] == SYM_ENTRY) {
				ok = ftl_k2(b, FTL_K_eq, x, ftl_k_get(b, lo->sym[dim]));
				ftl_k_check(
					b, ok,
					ftl_kmodule_msg(lo->m,
							"input \"%s\": dim %d must equal the other dims named \"%s\"",
							name, d, n->name));
				continue;
			}
			ftl_k_set(b, lo->sym[dim], x);
			lo->read[dim].v = 0;
			lo->entry[dim] = SYM_ENTRY;
			ok = ftl_k2(b, FTL_K_and, ftl_k2(b, FTL_K_le, ftl_k_i64(b, lo_v), x),
				    ftl_k2(b, FTL_K_le, x, ftl_k_i64(b, hi_v)));
			ftl_k_check(b, ok,
				    ftl_kmodule_msg(lo->m,
						    "input \"%s\": dim %d (\"%s\") must be between %lld and %lld", name,
						    d, n->name, (long long)lo_v, (long long)hi_v));
		}
	}
	/* constants and expressions, now that every symbol has its value */
	for (uint32_t i = 0, in = 0; i < body->params.n; i++, in++) {
		const ftl_value *v = ftl_value_get(g, body->params.v[i]);

		in += v->type.seq != NULL; /* which are two */
		for (int d = 0; d < v->type.rank; d++) {
			ftl_dim dim = v->type.dims[d];
			ftl_text want;
			ftl_kv ok;

			if (ftl_dim_get(g->st, dim)->kind == FTL_DIM_SYM)
				continue;
			ftl_text_init(&want, lo->arena);
			ftl_dim_print(g->st, &want, dim);
			ok = ftl_k2(b, FTL_K_eq, ftl_k_in_dim(b, in, (uint32_t)d), ftl_lo_dim(lo, dim));
			ftl_k_check(b, ok,
				    ftl_kmodule_msg(lo->m, "input \"%s\": dim %d must be %s", v->name ? v->name : "", d,
						    want.v));
		}
	}
}

/* After the prologue: what is in a sequence has no say in how large the workspace is. */
static void bind_sequences(ftl_lo *lo)
{
	const ftl_region *body = ftl_region_get(lo->g, lo->g->body);

	for (uint32_t i = 0; i < body->params.n; i++)
		if (ftl_type_of(lo->g, body->params.v[i])->seq)
			ftl_seq_check_input(lo, body->params.v[i]);
}

/* The caller's strings are addresses of NUL-terminated bytes: the run works on copies that know their size. */
static ftl_status take_strings(ftl_lo *lo)
{
	const ftl_region *body = ftl_region_get(lo->g, lo->g->body);

	for (uint32_t i = 0; i < body->params.n; i++) {
		ftl_lo_value *val = &lo->val[body->params.v[i]];
		const ftl_type *t = ftl_type_of(lo->g, body->params.v[i]);
		ftl_kv own, h;
		ftl_kscope s;
		ftl_kern *k;
		ftl_kb *b;

		if (t->dtype != FTL_STRING)
			continue;
		if (t->seq)
			return ftl_fail(
				lo->diag, FTL_ERR_UNSUPPORTED,
				"input \"%s\": a sequence or optional of strings cannot be an input of the model",
				ftl_value_get(lo->g, body->params.v[i])->name);
		own = ftl_lo_storage(lo, t, &val->buf);
		k = ftl_kern_begin(lo, 0, "strings");
		b = ftl_kern_b(k);
		s = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, ftl_type_numel(lo->g, t)), 1);
		h = ftl_k_load(b, FTL_I64, ftl_kern_arg(k, val->ptr), s.index, 1);
		h = ftl_k_call(b, FTL_STRING_take, h, 0, 0);
		ftl_k_check(b, ftl_k2(b, FTL_K_ne, h, ftl_k_i64(b, 0)), 1);
		ftl_k_store(b, ftl_kern_arg(k, own), s.index, h);
		ftl_k_end(b, &s);
		ftl_kern_launch(k, ftl_k_i64(&lo->main, 1), 1000);
		val->ptr = own;
	}
	return FTL_OK;
}

/* A result is made right in the caller's memory if its root is computed in the body and only one result wants it. */
static void assign_outputs(ftl_lo *lo)
{
	const ftl_graph *g = lo->g;
	const ftl_node *y = ftl_node_get(g, ftl_region_get(g, g->body)->last);

	for (uint32_t i = 0; i < y->nin; i++) {
		const ftl_value *v = ftl_value_get(g, y->in[i]);
		ftl_kio io = {.name = i < g->out_names.n && g->out_names.v[i] ? g->out_names.v[i] : "",
			      .type = v->type};
		ftl_val r = y->in[i];

		if (v->type.seq) {
			ftl_seq_declare_output(lo, io.name, &v->type);
			continue;
		}
		ftl_vec_push(lo->arena, &lo->m->outputs, io);
		while (ftl_value_get(g, r)->def && ftl_op_has(ftl_node_get(g, ftl_value_get(g, r)->def)->op, FTL_VIEW))
			r = ftl_node_get(g, ftl_value_get(g, r)->def)->in[0];
		v = ftl_value_get(g, r);
		if (v->def && v->region == g->body && ftl_node_get(g, v->def)->op != FTL_OP_const &&
		    (!ftl_node_get(g, v->def)->nregion || ftl_op_has(ftl_node_get(g, v->def)->op, FTL_ANCHOR)) &&
		    !lo->val[r].out)
			lo->val[r].out = lo->m->outputs.n;
	}
}

static void finish_outputs(ftl_lo *lo)
{
	const ftl_graph *g = lo->g;
	const ftl_node *y = ftl_node_get(g, ftl_region_get(g, g->body)->last);
	ftl_kb *b = &lo->main;

	for (uint32_t k = 0, i = 0; k < y->nin; k++, i++) {
		const ftl_type *t = ftl_type_of(g, y->in[k]);

		if (t->seq) {
			ftl_seq_output(lo, y->in[k], i++);
			continue;
		}
		if (lo->val[ftl_lo_root(lo, y->in[k])].out != i + 1) {
			ftl_kv src = ftl_lo_ptr(lo, y->in[k]);
			ftl_kv bytes = ftl_lo_bytes_checked(lo, t);

			ftl_k_copy(b, ftl_k_out_ptr(b, i, bytes), src, bytes);
		}
		for (int d = 0; d < t->rank; d++)
			ftl_k_out_dim(b, i, (uint32_t)d, ftl_lo_dim(lo, t->dims[d]));
	}
}

static void free_scratch(void *arena)
{
	ftl_arena_free(arena);
}

ftl_status ftl_lower(ftl_arena *arena, const ftl_graph *g, const ftl_lower_options *o, ftl_diag *d, ftl_kmodule **out)
{
	ftl_lo *lo = FTL_NEW(arena, ftl_lo);
	ftl_kblock rest;

	lo->arena = arena;
	lo->scratch = FTL_NEW(arena, ftl_arena);
	ftl_arena_init(lo->scratch, arena->mem, arena->landing, arena->limit);
	ftl_arena_defer(arena, free_scratch, lo->scratch); /* also when an allocation ends it all */
	lo->g = g;
	lo->target = o && o->target ? o->target : &ftl_target_scalar;
	lo->no_fuse = o && o->no_fuse;
	lo->panel_bytes = o ? o->panel_bytes : 0;
	lo->packed = o ? o->packed : NULL;
	lo->diag = d;
	lo->val = FTL_NEW_N(arena, ftl_lo_value, g->values.n);
	lo->anchor = FTL_NEW_N(arena, ftl_node_id, g->nodes.n);
	lo->number = FTL_NEW_N(arena, uint32_t, g->nodes.n);
	lo->exec = FTL_NEW_N(arena, ftl_node_id, g->nodes.n);
	lo->vars = FTL_NEW(arena, ftl_kblock);
	lo->m = ftl_kmodule_new(arena, g->st, g->name);
	lo->m->file = g->file;
	lo->m->vector_bytes = lo->target->vector_bytes;
	lo->m->main = ftl_kfunc_new(arena, "main", true);
	ftl_kb_init(&lo->main, arena, lo->m->main);
	ftl_lo_plan_fusion(lo);
	find_lifetimes(lo);
	assign_outputs(lo);
	bind_inputs(lo);
	lo->m->prologue = lo->main.block->insts.n;
	bind_sequences(lo);
	FTL_TRY(take_strings(lo));
	FTL_TRY(ftl_lo_region(lo, g->body));
	finish_outputs(lo);
	ftl_lo_region_end(lo, lo->inner);
	ftl_arena_free(lo->scratch);
	/* the symbols' variables go first */
	rest = lo->m->main->body;
	memset(&lo->m->main->body, 0, sizeof rest);
	for (uint32_t i = 0; i < lo->vars->insts.n; i++)
		ftl_vec_push(arena, &lo->m->main->body.insts, lo->vars->insts.v[i]);
	for (uint32_t i = 0; i < rest.insts.n; i++)
		ftl_vec_push(arena, &lo->m->main->body.insts, rest.insts.v[i]);
	lo->m->prologue += lo->vars->insts.n;
	ftl_kmodule_expand_math(lo->m);
	FTL_TRY(ftl_kmodule_plan(lo->m, d));
	*out = lo->m;
	return ftl_kmodule_verify(lo->m, d);
}
