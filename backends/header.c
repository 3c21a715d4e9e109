/* NAME.h: the typed API of a compiled model, as static inline functions over NAME_main, NAME_size (and NAME_weights).
 *
 * C99 and C++. Depends on nothing but what backends/artifact.h says code exports. Everything from the model goes through
 * names.c. In templates '@' stands for the artifact's name. */
#include "backends/artifact.h"

#include <inttypes.h>

#include "backends/strings.h"
#include "header_text.h"

void ftl_abi_print(ftl_text *t)
{
	ftl_text_bytes(t, abi, sizeof abi - 1);
}

/* ---- names of struct members ---- */

static bool free_name(const ftl_map *used, ftl_arena *arena, const char *s, bool output)
{
	return !ftl_map_get(used, s) && (!output || (!ftl_map_get(used, ftl_arena_printf(arena, "%s_bytes", s)) &&
						     !ftl_map_get(used, ftl_arena_printf(arena, "%s_dims", s))));
}

/* A member name for `name` that nobody has. next: where to go on counting, by base name. */
static const char *member(ftl_arena *arena, ftl_map *used, ftl_map *next, const char *name, bool output)
{
	const char *base = ftl_c_identifier(arena, name && *name ? name : output ? "output" : "input"), *s = base;
	uintptr_t k = (uintptr_t)ftl_map_get(next, base);

	while (!free_name(used, arena, s, output)) {
		k = k ? k + 1 : 2;
		s = ftl_arena_printf(arena, "%s_%zu", base, (size_t)k);
	}
	ftl_map_set(next, base, (void *)k);
	ftl_map_set(used, s, used);
	if (output) {
		ftl_map_set(used, ftl_arena_printf(arena, "%s_bytes", s), used);
		ftl_map_set(used, ftl_arena_printf(arena, "%s_dims", s), used);
	}
	return s;
}

const char **ftl_artifact_members(ftl_arena *arena, const ftl_artifact *a)
{
	const ftl_kmodule *m = a->module;
	const char **out = FTL_NEW_N(arena, const char *, (size_t)m->inputs.n + m->outputs.n + 1);
	ftl_map *used = ftl_map_new(arena), *next = ftl_map_new(arena);

	ftl_map_set(used, "dims", used);
	for (uint32_t k = 0; k < m->inputs.n; k++)
		out[k] = member(arena, used, next, m->inputs.v[k].name, false);
	for (uint32_t k = 0; k < m->outputs.n; k++)
		out[m->inputs.n + k] = member(arena, used, next, m->outputs.v[k].name, true);
	return out;
}

/* ---- dims ---- */

struct symbols {
	const ftl_artifact *a;
	ftl_arena *arena;
	const char **name; /* by ftl_dim: member of NAME_dims, or NULL */
	FTL_VEC(ftl_dim) list;
	ftl_map *used, *next;
};

static void see_symbol(void *user, ftl_dim sym)
{
	struct symbols *s = user;

	if (s->name[sym])
		return;
	s->name[sym] = member(s->arena, s->used, s->next, ftl_dim_get(s->a->module->st, sym)->name, false);
	ftl_vec_push(s->arena, &s->list, sym);
}

static void find_symbols(struct symbols *s, ftl_arena *arena, const ftl_artifact *a)
{
	const ftl_kmodule *m = a->module;

	*s = (struct symbols){.a = a, .arena = arena, .used = ftl_map_new(arena), .next = ftl_map_new(arena)};
	s->name = FTL_NEW_N(arena, const char *, (size_t)ftl_dim_count(m->st) + 1);
	for (uint32_t k = 0; k < m->inputs.n; k++) {
		for (int d = 0; d < m->inputs.v[k].type.rank; d++) {
			if (m->inputs.v[k].type.dims[d] != FTL_DIM_NONE)
				ftl_dim_symbols(m->st, m->inputs.v[k].type.dims[d], see_symbol, s);
		}
	}
}

struct formula {
	ftl_text *t;
	const struct symbols *s;
	bool *done; /* by ftl_dim: has a variable */
	const char *indent;
};

/* Variables for d and what it is made of, so that shared parts are printed once. */
static void print_dim(struct formula *f, ftl_dim d)
{
	static const char *const fn[] = {
		[FTL_DIM_DIV] = "div", [FTL_DIM_MOD] = "mod", [FTL_DIM_MIN] = "min", [FTL_DIM_MAX] = "max"};
	const ftl_dim_node *n = ftl_dim_get(f->s->a->module->st, d);
	const char *tab = f->indent;

	if (f->done[d])
		return;
	f->done[d] = true;
	switch (n->kind) {
	case FTL_DIM_CONST:
		ftl_text_add(f->t, "%sconst int64_t d%u = INT64_C(%" PRId64 ");\n", tab, d,
			     n->value < -INT64_MAX ? -INT64_MAX : n->value);
		break;
	case FTL_DIM_SYM:
		ftl_text_add(f->t, "%sconst int64_t d%u = fettle_dim(dims->%s, &bad);\n", tab, d, f->s->name[d]);
		break;
	case FTL_DIM_SUM:
		for (uint32_t k = 0; k < n->n; k++) {
			for (uint32_t j = 0; j < n->term[k].n; j++)
				print_dim(f, n->term[k].atom[j]);
		}
		ftl_text_add(f->t, "%sint64_t d%u = 0;\n", tab, d);
		for (uint32_t k = 0; k < n->n; k++) {
			const ftl_dim_term *term = &n->term[k];

			ftl_text_add(f->t, "%sd%u = fettle_add(d%u, ", tab, d, d);
			for (uint32_t j = 0; j < term->n; j++)
				ftl_text_add(f->t, "fettle_mul(");
			ftl_text_add(f->t, "INT64_C(%" PRId64 ")", term->coef < -INT64_MAX ? -INT64_MAX : term->coef);
			for (uint32_t j = 0; j < term->n; j++)
				ftl_text_add(f->t, ", d%u, &bad)", term->atom[j]);
			ftl_text_add(f->t, ", &bad);\n");
		}
		break;
	default:
		print_dim(f, n->a);
		print_dim(f, n->b);
		ftl_text_add(f->t, "%sconst int64_t d%u = fettle_%s(d%u, d%u%s);\n", tab, d, fn[n->kind], n->a, n->b,
			     n->kind == FTL_DIM_DIV || n->kind == FTL_DIM_MOD ? ", &bad" : "");
		break;
	}
}

static void not_known(void *user, ftl_dim sym)
{
	const struct symbols *s = ((void **)user)[0];

	if (!s->name[sym])
		*(bool *)((void **)user)[1] = false;
}

/* All dims follow from NAME_dims. */
static bool size_known(const struct symbols *s, const ftl_type *t)
{
	bool known = true;
	const void *user[2] = {s, &known};

	for (int d = 0; d < t->rank; d++) {
		if (t->dims[d] == FTL_DIM_NONE)
			return false;
		ftl_dim_symbols(s->a->module->st, t->dims[d], not_known, (void *)user);
	}
	return known;
}

/* ---- parts of the header ---- */

static const char *c_type(ftl_dtype t)
{
	static const char *const name[] = {
#define DTYPE(NAME, text, kind, bits, c) [FTL_##NAME] = #c,
#include "../ir/dtypes.def"
#undef DTYPE
	};

	return t > FTL_NO_DTYPE && t < FTL_DTYPE_COUNT ? name[t] : "uint8_t";
}

static void io_comment(ftl_text *t, ftl_arena *arena, const ftl_kmodule *m, const char *what, const ftl_kio *io)
{
	bool low = ftl_dtype_is_low(io->type.dtype);
	ftl_text c;

	ftl_text_init(&c, arena);
	ftl_text_add(&c, "%s %s: %s[", what, io->name ? io->name : "", ftl_dtype_name(io->type.dtype));
	for (int d = 0; d < io->type.rank; d++) {
		ftl_text_add(&c, d ? "," : "");
		ftl_dim_print(m->st, &c, io->type.dims[d]);
	}
	ftl_text_add(&c, "]%s",
		     io->type.dtype == FTL_F16    ? ", bits of IEEE half precision"
		     : io->type.dtype == FTL_BF16 ? ", bits of bfloat16"
		     : io->type.dtype == FTL_BOOL ? ", 0 or 1"
		     : low                        ? ", one per byte"
						  : "");
	if (io->value)
		ftl_text_add(&c,
			     "; %s, its elements' bytes follow: row 0 is {elements (-1: none), bytes}, others {offset, "
			     "rank, dims[%d], bytes}",
			     io->value->seq->kind == FTL_SEQ_LIST ? "a sequence" : "an optional", FTL_MAX_RANK);
	ftl_text_add(t, "/* ");
	ftl_c_comment(t, c.v);
	ftl_text_add(t, " */");
}

static bool block_allocates(const ftl_kfunc *f, const ftl_kblock *b)
{
	for (uint32_t k = 0; b && k < b->insts.n; k++) {
		const ftl_kinst *i = ftl_kinst_get(f, b->insts.v[k]);

		if (i->op == FTL_K_alloc || block_allocates(f, i->body) || block_allocates(f, i->els))
			return true;
	}
	return false;
}

static void print_intro(const ftl_artifact *a, ftl_text *t)
{
	bool used[FTL_STRING_CALLS], strings = ftl_strings_used(a->module, used);

	ftl_text_add(t, "/* %s.h, made by fettle: running the model \"", a->name);
	ftl_c_comment(t, a->module->name);
	ftl_c_template(t, a->name,
		       "\" from C or C++.\n"
		       " *\n"
		       " *\t@_context model;\n"
		       " *\t@_io io;\n");
	ftl_c_template(t, a->name,
		       a->embed ? " *\t@_init(&model, NULL, 0);              the weights are in the program\n"
				: " *\t@_init(&model, weights, bytes);        the contents of @.weights, 64-byte "
				  "aligned, kept in memory\n");
	ftl_c_template(t, a->name,
		       " *\tmemset(&io, 0, sizeof io);\n"
		       " *\tio.dims, io.INPUT, io.OUTPUT and io.OUTPUT_bytes = ...\n"
		       " *\tworkspace = 64-byte aligned memory of @_workspace_size(&io.dims) bytes;\n"
		       " *\tcode = @_run(&model, &io, workspace); 0, or @_error(code) says what went wrong\n"
		       " *\n"
		       " * Tensors are dense, in C order. Nothing here keeps state: one context serves many threads at "
		       "once, each with its own\n"
		       " * io and workspace.");
	if (strings)
		ftl_c_template(
			t, a->name,
			"\n * This model has strings and needs the context's alloc hook. An input's are addresses of "
			"NUL-terminated bytes; an\n * output's are valid until @_free_strings.");
	else if (block_allocates(a->module->main, &a->module->main->body))
		ftl_c_template(
			t, a->name,
			" This model needs the context's alloc hook: sizes of intermediate results depend on data.");
	else
		ftl_c_template(
			t, a->name,
			" No memory is allocated, unless for outputs that are left NULL, by the context's alloc hook.");
	ftl_c_template(
		t, a->name,
		"\n * Link with -lm. Define @_THREADS before including this for a thread pool (POSIX threads). */\n"
		"#ifndef @_H\n#define @_H\n\n"
		"#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n\n"
		"#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
		"/* ---- the boundary to the code; the same in every model ---- */\n");
	ftl_abi_print(t);
	ftl_text_bytes(t, common, sizeof common - 1);
	if (strings)
		ftl_strings_print(t, a->name, used);
	ftl_c_template(t, a->name, "\nint64_t @_main(ftl_run *run);\nint64_t @_size(const ftl_run *run);\n");
	if (a->embed)
		ftl_c_template(t, a->name, "extern const uint64_t @_weights[];\n");
}

static void print_types(const ftl_artifact *a, const struct symbols *s, const char **names, ftl_arena *arena,
			ftl_text *t)
{
	const ftl_kmodule *m = a->module;
	bool used[FTL_STRING_CALLS];

	ftl_c_template(
		t, a->name,
		"\n/* ---- the model ---- */\n\n/* Sizes that the inputs leave open. */\ntypedef struct @_dims {\n");
	for (uint32_t k = 0; k < s->list.n; k++) {
		ftl_text_add(t, "\tint64_t %s; /* ", s->name[s->list.v[k]]);
		ftl_c_comment(t, ftl_dim_get(m->st, s->list.v[k])->name);
		ftl_text_add(t, " */\n");
	}
	if (s->list.n == 0)
		ftl_text_add(t, "\tint64_t none; /* there are none */\n");
	ftl_c_template(t, a->name,
		       "} @_dims;\n\n"
		       "/* Inputs: the caller's memory. Outputs: give memory of NAME_bytes bytes, or NULL (all zero) "
		       "to have it from the alloc\n"
		       " * hook, then to be freed with @_free. A run writes NAME_bytes and NAME_dims. */\n"
		       "typedef struct @_io {\n\t@_dims dims;\n");
	for (uint32_t k = 0; k < m->inputs.n; k++) {
		ftl_text_add(t, "\tconst %s *%s; ", c_type(m->inputs.v[k].type.dtype), names[k]);
		io_comment(t, arena, m, "input", &m->inputs.v[k]);
		ftl_text_add(t, "\n");
	}
	for (uint32_t k = 0; k < m->outputs.n; k++) {
		const char *n = names[m->inputs.n + k];
		int rank = m->outputs.v[k].type.rank;

		ftl_text_add(t, "\t%s *%s; ", c_type(m->outputs.v[k].type.dtype), n);
		io_comment(t, arena, m, "output", &m->outputs.v[k]);
		ftl_text_add(t, "\n\tsize_t %s_bytes;\n", n);
		if (rank > 0)
			ftl_text_add(t, "\tint64_t %s_dims[%d];\n", n, rank);
	}
	if (ftl_strings_used(m, used))
		ftl_text_add(t, "\tvoid *strings; /* memory of the outputs' strings */\n");
	ftl_c_template(
		t, a->name,
		"} @_io;\n\n"
		"typedef struct @_context {\n"
		"\t/* Hooks, all optional; @_init clears them. */\n"
		"\tvoid *(*alloc)(void *user, size_t bytes); /* 64-byte aligned memory, or NULL if there is none */\n"
		"\tvoid (*free)(void *user, void *p);\n"
		"\tvoid *user; /* for alloc and free */\n"
		"\t/* Call fn(args, run, begin, end) for pieces that cover 0..count-1, on any threads, and return when "
		"all are done. cost:\n"
		"\t * about how many scalar operations one piece does. */\n"
		"\tvoid (*parallel)(void *user, ftl_kernel_fn fn, const ftl_arg *args, struct ftl_run *run, int64_t "
		"count, int64_t cost);\n"
		"\tvoid *parallel_user;\n");
	ftl_text_add(t, "\tconst void *blobs[%u];\n", a->nblobs ? a->nblobs : 1);
	ftl_c_template(t, a->name,
		       "} @_context;\n\n"
		       "/* Codes that are not one of the model's own messages. */\n"
		       "enum { @_OK = 0, @_NO_MEMORY = 1, @_SMALL_OUTPUT = -1, @_BAD_ARGUMENT = -2, @_BAD_WEIGHTS = "
		       "-3, @_BAD_DIMS = -4 };\n");
	ftl_text_add(t, "#define %s_INPUTS %u\n#define %s_OUTPUTS %u\n", a->name, m->inputs.n, a->name, m->outputs.n);
}

static void print_error(const ftl_artifact *a, ftl_text *t)
{
	ftl_c_template(t, a->name,
		       "\n/* What a code means; never NULL. */\n"
		       "static inline const char *@_error(int code)\n{\n"
		       "\tswitch (code) {\n"
		       "\tcase @_OK: return \"no error\";\n"
		       "\tcase @_NO_MEMORY: return \"out of memory, or there is no alloc hook\";\n"
		       "\tcase @_SMALL_OUTPUT: return \"an output's memory is too small\";\n"
		       "\tcase @_BAD_ARGUMENT: return \"a pointer is missing or not aligned as it must be\";\n"
		       "\tcase @_BAD_WEIGHTS: return \"these are not the weights this code was made for\";\n"
		       "\tcase @_BAD_DIMS: return \"a dim is negative or too large\";\n");
	for (uint32_t k = 2; k < a->nmsgs; k++) {
		ftl_text_add(t, "\tcase %u: return ", k);
		ftl_c_string(t, a->msgs[k]);
		ftl_text_add(t, ";\n");
	}
	ftl_text_add(t, "\tdefault: return \"unknown error\";\n\t}\n}\n");
}

static void print_init(const ftl_artifact *a, ftl_text *t)
{
	ftl_c_template(t, a->name,
		       a->embed ? "\n/* Get ready to run: once, before anything else. weights: NULL, 0. */\n"
				: "\n/* Get ready to run: once, before anything else. weights: the contents of "
				  "@.weights, at least 16-byte aligned (64 is\n"
				  " * best), which must stay where they are. */\n");
	ftl_c_template(t, a->name,
		       "static inline int @_init(@_context *c, const void *weights, size_t bytes)\n{\n"
		       "\tuint64_t head[8], entry[2];\n\tconst char *p;\n\tuint64_t k;\n\n"
		       "\tif (!c)\n\t\treturn @_BAD_ARGUMENT;\n"
		       "\tmemset(c, 0, sizeof *c);\n");
	if (a->embed) {
		ftl_c_template(t, a->name, "\tif (!weights) {\n\t\tweights = @_weights;\n");
		ftl_text_add(t, "\t\tbytes = %" PRIu64 "u;\n\t}\n", a->bytes);
	}
	ftl_c_template(t, a->name,
		       "\tp = (const char *)weights;\n"
		       "\tif (!p || bytes < sizeof head)\n\t\treturn @_BAD_WEIGHTS;\n"
		       "\tmemcpy(head, p, sizeof head);\n");
	/* the first word is "fettlewt" as a little-endian number, so a machine of the other kind refuses too */
	ftl_text_add(t,
		     "\tif (head[0] != UINT64_C(0x7477656c74746566) || head[1] != UINT64_C(0x%016" PRIx64
		     ") || head[2] != %uu || "
		     "head[3] > bytes)\n",
		     a->identity, a->nblobs);
	ftl_c_template(t, a->name,
		       "\t\treturn @_BAD_WEIGHTS;\n"
		       "\tif (((uintptr_t)p & 7) != 0)\n\t\treturn @_BAD_ARGUMENT;\n"
		       "\tif (head[3] < 64 || head[2] > (head[3] - 64) / 16)\n\t\treturn @_BAD_WEIGHTS;\n"
		       "\tfor (k = 0; k < head[2]; k++) {\n"
		       "\t\tmemcpy(entry, p + 64 + 16 * k, sizeof entry);\n"
		       "\t\tif (entry[0] > head[3] || entry[1] > head[3] - entry[0])\n\t\t\treturn @_BAD_WEIGHTS;\n"
		       "\t\tc->blobs[k] = p + entry[0];\n"
		       "\t}\n"
		       "\treturn @_OK;\n}\n");
}

static void print_shapes(const ftl_artifact *a, const struct symbols *s, ftl_arena *arena, ftl_text *t)
{
	const ftl_kmodule *m = a->module;
	size_t ndims = (size_t)ftl_dim_count(m->st) + 1;
	struct formula f = {.t = t, .s = s, .done = FTL_NEW_N(arena, bool, ndims), .indent = "\t"};

	ftl_c_template(t, a->name,
		       "\n/* Shapes and sizes of the inputs. */\n"
		       "static inline int @_shape_inputs(const @_dims *dims, ftl_io *in)\n{\n\tint bad = 0;\n");
	if (s->list.n == 0)
		ftl_text_add(t, "\t(void)dims;\n");
	else
		ftl_c_template(t, a->name, "\tif (!dims)\n\t\treturn @_BAD_ARGUMENT;\n");
	ftl_text_add(t, "\t(void)in;\n\t{\n");
	f.indent = "\t\t";
	for (uint32_t k = 0; k < m->inputs.n; k++) {
		const ftl_type *type = &m->inputs.v[k].type;

		for (int d = 0; d < type->rank; d++) {
			print_dim(&f, type->dims[d]);
			ftl_text_add(t, "\t\tin[%u].dims[%d] = d%u;\n", k, d, type->dims[d]);
		}
		ftl_text_add(t, "\t\tin[%u].bytes = fettle_bytes(in[%u].dims, %d, %zuu, &bad);\n", k, k, type->rank,
			     ftl_dtype_bytes(type->dtype));
	}
	ftl_c_template(t, a->name,
		       "\t}\n\treturn bad ? @_BAD_DIMS : @_OK;\n}\n\n"
		       "/* Bytes of output number `output`, in the order of @_io; (size_t)-1 if that is not known "
		       "before the run. */\n"
		       "static inline size_t @_output_bytes(const @_dims *dims, int output)\n{\n"
		       "\tint64_t d[FTL_ABI_MAX_RANK];\n\tsize_t bytes = 0;\n\tint bad = 0;\n\n"
		       "\t(void)dims;\n\t(void)d;\n");
	if (s->list.n)
		ftl_text_add(t, "\tif (!dims)\n\t\treturn (size_t)-1;\n");
	ftl_text_add(t, "\tswitch (output) {\n");
	for (uint32_t k = 0; k < m->outputs.n; k++) {
		const ftl_type *type = &m->outputs.v[k].type;

		if (!size_known(s, type))
			continue;
		memset(f.done, 0, ndims * sizeof *f.done);
		ftl_text_add(t, "\tcase %u: {\n", k);
		for (int d = 0; d < type->rank; d++) {
			print_dim(&f, type->dims[d]);
			ftl_text_add(t, "\t\td[%d] = d%u;\n", d, type->dims[d]);
		}
		ftl_text_add(t, "\t\tbytes = fettle_bytes(d, %d, %zuu, &bad);\n\t\tbreak;\n\t}\n", type->rank,
			     ftl_dtype_bytes(type->dtype));
	}
	ftl_text_add(t, "\tdefault:\n\t\tbad = 1;\n\t\tbreak;\n\t}\n\treturn bad ? (size_t)-1 : bytes;\n}\n");
	ftl_c_template(
		t, a->name,
		"\n/* Bytes of workspace that a run with these dims needs; (size_t)-1 if the dims make no sense. */\n"
		"static inline size_t @_workspace_size(const @_dims *dims)\n{\n"
		"\tftl_io in[@_INPUTS + 1];\n\tftl_run run;\n\tint64_t n;\n\n"
		"\tmemset(in, 0, sizeof in);\n\tmemset(&run, 0, sizeof run);\n"
		"\tif (@_shape_inputs(dims, in) != @_OK)\n\t\treturn (size_t)-1;\n"
		"\trun.in = in;\n\tn = @_size(&run);\n"
		"\treturn n < 0 || (uint64_t)n > (size_t)-1 / 2 ? (size_t)-1 : (size_t)n;\n}\n");
}

static void print_run(const ftl_artifact *a, const char **names, ftl_text *t)
{
	const ftl_kmodule *m = a->module;
	bool used[FTL_STRING_CALLS], strings = ftl_strings_used(m, used);

	ftl_c_template(
		t, a->name,
		"\n/* Run once. workspace: @_workspace_size(&io->dims) bytes, 64-byte aligned, not in use by another "
		"run. */\n"
		"static inline int @_run(const @_context *c, @_io *io, void *workspace)\n{\n"
		"\tftl_io in[@_INPUTS + 1], out[@_OUTPUTS + 1];\n"
		"\tfettle_call call;\n\tftl_run run;\n\tint code, bad = 0;\n");
	if (strings)
		ftl_text_add(t, "\tfettle_strings strings;\n\tvoid *chunk;\n");
	ftl_c_template(
		t, a->name,
		"\n\tif (!c || !io || ((uintptr_t)workspace & 63) != 0)\n\t\treturn @_BAD_ARGUMENT;\n"
		"\tmemset(in, 0, sizeof in);\n\tmemset(out, 0, sizeof out);\n\tmemset(&run, 0, sizeof run);\n"
		"\tcode = @_shape_inputs(&io->dims, in);\n"
		"\tif (code != @_OK)\n\t\treturn code;\n"
		"\tcall.alloc = c->alloc;\n\tcall.free = c->free;\n\tcall.user = c->user;\n"
		"\tcall.parallel = c->parallel;\n\tcall.parallel_user = c->parallel_user;\n\tcall.first = NULL;\n");
	for (uint32_t k = 0; k < m->inputs.n; k++) {
		ftl_text_add(t, "\tin[%u].data = (void *)(uintptr_t)io->%s;\n", k, names[k]);
		ftl_c_template(t, a->name, "\tif (");
		ftl_text_add(t, "!in[%u].data && in[%u].bytes != 0)\n", k, k);
		ftl_c_template(t, a->name, "\t\treturn @_BAD_ARGUMENT;\n");
	}
	for (uint32_t k = 0; k < m->outputs.n; k++) {
		const char *n = names[m->inputs.n + k];

		ftl_text_add(t, "\tout[%u].data = io->%s;\n\tout[%u].bytes = io->%s ? io->%s_bytes : 0;\n", k, n, k, n,
			     n);
	}
	if (strings)
		ftl_c_template(t, a->name,
			       "\tif (!c->alloc)\n\t\treturn @_NO_MEMORY;\n"
			       "\tmemset(&strings, 0, sizeof strings);\n"
			       "\tstrings.calls = @_string_fns;\n\tstrings.alloc = fettle_alloc;\n"
			       "\tstrings.user = &call;\n\trun.strings = &strings;\n\tio->strings = NULL;\n");
	ftl_c_template(t, a->name,
		       "\trun.in = in;\n\trun.out = out;\n\trun.workspace = workspace;\n\trun.blobs = "
		       "c->blobs;\n\trun.user = &call;\n"
		       "\trun.alloc = c->alloc ? fettle_alloc : NULL;\n\trun.free = fettle_free;\n"
		       "\trun.parallel = c->parallel ? fettle_parallel : NULL;\n"
		       "\tcode = (int)@_main(&run);\n");
	for (uint32_t k = 0; k < m->outputs.n; k++) {
		const char *n = names[m->inputs.n + k];

		ftl_text_add(t,
			     "\tif (code == 0) {\n"
			     "\t\tif (!io->%s && out[%u].data)\n\t\t\tfettle_unlink(&call, out[%u].data);\n"
			     "\t\tio->%s = (%s *)out[%u].data;\n",
			     n, k, k, n, c_type(m->outputs.v[k].type.dtype), k);
		if (m->outputs.v[k].type.rank > 0)
			ftl_text_add(t, "\t\tmemcpy(io->%s_dims, out[%u].dims, sizeof io->%s_dims);\n", n, k, n);
		ftl_text_add(t, "\t\tio->%s_bytes = fettle_bytes(out[%u].dims, %d, %zuu, &bad);\n\t}\n", n, k,
			     m->outputs.v[k].type.rank, ftl_dtype_bytes(m->outputs.v[k].type.dtype));
	}
	if (strings)
		ftl_text_add(t,
			     "\tfor (chunk = strings.chunks; code == 0 && chunk; memcpy(&chunk, chunk, sizeof chunk))\n"
			     "\t\tfettle_unlink(&call, chunk);\n"
			     "\tif (code == 0)\n\t\tio->strings = strings.chunks;\n");
	ftl_c_template(t, a->name,
		       "\t(void)bad;\n\twhile (call.first) /* what a failed run left */\n"
		       "\t\tfettle_free(&call, (char *)call.first + 64);\n"
		       "\treturn code;\n}\n\n"
		       "/* Free an output that a run allocated. */\n"
		       "static inline void @_free(const @_context *c, void *p)\n{\n"
		       "\tif (p && c->free)\n\t\tc->free(c->user, (char *)p - 64);\n}\n");
	if (strings)
		ftl_c_template(t, a->name,
			       "\n/* Free the strings of a run's outputs, which must not be read any more. */\n"
			       "static inline void @_free_strings(const @_context *c, @_io *io)\n{\n"
			       "\tvoid *p = io->strings, *next;\n\n"
			       "\tfor (; p; p = next) {\n\t\tmemcpy(&next, p, sizeof next);\n\t\t@_free(c, p);\n\t}\n"
			       "\tio->strings = NULL;\n}\n");
}

void ftl_header_print(const ftl_artifact *a, ftl_text *t)
{
	ftl_arena *arena = t->arena;
	const char **names = ftl_artifact_members(arena, a);
	struct symbols s;

	find_symbols(&s, arena, a);
	print_intro(a, t);
	print_types(a, &s, names, arena, t);
	print_error(a, t);
	print_init(a, t);
	print_shapes(a, &s, arena, t);
	print_run(a, names, t);
	ftl_c_template(t, a->name, threads);
	ftl_text_add(t, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}
