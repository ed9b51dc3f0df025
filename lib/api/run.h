/* Inside the runs part of the api room. */
#ifndef AZLON_API_RUN_H
#define AZLON_API_RUN_H

#include <azlon/flow.h>
#include <azlon/json.h>
#include <azlon/keys.h>
#include <azlon/manifest.h>
#include "caller.h"

#define RUN_JSON_BYTES AZ_MIB(1)
#define RUN_FOLD_BYTES AZ_MIB(64) /* one fold of one history, freed after */
#define RUN_RETRY_S 2             /* Retry-After of answers about an open run */
#define RUN_WAIT_MAX_S 86400      /* as a number; the deadline is api->sync_wait_ms */

/* ---- run_view.c: what a handler knows of a run ---- */
struct api_run {
	struct az_run_info info;
	struct az_str json; /* the Run object of API.md */
	char etag[40];      /* quoted */
	const char *status; /* static text */
	const char *needs;  /* the signal that it waits for, static text, or NULL */
	bool over, result, cancel_on_leave;
	bool deaf;          /* it takes no more signals */
	int64_t last_event; /* of the public log */
};
/* Of uid's run id; anyone else's is AZ_ENOTFOUND. A run unchanged since it was last
   rendered costs one describe. */
AZ_MUST_CHECK enum az_code api_run_load(const struct az_api *api, struct az_arena *a,
    struct az_str uid, struct az_str id, struct api_run *out, struct az_err *err);
/* describe alone, with the owner checked. */
AZ_MUST_CHECK enum az_code api_run_describe(const struct az_api *api, struct az_arena *a,
    struct az_str uid, struct az_str id, struct az_run_info *out, struct az_err *err);
/* All events after `after`, appended to h (whose array lives in a). */
AZ_MUST_CHECK enum az_code api_run_history(const struct az_api *api, struct az_arena *a,
    struct az_str id, int64_t after, struct az_history *h, struct az_err *err);
/* The Run object of a view; info may hold no more than id and uid. warnings: JSON array
   text. */
void api_run_render(struct az_buf *b, const struct az_flow_view *v, const struct az_run_info *info,
    struct az_str warnings, int64_t now_ms);
/* A status of API.md as the static string, or NULL. */
const char *api_run_status(struct az_str s);
/* {"workflow_id","result","user_id","run"} */
void api_run_result(struct az_buf *b, struct az_str uid, const struct api_run *r);
/* Answer 202 with Location, Retry-After and the Run object. */
AZ_MUST_CHECK enum az_code api_run_accepted(
    struct az_rq *rq, struct az_str id, struct az_str json, struct az_err *err);

/* ---- run_wait.c ---- */
/* Until the run's version differs from r's, the deadline (boot clock), the client's
   leaving or our stop; *r is loaded anew. AZ_ECANCELLED when the client left. */
AZ_MUST_CHECK enum az_code api_run_wait(struct az_rq *rq, const struct az_api *api,
    struct az_str uid, int64_t deadline_ms, struct api_run *r, struct az_err *err);
/* The deadline of ?wait=N, 0 when there is none or the pool does not wait. */
AZ_MUST_CHECK enum az_code api_wait_deadline(
    struct az_rq *rq, const struct az_api *api, int64_t *deadline_ms, struct az_err *err);
/* What the hand-over of a wait is signed for; owner and text are the user and the run. */
#define API_FOR_WAIT "wait"

/* ---- create_check.c: the body of a create ---- */
#define CREATE_ITEMS 50
struct create {
	struct az_arena *a;
	struct az_problem_item items[CREATE_ITEMS];
	size_t n_items;
	struct az_buf warnings; /* JSON strings with commas between */
	unsigned n_warnings;
	/* what was read */
	const struct az_json *body, *checks, *network, *inputs, *metadata, *fallbacks;
	struct az_str prompt, conditions, model, on_disconnect, hitl;
	bool default_inputs; /* the default set is there and no inputs were named */
	bool async;
	int64_t iterations, tokens, wall_s, sandbox_s;
	struct fork *fork;            /* a run that begins with an earlier one's tree, or NULL */
	struct az_str webhook;        /* its url, or empty */
	const struct az_api *service; /* what holds for all runs of a user */
};
/* One more entry of "errors"; loc is printf'ed: "\"body\",\"checks\",%d". */
void create_item(struct create *c, const char *type, const char *msg, const char *loc, ...)
    AZ_PRINTF(4, 5);
void create_warn(struct create *c, struct az_str name, const char *where);
/* The whole body but for what needs a store; errors are collected in items. */
void create_check(struct create *c, const struct az_json *body);
/* "limits" alone, into the last four. */
void create_check_limits(struct create *c);
void create_check_checks(struct create *c, const struct az_json *checks);
/* create_webhook.c */
void create_check_webhook(struct create *c);
/* regex.c: a POSIX extended expression that costs no more than it looks like */
bool create_regex_ok(struct az_str pattern);
/* The start input: {"v":1,"uid","request","warnings"}. */
void create_input(const struct create *c, struct az_str uid, struct az_buf *b);

/* ---- create.c: what creates and forks share ---- */
/* A JSON object. */
AZ_MUST_CHECK enum az_code create_read_body(
    struct az_rq *rq, struct az_str *body, const struct az_json **json, struct az_err *err);
/* Start the run that c describes and answer, or say what is wrong with it. body: what a second
   use of an Idempotency-Key must be equal to. */
AZ_MUST_CHECK enum az_code create_start(struct az_rq *rq, const struct az_api *api,
    struct create *c, struct az_str uid, struct az_str body, struct az_err *err);

/* ---- run_fork.c ---- */
struct fork {
	struct az_str from;         /* the run it begins with */
	const struct az_json *body; /* of the request */
	/* by fork_prepare() */
	int iteration;
	struct az_str said; /* {"workflow_id","iteration"} */
	struct az_bucket bucket;
	struct az_manifest tree, inputs;
};
/* Read what is forked; c is checked as if all of it had been posted. */
AZ_MUST_CHECK enum az_code fork_prepare(struct az_rq *rq, const struct az_api *api,
    struct create *c, struct az_str uid, struct az_err *err);
/* Make its files those of the run wid, which has not been started yet. */
AZ_MUST_CHECK enum az_code fork_take(struct az_rq *rq, const struct az_api *api,
    const struct fork *f, struct az_str wid, struct az_err *err);
/* The run did not come to be. */
void fork_drop(const struct az_api *api, const struct fork *f, struct az_str wid);

/* ---- run_iterations.c ---- */
struct run_iter { /* {n} of an own run */
	struct az_rq *rq;
	const struct az_api *api;
	struct az_arena *a;
	struct az_bucket bucket;
	struct az_str wid;
	int n;
};
AZ_MUST_CHECK enum az_code run_iter_open(
    struct run_iter *it, struct az_rq *rq, void *app, struct az_err *err);

/* ---- run_request.c ---- */
/* What run id was started with; a may need RUN_FOLD_BYTES. */
AZ_MUST_CHECK enum az_code run_request_load(const struct az_api *api, struct az_arena *a,
    struct az_str id, const struct az_json **out, struct az_err *err);

/* ---- inputs.c ---- */
/* Each entry of c->inputs exists and is uid's; else an item. */
AZ_MUST_CHECK enum az_code create_check_inputs(
    struct create *c, const struct az_api *api, struct az_str uid, struct az_err *err);

/* ---- signed.c ---- */
/* The run id of (uid, key) on the day of now_ms, by one of our secrets. */
AZ_MUST_CHECK enum az_code idem_wid(const struct az_api *api, size_t which, struct az_str uid,
    struct az_str key, int64_t now_ms, struct az_buf *out, struct az_err *err);

/* ---- handlers ---- */
#define RUN_HANDLER(f) enum az_code f(struct az_rq *rq, void *app, struct az_err *err)
RUN_HANDLER(run_create);
RUN_HANDLER(run_webhook);
RUN_HANDLER(run_request);
RUN_HANDLER(run_list);
RUN_HANDLER(run_status);
RUN_HANDLER(run_status_wait);
RUN_HANDLER(run_result);
RUN_HANDLER(run_result_wait);
RUN_HANDLER(run_handed_over);
RUN_HANDLER(run_events);
RUN_HANDLER(run_cancel);
RUN_HANDLER(run_signal);
RUN_HANDLER(run_remove);
RUN_HANDLER(run_iterations);
RUN_HANDLER(run_iteration);
RUN_HANDLER(run_diff);
RUN_HANDLER(run_fork);
RUN_HANDLER(run_log);
RUN_HANDLER(run_prompts_get);
RUN_HANDLER(run_prompts_set);
RUN_HANDLER(run_live);
RUN_HANDLER(run_ready);
RUN_HANDLER(run_openapi);
RUN_HANDLER(run_metrics);

#endif
