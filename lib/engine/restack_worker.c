/* The worker's life: threads, polls, an engine that is away, drain. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/log.h>
#include "restack_endpoints.h"
#include "restack_worker.h"

#define OP "engine.work"

enum {
	SLOTS = 8,
	POLLS = 8,     /* slots that wait for a function at the same time */
	LOOK_MS = 500, /* a stop wakes nobody who waits for a permit */
	TASKS = 4,
	DRAIN_MS = 10000,
	GRACE_MS = 5000,      /* a function told to stop has so long */
	QUIET_MS = 500,       /* after that without an answer, polls are cut off */
	POLLS_MS = 6000,      /* or after that in any case */
	DEAF_MS = 2000,       /* a poll that is cut off ends well within this */
	BACK_MS = 1000,       /* how often an engine that is away is asked */
	UNREADABLE_MS = 1000, /* after an answer that nobody can read */
	ENDPOINTS = 16,
};

/* ---- polls ---- */

static bool
stopping(void *arg)
{
	struct rworker *w = arg;

	return atomic_load(&w->r->stopping) || atomic_load(&w->failed);
}

bool
worker_poll_over(void *arg)
{
	struct rworker *w = arg;
	int64_t stop = atomic_load(&w->stop_ms), last = atomic_load(&w->moved_ms);
	int64_t now = az_boot_ms();

	if (!stopping(w) || !stop)
		return false;
	if (atomic_load(&w->deaf) || atomic_load(&w->away) || now - stop >= POLLS_MS)
		return true;
	/* a task that crosses with the cut is lost for a while: not while they come in, nor while
	   what is decided here makes new ones */
	return !atomic_load(&w->deciding) && now - (last > stop ? last : stop) >= QUIET_MS;
}

/* What it made may be on its way to one of our polls. */
static void
moved(struct rworker *w)
{
	atomic_store(&w->moved_ms, az_boot_ms());
}

void
worker_failing(void *arg, const struct az_err *err, int64_t next_ms)
{
	struct rworker *w = arg;

	atomic_store(&w->unreached, err->code == AZ_EUNAVAIL);
	if (!atomic_exchange(&w->away, true))
		az_log(AZ_WARN, "engine.away", AZ_KE(err), AZ_KN("next_ms", next_ms));
}

static void
back(struct rworker *w)
{
	if (atomic_exchange(&w->away, false))
		az_log(AZ_INFO, "engine.back", AZ_KNONE);
}

/* Not beyond a stop. */
static void
pause_ms(const struct restack *r, int ms)
{
	struct pollfd p = {.fd = r->stop_fd, .events = POLLIN};

	(void)!poll(&p, 1, ms);
}

bool
worker_polled(struct rworker *w, enum az_code rc, const struct az_err *err)
{
	if (rc == AZ_OK) {
		moved(w);
		back(w);
	}
	if (rc == AZ_ECANCELLED || atomic_load(&w->r->stopping))
		return false;
	if (rc == AZ_OK)
		return true;
	/* An answer that cannot be read: the task in it is one run's trouble, not ours. */
	if (rc == AZ_EUPSTREAM || rc == AZ_ETOOBIG || rc == AZ_ENOMEM) {
		az_log(AZ_ERROR, "engine.poll", AZ_KE(err));
		pause_ms(w->r, UNREADABLE_MS);
		return true;
	}
	pthread_mutex_lock(&w->mu);
	if (!atomic_exchange(&w->failed, true))
		w->err = *err;
	pthread_mutex_unlock(&w->mu);
	w->r->base.ops->stop(&w->r->base);
	return false;
}

/* The end of a thread. */
static void *
leave(struct rworker *w)
{
	pthread_mutex_lock(&w->mu);
	w->threads--;
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->mu);
	return NULL;
}

/* c is a poll. */
static enum az_code
poll_call(
    struct rworker *w, const struct rpc_call *c, struct az_arena *a, void *task, struct az_err *err)
{
	enum az_code rc;

	pthread_mutex_lock(&w->mu);
	w->polling++;
	pthread_mutex_unlock(&w->mu);
	rc = rpc_call(w->r, c, a, task, NULL, err);
	pthread_mutex_lock(&w->mu);
	w->polling--;
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->mu);
	return rc;
}

static void
queue_of(const struct rworker *w, Azt__TaskQueue *q)
{
	azt__task_queue__init(q);
	q->name = w->r->addr.queue;
	q->kind = AZT__TASK_QUEUE_KIND__E__NORMAL;
}

static void *
task_thread(void *arg)
{
	struct rworker *w = arg;
	Azt__PollWorkflowTaskQueueRequest req = AZT__POLL_WORKFLOW_TASK_QUEUE_REQUEST__INIT;
	Azt__PollWorkflowTaskQueueResponse *task;
	Azt__TaskQueue queue;
	struct rpc_call c = {.method = RPC_POLL_WORKFLOW,
	    .req = &req,
	    .cancelled = worker_poll_over,
	    .failing = worker_failing,
	    .arg = w};
	struct az_arena *a = az_arena_new(AZ_MIB(128));
	bool on = a != NULL;

	queue_of(w, &queue);
	req.namespace_ = w->r->addr.ns;
	req.task_queue = &queue;
	req.identity = w->r->worker_id;
	req.worker_instance_key = w->instance;
	while (on && !stopping(w)) {
		struct az_err err = AZ_ERR_INIT;
		enum az_code rc = poll_call(w, &c, a, &task, &err);

		on = worker_polled(w, rc, &err);
		if (rc == AZ_OK && task->task_token.len) {
			atomic_fetch_add(&w->deciding, 1);
			task_run(w, a, task);
			moved(w);
			atomic_fetch_sub(&w->deciding, 1);
		}
		az_arena_reset(a);
	}
	az_arena_free(a);
	return leave(w);
}

/* One of the permits to poll; looks at the stop about twice a second. */
static bool
permit(struct rworker *w)
{
	bool got;

	pthread_mutex_lock(&w->mu);
	while (w->polls == 0 && !stopping(w))
		az_cond_wait(&w->permit, &w->mu, az_boot_ms() + LOOK_MS);
	if ((got = !stopping(w)))
		w->polls--;
	pthread_mutex_unlock(&w->mu);
	return got;
}

static void
give_back(struct rworker *w)
{
	pthread_mutex_lock(&w->mu);
	w->polls++;
	pthread_cond_signal(&w->permit);
	pthread_mutex_unlock(&w->mu);
}

static void *
slot_thread(void *arg)
{
	struct rworker *w = arg;
	Azt__PollActivityTaskQueueRequest req = AZT__POLL_ACTIVITY_TASK_QUEUE_REQUEST__INIT;
	Azt__PollActivityTaskQueueResponse *task;
	Azt__TaskQueue queue;
	struct rpc_call c = {.method = RPC_POLL_ACTIVITY,
	    .req = &req,
	    .cancelled = worker_poll_over,
	    .failing = worker_failing,
	    .arg = w};
	struct az_arena *a = az_arena_new(AZ_MIB(128));
	bool on = a != NULL;

	queue_of(w, &queue);
	req.namespace_ = w->r->addr.ns;
	req.task_queue = &queue;
	req.identity = w->r->worker_id;
	req.worker_instance_key = w->instance;
	while (on && permit(w)) {
		struct az_err err = AZ_ERR_INIT;
		enum az_code rc = poll_call(w, &c, a, &task, &err);

		give_back(w);
		on = worker_polled(w, rc, &err);
		if (rc == AZ_OK && task->task_token.len) {
			activity_run(w, a, task);
			moved(w);
		}
		az_arena_reset(a);
	}
	az_arena_free(a);
	return leave(w);
}

/* ---- life ---- */

/* Whether the server answers. */
static void
greet(struct rworker *w)
{
	Azt__DescribeNamespaceRequest req = AZT__DESCRIBE_NAMESPACE_REQUEST__INIT;
	Azt__DescribeNamespaceResponse *resp;
	struct rpc_call c = {.method = RPC_NAMESPACE, .req = &req, .cancelled = stopping, .arg = w};
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc = AZ_ENOMEM;

	req.namespace_ = w->r->addr.ns;
	if (a)
		rc = rpc_call(w->r, &c, a, &resp, NULL, &err);
	if (rc == AZ_OK)
		back(w);
	else if (rc != AZ_ENOMEM && rc != AZ_ECANCELLED)
		worker_failing(w, &err, 0);
	az_arena_free(a);
}

/* When no poll is left: some servers end them at this, and lose a task that they were
   handing out. Older ones do not know it. */
static void
say_goodbye(struct rworker *w)
{
	Azt__ShutdownWorkerRequest req = AZT__SHUTDOWN_WORKER_REQUEST__INIT;
	Azt__TaskQueueType__E types[2] = {
	    AZT__TASK_QUEUE_TYPE__E__WORKFLOW, AZT__TASK_QUEUE_TYPE__E__ACTIVITY};
	struct az_arena *a = az_arena_new(AZ_KIB(64));
	struct az_err err = AZ_ERR_INIT;

	req.namespace_ = w->r->addr.ns;
	req.identity = w->r->worker_id;
	req.reason = "shutdown";
	req.worker_instance_key = w->instance;
	req.task_queue = w->r->addr.queue;
	req.task_queue_types = types;
	req.n_task_queue_types = 2;
	if (a && rpc_call(w->r, &(struct rpc_call){.method = RPC_SHUTDOWN, .req = &req}, a, NULL,
		     NULL, &err) != AZ_OK)
		az_log(AZ_DEBUG, "engine.goodbye", AZ_KE(&err));
	az_arena_free(a);
}

static enum az_code
register_all(struct rworker *w, struct restack_endpoints **out, struct az_err *err)
{
	struct restack_endpoint list[ENDPOINTS];
	const struct restack_addr *addr = &w->r->addr;
	size_t n = 0;

	*out = NULL;
	if (!w->r->endpoints)
		return AZ_OK;
	for (const struct az_workflow *wf = w->opt->workflows; wf->name && n < ENDPOINTS; wf++)
		list[n++] = (struct restack_endpoint){.name = wf->name,
		    .description = wf->description,
		    .input_schema = wf->input_schema,
		    .output_schema = wf->output_schema};
	return restack_endpoints_start(&(struct restack_endpoints_opts){.http = w->r->http,
					   .api_url = addr->api_url,
					   .ca_file = addr->ca_file,
					   .engine_id = addr->engine_id,
					   .queue = addr->queue + strlen(addr->engine_id) + 1,
					   .workflows = list,
					   .n = n},
	    out, err);
}

/* Until *left, of w, is 0 or ms passed. */
static bool
wait_ended(struct rworker *w, const int *left, int64_t ms)
{
	int64_t end = az_boot_ms() + ms;
	bool done;

	pthread_mutex_lock(&w->mu);
	while (*left > 0 && az_cond_wait(&w->ended, &w->mu, end))
		continue;
	done = *left == 0;
	pthread_mutex_unlock(&w->mu);
	return done;
}

static bool
spawn(struct rworker *w, pthread_t *t, void *(*run)(void *))
{
	pthread_mutex_lock(&w->mu);
	w->threads++;
	pthread_mutex_unlock(&w->mu);
	if (pthread_create(t, NULL, run, w) == 0)
		return true;
	pthread_mutex_lock(&w->mu);
	w->threads--;
	pthread_mutex_unlock(&w->mu);
	return false;
}

/* Nothing new is taken; what a poll that is under way brings is done. */
static void
drain(struct rworker *w)
{
	int ms = w->opt->drain_ms ? w->opt->drain_ms : DRAIN_MS;

	atomic_store(&w->stop_ms, az_boot_ms());
	if (!wait_ended(w, &w->threads, ms)) {
		az_log(AZ_INFO, "engine.drain",
		    AZ_KC("why", "time is up: functions are told to stop"));
		/* what they give back is not for our own polls */
		atomic_store(&w->deaf, true);
		(void)wait_ended(w, &w->polling, DEAF_MS);
		atomic_store(&w->cut, true);
		if (!wait_ended(w, &w->threads, GRACE_MS)) {
			az_log(AZ_ERROR, "engine.drain", AZ_KC("why", "a function did not stop"));
			w->r->leaked = true;
		}
	}
	if (!atomic_load(&w->away))
		say_goodbye(w);
}

/* Polls are long: that the engine is back would be known after a minute. */
static void
wait_stop(struct rworker *w)
{
	struct pollfd p = {.fd = w->r->stop_fd, .events = POLLIN};

	while (!atomic_load(&w->r->stopping))
		if (poll(&p, 1, BACK_MS) == 0 && atomic_load(&w->away) &&
		    atomic_load(&w->unreached))
			greet(w);
}

static struct rworker *
worker_new(struct restack *r, const struct az_worker *opt, int slots)
{
	struct rworker *w = calloc(1, sizeof *w);
	struct az_buf key;

	if (!w)
		return NULL;
	w->r = r;
	w->opt = opt;
	az_buf_init(&key, sizeof w->instance);
	az_random_id(&key, 32);
	snprintf(w->instance, sizeof w->instance, "%.*s", AZ_FMT(az_buf_str(&key)));
	az_buf_release(&key);
	w->polls = slots < POLLS ? slots : POLLS;
	az_cond_init(&w->permit);
	pthread_mutex_init(&w->mu, NULL);
	az_cond_init(&w->ended);
	return w;
}

static void
worker_free(struct rworker *w)
{
	pthread_cond_destroy(&w->permit);
	pthread_cond_destroy(&w->ended);
	pthread_mutex_destroy(&w->mu);
	free(w);
}

enum az_code
restack_work(struct az_engine *e, const struct az_worker *opt, struct az_err *err)
{
	struct restack *r = (struct restack *)e;
	int slots = opt->slots > 0 ? opt->slots : SLOTS, n = 0;
	struct restack_endpoints *reg = NULL;
	struct rworker *w = worker_new(r, opt, slots);
	pthread_t *t = calloc((size_t)slots + TASKS, sizeof *t);
	enum az_code rc = AZ_OK;

	if (!w || !t) {
		rc = az_fail(err, AZ_ENOMEM, OP, "out of memory");
		goto out;
	}
	greet(w);
	if ((rc = register_all(w, &reg, err)) != AZ_OK)
		goto out;
	while (n < slots + TASKS && spawn(w, &t[n], n < TASKS ? task_thread : slot_thread))
		n++;
	if (n <= TASKS) {
		rc = az_fail(err, AZ_ENOMEM, OP, "no threads");
		r->base.ops->stop(e);
	}
	wait_stop(w);
	restack_endpoints_stop(reg);
	drain(w);
	if (r->leaked) {
		w = NULL; /* a thread still stands on it */
		rc = az_fail(err, AZ_ETIMEOUT, OP, "a function did not end");
	} else {
		for (int i = 0; i < n; i++)
			pthread_join(t[i], NULL);
		if (atomic_load(&w->failed) && rc == AZ_OK) {
			rc = w->err.code;
			if (err)
				*err = w->err;
		}
	}
out:
	if (w)
		worker_free(w);
	free(t);
	return rc;
}
