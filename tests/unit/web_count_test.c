/* What a server counts: each answer once, by its route, status and time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include "web_fixture.h"

#define SLOW_MS 60

static enum az_code
answer(struct az_rq *rq, void *app, struct az_err *err)
{
	int64_t status;
	enum az_code rc = az_rq_query_i64(rq, "status", 200, 599, 200, &status, err);

	(void)app;
	return rc ? rc : az_rs_text(rq, (int)status, AZ_S("x"), err);
}

/* Broken off halfway, after some time. */
static enum az_code
cut(struct az_rq *rq, void *app, struct az_err *err)
{
	(void)app;
	(void)usleep(SLOW_MS * 1000);
	if (az_rs_write(rq, AZ_S("half"), err) != AZ_OK || az_rs_flush(rq, err) != AZ_OK)
		return err->code;
	return az_fail(err, AZ_EIO, "x", "disk");
}

static struct az_web_count seen[8];
static struct az_web_load load;
static size_t n_seen;

static enum az_code
look(struct az_rq *rq, void *app, struct az_err *err)
{
	(void)app;
	for (n_seen = 0; n_seen < 8 && az_web_count(rq, n_seen, &seen[n_seen]); n_seen++)
		;
	load = az_web_load(rq);
	return az_rs_text(rq, 200, AZ_S("x"), err);
}

static const struct az_route routes[] = {{"GET", "/answer/{id}", answer}, {"GET", "/cut", cut},
    {"POST", "/look", look}, {NULL, NULL, NULL}};

static struct web_fixture fix;

static int
setup(void **state)
{
	(void)state;
	memset(&fix, 0, sizeof fix);
	fix.w.threads = 5;
	fix.w.short_reads = true;
	return web_fixture_start(&fix, routes, NULL) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	web_fixture_stop(&fix);
	return fix.rc == AZ_OK ? 0 : -1;
}

static void
call(const char *method, const char *path, const char *query)
{
	struct fcgi_req q = {.method = method, .path = path, .query = query};
	struct fcgi_resp r;

	assert_true(fcgi_peer_call(fix.path, &q, &r));
	fcgi_peer_release(&r);
}

/* An answer may have left a moment before it is counted. */
static void
look_until(const int64_t *what, int64_t n)
{
	call("POST", "/look", "");
	for (int i = 0; i < 5000 && *what < n; i++) {
		(void)usleep(1000);
		call("POST", "/look", "");
	}
	assert_int_equal(*what, n);
}

static void
each_answer_counts_once(void **state)
{
	(void)state;
	call("GET", "/answer/a", "");
	call("HEAD", "/answer/b", "");
	call("GET", "/answer/c", "status=304");
	call("GET", "/answer/d", "status=x");
	call("GET", "/answer/e", "status=503");
	call("GET", "/nowhere", "");
	call("POST", "/answer/a", "");
	look_until(&seen[3].by_class[4], 2);
	assert_int_equal(n_seen, 4);
	assert_string_equal(seen[0].pattern, "/answer/{id}");
	assert_int_equal(seen[0].by_class[2], 2);
	assert_int_equal(seen[0].by_class[3], 1);
	assert_int_equal(seen[0].by_class[4], 1);
	assert_int_equal(seen[0].by_class[5], 1);
	assert_int_equal(seen[0].within[AZ_WEB_BOUNDS], 5);
	/* no route, or none for that method */
	assert_null(seen[3].pattern);
	assert_int_equal(seen[3].by_class[4], 2);
	assert_int_equal(load.serving, 1);
	assert_in_range(load.threads, 1, 5);
	assert_int_equal(load.threads_max, 5);
}

static void
time_goes_into_its_place(void **state)
{
	const struct az_web_count *c = &seen[1];

	(void)state;
	call("GET", "/cut", "");
	look_until(&c->by_class[0], 1);
	assert_true(c->us >= SLOW_MS * 1000);
	for (size_t i = 0; i < AZ_WEB_BOUNDS; i++)
		assert_int_equal(c->within[i], c->us <= az_web_bounds_us[i]);
	assert_int_equal(c->within[AZ_WEB_BOUNDS], 1);
}

static void *
many(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++)
		call("GET", "/answer/a", "");
	return NULL;
}

static void
none_is_lost_among_threads(void **state)
{
	pthread_t t[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, many, NULL), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	look_until(&seen[0].by_class[2], 800);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(each_answer_counts_once),
	    T(time_goes_into_its_place),
	    T(none_is_lost_among_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
