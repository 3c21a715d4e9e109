/* The contraction generator: C[m,n] = epilogue(sum over k of A[m,k] * B[k,n]), for batches of them.
 *
 * One kernel does a block of rows times one panel of columns. Inside, a register tile of `mr` rows by `nv` vectors keeps
 * its accumulators in registers over k; B comes in panels of nv vectors (packed: the order the tile reads it;
 * direct: rows of a row-major matrix). K is cut into blocks so that a panel block stays in L1/L2; partial sums then wait
 * in the output's own memory. The epilogue is whatever elementwise chain was fused behind the node: applied in registers
 * if it is cheap, else in a loop over the tile while it is hot in L1, so that code stays small.
 *
 * The same generator with width 1 is the naive nest. */
#ifndef KERNELS_LOWER_CONTRACT_H
#define KERNELS_LOWER_CONTRACT_H

#include "kernels/lower/driver.h"

typedef struct ftl_contract ftl_contract;
struct ftl_contract {
	ftl_lo *lo;
	ftl_node_id node;
	ftl_val out;
	ftl_dtype t;            /* compute type */
	ftl_dim m, n, k, batch; /* sizes; batch = number of independent products */
	int width, mr, nv;      /* tile */
	int64_t kc;             /* block of k; 0 = not blocked */
	int64_t mc;             /* rows per piece */
	double alpha;

	/* Both in the kernel: where row m of A starts (any handle), and its element k, in the compute type. */
	ftl_kv (*a_row)(ftl_contract *c, ftl_kv batch, ftl_kv m);
	ftl_kv (*a_elem)(ftl_contract *c, ftl_kv row, ftl_kv k);
	/* B: address of element (0, n) of product `batch`, and the distance between rows, in elements */
	void (*b_base)(ftl_contract *c, ftl_kv batch, ftl_kv n, ftl_kv *out_index, ftl_kv *out_stride);
	ftl_kv b_ptr;    /* program value; packed panels or the operand */
	ftl_dtype b_mem; /* element type in memory behind b_ptr */
	bool packed;     /* panels are padded with zeros: no masks when reading */
	/* index of output element (m, n) of product `batch`: fills idx for ftl_write; n may have lanes */
	void (*index)(ftl_contract *c, ftl_kv batch, ftl_kv m, ftl_kv n, ftl_kv *idx);
	/* NULL, or what is done to a finished element before the epilogue (a bias) */
	ftl_kv (*post)(ftl_contract *c, ftl_kv batch, ftl_kv m, ftl_kv x);
	/* 0, or address of [batch][m][n] in the compute type that takes the sums in place of the node's result: no epilogue */
	ftl_kv into;
	/* NULL, or called once when the kernel has been begun */
	void (*begin)(ftl_contract *c);

	/* private */
	ftl_kern *kern;
	ftl_kv sums; /* program value: memory of partial sums */
};

/* Tile and blocks for the target and sizes. */
void ftl_contract_shape(ftl_contract *c);
int64_t ftl_contract_panel(const ftl_contract *c); /* columns per panel: width * nv */
/* Emit the kernel and its launch. */
ftl_status ftl_contract_emit(ftl_contract *c);

#endif
