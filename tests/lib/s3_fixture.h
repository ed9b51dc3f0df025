/* The S3 adapter, opened on a scripted server. */
#ifndef S3_FIXTURE_H
#define S3_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <azlon/http.h>
#include "http_peer.h"
#include "store/s3.h"

#define N(t) (sizeof(t) / sizeof *(t))

static struct az_http *http;
static struct az_store *store;
static struct http_peer *peer;
static struct az_bucket bucket;
static struct az_err err;

/* more: what is to be set besides http, endpoint and keys. */
static inline struct s3 *
open_on(const struct http_peer_step *steps, size_t n,
    const struct http_peer_step *(*pick)(void *arg, const char *request, int i),
    struct az_s3_opts more)
{
	char url[64];

	peer = http_peer_start(steps, n, pick, NULL);
	http_peer_url(peer, "", url, sizeof url);
	more.http = http;
	more.endpoint = url;
	more.access_key = "root";
	more.secret_key = "secret";
	assert_int_equal(az_store_s3_open(&more, &store, &err), AZ_OK);
	return (struct s3 *)store;
}

static inline struct s3 *
against(const struct http_peer_step *steps, size_t n, bool sts)
{
	return open_on(steps, n, NULL, (struct az_s3_opts){.sts_off = !sts});
}

static inline struct s3 *
against_picked(const struct http_peer_step *(*pick)(void *arg, const char *request, int i))
{
	return open_on(NULL, 0, pick, (struct az_s3_opts){.sts_off = true});
}

/* A test that wants another server calls this before. */
static inline void
away(void)
{
	az_store_close(store);
	if (peer)
		http_peer_stop(peer);
	store = NULL;
	peer = NULL;
}

static inline int
setup(void **state)
{
	(void)state;
	err = (struct az_err)AZ_ERR_INIT;
	bucket = az_bucket_of(AZ_S("alice"));
	return az_http_new(&http, NULL) == AZ_OK ? 0 : -1;
}

static inline int
teardown(void **state)
{
	(void)state;
	away();
	az_http_free(http);
	return 0;
}

#endif
