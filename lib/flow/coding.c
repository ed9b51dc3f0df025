/*
 * AutonomousCodingWorkflow: what the run wants that its history does not have yet.
 */
#include "state.h"

#include <azlon/limits.h>

#define OP "flow.coding"

enum {
	/* the finalisation has a time of its own: it comes after the wall timer too */
	FINALIZE_TOTAL_MS = 3600 * 1000,
	/* what a graceful cancel gives the function under way */
	GRACE_MS = 30 * 1000,
	/* so long after the run's time is up a function may end, as cancelled: it says what it used
	 */
	STOP_MS = 30 * 1000,
	RETRY_INITIAL_MS = 500,
	RETRY_MAX_MS = 10 * 1000,
	/* of an input, beside the request and what people said */
	OTHERS_BYTES = 8 * 1024,
};

static int64_t
attempt_ms(enum flow_step s)
{
	switch (s) {
	case STEP_JOIN:
		return 60 * 1000;
	case STEP_GENERATE:
		return 1000 * 1000;
	case STEP_PREFLIGHT:
	case STEP_RUN:
		return 3600 * 1000;
	case STEP_VALIDATE:
		return 1800 * 1000;
	case STEP_FINALIZE:
	case STEP_QUEUE:
	case STEP_NONE:
	case STEP_CLOSE:
		break;
	}
	return 600 * 1000;
}

enum az_code
flow_add(struct az_cmds *out, const struct az_cmd *c, struct az_err *err)
{
	if (out->n == AZ_CMDS_MAX)
		return az_fail(err, AZ_EINTERNAL, OP, "more than %d commands", AZ_CMDS_MAX);
	out->v[out->n++] = *c;
	return AZ_OK;
}

enum az_code
flow_payload(struct az_arena *a, struct az_buf *b, struct az_str *out, struct az_err *err)
{
	enum az_code rc = az_buf_check(b, OP, err);

	if (rc == AZ_OK) {
		*out = az_arena_str(a, az_buf_str(b));
		if (!out->p)
			rc = az_fail(err, AZ_ENOMEM, OP, "no memory for a payload");
	}
	az_buf_release(b);
	return rc;
}

static int64_t
left_s(int64_t limit_ms, int64_t used_ms)
{
	return used_ms >= limit_ms ? 0 : (limit_ms - used_ms + 999) / 1000;
}

static int64_t
tokens_left(const struct flow_state *st)
{
	int64_t left = st->lim.tokens - st->tokens_in - st->tokens_out;

	return left < 1 ? 1 : left;
}

/* Input of the function that is wanted: see README.md. */
static enum az_code
fn_input(const struct flow_state *st, struct az_str *out, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_MIB(1));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_ki(&w, "iteration", st->iteration);
	switch (st->step) {
	case STEP_JOIN:
		flow_place_wants(st, &w);
		break;
	case STEP_GENERATE:
		az_jw_ki(&w, "previous", st->n_att ? st->att[st->n_att - 1].iteration : 0);
		az_jw_ki(&w, "base", st->plan.base);
		az_jw_ki(&w, "best", st->best);
		az_jw_kc(&w, "strategy", st->plan.strategy);
		az_jw_ki(&w, "tokens_left", tokens_left(st));
		break;
	case STEP_PREFLIGHT:
	case STEP_RUN:
		az_jw_ki(&w, "sandbox_s_left", left_s(st->lim.sandbox_ms, st->sandbox_ms));
		break;
	case STEP_VALIDATE:
		az_jw_ki(&w, "best", st->best);
		az_jw_kb(&w, "last", st->iteration >= st->lim.iterations);
		az_jw_ki(&w, "tokens_left", tokens_left(st));
		az_jw_ki(&w, "sandbox_s_left", left_s(st->lim.sandbox_ms, st->sandbox_ms));
		break;
	case STEP_FINALIZE:
		az_jw_ki(&w, "best", st->best);
		az_jw_kc(&w, "status", st->status);
		az_jw_kc(&w, "reason", st->reason);
		az_jw_kb(&w, "sandbox", st->boxed);
		if (st->user)
			flow_place_leave(st, &w);
		break;
	case STEP_QUEUE:
	case STEP_NONE:
	case STEP_CLOSE:
		break;
	}
	if (!st->request_sent && st->step != STEP_JOIN) {
		az_jw_key(&w, "request");
		az_jw_value(&w, st->request);
	}
	flow_people_input(st,
	    b.n + OTHERS_BYTES < AZ_LIM_PAYLOAD_BYTES ? AZ_LIM_PAYLOAD_BYTES - OTHERS_BYTES - b.n
						      : 0,
	    &w);
	az_jw_end(&w, '}');
	return flow_payload(st->a, &b, out, err);
}

static enum az_code
want_function(const struct flow_state *st, struct az_cmds *out, struct az_err *err)
{
	int64_t left = flow_deadline(st) - st->now_ms + STOP_MS;
	struct az_cmd c = {.type = AZ_CMD_SCHEDULE_FN};
	enum az_code rc;

	c.name = az_str_c(flow_fn_name(st->step));
	if (left < 1000)
		left = 1000;
	c.opts = (struct az_fn_opts){
	    .start_to_close_ms = attempt_ms(st->step),
	    .schedule_to_close_ms = st->step == STEP_FINALIZE ? FINALIZE_TOTAL_MS : left,
	    .heartbeat_ms = AZ_HEARTBEAT_TIMEOUT_MS,
	    .retry_initial_ms = RETRY_INITIAL_MS,
	    .retry_max_ms = RETRY_MAX_MS,
	    .retry_coefficient = 2,
	};
	rc = fn_input(st, &c.payload, err);
	return rc == AZ_OK ? flow_add(out, &c, err) : rc;
}

static enum az_code
want_close(const struct flow_state *st, struct az_cmds *out, struct az_err *err)
{
	struct az_cmd c = {.type = AZ_CMD_COMPLETE};
	bool won = st->status && strcmp(st->status, "succeeded") == 0;
	enum az_code rc;
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_KIB(16));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_kc(&w, "status", st->status);
	az_jw_kb(&w, "result", won);
	az_jw_kc(&w, "reason", st->reason);
	az_jw_ks(&w, "message", az_str_sub(st->message, 0, 1000));
	az_jw_ki(&w, "best_iteration", st->final_iteration ? st->final_iteration : st->best);
	az_jw_ki(&w, "iterations", (int64_t)st->n_att);
	az_jw_end(&w, '}');
	rc = flow_payload(st->a, &b, &c.payload, err);
	if (rc != AZ_OK)
		return rc;
	if (st->cancelled) {
		c.type = AZ_CMD_CANCELED;
	} else if (st->infra) {
		c.type = AZ_CMD_FAIL;
		c.reason = az_str_c(st->reason);
		c.message = az_str_sub(st->message, 0, 1000);
	}
	return flow_add(out, &c, err);
}

/* The outcome is decided while a function is under way: end it, now or in a while. */
static enum az_code
want_stop(const struct flow_state *st, struct az_cmds *out, struct az_err *err)
{
	struct az_cmd c = {.type = AZ_CMD_CANCEL_FN, .ref = st->pending};

	if (st->step == STEP_FINALIZE || st->cancel_sent)
		return AZ_OK;
	if (st->graceful && !st->hurry) {
		if (st->grace)
			return AZ_OK;
		c = (struct az_cmd){.type = AZ_CMD_START_TIMER, .delay_ms = GRACE_MS};
	}
	return flow_add(out, &c, err);
}

static enum az_code
fold(const struct az_history *h, struct az_arena *a, struct az_cmds *out, struct az_err *err)
{
	struct flow_state st;
	enum az_code rc;

	out->n = 0;
	rc = flow_walk(&st, h, a, false, err);
	if (rc != AZ_OK || !st.started || st.close)
		return rc;
	if (st.step == STEP_CLOSE)
		return want_close(&st, out, err);
	if (flow_clock_wanted(&st)) {
		struct az_cmd c = {
		    .type = AZ_CMD_START_TIMER, .delay_ms = flow_deadline(&st) - st.now_ms};

		rc = flow_add(out, &c, err);
		if (rc != AZ_OK)
			return rc;
	}
	if (st.step == STEP_QUEUE && st.again)
		return AZ_OK;
	if (st.step == STEP_QUEUE)
		return flow_add(out,
		    &(struct az_cmd){.type = AZ_CMD_START_TIMER, .delay_ms = FLOW_AGAIN_MS}, err);
	if (!st.pending)
		return flow_waiting(&st) ? AZ_OK : want_function(&st, out, err);
	return st.status ? want_stop(&st, out, err) : AZ_OK;
}

/* The least that a start by another client needs; what else there is stands in API.md. */
static const char input_schema[] =
    "{\"type\":\"object\",\"title\":\"AutonomousCodingInput\",\"required\":[\"user_prompt\"],"
    "\"properties\":{\"user_prompt\":{\"type\":\"string\",\"title\":\"User Prompt\"},"
    "\"test_conditions\":{\"type\":\"string\",\"title\":\"Test Conditions\"},"
    "\"model\":{\"type\":\"string\",\"title\":\"Model\"}}}";
static const char output_schema[] =
    "{\"type\":\"object\",\"title\":\"AutonomousCodingResult\",\"properties\":{"
    "\"status\":{\"type\":\"string\"},\"result\":{\"type\":\"boolean\"},"
    "\"reason\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"},"
    "\"best_iteration\":{\"type\":\"integer\"},\"iterations\":{\"type\":\"integer\"}}}";

const struct az_workflow az_flow_coding = {
    .name = "AutonomousCodingWorkflow",
    .fold = fold,
    .query = flow_query,
    .queries = FLOW_QUERIES,
    .description = "Writes code for a prompt, runs it, and repeats until the checks pass.",
    .input_schema = input_schema,
    .output_schema = output_schema,
};
