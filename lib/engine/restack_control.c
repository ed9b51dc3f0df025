/* Signals, cancels and other ends of a run. */
#include "restack.h"

/* Temporal says NOT_FOUND of a run that is over, too. */
static enum az_code
over(enum az_code rc, const char *op, const struct az_grpc_status *st, struct az_err *err)
{
	/* no id holds a blank: the words are the server's */
	if (rc == AZ_ENOTFOUND && strstr(st->message, "already completed"))
		return az_fail(err, AZ_ECONFLICT, op, "the run is over");
	return rc;
}

static enum az_code
send(struct restack *r, enum rpc method, const void *req, const char *op, struct az_arena *a,
    bool *already, struct az_err *err)
{
	struct az_grpc_status st = {.code = AZ_GRPC_OK};
	enum az_code rc =
	    rpc_call(r, &(struct rpc_call){.method = method, .req = req}, a, NULL, &st, err);

	if (already)
		*already = st.code == AZ_GRPC_ALREADY_EXISTS;
	rc = over(rc, op, &st, err);
	az_grpc_status_release(&st);
	return rc;
}

enum az_code
restack_signal(struct az_engine *e, struct az_str id, const char *name, struct az_str payload,
    struct az_err *err)
{
	static const char op[] = "engine.signal";
	struct restack *r = (struct restack *)e;
	Azt__SignalWorkflowExecutionRequest req = AZT__SIGNAL_WORKFLOW_EXECUTION_REQUEST__INIT;
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	enum az_code rc = AZ_ENOMEM;

	req.namespace_ = r->addr.ns;
	req.signal_name = name;
	req.identity = r->client_id;
	if (a && (req.workflow_execution = rpc_execution(r, a, id)) &&
	    (req.request_id = rpc_request_id(a)))
		rc = payloads_put(r, a, payload, &req.input, err);
	else
		rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
	if (rc == AZ_OK)
		rc = send(r, RPC_SIGNAL, &req, op, a, NULL, err);
	az_arena_free(a);
	return rc;
}

/* The first cancel is Temporal's own, its payload the reason. Temporal takes no second
   one: a later word on it ("now" after "graceful") travels as a signal, which
   restack_events.c reads as a cancel again. */
enum az_code
restack_cancel(struct az_engine *e, struct az_str id, struct az_str payload, struct az_err *err)
{
	static const char op[] = "engine.cancel";
	struct restack *r = (struct restack *)e;
	Azt__RequestCancelWorkflowExecutionRequest req =
	    AZT__REQUEST_CANCEL_WORKFLOW_EXECUTION_REQUEST__INIT;
	Azt__DescribeWorkflowExecutionRequest look = AZT__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
	Azt__DescribeWorkflowExecutionResponse *now;
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	bool again = false;
	enum az_code rc;

	look.namespace_ = req.namespace_ = r->addr.ns;
	req.identity = r->client_id;
	if (!a || !(look.execution = req.workflow_execution = rpc_execution(r, a, id)) ||
	    !(req.reason = rpc_cstr(a, payload)) || !(req.request_id = rpc_request_id(a))) {
		az_arena_free(a);
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	}
	rc = rpc_call(
	    r, &(struct rpc_call){.method = RPC_DESCRIBE, .req = &look}, a, &now, NULL, err);
	if (rc == AZ_OK && now->workflow_execution_info &&
	    restack_state(now->workflow_execution_info->status) != AZ_RUN_OPEN)
		rc = az_fail(err, AZ_ECONFLICT, op, "the run is over");
	else if (rc == AZ_OK && now->workflow_extended_info &&
		 now->workflow_extended_info->cancel_requested)
		again = true;
	else if (rc == AZ_OK)
		/* ALREADY_EXISTS: somebody else's cancel came in between */
		rc = send(r, RPC_CANCEL, &req, op, a, &again, err);
	if (again)
		rc = restack_signal(e, id, RESTACK_SIGNAL_CANCEL, payload, err);
	az_arena_free(a);
	return rc;
}

enum az_code
restack_terminate(struct az_engine *e, struct az_str id, const char *reason, struct az_err *err)
{
	static const char op[] = "engine.terminate";
	struct restack *r = (struct restack *)e;
	Azt__TerminateWorkflowExecutionRequest req =
	    AZT__TERMINATE_WORKFLOW_EXECUTION_REQUEST__INIT;
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	enum az_code rc;

	req.namespace_ = r->addr.ns;
	req.reason = reason;
	req.identity = r->client_id;
	if (a && (req.workflow_execution = rpc_execution(r, a, id)))
		rc = send(r, RPC_TERMINATE, &req, op, a, NULL, err);
	else
		rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
	az_arena_free(a);
	return rc;
}

enum az_code
restack_remove(struct az_engine *e, struct az_str id, struct az_err *err)
{
	static const char op[] = "engine.remove";
	struct restack *r = (struct restack *)e;
	Azt__DeleteWorkflowExecutionRequest req = AZT__DELETE_WORKFLOW_EXECUTION_REQUEST__INIT;
	Azt__DescribeWorkflowExecutionRequest look = AZT__DESCRIBE_WORKFLOW_EXECUTION_REQUEST__INIT;
	Azt__DescribeWorkflowExecutionResponse *now;
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	enum az_code rc;

	look.namespace_ = req.namespace_ = r->addr.ns;
	if (!a || !(look.execution = req.workflow_execution = rpc_execution(r, a, id))) {
		az_arena_free(a);
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	}
	/* deleting an open run would terminate it first */
	rc = rpc_call(
	    r, &(struct rpc_call){.method = RPC_DESCRIBE, .req = &look}, a, &now, NULL, err);
	if (rc == AZ_OK && now->workflow_execution_info &&
	    restack_state(now->workflow_execution_info->status) == AZ_RUN_OPEN)
		rc = az_fail(err, AZ_ECONFLICT, op, "the run is not over");
	else if (rc == AZ_OK) {
		/* this run, whatever is started under its id meanwhile */
		if (now->workflow_execution_info && now->workflow_execution_info->execution)
			req.workflow_execution = now->workflow_execution_info->execution;
		rc = rpc_call(
		    r, &(struct rpc_call){.method = RPC_DELETE, .req = &req}, a, NULL, NULL, err);
	}
	az_arena_free(a);
	return rc;
}
