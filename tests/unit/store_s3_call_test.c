/* store: one call of S3 against a scripted server: what is tried again, and how often. */
#include <azlon/limits.h>
#include "s3_fixture.h"

#define EMPTY(line, more) "HTTP/1.1 " line "\r\n" more "Content-Length: 0\r\n\r\n"
/* ends with the connection: no length to count */
#define ENDS(line, more, body) "HTTP/1.1 " line "\r\n" more "Connection: close\r\n\r\n" body
#define ERROR(code, more) "<Error><Code>" code "</Code>" more "</Error>"

static struct s3_reply r;

static enum az_code
get(struct s3 *s)
{
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	struct s3_call c = {.method = "GET", .bucket = &b, .key = AZ_S("a/b")};

	return s3_do(s, &c, &r, &err);
}

static const struct http_peer_step fine = {EMPTY("200 OK", ""), 0, HTTP_THEN_KEEP, 0, false};

static void
busy_then_fine(void **state)
{
	struct http_peer_step v[] = {{.bytes = EMPTY("503 Busy", "Retry-After: 0\r\n")},
	    {.bytes = EMPTY("429 Many", "")}, {.bytes = "", .then = HTTP_THEN_RESET}, fine};
	(void)state;

	assert_int_equal(get(against(v, N(v), false)), AZ_OK);
	assert_true(http_peer_requests(peer) >= 4);
}

static void
five_tries_and_no_more(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = ENDS("502 Bad", "", "<html><p>bad</html>"), .then = HTTP_THEN_CLOSE}};
	(void)state;

	assert_int_equal(get(against(v, 1, false)), AZ_EUNAVAIL);
	assert_int_equal(r.tries, 5);
	assert_int_equal(http_peer_requests(peer), 5);
}

static void
an_empty_bucket_of_tokens_stops_a_storm(void **state)
{
	struct http_peer_step v[] = {{.bytes = EMPTY("503 Busy", "")}};
	struct s3 *s = against(v, 1, false);
	(void)state;

	s->tokens = 0;
	for (int i = 0; i < 20; i++)
		assert_int_equal(get(s), AZ_EUNAVAIL);
	/* twenty requests earned two retries */
	assert_int_equal(http_peer_requests(peer), 22);
}

static void
a_clock_is_put_right_once(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = ENDS("403 No", "Date: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
		 ERROR("RequestTimeTooSkewed", "")),
		.then = HTTP_THEN_CLOSE},
	    fine};
	(void)state;

	assert_int_equal(get(against(v, 2, false)), AZ_OK);
	assert_int_equal(http_peer_requests(peer), 2);
	assert_non_null(strstr(http_peer_request(peer, 1, NULL), "21000101T"));
}

static void
a_region_is_learned_once(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = ENDS(
		 "400 No", "", ERROR("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")),
		.then = HTTP_THEN_CLOSE}};
	(void)state;

	assert_int_equal(get(against(v, 1, false)), AZ_EUNAVAIL);
	assert_int_equal(http_peer_requests(peer), 2);
	assert_non_null(strstr(http_peer_request(peer, 1, NULL), "/eu-west-1/s3/aws4_request"));
}

static void
an_error_may_hide_in_a_200(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = ENDS("200 OK", "", ERROR("NoSuchBucket", "")), .then = HTTP_THEN_CLOSE}};
	struct s3 *s = against(v, 1, false);
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	struct s3_etag e = {.etag = ""};
	struct s3_xml_opts xml = s3_etag_opts(&e, "CopyObjectResult");
	struct s3_call c = {.method = "PUT", .bucket = &b, .key = AZ_S("k"), .xml = &xml};
	(void)state;

	assert_int_equal(s3_do(s, &c, &r, &err), AZ_ENOTFOUND);
	assert_string_equal(r.error.code, "NoSuchBucket");
}

static void
without_sts_the_root_keys_serve_and_it_is_asked_once(void **state)
{
	struct http_peer_step v[] = {{.bytes = EMPTY("501 No", "")}, fine};
	struct s3 *s = against(v, 2, true);
	(void)state;

	assert_int_equal(get(s), AZ_OK);
	assert_int_equal(get(s), AZ_OK);
	assert_int_equal(http_peer_requests(peer), 3);
	assert_non_null(strstr(http_peer_request(peer, 0, NULL), "Action=AssumeRole"));
}

static void
a_failing_sts_is_no_reason_to_use_the_root_keys(void **state)
{
	struct http_peer_step v[] = {{.bytes = EMPTY("503 Busy", "")}};
	struct s3 *s = against(v, 1, true);
	(void)state;

	s->tokens = 0;
	assert_int_equal(get(s), AZ_EUNAVAIL);
	assert_int_equal(http_peer_requests(peer), 1);
}

static void
a_server_that_wants_more_time_is_not_asked_again(void **state)
{
	struct http_peer_step v[] = {{.bytes = EMPTY("503 Busy", "Retry-After: 3600\r\n")}};
	(void)state;

	assert_int_equal(get(against(v, 1, false)), AZ_EUNAVAIL);
	assert_int_equal(http_peer_requests(peer), 1);
}

static void
a_head_finds_out_about_the_clock_too(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = EMPTY("403 No", "Date: Fri, 01 Jan 2100 00:00:00 GMT\r\n")}, fine};
	struct s3 *s = against(v, 2, false);
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	struct s3_call c = {.method = "HEAD", .bucket = &b, .key = AZ_S("a")};
	(void)state;

	assert_int_equal(s3_do(s, &c, &r, &err), AZ_OK);
	assert_non_null(strstr(http_peer_request(peer, 1, NULL), "21000101T"));
}

static void
a_head_finds_out_about_the_region_too(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = EMPTY("400 No", "x-amz-bucket-region: eu-west-1\r\n")}, fine};
	struct s3 *s = against(v, 2, false);
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	struct s3_call c = {.method = "HEAD", .bucket = &b, .key = AZ_S("a")};
	(void)state;

	assert_int_equal(s3_do(s, &c, &r, &err), AZ_OK);
	assert_non_null(strstr(http_peer_request(peer, 1, NULL), "/eu-west-1/s3/"));
}

/* No header, no body: it takes a request whose answer may have one. */
static void
a_head_that_is_told_nothing_asks_for_the_region(void **state)
{
	struct http_peer_step v[] = {{.bytes = EMPTY("400 No", "")},
	    {.bytes = ENDS(
		 "400 No", "", ERROR("AuthorizationHeaderMalformed", "<Region>eu-test-7</Region>")),
		.then = HTTP_THEN_CLOSE},
	    {.bytes = ENDS("404 No", "", ERROR("NoSuchBucket", "")), .then = HTTP_THEN_CLOSE}, fine,
	    {.bytes = EMPTY("400 No", "")},
	    {.bytes = ENDS("404 No", "", ERROR("NoSuchBucket", "")), .then = HTTP_THEN_CLOSE}};
	struct s3 *s = against(v, 6, false);
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	struct s3_call c = {.method = "HEAD", .bucket = &b, .key = AZ_S("a")};
	(void)state;

	assert_int_equal(s3_do(s, &c, &r, &err), AZ_OK);
	assert_non_null(strstr(http_peer_request(peer, 3, NULL), "/eu-test-7/s3/"));
	/* it was not the region */
	assert_int_equal(s3_do(s, &c, &r, &err), AZ_EUPSTREAM);
	assert_int_equal(http_peer_requests(peer), 6);
}

static void
minio_says_in_a_header_what_a_head_cannot(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = EMPTY("404 No", "x-minio-error-code: NoSuchBucket\r\n")}};
	struct s3 *s = against(v, 1, false);
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	struct s3_call c = {.method = "HEAD", .bucket = &b};
	(void)state;

	assert_int_equal(s3_do(s, &c, &r, &err), AZ_ENOTFOUND);
	assert_string_equal(r.error.code, "NoSuchBucket");
}

static void
a_redirect_is_not_followed(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = EMPTY("307 Go", "Location: http://127.0.0.1:1/\r\n")}};
	(void)state;

	assert_int_equal(get(against(v, 1, false)), AZ_EUNAVAIL);
	assert_int_equal(http_peer_requests(peer), 1);
}

/* A listing of one key that is the whole body. */
static enum az_code
list(struct s3 *s)
{
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	struct az_arena *a = az_arena_new(AZ_KIB(256));
	struct az_store_list q = {.limit = 10};
	struct az_store_page page = {.n = 0};
	enum az_code rc = az_store_list(&s->base, &b, &q, a, &page, &err);

	assert_true(rc || page.n == 1);
	az_arena_free(a);
	return rc;
}

#define ENTRY                                                                                      \
	"<Contents><Key>k</Key><LastModified>2026-11-28T00:00:00Z</LastModified><Size>1</Size>"    \
	"</Contents>"

static void
a_cut_listing_is_asked_for_again(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = ENDS("200 OK", "", "<ListBucketResult>" ENTRY "<Con"),
		.then = HTTP_THEN_CLOSE},
	    {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n<ListBucketResult>" ENTRY,
		.then = HTTP_THEN_CLOSE},
	    {.bytes = ENDS("200 OK", "",
		 "<ListBucketResult><IsTruncated>false</IsTruncated>" ENTRY "</ListBucketResult>"),
		.then = HTTP_THEN_CLOSE}};
	(void)state;

	/* nothing of the tries before is in it */
	assert_int_equal(list(against(v, N(v), false)), AZ_OK);
	assert_int_equal(http_peer_requests(peer), 3);
}

static void
nonsense_is_the_servers_fault(void **state)
{
	/* illegal XML; a size left out; nested too deeply */
	static const char *const bodies[] = {
	    ENDS("200 OK", "", "<ListBucketResult><Key>&#1;</Key></ListBucketResult>"),
	    ENDS("200 OK", "",
		"<ListBucketResult><Contents><Key>k</Key><LastModified>2026-11-28T00:00:00Z"
		"</LastModified></Contents></ListBucketResult>"),
	    ENDS("200 OK", "",
		"<ListBucketResult><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>")};
	(void)state;

	for (size_t i = 0; i < N(bodies); i++) {
		struct http_peer_step v = {.bytes = bodies[i], .then = HTTP_THEN_CLOSE};

		away();
		assert_int_equal(list(against(&v, 1, false)), AZ_EUPSTREAM);
		assert_int_equal(err.code, AZ_EUPSTREAM);
	}
}

static void
some_of_many_cannot_be_removed(void **state)
{
	static const char listing[] = ENDS("200 OK", "",
	    "<ListBucketResult><IsTruncated>false</IsTruncated>" ENTRY "</ListBucketResult>");
	static const char nothing[] = ENDS(
	    "200 OK", "", "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
#define LEFT(code) ENDS("200 OK", "", "<DeleteResult>" ERROR(code, "") "</DeleteResult>")
	struct http_peer_step denied[] = {{.bytes = listing, .then = HTTP_THEN_CLOSE},
	    {.bytes = LEFT("AccessDenied"), .then = HTTP_THEN_CLOSE}};
	struct http_peer_step busy[] = {{.bytes = listing, .then = HTTP_THEN_CLOSE},
	    {.bytes = LEFT("SlowDown"), .then = HTTP_THEN_CLOSE},
	    {.bytes = listing, .then = HTTP_THEN_CLOSE},
	    {.bytes = ENDS("200 OK", "", "<DeleteResult></DeleteResult>"), .then = HTTP_THEN_CLOSE},
	    {.bytes = nothing, .then = HTTP_THEN_CLOSE}};
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	(void)state;

	assert_int_equal(
	    s3_remove_all(against(denied, N(denied), false), &b, AZ_S("w/"), &err), AZ_EUNAVAIL);
	assert_non_null(strstr(err.text, "AccessDenied"));
	away();
	assert_int_equal(s3_remove_all(against(busy, N(busy), false), &b, AZ_S("w/"), &err), AZ_OK);
	assert_int_equal(http_peer_requests(peer), 5);
}

static const struct http_peer_step *
never_empty(void *arg, const char *request, int i)
{
	static const struct http_peer_step
	    listing = {.bytes = ENDS("200 OK", "",
			   "<ListBucketResult><IsTruncated>false</IsTruncated>" ENTRY
			   "</ListBucketResult>"),
		.then = HTTP_THEN_CLOSE},
	    removed = {.bytes = ENDS("200 OK", "", "<DeleteResult></DeleteResult>"),
		.then = HTTP_THEN_CLOSE};

	(void)arg, (void)i;
	return strncmp(request, "GET", 3) ? &removed : &listing;
}

static void
a_removal_without_effect_ends(void **state)
{
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	(void)state;

	assert_int_equal(
	    s3_remove_all(against_picked(never_empty), &b, AZ_S("w/"), &err), AZ_EUNAVAIL);
}

static void
uploads_are_ended_page_by_page(void **state)
{
#define UPLOAD(key, id) "<Upload><Key>" key "</Key><UploadId>" id "</UploadId></Upload>"
	struct http_peer_step v[] = {
	    {.bytes = ENDS("200 OK", "",
		 "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>true"
		 "</IsTruncated><NextKeyMarker>w%2Fa</NextKeyMarker>" UPLOAD("v", "1")
		     UPLOAD("w%2Fa", "2") "</ListMultipartUploadsResult>"),
		.then = HTTP_THEN_CLOSE},
	    fine,
	    {.bytes = ENDS("200 OK", "",
		 "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>" UPLOAD(
		     "w/b", "3") "</ListMultipartUploadsResult>"),
		.then = HTTP_THEN_CLOSE},
	    fine};
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	(void)state;

	assert_int_equal(s3_abort_uploads(against(v, N(v), false), &b, AZ_S("w/"), &err), AZ_OK);
	assert_int_equal(http_peer_requests(peer), 4);
	assert_non_null(strstr(http_peer_request(peer, 1, NULL), "/w/a?uploadId=2 "));
	assert_non_null(strstr(http_peer_request(peer, 2, NULL), "key-marker=w%2Fa"));
}

static void
uploads_that_cannot_be_listed_are_told(void **state)
{
	struct http_peer_step no[] = {{.bytes = EMPTY("501 No", "")}};
	struct http_peer_step odd[] = {{.bytes = EMPTY("400 No", "")}};
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	(void)state;

	assert_int_equal(s3_abort_uploads(against(no, 1, false), &b, AZ_S("w/"), &err), AZ_OK);
	away();
	assert_int_equal(
	    s3_abort_uploads(against(odd, 1, false), &b, AZ_S("w/"), &err), AZ_EUPSTREAM);
}

static void
a_setting_is_no_header(void **state)
{
	struct az_s3_opts o = {.http = http,
	    .endpoint = "127.0.0.1:1",
	    .access_key = "azlon\nx-evil: 1",
	    .secret_key = "secret"};
	(void)state;

	assert_int_equal(az_store_s3_open(&o, &store, &err), AZ_EINVAL);
	o.access_key = "azlon";
	o.region = "us-east-1\r\nx: 1";
	assert_int_equal(az_store_s3_open(&o, &store, &err), AZ_EINVAL);
}

static void
a_bucket_of_ours_is_made_once(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = ENDS("409 No", "", ERROR("BucketAlreadyOwnedByYou", "")),
		.then = HTTP_THEN_CLOSE}};
	struct s3 *s = against(v, 1, false);
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	(void)state;

	assert_int_equal(s3_bucket_make(s, &b, &err), AZ_OK);
	assert_int_equal(s3_bucket_make(s, &b, &err), AZ_OK);
	assert_int_equal(http_peer_requests(peer), 1);
}

static void
a_bucket_of_another_account_is_said(void **state)
{
	struct http_peer_step v[] = {{.bytes = ENDS("409 No", "", ERROR("BucketAlreadyExists", "")),
					 .then = HTTP_THEN_CLOSE},
	    {.bytes = EMPTY("403 No", "")}};
	struct az_bucket b = az_bucket_of(AZ_S("u1"));
	struct s3 *s = against(v, 2, false);
	(void)state;

	assert_int_equal(s3_bucket_make(s, &b, &err), AZ_EUNAVAIL);
	assert_non_null(strstr(err.text, "another account"));
}

/* Some servers answer 404 to both: a bucket that is not there, and a key that they do not know. */
static void
wrong_keys_are_no_missing_bucket(void **state)
{
	struct http_peer_step v[] = {
	    {.bytes = ENDS("404 No", "", ERROR("NoSuchBucket", "")), .then = HTTP_THEN_CLOSE},
	    {.bytes = ENDS("403 No", "", ERROR("AccessDenied", "")), .then = HTTP_THEN_CLOSE},
	    {.bytes = ENDS("404 No", "", ERROR("XAdminUserNotFound", "")),
		.then = HTTP_THEN_CLOSE}};
	struct s3 *s = against(v, 3, false);
	(void)state;

	assert_int_equal(az_store_ping(&s->base, &err), AZ_OK);
	assert_int_equal(az_store_ping(&s->base, &err), AZ_OK); /* not its bucket */
	assert_int_equal(az_store_ping(&s->base, &err), AZ_EUNAVAIL);
	assert_non_null(strstr(err.text, "MINIO_ROOT_USER"));
	assert_int_equal(http_peer_requests(peer), 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {T(busy_then_fine), T(five_tries_and_no_more),
	    T(an_empty_bucket_of_tokens_stops_a_storm), T(a_clock_is_put_right_once),
	    T(a_region_is_learned_once), T(an_error_may_hide_in_a_200),
	    T(without_sts_the_root_keys_serve_and_it_is_asked_once),
	    T(a_failing_sts_is_no_reason_to_use_the_root_keys), T(a_bucket_of_ours_is_made_once),
	    T(a_bucket_of_another_account_is_said),
	    T(a_server_that_wants_more_time_is_not_asked_again),
	    T(a_head_finds_out_about_the_clock_too), T(a_head_finds_out_about_the_region_too),
	    T(a_head_that_is_told_nothing_asks_for_the_region),
	    T(minio_says_in_a_header_what_a_head_cannot), T(a_redirect_is_not_followed),
	    T(a_cut_listing_is_asked_for_again), T(nonsense_is_the_servers_fault),
	    T(some_of_many_cannot_be_removed), T(a_removal_without_effect_ends),
	    T(uploads_are_ended_page_by_page), T(uploads_that_cannot_be_listed_are_told),
	    T(a_setting_is_no_header), T(wrong_keys_are_no_missing_bucket)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
