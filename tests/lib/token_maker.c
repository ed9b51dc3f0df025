#include <stdlib.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <azlon/json.h>
#include "token_maker.h"

struct token_key {
	EVP_PKEY *key;
	char *cert;
};

static void
need(bool ok)
{
	if (!ok)
		abort();
}

static char *
self_signed(EVP_PKEY *key)
{
	X509 *x = X509_new();
	BIO *out = BIO_new(BIO_s_mem());
	char *text, *copy;
	long n;

	need(x && out && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
	     X509_gmtime_adj(X509_getm_notBefore(x), 0) &&
	     X509_gmtime_adj(X509_getm_notAfter(x), 3600) && X509_set_pubkey(x, key) &&
	     X509_sign(x, key, EVP_sha256()) && PEM_write_bio_X509(out, x));
	n = BIO_get_mem_data(out, &text);
	copy = az_str_dup(az_str_n(text, (size_t)n));
	X509_free(x);
	BIO_free(out);
	return copy;
}

struct token_key *
token_key_new(int bits)
{
	struct token_key *k = calloc(1, sizeof *k);

	need(k);
	k->key = bits ? EVP_RSA_gen((unsigned)bits) : EVP_EC_gen("P-256");
	need(k->key);
	k->cert = self_signed(k->key);
	return k;
}

void
token_key_free(struct token_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->key);
	free(k->cert);
	free(k);
}

const char *
token_key_cert(struct token_key *k)
{
	return k->cert;
}

static void
number(EVP_PKEY *key, const char *name, struct az_buf *out)
{
	unsigned char bytes[1024];
	BIGNUM *b = NULL;

	need(EVP_PKEY_get_bn_param(key, name, &b) == 1);
	az_buf_add(out, bytes, (size_t)BN_bn2bin(b, bytes));
	BN_free(b);
}

void
token_key_numbers(struct token_key *k, struct az_buf *n, struct az_buf *e)
{
	number(k->key, OSSL_PKEY_PARAM_RSA_N, n);
	number(k->key, OSSL_PKEY_PARAM_RSA_E, e);
}

void
token_sign(struct token_key *k, const char *alg, struct az_str text, struct az_buf *sig)
{
	const EVP_MD *md = strcmp(alg, "RS512") == 0 ? EVP_sha512() : EVP_sha256();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how = NULL;
	unsigned char out[1024];
	size_t n = sizeof out;

	need(ctx && EVP_DigestSignInit(ctx, &how, md, NULL, k->key) == 1);
	if (strcmp(alg, "PS256") == 0)
		need(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1);
	need(EVP_DigestSign(ctx, out, &n, (const unsigned char *)text.p, text.n) == 1);
	az_buf_add(sig, out, n);
	EVP_MD_CTX_free(ctx);
}

void
token_certs(const struct token_named *k, size_t n, struct az_buf *out)
{
	struct az_jw w;

	az_jw_init(&w, out);
	az_jw_obj(&w);
	for (size_t i = 0; i < n; i++)
		az_jw_kc(&w, k[i].kid, k[i].key->cert);
	az_jw_end(&w, '}');
}

void
token_jwks(const struct token_named *k, size_t n, struct az_buf *out)
{
	struct az_buf num[2], text;
	struct az_jw w;

	az_jw_init(&w, out);
	az_jw_obj(&w);
	az_jw_key(&w, "keys");
	az_jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		az_jw_obj(&w);
		az_jw_kc(&w, "kid", k[i].kid);
		az_jw_kc(&w, "kty", "RSA");
		az_jw_kc(&w, "alg", "RS256");
		az_jw_kc(&w, "use", "sig");
		for (int j = 0; j < 2; j++)
			az_buf_init(&num[j], AZ_KIB(2));
		token_key_numbers(k[i].key, &num[0], &num[1]);
		for (int j = 0; j < 2; j++) {
			az_buf_init(&text, AZ_KIB(4));
			az_base64url(&text, az_buf_str(&num[j]));
			az_jw_ks(&w, j ? "e" : "n", az_buf_str(&text));
			az_buf_release(&text);
			az_buf_release(&num[j]);
		}
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
}

void
token_of(struct token_key *k, struct az_str head, struct az_str payload, struct az_buf *out)
{
	struct az_buf sig;

	az_buf_init(out, AZ_KIB(64));
	az_buf_init(&sig, AZ_KIB(2));
	az_base64url(out, head);
	az_buf_addch(out, '.');
	az_base64url(out, payload);
	if (k)
		token_sign(k, "RS256", az_buf_str(out), &sig);
	az_buf_addch(out, '.');
	az_base64url(out, az_buf_str(&sig));
	az_buf_release(&sig);
}
