#include <pthread.h>
#include <stdlib.h>
#include "cache.h"

#define WAYS 4

struct slot {
	char *id; /* malloc'ed with the JSON behind it */
	size_t id_n;
	int64_t start_ms, version;
	uint64_t used;
	bool worker;
	struct cache_item it;
};

struct az_api_cache {
	pthread_mutex_t mu;
	uint64_t tick;
	size_t sets;
	struct slot slot[];
};

struct az_api_cache *
az_api_cache_new(size_t entries)
{
	size_t sets = entries / WAYS + 1;
	struct az_api_cache *c;

	if (entries > 1000000 || !(c = calloc(1, sizeof *c + sets * WAYS * sizeof c->slot[0])))
		return NULL;
	c->sets = sets;
	pthread_mutex_init(&c->mu, NULL);
	return c;
}

void
az_api_cache_free(struct az_api_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->sets * WAYS; i++)
		free(c->slot[i].id);
	pthread_mutex_destroy(&c->mu);
	free(c);
}

/* The ids end in 26 random characters: their last 8 bytes are hash enough. */
static struct slot *
set_of(struct az_api_cache *c, struct az_str id)
{
	uint64_t h = 0;
	size_t n = id.n < sizeof h ? id.n : sizeof h;

	memcpy(&h, id.p + id.n - n, n);
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return &c->slot[(size_t)((h >> 32) % c->sets) * WAYS];
}

static bool
is(const struct slot *s, struct az_str id)
{
	return s->id && s->id_n == id.n && memcmp(s->id, id.p, id.n) == 0;
}

bool
cache_get(struct az_api_cache *c, const struct az_run_info *run, struct az_arena *a,
    struct cache_item *out)
{
	struct az_str id = run->workflow_id;
	bool hit = false;
	struct slot *s;

	if (!c || id.n == 0)
		return false;
	s = set_of(c, id);
	pthread_mutex_lock(&c->mu);
	for (int i = 0; i < WAYS && !hit; i++, s++) {
		if (!is(s, id) || s->start_ms != run->start_ms || s->version != run->version ||
		    s->worker != run->has_worker)
			continue;
		*out = s->it;
		out->json = az_arena_str(a, s->it.json);
		s->used = ++c->tick;
		hit = out->json.p != NULL;
	}
	pthread_mutex_unlock(&c->mu);
	return hit;
}

void
cache_put(struct az_api_cache *c, const struct az_run_info *run, const struct cache_item *it)
{
	struct az_str id = run->workflow_id;
	struct slot *set, *to = NULL;
	char *p, *old;

	if (!c || id.n == 0 || !(p = malloc(id.n + it->json.n)))
		return;
	memcpy(p, id.p, id.n);
	memcpy(p + id.n, it->json.p, it->json.n);
	set = set_of(c, id);
	pthread_mutex_lock(&c->mu);
	for (int i = 0; i < WAYS; i++) {
		if (is(&set[i], id)) {
			to = &set[i];
			break;
		}
		if (!to || set[i].used < to->used)
			to = &set[i];
	}
	old = to->id;
	*to = (struct slot){.id = p,
	    .id_n = id.n,
	    .start_ms = run->start_ms,
	    .version = run->version,
	    .worker = run->has_worker,
	    .used = ++c->tick,
	    .it = *it};
	to->it.json = az_str_n(p + id.n, it->json.n);
	pthread_mutex_unlock(&c->mu);
	free(old);
}
