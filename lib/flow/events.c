/*
 * The public event log: a projection of the history, so that it needs no store of
 * its own and is the same on every engine. An event's number depends only on what
 * stands before it, never on what follows.
 */
#include "state.h"

#include <azlon/clock.h>

#define OP "flow.events"

struct emit {
	const struct flow_state *st;
	int64_t seq, after;
	int64_t t_ms;
	struct az_buf line; /* reused */
	bool (*fn)(void *arg, const struct az_flow_event *e);
	void *arg;
	bool stopped; /* the reader has enough */
	bool running; /* run.status running was told */
	bool cancelling;
	bool finished; /* run.finished comes next */
};

/* Begin a line; members follow, then flush(). */
static void
begin(struct emit *m, struct az_jw *w)
{
	char t[64];
	struct az_buf tb;

	m->seq++;
	az_buf_init(&tb, sizeof(t));
	az_rfc3339(&tb, m->t_ms);
	az_buf_reset(&m->line);
	m->line.fail = tb.fail;
	az_jw_init(w, &m->line);
	az_jw_obj(w);
	az_jw_ki(w, "seq", m->seq);
	az_jw_ks(w, "t", az_buf_str(&tb));
	az_jw_ki(w, "iteration", m->st->iteration);
	az_buf_release(&tb);
}

static enum az_code
flush(struct emit *m, struct az_jw *w, const char *type, struct az_err *err)
{
	struct az_flow_event e = {.seq = m->seq, .type = az_str_c(type)};
	enum az_code rc;

	az_jw_end(w, '}');
	rc = az_buf_check(&m->line, OP, err);
	if (rc != AZ_OK)
		return rc;
	e.data = az_buf_str(&m->line);
	e.last = m->finished;
	if (m->seq > m->after && !m->stopped)
		m->stopped = !m->fn(m->arg, &e);
	return AZ_OK;
}

static enum az_code
tell_status(struct emit *m, const char *status, struct az_err *err)
{
	struct az_jw w;

	begin(m, &w);
	az_jw_kc(&w, "status", status);
	return flush(m, &w, "run.status", err);
}

static enum az_code
tell_position(struct emit *m, struct az_err *err)
{
	struct az_jw w;

	begin(m, &w);
	az_jw_kc(&w, "status", flow_status(m->st));
	az_jw_ki(&w, "queue_position", m->st->position);
	return flush(m, &w, "run.status", err);
}

static enum az_code
tell_warning(struct emit *m, struct az_str code, struct az_str message, struct az_err *err)
{
	struct az_jw w;

	begin(m, &w);
	if (code.n)
		az_jw_ks(&w, "code", code);
	az_jw_ks(&w, "message", message);
	return flush(m, &w, "warning", err);
}

static enum az_code
at_start(struct emit *m, struct az_err *err)
{
	const struct az_json *ws = az_json_get(m->st->input, "warnings");
	enum az_code rc = tell_status(m, "queued", err);

	for (size_t i = 0; rc == AZ_OK && i < az_json_len(ws); i++) {
		const struct az_json *v = az_json_at(ws, i);
		struct az_str text =
		    az_json_is_str(v) ? az_json_str(v) : az_json_gets(v, "message");

		rc = tell_warning(m, AZ_S("request"), text, err);
	}
	return rc;
}

static enum az_code
at_scheduled(struct emit *m, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	struct az_jw w;

	if (m->st->step == STEP_JOIN)
		return AZ_OK;
	if (!m->running && m->st->step != STEP_FINALIZE) {
		m->running = true;
		rc = tell_status(m, "running", err);
	}
	/* begun again with a person's reply it is the same attempt */
	if (rc != AZ_OK || m->st->step != STEP_GENERATE || m->st->n_replies)
		return rc;
	begin(m, &w);
	az_jw_ki(&w, "max_iterations", m->st->lim.iterations);
	az_jw_kc(&w, "strategy", m->st->plan.strategy);
	return flush(m, &w, "iteration.start", err);
}

/* The events a function listed in its result. */
static enum az_code
from_result(struct emit *m, const struct az_json *r, struct az_err *err)
{
	static const char *const allowed[] = {"llm.done", "files.changed", "sandbox.start", "check",
	    "verdict", "input.needed", "warning"};
	const struct az_json *evs = az_json_get(r, "events");
	enum az_code rc = AZ_OK;

	for (size_t i = 0; rc == AZ_OK && i < az_json_len(evs); i++) {
		const struct az_json *e = az_json_at(evs, i), *v;
		struct az_str type = az_json_gets(e, "type"), key;
		const char *name = NULL;
		void *it = NULL;
		struct az_jw w;

		for (size_t k = 0; k < sizeof(allowed) / sizeof(allowed[0]); k++)
			if (az_str_eqc(type, allowed[k]))
				name = allowed[k];
		if (!name)
			continue;
		begin(m, &w);
		while (az_json_each(e, &it, &key, &v)) {
			if (az_str_eqc(key, "type") || az_str_eqc(key, "seq") ||
			    az_str_eqc(key, "t") || az_str_eqc(key, "iteration"))
				continue;
			az_jw_keys(&w, key);
			az_jw_value(&w, v);
		}
		rc = flush(m, &w, name, err);
	}
	return rc;
}

/* A person did something. */
static enum az_code
tell_heard(struct emit *m, struct az_err *err)
{
	const struct flow_state *st = m->st;
	struct az_str id = az_json_gets(st->heard_what, "signal_id");
	struct az_str text = az_json_gets(st->heard_what, "text");
	struct az_jw w;

	begin(m, &w);
	az_jw_kc(&w, "status", flow_status(st));
	az_jw_key(&w, "signal");
	az_jw_obj(&w);
	az_jw_kc(&w, "type", st->heard);
	if (id.n)
		az_jw_ks(&w, "signal_id", id);
	if (text.n)
		az_jw_ks(&w, "text", text);
	az_jw_end(&w, '}');
	return flush(m, &w, "run.status", err);
}

/* The run stands still until a person does something. */
static enum az_code
tell_needed(struct emit *m, struct az_err *err)
{
	enum az_code rc = tell_status(m, flow_status(m->st), err);
	struct az_flow_view v;
	struct az_jw w;

	if (rc != AZ_OK)
		return rc;
	flow_view_of(m->st, &v);
	begin(m, &w);
	az_jw_kc(&w, "kind", v.needs);
	az_jw_kc(&w, "step", v.needs_step);
	return flush(m, &w, "input.needed", err);
}

static enum az_code
tell_usage(struct emit *m, struct az_err *err)
{
	struct az_jw w;

	begin(m, &w);
	az_jw_ki(&w, "llm_calls", m->st->llm_calls);
	az_jw_ki(&w, "tokens_in", m->st->tokens_in);
	az_jw_ki(&w, "tokens_out", m->st->tokens_out);
	az_jw_ki(&w, "sandbox_s", m->st->sandbox_ms / 1000);
	return flush(m, &w, "usage", err);
}

static enum az_code
at_close(struct emit *m, struct az_err *err)
{
	struct az_flow_view v;
	struct az_jw w;

	flow_view_of(m->st, &v);
	m->finished = true;
	begin(m, &w);
	az_jw_kc(&w, "status", v.status);
	az_jw_kb(&w, "result", v.result == 1);
	az_jw_kc(&w, "reason", v.reason);
	if (v.message.n)
		az_jw_ks(&w, "message", v.message);
	az_jw_ki(&w, "best_iteration", v.best_iteration);
	return flush(m, &w, "run.finished", err);
}

/* Where the run stood before an event. */
struct before {
	enum flow_step step;
	enum flow_await awaiting;
	int iteration;
	bool undecided;
};

/* What event e, just taken into m->st, makes public. */
static enum az_code
project(struct emit *m, const struct az_event *e, const struct before *was, const struct az_json *r,
    struct az_err *err)
{
	struct flow_state then = *m->st; /* results belong to their own iteration */
	const struct flow_state *now = m->st;
	bool asks = now->awaiting != AWAIT_NONE && was->awaiting == AWAIT_NONE;
	enum az_code rc = AZ_OK;

	m->t_ms = e->t_ms;
	if (e->type == AZ_EV_STARTED)
		return at_start(m, err);
	if (e->type == AZ_EV_FN_SCHEDULED)
		return at_scheduled(m, err);
	if (flow_is_close(e->type))
		return at_close(m, err);
	if (e->type == AZ_EV_CANCEL_REQUESTED)
		return was->undecided ? tell_status(m, "cancelling", err) : AZ_OK;
	if (e->type == AZ_EV_SIGNALED && az_str_eqc(e->name, AZ_SIG_QUEUE))
		return now->position && flow_queued(now) ? tell_position(m, err) : AZ_OK;
	if (e->type == AZ_EV_SIGNALED)
		return now->heard ? tell_heard(m, err) : AZ_OK;
	then.iteration = was->iteration;
	m->st = &then;
	if (e->type == AZ_EV_FN_COMPLETED) {
		rc = from_result(m, r, err);
		if (rc == AZ_OK && asks)
			rc = tell_needed(m, err);
		else if (rc == AZ_OK && was->step == STEP_VALIDATE)
			rc = tell_usage(m, err);
	} else if (e->type == AZ_EV_FN_FAILED) {
		rc = tell_warning(m, e->reason.n ? e->reason : AZ_S("failed"), e->message, err);
	}
	m->st = now;
	return rc;
}

enum az_code
az_flow_events(const struct az_history *h, int64_t after, struct az_arena *a,
    bool (*fn)(void *arg, const struct az_flow_event *e), void *arg, struct az_err *err)
{
	struct emit m = {.after = after, .fn = fn, .arg = arg};
	enum az_code rc = AZ_OK;
	struct flow_state st;

	flow_begin(&st, a, true);
	m.st = &st;
	az_buf_init(&m.line, AZ_KIB(512));
	for (size_t i = 0; i < h->n && rc == AZ_OK && !m.stopped; i++) {
		const struct before was = {.step = st.step,
		    .awaiting = st.awaiting,
		    .iteration = st.iteration,
		    .undecided = st.status == NULL};
		const struct az_json *r;

		rc = flow_take(&st, &h->ev[i], &r, err);
		if (rc == AZ_OK && (!st.foreign || flow_is_close(h->ev[i].type)))
			rc = project(&m, &h->ev[i], &was, r, err);
	}
	az_buf_release(&m.line);
	return rc;
}
