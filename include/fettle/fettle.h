/* fettle: compile ONNX models for CPUs, from C or C++.
 *
 * The way through:
 *
 *   fettle_model_load       a .onnx or .fir file, or bytes in memory, becomes a model (a graph)
 *   fettle_optimize         rewrites it; results stay the same within rounding unless passes say otherwise
 *   fettle_compile          makes a program in this process (JIT, C compiler or interpreter)
 *   fettle_session_create   memory and threads to run it with
 *   fettle_session_run      tensors in, tensors out
 *   fettle_emit             instead of running: objects, libraries, C, ONNX, text
 *
 * Rules that hold everywhere:
 *  - A function that can fail returns a status and takes a `fettle_error *` (NULL: no text wanted). On failure outputs
 *    are NULL and nothing is leaked.
 *  - Option structures: zero them (`fettle_load_options o = {0};`), set what you need; NULL means all zero.
 *  - Handles are freed with their _free function; NULL is fine there. A program keeps what it needs of its model, a
 *    session what it needs of its program: free in any order.
 *  - Threads: a model or a session is for one thread at a time, a program for any number. There are no globals.
 *  - Models are untrusted: a malformed or hostile one is an error, not a crash.
 *  - The library never prints and never ends the process. */
#ifndef FETTLE_FETTLE_H
#define FETTLE_FETTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FETTLE_CHECK __attribute__((warn_unused_result))
#else
#define FETTLE_CHECK
#endif

#define FETTLE_VERSION_MAJOR 0
#define FETTLE_VERSION_MINOR 1
#define FETTLE_VERSION_PATCH 0
/* "0.1.0": of the library that is running, to compare with the header's numbers. Structures keep their layout within
 * one minor version. */
const char *fettle_version(void);

/* ---- errors ---- */
typedef enum fettle_status {
	FETTLE_OK = 0,
	FETTLE_ERR_MODEL,       /* the model or its data is malformed or inconsistent */
	FETTLE_ERR_USAGE,       /* the call makes no sense */
	FETTLE_ERR_ACCURACY,    /* a tolerance or budget was not met */
	FETTLE_ERR_UNSUPPORTED, /* valid, but not something fettle can do */
	FETTLE_ERR_LIMIT,       /* a resource limit was reached: raise max_memory, or distrust the model */
	FETTLE_ERR_IO,          /* a file could not be read or written */
	FETTLE_ERR_MEMORY       /* an allocation failed */
} fettle_status;

typedef struct fettle_error {
	fettle_status status;
	char text[1024]; /* one line: file, node, op, reason; "" when all is well */
} fettle_error;

const char *fettle_status_name(fettle_status s); /* "model", "usage", ... */

/* ---- tensors ---- */
#define FETTLE_MAX_RANK 12

typedef enum fettle_dtype {
	FETTLE_NO_DTYPE = 0,
	FETTLE_F32,
	FETTLE_F64,
	FETTLE_F16,
	FETTLE_BF16,
	FETTLE_I8,
	FETTLE_I16,
	FETTLE_I32,
	FETTLE_I64,
	FETTLE_U8,
	FETTLE_U16,
	FETTLE_U32,
	FETTLE_U64,
	FETTLE_BOOL, /* one byte, 0 or 1 */
	/* Floats of few bits, one code per byte: OCP's, the fnuz variants without infinities and -0, powers of two (e8m0). */
	FETTLE_F8E4M3FN,
	FETTLE_F8E4M3FNUZ,
	FETTLE_F8E5M2,
	FETTLE_F8E5M2FNUZ,
	FETTLE_F8E8M0,
	FETTLE_F6E2M3,
	FETTLE_F6E3M2,
	FETTLE_F4E2M1,
	/* Integers of few bits, one per byte, of which only the low bits are read. */
	FETTLE_I4,
	FETTLE_U4,
	FETTLE_I2,
	FETTLE_U2,
	FETTLE_STRING /* const char *: bytes, usually UTF-8, that end with a NUL */
} fettle_dtype;

const char *fettle_dtype_name(fettle_dtype t); /* "f32" */
size_t fettle_dtype_bytes(fettle_dtype t);     /* of one element */

/* What an input or output is. Sequences and optionals are of tensors, which have one element type. */
typedef enum fettle_kind {
	FETTLE_TENSOR = 0,
	FETTLE_SEQUENCE,
	FETTLE_OPTIONAL,         /* a tensor, or none */
	FETTLE_OPTIONAL_SEQUENCE /* a sequence, or none */
} fettle_kind;

/* Elements in C order. 16-byte alignment of data is enough.
 * Strings: data points to as many `const char *`, each to NUL-terminated bytes, and bytes counts the pointers. An input's
 * strings are copied when the run begins (NULL is ""); an output's are the session's, until its next run or its end, also
 * where the memory of the pointers is the caller's. */
typedef struct fettle_tensor {
	const char *name; /* may be NULL */
	fettle_dtype dtype;
	int rank;
	int64_t dims[FETTLE_MAX_RANK];
	void *data;
	size_t bytes;
	fettle_kind kind;            /* not FETTLE_TENSOR: rank, dims, data and bytes mean nothing */
	struct fettle_tensor *items; /* the tensors of a sequence; an optional has one or none */
	size_t n_items;
	bool none; /* an optional without element */
} fettle_tensor;

/* Element k as a number (0 for strings); smaller floats are widened, 64-bit integers rounded. k is not checked. */
double fettle_tensor_value(const fettle_tensor *t, size_t k);
/* The same for writing; rounds to the type. */
void fettle_tensor_set(const fettle_tensor *t, size_t k, double value);
/* Product of the dims; false if one is negative or the product does not fit. */
bool fettle_tensor_count(const fettle_tensor *t, size_t *out_count);

/* Tensor files: .npy (one tensor), .npz (named), .pb (an ONNX TensorProto, SequenceProto or OptionalProto; an optional
 * tensor reads as a sequence of one, which look the same). Read ones own their memory. Strings are
 * only in .pb files, and refused where they have a NUL inside. */
typedef struct fettle_tensors fettle_tensors;
FETTLE_CHECK fettle_status fettle_tensors_read(const char *path, fettle_error *e, fettle_tensors **out);
size_t fettle_tensors_count(const fettle_tensors *t);
const fettle_tensor *fettle_tensors_get(const fettle_tensors *t, size_t k);
void fettle_tensors_free(fettle_tensors *t);
/* The suffix decides; .npy and .pb take exactly one. Members of an .npz are named by the tensors. Sequences and optionals
 * go to .pb. */
FETTLE_CHECK fettle_status fettle_tensors_write(const char *path, const fettle_tensor *t, size_t n, fettle_error *e);

/* ---- models ---- */
typedef struct fettle_model fettle_model;

typedef struct fettle_load_options {
	/* "NAME=1x128": shape of an input; "?" as a dim keeps what the model says. A dim also fixes the symbol that the
	 * model has there, everywhere. */
	const char *const *shapes;
	size_t n_shapes;
	/* "NAME=1..8" or "NAME=8": bounds or value of a named dim. */
	const char *const *dims;
	size_t n_dims;
	/* Initializers that are also graph inputs are constants, except those named here, which stay inputs. */
	const char *const *overridable;
	size_t n_overridable;
	/* Bytes that loading, optimizing and compiling may hold; 0: in proportion to the model, and less than the machine
	 * has. */
	uint64_t max_memory;
} fettle_load_options;

/* .onnx or .fir, by suffix. The file stays mapped while the model or a program made of it is alive. */
FETTLE_CHECK fettle_status fettle_model_load(const char *path, const fettle_load_options *o, fettle_error *e,
					     fettle_model **out);
/* An ONNX model in memory, which must stay there while the model or a program made of it is alive. name is for
 * messages; external weights are looked for in folder dir (NULL: refused). */
FETTLE_CHECK fettle_status fettle_model_load_memory(const void *data, size_t n, const char *name, const char *dir,
						    const fettle_load_options *o, fettle_error *e, fettle_model **out);
void fettle_model_free(fettle_model *m);

/* An input or output. dims: -1 where the size is only known when running; dim_text says it as an expression over
 * symbols, such as "?batch" or "?past+1". Pointers are good as long as their model or program. For a sequence or optional
 * dtype, rank and dims are its elements'; rank -1: any. */
typedef struct fettle_port {
	const char *name;
	fettle_kind kind;
	fettle_dtype dtype;
	int rank;
	int64_t dims[FETTLE_MAX_RANK];
	const char *dim_text[FETTLE_MAX_RANK];
	int64_t dim_min[FETTLE_MAX_RANK], dim_max[FETTLE_MAX_RANK]; /* known bounds; INT64_MAX: none */
} fettle_port;

size_t fettle_model_input_count(const fettle_model *m);
size_t fettle_model_output_count(const fettle_model *m);
/* NULL beyond the count. */
const fettle_port *fettle_model_input(const fettle_model *m, size_t k);
const fettle_port *fettle_model_output(const fettle_model *m, size_t k);

/* Text on its way out, in pieces; not terminated. */
typedef void (*fettle_text_fn)(void *user, const char *text, size_t n);

/* ---- optimizing ---- */
/* What one run of one pass did. Pointers are good during the call that shows it. */
typedef struct fettle_pass_info {
	const char *pass;
	double seconds;
	size_t nodes_before, nodes_after;
	size_t done;       /* edits made */
	size_t missed;     /* places that almost matched */
	const char *edits; /* "gelu_erf 12, add_zero 3" */
} fettle_pass_info;

typedef struct fettle_optimize_options {
	/* A pipeline, such as "fold, cse, fold{max_bytes=4096}" (fettle_pass_name lists passes; # starts a comment). It
	 * runs after the default pipeline, which brings the graph to canonical form, and is followed by a clean-up.
	 * NULL: the default pipeline only. */
	const char *passes;
	bool alone;             /* `passes` and nothing else; with NULL nothing runs */
	const char *stop_after; /* a pass: nothing runs after its first run */
	int64_t rewrite_limit;  /* 0: none; n > 0: only the first n edits are made; < 0: none is made */
	/* Called after each pass. m may be looked at (fettle_emit_text). */
	void (*after)(void *user, struct fettle_model *m, const fettle_pass_info *info);
	void *user;
} fettle_optimize_options;

/* Rewrite the model in place. When this fails for another reason than a faulty pipeline text (FETTLE_ERR_USAGE), the
 * model can only be freed. */
FETTLE_CHECK fettle_status fettle_optimize(fettle_model *m, const fettle_optimize_options *o, fettle_error *e);

/* ---- running ---- */
typedef enum fettle_backend {
	FETTLE_JIT = 0, /* LLVM, in this process */
	FETTLE_C,       /* generated C, through the system's compiler ("cc") */
	FETTLE_INTERP   /* the reference interpreter: slow, and checks every access */
} fettle_backend;

typedef struct fettle_program fettle_program;

typedef struct fettle_compile_options {
	fettle_backend backend;
	const char *cpu;     /* vector level to schedule for, see fettle_target_name; NULL: what this machine has */
	int compile_threads; /* 0: one per core */
	bool quick;          /* JIT: compile faster, run slower */
	bool no_fuse;        /* every op writes its result to memory: for finding faults */
	const char *tmpdir;  /* FETTLE_C: where a private folder for the C compiler is made; NULL: "/tmp" */
} fettle_compile_options;

/* Compile for this process. The model can be used and changed further. */
FETTLE_CHECK fettle_status fettle_compile(fettle_model *m, const fettle_compile_options *o, fettle_error *e,
					  fettle_program **out);
void fettle_program_free(fettle_program *p);
size_t fettle_program_input_count(const fettle_program *p);
size_t fettle_program_output_count(const fettle_program *p);
const fettle_port *fettle_program_input(const fettle_program *p, size_t k);
const fettle_port *fettle_program_output(const fettle_program *p, size_t k);

typedef struct fettle_program_info {
	size_t kernels;      /* distinct ones */
	size_t launches;     /* in one run, loops counted once */
	size_t weight_bytes; /* constants as the program reads them */
	size_t code_bytes;   /* machine code; 0 if not known */
} fettle_program_info;
void fettle_program_describe(const fettle_program *p, fettle_program_info *out);

typedef struct fettle_session fettle_session;

typedef struct fettle_session_options {
	int threads;         /* 0: one per core that the process may use */
	uint64_t max_memory; /* bytes a run may hold; 0: in proportion to the model, and less than the machine has */
} fettle_session_options;

FETTLE_CHECK fettle_status fettle_session_create(fettle_program *p, const fettle_session_options *o, fettle_error *e,
						 fettle_session **out);
/* One run. in: a tensor per program input, in their order; its name is not looked at. out: a tensor per program output.
 * Where out[k].data is NULL the session provides memory that is good until its next run or its end; else data points to
 * out[k].bytes bytes that the result is written to. name, dtype, rank, dims and bytes are set. Memory of sequences and
 * optionals is always the session's; an optional takes a tensor too, or a sequence of one or none.
 * Fails with FETTLE_ERR_MODEL when shapes, types or contents (an index out of range) do not fit the model. */
FETTLE_CHECK fettle_status fettle_session_run(fettle_session *s, const fettle_tensor *in, fettle_tensor *out,
					      fettle_error *e);
void fettle_session_free(fettle_session *s);

/* ---- artifacts ---- */
typedef enum fettle_artifact {
	FETTLE_EMIT_C = 0,   /* C source */
	FETTLE_EMIT_OBJECT,  /* an object file */
	FETTLE_EMIT_STATIC,  /* a static library */
	FETTLE_EMIT_SHARED,  /* a shared library */
	FETTLE_EMIT_EXE,     /* a program that runs the model on .npy files */
	FETTLE_EMIT_ONNX,    /* standard ONNX */
	FETTLE_EMIT_IR,      /* graph IR: text, big constants in PATH.blobs */
	FETTLE_EMIT_KERNELS, /* kernel IR: text */
	FETTLE_EMIT_LLVM     /* LLVM IR: text */
} fettle_artifact;

typedef enum fettle_weights { FETTLE_WEIGHTS_AUTO = 0, FETTLE_WEIGHTS_EMBED, FETTLE_WEIGHTS_FILE } fettle_weights;

typedef struct fettle_emit_options {
	const char *name;   /* prefix of what is exported; NULL: from the path */
	const char *target; /* LLVM triple; NULL: this machine */
	const char *cpu;    /* comma-separated levels, best first, of which the code picks one that the machine runs
	                       ("avx512,avx2,sse2"); NULL: those of the target. One level alone asks nothing: it is for
	                       machines known to run it. FETTLE_EMIT_C takes one, for the width of its vectors. */
	fettle_weights weights;
	bool iso_c;     /* plain C99 instead of C11 with GNU vector extensions */
	const char *cc; /* C compiler that links shared libraries and programs; NULL: "cc" */
	void (*wrote)(void *user, const char *path); /* called for every file written */
	void *user;
	const char *tmpdir; /* for linking: where a private folder is made; NULL: "/tmp" */
} fettle_emit_options;

/* Compile ahead of time. path is the file to write, or a folder to write NAME.c, NAME.o, libNAME.a, libNAME.so into. Beside
 * C, objects and libraries goes NAME.h, which documents how to use them, and unless weights are embedded NAME.weights. */
FETTLE_CHECK fettle_status fettle_emit(fettle_model *m, fettle_artifact kind, const char *path,
				       const fettle_emit_options *o, fettle_error *e);
/* The graph (FETTLE_EMIT_IR), kernels or LLVM IR as text. */
FETTLE_CHECK fettle_status fettle_emit_text(fettle_model *m, fettle_artifact kind, const fettle_emit_options *o,
					    fettle_text_fn text, void *user, fettle_error *e);

/* ---- looking inside ---- */
typedef struct fettle_inspect_options {
	bool json; /* for machines; else text for people */
	/* What these passes did ("gelu_erf" or a pass's name; "all") and what they almost did and why not; NULL: not asked. */
	const char *why, *why_not;
	const char *passes; /* as in fettle_optimize_options */
} fettle_inspect_options;
/* What the model consists of: inputs, outputs, ops and how often, parameters; then it is optimized (in place) and lowered
 * for this machine: ops that are left, kernels, workspace; or the reason why it cannot be compiled. */
FETTLE_CHECK fettle_status fettle_inspect(fettle_model *m, const fettle_inspect_options *o, fettle_text_fn text,
					  void *user, fettle_error *e);

/* Listings: k counts from 0, NULL past the end. */
const char *fettle_op_name(size_t k);
const char *fettle_pass_name(size_t k);
const char *fettle_pass_doc(size_t k);
typedef struct fettle_option {
	const char *name, *kind, *value, *doc; /* kind: i64, f64, flag or str; value: the default */
} fettle_option;
bool fettle_pass_option(size_t pass, size_t k, fettle_option *out); /* false past the last */
const char *fettle_target_name(size_t k);

typedef struct fettle_machine {
	char cpu[64];       /* as the machine calls itself */
	const char *level;  /* what code is scheduled for by default: "avx512", "avx2", "sse2", "neon", "scalar" */
	int cores, threads; /* physical; usable by this process */
	uint64_t memory;    /* bytes of RAM the process may use; 0: unknown */
} fettle_machine;
void fettle_machine_describe(fettle_machine *out);

#ifdef __cplusplus
}
#endif

#endif
