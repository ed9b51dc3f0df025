/* A workflow task: the whole history, the fold, its commands. */
#include <azlon/log.h>
#include "restack_worker.h"

#define OP "engine.task"

static const struct az_workflow *
workflow_of(const struct rworker *w, struct az_str name)
{
	for (const struct az_workflow *wf = w->opt->workflows; wf->name; wf++)
		if (az_str_eqc(name, wf->name))
			return wf;
	return NULL;
}

/* Nobody is helped by a loop: the first try says what is wrong, later ones stay silent and
   the server tries again after the task's timeout, maybe with a newer worker. */
static void
refuse(struct rworker *w, struct az_arena *a, const Azt__PollWorkflowTaskQueueResponse *task,
    const struct az_err *why)
{
	Azt__RespondWorkflowTaskFailedRequest req = AZT__RESPOND_WORKFLOW_TASK_FAILED_REQUEST__INIT;
	Azt__Failure *f;
	struct az_err err = AZ_ERR_INIT;

	az_log(AZ_ERROR, "engine.task", AZ_KE(why), AZ_KN("attempt", task->attempt));
	if (task->attempt > 1)
		return;
	req.task_token = task->task_token;
	req.cause = why->code == AZ_EINTERNAL
			? AZT__WORKFLOW_TASK_FAILED_CAUSE__E__NON_DETERMINISTIC_ERROR
			: AZT__WORKFLOW_TASK_FAILED_CAUSE__E__WORKFLOW_WORKER_UNHANDLED_FAILURE;
	req.identity = w->r->worker_id;
	req.namespace_ = w->r->addr.ns;
	if (failure_put(w->r, a, az_str_c(az_code_name(why->code)), az_str_c(why->text), AZ_S(""),
		false, 0, &f, &err) == AZ_OK) {
		req.failure = f;
		if (rpc_call(w->r, &(struct rpc_call){.method = RPC_WORKFLOW_FAILED, .req = &req},
			a, NULL, NULL, &err) == AZ_OK)
			return;
	}
	if (err.code != AZ_ENOTFOUND)
		az_log(AZ_WARN, "engine.task", AZ_KE(&err));
}

/* History from event 1 up to the task's start, never less. */
static enum az_code
read_history(struct rworker *w, const Azt__PollWorkflowTaskQueueResponse *task, struct events *ev,
    struct az_err *err)
{
	struct az_str id = az_str_c(task->workflow_execution->workflow_id);
	const char *run = task->workflow_execution->run_id;
	const Azt__History *h = task->history;
	bool whole = h && h->n_events && h->events[0]->event_id == 1;
	enum az_code rc = AZ_OK;

	if (whole)
		rc = events_add(w->r, ev, h, err);
	if (rc == AZ_OK && (!whole || task->next_page_token.len))
		rc = events_fetch(w->r, ev, id, run, whole ? &task->next_page_token : NULL, err);
	if (rc == AZ_OK && ev->last_id < task->started_event_id)
		rc = az_fail(err, AZ_EUPSTREAM, OP, "the history ends before the task's start");
	return rc;
}

static void
metadata(Azt__RespondWorkflowTaskCompletedRequest *done, Azt__WorkflowTaskCompletedMetadata *m)
{
	/* ids and types of commands are checked on replay, as official replayers do */
	static uint32_t flags[] = {1};

	azt__workflow_task_completed_metadata__init(m);
	m->core_used_flags = flags;
	m->n_core_used_flags = 1;
	m->sdk_name = "azlon";
	m->sdk_version = AZ_VERSION;
	done->sdk_metadata = m;
}

/* What would fail in each try ends the run. */
static struct az_cmds
end_with(const char *reason, const struct az_err *why)
{
	struct az_cmds end = {.n = 1};

	end.v[0] = (struct az_cmd){
	    .type = AZ_CMD_FAIL, .reason = az_str_c(reason), .message = az_str_c(why->text)};
	return end;
}

static void
complete(struct rworker *w, struct az_arena *a, const Azt__PollWorkflowTaskQueueResponse *task,
    const struct az_workflow *wf, const struct events *ev, const struct az_cmds *cmds)
{
	Azt__RespondWorkflowTaskCompletedRequest done =
	    AZT__RESPOND_WORKFLOW_TASK_COMPLETED_REQUEST__INIT;
	Azt__WorkflowTaskCompletedMetadata m;
	struct az_history h = {ev->v, ev->n};
	struct az_cmds end;
	struct az_grpc_status st = {.code = AZ_GRPC_OK};
	struct az_err err = AZ_ERR_INIT, why = AZ_ERR_INIT;
	enum az_code rc;

	done.task_token = task->task_token;
	done.identity = w->r->worker_id;
	done.namespace_ = w->r->addr.ns;
	done.worker_instance_key = w->instance;
	metadata(&done, &m);
	rc = commands_put(w->r, a, ev, cmds, &done.commands, &done.n_commands, &why);
	if (rc == AZ_ETOOBIG) {
		end = end_with("payload_too_large", &why);
		rc = commands_put(w->r, a, ev, &end, &done.commands, &done.n_commands, &err);
	}
	if (rc == AZ_OK)
		rc = query_results(w, a, task, wf, &h, &done, &err);
	if (rc != AZ_OK) {
		refuse(w, a, task, err.code ? &err : &why);
		return;
	}
	rc = rpc_call(w->r, &(struct rpc_call){.method = RPC_WORKFLOW_DONE, .req = &done}, a, NULL,
	    &st, &err);
	/* timed out or closed meanwhile, or a signal raced a close: another task follows */
	if (rc == AZ_ENOTFOUND || strstr(st.message, "UnhandledCommand"))
		az_log(AZ_INFO, "engine.task_lost", AZ_KC("why", st.message));
	else if (rc != AZ_OK)
		az_log(AZ_ERROR, "engine.task", AZ_KE(&err));
	az_grpc_status_release(&st);
}

void
task_run(struct rworker *w, struct az_arena *a, const Azt__PollWorkflowTaskQueueResponse *task)
{
	const struct az_workflow *wf;
	struct events ev;
	struct az_cmds cmds = {.n = 0};
	struct az_err err = AZ_ERR_INIT;
	struct az_history h;
	enum az_code rc;

	if (!task->workflow_execution)
		return;
	az_log_context(AZ_S(""),
	    restack_addr_local(&w->r->addr, az_str_c(task->workflow_execution->workflow_id)));
	events_init(&ev, a);
	rc = read_history(w, task, &ev, &err);
	h = (struct az_history){ev.v, ev.n};
	wf = workflow_of(w, ev.type);
	if (rc == AZ_ENOTFOUND)
		goto out; /* closed and gone */
	if (rc == AZ_OK && !wf)
		rc = az_fail(&err, AZ_EUNSUPPORTED, OP, "no workflow %.*s here", AZ_FMT(ev.type));
	if (task->query) {
		query_task(w, a, task, wf, &h, rc ? err.text : NULL);
		goto out;
	}
	if (rc == AZ_OK && ev.suggest_end)
		az_log(AZ_WARN, "engine.long_history", AZ_KN("events", ev.last_id));
	if (rc == AZ_OK && wf)
		rc = wf->fold(&h, a, &cmds, &err);
	/* an encoding that nobody here reads will not become another one */
	if (rc == AZ_EUNPROC && wf) {
		cmds = end_with("bad_input", &err);
		rc = AZ_OK;
	}
	if (rc == AZ_OK)
		complete(w, a, task, wf, &ev, &cmds);
	else
		refuse(w, a, task, &err);
out:
	az_log_context(AZ_S(""), AZ_S(""));
}
