/* E2B's control plane for one sandbox: look, keep alive, change the network, kill. */
#include "box.h"

#include "control.h"

/* ---- shapes ---- */

static void
sandbox_members(struct az_jw *w, const struct box *b)
{
	az_jw_ks(w, "templateID", az_json_gets(b->req, "templateID"));
	az_jw_kc(w, "sandboxID", b->id);
	az_jw_kc(w, "clientID", "azlon");
	az_jw_kc(w, "envdVersion", BOX_ENVD);
	az_jw_kc(w, "alias", "base");
}

enum az_code
rs_sandbox(struct az_rq *rq, int status, const struct box *b, struct az_err *err)
{
	struct az_buf out;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&out, AZ_KIB(8));
	az_jw_init(&w, &out);
	az_jw_obj(&w);
	sandbox_members(&w, b);
	az_jw_kc(&w, "envdAccessToken", b->token);
	az_jw_kn(&w, "trafficAccessToken");
	az_jw_kn(&w, "domain");
	az_jw_end(&w, '}');
	if (!(rc = az_buf_check(&out, "box.create", err)))
		rc = az_rs_json(rq, status, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}

static void
ktime(struct az_jw *w, const char *key, int64_t ms)
{
	struct az_buf t;

	az_buf_init(&t, 64);
	az_rfc3339(&t, ms);
	if (t.fail)
		w->b->fail = t.fail;
	az_jw_ks(w, key, az_buf_str(&t));
	az_buf_release(&t);
}

static void
blocked_members(struct az_jw *w, struct box *b)
{
	az_jw_key(w, "azlon");
	az_jw_obj(w);
	pthread_mutex_lock(&b->mu);
	az_jw_ki(w, "connections", (int64_t)b->net_opened);
	az_jw_ki(w, "bytes_out", (int64_t)b->net_up);
	az_jw_ki(w, "bytes_in", (int64_t)b->net_down);
	az_jw_key(w, "blocked");
	az_jw_arr(w);
	for (size_t i = 0; i < b->nblocked; i++) {
		az_jw_obj(w);
		az_jw_kc(w, "host", b->blocked[i].host);
		az_jw_ki(w, "port", b->blocked[i].port);
		az_jw_ki(w, "count", b->blocked[i].count);
		az_jw_kc(w, "why", b->blocked[i].why);
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
	pthread_mutex_unlock(&b->mu);
	az_jw_end(w, '}');
}

void
sandbox_detail(struct az_jw *w, struct box *b, bool one)
{
	struct az_box_server *s = b->srv;
	int64_t end_ms;

	pthread_mutex_lock(&s->mu);
	end_ms = b->end_ms;
	pthread_mutex_unlock(&s->mu);
	az_jw_obj(w);
	sandbox_members(w, b);
	ktime(w, "startedAt", b->started_ms);
	ktime(w, "endAt", end_ms);
	az_jw_ki(w, "cpuCount", s->cpu_pct < 200 ? 1 : s->cpu_pct / 100);
	az_jw_ki(w, "memoryMB", b->memory >> 20);
	az_jw_ki(w, "diskSizeMB", s->disk >> 20);
	az_jw_key(w, "metadata");
	if (az_json_type(b->meta) == AZ_JOBJ)
		az_jw_value(w, b->meta);
	else
		az_jw_raw(w, AZ_S("{}"));
	az_jw_kc(w, "state", "running");
	if (one) {
		az_jw_kc(w, "envdAccessToken", b->token);
		pthread_mutex_lock(&b->mu);
		az_jw_kb(w, "allowInternetAccess", b->internet);
		pthread_mutex_unlock(&b->mu);
		az_jw_kn(w, "domain");
		blocked_members(w, b);
	}
	az_jw_end(w, '}');
}

/* ---- one sandbox ---- */

static enum az_code
find(struct az_rq *rq, struct az_box_server *s, struct box **out, struct az_err *err)
{
	enum az_code rc = check_key(rq, s, err);
	struct az_str id = az_rq_param(rq, "id");

	if (rc)
		return rc;
	*out = box_find(s, id);
	return *out ? AZ_OK
		    : az_fail(err, AZ_ENOTFOUND, "box.find",
			  "sandbox \"%.*s\" doesn't exist or you don't have access to it",
			  AZ_FMT(az_str_sub(id, 0, 64)));
}

/* The body as an object; absent counts as {}. */
static enum az_code
body_of(struct az_rq *rq, const struct az_json **out, struct az_err *err)
{
	struct az_str text;
	enum az_code rc = az_rq_body(rq, AZ_LIM_REQUEST_BYTES, &text, err);

	if (rc)
		return rc;
	if (!az_str_trim(text).n)
		text = AZ_S("{}");
	rc = az_json_parse_in(az_rq_arena(rq), text, &az_json_request_limits, out, err);
	if (!rc && az_json_type(*out) != AZ_JOBJ)
		rc = az_fail(err, AZ_EINVAL, "box.body", "not a JSON object");
	return rc;
}

enum az_code
control_get(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_buf out;
	struct az_jw w;
	struct box *b;
	enum az_code rc = find(rq, app, &b, err);

	if (rc)
		return rc;
	az_buf_init(&out, AZ_KIB(512));
	az_jw_init(&w, &out);
	sandbox_detail(&w, b, true);
	if (!(rc = az_buf_check(&out, "box.get", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	box_unref(b);
	return rc;
}

static enum az_code
no_content(struct az_rq *rq, struct az_err *err)
{
	az_rs_status(rq, 204);
	return az_rs_flush(rq, err);
}

enum az_code
control_delete(struct az_rq *rq, void *app, struct az_err *err)
{
	struct box *b;
	enum az_code rc = find(rq, app, &b, err);

	if (rc)
		return rc;
	box_destroy(b, "killed", true);
	box_unref(b);
	return no_content(rq, err);
}

/* Seconds of a member within [min, day]; dflt when absent and dflt >= 0. */
static enum az_code
seconds(const struct az_json *body, const char *key, int64_t min, int64_t dflt, int64_t *out,
    struct az_err *err)
{
	const struct az_json *j = az_json_get(body, key);

	*out = dflt;
	if (az_json_type(j) == AZ_JNULL && dflt >= 0)
		return AZ_OK;
	if (!az_json_i64(j, min, TTL_MAX_S, out))
		return az_fail(err, AZ_EINVAL, "box.timeout", "%s: %lld to %d seconds", key,
		    (long long)min, TTL_MAX_S);
	return AZ_OK;
}

static enum az_code
keep(
    struct az_rq *rq, void *app, const char *key, int64_t min, bool only_extend, struct az_err *err)
{
	const struct az_json *body;
	struct box *b;
	int64_t s;
	enum az_code rc = find(rq, app, &b, err);

	if (rc)
		return rc;
	if (!(rc = body_of(rq, &body, err)) && !(rc = seconds(body, key, min, -1, &s, err))) {
		box_touch(b, s, only_extend);
		rc = no_content(rq, err);
	}
	box_unref(b);
	return rc;
}

enum az_code
control_timeout(struct az_rq *rq, void *app, struct az_err *err)
{
	return keep(rq, app, "timeout", 0, false, err);
}

enum az_code
control_refresh(struct az_rq *rq, void *app, struct az_err *err)
{
	return keep(rq, app, "duration", 0, true, err);
}

static enum az_code
connect_route(struct az_rq *rq, void *app, int64_t dflt, struct az_err *err)
{
	const struct az_json *body;
	struct box *b;
	int64_t s;
	enum az_code rc = find(rq, app, &b, err);

	if (rc)
		return rc;
	if (!(rc = body_of(rq, &body, err)) && !(rc = seconds(body, "timeout", 1, dflt, &s, err))) {
		box_touch(b, s, true);
		rc = rs_sandbox(rq, 200, b, err);
	}
	box_unref(b);
	return rc;
}

enum az_code
control_connect_v1(struct az_rq *rq, void *app, struct az_err *err)
{
	return connect_route(rq, app, -1, err);
}

enum az_code
control_connect_v2(struct az_rq *rq, void *app, struct az_err *err)
{
	return connect_route(rq, app, TTL_V2_S, err);
}

enum az_code
control_network(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_json *body, *allow;
	struct box *b;
	bool internet;
	enum az_code rc = find(rq, app, &b, err);

	if (rc)
		return rc;
	if (!(rc = body_of(rq, &body, err)) &&
	    !(rc = network_wish(body, body, &internet, &allow, err))) {
		pthread_mutex_lock(&b->mu);
		rc = net_policy(b, internet, allow, err);
		pthread_mutex_unlock(&b->mu);
		if (!rc)
			rc = no_content(rq, err);
	}
	box_unref(b);
	return rc;
}

enum az_code
control_none(struct az_rq *rq, void *app, struct az_err *err)
{
	enum az_code rc = check_key(rq, app, err);

	return rc ? rc
		  : az_fail(err, AZ_EUNSUPPORTED, "box.control",
			"%.*s %.*s is not offered by this server", AZ_FMT(az_rq_method(rq)),
			AZ_FMT(az_str_sub(az_rq_path(rq), 0, 120)));
}
