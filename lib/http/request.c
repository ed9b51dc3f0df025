/* What goes out: the URL, header lines and body of a request as libcurl's options. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <strings.h>
#include <azlon/log.h>
#include <azlon/trace.h>
#include "http_room.h"

#define CONNECT_MS 10000
#define CHUNK_BYTES 131072L
#define CONN_AGE_S 30L /* a warm connection older than this is not used again */
#define UNSENT_BYTES 262144

bool
http_clean(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

enum az_code
http_key_of(const char *url, char key[HTTP_KEY_MAX], struct az_err *err)
{
	struct az_str u = az_str_c(url), host;
	size_t skip = az_str_starts(u, AZ_S("https://"))  ? 8
		      : az_str_starts(u, AZ_S("http://")) ? 7
							  : 0;
	size_t n;

	if (!skip || !http_clean(url) || az_str_chr(u, ' ') >= 0)
		return az_fail(err, AZ_EINVAL, "http.call", "not an http URL");
	for (n = skip; n < u.n && !strchr("/?#", u.p[n]); n++)
		;
	host = az_str_sub(u, skip, n);
	/* credentials belong in headers, where the log never sees them */
	if (host.n == 0 || n >= HTTP_KEY_MAX || az_str_chr(host, '@') >= 0)
		return az_fail(err, AZ_EINVAL, "http.call", "URL without a usable host");
	memcpy(key, u.p, n);
	key[n] = '\0';
	return AZ_OK;
}

enum az_code
http_headers_of(const struct az_http_req *q, struct curl_slist **out, struct az_err *err)
{
	struct curl_slist *l = curl_slist_append(NULL, "Expect:"), *more;
	struct az_str trace = az_log_traceparent();
	char line[AZ_TRACE_BYTES + 16];
	bool type = false;

	for (size_t i = 0; l && q->headers && q->headers[i]; i++) {
		if (!http_clean(q->headers[i]) || !strchr(q->headers[i], ':')) {
			curl_slist_free_all(l);
			return az_fail(err, AZ_EINVAL, "http.call", "header %zu is malformed", i);
		}
		type |= strncasecmp(q->headers[i], "content-type:", 13) == 0;
		if (!(more = curl_slist_append(l, q->headers[i])))
			goto nomem;
		l = more;
	}
	if (l && trace.n) {
		snprintf(line, sizeof line, "traceparent: %.*s", AZ_FMT(trace));
		if (!(more = curl_slist_append(l, line)))
			goto nomem;
		l = more;
	}
	/* libcurl would claim a form */
	if (l && !type) {
		if (!(more = curl_slist_append(l, "Content-Type:")))
			goto nomem;
		l = more;
	}
	*out = l;
	if (l)
		return AZ_OK;
nomem:
	curl_slist_free_all(l);
	return az_fail(err, AZ_ENOMEM, "http.call", "out of memory");
}

/* The kernel would take megabytes at once and send them for minutes, in which nothing is seen
   of a slow upload. */
static int
on_socket(void *arg, curl_socket_t fd, curlsocktype type)
{
	int n = UNSENT_BYTES;

	(void)arg, (void)type;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &n, sizeof n);
	return CURL_SOCKOPT_OK;
}

/* The address that libcurl is about to connect to. */
static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	const struct az_http_req *q = arg;

	if (purpose != CURLSOCKTYPE_IPCXN || !q->may_reach(q->arg, &to->addr))
		return CURL_SOCKET_BAD;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

#define SET(opt, v) (r |= curl_easy_setopt(e, (opt), (v)) != CURLE_OK)

static bool
set_body(CURL *e, const struct az_http_req *q)
{
	bool r = false;
	bool bodied =
	    !strcmp(q->method, "POST") || !strcmp(q->method, "PUT") || !strcmp(q->method, "PATCH");

	if (!strcmp(q->method, "HEAD"))
		SET(CURLOPT_NOBODY, 1L);
	else if (q->read) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_bytes);
		SET(CURLOPT_UPLOAD_BUFFERSIZE, CHUNK_BYTES);
		SET(CURLOPT_CUSTOMREQUEST, q->method);
	} else if (q->body.p || bodied) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.n);
		SET(CURLOPT_POSTFIELDS, q->body.p ? q->body.p : "");
		SET(CURLOPT_CUSTOMREQUEST, q->method);
	} else if (strcmp(q->method, "GET") != 0)
		SET(CURLOPT_CUSTOMREQUEST, q->method);
	return !r;
}

bool
http_guard(CURL *e, const char *ca_file)
{
	bool r = false;

	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (ca_file)
		SET(CURLOPT_CAINFO, ca_file);
	/* a handle that keeps its buffer, as after an unknown name, takes no other size */
	(void)curl_easy_setopt(e, CURLOPT_BUFFERSIZE, CHUNK_BYTES);
	return !r;
}

bool
http_set_up(CURL *e, const struct az_http_req *q, struct curl_slist *headers)
{
	bool r = false;

	SET(CURLOPT_URL, q->url);
	SET(CURLOPT_PATH_AS_IS, 1L); /* a path may be signed, or a key of dots */
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
	SET(CURLOPT_MAXAGE_CONN, CONN_AGE_S);
	SET(CURLOPT_USERAGENT, "azlon");
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(q->connect_ms > 0 ? q->connect_ms : CONNECT_MS));
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
	if (q->may_reach) {
		SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
		SET(CURLOPT_OPENSOCKETDATA, (void *)(uintptr_t)q);
		SET(CURLOPT_FRESH_CONNECT, 1L);
		SET(CURLOPT_FORBID_REUSE, 1L);
	}
	return !r && http_guard(e, q->ca_file) && set_body(e, q);
}
