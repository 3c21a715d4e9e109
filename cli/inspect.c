/* fettle inspect: what is in a model. */
#include "cli.h"

static void to_stdout(void *user, const char *text, size_t n)
{
	(void)user;
	fwrite(text, 1, n, stdout);
}

static int inspect_main(const cli_verb *v, int argc, char **argv)
{
	cli_model_options mo = {0};
	fettle_inspect_options io = {0};
	const cli_option options[] = {
		{"--json", CLI_FLAG, &io.json, NULL, "for machines"},
		{"--why", CLI_TEXT, &io.why, "PASS|all", "what a pass (or a rewrite) did, and where"},
		{"--why-not", CLI_TEXT, &io.why_not, "PASS|all", "what it almost did, and why it did not"},
		{"--passes", CLI_TEXT, &io.passes, "P", "passes to run after the default ones: see fettle list passes"},
		{"--shape", CLI_LIST, &mo.shapes, "NAME=1x128",
		 "shape of an input; ? leaves a dim as the model has it"},
		{"--dim", CLI_LIST, &mo.dims, "NAME=1..8", "bounds (or one value) of a named dim"},
		{"--max-memory", CLI_BYTES, &mo.max_memory, "BYTES", "refuse to hold more, such as 500M or 8G"},
	};
	cli_list pos = {0};
	fettle_model *m = NULL;
	fettle_error e;
	int status;

	if (!cli_parse(v, argc, argv, options, sizeof options / sizeof options[0], &pos, &status))
		return status;
	if (pos.n != 1)
		return cli_usage("inspect takes one model: fettle inspect %s", v->usage);
	mo.alone = true; /* fettle_inspect optimizes itself */
	status = cli_load(pos.v[0], &mo, &m);
	if (!status && fettle_inspect(m, &io, to_stdout, NULL, &e) != FETTLE_OK)
		status = cli_error(&e);
	fettle_model_free(m);
	return status;
}

const cli_verb cli_inspect = {"inspect", "what is in a model, and whether it compiles", inspect_main, "MODEL [options]",
			      "Show inputs and outputs, parameters, ops as loaded and after optimizing, and what "
			      "compiling for this machine gives:\n"
			      "kernels, weights, workspace, or the reason why not.\n\n"
			      "  fettle inspect model.onnx\n"
			      "  fettle inspect model.onnx --shape input_ids=1x128 --json\n"
			      "  fettle inspect model.onnx --why-not fuse-norm\n"};
