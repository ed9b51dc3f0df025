/* Tokens of any bytes, and a set of keys of any bytes. What is taken apart is what its parts
   say: glued together they are the token again; no claim is taken without its form. */
#include "auth/jwks.h"
#include "auth/jwt.h"
#include "fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
token(struct az_str s, bool unsigned_, struct az_arena *a)
{
	struct az_err err = AZ_ERR_INIT;
	struct jwt_claims c;
	struct jwt t;
	struct az_buf b;

	if (jwt_open(s, unsigned_, a, &t, &err)) {
		CHECK(err.code == AZ_EAUTH && err.reason[0]);
		return;
	}
	CHECK(s.n <= JWT_BYTES && t.payload.n && !t.signature.n == unsigned_);
	CHECK(unsigned_ || (t.kid.n && t.kid.n <= JWT_KID_BYTES));
	az_buf_init(&b, AZ_KIB(16));
	az_buf_adds(&b, t.text);
	az_buf_addch(&b, '.');
	az_base64url(&b, t.signature);
	CHECK(az_str_eq(az_buf_str(&b), s)); /* one spelling */
	az_buf_cut(&b, 0);
	az_base64url(&b, t.payload);
	CHECK(az_str_ends(t.text, az_buf_str(&b)));
	az_buf_release(&b);
	if (!jwt_claims(&t, "proj", 1800000000, a, &c, &err))
		CHECK(c.sub.n && c.sub.n <= JWT_SUB_BYTES && az_str_utf8_ok(c.sub));
	else
		CHECK(err.code == AZ_EAUTH && err.reason[0]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str s = az_str_n(data, n);
	struct az_arena *a = az_arena_new(AZ_MIB(16));
	struct az_err err = AZ_ERR_INIT;
	struct jwt_claims c;
	struct jwks *keys;

	CHECK(a);
	token(s, false, a);
	token(s, true, a);
	/* as claims by themselves: most bytes never get through base64 */
	if (!jwt_claims(&(struct jwt){.payload = s}, "proj", 1800000000, a, &c, &err))
		CHECK(c.sub.n && c.sub.n <= JWT_SUB_BYTES);
	if (!jwks_parse(s, &keys, &err)) {
		CHECK(keys->n > 0 && keys->n <= JWKS_KEYS);
		jwks_unref(keys);
	}
	CHECK(jwks_life_s(s, s) >= JWKS_LIFE_MIN_S && jwks_life_s(s, s) <= JWKS_LIFE_MAX_S);
	az_arena_free(a);
	return 0;
}
