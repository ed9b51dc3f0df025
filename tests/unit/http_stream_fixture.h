/* Replies that are pulled, against a scripted server on loopback. */
#ifndef HTTP_STREAM_FIXTURE_H
#define HTTP_STREAM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/limits.h>
#include "http/http_room.h"
#include "http_peer.h"

#define N(t) (sizeof(t) / sizeof *(t))

static struct az_http *http;
static struct az_err err;
static struct http_peer *peer;
static char url[200];

static inline int
setup(void **state)
{
	(void)state;
	err = (struct az_err)AZ_ERR_INIT;
	return az_http_new(&http, NULL) == AZ_OK ? 0 : -1;
}

static inline int
teardown(void **state)
{
	(void)state;
	az_http_free(http);
	return 0;
}

static inline void
against(const struct http_peer_step *s, size_t n)
{
	peer = http_peer_start(s, n, NULL, NULL);
	http_peer_url(peer, "/a/b?c=secret", url, sizeof url);
}

/* The byte at a place of a long body: no two pieces of it are alike. */
static inline char
byte_at(size_t i)
{
	return (char)(i * 2654435761u >> 13);
}

/* Read on to the end, step bytes at most each time. */
static inline enum az_code
read_all(struct az_http_stream *s, size_t step, struct az_buf *to)
{
	char *p = malloc(step);
	size_t got = 0;
	enum az_code rc;

	assert_non_null(p);
	do {
		rc = az_http_read(s, p, step, &got, &err);
		assert_in_range(got, 0, step);
		az_buf_add(to, p, got);
	} while (rc == AZ_OK && got);
	/* what was said at the end is said again */
	assert_int_equal(az_http_read(s, p, step, &got, &err), rc);
	assert_int_equal(got, 0);
	free(p);
	return rc;
}

/* Open, read to the end, close; what came is in to. */
static inline enum az_code
pull(struct az_http_req *q, struct az_http_resp *r, size_t step, struct az_buf *to)
{
	struct az_http_stream *s;
	enum az_code rc;

	az_buf_init(to, AZ_MIB(16));
	*r = (struct az_http_resp){.status = 0};
	rc = az_http_open(http, q, r, &s, &err);
	assert_true((rc == AZ_OK) == (s != NULL));
	if (rc == AZ_OK)
		rc = read_all(s, step, to);
	az_http_close(s);
	return rc;
}

#define LONG_BYTES ((size_t)1000003)

/* A long body, told by length or in chunks of growing size. */
static inline struct az_buf
long_reply(bool chunked)
{
	struct az_buf b;
	size_t at = 0;

	az_buf_init(&b, AZ_MIB(4));
	if (chunked)
		az_buf_addc(&b, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	else
		az_buf_addf(&b, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", LONG_BYTES);
	for (size_t k = 1; at < LONG_BYTES; k = k * 3 % 100003) {
		size_t n = k < LONG_BYTES - at ? k : LONG_BYTES - at;
		if (chunked)
			az_buf_addf(&b, "%zx\r\n", n);
		while (n--)
			az_buf_addch(&b, byte_at(at++));
		if (chunked)
			az_buf_addc(&b, "\r\n");
	}
	if (chunked)
		az_buf_addc(&b, "0\r\nX-Trailer: 1\r\n\r\n");
	assert_int_equal(b.fail, AZ_OK);
	return b;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
