/* Contract of engines: a run from its start to its removal. */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include "engine_suite.h"

void
engine_test_start_is_seen_at_once_and_only_once(void **state)
{
	struct engine_fx *f = *state;
	struct az_start s = {.workflow_id = AZ_S("r1"),
	    .type = "Toy",
	    .uid = AZ_S("mallory"),
	    .input = AZ_S("\"fn:echo\"")};
	struct az_run_info r;
	struct az_history h;
	struct az_err err = AZ_ERR_INIT;
	bool existed = false;

	engine_begin(f, "r1", "fn:denied");
	assert_int_equal(az_engine_start(f->e, &s, &existed, &err), AZ_OK);
	assert_true(existed);
	r = engine_info(f, "r1");
	assert_str(r.uid, "alice");
	assert_str(r.type, "Toy");
	assert_str(r.memo, "{\"m\":1}");
	assert_int_equal(r.state, AZ_RUN_OPEN);
	assert_int_equal(r.n_pending, 0);
	assert_int_equal(r.close_ms, 0);
	assert_false(r.has_worker);
	h = engine_history(f, "r1");
	assert_told(&h, "started");
	assert_str(h.ev[0].payload, "\"fn:denied\"");
	assert_true(engine_adapter->gapless ? r.last_event == 1 : r.last_event >= h.ev[0].id);
}

void
engine_test_bad_arguments_are_refused(void **state)
{
	static const char *const ids[] = {"", "a b", "a/b", "a.b", "\xc3\xa4"};
	struct engine_fx *f = *state;
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

void
engine_test_a_run_goes_from_function_to_function(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;
	struct az_run_info r;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:flaky fn:echo");
	r = engine_done(f, "r1", AZ_RUN_COMPLETED);
	assert_str(r.close_payload, "3");
	assert_true(r.close_ms >= r.start_ms);
	assert_true(r.has_worker);
	assert_int_equal(r.n_pending, 0);
	h = engine_history(f, "r1");
	assert_told(&h, "started fn_scheduled:flaky fn_completed@2 fn_scheduled:echo "
			"fn_completed@4 completed");
	assert_str(h.ev[1].payload, "null");
	assert_int_equal(h.ev[2].attempt, 3);
	assert_str(h.ev[3].payload, "3");
	assert_int_equal(h.ev[4].attempt, 1);
	assert_str(h.ev[5].payload, "3");
	assert_int_equal(atomic_load(&f->app.calls), 4);
}

void
engine_test_history_is_read_in_parts(void **state)
{
	struct engine_fx *f = *state;
	struct az_history all, h;
	struct az_err err;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:echo fn:echo");
	engine_done(f, "r1", AZ_RUN_COMPLETED);
	all = engine_history(f, "r1");
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

/* More events than a server gives at once. */
void
engine_test_a_long_history_is_read_whole(void **state)
{
	enum { FUNCTIONS = 80 };
	struct engine_fx *f = *state;
	char script[FUNCTIONS * 8 + 1] = "";
	struct az_history h;

	for (int i = 0; i < FUNCTIONS; i++)
		memcpy(script + (size_t)i * 8, "fn:echo ", 9);
	engine_hire(f, 0);
	engine_begin(f, "r1", script);
	engine_done(f, "r1", AZ_RUN_COMPLETED);
	h = engine_history(f, "r1");
	assert_int_equal(h.n, 2 + 2 * FUNCTIONS);
	for (size_t i = 1; i < h.n - 1; i += 2) {
		assert_int_equal(h.ev[i].type, AZ_EV_FN_SCHEDULED);
		assert_int_equal(h.ev[i + 1].type, AZ_EV_FN_COMPLETED);
		assert_int_equal(h.ev[i + 1].ref, h.ev[i].id);
	}
	assert_int_equal(atomic_load(&f->app.calls), FUNCTIONS);
}

void
engine_test_timers_fire_in_time(void **state)
{
	struct engine_fx *f = *state;
	int64_t begun = az_boot_ms(), took;
	struct az_history h;

	engine_hire(f, 0);
	engine_begin(f, "r1", "timer:150 fn:echo");
	engine_done(f, "r1", AZ_RUN_COMPLETED);
	took = az_boot_ms() - begun;
	assert_true(took >= 150 && (took < 3000 || !engine_adapter->prompt));
	h = engine_history(f, "r1");
	assert_told(
	    &h, "started timer_started timer_fired@2 fn_scheduled:echo fn_completed@4 completed");
	assert_str(h.ev[1].payload, "150");
}

void
engine_test_signals_reach_the_fold(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;
	struct az_err err;

	/* one before any worker saw the run, one after */
	engine_begin(f, "r1", "signal signal fn:echo");
	assert_int_equal(
	    az_engine_signal(f->e, AZ_S("r1"), "hint", AZ_S("{\"x\":1}"), &err), AZ_OK);
	engine_hire(f, 0);
	assert_int_equal(
	    az_engine_signal(f->e, AZ_S("r1"), "hint", AZ_S("{\"x\":2}"), &err), AZ_OK);
	assert_str(engine_done(f, "r1", AZ_RUN_COMPLETED).close_payload, "{\"x\":2}");
	h = engine_history(f, "r1");
	assert_str(engine_event(&h, AZ_EV_SIGNALED)->name, "hint");
	assert_int_equal(az_engine_signal(f->e, AZ_S("r1"), "hint", AZ_S("1"), &err), AZ_ECONFLICT);
}

void
engine_test_cancel_reaches_a_running_function(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;
	struct az_err err;
	int64_t t;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:hang");
	engine_until(f, "r1", engine_runs_fn, 1);
	t = az_boot_ms();
	for (int i = 0; i < 3; i++) { /* idempotent, until it is over */
		enum az_code rc =
		    az_engine_cancel(f->e, AZ_S("r1"), AZ_S("{\"mode\":\"now\"}"), &err);

		assert_true(rc == AZ_OK || (i && rc == AZ_ECONFLICT));
	}
	engine_done(f, "r1", AZ_RUN_CANCELED);
	assert_true(az_boot_ms() - t < 1000 || !engine_adapter->prompt);
	h = engine_history(f, "r1");
	assert_told(&h, "started fn_scheduled:hang cancel_requested fn_cancel_requested@2 "
			"fn_canceled@2 canceled");
	assert_str(engine_event(&h, AZ_EV_CANCEL_REQUESTED)->payload, "{\"mode\":\"now\"}");
	assert_str(engine_event(&h, AZ_EV_CANCELED)->payload, "{\"c\":1}");
	/* what it leaves behind tells what it used */
	assert_str(engine_event(&h, AZ_EV_FN_CANCELED)->payload, "{\"spent\":1}");
	assert_int_equal(az_engine_cancel(f->e, AZ_S("r1"), AZ_S("{}"), &err), AZ_ECONFLICT);
}

void
engine_test_cancel_before_any_worker_is_not_lost(void **state)
{
	struct engine_fx *f = *state;
	struct az_err err;

	engine_begin(f, "r1", "fn:echo");
	assert_int_equal(az_engine_cancel(f->e, AZ_S("r1"), AZ_S("{}"), &err), AZ_OK);
	engine_hire(f, 0);
	engine_done(f, "r1", AZ_RUN_CANCELED);
	assert_int_equal(atomic_load(&f->app.calls), 0);
}

void
engine_test_terminate_ends_everything(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;
	struct az_err err;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:hang");
	engine_until(f, "r1", engine_runs_fn, 1);
	assert_int_equal(az_engine_terminate(f->e, AZ_S("r1"), "operator", &err), AZ_OK);
	assert_int_equal(engine_info(f, "r1").state, AZ_RUN_TERMINATED);
	h = engine_history(f, "r1");
	assert_told(&h, "started fn_scheduled:hang terminated");
	assert_str(h.ev[2].reason, "operator");
	/* the function is told; its end changes nothing */
	for (int64_t end = az_boot_ms() + engine_adapter->patience_ms;
	     atomic_load(&f->app.running) && az_boot_ms() < end;)
		engine_moment();
	assert_int_equal(atomic_load(&f->app.running), 0);
	assert_int_equal(engine_history(f, "r1").n, 3);
	assert_int_equal(az_engine_terminate(f->e, AZ_S("r1"), "x", &err), AZ_ECONFLICT);
}

void
engine_test_only_what_is_over_is_removed(void **state)
{
	struct engine_fx *f = *state;
	struct az_run_info r;
	struct az_err err;

	engine_begin(f, "r1", "fn:echo");
	assert_int_equal(az_engine_remove(f->e, AZ_S("r1"), &err), AZ_ECONFLICT);
	engine_hire(f, 0);
	engine_done(f, "r1", AZ_RUN_COMPLETED);
	assert_int_equal(az_engine_remove(f->e, AZ_S("r1"), &err), AZ_OK);
	if (!engine_adapter->removes_at_once)
		return;
	assert_int_equal(az_engine_describe(f->e, AZ_S("r1"), f->a, &r, &err), AZ_ENOTFOUND);
	engine_begin(f, "r1", "fn:echo");
	engine_done(f, "r1", AZ_RUN_COMPLETED);
}

/* The function's end is in the history, and the fold's answer behind it: the run's end, or
   a task that failed (restack: started, task of 3, function of 3, task of 3). */
static bool
refused(const struct az_run_info *r, int64_t unused)
{
	(void)unused;
	return engine_adapter->fails_bad_history ? r->state == AZ_RUN_FAILED : r->last_event >= 10;
}

void
engine_test_an_impossible_history_goes_no_further(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:echo bad");
	engine_until(f, "r1", refused, 0);
	/* it harms no other */
	engine_begin(f, "r2", "fn:echo");
	engine_done(f, "r2", AZ_RUN_COMPLETED);
	h = engine_history(f, "r1");
	if (!engine_adapter->fails_bad_history) {
		assert_told(&h, "started fn_scheduled:echo fn_completed@2");
		assert_int_equal(engine_info(f, "r1").state, AZ_RUN_OPEN);
		return;
	}
	assert_told(&h, "started fn_scheduled:echo fn_completed@2 failed");
	assert_str(h.ev[3].reason, "nondeterminism");
	assert_str(h.ev[3].message, "bad history");
}

static bool
has_event(const struct az_run_info *r, int64_t n)
{
	return r->last_event >= n;
}

void
engine_test_it_answers_a_ping(void **state)
{
	struct engine_fx *f = *state;
	struct az_err err;

	assert_int_equal(az_engine_ping(f->e, &err), AZ_OK);
	engine_until(f, (engine_begin(f, "r1", ""), "r1"), has_event, 1);
}
