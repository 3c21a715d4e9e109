/* Symbolic dimensions: random expressions against plain evaluation, and the folds others rely on by name. */
#include "ir/dim.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#define SYMS 4

struct fix {
	ftl_arena arena;
	ftl_landing landing;
	ftl_symtab *st;
	ftl_dim s[SYMS];
	int64_t value[SYMS];
};

static const char *const names[SYMS] = {"batch", "seq", "past", "n"};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	*state = f;
	ftl_arena_init(&f->arena, NULL, &f->landing, 0);
	f->st = ftl_symtab_new(&f->arena);
	for (int i = 0; i < SYMS; i++)
		f->s[i] = ftl_dim_sym(f->st, names[i]);
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	ftl_arena_free(&f->arena);
	free(f);
	return 0;
}

/* expression from text */
static ftl_dim E(struct fix *f, const char *text)
{
	const char *s = text;
	ftl_dim d = ftl_dim_parse(f->st, &s);

	if (d == FTL_DIM_NONE || *s)
		fail_msg("does not parse: %s", text);
	return d;
}

static const char *T(struct fix *f, ftl_dim d)
{
	ftl_text t;

	ftl_text_init(&t, &f->arena);
	ftl_dim_print(f->st, &t, d);
	return t.v;
}

#define same(f, a, b) assert_string_equal(T(f, E(f, a)), b)

static bool env(void *user, ftl_dim sym, int64_t *v)
{
	struct fix *f = user;

	for (int i = 0; i < SYMS; i++) {
		if (f->s[i] == sym) {
			*v = f->value[i];
			return true;
		}
	}
	return false;
}

/* ---- random expressions: a tree evaluated as it stands, beside the normal form ---- */

struct rng {
	uint64_t x;
};

static uint32_t next(struct rng *r, uint32_t n)
{
	r->x ^= r->x << 13;
	r->x ^= r->x >> 7;
	r->x ^= r->x << 17;
	return (uint32_t)(r->x >> 32) % n;
}

struct tree {
	char op; /* c s + - * / % m M ^ */
	int64_t v;
	struct tree *a, *b;
};

static struct tree *grow(struct fix *f, struct rng *r, int depth, const char *ops)
{
	struct tree *t = FTL_NEW(&f->arena, struct tree);

	if (depth == 0 || next(r, 5) == 0) {
		t->op = next(r, 3) ? 's' : 'c';
		t->v = t->op == 's' ? (int64_t)next(r, SYMS) : (int64_t)next(r, 13) - 4;
		return t;
	}
	t->op = ops[next(r, (uint32_t)strlen(ops))];
	t->a = grow(f, r, depth - 1, ops);
	t->b = grow(f, r, depth - 1, ops);
	return t;
}

static ftl_dim build(struct fix *f, const struct tree *t)
{
	ftl_dim a, b;

	if (t->op == 'c')
		return ftl_dim_const(f->st, t->v);
	if (t->op == 's')
		return f->s[t->v];
	a = build(f, t->a);
	b = build(f, t->b);
	switch (t->op) {
	case '+': return ftl_dim_add(f->st, a, b);
	case '-': return ftl_dim_sub(f->st, a, b);
	case '*': return ftl_dim_mul(f->st, a, b);
	case '/': return ftl_dim_div(f->st, a, b);
	case '%': return ftl_dim_mod(f->st, a, b);
	case 'm': return ftl_dim_min(f->st, a, b);
	case 'M': return ftl_dim_max(f->st, a, b);
	default: return ftl_dim_ceildiv(f->st, a, b);
	}
}

/* false: divides by zero, or too large to be sure */
static bool plain(struct fix *f, const struct tree *t, __int128 *out)
{
	const __int128 big = (__int128)1 << 60;
	__int128 a, b, q;

	if (t->op == 'c' || t->op == 's') {
		*out = t->op == 'c' ? t->v : f->value[t->v];
		return true;
	}
	if (!plain(f, t->a, &a) || !plain(f, t->b, &b))
		return false;
	switch (t->op) {
	case '+': *out = a + b; break;
	case '-': *out = a - b; break;
	case '*': *out = a * b; break;
	case 'm': *out = a < b ? a : b; break;
	case 'M': *out = a > b ? a : b; break;
	default:
		if (b == 0)
			return false;
		q = a / b;
		if (a % b != 0 && (a < 0) != (b < 0))
			q--;
		if (t->op == '/')
			*out = q;
		else if (t->op == '%')
			*out = a - q * b;
		else
			*out = a - q * b ? q + 1 : q;
	}
	return *out<big && * out> - big;
}

static void draw_values(struct fix *f, struct rng *r)
{
	for (int i = 0; i < SYMS; i++)
		f->value[i] = next(r, 4) ? next(r, 20) : next(r, 2000);
}

static void normal_form_keeps_the_value(void **state)
{
	struct fix *f = *state;
	struct rng r = {0x1234567};
	int checked = 0, none = 0;

	for (int k = 0; k < 12000; k++) {
		struct tree *t = grow(f, &r, 1 + (int)next(&r, 5), k % 3 ? "++--**/%mM^" : "+-*//%");
		ftl_dim d = build(f, t);

		if (d == FTL_DIM_NONE) {
			none++;
			continue;
		}
		for (int j = 0; j < 6; j++) {
			__int128 want;
			int64_t got;

			draw_values(f, &r);
			if (!plain(f, t, &want))
				continue;
			if (!ftl_dim_eval(f->st, d, env, f, &got))
				fail_msg("no value: %s", T(f, d));
			if (got != (int64_t)want)
				fail_msg("%s is %lld, not %lld", T(f, d), (long long)got, (long long)want);
			/* bounds hold */
			assert_true(ftl_dim_lo(f->st, d) <= got && got <= ftl_dim_hi(f->st, d));
			checked++;
		}
	}
	assert_true(checked > 20000);
	assert_true(none < 3000); /* divisions by a constant 0 */
}

static void equal_polynomials_have_one_id(void **state)
{
	struct fix *f = *state;
	struct rng r = {0x777};

	for (int k = 0; k < 3000; k++) {
		ftl_dim a = build(f, grow(f, &r, 3, "+-*")), b = build(f, grow(f, &r, 3, "+-*/m"));
		ftl_dim c = build(f, grow(f, &r, 2, "+-*M%"));

		if (!a || !b || !c)
			continue;
		/* (a + b) * c == c*b + a*c, a - b + b == a */
		assert_int_equal(ftl_dim_mul(f->st, ftl_dim_add(f->st, a, b), c),
				 ftl_dim_add(f->st, ftl_dim_mul(f->st, c, b), ftl_dim_mul(f->st, a, c)));
		assert_int_equal(ftl_dim_add(f->st, ftl_dim_sub(f->st, a, b), b), a);
		assert_int_equal(ftl_dim_min(f->st, a, b), ftl_dim_min(f->st, b, a));
		/* exact division cancels */
		if (c != ftl_dim_const(f->st, 0))
			assert_int_equal(ftl_dim_div(f->st, ftl_dim_mul(f->st, a, c), c), a);
	}
}

/* Of linear expressions, where "redundant" is always decided: the set that is left is the same any way. */
static void nesting_of_extremes_does_not_matter(void **state)
{
	struct fix *f = *state;
	struct rng r = {0x4242};

	for (int k = 0; k < 3000; k++) {
		ftl_dim a = build(f, grow(f, &r, 2, "+-")), b = build(f, grow(f, &r, 2, "+-"));
		ftl_dim c = build(f, grow(f, &r, 2, "+-")), d = build(f, grow(f, &r, 2, "+"));

		assert_int_equal(ftl_dim_max(f->st, ftl_dim_max(f->st, a, b), ftl_dim_max(f->st, c, d)),
				 ftl_dim_max(f->st, ftl_dim_max(f->st, d, ftl_dim_max(f->st, a, c)), b));
		assert_int_equal(ftl_dim_min(f->st, ftl_dim_min(f->st, a, b), ftl_dim_min(f->st, c, d)),
				 ftl_dim_min(f->st, ftl_dim_min(f->st, d, ftl_dim_min(f->st, a, c)), b));
	}
}

static void proofs_are_true(void **state)
{
	struct fix *f = *state;
	struct rng r = {0xabcdef};
	int proven = 0;

	for (int k = 0; k < 6000; k++) {
		struct tree *ta = grow(f, &r, 3, "++-*/%mM"), *tb = grow(f, &r, 3, "++-*/%mM");
		ftl_dim a = build(f, ta), b = build(f, tb);
		int le, lt, eq;

		if (!a || !b)
			continue;
		le = ftl_dim_known_le(f->st, a, b);
		lt = ftl_dim_known_lt(f->st, a, b);
		eq = ftl_dim_known_eq(f->st, a, b);
		proven += le >= 0;
		for (int j = 0; j < 8; j++) {
			__int128 x, y;

			draw_values(f, &r);
			if (!plain(f, ta, &x) || !plain(f, tb, &y))
				continue;
			if ((le >= 0 && le != (x <= y)) || (lt >= 0 && lt != (x < y)) || (eq >= 0 && eq != (x == y)))
				fail_msg("%s and %s: le %d lt %d eq %d, values %lld %lld", T(f, a), T(f, b), le, lt, eq,
					 (long long)x, (long long)y);
		}
	}
	assert_true(proven > 500);
}

static void text_parses_back_in_a_table_of_another_order(void **state)
{
	struct fix *f = *state;
	struct rng r = {0x55aa};

	for (int k = 0; k < 4000; k++) {
		ftl_dim d = build(f, grow(f, &r, 4, "++-*/%mM"));
		struct fix g = {0};
		const char *text = T(f, d), *s = text;

		ftl_arena_init(&g.arena, NULL, &g.landing, 0);
		g.st = ftl_symtab_new(&g.arena);
		for (int i = SYMS - 1; i >= 0; i--)
			ftl_dim_sym(g.st, names[i]);
		assert_string_equal(T(&g, ftl_dim_parse(g.st, &s)), text);
		assert_int_equal(*s, '\0');
		/* and to itself in its own */
		s = text;
		assert_int_equal(ftl_dim_parse(f->st, &s), d);
		ftl_arena_free(&g.arena);
	}
}

static void substitution_is_evaluation(void **state)
{
	struct fix *f = *state;
	struct rng r = {0x9191};

	for (int k = 0; k < 3000; k++) {
		struct tree *t = grow(f, &r, 4, "++-*/%mM");
		ftl_dim d = build(f, t);
		__int128 want;
		int64_t v;

		draw_values(f, &r);
		if (!d || !plain(f, t, &want))
			continue;
		for (int i = 0; i < SYMS; i++)
			d = ftl_dim_subst(f->st, d, f->s[i], ftl_dim_const(f->st, f->value[i]));
		assert_true(ftl_dim_is_const(f->st, d, &v));
		assert_int_equal(v, (int64_t)want);
	}
}

/* ---- by name ---- */

static void sums_and_products_are_canonical(void **state)
{
	struct fix *f = *state;

	same(f, "(?a+?b)*?c", "?a*?c+?b*?c");
	same(f, "?b*?a-?a*?b", "0");
	same(f, "2*?s+3*?s-5*?s+1", "1");
	same(f, "(?a+1)*(?a-1)", "?a*?a-1");
	same(f, "?total-?past", "?total-?past");
	same(f, "1-?a", "1-?a");
	same(f, "-9223372036854775808", "-9223372036854775808");
	assert_int_equal(E(f, "?past+?seq"), E(f, "?seq+?past"));
}

static void divisions_fold(void **state)
{
	struct fix *f = *state;

	same(f, "div(4*?s,4)", "?s");
	same(f, "div(?a*?b*12,12)", "?a*?b");
	same(f, "div(?b*?s*768,?s)", "768*?b");
	same(f, "div((?a+?b)*?c,?a+?b)", "?c");
	same(f, "div(8*?s+3,8)", "?s");
	same(f, "div(?s+8,4)", "div(?s,4)+2");
	same(f, "div(?s-1,2)+1", "div(?s+1,2)");
	same(f, "div(div(?s,2),3)", "div(?s,6)");
	same(f, "div(6*?s+2,4)", "?s+div(?s+1,2)");
	same(f, "div(mod(?x,7),7)", "0");
	same(f, "div(?s*?b+mod(?x,?b),?b)", "?s");
	same(f, "mod(4*?s,4)", "0");
	same(f, "mod(4*?s+6,4)", "2");
	same(f, "mod(6*?s+1,4)", "2*mod(?s,2)+1");
	same(f, "mod(mod(?s,12),4)", "mod(?s,4)");
	same(f, "mod(?s*?b,?b)", "0");
	same(f, "div(?s,-2)", "div(-?s,2)");
	same(f, "div(-7,2)", "-4");
	same(f, "mod(-7,2)", "1");
	same(f, "mod(7,-2)", "-1");
	assert_int_equal(ftl_dim_div(f->st, E(f, "?a"), E(f, "0")), FTL_DIM_NONE);
	assert_int_equal(ftl_dim_mod(f->st, E(f, "?a"), E(f, "0")), FTL_DIM_NONE);
	assert_string_equal(T(f, ftl_dim_ceildiv(f->st, E(f, "8*?s"), E(f, "8"))), "?s");
	assert_string_equal(T(f, ftl_dim_ceildiv(f->st, E(f, "?s"), E(f, "4"))), "div(?s+3,4)");
	assert_string_equal(T(f, ftl_dim_ceildiv(f->st, E(f, "?s*?b"), E(f, "?b"))), "?s");
}

static void minimum_and_maximum_fold(void **state)
{
	struct fix *f = *state;
	ftl_dim k = ftl_dim_sym(f->st, "k");

	same(f, "max(?s,0)", "?s");
	same(f, "min(?s,0)", "0");
	same(f, "min(?s,?s+1)", "?s");
	same(f, "max(?a+?b,?a)", "?a+?b");
	same(f, "min(min(?a,?b),?a)", "min(?a,?b)");
	same(f, "min(?a,min(?b,?a+3))", "min(?a,?b)");
	same(f, "max(0,?s-min(?s,4))", "?s-min(?s,4)");
	same(f, "max(0,?s-4*div(?s,4))", "?s-4*div(?s,4)");
	ftl_dim_set_bounds(f->st, k, 1, 512);
	same(f, "min(?k,512)", "?k");
	same(f, "max(?k,1)", "?k");
	same(f, "div(?k,1024)", "0");
	same(f, "mod(?k,1024)", "?k");
	assert_int_equal(ftl_dim_known_le(f->st, E(f, "?b"), E(f, "?b*?k")), 1);
	assert_int_equal(ftl_dim_known_lt(f->st, E(f, "?k"), E(f, "513")), 1);
	assert_int_equal(ftl_dim_known_eq(f->st, E(f, "2*?a+1"), E(f, "4*?b")), 0);
	assert_int_equal(ftl_dim_known_eq(f->st, E(f, "?a"), E(f, "?b")), -1);
}

static void bounds_and_upper_narrow(void **state)
{
	struct fix *f = *state;
	ftl_dim c = ftl_dim_fresh(f->st, "count"), size = E(f, "?batch*?seq"), e = E(f, "2*?n+1"), i, v;
	int64_t x;

	ftl_dim_set_upper(f->st, c, size);
	assert_int_equal(ftl_dim_upper(f->st, c), size);
	assert_int_equal(ftl_dim_known_le(f->st, c, size), 1);
	assert_int_equal(ftl_dim_known_le(f->st, c, E(f, "?batch*?seq*2")), 1);
	assert_int_equal(ftl_dim_known_le(f->st, size, c), -1);

	assert_int_equal(ftl_dim_lo(f->st, e), 1);
	assert_int_equal(ftl_dim_hi(f->st, e), INT64_MAX);
	ftl_dim_set_bounds(f->st, E(f, "?n"), 3, 5);
	assert_int_equal(ftl_dim_lo(f->st, e), 7);
	assert_int_equal(ftl_dim_hi(f->st, e), 11);
	ftl_dim_set_bounds(f->st, E(f, "?n"), 5, 9);
	assert_true(ftl_dim_is_const(f->st, e, &x));
	assert_int_equal(x, 11);

	i = ftl_dim_fresh_int(f->st, "start");
	v = ftl_dim_max(f->st, i, ftl_dim_const(f->st, 0));
	assert_string_equal(T(f, v), "max(?~start,0)");
	assert_int_equal(E(f, "max(?~start,0)"), v);
	assert_int_equal(ftl_dim_lo(f->st, ftl_dim_mul(f->st, i, i)), 0);
}

/* Proofs try many expressions; the table keeps none of them, and answers follow what becomes known. */
static void proofs_leave_nothing_behind(void **state)
{
	struct fix *f = *state;
	ftl_dim a = E(f, "max(min(?batch,8),?past)"), b = E(f, "?batch+?past"), c = E(f, "?n*?seq"), d = E(f, "3*?seq");
	uint32_t count;

	assert_int_equal(ftl_dim_known_le(f->st, a, b), 1);
	assert_int_equal(ftl_dim_known_le(f->st, b, a), -1);
	count = ftl_dim_count(f->st);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ftl_dim_known_le(f->st, a, b), 1);
		assert_int_equal(ftl_dim_known_le(f->st, b, a), -1);
	}
	assert_int_equal(ftl_dim_count(f->st), count);
	assert_true(E(f, "max(min(?batch,8),?past)") == a); /* the table is whole */
	assert_int_equal(ftl_dim_known_le(f->st, d, c), -1);
	ftl_dim_set_bounds(f->st, f->s[3], 3, 100);
	assert_int_equal(ftl_dim_known_le(f->st, d, c), 1);
}

static void fresh_symbols_are_new(void **state)
{
	struct fix *f = *state;
	ftl_dim a = ftl_dim_fresh(f->st, "seq"), b = ftl_dim_fresh(f->st, "seq");

	assert_string_equal(T(f, a), "?seq_1");
	assert_string_equal(T(f, b), "?seq_2");
	assert_int_equal(ftl_dim_sym(f->st, "seq_2"), b);
	assert_string_equal(T(f, ftl_dim_fresh(f->st, "new")), "?new");
	/* many with one hint: no quadratic search */
	for (int i = 0; i < 100000; i++)
		ftl_dim_fresh(f->st, "many");
	assert_string_equal(T(f, ftl_dim_fresh(f->st, "many")), "?many_100000");
}

static void overflow_gives_none(void **state)
{
	struct fix *f = *state;
	ftl_symtab *st = f->st;
	ftl_dim big = ftl_dim_const(st, INT64_MAX), low = ftl_dim_const(st, INT64_MIN), s = f->s[0];
	int64_t v;

	assert_int_equal(ftl_dim_add(st, big, ftl_dim_const(st, 1)), FTL_DIM_NONE);
	assert_int_equal(ftl_dim_mul(st, big, ftl_dim_const(st, 2)), FTL_DIM_NONE);
	assert_int_equal(ftl_dim_sub(st, low, ftl_dim_const(st, 1)), FTL_DIM_NONE);
	assert_int_equal(ftl_dim_div(st, low, ftl_dim_const(st, -1)), FTL_DIM_NONE);
	assert_int_equal(ftl_dim_add(st, FTL_DIM_NONE, s), FTL_DIM_NONE);
	assert_int_equal(ftl_dim_min(st, s, FTL_DIM_NONE), FTL_DIM_NONE);
	assert_int_equal(ftl_dim_mod(st, low, ftl_dim_const(st, -1)), FTL_DIM_NONE);
	f->value[0] = INT64_MAX;
	assert_false(ftl_dim_eval(st, ftl_dim_mul(st, s, s), env, f, &v));
	assert_int_equal(ftl_dim_known_le(st, s, ftl_dim_mul(st, s, s)), -1);
}

static void size_is_bounded(void **state)
{
	struct fix *f = *state;
	ftl_symtab *st = f->st;
	ftl_dim sum = ftl_dim_const(st, 0), p = f->s[0], d = f->s[0], dag = f->s[0];
	int i;

	for (i = 0; i < 1000 && sum; i++)
		sum = ftl_dim_add(st, sum, ftl_dim_fresh(st, "t"));
	assert_int_equal(sum, FTL_DIM_NONE);
	assert_int_equal(i, 257);
	for (i = 0; i < 1000 && p; i++)
		p = ftl_dim_mul(st, p, f->s[1]);
	assert_int_equal(p, FTL_DIM_NONE);
	for (i = 0; i < 1000 && d; i++)
		d = ftl_dim_div(st, ftl_dim_add(st, d, f->s[2]), f->s[3]);
	assert_int_equal(d, FTL_DIM_NONE);
	/* small as a graph, huge as a tree */
	for (i = 0; i < 1000 && dag; i++)
		dag = ftl_dim_add(st, ftl_dim_div(st, dag, f->s[2]), ftl_dim_mod(st, dag, f->s[3]));
	assert_int_equal(dag, FTL_DIM_NONE);
}

static void parser_stops_where_it_should(void **state)
{
	static const char *const bad[] = {"",          "?",        "+1",
					  "div(1)",    "div(1,0)", "?\"a",
					  "?\"\\x4\"", "(1",       "99999999999999999999",
					  "min(?a",    "?~batch",  "foo(1,2)",
					  "?\"\\x00\""};
	struct fix *f = *state;
	const char *s = "?a->x";
	char *deep;

	assert_int_equal(ftl_dim_parse(f->st, &s), E(f, "?a"));
	assert_string_equal(s, "->x");
	s = "_,3";
	assert_int_equal(ftl_dim_parse(f->st, &s), FTL_DIM_NONE);
	assert_string_equal(s, ",3");
	same(f, "?\"a b\\x01\\\"\"+?\"\"+?x.y_1", "?\"\"+?\"a b\\x01\\\"\"+?x.y_1");
	same(f, "min( ?a , ( ?b ) )", "min(?a,?b)");
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		s = bad[i];
		assert_int_equal(ftl_dim_parse(f->st, &s), FTL_DIM_NONE);
		assert_ptr_equal(s, bad[i]);
	}
	deep = malloc(100001);
	memset(deep, '(', 100000);
	deep[100000] = '\0';
	s = deep;
	assert_int_equal(ftl_dim_parse(f->st, &s), FTL_DIM_NONE);
	free(deep);
}

static void count_symbols(void *user, ftl_dim sym)
{
	(void)sym;
	++*(int *)user;
}

static void symbols_are_listed_once(void **state)
{
	struct fix *f = *state;
	int n = 0;

	ftl_dim_symbols(f->st, E(f, "?a*?b+div(?a,min(?b,?c))-7"), count_symbols, &n);
	assert_int_equal(n, 3);
}

int main(void)
{
#define T_(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T_(normal_form_keeps_the_value),
		T_(equal_polynomials_have_one_id),
		T_(nesting_of_extremes_does_not_matter),
		T_(proofs_are_true),
		T_(text_parses_back_in_a_table_of_another_order),
		T_(substitution_is_evaluation),
		T_(sums_and_products_are_canonical),
		T_(divisions_fold),
		T_(minimum_and_maximum_fold),
		T_(bounds_and_upper_narrow),
		T_(proofs_leave_nothing_behind),
		T_(fresh_symbols_are_new),
		T_(overflow_gives_none),
		T_(size_is_bounded),
		T_(parser_stops_where_it_should),
		T_(symbols_are_listed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
