/* A build under way: between runplan_exec.c, runplan_probe.c, runplan_place.c and
   runplan_root.c only. */
#ifndef AZ_WORK_RUNPLAN_EXEC_H
#define AZ_WORK_RUNPLAN_EXEC_H

#include "runplan_int.h"

#define PLAN_SCRIPT_BYTES AZ_KIB(16) /* kept of our own scripts' output */

struct plan_exec {
	const struct az_plan *p;
	const struct az_plan_exec *x;
	struct az_arena *a;
	struct az_plan_result *r;
	struct az_err *err;
	const struct az_plan_step *step;
	struct az_buf *keep;      /* collects stdout when set */
	struct az_str path, have; /* of the sandbox */
	unsigned seq;
	int limit_s; /* of the last command */
};

/* One command. r as from the port; a command for which no time is left has timed out. */
enum az_code plan_exec_run(struct plan_exec *e, const char *const *argv, const char *const *env,
    const char *cwd, struct az_sb_result *r);
/* A build failure: known, told, not an error. */
enum az_code plan_exec_fail(struct plan_exec *e, const struct az_sb_result *r, const char *why);
enum az_code plan_exec_nomem(struct plan_exec *e);
/* Did the sandbox refuse what the Dockerfile asks for? No directory where it wants to
   work, no right to write there, a full disk: the Dockerfile's fault. */
bool plan_exec_refused(struct plan_exec *e, enum az_code rc);
enum az_code plan_exec_tell_refusal(struct plan_exec *e);

/* e->path and e->have; a build failure when the image's program is not there. */
enum az_code plan_exec_probe(struct plan_exec *e);
enum az_code plan_exec_copy(struct plan_exec *e, const struct az_plan_step *s);

/* The package manager a command would install system packages with, or "". */
struct az_str plan_system_packages(const char *const *argv);
bool plan_needs_root(const char *const *argv);

#endif
