/*
 * Who is calling. Identity is computed here, from the Authorization header (in dev:
 * X-User-ID), and never taken from a parameter.
 */
#ifndef AZLON_AUTH_H
#define AZLON_AUTH_H

#include <azlon/arena.h>

struct az_auth;

struct az_auth_in {
	struct az_str authorization; /* header, .p NULL if absent */
	struct az_str x_user_id;
	struct az_str host;
	bool forwarded;          /* any X-Forwarded-*, Forwarded, Via */
	struct az_str body_user; /* user_id of a JSON body, or empty */
};

struct az_caller {
	struct az_str uid; /* in the arena; 1..128 bytes of UTF-8, no controls */
};

/* identity: "dev" (the others come with their adapters). */
struct az_auth_opts {
	const char *identity;
	const char *external_url; /* EXTERNAL_BACKEND_URL; dev refuses to start with it */
};
AZ_API AZ_MUST_CHECK enum az_code az_auth_open(
    const struct az_auth_opts *o, struct az_auth **out, struct az_err *err);
/* AZ_EAUTH (also for a uid that is no such text), or AZ_EPERM when dev identity meets
   a Host that is not loopback or a forwarding header. */
AZ_API AZ_MUST_CHECK enum az_code az_auth_identify(struct az_auth *au, const struct az_auth_in *in,
    struct az_arena *a, struct az_caller *out, struct az_err *err);
AZ_API void az_auth_close(struct az_auth *au); /* accepts NULL */

#endif
