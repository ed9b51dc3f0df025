/* The port: preconditions are checked here, once, for every adapter. */
#include <azlon/engine.h>
#include <azlon/limits.h>

enum { ID_MAX = 200, NAME_MAX_BYTES = 100, UID_MAX = 128 };

static bool
id_ok(struct az_str id)
{
	if (id.n < 1 || id.n > ID_MAX)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		char c = id.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '_' || c == '-'))
			return false;
	}
	return true;
}

static enum az_code
check_id(struct az_str id, const char *op, struct az_err *err)
{
	if (!id_ok(id))
		return az_fail(err, AZ_EINVAL, op, "bad workflow id");
	return AZ_OK;
}

static enum az_code
check_name(const char *name, const char *op, struct az_err *err)
{
	size_t n = name ? strlen(name) : 0;

	if (n < 1 || n > NAME_MAX_BYTES)
		return az_fail(err, AZ_EINVAL, op, "bad name");
	return AZ_OK;
}

static enum az_code
check_payload(struct az_str s, const char *op, struct az_err *err)
{
	if (s.n > AZ_LIM_PAYLOAD_BYTES)
		return az_fail(err, AZ_ETOOBIG, op, "payload over %zu bytes", AZ_LIM_PAYLOAD_BYTES);
	return AZ_OK;
}

static enum az_code
check_start(const struct az_start *s, const char *op, struct az_err *err)
{
	enum az_code rc;

	if ((rc = check_id(s->workflow_id, op, err)) || (rc = check_name(s->type, op, err)) ||
	    (rc = check_payload(s->input, op, err)) || (rc = check_payload(s->memo, op, err)))
		return rc;
	if (s->uid.n < 1 || s->uid.n > UID_MAX)
		return az_fail(err, AZ_EINVAL, op, "bad uid");
	return AZ_OK;
}

enum az_code
az_engine_start(struct az_engine *e, const struct az_start *s, bool *existed, struct az_err *err)
{
	enum az_code rc = check_start(s, "engine.start", err);
	bool dummy;

	if (rc)
		return rc;
	if (!existed)
		existed = &dummy;
	*existed = false;
	return e->ops->start(e, s, existed, err);
}

enum az_code
az_engine_describe(struct az_engine *e, struct az_str id, struct az_arena *a,
    struct az_run_info *out, struct az_err *err)
{
	enum az_code rc = check_id(id, "engine.describe", err);

	memset(out, 0, sizeof *out);
	return rc ? rc : e->ops->describe(e, id, a, out, err);
}

enum az_code
az_engine_history(struct az_engine *e, struct az_str id, int64_t after, size_t max,
    struct az_arena *a, struct az_history *out, struct az_err *err)
{
	enum az_code rc = check_id(id, "engine.history", err);

	memset(out, 0, sizeof *out);
	if (!rc && (after < 0 || max < 1))
		rc = az_fail(err, AZ_EINVAL, "engine.history", "bad range");
	return rc ? rc : e->ops->history(e, id, after, max, a, out, err);
}

static enum az_code
check_query(const struct az_list_query *q, const char *op, struct az_err *err)
{
	if (q->uid.n < 1 || q->uid.n > UID_MAX)
		return az_fail(err, AZ_EINVAL, op, "bad uid");
	if (q->state < 0 || q->state > AZ_RUN_TERMINATED)
		return az_fail(err, AZ_EINVAL, op, "no such state");
	return AZ_OK;
}

enum az_code
az_engine_list(struct az_engine *e, const struct az_list_query *q, struct az_arena *a,
    struct az_list_page *out, struct az_err *err)
{
	static const char op[] = "engine.list";
	enum az_code rc = check_query(q, op, err);

	memset(out, 0, sizeof *out);
	if (!rc && (q->limit < 1 || q->limit > 200))
		rc = az_fail(err, AZ_EINVAL, op, "limit is not in 1..200");
	return rc ? rc : e->ops->list(e, q, a, out, err);
}

enum az_code
az_engine_count(struct az_engine *e, const struct az_list_query *q, int64_t *n, struct az_err *err)
{
	enum az_code rc = check_query(q, "engine.count", err);

	*n = 0;
	return rc ? rc : e->ops->count(e, q, n, err);
}

enum az_code
az_engine_load(
    struct az_engine *e, const char *type, struct az_engine_load *out, struct az_err *err)
{
	enum az_code rc = check_name(type, "engine.load", err);

	memset(out, 0, sizeof *out);
	return rc ? rc : e->ops->load(e, type, out, err);
}

enum az_code
az_engine_wait(struct az_engine *e, struct az_str id, int64_t seen, int64_t ms, const bool *stop,
    int64_t *now, struct az_err *err)
{
	enum az_code rc = check_id(id, "engine.wait", err);
	int64_t dummy;

	if (!now)
		now = &dummy;
	*now = seen;
	if (ms < 0)
		ms = 0;
	return rc ? rc : e->ops->wait(e, id, seen, ms, stop, now, err);
}

enum az_code
az_engine_signal(struct az_engine *e, struct az_str id, const char *name, struct az_str payload,
    struct az_err *err)
{
	static const char op[] = "engine.signal";
	enum az_code rc;

	if ((rc = check_id(id, op, err)) || (rc = check_name(name, op, err)) ||
	    (rc = check_payload(payload, op, err)))
		return rc;
	return e->ops->signal(e, id, name, payload, err);
}

enum az_code
az_engine_signal_start(struct az_engine *e, const struct az_start *s, const char *name,
    struct az_str payload, struct az_err *err)
{
	static const char op[] = "engine.signal_start";
	enum az_code rc;

	if ((rc = check_start(s, op, err)) || (rc = check_name(name, op, err)) ||
	    (rc = check_payload(payload, op, err)))
		return rc;
	return e->ops->signal_start(e, s, name, payload, err);
}

enum az_code
az_engine_cancel(struct az_engine *e, struct az_str id, struct az_str payload, struct az_err *err)
{
	static const char op[] = "engine.cancel";
	enum az_code rc;

	if ((rc = check_id(id, op, err)) || (rc = check_payload(payload, op, err)))
		return rc;
	return e->ops->cancel(e, id, payload, err);
}

enum az_code
az_engine_terminate(struct az_engine *e, struct az_str id, const char *reason, struct az_err *err)
{
	enum az_code rc = check_id(id, "engine.terminate", err);

	return rc ? rc : e->ops->terminate(e, id, reason ? reason : "", err);
}

enum az_code
az_engine_remove(struct az_engine *e, struct az_str id, struct az_err *err)
{
	enum az_code rc = check_id(id, "engine.remove", err);

	return rc ? rc : e->ops->remove(e, id, err);
}

enum az_code
az_engine_ping(struct az_engine *e, struct az_err *err)
{
	return e->ops->ping(e, err);
}

enum az_code
az_engine_work(struct az_engine *e, const struct az_worker *w, struct az_err *err)
{
	static const char op[] = "engine.work";

	if (!w->workflows || !w->functions)
		return az_fail(err, AZ_EINVAL, op, "nothing to host");
	if (w->slots < 0 || w->slots > 256 || w->drain_ms < 0)
		return az_fail(err, AZ_EINVAL, op, "slots or drain_ms");
	return e->ops->work(e, w, err);
}

void
az_engine_stop(struct az_engine *e)
{
	e->ops->stop(e);
}

void
az_engine_close(struct az_engine *e)
{
	if (e)
		e->ops->close(e);
}
