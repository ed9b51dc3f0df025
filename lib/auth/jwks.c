#include <stdlib.h>
#include <azlon/json.h>
#include "jwks.h"
#include "jwt.h"

static const char OP[] = "auth.keys";

static const struct az_json_limits limits = {JWKS_BYTES, 8, 2000};

/* A number of a JWK, to be released by the caller. */
static bool
number(const struct az_json *jwk, const char *name, struct az_buf *out)
{
	struct az_str s = az_json_gets(jwk, name);

	az_buf_init(out, AZ_KIB(2));
	return s.n && az_base64_decode(out, s);
}

static enum az_code
from_jwk(const struct az_json *jwk, struct az_rsa **out, struct az_err *err)
{
	const struct az_json *use = az_json_get(jwk, "use"), *alg = az_json_get(jwk, "alg");
	enum az_code rc = AZ_EINVAL;
	struct az_buf n, e;
	bool whole;

	if (!az_str_eqc(az_json_gets(jwk, "kty"), "RSA") ||
	    (use && !az_str_eqc(az_json_str(use), "sig")) ||
	    (alg && !az_str_eqc(az_json_str(alg), "RS256")))
		return az_fail(err, AZ_EINVAL, OP, "not a key for RS256");
	whole = number(jwk, "n", &n);
	whole = number(jwk, "e", &e) && whole;
	if (whole)
		rc = az_rsa_from_numbers(az_buf_str(&n), az_buf_str(&e), out, err);
	else if (n.fail == AZ_ENOMEM || e.fail == AZ_ENOMEM)
		rc = az_fail(err, AZ_ENOMEM, OP, "no memory");
	else
		rc = az_fail(err, AZ_EINVAL, OP, "a key without numbers");
	az_buf_release(&n);
	az_buf_release(&e);
	return rc;
}

/* Passed over when it is no key for us; only lack of memory is a failure. */
static enum az_code
add(struct jwks *s, struct az_str kid, const struct az_json *v, struct az_err *err)
{
	struct jwks_key *k = &s->keys[s->n];
	struct az_err why = AZ_ERR_INIT;
	struct az_rsa *key = NULL;
	enum az_code rc;

	if (s->n == JWKS_KEYS || !kid.n || kid.n > JWT_KID_BYTES || jwks_find(s, kid))
		return AZ_OK;
	if (az_json_type(v) == AZ_JOBJ)
		rc = from_jwk(v, &key, &why);
	else
		rc = az_rsa_from_cert(az_json_str(v), &key, &why);
	if (rc == AZ_EINVAL || memchr(kid.p, 0, kid.n)) {
		az_rsa_free(key);
		return AZ_OK;
	}
	if (rc || !(k->kid = az_str_dup(kid))) {
		az_rsa_free(key);
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	}
	k->key = key;
	s->n++;
	return AZ_OK;
}

enum az_code
jwks_parse(struct az_str body, struct jwks **out, struct az_err *err)
{
	const struct az_json *list, *v;
	struct az_json *doc = NULL;
	struct az_err why = AZ_ERR_INIT;
	struct jwks *s = NULL;
	enum az_code rc;
	struct az_str kid;
	void *it = NULL;

	*out = NULL;
	if ((rc = az_json_parse(body, &limits, &doc, &why))) {
		if (rc == AZ_EINVAL || rc == AZ_ETOOBIG)
			return az_fail(err, AZ_EUPSTREAM, OP, "no usable answer: %s", why.text);
		return az_fail(err, rc, OP, "%s", why.text);
	}
	if (!(s = calloc(1, sizeof *s))) {
		rc = az_fail(err, AZ_ENOMEM, OP, "no memory");
		goto out;
	}
	atomic_init(&s->refs, 1);
	list = az_json_get(doc, "keys");
	if (az_json_type(list) == AZ_JARR)
		for (size_t i = 0; !rc && i < az_json_len(list); i++)
			rc = add(
			    s, az_json_gets(az_json_at(list, i), "kid"), az_json_at(list, i), err);
	else
		while (!rc && az_json_each(doc, &it, &kid, &v))
			rc = az_json_is_str(v) ? add(s, kid, v, err) : AZ_OK;
	if (!rc && !s->n)
		rc = az_fail(err, AZ_EUPSTREAM, OP, "no usable key in the answer");
out:
	if (rc)
		jwks_unref(s);
	else
		*out = s;
	az_json_free(doc);
	return rc;
}

struct jwks *
jwks_ref(struct jwks *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void
jwks_unref(struct jwks *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->n; i++) {
		free(s->keys[i].kid);
		az_rsa_free(s->keys[i].key);
	}
	free(s);
}

const struct az_rsa *
jwks_find(const struct jwks *s, struct az_str kid)
{
	for (size_t i = 0; s && i < s->n; i++)
		if (az_str_eqc(kid, s->keys[i].kid))
			return s->keys[i].key;
	return NULL;
}

int64_t
jwks_life_s(struct az_str cache_control, struct az_str age)
{
	int64_t life = 0, aged = 0;
	struct az_str part;

	while (az_str_cut(&cache_control, ',', &part)) {
		part = az_str_trim(part);
		if (part.n <= 8 || !az_str_ieq(az_str_sub(part, 0, 8), AZ_S("max-age=")))
			continue;
		if (!az_str_to_i64(az_str_sub(part, 8, part.n), 0, INT64_C(1) << 40, &life))
			life = 0;
	}
	if (!az_str_to_i64(age, 0, INT64_C(1) << 40, &aged))
		aged = 0;
	life -= aged;
	return life < JWKS_LIFE_MIN_S   ? JWKS_LIFE_MIN_S
	       : life > JWKS_LIFE_MAX_S ? JWKS_LIFE_MAX_S
					: life;
}
