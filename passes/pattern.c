/* Reading patterns (passes/pattern.h says what they look like). They come from our own tables, but errors are still
 * errors: whoever adds a row sees what is wrong with it. */
#include "passes/pattern.h"

#include <ctype.h>
#include <stdlib.h>

#define MAX_ARGS 8
#define MAX_DEPTH 24

typedef struct reader {
	ftl_arena *arena;
	ftl_diag *d;
	const char *all, *s;
	ftl_rule *rule;
	bool result; /* the right side: names must be known, attributes may take values from them */
	int depth;
} reader;

static ftl_status bad(const reader *r, const char *what)
{
	return ftl_fail(r->d, FTL_ERR_USAGE, "pattern \"%.300s\", at \"%.40s\": %s", r->all, r->s, what);
}

static void space(reader *r)
{
	r->s += strspn(r->s, " \t\n");
}

static bool take(reader *r, char c)
{
	space(r);
	if (*r->s != c)
		return false;
	r->s++;
	return true;
}

static size_t word(const reader *r)
{
	size_t n = 0;

	while (isalnum((unsigned char)r->s[n]) || r->s[n] == '_')
		n++;
	return n;
}

/* The number of a name, made if it is new and this is the left side; -1 otherwise. */
static int name_at(reader *r, const char **list, int *n, size_t len)
{
	for (int i = 0; i < *n; i++)
		if (strncmp(list[i], r->s, len) == 0 && list[i][len] == 0)
			return i;
	if (r->result || len == 0 || *n == FTL_PAT_NAMES)
		return -1;
	list[*n] = ftl_arena_strn(r->arena, r->s, len);
	return (*n)++;
}

static ftl_status read_name(reader *r, const char **list, int *n, int *out)
{
	size_t len = word(r);

	*out = name_at(r, list, n, len);
	if (*out < 0)
		return bad(r, r->result ? "a name that the left side lacks" : "expected a name, or too many names");
	r->s += len;
	return FTL_OK;
}

static ftl_status read_want(reader *r, ftl_pat_want *out)
{
	static const char *const names[] = {"any", "const", "scalar", "float", "int", "bool"};
	size_t len;

	*out = FTL_WANT_ANY;
	if (*r->s != ':')
		return FTL_OK;
	r->s++;
	len = word(r);
	for (size_t i = 0; i < FTL_COUNT(names); i++) {
		if (strlen(names[i]) == len && memcmp(names[i], r->s, len) == 0) {
			*out = (ftl_pat_want)i;
			r->s += len;
			return FTL_OK;
		}
	}
	return bad(r, "unknown kind of value");
}

static const ftl_attr_desc *find_attr(ftl_op op, const char *name, size_t len)
{
	const ftl_op_info *info = ftl_op_get(op);

	for (unsigned i = 0; i < info->nattr; i++)
		if (strncmp(info->attr[i].name, name, len) == 0 && info->attr[i].name[len] == 0)
			return &info->attr[i];
	return NULL;
}

static ftl_status read_number(reader *r, double *out)
{
	char *end;

	*out = strtod(r->s, &end);
	if (end == r->s)
		return bad(r, "expected a number");
	r->s = end;
	return FTL_OK;
}

static ftl_status read_attr_value(reader *r, ftl_pat_attr *a)
{
	size_t len;

	a->var = -1;
	if (r->result && *r->s == '?') {
		if (a->desc->kind != FTL_ATTR_f64 && a->desc->kind != FTL_ATTR_i64)
			return bad(r, "only a number can come from a variable");
		r->s++;
		return read_name(r, r->rule->var, &r->rule->nvar, &a->var);
	}
	switch (a->desc->kind) {
	case FTL_ATTR_i64:
	case FTL_ATTR_f64: return read_number(r, &a->num);
	case FTL_ATTR_flag:
		len = word(r);
		a->num = len == 4 && memcmp(r->s, "true", 4) == 0;
		if (!a->num && !(len == 5 && memcmp(r->s, "false", 5) == 0))
			return bad(r, "expected true or false");
		break;
	case FTL_ATTR_dtype:
		len = word(r);
		a->num = ftl_dtype_parse(r->s, len);
		if (a->num == FTL_NO_DTYPE)
			return bad(r, "expected an element type");
		break;
	case FTL_ATTR_str:
		if (*r->s != '"')
			return bad(r, "expected a string");
		len = strcspn(r->s + 1, "\"");
		a->str = ftl_arena_strn(r->arena, r->s + 1, len);
		len += 2;
		break;
	default: return bad(r, "attributes of this kind cannot be written in a pattern");
	}
	r->s += len;
	return FTL_OK;
}

static ftl_status read_attrs(reader *r, ftl_pat *p)
{
	ftl_pat_attr *list = FTL_NEW_N(r->arena, ftl_pat_attr, MAX_ARGS);

	p->attr = list;
	do {
		size_t len;

		if (p->nattr == MAX_ARGS)
			return bad(r, "too many attributes");
		space(r);
		len = word(r);
		list[p->nattr].desc = find_attr(p->op, r->s, len);
		if (!list[p->nattr].desc)
			return bad(r, "the op has no such attribute");
		r->s += len;
		if (!take(r, '='))
			return bad(r, "expected =");
		FTL_TRY(read_attr_value(r, &list[p->nattr]));
		p->nattr++;
	} while (take(r, ','));
	return take(r, '}') ? FTL_OK : bad(r, "expected }");
}

static ftl_status read_pattern(reader *r, const ftl_pat **out);

/* Behind the opening parenthesis. */
static ftl_status read_node(reader *r, ftl_pat *p)
{
	const ftl_pat **args = FTL_NEW_N(r->arena, const ftl_pat *, MAX_ARGS);
	const ftl_op_info *info;

	space(r);
	p->arg = args;
	p->kind = *r->s == '|' ? FTL_PAT_ALT : FTL_PAT_OP;
	if (p->kind == FTL_PAT_ALT) {
		r->s++;
	} else {
		size_t len = word(r);

		p->op = ftl_op_parse(r->s, len);
		if (len == 0 || p->op == FTL_OP_NONE)
			return bad(r, "unknown op");
		r->s += len;
		if (*r->s == '@') {
			r->s++;
			FTL_TRY(read_name(r, r->rule->label, &r->rule->nlabel, &p->label));
		}
		if (take(r, '{'))
			FTL_TRY(read_attrs(r, p));
	}
	while (!take(r, ')')) {
		if (p->narg == MAX_ARGS)
			return bad(r, "too many operands");
		FTL_TRY(read_pattern(r, &args[p->narg++]));
	}
	if (p->kind == FTL_PAT_ALT)
		return p->narg ? FTL_OK : bad(r, "nothing to choose from");
	info = ftl_op_get(p->op);
	if (p->narg < (uint32_t)info->min_in || (info->max_in >= 0 && p->narg > (uint32_t)info->max_in) ||
	    info->nout < 1)
		return bad(r, "the op does not take this number of operands");
	return FTL_OK;
}

static ftl_status read_pattern(reader *r, const ftl_pat **out)
{
	ftl_pat *p = FTL_NEW(r->arena, ftl_pat);
	ftl_status_code s = FTL_OK;

	*out = p;
	p->var = p->label = -1;
	if (++r->depth > MAX_DEPTH)
		return bad(r, "too deep");
	if (take(r, '?')) {
		p->kind = FTL_PAT_VAR;
		FTL_TRY(read_name(r, r->rule->var, &r->rule->nvar, &p->var));
		if (!r->result && *r->s == '=' && r->s[1] == '(') {
			r->s += 2;
			s = read_node(r, p);
			if (s == FTL_OK && p->kind != FTL_PAT_OP)
				return bad(r, "only an op's result can be named");
		} else {
			FTL_TRY(read_want(r, &p->want));
		}
	} else if (take(r, '(')) {
		s = read_node(r, p);
	} else if (*r->s == '_' && !isalnum((unsigned char)r->s[1])) {
		p->kind = FTL_PAT_ABSENT;
		r->s++;
	} else {
		p->kind = FTL_PAT_NUM;
		s = read_number(r, &p->num);
	}
	r->depth--;
	return s;
}

static ftl_status read_side(reader *r, const char *text, const ftl_pat **out)
{
	r->all = r->s = text;
	FTL_TRY(read_pattern(r, out));
	space(r);
	return *r->s ? bad(r, "expected nothing more") : FTL_OK;
}

ftl_status ftl_rule_parse(ftl_arena *arena, const char *lhs, const char *rhs, ftl_diag *d, ftl_rule *out)
{
	reader r = {.arena = arena, .d = d, .rule = out};

	*out = (ftl_rule){0};
	FTL_TRY(read_side(&r, lhs, &out->lhs));
	if (out->lhs->kind != FTL_PAT_OP)
		return bad(&r, "a rewrite starts at an op");
	r.result = true;
	return read_side(&r, rhs, &out->rhs);
}
