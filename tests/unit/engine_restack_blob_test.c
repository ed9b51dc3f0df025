/* References to large payloads: followed and verified, or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/crypto.h>
#include "engine/restack_blob.h"
#include "http_peer.h"

#define BODY "{\"prompt\":\"hello\"}"

static struct az_http *http;
static struct http_peer *peer;
static struct az_arena *arena;
static struct az_buf data, reply;
static struct az_str encoding;
static struct az_err err;
static char url[64], digest[65];
static bool stop;

static int
setup(void **state)
{
	(void)state;
	az_buf_init(&data, AZ_MIB(33));
	az_buf_init(&reply, AZ_MIB(33));
	arena = az_arena_new(AZ_MIB(1));
	az_sha256_hex(AZ_S(BODY), digest);
	err = (struct az_err)AZ_ERR_INIT;
	stop = false;
	return az_http_new(&http, NULL) == AZ_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	az_http_free(http);
	if (peer)
		http_peer_stop(peer);
	peer = NULL;
	az_arena_free(arena);
	az_buf_release(&data);
	az_buf_release(&reply);
	return 0;
}

static void
serve(const char *head, struct az_str body, enum http_peer_then then)
{
	static struct http_peer_step s;

	az_buf_addf(&reply, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", head, body.n);
	az_buf_adds(&reply, body);
	s = (struct http_peer_step){.bytes = reply.p, .n = reply.n, .then = then};
	peer = http_peer_start(&s, 1, NULL, NULL);
	http_peer_url(peer, "", url, sizeof url);
}

static bool
stopped(void *arg)
{
	return *(bool *)arg;
}

static enum az_code
get(const char *ref)
{
	const struct restack_blob_opts o = {
	    .http = http, .codec_url = url, .cancelled = stopped, .arg = &stop};

	return restack_blob_get(&o, az_str_c(ref), arena, &data, &encoding, &err);
}

/* The reference of a blob, as the Python SDK writes it. */
static const char *
reference(const char *metadata, const char *size, const char *hash)
{
	return az_arena_printf(arena,
	    "{\"metadata\":%s,\"size\":%s,\"digest\":\"%s\",\"key\":\"blobs/a&b=c d\"}", metadata,
	    size, hash);
}

static const char *
good(const char *metadata)
{
	return reference(metadata, "18", az_arena_printf(arena, "sha256:%s", digest));
}

static void
marker_is_recognised(void **state)
{
	const struct restack_meta v2[] = {
	    {AZ_S("encoding"), AZ_S("json/plain")}, {AZ_S("temporal.io/remote-codec"), AZ_S("v2")}};
	const struct restack_meta v1[] = {{AZ_S("temporal.io/remote-codec"), AZ_S("v1")}};

	(void)state;
	assert_true(restack_blob_is(v2, 2));
	assert_false(restack_blob_is(v2, 1));
	assert_false(restack_blob_is(v1, 1));
	assert_false(restack_blob_is(NULL, 0));
}

static void
a_blob_is_fetched_and_verified(void **state)
{
	const char *q;

	(void)state;
	serve("200 OK", AZ_S(BODY), HTTP_THEN_KEEP);
	assert_int_equal(get(good("{\"encoding\":\"json/plain\"}")), AZ_OK);
	assert_string_equal(data.p, BODY);
	assert_true(az_str_eqc(encoding, "json/plain"));
	q = http_peer_request(peer, 0, NULL);
	assert_non_null(strstr(q, "GET /v2/blobs/get?key=blobs%2Fa%26b%3Dc%20d HTTP/1.1\r\n"));
	assert_non_null(strstr(q, "X-Payload-Expected-Content-Length: 18\r\n"));
}

static void
both_spellings_of_metadata_are_read(void **state)
{
	static const struct {
		const char *metadata, *encoding;
	} v[] = {
	    {"{\"encoding\":\"anNvbi9wbGFpbg==\"}", "json/plain"},
	    {"{\"encoding\":\"YmluYXJ5L251bGw=\"}", "binary/null"},
	    {"{\"encoding\":\"YmluYXJ5L3BsYWlu\"}", "binary/plain"},
	    {"{\"encoding\":\"json/protobuf\"}", "json/protobuf"},
	    {"{\"encoding\":\"binary/plain\"}", "binary/plain"},
	    {"{\"encoding\":\"binary/null\"}", "binary/null"},
	    {"{\"encoding\":\"binary/encrypted\"}", "binary/encrypted"},
	    {"{}", ""},
	    {"null", ""},
	};

	(void)state;
	serve("200 OK", AZ_S(BODY), HTTP_THEN_KEEP);
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		assert_int_equal(get(good(v[i].metadata)), AZ_OK);
		if (!az_str_eqc(encoding, v[i].encoding))
			fail_msg("%s: %.*s", v[i].metadata, AZ_FMT(encoding));
	}
}

static void
malformed_references_are_final(void **state)
{
	(void)state;
	serve("200 OK", AZ_S(BODY), HTTP_THEN_KEEP);
	assert_int_equal(get(""), AZ_EINVAL);
	assert_int_equal(get("not json"), AZ_EINVAL);
	assert_int_equal(get("[]"), AZ_EINVAL);
	assert_int_equal(get("{\"size\":1,\"digest\":\"sha256:00\"}"), AZ_EINVAL);
	assert_int_equal(get(reference("{}", "-1", "sha256:00")), AZ_EINVAL);
	assert_int_equal(get(reference("{}", "1.5", "sha256:00")), AZ_EINVAL);
	assert_int_equal(get(reference("{}", "18", "sha256:00")), AZ_EINVAL);
	assert_int_equal(get(reference("{}", "18", digest)), AZ_EINVAL);
	assert_int_equal(get(reference("{}", "33554433", "sha256:00")), AZ_ETOOBIG);
	assert_non_null(strstr(err.text, "33554432"));
	assert_int_equal(http_peer_requests(peer), 0);
	assert_int_equal(data.n, 0);
}

static void
another_blob_than_promised_is_not_taken(void **state)
{
	(void)state;
	serve("200 OK", AZ_S("{\"prompt\":\"HELLO\"}"), HTTP_THEN_KEEP);
	assert_int_equal(get(good("{}")), AZ_EUPSTREAM);
	assert_non_null(strstr(err.text, "digest"));
	assert_non_null(strstr(err.text, url));
	assert_int_equal(
	    get(reference("{}", "17", az_arena_printf(arena, "sha256:%s", digest))), AZ_EUPSTREAM);
	assert_non_null(strstr(err.text, "18 bytes instead of 17"));
	assert_int_equal(data.n, 0);
}

static void
what_cannot_be_fetched_is_said(void **state)
{
	static const struct {
		const char *status;
		enum az_code code;
		const char *says;
	} v[] = {
	    {"404 Not Found", AZ_ENOTFOUND, "does not have"},
	    {"500 Oops", AZ_EUPSTREAM, "500"},
	    {"403 No", AZ_EUPSTREAM, "403"},
	    {"429 Slow", AZ_EQUOTA, "429"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		az_buf_reset(&reply);
		serve(v[i].status, AZ_S(""), HTTP_THEN_CLOSE);
		assert_int_equal(get(good("{}")), v[i].code);
		assert_non_null(strstr(err.text, v[i].says));
		assert_null(strstr(err.text, "blobs/a")); /* keys may be guessed from */
		http_peer_stop(peer);
	}
	peer = NULL;
	assert_int_equal(get(good("{}")), AZ_EUNAVAIL); /* nobody there */
	assert_int_equal(data.n, 0);
}

static void
a_cut_reply_is_not_a_blob(void **state)
{
	static struct http_peer_step s = {
	    .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"prompt",
	    .then = HTTP_THEN_CLOSE};

	(void)state;
	peer = http_peer_start(&s, 1, NULL, NULL);
	http_peer_url(peer, "", url, sizeof url);
	assert_int_equal(get(good("{}")), AZ_EUPSTREAM);
	assert_int_equal(data.n, 0);
}

static void
a_call_can_be_cancelled(void **state)
{
	static struct http_peer_step s = {
	    .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{", .then = HTTP_THEN_STALL};

	(void)state;
	peer = http_peer_start(&s, 1, NULL, NULL);
	http_peer_url(peer, "", url, sizeof url);
	stop = true;
	assert_int_equal(get(good("{}")), AZ_ECANCELLED);
}

static void
the_largest_that_is_taken_and_a_smaller_ceiling(void **state)
{
	char *big = calloc(1, RESTACK_BLOB_MAX);
	const char *ref;

	(void)state;
	assert_non_null(big);
	az_buf_release(&reply);
	az_buf_init(&reply, AZ_MIB(33));
	az_sha256_hex(az_str_n(big, RESTACK_BLOB_MAX), digest);
	serve("200 OK", az_str_n(big, RESTACK_BLOB_MAX), HTTP_THEN_KEEP);
	ref = reference("{}", "33554432", az_arena_printf(arena, "sha256:%s", digest));
	assert_int_equal(get(ref), AZ_OK);
	assert_int_equal(data.n, RESTACK_BLOB_MAX);
	az_buf_release(&data);
	az_buf_init(&data, AZ_KIB(256));
	assert_int_equal(get(ref), AZ_ETOOBIG);
	free(big);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest t[] = {
	    T(marker_is_recognised),
	    T(a_blob_is_fetched_and_verified),
	    T(both_spellings_of_metadata_are_read),
	    T(malformed_references_are_final),
	    T(another_blob_than_promised_is_not_taken),
	    T(what_cannot_be_fetched_is_said),
	    T(a_cut_reply_is_not_a_blob),
	    T(a_call_can_be_cancelled),
	    T(the_largest_that_is_taken_and_a_smaller_ceiling),
	};

	return cmocka_run_group_tests(t, NULL, NULL);
}
