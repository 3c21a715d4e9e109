/* Regular expressions of RE2's syntax as programs for fettle_str_match (string_fns.h).
 *
 * There: literals, '.', classes with ranges, negation and [:names:], \d \w \s and their opposites, escapes, groups of
 * all kinds (nothing is captured), alternation, repetition up to 1000 (greedy or not makes no difference to a match of
 * the whole string), ^ $ \A \z \b \B, flags i m s U (i: letters of ASCII). Text is UTF-8. Not there: \p classes, \C.
 * As in RE2 there are no back references and no looking around. */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include "base/arena.h"
#include "base/status.h"
#include "base/string_calls.h"

/* The program of a pattern: instructions of 8 bytes. Errors: FTL_ERR_MODEL for what RE2 does not read either,
 * FTL_ERR_UNSUPPORTED, FTL_ERR_LIMIT for programs of more than 4096 instructions. */
ftl_status ftl_regex_compile(ftl_arena *arena, const ftl_str *pattern, ftl_diag *d, ftl_str *out);

#endif
