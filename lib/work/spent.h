/* What a function used that was stopped, or failed, before it had a result. */
#ifndef AZ_WORK_SPENT_H
#define AZ_WORK_SPENT_H

#include "model.h"

/* Unless rc is AZ_OK the result becomes {"v":1,"calls","tokens_in","tokens_out",
   "sandbox_ms"}: engines hand it on. use may be NULL. */
void spent_write(
    enum az_code rc, const struct model_use *use, int64_t sandbox_ms, struct az_buf *result);

#endif
