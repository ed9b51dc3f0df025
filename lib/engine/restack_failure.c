/* Failures: a reason and a sentence of ours, a chain of typed causes of Temporal's. */
#include <azlon/json.h>
#include "restack.h"

/* A chain of causes is followed so far: the depth to which messages are read bounds it too. */
enum { CAUSES_MAX = 100 };

static const char OP[] = "engine.failure";

/* A text that a protobuf string may hold: ours are cut to size at any byte. NULL when out of
   memory. */
static const char *
text(struct az_arena *a, struct az_str s)
{
	const ptrdiff_t nul = az_str_chr(s, '\0');
	char *p;

	if (nul >= 0)
		s.n = (size_t)nul;
	p = az_arena_cstr(a, s);
	if (!p || az_str_utf8_ok(s))
		return p;
	/* good runs stay, each byte between them becomes a question mark */
	for (size_t i = 0; i < s.n;) {
		size_t n = 1;

		while (n < 4 && !az_str_utf8_ok(az_str_sub(s, i, i + n)))
			n++;
		if (az_str_utf8_ok(az_str_sub(s, i, i + n))) {
			i += n;
			continue;
		}
		p[i++] = '?';
	}
	return p;
}

enum az_code
failure_put(struct restack *r, struct az_arena *a, struct az_str reason, struct az_str message,
    struct az_str details, bool retryable, int64_t next_retry_ms, Azt__Failure **out,
    struct az_err *err)
{
	Azt__Failure *f = msg_new(a, &azt__failure__descriptor);
	Azt__ApplicationFailureInfo *app = msg_new(a, &azt__application_failure_info__descriptor);
	enum az_code rc;

	*out = NULL;
	if (!f || !app || !(f->message = text(a, message)) || !(app->type = text(a, reason)))
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	if ((rc = payloads_put(r, a, details, &app->details, err)))
		return rc;
	f->source = "azlon";
	app->non_retryable = !retryable;
	if (retryable && next_retry_ms > 0 &&
	    !(app->next_retry_delay = msg_duration(a, next_retry_ms)))
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	f->failure_info_case = AZT__FAILURE__FAILURE_INFO_APPLICATION;
	f->application = app;
	*out = f;
	return AZ_OK;
}

/* As the local engine says which of the times was up. */
static struct az_str
which(const Azt__TimeoutFailureInfo *t)
{
	static const char *const names[] = {
	    [AZT__TIMEOUT_TYPE__E__START_TO_CLOSE] = "start_to_close",
	    [AZT__TIMEOUT_TYPE__E__SCHEDULE_TO_START] = "schedule_to_start",
	    [AZT__TIMEOUT_TYPE__E__SCHEDULE_TO_CLOSE] = "schedule_to_close",
	    [AZT__TIMEOUT_TYPE__E__HEARTBEAT] = "heartbeat",
	};
	int type = t ? (int)t->timeout_type : 0;

	if (type <= 0 || (size_t)type >= sizeof names / sizeof names[0])
		return AZ_S("");
	return az_str_c(names[type]);
}

/* The sentence; a server or SDK may keep it in a payload, so that a codec can hide it. */
static enum az_code
sentence(struct restack *r, struct az_arena *a, const Azt__Failure *f, struct az_str *out,
    struct az_err *err)
{
	const struct az_json *j;
	struct az_str json;
	enum az_code rc;

	*out = az_str_c(f->message);
	if (!f->encoded_attributes)
		return AZ_OK;
	rc = payload_get(r, a, f->encoded_attributes, &json, err);
	if (!rc && json.n)
		rc = az_json_parse_in(a, json, &az_json_own_limits, &j, err);
	if (rc)
		return rc == AZ_ENOMEM ? rc : AZ_OK;
	if (json.n && az_json_is_str(az_json_get(j, "message")))
		*out = az_json_gets(j, "message");
	return AZ_OK;
}

enum az_code
failure_get(struct restack *r, struct az_arena *a, const Azt__Failure *f, struct az_str *reason,
    struct az_str *message, struct az_str *details, struct az_err *err)
{
	const Azt__Failure *at = f;
	const Azt__ApplicationFailureInfo *app = NULL;
	enum az_code rc;

	*reason = AZ_S("error");
	*message = AZ_S("");
	if (details)
		*details = AZ_S("");
	for (int i = 0; at && i < CAUSES_MAX; i++, at = at->cause) {
		if (at->failure_info_case == AZT__FAILURE__FAILURE_INFO_TIMEOUT) {
			*reason = AZ_S("timeout");
			*message = which(at->timeout);
			return AZ_OK;
		}
		if (at->failure_info_case == AZT__FAILURE__FAILURE_INFO_APPLICATION &&
		    at->application) {
			app = at->application;
			break;
		}
	}
	if (!app)
		at = f;
	if (at && (rc = sentence(r, a, at, message, err)))
		return rc;
	if (!app)
		return AZ_OK;
	if (app->type[0])
		*reason = az_str_c(app->type);
	if (details && (rc = payloads_get(r, a, app->details, details, err))) {
		*details = AZ_S("");
		return rc == AZ_EUNPROC ? AZ_OK : rc;
	}
	return AZ_OK;
}
