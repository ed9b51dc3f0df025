/* The service under many clients, slow ones, and a stop: with real threads, over a unix socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <cmocka.h>
#include "skip.h"
#include "web_fixture.h"

/* gates that hold handlers until the test says so */
static sem_t entered, gate;

static enum az_code
quick(struct az_rq *rq, void *app, struct az_err *err)
{
	(void)app;
	return az_rs_text(rq, 200, AZ_S("quick"), err);
}

static enum az_code
hold(struct az_rq *rq, void *app, struct az_err *err)
{
	(void)app;
	sem_post(&entered);
	while (sem_wait(&gate) != 0)
		;
	return az_rs_text(rq, 200, AZ_S("held"), err);
}

static enum az_code
events(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	(void)app;
	az_buf_init(&b, 1000);
	if ((rc = az_sse_open(rq, err)) ||
	    (rc = az_sse_frame(&b, 7, AZ_S("check"), AZ_S("{\"seq\":7}"), err)) ||
	    (rc = az_sse_frame(&b, -1, AZ_S("progress"), AZ_S("{}"), err)) ||
	    (rc = az_rs_write(rq, az_buf_str(&b), err)) || (rc = az_sse_ping(rq, err))) {
		az_buf_release(&b);
		return rc;
	}
	az_buf_release(&b);
	while (sem_wait(&gate) != 0)
		;
	/* the reader has left meanwhile */
	while (az_rq_connected(rq))
		sched_yield();
	sem_post(&entered);
	return AZ_OK;
}

static const struct az_route routes[] = {{"GET", "/quick", quick}, {"GET", "/hold", hold},
    {"GET", "/events", events}, {NULL, NULL, NULL}};

static struct web_fixture fix;

static int
setup(void **state)
{
	(void)state;
	sem_init(&entered, 0, 0);
	sem_init(&gate, 0, 0);
	memset(&fix, 0, sizeof fix);
	return web_fixture_start(&fix, routes, NULL) ? 0 : -1;
}

static int
setup_short(void **state)
{
	(void)state;
	sem_init(&entered, 0, 0);
	sem_init(&gate, 0, 0);
	memset(&fix, 0, sizeof fix);
	fix.w.short_reads = true;
	return web_fixture_start(&fix, routes, NULL) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	web_fixture_stop(&fix);
	sem_destroy(&entered);
	sem_destroy(&gate);
	return fix.rc == AZ_OK ? 0 : -1;
}

static void
call_quick(void)
{
	struct fcgi_req q = {.path = "/quick"};
	struct fcgi_resp r;

	assert_true(fcgi_peer_call(fix.path, &q, &r));
	assert_int_equal(r.status, 200);
	assert_false(r.on_stderr);
	fcgi_peer_release(&r);
}

static void
event_frames_leave_at_once_and_notice_a_reader_that_left(void **state)
{
	struct fcgi_req q = {.path = "/events"};
	struct fcgi_resp r = {.status = 0};
	int fd = fcgi_peer_connect(fix.path);
	char h[100];

	(void)state;
	assert_true(fcgi_peer_send(fd, &q, true));
	assert_true(fcgi_peer_read_until(fd, &r, ": ping\n\n"));
	assert_string_equal(r.body, "id: 7\nevent: check\ndata: {\"seq\":7}\n\n"
				    "event: progress\ndata: {}\n\n: ping\n\n");
	assert_string_equal(fcgi_peer_header(&r, "X-Accel-Buffering", h, sizeof h), "no");
	assert_string_equal(fcgi_peer_header(&r, "Content-Type", h, sizeof h), "text/event-stream");
	assert_false(r.ended);
	close(fd);
	sem_post(&gate);
	while (sem_wait(&entered) != 0)
		;
	fcgi_peer_release(&r);
}

#define MANY 64

static void
sixty_four_requests_are_in_hand_together(void **state)
{
	struct fcgi_req q = {.path = "/hold"};
	struct fcgi_resp r;
	int fd[MANY];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		fd[i] = fcgi_peer_connect(fix.path);
		assert_true(fd[i] >= 0);
		assert_true(fcgi_peer_send(fd[i], &q, true));
	}
	/* every one of them is inside its handler at the same moment */
	for (int i = 0; i < MANY; i++)
		while (sem_wait(&entered) != 0)
			;
	for (int i = 0; i < MANY; i++)
		sem_post(&gate);
	for (int i = 0; i < MANY; i++) {
		memset(&r, 0, sizeof r);
		assert_true(fcgi_peer_read(fd[i], &r));
		assert_string_equal(r.body, "held");
		fcgi_peer_release(&r);
		close(fd[i]);
	}
}

static void
a_slow_handler_does_not_hold_up_others(void **state)
{
	struct fcgi_req q = {.path = "/hold"};
	struct fcgi_resp r = {.status = 0};
	int fd = fcgi_peer_connect(fix.path);

	(void)state;
	assert_true(fcgi_peer_send(fd, &q, true));
	while (sem_wait(&entered) != 0)
		;
	for (int i = 0; i < 50; i++)
		call_quick();
	sem_post(&gate);
	assert_true(fcgi_peer_read(fd, &r));
	fcgi_peer_release(&r);
	close(fd);
}

/* A peer that sends half of its parameters and stays: whoever accepted it cannot go on. */
static void
a_stalled_peer_does_not_hold_up_others(void **state)
{
	static const unsigned char half[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 4};
	int fd = fcgi_peer_connect(fix.path);

	(void)state;
	assert_int_equal(write(fd, half, sizeof half), sizeof half);
	for (int i = 0; i < 20; i++)
		call_quick();
	close(fd);
	/* it served nobody, its thread does again */
	sixty_four_requests_are_in_hand_together(state);
}

#define CROWD 8

static void *
crowd_main(void *arg)
{
	struct fcgi_req q = {.path = "/quick"};
	int *bad = arg;

	for (int i = 0; i < 200; i++) {
		struct fcgi_resp r = {.status = 0};
		if (!fcgi_peer_call(fix.path, &q, &r) || r.status != 200 || !r.ended)
			++*bad;
		fcgi_peer_release(&r);
	}
	return NULL;
}

static void
a_crowd_of_short_requests_is_served(void **state)
{
	struct fcgi_req q = {.path = "/hold"};
	struct fcgi_resp r = {.status = 0};
	int bad[CROWD] = {0}, fd = fcgi_peer_connect(fix.path);
	pthread_t t[CROWD];

	(void)state;
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(pthread_create(&t[i], NULL, crowd_main, &bad[i]), 0);
	/* in the middle of it one that holds its thread to the end */
	assert_true(fcgi_peer_send(fd, &q, true));
	for (int i = 0; i < CROWD; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(bad[i], 0);
	}
	while (sem_wait(&entered) != 0)
		;
	sem_post(&gate);
	assert_true(fcgi_peer_read(fd, &r));
	assert_string_equal(r.body, "held");
	fcgi_peer_release(&r);
	close(fd);
}

#define HIGH 1100

/* As when a thousand streams are open: what select() cannot take. */
static void
descriptors_over_1023_are_served_and_closed(void **state)
{
	static const unsigned char half[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 4};
	struct fcgi_req unread = {
	    .method = "GET", .path = "/quick", .body = "unread", .body_n = 6, .content_length = 9};
	struct rlimit was, more;
	int held[HIGH], fd;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	more = was;
	if (more.rlim_cur < 2 * HIGH)
		more.rlim_cur = was.rlim_max < 2 * HIGH ? was.rlim_max : 2 * HIGH;
	if (more.rlim_cur < HIGH + 50 || setrlimit(RLIMIT_NOFILE, &more) != 0)
		SKIP("this host allows too few descriptors");
	for (int i = 0; i < HIGH; i++)
		assert_true((held[i] = dup(fix.w.listen_fd)) >= 0);
	call_quick();
	/* gone before there was a request, in the middle of one, and before its body was read */
	for (int i = 0; i < 3; i++) {
		fd = fcgi_peer_connect(fix.path);
		assert_true(fd > 1023);
		if (i == 1)
			assert_int_equal(write(fd, half, sizeof half), sizeof half);
		if (i == 2)
			assert_true(fcgi_peer_send(fd, &unread, false));
		close(fd);
		call_quick();
	}
	sixty_four_requests_are_in_hand_together(state);
	for (int i = 0; i < HIGH; i++)
		close(held[i]);
	(void)setrlimit(RLIMIT_NOFILE, &was);
}

static void
a_stop_finishes_the_request_in_hand(void **state)
{
	struct fcgi_req q = {.path = "/hold"};
	struct fcgi_resp r = {.status = 0};
	int fd = fcgi_peer_connect(fix.path);

	(void)state;
	assert_true(fcgi_peer_send(fd, &q, true));
	while (sem_wait(&entered) != 0)
		;
	kill(getpid(), SIGTERM);
	sem_post(&gate);
	assert_true(fcgi_peer_read(fd, &r));
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "held");
	fcgi_peer_release(&r);
	close(fd);
}

/* A handler that only ends when its client is gone is cut off after the drain. */
static void
a_stop_cuts_what_does_not_end(void **state)
{
	struct fcgi_req q = {.path = "/events"};
	struct fcgi_resp r = {.status = 0};
	struct web_fixture f;
	int fd;

	(void)state;
	sem_init(&entered, 0, 0);
	sem_init(&gate, 0, 0);
	memset(&f, 0, sizeof f);
	f.w.drain_ms = 50;
	assert_true(web_fixture_start(&f, routes, NULL));
	fd = fcgi_peer_connect(f.path);
	assert_true(fcgi_peer_send(fd, &q, true));
	assert_true(fcgi_peer_read_until(fd, &r, ": ping"));
	sem_post(&gate);
	web_fixture_stop(&f);
	assert_int_equal(f.rc, AZ_OK);
	fcgi_peer_read(fd, &r);
	assert_false(r.ended);
	fcgi_peer_release(&r);
	close(fd);
}

/* ---- how it ends ---- */

static sem_t told;

static void
on_stopping(void *app)
{
	(void)app;
	sem_post(&told);
}

/* One thread, which holds a request; *fd is its client. */
static void
one_in_hand(struct web_fixture *f, int *fd)
{
	struct fcgi_req q = {.path = "/hold"};

	sem_init(&entered, 0, 0);
	sem_init(&gate, 0, 0);
	sem_init(&told, 0, 0);
	memset(f, 0, sizeof *f);
	f->w.threads = 1;
	f->w.drain_ms = 1;
	f->w.stopping = on_stopping;
	assert_true(web_fixture_start(f, routes, NULL));
	*fd = fcgi_peer_connect(f->path);
	assert_true(fcgi_peer_send(*fd, &q, true));
	while (sem_wait(&entered) != 0)
		;
}

static void
stop_by(int sig)
{
	kill(getpid(), sig);
	while (sem_wait(&told) != 0)
		;
}

static void
answered(int fd, const char *body)
{
	struct fcgi_resp r = {.status = 0};

	assert_true(fcgi_peer_read(fd, &r));
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, body);
	fcgi_peer_release(&r);
	close(fd);
}

static void
who_had_connected_before_a_stop_is_served(void **state)
{
	struct fcgi_req q = {.path = "/quick"};
	struct web_fixture f;
	int fd, later;

	(void)state;
	one_in_hand(&f, &fd);
	later = fcgi_peer_connect(f.path);
	assert_true(fcgi_peer_send(later, &q, true));
	stop_by(SIGQUIT);
	sem_post(&gate);
	answered(fd, "held");
	answered(later, "quick");
	web_fixture_stop(&f);
	assert_int_equal(f.rc, AZ_OK);
}

static void
a_patient_stop_does_not_cut(void **state)
{
	struct pollfd p = {.events = POLLIN};
	struct web_fixture f;

	(void)state;
	one_in_hand(&f, &p.fd);
	stop_by(SIGQUIT);
	/* the drain, of 1 ms, has gone by many times */
	assert_int_equal(poll(&p, 1, 200), 0);
	sem_post(&gate);
	answered(p.fd, "held");
	web_fixture_stop(&f);
	assert_int_equal(f.rc, AZ_OK);
}

static void
a_second_signal_ends_the_patience(void **state)
{
	struct fcgi_resp r = {.status = 0};
	struct web_fixture f;
	int fd;

	(void)state;
	one_in_hand(&f, &fd);
	stop_by(SIGQUIT);
	kill(getpid(), SIGTERM);
	fcgi_peer_read(fd, &r); /* until it is cut */
	assert_false(r.ended);
	sem_post(&gate);
	pthread_join(f.thread, NULL);
	assert_int_equal(f.rc, AZ_OK);
	fcgi_peer_unlisten(f.w.listen_fd, f.dir, f.path);
	fcgi_peer_release(&r);
	close(fd);
}

/* As systemd does when it starts another process on the same socket. */
static void
a_stop_comes_through_though_another_made_accept_wait(void **state)
{
	struct fcgi_req q = {.path = "/quick"};
	struct web_fixture f;
	int fd, flags;

	(void)state;
	one_in_hand(&f, &fd);
	flags = fcntl(f.w.listen_fd, F_GETFL);
	assert_true(flags & O_NONBLOCK);
	assert_int_equal(fcntl(f.w.listen_fd, F_SETFL, flags & ~O_NONBLOCK), 0);
	sem_post(&gate);
	answered(fd, "held");
	fd = fcgi_peer_connect(f.path);
	assert_true(fcgi_peer_send(fd, &q, true));
	answered(fd, "quick");
	web_fixture_stop(&f);
	assert_int_equal(f.rc, AZ_OK);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
/* the same where the lead is carried through short requests */
#define S(f)                                                                                       \
	{                                                                                          \
#f " (short reads)", f, setup_short, teardown, NULL                                \
	}
	const struct CMUnitTest tests[] = {
	    T(event_frames_leave_at_once_and_notice_a_reader_that_left),
	    T(sixty_four_requests_are_in_hand_together),
	    T(a_slow_handler_does_not_hold_up_others),
	    T(descriptors_over_1023_are_served_and_closed),
	    T(a_stop_finishes_the_request_in_hand),
	    S(sixty_four_requests_are_in_hand_together),
	    S(a_slow_handler_does_not_hold_up_others),
	    S(a_stalled_peer_does_not_hold_up_others),
	    S(a_crowd_of_short_requests_is_served),
	    S(a_stop_finishes_the_request_in_hand),
	    cmocka_unit_test(a_stop_cuts_what_does_not_end),
	    cmocka_unit_test(who_had_connected_before_a_stop_is_served),
	    cmocka_unit_test(a_patient_stop_does_not_cut),
	    cmocka_unit_test(a_second_signal_ends_the_patience),
	    cmocka_unit_test(a_stop_comes_through_though_another_made_accept_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
