/*
 * HTTP client: one call with deadline, cancel, size caps and, where asked, retries.
 * Hosts come from configuration only, unless may_reach looks at addresses. Redirects are not
 * followed, proxies and netrc ignored, TLS always verified.
 */
#ifndef AZLON_HTTP_H
#define AZLON_HTTP_H

#include <azlon/buf.h>

struct sockaddr;
struct az_http; /* pool of connections, safe for threads */

AZ_API AZ_MUST_CHECK enum az_code az_http_new(struct az_http **out, struct az_err *err);
AZ_API void az_http_free(struct az_http *h); /* accepts NULL */

struct az_http_req {
	const char *method;         /* "GET" */
	const char *url;            /* http or https */
	const char *const *headers; /* "Name: value", NULL-terminated, or NULL */
	struct az_str body;         /* sent when body.p or read is set */
	/* Stream the body instead: fill p with up to n bytes, *got = 0 at the end.
	   body_bytes >= 0 sends Content-Length, -1 chunked. */
	enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err);
	int64_t body_bytes;
	/* Stream the reply instead of collecting it; a failure ends the call with it. */
	enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err);
	/* Called once with status and headers before the first data; may be NULL. */
	enum az_code (*head)(void *arg, int status, struct az_err *err);
	/* Asked about twice a second and between reads; true ends the call with
	   AZ_ECANCELLED. */
	bool (*cancelled)(void *arg);
	/* For hosts that others name: asked for each address before it is connected to, after
	   all looking up of names. The connection is new and not used again. May be NULL. */
	bool (*may_reach)(void *arg, const struct sockaddr *to);
	void *arg;           /* for read, data, head, cancelled, may_reach */
	int connect_ms;      /* 0 = 10 s */
	int idle_ms;         /* no byte for so long = AZ_ETIMEOUT; 0 = 60 s */
	int64_t total_ms;    /* 0 = none */
	size_t max_bytes;    /* reply cap when collected; 0 = 1 MiB */
	const char *ca_file; /* private CA, or NULL */
};

struct az_http_resp {
	int status;
	struct az_buf headers; /* "name: value\n" lines, names lower case */
	struct az_buf body;
};

AZ_API void az_http_resp_release(struct az_http_resp *r);
/* First value of a header (name lower case), empty if absent; borrowed. */
AZ_API struct az_str az_http_header(const struct az_http_resp *r, const char *name);

/*
 * Any HTTP status is AZ_OK here: the caller reads r->status. Fails with AZ_EUNAVAIL
 * (connect, DNS, reset before any reply byte), AZ_EUPSTREAM (cut reply, TLS, not
 * HTTP), AZ_ETIMEOUT, AZ_ECANCELLED, AZ_ETOOBIG, or what a callback returned. r must
 * be zeroed before and released after, also on failure (status is then what was seen).
 * With a data callback r->body holds nothing for 2xx; other statuses are collected
 * into it (64 KiB cap) so that errors can be read.
 */
AZ_API AZ_MUST_CHECK enum az_code az_http_call(
    struct az_http *h, const struct az_http_req *q, struct az_http_resp *r, struct az_err *err);

/*
 * The same call with the reply pulled, for a reader that is slower than the peer: what it
 * has not read yet waits in at most 256 KiB here, then in the network. Returns when the
 * reply's headers are complete; r then has them, and the body of a status that is not 2xx
 * (64 KiB cap; the stream is at its end). q->data and q->head are not used; q and r are
 * borrowed until az_http_close(). Fails as az_http_call(); *out is NULL then.
 */
struct az_http_stream;
AZ_API AZ_MUST_CHECK enum az_code az_http_open(struct az_http *h, const struct az_http_req *q,
    struct az_http_resp *r, struct az_http_stream **out, struct az_err *err);
/* Up to n bytes, at least one; *got = 0 at the end. A reply that ends early is AZ_EUPSTREAM. */
AZ_API AZ_MUST_CHECK enum az_code az_http_read(
    struct az_http_stream *s, char *p, size_t n, size_t *got, struct az_err *err);
/* Frees; a transfer under way ends and its connection closes. Accepts NULL. */
AZ_API void az_http_close(struct az_http_stream *s);

/* Delay before try number n (1 = first retry): base * 2^(n-1), capped, with up to
   25 % taken off at random; Retry-After (ms, 0 = none) wins when larger. */
AZ_API int64_t az_backoff_ms(int n, int64_t base_ms, int64_t cap_ms, int64_t retry_after_ms);
/* Retry-After (seconds or HTTP date) and retry-after-ms of a reply, ms, 0 = none. */
AZ_API int64_t az_http_retry_after_ms(const struct az_http_resp *r);

#endif
