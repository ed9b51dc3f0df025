/*
 * The control plane: one REST call, what its answers hold, and the short verbs on a
 * sandbox that is known.
 */
#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/cond.h>
#include <azlon/crypto.h>
#include "e2b_rest.h"

const struct az_json_limits e2b_rest_limits = {AZ_MIB(4), 32, 200000};

/* Is the caller told to stop, and has been for as long as this call may still take? */
struct stop {
	struct e2b *e;
	int patience_ms;
	int64_t since_ms; /* boot clock, 0 = not told yet */
};

static bool
stopped(void *arg)
{
	struct stop *s = arg;

	if (!e2b_stopped(s->e))
		return false;
	if (!s->since_ms)
		s->since_ms = az_boot_ms();
	return az_boot_ms() - s->since_ms >= s->patience_ms;
}

/* May this answer be followed by another try, and after how long? */
static bool
busy(const struct az_http_resp *r, int nth, int64_t *wait_ms)
{
	struct az_str should = az_str_trim(az_http_header(r, "should-retry"));
	int64_t after = az_http_retry_after_ms(r);

	/* the cap on living sandboxes has no Retry-After: this is not the place to wait */
	if (r->status < 400 || az_str_ieq(should, AZ_S("false")) ||
	    (r->status == 429 && !az_http_header(r, "retry-after").n && !after))
		return false;
	*wait_ms = az_backoff_ms(nth, 100, 10000, after);
	return az_str_ieq(should, AZ_S("true")) || r->status == 429 || r->status == 502 ||
	       r->status == 503 || r->status == 504;
}

/* False when the caller is told to stop. */
static bool
pause_for(struct stop *stop, int64_t ms)
{
	struct e2b_shared *s = stop->e->shared;
	int64_t until = az_boot_ms() + ms, now;

	while ((now = az_boot_ms()) < until) {
		if (stopped(stop))
			return false;
		pthread_mutex_lock(&s->mu);
		az_cond_wait(&s->changed, &s->mu, until - now < 200 ? until : now + 200);
		pthread_mutex_unlock(&s->mu);
	}
	return true;
}

enum az_code
e2b_rest(struct e2b *e, const struct e2b_rest *q, struct az_http_resp *r, const char *op,
    struct az_err *err)
{
	const char *head[6];
	struct stop stop = {.e = e, .patience_ms = q->patience_ms};
	char key[560], idem[300];
	struct az_buf url;
	int64_t left = q->total_ms ? 0 : e->wait_ms, wait = 0;
	size_t n = 0;
	int nth = 0;
	enum az_code rc;

	az_buf_init(&url, AZ_KIB(16));
	az_buf_addc(&url, e->api_url);
	az_buf_addc(&url, q->path);
	snprintf(key, sizeof key, "X-API-Key: %s", e->key);
	head[n++] = key;
	head[n++] = "Accept: application/json";
	if (q->body.p)
		head[n++] = "Content-Type: application/json";
	if (q->idempotency_key) {
		snprintf(idem, sizeof idem, "Idempotency-Key: %s", q->idempotency_key);
		head[n++] = idem;
	}
	head[n] = NULL;
	rc = az_buf_check(&url, op, err);
	while (rc == AZ_OK) {
		rc = az_http_call(e->http,
		    &(struct az_http_req){.method = q->method,
			.url = url.p,
			.headers = head,
			.body = q->body,
			.cancelled = stopped,
			.arg = &stop,
			.total_ms = q->total_ms ? q->total_ms : E2B_CALL_MS,
			.max_bytes = q->max_bytes},
		    r, err);
		if (rc != AZ_OK || nth == 3 || !busy(r, ++nth, &wait) || wait > left)
			break;
		if (!pause_for(&stop, wait)) {
			rc = az_fail(err, AZ_ECANCELLED, op, "cancelled");
			break;
		}
		left -= wait;
		az_http_resp_release(r);
		*r = (struct az_http_resp){0};
	}
	if (rc == AZ_EUNAVAIL || rc == AZ_ETIMEOUT || rc == AZ_EUPSTREAM)
		az_err_reason(err, E2B_AWAY);
	az_wipe(key, sizeof key);
	az_buf_release(&url);
	return rc;
}

/* A header value or host made of what the service told us: printable, no blanks. */
static bool
word_ok(struct az_str s, size_t max)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n <= max;
}

static bool
host_ok(struct az_str s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789.-:",
			s.p[i]) ||
		    s.p[i] == '\0')
			return false;
	return s.n <= 253;
}

struct az_str
e2b_id_only(struct az_str id)
{
	ptrdiff_t dash = az_str_chr(id, '-');

	return dash > 0 ? az_str_sub(id, 0, (size_t)dash) : id;
}

bool
e2b_id_ok(struct az_str id)
{
	size_t i;

	for (i = 0; i < id.n; i++)
		if (!((id.p[i] >= 'a' && id.p[i] <= 'z') || id.p[i] == '_' ||
			(id.p[i] >= '0' && id.p[i] <= '9') || (id.p[i] >= 'A' && id.p[i] <= 'Z')))
			return false;
	return id.n > 0 && id.n <= 64;
}

enum az_code
e2b_read_ref(const struct az_http_resp *r, struct az_arena *a, struct az_box_ref *out,
    const char *op, struct az_err *err)
{
	struct az_json *j = NULL;
	struct az_str id, token, domain, version;
	enum az_code rc;

	rc = az_json_parse(az_buf_str(&r->body), &e2b_rest_limits, &j, err);
	if (rc != AZ_OK) {
		rc = az_fail(err, AZ_EUPSTREAM, op, "the answer is not JSON");
		goto out;
	}
	id = e2b_id_only(az_json_gets(j, "sandboxID"));
	token = az_json_gets(j, "envdAccessToken");
	domain = az_json_gets(j, "domain");
	version = az_json_gets(j, "envdVersion");
	if (!e2b_id_ok(id) || !word_ok(token, 500) || !host_ok(domain) || !word_ok(version, 40)) {
		rc = az_fail(err, AZ_EUPSTREAM, op, "the answer names no usable sandbox");
		goto out;
	}
	*out = (struct az_box_ref){az_arena_str(a, id), az_arena_str(a, token),
	    az_arena_str(a, domain), az_arena_str(a, version)};
	if (!out->id.p || !out->token.p || !out->domain.p || !out->envd_version.p)
		rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
out:
	az_json_free(j);
	return rc;
}

void
e2b_put_rules(struct az_jw *w, const char *const *allow)
{
	az_jw_key(w, "allowOut");
	az_jw_arr(w);
	for (; allow && *allow; allow++)
		az_jw_cstr(w, *allow);
	az_jw_end(w, ']');
	az_jw_key(w, "denyOut");
	az_jw_arr(w);
	az_jw_cstr(w, "0.0.0.0/0");
	az_jw_end(w, ']');
}

bool
e2b_mentions(const struct az_http_resp *r, struct az_str word)
{
	return az_str_find(az_buf_str(&r->body), word, 0) >= 0;
}

bool
e2b_no_route(const struct az_http_resp *r)
{
	return (r->status == 404 || r->status == 405) && !e2b_mentions(r, AZ_S("emplate")) &&
	       !e2b_mentions(r, AZ_S("dempotency"));
}

enum az_code
e2b_on_sandbox(struct e2b *e, const struct e2b_rest *as, struct az_str id, const char *verb,
    struct az_http_resp *r, const char *op, struct az_err *err)
{
	struct e2b_rest q = *as;
	char path[160];

	az_http_resp_release(r);
	*r = (struct az_http_resp){0};
	snprintf(path, sizeof path, "/sandboxes/%.*s%s", AZ_FMT(id), verb);
	q.path = path;
	return e2b_rest(e, &q, r, op, err);
}

/* Does it end before timeout_s are over, as far as its own page tells? */
static bool
ends_sooner(const struct az_http_resp *r, int timeout_s)
{
	struct az_json *j = NULL;
	int64_t end_ms;
	bool sooner = true;

	if (az_json_parse(az_buf_str(&r->body), &e2b_rest_limits, &j, NULL) == AZ_OK &&
	    az_rfc3339_parse(az_json_gets(j, "endAt"), &end_ms))
		sooner = end_ms < az_wall_ms() + (int64_t)timeout_s * 1000;
	az_json_free(j);
	return sooner;
}

/* Services without connect: its page, then its time set, which counts from now and so
   could also shorten a life. */
static enum az_code
prolong_old(struct e2b *e, struct az_str id, int timeout_s, const struct e2b_rest *post,
    struct az_http_resp *r, struct az_arena *a, struct az_box_ref *out, struct az_err *err)
{
	static const char op[] = "sandbox.connect";
	enum az_code rc;

	rc = e2b_on_sandbox(
	    e, &(struct e2b_rest){.method = "GET", .total_ms = post->total_ms}, id, "", r, op, err);
	if (rc == AZ_OK && r->status != 200)
		rc = e2b_rest_fail(r, op, err);
	if (rc == AZ_OK && out)
		rc = e2b_read_ref(r, a, out, op, err);
	if (rc != AZ_OK || !ends_sooner(r, timeout_s))
		return rc;
	rc = e2b_on_sandbox(e, post, id, "/timeout", r, op, err);
	if (rc == AZ_OK && r->status / 100 != 2)
		rc = e2b_rest_fail(r, op, err);
	return rc;
}

enum az_code
e2b_prolong(struct e2b *e, struct az_str id, int timeout_s, bool brief, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err)
{
	static const char op[] = "sandbox.connect";
	struct az_http_resp r = {0};
	int64_t asked_ms = az_boot_ms();
	char body[40];
	struct e2b_rest post = {
	    .method = "POST", .body = {body, 0}, .total_ms = brief ? E2B_PROBE_MS : 0};
	enum az_code rc;

	post.body.n = (size_t)snprintf(body, sizeof body, "{\"timeout\":%d}", timeout_s);
	rc = e2b_on_sandbox(e, &post, id, "/connect", &r, op, err);
	if (rc == AZ_OK && (r.status == 200 || r.status == 201))
		rc = out ? e2b_read_ref(&r, a, out, op, err) : AZ_OK;
	else if (rc == AZ_OK && (r.status == 404 || r.status == 405 || r.status == 501))
		/* 404 may be the sandbox or the route: its own page tells */
		rc = prolong_old(e, id, timeout_s, &post, &r, a, out, err);
	else if (rc == AZ_OK)
		rc = e2b_rest_fail(&r, op, err);
	if (rc == AZ_OK)
		e2b_lease_set(e, id, asked_ms, timeout_s);
	az_http_resp_release(&r);
	return rc;
}

enum az_code
e2b_attach(struct az_sandbox *s, struct az_str id, int timeout_s, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err)
{
	enum az_code rc = e2b_prolong(e2b_of(s), id, timeout_s, false, a, out, err);

	if (rc != AZ_OK)
		e2b_cause(e2b_of(s), id, err);
	return rc;
}

enum az_code
e2b_kill(struct az_sandbox *s, struct az_str id, struct az_err *err)
{
	struct az_http_resp r = {0};
	enum az_code rc;

	rc = e2b_on_sandbox(
	    e2b_of(s), &(struct e2b_rest){.method = "DELETE"}, id, "", &r, "sandbox.kill", err);
	if (rc == AZ_OK && r.status / 100 != 2 && r.status != 404)
		rc = e2b_rest_fail(&r, "sandbox.kill", err);
	if (rc == AZ_OK) {
		e2b_lease_drop(e2b_of(s), id);
		e2b_line_ended(e2b_of(s));
	}
	az_http_resp_release(&r);
	return rc;
}

enum az_code
e2b_network(struct az_sandbox *s, const struct az_box_ref *ref, bool internet,
    const char *const *allow, struct az_err *err)
{
	struct az_http_resp r = {0};
	struct az_buf body;
	struct az_jw w;
	enum az_code rc;

	/* the whole egress configuration is replaced: what is left out is cleared */
	az_buf_init(&body, AZ_KIB(64));
	az_jw_init(&w, &body);
	az_jw_obj(&w);
	if (internet && allow && allow[0])
		e2b_put_rules(&w, allow);
	else
		az_jw_kb(&w, "allow_internet_access", internet);
	az_jw_end(&w, '}');
	if ((rc = az_buf_check(&body, "sandbox.network", err)) == AZ_OK)
		rc = e2b_on_sandbox(e2b_of(s),
		    &(struct e2b_rest){.method = "PUT", .body = az_buf_str(&body)}, ref->id,
		    "/network", &r, "sandbox.network", err);
	if (rc == AZ_OK && r.status / 100 != 2)
		rc = e2b_rest_fail(&r, "sandbox.network", err);
	if (rc != AZ_OK)
		e2b_cause(e2b_of(s), ref->id, err);
	az_http_resp_release(&r);
	az_buf_release(&body);
	return rc;
}

enum az_code
e2b_ping(struct az_sandbox *s, struct az_err *err)
{
	struct az_http_resp r = {0};
	enum az_code rc;

	rc = e2b_rest(e2b_of(s),
	    &(struct e2b_rest){.method = "GET", .path = "/health", .total_ms = E2B_PROBE_MS}, &r,
	    "sandbox.ping", err);
	if (rc == AZ_OK && r.status >= 500)
		rc = e2b_rest_fail(&r, "sandbox.ping", err);
	az_http_resp_release(&r);
	return rc;
}
