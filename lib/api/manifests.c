#include <pthread.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include <azlon/manifest.h>
#include "manifests.h"

#define KEPT 256
#define TEXT_BYTES AZ_KIB(128) /* a longer one is read anew: parsing it costs more than reading */

struct kept {
	char bucket[39];
	char *key; /* malloc'ed, the text behind it; NULL: free */
	size_t key_n, n;
	int64_t read_ms; /* boot clock, before it was read */
	uint64_t used;
};

struct az_api_manifests {
	pthread_mutex_t mu;
	uint64_t tick, changes; /* so that what was read before a change is not kept after it */
	struct kept v[KEPT];
};

struct az_api_manifests *
az_api_manifests_new(void)
{
	struct az_api_manifests *c = calloc(1, sizeof *c);

	if (c)
		pthread_mutex_init(&c->mu, NULL);
	return c;
}

static void
drop(struct kept *k)
{
	free(k->key);
	memset(k, 0, sizeof *k);
}

void
az_api_manifests_free(struct az_api_manifests *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < KEPT; i++)
		drop(&c->v[i]);
	pthread_mutex_destroy(&c->mu);
	free(c);
}

static bool
is(const struct kept *k, const struct az_bucket *b, struct az_str key)
{
	return k->key && strcmp(k->bucket, b->name) == 0 &&
	       az_str_eq(az_str_n(k->key, k->key_n), key);
}

/* With the lock held: the text, if it is there and young. */
static struct az_str
look(struct az_api_manifests *c, const struct az_bucket *b, struct az_str key)
{
	for (size_t i = 0; i < KEPT; i++) {
		struct kept *k = &c->v[i];

		if (!is(k, b, key))
			continue;
		if (az_boot_ms() - k->read_ms >= MANIFESTS_MS) {
			drop(k);
			break;
		}
		k->used = ++c->tick;
		return az_str_n(k->key + k->key_n, k->n);
	}
	return (struct az_str){NULL, 0};
}

/* With the lock held. A failure to keep it is of no consequence. */
static void
keep(struct az_api_manifests *c, const struct az_bucket *b, struct az_str key, struct az_str text,
    int64_t read_ms)
{
	struct kept *to = &c->v[0];
	char *p = malloc(key.n + text.n);

	if (!p)
		return;
	for (size_t i = 0; i < KEPT; i++) {
		if (is(&c->v[i], b, key)) {
			to = &c->v[i];
			break;
		}
		if (c->v[i].used < to->used)
			to = &c->v[i];
	}
	drop(to);
	memcpy(p, key.p, key.n);
	memcpy(p + key.n, text.p, text.n);
	*to = (struct kept){.key = p, .key_n = key.n, .n = text.n, .read_ms = read_ms};
	memcpy(to->bucket, b->name, sizeof to->bucket);
	to->used = ++c->tick;
}

static enum az_code
read_and_keep(const struct az_api *api, const struct az_bucket *b, struct az_str key,
    uint64_t changes, struct az_buf *text, struct az_err *err)
{
	struct az_api_manifests *c = api->manifests;
	int64_t now = az_boot_ms();
	enum az_code rc = az_store_get(api->store, b, key, text, err);

	if (rc || text->n > TEXT_BYTES)
		return rc;
	pthread_mutex_lock(&c->mu);
	if (c->changes == changes)
		keep(c, b, key, az_buf_str(text), now);
	pthread_mutex_unlock(&c->mu);
	return AZ_OK;
}

enum az_code
manifests_load(const struct az_api *api, const struct az_bucket *b, struct az_str key,
    struct az_manifest *m, struct az_err *err)
{
	struct az_api_manifests *c = api->manifests;
	struct az_str kept;
	struct az_buf text;
	uint64_t changes;
	enum az_code rc = AZ_OK;

	if (!c)
		return az_manifest_load(m, api->store, b, key, err);
	az_buf_init(&text, AZ_MIB(16));
	pthread_mutex_lock(&c->mu);
	kept = look(c, b, key);
	az_buf_adds(&text, kept);
	changes = c->changes;
	pthread_mutex_unlock(&c->mu);
	if (!kept.p)
		rc = read_and_keep(api, b, key, changes, &text, err);
	if (!rc)
		rc = az_buf_check(&text, "api.manifests", err);
	if (!rc)
		rc = az_manifest_parse_stored(m, az_buf_str(&text), err);
	az_buf_release(&text);
	return rc;
}

void
manifests_forget(const struct az_api *api, const struct az_bucket *b, struct az_str key)
{
	struct az_api_manifests *c = api->manifests;

	if (!c)
		return;
	pthread_mutex_lock(&c->mu);
	c->changes++;
	for (size_t i = 0; i < KEPT; i++)
		if (key.n ? is(&c->v[i], b, key) : strcmp(c->v[i].bucket, b->name) == 0)
			drop(&c->v[i]);
	pthread_mutex_unlock(&c->mu);
}
