/* The ops on sequences and optionals (ops.def, seq_* and opt_*): code of the program over what sequence.h manages. */
#include "kernels/lower/sequence.h"

#include "kernels/lower/util.h"

enum { DIMS = FTL_SEQ_DIMS, BYTES = FTL_SEQ_BYTES };
#define RECORD ((int64_t)FTL_SEQ_WORDS * 8)

/* Operand k as a position in [0, n), or [0, n] where `end` is allowed. */
static ftl_kv position(ftl_lo *lo, const ftl_node *n, uint32_t k, ftl_kv count, bool end)
{
	ftl_kb *b = &lo->main;
	ftl_kv i = ftl_u_elem(lo, n, n->in[k], 0), ok;

	i = seq_op2(lo, FTL_K_add, i, ftl_k_select(b, seq_op2(lo, FTL_K_lt, i, seq_num(lo, 0)), count, seq_num(lo, 0)));
	ok = seq_op2(lo, FTL_K_and, seq_op2(lo, FTL_K_le, seq_num(lo, 0), i),
		     seq_op2(lo, end ? FTL_K_le : FTL_K_lt, i, count));
	ftl_k_check(b, ok, ftl_lo_msg(lo, n, "the position is outside of the sequence"));
	return i;
}

static bool has(const ftl_node *n, uint32_t k)
{
	return k < n->nin && n->in[k];
}

ftl_status ftl_prog_seq_empty(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	ftl_lo_seq *s = ftl_seq_new(lo);

	if (ftl_type_of(lo->g, n->out[0])->seq->kind == FTL_SEQ_OPT_LIST)
		ftl_k_set(&lo->main, s->n, seq_num(lo, -1));
	ftl_seq_own(lo, n->out[0], s);
	return FTL_OK;
}

ftl_status ftl_prog_seq_insert(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	ftl_kb *b = &lo->main;
	ftl_lo_seq *s;
	ftl_kv count = seq_get(lo, lo->val[n->in[0]].seq->n), at = 0, table, last;
	ftl_kscope l;

	if (has(n, 2))
		at = position(lo, n, 2, count, true);
	s = ftl_seq_take(lo, id, n->in[0]);
	ftl_seq_append_value(lo, s, n->in[1]);
	ftl_seq_own(lo, n->out[0], s);
	if (!at)
		return FTL_OK;
	/* the last record moves to its place, those behind it one further; there is room for one more behind the last */
	ftl_seq_reserve(lo, s, seq_num(lo, 0));
	table = seq_get(lo, s->table);
	last = ftl_seq_record(lo, table, seq_op2(lo, FTL_K_add, count, seq_num(lo, 1)));
	ftl_k_copy(b, last, ftl_seq_record(lo, table, count), seq_num(lo, RECORD));
	l = ftl_k_for(b, seq_num(lo, 0), seq_op2(lo, FTL_K_sub, count, at), 1);
	{
		ftl_kv to = seq_op2(lo, FTL_K_sub, count, l.index);

		ftl_k_copy(b, ftl_seq_record(lo, table, to),
			   ftl_seq_record(lo, table, seq_op2(lo, FTL_K_sub, to, seq_num(lo, 1))), seq_num(lo, RECORD));
	}
	ftl_k_end(b, &l);
	ftl_k_copy(b, ftl_seq_record(lo, table, at), last, seq_num(lo, RECORD));
	return FTL_OK;
}

ftl_status ftl_prog_seq_extend(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const ftl_type *t = ftl_type_of(lo->g, n->in[1]);
	ftl_kb *b = &lo->main;
	ftl_lo_seq *s = ftl_seq_take(lo, id, n->in[0]);
	ftl_kv src = ftl_lo_ptr(lo, n->in[1]), dims[FTL_MAX_RANK], bytes;
	ftl_kscope l;

	ftl_seq_own(lo, n->out[0], s);
	bytes = seq_op2(lo, FTL_K_mul, ftl_lo_dim(lo, ftl_u_product(lo, t, 1, t->rank)),
			seq_num(lo, (int64_t)ftl_dtype_bytes(t->dtype)));
	for (int d = 1; d < t->rank; d++)
		dims[d - 1] = ftl_lo_dim(lo, t->dims[d]);
	l = ftl_k_for(b, seq_num(lo, 0), ftl_lo_dim(lo, t->dims[0]), 1);
	ftl_seq_reserve(lo, s, ftl_seq_aligned(lo, bytes));
	ftl_k_copy(b, ftl_seq_append(lo, s, t->rank - 1, dims, bytes),
		   ftl_k_offset(b, src, seq_op2(lo, FTL_K_mul, l.index, bytes)), bytes);
	ftl_k_end(b, &l);
	return FTL_OK;
}

ftl_status ftl_prog_seq_erase(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	ftl_kb *b = &lo->main;
	ftl_lo_seq *s;
	ftl_kv count = seq_get(lo, lo->val[n->in[0]].seq->n), last = seq_op2(lo, FTL_K_sub, count, seq_num(lo, 1)),
	       at = 0, table;
	ftl_kscope l;

	if (has(n, 1))
		at = position(lo, n, 1, count, false);
	else
		ftl_k_check(b, seq_op2(lo, FTL_K_lt, seq_num(lo, 0), count),
			    ftl_lo_msg(lo, n, "there is no element to erase"));
	s = ftl_seq_take(lo, id, n->in[0]);
	ftl_seq_own(lo, n->out[0], s);
	ftl_k_set(b, s->n, last);
	if (!at)
		return FTL_OK;
	table = seq_get(lo, s->table);
	l = ftl_k_for(b, at, last, 1);
	ftl_k_copy(b, ftl_seq_record(lo, table, l.index),
		   ftl_seq_record(lo, table, seq_op2(lo, FTL_K_add, l.index, seq_num(lo, 1))), seq_num(lo, RECORD));
	ftl_k_end(b, &l);
	return FTL_OK;
}

/* Symbols among the dims of result 0 get their values. */
static void bind_dim(ftl_lo *lo, const ftl_node *n, int d, ftl_kv v)
{
	ftl_dim dim = ftl_type_of(lo->g, n->out[0])->dims[d];

	if (ftl_dim_get(lo->g->st, dim)->kind == FTL_DIM_SYM)
		ftl_lo_bind(lo, dim, v);
}

static ftl_status take_out(ftl_lo *lo, const ftl_node *n, ftl_kv at)
{
	const ftl_lo_seq *s = lo->val[n->in[0]].seq;
	ftl_kv rec = ftl_seq_record(lo, seq_get(lo, s->table), at), to;

	for (int d = 0; d < ftl_type_of(lo->g, n->out[0])->rank; d++)
		bind_dim(lo, n, d, ftl_seq_word(lo, rec, DIMS + d));
	to = ftl_lo_ptr(lo, n->out[0]);
	ftl_k_copy(&lo->main, to, ftl_seq_bytes_at(lo, s, rec), ftl_seq_word(lo, rec, BYTES));
	return FTL_OK;
}

ftl_status ftl_prog_seq_at(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);

	return take_out(lo, n, position(lo, n, 1, seq_get(lo, lo->val[n->in[0]].seq->n), false));
}

ftl_status ftl_prog_seq_length(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);

	ftl_k_store(&lo->main, ftl_lo_ptr(lo, n->out[0]), seq_num(lo, 0), seq_get(lo, lo->val[n->in[0]].seq->n));
	return FTL_OK;
}

/* Product of dims [from, to) of a record, times `times`. */
static ftl_kv extent(ftl_lo *lo, ftl_kv rec, int from, int to, int64_t times)
{
	ftl_kv x = seq_num(lo, times);

	for (int d = from; d < to; d++)
		x = seq_op2(lo, FTL_K_mul, x, ftl_seq_word(lo, rec, DIMS + d));
	return x;
}

/* Piece o of `outer` ones moves `bytes` from src + o * src_step to dst + o * dst_step. */
static void copy_rows(ftl_lo *lo, ftl_kv outer, ftl_kv dst, ftl_kv dst_step, ftl_kv src, ftl_kv src_step, ftl_kv bytes)
{
	ftl_kb *b = &lo->main;
	ftl_kscope l = ftl_k_for(b, seq_num(lo, 0), outer, 1);

	ftl_k_copy(b, ftl_k_offset(b, dst, seq_op2(lo, FTL_K_mul, l.index, dst_step)),
		   ftl_k_offset(b, src, seq_op2(lo, FTL_K_mul, l.index, src_step)), bytes);
	ftl_k_end(b, &l);
}

ftl_status ftl_prog_seq_concat(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const struct ftl_attrs_seq_concat *a = FTL_ATTRS(n, seq_concat);
	const ftl_type *t = ftl_type_of(lo->g, n->out[0]);
	const ftl_lo_seq *s = lo->val[n->in[0]].seq;
	ftl_kb *b = &lo->main;
	int axis = ftl_u_axis(a->axis, t->rank), rank = t->rank - a->new_axis;
	int64_t size = (int64_t)ftl_dtype_bytes(t->dtype);
	ftl_kv count = seq_get(lo, s->n), sum = ftl_k_var(b, seq_num(lo, 0)), at = ftl_k_var(b, seq_num(lo, 0));
	ftl_kv table = seq_get(lo, s->table), rec, row, outer_n, dst;
	ftl_kscope l;

	ftl_k_check(b, seq_op2(lo, FTL_K_lt, seq_num(lo, 0), count),
		    ftl_lo_msg(lo, n, "an empty sequence cannot be concatenated"));
	l = ftl_k_for(b, seq_num(lo, 0), count, 1);
	rec = ftl_seq_record(lo, table, l.index);
	for (int d = 0; d < rank; d++) {
		if (d == axis && !a->new_axis)
			ftl_k_set(b, sum, seq_op2(lo, FTL_K_add, seq_get(lo, sum), ftl_seq_word(lo, rec, DIMS + d)));
		else
			ftl_k_check(b,
				    seq_op2(lo, FTL_K_eq, ftl_seq_word(lo, rec, DIMS + d),
					    ftl_seq_word(lo, table, DIMS + d)),
				    ftl_lo_msg(lo, n, "the elements' shapes do not fit together"));
	}
	ftl_k_end(b, &l);
	for (int d = 0, k = 0; d < t->rank; d++) {
		if (d == axis) {
			bind_dim(lo, n, d, a->new_axis ? count : seq_get(lo, sum));
			k += !a->new_axis;
		} else {
			bind_dim(lo, n, d, ftl_seq_word(lo, table, DIMS + k++));
		}
	}
	dst = ftl_lo_ptr(lo, n->out[0]);
	outer_n = extent(lo, table, 0, axis, 1);
	row = extent(lo, table, axis + !a->new_axis, rank, size);
	row = seq_op2(lo, FTL_K_mul, row, a->new_axis ? count : seq_get(lo, sum));
	l = ftl_k_for(b, seq_num(lo, 0), count, 1);
	rec = ftl_seq_record(lo, table, l.index);
	{
		ftl_kv bytes = extent(lo, rec, axis, rank, size);

		copy_rows(lo, outer_n, ftl_k_offset(b, dst, seq_get(lo, at)), row, ftl_seq_bytes_at(lo, s, rec), bytes,
			  bytes);
		ftl_k_set(b, at, seq_op2(lo, FTL_K_add, seq_get(lo, at), bytes));
	}
	ftl_k_end(b, &l);
	return FTL_OK;
}

/* How many pieces operand 1 asks for, and that they fill the axis. */
static ftl_kv pieces(ftl_lo *lo, const ftl_node *n, ftl_kv size, ftl_kv *out_each)
{
	ftl_kb *b = &lo->main;
	const ftl_type *t;
	ftl_kv count, sum, x, ok;
	ftl_kscope l;

	*out_each = seq_num(lo, 1);
	if (!has(n, 1))
		return size;
	t = ftl_type_of(lo->g, n->in[1]);
	if (t->rank == 0) {
		*out_each = ftl_u_elem(lo, n, n->in[1], 0);
		ftl_k_check(b, seq_op2(lo, FTL_K_lt, seq_num(lo, 0), *out_each),
			    ftl_lo_msg(lo, n, "the size of the pieces must be above 0"));
		/* not size + each - 1, which may wrap */
		ok = seq_op2(lo, FTL_K_lt, seq_num(lo, 0), seq_op2(lo, FTL_K_rem, size, *out_each));
		return seq_op2(lo, FTL_K_add, seq_op2(lo, FTL_K_div, size, *out_each), ftl_k_cast(b, ok, FTL_I64));
	}
	*out_each = 0;
	count = ftl_lo_dim(lo, t->dims[0]);
	sum = ftl_k_var(b, seq_num(lo, 0));
	l = ftl_k_for(b, seq_num(lo, 0), count, 1);
	x = ftl_k_cast(b, ftl_k_load(b, t->dtype, ftl_lo_ptr(lo, n->in[1]), l.index, 1), FTL_I64);
	ok = seq_op2(lo, FTL_K_and, seq_op2(lo, FTL_K_le, seq_num(lo, 0), x), seq_op2(lo, FTL_K_le, x, size));
	ftl_k_check(b, ok, ftl_lo_msg(lo, n, "a size is negative or larger than the axis"));
	ftl_k_set(b, sum, seq_op2(lo, FTL_K_add, seq_get(lo, sum), x));
	ftl_k_end(b, &l);
	ftl_k_check(b, seq_op2(lo, FTL_K_eq, seq_get(lo, sum), size),
		    ftl_lo_msg(lo, n, "the sizes do not add up to the size of the axis"));
	return count;
}

ftl_status ftl_prog_seq_split(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	const struct ftl_attrs_seq_split *a = FTL_ATTRS(n, seq_split);
	const ftl_type *t = ftl_type_of(lo->g, n->in[0]);
	ftl_kb *b = &lo->main;
	int axis = ftl_u_axis(a->axis, t->rank), rank = 0;
	bool keep = a->keepdims || has(n, 1);
	ftl_kv size = ftl_lo_dim(lo, t->dims[axis]), src = ftl_lo_ptr(lo, n->in[0]), each, count, len, bytes, inner;
	ftl_kv outer_n = ftl_lo_dim(lo, ftl_u_product(lo, t, 0, axis)), at = ftl_k_var(b, seq_num(lo, 0));
	ftl_kv dims[FTL_MAX_RANK];
	ftl_lo_seq *s = ftl_seq_new(lo);
	ftl_kscope l;

	ftl_seq_own(lo, n->out[0], s);
	inner = seq_op2(lo, FTL_K_mul, ftl_lo_dim(lo, ftl_u_product(lo, t, axis + 1, t->rank)),
			seq_num(lo, (int64_t)ftl_dtype_bytes(t->dtype)));
	count = pieces(lo, n, size, &each);
	l = ftl_k_for(b, seq_num(lo, 0), count, 1);
	if (each)
		len = seq_op2(lo, FTL_K_min, each, seq_op2(lo, FTL_K_sub, size, seq_get(lo, at)));
	else
		len = ftl_k_cast(
			b, ftl_k_load(b, ftl_type_of(lo->g, n->in[1])->dtype, ftl_lo_ptr(lo, n->in[1]), l.index, 1),
			FTL_I64);
	for (int d = 0; d < t->rank; d++)
		if (d != axis || keep)
			dims[rank++] = d == axis ? len : ftl_lo_dim(lo, t->dims[d]);
	bytes = seq_op2(lo, FTL_K_mul, len, inner);
	{
		ftl_kv all = seq_op2(lo, FTL_K_mul, bytes, outer_n), to;

		ftl_seq_reserve(lo, s, ftl_seq_aligned(lo, all));
		to = ftl_seq_append(lo, s, rank, dims, all);
		copy_rows(lo, outer_n, to, bytes, ftl_k_offset(b, src, seq_op2(lo, FTL_K_mul, seq_get(lo, at), inner)),
			  seq_op2(lo, FTL_K_mul, size, inner), bytes);
	}
	ftl_k_set(b, at, seq_op2(lo, FTL_K_add, seq_get(lo, at), len));
	ftl_k_end(b, &l);
	return FTL_OK;
}

ftl_status ftl_prog_opt_of(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);
	ftl_lo_seq *s;

	if (ftl_type_of(lo->g, n->in[0])->seq) {
		ftl_seq_own(lo, n->out[0], ftl_seq_take(lo, id, n->in[0]));
		return FTL_OK;
	}
	s = ftl_seq_new(lo);
	ftl_seq_own(lo, n->out[0], s);
	ftl_seq_append_value(lo, s, n->in[0]);
	return FTL_OK;
}

/* Is there something in operand 0? */
static ftl_kv present(ftl_lo *lo, const ftl_node *n)
{
	bool list = ftl_type_of(lo->g, n->in[0])->seq->kind == FTL_SEQ_OPT_LIST;

	return seq_op2(lo, FTL_K_le, seq_num(lo, list ? 0 : 1), seq_get(lo, lo->val[n->in[0]].seq->n));
}

ftl_status ftl_prog_opt_has(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);

	ftl_k_store(&lo->main, ftl_lo_ptr(lo, n->out[0]), seq_num(lo, 0), present(lo, n));
	return FTL_OK;
}

ftl_status ftl_prog_opt_get(ftl_lo *lo, ftl_node_id id)
{
	const ftl_node *n = ftl_node_get(lo->g, id);

	ftl_k_check(&lo->main, present(lo, n), ftl_lo_msg(lo, n, "the optional has no element"));
	if (!ftl_type_of(lo->g, n->out[0])->seq)
		return take_out(lo, n, seq_num(lo, 0));
	ftl_seq_own(lo, n->out[0], ftl_seq_take(lo, id, n->in[0]));
	return FTL_OK;
}
