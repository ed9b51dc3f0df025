/* POST /run_workflow: parse once, one call of the engine. What a fork has in common with it. */
#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include "quota.h"
#include "run.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

/* What the Prefer header asks (RFC 7240). */
struct prefer {
	bool async;
	int64_t wait_s; /* -1 = not said */
};

static struct prefer
prefer_of(struct az_rq *rq)
{
	struct prefer p = {.wait_s = -1};
	struct az_str rest = az_rq_header(rq, "Prefer"), part;

	while (az_str_cut(&rest, ',', &part)) {
		part = az_str_trim(part);
		if (az_str_ieq(part, AZ_S("respond-async")))
			p.async = true;
		else if (part.n > 5 && az_str_ieq(az_str_sub(part, 0, 5), AZ_S("wait=")) &&
			 !az_str_to_i64(az_str_sub(part, 5, part.n), 0, RUN_WAIT_MAX_S, &p.wait_s))
			p.wait_s = -1;
	}
	return p;
}

/* The model to use, or 409 with the ways out. */
static enum az_code
choose_model(struct create *c, const struct az_api *api, struct az_err *err)
{
	if (az_str_starts(c->model, AZ_S("recording/")) || az_str_eqc(c->model, "manual") ||
	    (c->model.n && api->has_model))
		return AZ_OK;
	if (c->model.n == 0 && api->has_model && api->default_model) {
		c->model = az_str_c(api->default_model);
		return AZ_OK;
	}
	az_fail(err, AZ_ECONFLICT, "api.create",
	    "No model is configured. Set OPENAI_API_KEY "
	    "(or OPENAI_BASE_URL) and AZLON_MODEL, or name a recording (\"model\":"
	    "\"recording/NAME\"), or reply by hand (\"model\":\"manual\").");
	return az_err_reason(err, "llm_not_configured");
}

enum az_code
create_read_body(
    struct az_rq *rq, struct az_str *body, const struct az_json **json, struct az_err *err)
{
	enum az_code rc;

	if ((rc = api_json_type(rq, err)) != AZ_OK ||
	    (rc = az_rq_body(rq, AZ_LIM_REQUEST_BYTES, body, err)) != AZ_OK ||
	    (rc = az_json_parse_in(az_rq_arena(rq), *body, &az_json_request_limits, json, err)) !=
		AZ_OK)
		return rc;
	if (az_json_type(*json) != AZ_JOBJ)
		return az_fail(err, AZ_EINVAL, "api.create", "the body must be an object");
	return AZ_OK;
}

/* An earlier run of the same Idempotency-Key: the same body, or a refusal. */
static enum az_code
compare_body(
    const struct az_run_info *info, struct az_arena *a, const char *sha, struct az_err *err)
{
	const struct az_json *memo = NULL;
	enum az_code rc = az_json_parse_in(a, info->memo, &az_json_own_limits, &memo, err);

	if (rc != AZ_OK)
		return rc;
	if (az_str_eqc(az_json_gets(memo, "body_sha256"), sha))
		return AZ_OK;
	az_fail(err, AZ_EUNPROC, "api.create", "This Idempotency-Key was used with another body.");
	return az_err_reason(err, "idempotency_mismatch");
}

/* The id to start, and whether an earlier use of the key already made the run. */
static enum az_code
choose_id(struct az_rq *rq, const struct az_api *api, struct az_str uid, struct az_str *id,
    bool *existed, struct az_run_info *info, struct az_err *err)
{
	struct az_str key = az_rq_header(rq, "Idempotency-Key");
	struct az_arena *a = az_rq_arena(rq);
	int64_t now = az_wall_ms();
	enum az_code rc = AZ_OK;
	struct az_buf b;

	az_buf_init(&b, 200);
	if (!key.p) {
		az_wid_make(&b, uid, now, NULL);
		rc = az_buf_check(&b, "api.create", err);
		goto out;
	}
	if (key.n > 255)
		rc = az_fail(err, AZ_EINVAL, "api.create", "Idempotency-Key: at most 255 bytes");
	/* a key stays good over midnight and a change of the secret; last comes what a new run is
	   called: of today, by the first secret */
	for (size_t i = 2 * api->secrets.n; rc == AZ_OK && !*existed && i-- > 0;) {
		az_buf_reset(&b);
		rc = idem_wid(api, i / 2, uid, key, i % 2 ? now - DAY_MS : now, &b, err);
		if (rc == AZ_OK)
			rc = az_engine_describe(api->engine, az_buf_str(&b), a, info, err);
		*existed = rc == AZ_OK;
		rc = rc == AZ_ENOTFOUND ? AZ_OK : rc;
	}
	rc = api_engine_rc(rc, err);
out:
	if (rc == AZ_OK && !(*id = az_arena_str(a, az_buf_str(&b))).p)
		rc = az_fail(err, AZ_ENOMEM, "api.create", "out of memory");
	az_buf_release(&b);
	return rc;
}

/* 202 without asking the engine again: what a run is that has just been accepted. */
static enum az_code
accepted(struct az_rq *rq, const struct create *c, struct az_str uid, struct az_str id,
    struct az_err *err)
{
	struct az_run_info info = {
	    .workflow_id = id, .uid = uid, .state = AZ_RUN_OPEN, .has_worker = true};
	struct az_flow_view v = {.status = "queued",
	    .phase = "prepare",
	    .result = -1,
	    .max_iterations = (int)c->iterations,
	    .checks = AZ_S("[]"),
	    .model_name = c->model,
	    .created_ms = az_wall_ms(),
	    .last_event = 1 + c->n_warnings};
	struct az_buf b, limits, warnings;
	enum az_code rc;

	if (c->fork)
		v.forked_from = c->fork->said;
	az_buf_init(&limits, 200);
	az_buf_addf(&limits,
	    "{\"iterations\":%lld,\"tokens\":%lld,\"wall_s\":%lld,"
	    "\"sandbox_s\":%lld}",
	    (long long)c->iterations, (long long)c->tokens, (long long)c->wall_s,
	    (long long)c->sandbox_s);
	v.limits = az_buf_str(&limits);
	az_buf_init(&warnings, c->warnings.n + 2);
	az_buf_addf(&warnings, "[%.*s]", AZ_FMT(az_buf_str(&c->warnings)));
	az_buf_init(&b, RUN_JSON_BYTES);
	api_run_render(&b, &v, &info, az_buf_str(&warnings), v.created_ms);
	if ((rc = az_buf_check(&b, "api.create", err)) == AZ_OK)
		rc = api_run_accepted(rq, id, az_buf_str(&b), err);
	az_buf_release(&warnings);
	az_buf_release(&limits);
	az_buf_release(&b);
	return rc;
}

/* The wait goes to the wait pool: this thread is free at once. */
static enum az_code
hand_over(struct az_rq *rq, const struct az_api *api, struct az_str uid, struct az_str id,
    int64_t wait_s, bool replayed, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, 2048);
	az_buf_addf(&b, "/_wait/%.*s?owner=", AZ_FMT(id));
	az_pct_encode(&b, uid, NULL);
	az_buf_addc(&b, "&token=");
	rc = api_sign(api, API_FOR_WAIT, uid, id, &b, err);
	if (wait_s >= 0)
		az_buf_addf(&b, "&wait=%lld", (long long)wait_s);
	if (replayed)
		az_buf_addc(&b, "&replayed=1");
	if (rc == AZ_OK && (rc = az_buf_check(&b, "api.create", err)) == AZ_OK)
		az_rs_header(rq, "X-Accel-Redirect", az_buf_str(&b));
	az_buf_release(&b);
	return rc;
}

/* What a run needs that is to start now; a replayed one may have outlived it. */
static enum az_code
check_world(struct az_rq *rq, struct create *c, const struct az_api *api, struct az_str uid,
    bool *refused, struct az_err *err)
{
	enum az_code rc = create_check_inputs(c, api, uid, err);

	if (rc != AZ_OK)
		return rc;
	if (c->n_items == 0) {
		struct az_bucket b = az_bucket_of(uid);

		rc = quota_room(api, &b, err);
		return rc ? rc : choose_model(c, api, err);
	}
	az_fail(err, AZ_EUNPROC, "api.create",
	    "The request is not acceptable: %zu of its members %s wrong.", c->n_items,
	    c->n_items == 1 ? "is" : "are");
	*refused = true;
	return az_rs_problem(rq, 0, err, c->items, c->n_items);
}

/* Only if the engine says so: an answer that did not come in time may be that of a run that did. */
static bool
not_started(struct az_rq *rq, const struct az_api *api, struct az_str id)
{
	struct az_err ignored = AZ_ERR_INIT;
	struct az_run_info info;

	return az_engine_describe(api->engine, id, az_rq_arena(rq), &info, &ignored) ==
	       AZ_ENOTFOUND;
}

/* The run itself, once nothing is wrong with what it needs; *refused when that was said. */
static enum az_code
begin(struct az_rq *rq, const struct az_api *api, struct create *c, struct az_start *s,
    bool *existed, bool *refused, struct az_err *err)
{
	bool keyed = az_rq_header(rq, "Idempotency-Key").p != NULL;
	struct az_buf input;
	enum az_code rc = c->fork ? fork_prepare(rq, api, c, s->uid, err) : AZ_OK;

	az_buf_init(&input, AZ_LIM_PAYLOAD_BYTES);
	if (rc == AZ_OK)
		rc = check_world(rq, c, api, s->uid, refused, err);
	if (rc != AZ_OK || *refused)
		goto out;
	create_input(c, s->uid, &input);
	if ((rc = az_buf_check(&input, "api.create", err)) != AZ_OK ||
	    (c->fork && (rc = fork_take(rq, api, c->fork, s->workflow_id, err)) != AZ_OK))
		goto out;
	s->input = az_buf_str(&input);
	rc = api_engine_rc(az_engine_start(api->engine, s, existed, err), err);
	/* another request may have started the run of a key */
	if (rc != AZ_OK && c->fork && !keyed && not_started(rq, api, s->workflow_id))
		fork_drop(api, c->fork, s->workflow_id);
out:
	az_buf_release(&input);
	return rc;
}

enum az_code
create_start(struct az_rq *rq, const struct az_api *api, struct create *c, struct az_str uid,
    struct az_str body, struct az_err *err)
{
	struct prefer p = prefer_of(rq);
	struct az_arena *a = az_rq_arena(rq);
	struct az_start s = {.type = az_flow_coding.name, .uid = uid};
	struct az_run_info info;
	bool existed = false, refused = false, async = c->async || p.async;
	char sha[65], memo[128];
	enum az_code rc;

	az_sha256_hex(body, sha);
	snprintf(memo, sizeof memo, "{\"mode\":\"%s\",\"body_sha256\":\"%s\"}",
	    async ? "async" : "sync", sha);
	s.memo = az_str_c(memo);
	if ((rc = choose_id(rq, api, uid, &s.workflow_id, &existed, &info, err)) != AZ_OK)
		return rc;
	if (!existed) {
		rc = begin(rq, api, c, &s, &existed, &refused, err);
		if (rc != AZ_OK || refused)
			return rc;
		if (existed)
			rc = api_engine_rc(
			    az_engine_describe(api->engine, s.workflow_id, a, &info, err), err);
	}
	if (rc == AZ_OK && existed) {
		rc = compare_body(&info, a, sha, err);
		az_rs_header(rq, "Idempotency-Replayed", AZ_S("true"));
	}
	if (rc != AZ_OK)
		return rc;
	if (!async || p.wait_s > 0)
		return hand_over(rq, api, uid, s.workflow_id, p.wait_s, existed, err);
	if (existed) {
		struct api_run r;

		rc = api_run_load(api, a, uid, s.workflow_id, &r, err);
		return rc == AZ_OK ? api_run_accepted(rq, s.workflow_id, r.json, err) : rc;
	}
	return accepted(rq, c, uid, s.workflow_id, err);
}

enum az_code
run_create(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct create c = {.a = az_rq_arena(rq), .service = api};
	const struct az_json *json = NULL;
	struct az_caller who;
	struct az_str body, user;
	enum az_code rc;

	/* nobody's body is read; only in dev it may say who calls */
	if ((rc = api_caller(rq, api, (struct az_str){NULL, 0}, &who, err)) != AZ_OK ||
	    (rc = create_read_body(rq, &body, &json, err)) != AZ_OK)
		return rc;
	user = az_json_gets(json, "user_id");
	if (who.assumed && (rc = api_caller(rq, api, user.n ? user : AZ_S(""), &who, err)) != AZ_OK)
		return rc;
	if (user.n && !az_str_eq(user, who.uid))
		return az_fail(err, AZ_EPERM, "api.create", "user_id is not the caller's");
	az_buf_init(&c.warnings, AZ_KIB(32));
	create_check(&c, json);
	rc = create_start(rq, api, &c, who.uid, body, err);
	az_buf_release(&c.warnings);
	return rc;
}
