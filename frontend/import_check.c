/* A standard node against what the ONNX standard says of its operator: inputs, outputs, attributes, element types.
 *
 * The importers read what they know and would not see a misspelt attribute, or an axes input at an opset where axes is an
 * attribute; a model that has one means something else than what it would get. Rows come from onnx_schema.def. Operators
 * without a row (contrib ones, and those ONNX Runtime knows before the standard did) pass. */
#include <stdlib.h>

#include "exp.h"
#include "imp.h"

typedef struct schema {
	const char *name;
	int since, max_in, min_out, max_out;
	const char *inputs, *attrs;
} schema;

static const schema schemas[] = {
#define ONNX_OP(name, since, max_in, min_out, max_out, inputs, attrs)                                                  \
	{name, since, max_in, min_out, max_out, inputs, attrs},
#include "onnx_schema.def"
};

static const uint32_t type_sets[] = {
#define ONNX_TYPES(set, mask) [set] = mask,
#include "onnx_schema.def"
};

static const struct {
	char kind;
	int type; /* AttributeProto.AttributeType */
	const char *name;
} kinds[] = {
	{'f', 1, "a float"},
	{'i', 2, "an integer"},
	{'s', 3, "a string"},
	{'t', 4, "a tensor"},
	{'g', 5, "a graph"},
	{'F', 6, "a list of floats"},
	{'I', 7, "a list of integers"},
	{'S', 8, "a list of strings"},
	{'T', 9, "a list of tensors"},
	{'G', 10, "a list of graphs"},
	{'x', 11, "a sparse tensor"},
	{'p', 13, "a type"},
};

static const schema *find(imp *m, const char *op, int64_t opset)
{
	const schema *s, *best = NULL;

	if (!m->schemas) {
		m->schemas = ftl_map_new(m->tmp);
		for (size_t i = FTL_COUNT(schemas); i-- > 0;) /* backwards, so that the oldest row of an op stays */
			ftl_map_set(m->schemas, schemas[i].name, (void *)(uintptr_t)&schemas[i]);
	}
	for (s = ftl_map_get(m->schemas, op); s && s < schemas + FTL_COUNT(schemas) && !strcmp(s->name, op); s++)
		if (s->since <= opset)
			best = s;
	return best;
}

/* ---- inputs and outputs ---- */

static const char *skip(const char *p)
{
	while (*p && *p != ' ')
		p++;
	return *p ? p + 1 : p;
}

static void check_type(imp *m, uint32_t i, unsigned set)
{
	const imp_bound *b = &m->cur->in[i];
	int32_t code;

	if (m->failed || !b->v || !type_sets[set])
		return;
	code = ftl_onnx_dtype_code(dtype_of(m, b->v));
	if (!(type_sets[set] >> code & 1))
		bad_model(m, "input %u has element type %s, which the operator does not take there", i,
			  ftl_onnx_dtype_name(code));
}

static void check_inputs(imp *m, const schema *s)
{
	const char *p = s->inputs;
	uint32_t i = 0;

	if (s->max_in >= 0 && m->cur->nin > (uint32_t)s->max_in) {
		bad_model(m, "has %u inputs, but at this opset %s takes at most %d", m->cur->nin, s->name, s->max_in);
		return;
	}
	for (; *p && !m->failed; p = skip(p)) {
		unsigned set = 0;
		const char *mark = p;

		while (*mark >= '0' && *mark <= '9')
			set = set * 10 + (unsigned)(*mark++ - '0');
		if (*mark == '*') {
			for (; i < m->cur->nin; i++)
				check_type(m, i, set);
			return;
		}
		if (i < m->cur->nin && m->cur->node->input[i][0])
			check_type(m, i, set);
		else if (*mark != '?')
			bad_model(m, "input %u is missing", i);
		i++;
	}
}

static void check_outputs(imp *m, const schema *s)
{
	if (s->max_out >= 0 && m->cur->nout > (uint32_t)s->max_out)
		bad_model(m, "has too many outputs: %u, but %s has at most %d", m->cur->nout, s->name, s->max_out);
	else if (m->cur->nout < (uint32_t)s->min_out)
		bad_model(m, "has %u outputs, but %s has at least %d", m->cur->nout, s->name, s->min_out);
}

/* ---- attributes ---- */

static void check_kind(imp *m, const Onnx__AttributeProto *a, char kind)
{
	/* old files have no type; then the importers look for the value itself */
	if (!a->has_type || a->type == 0)
		return;
	for (size_t i = 0; i < FTL_COUNT(kinds); i++)
		if (kinds[i].kind == kind && kinds[i].type != a->type)
			bad_model(m, "attribute %s is of another type, needs %s", a->name, kinds[i].name);
}

static void check_attrs(imp *m, const schema *s)
{
	const Onnx__NodeProto *n = m->cur->node;
	uint64_t seen = 0;
	size_t known = 0;

	for (size_t i = 0; i < n->n_attribute && !m->failed; i++) {
		const char *name = n->attribute[i]->name ? n->attribute[i]->name : "", *p = s->attrs;
		size_t len = strlen(name);
		unsigned k = 0;

		while (*p && (strncmp(p, name, len) != 0 || p[len] != ':')) {
			while (*p && *p++ != ',')
				;
			k++;
		}
		if (!*p)
			bad_model(m, "attribute %.60s is unknown: at this opset %s has none of that name", name,
				  s->name);
		else if (seen >> k & 1)
			bad_model(m, "attribute %s is a duplicate", name);
		else
			check_kind(m, n->attribute[i], p[len + 1]);
		seen |= (uint64_t)1 << (k & 63);
	}
	for (const char *p = s->attrs; *p && !m->failed; known++) {
		const char *end = p + strcspn(p, ",");

		if (end[-1] == '!' && !(seen >> known & 1))
			bad_model(m, "attribute %.*s is missing, but required", (int)strcspn(p, ":"), p);
		p = *end ? end + 1 : end;
	}
}

void ftl_imp_check(imp *m)
{
	const Onnx__NodeProto *n = m->cur->node;
	const schema *s;

	if (m->failed || (n->domain && *n->domain && strcmp(n->domain, "ai.onnx") != 0))
		return;
	s = find(m, n->op_type ? n->op_type : "", m->cur->opset);
	if (!s)
		return;
	check_outputs(m, s);
	if (!m->failed)
		check_attrs(m, s);
	if (!m->failed)
		check_inputs(m, s);
}

/* ---- for the exporter ---- */

static bool takes(const schema *s, uint32_t nin, const ftl_dtype *types)
{
	const char *p = s->inputs;

	for (uint32_t i = 0; i < nin && *p; i++) {
		char *mark;
		uint32_t set = type_sets[strtoul(p, &mark, 10)];

		if (types[i] != FTL_NO_DTYPE && set && !(set >> ftl_onnx_dtype_code(types[i]) & 1))
			return false;
		if (*mark != '*')
			p = skip(p);
	}
	return true;
}

int ftl_onnx_since(const char *op, int from, uint32_t nin, const ftl_dtype *types)
{
	for (size_t i = 0; i < FTL_COUNT(schemas); i++) {
		const schema *s = &schemas[i], *next = s + 1 < schemas + FTL_COUNT(schemas) ? s + 1 : NULL;

		if (strcmp(s->name, op) != 0)
			continue;
		if (next && !strcmp(next->name, op) && next->since <= from)
			continue; /* not the one that holds at `from` */
		if (takes(s, nin, types))
			return s->since > from ? s->since : from;
	}
	return from;
}
