/* gzip: what goes in comes out, in whatever pieces; what is none is said to be none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/buf.h>
#include <azlon/gzip.h>

static enum az_code
keep(void *arg, struct az_str s, struct az_err *err)
{
	struct az_buf *b = arg;

	assert_true(s.n > 0);
	az_buf_adds(b, s);
	return az_buf_check(b, "test", err);
}

/* In pieces of step bytes. */
static enum az_code
filter(bool pack, struct az_str in, size_t step, struct az_buf *out, struct az_err *err)
{
	struct az_gzip *g;
	enum az_code rc = az_gzip_open(pack, keep, out, &g, err);

	for (size_t i = 0; !rc && i < in.n; i += step)
		rc = az_gzip_feed(g, az_str_sub(in, i, i + step), err);
	if (!rc)
		rc = az_gzip_finish(g, err);
	az_gzip_close(g);
	return rc;
}

static void
round_trips(void **state)
{
	static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 1 << 20};
	static const size_t steps[] = {1, 7, 65536, 1 << 21};
	char *text = malloc(1 << 20);

	(void)state;
	for (size_t i = 0; i < 1 << 20; i++)
		text[i] = (char)(i * i >> 7 ^ i);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
			struct az_str in = az_str_n(text, sizes[i]);
			struct az_buf packed, twice, out;

			if (steps[k] == 1 && sizes[i] > 65537)
				continue;
			az_buf_init(&packed, 2 << 20);
			az_buf_init(&out, 2 << 20);
			assert_int_equal(filter(true, in, steps[k], &packed, NULL), AZ_OK);
			assert_int_equal(
			    filter(false, az_buf_str(&packed), steps[k], &out, NULL), AZ_OK);
			assert_true(az_str_eq(az_buf_str(&out), in));
			/* one behind the other is their contents in a row */
			az_buf_init(&twice, 4 << 20);
			az_buf_adds(&twice, az_buf_str(&packed));
			az_buf_adds(&twice, az_buf_str(&packed));
			az_buf_reset(&out);
			assert_int_equal(
			    filter(false, az_buf_str(&twice), steps[k], &out, NULL), AZ_OK);
			assert_int_equal(out.n, 2 * in.n);
			az_buf_release(&packed);
			az_buf_release(&twice);
			az_buf_release(&out);
		}
	free(text);
}

static void
what_is_not_whole_or_no_gzip_is_refused(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_buf packed, out;
	struct az_str whole;

	(void)state;
	az_buf_init(&packed, 1024);
	az_buf_init(&out, 1024);
	assert_int_equal(filter(true, AZ_S("hello hello hello"), 99, &packed, &err), AZ_OK);
	whole = az_buf_str(&packed);
	for (size_t n = 0; n < whole.n; n++) {
		az_buf_reset(&out);
		assert_int_equal(filter(false, az_str_sub(whole, 0, n), 3, &out, &err), AZ_EINVAL);
		assert_string_equal(err.text, "the gzip body was cut short");
	}
	packed.p[packed.n - 5] ^= 1; /* its checksum */
	assert_int_equal(filter(false, whole, 99, &out, &err), AZ_EINVAL);
	assert_int_equal(filter(false, AZ_S("hello"), 99, &out, &err), AZ_EINVAL);
	assert_string_equal(err.text, "the body is not gzip");
	az_buf_release(&packed);
	az_buf_release(&out);
}

static void
the_sink_bounds_what_comes_out(void **state)
{
	char *zeros = calloc(1, 1 << 20);
	struct az_buf packed, out;

	(void)state;
	az_buf_init(&packed, 1 << 20);
	az_buf_init(&out, 100000);
	assert_int_equal(filter(true, az_str_n(zeros, 1 << 20), 4096, &packed, NULL), AZ_OK);
	assert_true(packed.n < 10000);
	assert_int_equal(filter(false, az_buf_str(&packed), 9999, &out, NULL), AZ_ETOOBIG);
	az_buf_release(&packed);
	az_buf_release(&out);
	free(zeros);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(round_trips),
	    cmocka_unit_test(what_is_not_whole_or_no_gzip_is_refused),
	    cmocka_unit_test(the_sink_bounds_what_comes_out),
	};

	return cmocka_run_group_tests_name("web_gzip", tests, NULL, NULL);
}
