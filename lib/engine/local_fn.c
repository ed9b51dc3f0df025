/* One attempt of a function: its context, its thread, and what comes of it. */
#include <errno.h>
#include <unistd.h>
#include <azlon/log.h>
#include "local.h"

/* A heartbeat is written out at most so often. */
enum { BEAT_EVERY_MS = 200, AGAIN_MS = 1000, RETRY_AFTER_MAX_MS = 3600000 };

static void
poke(struct worker *w)
{
	const uint64_t one = 1;

	if (write(w->poke, &one, sizeof one) < 0)
		return; /* full: poked already */
}

/* ---- context ---- */

/* Caller holds a->mu. */
static void
write_out(struct attempt *a, int64_t now)
{
	char note[LOCAL_ID_MAX + 1];
	struct az_str id = a->ctx.workflow_id;

	a->hb_new = false;
	a->hb_written = now;
	if (!slot_put(&a->w->e->live, a->slot, a->token, ++a->hb_seq, az_buf_str(&a->hb)))
		return;
	memcpy(note, id.p, id.n);
	note[id.n] = '\n';
	local_note(a->w->e, note, id.n + 1, true);
}

static void
heartbeat(struct az_fn_ctx *ctx, struct az_str json)
{
	struct attempt *a = ctx->engine;
	int64_t now = az_boot_ms();
	bool held = false;

	atomic_store(&a->beat, now);
	if (json.n > LOCAL_HEARTBEAT_BYTES)
		return; /* a sign of life all the same */
	pthread_mutex_lock(&a->mu);
	az_buf_reset(&a->hb);
	az_buf_adds(&a->hb, json);
	if (now - a->hb_written >= BEAT_EVERY_MS) {
		write_out(a, now);
	} else {
		held = !a->hb_new;
		a->hb_new = true;
	}
	pthread_mutex_unlock(&a->mu);
	if (held)
		poke(a->w);
}

void
attempt_flush(struct attempt *a, int64_t now)
{
	pthread_mutex_lock(&a->mu);
	if (a->hb_new && now - a->hb_written >= BEAT_EVERY_MS)
		write_out(a, now);
	pthread_mutex_unlock(&a->mu);
}

const char *
attempt_clock(const struct attempt *a, int64_t now, int64_t *next)
{
	static const char *const what[3] = {"start_to_close", "schedule_to_close", "heartbeat"};
	int64_t t[3] = {a->started + a->opts.start_to_close_ms, a->dead,
	    a->opts.heartbeat_ms > 0 ? atomic_load(&a->beat) + a->opts.heartbeat_ms : LOCAL_NEVER};

	for (int i = 0; i < 3; i++) {
		if (now >= t[i])
			return what[i];
		if (t[i] < *next)
			*next = t[i];
	}
	return NULL;
}

static bool
cancelled(struct az_fn_ctx *ctx)
{
	struct attempt *a = ctx->engine;
	int64_t next = LOCAL_NEVER;

	return atomic_load(&a->cancel) || atomic_load(&a->lost) || atomic_load(&a->over) ||
	       atomic_load(&a->w->half) || attempt_clock(a, az_boot_ms(), &next);
}

/* ---- outcomes ---- */

static enum az_code
conclude(struct attempt *a, const struct az_event *ev, struct az_err *err)
{
	struct trigger t = {.any = true,
	    .ev = *ev,
	    .fence = FENCE_HELD,
	    .token = a->token,
	    .attempt = a->ctx.attempt};

	t.ev.ref = a->ctx.ref;
	t.ev.attempt = a->ctx.attempt;
	return decide(a->w->e, a->w->opt->workflows, a->ctx.workflow_id, &t, err);
}

/* Back to the queue. */
static enum az_code
again(struct attempt *a, int64_t delay_ms, bool lost, const char *reason, const char *message,
    struct az_err *err)
{
	char hb[LOCAL_HEARTBEAT_BYTES];
	struct retry_op o = {.ref = a->ctx.ref,
	    .token = a->token,
	    .delay_ms = delay_ms,
	    .lost = lost,
	    .reason = az_str_c(reason),
	    .message = az_str_c(message)};
	struct az_event ev = {.type = AZ_EV_FN_CANCELED};
	enum az_code rc;

	pthread_mutex_lock(&a->mu);
	o.heartbeat = az_str_n(hb, az_buf_str(&a->hb).n);
	if (o.heartbeat.n)
		memcpy(hb, az_buf_str(&a->hb).p, o.heartbeat.n);
	pthread_mutex_unlock(&a->mu);
	op_init(&o.op, a->ctx.workflow_id, retry_apply);
	rc = op_run(a->w->e, &o.op, err);
	/* cancelled, and not running any more: that is the end of it */
	if (rc == AZ_ECONFLICT)
		rc = conclude(a, &ev, err);
	return rc;
}

static int64_t
backoff(const struct attempt *a, int tries)
{
	double ms = (double)a->opts.retry_initial_ms;
	double max = (double)a->opts.retry_max_ms;

	for (int i = 1; i < tries && ms < max; i++)
		ms *= a->opts.retry_coefficient;
	if (ms > max)
		ms = max;
	/* 80 to 100 %: those that failed together do not come back together */
	return (int64_t)(ms * (0.8 + 0.2 * (double)az_random_below(1000) / 999));
}

enum az_code
attempt_failed(struct attempt *a, const struct failure *f, struct az_err *err)
{
	struct az_event ev = {.type = AZ_EV_FN_FAILED,
	    .reason = az_str_c(f->reason),
	    .message = az_str_c(f->message),
	    .payload = f->details};
	int tries = a->ctx.attempt - a->lost_tries;
	int64_t delay = f->retry_after_ms > 0 ? f->retry_after_ms : backoff(a, tries);

	if (delay > RETRY_AFTER_MAX_MS)
		delay = RETRY_AFTER_MAX_MS;
	if (f->retryable && (a->opts.retry_attempts <= 0 || tries < a->opts.retry_attempts) &&
	    az_boot_ms() + delay < a->dead)
		return again(a, delay, false, f->reason, f->message, err);
	return conclude(a, &ev, err);
}

void
attempt_release(struct attempt *a)
{
	struct az_err err = AZ_ERR_INIT;

	(void)!again(a, 0, true, "worker_stopped", "the worker was stopped", &err);
}

void
attempt_timeout(struct failure *f)
{
	f->code = AZ_ETIMEOUT;
	f->reason = "timeout";
	f->retry_after_ms = 0;
	f->retryable = strcmp(f->message, "schedule_to_close") != 0;
}

static enum az_code
outcome(struct attempt *a, enum az_code code, struct az_buf *result, const struct az_err *why,
    struct az_err *err)
{
	struct az_event ev = {.type = AZ_EV_FN_COMPLETED};
	struct failure f = {.code = code,
	    .message = why->text,
	    .retryable = az_code_retryable(code),
	    .retry_after_ms = why->retry_after_ms};
	int64_t next = LOCAL_NEVER;

	if (!code && (result->fail == AZ_ETOOBIG)) {
		f.reason = "payload_too_large";
		f.message = "the result is over 256 KiB";
		return attempt_failed(a, &f, err);
	}
	if (!code && result->fail) {
		f.code = result->fail;
		f.retryable = true;
		f.reason = az_code_name(result->fail);
		f.message = "out of memory";
		return attempt_failed(a, &f, err);
	}
	if (!code) {
		ev.payload = az_buf_str(result);
		return conclude(a, &ev, err);
	}
	if (code == AZ_ECANCELLED && atomic_load(&a->cancel)) {
		ev.type = AZ_EV_FN_CANCELED;
		ev.payload = az_buf_str(result);
		return conclude(a, &ev, err);
	}
	/* told to stop because its time was up, and quicker than the dispatcher */
	if (code == AZ_ECANCELLED && (f.message = attempt_clock(a, az_boot_ms(), &next))) {
		attempt_timeout(&f);
		return attempt_failed(a, &f, err);
	}
	f.message = why->text;
	if (code == AZ_ECANCELLED && atomic_load(&a->w->draining))
		return again(a, 0, true, "worker_stopped", "the worker was stopped", err);
	f.reason = why->reason[0] ? why->reason : az_code_name(code);
	f.details = az_buf_str(result);
	return attempt_failed(a, &f, err);
}

/* Bring the outcome into the journal, or else that there can be none. */
static enum az_code
settle(struct attempt *a, enum az_code code, struct az_buf *result, const struct az_err *why,
    struct az_err *err)
{
	enum az_code rc = outcome(a, code, result, why, err);
	struct az_err told = *err;
	struct failure f = {.code = AZ_EINTERNAL, .reason = "internal", .message = told.text};

	/* done, not ours any more, or over in a while */
	if (!rc || rc == AZ_EPRECOND || rc == AZ_EIO || rc == AZ_EUNAVAIL || rc == AZ_ENOMEM)
		return rc;
	az_log(AZ_ERROR, "engine.result", AZ_KE(err));
	return attempt_failed(a, &f, err);
}

/* Wait a while, or until the worker gives up. */
static void
pause_ms(struct worker *w, int64_t ms)
{
	pthread_mutex_lock(&w->mu);
	if (!atomic_load(&w->abandoned))
		az_cond_wait(&w->idle, &w->mu, az_boot_ms() + ms);
	pthread_mutex_unlock(&w->mu);
}

static void
run(struct attempt *a)
{
	struct worker *w = a->w;
	struct az_buf result;
	struct az_err why = AZ_ERR_INIT, err = AZ_ERR_INIT;
	enum az_code code, rc;

	a->ctx.heartbeat = heartbeat;
	a->ctx.cancelled = cancelled;
	a->ctx.engine = a;
	az_buf_init(&result, AZ_LIM_PAYLOAD_BYTES);
	az_log_context(AZ_S(""), a->ctx.workflow_id);
	code = a->fn->run(&a->ctx, w->opt->app, a->input, &result, &why);
	/* work is done: a full or failing disk must not throw it away; and a lease that
	   is kept must be somebody's */
	for (;;) {
		if (atomic_load(&a->lost) || atomic_load(&a->over))
			break;
		rc = settle(a, code, &result, &why, &err);
		if (!rc || rc == AZ_EPRECOND)
			break;
		az_log(AZ_ERROR, "engine.result", AZ_KE(&err));
		if (atomic_load(&w->abandoned))
			break;
		pause_ms(w, AGAIN_MS);
	}
	az_log_context(AZ_S(""), AZ_S(""));
	az_buf_release(&result);
}

void *
fn_thread(void *arg)
{
	struct worker *w = arg;
	struct attempt *a, **at;

	pthread_mutex_lock(&w->mu);
	for (;;) {
		while (!w->queue && !w->quit)
			pthread_cond_wait(&w->cond, &w->mu);
		a = w->queue;
		if (!a)
			break;
		w->queue = a->next;
		a->next = w->running;
		w->running = a;
		pthread_mutex_unlock(&w->mu);
		run(a);
		pthread_mutex_lock(&w->mu);
		for (at = &w->running; *at != a; at = &(*at)->next)
			continue;
		*at = a->next;
		/* freed by the dispatcher, which may be looking at it */
		a->next = w->done;
		w->done = a;
		w->n_busy--;
		poke(w);
	}
	w->n_threads--;
	poke(w);
	pthread_mutex_unlock(&w->mu);
	return NULL;
}
