/* Type and shape inference. A case is the body of a .fir function: the parser infers every node and refuses a
 * type other than the one written, so the types in the text are the expectations. Contents show in the shape of
 * a later fill, reshape or expand. A case with an error must fail with a message that contains it. */
#include "ir/infer.h"
#include "ir/shape_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

struct fix {
	ftl_arena arena;
	ftl_landing landing;
	ftl_diag diag;
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	*state = f;
	ftl_arena_init(&f->arena, NULL, &f->landing, 0);
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	ftl_arena_free(&f->arena);
	free(f);
	return 0;
}

typedef struct sample {
	const char *name, *params, *body, *error; /* error NULL: must pass */
} sample;

static ftl_status_code parse(struct fix *f, const sample *c, ftl_graph **g)
{
	char text[8192];
	int n = snprintf(text, sizeof text, "func @f(%s) -> () {\n%s\n return\n}\n", c->params, c->body);

	assert_true(n > 0 && (size_t)n < sizeof text);
	ftl_diag_clear(&f->diag);
	return ftl_parse(&f->arena, text, (size_t)n, NULL, &f->diag, g);
}

/* The case as it stands, and inferred twice more: nothing may move. */
static void run_one(struct fix *f, const sample *c)
{
	ftl_text before, after;
	ftl_graph *g = NULL;

	if (parse(f, c, &g) != FTL_OK) {
		if (!c->error || !strstr(f->diag.text, c->error))
			fail_msg("%s: %s", c->name, f->diag.text);
		return;
	}
	if (c->error)
		fail_msg("%s: should fail with \"%s\"", c->name, c->error);
	ftl_text_init(&before, &f->arena);
	ftl_text_init(&after, &f->arena);
	ftl_print(g, &before);
	for (int again = 0; again < 2; again++)
		if (ftl_infer_graph(g, &f->diag) != FTL_OK)
			fail_msg("%s, again: %s", c->name, f->diag.text);
	ftl_print(g, &after);
	assert_string_equal(before.v, after.v);
}

static void run(struct fix *f, const sample *c, size_t n)
{
	if (setjmp(f->landing.jump))
		fail_msg("out of memory");
	for (size_t i = 0; i < n; i++)
		run_one(f, &c[i]);
}

#define I64(name, values, type) " %" name " = const dense<" values "> : i64" type "\n"

static const sample chains[] = {
	{"shape, gather, unsqueeze, concat, reshape with -1", "%x: f32[?b,?s,768]",
	 " %sh = shape %x : i64[3]\n" I64(
		 "zero", "0",
		 "[]") " %b = gather %sh, %zero : i64[]\n"
		       " %b1 = reshape %b {dims=[1]} : i64[1]\n" I64(
			       "rest", "[-1,12,64]",
			       "[3]") " %to = concat %b1, %rest : i64[4]\n %y = reshape %x, %to : f32[?b,?s,12,64]\n",
	 NULL},
	{"heads from the last size", "%x: f32[?b,?s,768]",
	 " %sh = shape %x {end=2} : i64[2]\n" I64(
		 "rest", "[12,-1]",
		 "[2]") " %to = concat %sh, %rest : i64[4]\n %y = reshape %x, %to : f32[?b,?s,12,64]\n",
	 NULL},
	{"-1 gathers symbols", "%x: f32[?b,?s,768]",
	 I64("to", "[-1,768]", "[2]") " %y = reshape %x, %to : f32[?b*?s,768]\n", NULL},
	{"0 copies", "%x: f32[?b,?s,768]", I64("to", "[0,0,12,-1]", "[4]") " %y = reshape %x, %to : f32[?b,?s,12,64]\n",
	 NULL},
	{"0 does not copy with allow_zero", "%x: f32[?b,0,4]",
	 I64("to", "[0,7]", "[2]") " %y = reshape %x, %to {allow_zero=true} : f32[0,7]\n", NULL},
	{"back from a flattened batch", "%x: f32[?b,?s,768], %z: f32[?b*?s,3072]",
	 " %sh = shape %x {end=2} : i64[2]\n" I64(
		 "m", "[-1]", "[1]") " %to = concat %sh, %m : i64[3]\n %y = reshape %z, %to : f32[?b,?s,3072]\n",
	 NULL},
	{"shape, slice, concat, reshape", "%x: f32[?b,?s,8,64]",
	 " %sh = shape %x : i64[4]\n" I64("a", "[0]", "[1]")
		 I64("e", "[-2]", "[1]") " %head = slice %sh, %a, %e {axes=[0]} : i64[2]\n" I64(
			 "m", "[-1]",
			 "[1]") " %to = concat %head, %m : i64[3]\n %y = reshape %x, %to : f32[?b,?s,512]\n",
	 NULL},
	{"expand with where(shape == -1)", "%x: f32[?b,1,4], %y: f32[?b,?s,4]",
	 " %sh = shape %y : i64[3]\n" I64("m", "[-1,-1,-1]", "[3]")
		 I64("one", "[1,1,1]", "[3]") " %is = eq %sh, %m : bool[3]\n %to = where %is, %one, %sh : i64[3]\n %z "
					      "= expand %x, %to : f32[?b,?s,4]\n",
	 NULL},
	{"constant of shape, mul -1, equal, where", "%x: f32[1,1,?t], %y: f32[?b,1,?t]",
	 " %b = shape %y {end=1} : i64[1]\n" I64("r", "[-1,-1]", "[2]") " %want = concat %b, %r : i64[3]\n" I64(
		 "n", "[3]",
		 "[1]") " %ones = fill %n {dtype=i64, ivalue=1} : i64[3]\n" I64("m", "-1",
										"[]") " %neg = mul %ones, %m : "
										      "i64[3]\n %is = eq %want, %neg : "
										      "bool[3]\n"
										      " %to = where %is, %ones, %want "
										      ": i64[3]\n %z = expand %x, %to "
										      ": f32[?b,1,?t]\n",
	 NULL},
	{"range over a size", "%x: f32[?b,?s]",
	 " %sh = shape %x : i64[2]\n" I64("i", "1", "[]") " %n = gather %sh, %i : i64[]\n" I64(
		 "z", "0", "[]") " %r = range %z, %n, %i : i64[?s]\n",
	 NULL},
	{"range from past to past plus seq", "%x: f32[?b,?s], %p: f32[?b,?past]",
	 " %a = shape %x {start=1} : i64[1]\n %s = reshape %a {dims=[]} : i64[]\n"
	 " %c = shape %p {start=1} : i64[1]\n %q = reshape %c {dims=[]} : i64[]\n"
	 " %e = add %q, %s : i64[]\n" I64("i", "1", "[]") " %r = range %q, %e, %i : i64[?s]\n",
	 NULL},
	{"range of floats that were integers", "%x: f32[?b,?s]",
	 " %a = shape %x {start=1} : i64[1]\n %s = reshape %a {dims=[]} : i64[]\n %e = cast %s {to=f32} : f32[]\n"
	 " %z = const dense<0> : f32[]\n %i = const dense<2> : f32[]\n %r = range %z, %e, %i : f32[div(?s+1,2)]\n",
	 NULL},
	{"range of constants", "",
	 " %z = const dense<0> : f32[]\n %e = const dense<1> : f32[]\n"
	 " %i = const dense<0.25> : f32[]\n %r = range %z, %e, %i : f32[4]\n",
	 NULL},
	{"range gives contents", "%x: f32[2,3,4]",
	 I64("a", "2", "[]") I64("e", "-1", "[]") " %p = range %a, %e, %e : i64[3]\n %sh = shape %x : i64[3]\n"
						  " %r = gather %sh, %p : i64[3]\n %y = fill %r : f32[4,3,2]\n",
	 NULL},
	{"range of unknown length", "%n: i64[]",
	 I64("z", "0", "[]") I64("i", "1", "[]") " %r = range %z, %n, %i : i64[?n]\n", NULL},
	{"heads by division", "%x: f32[?b,?s,768]",
	 " %sh = shape %x : i64[3]\n" I64("i", "[2]", "[1]") " %h = gather %sh, %i : i64[1]\n" I64(
		 "n", "[12]", "[1]") " %d = div %h, %n : i64[1]\n %bs = shape %x {end=2} : i64[2]\n %to = concat %bs, "
				     "%n, %d : i64[4]\n"
				     " %y = reshape %x, %to : f32[?b,?s,12,64]\n",
	 NULL},
	{"half of a symbolic size, truncating", "%x: f32[?b,2*?h]",
	 " %sh = shape %x {start=1} : i64[1]\n" I64("two", "[2]", "[1]") " %h = div %sh, %two : i64[1]\n"
									 " %y = fill %h : f32[?h]\n",
	 NULL},
	{"a possibly negative numerator truncates", "%x: f32[?s]",
	 " %sh = shape %x : i64[1]\n" I64("one", "[1]", "[1]")
		 I64("two", "[2]", "[1]") " %m = sub %sh, %one : i64[1]\n %h = div %m, %two : i64[1]\n %y = fill %h : "
					  "f32[div(max(0,?s-1),2)]\n",
	 NULL},
	{"division by 3 of what may be -7", "%x: f32[?s]",
	 " %sh = shape %x : i64[1]\n" I64("m", "[-7]", "[1]") I64("k", "[3]", "[1]") I64(
		 "p", "[2]", "[1]") " %a = add %sh, %m : i64[1]\n %d = div %a, %k : i64[1]\n %e = add %d, %p : i64[1]\n"
				    " %y = fill %e : f32[div(max(0,?s-7),3)-div(max(0,7-?s),3)+2]\n",
	 NULL},
	{"repeats made by one_hot", "%x: f32[?b,1,2]",
	 I64("i", "[1]", "[1]") I64("d", "3", "[]")
		 I64("v", "[1,4]", "[2]") " %o = one_hot %i, %d, %v : i64[1,3]\n %r = reshape %o {dims=[3]} : i64[3]\n "
					  "%y = tile %x, %r : f32[?b,4,2]\n",
	 NULL},
	{"smaller of two floats", "%x: f32[?b,?s]",
	 " %sh = shape %x : i64[2]\n %f = cast %sh {to=f32} : f32[2]\n %k = const dense<[1,9999]> : f32[2]\n"
	 " %m = min %f, %k : f32[2]\n %i = cast %m {to=i64} : i64[2]\n %y = fill %i : f32[min(1,?b),min(9999,?s)]\n",
	 NULL},
	{"constant division truncates", "",
	 I64("a", "[-7]", "[1]")
		 I64("b", "[2]", "[1]") " %q = div %a, %b : i64[1]\n %n = neg %q : i64[1]\n %y = fill %n : f32[3]\n",
	 NULL},
	{"floor of a scaled float", "%x: f32[?b,3,?h,?w]",
	 " %sh = shape %x {start=2} : i64[2]\n %f = cast %sh {to=f32} : f32[2]\n %k = const dense<0.5> : f32[]\n"
	 " %m = mul %f, %k : f32[2]\n %d = floor %m : f32[2]\n %i = cast %d {to=i64} : i64[2]\n"
	 " %y = fill %i : f32[div(?h,2),div(?w,2)]\n",
	 NULL},
	{"ceil of a float division", "%x: f32[?s]",
	 " %sh = shape %x : i64[1]\n %f = cast %sh {to=f32} : f32[1]\n %k = const dense<3> : f32[1]\n"
	 " %m = div %f, %k : f32[1]\n %d = ceil %m : f32[1]\n %i = cast %d {to=i64} : i64[1]\n"
	 " %y = fill %i : f32[div(?s+2,3)]\n",
	 NULL},
	{"square root of a constant", "",
	 " %k = const dense<64> : f32[1]\n %r = sqrt %k : f32[1]\n"
	 " %i = cast %r {to=i64} : i64[1]\n %y = fill %i : f32[8]\n",
	 NULL},
	{"16 to the power of a half", "",
	 " %b = const dense<16> : f32[]\n %e = const dense<0.5> : f32[]\n %p = pow %b, %e : f32[]\n"
	 " %i = cast %p {to=i64} : i64[]\n %j = reshape %i {dims=[1]} : i64[1]\n %y = fill %j : f32[4]\n",
	 NULL},
	{"a rounded quotient is not used further", "%x: f32[?s]",
	 " %sh = shape %x : i64[1]\n %f = cast %sh {to=f32} : f32[1]\n %k = const dense<3> : f32[1]\n"
	 " %m = div %f, %k : f32[1]\n %n = mul %m, %k : f32[1]\n %i = cast %n {to=i64} : i64[1]\n"
	 " %y = fill %i : f32[?some]\n",
	 NULL},
	{"casts and truth values", "%x: f32[?b,3]",
	 " %sh = shape %x : i64[2]\n %j = cast %sh {to=i32} : i32[2]\n %t = const dense<[true,false]> : bool[2]\n"
	 " %u = cast %t {to=i32} : i32[2]\n %m = mul %j, %u : i32[2]\n %l = cast %m {to=i64} : i64[2]\n"
	 " %y = fill %l : f32[?b,0]\n",
	 NULL},
	{"a narrow type keeps only what fits", "",
	 I64("a", "[300]", "[1]") " %b = cast %a {to=u8} : u8[1]\n"
				  " %c = cast %b {to=i64} : i64[1]\n %y = fill %c : f32[?some]\n",
	 NULL},
	{"and, or, not with one side known", "%c: bool[1]",
	 " %t = const dense<1> : bool[1]\n %f = not %t : bool[1]\n %a = and %f, %c : bool[1]\n %o = or %c, %t : "
	 "bool[1]\n"
	 " %w = or %a, %o : bool[1]\n" I64("p", "[5]", "[1]")
		 I64("q", "[6]", "[1]") " %z = where %w, %p, %q : i64[1]\n %y = fill %z : f32[5]\n",
	 NULL},
	{"where with equal branches needs no condition", "%c: bool[1]",
	 I64("p", "[5]", "[1]") " %z = where %c, %p, %p : i64[1]\n %y = fill %z : f32[5]\n", NULL},
	{"product, sum, largest of a shape", "%x: f32[?b,3,4]",
	 " %sh = shape %x : i64[3]\n %p = reduce_prod %sh : i64[1]\n %s = reduce_sum %sh : i64[1]\n"
	 " %t = shape %x {start=1} : i64[2]\n %m = reduce_max %t {axes=[0]} : i64[1]\n"
	 " %to = concat %p, %s, %m : i64[3]\n %y = fill %to : f32[12*?b,?b+7,4]\n",
	 NULL},
	{"elements of a shape replaced", "%x: f32[?b,?s,4]",
	 " %sh = shape %x : i64[3]\n" I64("i", "[1]", "[1]")
		 I64("u", "[9]", "[1]") " %to = scatter_elements %sh, %i, %u : i64[3]\n %y = fill %to : "
					"f32[?b,9,4]\n" I64("j", "[-1]",
							    "[1,1]") " %k = scatter_nd %sh, %j, %u : i64[3]\n %z = "
								     "fill %k : f32[?b,?s,9]\n",
	 NULL},
	{"pads laid out by transpose", "%x: f32[?b,?s]",
	 I64("p", "[0,0,1,2]",
	     "[2,2]") " %t = transpose %p {perm=[1,0]} : i64[2,2]\n %f = reshape %t {dims=[4]} : i64[4]\n"
		      " %y = pad %x, _, %f : f32[?b,?s+3]\n",
	 NULL},
	{"pads reversed by a negative step", "%x: f32[?b,?s]",
	 I64("p", "[0,1,2,3]", "[2,2]") " %r = slice %p {axes=[0], steps=[-1], starts=[1], sizes=[2]} : i64[2,2]\n"
					" %f = reshape %r {dims=[4]} : i64[4]\n %y = pad %x, _, %f : f32[?b+2,?s+4]\n",
	 NULL},
	{"tile by contents", "%x: f32[?b,2]", I64("r", "[3,4]", "[2]") " %y = tile %x, %r : f32[3*?b,8]\n", NULL},
	{"min, max, mod, abs, clip, pow", "%x: f32[?b,7]",
	 " %sh = shape %x : i64[2]\n" I64(
		 "k", "[4,4]", "[2]") " %a = min %sh, %k : i64[2]\n %m = mod %sh, %k : i64[2]\n"
				      " %g = neg %a : i64[2]\n %h = abs %g : i64[2]\n" I64(
					      "two", "2", "[]") " %c = clip %sh, %two, _ : i64[2]\n %q = pow %two, "
								"%two : i64[]\n %q1 = reshape %q {dims=[1]} : i64[1]\n"
								" %to = concat %h, %m, %c, %q1 : i64[7]\n %y = fill "
								"%to : f32[min(4,?b),4,mod(?b,4),3,max(2,?b),7,4]\n",
	 NULL},
	{"size of a tensor", "%x: f32[?b,3]",
	 " %n = size %x : i64[]\n %m = reshape %n {dims=[1]} : i64[1]\n"
	 " %y = reshape %x, %m : f32[3*?b]\n",
	 NULL},
	{"dims as values", "%x: f32[?b,?s]", " %d = dims {values=[?b,?s+1]} : i64[2]\n %y = fill %d : f32[?b,?s+1]\n",
	 NULL},
	{"one unknown size follows from the count", "%x: f32[?b,6], %n: i64[1]",
	 I64("k", "[3]", "[1]") " %to = concat %n, %k : i64[2]\n %y = reshape %x, %to : f32[2*?b,3]\n", NULL},
	{"two unknown sizes are fresh", "%x: f32[?b,6], %n: i64[2]",
	 I64("k", "[3]", "[1]") " %to = concat %n, %k : i64[3]\n %y = reshape %x, %to : f32[?p,?q,3]\n", NULL},
	{"cumulated sizes", "",
	 I64("p", "[1,2,3]", "[3]") " %c = cum_sum %p {exclusive=true, reverse=true} : i64[3]\n"
				    " %y = fill %c : f32[5,3,0]\n",
	 NULL},
};

static const sample moving[] = {
	{"slice to the end", "%x: f32[?b,?s,8]",
	 I64("a", "[1]", "[1]")
		 I64("e", "[9223372036854775807]", "[1]") " %y = slice %x, %a, %e {axes=[1]} : f32[?b,max(0,?s-1),8]\n",
	 NULL},
	{"slice off the last", "%x: f32[?b,?s,8]",
	 I64("a", "[0]", "[1]") I64("e", "[-1]", "[1]") " %y = slice %x, %a, %e {axes=[1]} : f32[?b,max(0,?s-1),8]\n",
	 NULL},
	{"slice of constants", "%x: f32[10]",
	 I64("a", "[-3]", "[1]") I64("e", "[-9]", "[1]") " %y = slice %x, %a, %e {steps=[-2]} : f32[3]\n", NULL},
	{"slice backwards over all", "%x: f32[?s]",
	 I64("a", "[-1]", "[1]")
		 I64("e", "[-9223372036854775808]", "[1]") " %y = slice %x, %a, %e {steps=[-1]} : f32[?s]\n",
	 NULL},
	{"positions up to the sequence", "%x: f32[?b,?s], %w: i64[1,512]",
	 " %e = shape %x {start=1} : i64[1]\n" I64("a", "[0]",
						   "[1]") " %y = slice %w, %a, %e {axes=[1]} : i64[1,min(512,?s)]\n",
	 NULL},
	{"slice with unknown ends", "%x: f32[?b,?s], %a: i64[1], %e: i64[1]",
	 " %y = slice %x, %a, %e {axes=[1]} : f32[?b,?cut]\n", NULL},
	{"slice leaves the axis", "%x: f32[4]", " %y = slice %x {starts=[2], sizes=[3]} : f32[3]\n", "leave axis 0"},
	{"slice twice", "%x: f32[4]", " %y = slice %x {axes=[0,-1], starts=[0,0], sizes=[1,1]} : f32[1]\n",
	 "do not fit rank"},
	{"slice by 0", "%x: f32[4]", " %y = slice %x {steps=[0], starts=[0], sizes=[1]} : f32[1]\n", "step 0"},
	{"slice with starts only", "%x: f32[4], %a: i64[1]", " %y = slice %x, %a : f32[4]\n", "both starts and ends"},
	{"lists of other lengths", "%x: f32[4,4]", " %y = slice %x {axes=[0], starts=[0,0], sizes=[1,1]} : f32[1,1]\n",
	 "do not fit"},
	{"past and present", "%a: f32[?b,2,?past,4], %b: f32[?b,2,?s,4]",
	 " %y = concat %a, %b {axis=-2} : f32[?b,2,?past+?s,4]\n", NULL},
	{"concat of other shapes", "%a: f32[2,3], %b: f32[3,4]", " %y = concat %a, %b {axis=0} : f32[5,3]\n",
	 "axis 1 differs"},
	{"concat of other ranks", "%a: f32[2,3], %b: f32[3]", " %y = concat %a, %b : f32[5,3]\n", "ranks differ"},
	{"concat of other types", "%a: f32[2], %b: i64[2]", " %y = concat %a, %b : f32[4]\n", "f32 and i64"},
	{"transpose reverses", "%x: f32[?b,2,3]", " %y = transpose %x : f32[3,2,?b]\n", NULL},
	{"transpose with a repeat", "%x: f32[2,2]", " %y = transpose %x {perm=[0,0]} : f32[2,2]\n", "no permutation"},
	{"transpose with too few", "%x: f32[2,2]", " %y = transpose %x {perm=[0]} : f32[2,2]\n", "does not fit rank 2"},
	{"reshape of other counts", "%x: f32[2,3]", " %y = reshape %x {dims=[7]} : f32[7]\n",
	 "cannot reshape [2,3] to [7]"},
	{"reshape with two -1", "%x: f32[2,3]", I64("t", "[-1,-1]", "[2]") " %y = reshape %x, %t : f32[2,3]\n",
	 "more than one -1"},
	{"reshape that does not divide", "%x: f32[2,3]", I64("t", "[4,-1]", "[2]") " %y = reshape %x, %t : f32[4,2]\n",
	 "cannot reshape [2,3] to [4,-1]"},
	{"reshape to unknown rank", "%x: f32[2,3], %t: i64[?n]", " %y = reshape %x, %t : f32[6]\n", "decides a rank"},
	{"rank above the limit", "%x: f32[1], %t: i64[13]", " %y = reshape %x, %t : f32[1]\n", "the limit is 12"},
	{"expand both ways", "%x: f32[3,1]", " %y = expand %x {dims=[2,1,4]} : f32[2,3,4]\n", NULL},
	{"expand to an unknown shape", "%x: f32[3,1], %t: i64[2]", " %y = expand %x, %t : f32[3,?e]\n", NULL},
	{"expand that does not fit", "%x: f32[3]", " %y = expand %x {dims=[4]} : f32[4]\n", "does not expand"},
	{"tile with too few", "%x: f32[3,1]", " %y = tile %x {repeats=[2]} : f32[6,1]\n", "1 repeats for rank 2"},
	{"pad crops", "%x: f32[?s,5]", " %y = pad %x {axes=[1], pads=[-1,2]} : f32[?s,6]\n", NULL},
	{"pad below nothing", "%x: f32[2]", " %y = pad %x {pads=[-2,-1]} : f32[1]\n", "negative size"},
	{"pad with too few", "%x: f32[2,2]", " %y = pad %x {pads=[1,1]} : f32[2,2]\n", "2 pads for 2 axes"},
	{"pad mode", "%x: f32[2]", " %y = pad %x {mode=\"mirror\", pads=[1,1]} : f32[4]\n", "unknown mode"},
	{"gather rows", "%w: f32[30522,768], %i: i64[?b,?s]", " %y = gather %w, %i : f32[?b,?s,768]\n", NULL},
	{"gather out of range", "%x: f32[3]", I64("i", "[3]", "[1]") " %y = gather %x, %i : f32[1]\n",
	 "index 3 is out of range"},
	{"gather by floats", "%x: f32[3], %i: f32[2]", " %y = gather %x, %i : f32[2]\n", "integer"},
	{"gather beyond the rank limit", "%x: f32[1,1,1,1,1,1,1,1], %i: i64[1,1,1,1,1,1,1,1]",
	 " %y = gather %x, %i : f32[1]\n", "rank 15, the limit is 12"},
	{"gather elements", "%x: f32[?b,7], %i: i64[?b,2]", " %y = gather_elements %x, %i {axis=1} : f32[?b,2]\n",
	 NULL},
	{"gather nd with batch", "%x: f32[?b,5,6,7], %i: i64[?b,3,2]",
	 " %y = gather_nd %x, %i {batch_dims=1} : f32[?b,3,7]\n", NULL},
	{"gather nd of unknown tuples", "%x: f32[3,4], %i: i64[2,?k]", " %y = gather_nd %x, %i : f32[2]\n",
	 "must be known"},
	{"gather nd of tuples that can only be one long", "%x: f32[3], %i: i64[2,?k]",
	 " %y = gather_nd %x, %i : f32[2]\n", NULL},
	{"scatter nd", "%x: f32[4,5], %i: i64[?n,1], %u: f32[?n,5]",
	 " %y = scatter_nd %x, %i, %u {reduction=\"add\"} : f32[4,5]\n", NULL},
	{"scatter nd that does not fit", "%x: f32[4,5], %i: i64[3,1], %u: f32[3,6]",
	 " %y = scatter_nd %x, %i, %u : f32[4,5]\n", "do not fit"},
	{"one hot", "%i: i64[?b,?s]",
	 I64("d", "10", "[]") " %v = const dense<[0,1]> : f32[2]\n"
			      " %y = one_hot %i, %d, %v {axis=1} : f32[?b,10,?s]\n",
	 NULL},
	{"trilu", "%x: f32[?s,?t], %k: i64[]", " %y = trilu %x, %k {upper=false} : f32[?s,?t]\n", NULL},
	{"reverse sequence", "%x: f32[?t,?b,3], %n: i64[?b]", " %y = reverse_sequence %x, %n : f32[?t,?b,3]\n", NULL},
	{"eye like", "%x: f32[?n,4]", " %y = eye_like %x {dtype=i32} : i32[?n,4]\n", NULL},
	{"non zero", "%x: f32[?b,3]", " %y = non_zero %x : i64[2,?nz]\n", NULL},
	{"compress by a constant", "%x: f32[3,?s]",
	 " %c = const dense<[1,0,1]> : bool[3]\n %y = compress %x, %c {axis=0} : f32[2,?s]\n", NULL},
	{"unique", "%x: f32[?b,3]", " %y, %i, %j, %n = unique %x : f32[?u], i64[?u], i64[3*?b], i64[?u]\n", NULL},
	{"top k", "%x: f32[?b,9], %n: i64[1]",
	 I64("k", "[4]",
	     "[1]") " %y, %i = topk %x, %k : f32[?b,4], i64[?b,4]\n %z, %j = topk %x, %n : f32[?b,?k], i64[?b,?k]\n",
	 NULL},
	{"too many of top k", "%x: f32[3]", I64("k", "[4]", "[1]") " %y, %i = topk %x, %k : f32[4], i64[4]\n",
	 "cannot take 4"},
};

static const sample arithmetic[] = {
	{"numpy broadcasting", "%a: f32[?b,1,8], %b: f32[?s,8]", " %y = add %a, %b : f32[?b,?s,8]\n", NULL},
	{"a known size wins", "%a: f32[?b,8], %b: f32[4,8]", " %y = add %a, %b : f32[4,8]\n", NULL},
	{"two unknown sizes", "%a: f32[?s], %b: f32[?t]", " %y = add %a, %b : f32[max(?s,?t)]\n", NULL},
	{"a slice of at most the other", "%a: f32[?s], %b: f32[min(512,?s)]", " %y = add %a, %b : f32[?s]\n", NULL},
	{"sizes that do not fit", "%a: f32[3], %b: f32[4]", " %y = add %a, %b : f32[4]\n",
	 "shapes [3] and [4] do not broadcast"},
	{"element types that differ", "%a: f32[3], %b: f64[3]", " %y = mul %a, %b : f32[3]\n", "f32 and f64"},
	{"truth values do not add", "%a: bool[3]", " %y = add %a, %a : bool[3]\n", "which should be a number"},
	{"floats are no conditions", "%a: f32[3]", " %y = and %a, %a : bool[3]\n", "which should be bool"},
	{"exp of integers", "%a: i32[3]", " %y = exp %a : i32[3]\n", "a float type"},
	{"compare", "%a: i32[?s,1], %b: i32[?t]", " %y = lt %a, %b : bool[?s,?t]\n", NULL},
	{"where of three shapes", "%c: bool[?s,1], %a: f32[?t], %b: f32[]", " %y = where %c, %a, %b : f32[?s,?t]\n",
	 NULL},
	{"where branches that differ", "%c: bool[3], %a: f32[3], %b: f16[3]", " %y = where %c, %a, %b : f32[3]\n",
	 "f32 and f16"},
	{"power keeps the base's type", "%a: f32[3], %e: i64[]", " %y = pow %a, %e : f32[3]\n", NULL},
	{"clip by a vector", "%a: f32[3], %l: f32[3]", " %y = clip %a, %l : f32[3]\n", "single element"},
	{"slope larger than x", "%a: f32[3], %s: f32[2,3]", " %y = prelu %a, %s : f32[3]\n", "does not fit"},
	{"quantize and back", "%x: f32[?b,8], %s: f32[8], %z: u8[8]",
	 " %q = quantize %x, %s, %z {axis=-1} : u8[?b,8]\n", "for the whole tensor"},
	{"quantize per axis and back", "%x: f32[?b,8], %s: f32[8], %z: u8[8]",
	 " %q = quantize %x, %s, %z {axis=1} : u8[?b,8]\n %y = dequantize %q, %s, %z {axis=1} : f32[?b,8]\n", NULL},
	{"dequantize blocks", "%x: i8[10,6], %s: f32[3,6]", " %y = dequantize %x, %s {axis=0, block=4} : f32[10,6]\n",
	 NULL},
	{"zero point of another type", "%x: f32[4], %s: f32[], %z: i8[]", " %q = quantize %x, %s, %z : u8[4]\n",
	 "i8, the result u8"},
	{"reduce", "%x: f32[?b,?s,8]",
	 " %a = reduce_mean %x {axes=[-1]} : f32[?b,?s,1]\n"
	 " %c = reduce_sum %x {axes=[0,2], keepdims=false} : f32[?s]\n %d = reduce_max %x {keepdims=false} : f32[]\n",
	 NULL},
	{"reduce twice", "%x: f32[2]", " %a = reduce_sum %x {axes=[0,-1]} : f32[1]\n", "reduced twice"},
	{"arg max", "%x: f32[?b,8]", " %a = arg_max %x {axis=-1, keepdims=false} : i64[?b]\n", NULL},
	{"softmax", "%x: f16[?b,8]", " %a = softmax %x : f16[?b,8]\n", NULL},
	{"layer norm", "%x: f32[?b,8], %s: f32[8]", " %a = layer_norm %x, %s, %s : f32[?b,8]\n", NULL},
	{"layer norm of another size", "%x: f32[?b,8], %s: f32[7]", " %a = layer_norm %x, %s : f32[?b,8]\n",
	 "scale of shape [7] does not fit"},
};

static const sample contractions[] = {
	{"attention scores", "%q: f32[?b,12,?s,64], %k: f32[?b,12,?t,64]",
	 " %y = matmul %q, %k {trans_b=true} : f32[?b,12,?s,?t]\n", NULL},
	{"vectors", "%a: f32[8], %b: f32[?b,8,3], %c: f32[8]",
	 " %x = matmul %a, %b {trans_a=true} : f32[?b,3]\n %y = matmul %a, %c : f32[]\n", NULL},
	{"bytes sum in words", "%a: u8[?b,8], %b: i8[8,4]", " %y = matmul %a, %b : i32[?b,4]\n", NULL},
	{"inner sizes", "%a: f32[2,3], %b: f32[4,5]", " %y = matmul %a, %b : f32[2,5]\n",
	 "inner sizes 3 and 4 differ: shapes [2,3] and [4,5]"},
	{"batches", "%a: f32[2,3,4], %b: f32[3,4,5]", " %y = matmul %a, %b : f32[2,3,5]\n", "leading axes"},
	{"product of types", "%a: f32[2,2], %b: f16[2,2]", " %y = matmul %a, %b : f32[2,2]\n", "f32 and f16"},
	{"convolution", "%x: f32[?b,3,224,?w], %w: f32[64,3,7,7], %c: f32[64]",
	 " %y = conv %x, %w, %c {strides=[2,2], pads=[3,3,3,3]} : f32[?b,64,112,div(?w-1,2)+1]\n", NULL},
	{"depthwise", "%x: f32[1,8,10], %w: f32[16,1,3]", " %y = conv %x, %w {dilations=[2], group=8} : f32[1,16,6]\n",
	 NULL},
	{"kernel too long", "%x: f32[1,1,2], %w: f32[1,1,5]", " %y = conv %x, %w : f32[1,1,1]\n",
	 "does not fit spatial axis"},
	{"channels", "%x: f32[1,3,4], %w: f32[2,2,3]", " %y = conv %x, %w : f32[1,2,2]\n", "do not fit with group 1"},
	{"strides of another length", "%x: f32[1,1,4], %w: f32[1,1,3]",
	 " %y = conv %x, %w {strides=[1,1]} : f32[1,1,2]\n", "2 strides"},
	{"convolution, transposed", "%x: f32[?b,8,5], %w: f32[8,2,4]",
	 " %y = conv_transpose %x, %w {strides=[2], pads=[1,1], output_padding=[1], group=2} : f32[?b,4,11]\n", NULL},
	{"pooling", "%x: f32[?b,3,7,7]",
	 " %y, %i = max_pool %x {kernel=[2,2], strides=[2,2]} : f32[?b,3,3,3], i64[?b,3,3,3]\n"
	 " %z = avg_pool %x {kernel=[2,2], strides=[2,2], ceil_mode=true} : f32[?b,3,4,4]\n",
	 NULL},
	{"ceil mode drops a window that starts in the pad", "%x: f32[1,1,2]",
	 " %y, %i = max_pool %x {kernel=[1], strides=[2], pads=[0,1], ceil_mode=true} : f32[1,1,1], i64[1,1,1]\n",
	 NULL},
	{"lstm", "%x: f32[?t,?b,8], %w: f32[2,64,8], %r: f32[2,64,16], %h: f32[2,?b,16]",
	 " %y, %a, %c = lstm %x, %w, %r, _, _, %h {hidden=16, direction=\"bidirectional\"} : f32[?t,2,?b,16], "
	 "f32[2,?b,16], "
	 "f32[2,?b,16]\n",
	 NULL},
	{"gru weights", "%x: f32[?t,?b,8], %w: f32[1,64,8], %r: f32[1,48,16]",
	 " %y, %a = gru %x, %w, %r {hidden=16} : f32[?t,1,?b,16], f32[1,?b,16]\n",
	 "w has shape [1,64,8], which should be [1,48,8]"},
	{"resize by scales", "%x: f32[?b,3,?h,9]",
	 " %s = const dense<[1,1,2,0.5]> : f32[4]\n %y = resize %x, _, %s : f32[?b,3,2*?h,4]\n", NULL},
	{"resize to sizes", "%x: f32[?b,3,?h,9], %n: i64[4]", " %y = resize %x, _, _, %n : f32[?p,?q,?r,?s]\n", NULL},
	{"grid sample", "%x: f32[?b,3,8,8], %g: f32[?b,5,?w,2]", " %y = grid_sample %x, %g : f32[?b,3,5,?w]\n", NULL},
	{"fourier transforms", "%x: f32[?b,?n,1], %z: f32[?b,5,2]",
	 " %y = dft %x {onesided=true} : f32[?b,div(?n,2)+1,2]\n %w = dft %z {onesided=true, inverse=true} : "
	 "f32[?b,8,1]\n",
	 NULL},
};

static const sample control[] = {
	{"if joins", "%c: bool[], %x: f32[?b,4,3], %y: f32[?b,5,3]",
	 " %r = if %c { ()\n yield %x\n } { ()\n yield %y\n } : f32[?b,?n,3]\n", NULL},
	{"if with other ranks", "%c: bool[], %x: f32[?b,4], %y: f32[?b]",
	 " %r = if %c { ()\n yield %x\n } { ()\n yield %y\n } : f32[?b,4]\n", "rank 2 on one way, 1 on the other"},
	{"if with other types", "%c: bool[], %x: f32[4], %y: i64[4]",
	 " %r = if %c { ()\n yield %x\n } { ()\n yield %y\n } : f32[4]\n", "f32 on one way, i64 on the other"},
	{"if on a number", "%c: i64[], %x: f32[4]", " %r = if %c { ()\n yield %x\n } { ()\n yield %x\n } : f32[4]\n",
	 "should be bool"},
	{"a size made in a branch stays there", "%c: bool[], %x: f32[4]",
	 " %r = if %c { ()\n %n = non_zero %x : i64[1,?k]\n yield %n\n } { ()\n %m = non_zero %x : i64[1,?l]\n yield "
	 "%m\n }"
	 " : i64[1,?j]\n",
	 NULL},
	{"a loop that keeps its shapes", "%n: i64[], %x: f32[?b,4]",
	 " %y = loop %n, _, %x { (%i: i64[], %c: bool[], %v: f32[?b,4])\n %w = relu %v : f32[?b,4]\n yield %c, %w\n } "
	 ": f32[?b,4]\n",
	 NULL},
	{"a growing loop variable", "%n: i64[], %x: f32[1,4]",
	 " %y = loop %n, _, %x { (%i: i64[], %c: bool[], %v: f32[?k,4])\n %w = concat %v, %x : f32[?k+1,4]\n yield %c, "
	 "%w\n }"
	 " : f32[?m,4]\n",
	 NULL},
	{"growth that reaches a second variable", "%n: i64[], %x: f32[1,4]",
	 " %y, %z = loop %n, _, %x, %x { (%i: i64[], %c: bool[], %v: f32[?k,4], %u: f32[?l,4])\n"
	 " %w = concat %v, %x : f32[?k+1,4]\n yield %c, %w, %v\n } : f32[?m,4], f32[?o,4]\n",
	 NULL},
	{"stacked over all trips", "%x: f32[?b,4], %q: f32[?s]",
	 " %sh = shape %q : i64[1]\n %n = reshape %sh {dims=[]} : i64[]\n %t = const dense<1> : bool[]\n"
	 " %y, %z = loop %n, %t, %x { (%i: i64[], %c: bool[], %v: f32[?b,4])\n yield %c, %v, %v\n } : f32[?b,4], "
	 "f32[?s,?b,4]\n",
	 NULL},
	{"stacked until a condition", "%n: i64[], %c0: bool[], %x: f32[?b]",
	 " %z = loop %n, %c0 { (%i: i64[], %c: bool[])\n yield %c, %x\n } : f32[?trips,?b]\n", NULL},
	{"stacked sizes made inside", "%n: i64[], %x: f32[3]",
	 " %z = loop %n, _ { (%i: i64[], %c: bool[])\n %k = non_zero %x : i64[1,?in]\n yield %c, %k\n } : "
	 "i64[?trips,1,?out]\n",
	 NULL},
	{"loop variable of another rank", "%n: i64[], %x: f32[3]",
	 " %y = loop %n, _, %x { (%i: i64[], %c: bool[], %v: f32[3])\n %w = reshape %v {dims=[3,1]} : f32[3,1]\n yield "
	 "%c, %w\n }"
	 " : f32[3]\n",
	 "loop variable 0 has rank 1 on one way, 2 on the other"},
	{"loop without parameters", "%n: i64[], %x: f32[3]", " %y = loop %n, _, %x { ()\n yield %x, %x\n } : f32[3]\n",
	 "0 parameters, needs 3"},
	{"scan", "%s: f32[?b], %x: f32[?b,?t,3]",
	 " %y, %z = scan %s, %x {in_axes=[1], out_axes=[-1]} { (%h: f32[?b], %e: f32[?b,3])\n"
	 " %r = reduce_sum %e {axes=[1], keepdims=false} : f32[?b]\n %n = add %h, %r : f32[?b]\n yield %n, %e\n }"
	 " : f32[?b], f32[?b,3,?t]\n",
	 NULL},
	{"scan over lengths that differ", "%x: f32[2,3], %y: f32[4,3]",
	 " %z = scan %x, %y {num_scan_inputs=2} { (%a: f32[3], %b: f32[3])\n %c = add %a, %b : f32[3]\n yield %c\n } : "
	 "f32[2,3]\n",
	 "lengths of scanned inputs differ"},
};

static void test_chains(void **state)
{
	run(*state, chains, FTL_COUNT(chains));
}

static void test_moving(void **state)
{
	run(*state, moving, FTL_COUNT(moving));
}

static void test_arithmetic(void **state)
{
	run(*state, arithmetic, FTL_COUNT(arithmetic));
}

static void test_contractions(void **state)
{
	run(*state, contractions, FTL_COUNT(contractions));
}

static void test_control(void **state)
{
	run(*state, control, FTL_COUNT(control));
}

/* What x[start:end:step] keeps of dim elements, element by element: how many, and the first one. */
static int64_t plain_slice(int64_t dim, int64_t start, int64_t end, int64_t step, int64_t *first)
{
	int64_t s = start < 0 ? start + dim : start, e = end < 0 ? end + dim : end, n = 0;
	int64_t low = step > 0 ? 0 : -1, high = step > 0 ? dim : dim - 1;

	s = s < low ? low : s > high ? high : s;
	e = e < low ? low : e > high ? high : e;
	for (int64_t i = s; step > 0 ? i < e : i > e; i += step)
		n++;
	*first = s;
	return n;
}

/* Every start, end and step over short axes: as constants, and put into the expressions for unknown ones. */
static void test_slice_range(void **state)
{
	struct fix *f = *state;
	ftl_symtab *st;
	ftl_dim d, s, e, start[2], size[2];

	if (setjmp(f->landing.jump))
		fail_msg("out of memory");
	st = ftl_symtab_new(&f->arena);
	d = ftl_dim_sym(st, "d");
	s = ftl_dim_fresh_int(st, "s");
	e = ftl_dim_fresh_int(st, "e");
	for (int64_t step = -3; step < 4; step++) {
		ftl_slice_range(st, d, s, e, step, &start[1], &size[1]);
		assert_true((step == 0) == (size[1] == FTL_DIM_NONE));
		for (int64_t i = 0; step && i < 6 * 17 * 17; i++) {
			int64_t dim = i % 6, at = i / 6 % 17 - 8, to = i / 6 / 17 - 8, first, n, got;

			n = plain_slice(dim, at, to, step, &first);
			ftl_slice_range(st, ftl_dim_const(st, dim), ftl_dim_const(st, at), ftl_dim_const(st, to), step,
					&start[0], &size[0]);
			for (int k = 0; k < 2; k++) {
				ftl_dim v[2] = {size[k], start[k]};

				for (int j = 0; k == 1 && j < 2; j++) {
					v[j] = ftl_dim_subst(st, v[j], d, ftl_dim_const(st, dim));
					v[j] = ftl_dim_subst(st, v[j], s, ftl_dim_const(st, at));
					v[j] = ftl_dim_subst(st, v[j], e, ftl_dim_const(st, to));
				}
				assert_true(ftl_dim_is_const(st, v[0], &got));
				assert_int_equal(got, n);
				assert_true(ftl_dim_is_const(st, v[1], &got));
				assert_true(got >= 0 && (n == 0 || got == first));
			}
		}
	}
}

/* Contents survive where a type changes twice, and a hidden upper bound is kept. */
static void test_upper_bounds(void **state)
{
	struct fix *f = *state;
	const sample c = {"bounds", "%x: f32[?b,3], %a: i64[1], %e: i64[1]",
			  " %n = non_zero %x : i64[2,?nz]\n %s = slice %x, %a, %e {axes=[0]} : f32[?cut,3]\n", NULL};
	ftl_graph *g = NULL;
	ftl_dim b;

	if (setjmp(f->landing.jump))
		fail_msg("out of memory");
	assert_int_equal(parse(f, &c, &g), FTL_OK);
	b = ftl_dim_sym(g->st, "b");
	assert_int_equal(ftl_dim_upper(g->st, ftl_dim_sym(g->st, "cut")), b);
	assert_int_equal(ftl_dim_upper(g->st, ftl_dim_sym(g->st, "nz")),
			 ftl_dim_mul(g->st, b, ftl_dim_const(g->st, 3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_chains, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arithmetic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contractions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_control, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slice_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upper_bounds, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
