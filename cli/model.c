/* Models and sessions for the verbs, by the options they share. */
#include "cli.h"

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

int cli_load(const char *path, const cli_model_options *o, fettle_model **out)
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
	fettle_error e;

	if (fettle_model_load(path, &l, &e, out) != FETTLE_OK)
		return cli_error(&e);
	return CLI_OK;
}

int cli_start(fettle_model *m, const cli_model_options *mo, const cli_run_options *o, fettle_program **out_p,
	      fettle_session **out_s)
{
	fettle_compile_options c = {.cpu = o->cpu};
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
