/* Ending a run, and removing one that has ended. */
#include <azlon/limits.h>
#include <azlon/log.h>
#include "run.h"

#define BODY_BYTES ((size_t)4096)

/* {"mode":"graceful"|"now"}, or nothing at all. */
static enum az_code
mode_of(struct az_rq *rq, const char **mode, struct az_err *err)
{
	const struct az_json *j = NULL, *m;
	struct az_str body;
	enum az_code rc = az_rq_body(rq, BODY_BYTES, &body, err);

	*mode = "graceful";
	if (rc != AZ_OK || az_str_trim(body).n == 0)
		return rc;
	if ((rc = az_json_parse_in(az_rq_arena(rq), body, &az_json_request_limits, &j, err)) !=
	    AZ_OK)
		return rc;
	m = az_json_get(j, "mode");
	if (az_str_eqc(az_json_str(m), "now"))
		*mode = "now";
	else if (az_json_type(j) != AZ_JOBJ ||
		 (az_json_type(m) != AZ_JNULL && !az_str_eqc(az_json_str(m), "graceful"))) {
		static const struct az_problem_item item = {
		    "[\"body\",\"mode\"]", "Input should be graceful or now", "enum"};
		az_fail(err, AZ_EUNPROC, "api.cancel", "mode is graceful or now");
		if (az_rs_problem(rq, 0, err, &item, 1) != AZ_OK)
			return err->code;
		*mode = NULL;
	}
	return AZ_OK;
}

enum az_code
run_cancel(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_arena *a = az_rq_arena(rq);
	struct az_caller who;
	struct az_str id;
	struct api_run r;
	const char *mode;
	enum az_code rc;

	if ((rc = api_caller_run(rq, api, &who, &id, err)) != AZ_OK ||
	    (rc = mode_of(rq, &mode, err)) != AZ_OK || !mode)
		return rc;
	if ((rc = api_run_describe(api, a, who.uid, id, &r.info, err)) != AZ_OK)
		return rc;
	rc = api_engine_rc(az_engine_cancel(api->engine, id,
			       az_str_c(az_arena_printf(a, "{\"mode\":\"%s\"}", mode)), err),
	    err);
	if (rc == AZ_ECONFLICT) {
		az_fail(err, AZ_ECONFLICT, "api.cancel", "The run is already finished.");
		return az_err_reason(err, "finished");
	}
	if (rc != AZ_OK || (rc = api_run_load(api, a, who.uid, id, &r, err)) != AZ_OK)
		return rc;
	az_log(AZ_INFO, "run.cancel", AZ_KC("why", "asked"), AZ_KC("mode", mode));
	return api_run_accepted(rq, id, r.json, err);
}

/* Objects first, so that a failure midway can be repeated; manifests before bodies, so
   that no listing names what is gone. */
static enum az_code
remove_objects(const struct az_api *api, struct az_str uid, struct az_str id, struct az_err *err)
{
	struct az_bucket bucket = az_bucket_of(uid);
	enum az_code rc;
	struct az_buf b;

	az_buf_init(&b, 1024);
	az_key_meta(&b, id, "manifest");
	rc = az_store_remove(api->store, &bucket, az_buf_str(&b), err);
	if (rc == AZ_OK) {
		az_buf_reset(&b);
		az_key_meta(&b, id, "iterations/");
		rc = az_store_remove_prefix(api->store, &bucket, az_buf_str(&b), err);
	}
	if (rc == AZ_OK) {
		az_buf_reset(&b);
		az_key_run(&b, id);
		rc = az_store_remove_prefix(api->store, &bucket, az_buf_str(&b), err);
	}
	az_buf_release(&b);
	return api_store_rc(rc == AZ_ENOTFOUND ? AZ_OK : rc, err);
}

enum az_code
run_remove(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_run_info info;
	struct az_caller who;
	struct az_str id;
	enum az_code rc;

	if ((rc = api_caller_run(rq, api, &who, &id, err)) != AZ_OK ||
	    (rc = api_run_describe(api, az_rq_arena(rq), who.uid, id, &info, err)))
		return rc;
	if (info.state == AZ_RUN_OPEN) {
		az_fail(
		    err, AZ_ECONFLICT, "api.remove", "The run is not finished. Cancel it first.");
		return az_err_reason(err, "not_finished");
	}
	if ((rc = remove_objects(api, who.uid, id, err)) != AZ_OK ||
	    (rc = api_engine_rc(az_engine_remove(api->engine, id, err), err)) != AZ_OK)
		return rc;
	az_log(AZ_INFO, "run.remove", AZ_KS("run", id));
	az_rs_status(rq, 204);
	return AZ_OK;
}
