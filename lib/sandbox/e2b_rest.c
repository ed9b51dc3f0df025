/*
 * The control plane: creating, finding and ending sandboxes over REST.
 *
 * Newer servers have /v2/sandboxes, older ones only /sandboxes; which one this base
 * URL has is learnt from the first answer and kept.
 */
#include <stdio.h>
#include <azlon/crypto.h>
#include "e2b.h"

static const struct az_json_limits reply_limits = {AZ_MIB(4), 32, 200000};

struct rest {
	const char *method;
	const char *path;   /* with query */
	struct az_str body; /* JSON, or empty */
	const char *idempotency_key;
	size_t max_bytes;
};

static enum az_code
rest_call(
    struct e2b *e, const struct rest *q, struct az_http_resp *r, const char *op, struct az_err *err)
{
	const char *head[6];
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

/* Old services answer "<id>-<client>"; only the id names the sandbox. */
static struct az_str
id_only(struct az_str id)
{
	ptrdiff_t dash = az_str_chr(id, '-');

	return dash > 0 ? az_str_sub(id, 0, (size_t)dash) : id;
}

static bool
id_ok(struct az_str id)
{
	size_t i;

	for (i = 0; i < id.n; i++)
		if (!((id.p[i] >= 'a' && id.p[i] <= 'z') || id.p[i] == '_' ||
			(id.p[i] >= '0' && id.p[i] <= '9') || (id.p[i] >= 'A' && id.p[i] <= 'Z')))
			return false;
	return id.n > 0 && id.n <= 64;
}

static enum az_code
read_ref(const struct az_http_resp *r, struct az_arena *a, struct az_box_ref *out, const char *op,
    struct az_err *err)
{
	struct az_json *j = NULL;
	struct az_str id, token, domain, version;
	enum az_code rc;

	rc = az_json_parse(az_buf_str(&r->body), &reply_limits, &j, err);
	if (rc != AZ_OK) {
		rc = az_fail(err, AZ_EUPSTREAM, op, "the answer is not JSON");
		goto out;
	}
	id = id_only(az_json_gets(j, "sandboxID"));
	token = az_json_gets(j, "envdAccessToken");
	domain = az_json_gets(j, "domain");
	version = az_json_gets(j, "envdVersion");
	if (!id_ok(id) || !word_ok(token, 500) || !host_ok(domain) || !word_ok(version, 40)) {
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

/* Domain rules: a list means "these and nothing else". */
static void
put_rules(struct az_jw *w, const char *const *allow)
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

static void
create_body(struct az_buf *b, const struct e2b *e, const struct az_sb_create *c, int version)
{
	const char *const *m = c->metadata;
	struct az_jw w;

	az_jw_init(&w, b);
	az_jw_obj(&w);
	az_jw_kc(&w, "templateID", c->template_id ? c->template_id : e->template_id);
	az_jw_ki(&w, "timeout", c->timeout_s);
	az_jw_key(&w, "metadata");
	az_jw_obj(&w);
	for (; m && m[0] && m[1]; m += 2)
		az_jw_kc(&w, m[0], m[1]);
	az_jw_end(&w, '}');
	if (c->internet && c->allow && c->allow[0]) {
		az_jw_key(&w, "network");
		az_jw_obj(&w);
		put_rules(&w, c->allow);
		az_jw_end(&w, '}');
	} else {
		az_jw_kb(&w, "allow_internet_access", c->internet);
	}
	if (version == 1) /* without it old services give no token */
		az_jw_kb(&w, "secure", true);
	az_jw_end(&w, '}');
}

static bool
mentions(const struct az_http_resp *r, struct az_str word)
{
	return az_str_find(az_buf_str(&r->body), word, 0) >= 0;
}

/* Does a 404 or 405 say that the route is missing, rather than the template or what an
   earlier request with this key made? */
static bool
no_route(const struct az_http_resp *r)
{
	return (r->status == 404 || r->status == 405) && !mentions(r, AZ_S("emplate")) &&
	       !mentions(r, AZ_S("dempotency"));
}

static enum az_code
create_once(struct e2b *e, const struct az_sb_create *c, int version, struct az_http_resp *r,
    struct az_err *err)
{
	struct az_buf body;
	enum az_code rc;

	az_buf_init(&body, AZ_KIB(256));
	create_body(&body, e, c, version);
	if ((rc = az_buf_check(&body, "sandbox.create", err)) == AZ_OK)
		rc = rest_call(e,
		    &(struct rest){.method = "POST",
			.path = version == 1 ? "/sandboxes" : "/v2/sandboxes",
			.body = az_buf_str(&body),
			.idempotency_key = c->idempotency_key},
		    r, "sandbox.create", err);
	/* The reply was lost: the same key yields the same sandbox, where the service
	   knows of keys. Where not, a second one would be an orphan. */
	if (version == 2 && c->idempotency_key && e2b_transport(rc)) {
		az_http_resp_release(r);
		*r = (struct az_http_resp){0};
		rc = rest_call(e,
		    &(struct rest){.method = "POST",
			.path = "/v2/sandboxes",
			.body = az_buf_str(&body),
			.idempotency_key = c->idempotency_key},
		    r, "sandbox.create", err);
	}
	az_buf_release(&body);
	return rc;
}

enum az_code
e2b_create(struct az_sandbox *s, const struct az_sb_create *c, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err)
{
	struct e2b *e = e2b_of(s);
	struct az_http_resp r = {0};
	int known = atomic_load(&e->api), version = known ? known : 2;
	enum az_code rc;

	rc = create_once(e, c, version, &r, err);
	if (rc == AZ_OK && !known && no_route(&r)) {
		version = 1;
		az_http_resp_release(&r);
		r = (struct az_http_resp){0};
		rc = create_once(e, c, version, &r, err);
	}
	if (rc != AZ_OK)
		goto out;
	if (r.status == 200 || r.status == 201) {
		atomic_store(&e->api, version);
		rc = read_ref(&r, a, out, "sandbox.create", err);
	} else if (r.status == 404) {
		/* the key's sandbox has ended: another attempt has another key. Else it is
		   the template, and no retry brings that */
		bool key = mentions(&r, AZ_S("dempotency"));

		rc = key ? AZ_EUNAVAIL : AZ_EINVAL;
		e2b_rest_fail(&r, "sandbox.create", err);
		if (err)
			err->code = rc;
		az_err_reason(err, key ? E2B_AWAY : "no_template");
	} else {
		rc = e2b_rest_fail(&r, "sandbox.create", err);
	}
out:
	az_http_resp_release(&r);
	return rc;
}

/* POST or GET on one sandbox. */
static enum az_code
on_sandbox(struct e2b *e, const char *method, struct az_str id, const char *verb,
    struct az_str body, struct az_http_resp *r, const char *op, struct az_err *err)
{
	char path[160];

	snprintf(path, sizeof path, "/sandboxes/%.*s%s", AZ_FMT(id), verb);
	return rest_call(
	    e, &(struct rest){.method = method, .path = path, .body = body}, r, op, err);
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
		rc = read_ref(&r, a, out, "sandbox.connect", err);
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
	if (rc != AZ_OK || (rc = read_ref(&r, a, out, "sandbox.connect", err)) != AZ_OK)
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

/* The filter's text is encoded as a value, as a query of its own, and as a parameter
   of the real query: "b c" travels as b%252520c. */
static void
put_filter(struct az_buf *path, const char *key, const char *value)
{
	struct az_buf one, two;

	az_buf_init(&one, AZ_KIB(4));
	az_buf_init(&two, AZ_KIB(16));
	az_pct_encode(&one, az_str_c(key), NULL);
	az_pct_encode(&two, az_buf_str(&one), NULL);
	az_buf_addch(&two, '=');
	az_buf_reset(&one);
	az_pct_encode(&one, az_str_c(value), NULL);
	az_pct_encode(&two, az_buf_str(&one), NULL);
	if (one.fail != AZ_OK || two.fail != AZ_OK)
		path->fail = AZ_ETOOBIG;
	az_pct_encode(path, az_buf_str(&two), NULL);
	az_buf_release(&one);
	az_buf_release(&two);
}

struct found {
	struct az_arena *a;
	struct az_str *ids;
	size_t n, cap;
};

static enum az_code
add_page(
    struct found *f, struct az_str text, const char *key, const char *value, struct az_err *err)
{
	struct az_json *j = NULL;
	enum az_code rc;
	size_t i;

	rc = az_json_parse(text, &reply_limits, &j, NULL);
	if (rc != AZ_OK || az_json_type(j) != AZ_JARR) {
		rc = az_fail(err, AZ_EUPSTREAM, "sandbox.find", "not a list of sandboxes");
		goto out;
	}
	for (i = 0; i < az_json_len(j); i++) {
		const struct az_json *o = az_json_at(j, i);
		struct az_str id = id_only(az_json_gets(o, "sandboxID"));
		struct az_str has = az_json_gets(az_json_get(o, "metadata"), key);

		/* a service that ignores the filter must not hand us others' boxes */
		if (!id_ok(id) || !az_str_eqc(has, value))
			continue;
		if (f->n == f->cap) {
			size_t cap = f->cap ? f->cap * 2 : 8;
			struct az_str *ids = az_arena_alloc(f->a, cap * sizeof *ids);

			if (!ids) {
				rc = az_fail(err, AZ_ENOMEM, "sandbox.find", "out of memory");
				goto out;
			}
			if (f->n)
				memcpy(ids, f->ids, f->n * sizeof *ids);
			f->ids = ids;
			f->cap = cap;
		}
		f->ids[f->n] = az_arena_str(f->a, id);
		if (!f->ids[f->n++].p) {
			rc = az_fail(err, AZ_ENOMEM, "sandbox.find", "out of memory");
			goto out;
		}
	}
out:
	az_json_free(j);
	return rc;
}

enum az_code
e2b_find(struct az_sandbox *s, const char *key, const char *value, struct az_arena *a,
    struct az_str **ids, size_t *n, struct az_err *err)
{
	struct e2b *e = e2b_of(s);
	struct az_http_resp r = {0};
	struct found f = {.a = a};
	struct az_buf path, cursor;
	int version, page;
	enum az_code rc = AZ_OK;

	az_buf_init(&path, AZ_KIB(12));
	az_buf_init(&cursor, AZ_KIB(2));
	version = atomic_load(&e->api) == 1 ? 1 : 2;
	for (page = 0;;) {
		struct az_str next;

		az_buf_reset(&path);
		az_buf_addc(&path, version == 1 ? "/sandboxes?" : "/v2/sandboxes?limit=100&");
		az_buf_addc(&path, "metadata=");
		put_filter(&path, key, value);
		if (cursor.n) {
			az_buf_addc(&path, "&nextToken=");
			az_pct_encode(&path, az_buf_str(&cursor), NULL);
		}
		if ((rc = az_buf_check(&path, "sandbox.find", err)) != AZ_OK)
			break;
		az_http_resp_release(&r);
		r = (struct az_http_resp){0};
		rc = rest_call(e,
		    &(struct rest){.method = "GET", .path = path.p, .max_bytes = AZ_MIB(4)}, &r,
		    "sandbox.find", err);
		if (rc != AZ_OK)
			break;
		if (version == 2 && page == 0 && no_route(&r)) {
			version = 1;
			continue;
		}
		if (r.status != 200) {
			rc = e2b_rest_fail(&r, "sandbox.find", err);
			break;
		}
		if ((rc = add_page(&f, az_buf_str(&r.body), key, value, err)) != AZ_OK)
			break;
		next = az_str_trim(az_http_header(&r, "x-next-token"));
		if (!next.n || version == 1)
			break;
		if (++page >= E2B_PAGES || az_str_eq(next, az_buf_str(&cursor))) {
			rc = az_fail(err, AZ_EUPSTREAM, "sandbox.find",
			    "the list of sandboxes does not end");
			break;
		}
		az_buf_reset(&cursor);
		az_buf_adds(&cursor, next);
		if ((rc = az_buf_check(&cursor, "sandbox.find", err)) != AZ_OK)
			break;
	}
	if (rc == AZ_OK) { /* half a list is no answer */
		*ids = f.ids;
		*n = f.n;
	}
	az_http_resp_release(&r);
	az_buf_release(&path);
	az_buf_release(&cursor);
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
		put_rules(&w, allow);
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

	rc = rest_call(
	    e2b_of(s), &(struct rest){.method = "GET", .path = "/health"}, &r, "sandbox.ping", err);
	if (rc == AZ_OK && r.status >= 500)
		rc = e2b_rest_fail(&r, "sandbox.ping", err);
	az_http_resp_release(&r);
	return rc;
}
