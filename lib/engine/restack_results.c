/* Closing payloads of closed runs. They never change, so a list of runs asks for each
   once; what is kept is bounded and dies with the process. */
#include <stdlib.h>
#include "restack.h"

#define OP "engine.result"

enum { SLOTS = 512, KEEP_BYTES = 8 * 1024 };

struct restack_results {
	pthread_mutex_t mu;
	struct {
		char *key; /* run id */
		char *payload;
		size_t n;
	} slot[SLOTS];
};

struct restack_results *
results_new(void)
{
	struct restack_results *t = calloc(1, sizeof *t);

	if (t)
		pthread_mutex_init(&t->mu, NULL);
	return t;
}

void
results_free(struct restack_results *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < SLOTS; i++) {
		free(t->slot[i].key);
		free(t->slot[i].payload);
	}
	pthread_mutex_destroy(&t->mu);
	free(t);
}

static size_t
slot_of(const char *run_id)
{
	uint32_t h = 2166136261u;

	for (; *run_id; run_id++)
		h = (h ^ (unsigned char)*run_id) * 16777619u;
	return h % SLOTS;
}

static bool
get(struct restack_results *t, const char *run_id, struct az_arena *a, struct az_str *out)
{
	size_t i = slot_of(run_id);
	bool found;

	pthread_mutex_lock(&t->mu);
	found = t->slot[i].key && strcmp(t->slot[i].key, run_id) == 0;
	if (found)
		*out = az_arena_str(a, az_str_n(t->slot[i].payload, t->slot[i].n));
	pthread_mutex_unlock(&t->mu);
	return found && out->p;
}

static void
keep(struct restack_results *t, const char *run_id, struct az_str payload)
{
	size_t i = slot_of(run_id);
	char *k, *p;

	if (payload.n > KEEP_BYTES || !(k = strdup(run_id)))
		return;
	if (!(p = strndup(payload.n ? payload.p : "", payload.n))) {
		free(k);
		return;
	}
	pthread_mutex_lock(&t->mu);
	free(t->slot[i].key);
	free(t->slot[i].payload);
	t->slot[i].key = k;
	t->slot[i].payload = p;
	t->slot[i].n = payload.n;
	pthread_mutex_unlock(&t->mu);
}

static enum az_code
payload_of(struct restack *r, struct az_arena *a, const Azt__HistoryEvent *ev, struct az_str *out,
    struct az_err *err)
{
	struct az_str reason, message;

	switch ((int)ev->attributes_case) {
	case AZT__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_COMPLETED:
		return payloads_get(r, a, ev->workflow_execution_completed->result, out, err);
	case AZT__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_CANCELED:
		return payloads_get(r, a, ev->workflow_execution_canceled->details, out, err);
	case AZT__HISTORY_EVENT__ATTRIBUTES_WORKFLOW_EXECUTION_FAILED:
		if (!ev->workflow_execution_failed->failure)
			return AZ_OK;
		return failure_get(
		    r, a, ev->workflow_execution_failed->failure, &reason, &message, out, err);
	default:
		return AZ_OK;
	}
}

enum az_code
restack_close_payload(struct restack *r, struct az_arena *a, Azt__WorkflowExecution *x,
    struct az_str *out, struct az_err *err)
{
	Azt__GetWorkflowExecutionHistoryRequest req =
	    AZT__GET_WORKFLOW_EXECUTION_HISTORY_REQUEST__INIT;
	Azt__GetWorkflowExecutionHistoryResponse *resp;
	enum az_code rc;

	*out = AZ_S("");
	if (get(r->results, x->run_id, a, out))
		return AZ_OK;
	req.namespace_ = r->addr.ns;
	req.execution = x;
	req.history_event_filter_type = AZT__HISTORY_EVENT_FILTER_TYPE__E__CLOSE_EVENT;
	req.skip_archival = true;
	if ((rc = rpc_call(r, &(struct rpc_call){.method = RPC_HISTORY, .req = &req}, a, &resp,
		 NULL, err)) != AZ_OK)
		return rc;
	if (!resp->history || resp->history->n_events == 0)
		return AZ_OK;
	rc = payload_of(r, a, resp->history->events[resp->history->n_events - 1], out, err);
	/* another worker's result that we cannot read hides neither the run nor its list */
	if (rc == AZ_EUNPROC) {
		*out = AZ_S("");
		rc = AZ_OK;
	}
	if (rc == AZ_OK && x->run_id[0])
		keep(r->results, x->run_id, *out);
	return rc;
}
