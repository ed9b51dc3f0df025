/*
 * Who is calling. Identity is computed here, from the Authorization header (in dev:
 * X-User-ID), and never taken from a parameter.
 */
#ifndef AZLON_AUTH_H
#define AZLON_AUTH_H

#include <azlon/apikeys.h>
#include <azlon/http.h>

struct az_auth;

struct az_auth_in {
	struct az_str authorization; /* header, .p NULL if absent */
	struct az_str x_user_id;
	struct az_str host;
	bool forwarded;          /* any X-Forwarded-*, Forwarded, Via */
	bool foreign;            /* a change that a page of an unlisted origin asks for */
	struct az_str body_user; /* user_id of a JSON body, or empty */
};

struct az_caller {
	struct az_str uid; /* in the arena; 1..128 bytes of UTF-8, no controls */
	unsigned scopes;   /* AZ_SCOPE_*; all of them but for API keys */
	bool assumed;      /* dev: nothing said who it is */
};

/* identity: "dev", "firebase" (ID tokens and API keys) or "keys" (API keys only). */
struct az_auth_opts {
	const char *identity;
	const char *external_url; /* EXTERNAL_BACKEND_URL; dev and emulator refuse to start
				     with it */
	/* not for dev: */
	const char *var; /* AZLON_VAR; its folder auth is ours */
	/* for firebase: */
	struct az_http *http;   /* borrowed until az_auth_close() */
	const char *project;    /* whose tokens */
	const char *keys_url;   /* where the public keys are */
	bool emulator;          /* unsigned tokens instead, on loopback, of a project whose name
				   begins with demo- */
	int64_t (*now_s)(void); /* unix time; NULL: the clock (for tests) */
};
AZ_API AZ_MUST_CHECK enum az_code az_auth_open(
    const struct az_auth_opts *o, struct az_auth **out, struct az_err *err);
/*
 * AZ_EAUTH: without a reason for a uid that is no such text; else with text for the client and
 * the reason "unauthorized" (no token came), "token_invalid" or "token_expired". AZ_EPERM when
 * dev or the emulator meet a Host that is not loopback, a forwarding header, or a foreign page.
 * AZ_EUNAVAIL with the reason "identity" when it cannot be told who it is: not a word against the
 * token.
 */
AZ_API AZ_MUST_CHECK enum az_code az_auth_identify(struct az_auth *au, const struct az_auth_in *in,
    struct az_arena *a, struct az_caller *out, struct az_err *err);
AZ_API void az_auth_close(struct az_auth *au); /* accepts NULL */

#endif
