/* What the gate before the JSON parser lets through, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include <azlon/json.h>

static enum az_code
scan(const char *s)
{
	return az_json_scan(az_str_c(s), &az_json_request_limits, NULL);
}

static void
accepts_json(void **state)
{
	static const char *const ok[] = {"null", " true\n", "false", "0", "-0", "-1", "12.5e-3",
	    "1E+2", "\"\"", "\"a\\u0000b\"", "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", "[]",
	    "{}", "[1, 2 ,[3]]", "\t{\"a\" :\r{\"a\":1}}", "[{\"a\":1},{\"a\":2}]",
	    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\x7f\"", "99999999999999999999",
	    "1.7976931348623157e308", "0e9999999999", "0.00001e312", "1e-9999", "-1.5", "{\"\":1}",
	    "{\"a\":1,\"A\":1}"};

	(void)state;
	for (size_t i = 0; i < sizeof ok / sizeof *ok; i++)
		if (scan(ok[i]) != AZ_OK)
			fail_msg("refused: %s", ok[i]);
}

static void
refuses_what_is_not_json(void **state)
{
	static const char *const bad[] = {"", " ", "nul", "nullx", "True", "NaN", "Infinity",
	    "-Infinity", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "0x10", "1 2", "[1,]",
	    "[,1]", "[1", "]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{'a':1}", "'a'",
	    "\"a", "\"\\x\"", "\"\\", "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"", "\"a\tb\"", "// c\n1",
	    "[1}", "{\"a\":1]", "{1:2}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "\"\\ud800\"",
	    "\"\\udc00\"", "\"\\ud800\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\n\"",
	    "\xef\xbb\xbf"
	    "1",
	    "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xff\"", "\"\xf4\x90\x80\x80\"", "1e309",
	    "-1e309", "1.7976931348623158e308", "0.1e310", "100e307",
	    "\xc2\xa0"
	    "1",
	    "\f1", "{\"a\\u0000\":1}"};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (scan(bad[i]) != AZ_EINVAL)
			fail_msg("not refused as malformed: %s", bad[i]);
	/* a NUL byte is not a blank */
	assert_int_equal(
	    az_json_scan(az_str_n("1\0", 2), &az_json_request_limits, NULL), AZ_EINVAL);
}

static void
duplicate_keys_are_found_decoded_and_per_object(void **state)
{
	(void)state;
	assert_int_equal(scan("{\"a\":1,\"b\":2,\"a\":3}"), AZ_EINVAL);
	assert_int_equal(scan("{\"a\":1,\"\\u0061\":3}"), AZ_EINVAL);
	assert_int_equal(scan("{\"/\":1,\"\\/\":3}"), AZ_EINVAL);
	assert_int_equal(scan("{\"\xf0\x9f\x98\x80\":1,\"\\uD83D\\uDE00\":3}"), AZ_EINVAL);
	assert_int_equal(scan("{\"\xc3\xa9\":1,\"\\u00E9\":3}"), AZ_EINVAL);
	assert_int_equal(scan("{\"\":1,\"\":3}"), AZ_EINVAL);
	assert_int_equal(scan("{\"a\":{\"b\":1},\"c\":{\"b\":1},\"b\":1}"), AZ_OK);
	assert_int_equal(scan("{\"a\":{\"b\":1},\"c\":{\"b\":1},\"a\":1}"), AZ_EINVAL);
}

static void
limits_hold_exactly(void **state)
{
	struct az_json_limits lim = {20, 2, 5};
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	assert_int_equal(az_json_scan(AZ_S("[[1,2]]"), &lim, NULL), AZ_OK);
	assert_int_equal(az_json_scan(AZ_S("[[[]]]"), &lim, &err), AZ_ETOOBIG);
	assert_int_equal(az_json_scan(AZ_S("[1,2,3,4]"), &lim, NULL), AZ_OK);
	assert_int_equal(az_json_scan(AZ_S("[1,2,3,4,5]"), &lim, NULL), AZ_ETOOBIG);
	/* keys count */
	assert_int_equal(az_json_scan(AZ_S("{\"a\":1,\"b\":2}"), &lim, NULL), AZ_OK);
	assert_int_equal(az_json_scan(AZ_S("{\"a\":1,\"b\":2,\"c\":3}"), &lim, NULL), AZ_ETOOBIG);
	assert_int_equal(az_json_scan(AZ_S("\"123456789012345678\""), &lim, NULL), AZ_OK);
	assert_int_equal(az_json_scan(AZ_S("\"1234567890123456789\""), &lim, NULL), AZ_ETOOBIG);
}

static void
hostile_texts_cost_little(void **state)
{
	struct az_json_limits lim = {AZ_MIB(8), 1000000, 1000000};
	struct az_buf b;
	int64_t t0 = az_boot_ms();

	(void)state;
	az_buf_init(&b, AZ_MIB(8));
	for (int i = 0; i < 100000; i++)
		az_buf_addch(&b, '[');
	assert_int_equal(az_json_scan(az_buf_str(&b), &lim, NULL), AZ_ETOOBIG);
	az_buf_reset(&b);
	az_buf_addch(&b, '{');
	for (int i = 0; i < 200000; i++)
		az_buf_addf(&b, "%s\"key%d\":1", i ? "," : "", i);
	az_buf_addch(&b, '}');
	assert_int_equal(az_json_scan(az_buf_str(&b), &lim, NULL), AZ_OK);
	az_buf_cut(&b, b.n - 1);
	az_buf_addc(&b, ",\"key77\":1}");
	assert_int_equal(az_json_scan(az_buf_str(&b), &lim, NULL), AZ_EINVAL);
	az_buf_release(&b);
	/* quadratic work on 200,000 keys would take minutes */
	assert_true(az_boot_ms() - t0 < 20000);
}

static void
errors_say_where(void **state)
{
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	assert_int_equal(
	    az_json_scan(AZ_S("{\"a\":tru}"), &az_json_request_limits, &err), AZ_EINVAL);
	assert_non_null(strstr(err.text, "byte 5"));
}

int
main(void)
{
	const struct CMUnitTest t[] = {
	    cmocka_unit_test(accepts_json),
	    cmocka_unit_test(refuses_what_is_not_json),
	    cmocka_unit_test(duplicate_keys_are_found_decoded_and_per_object),
	    cmocka_unit_test(limits_hold_exactly),
	    cmocka_unit_test(hostile_texts_cost_little),
	    cmocka_unit_test(errors_say_where),
	};

	return cmocka_run_group_tests(t, NULL, NULL);
}
