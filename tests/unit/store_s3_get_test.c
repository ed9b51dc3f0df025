/* Faults while the S3 adapter reads, by a scripted server. */
#include <azlon/store.h>
#include "s3_fixture.h"

#define HEAD "ETag: \"e1\"\r\nLast-Modified: Fri, 13 Nov 2026 10:00:00 GMT\r\n"

/* The whole object from offset, and the code it ended with. */
static enum az_code
read_from(int64_t offset, char *out, size_t cap)
{
	struct az_get *g;
	size_t n = 0, got = 1;
	enum az_code rc = az_store_get_open(store, &bucket, AZ_S("k"), offset, NULL, &g, &err);

	while (!rc && got) {
		rc = az_store_get_read(g, out + n, cap - 1 - n, &got, &err);
		n += got;
	}
	out[n] = '\0';
	az_store_get_close(g);
	return rc;
}

static const char cut[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" HEAD "\r\n0123";

static void
test_cut_body_goes_on(void **state)
{
	static const struct http_peer_step steps[] = {{.bytes = cut, .then = HTTP_THEN_CLOSE},
	    {.bytes = "HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\n"
		      "Content-Range: bytes 4-9/10\r\n" HEAD "\r\n456789"}};
	char got[32];

	(void)state;
	against(steps, N(steps), false);
	assert_int_equal(read_from(0, got, sizeof got), AZ_OK);
	assert_string_equal(got, "0123456789");
	assert_int_equal(http_peer_requests(peer), 2);
	assert_null(strstr(http_peer_request(peer, 0, NULL), "ange: "));
	assert_non_null(strstr(http_peer_request(peer, 1, NULL), "range: bytes=4-\r\n"));
	assert_non_null(strstr(http_peer_request(peer, 1, NULL), "if-match: \"e1\"\r\n"));
}

static void
test_changed_meanwhile(void **state)
{
	static const struct http_peer_step steps[] = {{.bytes = cut, .then = HTTP_THEN_CLOSE},
	    {.bytes = "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"}};
	char got[32];

	(void)state;
	against(steps, N(steps), false);
	assert_int_equal(read_from(0, got, sizeof got), AZ_EIO);
	assert_string_equal(got, "0123");
}

static void
test_resume_without_ranges_is_no_resume(void **state)
{
	/* the whole of it again where its rest was asked for */
	static const struct http_peer_step steps[] = {{.bytes = cut, .then = HTTP_THEN_CLOSE},
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" HEAD "\r\n0123456789"}};
	char got[32];

	(void)state;
	against(steps, N(steps), false);
	assert_int_not_equal(read_from(0, got, sizeof got), AZ_OK);
	assert_string_equal(got, "0123");
}

static void
test_another_range_is_refused(void **state)
{
	/* a rest from elsewhere, and one that does not say where it is from */
	static const struct http_peer_step steps[] = {
	    {.bytes = "HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\n"
		      "Content-Range: bytes 3-8/10\r\n" HEAD "\r\n345678"},
	    {.bytes = "HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\n" HEAD "\r\n456789"}};
	char got[32];

	(void)state;
	against(steps, N(steps), false);
	assert_int_equal(read_from(4, got, sizeof got), AZ_EUPSTREAM);
	assert_int_equal(read_from(4, got, sizeof got), AZ_EUPSTREAM);
	assert_string_equal(got, "");
}

static void
test_no_progress_ends(void **state)
{
	static const struct http_peer_step steps[] = {{.bytes = cut, .then = HTTP_THEN_CLOSE},
	    {.bytes = "HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\n"
		      "Content-Range: bytes 4-9/10\r\n" HEAD "\r\n",
		.then = HTTP_THEN_CLOSE}};
	char got[32];

	(void)state;
	against(steps, N(steps), false);
	assert_int_equal(read_from(0, got, sizeof got), AZ_EUNAVAIL);
	assert_string_equal(got, "0123");
	assert_in_range(http_peer_requests(peer), 3, 8);
}

static void
test_ends_of_an_object(void **state)
{
	static const char out_of_range[] = "HTTP/1.1 416 Range Not Satisfiable\r\n"
					   "Content-Length: 0\r\n\r\n";
	static const char size[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" HEAD "\r\n";
	static const struct http_peer_step steps[] = {{.bytes = out_of_range},
	    {.bytes = size, .then = HTTP_THEN_KEEP}, {.bytes = out_of_range},
	    {.bytes = size, .then = HTTP_THEN_KEEP}};
	char got[32];

	(void)state;
	against(steps, N(steps), false);
	assert_int_equal(read_from(10, got, sizeof got), AZ_OK);
	assert_string_equal(got, "");
	assert_int_equal(read_from(11, got, sizeof got), AZ_ERANGE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_cut_body_goes_on),
	    T(test_changed_meanwhile),
	    T(test_resume_without_ranges_is_no_resume),
	    T(test_another_range_is_refused),
	    T(test_no_progress_ends),
	    T(test_ends_of_an_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
