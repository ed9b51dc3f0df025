/* What a key depends on, and what it must not depend on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>
#include "replay/replay.h"

#define WID "user-alice_1-1790000000000-abcdefghijklmnopqrstuvwxyz"

static const struct {
	const char *in, *out;
} rows[] = {
    {"", ""},
    {"plain text 42", "plain text 42"},
    {"run " WID " now", "run <wid> now"},
    {WID "/x", "<wid>/x"},
    {"user-alice-179-abc", "user-alice-179-abc"},
    {WID "a", WID "a"},
    {"x" WID, "x" WID},
    {"in inp_abcdefghijklmnopqrstuvwxyz.", "in <input>."},
    {"inp_short", "inp_short"},
    {"at 2026-01-31T12:00:00.123Z!", "at <time>!"},
    {"2026-01-31 12:00:00 x", "<time> x"},
    {"2026-01-31T12:00:00+02:00", "<time>"},
    {"2012-01-01,0.0,12.8", "2012-01-01,0.0,12.8"},
    {"took 12 ms, 3 s", "took <n> ms, <n> s"},
    {"Ran 5 tests in 0.003s", "Ran 5 tests in <n>s"},
    {"1.25 s", "<n> s"},
    {"3 seconds", "3 seconds"},
    {"3 systems", "3 systems"},
    {"a1s b2ms", "a1s b2ms"},
    {"1.2.3s", "1.2.3s"},
    {"/tmp/tmpab12_x/y.py:3", "/tmp/<path>:3"},
    {"/tmp/ x", "/tmp/ x"},
    {"<f at 0x7fa0Bc>", "<f at 0x<addr>>"},
    {"0x", "0x"},
    {"/usr/lib/python3.11/json/x.py", "/usr/lib/python3.<n>/json/x.py"},
    {"python3 x", "python3 x"},
    {"a = b\n    ~~^~~\nE", "a = b\nE"},
    {"^^^", ""},
    {"  \nx", "  \nx"},
    {"x ^ y\n", "x ^ y\n"},
    {"a\n~~~~~\n", "a\n"},
    {"^\r\nx", "x"},
};

static void
texts_are_normalised(void **state)
{
	struct az_buf b, c;

	(void)state;
	az_buf_init(&b, 4096);
	az_buf_init(&c, 4096);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		az_buf_reset(&b);
		az_buf_reset(&c);
		replay_normalise(&b, az_str_c(rows[i].in));
		if (!az_str_eqc(az_buf_str(&b), rows[i].out))
			fail_msg("%s -> %.*s", rows[i].in, AZ_FMT(az_buf_str(&b)));
		replay_normalise(&c, az_buf_str(&b));
		if (!az_str_eq(az_buf_str(&b), az_buf_str(&c)))
			fail_msg("%s: not the same twice", rows[i].in);
	}
	az_buf_release(&b);
	az_buf_release(&c);
}

static void
key_of(const char *json, char key[65])
{
	struct az_json *j = NULL;
	struct az_err err = AZ_ERR_INIT;
	struct az_buf b;

	az_buf_init(&b, 1 << 16);
	if (az_json_parse(az_str_c(json), &replay_limits, &j, &err) ||
	    replay_canon(j, &b, key, &err))
		fail_msg("%s: %s", json, err.text);
	az_json_free(j);
	az_buf_release(&b);
}

#define M "{\"role\":\"user\",\"content\":\"hi\"}"

static const struct {
	const char *a, *b;
	bool same;
} pairs[] = {
    {"{\"model\":\"a\",\"messages\":[" M "],\"seed\":1,\"temperature\":0.2,\"max_tokens\":5,"
     "\"stream\":true}",
	"{\"messages\":[" M "],\"model\":\"b\",\"seed\":2}", true},
    {"{\"messages\":[" M "]}",
	"{\"messages\":[{\"content\":[{\"type\":\"text\",\"text\":"
	"\"hi\"}],\"role\":\"user\"}]}",
	true},
    {"{\"messages\":[" M "]}", "{\"messages\":[{\"role\":\"user\",\"content\":\"ho\"}]}", false},
    {"{\"messages\":[" M "]}", "{\"messages\":[{\"role\":\"system\",\"content\":\"hi\"}]}", false},
    {"{\"messages\":[" M "]}", "{\"messages\":[" M "," M "]}", false},
    {"{\"messages\":[" M "]}",
	"{\"messages\":[" M "],\"response_format\":{\"type\":"
	"\"json_schema\",\"json_schema\":{\"name\":\"v\",\"schema\":{}}}}",
	false},
    /* a canonical form has the key of what it was made of */
    {"{\"messages\":[" M "],\"schema\":\"v\"}",
	"{\"messages\":[" M "],\"response_format\":"
	"{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"v\",\"schema\":{}}}}",
	true},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"took 3 s\"}]}",
	"{\"messages\":[{\"role\":\"user\",\"content\":\"took 14.2 s\"}]}", true},
};

static void
keys_depend_on_what_is_asked(void **state)
{
	char a[65], b[65];

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		key_of(pairs[i].a, a);
		key_of(pairs[i].b, b);
		assert_int_equal(strlen(a), 64);
		if ((strcmp(a, b) == 0) != pairs[i].same)
			fail_msg("%s and %s", pairs[i].a, pairs[i].b);
	}
}

static void
long_texts_take_linear_time(void **state)
{
	static const char *const patterns[] = {
	    "1", "^", "user-a-", "/tmp/", "2026-01-31T", "0x", " ", "^ \n", "python3."};
	struct az_buf in, out;

	(void)state;
	az_buf_init(&in, 1 << 22);
	az_buf_init(&out, 1 << 24);
	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
		clock_t from;

		az_buf_reset(&in);
		az_buf_reset(&out);
		while (in.n < 1000000)
			az_buf_addc(&in, patterns[i]);
		from = clock();
		replay_normalise(&out, az_buf_str(&in));
		if (clock() - from > 3 * CLOCKS_PER_SEC)
			fail_msg("%s", patterns[i]);
		assert_int_equal(out.fail, AZ_OK);
	}
	az_buf_release(&in);
	az_buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(texts_are_normalised),
	    cmocka_unit_test(keys_depend_on_what_is_asked),
	    cmocka_unit_test(long_texts_take_linear_time),
	};

	return cmocka_run_group_tests_name("replay_canon", tests, NULL, NULL);
}
