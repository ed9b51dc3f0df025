/* Private to the room: the API keys and sign-outs as a server sees them. */
#ifndef AZ_AUTH_KEYFILE_H
#define AZ_AUTH_KEYFILE_H

#include <azlon/auth.h>

struct keyfile;
/* The file need not be there; it is read again whenever it is another one. */
AZ_MUST_CHECK enum az_code keyfile_open(const char *dir, struct keyfile **out, struct az_err *err);
void keyfile_close(struct keyfile *f); /* accepts NULL */

/*
 * Whose key is this? out->uid in the arena. AZ_EAUTH with a word for the log in err->reason,
 * "expired" among them; AZ_EUNAVAIL with the reason "identity" when the file cannot be read.
 */
AZ_MUST_CHECK enum az_code keyfile_check(struct keyfile *f, struct az_str key, int64_t now_s,
    struct az_arena *a, struct az_caller *out, struct az_err *err);
/* AZ_EAUTH with the reason "signed_out" when sign-ins of uid at that time are over. */
AZ_MUST_CHECK enum az_code keyfile_signed_in(
    struct keyfile *f, struct az_str uid, int64_t auth_time_s, struct az_err *err);

#endif
