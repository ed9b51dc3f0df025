/*
 * What the run has learnt: one line per attempt in {workflow_id}/.azlon/memory.json.
 */
#ifndef AZ_WORK_MEMORY_H
#define AZ_WORK_MEMORY_H

#include "job.h"

#define MEMORY_LINES 20

struct memory_line {
	int iteration;
	struct az_str hypothesis; /* the model's own diagnosis */
	struct az_str change;     /* which files it wrote */
	struct az_str error_sig;
	int passed, total;
	struct az_str lesson; /* why it was not enough */
};

/* Add or replace the line of an iteration, oldest dropped past MEMORY_LINES. */
AZ_MUST_CHECK enum az_code memory_put(
    struct work_job *j, const struct memory_line *l, struct az_err *err);
/* The lines before iteration, oldest first. */
AZ_MUST_CHECK enum az_code memory_load(
    struct work_job *j, int before, struct memory_line *v, size_t *n, struct az_err *err);

#endif
