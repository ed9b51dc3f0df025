/* W3C trace context: what is one, what is sent on, what a log line says of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <azlon/log.h>
#include <azlon/trace.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define FROM "00-" TRACE "-b7ad6b7169203331-01"

static void
only_what_the_standard_allows_is_one(void **state)
{
	static const struct {
		const char *s;
		bool ok;
	} t[] = {
	    {FROM, true},
	    {"00-" TRACE "-b7ad6b7169203331-00", true},
	    {"cc-" TRACE "-b7ad6b7169203331-01", true},
	    {"cc-" TRACE "-b7ad6b7169203331-01-what-comes-later", true},
	    {"00-" TRACE "-b7ad6b7169203331-01-more", false},
	    {"cc-" TRACE "-b7ad6b7169203331-01.more", false},
	    {"ff-" TRACE "-b7ad6b7169203331-01", false},
	    {"0x-" TRACE "-b7ad6b7169203331-01", false},
	    {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
	    {"00-" TRACE "-0000000000000000-01", false},
	    {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false},
	    {"00-" TRACE "-b7ad6b7169203331-0", false},
	    {"00-" TRACE "-b7ad6b716920333-010", false},
	    {"00_" TRACE "-b7ad6b7169203331-01", false},
	    {" " FROM, false},
	    {"", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		if (az_trace_ok(az_str_c(t[i].s)) != t[i].ok)
			fail_msg("%s", t[i].s);
}

static void
a_trace_goes_on_with_a_sender_of_ours(void **state)
{
	char one[AZ_TRACE_BYTES], two[AZ_TRACE_BYTES];

	(void)state;
	az_trace_next(AZ_S(FROM), AZ_S(""), one);
	az_trace_next(AZ_S(FROM), AZ_S(""), two);
	assert_true(az_trace_ok(az_str_c(one)) && az_trace_ok(az_str_c(two)));
	assert_true(az_str_eqc(az_trace_id(az_str_c(one)), TRACE));
	assert_true(az_str_ends(az_str_c(one), AZ_S("-01")));
	assert_null(strstr(one, "b7ad6b7169203331"));
	assert_string_not_equal(one, two);
	/* of a later version we say what we know */
	az_trace_next(AZ_S("cc-" TRACE "-b7ad6b7169203331-01-x"), AZ_S(""), one);
	assert_true(az_str_starts(az_str_c(one), AZ_S("00-" TRACE "-")));
	assert_true(az_trace_ok(az_str_c(one)));
}

static void
what_is_none_begins_one(void **state)
{
	static const char *const none[] = {"", "00-xyz", "00-" TRACE "-b7ad6b7169203331"};
	char one[AZ_TRACE_BYTES], two[AZ_TRACE_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		az_trace_next(az_str_c(none[i]), AZ_S("4f2a"), one);
		az_trace_next(az_str_c(none[i]), AZ_S("4f2a"), two);
		assert_true(az_trace_ok(az_str_c(one)) && az_trace_ok(az_str_c(two)));
		assert_true(az_str_ends(az_str_c(one), AZ_S("-00")));
		assert_false(az_str_eq(az_trace_id(az_str_c(one)), az_trace_id(az_str_c(two))));
	}
	az_trace_next(AZ_S(""), AZ_S(TRACE), one);
	assert_true(az_str_eqc(az_trace_id(az_str_c(one)), TRACE));
	az_trace_next(AZ_S(""), AZ_S("00000000000000000000000000000000"), one);
	assert_true(az_trace_ok(az_str_c(one)));
}

static void
lines_name_the_trace_unless_the_request_does(void **state)
{
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 1000);
	az_log_context(AZ_S("4f2a"), AZ_S(""));
	az_log_trace(AZ_S(FROM));
	assert_true(az_str_eqc(az_log_traceparent(), FROM));
	az_log_format(&b, AZ_INFO, "x", &AZ_KNONE);
	assert_string_equal(b.p, "level=info ev=x req=4f2a trace=" TRACE);
	/* the run becomes known later */
	az_log_context(AZ_S("4f2a"), AZ_S("a81c"));
	az_buf_reset(&b);
	az_log_format(&b, AZ_INFO, "x", &AZ_KNONE);
	assert_string_equal(b.p, "level=info ev=x req=4f2a run=a81c trace=" TRACE);
	az_log_context(AZ_S(TRACE), AZ_S(""));
	az_buf_reset(&b);
	az_log_format(&b, AZ_INFO, "x", &AZ_KNONE);
	assert_string_equal(b.p, "level=info ev=x req=" TRACE);
	az_log_trace(AZ_S("no trace\nat all"));
	assert_int_equal(az_log_traceparent().n, 0);
	az_log_trace(AZ_S(FROM));
	az_log_context(AZ_S(""), AZ_S(""));
	assert_int_equal(az_log_traceparent().n, 0);
	az_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_what_the_standard_allows_is_one),
	    cmocka_unit_test(a_trace_goes_on_with_a_sender_of_ours),
	    cmocka_unit_test(what_is_none_begins_one),
	    cmocka_unit_test(lines_name_the_trace_unless_the_request_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
