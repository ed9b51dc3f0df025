/*
 * The control plane: one REST call, what its answers hold, and the short verbs on a
 * sandbox that is known.
 */
#include <stdio.h>
#include <azlon/clock.h>
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

enum az_code
e2b_rest(struct e2b *e, const struct e2b_rest *q, struct az_http_resp *r, const char *op,
    struct az_err *err)
{
	const char *head[6];
	struct stop stop = {.e = e, .patience_ms = q->patience_ms};
	char key[560], idem[300];
	struct az_buf url;
	size_t n = 0;
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
	if ((rc = az_buf_check(&url, op, err)) == AZ_OK)
		rc = az_http_call(e->http,
		    &(struct az_http_req){.method = q->method,
			.url = url.p,
			.headers = head,
			.body = q->body,
			.cancelled = stopped,
			.arg = &stop,
			.total_ms = E2B_CALL_MS,
			.max_bytes = q->max_bytes},
		    r, err);
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

/* POST or GET on one sandbox. */
static enum az_code
on_sandbox(struct e2b *e, const char *method, struct az_str id, const char *verb,
    struct az_str body, struct az_http_resp *r, const char *op, struct az_err *err)
{
	char path[160];

	snprintf(path, sizeof path, "/sandboxes/%.*s%s", AZ_FMT(id), verb);
	return e2b_rest(
	    e, &(struct e2b_rest){.method = method, .path = path, .body = body}, r, op, err);
}

enum az_code
e2b_attach(struct az_sandbox *s, struct az_str id, int timeout_s, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err)
{
	struct e2b *e = e2b_of(s);
	struct az_http_resp r = {0};
	char body[40];
	enum az_code rc;

	snprintf(body, sizeof body, "{\"timeout\":%d}", timeout_s);
	rc = on_sandbox(e, "POST", id, "/connect", az_str_c(body), &r, "sandbox.connect", err);
	if (rc != AZ_OK)
		goto out;
	if (r.status == 200 || r.status == 201) {
		rc = e2b_read_ref(&r, a, out, "sandbox.connect", err);
		goto out;
	}
	if (r.status != 404 && r.status != 405 && r.status != 501) {
		rc = e2b_rest_fail(&r, "sandbox.connect", err);
		goto out;
	}
	/* 404 may be the sandbox or the route: its own page tells */
	az_http_resp_release(&r);
	r = (struct az_http_resp){0};
	rc = on_sandbox(e, "GET", id, "", (struct az_str){0}, &r, "sandbox.connect", err);
	if (rc == AZ_OK && r.status != 200)
		rc = e2b_rest_fail(&r, "sandbox.connect", err);
	if (rc != AZ_OK || (rc = e2b_read_ref(&r, a, out, "sandbox.connect", err)) != AZ_OK)
		goto out;
	az_http_resp_release(&r);
	r = (struct az_http_resp){0};
	rc = on_sandbox(e, "POST", id, "/timeout", az_str_c(body), &r, "sandbox.connect", err);
	if (rc == AZ_OK && r.status / 100 != 2)
		rc = e2b_rest_fail(&r, "sandbox.connect", err);
out:
	az_http_resp_release(&r);
	return rc;
}

enum az_code
e2b_kill(struct az_sandbox *s, struct az_str id, struct az_err *err)
{
	struct az_http_resp r = {0};
	enum az_code rc;

	rc = on_sandbox(e2b_of(s), "DELETE", id, "", (struct az_str){0}, &r, "sandbox.kill", err);
	if (rc == AZ_OK && r.status / 100 != 2 && r.status != 404)
		rc = e2b_rest_fail(&r, "sandbox.kill", err);
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
		rc = on_sandbox(e2b_of(s), "PUT", ref->id, "/network", az_buf_str(&body), &r,
		    "sandbox.network", err);
	if (rc == AZ_OK && r.status / 100 != 2)
		rc = e2b_rest_fail(&r, "sandbox.network", err);
	az_http_resp_release(&r);
	az_buf_release(&body);
	return rc;
}

enum az_code
e2b_ping(struct az_sandbox *s, struct az_err *err)
{
	struct az_http_resp r = {0};
	enum az_code rc;

	rc = e2b_rest(e2b_of(s), &(struct e2b_rest){.method = "GET", .path = "/health"}, &r,
	    "sandbox.ping", err);
	if (rc == AZ_OK && r.status >= 500)
		rc = e2b_rest_fail(&r, "sandbox.ping", err);
	az_http_resp_release(&r);
	return rc;
}
