/*
 * The keys of ID tokens as a process has them, a scripted server as their source, and a clock
 * that only the test moves.
 */
#ifndef AUTH_KEYSET_FIXTURE_H
#define AUTH_KEYSET_FIXTURE_H

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/json.h>
#include <azlon/log.h>
#include <azlon/path.h>
#include "auth/jwks.h"
#include "auth/keyset.h"
#include "http_peer.h"
#include "token_maker.h"

enum { DAY = 86400, T0 = 1800000000 };

static struct token_key *key1, *key2;
static atomic_llong now_s;
static const struct az_str text = {"signed text", 11};

static inline int64_t
clock_now(void)
{
	return atomic_load(&now_s);
}

/* ---- what the source has to say ---- */
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static char answer[AZ_KIB(64)];
static size_t answer_n;
static enum http_peer_then then;

static inline const struct http_peer_step *
say(void *arg, const char *request, int i)
{
	static struct http_peer_step steps[256]; /* one server at a time, and none is asked more */
	static char *copies[256];
	struct http_peer_step *s = &steps[i % 256];

	(void)arg;
	(void)request;
	pthread_mutex_lock(&mu);
	free(copies[i % 256]);
	copies[i % 256] = strndup(answer, answer_n);
	*s = (struct http_peer_step){.bytes = copies[i % 256], .n = answer_n, .then = then};
	pthread_mutex_unlock(&mu);
	return s;
}

static inline void
source_says(const char *status, const char *headers, struct az_str body)
{
	pthread_mutex_lock(&mu);
	then = HTTP_THEN_KEEP;
	answer_n = (size_t)snprintf(answer, sizeof answer,
	    "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%.*s", status, headers, body.n,
	    AZ_FMT(body));
	pthread_mutex_unlock(&mu);
}

static inline void
source_has(const struct token_named *k, size_t n, const char *headers)
{
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(32));
	token_certs(k, n, &b);
	source_says("200 OK", headers, az_buf_str(&b));
	az_buf_release(&b);
}

static inline void
source_is_broken(void)
{
	source_says("503 Unavailable", "", AZ_S("{}"));
}

/* ---- a host with one process, or two ---- */
struct host {
	struct http_peer *peer;
	struct az_http *http;
	struct keyset *ks, *other;
	char dir[64], url[100];
};

static inline void
process(struct host *h, struct keyset **ks)
{
	struct az_err err = AZ_ERR_INIT;

	if (keyset_open(
		&(struct keyset_opts){
		    .http = h->http, .url = h->url, .dir = h->dir, .now_s = clock_now},
		ks, &err))
		fail_msg("%s", err.text);
}

static inline int
setup(void **state)
{
	struct host *h = calloc(1, sizeof *h);

	az_log_open("test", "stderr", AZ_ERROR);
	atomic_store(&now_s, T0);
	strcpy(h->dir, "/tmp/azlon-auth-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	h->peer = http_peer_start(NULL, 0, say, NULL);
	http_peer_url(h->peer, "/keys", h->url, sizeof h->url);
	assert_int_equal(az_http_new(&h->http, NULL), AZ_OK);
	source_has(&(struct token_named){"k1", key1}, 1, "Cache-Control: public, max-age=1000\r\n");
	*state = h;
	return 0;
}

static inline int
teardown(void **state)
{
	struct host *h = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	keyset_close(h->ks);
	keyset_close(h->other);
	az_http_free(h->http);
	http_peer_stop(h->peer);
	assert_int_equal(az_remove_tree(tmp, h->dir + 5), 0);
	close(tmp);
	free(h);
	return 0;
}

/* "" when the signature is right, else the reason */
static inline const char *
check(struct keyset *ks, const char *kid, struct token_key *k)
{
	static _Thread_local struct az_err err;
	struct az_buf sig;
	enum az_code rc;

	err = (struct az_err)AZ_ERR_INIT;
	az_buf_init(&sig, AZ_KIB(2));
	token_sign(k, "RS256", text, &sig);
	rc = keyset_check(ks, az_str_c(kid), text, az_buf_str(&sig), &err);
	az_buf_release(&sig);
	assert_int_equal(rc, err.code);
	if (rc == AZ_EUNAVAIL)
		assert_true(err.retry_after_ms > 0);
	assert_true(rc == AZ_OK || rc == AZ_EAUTH || rc == AZ_EUNAVAIL);
	return err.reason;
}

static inline void
fetched(const struct host *h, int times)
{
	for (int i = 0; i < 500 && http_peer_requests(h->peer) < times; i++)
		usleep(10000);
	assert_int_equal(http_peer_requests(h->peer), times);
}

/* The same while requests of a good key come in: one has a refresh begun, if the one before
   is over. */
static inline void
fetched_meanwhile(const struct host *h, int times)
{
	for (int i = 0; i < 500 && http_peer_requests(h->peer) < times; i++) {
		assert_string_equal(check(h->ks, "k1", key1), "");
		usleep(10000);
	}
	assert_int_equal(http_peer_requests(h->peer), times);
}

/* A token of that key is taken after at most some seconds: a refresh goes on behind. */
static inline void
soon(struct keyset *ks, const char *kid, struct token_key *k)
{
	for (int i = 0; i < 500; i++) {
		if (!*check(ks, kid, k))
			return;
		usleep(10000);
	}
	fail_msg("never taken");
}

static inline int
begin(void **state)
{
	(void)state;
	key1 = token_key_new(2048);
	key2 = token_key_new(2048);
	return 0;
}

static inline int
finish(void **state)
{
	(void)state;
	token_key_free(key1);
	token_key_free(key2);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
