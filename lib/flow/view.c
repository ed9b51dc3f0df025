/*
 * What a reader wants to know of a run.
 */
#include "state.h"

#define OP "flow.view"

bool
flow_is_close(enum az_ev_type t)
{
	return t == AZ_EV_COMPLETED || t == AZ_EV_FAILED || t == AZ_EV_CANCELED ||
	       t == AZ_EV_TIMED_OUT || t == AZ_EV_TERMINATED;
}

static const char *
phase_of(const struct flow_state *st)
{
	switch (st->step) {
	case STEP_GENERATE:
		return "generate";
	case STEP_RUN:
		return "execute";
	case STEP_VALIDATE:
		return "check";
	case STEP_FINALIZE:
	case STEP_CLOSE:
		return "finalize";
	case STEP_NONE:
	case STEP_JOIN:
	case STEP_QUEUE:
	case STEP_PREFLIGHT:
		break;
	}
	return "prepare";
}

/* Never falls: iterations and phases only go forward. */
static int
percent_of(const struct flow_state *st)
{
	int in_phase = 0; /* hundredths of one iteration */

	if (st->close)
		return 100;
	if (st->step == STEP_FINALIZE || st->step == STEP_CLOSE)
		return 98;
	if (st->iteration < 1)
		return st->pending && !flow_queued(st) ? 1 : 0;
	if (st->step == STEP_RUN)
		in_phase = 35;
	else if (st->step == STEP_VALIDATE)
		in_phase = 70;
	return 2 + 96 * (100 * (st->iteration - 1) + in_phase) / (100 * st->lim.iterations);
}

/* A close that the engine made by itself has no outcome of ours. */
static void
outcome_of(const struct flow_state *st, struct az_flow_view *v)
{
	enum az_ev_type t = st->close->type;

	v->reason = st->reason;
	v->message = st->message;
	if (t == AZ_EV_TERMINATED) {
		v->status = "cancelled";
		v->reason = "user_cancelled";
	} else if (t == AZ_EV_TIMED_OUT) {
		v->status = "timed_out";
		v->reason = "budget_exhausted";
	} else if (st->given_up) {
		v->status = "failed";
		v->reason = "engine_unavailable";
		v->message = st->close->message;
	} else {
		v->status = st->status ? st->status : "failed";
	}
	v->result = strcmp(v->status, "succeeded") == 0;
}

const char *
flow_status(const struct flow_state *st)
{
	if (st->cancelled)
		return "cancelling";
	if (!st->status && st->paused)
		return "paused";
	if (!st->status && st->awaiting != AWAIT_NONE)
		return "awaiting_input";
	return st->first_fn_ms ? "running" : "queued";
}

void
flow_view_of(const struct flow_state *st, struct az_flow_view *v)
{
	*v = (struct az_flow_view){.result = -1};
	if (st->close) {
		outcome_of(st, v);
		v->finished_ms = st->close->t_ms;
	} else {
		v->status = flow_status(st);
		v->phase = phase_of(st);
		if (!st->status && st->awaiting != AWAIT_NONE) {
			v->needs = st->awaiting == AWAIT_REPLY ? "reply" : "approve";
			v->needs_step = flow_fn_name(st->step);
		}
		v->queue_position = flow_queued(st) ? st->position : 0;
	}
	v->deaf = st->n_told >= FLOW_SIGNALS;
	v->iteration = st->iteration;
	v->max_iterations = st->lim.iterations;
	v->percent = percent_of(st);
	v->best_iteration = st->final_iteration ? st->final_iteration : st->best;
	v->model_name = st->model.n ? st->model : az_json_gets(st->request, "model");
	v->provenance = st->provenance;
	v->llm_calls = st->llm_calls;
	v->tokens_in = st->tokens_in;
	v->tokens_out = st->tokens_out;
	v->sandbox_ms = st->sandbox_ms;
	v->created_ms = st->started ? st->started->t_ms : 0;
	v->started_ms = st->first_fn_ms;
}

/* j as JSON text in the arena, "null" when absent. */
static enum az_code
text_of(struct az_arena *a, const struct az_json *j, struct az_str *out, struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_MIB(1));
	az_jw_init(&w, &b);
	az_jw_value(&w, j);
	rc = az_buf_check(&b, OP, err);
	if (rc == AZ_OK) {
		*out = az_arena_str(a, az_buf_str(&b));
		if (!out->p)
			rc = az_fail(err, AZ_ENOMEM, OP, "no memory for the view");
	}
	az_buf_release(&b);
	return rc;
}

static enum az_code
limits_of(const struct flow_state *st, struct az_str *out, struct az_err *err)
{
	out->p = az_arena_printf(st->a,
	    "{\"iterations\":%d,\"tokens\":%lld,\"wall_s\":%lld,\"sandbox_s\":%lld}",
	    st->lim.iterations, (long long)st->lim.tokens, (long long)(st->lim.wall_ms / 1000),
	    (long long)(st->lim.sandbox_ms / 1000));
	if (!out->p)
		return az_fail(err, AZ_ENOMEM, OP, "no memory for the view");
	out->n = strlen(out->p);
	return AZ_OK;
}

/* Only what is said by us: another client may have put anything there. */
static enum az_code
forked_from_of(const struct flow_state *st, struct az_str *out, struct az_err *err)
{
	const struct az_json *from = az_json_get(st->request, "forked_from");
	struct az_str id = az_json_gets(from, "workflow_id");
	enum az_code rc;
	struct az_buf b;
	struct az_jw w;

	if (id.n == 0)
		return AZ_OK;
	az_buf_init(&b, 1024);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ks(&w, "workflow_id", az_str_sub(id, 0, 128));
	az_jw_ki(&w, "iteration", az_json_geti(from, "iteration", 0) & 0xffff);
	az_jw_end(&w, '}');
	rc = az_buf_check(&b, OP, err);
	if (rc == AZ_OK && !(*out = az_arena_str(st->a, az_buf_str(&b))).p)
		rc = az_fail(err, AZ_ENOMEM, OP, "no memory for the view");
	az_buf_release(&b);
	return rc;
}

static bool
count_event(void *arg, const struct az_flow_event *e)
{
	*(int64_t *)arg = e->seq;
	return true;
}

enum az_code
az_flow_view(
    const struct az_history *h, struct az_arena *a, struct az_flow_view *out, struct az_err *err)
{
	struct flow_state st;
	enum az_code rc = flow_walk(&st, h, a, true, err);

	if (rc != AZ_OK)
		return rc;
	if (!st.started)
		return az_fail(err, AZ_ENOTFOUND, OP, "the history is empty");
	flow_view_of(&st, out);
	rc = az_flow_events(h, 0, a, count_event, &out->last_event, err);
	if (rc == AZ_OK)
		rc = limits_of(&st, &out->limits, err);
	if (rc == AZ_OK)
		rc = text_of(a, st.request, &out->request, err);
	if (rc == AZ_OK)
		rc = forked_from_of(&st, &out->forked_from, err);
	out->checks = AZ_S("[]");
	if (rc == AZ_OK && st.checks)
		rc = text_of(a, st.checks, &out->checks, err);
	return rc;
}
