/* gRPC calls against a scripted HTTP/2 server on loopback: requests and answers. */
#include <stdlib.h>
#include "http_grpc_fixture.h"

/* ---- what is sent ---- */

static void
a_call_carries_what_the_protocol_asks_for(void **state)
{
	static const char *const want[] = {":method: POST\n", ":scheme: http\n",
	    ":path: /a.b.Service/Method\n", "content-type: application/grpc\n", "te: trailers\n",
	    "grpc-timeout: 70000m\n", "authorization: Bearer " SECRET "\n",
	    "temporal-namespace: default\n", "user-agent: azlon/"};
	static const char *const never[] = {
	    "expect:", "accept:", "accept-encoding:", "grpc-encoding:"};
	const char *head, *body;
	size_t n = 0;

	(void)state;
	start(plain_only, 1);
	call.deadline_ms = 70000;
	assert_int_equal(do_call(), AZ_OK);
	assert_true(az_str_eqc(az_buf_str(&reply), "answer"));
	head = h2_peer_head(peer, 0);
	for (size_t i = 0; i < N(want); i++)
		assert_non_null(strstr(head, want[i]));
	for (size_t i = 0; i < N(never); i++)
		assert_null(strstr(head, never[i]));
	body = h2_peer_body(peer, 0, &n);
	assert_true(az_str_eq(az_str_n(body, n), AZ_S("\0\0\0\0\3ask")));

	/* no message is longer than eight digits */
	call.deadline_ms = 100000000;
	assert_int_equal(do_call(), AZ_OK);
	assert_non_null(strstr(h2_peer_head(peer, 1), "grpc-timeout: 100000S\n"));
	call.deadline_ms = 0;
	assert_int_equal(do_call(), AZ_OK);
	assert_non_null(strstr(h2_peer_head(peer, 2), "grpc-timeout: 30000m\n"));
	stop();
}

static void
messages_up_to_the_limit_are_sent_and_no_more(void **state)
{
	size_t n = 0;
	char *big = calloc(1, GRPC_BODY_BYTES + 1);

	(void)state;
	start(plain_only, 1);
	call.body = az_str_n(big, GRPC_BODY_BYTES + 1);
	assert_int_equal(do_call(), AZ_ETOOBIG);
	assert_int_equal(st.code, AZ_GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(h2_peer_connections(peer), 0);
	call.body.n--;
	assert_int_equal(do_call(), AZ_OK);
	assert_non_null(h2_peer_body(peer, 0, &n));
	assert_int_equal(n, GRPC_BODY_BYTES + GRPC_PREFIX);
	/* nothing is a message too */
	call.body = AZ_S("");
	assert_int_equal(do_call(), AZ_OK);
	assert_non_null(h2_peer_body(peer, 1, &n));
	assert_int_equal(n, GRPC_PREFIX);
	stop();
	free(big);
}

static void
a_client_is_not_made_of_nonsense(void **state)
{
	static const char *const bad_headers[] = {
	    "no colon", ": x", "x: a\r\nb: c", "TE: x", "Content-Type: y", "grpc-timeout: 1S"};
	static const char *const bad_hosts[] = {
	    "", "a b", "http://x", "user@x", "x/y", "x?y", "x#y", "x%41"};
	const char *headers[] = {NULL, NULL};
	struct az_grpc_opts o = {.host = "x", .port = 7233, .headers = headers};
	static const char *const bad_paths[] = {"", "x/y", "/a b", "/a?b", "/a\nb"};
	struct az_grpc *g;

	(void)state;
	for (size_t i = 0; i < N(bad_headers); i++) {
		headers[0] = bad_headers[i];
		assert_int_equal(az_grpc_new(&o, &g, &err), AZ_EINVAL);
		assert_null(g);
	}
	headers[0] = NULL;
	for (size_t i = 0; i < N(bad_hosts); i++) {
		o.host = bad_hosts[i];
		assert_int_equal(az_grpc_new(&o, &g, &err), AZ_EINVAL);
	}
	o.host = "x";
	for (int port = -1; port < 70000; port += 65536 + 1) {
		o.port = port;
		if (port < 1 || port > 65535)
			assert_int_equal(az_grpc_new(&o, &g, &err), AZ_EINVAL);
	}
	client = client_of(1, NULL);
	for (size_t i = 0; i < N(bad_paths); i++) {
		call.path = bad_paths[i];
		assert_int_equal(do_call(), AZ_EINVAL);
	}
	az_grpc_free(client);
	az_grpc_free(NULL);
}

/* ---- answers ---- */

static void
good_answers_come_in_many_forms(void **state)
{
	static const struct h2_act by1[] = {
	    {H2_HEAD2, ":status 200\ncontent-type application/grpc+proto\n", 0},
	    {H2_MSG_BY1, "answer", 0}, H2_OK_TAIL, {0}};
	static const struct h2_act informed[] = {{H2_HEAD, ":status 103\nx-hint a\n", 0},
	    H2_OK_HEAD, {H2_MSG, "answer", 0}, H2_OK_TAIL, {0}};
	static const struct h2_act empty[] = {H2_OK_HEAD, {H2_MSG, "", 0}, H2_OK_TAIL, {0}};
	/* libcurl 7.88 keeps the message and loses the status */
	static const struct h2_act goodbye[] = {
	    H2_OK_HEAD, {H2_GOAWAY, NULL, 0}, {H2_MSG, "answer", 0}, H2_OK_TAIL, {0}};
	static const struct h2_act no_status[] = {
	    H2_OK_HEAD, {H2_MSG, "answer", 0}, {H2_END, NULL, 0}, {0}};
	static const struct h2_act goodbye_no_status[] = {
	    H2_OK_HEAD, {H2_MSG, "answer", 0}, {H2_GOAWAY, NULL, 0}, {H2_END, NULL, 0}, {0}};
	static const struct h2_act closed_after[] = {H2_OK_HEAD, {H2_MSG, "answer", 0}, H2_OK_TAIL,
	    {H2_RST, NULL, 0}, {H2_CLOSE, NULL, 0}, {0}};
	static const struct h2_act *const scripts[] = {
	    by1, informed, empty, goodbye, no_status, goodbye_no_status, closed_after};

	(void)state;
	for (size_t i = 0; i < N(scripts); i++) {
		start(&scripts[i], 1);
		if (do_call() != AZ_OK)
			fail_msg("%zu: %s", i, err.text);
		assert_true(az_str_eqc(az_buf_str(&reply), i == 2 ? "" : "answer"));
		assert_int_equal(h2_peer_requests(peer), 1);
		stop();
	}
}

static void
an_error_has_its_code_message_and_details(void **state)
{
	static const struct h2_act at_once[] = {
	    {H2_TAIL,
		":status 200\ncontent-type application/grpc\ngrpc-status 5\n"
		"grpc-message Namespace%20x%20is%20not%20found.\n"
		"grpc-status-details-bin CAUSA2FiYw\n",
		0},
	    {0}};
	static const struct h2_act after_message[] = {H2_OK_HEAD, {H2_MSG, "part", 0},
	    {H2_TAIL, "grpc-status 5\ngrpc-message Namespace%20x%20is%20not%20found.\n", 0}, {0}};
	static const struct h2_act in_trailers[] = {H2_OK_HEAD,
	    {H2_TAIL, "grpc-status 5\ngrpc-message Namespace x is not found.\n", 0}, {0}};
	/* as servers do that did not read all of the request */
	static const struct h2_act then_reset[] = {H2_OK_HEAD,
	    {H2_TAIL, "grpc-status 5\ngrpc-message Namespace x is not found.\n", 0},
	    {H2_RST, NULL, 0}, {0}};
	static const struct h2_act *const scripts[] = {
	    at_once, after_message, in_trailers, then_reset};

	(void)state;
	start(scripts, N(scripts));
	for (size_t i = 0; i < N(scripts); i++) {
		assert_int_equal(do_call(), AZ_ENOTFOUND);
		assert_int_equal(st.code, AZ_GRPC_NOT_FOUND);
		assert_string_equal(st.message, "Namespace x is not found.");
		assert_int_equal(st.details.n, i == 0 ? 7 : 0);
		assert_non_null(strstr(err.text, "Method: NOT_FOUND: Namespace x"));
	}
	stop();
}

static void
a_refused_key_is_named_but_not_shown(void **state)
{
	static const struct h2_act refused[] = {
	    {H2_TAIL,
		":status 200\ncontent-type application/grpc\ngrpc-status 16\n"
		"grpc-message bad key '" SECRET "'\n",
		0},
	    {0}};
	static const struct h2_act gate[] = {{H2_TAIL, ":status 403\n", 0}, {0}};
	static const struct h2_act *const scripts[] = {refused, gate};

	(void)state;
	start(scripts, 2);
	assert_int_equal(do_call(), AZ_EAUTH);
	assert_non_null(strstr(err.text, "refused the key (UNAUTHENTICATED)"));
	assert_non_null(strstr(st.message, "bad key '****"));
	assert_int_equal(do_call(), AZ_EPERM);
	assert_non_null(strstr(err.text, "refused the key (HTTP 403)"));
	stop();
}

static void
bad_answers_have_their_codes(void **state)
{
	static const struct h2_act packed[] = {
	    H2_OK_HEAD, {H2_DATA, "\1\0\0\0\1x", 6}, H2_OK_TAIL, {0}};
	static const struct h2_act too_short[] = {
	    H2_OK_HEAD, {H2_DATA, "\0\0\0\0\5x", 6}, H2_OK_TAIL, {0}};
	static const struct h2_act too_long[] = {
	    H2_OK_HEAD, {H2_DATA, "\0\0\0\0\1xyz", 8}, H2_OK_TAIL, {0}};
	static const struct h2_act half_prefix[] = {
	    H2_OK_HEAD, {H2_DATA, "\0\0", 2}, {H2_END, NULL, 0}, {0}};
	static const struct h2_act nothing[] = {H2_OK_HEAD, {H2_END, NULL, 0}, {0}};
	static const struct h2_act ok_nothing[] = {H2_OK_HEAD, H2_OK_TAIL, {0}};
	static const struct h2_act huge[] = {
	    H2_OK_HEAD, {H2_DATA, "\0\377\377\377\377", 5}, {H2_STALL, NULL, 0}, {0}};
	static const struct h2_act page[] = {{H2_HEAD, ":status 404\ncontent-type text/html\n", 0},
	    {H2_DATA, "<html>", 0}, {H2_END, NULL, 0}, {0}};
	static const struct h2_act reset[] = {H2_OK_HEAD, {H2_RST, NULL, 2}, {0}};
	static const struct h2_act reset_mid[] = {
	    H2_OK_HEAD, {H2_DATA, "\0\0\0\0\5x", 6}, {H2_RST, NULL, 8}, {0}};
	static const struct h2_act gone_mid[] = {
	    H2_OK_HEAD, {H2_DATA, "\0\0\0\0\5x", 6}, {H2_CLOSE, NULL, 0}, {0}};
	static const struct h2_act gone[] = {{H2_CLOSE, NULL, 0}};
	static const struct h2_act goodbye[] = {{H2_GOAWAY, NULL, 0}, {H2_CLOSE, NULL, 0}, {0}};
	static const struct h2_act noise[] = {
	    {H2_RAW, "this is no frame of any kind, not at all", 0}, {H2_STALL, NULL, 0}, {0}};
	static const struct h2_act over[] = {
	    {H2_TAIL,
		":status 200\ncontent-type application/grpc\ngrpc-status 8\n"
		"grpc-message grpc: received message larger than max (5 vs. 4)\n",
		0},
	    {0}};
	static const struct {
		const struct h2_act *script;
		enum az_code rc;
		enum az_grpc_code code;
		const char *text;
	} t[] = {
	    {packed, AZ_EUPSTREAM, AZ_GRPC_INTERNAL, "compressed"},
	    {too_short, AZ_EUPSTREAM, AZ_GRPC_INTERNAL, "ends early"},
	    {too_long, AZ_EUPSTREAM, AZ_GRPC_INTERNAL, "more than"},
	    {half_prefix, AZ_EUPSTREAM, AZ_GRPC_INTERNAL, "ends early"},
	    {nothing, AZ_EUPSTREAM, AZ_GRPC_UNKNOWN, "neither"},
	    {ok_nothing, AZ_EUPSTREAM, AZ_GRPC_INTERNAL, "without a message"},
	    {huge, AZ_ETOOBIG, AZ_GRPC_RESOURCE_EXHAUSTED, "larger than the limit"},
	    {page, AZ_EUNSUPPORTED, AZ_GRPC_UNIMPLEMENTED, "no gRPC server at 127.0.0.1:"},
	    {reset, AZ_EUNAVAIL, AZ_GRPC_UNAVAILABLE, "broke off"},
	    {reset_mid, AZ_EUNAVAIL, AZ_GRPC_UNAVAILABLE, "broke off"},
	    {gone_mid, AZ_EUNAVAIL, AZ_GRPC_UNAVAILABLE, "broke off"},
	    {gone, AZ_EUNAVAIL, AZ_GRPC_UNAVAILABLE, "gave no answer"},
	    {goodbye, AZ_EUNAVAIL, AZ_GRPC_UNAVAILABLE, "gave no answer"},
	    {noise, AZ_EUNAVAIL, AZ_GRPC_UNAVAILABLE, "gave no answer"},
	    {over, AZ_ETOOBIG, AZ_GRPC_RESOURCE_EXHAUSTED, "larger than max"},
	};

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		start(&t[i].script, 1);
		assert_int_equal(do_call(), t[i].rc);
		assert_int_equal(st.code, t[i].code);
		if (!strstr(err.text, t[i].text))
			fail_msg("%zu: %s", i, err.text);
		stop();
	}
}

static void
replies_have_a_limit(void **state)
{
	static const char *const none[] = {NULL};
	struct az_grpc_opts o = {
	    .host = "127.0.0.1", .headers = none, .max_reply_bytes = strlen("answer")};

	(void)state;
	for (int less = 0; less < 2; less++) {
		peer = h2_peer_start(plain_only, 1, NULL);
		o.port = h2_peer_port(peer);
		o.max_reply_bytes -= (size_t)less;
		assert_int_equal(az_grpc_new(&o, &client, &err), AZ_OK);
		call.retry = AZ_GRPC_POLL; /* final even here */
		assert_int_equal(do_call(), less ? AZ_ETOOBIG : AZ_OK);
		assert_int_equal(h2_peer_requests(peer), 1);
		stop();
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    GRPC_TEST(a_call_carries_what_the_protocol_asks_for),
	    GRPC_TEST(messages_up_to_the_limit_are_sent_and_no_more),
	    GRPC_TEST(a_client_is_not_made_of_nonsense),
	    GRPC_TEST(good_answers_come_in_many_forms),
	    GRPC_TEST(an_error_has_its_code_message_and_details),
	    GRPC_TEST(a_refused_key_is_named_but_not_shown),
	    GRPC_TEST(bad_answers_have_their_codes),
	    GRPC_TEST(replies_have_a_limit),
	};

	return run(tests, N(tests));
}
