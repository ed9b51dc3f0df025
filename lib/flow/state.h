/*
 * Where a run stands, read off its history. One walk, used by the fold, the event
 * log and the view alike, so that the three can never disagree.
 */
#ifndef AZ_FLOW_STATE_H
#define AZ_FLOW_STATE_H

#include <azlon/flow.h>

enum flow_step {
	STEP_NONE = 0,
	STEP_JOIN,  /* it applies for a place among its user's runs */
	STEP_QUEUE, /* nothing is wanted: it waits to be admitted */
	STEP_PREFLIGHT,
	STEP_GENERATE,
	STEP_RUN,
	STEP_VALIDATE,
	STEP_FINALIZE,
	STEP_CLOSE, /* nothing but the closing command is left */
};

/* One judged attempt. */
struct flow_attempt {
	int iteration;
	int n_passed;
	struct az_str sig, tree; /* of the error, of the files */
};

/* How the next attempt starts. */
struct flow_plan {
	const char *strategy; /* normal, change, fresh */
	int base;
	bool stuck;
};

struct flow_limits {
	int iterations;
	int64_t tokens, wall_ms, sandbox_ms;
};
#define FLOW_TOKENS_MAX (INT64_C(1) << 40)
#define FLOW_SECONDS_MAX (30 * 86400)

/* Whom a run waits for; it goes on with that person's signal. */
enum flow_await {
	AWAIT_NONE = 0,
	AWAIT_APPROVAL, /* of what the model wrote, before it is run */
	AWAIT_REPLY,    /* in the model's place */
};

/* Something a person said, for the model. */
struct flow_said {
	int iteration;
	const char *kind; /* the signal's name */
	struct az_str text;
};

struct flow_timer {
	int64_t id, deadline_ms; /* what it was started for */
};

struct flow_state {
	struct az_arena *a;

	/* the start */
	const struct az_event *started;
	const struct az_json *input, *request;
	bool bad_input;
	struct flow_limits lim;

	/* the place: user is what its user's runs may use up, NULL where nobody gives places */
	const struct az_json *user;
	bool admitted;
	int position;     /* in the queue, 0 = not known */
	int64_t again;    /* id of the timer after which it applies once more, 0 = none */
	int64_t began_ms; /* when it was free to begin, 0 = not yet */

	/* what is under way */
	enum flow_step step;      /* wanted next, or under way when pending */
	enum flow_step overtaken; /* wanted when a stop came, maybe already sent */
	int iteration;
	int64_t pending;    /* id of the SCHEDULED event, 0 = none */
	int64_t pending_ms; /* its time */
	bool cancel_sent;
	bool graceful;     /* a cancel lets the function under way finish, for a while */
	bool hurry;        /* that while is over, or a later stop allows none */
	int64_t grace;     /* id of the TIMER_STARTED event that ends a graceful cancel */
	bool request_sent; /* some function has carried the request */
	bool boxed;        /* one was begun that may make a sandbox */
	int64_t now_ms;    /* time of the last event */
	int64_t first_fn_ms;

	/* the clock: timers under way that stand for a deadline; see clock.c */
	struct flow_timer *timers;
	size_t n_timers, cap_timers;
	bool any_timer;
	int64_t waiting_ms; /* since when it waits for a person, 0 = it does not */
	int64_t waited_ms;  /* how long it did before */

	/* people; see signals.c */
	enum flow_await awaiting;
	bool paused;
	bool approved;           /* the plan: hitl "plan" asks once */
	bool ask_each, ask_plan; /* hitl */
	struct flow_said *said;  /* latest last */
	struct az_str *replies;  /* to the function that waits: digests of stored texts */
	struct az_str *signals;  /* ids of those that were taken */
	size_t n_said, n_replies, n_signals;
	size_t n_told;     /* signals that came, repeated ones too */
	const char *heard; /* the event just taken was this signal, or NULL */
	const struct az_json *heard_what;

	/* how it ends, decided once */
	const char *status; /* NULL = undecided */
	const char *reason;
	bool infra; /* closes with FAILED */
	struct az_str message;
	bool cancelled; /* a cancel decided it */

	/* attempts */
	struct flow_attempt *att;
	size_t n_att;
	int best, best_passed;
	int final_iteration;   /* as finalize_run said, 0 = none */
	struct flow_plan plan; /* of the attempt that is next or under way */
	int episode_start;     /* first attempt (index) since the last fresh start */
	bool fresh_once;

	/* totals */
	int64_t llm_calls, tokens_in, tokens_out, sandbox_ms;
	const struct az_json *checks; /* latest results, or NULL */
	struct az_str model, provenance;

	const struct az_event *close;
	bool given_up; /* by the engine: the close is none that the run asked for */

	/* Readers take what others made, too: a run that another service hosted, under our
	   workflow's name. From its first event that we could not have made, only its end
	   counts. */
	bool lenient, foreign;
};

/*
 * Start with flow_begin(), then hand over each event in order; *result is the parsed
 * payload of a completed function, else NULL. Fails with AZ_EINTERNAL when the
 * event cannot follow (the fold must not go on; readers are lenient) and AZ_ENOMEM.
 */
void flow_begin(struct flow_state *st, struct az_arena *a, bool lenient);
enum az_code flow_take(struct flow_state *st, const struct az_event *e,
    const struct az_json **result, struct az_err *err);
enum az_code flow_walk(struct flow_state *st, const struct az_history *h, struct az_arena *a,
    bool lenient, struct az_err *err);

/* "generate_code" <-> STEP_GENERATE; NULL and STEP_NONE for the others. */
const char *flow_fn_name(enum flow_step s);
enum flow_step flow_fn_step(struct az_str name);

bool flow_is_close(enum az_ev_type t);
/* All of the view but its texts (request, limits, checks, last_event). */
void flow_view_of(const struct flow_state *st, struct az_flow_view *v);

/* "running", "paused" …: of a run that has not ended. */
const char *flow_status(const struct flow_state *st);

/* ---- results.c ---- */
/* The function under way completed (*result: see flow_take), or failed for good. */
enum az_code flow_result(struct flow_state *st, const struct az_event *e,
    const struct az_json **result, struct az_err *err);
enum az_code flow_failure(struct flow_state *st, const struct az_event *e, struct az_err *err);
/* May the function make a sandbox? */
bool flow_uses_sandbox(enum flow_step s);
/* A new attempt, or the outcome if the limits allow none. */
void flow_next_attempt(struct flow_state *st);
/* A stop from outside; the outcome is decided by whoever comes first. */
void flow_stop(
    struct flow_state *st, const char *status, const char *reason, struct az_str message);

/* ---- place.c ---- */
/* A run that waits asks again after so long: what it asked may have failed. */
#define FLOW_AGAIN_MS 600007
#define FLOW_AGAIN_TEXT "600007"
/* It has no place yet. */
bool flow_queued(const struct flow_state *st);
/* It may begin. */
void flow_first_step(struct flow_state *st);
/* A signal of its user's workflow. */
enum az_code flow_place(struct flow_state *st, const struct az_event *e, struct az_err *err);
/* What it applies for, and what it used up of that, as members of a function's input. */
void flow_place_wants(const struct flow_state *st, struct az_jw *w);
void flow_place_leave(const struct flow_state *st, struct az_jw *w);

/* ---- clock.c ---- */
/* Nothing goes on before a person says so. */
bool flow_waiting(const struct flow_state *st);
/* After each event: keeps count of the time spent waiting. */
void flow_clock_tick(struct flow_state *st);
/* When the run must end by itself, as far as is known now. */
int64_t flow_deadline(const struct flow_state *st);
/* A timer for it has to be started. */
bool flow_clock_wanted(const struct flow_state *st);
/* *taken: the timer that was started is one of the clock's. */
enum az_code flow_clock_started(struct flow_state *st, int64_t id, bool *taken, struct az_err *err);
/* False when the clock has no such timer. *reached: the time is up. */
bool flow_clock_fired(struct flow_state *st, int64_t id, bool *reached);

/* ---- signals.c ---- */
/* So many signals are taken of those who ask first; the fold hears some more, which were on
   their way together. */
#define FLOW_SIGNALS 900
enum az_code flow_signal(struct flow_state *st, const struct az_event *e, struct az_err *err);
/* What people said, as members of the next function's input; in room bytes, the latest first. */
void flow_people_input(const struct flow_state *st, size_t room, struct az_jw *w);

/* One more command, and what was written for one: a copy in the arena, b is released; coding.c. */
enum az_code flow_add(struct az_cmds *out, const struct az_cmd *c, struct az_err *err);
enum az_code flow_payload(
    struct az_arena *a, struct az_buf *b, struct az_str *out, struct az_err *err);

/* Decide how the attempt after the last judged one starts. Needs n_att >= 1. */
void flow_plan_next(struct flow_state *st);

/* Answers az_workflow's queries; query.c. */
#define FLOW_QUERIES "status"
enum az_code flow_query(const struct az_history *h, struct az_str name, struct az_arena *a,
    struct az_buf *out, struct az_err *err);

#endif
