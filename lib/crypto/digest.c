/* SHA-256, HMAC, HKDF, compare, wipe: OpenSSL behind names of ours. */
#include <stdlib.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <azlon/crypto.h>

struct az_sha256 {
	EVP_MD_CTX *ctx;
};

struct az_sha256 *
az_sha256_new(void)
{
	struct az_sha256 *h = calloc(1, sizeof *h);

	if (h &&
	    !((h->ctx = EVP_MD_CTX_new()) && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1)) {
		az_sha256_free(h);
		h = NULL;
	}
	return h;
}

void
az_sha256_add(struct az_sha256 *h, const void *p, size_t n)
{
	if (n)
		EVP_DigestUpdate(h->ctx, p, n);
}

void
az_sha256_done(struct az_sha256 *h, unsigned char out[32])
{
	EVP_DigestFinal_ex(h->ctx, out, NULL);
	az_sha256_free(h);
}

void
az_sha256_free(struct az_sha256 *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void
az_sha256_of(struct az_str s, unsigned char out[32])
{
	EVP_Digest(s.n ? s.p : "", s.n, out, NULL, EVP_sha256(), NULL);
}

void
az_sha256_hex(struct az_str s, char out[65])
{
	unsigned char d[32];

	az_sha256_of(s, d);
	az_hex(d, sizeof d, out);
}

void
az_hmac_sha256(struct az_str key, struct az_str msg, unsigned char out[32])
{
	static const char empty[1];

	/* keys are ours: at most a few hundred bytes */
	HMAC(EVP_sha256(), key.n ? key.p : empty, (int)key.n,
	    (const unsigned char *)(msg.n ? msg.p : empty), msg.n, out, NULL);
}

enum az_code
az_hkdf(struct az_str secret, struct az_str salt, struct az_str info, unsigned char *out,
    size_t out_n, struct az_err *err)
{
	static char digest[] = "SHA256";
	EVP_KDF *kdf = NULL;
	EVP_KDF_CTX *ctx = NULL;
	OSSL_PARAM p[5], *q = p;
	/* parameters are read only; OpenSSL's type has no const */
	void *sec, *sal, *inf;
	enum az_code rc = AZ_OK;

	if (!secret.n || !out_n || out_n > 255 * 32)
		return az_fail(err, AZ_EINVAL, "crypto.hkdf", "bad length");
	memcpy(&sec, &secret.p, sizeof sec);
	memcpy(&sal, &salt.p, sizeof sal);
	memcpy(&inf, &info.p, sizeof inf);
	*q++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	*q++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, sec, secret.n);
	if (salt.n)
		*q++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, sal, salt.n);
	if (info.n)
		*q++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, inf, info.n);
	*q = OSSL_PARAM_construct_end();
	if (!(kdf = EVP_KDF_fetch(NULL, "HKDF", NULL)) || !(ctx = EVP_KDF_CTX_new(kdf)) ||
	    EVP_KDF_derive(ctx, out, out_n, p) != 1)
		rc = az_fail(err, AZ_EIO, "crypto.hkdf", "OpenSSL cannot derive a key");
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return rc;
}

bool
az_ct_eq(struct az_str a, struct az_str b)
{
	return a.n == b.n && (!a.n || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

void
az_wipe(void *p, size_t n)
{
	if (n)
		OPENSSL_cleanse(p, n);
}

void
az_user_tag(struct az_str uid, char out[33])
{
	unsigned char d[32];
	struct az_buf b;

	az_sha256_of(uid, d);
	az_buf_init(&b, 32);
	az_base32(&b, az_str_n(d, 20));
	memset(out, 0, 33);
	memcpy(out, az_buf_str(&b).p ? az_buf_str(&b).p : "", az_buf_str(&b).n);
	az_buf_release(&b);
}

void
az_md5(struct az_str s, unsigned char out[16])
{
	EVP_Digest(s.n ? s.p : "", s.n, out, NULL, EVP_md5(), NULL);
}
