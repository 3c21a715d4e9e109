/* The interpreter's memory accesses and lane moves. Every access is checked against the region its address came from. */
#include "interp.h"

#define FN(name) static const ftl_icode *name(ftl_iframe *f, const ftl_icode *c)

uint32_t ftl_ielem_size(uint8_t elem)
{
	return elem == FTL_PTR ? sizeof(ftl_iptr) : (uint32_t)ftl_dtype_bytes(elem);
}

/* Where `bytes` bytes at element `index` (of `size` bytes) are, or NULL if that is not all inside the region. */
static inline uint8_t *locate(const ftl_iptr *p, int64_t index, int64_t size, int64_t bytes)
{
	int64_t at;

	if (__builtin_mul_overflow(index, size, &at) || __builtin_add_overflow(at, p->off, &at))
		return NULL;
	if (at < 0 || bytes < 0 || bytes > p->region->size || at > p->region->size - bytes)
		return NULL;
	return p->region->base + at;
}

static const ftl_icode *outside(ftl_iframe *f, const ftl_icode *c)
{
	return ftl_interp_fault(f, c, "address outside its buffer");
}

static const ftl_icode *read_only(ftl_iframe *f, const ftl_icode *c)
{
	return ftl_interp_fault(f, c, "writes to an input or a constant");
}

/* ---- loads ---- */

#define LOAD(name, T)                                                                                                  \
	FN(name)                                                                                                       \
	{                                                                                                              \
		const uint8_t *p = locate(FTL_IREG(ftl_iptr, c->a), *FTL_IREG(int64_t, c->b), sizeof(T), sizeof(T));   \
		if (!p)                                                                                                \
			return outside(f, c);                                                                          \
		memcpy(f->reg + c->dst, p, sizeof(T));                                                                 \
		return c + 1;                                                                                          \
	}
LOAD(load1, uint8_t)
LOAD(load2, uint16_t)
LOAD(load4, uint32_t)
LOAD(load8, uint64_t)

FN(load_lanes)
{
	int64_t bytes = (int64_t)c->size * c->lanes;
	const uint8_t *p = locate(FTL_IREG(ftl_iptr, c->a), *FTL_IREG(int64_t, c->b), c->size, bytes);

	if (!p)
		return outside(f, c);
	memcpy(f->reg + c->dst, p, (size_t)bytes);
	return c + 1;
}

static void normalize_bools(uint8_t *p, unsigned n)
{
	for (unsigned l = 0; l < n; l++)
		p[l] = p[l] != 0;
}

FN(load_bools)
{
	const ftl_icode *next = load_lanes(f, c);

	if (next)
		normalize_bools(f->reg + c->dst, c->lanes);
	return next;
}

FN(gather)
{
	const int64_t *index = FTL_IREG(int64_t, c->b);

	for (unsigned l = 0; l < c->lanes; l++) {
		const uint8_t *p = locate(FTL_IREG(ftl_iptr, c->a), index[l], c->size, c->size);

		if (!p)
			return outside(f, c);
		memcpy(f->reg + c->dst + l * c->size, p, c->size);
	}
	return c + 1;
}

FN(gather_bools)
{
	const ftl_icode *next = gather(f, c);

	if (next)
		normalize_bools(f->reg + c->dst, c->lanes);
	return next;
}

FN(loadn)
{
	int64_t count = *FTL_IREG(int64_t, c->c);
	const uint8_t *p;

	if (count < 0 || count > c->lanes)
		return ftl_interp_fault(f, c, "count %lld is not in 0..%d", (long long)count, c->lanes);
	memset(f->reg + c->dst, 0, (size_t)c->size * c->lanes);
	if (count == 0)
		return c + 1;
	p = locate(FTL_IREG(ftl_iptr, c->a), *FTL_IREG(int64_t, c->b), c->size, c->size * count);
	if (!p)
		return outside(f, c);
	memcpy(f->reg + c->dst, p, (size_t)(c->size * count));
	if (c->inst->type.elem == FTL_BOOL)
		normalize_bools(f->reg + c->dst, c->lanes);
	return c + 1;
}

/* ---- stores: a address, b index, c value, dst count ---- */

#define STORE(name, T)                                                                                                 \
	FN(name)                                                                                                       \
	{                                                                                                              \
		const ftl_iptr *to = FTL_IREG(ftl_iptr, c->a);                                                         \
		uint8_t *p = locate(to, *FTL_IREG(int64_t, c->b), sizeof(T), sizeof(T));                               \
		if (!p || !to->region->writable)                                                                       \
			return p ? read_only(f, c) : outside(f, c);                                                    \
		memcpy(p, f->reg + c->c, sizeof(T));                                                                   \
		return c + 1;                                                                                          \
	}
STORE(store1, uint8_t)
STORE(store2, uint16_t)
STORE(store4, uint32_t)
STORE(store8, uint64_t)

static const ftl_icode *store_some(ftl_iframe *f, const ftl_icode *c, int64_t count)
{
	const ftl_iptr *to = FTL_IREG(ftl_iptr, c->a);
	uint8_t *p = locate(to, *FTL_IREG(int64_t, c->b), c->size, c->size * count);

	if (!p)
		return outside(f, c);
	if (!to->region->writable)
		return read_only(f, c);
	memcpy(p, f->reg + c->c, (size_t)(c->size * count));
	return c + 1;
}

FN(store_lanes)
{
	return store_some(f, c, c->lanes);
}

FN(storen)
{
	int64_t count = *FTL_IREG(int64_t, c->dst);

	if (count < 0 || count > c->lanes)
		return ftl_interp_fault(f, c, "count %lld is not in 0..%d", (long long)count, c->lanes);
	return count ? store_some(f, c, count) : c + 1;
}

FN(scatter)
{
	const ftl_iptr *to = FTL_IREG(ftl_iptr, c->a);
	const int64_t *index = FTL_IREG(int64_t, c->b);

	if (!to->region->writable)
		return read_only(f, c);
	for (unsigned l = 0; l < c->lanes; l++) {
		uint8_t *p = locate(to, index[l], c->size, c->size);

		if (!p)
			return outside(f, c);
		memcpy(p, f->reg + c->c + l * c->size, c->size);
	}
	return c + 1;
}

/* ---- blocks of memory ---- */

FN(prefetch)
{
	FTL_UNUSED(f);
	return c + 1;
}

FN(copy_memory)
{
	const ftl_iptr *to = FTL_IREG(ftl_iptr, c->a), *from = FTL_IREG(ftl_iptr, c->b);
	int64_t bytes = *FTL_IREG(int64_t, c->c);
	uint8_t *p = locate(to, 0, 1, bytes);
	const uint8_t *q = locate(from, 0, 1, bytes);

	if (!p || !q)
		return outside(f, c);
	if (bytes == 0)
		return c + 1;
	if (!to->region->writable)
		return read_only(f, c);
	if ((uintptr_t)p < (uintptr_t)q + (uint64_t)bytes && (uintptr_t)q < (uintptr_t)p + (uint64_t)bytes)
		return ftl_interp_fault(f, c, "source and destination overlap");
	memcpy(p, q, (size_t)bytes);
	return c + 1;
}

FN(zero_memory)
{
	const ftl_iptr *to = FTL_IREG(ftl_iptr, c->a);
	int64_t bytes = *FTL_IREG(int64_t, c->b);
	uint8_t *p = locate(to, 0, 1, bytes);

	if (!p)
		return outside(f, c);
	if (bytes == 0)
		return c + 1;
	if (!to->region->writable)
		return read_only(f, c);
	memset(p, 0, (size_t)bytes);
	return c + 1;
}

FN(offset)
{
	const ftl_iptr *p = FTL_IREG(ftl_iptr, c->a);
	ftl_iptr *r = FTL_IREG(ftl_iptr, c->dst);

	r->region = p->region;
	r->off = (int64_t)((uint64_t)p->off + *FTL_IREG(uint64_t, c->b));
	return c + 1;
}

/* ---- strings: what a string's number means is not checked; only what lowering made gets here ---- */

FN(addr)
{
	const ftl_iptr *p = FTL_IREG(ftl_iptr, c->a);

	*FTL_IREG(int64_t, c->dst) = (int64_t)((uintptr_t)p->region->base + (uint64_t)p->off);
	return c + 1;
}

FN(call)
{
	int64_t x = *FTL_IREG(int64_t, c->a), y = *FTL_IREG(int64_t, c->b), z = *FTL_IREG(int64_t, c->c);

	*FTL_IREG(int64_t, c->dst) = ftl_string_fns[c->imm]((void *)&f->run->strings, x, y, z);
	return c + 1;
}

ftl_ifn ftl_interp_memory(const ftl_kfunc *f, const ftl_kinst *i)
{
	bool load = i->op == FTL_K_load;
	ftl_ktype t = load ? i->type : ftl_ktype_of(f, i->a[2]);
	bool bools = t.elem == FTL_BOOL;

	switch ((ftl_kop)i->op) {
	case FTL_K_loadn: return loadn;
	case FTL_K_storen: return storen;
	case FTL_K_prefetch: return prefetch;
	case FTL_K_copy: return copy_memory;
	case FTL_K_zero: return zero_memory;
	case FTL_K_offset: return offset;
	case FTL_K_addr: return addr;
	case FTL_K_call: return call;
	case FTL_K_load:
	case FTL_K_store: break;
	default: return NULL;
	}
	if (ftl_ktype_of(f, i->a[1]).lanes > 1)
		return load ? (bools ? gather_bools : gather) : scatter;
	if (load && bools)
		return load_bools;
	if (t.lanes > 1)
		return load ? load_lanes : store_lanes;
	switch (ftl_ielem_size(t.elem)) {
	case 1: return load ? load1 : store1;
	case 2: return load ? load2 : store2;
	case 4: return load ? load4 : store4;
	default: return load ? load8 : store8;
	}
}

/* ---- moves between registers ---- */

#define COPY(name, bytes)                                                                                              \
	FN(name)                                                                                                       \
	{                                                                                                              \
		memcpy(f->reg + c->dst, f->reg + c->a, bytes);                                                         \
		return c + 1;                                                                                          \
	}
COPY(copy1, 1)
COPY(copy2, 2)
COPY(copy4, 4)
COPY(copy8, 8)
COPY(copy16, 16)
COPY(copy64, 64)
COPY(copy_any, c->size)

ftl_ifn ftl_interp_copy(uint32_t bytes)
{
	switch (bytes) {
	case 1: return copy1;
	case 2: return copy2;
	case 4: return copy4;
	case 8: return copy8;
	case 16: return copy16;
	case 64: return copy64;
	default: return copy_any;
	}
}

#define BY_SIZE(name, T)                                                                                               \
	FN(select_##name)                                                                                              \
	{                                                                                                              \
		const uint8_t *cond = FTL_IREG(uint8_t, c->a);                                                         \
		const T *x = FTL_IREG(T, c->b), *y = FTL_IREG(T, c->c);                                                \
		T *restrict r = FTL_IREG(T, c->dst);                                                                   \
		for (unsigned l = 0; l < c->lanes; l++)                                                                \
			r[l] = cond[l] ? x[l] : y[l];                                                                  \
		return c + 1;                                                                                          \
	}                                                                                                              \
	FN(splat_##name)                                                                                               \
	{                                                                                                              \
		T x = *FTL_IREG(T, c->a);                                                                              \
		T *r = FTL_IREG(T, c->dst);                                                                            \
		for (unsigned l = 0; l < c->lanes; l++)                                                                \
			r[l] = x;                                                                                      \
		return c + 1;                                                                                          \
	}
/* The register file has no declared type and holds floats too: moves must alias them. */
typedef uint16_t __attribute__((may_alias)) any16;
typedef uint32_t __attribute__((may_alias)) any32;
typedef uint64_t __attribute__((may_alias)) any64;
BY_SIZE(1, uint8_t)
BY_SIZE(2, any16)
BY_SIZE(4, any32)
BY_SIZE(8, any64)

FN(select_ptr)
{
	memcpy(f->reg + c->dst, f->reg + (*FTL_IREG(uint8_t, c->a) ? c->b : c->c), sizeof(ftl_iptr));
	return c + 1;
}

FN(ramp)
{
	uint64_t base = *FTL_IREG(uint64_t, c->a), stride = *FTL_IREG(uint64_t, c->b);
	uint64_t *r = FTL_IREG(uint64_t, c->dst);

	for (unsigned l = 0; l < c->lanes; l++)
		r[l] = base + l * stride;
	return c + 1;
}

FN(insert)
{
	memcpy(f->reg + c->dst, f->reg + c->a, (size_t)c->size * c->lanes);
	memcpy(f->reg + c->dst + (size_t)c->imm * c->size, f->reg + c->b, c->size);
	return c + 1;
}

FN(join)
{
	size_t half = (size_t)c->size * c->lanes / 2;

	memcpy(f->reg + c->dst, f->reg + c->a, half);
	memcpy(f->reg + c->dst + half, f->reg + c->b, half);
	return c + 1;
}

FN(dot4)
{
	const uint32_t *acc = FTL_IREG(uint32_t, c->a);
	const uint8_t *x = FTL_IREG(uint8_t, c->b);
	const int8_t *y = FTL_IREG(int8_t, c->c);
	uint32_t *r = FTL_IREG(uint32_t, c->dst);

	for (unsigned l = 0; l < c->lanes; l++) {
		int32_t sum = 0;

		for (unsigned k = 4 * l; k < 4 * l + 4; k++)
			sum += x[k] * y[k];
		r[l] = acc[l] + (uint32_t)sum;
	}
	return c + 1;
}

ftl_ifn ftl_interp_move(const ftl_kinst *i)
{
	uint32_t size = ftl_ielem_size(i->type.elem);
	bool select = i->op == FTL_K_select;

	switch ((ftl_kop)i->op) {
	case FTL_K_ramp: return ramp;
	case FTL_K_insert: return insert;
	case FTL_K_join: return join;
	case FTL_K_dot4: return dot4;
	case FTL_K_select:
	case FTL_K_splat: break;
	default: return NULL;
	}
	switch (size) {
	case 1: return select ? select_1 : splat_1;
	case 2: return select ? select_2 : splat_2;
	case 4: return select ? select_4 : splat_4;
	case 8: return select ? select_8 : splat_8;
	default: return select_ptr;
	}
}
