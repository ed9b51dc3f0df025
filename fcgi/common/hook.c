#include "hook.h"

#include <azlon/addr.h>
#include <azlon/limits.h>

#define OP "hook.post"

enum { CONNECT_MS = 5000, IDLE_MS = 10000, TOTAL_MS = 15000 };

struct call {
	const struct az_post *p;
	bool plain, local, refused, reached;
};

/* Looked at after names were looked up, so that none can say one thing first and then another. */
static bool
may_reach(void *arg, const struct sockaddr *to)
{
	struct call *c = arg;
	bool loopback = c->local && az_addr_loopback(to);
	bool ok = c->plain ? loopback : loopback || az_addr_public(to);

	*(ok ? &c->reached : &c->refused) = true;
	return ok;
}

static bool
cancelled(void *arg)
{
	const struct call *c = arg;

	return c->p->cancelled && c->p->cancelled(c->p->arg);
}

enum az_code
hook_post(void *arg, struct az_post *p, struct az_err *err)
{
	const struct hook *h = arg;
	struct call c = {
	    .p = p, .local = h->local, .plain = !az_str_starts(az_str_c(p->url), AZ_S("https://"))};
	struct az_http_req q = {.method = "POST",
	    .url = p->url,
	    .headers = p->headers,
	    .body = p->body,
	    .may_reach = may_reach,
	    .cancelled = cancelled,
	    .arg = &c,
	    .connect_ms = CONNECT_MS,
	    .idle_ms = IDLE_MS,
	    .total_ms = TOTAL_MS,
	    .max_bytes = AZ_KIB(16)};
	struct az_http_resp r = {0};
	enum az_code rc;

	if (c.plain && !h->local)
		return az_fail(err, AZ_EPERM, OP, "only https");
	rc = az_http_call(h->http, &q, &r, err);
	p->status = r.status;
	if (rc == AZ_ETOOBIG && r.status) /* nobody reads it */
		rc = AZ_OK;
	if (rc == AZ_EUNAVAIL && c.refused && !c.reached)
		rc = az_fail(err, AZ_EPERM, OP, "the address is not on the public internet");
	az_http_resp_release(&r);
	return rc;
}
