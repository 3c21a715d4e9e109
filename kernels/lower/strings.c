/* Strings: constants, conversions, concatenation, splitting. To a kernel a string is an i64 that the functions of
 * base/string_fns.h understand. A kernel that makes strings runs as one piece: their memory has no lock. */
#include <assert.h>

#include "base/regex.h"
#include "util.h"

static const ftl_type *type_of(ftl_lo *lo, ftl_val v)
{
	return ftl_type_of(ftl_lo_graph(lo), v);
}

/* A list of strings as a constant, see ftl_strings_pack. */
static ftl_kv packed(ftl_lo *lo, const ftl_str *v, uint32_t n)
{
	ftl_arena *arena = ftl_lo_main(lo)->arena;
	ftl_blob *blob = FTL_NEW(arena, ftl_blob);
	size_t bytes = ftl_strings_packed_size(v, n);
	void *data = ftl_arena_alloc(arena, bytes ? bytes : SIZE_MAX / 2); /* 0: too many, and so is the other */

	ftl_strings_pack(v, n, data);
	blob->data = data;
	blob->bytes = bytes;
	return ftl_lo_blob(lo, blob);
}

/* One constant string in kernel code. */
static ftl_kv literal(ftl_kern *k, const ftl_str *s)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_kv base = ftl_k_addr(b, ftl_kern_arg(k, packed(ftl_kern_lo(k), s, 1)));

	return ftl_k2(b, FTL_K_add, base, ftl_k_i64(b, 16));
}

ftl_status ftl_nest_strings(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(ftl_lo_graph(lo), id);
	const struct ftl_attrs_strings *a = FTL_ATTRS(n, strings);
	ftl_kv blob = packed(lo, a->values.v, a->values.n), base, at;
	ftl_kern *k = ftl_kern_begin(lo, id, "strings");
	ftl_kb *b = ftl_kern_b(k);

	base = ftl_k_addr(b, ftl_kern_arg(k, blob));
	for (ftl_vloop l = ftl_vloop_begin(k, ftl_k_i64(b, 0), ftl_k_i64(b, a->values.n), ftl_kern_width(k, FTL_I64));
	     ftl_vloop_next(&l);) {
		at = ftl_k_load(b, FTL_I64, ftl_kern_arg(k, blob), l.base, l.lanes);
		ftl_k_store(b, ftl_kern_ptr(k, n->out[0]), l.base, ftl_k2(b, FTL_K_add, at, base));
	}
	ftl_kern_launch(k, ftl_k_i64(ftl_lo_main(lo), 1), a->values.n);
	return FTL_OK;
}

/* ---- conversions ---- */

/* What is no number ends the run. 0 is no string but a lane that is not in use. */
ftl_kv ftl_map_string_to(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_dtype to = FTL_ATTRS(n, string_to)->to, comp = ftl_dtype_compute(to);
	ftl_kv zero = ftl_k_i64(b, 0), how, ok, y;

	if (ftl_dtype_is_float(to)) {
		ok = ftl_u_call(b, FTL_STRING_is_real, x[0], 0, 0);
		y = ftl_k_bitcast(b, ftl_u_call(b, FTL_STRING_to_real, x[0], 0, 0), FTL_F64);
	} else {
		how = ftl_k_i64(b, to == FTL_BOOL || !ftl_dtype_is_signed(to));
		ok = ftl_u_call(b, FTL_STRING_is_int, x[0], how, 0);
		y = ftl_u_call(b, FTL_STRING_to_int, x[0], how, 0);
	}
	ok = ftl_k2(b, FTL_K_or, ftl_k2(b, FTL_K_ne, ok, zero), ftl_k2(b, FTL_K_eq, x[0], zero));
	ftl_k_check(b, ftl_u_all(b, ok), ftl_lo_msg(ftl_kern_lo(k), n, "a string is not a number of this type"));
	return ftl_k_cast(b, ftl_k_cast(b, y, to), comp);
}

static ftl_kv from_number(ftl_kb *b, ftl_dtype t, ftl_kv x)
{
	if (ftl_dtype_is_float(t))
		return ftl_k_call(b, FTL_STRING_from_real, ftl_k_bitcast(b, ftl_k_cast(b, x, FTL_F64), FTL_I64), 0, 0);
	return ftl_k_call(b, FTL_STRING_from_int, ftl_k_cast(b, x, FTL_I64), ftl_k_i64(b, t == FTL_U64), 0);
}

static void want_memory(ftl_kb *b, ftl_kv string)
{
	ftl_k_check(b, ftl_k2(b, FTL_K_ne, string, ftl_k_i64(b, 0)), 1);
}

ftl_kv ftl_map_string_match(ftl_kern *k, const ftl_node *n, const ftl_kv *x)
{
	ftl_kb *b = ftl_kern_b(k);
	ftl_str program = {"", 0};
	ftl_status_code rc = ftl_regex_compile(b->arena, FTL_ATTRS(n, string_match)->pattern.v, NULL, &program);

	assert(rc == FTL_OK); /* inference has seen to that */
	FTL_UNUSED(rc);
	return ftl_k2(b, FTL_K_ne, ftl_u_call(b, FTL_STRING_match, x[0], literal(k, &program), 0), ftl_k_i64(b, 0));
}

static ftl_kv make(ftl_lo *lo, ftl_kb *b, const ftl_node *n, const ftl_kv *x)
{
	if (n->op == FTL_OP_string_concat)
		return ftl_k_call(b, FTL_STRING_concat, x[0], x[1], 0);
	if (n->op == FTL_OP_string_case)
		return ftl_k_call(b, FTL_STRING_case, x[0], ftl_k_i64(b, FTL_ATTRS(n, string_case)->upper), 0);
	return from_number(b, type_of(lo, n->in[0])->dtype, x[0]);
}

/* New strings element by element: string_from, string_case, string_concat. */
ftl_status ftl_nest_string_make(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const ftl_type *t = type_of(lo, n->out[0]);
	ftl_kern *k = ftl_kern_begin(lo, id, ftl_op_get(n->op)->name);
	ftl_kb *b = ftl_kern_b(k);
	ftl_kscope s = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, ftl_type_numel(g, t)), 1);
	ftl_kv idx[FTL_MAX_RANK + 1], at[FTL_MAX_RANK + 1], x[2] = {0}, y;

	ftl_delinear(k, t->dims, t->rank, s.index, idx);
	for (uint32_t i = 0; i < n->nin; i++) {
		ftl_u_check_bcast(lo, n, n->in[i], t);
		ftl_u_bcast_index(k, t, idx, n->in[i], at);
		x[i] = ftl_read(k, n->in[i], at);
	}
	y = make(lo, b, n, x);
	want_memory(b, y);
	ftl_k_store(b, ftl_kern_ptr(k, n->out[0]), s.index, y);
	ftl_k_end(b, &s);
	ftl_kern_launch(k, ftl_k_i64(ftl_lo_main(lo), 1), ftl_u_cost(lo, ftl_type_numel(g, t), 100));
	return FTL_OK;
}

/* ---- string_split ---- */

/* A loop over the pieces of a string: begin, number and end of each. */
typedef struct pieces {
	ftl_kv count, end;
	ftl_kv begin, to; /* inside the loop */
	ftl_kscope s;
} pieces;

static pieces pieces_begin(ftl_kb *b, const struct ftl_attrs_string_split *a, ftl_kv x, ftl_kv delimiter)
{
	pieces p = {.count = ftl_k_var(b, ftl_k_i64(b, 0)), .end = ftl_k_var(b, ftl_k_i64(b, -1))};
	ftl_kscope last;
	ftl_kv to;

	p.s = ftl_k_loop(b);
	p.begin = ftl_k_call(b, FTL_STRING_begin, x, delimiter, ftl_k_get(b, p.end));
	ftl_k_break(b, ftl_k2(b, FTL_K_lt, p.begin, ftl_k_i64(b, 0)));
	to = ftl_k_var(b, ftl_k_i64(b, 0));
	last = ftl_k_if(b, ftl_k2(b, FTL_K_lt, ftl_k_get(b, p.count), ftl_k_i64(b, a->max_split)));
	ftl_k_set(b, to, ftl_k_call(b, FTL_STRING_end, x, delimiter, p.begin));
	ftl_k_else(b, &last);
	ftl_k_set(b, to, ftl_k_call(b, FTL_STRING_rest, x, delimiter, p.begin));
	ftl_k_end(b, &last);
	p.to = ftl_k_get(b, to);
	return p;
}

static void pieces_end(ftl_kb *b, pieces *p, const struct ftl_attrs_string_split *a)
{
	ftl_kv n = ftl_k_get(b, p->count);

	ftl_k_set(b, p->end, p->to);
	ftl_k_set(b, p->count, ftl_k2(b, FTL_K_add, n, ftl_k_i64(b, 1)));
	ftl_k_break(b, ftl_k2(b, FTL_K_le, ftl_k_i64(b, a->max_split), n));
	ftl_k_end(b, &p->s);
}

ftl_status ftl_nest_string_split(ftl_lo *lo, ftl_node_id id)
{
	const ftl_graph *g = ftl_lo_graph(lo);
	const ftl_node *n = ftl_node_get(g, id);
	const struct ftl_attrs_string_split *a = FTL_ATTRS(n, string_split);
	const ftl_type *t = type_of(lo, n->in[0]), *out = type_of(lo, n->out[0]);
	ftl_dim numel = ftl_type_numel(g, t), most = out->dims[t->rank];
	ftl_kv meta = ftl_lo_temp(lo, ftl_u_const(lo, 8)), one = ftl_k_i64(ftl_lo_main(lo), 1);
	ftl_kv idx[FTL_MAX_RANK + 1], delimiter, x, max, count, at, y, width;
	ftl_kern *k = ftl_kern_begin(lo, id, "count pieces");
	ftl_kb *b = ftl_kern_b(k);
	ftl_kscope s, f;
	pieces p;

	delimiter = a->delimiter.n ? literal(k, a->delimiter.v) : ftl_k_i64(b, 0);
	max = ftl_k_var(b, ftl_k_i64(b, 0));
	s = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, numel), 1);
	ftl_delinear(k, t->dims, t->rank, s.index, idx);
	p = pieces_begin(b, a, ftl_read(k, n->in[0], idx), delimiter);
	pieces_end(b, &p, a);
	count = ftl_k_get(b, p.count);
	ftl_k_store(b, ftl_kern_ptr(k, n->out[1]), s.index, count);
	ftl_k_set(b, max, ftl_k2(b, FTL_K_max, ftl_k_get(b, max), count));
	ftl_k_end(b, &s);
	ftl_k_store(b, ftl_kern_arg(k, meta), ftl_k_i64(b, 0), ftl_k_get(b, max));
	ftl_kern_launch(k, one, ftl_u_cost(lo, numel, 100));
	ftl_u_bind_count(lo, n, most, meta);

	k = ftl_kern_begin(lo, id, "split");
	b = ftl_kern_b(k);
	delimiter = a->delimiter.n ? literal(k, a->delimiter.v) : ftl_k_i64(b, 0);
	width = ftl_kern_dim(k, most);
	s = ftl_k_for(b, ftl_k_i64(b, 0), ftl_kern_dim(k, numel), 1);
	ftl_delinear(k, t->dims, t->rank, s.index, idx);
	at = ftl_k2(b, FTL_K_mul, s.index, width);
	x = ftl_read(k, n->in[0], idx);
	p = pieces_begin(b, a, x, delimiter);
	/* repeats what the counts say: the two kernels must not disagree on memory */
	ftl_k_break(b, ftl_k2(b, FTL_K_le, width, ftl_k_get(b, p.count)));
	y = ftl_k_call(b, FTL_STRING_sub, x, p.begin, p.to);
	want_memory(b, y);
	ftl_k_store(b, ftl_kern_ptr(k, n->out[0]), ftl_k2(b, FTL_K_add, at, ftl_k_get(b, p.count)), y);
	pieces_end(b, &p, a);
	f = ftl_k_for(b, ftl_k_get(b, p.count), width, 1);
	y = ftl_k_call(b, FTL_STRING_sub, x, ftl_k_i64(b, 0), ftl_k_i64(b, 0));
	want_memory(b, y);
	ftl_k_store(b, ftl_kern_ptr(k, n->out[0]), ftl_k2(b, FTL_K_add, at, f.index), y);
	ftl_k_end(b, &f);
	ftl_k_end(b, &s);
	ftl_kern_launch(k, one, ftl_u_cost(lo, numel, 200));
	return FTL_OK;
}
