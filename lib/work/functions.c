/* The table that fcgi/worker.c hands to the engine. */
#include "functions.h"

#include <azlon/flow.h>

const struct az_function az_work_functions[] = {
    {AZ_FN_PREFLIGHT, fn_preflight},
    {AZ_FN_GENERATE, fn_generate},
    {AZ_FN_RUN, fn_run},
    {AZ_FN_VALIDATE, fn_validate},
    {AZ_FN_FINALIZE, fn_finalize},
    {NULL, NULL},
};
