/* The OpenAI adapter: what is retried, and what failures say. */
#include "llm_openai_fixture.h"

/* What passes is tried again, as often as needed, after what the server asks for. */
static void
passing_failures_are_retried(void **state)
{
	static const struct http_peer_step steps[] = {
	    STEP(ERR("429", SOON, BODY("slow down", "null", "\"rate_limit_exceeded\""))),
	    STEP(ERR("500", SOON, "oops")),
	    STEP(ERR("408", SOON, "")),
	    STEP(GOOD),
	};
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 0);
	assert_int_equal(ask(&g), AZ_OK);
	assert_int_equal(g.r.calls, 4);
	assert_true(az_str_eqc(g.r.text, "Hello"));
	close_rig(&g);
}

/* Who asks may want to wait less than the adapter would. */
static void
a_request_has_tries_and_time_of_its_own(void **state)
{
	static const struct http_peer_step busy[] = {
	    STEP(ERR("503", SOON, "busy")),
	    STEP(GOOD),
	};
	static const struct http_peer_step drips[] = {
	    {.bytes = SSE ": still there\n\n", .then = HTTP_THEN_STALL},
	};
	struct az_llm_req q = {.model = AZ_S("m"), .msgs = msgs, .n_msgs = 2, .tries = 1};
	struct rig g;

	(void)state;
	RIG(&g, busy, "hosted", 2);
	assert_int_equal(az_llm_complete(g.llm, &q, g.a, &g.r, &g.err), AZ_EUNAVAIL);
	assert_int_equal(g.r.calls, 1);
	q.tries = 9;
	assert_int_equal(az_llm_complete(g.llm, &q, g.a, &g.r, &g.err), AZ_OK);
	close_rig(&g);

	RIG(&g, drips, "hosted", 100);
	q.tries = 0;
	q.total_ms = 50;
	assert_int_equal(az_llm_complete(g.llm, &q, g.a, &g.r, &g.err), AZ_ETIMEOUT);
	assert_string_equal(g.err.reason, "llm_unavailable");
	assert_int_equal(g.r.calls, 1);
	close_rig(&g);
}

static void
a_cut_stream_is_no_answer(void **state)
{
	static const struct http_peer_step steps[] = {
	    STEP(SSE C("half an ans")),
	    {.bytes = SSE C("half an answer"), .then = HTTP_THEN_RESET},
	    STEP(GOOD),
	};
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 0);
	assert_int_equal(ask(&g), AZ_OK);
	assert_true(az_str_eqc(g.r.text, "Hello"));
	assert_int_equal(g.r.calls, 3);
	close_rig(&g);
}

static void
a_cut_behind_the_end_is_an_answer(void **state)
{
	static const struct http_peer_step steps[] = {
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" C("whole") STOP,
		.then = HTTP_THEN_CLOSE},
	};
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 1);
	assert_int_equal(ask(&g), AZ_OK);
	assert_true(az_str_eqc(g.r.text, "whole"));
	close_rig(&g);
}

static void
a_silent_server_times_out(void **state)
{
	static const struct http_peer_step steps[] = {
	    {.bytes = SSE C("hal"), .then = HTTP_THEN_STALL},
	};
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 1);
	assert_int_equal(ask(&g), AZ_ETIMEOUT);
	assert_string_equal(g.err.reason, "llm_unavailable");
	close_rig(&g);
}

static void
nobody_there_is_unavailable(void **state)
{
	static const struct http_peer_step steps[] = {STEP(GOOD)};
	struct rig g;
	struct http_peer *gone;

	(void)state;
	RIG(&g, steps, "hosted", 1);
	gone = g.peer;
	http_peer_stop(gone);
	assert_int_equal(ask(&g), AZ_EUNAVAIL);
	assert_string_equal(g.err.reason, "llm_unavailable");
	assert_int_equal(g.r.calls, 1);
	assert_int_equal(az_llm_ping(g.llm, &g.err), AZ_EUNAVAIL);
	g.peer = http_peer_start(steps, 1, NULL, NULL);
	close_rig(&g);
}

/* One failure each: which code and reason, and how many calls it took. */
static const struct {
	const char *name, *bytes;
	enum az_code code;
	const char *reason, *text;
	int calls; /* with 2 tries */
} failures[] = {
    {"wrong key", ERR("401", "", BODY("bad key", "null", "\"invalid_api_key\"")), AZ_EPERM,
	"llm_unavailable", "refused the key: bad key", 1},
    {"quota", ERR("429", SOON, BODY("no money", "null", "\"insufficient_quota\"")), AZ_EPERM,
	"llm_unavailable", "quota", 1},
    {"payment", ERR("402", SOON, "{\"error\":{\"message\":\"credits\",\"code\":402}}"), AZ_EPERM,
	"llm_unavailable", "quota", 1},
    {"no such model", ERR("404", "", BODY("no model", "null", "\"model_not_found\"")), AZ_EPERM,
	"llm_unavailable", "not there", 1},
    {"no recording", ERR("409", SOON, BODY("record it", "null", "\"no_recording\"")), AZ_ECONFLICT,
	"no_recording", "record it", 1},
    {"prompt too long",
	ERR("400", "",
	    "{\"error\":{\"message\":\"n\",\"code\":400,\"type\":"
	    "\"exceed_context_size_error\",\"n_prompt_tokens\":9,\"n_ctx\":4}}"),
	AZ_EPERM, "llm_unavailable", "context", 1},
    {"filtered prompt", ERR("400", "", BODY("policy", "null", "\"content_filter\"")), AZ_EUNPROC,
	"bad_model_output", "filter", 1},
    {"bad request", ERR("400", "", "{\"error\":\"what?\"}"), AZ_EPERM, "llm_unavailable",
	"400: what?", 1},
    {"lock conflict", ERR("409", SOON, "{}"), AZ_EUNAVAIL, "llm_unavailable", "409", 2},
    {"overloaded", ERR("503", SOON, BODY("busy", "null", "null")), AZ_EUNAVAIL, "llm_unavailable",
	"503: busy", 2},
    {"told not to retry", ERR("503", SOON "x-should-retry: false\r\n", "{}"), AZ_EUPSTREAM,
	"llm_unavailable", "503", 1},
    {"told to retry", ERR("400", SOON "x-should-retry: true\r\n", "{}"), AZ_EUNAVAIL,
	"llm_unavailable", "400", 2},
    {"asked to wait too long", ERR("429", "Retry-After: 121\r\n", "{}"), AZ_EUNAVAIL,
	"llm_unavailable", "429", 1},
    {"an HTML page", ERR("502", SOON, "<html>\x01 proxy</html>"), AZ_EUNAVAIL, "llm_unavailable",
	"502: <html>  proxy</html>", 2},
    {"error in a 200, terminal", ERR("200", "", "{\"error\":{\"message\":\"pay\",\"code\":402}}"),
	AZ_EPERM, "llm_unavailable", "quota", 1},
    {"error in the stream, terminal",
	SSE C("x") "data: {\"error\":{\"message\":\"key\","
		   "\"code\":401}}\n\n",
	AZ_EPERM, "llm_unavailable", "key", 1},
    {"refusal",
	SSE "data: {\"choices\":[{\"delta\":{\"refusal\":\"I will not\"},"
	    "\"finish_reason\":\"stop\"}]}\n\n",
	AZ_EUNPROC, "bad_model_output", "I will not", 1},
    {"filtered answer",
	SSE C("x") "data: {\"choices\":[{\"delta\":{},\"finish_reason\":"
		   "\"content_filter\"}]}\n\n",
	AZ_EUNPROC, "bad_model_output", "refused", 1},
    {"error in the stream, passing", SSE C("x") "data: {\"error\":{\"message\":\"busy\"}}\n\n",
	AZ_EUNAVAIL, "llm_unavailable", "busy", 2},
    {"nonsense", SSE "data: nonsense\n\n", AZ_EUPSTREAM, "llm_unavailable", "malformed", 2},
};

static void
failures_say_what_to_do(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
		const struct http_peer_step steps[] = {STEP(failures[i].bytes)};
		enum az_code rc;
		struct rig g;

		RIG(&g, steps, "hosted", 2);
		rc = ask(&g);
		if (rc != failures[i].code || strcmp(g.err.reason, failures[i].reason) != 0 ||
		    !strstr(g.err.text, failures[i].text) || g.r.calls != failures[i].calls ||
		    http_peer_requests(g.peer) != failures[i].calls)
			fail_msg("%s: %s, reason \"%s\", text \"%s\", %d calls", failures[i].name,
			    az_code_name(rc), g.err.reason, g.err.text, g.r.calls);
		close_rig(&g);
	}
}

static void
the_wait_asked_for_is_passed_on(void **state)
{
	static const struct http_peer_step steps[] = {
	    STEP(ERR("429", "Retry-After: 300\r\n", "{}"))};
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 0);
	assert_int_equal(ask(&g), AZ_EUNAVAIL);
	assert_int_equal(g.err.retry_after_ms, 300000);
	close_rig(&g);
}

static bool
after_three(void *arg)
{
	int *n = arg;

	return ++*n > 3;
}

static void
a_cancel_ends_the_call(void **state)
{
	static const struct http_peer_step stall[] = {
	    {.bytes = SSE C("x"), .then = HTTP_THEN_STALL}};
	static const struct http_peer_step wait[] = {
	    STEP(ERR("503", "Retry-After: 100\r\n", "{}"))};
	int64_t from = az_boot_ms();
	struct rig g;
	int n = 0;

	(void)state;
	RIG(&g, stall, "hosted", 0);
	assert_int_equal(ask_with(&g, "m", NULL, after_three, NULL, &n), AZ_ECANCELLED);
	close_rig(&g);
	n = 0;
	RIG(&g, wait, "hosted", 0);
	assert_int_equal(ask_with(&g, "m", NULL, after_three, NULL, &n), AZ_ECANCELLED);
	close_rig(&g);
	assert_true(az_boot_ms() - from < 20000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(passing_failures_are_retried),
	    cmocka_unit_test(a_request_has_tries_and_time_of_its_own),
	    cmocka_unit_test(a_cut_stream_is_no_answer),
	    cmocka_unit_test(a_cut_behind_the_end_is_an_answer),
	    cmocka_unit_test(a_silent_server_times_out),
	    cmocka_unit_test(nobody_there_is_unavailable),
	    cmocka_unit_test(failures_say_what_to_do),
	    cmocka_unit_test(the_wait_asked_for_is_passed_on),
	    cmocka_unit_test(a_cancel_ends_the_call),
	};

	return cmocka_run_group_tests_name("llm_openai_faults", tests, NULL, NULL);
}
