/* Ops on strings, and ops that move them: scalar definition against every target, and against what is wanted. */
#include "lower_cases.h"

#include <stdio.h>

#define S(values, n) "%s = strings {values=[" values "], dims=[" n "]} : string[" n "]\n"

static void strings_move_and_compare(void **state)
{
	static const sample cases[] = {
		{.name = "eq",
		 .params = "%p: string[?a,1,?d], %q: string[?b,?d]",
		 .results = "bool[?a,?b,?d]",
		 .body = "%y = eq %p, %q : bool[?a,?b,?d]"},
		{.name = "eq of constants",
		 .params = "",
		 .results = "bool[4]",
		 .body = S("\"a\", \"\", \"ab\", \"x\\x00y\"",
			   "4") "%t = strings {values=[\"a\", \"\", \"aB\", \"x\\x00z\"], dims=[4]} : string[4]\n"
				"%y = eq %s, %t : bool[4]",
		 .want = "1,1,0,0"},
		{.name = "transpose",
		 .params = "%p: string[?a,?d]",
		 .results = "string[?d,?a]",
		 .body = "%y = transpose %p {perm=[1,0]} : string[?d,?a]"},
		{.name = "concat and gather",
		 .params = "%p: string[?a,?d], %i: i64[?k]",
		 .results = "string[?a,?k]",
		 .body = "%c = concat %p, %p {axis=1} : string[?a,2*?d]\n"
			 "%y = gather %c, %i {axis=1} : string[?a,?k]",
		 .ints = "0,-1,3,5"},
		{.name = "where",
		 .params = "%m: bool[?d], %p: string[?a,?d], %q: string[1]",
		 .results = "string[?a,?d]",
		 .body = "%y = where %m, %p, %q : string[?a,?d]"},
		{.name = "unique",
		 .params = "",
		 .results = "i64[6]",
		 .body = S("\"b\", \"a\", \"b\", \"\", \"ab\", \"a\"",
			   "6") "%u, %f, %y, %c = unique %s : string[?u], i64[?u], i64[6], i64[?u]",
		 .want = "3,1,3,0,2,1"},
		{.name = "unique of inputs",
		 .params = "%p: string[?d]",
		 .results = "string[?u], i64[?d]",
		 .body = "%y, %f, %i, %c = unique %p : string[?u], i64[?u], i64[?d], i64[?u]",
		 .ret = "%y, %i"},
		{.name = "compress",
		 .params = "%p: string[?d], %m: bool[?d]",
		 .results = "string[?n]",
		 .body = "%y = compress %p, %m {axis=0} : string[?n]"},
	};

	run(*state, cases, FTL_COUNT(cases));
}

static void strings_convert(void **state)
{
	static const sample cases[] = {
		{.name = "to f32",
		 .params = "",
		 .results = "f32[5]",
		 .body = S("\"1.5\", \" -2e3x\", \"nan\", \"-INF\", \"0x10\"",
			   "5") "%y = string_to %s {to=f32} : f32[5]",
		 .want = "1.5,-2000,nan,-inf,16"},
		{.name = "to i64",
		 .params = "",
		 .results = "i64[4]",
		 .body = S("\" 12\", \"-7.9\", \"+5\", \"9223372036854775807\"",
			   "4") "%m = strings {values=[\"0\",\"0\",\"0\",\"1\"], dims=[4]} : string[4]\n"
				"%a = string_to %s {to=i64} : i64[4]\n %b = string_to %m {to=i64} : i64[4]\n"
				"%c = const dense<[0,0,0,9223372036854775800]> : i64[4]\n %y = sub %a, %c : i64[4]",
		 .want = "12,-7,5,7"},
		{.name = "to u8 wraps",
		 .params = "",
		 .results = "u8[2]",
		 .body = S("\"300\", \"-1\"", "2") "%y = string_to %s {to=u8} : u8[2]",
		 .want = "44,255"},
		{.name = "to bool",
		 .params = "",
		 .results = "bool[2]",
		 .body = S("\"0\", \"7\"", "2") "%y = string_to %s {to=bool} : bool[2]",
		 .want = "0,1"},
		{.name = "no number",
		 .params = "",
		 .results = "f32[2]",
		 .body = S("\"1\", \"one\"", "2") "%y = string_to %s : f32[2]",
		 .error = "is not a number"},
		{.name = "does not fit",
		 .params = "",
		 .results = "i32[1]",
		 .body = S("\"99999999999999999999\"", "1") "%y = string_to %s {to=i32} : i32[1]",
		 .error = "is not a number"},
		{.name = "from f32",
		 .params = "%p: f32[?d]",
		 .results = "string[?d]",
		 .body = "%y = string_from %p : string[?d]"},
		{.name = "from f32, digits",
		 .params = "",
		 .results = "bool[5]",
		 .body = S("\"0.1\", \"1.2345679e+08\", \"NaN\", \"-INF\", \"-0\"",
			   "5") "%n = const dense<[0.1,123456789,nan,-inf,-0.0]> : f32[5]\n"
				"%t = string_from %n : string[5]\n %y = eq %s, %t : bool[5]",
		 .want = "1,1,1,1,1"},
		{.name = "from u64",
		 .params = "",
		 .results = "bool[1]",
		 .body = S("\"18446744073709551615\"",
			   "1") "%n = const dense<[18446744073709551615]> : u64[1]\n"
				"%t = string_from %n : string[1]\n %y = eq %s, %t : bool[1]",
		 .want = "1"},
	};

	run(*state, cases, FTL_COUNT(cases));
}

static void strings_join_and_split(void **state)
{
	static const sample cases[] = {
		{.name = "concat",
		 .params = "%p: string[?a,1], %q: string[?d]",
		 .results = "string[?a,?d]",
		 .body = "%y = string_concat %p, %q : string[?a,?d]"},
		{.name = "concat of constants",
		 .params = "",
		 .results = "bool[2]",
		 .body = S("\"ab\", \"\\xc3\\xa9\"",
			   "2") "%t = strings {values=[\"c\"], dims=[]} : string[]\n"
				"%u = strings {values=[\"abc\", \"\\xc3\\xa9c\"], dims=[2]} : string[2]\n"
				"%v = string_concat %s, %t : string[2]\n %y = eq %v, %u : bool[2]",
		 .want = "1,1"},
		{.name = "split at space",
		 .params = "%p: string[?a,?d]",
		 .results = "string[?a,?d,?n], i64[?a,?d]",
		 .body = "%y, %n = string_split %p : string[?a,?d,?n], i64[?a,?d]",
		 .ret = "%y, %n"},
		{.name = "split of none",
		 .params = "%p: string[?zero]",
		 .results = "string[?zero,?n], i64[?zero]",
		 .body = "%y, %n = string_split %p : string[?zero,?n], i64[?zero]",
		 .ret = "%y, %n"},
		{.name = "pieces",
		 .params = "",
		 .results = "i64[6]",
		 .body = S("\"\", \" a  b c \", \"a-b--c-\", \"-a\", \"---\", \"a b\"",
			   "6") "%p, %y = string_split %s {delimiter=[\"-\"]} : string[6,?n], i64[6]",
		 .want = "0,1,5,2,4,1"},
		{.name = "pieces of a long delimiter",
		 .params = "",
		 .results = "bool[2,2]",
		 .body = S("\"a-b--c-\", \"---\"",
			   "2") "%p, %n = string_split %s {delimiter=[\"--\"]} : string[2,?n], i64[2]\n"
				"%w = strings {values=[\"a-b\",\"c-\",\"\",\"-\"], dims=[2,2]} : string[2,2]\n"
				"%y = eq %p, %w : bool[2,2]",
		 .want = "1,1,1,1"},
		{.name = "limited pieces",
		 .params = "",
		 .results = "bool[2,2]",
		 .body = S("\" a  b c \", \"a\"",
			   "2") "%p, %n = string_split %s {max_split=1} : string[2,?n], i64[2]\n"
				"%w = strings {values=[\"a\",\"b c\",\"a\",\"\"], dims=[2,2]} : string[2,2]\n"
				"%y = eq %p, %w : bool[2,2]",
		 .want = "1,1,1,1"},
	};

	run(*state, cases, FTL_COUNT(cases));
}

static void strings_change_case_and_match(void **state)
{
	static const sample cases[] = {
		{.name = "case",
		 .params = "%p: string[?a,?d]",
		 .results = "string[?a,?d]",
		 .body = "%y = string_case %p {upper=true} : string[?a,?d]"},
		{.name = "upper",
		 .params = "",
		 .results = "bool[5]",
		 .body = S("\"aZ1\", \"stra\\xc3\\x9fe\", \"\\xc3\\xa9\", \"\\xce\\xb1\", \"\\xff\\xc3\"",
			   "5") "%w = strings {values=[\"AZ1\", \"STRA\\xc3\\x9fE\", \"\\xc3\\x89\", \"\\xce\\x91\", "
				"\"\\xff\\xc3\"], dims=[5]} : string[5]\n"
				"%t = string_case %s {upper=true} : string[5]\n %y = eq %t, %w : bool[5]",
		 .want = "1,1,1,1,1"},
		{.name = "match",
		 .params = "",
		 .results = "bool[6]",
		 .body = S("\"ab12\", \"12\", \"a\", \"\", \"ab-12\", \"AB7\"",
			   "6") "%y = string_match %s {pattern=[\"(?i)[a-z]+\\\\d{1,3}|\"]} : bool[6]",
		 .want = "1,0,0,1,0,1"},
		{.name = "match of many ways",
		 .params = "",
		 .results = "bool[1]",
		 .body = S("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"",
			   "1") "%y = string_match %s {pattern=[\"(a*)*(a|a)*(a?){20}c\"]} : bool[1]",
		 .want = "0"},
		{.name = "match of inputs",
		 .params = "%p: string[?a,?d]",
		 .results = "bool[?a,?d]",
		 .body = "%y = string_match %p {pattern=[\"[^ ]*\"]} : bool[?a,?d]"},
		{.name = "find strings",
		 .params = "%p: string[?a,?d]",
		 .results = "i64[?a,?d]",
		 .body = S("\"\", \"12\", \"b\"", "3") "%y = find %p, %s : i64[?a,?d]"},
		{.name = "find",
		 .params = "",
		 .results = "i64[6]",
		 .body = "%k = const dense<[-1,0,2.5,nan]> : f32[4]\n %x = const dense<[2.5,nan,-2,0,9,-1]> : f32[6]\n"
			 "%y = find %x, %k : i64[6]",
		 .want = "2,3,-1,1,-1,0"},
		{.name = "find in nothing",
		 .params = "%x: i32[?d]",
		 .results = "i64[?d]",
		 .body = "%k = const dense<[]> : i32[0]\n %y = find %x, %k : i64[?d]"},
	};

	run(*state, cases, FTL_COUNT(cases));
}

static void trees_are_walked(void **state)
{
	/* node 0: x[1] <= 0.5 ? leaf 1 : node 2; node 2: x[0] in {1, 3} or NaN ? leaf 3 : leaf 4 */
	static const char forest[] =
		"%n = const dense<[1,1,2,1,0,0, 0,0,1,0,0,0, 0,3,4,23,0,2, 0,1,3,0,0,0, 0,3,4,0,0,0]> : i32[5,6]\n"
		"%v = const dense<[0.5,0,0,0,0]> : f32[5]\n %r = const dense<[0,2]> : i32[2]\n"
		"%t = const dense<[0,0,1,1]> : i32[4]\n %w = const dense<[1,2,3,4]> : f32[4]\n"
		"%m = const dense<[1,3]> : f32[2]\n";
	char body[1024];
	const sample cases[] = {
		{.name = "sum", .params = "", .results = "f32[4,2]", .body = body, .want = "3,3,1,4,4,6,0,8"},
	};
	const sample rows = {.name = "rows", .params = "%x: f32[?d,?b]", .results = "f32[?d,2]", .body = body};
	static const char *const aggregates[] = {"sum", "min", "max", "mean"};

	snprintf(body, sizeof body,
		 "%s %%x = const dense<[3,0, 5,0, nan,1, 4,9]> : f32[4,2]\n"
		 " %%y = trees %%x, %%n, %%v, %%r, %%t, %%w, %%m {targets=2, features=2} : f32[4,2]",
		 forest);
	run(*state, cases, FTL_COUNT(cases));
	for (size_t i = 0; i < FTL_COUNT(aggregates); i++) {
		snprintf(body, sizeof body,
			 "%s %%y = trees %%x, %%n, %%v, %%r, %%t, %%w, %%m {targets=2, features=2, aggregate=\"%s\"} : "
			 "f32[?d,2]",
			 forest, aggregates[i]);
		run_one(*state, &rows);
	}
}

/* Tables that lead nowhere: nothing outside them is read. */
static void trees_of_nonsense_stay_inside(void **state)
{
	static const sample c = {
		.name = "nonsense",
		.params = "%x: f32[?d,?b]",
		.results = "f32[?d,2]",
		.body = "%n = const dense<[9,-1,0,1,-5,99, 0,-3,700,0,0,0, -7,2,2,7,-9,900]> : i32[3,6]\n"
			"%v = const dense<[0.5,0,0]> : f32[3]\n %r = const dense<[0,7,-2,2]> : i32[4]\n"
			"%t = const dense<[-4,44]> : i32[2]\n %w = const dense<[1,2]> : f32[2]\n %m = const dense<[1]> "
			": f32[1]\n"
			"%y = trees %x, %n, %v, %r, %t, %w, %m {targets=2, features=2} : f32[?d,2]"};

	run_one(*state, &c);
}

static void other_ops_refuse_strings(void **state)
{
	static const char *const bodies[] = {"%y = add %p, %p : string[2]", "%y = cast %p {to=i64} : i64[2]",
					     "%y = neg %p : string[2]", "%y = reduce_max %p : string[1]"};
	struct fix *f = *state;

	for (size_t i = 0; i < FTL_COUNT(bodies); i++) {
		const char *text = ftl_arena_printf(
			&f->arena, "func @f(%%p: string[2]) -> (string[2]) {\n%s\nreturn %%y\n}\n", bodies[i]);
		ftl_graph *g;

		assert_int_not_equal(ftl_parse(&f->arena, text, strlen(text), NULL, &f->diag, &g), FTL_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(strings_move_and_compare, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(strings_convert, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(strings_join_and_split, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(strings_change_case_and_match, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(trees_are_walked, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(trees_of_nonsense_stay_inside, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(other_ops_refuse_strings, lower_setup, lower_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
