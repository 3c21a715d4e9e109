/* fettle bench: how long a run takes. The model is compiled for the shapes of the data. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAX_SAMPLES = 100000, WARM_RUNS = 100 };
#define SHORT 50e-6 /* seconds */

typedef struct bench {
	cli_model_options mo;
	cli_run_options ro;
	const char *inputs;
	int64_t rounds;
	bool json, dynamic;
	cli_feeds feeds;
	fettle_model *m;
	fettle_program *p;
	fettle_session *s;
	size_t nin, nout;
	fettle_tensor *in, *out;
	double compile_s, compile_cpu_s, diff;
	double *wall, *cpu;
	size_t samples, runs;
} bench;

static const fettle_port *program_port(const void *p, size_t k)
{
	return fettle_program_input(p, k);
}

static const fettle_port *output_port(const void *p, size_t k)
{
	return fettle_program_output(p, k);
}

/* Shapes of the data, for inputs that have a name there. */
static void fix_shapes(bench *b)
{
	for (size_t i = 0; i < b->feeds.n; i++) {
		const fettle_tensor *t = &b->feeds.v[i];
		char dims[FETTLE_MAX_RANK * 22 + 1] = "";
		size_t n = 0;

		if (!t->name || !*t->name || t->kind != FETTLE_TENSOR)
			continue;
		for (int k = 0; k < t->rank; k++)
			n += (size_t)snprintf(dims + n, sizeof dims - n, "%s%lld", k ? "x" : "", (long long)t->dims[k]);
		cli_list_add(&b->mo.shapes, cli_printf("%s=%s", t->name, dims));
	}
}

static int compile(bench *b, const char *path)
{
	double wall = cli_now(), cpu = cli_cpu();
	int rc = cli_load(path, &b->mo, &b->m);

	if (!rc)
		rc = cli_start(b->m, &b->mo, &b->ro, &b->p, &b->s);
	fettle_model_free(b->m);
	b->compile_s = cli_now() - wall;
	b->compile_cpu_s = cli_cpu() - cpu;
	return rc;
}

static int make_inputs(bench *b)
{
	const char *nobody;
	int rc = CLI_OK;

	b->nin = fettle_program_input_count(b->p);
	b->nout = fettle_program_output_count(b->p);
	b->in = cli_alloc(b->nin, sizeof *b->in);
	b->out = cli_alloc(b->nout, sizeof *b->out);
	if (!b->inputs) {
		for (size_t k = 0; k < b->nin && !rc; k++)
			rc = cli_random(fettle_program_input(b->p, k), k + 1, &b->in[k]);
		return rc;
	}
	nobody = cli_feeds_match(&b->feeds, program_port, b->p, b->nin, b->in);
	if (nobody) {
		cli_say("the model has no input \"%s\"", nobody);
		return CLI_MODEL;
	}
	for (size_t k = 0; k < b->nin; k++) {
		if (b->in[k].dtype == FETTLE_NO_DTYPE) {
			cli_say("no data for input \"%s\" in %s", fettle_program_input(b->p, k)->name, b->inputs);
			return CLI_MODEL;
		}
	}
	return CLI_OK;
}

/* Largest difference to DIR/output_k.pb, where there are any. */
static void compare(bench *b)
{
	cli_feeds want = {0};
	fettle_tensor *t = cli_alloc(b->nout, sizeof *t);

	b->diff = -1;
	for (size_t k = 0; b->inputs && k < b->nout; k++) {
		char *path = cli_printf("%s/output_%zu.pb", b->inputs, k);

		if (access(path, R_OK) != 0 || cli_feeds_add_path(&want, path) != CLI_OK) {
			free(path);
			break;
		}
		free(path);
	}
	(void)cli_feeds_match(&want, output_port, b->p, b->nout, t);
	for (size_t k = 0; k < b->nout; k++) {
		cli_difference d;

		if (t[k].dtype == FETTLE_NO_DTYPE)
			continue;
		d = cli_compare(&b->out[k], &t[k], 0, 0);
		b->diff = fmax(b->diff, d.what ? INFINITY : d.max_abs);
	}
	free(t);
	cli_feeds_free(&want);
}

static fettle_status run_once(bench *b, fettle_error *e)
{
	for (size_t k = 0; k < b->nout; k++)
		b->out[k].data = NULL;
	return fettle_session_run(b->s, b->in, b->out, e);
}

static int run_times(bench *b, size_t n)
{
	fettle_error e;

	for (size_t i = 0; i < n; i++) {
		if (run_once(b, &e) != FETTLE_OK)
			return cli_error(&e);
	}
	return CLI_OK;
}

/* The first run touches memory and threads wake up; the last of these tells how long one takes. */
static int warm_up(bench *b, double *out_seconds)
{
	double began = cli_now(), at = began;

	for (size_t i = 0; i < WARM_RUNS && (i == 0 || cli_now() - began < 0.2); i++) {
		int rc;

		at = cli_now();
		rc = run_times(b, 1);
		if (rc)
			return rc;
	}
	*out_seconds = cli_now() - at;
	return CLI_OK;
}

/* Runs shorter than what reading the clocks takes are timed by the dozen. */
static int measure(bench *b)
{
	double one = 0, began, said, share = b->rounds ? (double)b->rounds : 1;
	size_t max = b->rounds ? (size_t)b->rounds : MAX_SAMPLES, each;
	int rc = warm_up(b, &one);

	if (rc)
		return rc;
	compare(b);
	each = b->rounds || one > SHORT ? 1 : (size_t)(SHORT / fmax(one, 1e-8));
	b->wall = cli_alloc(max, sizeof *b->wall);
	b->cpu = cli_alloc(max, sizeof *b->cpu);
	began = said = cli_now();
	while (b->samples < max) {
		double cpu = cli_cpu(), wall = cli_now();

		rc = run_times(b, each);
		if (rc)
			return rc;
		b->wall[b->samples] = (cli_now() - wall) / (double)each;
		b->cpu[b->samples++] = (cli_cpu() - cpu) / (double)each;
		b->runs += each;
		if (!b->rounds && cli_now() - began >= 1)
			break;
		said = cli_progress(began, said, (double)b->samples / share, "rounds");
	}
	cli_progress_end(began);
	return CLI_OK;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void print(bench *b)
{
	struct rusage u;
	double p50 = median(b->wall, b->samples) * 1e3, cpu = median(b->cpu, b->samples) * 1e3,
	       least = b->wall[0] * 1e3;
	double rss;

	getrusage(RUSAGE_SELF, &u);
	rss = (double)u.ru_maxrss / 1024;
	if (b->json) {
		printf("{\"version\": \"%s\", \"p50_ms\": %.6g, \"min_ms\": %.6g, \"cpu_ms\": %.6g, \"compile_s\": "
		       "%.4g, "
		       "\"compile_cpu_s\": %.4g, \"peak_rss_mb\": %.1f, \"runs\": %zu",
		       fettle_version(), p50, least, cpu, b->compile_s, b->compile_cpu_s, rss, b->runs);
		if (b->diff >= 0 && isfinite(b->diff))
			printf(", \"max_abs_diff\": %.6g", b->diff);
		printf("}\n");
		return;
	}
	printf("p50_ms=%.6g min_ms=%.6g cpu_ms=%.6g compile_s=%.4g compile_cpu_s=%.4g peak_rss_mb=%.1f runs=%zu "
	       "version=%s",
	       p50, least, cpu, b->compile_s, b->compile_cpu_s, rss, b->runs, fettle_version());
	if (b->diff >= 0)
		printf(" max_abs_diff=%.6g", b->diff);
	putchar('\n');
}

static int bench_main(const cli_verb *v, int argc, char **argv)
{
	bench b = {0};
	const cli_option options[] = {
		{"--inputs", CLI_TEXT, &b.inputs, "DIR", "data: input_0.pb, ... or NAME.npy (default: random)"},
		{"--rounds", CLI_INT, &b.rounds, "N", "runs to measure (default: as many as fit into a second)"},
		{"--dynamic", CLI_FLAG, &b.dynamic, NULL, "do not compile for the shapes of the data"},
		{"--json", CLI_FLAG, &b.json, NULL, "for machines"},
		CLI_RUN_OPTIONS(b.ro),
		CLI_MODEL_OPTIONS(b.mo),
	};
	cli_list pos = {0};
	int rc = CLI_OK;

	if (!cli_parse(v, argc, argv, options, sizeof options / sizeof options[0], &pos, &rc))
		return rc;
	if (pos.n != 1)
		return cli_usage("bench takes one model: fettle bench %s", v->usage);
	if (b.rounds > 10000000)
		return cli_usage("--rounds %lld would take too long", (long long)b.rounds);
	if (b.inputs)
		rc = cli_feeds_add_folder(&b.feeds, b.inputs);
	if (rc)
		return rc;
	if (!b.dynamic)
		fix_shapes(&b);
	rc = compile(&b, pos.v[0]);
	if (rc)
		return rc;
	rc = make_inputs(&b);
	if (!rc)
		rc = measure(&b);
	if (!rc)
		print(&b);
	fettle_session_free(b.s);
	fettle_program_free(b.p);
	return rc;
}

const cli_verb cli_bench = {
	"bench", "measure how long a run takes", bench_main, "MODEL [options]",
	"Compile a model for the shapes of the data and run it for a second. Prints the median and least time of a "
	"run, the\n"
	"processor time of a run, what compiling took, and the most memory held; with output_k.pb beside the inputs "
	"also the\n"
	"largest difference to them.\n\n"
	"  fettle bench model.onnx --shape input_ids=1x128 --shape attention_mask=1x128 --threads 1\n"
	"  fettle bench model.onnx --inputs test_data_set_0 --json\n"};
