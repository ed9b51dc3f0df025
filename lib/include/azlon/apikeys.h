/*
 * API keys: made, listed and revoked by an administrator of the host, on the state directory
 * (AZLON_VAR/auth). The servers look at the same file and see a change with the next request.
 *
 * A key is azk_{id}_{secret}: the id may be shown, of the whole only a SHA-256 is kept. It acts
 * as one user, within its scopes.
 */
#ifndef AZLON_APIKEYS_H
#define AZLON_APIKEYS_H

#include <azlon/arena.h>

enum {
	AZ_SCOPE_RUNS_READ = 1,
	AZ_SCOPE_RUNS_WRITE = 2,
	AZ_SCOPE_FILES_READ = 4,
	AZ_SCOPE_FILES_WRITE = 8,
	AZ_SCOPE_ALL = 15
};
/* "runs:read,files:read", or "all"; false for an unknown or empty word. */
AZ_API AZ_MUST_CHECK bool az_scopes_parse(struct az_str list, unsigned *out);
AZ_API void az_scopes_text(struct az_buf *b, unsigned scopes); /* appended */

struct az_apikey {
	struct az_str id;
	struct az_str user; /* whom it acts as */
	struct az_str name; /* what it is for; may be empty */
	unsigned scopes;
	/* unix times; 0 = never, used_s is right to the minute */
	int64_t created_s, expires_s, revoked_s, used_s;
};

/*
 * All work on AZLON_VAR/auth, which az_auth_dir() makes where it is missing, and must be done by
 * the user that the servers have, who read what is written. One process at a time changes
 * something.
 */
AZ_API AZ_MUST_CHECK enum az_code az_auth_dir(
    const char *var, struct az_arena *a, const char **dir, struct az_err *err);
/* user, name, scopes, created_s and expires_s of want; *id in the arena. The key is appended
   and is nowhere else. AZ_EINVAL for a user or name that cannot be one. Keys that ended over
   30 days ago are forgotten by the way. */
AZ_API AZ_MUST_CHECK enum az_code az_apikey_create(const char *dir, const struct az_apikey *want,
    struct az_arena *a, struct az_str *id, struct az_buf *key, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_apikey_list(
    const char *dir, struct az_arena *a, struct az_apikey **out, size_t *n, struct az_err *err);
/* AZ_ENOTFOUND for an unknown id; of one that was revoked before, nothing changes. */
AZ_API AZ_MUST_CHECK enum az_code az_apikey_revoke(
    const char *dir, struct az_str id, int64_t now_s, struct az_err *err);
/* ID tokens of sign-ins of user up to now_s count no more: for one whose account was taken or
   closed, which the tokens themselves do not show for an hour. API keys are not touched. */
AZ_API AZ_MUST_CHECK enum az_code az_auth_sign_out(
    const char *dir, struct az_str user, int64_t now_s, struct az_err *err);

#endif
