/* Pipelines as text, and passes.def as data. */
#include "pipeline.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define MAX_STEPS 1000

/* ---- the table ---- */
/* Option rows stay interleaved with pass rows, as in passes.def: MARK_x is the position of pass x's row, its options
 * follow it. The number of a pass's options is the number of chars in its count struct. */
enum {
#define PASS(id, ...) MARK_##id,
#define OPT(id, kind, name, ...) MARK_##id##__##name,
#include "passes.def"
};

struct count_first_ {
	char none_;
#define PASS(id, ...)                                                                                                  \
	}                                                                                                              \
	;                                                                                                              \
	struct count_##id {                                                                                            \
		char none_;
#define OPT(id, kind, name, ...) char name;
#include "passes.def"
};

#define TEXT_i64(x) #x
#define TEXT_f64(x) #x
#define TEXT_flag(x) #x
#define TEXT_str(x) x
static const ftl_pass_opt_row opt_rows[] = {
#define PASS(id, ...) {NULL, NULL, NULL, NULL},
#define OPT(id, kind, name, deflt, doc) {#name, #kind, TEXT_##kind(deflt), doc},
#include "passes.def"
};
static const size_t opt_offset[] = {
#define PASS(id, ...) 0,
#define OPT(id, kind, name, ...) offsetof(struct ftl_opts_##id, name),
#include "passes.def"
};

#define LIVE FTL_FACT_LIVE
#define UNIQUE FTL_FACT_UNIQUE
#define SIMPLE FTL_FACT_SIMPLE
static const ftl_pass_row pass_rows[] = {
#define PASS(id, text, needs_, gives_, keeps_, about)                                                                  \
	{                                                                                                              \
		.name = text,                                                                                          \
		.doc = about,                                                                                          \
		.opt = opt_rows + MARK_##id + 1,                                                                       \
		.nopt = sizeof(struct count_##id) - 1,                                                                 \
		.needs = needs_,                                                                                       \
		.gives = gives_,                                                                                       \
		.keeps = keeps_,                                                                                       \
	},
#include "passes.def"
};

const ftl_pass_row *ftl_pass_row_at(size_t k)
{
	return k < FTL_COUNT(pass_rows) ? &pass_rows[k] : NULL;
}

static const struct {
	const char *name, *text;
} pipelines[] = {
#define PIPELINE(name, text) {#name, text},
#include "passes.def"
};

static const char *pipeline_text(const char *name)
{
	for (size_t i = 0; i < FTL_COUNT(pipelines); i++)
		if (strcmp(pipelines[i].name, name) == 0)
			return pipelines[i].text;
	return "";
}

const char *ftl_pass_default_pipeline(void)
{
	return pipeline_text("default");
}

const char *ftl_pass_cleanup_pipeline(void)
{
	return pipeline_text("cleanup");
}

/* ---- option values ---- */
static bool parse_value(ftl_arena *arena, const char *kind, const char *text, void *to)
{
	char *end;

	errno = 0;
	if (strcmp(kind, "i64") == 0) {
		*(ftl_opt_i64 *)to = strtoll(text, &end, 10);
		return *text && !*end && !errno;
	}
	if (strcmp(kind, "f64") == 0) {
		*(ftl_opt_f64 *)to = strtod(text, &end);
		return *text && !*end && !errno;
	}
	if (strcmp(kind, "flag") == 0) {
		*(ftl_opt_flag *)to = strcmp(text, "true") == 0;
		return *(ftl_opt_flag *)to || strcmp(text, "false") == 0;
	}
	*(ftl_opt_str *)to = arena ? ftl_arena_str(arena, text) : text;
	return true;
}

void ftl_step_default(size_t pass, ftl_step *out)
{
	const ftl_pass_row *row = ftl_pass_row_at(pass);

	*out = (ftl_step){.pass = pass};
	for (size_t i = 0; i < row->nopt; i++) {
		const ftl_pass_opt_row *o = &row->opt[i];

		parse_value(NULL, o->kind, o->deflt, (char *)&out->opt + opt_offset[o - opt_rows]);
	}
}

/* ---- names ---- */
/* Levenshtein distance of two short names. */
static unsigned distance(const char *a, size_t na, const char *b)
{
	size_t nb = strlen(b);
	unsigned row[64];

	if (na >= FTL_COUNT(row) || nb >= FTL_COUNT(row))
		return 64;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 0; i < na; i++) {
		unsigned diag = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < nb; j++) {
			unsigned best = diag + (a[i] != b[j]);

			diag = row[j + 1];
			best = best < diag + 1 ? best : diag + 1;
			row[j + 1] = best < row[j] + 1 ? best : row[j] + 1;
		}
	}
	return row[nb];
}

/* "; did you mean X?" while X is not too far off */
static const char *hint(const char *best, unsigned d, size_t n)
{
	return best && d <= 2 + n / 4 ? best : NULL;
}

ftl_status ftl_pass_find(const char *name, size_t n, ftl_diag *d, size_t *out)
{
	const char *best = NULL;
	unsigned least = 64;

	for (size_t k = 0; k < FTL_COUNT(pass_rows); k++) {
		unsigned far = distance(name, n, pass_rows[k].name);

		if (far == 0) {
			if (out)
				*out = k;
			return FTL_OK;
		}
		if (far < least) {
			least = far;
			best = pass_rows[k].name;
		}
	}
	best = hint(best, least, n);
	return ftl_fail(d, FTL_ERR_USAGE, "unknown pass \"%.*s\"%s%s%s", (int)(n < 60 ? n : 60), name,
			best ? "; did you mean \"" : "", best ? best : "", best ? "\"?" : "");
}

static ftl_status find_opt(const ftl_pass_row *row, const char *name, size_t n, ftl_diag *d,
			   const ftl_pass_opt_row **out)
{
	const char *best = NULL;
	unsigned least = 64;

	for (size_t i = 0; i < row->nopt; i++) {
		unsigned far = distance(name, n, row->opt[i].name);

		*out = &row->opt[i];
		if (far == 0)
			return FTL_OK;
		if (far < least) {
			least = far;
			best = row->opt[i].name;
		}
	}
	best = hint(best, least, n);
	return ftl_fail(d, FTL_ERR_USAGE, "pass %s has no option \"%.*s\"%s%s%s", row->name, (int)(n < 60 ? n : 60),
			name, best ? "; did you mean \"" : "", best ? best : "", best ? "\"?" : "");
}

/* ---- the text ---- */
static const char *space(const char *s)
{
	for (;;) {
		s += strspn(s, " \t\r\n,");
		if (*s != '#')
			return s;
		s += strcspn(s, "\n");
	}
}

static size_t word(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == '-')
		n++;
	return n;
}

/* A bare value ends at a comma or brace; a quoted one may hold anything but quotes. */
static ftl_status parse_option(ftl_arena *arena, const ftl_pass_row *row, ftl_step *step, const char **s, ftl_diag *d)
{
	const ftl_pass_opt_row *o;
	size_t n = word(*s);
	const char *text;

	if (n == 0)
		return ftl_fail(d, FTL_ERR_USAGE, "pass %s: expected an option at \"%.20s\"", row->name, *s);
	FTL_TRY(find_opt(row, *s, n, d, &o));
	*s += n;
	if (*(*s += strspn(*s, " \t")) != '=')
		return ftl_fail(d, FTL_ERR_USAGE, "pass %s: option %s needs a value", row->name, o->name);
	*s += 1 + strspn(*s + 1, " \t");
	if (**s == '"') {
		n = strcspn(*s + 1, "\"");
		if ((*s)[1 + n] != '"')
			return ftl_fail(d, FTL_ERR_USAGE, "pass %s: option %s: a quote is missing", row->name, o->name);
		text = ftl_arena_strn(arena, *s + 1, n);
		*s += n + 2;
	} else {
		n = strcspn(*s, ",}\n#");
		text = *s;
		*s += n;
		while (n && isspace((unsigned char)text[n - 1]))
			n--;
		text = ftl_arena_strn(arena, text, n);
	}
	if (!parse_value(arena, o->kind, text, (char *)&step->opt + opt_offset[o - opt_rows]))
		return ftl_fail(d, FTL_ERR_USAGE, "pass %s: option %s: \"%.60s\" is no %s", row->name, o->name, text,
				o->kind);
	return FTL_OK;
}

ftl_status ftl_pipeline_parse(ftl_arena *arena, const char *text, ftl_diag *d, ftl_steps *out)
{
	const char *s = text ? text : "";

	while (*(s = space(s))) {
		ftl_step step;
		size_t pass, n = word(s);

		if (n == 0)
			return ftl_fail(d, FTL_ERR_USAGE, "pipeline: expected a pass at \"%.20s\"", s);
		FTL_TRY(ftl_pass_find(s, n, d, &pass));
		s += n;
		ftl_step_default(pass, &step);
		s += strspn(s, " \t");
		if (*s == '{') {
			s = space(s + 1);
			while (*s != '}') {
				FTL_TRY(parse_option(arena, ftl_pass_row_at(pass), &step, &s, d));
				s = space(s);
			}
			s++;
		}
		if (out->n == MAX_STEPS)
			return ftl_fail(d, FTL_ERR_LIMIT, "pipeline: more than %d passes", MAX_STEPS);
		ftl_vec_push(arena, out, step);
	}
	return FTL_OK;
}

ftl_status ftl_passes_check(ftl_arena *scratch, const char *pipeline, ftl_diag *d)
{
	ftl_steps steps = {0};

	return ftl_pipeline_parse(scratch, pipeline, d, &steps);
}
