/* What the verbs share: options, messages, models and their data. The command sees the public API only.
 *
 * Exit status: 0 done, 1 the model or its data is at fault, 2 usage, 3 accuracy or tolerance not met. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <fettle/fettle.h>
#include <stdio.h>

enum { CLI_OK = 0, CLI_MODEL = 1, CLI_USAGE = 2, CLI_ACCURACY = 3 };

/* ---- messages: "fettle: text" on standard error ---- */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same for an error of the library; returns the exit status for it. */
int cli_error(const fettle_error *e);
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* returns CLI_USAGE */
int cli_exit_status(fettle_status s);

/* Memory that cannot be had ends the command. */
void *cli_alloc(size_t n, size_t size);
char *cli_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
double cli_now(void); /* seconds, wall clock */
double cli_cpu(void); /* seconds, processor time of this process */

/* "37% of rows" on a terminal's standard error, once work has lasted a second; began and said are times of cli_now, the
 * result is the new `said`. */
double cli_progress(double began, double said, double share, const char *what);
void cli_progress_end(double began);

typedef struct cli_list {
	const char **v;
	size_t n, cap;
} cli_list;
void cli_list_add(cli_list *l, const char *s);

/* ---- options ---- */
typedef enum cli_kind {
	CLI_FLAG,  /* bool */
	CLI_TEXT,  /* const char * */
	CLI_INT,   /* int64_t, >= 0 */
	CLI_NUM,   /* double */
	CLI_BYTES, /* uint64_t: 500M, 2G */
	CLI_LIST   /* cli_list: may be repeated */
} cli_kind;

typedef struct cli_option {
	const char *name; /* with its dashes */
	cli_kind kind;
	void *to;
	const char *arg, *help;
} cli_option;

typedef struct cli_verb {
	const char *name, *summary;
	int (*main)(const struct cli_verb *v, int argc, char **argv);
	const char *usage; /* after the verb's name */
	const char *text;  /* what it does, with examples */
} cli_verb;
extern const cli_verb cli_run, cli_test, cli_compile, cli_opt, cli_bench, cli_inspect, cli_list_verb;

/* Fill the options' variables; what is no option goes to pos. False: the command is over, *out_status says how (help was
 * asked for and printed, or something is wrong and was said). */
bool cli_parse(const cli_verb *v, int argc, char **argv, const cli_option *o, size_t n, cli_list *pos, int *out_status);
/* The nearest of n names to s, or NULL if none is near. */
const char *cli_nearest(const char *s, const char *(*name)(const void *user, size_t k), const void *user);

/* ---- models ---- */
typedef struct cli_model_options {
	cli_list shapes, dims, overridable;
	uint64_t max_memory;
	const char *passes, *recipe;
	bool alone; /* -O0 */
	/* of opt alone */
	const char *stop_after;
	int64_t rewrite_limit; /* as fettle_optimize_options */
	void (*after)(void *user, fettle_model *m, const fettle_pass_info *info);
	void *user;
} cli_model_options;
#define CLI_MODEL_OPTIONS(m)                                                                                           \
	{"--shape", CLI_LIST, &(m).shapes, "NAME=1x128", "shape of an input; ? leaves a dim as the model has it"},     \
		{"--dim", CLI_LIST, &(m).dims, "NAME=1..8", "bounds (or one value) of a named dim"},                   \
		{"--passes", CLI_TEXT, &(m).passes, "P",                                                               \
		 "passes to run after the default ones: see fettle list passes"},                                      \
		{"--recipe", CLI_TEXT, &(m).recipe, "FILE", "the same from a file"},                                   \
		{"-O0", CLI_FLAG, &(m).alone, NULL, "run no pass but those given"},                                    \
	{                                                                                                              \
		"--max-memory", CLI_BYTES, &(m).max_memory, "BYTES", "refuse to hold more, such as 500M or 8G"         \
	}

typedef struct cli_run_options {
	const char *backend, *cpu;
	int64_t threads;
} cli_run_options;
#define CLI_RUN_OPTIONS(r)                                                                                             \
	{"--backend", CLI_TEXT, &(r).backend, "jit|c|interp", "what runs the model (default jit)"},                    \
		{"--cpu", CLI_TEXT, &(r).cpu, "LEVEL", "use no more than this: see fettle list targets"},              \
	{                                                                                                              \
		"--threads", CLI_INT, &(r).threads, "N", "threads to run with (default: one per core)"                 \
	}

/* Load and optimize. */
fettle_status cli_open(const char *path, const cli_model_options *o, fettle_error *e, fettle_model **out);
/* The same, saying what went wrong. */
int cli_load(const char *path, const cli_model_options *o, fettle_model **out);
/* Compile and make a session. */
int cli_start(fettle_model *m, const cli_model_options *mo, const cli_run_options *o, fettle_program **out_p,
	      fettle_session **out_s);
int cli_backend(const char *text, fettle_backend *out);

/* ---- data ---- */
/* Tensors for a program's inputs, in order; where none is given data is NULL. Owns what it read. */
typedef struct cli_feeds {
	fettle_tensor *v; /* in the order given */
	size_t n;
	fettle_tensors **files;
	size_t nfiles;
} cli_feeds;
/* NAME=FILE.npy. */
int cli_feeds_add_file(cli_feeds *f, const char *spec);
/* One tensor file, under the name it says itself. */
int cli_feeds_add_path(cli_feeds *f, const char *path);
/* A folder: input_k.pb, or NAME.npy. */
int cli_feeds_add_folder(cli_feeds *f, const char *dir);
/* "NAME=?x?" for every sequence whose elements have one rank: a model need not say it. How many there are. */
size_t cli_feeds_ranks(const cli_feeds *f, cli_list *shapes);
/* cli_open for a model that is about to run on this data: where the model does not say what rank a sequence's elements
 * have, the data does. */
fettle_status cli_open_for(const char *path, const cli_model_options *o, const cli_feeds *data, fettle_error *e,
			   fettle_model **out);
void cli_feeds_free(cli_feeds *f);
/* Put them into the order of n ports: by name, else by position for the nameless. Missing ones stay without data.
 * Returns the first name that nobody knows, or NULL. */
const char *cli_feeds_match(const cli_feeds *f, const fettle_port *(*port)(const void *user, size_t k),
			    const void *user, size_t n, fettle_tensor *out);
/* Random contents for a port: dims that are not known are 1, integers 0 or 1. */
int cli_random(const fettle_port *p, uint64_t seed, fettle_tensor *out);
/* "2x3 f32" */
char *cli_type_text(const fettle_tensor *t);
void cli_print_string(const char *s); /* with a space in front */

typedef struct cli_difference {
	bool ok;
	double max_abs;   /* over elements that are finite in both */
	const char *what; /* why not, if it is not the size of the difference */
} cli_difference;
/* got against want: shapes and types equal, NaN where NaN, the same infinities, else |a - b| <= atol + rtol * |b|. */
cli_difference cli_compare(const fettle_tensor *got, const fettle_tensor *want, double atol, double rtol);

#endif
