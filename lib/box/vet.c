/* Which addresses and names a box may reach through the proxy. */
#include "net.h"

#include <azlon/addr.h>

/* Ports of the web alone: what build steps need, and no mail relay. */
bool
vet_public(const struct sockaddr *sa, int port)
{
	if (port != 80 && port != 443)
		return false;
	return az_addr_public(sa);
}

/* "example.com", "*.example.com" or an address; no ports, no ranges. */
bool
vet_domain_ok(struct az_str p)
{
	if (az_str_starts(p, AZ_S("*.")))
		p = az_str_sub(p, 2, p.n);
	if (!p.n || p.n > 253 || p.p[0] == '.' || p.p[0] == '-')
		return false;
	for (size_t i = 0; i < p.n; i++) {
		char c = p.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '.' || c == ':' || c == '_'))
			return false;
	}
	return true;
}

bool
vet_domain(struct az_str host, char *const *allow, size_t n)
{
	/* a trailing dot names the same host */
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	for (size_t i = 0; i < n; i++) {
		struct az_str a = az_str_c(allow[i]);

		if (az_str_ieq(host, a))
			return true;
		if (az_str_starts(a, AZ_S("*."))) {
			a = az_str_sub(a, 1, a.n); /* ".example.com" */
			if (host.n > a.n && az_str_ieq(az_str_sub(host, host.n - a.n, host.n), a))
				return true;
		}
	}
	return !n;
}
