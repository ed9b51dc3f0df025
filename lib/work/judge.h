/*
 * What no check can express, judged by the model. Its word counts only with a quote
 * that really occurs in the output, and it is asked only when everything else passed.
 */
#ifndef AZ_WORK_JUDGE_H
#define AZ_WORK_JUDGE_H

#include "checks.h"
#include "model.h"

struct judged {
	struct az_str reason, plan;
};

/* Fill r->status: PASS, FAIL or UNVERIFIED. A judge out of reach is an error. */
AZ_MUST_CHECK enum az_code judge_text(struct work_job *j, struct az_str condition,
    const struct az_json *run, const struct az_manifest *m, const struct checks *c,
    struct check_result *r, struct judged *said, struct model_use *use, struct az_err *err);

#endif
