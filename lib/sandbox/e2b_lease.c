/*
 * How long sandboxes live. Their service ends each at a time that is set at its creation;
 * while a command or a transfer is under way that time is put off. The table is what this
 * process was told: at least so long. A sandbox that is not in it is left alone.
 */
#include <azlon/clock.h>
#include "e2b_rest.h"

#define MARGIN_MS 120000 /* before the end, and at most half a life */
#define AGAIN_MS 10000   /* between tries */
#define LOOK_MS 500

static struct e2b_lease *
find(struct e2b_shared *s, struct az_str id)
{
	size_t i;

	for (i = 0; i < E2B_LEASES; i++)
		if (s->lease[i].id[0] && az_str_eqc(id, s->lease[i].id))
			return &s->lease[i];
	return NULL;
}

/* An empty slot, or that of the one which ends first. */
static struct e2b_lease *
slot(struct e2b_shared *s)
{
	struct e2b_lease *l = &s->lease[0];
	size_t i;

	for (i = 0; i < E2B_LEASES && l->id[0]; i++)
		if (!s->lease[i].id[0] || s->lease[i].ends_ms < l->ends_ms)
			l = &s->lease[i];
	return l;
}

void
e2b_lease_set(struct e2b *e, struct az_str id, int64_t asked_ms, int life_s)
{
	struct e2b_shared *s = e->shared;
	int64_t ends_ms = asked_ms + (int64_t)life_s * 1000;
	struct e2b_lease *l;

	if (id.n == 0 || id.n >= sizeof l->id)
		return;
	pthread_mutex_lock(&s->mu);
	if (!(l = find(s, id))) {
		l = slot(s);
		*l = (struct e2b_lease){.ends_ms = 0};
		memcpy(l->id, id.p, id.n);
	}
	/* a service never shortens a life, so neither do we */
	if (ends_ms > l->ends_ms) {
		l->ends_ms = ends_ms;
		l->life_s = life_s;
		l->next_ms = 0;
	}
	pthread_mutex_unlock(&s->mu);
}

void
e2b_lease_drop(struct e2b *e, struct az_str id)
{
	struct e2b_lease *l;

	pthread_mutex_lock(&e->shared->mu);
	if ((l = find(e->shared, id)))
		l->id[0] = '\0';
	pthread_mutex_unlock(&e->shared->mu);
}

bool
e2b_lease_over(struct e2b *e, struct az_str id)
{
	const struct e2b_lease *l;
	bool over;

	pthread_mutex_lock(&e->shared->mu);
	l = find(e->shared, id);
	over = l && az_boot_ms() >= l->ends_ms;
	pthread_mutex_unlock(&e->shared->mu);
	return over;
}

void
e2b_lease_keep(struct e2b *e, const struct az_box_ref *ref, int64_t *look_ms)
{
	struct e2b_shared *s = e->shared;
	int64_t now = az_boot_ms(), margin;
	struct e2b_lease *l;
	int life_s = 0;
	enum az_code rc;

	if (now < *look_ms)
		return;
	*look_ms = now + LOOK_MS;
	pthread_mutex_lock(&s->mu);
	if ((l = find(s, ref->id))) {
		margin = (int64_t)l->life_s * 500;
		if (margin > MARGIN_MS)
			margin = MARGIN_MS;
		if (now >= l->ends_ms - margin && now >= l->next_ms) {
			l->next_ms = now + AGAIN_MS;
			life_s = l->life_s;
		}
	}
	pthread_mutex_unlock(&s->mu);
	if (!life_s)
		return;
	/* what is under way goes on, whatever comes of this: there is another try */
	rc = e2b_prolong(e, ref->id, life_s, true, NULL, NULL, NULL);
	(void)rc;
}
