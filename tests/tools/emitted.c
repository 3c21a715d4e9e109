/* Runs an emitted model on a stored data set: nothing of fettle is linked.
 *
 * Compiled with -include NAME.h -include DATA.h (tests/tools/dataset.c), -DM(x)=NAME_##x, -DNAME_THREADS and -DATOL, -DRTOL. Runs
 * on one thread, then on three; both must agree with what is stored. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { F32 = 1, F64, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64, BOOL };

static double value(int type, const void *p, size_t k)
{
	switch (type) {
	case F32: return ((const float *)p)[k];
	case F64: return ((const double *)p)[k];
	case I8: return ((const int8_t *)p)[k];
	case I32: return ((const int32_t *)p)[k];
	case I64: return (double)((const int64_t *)p)[k];
	default: return ((const uint8_t *)p)[k];
	}
}

static size_t element(int type)
{
	switch (type) {
	case F64:
	case I64: return 8;
	case F32:
	case I32: return 4;
	default: return 1;
	}
}

static int same(int k, const ftl_io *got, const ftl_io *want, int type)
{
	size_t n = want->bytes / element(type);

	if (memcmp(got->dims, want->dims, sizeof got->dims) != 0) {
		printf("output %d has another shape\n", k);
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		double a = value(type, got->data, i), b = value(type, want->data, i);

		if (!(fabs(a - b) <= ATOL + RTOL * fabs(b)) && !(a != a && b != b)) {
			printf("output %d: element %zu is %g instead of %g\n", k, i, a, b);
			return 0;
		}
	}
	return 1;
}

static void *get(void *user, size_t bytes)
{
	(void)user;
	return aligned_alloc(64, (bytes + 64) / 64 * 64);
}

static void give(void *user, void *p)
{
	(void)user;
	free(p);
}

/* The boundary below the typed header, so that one program serves all models. */
static int run_once(M(context) * c)
{
	ftl_io out[M(OUTPUTS) + 1];
	ftl_run run;
	int64_t size, code;
	int good = 1;

	memset(out, 0, sizeof out);
	memset(&run, 0, sizeof run);
	run.in = data_in;
	run.out = out;
	run.blobs = c->blobs;
	run.alloc = get;
	run.free = give;
	run.parallel = c->parallel;
	run.user = c->parallel_user;
	size = M(size)(&run);
	if (size < 0) {
		printf("size: %s\n", M(error)((int)-size));
		return 0;
	}
	run.workspace = get(NULL, (size_t)size);
	code = M(main)(&run);
	if (code != 0)
		printf("main: %s\n", M(error)((int)code));
	for (int k = 0; k < M(OUTPUTS); k++) {
		good = good && code == 0 && same(k, &out[k], &data_want[k], data_want_type[k]);
		free(out[k].data);
	}
	free(run.workspace);
	return good;
}

int main(void)
{
	static M(context) context;
	static M(threads) pool;
	int good, code = M(init)(&context, NULL, 0);

	if (code != 0) {
		printf("init: %s\n", M(error)(code));
		return 1;
	}
	good = run_once(&context);
	M(threads_start)(&pool, &context, 3);
	good = run_once(&context) && good;
	M(threads_stop)(&pool);
	return !good;
}
