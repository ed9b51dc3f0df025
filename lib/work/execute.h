/*
 * One attempt executed: built, its program run once, what it wrote taken into the
 * store. Leaves the object "run" of the iteration; see README.md for its members.
 */
#ifndef AZ_WORK_EXECUTE_H
#define AZ_WORK_EXECUTE_H

#include "blocked.h"
#include "build.h"

struct work_run {
	const char *kind;      /* ok, build_failed, run_failed */
	struct az_str text;    /* how it ended, in words */
	bool has_program;      /* there was something to run */
	bool server;           /* it is meant to stay */
	struct az_sb_result r; /* valid when has_program and built */
	size_t n_files;
	int64_t sandbox_ms;
	struct blocked blocked;
};

/* Words for how a command ended: "exit code 3", "stopped: still running after 30 s". */
struct az_str execute_words(struct work_job *j, const struct az_sb_result *r, int timeout_s);
/* Do the checks talk to a server, so that the program does not end by itself? */
bool execute_is_server(const struct work_job *j);
AZ_MUST_CHECK enum az_code execute_iteration(
    struct work_job *j, int n, struct work_run *out, struct az_err *err);

#endif
