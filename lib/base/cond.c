/* Waiting with a deadline. */
#include <time.h>
#include <azlon/clock.h>
#include <azlon/cond.h>

void
az_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(c, &a);
	pthread_condattr_destroy(&a);
}

bool
az_cond_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ms)
{
	int64_t left;
	struct timespec t;

	if (deadline_ms < 0) {
		pthread_cond_wait(c, m);
		return true;
	}
	left = deadline_ms - az_boot_ms();
	if (left <= 0)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(left / 1000);
	t.tv_nsec += (long)(left % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(c, m, &t);
	return true;
}
