/* Settings into addresses. The rules of the SDKs are followed where they work, see
   README.md for where they do not. */
#include <azlon/limits.h>
#include "restack_addr.h"

#define GRPC_VAR "RESTACK_ENGINE_ADDRESS"
#define API_VAR "RESTACK_ENGINE_API_ADDRESS"
#define CODEC_VAR "AZLON_RESTACK_CODEC_ADDRESS"

enum {
	GRPC_PORT = 7233,
	GRPC_TLS_PORT = 443,
	API_PORT = 6233,
	CODEC_PORT = 12233,
	NAME_LIMIT = 200
};

static const char OP[] = "engine.address";

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
static const char HOST_SET[] = ALNUM ".-_";
static const char V6_SET[] = "0123456789abcdefABCDEF:.";
static const char PATH_SET[] = ALNUM "/._~-";

/* An address as it was written. */
struct place {
	struct az_str scheme, host, path; /* host without brackets */
	int port;                         /* 0: none */
};

static bool
given(const char *s)
{
	return az_str_trim(az_str_c(s)).n > 0;
}

static bool
made_of(struct az_str s, const char *set)
{
	for (size_t i = 0; i < s.n; i++)
		if (!s.p[i] || !strchr(set, s.p[i]))
			return false;
	return true;
}

/* host, host:port, [v6], [v6]:port; the rest of the authority is read into p. */
static enum az_code
read_authority(const char *var, struct az_str s, struct place *p, struct az_err *err)
{
	bool v6 = az_str_starts(s, AZ_S("["));
	ptrdiff_t end = v6 ? az_str_chr(s, ']') : az_str_chr(s, ':');
	struct az_str port;
	int64_t n;

	if (az_str_chr(s, '@') >= 0)
		return az_fail(err, AZ_EINVAL, OP, "%s must not hold a user name or password", var);
	if (v6 && end < 0)
		return az_fail(err, AZ_EINVAL, OP, "%s lacks a closing bracket", var);
	if (!v6 && end != az_str_rchr(s, ':'))
		return az_fail(err, AZ_EINVAL, OP,
		    "%s: an IPv6 address stands in brackets, like [::1]:7233", var);
	p->host =
	    v6 ? az_str_sub(s, 1, (size_t)end) : az_str_sub(s, 0, end < 0 ? s.n : (size_t)end);
	port = az_str_sub(s, end < 0 ? s.n : (size_t)end + v6, s.n);
	if (!p->host.n)
		return az_fail(err, AZ_EINVAL, OP, "%s names no host", var);
	if (!made_of(p->host, v6 ? V6_SET : HOST_SET) || v6 != (az_str_chr(p->host, ':') >= 0))
		return az_fail(err, AZ_EINVAL, OP,
		    "%s must be host, host:port or http(s)://host[:port]: its host holds a "
		    "character that no host name has",
		    var);
	if (port.n &&
	    (port.p[0] != ':' || !az_str_to_i64(az_str_sub(port, 1, port.n), 1, 65535, &n)))
		return az_fail(
		    err, AZ_EINVAL, OP, "%s: its port must be a number from 1 to 65535", var);
	p->port = port.n ? (int)n : 0;
	return AZ_OK;
}

static enum az_code
read_place(const char *var, const char *text, struct place *p, struct az_err *err)
{
	struct az_str s = az_str_trim(az_str_c(text));
	ptrdiff_t at = az_str_find(s, AZ_S("://"), 0);
	enum az_code rc;

	memset(p, 0, sizeof *p);
	if (at >= 0) {
		p->scheme = az_str_sub(s, 0, (size_t)at);
		s = az_str_sub(s, (size_t)at + 3, s.n);
		if (!az_str_ieq(p->scheme, AZ_S("http")) && !az_str_ieq(p->scheme, AZ_S("https")))
			return az_fail(err, AZ_EINVAL, OP,
			    "%s must begin with http:// or https://, or with the host", var);
	}
	at = az_str_chr(s, '/');
	if (at >= 0)
		p->path = az_str_sub(s, (size_t)at, s.n);
	while (az_str_ends(p->path, AZ_S("/")))
		p->path.n--;
	if ((rc = read_authority(var, az_str_sub(s, 0, at < 0 ? s.n : (size_t)at), p, err)))
		return rc;
	if (!made_of(p->path, PATH_SET))
		return az_fail(err, AZ_EINVAL, OP,
		    "%s: its path holds a character that must not be there", var);
	return AZ_OK;
}

bool
restack_addr_public(struct az_str host)
{
	static const char *const never[] = {"localhost", "127.0.0.1", "host.docker.internal"};
	static const char *const private[] = {"10.", "192.168.", "172."};
	size_t dots = 0;

	for (size_t i = 0; i < host.n; i++)
		dots += host.p[i] == '.';
	for (size_t i = 0; i < 3; i++)
		if (az_str_eqc(host, never[i]) || az_str_starts(host, az_str_c(private[i])))
			return false;
	return dots && !az_str_ends(host, AZ_S(".svc.cluster.local")) &&
	       !(az_str_ends(host, AZ_S(".svc")) && dots <= 2);
}

/* [host]:port, the brackets where they must be; no port for 0. */
static const char *
authority(struct az_arena *a, struct az_str host, int port)
{
	bool v6 = az_str_chr(host, ':') >= 0;
	const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";

	return port ? az_arena_printf(a, "%s%.*s%s:%d", open, AZ_FMT(host), close, port)
		    : az_arena_printf(a, "%s%.*s%s", open, AZ_FMT(host), close);
}

static bool
secure(const struct place *p)
{
	return p->scheme.n ? az_str_ieq(p->scheme, AZ_S("https")) : restack_addr_public(p->host);
}

static const char *
url(struct az_arena *a, bool https, struct az_str host, int port, struct az_str path)
{
	const char *at = authority(a, host, port);

	return at ? az_arena_printf(a, "http%s://%s%.*s", https ? "s" : "", at, AZ_FMT(path))
		  : NULL;
}

static enum az_code
resolve_grpc(struct restack_addr *r, const struct restack_settings *s, struct az_err *err)
{
	bool old = given(s->temporal_address);
	const char *var = old ? "RESTACK_TEMPORAL_ADDRESS" : GRPC_VAR;
	const char *text = old ? s->temporal_address : s->engine_address;
	struct place p;
	enum az_code rc;

	if ((rc = read_place(var, given(text) ? text : "localhost", &p, err)))
		return rc;
	if (p.path.n)
		return az_fail(err, AZ_EINVAL, OP, "%s must not hold a path", var);
	r->tls = s->tls || r->api_key || az_str_ieq(p.scheme, AZ_S("https"));
	r->port = p.port ? p.port : r->tls ? GRPC_TLS_PORT : GRPC_PORT;
	r->host = az_arena_cstr(r->mem, p.host);
	r->authority = authority(r->mem, p.host, r->port);
	return AZ_OK;
}

/* The HTTP side, and the blob server beside it. */
static enum az_code
resolve_http(struct restack_addr *r, const struct restack_settings *s, struct az_err *err)
{
	bool old = !given(s->api_address) && given(s->temporal_address);
	const char *var = old ? GRPC_VAR : API_VAR;
	const char *text = old ? s->engine_address : s->api_address;
	struct place p = {.host = az_str_c(r->host), .port = API_PORT};
	bool https = r->tls && restack_addr_public(p.host);
	enum az_code rc;

	if (given(text)) {
		if ((rc = read_place(var, text, &p, err)))
			return rc;
		https = secure(&p);
	}
	if (r->api_key && !https && restack_addr_public(p.host))
		return az_fail(err, AZ_EINVAL, OP,
		    "%s must be https://: RESTACK_ENGINE_API_KEY would travel in clear", var);
	r->api_url = url(r->mem, https, p.host, p.port, p.path);
	if (!given(s->codec_address)) {
		r->codec_url = url(r->mem, https, p.host, https ? 0 : CODEC_PORT, AZ_S(""));
		return AZ_OK;
	}
	if ((rc = read_place(CODEC_VAR, s->codec_address, &p, err)))
		return rc;
	r->codec_url = url(r->mem, secure(&p), p.host, p.port, p.path);
	return AZ_OK;
}

/* A value that goes into headers and names: visible ASCII, nothing a query would have to
   quote. */
static enum az_code
name(struct az_arena *a, const char *var, const char *text, const char *otherwise, const char **out,
    struct az_err *err)
{
	struct az_str s = az_str_trim(az_str_c(text));

	if (!s.n)
		s = az_str_c(otherwise);
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || strchr("\"'`\\", s.p[i]))
			return az_fail(err, AZ_EINVAL, OP,
			    "%s must be visible ASCII characters without blanks and quotes", var);
	if (s.n > NAME_LIMIT)
		return az_fail(err, AZ_EINVAL, OP, "%s must not be longer than %d characters", var,
		    NAME_LIMIT);
	if (!(*out = az_arena_cstr(a, s)))
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	return AZ_OK;
}

static enum az_code
read_key(struct restack_addr *r, const char *text, struct az_err *err)
{
	struct az_str s = az_str_trim(az_str_c(text));

	/* the original's compose file says None when it means nothing */
	if (!s.n || az_str_eqc(s, "None"))
		return AZ_OK;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return az_fail(err, AZ_EINVAL, OP,
			    "RESTACK_ENGINE_API_KEY must be visible ASCII characters");
	if (!(r->api_key = az_arena_cstr(r->mem, s)))
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	return AZ_OK;
}

static bool
set_headers(struct restack_addr *r)
{
	const char **h = az_arena_alloc(r->mem, 9 * sizeof *h);
	size_t n = 0;

	if (!h)
		return false;
	r->headers = h;
	h[n++] = az_arena_printf(r->mem, "temporal-namespace: %s", r->ns);
	h[n++] = az_arena_printf(r->mem, "restack-engineid: %s", r->engine_id);
	h[n++] = az_arena_printf(r->mem, "restack-apiaddress: %s", r->api_url);
	h[n++] = az_arena_printf(r->mem, "restack-codecaddress: %s", r->codec_url);
	h[n++] = "client-name: azlon";
	h[n++] = "client-version: " AZ_VERSION;
	/* closed runs then say which run goes on in their place */
	h[n++] = "supported-features: follows-next-run-id";
	if (r->api_key)
		h[n++] = az_arena_printf(r->mem, "authorization: Bearer %s", r->api_key);
	/* a NULL among them would end the list */
	return h[0] && h[1] && h[2] && h[3] && h[n - 1];
}

enum az_code
restack_addr_init(struct restack_addr *out, const struct restack_settings *s, struct az_err *err)
{
	struct restack_addr r = {.mem = az_arena_new(AZ_KIB(64))};
	struct az_arena *a = r.mem;
	const char *queue = NULL;
	enum az_code rc;

	memset(out, 0, sizeof *out);
	if (!a)
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	if ((rc = read_key(&r, s->api_key, err)) ||
	    (rc = name(a, "RESTACK_ENGINE_ID", s->engine_id, "local", &r.engine_id, err)) ||
	    (rc = name(a, "AZLON_RESTACK_NAMESPACE", s->ns, "default", &r.ns, err)) ||
	    (rc = name(a, "AZLON_RESTACK_QUEUE", s->queue, "restack", &queue, err)) ||
	    (rc = resolve_grpc(&r, s, err)) || (rc = resolve_http(&r, s, err)))
		goto out;
	/* else no id would tell whether the prefix is on it already */
	if (az_str_eqc(az_str_c(r.engine_id), "user") ||
	    az_str_starts(az_str_c(r.engine_id), AZ_S("user-"))) {
		rc = az_fail(err, AZ_EINVAL, OP,
		    "RESTACK_ENGINE_ID must not be user or begin with user-: ids of runs do");
		goto out;
	}
	r.queue = restack_addr_queue(a, az_str_c(r.engine_id), az_str_c(queue));
	if (given(s->ca_file))
		r.ca_file = az_arena_cstr(a, az_str_trim(az_str_c(s->ca_file)));
	if (!r.host || !r.authority || !r.api_url || !r.codec_url || !r.queue ||
	    (given(s->ca_file) && !r.ca_file) || !set_headers(&r)) {
		rc = az_fail(err, AZ_ENOMEM, OP, "out of memory");
		goto out;
	}
	*out = r;
	r.mem = NULL;
out:
	az_arena_free(r.mem);
	return rc;
}

void
restack_addr_release(struct restack_addr *r)
{
	az_arena_free(r->mem);
	memset(r, 0, sizeof *r);
}

struct az_str
restack_addr_local(const struct restack_addr *r, struct az_str id)
{
	size_t n = strlen(r->engine_id);

	return id.n > n && id.p[n] == '-' && az_str_starts(id, az_str_c(r->engine_id))
		   ? az_str_sub(id, n + 1, id.n)
		   : id;
}

char *
restack_addr_id(const struct restack_addr *r, struct az_arena *a, struct az_str id)
{
	if (restack_addr_local(r, id).n < id.n)
		return az_arena_cstr(a, id);
	return az_arena_printf(a, "%s-%.*s", r->engine_id, AZ_FMT(id));
}

char *
restack_addr_queue(struct az_arena *a, struct az_str engine_id, struct az_str queue)
{
	return az_arena_printf(a, "%.*s-%.*s", AZ_FMT(engine_id), AZ_FMT(queue));
}
