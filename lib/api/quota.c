/* The book of what users keep. */
#include <pthread.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include "quota.h"

#define USERS 256 /* remembered; more than requests at once */
#define FRESH_MS 15000
#define RETRY_MS 60000 /* room is made by people */

static const char op[] = "api.quota";

struct usage {
	char bucket[39];
	int64_t bytes, files;                 /* as counted, and what was stored since */
	int64_t claimed_bytes, claimed_files; /* of uploads under way */
	int64_t counted_ms;                   /* boot clock; 0 = count again */
	int uploads;
	uint64_t used;
};

struct az_api_usage {
	pthread_mutex_t mu;
	uint64_t tick;
	struct usage user[USERS];
};

struct az_api_usage *
az_api_usage_new(void)
{
	struct az_api_usage *u = calloc(1, sizeof *u);

	if (u)
		pthread_mutex_init(&u->mu, NULL);
	return u;
}

void
az_api_usage_free(struct az_api_usage *u)
{
	if (!u)
		return;
	pthread_mutex_destroy(&u->mu);
	free(u);
}

/* With the lock held: the user's place, or (make) the longest unused one; NULL when each
   has an upload under way. */
static struct usage *
place(struct az_api_usage *u, const struct az_bucket *b, bool make)
{
	struct usage *to = NULL;

	for (size_t i = 0; i < USERS; i++) {
		struct usage *x = &u->user[i];

		if (strcmp(x->bucket, b->name) == 0) {
			x->used = ++u->tick;
			return x;
		}
		if (x->uploads == 0 && (!to || x->used < to->used))
			to = x;
	}
	if (!make || !to)
		return NULL;
	memset(to, 0, sizeof *to);
	memcpy(to->bucket, b->name, sizeof to->bucket);
	to->used = ++u->tick;
	return to;
}

static enum az_code
count(const struct az_api *api, const struct az_bucket *b, int64_t *bytes, int64_t *files,
    struct az_err *err)
{
	struct az_store_list q = {.limit = 1000};
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	char after[1100];
	enum az_code rc = a ? AZ_OK : az_fail(err, AZ_ENOMEM, op, "out of memory");

	*bytes = *files = 0;
	for (bool more = true; !rc && more;) {
		struct az_store_page p;

		rc = az_store_list(api->store, b, &q, a, &p, err);
		for (size_t i = 0; !rc && i < p.n; i++)
			*bytes += p.objs[i].bytes;
		if (rc)
			break;
		*files += (int64_t)p.n;
		more = p.next.n > 0 && p.next.n <= sizeof after;
		if (more) {
			memcpy(after, p.next.p, p.next.n);
			q.after = az_str_n(after, p.next.n);
		}
		az_arena_reset(a);
	}
	az_arena_free(a);
	return rc == AZ_ENOTFOUND ? AZ_OK : api_store_rc(rc, err);
}

enum az_code
quota_begin(
    struct quota *q, const struct az_api *api, const struct az_bucket *b, struct az_err *err)
{
	int64_t bytes, files, now = az_boot_ms();
	struct az_api_usage *u = api->usage;
	bool fresh = false;
	enum az_code rc;

	*q = (struct quota){.api = api};
	if (!u || (!api->quota_bytes && !api->quota_files))
		return AZ_OK;
	pthread_mutex_lock(&u->mu);
	q->of = place(u, b, true);
	if (q->of) {
		q->of->uploads++;
		fresh = q->of->counted_ms && now - q->of->counted_ms < FRESH_MS;
	}
	pthread_mutex_unlock(&u->mu);
	if (!q->of)
		return az_fail(err, AZ_EUNAVAIL, op, "too many users upload at once");
	if (fresh)
		return AZ_OK;
	rc = count(api, b, &bytes, &files, err);
	if (rc) {
		quota_end(q, false);
		return rc;
	}
	pthread_mutex_lock(&u->mu);
	q->of->bytes = bytes;
	q->of->files = files;
	q->of->counted_ms = now;
	pthread_mutex_unlock(&u->mu);
	return AZ_OK;
}

static enum az_code
refuse(struct az_err *err, const char *what, int64_t used, int64_t limit, int64_t more)
{
	(void)az_fail(err, AZ_EQUOTA, op,
	    "You keep %lld of at most %lld %s and %lld more do not fit; remove something first.",
	    (long long)used, (long long)limit, what, (long long)more);
	err->retry_after_ms = RETRY_MS;
	return AZ_EQUOTA;
}

/* With the lock held. */
static enum az_code
weigh(const struct quota *q, int64_t bytes, int64_t files, struct az_err *err)
{
	int64_t used_bytes = q->of->bytes + q->of->claimed_bytes;
	int64_t used_files = q->of->files + q->of->claimed_files;

	if (q->api->quota_bytes && bytes > q->api->quota_bytes - used_bytes)
		return refuse(err, "bytes", used_bytes, q->api->quota_bytes, bytes);
	if (q->api->quota_files && files > q->api->quota_files - used_files)
		return refuse(err, "objects", used_files, q->api->quota_files, files);
	return AZ_OK;
}

enum az_code
quota_fits(struct quota *q, int64_t bytes, int64_t files, struct az_err *err)
{
	enum az_code rc;

	if (!q->of)
		return AZ_OK;
	pthread_mutex_lock(&q->api->usage->mu);
	rc = weigh(q, bytes, files, err);
	pthread_mutex_unlock(&q->api->usage->mu);
	return rc;
}

enum az_code
quota_claim(struct quota *q, int64_t bytes, int64_t files, struct az_err *err)
{
	enum az_code rc;

	if (!q->of)
		return AZ_OK;
	pthread_mutex_lock(&q->api->usage->mu);
	rc = weigh(q, bytes, files, err);
	if (!rc) {
		q->bytes += bytes;
		q->files += files;
		q->of->claimed_bytes += bytes;
		q->of->claimed_files += files;
	}
	pthread_mutex_unlock(&q->api->usage->mu);
	return rc;
}

/* With the lock held: what was claimed is so no more. */
static void
unclaim(struct quota *q)
{
	q->of->claimed_bytes -= q->bytes;
	q->of->claimed_files -= q->files;
	q->bytes = q->files = 0;
}

void
quota_stored(struct quota *q)
{
	if (!q->of)
		return;
	pthread_mutex_lock(&q->api->usage->mu);
	q->of->bytes += q->bytes;
	q->of->files += q->files;
	q->stored = true;
	unclaim(q);
	pthread_mutex_unlock(&q->api->usage->mu);
}

void
quota_end(struct quota *q, bool kept)
{
	if (!q->of)
		return;
	pthread_mutex_lock(&q->api->usage->mu);
	unclaim(q);
	if (q->stored && !kept)
		q->of->counted_ms = 0;
	q->of->uploads--;
	q->of = NULL;
	pthread_mutex_unlock(&q->api->usage->mu);
}

void
quota_forget(const struct az_api *api, const struct az_bucket *b)
{
	struct usage *x;

	if (!api->usage)
		return;
	pthread_mutex_lock(&api->usage->mu);
	x = place(api->usage, b, false);
	if (x)
		x->counted_ms = 0;
	pthread_mutex_unlock(&api->usage->mu);
}

enum az_code
quota_room(const struct az_api *api, const struct az_bucket *b, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	for (int tries = 0; tries < 2; tries++) {
		struct quota q;

		if ((rc = quota_begin(&q, api, b, err)))
			return rc;
		rc = quota_fits(&q, 1, 1, err);
		quota_end(&q, false);
		if (!rc)
			break;
		quota_forget(api, b);
	}
	return rc;
}
