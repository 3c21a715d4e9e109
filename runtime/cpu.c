/* CPU and memory of this machine, through cpuinfo where it knows and the kernel's files where it does not. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "runtime/cpu.h"

#if FTL_HAVE_CPUINFO
#include <cpuinfo.h>
#endif
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* First line of a small text file; false if there is none. */
static bool read_line(const char *path, char *out, size_t n)
{
	FILE *f = fopen(path, "r");
	bool ok;

	if (!f)
		return false;
	ok = fgets(out, (int)n, f) != NULL;
	fclose(f);
	return ok;
}

/* Whole cpus that the control group may use; 0 if it is not limited. */
static int cgroup_cpus(void)
{
	char line[64], *rest;
	long quota, period;

	if (!read_line("/sys/fs/cgroup/cpu.max", line, sizeof line) || strncmp(line, "max", 3) == 0)
		return 0;
	quota = strtol(line, &rest, 10);
	period = strtol(rest, NULL, 10);
	if (quota <= 0 || period <= 0)
		return 0;
	return (int)((quota + period - 1) / period);
}

static int allowed_cpus(void)
{
	cpu_set_t set;
	int n, limit = cgroup_cpus();

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
	else
		n = (int)sysconf(_SC_NPROCESSORS_ONLN);
	n = n > 0 ? n : 1;
	return limit > 0 && limit < n ? limit : n;
}

/* The one level that needs no asking. */
static const char *base_level(void)
{
#if defined(__x86_64__)
	return "sse2";
#elif defined(__aarch64__)
	return "neon";
#else
	return "scalar";
#endif
}

#if FTL_HAVE_CPUINFO
static const char *level(void)
{
#if defined(__x86_64__)
	bool v3 = cpuinfo_has_x86_avx2() && cpuinfo_has_x86_fma3() && cpuinfo_has_x86_f16c();

	if (v3 && cpuinfo_has_x86_avx512f() && cpuinfo_has_x86_avx512bw() && cpuinfo_has_x86_avx512dq() &&
	    cpuinfo_has_x86_avx512vl())
		return "avx512";
	if (v3)
		return "avx2";
#endif
	return base_level();
}

static bool has_vnni(void)
{
#if defined(__x86_64__)
	return cpuinfo_has_x86_avx512vnni();
#elif defined(__aarch64__)
	return cpuinfo_has_arm_i8mm();
#else
	return false;
#endif
}

static void ask_cpuinfo(ftl_cpu *out)
{
	const struct cpuinfo_package *pkg = cpuinfo_get_packages_count() ? cpuinfo_get_package(0) : NULL;
	const struct cpuinfo_cache *c;

	out->level = level();
	out->vnni = has_vnni();
	out->cores = (int)cpuinfo_get_cores_count();
	if (pkg)
		snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof out->name - 1, pkg->name);
	c = cpuinfo_get_l1d_caches_count() ? cpuinfo_get_l1d_cache(0) : NULL;
	if (c && c->size)
		out->l1_bytes = c->size;
	c = cpuinfo_get_l2_caches_count() ? cpuinfo_get_l2_cache(0) : NULL;
	if (c && c->size)
		out->l2_bytes = c->size;
	c = cpuinfo_get_l3_caches_count() ? cpuinfo_get_l3_cache(0) : NULL;
	if (c)
		out->l3_bytes = c->size;
}

static int physical_cores(void)
{
	return cpuinfo_initialize() ? (int)cpuinfo_get_cores_count() : 0;
}
#else
static int physical_cores(void)
{
	return 0;
}
#endif

/* cpuinfo starts once per process and keeps its own tables; without it (not built in, no /proc) there are sane guesses. */
void ftl_cpu_detect(ftl_cpu *out)
{
	memset(out, 0, sizeof *out);
	out->threads = allowed_cpus();
	out->cores = out->threads;
	out->l1_bytes = 32 << 10;
	out->l2_bytes = 512 << 10;
	out->level = base_level();
#if FTL_HAVE_CPUINFO
	if (cpuinfo_initialize())
		ask_cpuinfo(out);
#elif defined(__x86_64__)
	if (__builtin_cpu_supports("x86-64-v4"))
		out->level = "avx512";
	else if (__builtin_cpu_supports("x86-64-v3"))
		out->level = "avx2";
	out->vnni = __builtin_cpu_supports("avx512vnni") != 0;
#endif
}

int ftl_cpu_threads(void)
{
	int n = allowed_cpus(), cores = physical_cores();

	return cores > 0 && cores < n ? cores : n;
}

uint64_t ftl_memory_total(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	uint64_t total = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0, limit;
	char line[64];

	if (read_line("/sys/fs/cgroup/memory.max", line, sizeof line) && strncmp(line, "max", 3) != 0) {
		limit = strtoull(line, NULL, 10);
		if (limit > 0 && (total == 0 || limit < total))
			total = limit;
	}
	return total;
}
