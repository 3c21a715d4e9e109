/* docs/PASSES.md, from passes.def and rewrites.def. */
#include "pipeline.h"

static const struct {
	const char *name, *doc;
} facts[] = {
#define FACT(name, doc) {#name, doc},
#include "passes.def"
};

static void add_facts(ftl_text *t, const char *label, unsigned set)
{
	const char *sep = "";

	if (!set)
		return;
	ftl_text_add(t, " %s ", label);
	for (size_t i = 0; i < FTL_COUNT(facts); i++) {
		if (!(set >> i & 1))
			continue;
		ftl_text_add(t, "%s%s", sep, facts[i].name);
		sep = ", ";
	}
	ftl_text_add(t, ".");
}

static void add_pass(ftl_text *t, const ftl_pass_row *row)
{
	ftl_text_add(t, "### `%s`\n\n%s", row->name, row->doc);
	add_facts(t, "Needs", row->needs);
	add_facts(t, "Gives", row->gives);
	ftl_text_add(t, "\n");
	for (size_t i = 0; i < row->nopt; i++)
		ftl_text_add(t, "%s- `%s` (%s, default `%s`): %s\n", i ? "" : "\n", row->opt[i].name, row->opt[i].kind,
			     *row->opt[i].deflt ? row->opt[i].deflt : "\"\"", row->opt[i].doc);
	ftl_text_add(t, "\n");
}

/* In a table cell a bar would end the cell. */
static void add_cell(ftl_text *t, const char *s)
{
	for (; *s; s++)
		if (*s == '|')
			ftl_text_add(t, "\\|");
		else
			ftl_text_bytes(t, s, 1);
}

static void add_rewrites(ftl_text *t)
{
	const char *pass = "";
	ftl_rewrite_row r;

	ftl_text_add(t, "## Rewrites\n\n"
			"The language is described in `passes/include/passes/pattern.h`. Tolerances are relative, for "
			"f32; *tame* means\n"
			"that the left side may overflow or lose digits where the right side does not. Every row is "
			"run before and\n"
			"after on random graphs by `tests/test_rewrites.c`.\n");
	for (size_t k = 0; ftl_rewrite_row_at(k, &r); k++) {
		if (strcmp(pass, r.pass) != 0)
			ftl_text_add(t,
				     "\n### of `%s`\n\n| name | from | to | if | tolerance |\n|---|---|---|---|---|\n",
				     r.pass);
		pass = r.pass;
		ftl_text_add(t, "| %s | `", r.name);
		add_cell(t, r.lhs);
		ftl_text_add(t, "` | `");
		add_cell(t, r.rhs);
		ftl_text_add(t, "` | %s | ", strcmp(r.guard, "NULL") ? r.guard : "");
		if (r.tolerance == 0)
			ftl_text_add(t, "exact |\n");
		else
			ftl_text_add(t, "%g%s |\n", r.tolerance, r.tame ? ", tame" : "");
	}
}

void ftl_passes_markdown(ftl_text *t)
{
	const ftl_pass_row *row;

	ftl_text_add(t, "# Passes\n\n"
			"Generated from `passes/passes.def` and `passes/rewrites.def` (`FTL_BLESS=1` with "
			"`tests/test_passes` writes it\n"
			"again). How to write one: [ADDING_A_PASS.md](ADDING_A_PASS.md).\n\n"
			"A pipeline is text: names separated by commas or line ends, options in braces, comments from "
			"`#` on. What a pass\n"
			"needs is made first:\n\n");
	for (size_t i = 0; i < FTL_COUNT(facts); i++)
		ftl_text_add(t, "- %s: %s\n", facts[i].name, facts[i].doc);
	ftl_text_add(t, "\nWithout being asked: `%s`.\n\nBehind what was asked for: `%s`.\n\n## The passes\n\n",
		     ftl_pass_default_pipeline(), ftl_pass_cleanup_pipeline());
	for (size_t k = 0; (row = ftl_pass_row_at(k)); k++)
		add_pass(t, row);
	add_rewrites(t);
}
