/*
 * The folds: pure functions of a run's history. No clock, disk, network, random
 * number; no port. What they schedule is done by lib/work.
 */
#ifndef AZLON_FLOW_H
#define AZLON_FLOW_H

#include <azlon/history.h>
#include <azlon/json.h>

extern AZ_API const struct az_workflow az_flow_coding; /* AutonomousCodingWorkflow */
extern AZ_API const struct az_workflow az_flow_user;   /* UserWorkflow */

/* Names of the functions it schedules. */
#define AZ_FN_PREFLIGHT "pre_flight_run"
#define AZ_FN_GENERATE "generate_code"
#define AZ_FN_RUN "run_with_e2b"
#define AZ_FN_VALIDATE "validate_output"
#define AZ_FN_FINALIZE "finalize_run"
#define AZ_FN_JOIN "join_queue"
#define AZ_FN_ADMIT "admit_runs"
#define AZ_FN_CHECK "check_runs"
#define AZ_FN_WEBHOOK "deliver_webhook"

/* What runs tell their user's workflow, and what it tells them. */
#define AZ_SIG_APPLY "azlon.apply"
#define AZ_SIG_DONE "azlon.done"
#define AZ_SIG_ADMITTED "azlon.admitted"
#define AZ_SIG_REFUSED "azlon.refused"
#define AZ_SIG_QUEUE "azlon.queue"

/* What a run may use up: the members of "limits", in this order wherever they are listed. */
enum az_measure { AZ_M_ITERATIONS, AZ_M_TOKENS, AZ_M_WALL_S, AZ_M_SANDBOX_S, AZ_MEASURES };
extern AZ_API const char *const az_measure_names[AZ_MEASURES];

/*
 * The id of a check that came without one: the next of c1, c2, … that none of the request's
 * checks bears. *last is 0 before the first and counts on; out is NUL-terminated.
 */
AZ_API void az_flow_check_id(const struct az_json *checks, unsigned *last, char out[16]);

/*
 * Public event log: seq is the ordinal (from 1) in this projection. data is one line
 * of JSON: {"seq","t","iteration",…}. A completed function yields the events listed in
 * its result ("events":[{"type":…,…}]), the rest come from the run's own start and end.
 */
struct az_flow_event {
	int64_t seq;
	struct az_str type; /* run.status, iteration.start, llm.done, files.changed,
			       sandbox.start, check, verdict, usage, input.needed,
			       warning, run.finished */
	struct az_str data;
	bool last; /* run.finished */
};
/* Calls fn for each event with seq > after until it returns false. */
AZ_API AZ_MUST_CHECK enum az_code az_flow_events(const struct az_history *h, int64_t after,
    struct az_arena *a, bool (*fn)(void *arg, const struct az_flow_event *e), void *arg,
    struct az_err *err);

/* Every reason that a run can end for, NULL at the end. The contract has the same. */
extern AZ_API const char *const az_flow_reasons[];

/* What a reader wants to know of a run; text in the arena or the history. */
struct az_flow_view {
	const char *status; /* queued, running, awaiting_input, paused, cancelling,
			       succeeded, failed, cancelled, timed_out */
	const char *phase;  /* prepare, generate, execute, check, judge, finalize; NULL when over */
	const char *reason; /* of az_flow_reasons, or NULL */
	const char *needs;  /* the signal a person has to send: approve, reply; or NULL */
	const char *needs_step; /* with it: the function that comes after */
	bool deaf;              /* it was sent so many signals that it takes no more */
	int result;             /* 1 true, 0 false, -1 not known */
	int iteration, max_iterations;
	int percent;
	int queue_position;    /* among its user's runs that wait, 0 = not known or not waiting */
	int best_iteration;    /* whose tree is the final one, 0 = none yet */
	struct az_str message; /* a sentence about reason, or empty */
	struct az_str checks;  /* JSON array of the latest results */
	struct az_str request; /* the start input's "request" object, JSON text */
	struct az_str limits;  /* JSON object */
	struct az_str model_name, provenance;
	int64_t llm_calls, tokens_in, tokens_out, sandbox_ms;
	int64_t created_ms, started_ms, finished_ms; /* 0 = not yet */
	int64_t last_event;                          /* seq of the last public event */
	/* {"workflow_id","iteration"}, or empty */
	struct az_str forked_from;
};
AZ_API AZ_MUST_CHECK enum az_code az_flow_view(
    const struct az_history *h, struct az_arena *a, struct az_flow_view *out, struct az_err *err);

#endif
