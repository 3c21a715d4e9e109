/* Sessions: checked tensors in, tensors out, over runtime/session.h or the interpreter. A run of compiled code allocates
 * nothing here but for sequences, which are packed into the two tensors that the program takes (kernels/kir.h), and
 * unpacked again. */
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
	void **packed;         /* per entry of in: made for this run, or NULL */
	fettle_tensor **items; /* per output: of the last run's sequence, or NULL */
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
		.nin = p->m->inputs.n,
		.nout = p->m->outputs.n,
		.msgs = p->m->msgs.v,
		.nmsgs = p->m->msgs.n,
		.file = p->m->file,
		.memory_limit = limit,
	};

	ftl_arena_init(&s->scratch, NULL, NULL, limit > SIZE_MAX ? SIZE_MAX : (size_t)limit);
	s->m = p->m;
	s->in = some(desc.nin, sizeof *s->in);
	s->out = some(desc.nout, sizeof *s->out);
	s->kin = some(desc.nin, sizeof *s->kin);
	s->kout = some(desc.nout, sizeof *s->kout);
	s->packed = some(desc.nin, sizeof *s->packed);
	s->items = some(p->nout, sizeof *s->items);
	if (!s->in || !s->out || !s->kin || !s->kout || !s->packed || !s->items)
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

static void drop_packed(fettle_session *s)
{
	for (uint32_t i = 0; s->packed && i < s->m->inputs.n; i++) {
		free(s->packed[i]);
		s->packed[i] = NULL;
	}
}

static void drop_items(fettle_session *s)
{
	for (size_t k = 0; s->items && k < s->p->nout; k++) {
		free(s->items[k]);
		s->items[k] = NULL;
	}
}

void fettle_session_free(fettle_session *s)
{
	if (!s)
		return;
	drop_packed(s);
	drop_items(s);
	free(s->packed);
	free(s->items);
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

static ftl_status check_tensor(const fettle_session *s, const fettle_port *port, const fettle_tensor *t, ftl_diag *d)
{
	const char *file = s->m->file ? s->m->file : "model";
	size_t count = 0, bytes = 0;

	if (t->kind != FETTLE_TENSOR)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: input \"%s\": a sequence or optional where a tensor is needed",
				file, port->name);
	if (t->dtype != port->dtype)
		return ftl_fail(d, FTL_ERR_MODEL, "%s: input \"%s\" is %s, but %s was given", file, port->name,
				fettle_dtype_name(port->dtype), fettle_dtype_name(t->dtype));
	if (port->rank >= 0 && t->rank != port->rank)
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

/* ---- sequences ---- */

#define ROW ((size_t)FTL_SEQ_WORDS * sizeof(int64_t))

static size_t aligned(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

static size_t bytes_of(const fettle_tensor *t)
{
	size_t count = 0;

	return fettle_tensor_count(t, &count) ? count * fettle_dtype_bytes(t->dtype) : 0;
}

/* The elements that t has as a value of this port; false if it is none. *out_n -1: an optional sequence that is not there. */
static bool elements(const fettle_port *port, const fettle_tensor *t, const fettle_tensor **out, int64_t *out_n)
{
	*out = t->items;
	*out_n = (int64_t)t->n_items;
	if (t->n_items && !t->items)
		return false;
	if (port->kind == FETTLE_OPTIONAL_SEQUENCE) {
		if (t->none && t->kind != FETTLE_SEQUENCE)
			*out_n = -1;
		return t->kind == FETTLE_SEQUENCE || t->kind == FETTLE_OPTIONAL_SEQUENCE ||
		       (t->kind == FETTLE_OPTIONAL && t->none);
	}
	if (port->kind == FETTLE_SEQUENCE)
		return t->kind == FETTLE_SEQUENCE || (t->kind == FETTLE_OPTIONAL_SEQUENCE && !t->none);
	if (t->kind == FETTLE_TENSOR) {
		*out = t;
		*out_n = 1;
		return true;
	}
	if (t->none)
		*out_n = 0;
	return t->kind != FETTLE_OPTIONAL_SEQUENCE && *out_n <= 1;
}

/* Table and bytes of an input, in one piece of memory; entries `at` and `at` + 1 of the run's inputs. */
static ftl_status pack(fettle_session *s, const fettle_port *port, const fettle_tensor *t, size_t at, ftl_diag *d)
{
	const char *file = s->m->file ? s->m->file : "model";
	const fettle_tensor *v = NULL;
	size_t rows, total, used = 0;
	int64_t n = 0, *table;
	char *data;

	if (!elements(port, t, &v, &n))
		return ftl_fail(d, FTL_ERR_MODEL, "%s: input \"%s\": what was given is of another kind", file,
				port->name);
	rows = (n > 0 ? (size_t)n : 0) + 1;
	if (__builtin_mul_overflow(rows, ROW, &total))
		return ftl_fail(d, FTL_ERR_LIMIT, "%s: input \"%s\" has too many elements", file, port->name);
	for (size_t i = 0; i + 1 < rows; i++) {
		FTL_TRY(check_tensor(s, port, &v[i], d));
		if (__builtin_add_overflow(total, aligned(bytes_of(&v[i])), &total))
			return ftl_fail(d, FTL_ERR_LIMIT, "%s: input \"%s\" is too large", file, port->name);
	}
	table = s->packed[at] = calloc(total, 1);
	if (!table)
		return ftl_fail(d, FTL_ERR_MEMORY, "out of memory");
	data = (char *)table + rows * ROW;
	table[0] = n;
	table[1] = (int64_t)(total - rows * ROW);
	for (size_t i = 0; i + 1 < rows; i++) {
		int64_t *r = table + (i + 1) * FTL_SEQ_WORDS;
		size_t bytes = bytes_of(&v[i]);

		r[FTL_SEQ_AT] = (int64_t)used;
		r[FTL_SEQ_RANK] = v[i].rank;
		memcpy(&r[FTL_SEQ_DIMS], v[i].dims, (size_t)v[i].rank * sizeof *r);
		r[FTL_SEQ_BYTES] = (int64_t)bytes;
		if (bytes)
			memcpy(data + used, v[i].data, bytes);
		used += aligned(bytes);
	}
	s->in[at] = (ftl_io){.data = table, .bytes = rows * ROW, .dims = {(int64_t)rows, FTL_SEQ_WORDS}};
	s->in[at + 1] = (ftl_io){.data = data, .bytes = used, .dims = {(int64_t)used}};
	return FTL_OK;
}

/* Views of what the program wrote. */
static ftl_status unpack(fettle_session *s, size_t k, const ftl_io *io, fettle_tensor *out, ftl_diag *d)
{
	const fettle_port *port = &s->p->out[k];
	const int64_t *table = io[0].data;
	size_t n = table[0] > 0 ? (size_t)table[0] : 0;

	*out = (fettle_tensor){.name = port->name, .dtype = port->dtype, .kind = port->kind};
	s->items[k] = some(n, sizeof **s->items);
	if (!s->items[k])
		return ftl_fail(d, FTL_ERR_MEMORY, "out of memory");
	out->items = s->items[k];
	out->n_items = n;
	out->none = port->kind == FETTLE_OPTIONAL ? n == 0 : table[0] < 0;
	for (size_t i = 0; i < n; i++) {
		const int64_t *r = table + (i + 1) * FTL_SEQ_WORDS;
		fettle_tensor *t = &out->items[i];

		t->dtype = port->dtype;
		t->rank = (int)r[FTL_SEQ_RANK];
		memcpy(t->dims, &r[FTL_SEQ_DIMS], (size_t)t->rank * sizeof *r);
		t->data = (char *)io[1].data + r[FTL_SEQ_AT];
		t->bytes = (size_t)r[FTL_SEQ_BYTES];
	}
	return FTL_OK;
}

/* ---- runs ---- */

/* The caller's inputs as the program's. */
static ftl_status give(fettle_session *s, const fettle_tensor *in, ftl_diag *d)
{
	static _Alignas(64) const char nothing[64];
	size_t at = 0;

	for (size_t k = 0; k < s->p->nin; k++, at++) {
		const fettle_port *port = &s->p->in[k];

		if (port->kind != FETTLE_TENSOR) {
			FTL_TRY(pack(s, port, &in[k], at++, d));
			continue;
		}
		FTL_TRY(check_tensor(s, port, &in[k], d));
		s->in[at].data = in[k].data ? in[k].data : (void *)(uintptr_t)nothing;
		s->in[at].bytes = in[k].bytes;
		memcpy(s->in[at].dims, in[k].dims, sizeof s->in[at].dims);
	}
	return FTL_OK;
}

static void set_output(const fettle_port *port, const ftl_io *io, fettle_tensor *out)
{
	*out = (fettle_tensor){.name = port->name, .dtype = port->dtype, .rank = port->rank, .data = io->data};
	memcpy(out->dims, io->dims, sizeof out->dims);
	out->bytes = bytes_of(out);
}

/* The program's outputs as the caller's. */
static ftl_status take(fettle_session *s, fettle_tensor *out, ftl_diag *d)
{
	size_t at = 0;

	for (size_t k = 0; k < s->p->nout; k++, at++) {
		if (s->p->out[k].kind == FETTLE_TENSOR)
			set_output(&s->p->out[k], &s->out[at], &out[k]);
		else
			FTL_TRY(unpack(s, k, &s->out[at++], &out[k], d));
	}
	return FTL_OK;
}

static ftl_status interpret_entry(void *ctx, ftl_diag *d)
{
	fettle_session *s = ctx;

	return ftl_kmodule_interpret(s->m, &s->scratch, s->kin, s->kout, d);
}

static fettle_status interpret(fettle_session *s, fettle_error *e)
{
	ftl_arena *arena = &s->scratch;
	fettle_status rc;

	ftl_arena_reset(&s->scratch);
	for (uint32_t i = 0; i < s->m->inputs.n; i++) {
		s->kin[i] = (ftl_karg_tensor){.data = s->in[i].data, .bytes = s->in[i].bytes};
		memcpy(s->kin[i].dims, s->in[i].dims, sizeof s->kin[i].dims);
	}
	for (uint32_t i = 0; i < s->m->outputs.n; i++)
		s->kout[i] = (ftl_karg_tensor){.data = s->out[i].data, .bytes = s->out[i].bytes};
	rc = ftl_enter(&arena, 1, interpret_entry, s, e);
	for (uint32_t i = 0; i < s->m->outputs.n; i++) {
		s->out[i].data = s->kout[i].data;
		memcpy(s->out[i].dims, s->kout[i].dims, sizeof s->out[i].dims);
	}
	return rc;
}

fettle_status fettle_session_run(fettle_session *s, const fettle_tensor *in, fettle_tensor *out, fettle_error *e)
{
	fettle_program *p = s->p;
	size_t at = 0;
	fettle_status rc;
	ftl_diag d;

	ftl_diag_clear(&d);
	drop_items(s);
	rc = (fettle_status)give(s, in, &d);
	for (size_t k = 0; k < p->nout; k++, at++) {
		bool given = p->out[k].kind == FETTLE_TENSOR && out[k].data;

		s->out[at] = (ftl_io){.data = given ? out[k].data : NULL, .bytes = given ? out[k].bytes : 0};
		if (p->out[k].kind != FETTLE_TENSOR)
			s->out[++at] = (ftl_io){0};
	}
	if (rc == FETTLE_OK && !s->run) {
		rc = interpret(s, e);
		drop_packed(s);
		if (rc != FETTLE_OK)
			return rc;
	} else if (rc == FETTLE_OK) {
		rc = (fettle_status)ftl_session_run(s->run, s->in, s->out, &d);
	}
	drop_packed(s);
	if (rc == FETTLE_OK)
		rc = (fettle_status)take(s, out, &d);
	report(&d, (ftl_status_code)rc, e);
	return rc;
}
