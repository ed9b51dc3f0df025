/* What every engine does, whichever it is. Adapters: a row in the table below. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include <azlon/engine.h>
#include <azlon/limits.h>
#include <azlon/path.h>
#include "toy_flow.h"

/* Where engines may differ, and how this one does. What is not here is the same on all. */
struct adapter {
	const char *name;
	struct az_engine *(*open)(const char *dir);
	int64_t patience_ms; /* how long a test waits for what must happen */
	/* times are ours alone, so that a test may say how soon; a server's are not */
	bool prompt;
	/* event ids are 1, 2, 3 …, and last_event is one of them; else they only rise, and
	   the engine counts bookkeeping of its own between them */
	bool gapless;
	/* lists are up to date, newest first, and counts are by owner; else an index
	   trails, and a count goes by the hints */
	bool exact_lists;
	bool removes_at_once; /* else some time after it said yes */
	/* a history that the fold cannot have made fails the run; else the run stays open
	   for a worker that knows better */
	bool fails_bad_history;
	bool knows_no_worker; /* has_worker ends with the worker; else a minute later */
	bool stop_is_free;    /* a worker that stops uses up no try of its functions */
	bool cancels_once;    /* a repeated cancel leaves no second event */
};

static struct az_engine *
local_engine(const char *dir)
{
	struct az_engine_local_opts o = {.dir = dir};
	struct az_engine *e;
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_local_open(&o, &e, &err))
		fail_msg("%s", err.text);
	return e;
}

/* A real server, where there is one: AZ_TEMPORAL=host:port (tests/e2e starts it and runs
   this program). Each directory gets an engine of its own there. */
static struct az_engine *
restack_engine(const char *dir)
{
	struct az_engine_restack_opts o = {.address = getenv("AZ_TEMPORAL"),
	    .engine_id = strrchr(dir, '-') + 1,
	    .no_endpoints = true};
	struct az_engine *e;
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_restack_open(&o, &e, &err))
		fail_msg("%s", err.text);
	return e;
}

static const struct adapter adapters[] = {
    {.name = "local",
	.open = local_engine,
	.patience_ms = 10000,
	.prompt = true,
	.gapless = true,
	.exact_lists = true,
	.removes_at_once = true,
	.fails_bad_history = true,
	.knows_no_worker = true,
	.stop_is_free = true,
	.cancels_once = true},
    {.name = "restack", .open = restack_engine, .patience_ms = 40000},
};

/* ---- functions ---- */

struct app {
	_Atomic int calls, running;
	_Atomic bool go;
	_Atomic int64_t t[8]; /* when the attempts began */
};

/* Wait a moment without waking for nothing too often. */
static void
moment(void)
{
	struct timespec t;
	sem_t s;

	sem_init(&s, 0, 0);
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += 5000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	while (sem_timedwait(&s, &t) == 0)
		continue;
	sem_destroy(&s);
}

static void
called(struct app *app, struct az_fn_ctx *ctx)
{
	atomic_fetch_add(&app->calls, 1);
	if (ctx->attempt < 8)
		atomic_store(&app->t[ctx->attempt], az_boot_ms());
}

static enum az_code
fn_echo(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)err;
	called(app, ctx);
	az_buf_adds(result, in);
	return AZ_OK;
}

static enum az_code
fn_flaky(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)in;
	called(app, ctx);
	if (ctx->attempt < 3) {
		az_fail(err, AZ_EUNAVAIL, "flaky", "not yet");
		return az_err_reason(err, "away");
	}
	az_buf_addf(result, "%d", ctx->attempt);
	return AZ_OK;
}

static enum az_code
fn_later(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)in;
	called(app, ctx);
	if (ctx->attempt == 1) {
		az_fail(err, AZ_EQUOTA, "later", "slow down");
		err->retry_after_ms = 200;
		return AZ_EQUOTA;
	}
	az_buf_addc(result, "1");
	return AZ_OK;
}

static enum az_code
fn_denied(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)in;
	(void)result;
	called(app, ctx);
	az_fail(err, AZ_EUNPROC, "denied", "no, never");
	return az_err_reason(err, "denied");
}

static enum az_code
fn_big(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)in;
	(void)err;
	called(app, ctx);
	for (size_t i = 0; i <= AZ_LIM_PAYLOAD_BYTES; i++)
		az_buf_addch(result, '1');
	return AZ_OK;
}

/* Until told to stop. */
static enum az_code
fn_hang(
    struct az_fn_ctx *ctx, void *arg, struct az_str in, struct az_buf *result, struct az_err *err)
{
	struct app *app = arg;

	(void)in;
	(void)result;
	called(app, ctx);
	atomic_fetch_add(&app->running, 1);
	while (!ctx->cancelled(ctx))
		moment();
	atomic_fetch_sub(&app->running, 1);
	return az_fail(err, AZ_ECANCELLED, "hang", "told to stop");
}

/* Beats until app->go. */
static enum az_code
fn_beat(
    struct az_fn_ctx *ctx, void *arg, struct az_str in, struct az_buf *result, struct az_err *err)
{
	struct app *app = arg;
	int n = 0;
	char s[40];

	(void)in;
	called(app, ctx);
	while (!atomic_load(&app->go)) {
		snprintf(s, sizeof s, "{\"n\":%d}", ++n);
		ctx->heartbeat(ctx, az_str_c(s));
		moment();
		if (ctx->cancelled(ctx))
			return az_fail(err, AZ_ECANCELLED, "beat", "stop");
	}
	az_buf_addf(result, "%d", ctx->attempt);
	return AZ_OK;
}

/* The second attempt reads what the first one left. */
static enum az_code
fn_heir(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)in;
	called(app, ctx);
	if (ctx->attempt == 1) {
		ctx->heartbeat(ctx, AZ_S("{\"old\":0}"));
		ctx->heartbeat(ctx, AZ_S("{\"will\":7}"));
		return az_fail(err, AZ_EUPSTREAM, "heir", "fell over");
	}
	az_buf_adds(result, ctx->last_heartbeat);
	return AZ_OK;
}

static const struct az_function functions[] = {
    {"echo", fn_echo},
    {"flaky", fn_flaky},
    {"later", fn_later},
    {"denied", fn_denied},
    {"big", fn_big},
    {"hang", fn_hang},
    {"beat", fn_beat},
    {"heir", fn_heir},
    {NULL, NULL},
};

/* ---- fixture: a client and up to two workers on one journal ---- */

struct host {
	struct az_engine *e;
	pthread_t thread;
	struct az_worker opt;
	enum az_code rc;
	struct az_err err;
};

struct fx {
	char dir[64];
	struct az_engine *e;
	struct app app;
	struct host host[2];
	struct az_arena *a;
};

static const struct adapter *adapter;

static int
setup(void **state)
{
	struct fx *f = calloc(1, sizeof *f);

	snprintf(f->dir, sizeof f->dir, "/tmp/az-engine-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->e = adapter->open(f->dir);
	f->a = az_arena_new(AZ_MIB(64));
	*state = f;
	return 0;
}

static void *
host_main(void *arg)
{
	struct host *h = arg;

	h->rc = az_engine_work(h->e, &h->opt, &h->err);
	return NULL;
}

static void
hire(struct fx *f, int i)
{
	struct host *h = &f->host[i];

	h->e = adapter->open(f->dir);
	h->opt.workflows = toy_flows;
	h->opt.functions = functions;
	h->opt.app = &f->app;
	if (!h->opt.drain_ms)
		h->opt.drain_ms = 400;
	assert_int_equal(pthread_create(&h->thread, NULL, host_main, h), 0);
}

static void
dismiss(struct fx *f, int i)
{
	struct host *h = &f->host[i];

	if (!h->e)
		return;
	az_engine_stop(h->e);
	pthread_join(h->thread, NULL);
	if (h->rc)
		fail_msg("work: %s", h->err.text);
	az_engine_close(h->e);
	h->e = NULL;
}

static int
teardown(void **state)
{
	struct fx *f = *state;
	int tmp;

	dismiss(f, 0);
	dismiss(f, 1);
	az_engine_close(f->e);
	az_arena_free(f->a);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY);
	az_remove_tree(tmp, f->dir + 5);
	close(tmp);
	free(f);
	return 0;
}

static void
begin(struct fx *f, const char *id, const char *script)
{
	char input[800];
	struct az_start s = {.workflow_id = az_str_c(id),
	    .type = "Toy",
	    .uid = AZ_S("alice"),
	    .memo = AZ_S("{\"m\":1}")};
	struct az_err err = AZ_ERR_INIT;
	bool existed = true;

	snprintf(input, sizeof input, "\"%s\"", script);
	s.input = az_str_c(input);
	if (az_engine_start(f->e, &s, &existed, &err))
		fail_msg("start: %s", err.text);
	assert_false(existed);
}

static struct az_run_info
info(struct fx *f, const char *id)
{
	struct az_run_info r;
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_describe(f->e, az_str_c(id), f->a, &r, &err))
		fail_msg("describe: %s", err.text);
	return r;
}

/* Follow the run until test says so. */
static struct az_run_info
until(struct fx *f, const char *id, bool (*test)(const struct az_run_info *r, int64_t arg),
    int64_t arg)
{
	int64_t end = az_boot_ms() + adapter->patience_ms, now;
	struct az_err err = AZ_ERR_INIT;

	for (;;) {
		struct az_run_info r = info(f, id);

		if (test(&r, arg))
			return r;
		if (az_boot_ms() > end)
			fail_msg(
			    "%s: state %d after %lld events", id, r.state, (long long)r.last_event);
		if (az_engine_wait(f->e, az_str_c(id), r.version, 1000, NULL, &now, &err))
			fail_msg("wait: %s", err.text);
	}
}

static bool
in_state(const struct az_run_info *r, int64_t state)
{
	return (int64_t)r->state == state;
}

static bool
runs_fn(const struct az_run_info *r, int64_t attempt)
{
	return r->n_pending && r->pending[0].running && r->pending[0].attempt >= (int)attempt;
}

static bool
has_event(const struct az_run_info *r, int64_t n)
{
	return r->last_event >= n;
}

static struct az_run_info
done(struct fx *f, const char *id, enum az_run_state state)
{
	return until(f, id, in_state, (int64_t)state);
}

static struct az_history
history(struct fx *f, const char *id)
{
	struct az_history h;
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_history(f->e, az_str_c(id), 0, 1000, f->a, &h, &err))
		fail_msg("history: %s", err.text);
	for (size_t i = 0; i < h.n; i++) {
		if (adapter->gapless)
			assert_int_equal(h.ev[i].id, i + 1);
		assert_true(h.ev[i].id > (i ? h.ev[i - 1].id : 0));
		assert_true(i == 0 || h.ev[i].t_ms >= h.ev[i - 1].t_ms);
		assert_int_equal(
		    az_ev_is_close(h.ev[i].type), i == h.n - 1 && info(f, id).state != AZ_RUN_OPEN);
	}
	return h;
}

static const struct az_event *
event(const struct az_history *h, enum az_ev_type type)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->ev[i].type == type)
			return &h->ev[i];
	fail_msg("no event %s", az_ev_name(type));
	return NULL;
}

#define assert_str(s, c)                                                                           \
	do {                                                                                       \
		struct az_str s_ = (s);                                                            \
		if (!az_str_eqc(s_, c))                                                            \
			fail_msg("\"%.*s\" is not \"%s\"", AZ_FMT(s_), c);                         \
	} while (0)

/* Which event of the history an id names, from 1; fails when it names none. */
static size_t
place(const struct az_history *h, int64_t id)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->ev[i].id == id)
			return i + 1;
	fail_msg("no event %lld", (long long)id);
	return 0;
}

/* The whole history as text: types, names, and what they refer to by its place:
   "started fn_scheduled:echo fn_completed@2 completed". */
static void
assert_told(const struct az_history *h, const char *want)
{
	struct az_buf b;
	int cancels = 0;

	az_buf_init(&b, AZ_MIB(1));
	for (size_t i = 0; i < h->n; i++) {
		const struct az_event *ev = &h->ev[i];

		if (ev->type == AZ_EV_CANCEL_REQUESTED && cancels++ && !adapter->cancels_once)
			continue;
		az_buf_addf(&b, "%s%s", i ? " " : "", az_ev_name(ev->type));
		if (ev->type != AZ_EV_STARTED && ev->name.n)
			az_buf_addf(&b, ":%.*s", AZ_FMT(ev->name));
		if (ev->ref)
			az_buf_addf(&b, "@%zu", place(h, ev->ref));
	}
	assert_str(az_buf_str(&b), want);
	az_buf_release(&b);
}

/* ---- tests ---- */

static void
start_is_seen_at_once_and_only_once(void **state)
{
	struct fx *f = *state;
	struct az_start s = {.workflow_id = AZ_S("r1"),
	    .type = "Toy",
	    .uid = AZ_S("mallory"),
	    .input = AZ_S("\"fn:echo\"")};
	struct az_run_info r;
	struct az_history h;
	struct az_err err = AZ_ERR_INIT;
	bool existed = false;

	begin(f, "r1", "fn:denied");
	assert_int_equal(az_engine_start(f->e, &s, &existed, &err), AZ_OK);
	assert_true(existed);
	r = info(f, "r1");
	assert_str(r.uid, "alice");
	assert_str(r.type, "Toy");
	assert_str(r.memo, "{\"m\":1}");
	assert_int_equal(r.state, AZ_RUN_OPEN);
	assert_int_equal(r.n_pending, 0);
	assert_int_equal(r.close_ms, 0);
	assert_false(r.has_worker);
	h = history(f, "r1");
	assert_told(&h, "started");
	assert_str(h.ev[0].payload, "\"fn:denied\"");
	assert_true(adapter->gapless ? r.last_event == 1 : r.last_event >= h.ev[0].id);
}

static void
bad_arguments_are_refused(void **state)
{
	static const char *const ids[] = {"", "a b", "a/b", "a.b", "\xc3\xa4"};
	struct fx *f = *state;
	char *big = calloc(1, AZ_LIM_PAYLOAD_BYTES + 1);
	struct az_start s = {.type = "Toy", .uid = AZ_S("u"), .input = AZ_S("{}")};
	struct az_err err;
	struct az_run_info r;
	int64_t v;
	bool ex;

	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		s.workflow_id = az_str_c(ids[i]);
		assert_int_equal(az_engine_start(f->e, &s, &ex, &err), AZ_EINVAL);
	}
	s.workflow_id = AZ_S("ok");
	s.input = az_str_n(big, AZ_LIM_PAYLOAD_BYTES + 1);
	assert_int_equal(az_engine_start(f->e, &s, &ex, &err), AZ_ETOOBIG);
	assert_int_equal(az_engine_describe(f->e, AZ_S("ok"), f->a, &r, &err), AZ_ENOTFOUND);
	assert_int_equal(az_engine_wait(f->e, AZ_S("ok"), 1, 1000, NULL, &v, &err), AZ_ENOTFOUND);
	assert_int_equal(az_engine_signal(f->e, AZ_S("ok"), "s", AZ_S("1"), &err), AZ_ENOTFOUND);
	assert_int_equal(az_engine_cancel(f->e, AZ_S("ok"), AZ_S("1"), &err), AZ_ENOTFOUND);
	assert_int_equal(az_engine_remove(f->e, AZ_S("ok"), &err), AZ_ENOTFOUND);
	free(big);
}

static void
a_run_goes_from_function_to_function(void **state)
{
	struct fx *f = *state;
	struct az_history h;
	struct az_run_info r;

	hire(f, 0);
	begin(f, "r1", "fn:flaky fn:echo");
	r = done(f, "r1", AZ_RUN_COMPLETED);
	assert_str(r.close_payload, "3");
	assert_true(r.close_ms >= r.start_ms);
	assert_true(r.has_worker);
	assert_int_equal(r.n_pending, 0);
	h = history(f, "r1");
	assert_told(&h, "started fn_scheduled:flaky fn_completed@2 fn_scheduled:echo "
			"fn_completed@4 completed");
	assert_str(h.ev[1].payload, "null");
	assert_int_equal(h.ev[2].attempt, 3);
	assert_str(h.ev[3].payload, "3");
	assert_int_equal(h.ev[4].attempt, 1);
	assert_str(h.ev[5].payload, "3");
	assert_int_equal(atomic_load(&f->app.calls), 4);
}

static void
history_is_read_in_parts(void **state)
{
	struct fx *f = *state;
	struct az_history all, h;
	struct az_err err;

	hire(f, 0);
	begin(f, "r1", "fn:echo fn:echo");
	done(f, "r1", AZ_RUN_COMPLETED);
	all = history(f, "r1");
	assert_int_equal(
	    az_engine_history(f->e, AZ_S("r1"), all.ev[1].id, 3, f->a, &h, &err), AZ_OK);
	assert_int_equal(h.n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(h.ev[i].id, all.ev[2 + i].id);
		assert_int_equal(h.ev[i].type, all.ev[2 + i].type);
	}
	assert_int_equal(
	    az_engine_history(f->e, AZ_S("r1"), all.ev[5].id, 3, f->a, &h, &err), AZ_OK);
	assert_int_equal(h.n, 0);
}

static void
what_is_not_retryable_fails_at_once(void **state)
{
	struct fx *f = *state;
	struct az_history h;
	const struct az_event *ev;

	hire(f, 0);
	begin(f, "r1", "fn:denied");
	done(f, "r1", AZ_RUN_FAILED);
	h = history(f, "r1");
	ev = event(&h, AZ_EV_FN_FAILED);
	assert_str(ev->reason, "denied");
	assert_str(ev->message, "no, never");
	assert_int_equal(ev->attempt, 1);
	assert_told(&h, "started fn_scheduled:denied fn_failed@2 failed");
	assert_str(event(&h, AZ_EV_FAILED)->reason, "denied");
	assert_str(event(&h, AZ_EV_FAILED)->message, "no, never");
	assert_int_equal(atomic_load(&f->app.calls), 1);
}

static void
retries_end_with_the_policy(void **state)
{
	struct fx *f = *state;
	struct az_history h;

	hire(f, 0);
	begin(f, "r1", "fn:flaky,tries=2");
	done(f, "r1", AZ_RUN_FAILED);
	h = history(f, "r1");
	assert_str(event(&h, AZ_EV_FN_FAILED)->reason, "away");
	assert_int_equal(event(&h, AZ_EV_FN_FAILED)->attempt, 2);
	assert_int_equal(atomic_load(&f->app.calls), 2);
}

static void
retry_after_is_honoured(void **state)
{
	struct fx *f = *state;

	hire(f, 0);
	begin(f, "r1", "fn:later");
	done(f, "r1", AZ_RUN_COMPLETED);
	assert_true(atomic_load(&f->app.t[2]) - atomic_load(&f->app.t[1]) >= 200);
}

static bool
waits_for_retry(const struct az_run_info *r, int64_t attempt)
{
	return r->n_pending && !r->pending[0].running && r->pending[0].attempt == (int)attempt;
}

static void
a_waiting_retry_can_be_seen_and_cancelled(void **state)
{
	struct fx *f = *state;
	struct az_run_info r;
	struct az_history h;
	struct az_err err;

	hire(f, 0);
	begin(f, "r1", "fn:flaky,init=60000");
	r = until(f, "r1", waits_for_retry, 2);
	assert_str(r.pending[0].name, "flaky");
	assert_str(r.pending[0].last_reason, "away");
	assert_str(r.pending[0].last_message, "not yet");
	assert_true(r.pending[0].next_ms > az_wall_ms() + 40000);
	assert_int_equal(az_engine_cancel(f->e, AZ_S("r1"), AZ_S("{}"), &err), AZ_OK);
	done(f, "r1", AZ_RUN_CANCELED);
	h = history(f, "r1");
	assert_told(&h, "started fn_scheduled:flaky cancel_requested fn_cancel_requested@2 "
			"fn_canceled@2 canceled");
	assert_int_equal(atomic_load(&f->app.calls), 1);
}

static void
each_clock_runs_out_with_its_name(void **state)
{
	static const struct {
		const char *script, *message;
		int calls;
	} cases[] = {
	    {"fn:hang,stc=60,tries=2", "start_to_close", 2},
	    {"fn:hang,sch=500", "schedule_to_close", 1},
	    {"fn:hang,hb=60,tries=1", "heartbeat", 1},
	};
	struct fx *f = *state;
	char id[16];

	hire(f, 0);
	for (int i = 0; i < 3; i++) {
		struct az_history h;

		atomic_store(&f->app.calls, 0);
		snprintf(id, sizeof id, "r%d", i);
		begin(f, id, cases[i].script);
		done(f, id, AZ_RUN_FAILED);
		h = history(f, id);
		assert_str(event(&h, AZ_EV_FN_FAILED)->reason, "timeout");
		assert_str(event(&h, AZ_EV_FN_FAILED)->message, cases[i].message);
		assert_int_equal(atomic_load(&f->app.calls), cases[i].calls);
	}
}

static void
schedule_to_close_counts_without_a_worker_too(void **state)
{
	struct fx *f = *state;
	struct az_history h;

	/* hosts the workflow, but not this function */
	hire(f, 0);
	begin(f, "r1", "fn:nobody,sch=80");
	done(f, "r1", AZ_RUN_FAILED);
	h = history(f, "r1");
	assert_str(event(&h, AZ_EV_FN_FAILED)->reason, "timeout");
	assert_str(event(&h, AZ_EV_FN_FAILED)->message, "schedule_to_close");
}

/* How often fn_beat did, as its run shows it; 0 before the first one is seen. */
static int64_t
beat_of(const struct az_run_info *r)
{
	struct az_str s = r->n_pending ? r->pending[0].heartbeat : AZ_S("");
	int64_t n = 0;

	if (s.n == 0)
		return 0;
	assert_true(az_str_starts(s, AZ_S("{\"n\":")));
	assert_true(az_str_to_i64(az_str_sub(s, 5, s.n - 1), 1, 1000000, &n));
	return n;
}

static bool
beats(const struct az_run_info *r, int64_t n)
{
	return beat_of(r) >= n;
}

static void
heartbeats_are_seen_while_it_runs(void **state)
{
	struct fx *f = *state;
	struct az_run_info one, two;

	hire(f, 0);
	begin(f, "r1", "fn:beat,hb=5000");
	one = until(f, "r1", beats, 1);
	two = until(f, "r1", beats, beat_of(&one) + 1);
	assert_int_not_equal(one.version, two.version);
	assert_int_equal(one.last_event, two.last_event);
	assert_true(two.pending[0].running);
	atomic_store(&f->app.go, true);
	assert_str(done(f, "r1", AZ_RUN_COMPLETED).close_payload, "1");
}

static void
heartbeats_keep_a_function_alive(void **state)
{
	struct fx *f = *state;

	hire(f, 0);
	begin(f, "r1", "fn:beat,hb=1000,tries=1");
	until(f, "r1", beats, 260); /* longer than that */
	atomic_store(&f->app.go, true);
	done(f, "r1", AZ_RUN_COMPLETED);
}

static void
the_next_attempt_inherits_the_heartbeat(void **state)
{
	struct fx *f = *state;

	hire(f, 0);
	begin(f, "r1", "fn:heir");
	assert_str(done(f, "r1", AZ_RUN_COMPLETED).close_payload, "{\"will\":7}");
}

static void
timers_fire_in_time(void **state)
{
	struct fx *f = *state;
	int64_t begun = az_boot_ms(), took;
	struct az_history h;

	hire(f, 0);
	begin(f, "r1", "timer:150 fn:echo");
	done(f, "r1", AZ_RUN_COMPLETED);
	took = az_boot_ms() - begun;
	assert_true(took >= 150 && (took < 3000 || !adapter->prompt));
	h = history(f, "r1");
	assert_told(
	    &h, "started timer_started timer_fired@2 fn_scheduled:echo fn_completed@4 completed");
	assert_str(h.ev[1].payload, "150");
}

static void
signals_reach_the_fold(void **state)
{
	struct fx *f = *state;
	struct az_history h;
	struct az_err err;

	/* one before any worker saw the run, one after */
	begin(f, "r1", "signal signal fn:echo");
	assert_int_equal(
	    az_engine_signal(f->e, AZ_S("r1"), "hint", AZ_S("{\"x\":1}"), &err), AZ_OK);
	hire(f, 0);
	assert_int_equal(
	    az_engine_signal(f->e, AZ_S("r1"), "hint", AZ_S("{\"x\":2}"), &err), AZ_OK);
	assert_str(done(f, "r1", AZ_RUN_COMPLETED).close_payload, "{\"x\":2}");
	h = history(f, "r1");
	assert_str(event(&h, AZ_EV_SIGNALED)->name, "hint");
	assert_int_equal(az_engine_signal(f->e, AZ_S("r1"), "hint", AZ_S("1"), &err), AZ_ECONFLICT);
}

static void
cancel_reaches_a_running_function(void **state)
{
	struct fx *f = *state;
	struct az_history h;
	struct az_err err;
	int64_t t;

	hire(f, 0);
	begin(f, "r1", "fn:hang");
	until(f, "r1", runs_fn, 1);
	t = az_boot_ms();
	for (int i = 0; i < 3; i++) { /* idempotent, until it is over */
		enum az_code rc =
		    az_engine_cancel(f->e, AZ_S("r1"), AZ_S("{\"mode\":\"now\"}"), &err);

		assert_true(rc == AZ_OK || (i && rc == AZ_ECONFLICT));
	}
	done(f, "r1", AZ_RUN_CANCELED);
	assert_true(az_boot_ms() - t < 1000 || !adapter->prompt);
	h = history(f, "r1");
	assert_told(&h, "started fn_scheduled:hang cancel_requested fn_cancel_requested@2 "
			"fn_canceled@2 canceled");
	assert_str(event(&h, AZ_EV_CANCEL_REQUESTED)->payload, "{\"mode\":\"now\"}");
	assert_str(event(&h, AZ_EV_CANCELED)->payload, "{\"c\":1}");
	assert_int_equal(az_engine_cancel(f->e, AZ_S("r1"), AZ_S("{}"), &err), AZ_ECONFLICT);
}

static void
cancel_before_any_worker_is_not_lost(void **state)
{
	struct fx *f = *state;
	struct az_err err;

	begin(f, "r1", "fn:echo");
	assert_int_equal(az_engine_cancel(f->e, AZ_S("r1"), AZ_S("{}"), &err), AZ_OK);
	hire(f, 0);
	done(f, "r1", AZ_RUN_CANCELED);
	assert_int_equal(atomic_load(&f->app.calls), 0);
}

static void
terminate_ends_everything(void **state)
{
	struct fx *f = *state;
	struct az_history h;
	struct az_err err;

	hire(f, 0);
	begin(f, "r1", "fn:hang");
	until(f, "r1", runs_fn, 1);
	assert_int_equal(az_engine_terminate(f->e, AZ_S("r1"), "operator", &err), AZ_OK);
	assert_int_equal(info(f, "r1").state, AZ_RUN_TERMINATED);
	h = history(f, "r1");
	assert_told(&h, "started fn_scheduled:hang terminated");
	assert_str(h.ev[2].reason, "operator");
	/* the function is told; its end changes nothing */
	for (int64_t end = az_boot_ms() + adapter->patience_ms;
	     atomic_load(&f->app.running) && az_boot_ms() < end;)
		moment();
	assert_int_equal(atomic_load(&f->app.running), 0);
	assert_int_equal(history(f, "r1").n, 3);
	assert_int_equal(az_engine_terminate(f->e, AZ_S("r1"), "x", &err), AZ_ECONFLICT);
}

static void
only_what_is_over_is_removed(void **state)
{
	struct fx *f = *state;
	struct az_run_info r;
	struct az_err err;

	begin(f, "r1", "fn:echo");
	assert_int_equal(az_engine_remove(f->e, AZ_S("r1"), &err), AZ_ECONFLICT);
	hire(f, 0);
	done(f, "r1", AZ_RUN_COMPLETED);
	assert_int_equal(az_engine_remove(f->e, AZ_S("r1"), &err), AZ_OK);
	if (!adapter->removes_at_once)
		return;
	assert_int_equal(az_engine_describe(f->e, AZ_S("r1"), f->a, &r, &err), AZ_ENOTFOUND);
	begin(f, "r1", "fn:echo");
	done(f, "r1", AZ_RUN_COMPLETED);
}

static void
a_result_over_the_limit_fails_the_function(void **state)
{
	struct fx *f = *state;
	struct az_history h;

	hire(f, 0);
	begin(f, "r1", "fn:big");
	done(f, "r1", AZ_RUN_FAILED);
	h = history(f, "r1");
	assert_str(event(&h, AZ_EV_FN_FAILED)->reason, "payload_too_large");
	assert_int_equal(atomic_load(&f->app.calls), 1);
}

/* The function's end is in the history, and the fold's answer behind it: the run's end, or
   a task that failed (restack: started, task of 3, function of 3, task of 3). */
static bool
refused(const struct az_run_info *r, int64_t unused)
{
	(void)unused;
	return adapter->fails_bad_history ? r->state == AZ_RUN_FAILED : r->last_event >= 10;
}

static void
an_impossible_history_goes_no_further(void **state)
{
	struct fx *f = *state;
	struct az_history h;

	hire(f, 0);
	begin(f, "r1", "fn:echo bad");
	until(f, "r1", refused, 0);
	/* it harms no other */
	begin(f, "r2", "fn:echo");
	done(f, "r2", AZ_RUN_COMPLETED);
	h = history(f, "r1");
	if (!adapter->fails_bad_history) {
		assert_told(&h, "started fn_scheduled:echo fn_completed@2");
		assert_int_equal(info(f, "r1").state, AZ_RUN_OPEN);
		return;
	}
	assert_told(&h, "started fn_scheduled:echo fn_completed@2 failed");
	assert_str(h.ev[3].reason, "nondeterminism");
	assert_str(h.ev[3].message, "bad history");
}

/* All rows of a query, page by page, of the owner only; how many are in this state. */
static size_t
rows(struct fx *f, struct az_list_query q, bool (*test)(const struct az_run_info *r, int64_t arg),
    int64_t arg)
{
	struct az_list_page p;
	struct az_err err = AZ_ERR_INIT;
	struct az_str last = {0};
	int64_t last_ms = INT64_MAX;
	unsigned seen = 0, bit;
	size_t n = 0;

	do {
		if (az_engine_list(f->e, &q, f->a, &p, &err))
			fail_msg("list: %s", err.text);
		assert_true(p.n <= (size_t)q.limit);
		for (size_t i = 0; i < p.n; i++) {
			struct az_run_info *r = &p.runs[i];

			assert_str(r->uid, "alice");
			assert_str(r->memo, "{\"m\":1}");
			assert_str(r->type, "Toy");
			assert_int_equal(r->workflow_id.n, 2);
			bit = 1u << (r->workflow_id.p[1] - '0');
			assert_false(seen & bit); /* once each */
			seen |= bit;
			if (adapter->exact_lists)
				assert_true(r->start_ms < last_ms ||
					    (r->start_ms == last_ms &&
						az_str_cmp(r->workflow_id, last) < 0));
			last = r->workflow_id;
			last_ms = r->start_ms;
			n += test(r, arg);
		}
		q.cursor = p.next;
	} while (p.next.n);
	return n;
}

/* The same, as soon as it is so. */
static void
lists(struct fx *f, const struct az_list_query *q,
    bool (*test)(const struct az_run_info *r, int64_t arg), int64_t arg, size_t want)
{
	int64_t end = az_boot_ms() + adapter->patience_ms;
	size_t n;

	while ((n = rows(f, *q, test, arg)) != want && !adapter->exact_lists && az_boot_ms() < end)
		moment();
	assert_int_equal(n, want);
}

static bool
any(const struct az_run_info *r, int64_t unused)
{
	(void)r;
	(void)unused;
	return true;
}

static void
lists_page_newest_first_and_by_owner(void **state)
{
	struct fx *f = *state;
	struct az_start other = {
	    .workflow_id = AZ_S("other"), .type = "Toy", .uid = AZ_S("bob"), .input = AZ_S("\"\"")};
	struct az_list_query q = {.uid = AZ_S("alice"), .limit = 3};
	struct az_list_page p;
	struct az_err err = AZ_ERR_INIT;
	int64_t open;
	char id[16];
	bool ex;

	assert_int_equal(az_engine_start(f->e, &other, &ex, &err), AZ_OK);
	for (int i = 0; i < 10; i++) {
		snprintf(id, sizeof id, "r%d", i);
		begin(f, id, "signal");
	}
	assert_int_equal(az_engine_terminate(f->e, AZ_S("r4"), "t", &err), 0);
	lists(f, &q, in_state, AZ_RUN_OPEN, 9); /* an index that trails has them all by now … */
	lists(f, &q, any, 0, 10);
	q.limit = 200;
	q.state = AZ_RUN_TERMINATED;
	lists(f, &q, in_state, AZ_RUN_TERMINATED, 1);
	assert_int_equal(az_engine_list(f->e, &q, f->a, &p, &err), AZ_OK);
	assert_int_equal(p.n, 1);
	assert_str(p.runs[0].workflow_id, "r4");
	q.state = AZ_RUN_OPEN;
	lists(f, &q, any, 0, 9);
	q.prefix = AZ_S("r");
	q.type = AZ_S("Toy");
	lists(f, &q, any, 0, 9);
	assert_int_equal(az_engine_count(f->e, &q, &open, &err), AZ_OK);
	assert_int_equal(open, 9);
	q.cursor = AZ_S("x");
	assert_int_equal(az_engine_list(f->e, &q, f->a, &p, &err), AZ_EINVAL);
}

static void
wait_returns_in_time_or_when_told(void **state)
{
	struct fx *f = *state;
	struct az_run_info r;
	struct az_err err;
	bool stop = true;
	int64_t t = az_boot_ms(), now;

	begin(f, "r1", "signal");
	r = info(f, "r1");
	assert_int_equal(az_engine_wait(f->e, AZ_S("r1"), r.version, 50, NULL, &now, &err), AZ_OK);
	assert_int_equal(now, r.version);
	assert_true(az_boot_ms() - t >= 50);
	assert_int_equal(
	    az_engine_wait(f->e, AZ_S("r1"), r.version, 60000, &stop, &now, &err), AZ_OK);
	assert_int_equal(
	    az_engine_wait(f->e, AZ_S("r1"), r.version - 1, 60000, NULL, &now, &err), AZ_OK);
	assert_int_equal(now, r.version);
	assert_true(az_boot_ms() - t < 20000);
}

static void
a_stopped_worker_hands_its_function_over(void **state)
{
	struct fx *f = *state;
	struct az_run_info r;
	struct az_history h;

	hire(f, 0);
	begin(f, "r1", adapter->stop_is_free ? "fn:beat,tries=1" : "fn:beat,tries=2");
	until(f, "r1", beats, 2);
	dismiss(f, 0); /* told at half of its 400 ms */
	r = info(f, "r1");
	assert_int_equal(r.has_worker, !adapter->knows_no_worker);
	assert_false(r.pending[0].running);
	assert_int_equal(r.pending[0].attempt, 2);
	assert_true(beats(&r, 2)); /* kept for the next one */
	atomic_store(&f->app.go, true);
	hire(f, 1);
	/* where a stop is free, the only try allowed was not used up */
	done(f, "r1", AZ_RUN_COMPLETED);
	h = history(f, "r1");
	assert_int_equal(event(&h, AZ_EV_FN_COMPLETED)->attempt, 2);
}

static void
two_workers_share_without_doing_anything_twice(void **state)
{
	enum { RUNS = 40 };
	struct fx *f = *state;
	struct az_history h;
	char id[16];

	hire(f, 0);
	hire(f, 1);
	for (int i = 0; i < RUNS; i++) {
		snprintf(id, sizeof id, "r%d", i);
		begin(f, id, "fn:echo timer:1 fn:echo");
	}
	for (int i = 0; i < RUNS; i++) {
		snprintf(id, sizeof id, "r%d", i);
		done(f, id, AZ_RUN_COMPLETED);
		h = history(f, id);
		assert_told(&h, "started fn_scheduled:echo fn_completed@2 timer_started "
				"timer_fired@4 fn_scheduled:echo fn_completed@6 completed");
	}
	assert_int_equal(atomic_load(&f->app.calls), 2 * RUNS);
}

/* More events than a server gives at once. */
static void
a_long_history_is_read_whole(void **state)
{
	enum { FUNCTIONS = 80 };
	struct fx *f = *state;
	char script[FUNCTIONS * 8 + 1] = "";
	struct az_history h;

	for (int i = 0; i < FUNCTIONS; i++)
		memcpy(script + (size_t)i * 8, "fn:echo ", 9);
	hire(f, 0);
	begin(f, "r1", script);
	done(f, "r1", AZ_RUN_COMPLETED);
	h = history(f, "r1");
	assert_int_equal(h.n, 2 + 2 * FUNCTIONS);
	for (size_t i = 1; i < h.n - 1; i += 2) {
		assert_int_equal(h.ev[i].type, AZ_EV_FN_SCHEDULED);
		assert_int_equal(h.ev[i + 1].type, AZ_EV_FN_COMPLETED);
		assert_int_equal(h.ev[i + 1].ref, h.ev[i].id);
	}
	assert_int_equal(atomic_load(&f->app.calls), FUNCTIONS);
}

static void
it_answers_a_ping(void **state)
{
	struct fx *f = *state;
	struct az_err err;

	assert_int_equal(az_engine_ping(f->e, &err), AZ_OK);
	until(f, (begin(f, "r1", ""), "r1"), has_event, 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* An argument picks cases by their name: "lists_*". */
int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    T(start_is_seen_at_once_and_only_once),
	    T(bad_arguments_are_refused),
	    T(a_run_goes_from_function_to_function),
	    T(history_is_read_in_parts),
	    T(what_is_not_retryable_fails_at_once),
	    T(retries_end_with_the_policy),
	    T(retry_after_is_honoured),
	    T(a_waiting_retry_can_be_seen_and_cancelled),
	    T(each_clock_runs_out_with_its_name),
	    T(schedule_to_close_counts_without_a_worker_too),
	    T(heartbeats_are_seen_while_it_runs),
	    T(heartbeats_keep_a_function_alive),
	    T(the_next_attempt_inherits_the_heartbeat),
	    T(timers_fire_in_time),
	    T(signals_reach_the_fold),
	    T(cancel_reaches_a_running_function),
	    T(cancel_before_any_worker_is_not_lost),
	    T(terminate_ends_everything),
	    T(only_what_is_over_is_removed),
	    T(a_result_over_the_limit_fails_the_function),
	    T(an_impossible_history_goes_no_further),
	    T(lists_page_newest_first_and_by_owner),
	    T(wait_returns_in_time_or_when_told),
	    T(a_stopped_worker_hands_its_function_over),
	    T(two_workers_share_without_doing_anything_twice),
	    T(a_long_history_is_read_whole),
	    T(it_answers_a_ping),
	};
	int failed = 0;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++) {
		adapter = &adapters[i];
		if ((adapter->open == restack_engine) != (getenv("AZ_TEMPORAL") != NULL))
			continue;
		failed += cmocka_run_group_tests_name(adapter->name, tests, NULL, NULL);
	}
	return failed;
}
