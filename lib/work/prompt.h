/*
 * What the model is shown. Every prompt is a function of stored state alone: no
 * times, durations or ids, files in order, so that the same state gives the same bytes
 * (recordings are found by their hash).
 */
#ifndef AZ_WORK_PROMPT_H
#define AZ_WORK_PROMPT_H

#include "checks.h"

struct prompt_generate {
	const struct az_manifest *inputs;  /* what the user gave */
	const struct az_manifest *current; /* the tree to work on */
	int previous;                      /* attempt whose result is shown, 0 = none
					      (or the inputs' own run) */
	bool fresh, change;
};

/* The system text: the user's own if edited, else ours. which: "generate", "validate". */
AZ_MUST_CHECK enum az_code prompt_system(
    struct work_job *j, const char *which, struct az_str *out, struct az_err *err);
AZ_MUST_CHECK enum az_code prompt_generate(
    struct work_job *j, const struct prompt_generate *g, struct az_str *out, struct az_err *err);
/* The question of the judge about one condition. */
AZ_MUST_CHECK enum az_code prompt_judge(struct work_job *j, struct az_str condition,
    const struct az_json *run, const struct az_manifest *m, const struct checks *c,
    struct az_str *out, struct az_err *err);

/* Parts, in prompt_data.c and prompt_result.c. */
/* Name, size and for tables header, three rows and the number of rows. */
AZ_MUST_CHECK enum az_code prompt_data(
    struct work_job *j, const struct az_file *f, struct az_buf *b, struct az_err *err);
/* Is this input data rather than code? */
bool prompt_is_data(const struct az_file *f);
/* What became of attempt n, from its "run" and "verdict". Nothing when there is none. */
AZ_MUST_CHECK enum az_code prompt_result(
    struct work_job *j, int n, struct az_buf *b, struct az_err *err);
/* A block of untrusted text within tildes that it cannot close. */
void prompt_block(struct az_buf *b, struct az_str text);

#endif
