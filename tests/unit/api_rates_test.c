/* How often one user may ask: the buckets under a clock of the test's, and what a client is told.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include "api/rates.h"
#include "api_run_fixture.h"

#define S INT64_C(1000000)
#define T0 (INT64_C(5000) * S)
/* 60 reads a minute: one a second, 20 at once; 6 creates: one in 10 s, 2 at once */
#define READS 60
#define READ_BURST 20
#define CREATES 6
#define CREATE_BURST 2

static const struct az_api_rates_opts opts = {.reads = READS, .creates = CREATES};

static struct az_api_rates *
rates_open(const struct az_api_rates_opts *o)
{
	struct az_api_rates *r;

	assert_int_equal(az_api_rates_open(o, &r, NULL), AZ_OK);
	return r;
}

/* How many of n requests at one moment are let through. */
static int
taken(struct az_api_rates *r, enum rate_kind k, const char *user, int64_t now, int n)
{
	int64_t wait;
	int got = 0;

	for (int i = 0; i < n; i++)
		got += rates_take(r, k, az_str_c(user), now, &wait);
	return got;
}

static void
a_bucket_empties_and_fills_again(void **state)
{
	struct az_api_rates *r = rates_open(&opts);
	int64_t wait, now = T0;

	(void)state;
	assert_int_equal(taken(r, RATE_READS, "a", now, 100), READ_BURST);
	assert_false(rates_take(r, RATE_READS, AZ_S("a"), now, &wait));
	assert_int_equal(wait, S);
	/* who was refused did not pay; what it was told is right to the microsecond */
	assert_false(rates_take(r, RATE_READS, AZ_S("a"), now + S - 1, &wait));
	assert_int_equal(wait, 1);
	assert_true(rates_take(r, RATE_READS, AZ_S("a"), now + S, &wait));
	assert_int_equal(wait, 0);
	assert_false(rates_take(r, RATE_READS, AZ_S("a"), now + S, &wait));
	/* at its pace for good */
	for (int i = 2; i < 500; i++) {
		assert_true(rates_take(r, RATE_READS, AZ_S("a"), now + i * S, &wait));
		assert_false(rates_take(r, RATE_READS, AZ_S("a"), now + i * S, &wait));
	}
	/* and full after a pause, no fuller however long it was */
	assert_int_equal(taken(r, RATE_READS, "a", now + 500 * S + 9 * S, 100), 10);
	assert_int_equal(taken(r, RATE_READS, "a", now + 100000 * S, 100), READ_BURST);
	/* a clock of another thread that is a little behind */
	assert_int_equal(taken(r, RATE_READS, "a", now + 100000 * S - 500, 100), 0);
	az_api_rates_close(r);
}

static void
users_and_kinds_do_not_touch_each_other(void **state)
{
	struct az_api_rates *r = rates_open(&opts);

	(void)state;
	assert_int_equal(taken(r, RATE_CREATES, "a", T0, 50), CREATE_BURST);
	assert_int_equal(taken(r, RATE_READS, "a", T0, 50), READ_BURST);
	assert_int_equal(taken(r, RATE_CREATES, "b", T0, 50), CREATE_BURST);
	assert_int_equal(taken(r, RATE_READS, "A", T0, 50), READ_BURST);
	/* a kind without a limit */
	assert_int_equal(taken(r, RATE_WRITES, "a", T0, 5000), 5000);
	assert_int_equal(taken(NULL, RATE_READS, "a", T0, 5000), 5000);
	az_api_rates_close(r);
}

static void
the_least_limits_let_something_through(void **state)
{
	const struct az_api_rates_opts one = {.reads = 1, .creates = 6000000};
	struct az_api_rates *r = rates_open(&one);
	int64_t wait;

	(void)state;
	assert_int_equal(taken(r, RATE_READS, "a", T0, 9), 1);
	assert_int_equal(taken(r, RATE_READS, "a", T0 + 60 * S - 1, 9), 0);
	assert_true(rates_take(r, RATE_READS, AZ_S("a"), T0 + 60 * S, &wait));
	assert_int_equal(taken(r, RATE_CREATES, "a", T0, 2000000), 2000000);
	az_api_rates_close(r);
}

static void
processes_of_a_host_count_together(void **state)
{
	char dir[] = "/tmp/azlon-rates-XXXXXX", path[64];
	struct az_api_rates_opts o = opts;
	struct az_api_rates *a, *b;
	struct stat st;
	off_t size;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/rates", dir);
	o.path = path;
	a = rates_open(&o);
	b = rates_open(&o);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	size = st.st_size;
	assert_int_equal(taken(a, RATE_READS, "a", T0, 15), 15);
	assert_int_equal(taken(b, RATE_READS, "a", T0, 15), 5);
	az_api_rates_close(a);
	az_api_rates_close(b);
	/* one that starts later finds it so */
	a = rates_open(&o);
	assert_int_equal(taken(a, RATE_READS, "a", T0 + S, 15), 1);
	/* another boot: its clock begins anew, and what the file says is of no use */
	assert_int_equal(taken(a, RATE_READS, "a", 7 * S, 50), READ_BURST);
	assert_int_equal(taken(a, RATE_READS, "a", 8 * S, 50), 1);
	az_api_rates_close(a);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, size);
	unlink(path);
	/* where it cannot be, each counts for itself */
	rmdir(dir);
	a = rates_open(&o);
	b = rates_open(&o);
	assert_int_equal(taken(a, RATE_READS, "a", T0, 50), READ_BURST);
	assert_int_equal(taken(b, RATE_READS, "a", T0, 50), READ_BURST);
	az_api_rates_close(a);
	az_api_rates_close(b);
}

/* More users than are remembered: it takes no more memory, and who is at the limit is not
   forgotten for who asked once. */
static void
many_users_do_not_free_a_busy_one(void **state)
{
	struct az_api_rates *r = rates_open(&opts);
	int64_t wait;
	char name[40];

	(void)state;
	assert_int_equal(taken(r, RATE_READS, "busy", T0, 50), READ_BURST);
	for (int i = 0; i < 200000; i++) {
		snprintf(name, sizeof name, "user %d", i);
		assert_true(rates_take(r, RATE_READS, az_str_c(name), T0, &wait));
	}
	assert_false(rates_take(r, RATE_READS, AZ_S("busy"), T0, &wait));
	/* the places of those who left are free again */
	for (int i = 0; i < 200000; i++) {
		snprintf(name, sizeof name, "later %d", i);
		assert_true(rates_take(r, RATE_READS, az_str_c(name), T0 + 3600 * S, &wait));
	}
	az_api_rates_close(r);
}

struct taker {
	pthread_t id;
	struct az_api_rates *r;
	int got;
};

static void *
taker_main(void *arg)
{
	struct taker *t = arg;

	t->got = taken(t->r, RATE_READS, "a", T0, 20000);
	return NULL;
}

static void
threads_never_take_more_than_there_is(void **state)
{
	const struct az_api_rates_opts o = {.reads = 30000};
	struct az_api_rates *r = rates_open(&o);
	struct taker t[4];
	int got = 0;

	(void)state;
	assert_int_equal(taken(r, RATE_READS, "a", T0, 1), 1); /* it has its place */
	for (int i = 0; i < 4; i++) {
		t[i].r = r;
		assert_int_equal(pthread_create(&t[i].id, NULL, taker_main, &t[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i].id, NULL);
		got += t[i].got;
	}
	assert_int_equal(got, 10000 - 1);
	az_api_rates_close(r);
}

/* ---- over HTTP ---- */

static int
setup_limited(void **state)
{
	static const struct az_api_rates_opts slow = {.reads = 6, .writes = 9, .creates = 3};

	if (setup(state) != 0)
		return -1;
	return az_api_rates_open(&slow, &fix.api.rates, NULL) == AZ_OK ? 0 : -1;
}

static int
teardown_limited(void **state)
{
	struct az_api_rates *r = fix.api.rates;
	int rc = teardown(state);

	az_api_rates_close(r);
	return rc;
}

static int
status_of(const char *user, const char *method, const char *path, const char *body)
{
	struct fcgi_resp r;
	int status;

	api_call(&fix, user, method, path, "", body, NULL, &r);
	status = r.status;
	fcgi_peer_release(&r);
	return status;
}

static void
who_asks_too_often_is_told_when_to_come_back(void **state)
{
	const struct az_json *j = NULL;
	struct fcgi_resp r;
	char h[40];
	int64_t s;

	(void)state;
	assert_int_equal(status_of("alice", "GET", "/run_workflow", NULL), 200);
	assert_int_equal(status_of("alice", "HEAD", "/run_workflow", NULL), 200);
	api_call(&fix, "alice", "GET", "/run_workflow", "", NULL, NULL, &r);
	assert_int_equal(r.status, 429);
	assert_int_equal(
	    az_json_parse_in(arena, az_str_n(r.body, r.body_n), &az_json_own_limits, &j, NULL),
	    AZ_OK);
	assert_true(az_str_eqc(az_json_gets(j, "code"), "rate_limited"));
	assert_true(az_str_eqc(az_json_gets(j, "detail"), "Too many requests from this user."));
	assert_non_null(fcgi_peer_header(&r, "Retry-After", h, sizeof h));
	assert_true(az_str_to_i64(az_str_c(h), 1, 11, &s));
	assert_int_equal(az_json_geti(j, "retry_after_s", 0), s);
	fcgi_peer_release(&r);
	/* its other requests, those of others, and what needs no user */
	assert_int_equal(status_of("alice", "POST", "/run_workflow/user-x/cancel", "{}"), 404);
	assert_int_equal(status_of("bob", "GET", "/run_workflow", NULL), 200);
	for (int i = 0; i < 9; i++)
		assert_int_equal(status_of("alice", "GET", "/run_workflow/health/live", NULL), 200);
}

#define BODY                                                                                       \
	"{\"user_prompt\":\"p\",\"test_conditions\":\"t\",\"model\":\"recording/"                  \
	"x\",\"mode\":\"async\""

static void
starts_count_for_whom_the_body_names(void **state)
{
	(void)state;
	assert_int_equal(
	    status_of(NULL, "POST", "/run_workflow", BODY ",\"user_id\":\"carol\"}"), 202);
	assert_int_equal(
	    status_of(NULL, "POST", "/run_workflow", BODY ",\"user_id\":\"carol\"}"), 429);
	/* nobody's bucket is as it was */
	assert_int_equal(status_of(NULL, "POST", "/run_workflow", BODY "}"), 202);
	assert_int_equal(status_of(NULL, "POST", "/run_workflow", BODY "}"), 429);
	assert_int_equal(status_of("carol", "POST", "/run_workflow", BODY "}"), 429);
	assert_int_equal(status_of("dave", "POST", "/run_workflow", BODY "}"), 202);
	assert_int_equal(status_of("dave", "POST", "/run_workflow", BODY "}"), 429);
	assert_int_equal(fix.engine.starts, 3);
	/* refused bodies count too */
	assert_int_equal(status_of("erin", "POST", "/run_workflow", "{"), 400);
	assert_int_equal(status_of("erin", "POST", "/run_workflow", "{"), 429);
}

int
main(void)
{
#define HTTP(f) cmocka_unit_test_setup_teardown(f, setup_limited, teardown_limited)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_bucket_empties_and_fills_again),
	    cmocka_unit_test(users_and_kinds_do_not_touch_each_other),
	    cmocka_unit_test(the_least_limits_let_something_through),
	    cmocka_unit_test(processes_of_a_host_count_together),
	    cmocka_unit_test(many_users_do_not_free_a_busy_one),
	    cmocka_unit_test(threads_never_take_more_than_there_is),
	    HTTP(who_asks_too_often_is_told_when_to_come_back),
	    HTTP(starts_count_for_whom_the_body_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
