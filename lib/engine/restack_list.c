/* Lists, by the engine's visibility store: an index that trails by moments. */
#include <azlon/crypto.h>
#include "restack.h"

#define OP "engine.list"

static const char *
status_name(int state)
{
	switch ((enum az_run_state)state) {
	case AZ_RUN_OPEN:
		return "Running";
	case AZ_RUN_COMPLETED:
		return "Completed";
	case AZ_RUN_FAILED:
		return "Failed";
	case AZ_RUN_CANCELED:
		return "Canceled";
	case AZ_RUN_TIMED_OUT:
		return "TimedOut";
	case AZ_RUN_TERMINATED:
		return "Terminated";
	}
	return NULL;
}

/* Text inside single quotes of a query: nothing in ids and names needs escaping, and what
   would is refused. */
static bool
plain(struct az_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\'' || s.p[i] == '\\' || (unsigned char)s.p[i] < ' ')
			return false;
	return true;
}

/* The hints as a query. engineId is a text attribute, tokenised: the id's prefix is what
   tells engines apart. */
static char *
query(struct restack *r, const struct az_list_query *q, struct az_arena *a)
{
	const char *status = status_name(q->state);
	struct az_buf b;
	char *out;

	az_buf_init(&b, AZ_KIB(4));
	az_buf_addf(&b, "WorkflowId STARTS_WITH '%s-%.*s'", r->addr.engine_id, AZ_FMT(q->prefix));
	if (q->type.n)
		az_buf_addf(&b, " AND WorkflowType = '%.*s'", AZ_FMT(q->type));
	if (status)
		az_buf_addf(&b, " AND ExecutionStatus = '%s'", status);
	out = az_arena_cstr(a, az_buf_str(&b));
	az_buf_release(&b);
	return out;
}

static enum az_code
row(struct restack *r, struct az_arena *a, const Azt__WorkflowExecutionInfo *w,
    const struct az_list_query *q, struct az_list_page *out, struct az_err *err)
{
	struct az_run_info *info = &out->runs[out->n];
	enum az_code rc;

	memset(info, 0, sizeof *info);
	if ((rc = restack_info(r, a, w, info, err)) != AZ_OK)
		return rc;
	/* the memo says whose it is; where a foreign start left none, the caller decides */
	if (info->uid.n && !az_str_eq(info->uid, q->uid))
		return AZ_OK;
	if (info->state != AZ_RUN_OPEN) {
		rc = restack_close_payload(r, a, w->execution, &info->close_payload, err);
		if (rc == AZ_ENOTFOUND) /* removed meanwhile */
			return AZ_OK;
		if (rc != AZ_OK)
			return rc;
	}
	out->n++;
	return AZ_OK;
}

enum az_code
restack_list(struct az_engine *e, const struct az_list_query *q, struct az_arena *a,
    struct az_list_page *out, struct az_err *err)
{
	struct restack *r = (struct restack *)e;
	Azt__ListWorkflowExecutionsRequest req = AZT__LIST_WORKFLOW_EXECUTIONS_REQUEST__INIT;
	Azt__ListWorkflowExecutionsResponse *resp;
	struct az_buf token, next;
	enum az_code rc;

	az_buf_init(&token, AZ_KIB(4));
	az_buf_init(&next, AZ_KIB(8));
	if (!plain(q->type) || !plain(q->prefix) || !az_base64_decode(&token, q->cursor)) {
		rc = az_fail(err, AZ_EINVAL, OP, "bad cursor");
		goto out;
	}
	req.namespace_ = r->addr.ns;
	req.page_size = q->limit;
	req.next_page_token = rpc_bytes(az_buf_str(&token));
	req.query = query(r, q, a);
	if (!req.query) {
		rc = az_fail(err, AZ_ENOMEM, OP, "out of memory");
		goto out;
	}
	if ((rc = rpc_call(r, &(struct rpc_call){.method = RPC_LIST, .req = &req}, a, &resp, NULL,
		 err)) != AZ_OK)
		goto out;
	out->runs = az_arena_alloc(a, (resp->n_executions + 1) * sizeof *out->runs);
	if (!out->runs) {
		rc = az_fail(err, AZ_ENOMEM, OP, "out of memory");
		goto out;
	}
	for (size_t i = 0; rc == AZ_OK && i < resp->n_executions; i++)
		rc = row(r, a, resp->executions[i], q, out, err);
	if (rc == AZ_OK && resp->next_page_token.len) {
		az_base64url(&next,
		    az_str_n((const char *)resp->next_page_token.data, resp->next_page_token.len));
		out->next = az_arena_str(a, az_buf_str(&next));
		if (!out->next.p || out->next.n == 0)
			rc = az_fail(err, AZ_ENOMEM, OP, "out of memory");
	}
out:
	az_buf_release(&token);
	az_buf_release(&next);
	return rc;
}

enum az_code
restack_count(struct az_engine *e, const struct az_list_query *q, int64_t *n, struct az_err *err)
{
	struct restack *r = (struct restack *)e;
	Azt__CountWorkflowExecutionsRequest req = AZT__COUNT_WORKFLOW_EXECUTIONS_REQUEST__INIT;
	Azt__CountWorkflowExecutionsResponse *resp = NULL;
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "engine.count", "out of memory");
	req.namespace_ = r->addr.ns;
	if (!plain(q->type) || !plain(q->prefix))
		rc = az_fail(err, AZ_EINVAL, "engine.count", "bad prefix");
	else if (!(req.query = query(r, q, a)))
		rc = az_fail(err, AZ_ENOMEM, "engine.count", "out of memory");
	else
		rc = rpc_call(
		    r, &(struct rpc_call){.method = RPC_COUNT, .req = &req}, a, &resp, NULL, err);
	if (rc == AZ_OK && resp)
		*n = resp->count;
	az_arena_free(a);
	return rc;
}

/* The server counts runs; what waits in its queues it keeps to itself. */
enum az_code
restack_load(struct az_engine *e, const char *type, struct az_engine_load *out, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	out->fn_waiting = out->fn_later = out->fn_running = out->timers = -1;
	for (int s = AZ_RUN_OPEN; !rc && s <= AZ_RUN_TERMINATED; s++)
		rc = restack_count(e, &(struct az_list_query){.state = s, .type = az_str_c(type)},
		    &out->runs[s], err);
	return rc;
}
