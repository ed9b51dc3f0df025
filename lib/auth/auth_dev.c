/*
 * Identity for one's own machine: a caller is who it says it is. So it must be certain
 * that only this machine calls: the Host a browser or client addressed is loopback
 * (which also stops a page of another site that rebinds its name to 127.0.0.1), and no
 * proxy has been in between.
 */
#include <stdlib.h>
#include <azlon/auth.h>
#include "ops.h"

static const char OP[] = "auth.dev";

static enum az_code
dev_open(const struct az_auth_opts *o, struct az_auth **out, struct az_err *err)
{
	struct az_auth *au;

	if (o->external_url && *o->external_url)
		return az_fail(err, AZ_EINVAL, OP,
		    "EXTERNAL_BACKEND_URL is set: the dev "
		    "identity believes what a caller says it is and serves loopback only");
	if (!(au = calloc(1, sizeof *au)))
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	au->ops = &auth_dev_ops;
	*out = au;
	return AZ_OK;
}

static bool
port_ok(struct az_str port)
{
	int64_t n;

	/* digits only: the parser would take a sign */
	return port.n && port.p[0] != '-' && az_str_to_i64(port, 0, 65535, &n);
}

/* 127.0.0.0/8 in four plain decimal parts; no other spelling of a number. */
static bool
ipv4_loopback(struct az_str s)
{
	struct az_str part;
	int64_t n;
	int parts = 0;

	while (az_str_cut(&s, '.', &part)) {
		if (part.n == 0 || part.n > 3 || part.p[0] == '-' ||
		    (part.n > 1 && part.p[0] == '0') || !az_str_to_i64(part, 0, 255, &n))
			return false;
		if (parts++ == 0 && n != 127)
			return false;
	}
	return parts == 4;
}

static bool
loopback_host(struct az_str host)
{
	struct az_str name = host;
	ptrdiff_t colon;

	if (host.n && host.p[0] == '[') {
		if (az_str_eqc(host, "[::1]"))
			return true;
		return az_str_starts(host, AZ_S("[::1]:")) && port_ok(az_str_sub(host, 6, host.n));
	}
	colon = az_str_chr(host, ':');
	if (colon >= 0) {
		name = az_str_sub(host, 0, (size_t)colon);
		if (!port_ok(az_str_sub(host, (size_t)colon + 1, host.n)))
			return false;
	}
	return az_str_ieq(name, AZ_S("localhost")) || ipv4_loopback(name);
}

static enum az_code
dev_identify(
    struct az_auth *au, const struct az_auth_in *in, struct az_str *uid, struct az_err *err)
{
	(void)au;
	if (in->forwarded)
		return az_fail(
		    err, AZ_EPERM, OP, "the dev identity refuses requests that a proxy forwarded");
	if (!loopback_host(in->host))
		return az_fail(err, AZ_EPERM, OP, "the dev identity answers on loopback only");
	*uid = in->x_user_id.n   ? in->x_user_id
	       : in->body_user.n ? in->body_user
				 : AZ_S("anonymous");
	return AZ_OK;
}

static void
dev_close(struct az_auth *au)
{
	free(au);
}

const struct az_auth_ops auth_dev_ops = {
    .name = "dev",
    .open = dev_open,
    .identify = dev_identify,
    .close = dev_close,
};
