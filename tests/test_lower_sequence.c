/* Lowerings of sequences and optionals: what is put in comes out, in order; positions only the run knows; memory that changes
 * hands, is copied, and grows. The harness is in support/lower_cases.h. */
#include "lower_cases.h"

/* A sequence of three: x, 2x, 3x (two elements each), named %s. */
#define THREE                                                                                                          \
	" %one = const dense<[1,2]> : i64[2]\n %two = const dense<[3,4]> : i64[2]\n"                                   \
	" %three = const dense<[5,6]> : i64[2]\n %e = seq_empty {dtype=i64} : seq<i64 empty>\n"                        \
	" %s1 = seq_insert %e, %one : seq<i64[2]>\n %s2 = seq_insert %s1, %two : seq<i64[2]>\n"                        \
	" %s = seq_insert %s2, %three : seq<i64[2]>\n"

static const sample lists[] = {
	{.name = "elements in order",
	 .params = "%p: i64[]",
	 .results = "i64[?n]",
	 .body = THREE " %y = seq_concat %s : i64[?n]",
	 .want = "1,2,3,4,5,6"},
	{.name = "an element from the end",
	 .params = "%p: i64[]",
	 .results = "i64[2]",
	 .body = THREE " %y = seq_at %s, %p : i64[2]",
	 .ints = "-3",
	 .want = "1,2"},
	{.name = "a position past the end",
	 .params = "%p: i64[]",
	 .results = "i64[2]",
	 .body = THREE " %y = seq_at %s, %p : i64[2]",
	 .ints = "3",
	 .error = "the position is outside of the sequence"},
	{.name = "a position before the start",
	 .params = "%p: i64[]",
	 .results = "seq<i64[2]>",
	 .body = THREE " %y = seq_erase %s, %p : seq<i64[2]>",
	 .ints = "-4",
	 .error = "the position is outside of the sequence"},
	{.name = "nothing to erase",
	 .params = "%p: i64[]",
	 .results = "seq<f32 empty>",
	 .body = " %e = seq_empty : seq<f32 empty>\n %y = seq_erase %e : seq<f32 empty>",
	 .error = "there is no element to erase"},
	{.name = "inserted in the middle; the old sequence stays",
	 .params = "%p: i64[]",
	 .results = "i64[?n], i64[?m]",
	 .body = THREE " %x = const dense<[7]> : i64[1]\n %t = seq_insert %s, %x, %p : seq<i64[_]>\n"
		       " %y = seq_concat %t : i64[?n]\n %z = seq_concat %s : i64[?m]",
	 .ret = "%y, %z",
	 .ints = "1",
	 .want = "1,2,7,3,4,5,6"},
	{.name = "inserted in the middle of its only memory",
	 .params = "%p: i64[]",
	 .results = "i64[?n]",
	 .body = THREE " %x = const dense<[7]> : i64[1]\n %t = seq_insert %s, %x, %p : seq<i64[_]>\n"
		       " %y = seq_concat %t : i64[?n]",
	 .ints = "-1",
	 .want = "1,2,3,4,7,5,6"},
	{.name = "inserted behind the last",
	 .params = "%p: i64[]",
	 .results = "i64[?n]",
	 .body = THREE " %x = const dense<[7]> : i64[1]\n %t = seq_insert %s, %x, %p : seq<i64[_]>\n"
		       " %y = seq_concat %t : i64[?n]",
	 .ints = "3",
	 .want = "1,2,3,4,5,6,7"},
	{.name = "erased, then the table is used again",
	 .params = "%p: i64[]",
	 .results = "i64[?n]",
	 .body = THREE " %t = seq_erase %s, %p : seq<i64[2]>\n %u = seq_insert %t, %one : seq<i64[2]>\n"
		       " %y = seq_concat %u : i64[?n]",
	 .ints = "0",
	 .want = "3,4,5,6,1,2"},
	{.name = "stacked along a new axis",
	 .params = "%p: i64[]",
	 .results = "i64[2,?n]",
	 .body = THREE " %y = seq_concat %s {axis=1, new_axis=true} : i64[2,?n]",
	 .want = "1,3,5,2,4,6"},
	{.name = "shapes that do not fit together",
	 .params = "%x: f32[2,3], %y: f32[2,4]",
	 .results = "f32[?n,?m]",
	 .body = " %e = seq_empty : seq<f32 empty>\n %s = seq_insert %e, %x : seq<f32[2,3]>\n"
		 " %t = seq_insert %s, %y : seq<f32[2,_]>\n %z = seq_concat %t : f32[?n,?m]",
	 .ret = "%z",
	 .error = "the elements' shapes do not fit together"},
	{.name = "nothing to concatenate",
	 .params = "%x: f32[3]",
	 .results = "f32[?n]",
	 .body = " %e = seq_empty : seq<f32 empty>\n %s = seq_insert %e, %x : seq<f32[3]>\n"
		 " %t = seq_erase %s : seq<f32[3]>\n %y = seq_concat %t : f32[?n]",
	 .error = "an empty sequence cannot be concatenated"},
	{.name = "an empty tensor among others",
	 .params = "%x: i64[?zero], %y: i64[2]",
	 .results = "i64[?n]",
	 .body = " %e = seq_empty {dtype=i64} : seq<i64 empty>\n %s = seq_insert %e, %x : seq<i64[_]>\n"
		 " %t = seq_insert %s, %y : seq<i64[_]>\n %z = seq_concat %t : i64[?n]",
	 .ret = "%z",
	 .ints = "8,9",
	 .want = "8,9"},
	{.name = "how many",
	 .params = "%p: i64[]",
	 .results = "i64[]",
	 .body = THREE " %y = seq_length %s : i64[]",
	 .want = "3"},
	{.name = "slices of a tensor behind the others",
	 .params = "%x: i64[?a,2]",
	 .results = "i64[?n], i64[]",
	 .body = THREE
	 " %t = seq_extend %s, %x : seq<i64[2]>\n %y = seq_concat %t : i64[?n]\n %l = seq_length %t : i64[]",
	 .ret = "%y, %l",
	 .ints = "10,20,30,40,50,60",
	 .want = "1,2,3,4,5,6,10,20,30,40,50,60"},
};

static void lists_keep_what_is_put_in(void **state)
{
	run(*state, lists, FTL_COUNT(lists));
}

static const sample splits[] = {
	{.name = "one by one, along the last axis",
	 .params = "%x: i64[2,?a]",
	 .results = "i64[?n]",
	 .body = " %s = seq_split %x {axis=1, keepdims=false} : seq<i64[2]>\n %y = seq_concat %s : i64[?n]",
	 .ints = "1,2,3,4,5,6",
	 .want = "1,4,2,5,3,6"},
	{.name = "pieces of a size that the run knows",
	 .params = "%x: i64[?b,2], %k: i64[]",
	 .results = "i64[?n,2], i64[]",
	 .body = " %s = seq_split %x, %k : seq<i64[_,2]>\n %m = const dense<-1> : i64[]\n"
		 " %y = seq_at %s, %m : i64[?n,2]\n %l = seq_length %s : i64[]",
	 .ret = "%y, %l",
	 .ints = "1,2,3,4,5,6,7,8,9,10,2",
	 .want = "9,10"},
	{.name = "a size of nothing",
	 .params = "%x: i64[?b,2], %k: i64[]",
	 .results = "seq<i64[_,2]>",
	 .body = " %y = seq_split %x, %k : seq<i64[_,2]>",
	 .ints = "1,2,3,4,5,6,7,8,9,10,0",
	 .error = "the size of the pieces must be above 0"},
	{.name = "sizes in a list",
	 .params = "%x: i64[2,?b], %k: i64[?a]",
	 .results = "i64[2,?m], i64[]",
	 .body = " %s = seq_split %x, %k {axis=1} : seq<i64[2,_]>\n %m = const dense<1> : i64[]\n"
		 " %y = seq_at %s, %m : i64[2,?m]\n %l = seq_length %s : i64[]",
	 .ret = "%y, %l",
	 .ints = "1,2,3,4,5,6,7,8,9,10,1,3,1",
	 .want = "2,3,4,7,8,9"},
	{.name = "sizes that leave something",
	 .params = "%x: i64[?b], %k: i64[?a]",
	 .results = "seq<i64[_]>",
	 .body = " %y = seq_split %x, %k : seq<i64[_]>",
	 .ints = "1,2,3,4,5,1,1,1",
	 .error = "the sizes do not add up"},
	{.name = "a negative size",
	 .params = "%x: i64[?b], %k: i64[?a]",
	 .results = "seq<i64[_]>",
	 .body = " %y = seq_split %x, %k : seq<i64[_]>",
	 .ints = "1,2,3,4,5,3,-1,3",
	 .error = "a size is negative"},
};

static void splitting_covers_the_axis(void **state)
{
	run(*state, splits, FTL_COUNT(splits));
}

static const sample flow[] = {
	{.name = "a loop appends tensors that grow",
	 .params = "%x: i64[?b], %t: i64[]",
	 .results = "i64[?n], i64[]",
	 .body = " %e = seq_empty {dtype=i64} : seq<i64 empty>\n %z = const dense<0> : i64[]\n %o = const dense<1> : "
		 "i64[]\n"
		 " %s = loop %t, _, %e { (%i: i64[], %go: bool[], %p: seq<i64[_]>)\n"
		 "  %r = range %z, %i, %o : i64[?r]\n  %q = seq_insert %p, %r : seq<i64[_]>\n"
		 "  yield %go, %q } : seq<i64[_]>\n"
		 " %y = seq_concat %s : i64[?n]\n %l = seq_length %s : i64[]",
	 .ret = "%y, %l",
	 .ints = "1,2,3,4,5,4",
	 .want = "0,0,1,0,1,2"},
	{.name = "a window slides: what is erased does not stay",
	 .params = "%x: i64[1], %t: i64[]",
	 .results = "i64[?n]",
	 .body = " %e = seq_empty {dtype=i64} : seq<i64 empty>\n %z = const dense<0> : i64[]\n"
		 " %a = seq_insert %e, %x : seq<i64[1]>\n %b = seq_insert %a, %x : seq<i64[1]>\n"
		 " %s = loop %t, _, %b { (%i: i64[], %go: bool[], %p: seq<i64[1]>)\n"
		 "  %v = add %x, %i : i64[1]\n  %q = seq_erase %p, %z : seq<i64[1]>\n"
		 "  %r = seq_insert %q, %v : seq<i64[1]>\n  yield %go, %r } : seq<i64[1]>\n"
		 " %y = seq_concat %s : i64[?n]",
	 .ints = "5,1000",
	 .want = "1003,1004"},
	{.name = "a branch appends or does not; the sequence before it stays",
	 .params = "%x: i64[1], %t: i64[]",
	 .results = "i64[?n]",
	 .body = " %e = seq_empty {dtype=i64} : seq<i64 empty>\n %k = const dense<2> : i64[]\n"
		 " %zero = const dense<0> : i64[]\n"
		 " %s = loop %t, _, %e { (%i: i64[], %go: bool[], %p: seq<i64[1]>)\n"
		 "  %m = mod %i, %k : i64[]\n  %c = eq %m, %zero : bool[]\n"
		 "  %q = if %c { ()\n   %v = add %x, %i : i64[1]\n   %w = seq_insert %p, %v : seq<i64[1]>\n   yield %w "
		 "} "
		 "{ ()\n   yield %p } : seq<i64[1]>\n"
		 "  yield %go, %q } : seq<i64[1]>\n"
		 " %y = seq_concat %s : i64[?n]",
	 .ints = "10,7",
	 .want = "10,12,14,16"},
	{.name = "two sequences trade places",
	 .params = "%t: i64[]",
	 .results = "i64[?n], i64[?m]",
	 .body = THREE " %u = seq_erase %s : seq<i64[2]>\n"
		       " %v, %w = loop %t, _, %s, %u { (%i: i64[], %go: bool[], %p: seq<i64[2]>, %q: seq<i64[2]>)\n"
		       "  yield %go, %q, %p } : seq<i64[2]>, seq<i64[2]>\n"
		       " %y = seq_concat %v : i64[?n]\n %z = seq_concat %w : i64[?m]",
	 .ret = "%y, %z",
	 .ints = "3",
	 .want = "1,2,3,4"},
	{.name = "one sequence becomes two",
	 .params = "%t: i64[]",
	 .results = "i64[?n], i64[?m]",
	 .body = THREE " %v, %w = loop %t, _, %s, %s { (%i: i64[], %go: bool[], %p: seq<i64[2]>, %q: seq<i64[2]>)\n"
		       "  %r = seq_insert %q, %one : seq<i64[2]>\n  yield %go, %r, %r } : seq<i64[2]>, seq<i64[2]>\n"
		       " %y = seq_concat %v : i64[?n]\n %z = seq_concat %w : i64[?m]",
	 .ret = "%y, %z",
	 .ints = "2",
	 .want = "1,2,3,4,5,6,1,2,1,2"},
	{.name = "optionals",
	 .params = "%t: i64[]",
	 .results = "i64[2], bool[], bool[]",
	 .body = THREE
	 " %o = opt_of %s : optseq<i64[2]>\n %n = seq_empty {dtype=i64, kind=\"optseq\"} : optseq<i64 empty>\n"
	 " %h = opt_has %o : bool[]\n %k = opt_has %n : bool[]\n %q = opt_get %o : seq<i64[2]>\n"
	 " %f = seq_at %q, %t : i64[2]\n %g = opt_of %f : opt<i64[2]>\n %y = opt_get %g : i64[2]",
	 .ret = "%y, %h, %k",
	 .ints = "1",
	 .want = "3,4"},
	{.name = "an optional without element",
	 .params = "%t: bool[], %x: i64[2]",
	 .results = "i64[2]",
	 .body = " %c = not %t : bool[]\n %d = and %c, %t : bool[]\n"
		 " %o = if %d { ()\n  %a = opt_of %x : opt<i64[2]>\n  yield %a } { ()\n"
		 "  %b = seq_empty {dtype=i64, kind=\"opt\"} : opt<i64 empty>\n  yield %b } : opt<i64[2]>\n"
		 " %y = opt_get %o : i64[2]",
	 .error = "the optional has no element"},
};

static void sequences_pass_through_control_flow(void **state)
{
	run(*state, flow, FTL_COUNT(flow));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lists_keep_what_is_put_in, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(splitting_covers_the_axis, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(sequences_pass_through_control_flow, lower_setup, lower_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
