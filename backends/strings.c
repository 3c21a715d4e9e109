/* Functions on strings in what is emitted: which ones a module calls, their text, and their table for object code. */
#include "backends/strings.h"

bool ftl_strings_used(const ftl_kmodule *m, bool *used)
{
	bool any = false;

	memset(used, 0, FTL_STRING_CALLS * sizeof *used);
	for (uint32_t k = 0; k <= m->kernels.n; k++) {
		const ftl_kfunc *f = k < m->kernels.n ? m->kernels.v[k] : m->main;

		for (ftl_kv v = 1; v < f->inst.n; v++) {
			if (f->inst.v[v].op == FTL_K_call)
				any = used[f->inst.v[v].imm] = true;
			any |= f->inst.v[v].op == FTL_K_addr;
		}
	}
	return any;
}

static void print_section(ftl_text *t, const char *section)
{
	size_t n;
	const char *text = ftl_string_text(section, &n);

	if (text)
		ftl_text_bytes(t, text, n);
}

void ftl_strings_print(ftl_text *t, const char *name, const bool *used)
{
	ftl_text_add(t, "#include <errno.h>\n#include <stdio.h>\n#include <stdlib.h>\n");
	print_section(t, "core");
	/* each section has a guard of its own, so that one printed twice counts once */
	for (int k = 0; k < FTL_STRING_CALLS; k++) {
		const char *section = ftl_string_info_get(k)->section;
		bool seen = strcmp(section, "core") == 0;

		for (int j = 0; j < k && !seen; j++)
			seen = used[j] && strcmp(ftl_string_info_get(j)->section, section) == 0;
		if (used[k] && !seen)
			print_section(t, section);
	}
	ftl_text_add(t, "static int64_t (*const %s_string_fns[])(fettle_strings *, int64_t, int64_t, int64_t) = {\n",
		     name);
	for (int k = 0; k < FTL_STRING_CALLS; k++)
		if (used[k])
			ftl_text_add(t, "\tfettle_str_%s,\n", ftl_string_info_get(k)->name);
		else
			ftl_text_add(t, "\tNULL,\n");
	ftl_text_add(t, "};\n");
}
