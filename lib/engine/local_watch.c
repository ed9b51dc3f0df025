/*
 * Waiting: one thread per process receives the wake-ups, reads the versions of
 * runs that changed and wakes those who wait for them. It also pokes the worker.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "local.h"

enum { BUCKETS = 1024, LOOK = 64, STOP_TICK_MS = 100, FLOOD = 8, DAY_MS = 86400000 };

struct watched {
	struct watched *next;
	int64_t version; /* last read, -1 not yet, 0 gone */
	int refs;
	bool dirty;
	pthread_cond_t cond;
	char id[LOCAL_ID_MAX + 1];
};

/* Somebody waiting with a stop flag. */
struct waiter {
	struct waiter *next, **at;
	const bool *stop;
	struct watched *w;
};

static size_t
bucket_of(struct az_str id)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < id.n; i++)
		h = (h ^ (unsigned char)id.p[i]) * 1099511628211u;
	return (size_t)(h >> 20) % BUCKETS;
}

static struct watched *
find(struct watch *t, struct az_str id)
{
	struct watched *w = t->bucket[bucket_of(id)];

	while (w && !az_str_eqc(id, w->id))
		w = w->next;
	return w;
}

static void
poke(int fd)
{
	const uint64_t one = 1;

	/* full means poked already */
	if (write(fd, &one, sizeof one) < 0)
		return;
}

void
watch_note(struct local *e, const char *ids, size_t n, bool beat)
{
	struct watch *t = &e->watch;
	struct az_str rest = az_str_n(ids, n), id;
	bool any = false;

	if (!atomic_load_explicit(&t->used, memory_order_acquire))
		return;
	pthread_mutex_lock(&t->mu);
	while (az_str_cut(&rest, '\n', &id)) {
		struct watched *w;

		if (az_str_eqc(id, "*")) {
			t->all = any = true;
		} else if (id.n && (w = find(t, id))) {
			w->dirty = any = true;
		}
	}
	if (!beat && t->worker_poke >= 0)
		poke(t->worker_poke);
	pthread_mutex_unlock(&t->mu);
	if (any)
		poke(t->poke);
}

void
local_note(struct local *e, const char *ids, size_t n, bool beat)
{
	char msg[4096];

	watch_note(e, ids, n, beat);
	if (n + 1 > sizeof msg)
		return;
	msg[0] = beat ? 'h' : 'c';
	memcpy(msg + 1, ids, n);
	wake_send(&e->wake, msg, n + 1);
}

/* All datagrams there are. The queue of a socket is short: many at once may mean
   that some were lost. */
static void
receive(struct local *e)
{
	char msg[4096];
	ssize_t n;
	int got = 0;

	while ((n = recv(e->wake.in, msg, sizeof msg, MSG_DONTWAIT)) > 0) {
		watch_note(e, msg + 1, (size_t)n - 1, msg[0] == 'h');
		if (++got == FLOOD)
			watch_note(e, "*\n", 2, false);
	}
}

/* Up to LOOK dirty ids; clears their marks. Caller holds the lock. */
static size_t
collect(struct watch *t, char ids[LOOK][LOCAL_ID_MAX + 1], size_t *bucket)
{
	size_t n = 0;

	for (; *bucket < BUCKETS; ++*bucket) {
		struct watched *w = t->bucket[*bucket];

		for (; w; w = w->next) {
			if (!w->dirty)
				continue;
			if (n == LOOK)
				return n;
			w->dirty = false;
			memcpy(ids[n++], w->id, sizeof w->id);
		}
	}
	return n;
}

static void
look(struct local *e, struct reader *r)
{
	char ids[LOOK][LOCAL_ID_MAX + 1];
	struct watch *t = &e->watch;
	size_t n, bucket = 0;
	int64_t v;

	do {
		pthread_mutex_lock(&t->mu);
		if (t->all && bucket == 0) {
			t->all = false;
			for (size_t i = 0; i < BUCKETS; i++)
				for (struct watched *w = t->bucket[i]; w; w = w->next)
					w->dirty = true;
		}
		n = collect(t, ids, &bucket);
		pthread_mutex_unlock(&t->mu);
		for (size_t i = 0; i < n; i++) {
			struct az_str id = az_str_c(ids[i]);
			struct watched *w;

			if (read_version(e, r, id, &v, NULL))
				continue; /* the sweep asks again */
			pthread_mutex_lock(&t->mu);
			w = find(t, id);
			if (w && w->version != v) {
				w->version = v;
				pthread_cond_broadcast(&w->cond);
			}
			pthread_mutex_unlock(&t->mu);
		}
	} while (n == LOOK);
}

/* Did another connection commit since the last sweep? */
static bool
changed(struct reader *r, int64_t *seen)
{
	sqlite3_stmt *st;
	int64_t v = *seen;
	int rc = sql_step(&r->c, Q_DATA_VERSION, &st, "");

	if (rc == SQLITE_ROW)
		v = sql_i64(st, 0);
	sql_end(st);
	if (v == *seen)
		return false;
	*seen = v;
	return true;
}

static void
stops(struct watch *t)
{
	pthread_mutex_lock(&t->mu);
	for (struct waiter *w = t->waiters; w; w = w->next)
		if (__atomic_load_n(w->stop, __ATOMIC_RELAXED))
			pthread_cond_broadcast(&w->w->cond);
	pthread_mutex_unlock(&t->mu);
}

static void *
watch_main(void *arg)
{
	struct local *e = arg;
	struct watch *t = &e->watch;
	struct reader *r = NULL;
	struct pollfd p[2] = {
	    {.fd = t->poke, .events = POLLIN}, {.fd = e->wake.in, .events = POLLIN}};
	int64_t data = -1, swept = 0, now;
	uint64_t n;

	while (!atomic_load(&t->stop)) {
		int ms = LOCAL_SWEEP_MS;

		pthread_mutex_lock(&t->mu);
		if (t->n_stops)
			ms = STOP_TICK_MS;
		else if (!t->n_watched)
			ms = -1;
		pthread_mutex_unlock(&t->mu);
		if (poll(p, 2, ms) < 0 && errno != EINTR)
			break;
		if (read(t->poke, &n, sizeof n) < 0 && errno != EAGAIN)
			break;
		receive(e);
		stops(t);
		if (!r && reader_take(e, &r, NULL))
			continue;
		now = az_boot_ms();
		if (now - swept >= LOCAL_SWEEP_MS) {
			swept = now;
			if (changed(r, &data)) {
				pthread_mutex_lock(&t->mu);
				t->all = true;
				pthread_mutex_unlock(&t->mu);
			}
		}
		look(e, r);
	}
	if (r)
		reader_give(e, r, false);
	return NULL;
}

enum az_code
watch_open(struct local *e, struct az_err *err)
{
	struct watch *t = &e->watch;

	pthread_mutex_init(&t->mu, NULL);
	t->worker_poke = -1;
	t->bucket = calloc(BUCKETS, sizeof(struct watched *));
	if (!t->bucket)
		return az_fail(err, AZ_ENOMEM, "engine.open", "out of memory");
	t->poke = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->poke < 0)
		return az_fail_errno(err, AZ_EIO, "engine.open", "eventfd");
	return AZ_OK;
}

enum az_code
watch_start(struct local *e, struct az_err *err)
{
	struct watch *t = &e->watch;
	enum az_code rc = AZ_OK;

	pthread_mutex_lock(&t->mu);
	if (!t->started) {
		rc = wake_listen(&e->wake, err);
		if (!rc) {
			errno = pthread_create(&t->thread, NULL, watch_main, e);
			if (errno)
				rc = az_fail_errno(err, AZ_EUNAVAIL, "engine.wait", "thread");
		}
		t->started = rc == AZ_OK;
		if (!rc)
			atomic_store_explicit(&t->used, true, memory_order_release);
	}
	pthread_mutex_unlock(&t->mu);
	return rc;
}

void
watch_worker(struct local *e, int fd)
{
	pthread_mutex_lock(&e->watch.mu);
	e->watch.worker_poke = fd;
	pthread_mutex_unlock(&e->watch.mu);
}

void
watch_close(struct local *e)
{
	struct watch *t = &e->watch;

	atomic_store(&t->stop, true);
	if (t->poke >= 0)
		poke(t->poke);
	if (t->started)
		pthread_join(t->thread, NULL);
	if (t->poke >= 0)
		close(t->poke);
	free(t->bucket);
	pthread_mutex_destroy(&t->mu);
}

/* Caller holds the lock. */
static struct watched *
enter(struct watch *t, struct az_str id)
{
	struct watched *w = find(t, id), **b = &t->bucket[bucket_of(id)];

	if (w) {
		w->refs++;
		return w;
	}
	w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	memcpy(w->id, id.p, id.n);
	w->version = -1;
	w->refs = 1;
	az_cond_init(&w->cond);
	w->next = *b;
	*b = w;
	t->n_watched++;
	return w;
}

static void
leave(struct watch *t, struct watched *w)
{
	struct watched **at = &t->bucket[bucket_of(az_str_c(w->id))];

	if (--w->refs)
		return;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	t->n_watched--;
	pthread_cond_destroy(&w->cond);
	free(w);
}

static enum az_code
version_now(struct local *e, struct az_str id, int64_t *v, struct az_err *err)
{
	struct reader *r;
	enum az_code rc = reader_take(e, &r, err);

	if (rc)
		return rc;
	rc = read_version(e, r, id, v, err);
	reader_give(e, r, rc == AZ_EIO);
	return rc;
}

static bool
stopped(const bool *stop)
{
	return stop && __atomic_load_n(stop, __ATOMIC_RELAXED);
}

enum az_code
local_wait(struct az_engine *eng, struct az_str id, int64_t seen, int64_t ms, const bool *stop,
    int64_t *now, struct az_err *err)
{
	struct local *e = (struct local *)eng;
	struct watch *t = &e->watch;
	/* at most a day: the caller asks again */
	int64_t end = az_boot_ms() + (ms > DAY_MS ? DAY_MS : ms);
	struct waiter me = {.stop = stop};
	struct watched *w;
	int64_t v;
	enum az_code rc = watch_start(e, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&t->mu);
	w = enter(t, id);
	pthread_mutex_unlock(&t->mu);
	if (!w)
		return az_fail(err, AZ_ENOMEM, "engine.wait", "out of memory");
	/* read after entering: a change from here on is told */
	rc = version_now(e, id, &v, err);
	pthread_mutex_lock(&t->mu);
	if (rc)
		goto out;
	if (w->version < v)
		w->version = v;
	me.w = w;
	if (stop) {
		me.next = t->waiters;
		me.at = &t->waiters;
		if (me.next)
			me.next->at = &me.next;
		t->waiters = &me;
		t->n_stops++;
	}
	if (t->n_stops <= 1 || t->n_watched <= 1)
		poke(t->poke); /* it slept without a tick */
	while (w->version == seen && !stopped(stop) && az_cond_wait(&w->cond, &t->mu, end))
		continue;
	*now = w->version;
	if (w->version == 0)
		rc = az_fail(err, AZ_ENOTFOUND, "engine.wait", "no run");
	if (stop) {
		*me.at = me.next;
		if (me.next)
			me.next->at = me.at;
		t->n_stops--;
	}
out:
	leave(t, w);
	pthread_mutex_unlock(&t->mu);
	return rc;
}
