/* What a fold wants, as Temporal's commands. */
#include <azlon/json.h>
#include "restack.h"

static const char OP[] = "engine.commands";

enum { NAME_MAX_BYTES = 100 };

struct out {
	struct restack *r;
	struct az_arena *a;
	const struct events *e;
	size_t n_activities, n_timers; /* with those of this batch */
	struct az_err *err;
};

static enum az_code
no_memory(struct out *o)
{
	return az_fail(o->err, AZ_ENOMEM, OP, "out of memory");
}

static enum az_code
refuse(struct out *o, const char *why)
{
	return az_fail(o->err, AZ_EINTERNAL, OP, "%s", why);
}

/* ---- functions ---- */

static bool
name_ok(struct az_str s)
{
	return s.n >= 1 && s.n <= NAME_MAX_BYTES && az_str_chr(s, '\0') < 0 && az_str_utf8_ok(s);
}

/* Every part is set: a server has other defaults than we do. */
static Azt__RetryPolicy *
retry_policy(struct out *o, const struct az_fn_opts *f)
{
	Azt__RetryPolicy *p = msg_new(o->a, &azt__retry_policy__descriptor);
	int64_t initial = f->retry_initial_ms > 0 ? f->retry_initial_ms : 1000;
	int64_t max = f->retry_max_ms;

	if (!p)
		return NULL;
	if (max <= 0)
		max = initial < INT64_MAX / 100 ? initial * 100 : INT64_MAX;
	/* refused the other way round */
	if (initial > max)
		initial = max;
	p->initial_interval = msg_duration(o->a, initial);
	p->maximum_interval = msg_duration(o->a, max);
	p->backoff_coefficient = f->retry_coefficient >= 1 ? f->retry_coefficient : 2;
	p->maximum_attempts = f->retry_attempts > 0 ? f->retry_attempts : 0;
	return p->initial_interval && p->maximum_interval ? p : NULL;
}

/* Whose run it is: the function's worker has no other way to know. */
static enum az_code
uid_header(struct out *o, Azt__Header **out)
{
	Azt__Header *h;
	Azt__Header__FieldsEntry *f;
	struct az_str json;
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	*out = NULL;
	if (!o->e->uid.n)
		return AZ_OK;
	az_buf_init(&b, AZ_KIB(64));
	az_jw_init(&w, &b);
	az_jw_str(&w, o->e->uid);
	rc = az_buf_check(&b, OP, o->err);
	json = az_arena_str(o->a, az_buf_str(&b));
	az_buf_release(&b);
	if (rc)
		return rc;
	h = msg_new(o->a, &azt__header__descriptor);
	f = msg_new(o->a, &azt__header__fields_entry__descriptor);
	if (!json.p || !h || !f || !(h->fields = az_arena_alloc(o->a, sizeof *h->fields)))
		return no_memory(o);
	f->key = RESTACK_HEADER_UID;
	h->fields[0] = f;
	h->n_fields = 1;
	*out = h;
	return payload_put(o->r, o->a, json, &f->value, o->err);
}

static enum az_code
timeout(struct out *o, int64_t ms, Azt__Duration **out)
{
	*out = msg_duration(o->a, ms);
	return ms > 0 && !*out ? no_memory(o) : AZ_OK;
}

static enum az_code
schedule(struct out *o, const struct az_cmd *c, Azt__Command *m)
{
	Azt__ScheduleActivityTask *x = msg_new(o->a, &azt__schedule_activity_task__descriptor);
	Azt__ActivityType *type = msg_new(o->a, &azt__activity_type__descriptor);
	Azt__TaskQueue *queue = msg_new(o->a, &azt__task_queue__descriptor);
	enum az_code rc;

	if (!name_ok(c->name) || c->opts.start_to_close_ms <= 0)
		return refuse(o, "a function without name or timeout");
	if (!x || !type || !queue || !(type->name = rpc_cstr(o->a, c->name)))
		return no_memory(o);
	queue->name = o->r->addr.queue;
	queue->kind = AZT__TASK_QUEUE_KIND__E__NORMAL;
	x->activity_type = type;
	x->task_queue = queue;
	/* numbers, as the SDKs give: their replayers look at them */
	x->activity_id = az_arena_printf(o->a, "%zu", ++o->n_activities);
	x->retry_policy = retry_policy(o, &c->opts);
	if (!x->activity_id || !x->retry_policy)
		return no_memory(o);
	if ((rc = timeout(o, c->opts.start_to_close_ms, &x->start_to_close_timeout)) ||
	    (rc = timeout(o, c->opts.schedule_to_close_ms, &x->schedule_to_close_timeout)) ||
	    (rc = timeout(o, c->opts.heartbeat_ms, &x->heartbeat_timeout)) ||
	    (rc = uid_header(o, &x->header)) ||
	    (rc = payloads_put(o->r, o->a, c->payload, &x->input, o->err)))
		return rc;
	m->command_type = AZT__COMMAND_TYPE__E__SCHEDULE_ACTIVITY_TASK;
	m->attributes_case = AZT__COMMAND__ATTRIBUTES_SCHEDULE_ACTIVITY_TASK;
	m->schedule_activity_task = x;
	return AZ_OK;
}

static enum az_code
cancel_fn(struct out *o, const struct az_cmd *c, Azt__Command *m)
{
	Azt__RequestCancelActivityTask *x;

	if (!events_pending(o->e, c->ref))
		return refuse(o, "cancels what is not under way");
	x = msg_new(o->a, &azt__request_cancel_activity_task__descriptor);
	if (!x)
		return no_memory(o);
	x->scheduled_event_id = c->ref;
	m->command_type = AZT__COMMAND_TYPE__E__REQUEST_CANCEL_ACTIVITY_TASK;
	m->attributes_case = AZT__COMMAND__ATTRIBUTES_REQUEST_CANCEL_ACTIVITY_TASK;
	m->request_cancel_activity_task = x;
	return AZ_OK;
}

static enum az_code
start_timer(struct out *o, const struct az_cmd *c, Azt__Command *m)
{
	Azt__StartTimer *x = msg_new(o->a, &azt__start_timer__descriptor);

	if (!x || !(x->timer_id = az_arena_printf(o->a, "%zu", ++o->n_timers)))
		return no_memory(o);
	/* no time at all is refused */
	x->start_to_fire_timeout = msg_duration(o->a, c->delay_ms > 0 ? c->delay_ms : 1);
	if (!x->start_to_fire_timeout)
		return no_memory(o);
	m->command_type = AZT__COMMAND_TYPE__E__START_TIMER;
	m->attributes_case = AZT__COMMAND__ATTRIBUTES_START_TIMER;
	m->start_timer = x;
	return AZ_OK;
}

/* ---- the end ---- */

static enum az_code
complete(struct out *o, const struct az_cmd *c, Azt__Command *m)
{
	Azt__CompleteWorkflowExecution *x =
	    msg_new(o->a, &azt__complete_workflow_execution__descriptor);

	if (!x)
		return no_memory(o);
	m->command_type = AZT__COMMAND_TYPE__E__COMPLETE_WORKFLOW_EXECUTION;
	m->attributes_case = AZT__COMMAND__ATTRIBUTES_COMPLETE_WORKFLOW_EXECUTION;
	m->complete_workflow_execution = x;
	return payloads_put(o->r, o->a, c->payload, &x->result, o->err);
}

static enum az_code
fail_run(struct out *o, const struct az_cmd *c, Azt__Command *m)
{
	Azt__FailWorkflowExecution *x = msg_new(o->a, &azt__fail_workflow_execution__descriptor);

	if (!x)
		return no_memory(o);
	m->command_type = AZT__COMMAND_TYPE__E__FAIL_WORKFLOW_EXECUTION;
	m->attributes_case = AZT__COMMAND__ATTRIBUTES_FAIL_WORKFLOW_EXECUTION;
	m->fail_workflow_execution = x;
	return failure_put(
	    o->r, o->a, c->reason, c->message, c->payload, false, 0, &x->failure, o->err);
}

static enum az_code
canceled(struct out *o, const struct az_cmd *c, Azt__Command *m)
{
	Azt__CancelWorkflowExecution *x =
	    msg_new(o->a, &azt__cancel_workflow_execution__descriptor);

	if (!x)
		return no_memory(o);
	m->command_type = AZT__COMMAND_TYPE__E__CANCEL_WORKFLOW_EXECUTION;
	m->attributes_case = AZT__COMMAND__ATTRIBUTES_CANCEL_WORKFLOW_EXECUTION;
	m->cancel_workflow_execution = x;
	return payloads_put(o->r, o->a, c->payload, &x->details, o->err);
}

/* What the run was started with goes on with it: no server copies it. */
static enum az_code
begin_anew(struct out *o, const struct az_cmd *c, Azt__Command *m)
{
	Azt__ContinueAsNewWorkflowExecution *x =
	    msg_new(o->a, &azt__continue_as_new_workflow_execution__descriptor);
	Azt__TaskQueue *queue = msg_new(o->a, &azt__task_queue__descriptor);

	if (!x || !queue)
		return no_memory(o);
	queue->name = o->r->addr.queue;
	queue->kind = AZT__TASK_QUEUE_KIND__E__NORMAL;
	x->task_queue = queue;
	x->initiator = AZT__CONTINUE_AS_NEW_INITIATOR__E__WORKFLOW;
	if (o->e->start) {
		x->workflow_type = o->e->start->workflow_type;
		x->memo = o->e->start->memo;
		x->search_attributes = o->e->start->search_attributes;
		x->header = o->e->start->header;
	}
	m->command_type = AZT__COMMAND_TYPE__E__CONTINUE_AS_NEW_WORKFLOW_EXECUTION;
	m->attributes_case = AZT__COMMAND__ATTRIBUTES_CONTINUE_AS_NEW_WORKFLOW_EXECUTION;
	m->continue_as_new_workflow_execution = x;
	return payloads_put(o->r, o->a, c->payload, &x->input, o->err);
}

static bool
closes(const struct az_cmd *c)
{
	return c->type == AZ_CMD_COMPLETE || c->type == AZ_CMD_FAIL || c->type == AZ_CMD_CANCELED ||
	       c->type == AZ_CMD_CONTINUE;
}

static enum az_code
command(struct out *o, const struct az_cmd *c, Azt__Command *m)
{
	/* the server would end the run over one that is too large for it */
	if (c->payload.n > AZ_LIM_PAYLOAD_BYTES || c->message.n > AZ_LIM_PAYLOAD_BYTES)
		return az_fail(
		    o->err, AZ_ETOOBIG, OP, "payload over %zu bytes", AZ_LIM_PAYLOAD_BYTES);
	switch (c->type) {
	case AZ_CMD_SCHEDULE_FN:
		return schedule(o, c, m);
	case AZ_CMD_CANCEL_FN:
		return cancel_fn(o, c, m);
	case AZ_CMD_START_TIMER:
		return start_timer(o, c, m);
	case AZ_CMD_COMPLETE:
		return complete(o, c, m);
	case AZ_CMD_FAIL:
		return fail_run(o, c, m);
	case AZ_CMD_CANCELED:
		return canceled(o, c, m);
	case AZ_CMD_CONTINUE:
		return begin_anew(o, c, m);
	}
	return refuse(o, "an unknown command");
}

enum az_code
commands_put(struct restack *r, struct az_arena *a, const struct events *e,
    const struct az_cmds *cmds, Azt__Command ***out, size_t *n, struct az_err *err)
{
	struct out o = {.r = r,
	    .a = a,
	    .e = e,
	    .n_activities = e->n_activities,
	    .n_timers = e->n_timers,
	    .err = err};
	Azt__Command **v;
	enum az_code rc;

	*out = NULL;
	*n = 0;
	if (cmds->n > AZ_CMDS_MAX)
		return refuse(&o, "too many commands");
	for (size_t i = 0; i < cmds->n; i++)
		if (closes(&cmds->v[i]) && cmds->n > 1)
			return refuse(&o, "an end that is not alone");
	v = az_arena_alloc(a, (cmds->n + 1) * sizeof *v);
	if (!v)
		return no_memory(&o);
	for (size_t i = 0; i < cmds->n; i++) {
		v[i] = msg_new(a, &azt__command__descriptor);
		if (!v[i])
			return no_memory(&o);
		if ((rc = command(&o, &cmds->v[i], v[i])))
			return rc;
	}
	*out = v;
	*n = cmds->n;
	return AZ_OK;
}
