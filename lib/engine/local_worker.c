/*
 * A worker's life: the thread in az_engine_work() is the dispatcher. It sleeps
 * until poked, until something is due, or for a sweep. Functions run in threads of
 * their own; one more renews the lease.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "local.h"

enum {
	SLOTS = 8,
	DRAIN_MS = 10000,
	LAST_CALL_MS = 5000,
	RENEW_MS = 2000,
	STACK_BYTES = 2 * 1024 * 1024
};

static void *
renew_thread(void *arg)
{
	struct worker *w = arg;

	pthread_mutex_lock(&w->mu);
	while (!w->renew_quit) {
		az_cond_wait(&w->renew, &w->mu, az_boot_ms() + RENEW_MS);
		/* evicted means we were stopped for long; see local_work() */
		if (!live_touch(&w->e->live, w->index, w->id, atomic_load(&w->draining) ? 2 : 1))
			w->evicted = true;
	}
	pthread_mutex_unlock(&w->mu);
	return NULL;
}

static enum az_code
enter(struct worker *w, struct az_err *err)
{
	struct enter_op o = {.owner = w->id, .index = -1};
	enum az_code rc;

	op_init(&o.op, AZ_S(""), enter_apply);
	rc = op_run(w->e, &o.op, err);
	if (!rc)
		local_note(w->e, "*\n", 2, false); /* peers watch our process */
	if (!rc)
		fold_host(w->e, o.index, w->id);
	pthread_mutex_lock(&w->mu);
	w->index = o.index;
	w->evicted = false;
	pthread_mutex_unlock(&w->mu);
	return rc;
}

/* Let what runs end, then let others have it. */
static void
drain(struct dispatch *d)
{
	struct worker *w = d->w;
	int64_t begin = az_boot_ms();
	struct attempt *v[256];
	bool released = false, busy = true;
	int64_t next, now;

	atomic_store(&w->draining, true);
	(void)live_touch(&w->e->live, w->index, w->id, 2);
	for (;;) {
		pthread_mutex_lock(&w->mu);
		busy = w->n_busy > 0;
		/* claimed but not begun: nobody notices */
		while (w->queue) {
			struct attempt *a = w->queue;

			w->queue = a->next;
			w->n_busy--;
			pthread_mutex_unlock(&w->mu);
			attempt_release(a);
			attempt_free(a);
			pthread_mutex_lock(&w->mu);
		}
		pthread_mutex_unlock(&w->mu);
		now = az_boot_ms();
		if (!busy || now - begin >= w->drain_ms + LAST_CALL_MS)
			return;
		if (now - begin >= w->drain_ms / 2)
			atomic_store(&w->half, true);
		if (!released && now - begin >= w->drain_ms) {
			size_t n = dispatch_running(w, v);

			released = true;
			atomic_store(&w->abandoned, true);
			for (size_t i = 0; i < n; i++) {
				attempt_release(v[i]);
				atomic_store(&v[i]->lost, true);
			}
			pthread_mutex_lock(&w->mu);
			pthread_cond_broadcast(&w->idle);
			pthread_mutex_unlock(&w->mu);
		}
		next = dispatch_round(d);
		now = begin + (released                   ? w->drain_ms + LAST_CALL_MS
				  : atomic_load(&w->half) ? w->drain_ms
							  : w->drain_ms / 2);
		dispatch_rest(d, next < now ? next : now);
	}
}

static void
loop(struct dispatch *d)
{
	struct worker *w = d->w;

	while (!atomic_load(&w->e->stop)) {
		bool evicted;

		pthread_mutex_lock(&w->mu);
		evicted = w->evicted;
		pthread_mutex_unlock(&w->mu);
		if (evicted && enter(w, &d->err))
			dispatch_complain("engine.work", &d->err);
		dispatch_rest(d, dispatch_round(d));
	}
	drain(d);
	dispatch_end(d);
}

static enum az_code
worker_new(struct local *e, const struct az_worker *opt, struct worker **out, struct az_err *err)
{
	struct worker *w = calloc(1, sizeof *w);

	if (!w)
		return az_fail(err, AZ_ENOMEM, "engine.work", "out of memory");
	w->e = e;
	w->opt = opt;
	w->slots = opt->slots ? opt->slots : SLOTS;
	w->drain_ms = opt->drain_ms ? opt->drain_ms : DRAIN_MS;
	w->index = -1;
	do {
		az_random(&w->id, sizeof w->id);
		w->id >>= 1;
	} while (!w->id);
	pthread_mutex_init(&w->mu, NULL);
	pthread_cond_init(&w->cond, NULL);
	az_cond_init(&w->idle);
	az_cond_init(&w->renew);
	w->poke = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	*out = w;
	return w->poke >= 0 ? AZ_OK : az_fail_errno(err, AZ_EIO, "engine.work", "eventfd");
}

static void
worker_free(struct worker *w)
{
	if (w->poke >= 0)
		close(w->poke);
	pthread_mutex_destroy(&w->mu);
	pthread_cond_destroy(&w->cond);
	pthread_cond_destroy(&w->idle);
	pthread_cond_destroy(&w->renew);
	free(w);
}

/* Threads for functions and for the lease. */
static enum az_code
threads_start(struct worker *w, pthread_t *fn, pthread_t *renew, struct az_err *err)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	errno = pthread_create(renew, NULL, renew_thread, w);
	w->renewing = errno == 0;
	while (!errno && w->n_threads < w->slots) {
		pthread_mutex_lock(&w->mu);
		errno = pthread_create(&fn[w->n_threads], &attr, fn_thread, w);
		if (!errno)
			w->n_threads++;
		pthread_mutex_unlock(&w->mu);
	}
	pthread_attr_destroy(&attr);
	if (errno)
		return az_fail_errno(err, AZ_EUNAVAIL, "engine.work", "threads");
	return AZ_OK;
}

static enum az_code
host(struct worker *w, struct az_err *err)
{
	struct dispatch d = {.w = w, .swept = -LOCAL_SWEEP_MS};
	pthread_t fn[256] = {0}, renew = 0;
	enum az_code rc;
	int started;
	bool stuck;

	if ((rc = reader_take(w->e, &d.r, err)) || (rc = schema_check(&d.r->c, w->e->path, err)) ||
	    (rc = watch_start(w->e, err)) || (rc = enter(w, err)))
		goto out;
	rc = threads_start(w, fn, &renew, err);
	started = w->n_threads;
	watch_worker(w->e, w->poke);
	if (!rc)
		loop(&d);
	watch_worker(w->e, -1);
	pthread_mutex_lock(&w->mu);
	stuck = w->n_busy > 0;
	w->quit = w->renew_quit = true;
	pthread_cond_broadcast(&w->cond);
	pthread_cond_broadcast(&w->renew);
	pthread_mutex_unlock(&w->mu);
	if (w->renewing)
		pthread_join(renew, NULL);
	for (int i = 0; i < started; i++) {
		if (stuck)
			pthread_detach(fn[i]);
		else
			pthread_join(fn[i], NULL);
	}
	fold_host(w->e, -1, 0);
	live_leave(&w->e->live, w->index, w->id);
	local_note(w->e, "*\n", 2, false);
	if (stuck) {
		w->e->leaked = true;
		rc = az_fail(err, AZ_ETIMEOUT, "engine.work", "a function did not end");
	} else {
		struct attempt *v[256];

		dispatch_running(w, v); /* frees what is done */
	}
out:
	if (d.r)
		reader_give(w->e, d.r, rc == AZ_EIO);
	return rc;
}

enum az_code
local_work(struct az_engine *eng, const struct az_worker *opt, struct az_err *err)
{
	struct local *e = (struct local *)eng;
	struct worker *w = NULL;
	uint64_t x;
	enum az_code rc = worker_new(e, opt, &w, err);

	if (rc || !w)
		goto out;
	pthread_mutex_lock(&e->mu);
	if (e->worker)
		rc = az_fail(err, AZ_ECONFLICT, "engine.work", "this engine works already");
	else
		e->worker = w;
	pthread_mutex_unlock(&e->mu);
	if (rc)
		goto out;
	rc = host(w, err);
	pthread_mutex_lock(&e->mu);
	e->worker = NULL;
	pthread_mutex_unlock(&e->mu);
	atomic_store(&e->stop, false);
	if (read(e->stop_fd, &x, sizeof x) < 0)
		errno = 0; /* it was not poked */
out:
	if (w && !e->leaked)
		worker_free(w);
	return rc;
}

void
local_stop(struct az_engine *eng)
{
	struct local *e = (struct local *)eng;
	const uint64_t one = 1;
	int saved = errno;

	atomic_store(&e->stop, true);
	if (write(e->stop_fd, &one, sizeof one) < 0)
		errno = saved;
	errno = saved;
}
