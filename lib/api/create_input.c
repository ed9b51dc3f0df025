/* The start input: the request with everything filled in, and a queued run's view. */
#include <azlon/flow.h>
#include <azlon/log.h>
#include "run.h"

/* "c1", "c2", … for checks without an id, skipping what others use. */
static void
write_checks(const struct az_json *checks, struct az_jw *w)
{
	unsigned last = 0;

	az_jw_arr(w);
	for (size_t i = 0; i < az_json_len(checks); i++) {
		const struct az_json *k = az_json_at(checks, i), *v;
		struct az_str key;
		void *it = NULL;
		char id[16];

		az_jw_obj(w);
		if (!az_json_get(k, "id")) {
			az_flow_check_id(checks, &last, id);
			az_jw_kc(w, "id", id);
		}
		while (az_json_each(k, &it, &key, &v)) {
			az_jw_keys(w, key);
			az_jw_value(w, v);
		}
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
}

/* Then the run applies for a place first, and its last step says that it is over. */
static void
write_user(const struct create *c, struct az_jw *w)
{
	const struct az_api *s = c->service;
	bool any = s->user_runs > 0 || c->webhook.n;

	for (int i = 0; i < AZ_MEASURES; i++)
		any = any || s->user_caps[i] > 0;
	if (!any)
		return;
	az_jw_key(w, "user");
	az_jw_obj(w);
	az_jw_ki(w, "runs", s->user_runs);
	for (int i = 0; i < AZ_MEASURES; i++)
		az_jw_ki(w, az_measure_names[i], s->user_caps[i]);
	az_jw_end(w, '}');
}

void
create_input(const struct create *c, struct az_str uid, struct az_buf *b)
{
	struct az_str mode = az_json_gets(c->network, "default");
	struct az_jw w;

	az_jw_init(&w, b);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_ks(&w, "uid", uid);
	if (c->service)
		write_user(c, &w);
	az_jw_key(&w, "request");
	az_jw_obj(&w);
	az_jw_ks(&w, "user_prompt", c->prompt);
	az_jw_ks(&w, "test_conditions", c->conditions);
	az_jw_ks(&w, "model", c->model);
	if (az_json_len(c->fallbacks)) {
		az_jw_key(&w, "model_fallbacks");
		az_jw_value(&w, c->fallbacks);
	}
	az_jw_key(&w, "checks");
	write_checks(c->checks, &w);
	az_jw_key(&w, "limits");
	az_jw_obj(&w);
	az_jw_ki(&w, "iterations", c->iterations);
	az_jw_ki(&w, "tokens", c->tokens);
	az_jw_ki(&w, "wall_s", c->wall_s);
	az_jw_ki(&w, "sandbox_s", c->sandbox_s);
	az_jw_end(&w, '}');
	az_jw_key(&w, "inputs");
	az_jw_arr(&w);
	for (size_t i = 0; i < az_json_len(c->inputs); i++)
		az_jw_value(&w, az_json_at(c->inputs, i));
	if (c->default_inputs)
		az_jw_cstr(&w, "default");
	az_jw_end(&w, ']');
	az_jw_key(&w, "network");
	az_jw_obj(&w);
	az_jw_ks(&w, "default", mode.n ? mode : AZ_S("install"));
	az_jw_key(&w, "allow");
	az_jw_arr(&w);
	for (size_t i = 0; i < az_json_len(az_json_get(c->network, "allow")); i++)
		az_jw_value(&w, az_json_at(az_json_get(c->network, "allow"), i));
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	az_jw_ks(&w, "on_disconnect", c->on_disconnect);
	if (!az_str_eqc(c->hitl, "off"))
		az_jw_ks(&w, "hitl", c->hitl);
	if (c->webhook.n) {
		az_jw_key(&w, "webhook");
		az_jw_obj(&w);
		az_jw_ks(&w, "url", c->webhook);
		az_jw_end(&w, '}');
	}
	if (c->metadata) {
		az_jw_key(&w, "metadata");
		az_jw_value(&w, c->metadata);
	}
	if (c->fork)
		az_jw_kraw(&w, "forked_from", c->fork->said);
	if (az_log_traceparent().n)
		az_jw_ks(&w, "traceparent", az_log_traceparent());
	az_jw_end(&w, '}');
	az_jw_key(&w, "warnings");
	az_jw_arr(&w);
	if (c->warnings.n)
		az_jw_raw(&w, az_buf_str(&c->warnings));
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
}
