/*
 * The checks of a request, executed. A check either passes or says in one line why not.
 */
#ifndef AZ_WORK_CHECKS_H
#define AZ_WORK_CHECKS_H

#include "execute.h"

#define CHECK_OUT_BYTES AZ_MIB(1) /* of a check's output that is compared */
#define CHECK_SHOW_BYTES 2000     /* of expected and got, in the verdict */

enum check_status { CHECK_SKIPPED = 0, CHECK_PASS, CHECK_FAIL, CHECK_UNVERIFIED };

struct check_result {
	struct az_str id;
	enum check_status status;
	bool hidden, explicit; /* explicit: named in the request */
	int64_t ms;
	struct az_str what;          /* "run python3 main.py" */
	struct az_str message;       /* why not passed, <= WORK_MESSAGE_BYTES */
	struct az_str expected, got; /* for the feedback, or empty */
};
const char *check_status_name(enum check_status s);

/* What a command did, or what a file is. */
struct check_seen {
	struct az_sb_result r;
	struct az_str words;    /* r in words */
	struct az_str out, err; /* first CHECK_OUT_BYTES */
	int64_t out_bytes, err_bytes;
};
struct check_file {
	bool there;
	int64_t bytes;
	struct az_str head; /* first KiB */
	bool contains;      /* the needle was seen */
};

/*
 * Compare with expect; r->status becomes PASS or FAIL. A run without "exit" must
 * end with 0.
 */
void expect_run(struct work_job *j, const struct az_json *expect, const struct check_seen *seen,
    struct check_result *r);
void expect_file(struct work_job *j, const struct az_json *expect, const struct check_file *f,
    struct check_result *r);
/* reply: status line, headers and body as they came. */
void expect_http(struct work_job *j, const struct az_json *http, const struct az_json *expect,
    struct az_str reply, struct check_result *r);
/* Does the file of these first bytes have that magic? false in *known: no such name. */
bool magic_is(struct az_str name, struct az_str head, int64_t bytes, bool *known);

/* The program as the run left it. */
struct check_program {
	const char *const *argv, *const *env;
	const char *cwd;
};

struct checks {
	struct check_result *v; /* implicit one first, then the request's in order, then
				   the conditions */
	size_t n;
	int64_t sandbox_ms;
	size_t restored; /* check files the program had changed */
};

/* Lay out the results for the request, all skipped. */
AZ_MUST_CHECK enum az_code checks_begin(struct work_job *j, struct checks *c, struct az_err *err);
/* There is no sandbox time left: what was not executed yet is not going to be. */
void checks_cut(const struct work_job *j, struct checks *c);
/* Judge the implicit check from the record of the run. */
void checks_program(struct work_job *j, struct checks *c, const struct az_json *run);
/* Run all but the texts in the sandbox, which must hold the iteration. */
AZ_MUST_CHECK enum az_code checks_run(struct work_job *j, struct checks *c,
    const struct work_box *x, const struct check_program *p, struct az_err *err);
/* One file check, q being the check as the request has it. */
AZ_MUST_CHECK enum az_code checks_file(struct work_job *j, const struct work_box *x,
    const struct az_json *q, struct check_result *r, struct az_err *err);
/* Is this result a text, for the judge? */
bool check_is_text(const struct work_job *j, const struct checks *c, size_t i, struct az_str *text);
/* All but the texts pass. */
bool checks_deterministic_ok(const struct work_job *j, const struct checks *c);
size_t checks_passed(const struct checks *c);
bool checks_all_passed(const struct checks *c);
/* Put back files that only the checks need, when the program changed them. */
AZ_MUST_CHECK enum az_code checks_restore(
    struct work_job *j, struct checks *c, const struct work_box *x, struct az_err *err);
/* Environment of checks: fixed PATH, nothing that bends the loader or the shell. */
const char *const *checks_env(struct work_job *j, const char *const *env);

#endif
