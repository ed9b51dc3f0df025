/* The HTTP client against a scripted server on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/addr.h>
#include <azlon/clock.h>
#include <azlon/http.h>
#include <azlon/log.h>
#include "http_peer.h"

static struct az_http *http;
static struct az_err err;

static int
setup(void **state)
{
	(void)state;
	err = (struct az_err)AZ_ERR_INIT;
	return az_http_new(&http, NULL) == AZ_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	az_http_free(http);
	return 0;
}

/* Start a peer, make q's call against path, stop the peer after. */
static struct http_peer *peer;
static char url[200];

static void
against(const struct http_peer_step *s, size_t n)
{
	peer = http_peer_start(s, n, NULL, NULL);
	http_peer_url(peer, "/a/b?c=secret", url, sizeof url);
}

/* What may_reach was asked, and what it says. */
struct reach {
	int asked;
	bool yes, loopback;
};

static bool
may_reach(void *arg, const struct sockaddr *to)
{
	struct reach *r = arg;

	r->asked++;
	r->loopback = az_addr_loopback(to) && !az_addr_public(to);
	return r->yes;
}

static void
an_address_is_looked_at_before_it_is_connected_to(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}};
	struct reach reach = {.yes = false};
	struct az_http_req q = {.method = "GET", .url = url}, plain = {.method = "GET", .url = url};
	struct az_http_resp r;

	(void)state;
	against(s, 3);
	/* a connection that somebody else left open is not taken either */
	r = (struct az_http_resp){0};
	assert_int_equal(az_http_call(http, &plain, &r, &err), AZ_OK);
	az_http_resp_release(&r);
	q.may_reach = may_reach;
	q.arg = &reach;
	for (int i = 0; i < 2; i++) {
		reach.yes = i == 1;
		r = (struct az_http_resp){0};
		assert_int_equal(az_http_call(http, &q, &r, &err), i ? AZ_OK : AZ_EUNAVAIL);
		az_http_resp_release(&r);
		assert_int_equal(reach.asked, i + 1);
		assert_true(reach.loopback);
	}
	http_peer_stop(peer);
}

static void
a_path_is_sent_as_it_is(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}};
	struct az_http_req q = {.method = "GET", .url = url};
	struct az_http_resp r = {.status = 0};

	(void)state;
	against(s, 1);
	http_peer_url(peer, "/a/../b//./%2e%2e/c?d", url, sizeof url);
	assert_int_equal(az_http_call(http, &q, &r, &err), AZ_OK);
	assert_non_null(
	    strstr(http_peer_request(peer, 0, NULL), "GET /a/../b//./%2e%2e/c?d HTTP/1.1\r\n"));
	az_http_resp_release(&r);
	http_peer_stop(peer);
}

static void
the_trace_of_the_thread_goes_out(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}};
	struct az_http_req q = {.method = "GET", .url = url};
	const char *sent;

	(void)state;
	against(s, 1);
	az_log_trace(AZ_S("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
	for (int i = 0; i < 2; i++) {
		struct az_http_resp r = {.status = 0};

		assert_int_equal(az_http_call(http, &q, &r, &err), AZ_OK);
		sent = strstr(http_peer_request(peer, i, NULL),
		    "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
		assert_true(i == 0 ? sent != NULL : sent == NULL);
		az_http_resp_release(&r);
		az_log_context(AZ_S(""), AZ_S(""));
	}
	http_peer_stop(peer);
}

static void
statuses_and_headers_arrive(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing:  A b \r\n"
		      "x-thing: second\r\n\r\nhello"},
	    {.bytes = "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
		      "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"},
	    {.bytes = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
		      "Content-Length: 0\r\n\r\n"},
	    {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		      "3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n",
		.drip = 3},
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
		      "Content-Length: 3\r\n\r\nraw"}};
	static const struct {
		int status;
		const char *body;
	} want[] = {{200, "hello"}, {404, "no"}, {302, ""}, {200, "abcde"}, {200, "raw"}};
	struct az_http_req q = {.method = "GET", .url = url};

	(void)state;
	against(s, 5);
	for (size_t i = 0; i < 5; i++) {
		struct az_http_resp r = {.status = 0};
		assert_int_equal(az_http_call(http, &q, &r, &err), AZ_OK);
		assert_int_equal(r.status, want[i].status);
		assert_true(az_str_eqc(az_buf_str(&r.body), want[i].body));
		if (i == 0)
			assert_true(az_str_eqc(az_http_header(&r, "x-thing"), "A b"));
		assert_null(az_http_header(&r, "x-early").p);
		assert_null(az_http_header(&r, "x-trailer").p);
		az_http_resp_release(&r);
	}
	/* one connection served all of them */
	assert_int_equal(http_peer_connections(peer), 1);
	http_peer_stop(peer);
}

static void
failures_have_their_codes(void **state)
{
	static const struct {
		struct http_peer_step s;
		enum az_code code;
	} t[] = {
	    {{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
		 .then = HTTP_THEN_CLOSE},
		AZ_EUPSTREAM},
	    {{.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		       "5\r\nhello\r\n",
		 .then = HTTP_THEN_CLOSE},
		AZ_EUPSTREAM},
	    {{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
		 .then = HTTP_THEN_RESET},
		AZ_EUPSTREAM},
	    {{.bytes = "HTTP/1.1 200 OK\r\nContent-Le", .then = HTTP_THEN_CLOSE}, AZ_EUPSTREAM},
	    {{.bytes = "SSH-2.0-x\r\n", .then = HTTP_THEN_CLOSE}, AZ_EUPSTREAM},
	    {{.bytes = "", .then = HTTP_THEN_CLOSE}, AZ_EUNAVAIL},
	    {{.bytes = "", .then = HTTP_THEN_RESET}, AZ_EUNAVAIL},
	};
	struct az_http_req q = {.method = "POST", .url = url, .body = AZ_S("x")};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct az_http_resp r = {.status = 0};
		against(&t[i].s, 1);
		assert_int_equal(az_http_call(http, &q, &r, &err), t[i].code);
		assert_int_equal(err.code, t[i].code);
		/* paths and queries may hold secrets */
		assert_null(strstr(err.text, "secret"));
		az_http_resp_release(&r);
		http_peer_stop(peer);
	}
}

static void
refused_is_unavailable(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	struct az_http_req q = {.method = "GET", .url = url};
	struct az_http_resp r = {.status = 0};
	socklen_t len = sizeof sa;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	/* bound but not listening: refused, and nobody else can take the port */
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(sa.sin_port));
	assert_int_equal(az_http_call(http, &q, &r, &err), AZ_EUNAVAIL);
	az_http_resp_release(&r);
	close(fd);
}

/* libcurl keeps a handle's buffer after a name that it did not find. */
static void
a_name_may_be_unknown_again_and_again(void **state)
{
	struct az_http_req q = {.method = "GET", .url = "http://no-such-host.invalid/"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct az_http_resp r = {.status = 0};
		assert_int_equal(az_http_call(http, &q, &r, &err), AZ_EUNAVAIL);
		az_http_resp_release(&r);
	}
}

static void
silence_times_out(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", .then = HTTP_THEN_STALL}};
	struct az_http_req q = {.method = "GET", .url = url, .idle_ms = 150};
	struct az_http_resp r = {.status = 0};
	int64_t t0 = az_boot_ms();

	(void)state;
	against(s, 1);
	assert_int_equal(az_http_call(http, &q, &r, &err), AZ_ETIMEOUT);
	assert_true(az_boot_ms() - t0 < 2000);
	assert_int_equal(r.status, 200);
	az_http_resp_release(&r);

	memset(&r, 0, sizeof r);
	q.idle_ms = 60000;
	q.total_ms = 150;
	t0 = az_boot_ms();
	assert_int_equal(az_http_call(http, &q, &r, &err), AZ_ETIMEOUT);
	assert_true(az_boot_ms() - t0 < 2000);
	az_http_resp_release(&r);
	http_peer_stop(peer);
}

static bool
after_some_time(void *arg)
{
	return az_boot_ms() > *(int64_t *)arg;
}

static void
cancel_ends_a_stalled_call_within_a_second(void **state)
{
	static const struct http_peer_step s[] = {{.bytes = "", .then = HTTP_THEN_STALL}};
	int64_t at = az_boot_ms() + 100;
	struct az_http_req q = {
	    .method = "GET", .url = url, .cancelled = after_some_time, .arg = &at};
	struct az_http_resp r = {.status = 0};

	(void)state;
	against(s, 1);
	assert_int_equal(az_http_call(http, &q, &r, &err), AZ_ECANCELLED);
	assert_true(az_boot_ms() - at < 1000);
	az_http_resp_release(&r);
	http_peer_stop(peer);
}

static const struct http_peer_step *
endless_headers(void *arg, const char *request, int i)
{
	static struct http_peer_step s = {.then = HTTP_THEN_CLOSE};
	char *big = *(char **)arg;

	(void)request;
	s.bytes = big;
	/* 0: a header line without end, 1: many small ones */
	strcpy(big, "HTTP/1.1 200 OK\r\n");
	if (i == 0) {
		strcat(big, "X: ");
		memset(big + strlen(big), 'y', 200000);
	} else {
		for (int k = 0; k < 300; k++)
			strcat(big, "A: b\r\n");
		strcat(big, "Content-Length: 0\r\n\r\n");
	}
	return &s;
}

static void
replies_have_caps(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"},
	    {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		      "6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"}};
	struct az_http_req q = {.method = "GET", .url = url, .max_bytes = 10};
	char *big = calloc(1, 300000);

	(void)state;
	against(s, 2);
	for (int i = 0; i < 2; i++) {
		struct az_http_resp r = {.status = 0};
		assert_int_equal(az_http_call(http, &q, &r, &err), AZ_ETOOBIG);
		az_http_resp_release(&r);
	}
	http_peer_stop(peer);

	peer = http_peer_start(NULL, 0, endless_headers, &big);
	http_peer_url(peer, "/", url, sizeof url);
	for (int i = 0; i < 2; i++) {
		struct az_http_resp r = {.status = 0};
		assert_int_equal(az_http_call(http, &q, &r, &err), AZ_ETOOBIG);
		az_http_resp_release(&r);
	}
	http_peer_stop(peer);
	free(big);
}

struct stream {
	size_t left, total, calls;
	int head_status;
	bool fail;
	char got[64];
	size_t got_n;
};

static enum az_code
feed(void *arg, char *p, size_t n, size_t *got, struct az_err *e)
{
	struct stream *s = arg;

	(void)e;
	*got = s->left < n ? s->left : n;
	memset(p, 'u', *got);
	s->left -= *got;
	return AZ_OK;
}

static enum az_code
take_head(void *arg, int status, struct az_err *e)
{
	struct stream *s = arg;

	(void)e;
	assert_int_equal(s->got_n, 0);
	s->head_status = status;
	s->calls++;
	return AZ_OK;
}

static enum az_code
take_data(void *arg, struct az_str c, struct az_err *e)
{
	struct stream *s = arg;

	if (s->fail)
		return az_fail(e, AZ_EIO, "test", "disk full");
	assert_true(s->got_n + c.n < sizeof s->got);
	memcpy(s->got + s->got_n, c.p, c.n);
	s->got_n += c.n;
	return AZ_OK;
}

static void
bodies_stream_up(void **state)
{
	static const struct http_peer_step s[] = {{.bytes = "HTTP/1.1 204 No Content\r\n\r\n"}};
	static const char *const headers[] = {
	    "X-Key: v", "Content-Type: application/octet-stream", NULL};
	const char *text;
	size_t n;

	(void)state;
	against(s, 1);
	for (int i = 0; i < 2; i++) {
		struct stream st = {.left = 300000};
		struct az_http_req q = {.method = i ? "POST" : "PUT",
		    .url = url,
		    .headers = headers,
		    .read = feed,
		    .body_bytes = i ? -1 : 300000,
		    .arg = &st};
		struct az_http_resp r = {.status = 0};

		assert_int_equal(az_http_call(http, &q, &r, &err), AZ_OK);
		assert_int_equal(r.status, 204);
		text = http_peer_request(peer, i, &n);
		assert_int_equal(n, 300000);
		assert_non_null(strstr(text,
		    i ? "POST /a/b?c=secret HTTP/1.1\r\n" : "PUT /a/b?c=secret HTTP/1.1\r\n"));
		assert_non_null(strstr(text, "X-Key: v\r\n"));
		assert_non_null(
		    strcasestr(text, i ? "transfer-encoding: chunked" : "content-length: 300000"));
		assert_null(strcasestr(text, "expect:"));
		az_http_resp_release(&r);
	}

	/* a source that ends early is our failure, not a hang */
	{
		struct stream st = {.left = 100};
		struct az_http_req q = {
		    .method = "PUT", .url = url, .read = feed, .body_bytes = 200, .arg = &st};
		struct az_http_resp r = {.status = 0};
		assert_int_equal(az_http_call(http, &q, &r, &err), AZ_EIO);
		az_http_resp_release(&r);
	}
	http_peer_stop(peer);
}

static void
replies_stream_down(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", .drip = 1},
	    {.bytes = "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nwrong"},
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"}};
	struct stream st = {.left = 0};
	struct az_http_req q = {
	    .method = "GET", .url = url, .head = take_head, .data = take_data, .arg = &st};
	struct az_http_resp r = {.status = 0};

	(void)state;
	against(s, 3);
	assert_int_equal(az_http_call(http, &q, &r, &err), AZ_OK);
	assert_int_equal(st.head_status, 200);
	assert_int_equal(st.calls, 1);
	assert_memory_equal(st.got, "hello world", 11);
	assert_int_equal(r.body.n, 0);
	az_http_resp_release(&r);

	memset(&r, 0, sizeof r);
	memset(&st, 0, sizeof st);
	assert_int_equal(az_http_call(http, &q, &r, &err), AZ_OK);
	assert_int_equal(st.head_status, 500);
	assert_int_equal(st.got_n, 0);
	assert_true(az_str_eqc(az_buf_str(&r.body), "wrong"));
	az_http_resp_release(&r);

	/* what the callback says is what the call says */
	memset(&r, 0, sizeof r);
	st = (struct stream){.fail = true};
	assert_int_equal(az_http_call(http, &q, &r, &err), AZ_EIO);
	assert_string_equal(err.text, "disk full");
	az_http_resp_release(&r);
	http_peer_stop(peer);
}

static void
requests_that_could_smuggle_are_refused(void **state)
{
	static const char *const bad_header[] = {"X: a\r\nY: b", NULL};
	static const struct {
		const char *url;
		const char *const *headers;
	} t[] = {{"ftp://127.0.0.1/", NULL}, {"http://u:p@127.0.0.1/", NULL},
	    {"http://127.0.0.1/a b", NULL}, {"http://127.0.0.1/\r\nX: y", NULL},
	    {"http:///x", NULL}, {"", NULL}, {"http://127.0.0.1:9/", bad_header}};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct az_http_req q = {.method = "GET", .url = t[i].url, .headers = t[i].headers};
		struct az_http_resp r = {.status = 0};
		assert_int_equal(az_http_call(http, &q, &r, &err), AZ_EINVAL);
		az_http_resp_release(&r);
	}
}

static struct az_http_resp
with(const char *header)
{
	struct az_http_resp r = {.status = 429};

	az_buf_init(&r.headers, 1000);
	az_buf_addc(&r.headers, header);
	return r;
}

static void
waits_grow_and_heed_retry_after(void **state)
{
	static const struct {
		const char *header;
		int64_t min, max;
	} t[] = {{"retry-after: 7\n", 7000, 7000}, {"retry-after: 1.5\n", 1500, 1500},
	    {"retry-after-ms: 250\nretry-after: 9\n", 250, 250},
	    {"retry-after: Wed, 21 Oct 2015 07:28:00 GMT\n", 0, 0},
	    {"retry-after: Fri, 21 Oct 2050 07:28:00 GMT\n", 86400000, 86400000},
	    {"retry-after: soon\n", 0, 0}, {"retry-after: -4\n", 0, 0},
	    {"retry-after: 99999999999999999999\n", 0, 86400000}, {"x: 1\n", 0, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct az_http_resp r = with(t[i].header);
		int64_t ms = az_http_retry_after_ms(&r);
		assert_true(ms >= t[i].min && ms <= t[i].max);
		az_http_resp_release(&r);
	}
	for (int n = 1; n < 40; n++) {
		int64_t full = n < 8 ? (int64_t)100 << (n - 1) : 10000;
		int64_t ms = az_backoff_ms(n, 100, 10000, 0);
		if (full > 10000)
			full = 10000;
		assert_true(ms <= full && ms >= full - full / 4);
	}
	assert_int_equal(az_backoff_ms(1, 100, 10000, 77777), 77777);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_path_is_sent_as_it_is),
	    T(the_trace_of_the_thread_goes_out),
	    T(an_address_is_looked_at_before_it_is_connected_to),
	    T(statuses_and_headers_arrive),
	    T(failures_have_their_codes),
	    T(refused_is_unavailable),
	    T(a_name_may_be_unknown_again_and_again),
	    T(silence_times_out),
	    T(cancel_ends_a_stalled_call_within_a_second),
	    T(replies_have_caps),
	    T(bodies_stream_up),
	    T(replies_stream_down),
	    T(requests_that_could_smuggle_are_refused),
	    T(waits_grow_and_heed_retry_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
