/* E2B's wire: sandboxes are made, listed, given time. */
#include "box_wire.h"

static void
strangers_are_turned_away(void **state)
{
	static const char *const wrong_host[] = {"HTTP_HOST=evil.example:8090", KEY, NULL};
	static const char *const no_port[] = {"HTTP_HOST=127.0.0.1", KEY, NULL};
	static const char *const no_key[] = {HOST, NULL};
	static const char *const bad_key[] = {HOST, "HTTP_X_API_KEY=e2b_0", NULL};

	(void)state;
	NEEDS_BOX(&fix);
	call("GET", "/v2/sandboxes", NULL, NULL, 0, wrong_host);
	assert_int_equal(a.status, 403);
	call("GET", "/v2/sandboxes", NULL, NULL, 0, no_port);
	assert_int_equal(a.status, 403);
	call("GET", "/v2/sandboxes", NULL, NULL, 0, no_key);
	assert_int_equal(a.status, 401);
	assert_string_equal(a.body, "{\"code\":401,\"message\":\"Invalid API key\"}");
	call("POST", "/sandboxes", NULL, "{\"templateID\":\"base\"}", 21, bad_key);
	assert_int_equal(a.status, 401);
	call("GET", "/health", NULL, NULL, 0, no_key);
	assert_int_equal(a.status, 204);
	control("GET", "/nowhere", NULL, NULL);
	assert_int_equal(a.status, 404);
	assert_non_null(strstr(a.body, "\"code\":404"));
	control("DELETE", "/v2/sandboxes", NULL, NULL);
	assert_int_equal(a.status, 405);
	assert_non_null(strstr(a.body, "\"code\":405"));
}

static void
creation_is_checked(void **state)
{
	static const struct {
		const char *body;
		int status;
		const char *says;
	} t[] = {
	    {"", 400, ""},
	    {"[]", 400, "templateID"},
	    {"{}", 400, "templateID"},
	    {"{\"templateID\":\"nope\"}", 404, "template 'nope' not found"},
	    {"{\"templateID\":\"base\",\"timeout\":0}", 400, "greater than 0"},
	    {"{\"templateID\":\"base\",\"timeout\":86401}", 400, "24 hours"},
	    {"{\"templateID\":\"base\",\"timeout\":\"x\"}", 400, "timeout"},
	    {"{\"templateID\":\"base\",\"metadata\":{\"a\":1}}", 400, "metadata"},
	    {"{\"templateID\":\"base\",\"envVars\":[1]}", 400, "envVars"},
	    {"{\"templateID\":\"base\",\"volumeMounts\":[{}]}", 400, "volumeMounts"},
	    {"{\"templateID\":\"base\",\"network\":{\"dnsServers\":[\"1.1.1.1\"]}}", 400,
		"dnsServers"},
	    {"{\"templateID\":\"base\",\"network\":{\"allowOut\":[\"10.0.0.0/8\"]}}", 400,
		"allowOut"},
	};

	(void)state;
	NEEDS_BOX(&fix);
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		control("POST", "/v2/sandboxes", NULL, t[i].body);
		if (a.status != t[i].status || !strstr(a.body, t[i].says))
			fail_msg("%s: %d %s", t[i].body, a.status, a.body);
	}
	assert_int_equal(fix.s->starting, 0);
	control("GET", "/v2/sandboxes", NULL, NULL);
	assert_string_equal(a.body, "[]");
}

static void
one_key_makes_one_sandbox(void **state)
{
	static const char *const p[] = {HOST, KEY, "HTTP_IDEMPOTENCY_KEY=run-1", NULL};
	static const char *const bad[] = {HOST, KEY, "HTTP_IDEMPOTENCY_KEY=A B", NULL};
	static const char body[] = "{\"templateID\":\"base\",\"timeout\":60}";
	char first[40];

	(void)state;
	NEEDS_BOX(&fix);
	call("POST", "/v2/sandboxes", NULL, body, sizeof body - 1, p);
	assert_int_equal(a.status, 201);
	member("sandboxID", first, sizeof first);
	call("POST", "/v2/sandboxes", NULL, body, sizeof body - 1, p);
	assert_int_equal(a.status, 201);
	member("sandboxID", id, sizeof id);
	assert_string_equal(first, id);
	call("POST", "/v2/sandboxes", NULL, "{\"templateID\":\"base\"}", 21, p);
	assert_int_equal(a.status, 422);
	assert_non_null(strstr(a.body, "idempotency_request_mismatch"));
	call("POST", "/v2/sandboxes", NULL, body, sizeof body - 1, bad);
	assert_int_equal(a.status, 400);
	kill_it();
}

static void
lists_are_filtered_and_paged(void **state)
{
	char next[200], q[300], ids[3][40];
	struct az_json *j = NULL;

	(void)state;
	NEEDS_BOX(&fix);
	for (int i = 0; i < 3; i++) {
		create(i == 1 ? "{\"templateID\":\"base\",\"metadata\":{\"a\":\"b c\"}}"
			      : "{\"templateID\":\"base\",\"metadata\":{\"a\":\"x\"}}");
		memcpy(ids[i], id, sizeof id);
	}
	/* as the SDKs send it: encoded inside, then again */
	control("GET", "/v2/sandboxes", "metadata=a%3Db%252520c", NULL);
	assert_int_equal(
	    az_json_parse(az_str_n(a.body, a.body_n), &az_json_own_limits, &j, NULL), AZ_OK);
	assert_int_equal(az_json_len(j), 1);
	assert_true(az_str_eqc(az_json_gets(az_json_at(j, 0), "sandboxID"), ids[1]));
	az_json_free(j);
	assert_null(strstr(a.body, "envdAccessToken"));
	control("GET", "/v2/sandboxes", "limit=2", NULL);
	assert_non_null(strstr(a.body, ids[2]));
	assert_null(strstr(a.body, ids[0]));
	assert_non_null(fcgi_peer_header(&a, "X-Next-Token", next, sizeof next));
	snprintf(q, sizeof q, "limit=2&nextToken=%s", next);
	control("GET", "/v2/sandboxes", q, NULL);
	assert_non_null(strstr(a.body, ids[0]));
	assert_null(strstr(a.body, ids[1]));
	assert_null(strstr(a.head, "X-Next-Token"));
	snprintf(q, sizeof q, "order=asc&nextToken=%s", next);
	control("GET", "/v2/sandboxes", q, NULL);
	assert_int_equal(a.status, 400);
	control("GET", "/v2/sandboxes", "state=paused", NULL);
	assert_string_equal(a.body, "[]");
	for (int i = 0; i < 3; i++) {
		memcpy(id, ids[i], sizeof id);
		kill_it();
	}
	snprintf(q, sizeof q, "/sandboxes/%s", id);
	control("GET", q, NULL, NULL);
	assert_int_equal(a.status, 404);
	control("DELETE", q, NULL, NULL);
	assert_int_equal(a.status, 404);
}

static void
time_is_given_and_only_extended_by_connect(void **state)
{
	char path[100], s1[100], end1[64], end2[64];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\",\"timeout\":500}");
	snprintf(s1, sizeof s1, "/sandboxes/%s", id);
	control("GET", s1, NULL, NULL);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.body, "\"state\":\"running\""));
	member("endAt", end1, sizeof end1);
	snprintf(path, sizeof path, "/v2/sandboxes/%s/connect", id);
	control("POST", path, NULL, "{\"timeout\":1}");
	assert_int_equal(a.status, 200);
	control("GET", s1, NULL, NULL);
	member("endAt", end2, sizeof end2);
	assert_string_equal(end1, end2);
	snprintf(path, sizeof path, "/sandboxes/%s/connect", id);
	control("POST", path, NULL, "{}");
	assert_int_equal(a.status, 400);
	snprintf(path, sizeof path, "/sandboxes/%s/timeout", id);
	control("POST", path, NULL, "{\"timeout\":100}");
	assert_int_equal(a.status, 204);
	control("GET", s1, NULL, NULL);
	member("endAt", end2, sizeof end2);
	assert_true(strcmp(end2, end1) < 0);
	snprintf(path, sizeof path, "/sandboxes/%s/fork", id);
	control("POST", path, NULL, "{}");
	assert_int_equal(a.status, 501);
	assert_non_null(strstr(a.body, "fork"));
	snprintf(path, sizeof path, "/sandboxes/%s/network", id);
	control("PUT", path, NULL, "{\"allow_internet_access\":false}");
	assert_int_equal(a.status, 204);
	control("GET", s1, NULL, NULL);
	assert_non_null(strstr(a.body, "\"allowInternetAccess\":false"));
	kill_it();
}

static void
more_than_the_most_is_refused(void **state)
{
	char ids[8][40];

	(void)state;
	NEEDS_BOX(&fix);
	for (int i = 0; i < 8; i++) {
		create("{\"templateID\":\"base\"}");
		memcpy(ids[i], id, sizeof id);
	}
	control("POST", "/v2/sandboxes", NULL, "{\"templateID\":\"base\"}");
	assert_int_equal(a.status, 429);
	assert_non_null(strstr(a.head, "Should-Retry: false"));
	assert_null(strstr(a.head, "Retry-After"));
	assert_non_null(strstr(a.body, "concurrent E2B sandboxes (8)"));
	for (int i = 0; i < 8; i++) {
		memcpy(id, ids[i], sizeof id);
		kill_it();
	}
	create("{\"templateID\":\"base\"}");
	kill_it();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(strangers_are_turned_away),
	    cmocka_unit_test(creation_is_checked),
	    cmocka_unit_test(one_key_makes_one_sandbox),
	    cmocka_unit_test(lists_are_filtered_and_paged),
	    cmocka_unit_test(time_is_given_and_only_extended_by_connect),
	    cmocka_unit_test(more_than_the_most_is_refused),
	};

	fix_become_nobody(&fix, true);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
