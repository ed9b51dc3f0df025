/* Is it certain that only this machine calls? */
#include "ops.h"

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

enum az_code
auth_loopback(const struct az_auth_in *in, const char *what, const char *op, struct az_err *err)
{
	if (in->forwarded)
		return az_fail(
		    err, AZ_EPERM, op, "%s refuses requests that a proxy forwarded", what);
	if (in->foreign)
		return az_fail(
		    err, AZ_EPERM, op, "%s refuses what a page of another site asks for", what);
	if (!loopback_host(in->host))
		return az_fail(err, AZ_EPERM, op, "%s answers on loopback only", what);
	return AZ_OK;
}
