/*
 * The walk over a history. Events of the engine's side (a command became a fact) are
 * compared with what the run wanted at that point; any other is the sign of a history
 * this code could not have made.
 */
#include "state.h"

#include <azlon/limits.h>

#define OP "flow.walk"

static const struct {
	enum flow_step step;
	const char *name;
} fns[] = {
    {STEP_JOIN, AZ_FN_JOIN},
    {STEP_PREFLIGHT, AZ_FN_PREFLIGHT},
    {STEP_GENERATE, AZ_FN_GENERATE},
    {STEP_RUN, AZ_FN_RUN},
    {STEP_VALIDATE, AZ_FN_VALIDATE},
    {STEP_FINALIZE, AZ_FN_FINALIZE},
};
#define N_FNS (sizeof(fns) / sizeof(fns[0]))

const char *
flow_fn_name(enum flow_step s)
{
	for (size_t i = 0; i < N_FNS; i++)
		if (fns[i].step == s)
			return fns[i].name;
	return NULL;
}

enum flow_step
flow_fn_step(struct az_str name)
{
	for (size_t i = 0; i < N_FNS; i++)
		if (az_str_eqc(name, fns[i].name))
			return fns[i].step;
	return STEP_NONE;
}

void
flow_begin(struct flow_state *st, struct az_arena *a, bool lenient)
{
	*st = (struct flow_state){.a = a, .plan = {.strategy = "normal"}, .lenient = lenient};
}

static int64_t
limit_of(const struct az_json *limits, const char *key, int64_t min, int64_t max, int64_t dflt)
{
	int64_t v = az_json_geti(limits, key, dflt);

	return v < min ? min : v > max ? max : v;
}

/* A text, or what stands for one that its sender marked as sensitive: the engine opens it
   for the functions alone. */
static bool
is_prompt(const struct az_json *j)
{
	return az_json_is_str(j) || az_json_get(j, "__restack_encrypted__") ||
	       az_json_get(j, "__restack_sensitive__");
}

static enum az_code
take_start(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	const struct az_json *limits;
	enum az_code rc;

	st->started = e;
	st->iteration = 0;
	rc = az_json_parse_in(st->a, e->payload, &az_json_own_limits, &st->input, err);
	if (rc == AZ_ENOMEM)
		return rc;
	/* A start made by another client is the request itself. */
	st->request = az_json_get(st->input, "request");
	if (az_json_type(st->request) != AZ_JOBJ)
		st->request = st->input;
	else if (az_json_type(az_json_get(st->input, "user")) == AZ_JOBJ)
		st->user = az_json_get(st->input, "user");
	if (!is_prompt(az_json_get(st->request, "user_prompt")))
		st->bad_input = true;
	st->ask_each = az_str_eqc(az_json_gets(st->request, "hitl"), "each");
	st->ask_plan = az_str_eqc(az_json_gets(st->request, "hitl"), "plan");
	limits = az_json_get(st->request, "limits");
	st->lim.iterations =
	    (int)limit_of(limits, "iterations", 1, AZ_LIM_ITERATIONS_MAX, AZ_LIM_ITERATIONS);
	st->lim.tokens = limit_of(limits, "tokens", 1, FLOW_TOKENS_MAX, 400000);
	st->lim.wall_ms = 1000 * limit_of(limits, "wall_s", 1, FLOW_SECONDS_MAX, 3600);
	st->lim.sandbox_ms = 1000 * limit_of(limits, "sandbox_s", 1, FLOW_SECONDS_MAX, 1800);
	/* the limit may be raised on the way */
	st->att = az_arena_alloc(st->a, sizeof(*st->att) * AZ_LIM_ITERATIONS_MAX);
	if (!st->att)
		return az_fail(err, AZ_ENOMEM, OP, "no memory for the attempts");
	if (rc != AZ_OK || st->bad_input) {
		st->bad_input = true;
		st->step = STEP_CLOSE;
		st->status = "failed";
		st->reason = "bad_input";
		st->infra = true;
		st->message = AZ_S("The start input is no request.");
	} else if (st->user) {
		st->step = STEP_JOIN;
	} else {
		flow_first_step(st);
	}
	return AZ_OK;
}

static enum az_code
refuse(struct az_err *err, const struct az_event *e, const char *why)
{
	return az_fail(
	    err, AZ_EINTERNAL, OP, "event %lld (type %d): %s", (long long)e->id, (int)e->type, why);
}

static enum az_code
take_scheduled(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	enum flow_step s = flow_fn_step(e->name);

	if (st->pending)
		return refuse(err, e, "another function is under way");
	if (s == STEP_NONE || (s != st->step && s != st->overtaken))
		return refuse(err, e, "not the function that was wanted");
	st->step = s;
	st->overtaken = STEP_NONE;
	st->pending = e->id;
	st->pending_ms = st->now_ms;
	if (s == STEP_JOIN)
		return AZ_OK;
	st->request_sent = true;
	st->boxed = st->boxed || flow_uses_sandbox(s);
	if (!st->first_fn_ms)
		st->first_fn_ms = e->t_ms;
	return AZ_OK;
}

/* A cancel. The first decides how the run ends; a later one may still hurry it. One
   that says nothing, as other clients of an engine send, is to be obeyed at once. */
static enum az_code
take_cancel(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	const struct az_json *j = NULL;
	bool graceful;

	if (e->payload.n > 0 &&
	    az_json_parse_in(st->a, e->payload, &az_json_own_limits, &j, err) == AZ_ENOMEM)
		return AZ_ENOMEM;
	graceful = az_str_eqc(az_json_gets(j, "mode"), "graceful");
	if (!st->status) {
		flow_stop(st, "cancelled", "user_cancelled", (struct az_str){0});
		st->cancelled = true;
		st->graceful = graceful;
	} else if (!graceful) {
		st->hurry = true;
	}
	return AZ_OK;
}

/* Timers have no names: one of a certain length is that of a run that waits for a place, others are
   the clock's while that wants one, else a graceful cancel's. */
static enum az_code
take_timer(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	bool taken;
	enum az_code rc;

	if (az_str_eqc(e->payload, FLOW_AGAIN_TEXT)) {
		st->again = e->id;
		return AZ_OK;
	}
	rc = flow_clock_started(st, e->id, &taken, err);
	if (rc != AZ_OK || taken)
		return rc;
	if (!st->graceful || st->grace)
		return refuse(err, e, "not a timer that was wanted");
	st->grace = e->id;
	return AZ_OK;
}

static enum az_code
take_fired(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	bool reached = true, people = flow_waiting(st);

	if (e->ref && e->ref == st->again) {
		st->again = 0;
		if (st->step == STEP_QUEUE && !st->status)
			st->step = STEP_JOIN;
		return AZ_OK;
	}
	if (e->ref == 0 || (!flow_clock_fired(st, e->ref, &reached) && e->ref != st->grace))
		return refuse(err, e, "refers to nothing under way");
	if (!reached)
		return AZ_OK;
	st->hurry = true;
	flow_stop(st, "timed_out", "budget_exhausted",
	    people ? AZ_S("Nobody answered within seven days.")
		   : AZ_S("The time allowed is used up."));
	return AZ_OK;
}

static enum az_code
take_close(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	bool over = st->step == STEP_CLOSE && !st->pending;

	/* an engine that gives a run up says so without a result of ours */
	st->given_up = e->type == AZ_EV_FAILED && e->payload.n == 0 && !(over && st->infra);
	if (!over && !st->given_up && e->type != AZ_EV_TIMED_OUT && e->type != AZ_EV_TERMINATED)
		return refuse(err, e, "the run was not over");
	st->close = e;
	return AZ_OK;
}

/* Engine's facts about functions. */
static enum az_code
take_fact(struct flow_state *st, const struct az_event *e, const struct az_json **result,
    struct az_err *err)
{
	if (e->ref == 0 || e->ref != st->pending)
		return refuse(err, e, "refers to nothing under way");
	if (e->type == AZ_EV_FN_COMPLETED)
		return flow_result(st, e, result, err);
	if (e->type == AZ_EV_FN_CANCEL_REQUESTED) {
		if (!st->status || st->step == STEP_FINALIZE)
			return refuse(err, e, "no cancel was wanted");
		st->cancel_sent = true;
	} else {
		return flow_failure(st, e, err);
	}
	return AZ_OK;
}

static enum az_code
take(struct flow_state *st, const struct az_event *e, const struct az_json **result,
    struct az_err *err)
{
	if (st->close)
		return refuse(err, e, "the run is over");
	if ((e->type == AZ_EV_STARTED) != (st->started == NULL))
		return refuse(err, e, "a run starts once, and first");
	if (st->started && e->t_ms > st->now_ms)
		st->now_ms = e->t_ms;
	switch (e->type) {
	case AZ_EV_STARTED:
		st->now_ms = e->t_ms;
		return take_start(st, e, err);
	case AZ_EV_FN_SCHEDULED:
		return take_scheduled(st, e, err);
	case AZ_EV_TIMER_STARTED:
		return take_timer(st, e, err);
	case AZ_EV_FN_COMPLETED:
	case AZ_EV_FN_FAILED:
	case AZ_EV_FN_CANCELED:
	case AZ_EV_FN_CANCEL_REQUESTED:
		return take_fact(st, e, result, err);
	case AZ_EV_TIMER_FIRED:
		return take_fired(st, e, err);
	case AZ_EV_CANCEL_REQUESTED:
		return take_cancel(st, e, err);
	case AZ_EV_SIGNALED:
		return az_str_starts(e->name, AZ_S("azlon.")) ? flow_place(st, e, err)
							      : flow_signal(st, e, err);
	case AZ_EV_COMPLETED:
	case AZ_EV_FAILED:
	case AZ_EV_CANCELED:
	case AZ_EV_TIMED_OUT:
	case AZ_EV_TERMINATED:
		return take_close(st, e, err);
	case AZ_EV_TYPES:
		return refuse(err, e, "no such type");
	}
	return AZ_OK;
}

/* How a run of somebody else ended: in our words if it used them. */
static enum az_code
take_foreign_close(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	static const char *const known[] = {"succeeded", "failed", "cancelled", "timed_out"};
	const struct az_json *j = NULL;
	struct az_str said;

	st->close = e;
	st->status = e->type == AZ_EV_CANCELED ? "cancelled" : "failed";
	st->message = e->message;
	if (az_json_parse_in(st->a, e->payload, &az_json_own_limits, &j, NULL) == AZ_ENOMEM)
		return az_fail(err, AZ_ENOMEM, OP, "no memory for the end");
	/* the original's result was a bare true or false */
	if (e->type == AZ_EV_COMPLETED &&
	    (az_json_bool(j, false) || az_json_getb(j, "result", false)))
		st->status = "succeeded";
	said = az_json_gets(j, "status");
	for (size_t i = 0; e->type == AZ_EV_COMPLETED && i < sizeof known / sizeof *known; i++)
		if (az_str_eqc(said, known[i]))
			st->status = known[i];
	return AZ_OK;
}

enum az_code
flow_take(struct flow_state *st, const struct az_event *e, const struct az_json **result,
    struct az_err *err)
{
	enum az_code rc = AZ_OK;

	*result = NULL;
	st->heard = NULL;
	if (!st->foreign)
		rc = take(st, e, result, err);
	if (rc == AZ_OK)
		flow_clock_tick(st);
	if (rc == AZ_EINTERNAL && st->lenient && st->started) {
		st->foreign = true;
		rc = AZ_OK;
	}
	return st->foreign && flow_is_close(e->type) ? take_foreign_close(st, e, err) : rc;
}

enum az_code
flow_walk(struct flow_state *st, const struct az_history *h, struct az_arena *a, bool lenient,
    struct az_err *err)
{
	const struct az_json *r;

	flow_begin(st, a, lenient);
	for (size_t i = 0; i < h->n; i++) {
		enum az_code rc = flow_take(st, &h->ev[i], &r, err);

		if (rc != AZ_OK)
			return rc;
	}
	return AZ_OK;
}
