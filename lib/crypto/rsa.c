/* RSA keys that check signatures: RS256 (PKCS#1 v1.5 with SHA-256) and nothing else. */
#include <stdlib.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <azlon/crypto.h>

enum { BITS_MIN = 2048, BITS_MAX = 8192, PEM_MAX = 16384, NUMBER_MAX = BITS_MAX / 8, EXP_MAX = 8 };

static const char OP[] = "crypto.rsa";

struct az_rsa {
	EVP_PKEY *key;
	size_t bytes; /* of a signature */
};

/* Takes key, also when it fails. A key that is too short is no key, one that is too long
   would make each check dear. */
static enum az_code
wrap(EVP_PKEY *key, struct az_rsa **out, struct az_err *err)
{
	struct az_rsa *k = NULL;
	enum az_code rc = AZ_OK;
	int bits = 0;

	if (key)
		bits = EVP_PKEY_get_bits(key);
	if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
		rc = az_fail(err, AZ_EINVAL, OP, "not an RSA key");
	else if (bits < BITS_MIN || bits > BITS_MAX)
		rc = az_fail(err, AZ_EINVAL, OP, "a key of %d bits", bits);
	else if (!(k = calloc(1, sizeof *k)))
		rc = az_fail(err, AZ_ENOMEM, OP, "no memory");
	/* what OpenSSL noted would be taken for the next caller's */
	ERR_clear_error();
	if (rc || !k) {
		EVP_PKEY_free(key);
		return rc;
	}
	k->key = key;
	k->bytes = (size_t)EVP_PKEY_get_size(key);
	*out = k;
	return AZ_OK;
}

enum az_code
az_rsa_from_cert(struct az_str pem, struct az_rsa **out, struct az_err *err)
{
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;
	BIO *in = NULL;

	*out = NULL;
	if (pem.n && pem.n <= PEM_MAX && (in = BIO_new_mem_buf(pem.p, (int)pem.n)))
		cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
	if (cert)
		key = X509_get_pubkey(cert);
	X509_free(cert);
	BIO_free(in);
	return wrap(key, out, err);
}

enum az_code
az_rsa_from_numbers(struct az_str n, struct az_str e, struct az_rsa **out, struct az_err *err)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *bn = NULL, *be = NULL;
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	*out = NULL;
	if (n.n && n.n <= NUMBER_MAX && e.n && e.n <= EXP_MAX) {
		bn = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
		be = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
	}
	/* with the exponent 1 every text would be its own signature */
	if (ctx && bld && bn && be && BN_is_odd(be) && !BN_is_one(be) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be) == 1 &&
	    (params = OSSL_PARAM_BLD_to_param(bld)) && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	BN_free(bn);
	BN_free(be);
	return wrap(key, out, err);
}

bool
az_rs256_ok(const struct az_rsa *k, struct az_str text, struct az_str signature)
{
	EVP_MD_CTX *ctx = NULL;
	EVP_PKEY_CTX *how = NULL; /* the digest's */
	bool ok;

	if (signature.n != k->bytes || !(ctx = EVP_MD_CTX_new()))
		return false;
	/* only 1 is yes: there are errors below 0 */
	ok = EVP_DigestVerifyInit(ctx, &how, EVP_sha256(), NULL, k->key) == 1 &&
	     EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PADDING) == 1 &&
	     EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
		 (const unsigned char *)text.p, text.n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

void
az_rsa_free(struct az_rsa *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->key);
	free(k);
}
