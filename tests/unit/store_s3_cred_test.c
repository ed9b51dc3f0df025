/* store: credentials of single users, by a scripted server that has STS. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include "http_peer.h"
#include "store/s3.h"

#define N(a) (sizeof(a) / sizeof *(a))

static struct az_http *http;
static struct az_store *store;
static struct s3 *s;
static struct http_peer *peer;
static struct az_bucket bucket;
static struct az_err err;
static int sessions;        /* given so far */
static int life_s;          /* of each */
static bool sts_fails;      /* from the second on */
static const char *refusal; /* of whatever the first session signed */

static const struct http_peer_step *
server(void *arg, const char *r, int i)
{
	static const struct http_peer_step
	    fine = {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	    busy = {.bytes = "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"};
	static char text[800];
	static struct http_peer_step step;
	time_t end = (time_t)(az_wall_ms() / 1000) + life_s;
	struct tm tm;
	char at[32];

	(void)arg, (void)i;
	if (strstr(r, "Action=AssumeRole")) {
		if (sts_fails && sessions)
			return &busy;
		gmtime_r(&end, &tm);
		strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &tm);
		snprintf(text, sizeof text,
		    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<AssumeRoleResponse>"
		    "<AssumeRoleResult><Credentials><AccessKeyId>user%d</AccessKeyId>"
		    "<SecretAccessKey>s</SecretAccessKey><SessionToken>t%d</SessionToken>"
		    "<Expiration>%s</Expiration></Credentials></AssumeRoleResult>"
		    "</AssumeRoleResponse>",
		    sessions + 1, sessions + 1, at);
		sessions++;
	} else if (refusal && strstr(r, "Credential=user1/")) {
		snprintf(text, sizeof text,
		    "HTTP/1.1 403 No\r\nConnection: close\r\n\r\n<Error><Code>%s</Code></Error>",
		    refusal);
	} else {
		return &fine;
	}
	step = (struct http_peer_step){.bytes = text, .then = HTTP_THEN_CLOSE};
	return &step;
}

static int
setup(void **state)
{
	char url[64];
	struct az_s3_opts o = {.endpoint = url,
	    .external = "files.example",
	    .access_key = "root",
	    .secret_key = "secret"};

	(void)state;
	err = (struct az_err)AZ_ERR_INIT;
	bucket = az_bucket_of(AZ_S("alice"));
	sessions = 0;
	life_s = 3600;
	sts_fails = false;
	refusal = NULL;
	if (az_http_new(&http, NULL))
		return -1;
	o.http = http;
	peer = http_peer_start(NULL, 0, server, NULL);
	http_peer_url(peer, "", url, sizeof url);
	if (az_store_s3_open(&o, &store, &err))
		return -1;
	s = (struct s3 *)store;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	az_store_close(store);
	http_peer_stop(peer);
	az_http_free(http);
	return 0;
}

static enum az_code
get(void)
{
	struct s3_call c = {.method = "GET", .bucket = &bucket, .key = AZ_S("a/b")};
	struct s3_reply r;

	return s3_do(s, &c, &r, &err);
}

static const char *
last(void)
{
	return http_peer_request(peer, http_peer_requests(peer) - 1, NULL);
}

static void
a_session_signs_and_is_asked_for_once(void **state)
{
	(void)state;
	assert_int_equal(get(), AZ_OK);
	assert_int_equal(get(), AZ_OK);
	assert_int_equal(sessions, 1);
	assert_non_null(strstr(last(), "Credential=user1/"));
	assert_non_null(strstr(last(), "x-amz-security-token: t1\r\n"));
	/* buckets and STS itself: never with a user's keys */
	assert_non_null(strstr(http_peer_request(peer, 0, NULL), "Credential=root/"));
	assert_non_null(strstr(http_peer_request(peer, 0, NULL), bucket.name));
}

static void
an_expired_token_is_replaced_once(void **state)
{
	(void)state;
	refusal = "ExpiredToken";
	assert_int_equal(get(), AZ_OK);
	assert_int_equal(sessions, 2);
	assert_non_null(strstr(last(), "x-amz-security-token: t2\r\n"));
	/* somebody who still had the first does not throw away the second */
	s3_cred_forget(s, &bucket, "user1");
	assert_int_equal(get(), AZ_OK);
	assert_int_equal(sessions, 2);
}

static void
a_denial_is_not_about_the_session(void **state)
{
	(void)state;
	refusal = "AccessDenied";
	assert_int_equal(get(), AZ_EUNAVAIL);
	assert_int_equal(sessions, 1);
}

static void
a_session_that_ends_soon_is_renewed(void **state)
{
	(void)state;
	life_s = -10; /* over already by our clock: it serves for a moment */
	assert_int_equal(get(), AZ_OK);
	assert_non_null(strstr(last(), "Credential=user1/"));
	s3_cred_forget(s, &bucket, NULL);
	assert_int_equal(get(), AZ_OK);
	assert_non_null(strstr(last(), "Credential=user2/"));
}

static void
an_sts_that_fails_later_is_no_reason_to_use_the_root_keys(void **state)
{
	int n;

	(void)state;
	sts_fails = true;
	assert_int_equal(get(), AZ_OK);
	s3_cred_forget(s, &bucket, NULL);
	n = http_peer_requests(peer);
	assert_int_equal(get(), AZ_EUNAVAIL);
	assert_int_equal(http_peer_requests(peer), n + 1);
}

/* Whoever has a link uses it until its end: no session that ends before signs it. */
static void
links_outlive_sessions(void **state)
{
	struct az_link l = {.ttl_s = 604800, .mime = "text/plain"};
	struct az_buf url;

	(void)state;
	az_buf_init(&url, 8192);
	assert_int_equal(az_store_link(store, &bucket, AZ_S("k"), &l, &url, &err), AZ_OK);
	assert_non_null(strstr(url.p, "X-Amz-Credential=root%2F"));
	assert_null(strstr(url.p, "X-Amz-Security-Token"));
	az_buf_reset(&url);
	l.ttl_s = 60;
	assert_int_equal(az_store_link(store, &bucket, AZ_S("k"), &l, &url, &err), AZ_OK);
	assert_non_null(strstr(url.p, "X-Amz-Credential=user1%2F"));
	assert_non_null(strstr(url.p, "X-Amz-Security-Token=t1"));
	az_buf_release(&url);
}

static void *
one_get(void *arg)
{
	struct s3_cred c;
	struct az_err e;

	return s3_cred_for(s, &bucket, 0, &c, &e) || strcmp(c.access, "user1") ? s : arg;
}

static void
many_threads_ask_once(void **state)
{
	pthread_t t[16];
	void *bad;

	(void)state;
	for (size_t i = 0; i < N(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, one_get, NULL), 0);
	for (size_t i = 0; i < N(t); i++) {
		assert_int_equal(pthread_join(t[i], &bad), 0);
		assert_null(bad);
	}
	assert_int_equal(sessions, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {T(a_session_signs_and_is_asked_for_once),
	    T(an_expired_token_is_replaced_once), T(a_denial_is_not_about_the_session),
	    T(a_session_that_ends_soon_is_renewed),
	    T(an_sts_that_fails_later_is_no_reason_to_use_the_root_keys), T(links_outlive_sessions),
	    T(many_threads_ask_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
