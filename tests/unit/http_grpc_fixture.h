/* A client and a scripted server, for the tests of gRPC calls. */
#ifndef HTTP_GRPC_FIXTURE_H
#define HTTP_GRPC_FIXTURE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <cmocka.h>
#include "h2_peer.h"
#include "http/grpc_room.h"

#define N(t) (sizeof(t) / sizeof *(t))
#define SECRET "sk-do-not-show-1234"

static struct h2_peer *peer;
static struct az_grpc *client;
static struct az_buf reply;
static struct az_grpc_status st;
static struct az_err err;
static struct az_grpc_call call;

static struct az_grpc *
client_of(int port, const char *ca)
{
	static const char *const headers[] = {
	    "authorization: Bearer " SECRET, "temporal-namespace: default", NULL};
	struct az_grpc_opts o = {.host = "127.0.0.1",
	    .port = port,
	    .tls = ca != NULL,
	    .ca_file = ca,
	    .headers = headers};
	struct az_grpc *g;

	assert_int_equal(az_grpc_new(&o, &g, &err), AZ_OK);
	g->haste = 1000000; /* waits between tries take no time */
	return g;
}

static int
setup(void **state)
{
	(void)state;
	call = (struct az_grpc_call){.path = "/a.b.Service/Method", .body = AZ_S("ask")};
	err = (struct az_err)AZ_ERR_INIT;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	az_buf_release(&reply);
	az_grpc_status_release(&st);
	return 0;
}

static enum az_code
do_call(void)
{
	enum az_code rc = az_grpc_call(client, &call, &reply, &st, &err);

	/* whatever came of it */
	assert_null(strstr(err.text, SECRET));
	assert_null(strstr(st.message, SECRET));
	assert_int_equal(rc == AZ_OK, st.code == AZ_GRPC_OK);
	if (rc != AZ_OK) {
		assert_int_equal(err.code, rc);
		assert_true(err.text[0] != '\0');
		assert_true(st.message[0] != '\0');
		assert_int_equal(reply.n, 0);
	}
	return rc;
}

static void
start(const struct h2_act *const *scripts, size_t n)
{
	peer = h2_peer_start(scripts, n, NULL);
	client = client_of(h2_peer_port(peer), NULL);
}

static void
stop(void)
{
	az_grpc_free(client);
	h2_peer_stop(peer);
}

/* the usual answer */
static const struct h2_act plain[] = {H2_OK_HEAD, {H2_MSG, "answer", 0}, H2_OK_TAIL, {0}};
static const struct h2_act *const plain_only[] = {plain};

#define GRPC_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* main() of a file */
static int
run(const struct CMUnitTest *tests, size_t n)
{
	/* the peer's TLS writes to clients that left */
	signal(SIGPIPE, SIG_IGN);
	return _cmocka_run_group_tests("grpc", tests, n, NULL, NULL);
}

#endif
