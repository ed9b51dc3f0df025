/*
 * What happened to a run, and what it wants next: the contract between the folds
 * (lib/flow) and the engines (lib/engine). Plain data, no engine's vocabulary
 * beyond Temporal's own terms, borrowed memory throughout.
 */
#ifndef AZLON_HISTORY_H
#define AZLON_HISTORY_H

#include <azlon/arena.h>

enum az_ev_type {
	AZ_EV_STARTED = 1,         /* payload: start input */
	AZ_EV_FN_SCHEDULED,        /* name, payload: input */
	AZ_EV_FN_COMPLETED,        /* ref, payload: result */
	AZ_EV_FN_FAILED,           /* ref, reason, message, payload: details or empty; retries
				      are used up or it was not retryable; reason "timeout"
				      for the engine's own */
	AZ_EV_FN_CANCELED,         /* ref, payload: details or empty */
	AZ_EV_TIMER_STARTED,       /* payload: milliseconds in decimal */
	AZ_EV_TIMER_FIRED,         /* ref */
	AZ_EV_SIGNALED,            /* name, payload */
	AZ_EV_CANCEL_REQUESTED,    /* payload: {"mode":"graceful"|"now"} */
	AZ_EV_FN_CANCEL_REQUESTED, /* ref: the run asked for it */
	AZ_EV_COMPLETED,           /* payload: result; the run is over after one of these */
	AZ_EV_FAILED,              /* reason, message, payload */
	AZ_EV_CANCELED,            /* payload */
	AZ_EV_TIMED_OUT,
	AZ_EV_TERMINATED, /* reason */
	AZ_EV_TYPES
};

struct az_event {
	enum az_ev_type type;
	int64_t id;   /* 1, 2, … without gaps in the local engine; strictly rising */
	int64_t ref;  /* id of the SCHEDULED or TIMER_STARTED event, else 0 */
	int64_t t_ms; /* wall time it was recorded */
	int attempt;  /* COMPLETED, FAILED: attempts used, from 1 */
	struct az_str name, payload, reason, message;
};

struct az_history {
	const struct az_event *ev;
	size_t n;
};

/* Is the type one after which nothing follows? */
AZ_API bool az_ev_is_close(enum az_ev_type t);
/* "fn_completed": stable text used in the journal and in recorded histories. */
AZ_API const char *az_ev_name(enum az_ev_type t);
AZ_API enum az_ev_type az_ev_by_name(struct az_str name); /* 0 if unknown */

/* Retry policy and timeouts of one function, ms; the meaning is Temporal's. */
struct az_fn_opts {
	int64_t start_to_close_ms;    /* one attempt; required */
	int64_t schedule_to_close_ms; /* all attempts; 0 = none */
	int64_t heartbeat_ms;         /* 0 = none */
	int64_t retry_initial_ms;     /* 0 = 1 000 */
	int64_t retry_max_ms;         /* 0 = 100 x initial */
	double retry_coefficient;     /* 0 = 2 */
	int retry_attempts;           /* 0 = no limit */
};

enum az_cmd_type {
	AZ_CMD_SCHEDULE_FN = 1, /* name, payload, opts */
	AZ_CMD_CANCEL_FN,       /* ref: its SCHEDULED event */
	AZ_CMD_START_TIMER,     /* delay_ms */
	AZ_CMD_COMPLETE,        /* payload */
	AZ_CMD_FAIL,            /* reason, message, payload */
	AZ_CMD_CANCELED,        /* payload */
	AZ_CMD_CONTINUE,        /* payload: the input with which the history begins anew.
				   Functions and timers under way are dropped, signals that
				   the fold has not seen are not: then it is asked again. */
};

struct az_cmd {
	enum az_cmd_type type;
	struct az_str name, payload, reason, message;
	struct az_fn_opts opts;
	int64_t ref, delay_ms;
};

#define AZ_CMDS_MAX 8
struct az_cmds {
	struct az_cmd v[AZ_CMDS_MAX];
	size_t n;
};

/*
 * A workflow: history in, the commands that are not in it yet out. Pure: no clock,
 * disk, network, random number. Called again with a longer history it repeats
 * none. Memory of commands comes from a. Fails with AZ_EINTERNAL when the history is
 * one it could not have made (non-determinism).
 */
struct az_workflow {
	const char *name; /* "AutonomousCodingWorkflow" */
	enum az_code (*fold)(const struct az_history *h, struct az_arena *a, struct az_cmds *out,
	    struct az_err *err);
	/* Answer a query with JSON; AZ_ENOTFOUND when there is no such query. May be NULL. */
	enum az_code (*query)(const struct az_history *h, struct az_str name, struct az_arena *a,
	    struct az_buf *out, struct az_err *err);
	const char *queries; /* their names, for the error: "events, status" */
	/* For engines that show what a worker offers; JSON Schema. May be NULL. */
	const char *description, *input_schema, *output_schema;
};

#endif
