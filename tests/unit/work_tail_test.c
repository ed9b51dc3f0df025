/* Logs made fit for a prompt, and the collector with bounded memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include "work/tail.h"

static const struct {
	const char *name, *in, *out;
} rows[] = {
    {"plain", "a\nb\n", "a\nb\n"},
    {"no last newline", "a\nb", "a\nb"},
    {"empty", "", ""},
    {"colours", "\x1b[1;31merror\x1b[0m: x\x1b[K\n", "error: x\n"},
    {"window title", "\x1b]0;title\ax\x1b]8;;http://a\x1b\\link\n", "xlink\n"},
    {"short escapes",
	"\x1b(Ba\x1b"
	"7b\x1b=c\n",
	"abc\n"},
    {"escape cut at the end", "a\x1b[3", "a"},
    {"escape alone", "a\x1b", "a"},
    {"title never ended", "a\x1b]0;b\nc\n", "a\nc\n"},
    {"progress", "10%\r50%\r100%\ndone\n", "100%\ndone\n"},
    {"CRLF", "a\r\nb\r\n", "a\nb\n"},
    {"progress with CRLF", "1\r2\r\n", "2\n"},
    {"backspace", "ab\b\bcd\xc3\xa9\b!\n", "cd!\n"},
    {"backspace at the start", "\b\bx\n", "x\n"},
    {"control bytes", "a\x01\x02\x7f\fb\tc\n", "ab\tc\n"},
    {"not UTF-8",
	"a\xff"
	"b\xc3\n",
	"a\xef\xbf\xbd"
	"b\xef\xbf\xbd\n"},
    {"UTF-8", "\xc3\xa9\xf0\x9f\x99\x82\n", "\xc3\xa9\xf0\x9f\x99\x82\n"},
    {"two repeats stay", "x\nx\nx\ny\n", "x\nx\nx\ny\n"},
    {"more are counted", "x\nx\nx\nx\ny\n", "x\n[the line above 3 more times]\ny\n"},
    {"repeats at the end", "a\nx\nx\nx\nx\nx\n", "a\nx\n[the line above 4 more times]\n"},
    {"repeats but for colour", "x\n\x1b[1mx\n\x1b[0mx\nx\n", "x\n[the line above 3 more times]\n"},
    {"blank lines", "\n\n\n\n\na\n", "\n[the line above 4 more times]\na\n"},
};

static void
logs_are_cleaned(void **state)
{
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 1 << 16);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		az_buf_reset(&b);
		az_tail_render(&b, az_str_c(rows[i].in), 4096, 4096);
		if (!az_str_eqc(az_buf_str(&b), rows[i].out))
			fail_msg("%s: \"%.*s\"", rows[i].name, AZ_FMT(az_buf_str(&b)));
	}
	az_buf_reset(&b);
	az_tail_render(&b, az_str_n("a\0b\n", 4), 100, 100);
	assert_true(az_str_eqc(az_buf_str(&b), "ab\n"));
	az_buf_release(&b);
}

static void
long_logs_are_cut_in_the_middle(void **state)
{
	struct az_buf in, b;

	(void)state;
	az_buf_init(&in, 1 << 20);
	az_buf_init(&b, 1 << 20);
	for (int i = 0; i < 2000; i++)
		az_buf_addf(&in, "line %04d\n", i);
	az_tail_render(&b, az_buf_str(&in), 100, 50);
	assert_true(az_str_starts(az_buf_str(&b), AZ_S("line 0000\nline 0001\n")));
	assert_true(az_str_ends(az_buf_str(&b), AZ_S("line 1998\nline 1999\n")));
	assert_non_null(strstr(b.p, "line 0009\n[... 19850 bytes left out ...]\nline 1995\n"));
	assert_true(b.n <= 150 + 80);
	/* exactly as much as fits is not cut */
	az_buf_reset(&b);
	az_tail_render(&b, az_buf_str(&in), 100, in.n - 100);
	assert_true(az_str_eq(az_buf_str(&b), az_buf_str(&in)));
	az_buf_reset(&b);
	az_tail_render(&b, az_buf_str(&in), 0, 10);
	assert_true(az_str_eqc(az_buf_str(&b), "[... 19990 bytes left out ...]\nline 1999\n"));
	az_buf_release(&in);
	az_buf_release(&b);
}

/* Wherever the cut falls, characters stay whole. */
static void
cuts_keep_characters_whole(void **state)
{
	struct az_buf in, b;

	(void)state;
	az_buf_init(&in, 4096);
	az_buf_init(&b, 4096);
	for (int i = 0; i < 50; i++)
		az_buf_addc(&in, i % 2 ? "\xf0\x9f\x99\x82" : "\xc3\xa9x\xe2\x82\xac");
	for (size_t head = 0; head < 40; head++) {
		for (size_t tail = 0; tail < 40; tail++) {
			az_buf_reset(&b);
			az_tail_render(&b, az_buf_str(&in), head, tail);
			assert_true(az_str_utf8_ok(az_buf_str(&b)));
			assert_non_null(strstr(b.p, "bytes left out"));
			assert_true(b.n <= head + tail + 80);
		}
	}
	az_buf_release(&in);
	az_buf_release(&b);
}

/* In whatever pieces it comes, the collector keeps the same ends. */
static void
the_collector_keeps_both_ends(void **state)
{
	struct az_buf in, b, want;

	(void)state;
	az_buf_init(&in, 1 << 16);
	az_buf_init(&b, 1 << 16);
	az_buf_init(&want, 1 << 16);
	for (int i = 0; i < 500; i++)
		az_buf_addf(&in, "%d,", i);
	for (size_t len = 0; len <= in.n; len += 37) {
		for (size_t step = 1; step < 60; step += 7) {
			struct az_tail t;
			size_t lost = len > 80 ? len - 80 : 0;

			assert_int_equal(az_tail_init(&t, 30, 50, NULL), AZ_OK);
			for (size_t i = 0; i < len; i += step)
				az_tail_add(&t, az_str_sub(az_buf_str(&in), i,
						    i + step < len ? i + step : len));
			az_buf_reset(&b);
			az_buf_reset(&want);
			az_tail_raw(&t, &b);
			if (lost) {
				az_buf_add(&want, in.p, 30);
				az_buf_addf(&want, "\n[... %zu bytes left out ...]\n", lost);
				az_buf_add(&want, in.p + len - 50, 50);
			} else if (len) {
				az_buf_add(&want, in.p, len);
			}
			assert_true(az_str_eq(az_buf_str(&b), az_buf_str(&want)));
			assert_int_equal(t.total, len);
			assert_int_equal(az_tail_lost(&t), lost);
			az_buf_reset(&b);
			az_tail_last(&t, 40, &b);
			if (len >= 40)
				assert_true(
				    az_str_eq(az_buf_str(&b), az_str_n(in.p + len - 40, 40)));
			else
				assert_true(az_str_eq(az_buf_str(&b), az_str_n(in.p, len)));
			az_tail_release(&t);
		}
	}
	az_buf_release(&in);
	az_buf_release(&b);
	az_buf_release(&want);
}

static void
a_stream_is_shown_like_a_text(void **state)
{
	struct az_buf in, a, b;
	struct az_tail t;

	(void)state;
	az_buf_init(&in, 1 << 20);
	az_buf_init(&a, 1 << 16);
	az_buf_init(&b, 1 << 16);
	assert_int_equal(az_tail_init(&t, 4096, 4096, NULL), AZ_OK);
	az_buf_addc(&in, "\x1b[1mstart\x1b[0m\n1%\r2%\n");
	az_tail_add(&t, az_buf_str(&in));
	az_tail_show(&t, &a, 100, 100);
	az_tail_render(&b, az_buf_str(&in), 100, 100);
	assert_true(az_str_eq(az_buf_str(&a), az_buf_str(&b)));
	assert_true(az_str_eqc(az_buf_str(&a), "start\n2%\n"));
	az_buf_reset(&in);
	for (int i = 0; i < 5000; i++)
		az_buf_addf(&in, "line %d \xe2\x82\xac\n", i);
	az_tail_add(&t, az_buf_str(&in));
	az_buf_reset(&a);
	az_tail_show(&t, &a, 100, 60);
	assert_true(az_str_starts(az_buf_str(&a), AZ_S("start\n2%\nline 0 ")));
	assert_true(az_str_ends(az_buf_str(&a), AZ_S("line 4999 \xe2\x82\xac\n")));
	assert_true(az_str_utf8_ok(az_buf_str(&a)));
	assert_non_null(strstr(a.p, "bytes left out"));
	assert_true(a.n <= 160 + 80);
	az_tail_reset(&t);
	assert_int_equal(t.total, 0);
	az_buf_reset(&a);
	az_tail_show(&t, &a, 10, 10);
	assert_int_equal(a.n, 0);
	az_tail_release(&t);
	az_buf_release(&in);
	az_buf_release(&a);
	az_buf_release(&b);
}

/* Random bytes: valid UTF-8, no escape, within bounds; memory does not grow. */
static void
any_bytes_give_clean_text(void **state)
{
	static const char alphabet[] = "ab\n\r\b\x1b[];0m\a\xc3\xa9\xff\\(\t ";
	char in[3000];
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 1 << 16);
	for (int round = 0; round < 300; round++) {
		for (size_t i = 0; i < sizeof in; i++)
			in[i] = alphabet[az_random_below(sizeof alphabet)];
		az_buf_reset(&b);
		az_tail_render(&b, az_str_n(in, sizeof in), 300, 300);
		assert_int_equal(b.fail, AZ_OK);
		assert_true(az_str_utf8_ok(az_buf_str(&b)));
		assert_true(b.n <= 680);
		assert_int_equal(az_str_chr(az_buf_str(&b), 0x1b), -1);
		assert_int_equal(az_str_chr(az_buf_str(&b), '\r'), -1);
	}
	az_buf_release(&b);
}

static void
hostile_logs_take_linear_time(void **state)
{
	static const char *const patterns[] = {
	    "\x1b]", "\x1b[", "x", "\xc3", "\b", "\r", "\n", "x\n", "a\nb\n", "\x1b", "\x80"};
	struct az_buf in, b;

	(void)state;
	az_buf_init(&in, 8 << 20);
	az_buf_init(&b, 1 << 16);
	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
		clock_t from;

		az_buf_reset(&in);
		az_buf_reset(&b);
		while (in.n < (4 << 20))
			az_buf_addc(&in, patterns[i]);
		from = clock();
		az_tail_render(&b, az_buf_str(&in), AZ_TAIL_HEAD_BYTES, AZ_TAIL_TAIL_BYTES);
		assert_int_equal(b.fail, AZ_OK);
		if (clock() - from > 5 * CLOCKS_PER_SEC)
			fail_msg("pattern %zu", i);
	}
	az_buf_release(&in);
	az_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(logs_are_cleaned),
	    cmocka_unit_test(long_logs_are_cut_in_the_middle),
	    cmocka_unit_test(cuts_keep_characters_whole),
	    cmocka_unit_test(the_collector_keeps_both_ends),
	    cmocka_unit_test(a_stream_is_shown_like_a_text),
	    cmocka_unit_test(any_bytes_give_clean_text),
	    cmocka_unit_test(hostile_logs_take_linear_time),
	};

	return cmocka_run_group_tests_name("work_tail", tests, NULL, NULL);
}
