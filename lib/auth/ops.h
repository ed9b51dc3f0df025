/* Private to the room: what an identity adapter fills in, and what adapters share. */
#ifndef AZ_AUTH_OPS_H
#define AZ_AUTH_OPS_H

#include <azlon/auth.h>

#define AUTH_KEY_PREFIX "azk_"
#define AUTH_KEYS_FILE "keys.json"
#define AUTH_USED_DIR "used"
enum { AUTH_UID_BYTES = 128 };

struct az_auth_ops {      /* every slot is filled; none may be NULL */
	const char *name; /* value of AZLON_IDENTITY that selects it */
	enum az_code (*open)(
	    const struct az_auth_opts *o, struct az_auth **out, struct az_err *err);
	/* The uid as it came, borrowed from in or from a; az_auth_identify() checks its form.
	   out->scopes is AZ_SCOPE_ALL before. */
	enum az_code (*identify)(struct az_auth *au, const struct az_auth_in *in,
	    struct az_arena *a, struct az_caller *out, struct az_err *err);
	void (*close)(struct az_auth *au);
};

struct az_auth { /* first member of each adapter's own struct */
	const struct az_auth_ops *ops;
};

extern const struct az_auth_ops auth_dev_ops, auth_firebase_ops, auth_keys_ops;

/* Any text that can be shown and compared: 1 to AUTH_UID_BYTES bytes of strict UTF-8 without
   control characters (C0, DEL, C1). */
bool auth_uid_ok(struct az_str uid);

/* AZ_EPERM unless this machine itself asks: the Host that was addressed is loopback (which also
   stops a page of another site that rebinds its name to 127.0.0.1), no proxy was between, and it
   is no page of another site that has something changed: a form goes anywhere, unasked.
   what: the identity that is so strict, for the text. */
AZ_MUST_CHECK enum az_code auth_loopback(
    const struct az_auth_in *in, const char *what, const char *op, struct az_err *err);

/*
 * What a client may learn of a token that was refused, by the reasons of azlon/auth.h. The word
 * in err->reason, if any, goes to the log before.
 */
enum az_code auth_refuse(struct az_err *err, const char *reason, const char *text);

#endif
