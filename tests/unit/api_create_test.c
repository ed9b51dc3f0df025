/* What a create accepts, refuses, fills in; ids that can be asked for twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <cmocka.h>
#include <azlon/manifest.h>
#include "api/run.h"
#include "api_fixture.h"

#define OK_ "\"user_prompt\":\"p\",\"test_conditions\":\"t\",\"model\":\"recording/x\""

static struct api_fixture fix;

static int
setup(void **state)
{
	(void)state;
	return api_fixture_start(&fix, az_api_run_routes) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	return api_fixture_stop(&fix) ? 0 : -1;
}

/* loc and type of the only error; "" when the body is fine. */
static void
only_error(const char *json, char *out, size_t n)
{
	struct az_arena *a = az_arena_new(1 << 22);
	struct create c = {.a = a};
	const struct az_json *j = NULL;

	az_buf_init(&c.warnings, 4096);
	assert_int_equal(
	    az_json_parse_in(a, az_str_c(json), &az_json_request_limits, &j, NULL), AZ_OK);
	create_check(&c, j);
	out[0] = '\0';
	if (c.n_items)
		snprintf(out, n, "%s %s", c.items[0].loc, c.items[0].type);
	if (c.n_items > 1)
		snprintf(out, n, "%zu errors, first %s", c.n_items, c.items[0].loc);
	az_buf_release(&c.warnings);
	az_arena_free(a);
}

#define CHECKS(c) "{" OK_ ",\"checks\":[" c "]}"

static void
bodies_are_judged_member_by_member(void **state)
{
	static const struct {
		const char *json, *error;
	} t[] = {
	    {"{" OK_ "}", ""},
	    {"{\"test_conditions\":\"t\"}", "[\"body\",\"user_prompt\"] missing"},
	    {"{\"user_prompt\":\"p\"}", "[\"body\",\"test_conditions\"] missing"},
	    {"{\"user_prompt\":7,\"test_conditions\":\"t\"}",
		"[\"body\",\"user_prompt\"] string_type"},
	    {"{\"user_prompt\":\" \",\"test_conditions\":\"t\"}",
		"[\"body\",\"user_prompt\"] string_too_short"},
	    {"{\"user_prompt\":\"p\",\"test_conditions\":\"\"}",
		"[\"body\",\"test_conditions\"] string_too_short"},
	    {"{\"user_prompt\":\"p\",\"test_conditions\":\"\",\"checks\":[{\"run\":\"x\"}]}", ""},
	    {"{" OK_ ",\"mode\":\"later\"}", "[\"body\",\"mode\"] enum"},
	    {"{" OK_ ",\"mode\":null}", ""},
	    {"{" OK_ ",\"on_disconnect\":\"x\"}", "[\"body\",\"on_disconnect\"] enum"},
	    {"{\"user_prompt\":\"p\",\"test_conditions\":\"t\",\"model\":\"manual\"}", ""},
	    {"{\"user_prompt\":\"p\",\"test_conditions\":\"t\",\"model\":\"a b\"}",
		"[\"body\",\"model\"] string_pattern"},
	    {"{\"user_prompt\":\"p\",\"test_conditions\":\"t\",\"model\":\"recording/../x\"}",
		"[\"body\",\"model\"] string_pattern"},
	    {"{" OK_ ",\"hitl\":\"off\",\"webhook\":null,\"model_fallbacks\":[]}", ""},
	    {"{" OK_ ",\"hitl\":\"each\"}", ""},
	    {"{" OK_ ",\"hitl\":\"always\"}", "[\"body\",\"hitl\"] enum"},
	    {"{" OK_ ",\"webhook\":{\"url\":\"https://x.example:8443/a?b=c\"}}", ""},
	    {"{" OK_ ",\"webhook\":{\"url\":\"https://[2606:4700::1111]/\"}}", ""},
	    {"{" OK_ ",\"webhook\":\"https://x.example\"}", "[\"body\",\"webhook\"] dict_type"},
	    {"{" OK_ ",\"webhook\":{}}", "[\"body\",\"webhook\",\"url\"] missing"},
	    {"{" OK_ ",\"webhook\":{\"url\":\"https://x.example\",\"secret\":\"s\"}}",
		"[\"body\",\"webhook\"] not_supported"},
	    {"{" OK_ ",\"webhook\":{\"url\":\"http://x.example\"}}",
		"[\"body\",\"webhook\",\"url\"] url"},
	    {"{" OK_ ",\"webhook\":{\"url\":\"https://u:p@x.example\"}}",
		"[\"body\",\"webhook\",\"url\"] url"},
	    {"{" OK_ ",\"webhook\":{\"url\":\"https://x.example/a b\"}}",
		"[\"body\",\"webhook\",\"url\"] url"},
	    {"{" OK_ ",\"webhook\":{\"url\":\"https:///x\"}}",
		"[\"body\",\"webhook\",\"url\"] url"},
	    {"{" OK_ ",\"webhook\":{\"url\":\"https://10.1.2.3/\"}}",
		"[\"body\",\"webhook\",\"url\"] url_private"},
	    {"{" OK_ ",\"webhook\":{\"url\":\"https://[::1]:1/\"}}",
		"[\"body\",\"webhook\",\"url\"] url_private"},
	    {"{" OK_ ",\"webhook\":{\"url\":\"https://[::ffff:169.254.169.254]/\"}}",
		"[\"body\",\"webhook\",\"url\"] url_private"},
	    {"{" OK_ ",\"webhook\":{\"url\":\"https://LOCALHOST/\"}}",
		"[\"body\",\"webhook\",\"url\"] url_private"},
	    {"{" OK_ ",\"model_fallbacks\":[\"x\",\"recording/y\"]}", ""},
	    {"{" OK_ ",\"model_fallbacks\":\"x\"}", "[\"body\",\"model_fallbacks\"] list_type"},
	    {"{" OK_ ",\"model_fallbacks\":[\"x\",7]}",
		"[\"body\",\"model_fallbacks\",1] string_pattern"},
	    {"{" OK_ ",\"limits\":{\"iterations\":0}}",
		"[\"body\",\"limits\",\"iterations\"] out_of_range"},
	    {"{" OK_ ",\"limits\":{\"iterations\":101}}",
		"[\"body\",\"limits\",\"iterations\"] out_of_range"},
	    {"{" OK_ ",\"limits\":{\"wall_s\":\"60\"}}",
		"[\"body\",\"limits\",\"wall_s\"] int_type"},
	    {"{" OK_ ",\"limits\":[]}", "[\"body\",\"limits\"] dict_type"},
	    {"{" OK_ ",\"network\":{\"default\":\"open\"}}",
		"[\"body\",\"network\",\"default\"] enum"},
	    {"{" OK_ ",\"network\":{\"allow\":[\"api.example.com\",\"*.pkgs.example\"]}}", ""},
	    {"{" OK_ ",\"network\":{\"allow\":[\"a..b\"]}}",
		"[\"body\",\"network\",\"allow\",0] host"},
	    {"{" OK_ ",\"network\":{\"allow\":[\"http://x/\"]}}",
		"[\"body\",\"network\",\"allow\",0] host"},
	    {"{" OK_ ",\"metadata\":[1]}", "[\"body\",\"metadata\"] dict_type"},
	    {"{" OK_ ",\"user_id\":7}", "[\"body\",\"user_id\"] string_type"},
	    /* checks */
	    {CHECKS("{\"run\":\"a\"},{\"run\":[\"a\",\"\"]},{\"file\":\"a/b.png\"},"
		    "{\"http\":{\"port\":80,\"path\":\"/x\",\"status\":200,\"contains\":\"y\"}},"
		    "{\"text\":\"is pretty\"}"),
		""},
	    {CHECKS("{\"id\":\"a\",\"hidden\":true,\"run\":\"a\",\"stdin\":\"3\\n\","
		    "\"timeout_s\":30,\"expect\":{\"exit\":0,\"stdout_equals\":\"x\","
		    "\"stdout_contains\":\"x\",\"stdout_matches\":\"^[0-9]{1,3}(a|b)$\","
		    "\"stderr_empty\":true,\"max_s\":1.5}}"),
		""},
	    {CHECKS("{\"file\":\"p.png\",\"expect\":{\"min_bytes\":10,\"magic\":\"png\","
		    "\"contains\":\"x\"}}"),
		""},
	    {CHECKS("{}"), "[\"body\",\"checks\",0] value_error"},
	    {CHECKS("{\"run\":\"a\",\"file\":\"b\"}"), "[\"body\",\"checks\",0] value_error"},
	    {CHECKS("7"), "[\"body\",\"checks\",0] dict_type"},
	    {CHECKS("{\"run\":\"\"}"), "[\"body\",\"checks\",0,\"run\"] value_error"},
	    {CHECKS("{\"run\":[]}"), "[\"body\",\"checks\",0,\"run\"] value_error"},
	    {CHECKS("{\"run\":[\"a\",7]}"), "[\"body\",\"checks\",0,\"run\"] value_error"},
	    {CHECKS("{\"run\":\"a\"},{\"file\":\"../x\"}"),
		"[\"body\",\"checks\",1,\"file\"] value_error"},
	    {CHECKS("{\"http\":{\"port\":0}}"), "[\"body\",\"checks\",0,\"http\"] value_error"},
	    {CHECKS("{\"http\":{\"port\":80,\"path\":\"x\"}}"),
		"[\"body\",\"checks\",0,\"http\"] value_error"},
	    {CHECKS("{\"text\":\" \"}"), "[\"body\",\"checks\",0,\"text\"] value_error"},
	    {CHECKS("{\"run\":\"a\",\"timeout_s\":901}"),
		"[\"body\",\"checks\",0,\"timeout_s\"] out_of_range"},
	    {CHECKS("{\"run\":\"a\",\"stdin\":3}"),
		"[\"body\",\"checks\",0,\"stdin\"] string_type"},
	    {CHECKS("{\"file\":\"a\",\"stdin\":\"3\"}"), "[\"body\",\"checks\",0] extra_forbidden"},
	    {CHECKS("{\"run\":\"a\",\"expct\":{}}"), "[\"body\",\"checks\",0] extra_forbidden"},
	    /* an expectation that does not exist would always hold */
	    {CHECKS("{\"run\":\"a\",\"expect\":{\"stdout\":\"x\"}}"),
		"[\"body\",\"checks\",0,\"expect\"] extra_forbidden"},
	    {CHECKS("{\"file\":\"a\",\"expect\":{\"exit\":0}}"),
		"[\"body\",\"checks\",0,\"expect\"] extra_forbidden"},
	    {CHECKS("{\"run\":\"a\",\"expect\":{\"exit\":\"0\"}}"),
		"[\"body\",\"checks\",0,\"expect\",\"exit\"] type_error"},
	    {CHECKS("{\"run\":\"a\",\"expect\":{\"exit\":256}}"),
		"[\"body\",\"checks\",0,\"expect\",\"exit\"] value_error"},
	    {CHECKS("{\"run\":\"a\",\"expect\":{\"stdout_matches\":\"(\"}}"),
		"[\"body\",\"checks\",0,\"expect\",\"stdout_matches\"] value_error"},
	    {CHECKS("{\"file\":\"a\",\"expect\":{\"magic\":\"exe\"}}"),
		"[\"body\",\"checks\",0,\"expect\",\"magic\"] value_error"},
	    {CHECKS("{\"id\":\"a\",\"run\":\"x\"},{\"id\":\"a\",\"run\":\"y\"}"),
		"[\"body\",\"checks\",1,\"id\"] value_error"},
	    {CHECKS("{\"id\":\"a/b\",\"run\":\"x\"}"),
		"[\"body\",\"checks\",0,\"id\"] value_error"},
	    {"{" OK_ ",\"checks\":{}}", "[\"body\",\"checks\"] list_type"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		char got[300];
		only_error(t[i].json, got, sizeof got);
		if (strcmp(got, t[i].error) != 0)
			fail_msg("%s\n  gave:     %s\n  expected: %s", t[i].json, got, t[i].error);
	}
}

static void
patterns_that_never_end_are_refused(void **state)
{
	static const struct {
		const char *re;
		bool ok;
	} t[] = {{"a+b*c?", true}, {"[{]", true}, {"x{3}", true}, {"x{2,}", true},
	    {"a+b+c+d+e+f+g+h+i+j+k+l+m+n+o+p+q+r+s+t+", true}, {"([a-z]+\\.)+[a-z]{2,6}", true},
	    {"[]{+]+", true}, {"[^]+]", true}, {"[[:digit:]]{1,3}", true}, {"\\{x\\}", true},
	    {"((a{1,255}){1,255}){1,255}", false}, {"a{30000}", false},
	    {"w+++++++++++++++++++++++++++++++++++", false},
	    {"((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+", false},
	    {"[]]++++++++++++++++++++++++++++++++++", false},
	    {"[[.].]]++++++++++++++++++++++++++++++", false},
	    {"[[:alpha:]]++++++++++++++++++++++++++", false}, {"(a)\\1", false}, {"a{1", false},
	    {"", false}, {"[a", false}};
	char deep[200];

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		if (create_regex_ok(az_str_c(t[i].re)) != t[i].ok)
			fail_msg("%s", t[i].re);
	memset(deep, '(', 60);
	memset(deep + 60, ')', 60);
	deep[120] = '\0';
	assert_false(create_regex_ok(az_str_c(deep)));
}

static const struct az_json *
parse(struct az_arena *a, const struct fcgi_resp *r)
{
	const struct az_json *j = NULL;

	if (az_json_parse_in(a, az_str_n(r->body, r->body_n), &az_json_own_limits, &j, NULL))
		fail_msg("no JSON: %s", r->body);
	return j;
}

#define POST(user, body, r, ...)                                                                   \
	api_call(&fix, (user), "POST", "/run_workflow", "", (body),                                \
	    (const char *const[]){"CONTENT_TYPE=application/json", __VA_ARGS__ NULL}, (r))

static void
the_start_input_has_everything_filled_in(void **state)
{
	struct az_arena *a = az_arena_new(1 << 22);
	const struct az_json *j, *run, *req, *checks;
	struct fcgi_resp r;
	char h[300], id[300];

	(void)state;
	POST("alice",
	    "{" OK_ ",\"mode\":\"async\",\"typo\":1,\"limits\":{\"iterations\":3,\"x\":1},"
	    "\"checks\":[{\"run\":\"a\"},{\"id\":\"c1\",\"file\":\"b\"},{\"text\":\"c\"}]}",
	    &r, );
	assert_int_equal(r.status, 202);
	run = parse(a, &r);
	snprintf(id, sizeof id, "%.*s", AZ_FMT(az_json_gets(run, "workflow_id")));
	assert_true(az_wid_owned_by(az_str_c(id), AZ_S("alice")));
	assert_true(az_str_eqc(az_json_gets(run, "status"), "queued"));
	assert_int_equal(az_json_len(az_json_get(run, "warnings")), 2);
	assert_int_equal(az_json_geti(az_json_get(run, "limits"), "iterations", 0), 3);
	assert_true(az_str_eqc(az_json_gets(az_json_get(run, "model"), "provenance"), "recording"));
	assert_non_null(fcgi_peer_header(&r, "Retry-After", h, sizeof h));
	fcgi_peer_header(&r, "Location", h, sizeof h);
	assert_true(az_str_ends(az_str_c(h), az_str_c(id)));
	/* one engine call, and nothing read back */
	assert_int_equal(fix.engine.starts, 1);
	assert_int_equal(fix.engine.describes + fix.engine.histories, 0);
	fcgi_peer_release(&r);

	assert_int_equal(
	    az_json_parse_in(a, fix.engine.run[0].ev[0].payload, &az_json_own_limits, &j, NULL),
	    AZ_OK);
	assert_true(az_str_eqc(az_json_gets(j, "uid"), "alice"));
	req = az_json_get(j, "request");
	checks = az_json_get(req, "checks");
	assert_true(az_str_eqc(az_json_gets(az_json_at(checks, 0), "id"), "c2"));
	assert_true(az_str_eqc(az_json_gets(az_json_at(checks, 1), "id"), "c1"));
	assert_true(az_str_eqc(az_json_gets(az_json_at(checks, 2), "id"), "c3"));
	assert_int_equal(az_json_geti(az_json_get(req, "limits"), "tokens", 0), 400000);
	assert_true(az_str_eqc(az_json_gets(az_json_get(req, "network"), "default"), "install"));
	assert_true(az_str_eqc(az_json_gets(req, "on_disconnect"), "continue"));
	assert_true(az_str_eqc(az_json_gets(req, "model"), "recording/x"));

	/* what the 202 said is what a reader sees next */
	api_call(&fix, "alice", "GET", h, "", NULL, NULL, &r);
	assert_int_equal(r.status, 200);
	j = parse(a, &r);
	assert_int_equal(
	    az_json_geti(j, "last_event", 0) >= az_json_geti(run, "last_event", 99), true);
	assert_int_equal(az_json_len(az_json_get(j, "warnings")), 2);
	fcgi_peer_release(&r);
	az_arena_free(a);
}

static void
bad_requests_start_nothing(void **state)
{
	static const struct {
		const char *user, *body, *type;
		int status;
		const char *code;
	} t[] = {
	    {"alice", "{", "application/json", 400, "malformed"},
	    {"alice", "[]", "application/json", 400, "malformed"},
	    {"alice", "{\"user_prompt\":\"a\",\"user_prompt\":\"b\"}", "application/json", 400,
		"malformed"},
	    {"alice", "{" OK_ "}", "text/plain", 415, "unsupported_type"},
	    {"alice", "{" OK_ "}", "", 415, "unsupported_type"},
	    {"alice", "{" OK_ "}", "text/plain; application/json", 415, "unsupported_type"},
	    {"alice", "{}", "application/json", 422, "unprocessable"},
	    {"bob", "{" OK_ ",\"user_id\":\"alice\"}", "application/json", 403, "forbidden"},
	    {"alice", "{\"user_prompt\":\"p\",\"test_conditions\":\"t\"}", "application/json", 409,
		"llm_not_configured"},
	    {"alice", "{\"user_prompt\":\"p\",\"test_conditions\":\"t\",\"model\":\"gpt-4o\"}",
		"application/json", 409, "llm_not_configured"},
	    {"alice", "{" OK_ ",\"inputs\":[\"inp_aaaaaaaaaaaaaaaaaaaaaaaaaa\"]}",
		"application/json", 422, "unprocessable"},
	    {"alice", "{" OK_ ",\"inputs\":[\"../x\"]}", "application/json", 422, "unprocessable"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct az_arena *a = az_arena_new(1 << 20);
		struct fcgi_resp r;
		char type[100];

		snprintf(type, sizeof type, "CONTENT_TYPE=%s", t[i].type);
		api_call(&fix, t[i].user, "POST", "/run_workflow", "", t[i].body,
		    (const char *const[]){type, NULL}, &r);
		if (r.status != t[i].status)
			fail_msg("%s: %d %s", t[i].body, r.status, r.body);
		assert_true(az_str_eqc(az_json_gets(parse(a, &r), "code"), t[i].code));
		if (r.status == 422)
			assert_true(az_json_len(az_json_get(parse(a, &r), "errors")) > 0);
		fcgi_peer_release(&r);
		az_arena_free(a);
	}
	assert_int_equal(fix.engine.starts, 0);
}

static void
the_refusal_names_three_ways_out(void **state)
{
	struct fcgi_resp r;

	(void)state;
	POST("alice", "{\"user_prompt\":\"p\",\"test_conditions\":\"t\"}", &r, );
	assert_non_null(strstr(r.body, "OPENAI_API_KEY"));
	assert_non_null(strstr(r.body, "recording/"));
	assert_non_null(strstr(r.body, "manual"));
	fcgi_peer_release(&r);
}

static void
a_dead_engine_is_named(void **state)
{
	struct fcgi_resp r;
	char h[50];

	(void)state;
	fix.engine.down = true;
	POST("alice", "{" OK_ "}", &r, );
	assert_int_equal(r.status, 503);
	assert_non_null(strstr(r.body, "\"code\":\"engine\""));
	assert_non_null(fcgi_peer_header(&r, "Retry-After", h, sizeof h));
	fcgi_peer_release(&r);
}

static void
inputs_are_the_callers_own(void **state)
{
	struct az_bucket b = az_bucket_of(AZ_S("alice"));
	static const char *const body = "{" OK_ ",\"mode\":\"async\",\"inputs\":"
					"[\"inp_aaaaaaaaaaaaaaaaaaaaaaaaaa\"]}";
	struct az_buf key;
	struct fcgi_resp r;

	(void)state;
	az_buf_init(&key, 500);
	az_key_input_manifest(&key, AZ_S("inp_aaaaaaaaaaaaaaaaaaaaaaaaaa"));
	assert_int_equal(
	    az_store_put(fix.api.store, &b, az_buf_str(&key), AZ_S("{\"v\":1,\"files\":[]}"), NULL),
	    AZ_OK);
	POST("alice", body, &r, );
	assert_int_equal(r.status, 202);
	fcgi_peer_release(&r);
	POST("bob", body, &r, );
	assert_int_equal(r.status, 422);
	fcgi_peer_release(&r);

	/* the original's upload set is taken in by a run that names no inputs */
	az_buf_reset(&key);
	az_key_input_manifest(&key, AZ_S("default"));
	assert_int_equal(
	    az_store_put(fix.api.store, &b, az_buf_str(&key), AZ_S("{\"v\":1,\"files\":[]}"), NULL),
	    AZ_OK);
	POST("alice", "{" OK_ ",\"mode\":\"async\"}", &r, );
	assert_non_null(memmem(fix.engine.run[1].ev[0].payload.p, fix.engine.run[1].ev[0].payload.n,
	    "\"inputs\":[\"default\"]", 20));
	fcgi_peer_release(&r);
	POST("alice", "{" OK_ ",\"mode\":\"async\",\"inputs\":[]}", &r, );
	assert_non_null(memmem(fix.engine.run[2].ev[0].payload.p, fix.engine.run[2].ev[0].payload.n,
	    "\"inputs\":[]", 11));
	fcgi_peer_release(&r);
	az_buf_release(&key);
}

static void
files_of_own_earlier_runs_can_be_inputs(void **state)
{
	static const char wid[] = "user-alice-1790000000000-abcdefghijklmnopqrstuvwxyz";
	struct az_bucket b = az_bucket_of(AZ_S("alice"));
	struct az_file f = {.path = AZ_S("out/t.csv"), .mode = 0644};
	struct az_arena *a = az_arena_new(1 << 20);
	struct az_manifest m;
	struct az_buf key;
	struct fcgi_resp r;
	char body[500];

	(void)state;
	az_buf_init(&key, 500);
	az_manifest_init(&m, a);
	memset(f.sha256, 'e', 64);
	assert_int_equal(az_manifest_set(&m, &f, NULL), AZ_OK);
	az_key_iter(&key, az_str_c(wid), 3, "manifest");
	assert_int_equal(az_manifest_save(&m, fix.api.store, &b, az_buf_str(&key), NULL), AZ_OK);
	az_arena_free(a);
	az_buf_release(&key);
	snprintf(
	    body, sizeof body, "{" OK_ ",\"mode\":\"async\",\"inputs\":[\"%s/out/t.csv\"]}", wid);
	POST("alice", body, &r, );
	assert_int_equal(r.status, 202);
	fcgi_peer_release(&r);
	POST("bob", body, &r, );
	assert_int_equal(r.status, 422);
	fcgi_peer_release(&r);
	snprintf(body, sizeof body, "{" OK_ ",\"inputs\":[\"%s/out/none.csv\"]}", wid);
	POST("alice", body, &r, );
	assert_int_equal(r.status, 422);
	assert_non_null(strstr(r.body, "[\"body\",\"inputs\",0]"));
	fcgi_peer_release(&r);
}

static void
a_key_asked_twice_gives_the_same_run(void **state)
{
	static const char *const one = "{" OK_ ",\"mode\":\"async\"}";
	static const char *const other = "{" OK_ ",\"mode\":\"async\",\"metadata\":{}}";
	struct fcgi_resp r;
	char first[300], again[300], h[100];

	(void)state;
	POST("alice", one, &r, "HTTP_IDEMPOTENCY_KEY=k1", );
	assert_int_equal(r.status, 202);
	assert_null(fcgi_peer_header(&r, "Idempotency-Replayed", h, sizeof h));
	fcgi_peer_header(&r, "Location", first, sizeof first);
	fcgi_peer_release(&r);

	POST("alice", one, &r, "HTTP_IDEMPOTENCY_KEY=k1", );
	assert_int_equal(r.status, 202);
	assert_string_equal(fcgi_peer_header(&r, "Idempotency-Replayed", h, sizeof h), "true");
	fcgi_peer_header(&r, "Location", again, sizeof again);
	assert_string_equal(first, again);
	fcgi_peer_release(&r);

	POST("alice", other, &r, "HTTP_IDEMPOTENCY_KEY=k1", );
	assert_int_equal(r.status, 422);
	assert_non_null(strstr(r.body, "idempotency_mismatch"));
	fcgi_peer_release(&r);

	/* another user's key of the same name is another key */
	POST("bob", one, &r, "HTTP_IDEMPOTENCY_KEY=k1", );
	assert_int_equal(r.status, 202);
	fcgi_peer_header(&r, "Location", again, sizeof again);
	assert_string_not_equal(first, again);
	fcgi_peer_release(&r);
	assert_int_equal(fix.engine.n, 2);
}

static void
keys_hold_over_midnight(void **state)
{
	static const char *const one = "{" OK_ ",\"mode\":\"async\"}";
	const int64_t day = INT64_C(86400000);
	struct az_start s = {.type = az_flow_coding.name,
	    .uid = AZ_S("alice"),
	    .input = AZ_S("{\"v\":1,\"request\":{\"user_prompt\":\"p\"}}")};
	struct fcgi_resp r;
	struct az_buf b;
	bool existed;
	char h[300];

	(void)state;
	/* a run that was started yesterday with this key and another body */
	az_buf_init(&b, 200);
	assert_int_equal(
	    idem_wid(&fix.api, 0, AZ_S("alice"), AZ_S("late"), az_wall_ms() - day, &b, NULL),
	    AZ_OK);
	s.workflow_id = az_buf_str(&b);
	s.memo = AZ_S("{\"body_sha256\":\"00\"}");
	assert_int_equal(fake_start(fix.api.engine, &s, &existed, NULL), AZ_OK);
	POST("alice", one, &r, "HTTP_IDEMPOTENCY_KEY=late", );
	assert_int_equal(r.status, 422);
	assert_non_null(strstr(r.body, "idempotency_mismatch"));
	assert_null(fcgi_peer_header(&r, "Location", h, sizeof h));
	fcgi_peer_release(&r);
	az_buf_release(&b);
	assert_int_equal(fix.engine.n, 1);
}

/* Where the run of alice's start with this key is. */
static void
started(const char *key, char location[200])
{
	char header[100];
	struct fcgi_resp r;

	snprintf(header, sizeof header, "HTTP_IDEMPOTENCY_KEY=%s", key);
	POST("alice", "{" OK_ ",\"mode\":\"async\"}", &r, header, );
	assert_int_equal(r.status, 202);
	assert_non_null(fcgi_peer_header(&r, "Location", location, 200));
	fcgi_peer_release(&r);
}

static void
keys_hold_over_a_change_of_the_secret(void **state)
{
	struct az_secrets *s = &fix.api.secrets;
	char first[200], again[200], other[200];

	(void)state;
	started("k", first);
	memcpy(s->key[1], s->key[0], AZ_SECRET_BYTES);
	s->key[0][0] ^= 1;
	s->n = 2;
	started("k", again);
	assert_string_equal(first, again);
	/* what is new is made by the new one, and is there when the former is gone */
	started("m", other);
	s->n = 1;
	started("m", again);
	assert_string_equal(other, again);
	assert_int_equal(fix.engine.n, 2);
}

static void
a_synchronous_start_hands_its_wait_over(void **state)
{
	static const struct {
		const char *prefer;
		const char *in_target; /* NULL: 202 at once */
	} t[] = {{"HTTP_PREFER=", "&token="}, {"HTTP_PREFER=wait=7", "&wait=7"},
	    {"HTTP_PREFER=respond-async", NULL}, {"HTTP_PREFER=respond-async, wait=5", "&wait=5"}};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct fcgi_resp r;
		char h[600];

		POST("alice", "{" OK_ "}", &r, t[i].prefer, );
		if (t[i].in_target) {
			assert_non_null(fcgi_peer_header(&r, "X-Accel-Redirect", h, sizeof h));
			assert_true(az_str_starts(az_str_c(h), AZ_S("/_wait/user-alice-")));
			assert_non_null(strstr(h, t[i].in_target));
		} else {
			assert_int_equal(r.status, 202);
			assert_null(fcgi_peer_header(&r, "X-Accel-Redirect", h, sizeof h));
		}
		fcgi_peer_release(&r);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bodies_are_judged_member_by_member),
	    cmocka_unit_test(patterns_that_never_end_are_refused),
	    T(the_start_input_has_everything_filled_in),
	    T(bad_requests_start_nothing),
	    T(the_refusal_names_three_ways_out),
	    T(a_dead_engine_is_named),
	    T(inputs_are_the_callers_own),
	    T(files_of_own_earlier_runs_can_be_inputs),
	    T(a_key_asked_twice_gives_the_same_run),
	    T(keys_hold_over_midnight),
	    T(keys_hold_over_a_change_of_the_secret),
	    T(a_synchronous_start_hands_its_wait_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
