/* store: where an S3 server is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "store/s3.h"

static void
good_ones_are_taken(void **state)
{
	static const struct {
		const char *text;
		bool ssl;
		const char *url, *host;
	} good[] = {
	    {"minio", false, "http://minio", "minio"},
	    {"minio", true, "https://minio", "minio"},
	    {"minio:9000", false, "http://minio:9000", "minio:9000"},
	    {"127.0.0.1:9000", true, "https://127.0.0.1:9000", "127.0.0.1:9000"},
	    {"[::1]:9000", false, "http://[::1]:9000", "[::1]:9000"},
	    {"[::1]", false, "http://[::1]", "[::1]"},
	    /* the scheme decides over ssl */
	    {"http://minio:9000", true, "http://minio:9000", "minio:9000"},
	    {"https://s3.example.org/", false, "https://s3.example.org", "s3.example.org"},
	    {"http://[::1]:9000/", true, "http://[::1]:9000", "[::1]:9000"},
	    /* a usual port is not in the Host header, an unusual one is */
	    {"minio:80", false, "http://minio", "minio"},
	    {"minio:443", true, "https://minio", "minio"},
	    {"minio:443", false, "http://minio:443", "minio:443"},
	    {"https://minio:443", false, "https://minio", "minio"},
	    {"https://minio:80", false, "https://minio:80", "minio:80"},
	};
	struct s3_endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(s3_endpoint_parse(good[i].text, good[i].ssl, &e, NULL), AZ_OK);
		assert_string_equal(e.url, good[i].url);
		assert_string_equal(e.host, good[i].host);
	}
}

static void
bad_ones_are_refused_without_being_repeated(void **state)
{
	static const char *const bad[] = {"", "http://", "https:///", "hush:hush@minio",
	    "http://hush:hush@minio:9000", "minio/hush", "minio/", "http://minio/hush",
	    "http://minio//", "minio?hush", "http://minio:9000/?hush=1", "http://minio#hush",
	    "ftp://hush", "minio:", "minio:0", "minio:65536", "minio:-1", "minio:9000x",
	    "minio:9000:1", "[::1", "::1", "[]", "[]:9000", "[hush]", "[::1]9000", "mi nio",
	    " minio", "minio ", "minio\n", "\tminio", "minio:9000\r\n", "http:// minio",
	    "mi\x01nio", "mi\x7fnio", "mi\xc3\xa9nio", "mi%6eio", "mi\\nio"};
	struct s3_endpoint e;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (s3_endpoint_parse(bad[i], false, &e, &err) != AZ_EINVAL)
			fail_msg("case %zu is taken: %s", i, e.url);
		assert_null(strstr(err.text, "hush"));
	}
}

static void
a_long_name_is_whole_or_refused(void **state)
{
	char text[S3_NAME_MAX + 20], want[S3_NAME_MAX + 40];
	struct s3_endpoint e;

	(void)state;
	for (int n = 1; n < S3_NAME_MAX; n++) {
		snprintf(text, sizeof text, "%0*d:65535", n, 0);
		if (s3_endpoint_parse(text, true, &e, NULL)) {
			assert_true(n > 253); /* the longest name of DNS */
			continue;
		}
		assert_string_equal(e.host, text);
		snprintf(want, sizeof want, "https://%s", text);
		assert_string_equal(e.url, want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_ones_are_taken),
	    cmocka_unit_test(bad_ones_are_refused_without_being_repeated),
	    cmocka_unit_test(a_long_name_is_whole_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
