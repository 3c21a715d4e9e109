/* Any bytes as a .npy file, as an .npz file and as a tensor file of a test data set. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/npy.h"
#include "frontend/onnx.h"

/* Every byte the reader promised must be there; the sum keeps the reads alive. */
static unsigned touch(const void *p, size_t n)
{
	const uint8_t *b = p;
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += b[i];
	return sum;
}

static void check(ftl_arena *arena, const char *path)
{
	volatile unsigned sum = 0;
	ftl_diag d[3] = {{0}};
	ftl_npy one, *all = NULL;
	ftl_pb_value pb;
	size_t n = 0;

	if (ftl_npy_read(arena, path, &d[0], &one) == FTL_OK)
		sum += touch(one.data, one.bytes);
	else if (!d[0].text[0])
		fuzz_bug("npy", "failed without a message");
	if (ftl_npz_read(arena, path, &d[1], &all, &n) == FTL_OK)
		for (size_t i = 0; i < n; i++)
			sum += touch(all[i].data, all[i].bytes);
	else if (!d[1].text[0])
		fuzz_bug("npz", "failed without a message");
	if (ftl_pb_value_read(arena, path, &d[2], &pb) == FTL_OK)
		for (size_t i = 0; i < pb.n; i++)
			sum += touch(pb.items[i].data, pb.items[i].bytes);
	else if (!d[2].text[0])
		fuzz_bug("pb", "failed without a message");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/tmp/fuzz_npy_XXXXXX";
	ftl_landing landing;
	ftl_arena arena;
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
	ftl_arena_init(&arena, NULL, &landing, FUZZ_MEMORY);
	if (!setjmp(landing.jump))
		check(&arena, path);
	ftl_arena_free(&arena);
	unlink(path);
	return 0;
}
