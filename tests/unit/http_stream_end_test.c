/* Replies that are pulled and end early: by the peer, by time, by the caller. */
#include "http_stream_fixture.h"

static void
replies_that_end_early_fail_after_what_came(void **state)
{
	static const struct {
		struct http_peer_step s;
		enum az_code code;
		const char *came;
	} t[] = {
	    {{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
		 .then = HTTP_THEN_CLOSE},
		AZ_EUPSTREAM, "hello"},
	    {{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", .then = HTTP_THEN_CLOSE},
		AZ_EUPSTREAM, ""},
	    {{.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		 .then = HTTP_THEN_CLOSE},
		AZ_EUPSTREAM, "hello"},
	    {{.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nz\r\n",
		 .then = HTTP_THEN_CLOSE},
		AZ_EUPSTREAM, "hello"},
	    {{.bytes = "HTTP/1.1 200 OK\r\nContent-Le", .then = HTTP_THEN_CLOSE}, AZ_EUPSTREAM, ""},
	    {{.bytes = "SSH-2.0-x\r\n", .then = HTTP_THEN_CLOSE}, AZ_EUPSTREAM, ""},
	    {{.bytes = "", .then = HTTP_THEN_CLOSE}, AZ_EUNAVAIL, ""},
	    {{.bytes = "", .then = HTTP_THEN_RESET}, AZ_EUNAVAIL, ""},
	};
	struct az_http_req q = {.method = "POST", .url = url, .body = AZ_S("x")};
	struct az_http_resp r;
	struct az_buf got;

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		against(&t[i].s, 1);
		for (size_t step = 1; step < 100; step += 98) {
			err = (struct az_err)AZ_ERR_INIT;
			assert_int_equal(pull(&q, &r, step, &got), t[i].code);
			assert_int_equal(err.code, t[i].code);
			assert_null(strstr(err.text, "secret"));
			assert_true(az_str_eqc(az_buf_str(&got), t[i].came));
			az_buf_release(&got);
			az_http_resp_release(&r);
		}
		http_peer_stop(peer);
	}
}

/* A reset may take with it what was on its way; never is it a good end. */
static void
a_reset_is_never_an_end(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
		.then = HTTP_THEN_RESET}};
	struct az_http_req q = {.method = "GET", .url = url};
	struct az_http_resp r;
	struct az_buf got;

	(void)state;
	against(s, 1);
	assert_int_equal(pull(&q, &r, 2, &got), AZ_EUPSTREAM);
	assert_in_range(got.n, 0, 5);
	az_buf_release(&got);
	az_http_resp_release(&r);
	http_peer_stop(peer);
}

static void
requests_that_a_call_refuses_are_refused(void **state)
{
	struct az_http_req q = {.method = "GET", .url = "ftp://127.0.0.1/"};
	struct az_http_resp r;
	struct az_buf got;

	(void)state;
	assert_int_equal(pull(&q, &r, 2, &got), AZ_EINVAL);
	az_buf_release(&got);
	az_http_resp_release(&r);
}

/* ---- time and cancel ---- */

static const struct http_peer_step stalled[] = {
    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", .then = HTTP_THEN_STALL}};

/* Says yes when asked for the last time of so many. */
static bool
after_asks(void *arg)
{
	int *asks = arg;

	return *asks > 0 && --*asks == 0;
}

/* Of a reply that stalls, all that comes. */
static struct az_http_stream *
open_stalled(struct az_http_req *q, struct az_http_resp *r)
{
	struct az_http_stream *s;
	char p[9];
	size_t got, n = 0;

	*r = (struct az_http_resp){.status = 0};
	assert_int_equal(az_http_open(http, q, r, &s, &err), AZ_OK);
	while (n < 2) {
		assert_int_equal(az_http_read(s, p, sizeof p, &got, &err), AZ_OK);
		n += got;
	}
	return s;
}

static void
cancel_ends_a_read(void **state)
{
	int asks = 0;
	struct az_http_req q = {.method = "GET", .url = url, .cancelled = after_asks, .arg = &asks};
	struct az_http_stream *s;
	struct az_http_resp r;
	size_t got;
	char p[9];

	(void)state;
	against(stalled, 1);
	s = open_stalled(&q, &r);
	asks = 3;
	assert_int_equal(az_http_read(s, p, sizeof p, &got, &err), AZ_ECANCELLED);
	assert_int_equal(err.code, AZ_ECANCELLED);
	az_http_close(s);
	az_http_resp_release(&r);

	/* also when something is there to be read */
	r = (struct az_http_resp){.status = 0};
	assert_int_equal(az_http_open(http, &q, &r, &s, &err), AZ_OK);
	asks = 1;
	assert_int_equal(az_http_read(s, p, 1, &got, &err), AZ_ECANCELLED);
	assert_int_equal(az_http_read(s, p, 1, &got, &err), AZ_ECANCELLED);
	assert_int_equal(got, 0);
	az_http_close(s);
	az_http_resp_release(&r);

	/* and before there is a reply */
	r = (struct az_http_resp){.status = 0};
	asks = 1;
	assert_int_equal(az_http_open(http, &q, &r, &s, &err), AZ_ECANCELLED);
	assert_null(s);
	az_http_resp_release(&r);
	http_peer_stop(peer);
}

static void
silence_counts_only_while_the_reader_waits(void **state)
{
	int asks = 0;
	struct az_http_req q = {
	    .method = "GET", .url = url, .cancelled = after_asks, .arg = &asks, .idle_ms = 60000};
	struct az_http_stream *s;
	struct az_http_resp r;
	size_t got;
	char p[9];

	(void)state;
	against(stalled, 1);
	s = open_stalled(&q, &r);
	/* the reader was away for hours: it still waits for the peer, here till it is told */
	((struct http_transfer *)s)->last_ms -= 10000000;
	asks = 3;
	assert_int_equal(az_http_read(s, p, sizeof p, &got, &err), AZ_ECANCELLED);
	az_http_close(s);
	az_http_resp_release(&r);

	q.idle_ms = 100;
	s = open_stalled(&q, &r);
	assert_int_equal(az_http_read(s, p, sizeof p, &got, &err), AZ_ETIMEOUT);
	az_http_close(s);
	az_http_resp_release(&r);
	http_peer_stop(peer);
}

static void
the_whole_has_a_limit_of_time(void **state)
{
	struct az_http_req q = {.method = "GET", .url = url, .total_ms = 60000};
	struct az_http_stream *s;
	struct az_http_resp r;
	size_t got;
	char p[9];

	(void)state;
	against(stalled, 1);
	s = open_stalled(&q, &r);
	((struct http_transfer *)s)->start_ms -= 60000;
	assert_int_equal(az_http_read(s, p, sizeof p, &got, &err), AZ_ETIMEOUT);
	assert_non_null(strstr(err.text, "not done in 60000 ms"));
	az_http_close(s);
	az_http_resp_release(&r);
	http_peer_stop(peer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(replies_that_end_early_fail_after_what_came),
	    T(a_reset_is_never_an_end),
	    T(requests_that_a_call_refuses_are_refused),
	    T(cancel_ends_a_read),
	    T(silence_counts_only_while_the_reader_waits),
	    T(the_whole_has_a_limit_of_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
