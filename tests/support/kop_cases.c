/* See kop_cases.h. */
#include "kop_cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECES 16 /* grid size of every launch */

static const int lane_counts[] = {1, 4, 8, 16};

/* ---- modules ---- */

ftl_kmodule *kop_new(ftl_arena *arena, const char *name, ftl_kb *main)
{
	ftl_symtab *st = ftl_symtab_new(arena);
	ftl_kmodule *m = ftl_kmodule_new(arena, st, name);
	ftl_dim *n = FTL_NEW(arena, ftl_dim);

	*n = ftl_dim_const(st, KOP_ELEMS);
	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		for (int k = 0; k < 3; k++) {
			ftl_kio io = {.name = ftl_arena_printf(arena, "x%d_%s", k, ftl_dtype_name((ftl_dtype)t)),
				      .type = {.dtype = (ftl_dtype)t, .rank = 1, .dims = n}};

			ftl_vec_push(arena, &m->inputs, io);
		}
	}
	m->main = ftl_kfunc_new(arena, "main", true);
	ftl_kb_init(main, arena, m->main);
	return m;
}

uint32_t kop_input(ftl_dtype t, int k)
{
	return (uint32_t)(((int)t - 1) * 3 + k);
}

ftl_kv kop_output(ftl_kmodule *m, ftl_kb *main, const char *name, ftl_dtype t, int64_t elems)
{
	ftl_dim *n = FTL_NEW(m->arena, ftl_dim);
	ftl_kio io = {.name = ftl_arena_str(m->arena, name), .type = {.dtype = t, .rank = 1, .dims = n}};

	*n = ftl_dim_const(m->st, elems);
	ftl_vec_push(m->arena, &m->outputs, io);
	ftl_k_out_dim(main, m->outputs.n - 1, 0, ftl_k_i64(main, elems));
	return ftl_k_out_ptr(main, m->outputs.n - 1, ftl_k_i64(main, elems * (int64_t)ftl_dtype_bytes(t)));
}

void kop_finish(ftl_kmodule *m, ftl_kb *main)
{
	FTL_UNUSED(main);
	for (uint32_t k = 0; k < m->kernels.n; k++)
		m->kernels.v[k]->hash = ftl_kfunc_hash(m->kernels.v[k]);
}

/* One case: a kernel with up to three inputs and one output. */
typedef struct one {
	ftl_kmodule *m;
	ftl_kb *main;
	ftl_kb b; /* the kernel */
	ftl_kv in[3], out, grid;
	ftl_dtype types[3], out_type;
	int nin;
	int64_t elems; /* of the output, per piece */
} one;

static void begin(one *c, ftl_kmodule *m, ftl_kb *main, const char *name, int nin, const ftl_dtype *types,
		  ftl_dtype out, int64_t elems)
{
	ftl_kfunc *f = ftl_kfunc_new(m->arena, name, false);

	*c = (one){.m = m, .main = main, .nin = nin, .out_type = out, .elems = elems};
	ftl_kb_init(&c->b, m->arena, f);
	for (int k = 0; k < nin; k++) {
		c->types[k] = types[k];
		c->in[k] = ftl_kb_param(&c->b, FTL_KT_PTR);
	}
	c->out = ftl_kb_param(&c->b, FTL_KT_PTR);
	c->grid = ftl_k_grid(&c->b);
}

static void end(one *c)
{
	ftl_kv args[4];

	ftl_vec_push(c->m->arena, &c->m->kernels, c->b.f);
	for (int k = 0; k < c->nin; k++)
		args[k] = ftl_k_in_ptr(c->main, kop_input(c->types[k], k));
	args[c->nin] = kop_output(c->m, c->main, c->b.f->name, c->out_type, c->elems * PIECES);
	ftl_k_launch(c->main, c->m->kernels.n - 1, ftl_k_i64(c->main, PIECES), args, (uint32_t)c->nin + 1, c->elems);
}

static ftl_kv scaled_grid(one *c, int64_t by)
{
	return ftl_k2(&c->b, FTL_K_mul, c->grid, ftl_k_i64(&c->b, by));
}

static ftl_kv operand(one *c, int k, int lanes)
{
	return ftl_k_load(&c->b, c->types[k], c->in[k], scaled_grid(c, lanes), lanes);
}

static void result(one *c, ftl_kv x)
{
	ftl_k_store(&c->b, c->out, scaled_grid(c, c->elems), x);
}

static const char *case_name(ftl_arena *a, const char *what, ftl_dtype t, int lanes)
{
	return ftl_arena_printf(a, "%s_%s_%d", what, ftl_dtype_name(t), lanes);
}

/* How many of lane_counts the backend takes. */
static size_t lane_kinds(const kop_backend *be)
{
	return be->scalar ? 1 : FTL_COUNT(lane_counts);
}

/* ---- elementwise ---- */

static bool is_half(ftl_dtype t)
{
	return t == FTL_F16 || t == FTL_BF16;
}

static bool takes(ftl_kop op, ftl_dtype t)
{
	if (is_half(t))
		return false;
	if (op >= FTL_K_sqrt && op <= FTL_K_pow)
		return ftl_dtype_is_float(t);
	switch (op) {
	case FTL_K_and:
	case FTL_K_or:
	case FTL_K_xor:
	case FTL_K_not: return !ftl_dtype_is_float(t);
	case FTL_K_shl:
	case FTL_K_shr:
	case FTL_K_popcount: return ftl_dtype_is_int(t);
	case FTL_K_eq:
	case FTL_K_ne: return true;
	default: return t != FTL_BOOL;
	}
}

static void elementwise(ftl_kmodule *m, ftl_kb *main, ftl_kop op, const kop_backend *be)
{
	const ftl_kop_info *info = ftl_kop_get(op);
	one c;

	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		const ftl_dtype types[3] = {(ftl_dtype)t, (ftl_dtype)t, (ftl_dtype)t};
		ftl_dtype out = info->rule == K_RULE_CMP ? FTL_BOOL : (ftl_dtype)t;

		if (!takes(op, (ftl_dtype)t) || (op == FTL_K_fma && be->no_fma && ftl_dtype_is_float((ftl_dtype)t)))
			continue;
		for (size_t l = 0; l < lane_kinds(be); l++) {
			int n = lane_counts[l];
			ftl_kv x, y;

			begin(&c, m, main, case_name(m->arena, info->name, (ftl_dtype)t, n), info->nargs, types, out,
			      n);
			x = operand(&c, 0, n);
			y = info->nargs > 1 ? operand(&c, 1, n) : 0;
			if (op == FTL_K_fma)
				x = ftl_k_fma(&c.b, x, y, operand(&c, 2, n));
			else
				x = y ? ftl_k2(&c.b, op, x, y) : ftl_k1(&c.b, op, x);
			result(&c, x);
			end(&c);
		}
	}
}

/* Divisions and shifts by constants take other paths in a backend. */
static void by_constants(ftl_kmodule *m, ftl_kb *main)
{
	static const int64_t values[] = {0, 1, -1, 3, -7, 8, 64};
	static const ftl_kop ops[] = {FTL_K_div, FTL_K_rem, FTL_K_shl, FTL_K_shr};
	one c;

	for (int t = FTL_I8; t <= FTL_U64; t++) {
		const ftl_dtype type = (ftl_dtype)t;

		for (size_t o = 0; o < FTL_COUNT(ops); o++) {
			for (size_t v = 0; v < FTL_COUNT(values); v++) {
				if (values[v] < 0 && (o > 1 || !ftl_dtype_is_signed(type)))
					continue;
				begin(&c, m, main,
				      ftl_arena_printf(m->arena, "%s_%s_by%zu", ftl_kop_get(ops[o])->name,
						       ftl_dtype_name(type), v),
				      1, &type, type, 8);
				result(&c, ftl_k2(&c.b, ops[o], operand(&c, 0, 8),
						  ftl_k_int(&c.b, FTL_KT(type, 8), values[v])));
				end(&c);
			}
		}
	}
}

static void casts(ftl_kmodule *m, ftl_kb *main, ftl_dtype from, const kop_backend *be)
{
	one c;

	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		for (size_t l = 0; l < lane_kinds(be); l++) {
			int n = lane_counts[l];

			if (t == (int)from)
				continue;
			begin(&c, m, main, case_name(m->arena, "to", (ftl_dtype)t, n), 1, &from, (ftl_dtype)t, n);
			result(&c, ftl_k_cast(&c.b, operand(&c, 0, n), (ftl_dtype)t));
			end(&c);
			if (ftl_dtype_bits(from) != ftl_dtype_bits((ftl_dtype)t) || from == FTL_BOOL || t == FTL_BOOL)
				continue;
			begin(&c, m, main, case_name(m->arena, "as", (ftl_dtype)t, n), 1, &from, (ftl_dtype)t, n);
			result(&c, ftl_k_bitcast(&c.b, operand(&c, 0, n), (ftl_dtype)t));
			end(&c);
		}
	}
}

static void selects(ftl_kmodule *m, ftl_kb *main, const kop_backend *be)
{
	one c;

	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		const ftl_dtype types[3] = {(ftl_dtype)t, (ftl_dtype)t, FTL_BOOL};

		for (size_t l = 0; l < lane_kinds(be) && !is_half((ftl_dtype)t); l++) {
			int n = lane_counts[l];

			begin(&c, m, main, case_name(m->arena, "select", (ftl_dtype)t, n), 3, types, (ftl_dtype)t, n);
			result(&c, ftl_k_select(&c.b, operand(&c, 2, n), operand(&c, 0, n), operand(&c, 1, n)));
			end(&c);
		}
	}
}

/* ---- lanes ---- */

static void reductions(ftl_kmodule *m, ftl_kb *main)
{
	static const ftl_kop ops[] = {FTL_K_add, FTL_K_mul, FTL_K_min, FTL_K_max};
	one c;

	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		const ftl_dtype type = (ftl_dtype)t;

		for (size_t o = 0; o < FTL_COUNT(ops) && !is_half(type) && type != FTL_BOOL; o++) {
			for (int n = 2; n <= 32; n *= 2) {
				begin(&c, m, main,
				      ftl_arena_printf(m->arena, "r%s_%s_%d", ftl_kop_get(ops[o])->name,
						       ftl_dtype_name(type), n),
				      1, &type, type, 1);
				result(&c, ftl_k_reduce(&c.b, ops[o], operand(&c, 0, n)));
				end(&c);
			}
		}
	}
}

static void shuffles(ftl_kmodule *m, ftl_kb *main)
{
	one c;

	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		const ftl_dtype types[2] = {(ftl_dtype)t, (ftl_dtype)t};

		for (int n = 2; n <= 16 && !is_half((ftl_dtype)t); n *= 2) {
			ftl_kv x, y;

			begin(&c, m, main, case_name(m->arena, "join", (ftl_dtype)t, n), 2, types, (ftl_dtype)t, 2 * n);
			result(&c, ftl_k_join(&c.b, operand(&c, 0, n), operand(&c, 1, n)));
			end(&c);
			begin(&c, m, main, case_name(m->arena, "slice", (ftl_dtype)t, n), 1, types, (ftl_dtype)t,
			      n / 2);
			result(&c, ftl_k_slice(&c.b, operand(&c, 0, n), n / 2, n / 2));
			end(&c);
			begin(&c, m, main, case_name(m->arena, "lanes", (ftl_dtype)t, n), 2, types, (ftl_dtype)t, n);
			x = operand(&c, 0, n);
			y = operand(&c, 1, n);
			for (int i = 0; i < n; i += 2) /* swap neighbours, taking odd ones from y */
				x = ftl_k_insert(&c.b, ftl_k_insert(&c.b, x, ftl_k_extract(&c.b, y, i + 1), i),
						 ftl_k_extract(&c.b, x, i), i + 1);
			result(&c, x);
			end(&c);
			begin(&c, m, main, case_name(m->arena, "splat", (ftl_dtype)t, n), 1, types, (ftl_dtype)t, n);
			result(&c, ftl_k_splat(&c.b, operand(&c, 0, 1), n));
			end(&c);
		}
	}
	for (int n = 2; n <= 16; n *= 2) {
		const ftl_dtype types[2] = {FTL_I64, FTL_I64};

		begin(&c, m, main, case_name(m->arena, "ramp", FTL_I64, n), 2, types, FTL_I64, n);
		result(&c, ftl_k_ramp(&c.b, operand(&c, 0, 1), operand(&c, 1, 1), n));
		end(&c);
	}
}

static void dots(ftl_kmodule *m, ftl_kb *main)
{
	const ftl_dtype types[3] = {FTL_I32, FTL_U8, FTL_I8};
	one c;

	for (int n = 1; n <= 16; n *= 2) {
		begin(&c, m, main, case_name(m->arena, "dot4", FTL_I32, n), 3, types, FTL_I32, n);
		result(&c, ftl_k_dot4(&c.b, operand(&c, 0, n), operand(&c, 1, 4 * n), operand(&c, 2, 4 * n)));
		end(&c);
	}
}

/* ---- memory ---- */

static void gathers(ftl_kmodule *m, ftl_kb *main)
{
	one c;

	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		const ftl_dtype types[2] = {(ftl_dtype)t, FTL_I64};

		for (int n = 4; n <= 16; n *= 2) {
			ftl_kv idx;

			begin(&c, m, main, case_name(m->arena, "gather", (ftl_dtype)t, n), 2, types, (ftl_dtype)t, n);
			idx = ftl_k2(&c.b, FTL_K_and, operand(&c, 1, n),
				     ftl_k_int(&c.b, FTL_KT(FTL_I64, n), KOP_ELEMS - 1));
			result(&c, ftl_k_load(&c.b, (ftl_dtype)t, c.in[0], idx, n));
			end(&c);
			begin(&c, m, main, case_name(m->arena, "strided", (ftl_dtype)t, n), 2, types, (ftl_dtype)t, n);
			idx = ftl_k_ramp(&c.b, c.grid, ftl_k_i64(&c.b, 17), n);
			result(&c, ftl_k_load(&c.b, (ftl_dtype)t, c.in[0], idx, n));
			end(&c);
			/* each piece writes its lanes backwards */
			begin(&c, m, main, case_name(m->arena, "scatter", (ftl_dtype)t, n), 2, types, (ftl_dtype)t, n);
			idx = ftl_k2(&c.b, FTL_K_add, scaled_grid(&c, n), ftl_k_i64(&c.b, n - 1));
			idx = ftl_k2(&c.b, FTL_K_sub, ftl_k_splat(&c.b, idx, n),
				     ftl_k_ramp(&c.b, ftl_k_i64(&c.b, 0), ftl_k_i64(&c.b, 1), n));
			ftl_k_store(&c.b, c.out, idx, operand(&c, 0, n));
			end(&c);
		}
	}
}

/* Piece g reads and writes g % (n + 1) of n lanes, from an odd address. */
static void partials(ftl_kmodule *m, ftl_kb *main)
{
	one c;

	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		const ftl_dtype type = (ftl_dtype)t;

		for (int n = 1; n <= 16; n *= 2) {
			ftl_kv x, count, at;

			begin(&c, m, main, case_name(m->arena, "loadn", type, n), 1, &type, type, n);
			count = ftl_k2(&c.b, FTL_K_rem, c.grid, ftl_k_i64(&c.b, n + 1));
			at = ftl_k2(&c.b, FTL_K_add, scaled_grid(&c, n), ftl_k_i64(&c.b, 1));
			x = ftl_k_loadn(&c.b, type, c.in[0], at, count, n);
			result(&c, x);
			end(&c);
			begin(&c, m, main, case_name(m->arena, "storen", type, n), 1, &type, type, n);
			count = ftl_k2(&c.b, FTL_K_rem, c.grid, ftl_k_i64(&c.b, n + 1));
			ftl_k_storen(&c.b, c.out, scaled_grid(&c, n), operand(&c, 0, n), count);
			end(&c);
		}
	}
}

static void moves(ftl_kmodule *m, ftl_kb *main)
{
	const ftl_dtype type = FTL_U8;
	one c;

	begin(&c, m, main, "copy_part", 1, &type, type, 64);
	ftl_k_copy(&c.b, ftl_k_offset(&c.b, c.out, scaled_grid(&c, 64)),
		   ftl_k_offset(&c.b, c.in[0], scaled_grid(&c, 3)),
		   ftl_k2(&c.b, FTL_K_mul, c.grid, ftl_k_i64(&c.b, 4)));
	end(&c);
	begin(&c, m, main, "zero_part", 1, &type, type, 64);
	ftl_k_prefetch(&c.b, c.in[0], scaled_grid(&c, 64));
	ftl_k_zero(&c.b, ftl_k_offset(&c.b, c.out, scaled_grid(&c, 64)), c.grid);
	end(&c);
	/* in place: the same memory as source and destination of overlapping vectors within one piece */
	begin(&c, m, main, "in_place", 1, &type, type, 64);
	ftl_k_store(&c.b, c.out, scaled_grid(&c, 64), operand(&c, 0, 32));
	ftl_k_store(&c.b, c.out, ftl_k2(&c.b, FTL_K_add, scaled_grid(&c, 64), ftl_k_i64(&c.b, 5)),
		    ftl_k_load(&c.b, type, c.out, scaled_grid(&c, 64), 16));
	end(&c);
}

/* ---- the list ---- */

static bool is_elementwise(ftl_kop op)
{
	return ftl_kop_get(op)->rule == K_RULE_SAME || ftl_kop_get(op)->rule == K_RULE_CMP;
}

static size_t elementwise_ops(void)
{
	size_t n = 0;

	for (int op = 1; op < FTL_K_COUNT; op++)
		n += is_elementwise((ftl_kop)op);
	return n;
}

enum special { BY_CONSTANTS, SELECTS, REDUCTIONS, SHUFFLES, DOTS, GATHERS, PARTIALS, MOVES, SPECIALS };

size_t kop_modules(void)
{
	return elementwise_ops() + (FTL_DTYPE_LOW - 1) + SPECIALS + kop_flow_modules();
}

static void special(ftl_kmodule *m, ftl_kb *main, enum special s, const kop_backend *be)
{
	switch (s) {
	case BY_CONSTANTS: by_constants(m, main); break;
	case SELECTS: selects(m, main, be); break;
	case REDUCTIONS: reductions(m, main); break;
	case SHUFFLES: shuffles(m, main); break;
	case DOTS: dots(m, main); break;
	case GATHERS: gathers(m, main); break;
	case PARTIALS: partials(m, main); break;
	case MOVES:
	case SPECIALS: moves(m, main); break;
	}
}

static ftl_kmodule *build(ftl_arena *arena, size_t i, const kop_backend *be)
{
	static const char *const names[] = {"by_constants", "selects", "reductions", "shuffles",
					    "dots",         "gathers", "partials",   "moves"};
	ftl_kmodule *m;
	ftl_kb main;

	for (int op = 1; op < FTL_K_COUNT; op++) {
		if (!is_elementwise((ftl_kop)op) || i-- > 0)
			continue;
		m = kop_new(arena, ftl_kop_get((ftl_kop)op)->name, &main);
		elementwise(m, &main, (ftl_kop)op, be);
		kop_finish(m, &main);
		return m;
	}
	if (i < FTL_DTYPE_LOW - 1) {
		m = kop_new(arena, ftl_arena_printf(arena, "cast_%s", ftl_dtype_name((ftl_dtype)(i + 1))), &main);
		casts(m, &main, (ftl_dtype)(i + 1), be);
		kop_finish(m, &main);
		return m;
	}
	i -= FTL_DTYPE_LOW - 1;
	if (i >= SPECIALS)
		return kop_flow_module(arena, i - SPECIALS);
	m = kop_new(arena, names[i], &main);
	special(m, &main, (enum special)i, be);
	kop_finish(m, &main);
	return m;
}

ftl_kmodule *kop_module(ftl_arena *arena, size_t i, const kop_backend *be, ftl_diag *d)
{
	size_t n = elementwise_ops() + (FTL_DTYPE_LOW - 1) + SPECIALS;
	ftl_kmodule *m = i < n ? build(arena, i, be) : kop_flow_module(arena, i - n);

	m->vector_bytes = 64;
	if (ftl_kmodule_plan(m, d) != FTL_OK || ftl_kmodule_verify(m, d) != FTL_OK)
		return NULL;
	return m;
}

/* ---- data ---- */

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s * UINT64_C(0x2545f4914f6cdd1d);
}

static double random_float(uint64_t *s, ftl_dtype t)
{
	static const double specials[] = {0,      -0.0,  1,     -1,           0.5,           -0.5,         1.5,
					  2.5,    -2.5,  1e-40, -1e-40,       1e30,          127.5,        -128.5,
					  255.49, 65504, 65520, 2147483648.0, -2147483649.0, 4294967296.0, 9.3e18,
					  1.9e19, 1e300, 6e-8,  3e-8};
	uint64_t r = next_random(s);
	double u = (double)(next_random(s) >> 11) * 0x1p-53;

	FTL_UNUSED(t);
	switch (r % 8) {
	case 0:
		return r >> 8 & 31   ? specials[(r >> 16) % FTL_COUNT(specials)]
		       : r >> 13 & 1 ? NAN
		       : r >> 14 & 1 ? INFINITY
				     : -INFINITY;
	case 1:
	case 2: return ldexp(2 * u - 1, (int)(r >> 8 & 63) - 32);
	case 3: return u;
	default: return 8 * u - 4;
	}
}

static int64_t random_int(uint64_t *s)
{
	uint64_t r = next_random(s), v = next_random(s);

	switch (r % 8) {
	case 0: return 0;
	case 1: return r >> 8 & 1 ? INT64_MIN : -1;
	case 2: return (int64_t)(UINT64_MAX << (r >> 8 & 63));
	case 3:
	case 4: return (int64_t)(v % 67) - 3;
	default: return (int64_t)v >> (r >> 8 & 63);
	}
}

static void fill(ftl_dtype t, void *data, size_t n, uint64_t seed)
{
	uint64_t s = seed * 2654435761u + 88172645463325252u;

	for (size_t i = 0; i < n; i++) {
		if (ftl_dtype_is_float(t)) {
			double v = random_float(&s, t);

			if (t == FTL_F32)
				((float *)data)[i] = (float)v;
			else if (t == FTL_F64)
				((double *)data)[i] = v;
			else /* any bits: subnormals, infinities and NaNs are among them */
				((uint16_t *)data)[i] = (uint16_t)next_random(&s);
		} else if (t == FTL_BOOL) {
			((uint8_t *)data)[i] = next_random(&s) >> 40 & 1;
		} else {
			int64_t v = random_int(&s);

			memcpy((char *)data + i * ftl_dtype_bytes(t), &v, ftl_dtype_bytes(t));
		}
	}
}

/* ---- comparing ---- */

static double as_float(ftl_dtype t, const void *p)
{
	float f;
	double d;
	uint16_t h;

	if (t == FTL_F64) {
		memcpy(&d, p, sizeof d);
		return d;
	}
	if (t == FTL_F32) {
		memcpy(&f, p, sizeof f);
		return (double)f;
	}
	memcpy(&h, p, sizeof h);
	return (double)(t == FTL_F16 ? ftl_f16_to_f32(h) : ftl_bf16_to_f32(h));
}

static bool same(ftl_dtype t, const void *x, const void *y, bool close)
{
	double a, b;

	if (memcmp(x, y, ftl_dtype_bytes(t)) == 0)
		return true;
	if (!ftl_dtype_is_float(t))
		return false;
	a = as_float(t, x);
	b = as_float(t, y);
	if (isnan(a) || isnan(b))
		return isnan(a) && isnan(b);
	if (a == b) /* zeros of either sign: min and max may return either */
		return true;
	return close &&
	       fabs(a - b) <= (t == FTL_F64 ? 0x1p-50 : 0x1p-21) * fmax(fabs(a), t == FTL_F64 ? 0x1p-1022 : 0x1p-126);
}

static void say(char *why, size_t n, const ftl_kmodule *m, uint32_t k, ftl_dtype t, int64_t i, const uint8_t *want,
		const uint8_t *got)
{
	int at = snprintf(why, n, "%s: %s[%lld]: want", m->name, m->outputs.v[k].name, (long long)i);

	for (int side = 0; side < 2 && at > 0 && (size_t)at < n; side++) {
		const uint8_t *p = side ? got : want;
		uint64_t bits = 0;

		memcpy(&bits, p, ftl_dtype_bytes(t));
		at += snprintf(why + at, n - (size_t)at, " 0x%llx", (unsigned long long)bits);
		if (ftl_dtype_is_float(t) && (size_t)at < n)
			at += snprintf(why + at, n - (size_t)at, " (%.17g)", as_float(t, p));
		if (!side && (size_t)at < n)
			at += snprintf(why + at, n - (size_t)at, ", got");
	}
}

static bool compare(const ftl_kmodule *m, const ftl_karg_tensor *want, const ftl_karg_tensor *got, bool close,
		    char *why, size_t n)
{
	for (uint32_t k = 0; k < m->outputs.n; k++) {
		ftl_dtype t = m->outputs.v[k].type.dtype;
		size_t size = ftl_dtype_bytes(t);

		if (want[k].dims[0] != got[k].dims[0]) {
			snprintf(why, n, "%s: %s has %lld elements, not %lld", m->name, m->outputs.v[k].name,
				 (long long)got[k].dims[0], (long long)want[k].dims[0]);
			return false;
		}
		for (int64_t i = 0; i < want[k].dims[0]; i++) {
			const uint8_t *x = (const uint8_t *)want[k].data + (size_t)i * size;
			const uint8_t *y = (const uint8_t *)got[k].data + (size_t)i * size;

			if (!same(t, x, y, close)) {
				say(why, n, m, k, t, i, x, y);
				return false;
			}
		}
	}
	return true;
}

static ftl_karg_tensor *outputs(ftl_arena *arena, const ftl_kmodule *m)
{
	ftl_karg_tensor *out = FTL_NEW_N(arena, ftl_karg_tensor, m->outputs.n + 1);
	int64_t n = 0;

	for (uint32_t k = 0; k < m->outputs.n; k++) {
		const ftl_type *t = &m->outputs.v[k].type;

		if (!ftl_dim_is_const(m->st, t->dims[0], &n))
			n = KOP_ELEMS;
		out[k].bytes = (size_t)n * ftl_dtype_bytes(t->dtype);
		out[k].data = ftl_arena_alloc(arena, out[k].bytes + 1);
		memset(out[k].data, 0x25, out[k].bytes);
	}
	return out;
}

static bool has_lanes(const ftl_kmodule *m)
{
	for (uint32_t k = 0; k < m->kernels.n; k++) {
		for (ftl_kv v = 1; v < m->kernels.v[k]->inst.n; v++) {
			if (ftl_ktype_of(m->kernels.v[k], v).lanes > 1)
				return true;
		}
	}
	return false;
}

static bool check_in(ftl_arena *arena, size_t i, const kop_backend *be, char *why, size_t n)
{
	ftl_diag d = {0}, di = {0};
	ftl_kmodule *m = kop_module(arena, i, be, &d);
	ftl_karg_tensor *in, *want, *got;
	bool libm;
	ftl_status_code a, b;

	if (!m) {
		snprintf(why, n, "module %zu: %s", i, d.text);
		return false;
	}
	if (be->scalar && has_lanes(m))
		return true;
	in = FTL_NEW_N(arena, ftl_karg_tensor, m->inputs.n + 1);
	for (uint32_t k = 0; k < m->inputs.n; k++) {
		ftl_dtype t = m->inputs.v[k].type.dtype;

		in[k].dims[0] = KOP_ELEMS;
		in[k].bytes = KOP_ELEMS * ftl_dtype_bytes(t);
		in[k].data = ftl_arena_alloc(arena, in[k].bytes);
		fill(t, in[k].data, KOP_ELEMS, k + 1);
	}
	want = outputs(arena, m);
	got = outputs(arena, m);
	a = ftl_kmodule_interpret(m, arena, in, want, &di);
	b = be->exec(be->user, m, arena, in, got, &d);
	if (a != b) {
		snprintf(why, n, "%s: interpreter says %d %s, backend says %d %s", m->name, a, di.text, b, d.text);
		return false;
	}
	libm = false;
	for (int op = FTL_K_exp; op <= FTL_K_pow; op++)
		libm |= strcmp(ftl_kop_get((ftl_kop)op)->name, m->name) == 0;
	return a != FTL_OK || compare(m, want, got, be->math_close && libm, why, n);
}

bool kop_check(size_t i, const kop_backend *be, char *why, size_t n)
{
	ftl_arena arena;
	ftl_landing pad;
	bool ok;

	ftl_arena_init(&arena, NULL, &pad, 0);
	if (setjmp(pad.jump)) {
		snprintf(why, n, "out of memory");
		ftl_arena_free(&arena);
		return false;
	}
	ok = check_in(&arena, i, be, why, n);
	ftl_arena_free(&arena);
	return ok;
}
