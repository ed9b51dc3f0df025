/* Waiting for a run: long polls, and the wait of a synchronous start. */
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/log.h>
#include "run.h"

#define SLICE_MS 1000 /* how late a leaving client or a stop is noticed */

enum az_code
api_wait_deadline(
    struct az_rq *rq, const struct az_api *api, int64_t *deadline_ms, struct az_err *err)
{
	int64_t s, ms;
	enum az_code rc = az_rq_query_i64(rq, "wait", 0, RUN_WAIT_MAX_S, -1, &s, err);

	*deadline_ms = 0;
	/* the headers of what is so now */
	if (rc != AZ_OK || s < 0 || az_rq_is_head(rq))
		return rc;
	ms = s * 1000 < api->sync_wait_ms ? s * 1000 : api->sync_wait_ms;
	*deadline_ms = az_boot_ms() + ms;
	return AZ_OK;
}

enum az_code
api_run_wait(struct az_rq *rq, const struct az_api *api, struct az_str uid, int64_t deadline_ms,
    struct api_run *r, struct az_err *err)
{
	struct az_str id = r->info.workflow_id;
	int64_t seen = r->info.version, now = seen, left;
	enum az_code rc = AZ_OK;

	while (now == seen && !az_web_stopping(rq) && (left = deadline_ms - az_boot_ms()) > 0) {
		if (!az_rq_connected(rq))
			return az_fail(err, AZ_ECANCELLED, "api.wait", "the client left");
		rc = api_engine_rc(az_engine_wait(api->engine, id, seen,
				       left < SLICE_MS ? left : SLICE_MS, NULL, &now, err),
		    err);
		if (rc != AZ_OK)
			return rc;
	}
	return now == seen ? AZ_OK : api_run_load(api, az_rq_arena(rq), uid, id, r, err);
}

/* Wait for the end. Each look has an arena of its own: a run may change thousands of
   times while a client waits. */
static enum az_code
wait_end(struct az_rq *rq, const struct az_api *api, struct az_str uid, struct az_str id,
    int64_t deadline_ms, struct api_run *r, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	int64_t now;

	for (;;) {
		struct az_arena *a = az_arena_new(AZ_MIB(4));
		struct az_run_info info;
		int64_t seen = 0, left;
		bool over = false;

		if (!a)
			return az_fail(err, AZ_ENOMEM, "api.wait", "out of memory");
		rc = api_run_describe(api, a, uid, id, &info, err);
		if (rc == AZ_OK) {
			seen = info.version;
			over = info.state != AZ_RUN_OPEN;
		}
		az_arena_free(a);
		if (rc != AZ_OK)
			return rc;
		now = seen;
		while (!over && now == seen && !az_web_stopping(rq) &&
		       (left = deadline_ms - az_boot_ms()) > 0) {
			if (!az_rq_connected(rq))
				return az_fail(err, AZ_ECANCELLED, "api.wait", "the client left");
			rc = api_engine_rc(az_engine_wait(api->engine, id, seen,
					       left < SLICE_MS ? left : SLICE_MS, NULL, &now, err),
			    err);
			if (rc != AZ_OK)
				return rc;
		}
		if (now == seen)
			break;
	}
	return api_run_load(api, az_rq_arena(rq), uid, id, r, err);
}

static enum az_code
answer_end(struct az_rq *rq, struct az_str uid, const struct api_run *r, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, RUN_JSON_BYTES + 4096);
	api_run_result(&b, uid, r);
	if ((rc = az_buf_check(&b, "api.result", err)) == AZ_OK)
		rc = az_rs_json(rq, 200, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

/* The owner named by a hand-over, proved by its token; else who calls. */
static enum az_code
handed_owner(struct az_rq *rq, const struct az_api *api, struct az_str id, struct az_str *uid,
    struct az_err *err)
{
	struct az_str owner = az_rq_query(rq, "owner"), token = az_rq_query(rq, "token");
	enum az_code rc;
	bool ours;

	if (!owner.n || !token.n || !az_wid_owned_by(id, owner))
		return az_fail(err, AZ_ENOTFOUND, "api.wait", "no hand-over");
	if ((rc = api_signed(api, API_FOR_WAIT, owner, id, token, &ours, err)) != AZ_OK)
		return rc;
	if (!ours)
		return az_fail(err, AZ_ENOTFOUND, "api.wait", "no hand-over");
	*uid = owner;
	return AZ_OK;
}

/* GET /_wait/{id}: what a synchronous start answers, from the pool that may wait. */
enum az_code
run_handed_over(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_str id = az_rq_param(rq, "id"), uid = {NULL, 0};
	struct api_run r;
	int64_t deadline = 0;
	enum az_code rc;

	if ((rc = handed_owner(rq, api, id, &uid, err)) != AZ_OK ||
	    (rc = api_wait_deadline(rq, api, &deadline, err)) != AZ_OK)
		return rc;
	az_log_context(az_rq_id(rq), id);
	/* the run is accepted already: where nobody more can wait, 202 says so at once */
	if (az_web_crowded(rq))
		deadline = az_boot_ms();
	else if (deadline == 0)
		deadline = az_boot_ms() + api->sync_wait_ms;
	rc = wait_end(rq, api, uid, id, deadline, &r, err);
	if (rc == AZ_ECANCELLED) {
		struct az_err ignored = AZ_ERR_INIT;
		if (api_run_load(api, az_rq_arena(rq), uid, id, &r, &ignored) == AZ_OK && !r.over &&
		    r.cancel_on_leave &&
		    az_engine_cancel(api->engine, id,
			AZ_S("{\"mode\":\"now\",\"by\":\"disconnect\"}"), &ignored) == AZ_OK)
			az_log(AZ_INFO, "run.cancel", AZ_KC("why", "client left"));
	}
	if (rc != AZ_OK)
		return rc;
	if (az_rq_query(rq, "replayed").p)
		az_rs_header(rq, "Idempotency-Replayed", AZ_S("true"));
	if (!r.over)
		return api_run_accepted(rq, id, r.json, err);
	return answer_end(rq, uid, &r, err);
}

static enum az_code
result(struct az_rq *rq, const struct az_api *api, bool waits, struct az_err *err)
{
	struct az_caller who;
	struct az_str id;
	struct api_run r = {0};
	int64_t deadline = 0;
	enum az_code rc;

	if ((rc = api_caller_run(rq, api, &who, &id, err)) != AZ_OK ||
	    (waits && (rc = api_wait_deadline(rq, api, &deadline, err)) != AZ_OK))
		return rc;
	/* without a thread to spare, what is so now */
	rc = deadline && !az_web_crowded(rq)
		 ? wait_end(rq, api, who.uid, id, deadline, &r, err)
		 : api_run_load(api, az_rq_arena(rq), who.uid, id, &r, err);
	if (rc != AZ_OK)
		return rc;
	if (r.over)
		return answer_end(rq, who.uid, &r, err);
	az_fail(err, AZ_ECONFLICT, "api.result", "The run is not finished.");
	err->retry_after_ms = RUN_RETRY_S * 1000;
	return az_err_reason(err, "not_finished");
}

enum az_code
run_result(struct az_rq *rq, void *app, struct az_err *err)
{
	return result(rq, app, false, err);
}

enum az_code
run_result_wait(struct az_rq *rq, void *app, struct az_err *err)
{
	return result(rq, app, true, err);
}

/* Does If-None-Match name the tag? Weak and strong compare alike. */
static bool
matches(struct az_str header, const char *etag)
{
	struct az_str part;

	while (az_str_cut(&header, ',', &part)) {
		part = az_str_trim(part);
		if (az_str_starts(part, AZ_S("W/")))
			part = az_str_sub(part, 2, part.n);
		if (az_str_eqc(part, etag) || az_str_eqc(part, "*"))
			return true;
	}
	return false;
}

static enum az_code
status(struct az_rq *rq, const struct az_api *api, bool waits, struct az_err *err)
{
	struct az_str inm = az_rq_header(rq, "If-None-Match"), id;
	struct az_caller who;
	struct api_run r;
	int64_t deadline = 0;
	enum az_code rc;

	if ((rc = api_caller_run(rq, api, &who, &id, err)) != AZ_OK ||
	    (waits && (rc = api_wait_deadline(rq, api, &deadline, err)) != AZ_OK) ||
	    (rc = api_run_load(api, az_rq_arena(rq), who.uid, id, &r, err)) != AZ_OK)
		return rc;
	/* who knows an older state gets the present one at once */
	if (deadline && !az_web_crowded(rq) && !r.over && (!inm.p || matches(inm, r.etag)) &&
	    (rc = api_run_wait(rq, api, who.uid, deadline, &r, err)) != AZ_OK)
		return rc;
	az_rs_header(rq, "ETag", az_str_c(r.etag));
	if (!r.over)
		az_rs_headerf(rq, "Retry-After", "%d", RUN_RETRY_S);
	if (inm.p && matches(inm, r.etag)) {
		az_rs_header(rq, "Cache-Control", AZ_S("private, no-cache"));
		az_rs_status(rq, 304);
		return AZ_OK;
	}
	az_rs_header(rq, "Cache-Control", AZ_S("private, no-cache"));
	return az_rs_json(rq, 200, r.json, err);
}

enum az_code
run_status(struct az_rq *rq, void *app, struct az_err *err)
{
	return status(rq, app, false, err);
}

enum az_code
run_status_wait(struct az_rq *rq, void *app, struct az_err *err)
{
	return status(rq, app, true, err);
}
