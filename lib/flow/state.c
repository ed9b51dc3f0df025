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

const char *const az_flow_reasons[] = {"iterations_exhausted", "budget_exhausted", "stuck",
    "llm_unavailable", "llm_not_configured", "bad_model_output", "sandbox_unavailable",
    "store_unavailable", "engine_unavailable", "user_cancelled", "bad_input", NULL};

void
flow_begin(struct flow_state *st, struct az_arena *a, bool lenient)
{
	*st = (struct flow_state){.a = a, .plan = {.strategy = "normal"}, .lenient = lenient};
}

/* The outcome is decided by whoever comes first. */
static void
decide(struct flow_state *st, const char *status, const char *reason, struct az_str message)
{
	if (st->status)
		return;
	st->status = status;
	st->reason = reason;
	st->message = message;
	if (!st->pending && st->step != STEP_CLOSE)
		st->step = STEP_FINALIZE;
}

/* A stop from outside; the command wanted until now may be on its way already. */
void
flow_stop(struct flow_state *st, const char *status, const char *reason, struct az_str message)
{
	if (st->status)
		return;
	if (!st->pending)
		st->overtaken = st->step;
	decide(st, status, reason, message);
}

/* After a function ended: finalise when the outcome is known, else go to s. */
static void
advance(struct flow_state *st, enum flow_step s)
{
	st->step = st->status ? STEP_FINALIZE : s;
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

void
flow_next_attempt(struct flow_state *st)
{
	if (st->iteration >= st->lim.iterations)
		decide(st, "failed", "iterations_exhausted",
		    AZ_S("The checks did not pass within the iterations allowed."));
	else if (st->tokens_in + st->tokens_out >= st->lim.tokens)
		decide(st, "failed", "budget_exhausted", AZ_S("The token budget is used up."));
	else if (st->sandbox_ms >= st->lim.sandbox_ms)
		decide(st, "failed", "budget_exhausted", AZ_S("The sandbox time is used up."));
	if (st->status)
		return;
	if (st->n_att > 0)
		flow_plan_next(st);
	if (st->plan.stuck) {
		decide(st, "failed", "stuck",
		    AZ_S("The same failure came back, also after a fresh start."));
		return;
	}
	st->iteration++;
	st->step = STEP_GENERATE;
}

static int64_t
count_of(const struct az_json *r, const char *key)
{
	int64_t v = az_json_geti(r, key, 0);

	return v < 0 ? 0 : v > (INT64_C(1) << 50) ? INT64_C(1) << 50 : v;
}

static void
take_totals(struct flow_state *st, const struct az_json *r)
{
	st->llm_calls += count_of(r, "calls");
	st->tokens_in += count_of(r, "tokens_in");
	st->tokens_out += count_of(r, "tokens_out");
	st->sandbox_ms += count_of(r, "sandbox_ms");
	if (az_json_type(az_json_get(r, "checks")) == AZ_JARR)
		st->checks = az_json_get(r, "checks");
}

/* Commands were stopped, or not begun, because the run had no sandbox time left. */
static void
take_cut(struct flow_state *st, const struct az_json *r)
{
	if (az_json_getb(r, "sandbox_cut", false))
		decide(st, "failed", "budget_exhausted", AZ_S("The sandbox time is used up."));
}

static void
take_preflight(struct flow_state *st, const struct az_json *r)
{
	int64_t explicit = count_of(r, "explicit");

	advance(st, STEP_GENERATE);
	if (st->status)
		return;
	if (explicit >= 1 && count_of(r, "passed") == explicit &&
	    az_json_geti(r, "unjudged", 1) == 0) {
		decide(st, "succeeded", NULL, AZ_S("The inputs pass all checks as they are."));
		return;
	}
	take_cut(st, r);
	if (!st->status)
		flow_next_attempt(st);
}

static void
take_verdict(struct flow_state *st, const struct az_json *r)
{
	int passed = (int)(count_of(r, "n_passed") & 0xffff);

	advance(st, STEP_GENERATE);
	if (st->n_att < AZ_LIM_ITERATIONS_MAX)
		st->att[st->n_att++] = (struct flow_attempt){
		    .iteration = st->iteration,
		    .n_passed = passed,
		    .sig = az_json_gets(r, "error_sig"),
		    .tree = az_json_gets(r, "tree"),
		};
	if (!st->best || passed >= st->best_passed || az_json_getb(r, "passed", false)) {
		st->best = st->iteration;
		st->best_passed = passed;
	}
	if (az_json_getb(r, "passed", false))
		decide(st, "succeeded", NULL, (struct az_str){0});
	take_cut(st, r);
	if (!st->status)
		flow_next_attempt(st);
}

/* A function that has no model but a person, and no answer of that person yet: it is
   begun again when there is one. */
static bool
take_wait(struct flow_state *st, const struct az_json *r)
{
	bool asks = st->step == STEP_GENERATE || st->step == STEP_VALIDATE;

	if (!asks || !az_str_eqc(az_json_gets(r, "awaiting"), "reply")) {
		st->n_replies = 0;
		return false;
	}
	advance(st, st->step);
	if (!st->status)
		st->awaiting = AWAIT_REPLY;
	return true;
}

static enum az_code
take_result(struct flow_state *st, const struct az_event *e, const struct az_json **result,
    struct az_err *err)
{
	enum flow_step done = st->step;
	enum az_code rc = az_json_parse_in(st->a, e->payload, &az_json_own_limits, result, err);

	if (rc == AZ_ENOMEM)
		return rc;
	if (rc)
		return az_fail(
		    err, AZ_EINTERNAL, OP, "event %lld: result is no JSON", (long long)e->id);
	st->pending = 0;
	st->cancel_sent = false;
	take_totals(st, *result);
	if (take_wait(st, *result))
		return AZ_OK;
	switch (done) {
	case STEP_JOIN:
		advance(st, STEP_QUEUE);
		if (!st->status && st->admitted)
			flow_first_step(st);
		break;
	case STEP_PREFLIGHT:
		take_preflight(st, *result);
		break;
	case STEP_GENERATE:
		st->model = az_json_gets(*result, "model");
		st->provenance = az_json_gets(*result, "provenance");
		advance(st, STEP_RUN);
		if (!st->status && (st->ask_each || (st->ask_plan && !st->approved)))
			st->awaiting = AWAIT_APPROVAL;
		break;
	case STEP_RUN:
		advance(st, STEP_VALIDATE);
		break;
	case STEP_VALIDATE:
		take_verdict(st, *result);
		break;
	case STEP_FINALIZE:
		st->final_iteration = (int)(count_of(*result, "iteration") & 0xffff);
		st->step = STEP_CLOSE;
		break;
	case STEP_NONE:
	case STEP_QUEUE:
	case STEP_CLOSE:
		break;
	}
	return AZ_OK;
}

/* The run's reason for a function that failed for good. */
static const char *
reason_of(struct az_str r, enum flow_step step)
{
	/* these are the engine's own: its workers died, its payload was too large */
	static const char *const engine[] = {"poison", "payload_too_large"};
	static const char *const known[] = {"llm_unavailable", "llm_not_configured",
	    "bad_model_output", "sandbox_unavailable", "store_unavailable", "engine_unavailable",
	    "budget_exhausted", "bad_input"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (az_str_eqc(r, known[i]))
			return known[i];
	for (size_t i = 0; i < sizeof(engine) / sizeof(engine[0]); i++)
		if (az_str_eqc(r, engine[i]))
			return "engine_unavailable";
	if (az_str_eqc(r, "no_recording"))
		return "llm_not_configured";
	if (az_str_eqc(r, "sandbox_gone"))
		return "sandbox_unavailable";
	if (step == STEP_JOIN)
		return "engine_unavailable";
	if (step == STEP_GENERATE)
		return "llm_unavailable";
	return step == STEP_FINALIZE ? "store_unavailable" : "sandbox_unavailable";
}

static void
take_failure(struct flow_state *st, const struct az_event *e)
{
	enum flow_step failed = st->step;

	st->pending = 0;
	st->cancel_sent = false;
	if (failed == STEP_FINALIZE) {
		/* The outcome stands; the final tree may be missing. */
		st->step = STEP_CLOSE;
		if (st->message.n == 0)
			st->message = e->message;
		return;
	}
	if (st->status) {
		st->step = STEP_FINALIZE;
	} else if (e->type == AZ_EV_FN_CANCELED) {
		decide(st, "cancelled", "user_cancelled", (struct az_str){0});
		st->cancelled = true;
	} else if (az_str_eqc(e->reason, "timeout")) {
		decide(st, "timed_out", "budget_exhausted",
		    e->message.n ? e->message : AZ_S("The time allowed is used up."));
	} else {
		st->infra = true;
		decide(st, "failed", reason_of(e->reason, failed), e->message);
	}
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
	if (s == STEP_JOIN)
		return AZ_OK;
	st->request_sent = true;
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
		return take_result(st, e, result, err);
	if (e->type == AZ_EV_FN_CANCEL_REQUESTED) {
		if (!st->status || st->step == STEP_FINALIZE)
			return refuse(err, e, "no cancel was wanted");
		st->cancel_sent = true;
	} else {
		take_failure(st, e);
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
