#include <stdio.h>
#include <azlon/crypto.h>
#include <azlon/json.h>
#include "jwt.h"

/* The claims of a token are few; custom ones have 1,000 bytes at most. */
static const struct az_json_limits head_limits = {JWT_HEAD_BYTES, 4, 64};
static const struct az_json_limits payload_limits = {JWT_BYTES, 16, 2000};

static enum az_code
no(struct az_err *err, const char *why)
{
	(void)az_fail(err, AZ_EAUTH, "auth.jwt", "refused: %s", why);
	return az_err_reason(err, why);
}

/* base64url in its one spelling: no padding, nothing of the other alphabet. That the last
   bits are zero is the decoder's rule. */
static enum az_code
decode(struct az_str part, struct az_arena *a, struct az_str *out, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	struct az_buf b;

	for (size_t i = 0; i < part.n; i++) {
		char c = part.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '_'))
			return no(err, "base64");
	}
	az_buf_init(&b, JWT_BYTES);
	if (!az_base64_decode(&b, part))
		rc = b.fail ? az_buf_check(&b, "auth.jwt", err) : no(err, "base64");
	else if (!(*out = az_arena_str(a, az_buf_str(&b))).p)
		rc = az_fail(err, AZ_ENOMEM, "auth.jwt", "no memory");
	az_buf_release(&b);
	return rc;
}

static enum az_code
object(struct az_str text, const struct az_json_limits *lim, struct az_arena *a,
    const struct az_json **out, struct az_err *err)
{
	enum az_code rc;

	*out = NULL;
	rc = az_json_parse_in(a, text, lim, out, err);
	if (rc == AZ_EINVAL || rc == AZ_ETOOBIG || (!rc && az_json_type(*out) != AZ_JOBJ))
		return no(err, "json");
	return rc;
}

/* The algorithm is ours to say, never the token's: anything else ends here, before a key is
   looked for. What a header says of addresses or keys of its own is not read at all. */
static enum az_code
header(struct az_str text, bool unsigned_, struct az_arena *a, struct jwt *out, struct az_err *err)
{
	const struct az_json *h, *kid, *typ;
	enum az_code rc = object(text, &head_limits, a, &h, err);

	if (rc)
		return rc;
	if (!az_str_eqc(az_json_gets(h, "alg"), unsigned_ ? "none" : "RS256"))
		return no(err, "alg");
	/* it would ask us to understand what we do not */
	if (az_json_get(h, "crit"))
		return no(err, "crit");
	typ = az_json_get(h, "typ");
	if (typ && !az_str_eqc(az_json_str(typ), "JWT"))
		return no(err, "typ");
	if (unsigned_)
		return AZ_OK;
	kid = az_json_get(h, "kid");
	if (!az_json_is_str(kid) || !az_json_str(kid).n || az_json_str(kid).n > JWT_KID_BYTES)
		return no(err, "kid");
	out->kid = az_arena_str(a, az_json_str(kid));
	return out->kid.p ? AZ_OK : az_fail(err, AZ_ENOMEM, "auth.jwt", "no memory");
}

enum az_code
jwt_open(
    struct az_str token, bool unsigned_, struct az_arena *a, struct jwt *out, struct az_err *err)
{
	struct az_str rest = token, part[3] = {{NULL, 0}}, head = {NULL, 0};
	enum az_code rc;

	*out = (struct jwt){.text = {NULL, 0}};
	if (token.n > JWT_BYTES)
		return no(err, "size");
	for (size_t i = 0; i < 3; i++)
		if (!az_str_cut(&rest, '.', &part[i]))
			return no(err, "parts");
	if (rest.p || !part[0].n || !part[1].n || !part[2].n != unsigned_)
		return no(err, "parts");
	if ((rc = decode(part[0], a, &head, err)) || (rc = header(head, unsigned_, a, out, err)) ||
	    (rc = decode(part[1], a, &out->payload, err)))
		return rc;
	out->text = az_str_sub(token, 0, part[0].n + 1 + part[1].n);
	return unsigned_ ? AZ_OK : decode(part[2], a, &out->signature, err);
}

/* A point in time: an integer, in no unit but seconds. */
static bool
moment(const struct az_json *claims, const char *name, int64_t *out)
{
	return az_json_i64(az_json_get(claims, name), 0, INT64_C(1) << 40, out);
}

static enum az_code
times(const struct az_json *c, int64_t now_s, struct jwt_claims *out, struct az_err *err)
{
	int64_t exp, iat, nbf = 0;

	if (!moment(c, "exp", &exp) || !moment(c, "iat", &iat) ||
	    !moment(c, "auth_time", &out->auth_time_s) ||
	    (az_json_get(c, "nbf") && !moment(c, "nbf", &nbf)))
		return no(err, "times");
	if (iat > now_s + JWT_SKEW_S || out->auth_time_s > now_s + JWT_SKEW_S ||
	    nbf > now_s + JWT_SKEW_S)
		return no(err, "future");
	return exp + JWT_SKEW_S > now_s ? AZ_OK : no(err, "expired");
}

enum az_code
jwt_claims(const struct jwt *t, const char *project, int64_t now_s, struct az_arena *a,
    struct jwt_claims *out, struct az_err *err)
{
	static const char issuer[] = "https://securetoken.google.com/";
	const struct az_json *c, *sub;
	struct az_str iss;
	enum az_code rc = object(t->payload, &payload_limits, a, &c, err);

	*out = (struct jwt_claims){.auth_time_s = 0};
	if (rc)
		return rc;
	/* equal as strings: an array that holds ours is somebody else's token */
	if (!az_json_is_str(az_json_get(c, "aud")) || !az_str_eqc(az_json_gets(c, "aud"), project))
		return no(err, "aud");
	iss = az_json_gets(c, "iss");
	if (!az_str_starts(iss, az_str_c(issuer)) ||
	    !az_str_eqc(az_str_sub(iss, sizeof issuer - 1, iss.n), project))
		return no(err, "iss");
	/* users of a tenant have ids of their own that may be another user's here */
	if (az_json_get(az_json_get(c, "firebase"), "tenant"))
		return no(err, "tenant");
	sub = az_json_get(c, "sub");
	if (!az_json_is_str(sub) || !az_json_str(sub).n || az_json_str(sub).n > JWT_SUB_BYTES)
		return no(err, "sub");
	if ((rc = times(c, now_s, out, err)))
		return rc;
	out->sub = az_arena_str(a, az_json_str(sub));
	return out->sub.p ? AZ_OK : az_fail(err, AZ_ENOMEM, "auth.jwt", "no memory");
}
