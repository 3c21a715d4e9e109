/* fettle run: a model on data, once or row by row over a data set. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct run {
	cli_model_options mo;
	cli_run_options ro;
	cli_list inputs;
	cli_feeds feeds;
	const char *folder, *output, *data;
	int64_t batch;
	fettle_model *m;
	fettle_program *p;
	fettle_session *s;
	size_t nin, nout;
	fettle_tensor *in, *out;
} run;

static const fettle_port *input_port(const void *p, size_t k)
{
	return fettle_program_input(p, k);
}

/* ---- showing and writing outputs ---- */

static void show(const fettle_tensor *t)
{
	size_t count = 0, some;
	char *type = cli_type_text(t);

	printf("%s: %s", t->name, type);
	free(type);
	if (t->kind != FETTLE_TENSOR) {
		putchar('\n');
		for (size_t i = 0; i < t->n_items; i++) {
			fettle_tensor item = t->items[i];

			item.name = cli_printf("%s[%zu]", t->name, i);
			show(&item);
			free((char *)item.name);
		}
		return;
	}
	if (fettle_tensor_count(t, &count) && count) {
		some = count < 6 ? count : 6;
		fputs(" =", stdout);
		for (size_t i = 0; i < some; i++)
			if (t->dtype == FETTLE_STRING)
				cli_print_string(((const char *const *)t->data)[i]);
			else
				printf(" %.6g", fettle_tensor_value(t, i));
		fputs(some < count ? " ..." : "", stdout);
	}
	putchar('\n');
}

/* An output's name as a file name: names come from models, of any length. */
static char *file_name(const char *dir, const char *name, const char *suffix, size_t k)
{
	enum { LONGEST = 100 };
	char *s = cli_printf("%s/%.*s%s", dir, LONGEST, *name && *name != '.' ? name : "output", suffix);
	bool changed = !*name || *name == '.' || strlen(name) > LONGEST;

	for (char *p = s + strlen(dir) + 1; *p; p++) {
		if (*p == '/' || *p == '\\' || *p == ':' || (unsigned char)*p < 0x20) {
			*p = '_';
			changed = true;
		}
	}
	if (changed) {
		char *with = cli_printf("%.*s_%zu%s", (int)(strlen(s) - strlen(suffix)), s, k, suffix);

		free(s);
		s = with;
	}
	return s;
}

static bool is_npz(const char *path)
{
	size_t n = strlen(path);

	return n > 4 && !strcmp(path + n - 4, ".npz");
}

static int write_outputs(const run *r)
{
	fettle_error e;
	size_t n = strlen(r->output);

	if (is_npz(r->output) || (n > 4 && !strcmp(r->output + n - 4, ".npy")))
		return fettle_tensors_write(r->output, r->out, r->nout, &e) == FETTLE_OK ? CLI_OK : cli_error(&e);
	(void)mkdir(r->output, 0777);
	for (size_t k = 0; k < r->nout; k++) {
		bool tensor = r->out[k].kind == FETTLE_TENSOR;
		char *path = file_name(r->output, r->out[k].name, tensor ? ".npy" : ".pb", k);
		fettle_status rc = fettle_tensors_write(path, &r->out[k], 1, &e);

		free(path);
		if (rc != FETTLE_OK)
			return cli_error(&e);
	}
	return CLI_OK;
}

static int finish(const run *r)
{
	if (r->output)
		return write_outputs(r);
	for (size_t k = 0; k < r->nout; k++)
		show(&r->out[k]);
	return CLI_OK;
}

/* ---- once ---- */

static int run_random(run *r)
{
	int rc;

	for (size_t k = 0; k < r->nin; k++) {
		const fettle_port *p = fettle_program_input(r->p, k);
		char *type;

		rc = cli_random(p, k + 1, &r->in[k]);
		if (rc)
			return rc;
		type = cli_type_text(&r->in[k]);
		cli_say("input \"%s\": random %s%s", p->name, type,
			strchr(type, '1') && memchr(p->dims, 0xff, sizeof p->dims)
				? " (open dims are 1; --shape sets them)"
				: "");
		free(type);
	}
	return CLI_OK;
}

static int read_feeds(run *r)
{
	int rc = r->folder ? cli_feeds_add_folder(&r->feeds, r->folder) : CLI_OK;

	for (size_t i = 0; i < r->inputs.n && !rc; i++)
		rc = cli_feeds_add_file(&r->feeds, r->inputs.v[i]);
	return rc;
}

static int run_once(run *r)
{
	fettle_error e;
	int rc = CLI_OK;

	if (r->feeds.n) {
		const char *nobody = cli_feeds_match(&r->feeds, input_port, r->p, r->nin, r->in);

		if (nobody) {
			cli_say("the model has no input \"%s\"; fettle inspect shows its inputs", nobody);
			return CLI_MODEL;
		}
		for (size_t k = 0; k < r->nin; k++) {
			if (r->in[k].kind == FETTLE_TENSOR && r->in[k].dtype == FETTLE_NO_DTYPE) {
				cli_say("no data for input \"%s\"; give --input %s=FILE.npy",
					fettle_program_input(r->p, k)->name, fettle_program_input(r->p, k)->name);
				return CLI_MODEL;
			}
		}
	} else {
		rc = run_random(r);
	}
	if (rc)
		return rc;
	if (fettle_session_run(r->s, r->in, r->out, &e) != FETTLE_OK)
		return cli_error(&e);
	return finish(r);
}

/* ---- over a data set ---- */

/* Row i of n of the whole: rows [at, at + rows). */
static fettle_tensor rows_of(const fettle_tensor *whole, int64_t at, int64_t rows)
{
	fettle_tensor t = *whole;
	size_t one = whole->dims[0] > 0 ? whole->bytes / (size_t)whole->dims[0] : 0;

	t.dims[0] = rows;
	t.data = (char *)whole->data + (size_t)at * one;
	t.bytes = (size_t)rows * one;
	return t;
}

/* Append got behind what sum holds, along axis 0. */
static int append(fettle_tensor *sum, const fettle_tensor *got)
{
	char *data;

	if (got->kind != FETTLE_TENSOR || got->rank < 1) {
		cli_say("output \"%s\" has no first axis to put rows along", got->name);
		return CLI_MODEL;
	}
	if (sum->dtype != FETTLE_NO_DTYPE &&
	    (sum->rank != got->rank ||
	     memcmp(sum->dims + 1, got->dims + 1, (size_t)(got->rank - 1) * sizeof *got->dims) != 0)) {
		cli_say("output \"%s\" has another shape for other rows", got->name);
		return CLI_MODEL;
	}
	data = realloc(sum->data, sum->bytes + got->bytes + 1);
	if (!data) {
		cli_say("out of memory for the outputs");
		return CLI_MODEL;
	}
	memcpy(data + sum->bytes, got->data, got->bytes);
	if (sum->dtype == FETTLE_NO_DTYPE) {
		*sum = *got;
		sum->dims[0] = 0;
		sum->bytes = 0;
	}
	sum->data = data;
	sum->dims[0] += got->dims[0];
	sum->bytes += got->bytes;
	return CLI_OK;
}

static int find_columns(const run *r, const fettle_tensors *data, fettle_tensor *whole, int64_t *out_rows)
{
	*out_rows = -1;
	for (size_t k = 0; k < r->nin; k++) {
		const char *name = fettle_program_input(r->p, k)->name;
		const fettle_tensor *t = NULL;

		for (size_t i = 0; i < fettle_tensors_count(data) && !t; i++) {
			const fettle_tensor *x = fettle_tensors_get(data, i);

			t = x->name && !strcmp(x->name, name) ? x : NULL;
		}
		if (!t || t->kind != FETTLE_TENSOR || t->rank < 1) {
			cli_say("%s has no array \"%s\" with a first axis, which the model wants", r->data, name);
			return CLI_MODEL;
		}
		if (*out_rows >= 0 && t->dims[0] != *out_rows) {
			cli_say("%s: \"%s\" has %lld rows, others have %lld", r->data, name, (long long)t->dims[0],
				(long long)*out_rows);
			return CLI_MODEL;
		}
		*out_rows = t->dims[0];
		whole[k] = *t;
	}
	if (*out_rows > 0)
		return CLI_OK;
	cli_say("%s has no rows for this model", r->data);
	return CLI_MODEL;
}

static int run_rows(run *r, const fettle_tensor *whole, int64_t rows, fettle_tensor *sum)
{
	fettle_error e;
	double began = cli_now(), said = began;
	int rc = CLI_OK;

	for (int64_t at = 0; at < rows && !rc; at += r->batch) {
		int64_t n = rows - at < r->batch ? rows - at : r->batch;

		for (size_t k = 0; k < r->nin; k++)
			r->in[k] = rows_of(&whole[k], at, n);
		memset(r->out, 0, r->nout * sizeof *r->out);
		if (fettle_session_run(r->s, r->in, r->out, &e) != FETTLE_OK)
			return cli_error(&e);
		for (size_t k = 0; k < r->nout && !rc; k++)
			rc = append(&sum[k], &r->out[k]);
		said = cli_progress(began, said, (double)(at + n) / (double)rows, "rows");
	}
	cli_progress_end(began);
	return rc;
}

static int run_data(run *r)
{
	fettle_tensor *whole = cli_alloc(r->nin, sizeof *whole), *sum = cli_alloc(r->nout, sizeof *sum);
	fettle_tensors *data = NULL;
	fettle_error e;
	int64_t rows = 0;
	int rc;

	if (fettle_tensors_read(r->data, &e, &data) != FETTLE_OK)
		rc = cli_error(&e);
	else
		rc = find_columns(r, data, whole, &rows);
	if (!rc)
		rc = run_rows(r, whole, rows, sum);
	if (!rc) {
		memcpy(r->out, sum, r->nout * sizeof *sum);
		rc = finish(r);
	}
	for (size_t k = 0; k < r->nout; k++)
		free(sum[k].data);
	free(sum);
	free(whole);
	fettle_tensors_free(data);
	return rc;
}

static int run_main(const cli_verb *v, int argc, char **argv)
{
	run r = {.batch = 1};
	const cli_option options[] = {
		{"--input", CLI_LIST, &r.inputs, "NAME=FILE.npy", "data for one input"},
		{"--inputs", CLI_TEXT, &r.folder, "DIR", "data for all inputs: input_0.pb, ... or NAME.npy"},
		{"--data", CLI_TEXT, &r.data, "FILE.npz",
		 "arrays named like the inputs: run row by row over the first axis"},
		{"--batch", CLI_INT, &r.batch, "N", "with --data: rows per run (default 1)"},
		{"--output", CLI_TEXT, &r.output, "FILE.npz|DIR", "write outputs (default: show them)"},
		CLI_RUN_OPTIONS(r.ro),
		CLI_MODEL_OPTIONS(r.mo),
	};
	cli_list pos = {0};
	fettle_error e;
	int rc;

	if (!cli_parse(v, argc, argv, options, sizeof options / sizeof options[0], &pos, &rc))
		return rc;
	if (pos.n != 1)
		return cli_usage("run takes one model: fettle run %s", v->usage);
	if (r.data && (r.folder || r.inputs.n))
		return cli_usage("--data does not go together with --input or --inputs");
	if (r.batch < 1)
		return cli_usage("--batch starts at 1");
	rc = read_feeds(&r);
	if (rc)
		return rc;
	if (cli_open_for(pos.v[0], &r.mo, &r.feeds, &e, &r.m) != FETTLE_OK)
		rc = cli_error(&e);
	if (!rc)
		rc = cli_start(r.m, &r.mo, &r.ro, &r.p, &r.s);
	fettle_model_free(r.m);
	if (rc)
		return rc;
	r.nin = fettle_program_input_count(r.p);
	r.nout = fettle_program_output_count(r.p);
	r.in = cli_alloc(r.nin, sizeof *r.in);
	r.out = cli_alloc(r.nout, sizeof *r.out);
	rc = r.data ? run_data(&r) : run_once(&r);
	fettle_session_free(r.s);
	fettle_program_free(r.p);
	free(r.in);
	free(r.out);
	return rc;
}

const cli_verb cli_run = {
	"run", "run a model on data", run_main, "MODEL [options]",
	"Compile a model in this process and run it. Without data, inputs are random: integers 0 or 1, open dims 1.\n\n"
	"  fettle run model.onnx --shape input_ids=1x128 --shape attention_mask=1x128\n"
	"  fettle run model.onnx --input input_ids=ids.npy --input attention_mask=mask.npy --output out.npz\n"
	"  fettle run model.onnx --inputs test_data_set_0 --output outputs/\n"
	"  fettle run model.onnx --data test.npz --batch 16 --output out.npz\n"};
