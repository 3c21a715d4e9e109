/* Options of a verb from a table: parsing, help, suggestions for what is misspelt. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein distance of short words; long ones are far from everything. */
static size_t distance(const char *a, const char *b)
{
	size_t row[48], na = strlen(a), nb = strlen(b);

	if (na >= 48 || nb >= 48)
		return 1000;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t up = row[j], best = smaller(up, row[j - 1]) + 1;

			row[j] = smaller(best, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = up;
		}
	}
	return row[nb];
}

const char *cli_nearest(const char *s, const char *(*name)(const void *user, size_t k), const void *user)
{
	const char *best = NULL, *n;
	size_t least = strlen(s) / 3 + 2;

	for (size_t k = 0; (n = name(user, k)); k++) {
		size_t d = distance(s, n);

		if (d < least) {
			least = d;
			best = n;
		}
	}
	return best;
}

typedef struct table {
	const cli_option *o;
	size_t n;
} table;

static const char *option_name(const void *user, size_t k)
{
	const table *t = user;

	return k < t->n ? t->o[k].name : k == t->n ? "--help" : NULL;
}

static void help(const cli_verb *v, const cli_option *o, size_t n)
{
	printf("usage: fettle %s %s\n\n%s\noptions:\n", v->name, v->usage, v->text);
	for (size_t i = 0; i < n; i++) {
		char left[64];

		snprintf(left, sizeof left, "%s%s%s", o[i].name, o[i].arg ? " " : "", o[i].arg ? o[i].arg : "");
		printf("  %-28s %s\n", left, o[i].help);
	}
	printf("  %-28s %s\n", "--help", "this text");
}

static bool take_number(const char *s, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(s, &end);
	return end != s && *end == '\0' && errno == 0;
}

static bool take_int(const char *s, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(s, &end, 10);
	return end != s && *end == '\0' && errno == 0 && *out >= 0;
}

static bool take_bytes(const char *s, uint64_t *out)
{
	static const char units[] = "KMGT";
	char *end;
	double v = strtod(s, &end);
	const char *u = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;

	if (end == s || !(v >= 0))
		return false;
	for (const char *p = units; u && p <= u; p++)
		v *= 1024;
	if (u)
		end++;
	if (end[0] == 'i' && u)
		end++;
	if (*end == 'B')
		end++;
	*out = v < 1.8e19 ? (uint64_t)v : UINT64_MAX;
	return *end == '\0';
}

static bool store(const cli_option *o, const char *value)
{
	switch (o->kind) {
	case CLI_FLAG: *(bool *)o->to = true; return true;
	case CLI_TEXT: *(const char **)o->to = value; return true;
	case CLI_INT: return take_int(value, o->to);
	case CLI_NUM: return take_number(value, o->to);
	case CLI_BYTES: return take_bytes(value, o->to);
	case CLI_LIST: cli_list_add(o->to, value); return true;
	}
	return false;
}

static int unknown(const cli_verb *v, const char *arg, size_t len, const table *t)
{
	char name[64];
	const char *near;

	snprintf(name, sizeof name, "%.*s", (int)smaller(len, sizeof name - 1), arg);
	near = cli_nearest(name, option_name, t);
	if (near)
		return cli_usage("unknown option %s; did you mean %s? (fettle %s --help)", name, near, v->name);
	return cli_usage("unknown option %s; see fettle %s --help", name, v->name);
}

bool cli_parse(const cli_verb *v, int argc, char **argv, const cli_option *o, size_t n, cli_list *pos, int *out_status)
{
	table t = {o, n};
	bool options = true;

	for (int i = 0; i < argc; i++) {
		const char *arg = argv[i], *value = NULL, *eq;
		const cli_option *found = NULL;
		size_t len;

		if (!options || arg[0] != '-' || arg[1] == '\0') {
			cli_list_add(pos, arg);
			continue;
		}
		if (!strcmp(arg, "--")) {
			options = false;
			continue;
		}
		if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
			help(v, o, n);
			*out_status = CLI_OK;
			return false;
		}
		eq = arg[1] == '-' ? strchr(arg, '=') : NULL;
		len = eq ? (size_t)(eq - arg) : strlen(arg);
		for (size_t k = 0; k < n && !found; k++) {
			if (strlen(o[k].name) == len && !strncmp(o[k].name, arg, len))
				found = &o[k];
		}
		/* -j4 */
		for (size_t k = 0; k < n && !found && arg[1] != '-'; k++) {
			if (strlen(o[k].name) == 2 && o[k].kind != CLI_FLAG && !strncmp(o[k].name, arg, 2)) {
				found = &o[k];
				value = arg + 2;
			}
		}
		if (!found) {
			*out_status = unknown(v, arg, len, &t);
			return false;
		}
		if (eq)
			value = eq + 1;
		if (found->kind == CLI_FLAG && value) {
			*out_status = cli_usage("%s takes no value", found->name);
			return false;
		}
		if (found->kind != CLI_FLAG && !value) {
			if (i + 1 >= argc) {
				*out_status = cli_usage("%s needs a value: %s %s", found->name, found->name,
							found->arg);
				return false;
			}
			value = argv[++i];
		}
		if (!store(found, value)) {
			*out_status = cli_usage("%s %s: not what it takes; it is used as %s %s", found->name, value,
						found->name, found->arg);
			return false;
		}
	}
	return true;
}
