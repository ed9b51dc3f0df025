/* Connect-RPC with JSON over HTTP: unary bodies, envelopes, error codes. */
#include "box.h"

#include <stdio.h>

#define KEEPALIVE_S 90

const struct az_json_limits connect_limits = {CONNECT_MAX, 32, 200000};

/* ---- envelopes: u8 flags, u32 big-endian length, payload ---- */

int
envelope_next(struct az_str s, unsigned *flags, struct az_str *msg, size_t *used)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n;

	if (s.n < 1)
		return 0;
	/* 1 is compressed, 2 the end of a stream; more is not defined */
	if (p[0] & ~2u)
		return -2;
	if (s.n < 5)
		return 0;
	n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	if (n > CONNECT_MAX)
		return -1;
	if (s.n - 5 < n)
		return 0;
	*flags = p[0];
	*msg = az_str_sub(s, 5, 5 + n);
	*used = 5 + n;
	return 1;
}

enum az_code
envelope_fail(int got, struct az_err *err)
{
	switch (got) {
	case -1:
		return az_fail(err, AZ_ETOOBIG, "box.rpc", "message too long");
	case -2:
		return az_fail(err, AZ_EUNSUPPORTED, "box.rpc", "compressed messages");
	default:
		return az_fail(err, AZ_EINVAL, "box.rpc", "truncated envelope");
	}
}

void
envelope_add(struct az_buf *b, unsigned flags, struct az_str msg)
{
	unsigned char h[5] = {(unsigned char)flags, (unsigned char)(msg.n >> 24),
	    (unsigned char)(msg.n >> 16), (unsigned char)(msg.n >> 8), (unsigned char)msg.n};

	az_buf_add(b, h, sizeof h);
	az_buf_adds(b, msg);
}

/* ---- errors ---- */

static const struct {
	const char *name;
	int http;
} codes[AZ_ECODES] = {
    [AZ_OK] = {"unknown", 500},
    [AZ_EINVAL] = {"invalid_argument", 400},
    [AZ_EAUTH] = {"unauthenticated", 401},
    [AZ_EPERM] = {"permission_denied", 403},
    [AZ_ENOTFOUND] = {"not_found", 404},
    [AZ_EMETHOD] = {"unimplemented", 501},
    [AZ_ECONFLICT] = {"already_exists", 409},
    [AZ_EPRECOND] = {"failed_precondition", 400},
    [AZ_ETOOBIG] = {"resource_exhausted", 429},
    [AZ_ETYPE] = {"invalid_argument", 400},
    [AZ_ERANGE] = {"out_of_range", 400},
    [AZ_EUNPROC] = {"invalid_argument", 400},
    [AZ_EQUOTA] = {"resource_exhausted", 429},
    [AZ_ECANCELLED] = {"canceled", 499},
    [AZ_EIO] = {"internal", 500},
    [AZ_ENOMEM] = {"internal", 500},
    [AZ_EINTERNAL] = {"internal", 500},
    [AZ_EUNSUPPORTED] = {"unimplemented", 501},
    [AZ_EUPSTREAM] = {"internal", 500},
    [AZ_EUNAVAIL] = {"unavailable", 503},
    [AZ_ETIMEOUT] = {"deadline_exceeded", 504},
};

const char *
connect_code(enum az_code c)
{
	return (unsigned)c < AZ_ECODES ? codes[c].name : "unknown";
}

static void
error_json(struct az_jw *w, const struct az_err *e)
{
	az_jw_obj(w);
	az_jw_kc(w, "code", connect_code(e->code));
	az_jw_kc(w, "message", e->text[0] ? e->text : az_code_sentence(e->code));
	az_jw_end(w, '}');
}

enum az_code
connect_fail(struct az_rq *rq, const struct az_err *e)
{
	struct az_buf b;
	struct az_jw w;
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc;

	/* as for one that is not there, and as whoever stands before it would say */
	if (az_str_eqc(az_str_c(e->reason), BOX_GONE))
		return rs_error(rq, 502, e->text, &err);
	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&w, &b);
	error_json(&w, e);
	rc = az_buf_check(&b, "box.rpc", &err);
	if (!rc)
		rc = az_rs_json(rq, (unsigned)e->code < AZ_ECODES ? codes[e->code].http : 500,
		    az_buf_str(&b), &err);
	az_buf_release(&b);
	return rc;
}

/* ---- requests ---- */

static bool
plain(struct az_str encoding)
{
	return !encoding.p || !encoding.n || az_str_ieq(encoding, AZ_S("identity"));
}

static struct az_str
media_type(struct az_rq *rq)
{
	struct az_str t = az_rq_header(rq, "Content-Type");
	ptrdiff_t semi = az_str_chr(t, ';');

	return az_str_trim(semi < 0 ? t : az_str_sub(t, 0, (size_t)semi));
}

static enum az_code
wrong_type(struct az_rq *rq, const char *want, struct az_err *err)
{
	az_rs_header(rq, "Accept-Post", az_str_c(want));
	return rs_error(rq, 415, "unsupported content type", err);
}

enum az_code
connect_unary(struct az_rq *rq, const struct az_json **body, bool *stop, struct az_err *err)
{
	struct az_err e = AZ_ERR_INIT;
	struct az_str text;
	enum az_code rc;

	*stop = true;
	if (!az_str_ieq(media_type(rq), AZ_S("application/json")))
		return wrong_type(rq, "application/json", err);
	if (!plain(az_rq_header(rq, "Content-Encoding"))) {
		az_fail(&e, AZ_EUNSUPPORTED, "box.rpc", "compressed requests");
		return connect_fail(rq, &e);
	}
	if ((rc = az_rq_body(rq, CONNECT_MAX, &text, &e)))
		return rc == AZ_ECANCELLED ? rc : connect_fail(rq, &e);
	if (!text.n)
		text = AZ_S("{}");
	if (az_json_parse_in(az_rq_arena(rq), text, &connect_limits, body, &e))
		return connect_fail(rq, &e);
	*stop = false;
	return AZ_OK;
}

enum az_code
connect_stream(struct az_rq *rq, bool *stop, struct az_err *err)
{
	struct az_err e = AZ_ERR_INIT;

	*stop = true;
	if (!az_str_ieq(media_type(rq), AZ_S("application/connect+json")))
		return wrong_type(rq, "application/connect+json", err);
	/* exactly this: a parameter makes clients refuse it */
	az_rs_status(rq, 200);
	az_rs_header(rq, "Content-Type", AZ_S("application/connect+json"));
	az_rs_header(rq, "Cache-Control", AZ_S("no-store"));
	az_rs_header(rq, "X-Accel-Buffering", AZ_S("no"));
	if (!plain(az_rq_header(rq, "Connect-Content-Encoding")) ||
	    !plain(az_rq_header(rq, "Content-Encoding"))) {
		az_fail(&e, AZ_EUNSUPPORTED, "box.rpc", "compressed requests");
		return stream_end(rq, &e, err);
	}
	/* a stream keeps its thread: the last ones are for the calls that end streams */
	if (az_web_crowded(rq)) {
		az_fail(&e, AZ_EQUOTA, "box.rpc", "too many streams at once on this server");
		return stream_end(rq, &e, err);
	}
	*stop = false;
	return AZ_OK;
}

enum az_code
connect_message(struct az_rq *rq, const struct az_json **msg, struct az_err *err)
{
	struct az_str body, text;
	unsigned flags;
	size_t used;
	enum az_code rc = az_rq_body(rq, CONNECT_MAX + 5, &body, err);
	int got;

	if (rc)
		return rc;
	if ((got = envelope_next(body, &flags, &text, &used)) != 1)
		return envelope_fail(got, err);
	if (flags)
		return az_fail(err, AZ_EINVAL, "box.rpc", "no message in the stream");
	return az_json_parse_in(az_rq_arena(rq), text, &connect_limits, msg, err);
}

enum az_code
stream_send(struct az_rq *rq, struct az_str json, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, json.n + 5);
	envelope_add(&b, 0, json);
	rc = az_buf_check(&b, "box.rpc", err);
	if (!rc)
		rc = az_rs_write(rq, az_buf_str(&b), err);
	if (!rc)
		rc = az_rs_flush(rq, err);
	az_buf_release(&b);
	return rc;
}

enum az_code
stream_end(struct az_rq *rq, const struct az_err *e, struct az_err *err)
{
	struct az_buf b, env;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&b, AZ_KIB(4));
	az_buf_init(&env, AZ_KIB(5));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	if (e) {
		az_jw_key(&w, "error");
		error_json(&w, e);
	}
	az_jw_end(&w, '}');
	envelope_add(&env, 2, az_buf_str(&b));
	rc = az_buf_check(&b, "box.rpc", err);
	if (!rc)
		rc = az_buf_check(&env, "box.rpc", err);
	if (!rc)
		rc = az_rs_write(rq, az_buf_str(&env), err);
	if (!rc)
		rc = az_rs_flush(rq, err);
	az_buf_release(&b);
	az_buf_release(&env);
	return rc;
}

enum az_code
connect_timeout(struct az_rq *rq, int64_t *ms, struct az_err *err)
{
	struct az_str t = az_rq_header(rq, "Connect-Timeout-Ms");

	*ms = 0;
	/* ten digits are the protocol's most */
	if (t.p && !az_str_to_i64(t, 0, 9999999999, ms))
		return az_fail(
		    err, AZ_EINVAL, "box.rpc", "Connect-Timeout-Ms: not a number of milliseconds");
	return AZ_OK;
}

int64_t
connect_keepalive(struct az_rq *rq)
{
	struct az_str t = az_rq_header(rq, "Keepalive-Ping-Interval");
	int64_t s = KEEPALIVE_S;

	if (t.p && (!az_str_to_i64(t, INT64_MIN, INT64_MAX, &s) || s > 3600))
		s = KEEPALIVE_S;
	return (s < 1 ? 1 : s) * 1000;
}
