/* Queries of other clients, answered from the history; nothing is written by them. */
#include <azlon/log.h>
#include "restack_worker.h"

#define OP "engine.query"

struct query_answer
query_run(const struct az_workflow *wf, const struct az_history *h, const Azt__WorkflowQuery *q,
    struct az_arena *a)
{
	struct query_answer out = {.error = "out of memory"};
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc = AZ_ENOTFOUND;
	struct az_buf b;

	az_buf_init(&b, AZ_LIM_PAYLOAD_BYTES);
	if (wf->query)
		rc = wf->query(h, az_str_c(q->query_type), a, &b, &err);
	if (rc == AZ_OK && (rc = az_buf_check(&b, OP, &err)) == AZ_OK) {
		out.json = az_arena_str(a, az_buf_str(&b));
		out.ok = out.json.p != NULL;
	} else if (rc == AZ_ENOTFOUND) {
		out.error = az_arena_printf(a, "no query %.100s; known: %s", q->query_type,
		    wf->query && wf->queries ? wf->queries : "none");
	} else {
		out.error = az_arena_printf(a, "%s", err.text);
	}
	az_buf_release(&b);
	return out;
}

void
query_task(struct rworker *w, struct az_arena *a, const Azt__PollWorkflowTaskQueueResponse *task,
    const struct az_workflow *wf, const struct az_history *h, const char *why)
{
	Azt__RespondQueryTaskCompletedRequest req = AZT__RESPOND_QUERY_TASK_COMPLETED_REQUEST__INIT;
	struct query_answer answer = {.error = why};
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc = AZ_OK;

	if (!why)
		answer = query_run(wf, h, task->query, a);
	req.task_token = task->task_token;
	req.namespace_ = w->r->addr.ns;
	req.completed_type =
	    answer.ok ? AZT__QUERY_RESULT_TYPE__E__ANSWERED : AZT__QUERY_RESULT_TYPE__E__FAILED;
	if (answer.ok)
		rc = payloads_put(w->r, a, answer.json, &req.query_result, &err);
	else
		req.error_message = answer.error ? answer.error : "";
	if (rc == AZ_OK)
		rc = rpc_call(w->r, &(struct rpc_call){.method = RPC_QUERY_DONE, .req = &req}, a,
		    NULL, NULL, &err);
	if (rc != AZ_OK && rc != AZ_ENOTFOUND)
		az_log(AZ_WARN, "engine.query", AZ_KE(&err));
}

enum az_code
query_results(struct rworker *w, struct az_arena *a, const Azt__PollWorkflowTaskQueueResponse *task,
    const struct az_workflow *wf, const struct az_history *h,
    Azt__RespondWorkflowTaskCompletedRequest *done, struct az_err *err)
{
	size_t n = task->n_queries;
	enum az_code rc;

	if (n == 0)
		return AZ_OK;
	if (!(done->query_results = az_arena_alloc(a, n * sizeof *done->query_results)))
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	for (size_t i = 0; i < n; i++) {
		Azt__RespondWorkflowTaskCompletedRequest__QueryResultsEntry *x =
		    az_arena_alloc(a, sizeof *x);
		Azt__WorkflowQueryResult *r = az_arena_alloc(a, sizeof *r);
		struct query_answer answer;

		if (!x || !r)
			return az_fail(err, AZ_ENOMEM, OP, "out of memory");
		azt__respond_workflow_task_completed_request__query_results_entry__init(x);
		azt__workflow_query_result__init(r);
		x->key = task->queries[i]->key;
		x->value = r;
		done->query_results[i] = x;
		if (!task->queries[i]->value)
			continue;
		answer = query_run(wf, h, task->queries[i]->value, a);
		r->result_type = answer.ok ? AZT__QUERY_RESULT_TYPE__E__ANSWERED
					   : AZT__QUERY_RESULT_TYPE__E__FAILED;
		if (!answer.ok)
			r->error_message = answer.error ? answer.error : "";
		else if ((rc = payloads_put(w->r, a, answer.json, &r->answer, err)) != AZ_OK)
			return rc;
	}
	done->n_query_results = n;
	return AZ_OK;
}
