/* The stream parser: every split of the bytes gives the same answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "llm/openai.h"

#define C(text) "data: {\"choices\":[{\"delta\":{\"content\":" text "}}]}\n\n"
#define STOP "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define DONE "data: [DONE]\n\n"

static const struct row {
	const char *name, *in, *text, *finish;
	enum az_code rc;
	bool failed;
} rows[] = {
    {"plain stream", C("\"Hel\"") C("\"lo\"") STOP DONE, "Hello", "stop", AZ_OK, false},
    {"null content and a role",
	"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\","
	"\"content\":null}}]}\n\n" C("null") C("\"x\"") STOP DONE,
	"x", "stop", AZ_OK, false},
    {"CRLF",
	"data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}"
	"\r\n\r\ndata: [DONE]\r\n\r\n",
	"x", "stop", AZ_OK, false},
    {"CR alone",
	"data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":"
	"\"stop\"}]}\r\rdata: [DONE]\r\r",
	"x", "stop", AZ_OK, false},
    {"comments and other fields",
	": keep-alive\n\nevent: message\nid: 7\n" C("\"x\"") ": ping\n" STOP, "x", "stop", AZ_OK,
	false},
    {"several data lines in one event",
	"data: {\"choices\":[{\"delta\":\ndata: {\"content\":"
	"\"x\"},\ndata:\"finish_reason\":\"stop\"}]}\n\n",
	"x", "stop", AZ_OK, false},
    {"first chunk without choices",
	"data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n" C("\"x\"") STOP, "x", "stop",
	AZ_OK, false},
    {"characters beyond ASCII", C("\"\xc3\xa9\xf0\x9f\x99\x82\"") STOP, "\xc3\xa9\xf0\x9f\x99\x82",
	"stop", AZ_OK, false},
    {"reasoning is not the answer",
	"data: {\"choices\":[{\"delta\":{\"reasoning_content\":"
	"\"hm\",\"reasoning\":\"hm\"}}]}\n\n" C("\"x\"") STOP,
	"x", "stop", AZ_OK, false},
    {"last blank line left out",
	C("\"x\"") "data: {\"choices\":[{\"delta\":{},"
		   "\"finish_reason\":\"stop\"}]}",
	"x", "stop", AZ_OK, false},
    {"length",
	C("\"x\"") "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}"
		   "\n\n",
	"x", "length", AZ_OK, false},
    {"what follows DONE is ignored", C("\"x\"") STOP DONE C("\"y\""), "x", "stop", AZ_OK, false},
    {"not a stream",
	"{\"model\":\"m\",\"choices\":[{\"message\":{\"content\":\"x\"},"
	"\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3}}",
	"x", "stop", AZ_OK, false},
    {"blank lines first", "\n\n" C("\"x\"") STOP, "x", "stop", AZ_OK, false},
    {"end without finish_reason", C("\"x\""), "x", "", AZ_EUPSTREAM, false},
    {"DONE without finish_reason", C("\"x\"") DONE, "x", "", AZ_EUPSTREAM, false},
    {"nothing", "", "", "", AZ_EUPSTREAM, false},
    {"cut inside an event", C("\"x\"") "data: {\"choices\":[{\"del", "x", "", AZ_EUPSTREAM, false},
    {"error in the stream",
	C("\"x\"") "data: {\"error\":{\"message\":\"overloaded\","
		   "\"code\":503}}\n\n",
	"x", "", AZ_OK, true},
    {"error instead of a stream", "{\"error\":{\"message\":\"overloaded\",\"code\":503}}", "", "",
	AZ_OK, true},
    {"not the protocol", "data: <html>\n\n", "", "", AZ_EUPSTREAM, false},
    {"a page", "<!doctype html>\n<p>busy</p>\n", "", "", AZ_EUPSTREAM, false},
};

static void
feed(const struct row *r, size_t a, size_t b)
{
	struct az_str in = az_str_c(r->in);
	struct openai_stream s;
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc;

	openai_stream_init(&s);
	rc = openai_stream_push(&s, az_str_sub(in, 0, a), &err);
	if (!rc)
		rc = openai_stream_push(&s, az_str_sub(in, a, b), &err);
	if (!rc)
		rc = openai_stream_push(&s, az_str_sub(in, b, in.n), &err);
	if (!rc)
		rc = openai_stream_end(&s, &err);
	if (rc != r->rc || s.failed != r->failed || strcmp(s.finish, r->finish) != 0 ||
	    !az_str_eqc(az_buf_str(&s.text), r->text))
		fail_msg("%s at %zu, %zu: %s, text \"%.*s\", finish \"%s\"", r->name, a, b,
		    az_code_name(rc), AZ_FMT(az_buf_str(&s.text)), s.finish);
	openai_stream_release(&s);
}

static void
any_split_gives_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t n = strlen(rows[i].in);

		for (size_t a = 0; a <= n; a++) {
			feed(&rows[i], a, a);
			feed(&rows[i], a, a + 1 < n ? a + 1 : n);
		}
	}
}

static void
one_byte_at_a_time(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct az_str in = az_str_c(rows[i].in);
		struct openai_stream s;
		enum az_code rc = AZ_OK;

		openai_stream_init(&s);
		for (size_t k = 0; !rc && k < in.n; k++)
			rc = openai_stream_push(&s, az_str_sub(in, k, k + 1), NULL);
		if (!rc)
			rc = openai_stream_end(&s, NULL);
		assert_int_equal(rc, rows[i].rc);
		assert_true(az_str_eqc(az_buf_str(&s.text), rows[i].text));
		openai_stream_release(&s);
	}
}

static void
usage_model_and_refusal_are_kept(void **state)
{
	static const char in[] =
	    "data: {\"model\":\"gpt-x\",\"choices\":[{\"delta\":{\"refusal\":"
	    "\"I can\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"refusal\":\"not\"},"
	    "\"finish_reason\":\"stop\"}]}\n\ndata: "
	    "{\"choices\":[],\"usage\":{\"prompt_tokens\":12,"
	    "\"completion_tokens\":5,\"total_tokens\":17}}\n\n" DONE;
	struct openai_stream s;

	(void)state;
	openai_stream_init(&s);
	assert_int_equal(openai_stream_push(&s, az_str_c(in), NULL), AZ_OK);
	assert_int_equal(openai_stream_end(&s, NULL), AZ_OK);
	assert_string_equal(s.model, "gpt-x");
	assert_int_equal(s.tokens_in, 12);
	assert_int_equal(s.tokens_out, 5);
	assert_true(az_str_eqc(az_buf_str(&s.refusal), "I cannot"));
	assert_true(s.done);
	openai_stream_release(&s);
}

static void
an_endless_answer_is_stopped(void **state)
{
	char big[8192];
	struct openai_stream s;
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc = AZ_OK;
	struct az_buf b;
	int n = 0;

	(void)state;
	memset(big, 'x', sizeof big);
	az_buf_init(&b, 1 << 20);
	az_buf_addc(&b, "data: {\"choices\":[{\"delta\":{\"content\":\"");
	az_buf_add(&b, big, sizeof big);
	az_buf_addc(&b, "\"}}]}\n\n");
	openai_stream_init(&s);
	while (!rc && ++n < 2000)
		rc = openai_stream_push(&s, az_buf_str(&b), &err);
	assert_int_equal(rc, AZ_ETOOBIG);
	assert_string_equal(err.reason, "bad_model_output");
	assert_true((size_t)n * sizeof big <= AZ_LIM_REPLY_BYTES + 2 * sizeof big);
	openai_stream_release(&s);
	/* a line without end is bounded too */
	openai_stream_init(&s);
	rc = AZ_OK;
	n = 0;
	assert_int_equal(openai_stream_push(&s, AZ_S("data: "), &err), AZ_OK);
	while (!rc && ++n < 5000)
		rc = openai_stream_push(&s, az_str_n(big, sizeof big), &err);
	assert_int_equal(rc, AZ_ETOOBIG);
	openai_stream_release(&s);
	az_buf_release(&b);
}

static const struct {
	const char *in, *out;
} thoughts[] = {
    {"x", "x"},
    {"<think>a</think>x", "x"},
    {" <think>a\n</think>\n\nx ", "x"},
    {"<think>a</think><think>b</think>x", "x"},
    {"<thinking>a</thinking>x", "x"},
    {"<think>never closed", ""},
    {"a\n</think>\nx", "x"},
    {"### FILE: a\n</think>", "### FILE: a\n</think>"},
    {"see <think>x</think>", "see <think>x</think>"},
    {"{\"a\":\"</think>\"}", "{\"a\":\"</think>\"}"},
};

static void
thoughts_are_removed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof thoughts / sizeof *thoughts; i++) {
		struct az_str got = az_llm_unthink(az_str_c(thoughts[i].in));

		if (!az_str_eqc(got, thoughts[i].out))
			fail_msg("%s: \"%.*s\"", thoughts[i].in, AZ_FMT(got));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(any_split_gives_the_same),
	    cmocka_unit_test(one_byte_at_a_time),
	    cmocka_unit_test(usage_model_and_refusal_are_kept),
	    cmocka_unit_test(an_endless_answer_is_stopped),
	    cmocka_unit_test(thoughts_are_removed),
	};

	return cmocka_run_group_tests_name("llm_stream", tests, NULL, NULL);
}
