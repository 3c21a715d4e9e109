/* Reads handwritten digits with a trained vision transformer, through fettle's C API.
 *
 * usage: digits MODEL.onnx IMAGES.npz OUT
 *
 * IMAGES.npz holds "pixel_values" f32[n,1,8,8] (grey, -1 to 1) and "labels" i64[n]. Compiles the model for this machine,
 * shows what it sees in every image, times it, and writes the model as C source to OUT.c and OUT.h. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <fettle/fettle.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIDE 8
#define CLASSES 10
#define PER_ROW 4
#define RUNS 400

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static const fettle_tensor *find(const fettle_tensors *file, const char *name)
{
	for (size_t k = 0; k < fettle_tensors_count(file); k++) {
		const fettle_tensor *t = fettle_tensors_get(file, k);

		if (t->name && strcmp(t->name, name) == 0)
			return t;
	}
	return NULL;
}

/* One line of one image, two characters per pixel. */
static void print_line(const float *image, int line)
{
	static const char shades[] = " .:-=+*#%@";

	for (int x = 0; x < SIDE; x++) {
		int grey = (int)lrintf((image[line * SIDE + x] + 1) / 2 * 9);
		char c = shades[grey < 0 ? 0 : grey > 9 ? 9 : grey];

		putchar(c);
		putchar(c);
	}
}

typedef struct guess {
	int digit;
	double sure; /* softmax of its logit */
} guess;

static guess best(const float *logits)
{
	guess g = {0, 0};
	double sum = 0;

	for (int k = 1; k < CLASSES; k++) {
		if (logits[k] > logits[g.digit])
			g.digit = k;
	}
	for (int k = 0; k < CLASSES; k++)
		sum += exp(logits[k] - logits[g.digit]);
	g.sure = 1 / sum;
	return g;
}

static void print_images(const float *pixels, const int64_t *labels, const guess *g, size_t n)
{
	for (size_t from = 0; from < n; from += PER_ROW) {
		size_t to = from + PER_ROW < n ? from + PER_ROW : n;

		for (int line = 0; line < SIDE; line++) {
			for (size_t i = from; i < to; i++) {
				print_line(pixels + i * SIDE * SIDE, line);
				fputs(i + 1 < to ? "    " : "\n", stdout);
			}
		}
		for (size_t i = from; i < to; i++) {
			char text[64];

			snprintf(text, sizeof text, "%d %3.0f%%  %s%d", g[i].digit, g[i].sure * 100,
				 g[i].digit == labels[i] ? "is " : "NO: ", (int)labels[i]);
			printf(i + 1 < to ? "%-20s" : "%s\n\n", text);
		}
	}
}

static void wrote(void *user, const char *path)
{
	(void)user;
	printf("  %s\n", path);
}

static int fail(const fettle_error *e)
{
	fprintf(stderr, "digits: %s\n", e->text);
	return 1;
}

int main(int argc, char **argv)
{
	fettle_session_options one_thread = {.threads = 1};
	fettle_emit_options emit = {.wrote = wrote};
	const fettle_tensor *pixels, *labels;
	fettle_tensors *images;
	fettle_program *program;
	fettle_session *session;
	fettle_model *model;
	static double took[RUNS];
	double began;
	size_t n, right = 0;
	guess *seen;
	fettle_error e;

	if (argc != 4) {
		fputs("usage: digits MODEL.onnx IMAGES.npz OUT\n", stderr);
		return 2;
	}
	if (fettle_tensors_read(argv[2], &e, &images) != FETTLE_OK)
		return fail(&e);
	pixels = find(images, "pixel_values");
	labels = find(images, "labels");
	if (!pixels || !labels || pixels->dtype != FETTLE_F32 || labels->dtype != FETTLE_I64 || pixels->rank != 4 ||
	    pixels->dims[1] != 1 || pixels->dims[2] != SIDE || pixels->dims[3] != SIDE || labels->rank != 1 ||
	    labels->dims[0] != pixels->dims[0]) {
		fprintf(stderr, "digits: %s: wants pixel_values f32[n,1,8,8] and labels i64[n]\n", argv[2]);
		return 1;
	}
	n = (size_t)labels->dims[0];

	began = now();
	if (fettle_model_load(argv[1], NULL, &e, &model) != FETTLE_OK ||
	    fettle_optimize(model, NULL, &e) != FETTLE_OK || fettle_compile(model, NULL, &e, &program) != FETTLE_OK ||
	    fettle_session_create(program, &one_thread, &e, &session) != FETTLE_OK)
		return fail(&e);
	printf("compiled %s in %.2f s\n\n", argv[1], now() - began);

	/* All images in one run: the batch is a symbol of the model, so any size will do. */
	{
		fettle_tensor out = {0};

		if (fettle_session_run(session, pixels, &out, &e) != FETTLE_OK)
			return fail(&e);
		seen = calloc(n ? n : 1, sizeof *seen);
		if (!seen)
			return 1;
		for (size_t i = 0; i < n; i++) {
			seen[i] = best((const float *)out.data + i * CLASSES);
			right += seen[i].digit == ((const int64_t *)labels->data)[i];
		}
	}
	print_images(pixels->data, labels->data, seen, n);
	printf("%zu of %zu right\n", right, n);

	/* One image at a time, as a camera would send them. */
	for (size_t r = 0; r < RUNS && n; r++) {
		fettle_tensor one = *pixels, out = {0};

		one.dims[0] = 1;
		one.bytes = SIDE * SIDE * sizeof(float);
		one.data = (float *)pixels->data + r % n * SIDE * SIDE;
		began = now();
		if (fettle_session_run(session, &one, &out, &e) != FETTLE_OK)
			return fail(&e);
		took[r] = now() - began;
	}
	qsort(took, RUNS, sizeof took[0], by_size);
	printf("one image takes %.0f microseconds on one thread (median of %d runs)\n", took[RUNS / 2] * 1e6, RUNS);

	puts("the model as C source, for any C11 compiler with GNU vector extensions:");
	fflush(stdout);
	if (fettle_emit(model, FETTLE_EMIT_C, argv[3], &emit, &e) != FETTLE_OK)
		return fail(&e);

	free(seen);
	fettle_session_free(session);
	fettle_program_free(program);
	fettle_model_free(model);
	fettle_tensors_free(images);
	return 0;
}
