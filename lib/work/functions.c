/* The table that fcgi/worker.c hands to the engine. */
#include "functions.h"

#include <azlon/flow.h>

const struct az_function az_work_functions[] = {
    {AZ_FN_PREFLIGHT, fn_preflight},
    {AZ_FN_GENERATE, fn_generate},
    {AZ_FN_RUN, fn_run},
    {AZ_FN_VALIDATE, fn_validate},
    {AZ_FN_FINALIZE, fn_finalize},
    {AZ_FN_JOIN, fn_join},
    {AZ_FN_ADMIT, fn_admit},
    {AZ_FN_CHECK, fn_check},
    {AZ_FN_WEBHOOK, fn_webhook},
    {NULL, NULL},
};
