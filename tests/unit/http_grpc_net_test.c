/* gRPC calls against a scripted server on loopback: servers of the wrong kind, TLS, time,
   cancel, tries, threads. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "http_grpc_fixture.h"
#include "http_peer.h"

/* ---- peers that are none ---- */

static void
a_server_of_another_kind_is_told_from_one_that_is_away(void **state)
{
	static const struct http_peer_step web[] = {
	    {.bytes = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
		.then = HTTP_THEN_CLOSE}};
	static const struct http_peer_step mute[] = {{.bytes = "", .then = HTTP_THEN_CLOSE}};
	static const struct http_peer_step *const steps[] = {web, mute};
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof sa;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	for (size_t i = 0; i < N(steps); i++) {
		struct http_peer *p = http_peer_start(steps[i], 1, NULL, NULL);

		client = client_of(http_peer_port(p), NULL);
		assert_int_equal(do_call(), AZ_EUNAVAIL);
		assert_int_equal(st.code, AZ_GRPC_UNAVAILABLE);
		assert_non_null(strstr(err.text, "gave no answer; is it a gRPC server"));
		az_grpc_free(client);
		http_peer_stop(p);
	}
	/* bound but not listening: refused, and nobody else can take the port */
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	client = client_of(ntohs(sa.sin_port), NULL);
	assert_int_equal(do_call(), AZ_EUNAVAIL);
	assert_non_null(strstr(err.text, "no gRPC server at 127.0.0.1:"));
	assert_non_null(strstr(err.text, "Connection refused"));
	az_grpc_free(client);
	close(fd);
}

static void
tls_needs_a_trusted_server_that_speaks_h2(void **state)
{
	static const char page[] =
	    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi";
	static const char old[] = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n"
				  "Content-Length: 0\r\n\r\n";
	const char *ca = NULL, *other_ca = NULL;
	struct h2_peer *other;

	(void)state;
	peer = h2_peer_start(plain_only, 1, &ca);
	client = client_of(h2_peer_port(peer), ca);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(do_call(), AZ_OK);
		assert_true(az_str_eqc(az_buf_str(&reply), "answer"));
	}
	/* one connection for all, while it is young also for long polls */
	call.fresh = true;
	assert_int_equal(do_call(), AZ_OK);
	call.fresh = false;
	assert_int_equal(h2_peer_connections(peer), 1);
	assert_non_null(strstr(h2_peer_head(peer, 0), ":scheme: https\n"));
	az_grpc_free(client);

	/* TLS expected by the server alone */
	client = client_of(h2_peer_port(peer), NULL);
	assert_int_equal(do_call(), AZ_EUNAVAIL);
	assert_non_null(strstr(err.text, "is it a gRPC server, without TLS?"));
	az_grpc_free(client);

	/* a stranger's certificate: final, even for a poll */
	other = h2_peer_start_h1(page, &other_ca);
	client = client_of(h2_peer_port(peer), other_ca);
	call.retry = AZ_GRPC_POLL;
	assert_int_equal(do_call(), AZ_EUNAVAIL);
	assert_non_null(strstr(err.text, "not trusted"));
	az_grpc_free(client);
	client = client_of(h2_peer_port(peer), "/nonexistent/ca.pem");
	assert_int_equal(do_call(), AZ_EUNAVAIL);
	assert_non_null(strstr(err.text, "cannot be verified"));
	stop();

	call.retry = AZ_GRPC_ONCE;
	client = client_of(h2_peer_port(other), other_ca);
	assert_int_equal(do_call(), AZ_EUPSTREAM);
	assert_non_null(strstr(err.text, "a web page answered, HTTP 200"));
	az_grpc_free(client);
	h2_peer_stop(other);
	peer = h2_peer_start_h1(old, &ca);
	client = client_of(h2_peer_port(peer), ca);
	assert_int_equal(do_call(), AZ_EUNAVAIL);
	assert_non_null(strstr(err.text, "without HTTP/2"));
	stop();

	/* TLS expected by the client alone */
	peer = h2_peer_start(plain_only, 1, NULL);
	client = client_of(h2_peer_port(peer), "/nonexistent/ca.pem");
	free(client->ca_file);
	client->ca_file = NULL;
	assert_int_equal(do_call(), AZ_EUNAVAIL);
	assert_non_null(strstr(err.text, "is it a port without TLS?"));
	stop();
}

static void
in_the_clear_a_connection_is_used_again(void **state)
{
	static const struct h2_act no[] = {
	    {H2_TAIL, ":status 200\ncontent-type application/grpc\ngrpc-status 5\n", 0}, {0}};
	static const struct h2_act cut[] = {H2_OK_HEAD, {H2_CLOSE, NULL, 0}};
	static const struct h2_act bye[] = {H2_OK_HEAD, {H2_MSG, "answer", 0}, H2_OK_TAIL,
	    {H2_GOAWAY, NULL, 0}, {H2_CLOSE, NULL, 0}};
	static const struct h2_act lost[] = {H2_OK_HEAD, {H2_GOAWAY, NULL, 0},
	    {H2_MSG, "answer", 0}, {H2_END, NULL, 0}, {H2_CLOSE, NULL, 0}};
	static const struct h2_act *const scripts[] = {
	    plain, plain, no, plain, cut, plain, bye, plain, lost, plain};
	static const struct {
		bool fresh;
		enum az_code rc;
		int connections;
	} want[N(scripts)] = {
	    {false, AZ_OK, 1},
	    {true, AZ_OK, 1},
	    {false, AZ_ENOTFOUND, 1},
	    {false, AZ_OK, 1},
	    /* what broke or said goodbye is not used again, and nothing is sent over it */
	    {false, AZ_EUNAVAIL, 1},
	    {false, AZ_OK, 2},
	    {true, AZ_OK, 2},
	    {true, AZ_OK, 3},
	    {false, AZ_OK, 3},
	    {false, AZ_OK, 4},
	};

	(void)state;
	start(scripts, N(scripts));
	for (size_t i = 0; i < N(want); i++) {
		call.fresh = want[i].fresh;
		assert_int_equal(do_call(), want[i].rc);
		assert_int_equal(h2_peer_connections(peer), want[i].connections);
		assert_int_equal(h2_peer_requests(peer), i + 1);
	}
	assert_non_null(strstr(h2_peer_head(peer, 1), ":scheme: http\n"));
	assert_non_null(strstr(h2_peer_head(peer, 1), "te: trailers\n"));
	stop();
}

/* ---- time ---- */

static void
silence_ends_at_the_deadline(void **state)
{
	static const struct h2_act silent[] = {{H2_STALL, NULL, 0}};
	static const struct h2_act half[] = {
	    H2_OK_HEAD, {H2_MSG, "answer", 0}, {H2_STALL, NULL, 0}};
	static const struct h2_act late[] = {
	    {H2_TAIL,
		":status 200\ncontent-type application/grpc\ngrpc-status 4\n"
		"grpc-message context deadline exceeded\n",
		0},
	    {0}};
	static const struct h2_act *const scripts[] = {silent, half, late};

	(void)state;
	start(scripts, N(scripts));
	for (size_t i = 0; i < N(scripts); i++) {
		call.deadline_ms = 50;
		assert_int_equal(do_call(), AZ_ETIMEOUT);
		assert_int_equal(st.code, AZ_GRPC_DEADLINE_EXCEEDED);
	}
	stop();
}

static bool
when_asked(void *arg)
{
	(void)arg;
	return h2_peer_requests(peer) > 0;
}

static bool
at_once(void *arg)
{
	(void)arg;
	return true;
}

static void
cancel_ends_a_long_poll(void **state)
{
	static const struct h2_act silent[] = {{H2_STALL, NULL, 0}};
	static const struct h2_act *const scripts[] = {silent};

	(void)state;
	start(scripts, 1);
	call.retry = AZ_GRPC_POLL;
	call.fresh = true;
	call.deadline_ms = 70000;
	call.cancelled = when_asked;
	assert_int_equal(do_call(), AZ_ECANCELLED);
	assert_int_equal(st.code, AZ_GRPC_CANCELLED);
	assert_int_equal(h2_peer_requests(peer), 1);
	call.cancelled = at_once;
	assert_int_equal(do_call(), AZ_ECANCELLED);
	assert_int_equal(h2_peer_requests(peer), 1);
	stop();
}

struct seen {
	int n;
	enum az_code last;
	int64_t next_ms;
};

static void
see(void *arg, const struct az_err *e, int64_t next_ms)
{
	struct seen *s = arg;

	s->n++;
	s->last = e->code;
	s->next_ms = next_ms;
}

static bool
after_first_failure(void *arg)
{
	return ((struct seen *)arg)->n > 0;
}

static const struct h2_act away[] = {
    {H2_TAIL,
	":status 200\ncontent-type application/grpc\ngrpc-status 14\n"
	"grpc-message shutting down\ngrpc-status-details-bin CAUSA2FiYw\n",
	0},
    {0}};

static void
cancel_ends_a_wait_between_tries(void **state)
{
	static const struct h2_act *const scripts[] = {away};
	struct seen seen = {0};

	(void)state;
	start(scripts, 1);
	client->haste = 1;
	call.retry = AZ_GRPC_NORMAL;
	call.cancelled = after_first_failure;
	call.failing = see;
	call.arg = &seen;
	assert_int_equal(do_call(), AZ_ECANCELLED);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.last, AZ_EUNAVAIL);
	assert_in_range((uintmax_t)seen.next_ms, 80, 120);
	stop();
}

static void
a_failure_that_passes_is_tried_again(void **state)
{
	static const struct h2_act gone[] = {{H2_CLOSE, NULL, 0}};
	static const struct h2_act *const scripts[] = {away, gone, away, plain};
	struct seen seen = {0};

	(void)state;
	start(scripts, N(scripts));
	call.retry = AZ_GRPC_NORMAL;
	call.total_ms = 1000000;
	call.failing = see;
	call.arg = &seen;
	assert_int_equal(do_call(), AZ_OK);
	assert_true(az_str_eqc(az_buf_str(&reply), "answer"));
	assert_int_equal(seen.n, 3);
	/* nothing of the failed tries is left */
	assert_string_equal(st.message, "");
	assert_int_equal(st.details.n, 0);
	stop();
}

static void
tries_have_an_end(void **state)
{
	static const struct h2_act *const scripts[] = {away};
	struct seen seen = {0};

	(void)state;
	start(scripts, 1);
	call.failing = see;
	call.arg = &seen;
	assert_int_equal(do_call(), AZ_EUNAVAIL);
	assert_int_equal(h2_peer_requests(peer), 1);
	assert_int_equal(seen.n, 0);
	call.retry = AZ_GRPC_NORMAL;
	assert_int_equal(do_call(), AZ_EUNAVAIL);
	assert_int_equal(h2_peer_requests(peer), 11);
	assert_int_equal(seen.n, 9);
	assert_string_equal(st.message, "shutting down");
	assert_int_equal(st.details.n, 7);
	stop();
}

static void
the_last_try_has_what_is_left_of_the_time(void **state)
{
	static const struct h2_act mute[] = {{H2_STALL, NULL, 0}};
	static const struct h2_act *const scripts[] = {away, mute};
	const char *timeout;

	(void)state;
	start(scripts, N(scripts));
	call.retry = AZ_GRPC_NORMAL;
	call.deadline_ms = 30000;
	call.total_ms = 1500;
	assert_int_equal(do_call(), AZ_ETIMEOUT);
	assert_int_equal(h2_peer_requests(peer), 2);
	timeout = strstr(h2_peer_head(peer, 1), "grpc-timeout: ");
	assert_non_null(timeout);
	assert_in_range(strtol(timeout + 14, NULL, 10), 1000, 1500);
	stop();
}

/* ---- threads ---- */

static void *
twenty_calls(void *arg)
{
	intptr_t good = 0;

	(void)arg;
	for (int i = 0; i < 20; i++) {
		struct az_buf r = {.n = 0};

		if (az_grpc_call(client, &call, &r, NULL, NULL) == AZ_OK &&
		    az_str_eqc(az_buf_str(&r), "answer"))
			good++;
		az_buf_release(&r);
	}
	return (void *)good;
}

static void
threads_share_a_client(void **state)
{
	const char *ca = NULL;

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		pthread_t th[4];
		void *good;

		peer = h2_peer_start(plain_only, 1, tls ? &ca : NULL);
		client = client_of(h2_peer_port(peer), tls ? ca : NULL);
		for (size_t i = 0; i < N(th); i++)
			assert_int_equal(pthread_create(&th[i], NULL, twenty_calls, NULL), 0);
		for (size_t i = 0; i < N(th); i++) {
			pthread_join(th[i], &good);
			assert_int_equal((intptr_t)good, 20);
		}
		assert_true(h2_peer_connections(peer) <= 4);
		stop();
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    GRPC_TEST(a_server_of_another_kind_is_told_from_one_that_is_away),
	    GRPC_TEST(tls_needs_a_trusted_server_that_speaks_h2),
	    GRPC_TEST(in_the_clear_a_connection_is_used_again),
	    GRPC_TEST(silence_ends_at_the_deadline),
	    GRPC_TEST(cancel_ends_a_long_poll),
	    GRPC_TEST(cancel_ends_a_wait_between_tries),
	    GRPC_TEST(a_failure_that_passes_is_tried_again),
	    GRPC_TEST(tries_have_an_end),
	    GRPC_TEST(the_last_try_has_what_is_left_of_the_time),
	    GRPC_TEST(threads_share_a_client),
	};

	return run(tests, N(tests));
}
