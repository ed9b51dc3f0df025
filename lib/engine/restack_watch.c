/*
 * Waiting for runs: one watcher a process, however many clients wait.
 *
 * Each watched run is looked at (describe) about once a second, which shows heartbeats,
 * and up to POLLERS of them have a long poll of their own, which shows the end of a run
 * at once. A run stays watched for a while after its last waiter, since callers wait in
 * slices. While the engine is away nothing changes, and waiters wait on.
 */
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/log.h>
#include "restack.h"

enum {
	LOOKERS = 4,
	POLLERS = 32,
	LOOK_EVERY_MS = 1000,
	LINGER_MS = 5000,
	STOP_TICK_MS = 100,
	STACK_BYTES = 512 * 1024,
	ID_BYTES = 201,
};

struct watched {
	struct watched *next;
	char id[ID_BYTES];
	int refs; /* waiters, lookers and pollers standing on it */
	int waiters;
	int64_t version;       /* as last seen, 0 = not yet */
	int64_t look_at;       /* boot clock, ms */
	int64_t begun, looked; /* looks: how many began, which one we know */
	int64_t used;          /* when a waiter last left */
	enum az_code failed;   /* of the last look: AZ_ENOTFOUND or AZ_OK */
	bool looking, polling, over;
	pthread_cond_t changed;
};

struct restack_watch {
	struct restack *r;
	pthread_mutex_t mu;
	pthread_cond_t work; /* for lookers and pollers */
	struct watched *list;
	pthread_t thread[LOOKERS + POLLERS];
	size_t n_lookers, n_pollers, n_threads, idle_pollers;
	_Atomic bool quit;
};

struct poll {
	struct restack_watch *t;
	struct watched *w;
};

/* ---- under t->mu ---- */

static struct watched *
find(struct restack_watch *t, struct az_str id)
{
	struct watched *w = t->list;

	while (w && !az_str_eqc(id, w->id))
		w = w->next;
	return w;
}

/* Forget the runs nobody has asked for in a while. */
static void
sweep(struct restack_watch *t, int64_t now)
{
	for (struct watched **at = &t->list, *w; (w = *at);) {
		if (w->refs || now - w->used < LINGER_MS) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		pthread_cond_destroy(&w->changed);
		free(w);
	}
}

/* The run whose look is most overdue; else *next is when to ask again. */
static struct watched *
due(struct restack_watch *t, int64_t now, int64_t *next)
{
	struct watched *best = NULL;

	*next = now + LOOK_EVERY_MS;
	for (struct watched *w = t->list; w; w = w->next) {
		if (w->looking || (!w->waiters && now - w->used >= LINGER_MS))
			continue;
		if (w->look_at <= now && (!best || w->look_at < best->look_at))
			best = w;
		else if (w->look_at < *next)
			*next = w->look_at;
	}
	return best;
}

/* A run that was seen to go on and has no long poll. */
static struct watched *
unpolled(struct restack_watch *t)
{
	struct watched *w = t->list;

	while (w && (w->polling || w->over || !w->waiters || w->failed || !w->version))
		w = w->next;
	return w;
}

static bool
add_thread(struct restack_watch *t, void *(*run)(void *))
{
	pthread_attr_t attr;
	bool ok;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	ok = pthread_create(&t->thread[t->n_threads], &attr, run, t) == 0;
	pthread_attr_destroy(&attr);
	t->n_threads += ok;
	return ok;
}

static void *poller(void *arg);

static void
call_poller(struct restack_watch *t)
{
	if (t->idle_pollers)
		pthread_cond_broadcast(&t->work);
	else if (t->n_pollers < POLLERS && !atomic_load(&t->quit))
		t->n_pollers += add_thread(t, poller);
}

/* ---- lookers ---- */

static void
look(struct restack_watch *t, struct watched *w)
{
	struct az_arena *a = az_arena_new(AZ_MIB(8));
	struct az_run_info info = {.version = 0};
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc = AZ_ENOMEM;
	int64_t nth = ++w->begun;

	pthread_mutex_unlock(&t->mu);
	if (a)
		rc = restack_describe(&t->r->base, az_str_c(w->id), a, &info, &err);
	pthread_mutex_lock(&t->mu);
	az_arena_free(a);
	if (rc != AZ_OK && rc != AZ_ENOTFOUND)
		return; /* away: the next look tells */
	w->failed = rc;
	w->over = rc != AZ_OK || info.state != AZ_RUN_OPEN;
	w->version = info.version;
	w->looked = nth;
	pthread_cond_broadcast(&w->changed);
}

static void *
looker(void *arg)
{
	struct restack_watch *t = arg;

	pthread_mutex_lock(&t->mu);
	while (!atomic_load(&t->quit)) {
		int64_t now = az_boot_ms(), next;
		struct watched *w = due(t, now, &next);

		if (!w) {
			sweep(t, now);
			az_cond_wait(&t->work, &t->mu, next > now ? next : now + 1);
			continue;
		}
		w->looking = true;
		w->refs++;
		w->look_at = now + LOOK_EVERY_MS;
		look(t, w);
		w->refs--;
		w->looking = false;
		if (unpolled(t))
			call_poller(t);
	}
	pthread_mutex_unlock(&t->mu);
	return NULL;
}

/* ---- pollers ---- */

static bool
poll_over(void *arg)
{
	const struct poll *p = arg;
	struct restack_watch *t = p->t;
	bool idle;

	pthread_mutex_lock(&t->mu);
	idle = !p->w->waiters && az_boot_ms() - p->w->used >= LINGER_MS;
	pthread_mutex_unlock(&t->mu);
	return idle || atomic_load(&t->quit);
}

/* Until the run is over (true), or nobody waits any more. */
static bool
poll_end(struct restack_watch *t, struct watched *w)
{
	struct poll p = {t, w};
	Azt__GetWorkflowExecutionHistoryRequest req =
	    AZT__GET_WORKFLOW_EXECUTION_HISTORY_REQUEST__INIT;
	Azt__GetWorkflowExecutionHistoryResponse *resp;
	struct rpc_call c = {
	    .method = RPC_HISTORY_WAIT, .req = &req, .cancelled = poll_over, .arg = &p};
	struct az_buf token;
	bool more = true, over = false;

	req.namespace_ = t->r->addr.ns;
	req.wait_new_event = true;
	req.skip_archival = true;
	req.history_event_filter_type = AZT__HISTORY_EVENT_FILTER_TYPE__E__CLOSE_EVENT;
	az_buf_init(&token, AZ_KIB(64));
	while (more && !poll_over(&p)) {
		struct az_arena *a = az_arena_new(AZ_MIB(8));
		struct az_err err = AZ_ERR_INIT;
		int64_t began = az_boot_ms();

		more = false;
		if (a && (req.execution = rpc_execution(t->r, a, az_str_c(w->id)))) {
			req.next_page_token = rpc_bytes(az_buf_str(&token));
			if (rpc_call(t->r, &c, a, &resp, NULL, &err) == AZ_OK) {
				over = resp->history && resp->history->n_events;
				az_buf_reset(&token);
				az_buf_add(
				    &token, resp->next_page_token.data, resp->next_page_token.len);
				/* a server that does not wait is asked once after each look */
				more = !over && az_boot_ms() - began >= LOOK_EVERY_MS;
			}
		}
		az_arena_free(a);
	}
	az_buf_release(&token);
	return over;
}

static void *
poller(void *arg)
{
	struct restack_watch *t = arg;

	pthread_mutex_lock(&t->mu);
	while (!atomic_load(&t->quit)) {
		struct watched *w = unpolled(t);
		bool over;

		if (!w) {
			t->idle_pollers++;
			pthread_cond_wait(&t->work, &t->mu);
			t->idle_pollers--;
			continue;
		}
		w->polling = true;
		w->refs++;
		pthread_mutex_unlock(&t->mu);
		over = poll_end(t, w);
		pthread_mutex_lock(&t->mu);
		w->refs--;
		w->polling = false;
		/* a broken poll is not tried again before the next look */
		w->failed = w->failed ? w->failed : AZ_EUNAVAIL;
		if (over) {
			w->look_at = 0;
			pthread_cond_broadcast(&t->work);
		}
	}
	pthread_mutex_unlock(&t->mu);
	return NULL;
}

/* ---- the port's slot ---- */

static struct watched *
enter(struct restack_watch *t, struct az_str id)
{
	struct watched *w = find(t, id);

	if (!w) {
		if (!(w = calloc(1, sizeof *w)))
			return NULL;
		memcpy(w->id, id.p, id.n);
		az_cond_init(&w->changed);
		w->next = t->list;
		t->list = w;
	}
	w->refs++;
	w->waiters++;
	if (t->n_lookers < LOOKERS)
		t->n_lookers += add_thread(t, looker);
	if (unpolled(t))
		call_poller(t);
	pthread_cond_broadcast(&t->work);
	return w;
}

enum az_code
restack_wait(struct az_engine *e, struct az_str id, int64_t seen, int64_t ms, const bool *stop,
    int64_t *now, struct az_err *err)
{
	struct restack_watch *t = ((struct restack *)e)->watch;
	int64_t end = az_boot_ms() + ms, left = ms, known;
	enum az_code rc = AZ_OK;
	bool differs, asked = false;
	struct watched *w;

	pthread_mutex_lock(&t->mu);
	if (!(w = enter(t, id))) {
		pthread_mutex_unlock(&t->mu);
		return az_fail(err, AZ_ENOMEM, "engine.wait", "out of memory");
	}
	known = w->begun; /* a look that began before is none of ours */
	while (
	    (left = end - az_boot_ms()) > 0 && !(stop && __atomic_load_n(stop, __ATOMIC_RELAXED))) {
		differs = w->failed == AZ_ENOTFOUND || (w->version && w->version != seen);
		if (differs && w->looked > known)
			break;
		/* What was seen before the caller came may be older than what it has seen
		   itself: a new look tells. */
		if (differs && !asked) {
			asked = true;
			w->look_at = 0;
			pthread_cond_broadcast(&t->work);
		}
		az_cond_wait(&w->changed, &t->mu,
		    stop && left > STOP_TICK_MS ? end - left + STOP_TICK_MS : end);
	}
	if (w->looked > known && w->failed == AZ_ENOTFOUND)
		rc = az_fail(err, AZ_ENOTFOUND, "engine.wait", "no such run");
	else if (w->looked > known)
		*now = w->version;
	w->waiters--;
	w->refs--;
	w->used = az_boot_ms();
	pthread_mutex_unlock(&t->mu);
	return rc;
}

struct restack_watch *
watch_new(struct restack *r)
{
	struct restack_watch *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->r = r;
	pthread_mutex_init(&t->mu, NULL);
	az_cond_init(&t->work);
	return t;
}

void
watch_free(struct restack_watch *t)
{
	struct watched *w;

	if (!t)
		return;
	pthread_mutex_lock(&t->mu);
	atomic_store(&t->quit, true);
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->mu);
	for (size_t i = 0; i < t->n_threads; i++)
		pthread_join(t->thread[i], NULL);
	while ((w = t->list)) {
		t->list = w->next;
		pthread_cond_destroy(&w->changed);
		free(w);
	}
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->mu);
	free(t);
}
