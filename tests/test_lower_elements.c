/* Lowerings of elementwise, moving, reducing, normalizing, scattering and sampling ops.
 *
 * A case is a .fir function. Its naive lowering (scalar, nothing fused) is the meaning: every target's schedule, fused
 * and not, must give the same result, exactly for integers, within rounding for floats. Symbols get sizes that leave vector
 * tails. Where a case says so, the naive result is compared with given numbers, or the run must fail with a given reason.
 * The interpreter checks every address, so that a schedule that leaves a buffer fails too. */
#include "lower_cases.h"

#include <stdio.h>

/* ---- elementwise ops: every op with every type it takes, on a scalar-tailed symbolic shape ---- */

static void elementwise(struct fix *f, const char *op, const char *attrs, const char *type, const char *to, int nin,
			bool positive)
{
	char params[256], results_[64], body[512];
	sample c = {.name = op, .params = params, .results = results_, .body = body};
	int at = 0;

	for (int i = 0; i < nin; i++)
		at += snprintf(params + at, sizeof params - (size_t)at, "%s%%%c: %s[%s]", i ? ", " : "", 'p' + i, type,
			       i == 1 ? "?b,1,?d" : "?a,?b,?c,?d");
	snprintf(results_, sizeof results_, "%s[?a,?b,?c,?d]", to);
	/* |x| + 1/2 for what is not defined everywhere */
	if (positive)
		snprintf(body, sizeof body,
			 " %%h = const dense<0.5> : %s[]\n %%m = abs %%p : %s[?a,?b,?c,?d]\n %%n = add %%m, %%h : "
			 "%s[?a,?b,?c,?d]\n"
			 " %%y = %s %%n%s%s : %s[?a,?b,?c,?d]",
			 type, type, type, op, nin > 1 ? ", %q" : "", attrs, to);
	else
		snprintf(body, sizeof body, " %%y = %s %%p%s%s%s : %s[?a,?b,?c,?d]", op, nin > 1 ? ", %q" : "",
			 nin > 2 ? ", %r" : "", attrs, to);
	run_one(f, &c);
}

static void float_ops_agree_on_all_targets(void **state)
{
	static const char *const types[] = {"f32", "f64", "f16", "bf16"};
	static const char *const plain[] = {
		"neg",    "abs",          "sign",      "floor", "ceil",    "round", "exp",        "sin",
		"cos",    "atan",         "tanh",      "erf",   "sigmoid", "relu",  "softplus",   "softsign",
		"gelu",   "silu",         "mish",      "elu",   "celu",    "selu",  "leaky_relu", "thresholded_relu",
		"shrink", "hard_sigmoid", "hard_swish"};
	static const char *const positive[] = {"sqrt", "reciprocal", "log", "asinh"};
	static const char *const two[] = {"add", "sub", "mul", "div", "min", "max", "prelu", "mod"};

	for (size_t t = 0; t < FTL_COUNT(types); t++) {
		for (size_t i = 0; i < FTL_COUNT(plain); i++)
			elementwise(*state, plain[i], "", types[t], types[t], 1, false);
		for (size_t i = 0; i < FTL_COUNT(positive); i++)
			elementwise(*state, positive[i], "", types[t], types[t], 1, true);
		for (size_t i = 0; i < FTL_COUNT(two); i++)
			elementwise(*state, two[i], "", types[t], types[t], 2, false);
		elementwise(*state, "pow", "", types[t], types[t], 2, true);
		elementwise(*state, "gelu", " {approximate=\"tanh\"}", types[t], types[t], 1, false);
		elementwise(*state, "gelu", " {approximate=\"quick\"}", types[t], types[t], 1, false);
		elementwise(*state, "mod", " {fmod=true}", types[t], types[t], 2, false);
		elementwise(*state, "is_nan", "", types[t], "bool", 1, false);
		elementwise(*state, "is_inf", "", types[t], "bool", 1, false);
		elementwise(*state, "lt", "", types[t], "bool", 2, false);
		elementwise(*state, "cast", " {to=i32}", types[t], "i32", 1, false);
		elementwise(*state, "cast", " {to=bool}", types[t], "bool", 1, false);
		elementwise(*state, "cast", " {to=f16}", types[t], "f16", 1, false);
	}
}

static void integer_ops_agree_on_all_targets(void **state)
{
	static const char *const types[] = {"i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"};
	static const char *const two[] = {"add", "sub", "mul",     "div",    "min",    "max",
					  "mod", "pow", "bit_and", "bit_or", "bit_xor"};
	static const char *const compare[] = {"eq", "lt", "le", "gt", "ge"};

	for (size_t t = 0; t < FTL_COUNT(types); t++) {
		for (size_t i = 0; i < FTL_COUNT(two); i++)
			elementwise(*state, two[i], "", types[t], types[t], 2, false);
		for (size_t i = 0; i < FTL_COUNT(compare); i++)
			elementwise(*state, compare[i], "", types[t], "bool", 2, false);
		elementwise(*state, "abs", "", types[t], types[t], 1, false);
		elementwise(*state, "sign", "", types[t], types[t], 1, false);
		elementwise(*state, "bit_not", "", types[t], types[t], 1, false);
		elementwise(*state, "cast", " {to=f32}", types[t], "f32", 1, false);
		elementwise(*state, "cast", " {to=u8}", types[t], "u8", 1, false);
		if (types[t][0] == 'u') {
			elementwise(*state, "shift", "", types[t], types[t], 2, false);
			elementwise(*state, "shift", " {left=false}", types[t], types[t], 2, false);
		}
	}
	elementwise(*state, "and", "", "bool", "bool", 2, false);
	elementwise(*state, "or", "", "bool", "bool", 2, false);
	elementwise(*state, "xor", "", "bool", "bool", 2, false);
	elementwise(*state, "not", "", "bool", "bool", 1, false);
	elementwise(*state, "where", "", "bool", "bool", 3, false);
}

/* ---- tables ---- */

#define CONST(name, values, type) " %" name " = const dense<" values "> : " type "\n"

static const sample values[] = {
	{"relu keeps NaN", "", "f32[4]", CONST("x", "[-1,0,2,nan]", "f32[4]") " %y = relu %x : f32[4]", NULL, NULL,
	 "0,0,2,nan", NULL},
	{"NaN wins in min", "", "f32[3]",
	 CONST("x", "[nan,1,2]", "f32[3]") CONST("z", "[0,nan,1]", "f32[3]") " %y = min %x, %z : f32[3]", NULL, NULL,
	 "nan,nan,1", NULL},
	{"mod has the divisor's sign", "", "i32[4]",
	 CONST("x", "[-4,7,5,-7]", "i32[4]") CONST("z", "[3,-3,8,-8]", "i32[4]") " %y = mod %x, %z : i32[4]", NULL,
	 NULL, "2,-2,5,-7", NULL},
	{"fmod has the dividend's", "", "i32[4]",
	 CONST("x", "[-4,7,5,-7]", "i32[4]")
		 CONST("z", "[3,-3,8,-8]", "i32[4]") " %y = mod %x, %z {fmod=true} : i32[4]",
	 NULL, NULL, "-1,1,5,-7", NULL},
	{"integer powers", "", "i32[6]",
	 CONST("x", "[2,-3,0,-1,1,5]", "i32[6]") CONST("z", "[10,3,70,65,-2,-1]", "i32[6]") " %y = pow %x, %z : i32[6]",
	 NULL, NULL, "1024,-27,0,-1,1,0", NULL},
	{"integers divide towards 0", "", "i8[3]",
	 CONST("x", "[-7,7,-128]", "i8[3]") CONST("z", "[2,-2,-1]", "i8[3]") " %y = div %x, %z : i8[3]", NULL, NULL,
	 "-3,-3,-128", NULL},
	{"clip: high wins", "", "f32[2]",
	 CONST("x", "[0,9]", "f32[2]") CONST("l", "3", "f32[]")
		 CONST("h", "1", "f32[]") " %y = clip %x, %l, %h : f32[2]",
	 NULL, NULL, "1,1", NULL},
	{"cast rounds to f16", "", "f32[2]",
	 CONST("x", "[2049,0.1]", "f32[2]") " %h = cast %x {to=f16} : f16[2]\n %y = cast %h {to=f32} : f32[2]", NULL,
	 NULL, "2048,0.0999756", NULL},
	{"softmax", "", "f32[2,3]", CONST("x", "[0,1,2,10000,10001,10002]", "f32[2,3]") " %y = softmax %x : f32[2,3]",
	 NULL, NULL, "0.09003,0.24473,0.66524,0.09003,0.24473,0.66524", NULL},
	{"layer_norm", "", "f32[1,4]", CONST("x", "[1,2,3,4]", "f32[1,4]") " %y = layer_norm %x {epsilon=0} : f32[1,4]",
	 NULL, NULL, "-1.34164,-0.447214,0.447214,1.34164", NULL},
	{"arg_max takes the first", "", "i64[2]",
	 CONST("x", "[2,2,1,1,3,3]", "f32[2,3]") " %y = arg_max %x {axis=1, keepdims=false} : i64[2]", NULL, NULL,
	 "0,1", NULL},
	{"arg_max takes the last", "", "i64[2]",
	 CONST("x", "[2,2,1,1,3,3]", "f32[2,3]") " %y = arg_max %x {axis=1, keepdims=false, select_last=true} : i64[2]",
	 NULL, NULL, "1,2", NULL},
	{"empty sums are 0", "%x: f32[?a,?zero]", "f32[?a,1]", " %y = reduce_sum %x {axes=[1]} : f32[?a,1]", NULL, NULL,
	 "0,0,0", NULL},
	{"empty maxima are -inf", "%x: f32[?zero,?a]", "f32[?a]",
	 " %y = reduce_max %x {axes=[0], keepdims=false} : f32[?a]", NULL, NULL, "-inf,-inf,-inf", NULL},
	{"topk: equal ones by index", "", "i64[4]",
	 CONST("x", "[3,1,3,7,3]", "f32[5]") CONST("n", "[4]", "i64[1]") " %v, %y = topk %x, %n : f32[4], i64[4]", NULL,
	 NULL, "3,0,2,4", NULL},
	{"unique in order of appearance", "", "i64[?unique]",
	 CONST("x", "[2,1,1,3,4,3]", "i64[6]") " %y, %i, %v, %c = unique %x {sorted=false} : i64[?unique], "
					       "i64[?unique], i64[6], i64[?unique]",
	 NULL, NULL, "2,1,3,4", NULL},
	{"last scatter wins", "", "f32[4]",
	 CONST("x", "[0,0,0,0]", "f32[4]") CONST("i", "[1,3,1]", "i64[3,1]")
		 CONST("u", "[5,6,7]", "f32[3]") " %y = scatter_nd %x, %i, %u : f32[4]",
	 NULL, NULL, "0,7,0,6", NULL},
	{"quantize saturates", "", "u8[4]",
	 CONST("x", "[-9,0.5,1.5,999]", "f32[4]") CONST("s", "1", "f32[]")
		 CONST("z", "10", "u8[]") " %y = quantize %x, %s, %z {axis=-1} : u8[4]",
	 NULL, NULL, "1,10,12,255", NULL},
	{"reflect", "", "f32[7]",
	 CONST("x", "[1,2,3]", "f32[3]") " %y = pad %x {mode=\"reflect\", pads=[2,2]} : f32[7]", NULL, NULL,
	 "3,2,1,2,3,2,1", NULL},
};

static const sample shapes[] = {
	{"expand by a run-time shape", "%x: f32[?b,?one,?d], %s: i64[4]", "f32[?expand,?expand_1,?expand_2,?expand_3]",
	 " %y = expand %x, %s : f32[?expand,?expand_1,?expand_2,?expand_3]", NULL, "2,1,4,37", NULL, NULL},
	{"expand to what does not fit", "%x: f32[?b,?d], %s: i64[2]", "f32[?expand,?expand_1]",
	 " %y = expand %x, %s : f32[?expand,?expand_1]", NULL, "4,37", NULL, "fit"},
	{"reshape at run time", "%x: f32[?a,?b,?d], %s: i64[3]", "f32[?reshape,?reshape_1,?reshape_2]",
	 " %r = reshape %x, %s : f32[?reshape,?reshape_1,?reshape_2]\n %y = exp %r : "
	 "f32[?reshape,?reshape_1,?reshape_2]",
	 NULL, "0,37,-1", NULL, NULL},
	{"reshape to what does not fit", "%x: f32[?a,?b], %s: i64[2]", "f32[?reshape,?reshape_1]",
	 " %y = reshape %x, %s : f32[?reshape,?reshape_1]", NULL, "4,-1", NULL, "fit"},
	{"fill a run-time shape", "%s: i64[2]", "i32[?fill,?fill_1]",
	 " %y = fill %s {dtype=i32, ivalue=7} : i32[?fill,?fill_1]", NULL, "2,3", "7,7,7,7,7,7", NULL},
	{"fill a negative shape", "%s: i64[2]", "i32[?fill,?fill_1]", " %y = fill %s {dtype=i32} : i32[?fill,?fill_1]",
	 NULL, "2,-3", NULL, "negative"},
	{"fill an absurd shape", "%s: i64[2]", "i32[?fill,?fill_1]", " %y = fill %s {dtype=i32} : i32[?fill,?fill_1]",
	 NULL, "35184372088832,35184372088832", NULL, "TB"},
	{"range backwards", "%a: i64[], %b: i64[], %c: i64[]", "i64[?range]", " %y = range %a, %b, %c : i64[?range]",
	 NULL, "7,-4,-3", "7,4,1,-2", NULL},
	{"range by nothing", "%a: i64[], %b: i64[], %c: i64[]", "i64[?range]", " %y = range %a, %b, %c : i64[?range]",
	 NULL, "7,-4,0", NULL, "delta"},
	{"slice at run time", "%x: f32[?a,?d], %s: i64[1], %e: i64[1]", "f32[?a,?slice]",
	 " %y = slice %x, %s, %e {axes=[1], steps=[-2]} : f32[?a,?slice]", NULL, "-1,-1000", NULL, NULL},
	{"determinants", "%x: f64[?a,?b,?b]", "f64[?a]", " %y = det %x : f64[?a]", NULL, NULL, NULL, NULL},
	{"determinants of vector rows", "%x: f32[?one,?d,?d]", "f32[?one]", " %y = det %x : f32[?one]", NULL, NULL,
	 NULL, NULL},
	{"determinant of nothing", "%x: f32[?zero,?zero]", "f32[]", " %y = det %x : f32[]", NULL, NULL, "1", NULL},
	{"determinant with a row to swap", "%x: f32[2,2]", "f32[]",
	 " %m = const dense<[0,3,2,5]> : f32[2,2]\n %y = det %m : f32[]", NULL, NULL, "-6", NULL},
	{"determinant of a matrix that is not square", "%x: f32[?a,?b]", "f32[]", " %y = det %x : f32[]", NULL, NULL,
	 NULL, "the matrix is not square"},
	{"slice with steps at run time", "%x: f32[?a,?d], %s: i64[2], %e: i64[2], %t: i64[2]", "f32[?p,?q]",
	 " %y = slice %x, %s, %e, %t : f32[?p,?q]", NULL, "-1,-2,-9,0,-1,-3", NULL, NULL},
	{"slice with a step of 0 at run time", "%x: f32[?a,?d], %s: i64[1], %e: i64[1], %t: i64[1]", "f32[?p,?d]",
	 " %y = slice %x, %s, %e, %t {axes=[0]} : f32[?p,?d]", NULL, "0,2,0", NULL, "a step of the slice is 0"},
	{"slice of a symbolic axis", "%x: f32[?a,?d]", "f32[?a,?d-3]",
	 " %y = slice %x {axes=[1], starts=[3], sizes=[?d-3]} : f32[?a,?d-3]", NULL, NULL, NULL, NULL},
	{"slice beyond the axis", "%x: f32[?a,?b]", "f32[?a,4]",
	 " %y = slice %x {axes=[1], starts=[3], sizes=[4]} : f32[?a,4]", NULL, NULL, NULL, "leaves"},
	{"pad at run time", "%x: f32[?a,?d], %s: i64[4]", "f32[?pad,?pad_1]",
	 CONST("v", "9", "f32[]") " %y = pad %x, %v, %s : f32[?pad,?pad_1]", NULL, "1,3,-1,2", NULL, NULL},
	{"pad an empty axis with its edge", "%x: f32[?zero]", "f32[?zero+2]",
	 " %y = pad %x {mode=\"edge\", pads=[1,1]} : f32[?zero+2]", NULL, NULL, NULL, "empty"},
	{"tile at run time", "%x: f32[?a,?d], %s: i64[2]", "f32[?tile,?tile_1]",
	 " %y = tile %x, %s : f32[?tile,?tile_1]", NULL, "2,3", NULL, NULL},
	{"one_hot of run-time depth", "%i: i64[?k], %n: i64[], %v: f32[2]", "f32[?k,?depth]",
	 " %y = one_hot %i, %n, %v : f32[?k,?depth]", NULL, "0,-1,2,9,3", NULL, NULL},
	{"topk of run-time k", "%x: f32[?a,?d], %n: i64[1]", "f32[?a,?k_], i64[?a,?k_]",
	 " %v, %i = topk %x, %n : f32[?a,?k_], i64[?a,?k_]", "%v, %i", "6", NULL, NULL},
	{"topk of too many", "%x: f32[?a,?b], %n: i64[1]", "f32[?a,?k_], i64[?a,?k_]",
	 " %v, %i = topk %x, %n : f32[?a,?k_], i64[?a,?k_]", "%v, %i", "6", NULL, "k is larger"},
	{"non_zero, then what it finds", "%x: bool[?a,?d]", "i64[?nonzero,2]",
	 " %n = non_zero %x : i64[2,?nonzero]\n %y = transpose %n {perm=[1,0]} : i64[?nonzero,2]", NULL, NULL, NULL,
	 NULL},
	{"compress", "%x: f32[?a,?d,?b], %m: bool[?d]", "f32[?a,?kept,?b]",
	 " %y = compress %x, %m {axis=1} : f32[?a,?kept,?b]", NULL, NULL, NULL, NULL},
	{"compress by too many", "%x: f32[?a,?b], %m: bool[?d]", "f32[?a,?kept]",
	 " %y = compress %x, %m {axis=1} : f32[?a,?kept]", NULL, NULL, NULL, "more conditions"},
	{"unique slices", "%x: i32[?d,2]", "i32[?unique,2], i64[?unique], i64[?d], i64[?unique]",
	 " %a, %b, %c, %d = unique %x {axis=0} : i32[?unique,2], i64[?unique], i64[?d], i64[?unique]", "%a, %b, %c, %d",
	 NULL, NULL, NULL},
	{"dims", "%x: f32[?a,?b,?d]", "i64[2], i64[], i32[2]",
	 " %s = shape %x {start=-2} : i64[2]\n %n = size %x : i64[]\n %d = dims {values=[?a*?b,7], dtype=i32} : i32[2]",
	 "%s, %n, %d", NULL, "5,37", NULL},
};

static const sample moves[] = {
	{"transpose", "%x: f32[?a,?b,?c,?d]", "f32[?d,?a,?c,?b]",
	 " %y = transpose %x {perm=[3,0,2,1]} : f32[?d,?a,?c,?b]", NULL, NULL, NULL, NULL},
	{"transpose keeping the last", "%x: i8[?a,?b,?d]", "i8[?b,?a,?d]",
	 " %y = transpose %x {perm=[1,0,2]} : i8[?b,?a,?d]", NULL, NULL, NULL, NULL},
	{"gather rows", "%x: f32[?c,?d], %i: i64[?a,?b]", "f32[?a,?b,?d]", " %y = gather %x, %i : f32[?a,?b,?d]", NULL,
	 "0,1,2,3,4,5,6,-1,-2,-3,-4,-5,-6,-7,0", NULL, NULL},
	{"gather columns", "%x: f32[?c,?d], %i: i32[?d]", "f32[?c,?d]", " %y = gather %x, %i {axis=1} : f32[?c,?d]",
	 NULL, NULL, NULL, NULL},
	{"gather out of range", "%x: f32[?c,?d], %i: i64[1]", "f32[1,?d]", " %y = gather %x, %i : f32[1,?d]", NULL, "7",
	 NULL, "index out of range"},
	{"gather from nothing", "%x: f32[?zero,?d], %i: i64[1]", "f32[1,?d]", " %y = gather %x, %i : f32[1,?d]", NULL,
	 "0", NULL, "empty"},
	{"gather_elements", "%x: f32[?c,?d], %i: i64[2,?d]", "f32[2,?d]",
	 CONST("m", "7", "i64[]") " %j = mod %i, %m : i64[2,?d]\n %y = gather_elements %x, %j : f32[2,?d]", NULL, NULL,
	 NULL, NULL},
	{"gather_nd", "%x: f32[?c,?d,?b], %i: i64[?a,2]", "f32[?a,?b]", " %y = gather_nd %x, %i : f32[?a,?b]", NULL,
	 "0,36,-1,5,6,-37", NULL, NULL},
	{"trilu", "%x: f32[?a,?b,?d], %k: i64[]", "f32[?a,?b,?d]", " %y = trilu %x, %k {upper=false} : f32[?a,?b,?d]",
	 NULL, "3", NULL, NULL},
	{"reverse_sequence", "%x: f32[?b,?d], %l: i64[?b]", "f32[?b,?d]",
	 " %y = reverse_sequence %x, %l {batch_axis=0, time_axis=1} : f32[?b,?d]", NULL, "37,0,1,20,36", NULL, NULL},
	{"eye_like", "%x: f32[?c,?d]", "f32[?c,?d]", " %y = eye_like %x {k=2} : f32[?c,?d]", NULL, NULL, NULL, NULL},
	{"concat", "%x: f32[?a,?b], %z: f32[?a,?d]", "f32[?a,?b+?d+?b]",
	 " %y = concat %x, %z, %x {axis=1} : f32[?a,?b+?d+?b]", NULL, NULL, NULL, NULL},
	{"scatter_elements adds", "%x: f32[?c,?d], %i: i64[?a,?d], %u: f32[?a,?d]", "f32[?c,?d]",
	 CONST("m", "7", "i64[]") " %j = mod %i, %m : i64[?a,?d]\n %y = scatter_elements %x, %j, %u "
				  "{reduction=\"add\"} : f32[?c,?d]",
	 NULL, NULL, NULL, NULL},
	{"scatter_nd by tuples whose length the updates tell", "%x: f32[?c,?d], %i: i64[?a,?two], %u: f32[?a]",
	 "f32[?c,?d]", " %y = scatter_nd %x, %i, %u : f32[?c,?d]", NULL, "6,0,-1,3,2,2", NULL, NULL},
	{"scatter_nd by tuples of another length", "%x: f32[?c,?d], %i: i64[?a,?b], %u: f32[?a]", "f32[?c,?d]",
	 " %y = scatter_nd %x, %i, %u : f32[?c,?d]", NULL, NULL, NULL, "another length"},
	{"scatter_nd of slices", "%x: f32[?c,?d], %i: i64[?a,1], %u: f32[?a,?d]", "f32[?c,?d]",
	 " %y = scatter_nd %x, %i, %u {reduction=\"max\"} : f32[?c,?d]", NULL, "6,0,-1", NULL, NULL},
	{"quantize per axis", "%x: f32[?a,?b,?d], %s: f32[?b], %z: u8[?b]", "u8[?a,?b,?d]",
	 " %t = abs %s : f32[?b]\n %h = const dense<0.01> : f32[]\n %u = add %t, %h : f32[?b]\n %y = quantize %x, %u, "
	 "%z : u8[?a,?b,?d]",
	 NULL, NULL, NULL, NULL},
	{"dequantize per block", "%x: i8[?a,36], %s: f32[?a,6]", "f32[?a,36]",
	 " %y = dequantize %x, %s {block=6} : f32[?a,36]", NULL, NULL, NULL, NULL},
	{"resize cubic", "%x: f32[?a,?b,9]", "f32[?a,2*?b,20]",
	 " %y = resize %x {mode=\"cubic\", dims=[?a,2*?b,20]} : f32[?a,2*?b,20]", NULL, NULL, NULL, NULL},
	{"grid_sample", "%x: f32[?a,2,?b,?c], %g: f32[?a,4,?d,2]", "f32[?a,2,4,?d]",
	 " %y = grid_sample %x, %g {padding=\"reflection\"} : f32[?a,2,4,?d]", NULL, NULL, NULL, NULL},
	{"avg_pool", "%x: f32[?a,2,?c,?d]", "f32[?a,2,?c,?d]",
	 " %y = avg_pool %x {kernel=[3,3], strides=[1,1], pads=[1,1,1,1], dilations=[1,1]} : f32[?a,2,?c,?d]", NULL,
	 NULL, NULL, NULL},
	{"random numbers do not depend on the schedule", "", "f32[5,37], f32[5,37]",
	 " %u = random_uniform {dims=[5,37], seed=3} : f32[5,37]\n %n = random_normal {dims=[5,37], seed=3} : "
	 "f32[5,37]",
	 "%u, %n", NULL, NULL, NULL},
};

static void ops_give_the_values_of_the_standard(void **state)
{
	run(*state, values, FTL_COUNT(values));
}

static void shapes_known_only_at_run_time(void **state)
{
	run(*state, shapes, FTL_COUNT(shapes));
}

static void moving_ops_agree_on_all_targets(void **state)
{
	run(*state, moves, FTL_COUNT(moves));
}

/* Every reduction over every set of axes, and every row op along every axis, symbolic. */
static void reductions_agree_over_all_axes(void **state)
{
	static const char *const ops[] = {"reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_prod"};
	static const char *const dims[] = {"?a", "?b", "?d"};
	struct fix *f = *state;

	for (unsigned set = 1; set < 8; set++) {
		for (size_t i = 0; i < FTL_COUNT(ops) * 2; i++) {
			const char *type = i % 2 ? "f16" : "f32";
			char axes[32] = "", out[64] = "", body[384], result[96];
			sample c = {.name = ops[i / 2],
				    .params = i % 2 ? "%x: f16[?a,?b,?d]" : "%x: f32[?a,?b,?d]",
				    .results = result,
				    .body = body};

			for (unsigned d = 0; d < 3; d++) {
				if (set >> d & 1)
					snprintf(axes + strlen(axes), sizeof axes - strlen(axes), "%s%u",
						 *axes ? "," : "", d);
				snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", d ? "," : "",
					 set >> d & 1 ? "1" : dims[d]);
			}
			snprintf(result, sizeof result, "%s[%s]", type, out);
			/* with something behind it to fuse */
			snprintf(body, sizeof body, " %%r = %s %%x {axes=[%s]} : %s\n %%y = tanh %%r : %s", ops[i / 2],
				 axes, result, result);
			run_one(f, &c);
		}
	}
}

static void row_ops_agree_along_all_axes(void **state)
{
	static const struct {
		const char *op, *type, *to;
	} ops[] = {{"softmax", "f32", NULL},     {"softmax", "f16", NULL},  {"softmax", "f64", NULL},
		   {"log_softmax", "f32", NULL}, {"hardmax", "f32", NULL},  {"layer_norm", "f32", NULL},
		   {"layer_norm", "bf16", NULL}, {"rms_norm", "f32", NULL}, {"cum_sum", "f32", NULL},
		   {"cum_sum", "i32", NULL},     {"cum_prod", "f32", NULL}, {"cum_prod", "i64", NULL},
		   {"arg_max", "i32", "i64"},    {"arg_min", "f32", "i64"}};
	static const char *const kept[] = {"[1,?b,?d]", "[?a,1,?d]", "[?a,?b,1]"};
	struct fix *f = *state;

	for (size_t i = 0; i < FTL_COUNT(ops) * 3; i++) {
		char body[256], params[64], result[64];
		sample c = {.name = ops[i / 3].op, .params = params, .results = result, .body = body};

		snprintf(params, sizeof params, "%%x: %s[?a,?b,?d]", ops[i / 3].type);
		snprintf(result, sizeof result, "%s%s", ops[i / 3].to ? ops[i / 3].to : ops[i / 3].type,
			 ops[i / 3].to ? kept[i % 3] : "[?a,?b,?d]");
		snprintf(body, sizeof body, " %%y = %s %%x {axis=%d} : %s", ops[i / 3].op, (int)(i % 3), result);
		run_one(f, &c);
	}
}

/* Unknown pieces: more sizes than one expression may have terms, so that the run adds them up. */
static void many_unknown_pieces_are_joined(void **state)
{
	enum { PIECES = 300 };
	struct fix *f = *state;
	ftl_text body, in;
	sample c = {
		.name = "concat of unknown pieces", .params = "%x: f32[?d]", .results = "f32[?concat]", .ret = "%y"};

	ftl_text_init(&body, &f->arena);
	ftl_text_init(&in, &f->arena);
	for (int i = 0; i < PIECES; i++) {
		ftl_text_add(&body, " %%n%d = non_zero %%x : i64[1,?n%d]\n", i, i);
		ftl_text_add(&body, " %%r%d = reshape %%n%d {dims=[?n%d]} : i64[?n%d]\n", i, i, i, i);
		ftl_text_add(&in, "%s%%r%d", i ? ", " : "", i);
	}
	ftl_text_add(&body, " %%c = concat %s {axis=0} : i64[?concat]\n %%y = cast %%c {to=f32} : f32[?concat]", in.v);
	c.body = body.v;
	run_one(f, &c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(float_ops_agree_on_all_targets, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(integer_ops_agree_on_all_targets, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(ops_give_the_values_of_the_standard, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(shapes_known_only_at_run_time, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(moving_ops_agree_on_all_targets, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(reductions_agree_over_all_axes, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(many_unknown_pieces_are_joined, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(row_ops_agree_along_all_axes, lower_setup, lower_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
