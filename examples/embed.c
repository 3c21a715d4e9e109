/* Runs a model inside a program, through fettle's C API: the least there is to do.
 *
 * usage: embed MODEL.onnx [BATCH]
 *
 * Inputs are zeros; open dims are BATCH (default 1). With an installed fettle:
 *   cc embed.c $(pkg-config --cflags --libs fettle) -o embed
 * or find_package(fettle) and fettle::fettle in CMake, as in CMakeLists.txt here. */
#include <fettle/fettle.h>
#include <stdio.h>
#include <stdlib.h>

/* A tensor of zeros for an input. */
static int make_input(const fettle_port *port, int64_t batch, fettle_tensor *t)
{
	size_t count;

	*t = (fettle_tensor){.name = port->name, .dtype = port->dtype, .rank = port->rank};
	for (int i = 0; i < port->rank; i++)
		t->dims[i] = port->dims[i] >= 0 ? port->dims[i] : batch;
	if (!fettle_tensor_count(t, &count) || count > SIZE_MAX / 8)
		return 0;
	t->bytes = count * fettle_dtype_bytes(t->dtype);
	t->data = calloc(count + 1, fettle_dtype_bytes(t->dtype));
	return t->data != NULL;
}

static void show(const fettle_tensor *t)
{
	size_t count = 0;

	printf("%s: %s[", t->name, fettle_dtype_name(t->dtype));
	for (int i = 0; i < t->rank; i++)
		printf("%s%lld", i ? "," : "", (long long)t->dims[i]);
	printf("]");
	fettle_tensor_count(t, &count);
	for (size_t i = 0; i < count && i < 8; i++)
		printf(" %g", fettle_tensor_value(t, i));
	printf("%s\n", count > 8 ? " ..." : "");
}

static int run(fettle_program *program, fettle_session *session, int64_t batch)
{
	size_t nin = fettle_program_input_count(program), nout = fettle_program_output_count(program);
	/* outputs without memory of their own get the session's */
	fettle_tensor *in = calloc(nin + 1, sizeof *in), *out = calloc(nout + 1, sizeof *out);
	fettle_error e;
	int ok = in && out;

	for (size_t k = 0; k < nin && ok; k++)
		ok = make_input(fettle_program_input(program, k), batch, &in[k]);
	if (!ok)
		fprintf(stderr, "out of memory\n");
	if (ok && fettle_session_run(session, in, out, &e) != FETTLE_OK) {
		fprintf(stderr, "%s\n", e.text);
		ok = 0;
	}
	for (size_t k = 0; k < nout && ok; k++)
		show(&out[k]);
	for (size_t k = 0; k < nin && in; k++)
		free(in[k].data);
	free(in);
	free(out);
	return ok;
}

int main(int argc, char **argv)
{
	fettle_model *model = NULL;
	fettle_program *program = NULL;
	fettle_session *session = NULL;
	fettle_error e;
	int ok = 0;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: embed MODEL.onnx [BATCH]\n");
		return 2;
	}
	if (fettle_model_load(argv[1], NULL, &e, &model) == FETTLE_OK &&
	    fettle_optimize(model, NULL, &e) == FETTLE_OK && fettle_compile(model, NULL, &e, &program) == FETTLE_OK &&
	    fettle_session_create(program, NULL, &e, &session) == FETTLE_OK)
		ok = run(program, session, argc > 2 ? atoll(argv[2]) : 1);
	else
		fprintf(stderr, "%s\n", e.text);
	fettle_session_free(session);
	fettle_program_free(program);
	fettle_model_free(model);
	return ok ? 0 : 1;
}
