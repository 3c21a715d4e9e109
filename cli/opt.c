/* fettle opt: a model through passes, and out again as a graph. */
#include "cli.h"

#include <string.h>

static void to_stdout(void *user, const char *text, size_t n)
{
	(void)user;
	fwrite(text, 1, n, stdout);
}

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n > k && !strcmp(s + n - k, suffix);
}

static int write_graph(fettle_model *m, const char *out)
{
	fettle_error e;
	fettle_status rc;

	if (!out)
		rc = fettle_emit_text(m, FETTLE_EMIT_IR, NULL, to_stdout, NULL, &e);
	else if (ends_with(out, ".onnx"))
		rc = fettle_emit(m, FETTLE_EMIT_ONNX, out, NULL, &e);
	else if (ends_with(out, ".fir"))
		rc = fettle_emit(m, FETTLE_EMIT_IR, out, NULL, &e);
	else
		return cli_usage("-o %s: the name ends in .onnx or .fir", out);
	return rc == FETTLE_OK ? CLI_OK : cli_error(&e);
}

static int opt_main(const cli_verb *v, int argc, char **argv)
{
	cli_model_options mo = {0};
	const char *out = NULL;
	const cli_option options[] = {
		{"-o", CLI_TEXT, &out, "FILE", "where to write: .onnx or .fir (default: text on standard output)"},
		CLI_MODEL_OPTIONS(mo),
	};
	cli_list pos = {0};
	fettle_model *m = NULL;
	int status;

	if (!cli_parse(v, argc, argv, options, sizeof options / sizeof options[0], &pos, &status))
		return status;
	if (pos.n != 1)
		return cli_usage("opt takes one model: fettle opt %s", v->usage);
	status = cli_load(pos.v[0], &mo, &m);
	if (!status)
		status = write_graph(m, out);
	fettle_model_free(m);
	return status;
}

const cli_verb cli_opt = {"opt", "optimize a model and write it as .onnx, .fir or text", opt_main,
			  "MODEL.onnx|MODEL.fir [-o OUT.onnx|OUT.fir] [options]",
			  "Read a model, optimize it, and write it. Without -o the graph is printed as text.\n\n"
			  "  fettle opt model.onnx | less\n"
			  "  fettle opt model.onnx -o model.fir\n"
			  "  fettle opt model.fir -o small.onnx\n"};
