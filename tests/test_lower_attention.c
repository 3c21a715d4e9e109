/* attention, against the same written out: every target, fused and not, sizes that leave tails. */
#include "support/lower_cases.h"

static void cases(void **state)
{
	static const struct {
		const char *q, *k, *v; /* dims */
		const char *s, *y;     /* dims of scores and result */
		const char *extra;     /* further parameters */
		const char *before;    /* nodes in front, for both */
		const char *region;    /* on %S : gives %L; S and L are replaced by what stands there */
		const char *attrs;
	} shapes[] = {
		{"2,3,5,8", "2,3,7,8", "2,3,7,8", "2,3,5,7", "2,3,5,8", "", "", "", ""},
		{"2,9,8", "2,3,8", "2,3,5", "2,9,3", "2,9,5", ", %m: f32[9,3]", "", " %L = add %S, %m : f32[2,9,3]\n",
		 ""},
		{"2,3,50,16", "2,3,37,16", "2,3,37,20", "2,3,50,37", "2,3,50,20", "", "", "", ""},
		{"9,64", "130,64", "130,33", "9,130", "9,33", "", "", "", ""},
		{"3,300,8", "3,300,8", "3,300,8", "3,300,300", "3,300,8", "", "", "", ""},
		{"1,2,200,8", "1,2,400,8", "1,2,400,8", "1,2,200,400", "1,2,200,8", ", %m: f32[1,1,1,400]", "",
		 " %L = add %S, %m : f32[1,2,200,400]\n", ""},
		{"?a,?k,?b,8", "?a,?k,?d,8", "?a,?k,?d,12", "?a,?k,?b,?d", "?a,?k,?b,12", ", %m: f32[?a,1,?b,?d]", "",
		 " %L0 = tanh %S : f32[?a,?k,?b,?d]\n %L = add %L0, %m : f32[?a,?k,?b,?d]\n", ""},
		{"?a,?d,8", "?a,?d,8", "?a,?d,8", "?a,?d,?d", "?a,?d,8", ", %m: bool[?d,?d]",
		 " %lo = const dense<-9> : f32[]\n", " %L = where %m, %S, %lo : f32[?a,?d,?d]\n", ""},
		/* causal: blocks of keys that no query of a block sees are not computed */
		{"2,300,8", "2,600,8", "2,600,8", "2,300,600", "2,300,8", "",
		 " %z0 = const dense<0> : i64[]\n %o1 = const dense<1> : i64[]\n %r1 = const dense<300> : i64[]\n"
		 " %r2 = const dense<600> : i64[]\n %i = range %z0, %r1, %o1 : i64[300]\n"
		 " %i1 = reshape %i {dims=[300,1]} : i64[300,1]\n %j = range %z0, %r2, %o1 : i64[600]\n"
		 " %m = le %j, %i1 : bool[300,600]\n %lo = const dense<-1e9> : f32[]\n",
		 " %L = where %m, %S, %lo : f32[2,300,600]\n", ""},
		/* the same with rows that see nothing: all their weights are alike */
		{"2,300,8", "2,600,8", "2,600,8", "2,300,600", "2,300,8", "",
		 " %z0 = const dense<0> : i64[]\n %o1 = const dense<1> : i64[]\n %r1 = const dense<300> : i64[]\n"
		 " %r2 = const dense<600> : i64[]\n %i = range %z0, %r1, %o1 : i64[300]\n"
		 " %i1 = reshape %i {dims=[300,1]} : i64[300,1]\n %j = range %z0, %r2, %o1 : i64[600]\n"
		 " %off = const dense<200> : i64[]\n %j1 = add %j, %off : i64[600]\n"
		 " %m = le %j1, %i1 : bool[300,600]\n %lo = const dense<-1e9> : f32[]\n"
		 " %hi = const dense<0> : f32[]\n %b = where %m, %hi, %lo : f32[300,600]\n",
		 " %L = add %S, %b : f32[2,300,600]\n", ""},
		{"?one,8", "?d,8", "?d,8", "?one,?d", "?one,8", "", "", "", ""},
		{"2,?one,8", "2,300,8", "2,300,8", "2,?one,300", "2,?one,8", "", "", "", ""},
	};

	for (size_t i = 0; i < FTL_COUNT(shapes); i++) {
		struct fix *f = *state;
		ftl_text b;
		const char *region = shapes[i].region, *p;
		sample c = {.name = shapes[i].y};

		ftl_text_init(&b, &f->arena);
		c.params = ftl_arena_printf(&f->arena, "%%q: f32[%s], %%k: f32[%s], %%v: f32[%s]%s", shapes[i].q,
					    shapes[i].k, shapes[i].v, shapes[i].extra);
		c.results = ftl_arena_printf(&f->arena, "i32[]");
		ftl_text_add(&b, "%s", shapes[i].before);
		ftl_text_add(&b, " %%y = attention %%q, %%k, %%v {scale=0.3} { (%%S: f32[%s])\n", shapes[i].s);
		ftl_text_add(&b, "%s yield %s\n } : f32[%s]\n", region, *region ? "%L" : "%S", shapes[i].y);
		ftl_text_add(&b, " %%s = matmul %%q, %%k {trans_b=true, alpha=0.3} : f32[%s]\n", shapes[i].s);
		for (p = region; *p; p++) { /* %S is %s outside, %L is %l */
			if (p[0] == '%' && (p[1] == 'S' || p[1] == 'L')) {
				ftl_text_add(&b, "%%%c", p[1] == 'S' ? 's' : 'l');
				p++;
			} else {
				ftl_text_bytes(&b, p, 1);
			}
		}
		ftl_text_add(&b, " %%p = softmax %s : f32[%s]\n", *region ? "%l" : "%s", shapes[i].s);
		ftl_text_add(&b, " %%z = matmul %%p, %%v : f32[%s]\n", shapes[i].y);
		ftl_text_add(
			&b,
			" %%d0 = sub %%y, %%z : f32[%s]\n %%d1 = abs %%d0 : f32[%s]\n %%t = const dense<2e-6> : f32[]\n"
			" %%d2 = le %%d1, %%t : bool[%s]\n %%d3 = not %%d2 : bool[%s]\n %%d4 = cast %%d3 {to=i32} : "
			"i32[%s]\n"
			" %%d5 = reduce_sum %%d4 {keepdims=false} : i32[]",
			shapes[i].y, shapes[i].y, shapes[i].y, shapes[i].y, shapes[i].y);
		c.body = b.v;
		c.ret = "%d5";
		c.want = "0";
		run_one(f, &c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(cases, lower_setup, lower_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
