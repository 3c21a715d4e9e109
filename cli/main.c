/* The fettle command: finds the verb. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const cli_verb *const verbs[] = {
	&cli_run, &cli_test, &cli_bench, &cli_compile, &cli_opt, &cli_inspect, &cli_list_verb,
};
#define VERBS (sizeof verbs / sizeof verbs[0])

/* ---- what cli.h promises to everybody ---- */

void cli_say(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	fputs("fettle: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

int cli_usage(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	fputs("fettle: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return CLI_USAGE;
}

int cli_exit_status(fettle_status s)
{
	switch (s) {
	case FETTLE_OK: return CLI_OK;
	case FETTLE_ERR_USAGE: return CLI_USAGE;
	case FETTLE_ERR_ACCURACY: return CLI_ACCURACY;
	default: return CLI_MODEL;
	}
}

int cli_error(const fettle_error *e)
{
	cli_say("%s", e->text);
	return cli_exit_status(e->status);
}

/* Names, lists and messages live until the command ends. They stay reachable from here, so that a leak checker only
 * speaks up about what the library has lost. */
static struct {
	void **v;
	size_t n, cap;
} kept;

static void *checked(void *p)
{
	if (p && kept.n == kept.cap) {
		size_t cap = kept.cap ? 2 * kept.cap : 64;
		void **v = realloc(kept.v, cap * sizeof *v);

		if (v) {
			kept.v = v;
			kept.cap = cap;
		}
	}
	if (!p || kept.n == kept.cap) {
		fputs("fettle: out of memory\n", stderr);
		exit(CLI_MODEL);
	}
	return kept.v[kept.n++] = p;
}

void *cli_alloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1));
}

char *cli_printf(const char *fmt, ...)
{
	va_list ap, again;
	char *s;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	s = cli_alloc((size_t)n + 1, 1);
	vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	return s;
}

static double clock_seconds(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double cli_now(void)
{
	return clock_seconds(CLOCK_MONOTONIC);
}

double cli_cpu(void)
{
	return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

double cli_progress(double began, double said, double share, const char *what)
{
	double now = cli_now();

	if (now - began < 1 || now - said < 0.2 || !isatty(STDERR_FILENO))
		return said;
	fprintf(stderr, "\r%3.0f%% of %s ", share * 100, what);
	fflush(stderr);
	return now;
}

void cli_progress_end(double began)
{
	if (cli_now() - began >= 1 && isatty(STDERR_FILENO))
		fputs("\r                    \r", stderr);
}

void cli_list_add(cli_list *l, const char *s)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 8;
		l->v = checked(realloc(l->v, l->cap * sizeof *l->v));
	}
	l->v[l->n++] = s;
}

/* ---- the command ---- */

static void help(void)
{
	printf("usage: fettle VERB ...\n\n"
	       "Compile ONNX models for CPUs: run them here, or make a library, an object, a program or C source of "
	       "them.\n\n"
	       "verbs:\n");
	for (size_t i = 0; i < VERBS; i++)
		printf("  %-9s %s\n", verbs[i]->name, verbs[i]->summary);
	printf("\nfettle VERB --help says more, with examples.\n\n"
	       "first steps:\n"
	       "  fettle inspect model.onnx                      what is in it, and whether fettle can compile it\n"
	       "  fettle run model.onnx --shape input_ids=1x128  run it once on random data\n"
	       "  fettle bench model.onnx --shape input_ids=1x128\n"
	       "  fettle compile model.onnx --emit shared -o libmodel.so\n\n"
	       "exit status: 0 done, 1 the model or its data is at fault, 2 usage, 3 accuracy or tolerance not met\n");
}

static const char *verb_name(const void *user, size_t k)
{
	(void)user;
	return k < VERBS ? verbs[k]->name : NULL;
}

int main(int argc, char **argv)
{
	const char *near;

	if (argc < 2) {
		help();
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		if (argc > 2 && argv[1][0] == 'h') {
			char *ask[] = {(char *)"--help"};

			for (size_t i = 0; i < VERBS; i++) {
				if (!strcmp(argv[2], verbs[i]->name))
					return verbs[i]->main(verbs[i], 1, ask);
			}
		}
		help();
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("fettle %s\n", fettle_version());
		return CLI_OK;
	}
	for (size_t i = 0; i < VERBS; i++) {
		if (!strcmp(argv[1], verbs[i]->name)) {
			int status = verbs[i]->main(verbs[i], argc - 2, argv + 2);

			if (fflush(stdout) != 0 || ferror(stdout)) {
				fputs("fettle: cannot write to standard output\n", stderr);
				status = status ? status : CLI_MODEL;
			}
			return status;
		}
	}
	near = cli_nearest(argv[1], verb_name, NULL);
	if (near)
		return cli_usage("unknown verb %s; did you mean %s?", argv[1], near);
	return cli_usage("unknown verb %s; see fettle --help", argv[1]);
}
