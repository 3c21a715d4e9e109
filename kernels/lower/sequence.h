/* Sequences and optionals while a program runs. Private to the driver, control.c and sequence.c.
 *
 * A sequence is six variables of the program: a table with a record of FTL_SEQ_WORDS i64 per element, the elements' bytes,
 * and how much of both is in use. It has one owner. Who needs one to change takes it: the memory changes hands where
 * nobody reads the sequence later, else it is copied, so that appending in a loop does not copy what is there.
 *
 * As an input or output of the program it is two tensors: i64[n + 1, FTL_SEQ_WORDS], whose first row is {n, bytes} and whose
 * others are records, and u8[bytes]. An optional is a sequence of one element or none; an optional sequence that is
 * not there has n = -1. */
#ifndef KERNELS_LOWER_SEQUENCE_H
#define KERNELS_LOWER_SEQUENCE_H

#include "kernels/lower/driver.h"

typedef struct ftl_lo_seq {
	ftl_kv table, data; /* addresses of the first record and of the bytes */
	ftl_kv n;           /* elements; -1: an optional sequence that is not there */
	ftl_kv used;        /* bytes */
	ftl_kv cap, room;   /* records and bytes allocated; 0: none, or somebody else's */
} ftl_lo_seq;

ftl_lo_seq *ftl_seq_new(ftl_lo *lo);                /* empty, in the current block */
void ftl_seq_free(ftl_lo *lo, const ftl_lo_seq *s); /* its memory; once more does nothing */
/* Operand v of node id as a sequence of one's own. */
ftl_lo_seq *ftl_seq_take(ftl_lo *lo, ftl_node_id id, ftl_val v);
/* The memory of src becomes dst's. What dst had must be free. */
void ftl_seq_move(ftl_lo *lo, const ftl_lo_seq *dst, const ftl_lo_seq *src);
/* ---- for the ops ---- */
ftl_kv ftl_seq_aligned(ftl_lo *lo, ftl_kv bytes);
ftl_kv ftl_seq_record(ftl_lo *lo, ftl_kv table, ftl_kv i);
ftl_kv ftl_seq_word(ftl_lo *lo, ftl_kv record, int w);
ftl_kv ftl_seq_bytes_at(ftl_lo *lo, const ftl_lo_seq *s, ftl_kv record); /* where an element's bytes are */
/* Room for one more element of so many bytes, rounded up; s is one's own. */
void ftl_seq_reserve(ftl_lo *lo, const ftl_lo_seq *s, ftl_kv bytes);
/* A new last element with these dims; where its bytes go. There is room for them. */
ftl_kv ftl_seq_append(ftl_lo *lo, const ftl_lo_seq *s, int rank, const ftl_kv *dims, ftl_kv bytes);
void ftl_seq_append_value(ftl_lo *lo, const ftl_lo_seq *s, ftl_val v);
void ftl_seq_own(ftl_lo *lo, ftl_val v, const ftl_lo_seq *s); /* value v is s, and frees it when nobody needs it */

/* ---- for the driver ---- */
void ftl_seq_input(ftl_lo *lo, ftl_val param);       /* two inputs of the module, not looked at yet */
void ftl_seq_check_input(ftl_lo *lo, ftl_val param); /* is it what it should be, or the run ends */
void ftl_seq_declare_output(ftl_lo *lo, const char *name, const ftl_type *t); /* two outputs of the module */
void ftl_seq_output(ftl_lo *lo, ftl_val v, uint32_t first); /* written to outputs first and first + 1 */

/* ---- small words of the program ---- */

static inline ftl_kv seq_num(ftl_lo *lo, int64_t v)
{
	return ftl_k_i64(&lo->main, v);
}

static inline ftl_kv seq_op2(ftl_lo *lo, ftl_kop op, ftl_kv a, ftl_kv b)
{
	return ftl_k2(&lo->main, op, a, b);
}

static inline ftl_kv seq_get(ftl_lo *lo, ftl_kv var)
{
	return ftl_k_get(&lo->main, var);
}

#endif
