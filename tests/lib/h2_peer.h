/*
 * A scripted HTTP/2 server on loopback (port chosen by the kernel), in the clear or TLS:
 * reads whole requests, answers with frames made by hand, so that it can do what no
 * proper server does. A thread per connection, one request of it at a time.
 */
#ifndef H2_PEER_H
#define H2_PEER_H

#include <stdbool.h>
#include <stddef.h>

enum h2_op {
	H2_DONE,    /* ends the script; the next request may come */
	H2_HEAD,    /* header block: text is "name value\n" lines */
	H2_HEAD2,   /* the same in two frames, cut in the middle */
	H2_TAIL,    /* header block that ends the stream */
	H2_MSG,     /* text as one gRPC message in one DATA frame */
	H2_MSG_BY1, /* the same, a byte in each frame */
	H2_DATA,    /* text as it is, in one DATA frame */
	H2_END,     /* an empty DATA frame that ends the stream */
	H2_RST,     /* reset the stream, error n */
	H2_GOAWAY,  /* no streams after this one */
	H2_RAW,     /* text as it is on the connection */
	H2_STALL,   /* say nothing more until the client closes */
	H2_CLOSE    /* of the connection */
};

struct h2_act {
	enum h2_op op;
	const char *text;
	size_t n; /* of text, 0 = strlen(text) */
};

struct h2_peer;

#define H2_OK_HEAD                                                                                 \
	{                                                                                          \
		H2_HEAD, ":status 200\ncontent-type application/grpc\n", 0                         \
	}
#define H2_OK_TAIL                                                                                 \
	{                                                                                          \
		H2_TAIL, "grpc-status 0\n", 0                                                      \
	}

/* Answers request number i (from 0, over all connections) with script i of n; the last
   repeats. ca, for TLS: becomes the path of a certificate for 127.0.0.1 and localhost,
   removed at the end; NULL = in the clear. */
struct h2_peer *h2_peer_start(const struct h2_act *const *scripts, size_t n, const char **ca);
/* The same with TLS that offers no h2: answers anything with text and closes. */
struct h2_peer *h2_peer_start_h1(const char *text, const char **ca);
int h2_peer_port(const struct h2_peer *p);
int h2_peer_connections(struct h2_peer *p);
int h2_peer_requests(struct h2_peer *p);
/* "name: value\n" lines of request i, its body; owned by the peer. */
const char *h2_peer_head(struct h2_peer *p, int i);
const char *h2_peer_body(struct h2_peer *p, int i, size_t *n);
void h2_peer_stop(struct h2_peer *p);

#endif
