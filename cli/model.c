/* Models and sessions for the verbs, by the options they share. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

int cli_backend(const char *text, fettle_backend *out)
{
	static const struct {
		const char *name;
		fettle_backend backend;
	} names[] = {{"jit", FETTLE_JIT}, {"c", FETTLE_C}, {"interp", FETTLE_INTERP}};

	*out = FETTLE_JIT;
	for (size_t i = 0; text && i < sizeof names / sizeof names[0]; i++) {
		if (!strcmp(text, names[i].name)) {
			*out = names[i].backend;
			return CLI_OK;
		}
	}
	return text ? cli_usage("unknown backend %s; there are jit, c and interp", text) : CLI_OK;
}

/* A text file of any sane size, NUL at the end; NULL and the reason in e. */
static char *read_text(const char *path, fettle_error *e)
{
	const size_t max = (size_t)1 << 20;
	FILE *f = fopen(path, "rb");
	char *s;
	size_t n;

	e->status = FETTLE_ERR_IO;
	if (!f) {
		snprintf(e->text, sizeof e->text, "%s: cannot be read", path);
		return NULL;
	}
	s = cli_alloc(max + 1, 1);
	n = fread(s, 1, max + 1, f);
	fclose(f);
	if (n <= max && !memchr(s, '\0', n)) {
		s[n] = '\0';
		return s;
	}
	free(s);
	snprintf(e->text, sizeof e->text, "%s: not a recipe", path);
	return NULL;
}

fettle_status cli_open(const char *path, const cli_model_options *o, fettle_error *e, fettle_model **out)
{
	fettle_load_options l = {
		.shapes = o->shapes.v,
		.n_shapes = o->shapes.n,
		.dims = o->dims.v,
		.n_dims = o->dims.n,
		.overridable = o->overridable.v,
		.n_overridable = o->overridable.n,
		.max_memory = o->max_memory,
	};
	fettle_optimize_options p = {
		.passes = o->passes,
		.alone = o->alone,
		.stop_after = o->stop_after,
		.rewrite_limit = o->rewrite_limit,
		.after = o->after,
		.user = o->user,
	};
	char *recipe = NULL, *both = NULL;
	fettle_status rc;

	*out = NULL;
	if (o->recipe) {
		recipe = read_text(o->recipe, e);
		if (!recipe)
			return e->status;
		p.passes = recipe;
		if (o->passes)
			p.passes = both = cli_printf("%s\n%s", recipe, o->passes);
	}
	rc = fettle_model_load(path, &l, e, out);
	if (rc == FETTLE_OK) {
		rc = fettle_optimize(*out, &p, e);
		if (rc != FETTLE_OK) {
			fettle_model_free(*out);
			*out = NULL;
		}
	}
	free(both);
	free(recipe);
	return rc;
}

fettle_status cli_open_for(const char *path, const cli_model_options *o, const cli_feeds *data, fettle_error *e,
			   fettle_model **out)
{
	cli_model_options with = *o;
	fettle_status rc = cli_open(path, o, e, out);
	fettle_error again;

	with.shapes = (cli_list){0};
	if (rc != FETTLE_ERR_UNSUPPORTED || o->shapes.n || !cli_feeds_ranks(data, &with.shapes))
		return rc;
	return cli_open(path, &with, &again, out) == FETTLE_OK ? FETTLE_OK : rc;
}

int cli_load(const char *path, const cli_model_options *o, fettle_model **out)
{
	fettle_error e;

	return cli_open(path, o, &e, out) == FETTLE_OK ? CLI_OK : cli_error(&e);
}

int cli_start(fettle_model *m, const cli_model_options *mo, const cli_run_options *o, fettle_program **out_p,
	      fettle_session **out_s)
{
	fettle_compile_options c = {.cpu = o->cpu, .tmpdir = getenv("TMPDIR")};
	fettle_session_options s = {.threads = (int)o->threads, .max_memory = mo->max_memory};
	fettle_error e;
	int rc = cli_backend(o->backend, &c.backend);

	*out_p = NULL;
	*out_s = NULL;
	if (rc)
		return rc;
	if (o->threads > 4096)
		return cli_usage("--threads %lld is more than any machine has", (long long)o->threads);
	c.compile_threads = (int)o->threads;
	if (fettle_compile(m, &c, &e, out_p) != FETTLE_OK)
		return cli_error(&e);
	if (fettle_session_create(*out_p, &s, &e, out_s) != FETTLE_OK) {
		fettle_program_free(*out_p);
		*out_p = NULL;
		return cli_error(&e);
	}
	return CLI_OK;
}
