/*
 * Private to the room: Firebase ID tokens as text. Nothing here knows a key; the order of
 * the calls is jwt_open(), then the signature, then jwt_claims().
 *
 * A refusal is AZ_EAUTH with one word in err->reason that says why. It is for the log: the
 * client is told less.
 */
#ifndef AZ_AUTH_JWT_H
#define AZ_AUTH_JWT_H

#include <azlon/arena.h>

enum {
	JWT_BYTES = 8192, /* a whole token */
	JWT_HEAD_BYTES = 1024,
	JWT_KID_BYTES = 128,
	JWT_SUB_BYTES = 128,
	JWT_SKEW_S = 60 /* how far a clock elsewhere may be off */
};

struct jwt {
	struct az_str kid;       /* which key it names; empty when unsigned */
	struct az_str text;      /* what was signed; borrowed from the token */
	struct az_str signature; /* bytes, in the arena */
	struct az_str payload;   /* JSON as it came, in the arena */
};

/*
 * Take a token apart: three parts of base64url in their one spelling, a header that is a JSON
 * object and says RS256 and a kid. unsigned_: of Firebase's emulator instead, with the
 * algorithm "none" and an empty signature, and no other.
 */
AZ_MUST_CHECK enum az_code jwt_open(
    struct az_str token, bool unsigned_, struct az_arena *a, struct jwt *out, struct az_err *err);

struct jwt_claims {
	struct az_str sub; /* in the arena */
	int64_t auth_time_s;
};

/* What a token whose signature is right says, if it is for this project and for now. The
   reason "expired" is the only one that a client may be told. */
AZ_MUST_CHECK enum az_code jwt_claims(const struct jwt *t, const char *project, int64_t now_s,
    struct az_arena *a, struct jwt_claims *out, struct az_err *err);

#endif
