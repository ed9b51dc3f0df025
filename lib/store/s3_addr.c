/* Where a server is: "host", "host:port" or an http(s) URL. */
#include <stdio.h>
#include "s3.h"

static bool
host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '-' || c == '_';
}

/* Length of a host name or a bracketed IPv6 address, 0 if it is neither. */
static size_t
host_len(struct az_str s)
{
	size_t n = 0;

	if (s.n && s.p[0] == '[') {
		ptrdiff_t end = az_str_chr(s, ']');

		for (n = 1; end > 2 && n < (size_t)end; n++)
			if (!strchr("0123456789abcdefABCDEF:.", s.p[n]) || !s.p[n])
				return 0;
		return end > 2 ? (size_t)end + 1 : 0;
	}
	while (n < s.n && host_char(s.p[n]))
		n++;
	return n;
}

enum az_code
s3_endpoint_parse(const char *text, bool ssl, struct s3_endpoint *out, struct az_err *err)
{
	struct az_str s = az_str_c(text), port;
	int64_t number = 0, usual;
	size_t n;

	memset(out, 0, sizeof *out);
	if (az_str_starts(s, AZ_S("https://")) || az_str_starts(s, AZ_S("http://"))) {
		ssl = s.p[4] == 's';
		s = az_str_sub(s, ssl ? 8 : 7, s.n);
		if (s.n && s.p[s.n - 1] == '/')
			s.n--;
	}
	usual = ssl ? 443 : 80;
	n = host_len(s);
	port = az_str_sub(s, n, s.n);
	if (n == 0 || n > 253) /* the longest name of DNS */
		goto bad;
	if (port.n &&
	    (port.p[0] != ':' || !az_str_to_i64(az_str_sub(port, 1, port.n), 1, 65535, &number)))
		goto bad;
	snprintf(out->host, sizeof out->host, "%.*s", (int)n, s.p);
	if (number && number != usual)
		snprintf(out->host + n, sizeof out->host - n, ":%d", (int)number);
	snprintf(out->url, sizeof out->url, "%s://%.280s", ssl ? "https" : "http", out->host);
	return AZ_OK;
bad:
	return az_fail(err, AZ_EINVAL, "s3.endpoint",
	    "an endpoint is host, host:port or http(s)://host[:port]");
}
