/*
 * A tree made ready to run in the sandbox: uploaded, its Dockerfile executed. A build
 * that fails is the code's fault and no error.
 */
#ifndef AZ_WORK_BUILD_H
#define AZ_WORK_BUILD_H

#include "box.h"
#include "sink.h"

struct work_build {
	struct az_plan plan;
	struct az_plan_result r; /* r.argv, r.env, r.cwd: what to run */
	bool ok;
	bool guessed;            /* there was no Dockerfile */
	struct az_str text;      /* why not ok, for model and user */
	struct az_str step;      /* "RUN …" that failed, or empty */
	struct tree_list before; /* files as uploaded */
};

/* Could this tree be run at all? */
bool build_possible(const struct az_manifest *m);
/* Parse only: b->plan, or !b->ok with b->text. */
AZ_MUST_CHECK enum az_code build_parse(
    struct work_job *j, const struct az_manifest *m, struct work_build *b, struct az_err *err);
/*
 * Upload m and execute the plan of build_parse(); output goes to log. The network is as
 * the program should find it afterwards. Marks the sandbox as holding iteration n.
 */
AZ_MUST_CHECK enum az_code build_exec(struct work_job *j, const struct work_box *x, int n,
    const struct az_manifest *m, struct work_build *b, struct work_sink *log, struct az_err *err);
/* From now on it holds nothing that could be relied on. */
AZ_MUST_CHECK enum az_code build_forget(
    struct work_job *j, const struct work_box *x, struct az_err *err);
/* Does the sandbox hold iteration n, built? */
AZ_MUST_CHECK enum az_code build_held(
    struct work_job *j, const struct work_box *x, int n, bool *held, struct az_err *err);

#endif
