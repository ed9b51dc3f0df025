/*
 * What the end of a function means: the next step, or how the run ends.
 */
#include "state.h"

#include <azlon/limits.h>

#define OP "flow.walk"

const char *const az_flow_reasons[] = {"iterations_exhausted", "budget_exhausted", "stuck",
    "llm_unavailable", "llm_not_configured", "bad_model_output", "sandbox_unavailable",
    "store_unavailable", "engine_unavailable", "user_cancelled", "bad_input", NULL};

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

enum az_code
flow_result(struct flow_state *st, const struct az_event *e, const struct az_json **result,
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

bool
flow_uses_sandbox(enum flow_step s)
{
	return s == STEP_PREFLIGHT || s == STEP_RUN || s == STEP_VALIDATE;
}

/* Who is stopped has used something all the same: what it says, else all the time that it took,
   within what was left to it. A failure of ours is not the user's to pay for. */
static enum az_code
take_spent(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	int64_t ms = st->now_ms - st->pending_ms, left = st->lim.sandbox_ms - st->sandbox_ms;
	const struct az_json *said = NULL;

	if (e->payload.n > 0 &&
	    az_json_parse_in(st->a, e->payload, &az_json_own_limits, &said, NULL) == AZ_ENOMEM)
		return az_fail(err, AZ_ENOMEM, OP, "no memory for what was used");
	if (az_json_type(said) == AZ_JOBJ) {
		take_totals(st, said);
		return AZ_OK;
	}
	/* attempt 0: nobody had begun it */
	if (!flow_uses_sandbox(st->step) || e->attempt < 1 ||
	    (e->type == AZ_EV_FN_FAILED && !az_str_eqc(e->reason, "timeout")))
		return AZ_OK;
	if (ms > left)
		ms = left;
	if (ms > 0)
		st->sandbox_ms += ms;
	return AZ_OK;
}

enum az_code
flow_failure(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	enum flow_step failed = st->step;
	enum az_code rc = take_spent(st, e, err);

	if (rc != AZ_OK)
		return rc;
	st->pending = 0;
	st->cancel_sent = false;
	if (failed == STEP_FINALIZE) {
		/* The outcome stands; the final tree may be missing. */
		st->step = STEP_CLOSE;
		if (st->message.n == 0)
			st->message = e->message;
		return AZ_OK;
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
	return AZ_OK;
}
