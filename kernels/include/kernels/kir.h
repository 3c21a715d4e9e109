/* Kernel IR: a module of kernels (functions over buffers) and one program function that runs them.
 *
 * A function is a tree of blocks of instructions in SSA form; an instruction's id is its value.
 * Mutable state is only in buffers and in `var`s, so loops need no phi. Constants and params belong
 * to no block. A kernel runs for one `grid` index; a launch runs it for 0..count-1, in any order and
 * on any thread: pieces may not write what other pieces read or write.
 * The program function (`main`) binds dims, gets buffers and launches; it runs on one thread.
 *
 * The interpreter, the LLVM backend and the C backend all execute this and nothing else. */
#ifndef KERNELS_KIR_H
#define KERNELS_KIR_H

#include "base/arena.h"
#include "base/status.h"
#include "ir/graph.h"

typedef uint32_t ftl_kv; /* value (= instruction) id in its function; 0 none */

#define FTL_PTR FTL_DTYPE_COUNT /* the element type of addresses */
#define FTL_MAX_LANES 64
#define FTL_MAX_LOCAL (256 << 10) /* bytes of all locals of a kernel: threads have small stacks */

typedef struct ftl_ktype {
	uint8_t elem;  /* ftl_dtype, or FTL_PTR; 0 = no value */
	uint8_t lanes; /* 1 = scalar */
} ftl_ktype;
#define FTL_KT(elem_, lanes_) ((ftl_ktype){(uint8_t)(elem_), (uint8_t)(lanes_)})
#define FTL_KT_I64 FTL_KT(FTL_I64, 1)
#define FTL_KT_PTR FTL_KT(FTL_PTR, 1)
#define FTL_KT_BOOL FTL_KT(FTL_BOOL, 1)

typedef enum ftl_kop {
	FTL_K_NONE = 0,
#define KOP(name, nargs, rule, flags) FTL_K_##name,
#include "../../kops.def"
#undef KOP
	FTL_K_COUNT
} ftl_kop;
enum ftl_kop_flags { K_PURE = 1, K_MAIN = 2, K_KERN = 4 };
enum ftl_kop_rule { K_RULE_SAME, K_RULE_CMP, K_RULE_NONE, K_RULE_OWN };
typedef struct ftl_kop_info {
	const char *name;
	int8_t nargs;
	uint8_t rule, flags;
} ftl_kop_info;
const ftl_kop_info *ftl_kop_get(ftl_kop op);

enum ftl_loop { FTL_LOOP_SERIAL, FTL_LOOP_UNROLL /* hint: constant small trip count */ };

typedef struct ftl_kblock {
	FTL_VEC(ftl_kv) insts;
} ftl_kblock;

typedef struct ftl_kinst {
	uint16_t op;
	ftl_ktype type;
	uint32_t nextra;
	ftl_kv a[4];
	ftl_kv *extra; /* launch */
	int64_t imm, imm2;
	ftl_kblock *body, *els;
} ftl_kinst;

typedef struct ftl_kparam {
	ftl_ktype type; /* ptr or i64 */
	ftl_kv value;   /* its param instruction */
} ftl_kparam;

typedef struct ftl_kfunc {
	const char *name;        /* C identifier, unique in the module */
	const char *note;        /* what it computes and for which nodes, for comments and profiles; no newline */
	FTL_VEC(ftl_kinst) inst; /* [0] is reserved */
	FTL_VEC(ftl_kparam) params;
	ftl_kblock body;
	bool is_main;
	ftl_kv result;    /* program functions: the i64 returned when all went well (0 = returns 0) */
	uint64_t hash;    /* of everything but name and note; kernels with equal text are one kernel */
	ftl_arena *arena; /* everything above lives in it; also scratch of hash, same and dce */
} ftl_kfunc;

/* A buffer in the workspace. `bytes` is a dim expression over symbols that are known at entry. */
typedef struct ftl_kbuf {
	ftl_dim bytes;
	uint32_t first,
		last; /* positions in the program (pre-order numbers of main's instructions) between which it is live */
	/* 1 + number of a buffer of the same size whose place it may take: the kernel that makes this one reads each element
	 * of that one just before it writes the same element, and nothing else of it. 0: none. */
	uint32_t over;
} ftl_kbuf;

typedef struct ftl_kio {
	const char *name;
	ftl_type type;         /* dims over the module's symtab */
	const ftl_type *value; /* the type of the sequence or optional that this and the next one hold, else NULL */
} ftl_kio;

/* A sequence crosses the module's boundary as two tensors: i64[n + 1, FTL_SEQ_WORDS], whose first row is {n, bytes} (an
 * optional sequence that is not there has n = -1) and whose others describe an element each, and u8[bytes]. Words of
 * an element, in order of ascending address: */
enum {
	FTL_SEQ_AT = 0,
	FTL_SEQ_RANK = 1,
	FTL_SEQ_DIMS = 2,
	FTL_SEQ_BYTES = FTL_SEQ_DIMS + FTL_MAX_RANK,
	FTL_SEQ_WORDS = 16
};

typedef struct ftl_kmodule {
	ftl_arena *arena;
	const char *name;
	const char *file; /* for messages */
	ftl_symtab *st;
	FTL_VEC(ftl_kfunc *) kernels; /* launch imm = index */
	ftl_kfunc *main;
	ftl_kfunc *
		size; /* program function that only reads in_dims and returns the workspace bytes; made by the memory plan */
	uint32_t prologue; /* main's instructions before this place bind dims and check inputs */
	FTL_VEC(struct {
		ftl_dim sym;
		ftl_kv var;
	}) syms; /* run-time value of each symbol: an i64 variable of main */
	FTL_VEC(const ftl_blob *) blobs;
	FTL_VEC(ftl_kbuf) bufs;
	FTL_VEC(const char *)
	msgs; /* run-time error texts; 0 and 1 are fixed, see runtime/abi.h (0: none, 1: out of memory) */
	FTL_VEC(ftl_kio) inputs;
	FTL_VEC(ftl_kio) outputs;
	int vector_bytes;                /* widest vector the code was scheduled for (0: scalar) */
	ftl_map *msg_index, *blob_index; /* private to ftl_kmodule_msg and _blob */
} ftl_kmodule;

static inline ftl_kinst *ftl_kinst_get(const ftl_kfunc *f, ftl_kv v)
{
	return &f->inst.v[v];
}
static inline ftl_ktype ftl_ktype_of(const ftl_kfunc *f, ftl_kv v)
{
	return f->inst.v[v].type;
}

/* ---- building. The builder folds constants and trivial identities (x+0, x*1, ramps), keeps types straight
 * (a scalar operand beside a vector one is splatted) and asserts on misuse. ---- */
typedef struct ftl_kb {
	ftl_arena *arena;
	ftl_kfunc *f;
	ftl_kblock *block; /* where instructions go */
	void *consts;      /* private: constants and pure instructions made so far */
} ftl_kb;

ftl_kmodule *ftl_kmodule_new(ftl_arena *arena, ftl_symtab *st, const char *name);
ftl_kfunc *ftl_kfunc_new(ftl_arena *arena, const char *name, bool is_main);
void ftl_kb_init(ftl_kb *b, ftl_arena *arena, ftl_kfunc *f);
ftl_kv ftl_kb_param(ftl_kb *b, ftl_ktype type); /* appends a parameter */

ftl_kv ftl_k_int(ftl_kb *b, ftl_ktype type, int64_t v); /* integer or bool */
ftl_kv ftl_k_float(ftl_kb *b, ftl_ktype type, double v);
ftl_kv ftl_k_num(ftl_kb *b, ftl_ktype type, double v); /* either, by type */
ftl_kv ftl_k_i64(ftl_kb *b, int64_t v);
bool ftl_k_is_const(const ftl_kb *b, ftl_kv v, int64_t *out); /* integer constants */
ftl_kv ftl_k1(ftl_kb *b, ftl_kop op, ftl_kv x);               /* unary, result type of x */
ftl_kv ftl_k2(ftl_kb *b, ftl_kop op, ftl_kv x, ftl_kv y);     /* binary, incl. comparisons */
ftl_kv ftl_k_fma(ftl_kb *b, ftl_kv x, ftl_kv y, ftl_kv z);
ftl_kv ftl_k_select(ftl_kb *b, ftl_kv c, ftl_kv x, ftl_kv y);
ftl_kv ftl_k_cast(ftl_kb *b, ftl_kv x, ftl_dtype to); /* keeps lanes; no-op if equal */
ftl_kv ftl_k_bitcast(ftl_kb *b, ftl_kv x, ftl_dtype to);
ftl_kv ftl_k_splat(ftl_kb *b, ftl_kv x, int lanes); /* no-op if already that many lanes */
ftl_kv ftl_k_ramp(ftl_kb *b, ftl_kv base, ftl_kv stride, int lanes);
ftl_kv ftl_k_extract(ftl_kb *b, ftl_kv x, int lane);
ftl_kv ftl_k_insert(ftl_kb *b, ftl_kv x, ftl_kv s, int lane);
ftl_kv ftl_k_slice(ftl_kb *b, ftl_kv x, int from, int lanes);
ftl_kv ftl_k_join(ftl_kb *b, ftl_kv x, ftl_kv y);
ftl_kv ftl_k_reduce(ftl_kb *b, ftl_kop op /* add mul min max */, ftl_kv x); /* no-op on scalars */
ftl_kv ftl_k_dot4(ftl_kb *b, ftl_kv acc, ftl_kv u8s, ftl_kv i8s);
/* index: i64 scalar, or i64 lanes. A ramp of stride 1 becomes a plain vector access, of stride 0 a splat. lanes: of the
 * result when index is scalar (consecutive elements). */
ftl_kv ftl_k_load(ftl_kb *b, ftl_dtype mem, ftl_kv ptr, ftl_kv index, int lanes);
void ftl_k_store(ftl_kb *b, ftl_kv ptr, ftl_kv index, ftl_kv value); /* memory type = value's type */
ftl_kv ftl_k_loadn(ftl_kb *b, ftl_dtype mem, ftl_kv ptr, ftl_kv index, ftl_kv count, int lanes);
void ftl_k_storen(ftl_kb *b, ftl_kv ptr, ftl_kv index, ftl_kv value, ftl_kv count);
void ftl_k_prefetch(ftl_kb *b, ftl_kv ptr, ftl_kv byte);
void ftl_k_copy(ftl_kb *b, ftl_kv dst, ftl_kv src, ftl_kv bytes);
void ftl_k_zero(ftl_kb *b, ftl_kv ptr, ftl_kv bytes);
ftl_kv ftl_k_offset(ftl_kb *b, ftl_kv ptr, ftl_kv bytes);
ftl_kv ftl_k_addr(ftl_kb *b, ftl_kv ptr);
/* z, y: 0 where the function has fewer operands */
ftl_kv ftl_k_call(ftl_kb *b, ftl_string_call fn, ftl_kv x, ftl_kv y, ftl_kv z);
ftl_kv ftl_k_var(ftl_kb *b, ftl_kv init);
ftl_kv ftl_k_get(ftl_kb *b, ftl_kv var);
void ftl_k_set(ftl_kb *b, ftl_kv var, ftl_kv value); /* casts lanes by splat, never elem types */
void ftl_k_check(ftl_kb *b, ftl_kv cond, int64_t msg);
void ftl_k_break(ftl_kb *b, ftl_kv cond);

/* Structured control: begin moves b->block into the new body, end moves it back.
 *   ftl_kscope s = ftl_k_for(b, lo, hi, step); ... s.index ...; ftl_k_end(b, &s);
 *   ftl_kscope s = ftl_k_if(b, cond); ...; ftl_k_else(b, &s); ...; ftl_k_end(b, &s); */
typedef struct ftl_kscope {
	ftl_kblock *outer;
	ftl_kv inst, index;
} ftl_kscope;
ftl_kscope ftl_k_for(ftl_kb *b, ftl_kv lo, ftl_kv hi, int64_t step);
ftl_kscope ftl_k_if(ftl_kb *b, ftl_kv cond); /* a constant cond leaves no `if`: scope.inst is 0 */
void ftl_k_else(ftl_kb *b, ftl_kscope *s);
ftl_kscope ftl_k_loop(ftl_kb *b);
void ftl_k_end(ftl_kb *b, ftl_kscope *s);

ftl_kv ftl_k_grid(ftl_kb *b);                 /* kernels only */
ftl_kv ftl_k_local(ftl_kb *b, int64_t bytes); /* kernels only, outermost block only */

/* program only */
ftl_kv ftl_k_workspace(ftl_kb *b);
ftl_kv ftl_k_in_ptr(ftl_kb *b, uint32_t input);
ftl_kv ftl_k_in_dim(ftl_kb *b, uint32_t input, uint32_t axis);
ftl_kv ftl_k_out_ptr(ftl_kb *b, uint32_t output, ftl_kv bytes);
void ftl_k_out_dim(ftl_kb *b, uint32_t output, uint32_t axis, ftl_kv value);
ftl_kv ftl_k_blob(ftl_kb *b, uint32_t blob);
ftl_kv ftl_k_buf(ftl_kb *b, uint32_t buf);
ftl_kv ftl_k_alloc(ftl_kb *b, ftl_kv bytes);
void ftl_k_free(ftl_kb *b, ftl_kv ptr);
void ftl_k_launch(ftl_kb *b, uint32_t kernel, ftl_kv count, const ftl_kv *args, uint32_t nargs, int64_t cost);

/* Number of the message, added if new. */
int64_t ftl_kmodule_msg(ftl_kmodule *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint32_t ftl_kmodule_blob(ftl_kmodule *m, const ftl_blob *b); /* equal contents share a number */
uint64_t ftl_kfunc_hash(const ftl_kfunc *f);
/* Same code, names and notes apart. Scratch comes from b's arena. */
bool ftl_kfunc_same(const ftl_kfunc *a, const ftl_kfunc *b);
/* Into arena, without what building it left behind. Instructions that are in no block keep their operands only. */
ftl_kfunc *ftl_kfunc_copy(ftl_arena *arena, const ftl_kfunc *f);
/* Drop what has no effect: unused pure instructions and loads, variables nobody reads, loops and ifs that do nothing.
 * Ids of what stays do not change. In program functions variables stay (ftl_kmodule.syms names them), but positions
 * (ftl_kmodule.prologue, ftl_kbuf.first/last) move: run it before they are taken. */
void ftl_kfunc_dce(ftl_kfunc *f);

/* ---- text, verifier ---- */
void ftl_kmodule_print(const ftl_kmodule *m, ftl_text *t);
ftl_status ftl_kmodule_parse(ftl_arena *arena, const char *text, size_t n, const char *file, ftl_diag *d,
			     ftl_kmodule **out);
ftl_status ftl_kmodule_verify(const ftl_kmodule *m, ftl_diag *d);

/* Code for a dim expression, in I64 or (to see overflow coming) F64; value(user, sym) gives the I64 of a symbol. */
ftl_kv ftl_k_dim(ftl_kb *b, const ftl_symtab *st, ftl_dim d, ftl_dtype t, ftl_kv (*value)(void *user, ftl_dim sym),
		 void *user);

/* ---- passes over kernel IR ---- */
/* Move loop-invariant pure instructions in front of their loops. */
void ftl_kfunc_hoist(ftl_kfunc *f);
/* Replace math on f32 that has no instruction (exp log tanh erf sin cos pow sigmoid-like) by polynomials, so that every
 * backend computes the same and vectors stay vectors. ULP bounds are stated in expand.c. */
void ftl_kmodule_expand_math(ftl_kmodule *m);
/* Give every buf a 64-byte aligned place in the workspace (best fit over live ranges; symbolic sizes are chained at run
 * time), turn `buf` into workspace + offset, and make m->size. */
ftl_status ftl_kmodule_plan(ftl_kmodule *m, ftl_diag *d);

/* ---- the interpreter: the reference executor ---- */
typedef struct ftl_karg_tensor {
	void *data; /* outputs: NULL = allocate in `arena` */
	int64_t dims[FTL_MAX_RANK];
	size_t bytes; /* capacity, if data was given for an output; bounds for inputs */
} ftl_karg_tensor;
/* Bounds-checks every access: an address outside its buffer is an error that names kernel and instruction. */
ftl_status ftl_kmodule_interpret(const ftl_kmodule *m, ftl_arena *arena, const ftl_karg_tensor *in,
				 ftl_karg_tensor *out, ftl_diag *d);
/* The same, but after so many jumps back and launched pieces the run ends with an error. */
ftl_status ftl_kmodule_interpret_bounded(const ftl_kmodule *m, ftl_arena *arena, const ftl_karg_tensor *in,
					 ftl_karg_tensor *out, int64_t max_jumps, ftl_diag *d);

#endif
