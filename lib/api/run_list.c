/* GET /run_workflow: own runs, newest first. */
#include <azlon/clock.h>
#include <azlon/limits.h>
#include "run.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200
#define PAGES_MAX 10 /* of the engine, for one answer */
#define LEGACY_MAX 1000

/* Which closed states a status can stand for; 0 = several, so all are looked at. */
static int
state_of(const char *status)
{
	if (!status)
		return 0;
	if (!strcmp(status, "succeeded"))
		return AZ_RUN_COMPLETED;
	if (!strcmp(status, "failed") || !strcmp(status, "timed_out") ||
	    !strcmp(status, "cancelled"))
		return 0;
	return AZ_RUN_OPEN;
}

struct row {
	const char *status;
	struct az_str reason;
	bool result;
};

/* A closed run's outcome stands in its closing event. */
static struct row
closed_row(const struct az_run_info *r, struct az_arena *a)
{
	const struct az_json *j = NULL;
	struct row out = {.status = NULL};

	if (az_json_parse_in(a, r->close_payload, &az_json_own_limits, &j, NULL) == AZ_OK)
		out.status = api_run_status(az_json_gets(j, "status"));
	out.reason = az_json_gets(j, "reason");
	/* closes that the engine made by itself, as the run's own view has them */
	if (r->state == AZ_RUN_TERMINATED)
		out = (struct row){.status = "cancelled", .reason = AZ_S("user_cancelled")};
	else if (r->state == AZ_RUN_TIMED_OUT)
		out = (struct row){.status = "timed_out", .reason = AZ_S("budget_exhausted")};
	else if (!out.status && r->state == AZ_RUN_FAILED)
		out = (struct row){.status = "failed", .reason = AZ_S("engine_unavailable")};
	else if (!out.status)
		out.status = "failed";
	out.result = !strcmp(out.status, "succeeded");
	return out;
}

/* Writes the row unless filter says otherwise; true if it did. */
static enum az_code
write_row(struct az_jw *w, const struct az_api *api, struct az_arena *a, struct az_str uid,
    const struct az_run_info *r, const char *filter, bool *did, struct az_err *err)
{
	bool open = r->state == AZ_RUN_OPEN;
	struct row row;
	enum az_code rc;

	*did = false;
	if (open) {
		struct api_run now;
		rc = api_run_load(api, a, uid, r->workflow_id, &now, err);
		if (rc == AZ_ENOTFOUND) /* removed meanwhile */
			return AZ_OK;
		if (rc != AZ_OK)
			return rc;
		if (!now.over) {
			if (filter && strcmp(filter, now.status) != 0)
				return AZ_OK;
			az_jw_raw(w, now.json);
			*did = true;
			return AZ_OK;
		}
		row = (struct row){.status = now.status, .result = now.result};
	} else {
		row = closed_row(r, a);
	}
	if (filter && strcmp(filter, row.status) != 0)
		return AZ_OK;
	az_jw_obj(w);
	az_jw_ks(w, "workflow_id", r->workflow_id);
	az_jw_ks(w, "user_id", uid);
	az_jw_kc(w, "status", row.status);
	az_jw_kn(w, "phase");
	az_jw_kb(w, "result", row.result);
	if (row.reason.n)
		az_jw_ks(w, "reason", row.reason);
	else
		az_jw_kn(w, "reason");
	az_jw_kt(w, "created_at", r->start_ms);
	az_jw_kt(w, "finished_at", r->close_ms);
	az_jw_key(w, "links");
	az_jw_obj(w);
	az_jw_ks(
	    w, "self", az_str_c(az_arena_printf(a, "/run_workflow/%.*s", AZ_FMT(r->workflow_id))));
	az_jw_ks(w, "files", az_str_c(az_arena_printf(a, "/files/%.*s", AZ_FMT(r->workflow_id))));
	az_jw_end(w, '}');
	az_jw_end(w, '}');
	*did = true;
	return AZ_OK;
}

/* The original's list: ids only. */
static enum az_code
legacy(struct az_rq *rq, const struct az_api *api, struct az_str uid, struct az_jw *w,
    struct az_err *err)
{
	struct az_list_query q = {.limit = LIMIT_MAX};
	enum az_code rc;
	size_t n = 0;

	if ((rc = api_list_query(&q, uid, az_rq_arena(rq), err)) != AZ_OK)
		return rc;
	az_jw_arr(w);
	do {
		struct az_list_page page;
		rc = api_engine_rc(
		    az_engine_list(api->engine, &q, az_rq_arena(rq), &page, err), err);
		if (rc != AZ_OK)
			return rc;
		for (size_t i = 0; i < page.n && n < LEGACY_MAX; i++)
			if (api_own_row(&page.runs[i], uid)) {
				az_jw_str(w, page.runs[i].workflow_id);
				n++;
			}
		q.cursor = page.next;
	} while (q.cursor.n && n < LEGACY_MAX);
	az_jw_end(w, ']');
	return AZ_OK;
}

static enum az_code
list(struct az_rq *rq, const struct az_api *api, struct az_str uid, struct az_jw *w,
    struct az_err *err)
{
	struct az_str want = az_rq_query(rq, "status");
	const char *filter = want.n ? api_run_status(want) : NULL;
	struct az_list_query q = {.state = state_of(filter), .cursor = az_rq_query(rq, "cursor")};
	struct az_arena *a = az_rq_arena(rq);
	int64_t limit, n = 0;
	enum az_code rc;

	if (want.n && !filter)
		return az_fail(err, AZ_EINVAL, "api.list", "status: no such status");
	if ((rc = az_rq_query_i64(rq, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &limit, err)) ||
	    (rc = api_list_query(&q, uid, a, err)))
		return rc;
	az_jw_obj(w);
	az_jw_key(w, "runs");
	az_jw_arr(w);
	/* the engine knows no status: pages are read until the answer is full */
	for (int pages = 0; pages < PAGES_MAX; pages++) {
		struct az_list_page page;
		q.limit = (int)(limit - n);
		rc = az_engine_list(api->engine, &q, a, &page, err);
		if (rc == AZ_EINVAL)
			return az_fail(err, AZ_EINVAL, "api.list", "cursor: not usable");
		if ((rc = api_engine_rc(rc, err)) != AZ_OK)
			return rc;
		for (size_t i = 0; i < page.n; i++) {
			bool did = false;
			if (api_own_row(&page.runs[i], uid) &&
			    (rc = write_row(w, api, a, uid, &page.runs[i], filter, &did, err)) !=
				AZ_OK)
				return rc;
			n += did;
		}
		q.cursor = page.next;
		if (q.cursor.n == 0 || n == limit)
			break;
	}
	az_jw_end(w, ']');
	if (q.cursor.n)
		az_jw_ks(w, "next_cursor", q.cursor);
	else
		az_jw_kn(w, "next_cursor");
	az_jw_end(w, '}');
	return AZ_OK;
}

enum az_code
run_list(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	bool old = az_str_eqc(az_rq_query(rq, "view"), "legacy_dirs");
	struct az_caller who;
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	if ((rc = api_caller(rq, api, AZ_S(""), &who, err)) != AZ_OK)
		return rc;
	az_buf_init(&b, AZ_MIB(8));
	az_jw_init(&w, &b);
	rc = old ? legacy(rq, api, who.uid, &w, err) : list(rq, api, who.uid, &w, err);
	if (rc == AZ_OK && (rc = az_buf_check(&b, "api.list", err)) == AZ_OK)
		rc = az_rs_json(rq, 200, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}
