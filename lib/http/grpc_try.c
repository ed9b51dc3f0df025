/* One try of a call: options, the transfer, and what came of it as a status. */
#include <errno.h>
#include <stdio.h>
#include <azlon/clock.h>
#include "grpc_room.h"

#define POLL_MS 200
#define CONNECT_MS 10000
#define OVER_MS 3000 /* the server's own word on the deadline is the better one */
#define CONN_AGE_S 60L
#define CONN_LIFE_S 240L /* Temporal ends a connection at 5 minutes, less 10 % */
#define FRESH_LIFE_S 30L /* no limit that servers have meets a long poll on it */

struct xfer {
	struct grpc_try *t;
	struct az_grpc *g;
	const char *method; /* for messages */
	struct grpc_answer a;
	enum az_code bad; /* of the answer itself */
	const char *why;
	size_t page_bytes; /* of an answer that is not gRPC */
	bool any;          /* a byte of an answer came */
	bool warm;         /* only over the connection that the slot has */
	bool gone;         /* that one is closed */
	bool kept;         /* the connection is as good as new */
};

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct xfer *x = arg;

	x->any = true;
	if (grpc_answer_line(&x->a, az_str_n(p, size * n)))
		return size * n;
	x->bad = AZ_EUPSTREAM;
	x->why = "its headers are over the limit";
	return 0;
}

static size_t
on_data(char *p, size_t size, size_t n, void *arg)
{
	struct xfer *x = arg;

	x->any = true;
	x->page_bytes += x->a.grpc_type ? 0 : size * n;
	x->bad = grpc_answer_data(&x->a, az_str_n(p, size * n), &x->why);
	/* a web page is known by its headers: nothing more of it is needed */
	return x->bad == AZ_OK && x->page_bytes <= HTTP_ERROR_BYTES ? size * n : 0;
}

static bool
add(struct curl_slist **l, const char *line)
{
	struct curl_slist *more = curl_slist_append(*l, line);

	if (more)
		*l = more;
	return more != NULL;
}

static bool
headers_of(const struct xfer *x, struct curl_slist **l)
{
	/* at most 8 digits may be sent */
	bool ms = x->t->deadline_ms <= 99999999;
	char timeout[64];
	bool ok;

	snprintf(timeout, sizeof timeout, "grpc-timeout: %lld%c",
	    (long long)(ms ? x->t->deadline_ms : x->t->deadline_ms / 1000), ms ? 'm' : 'S');
	ok = add(l, "content-type: application/grpc") && add(l, "te: trailers") &&
	     add(l, timeout) && add(l, "Expect:") && add(l, "Accept:");
	for (size_t i = 0; ok && x->g->headers[i]; i++)
		ok = add(l, x->g->headers[i]);
	return ok;
}

/*
 * libcurl before 8.0.0, told of HTTP/2 in the clear, turns a connection to it that has
 * been turned already, and the call fails. Not told, it goes on as the connection is; but
 * a new one would begin with HTTP/1.1, so none may be made, and the call starts anew.
 */
static curl_socket_t
no_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct xfer *x = arg;

	(void)purpose;
	(void)address;
	x->gone = true;
	return CURL_SOCKET_BAD;
}

static long
version_of(const struct xfer *x)
{
	if (x->g->tls)
		return CURL_HTTP_VERSION_2TLS;
	/* in the clear there is no upgrade: gRPC servers speak HTTP/2 from the first byte */
	return x->warm ? CURL_HTTP_VERSION_2_0 : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
}

#define SET(opt, v) (r |= curl_easy_setopt(e, (opt), (v)) != CURLE_OK)

static bool
set_up(CURL *e, struct xfer *x, struct curl_slist *headers, char *text)
{
	const struct grpc_try *t = x->t;
	bool r = false;
	char url[HTTP_KEY_MAX + 512];

	if (snprintf(url, sizeof url, "%s%s", x->g->key, t->call->path) >= (int)sizeof url)
		return false;
	SET(CURLOPT_URL, url);
	SET(CURLOPT_ERRORBUFFER, text);
	SET(CURLOPT_HTTP_VERSION, version_of(x));
	SET(CURLOPT_OPENSOCKETFUNCTION, x->warm ? no_socket : NULL);
	SET(CURLOPT_OPENSOCKETDATA, x);
	SET(CURLOPT_USERAGENT, "azlon/" AZ_VERSION);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->frame.n);
	SET(CURLOPT_POSTFIELDS, t->frame.p);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, x);
	SET(CURLOPT_WRITEFUNCTION, on_data);
	SET(CURLOPT_WRITEDATA, x);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS,
	    (long)(t->deadline_ms < CONNECT_MS ? t->deadline_ms : CONNECT_MS));
	SET(CURLOPT_FRESH_CONNECT, x->g->h2c_once && !x->warm ? 1L : 0L);
	SET(CURLOPT_MAXAGE_CONN, CONN_AGE_S);
	SET(CURLOPT_MAXLIFETIME_CONN, t->call->fresh ? FRESH_LIFE_S : CONN_LIFE_S);
	return !r && http_guard(e, x->g->ca_file);
}

/* A failure of our own making: no word from the server. */
static enum az_code
fail(struct xfer *x, enum az_grpc_code code, const char *what, const char *detail)
{
	x->t->st->code = code;
	return az_fail(x->t->err, az_grpc_code_az(code), "grpc.call", "%s%s%s%s%s", x->g->peer,
	    what[0] ? " " : "", what, detail[0] ? ": " : "", detail);
}

/* The transfer broke, and the server gave no status before. */
static enum az_code
broken(struct xfer *x, CURL *e, CURLcode cc, const char *text)
{
	long sys = 0;

	if (!text[0])
		text = curl_easy_strerror(cc);
	x->t->final = cc == CURLE_PEER_FAILED_VERIFICATION || cc == CURLE_SSL_CACERT_BADFILE;
	/* the rest of libcurl's codes belong to other protocols */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
	switch (cc) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return fail(x, AZ_GRPC_UNAVAILABLE, "has no address", text);
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(e, CURLINFO_OS_ERRNO, &sys);
		x->t->st->code = AZ_GRPC_UNAVAILABLE;
		if (!sys)
			break;
		errno = (int)sys;
		return az_fail_errno(
		    x->t->err, AZ_EUNAVAIL, "grpc.call", "no gRPC server at %s", x->g->peer);
	case CURLE_OPERATION_TIMEDOUT: /* only the time to connect is libcurl's */
		return fail(x, AZ_GRPC_UNAVAILABLE, "takes no connection", text);
	case CURLE_SSL_CONNECT_ERROR:
		return fail(x, AZ_GRPC_UNAVAILABLE,
		    "did not shake hands for TLS; is it a port without TLS?", text);
	case CURLE_PEER_FAILED_VERIFICATION:
		return fail(x, AZ_GRPC_UNAVAILABLE, "has a certificate that is not trusted", text);
	case CURLE_SSL_CACERT_BADFILE:
		return fail(x, AZ_GRPC_UNAVAILABLE, "cannot be verified", text);
	case CURLE_OUT_OF_MEMORY:
		x->t->final = true;
		x->t->st->code = AZ_GRPC_INTERNAL;
		return az_fail(x->t->err, AZ_ENOMEM, "grpc.call", "out of memory");
	default:
		break;
	}
#pragma GCC diagnostic pop
	if (x->any || cc == CURLE_HTTP2_STREAM)
		return fail(x, AZ_GRPC_UNAVAILABLE, "broke off during its answer", text);
	return fail(x, AZ_GRPC_UNAVAILABLE,
	    x->g->tls ? "gave no answer; is it a gRPC server?"
		      : "gave no answer; is it a gRPC server, without TLS?",
	    text);
}

/* A key that a server repeats in its message stays out of logs. */
static void
mask(const char *token, char *text)
{
	size_t n = token ? strlen(token) : 0;
	char *p = text;

	while (n >= 4 && (p = strstr(p, token))) {
		memset(p, '*', n);
		p += n;
	}
}

static enum az_code
not_grpc(struct xfer *x, enum az_grpc_code code)
{
	int http = x->a.http_status;

	x->t->st->code = code;
	if (code == AZ_GRPC_UNAUTHENTICATED || code == AZ_GRPC_PERMISSION_DENIED)
		return az_fail(x->t->err, az_grpc_code_az(code), "grpc.call",
		    "%s refused the key (HTTP %d)", x->g->peer, http);
	return az_fail(x->t->err, az_grpc_code_az(code), "grpc.call",
	    "no gRPC server at %s (a web page answered, HTTP %d)", x->g->peer, http);
}

/* The answer ended, or at least its status is known. */
static enum az_code
answered(struct xfer *x)
{
	struct az_grpc_status *st = x->t->st;
	struct az_buf none;
	const char *why, *name;
	enum az_code rc;

	st->code = grpc_answer_code(&x->a, &why);
	if (st->code != AZ_GRPC_OK && !x->a.has_status && (!x->a.grpc_type || !why))
		return not_grpc(x, st->code);
	none = st->details;
	st->details = x->a.details;
	x->a.details = none;
	mask(x->g->token, x->a.message);
	snprintf(
	    st->message, sizeof st->message, "%s", x->a.message[0] || !why ? x->a.message : why);
	if (st->code == AZ_GRPC_OK)
		return AZ_OK;
	name = az_grpc_code_name(st->code);
	rc = az_grpc_code_az(st->code);
	if (grpc_over_limit(st->code, st->message)) {
		x->t->final = true;
		rc = AZ_ETOOBIG;
	}
	if (st->code == AZ_GRPC_UNAUTHENTICATED)
		return az_fail(x->t->err, rc, "grpc.call", "%s refused the key (%s): %s",
		    x->g->peer, name, st->message);
	return az_fail(
	    x->t->err, rc, "grpc.call", "%s %s: %s: %s", x->g->peer, x->method, name, st->message);
}

static enum az_code
result_of(struct xfer *x, CURL *e, CURLcode cc, const char *text)
{
	bool page = x->page_bytes > HTTP_ERROR_BYTES;
	long version = 0;

	if (x->bad != AZ_OK) {
		x->t->final = x->bad != AZ_EUPSTREAM;
		x->t->st->code =
		    x->bad == AZ_ETOOBIG ? AZ_GRPC_RESOURCE_EXHAUSTED : AZ_GRPC_INTERNAL;
		return az_fail(
		    x->t->err, x->bad, "grpc.call", "%s %s: %s", x->g->peer, x->method, x->why);
	}
	/* a status that came counts, however the connection ended */
	if (cc != CURLE_OK && !page &&
	    !(x->a.has_status && (x->a.code != AZ_GRPC_OK || grpc_answer_whole(&x->a))))
		return broken(x, e, cc, text);
	if (!x->a.http_status)
		return fail(x, AZ_GRPC_UNAVAILABLE, "broke off during its answer", "");
	curl_easy_getinfo(e, CURLINFO_HTTP_VERSION, &version);
	if (version != CURL_HTTP_VERSION_2_0 && x->a.grpc_type)
		return fail(x, AZ_GRPC_UNAVAILABLE,
		    "answered without HTTP/2: gRPC needs it all the way", "");
	return answered(x);
}

/* Drive the transfer to its end or until we end it. */
static enum az_code
drive(struct http_slot *s, struct xfer *x, const char *text)
{
	struct grpc_try *t = x->t;
	int64_t until = az_boot_ms() + t->deadline_ms + OVER_MS / x->g->haste, left;
	int running = 0, n;
	enum az_code rc;
	CURLMsg *m;

	for (;;) {
		if (curl_multi_perform(s->multi, &running) != CURLM_OK)
			return fail(x, AZ_GRPC_INTERNAL, "", "libcurl could not make the transfer");
		if (!running)
			break;
		if ((rc = grpc_stop(t->call, t->st, t->err)) != AZ_OK)
			return rc;
		if ((left = until - az_boot_ms()) <= 0) {
			t->st->code = AZ_GRPC_DEADLINE_EXCEEDED;
			return az_fail(t->err, AZ_ETIMEOUT, "grpc.call",
			    "%s %s: no answer in %lld ms", x->g->peer, x->method,
			    (long long)t->deadline_ms);
		}
		(void)curl_multi_poll(
		    s->multi, NULL, 0, (int)(left < POLL_MS ? left : POLL_MS), NULL);
	}
	while ((m = curl_multi_info_read(s->multi, &n)))
		if (m->msg == CURLMSG_DONE) {
			if (x->gone && !x->any)
				return AZ_EUNAVAIL;
			/* a status that is missing was lost to a goodbye */
			x->kept = m->data.result == CURLE_OK && x->a.has_status;
			return result_of(x, s->easy, m->data.result, text);
		}
	return fail(x, AZ_GRPC_INTERNAL, "", "libcurl gave no result");
}

static enum az_code
refused(struct grpc_try *t)
{
	t->final = true;
	return az_fail(t->err, AZ_EINTERNAL, "grpc.call", "request refused by libcurl");
}

static enum az_code
transfer(struct http_slot *s, struct xfer *x, struct curl_slist *headers)
{
	char text[CURL_ERROR_SIZE] = "";
	enum az_code rc;

	if (!set_up(s->easy, x, headers, text) ||
	    curl_multi_add_handle(s->multi, s->easy) != CURLM_OK)
		return refused(x->t);
	rc = drive(s, x, text);
	/* ends a transfer under way and closes its connection */
	(void)curl_easy_setopt(s->easy, CURLOPT_FORBID_REUSE, 1L);
	curl_multi_remove_handle(s->multi, s->easy);
	return rc;
}

enum az_code
grpc_try(struct az_grpc *g, struct grpc_try *t)
{
	struct xfer x = {.t = t, .g = g, .method = strrchr(t->call->path, '/') + 1};
	struct curl_slist *headers = NULL;
	struct http_slot *s = NULL;
	enum az_code rc;

	t->st->code = AZ_GRPC_INTERNAL;
	t->st->message[0] = '\0';
	az_buf_reset(&t->st->details);
	grpc_answer_init(&x.a, t->reply);
	if ((rc = http_slot_take(g->pool, g->key, &s, t->err)) != AZ_OK) {
		t->final = true;
		goto out;
	}
	if (!headers_of(&x, &headers)) {
		rc = refused(t);
		goto out;
	}
	x.warm = g->h2c_once && s->h2c;
	rc = transfer(s, &x, headers);
	if (x.gone && !x.any) {
		x.warm = x.gone = false;
		rc = transfer(s, &x, headers);
	}
	s->h2c = x.kept;
out:
	if (s)
		http_slot_give(g->pool, s);
	curl_slist_free_all(headers);
	grpc_answer_release(&x.a);
	return rc;
}
