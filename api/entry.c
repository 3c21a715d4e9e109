/* Entering the library: landing pads, stores, errors to the caller. */
#include "api.h"

#include <assert.h>
#include <stdlib.h>

#define MAX_ARENAS 4

ftl_store *ftl_store_new(uint64_t limit)
{
	ftl_store *s = malloc(sizeof *s);

	if (!s)
		return NULL;
	atomic_init(&s->refs, 1);
	ftl_arena_init(&s->arena, NULL, NULL, limit > SIZE_MAX ? SIZE_MAX : (size_t)limit);
	return s;
}

ftl_store *ftl_store_hold(ftl_store *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void ftl_store_release(ftl_store *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	ftl_arena_free(&s->arena);
	free(s);
}

static fettle_status report(const ftl_diag *d, ftl_status_code code, fettle_error *e)
{
	if (e) {
		e->status = (fettle_status)code;
		memcpy(e->text, d->text, sizeof e->text);
		if (code == FTL_OK)
			e->text[0] = '\0';
	}
	return (fettle_status)code;
}

fettle_status ftl_enter(ftl_arena *const *arenas, size_t n, ftl_entry_fn fn, void *ctx, fettle_error *e)
{
	ftl_landing pad, *before[MAX_ARENAS];
	ftl_diag d;
	ftl_status_code code;

	assert(n <= MAX_ARENAS);

	ftl_diag_clear(&d);
	d.file = NULL;
	for (size_t i = 0; i < n; i++) {
		before[i] = arenas[i]->landing; /* a callback may enter again */
		arenas[i]->landing = &pad;
	}
	if (setjmp(pad.jump) == 0) {
		code = fn(ctx, &d);
	} else {
		code = (ftl_status_code)pad.status;
		ftl_diag_clear(&d);
		if (code == FTL_ERR_LIMIT)
			ftl_fail(&d, code,
				 "the memory limit is reached; if the model is to be trusted, raise it (max_memory)");
		else
			ftl_fail(&d, code, "out of memory");
	}
	for (size_t i = 0; i < n; i++)
		arenas[i]->landing = before[i];
	return report(&d, code, e);
}

fettle_status ftl_api_fail(fettle_error *e, ftl_status_code code, const char *fmt, ...)
{
	ftl_diag d = {0};
	va_list ap;

	va_start(ap, fmt);
	ftl_vfail(&d, code, fmt, ap);
	va_end(ap);
	return report(&d, code, e);
}

uint64_t ftl_default_memory(uint64_t base, uint64_t weights, unsigned times)
{
	uint64_t total = ftl_memory_total(), want;

	if (__builtin_mul_overflow(weights, (uint64_t)times, &want) || __builtin_add_overflow(want, base, &want))
		want = UINT64_MAX;
	total = total ? total / 4 * 3 : UINT64_MAX;
	return want < total ? want : total;
}

const char *fettle_version(void)
{
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
	return TEXT(FETTLE_VERSION_MAJOR) "." TEXT(FETTLE_VERSION_MINOR) "." TEXT(FETTLE_VERSION_PATCH);
}

const char *fettle_status_name(fettle_status s)
{
	static const char *const names[] = {"ok", "model", "usage", "accuracy", "unsupported", "limit", "io", "memory"};

	return (size_t)s < FTL_COUNT(names) ? names[s] : "?";
}

_Static_assert((int)FETTLE_ERR_MEMORY == (int)FTL_ERR_MEMORY && (int)FETTLE_ERR_LIMIT == (int)FTL_ERR_LIMIT &&
		       (int)FETTLE_ERR_UNSUPPORTED == (int)FTL_ERR_UNSUPPORTED &&
		       (int)FETTLE_ERR_ACCURACY == (int)FTL_ERR_ACCURACY,
	       "public status codes are the library's");
#define DTYPE(NAME, text, kind, bits, c)                                                                               \
	_Static_assert((int)FETTLE_##NAME == (int)FTL_##NAME, "public element types are the library's");
#include "../ir/dtypes.def"
#undef DTYPE
_Static_assert((int)FETTLE_STRING + 1 == (int)FTL_DTYPE_COUNT, "no element type is missing");
_Static_assert(FETTLE_MAX_RANK == FTL_MAX_RANK && FETTLE_MAX_RANK == FTL_ABI_MAX_RANK, "one limit on ranks");
