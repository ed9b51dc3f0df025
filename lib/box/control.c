/* E2B's control plane for one sandbox: look, keep alive, change the network, kill. */
#include "control.h"

#include "net.h"

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

int
sandbox_cpus(const struct az_box_server *s)
{
	return s->cpu_pct < 200 ? 1 : s->cpu_pct / 100;
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
	if (b->traffic[0])
		az_jw_kc(&w, "trafficAccessToken", b->traffic);
	else
		az_jw_kn(&w, "trafficAccessToken");
	az_jw_kc(&w, "domain", b->srv->domain);
	az_jw_end(&w, '}');
	if (!(rc = az_buf_check(&out, "box.create", err)))
		rc = az_rs_json(rq, status, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}

void
jw_time(struct az_jw *w, const char *key, int64_t ms)
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
network_members(struct az_jw *w, struct box *b)
{
	pthread_mutex_lock(&b->mu);
	az_jw_kb(w, "allowInternetAccess", b->internet);
	az_jw_key(w, "network");
	az_jw_obj(w);
	az_jw_key(w, "allowOut");
	az_jw_arr(w);
	for (size_t i = 0; i < b->allows; i++)
		az_jw_cstr(w, b->allow[i]);
	az_jw_end(w, ']');
	az_jw_key(w, "denyOut");
	az_jw_arr(w);
	if (!b->internet)
		az_jw_cstr(w, "0.0.0.0/0");
	az_jw_end(w, ']');
	az_jw_kb(w, "allowPublicTraffic", !b->traffic[0]);
	if (b->mask.n)
		az_jw_ks(w, "maskRequestHost", b->mask);
	az_jw_end(w, '}');
	pthread_mutex_unlock(&b->mu);
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
	bool rests, paused, full;
	int64_t end_ms;

	pthread_mutex_lock(&s->mu);
	end_ms = b->end_ms;
	rests = b->auto_pause;
	pthread_mutex_unlock(&s->mu);
	pthread_mutex_lock(&b->mu);
	paused = b->state == BOX_PAUSED;
	full = b->pause_memory;
	pthread_mutex_unlock(&b->mu);
	az_jw_obj(w);
	sandbox_members(w, b);
	jw_time(w, "startedAt", b->started_ms);
	jw_time(w, "endAt", end_ms);
	az_jw_ki(w, "cpuCount", sandbox_cpus(s));
	az_jw_ki(w, "memoryMB", b->memory >> 20);
	az_jw_ki(w, "diskSizeMB", s->disk >> 20);
	az_jw_key(w, "metadata");
	if (az_json_type(b->meta) == AZ_JOBJ)
		az_jw_value(w, b->meta);
	else
		az_jw_raw(w, AZ_S("{}"));
	az_jw_kc(w, "state", paused ? "paused" : "running");
	if (one) {
		az_jw_kc(w, "envdAccessToken", b->token);
		network_members(w, b);
		az_jw_kc(w, "domain", s->domain);
		az_jw_key(w, "lifecycle");
		az_jw_obj(w);
		az_jw_kc(w, "onTimeout", rests ? "pause" : "kill");
		az_jw_kb(w, "autoResume", b->auto_resume);
		az_jw_end(w, '}');
		if (paused)
			az_jw_kc(w, "pauseMode", full ? "full" : "filesystem");
		blocked_members(w, b);
	}
	az_jw_end(w, '}');
}

/* ---- one sandbox ---- */

enum az_code
control_unknown(struct az_str id, struct az_err *err)
{
	return az_fail(err, AZ_ENOTFOUND, "box.find",
	    "sandbox \"%.*s\" doesn't exist or you don't have access to it",
	    AZ_FMT(az_str_sub(id, 0, 64)));
}

bool
control_gone(enum az_code rc, const struct az_err *err)
{
	return rc == AZ_EUNAVAIL && az_str_eqc(az_str_c(err->reason), BOX_GONE);
}

enum az_code
control_find(struct az_rq *rq, struct az_box_server *s, struct box **out, struct az_err *err)
{
	enum az_code rc = check_key(rq, s, err);
	struct az_str id = az_rq_param(rq, "id");

	if (rc)
		return rc;
	*out = box_find(s, id);
	return *out ? AZ_OK : control_unknown(id, err);
}

enum az_code
control_body(struct az_rq *rq, const struct az_json **out, struct az_err *err)
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
	enum az_code rc = control_find(rq, app, &b, err);

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

enum az_code
control_bool(const struct az_json *body, const char *key, bool dflt, bool *out, struct az_err *err)
{
	const struct az_json *j = az_json_get(body, key);

	*out = az_json_bool(j, dflt);
	if (az_json_type(j) == AZ_JNULL || az_json_type(j) == AZ_JBOOL)
		return AZ_OK;
	return az_fail(err, AZ_EINVAL, "box.body", "%s: true or false", key);
}

enum az_code
control_done(struct az_rq *rq, struct az_err *err)
{
	az_rs_status(rq, 204);
	return az_rs_flush(rq, err);
}

enum az_code
control_delete(struct az_rq *rq, void *app, struct az_err *err)
{
	struct box *b;
	enum az_code rc = control_find(rq, app, &b, err);

	if (rc)
		return rc;
	box_destroy(b, "killed", true);
	box_unref(b);
	return control_done(rq, err);
}

enum az_code
control_seconds(const struct az_json *body, const char *key, const struct seconds_wish *w,
    int64_t *out, struct az_err *err)
{
	const struct az_json *j = az_json_get(body, key);

	*out = w->dflt;
	if (az_json_type(j) == AZ_JNULL && w->dflt >= 0)
		return AZ_OK;
	if (!az_json_i64(j, w->min, w->max, out))
		return az_fail(err, AZ_EINVAL, "box.timeout", "%s: %lld to %lld seconds", key,
		    (long long)w->min, (long long)w->max);
	return AZ_OK;
}

/* A paused one has no time that could be moved. */
static enum az_code
sleeps(const struct box *b, struct az_err *err)
{
	return az_fail(
	    err, AZ_ENOTFOUND, "box.find", "sandbox \"%s\" is not running: it is paused", b->id);
}

static enum az_code
touched(struct az_rq *rq, struct box *b, int64_t timeout_s, struct az_err *err)
{
	pthread_mutex_lock(&b->mu);
	note(b, AZ_INFO, "timeout changed", AZ_KN("timeout", timeout_s));
	pthread_mutex_unlock(&b->mu);
	return control_done(rq, err);
}

static enum az_code
keep(struct az_rq *rq, void *app, const char *key, const struct seconds_wish *w, bool only_extend,
    struct az_err *err)
{
	const struct az_json *body;
	struct box *b;
	int64_t s;
	enum az_code rc = control_find(rq, app, &b, err);

	if (rc)
		return rc;
	if (!(rc = control_body(rq, &body, err)) && !(rc = control_seconds(body, key, w, &s, err)))
		rc = box_touch(b, s, only_extend) ? touched(rq, b, s, err) : sleeps(b, err);
	box_unref(b);
	return rc;
}

enum az_code
control_timeout(struct az_rq *rq, void *app, struct az_err *err)
{
	static const struct seconds_wish w = {.max = TTL_MAX_S, .dflt = -1};

	return keep(rq, app, "timeout", &w, false, err);
}

enum az_code
control_refresh(struct az_rq *rq, void *app, struct az_err *err)
{
	static const struct seconds_wish w = {.max = REFRESH_MAX_S, .dflt = TTL_V1_S};

	return keep(rq, app, "duration", &w, true, err);
}

/* What is said of ports at birth stays. */
static enum az_code
egress_only(const struct az_json *body, struct az_err *err)
{
	static const char *const no[] = {"allowPublicTraffic", "maskRequestHost", NULL};

	for (size_t i = 0; no[i]; i++)
		if (az_json_type(az_json_get(body, no[i])) != AZ_JNULL)
			return az_fail(err, AZ_EINVAL, "box.network",
			    "%s is said when a sandbox is created", no[i]);
	return AZ_OK;
}

enum az_code
control_network(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_json *body, *allow;
	struct box *b;
	bool internet;
	enum az_code rc = control_find(rq, app, &b, err);

	if (rc)
		return rc;
	if (!(rc = control_body(rq, &body, err)) && !(rc = egress_only(body, err)) &&
	    !(rc = network_wish(body, body, &internet, &allow, err))) {
		pthread_mutex_lock(&b->mu);
		if (b->state == BOX_PAUSED)
			rc = sleeps(b, err);
		else if (!(rc = net_policy(b, internet, allow, err)))
			note(b, AZ_INFO, "network changed",
			    AZ_KC("internet", internet ? "true" : "false"),
			    AZ_KN("allowOut", (int64_t)az_json_len(allow)));
		pthread_mutex_unlock(&b->mu);
		if (control_gone(rc, err))
			rc = control_unknown(az_str_c(b->id), err);
		if (!rc)
			rc = control_done(rq, err);
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
