#include "frontend/onnx.h"
ftl_status ftl_onnx_export(ftl_arena *arena, const ftl_graph *graph, const char *path, const ftl_export_options *opt, ftl_diag *d)
{ (void)arena;(void)graph;(void)path;(void)opt; return ftl_fail(d, FTL_ERR_UNSUPPORTED, "later"); }
