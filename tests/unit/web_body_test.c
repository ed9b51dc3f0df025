/* Bodies that are read while they are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <cmocka.h>
#include "web_fixture.h"

/* Each piece back as it comes, "." for a look that found nothing; "stop" ends it early. */
static enum az_code
trickle(struct az_rq *rq, void *app, struct az_err *err)
{
	bool stop = false;
	char p[64];
	size_t got;
	enum az_code rc;

	(void)app;
	while (!stop) {
		struct az_str s = AZ_S(".");

		rc = az_rq_read_some(rq, p, sizeof p, 20, &got, err);
		if (rc == AZ_OK && !got)
			break;
		if (rc != AZ_OK && rc != AZ_ETIMEOUT)
			return rc;
		if (rc == AZ_OK)
			s = az_str_n(p, got);
		stop = az_str_eqc(s, "stop");
		if ((rc = az_rs_write(rq, s, err)) || (rc = az_rs_flush(rq, err)))
			return rc;
	}
	return az_rs_write(rq, AZ_S("!"), err);
}

static const struct az_route routes[] = {{"POST", "/trickle", trickle}, {NULL, NULL, NULL}};
static struct web_fixture web;

static int
setup(void **state)
{
	(void)state;
	web.w.threads = 2;
	return web_fixture_start(&web, routes, NULL) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	web_fixture_stop(&web);
	return web.rc == AZ_OK ? 0 : -1;
}

static int
begin(const char *body, long length)
{
	struct fcgi_req q = {.method = "POST",
	    .path = "/trickle",
	    .body = body,
	    .body_n = strlen(body),
	    .content_length = length};
	int fd = fcgi_peer_connect(web.path);

	assert_true(fd >= 0 && fcgi_peer_send(fd, &q, false));
	return fd;
}

static void
pieces_come_as_they_are_sent(void **state)
{
	struct fcgi_resp r = {0};
	int fd = begin("one", -1);

	(void)state;
	/* silence behind a piece: it goes on after it, also behind the padding of a record */
	assert_true(fcgi_peer_read_until(fd, &r, "one."));
	assert_true(fcgi_peer_stdin(fd, "three", 5));
	assert_true(fcgi_peer_read_until(fd, &r, "three."));
	assert_true(fcgi_peer_stdin(fd, "sixteen of them.", 16));
	assert_true(fcgi_peer_stdin(fd, "x", 1));
	assert_true(fcgi_peer_stdin(fd, NULL, 0));
	assert_true(fcgi_peer_read(fd, &r));
	assert_non_null(strstr(r.body, "sixteen of them."));
	assert_non_null(strstr(r.body, "x!"));
	assert_false(r.junk);
	close(fd);
	fcgi_peer_release(&r);
}

static void
an_answer_need_not_wait_for_the_end(void **state)
{
	struct fcgi_resp r = {0};
	int fd = begin("stop", -1);

	(void)state;
	assert_true(fcgi_peer_read(fd, &r));
	assert_non_null(strstr(r.body, "stop!"));
	close(fd);
	fcgi_peer_release(&r);
}

static void
a_body_that_is_cut_is_no_body(void **state)
{
	struct fcgi_resp r = {0};
	int fd = begin("half", 8);

	(void)state;
	assert_true(fcgi_peer_stdin(fd, NULL, 0));
	assert_false(fcgi_peer_read(fd, &r));
	assert_true(r.junk);
	close(fd);
	fcgi_peer_release(&r);
	/* also when the connection ends instead */
	memset(&r, 0, sizeof r);
	fd = begin("half", -1);
	shutdown(fd, SHUT_WR);
	assert_false(fcgi_peer_read(fd, &r));
	assert_true(r.junk);
	close(fd);
	fcgi_peer_release(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pieces_come_as_they_are_sent),
	    cmocka_unit_test(an_answer_need_not_wait_for_the_end),
	    cmocka_unit_test(a_body_that_is_cut_is_no_body),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
