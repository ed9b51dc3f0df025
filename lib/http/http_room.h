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
#define HTTP_IDLE_SLOTS 16

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
};

/* pool.c */
AZ_MUST_CHECK enum az_code http_slot_take(
    struct az_http *h, const char *key, struct http_slot **out, struct az_err *err);
void http_slot_give(struct az_http *h, struct http_slot *s);
void http_slot_free(struct http_slot *s);

/* call.c: no control bytes */
bool http_clean(const char *s);
/* What holds for every transfer: no redirects, proxies, netrc or signals, TLS verified. */
AZ_MUST_CHECK bool http_guard(CURL *e, const char *ca_file);

#endif
