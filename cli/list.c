/* fettle list: what there is. */
#include "cli.h"

#include <string.h>

static void list_passes(void)
{
	fettle_option o;

	for (size_t k = 0; fettle_pass_name(k); k++) {
		printf("%-18s %s\n", fettle_pass_name(k), fettle_pass_doc(k));
		for (size_t i = 0; fettle_pass_option(k, i, &o); i++)
			printf("  {%s=%s}  %s\n", o.name, *o.value ? o.value : "\"\"", o.doc);
	}
}

static void list_ops(void)
{
	for (size_t k = 0; fettle_op_name(k); k++)
		puts(fettle_op_name(k));
}

static void list_targets(void)
{
	fettle_machine m;

	fettle_machine_describe(&m);
	for (size_t k = 0; fettle_target_name(k); k++)
		printf("%s%s\n", fettle_target_name(k),
		       !strcmp(fettle_target_name(k), m.level) ? "  (this machine)" : "");
	printf("\n%s: %d core%s, %d thread%s by default, %.1f GiB\n", m.cpu, m.cores, m.cores == 1 ? "" : "s",
	       m.threads, m.threads == 1 ? "" : "s", (double)m.memory / 1073741824.0);
}

static int list_main(const cli_verb *v, int argc, char **argv)
{
	cli_list pos = {0};
	int status;

	if (!cli_parse(v, argc, argv, NULL, 0, &pos, &status))
		return status;
	if (pos.n == 1 && !strcmp(pos.v[0], "passes"))
		list_passes();
	else if (pos.n == 1 && !strcmp(pos.v[0], "ops"))
		list_ops();
	else if (pos.n == 1 && !strcmp(pos.v[0], "targets"))
		list_targets();
	else
		return cli_usage("list what? usage: fettle list %s", v->usage);
	return CLI_OK;
}

const cli_verb cli_list_verb = {
	"list", "passes, ops and targets", list_main, "passes|ops|targets",
	"List passes with their options, the ops of the graph IR, or the cpu levels code is made for.\n\n"
	"  fettle list passes\n"};
