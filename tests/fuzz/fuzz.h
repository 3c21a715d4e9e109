/* What the fuzz targets share. Each target is one LLVMFuzzerTestOneInput: with clang and -fsanitize=fuzzer libFuzzer
 * drives it, else driver.c does. A target must end for any input, within the time and memory that the driver allows. */
#ifndef FUZZ_H
#define FUZZ_H

#include "base/arena.h"
#include "base/status.h"
#include "ir/graph.h"
#include "kernels/kir.h"

enum { FUZZ_MEMORY = 256 << 20, FUZZ_JUMPS = 200000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lower g for the target named and, if it is scalar, run it on small inputs. */
void fuzz_graph(ftl_arena *arena, const ftl_graph *g, const char *target);
/* Run m on inputs of the smallest shapes, unless those are large. */
void fuzz_run(ftl_arena *arena, const ftl_kmodule *m);
/* Our fault, not the input's. */
void fuzz_bug(const char *what, const char *detail);

#endif
