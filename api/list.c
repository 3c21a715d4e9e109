/* Listings and this machine. */
#include "api.h"

#include "passes/passes.h"
#include "runtime/cpu.h"

const char *fettle_op_name(size_t k)
{
	return k + 1 < FTL_OP_COUNT ? ftl_op_get((ftl_op)(k + 1))->name : NULL;
}

const char *fettle_pass_name(size_t k)
{
	const ftl_pass_row *r = ftl_pass_row_at(k);

	return r ? r->name : NULL;
}

const char *fettle_pass_doc(size_t k)
{
	const ftl_pass_row *r = ftl_pass_row_at(k);

	return r ? r->doc : NULL;
}

bool fettle_pass_option(size_t pass, size_t k, fettle_option *out)
{
	const ftl_pass_row *r = ftl_pass_row_at(pass);

	if (!r || k >= r->nopt)
		return false;
	*out = (fettle_option){r->opt[k].name, r->opt[k].kind, r->opt[k].deflt, r->opt[k].doc};
	return true;
}

const char *fettle_target_name(size_t k)
{
	const ftl_target *t = ftl_target_at(k);

	return t ? t->name : NULL;
}

void fettle_machine_describe(fettle_machine *out)
{
	ftl_cpu cpu;

	ftl_cpu_detect(&cpu);
	memset(out, 0, sizeof *out);
	memcpy(out->cpu, cpu.name, sizeof out->cpu);
	out->cpu[sizeof out->cpu - 1] = '\0';
	out->level = cpu.level;
	out->cores = cpu.cores;
	out->threads = ftl_cpu_threads();
	out->memory = ftl_memory_total();
}
