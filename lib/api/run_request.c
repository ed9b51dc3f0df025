/* GET /run_workflow/{id}/request: what was asked for, every default filled in; a body for asking
   again. */
#include <azlon/limits.h>
#include "run.h"

#define OP "api.request"

/* Of what a start holds; the rest is said elsewhere, or is nobody's business. */
static const char *const shown[] = {"user_prompt", "test_conditions", "model", "model_fallbacks",
    "checks", "limits", "inputs", "network", "hitl", "on_disconnect", "webhook", "metadata"};

enum az_code
run_request_load(const struct az_api *api, struct az_arena *a, struct az_str id,
    const struct az_json **out, struct az_err *err)
{
	struct az_history h = {NULL, 0};
	struct az_flow_view v;
	enum az_code rc;

	if ((rc = api_run_history(api, a, id, 0, &h, err)) != AZ_OK ||
	    (rc = az_flow_view(&h, a, &v, err)) != AZ_OK)
		return rc;
	return az_json_parse_in(a, v.request, &az_json_own_limits, out, err);
}

static void
write_request(const struct az_json *req, struct az_buf *b)
{
	struct az_jw w;

	az_jw_init(&w, b);
	az_jw_obj(&w);
	for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
		const struct az_json *v = az_json_get(req, shown[i]);

		/* the two texts are always there; another client may have sealed them, for the
		   worker alone */
		if (i < 2 && !az_json_is_str(v)) {
			az_jw_kn(&w, shown[i]);
		} else if (v) {
			az_jw_key(&w, shown[i]);
			az_jw_value(&w, v);
		}
	}
	az_jw_end(&w, '}');
}

enum az_code
run_request(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	const struct az_json *req = NULL;
	struct az_run_info info;
	struct az_caller who;
	struct az_arena *a;
	struct az_buf b;
	struct az_str id;
	enum az_code rc;

	if ((rc = api_caller_run(rq, api, &who, &id, err)) != AZ_OK)
		return rc;
	if (!(a = az_arena_new(RUN_FOLD_BYTES)))
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	az_buf_init(&b, AZ_MIB(2));
	if ((rc = api_run_describe(api, a, who.uid, id, &info, err)) == AZ_OK &&
	    (rc = run_request_load(api, a, id, &req, err)) == AZ_OK) {
		write_request(req, &b);
		if ((rc = az_buf_check(&b, OP, err)) == AZ_OK)
			rc = az_rs_json(rq, 200, az_buf_str(&b), err);
	}
	az_arena_free(a);
	az_buf_release(&b);
	return rc;
}
