/*
 * Private to the room: the public keys that ID tokens are checked with, fetched when they are
 * needed and shared by all processes of a host.
 *
 * A set is used for the life that its source states. From 80 % of it on the first request
 * has it fetched anew, in the background. When that fails it is used for KEYSET_STALE_S more;
 * then nobody can be identified until the source answers again.
 *
 * A token that names an unknown key has the set fetched at most once per KEYSET_GAP_S, whoever
 * on this host asks and however often. All fetching is done by one thread of each process, one
 * process at a time; a request waits for it only when it has no key to go on with, and only
 * KEYSET_WAITERS of a process do.
 */
#ifndef AZ_AUTH_KEYSET_H
#define AZ_AUTH_KEYSET_H

#include <azlon/http.h>

enum {
	KEYSET_STALE_S = 86400,
	KEYSET_GAP_S = 60,
	KEYSET_GAP_NONE_S = 5, /* between tries while there is no key at all */
	KEYSET_WAIT_MS = 6000,
	KEYSET_WAITERS = 16
};

struct keyset;
struct keyset_opts {
	struct az_http *http;   /* borrowed */
	const char *url;        /* copied */
	const char *dir;        /* exists; the shared files are in it; copied */
	int64_t (*now_s)(void); /* unix time */
};
AZ_MUST_CHECK enum az_code keyset_open(
    const struct keyset_opts *o, struct keyset **out, struct az_err *err);
void keyset_close(struct keyset *ks); /* ends a fetch under way; accepts NULL */

/*
 * Did the key kid sign text? AZ_EAUTH with the reason "kid" (there is no such key) or
 * "signature", or AZ_EUNAVAIL with the reason "identity" when that cannot be told now.
 */
AZ_MUST_CHECK enum az_code keyset_check(struct keyset *ks, struct az_str kid, struct az_str text,
    struct az_str signature, struct az_err *err);

#endif
