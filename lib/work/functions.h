/* The functions, one file each: fn_<name>.c, and what runs of a user share in fn_queue.c. */
#ifndef AZ_WORK_FUNCTIONS_H
#define AZ_WORK_FUNCTIONS_H

#include <azlon/work.h>

#define WORK_FN(name)                                                                              \
	AZ_MUST_CHECK enum az_code name(struct az_fn_ctx *ctx, void *app, struct az_str input,     \
	    struct az_buf *result, struct az_err *err)

WORK_FN(fn_preflight);
WORK_FN(fn_generate);
WORK_FN(fn_run);
WORK_FN(fn_validate);
WORK_FN(fn_finalize);
WORK_FN(fn_join);
WORK_FN(fn_admit);
WORK_FN(fn_check);
WORK_FN(fn_webhook);

#endif
