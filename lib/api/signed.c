/* What only this installation can make: ids that a client can ask for twice, signatures of
   links and of a wait that is handed over. */
#include <azlon/crypto.h>
#include "run.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define TAIL 26

static const char op[] = "api.signed";

/* HMAC with the which-th secret's key for a purpose; no other owner and text give these bytes,
   as no owner holds a NUL. */
static enum az_code
keyed(const struct az_api *api, size_t which, const char *purpose, struct az_str owner,
    struct az_str text, unsigned char out[32], struct az_err *err)
{
	struct az_str secret = az_str_n((const char *)api->secrets.key[which], AZ_SECRET_BYTES);
	unsigned char key[32];
	struct az_buf b;
	enum az_code rc;

	if ((rc = az_hkdf(secret, AZ_S("azlon"), az_str_c(purpose), key, sizeof key, err)) != AZ_OK)
		return rc;
	az_buf_init(&b, 2048);
	az_buf_adds(&b, owner);
	az_buf_addch(&b, '\0');
	az_buf_adds(&b, text);
	if ((rc = az_buf_check(&b, op, err)) == AZ_OK)
		az_hmac_sha256(az_str_n(key, sizeof key), az_buf_str(&b), out);
	az_buf_release(&b);
	az_wipe(key, sizeof key);
	return rc;
}

static enum az_code
sign(const struct az_api *api, size_t which, const char *purpose, struct az_str owner,
    struct az_str text, struct az_buf *out, struct az_err *err)
{
	unsigned char mac[32];
	enum az_code rc = keyed(api, which, purpose, owner, text, mac, err);

	if (rc != AZ_OK)
		return rc;
	az_base64url(out, az_str_n(mac, sizeof mac));
	return az_buf_check(out, op, err);
}

enum az_code
api_sign(const struct az_api *api, const char *purpose, struct az_str owner, struct az_str text,
    struct az_buf *out, struct az_err *err)
{
	return sign(api, 0, purpose, owner, text, out, err);
}

enum az_code
api_signed(const struct az_api *api, const char *purpose, struct az_str owner, struct az_str text,
    struct az_str signature, bool *ok, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	struct az_buf want;

	*ok = false;
	az_buf_init(&want, 64);
	for (size_t i = 0; rc == AZ_OK && !*ok && i < api->secrets.n; i++) {
		az_buf_reset(&want);
		rc = sign(api, i, purpose, owner, text, &want, err);
		*ok = rc == AZ_OK && az_ct_eq(az_buf_str(&want), signature);
	}
	az_buf_release(&want);
	return rc;
}

enum az_code
idem_wid(const struct az_api *api, size_t which, struct az_str uid, struct az_str key,
    int64_t now_ms, struct az_buf *out, struct az_err *err)
{
	unsigned char mac[32];
	struct az_buf tail;
	enum az_code rc;

	if ((rc = keyed(api, which, "idempotency", uid, key, mac, err)) != AZ_OK)
		return rc;
	az_buf_init(&tail, 64);
	az_base32(&tail, az_str_n(mac, sizeof mac));
	if ((rc = az_buf_check(&tail, op, err)) == AZ_OK) {
		az_buf_cut(&tail, TAIL);
		az_wid_make(out, uid, now_ms - now_ms % DAY_MS, tail.p);
		rc = az_buf_check(out, op, err);
	}
	az_buf_release(&tail);
	return rc;
}
