/*
 * One call of a function: its input, the run's request, its memory, and the store as
 * seen from the run. Everything read lives in the job's arena.
 */
#ifndef AZ_WORK_JOB_H
#define AZ_WORK_JOB_H

#include <azlon/json.h>
#include <azlon/manifest.h>
#include <azlon/work.h>

#define WORK_ARENA_BYTES AZ_MIB(512)
#define WORK_MESSAGE_BYTES 400 /* texts that travel through the engine */

struct work_job {
	struct az_fn_ctx *ctx;
	const struct az_work *w;
	struct az_sandbox *sandbox; /* the service, its calls ended by job_cancelled() */
	struct az_bucket bkt;
	struct az_arena *a;
	const struct az_json *in, *request;
	int iteration;

	/* for heartbeats */
	const char *phase;
	struct az_str tail;                             /* last output, borrowed */
	void (*refresh)(struct work_job *j, void *arg); /* brings tail up to date, or NULL */
	void *refresh_arg;
	int64_t tokens;
	unsigned tags;   /* given out by job_tag() */
	int64_t beat_ms; /* boot clock of the last one */

	/* the run's sandbox time, see work_box_time() */
	int64_t box_until_ms; /* boot clock, 0 = not running */
	bool box_counted;     /* asked for already */
	bool box_spent;       /* something was cut by it */
};

/* Parse the input; store the request when it carries it, else load it (in phase
   "finalize" it may be NULL). Close in any case. */
AZ_MUST_CHECK enum az_code job_open(struct work_job *j, struct az_fn_ctx *ctx, void *app,
    struct az_str input, const char *phase, struct az_err *err);
void job_close(struct work_job *j);

/* Heartbeat now. */
void job_beat(struct work_job *j);
/* For the ports' cancelled callbacks, arg is the job: heartbeats when it is time. */
bool job_cancelled(void *arg);

struct az_str job_wid(const struct work_job *j);
/* test_conditions hold something to judge. */
bool job_has_conditions(const struct work_job *j);

/*
 * Objects of iteration n. A missing one is AZ_ENOTFOUND; any other failure of the store
 * carries the reason "store_unavailable".
 */
AZ_MUST_CHECK enum az_code job_get_iter(struct work_job *j, int n, const char *name, size_t max,
    struct az_str *out, struct az_err *err);
AZ_MUST_CHECK enum az_code job_put_iter(
    struct work_job *j, int n, const char *name, struct az_str body, struct az_err *err);
AZ_MUST_CHECK enum az_code job_put_iter_buf(
    struct work_job *j, int n, const char *name, const struct az_buf *body, struct az_err *err);
/* Parsed; *out NULL when there is none. */
AZ_MUST_CHECK enum az_code job_json_iter(
    struct work_job *j, int n, const char *name, const struct az_json **out, struct az_err *err);
AZ_MUST_CHECK enum az_code job_get_meta(
    struct work_job *j, const char *name, size_t max, struct az_str *out, struct az_err *err);
AZ_MUST_CHECK enum az_code job_put_meta(
    struct work_job *j, const char *name, struct az_str body, struct az_err *err);
AZ_MUST_CHECK enum az_code job_get_file(struct work_job *j, const struct az_file *f, size_t max,
    struct az_str *out, struct az_err *err);
AZ_MUST_CHECK enum az_code job_put_file(struct work_job *j, struct az_manifest *m,
    struct az_str path, struct az_str body, unsigned mode, struct az_err *err);
/* Manifest of an iteration: "source" (what was written by hand or model) or
   "manifest" (with what the program made). Empty when there is none. */
AZ_MUST_CHECK enum az_code job_manifest(
    struct work_job *j, int n, const char *name, struct az_manifest *m, struct az_err *err);
/* The same of one that was written before the run began: without it the store is not whole. */
AZ_MUST_CHECK enum az_code job_manifest_must(
    struct work_job *j, int n, const char *name, struct az_manifest *m, struct az_err *err);
AZ_MUST_CHECK enum az_code job_save_manifest(
    struct work_job *j, int n, const char *name, const struct az_manifest *m, struct az_err *err);
/* Digest of paths, modes and contents; not of times. */
void job_tree_hash(const struct az_manifest *m, char out[65]);

/* What a command is found by when its stream was cut: no two of a run have the same, or
   one could be taken for the other. NULL without memory: then it has a random one. */
const char *job_tag(struct work_job *j, const char *what);

/* Give a store failure its reason; returns rc. */
enum az_code job_store_rc(enum az_code rc, struct az_err *err);
/* The same for the sandbox: one that is gone can be made anew, so it is retryable. */
enum az_code job_sandbox_rc(enum az_code rc, struct az_err *err);

/* Copy of s cut to max bytes on a character boundary, "…" appended when cut. */
struct az_str job_clip(struct work_job *j, struct az_str s, size_t max);
/* Buffer contents moved into the arena. */
AZ_MUST_CHECK enum az_code job_text(
    struct work_job *j, struct az_buf *b, struct az_str *out, struct az_err *err);
AZ_MUST_CHECK enum az_code job_nomem(struct az_err *err);

#endif
