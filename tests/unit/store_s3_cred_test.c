/* store: credentials of single users, by a scripted server that has STS. */
#include <pthread.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/log.h>
#include "s3_fixture.h"

static struct s3 *s;
static int sessions;        /* given so far */
static int life_s;          /* of each */
static bool sts_fails;      /* from the second on */
static const char *refusal; /* of whatever the first session signed */
static const char *no_sts;  /* the answer to whoever asks for a session */
static int asked;           /* and got it */
static sem_t *came, *hold;  /* the question; the answer waits for it */

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
		if (no_sts) {
			asked++;
			if (hold) {
				sem_post(came);
				sem_wait(hold);
			}
			step = (struct http_peer_step){.bytes = no_sts};
			return &step;
		}
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
setup_open(void **state)
{
	sessions = 0;
	life_s = 3600;
	sts_fails = false;
	refusal = no_sts = NULL;
	came = hold = NULL;
	asked = 0;
	if (setup(state))
		return -1;
	s = open_on(NULL, 0, server, (struct az_s3_opts){.external = "files.example"});
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

#define DENIED                                                                                     \
	"HTTP/1.1 403 No\r\nContent-Length: 40\r\n\r\n<Error><Code>AccessDenied</Code></Error>"
#define BAD "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"

static const char *
signer(void)
{
	static struct s3_cred c;

	assert_int_equal(s3_cred_for(s, &bucket, 0, &c, &err), AZ_OK);
	return c.access;
}

static void
a_server_without_sts_is_not_asked_each_time(void **state)
{
	(void)state;
	no_sts = DENIED;
	assert_string_equal(signer(), "root");
	assert_string_equal(signer(), "root");
	assert_int_equal(asked, 1);
}

/* It was being set up, or a proxy answered: users are not kept apart by it for good. */
static void
but_it_is_asked_again(void **state)
{
	(void)state;
	s->sts_again_ms = 0;
	no_sts = DENIED;
	assert_string_equal(signer(), "root");
	assert_string_equal(signer(), "root");
	no_sts = BAD; /* no worse than before */
	assert_string_equal(signer(), "root");
	assert_int_equal(asked, 3);
	no_sts = NULL;
	assert_string_equal(signer(), "user1");
	assert_string_equal(signer(), "user1");
	assert_int_equal(sessions, 1);
}

static void
a_change_is_told_once(void **state)
{
	FILE *f = tmpfile();
	int was = dup(STDERR_FILENO), lines = 0;
	char line[1000];

	(void)state;
	assert_non_null(f);
	assert_true(was >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
	az_log_open("test", "stderr", AZ_INFO);
	s->sts_again_ms = 0;
	no_sts = DENIED;
	for (int i = 0; i < 3; i++)
		(void)signer();
	no_sts = NULL;
	for (int i = 0; i < 3; i++)
		(void)signer();
	az_log_open("test", "stderr", AZ_ERROR);
	assert_true(dup2(was, STDERR_FILENO) >= 0);
	close(was);
	rewind(f);
	while (fgets(line, sizeof line, f))
		lines += strstr(line, "ev=store.sts") != NULL;
	fclose(f);
	assert_int_equal(asked, 3);
	assert_int_equal(lines, 2);
}

static void *
one_by_root(void *arg)
{
	struct s3_cred c;
	struct az_err e;
	enum az_code rc = s3_cred_for(s, &bucket, 0, &c, &e);

	sem_post(came); /* also when it did not ask */
	return rc || strcmp(c.access, "root") ? s : arg;
}

static void
one_thread_asks_again_and_the_others_go_on(void **state)
{
	pthread_t first, t[8];
	sem_t a, b;
	void *bad;

	(void)state;
	no_sts = DENIED;
	s->sts_again_ms = 0;
	assert_string_equal(signer(), "root");
	s->sts_again_ms = 3600000; /* once more */
	assert_true(!sem_init(&a, 0, 0) && !sem_init(&b, 0, 0));
	came = &a;
	hold = &b;
	assert_int_equal(pthread_create(&first, NULL, one_by_root, NULL), 0);
	sem_wait(came);
	for (size_t i = 0; i < N(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, one_by_root, NULL), 0);
	for (size_t i = 0; i < N(t); i++) {
		assert_int_equal(pthread_join(t[i], &bad), 0);
		assert_null(bad);
	}
	sem_post(hold);
	assert_int_equal(pthread_join(first, &bad), 0);
	assert_null(bad);
	assert_int_equal(asked, 2);
	sem_destroy(&a);
	sem_destroy(&b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_open, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {T(a_session_signs_and_is_asked_for_once),
	    T(an_expired_token_is_replaced_once), T(a_denial_is_not_about_the_session),
	    T(a_session_that_ends_soon_is_renewed),
	    T(an_sts_that_fails_later_is_no_reason_to_use_the_root_keys), T(links_outlive_sessions),
	    T(many_threads_ask_once), T(a_server_without_sts_is_not_asked_each_time),
	    T(but_it_is_asked_again), T(a_change_is_told_once),
	    T(one_thread_asks_again_and_the_others_go_on)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
