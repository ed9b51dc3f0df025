/* The judge's evidence: a quote is found in a text however it comes, or not at all. */
#include "work_rig.h"
#include "work/quote.h"

static bool
finds(const char *quote, const char *text, size_t piece)
{
	struct az_str rest = az_str_c(text);
	struct az_err err = AZ_ERR_INIT;
	struct quote q;
	bool found;

	quote_init(&q, az_str_c(quote));
	while (rest.n) {
		struct az_str part = az_str_sub(rest, 0, piece);

		assert_int_equal(quote_push(&q, part, &err), AZ_OK);
		rest = az_str_sub(rest, part.n, rest.n);
	}
	found = quote_end(&q);
	quote_release(&q);
	return found;
}

static void
any_split_finds_the_same(void **state)
{
	static const struct {
		const char *quote, *text;
		bool found;
	} rows[] = {
	    {"hello world", "say hello world!", true},
	    {"hello world", "say hello\n\t  world!", true},
	    {" hello \r\n world ", "hello world", true},
	    {"hello world", "helloworld", false},
	    {"helloworld", "hello world", false},
	    {"aaab", "aaaaaaaaab", true},
	    {"abab", "aababb", true},
	    {"ababc", "abababd", false},
	    {"whole", "whole", true},
	    {"whole", "whol", false},
	    {"end.", "the end.   \n\n", true},
	    {"x", "hello x", false},
	    {"x", " x\n", true},
	    {"abc", "abc", true},
	    {"abc", "abcd", false},
	    {"a b", "\n a \n b ", true},
	    {"", "anything", false},
	    {"  ", "  ", false},
	    {"none", "", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t piece = 1; piece < 25; piece++)
			if (finds(rows[i].quote, rows[i].text, piece) != rows[i].found)
				fail_msg("row %zu in pieces of %zu", i, piece);
}

static void
it_may_lie_across_any_border(void **state)
{
	static char text[200001];
	struct az_err err = AZ_ERR_INIT;
	struct quote q;

	(void)state;
	quote_init(&q, AZ_S("needle in a haystack"));
	for (size_t at = 32700; at < 32800; at++) {
		memset(text, 'x', 100000);
		memcpy(text + at, "needle  in a haystack", 21);
		assert_int_equal(quote_push(&q, az_str_n(text, 100000), &err), AZ_OK);
		assert_true(quote_end(&q));
	}
	/* nothing of one text is found in the next */
	assert_int_equal(quote_push(&q, AZ_S("needle in a "), &err), AZ_OK);
	assert_false(quote_end(&q));
	assert_int_equal(quote_push(&q, AZ_S("haystack"), &err), AZ_OK);
	assert_false(quote_end(&q));
	quote_release(&q);
}

/* ---- the log of a run, larger than the memory a function may take ---- */

#define HUGE_BYTES ((int64_t)600 << 20)
static const char needle[] = "the answer is 42";

static struct az_store_ops huge_ops;
static const struct az_store_ops *plain;
static struct az_get huge;
static int64_t huge_left;

static enum az_code
huge_open(struct az_store *s, const struct az_bucket *b, struct az_str key, int64_t offset,
    struct az_obj *obj, struct az_get **out, struct az_err *err)
{
	if (!az_str_ends(key, AZ_S("/stdout")))
		return plain->get_open(s, b, key, offset, obj, out, err);
	huge.store = s;
	huge_left = HUGE_BYTES;
	*out = &huge;
	return AZ_OK;
}

static enum az_code
huge_read(struct az_get *g, char *p, size_t n, size_t *got, struct az_err *err)
{
	if (g != &huge)
		return plain->get_read(g, p, n, got, err);
	*got = 0;
	if (huge_left > 0) {
		*got = n;
		memset(p, 'x', n);
		huge_left -= (int64_t)n;
		if (huge_left <= 0)
			memcpy(p + n - sizeof(needle), needle, sizeof(needle) - 1);
	}
	return AZ_OK;
}

static void
huge_close(struct az_get *g)
{
	if (g != &huge)
		plain->get_close(g);
}

static void
a_long_log_needs_no_memory(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = "1\n### FILE: main.py\n~~~~~\nout 42\n~~~~~\n### FILE: Dockerfile\n~~~~~\n"
		     "FROM python:3\nWORKDIR /app\nCOPY . .\nCMD [\"python3\", \"main.py\"]\n"
		     "~~~~~\n### END\n"},
	    {.text = "{\"result\":true,\"reason\":\"r\",\"evidence\":\"the answer is  42\"}"},
	};
	static struct rig r;
	const struct az_json *c;

	(void)state;
	rig_open(&r, a, 2,
	    "{\"v\":1,\"request\":{\"user_prompt\":\"p\",\"test_conditions\":\"42 is told\","
	    "\"model\":\"m\",\"limits\":{\"iterations\":1}}}");
	r.box->exec = rig_exec;
	plain = r.store->ops;
	huge_ops = *plain;
	huge_ops.get_open = huge_open;
	huge_ops.get_read = huge_read;
	huge_ops.get_close = huge_close;
	r.store->ops = &huge_ops;
	c = rig_run(&r);
	assert_true(az_str_eqc(az_json_gets(c, "status"), "succeeded"));
	assert_true(huge_left <= 0);
	r.store->ops = plain;
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(any_split_finds_the_same),
	    cmocka_unit_test(it_may_lie_across_any_border),
	    cmocka_unit_test(a_long_log_needs_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
