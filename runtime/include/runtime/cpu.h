/* What this machine is: vector level, caches, cores, memory. */
#ifndef RUNTIME_CPU_H
#define RUNTIME_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ftl_cpu {
	char name[64];
	const char *level;          /* "avx512", "avx2", "sse2", "neon" or "scalar" */
	bool vnni;                  /* u8 x i8 dot products in one instruction */
	int cores;                  /* physical */
	int threads;                /* that this process may use: affinity and control group limits included */
	int64_t l1_bytes, l2_bytes; /* data, per core */
	int64_t l3_bytes;           /* shared; 0 if none */
} ftl_cpu;

void ftl_cpu_detect(ftl_cpu *out);
int ftl_cpu_threads(void);       /* >= 1; one per physical core that the process may use */
uint64_t ftl_memory_total(void); /* bytes of RAM this process may use (control group limit included); 0 if unknown */

#endif
