/*
 * The lead: at most one thread polls the listening socket. Where requests are short it
 * keeps the lead while it serves, so that nobody is woken, and the watch hands the lead
 * on if the request turns out not to be short.
 */
#include <poll.h>
#include <unistd.h>
#include <azlon/log.h>
#include "web.h"

#define TICK_MS 1
#define QUIET_TICKS 8 /* then the watch sleeps: to wake it costs about as much */

/* s->mu held. *next is to be signalled after the unlock: woken under it, it would sleep
   again at once. */
static enum az_code
pass(struct web_server *s, struct web_thread **next)
{
	s->carried = false;
	s->leader = *next = s->idle;
	if (!*next)
		return web_thread_add(s, &s->leader);
	s->idle = (*next)->next_idle;
	return AZ_OK;
}

static void
passed(struct web_thread *next, enum az_code rc)
{
	if (next)
		pthread_cond_signal(&next->wake);
	if (rc != AZ_OK)
		az_log(AZ_WARN, "web.thread",
		    AZ_KC("err", "no further thread; requests wait for the ones there are"));
}

bool
web_lead_take(struct web_thread *t)
{
	struct web_server *s = t->s;

	pthread_mutex_lock(&s->mu);
	if (!s->leader) {
		s->leader = t;
	} else if (s->leader != t) {
		t->next_idle = s->idle;
		s->idle = t;
		while (s->leader != t && !atomic_load(&s->stopping))
			pthread_cond_wait(&t->wake, &s->mu);
	}
	s->carried = false;
	pthread_mutex_unlock(&s->mu);
	return !atomic_load(&s->stopping);
}

void
web_lead_pass(struct web_thread *t)
{
	struct web_server *s = t->s;
	struct web_thread *next = NULL;
	enum az_code rc = AZ_OK;

	pthread_mutex_lock(&s->mu);
	if (!s->leader || s->leader == t)
		rc = pass(s, &next);
	pthread_mutex_unlock(&s->mu);
	passed(next, rc);
}

void
web_lead_carry(struct web_thread *t)
{
	const uint64_t one = 1;
	struct web_server *s = t->s;
	bool wake = false;

	pthread_mutex_lock(&s->mu);
	if (!s->leader)
		s->leader = t;
	if (s->leader == t) {
		s->carried = true;
		s->turns++;
		wake = !s->watched;
		s->watched = true;
	}
	pthread_mutex_unlock(&s->mu);
	if (wake)
		(void)!write(s->watch_fd, &one, sizeof one);
}

static bool
somebody_waits(const struct web_server *s)
{
	struct pollfd p = {.fd = s->w->listen_fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

int
web_lead_watch(struct web_server *s)
{
	struct web_thread *next = NULL;
	enum az_code rc = AZ_OK;
	uint64_t n;
	bool on;

	(void)!read(s->watch_fd, &n, sizeof n);
	pthread_mutex_lock(&s->mu);
	s->quiet = s->turns == s->turns_seen ? s->quiet + 1 : 0;
	/* the request of the last tick still runs, or another processor could help */
	if (s->carried &&
	    (s->quiet || (atomic_load(&s->serving) < s->processors && somebody_waits(s))))
		rc = pass(s, &next);
	s->turns_seen = s->turns;
	/* the lead is never carried unwatched */
	if (!s->carried && s->quiet > QUIET_TICKS)
		s->watched = false;
	on = s->watched;
	pthread_mutex_unlock(&s->mu);
	passed(next, rc);
	return on ? TICK_MS : -1;
}
