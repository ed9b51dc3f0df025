/* The port: chooses the adapter, and checks once what every adapter yields. */
#include <azlon/auth.h>
#include "ops.h"

enum { UID_MAX_BYTES = 128 };

/* To add an adapter: its line here. */
static const struct az_auth_ops *const adapters[] = {&auth_dev_ops};

enum az_code
az_auth_open(const struct az_auth_opts *o, struct az_auth **out, struct az_err *err)
{
	*out = NULL;
	for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++)
		if (o->identity && strcmp(adapters[i]->name, o->identity) == 0)
			return adapters[i]->open(o, out, err);
	return az_fail(err, AZ_EINVAL, "auth.open", "AZLON_IDENTITY: no identity named %s",
	    o->identity ? o->identity : "");
}

/* Any text that can be shown and compared: strict UTF-8 without control characters
   (C0, DEL, C1). */
static bool
uid_ok(struct az_str uid)
{
	if (uid.n < 1 || uid.n > UID_MAX_BYTES || !az_str_utf8_ok(uid))
		return false;
	for (size_t i = 0; i < uid.n; i++) {
		unsigned char c = (unsigned char)uid.p[i];

		if (c < 0x20 || c == 0x7f)
			return false;
		if (c == 0xc2 && (unsigned char)uid.p[i + 1] < 0xa0)
			return false;
	}
	return true;
}

enum az_code
az_auth_identify(struct az_auth *au, const struct az_auth_in *in, struct az_arena *a,
    struct az_caller *out, struct az_err *err)
{
	struct az_str uid = {NULL, 0};
	enum az_code rc = au->ops->identify(au, in, &uid, err);

	out->uid = (struct az_str){NULL, 0};
	if (rc)
		return rc;
	if (!uid_ok(uid))
		return az_fail(err, AZ_EAUTH, "auth.identify",
		    "a user id is 1 to %d bytes of UTF-8 without control characters",
		    UID_MAX_BYTES);
	out->uid = az_arena_str(a, uid);
	return out->uid.p ? AZ_OK : az_fail(err, AZ_ENOMEM, "auth.identify", "no memory");
}

void
az_auth_close(struct az_auth *au)
{
	if (au)
		au->ops->close(au);
}
