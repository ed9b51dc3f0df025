/* Sending one object: conditions, ranges, who moves the bytes. */
#include <azlon/crypto.h>
#include <api/send.h>
#include "files_fixture.h"

static void
test_range(void **state)
{
	static const struct {
		const char *header;
		int64_t size;
		enum az_range want;
		int64_t from, n;
	} t[] = {
	    {"bytes=0-0", 10, AZ_RANGE_PART, 0, 1},
	    {"bytes=2-5", 10, AZ_RANGE_PART, 2, 4},
	    {"bytes=5-", 10, AZ_RANGE_PART, 5, 5},
	    {"bytes=5-99", 10, AZ_RANGE_PART, 5, 5},
	    {"bytes=-3", 10, AZ_RANGE_PART, 7, 3},
	    {"bytes=-99", 10, AZ_RANGE_PART, 0, 10},
	    {"bytes=10-", 10, AZ_RANGE_NOT_THERE, 0, 10},
	    {"bytes=-0", 10, AZ_RANGE_NOT_THERE, 0, 10},
	    {"bytes=0-", 0, AZ_RANGE_NOT_THERE, 0, 0},
	    {"bytes=-5", 0, AZ_RANGE_NOT_THERE, 0, 0},
	    {"bytes=5-2", 10, AZ_RANGE_NONE, 0, 10},
	    {"bytes=0-1,4-5", 10, AZ_RANGE_NONE, 0, 10},
	    {"lines=0-1", 10, AZ_RANGE_NONE, 0, 10},
	    {"bytes=--1", 10, AZ_RANGE_NONE, 0, 10},
	    {"bytes=a-b", 10, AZ_RANGE_NONE, 0, 10},
	    {"bytes=", 10, AZ_RANGE_NONE, 0, 10},
	    {"bytes=9223372036854775808-", 10, AZ_RANGE_NOT_THERE, 0, 10},
	    {"bytes=2-99999999999999999999", 10, AZ_RANGE_PART, 2, 8},
	    {"Bytes= 1-2 ", 10, AZ_RANGE_PART, 1, 2},
	    {"bytes", 10, AZ_RANGE_NONE, 0, 10},
	    {"", 10, AZ_RANGE_NONE, 0, 10},
	    {"bytes=0-9223372036854775807", 10, AZ_RANGE_PART, 0, 10},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		int64_t from, n;

		assert_int_equal(
		    az_range_of(az_str_c(t[i].header), t[i].size, &from, &n), t[i].want);
		if (t[i].want != AZ_RANGE_NOT_THERE) {
			assert_int_equal(from, t[i].from);
			assert_int_equal(n, t[i].n);
		}
	}
}

static void
test_tags(void **state)
{
	(void)state;
	assert_true(send_tag_listed(AZ_S("\"a\""), AZ_S("\"a\""), false));
	assert_true(send_tag_listed(AZ_S("\"b\", W/\"a\""), AZ_S("\"a\""), false));
	assert_true(send_tag_listed(AZ_S("*"), AZ_S("\"a\""), false));
	assert_false(send_tag_listed(AZ_S("a"), AZ_S("\"a\""), false));
	assert_false(send_tag_listed(AZ_S("\"ab\""), AZ_S("\"a\""), false));
	/* If-Match means this very one */
	assert_true(send_tag_listed(AZ_S("\"b\" , \"a\""), AZ_S("\"a\""), true));
	assert_false(send_tag_listed(AZ_S("W/\"a\""), AZ_S("\"a\""), true));
	assert_false(send_tag_listed(AZ_S(""), AZ_S("\"a\""), false));
}

/* ---- a store that nginx reaches by presigned paths ---- */

static enum az_code
accel(struct az_store *s, const struct az_bucket *b, struct az_str key, const char *method,
    const char *mime, struct az_buf *target, struct az_buf *path, struct az_err *err)
{
	(void)s;
	(void)err;
	az_buf_addc(target, "@s3");
	az_buf_addf(path, "/%s/%.*s?for=%s&type=", b->name, AZ_FMT(key), method);
	az_pct_encode(path, az_str_c(mime), NULL);
	return AZ_OK;
}

static struct az_store_ops s3_ops;

static int
setup_s3(void **state)
{
	struct fixture *f;
	int rc = setup(state, false);

	f = *state;
	s3_ops = *f->api.store->ops;
	s3_ops.accel = accel;
	f->api.store->ops = &s3_ops;
	return rc;
}

#define S3(t) cmocka_unit_test_setup_teardown(t, setup_s3, teardown)
#define URL "/files/" DONE "/0123456789.txt"

static int
head(struct fixture *f, const char *header)
{
	return call(f, "alice", "HEAD", URL, NULL, header, NULL, AZ_S(""));
}

static void
test_presigned_for_the_method(void **state)
{
	struct fixture *f = *state;
	char want[400], sha[65];

	tree(f, DONE, -1, PATHS("0123456789.txt", "page.html"));
	az_sha256_hex(AZ_S("0123456789.txt"), sha);
	assert_int_equal(get(f, URL, NULL, NULL), 200);
	assert_string_equal(header(f, "X-Accel-Redirect"), "@s3");
	snprintf(want, sizeof want,
	    "/%s/" DONE "/.azlon/blobs/%s?for=GET&type=text%%2Fplain%%3B%%20charset%%3Dutf-8",
	    f->b.name, sha);
	assert_string_equal(header(f, "X-S3-Path"), want);
	snprintf(want, sizeof want, "\"%s\"", sha);
	assert_string_equal(header(f, "X-Azlon-ETag"), want);
	assert_string_equal(header(f, "X-Azlon-Range"), "");
	assert_string_equal(
	    header(f, "Content-Disposition"), "inline; filename=\"0123456789.txt\"");
	assert_string_equal(header(f, "Cache-Control"), "private, no-store");
	assert_int_equal(head(f, NULL), 200);
	assert_non_null(strstr(header(f, "X-S3-Path"), "?for=HEAD&"));
	assert_int_equal(get(f, "/files/" DONE "/page.html", NULL, NULL), 200);
	assert_non_null(strstr(header(f, "Content-Disposition"), "attachment"));
}

static void
test_the_range_s3_is_asked_for(void **state)
{
	struct fixture *f = *state;
	char h[200], sha[65];

	tree(f, DONE, -1, PATHS("0123456789.txt"));
	az_sha256_hex(AZ_S("0123456789.txt"), sha);
	assert_int_equal(get(f, URL, NULL, "HTTP_RANGE=bytes=2-4"), 200);
	assert_string_equal(header(f, "X-Azlon-Range"), "bytes=2-4");
	assert_int_equal(get(f, URL, NULL, "HTTP_RANGE=bytes=-4"), 200);
	assert_string_equal(header(f, "X-Azlon-Range"), "bytes=10-13");
	assert_int_equal(head(f, "HTTP_RANGE=bytes=2-"), 200);
	assert_string_equal(header(f, "X-Azlon-Range"), "bytes=2-13");
	/* several: the whole is a right answer */
	assert_int_equal(get(f, URL, NULL, "HTTP_RANGE=bytes=0-1,4-5"), 200);
	assert_string_equal(header(f, "X-Azlon-Range"), "");
	assert_string_equal(header(f, "X-Accel-Redirect"), "@s3");
	/* what cannot be is never sent on */
	assert_int_equal(get(f, URL, NULL, "HTTP_RANGE=bytes=14-"), 416);
	assert_string_equal(header(f, "Content-Range"), "bytes */14");
	assert_string_equal(header(f, "X-Accel-Redirect"), "");
	check_problem(f, "bad_range", "range");
	snprintf(h, sizeof h, "HTTP_IF_MATCH=\"%s\"", sha);
	assert_int_equal(get(f, URL, NULL, h), 200);
	assert_string_equal(header(f, "X-Accel-Redirect"), "@s3");
	assert_int_equal(get(f, URL, NULL, "HTTP_IF_MATCH=\"x\""), 412);
	assert_string_equal(header(f, "X-Accel-Redirect"), "");
}

/* One request with two headers. */
static void
two(struct fixture *f, const char *a, const char *b)
{
	const char *params[] = {"HTTP_HOST=localhost", "HTTP_X_USER_ID=alice", a, b, NULL};
	struct fcgi_req q = {.method = "GET", .path = URL, .params = params};

	fcgi_peer_release(&f->r);
	memset(&f->r, 0, sizeof f->r);
	assert_true(fcgi_peer_call(f->web.path, &q, &f->r));
}

static void
test_if_range_is_weighed_by_us(void **state)
{
	struct fixture *f = *state;
	char h[200], sha[65];
	bool s3 = f->api.store->ops == &s3_ops;

	tree(f, DONE, -1, PATHS("0123456789.txt"));
	az_sha256_hex(AZ_S("0123456789.txt"), sha);
	snprintf(h, sizeof h, "HTTP_IF_RANGE=\"%s\"", sha);
	two(f, "HTTP_RANGE=bytes=2-4", h);
	if (s3) {
		assert_string_equal(header(f, "X-Azlon-Range"), "bytes=2-4");
	} else {
		assert_int_equal(f->r.status, 206);
		assert_string_equal(f->r.body, "234");
	}
	for (const char *const *p =
		 PATHS("HTTP_IF_RANGE=\"x\"", "HTTP_IF_RANGE=Sat, 29 Oct 2033 19:43:31 GMT");
	     *p; p++) {
		two(f, "HTTP_RANGE=bytes=2-4", *p);
		assert_int_equal(f->r.status, 200);
		if (s3)
			assert_string_equal(header(f, "X-Azlon-Range"), "");
		else
			assert_string_equal(f->r.body, "0123456789.txt");
		/* also one that is not there: it was never asked for */
		two(f, "HTTP_RANGE=bytes=99-", *p);
		assert_int_equal(f->r.status, 200);
	}
	/* If-None-Match goes before */
	snprintf(h, sizeof h, "HTTP_IF_NONE_MATCH=W/\"%s\"", sha);
	two(f, "HTTP_RANGE=bytes=99-", h);
	assert_int_equal(f->r.status, 304);
	assert_string_equal(header(f, "X-Accel-Redirect"), "");
}

static void
test_nothing_has_no_range(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    call(f, "alice", "PUT", "/files/inputs/default/empty", NULL, NULL, NULL, AZ_S("")),
	    201);
	assert_int_equal(get(f, "/files/inputs/default/empty", NULL, NULL), 200);
	assert_int_equal(get(f, "/files/inputs/default/empty", NULL, "HTTP_RANGE=bytes=0-"), 416);
	assert_string_equal(header(f, "Content-Range"), "bytes */0");
}

static void
test_streamed_head_and_if_match(void **state)
{
	struct fixture *f = *state;
	char h[200], sha[65];

	tree(f, DONE, -1, PATHS("0123456789.txt"));
	az_sha256_hex(AZ_S("0123456789.txt"), sha);
	snprintf(h, sizeof h, "HTTP_IF_MATCH=\"%s\"", sha);
	/* nginx would refuse it: from here in both adapters */
	assert_int_equal(get(f, URL, NULL, h), 200);
	assert_string_equal(f->r.body, "0123456789.txt");
	assert_string_equal(header(f, "Cross-Origin-Resource-Policy"), "same-origin");
	snprintf(h, sizeof h, "HTTP_IF_MATCH=W/\"%s\"", sha);
	assert_int_equal(get(f, URL, NULL, h), 412);
	if (f->root[0])
		return;
	assert_int_equal(head(f, "HTTP_RANGE=bytes=2-4"), 206);
	assert_string_equal(header(f, "Content-Length"), "3");
	assert_string_equal(header(f, "Content-Range"), "bytes 2-4/14");
	assert_int_equal(f->r.body_n, 0);
	assert_int_equal(head(f, "HTTP_RANGE=bytes=14-"), 416);
}

/* ---- a store that is away ---- */

static enum az_code
away(struct az_store *s, const struct az_bucket *b, struct az_str key, const char *method,
    const char *mime, struct az_buf *target, struct az_buf *path, struct az_err *err)
{
	(void)s, (void)b, (void)key, (void)method, (void)mime, (void)target, (void)path;
	return az_fail(err, AZ_ETIMEOUT, "test", "no credentials in time");
}

static void
test_store_away_is_said(void **state)
{
	struct fixture *f = *state;

	tree(f, DONE, -1, PATHS("0123456789.txt"));
	s3_ops.accel = away;
	assert_int_equal(get(f, URL, NULL, NULL), 503);
	check_problem(f, "store", "store");
	assert_string_equal(header(f, "Retry-After"), "2");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_range),
	    cmocka_unit_test(test_tags),
	    S3(test_presigned_for_the_method),
	    S3(test_the_range_s3_is_asked_for),
	    S3(test_if_range_is_weighed_by_us),
	    MEM(test_if_range_is_weighed_by_us),
	    S3(test_nothing_has_no_range),
	    MEM(test_nothing_has_no_range),
	    DIR(test_nothing_has_no_range),
	    MEM(test_streamed_head_and_if_match),
	    DIR(test_streamed_head_and_if_match),
	    S3(test_store_away_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
