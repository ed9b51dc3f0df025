/* AES-256-GCM: a nonce of 12 bytes, no associated data, the tag behind the ciphertext. */
#include <openssl/evp.h>
#include <azlon/crypto.h>

enum { TAG = 16, NONCE = 12, CHUNK = 4096 };

/* Run all of in through the cipher; the output has the same length. */
static bool
pour(EVP_CIPHER_CTX *ctx, struct az_str in, struct az_buf *out)
{
	unsigned char chunk[CHUNK + EVP_MAX_BLOCK_LENGTH];
	bool ok = true;

	for (size_t at = 0; ok && at < in.n; at += CHUNK) {
		size_t n = in.n - at < CHUNK ? in.n - at : CHUNK;
		int got = 0;

		ok = EVP_CipherUpdate(ctx, chunk, &got, (const unsigned char *)in.p + at, (int)n);
		if (ok)
			az_buf_add(out, chunk, (size_t)got);
	}
	az_wipe(chunk, sizeof chunk);
	return ok;
}

static EVP_CIPHER_CTX *
begin(const unsigned char key[32], const unsigned char nonce[NONCE], int encrypt)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	/* NONCE is what the cipher takes unless told otherwise */
	if (ctx && EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, encrypt, NULL) == 1)
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

enum az_code
az_aes256gcm_seal(const unsigned char key[32], const unsigned char nonce[NONCE],
    struct az_str plain, struct az_buf *out, struct az_err *err)
{
	unsigned char tag[TAG], none[EVP_MAX_BLOCK_LENGTH];
	EVP_CIPHER_CTX *ctx = begin(key, nonce, 1);
	size_t from = out->n;
	enum az_code rc;
	int n = 0;

	if (!ctx || !pour(ctx, plain, out) || EVP_CipherFinal_ex(ctx, none, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, tag) != 1) {
		az_buf_cut(out, from);
		rc = az_fail(err, AZ_EIO, "crypto.seal", "OpenSSL cannot encrypt");
	} else {
		az_buf_add(out, tag, TAG);
		rc = az_buf_check(out, "crypto.seal", err);
	}
	EVP_CIPHER_CTX_free(ctx);
	return rc;
}

enum az_code
az_aes256gcm_open(const unsigned char key[32], const unsigned char nonce[NONCE],
    struct az_str sealed, struct az_buf *out, struct az_err *err)
{
	unsigned char tag[TAG], none[EVP_MAX_BLOCK_LENGTH];
	EVP_CIPHER_CTX *ctx = NULL;
	size_t from = out->n;
	enum az_code rc;
	int n = 0;

	if (sealed.n < TAG)
		return az_fail(err, AZ_EINVAL, "crypto.open", "shorter than its tag");
	memcpy(tag, sealed.p + sealed.n - TAG, TAG);
	sealed.n -= TAG;
	if (!(ctx = begin(key, nonce, 0)) ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) != 1 ||
	    !pour(ctx, sealed, out)) {
		rc = az_fail(err, AZ_EIO, "crypto.open", "OpenSSL cannot decrypt");
	} else if (EVP_CipherFinal_ex(ctx, none, &n) != 1) {
		rc = az_fail(
		    err, AZ_EINVAL, "crypto.open", "encrypted with another key, or altered");
	} else {
		rc = az_buf_check(out, "crypto.open", err);
	}
	if (rc && out->n > from) { /* nobody may see what was not vouched for */
		az_wipe(out->p + from, out->n - from);
		az_buf_cut(out, from);
	}
	EVP_CIPHER_CTX_free(ctx);
	return rc;
}
