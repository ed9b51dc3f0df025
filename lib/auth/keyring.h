/* Private to the room: the file keys.json as a value. */
#ifndef AZ_AUTH_KEYRING_H
#define AZ_AUTH_KEYRING_H

#include <stdatomic.h>
#include <azlon/apikeys.h>
#include <azlon/limits.h>

#define KEYRING_BYTES AZ_MIB(4)
enum {
	KEYRING_KEYS = 4096,
	KEYRING_OUT = 4096,
	KEY_ID_CHARS = 12,     /* base32, 60 bits */
	KEY_SECRET_CHARS = 40, /* 200 bits: no search finds it, so one plain hash will do */
	KEY_NAME_BYTES = 64
};

struct keyring_key {
	struct az_apikey k;
	unsigned char hash[32]; /* SHA-256 of the whole key */
	atomic_llong touched_s; /* when its use was last written down, by this process */
};
struct keyring_out {
	struct az_str user;
	int64_t until_s; /* sign-ins up to then are over */
};
struct keyring {
	struct az_arena *a;       /* all of it */
	struct keyring_key *keys; /* room for one more */
	struct keyring_out *out;  /* room for one more */
	size_t n, n_out;
};

/* "" is a ring without keys. AZ_EINVAL for what is no such file. */
AZ_MUST_CHECK enum az_code keyring_parse(
    struct az_str text, struct keyring **out, struct az_err *err);
void keyring_free(struct keyring *r); /* accepts NULL */
void keyring_write(const struct keyring *r, struct az_buf *b);
struct keyring_key *keyring_find(const struct keyring *r, struct az_str id); /* or NULL */
/* The id of a text that has the form of a key; else empty. */
struct az_str keyring_id(struct az_str key);

#endif
