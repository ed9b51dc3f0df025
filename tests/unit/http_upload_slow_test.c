/*
 * A body in memory against a peer that takes its time. The peer is in the thread of the
 * transfer, and time passes when the test says so: nothing depends on how busy the host is.
 */
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
#include <azlon/limits.h>
#include "http/http_room.h"

#define BODY_BYTES AZ_MIB(8)
#define IDLE_MS 60000
#define PAUSE_MS 20000       /* of the peer before it reads on */
#define HELD_BYTES AZ_MIB(1) /* sent as we see it, and not taken yet */

static struct az_http *http;
static struct az_err err;
static int listen_fd;
static char url[64];
static char *body;

static int
setup(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof sa;
	int window = 65536;

	(void)state;
	err = (struct az_err)AZ_ERR_INIT;
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* what was not read waits on the sender's side */
	if (setsockopt(listen_fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window) ||
	    bind(listen_fd, (struct sockaddr *)&sa, sizeof sa) || listen(listen_fd, 1) ||
	    getsockname(listen_fd, (struct sockaddr *)&sa, &len))
		return -1;
	snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(sa.sin_port));
	body = calloc(1, BODY_BYTES);
	return body && az_http_new(&http, NULL) == AZ_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	az_http_free(http);
	free(body);
	close(listen_fd);
	return 0;
}

/* What is there now; the head is counted too. */
static size_t
take(int fd)
{
	static char p[65536];
	size_t n = 0;
	ssize_t r;

	while ((r = recv(fd, p, sizeof p, MSG_DONTWAIT)) > 0)
		n += (size_t)r;
	return n;
}

/* It reads what there is whenever nothing more goes out, after a pause shorter than the limit. */
static void
a_body_that_goes_out_slowly_arrives(void **state)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	struct az_http_req q = {
	    .method = "PUT", .url = url, .body = az_str_n(body, BODY_BYTES), .idle_ms = IDLE_MS};
	struct az_http_resp r = {.status = 0};
	struct http_transfer t = {.q = &q, .r = &r, .err = &err};
	enum az_code rc = http_transfer_begin(&t, http);
	size_t taken = 0, got, left = 0;
	curl_off_t seen = 0;
	int pauses = 0, fd = -1;

	(void)state;
	while (rc == AZ_OK && (rc = http_transfer_perform(&t)) == AZ_OK && !t.ended) {
		if (t.sent != seen) {
			seen = t.sent;
			if (t.sent == (curl_off_t)BODY_BYTES)
				left = BODY_BYTES - taken;
		} else if (t.sent) {
			if (fd < 0)
				fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
			taken += got = take(fd);
			if (left && taken > BODY_BYTES)
				assert_true(send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) > 0);
			else if (!left && got) {
				t.last_ms -= PAUSE_MS;
				pauses++;
			}
		}
		t.wait_ms = 10; /* for more room: it comes at once or not at all */
		http_transfer_wait(&t);
	}
	if (rc)
		fail_msg("%s after %zu bytes", err.text, taken);
	assert_int_equal(r.status, 200);
	assert_true(taken > BODY_BYTES);
	assert_true(pauses * PAUSE_MS > 3 * IDLE_MS);
	/* the rest goes unseen: a peer that is slow with it must not look silent */
	assert_in_range(left, 1, HELD_BYTES);
	http_transfer_end(&t);
	az_http_resp_release(&r);
	close(fd);
}

static void
a_peer_that_takes_nothing_is_silent(void **state)
{
	struct az_http_req q = {
	    .method = "PUT", .url = url, .body = az_str_n(body, BODY_BYTES), .idle_ms = 100};
	struct az_http_resp r = {.status = 0};

	(void)state;
	assert_int_equal(az_http_call(http, &q, &r, &err), AZ_ETIMEOUT);
	assert_int_equal(r.status, 0);
	az_http_resp_release(&r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_body_that_goes_out_slowly_arrives),
	    T(a_peer_that_takes_nothing_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
