/*
 * Digests, keyed hashes, key derivation, authenticated encryption, text encodings,
 * constant-time compare.
 */
#ifndef AZLON_CRYPTO_H
#define AZLON_CRYPTO_H

#include <azlon/buf.h>

struct az_sha256;                             /* running digest */
AZ_API struct az_sha256 *az_sha256_new(void); /* NULL when out of memory */
AZ_API void az_sha256_add(struct az_sha256 *h, const void *p, size_t n);
AZ_API void az_sha256_done(struct az_sha256 *h, unsigned char out[32]); /* and frees */
AZ_API void az_sha256_free(struct az_sha256 *h);                        /* accepts NULL */
AZ_API void az_sha256_of(struct az_str s, unsigned char out[32]);
/* 64 lower-case hex digits and a NUL */
AZ_API void az_sha256_hex(struct az_str s, char out[65]);
/* Where S3 asks for it (Content-MD5, ETags); it protects nothing. */
AZ_API void az_md5(struct az_str s, unsigned char out[16]);
AZ_API void az_hex(const unsigned char *p, size_t n, char *out /* 2n+1 */);
AZ_API void az_hmac_sha256(struct az_str key, struct az_str msg, unsigned char out[32]);
/* HKDF-SHA256 (RFC 5869); out_n <= 255*32 */
AZ_API AZ_MUST_CHECK enum az_code az_hkdf(struct az_str secret, struct az_str salt,
    struct az_str info, unsigned char *out, size_t out_n, struct az_err *err);

/*
 * AES-256-GCM without associated data. seal appends the ciphertext and its tag of 16
 * bytes; a nonce is used once with a key. open appends the plaintext: AZ_EINVAL when the
 * tag does not fit. On failure out is as it was (but for a failure of its own).
 */
AZ_API AZ_MUST_CHECK enum az_code az_aes256gcm_seal(const unsigned char key[32],
    const unsigned char nonce[12], struct az_str plain, struct az_buf *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_aes256gcm_open(const unsigned char key[32],
    const unsigned char nonce[12], struct az_str sealed, struct az_buf *out, struct az_err *err);

/*
 * Public RSA keys of 2048 to 8192 bits: out of a certificate (PEM; who signed it and its
 * dates are not looked at) or out of modulus and exponent, big-endian. Else AZ_EINVAL.
 * A key may be used by several threads at once.
 */
struct az_rsa;
AZ_API AZ_MUST_CHECK enum az_code az_rsa_from_cert(
    struct az_str pem, struct az_rsa **out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_rsa_from_numbers(
    struct az_str n, struct az_str e, struct az_rsa **out, struct az_err *err);
/* Did the key's owner sign text? RSASSA-PKCS1-v1_5 with SHA-256, nothing else. */
AZ_API AZ_MUST_CHECK bool az_rs256_ok(
    const struct az_rsa *k, struct az_str text, struct az_str signature);
AZ_API void az_rsa_free(struct az_rsa *k); /* accepts NULL */

AZ_API bool az_ct_eq(struct az_str a, struct az_str b); /* time depends on lengths only */
AZ_API void az_wipe(void *p, size_t n);

AZ_API void az_base64(struct az_buf *b, struct az_str s);    /* standard, padded */
AZ_API void az_base64url(struct az_buf *b, struct az_str s); /* no padding */
AZ_API void az_base32(struct az_buf *b, struct az_str s);    /* RFC 4648, lower case, no padding */
/* Standard or URL alphabet, padded or not, no blanks; appends; false if malformed. */
AZ_API AZ_MUST_CHECK bool az_base64_decode(struct az_buf *b, struct az_str s);
/* Percent-decoding; plus_is_space for queries; appends; false if malformed. */
AZ_API AZ_MUST_CHECK bool az_pct_decode(struct az_buf *b, struct az_str s, bool plus_is_space);
/* Percent-encode all but A-Za-z0-9-._~ and what keep lists (may be NULL). */
AZ_API void az_pct_encode(struct az_buf *b, struct az_str s, const char *keep);

/* tag of a user: lower-case base32 of the first 20 bytes of SHA-256(uid), 32
   characters and a NUL (DESIGN "Names and storage"). */
AZ_API void az_user_tag(struct az_str uid, char out[33]);

/*
 * The installation's secrets, 32 bytes each, from which HKDF yields a key per purpose. The
 * first signs. While it is being changed there is one more, by whose signatures something
 * is believed too: the coming one at first, then the former.
 */
#define AZ_SECRET_BYTES 32
struct az_secrets {
	unsigned char key[2][AZ_SECRET_BYTES];
	size_t n; /* 1 or 2 */
};
/*
 * path is made where it is missing (0600), by one of however many processes start together;
 * path.also is read where it is there. AZ_EPERM: others may read or change a file;
 * AZ_EINVAL: it is none of 32 bytes. out is wiped by its owner.
 */
AZ_API AZ_MUST_CHECK enum az_code az_secrets_load(
    const char *path, struct az_secrets *out, struct az_err *err);
/* A user's own key for one purpose under one of them, as 64 hex digits and a NUL. */
AZ_API AZ_MUST_CHECK enum az_code az_user_key(const unsigned char secret[AZ_SECRET_BYTES],
    struct az_str uid, const char *purpose, char out[65], struct az_err *err);
/* What webhooks of a user are signed with, and how that is told. */
#define AZ_KEY_WEBHOOK "azlon webhook v1"

#endif
