/* Programs: lowering a model for this machine and turning it into something that runs here. */
#include "api.h"

#include <stdlib.h>

#include "base/file.h"

#define COMPILE_BASE ((uint64_t)512 << 20)

/* Whether code for level t runs on a machine of level host. Levels of one family grow with their vectors. */
static bool runs_on(const ftl_target *t, const ftl_target *host)
{
	bool arm = !strcmp(t->name, "neon"), host_arm = !strcmp(host->name, "neon");

	return t->vector_bytes == 0 || (arm == host_arm && t->vector_bytes <= host->vector_bytes);
}

ftl_status ftl_target_choose(const char *cpu, ftl_diag *d, ftl_target *out)
{
	const ftl_target *host, *t;
	ftl_cpu machine;

	ftl_cpu_detect(&machine);
	host = ftl_target_find(machine.level);
	if (!host)
		host = &ftl_target_scalar;
	t = cpu && strcmp(cpu, "native") ? ftl_target_find(cpu) : host;
	if (!t)
		return ftl_fail(d, FTL_ERR_USAGE, "unknown cpu level \"%s\"; `fettle list targets` names them", cpu);
	if (!runs_on(t, host))
		return ftl_fail(d, FTL_ERR_USAGE, "this machine (%s) does not run %s code", host->name, t->name);
	*out = *t;
	if (machine.l1_bytes > 0)
		out->l1_bytes = machine.l1_bytes;
	if (machine.l2_bytes > 0)
		out->l2_bytes = machine.l2_bytes;
	return FTL_OK;
}

typedef struct compile {
	fettle_model *model;
	const fettle_compile_options *o;
	ftl_store *store;
	fettle_program *p;
} compile;

static void free_jit(void *jit)
{
	ftl_jit_free(jit);
}

static void release_store(void *store)
{
	ftl_store_release(store);
}

static ftl_status make_jit(compile *c, const ftl_target *t, ftl_diag *d)
{
	ftl_llvm_options o = {.quick = c->o->quick, .threads = c->o->compile_threads};
	ftl_jit *jit = NULL;

	if (c->o->cpu && t->vector_bytes)
		o.cpu = t->name;
	if (o.threads <= 0)
		o.threads = ftl_cpu_threads();
	FTL_TRY(ftl_jit_create(c->p->m, &o, d, &jit));
	ftl_arena_defer(&c->store->arena, free_jit, jit);
	c->p->main = ftl_jit_main(jit);
	c->p->size = ftl_jit_size(jit);
	c->p->code_bytes = ftl_jit_code_bytes(jit);
	return FTL_OK;
}

static ftl_status make_c(compile *c, const ftl_target *t, ftl_diag *d)
{
	static const char *const native[] = {"-O2", "-march=native"};
	static const char *const sse2[] = {"-O2"};
	static const char *const avx2[] = {"-O2", "-mavx2", "-mfma", "-mf16c"};
	ftl_cc cc = {.flags = native, .nflags = FTL_COUNT(native), .workdir = c->o->tmpdir};
	ftl_c_lib *lib = NULL;

	if (c->o->cpu && !strcmp(t->name, "avx2")) {
		cc.flags = avx2;
		cc.nflags = FTL_COUNT(avx2);
	} else if (c->o->cpu && strcmp(t->name, "avx512")) {
		cc.flags = sse2;
		cc.nflags = FTL_COUNT(sse2);
	}
	FTL_TRY(ftl_c_build_shared(&c->store->arena, c->p->m, FTL_C_GNU, &cc, d, &lib));
	c->p->main = ftl_c_lib_main(lib);
	c->p->size = ftl_c_lib_size(lib);
	return FTL_OK;
}

/* Constants in the order of the module. */
static ftl_status collect_blobs(fettle_program *p, ftl_arena *a, ftl_diag *d)
{
	const ftl_kmodule *m = p->m;

	p->blobs = FTL_NEW_N(a, const void *, m->blobs.n);
	for (uint32_t i = 0; i < m->blobs.n; i++) {
		const ftl_blob *b = m->blobs.v[i];

		if (!b->data && b->bytes)
			return ftl_fail(
				d, FTL_ERR_MODEL,
				"%s: the contents of constant \"%s\" are not there (its .blobs file is missing)",
				m->file ? m->file : "model", b->name ? b->name : "");
		p->blobs[i] = b->data;
		p->weight_bytes += b->bytes;
	}
	return FTL_OK;
}

/* A sequence is two of the module's and one of ours. */
static size_t fill_ports(ftl_arena *a, ftl_symtab *st, const ftl_kio *io, uint32_t n, fettle_port *out)
{
	size_t k = 0;

	for (uint32_t i = 0; i < n; i++, k++) {
		ftl_port_fill(a, st, io[i].name, io[i].value ? io[i].value : &io[i].type, &out[k]);
		i += io[i].value != NULL;
	}
	return k;
}

static void program_ports(fettle_program *p, ftl_arena *a)
{
	const ftl_kmodule *m = p->m;

	p->in = FTL_NEW_N(a, fettle_port, m->inputs.n);
	p->out = FTL_NEW_N(a, fettle_port, m->outputs.n);
	p->nin = fill_ports(a, m->st, m->inputs.v, m->inputs.n, p->in);
	p->nout = fill_ports(a, m->st, m->outputs.v, m->outputs.n, p->out);
}

static ftl_status compile_entry(void *ctx, ftl_diag *d)
{
	compile *c = ctx;
	ftl_arena *a = &c->store->arena;
	ftl_target target = ftl_target_scalar;
	ftl_lower_options lo = {.target = &target, .no_fuse = c->o->no_fuse};
	ftl_kmodule *m = NULL;

	FTL_TRY(ftl_model_check(c->model, d));
	/* code, symbols and plain weights of the model outlive the model handle */
	ftl_arena_defer(a, release_store, ftl_store_hold(c->model->store));
	c->p = FTL_NEW(a, fettle_program);
	c->p->store = c->store;
	c->p->backend = c->o->backend;
	if (c->o->backend != FETTLE_INTERP)
		FTL_TRY(ftl_target_choose(c->o->cpu, d, &target));
	FTL_TRY(ftl_lower(a, c->model->g, &lo, d, &m));
	c->p->m = m;
	FTL_TRY(collect_blobs(c->p, a, d));
	program_ports(c->p, a);
	switch (c->o->backend) {
	case FETTLE_JIT: return make_jit(c, &target, d);
	case FETTLE_C: return make_c(c, &target, d);
	case FETTLE_INTERP: return FTL_OK;
	}
	return ftl_fail(d, FTL_ERR_USAGE, "unknown backend %d", (int)c->o->backend);
}

fettle_status fettle_compile(fettle_model *m, const fettle_compile_options *o, fettle_error *e, fettle_program **out)
{
	static const fettle_compile_options none;
	compile c = {.model = m, .o = o ? o : &none};
	ftl_arena *arenas[2];
	fettle_status rc;

	*out = NULL;
	c.store = ftl_store_new(m->max_memory ? m->max_memory
					      : ftl_default_memory(COMPILE_BASE, ftl_weight_bytes(m->g), 4));
	if (!c.store)
		return ftl_api_fail(e, FTL_ERR_MEMORY, "out of memory");
	arenas[0] = &c.store->arena;
	arenas[1] = &m->store->arena;
	rc = ftl_enter(arenas, 2, compile_entry, &c, e);
	if (rc != FETTLE_OK) {
		ftl_store_release(c.store);
		return rc;
	}
	*out = c.p;
	return FETTLE_OK;
}

void fettle_program_free(fettle_program *p)
{
	if (p)
		ftl_store_release(p->store);
}

size_t fettle_program_input_count(const fettle_program *p)
{
	return p->nin;
}

size_t fettle_program_output_count(const fettle_program *p)
{
	return p->nout;
}

const fettle_port *fettle_program_input(const fettle_program *p, size_t k)
{
	return k < p->nin ? &p->in[k] : NULL;
}

const fettle_port *fettle_program_output(const fettle_program *p, size_t k)
{
	return k < p->nout ? &p->out[k] : NULL;
}

void fettle_program_describe(const fettle_program *p, fettle_program_info *out)
{
	*out = (fettle_program_info){.kernels = p->m->kernels.n,
				     .weight_bytes = (size_t)p->weight_bytes,
				     .code_bytes = (size_t)p->code_bytes};
	for (uint32_t i = 1; i < p->m->main->inst.n; i++)
		out->launches += p->m->main->inst.v[i].op == FTL_K_launch;
}
