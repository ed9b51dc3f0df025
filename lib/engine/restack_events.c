/*
 * A Temporal history as events of ours. Nothing that the server says is taken on trust:
 * ids go on one by one, attributes belong to their type, and what an event refers to was
 * there and is open.
 */
#include <azlon/json.h>
#include "restack.h"

/* A server ends a run at 51 200 events, in a few more. */
enum { EVENTS_MAX = 51200 + 800 };

static const char OP[] = "engine.history";

enum what { NOTHING, FN_OPEN, FN_ENDED, TIMER_OPEN, TIMER_ENDED };

struct event_mark {
	enum what what;
	int attempt; /* the one that began last; 0 = none did */
};

/* One event on its way. */
struct in {
	struct restack *r;
	struct events *e;
	const Azt__HistoryEvent *ev;
	struct az_event *out; /* NULL for what is no event of ours */
	struct az_event made; /* what out names */
	struct az_err *err;
};

void
events_init(struct events *e, struct az_arena *a)
{
	memset(e, 0, sizeof *e);
	e->a = a;
}

static enum az_code
no_memory(struct az_err *err)
{
	return az_fail(err, AZ_ENOMEM, OP, "out of memory");
}

static enum az_code
fail(const struct in *in, enum az_code code, const char *reason, const char *why)
{
	(void)az_fail(in->err, code, OP, "event %lld of type %d: %s", (long long)in->ev->event_id,
	    (int)in->ev->event_type, why);
	if (in->err)
		az_err_reason(in->err, reason);
	return code;
}

static enum az_code
damaged(const struct in *in, const char *why)
{
	return fail(in, AZ_EUPSTREAM, "history_damaged", why);
}

/* ---- what events refer to ---- */

static struct event_mark *
mark_of(const struct events *e, int64_t id, enum what what)
{
	if (id < 1 || id > e->last_id || e->mark[id].what != what)
		return NULL;
	return &e->mark[id];
}

bool
events_pending(const struct events *e, int64_t ref)
{
	return mark_of(e, ref, FN_OPEN) != NULL;
}

/* The event's own mark. */
static struct event_mark *
own(const struct in *in)
{
	return &in->e->mark[in->ev->event_id];
}

static enum az_code
fn_ends(struct in *in, int64_t scheduled, struct event_mark **m)
{
	*m = mark_of(in->e, scheduled, FN_OPEN);
	if (!*m)
		return damaged(in, "refers to no function under way");
	(*m)->what = FN_ENDED;
	in->out->ref = scheduled;
	in->out->attempt = (*m)->attempt > 0 ? (*m)->attempt : 1;
	return AZ_OK;
}

/* ---- payloads ---- */

static enum az_code
payload(struct in *in, const Azt__Payloads *p)
{
	return payloads_get(in->r, in->e->a, p, &in->out->payload, in->err);
}

/* Of what anybody may send at any time, and of an end, which nobody folds: one that cannot be
   read must not stop the run, or hide it. */
static enum az_code
payload_if_any(struct in *in, const Azt__Payloads *p)
{
	enum az_code rc = payload(in, p);

	if (rc != AZ_EUNPROC && rc != AZ_EINVAL && rc != AZ_ETOOBIG)
		return rc;
	in->out->payload = AZ_S("");
	return AZ_OK;
}

/* A cancel says how in JSON; whoever asked without leaves time to finish. */
static enum az_code
cancel_mode(struct in *in, struct az_str json)
{
	const struct az_json *j = NULL;

	if (json.n &&
	    az_json_parse_in(in->e->a, json, &az_json_request_limits, &j, in->err) == AZ_ENOMEM)
		return AZ_ENOMEM;
	in->out->payload = az_json_type(j) == AZ_JOBJ ? json : AZ_S("");
	return AZ_OK;
}

/* ---- one function for each type ---- */

static enum az_code
take_started(struct in *in)
{
	const Azt__WorkflowExecutionStarted *x = in->ev->workflow_execution_started;
	struct events *e = in->e;
	enum az_code rc;

	e->start = x;
	/* known also when the input cannot be read: the run is ended then */
	if (x->workflow_type)
		e->type = az_str_c(x->workflow_type->name);
	if ((rc = payload(in, x->input)))
		return rc;
	if (!in->out->payload.n)
		in->out->payload = AZ_S("null");
	in->out->name = e->type;
	if (x->memo)
		e->uid = fields_string(
		    in->r, e->a, x->memo->fields, x->memo->n_fields, RESTACK_MEMO_UID);
	return AZ_OK;
}

static enum az_code
take_task_started(struct in *in)
{
	if (in->ev->workflow_task_started->suggest_continue_as_new)
		in->e->suggest_end = true;
	return AZ_OK;
}

static enum az_code
take_scheduled(struct in *in)
{
	const Azt__ActivityTaskScheduled *x = in->ev->activity_task_scheduled;

	if (!x->activity_type || !x->activity_type->name[0])
		return damaged(in, "a function without a name");
	own(in)->what = FN_OPEN;
	in->e->n_activities++;
	in->out->name = az_str_c(x->activity_type->name);
	return payload(in, x->input);
}

static enum az_code
take_begun(struct in *in)
{
	const Azt__ActivityTaskStarted *x = in->ev->activity_task_started;
	struct event_mark *m = mark_of(in->e, x->scheduled_event_id, FN_OPEN);

	if (!m)
		return damaged(in, "refers to no function under way");
	m->attempt = x->attempt;
	return AZ_OK;
}

static enum az_code
take_result(struct in *in)
{
	const Azt__ActivityTaskCompleted *x = in->ev->activity_task_completed;
	struct event_mark *m;
	enum az_code rc = fn_ends(in, x->scheduled_event_id, &m);

	return rc ? rc : payload(in, x->result);
}

/* A function that was told to stop and failed is a cancelled one, if it would have been
   tried again otherwise. */
static void
ended_by_cancel(struct in *in)
{
	in->out->type = AZ_EV_FN_CANCELED;
	in->out->reason = in->out->message = AZ_S("");
}

static enum az_code
take_failed(struct in *in)
{
	const Azt__ActivityTaskFailed *x = in->ev->activity_task_failed;
	const Azt__Failure *f = x->failure;
	struct event_mark *m;
	enum az_code rc = fn_ends(in, x->scheduled_event_id, &m);

	if (!rc)
		rc = failure_get(in->r, in->e->a, f, &in->out->reason, &in->out->message,
		    &in->out->payload, in->err);
	/* details of somebody else's may be anything */
	if (rc == AZ_EINVAL || rc == AZ_ETOOBIG)
		rc = AZ_OK;
	if (!rc && x->retry_state == AZT__RETRY_STATE__E__CANCEL_REQUESTED &&
	    !(f && f->failure_info_case == AZT__FAILURE__FAILURE_INFO_APPLICATION &&
		f->application->non_retryable))
		ended_by_cancel(in);
	return rc;
}

static enum az_code
take_late(struct in *in)
{
	const Azt__ActivityTaskTimedOut *x = in->ev->activity_task_timed_out;
	struct event_mark *m;
	enum az_code rc = fn_ends(in, x->scheduled_event_id, &m);

	if (!rc)
		rc = failure_get(in->r, in->e->a, x->failure, &in->out->reason, &in->out->message,
		    NULL, in->err);
	if (rc)
		return rc;
	in->out->reason = AZ_S("timeout");
	if (x->retry_state == AZT__RETRY_STATE__E__CANCEL_REQUESTED &&
	    !az_str_eqc(in->out->message, "schedule_to_close"))
		ended_by_cancel(in);
	return AZ_OK;
}

static enum az_code
take_fn_canceled(struct in *in)
{
	const Azt__ActivityTaskCanceled *x = in->ev->activity_task_canceled;
	struct event_mark *m;
	enum az_code rc = fn_ends(in, x->scheduled_event_id, &m);

	if (rc)
		return rc;
	in->out->attempt = m->attempt > 0 ? m->attempt : 0;
	/* one that nobody ran: the details are the server's own words */
	return x->started_event_id ? payload_if_any(in, x->details) : AZ_OK;
}

static enum az_code
take_fn_cancel(struct in *in)
{
	int64_t ref = in->ev->activity_task_cancel_requested->scheduled_event_id;

	if (!mark_of(in->e, ref, FN_OPEN))
		return damaged(in, "refers to no function under way");
	in->out->ref = ref;
	return AZ_OK;
}

static enum az_code
take_timer(struct in *in)
{
	int64_t ms = msg_duration_ms(in->ev->timer_started->start_to_fire_timeout);

	own(in)->what = TIMER_OPEN;
	in->e->n_timers++;
	in->out->payload = az_str_c(az_arena_printf(in->e->a, "%lld", (long long)ms));
	return in->out->payload.p ? AZ_OK : no_memory(in->err);
}

static enum az_code
take_fired(struct in *in)
{
	int64_t ref = in->ev->timer_fired->started_event_id;
	struct event_mark *m = mark_of(in->e, ref, TIMER_OPEN);

	if (!m)
		return damaged(in, "refers to no timer under way");
	m->what = TIMER_ENDED;
	in->out->ref = ref;
	return AZ_OK;
}

static enum az_code
take_signal(struct in *in)
{
	const Azt__WorkflowExecutionSignaled *x = in->ev->workflow_execution_signaled;
	enum az_code rc = payload_if_any(in, x->input);

	if (rc)
		return rc;
	if (strcmp(x->signal_name, RESTACK_SIGNAL_CANCEL) == 0) {
		in->out->type = AZ_EV_CANCEL_REQUESTED;
		return cancel_mode(in, in->out->payload);
	}
	in->out->name = az_str_c(x->signal_name);
	return AZ_OK;
}

static enum az_code
take_cancel(struct in *in)
{
	return cancel_mode(in, az_str_c(in->ev->workflow_execution_cancel_requested->cause));
}

static enum az_code
take_completed(struct in *in)
{
	return payload_if_any(in, in->ev->workflow_execution_completed->result);
}

static enum az_code
take_run_failed(struct in *in)
{
	return failure_get(in->r, in->e->a, in->ev->workflow_execution_failed->failure,
	    &in->out->reason, &in->out->message, &in->out->payload, in->err);
}

static enum az_code
take_canceled(struct in *in)
{
	return payload_if_any(in, in->ev->workflow_execution_canceled->details);
}

static enum az_code
take_nothing(struct in *in)
{
	(void)in;
	return AZ_OK;
}

static enum az_code
take_terminated(struct in *in)
{
	in->out->reason = az_str_c(in->ev->workflow_execution_terminated->reason);
	return AZ_OK;
}

/* ---- the table ---- */

#define TYPE(name) AZT__EVENT_TYPE__E__##name
#define ATTR(name) AZT__HISTORY_EVENT__ATTRIBUTES_##name

/* Types that are not here come of commands that we do not give, or are not known. */
static const struct row {
	enum az_code (*take)(struct in *in);
	int attributes;     /* 0 = not looked at */
	enum az_ev_type as; /* 0 = no event of ours */
} rows[] = {
    [TYPE(WORKFLOW_EXECUTION_STARTED)] = {take_started, ATTR(WORKFLOW_EXECUTION_STARTED),
	AZ_EV_STARTED},
    [TYPE(WORKFLOW_EXECUTION_COMPLETED)] = {take_completed, ATTR(WORKFLOW_EXECUTION_COMPLETED),
	AZ_EV_COMPLETED},
    [TYPE(WORKFLOW_EXECUTION_FAILED)] = {take_run_failed, ATTR(WORKFLOW_EXECUTION_FAILED),
	AZ_EV_FAILED},
    [TYPE(WORKFLOW_EXECUTION_TIMED_OUT)] = {take_nothing, 0, AZ_EV_TIMED_OUT},
    [TYPE(WORKFLOW_TASK_SCHEDULED)] = {take_nothing, 0, 0},
    [TYPE(WORKFLOW_TASK_STARTED)] = {take_task_started, ATTR(WORKFLOW_TASK_STARTED), 0},
    [TYPE(WORKFLOW_TASK_COMPLETED)] = {take_nothing, 0, 0},
    [TYPE(WORKFLOW_TASK_TIMED_OUT)] = {take_nothing, 0, 0},
    [TYPE(WORKFLOW_TASK_FAILED)] = {take_nothing, 0, 0},
    [TYPE(ACTIVITY_TASK_SCHEDULED)] = {take_scheduled, ATTR(ACTIVITY_TASK_SCHEDULED),
	AZ_EV_FN_SCHEDULED},
    [TYPE(ACTIVITY_TASK_STARTED)] = {take_begun, ATTR(ACTIVITY_TASK_STARTED), 0},
    [TYPE(ACTIVITY_TASK_COMPLETED)] = {take_result, ATTR(ACTIVITY_TASK_COMPLETED),
	AZ_EV_FN_COMPLETED},
    [TYPE(ACTIVITY_TASK_FAILED)] = {take_failed, ATTR(ACTIVITY_TASK_FAILED), AZ_EV_FN_FAILED},
    [TYPE(ACTIVITY_TASK_TIMED_OUT)] = {take_late, ATTR(ACTIVITY_TASK_TIMED_OUT), AZ_EV_FN_FAILED},
    [TYPE(ACTIVITY_TASK_CANCEL_REQUESTED)] = {take_fn_cancel, ATTR(ACTIVITY_TASK_CANCEL_REQUESTED),
	AZ_EV_FN_CANCEL_REQUESTED},
    [TYPE(ACTIVITY_TASK_CANCELED)] = {take_fn_canceled, ATTR(ACTIVITY_TASK_CANCELED),
	AZ_EV_FN_CANCELED},
    [TYPE(TIMER_STARTED)] = {take_timer, ATTR(TIMER_STARTED), AZ_EV_TIMER_STARTED},
    [TYPE(TIMER_FIRED)] = {take_fired, ATTR(TIMER_FIRED), AZ_EV_TIMER_FIRED},
    [TYPE(WORKFLOW_EXECUTION_CANCEL_REQUESTED)] = {take_cancel,
	ATTR(WORKFLOW_EXECUTION_CANCEL_REQUESTED), AZ_EV_CANCEL_REQUESTED},
    [TYPE(WORKFLOW_EXECUTION_CANCELED)] = {take_canceled, ATTR(WORKFLOW_EXECUTION_CANCELED),
	AZ_EV_CANCELED},
    [TYPE(WORKFLOW_EXECUTION_SIGNALED)] = {take_signal, ATTR(WORKFLOW_EXECUTION_SIGNALED),
	AZ_EV_SIGNALED},
    /* the rest of the story has a history of its own, which is the latest run's */
    [TYPE(WORKFLOW_EXECUTION_CONTINUED_AS_NEW)] = {take_nothing, 0, 0},
    [TYPE(WORKFLOW_EXECUTION_TERMINATED)] = {take_terminated, ATTR(WORKFLOW_EXECUTION_TERMINATED),
	AZ_EV_TERMINATED},
    /* asked for from outside, and none of it changes what a run does */
    [TYPE(WORKFLOW_EXECUTION_UPDATE_ADMITTED)] = {take_nothing, 0, 0},
    [TYPE(WORKFLOW_EXECUTION_OPTIONS_UPDATED)] = {take_nothing, 0, 0},
    [TYPE(WORKFLOW_EXECUTION_PAUSED)] = {take_nothing, 0, 0},
    [TYPE(WORKFLOW_EXECUTION_UNPAUSED)] = {take_nothing, 0, 0},
    [60 /* time skipping, which only test servers do */] = {take_nothing, 0, 0},
};

static const struct row *
row_of(const Azt__HistoryEvent *ev)
{
	int type = (int)ev->event_type;

	if (type <= 0 || (size_t)type >= sizeof rows / sizeof rows[0] || !rows[type].take)
		return NULL;
	return &rows[type];
}

/* ---- growing ---- */

/* v with room for element n; the old array stays behind in the arena. */
static void *
grow(struct az_arena *a, void *v, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? *cap * 2 : 64;
	void *p;

	if (n < *cap)
		return v;
	p = az_arena_alloc(a, want * size);
	if (!p)
		return NULL;
	if (*cap)
		memcpy(p, v, *cap * size);
	*cap = want;
	return p;
}

static enum az_code
next_id(struct in *in)
{
	struct events *e = in->e;
	struct event_mark *m;

	if (in->ev->event_id != e->last_id + 1)
		return fail(in, AZ_EUPSTREAM, "history_gap", "not the one that comes next");
	if (e->last_id == EVENTS_MAX)
		return fail(in, AZ_EUPSTREAM, "history_too_long", "more than a history holds");
	/* ids begin at 1; mark[0] stays empty */
	m = grow(e->a, e->mark, (size_t)e->last_id + 1, &e->n_marks, sizeof *m);
	if (!m)
		return no_memory(in->err);
	e->mark = m;
	e->last_id++;
	return AZ_OK;
}

static enum az_code
add(struct in *in, const struct row *row)
{
	struct events *e = in->e;
	const struct az_event *last = e->n ? &e->v[e->n - 1] : NULL;
	struct az_event *v, *out = &in->made;
	enum az_code rc;

	*out = (struct az_event){.type = row->as, .id = in->ev->event_id};

	if ((row->as == AZ_EV_STARTED) != (last == NULL))
		return damaged(in, "a run starts once, and first");
	if (az_ev_is_close(last ? last->type : 0))
		return damaged(in, "the run is over");
	/* as in the local engine, time does not run backwards within a run */
	out->t_ms = msg_ms(in->ev->event_time);
	if (last && out->t_ms < last->t_ms)
		out->t_ms = last->t_ms;
	in->out = out;
	if ((rc = row->take(in)))
		return rc;
	v = grow(e->a, e->v, e->n, &e->cap, sizeof *v);
	if (!v)
		return no_memory(in->err);
	e->v = v;
	e->v[e->n++] = *out;
	return AZ_OK;
}

enum az_code
events_add(struct restack *r, struct events *e, const Azt__History *h, struct az_err *err)
{
	for (size_t i = 0; h && i < h->n_events; i++) {
		struct in in = {.r = r, .e = e, .ev = h->events[i], .err = err};
		const struct row *row = row_of(in.ev);
		enum az_code rc = next_id(&in);

		if (rc)
			return rc;
		if (!row && in.ev->worker_may_ignore)
			continue;
		if (!row)
			return fail(&in, AZ_EINTERNAL, "nondeterminism", "nothing that we ask for");
		if (row->attributes && ((int)in.ev->attributes_case != row->attributes ||
					   !in.ev->workflow_execution_started))
			return damaged(&in, "without attributes of its type");
		rc = row->as ? add(&in, row) : row->take(&in);
		if (rc)
			return rc;
	}
	return AZ_OK;
}
