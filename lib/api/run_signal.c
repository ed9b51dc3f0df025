/* POST …/signal: what a person says to a run under way. */
#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include "run.h"

#define TEXT_MAX ((size_t)4000)
#define ID_MAX ((size_t)64)

/* What each signal is, beside its type and id. */
enum part { NOTHING, TEXT_IF_ANY, TEXT, REPLY, LIMITS };

struct kind {
	const char *name;
	enum part part;
	const char *needs; /* only while the run waits for it */
};

static const struct kind kinds[] = {
    {"approve", TEXT_IF_ANY, "approve"},
    {"reject", TEXT_IF_ANY, "approve"},
    {"message", TEXT, NULL},
    {"reply", REPLY, "reply"},
    {"pause", NOTHING, NULL},
    {"resume", NOTHING, NULL},
    {"set_limits", LIMITS, NULL},
};

struct wanted {
	const struct kind *kind;
	struct az_str id, text, limits; /* limits: JSON */
};

static enum az_code
wrong(struct az_rq *rq, const char *loc, const char *msg, const char *type, bool *refused,
    struct az_err *err)
{
	const struct az_problem_item item = {loc, msg, type};

	*refused = true;
	az_fail(err, AZ_EUNPROC, "api.signal", "%s: %s", loc, msg);
	return az_rs_problem(rq, 0, err, &item, 1);
}

static bool
id_ok(struct az_str id)
{
	for (size_t i = 0; i < id.n; i++)
		if ((unsigned char)id.p[i] <= 0x20 || (unsigned char)id.p[i] >= 0x7f)
			return false;
	return id.n <= ID_MAX;
}

static enum az_code
read_limits(
    struct az_rq *rq, const struct az_json *j, struct wanted *w, bool *refused, struct az_err *err)
{
	struct az_arena *a = az_rq_arena(rq);
	struct create c = {.a = a, .body = j};
	enum az_code rc;
	struct az_buf b;
	struct az_jw jw;

	if (az_json_len(az_json_get(j, "limits")) == 0)
		return wrong(
		    rq, "[\"body\",\"limits\"]", "Field required", "missing", refused, err);
	az_buf_init(&c.warnings, AZ_KIB(32));
	create_check_limits(&c);
	az_buf_release(&c.warnings);
	if (c.n_items) {
		*refused = true;
		az_fail(err, AZ_EUNPROC, "api.signal", "The limits are not acceptable.");
		return az_rs_problem(rq, 0, err, c.items, c.n_items);
	}
	az_buf_init(&b, AZ_KIB(8));
	az_jw_init(&jw, &b);
	az_jw_value(&jw, az_json_get(j, "limits"));
	/* what is cut short here would be told as sent, and change nothing */
	rc = az_buf_check(&b, "api.signal", err);
	if (rc == AZ_OK && !(w->limits = az_arena_str(a, az_buf_str(&b))).p)
		rc = az_fail(err, AZ_ENOMEM, "api.signal", "out of memory");
	az_buf_release(&b);
	return rc;
}

static enum az_code
read_part(
    struct az_rq *rq, const struct az_json *j, struct wanted *w, bool *refused, struct az_err *err)
{
	const struct az_json *text = az_json_get(j, "text");
	bool reply = w->kind->part == REPLY;
	static const char *const loc = "[\"body\",\"text\"]";

	if (w->kind->part == NOTHING)
		return AZ_OK;
	if (w->kind->part == LIMITS)
		return read_limits(rq, j, w, refused, err);
	if (az_json_type(text) == AZ_JNULL && w->kind->part == TEXT_IF_ANY)
		return AZ_OK;
	if (!text)
		return wrong(rq, loc, "Field required", "missing", refused, err);
	if (!az_json_is_str(text))
		return wrong(
		    rq, loc, "Input should be a valid string", "string_type", refused, err);
	w->text = az_json_str(text);
	if (w->kind->part != TEXT_IF_ANY && az_str_trim(w->text).n == 0)
		return wrong(
		    rq, loc, "String should not be empty", "string_too_short", refused, err);
	if (!reply && w->text.n > TEXT_MAX)
		return wrong(rq, loc, "At most 4000 bytes", "string_too_long", refused, err);
	return AZ_OK;
}

static enum az_code
read_signal(struct az_rq *rq, struct wanted *w, bool *refused, struct az_err *err)
{
	const struct az_json *j = NULL, *id;
	struct az_str body, type;
	enum az_code rc = api_json_type(rq, err);

	if (rc != AZ_OK || (rc = az_rq_body(rq, AZ_LIM_REQUEST_BYTES, &body, err)) != AZ_OK ||
	    (rc = az_json_parse_in(az_rq_arena(rq), body, &az_json_request_limits, &j, err)) !=
		AZ_OK)
		return rc;
	if (az_json_type(j) != AZ_JOBJ)
		return az_fail(err, AZ_EINVAL, "api.signal", "the body must be an object");
	type = az_json_gets(j, "type");
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (az_str_eqc(type, kinds[i].name))
			w->kind = &kinds[i];
	if (!w->kind)
		return wrong(rq, "[\"body\",\"type\"]",
		    "Input should be approve, reject, message, reply, pause, resume or set_limits",
		    "enum", refused, err);
	id = az_json_get(j, "signal_id");
	w->id = az_json_str(id);
	if (az_json_type(id) != AZ_JNULL && (!az_json_is_str(id) || !id_ok(w->id) || !w->id.n))
		return wrong(rq, "[\"body\",\"signal_id\"]",
		    "Input should be 1 to 64 visible ASCII characters", "string_pattern", refused,
		    err);
	return read_part(rq, j, w, refused, err);
}

/* A reply is stored; only its digest goes through the engine. */
static enum az_code
store_reply(const struct az_api *api, struct az_str uid, struct az_str id, struct az_str text,
    char digest[65], struct az_err *err)
{
	struct az_bucket bucket = az_bucket_of(uid);
	enum az_code rc;
	struct az_buf b;
	char name[sizeof AZ_META_REPLY + 64];

	az_sha256_hex(text, digest);
	snprintf(name, sizeof name, AZ_META_REPLY "%s", digest);
	az_buf_init(&b, 1024);
	az_key_meta(&b, id, name);
	rc = az_buf_check(&b, "api.signal", err);
	if (rc == AZ_OK)
		rc = az_store_put(api->store, &bucket, az_buf_str(&b), text, err);
	az_buf_release(&b);
	return api_store_rc(rc, err);
}

static enum az_code
write_signal(const struct wanted *w, const char *digest, struct az_buf *b, struct az_err *err)
{
	struct az_jw jw;

	az_jw_init(&jw, b);
	az_jw_obj(&jw);
	az_jw_ks(&jw, "signal_id", w->id);
	if (w->kind->part == REPLY)
		az_jw_kc(&jw, "reply", digest);
	else if (w->text.n)
		az_jw_ks(&jw, "text", w->text);
	if (w->limits.n)
		az_jw_kraw(&jw, "limits", w->limits);
	az_jw_end(&jw, '}');
	return az_buf_check(b, "api.signal", err);
}

static enum az_code
finished(struct az_err *err)
{
	az_fail(err, AZ_ECONFLICT, "api.signal", "The run is already finished.");
	return az_err_reason(err, "finished");
}

static enum az_code
too_many(struct az_err *err)
{
	az_fail(err, AZ_ECONFLICT, "api.signal",
	    "The run was sent too many signals and takes no more; it can be cancelled.");
	return az_err_reason(err, "too_many_signals");
}

/* Is it a time for this? The run itself has the last word: it may have moved on. */
static enum az_code
in_time(const struct api_run *r, const struct kind *k, struct az_err *err)
{
	if (r->over)
		return finished(err);
	if (r->deaf)
		return too_many(err);
	if (!k->needs || (r->needs && strcmp(r->needs, k->needs) == 0))
		return AZ_OK;
	az_fail(err, AZ_ECONFLICT, "api.signal", "The run does not wait for %s now.",
	    strcmp(k->needs, "reply") == 0 ? "a reply" : "an approval");
	return az_err_reason(err, "not_awaiting");
}

static enum az_code
send_signal(struct az_rq *rq, const struct az_api *api, struct az_str uid, struct az_str id,
    struct wanted *w, struct az_err *err)
{
	char digest[65] = "";
	enum az_code rc = AZ_OK;
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(16));
	if (w->id.n == 0) {
		az_buf_addc(&b, "sig_");
		az_random_id(&b, 26);
		w->id = az_arena_str(az_rq_arena(rq), az_buf_str(&b));
		az_buf_reset(&b);
	}
	if (w->kind->part == REPLY)
		rc = store_reply(api, uid, id, w->text, digest, err);
	if (rc == AZ_OK)
		rc = write_signal(w, digest, &b, err);
	if (rc == AZ_OK)
		rc = api_engine_rc(
		    az_engine_signal(api->engine, id, w->kind->name, az_buf_str(&b), err), err);
	az_buf_release(&b);
	if (rc == AZ_EQUOTA && !strcmp(err->reason, "too_many_signals"))
		return too_many(err);
	return rc == AZ_ECONFLICT ? finished(err) : rc;
}

static enum az_code
answer(struct az_rq *rq, const struct wanted *w, struct az_str id, const struct api_run *r,
    struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;
	struct az_jw jw;

	az_buf_init(&b, RUN_JSON_BYTES);
	az_jw_init(&jw, &b);
	az_jw_obj(&jw);
	az_jw_ks(&jw, "workflow_id", id);
	az_jw_ks(&jw, "signal_id", w->id);
	az_jw_kraw(&jw, "run", r->json);
	az_jw_end(&jw, '}');
	rc = az_buf_check(&b, "api.signal", err);
	if (rc == AZ_OK)
		rc = api_run_accepted(rq, id, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

enum az_code
run_signal(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_arena *a = az_rq_arena(rq);
	struct wanted w = {.kind = NULL};
	struct az_caller who;
	bool refused = false;
	struct az_str id;
	struct api_run r;
	enum az_code rc;

	if ((rc = api_caller_run(rq, api, &who, &id, err)) != AZ_OK ||
	    (rc = read_signal(rq, &w, &refused, err)) != AZ_OK || refused || !w.kind)
		return rc;
	if ((rc = api_run_load(api, a, who.uid, id, &r, err)) != AZ_OK ||
	    (rc = in_time(&r, w.kind, err)) != AZ_OK ||
	    (rc = send_signal(rq, api, who.uid, id, &w, err)) != AZ_OK ||
	    (rc = api_run_load(api, a, who.uid, id, &r, err)) != AZ_OK)
		return rc;
	az_log(AZ_INFO, "run.signal", AZ_KC("type", w.kind->name), AZ_KS("signal", w.id));
	return answer(rq, &w, id, &r, err);
}
