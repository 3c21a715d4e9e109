/* Functions on strings in what is emitted. See strings.c. */
#ifndef BACKENDS_STRINGS_H
#define BACKENDS_STRINGS_H

#include "kernels/kir.h"

/* Which functions the module calls (FTL_STRING_CALLS of them); false if it has no strings at all. */
bool ftl_strings_used(const ftl_kmodule *m, bool *used);
/* Their text, and NAME_string_fns, the table that object code calls through. */
void ftl_strings_print(ftl_text *t, const char *name, const bool *used);

#endif
