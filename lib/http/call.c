/*
 * One call. The transfer runs on the multi interface, so that cancel, idle and total
 * time are looked at every POLL_MS whatever the peer does.
 */
#include <ctype.h>
#include <strings.h>
#include <azlon/clock.h>
#include "http_room.h"

#define POLL_MS 200
#define CONNECT_MS 10000
#define IDLE_MS 60000
#define CHUNK_BYTES 131072L
#define CONN_AGE_S 30L /* a warm connection older than this is not used again */

struct call {
	const struct az_http_req *q;
	struct az_http_resp *r;
	struct az_err *err;
	const char *key; /* for messages: never the path or query */
	enum az_code rc; /* why we ended the transfer ourselves */
	int64_t last_ms; /* the last byte either way */
	int64_t up_left; /* of a streamed body with a length */
	size_t n_headers;
	bool any;       /* a byte of a reply came */
	bool head_done; /* headers of the final status are complete */
	bool enough;    /* an error body was cut at its cap */
};

void
az_http_resp_release(struct az_http_resp *r)
{
	az_buf_release(&r->headers);
	az_buf_release(&r->body);
}

struct az_str
az_http_header(const struct az_http_resp *r, const char *name)
{
	struct az_str rest = az_buf_str(&r->headers), line;
	size_t n = strlen(name);

	while (az_str_line(&rest, &line))
		if (line.n > n + 1 && line.p[n] == ':' && memcmp(line.p, name, n) == 0)
			return az_str_sub(line, n + 2, line.n);
	return (struct az_str){NULL, 0};
}

static bool
told_to_stop(struct call *c)
{
	if (!c->q->cancelled || !c->q->cancelled(c->q->arg))
		return false;
	c->rc = az_fail(c->err, AZ_ECANCELLED, "http.call", "cancelled");
	return true;
}

static bool
head_complete(struct call *c)
{
	c->head_done = true;
	if (c->q->head)
		c->rc = c->q->head(c->q->arg, c->r->status, c->err);
	return c->rc == AZ_OK;
}

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	struct az_str line = az_str_n(p, size * n);
	ptrdiff_t colon;

	c->any = true;
	c->last_ms = az_boot_ms();
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	if (c->head_done) /* trailers */
		return size * n;
	if (az_str_starts(line, AZ_S("HTTP/"))) {
		ptrdiff_t sp = az_str_chr(line, ' ');
		int64_t v = 0;
		if (sp < 0 || !az_str_to_i64(
				  az_str_sub(line, (size_t)sp + 1, (size_t)sp + 4), 100, 999, &v)) {
			c->rc = az_fail(
			    c->err, AZ_EUPSTREAM, "http.call", "%s: malformed status line", c->key);
			return 0;
		}
		c->r->status = (int)v;
		az_buf_reset(&c->r->headers);
		c->n_headers = 0;
		return size * n;
	}
	if (line.n == 0)
		return c->r->status < 200 || head_complete(c) ? size * n : 0;
	if ((colon = az_str_chr(line, ':')) <= 0)
		return size * n;
	for (size_t i = 0; i < (size_t)colon; i++)
		az_buf_addch(&c->r->headers, (char)tolower((unsigned char)line.p[i]));
	az_buf_addc(&c->r->headers, ": ");
	az_buf_adds(&c->r->headers, az_str_trim(az_str_sub(line, (size_t)colon + 1, line.n)));
	az_buf_addch(&c->r->headers, '\n');
	if (++c->n_headers > HTTP_HEADERS_MAX || c->r->headers.fail) {
		c->rc =
		    az_fail(c->err, AZ_ETOOBIG, "http.call", "%s: too many reply headers", c->key);
		return 0;
	}
	return size * n;
}

static size_t
on_data(char *p, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	size_t len = size * n;
	int status = c->r->status;

	c->any = true;
	c->last_ms = az_boot_ms();
	if (told_to_stop(c))
		return 0;
	if (c->q->data && status >= 200 && status < 300) {
		c->rc = c->q->data(c->q->arg, az_str_n(p, len), c->err);
		return c->rc == AZ_OK ? len : 0;
	}
	if (c->q->data && len > c->r->body.max - c->r->body.n) {
		/* an error's text: its beginning is enough */
		az_buf_add(&c->r->body, p, c->r->body.max - c->r->body.n);
		c->enough = true;
		return 0;
	}
	az_buf_add(&c->r->body, p, len);
	if (c->r->body.fail) {
		c->rc = az_fail(c->err, c->r->body.fail, "http.call",
		    "%s: reply larger than %zu bytes", c->key, c->r->body.max);
		return 0;
	}
	return len;
}

static size_t
on_read(char *p, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	size_t want = size * n, got = 0;

	c->last_ms = az_boot_ms();
	if (told_to_stop(c))
		return CURL_READFUNC_ABORT;
	if (c->q->body_bytes >= 0 && (int64_t)want > c->up_left)
		want = (size_t)c->up_left;
	if (want == 0)
		return 0;
	c->rc = c->q->read(c->q->arg, p, want, &got, c->err);
	if (c->rc == AZ_OK && got == 0 && c->q->body_bytes >= 0)
		c->rc = az_fail(c->err, AZ_EIO, "http.call",
		    "%s: %lld bytes of the body are missing", c->key, (long long)c->up_left);
	if (c->rc != AZ_OK)
		return CURL_READFUNC_ABORT;
	c->up_left -= (int64_t)got;
	return got;
}

bool
http_clean(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

/* scheme://host[:port] of url */
static enum az_code
key_of(const char *url, char key[HTTP_KEY_MAX], struct az_err *err)
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

static enum az_code
headers_of(const struct az_http_req *q, struct curl_slist **out, struct az_err *err)
{
	struct curl_slist *l = curl_slist_append(NULL, "Expect:"), *more;
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

#define SET(opt, v) (r |= curl_easy_setopt(e, (opt), (v)) != CURLE_OK)

static bool
set_body(CURL *e, struct call *c)
{
	const struct az_http_req *q = c->q;
	bool r = false;
	bool bodied =
	    !strcmp(q->method, "POST") || !strcmp(q->method, "PUT") || !strcmp(q->method, "PATCH");

	if (!strcmp(q->method, "HEAD"))
		SET(CURLOPT_NOBODY, 1L);
	else if (q->read) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_bytes);
		SET(CURLOPT_READFUNCTION, on_read);
		SET(CURLOPT_READDATA, c);
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

static bool
set_up(CURL *e, struct call *c, struct curl_slist *headers)
{
	const struct az_http_req *q = c->q;
	bool r = false;

	SET(CURLOPT_URL, q->url);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
	SET(CURLOPT_MAXAGE_CONN, CONN_AGE_S);
	SET(CURLOPT_USERAGENT, "azlon");
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(q->connect_ms > 0 ? q->connect_ms : CONNECT_MS));
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, c);
	SET(CURLOPT_WRITEFUNCTION, on_data);
	SET(CURLOPT_WRITEDATA, c);
	return !r && http_guard(e, q->ca_file) && set_body(e, c);
}

/* Every result of libcurl that is not success, as one of ours. */
static enum az_code
result_of(struct call *c, CURLcode cc, const char *text)
{
	enum az_code code;

	if (c->rc != AZ_OK)
		return c->rc;
	/* libcurl is content with a reply that ends inside its headers */
	if (cc == CURLE_OK && !c->head_done)
		return az_fail(
		    c->err, AZ_EUPSTREAM, "http.call", "%s: reply cut inside its headers", c->key);
	if (cc == CURLE_OK || c->enough)
		return AZ_OK;
		/* the rest of libcurl's codes belong to other protocols */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
	switch (cc) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT: /* only the connect timeout is libcurl's */
	case CURLE_SEND_FAIL_REWIND:
		code = AZ_EUNAVAIL;
		break;
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		code = c->any ? AZ_EUPSTREAM : AZ_EUNAVAIL;
		break;
	case CURLE_URL_MALFORMAT:
		code = AZ_EINVAL;
		break;
	case CURLE_OUT_OF_MEMORY:
		/* also libcurl's word for an endless header line */
		code = c->any && !c->head_done ? AZ_ETOOBIG : AZ_ENOMEM;
		break;
#if LIBCURL_VERSION_NUM >= 0x080600
	case CURLE_TOO_LARGE: /* the same since then */
		code = AZ_ETOOBIG;
		break;
#endif
	default:
		code = AZ_EUPSTREAM;
	}
#pragma GCC diagnostic pop
	return az_fail(
	    c->err, code, "http.call", "%s: %s", c->key, text[0] ? text : curl_easy_strerror(cc));
}

/* Drive the transfer to its end or until we end it. */
static enum az_code
drive(struct http_slot *s, struct call *c, const char *text)
{
	int64_t idle = c->q->idle_ms > 0 ? c->q->idle_ms : IDLE_MS;
	int64_t start = az_boot_ms(), now, left;
	int running = 0, n;
	CURLMsg *m;

	c->last_ms = start;
	for (;;) {
		if (curl_multi_perform(s->multi, &running) != CURLM_OK)
			return az_fail(
			    c->err, AZ_EINTERNAL, "http.call", "%s: transfer failed", c->key);
		if (!running)
			break;
		if (told_to_stop(c))
			return c->rc;
		now = az_boot_ms();
		left = c->last_ms + idle - now;
		if (left <= 0)
			return az_fail(c->err, AZ_ETIMEOUT, "http.call", "%s: no byte for %lld ms",
			    c->key, (long long)idle);
		if (c->q->total_ms > 0 && start + c->q->total_ms - now < left)
			left = start + c->q->total_ms - now;
		if (left <= 0)
			return az_fail(c->err, AZ_ETIMEOUT, "http.call", "%s: not done in %lld ms",
			    c->key, (long long)c->q->total_ms);
		(void)curl_multi_poll(
		    s->multi, NULL, 0, (int)(left < POLL_MS ? left : POLL_MS), NULL);
	}
	while ((m = curl_multi_info_read(s->multi, &n)))
		if (m->msg == CURLMSG_DONE)
			return result_of(c, m->data.result, text);
	return az_fail(c->err, AZ_EINTERNAL, "http.call", "%s: no result", c->key);
}

enum az_code
az_http_call(
    struct az_http *h, const struct az_http_req *q, struct az_http_resp *r, struct az_err *err)
{
	struct az_err local = AZ_ERR_INIT;
	struct call c = {.q = q, .r = r, .err = err ? err : &local, .up_left = q->body_bytes};
	char key[HTTP_KEY_MAX], text[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL;
	struct http_slot *s = NULL;
	enum az_code rc;

	az_buf_init(&r->headers, HTTP_HEADERS_BYTES);
	az_buf_init(&r->body, q->data        ? HTTP_ERROR_BYTES
			      : q->max_bytes ? q->max_bytes
					     : HTTP_BODY_BYTES);
	if ((rc = key_of(q->url, key, err)) != AZ_OK ||
	    (rc = headers_of(q, &headers, err)) != AZ_OK)
		return rc;
	c.key = key;
	if ((rc = http_slot_take(h, key, &s, err)) != AZ_OK)
		goto out;
	curl_easy_setopt(s->easy, CURLOPT_ERRORBUFFER, text);
	if (!set_up(s->easy, &c, headers)) {
		rc = az_fail(err, AZ_EINVAL, "http.call", "request refused by libcurl");
		goto out;
	}
	if (curl_multi_add_handle(s->multi, s->easy) != CURLM_OK) {
		rc = az_fail(err, AZ_EINTERNAL, "http.call", "libcurl");
		goto out;
	}
	rc = drive(s, &c, text);
	/* ends a transfer under way and closes its connection */
	curl_multi_remove_handle(s->multi, s->easy);
out:
	if (s)
		http_slot_give(h, s);
	curl_slist_free_all(headers);
	return rc;
}
