/* Where a run's end is to be told: what of an address can be seen without looking it up. The
   worker looks at where it leads (fcgi/common/hook.c). */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <azlon/addr.h>
#include "run.h"

#define URL_BYTES ((size_t)2000)
#define LOC "\"body\",\"webhook\",\"url\""

/* The host of an address without credentials; empty when it has no such. */
static struct az_str
host_of(struct az_str url, size_t skip)
{
	struct az_str rest = az_str_sub(url, skip, url.n), host;
	size_t n = 0;

	while (n < rest.n && !strchr("/?#", rest.p[n]))
		n++;
	host = az_str_sub(rest, 0, n);
	if (az_str_chr(host, '@') >= 0)
		return AZ_S("");
	if (host.n && host.p[0] == '[') {
		ptrdiff_t end = az_str_chr(host, ']');

		return end > 1 ? az_str_sub(host, 1, (size_t)end) : AZ_S("");
	}
	return az_str_chr(host, ':') >= 0 ? az_str_sub(host, 0, (size_t)az_str_chr(host, ':'))
					  : host;
}

/* A number that leads to no place outside; names are looked up later. */
static bool
refused(struct az_str host, bool local)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	const struct sockaddr *sa = NULL;
	char text[64];

	if (host.n >= sizeof text)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		sa = (const struct sockaddr *)&v4;
	else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		sa = (const struct sockaddr *)&v6;
	else
		return !local && az_str_ieq(host, AZ_S("localhost"));
	return !az_addr_public(sa) && !(local && az_addr_loopback(sa));
}

void
create_check_webhook(struct create *c)
{
	const struct az_json *hook = az_json_get(c->body, "webhook"), *v;
	struct az_str url = az_json_gets(hook, "url"), host, key;
	bool local = c->service && c->service->webhook_local;
	void *it = NULL;
	size_t skip;

	if (az_json_type(hook) == AZ_JNULL)
		return;
	if (az_json_type(hook) != AZ_JOBJ) {
		create_item(c, "dict_type", "Input should be an object", "\"body\",\"webhook\"");
		return;
	}
	/* an option that is not heeded would make a receiver trust or refuse the wrong ones */
	while (az_json_each(hook, &it, &key, &v))
		if (!az_str_eqc(key, "url"))
			create_item(c, "not_supported", "A webhook has a url and nothing else",
			    "\"body\",\"webhook\"");
	skip = az_str_starts(url, AZ_S("https://"))           ? 8
	       : local && az_str_starts(url, AZ_S("http://")) ? 7
							      : 0;
	host = skip ? host_of(url, skip) : AZ_S("");
	for (size_t i = 0; i < url.n; i++)
		if ((unsigned char)url.p[i] < 0x21 || url.p[i] == 0x7f)
			host.n = 0;
	if (!url.n)
		create_item(c, "missing", "Field required", LOC);
	else if (url.n > URL_BYTES)
		create_item(c, "string_too_long", "At most 2000 bytes", LOC);
	else if (!host.n)
		create_item(c, "url", "Input should be an https address without a password", LOC);
	else if (refused(host, local))
		create_item(c, "url_private", "The address should be on the public internet", LOC);
	else
		c->webhook = url;
}
