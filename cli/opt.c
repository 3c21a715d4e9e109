/* fettle opt: a model through passes, and out again as a graph. */
#include "cli.h"

#include <string.h>

typedef struct watch {
	const char *print_after;
	bool time;
	double seconds;
} watch;

static void to_stdout(void *user, const char *text, size_t n)
{
	(void)user;
	fwrite(text, 1, n, stdout);
}

static void after_pass(void *user, fettle_model *m, const fettle_pass_info *info)
{
	watch *w = user;
	fettle_error e;

	w->seconds += info->seconds;
	if (w->print_after && (!strcmp(w->print_after, "all") || !strcmp(w->print_after, info->pass))) {
		printf("# after %s\n", info->pass);
		if (fettle_emit_text(m, FETTLE_EMIT_IR, NULL, to_stdout, NULL, &e) != FETTLE_OK)
			(void)cli_error(&e);
	}
	if (w->time)
		fprintf(stderr, "%9.3f ms  %-18s %6zu -> %6zu nodes  %s\n", info->seconds * 1e3, info->pass,
			info->nodes_before, info->nodes_after, info->edits);
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
	else
		rc = fettle_emit(m, FETTLE_EMIT_IR, out, NULL, &e);
	return rc == FETTLE_OK ? CLI_OK : cli_error(&e);
}

static const char *pass_name(const void *user, size_t k)
{
	(void)user;
	return fettle_pass_name(k);
}

/* A misspelt pass would silently print or stop nowhere. */
static int check_pass(const char *option, const char *name, bool all)
{
	const char *near;

	if (!name || (all && !strcmp(name, "all")))
		return CLI_OK;
	for (size_t k = 0; fettle_pass_name(k); k++) {
		if (!strcmp(fettle_pass_name(k), name))
			return CLI_OK;
	}
	near = cli_nearest(name, pass_name, NULL);
	return near ? cli_usage("%s %s: there is no such pass; did you mean %s?", option, name, near)
		    : cli_usage("%s %s: there is no such pass; see fettle list passes", option, name);
}

static int opt_main(const cli_verb *v, int argc, char **argv)
{
	watch w = {0};
	cli_model_options mo = {.after = after_pass, .user = &w};
	const char *out = NULL;
	int64_t limit = -1;
	const cli_option options[] = {
		{"-o", CLI_TEXT, &out, "FILE", "where to write: .onnx or .fir (default: text on standard output)"},
		{"--print-after", CLI_TEXT, &w.print_after, "PASS|all", "print the graph after this pass"},
		{"--stop-after", CLI_TEXT, &mo.stop_after, "PASS", "run nothing after this pass"},
		{"--rewrite-limit", CLI_INT, &limit, "N", "make the first N edits only: to find the one that breaks"},
		{"--time-passes", CLI_FLAG, &w.time, NULL, "what each pass took and did, on standard error"},
		CLI_MODEL_OPTIONS(mo),
	};
	cli_list pos = {0};
	fettle_model *m = NULL;
	int status;

	if (!cli_parse(v, argc, argv, options, sizeof options / sizeof options[0], &pos, &status))
		return status;
	if (pos.n != 1)
		return cli_usage("opt takes one model: fettle opt %s", v->usage);
	if (out && !ends_with(out, ".onnx") && !ends_with(out, ".fir"))
		return cli_usage("-o %s: the name ends in .onnx or .fir", out);
	status = check_pass("--print-after", w.print_after, true);
	if (!status)
		status = check_pass("--stop-after", mo.stop_after, false);
	if (status)
		return status;
	mo.rewrite_limit = limit < 0 ? 0 : limit == 0 ? -1 : limit;
	status = cli_load(pos.v[0], &mo, &m);
	if (w.time)
		fprintf(stderr, "%9.3f ms  in all\n", w.seconds * 1e3);
	if (!status)
		status = write_graph(m, out);
	fettle_model_free(m);
	return status;
}

const cli_verb cli_opt = {
	"opt", "optimize a model and write it as .onnx, .fir or text", opt_main,
	"MODEL.onnx|MODEL.fir [-o OUT.onnx|OUT.fir] [options]",
	"Read a model, run passes over it, and write it. Without -o the graph is printed as text.\n"
	"The default passes change results by rounding at most; --passes adds to them, -O0 leaves them out.\n\n"
	"  fettle opt model.onnx | less\n"
	"  fettle opt model.onnx -o model.fir --time-passes\n"
	"  fettle opt model.fir -O0 --passes fold,cse -o small.onnx\n"
	"  fettle opt model.onnx --print-after fuse-norm --stop-after fuse-norm\n"};
