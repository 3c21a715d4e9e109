/* What the recurrent layers' two files share: the description of a layer, its weights and the inputs' part. */
#ifndef KERNELS_LOWER_RECURRENT_H
#define KERNELS_LOWER_RECURRENT_H

#include "kernels/lower/contract.h"

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
	ftl_dim T, B, H, dirs;
	struct act act[3];
	ftl_kv proj,
		packed; /* program values: inputs times weights [dir, gate][time, batch][H]; recurrent weights in panels */
	int width, nv; /* panels of the recurrent weights: vectors of width */
	int64_t panel; /* their columns */
	ftl_dim Hp;    /* H, rounded up to whole panels */
	/* one direction */
	ftl_kern *k;
	ftl_kb *b;
	bool back;
	ftl_kv dir, first, scratch; /* first sequence of the piece; address of its rows of scratch */
	/* one sequence and step */
	ftl_kv batch, row, len, step, x_at; /* row: of scratch; x_at: row of the projection */
	const ftl_vloop *l;
};

/* Value w, [dirs, gates * H, len] (in groups of H rows), as panels [dir, gate][panel][len][columns] of the compute type;
 * columns past H are 0. One column per panel is what it is already. */
ftl_status ftl_rnn_pack(struct rnn *r, ftl_node_id id, ftl_val w, int64_t columns, ftl_kv *out, ftl_dtype *out_mem);
/* r->proj = what the inputs add to the gates at all steps. */
ftl_status ftl_rnn_project(struct rnn *r, ftl_node_id id);

#endif
