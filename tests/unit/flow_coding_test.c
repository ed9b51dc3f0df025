/* AutonomousCodingWorkflow: attempts, and what each builds on. */
#include "flow_coding_fixture.h"

static void
happy_path_in_order(void **state)
{
	const struct az_event *p, *c;

	(void)state;
	begin(INPUT(L3, ""));
	p = expect_fn(AZ_FN_GENERATE);
	assert_int_equal(input_of(p, "iteration"), 1);
	assert_int_equal(input_of(p, "base"), 0);
	/* the request travels once, in the first input */
	assert_true(
	    az_str_eqc(az_json_gets(az_json_get(json(p->payload), "request"), "user_prompt"), "p"));
	assert_int_equal(tiny_count(&T, AZ_EV_TIMER_STARTED, NULL), 1);
	done(AZ_FN_GENERATE, GEN);
	p = expect_fn(AZ_FN_RUN);
	assert_null(az_json_get(json(p->payload), "request"));
	done(AZ_FN_RUN, RAN);
	p = expect_fn(AZ_FN_VALIDATE);
	assert_int_equal(az_json_getb(json(p->payload), "last", true), false);
	done(AZ_FN_VALIDATE, PASS);
	p = expect_fn(AZ_FN_FINALIZE);
	assert_int_equal(input_of(p, "best"), 1);
	done(AZ_FN_FINALIZE, FINAL("1"));
	c = expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
	assert_int_equal(input_of(c, "best_iteration"), 1);
	check_prefixes();
}

static void
repair_builds_on_the_last_attempt(void **state)
{
	const struct az_event *p;

	(void)state;
	begin(INPUT(L3, ""));
	round_of(MISS("1", "aa", "t1"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_int_equal(input_of(p, "iteration"), 2);
	assert_int_equal(input_of(p, "base"), 1);
	assert_int_equal(input_of(p, "previous"), 1);
	assert_int_equal(input_of(p, "tokens_left"), 985);
	round_of(PASS);
	done(AZ_FN_FINALIZE, FINAL("2"));
	expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
	check_prefixes();
}

static void
last_attempt_is_judged_then_exhausted(void **state)
{
	const struct az_event *p, *c;

	(void)state;
	begin(INPUT(L3, ""));
	round_of(MISS("1", "aa", "t1"));
	round_of(MISS("2", "bb", "t2"));
	done(AZ_FN_GENERATE, GEN);
	done(AZ_FN_RUN, RAN);
	p = expect_fn(AZ_FN_VALIDATE);
	assert_int_equal(az_json_getb(json(p->payload), "last", false), true);
	done(AZ_FN_VALIDATE, MISS("0", "cc", "t3"));
	p = expect_fn(AZ_FN_FINALIZE);
	/* the best attempt counts, not the last */
	assert_int_equal(input_of(p, "best"), 2);
	done(AZ_FN_FINALIZE, FINAL("2"));
	c = expect_close(AZ_EV_COMPLETED, "failed", "iterations_exhausted");
	assert_int_equal(input_of(c, "best_iteration"), 2);
	assert_int_equal(input_of(c, "iterations"), 3);
	check_prefixes();
}

static void
preflight_ends_a_run_only_with_proof(void **state)
{
	static const struct {
		const char *result;
		bool ends;
	} cases[] = {
	    {"{\"v\":1,\"explicit\":1,\"passed\":1,\"unjudged\":0}", true},
	    {"{\"v\":1,\"explicit\":2,\"passed\":1,\"unjudged\":0}", false},
	    {"{\"v\":1,\"explicit\":0,\"passed\":0,\"unjudged\":0}", false},
	    {"{\"v\":1,\"explicit\":1,\"passed\":1,\"unjudged\":1}", false},
	    {"{\"v\":1,\"explicit\":1,\"passed\":1}", false},
	    {"{}", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(INPUT(L3, "\"default\""));
		done(AZ_FN_PREFLIGHT, cases[i].result);
		if (cases[i].ends) {
			done(AZ_FN_FINALIZE, "{\"v\":1,\"iteration\":0}");
			expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
		} else {
			const struct az_event *p = expect_fn(AZ_FN_GENERATE);

			assert_null(az_json_get(json(p->payload), "request"));
			assert_int_equal(input_of(p, "iteration"), 1);
		}
		tiny_release(&T);
	}
}

static void
repetition_changes_then_restarts_then_stops(void **state)
{
	const struct az_event *p;

	(void)state;
	begin(INPUT("\"iterations\":20,\"tokens\":100000,\"wall_s\":100,\"sandbox_s\":600", ""));
	round_of(MISS("1", "aa", "t1"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(az_json_gets(json(p->payload), "strategy"), "normal"));
	round_of(MISS("1", "aa", "t1"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(az_json_gets(json(p->payload), "strategy"), "change"));
	round_of(MISS("1", "aa", "t1"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(az_json_gets(json(p->payload), "strategy"), "fresh"));
	assert_int_equal(input_of(p, "iteration"), 4);
	for (int i = 0; i < 3; i++)
		round_of(MISS("1", "aa", "t1"));
	done(AZ_FN_FINALIZE, FINAL("6"));
	expect_close(AZ_EV_COMPLETED, "failed", "stuck");
	check_prefixes();
}

static void
fresh_start_returns_to_the_best(void **state)
{
	const struct az_event *p;

	(void)state;
	begin(INPUT("\"iterations\":20,\"tokens\":100000,\"wall_s\":100,\"sandbox_s\":600", ""));
	round_of(MISS("2", "aa", "t1"));
	round_of(MISS("1", "bb", "t2"));
	round_of(MISS("1", "cc", "t3"));
	round_of(MISS("0", "dd", "t4"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(az_json_gets(json(p->payload), "strategy"), "fresh"));
	assert_int_equal(input_of(p, "base"), 1);
	assert_int_equal(input_of(p, "previous"), 4);
}

static void
foreign_start_inputs(void **state)
{
	const struct az_event *p;

	(void)state;
	/* what another SDK's start looks like: the request itself, no limits */
	begin("{\"user_prompt\":\"p\",\"test_conditions\":\"t\"}");
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(
	    az_str_eqc(az_json_gets(az_json_get(json(p->payload), "request"), "user_prompt"), "p"));
	tiny_release(&T);
	/* one that its sender encrypted: it goes on as it came */
	begin("{\"user_prompt\":{\"__restack_encrypted__\":\"v1\",\"iv\":\"a\",\"ct\":\"b\"}}");
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(
	    az_json_gets(
		az_json_get(az_json_get(json(p->payload), "request"), "user_prompt"), "ct"),
	    "b"));
	tiny_release(&T);
	begin("{\"user_prompt\":{\"text\":\"p\"}}");
	expect_close(AZ_EV_FAILED, "failed", "bad_input");
	tiny_release(&T);
	begin("not json");
	expect_close(AZ_EV_FAILED, "failed", "bad_input");
	tiny_release(&T);
	begin("[1,2]");
	expect_close(AZ_EV_FAILED, "failed", "bad_input");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    T_(happy_path_in_order),
	    T_(repair_builds_on_the_last_attempt),
	    T_(last_attempt_is_judged_then_exhausted),
	    T_(preflight_ends_a_run_only_with_proof),
	    T_(repetition_changes_then_restarts_then_stops),
	    T_(fresh_start_returns_to_the_best),
	    T_(foreign_start_inputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
