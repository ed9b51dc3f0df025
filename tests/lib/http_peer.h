/*
 * A scripted HTTP server on loopback (port chosen by the kernel): reads whole requests,
 * answers with canned bytes, and can cut, reset, stall or drip. A thread per connection.
 * libc only.
 */
#ifndef HTTP_PEER_H
#define HTTP_PEER_H

#include <stdbool.h>
#include <stddef.h>

enum http_peer_then {
	HTTP_THEN_KEEP, /* wait for the next request on the connection */
	HTTP_THEN_CLOSE,
	HTTP_THEN_RESET, /* RST instead of FIN */
	HTTP_THEN_STALL  /* say nothing more until the client closes */
};

struct http_peer_step {
	const char *bytes; /* sent verbatim */
	size_t n;          /* 0 = strlen(bytes) */
	enum http_peer_then then;
	size_t drip; /* send so many bytes at a time, 0 = all */
	bool unread; /* answer before the body was read */
};

struct http_peer;

/* Answers request number i (from 0, over all connections) with step i; the last step
   repeats. pick, if set, chooses instead: it gets the request's text (head and decoded
   body, NUL-terminated) and its number. */
struct http_peer *http_peer_start(const struct http_peer_step *steps, size_t n,
    const struct http_peer_step *(*pick)(void *arg, const char *request, int i), void *arg);
int http_peer_port(const struct http_peer *p);
int http_peer_connections(struct http_peer *p);
int http_peer_requests(struct http_peer *p);
/* Text of request i: head, blank line, body as it came with chunking removed; owned
   by the peer; NULL if there is none. body_n may be NULL. */
const char *http_peer_request(struct http_peer *p, int i, size_t *body_n);
/* "http://127.0.0.1:port" + path */
void http_peer_url(const struct http_peer *p, const char *path, char *out, size_t n);
void http_peer_stop(struct http_peer *p);

#endif
