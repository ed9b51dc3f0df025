#include <stdlib.h>
#include <string.h>

#include "temporal_sim.h"

static void *
room(struct sim *s, size_t n)
{
	void *p = az_arena_alloc(s->a, n);

	if (!p)
		abort();
	return p;
}

void
sim_init(struct sim *s, struct az_arena *a)
{
	memset(s, 0, sizeof *s);
	s->a = a;
	s->t_ms = 1790000000000;
}

void *
sim_new(struct sim *s, const ProtobufCMessageDescriptor *type)
{
	void *m = room(s, type->sizeof_message);

	protobuf_c_message_init(type, m);
	return m;
}

static ProtobufCBinaryData
bytes(struct sim *s, const char *text)
{
	size_t n = strlen(text);
	uint8_t *p = room(s, n + 1);

	memcpy(p, text, n);
	return (ProtobufCBinaryData){n, p};
}

static Azt__Payload *
payload(struct sim *s, const char *encoding, const char *data)
{
	Azt__Payload *p = sim_new(s, &azt__payload__descriptor);

	p->data = bytes(s, data);
	if (!encoding)
		return p;
	p->metadata = room(s, sizeof *p->metadata);
	p->metadata[0] = sim_new(s, &azt__payload__metadata_entry__descriptor);
	p->metadata[0]->key = "encoding";
	p->metadata[0]->value = bytes(s, encoding);
	p->n_metadata = 1;
	return p;
}

Azt__Payloads *
sim_payloads(struct sim *s, const char *encoding, const char *data)
{
	Azt__Payloads *l;

	if (!data)
		return NULL;
	l = sim_new(s, &azt__payloads__descriptor);
	l->payloads = room(s, sizeof *l->payloads);
	l->payloads[0] = payload(s, encoding, data);
	l->n_payloads = 1;
	return l;
}

Azt__Failure *
sim_failure(struct sim *s, const char *type, const char *message)
{
	Azt__Failure *f = sim_new(s, &azt__failure__descriptor);

	f->message = message;
	f->failure_info_case = AZT__FAILURE__FAILURE_INFO_APPLICATION;
	f->application = sim_new(s, &azt__application_failure_info__descriptor);
	f->application->type = type;
	return f;
}

Azt__Failure *
sim_timeout(struct sim *s, int timeout_type)
{
	Azt__Failure *f = sim_new(s, &azt__failure__descriptor);

	f->message = "activity timeout";
	f->failure_info_case = AZT__FAILURE__FAILURE_INFO_TIMEOUT;
	f->timeout = sim_new(s, &azt__timeout_failure_info__descriptor);
	f->timeout->timeout_type = (Azt__TimeoutType__E)timeout_type;
	return f;
}

Azt__HistoryEvent *
sim_event(
    struct sim *s, int type, int attributes_case, const ProtobufCMessageDescriptor *attributes)
{
	Azt__HistoryEvent *ev = sim_new(s, &azt__history_event__descriptor);

	if (s->n == SIM_MAX)
		abort();
	s->ev[s->n++] = ev;
	ev->event_id = (int64_t)s->n;
	ev->event_type = (Azt__EventType__E)type;
	ev->event_time = sim_new(s, &azt__timestamp__descriptor);
	ev->event_time->seconds = s->t_ms / 1000;
	ev->event_time->nanos = (int32_t)(s->t_ms % 1000) * 1000000;
	s->t_ms += 10;
	if (!attributes)
		return ev;
	ev->attributes_case = (Azt__HistoryEvent__AttributesCase)attributes_case;
	/* members of one union */
	ev->workflow_execution_started = sim_new(s, attributes);
	return ev;
}

void
sim_start(struct sim *s, const char *type, const char *uid, Azt__Payloads *input)
{
	Azt__WorkflowExecutionStarted *x =
	    SIM_EVENT(s, WORKFLOW_EXECUTION_STARTED, workflow_execution_started)
		->workflow_execution_started;

	x->workflow_type = sim_new(s, &azt__workflow_type__descriptor);
	x->workflow_type->name = type;
	x->input = input;
	if (!uid)
		return;
	x->memo = sim_new(s, &azt__memo__descriptor);
	x->memo->fields = room(s, sizeof *x->memo->fields);
	x->memo->fields[0] = sim_new(s, &azt__memo__fields_entry__descriptor);
	x->memo->fields[0]->key = "uid";
	x->memo->fields[0]->value = payload(s, "json/plain", uid);
	x->memo->n_fields = 1;
}

void
sim_task(struct sim *s)
{
	SIM_EVENT(s, WORKFLOW_TASK_SCHEDULED, workflow_task_scheduled);
	SIM_EVENT(s, WORKFLOW_TASK_STARTED, workflow_task_started);
}

static void
scheduled(struct sim *s, const Azt__ScheduleActivityTask *c)
{
	Azt__ActivityTaskScheduled *x =
	    SIM_EVENT(s, ACTIVITY_TASK_SCHEDULED, activity_task_scheduled)->activity_task_scheduled;

	x->activity_id = c->activity_id;
	x->activity_type = c->activity_type;
	x->task_queue = c->task_queue;
	x->header = c->header;
	x->input = c->input;
	x->retry_policy = c->retry_policy;
	x->start_to_close_timeout = c->start_to_close_timeout;
}

static void
timer(struct sim *s, const Azt__StartTimer *c)
{
	Azt__TimerStarted *x = SIM_EVENT(s, TIMER_STARTED, timer_started)->timer_started;

	x->timer_id = c->timer_id;
	x->start_to_fire_timeout = c->start_to_fire_timeout;
}

/* Types of commands have names of their own. */
#define IS(c, NAME) ((c)->attributes_case == AZT__COMMAND__ATTRIBUTES_##NAME)

static void
command(struct sim *s, const Azt__Command *c)
{
	if (IS(c, SCHEDULE_ACTIVITY_TASK))
		scheduled(s, c->schedule_activity_task);
	else if (IS(c, START_TIMER))
		timer(s, c->start_timer);
	else if (IS(c, REQUEST_CANCEL_ACTIVITY_TASK))
		SIM_EVENT(s, ACTIVITY_TASK_CANCEL_REQUESTED, activity_task_cancel_requested)
		    ->activity_task_cancel_requested->scheduled_event_id =
		    c->request_cancel_activity_task->scheduled_event_id;
	else if (IS(c, COMPLETE_WORKFLOW_EXECUTION))
		SIM_EVENT(s, WORKFLOW_EXECUTION_COMPLETED, workflow_execution_completed)
		    ->workflow_execution_completed->result = c->complete_workflow_execution->result;
	else if (IS(c, FAIL_WORKFLOW_EXECUTION))
		SIM_EVENT(s, WORKFLOW_EXECUTION_FAILED, workflow_execution_failed)
		    ->workflow_execution_failed->failure = c->fail_workflow_execution->failure;
	else if (IS(c, CANCEL_WORKFLOW_EXECUTION))
		SIM_EVENT(s, WORKFLOW_EXECUTION_CANCELED, workflow_execution_canceled)
		    ->workflow_execution_canceled->details = c->cancel_workflow_execution->details;
	else
		abort();
}

void
sim_commands(struct sim *s, Azt__Command *const *v, size_t n)
{
	SIM_EVENT(s, WORKFLOW_TASK_COMPLETED, workflow_task_completed);
	for (size_t i = 0; i < n; i++)
		command(s, v[i]);
}

/* The start of the last attempt is written down with its end; its id, 0 if there was none. */
static int64_t
begun(struct sim *s, int64_t ref, int attempt)
{
	Azt__HistoryEvent *ev;

	if (!attempt)
		return 0;
	ev = SIM_EVENT(s, ACTIVITY_TASK_STARTED, activity_task_started);
	ev->activity_task_started->scheduled_event_id = ref;
	ev->activity_task_started->attempt = attempt;
	return ev->event_id;
}

void
sim_done(struct sim *s, int64_t ref, int attempt, const char *json)
{
	int64_t started = begun(s, ref, attempt);
	Azt__ActivityTaskCompleted *x =
	    SIM_EVENT(s, ACTIVITY_TASK_COMPLETED, activity_task_completed)->activity_task_completed;

	x->scheduled_event_id = ref;
	x->started_event_id = started;
	x->result = sim_payloads(s, "json/plain", json);
}

void
sim_failed(struct sim *s, int64_t ref, int attempt, Azt__Failure *f, int retry_state)
{
	int64_t started = begun(s, ref, attempt);
	Azt__ActivityTaskFailed *x =
	    SIM_EVENT(s, ACTIVITY_TASK_FAILED, activity_task_failed)->activity_task_failed;

	x->scheduled_event_id = ref;
	x->started_event_id = started;
	x->failure = f;
	x->retry_state = (Azt__RetryState__E)retry_state;
}

void
sim_timed_out(struct sim *s, int64_t ref, int attempt, Azt__Failure *f, int retry_state)
{
	int64_t started = begun(s, ref, attempt);
	Azt__ActivityTaskTimedOut *x =
	    SIM_EVENT(s, ACTIVITY_TASK_TIMED_OUT, activity_task_timed_out)->activity_task_timed_out;

	x->scheduled_event_id = ref;
	x->started_event_id = started;
	x->failure = f;
	x->retry_state = (Azt__RetryState__E)retry_state;
}

void
sim_canceled(struct sim *s, int64_t ref, int attempt, const char *json)
{
	int64_t started = begun(s, ref, attempt);
	Azt__ActivityTaskCanceled *x =
	    SIM_EVENT(s, ACTIVITY_TASK_CANCELED, activity_task_canceled)->activity_task_canceled;

	x->scheduled_event_id = ref;
	x->started_event_id = started;
	x->details = sim_payloads(s, "json/plain", json);
}

void
sim_fired(struct sim *s, int64_t ref)
{
	SIM_EVENT(s, TIMER_FIRED, timer_fired)->timer_fired->started_event_id = ref;
}

void
sim_signal(struct sim *s, const char *name, Azt__Payloads *p)
{
	Azt__WorkflowExecutionSignaled *x =
	    SIM_EVENT(s, WORKFLOW_EXECUTION_SIGNALED, workflow_execution_signaled)
		->workflow_execution_signaled;

	x->signal_name = name;
	x->input = p;
}

void
sim_cancel(struct sim *s, const char *cause)
{
	SIM_EVENT(s, WORKFLOW_EXECUTION_CANCEL_REQUESTED, workflow_execution_cancel_requested)
	    ->workflow_execution_cancel_requested->cause = cause;
}

struct az_str
sim_bytes(struct sim *s, size_t from, size_t to)
{
	Azt__History h = AZT__HISTORY__INIT;
	size_t n;
	uint8_t *p;

	h.events = s->ev + from;
	h.n_events = to - from;
	n = azt__history__get_packed_size(&h);
	p = room(s, n);
	azt__history__pack(&h, p);
	return az_str_n(p, n);
}

static void
unpacked_free(void *h)
{
	azt__history__free_unpacked(h, NULL);
}

Azt__History *
sim_page(struct sim *s, size_t from, size_t to)
{
	struct az_str b = sim_bytes(s, from, to);
	Azt__History *h = azt__history__unpack(NULL, b.n, (const uint8_t *)b.p);

	if (!h || !az_arena_defer(s->a, unpacked_free, h))
		abort();
	return h;
}
