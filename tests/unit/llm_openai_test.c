/* The OpenAI adapter against a scripted peer on loopback: what is sent, what is retried,
   what is given up, what is learned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include <azlon/json.h>
#include <azlon/llm.h>
#include "http_peer.h"

#define SSE "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define C(text) "data: {\"model\":\"srv\",\"choices\":[{\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define STOP "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n"
#define DONE "data: [DONE]\n\n"
#define GOOD SSE C("Hel") C("lo") STOP USAGE DONE
/* an error answer whose connection ends with it */
#define ERR(status, headers, body)                                                                 \
	"HTTP/1.1 " status " x\r\nConnection: close\r\n" headers "\r\n" body
#define SOON "retry-after-ms: 1\r\n"
#define BODY(message, param, code)                                                                 \
	"{\"error\":{\"message\":\"" message "\",\"param\":" param ",\"code\":" code               \
	",\"type\":\"t\"}}"
#define STEP(b)                                                                                    \
	{                                                                                          \
		.bytes = (b), .then = HTTP_THEN_CLOSE                                              \
	}

struct rig {
	struct az_http *http;
	struct http_peer *peer;
	struct az_llm *llm;
	struct az_arena *a;
	struct az_llm_reply r;
	struct az_err err;
};

static void
open_rig(
    struct rig *g, const struct http_peer_step *steps, size_t n, const char *provenance, int tries)
{
	char url[128];

	*g = (struct rig){0};
	assert_int_equal(az_http_new(&g->http, &g->err), AZ_OK);
	g->peer = http_peer_start(steps, n, NULL, NULL);
	assert_non_null(g->peer);
	http_peer_url(g->peer, "/v1/", url, sizeof url);
	assert_int_equal(az_llm_openai_open(&(struct az_llm_openai_opts){.http = g->http,
						.base_url = url,
						.key = "sk-test",
						.provenance = provenance,
						.tries = tries,
						.idle_ms = 300},
			     &g->llm, &g->err),
	    AZ_OK);
	g->a = az_arena_new(1 << 24);
}

static void
close_rig(struct rig *g)
{
	az_arena_free(g->a);
	az_llm_close(g->llm);
	http_peer_stop(g->peer);
	az_http_free(g->http);
}

#define RIG(g, steps, provenance, tries)                                                           \
	open_rig((g), (steps), sizeof(steps) / sizeof *(steps), (provenance), (tries))

static const struct az_llm_msg msgs[] = {
    {"system", {"Answer in JSON.", 15}},
    {"user", {"say \"hello\"", 11}},
};

static enum az_code
ask_with(struct rig *g, const char *model, const char *schema, bool (*cancelled)(void *),
    void (*progress)(void *, size_t), void *arg)
{
	return az_llm_complete(g->llm,
	    &(struct az_llm_req){.model = az_str_c(model),
		.msgs = msgs,
		.n_msgs = 2,
		.schema = az_str_c(schema),
		.schema_name = "verdict",
		.temperature = 0.2,
		.seed = 7,
		.max_tokens = 100,
		.cancelled = cancelled,
		.progress = progress,
		.arg = arg},
	    g->a, &g->r, &g->err);
}

static enum az_code
ask(struct rig *g)
{
	return ask_with(g, "gpt-x", NULL, NULL, NULL, NULL);
}

/* Body of request i, parsed. */
static const struct az_json *
sent(struct rig *g, int i)
{
	const char *text = http_peer_request(g->peer, i, NULL), *body;
	const struct az_json *j = NULL;

	assert_non_null(text);
	body = strstr(text, "\r\n\r\n");
	assert_non_null(body);
	assert_int_equal(
	    az_json_parse_in(g->a, az_str_c(body + 4), &az_json_own_limits, &j, &g->err), AZ_OK);
	return j;
}

static void
an_answer_arrives(void **state)
{
	static const struct http_peer_step steps[] = {STEP(GOOD)};
	const struct az_json *j;
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 0);
	assert_int_equal(ask(&g), AZ_OK);
	assert_true(az_str_eqc(g.r.text, "Hello"));
	assert_string_equal(g.r.finish, "stop");
	assert_string_equal(g.r.model, "srv");
	assert_string_equal(g.r.provenance, "hosted");
	assert_int_equal(g.r.tokens_in, 7);
	assert_int_equal(g.r.tokens_out, 2);
	assert_int_equal(g.r.calls, 1);
	assert_non_null(
	    strstr(http_peer_request(g.peer, 0, NULL), "POST /v1/chat/completions HTTP/1.1\r\n"));
	assert_non_null(
	    strstr(http_peer_request(g.peer, 0, NULL), "Authorization: Bearer sk-test\r\n"));
	j = sent(&g, 0);
	assert_true(az_str_eqc(az_json_gets(j, "model"), "gpt-x"));
	assert_int_equal(az_json_geti(j, "max_tokens", 0), 100);
	assert_int_equal(az_json_geti(j, "seed", 0), 7);
	assert_true(az_json_num(az_json_get(j, "temperature"), 9) == 0.2);
	assert_true(az_json_getb(j, "stream", false));
	assert_true(az_json_getb(az_json_get(j, "stream_options"), "include_usage", false));
	assert_null(az_json_get(j, "response_format"));
	assert_int_equal(az_json_len(az_json_get(j, "messages")), 2);
	assert_true(az_str_eqc(
	    az_json_gets(az_json_at(az_json_get(j, "messages"), 1), "content"), "say \"hello\""));
	close_rig(&g);
}

static void
bytes_may_drip(void **state)
{
	static const struct http_peer_step steps[] = {
	    {.bytes = SSE C("h\xc3\xa9\xf0\x9f\x99\x82") STOP DONE,
		.then = HTTP_THEN_CLOSE,
		.drip = 1}};
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 0);
	assert_int_equal(ask(&g), AZ_OK);
	assert_true(az_str_eqc(g.r.text, "h\xc3\xa9\xf0\x9f\x99\x82"));
	close_rig(&g);
}

static void
recordings_count_no_tokens(void **state)
{
	static const struct http_peer_step steps[] = {STEP(GOOD)};
	struct rig g;

	(void)state;
	RIG(&g, steps, "recording", 0);
	assert_int_equal(ask_with(&g, "recording/weather", NULL, NULL, NULL, NULL), AZ_OK);
	assert_int_equal(g.r.tokens_in, 0);
	assert_int_equal(g.r.tokens_out, 0);
	assert_true(az_str_eqc(az_json_gets(sent(&g, 0), "model"), "weather"));
	close_rig(&g);
}

static void
thinking_is_not_the_answer(void **state)
{
	static const struct http_peer_step steps[] = {
	    STEP(SSE C("<think>hm") C("</think>ok") STOP)};
	struct rig g;

	(void)state;
	RIG(&g, steps, "local", 0);
	assert_int_equal(ask(&g), AZ_OK);
	assert_true(az_str_eqc(g.r.text, "ok"));
	close_rig(&g);
}

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

static const char schema[] = "{\"type\":\"object\"}";

static void
response_format_steps_down_and_stays_there(void **state)
{
	static const struct http_peer_step steps[] = {
	    STEP(ERR("400", "",
		BODY("Invalid parameter: 'response_format' of type 'json_schema' is "
		     "not supported with this model",
		    "\"response_format\"", "null"))),
	    STEP(ERR("400", "", "{\"error\":\"'response_format.type' must be 'text'\"}")),
	    STEP(GOOD),
	    STEP(GOOD),
	};
	const struct az_json *f;
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 1);
	assert_int_equal(ask_with(&g, "m", schema, NULL, NULL, NULL), AZ_OK);
	assert_int_equal(g.r.calls, 3);
	f = az_json_get(sent(&g, 0), "response_format");
	assert_true(az_str_eqc(az_json_gets(f, "type"), "json_schema"));
	f = az_json_get(f, "json_schema");
	assert_true(az_str_eqc(az_json_gets(f, "name"), "verdict"));
	assert_true(az_json_getb(f, "strict", false));
	assert_true(az_str_eqc(az_json_gets(az_json_get(f, "schema"), "type"), "object"));
	f = az_json_get(sent(&g, 1), "response_format");
	assert_true(az_str_eqc(az_json_gets(f, "type"), "json_object"));
	assert_null(az_json_get(sent(&g, 2), "response_format"));
	/* remembered for the model, not for another */
	assert_int_equal(ask_with(&g, "m", schema, NULL, NULL, NULL), AZ_OK);
	assert_int_equal(g.r.calls, 1);
	assert_null(az_json_get(sent(&g, 3), "response_format"));
	assert_int_equal(ask_with(&g, "other", schema, NULL, NULL, NULL), AZ_OK);
	assert_non_null(az_json_get(sent(&g, 4), "response_format"));
	close_rig(&g);
}

static void
refused_fields_are_renamed_or_left_out(void **state)
{
	static const struct http_peer_step steps[] = {
	    STEP(ERR("400", "",
		BODY("Unsupported parameter: 'max_tokens' is not supported with this "
		     "model. Use 'max_completion_tokens' instead.",
		    "\"max_tokens\"", "\"unsupported_parameter\""))),
	    STEP(ERR("400", "",
		BODY("Unsupported value: 'temperature' does not support 0.2", "null",
		    "\"unsupported_value\""))),
	    STEP(ERR("422", "", "{\"detail\":\"seed: extra fields not permitted\"}")),
	    STEP(ERR("400", "", "{\"message\":\"max_completion_tokens is too large\"}")),
	    STEP(GOOD),
	    STEP(GOOD),
	};
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 1);
	assert_int_equal(ask(&g), AZ_OK);
	assert_int_equal(g.r.calls, 5);
	assert_null(az_json_get(sent(&g, 1), "max_tokens"));
	assert_int_equal(az_json_geti(sent(&g, 1), "max_completion_tokens", 0), 100);
	assert_null(az_json_get(sent(&g, 2), "temperature"));
	assert_null(az_json_get(sent(&g, 3), "seed"));
	assert_null(az_json_get(sent(&g, 4), "max_completion_tokens"));
	assert_int_equal(ask(&g), AZ_OK);
	assert_int_equal(g.r.calls, 1);
	close_rig(&g);
}

static void
a_server_that_refuses_everything_ends(void **state)
{
	static const struct http_peer_step steps[] = {
	    STEP(ERR("400", "",
		"{\"error\":\"max_tokens max_completion_tokens temperature seed "
		"stream_options\"}")),
	};
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 0);
	assert_int_equal(ask(&g), AZ_EPERM);
	assert_string_equal(g.err.reason, "llm_unavailable");
	assert_true(g.r.calls <= 7);
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

static void
longest(void *arg, size_t bytes)
{
	size_t *n = arg;

	if (bytes > *n)
		*n = bytes;
}

static void
progress_is_told(void **state)
{
	static const struct http_peer_step steps[] = {STEP(GOOD)};
	size_t n = 0;
	struct rig g;

	(void)state;
	RIG(&g, steps, "hosted", 0);
	assert_int_equal(ask_with(&g, "m", NULL, NULL, longest, &n), AZ_OK);
	assert_int_equal(n, 5);
	close_rig(&g);
}

static void
a_prompt_cut_by_the_server_is_noticed(void **state)
{
	static const struct http_peer_step steps[] = {STEP(GOOD)};
	static char big[100000];
	struct az_llm_msg m = {"user", {big, sizeof big}};
	struct az_llm_req q = {.model = AZ_S("m"), .msgs = &m, .n_msgs = 1};
	struct rig g;

	(void)state;
	memset(big, 'x', sizeof big);
	RIG(&g, steps, "local", 0);
	assert_int_equal(az_llm_complete(g.llm, &q, g.a, &g.r, &g.err), AZ_EPERM);
	assert_non_null(strstr(g.err.text, "num_ctx"));
	close_rig(&g);
}

static void
an_over_long_answer_is_refused(void **state)
{
	struct http_peer_step step = {.then = HTTP_THEN_CLOSE};
	struct az_buf b;
	struct rig g;

	(void)state;
	az_buf_init(&b, 16 << 20);
	az_buf_addc(&b, SSE);
	while (b.n < (5 << 20)) {
		az_buf_addc(&b, "data: {\"choices\":[{\"delta\":{\"content\":\"");
		for (int i = 0; i < 1000; i++)
			az_buf_addc(&b, "0123456789");
		az_buf_addc(&b, "\"}}]}\n\n");
	}
	step.bytes = b.p;
	step.n = b.n;
	open_rig(&g, &step, 1, "hosted", 0);
	assert_int_equal(ask(&g), AZ_ETOOBIG);
	assert_string_equal(g.err.reason, "bad_model_output");
	assert_int_equal(g.r.calls, 1);
	close_rig(&g);
	az_buf_release(&b);
}

static void
the_router_goes_by_the_name(void **state)
{
	static const struct http_peer_step steps[] = {STEP(GOOD)};
	struct az_llm *router = NULL;
	struct rig g;

	(void)state;
	RIG(&g, steps, "recording", 0);
	assert_int_equal(az_llm_router_open(g.llm, NULL, &router, &g.err), AZ_OK);
	g.llm = router;
	assert_int_equal(ask_with(&g, "recording/a", NULL, NULL, NULL, NULL), AZ_OK);
	assert_string_equal(g.r.provenance, "recording");
	assert_int_equal(ask_with(&g, "gpt-x", NULL, NULL, NULL, NULL), AZ_ECONFLICT);
	assert_string_equal(g.err.reason, "llm_not_configured");
	assert_int_equal(http_peer_requests(g.peer), 1);
	assert_int_equal(ask_with(&g, "", NULL, NULL, NULL, NULL), AZ_EINVAL);
	close_rig(&g);
	assert_int_equal(az_llm_router_open(NULL, NULL, &router, &g.err), AZ_OK);
	g.a = NULL;
	g.llm = router;
	assert_int_equal(ask_with(&g, "recording/a", NULL, NULL, NULL, NULL), AZ_EUNAVAIL);
	assert_string_equal(g.err.reason, "llm_unavailable");
	az_llm_close(router);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_answer_arrives),
	    cmocka_unit_test(bytes_may_drip),
	    cmocka_unit_test(recordings_count_no_tokens),
	    cmocka_unit_test(thinking_is_not_the_answer),
	    cmocka_unit_test(passing_failures_are_retried),
	    cmocka_unit_test(a_cut_stream_is_no_answer),
	    cmocka_unit_test(a_cut_behind_the_end_is_an_answer),
	    cmocka_unit_test(a_silent_server_times_out),
	    cmocka_unit_test(nobody_there_is_unavailable),
	    cmocka_unit_test(failures_say_what_to_do),
	    cmocka_unit_test(the_wait_asked_for_is_passed_on),
	    cmocka_unit_test(response_format_steps_down_and_stays_there),
	    cmocka_unit_test(refused_fields_are_renamed_or_left_out),
	    cmocka_unit_test(a_server_that_refuses_everything_ends),
	    cmocka_unit_test(a_cancel_ends_the_call),
	    cmocka_unit_test(progress_is_told),
	    cmocka_unit_test(a_prompt_cut_by_the_server_is_noticed),
	    cmocka_unit_test(an_over_long_answer_is_refused),
	    cmocka_unit_test(the_router_goes_by_the_name),
	};

	return cmocka_run_group_tests_name("llm_openai", tests, NULL, NULL);
}
