/* Typed getters over a parsed document, and the writer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/json.h>

static struct az_json *
parse(const char *s)
{
	struct az_json *j = NULL;
	struct az_err err = AZ_ERR_INIT;

	if (az_json_parse(az_str_c(s), &az_json_own_limits, &j, &err))
		fail_msg("%s: %s", s, err.text);
	return j;
}

static void
getters_check_type_and_range(void **state)
{
	struct az_json *j = parse("{\"s\":\"a\\u0000b\",\"i\":42,\"d\":1.5,\"t\":true,"
				  "\"z\":null,\"a\":[1,null,\"x\"],\"o\":{\"k\":7},\"three\":3.0}");
	int64_t v = -1;

	(void)state;
	assert_int_equal(az_json_type(j), AZ_JOBJ);
	assert_int_equal(az_json_len(j), 8);
	assert_true(az_str_eq(az_json_gets(j, "s"), az_str_n("a\0b", 3)));
	assert_int_equal(az_json_gets(j, "i").n, 0);
	assert_false(az_json_is_str(az_json_get(j, "i")));
	assert_true(az_json_is_str(az_json_get(j, "s")));
	assert_true(az_json_i64(az_json_get(j, "i"), 42, 42, &v));
	assert_int_equal(v, 42);
	v = -1;
	assert_false(az_json_i64(az_json_get(j, "i"), 43, 50, &v));
	assert_false(az_json_i64(az_json_get(j, "i"), 0, 41, &v));
	assert_false(az_json_i64(az_json_get(j, "three"), 0, 10, &v));
	assert_false(az_json_i64(az_json_get(j, "s"), 0, 10, &v));
	assert_int_equal(v, -1);
	assert_int_equal(az_json_geti(j, "i", 9), 42);
	assert_int_equal(az_json_geti(j, "d", 9), 9);
	assert_int_equal(az_json_geti(j, "none", 9), 9);
	assert_true(az_json_num(az_json_get(j, "d"), 0) == 1.5);
	assert_true(az_json_num(az_json_get(j, "i"), 0) == 42.0);
	assert_true(az_json_num(az_json_get(j, "s"), 7) == 7.0);
	assert_true(az_json_getb(j, "t", false));
	assert_true(az_json_getb(j, "i", true));
	assert_false(az_json_getb(j, "i", false));
	assert_null(az_json_get(j, "z"));
	assert_int_equal(az_json_type(az_json_get(j, "z")), AZ_JNULL);
	assert_int_equal(az_json_len(az_json_get(j, "a")), 3);
	assert_null(az_json_at(az_json_get(j, "a"), 1));
	assert_null(az_json_at(az_json_get(j, "a"), 3));
	assert_null(az_json_at(j, 0));
	assert_true(az_str_eqc(az_json_str(az_json_at(az_json_get(j, "a"), 2)), "x"));
	assert_int_equal(az_json_geti(az_json_get(j, "o"), "k", 0), 7);
	az_json_free(j);
}

static void
null_document_answers_like_null(void **state)
{
	void *it = NULL;
	struct az_str k;
	const struct az_json *v;

	(void)state;
	assert_null(parse("null"));
	assert_int_equal(az_json_type(NULL), AZ_JNULL);
	assert_null(az_json_get(NULL, "a"));
	assert_int_equal(az_json_len(NULL), 0);
	assert_false(az_json_each(NULL, &it, &k, &v));
	assert_non_null(az_json_str(NULL).p);
	az_json_free(NULL);
}

static void
members_come_in_their_order(void **state)
{
	struct az_json *j = parse("{\"z\":1,\"a\":null,\"m\":3}");
	const struct az_json *v;
	struct az_str k;
	void *it = NULL;

	(void)state;
	assert_true(az_json_each(j, &it, &k, &v) && az_str_eqc(k, "z"));
	assert_true(az_json_each(j, &it, &k, &v) && az_str_eqc(k, "a") && !v);
	assert_true(az_json_each(j, &it, &k, &v) && az_str_eqc(k, "m"));
	assert_false(az_json_each(j, &it, &k, &v));
	assert_false(az_json_each(j, &it, &k, &v));
	az_json_free(j);
}

static void
integers_beyond_int64_become_doubles(void **state)
{
	struct az_json *j = parse("[9223372036854775807,-9223372036854775808,"
				  "9223372036854775808,-9223372036854775809,18446744073709551616,"
				  "123456789012345678901234567890,7,\"18446744073709551616\"]");
	struct az_json *top = parse("9999999999999999999");
	int64_t v;

	(void)state;
	assert_true(az_json_i64(az_json_at(j, 0), INT64_MIN, INT64_MAX, &v));
	assert_true(v == INT64_MAX);
	assert_true(az_json_i64(az_json_at(j, 1), INT64_MIN, INT64_MAX, &v));
	assert_true(v == INT64_MIN);
	for (size_t i = 2; i < 6; i++) {
		assert_int_equal(az_json_type(az_json_at(j, i)), AZ_JDOUBLE);
		assert_false(az_json_i64(az_json_at(j, i), INT64_MIN, INT64_MAX, &v));
	}
	assert_true(az_json_num(az_json_at(j, 2), 0) == 9223372036854775808.0);
	assert_true(az_json_num(az_json_at(j, 5), 0) == 123456789012345678901234567890.0);
	assert_int_equal(az_json_len(j), 8);
	assert_int_equal(az_json_geti(j, "x", 1), 1);
	assert_true(az_json_i64(az_json_at(j, 6), 7, 7, &v));
	assert_true(az_str_eqc(az_json_str(az_json_at(j, 7)), "18446744073709551616"));
	assert_int_equal(az_json_type(top), AZ_JDOUBLE);
	az_json_free(j);
	az_json_free(top);
}

static void
parse_refuses_what_scan_refuses(void **state)
{
	struct az_json *j = (struct az_json *)state;

	assert_int_equal(
	    az_json_parse(AZ_S("{\"a\":1,\"a\":2}"), &az_json_request_limits, &j, NULL), AZ_EINVAL);
	assert_null(j);
}

static void
arena_owns_what_is_parsed_in_it(void **state)
{
	struct az_arena *a = az_arena_new(AZ_KIB(64));
	const struct az_json *j = NULL;

	(void)state;
	assert_int_equal(
	    az_json_parse_in(a, AZ_S("[\"x\"]"), &az_json_request_limits, &j, NULL), AZ_OK);
	assert_int_equal(az_json_len(j), 1);
	az_arena_free(a); /* a leak here is LeakSanitizer's to find */
}

static void
writer_places_commas_and_escapes(void **state)
{
	struct az_buf b;
	struct az_jw w;

	(void)state;
	az_buf_init(&b, 4096);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ks(&w, "s", az_str_n("q\"\\\n\x01\0\xff\xc3\xa9", 9));
	az_jw_kc(&w, "n", NULL);
	az_jw_ki(&w, "i", INT64_MIN);
	az_jw_key(&w, "a");
	az_jw_arr(&w);
	az_jw_int(&w, 1);
	az_jw_obj(&w);
	az_jw_end(&w, '}');
	az_jw_arr(&w);
	az_jw_end(&w, ']');
	az_jw_double(&w, 0.1);
	az_jw_double(&w, 3);
	az_jw_double(&w, (double)NAN);
	az_jw_end(&w, ']');
	az_jw_kb(&w, "b", true);
	az_jw_kraw(&w, "r", AZ_S("{\"x\":[]}"));
	az_jw_kn(&w, "z");
	az_jw_end(&w, '}');
	assert_string_equal(b.p,
	    "{\"s\":\"q\\\"\\\\\\n\\u0001\\u0000\xef\xbf\xbd\xc3\xa9\","
	    "\"n\":null,\"i\":-9223372036854775808,\"a\":[1,{},[],0.1,3.0,null],"
	    "\"b\":true,\"r\":{\"x\":[]},\"z\":null}");
	az_buf_release(&b);
}

static void
doubles_read_back_equal(void **state)
{
	static const double d[] = {
	    0.1, 1.0 / 3, 1e300, 5e-324, -0.0, 123456789.125, 1.7976931348623157e308, 2.5e-9};
	struct az_buf b;
	struct az_jw w;

	(void)state;
	az_buf_init(&b, 4096);
	for (size_t i = 0; i < sizeof d / sizeof *d; i++) {
		struct az_json *j;
		double back;

		az_buf_reset(&b);
		az_jw_init(&w, &b);
		az_jw_double(&w, d[i]);
		j = parse(b.p);
		assert_int_equal(az_json_type(j), AZ_JDOUBLE);
		back = az_json_num(j, 99);
		assert_memory_equal(&back, &d[i], sizeof back);
		az_json_free(j);
	}
	az_buf_release(&b);
}

static void
value_is_written_again_the_same(void **state)
{
	static const char text[] = "{\"a\":[1,2.5,\"x\\u0000y\",null,true,false,{}],"
				   "\"\xc3\xa9\":{\"b\":[]},\"big\":1e+30}";
	struct az_json *j = parse(text);
	struct az_buf b;
	struct az_jw w;

	(void)state;
	az_buf_init(&b, 4096);
	az_jw_init(&w, &b);
	az_jw_value(&w, j);
	assert_string_equal(b.p, text);
	az_buf_release(&b);
	az_json_free(j);
}

static void
writer_stops_at_the_ceiling_and_too_deep(void **state)
{
	struct az_buf b;
	struct az_jw w;

	(void)state;
	az_buf_init(&b, 8);
	az_jw_init(&w, &b);
	az_jw_cstr(&w, "longer than that");
	assert_int_equal(az_buf_check(&b, "t", NULL), AZ_ETOOBIG);
	az_buf_release(&b);
	az_buf_init(&b, 4096);
	az_jw_init(&w, &b);
	for (int i = 0; i < 70; i++)
		az_jw_arr(&w);
	assert_int_equal(az_buf_check(&b, "t", NULL), AZ_ETOOBIG);
	az_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest t[] = {
	    cmocka_unit_test(getters_check_type_and_range),
	    cmocka_unit_test(null_document_answers_like_null),
	    cmocka_unit_test(members_come_in_their_order),
	    cmocka_unit_test(integers_beyond_int64_become_doubles),
	    cmocka_unit_test(parse_refuses_what_scan_refuses),
	    cmocka_unit_test(arena_owns_what_is_parsed_in_it),
	    cmocka_unit_test(writer_places_commas_and_escapes),
	    cmocka_unit_test(doubles_read_back_equal),
	    cmocka_unit_test(value_is_written_again_the_same),
	    cmocka_unit_test(writer_stops_at_the_ceiling_and_too_deep),
	};

	return cmocka_run_group_tests(t, NULL, NULL);
}
