/* Status and diagnostics: formats an error's text into the caller's ftl_diag.
 *
 * Texts quote names out of untrusted models, so control bytes (terminal escapes) become '?'
 * and a text that does not fit ends in "...". Must not allocate: it reports failed allocations. */
#include "base/status.h"

#include <stdio.h>
#include <string.h>

static void tame(char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			*s = '?';
	}
}

ftl_status_code ftl_vfail(ftl_diag *d, ftl_status_code code, const char *fmt, va_list ap)
{
	int n;

	if (!d || d->code != FTL_OK)
		return code;
	d->code = code;
	n = vsnprintf(d->text, sizeof d->text, fmt, ap);
	if (n < 0) {
		d->text[0] = '\0';
	} else if ((size_t)n >= sizeof d->text) {
		size_t end = sizeof d->text - 4;

		/* do not cut an UTF-8 sequence in half */
		while (end > 0 && ((unsigned char)d->text[end] & 0xc0) == 0x80)
			end--;
		memcpy(d->text + end, "...", 4);
	}
	tame(d->text);
	return code;
}

ftl_status_code ftl_fail(ftl_diag *d, ftl_status_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ftl_vfail(d, code, fmt, ap);
	va_end(ap);
	return code;
}

void ftl_diag_clear(ftl_diag *d)
{
	if (!d)
		return;
	d->code = FTL_OK;
	d->text[0] = '\0';
}
