/* What an emitted model answers to what does not fit it: error codes with a text, and good results after that. NAME is
 * `lookup`: func @f(%x: f32[?n,4], %i: i64[?k]) -> (f32[?k,4]), a gather of rows. */
#include <stdio.h>
#include <stdlib.h>

#include "lookup.h"

static int bad;

static void expect(int ok, const char *what)
{
	if (!ok)
		printf("wrong: %s\n", what);
	bad |= !ok;
}

int main(void)
{
	float x[12], y[8];
	int64_t i[2] = {2, -3};
	lookup_context c;
	lookup_io io;
	void *w;
	size_t n;

	for (int k = 0; k < 12; k++)
		x[k] = (float)k;
	expect(lookup_init(NULL, NULL, 0) == lookup_BAD_ARGUMENT, "no context");
	expect(lookup_init(&c, x, 8) == lookup_BAD_WEIGHTS, "weights that are none");
	expect(lookup_init(&c, NULL, 0) == 0, "init");
	memset(&io, 0, sizeof io);
	io.dims.n = 3;
	io.dims.k = 2;
	io.x = x;
	io.i = i;
	io.y = y;
	io.y_bytes = sizeof y;
	n = lookup_workspace_size(&io.dims);
	expect(n != (size_t)-1, "workspace");
	w = aligned_alloc(64, (n + 64) / 64 * 64);

	expect(lookup_run(&c, &io, w) == 0 && y[0] == 8 && y[4] == 0, "a good run");
	expect(io.y_dims[0] == 2 && io.y_bytes == sizeof y, "the result's shape");
	i[0] = 3;
	expect(lookup_run(&c, &io, w) >= 2, "an index behind the end");
	expect(strstr(lookup_error(lookup_run(&c, &io, w)), "index out of range") != NULL, "the text of it");
	i[0] = INT64_MIN;
	expect(lookup_run(&c, &io, w) >= 2, "an index far before the start");
	i[0] = 1;
	io.y_bytes = sizeof y - 1;
	expect(lookup_run(&c, &io, w) == lookup_SMALL_OUTPUT, "too little memory for the result");
	io.y_bytes = sizeof y;
	io.y = NULL;
	expect(lookup_run(&c, &io, w) == lookup_NO_MEMORY, "no memory for the result, and no hook");
	io.y = y;
	io.x = NULL;
	expect(lookup_run(&c, &io, w) == lookup_BAD_ARGUMENT, "no input");
	io.x = x;
	expect(lookup_run(&c, &io, (char *)w + 4) == lookup_BAD_ARGUMENT, "a workspace that is not aligned");
	io.dims.n = -1;
	expect(lookup_run(&c, &io, w) == lookup_BAD_DIMS, "a negative dim");
	expect(lookup_workspace_size(&io.dims) == (size_t)-1, "workspace for a negative dim");
	io.dims.n = 0;
	expect(lookup_run(&c, &io, w) >= 2, "nothing to take from");
	io.dims.k = 0;
	expect(lookup_run(&c, &io, w) == 0 && io.y_bytes == 0, "nothing asked for");
	io.dims.n = 3;
	io.dims.k = 2;
	io.y_bytes = sizeof y; /* the run before wrote what it made */
	expect(lookup_run(&c, &io, w) == 0 && y[0] == 4, "a good run after all that");
	free(w);
	return bad;
}
