/* base: waiting with a deadline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include <azlon/cond.h>

struct box {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	bool full;
};

static void *
fill(void *arg)
{
	struct box *b = arg;

	pthread_mutex_lock(&b->mu);
	b->full = true;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->mu);
	return NULL;
}

static void
what_is_signalled_is_seen(void **state)
{
	const int64_t deadlines[] = {-1, az_boot_ms() + 60000};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct box b = {.mu = PTHREAD_MUTEX_INITIALIZER};
		bool in_time = true;
		pthread_t t;

		az_cond_init(&b.cond);
		pthread_mutex_lock(&b.mu);
		assert_int_equal(pthread_create(&t, NULL, fill, &b), 0);
		while (!b.full && in_time)
			in_time = az_cond_wait(&b.cond, &b.mu, deadlines[i]);
		pthread_mutex_unlock(&b.mu);
		assert_true(b.full && in_time);
		pthread_join(t, NULL);
		pthread_cond_destroy(&b.cond);
	}
}

static void
a_deadline_ends_the_wait_and_one_that_passed_does_not_begin_it(void **state)
{
	struct box b = {.mu = PTHREAD_MUTEX_INITIALIZER};
	int64_t end = az_boot_ms() + 2;

	(void)state;
	az_cond_init(&b.cond);
	pthread_mutex_lock(&b.mu);
	while (az_cond_wait(&b.cond, &b.mu, end))
		continue;
	assert_true(az_boot_ms() >= end);
	assert_false(az_cond_wait(&b.cond, &b.mu, end));
	assert_false(az_cond_wait(&b.cond, &b.mu, 0));
	pthread_mutex_unlock(&b.mu);
	pthread_cond_destroy(&b.cond);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_signalled_is_seen),
	    cmocka_unit_test(a_deadline_ends_the_wait_and_one_that_passed_does_not_begin_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
