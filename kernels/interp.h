/* Private to the interpreter: decoded code, frames and memory regions.
 *
 * A function is decoded once into a flat array of instructions, each with a function that executes it and returns the
 * next one. Values live in a register file of bytes: lanes side by side in their element type (bool one byte, 16-bit
 * floats as their bits), addresses as struct ftl_iptr. */
#ifndef KERNELS_INTERP_H
#define KERNELS_INTERP_H

#include "kernels/kir.h"

/* A piece of memory that an address may point into. */
typedef struct ftl_iregion {
	uint8_t *base;
	int64_t size;
	bool writable, heap; /* heap: from `alloc`, may be freed */
	struct ftl_iregion *next;
} ftl_iregion;

typedef struct ftl_iptr {
	ftl_iregion *region;
	int64_t off; /* bytes; may be anything until it is used */
} ftl_iptr;

struct ftl_icode;
struct ftl_iframe;
/* NULL: the function is done, or failed. */
typedef const struct ftl_icode *(*ftl_ifn)(struct ftl_iframe *f, const struct ftl_icode *c);

typedef struct ftl_icode {
	ftl_ifn fn;
	uint32_t dst, a, b, c; /* places in the register file; dst is the fourth operand where there is no result */
	uint16_t lanes;
	uint16_t size; /* bytes of an element, or of the whole value for copies */
	uint32_t to;   /* jumps: index of the target */
	int64_t imm;
	const ftl_kinst *inst;
	uint32_t number; /* for messages */
} ftl_icode;

typedef struct ftl_ifunc {
	const ftl_kfunc *f;
	ftl_icode *code;
	uint32_t *place; /* register of each value */
	uint8_t *reg;
	uint32_t grid;
} ftl_ifunc;

struct ftl_iheap_block {
	struct ftl_iheap_block *next, **prev;
	ftl_iregion *region;
	size_t bytes;
};

typedef struct ftl_iheap { /* what the run has from the allocator */
	const ftl_allocator *mem;
	ftl_iregion *regions; /* free ones, for reuse: a stale address stays inside a live region or one of size 0 */
	struct ftl_iheap_block *blocks;
	size_t live, limit; /* bytes; limit 0: none */
} ftl_iheap;

typedef struct ftl_irun {
	const ftl_kmodule *m;
	ftl_arena *arena;
	ftl_diag *d;
	ftl_status_code status;
	const ftl_karg_tensor *in;
	ftl_karg_tensor *out;
	ftl_ifunc **kernels; /* decoded at their first launch */
	ftl_ifunc *main;
	ftl_iregion *inputs, *outputs, *blobs;
	ftl_iregion **bufs; /* before the memory plan: each buffer by itself, made when it is first asked for */
	ftl_iregion workspace;
	ftl_iheap *heap;
	ftl_string_memory strings;
	int64_t budget; /* jumps back that are left */
	int64_t error;  /* message of a check that failed in a kernel */
} ftl_irun;

typedef struct ftl_iframe {
	uint8_t *reg;
	const ftl_icode *code;
	ftl_irun *run;
	const ftl_kfunc *f;
	int64_t grid;
} ftl_iframe;

#define FTL_IREG(T, at) ((T *)(void *)(f->reg + (at)))

/* interp_ops.c, interp_cast.c: elementwise and reductions, by the type of the operands; NULL if there is none */
ftl_ifn ftl_interp_elementwise(ftl_kop op, ftl_dtype t);
ftl_ifn ftl_interp_cast(ftl_dtype from, ftl_dtype to);
/* interp_mem.c: memory and moves */
ftl_ifn ftl_interp_memory(const ftl_kfunc *f, const ftl_kinst *i);
ftl_ifn ftl_interp_move(const ftl_kinst *i);
ftl_ifn ftl_interp_copy(uint32_t bytes); /* dst = a, `size` bytes */
/* interp_prog.c: the program's instructions; NULL for others */
ftl_ifn ftl_interp_program(ftl_kop op);
ftl_iregion *ftl_interp_alloc(ftl_irun *r, int64_t bytes); /* NULL: recorded as the run's error */
ftl_iheap *ftl_iheap_new(ftl_arena *arena);                /* what is still there is freed with the arena */
void ftl_iheap_clear(void *heap);
/* interp.c */
ftl_ifunc *ftl_interp_decode(ftl_irun *r, const ftl_kfunc *f);
bool ftl_interp_exec(ftl_iframe *f); /* false: failed, the status is in the run */
uint32_t ftl_ielem_size(uint8_t elem);
/* Message n of the module becomes the run's error. */
const ftl_icode *ftl_interp_message(ftl_iframe *f, int64_t n);
/* Record that the code is at fault at c, and return NULL. */
__attribute__((format(printf, 3, 4))) const ftl_icode *ftl_interp_fault(ftl_iframe *f, const ftl_icode *c,
									const char *fmt, ...);

#endif
