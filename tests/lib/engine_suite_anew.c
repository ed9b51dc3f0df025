/* Contract of engines: a workflow that ends and is started by the next signal, and one whose
   history begins anew. */
#include <stdio.h>
#include <azlon/clock.h>
#include "engine_suite.h"

static void
tell(struct engine_fx *f, const char *type, const char *script, const char *payload)
{
	struct az_start s = {.workflow_id = AZ_S("r1"),
	    .type = type,
	    .uid = AZ_S("alice"),
	    .input = az_str_c(script),
	    .memo = AZ_S("{\"m\":1}")};
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_signal_start(f->e, &s, "hint", az_str_c(payload), &err))
		fail_msg("signal_start: %s", err.text);
}

void
engine_test_a_signal_starts_what_is_not_open(void **state)
{
	struct engine_fx *f = *state;
	struct az_start s = {.workflow_id = AZ_S("a b"), .type = "Toy", .uid = AZ_S("alice")};
	struct az_err err = AZ_ERR_INIT;
	struct az_run_info r;
	struct az_history h;
	bool existed = false;

	assert_int_equal(az_engine_signal_start(f->e, &s, "hint", AZ_S("1"), &err), AZ_EINVAL);
	tell(f, "Toy", "\"signal signal fn:echo\"", "1");
	r = engine_info(f, "r1");
	assert_int_equal(r.state, AZ_RUN_OPEN);
	assert_str(r.uid, "alice");
	assert_str(r.memo, "{\"m\":1}");
	/* it is open: this one is told, and nothing else of the start counts */
	tell(f, "Toy", "\"fn:denied\"", "{\"x\":2}");
	h = engine_history(f, "r1");
	assert_told(&h, "started signaled:hint signaled:hint");
	assert_str(h.ev[0].payload, "\"signal signal fn:echo\"");
	assert_str(h.ev[2].payload, "{\"x\":2}");
	engine_hire(f, 0);
	assert_str(engine_done(f, "r1", AZ_RUN_COMPLETED).close_payload, "{\"x\":2}");
	/* it is over: another takes its place, under the same id */
	tell(f, "Toy", "\"signal fn:echo\"", "{\"x\":3}");
	assert_str(engine_done(f, "r1", AZ_RUN_COMPLETED).close_payload, "{\"x\":3}");
	h = engine_history(f, "r1");
	assert_told(&h, "started signaled:hint fn_scheduled:echo fn_completed@3 completed");
	assert_int_equal(atomic_load(&f->app.calls), 2);
	/* a plain start still leaves alone what was there */
	s.workflow_id = AZ_S("r1");
	s.input = AZ_S("\"\"");
	assert_int_equal(az_engine_start(f->e, &s, &existed, &err), AZ_OK);
	assert_true(existed);
}

/* Its history is the second one. */
static bool
anew(const struct az_run_info *r, int64_t first)
{
	return r->state == AZ_RUN_OPEN && r->start_ms > first;
}

static bool
open_in(struct engine_fx *f, const char *input)
{
	struct az_history h;
	struct az_err err;

	return az_engine_history(f->e, AZ_S("r1"), 0, 1, f->a, &h, &err) == AZ_OK && h.n == 1 &&
	       az_str_eqc(h.ev[0].payload, input);
}

static void
until_begun_with(struct engine_fx *f, const char *input)
{
	int64_t end = az_boot_ms() + engine_adapter->patience_ms;

	while (!open_in(f, input)) {
		if (az_boot_ms() > end)
			fail_msg("no history begins with %s", input);
		engine_moment();
	}
}

void
engine_test_a_history_begins_anew(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;
	struct az_run_info r;
	struct az_err err = AZ_ERR_INIT;
	int64_t first;

	engine_begin(f, "r1", "fn:echo again signal fn:echo");
	first = engine_info(f, "r1").start_ms;
	engine_hire(f, 0);
	until_begun_with(f, "\"signal fn:echo\"");
	r = engine_until(f, "r1", anew, first);
	assert_str(r.uid, "alice");
	assert_str(r.type, "Toy");
	assert_str(r.memo, "{\"m\":1}");
	h = engine_history(f, "r1");
	assert_told(&h, "started");
	assert_int_equal(az_engine_signal(f->e, AZ_S("r1"), "hint", AZ_S("7"), &err), AZ_OK);
	r = engine_done(f, "r1", AZ_RUN_COMPLETED);
	assert_str(r.close_payload, "7");
	h = engine_history(f, "r1");
	assert_told(&h, "started signaled:hint fn_scheduled:echo fn_completed@3 completed");
	assert_int_equal(atomic_load(&f->app.calls), 2);
}

/* Numbers of events begin anew as well: both timers have the same. */
void
engine_test_timers_of_a_new_history_are_its_own(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;
	int64_t begun = az_boot_ms();

	engine_begin(f, "r1", "timer:50 again timer:400 again fn:echo");
	engine_hire(f, 0);
	engine_done(f, "r1", AZ_RUN_COMPLETED);
	assert_true(az_boot_ms() - begun >= 450);
	h = engine_history(f, "r1");
	assert_told(&h, "started fn_scheduled:echo fn_completed@2 completed");
	assert_int_equal(atomic_load(&f->app.calls), 1);
}

/* Two tell it at once, again and again, while it ends and begins anew all the time. */
struct teller {
	struct engine_fx *f;
	pthread_t thread;
	int n, failed;
};

static void *
teller_main(void *arg)
{
	struct az_start s = {.workflow_id = AZ_S("r1"),
	    .type = "Tally",
	    .uid = AZ_S("alice"),
	    .input = AZ_S("\"\"")};
	struct teller *t = arg;

	for (int i = 0; i < t->n; i++) {
		struct az_err err = AZ_ERR_INIT;

		if (az_engine_signal_start(t->f->e, &s, "hint", AZ_S("1"), &err))
			t->failed++;
		if (i % 3 == 0)
			engine_moment();
	}
	return NULL;
}

void
engine_test_no_signal_is_lost_at_an_end(void **state)
{
	enum { TELLERS = 2, EACH = 15 };
	struct engine_fx *f = *state;
	struct teller t[TELLERS];

	engine_hire(f, 0);
	engine_hire(f, 1);
	for (int i = 0; i < TELLERS; i++) {
		t[i] = (struct teller){.f = f, .n = EACH};
		assert_int_equal(pthread_create(&t[i].thread, NULL, teller_main, &t[i]), 0);
	}
	for (int i = 0; i < TELLERS; i++) {
		pthread_join(t[i].thread, NULL);
		assert_int_equal(t[i].failed, 0);
	}
	/* over only when all were answered, each once */
	engine_done(f, "r1", AZ_RUN_COMPLETED);
	assert_int_equal(atomic_load(&f->app.calls), TELLERS * EACH);
}
