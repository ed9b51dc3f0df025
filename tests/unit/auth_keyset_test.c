/* The keys of ID tokens: fetched when needed, by one process for all, and never because a token
   asks for it. */
#include "auth_keyset_fixture.h"

static void
fetched_once_for_its_life(void **state)
{
	struct host *h = *state;

	process(h, &h->ks);
	for (int i = 0; i < 20; i++)
		assert_string_equal(check(h->ks, "k1", key1), "");
	assert_string_equal(check(h->ks, "k1", key2), "signature");
	atomic_fetch_add(&now_s, 799);
	assert_string_equal(check(h->ks, "k1", key1), "");
	fetched(h, 1);
	/* from 80 % on in the background */
	atomic_fetch_add(&now_s, 2);
	fetched_meanwhile(h, 2);
	/* and with that it is fresh again */
	soon(h->ks, "k1", key1);
	usleep(50000);
	assert_string_equal(check(h->ks, "k1", key1), "");
	fetched(h, 2);
}

static void
after_its_life_it_is_fetched_before_it_is_used(void **state)
{
	struct host *h = *state;

	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "");
	/* meanwhile the key was withdrawn */
	source_has(&(struct token_named){"k2", key2}, 1, "Cache-Control: max-age=1000\r\n");
	atomic_fetch_add(&now_s, 1001);
	assert_string_equal(check(h->ks, "k1", key1), "kid");
	assert_string_equal(check(h->ks, "k2", key2), "");
}

static void
rotation_refuses_nobody(void **state)
{
	const struct token_named both[] = {{"k1", key1}, {"k2", key2}};
	struct host *h = *state;

	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "");
	source_has(both, 2, "Cache-Control: max-age=1000\r\n");
	assert_string_equal(check(h->ks, "k2", key2), "");
	assert_string_equal(check(h->ks, "k1", key1), "");
	assert_string_equal(check(h->ks, "k2", key1), "signature");
	fetched(h, 2);
}

static void
floods_of_unknown_keys_cost_one_fetch_a_minute(void **state)
{
	struct host *h = *state;
	char kid[32];

	process(h, &h->ks);
	process(h, &h->other);
	assert_string_equal(check(h->ks, "k1", key1), "");
	for (int i = 0; i < 1000; i++) {
		snprintf(kid, sizeof kid, "unknown-%d", i);
		assert_string_equal(check(i % 2 ? h->ks : h->other, kid, key2), "kid");
		if (i % 100 == 0)
			assert_string_equal(check(h->ks, "k1", key1), "");
	}
	fetched(h, 2); /* the first, and one for all of these */
	atomic_fetch_add(&now_s, 61);
	for (int i = 0; i < 100; i++)
		assert_string_equal(check(i % 2 ? h->ks : h->other, "unknown", key2), "kid");
	fetched(h, 3);
}

static void
one_process_fetches_for_all(void **state)
{
	const struct token_named both[] = {{"k1", key1}, {"k2", key2}};
	struct host *h = *state;
	struct stat st;
	char path[100];

	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "");
	process(h, &h->other);
	assert_string_equal(check(h->other, "k1", key1), "");
	fetched(h, 1);
	source_has(both, 2, "Cache-Control: max-age=1000\r\n");
	assert_string_equal(check(h->ks, "k2", key2), "");
	assert_string_equal(check(h->other, "k2", key2), "");
	fetched(h, 2);
	snprintf(path, sizeof path, "%s/firebase.json", h->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	/* a restart while the source is away */
	keyset_close(h->ks);
	h->ks = NULL;
	source_is_broken();
	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "");
	assert_string_equal(check(h->ks, "k2", key2), "");
	fetched(h, 2);
}

/* What one process learned after another one used up its minute. */
static void
news_of_others_are_seen_within_the_minute(void **state)
{
	const struct token_named both[] = {{"k1", key1}, {"k2", key2}};
	struct host *h = *state;

	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "");
	assert_string_equal(check(h->ks, "unknown", key2), "kid");
	process(h, &h->other);
	source_has(both, 2, "Cache-Control: max-age=1000\r\n");
	assert_string_equal(check(h->ks, "k2", key2), "kid");
	/* routine, not an unknown key: the other one refreshes, both know it */
	atomic_fetch_add(&now_s, 805);
	assert_string_equal(check(h->other, "k1", key1), "");
	soon(h->other, "k2", key2);
	assert_string_equal(check(h->ks, "k2", key2), "");
	fetched(h, 3);
}

static void
a_jwk_set_will_do(void **state)
{
	const struct token_named both[] = {{"k1", key1}, {"k2", key2}};
	struct host *h = *state;
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(32));
	token_jwks(both, 2, &b);
	source_says("200 OK", "", az_buf_str(&b));
	az_buf_release(&b);
	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "");
	assert_string_equal(check(h->ks, "k2", key2), "");
	assert_string_equal(check(h->ks, "k2", key1), "signature");
}

static void *
ask_once(void *arg)
{
	return *check(arg, "k1", key1) ? arg : NULL;
}

/* More than may wait: some are told to come again, nobody is told that the token is bad. */
static void *
ask_until_told(void *arg)
{
	for (;;) {
		const char *why = check(arg, "k1", key1);

		if (!*why)
			return NULL;
		if (strcmp(why, "identity") != 0)
			return arg;
		usleep(1000);
	}
}

static void
crowds(struct host *h, int n, void *(*fn)(void *))
{
	pthread_t t[64];
	void *failed;

	for (int i = 0; i < n; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fn, i % 2 ? h->ks : h->other), 0);
	for (int i = 0; i < n; i++) {
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
}

static void
a_crowd_makes_one_fetch(void **state)
{
	struct host *h = *state;

	process(h, &h->ks);
	process(h, &h->other);
	crowds(h, 16, ask_once);
	fetched(h, 1);
	atomic_fetch_add(&now_s, 1001);
	crowds(h, 64, ask_until_told);
	fetched(h, 2);
}

static void
lives(void **state)
{
	static const struct {
		const char *control, *age;
		int64_t s;
	} cases[] = {
	    {"public, max-age=19845, must-revalidate, no-transform", NULL, 19845},
	    {"max-age=19845", "845", 19000},
	    {"MAX-AGE=1000", NULL, 1000},
	    {"max-age=10", NULL, 300},
	    {"max-age=0", NULL, 300},
	    {"max-age=100000000", NULL, DAY},
	    {"max-age=-5", NULL, 300},
	    {"max-age=99999999999999999999", NULL, 300},
	    {"max-age=", NULL, 300},
	    {"max-age=12x", NULL, 300},
	    {"no-store", NULL, 300},
	    {NULL, NULL, 300},
	    {"max-age=1000", "-7", 1000},
	    {"max-age=1000", "x", 1000},
	    {"max-age=1000", "5000", 300},
	    {"s-max-age=5000", NULL, 300},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(
		    jwks_life_s(az_str_c(cases[i].control), az_str_c(cases[i].age)), cases[i].s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(fetched_once_for_its_life),
	    TEST(after_its_life_it_is_fetched_before_it_is_used),
	    TEST(rotation_refuses_nobody),
	    TEST(floods_of_unknown_keys_cost_one_fetch_a_minute),
	    TEST(one_process_fetches_for_all),
	    TEST(news_of_others_are_seen_within_the_minute),
	    TEST(a_jwk_set_will_do),
	    TEST(a_crowd_makes_one_fetch),
	    cmocka_unit_test(lives),
	};
	return cmocka_run_group_tests(tests, begin, finish);
}
