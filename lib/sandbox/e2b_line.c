/*
 * As many sandboxes live as the plan allows: who still wants one stands in line. The first
 * tries again when one of ours has ended, and now and then for those of others.
 */
#include <azlon/clock.h>
#include <azlon/cond.h>
#include "e2b.h"

#define ASK_MS 500 /* whether the caller is told to stop */

bool
e2b_line_busy(struct e2b *e)
{
	bool busy;

	pthread_mutex_lock(&e->shared->mu);
	busy = e->shared->first != NULL;
	pthread_mutex_unlock(&e->shared->mu);
	return busy;
}

static void
join(struct e2b_shared *s, struct e2b_place *p)
{
	struct e2b_place **at = &s->first;

	while (*at)
		at = &(*at)->next;
	*at = p;
	p->in_line = true;
	/* who comes first to an empty line has just been refused */
	p->tried = s->first == p;
	p->ended = s->ended;
}

bool
e2b_line_wait(struct e2b *e, struct e2b_place *p, int64_t deadline_ms)
{
	struct e2b_shared *s = e->shared;
	int64_t ask_ms = az_boot_ms() + ASK_MS, look_ms = az_boot_ms() + e->line_ms;
	bool turn = false, stop = false;

	pthread_mutex_lock(&s->mu);
	if (!p->in_line)
		join(s, p);
	while (!stop) {
		int64_t now = az_boot_ms(), until = ask_ms < deadline_ms ? ask_ms : deadline_ms;

		turn = s->first == p && (!p->tried || s->ended != p->ended || now >= look_ms);
		if (turn || now >= deadline_ms)
			break;
		if (now >= ask_ms) {
			/* the caller's hook may take its time, and locks of its own */
			pthread_mutex_unlock(&s->mu);
			stop = e2b_stopped(e);
			pthread_mutex_lock(&s->mu);
			ask_ms = az_boot_ms() + ASK_MS;
			continue;
		}
		if (s->first == p && until > look_ms)
			until = look_ms;
		az_cond_wait(&s->changed, &s->mu, until);
	}
	p->tried = true;
	p->ended = s->ended;
	pthread_mutex_unlock(&s->mu);
	return turn;
}

void
e2b_line_leave(struct e2b *e, struct e2b_place *p)
{
	struct e2b_shared *s = e->shared;
	struct e2b_place **at;

	if (!p->in_line)
		return;
	pthread_mutex_lock(&s->mu);
	for (at = &s->first; *at && *at != p; at = &(*at)->next)
		;
	if (*at)
		*at = p->next;
	p->in_line = false;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
}

void
e2b_line_ended(struct e2b *e)
{
	pthread_mutex_lock(&e->shared->mu);
	e->shared->ended++;
	pthread_cond_broadcast(&e->shared->changed);
	pthread_mutex_unlock(&e->shared->mu);
}
