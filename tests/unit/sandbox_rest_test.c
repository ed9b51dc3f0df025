/* The control plane against a scripted peer. */
#include "e2b_fixture.h"

#define BOX                                                                                        \
	"{\"templateID\":\"base\",\"sandboxID\":\"iabc-6532622b\",\"clientID\":\"x\","             \
	"\"envdVersion\":\"0.6.13\",\"envdAccessToken\":\"ea_t\",\"domain\":null}"
#define LOST                                                                                       \
	{                                                                                          \
		.bytes = "", .n = 0, .then = HTTP_THEN_CLOSE                                       \
	}

static enum az_code
create(struct fix *f, struct az_box_ref *ref)
{
	const char *meta[] = {"azlon_run", "user-a-1-x", NULL};

	return az_sandbox_create(f->sb,
	    &(struct az_sb_create){
		.timeout_s = 300, .idempotency_key = "run-1-a1", .metadata = meta},
	    f->a, ref, &f->err);
}

static void
create_sends_all_and_reads_all(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /v2/sandboxes", {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = answer(&f, 201, "", BOX);
	fix_start(&f, r, 1);
	assert_int_equal(create(&f, &ref), AZ_OK);
	assert_true(az_str_eqc(ref.id, "iabc")); /* the client's suffix is cut */
	assert_true(az_str_eqc(ref.token, "ea_t"));
	assert_true(az_str_eqc(ref.envd_version, "0.6.13"));
	assert_int_equal(ref.domain.n, 0);
	assert_true(sent(&f, 0, "X-API-Key: e2b_00ff\r\n"));
	assert_true(sent(&f, 0, "Idempotency-Key: run-1-a1\r\n"));
	assert_true(sent(&f, 0, "\"templateID\":\"base\""));
	assert_true(sent(&f, 0, "\"timeout\":300"));
	assert_true(sent(
	    &f, 0, "\"metadata\":{\"azlon_run\":\"user-a-1-x\",\"azlon_create\":\"run-1-a1\"}"));
	assert_true(sent(&f, 0, "\"allow_internet_access\":false"));
	assert_false(sent(&f, 0, "secure"));
	fix_stop(&f);
}

static void
old_service_is_asked_once(void **state)
{
	struct fix f = {0};
	struct route r[] = {
	    {"POST /v2/sandboxes", {{0}}, 1, 0},
	    {"POST /sandboxes", {{0}}, 1, 0},
	};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = answer(&f, 404, "", "{\"code\":404,\"message\":\"not found\"}");
	r[1].step[0] = answer(&f, 201, "", BOX);
	fix_start(&f, r, 2);
	assert_int_equal(create(&f, &ref), AZ_OK);
	assert_int_equal(create(&f, &ref), AZ_OK);
	assert_int_equal(asked(&f, "POST /v2/"), 1); /* the answer is remembered */
	assert_int_equal(asked(&f, "POST /sandboxes"), 2);
	assert_true(sent(&f, 1, "\"secure\":true"));
	assert_true(sent(&f, 1, "\"timeout\":300"));
	fix_stop(&f);
}

static void
unknown_template_is_not_an_old_service(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /v2/sandboxes", {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] =
	    answer(&f, 404, "", "{\"code\":404,\"message\":\"template 'base' not found\"}");
	fix_start(&f, r, 1);
	assert_int_equal(create(&f, &ref), AZ_EINVAL);
	assert_int_equal(f.err.code, AZ_EINVAL);
	assert_string_equal(f.err.reason, "no_template");
	assert_int_equal(http_peer_requests(f.peer), 1);
	fix_stop(&f);
}

static void
the_keys_sandbox_has_ended(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /v2/sandboxes", {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = answer(&f, 404, "",
	    "{\"code\":404,\"message\":\"the sandbox of this Idempotency-Key is gone\"}");
	fix_start(&f, r, 1);
	assert_int_equal(create(&f, &ref), AZ_EUNAVAIL); /* the next attempt may */
	assert_int_equal(f.err.code, AZ_EUNAVAIL);
	assert_string_equal(f.err.reason, E2B_AWAY);
	assert_int_equal(http_peer_requests(f.peer), 1);
	fix_stop(&f);
}

static void
lost_reply_is_asked_again_with_the_same_key(void **state)
{
	struct fix f = {0};
	struct route r[] = {
	    {"POST /v2/sandboxes", {LOST}, 2, 0}, {"GET /v2/sandboxes", {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = (struct http_peer_step){
	    .bytes = "HTTP/1.1 201 C\r\nContent-Le", .then = HTTP_THEN_RESET};
	r[0].step[1] = answer(&f, 201, "", BOX);
	r[1].step[0] = answer(&f, 200, "", "[]");
	fix_start(&f, r, 2);
	assert_int_equal(create(&f, &ref), AZ_OK);
	assert_int_equal(asked(&f, "POST "), 2);
	assert_true(sent(&f, nth(&f, "POST ", 0), "Idempotency-Key: run-1-a1\r\n"));
	assert_true(sent(&f, nth(&f, "POST ", 1), "Idempotency-Key: run-1-a1\r\n"));
	fix_stop(&f);
}

static void
answers_have_their_codes(void **state)
{
	static const struct {
		int status;
		const char *extra, *body;
		enum az_code code;
		const char *reason;
		int64_t retry_ms;
	} t[] = {
	    {400, "", "{\"code\":400,\"message\":\"Timeout must be greater than 0\"}", AZ_EINVAL,
		"", 0},
	    {401, "", "{\"code\":401,\"message\":\"bad key\"}", AZ_EAUTH, "", 0},
	    {403, "", "{\"code\":403,\"message\":\"plan\"}", AZ_EAUTH, "", 0},
	    {422, "",
		"{\"code\":422,\"message\":\"m\",\"error_code\":"
		"\"idempotency_request_mismatch\"}",
		AZ_EINVAL, "", 0},
	    {409, "",
		"{\"code\":409,\"message\":\"m\",\"error_code\":"
		"\"idempotency_in_progress\"}",
		AZ_EUNAVAIL, E2B_AWAY, 0},
	    {429, "Retry-After: 7\r\n", "{\"code\":429,\"message\":\"Rate limit exceeded\"}",
		AZ_EUNAVAIL, E2B_AWAY, 7000},
	    {429, "",
		"{\"code\":429,\"message\":\"maximum number of concurrent E2B "
		"sandboxes (20)\"}",
		AZ_EUNAVAIL, E2B_CAP, 0},
	    {500, "", "{\"code\":500,\"message\":\"oops\"}", AZ_EUNAVAIL, E2B_AWAY, 0},
	    {500, "Should-Retry: false\r\n", "{\"code\":500,\"message\":\"oops\"}", AZ_EUPSTREAM,
		"", 0},
	    {503, "Retry-After: 2\r\n",
		"{\"code\":503,\"message\":\"m\",\"error_code\":"
		"\"sandbox_capacity_unavailable\"}",
		AZ_EUNAVAIL, E2B_AWAY, 2000},
	    {503, "",
		"{\"code\":503,\"message\":\"m\",\"error_code\":"
		"\"sandbox_create_refused\"}",
		AZ_EINVAL, "", 0},
	    {502, "", "<html><body>502 Bad Gateway</body></html>", AZ_EUNAVAIL, E2B_AWAY, 0},
	    {504, "", "upstream request timeout", AZ_EUNAVAIL, E2B_AWAY, 0},
	    {201, "", "not json", AZ_EUPSTREAM, "", 0},
	    {201, "", "{\"sandboxID\":\"../x\",\"envdVersion\":\"1\"}", AZ_EUPSTREAM, "", 0},
	    {201, "", "{\"sandboxID\":\"i1\",\"envdAccessToken\":\"a\\r\\nX: y\"}", AZ_EUPSTREAM,
		"", 0},
	    {201, "", "{\"sandboxID\":\"i1\",\"domain\":\"evil.example/x\"}", AZ_EUPSTREAM, "", 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct fix f = {0};
		struct route r[] = {{"POST /v2/sandboxes", {{0}}, 1, 0}};
		struct az_box_ref ref;

		r[0].step[0] = answer(&f, t[i].status, t[i].extra, t[i].body);
		fix_start(&f, r, 1);
		e2b_of(f.sb)->wait_ms = 0;
		assert_int_equal(create(&f, &ref), t[i].code);
		assert_int_equal(f.err.code, t[i].code);
		assert_string_equal(f.err.reason, t[i].reason);
		assert_int_equal(f.err.retry_after_ms, t[i].retry_ms);
		assert_null(strchr(f.err.text, '<'));
		fix_stop(&f);
	}
}

static void
nobody_listens(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"x", {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	fix_start(&f, r, 1);
	http_peer_stop(f.peer);
	assert_int_equal(create(&f, &ref), AZ_EUNAVAIL);
	assert_string_equal(f.err.reason, E2B_AWAY);
	assert_int_equal(az_sandbox_ping(f.sb, &f.err), AZ_EUNAVAIL);
	f.peer = http_peer_start(NULL, 0, fix_pick, &f);
	fix_stop(&f);
}

static void
find_pages_and_filters(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"GET /v2/sandboxes?", {{0}}, 2, 0}};
	struct az_str *ids;
	size_t n;

	(void)state;
	r[0].step[0] = answer(&f, 200, "X-Next-Token: abc+/=\r\n",
	    "[{\"sandboxID\":\"i1\",\"metadata\":{\"run\":\"b c\"}},"
	    "{\"sandboxID\":\"i9\",\"metadata\":{\"run\":\"other\"}}]");
	r[0].step[1] = answer(&f, 200, "X-Next-Token: \r\n",
	    "[{\"sandboxID\":\"i2\",\"metadata\":{\"run\":\"b c\"}}]");
	fix_start(&f, r, 1);
	assert_int_equal(az_sandbox_find(f.sb, "run", "b c", f.a, &ids, &n, &f.err), AZ_OK);
	assert_int_equal(n, 2);
	assert_true(az_str_eqc(ids[0], "i1"));
	assert_true(az_str_eqc(ids[1], "i2"));
	assert_true(sent(&f, 0, "metadata=run%3Db%252520c"));
	assert_true(sent(&f, 1, "nextToken=abc%2B%2F%3D"));
	fix_stop(&f);
}

static void
a_failed_page_fails_the_list(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"GET /v2/sandboxes?", {{0}}, 2, 0}};
	struct az_str *ids;
	size_t n;

	(void)state;
	r[0].step[0] = answer(&f, 200, "X-Next-Token: t\r\n",
	    "[{\"sandboxID\":\"i1\",\"metadata\":{\"run\":\"x\"}}]");
	r[0].step[1] = answer(&f, 500, "", "{\"code\":500,\"message\":\"m\"}");
	fix_start(&f, r, 1);
	assert_int_equal(az_sandbox_find(f.sb, "run", "x", f.a, &ids, &n, &f.err), AZ_EUNAVAIL);
	assert_int_equal(n, 0);
	assert_null(ids);
	fix_stop(&f);
}

static void
an_endless_list_is_refused(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"GET /v2/sandboxes?", {{0}}, 1, 0}};
	struct az_str *ids;
	size_t n;

	(void)state;
	r[0].step[0] = answer(&f, 200, "X-Next-Token: same\r\n", "[]");
	fix_start(&f, r, 1);
	assert_int_equal(az_sandbox_find(f.sb, "run", "x", f.a, &ids, &n, &f.err), AZ_EUPSTREAM);
	assert_int_equal(http_peer_requests(f.peer), 2);
	fix_stop(&f);
}

static void
find_on_an_old_service(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"GET /sandboxes?metadata=", {{0}}, 1, 0}};
	struct az_str *ids;
	size_t n;

	(void)state;
	r[0].step[0] = answer(&f, 200, "", "[{\"sandboxID\":\"i1\",\"metadata\":{\"k\":\"v\"}}]");
	fix_start(&f, r, 1);
	assert_int_equal(az_sandbox_find(f.sb, "k", "v", f.a, &ids, &n, &f.err), AZ_OK);
	assert_int_equal(n, 1);
	fix_stop(&f);
}

static void
connect_extends_or_falls_back(void **state)
{
	struct fix f = {0};
	struct route r[] = {
	    {"POST /sandboxes/iabc/connect", {{0}}, 2, 0},
	    {"GET /sandboxes/iabc", {{0}}, 1, 0},
	    {"POST /sandboxes/iabc/timeout", {{0}}, 1, 0},
	};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = answer(&f, 200, "", BOX);
	r[0].step[1] = answer(&f, 404, "", "{\"code\":404,\"message\":\"x\"}");
	r[1].step[0] = answer(&f, 200, "", BOX);
	r[2].step[0] = answer(&f, 204, "", "");
	fix_start(&f, r, 3);
	assert_int_equal(az_sandbox_connect(f.sb, AZ_S("iabc"), 60, f.a, &ref, &f.err), AZ_OK);
	assert_int_equal(http_peer_requests(f.peer), 1);
	assert_true(sent(&f, 0, "{\"timeout\":60}"));
	assert_int_equal(az_sandbox_connect(f.sb, AZ_S("iabc"), 60, f.a, &ref, &f.err), AZ_OK);
	assert_int_equal(asked(&f, "POST /sandboxes/iabc/timeout"), 1);
	assert_true(az_str_eqc(ref.token, "ea_t"));
	fix_stop(&f);
}

static void
connect_to_the_dead(void **state)
{
	struct fix f = {0};
	struct az_box_ref ref;

	(void)state;
	fix_start(&f, NULL, 0);
	assert_int_equal(
	    az_sandbox_connect(f.sb, AZ_S("iabc"), 60, f.a, &ref, &f.err), AZ_ENOTFOUND);
	assert_string_equal(f.err.reason, E2B_GONE);
	fix_stop(&f);
}

static void
kill_of_the_dead_is_fine(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"DELETE /sandboxes/iabc", {{0}}, 3, 0}};

	(void)state;
	r[0].step[0] = answer(&f, 204, "", "");
	r[0].step[1] = answer(&f, 404, "", "{\"code\":404,\"message\":\"x\"}");
	r[0].step[2] = answer(&f, 401, "", "{\"code\":401,\"message\":\"x\"}");
	fix_start(&f, r, 1);
	assert_int_equal(az_sandbox_kill(f.sb, AZ_S("iabc"), &f.err), AZ_OK);
	assert_int_equal(az_sandbox_kill(f.sb, AZ_S("iabc"), &f.err), AZ_OK);
	assert_int_equal(az_sandbox_kill(f.sb, AZ_S("iabc"), &f.err), AZ_EAUTH);
	fix_stop(&f);
}

static void
network_replaces_the_rules(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"PUT /sandboxes/iabc/network", {{0}}, 1, 0}};
	const char *allow[] = {"api.example.com", NULL};

	(void)state;
	r[0].step[0] = answer(&f, 204, "", "");
	fix_start(&f, r, 1);
	assert_int_equal(az_sandbox_network(f.sb, &f.ref, true, NULL, &f.err), AZ_OK);
	assert_int_equal(az_sandbox_network(f.sb, &f.ref, false, NULL, &f.err), AZ_OK);
	assert_int_equal(az_sandbox_network(f.sb, &f.ref, true, allow, &f.err), AZ_OK);
	/* no route is no route, whatever is listed */
	assert_int_equal(az_sandbox_network(f.sb, &f.ref, false, allow, &f.err), AZ_OK);
	assert_true(sent(&f, 0, "{\"allow_internet_access\":true}"));
	assert_true(sent(&f, 1, "{\"allow_internet_access\":false}"));
	assert_true(
	    sent(&f, 2, "{\"allowOut\":[\"api.example.com\"],\"denyOut\":[\"0.0.0.0/0\"]}"));
	assert_true(sent(&f, 3, "{\"allow_internet_access\":false}"));
	fix_stop(&f);
}

static void
create_with_domains(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /v2/sandboxes", {{0}}, 1, 0}};
	const char *allow[] = {"a.example", NULL};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = answer(&f, 201, "", BOX);
	fix_start(&f, r, 1);
	assert_int_equal(
	    az_sandbox_create(f.sb,
		&(struct az_sb_create){.timeout_s = 9, .internet = true, .allow = allow}, f.a, &ref,
		&f.err),
	    AZ_OK);
	assert_int_equal(
	    az_sandbox_create(f.sb,
		&(struct az_sb_create){.timeout_s = 9, .internet = false, .allow = allow}, f.a,
		&ref, &f.err),
	    AZ_OK);
	assert_true(
	    sent(&f, 0, "\"network\":{\"allowOut\":[\"a.example\"],\"denyOut\":[\"0.0.0.0/0\"]}"));
	assert_false(sent(&f, 0, "allow_internet_access"));
	assert_true(sent(&f, 1, "\"allow_internet_access\":false"));
	assert_false(sent(&f, 1, "a.example"));
	fix_stop(&f);
}

static void
ids_and_lives_are_checked_before_sending(void **state)
{
	struct fix f = {0};
	struct az_box_ref ref;

	(void)state;
	fix_start(&f, NULL, 0);
	assert_int_equal(az_sandbox_kill(f.sb, AZ_S("../x"), &f.err), AZ_EINVAL);
	assert_int_equal(az_sandbox_kill(f.sb, AZ_S(""), &f.err), AZ_EINVAL);
	assert_int_equal(az_sandbox_connect(f.sb, AZ_S("iabc"), 0, f.a, &ref, &f.err), AZ_EINVAL);
	assert_int_equal(
	    az_sandbox_create(f.sb, &(struct az_sb_create){.timeout_s = 0}, f.a, &ref, &f.err),
	    AZ_EINVAL);
	assert_int_equal(
	    az_sandbox_create(f.sb,
		&(struct az_sb_create){.timeout_s = 1, .idempotency_key = "Not Allowed"}, f.a, &ref,
		&f.err),
	    AZ_EINVAL);
	assert_int_equal(http_peer_requests(f.peer), 0);
	fix_stop(&f);
}

static void
addresses(void **state)
{
	static const struct {
		const char *sandbox_url, *domain, *own, *want;
	} t[] = {
	    {"http://127.0.0.1:9/", NULL, "", "http://127.0.0.1:9"},
	    {"http://127.0.0.1:9", NULL, "e2b.app", "http://127.0.0.1:9"},
	    {NULL, NULL, "", "https://sandbox.e2b.app"},
	    {NULL, NULL, "e2b.dev", "https://sandbox.e2b.dev"},
	    {NULL, "e2b.test:8443", "", "https://49983-iabc.e2b.test:8443"},
	    {NULL, NULL, "sb.e2b.test", "https://49983-iabc.sb.e2b.test"},
	};
	struct fix f = {0};
	size_t i;

	(void)state;
	fix_start(&f, NULL, 0);
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct az_sandbox *s;
		struct az_buf b;
		struct az_box_ref ref = {AZ_S("iabc"), AZ_S(""), az_str_c(t[i].own), AZ_S("")};

		az_buf_init(&b, 1000);
		assert_int_equal(az_sandbox_e2b_open(&(struct az_sandbox_e2b_opts){.http = f.http,
							 .api_url = "http://127.0.0.1:1",
							 .sandbox_url = t[i].sandbox_url,
							 .domain = t[i].domain,
							 .key = "k"},
				     &s, &f.err),
		    AZ_OK);
		e2b_envd_url((struct e2b *)s, &ref, &b);
		assert_string_equal(b.p, t[i].want);
		az_buf_release(&b);
		az_sandbox_close(s);
	}
	fix_stop(&f);
}

static void
half_a_configuration_is_refused(void **state)
{
	struct fix f = {0};
	struct az_sandbox *s;

	(void)state;
	fix_start(&f, NULL, 0);
	assert_int_equal(
	    az_sandbox_e2b_open(
		&(struct az_sandbox_e2b_opts){.http = f.http, .api_url = "http://h"}, &s, &f.err),
	    AZ_EINVAL);
	assert_int_equal(
	    az_sandbox_e2b_open(
		&(struct az_sandbox_e2b_opts){.http = f.http, .api_url = "h", .key = "k"}, &s,
		&f.err),
	    AZ_EINVAL);
	assert_int_equal(
	    az_sandbox_e2b_open(
		&(struct az_sandbox_e2b_opts){.http = f.http, .api_url = "http://h", .key = "a\nb"},
		&s, &f.err),
	    AZ_EINVAL);
	assert_null(s);
	az_sandbox_close(NULL);
	fix_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(create_sends_all_and_reads_all),
	    cmocka_unit_test(old_service_is_asked_once),
	    cmocka_unit_test(unknown_template_is_not_an_old_service),
	    cmocka_unit_test(the_keys_sandbox_has_ended),
	    cmocka_unit_test(lost_reply_is_asked_again_with_the_same_key),
	    cmocka_unit_test(answers_have_their_codes),
	    cmocka_unit_test(nobody_listens),
	    cmocka_unit_test(find_pages_and_filters),
	    cmocka_unit_test(a_failed_page_fails_the_list),
	    cmocka_unit_test(an_endless_list_is_refused),
	    cmocka_unit_test(find_on_an_old_service),
	    cmocka_unit_test(connect_extends_or_falls_back),
	    cmocka_unit_test(connect_to_the_dead),
	    cmocka_unit_test(kill_of_the_dead_is_fine),
	    cmocka_unit_test(network_replaces_the_rules),
	    cmocka_unit_test(create_with_domains),
	    cmocka_unit_test(ids_and_lives_are_checked_before_sending),
	    cmocka_unit_test(addresses),
	    cmocka_unit_test(half_a_configuration_is_refused),
	};

	return cmocka_run_group_tests_name("sandbox_rest", tests, NULL, NULL);
}
