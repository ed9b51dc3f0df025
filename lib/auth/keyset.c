#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/cond.h>
#include <azlon/log.h>
#include "files.h"
#include "jwks.h"
#include "keyset.h"
#include "keyset_file.h"

static const char OP[] = "auth.keys";

enum { CONNECT_MS = 3000, TOTAL_MS = 5000, ROUNDS = 2, CLOCK_S = 60 };

struct keyset {
	struct keyset_opts o;
	char url[2048], file[PATH_MAX], lock[PATH_MAX];
	pthread_t thread;
	atomic_bool stop;
	pthread_mutex_t mu; /* all that follows */
	pthread_cond_t poke, done;
	struct jwks *set; /* or NULL */
	struct stat seen; /* the shared file as it was last read */
	bool poked, more; /* asked to look; because a key is missing */
	bool failing;     /* the last try failed, here or in another process */
	uint64_t rounds;  /* of looking, finished */
	int waiting;      /* requests that wait for a round */
	int64_t next_s;   /* before that, a round brings nothing but what others fetch */
};

enum age { NONE, STALE, DUE, FRESH };

static enum age
age_of(const struct jwks *s, int64_t now_s)
{
	int64_t age;

	if (!s)
		return NONE;
	age = now_s - s->fetched_s;
	if (age < -CLOCK_S) /* the clock was set back: how old it is cannot be told */
		return STALE;
	return age < s->life_s / 5 * 4            ? FRESH
	       : age < s->life_s                  ? DUE
	       : age < s->life_s + KEYSET_STALE_S ? STALE
						  : NONE;
}

static bool
stopping(void *arg)
{
	struct keyset *ks = arg;

	return atomic_load(&ks->stop);
}

/* ---- the thread that fetches ---- */

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void
adopt(struct keyset *ks, struct jwks *s)
{
	struct jwks *old;

	pthread_mutex_lock(&ks->mu);
	old = ks->set;
	ks->set = s;
	ks->failing = false;
	pthread_mutex_unlock(&ks->mu);
	jwks_unref(old);
}

/* What another process fetched; true when it is newer than ours. */
static bool
look(struct keyset *ks)
{
	struct stat st = {0};
	struct jwks *s = NULL;
	bool newer;

	(void)!stat(ks->file, &st);
	pthread_mutex_lock(&ks->mu);
	newer = !same_file(&st, &ks->seen);
	ks->seen = st;
	pthread_mutex_unlock(&ks->mu);
	if (!newer || keyset_load(ks->file, ks->url, &s, NULL))
		return false;
	/* only this thread changes the set */
	newer = s->fetched_s <= ks->o.now_s() + CLOCK_S &&
		(!ks->set || s->fetched_s >= ks->set->fetched_s);
	if (newer)
		adopt(ks, s);
	else
		jwks_unref(s);
	return newer;
}

static enum az_code
fetch(struct keyset *ks, struct az_err *err)
{
	static const char *const headers[] = {"Accept: application/json", NULL};
	const struct az_http_req q = {.method = "GET",
	    .url = ks->url,
	    .headers = headers,
	    .connect_ms = CONNECT_MS,
	    .idle_ms = TOTAL_MS,
	    .total_ms = TOTAL_MS,
	    .max_bytes = JWKS_BYTES,
	    .cancelled = stopping,
	    .arg = ks};
	struct az_http_resp r = {0};
	struct stat st = {0};
	struct az_err why = AZ_ERR_INIT;
	struct jwks *s = NULL;
	enum az_code rc = az_http_call(ks->o.http, &q, &r, err);

	if (!rc && r.status != 200)
		rc = az_fail(err, AZ_EUPSTREAM, OP, "answered %d", r.status);
	if (!rc)
		rc = jwks_parse(az_buf_str(&r.body), &s, err);
	if (rc)
		goto out;
	s->fetched_s = ks->o.now_s();
	s->life_s = jwks_life_s(az_http_header(&r, "cache-control"), az_http_header(&r, "age"));
	az_log(AZ_INFO, "auth.keys", AZ_KN("keys", (int64_t)s->n), AZ_KN("life_s", s->life_s));
	if (keyset_save(ks->file, ks->url, s, az_buf_str(&r.body), &why))
		az_log(AZ_WARN, "auth.keys", AZ_KC("what", "not shared"), AZ_KE(&why));
	adopt(ks, s);
	/* our own, and no news; nobody else writes while we have the lock */
	(void)!stat(ks->file, &st);
	pthread_mutex_lock(&ks->mu);
	ks->seen = st;
	pthread_mutex_unlock(&ks->mu);
out:
	az_http_resp_release(&r);
	return rc;
}

/* One round. more: a token named a key that the set does not have. */
static void
update(struct keyset *ks, bool more)
{
	int lock = auth_file_lock(ks->lock, stopping, ks);
	bool news = look(ks), failing = false;
	int64_t now_s = ks->o.now_s(), gap_s, stamp_s, next_s = 0;
	enum age age = age_of(ks->set, now_s);
	struct az_err err = AZ_ERR_INIT;

	if (stopping(ks) || (news && age > STALE) || (age == FRESH && !more))
		goto out;
	gap_s = age == NONE ? KEYSET_GAP_NONE_S : KEYSET_GAP_S;
	stamp_s = lock >= 0 ? keyset_stamp_get(lock) : 0;
	if (stamp_s <= now_s && now_s < stamp_s + gap_s) {
		/* a set that nobody replaced in time: the try before this one failed */
		failing = age <= STALE;
		next_s = stamp_s + gap_s;
		goto out;
	}
	/* counted before it is made, so that a crash is no way to have more */
	if (more && age > NONE && lock >= 0)
		keyset_stamp_set(lock, now_s);
	if (more && age > NONE)
		next_s = now_s + gap_s;
	if (fetch(ks, &err)) {
		az_log(AZ_WARN, "auth.keys", AZ_KC("what", "not fetched"), AZ_KE(&err));
		failing = true;
		next_s = now_s + gap_s;
		if (lock >= 0)
			keyset_stamp_set(lock, now_s);
	}
out:
	if (lock >= 0)
		close(lock);
	pthread_mutex_lock(&ks->mu);
	ks->failing |= failing;
	ks->next_s = next_s;
	pthread_mutex_unlock(&ks->mu);
}

static void *
work(void *arg)
{
	struct keyset *ks = arg;

	pthread_mutex_lock(&ks->mu);
	while (!stopping(ks)) {
		bool more = ks->more;

		if (!ks->poked) {
			(void)az_cond_wait(&ks->poke, &ks->mu, -1);
			continue;
		}
		pthread_mutex_unlock(&ks->mu);
		update(ks, more);
		pthread_mutex_lock(&ks->mu);
		/* who asked meanwhile looks at what came of it, and asks again if need be */
		ks->poked = ks->more = false;
		ks->rounds++;
		pthread_cond_broadcast(&ks->done);
	}
	pthread_mutex_unlock(&ks->mu);
	return NULL;
}

/* ---- requests ---- */

static void
ask(struct keyset *ks, bool more)
{
	ks->poked = true;
	ks->more |= more;
	pthread_cond_signal(&ks->poke);
}

/* Did another process leave something that we have not read? */
static bool
news(const struct keyset *ks)
{
	struct stat st;

	return stat(ks->file, &st) == 0 && !same_file(&st, &ks->seen);
}

/* Wait for a whole round; false when that is not to be. ks->mu held. */
static bool
wait_round(struct keyset *ks, bool more, int64_t deadline_ms)
{
	uint64_t before = ks->rounds;

	if (ks->waiting >= KEYSET_WAITERS)
		return false;
	ks->waiting++;
	ask(ks, more);
	while (
	    ks->rounds == before && !stopping(ks) && az_cond_wait(&ks->done, &ks->mu, deadline_ms))
		;
	ks->waiting--;
	return ks->rounds != before;
}

/* The set to look a key up in, with a reference; NULL when there is none that holds it, and
 *sure says whether that is certain. */
static struct jwks *
with_key(struct keyset *ks, struct az_str kid, bool *sure)
{
	int64_t deadline_ms = az_boot_ms() + KEYSET_WAIT_MS;
	struct jwks *found = NULL;

	*sure = false;
	pthread_mutex_lock(&ks->mu);
	for (int round = 0;; round++) {
		int64_t now_s = ks->o.now_s();
		enum age age = age_of(ks->set, now_s);
		bool has = age != NONE && jwks_find(ks->set, kid), idle = now_s >= ks->next_s;

		if (has && (age != STALE || ks->failing)) {
			if (age != FRESH && idle)
				ask(ks, false);
			found = jwks_ref(ks->set);
			break;
		}
		*sure = age != NONE && !ks->failing;
		if (round < ROUNDS && (idle || news(ks))) {
			if (wait_round(ks, age != NONE && !has, deadline_ms))
				continue;
			*sure = false;
		}
		if (has)
			found = jwks_ref(ks->set);
		break;
	}
	pthread_mutex_unlock(&ks->mu);
	return found;
}

enum az_code
keyset_check(struct keyset *ks, struct az_str kid, struct az_str text, struct az_str signature,
    struct az_err *err)
{
	bool sure, right;
	struct jwks *s = with_key(ks, kid, &sure);

	if (!s && sure) {
		(void)az_fail(err, AZ_EAUTH, OP, "refused: kid");
		return az_err_reason(err, "kid");
	}
	if (!s) {
		(void)az_fail(err, AZ_EUNAVAIL, OP,
		    "The keys that ID tokens are checked with cannot be fetched; nobody can be "
		    "identified by one now. Try again.");
		if (err)
			err->retry_after_ms = KEYSET_GAP_NONE_S * 1000;
		return az_err_reason(err, "identity");
	}
	right = az_rs256_ok(jwks_find(s, kid), text, signature);
	jwks_unref(s);
	if (right)
		return AZ_OK;
	(void)az_fail(err, AZ_EAUTH, OP, "refused: signature");
	return az_err_reason(err, "signature");
}

/* ---- begin and end ---- */

/* No signal of the process is to be handled by this thread. */
static int
launch(struct keyset *ks)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&ks->thread, NULL, work, ks);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

enum az_code
keyset_open(const struct keyset_opts *o, struct keyset **out, struct az_err *err)
{
	struct keyset *ks = calloc(1, sizeof *ks);

	*out = NULL;
	if (!ks)
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	ks->o = *o;
	if (snprintf(ks->url, sizeof ks->url, "%s", o->url) >= (int)sizeof ks->url ||
	    snprintf(ks->file, sizeof ks->file, "%s/firebase.json", o->dir) >=
		(int)sizeof ks->file ||
	    snprintf(ks->lock, sizeof ks->lock, "%s/firebase.lock", o->dir) >=
		(int)sizeof ks->lock) {
		free(ks);
		return az_fail(err, AZ_EINVAL, OP, "address or path too long");
	}
	atomic_init(&ks->stop, false);
	pthread_mutex_init(&ks->mu, NULL);
	az_cond_init(&ks->poke);
	az_cond_init(&ks->done);
	/* a restart needs no network */
	(void)look(ks);
	if (launch(ks) != 0) {
		jwks_unref(ks->set);
		free(ks);
		return az_fail(err, AZ_EIO, OP, "cannot start a thread");
	}
	/* and the first request no patience */
	pthread_mutex_lock(&ks->mu);
	if (age_of(ks->set, ks->o.now_s()) != FRESH)
		ask(ks, false);
	pthread_mutex_unlock(&ks->mu);
	*out = ks;
	return AZ_OK;
}

void
keyset_close(struct keyset *ks)
{
	if (!ks)
		return;
	pthread_mutex_lock(&ks->mu);
	atomic_store(&ks->stop, true);
	pthread_cond_broadcast(&ks->poke);
	pthread_cond_broadcast(&ks->done);
	pthread_mutex_unlock(&ks->mu);
	pthread_join(ks->thread, NULL);
	jwks_unref(ks->set);
	pthread_cond_destroy(&ks->poke);
	pthread_cond_destroy(&ks->done);
	pthread_mutex_destroy(&ks->mu);
	free(ks);
}
