/* lstm, gru, rnn in ONNX's layout 0: x [seq,batch,in], w [dirs,gates*hidden,in], r [dirs,gates*hidden,hidden],
 * b [dirs,2*gates*hidden], lens [batch], h0 and c0 [dirs,batch,hidden], p [dirs,3*hidden]. */
#include "hooks.h"

#include <string.h>

/* Input k, where present, has exactly these sizes. */
static ftl_status check_shape(ftl_infer *f, uint32_t k, const char *what, int rank, const ftl_dim *dims)
{
	const ftl_type *t;

	if (!ftl_infer_has(f, k))
		return FTL_OK;
	t = ftl_infer_in(f, k);
	if (t->rank != rank)
		return ftl_infer_fail(f, "%s has shape %s, which should be %s", what, ftl_hook_in_shape(f, k),
				      ftl_hook_shape(f, rank, dims));
	for (int i = 0; i < rank; i++)
		if (dims[i] == FTL_DIM_NONE || ftl_dim_known_eq(f->g->st, t->dims[i], dims[i]) == 0)
			return ftl_infer_fail(f, "%s has shape %s, which should be %s", what, ftl_hook_in_shape(f, k),
					      ftl_hook_shape(f, rank, dims));
	return FTL_OK;
}

static ftl_status recurrent(ftl_infer *f, int64_t hidden_attr, const char *direction, int64_t gates)
{
	static const char *const one_way[] = {"forward", "reverse"};
	const ftl_node *n = ftl_infer_self(f);
	ftl_symtab *st = f->g->st;
	ftl_dim seq, batch, in, hidden, rows, dirs;
	const ftl_type *x;

	FTL_TRY(ftl_hook_args(f, 3));
	FTL_TRY(ftl_hook_want_float(f, 0));
	FTL_TRY(ftl_hook_want_rank(f, 0, 3));
	FTL_TRY(ftl_hook_want_rank(f, 2, 3));
	for (uint32_t k = 1; k < n->nin; k++) {
		if (ftl_infer_has(f, k) && k != 4)
			FTL_TRY(ftl_hook_want_same(f, 0, k));
		else if (ftl_infer_has(f, k))
			FTL_TRY(ftl_hook_want_int(f, k));
	}
	if (strcmp(direction, "bidirectional") == 0)
		dirs = ftl_hook_const(f, 2);
	else if (strcmp(direction, one_way[0]) == 0 || strcmp(direction, one_way[1]) == 0)
		dirs = ftl_hook_const(f, 1);
	else
		return ftl_infer_fail(f, "unknown direction \"%.32s\"", direction);
	if (hidden_attr < 0)
		return ftl_infer_fail(f, "hidden size %lld", (long long)hidden_attr);
	x = ftl_infer_in(f, 0);
	seq = x->dims[0];
	batch = x->dims[1];
	in = x->dims[2];
	hidden = hidden_attr ? ftl_hook_const(f, hidden_attr) : ftl_infer_in(f, 2)->dims[2];
	rows = ftl_dim_mul(st, hidden, ftl_hook_const(f, gates));
	FTL_TRY(check_shape(f, 1, "w", 3, (const ftl_dim[]){dirs, rows, in}));
	FTL_TRY(check_shape(f, 2, "r", 3, (const ftl_dim[]){dirs, rows, hidden}));
	FTL_TRY(check_shape(f, 3, "b", 2, (const ftl_dim[]){dirs, ftl_dim_mul(st, rows, ftl_hook_const(f, 2))}));
	FTL_TRY(check_shape(f, 4, "lens", 1, &batch));
	FTL_TRY(check_shape(f, 5, "h0", 3, (const ftl_dim[]){dirs, batch, hidden}));
	FTL_TRY(check_shape(f, 6, "c0", 3, (const ftl_dim[]){dirs, batch, hidden}));
	FTL_TRY(check_shape(f, 7, "p", 2, (const ftl_dim[]){dirs, ftl_dim_mul(st, hidden, ftl_hook_const(f, 3))}));
	FTL_TRY(ftl_hook_out(f, 0, x->dtype, 4, (const ftl_dim[]){seq, dirs, batch, hidden}));
	for (uint32_t k = 1; k < n->nout; k++)
		FTL_TRY(ftl_hook_out(f, k, x->dtype, 3, (const ftl_dim[]){dirs, batch, hidden}));
	return FTL_OK;
}

#define RECURRENT(name, gates)                                                                                         \
	ftl_status ftl_infer_op_##name(ftl_infer *f)                                                                   \
	{                                                                                                              \
		const struct ftl_attrs_##name *a = FTL_ATTRS(ftl_infer_self(f), name);                                 \
                                                                                                                       \
		return recurrent(f, a->hidden, a->direction, gates);                                                   \
	}
RECURRENT(lstm, 4)
RECURRENT(gru, 3)
RECURRENT(rnn, 1)
