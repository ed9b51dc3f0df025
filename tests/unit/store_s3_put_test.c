/* Faults while the S3 adapter writes, by a scripted server that keeps no object. */
#include <pthread.h>
#include <azlon/limits.h>
#include "s3_fixture.h"

#define EMPTY "Content-Length: 0\r\n\r\n"

static int seen;  /* of what a test counts */
static bool hers; /* another writer put the same */
static bool bare; /* the server wants tags without quotes */

static const struct http_peer_step ok = {.bytes = "HTTP/1.1 200 OK\r\nETag: \"t\"\r\n" EMPTY};
static const struct http_peer_step missing = {.bytes = "HTTP/1.1 404 Not Found\r\n" EMPTY};
static const struct http_peer_step refused = {
    .bytes = "HTTP/1.1 412 Precondition Failed\r\n" EMPTY};
static const struct http_peer_step reset = {.bytes = "", .n = 0, .then = HTTP_THEN_RESET};
static const struct http_peer_step upload = {
    .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 86\r\n\r\n<InitiateMultipartUploadResult>"
	     "<UploadId>u1</UploadId></InitiateMultipartUploadResult>"};
static const struct http_peer_step nothing_listed = {
    .bytes = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<ListBucketResult>"
	     "<IsTruncated>false</IsTruncated></ListBucketResult>",
    .then = HTTP_THEN_CLOSE};

static const struct http_peer_step completed = {
    .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 81\r\n\r\n<CompleteMultipartUploadResult>"
	     "<ETag>\"x-2\"</ETag></CompleteMultipartUploadResult>"};

static int
setup_counting(void **state)
{
	seen = 0;
	hers = bare = false;
	return setup(state);
}

static bool
line_has(const char *request, const char *text)
{
	const char *at = strstr(request, text), *eol = strstr(request, "\r\n");

	return at && at < eol;
}

static int
count(const char *method, const char *in_line)
{
	int n = 0;

	for (int i = 0; i < http_peer_requests(peer); i++) {
		const char *r = http_peer_request(peer, i, NULL);

		n += !strncmp(r, method, strlen(method)) && line_has(r, in_line);
	}
	return n;
}

static const struct http_peer_step *
first_put_is_reset(void *arg, const char *r, int i)
{
	(void)arg, (void)i;
	if (!strncmp(r, "PUT", 3) && line_has(r, "/.azlon/k") && seen++ == 0)
		return &reset;
	return &ok;
}

static void
test_reset_put_is_sent_again(void **state)
{
	(void)state;
	against_picked(first_put_is_reset);
	assert_int_equal(
	    az_store_put(store, &bucket, AZ_S("w/.azlon/k"), AZ_S("body"), &err), AZ_OK);
	assert_true(count("PUT", "/.azlon/k") >= 2);
}

/* Parts arrive, the answer of the last request never does; what HEAD tells decides. */
static const char *head_etag;

static const struct http_peer_step *
complete_gets_lost(void *arg, const char *r, int i)
{
	/* MD5s of 5 MiB and of 1 MiB of zeros */
	static const struct http_peer_step
	    first = {.bytes =
			 "HTTP/1.1 200 OK\r\nETag: \"5f363e0e58a95f06cbe9bbc662c5dfb6\"\r\n" EMPTY},
	    second = {
		.bytes = "HTTP/1.1 200 OK\r\nETag: \"b6d81b360a5672d80c27430f39153e2c\"\r\n" EMPTY};
	static char text[200];
	static struct http_peer_step head;

	(void)arg, (void)i;
	if (line_has(r, "partNumber="))
		return line_has(r, "partNumber=1&") ? &first : &second;
	if (!strncmp(r, "POST", 4) && line_has(r, "uploads="))
		return &upload;
	if (!strncmp(r, "POST", 4))
		return &reset;
	if (!strncmp(r, "HEAD", 4)) {
		snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nETag: \"%s\"\r\n" EMPTY, head_etag);
		head = (struct http_peer_step){.bytes = text};
		return &head;
	}
	return &ok;
}

/* 6 MiB of zeros. */
static enum az_code
put_parts(void)
{
	static char zeros[AZ_MIB(6)];

	return az_store_put(
	    store, &bucket, AZ_S("w/.azlon/k"), az_str_n(zeros, sizeof zeros), &err);
}

static void
test_lost_answer_of_complete(void **state)
{
	(void)state;
	/* MD5 of the MD5s of 5 MiB and 1 MiB of zeros */
	head_etag = "b7992ce8540773fdfcab72bd0e8c4c64-2";
	against_picked(complete_gets_lost);
	assert_int_equal(put_parts(), AZ_OK);
	assert_int_equal(count("PUT", "partNumber="), 2);
	assert_int_equal(count("DELETE", "uploadId="), 0);
}

static void
test_lost_complete_of_another_object(void **state)
{
	(void)state;
	head_etag = "0123456789abcdef0123456789abcdef-2";
	against_picked(complete_gets_lost);
	assert_int_equal(put_parts(), AZ_EUNAVAIL);
	assert_int_equal(count("DELETE", "uploadId=u1"), 1);
}

static const struct http_peer_step *
tags_are_no_digests(void *arg, const char *r, int i)
{
	static const struct http_peer_step part = {
	    .bytes = "HTTP/1.1 200 OK\r\nETag: \"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\"\r\n" EMPTY};

	return line_has(r, "partNumber=") ? &part : complete_gets_lost(arg, r, i);
}

static void
test_lost_complete_that_cannot_be_told(void **state)
{
	(void)state;
	head_etag = "";
	against_picked(tags_are_no_digests);
	assert_int_equal(put_parts(), AZ_EUNAVAIL);
	assert_int_equal(count("DELETE", "uploadId=u1"), 1);
}

/* PUTs of this part, with its MD5 in the header or without. */
static int
parts_sent(const char *number, bool guarded)
{
	int n = 0;

	for (int i = 0; i < http_peer_requests(peer); i++) {
		const char *r = http_peer_request(peer, i, NULL);

		n += line_has(r, number) && (strcasestr(r, "\ncontent-md5:") != NULL) == guarded;
	}
	return n;
}

static const struct http_peer_step *
tags_are_no_digests_else_well(void *arg, const char *r, int i)
{
	if (!strncmp(r, "POST", 4) && line_has(r, "uploadId="))
		return &completed;
	return tags_are_no_digests(arg, r, i);
}

static void
test_parts_whose_tags_are_no_digests(void **state)
{
	(void)state;
	against_picked(tags_are_no_digests_else_well);
	assert_int_equal(put_parts(), AZ_OK);
	/* the tag tells nothing: the server is to look at the MD5 */
	assert_int_equal(parts_sent("partNumber=1&", false), 1);
	assert_int_equal(parts_sent("partNumber=1&", true), 1);
	assert_int_equal(parts_sent("partNumber=2&", true), 1);
	/* and from now on does so at once */
	assert_int_equal(put_parts(), AZ_OK);
	assert_int_equal(parts_sent("partNumber=1&", false), 1);
	assert_int_equal(parts_sent("partNumber=1&", true), 2);
}

static const struct http_peer_step *
first_part_is_damaged(void *arg, const char *r, int i)
{
	static const struct http_peer_step damaged = {
	    .bytes = "HTTP/1.1 200 OK\r\nETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n" EMPTY};

	if (!strncmp(r, "POST", 4) && line_has(r, "uploadId=")) {
		assert_null(strstr(r, "d41d8cd98f00b204e9800998ecf8427e"));
		return &completed;
	}
	if (line_has(r, "partNumber=1&") && seen++ == 0)
		return &damaged;
	return complete_gets_lost(arg, r, i);
}

static void
test_a_part_that_was_damaged_on_the_way_goes_again(void **state)
{
	(void)state;
	against_picked(first_part_is_damaged);
	assert_int_equal(put_parts(), AZ_OK);
	assert_int_equal(parts_sent("partNumber=1&", false), 1);
	assert_int_equal(parts_sent("partNumber=1&", true), 1);
	/* which says nothing of the server's tags */
	assert_int_equal(put_parts(), AZ_OK);
	assert_int_equal(parts_sent("partNumber=1&", false), 2);
	assert_int_equal(parts_sent("partNumber=1&", true), 1);
}

static const struct http_peer_step *
parts_are_refused(void *arg, const char *r, int i)
{
	static const struct http_peer_step no = {.bytes = "HTTP/1.1 400 Bad Request\r\n" EMPTY};

	(void)arg, (void)i;
	if (!strncmp(r, "POST", 4) && line_has(r, "uploads="))
		return &upload;
	return line_has(r, "partNumber=") ? &no : &ok;
}

static void
test_failed_part_ends_the_upload(void **state)
{
	(void)state;
	against_picked(parts_are_refused);
	assert_int_not_equal(put_parts(), AZ_OK);
	assert_int_equal(count("DELETE", "uploadId=u1"), 1);
	assert_int_equal(count("POST", "uploadId="), 0);
}

/* The object arrives, its answer does not; the second try meets the first. */
static const char *there;

static const struct http_peer_step *
own_412(void *arg, const char *r, int i)
{
	static char text[300], mark[64];
	static struct http_peer_step body;

	(void)arg, (void)i;
	if (line_has(r, "/.azlon/probe-")) {
		/* the first time, and to whoever knows the tag */
		if (strncmp(r, "PUT", 3) != 0 ||
		    strstr(r, bare ? "if-match: t\r" : "if-match: \"t\""))
			return &ok;
		return seen ? &refused : (seen = 1, &ok);
	}
	if (!line_has(r, "/m ") && !line_has(r, "/m?"))
		return line_has(r, "list-type") ? &nothing_listed : &ok;
	if (!strncmp(r, "PUT", 3)) {
		const char *m = strstr(r, "x-amz-meta-azlon-put: ");

		/* it keeps the mark of whoever wrote: ours, or that of another with the same body
		 */
		if (m)
			snprintf(mark, sizeof mark, "%.22s%.26s\r\n", m,
			    hers ? "abcdefghijklmnopqrstuvwxyz" : m + 22);
		return seen++ == 1 ? &reset : &refused;
	}
	if (seen < 2)
		return &missing;
	if (!strncmp(r, "HEAD", 4))
		snprintf(text, sizeof text,
		    "HTTP/1.1 200 OK\r\n%sETag: \"t\"\r\nContent-Length: %zu\r\n\r\n", mark,
		    strlen(there));
	else
		snprintf(text, sizeof text,
		    "HTTP/1.1 200 OK\r\nETag: \"t\"\r\nContent-Length: %zu\r\n\r\n%s",
		    strlen(there), there);
	body = (struct http_peer_step){.bytes = text};
	return &body;
}

static void
test_put_if_meets_itself(void **state)
{
	struct az_str none = {NULL, 0};

	(void)state;
	there = "mine";
	against_picked(own_412);
	assert_int_equal(
	    az_store_put_if(store, &bucket, AZ_S("m"), none, AZ_S("mine"), &err), AZ_OK);
	assert_int_equal(count("PUT", "/m"), 2);
}

static void
test_put_if_meets_another(void **state)
{
	struct az_str none = {NULL, 0};

	(void)state;
	there = "mine"; /* the bytes prove nothing */
	hers = true;
	against_picked(own_412);
	assert_int_equal(
	    az_store_put_if(store, &bucket, AZ_S("m"), none, AZ_S("mine"), &err), AZ_EPRECOND);
}

/* Ceph's gateway: a tag in quotes is never the right one. */
static void
test_put_if_for_tags_without_quotes(void **state)
{
	(void)state;
	bare = true;
	there = "mine";
	seen = 0;
	against_picked(own_412);
	((struct s3 *)store)->conditional = S3_UNKNOWN;
	(void)!az_store_put_if(
	    store, &bucket, AZ_S("m"), (struct az_str){NULL, 0}, AZ_S("mine"), &err);
	assert_int_equal(((struct s3 *)store)->conditional, S3_YES);
	assert_true(((struct s3 *)store)->bare_tags);
	seen = 1;
	assert_int_equal(az_store_put_if(store, &bucket, AZ_S("m"), AZ_S("other"), AZ_S("x"), &err),
	    AZ_EPRECOND);
}

/* What answers 200 to anything has stored nothing. */
static const struct http_peer_step *
no_s3(void *arg, const char *r, int i)
{
	static const struct http_peer_step page = {
	    .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"};

	(void)arg, (void)r, (void)i;
	return &page;
}

static void
test_a_web_server_is_no_store(void **state)
{
	(void)state;
	against_picked(no_s3);
	assert_int_equal(
	    az_store_put(store, &bucket, AZ_S("w/.azlon/k"), AZ_S("body"), &err), AZ_EUPSTREAM);
}

/* A caller that goes on after a failure does not get an object with a hole. */
static void
test_a_lost_part_is_not_committed(void **state)
{
	static char zeros[AZ_MIB(6)];
	struct az_put *p;

	(void)state;
	against_picked(parts_are_refused);
	assert_int_equal(az_store_put_open(store, &bucket, AZ_S("w/.azlon/k"), &p, &err), AZ_OK);
	while (!az_store_put_write(p, az_str_n(zeros, sizeof zeros), &err))
		;
	assert_int_not_equal(az_store_put_write(p, AZ_S("more"), &err), AZ_OK);
	assert_int_not_equal(az_store_put_commit(p, &err), AZ_OK);
	assert_int_equal(count("POST", "uploadId="), 0);
	assert_int_equal(count("DELETE", "uploadId=u1"), 1);
}

/* 600 MiB: three ranges, all of one source. */
static const struct http_peer_step *
large_copy(void *arg, const char *r, int i)
{
	static const struct http_peer_step
	    source = {.bytes = "HTTP/1.1 200 OK\r\nETag: \"s\"\r\nContent-Length: "
			       "629145600\r\n\r\n"},
	    part = {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n<CopyPartResult>"
			     "<ETag>\"0123456789abcdef0123456789abcdef\"</ETag></CopyPartResult>"},
	    gone = {.bytes = "HTTP/1.1 404 Not Found\r\n" EMPTY};

	(void)arg, (void)i;
	if (!strncmp(r, "HEAD", 4))
		return line_has(r, "/from") ? &source : &missing;
	if (line_has(r, "list-type"))
		return &nothing_listed;
	if (line_has(r, "partNumber="))
		return &part;
	if (!strncmp(r, "POST", 4))
		return line_has(r, "uploads=") ? &upload : &gone;
	return &ok;
}

static void
test_a_large_copy_goes_by_ranges(void **state)
{
	int parts = 0;

	(void)state;
	against_picked(large_copy);
	/* an upload that is gone does not mean that the source is */
	assert_int_equal(
	    az_store_copy(store, &bucket, AZ_S("from"), AZ_S("to"), &err), AZ_EUNAVAIL);
	for (int i = 0; i < http_peer_requests(peer); i++) {
		const char *r = http_peer_request(peer, i, NULL);

		if (!line_has(r, "partNumber="))
			continue;
		parts++;
		assert_non_null(strstr(r, "x-amz-copy-source-if-match: \"s\"\r\n"));
	}
	assert_int_equal(parts, 3);
	assert_int_equal(count("DELETE", "uploadId=u1"), 1);
}

static void
test_no_buffer_is_not_waited_for_without_end(void **state)
{
	struct s3_slab *slab;
	char *p[S3_SLAB_PARTS], *more;

	(void)state;
	against_picked(no_s3);
	slab = ((struct s3 *)store)->slab;
	for (size_t i = 0; i < S3_SLAB_PARTS; i++)
		assert_int_equal(s3_slab_take(slab, 0, &p[i], &err), AZ_OK);
	assert_int_equal(s3_slab_take(slab, 1, &more, &err), AZ_EUNAVAIL);
	assert_string_equal(err.reason, "busy");
	for (size_t i = 0; i < S3_SLAB_PARTS; i++)
		s3_slab_give(slab, p[i]);
	assert_int_equal(s3_slab_take(slab, 0, &more, &err), AZ_OK);
	s3_slab_give(slab, more);
}

static const struct http_peer_step *
takes_all(void *arg, const char *r, int i)
{
	static const struct http_peer_step done = {
	    .bytes = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<CompleteMultipartUploadResult>"
		     "<ETag>\"x\"</ETag></CompleteMultipartUploadResult>",
	    .then = HTTP_THEN_CLOSE};

	(void)arg, (void)i;
	if (!strncmp(r, "POST", 4))
		return line_has(r, "uploads=") ? &upload : &done;
	return &ok;
}

static void *
one_upload(void *arg)
{
	static char zeros[AZ_MIB(1)];
	char key[32];
	struct az_put *p;
	struct az_err e;
	enum az_code rc;

	snprintf(key, sizeof key, "w/.azlon/%d", (int)(intptr_t)arg);
	rc = az_store_put_open(store, &bucket, az_str_c(key), &p, &e);
	for (int i = 0; !rc && i < 6; i++)
		rc = az_store_put_write(p, az_str_n(zeros, sizeof zeros), &e);
	if (!rc)
		return az_store_put_commit(p, &e) ? arg : NULL;
	az_store_put_abort(p);
	return arg;
}

/* Many more uploads than there are buffers: each comes to its end. */
static void
test_more_uploads_than_buffers(void **state)
{
	pthread_t t[48]; /* three times S3_SLAB_PARTS */
	void *failed;

	(void)state;
	against_picked(takes_all);
	for (size_t i = 0; i < N(t); i++)
		assert_int_equal(
		    pthread_create(&t[i], NULL, one_upload, (void *)(intptr_t)(i + 1)), 0);
	for (size_t i = 0; i < N(t); i++) {
		assert_int_equal(pthread_join(t[i], &failed), 0);
		assert_null(failed);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_counting, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_reset_put_is_sent_again),
	    T(test_lost_answer_of_complete),
	    T(test_lost_complete_of_another_object),
	    T(test_lost_complete_that_cannot_be_told),
	    T(test_parts_whose_tags_are_no_digests),
	    T(test_a_part_that_was_damaged_on_the_way_goes_again),
	    T(test_failed_part_ends_the_upload),
	    T(test_put_if_meets_itself),
	    T(test_put_if_meets_another),
	    T(test_put_if_for_tags_without_quotes),
	    T(test_a_web_server_is_no_store),
	    T(test_a_lost_part_is_not_committed),
	    T(test_a_large_copy_goes_by_ranges),
	    T(test_no_buffer_is_not_waited_for_without_end),
	    T(test_more_uploads_than_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
