/* Diffs by lines: what they look like, that they make b of a, that they are the shortest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include "api/diff.h"
#include "diff_apply.h"

static void
hunks_look_as_everywhere(void **state)
{
	static const struct {
		const char *a, *b, *want;
	} t[] = {
	    {"", "", ""},
	    {"a\n", "a\n", ""},
	    {"", "a\n", "@@ -0,0 +1,1 @@\n+a\n"},
	    {"a\n", "", "@@ -1,1 +0,0 @@\n-a\n"},
	    {"a", "a\n", "@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"},
	    {"a\nb", "a\nc",
		"@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n"
		"+c\n\\ No newline at end of file\n"},
	    {"x\na", "y\na", "@@ -1,2 +1,2 @@\n-x\n+y\n a\n\\ No newline at end of file\n"},
	    {"1\n2\n3\n4\n5\n", "1\n2\n3\n4\n5\n6\n", "@@ -3,3 +3,4 @@\n 3\n 4\n 5\n+6\n"},
	    {"a\r\n", "a\n", "@@ -1,1 +1,1 @@\n-a\r\n+a\n"},
	    /* six lines between two changes are one hunk, seven are two */
	    {"a\n1\n2\n3\n4\n5\n6\nb\n", "c\n1\n2\n3\n4\n5\n6\nd\n",
		"@@ -1,8 +1,8 @@\n-a\n+c\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+d\n"},
	    {"a\n1\n2\n3\n4\n5\n6\n7\nb\n", "c\n1\n2\n3\n4\n5\n6\n7\nd\n",
		"@@ -1,4 +1,4 @@\n-a\n+c\n 1\n 2\n 3\n"
		"@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+d\n"},
	    /* the example of the paper: A B C A B B A to C B A B A C */
	    {"A\nB\nC\nA\nB\nB\nA\n", "C\nB\nA\nB\nA\nC\n", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct az_buf out, made;
		size_t marked;

		az_buf_init(&out, 4096);
		az_buf_init(&made, 4096);
		assert_int_equal(
		    diff_hunks(az_str_c(t[i].a), az_str_c(t[i].b), DIFF_STEPS, &out, NULL), AZ_OK);
		if (t[i].want)
			assert_string_equal(out.p ? out.p : "", t[i].want);
		assert_true(diff_apply(az_str_c(t[i].a), az_buf_str(&out), &made, &marked));
		assert_true(az_str_eq(az_buf_str(&made), az_str_c(t[i].b)));
		if (!t[i].want)
			assert_int_equal(marked, 5);
		az_buf_release(&out);
		az_buf_release(&made);
	}
}

/* Few different lines, so that there is much to find. */
static void
make_text(struct az_buf *b, size_t lines, unsigned kinds)
{
	az_buf_reset(b);
	for (size_t i = 0; i < lines; i++)
		az_buf_addf(b, "%c\n", 'a' + (int)az_random_below(kinds));
	if (b->n && az_random_below(4) == 0)
		az_buf_cut(b, b->n - 1);
}

/* Lines that differ at least, by the table that nobody has room for with long texts. */
static size_t
least(struct az_str a, struct az_str b)
{
	static size_t t[130][130];
	struct az_str x[130], y[130];
	size_t n = 0, m = 0, at = 0;

	while (at < a.n)
		x[n++] = diff_line(a, &at);
	at = 0;
	while (at < b.n)
		y[m++] = diff_line(b, &at);
	for (size_t i = 0; i <= n; i++)
		for (size_t k = 0; k <= m; k++) {
			size_t one = i ? t[i - 1][k] + 1 : i + k;
			size_t other = k ? t[i][k - 1] + 1 : i + k;

			t[i][k] = one < other ? one : other;
			if (i && k && az_str_eq(x[i - 1], y[k - 1]))
				t[i][k] = t[i - 1][k - 1];
		}
	return t[n][m];
}

static void
any_two_texts_are_told_apart_in_the_fewest_lines(void **state)
{
	struct az_buf a, b, out, made;

	(void)state;
	az_buf_init(&a, 4096);
	az_buf_init(&b, 4096);
	az_buf_init(&out, AZ_KIB(64));
	az_buf_init(&made, AZ_KIB(64));
	for (int i = 0; i < 5000; i++) {
		unsigned kinds = 1 + (unsigned)az_random_below(i % 3 ? 4 : 20);
		size_t marked;

		make_text(&a, az_random_below(128), kinds);
		make_text(&b, az_random_below(128), kinds);
		/* with too few steps it is still a diff of these two */
		for (int64_t steps = DIFF_STEPS; steps >= 0;
		     steps = steps ? (int64_t)az_random_below(steps > 400 ? 400 : 1) : -1) {
			az_buf_reset(&out);
			az_buf_reset(&made);
			assert_int_equal(
			    diff_hunks(az_buf_str(&a), az_buf_str(&b), steps, &out, NULL), AZ_OK);
			if (!diff_apply(az_buf_str(&a), az_buf_str(&out), &made, &marked) ||
			    !az_str_eq(az_buf_str(&made), az_buf_str(&b)))
				fail_msg("steps %lld\n<%s>\n<%s>\n%s", (long long)steps, a.p, b.p,
				    out.p);
			if (steps == DIFF_STEPS)
				assert_int_equal(marked, least(az_buf_str(&a), az_buf_str(&b)));
		}
	}
	az_buf_release(&a);
	az_buf_release(&b);
	az_buf_release(&out);
	az_buf_release(&made);
}

/* The worst that may come in: all lines different, or so alike that ways fan out. */
static void
large_texts_are_done_in_bounded_time(void **state)
{
	struct az_buf a, b, out, made;

	(void)state;
	az_buf_init(&a, AZ_MIB(1));
	az_buf_init(&b, AZ_MIB(1));
	az_buf_init(&out, AZ_MIB(4));
	az_buf_init(&made, AZ_MIB(1));
	for (int kind = 0; kind < 3; kind++) {
		int64_t began = az_boot_ms();
		size_t marked;

		az_buf_reset(&a);
		az_buf_reset(&b);
		az_buf_reset(&out);
		az_buf_reset(&made);
		for (int i = 0; i < DIFF_LINES; i++) {
			az_buf_addf(
			    &a, "%d\n", kind == 0 ? i : (int)az_random_below(kind == 1 ? 2 : 9999));
			az_buf_addf(&b, "%d\n",
			    kind == 0 ? -i - 1 : (int)az_random_below(kind == 1 ? 2 : 9999));
		}
		assert_int_equal(
		    diff_hunks(az_buf_str(&a), az_buf_str(&b), DIFF_STEPS, &out, NULL), AZ_OK);
		assert_true(az_boot_ms() - began < 5000);
		assert_true(diff_apply(az_buf_str(&a), az_buf_str(&out), &made, &marked));
		assert_true(az_str_eq(az_buf_str(&made), az_buf_str(&b)));
	}
	az_buf_addc(&a, "one more\n");
	assert_int_equal(
	    diff_hunks(az_buf_str(&a), az_buf_str(&b), DIFF_STEPS, &out, NULL), AZ_ETOOBIG);
	az_buf_release(&a);
	az_buf_release(&b);
	az_buf_release(&out);
	az_buf_release(&made);
}

static void
a_small_change_in_a_large_text_stays_small(void **state)
{
	struct az_buf a, b, out;

	(void)state;
	az_buf_init(&a, AZ_MIB(1));
	az_buf_init(&b, AZ_MIB(1));
	az_buf_init(&out, AZ_KIB(64));
	for (int i = 0; i < DIFF_LINES; i++) {
		az_buf_addf(&a, "line %d\n", i);
		if (i % 1000 != 7)
			az_buf_addf(&b, i % 1000 == 500 ? "changed %d\n" : "line %d\n", i);
	}
	assert_int_equal(diff_hunks(az_buf_str(&a), az_buf_str(&b), DIFF_STEPS, &out, NULL), AZ_OK);
	assert_non_null(strstr(out.p, "\n-line 500\n+changed 500\n"));
	assert_non_null(strstr(out.p, "\n-line 49007\n line 49008\n"));
	az_buf_reset(&out);
	out.max = 100;
	assert_int_equal(
	    diff_hunks(az_buf_str(&a), az_buf_str(&b), DIFF_STEPS, &out, NULL), AZ_ETOOBIG);
	az_buf_release(&a);
	az_buf_release(&b);
	az_buf_release(&out);
}

static void
text_is_utf8_without_nul(void **state)
{
	(void)state;
	assert_true(diff_is_text(AZ_S("")));
	assert_true(diff_is_text(AZ_S("f\xc3\xbcnf\r\n\t")));
	assert_false(diff_is_text(AZ_S("a\0b")));
	assert_false(diff_is_text(AZ_S("f\xfcnf")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hunks_look_as_everywhere),
	    cmocka_unit_test(any_two_texts_are_told_apart_in_the_fewest_lines),
	    cmocka_unit_test(large_texts_are_done_in_bounded_time),
	    cmocka_unit_test(a_small_change_in_a_large_text_stays_small),
	    cmocka_unit_test(text_is_utf8_without_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
