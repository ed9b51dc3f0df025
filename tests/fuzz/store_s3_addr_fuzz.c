/*
 * An endpoint is the operator's text, an encoded name anybody's. What is taken as an
 * endpoint reads the same when it is read again; what is encoded decodes to what it was and
 * holds nothing that a request line, a query or a signature could take for something else.
 */
#include <stdlib.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include "store/s3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool
only(struct az_str s, const char *marks)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			(c && strchr(marks, c))))
			return false;
	}
	return true;
}

static void
endpoint(struct az_str s, bool ssl)
{
	struct s3_endpoint e, again;
	struct az_str url, scheme;
	char *text = az_str_dup(s);

	if (text && s3_endpoint_parse(text, ssl, &e, NULL) == AZ_OK) {
		url = az_str_c(e.url);
		scheme = az_str_starts(url, AZ_S("https://")) ? AZ_S("https://") : AZ_S("http://");
		if (!az_str_starts(url, scheme) || !e.host[0] ||
		    !az_str_eqc(az_str_sub(url, scheme.n, url.n), e.host) ||
		    !only(az_str_c(e.host), ".-_:[]"))
			abort();
		if (s3_endpoint_parse(e.url, !ssl, &again, NULL) || strcmp(e.url, again.url) != 0 ||
		    strcmp(e.host, again.host) != 0)
			abort();
	}
	free(text);
}

static void
encoded(struct az_str s, bool slash)
{
	struct az_buf e, d;

	az_buf_init(&e, AZ_MIB(1));
	az_buf_init(&d, AZ_MIB(1));
	s3_uri_encode(&e, s, slash);
	if (e.fail || !only(az_buf_str(&e), slash ? "-._~%/" : "-._~%") ||
	    !az_pct_decode(&d, az_buf_str(&e), true) || !az_str_eq(az_buf_str(&d), s))
		abort();
	az_buf_release(&e);
	az_buf_release(&d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str s = az_str_n(data, n);

	if (n > AZ_KIB(64))
		return 0;
	endpoint(s, false);
	endpoint(s, true);
	encoded(s, false);
	encoded(s, true);
	return 0;
}
