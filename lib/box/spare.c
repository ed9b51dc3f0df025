/*
 * Warm spares: boxes of the base template that are ready and belong to nobody yet. One that
 * is taken becomes an ordinary box and never comes back.
 */
#include "box.h"

#include <sys/prctl.h>

#define REST_MS 50    /* what was just taken is to be used before the next one is made */
#define AGAIN_MS 1000 /* after a failure */

static unsigned
count(const struct az_box_server *s)
{
	unsigned n = 0;

	for (const struct box *b = s->spares; b; b = b->next)
		n++;
	return n;
}

unsigned
spares_count(struct az_box_server *s)
{
	unsigned n;

	pthread_mutex_lock(&s->mu);
	n = count(s);
	pthread_mutex_unlock(&s->mu);
	return n;
}

struct box *
spare_take(struct az_box_server *s)
{
	struct box *b;

	pthread_mutex_lock(&s->mu);
	b = s->spares;
	if (b) {
		s->spares = b->next;
		b->next = NULL;
		s->stock_at = az_boot_ms() + REST_MS;
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->mu);
	return b;
}

void
spare_forget(struct box *b)
{
	struct az_box_server *s = b->srv;
	bool was = false;

	pthread_mutex_lock(&s->mu);
	for (struct box **pp = &s->spares; *pp; pp = &(*pp)->next)
		if (*pp == b) {
			*pp = b->next;
			was = true;
			s->stock_at = az_boot_ms() + AGAIN_MS;
			pthread_cond_broadcast(&s->changed);
			break;
		}
	pthread_mutex_unlock(&s->mu);
	if (was)
		box_unref(b);
}

/* Without s->mu. False: none could be made, or none is wanted any more. */
static bool
make_one(struct az_box_server *s)
{
	struct az_err err = AZ_ERR_INIT;
	struct box *b = NULL;
	bool keep;

	if (box_prepare(s, AZ_S("base"), s->memory, &b, &err)) {
		az_log(AZ_WARN, "box.spare", AZ_KE(&err));
		return false;
	}
	pthread_mutex_lock(&s->mu);
	pthread_mutex_lock(&b->mu);
	keep = !s->stopping && !b->dead;
	pthread_mutex_unlock(&b->mu);
	if (keep) {
		b->next = s->spares;
		s->spares = b;
	}
	pthread_mutex_unlock(&s->mu);
	if (keep) {
		/* it may have died before it was on the list, and not have been found there */
		pthread_mutex_lock(&b->mu);
		keep = !b->dead;
		pthread_mutex_unlock(&b->mu);
		if (!keep)
			spare_forget(b);
		return keep;
	}
	box_destroy(b, "not wanted", true);
	box_unref(b);
	return false;
}

static void *
stocker_main(void *arg)
{
	struct az_box_server *s = arg;

	prctl(PR_SET_NAME, "box-spares");
	pthread_mutex_lock(&s->mu);
	while (!s->stopping) {
		bool made;

		if (count(s) >= (unsigned)s->spares_want) {
			az_cond_wait(&s->changed, &s->mu, -1);
			continue;
		}
		if (az_boot_ms() < s->stock_at) {
			az_cond_wait(&s->changed, &s->mu, s->stock_at);
			continue;
		}
		pthread_mutex_unlock(&s->mu);
		made = make_one(s);
		pthread_mutex_lock(&s->mu);
		if (!made)
			s->stock_at = az_boot_ms() + AGAIN_MS;
	}
	pthread_mutex_unlock(&s->mu);
	return NULL;
}

bool
spares_start(struct az_box_server *s)
{
	s->stocker_on = s->spares_want > 0 && thread_start(&s->stocker, stocker_main, s, false);
	return s->stocker_on || !s->spares_want;
}

void
spares_stop(struct az_box_server *s)
{
	struct box *b;

	if (s->stocker_on)
		pthread_join(s->stocker, NULL);
	while ((b = spare_take(s))) {
		box_destroy(b, "the server stops", false);
		box_unref(b);
	}
}
