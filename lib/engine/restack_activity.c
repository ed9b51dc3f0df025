/*
 * One attempt of a function. It runs in a thread of its own; the slot's thread beats for
 * it, hears of cancels in the answers, and reports what came of it.
 */
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/log.h>
#include "restack_worker.h"

#define OP "engine.function"

enum {
	BEAT_MS = 2000, /* also without news: a cancel comes back in the answer */
	NEWS_MS = 1000, /* the soonest that news of the function is sent */
	HEARTBEAT_BYTES = 20 * 1024,
	RETRY_AFTER_MAX_MS = 3600 * 1000,
};

struct attempt {
	struct attempt *next; /* of w->running */
	struct az_fn_ctx ctx;
	struct rworker *w;
	const struct az_function *fn;
	const Azt__PollActivityTaskQueueResponse *task;
	struct az_str input;
	int64_t dead;          /* boot clock: start-to-close is over */
	_Atomic int64_t heard; /* of the last answer to a heartbeat */
	int64_t heartbeat_ms;  /* timeout, 0 = none */
	_Atomic bool cancel;   /* the run asked for it */
	_Atomic bool lost;     /* the server gave it to somebody else */
	_Atomic bool put_off;  /* paused or reset by an operator */
	_Atomic bool done;
	pthread_mutex_t mu;
	pthread_cond_t changed; /* done, or news */
	struct az_buf beat;     /* latest heartbeat, under mu */
	bool news;
	enum az_code code;
	struct az_buf result;
	struct az_err why;
};

/* ---- called by the function ---- */

static void
heartbeat(struct az_fn_ctx *ctx, struct az_str json)
{
	struct attempt *t = ctx->engine;

	if (json.n > HEARTBEAT_BYTES)
		return;
	pthread_mutex_lock(&t->mu);
	az_buf_reset(&t->beat);
	az_buf_adds(&t->beat, json);
	if (!t->news) {
		t->news = true;
		pthread_cond_signal(&t->changed);
	}
	pthread_mutex_unlock(&t->mu);
}

/* Nobody heard of us for so long: it is somebody else's by now. */
static void
check_silence(struct attempt *t)
{
	if (t->heartbeat_ms && az_boot_ms() - atomic_load(&t->heard) >= t->heartbeat_ms)
		atomic_store(&t->lost, true);
}

static bool
cancelled(struct az_fn_ctx *ctx)
{
	struct attempt *t = ctx->engine;

	check_silence(t); /* the process may have been stopped */
	return atomic_load(&t->cancel) || atomic_load(&t->lost) || atomic_load(&t->put_off) ||
	       atomic_load(&t->w->cut) || az_boot_ms() >= t->dead;
}

static void *
run(void *arg)
{
	struct attempt *t = arg;

	az_log_context(AZ_S(""), t->ctx.workflow_id);
	t->code = t->fn->run(&t->ctx, t->w->opt->app, t->input, &t->result, &t->why);
	pthread_mutex_lock(&t->mu);
	atomic_store(&t->done, true);
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->mu);
	return NULL;
}

/* ---- heartbeats ---- */

static bool
is_done(void *arg)
{
	struct attempt *t = arg;

	return atomic_load(&t->done);
}

/* The latest details, copied; empty when the function never gave any. */
static struct az_str
details(struct attempt *t, struct az_arena *a)
{
	struct az_str s;

	pthread_mutex_lock(&t->mu);
	s = az_arena_str(a, az_buf_str(&t->beat));
	t->news = false;
	pthread_mutex_unlock(&t->mu);
	return s;
}

static void
beat(struct attempt *t)
{
	Azt__RecordActivityTaskHeartbeatRequest req =
	    AZT__RECORD_ACTIVITY_TASK_HEARTBEAT_REQUEST__INIT;
	Azt__RecordActivityTaskHeartbeatResponse *resp;
	struct restack *r = t->w->r;
	struct rpc_call c = {.method = RPC_HEARTBEAT, .req = &req, .cancelled = is_done, .arg = t};
	struct az_arena *a = az_arena_new(AZ_KIB(256));
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc;

	if (!a)
		return;
	req.task_token = t->task->task_token;
	req.identity = r->worker_id;
	req.namespace_ = r->addr.ns;
	rc = payloads_put(r, a, details(t, a), &req.details, &err);
	if (rc == AZ_OK)
		rc = rpc_call(r, &c, a, &resp, NULL, &err);
	if (rc == AZ_OK) {
		atomic_store(&t->heard, az_boot_ms());
		if (resp->cancel_requested)
			atomic_store(&t->cancel, true);
		if (resp->activity_paused || resp->activity_reset)
			atomic_store(&t->put_off, true);
	} else if (rc == AZ_ENOTFOUND) {
		atomic_store(&t->lost, true);
	} else {
		check_silence(t);
	}
	az_arena_free(a);
}

static void
wait_until(struct attempt *t, int64_t end, bool for_news)
{
	while (!atomic_load(&t->done) && !(for_news && t->news) &&
	       az_cond_wait(&t->changed, &t->mu, end))
		continue;
}

static void
attend(struct attempt *t)
{
	int64_t last = az_boot_ms(), news_ms = NEWS_MS;

	/* what the function says must arrive within its timeout */
	if (t->heartbeat_ms && t->heartbeat_ms / 2 < news_ms)
		news_ms = t->heartbeat_ms / 2;
	pthread_mutex_lock(&t->mu);
	while (!atomic_load(&t->done)) {
		wait_until(t, last + news_ms, false);
		wait_until(t, last + BEAT_MS, true);
		if (atomic_load(&t->done))
			break;
		pthread_mutex_unlock(&t->mu);
		last = az_boot_ms();
		if (!atomic_load(&t->lost))
			beat(t);
		pthread_mutex_lock(&t->mu);
	}
	pthread_mutex_unlock(&t->mu);
}

/* ---- outcomes ---- */

static enum az_code
send(struct attempt *t, struct az_arena *a, enum rpc method, const void *req, struct az_err *err)
{
	return rpc_call(
	    t->w->r, &(struct rpc_call){.method = method, .req = req}, a, NULL, NULL, err);
}

static enum az_code
failed(struct attempt *t, struct az_arena *a, const char *reason, const char *message,
    struct az_str left, bool retryable, int64_t after_ms, struct az_err *err)
{
	Azt__RespondActivityTaskFailedRequest req = AZT__RESPOND_ACTIVITY_TASK_FAILED_REQUEST__INIT;
	struct restack *r = t->w->r;
	enum az_code rc;

	if (after_ms > RETRY_AFTER_MAX_MS)
		after_ms = RETRY_AFTER_MAX_MS;
	req.task_token = t->task->task_token;
	req.identity = r->worker_id;
	req.namespace_ = r->addr.ns;
	if ((rc = payloads_put(r, a, details(t, a), &req.last_heartbeat_details, err)) != AZ_OK ||
	    (rc = failure_put(r, a, az_str_c(reason), az_str_c(message), left, retryable, after_ms,
		 &req.failure, err)) != AZ_OK)
		return rc;
	return send(t, a, RPC_ACTIVITY_FAILED, &req, err);
}

static enum az_code
canceled(struct attempt *t, struct az_arena *a, struct az_err *err)
{
	Azt__RespondActivityTaskCanceledRequest req =
	    AZT__RESPOND_ACTIVITY_TASK_CANCELED_REQUEST__INIT;
	enum az_code rc = payloads_put(t->w->r, a, az_buf_str(&t->result), &req.details, err);

	req.task_token = t->task->task_token;
	req.identity = t->w->r->worker_id;
	req.namespace_ = t->w->r->addr.ns;
	return rc ? rc : send(t, a, RPC_ACTIVITY_CANCELED, &req, err);
}

static enum az_code
completed(struct attempt *t, struct az_arena *a, struct az_err *err)
{
	Azt__RespondActivityTaskCompletedRequest req =
	    AZT__RESPOND_ACTIVITY_TASK_COMPLETED_REQUEST__INIT;
	enum az_code rc;

	if (t->result.fail == AZ_ETOOBIG)
		return failed(t, a, "payload_too_large", "the result is over 256 KiB", AZ_S(""),
		    false, 0, err);
	if (t->result.fail)
		return failed(
		    t, a, az_code_name(t->result.fail), "out of memory", AZ_S(""), true, 0, err);
	req.task_token = t->task->task_token;
	req.identity = t->w->r->worker_id;
	req.namespace_ = t->w->r->addr.ns;
	rc = payloads_put(t->w->r, a, az_buf_str(&t->result), &req.result, err);
	return rc ? rc : send(t, a, RPC_ACTIVITY_DONE, &req, err);
}

static void
report(struct attempt *t, struct az_arena *a)
{
	struct az_err err = AZ_ERR_INIT;
	bool told = t->code == AZ_ECANCELLED;
	enum az_code rc;

	/* a result is worth the question, also when we think that nobody listens any more */
	if (t->code == AZ_OK)
		rc = completed(t, a, &err);
	else if (atomic_load(&t->lost))
		rc = AZ_ENOTFOUND; /* the server has stopped listening */
	else if (told && atomic_load(&t->cancel))
		rc = canceled(t, a, &err);
	else if (told && az_boot_ms() >= t->dead)
		rc = AZ_ENOTFOUND; /* its timeout is the server's to say */
	else if (told && (atomic_load(&t->w->cut) || atomic_load(&t->put_off)))
		rc = failed(
		    t, a, "worker_stopped", "the worker was stopped", AZ_S(""), true, 0, &err);
	else
		rc = failed(t, a, t->why.reason[0] ? t->why.reason : az_code_name(t->code),
		    t->why.text, az_buf_str(&t->result), az_code_retryable(t->code),
		    t->why.retry_after_ms, &err);
	if (rc == AZ_ENOTFOUND)
		az_log(AZ_INFO, "engine.result_dropped", AZ_KS("fn", t->ctx.name));
	else if (rc != AZ_OK)
		az_log(AZ_ERROR, "engine.result", AZ_KE(&err), AZ_KS("fn", t->ctx.name));
}

/* ---- an attempt from its task ---- */

static const struct az_function *
function_of(const struct rworker *w, struct az_str name)
{
	for (const struct az_function *f = w->opt->functions; f->name; f++)
		if (az_str_eqc(name, f->name))
			return f;
	return NULL;
}

/* The number of a function in its run. An id can have several runs, one after the other or
   one reset from another: what one of them left is not for the next. */
static int64_t
ref_of(const char *run_id, int64_t activity)
{
	char hex[65];

	az_sha256_hex(az_str_c(run_id), hex);
	hex[5] = '\0';
	/* 20 bits and 31: exact in JSON */
	return (int64_t)strtol(hex, NULL, 16) << 31 | activity;
}

/* What the function is told; AZ_EUNPROC for input that we cannot read. */
static enum az_code
fill(struct attempt *t, struct az_arena *a, struct az_err *err)
{
	const Azt__PollActivityTaskQueueResponse *task = t->task;
	struct restack *r = t->w->r;
	struct az_err ignored = AZ_ERR_INIT;
	int64_t close_ms = msg_duration_ms(task->start_to_close_timeout);
	enum az_code rc;

	t->ctx.arena = a;
	t->ctx.heartbeat = heartbeat;
	t->ctx.cancelled = cancelled;
	t->ctx.engine = t;
	t->ctx.attempt = task->attempt > 0 ? task->attempt : 1;
	t->ctx.name = az_str_c(task->activity_type->name);
	t->ctx.workflow_id =
	    restack_addr_local(&r->addr, az_str_c(task->workflow_execution->workflow_id));
	if (!az_str_to_i64(az_str_c(task->activity_id), 1, INT32_MAX, &t->ctx.ref))
		return az_fail(err, AZ_EUNPROC, OP, "a function with a foreign id");
	t->ctx.ref = ref_of(task->workflow_execution->run_id, t->ctx.ref);
	t->ctx.uid = header_string(r, a, task->header, RESTACK_HEADER_UID);
	if (payloads_get(r, a, task->heartbeat_details, &t->ctx.last_heartbeat, &ignored) != AZ_OK)
		t->ctx.last_heartbeat = AZ_S("");
	atomic_store(&t->heard, az_boot_ms());
	t->dead = close_ms > 0 ? az_boot_ms() + close_ms : INT64_MAX;
	t->heartbeat_ms = msg_duration_ms(task->heartbeat_timeout);
	if ((rc = payloads_get(r, a, task->input, &t->input, err)) != AZ_OK)
		return rc;
	if (t->input.n == 0)
		t->input = AZ_S("null");
	return payload_open(r, a, &t->input, err);
}

/* A server may give out one attempt twice; functions that do the same at the same time
   would get in each other's way. False when it is under way here. */
static bool
enter(struct attempt *t)
{
	const Azt__PollActivityTaskQueueResponse *x = t->task;
	struct attempt *o;

	pthread_mutex_lock(&t->w->mu);
	for (o = t->w->running; o; o = o->next)
		if (o->task->attempt == x->attempt &&
		    !strcmp(o->task->activity_id, x->activity_id) &&
		    !strcmp(o->task->workflow_execution->run_id, x->workflow_execution->run_id))
			break;
	if (!o) {
		t->next = t->w->running;
		t->w->running = t;
	}
	pthread_mutex_unlock(&t->w->mu);
	return !o;
}

static void
leave(struct attempt *t)
{
	struct attempt **at = &t->w->running;

	pthread_mutex_lock(&t->w->mu);
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	pthread_mutex_unlock(&t->w->mu);
}

void
activity_run(struct rworker *w, struct az_arena *a, Azt__PollActivityTaskQueueResponse *task)
{
	struct attempt t = {.w = w, .task = task};
	pthread_t thread;

	if (!task->activity_type || !task->workflow_execution)
		return;
	if (!enter(&t)) {
		az_log(AZ_INFO, "engine.repeated", AZ_KC("fn", task->activity_type->name));
		return;
	}
	pthread_mutex_init(&t.mu, NULL);
	az_cond_init(&t.changed);
	az_buf_init(&t.beat, HEARTBEAT_BYTES);
	az_buf_init(&t.result, AZ_LIM_PAYLOAD_BYTES);
	t.code = fill(&t, a, &t.why);
	az_log_context(AZ_S(""), t.ctx.workflow_id);
	if (t.code == AZ_OK && !(t.fn = function_of(w, t.ctx.name))) {
		/* a newer worker may have it */
		t.code =
		    az_fail(&t.why, AZ_EUNAVAIL, OP, "no function %.*s here", AZ_FMT(t.ctx.name));
		az_err_reason(&t.why, "no_function");
	}
	/* a worker that was stopped finds tasks that others have by now: to begin one would
	   disturb them */
	if (t.code == AZ_OK && az_wall_ms() - msg_ms(task->started_time) > BEAT_MS)
		beat(&t);
	if (t.code == AZ_OK && atomic_load(&t.lost))
		t.code = AZ_ENOTFOUND;
	if (t.code == AZ_OK && pthread_create(&thread, NULL, run, &t) == 0) {
		attend(&t);
		pthread_join(thread, NULL);
	} else if (t.code == AZ_OK) {
		t.code = az_fail(&t.why, AZ_ENOMEM, OP, "no thread");
	}
	report(&t, a);
	leave(&t);
	az_log_context(AZ_S(""), AZ_S(""));
	az_buf_release(&t.beat);
	az_buf_release(&t.result);
	pthread_cond_destroy(&t.changed);
	pthread_mutex_destroy(&t.mu);
}
