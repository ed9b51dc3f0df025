/* GET /envs: the variables that every command of a sandbox gets. */
#include "box.h"

static void
own(struct az_jw *w, const struct box *b, const char *name, struct az_str value)
{
	if (!az_json_get(b->envs, name))
		az_jw_ks(w, name, value);
}

enum az_code
envd_envs(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_json *v;
	struct az_str key;
	void *it = NULL;
	struct az_buf out;
	struct az_jw w;
	struct box *b;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop)
		return rc;
	az_buf_init(&out, AZ_MIB(1));
	az_jw_init(&w, &out);
	az_jw_obj(&w);
	own(&w, b, "E2B_SANDBOX", AZ_S("true"));
	own(&w, b, "E2B_SANDBOX_ID", az_str_c(b->id));
	own(&w, b, "E2B_TEMPLATE_ID", az_json_gets(b->req, "templateID"));
	while (az_json_each(b->envs, &it, &key, &v)) {
		az_jw_keys(&w, key);
		az_jw_value(&w, v);
	}
	az_jw_end(&w, '}');
	if (!(rc = az_buf_check(&out, "box.envs", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}
