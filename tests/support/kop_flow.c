/* Hand-written modules for kop_cases.h: control flow in kernels and in the program, memory from the plan and the hooks,
 * errors. */
#include "kop_cases.h"

#define N 256

typedef struct kernel {
	ftl_kb b;
	ftl_kv p[4];
} kernel;

static kernel kernel_new(ftl_kmodule *m, const char *name, const ftl_ktype *params, int n)
{
	kernel k;

	ftl_kb_init(&k.b, m->arena, ftl_kfunc_new(m->arena, name, false));
	for (int i = 0; i < n; i++)
		k.p[i] = ftl_kb_param(&k.b, params[i]);
	ftl_vec_push(m->arena, &m->kernels, k.b.f);
	return k;
}

static ftl_kv i64(ftl_kb *b, int64_t v)
{
	return ftl_k_i64(b, v);
}

/* out[g] = sum over nested loops of x, leaving early, skipping some. */
static void loops(ftl_kmodule *m, ftl_kb *main)
{
	const ftl_ktype params[] = {FTL_KT_PTR, FTL_KT_PTR, FTL_KT_I64};
	kernel k = kernel_new(m, "loops", params, 3);
	ftl_kb *b = &k.b;
	ftl_kv g = ftl_k_grid(b), sum = ftl_k_var(b, ftl_k_int(b, FTL_KT(FTL_I32, 1), 7)), n, x, args[3];
	ftl_kv steps = ftl_k_var(b, i64(b, 0));
	ftl_kscope outer, inner, cond, spin;

	outer = ftl_k_for(b, i64(b, 0), ftl_k2(b, FTL_K_add, g, k.p[2]), 3);
	inner = ftl_k_for(b, outer.index, i64(b, 40), 1);
	x = ftl_k_load(b, FTL_I32, k.p[0], ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, g, i64(b, 8)), inner.index), 1);
	ftl_k_break(b, ftl_k2(b, FTL_K_eq, ftl_k2(b, FTL_K_and, x, ftl_k_int(b, FTL_KT(FTL_I32, 1), 31)),
			      ftl_k_int(b, FTL_KT(FTL_I32, 1), 5)));
	cond = ftl_k_if(b, ftl_k2(b, FTL_K_lt, x, ftl_k_int(b, FTL_KT(FTL_I32, 1), 0)));
	ftl_k_set(b, sum, ftl_k2(b, FTL_K_xor, ftl_k_get(b, sum), x));
	ftl_k_else(b, &cond);
	ftl_k_set(b, sum, ftl_k2(b, FTL_K_add, ftl_k_get(b, sum), x));
	ftl_k_end(b, &cond);
	ftl_k_end(b, &inner);
	ftl_k_end(b, &outer);
	/* collatz, to have a loop that only a break ends */
	n = ftl_k_var(b, ftl_k2(b, FTL_K_add, g, i64(b, 1)));
	spin = ftl_k_loop(b);
	ftl_k_break(b, ftl_k2(b, FTL_K_le, ftl_k_get(b, n), i64(b, 1)));
	cond = ftl_k_if(b, ftl_k2(b, FTL_K_eq, ftl_k2(b, FTL_K_and, ftl_k_get(b, n), i64(b, 1)), i64(b, 0)));
	ftl_k_set(b, n, ftl_k2(b, FTL_K_div, ftl_k_get(b, n), i64(b, 2)));
	ftl_k_else(b, &cond);
	ftl_k_set(b, n, ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, ftl_k_get(b, n), i64(b, 3)), i64(b, 1)));
	ftl_k_end(b, &cond);
	ftl_k_set(b, steps, ftl_k2(b, FTL_K_add, ftl_k_get(b, steps), i64(b, 1)));
	ftl_k_end(b, &spin);
	x = ftl_k2(b, FTL_K_add, ftl_k_get(b, sum), ftl_k_cast(b, ftl_k_get(b, steps), FTL_I32));
	ftl_k_store(b, k.p[1], g, x);
	args[0] = ftl_k_in_ptr(main, kop_input(FTL_I32, 0));
	args[1] = kop_output(m, main, "sums", FTL_I32, 64);
	args[2] = i64(main, 11);
	ftl_k_launch(main, 0, i64(main, 64), args, 3, 1000);
	ftl_k_launch(main, 0, i64(main, 0), args, 3, 1000);
}

/* A small matrix product with its accumulators in variables, the k loop marked for unrolling. */
static void tile(ftl_kmodule *m, ftl_kb *main)
{
	const ftl_ktype params[] = {FTL_KT_PTR, FTL_KT_PTR, FTL_KT_PTR};
	const ftl_ktype v = FTL_KT(FTL_I32, 8);
	kernel k = kernel_new(m, "tile", params, 3);
	ftl_kb *b = &k.b;
	ftl_kv acc[4], x, y, args[3];
	ftl_kscope s;

	for (int i = 0; i < 4; i++)
		acc[i] = ftl_k_var(b, ftl_k_int(b, v, i));
	s = ftl_k_for(b, i64(b, 0), i64(b, 16), 1);
	ftl_kinst_get(b->f, s.inst)->imm = FTL_LOOP_UNROLL;
	y = ftl_k_load(b, FTL_I32, k.p[1], ftl_k2(b, FTL_K_mul, s.index, i64(b, 8)), 8);
	for (int i = 0; i < 4; i++) {
		x = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, ftl_k_grid(b), i64(b, 64)), i64(b, i * 16));
		x = ftl_k_splat(b, ftl_k_load(b, FTL_I32, k.p[0], ftl_k2(b, FTL_K_add, x, s.index), 1), 8);
		ftl_k_set(b, acc[i], ftl_k_fma(b, x, y, ftl_k_get(b, acc[i])));
	}
	ftl_k_end(b, &s);
	for (int i = 0; i < 4; i++) {
		x = ftl_k2(b, FTL_K_add, ftl_k2(b, FTL_K_mul, ftl_k_grid(b), i64(b, 32)), i64(b, i * 8));
		ftl_k_store(b, k.p[2], x, ftl_k_get(b, acc[i]));
	}
	args[0] = ftl_k_in_ptr(main, kop_input(FTL_I32, 0));
	args[1] = ftl_k_in_ptr(main, kop_input(FTL_I32, 1));
	args[2] = kop_output(m, main, "c", FTL_I32, 256);
	ftl_k_launch(main, 0, i64(main, 8), args, 3, 1000);
}

/* The kernel add(a, b, out): out = a + b, i32, one vector of 4 per piece. */
static void adder(ftl_kmodule *m)
{
	const ftl_ktype params[] = {FTL_KT_PTR, FTL_KT_PTR, FTL_KT_PTR};
	kernel k = kernel_new(m, "add", params, 3);
	ftl_kb *b = &k.b;
	ftl_kv at = ftl_k2(b, FTL_K_mul, ftl_k_grid(b), i64(b, 4));

	ftl_k_store(b, k.p[2], at,
		    ftl_k2(b, FTL_K_add, ftl_k_load(b, FTL_I32, k.p[0], at, 4), ftl_k_load(b, FTL_I32, k.p[1], at, 4)));
}

static uint32_t new_buf(ftl_kmodule *m, int64_t bytes)
{
	ftl_kbuf buf = {.bytes = ftl_dim_const(m->st, bytes)};

	ftl_vec_push(m->arena, &m->bufs, buf);
	return m->bufs.n - 1;
}

/* Planned buffers, a blob, hook memory, a loop and a branch around launches, in place. */
static void program(ftl_kmodule *m, ftl_kb *main)
{
	int32_t *data = ftl_arena_alloc(m->arena, N * sizeof *data);
	ftl_blob *blob = FTL_NEW(m->arena, ftl_blob);
	ftl_kv x, y, tmp, heap, blob_ptr, out, dim, args[3];
	ftl_kscope s, cond;

	for (int i = 0; i < N; i++)
		data[i] = i * 1000003;
	*blob = (ftl_blob){.data = data, .bytes = N * sizeof *data};
	adder(m);
	x = ftl_k_in_ptr(main, kop_input(FTL_I32, 0));
	y = ftl_k_in_ptr(main, kop_input(FTL_I32, 1));
	blob_ptr = ftl_k_blob(main, ftl_kmodule_blob(m, blob));
	tmp = ftl_k_buf(main, new_buf(m, N * 4));
	args[0] = x;
	args[1] = blob_ptr;
	args[2] = tmp;
	ftl_k_launch(main, 0, i64(main, N / 4), args, 3, 8);
	out = kop_output(m, main, "sum", FTL_I32, N);
	heap = ftl_k_alloc(main, i64(main, N * 4));
	ftl_k_copy(main, heap, tmp, i64(main, N * 4));
	dim = ftl_k_in_dim(main, kop_input(FTL_I32, 0), 0);
	s = ftl_k_for(main, i64(main, 0), ftl_k2(main, FTL_K_div, dim, i64(main, 512)), 1);
	args[0] = args[2] = heap;
	args[1] = y;
	cond = ftl_k_if(main, ftl_k2(main, FTL_K_lt, s.index, i64(main, 3)));
	ftl_k_launch(main, 0, i64(main, N / 4), args, 3, 8);
	ftl_k_else(main, &cond);
	args[0] = tmp;
	args[1] = heap;
	args[2] = tmp;
	ftl_k_launch(main, 0, i64(main, N / 8), args, 3, 8);
	ftl_k_end(main, &cond);
	ftl_k_end(main, &s);
	args[0] = tmp;
	args[1] = heap;
	args[2] = out;
	ftl_k_launch(main, 0, i64(main, N / 4), args, 3, 8);
	ftl_k_free(main, heap);
	main->f->result = 0;
}

/* An output whose size the data decides: how many of the first 64 are negative. */
static void dynamic(ftl_kmodule *m, ftl_kb *main)
{
	ftl_dim *n = FTL_NEW(m->arena, ftl_dim);
	ftl_kio io = {.name = "count", .type = {.dtype = FTL_U8, .rank = 1, .dims = n}};
	ftl_kv x = ftl_k_in_ptr(main, kop_input(FTL_I8, 0)), count = ftl_k_var(main, i64(main, 0)), v;
	ftl_kscope s, cond;

	*n = ftl_dim_fresh(m->st, "n");
	ftl_dim_set_bounds(m->st, *n, 0, 64);
	ftl_vec_push(m->arena, &m->outputs, io);
	s = ftl_k_for(main, i64(main, 0), i64(main, 64), 1);
	v = ftl_k_load(main, FTL_I8, x, s.index, 1);
	cond = ftl_k_if(main, ftl_k2(main, FTL_K_lt, v, ftl_k_int(main, FTL_KT(FTL_I8, 1), 0)));
	ftl_k_set(main, count, ftl_k2(main, FTL_K_add, ftl_k_get(main, count), i64(main, 1)));
	ftl_k_end(main, &cond);
	ftl_k_end(main, &s);
	v = ftl_k_get(main, count);
	ftl_k_out_dim(main, 0, 0, v);
	ftl_k_zero(main, ftl_k_out_ptr(main, 0, v), v);
}

static void kernel_error(ftl_kmodule *m, ftl_kb *main)
{
	const ftl_ktype params[] = {FTL_KT_PTR};
	kernel k = kernel_new(m, "guard", params, 1);
	ftl_kv out = kop_output(m, main, "out", FTL_I64, 64);

	ftl_k_check(&k.b, ftl_k2(&k.b, FTL_K_lt, ftl_k_grid(&k.b), i64(&k.b, 40)),
		    ftl_kmodule_msg(m, "piece %d is too many", 40));
	ftl_k_store(&k.b, k.p[0], ftl_k_grid(&k.b), ftl_k_grid(&k.b));
	ftl_k_launch(main, 0, i64(main, 64), &out, 1, 8);
}

static void program_error(ftl_kmodule *m, ftl_kb *main)
{
	ftl_kv dim = ftl_k_in_dim(main, kop_input(FTL_F32, 0), 0);

	kop_output(m, main, "out", FTL_I64, 64);
	ftl_k_check(main, ftl_k2(main, FTL_K_eq, dim, i64(main, 5)), ftl_kmodule_msg(m, "axis 0 must be 5"));
}

static const struct {
	const char *name;
	void (*build)(ftl_kmodule *m, ftl_kb *main);
} flows[] = {
	{"loops", loops},
	{"tile", tile},
	{"program", program},
	{"dynamic", dynamic},
	{"kernel_error", kernel_error},
	{"program_error", program_error},
};

size_t kop_flow_modules(void)
{
	return FTL_COUNT(flows);
}

ftl_kmodule *kop_flow_module(ftl_arena *arena, size_t i)
{
	ftl_kb main;
	ftl_kmodule *m = kop_new(arena, flows[i].name, &main);

	flows[i].build(m, &main);
	kop_finish(m, &main);
	return m;
}
