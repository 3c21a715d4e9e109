/* Graph IR: an SSA graph of typed ops in one arena.
 *
 * Nodes and values are 32-bit ids; id 0 is "none". A region is an ordered list of nodes that ends in
 * a `yield` node whose inputs are the region's results, so that a result is a use like any other.
 * The graph's body is a region; If, Loop and Scan own further ones. A node sees values of its own
 * region defined before it and of the regions around.
 *
 * Invariants (ftl_verify checks them): defs come before uses; every value has a type with known
 * element type, rank and dims; uses lists are exact; attributes are what ops.def says.
 * Node order is execution order. Nothing here allocates outside the graph's arena. */
#ifndef IR_GRAPH_H
#define IR_GRAPH_H

#include "base/arena.h"
#include "base/status.h"
#include "base/string_calls.h"
#include "ir/dim.h"
#include "ir/dtype.h"

#define FTL_MAX_RANK 12
#define FTL_MAX_NEST 64 /* regions within regions */
#define FTL_MAX_SYM 64  /* largest integer tensor whose contents are tracked symbolically */

typedef uint32_t ftl_val;     /* value id */
typedef uint32_t ftl_node_id; /* node id */
typedef uint32_t ftl_region_id;

/* ---- ops and attributes, from ops.def ---- */
typedef enum ftl_op {
	FTL_OP_NONE = 0,
#define OP(name, ...) FTL_OP_##name,
#include "../../ops.def"
	FTL_OP_COUNT
} ftl_op;

typedef struct ftl_ints {
	uint32_t n;
	const int64_t *v;
} ftl_ints;
typedef struct ftl_floats {
	uint32_t n;
	const double *v;
} ftl_floats;
typedef struct ftl_dims {
	uint32_t n;
	const ftl_dim *v;
} ftl_dims;
typedef struct ftl_strs {
	uint32_t n;
	const ftl_str *v;
} ftl_strs;
typedef struct ftl_blob ftl_blob;

/* C types of the attribute kinds ops.def may name, and how a default is written there. */
typedef int64_t ftl_attr_i64;
typedef double ftl_attr_f64;
typedef bool ftl_attr_flag;
typedef ftl_dtype ftl_attr_dtype;
typedef const char *ftl_attr_str; /* never NULL */
typedef ftl_ints ftl_attr_ints;
typedef ftl_floats ftl_attr_floats;
typedef ftl_dims ftl_attr_dims;
typedef ftl_strs ftl_attr_strs;
typedef const ftl_blob *ftl_attr_blob;

typedef enum ftl_attr_kind {
	FTL_ATTR_i64,
	FTL_ATTR_f64,
	FTL_ATTR_flag,
	FTL_ATTR_dtype,
	FTL_ATTR_str,
	FTL_ATTR_ints,
	FTL_ATTR_floats,
	FTL_ATTR_dims,
	FTL_ATTR_strs,
	FTL_ATTR_blob,
} ftl_attr_kind;

/* struct ftl_attrs_NAME for every op; opens and closes around the table's rows. */
struct ftl_attrs_first_ {
	uint8_t none_;
#define OP(name, ...)                                                                                                  \
	}                                                                                                              \
	;                                                                                                              \
	struct ftl_attrs_##name {                                                                                      \
		uint8_t none_;
#define ATTR(op, kind, name, ...) ftl_attr_##kind name;
#include "../../ops.def"
};

typedef struct ftl_attr_desc {
	const char *name;
	ftl_attr_kind kind;
	uint16_t offset;
	/* default: num for i64/f64/flag/dtype, str for str; lists and blobs default to empty */
	double num;
	const char *str;
} ftl_attr_desc;

enum ftl_trait {
	FTL_PURE = 1,       /* no side effect, same inputs same outputs: may be folded, merged, dropped */
	FTL_COMM = 2,       /* the first two inputs commute */
	FTL_MAP = 4,        /* elementwise with broadcasting: output[i] = f(in[i]...) */
	FTL_VIEW = 8,       /* output is input 0's memory with other dims (reshape) */
	FTL_REGIONS = 16,   /* owns regions */
	FTL_RANDOM = 32,    /* draws random numbers: pure but never merged or folded */
	FTL_ANCHOR = 64,    /* writes each output element once, through ftl_write: elementwise readers fuse behind it */
	FTL_CHEAP = 128,    /* elementwise, and no dearer than a load */
	FTL_LOW = 256,      /* takes and gives low element types (f8, i4 ...): moves elements, or converts them */
	FTL_STRINGS = 1024, /* also takes strings; other ops must not see them */
};

typedef struct ftl_graph ftl_graph;
typedef struct ftl_node ftl_node;
struct ftl_infer;

typedef struct ftl_op_info {
	const char *name;
	int8_t min_in, max_in, nout; /* max_in, nout: -1 = any number */
	uint16_t traits;
	uint16_t nattr, attr_bytes;
	const ftl_attr_desc *attr;
	ftl_status (*infer)(struct ftl_infer *inf); /* see ir/infer.h */
} ftl_op_info;

bool ftl_attr_is_default(const ftl_attr_desc *d, const void *attrs);
const ftl_op_info *ftl_op_get(ftl_op op);
ftl_op ftl_op_parse(const char *name, size_t n); /* FTL_OP_NONE if unknown */
static inline bool ftl_op_has(ftl_op op, unsigned trait)
{
	return (ftl_op_get(op)->traits & trait) != 0;
}

/* ---- constants ---- */
/* Bytes of a constant: a view that somebody else keeps alive (a mapped file, an arena, another blob). */
struct ftl_blob {
	const void *data; /* C order, little endian; at least 1-byte aligned */
	size_t bytes;
	uint64_t hash;    /* 0 = not computed yet: use ftl_blob_hash */
	const char *name; /* where it came from, or NULL */
	bool mapped;      /* pages come from a file and may be forgotten after use (ftl_file_forget) */
};
uint64_t ftl_blob_hash(const ftl_blob *b); /* content hash; safe to call from one thread per graph */

/* ---- types and values ---- */
typedef enum ftl_enc_kind { FTL_ENC_NONE, FTL_ENC_QUANT, FTL_ENC_SPARSE } ftl_enc_kind;
/* How elements are coded. Quantized: real = (stored - zero) * scale, per tensor (axis -1), per axis, or per
 * block of `block` along axis. Sparse: n:m groups or r x c blocks of zeros. NULL pointer = plain. */
typedef struct ftl_encoding {
	ftl_enc_kind kind;
	int32_t axis, block;
	ftl_val scale, zero; /* QUANT: values holding them; zero may be 0 = none */
	int32_t n, m, r, c;  /* SPARSE */
} ftl_encoding;

/* A value that is no tensor: a sequence of tensors, an optional tensor, an optional sequence. The elements have one
 * element type (the value's dtype); rank and dims are what all of them are known to share. */
typedef enum ftl_seq_kind { FTL_SEQ_LIST, FTL_SEQ_OPT, FTL_SEQ_OPT_LIST } ftl_seq_kind;
#define FTL_SEQ_KINDS 3
enum { FTL_SEQ_ANY = -1 /* ranks differ or are not known */, FTL_SEQ_EMPTY = -2 /* there is no element yet */ };
typedef struct ftl_seq_type {
	ftl_seq_kind kind;
	int8_t rank;
	int64_t dims[FTL_MAX_RANK]; /* rank of them; -1: differs or is not known */
} ftl_seq_type;

typedef struct ftl_type {
	ftl_dtype dtype;
	int8_t rank;
	const ftl_dim *dims; /* rank of them, owned by the graph's arena */
	const ftl_encoding *enc;
	const ftl_seq_type *seq; /* not NULL: no tensor; rank is 0 and enc NULL */
} ftl_type;

typedef struct ftl_value {
	ftl_type type;
	ftl_node_id def;      /* 0: a region parameter (graph input, loop variable) */
	ftl_region_id region; /* where it is defined */
	uint32_t index;       /* which output of def, or which parameter of region */
	const char *name;     /* ONNX name, or NULL */
	/* Contents of a small integer (or bool) tensor as expressions, in C order; NULL if not tracked. */
	const ftl_dim *sym;
	uint32_t nsym;
	FTL_VEC(ftl_node_id) uses; /* one entry per operand use, in no order */
} ftl_value;

/* Where a node came from: the ONNX node name(s), joined by '+' when nodes were merged. Never NULL. */
typedef const char *ftl_loc;

struct ftl_node {
	ftl_op op;
	uint32_t nin, nout, nregion;
	ftl_val *in; /* 0 = optional input left out */
	ftl_val *out;
	void *attrs; /* struct ftl_attrs_NAME */
	ftl_region_id *regions;
	ftl_loc loc;
	ftl_node_id prev, next; /* in its region's list */
	ftl_region_id region;
	bool dead;
};

typedef struct ftl_region {
	ftl_node_id first, last; /* last is the yield */
	ftl_node_id owner;       /* 0: the graph's body */
	FTL_VEC(ftl_val) params;
} ftl_region;

/* A model: name, inputs (body's params), results (operands of body's yield). */
struct ftl_graph {
	ftl_arena *arena;
	ftl_symtab *st;
	const char *name;
	const char *file; /* for messages; or NULL */
	FTL_VEC(ftl_value) values;
	FTL_VEC(ftl_node) nodes;
	FTL_VEC(ftl_region) regions;
	ftl_region_id body;
	FTL_VEC(const char *) out_names; /* name of each result */
	FTL_VEC(ftl_val) binders;        /* by ftl_dim id of a symbol: see ftl_sym_binder */
};

#define FTL_ATTRS(node, opname) ((struct ftl_attrs_##opname *)(node)->attrs)

ftl_graph *ftl_graph_new(ftl_arena *arena, const char *name);
/* Pointers are good until the next node / value / region is made. */
static inline ftl_node *ftl_node_get(const ftl_graph *g, ftl_node_id id)
{
	return &g->nodes.v[id];
}
static inline ftl_value *ftl_value_get(const ftl_graph *g, ftl_val v)
{
	return &g->values.v[v];
}
static inline ftl_region *ftl_region_get(const ftl_graph *g, ftl_region_id r)
{
	return &g->regions.v[r];
}
static inline const ftl_type *ftl_type_of(const ftl_graph *g, ftl_val v)
{
	return &g->values.v[v].type;
}

/* Every node of a region in order; id may be erased inside the loop. */
#define FTL_FOREACH_NODE_IN(g, region_, id)                                                                            \
	for (ftl_node_id id = ftl_region_get(g, region_)->first, id##_next_;                                           \
	     id && (id##_next_ = ftl_node_get(g, id)->next, 1); id = id##_next_)
#define FTL_FOREACH_NODE(g, id) FTL_FOREACH_NODE_IN(g, (g)->body, id)

/* ---- making and changing ---- */
ftl_region_id ftl_region_new(ftl_graph *g, ftl_node_id owner);
ftl_val ftl_param_new(ftl_graph *g, ftl_region_id r, ftl_type type, const char *name);
ftl_type ftl_type_make(ftl_graph *g, ftl_dtype t, int rank, const ftl_dim *dims); /* copies dims */
ftl_type ftl_type_make_const(ftl_graph *g, ftl_dtype t, int rank, const int64_t *dims);
/* ---- sequence types (seq.c) ---- */
ftl_type ftl_type_make_seq(ftl_graph *g, ftl_dtype t, const ftl_seq_type *s); /* copies s */
const char *ftl_seq_kind_name(ftl_seq_kind k);                                /* "seq", "opt", "optseq" */
bool ftl_seq_kind_parse(const char *s, size_t n, ftl_seq_kind *out);
bool ftl_seq_eq(const ftl_seq_type *a, const ftl_seq_type *b); /* NULL: of a tensor */
/* What elements that look like t look like to one who only knows constants. */
ftl_seq_type ftl_seq_of(const ftl_graph *g, ftl_seq_kind kind, const ftl_type *t);
/* What the elements of both share; kind is a's. */
ftl_seq_type ftl_seq_join(const ftl_seq_type *a, const ftl_seq_type *b);
void *ftl_attrs_default(ftl_graph *g, ftl_op op); /* fresh attrs with the table's defaults */
/* The live value whose run-time shape gives symbol sym its value: the first parameter that shows it as a bare
 * dim, or the output whose inference made it; 0 if there is none (a symbol that only contents mention). */
ftl_val ftl_sym_binder(const ftl_graph *g, ftl_dim sym);
void ftl_sym_bind(ftl_graph *g, ftl_dim sym, ftl_val v);

/* Where new nodes go and what location they get. before = 0: at the end of region (before its yield, if it has one). */
typedef struct ftl_builder {
	ftl_graph *g;
	ftl_region_id region;
	ftl_node_id before;
	ftl_loc loc;
	ftl_diag *diag;
} ftl_builder;

/* Low level: append a node with untyped outputs; ftl_infer_node gives them types. attrs NULL = defaults. */
ftl_node_id ftl_node_new(ftl_builder *b, ftl_op op, const ftl_val *in, uint32_t nin, void *attrs, uint32_t nout);
/* A node with inferred types; out_v receives nout values. */
ftl_status ftl_build(ftl_builder *b, ftl_op op, const ftl_val *in, uint32_t nin, void *attrs, uint32_t nout,
		     ftl_val *out_v);
ftl_status ftl_build1(ftl_builder *b, ftl_op op, const ftl_val *in, uint32_t nin, void *attrs, ftl_val *out_v);
ftl_val ftl_build_const(ftl_builder *b, ftl_type type, const ftl_blob *blob);
ftl_val ftl_build_const_bytes(ftl_builder *b, ftl_dtype t, int rank, const int64_t *dims,
			      const void *data);                           /* copies */
ftl_val ftl_build_const_i64s(ftl_builder *b, const int64_t *v, int64_t n); /* i64[n] */
ftl_val ftl_build_scalar(ftl_builder *b, ftl_dtype t, double v);           /* rank 0 */
ftl_node_id ftl_build_yield(ftl_builder *b, const ftl_val *in, uint32_t nin);

void ftl_node_set_input(ftl_graph *g, ftl_node_id n, uint32_t k, ftl_val v);
void ftl_replace_uses(ftl_graph *g, ftl_val old,
		      ftl_val with);              /* types must be compatible; names move to `with` if it has none */
void ftl_node_erase(ftl_graph *g, ftl_node_id n); /* outputs must be unused; regions go too */
void ftl_node_move_before(ftl_graph *g, ftl_node_id n, ftl_node_id before);
ftl_loc ftl_loc_merge(ftl_graph *g, ftl_loc a, ftl_loc b); /* "a+b", bounded length, no repeats */

/* ---- questions ---- */
static inline uint32_t ftl_use_count(const ftl_graph *g, ftl_val v)
{
	return g->values.v[v].uses.n;
}
ftl_node_id ftl_def(const ftl_graph *g, ftl_val v, ftl_op op); /* v's node if that is an `op`, else 0; v may be 0 */
bool ftl_is_result(const ftl_graph *g, ftl_val v);             /* used by a yield */
/* Constant contents. */
const ftl_blob *ftl_const_blob(const ftl_graph *g, ftl_val v); /* NULL unless v is a const */
bool ftl_const_i64s(const ftl_graph *g, ftl_val v, int64_t *out, uint32_t cap,
		    uint32_t *out_n);                              /* any integer or bool dtype */
bool ftl_const_scalar(const ftl_graph *g, ftl_val v, double *out); /* one element (or all elements equal), any dtype */
double ftl_elem_get(ftl_dtype t, const void *data, size_t i);
int64_t ftl_elem_get_i64(ftl_dtype t, const void *data, size_t i);
void ftl_elem_set(ftl_dtype t, void *data, size_t i, double v);
bool ftl_type_eq(const ftl_type *a, const ftl_type *b);
bool ftl_type_is_static(const ftl_graph *g, const ftl_type *t, int64_t *out_dims); /* out_dims may be NULL */
ftl_dim ftl_type_numel(const ftl_graph *g, const ftl_type *t);
uint64_t ftl_attrs_hash(const ftl_graph *g, ftl_op op, const void *attrs, uint64_t seed);
bool ftl_attrs_eq(const ftl_graph *g, ftl_op op, const void *a, const void *b);

/* ---- text, verify (print.c, parse.c, verify.c) ---- */
void ftl_print(const ftl_graph *g, ftl_text *t);
/* Big constants get blobs without bytes (data NULL): ir/fir.h reads a text together with its bytes. file may be NULL. */
ftl_status ftl_parse(ftl_arena *arena, const char *text, size_t n, const char *file, ftl_diag *d, ftl_graph **out);
ftl_status ftl_verify(const ftl_graph *g, ftl_diag *d);
/* Record an error at node n: `file: node "loc" (op): text`. */
ftl_status ftl_fail_node(const ftl_graph *g, ftl_node_id n, ftl_diag *d, ftl_status_code code, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
ftl_graph *ftl_graph_clone(ftl_arena *arena, const ftl_graph *g); /* shares blobs' bytes */

#endif
