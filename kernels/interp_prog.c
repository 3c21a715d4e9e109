/* The interpreter's program instructions: inputs, outputs, constants, buffers, the heap and launches.
 *
 * What the run takes from the allocator is on a list, which is freed at the end of the run, or with the arena if the
 * run ends in a jump out of an allocation. Fresh memory is filled with 0xff (NaN, -1): reading it shows. */
#include "interp.h"

#define FN(name) static const ftl_icode *name(ftl_iframe *f, const ftl_icode *c)

/* ---- the heap ---- */

static void release(ftl_iheap *h, struct ftl_iheap_block *b)
{
	*b->prev = b->next;
	if (b->next)
		b->next->prev = b->prev;
	*b->region = (ftl_iregion){.next = h->regions};
	h->regions = b->region;
	h->live -= b->bytes;
	h->mem->free(h->mem->user, b);
}

void ftl_iheap_clear(void *heap)
{
	ftl_iheap *h = heap;

	while (h->blocks)
		release(h, h->blocks);
}

ftl_iheap *ftl_iheap_new(ftl_arena *arena)
{
	ftl_iheap *h = FTL_NEW(arena, ftl_iheap);

	h->mem = arena->mem;
	h->limit = arena->limit;
	ftl_arena_defer(arena, ftl_iheap_clear, h);
	return h;
}

static ftl_iregion *no_memory(ftl_irun *r, ftl_status_code code)
{
	r->status = ftl_fail(r->d, code, "out of memory");
	return NULL;
}

ftl_iregion *ftl_interp_alloc(ftl_irun *r, int64_t bytes)
{
	ftl_iheap *h = r->heap;
	struct ftl_iheap_block *b;
	ftl_iregion *reg;

	if (bytes < 0 || (uint64_t)bytes > SIZE_MAX / 2)
		return no_memory(r, FTL_ERR_MEMORY);
	if (h->limit && (size_t)bytes > h->limit - (h->live < h->limit ? h->live : h->limit))
		return no_memory(r, FTL_ERR_LIMIT);
	reg = h->regions;
	if (reg)
		h->regions = reg->next;
	else
		reg = FTL_NEW(r->arena, ftl_iregion);
	b = h->mem->alloc(h->mem->user, sizeof *b + (size_t)bytes);
	if (!b)
		return no_memory(r, FTL_ERR_MEMORY);
	*b = (struct ftl_iheap_block){.next = h->blocks, .prev = &h->blocks, .region = reg, .bytes = (size_t)bytes};
	if (h->blocks)
		h->blocks->prev = &b->next;
	h->blocks = b;
	h->live += b->bytes;
	*reg = (ftl_iregion){.base = (uint8_t *)(b + 1), .size = bytes, .writable = true, .heap = true};
	memset(reg->base, 0xff, (size_t)bytes);
	return reg;
}

FN(alloc)
{
	ftl_iregion *reg = ftl_interp_alloc(f->run, *FTL_IREG(int64_t, c->a));

	if (!reg)
		return NULL;
	*FTL_IREG(ftl_iptr, c->dst) = (ftl_iptr){.region = reg};
	return c + 1;
}

FN(free_)
{
	const ftl_iptr *p = FTL_IREG(ftl_iptr, c->a);

	if (!p->region->heap || p->off != 0)
		return ftl_interp_fault(f, c, "frees what was not allocated");
	release(f->run->heap, (struct ftl_iheap_block *)(void *)p->region->base - 1);
	return c + 1;
}

/* ---- buffers of a module without a memory plan: each one by itself, so that its bounds are checked ---- */

static bool symbol_value(void *user, ftl_dim sym, int64_t *v)
{
	const ftl_irun *r = user;

	for (uint32_t k = 0; k < r->m->syms.n; k++) {
		if (r->m->syms.v[k].sym == sym) {
			memcpy(v, r->main->reg + r->main->place[r->m->syms.v[k].var], sizeof *v);
			return true;
		}
	}
	return false;
}

FN(buf)
{
	ftl_irun *r = f->run;
	ftl_iregion **reg = &r->bufs[c->imm];

	if (!*reg) {
		int64_t bytes;

		if (!ftl_dim_eval(r->m->st, r->m->bufs.v[c->imm].bytes, symbol_value, r, &bytes))
			return ftl_interp_fault(f, c, "the size of buffer %lld is not known", (long long)c->imm);
		*reg = ftl_interp_alloc(r, bytes);
		if (!*reg)
			return NULL;
		(*reg)->heap = false; /* not the program's to free */
	}
	*FTL_IREG(ftl_iptr, c->dst) = (ftl_iptr){.region = *reg};
	return c + 1;
}

/* ---- inputs, outputs, constants ---- */

FN(in_ptr)
{
	*FTL_IREG(ftl_iptr, c->dst) = (ftl_iptr){.region = &f->run->inputs[c->imm]};
	return c + 1;
}

FN(in_dim)
{
	*FTL_IREG(int64_t, c->dst) = f->run->in[c->imm / 64].dims[c->imm % 64];
	return c + 1;
}

FN(blob)
{
	ftl_iregion *reg = &f->run->blobs[c->imm];

	if (reg->size && !reg->base)
		return ftl_interp_fault(f, c, "the contents of constant %lld are not there", (long long)c->imm);
	*FTL_IREG(ftl_iptr, c->dst) = (ftl_iptr){.region = reg};
	return c + 1;
}

FN(out_dim)
{
	f->run->out[c->imm / 64].dims[c->imm % 64] = *FTL_IREG(int64_t, c->a);
	return c + 1;
}

FN(out_ptr)
{
	ftl_irun *r = f->run;
	ftl_karg_tensor *out = &r->out[c->imm];
	ftl_iregion *reg = &r->outputs[c->imm];
	int64_t bytes = *FTL_IREG(int64_t, c->a);

	if (bytes < 0 || (uint64_t)bytes > SIZE_MAX / 2) {
		r->status = ftl_fail(r->d, FTL_ERR_LIMIT, "output %lld is too large", (long long)c->imm);
		return NULL;
	}
	if (!out->data) {
		out->data = ftl_arena_alloc(r->arena, (size_t)bytes);
		out->bytes = (size_t)bytes;
	} else if ((uint64_t)bytes > out->bytes) {
		const char *name = r->m->outputs.v[c->imm].name;

		r->status = ftl_fail(r->d, FTL_ERR_USAGE, "output \"%s\" needs %lld bytes, but has room for %zu",
				     name ? name : "", (long long)bytes, out->bytes);
		return NULL;
	}
	*reg = (ftl_iregion){.base = out->data, .size = bytes, .writable = true};
	*FTL_IREG(ftl_iptr, c->dst) = (ftl_iptr){.region = reg};
	return c + 1;
}

/* ---- launches ---- */

FN(launch)
{
	ftl_irun *r = f->run;
	const ftl_kinst *i = c->inst;
	ftl_ifunc **slot = &r->kernels[i->imm], *k;
	const uint32_t *place = r->main->place;
	int64_t count = *FTL_IREG(int64_t, place[i->extra[0]]);
	ftl_iframe kf;

	if (count <= 0)
		return c + 1;
	if (!*slot)
		*slot = ftl_interp_decode(r, r->m->kernels.v[i->imm]);
	k = *slot;
	if (!k)
		return NULL;
	for (uint32_t j = 1; j < i->nextra; j++) {
		const ftl_kparam *p = &k->f->params.v[j - 1];

		memcpy(k->reg + k->place[p->value], f->reg + place[i->extra[j]], ftl_ielem_size(p->type.elem));
	}
	kf = (ftl_iframe){.reg = k->reg, .code = k->code, .run = r, .f = k->f};
	for (; kf.grid < count; kf.grid++) {
		if (--r->budget < 0)
			return ftl_interp_fault(f, c, "runs too long");
		if (!ftl_interp_exec(&kf))
			return NULL;
	}
	return r->error ? ftl_interp_message(f, r->error) : c + 1;
}

ftl_ifn ftl_interp_program(ftl_kop op)
{
	switch (op) {
	case FTL_K_in_ptr: return in_ptr;
	case FTL_K_in_dim: return in_dim;
	case FTL_K_out_ptr: return out_ptr;
	case FTL_K_out_dim: return out_dim;
	case FTL_K_blob: return blob;
	case FTL_K_buf: return buf;
	case FTL_K_alloc: return alloc;
	case FTL_K_free: return free_;
	case FTL_K_launch: return launch;
	default: return NULL;
	}
}
