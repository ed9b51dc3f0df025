/* What the tests of the E2B client share: routes to canned answers, frames, a client. */
#ifndef E2B_FIXTURE_H
#define E2B_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/buf.h>
#include <azlon/crypto.h>
#include <azlon/sandbox.h>
#include "http_peer.h"
#include "sandbox/e2b.h"

struct route {
	const char *prefix;            /* "POST /v2/sandboxes" */
	struct http_peer_step step[8]; /* the last one repeats */
	int n, hits;
};

struct fix {
	struct http_peer *peer;
	struct http_peer_step none;
	struct route *routes;
	size_t n_routes;
	struct az_http *http;
	struct az_sandbox *sb;
	struct az_arena *a;
	struct az_box_ref ref;
	struct az_buf bytes[64]; /* answers, kept until the end */
	size_t n_bytes;
	struct az_err err;
	bool cloud; /* set before fix_start(): a service that ends one process only */
};

static inline const struct http_peer_step *
fix_pick(void *arg, const char *request, int i)
{
	struct fix *f = arg;
	size_t k;

	(void)i;
	for (k = 0; k < f->n_routes; k++) {
		struct route *r = &f->routes[k];

		if (strncmp(request, r->prefix, strlen(r->prefix)) == 0) {
			int hit = r->hits++;

			return &r->step[hit < r->n ? hit : r->n - 1];
		}
	}
	return &f->none;
}

static inline void
fix_start(struct fix *f, struct route *routes, size_t n)
{
	char url[100];

	f->routes = routes;
	f->n_routes = n;
	f->none = (struct http_peer_step){
	    .bytes = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n"
		     "Content-Length: 36\r\n\r\n{\"code\":404,\"message\":\"no such path\"}"};
	f->peer = http_peer_start(NULL, 0, fix_pick, f);
	assert_non_null(f->peer);
	http_peer_url(f->peer, "", url, sizeof url);
	assert_int_equal(az_http_new(&f->http, &f->err), AZ_OK);
	assert_int_equal(az_sandbox_e2b_open(&(struct az_sandbox_e2b_opts){.http = f->http,
						 .api_url = url,
						 .sandbox_url = url,
						 .key = "e2b_00ff",
						 .kills_trees = !f->cloud},
			     &f->sb, &f->err),
	    AZ_OK);
	f->a = az_arena_new(AZ_MIB(8));
	f->ref = (struct az_box_ref){AZ_S("iabc"), AZ_S("ea_token"), {"", 0}, AZ_S("0.6.13")};
}

static inline void
fix_stop(struct fix *f)
{
	az_sandbox_close(f->sb);
	az_http_free(f->http);
	http_peer_stop(f->peer);
	az_arena_free(f->a);
	while (f->n_bytes)
		az_buf_release(&f->bytes[--f->n_bytes]);
}

static inline struct az_buf *
fix_buf(struct fix *f)
{
	struct az_buf *b = &f->bytes[f->n_bytes++];

	assert_true(f->n_bytes <= 64);
	az_buf_init(b, AZ_MIB(64));
	return b;
}

/* An answer with a body; extra: more header lines, each ending in CRLF. */
static inline struct http_peer_step
answer(struct fix *f, int status, const char *extra, const char *body)
{
	struct az_buf *b = fix_buf(f);

	az_buf_addf(b,
	    "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%s"
	    "Content-Length: %zu\r\n\r\n%s",
	    status, extra, strlen(body), body);
	return (struct http_peer_step){.bytes = b->p, .n = b->n};
}

static inline void
frame(struct az_buf *b, int flags, const char *json)
{
	size_t n = strlen(json);
	unsigned char h[5] = {(unsigned char)flags, (unsigned char)(n >> 24),
	    (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};

	az_buf_add(b, h, 5);
	az_buf_add(b, json, n);
}

static inline void
data_frame(struct az_buf *b, const char *stream, const void *p, size_t n)
{
	struct az_buf j, b64;

	az_buf_init(&j, AZ_MIB(8));
	az_buf_init(&b64, AZ_MIB(8));
	az_base64(&b64, az_str_n(p, n));
	az_buf_addf(&j, "{\"event\":{\"data\":{\"%s\":\"%s\"}}}", stream, b64.p ? b64.p : "");
	frame(b, 0, j.p);
	az_buf_release(&j);
	az_buf_release(&b64);
}

#define START_EVENT "{\"event\":{\"start\":{\"pid\":42}}}"
#define END_OK "{\"event\":{\"end\":{\"exited\":true,\"status\":\"exit status 0\"}}}"

/* A stream's answer of these frames; cut: it promises more than it sends. */
static inline struct http_peer_step
stream_of(struct fix *f, const struct az_buf *frames, bool cut)
{
	struct az_buf *b = fix_buf(f);

	az_buf_addf(b,
	    "HTTP/1.1 200 OK\r\nContent-Type: application/connect+json\r\n"
	    "Content-Length: %zu\r\n\r\n",
	    frames->n + (cut ? 100 : 0));
	az_buf_adds(b, az_buf_str(frames));
	return (struct http_peer_step){
	    .bytes = b->p, .n = b->n, .then = cut ? HTTP_THEN_CLOSE : HTTP_THEN_KEEP};
}

/* The command prints this and ends so. */
static inline struct http_peer_step
printed(struct fix *f, struct az_str bytes, int code)
{
	struct az_buf *b = fix_buf(f);
	char end[120];

	frame(b, 0, START_EVENT);
	for (size_t at = 0; at < bytes.n; at += 30000)
		data_frame(b, "stdout", bytes.p + at, az_str_sub(bytes, at, at + 30000).n);
	snprintf(end, sizeof end,
	    "{\"event\":{\"end\":{\"exitCode\":%d,\"exited\":true,\"status\":\"exit status "
	    "%d\"}}}",
	    code, code);
	frame(b, 0, end);
	frame(b, 2, "{}");
	return stream_of(f, b, false);
}

/* Does request i hold text (the body may hold NULs)? */
static inline bool
sent(struct fix *f, int i, const char *text)
{
	size_t n = 0, k;
	const char *r = http_peer_request(f->peer, i, NULL);
	const char *body = r ? strstr(r, "\r\n\r\n") : NULL;

	if (!r)
		return false;
	if (strstr(r, text))
		return true;
	http_peer_request(f->peer, i, &n);
	for (k = 0; body && k + strlen(text) <= n; k++)
		if (memcmp(body + 4 + k, text, strlen(text)) == 0)
			return true;
	return false;
}

/* How many requests begin with prefix. */
static inline int
asked(struct fix *f, const char *prefix)
{
	int i, n = 0;

	for (i = 0; i < http_peer_requests(f->peer); i++)
		n += strncmp(http_peer_request(f->peer, i, NULL), prefix, strlen(prefix)) == 0;
	return n;
}

/* Number of the k-th (from 0) request that begins with prefix, or -1. */
static inline int
nth(struct fix *f, const char *prefix, int k)
{
	int i;

	for (i = 0; i < http_peer_requests(f->peer); i++)
		if (strncmp(http_peer_request(f->peer, i, NULL), prefix, strlen(prefix)) == 0 &&
		    k-- == 0)
			return i;
	return -1;
}

#endif
