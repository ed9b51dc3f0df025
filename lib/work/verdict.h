/*
 * The verdict about an attempt: checks executed, texts judged, written down in the
 * object "verdict" of the iteration.
 */
#ifndef AZ_WORK_VERDICT_H
#define AZ_WORK_VERDICT_H

#include "judge.h"

struct verdict {
	struct checks checks;
	bool passed;
	struct az_str reason; /* one sentence: why not, or what the judge said */
	struct judged judged;
	struct model_use use;
	int64_t sandbox_ms;
	struct blocked blocked; /* by checks and what they start */
	bool cut; /* for want of sandbox time something was not executed, or not to its end */
	char error_sig[17]; /* "" when passed */
	char tree[65];
};

/* judge false: texts stay skipped (preflight). Needs the record "run" of the iteration. */
AZ_MUST_CHECK enum az_code verdict_reach(
    struct work_job *j, bool judge, struct verdict *v, struct az_err *err);
/* The array of check results, short form. */
void verdict_checks_json(struct work_job *j, const struct verdict *v, struct az_jw *w);
/* The same as public events, with the verdict itself, added to an open array. */
void verdict_events(struct work_job *j, const struct verdict *v, struct az_jw *w);
/* Signature of an error text: digits, addresses and paths do not count. */
void verdict_signature(struct az_str text, char out[17]);

#endif
