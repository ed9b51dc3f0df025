/* The OpenAI adapter: what is sent, and what is made of the answer. */
#include "llm_openai_fixture.h"

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

/* Or a limit of tokens would never be reached. */
static void
who_does_not_count_is_counted(void **state)
{
	static const struct http_peer_step steps[] = {
	    STEP(SSE C("<think>12</think>Hello") STOP DONE),
	    STEP(SSE C("Hello") STOP
		"data: "
		"{\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":null}}\n\n"),
	    STEP(ERR("400", "", "{\"error\":\"stream_options: extra fields not permitted\"}")),
	    STEP(SSE C("Hello") STOP DONE),
	};
	struct rig g;

	(void)state;
	RIG(&g, steps, "local", 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(&g), AZ_OK);
		/* 15 and 11 bytes were sent */
		assert_int_equal(g.r.tokens_in, 7);
		assert_int_equal(g.r.tokens_out, i == 0 ? 6 : 2);
	}
	close_rig(&g);
	/* a recording costs nothing */
	RIG(&g, steps, "recording", 1);
	assert_int_equal(ask(&g), AZ_OK);
	assert_int_equal(g.r.tokens_in, 0);
	assert_int_equal(g.r.tokens_out, 0);
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
	    cmocka_unit_test(who_does_not_count_is_counted),
	    cmocka_unit_test(thinking_is_not_the_answer),
	    cmocka_unit_test(response_format_steps_down_and_stays_there),
	    cmocka_unit_test(refused_fields_are_renamed_or_left_out),
	    cmocka_unit_test(a_server_that_refuses_everything_ends),
	    cmocka_unit_test(progress_is_told),
	    cmocka_unit_test(a_prompt_cut_by_the_server_is_noticed),
	    cmocka_unit_test(an_over_long_answer_is_refused),
	    cmocka_unit_test(the_router_goes_by_the_name),
	};

	return cmocka_run_group_tests_name("llm_openai", tests, NULL, NULL);
}
