/* Contract of engines: attempts of functions, their clocks and heartbeats. */
#include <stdio.h>
#include <azlon/clock.h>
#include "engine_suite.h"

void
engine_test_what_is_not_retryable_fails_at_once(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;
	const struct az_event *ev;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:denied");
	engine_done(f, "r1", AZ_RUN_FAILED);
	h = engine_history(f, "r1");
	ev = engine_event(&h, AZ_EV_FN_FAILED);
	assert_str(ev->reason, "denied");
	assert_str(ev->message, "no, never");
	assert_str(ev->payload, "{\"spent\":2}");
	assert_int_equal(ev->attempt, 1);
	assert_told(&h, "started fn_scheduled:denied fn_failed@2 failed");
	assert_str(engine_event(&h, AZ_EV_FAILED)->reason, "denied");
	assert_str(engine_event(&h, AZ_EV_FAILED)->message, "no, never");
	assert_int_equal(atomic_load(&f->app.calls), 1);
}

void
engine_test_retries_end_with_the_policy(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:flaky,tries=2");
	engine_done(f, "r1", AZ_RUN_FAILED);
	h = engine_history(f, "r1");
	assert_str(engine_event(&h, AZ_EV_FN_FAILED)->reason, "away");
	assert_int_equal(engine_event(&h, AZ_EV_FN_FAILED)->attempt, 2);
	assert_int_equal(atomic_load(&f->app.calls), 2);
}

void
engine_test_retry_after_is_honoured(void **state)
{
	struct engine_fx *f = *state;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:later");
	engine_done(f, "r1", AZ_RUN_COMPLETED);
	assert_true(atomic_load(&f->app.t[2]) - atomic_load(&f->app.t[1]) >= 200);
}

static bool
waits_for_retry(const struct az_run_info *r, int64_t attempt)
{
	return r->n_pending && !r->pending[0].running && r->pending[0].attempt == (int)attempt;
}

void
engine_test_a_waiting_retry_can_be_seen_and_cancelled(void **state)
{
	struct engine_fx *f = *state;
	struct az_run_info r;
	struct az_history h;
	struct az_err err;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:flaky,init=60000");
	r = engine_until(f, "r1", waits_for_retry, 2);
	assert_str(r.pending[0].name, "flaky");
	assert_str(r.pending[0].last_reason, "away");
	assert_str(r.pending[0].last_message, "not yet");
	assert_true(r.pending[0].next_ms > az_wall_ms() + 40000);
	assert_int_equal(az_engine_cancel(f->e, AZ_S("r1"), AZ_S("{}"), &err), AZ_OK);
	engine_done(f, "r1", AZ_RUN_CANCELED);
	h = engine_history(f, "r1");
	assert_told(&h, "started fn_scheduled:flaky cancel_requested fn_cancel_requested@2 "
			"fn_canceled@2 canceled");
	assert_int_equal(atomic_load(&f->app.calls), 1);
}

void
engine_test_each_clock_runs_out_with_its_name(void **state)
{
	static const struct {
		const char *script, *message;
		int calls;
	} cases[] = {
	    {"fn:hang,stc=60,tries=2", "start_to_close", 2},
	    {"fn:hang,sch=500", "schedule_to_close", 1},
	    {"fn:hang,hb=60,tries=1", "heartbeat", 1},
	};
	struct engine_fx *f = *state;
	char id[16];

	engine_hire(f, 0);
	for (int i = 0; i < 3; i++) {
		struct az_history h;

		atomic_store(&f->app.calls, 0);
		snprintf(id, sizeof id, "r%d", i);
		engine_begin(f, id, cases[i].script);
		engine_done(f, id, AZ_RUN_FAILED);
		h = engine_history(f, id);
		assert_str(engine_event(&h, AZ_EV_FN_FAILED)->reason, "timeout");
		assert_str(engine_event(&h, AZ_EV_FN_FAILED)->message, cases[i].message);
		assert_int_equal(atomic_load(&f->app.calls), cases[i].calls);
	}
}

void
engine_test_schedule_to_close_counts_without_a_worker_too(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;

	/* hosts the workflow, but not this function */
	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:nobody,sch=80");
	engine_done(f, "r1", AZ_RUN_FAILED);
	h = engine_history(f, "r1");
	/* a server hands it out all the same, and the last "not here" may be what its time ends
	 * with */
	if (!engine_adapter->prompt &&
	    az_str_eqc(engine_event(&h, AZ_EV_FN_FAILED)->reason, "no_function"))
		return;
	assert_str(engine_event(&h, AZ_EV_FN_FAILED)->reason, "timeout");
	assert_str(engine_event(&h, AZ_EV_FN_FAILED)->message, "schedule_to_close");
}

void
engine_test_heartbeats_are_seen_while_it_runs(void **state)
{
	struct engine_fx *f = *state;
	struct az_run_info one, two;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:beat,hb=5000");
	one = engine_until(f, "r1", engine_beats, 1);
	two = engine_until(f, "r1", engine_beats, engine_beat_of(&one) + 1);
	assert_int_not_equal(one.version, two.version);
	assert_int_equal(one.last_event, two.last_event);
	assert_true(two.pending[0].running);
	atomic_store(&f->app.go, true);
	assert_str(engine_done(f, "r1", AZ_RUN_COMPLETED).close_payload, "1");
}

void
engine_test_heartbeats_keep_a_function_alive(void **state)
{
	struct engine_fx *f = *state;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:beat,hb=1000,tries=1");
	engine_until(f, "r1", engine_beats, 260); /* longer than that */
	atomic_store(&f->app.go, true);
	engine_done(f, "r1", AZ_RUN_COMPLETED);
}

void
engine_test_the_next_attempt_inherits_the_heartbeat(void **state)
{
	struct engine_fx *f = *state;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:heir");
	assert_str(engine_done(f, "r1", AZ_RUN_COMPLETED).close_payload, "{\"will\":7}");
}

void
engine_test_a_result_over_the_limit_fails_the_function(void **state)
{
	struct engine_fx *f = *state;
	struct az_history h;

	engine_hire(f, 0);
	engine_begin(f, "r1", "fn:big");
	engine_done(f, "r1", AZ_RUN_FAILED);
	h = engine_history(f, "r1");
	assert_str(engine_event(&h, AZ_EV_FN_FAILED)->reason, "payload_too_large");
	assert_int_equal(atomic_load(&f->app.calls), 1);
}
