#include "exec.h"

#include <math.h>

/* splitmix64: good bits from any seed, the same everywhere */
uint64_t exec_bits(exec_rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint32_t exec_below(exec_rng *r, uint32_t n)
{
	return n ? (uint32_t)((exec_bits(r) >> 32) * n >> 32) : 0;
}

bool exec_chance(exec_rng *r, int percent)
{
	return (int)exec_below(r, 100) < percent;
}

double exec_real(exec_rng *r, double lo, double hi)
{
	return lo + (hi - lo) * ((double)(exec_bits(r) >> 11) * 0x1p-53);
}

static double wild(exec_rng *r, ftl_dtype t)
{
	static const double list[] = {0.0, -0.0, 1,   -1,   2,    0.5, INFINITY, -INFINITY,
				      NAN, 88.5, -90, 1e-3, 1000, -3,  6,        3};
	double small = t == FTL_F64   ? 5e-320
		       : t == FTL_F16 ? 3e-7
				      : 1e-41,
	       large = t == FTL_F64   ? 1e300
		       : t == FTL_F16 ? 6e4
				      : 3e38;

	switch (exec_below(r, 4)) {
	case 0: return list[exec_below(r, FTL_COUNT(list))];
	case 1: return exec_chance(r, 70) ? exec_real(r, -8, 8) : (exec_chance(r, 50) ? small : -large);
	default: return exec_real(r, -4, 4);
	}
}

static int64_t wild_int(exec_rng *r, ftl_dtype t)
{
	unsigned bits = ftl_dtype_bits(t);
	int64_t top = bits == 64 ? INT64_MAX : ((int64_t)1 << (bits - ftl_dtype_is_signed(t))) - 1;

	switch (exec_below(r, 6)) {
	case 0: return top;
	case 1: return ftl_dtype_is_signed(t) ? -top - 1 : 0;
	case 2: return (int64_t)exec_bits(r);
	default: return (int64_t)exec_below(r, 13) - 6;
	}
}

void exec_fill(exec_rng *r, exec_data kind, ftl_dtype t, void *data, size_t n)
{
	size_t size = ftl_dtype_bytes(t);

	for (size_t i = 0; i < n; i++) {
		int64_t v;

		if (ftl_dtype_is_float(t)) {
			double x = exec_real(r, 0.05, 4);

			ftl_elem_set(t, data, i, kind == EXEC_WILD ? wild(r, t) : exec_chance(r, 50) ? x : -x);
			continue;
		}
		v = kind == EXEC_WILD ? wild_int(r, t) : (int64_t)exec_below(r, 9) - (ftl_dtype_is_signed(t) ? 4 : 0);
		if (t == FTL_BOOL)
			v &= 1;
		memcpy((char *)data + i * size, &v, size); /* little endian */
	}
}

struct symbols {
	const ftl_symtab *st;
	uint64_t seed;
};

static bool symbol_value(void *user, ftl_dim sym, int64_t *v)
{
	const struct symbols *s = user;
	const char *name = ftl_dim_get(s->st, sym)->name;

	*v = 1 + (int64_t)(ftl_hash(name, strlen(name), s->seed) % 5);
	if (*v < ftl_dim_lo(s->st, sym))
		*v = ftl_dim_lo(s->st, sym);
	if (*v > ftl_dim_hi(s->st, sym))
		*v = ftl_dim_hi(s->st, sym);
	return true;
}

ftl_karg_tensor *exec_inputs(ftl_arena *a, const ftl_graph *g, uint64_t seed, exec_data kind)
{
	const ftl_region *body = ftl_region_get(g, g->body);
	ftl_karg_tensor *in = FTL_NEW_N(a, ftl_karg_tensor, (size_t)body->params.n + 1);
	struct symbols s = {g->st, seed};
	exec_rng r = {seed};

	for (uint32_t k = 0; k < body->params.n; k++) {
		const ftl_type *t = ftl_type_of(g, body->params.v[k]);
		size_t n = 1;

		for (int i = 0; i < t->rank; i++) {
			int64_t v = 1;

			ftl_dim_eval(g->st, t->dims[i], symbol_value, &s, &v);
			in[k].dims[i] = v;
			n *= (size_t)v;
		}
		in[k].bytes = n * ftl_dtype_bytes(t->dtype);
		in[k].data = ftl_arena_alloc(a, in[k].bytes ? in[k].bytes : 1);
		exec_fill(&r, kind, t->dtype, in[k].data, n);
	}
	return in;
}

ftl_status exec_run(ftl_arena *a, const ftl_graph *g, const ftl_karg_tensor *in, bool fuse, ftl_diag *d,
		    exec_result *out)
{
	ftl_lower_options o = {.no_fuse = !fuse};
	ftl_karg_tensor *res;
	ftl_kmodule *m;

	FTL_TRY(ftl_lower(a, g, &o, d, &m));
	res = FTL_NEW_N(a, ftl_karg_tensor, (size_t)m->outputs.n + 1);
	FTL_TRY(ftl_kmodule_interpret(m, a, in, res, d));
	out->n = m->outputs.n;
	out->out = FTL_NEW_N(a, exec_tensor, (size_t)out->n + 1);
	for (uint32_t k = 0; k < out->n; k++) {
		const ftl_type *t = &m->outputs.v[k].type;

		out->out[k] = (exec_tensor){.dtype = t->dtype, .rank = t->rank, .n = 1, .data = res[k].data};
		for (int i = 0; i < t->rank; i++) {
			out->out[k].dims[i] = res[k].dims[i];
			out->out[k].n *= (size_t)res[k].dims[i];
		}
	}
	return FTL_OK;
}

/* How much coarser than f32 a type is. */
static double coarseness(ftl_dtype t)
{
	return t == FTL_F64 ? 1e-6 : t == FTL_F16 ? 0x1p13 : t == FTL_BF16 ? 0x1p16 : 1;
}

static bool same_element(const exec_tensor *x, const exec_tensor *y, size_t i, double slack, double floor, bool tame)
{
	double a, b;

	if (!ftl_dtype_is_float(x->dtype))
		return ftl_elem_get_i64(x->dtype, x->data, i) == ftl_elem_get_i64(y->dtype, y->data, i);
	a = ftl_elem_get(x->dtype, x->data, i);
	b = ftl_elem_get(y->dtype, y->data, i);
	if (tame && !isfinite(a))
		return true;
	if (isnan(a) || isnan(b))
		return isnan(a) && isnan(b);
	return a == b || (isfinite(a) && isfinite(b) && fabs(a - b) <= slack * fmax(fmax(fabs(a), fabs(b)), floor));
}

const char *exec_compare(ftl_arena *a, const exec_result *before, const exec_result *after, double tolerance, bool tame)
{
	if (before->n != after->n)
		return "the number of results differs";
	for (uint32_t k = 0; k < before->n; k++) {
		const exec_tensor *x = &before->out[k], *y = &after->out[k];
		double top = 0, slack = tolerance * coarseness(x->dtype);

		if (x->dtype != y->dtype || x->rank != y->rank || memcmp(x->dims, y->dims, sizeof x->dims) != 0)
			return ftl_arena_printf(a, "result %u has another type or shape", k);
		for (size_t i = 0; tolerance > 0 && i < x->n; i++) {
			double v = fabs(ftl_elem_get(x->dtype, x->data, i));

			if (isfinite(v) && v > top)
				top = v;
		}
		for (size_t i = 0; i < x->n; i++)
			if (!same_element(x, y, i, slack, fmax(top / 10, 1.0 / 16), tame))
				return ftl_arena_printf(a, "result %u, element %zu of %zu: %.9g became %.9g", k, i,
							x->n, ftl_elem_get(x->dtype, x->data, i),
							ftl_elem_get(y->dtype, y->data, i));
	}
	return NULL;
}
