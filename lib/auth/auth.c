/* The port: chooses the adapter, and checks once what every adapter yields. */
#include <azlon/auth.h>
#include <azlon/log.h>
#include "ops.h"

/* To add an adapter: its line here. */
static const struct az_auth_ops *const adapters[] = {
    &auth_dev_ops, &auth_firebase_ops, &auth_keys_ops};

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

bool
auth_uid_ok(struct az_str uid)
{
	if (uid.n < 1 || uid.n > AUTH_UID_BYTES || !az_str_utf8_ok(uid))
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
auth_refuse(struct az_err *err, const char *reason, const char *text)
{
	if (err && err->code && err->reason[0])
		az_log(AZ_INFO, "auth.refused", AZ_KC("why", err->reason));
	(void)az_fail(err, AZ_EAUTH, "auth.identify", "%s", text);
	if (err)
		(void)az_err_reason(err, reason);
	return AZ_EAUTH;
}

enum az_code
az_auth_identify(struct az_auth *au, const struct az_auth_in *in, struct az_arena *a,
    struct az_caller *out, struct az_err *err)
{
	struct az_caller c = {.uid = {NULL, 0}, .scopes = AZ_SCOPE_ALL};
	struct az_err own = AZ_ERR_INIT; /* the adapters look at what they are told */
	enum az_code rc = au->ops->identify(au, in, a, &c, &own);

	*out = (struct az_caller){.uid = {NULL, 0}};
	if (!rc && !auth_uid_ok(c.uid))
		rc = az_fail(&own, AZ_EAUTH, "auth.identify",
		    "a user id is 1 to %d bytes of UTF-8 without control characters",
		    AUTH_UID_BYTES);
	if (!rc && !(c.uid = az_arena_str(a, c.uid)).p)
		rc = az_fail(&own, AZ_ENOMEM, "auth.identify", "no memory");
	if (!rc)
		*out = c;
	else if (err)
		*err = own;
	return rc;
}

void
az_auth_close(struct az_auth *au)
{
	if (au)
		au->ops->close(au);
}
