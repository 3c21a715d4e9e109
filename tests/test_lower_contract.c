/* Lowerings of contractions, convolutions, recurrent ops, transforms, and control flow; fused epilogues and in-place
 * results. The harness is in support/lower_cases.h. */
#include "lower_cases.h"

#include <stdio.h>

/* ---- products of every size around the tile's edges ---- */

static void products_agree_at_all_tile_edges(void **state)
{
	static const int m[] = {1, 2, 5, 6, 7, 8, 9, 16, 19, 131}, n[] = {1, 3, 16, 17, 47, 48, 49, 97},
			 k[] = {1, 4, 33};
	char params[128], results[64], body[256];
	sample c = {.name = body, .params = params, .results = results, .body = body};

	for (size_t i = 0; i < FTL_COUNT(m); i++)
		for (size_t j = 0; j < FTL_COUNT(n); j++)
			for (size_t l = 0; l < FTL_COUNT(k); l++)
				for (int t = 0; t < 4; t++) {
					bool ta = t & 1, tb = t & 2;

					if (t && (m[i] > 20 || n[j] == 97))
						continue;
					snprintf(params, sizeof params, "%%a: f32[%d,%d], %%b: f32[%d,%d]",
						 ta ? k[l] : m[i], ta ? m[i] : k[l], tb ? n[j] : k[l],
						 tb ? k[l] : n[j]);
					snprintf(results, sizeof results, "f32[%d,%d]", m[i], n[j]);
					snprintf(body, sizeof body,
						 " %%y = matmul %%a, %%b {trans_a=%s, trans_b=%s, alpha=0.5} : "
						 "f32[%d,%d]",
						 ta ? "true" : "false", tb ? "true" : "false", m[i], n[j]);
					run_one(*state, &c);
				}
}

static const sample products[] = {
	{.name = "a constant knows the inner size",
	 .params = "%a: f32[?a,?c]",
	 .results = "f32[?a,2]",
	 .body = " %w = const dense<[1,2,3,4,5,6,7,8,9,10,11,12,13,14]> : f32[7,2]\n %y = matmul %a, %w : f32[?a,2]"},
	{.name = "a constant of another inner size",
	 .params = "%a: f32[?a,?b]",
	 .results = "f32[?a,2]",
	 .body = " %w = const dense<[1,2,3,4,5,6,7,8,9,10,11,12,13,14]> : f32[7,2]\n %y = matmul %a, %w : f32[?a,2]",
	 .error = "the operands' inner dims differ"},
	{.name = "symbolic sizes",
	 .params = "%a: f32[?a,?d,?b], %b: f32[?a,?b,?d]",
	 .results = "f32[?a,?d,?d]",
	 .body = " %y = matmul %a, %b : f32[?a,?d,?d]"},
	{.name = "symbolic rows, one of them",
	 .params = "%a: f32[?one,?b], %b: f32[?b,?d]",
	 .results = "f32[?one,?d]",
	 .body = " %y = matmul %a, %b : f32[?one,?d]"},
	{.name = "no rows",
	 .params = "%a: f32[?zero,?b], %b: f32[?b,?d]",
	 .results = "f32[?zero,?d]",
	 .body = " %y = matmul %a, %b : f32[?zero,?d]"},
	{.name = "no inner elements",
	 .params = "%a: f32[?b,?zero], %b: f32[?zero,?d]",
	 .results = "f32[?b,?d]",
	 .body = " %y = matmul %a, %b : f32[?b,?d]"},
	{.name = "batch broadcast both ways",
	 .params = "%a: f32[?a,1,9,5], %b: f32[1,?k,5,?d]",
	 .results = "f32[?a,?k,9,?d]",
	 .body = " %y = matmul %a, %b : f32[?a,?k,9,?d]"},
	{.name = "batch of one, unknown to the compiler",
	 .params = "%a: f32[?one,9,5], %b: f32[?a,5,20]",
	 .results = "f32[max(?a,?one),9,20]",
	 .body = " %y = matmul %a, %b : f32[max(?a,?one),9,20]"},
	{.name = "vector times matrix",
	 .params = "%a: f32[33], %b: f32[33,50]",
	 .results = "f32[50]",
	 .body = " %y = matmul %a, %b : f32[50]"},
	{.name = "matrix times vector",
	 .params = "%a: f32[?a,50,33], %b: f32[33]",
	 .results = "f32[?a,50]",
	 .body = " %y = matmul %a, %b : f32[?a,50]"},
	{.name = "dot",
	 .params = "%a: f32[33], %b: f32[33]",
	 .results = "f32[]",
	 .body = " %y = matmul %a, %b : f32[]"},
	{.name = "doubles",
	 .params = "%a: f64[9,?c], %b: f64[?c,?d]",
	 .results = "f64[9,?d]",
	 .body = " %y = matmul %a, %b : f64[9,?d]"},
	{.name = "halves",
	 .params = "%a: f16[9,?c], %b: f16[?c,?d]",
	 .results = "f16[9,?d]",
	 .body = " %y = matmul %a, %b : f16[9,?d]"},
	{.name = "bytes",
	 .params = "%a: u8[9,?c], %b: i8[?c,?d]",
	 .results = "i32[9,?d]",
	 .body = " %y = matmul %a, %b : i32[9,?d]"},
	{.name = "deep, in blocks of k",
	 .params = "%a: f32[17,3000], %b: f32[3000,50]",
	 .results = "f32[17,50]",
	 .body = " %z = matmul %a, %b : f32[17,50]\n %e = const dense<0.001> : f32[]\n %y = mul %z, %e : f32[17,50]"},
	{.name = "deep, in blocks of k, into halves",
	 .params = "%a: f32[17,3000], %b: f32[3000,50]",
	 .results = "f16[17,50]",
	 .body = " %z = matmul %a, %b : f32[17,50]\n %e = const dense<0.0001> : f32[]\n %s = mul %z, %e : f32[17,50]\n "
		 "%y = cast %s {to=f16} : "
		 "f16[17,50]"},
	{.name = "bias, residual",
	 .params = "%a: f32[?a,?d,8], %b: f32[8,50], %c: f32[50], %r: f32[?a,?d,50]",
	 .results = "f32[?a,?d,50]",
	 .body = " %p = matmul %a, %b : f32[?a,?d,50]\n %q = add %p, %c : f32[?a,?d,50]\n %y = add %r, %q : "
		 "f32[?a,?d,50]"},
	{.name = "bias, costly activation",
	 .params = "%a: f32[?a,?d,8], %b: f32[8,50], %c: f32[50]",
	 .results = "f32[?a,?d,50]",
	 .body = " %p = matmul %a, %b : f32[?a,?d,50]\n %q = add %p, %c : f32[?a,?d,50]\n %y = gelu %q : "
		 "f32[?a,?d,50]"},
	{.name = "two products meet",
	 .params = "%a: f32[20,8], %b: f32[8,50]",
	 .results = "f32[20,50]",
	 .body = " %p = matmul %a, %b : f32[20,50]\n %s = sin %b : f32[8,50]\n %q = matmul %a, %s : f32[20,50]\n"
		 " %m = mul %p, %q : f32[20,50]\n %y = relu %m : f32[20,50]"},
	{.name = "a chain's operand is computed in it",
	 .params = "%a: f32[20,8], %b: f32[8,50], %c: f32[20,50]",
	 .results = "f32[20,50]",
	 .body = " %p = matmul %a, %b : f32[20,50]\n %e = exp %c : f32[20,50]\n %n = neg %e : f32[20,50]\n %y = sub "
		 "%p, %n : f32[20,50]"},
	{.name = "inner sizes differ at run time",
	 .params = "%a: f32[4,?b], %b: f32[?c,4]",
	 .results = "f32[4,4]",
	 .body = " %y = matmul %a, %b : f32[4,4]",
	 .error = "inner dims differ"},
};

static void products_agree_on_all_targets(void **state)
{
	run(*state, products, FTL_COUNT(products));
}

/* ---- convolutions, pools ---- */

static const sample convolutions[] = {
	{.name = "one column",
	 .params = "%x: f32[1,4,1], %w: f32[4,4,3], %b: f32[4]",
	 .results = "f32[1,4,1]",
	 .body = " %y = conv %x, %w, %b {pads=[1,1]} : f32[1,4,1]"},
	{.name = "3x3, padded",
	 .params = "%x: f32[2,3,9,11], %w: f32[8,3,3,3], %b: f32[8]",
	 .results = "f32[2,8,9,11]",
	 .body = " %y = conv %x, %w, %b {pads=[1,1,1,1]} : f32[2,8,9,11]"},
	{.name = "rows shorter than a vector, repeated end",
	 .params = "%x: f32[1,32,6,5], %w: f32[64,32,3,3]",
	 .results = "f32[1,64,6,5]",
	 .body = " %y = conv %x, %w {pads=[1,1,1,1]} : f32[1,64,6,5]"},
	{.name = "patches",
	 .params = "%x: f32[2,3,8,8], %w: f32[16,3,4,4], %b: f32[16]",
	 .results = "f32[2,16,2,2]",
	 .body = " %y = conv %x, %w, %b {strides=[4,4]} : f32[2,16,2,2]"},
	{.name = "1x1",
	 .params = "%x: f32[2,5,7,6], %w: f32[9,5,1,1]",
	 .results = "f32[2,9,7,6]",
	 .body = " %y = conv %x, %w : f32[2,9,7,6]"},
	{.name = "depthwise, dilated, uneven pads",
	 .params = "%x: f32[2,6,9,20], %w: f32[6,1,3,3]",
	 .results = "f32[2,6,8,18]",
	 .body = " %y = conv %x, %w {group=6, dilations=[2,2], pads=[1,0,2,2]} : f32[2,6,8,18]"},
	{.name = "grouped",
	 .params = "%x: f32[2,6,9,20], %w: f32[10,3,2,3]",
	 .results = "f32[2,10,8,18]",
	 .body = " %y = conv %x, %w {group=2} : f32[2,10,8,18]"},
	{.name = "1-D, symbolic length",
	 .params = "%x: f32[?a,4,?d], %w: f32[6,4,5], %b: f32[6]",
	 .results = "f32[?a,6,?d]",
	 .body = " %y = conv %x, %w, %b {pads=[2,2]} : f32[?a,6,?d]"},
	{.name = "3-D",
	 .params = "%x: f32[1,2,4,5,6], %w: f32[5,2,2,2,2]",
	 .results = "f32[1,5,3,4,5]",
	 .body = " %y = conv %x, %w : f32[1,5,3,4,5]"},
	{.name = "activation and residual behind it",
	 .params = "%x: f32[2,3,9,11], %w: f32[8,3,3,3], %r: f32[2,8,9,11]",
	 .results = "f32[2,8,9,11]",
	 .body = " %c = conv %x, %w {pads=[1,1,1,1]} : f32[2,8,9,11]\n %s = sigmoid %c : f32[2,8,9,11]\n %y = add %s, "
		 "%r : f32[2,8,9,11]"},
	{.name = "operand along width only",
	 .params = "%x: f32[2,3,9,11], %w: f32[8,3,3,3], %r: f32[11]",
	 .results = "f32[2,8,9,11]",
	 .body = " %c = conv %x, %w {pads=[1,1,1,1]} : f32[2,8,9,11]\n %y = add %c, %r : f32[2,8,9,11]"},
	{.name = "transposed",
	 .params = "%x: f32[2,4,5,6], %w: f32[4,3,3,3], %b: f32[3]",
	 .results = "f32[2,3,10,13]",
	 .body = " %y = conv_transpose %x, %w, %b {strides=[2,2], pads=[1,0,1,0], output_padding=[1,0]} : "
		 "f32[2,3,10,13]"},
	{.name = "transposed along one long axis, in groups",
	 .params = "%x: f32[?a,4,?d], %w: f32[4,3,5]",
	 .results = "f32[?a,6,3*?d+4]",
	 .body = " %t = conv_transpose %x, %w {strides=[3], dilations=[2], pads=[1,1], output_padding=[0], group=2} : "
		 "f32[?a,6,3*?d+4]\n %y = relu %t : f32[?a,6,3*?d+4]"},
	{.name = "transposed, more stride than kernel",
	 .params = "%x: f64[?a,2,?b,?c], %w: f64[2,3,2,1]",
	 .results = "f64[?a,3,4*?b-2,2*?c]",
	 .body = " %y = conv_transpose %x, %w {strides=[4,2], dilations=[2,1], pads=[1,0,0,0], output_padding=[0,1]} : "
		 "f64[?a,3,4*?b-2,2*?c]"},
	{.name = "transposed with other channels than the weights",
	 .params = "%x: f32[?a,?b,?d], %w: f32[4,3,5]",
	 .results = "f32[?a,3,?d+4]",
	 .body = " %y = conv_transpose %x, %w : f32[?a,3,?d+4]",
	 .error = "do not fit the weights"},
	{.name = "depthwise, every second output",
	 .params = "%x: f32[?a,3,?c,?d], %w: f32[6,1,3,2], %b: f32[6]",
	 .results = "f32[?a,6,?c,div(?d+1,2)]",
	 .body = " %y = conv %x, %w, %b {group=3, strides=[1,2], pads=[1,1,1,0], dilations=[1,1]} : "
		 "f32[?a,6,?c,div(?d+1,2)]"},
	{.name = "depthwise with a kernel too long to unroll",
	 .params = "%x: f64[?a,2,?d], %w: f64[2,1,70]",
	 .results = "f64[?a,2,?d+5]",
	 .body = " %y = conv %x, %w {group=2, strides=[1], pads=[37,37], dilations=[1]} : f64[?a,2,?d+5]"},
	{.name = "largest of bytes, beyond the end",
	 .params = "%x: i8[?a,2,7,37]",
	 .results = "i8[?a,2,4,19]",
	 .body = " %y, %i = max_pool %x {kernel=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=true} : i8[?a,2,4,19], "
		 "i64[?a,2,4,19]"},
	{.name = "averages of what is there",
	 .params = "%x: f32[?a,2,7,37]",
	 .results = "f32[?a,2,4,13], f32[?a,2,4,13], f32[?a,2,7,37]",
	 .body = " %y = avg_pool %x {kernel=[3,4], strides=[2,3], pads=[1,1,1,1], ceil_mode=true} : f32[?a,2,4,13]\n"
		 " %z = avg_pool %x {kernel=[3,4], strides=[2,3], pads=[1,1,1,1], ceil_mode=true, include_pad=true} : "
		 "f32[?a,2,4,13]\n"
		 " %u = avg_pool %x {kernel=[3,3], strides=[1,1], pads=[2,2,2,2], dilations=[2,2]} : f32[?a,2,7,37]",
	 .ret = "%y, %z, %u"},
	{.name = "largest and where",
	 .params = "%x: f32[2,3,8,9]",
	 .results = "f32[2,3,4,4], i64[2,3,4,4]",
	 .body = " %y, %i = max_pool %x {kernel=[2,3], strides=[2,2]} : f32[2,3,4,4], i64[2,3,4,4]",
	 .ret = "%y, %i"},
};

static void convolutions_agree_on_all_targets(void **state)
{
	run(*state, convolutions, FTL_COUNT(convolutions));
}

/* ---- recurrences, transforms ---- */

static const sample sequences[] = {
	{.name = "transforms of sizes with small and with large factors",
	 .params = "%x: f64[?a,?d,2], %y: f32[?b,60,1], %z: f32[?d,?b,?c,2], %u: f32[2,?one,1]",
	 .results = "f64[?a,?d,2], f32[?b,31,2], f32[?d,?b,?c,2], f32[2,?one,2]",
	 .body = " %p = dft %x {axis=1} : f64[?a,?d,2]\n %q = dft %y {axis=1, onesided=true} : f32[?b,31,2]\n"
		 " %r = dft %z {axis=0, inverse=true} : f32[?d,?b,?c,2]\n %s = dft %u {axis=1} : f32[2,?one,2]",
	 .ret = "%p, %q, %r, %s"},
	{.name = "a transform of a length that is data",
	 .params = "%x: f32[?b,?c,2], %n: i64[]",
	 .results = "f32[?b,?dft,2]",
	 .body = " %y = dft %x, %n {axis=1} : f32[?b,?dft,2]",
	 .ints = "19"},
	{.name = "there and back",
	 .params = "%x: f32[?b,?d,1], %n: i64[]",
	 .results = "f32[?b,?dft,1]",
	 .body = " %h = dft %x {axis=1, onesided=true} : f32[?b,div(?d,2)+1,2]\n"
		 " %y = dft %h, %n {axis=1, onesided=true, inverse=true} : f32[?b,?dft,1]",
	 .ints = "37"},
	{.name = "gru of many sequences of different lengths, backwards",
	 .params = "%x: f32[?b,?d,9], %w: f32[1,60,9], %r: f32[1,60,20], %l: i32[?d]",
	 .results = "f32[?b,1,?d,20], f32[1,?d,20]",
	 .body = " %m = const dense<6> : i32[]\n %k = mod %l, %m : i32[?d]\n"
		 " %y, %h = gru %x, %w, %r, _, %k {hidden=20, direction=\"reverse\"} : f32[?b,1,?d,20], f32[1,?d,20]",
	 .ret = "%y, %h"},
	{.name = "recurrent weights for another state",
	 .params = "%x: f32[?b,?a,9], %w: f32[1,?c,9], %r: f32[1,7,7]",
	 .results = "f32[?b,1,?a,7], f32[1,?a,7]",
	 .body = " %y, %h = rnn %x, %w, %r {hidden=7} : f32[?b,1,?a,7], f32[1,?a,7]",
	 .ret = "%y, %h"},
	{.name = "lstm both ways",
	 .params = "%x: f32[?b,?a,9], %w: f32[2,28,9], %r: f32[2,28,7], %b: f32[2,56]",
	 .results = "f32[?b,2,?a,7], f32[2,?a,7], f32[2,?a,7]",
	 .body = " %y, %h, %c = lstm %x, %w, %r, %b {hidden=7, direction=\"bidirectional\"} : f32[?b,2,?a,7], "
		 "f32[2,?a,7], f32[2,?a,7]",
	 .ret = "%y, %h, %c"},
	{.name = "gru, reset after",
	 .params = "%x: f32[?b,?a,9], %w: f32[1,21,9], %r: f32[1,21,7], %b: f32[1,42]",
	 .results = "f32[?b,1,?a,7], f32[1,?a,7]",
	 .body = " %y, %h = gru %x, %w, %r, %b {hidden=7, linear_before_reset=true} : f32[?b,1,?a,7], f32[1,?a,7]",
	 .ret = "%y, %h"},
	{.name = "rnn backwards",
	 .params = "%x: f32[?b,?a,9], %w: f32[1,7,9], %r: f32[1,7,7]",
	 .results = "f32[?b,1,?a,7], f32[1,?a,7]",
	 .body = " %y, %h = rnn %x, %w, %r {hidden=7, direction=\"reverse\"} : f32[?b,1,?a,7], f32[1,?a,7]",
	 .ret = "%y, %h"},
	{.name = "impulse",
	 .params = "%x: f32[1,4,1]",
	 .results = "f32[1,4,2]",
	 .body = " %i = const dense<[1,0,0,0]> : f32[4]\n %r = reshape %i {dims=[1,4,1]} : f32[1,4,1]\n"
		 " %y = dft %r {axis=1} : f32[1,4,2]",
	 .want = "1,0,1,0,1,0,1,0"},
};

static void sequences_agree_on_all_targets(void **state)
{
	run(*state, sequences, FTL_COUNT(sequences));
}

/* ---- control flow ---- */

static const sample flow[] = {
	{.name = "loop adds up and collects",
	 .params = "%x: f32[?d]",
	 .results = "f32[?d], f32[4,?d]",
	 .body = " %m = const dense<4> : i64[]\n"
		 " %y, %s = loop %m, _, %x { (%i: i64[], %go: bool[], %c: f32[?d])\n"
		 "  %n = add %c, %x : f32[?d]\n  %t = const dense<true> : bool[]\n  yield %t, %n, %n } : f32[?d], "
		 "f32[4,?d]",
	 .ret = "%y, %s"},
	{.name = "carried values trade places",
	 .params = "%p: f32[3], %q: f32[3]",
	 .results = "f32[3], f32[3]",
	 .body = " %m = const dense<3> : i64[]\n"
		 " %y, %z = loop %m, _, %p, %q { (%i: i64[], %go: bool[], %a: f32[3], %b: f32[3])\n"
		 "  %t = const dense<true> : bool[]\n  yield %t, %b, %a } : f32[3], f32[3]",
	 .ret = "%y, %z"},
	{.name = "a branch",
	 .params = "%x: f32[?d]",
	 .results = "f32[?d]",
	 .body = " %z = const dense<0> : i64[]\n %k = const dense<[3]> : i64[1]\n %e = reshape %k {dims=[]} : i64[]\n "
		 "%c = lt %z, %e : bool[]\n"
		 " %y = if %c { ()\n  %n = neg %x : f32[?d]\n yield %n } { ()\n  yield %x } : f32[?d]"},
	{.name = "scan collects slices of a size that is data, side by side and backwards",
	 .params = "%x: f32[?d], %e: f32[?b,3]",
	 .results = "f32[3], i64[?scan,?b], i64[?b,?scan_1], i64[?scan_2,?b]",
	 .body = " %z = const dense<[0,0,0]> : f32[3]\n"
		 " %y, %s, %t, %u = scan %z, %e {num_scan_inputs=1, out_axes=[1,0,-1], out_reverse=[0,1,1]} "
		 "{ (%c: f32[3], %v: f32[3])\n  %w = add %c, %v : f32[3]\n  %k = non_zero %x : i64[1,?nz]\n  %q = "
		 "reshape %k "
		 "{dims=[?nz]} : i64[?nz]\n  %i = cast %w {to=i64} : i64[3]\n  %o = const dense<[1]> : i64[1]\n  %j = "
		 "gather "
		 "%i, %o {axis=0} : i64[1]\n  %r = add %q, %j : i64[?nz]\n  yield %w, %r, %r, %r } : f32[3], "
		 "i64[?scan,?b], "
		 "i64[?b,?scan_1], i64[?scan_2,?b]",
	 .ret = "%y, %s, %t, %u"},
	{.name = "scan backwards",
	 .params = "%x: f32[?d,3]",
	 .results = "f32[3], f32[?d,3]",
	 .body = " %z = const dense<0> : f32[3]\n"
		 " %y, %s = scan %z, %x {in_reverse=[1]} { (%c: f32[3], %e: f32[3])\n  %n = add %c, %e : f32[3]\n  "
		 "yield %n, %n } : f32[3], f32[?d,3]",
	 .ret = "%y, %s"},
};

static void control_flow_agrees_on_all_targets(void **state)
{
	run(*state, flow, FTL_COUNT(flow));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(products_agree_at_all_tile_edges, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(products_agree_on_all_targets, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(convolutions_agree_on_all_targets, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(sequences_agree_on_all_targets, lower_setup, lower_teardown),
		cmocka_unit_test_setup_teardown(control_flow_agrees_on_all_targets, lower_setup, lower_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
