/* gRPC without a network: what a server said, and when to try again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "http/grpc_room.h"

#define N(t) (sizeof(t) / sizeof *(t))
#define B(lit)                                                                                     \
	{                                                                                          \
		lit, sizeof(lit) - 1                                                               \
	} /* in a table: AZ_S is no constant */

/* ---- answers ---- */

static struct grpc_answer a;
static struct az_buf msg;

static int
setup(void **state)
{
	(void)state;
	az_buf_init(&msg, 1000);
	grpc_answer_init(&a, &msg);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	grpc_answer_release(&a);
	az_buf_release(&msg);
	return 0;
}

static void
lines(const char *text)
{
	struct az_str rest = az_str_c(text), line;

	while (az_str_line(&rest, &line))
		assert_true(grpc_answer_line(&a, line));
}

static void
a_message_that_is_percent_encoded_becomes_one_line_of_text(void **state)
{
	static const char *const t[][2] = {
	    {"plain", "plain"},
	    {"a%20b%3A%25", "a b:%"},
	    {"Gr%C3%BC%c3%9fe", "Gr\303\274\303\237e"},
	    {"100% sure %4", "100% sure %4"},
	    {"%zz%2", "%zz%2"},
	    {"%", "%"},
	    {"line%0Atwo%00%7f", "line two  "},
	    {"%ff%C3%BC", "???"},
	    {"", ""},
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		grpc_message(az_str_c(t[i][0]), out, sizeof out);
		assert_string_equal(out, t[i][1]);
	}
}

static void
a_long_message_is_cut_between_characters(void **state)
{
	char out[8];

	(void)state;
	grpc_message(AZ_S("1234567890"), out, sizeof out);
	assert_string_equal(out, "1234567");
	grpc_message(AZ_S("12345%C3%BC"), out, sizeof out);
	assert_string_equal(out, "12345\303\274");
	grpc_message(AZ_S("123456%C3%BC8"), out, sizeof out);
	assert_string_equal(out, "123456");
	grpc_message(AZ_S("1234%F0%9F%98%80"), out, sizeof out);
	assert_string_equal(out, "1234");
}

static void
details_come_padded_or_not(void **state)
{
	(void)state;
	lines("grpc-status-details-bin: CAUSA2FiYw==\n");
	assert_true(az_str_eq(az_buf_str(&a.details), AZ_S("\x08\x05\x12\x03\x61\x62\x63")));
	lines("GRPC-STATUS-DETAILS-BIN: CAUSA2FiYw\n");
	assert_true(az_str_eq(az_buf_str(&a.details), AZ_S("\x08\x05\x12\x03\x61\x62\x63")));
	/* broken ones are no reason to lose the status */
	lines("grpc-status: 5\ngrpc-status-details-bin: !!\n");
	assert_int_equal(a.details.n, 0);
	assert_int_equal(a.code, AZ_GRPC_NOT_FOUND);
}

static void
every_status_number_is_known(void **state)
{
	static const enum az_code want[] = {AZ_OK, AZ_EUNAVAIL, AZ_EUPSTREAM, AZ_EINVAL,
	    AZ_ETIMEOUT, AZ_ENOTFOUND, AZ_ECONFLICT, AZ_EPERM, AZ_EQUOTA, AZ_ECONFLICT,
	    AZ_ECONFLICT, AZ_EINVAL, AZ_EUNSUPPORTED, AZ_EUPSTREAM, AZ_EUNAVAIL, AZ_EUPSTREAM,
	    AZ_EAUTH};
	static const char *const name[] = {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT",
	    "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};
	static const char *const odd[] = {"17", "-1", "x", "", "5 5", "99999999999999999999"};
	char line[64];

	(void)state;
	assert_int_equal(N(want), AZ_GRPC_CODES);
	for (int i = 0; i < AZ_GRPC_CODES; i++) {
		snprintf(line, sizeof line, "grpc-status: %d\r\n", i);
		lines(line);
		assert_true(a.has_status);
		assert_int_equal(a.code, i);
		assert_int_equal(az_grpc_code_az(a.code), want[i]);
		assert_string_equal(az_grpc_code_name(a.code), name[i]);
	}
	for (size_t i = 0; i < N(odd); i++) {
		snprintf(line, sizeof line, "Grpc-Status: %s\r\n", odd[i]);
		lines(line);
		assert_int_equal(a.code, AZ_GRPC_UNKNOWN);
	}
	assert_string_equal(az_grpc_code_name((enum az_grpc_code)99), "UNKNOWN");
	assert_int_equal(az_grpc_code_az((enum az_grpc_code)99), AZ_EUPSTREAM);
}

/* What an answer amounts to: its lines, its body, and its lines after that. */
static void
answers_without_a_status_go_by_their_form(void **state)
{
#define TYPE "content-type: application/grpc\n"
	static const struct {
		const char *head;
		struct az_str body;
		enum az_grpc_code code;
		bool why;
	} t[] = {
	    {"HTTP/2 400 \n", B(""), AZ_GRPC_INTERNAL, false},
	    {"HTTP/2 401 \n", B(""), AZ_GRPC_UNAUTHENTICATED, false},
	    {"HTTP/2 403 \n", B(""), AZ_GRPC_PERMISSION_DENIED, false},
	    {"HTTP/2 404 \n", B(""), AZ_GRPC_UNIMPLEMENTED, false},
	    {"HTTP/2 429 \n", B(""), AZ_GRPC_UNAVAILABLE, false},
	    {"HTTP/2 502 \n", B(""), AZ_GRPC_UNAVAILABLE, false},
	    {"HTTP/2 503 \n", B(""), AZ_GRPC_UNAVAILABLE, false},
	    {"HTTP/2 504 \n", B(""), AZ_GRPC_UNAVAILABLE, false},
	    {"HTTP/2 500 \n", B(""), AZ_GRPC_UNKNOWN, false},
	    {"HTTP/2 302 \n", B(""), AZ_GRPC_UNKNOWN, false},
	    {"HTTP/2 503 \n" TYPE, B("\0\0\0\0\0"), AZ_GRPC_UNAVAILABLE, false},
	    {"HTTP/2 200 \ncontent-type: text/html\n", B("<html>"), AZ_GRPC_UNKNOWN, false},
	    {"HTTP/2 200 \ncontent-type: application/grpc-web\n", B("\0\0\0\0\0"), AZ_GRPC_UNKNOWN,
		false},
	    {"HTTP/2 200 \n" TYPE, B("\0\0\0\0\0"), AZ_GRPC_OK, false},
	    {"HTTP/2 200 \nContent-Type: Application/GRPC+proto\n", B("\0\0\0\0\2ab"), AZ_GRPC_OK,
		false},
	    {"HTTP/2 200 \ncontent-type: application/grpc; charset=utf-8\n", B("\0\0\0\0\0"),
		AZ_GRPC_OK, false},
	    {"HTTP/2 200 \n" TYPE, B(""), AZ_GRPC_UNKNOWN, true},
	    {"HTTP/2 200 \n" TYPE, B("\0\0\0"), AZ_GRPC_INTERNAL, true},
	    {"HTTP/2 200 \n" TYPE, B("\0\0\0\0\3ab"), AZ_GRPC_INTERNAL, true},
	    {"HTTP/2 200 \n" TYPE "grpc-status: 0\n", B(""), AZ_GRPC_INTERNAL, true},
	    {"HTTP/2 200 \n" TYPE "grpc-status: 0\n", B("\0\0\0\0\3ab"), AZ_GRPC_INTERNAL, true},
	    {"HTTP/2 200 \n" TYPE "grpc-status: 5\n", B(""), AZ_GRPC_NOT_FOUND, false},
	    {"HTTP/2 200 \ngrpc-status: 5\n", B(""), AZ_GRPC_NOT_FOUND, false},
	    {"HTTP/2 503 \ngrpc-status: 7\n", B(""), AZ_GRPC_PERMISSION_DENIED, false},
	    {"HTTP/2 103 \ngrpc-status: 5\nHTTP/2 200 \n" TYPE, B("\0\0\0\0\1x"), AZ_GRPC_OK,
		false},
	    {"", B(""), AZ_GRPC_UNKNOWN, false},
	};

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		const char *why;

		grpc_answer_release(&a);
		grpc_answer_init(&a, &msg);
		lines(t[i].head);
		assert_int_equal(grpc_answer_data(&a, t[i].body, &why), AZ_OK);
		assert_int_equal(grpc_answer_code(&a, &why), t[i].code);
		assert_int_equal(why != NULL, t[i].why);
	}
}

static void
a_frame_may_come_in_any_pieces(void **state)
{
	static const char wire[] = "\0\0\0\0\5hello";
	const char *why;

	(void)state;
	for (size_t part = 1; part < sizeof wire; part++) {
		lines("HTTP/2 200 \n" TYPE);
		for (size_t at = 0; at < sizeof wire - 1; at += part) {
			struct az_str s = az_str_n(wire, sizeof wire - 1);

			assert_false(grpc_answer_whole(&a));
			assert_int_equal(
			    grpc_answer_data(&a, az_str_sub(s, at, at + part), &why), AZ_OK);
		}
		assert_true(grpc_answer_whole(&a));
		assert_true(az_str_eqc(az_buf_str(&msg), "hello"));
	}
}

static void
a_frame_that_is_not_right_is_refused(void **state)
{
	static const struct {
		struct az_str body;
		enum az_code rc;
	} t[] = {
	    {B("\1\0\0\0\1x"), AZ_EUPSTREAM},
	    {B("\0\0\0\0\1xy"), AZ_EUPSTREAM},
	    {B("\0\0\0\0\0\0\0\0\0\0"), AZ_EUPSTREAM},
	    {B("\0\0\0\3\350"), AZ_OK},      /* 1000: the limit here */
	    {B("\0\0\0\3\351"), AZ_ETOOBIG}, /* known before it comes */
	    {B("\0\377\377\377\377"), AZ_ETOOBIG},
	};
	const char *why;

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		lines("HTTP/2 200 \n" TYPE);
		assert_int_equal(grpc_answer_data(&a, t[i].body, &why), t[i].rc);
		assert_int_equal(why == NULL, t[i].rc == AZ_OK);
	}
}

static void
headers_have_a_limit(void **state)
{
	static char big[HTTP_HEADERS_BYTES];
	bool ok = true;
	int n = 0;

	(void)state;
	assert_true(grpc_answer_line(&a, AZ_S("HTTP/2 200 \r\n")));
	assert_false(grpc_answer_line(&a, az_str_n(big, sizeof big)));
	grpc_answer_release(&a);
	grpc_answer_init(&a, &msg);
	/* new answers within an answer do not start the count anew */
	while (ok && ++n < 100000)
		ok = grpc_answer_line(&a, AZ_S("HTTP/2 100 \r\n"));
	assert_false(ok);
}

/* ---- retries ---- */

#define BIT(c) (1u << (c))
#define TRANSIENT                                                                                  \
	(BIT(AZ_GRPC_UNKNOWN) | BIT(AZ_GRPC_RESOURCE_EXHAUSTED) | BIT(AZ_GRPC_ABORTED) |           \
	    BIT(AZ_GRPC_OUT_OF_RANGE) | BIT(AZ_GRPC_INTERNAL) | BIT(AZ_GRPC_UNAVAILABLE) |         \
	    BIT(AZ_GRPC_DATA_LOSS))
#define RAN_OUT (BIT(AZ_GRPC_CANCELLED) | BIT(AZ_GRPC_DEADLINE_EXCEEDED))
#define EVERY (BIT(AZ_GRPC_CODES) - 1 - BIT(AZ_GRPC_OK))

static void
each_row_repeats_its_codes(void **state)
{
	static const struct {
		enum az_grpc_retry kind;
		int64_t now_ms;
		unsigned codes;
	} t[] = {
	    {AZ_GRPC_ONCE, 10, 0},
	    {AZ_GRPC_NORMAL, 10, TRANSIENT},
	    {AZ_GRPC_WAIT, 10, TRANSIENT | RAN_OUT},
	    {AZ_GRPC_POLL, 10, EVERY},
	    {AZ_GRPC_POLL, 59000, EVERY},
	    {AZ_GRPC_POLL, 60000, TRANSIENT | RAN_OUT},
	};

	(void)state;
	for (size_t i = 0; i < N(t); i++)
		for (int code = 1; code < AZ_GRPC_CODES; code++) {
			struct grpc_pace p;
			enum az_grpc_code c = (enum az_grpc_code)code;

			grpc_pace_start(&p, t[i].kind, 0, 0);
			assert_int_equal(
			    grpc_pace_next(&p, c, false, t[i].now_ms - 5, t[i].now_ms) >= 0,
			    (t[i].codes & BIT(code)) != 0);
			grpc_pace_start(&p, t[i].kind, 0, 0);
			assert_int_equal(grpc_pace_next(&p, c, true, 0, 5), -1);
		}
}

/* ms, give or take the jitter */
static void
about(int64_t got, int64_t ms)
{
	assert_in_range((uintmax_t)got, (uintmax_t)(ms * 8 / 10), (uintmax_t)(ms * 12 / 10));
}

static void
delays_grow_by_the_row_and_stop_growing(void **state)
{
	static const struct {
		enum az_grpc_retry kind;
		enum az_grpc_code code;
		int64_t ms[9];
	} t[] = {
	    {AZ_GRPC_NORMAL, AZ_GRPC_UNAVAILABLE,
		{100, 170, 289, 491, 834, 1417, 2408, 4093, 5000}},
	    {AZ_GRPC_WAIT, AZ_GRPC_INTERNAL, {100, 170, 289, 491, 834, 1417, 2408, 4093, 5000}},
	    {AZ_GRPC_NORMAL, AZ_GRPC_RESOURCE_EXHAUSTED,
		{1000, 2000, 4000, 8000, 10000, 10000, 10000, 10000, 10000}},
	    {AZ_GRPC_POLL, AZ_GRPC_UNAVAILABLE,
		{200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000}},
	    {AZ_GRPC_POLL, AZ_GRPC_RESOURCE_EXHAUSTED,
		{1000, 2000, 4000, 8000, 10000, 10000, 10000, 10000, 10000}},
	    {AZ_GRPC_POLL, AZ_GRPC_UNAUTHENTICATED,
		{10000, 10000, 10000, 10000, 10000, 10000, 10000, 10000, 10000}},
	};

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		struct grpc_pace p;

		grpc_pace_start(&p, t[i].kind, 1000000, 0);
		for (size_t k = 0; k < N(t[i].ms); k++)
			about(grpc_pace_next(&p, t[i].code, false, 0, 0), t[i].ms[k]);
	}
}

static void
a_normal_call_has_ten_tries_within_its_time(void **state)
{
	struct grpc_pace p;

	(void)state;
	grpc_pace_start(&p, AZ_GRPC_NORMAL, 10000, 0);
	for (int i = 1; i < 10; i++)
		assert_true(grpc_pace_next(&p, AZ_GRPC_INTERNAL, false, 0, 0) >= 0);
	assert_int_equal(grpc_pace_next(&p, AZ_GRPC_INTERNAL, false, 0, 0), -1);
	/* and as many as there is time for if that is longer */
	grpc_pace_start(&p, AZ_GRPC_NORMAL, 60000, 0);
	for (int i = 1; i < 20; i++)
		assert_true(grpc_pace_next(&p, AZ_GRPC_UNAVAILABLE, false, 0, 50000) >= 0);
	assert_int_equal(grpc_pace_next(&p, AZ_GRPC_UNAVAILABLE, false, 60000, 60000), -1);
	/* 10 s unless the caller has another time */
	grpc_pace_start(&p, AZ_GRPC_NORMAL, 0, 1000);
	assert_true(grpc_pace_next(&p, AZ_GRPC_INTERNAL, false, 10000, 10800) >= 0);
	assert_int_equal(grpc_pace_next(&p, AZ_GRPC_INTERNAL, false, 10950, 10950), -1);
	grpc_pace_start(&p, AZ_GRPC_NORMAL, 500, 1000);
	assert_true(grpc_pace_next(&p, AZ_GRPC_INTERNAL, false, 1000, 1300) >= 0);
	assert_int_equal(grpc_pace_next(&p, AZ_GRPC_INTERNAL, false, 1400, 1450), -1);
}

static void
a_poll_is_repeated_for_ever(void **state)
{
	struct grpc_pace p;
	int64_t now = 0;

	(void)state;
	grpc_pace_start(&p, AZ_GRPC_POLL, 0, 0);
	for (int i = 0; i < 100; i++) {
		int64_t ms = grpc_pace_next(&p, AZ_GRPC_UNAVAILABLE, false, now, now);

		assert_true(ms >= 0);
		now += ms;
	}
	assert_true(now > 60000);
	assert_int_equal(grpc_pace_next(&p, AZ_GRPC_UNAUTHENTICATED, false, now, now), -1);
	/* a poll that lived was no failure: short delays and the grace are back */
	about(grpc_pace_next(&p, AZ_GRPC_UNAVAILABLE, false, now, now + 60000), 200);
	now += 60000;
	about(grpc_pace_next(&p, AZ_GRPC_UNAUTHENTICATED, false, now, now + 10), 10000);
}

static void
a_wait_goes_on_while_its_calls_run_out(void **state)
{
	struct grpc_pace p;
	int64_t now = 0;

	(void)state;
	grpc_pace_start(&p, AZ_GRPC_WAIT, 0, 0);
	for (int i = 0; i < 100; i++, now += 70000)
		about(grpc_pace_next(&p, AZ_GRPC_DEADLINE_EXCEEDED, false, now, now + 70000), 100);
	/* also when they do so at once, but not in a hurry */
	for (int i = 0; i < 20; i++)
		assert_true(grpc_pace_next(&p, AZ_GRPC_CANCELLED, false, now, now) >= 0);
	about(grpc_pace_next(&p, AZ_GRPC_CANCELLED, false, now, now), 5000);
	/* other failures in a row have an end */
	assert_int_equal(grpc_pace_next(&p, AZ_GRPC_UNAVAILABLE, false, now, now), -1);
}

static void
a_message_over_a_limit_is_told_from_a_busy_server(void **state)
{
	static const char over[] = "grpc: received message larger than max (5000000 vs. 4194304)";

	(void)state;
	assert_true(grpc_over_limit(AZ_GRPC_RESOURCE_EXHAUSTED, over));
	assert_false(grpc_over_limit(AZ_GRPC_RESOURCE_EXHAUSTED, "namespace rate limit exceeded"));
	assert_false(grpc_over_limit(AZ_GRPC_INTERNAL, over));
}

int
main(void)
{
#define ANSWER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_message_that_is_percent_encoded_becomes_one_line_of_text),
	    cmocka_unit_test(a_long_message_is_cut_between_characters),
	    ANSWER(details_come_padded_or_not),
	    ANSWER(every_status_number_is_known),
	    ANSWER(answers_without_a_status_go_by_their_form),
	    ANSWER(a_frame_may_come_in_any_pieces),
	    ANSWER(a_frame_that_is_not_right_is_refused),
	    ANSWER(headers_have_a_limit),
	    cmocka_unit_test(each_row_repeats_its_codes),
	    cmocka_unit_test(delays_grow_by_the_row_and_stop_growing),
	    cmocka_unit_test(a_normal_call_has_ten_tries_within_its_time),
	    cmocka_unit_test(a_poll_is_repeated_for_ever),
	    cmocka_unit_test(a_wait_goes_on_while_its_calls_run_out),
	    cmocka_unit_test(a_message_over_a_limit_is_told_from_a_busy_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
