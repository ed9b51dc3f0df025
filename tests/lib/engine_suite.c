/* A client and up to two workers on one journal, and what tests ask of them. */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include <azlon/path.h>
#include "engine_suite.h"
#include "toy_flow.h"

const struct engine_adapter *engine_adapter;

/* Wait a moment without waking for nothing too often. */
void
engine_moment(void)
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

int
engine_setup(void **state)
{
	struct engine_fx *f = calloc(1, sizeof *f);

	snprintf(f->dir, sizeof f->dir, "/tmp/az-engine-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->e = engine_adapter->open(f->dir);
	f->a = az_arena_new(AZ_MIB(64));
	*state = f;
	return 0;
}

static void *
host_main(void *arg)
{
	struct engine_host *h = arg;

	h->rc = az_engine_work(h->e, &h->opt, &h->err);
	return NULL;
}

void
engine_hire(struct engine_fx *f, int i)
{
	struct engine_host *h = &f->host[i];

	h->e = engine_adapter->open(f->dir);
	h->opt.workflows = toy_flows;
	h->opt.functions = engine_functions;
	h->opt.app = &f->app;
	if (!h->opt.drain_ms)
		h->opt.drain_ms = 400;
	assert_int_equal(pthread_create(&h->thread, NULL, host_main, h), 0);
}

void
engine_dismiss(struct engine_fx *f, int i)
{
	struct engine_host *h = &f->host[i];

	if (!h->e)
		return;
	az_engine_stop(h->e);
	pthread_join(h->thread, NULL);
	if (h->rc)
		fail_msg("work: %s", h->err.text);
	az_engine_close(h->e);
	h->e = NULL;
}

int
engine_teardown(void **state)
{
	struct engine_fx *f = *state;
	int tmp;

	engine_dismiss(f, 0);
	engine_dismiss(f, 1);
	az_engine_close(f->e);
	az_arena_free(f->a);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY);
	az_remove_tree(tmp, f->dir + 5);
	close(tmp);
	free(f);
	return 0;
}

void
engine_begin(struct engine_fx *f, const char *id, const char *script)
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

struct az_run_info
engine_info(struct engine_fx *f, const char *id)
{
	struct az_run_info r;
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_describe(f->e, az_str_c(id), f->a, &r, &err))
		fail_msg("describe: %s", err.text);
	return r;
}

/* Follow the run until test says so. */
struct az_run_info
engine_until(struct engine_fx *f, const char *id,
    bool (*test)(const struct az_run_info *r, int64_t arg), int64_t arg)
{
	int64_t end = az_boot_ms() + engine_adapter->patience_ms, now;
	struct az_err err = AZ_ERR_INIT;

	for (;;) {
		struct az_run_info r = engine_info(f, id);

		if (test(&r, arg))
			return r;
		if (az_boot_ms() > end)
			fail_msg(
			    "%s: state %d after %lld events", id, r.state, (long long)r.last_event);
		if (az_engine_wait(f->e, az_str_c(id), r.version, 1000, NULL, &now, &err))
			fail_msg("wait: %s", err.text);
	}
}

bool
engine_in_state(const struct az_run_info *r, int64_t state)
{
	return (int64_t)r->state == state;
}

bool
engine_runs_fn(const struct az_run_info *r, int64_t attempt)
{
	return r->n_pending && r->pending[0].running && r->pending[0].attempt >= (int)attempt;
}

struct az_run_info
engine_done(struct engine_fx *f, const char *id, enum az_run_state state)
{
	return engine_until(f, id, engine_in_state, (int64_t)state);
}

struct az_history
engine_history(struct engine_fx *f, const char *id)
{
	struct az_history h;
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_history(f->e, az_str_c(id), 0, 1000, f->a, &h, &err))
		fail_msg("history: %s", err.text);
	for (size_t i = 0; i < h.n; i++) {
		if (engine_adapter->gapless)
			assert_int_equal(h.ev[i].id, i + 1);
		assert_true(h.ev[i].id > (i ? h.ev[i - 1].id : 0));
		assert_true(i == 0 || h.ev[i].t_ms >= h.ev[i - 1].t_ms);
		assert_int_equal(az_ev_is_close(h.ev[i].type),
		    i == h.n - 1 && engine_info(f, id).state != AZ_RUN_OPEN);
	}
	return h;
}

const struct az_event *
engine_event(const struct az_history *h, enum az_ev_type type)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->ev[i].type == type)
			return &h->ev[i];
	fail_msg("no event %s", az_ev_name(type));
	return NULL;
}

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
void
assert_told(const struct az_history *h, const char *want)
{
	struct az_buf b;
	int cancels = 0;

	az_buf_init(&b, AZ_MIB(1));
	for (size_t i = 0; i < h->n; i++) {
		const struct az_event *ev = &h->ev[i];

		if (ev->type == AZ_EV_CANCEL_REQUESTED && cancels++ &&
		    !engine_adapter->cancels_once)
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

/* How often fn_beat did, as its run shows it; 0 before the first one is seen. */
int64_t
engine_beat_of(const struct az_run_info *r)
{
	struct az_str s = r->n_pending ? r->pending[0].heartbeat : AZ_S("");
	int64_t n = 0;

	if (s.n == 0)
		return 0;
	assert_true(az_str_starts(s, AZ_S("{\"n\":")));
	assert_true(az_str_to_i64(az_str_sub(s, 5, s.n - 1), 1, 1000000, &n));
	return n;
}

bool
engine_beats(const struct az_run_info *r, int64_t n)
{
	return engine_beat_of(r) >= n;
}
