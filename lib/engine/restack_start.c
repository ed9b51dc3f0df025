/* Starting a workflow, with a signal or without: what Restack's clients put into a start,
   plus our owner. */
#include <azlon/json.h>
#include <azlon/log.h>
#include "restack.h"

#define OP "engine.start"

enum { MEMO_ENGINE, MEMO_UID, MEMO_APP, MEMO_FIELDS };

struct start {
	Azt__StartWorkflowExecutionRequest req;
	Azt__WorkflowType type;
	Azt__TaskQueue queue;
	Azt__Memo memo;
	Azt__Memo__FieldsEntry field[MEMO_FIELDS], *fields[MEMO_FIELDS];
	Azt__SearchAttributes attrs;
	Azt__SearchAttributes__IndexedFieldsEntry attr, *attr_list[1];
	Azt__Payload engine_attr;
	Azt__Payload__MetadataEntry meta[2], *metas[2];
};

static struct az_str
json_string(struct az_arena *a, struct az_str s)
{
	struct az_buf b;
	struct az_jw w;
	struct az_str out;

	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&w, &b);
	az_jw_str(&w, s);
	out = az_arena_str(a, az_buf_str(&b));
	az_buf_release(&b);
	return out;
}

static enum az_code
memo(struct restack *r, struct az_arena *a, struct start *m, const struct az_start *s,
    struct az_err *err)
{
	static const char *const keys[MEMO_FIELDS] = {
	    "engineId", RESTACK_MEMO_UID, RESTACK_MEMO_APP};
	const struct az_str values[MEMO_FIELDS] = {
	    json_string(a, az_str_c(r->addr.engine_id)), json_string(a, s->uid), s->memo};
	enum az_code rc;

	azt__memo__init(&m->memo);
	m->memo.fields = m->fields;
	for (size_t i = 0; i < MEMO_FIELDS; i++) {
		Azt__Memo__FieldsEntry *f = &m->field[m->memo.n_fields];

		if (values[i].n == 0)
			continue;
		azt__memo__fields_entry__init(f);
		f->key = keys[i];
		if ((rc = payload_put(r, a, values[i], &f->value, err)) != AZ_OK)
			return rc;
		m->fields[m->memo.n_fields++] = f;
	}
	m->req.memo = &m->memo;
	return AZ_OK;
}

static void
metadata(struct start *m, size_t i, const char *key, const char *value)
{
	azt__payload__metadata_entry__init(&m->meta[i]);
	m->meta[i].key = key;
	m->meta[i].value = rpc_bytes(az_str_c(value));
	m->metas[i] = &m->meta[i];
}

/* engineId as Restack's own clients set it; never through a codec. */
static enum az_code
search_attribute(struct restack *r, struct az_arena *a, struct start *m, struct az_err *err)
{
	struct az_str id = json_string(a, az_str_c(r->addr.engine_id));

	if (!id.p)
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	azt__search_attributes__init(&m->attrs);
	azt__search_attributes__indexed_fields_entry__init(&m->attr);
	azt__payload__init(&m->engine_attr);
	metadata(m, 0, "encoding", "json/plain");
	metadata(m, 1, "type", "Text");
	m->engine_attr.metadata = m->metas;
	m->engine_attr.n_metadata = 2;
	m->engine_attr.data = rpc_bytes(id);
	m->attr.key = "engineId";
	m->attr.value = &m->engine_attr;
	m->attr_list[0] = &m->attr;
	m->attrs.indexed_fields = m->attr_list;
	m->attrs.n_indexed_fields = 1;
	m->req.search_attributes = &m->attrs;
	return AZ_OK;
}

static enum az_code
fill(struct restack *r, struct az_arena *a, struct start *m, const struct az_start *s,
    struct az_err *err)
{
	enum az_code rc;

	azt__start_workflow_execution_request__init(&m->req);
	azt__workflow_type__init(&m->type);
	azt__task_queue__init(&m->queue);
	m->req.namespace_ = r->addr.ns;
	m->req.workflow_id = restack_addr_id(&r->addr, a, s->workflow_id);
	m->type.name = s->type;
	m->req.workflow_type = &m->type;
	m->queue.name = r->addr.queue;
	m->queue.kind = AZT__TASK_QUEUE_KIND__E__NORMAL;
	m->req.task_queue = &m->queue;
	m->req.identity = r->client_id;
	m->req.request_id = rpc_request_id(a);
	/* an id is used once, also when its run is over */
	m->req.workflow_id_reuse_policy = AZT__WORKFLOW_ID_REUSE_POLICY__E__REJECT_DUPLICATE;
	if (!m->req.workflow_id || !m->req.request_id)
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	if ((rc = payloads_put(r, a, s->input, &m->req.input, err)) != AZ_OK ||
	    (rc = memo(r, a, m, s, err)) != AZ_OK)
		return rc;
	return atomic_load(&r->no_search_attribute) ? AZ_OK : search_attribute(r, a, m, err);
}

/* Plain Temporal does not know the attribute: then we do without it from now on. */
static bool
attribute_unknown(const struct restack *r, const struct az_grpc_status *st)
{
	return st->code == AZ_GRPC_INVALID_ARGUMENT && !atomic_load(&r->no_search_attribute) &&
	       strstr(st->message, "search attribute") && strstr(st->message, "engineId");
}

/* Once more without the attribute when the server does not know it; *attrs is where the
   request has it. */
static enum az_code
send(struct restack *r, struct az_arena *a, const struct rpc_call *call,
    Azt__SearchAttributes **attrs, struct az_grpc_status *st, struct az_err *err)
{
	enum az_code rc = rpc_call(r, call, a, NULL, st, err);

	if (rc == AZ_OK || !attribute_unknown(r, st))
		return rc;
	if (!atomic_exchange(&r->no_search_attribute, true))
		az_log(AZ_WARN, "engine.degraded",
		    AZ_KC("why", "the server has no search "
				 "attribute engineId; runs are started without it"));
	*attrs = NULL;
	return rpc_call(r, call, a, NULL, st, err);
}

/* What an AZ_EINVAL of the server means: ids and sizes were checked here. */
static enum az_code
refused(enum az_code rc, const struct az_grpc_status *st, struct az_err *err)
{
	if (rc != AZ_EINVAL)
		return rc;
	/* the server's own limit may be below ours */
	if (strstr(st->message, "exceeds limit"))
		return az_fail(err, AZ_ETOOBIG, OP, "the start is over the engine's size limit: %s",
		    st->message);
	/* what is left is between us and the server */
	return az_fail(err, AZ_EUPSTREAM, OP, "the engine refused the start: %s", st->message);
}

enum az_code
restack_start(struct az_engine *e, const struct az_start *s, bool *existed, struct az_err *err)
{
	struct restack *r = (struct restack *)e;
	struct az_arena *a = az_arena_new(AZ_MIB(8));
	struct az_grpc_status st = {.code = AZ_GRPC_OK};
	struct rpc_call call = {.method = RPC_START};
	struct start m;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	if ((rc = fill(r, a, &m, s, err)) != AZ_OK)
		goto out;
	call.req = &m.req;
	rc = send(r, a, &call, &m.req.search_attributes, &st, err);
	if (rc != AZ_OK && st.code == AZ_GRPC_ALREADY_EXISTS) {
		*existed = true;
		rc = AZ_OK;
	}
	rc = refused(rc, &st, err);
out:
	az_grpc_status_release(&st);
	az_arena_free(a);
	return rc;
}

enum az_code
restack_signal_start(struct az_engine *e, const struct az_start *s, const char *name,
    struct az_str payload, struct az_err *err)
{
	Azt__SignalWithStartWorkflowExecutionRequest req =
	    AZT__SIGNAL_WITH_START_WORKFLOW_EXECUTION_REQUEST__INIT;
	struct restack *r = (struct restack *)e;
	struct az_arena *a = az_arena_new(AZ_MIB(8));
	struct az_grpc_status st = {.code = AZ_GRPC_OK};
	struct rpc_call call = {.method = RPC_SIGNAL_START, .req = &req};
	struct start m;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	if ((rc = fill(r, a, &m, s, err)) != AZ_OK ||
	    (rc = payloads_put(r, a, payload, &req.signal_input, err)) != AZ_OK)
		goto out;
	req.namespace_ = m.req.namespace_;
	req.workflow_id = m.req.workflow_id;
	req.workflow_type = m.req.workflow_type;
	req.task_queue = m.req.task_queue;
	req.input = m.req.input;
	req.identity = m.req.identity;
	req.request_id = m.req.request_id;
	req.memo = m.req.memo;
	req.search_attributes = m.req.search_attributes;
	req.workflow_id_reuse_policy = AZT__WORKFLOW_ID_REUSE_POLICY__E__ALLOW_DUPLICATE;
	req.signal_name = name;
	rc = refused(send(r, a, &call, &req.search_attributes, &st, err), &st, err);
out:
	az_grpc_status_release(&st);
	az_arena_free(a);
	return rc;
}
