/* What only this installation can make: ids that a client can ask for twice, the token of a
   wait that is handed over. */
#include <azlon/crypto.h>
#include "run.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define TAIL 26

enum az_code
api_keyed(const struct az_api *api, const char *purpose, struct az_str owner, struct az_str text,
    unsigned char out[32], struct az_err *err)
{
	unsigned char key[32];
	struct az_buf b;
	enum az_code rc;

	if ((rc = az_hkdf(az_str_n(api->secret, sizeof api->secret), AZ_S("azlon"),
		 az_str_c(purpose), key, sizeof key, err)) != AZ_OK)
		return rc;
	az_buf_init(&b, 2048);
	az_buf_adds(&b, owner);
	az_buf_addch(&b, '\0');
	az_buf_adds(&b, text);
	if ((rc = az_buf_check(&b, "api.keyed", err)) == AZ_OK)
		az_hmac_sha256(az_str_n(key, sizeof key), az_buf_str(&b), out);
	az_buf_release(&b);
	az_wipe(key, sizeof key);
	return rc;
}

enum az_code
idem_wid(const struct az_api *api, struct az_str uid, struct az_str key, int64_t now_ms,
    struct az_buf *out, struct az_err *err)
{
	unsigned char mac[32];
	struct az_buf tail;
	enum az_code rc;

	if ((rc = api_keyed(api, "idempotency", uid, key, mac, err)) != AZ_OK)
		return rc;
	az_buf_init(&tail, 64);
	az_base32(&tail, az_str_n(mac, sizeof mac));
	if ((rc = az_buf_check(&tail, "api.idempotency", err)) == AZ_OK) {
		az_buf_cut(&tail, TAIL);
		az_wid_make(out, uid, now_ms - now_ms % DAY_MS, tail.p);
		rc = az_buf_check(out, "api.idempotency", err);
	}
	az_buf_release(&tail);
	return rc;
}

enum az_code
api_wait_token(
    const struct az_api *api, struct az_str id, struct az_str uid, char out[65], struct az_err *err)
{
	unsigned char mac[32];
	enum az_code rc = api_keyed(api, "wait", uid, id, mac, err);

	if (rc == AZ_OK)
		az_hex(mac, sizeof mac, out);
	return rc;
}
