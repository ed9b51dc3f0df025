/*
 * Tokens and keys for tests: RSA keys made on the spot, their certificates and numbers, and ID
 * tokens signed with them, right or wrong on purpose.
 */
#ifndef TOKEN_MAKER_H
#define TOKEN_MAKER_H

#include <azlon/crypto.h>
#include <azlon/limits.h>

struct token_key;
struct token_key *token_key_new(int bits); /* 0: an elliptic curve, which is no key for us */
void token_key_free(struct token_key *k);
const char *token_key_cert(struct token_key *k); /* PEM, self-signed */
void token_key_numbers(struct token_key *k, struct az_buf *n, struct az_buf *e);
/* RS256, PS256 or RS512: bytes appended. */
void token_sign(struct token_key *k, const char *alg, struct az_str text, struct az_buf *sig);

/* {"kid": certificate, …} or {"keys": […]}, appended */
struct token_named {
	const char *kid;
	struct token_key *key;
};
void token_certs(const struct token_named *k, size_t n, struct az_buf *out);
void token_jwks(const struct token_named *k, size_t n, struct az_buf *out);

/* base64url(head).base64url(payload).signature in a buffer of 64 KiB; k NULL: no signature */
void token_of(struct token_key *k, struct az_str head, struct az_str payload, struct az_buf *out);

#endif
