/* What a compiled model says to inputs that do not fit it: wrong types and ranks, sizes that disagree, indices out of range,
 * counts that are negative or too large. Every one is a status and a message on every backend, never a crash or a result;
 * empty tensors and loops of no trips are no errors. The same program then runs on good data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <fettle/fettle.h>

/* bad, good: a tensor per parameter, "f32[2,3]; i64[2]=0,5"; elements not given count 0, 1, 2... NULL: none. says: part of
 * the message. */
typedef struct row {
	const char *params, *results, *body, *bad, *says, *good;
} row;

static const row rows[] = {
	/* what every run checks */
	{"%x: f32[?n,4]", "f32[?n,4]", "%y = neg %x : f32[?n,4]", "i32[2,4]", "but i32 was given", "f32[2,4]"},
	{"%x: f32[?n,4]", "f32[?n,4]", "%y = neg %x : f32[?n,4]", "f32[4]", "tensor of rank 1", "f32[0,4]"},
	{"%x: f32[?n,4]", "f32[?n,4]", "%y = neg %x : f32[?n,4]", "f32[2,5]", "dim 1 must be 4", "f32[1,4]"},
	{"%x: f32[?n], %z: f32[?n]", "f32[?n]", "%y = add %x, %z : f32[?n]", "f32[3]; f32[1]", "\"n\"",
	 "f32[3]; f32[3]"},
	{"%x: f32[?n], %z: f32[?m]", "f32[max(?m,?n)]", "%y = add %x, %z : f32[max(?m,?n)]", "f32[3]; f32[2]",
	 "do not fit", "f32[3]; f32[1]"},
	{"%x: f32[?n,?k], %z: f32[?j,2]", "f32[?n,2]", "%y = matmul %x, %z : f32[?n,2]", "f32[2,3]; f32[4,2]",
	 "inner dims", "f32[2,0]; f32[0,2]"},
	/* indices */
	{"%x: f32[?n,4], %i: i64[?k]", "f32[?k,4]", "%y = gather %x, %i {axis=0} : f32[?k,4]", "f32[3,4]; i64[2]=0,3",
	 "index out of range", "f32[3,4]; i64[2]=-3,2"},
	{"%x: f32[?n,4], %i: i64[?k]", "f32[?k,4]", "%y = gather %x, %i {axis=0} : f32[?k,4]",
	 "f32[3,4]; i64[2]=0,-9223372036854775808", "index out of range", "f32[0,4]; i64[0]"},
	{"%x: f32[?n,4], %i: i64[?k]", "f32[?k,4]", "%y = gather %x, %i {axis=0} : f32[?k,4]", "f32[0,4]; i64[1]=0",
	 "empty", "f32[1,4]; i64[1]=0"},
	{"%x: f32[?n,4], %i: i64[?k,4]", "f32[?k,4]", "%y = gather_elements %x, %i {axis=0} : f32[?k,4]",
	 "f32[3,4]; i64[1,4]=0,1,-4,0", "index out of range", "f32[3,4]; i64[1,4]=0,1,-3,2"},
	{"%x: f32[?n,4], %i: i64[?k,2]", "f32[?k]", "%y = gather_nd %x, %i : f32[?k]", "f32[3,4]; i64[1,2]=0,4",
	 "index out of range", "f32[3,4]; i64[1,2]=-1,3"},
	{"%x: f32[?n,4], %i: i64[?k,4], %u: f32[?k,4]", "f32[?n,4]",
	 "%y = scatter_elements %x, %i, %u {axis=0} : f32[?n,4]", "f32[3,4]; i64[1,4]=0,1,3,0; f32[1,4]",
	 "index out of range", "f32[3,4]; i64[1,4]=0,1,-3,0; f32[1,4]"},
	{"%x: f32[?n,4], %i: i64[?k,4], %u: f32[?k,4]", "f32[?n,4]",
	 "%y = scatter_elements %x, %i, %u {axis=0, reduction=\"add\"} : f32[?n,4]",
	 "f32[3,4]; i64[1,4]=0,1,4611686018427387904,0; f32[1,4]", "index out of range",
	 "f32[3,4]; i64[0,4]; f32[0,4]"},
	{"%x: f32[?n,4], %i: i64[?k,1], %u: f32[?k,4]", "f32[?n,4]", "%y = scatter_nd %x, %i, %u : f32[?n,4]",
	 "f32[3,4]; i64[1,1]=-4; f32[1,4]", "index out of range", "f32[3,4]; i64[1,1]=-3; f32[1,4]"},
	{"%x: f32[?n,4], %i: i64[?k,1], %u: f32[?j,4]", "f32[?n,4]", "%y = scatter_nd %x, %i, %u : f32[?n,4]",
	 "f32[3,4]; i64[2,1]=0,1; f32[1,4]", "updates do not fit", "f32[3,4]; i64[2,1]=0,1; f32[2,4]"},
	{"%x: f32[?n,?b], %i: i64[?m]", "f32[?n,?b]",
	 "%y = reverse_sequence %x, %i {time_axis=0, batch_axis=1} : f32[?n,?b]", "f32[4,2]; i64[2]=5,1", "",
	 "f32[4,2]; i64[2]=4,1"},
	/* counts and sizes from data */
	{"%x: f32[?n,?m], %k: i64[1]", "f32[?n,?topk]", "%y, %i = topk %x, %k {axis=1} : f32[?n,?topk], i64[?n,?topk]",
	 "f32[2,3]; i64[1]=4", "k is larger", "f32[2,3]; i64[1]=0"},
	{"%x: f32[?n,?m], %k: i64[1]", "f32[?n,?topk]", "%y, %i = topk %x, %k {axis=1} : f32[?n,?topk], i64[?n,?topk]",
	 "f32[2,3]; i64[1]=-1", "negative", "f32[2,3]; i64[1]=3"},
	{"%s: i64[2]", "f32[?f,?f_1]", "%y = fill %s {dtype=f32} : f32[?f,?f_1]", "i64[2]=2,-1", "negative",
	 "i64[2]=2,0"},
	{"%s: i64[2]", "f32[?f,?f_1]", "%y = fill %s {dtype=f32} : f32[?f,?f_1]", "i64[2]=4611686018427387904,4",
	 "too large", "i64[2]=1,2"},
	{"%x: f32[?n], %s: i64[2]", "f32[?r,?r_1]", "%y = reshape %x, %s : f32[?r,?r_1]", "f32[6]; i64[2]=4,2", "",
	 "f32[6]; i64[2]=-1,2"},
	{"%x: f32[?n], %s: i64[2]", "f32[?r,?r_1]", "%y = reshape %x, %s : f32[?r,?r_1]", "f32[6]; i64[2]=-2,-3", "",
	 "f32[6]; i64[2]=6,-1"},
	{"%x: f32[3,1], %s: i64[2]", "f32[3,?e]", "%y = expand %x, %s : f32[3,?e]", "f32[3,1]; i64[2]=-4,2",
	 "broadcast", "f32[3,1]; i64[2]=1,2"},
	{"%x: f32[3,1], %s: i64[2]", "f32[3,?e]", "%y = expand %x, %s : f32[3,?e]", "f32[3,1]; i64[2]=3,-2", "negative",
	 "f32[3,1]; i64[2]=3,0"},
	{"%x: f32[?n], %s: i64[1]", "f32[?t]", "%y = tile %x, %s : f32[?t]", "f32[3]; i64[1]=-1", "",
	 "f32[3]; i64[1]=2"},
	{"%a: i64[], %b: i64[], %c: i64[]", "i64[?r]", "%y = range %a, %b, %c : i64[?r]", "i64[]=0; i64[]=5; i64[]=0",
	 "delta is 0", "i64[]=5; i64[]=0; i64[]=1"},
	{"%i: i64[?n], %d: i64[], %v: f32[2]", "f32[?n,?depth]", "%y = one_hot %i, %d, %v {axis=-1} : f32[?n,?depth]",
	 "i64[2]=0,7; i64[]=-1; f32[2]", "", "i64[2]=-9,7; i64[]=3; f32[2]"},
	/* weights that come as inputs */
	{"%x: f32[1,?c,?l], %w: f32[2,?d,3]", "f32[1,2,?l-2]", "%y = conv %x, %w : f32[1,2,?l-2]",
	 "f32[1,3,5]; f32[2,4,3]", "channels", "f32[1,3,5]; f32[2,3,3]"},
	{"%x: f32[1,3,?l], %w: f32[2,3,3], %b: f32[?m]", "f32[1,2,?l-2]", "%y = conv %x, %w, %b : f32[1,2,?l-2]",
	 "f32[1,3,5]; f32[2,3,3]; f32[1]", "bias", "f32[1,3,5]; f32[2,3,3]; f32[2]"},
	{"%x: f32[1,?c,5], %w: f32[?d,2,3]", "f32[1,2,7]", "%y = conv_transpose %x, %w : f32[1,2,7]",
	 "f32[1,3,5]; f32[2,2,3]", "channels", "f32[1,3,5]; f32[3,2,3]"},
	{"%x: f32[?t,1,3], %w: f32[1,8,3], %r: f32[1,8,?h]", "f32[?t,1,1,2]",
	 "%y, %h, %c = lstm %x, %w, %r {hidden=2} : f32[?t,1,1,2], f32[1,1,2], f32[1,1,2]",
	 "f32[2,1,3]; f32[1,8,3]; f32[1,8,4]", "weights", "f32[0,1,3]; f32[1,8,3]; f32[1,8,2]"},
	/* nothing to do */
	{"%x: f32[?n], %k: i64[]", "f32[?n]",
	 "%y = loop %k, _, %x { (%i: i64[], %c: bool[], %v: f32[?n])\n %w = neg %v : f32[?n]\n yield %c, %w\n } : "
	 "f32[?n]",
	 "f32[2]; i64[1]=3", "tensor of rank 1", "f32[2]; i64[]=-5"},
};
#define ROWS (sizeof rows / sizeof rows[0])

/* ---- made-up tensors ---- */

static const struct {
	const char *name;
	fettle_dtype type;
} types[] = {{"f32", FETTLE_F32}, {"i64", FETTLE_I64}, {"i32", FETTLE_I32}};

static void parse(const char **s, fettle_tensor *t)
{
	size_t n = 1;
	char *end;

	*s += strspn(*s, "; ");
	memset(t, 0, sizeof *t);
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (!strncmp(*s, types[i].name, 3))
			t->dtype = types[i].type;
	for (*s += 4; **s != ']'; *s = end + (*end == ','))
		n *= (size_t)(t->dims[t->rank++] = strtoll(*s, &end, 10));
	++*s;
	t->bytes = n * fettle_dtype_bytes(t->dtype);
	t->data = calloc(t->bytes + 16, 1);
	*s += **s == '=';
	for (size_t i = 0; i < n; i++) {
		bool given = **s && **s != ';';
		long long v = given ? strtoll(*s, &end, 10) : (long long)i;

		if (given)
			*s = end + (*end == ',');
		if (t->dtype == FETTLE_I64)
			((int64_t *)t->data)[i] = v;
		else
			fettle_tensor_set(t, i, (double)v);
	}
}

static fettle_status run(fettle_session *s, const char *data, fettle_error *e)
{
	fettle_tensor in[4], out[4];
	fettle_status rc;
	size_t n = 0;

	for (memset(out, 0, sizeof out); *data; n++)
		parse(&data, &in[n]);
	rc = fettle_session_run(s, in, out, e);
	while (n)
		free(in[--n].data);
	return rc;
}

/* ---- rows ---- */

static void check_row(const row *r, fettle_backend backend)
{
	char path[] = "/tmp/fettle-bad-XXXXXX.fir";
	fettle_compile_options o = {.backend = backend, .compile_threads = 1};
	fettle_session_options so = {.threads = 1};
	fettle_model *m = NULL;
	fettle_program *p = NULL;
	fettle_session *s = NULL;
	fettle_error e;
	int fd = mkstemps(path, 4);
	FILE *f = fdopen(fd, "w");

	assert_non_null(f);
	fprintf(f, "func @f(%s) -> (%s) {\n %s\n return %%y\n}\n", r->params, r->results, r->body);
	fclose(f);
	if (fettle_model_load(path, NULL, &e, &m) != FETTLE_OK || fettle_compile(m, &o, &e, &p) != FETTLE_OK ||
	    fettle_session_create(p, &so, &e, &s) != FETTLE_OK) {
		unlink(path);
		fail_msg("%s: %s", r->body, e.text);
	}
	unlink(path);
	for (int k = 0; k < 2; k++) { /* an error leaves the session as it was */
		if (run(s, r->bad, &e) != FETTLE_ERR_MODEL)
			fail_msg("backend %d, %s, on %s: \"%s\" instead of an error", backend, r->body, r->bad, e.text);
		if (!strstr(e.text, r->says) || strstr(e.text, "internal"))
			fail_msg("backend %d, %s, on %s: \"%s\" does not say \"%s\"", backend, r->body, r->bad, e.text,
				 r->says);
		if (run(s, r->good, &e) != FETTLE_OK)
			fail_msg("backend %d, %s, on %s: %s", backend, r->body, r->good, e.text);
	}
	fettle_session_free(s);
	fettle_program_free(p);
	fettle_model_free(m);
}

static void by_interpreter(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++)
		check_row(&rows[i], FETTLE_INTERP);
}

static void by_jit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++)
		check_row(&rows[i], FETTLE_JIT);
}

/* the C compiler takes its time: every third */
static void by_c_compiler(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i += 3)
		check_row(&rows[i], FETTLE_C);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_interpreter),
		cmocka_unit_test(by_jit),
		cmocka_unit_test(by_c_compiler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
