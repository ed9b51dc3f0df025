/* What a run is doing, its history, and who works for the engine. */
#include <stdlib.h>
#include <azlon/clock.h>
#include "restack.h"

#define OP "engine.describe"

enum az_run_state
restack_state(Azt__WorkflowExecutionStatus__E s)
{
	switch (s) {
	case AZT__WORKFLOW_EXECUTION_STATUS__E__COMPLETED:
		return AZ_RUN_COMPLETED;
	case AZT__WORKFLOW_EXECUTION_STATUS__E__FAILED:
		return AZ_RUN_FAILED;
	case AZT__WORKFLOW_EXECUTION_STATUS__E__CANCELED:
		return AZ_RUN_CANCELED;
	case AZT__WORKFLOW_EXECUTION_STATUS__E__TIMED_OUT:
		return AZ_RUN_TIMED_OUT;
	case AZT__WORKFLOW_EXECUTION_STATUS__E__TERMINATED:
		return AZ_RUN_TERMINATED;
	case AZT__WORKFLOW_EXECUTION_STATUS__E__UNSPECIFIED:
	case AZT__WORKFLOW_EXECUTION_STATUS__E__RUNNING:
	case AZT__WORKFLOW_EXECUTION_STATUS__E__PAUSED:
	case AZT__WORKFLOW_EXECUTION_STATUS__E__CONTINUED_AS_NEW:
	case _AZT__WORKFLOW_EXECUTION_STATUS__E_IS_INT_SIZE:
		break;
	}
	return AZ_RUN_OPEN;
}

enum az_code
restack_info(struct restack *r, struct az_arena *a, const Azt__WorkflowExecutionInfo *w,
    struct az_run_info *out, struct az_err *err)
{
	if (!w || !w->execution || !w->type)
		return az_fail(err, AZ_EUPSTREAM, OP, "a run without id or type");
	out->workflow_id = restack_addr_local(&r->addr, az_str_c(w->execution->workflow_id));
	out->type = az_str_c(w->type->name);
	if (w->memo) {
		out->uid =
		    fields_string(r, a, w->memo->fields, w->memo->n_fields, RESTACK_MEMO_UID);
		out->memo = fields_get(r, a, w->memo->fields, w->memo->n_fields, RESTACK_MEMO_APP);
	}
	out->state = restack_state(w->status);
	out->start_ms = msg_ms(w->start_time);
	out->close_ms = msg_ms(w->close_time);
	out->last_event = w->history_length;
	return AZ_OK;
}

static void
pending(struct restack *r, struct az_arena *a, const Azt__PendingActivityInfo *p,
    struct az_pending *out)
{
	struct az_str ignored;
	struct az_err e = AZ_ERR_INIT;

	out->name = az_str_c(p->activity_type ? p->activity_type->name : "");
	out->attempt = p->attempt > 0 ? p->attempt : 1;
	out->running = p->state != AZT__PENDING_ACTIVITY_STATE__E__SCHEDULED;
	out->next_ms = out->running ? 0 : msg_ms(p->next_attempt_schedule_time);
	if (p->last_failure)
		(void)!failure_get(
		    r, a, p->last_failure, &out->last_reason, &out->last_message, &ignored, &e);
	if (payloads_get(r, a, p->heartbeat_details, &out->heartbeat, &e) != AZ_OK)
		out->heartbeat = AZ_S(""); /* a picture of progress, nothing more */
}

static uint64_t
mix(uint64_t h, struct az_str s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 1099511628211u;
	return h;
}

static uint64_t
mix_i64(uint64_t h, int64_t v)
{
	return (h ^ (uint64_t)v) * 1099511628211u;
}

/* The same state has the same number in every process: events count in the upper part,
   what Temporal keeps outside of the history in the lower. */
static int64_t
version_of(const struct az_run_info *out, Azt__PendingActivityInfo *const *fns)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < out->n_pending; i++) {
		const struct az_pending *p = &out->pending[i];
		h = mix_i64(mix(h, az_str_c(fns[i]->activity_id)), p->attempt);
		h = mix_i64(mix_i64(h, p->running), p->next_ms);
		h = mix(mix(h, p->heartbeat), p->last_reason);
	}
	return (int64_t)(((uint64_t)out->last_event << 32 | (h >> 32)) & INT64_MAX) | 1;
}

enum az_code
restack_describe(struct az_engine *e, struct az_str id, struct az_arena *a, struct az_run_info *out,
    struct az_err *err)
{
	struct restack *r = (struct restack *)e;
	Azt__DescribeWorkflowExecutionRequest req = AZT__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
	Azt__DescribeWorkflowExecutionResponse *resp;
	enum az_code rc;

	req.namespace_ = r->addr.ns;
	if (!(req.execution = rpc_execution(r, a, id)))
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	rc = rpc_call(
	    r, &(struct rpc_call){.method = RPC_DESCRIBE, .req = &req}, a, &resp, NULL, err);
	/* an engine that is away is asked once */
	if (rc == AZ_OK || rc == AZ_ENOTFOUND)
		out->has_worker = restack_has_worker(r);
	if (rc != AZ_OK ||
	    (rc = restack_info(r, a, resp->workflow_execution_info, out, err)) != AZ_OK)
		return rc;
	for (size_t i = 0; i < resp->n_pending_activities && out->n_pending < 4; i++)
		pending(r, a, resp->pending_activities[i], &out->pending[out->n_pending++]);
	out->version = version_of(out, resp->pending_activities);
	if (out->state != AZ_RUN_OPEN)
		return restack_close_payload(
		    r, a, resp->workflow_execution_info->execution, &out->close_payload, err);
	return AZ_OK;
}

/* ---- is there a worker? ---- */

enum {
	LOOK_MS = 1000,   /* how long it serves that there is one */
	MISS_MS = 200,    /* how long that there is none */
	FRESH_MS = 75000, /* an idle poll lasts a minute */
};

bool
restack_has_worker(struct restack *r)
{
	Azt__DescribeTaskQueueRequest req = AZT__DESCRIBE_TASK_QUEUE_REQUEST__INIT;
	Azt__TaskQueue queue = AZT__TASK_QUEUE__INIT;
	Azt__DescribeTaskQueueResponse *resp;
	struct az_err err = AZ_ERR_INIT;
	struct az_arena *a;
	int64_t now = az_boot_ms(), seen = atomic_load(&r->workers_seen_ms);
	bool any = false;

	/* one caller asks, the others take the last answer */
	if (now - seen < (atomic_load(&r->workers) ? LOOK_MS : MISS_MS) ||
	    !atomic_compare_exchange_strong(&r->workers_seen_ms, &seen, now))
		return atomic_load(&r->workers);
	if (!(a = az_arena_new(AZ_MIB(1))))
		return atomic_load(&r->workers);
	req.namespace_ = r->addr.ns;
	queue.name = r->addr.queue;
	queue.kind = AZT__TASK_QUEUE_KIND__E__NORMAL;
	req.task_queue = &queue;
	/* a worker whose slots are all busy polls for no function, but for these it always does */
	req.task_queue_type = AZT__TASK_QUEUE_TYPE__E__WORKFLOW;
	if (rpc_call(r, &(struct rpc_call){.method = RPC_TASK_QUEUE, .req = &req}, a, &resp, NULL,
		&err) == AZ_OK) {
		for (size_t i = 0; i < resp->n_pollers; i++)
			any |= az_wall_ms() - msg_ms(resp->pollers[i]->last_access_time) < FRESH_MS;
		atomic_store(&r->workers, any);
	}
	az_arena_free(a);
	return atomic_load(&r->workers);
}

/* ---- history, reachability ---- */

enum az_code
restack_history(struct az_engine *e, struct az_str id, int64_t after, size_t max,
    struct az_arena *a, struct az_history *out, struct az_err *err)
{
	struct restack *r = (struct restack *)e;
	struct events ev;
	enum az_code rc;
	size_t from = 0, n;

	events_init(&ev, a);
	if ((rc = events_fetch(r, &ev, id, NULL, NULL, err)) != AZ_OK)
		return rc;
	while (from < ev.n && ev.v[from].id <= after)
		from++;
	n = ev.n - from;
	*out = (struct az_history){.ev = ev.v + from, .n = n < max ? n : max};
	return AZ_OK;
}

enum az_code
restack_ping(struct az_engine *e, struct az_err *err)
{
	struct restack *r = (struct restack *)e;
	Azt__DescribeNamespaceRequest req = AZT__DESCRIBE_NAMESPACE_REQUEST__INIT;
	struct az_arena *a = az_arena_new(AZ_KIB(256));
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "engine.ping", "out of memory");
	req.namespace_ = r->addr.ns;
	rc = rpc_call(
	    r, &(struct rpc_call){.method = RPC_NAMESPACE, .req = &req}, a, NULL, NULL, err);
	az_arena_free(a);
	return rc;
}
