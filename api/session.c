/* Sessions: checked tensors in, tensors out, over runtime/session.h or the interpreter. A run of compiled code allocates
 * nothing here. */
#include "api.h"

#include <stdlib.h>

#define RUN_BASE ((uint64_t)1536 << 20)

struct fettle_session {
	fettle_program *p;
	ftl_pool *pool;
	ftl_session *run; /* NULL: interpreted */
	ftl_io *in, *out;
	ftl_arena scratch; /* of the interpreter: its memory and its outputs, until the next run */
	ftl_karg_tensor *kin, *kout;
	/* of the interpreter's entry */
	const ftl_kmodule *m;
};

static void *some(size_t n, size_t size)
{
	return calloc(n ? n : 1, size);
}

static ftl_status make_session(fettle_session *s, fettle_program *p, const fettle_session_options *o, ftl_diag *d)
{
	uint64_t limit = o->max_memory ? o->max_memory : ftl_default_memory(RUN_BASE, p->weight_bytes, 8);
	ftl_session_desc desc = {
		.main = p->main,
		.size = p->size,
		.blobs = p->blobs,
		.nin = p->nin,
		.nout = p->nout,
		.msgs = p->m->msgs.v,
		.nmsgs = p->m->msgs.n,
		.file = p->m->file,
		.memory_limit = limit,
	};

	ftl_arena_init(&s->scratch, NULL, NULL, limit > SIZE_MAX ? SIZE_MAX : (size_t)limit);
	s->m = p->m;
	s->in = some(p->nin, sizeof *s->in);
	s->out = some(p->nout, sizeof *s->out);
	s->kin = some(p->nin, sizeof *s->kin);
	s->kout = some(p->nout, sizeof *s->kout);
	if (!s->in || !s->out || !s->kin || !s->kout)
		return ftl_fail(d, FTL_ERR_MEMORY, "out of memory");
	if (p->backend == FETTLE_INTERP)
		return FTL_OK;
	if (o->threads != 1) {
		FTL_TRY(ftl_pool_create(o->threads < 0 ? 0 : o->threads, d, &s->pool));
		desc.pool = s->pool;
	}
	return ftl_session_create(&desc, d, &s->run);
}

static void report(const ftl_diag *d, ftl_status_code code, fettle_error *e)
{
	if (code != FTL_OK)
		(void)ftl_api_fail(e, code, "%s", d->text);
	else if (e)
		*e = (fettle_error){0};
}

fettle_status fettle_session_create(fettle_program *p, const fettle_session_options *o, fettle_error *e,
				    fettle_session **out)
{
	static const fettle_session_options none;
	fettle_session *s = calloc(1, sizeof *s);
	ftl_diag d = {0};
	ftl_status_code rc;

	*out = NULL;
	if (!s)
		return ftl_api_fail(e, FTL_ERR_MEMORY, "out of memory");
	s->p = p;
	(void)ftl_store_hold(p->store);
	rc = make_session(s, p, o ? o : &none, &d);
	report(&d, rc, e);
	if (rc != FTL_OK) {
		fettle_session_free(s);
		return (fettle_status)rc;
	}
	*out = s;
	return FETTLE_OK;
}

void fettle_session_free(fettle_session *s)
{
	if (!s)
		return;
	ftl_session_free(s->run);
	ftl_pool_free(s->pool);
	ftl_arena_free(&s->scratch);
	free(s->in);
	free(s->out);
	free(s->kin);
	free(s->kout);
	ftl_store_release(s->p->store);
	free(s);
}

static ftl_status check_input(const fettle_session *s, size_t k, const fettle_tensor *t, ftl_diag *d)
{
	const fettle_port *port = &s->p->in[k];
	const char *file = s->m->file ? s->m->file : "model";
	size_t count = 0, bytes = 0;

	if (t->dtype != port->dtype)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: input \"%s\" is %s, but %s was given", file, port->name,
				fettle_dtype_name(port->dtype), fettle_dtype_name(t->dtype));
	if (t->rank != port->rank)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: input \"%s\" has rank %d, but a tensor of rank %d was given",
				file, port->name, port->rank, t->rank);
	if (!fettle_tensor_count(t, &count) || __builtin_mul_overflow(count, fettle_dtype_bytes(t->dtype), &bytes) ||
	    bytes > t->bytes)
		return ftl_fail(d, FTL_ERR_USAGE, "%s: input \"%s\": its dims do not fit its %zu bytes", file,
				port->name, t->bytes);
	if (!t->data && bytes)
		return ftl_fail(d, FTL_ERR_USAGE, "%s: input \"%s\" has no data", file, port->name);
	return FTL_OK;
}

static void set_output(const fettle_port *port, void *data, const int64_t *dims, fettle_tensor *out)
{
	size_t count = 0;

	out->name = port->name;
	out->dtype = port->dtype;
	out->rank = port->rank;
	memcpy(out->dims, dims, sizeof out->dims);
	out->data = data;
	if (fettle_tensor_count(out, &count))
		out->bytes = count * fettle_dtype_bytes(out->dtype);
}

static ftl_status interpret_entry(void *ctx, ftl_diag *d)
{
	fettle_session *s = ctx;

	return ftl_kmodule_interpret(s->m, &s->scratch, s->kin, s->kout, d);
}

static fettle_status interpret(fettle_session *s, const fettle_tensor *in, fettle_tensor *out, fettle_error *e)
{
	ftl_arena *arena = &s->scratch;
	fettle_status rc;

	ftl_arena_reset(&s->scratch);
	for (size_t k = 0; k < s->p->nin; k++) {
		s->kin[k] = (ftl_karg_tensor){.data = in[k].data, .bytes = in[k].bytes};
		memcpy(s->kin[k].dims, in[k].dims, sizeof s->kin[k].dims);
	}
	for (size_t k = 0; k < s->p->nout; k++)
		s->kout[k] = (ftl_karg_tensor){.data = out[k].data, .bytes = out[k].data ? out[k].bytes : 0};
	rc = ftl_enter(&arena, 1, interpret_entry, s, e);
	for (size_t k = 0; k < s->p->nout && rc == FETTLE_OK; k++)
		set_output(&s->p->out[k], s->kout[k].data, s->kout[k].dims, &out[k]);
	return rc;
}

fettle_status fettle_session_run(fettle_session *s, const fettle_tensor *in, fettle_tensor *out, fettle_error *e)
{
	_Alignas(64) char nothing[64];
	fettle_program *p = s->p;
	ftl_status_code rc = FTL_OK;
	ftl_diag d;

	ftl_diag_clear(&d);
	for (size_t k = 0; k < p->nin && rc == FTL_OK; k++)
		rc = check_input(s, k, &in[k], &d);
	if (rc != FTL_OK) {
		report(&d, rc, e);
		return (fettle_status)rc;
	}
	if (!s->run)
		return interpret(s, in, out, e);
	for (size_t k = 0; k < p->nin; k++) {
		s->in[k].data = in[k].data ? in[k].data : nothing;
		s->in[k].bytes = in[k].bytes;
		memcpy(s->in[k].dims, in[k].dims, sizeof s->in[k].dims);
	}
	for (size_t k = 0; k < p->nout; k++) {
		s->out[k].data = out[k].data;
		s->out[k].bytes = out[k].data ? out[k].bytes : 0;
	}
	rc = ftl_session_run(s->run, s->in, s->out, &d);
	for (size_t k = 0; k < p->nout && rc == FTL_OK; k++)
		set_output(&p->out[k], s->out[k].data, s->out[k].dims, &out[k]);
	report(&d, rc, e);
	return (fettle_status)rc;
}
