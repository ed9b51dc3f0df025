/*
 * Calls of the model on behalf of a step.
 */
#ifndef AZ_WORK_MODEL_H
#define AZ_WORK_MODEL_H

#include "job.h"

struct model_use {
	int64_t calls, tokens_in, tokens_out;
	struct az_str name, provenance;
	size_t at; /* which answered last: 0 the model itself, else the stand-in of that number */
};

struct model_ask {
	const struct az_llm_msg *msgs;
	size_t n;
	const char *schema_name; /* with schema, or NULL */
	struct az_str schema;
	double temperature;
	int64_t tokens_left;
};

/*
 * One completion; use grows by what it cost, guessed where it was cut short. Heartbeats; ends soon
 * after a cancel. While the model is away its stand-ins are asked, all within one attempt of
 * the function.
 */
AZ_MUST_CHECK enum az_code model_complete(struct work_job *j, const struct model_ask *q,
    struct az_llm_reply *r, struct model_use *use, struct az_err *err);
/* What one of them may take of the time that is left, when so many are to be asked after it. */
int64_t model_share(int64_t left_ms, size_t others);

/* ---- model_manual.c: a person in the model's place ---- */
#define MODEL_MANUAL "manual"
/* Answer number at (from 0) of this call of the function. Without it the question is
   stored and the call fails as model_awaits() knows. */
AZ_MUST_CHECK enum az_code model_manual(struct work_job *j, const struct model_ask *q, size_t at,
    struct az_llm_reply *r, struct az_err *err);
/* Is it no failure, but that a person has to reply first? */
bool model_awaits(enum az_code rc, const struct az_err *err);
/* Then this is the function's result. sandbox_ms: used by it all the same. */
AZ_MUST_CHECK enum az_code model_awaiting(
    struct work_job *j, int64_t sandbox_ms, struct az_buf *result, struct az_err *err);

#endif
