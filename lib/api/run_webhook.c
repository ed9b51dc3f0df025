/* GET /run_workflow/{id}/webhook: whom the end of a run is told, what came of it, and how the
   receiver knows that it was us. */
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include "run.h"

#define OP "api.webhook"

/* What the worker noted after its last try; NULL before the first. */
static enum az_code
noted(const struct az_api *api, struct az_arena *a, struct az_str uid, struct az_str id,
    const struct az_json **out, struct az_err *err)
{
	struct az_bucket bucket = az_bucket_of(uid);
	struct az_buf key, b;
	enum az_code rc;

	*out = NULL;
	az_buf_init(&key, 1024);
	az_buf_init(&b, AZ_KIB(64));
	az_key_meta(&key, id, "webhook");
	if ((rc = az_buf_check(&key, OP, err)) == AZ_OK)
		rc = az_store_get(api->store, &bucket, az_buf_str(&key), &b, err);
	if (rc == AZ_OK)
		rc = az_json_parse_in(a, az_buf_str(&b), &az_json_own_limits, out, err);
	else if (rc == AZ_ENOTFOUND)
		rc = AZ_OK;
	else
		rc = api_store_rc(rc, err);
	az_buf_release(&b);
	az_buf_release(&key);
	return rc;
}

static enum az_code
url_of(const struct az_api *api, struct az_arena *a, struct az_str id, struct az_str *url,
    struct az_err *err)
{
	const struct az_json *req = NULL;
	enum az_code rc = run_request_load(api, a, id, &req, err);

	*url = az_json_gets(az_json_get(req, "webhook"), "url");
	return rc;
}

enum az_code
run_webhook(struct az_rq *rq, void *app, struct az_err *err)
{
	static const char *const copied[] = {"tries", "status", "error", "at", "delivery"};
	const struct az_api *api = app;
	struct az_arena *a;
	const struct az_json *was = NULL;
	struct az_run_info info;
	struct az_caller who;
	struct az_str id, url = {NULL, 0}, state;
	struct az_buf b;
	struct az_jw w;
	char key[65];
	enum az_code rc;

	if ((rc = api_caller_run(rq, api, &who, &id, err)) != AZ_OK)
		return rc;
	if (!(a = az_arena_new(RUN_FOLD_BYTES)))
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	az_buf_init(&b, AZ_KIB(128));
	if ((rc = api_run_describe(api, a, who.uid, id, &info, err)) != AZ_OK ||
	    (rc = url_of(api, a, id, &url, err)) != AZ_OK ||
	    (rc = noted(api, a, who.uid, id, &was, err)) != AZ_OK ||
	    (rc = az_user_key(api->secrets.key[0], who.uid, AZ_KEY_WEBHOOK, key, err)) != AZ_OK)
		goto out;
	state = az_json_gets(was, "state");
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	if (url.n)
		az_jw_ks(&w, "url", url);
	else
		az_jw_kn(&w, "url");
	az_jw_ks(&w, "state", state.n ? state : url.n ? AZ_S("pending") : AZ_S("none"));
	for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
		az_jw_key(&w, copied[i]);
		az_jw_value(&w, az_json_get(was, copied[i]));
	}
	/* what signs as us is more than reading: a key that may only read does not get it */
	if (who.scopes & AZ_SCOPE_RUNS_WRITE)
		az_jw_kc(&w, "key", key);
	else
		az_jw_kn(&w, "key");
	az_jw_end(&w, '}');
	az_wipe(key, sizeof key);
	if ((rc = az_buf_check(&b, OP, err)) == AZ_OK) {
		az_rs_header(rq, "Cache-Control", AZ_S("no-store"));
		rc = az_rs_json(rq, 200, az_buf_str(&b), err);
	}
out:
	az_arena_free(a);
	az_buf_release(&b);
	return rc;
}
