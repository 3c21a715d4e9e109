/* See lower_cases.h. */
#include "lower_cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_IO = 8 };

int lower_setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	*state = f;
	ftl_arena_init(&f->arena, NULL, &f->landing, 0);
	return 0;
}

int lower_teardown(void **state)
{
	struct fix *f = *state;

	ftl_arena_free(&f->arena);
	free(f);
	return 0;
}

/* ---- inputs ---- */

static const struct {
	const char *name;
	int64_t size;
} symbols[] = {{"a", 3}, {"b", 5}, {"c", 7}, {"d", 37}, {"one", 1}, {"two", 2}, {"zero", 0}, {"k", 4}};

static bool symbol_size(void *user, ftl_dim sym, int64_t *v)
{
	const char *name = ftl_dim_get(user, sym)->name;

	for (size_t i = 0; i < FTL_COUNT(symbols); i++) {
		if (strcmp(symbols[i].name, name) != 0)
			continue;
		*v = symbols[i].size;
		return true;
	}
	return false;
}

static uint32_t next_random(uint64_t *s)
{
	*s = *s * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*s >> 33);
}

static const char *const words[] = {
	"", "a", "b", "a b", " a  b c ", "12", "-3.5", "caf\xc3\xa9", "longer than most of them"};

static ftl_karg_tensor make_input(struct fix *f, const ftl_kio *io, ftl_symtab *st, const char **ints, uint64_t *seed)
{
	ftl_karg_tensor t = {0};
	int64_t n = 1;

	for (int d = 0; d < io->type.rank; d++) {
		if (!ftl_dim_eval(st, io->type.dims[d], symbol_size, st, &t.dims[d]))
			fail_msg("input %s has a symbol without a size", io->name);
		n *= t.dims[d];
	}
	t.bytes = (size_t)n * ftl_dtype_bytes(io->type.dtype);
	t.data = ftl_arena_alloc(&f->arena, t.bytes + 16);
	for (int64_t i = 0; i < n && io->type.dtype == FTL_STRING; i++)
		((const char **)t.data)[i] = words[next_random(seed) % FTL_COUNT(words)];
	for (int64_t i = 0; i < n && io->type.dtype != FTL_STRING; i++) {
		double v = (double)(next_random(seed) % 4096) / 1024.0 - 2;

		if (io->type.dtype == FTL_BOOL) {
			v = v > 0;
		} else if (!ftl_dtype_is_float(io->type.dtype)) {
			char *end;

			v = ftl_dtype_is_signed(io->type.dtype) ? floor(v * 4) : floor((v + 2) * 4);
			if (*ints) {
				v = (double)strtoll(*ints, &end, 10);
				*ints = *end == ',' ? end + 1 : end;
			}
		}
		ftl_elem_set(io->type.dtype, t.data, (size_t)i, v);
	}
	return t;
}

/* ---- running ---- */

typedef struct results {
	uint32_t n;
	ftl_karg_tensor t[MAX_IO];
	ftl_dtype dtype[MAX_IO];
	int64_t count[MAX_IO];
} results;

static ftl_status_code execute(struct fix *f, const sample *c, const char *target, bool no_fuse, results *out)
{
	ftl_lower_options o = {.target = ftl_target_find(target), .no_fuse = no_fuse};
	ftl_karg_tensor in[MAX_IO];
	const char *ints = c->ints;
	uint64_t seed = 11;
	ftl_kmodule *m = NULL;
	ftl_graph *g = NULL;
	ftl_status_code s;
	const char *text = ftl_arena_printf(&f->arena, "func @f(%s) -> (%s) {\n%s\n return %s\n}\n", c->params,
					    c->results, c->body, c->ret ? c->ret : "%y");

	ftl_diag_clear(&f->diag);
	memset(out, 0, sizeof *out);
	if (ftl_parse(&f->arena, text, strlen(text), NULL, &f->diag, &g) != FTL_OK ||
	    ftl_lower(&f->arena, g, &o, &f->diag, &m) != FTL_OK)
		fail_msg("%s (%s): %s", c->name, target, f->diag.text);
	assert_true(m->inputs.n <= MAX_IO && m->outputs.n <= MAX_IO);
	for (uint32_t i = 0; i < m->inputs.n; i++)
		in[i] = make_input(f, &m->inputs.v[i], m->st, &ints, &seed);
	s = ftl_kmodule_interpret(m, &f->arena, in, out->t, &f->diag);
	if (s != FTL_OK)
		return s;
	out->n = m->outputs.n;
	for (uint32_t i = 0; i < out->n; i++) {
		out->dtype[i] = m->outputs.v[i].type.dtype;
		out->count[i] = 1;
		for (int d = 0; d < m->outputs.v[i].type.rank; d++)
			out->count[i] *= out->t[i].dims[d];
	}
	return FTL_OK;
}

static bool close_to(ftl_dtype t, double x, double y)
{
	double eps = t == FTL_F64 ? 1e-11 : t == FTL_F16 ? 2e-3 : t == FTL_BF16 ? 1.6e-2 : 2e-5;

	if (isnan(x) || isnan(y))
		return isnan(x) && isnan(y);
	return x == y || (ftl_dtype_is_float(t) && fabs(x - y) <= eps * (1 + fabs(y)));
}

static void same(const sample *c, const char *target, bool no_fuse, const results *x, const results *y)
{
	assert_int_equal(x->n, y->n);
	for (uint32_t i = 0; i < x->n; i++) {
		if (memcmp(x->t[i].dims, y->t[i].dims, sizeof x->t[i].dims) != 0)
			fail_msg("%s (%s%s): output %u has another shape", c->name, target, no_fuse ? "" : ", fused",
				 i);
		for (int64_t e = 0; e < x->count[i]; e++) {
			if (x->dtype[i] == FTL_STRING) {
				const char *s = ((const char *const *)x->t[i].data)[e],
					   *z = ((const char *const *)y->t[i].data)[e];

				if (strcmp(s, z) != 0)
					fail_msg("%s (%s%s): output %u, element %lld is \"%s\", should be \"%s\"",
						 c->name, target, no_fuse ? "" : ", fused", i, (long long)e, s, z);
				continue;
			}
			double u = ftl_elem_get(x->dtype[i], x->t[i].data, (size_t)e),
			       v = ftl_elem_get(y->dtype[i], y->t[i].data, (size_t)e);

			if (!close_to(x->dtype[i], u, v))
				fail_msg("%s (%s%s): output %u, element %lld is %.9g, should be %.9g", c->name, target,
					 no_fuse ? "" : ", fused", i, (long long)e, u, v);
		}
	}
}

static void check_want(const sample *c, const results *r)
{
	const char *p = c->want;
	int64_t e = 0;

	for (; *p; e++) {
		char *end;
		double v = strtod(p, &end), x;

		if (end == p || e >= r->count[0])
			fail_msg("%s: has %lld elements, expected others", c->name, (long long)r->count[0]);
		x = ftl_elem_get(r->dtype[0], r->t[0].data, (size_t)e);
		if (!close_to(FTL_F16, x, v))
			fail_msg("%s: element %lld is %.9g, should be %.9g", c->name, (long long)e, x, v);
		p = *end == ',' ? end + 1 : end;
	}
	if (e != r->count[0])
		fail_msg("%s: has %lld elements, expected %lld", c->name, (long long)r->count[0], (long long)e);
}

static void run_targets(struct fix *f, const sample *c)
{
	static const char *const targets[] = {"scalar", "sse2", "avx2", "avx512"};
	results naive, other;

	for (size_t i = 0; i < FTL_COUNT(targets) * 2; i++) {
		const char *target = targets[i / 2];
		results *r = i ? &other : &naive;
		ftl_status_code s = execute(f, c, target, i % 2 == 0, r);

		if (c->error) {
			if (s == FTL_OK || !strstr(f->diag.text, c->error))
				fail_msg("%s (%s): should fail with \"%s\", has \"%s\"", c->name, target, c->error,
					 f->diag.text);
			continue;
		}
		if (s != FTL_OK)
			fail_msg("%s (%s): %s", c->name, target, f->diag.text);
		if (i == 0 && c->want)
			check_want(c, &naive);
		if (i)
			same(c, target, i % 2 == 0, &other, &naive);
	}
}

void run_one(struct fix *f, const sample *c)
{
	if (setjmp(f->landing.jump))
		fail_msg("%s: out of memory", c->name);
	run_targets(f, c);
	ftl_arena_reset(&f->arena);
}

void run(struct fix *f, const sample *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		run_one(f, &c[i]);
}
