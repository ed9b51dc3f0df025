/* Private to the room: a set of public keys as it was fetched, and how long it lasts. */
#ifndef AZ_AUTH_JWKS_H
#define AZ_AUTH_JWKS_H

#include <stdatomic.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>

#define JWKS_BYTES AZ_KIB(64)
enum { JWKS_KEYS = 32, JWKS_LIFE_MIN_S = 300, JWKS_LIFE_MAX_S = 86400 };

struct jwks {
	atomic_int refs;
	int64_t fetched_s, life_s; /* unix time; how long its source says that it lasts */
	size_t n;
	struct jwks_key {
		char *kid;
		struct az_rsa *key;
	} keys[JWKS_KEYS];
};

/*
 * Either of the two forms in which Google has them: {kid: certificate in PEM, …} or a JWK set.
 * What is no RSA key for signatures is passed over; a set without any usable key is
 * AZ_EUPSTREAM. *out has one reference, fetched_s and life_s are the caller's to fill in.
 */
AZ_MUST_CHECK enum az_code jwks_parse(struct az_str body, struct jwks **out, struct az_err *err);
struct jwks *jwks_ref(struct jwks *s);
void jwks_unref(struct jwks *s);                                         /* accepts NULL */
const struct az_rsa *jwks_find(const struct jwks *s, struct az_str kid); /* or NULL */

/* max-age of a Cache-Control header less the Age it has reached, between JWKS_LIFE_MIN_S (also
   when there is none) and JWKS_LIFE_MAX_S. */
int64_t jwks_life_s(struct az_str cache_control, struct az_str age);

#endif
