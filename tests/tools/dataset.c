/* A stored data set as a C header, so that emitted C can be tested with nothing but libc around it.
 *
 * usage: dataset DIR
 * Reads DIR/input_k.pb and DIR/output_k.pb through the public API and prints arrays `data_in` and `data_want` of ftl_io,
 * and their element types (enum fettle_dtype) as `data_in_type` and `data_want_type`. */
#include <fettle/fettle.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static fettle_tensors *read_one(const char *dir, const char *what, int k)
{
	fettle_tensors *t = NULL;
	char path[4096];
	fettle_error e;

	snprintf(path, sizeof path, "%s/%s_%d.pb", dir, what, k);
	if (access(path, F_OK) != 0)
		return NULL;
	if (fettle_tensors_read(path, &e, &t) != FETTLE_OK) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	return t;
}

static void print_all(const char *dir, const char *file, const char *name)
{
	fettle_tensors *t;
	int n = 0;

	for (; (t = read_one(dir, file, n)); n++) {
		const fettle_tensor *x = fettle_tensors_get(t, 0);

		printf("_Alignas(64) static unsigned char %s_%d[] = {", name, n);
		for (size_t i = 0; i < x->bytes; i++)
			printf(i % 24 ? "%d," : "\n\t%d,", ((const unsigned char *)x->data)[i]);
		printf("0};\n");
		fettle_tensors_free(t);
	}
	printf("static ftl_io %s[] = {\n", name);
	for (int k = 0; k < n; k++) {
		const fettle_tensor *x = fettle_tensors_get(t = read_one(dir, file, k), 0);

		printf("\t{%s_%d, %zu, {", name, k, x->bytes);
		for (int i = 0; i < x->rank; i++)
			printf("%lld,", (long long)x->dims[i]);
		printf("0}},\n");
		fettle_tensors_free(t);
	}
	printf("\t{0, 0, {0}},\n};\nstatic const int %s_type[] = {", name);
	for (int k = 0; k < n; k++) {
		printf("%d,", (int)fettle_tensors_get(t = read_one(dir, file, k), 0)->dtype);
		fettle_tensors_free(t);
	}
	printf("0};\n");
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	print_all(argv[1], "input", "data_in");
	print_all(argv[1], "output", "data_want");
	return 0;
}
