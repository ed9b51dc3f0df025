/* Telling the workflow of a user: see user.h. */
#include "user.h"

#include <azlon/flow.h>
#include <azlon/keys.h>
#include <azlon/limits.h>

#define OP "work.user"

enum az_code
user_tell(const struct az_fn_ctx *ctx, const struct az_work *w, const char *signal,
    const struct az_buf *payload, struct az_err *err)
{
	struct az_start s = {
	    .type = az_flow_user.name, .uid = ctx->uid, .input = AZ_S("{\"v\":1}")};
	enum az_code rc = az_buf_check(payload, OP, err);
	struct az_buf id;

	if (rc != AZ_OK)
		return rc;
	az_buf_init(&id, 200);
	az_wid_user(&id, ctx->uid);
	rc = az_buf_check(&id, OP, err);
	s.workflow_id = az_buf_str(&id);
	if (rc == AZ_OK)
		rc = az_engine_signal_start(w->engine, &s, signal, az_buf_str(payload), err);
	az_buf_release(&id);
	return rc;
}

enum az_code
user_tell_done(const struct az_fn_ctx *ctx, const struct az_work *w, const struct az_json *leave,
    struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;
	struct az_jw j;

	if (az_json_type(leave) != AZ_JOBJ || !w->engine)
		return AZ_OK;
	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&j, &b);
	az_jw_obj(&j);
	az_jw_ks(&j, "wid", ctx->workflow_id);
	az_jw_key(&j, "used");
	az_jw_value(&j, az_json_get(leave, "used"));
	az_jw_kb(&j, "hook", az_json_getb(leave, "hook", false));
	az_jw_end(&j, '}');
	rc = user_tell(ctx, w, AZ_SIG_DONE, &b, err);
	az_buf_release(&b);
	return rc;
}
