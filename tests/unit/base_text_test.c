/* base: slices, buffers, times, log lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <azlon/arena.h>
#include <azlon/clock.h>
#include <azlon/log.h>

static void
numbers_are_parsed_whole_and_bounded(void **state)
{
	static const struct {
		const char *s;
		bool ok;
		int64_t v;
	} t[] = {
	    {"0", true, 0},
	    {"-1", true, -1},
	    {"007", true, 7},
	    {"9223372036854775807", true, INT64_MAX},
	    {"-9223372036854775808", true, INT64_MIN},
	    {"9223372036854775808", false, 0},
	    {"-9223372036854775809", false, 0},
	    {"", false, 0},
	    {"-", false, 0},
	    {"+1", false, 0},
	    {" 1", false, 0},
	    {"1 ", false, 0},
	    {"1e3", false, 0},
	    {"0x10", false, 0},
	};
	int64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		v = 0;
		assert_int_equal(
		    az_str_to_i64(az_str_c(t[i].s), INT64_MIN, INT64_MAX, &v), t[i].ok);
		if (t[i].ok)
			assert_true(v == t[i].v);
	}
	assert_false(az_str_to_i64(AZ_S("11"), 0, 10, &v));
}

static void
cutting_yields_every_part(void **state)
{
	struct az_str rest = AZ_S("a,,b,"), part;
	const char *want[] = {"a", "", "b", ""};
	size_t n = 0;

	(void)state;
	while (az_str_cut(&rest, ',', &part)) {
		assert_true(n < 4);
		assert_true(az_str_eqc(part, want[n++]));
	}
	assert_int_equal(n, 4);
	rest = AZ_S("one\r\ntwo\n");
	n = 0;
	while (az_str_line(&rest, &part))
		n += part.n == 3;
	assert_int_equal(n, 2);
}

static void
utf8_is_strict(void **state)
{
	static const struct {
		const char *s;
		bool ok;
	} t[] = {
	    {"plain", true},
	    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", true},
	    {"\xc0\x80", false},
	    {"\xe0\x80\x80", false},
	    {"\xed\xa0\x80", false},
	    {"\xf4\x90\x80\x80", false},
	    {"\xc3", false},
	    {"\x80", false},
	    {"\xf8\x88\x80\x80\x80", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		assert_int_equal(az_str_utf8_ok(az_str_c(t[i].s)), t[i].ok);
}

static void
a_buffer_never_passes_its_ceiling(void **state)
{
	struct az_buf b;
	struct az_err err;
	char *p;
	size_t n;

	(void)state;
	az_buf_init(&b, 8);
	az_buf_addc(&b, "12345");
	az_buf_addf(&b, "%d", 678);
	assert_true(az_str_eqc(az_buf_str(&b), "12345678"));
	az_buf_addch(&b, '9');
	az_buf_addc(&b, ""); /* the failure sticks */
	assert_int_equal(az_buf_check(&b, "t", &err), AZ_ETOOBIG);
	assert_int_equal(az_buf_str(&b).n, 0);
	az_buf_reset(&b);
	az_buf_addc(&b, "abcdef");
	az_buf_shift(&b, 2);
	az_buf_cut(&b, 3);
	assert_int_equal(az_buf_take(&b, &p, &n, &err), AZ_OK);
	assert_string_equal(p, "cde");
	assert_int_equal(n, 3);
	free(p);
	assert_int_equal(az_buf_take(&b, &p, &n, &err), AZ_OK);
	assert_string_equal(p, "");
	free(p);
}

static int order[3], n_order;

static void
note(void *arg)
{
	order[n_order++] = *(int *)arg;
}

static void
an_arena_closes_in_reverse_and_respects_its_ceiling(void **state)
{
	static int one = 1, two = 2;
	struct az_arena *a = az_arena_new(100000);

	(void)state;
	assert_non_null(a);
	n_order = 0;
	assert_true(az_arena_defer(a, note, &one));
	assert_non_null(az_arena_alloc(a, 50000));
	assert_true(az_arena_defer(a, note, &two));
	assert_null(az_arena_alloc(a, 60000));
	assert_string_equal(az_arena_printf(a, "%s-%d", "x", 7), "x-7");
	az_arena_free(a);
	assert_int_equal(n_order, 2);
	assert_int_equal(order[0], 2);
	assert_int_equal(order[1], 1);
}

static void
times_round_trip(void **state)
{
	struct az_buf b;
	int64_t ms;

	(void)state;
	az_buf_init(&b, 64);
	az_rfc3339(&b, 1790000000123);
	assert_true(az_rfc3339_parse(az_buf_str(&b), &ms));
	assert_true(ms == 1790000000123);
	az_buf_release(&b);
	assert_true(az_rfc3339_parse(AZ_S("1970-01-01T01:00:00+01:00"), &ms));
	assert_true(ms == 0);
	assert_true(az_rfc3339_parse(AZ_S("2026-02-03T04:05:06.123456789Z"), &ms));
	assert_false(az_rfc3339_parse(AZ_S("2026-02-30T04:05:06Z"), &ms));
	assert_false(az_rfc3339_parse(AZ_S("2026-02-03 04:05:06Z"), &ms));
	assert_false(az_rfc3339_parse(AZ_S("2026-02-03T04:05:06"), &ms));
	assert_false(az_rfc3339_parse(AZ_S("2026-02-03T04:05:06Zx"), &ms));
}

static void
a_log_line_cannot_be_forged_and_hides_secrets(void **state)
{
	struct az_buf b;
	struct az_kv kv[] = {
	    AZ_KC("a", "x\nlevel=error ev=forged"),
	    AZ_KC("h", "Authorization: Bearer abcdefghijklmnop"),
	    AZ_KC("u", "/f?sig=0123456789abcdef&x=1"),
	    AZ_KC("k", "key sk-0123456789abcdef"),
	    AZ_KC("plain", "task-list"),
	    AZ_KN("n", -3),
	    {.kind = 0},
	};
	struct az_str s;

	(void)state;
	az_buf_init(&b, 4096);
	az_log_format(&b, AZ_INFO, "t.t", kv);
	s = az_buf_str(&b);
	assert_int_equal(az_str_chr(s, '\n'), -1);
	assert_true(az_str_find(s, AZ_S("n=-3"), 0) > 0);
	assert_true(az_str_find(s, AZ_S("plain=task-list"), 0) > 0);
	assert_int_equal(az_str_find(s, AZ_S("abcdefghijklmnop"), 0), -1);
	assert_int_equal(az_str_find(s, AZ_S("0123456789abcdef"), 0), -1);
	az_buf_release(&b);
}

static void
an_error_is_one_line_with_its_table_entry(void **state)
{
	struct az_err e;

	(void)state;
	assert_int_equal(az_fail(&e, AZ_EUNAVAIL, "t.op", "a\nb %d", 1), AZ_EUNAVAIL);
	assert_string_equal(e.text, "a b 1");
	assert_int_equal(az_err_reason(&e, "engine"), AZ_EUNAVAIL);
	assert_string_equal(e.reason, "engine");
	assert_int_equal(az_code_http(AZ_EUNAVAIL), 503);
	assert_true(az_code_retryable(AZ_EUNAVAIL));
	assert_false(az_code_retryable(AZ_EINVAL));
	for (int c = 0; c < AZ_ECODES; c++) {
		assert_non_null(az_code_name((enum az_code)c));
		assert_non_null(az_code_sentence((enum az_code)c));
		assert_true(az_code_http((enum az_code)c) >= 200);
	}
	assert_int_equal(az_fail(NULL, AZ_EIO, "t", "x"), AZ_EIO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_are_parsed_whole_and_bounded),
	    cmocka_unit_test(cutting_yields_every_part),
	    cmocka_unit_test(utf8_is_strict),
	    cmocka_unit_test(a_buffer_never_passes_its_ceiling),
	    cmocka_unit_test(an_arena_closes_in_reverse_and_respects_its_ceiling),
	    cmocka_unit_test(times_round_trip),
	    cmocka_unit_test(a_log_line_cannot_be_forged_and_hides_secrets),
	    cmocka_unit_test(an_error_is_one_line_with_its_table_entry),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
