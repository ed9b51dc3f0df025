/* What runs tell the workflow of their user, and what it tells them. */
#ifndef AZ_WORK_USER_H
#define AZ_WORK_USER_H

#include <azlon/json.h>
#include <azlon/work.h>

/* Tell the workflow of the run's user, which is started if it is not open. */
AZ_MUST_CHECK enum az_code user_tell(const struct az_fn_ctx *ctx, const struct az_work *w,
    const char *signal, const struct az_buf *payload, struct az_err *err);

/* {"wid","used","hook"}: the run gives its place back and settles. leave: what its last
   function was given, or NULL: it never applied. */
AZ_MUST_CHECK enum az_code user_tell_done(const struct az_fn_ctx *ctx, const struct az_work *w,
    const struct az_json *leave, struct az_err *err);

#endif
