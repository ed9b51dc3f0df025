/* A history fetched, page by page. */
#include "restack.h"
#include "temporal.h"

/* Far fewer pages hold the longest history there is. */
enum { PAGES_MAX = 2000, PAGE_EVENTS = 256 };

static const char OP[] = "engine.history";

/* Batches of events that the server did not take out of their storage. */
static enum az_code
add_raw(struct restack *r, struct events *e, Azt__DataBlob *const *v, size_t n, struct az_err *err)
{
	ProtobufCAllocator mem = rpc_allocator(e->a);
	enum az_code rc = AZ_OK;

	for (size_t i = 0; i < n && !rc; i++) {
		Azt__History *h = NULL;

		if (v[i]->encoding_type == AZT__ENCODING_TYPE__E__PROTO3)
			h = (Azt__History *)temporal_unpack(
			    &azt__history__descriptor, &mem, v[i]->data.data, v[i]->data.len);
		if (!h) {
			(void)az_fail(err, AZ_EUPSTREAM, OP, "a batch of events is unreadable");
			if (err)
				az_err_reason(err, "history_damaged");
			return AZ_EUPSTREAM;
		}
		rc = events_add(r, e, h, err);
	}
	return rc;
}

enum az_code
events_fetch(struct restack *r, struct events *e, struct az_str id, const char *run_id,
    const ProtobufCBinaryData *token, struct az_err *err)
{
	Azt__GetWorkflowExecutionHistoryRequest req =
	    AZT__GET_WORKFLOW_EXECUTION_HISTORY_REQUEST__INIT;
	Azt__GetWorkflowExecutionHistoryResponse *page;
	const struct rpc_call call = {.method = RPC_HISTORY, .req = &req};
	enum az_code rc;

	req.namespace_ = r->addr.ns;
	req.execution = rpc_execution(r, e->a, id);
	if (!req.execution)
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	if (run_id)
		req.execution->run_id = run_id;
	req.maximum_page_size = PAGE_EVENTS;
	req.skip_archival = true;
	if (token)
		req.next_page_token = *token;
	for (int i = 0; i < PAGES_MAX; i++) {
		if ((rc = rpc_call(r, &call, e->a, &page, NULL, err)) ||
		    (rc = events_add(r, e, page->history, err)) ||
		    (rc = add_raw(r, e, page->raw_history, page->n_raw_history, err)))
			return rc;
		if (!page->next_page_token.len)
			return AZ_OK;
		req.next_page_token = page->next_page_token;
	}
	return az_fail(err, AZ_EUPSTREAM, OP, "a history without an end");
}
