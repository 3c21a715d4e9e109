/* placeholder */
#include "pass.h"
ftl_status ftl_pass_cancel_layout(ftl_pass *p) { FTL_UNUSED(p); return FTL_OK; }
