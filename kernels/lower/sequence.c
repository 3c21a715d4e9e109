/* Sequences and optionals: code of the program that manages records and bytes; see sequence.h.
 *
 * Elements start at multiples of 64 bytes. Taking one out of a sequence copies it, so that nothing points into a sequence
 * that may change. What an erased element leaves behind goes when the bytes must grow: growing moves the elements
 * that are still there to memory twice as large as they need. */
#include "kernels/lower/sequence.h"

#include "kernels/lower/util.h"

/* Words of a record. */
enum { AT = FTL_SEQ_AT, RANK = FTL_SEQ_RANK, DIMS = FTL_SEQ_DIMS, BYTES = FTL_SEQ_BYTES, WORDS = FTL_SEQ_WORDS };
#define RECORD ((int64_t)WORDS * 8)
#define MAX_READERS 64 /* looked at to find out whether somebody reads a sequence later */

ftl_kv ftl_seq_aligned(ftl_lo *lo, ftl_kv bytes)
{
	return seq_op2(lo, FTL_K_and, seq_op2(lo, FTL_K_add, bytes, seq_num(lo, 63)), seq_num(lo, -64));
}

/* ---- records ---- */

ftl_kv ftl_seq_record(ftl_lo *lo, ftl_kv table, ftl_kv i)
{
	return ftl_k_offset(&lo->main, table, seq_op2(lo, FTL_K_mul, i, seq_num(lo, RECORD)));
}

ftl_kv ftl_seq_word(ftl_lo *lo, ftl_kv rec, int w)
{
	return ftl_k_load(&lo->main, FTL_I64, rec, seq_num(lo, w), 1);
}

static void set_word(ftl_lo *lo, ftl_kv rec, int w, ftl_kv v)
{
	ftl_k_store(&lo->main, rec, seq_num(lo, w), v);
}

ftl_kv ftl_seq_bytes_at(ftl_lo *lo, const ftl_lo_seq *s, ftl_kv rec)
{
	return ftl_k_offset(&lo->main, seq_get(lo, s->data), ftl_seq_word(lo, rec, AT));
}

/* ---- memory ---- */

ftl_lo_seq *ftl_seq_new(ftl_lo *lo)
{
	ftl_lo_seq *s = FTL_NEW(lo->arena, ftl_lo_seq);
	ftl_kb *b = &lo->main;

	s->table = ftl_k_var(b, ftl_k_workspace(b));
	s->data = ftl_k_var(b, ftl_k_workspace(b));
	s->n = ftl_k_var(b, seq_num(lo, 0));
	s->used = ftl_k_var(b, seq_num(lo, 0));
	s->cap = ftl_k_var(b, seq_num(lo, 0));
	s->room = ftl_k_var(b, seq_num(lo, 0));
	return s;
}

static void free_if_any(ftl_lo *lo, ftl_kv ptr, ftl_kv size)
{
	ftl_kb *b = &lo->main;
	ftl_kscope s = ftl_k_if(b, seq_op2(lo, FTL_K_lt, seq_num(lo, 0), seq_get(lo, size)));

	ftl_k_free(b, seq_get(lo, ptr));
	ftl_k_set(b, size, seq_num(lo, 0));
	ftl_k_end(b, &s);
}

void ftl_seq_free(ftl_lo *lo, const ftl_lo_seq *s)
{
	free_if_any(lo, s->table, s->cap);
	free_if_any(lo, s->data, s->room);
}

static void set_all(ftl_lo *lo, const ftl_lo_seq *dst, const ftl_lo_seq *src)
{
	ftl_kb *b = &lo->main;

	ftl_k_set(b, dst->table, seq_get(lo, src->table));
	ftl_k_set(b, dst->data, seq_get(lo, src->data));
	ftl_k_set(b, dst->n, seq_get(lo, src->n));
	ftl_k_set(b, dst->used, seq_get(lo, src->used));
	ftl_k_set(b, dst->cap, seq_get(lo, src->cap));
	ftl_k_set(b, dst->room, seq_get(lo, src->room));
}

void ftl_seq_move(ftl_lo *lo, const ftl_lo_seq *dst, const ftl_lo_seq *src)
{
	set_all(lo, dst, src);
	ftl_k_set(&lo->main, src->cap, seq_num(lo, 0));
	ftl_k_set(&lo->main, src->room, seq_num(lo, 0));
}

/* Bytes that the elements need side by side. */
static ftl_kv live_bytes(ftl_lo *lo, const ftl_lo_seq *s)
{
	ftl_kb *b = &lo->main;
	ftl_kv sum = ftl_k_var(b, seq_num(lo, 0)), table = seq_get(lo, s->table);
	ftl_kscope l = ftl_k_for(b, seq_num(lo, 0), seq_get(lo, s->n), 1);

	ftl_k_set(b, sum,
		  seq_op2(lo, FTL_K_add, seq_get(lo, sum),
			  ftl_seq_aligned(lo, ftl_seq_word(lo, ftl_seq_record(lo, table, l.index), BYTES))));
	ftl_k_end(b, &l);
	return seq_get(lo, sum);
}

/* Elements of s side by side to `data`; their records, with the new addresses, to `table`, or stay (0). */
static void move_elements(ftl_lo *lo, const ftl_lo_seq *s, ftl_kv table, ftl_kv data)
{
	ftl_kb *b = &lo->main;
	ftl_kv old = seq_get(lo, s->table), at = ftl_k_var(b, seq_num(lo, 0)), from, to, bytes, src;
	ftl_kscope l = ftl_k_for(b, seq_num(lo, 0), seq_get(lo, s->n), 1);

	from = ftl_seq_record(lo, old, l.index);
	to = table ? ftl_seq_record(lo, table, l.index) : from;
	bytes = ftl_seq_word(lo, from, BYTES);
	src = ftl_seq_bytes_at(lo, s, from);
	if (table)
		ftl_k_copy(b, to, from, seq_num(lo, RECORD));
	set_word(lo, to, AT, seq_get(lo, at));
	ftl_k_copy(b, ftl_k_offset(b, data, seq_get(lo, at)), src, bytes);
	ftl_k_set(b, at, seq_op2(lo, FTL_K_add, seq_get(lo, at), ftl_seq_aligned(lo, bytes)));
	ftl_k_end(b, &l);
}

static void copy_all(ftl_lo *lo, const ftl_lo_seq *dst, const ftl_lo_seq *src)
{
	ftl_kb *b = &lo->main;
	ftl_kv live = live_bytes(lo, src), n = seq_get(lo, src->n);
	ftl_kv cap = seq_op2(lo, FTL_K_max, n, seq_num(lo, 1)), room = seq_op2(lo, FTL_K_max, live, seq_num(lo, 64));
	ftl_kv table = ftl_k_alloc(b, seq_op2(lo, FTL_K_mul, cap, seq_num(lo, RECORD)));
	ftl_kv data;

	ftl_k_set(b, dst->table, table);
	ftl_k_set(b, dst->cap, cap);
	data = ftl_k_alloc(b, room);
	ftl_k_set(b, dst->data, data);
	ftl_k_set(b, dst->room, room);
	ftl_k_set(b, dst->used, live);
	ftl_k_set(b, dst->n, n);
	move_elements(lo, src, table, data);
}

void ftl_seq_reserve(ftl_lo *lo, const ftl_lo_seq *s, ftl_kv bytes)
{
	ftl_kb *b = &lo->main;
	ftl_kv need = seq_op2(lo, FTL_K_add, seq_get(lo, s->n), seq_num(lo, 1)), cap, room, fresh, live;
	ftl_kscope c = ftl_k_if(b, seq_op2(lo, FTL_K_lt, seq_get(lo, s->cap), need)), any;

	cap = seq_op2(lo, FTL_K_add, seq_op2(lo, FTL_K_mul, need, seq_num(lo, 2)), seq_num(lo, 6));
	fresh = ftl_k_alloc(b, seq_op2(lo, FTL_K_mul, cap, seq_num(lo, RECORD)));
	any = ftl_k_if(b, seq_op2(lo, FTL_K_lt, seq_num(lo, 0), seq_get(lo, s->cap)));
	ftl_k_copy(b, fresh, seq_get(lo, s->table), seq_op2(lo, FTL_K_mul, seq_get(lo, s->n), seq_num(lo, RECORD)));
	ftl_k_free(b, seq_get(lo, s->table));
	ftl_k_end(b, &any);
	ftl_k_set(b, s->table, fresh);
	ftl_k_set(b, s->cap, cap);
	ftl_k_end(b, &c);

	c = ftl_k_if(b,
		     seq_op2(lo, FTL_K_lt, seq_get(lo, s->room), seq_op2(lo, FTL_K_add, seq_get(lo, s->used), bytes)));
	live = live_bytes(lo, s);
	room = seq_op2(lo, FTL_K_mul, seq_op2(lo, FTL_K_add, seq_op2(lo, FTL_K_add, live, bytes), seq_num(lo, 64)),
		       seq_num(lo, 2));
	fresh = ftl_k_alloc(b, room);
	move_elements(lo, s, 0, fresh);
	free_if_any(lo, s->data, s->room);
	ftl_k_set(b, s->data, fresh);
	ftl_k_set(b, s->room, room);
	ftl_k_set(b, s->used, live);
	ftl_k_end(b, &c);
}

ftl_kv ftl_seq_append(ftl_lo *lo, const ftl_lo_seq *s, int rank, const ftl_kv *dims, ftl_kv bytes)
{
	ftl_kb *b = &lo->main;
	ftl_kv rec = ftl_seq_record(lo, seq_get(lo, s->table), seq_get(lo, s->n));
	ftl_kv to = ftl_k_offset(b, seq_get(lo, s->data), seq_get(lo, s->used));

	ftl_k_zero(b, rec, seq_num(lo, RECORD));
	set_word(lo, rec, AT, seq_get(lo, s->used));
	set_word(lo, rec, RANK, seq_num(lo, rank));
	for (int d = 0; d < rank; d++)
		set_word(lo, rec, DIMS + d, dims[d]);
	set_word(lo, rec, BYTES, bytes);
	ftl_k_set(b, s->n, seq_op2(lo, FTL_K_add, seq_get(lo, s->n), seq_num(lo, 1)));
	ftl_k_set(b, s->used, seq_op2(lo, FTL_K_add, seq_get(lo, s->used), ftl_seq_aligned(lo, bytes)));
	return to;
}

void ftl_seq_append_value(ftl_lo *lo, const ftl_lo_seq *s, ftl_val v)
{
	const ftl_type *t = ftl_type_of(lo->g, v);
	ftl_kv bytes = ftl_lo_bytes_checked(lo, t), src = ftl_lo_ptr(lo, v), dims[FTL_MAX_RANK];

	for (int d = 0; d < t->rank; d++)
		dims[d] = ftl_lo_dim(lo, t->dims[d]);
	ftl_seq_reserve(lo, s, ftl_seq_aligned(lo, bytes));
	ftl_k_copy(&lo->main, ftl_seq_append(lo, s, t->rank, dims, bytes), src, bytes);
}

/* ---- who owns what ---- */

static ftl_region_id outer(const ftl_lo *lo, ftl_region_id r)
{
	ftl_node_id owner = ftl_region_get(lo->g, r)->owner;

	return owner ? ftl_node_get(lo->g, owner)->region : 0;
}

/* Are nodes a and b in different branches of one If? */
static bool exclusive(const ftl_lo *lo, ftl_node_id a, ftl_node_id b)
{
	for (ftl_region_id ra = ftl_node_get(lo->g, a)->region; ra; ra = outer(lo, ra)) {
		ftl_node_id owner = ftl_region_get(lo->g, ra)->owner;

		if (!owner || ftl_node_get(lo->g, owner)->op != FTL_OP_if)
			continue;
		for (ftl_region_id rb = ftl_node_get(lo->g, b)->region; rb; rb = outer(lo, rb))
			if (rb != ra && ftl_region_get(lo->g, rb)->owner == owner)
				return true;
	}
	return false;
}

/* Is v ours, and is node id, at most once per making of v, the last to read it? */
static bool movable(const ftl_lo *lo, ftl_node_id id, ftl_val v)
{
	const ftl_value *val = ftl_value_get(lo->g, v);
	uint32_t mine = 0;

	if ((!val->def && val->region == lo->g->body) || val->uses.n > MAX_READERS)
		return false;
	for (ftl_region_id r = ftl_node_get(lo->g, id)->region; r != val->region; r = outer(lo, r))
		if (ftl_node_get(lo->g, ftl_region_get(lo->g, r)->owner)->op != FTL_OP_if)
			return false;
	for (uint32_t i = 0; i < val->uses.n; i++) {
		ftl_node_id u = val->uses.v[i];

		mine += u == id;
		if (lo->number[u] > lo->number[id] && !exclusive(lo, u, id))
			return false;
	}
	return mine == 1;
}

ftl_lo_seq *ftl_seq_take(ftl_lo *lo, ftl_node_id id, ftl_val v)
{
	const ftl_lo_seq *from = lo->val[v].seq;
	ftl_lo_seq *s = ftl_seq_new(lo);

	if (movable(lo, id, v))
		ftl_seq_move(lo, s, from);
	else
		copy_all(lo, s, from);
	return s;
}

void ftl_seq_own(ftl_lo *lo, ftl_val v, const ftl_lo_seq *s)
{
	lo->val[v].seq = s;
	ftl_vec_push(lo->arena, &lo->heap, v);
}

/* ---- inputs and outputs ---- */

static void declare(ftl_lo *lo, bool input, const char *name, const ftl_type *t)
{
	ftl_symtab *st = lo->g->st;
	ftl_dim dims[2] = {ftl_dim_fresh(st, "rows"), ftl_dim_const(st, WORDS)}, bytes = ftl_dim_fresh(st, "bytes");
	ftl_kio table = {.name = name,
			 .type = {.dtype = FTL_I64, .rank = 2, .dims = ftl_arena_dup(lo->arena, dims, sizeof dims)},
			 .value = ftl_arena_dup(lo->arena, t, sizeof *t)};
	ftl_kio data = {.name = ftl_arena_printf(lo->arena, "%s.data", name),
			.type = {.dtype = FTL_U8, .rank = 1, .dims = ftl_arena_dup(lo->arena, &bytes, sizeof bytes)}};

	if (input) {
		ftl_vec_push(lo->arena, &lo->m->inputs, table);
		ftl_vec_push(lo->arena, &lo->m->inputs, data);
	} else {
		ftl_vec_push(lo->arena, &lo->m->outputs, table);
		ftl_vec_push(lo->arena, &lo->m->outputs, data);
	}
}

void ftl_seq_input(ftl_lo *lo, ftl_val param)
{
	const ftl_value *v = ftl_value_get(lo->g, param);

	lo->val[param].out = lo->m->inputs.n; /* which input it is; a parameter is made in no output */
	declare(lo, true, v->name ? v->name : "", &v->type);
}

void ftl_seq_check_input(ftl_lo *lo, ftl_val param)
{
	const ftl_value *v = ftl_value_get(lo->g, param);
	const ftl_seq_type *t = v->type.seq;
	uint32_t in = lo->val[param].out;
	ftl_kb *b = &lo->main;
	const char *name = v->name ? v->name : "";
	int64_t msg = ftl_kmodule_msg(lo->m, "input \"%s\": not a sequence that fits the model", name);
	ftl_kv top = ftl_k_in_ptr(b, in), rows = ftl_k_in_dim(b, in, 0), room = ftl_k_in_dim(b, in + 1, 0);
	ftl_kv n, end = ftl_k_var(b, seq_num(lo, 0)), rec, at, bytes, want, limit;
	ftl_lo_seq *s;
	ftl_kscope l;

	lo->val[param].out = 0;
	ftl_k_check(b, seq_op2(lo, FTL_K_le, seq_num(lo, 1), rows), msg);
	ftl_k_check(b, seq_op2(lo, FTL_K_eq, ftl_k_in_dim(b, in, 1), seq_num(lo, WORDS)), msg);
	n = ftl_seq_word(lo, top, 0);
	ftl_k_check(b, seq_op2(lo, FTL_K_le, seq_num(lo, t->kind == FTL_SEQ_OPT_LIST ? -1 : 0), n), msg);
	ftl_k_check(b, seq_op2(lo, FTL_K_lt, n, rows), msg);
	if (t->kind == FTL_SEQ_OPT)
		ftl_k_check(b, seq_op2(lo, FTL_K_le, n, seq_num(lo, 1)), msg);
	s = ftl_seq_new(lo);
	ftl_k_set(b, s->table, ftl_k_offset(b, top, seq_num(lo, RECORD)));
	ftl_k_set(b, s->data, ftl_k_in_ptr(b, in + 1));
	ftl_k_set(b, s->n, n);
	lo->val[param].seq = s;
	/* elements lie one behind the other, so that their sizes add up to no more than the bytes there are */
	l = ftl_k_for(b, seq_num(lo, 0), n, 1);
	rec = ftl_seq_record(lo, seq_get(lo, s->table), l.index);
	at = ftl_seq_word(lo, rec, AT);
	bytes = ftl_seq_word(lo, rec, BYTES);
	ftl_k_check(b, seq_op2(lo, FTL_K_le, seq_get(lo, end), at), msg);
	ftl_k_check(b,
		    seq_op2(lo, FTL_K_and, seq_op2(lo, FTL_K_le, seq_num(lo, 0), bytes),
			    seq_op2(lo, FTL_K_le, bytes, room)),
		    msg);
	ftl_k_check(b, seq_op2(lo, FTL_K_le, at, seq_op2(lo, FTL_K_sub, room, bytes)), msg);
	ftl_k_set(b, end, seq_op2(lo, FTL_K_add, at, bytes));
	if (t->rank >= 0)
		ftl_k_check(b, seq_op2(lo, FTL_K_eq, ftl_seq_word(lo, rec, RANK), seq_num(lo, t->rank)), msg);
	else
		ftl_k_check(b,
			    seq_op2(lo, FTL_K_and, seq_op2(lo, FTL_K_le, seq_num(lo, 0), ftl_seq_word(lo, rec, RANK)),
				    seq_op2(lo, FTL_K_le, ftl_seq_word(lo, rec, RANK), seq_num(lo, FTL_MAX_RANK))),
			    msg);
	want = seq_num(lo, (int64_t)ftl_dtype_bytes(v->type.dtype));
	limit = ftl_k_float(b, FTL_KT(FTL_F64, 1), (double)ftl_dtype_bytes(v->type.dtype));
	for (int d = 0; d < (t->rank >= 0 ? t->rank : FTL_MAX_RANK); d++) {
		ftl_kv x = ftl_seq_word(lo, rec, DIMS + d);

		if (t->rank < 0)
			x = ftl_k_select(b, seq_op2(lo, FTL_K_lt, seq_num(lo, d), ftl_seq_word(lo, rec, RANK)), x,
					 seq_num(lo, 1));
		if (t->rank >= 0 && t->dims[d] >= 0)
			ftl_k_check(b, seq_op2(lo, FTL_K_eq, x, seq_num(lo, t->dims[d])), msg);
		else
			ftl_k_check(b, seq_op2(lo, FTL_K_le, seq_num(lo, 0), x), msg);
		want = seq_op2(lo, FTL_K_mul, want, x);
		limit = seq_op2(lo, FTL_K_mul, limit,
				ftl_k_cast(b, seq_op2(lo, FTL_K_max, x, seq_num(lo, 1)), FTL_F64));
	}
	ftl_k_check(b, seq_op2(lo, FTL_K_eq, want, bytes), msg);
	ftl_k_check(b, seq_op2(lo, FTL_K_le, limit, ftl_k_float(b, FTL_KT(FTL_F64, 1), 0x1p46)), msg);
	ftl_k_end(b, &l);
}

void ftl_seq_declare_output(ftl_lo *lo, const char *name, const ftl_type *t)
{
	declare(lo, false, name, t);
}

void ftl_seq_output(ftl_lo *lo, ftl_val v, uint32_t first)
{
	const ftl_lo_seq *s = lo->val[v].seq;
	ftl_kb *b = &lo->main;
	ftl_kv n = seq_get(lo, s->n),
	       rows = seq_op2(lo, FTL_K_add, seq_op2(lo, FTL_K_max, n, seq_num(lo, 0)), seq_num(lo, 1));
	ftl_kv live = live_bytes(lo, s), table, data;

	table = ftl_k_out_ptr(b, first, seq_op2(lo, FTL_K_mul, rows, seq_num(lo, RECORD)));
	data = ftl_k_out_ptr(b, first + 1, live);
	ftl_k_zero(b, table, seq_num(lo, RECORD));
	set_word(lo, table, 0, n);
	set_word(lo, table, 1, live);
	move_elements(lo, s, ftl_k_offset(b, table, seq_num(lo, RECORD)), data);
	ftl_k_out_dim(b, first, 0, rows);
	ftl_k_out_dim(b, first, 1, seq_num(lo, WORDS));
	ftl_k_out_dim(b, first + 1, 0, live);
}
