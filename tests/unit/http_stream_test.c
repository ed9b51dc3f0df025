/* Replies that are pulled: what is read, and what becomes of connections. */
#include "http_stream_fixture.h"

static void
what_is_read_is_what_a_call_collects(void **state)
{
	static const size_t steps[] = {1009, 4096, 65536, 300000, 2000000};
	/* the second: so little that almost every piece is held back once */
	static const size_t holds[] = {HTTP_STREAM_BYTES / 2, 20000};
	struct az_buf reply[] = {long_reply(false), long_reply(true)};
	struct http_peer_step s[] = {
	    {.bytes = reply[0].p, .n = reply[0].n}, {.bytes = reply[1].p, .n = reply[1].n}};
	struct az_http_req q = {.method = "GET", .url = url, .max_bytes = AZ_MIB(2)};
	struct az_http_resp want, r;
	struct az_buf got;

	(void)state;
	for (size_t i = 0; i < N(s); i++) {
		against(&s[i], 1);
		want = (struct az_http_resp){.status = 0};
		assert_int_equal(az_http_call(http, &q, &want, &err), AZ_OK);
		assert_int_equal(want.body.n, LONG_BYTES);
		for (size_t k = 0; k < N(steps) * N(holds); k++) {
			http->hold_bytes = holds[k / N(steps)];
			assert_int_equal(pull(&q, &r, steps[k % N(steps)], &got), AZ_OK);
			assert_int_equal(r.status, 200);
			assert_true(az_str_eq(az_buf_str(&r.headers), az_buf_str(&want.headers)));
			assert_int_equal(r.body.n, 0);
			assert_true(az_str_eq(az_buf_str(&got), az_buf_str(&want.body)));
			az_buf_release(&got);
			az_http_resp_release(&r);
		}
		/* one connection served all of them */
		assert_int_equal(http_peer_connections(peer), 1);
		az_http_resp_release(&want);
		http_peer_stop(peer);
		az_buf_release(&reply[i]);
	}
}

static void
replies_without_a_body_are_at_their_end(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"}, /* of a HEAD */
	    {.bytes = "HTTP/1.1 204 No Content\r\n\r\n"},
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	    {.bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
		      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}};
	struct az_http_resp r;
	struct az_buf got;

	(void)state;
	against(s, N(s));
	for (size_t i = 0; i < N(s); i++) {
		struct az_http_req q = {.method = i ? "GET" : "HEAD", .url = url};

		assert_int_equal(pull(&q, &r, 10, &got), AZ_OK);
		assert_int_equal(r.status, i == 1 ? 204 : 200);
		if (i == 0)
			assert_true(az_str_eqc(az_http_header(&r, "content-length"), "100"));
		assert_int_equal(got.n, 0);
		az_buf_release(&got);
		az_http_resp_release(&r);
	}
	assert_int_equal(http_peer_connections(peer), 1);
	http_peer_stop(peer);
}

static void
the_body_of_an_error_is_collected(void **state)
{
	static char big[200000];
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nno such k", .drip = 5},
	    {.bytes = big, .then = HTTP_THEN_CLOSE},
	    {.bytes = "HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\ncut",
		.then = HTTP_THEN_CLOSE}};
	struct az_http_req q = {.method = "GET", .url = url};
	struct az_http_resp r;
	struct az_buf got;

	(void)state;
	memset(big, 'e', sizeof big - 1);
	memcpy(big, "HTTP/1.1 503 Busy\r\n\r\n", 21);
	against(s, N(s));
	assert_int_equal(pull(&q, &r, 10, &got), AZ_OK);
	assert_int_equal(r.status, 404);
	assert_int_equal(got.n, 0);
	assert_true(az_str_eqc(az_buf_str(&r.body), "no such k"));
	az_buf_release(&got);
	az_http_resp_release(&r);

	assert_int_equal(pull(&q, &r, 10, &got), AZ_OK);
	assert_int_equal(r.status, 503);
	assert_int_equal(got.n, 0);
	assert_int_equal(r.body.n, AZ_KIB(64));
	az_buf_release(&got);
	az_http_resp_release(&r);

	assert_int_equal(pull(&q, &r, 10, &got), AZ_EUPSTREAM);
	assert_int_equal(r.status, 500);
	az_buf_release(&got);
	az_http_resp_release(&r);
	http_peer_stop(peer);
}

static enum az_code
feed(void *arg, char *p, size_t n, size_t *got, struct az_err *e)
{
	size_t *left = arg;

	(void)e;
	*got = *left < n ? *left : n;
	memset(p, 'u', *got);
	*left -= *got;
	return AZ_OK;
}

static void
bodies_go_up_as_in_a_call(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"}};
	size_t left = 300000, n;
	struct az_http_req q[] = {{.method = "POST", .url = url, .body = AZ_S("ask")},
	    {.method = "PUT", .url = url, .read = feed, .body_bytes = 300000, .arg = &left},
	    {.method = "PUT", .url = url, .read = feed, .body_bytes = 200, .arg = &left}};
	struct az_http_resp r;
	struct az_buf got;

	(void)state;
	against(s, 1);
	for (int i = 0; i < 3; i++) {
		/* the third: a source that ends early */
		assert_int_equal(pull(&q[i], &r, 10, &got), i < 2 ? AZ_OK : AZ_EIO);
		assert_true(az_str_eqc(az_buf_str(&got), i < 2 ? "done" : ""));
		az_buf_release(&got);
		az_http_resp_release(&r);
	}
	assert_non_null(strstr(http_peer_request(peer, 0, &n), "\r\n\r\nask"));
	assert_non_null(strstr(http_peer_request(peer, 1, &n), "PUT /a/b?c=secret HTTP/1.1\r\n"));
	assert_int_equal(n, 300000);
	http_peer_stop(peer);
}

/* ---- connections ---- */

static void
connections_are_kept_after_the_end_and_dropped_before_it(void **state)
{
	struct az_buf reply = long_reply(false);
	struct http_peer_step step = {.bytes = reply.p, .n = reply.n};
	struct az_http_req q = {.method = "GET", .url = url};
	struct az_http_stream *s;
	struct az_http_resp r = {.status = 0}, r2;
	struct az_buf got;
	char p[100];
	size_t n;

	(void)state;
	against(&step, 1);
	az_buf_init(&got, AZ_MIB(2));
	assert_int_equal(az_http_open(http, &q, &r, &s, &err), AZ_OK);
	assert_int_equal(read_all(s, 10000, &got), AZ_OK);
	az_buf_release(&got);
	/* at its end, though not closed, it needs no connection any more */
	assert_int_equal(pull(&q, &r2, 100000, &got), AZ_OK);
	assert_int_equal(http_peer_connections(peer), 1);
	az_buf_release(&got);
	az_http_resp_release(&r2);
	az_http_close(s);
	az_http_resp_release(&r);

	/* all of it read, though not its end: the same */
	r = (struct az_http_resp){.status = 0};
	assert_int_equal(az_http_open(http, &q, &r, &s, &err), AZ_OK);
	for (size_t left = LONG_BYTES; left; left -= n)
		assert_int_equal(
		    az_http_read(s, p, left < sizeof p ? left : sizeof p, &n, &err), AZ_OK);
	az_http_close(s);
	az_http_resp_release(&r);

	r = (struct az_http_resp){.status = 0};
	assert_int_equal(az_http_open(http, &q, &r, &s, &err), AZ_OK);
	assert_int_equal(az_http_read(s, p, sizeof p, &n, &err), AZ_OK);
	assert_int_equal(http_peer_connections(peer), 1);
	az_http_close(s);
	az_http_resp_release(&r);
	/* nothing of the old reply is taken for the new one */
	assert_int_equal(pull(&q, &r, 100000, &got), AZ_OK);
	assert_int_equal(got.n, LONG_BYTES);
	assert_int_equal(http_peer_connections(peer), 2);
	az_buf_release(&got);
	az_http_resp_release(&r);
	az_http_close(NULL);
	http_peer_stop(peer);
	az_buf_release(&reply);
}

static void
streams_do_not_meet(void **state)
{
	struct az_buf reply[] = {long_reply(false), long_reply(true)};
	struct http_peer_step step[] = {
	    {.bytes = reply[0].p, .n = reply[0].n}, {.bytes = reply[1].p, .n = reply[1].n}};
	struct az_http_req q = {.method = "GET", .url = url};
	struct az_http_stream *s[2];
	struct az_http_resp r[2] = {{.status = 0}, {.status = 0}};
	size_t at[2] = {0, 0}, got;
	bool ended[2] = {false, false};
	char p[3000];

	(void)state;
	against(step, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(az_http_open(http, &q, &r[i], &s[i], &err), AZ_OK);
	assert_int_equal(http_peer_connections(peer), 2);
	for (int i = 0; !ended[0] || !ended[1]; i = !i) {
		/* at different paces */
		assert_int_equal(az_http_read(s[i], p, i ? sizeof p : 1700, &got, &err), AZ_OK);
		for (size_t k = 0; k < got; k++)
			if (p[k] != byte_at(at[i] + k))
				fail_msg("stream %d differs at %zu", i, at[i] + k);
		at[i] += got;
		ended[i] = got == 0;
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(at[i], LONG_BYTES);
		az_http_close(s[i]);
		az_http_resp_release(&r[i]);
		az_buf_release(&reply[i]);
	}
	http_peer_stop(peer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(what_is_read_is_what_a_call_collects),
	    T(replies_without_a_body_are_at_their_end),
	    T(the_body_of_an_error_is_collected),
	    T(bodies_go_up_as_in_a_call),
	    T(connections_are_kept_after_the_end_and_dropped_before_it),
	    T(streams_do_not_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
