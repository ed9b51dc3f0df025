/*
 * deliver_webhook: one try to tell a finished run to the address that its request names.
 * When the next one comes is decided in lib/flow. What came of it stands in the run's object
 * "webhook"; a message that may come twice has the same id both times.
 */
#include "functions.h"

#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/flow.h>
#include <azlon/json.h>
#include <azlon/keys.h>

#define OP "work.webhook"

enum { OPEN_WAIT_MS = 5000, OBJECT_BYTES = 64 * 1024 };

struct hook {
	struct az_fn_ctx *ctx;
	const struct az_work *w;
	struct az_arena *a;
	struct az_str wid;
	struct az_bucket bkt;
	char id[41]; /* of the message */
	const char *url;
	const struct az_json *metadata;
};

static enum az_code
no_memory(struct az_err *err)
{
	return az_fail(err, AZ_ENOMEM, OP, "out of memory");
}

static enum az_code
get(struct hook *h, const char *name, size_t max, const struct az_json **out, struct az_err *err)
{
	struct az_buf key, b;
	enum az_code rc;

	*out = NULL;
	az_buf_init(&key, 1024);
	az_buf_init(&b, max);
	az_key_meta(&key, h->wid, name);
	if ((rc = az_buf_check(&key, OP, err)) == AZ_OK &&
	    (rc = az_store_get(h->w->store, &h->bkt, az_buf_str(&key), &b, err)) == AZ_OK)
		rc = az_json_parse_in(h->a, az_buf_str(&b), &az_json_own_limits, out, err);
	az_buf_release(&b);
	az_buf_release(&key);
	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}

/* What came of this try, for whoever asks. */
static enum az_code
note(struct hook *h, const char *state, int64_t tries, int status, const char *error,
    struct az_err *err)
{
	struct az_buf key, b, t;
	enum az_code rc;
	struct az_jw j;

	az_buf_init(&key, 1024);
	az_buf_init(&b, OBJECT_BYTES);
	az_buf_init(&t, 64);
	az_rfc3339(&t, az_wall_ms());
	az_key_meta(&key, h->wid, "webhook");
	az_jw_init(&j, &b);
	az_jw_obj(&j);
	az_jw_kc(&j, "state", state);
	az_jw_ki(&j, "tries", tries);
	if (status)
		az_jw_ki(&j, "status", status);
	az_jw_kc(&j, "error", error);
	az_jw_ks(&j, "at", az_buf_str(&t));
	az_jw_kc(&j, "delivery", h->id);
	az_jw_end(&j, '}');
	if ((rc = az_buf_check(&key, OP, err)) == AZ_OK &&
	    (rc = az_buf_check(&b, OP, err)) == AZ_OK)
		rc = az_store_put(h->w->store, &h->bkt, az_buf_str(&key), az_buf_str(&b), err);
	az_buf_release(&t);
	az_buf_release(&b);
	az_buf_release(&key);
	return rc;
}

/* ---- the message ---- */

static void
write_message(const struct hook *h, const struct az_flow_view *v, struct az_jw *w)
{
	az_jw_obj(w);
	az_jw_kc(w, "type", "run.finished");
	az_jw_kc(w, "delivery", h->id);
	az_jw_ks(w, "workflow_id", h->wid);
	az_jw_ks(w, "user_id", h->ctx->uid);
	az_jw_kc(w, "status", v->status);
	az_jw_kb(w, "result", v->result == 1);
	az_jw_kc(w, "reason", v->reason);
	if (v->message.n)
		az_jw_ks(w, "message", v->message);
	az_jw_ki(w, "iterations", v->iteration);
	az_jw_ki(w, "best_iteration", v->best_iteration);
	az_jw_kraw(w, "checks", v->checks);
	az_jw_key(w, "usage");
	az_jw_obj(w);
	az_jw_ki(w, "llm_calls", v->llm_calls);
	az_jw_ki(w, "tokens_in", v->tokens_in);
	az_jw_ki(w, "tokens_out", v->tokens_out);
	az_jw_ki(w, "sandbox_s", (v->sandbox_ms + 999) / 1000);
	az_jw_end(w, '}');
	az_jw_kt(w, "created_at", v->created_ms);
	az_jw_kt(w, "started_at", v->started_ms);
	az_jw_kt(w, "finished_at", v->finished_ms);
	if (h->metadata) {
		az_jw_key(w, "metadata");
		az_jw_value(w, h->metadata);
	}
	az_jw_end(w, '}');
}

static bool
stopped(void *arg)
{
	struct az_fn_ctx *ctx = arg;

	return ctx->cancelled(ctx);
}

/* ",v1=" and the signature of "t.body" under the user's key, for each of our secrets. */
static enum az_code
sign(struct hook *h, int64_t t, struct az_str body, struct az_buf *out, struct az_err *err)
{
	const struct az_secrets *s = &h->w->secrets;
	unsigned char mac[32];
	char key[65], hex[65];
	struct az_buf text;
	enum az_code rc;

	az_buf_init(&text, body.n + 64);
	az_buf_addf(&text, "%lld.", (long long)t);
	az_buf_adds(&text, body);
	rc = az_buf_check(&text, OP, err);
	for (size_t i = 0; rc == AZ_OK && i < s->n; i++) {
		if ((rc = az_user_key(s->key[i], h->ctx->uid, AZ_KEY_WEBHOOK, key, err)) != AZ_OK)
			break;
		az_hmac_sha256(az_str_c(key), az_buf_str(&text), mac);
		az_hex(mac, sizeof mac, hex);
		az_buf_addf(out, ",v1=%s", hex);
	}
	az_wipe(key, sizeof key);
	az_buf_release(&text);
	return rc != AZ_OK ? rc : az_buf_check(out, OP, err);
}

/* The signature covers the time, so that an old message cannot be sent again. */
static enum az_code
post(struct hook *h, struct az_str body, int *status, struct az_err *err)
{
	int64_t t = az_wall_ms() / 1000;
	const char *headers[5] = {"Content-Type: application/json", "Azlon-Event: run.finished"};
	struct az_post p = {.url = h->url, .headers = headers, .body = body};
	struct az_buf signature;
	enum az_code rc;

	az_buf_init(&signature, 256);
	az_buf_addf(&signature, "Azlon-Signature: t=%lld", (long long)t);
	if ((rc = sign(h, t, body, &signature, err)) == AZ_OK) {
		headers[2] = az_arena_printf(h->a, "Azlon-Delivery: %s", h->id);
		headers[3] = signature.p;
		p.cancelled = stopped;
		p.arg = h->ctx;
		rc = headers[2] ? h->w->post(h->w->post_arg, &p, err) : no_memory(err);
	}
	az_buf_release(&signature);
	*status = p.status;
	return rc;
}

/* ---- the run ---- */

/* Is it over? Its last function told us, so that it will be in a moment. */
static enum az_code
closed(struct hook *h, bool *over, struct az_err *err)
{
	struct az_run_info info;
	int64_t now;
	enum az_code rc = az_engine_describe(h->w->engine, h->wid, h->a, &info, err);

	for (int64_t end = az_boot_ms() + OPEN_WAIT_MS; rc == AZ_OK && info.state == AZ_RUN_OPEN &&
							az_boot_ms() < end &&
							!h->ctx->cancelled(h->ctx);) {
		rc = az_engine_wait(
		    h->w->engine, h->wid, info.version, OPEN_WAIT_MS, NULL, &now, err);
		if (rc == AZ_OK)
			rc = az_engine_describe(h->w->engine, h->wid, h->a, &info, err);
	}
	*over = rc == AZ_OK && info.state != AZ_RUN_OPEN;
	return rc;
}

static enum az_code
message(struct hook *h, struct az_buf *b, struct az_err *err)
{
	struct az_flow_view v;
	struct az_history hist;
	enum az_code rc;
	struct az_jw w;

	if ((rc = az_engine_history(h->w->engine, h->wid, 0, SIZE_MAX, h->a, &hist, err)) ||
	    (rc = az_flow_view(&hist, h->a, &v, err)))
		return rc;
	az_jw_init(&w, b);
	write_message(h, &v, &w);
	return az_buf_check(b, OP, err);
}

/* ---- one try ---- */

/* *over: no other follows. */
static enum az_code
deliver(struct hook *h, int64_t tries, bool last, bool *over, struct az_err *err)
{
	struct az_err why = AZ_ERR_INIT;
	char said[80];
	int status = 0;
	enum az_code rc;
	struct az_buf b;

	az_buf_init(&b, AZ_MIB(1));
	rc = message(h, &b, err);
	if (rc == AZ_OK)
		rc = post(h, az_buf_str(&b), &status, &why);
	else if (err)
		why = *err;
	az_buf_release(&b);
	if (rc == AZ_ECANCELLED)
		return az_fail(err, rc, OP, "stopped");
	if (rc == AZ_OK && status >= 200 && status < 300) {
		*over = true;
		return note(h, "delivered", tries, status, NULL, err);
	}
	/* 410: it is not wanted any more */
	*over = last || rc == AZ_EPERM || status == 410;
	snprintf(said, sizeof said, "the receiver answered %d", status);
	return note(h,
	    rc == AZ_EPERM || status == 410 ? "refused"
	    : last                          ? "expired"
					    : "retrying",
	    tries, status, rc == AZ_OK ? said : why.text, err);
}

static enum az_code
try_it(struct hook *h, const struct az_json *in, bool *over, struct az_err *err)
{
	const struct az_json *req, *was, *meta;
	struct az_str state, url;
	unsigned char d[32];
	enum az_code rc;

	rc = closed(h, over, err);
	if (rc == AZ_ENOTFOUND) { /* removed: there is nothing to tell */
		*over = true;
		return AZ_OK;
	}
	if (rc != AZ_OK || !*over)
		return rc;
	*over = true;
	if ((rc = get(h, "request", AZ_MIB(2), &req, err)) != AZ_OK ||
	    (rc = get(h, "webhook", OBJECT_BYTES, &was, err)) != AZ_OK)
		return rc;
	url = az_json_gets(az_json_get(req, "webhook"), "url");
	state = az_json_gets(was, "state");
	if (!url.n || (state.n && !az_str_eqc(state, "retrying")))
		return AZ_OK;
	meta = az_json_get(req, "metadata");
	h->metadata = az_json_type(meta) == AZ_JOBJ ? meta : NULL;
	h->url = az_arena_cstr(h->a, url);
	if (!h->url)
		return no_memory(err);
	az_sha256_of(h->wid, d);
	memcpy(h->id, "dlv_", 4);
	az_hex(d, 16, h->id + 4);
	return deliver(h, az_json_geti(in, "try", 1), az_json_getb(in, "last", false), over, err);
}

enum az_code
fn_webhook(struct az_fn_ctx *ctx, void *app, struct az_str input, struct az_buf *result,
    struct az_err *err)
{
	struct hook h = {.ctx = ctx, .w = app, .a = az_arena_new(AZ_MIB(128))};
	const struct az_json *in = NULL;
	bool over = false;
	enum az_code rc;

	if (!h.a)
		return no_memory(err);
	if (!h.w->engine || !h.w->post)
		rc = az_fail(err, AZ_EINTERNAL, OP, "nothing to deliver by");
	else
		rc = az_json_parse_in(h.a, input, &az_json_own_limits, &in, err);
	if (rc == AZ_OK) {
		h.wid = az_json_gets(in, "wid");
		h.bkt = az_bucket_of_run(h.wid, ctx->uid);
		rc = try_it(&h, in, &over, err);
	}
	if (rc == AZ_OK)
		az_buf_addf(result, "{\"v\":1,\"over\":%s}", over ? "true" : "false");
	az_arena_free(h.a);
	return rc;
}
