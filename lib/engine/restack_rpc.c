/* One method of the service: pack, call, unpack. Which deadline and which retries a
   method has stands in the table here and nowhere else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include "restack.h"
#include "temporal.h"

#define SERVICE "/temporal.api.workflowservice.v1.WorkflowService/"

/* deadlines of one try, ms */
enum {
	SHORT = 0,    /* the client's own default, 30 s */
	ASK = 6000,   /* an engine that hangs is as good as away */
	POLL = 70000, /* a poll without a task comes back after 60 s */
	BEAT = 5000,  /* sooner than the next two heartbeats */
};

/* All tries. A caller over HTTP hears within 10 s that the engine is away, also when it
   takes calls and does not answer: a last try that is cut to a second may need 3 more. */
enum { ASK_MS = 6000, REPORT_MS = 60000 };

static const struct method {
	const char *name;
	enum az_grpc_retry retry;
	int64_t deadline_ms, total_ms;
	bool fresh;
	const ProtobufCMessageDescriptor *reply;
} methods[RPC_COUNT_OF] = {
    [RPC_START] = {"StartWorkflowExecution", AZ_GRPC_NORMAL, ASK, ASK_MS, false,
	&azt__start_workflow_execution_response__descriptor},
    [RPC_HISTORY] = {"GetWorkflowExecutionHistory", AZ_GRPC_NORMAL, ASK, ASK_MS, false,
	&azt__get_workflow_execution_history_response__descriptor},
    [RPC_HISTORY_WAIT] = {"GetWorkflowExecutionHistory", AZ_GRPC_WAIT, POLL, 0, true,
	&azt__get_workflow_execution_history_response__descriptor},
    [RPC_DESCRIBE] = {"DescribeWorkflowExecution", AZ_GRPC_NORMAL, ASK, ASK_MS, false,
	&azt__describe_workflow_execution_response__descriptor},
    [RPC_LIST] = {"ListWorkflowExecutions", AZ_GRPC_NORMAL, ASK, ASK_MS, false,
	&azt__list_workflow_executions_response__descriptor},
    [RPC_COUNT] = {"CountWorkflowExecutions", AZ_GRPC_NORMAL, ASK, ASK_MS, false,
	&azt__count_workflow_executions_response__descriptor},
    [RPC_SIGNAL] = {"SignalWorkflowExecution", AZ_GRPC_NORMAL, ASK, ASK_MS, false,
	&azt__empty__descriptor},
    [RPC_SIGNAL_START] = {"SignalWithStartWorkflowExecution", AZ_GRPC_NORMAL, ASK, ASK_MS, false,
	&azt__signal_with_start_workflow_execution_response__descriptor},
    [RPC_CANCEL] = {"RequestCancelWorkflowExecution", AZ_GRPC_NORMAL, ASK, ASK_MS, false,
	&azt__empty__descriptor},
    [RPC_TERMINATE] = {"TerminateWorkflowExecution", AZ_GRPC_NORMAL, ASK, ASK_MS, false,
	&azt__empty__descriptor},
    [RPC_DELETE] = {"DeleteWorkflowExecution", AZ_GRPC_NORMAL, ASK, ASK_MS, false,
	&azt__empty__descriptor},
    [RPC_SYSTEM_INFO] = {"GetSystemInfo", AZ_GRPC_ONCE, BEAT, 0, false,
	&azt__get_system_info_response__descriptor},
    [RPC_NAMESPACE] = {"DescribeNamespace", AZ_GRPC_ONCE, BEAT, 0, false,
	&azt__describe_namespace_response__descriptor},
    [RPC_TASK_QUEUE] = {"DescribeTaskQueue", AZ_GRPC_ONCE, BEAT, 0, false,
	&azt__describe_task_queue_response__descriptor},
    [RPC_POLL_WORKFLOW] = {"PollWorkflowTaskQueue", AZ_GRPC_POLL, POLL, 0, true,
	&azt__poll_workflow_task_queue_response__descriptor},
    [RPC_WORKFLOW_DONE] = {"RespondWorkflowTaskCompleted", AZ_GRPC_NORMAL, SHORT, 0, false,
	&azt__respond_workflow_task_completed_response__descriptor},
    [RPC_WORKFLOW_FAILED] = {"RespondWorkflowTaskFailed", AZ_GRPC_NORMAL, SHORT, 0, false,
	&azt__empty__descriptor},
    [RPC_QUERY_DONE] = {"RespondQueryTaskCompleted", AZ_GRPC_NORMAL, SHORT, 0, false,
	&azt__empty__descriptor},
    [RPC_POLL_ACTIVITY] = {"PollActivityTaskQueue", AZ_GRPC_POLL, POLL, 0, true,
	&azt__poll_activity_task_queue_response__descriptor},
    [RPC_ACTIVITY_DONE] = {"RespondActivityTaskCompleted", AZ_GRPC_NORMAL, SHORT, REPORT_MS, false,
	&azt__empty__descriptor},
    [RPC_ACTIVITY_FAILED] = {"RespondActivityTaskFailed", AZ_GRPC_NORMAL, SHORT, REPORT_MS, false,
	&azt__respond_activity_task_failed_response__descriptor},
    [RPC_ACTIVITY_CANCELED] = {"RespondActivityTaskCanceled", AZ_GRPC_NORMAL, SHORT, REPORT_MS,
	false, &azt__empty__descriptor},
    [RPC_HEARTBEAT] = {"RecordActivityTaskHeartbeat", AZ_GRPC_ONCE, BEAT, 0, false,
	&azt__record_activity_task_heartbeat_response__descriptor},
    [RPC_SHUTDOWN] = {"ShutdownWorker", AZ_GRPC_ONCE, BEAT, 0, false, &azt__empty__descriptor},
};

static void *
arena_alloc(void *a, size_t n)
{
	return az_arena_alloc(a, n);
}

static void
arena_free(void *a, void *p)
{
	(void)a;
	(void)p; /* dies with the arena */
}

ProtobufCAllocator
rpc_allocator(struct az_arena *a)
{
	return (ProtobufCAllocator){arena_alloc, arena_free, a};
}

/* Wrong settings are the operator's to mend, and a server that is busy or moves a namespace
   is away: nobody's request is malformed by them, over a limit, or in conflict with a run.
   A missing run's message may quote its id, so a missing namespace is told by how it begins. */
static enum az_code
meaning(enum az_code rc, const struct az_grpc_status *st, struct az_err *err)
{
	bool ns = rc == AZ_ENOTFOUND && strncasecmp(st->message, "namespace", 9) == 0;
	bool state = st->code == AZ_GRPC_ABORTED || st->code == AZ_GRPC_FAILED_PRECONDITION;

	if (!ns && !state && rc != AZ_EAUTH && rc != AZ_EPERM && rc != AZ_EUNSUPPORTED &&
	    rc != AZ_EQUOTA)
		return rc;
	if (err)
		err->code = AZ_EUNAVAIL;
	return AZ_EUNAVAIL;
}

static bool
closing(void *arg)
{
	struct restack *r = arg;

	return atomic_load(&r->closing);
}

enum az_code
rpc_call(struct restack *r, const struct rpc_call *c, struct az_arena *a, void *reply,
    struct az_grpc_status *st, struct az_err *err)
{
	const struct method *m = &methods[c->method];
	ProtobufCAllocator in_arena = rpc_allocator(a);
	struct az_grpc_status own = {.code = AZ_GRPC_OK};
	struct az_buf body = {0};
	ProtobufCMessage *msg = NULL;
	size_t n = protobuf_c_message_get_packed_size(c->req);
	char path[160];
	uint8_t *packed;
	struct az_grpc_call call = {.path = path,
	    .deadline_ms = c->deadline_ms ? c->deadline_ms : m->deadline_ms,
	    .total_ms = c->total_ms ? c->total_ms : m->total_ms,
	    .retry = m->retry,
	    .fresh = m->fresh,
	    .cancelled = c->cancelled ? c->cancelled : closing,
	    .failing = c->failing,
	    .arg = c->cancelled ? c->arg : r};
	enum az_code rc;

	snprintf(path, sizeof path, SERVICE "%s", m->name);
	if (!(packed = malloc(n + 1)))
		return az_fail(err, AZ_ENOMEM, "engine.call", "out of memory");
	call.body = az_str_n((char *)packed, protobuf_c_message_pack(c->req, packed));
	rc = az_grpc_call(r->grpc, &call, &body, st ? st : &own, err);
	free(packed);
	if (rc)
		rc = meaning(rc, st ? st : &own, err);
	else if (!(msg = temporal_unpack(m->reply, &in_arena, body.p, body.n)))
		rc = az_fail(
		    err, AZ_EUPSTREAM, "engine.call", "%s: the reply is no such message", m->name);
	if (reply)
		memcpy(reply, &msg, sizeof msg);
	az_buf_release(&body);
	az_grpc_status_release(&own);
	return rc;
}

char *
rpc_cstr(struct az_arena *a, struct az_str s)
{
	return memchr(s.n ? s.p : "", 0, s.n) ? NULL : az_arena_cstr(a, s);
}

ProtobufCBinaryData
rpc_bytes(struct az_str s)
{
	return (ProtobufCBinaryData){.len = s.n, .data = (uint8_t *)(uintptr_t)s.p};
}

Azt__WorkflowExecution *
rpc_execution(struct restack *r, struct az_arena *a, struct az_str id)
{
	Azt__WorkflowExecution *x = az_arena_alloc(a, sizeof *x);

	if (!x)
		return NULL;
	azt__workflow_execution__init(x);
	x->workflow_id = restack_addr_id(&r->addr, a, id);
	return x->workflow_id ? x : NULL;
}

char *
rpc_request_id(struct az_arena *a)
{
	unsigned char r[16];
	char hex[33];

	az_random(r, sizeof r);
	az_hex(r, sizeof r, hex);
	return az_arena_printf(
	    a, "%.8s-%.4s-4%.3s-a%.3s-%.12s", hex, hex + 8, hex + 13, hex + 17, hex + 20);
}
