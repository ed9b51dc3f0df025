/* Inside the http room. */
#ifndef AZLON_HTTP_ROOM_H
#define AZLON_HTTP_ROOM_H

#include <pthread.h>
#include <curl/curl.h>
#include <azlon/http.h>

#define HTTP_KEY_MAX 300
#define HTTP_HEADERS_BYTES ((size_t)64 * 1024)
#define HTTP_HEADERS_MAX 200
#define HTTP_ERROR_BYTES ((size_t)64 * 1024)
#define HTTP_BODY_BYTES ((size_t)1024 * 1024)
/* What a pulled reply may hold: half of it ours, half a piece that libcurl has in hand. */
#define HTTP_STREAM_BYTES ((size_t)256 * 1024)
/* As many as a process has threads (AZLON_THREADS): with fewer, each round of calls would
   close connections that the next one opens again. */
#define HTTP_IDLE_SLOTS 64

/* One easy handle in a multi handle of its own, which keeps its connection alive
   between calls. One thread at a time has it. */
struct http_slot {
	CURLM *multi;
	CURL *easy;
	char key[HTTP_KEY_MAX]; /* scheme://host:port */
	bool h2c;               /* its connection speaks HTTP/2 in the clear; for gRPC */
	struct http_slot *next;
};

struct az_http {
	pthread_mutex_t mu;
	struct http_slot *idle; /* most recently used first */
	size_t n_idle;
	/* A pulled reply is stopped here; half of HTTP_STREAM_BYTES, less in tests. */
	size_t hold_bytes;
};

/* pool.c */
AZ_MUST_CHECK enum az_code http_slot_take(
    struct az_http *h, const char *key, struct http_slot **out, struct az_err *err);
void http_slot_give(struct az_http *h, struct http_slot *s);
void http_slot_free(struct http_slot *s);

/* request.c */
bool http_clean(const char *s); /* no control bytes */
/* scheme://host[:port] of url */
AZ_MUST_CHECK enum az_code http_key_of(const char *url, char key[HTTP_KEY_MAX], struct az_err *err);
AZ_MUST_CHECK enum az_code http_headers_of(
    const struct az_http_req *q, struct curl_slist **out, struct az_err *err);
/* What holds for every transfer: no redirects, proxies, netrc or signals, TLS verified. */
AZ_MUST_CHECK bool http_guard(CURL *e, const char *ca_file);
/* The guard, and all of the request but callbacks. */
AZ_MUST_CHECK bool http_set_up(CURL *e, const struct az_http_req *q, struct curl_slist *headers);

/* transfer.c: one exchange, collected by call.c or pulled by stream.c. It must not move. */
struct http_transfer {
	/* by the user, the rest zero */
	const struct az_http_req *q;
	struct az_http_resp *r;
	struct az_err *err;                                              /* not NULL */
	enum az_code (*head)(void *arg, int status, struct az_err *err); /* or NULL */
	/* Takes a piece of a 2xx body: its size, or 0 and rc set, or CURL_WRITEFUNC_PAUSE and
	   held set: it comes again. NULL: into r->body. */
	size_t (*data)(struct http_transfer *t, struct az_str chunk);

	struct az_http *pool;
	struct http_slot *slot; /* ours from begin to end */
	struct curl_slist *headers;
	enum az_code rc;  /* why we ended the transfer ourselves */
	int64_t start_ms; /* boot clock, as last_ms: the last byte either way */
	int64_t last_ms;
	int64_t up_left; /* of a streamed body with a length */
	curl_off_t sent; /* of the body, when last looked at */
	int wait_ms;
	size_t n_headers;
	bool any;       /* a byte of a reply came */
	bool head_done; /* headers of the final status are complete */
	bool enough;    /* an error body was cut at its cap */
	bool held;      /* libcurl keeps a piece that we had no room for */
	bool ended;
	char text[CURL_ERROR_SIZE]; /* libcurl's words */
};

/* http_transfer_end() must follow, also on failure. */
AZ_MUST_CHECK enum az_code http_transfer_begin(struct http_transfer *t, struct az_http *h);
/* Do what can be done without waiting; what a transfer that ended came to. */
AZ_MUST_CHECK enum az_code http_transfer_perform(struct http_transfer *t);
/* Until there is something to do, the time is up or the caller is to be asked again. */
void http_transfer_wait(struct http_transfer *t);
/* Give the slot back, with its connection when the transfer ended well. Again: no effect. */
void http_transfer_end(struct http_transfer *t);
/* AZ_ECANCELLED is in t->rc then. */
bool http_told_to_stop(struct http_transfer *t);

#endif
