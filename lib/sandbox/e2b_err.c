/* What answers of an E2B service become. One place, so that "gone", "busy" and
   "refused" mean the same in every call. */
#include "e2b.h"

static const struct az_json_limits error_limits = {AZ_KIB(64), 16, 1000};

/* Text of a peer for our one-line error: printable, short. */
static void
peer_text(struct az_str s, char *out, size_t n)
{
	size_t i, k = 0;

	for (i = 0; s.p && i < s.n && k + 1 < n; i++) {
		/* clang 14 takes the caller's literal for garbage */
		/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign) */
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c == 0x7f)
			c = ' ';
		out[k++] = (char)c;
	}
	/* do not end inside a UTF-8 sequence */
	while (k > 0 && i < s.n && ((unsigned char)s.p[i] & 0xc0) == 0x80) {
		i--;
		k--;
	}
	out[k] = '\0';
}

/* {"code":…,"message":"…","error_code":"…"} or, failing that, plain text. */
static void
read_error(const struct az_http_resp *r, char *message, size_t n, char *code, size_t code_n,
    int64_t *number)
{
	struct az_json *j = NULL;
	struct az_str body = az_buf_str(&r->body), c;
	int64_t v;

	*code = *message = '\0';
	if (number)
		*number = 0;
	if (az_json_parse(body, &error_limits, &j, NULL) == AZ_OK && az_json_type(j) == AZ_JOBJ) {
		peer_text(az_json_gets(j, "message"), message, n);
		c = az_json_gets(j, "error_code");
		if (!c.n)
			c = az_json_gets(j, "code"); /* a Connect error's name */
		peer_text(c, code, code_n);
		if (number && az_json_i64(az_json_get(j, "code"), 100, 599, &v))
			*number = v;
	} else if (body.n && body.p[0] != '<') { /* a proxy's HTML says nothing */
		peer_text(az_str_trim(body), message, n);
	}
	az_json_free(j);
}

/* As az_fail() with a reason, the peer's status and its Retry-After kept. */
static enum az_code
failed(const struct az_http_resp *r, enum az_code code, const char *reason, const char *op,
    const char *message, struct az_err *err)
{
	az_fail(err, code, op, "HTTP %d%s%s", r->status, *message ? ": " : "", message);
	az_err_reason(err, reason);
	if (err) {
		err->sys = r->status;
		err->retry_after_ms = az_http_retry_after_ms(r);
	}
	return code;
}

static bool
has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

void
e2b_cause(struct e2b *e, struct az_str id, struct az_err *err)
{
	bool expired;

	if (!err || !az_sandbox_is_gone(err))
		return;
	expired = e2b_lease_over(e, id) || has(err->text, "expired");
	e2b_lease_drop(e, id);
	if (expired)
		az_err_reason(err, E2B_EXPIRED);
	else if (has(err->text, "out of memory") || has(err->text, "OOM"))
		az_err_reason(err, E2B_MEMORY);
}

enum az_code
e2b_rest_fail(const struct az_http_resp *r, const char *op, struct az_err *err)
{
	char msg[160], code[64];

	read_error(r, msg, sizeof msg, code, sizeof code, NULL);
	if (has(code, "sandbox_create_refused") || has(code, "request_mismatch"))
		return failed(r, AZ_EINVAL, "", op, msg, err);
	switch (r->status) {
	case 401:
	case 403:
		return failed(r, AZ_EAUTH, "", op, msg, err);
	case 404:
		return failed(r, AZ_ENOTFOUND, E2B_GONE, op, msg, err);
	case 429:
		/* without Retry-After it is the cap on living sandboxes: time alone does
		   not help, only one that ends */
		return failed(r, AZ_EUNAVAIL,
		    az_http_header(r, "retry-after").n ? E2B_AWAY : E2B_CAP, op, msg, err);
	case 408:
	case 409: /* in transition, or the first try of the same key still runs */
	case 425:
		return failed(r, AZ_EUNAVAIL, E2B_AWAY, op, msg, err);
	default:
		break;
	}
	if (r->status >= 500 &&
	    !(r->status == 500 && az_str_eqc(az_http_header(r, "should-retry"), "false")) &&
	    r->status != 501)
		return failed(r, AZ_EUNAVAIL, E2B_AWAY, op, msg, err);
	if (r->status >= 400 && r->status < 500)
		return failed(r, AZ_EINVAL, "", op, msg, err);
	return failed(r, AZ_EUPSTREAM, "", op, msg, err);
}

enum az_code
e2b_rpc_fail(struct az_str code, struct az_str message, const char *op, struct az_err *err)
{
	static const struct {
		const char *name, *reason;
		enum az_code code;
	} table[] = {
	    {"not_found", "not_found", AZ_ENOTFOUND},
	    {"invalid_argument", "", AZ_EINVAL},
	    {"failed_precondition", "", AZ_EINVAL},
	    {"out_of_range", "", AZ_EINVAL},
	    {"unauthenticated", "", AZ_EAUTH},
	    {"permission_denied", "", AZ_EPERM},
	    {"already_exists", "exists", AZ_ECONFLICT},
	    {"aborted", E2B_AWAY, AZ_EUNAVAIL},
	    {"canceled", E2B_AWAY, AZ_EUNAVAIL},
	    {"resource_exhausted", E2B_AWAY, AZ_EUNAVAIL},
	    {"unavailable", E2B_AWAY, AZ_EUNAVAIL},
	    {"deadline_exceeded", "deadline", AZ_ETIMEOUT},
	    {"unimplemented", "", AZ_EUNSUPPORTED},
	};
	char msg[160], name[40];
	size_t i;

	peer_text(message, msg, sizeof msg);
	peer_text(code, name, sizeof name);
	for (i = 0; i < sizeof table / sizeof table[0]; i++)
		if (az_str_eqc(code, table[i].name)) {
			az_fail(err, table[i].code, op, "%s: %s", name, msg);
			az_err_reason(err, table[i].reason);
			return table[i].code;
		}
	return az_fail(err, AZ_EUPSTREAM, op, "%s: %s", *name ? name : "no code", msg);
}

enum az_code
e2b_envd_fail(const struct az_http_resp *r, const char *op, struct az_err *err)
{
	char msg[160], code[64];
	int64_t number;

	read_error(r, msg, sizeof msg, code, sizeof code, &number);
	/* 502 means "gone" only when it says so; nginx's own or a closed port is not */
	if (r->status == 502)
		return has(msg, "was not found")
			   ? failed(r, AZ_ENOTFOUND, E2B_GONE, op, msg, err)
			   : failed(r, AZ_EUNAVAIL, E2B_UNREACHABLE, op, msg, err);
	if (*code && number == 0) { /* a Connect error names itself */
		enum az_code rc = e2b_rpc_fail(az_str_c(code), az_str_c(msg), op, err);

		if (rc != AZ_EUPSTREAM) {
			if (err) {
				err->sys = r->status;
				err->retry_after_ms = az_http_retry_after_ms(r);
			}
			return rc;
		}
	}
	/* what the user in the sandbox may not do, whatever status says so */
	if (r->status == 403 || has(msg, "ermission denied"))
		return failed(r, AZ_EPERM, "", op, msg, err);
	switch (r->status) {
	case 401:
		return failed(r, AZ_EAUTH, "", op, msg, err);
	case 404:
		return failed(r, AZ_ENOTFOUND, "not_found", op, msg, err);
	case 408:
	case 409:
	case 429:
	case 503:
	case 504:
		return failed(r, AZ_EUNAVAIL, E2B_AWAY, op, msg, err);
	case 405:
	case 501:
		return failed(r, AZ_EUNSUPPORTED, "", op, msg, err);
	case 507:
		return failed(r, AZ_EINVAL, "disk_full", op, msg, err);
	default:
		break;
	}
	if (r->status >= 400 && r->status < 500)
		return failed(r, AZ_EINVAL, "", op, msg, err);
	return failed(r, AZ_EUPSTREAM, "", op, msg, err);
}

bool
e2b_transport(enum az_code code)
{
	return code == AZ_EUNAVAIL || code == AZ_EUPSTREAM || code == AZ_ETIMEOUT;
}

enum az_code
e2b_probe(struct e2b *e, const struct az_box_ref *ref, struct az_err *err)
{
	struct az_http_resp r = {0};
	struct e2b_head h;
	struct az_buf url;
	enum az_code rc;

	az_buf_init(&url, 4096);
	e2b_envd_url(e, ref, &url);
	az_buf_addc(&url, "/health");
	if ((rc = az_buf_check(&url, "sandbox.probe", err)) != AZ_OK ||
	    (rc = e2b_head_init(&h, ref, NULL, err)) != AZ_OK)
		goto out;
	rc = az_http_call(e->http,
	    &(struct az_http_req){.method = "GET",
		.url = url.p,
		.headers = h.line,
		.cancelled = e2b_stopped,
		.arg = e,
		.connect_ms = E2B_PROBE_MS,
		.idle_ms = E2B_PROBE_MS,
		.total_ms = E2B_PROBE_MS,
		.max_bytes = AZ_KIB(64)},
	    &r, err);
	if (rc == AZ_ECANCELLED)
		goto out;
	if (rc != AZ_OK) {
		rc = az_fail(err, AZ_EUNAVAIL, "sandbox.probe", "the sandbox does not answer");
		az_err_reason(err, E2B_UNREACHABLE);
	} else if (r.status / 100 != 2) {
		rc = e2b_envd_fail(&r, "sandbox.probe", err);
		if (!(rc == AZ_ENOTFOUND && r.status == 502)) {
			rc = az_fail(err, AZ_EUNAVAIL, "sandbox.probe",
			    "the sandbox answers /health with %d", r.status);
			az_err_reason(err, E2B_UNREACHABLE);
		}
	}
out:
	az_http_resp_release(&r);
	az_buf_release(&url);
	return rc;
}

enum az_code
e2b_explain(
    struct e2b *e, const struct az_box_ref *ref, const char *op, bool *lives, struct az_err *err)
{
	struct az_err was = AZ_ERR_INIT, now = AZ_ERR_INIT;
	enum az_code rc;

	if (err)
		was = *err;
	rc = e2b_probe(e, ref, &now);
	if (lives)
		*lives = rc == AZ_OK;
	if (rc == AZ_ECANCELLED)
		return az_fail(err, rc, op, "%.120s", now.text);
	if (rc == AZ_ENOTFOUND) {
		/* the probe's words may tell why */
		az_fail(err, rc, op, "the sandbox is gone (%.100s; %.100s)", was.text, now.text);
		az_err_reason(err, E2B_GONE);
		e2b_cause(e, ref->id, err);
		return rc;
	}
	/* it lives, or nobody knows: both are worth another try */
	az_fail(err, AZ_EUNAVAIL, op, "%.120s; %.80s", was.text,
	    rc == AZ_OK ? "the sandbox lives" : now.text);
	az_err_reason(err, rc == AZ_OK ? E2B_AWAY : E2B_UNREACHABLE);
	if (err) {
		err->sys = was.sys;
		err->retry_after_ms = was.retry_after_ms;
	}
	return AZ_EUNAVAIL;
}
