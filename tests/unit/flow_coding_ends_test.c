/* AutonomousCodingWorkflow ended by time, a budget or a failure. */
#include "flow_coding_fixture.h"

static void
wall_timer_ends_the_run(void **state)
{
	const struct az_event *p;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	begin(INPUT(L3, ""));
	done(AZ_FN_GENERATE, GEN);
	p = expect_fn(AZ_FN_RUN);
	tiny_add(&T, AZ_EV_TIMER_FIRED, tiny_timer(&T), NULL, AZ_S(""));
	assert_int_equal(tiny_fold(&T, &err), 1);
	assert_true(tiny_cancel_wanted(&T, p->id));
	/* a cancel after it changes nothing */
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
	tiny_add(&T, AZ_EV_FN_CANCELED, p->id, NULL, AZ_S(""));
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "timed_out", "budget_exhausted");
	check_prefixes();
}

static void
time_left_shrinks(void **state)
{
	struct az_cmds c;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	T.t_ms += 40000;
	done(AZ_FN_GENERATE, GEN);
	assert_int_equal(tiny_fold_prefix(&T, T.n, T.a, &c, &err), AZ_OK);
	assert_int_equal(c.n, 1);
	/* what is left, and some time to stop in: the run's own timer comes first */
	assert_in_range(c.v[0].opts.schedule_to_close_ms, 80000, 90000);
	assert_int_equal(c.v[0].opts.heartbeat_ms, 30000);
	assert_int_equal(c.v[0].opts.retry_attempts, 0);
	assert_int_equal(c.v[0].opts.retry_initial_ms, 500);
	assert_int_equal(c.v[0].opts.retry_max_ms, 10000);
}

static void
budgets_stop_before_a_new_attempt(void **state)
{
	(void)state;
	begin(INPUT("\"iterations\":9,\"tokens\":20,\"wall_s\":100,\"sandbox_s\":60", ""));
	round_of(MISS("0", "aa", "t1"));
	round_of(MISS("0", "bb", "t2")); /* 30 tokens: judged, then over */
	done(AZ_FN_FINALIZE, FINAL("2"));
	expect_close(AZ_EV_COMPLETED, "failed", "budget_exhausted");
	tiny_release(&T);

	begin(INPUT("\"iterations\":9,\"tokens\":2000,\"wall_s\":100,\"sandbox_s\":2", ""));
	round_of(MISS("0", "aa", "t1"));
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "failed", "budget_exhausted");
}

/* What was cut short by the budget ends the run for that reason, whatever else is true. */
static void
a_cut_sandbox_ends_with_the_budget(void **state)
{
	static const char cut[] = "{\"v\":1,\"passed\":false,\"n_passed\":0,\"n_total\":2,"
				  "\"sandbox_cut\":true}";
	const struct az_event *p;

	(void)state;
	begin(INPUT("\"iterations\":1,\"sandbox_s\":5", ""));
	done(AZ_FN_GENERATE, GEN);
	assert_int_equal(input_of(expect_fn(AZ_FN_RUN), "sandbox_s_left"), 5);
	done(AZ_FN_RUN, RAN);
	p = expect_fn(AZ_FN_VALIDATE);
	assert_int_equal(input_of(p, "sandbox_s_left"), 3);
	done(AZ_FN_VALIDATE, cut);
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "failed", "budget_exhausted");
	check_prefixes();
	tiny_release(&T);

	begin(INPUT("\"iterations\":2,\"sandbox_s\":1", "\"default\""));
	done(AZ_FN_PREFLIGHT, "{\"v\":1,\"explicit\":1,\"passed\":0,\"sandbox_cut\":true}");
	done(AZ_FN_FINALIZE, FINAL("0"));
	expect_close(AZ_EV_COMPLETED, "failed", "budget_exhausted");
	tiny_release(&T);

	/* nothing left is said as nothing */
	begin(INPUT("\"iterations\":1,\"sandbox_s\":2", ""));
	done(AZ_FN_GENERATE, GEN);
	done(AZ_FN_RUN, RAN);
	assert_int_equal(input_of(expect_fn(AZ_FN_VALIDATE), "sandbox_s_left"), 0);
}

static void
failures_map_to_reasons(void **state)
{
	static const struct {
		size_t at;
		const char *reason, *status, *mapped;
	} cases[] = {
	    {0, "llm_unavailable", "failed", "llm_unavailable"},
	    {0, "no_recording", "failed", "llm_not_configured"},
	    {0, "llm_not_configured", "failed", "llm_not_configured"},
	    {0, "bad_model_output", "failed", "bad_model_output"},
	    {1, "sandbox_unavailable", "failed", "sandbox_unavailable"},
	    {1, "sandbox_gone", "failed", "sandbox_unavailable"},
	    {2, "store_unavailable", "failed", "store_unavailable"},
	    {1, "weird", "failed", "sandbox_unavailable"},
	    {0, "poison", "failed", "engine_unavailable"},
	    {1, "poison", "failed", "engine_unavailable"},
	    {2, "payload_too_large", "failed", "engine_unavailable"},
	    {1, "timeout", "timed_out", "budget_exhausted"},
	};
	static const char *const fn[] = {AZ_FN_GENERATE, AZ_FN_RUN, AZ_FN_VALIDATE};
	static const char *const result[] = {GEN, RAN};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool timed = strcmp(cases[i].status, "timed_out") == 0;
		const struct az_event *c;

		begin(INPUT(L3, ""));
		for (size_t k = 0; k < cases[i].at; k++)
			done(fn[k], result[k]);
		tiny_fail(&T, expect_fn(fn[cases[i].at])->id, cases[i].reason, "why it failed");
		done(AZ_FN_FINALIZE, FINAL("1"));
		c = expect_close(
		    timed ? AZ_EV_COMPLETED : AZ_EV_FAILED, cases[i].status, cases[i].mapped);
		assert_true(az_str_eqc(az_json_gets(json(c->payload), "message"), "why it failed"));
		if (!timed)
			assert_true(az_str_eqc(c->reason, cases[i].mapped));
		check_prefixes();
		tiny_release(&T);
	}
}

static void
a_failed_finalisation_keeps_the_outcome(void **state)
{
	(void)state;
	begin(INPUT(L3, ""));
	round_of(PASS);
	tiny_fail(&T, expect_fn(AZ_FN_FINALIZE)->id, "store_unavailable", "no store");
	expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    T_(wall_timer_ends_the_run),
	    T_(time_left_shrinks),
	    T_(budgets_stop_before_a_new_attempt),
	    T_(a_cut_sandbox_ends_with_the_budget),
	    T_(failures_map_to_reasons),
	    T_(a_failed_finalisation_keeps_the_outcome),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
