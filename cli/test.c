/* fettle test: models with stored inputs and outputs, in the ONNX folder convention. Each model runs in a process of its
 * own, so that one that crashes or hangs is one line of the report. */

#include "cli.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct settings {
	cli_model_options model;
	cli_run_options run;
	double atol, rtol, timeout;
	int64_t jobs;
	bool one_line; /* of an error of a child: not on standard error but in its result */
} settings;

enum verdict { PASSED, FAILED, INACCURATE };

typedef struct result {
	char verdict;
	char text[1023];
} result;

/* ---- in the child: one model ---- */

typedef struct set {
	cli_feeds in, want;
} set;

typedef struct model {
	const settings *s;
	const char *dir;
	char *path;
	double atol, rtol;
	cli_list names; /* fed when the program was compiled; copies, as the data sets are read and freed one by one */
	fettle_model *m;
	fettle_program *p;
	fettle_session *session;
} model;

static int fail(result *r, enum verdict v, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(result *r, enum verdict v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	r->verdict = (char)v;
	vsnprintf(r->text, sizeof r->text, fmt, ap);
	va_end(ap);
	return -1;
}

/* atol and rtol of DIR/meta.json, where the flags leave them open. */
static int read_meta(model *t, result *r)
{
	char *path = cli_printf("%s/meta.json", t->dir), text[65536];
	FILE *f = fopen(path, "rb");
	cJSON *json;
	size_t n;

	t->atol = t->s->atol >= 0 ? t->s->atol : 1e-5;
	t->rtol = t->s->rtol >= 0 ? t->s->rtol : 1e-3;
	free(path);
	if (!f)
		return 0;
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	json = cJSON_Parse(text);
	if (!json)
		return fail(r, FAILED, "meta.json is no JSON");
	if (t->s->atol < 0 && cJSON_IsNumber(cJSON_GetObjectItem(json, "atol")))
		t->atol = cJSON_GetObjectItem(json, "atol")->valuedouble;
	if (t->s->rtol < 0 && cJSON_IsNumber(cJSON_GetObjectItem(json, "rtol")))
		t->rtol = cJSON_GetObjectItem(json, "rtol")->valuedouble;
	cJSON_Delete(json);
	return 0;
}

/* PREFIX_0.pb, PREFIX_1.pb, ... of a data set. */
static int read_tensors(const char *dir, const char *prefix, cli_feeds *out, result *r)
{
	for (size_t k = 0;; k++) {
		char *path = cli_printf("%s/%s_%zu.pb", dir, prefix, k);
		fettle_tensors **files;
		fettle_tensor *v;
		fettle_error e;

		if (access(path, F_OK) != 0) {
			free(path);
			return 0;
		}
		files = cli_alloc(out->nfiles + 1, sizeof *files);
		v = cli_alloc(out->n + 1, sizeof *v);
		if (out->n) {
			memcpy(files, out->files, out->nfiles * sizeof *files);
			memcpy(v, out->v, out->n * sizeof *v);
		}
		free(out->files);
		free(out->v);
		out->files = files;
		out->v = v;
		if (fettle_tensors_read(path, &e, &files[out->nfiles]) != FETTLE_OK)
			return fail(r, FAILED, "%s", e.text);
		v[out->n++] = *fettle_tensors_get(files[out->nfiles++], 0);
		free(path);
	}
}

static bool same_names(const cli_list *names, const cli_feeds *f)
{
	if (names->n != f->n)
		return false;
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(names->v[i], f->v[i].name ? f->v[i].name : "") != 0)
			return false;
	}
	return true;
}

static void drop_program(model *t)
{
	fettle_session_free(t->session);
	fettle_program_free(t->p);
	fettle_model_free(t->m);
	t->session = NULL;
	t->p = NULL;
	t->m = NULL;
	for (size_t i = 0; i < t->names.n; i++)
		free((char *)t->names.v[i]);
	t->names.n = 0;
}

/* An initializer that is fed in this set stays an input: the program depends on what is fed. */
static int make_program(model *t, const cli_feeds *in, result *r)
{
	const settings *s = t->s;
	cli_model_options l = s->model;
	fettle_compile_options c = {
		.cpu = s->run.cpu, .compile_threads = (int)s->run.threads, .tmpdir = getenv("TMPDIR")};
	fettle_session_options so = {.threads = (int)s->run.threads, .max_memory = s->model.max_memory};
	fettle_error e;

	if (t->p && same_names(&t->names, in))
		return 0;
	drop_program(t);
	for (size_t i = 0; i < in->n; i++)
		cli_list_add(&t->names, cli_printf("%s", in->v[i].name ? in->v[i].name : ""));
	l.overridable = t->names;
	(void)cli_backend(s->run.backend, &c.backend);
	if (cli_open_for(t->path, &l, in, &e, &t->m) != FETTLE_OK || fettle_compile(t->m, &c, &e, &t->p) != FETTLE_OK ||
	    fettle_session_create(t->p, &so, &e, &t->session) != FETTLE_OK)
		return fail(r, FAILED, "%s", e.text);
	return 0;
}

static const fettle_port *input_port(const void *p, size_t k)
{
	return fettle_program_input(p, k);
}

static const fettle_port *output_port(const void *p, size_t k)
{
	return fettle_program_output(p, k);
}

/* Exporters rename inputs: if some name is unknown, the order of the files counts. */
static int match_inputs(model *t, const cli_feeds *f, fettle_tensor *in, result *r)
{
	size_t n = fettle_program_input_count(t->p);
	const char *nobody = cli_feeds_match(f, input_port, t->p, n, in);

	if (nobody && f->n == n) {
		memcpy(in, f->v, n * sizeof *in);
		nobody = NULL;
	}
	for (size_t k = 0; k < n; k++) {
		if (in[k].kind == FETTLE_TENSOR && in[k].dtype == FETTLE_NO_DTYPE)
			return fail(r, FAILED, "no data for input \"%s\"", fettle_program_input(t->p, k)->name);
	}
	return 0;
}

static int run_set(model *t, const char *name, const set *s, double *worst, result *r)
{
	size_t nin = fettle_program_input_count(t->p), nout = fettle_program_output_count(t->p);
	fettle_tensor *in = cli_alloc(nin, sizeof *in), *out = cli_alloc(nout, sizeof *out);
	fettle_tensor *want = cli_alloc(nout, sizeof *want);
	fettle_error e;
	const char *nobody;

	if (match_inputs(t, &s->in, in, r))
		return -1;
	if (fettle_session_run(t->session, in, out, &e) != FETTLE_OK)
		return fail(r, FAILED, "%s: %s", name, e.text);
	nobody = cli_feeds_match(&s->want, output_port, t->p, nout, want);
	if (nobody && s->want.n <= nout)
		memcpy(want, s->want.v, s->want.n * sizeof *want);
	else if (nobody)
		return fail(r, FAILED, "%s: the model has no output \"%s\"", name, nobody);
	for (size_t k = 0; k < nout; k++) {
		cli_difference d;

		if (want[k].kind == FETTLE_TENSOR && want[k].dtype == FETTLE_NO_DTYPE)
			continue;
		d = cli_compare(&out[k], &want[k], t->atol, t->rtol);
		if (d.max_abs > *worst)
			*worst = d.max_abs;
		if (!d.ok && d.what)
			return fail(r, INACCURATE, "%s: output \"%s\": %s (max abs diff %.3g)", name,
				    fettle_program_output(t->p, k)->name, d.what, d.max_abs);
		if (!d.ok)
			return fail(r, INACCURATE, "%s: output \"%s\" differs (max abs diff %.3g, atol %g, rtol %g)",
				    name, fettle_program_output(t->p, k)->name, d.max_abs, t->atol, t->rtol);
	}
	free(in);
	free(out);
	free(want);
	return 0;
}

static void test_model(const settings *s, const char *dir, result *r)
{
	model t = {.s = s, .dir = dir, .path = cli_printf("%s/model.onnx", dir)};
	double worst = 0;
	size_t sets = 0;

	if (access(t.path, F_OK) != 0) {
		(void)fail(r, FAILED, "no model.onnx in this folder");
		return;
	}
	if (read_meta(&t, r))
		return;
	for (size_t k = 0, missing = 0; missing < 8; k++) {
		char *name = cli_printf("test_data_set_%zu", k), *path = cli_printf("%s/%s", dir, name);
		set one = {0};

		if (access(path, F_OK) != 0) {
			missing++;
			continue;
		}
		if (read_tensors(path, "input", &one.in, r) || read_tensors(path, "output", &one.want, r))
			return;
		if (!one.want.n) {
			(void)fail(r, FAILED, "%s has no output_0.pb", name);
			return;
		}
		if (make_program(&t, &one.in, r) || run_set(&t, name, &one, &worst, r))
			return;
		cli_feeds_free(&one.in);
		cli_feeds_free(&one.want);
		sets++;
	}
	drop_program(&t);
	if (sets)
		snprintf(r->text, sizeof r->text, "%zu data set%s, max abs diff %.3g", sets, sets == 1 ? "" : "s",
			 worst);
	else
		(void)fail(r, FAILED, "no test_data_set_0 in this folder");
}

/* ---- in the parent ---- */

typedef struct child {
	const char *dir;
	pid_t pid; /* 0: not started or done */
	int out, err;
	double deadline;
	bool done, timed_out;
	size_t got;
	result r;
	char last[400]; /* of its standard error */
	size_t nlast;
} child;

static const char *base_name(const char *path, char *buf, size_t size)
{
	size_t n = strlen(path), from;

	while (n > 1 && path[n - 1] == '/')
		n--;
	from = n;
	while (from > 0 && path[from - 1] != '/')
		from--;
	snprintf(buf, size, "%.*s", (int)(n - from), path + from);
	return buf;
}

static void in_child(const settings *s, const char *dir, int out)
{
	result r = {0};
	const char *p = (const char *)&r;
	size_t left = sizeof r;

	test_model(s, dir, &r);
	while (left) {
		ssize_t n = write(out, p, left);

		if (n <= 0)
			break;
		p += n;
		left -= (size_t)n;
	}
	_exit(0);
}

static void start(child *c, const settings *s)
{
	int out[2], err[2];

	fflush(stdout);
	fflush(stderr);
	if (pipe(out) != 0 || pipe(err) != 0 || (c->pid = fork()) < 0) {
		(void)fail(&c->r, FAILED, "cannot start a process: %s", strerror(errno));
		c->pid = 0;
		c->done = true;
		return;
	}
	if (c->pid == 0) {
		close(out[0]);
		close(err[0]);
		dup2(err[1], STDERR_FILENO);
		close(err[1]);
		in_child(s, c->dir, out[1]);
	}
	close(out[1]);
	close(err[1]);
	c->out = out[0];
	c->err = err[0];
	c->deadline = cli_now() + s->timeout;
}

/* The last line that a crashed child wrote, on one line. */
static const char *last_words(child *c)
{
	char *s = c->last, *end;

	c->last[c->nlast] = '\0';
	for (end = s + c->nlast; end > s && end[-1] == '\n';)
		*--end = '\0';
	for (char *p = s; *p; p++) {
		if (*p == '\n')
			s = p + 1;
	}
	return s;
}

static void finish(child *c)
{
	int status = 0;
	const char *words;

	waitpid(c->pid, &status, 0);
	close(c->out);
	close(c->err);
	c->pid = 0;
	c->done = true;
	if (c->got == sizeof c->r && !c->timed_out)
		return;
	words = last_words(c);
	if (c->timed_out)
		(void)fail(&c->r, FAILED, "timed out");
	else if (WIFSIGNALED(status))
		(void)fail(&c->r, FAILED, "crashed (signal %d)%s%s", WTERMSIG(status), *words ? ": " : "", words);
	else
		(void)fail(&c->r, FAILED, "ended with status %d%s%s", WEXITSTATUS(status), *words ? ": " : "", words);
}

/* Keep the end of what comes. */
static bool read_words(child *c)
{
	char buf[1024];
	ssize_t n = read(c->err, buf, sizeof buf);
	size_t room = sizeof c->last - 1;

	for (ssize_t i = 0; i < n; i++) {
		if (c->nlast == room) {
			memmove(c->last, c->last + room / 2, room - room / 2);
			c->nlast = room - room / 2;
		}
		c->last[c->nlast++] = buf[i];
	}
	return n > 0;
}

static bool read_result(child *c)
{
	ssize_t n = c->got < sizeof c->r ? read(c->out, (char *)&c->r + c->got, sizeof c->r - c->got) : 0;

	if (n > 0)
		c->got += (size_t)n;
	return n > 0 && c->got < sizeof c->r;
}

static void print_result(const child *c, size_t *passed, size_t *failed, int *status)
{
	char name[256];

	base_name(c->dir, name, sizeof name);
	if (c->r.verdict == PASSED) {
		printf("ok %s %s\n", name, c->r.text);
		++*passed;
	} else {
		printf("FAIL %s: %s\n", name, c->r.text);
		++*failed;
		if (c->r.verdict == FAILED)
			*status = CLI_MODEL;
		else if (*status == CLI_OK)
			*status = CLI_ACCURACY;
	}
	fflush(stdout);
}

/* Up to `jobs` children at a time; lines come in the order of the folders. */
static int run_all(const settings *s, const cli_list *dirs)
{
	child *c = cli_alloc(dirs->n, sizeof *c);
	size_t next = 0, printed = 0, running = 0, passed = 0, failed = 0;
	int status = CLI_OK;

	for (size_t i = 0; i < dirs->n; i++)
		c[i].dir = dirs->v[i];
	while (printed < dirs->n) {
		struct pollfd fds[2 * 64];
		child *who[64];
		nfds_t n = 0;

		for (; next < dirs->n && running < (size_t)s->jobs; next++) {
			start(&c[next], s);
			running += c[next].pid != 0;
		}
		for (size_t i = printed; i < next; i++) {
			if (!c[i].pid)
				continue;
			who[n / 2] = &c[i];
			fds[n++] = (struct pollfd){.fd = c[i].out, .events = POLLIN};
			fds[n++] = (struct pollfd){.fd = c[i].err, .events = POLLIN};
		}
		if (n && poll(fds, n, 200) < 0 && errno != EINTR)
			break;
		for (nfds_t k = 0; k < n; k += 2) {
			bool over = false;

			if (fds[k + 1].revents && !read_words(who[k / 2]) && fds[k].revents == 0)
				fds[k + 1].fd = -1;
			if (fds[k].revents)
				over = !read_result(who[k / 2]);
			if (!over && cli_now() > who[k / 2]->deadline) {
				who[k / 2]->timed_out = true;
				kill(who[k / 2]->pid, SIGKILL);
				over = true;
			}
			if (over) {
				while (who[k / 2]->got < sizeof(result) && read_words(who[k / 2]))
					;
				finish(who[k / 2]);
				running--;
			}
		}
		for (; printed < next && c[printed].done; printed++)
			print_result(&c[printed], &passed, &failed, &status);
	}
	printf("%zu passed, %zu failed\n", passed, failed);
	free(c);
	return status;
}

static int test_main(const cli_verb *v, int argc, char **argv)
{
	settings s = {.atol = -1, .rtol = -1, .timeout = 120, .run.threads = 0};
	const cli_option options[] = {
		CLI_RUN_OPTIONS(s.run),
		{"--atol", CLI_NUM, &s.atol, "X", "absolute tolerance (default: meta.json, else 1e-5)"},
		{"--rtol", CLI_NUM, &s.rtol, "X", "relative tolerance (default: meta.json, else 1e-3)"},
		{"-j", CLI_INT, &s.jobs, "N", "models at a time (default: one per core)"},
		{"--timeout", CLI_NUM, &s.timeout, "SECONDS", "per model (default 120)"},
		CLI_MODEL_OPTIONS(s.model),
	};
	fettle_machine machine;
	fettle_backend backend;
	cli_list dirs = {0};
	int status;

	if (!cli_parse(v, argc, argv, options, sizeof options / sizeof options[0], &dirs, &status))
		return status;
	if (!dirs.n)
		return cli_usage("which folders? usage: fettle test %s", v->usage);
	status = cli_backend(s.run.backend, &backend);
	if (status)
		return status;
	fettle_machine_describe(&machine);
	if (!s.jobs)
		s.jobs = machine.threads;
	if (s.jobs > 64)
		s.jobs = 64;
	if ((size_t)s.jobs > dirs.n)
		s.jobs = (int64_t)dirs.n;
	if (!s.run.threads)
		s.run.threads = s.jobs > 1 ? 1 : machine.threads;
	return run_all(&s, &dirs);
}

const cli_verb cli_test = {
	"test", "check models against their stored outputs", test_main, "DIR... [options]",
	"Run models on stored inputs and compare with stored outputs. Each DIR holds model.onnx and data sets\n"
	"test_data_set_0, test_data_set_1, ... with input_0.pb, ... and output_0.pb, ... (ONNX TensorProto files).\n"
	"One line per model, then `N passed, N failed`. NaN equals NaN; numbers may differ by atol + rtol * "
	"|expected|.\n"
	"Tolerances: the flags, else atol and rtol of DIR/meta.json, else 1e-5 and 1e-3.\n\n"
	"  fettle test models/*\n"
	"  fettle test models/bert --backend interp --rtol 1e-4\n"};
